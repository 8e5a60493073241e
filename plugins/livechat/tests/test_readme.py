"""What the README says is so."""

import json
import re
import tomllib
from pathlib import Path

from talkwire_livechat import LiveChat, LiveChatSettings, protocol
from talkwire_livechat.simulator import FAULTS
from talkwire_livechat.visitors import Visitors

README = (Path(__file__).parents[1] / "README.md").read_text()
SECRET = "a-secret-of-32-characters-or-more"


def test_the_example_settings_are_valid_and_with_the_table_name_every_key():
    blocks = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    account, looks, asks = blocks
    table = tomllib.loads(account + looks + asks)["accounts"]["site"]
    assert table.pop("channel") == LiveChat.type
    table["secret"] = SECRET
    settings = LiveChatSettings.model_validate(table)
    named = set(table) | {
        name for name in LiveChatSettings.model_fields if f"`{name}`" in README or f"`{name}." in README
    }
    named |= {name for name in LiveChatSettings.model_fields if f"`{name} = " in README}
    assert named == set(LiveChatSettings.model_fields)
    defaults = LiveChatSettings(origins=settings.origins, secret=SECRET)
    for name, value in re.findall(r"`limits\.(\w+)` \| (\d+)", README):
        assert getattr(defaults.limits, name) == int(value), name
    assert (defaults.grace_seconds, defaults.idle_seconds) == (180, 1200)
    assert (protocol.TEXT, protocol.FILES) == (4000, 10)
    assert defaults.files.limit == 10 * 1024**2


def test_the_snippet_that_signs_an_identity_signs_what_we_accept():
    from datetime import UTC, datetime

    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    there = {}
    exec(code, there)
    identity = there["identity"](SECRET, "42", "Ann", "ann@example.com")
    visitor = Visitors(SECRET, "optional").welcome("", identity, datetime.now(UTC))
    assert (visitor.id, visitor.name) == ("user:42", "Ann")
    assert json.dumps(visitor.aliases[0].value) == '"ann@example.com"'


def test_the_faults_of_the_shop_are_named():
    assert all(f"`{fault}`" in README or f"`--fault {fault}`" in README for fault in FAULTS)
