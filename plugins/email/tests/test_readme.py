"""What the README says is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from talkwire.licences import bound_by
from talkwire_email.channel import Email
from talkwire_email.settings import EmailSettings, Imap, MailTemplate, OAuth, Smtp
from talkwire_email.simulator import FAULTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", README, re.DOTALL)


def account(text: str) -> dict[str, Any]:
    """Give the account's table, as if its secrets were in their files."""
    table = tomllib.loads(re.sub(r'"\$\{[^}]*\}"', '"a-secret-of-a-file"', text))["accounts"]["support-inbox"]
    assert table.pop("channel") == Email.type
    return table


def test_the_example_settings_are_valid() -> None:
    settings, tokens = blocks()
    table = account(settings)
    EmailSettings.model_validate(table)
    for server in (table["imap"], table["smtp"]):
        del server["password"]
    EmailSettings.model_validate(account(settings + tokens) | {"imap": table["imap"], "smtp": table["smtp"]})


@pytest.mark.parametrize("model", [EmailSettings, Imap, Smtp, OAuth, MailTemplate], ids=lambda one: one.__name__)
def test_every_setting_is_named(model: type[BaseModel]) -> None:
    named = set(re.findall(r"^(\w+) = ", "\n".join(blocks()), re.MULTILINE)) | set(re.findall(r"`(\w+)`", README))
    named |= set(re.findall(r"^\[accounts\.support-inbox\.(\w+)", README, re.MULTILINE))
    assert set(model.model_fields) <= named


def test_the_numbers_are_those_of_the_features() -> None:
    features = Email.features
    [media] = features.media
    assert f"{media.limit // 1024**2} MiB of what goes out" in README
    assert f"up to {features.body_limit // 1024**2} MiB; of a larger one" in README
    assert features.automatic is not None
    assert f"{features.automatic.count} in {features.automatic.per.seconds // 60} minutes to one address" in README
    defaults = Imap(host="imap.shop.example")
    assert f"check_every = {defaults.check_every} " in README


def test_the_faults_of_the_simulator_are_named() -> None:
    assert all(f"`{fault}`" in README for fault in FAULTS)


def test_what_the_gpl_asks_is_said_where_it_is_looked_for() -> None:
    for text in (README, (ROOT / "NOTICE").read_text()):
        assert "aioimaplib" in text
        assert "GPL-3.0" in text
        assert "imap.py" in text


def test_what_this_distribution_brings_along_is_read_from_its_metadata() -> None:
    """`talkwire plugins` prints it; docs/howto/connect-a-mailbox.md types that."""
    assert bound_by("talkwire-email") == ("aioimaplib GPL-3.0-only",)
