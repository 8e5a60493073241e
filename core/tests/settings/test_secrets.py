"""No fault, no text and no traceback shows a value of the settings."""

import traceback
from pathlib import Path

import pydantic
import pytest

from talkwire.channel import Channel
from talkwire.channel import Settings as Table
from talkwire.errors import SettingsError
from talkwire.instance_keys import new_instance_key, read_instance_keys
from talkwire.settings import Config, RawConfig, read

PLANTED = "pl4nted-s3cret"


class Talkative(pydantic.BaseModel):
    """A model as a stranger writes it: nothing is hidden, and its errors quote what they got."""

    model_config = pydantic.ConfigDict(extra="forbid")
    token: str
    level: int = 0
    kind: str = ""

    @pydantic.field_validator("token")
    @classmethod
    def _is_short(cls, value):
        if "user:" in value:
            raise ValueError(f"nobody is called {value.removeprefix('user:')}")
        if "bad" in value:
            raise ValueError(f"{value} is no token")
        return value

    @pydantic.model_validator(mode="after")
    def _fits(self):
        if self.kind:
            raise ValueError(f"{self.token} does not fit {self.kind}")
        return self


class Phone(Channel):
    type = "phone"
    Settings = Talkative


class Careful(Table):
    token: pydantic.SecretStr


class Mail(Channel):
    type = "mail"
    Settings = Careful


def told(text, env=None):
    with pytest.raises(SettingsError) as raised:
        Config.from_text(text, Path("/srv"), env or {}, {"phone": Phone, "mail": Mail})
    return "".join(traceback.format_exception(raised.value)) + repr(raised.value.faults)


@pytest.mark.parametrize(
    "keys",
    [
        f'token = "{PLANTED}-bad"',
        'token = "${SECRET}-bad"',
        'token = "user:${SECRET}"',
        f'token = "{PLANTED}"\nkind = "x"',
        'token = "${SECRET}"\nkind = "some kind"',
        f'token = "t"\nlevel = "{PLANTED}"',
        f'token = ["{PLANTED}"]',
        f'token = "t"\ntokn = "{PLANTED}"',
        'token = "t"\nlevel = "${SECRET}"',
        'token = "t"\nlevel = "${file:/proc/self/mem}${SECRET}"',
    ],
)
def test_no_fault_shows_a_value(keys):
    text = told(f'[accounts.a]\nchannel = "phone"\n{keys}', {"SECRET": PLANTED})
    assert "accounts.a" in text
    assert PLANTED not in text


@pytest.mark.parametrize(
    "line",
    [
        f"[store]\nurl = 'mysql://u:{PLANTED}@db'",
        f"[server]\nlisten = '{PLANTED}'",
        f"[server]\ntrusted_proxies = ['{PLANTED}']",
        f"[log]\nformat = '{PLANTED}'",
        f"[general]\ntime_zone = '{PLANTED}'",
        f"[general]\ngive_up_after = '{PLANTED}'",
        f"general = '{PLANTED}'",
        f"[[webhooks]]\nname = 'x'\nurl = 'https://h/#{PLANTED}'\nsecrets = ['whsec_{PLANTED}', '{PLANTED}']",
        f"x = '{PLANTED}",
    ],
)
def test_no_fault_of_our_sections_shows_a_value(line):
    assert PLANTED not in told(line)


def test_no_repr_shows_a_secret():
    text = (
        f'[store]\nurl = "postgresql://u:{PLANTED}@db/x"\n'
        f'[accounts.a]\nchannel = "phone"\ntoken = "{PLANTED}"\n[accounts.b]\nchannel = "mail"\ntoken = "{PLANTED}"'
    )
    raw = RawConfig(text, Path("/srv/talkwire.toml"), {})
    made = raw.complete({"phone": Phone, "mail": Mail}, {})
    assert made.accounts["b"].settings.token.get_secret_value() == PLANTED
    for thing in (raw, made, made.accounts, made.store, made.accounts["b"].settings):
        assert PLANTED not in f"{thing!r} {thing!s}"
    assert PLANTED not in made.store.place
    assert PLANTED not in made.shared_hash()


def test_a_file_that_is_not_utf8_is_told_without_its_content(tmp_path):
    (tmp_path / "talkwire.toml").write_bytes(b'token = "' + PLANTED.encode() + b'\xff"')
    with pytest.raises(SettingsError) as raised:
        read(tmp_path / "talkwire.toml", {})
    error = raised.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert PLANTED not in str(error)


def test_the_first_instance_key_is_the_first_line(tmp_path):
    path = tmp_path / "instance.key"
    lines = [new_instance_key(), new_instance_key()]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    keys = read_instance_keys(path)
    assert [len(key.get_secret_value()) for key in keys] == [32, 32]
    assert keys[0].get_secret_value() != keys[1].get_secret_value()
    assert str(keys[0].get_secret_value()) not in repr(keys)
    assert lines[0] != lines[1]


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("", 0o600, "32 bytes"),
        ("pl4nted", 0o600, "32 bytes"),
        ("cGw0bnRlZA==", 0o600, "32 bytes"),
        ("ö", 0o600, "32 bytes"),
        ("A" * 43 + "=", 0o644, "chmod 600"),
    ],
)
def test_instance_keys_that_cannot_be_trusted_are_refused(tmp_path, content, mode, words):
    path = tmp_path / "instance.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=words) as raised:
        read_instance_keys(path)
    assert "pl4nted" not in "".join(traceback.format_exception(raised.value))


def test_missing_instance_keys_say_what_to_type(tmp_path):
    with pytest.raises(SettingsError, match="talkwire init"):
        read_instance_keys(tmp_path / "instance.key")
