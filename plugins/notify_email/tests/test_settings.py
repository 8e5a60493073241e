"""The table `[plugins.notify_email]`: what is refused, and with which words."""

import pytest
from pydantic import ValidationError

from .mails import settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"server": {"host": "smtp.example"}}, "only for a server on this machine"),
        ({"server": {"user": "ops"}}, "a user needs a password"),
        ({"server": {"port": 0}}, "greater than or equal to 1"),
        ({"base_url": "talk.example"}, "write https://host"),
        ({"conversation_url": "https://desk.example/"}, "with {conversation} in it"),
        ({"conversation_url": "javascript:alert({conversation})"}, "with {conversation} in it"),
        ({"bounces_to": "nobody"}, "bounces_to"),
        ({"from": "a@b\r\nBcc: c@d"}, "from"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_said(changes, said):
    with pytest.raises(ValidationError, match=said.replace("{", r"\{")):
        settings(**changes)


def test_the_ports_are_those_of_the_kind_of_encryption():
    ports = {kind: settings(server={"security": kind, "port": None}).server.at for kind in ("tls", "starttls", "none")}
    assert ports == {"tls": 465, "starttls": 587, "none": 25}


def test_no_password_is_in_what_is_printed():
    made = settings(server={"password": "hunter2-hunter2"})
    assert "hunter2" not in repr(made) + str(made.model_dump())


def test_a_wrong_password_is_not_in_the_fault():
    with pytest.raises(ValidationError) as caught:
        settings(server={"password": ["hunter2-hunter2"]})
    assert "hunter2" not in str(caught.value)
