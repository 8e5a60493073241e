"""The README's settings and table are true."""

import re
import tomllib
from pathlib import Path

from talkwire import segments
from talkwire_smsgate import SmsGate, SmsGateSettings

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_settings_are_valid_and_name_every_key():
    [block] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    table = tomllib.loads(block)["accounts"]["shop-sms"]
    assert table.pop("channel") == SmsGate.type
    given = {name: f"secret-{name}-of-a-file" if "${" in str(value) else value for name, value in table.items()}
    SmsGateSettings.model_validate(given)
    assert table.keys() == SmsGateSettings.model_fields.keys()


def test_the_lengths_are_those_of_the_features():
    gsm, ucs2 = (
        int(found) for found in re.search(r"\((\d+) characters of GSM 7 bit, (\d+) of UCS-2\)", README).groups()
    )
    assert SmsGate.features.text_limit == segments("a" * gsm)[1] == segments("ж" * ucs2)[1]
    assert segments("a" * (gsm + 1))[1] == segments("ж" * (ucs2 + 1))[1] == SmsGate.features.text_limit + 1
