"""Real counterparts and house rules for tests: what a test may need, and what it must not do."""
