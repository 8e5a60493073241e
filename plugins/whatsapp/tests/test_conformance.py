"""The kit's verdict on WhatsApp."""

from __future__ import annotations

from talkwire.testing import conformance_tests

from .case import case

test_conformance = conformance_tests(case())
