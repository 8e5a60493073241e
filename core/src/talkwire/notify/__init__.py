"""Notifications: which facts become one, for whom, in which form; and why somebody was shown it, or not."""
