"""What the README says is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from talkwire_telegram.channel import Telegram
from talkwire_telegram.settings import TelegramSettings
from talkwire_telegram.simulator import Messenger

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
[SETTINGS] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)


def test_the_example_settings_are_valid_and_are_all_there_are() -> None:
    table = tomllib.loads(SETTINGS.replace("${file:/run/secrets/bot}", "123456:ABC-DEF"))["accounts"]["shop-bot"]
    assert table.pop("channel") == Telegram.type
    TelegramSettings.model_validate(table)
    assert table.keys() == TelegramSettings.model_fields.keys()
    named = {key: field.default for key, field in TelegramSettings.model_fields.items() if key != "token"}
    assert {key: table[key] for key in named} == named


def test_the_numbers_are_those_of_the_features() -> None:
    features = Telegram.features
    pictures, media = features.media
    everywhere, person, group = features.rates
    assert f"{features.text_limit} UTF-16 units in a message" in README
    assert f"captions of {media.caption_limit} UTF-16 units; {media.limit // 1_000_000} MB of what goes out" in README
    assert f"a picture over {pictures.limit // 1_000_000} MB as a file" in README
    assert f"up to {features.buttons.most} below a message" in README
    assert f"brings back {features.buttons.id_limit} bytes" in README
    assert (
        f"{everywhere.count} messages a second; {person.count} a second to one person, after a rest {person.burst} at"
        f" once; {group.count} a minute to one group, after a rest {group.burst} at once" in README
    )
    assert not features.sessions
    assert features.window is None
    assert features.reports.word == "sent"


def test_the_faults_of_the_simulator_are_named() -> None:
    assert all(f"`{fault}`" in README for fault in Messenger.fault_names())
