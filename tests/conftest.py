"""Nothing of its own: fixtures for every distribution's tests are in `tests/parts`, loaded by the root's conftest.

The kit's fixtures (a hub with a turned clock, a fake provider) come from `talkwire.testing`, as they do for a stranger.
"""
