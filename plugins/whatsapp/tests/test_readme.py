"""What the README says is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from talkwire_whatsapp.channel import WhatsApp
from talkwire_whatsapp.settings import WhatsAppSettings
from talkwire_whatsapp.simulator import FAULTS

README = (Path(__file__).parents[1] / "README.md").read_text()


def accounts() -> dict[str, Any]:
    """Give the tables of all examples, as if their secrets were in their files."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```toml\n(.*?)```", README, re.DOTALL):
        found |= tomllib.loads(re.sub(r'"\$\{[^}]*\}"', '"a-secret-of-a-file"', block))["accounts"]
    return found


def test_the_example_settings_are_valid_and_name_every_key() -> None:
    tables = accounts()
    assert len(tables) == 3
    for table in tables.values():
        assert table.pop("channel") == WhatsApp.type
        for core in ("endpoint", "when_closed"):
            table.pop(core, None)
        WhatsAppSettings.model_validate(table)
    assert tables["shop-whatsapp"].keys() == WhatsAppSettings.model_fields.keys()


def test_what_is_said_of_defaults_is_so() -> None:
    table = accounts()["shop-whatsapp"]
    for name, field in WhatsAppSettings.model_fields.items():
        if not field.is_required() and name not in {"business_account_id", "token_ends"}:
            given = tuple(table[name]) if isinstance(table[name], list) else table[name]
            assert given == field.default, name


def test_the_numbers_are_those_of_the_features() -> None:
    features = WhatsApp.features
    assert f"{features.text_limit} characters in one message" in README
    assert f"up to {features.buttons.most} of {features.buttons.title_limit} characters" in README
    rows = features.lists
    assert (
        f"up to {rows.most} rows of {rows.title_limit} characters, with descriptions of {rows.description_limit}"
        in README
    )
    assert features.window is not None
    assert f"{features.window.total_seconds() / 3600:.0f} hours from the customer's last message" in README
    sizes = {kind: media.limit // 10**6 for media in reversed(features.media) for kind in media.types}
    assert f"JPEG and PNG of {sizes['image/png']} MB, MP4 and 3GPP of {sizes['video/mp4']} MB" in README
    assert f"sounds of {sizes['audio/ogg']} MB, PDF, text and Office files of {sizes['application/pdf']} MB" in README
    assert {media.caption_limit for media in features.media} <= {0, 1024}
    number, pair = features.rates
    in_a_second = number.count + number.burst - 1
    assert f"{in_a_second} messages a second for the number" in README
    assert f"{60 // pair.per.seconds * pair.count} a minute to one customer ({pair.burst} at once)" in README


def test_the_faults_of_the_simulator_are_named() -> None:
    assert all(f"`{fault}`" in README for fault in FAULTS)
