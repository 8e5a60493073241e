"""The kit's verdict."""

from talkwire.testing import conformance_tests

from .case import case

test_conformance = conformance_tests(case)
