"""What cannot work is refused when the settings are read, and not when a customer waits."""

import pytest
from pydantic import ValidationError

from talkwire_whatsapp.settings import WhatsAppSettings

from .shop import settings

WRONG = [
    ("token", "", "one word"),
    ("token", "EAAB0123\nof the system user", "one word"),  # no header takes it: each reply would be uncertain
    ("token", "Bearer EAAB0123", "one word"),
    ("app_secret", "", "one word"),  # whatever Meta sends would be refused
    ("app_secret", "0123 4567", "one word"),
    ("verify_token", "", "is empty"),
    ("verify_token", " ", "is empty"),
    ("media_hosts", ["https://lookaside.fbsbx.com"], "pattern"),  # no file would ever be fetched
    ("media_hosts", ["lookaside.fbsbx.com/"], "pattern"),
    ("media_hosts", ["*.fbsbx.com"], "pattern"),
]


@pytest.mark.parametrize(("name", "value", "why"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_work_is_a_fault_of_the_settings(name, value, why):
    with pytest.raises(ValidationError, match=why) as fault:
        WhatsAppSettings(**settings(**{name: value}))
    [error] = fault.value.errors()
    assert error["loc"][0] == name
    assert "EAAB0123" not in error["msg"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("media_hosts", ["lookaside.fbsbx.com", "127.0.0.1:8080"]), ("verify_token", "two words, é"), ("media_hosts", [])],
    ids=range(3),
)
def test_what_works_is_taken(name, value):
    taken = getattr(WhatsAppSettings(**settings(**{name: value})), name)
    assert (taken.get_secret_value() if name == "verify_token" else list(taken)) == value
