"""What the README says is so."""

import re
import tomllib
from pathlib import Path

import pytest

from talkwire_notify_email import EmailNotifier
from talkwire_notify_email.links import LIFE, OFF_LIFE
from talkwire_notify_email.settings import NotifyEmailSettings, Server

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_settings_are_valid():
    [block] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    table = tomllib.loads(re.sub(r"\$\{[^}]*\}", "a-secret-of-a-file", block))["plugins"]["notify_email"]
    assert NotifyEmailSettings.model_validate(table).server.at == 587


@pytest.mark.parametrize("model", [NotifyEmailSettings, Server], ids=lambda one: one.__name__)
def test_every_setting_is_named(model):
    named = set(re.findall(r"^(\w+) = ", README, re.MULTILINE)) | set(re.findall(r"`(\w+)`", README))
    assert {field.alias or name for name, field in model.model_fields.items()} <= named


def test_the_numbers_are_those_of_the_code():
    assert f"up to {EmailNotifier.features.actions}, as links" in README
    assert LIFE.days == 7
    assert "after seven days" in README
    assert f"works for {OFF_LIFE.days} days" in README
