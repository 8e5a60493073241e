"""The kit's verdict."""

import pytest

from talkwire.testing import conformance_tests

from .case import case

# Apprise 2.3 loads all of its services with the first URL, and one of them imports a module that Python 3.13 lacks.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

test_conformance = conformance_tests(case)
