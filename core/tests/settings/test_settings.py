"""A file becomes a config, or every fault of it at once."""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pydantic
import pytest

from talkwire.channel import Channel
from talkwire.channel import Settings as Table
from talkwire.errors import SettingsError
from talkwire.features import Features
from talkwire.hooks import hookimpl
from talkwire.model import Policy
from talkwire.sections import Duration, Listen
from talkwire.settings import Config, RawConfig, load, read

BASE = Path("/srv/desk")


class Inner(Table):
    host: str
    password: pydantic.SecretStr = pydantic.SecretStr("")


class PhoneSettings(Table):
    token: pydantic.SecretStr
    port: int = 25
    imap: Inner | None = None
    every: Duration = timedelta(seconds=5)

    @pydantic.field_validator("port")
    @classmethod
    def _is_even(cls, value):
        if value % 2 and value != 25:
            raise ValueError(f"{value} is odd")
        return value


class Phone(Channel):
    type = "phone"
    Settings = PhoneSettings


class Shared(Channel):
    type = "shared"
    features = Features(shared_endpoint=True)


class NumberedSettings(Table):
    number: str = ""


class Numbered(Shared):
    type = "numbered"
    Settings = NumberedSettings

    @classmethod
    def meant_by(cls, settings):
        return (settings.number, "the firm") if settings.number else ()


class Polled(Channel):
    type = "polled"
    features = Features(webhook=False)


class Writes(Channel):
    type = "writes"
    features = Features(webhook=False, reaches=frozenset({"email"}))


CHANNELS = {"phone": Phone, "shared": Shared, "numbered": Numbered, "polled": Polled, "writes": Writes}


def config(text, env=None, plugins=None, base=BASE):
    return Config.from_text(text, base, env or {}, CHANNELS, plugins)


def faults(text, env=None, plugins=None):
    with pytest.raises(SettingsError) as raised:
        config(text, env, plugins)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None  # a chained pydantic error would show values in a traceback
    return {fault.path: fault.reason for fault in raised.value.faults}


def test_an_empty_file_works_on_a_laptop():
    made = config("")
    assert made.server.listen == Listen("127.0.0.1", 8080)
    assert made.admin.listen == Listen("127.0.0.1", 9464)
    assert made.admin.socket == BASE / "talkwire.sock"
    assert made.store.url.get_secret_value() == "sqlite:////srv/desk/talkwire.db"
    assert made.store.synchronous == "full"
    assert (made.retention.journal_days, made.retention.log_days, made.retention.trace_days) == (14, 30, 7)
    assert made.general.time_zone == "UTC"
    assert (made.accounts, made.recipients, made.notify, made.enabled) == ({}, {}, (), ())


WHOLE = """
[general]
time_zone = "Asia/Jakarta"
give_up_after = "1h30m"
[store]
url = "postgresql://desk:pw@db/desk?sslmode=require"
[server]
listen = "[::1]:80"
public_url = "https://desk.example.org/"
trusted_proxies = ["10.0.0.0/8"]
body_limit = "512 KiB"
[plugins]
enabled = ["hours"]
[plugins.hours]
size = 3
[accounts.shop-1]
channel = "phone"
when_closed = "hold"
token = "t"
imap.host = "mail"
every = "10 s"
[accounts.old]
channel = "gone"
anything = 1
[recipients.ops]
email = "ops@example.org"
[[notify]]
on = ["message.received"]
accounts = ["shop-1"]
to = ["ops"]
media = ["email"]
after = "2m"
[[webhooks]]
name = "crm"
url = "https://crm.example.org/hook/x?y=z"
secrets = ["whsec_b3VyIGtleSBvZiB0aGlydHkgdHdvIGJ5dGVzLCBub3c="]
types = ["message.received", "hours.closed"]
accounts = ["shop-1"]
timeout = "500ms"
"""


class Hours(Table):
    size: int = 1


def test_every_section_is_read():
    made = config(WHOLE, plugins={"hours": Hours})
    shop = made.accounts["shop-1"]
    assert made.general.give_up_after == timedelta(minutes=90)
    assert made.server.listen == Listen("::1", 80)
    assert made.server.public_url == "https://desk.example.org"
    assert made.server.trusted_proxies == (ip_network("10.0.0.0/8"),)
    assert made.server.body_limit == 512 * 1024
    assert made.store.place == "postgresql://db/desk"
    assert (shop.channel, shop.endpoint, shop.when_closed) == ("phone", "shop-1", Policy.HOLD)
    assert (shop.settings.token.get_secret_value(), shop.settings.imap.host) == ("t", "mail")
    assert shop.settings.every == timedelta(seconds=10)
    assert made.accounts["old"].settings is None
    assert made.plugins["hours"].size == 3
    assert made.enabled == ("hours",)
    assert made.recipients["ops"].email == "ops@example.org"
    assert made.notify[0].after == timedelta(minutes=2)
    assert (made.webhooks[0].reader, made.webhooks[0].host) == ("webhook:crm", "https://crm.example.org")
    assert made.webhooks[0].timeout == timedelta(milliseconds=500)


def falling(when_closed: str) -> str:
    return f"""
    [accounts.site]
    channel = "phone"
    token = "t"
    when_closed = "{when_closed}"
    [accounts.mail]
    channel = "writes"
    [accounts.other]
    channel = "phone"
    token = "t"
    """


def test_an_account_names_the_one_that_takes_its_place():
    made = config(falling("fallback:mail"))
    assert (made.accounts["site"].when_closed, made.accounts["site"].fallback) == (Policy.FALLBACK, "mail")
    assert (made.accounts["mail"].when_closed, made.accounts["mail"].fallback) == (Policy.REJECT, "")


WHEN_CLOSED = (
    "write reject, hold, template:NAME with the name of a template, or fallback:NAME with that of another account"
)


@pytest.mark.parametrize(
    ("when_closed", "reason"),
    [
        ("fallback:mial", "no such account mial; did you mean mail?"),
        ("fallback:site", "an account cannot take its own place; name another one"),
        ("fallback:other", "accounts.other writes to nobody first: its channel cannot; choose another"),
        ("fallback", WHEN_CLOSED),
        ("template", WHEN_CLOSED),
        ("template:", WHEN_CLOSED),
        ("template:Order Ready", WHEN_CLOSED),
        ("template:again", "its channel has no templates; choose another"),
        ("fallback: mail", WHEN_CLOSED),
    ],
)
def test_an_account_that_cannot_take_the_place_is_a_fault(when_closed, reason):
    found = faults(falling(when_closed))
    assert found == {"accounts.site.when_closed": reason}


def test_every_fault_is_told_at_once():
    found = faults(
        """
        colour = "red"
        [general]
        time_zone = "Mars/Olympus"
        [server]
        listn = "127.0.0.1:1"
        trusted_proxies = ["10.0.0.0/8", "everybody"]
        [log]
        format = "xml"
        [plugins.hours]
        sise = 3
        [plugins.ours]
        [accounts.shop]
        channel = "phone"
        tokn = "${NOT_SET}"
        imap = {hots = "mail"}
        every = "5"
        [accounts.Shop]
        channel = "phone"
        [accounts.bare]
        endpont = "x"
        [recipients.ops]
        email = "nobody"
        [[notify]]
        on = []
        to = ["ops"]
        [[notify]]
        on = ["message.received"]
        to = ["opss"]
        accounts = ["shopp"]
        [[notify]]
        on = ["account.brokn", "hours.closed", "xyz.q", "closed"]
        to = ["ops"]
        """,
        plugins={"hours": Hours},
    )
    assert found == {
        "colour": "unknown key",
        "general.time_zone": "no such time zone; write one such as Asia/Jakarta",
        "server.listn": "unknown key; did you mean listen?",
        "server.trusted_proxies[1]": "write a network such as 10.0.0.0/8, or one address",
        "log.format": "Input should be 'console' or 'json'",
        "plugins.hours.sise": "unknown key; did you mean size?",
        "plugins.ours": "unknown key; did you mean hours?",
        "accounts.shop.tokn": "the environment variable NOT_SET is not set",
        "accounts.shop.token": "is missing",
        "accounts.shop.imap.host": "is missing",
        "accounts.shop.imap.hots": "unknown key; did you mean host?",
        "accounts.shop.every": "write a duration with its unit: 10s, 2m, 24h, 1h30m, 7d",
        "accounts.Shop": "a name has 1 to 64 of a-z, 0-9 and the hyphen",
        "accounts.Shop.token": "is missing",
        "accounts.bare.channel": "is missing",
        "recipients.ops.email": "write an address such as ops@example.org",
        "notify[0].on": "Tuple should have at least 1 item after validation, not 0",
        "notify[1].to[0]": "no such recipient; did you mean ops?",
        "notify[1].accounts[0]": "no such account; did you mean shop?",
        "notify[2].on[0]": "no such fact; did you mean account.broken?",
        "notify[2].on[2]": "no such fact; a plugin's own is called plugin.word, and needs its plugin enabled",
        "notify[2].on[3]": "no such fact; did you mean window.closed?",
    }


def test_a_rule_may_wait_for_the_facts_of_a_plugin_that_does_not_load_now():
    text = """
        [plugins]
        enabled = ["weather"]
        [accounts.old]
        channel = "gone"
        [recipients.ops]
        [[notify]]
        on = ["weather.rain", "gone.fishing"]
        to = ["ops"]
    """
    assert config(text).notify[0].on == ("weather.rain", "gone.fishing")


def test_the_nearest_key_is_one_of_ours_or_of_the_channel():
    found = faults('[accounts.shop]\nchannel = "phone"\ntoken = "t"\nendpont = "x"\nprt = 2')
    assert found == {
        "accounts.shop.endpont": "unknown key; did you mean endpoint?",
        "accounts.shop.prt": "unknown key; did you mean port?",
    }


def test_the_rest_of_an_account_is_looked_at_though_a_key_of_ours_is_wrong():
    found = faults('[accounts.shop]\nchannel = "phone"\nprt = 2\nendpoint = "Not this"')
    assert sorted(found) == ["accounts.shop.endpoint", "accounts.shop.prt", "accounts.shop.token"]


def test_a_channel_needs_a_name():
    assert faults('[accounts.shop]\nchannel = ""')["accounts.shop.channel"].startswith("write the name of a channel")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('accounts = "x"', "accounts"),
        ("[accounts]\nshop = 1", "accounts.shop"),
        ("[notify]\non = []", "notify"),
        ("plugins = 1", "plugins"),
        ("[plugins]\nenabled = 'livechat'", "plugins.enabled"),
        ("general = 3", "general"),
        ("[[notify]]\n[accounts]\nx = []", "notify[0].on"),
    ],
)
def test_a_value_of_the_wrong_shape_is_a_fault_and_no_crash(text, path):
    assert path in faults(text)


@pytest.mark.parametrize("text", ["[general", "a = 'top-secret\n", 'x = "\\q"'])
def test_what_is_no_toml_is_told_with_its_place_and_without_its_words(text):
    (reason,) = faults(text).values()
    assert reason.startswith("is no TOML (at ")
    assert "top-secret" not in reason


@pytest.mark.parametrize("text", ["[accounts.shop]\n[accounts.shop]", "[general]\ntop-secret = 1\ntop-secret = 2"])
def test_what_stands_twice_is_told_as_such_and_without_its_words(text):
    (reason,) = faults(text).values()
    assert reason.startswith("has a table or a key twice (at ")
    assert "shop" not in reason
    assert "top-secret" not in reason


@pytest.mark.parametrize(
    "place",
    ["db:port/talkwire", "u:top-secret@db:port/talkwire", "u@[::1/talkwire", "db:543210", "a:5432,b:port/talkwire"],
)
def test_a_place_of_postgresql_that_cannot_be_read_is_refused(place):
    reason = faults(f'[store]\nurl = "postgresql://{place}"')["store.url"]
    assert reason == "write sqlite:///file or postgresql://user@host/database"


@pytest.mark.parametrize(
    "place",
    [
        "u@db/talkwire",
        "u:a:b@[::1]:5432/talkwire?sslmode=require",
        "/talkwire?host=/run",
        "db",
        "u@a:5432,b:5433/talkwire",
    ],
)
def test_a_place_of_postgresql_that_can_be_read_is_taken(place):
    url = f"postgresql://{place}"
    assert config(f'[store]\nurl = "{url}"').store.url.get_secret_value() == url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2m", timedelta(minutes=2)),
        ("24h", timedelta(days=1)),
        ("1h30m", timedelta(minutes=90)),
        ("10 s", timedelta(seconds=10)),
        ("7d", timedelta(days=7)),
        ("250ms", timedelta(milliseconds=250)),
    ],
)
def test_durations_have_units(written, meant):
    assert config(f'[general]\ngive_up_after = "{written}"').general.give_up_after == meant


@pytest.mark.parametrize("written", ["'10'", "10", "''", "'1x'", "'-5s'", "'1.5h'", "'m'", "true"])
def test_a_duration_without_a_unit_is_refused(written):
    assert "with its unit" in faults(f"[general]\ngive_up_after = {written}")["general.give_up_after"]


@pytest.mark.parametrize("url", ["mysql://db", "sqlite://x", "sqlite:///", "talkwire.db"])
def test_a_store_we_do_not_have_is_refused(url):
    assert "postgresql://" in faults(f'[store]\nurl = "{url}"')["store.url"]


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("sqlite:///a/b.db", "sqlite:////srv/desk/a/b.db"),
        ("sqlite:////var/b.db", "sqlite:////var/b.db"),
        ("postgresql://db/x", "postgresql://db/x"),
    ],
)
def test_a_relative_file_lies_beside_the_settings(url, meant):
    assert config(f'[store]\nurl = "{url}"').store.url.get_secret_value() == meant


def test_an_endpoint_is_shared_only_where_the_channel_says_so():
    two = '[accounts.a]\nchannel = "{0}"\n{2}\n[accounts.b]\nchannel = "{1}"\nendpoint = "a"\n{2}'
    assert list(faults(two.format("phone", "phone", "token = 't'"))) == ["accounts.b.endpoint"]
    assert "accounts.b.endpoint" in faults(two.format("shared", "phone", ""))
    assert config(two.format("shared", "shared", "")).accounts["b"].endpoint == "a"
    assert config(two.format("polled", "polled", "")).accounts["b"].endpoint == "a"


def test_accounts_that_share_an_endpoint_are_not_the_same_to_the_provider():
    two = '[accounts.a]\nchannel = "numbered"\n{}\n[accounts.b]\nchannel = "numbered"\nendpoint = "a"\n{}'
    assert list(faults(two.format("number = '1'", "number = '1'"))) == ["accounts.b.endpoint"]
    assert config(two.format("number = '1'", "number = '2'")).accounts["b"].endpoint == "a"
    assert config(two.format("", "")).accounts["b"].endpoint == "a"
    assert "accounts.b.nmber" in faults(two.format("number = '1'", "nmber = '1'"))


def test_a_table_of_a_plugin_that_takes_none_is_a_fault_and_one_of_a_plugin_that_is_off_is_left_alone():
    assert "takes no settings" in faults("[plugins.p]\na = 1", plugins={"p": None})["plugins.p"]
    raw = RawConfig("[plugins.p]\na = 1", BASE / "talkwire.toml", {})
    assert raw.complete({}, {}, others=["p"]).plugins == {}


def test_references_stand_for_values_after_parsing(tmp_path):
    (tmp_path / "secret").write_text('line "one"\nline two\n')
    made = config(
        '[accounts.a]\nchannel = "phone"\ntoken = "${file:secret}"\nport = "${PORT}"\nimap.host = "${NO:-a.b}/${E:-x}$$"',
        {"PORT": "26", "E": ""},
        base=tmp_path,
    ).accounts["a"]
    assert made.settings.token.get_secret_value() == 'line "one"\nline two'
    assert made.settings.port == 26
    assert made.settings.imap.host == "a.b/x$"


def test_a_value_is_not_read_again_for_references():
    made = config('[accounts.a]\nchannel = "phone"\ntoken = "${A}"', {"A": "$${B}${B}", "B": "b"}).accounts["a"]
    assert made.settings.token.get_secret_value() == "$${B}${B}"


def test_a_lone_dollar_sign_and_keys_stay_as_they_are():
    made = config('[accounts.a]\nchannel = "phone"\ntoken = "pa$word$"').accounts["a"]
    assert made.settings.token.get_secret_value() == "pa$word$"
    assert list(faults('["${A}"]', {"A": "general"})) == ["${A}"]


def test_references_that_lead_nowhere_are_faults(tmp_path):
    found = faults(
        '[accounts.a]\nchannel = "phone"\ntoken = "${NOT_SET}"\nimap.host = "${file:/nowhere/x}"\nport = "${-}"'
    )
    assert found == {
        "accounts.a.token": "the environment variable NOT_SET is not set",
        "accounts.a.imap.host": "file /nowhere/x cannot be read: no such file or directory",
        "accounts.a.port": "write ${NAME}, ${NAME:-default} or ${file:/path}; $$ is a dollar sign",
    }


GOOD = 'name = "crm"\nurl = "https://h/x"\nsecrets = ["whsec_b3VyIGtleSBvZiB0aGlydHkgdHdvIGJ5dGVzLCBub3c="]\n'


@pytest.mark.parametrize(
    ("line", "key", "said"),
    [
        ('types = ["mesage.received"]', "types[0]", "no such fact; did you mean message.received?"),
        ('accounts = ["shop"]', "accounts[0]", "no such account"),
        ('timeout = "31s"', "timeout", "write more than 0 and at most 30s"),
        ('timeout = "0s"', "timeout", "write more than 0 and at most 30s"),
        ('name = "Crm"', "name", "String should match pattern '^[a-z0-9-]{1,64}$'"),
        ("secrets = []", "secrets", "Tuple should have at least 1 item after validation, not 0"),
        ('secret = "x"', "secret", "unknown key; did you mean secrets?"),
        ('url = "https://me:pw@h/x"', "url", "write https://host/path, without a user and without #"),
        ('url = "h/x"', "url", "write https://host/path, without a user and without #"),
        (
            'url = "http://8.8.8.8/x"',
            "url",
            "write https: this address is outside your network, where everybody could read along",
        ),
        *(
            (
                f'secrets = ["{secret}"]',
                "secrets",
                "write whsec_ and 24 to 64 bytes in base64; talkwire webhooks secret makes one",
            )
            for secret in ("", "whsec_c2hvcnQ=", "whsec_not base64 of thirty-two bytes", "b" * 44)
        ),
    ],
)
def test_a_webhook_that_cannot_be_told_is_a_fault(line, key, said):
    kept = "".join(f"{one}\n" for one in GOOD.splitlines() if not line.startswith(one.partition(" ")[0] + " "))
    assert faults(f"[[webhooks]]\n{kept}{line}") == {f"webhooks[0].{key}": said}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3000/x", "http://[::1]/x", "http://helpdesk:80", "https://8.8.8.8?x"]
)
def test_a_webhook_may_lead_anywhere_by_https_and_by_http_within_the_network(url):
    assert config(f"[[webhooks]]\n{GOOD}".replace("https://h/x", url)).webhooks[0].url.get_secret_value() == url


def test_two_webhooks_have_two_names():
    assert faults(f"[[webhooks]]\n{GOOD}[[webhooks]]\n{GOOD}") == {
        "webhooks[1].name": "another webhook has this name; choose another"
    }
    assert faults(f"[webhooks]\n{GOOD}") == {"webhooks": "write [[webhooks]], with two brackets"}


def test_daemons_with_the_same_meaning_have_the_same_hash_and_others_do_not():
    base = config(WHOLE, plugins={"hours": Hours})
    moved = WHOLE.replace('"[::1]:80"', '"0.0.0.0:99"').replace("desk:pw@db", "desk:pw@replica")
    assert config(moved, plugins={"hours": Hours}).shared_hash(b"k") == base.shared_hash(b"k")
    assert base.shared_hash(b"other") != base.shared_hash(b"k")
    for old, new in (
        ('token = "t"', 'token = "u"'),
        ("size = 3", "size = 4"),
        ('"2m"', '"3m"'),
        ("desk.ex", "d.ex"),
        ("500ms", "600ms"),
    ):
        assert config(WHOLE.replace(old, new), plugins={"hours": Hours}).shared_hash(b"k") != base.shared_hash(b"k"), (
            new
        )


def test_a_file_that_is_not_there_is_a_fault_with_a_remedy(tmp_path):
    with pytest.raises(SettingsError, match="talkwire init"):
        read(tmp_path / "talkwire.toml")


def test_read_alone_gives_the_store_once_it_is_checked(tmp_path):
    (tmp_path / "talkwire.toml").write_text('[store]\nurl = "sqlite:///x.db"\n[accounts.a]\nchannel = "unheard-of"')
    raw = read(tmp_path / "talkwire.toml", {})
    raw.check()
    assert raw.store.url.get_secret_value() == f"sqlite:///{tmp_path}/x.db"
    assert dict(raw.channels) == {"unheard-of": "accounts.a.channel"}


class PhonePlugin:
    @hookimpl
    def register_channels(self):
        return [Phone]

    @hookimpl
    def register_settings(self):
        return Hours


def test_load_brings_faults_of_the_file_the_accounts_and_the_plugins_together(tmp_path):
    path = tmp_path / "talkwire.toml"
    path.write_text(
        '[log]\nlevl = "info"\n[plugins]\nenabled = ["nowhere_at_all"]\nphone = {sise = 1}\n[accounts.a]\nchannel = "phone"'
    )
    with pytest.raises(SettingsError) as raised:
        load(path, {}, extra={"phone": PhonePlugin()})
    assert [fault.path for fault in raised.value.faults] == [
        "log.levl",
        "plugins.enabled[0]",
        "accounts.a.token",
        "plugins.phone.sise",
    ]


def test_load_gives_the_config_with_its_plugins_and_warns_of_absent_channels(tmp_path):
    path = tmp_path / "talkwire.toml"
    path.write_text('[accounts.a]\nchannel = "phone"\ntoken = "t"\n[accounts.b]\nchannel = "nowhere_at_all"')
    made, plugins = load(path, {}, extra={"phone": PhonePlugin()})
    assert plugins.channels == {"phone": Phone}
    assert made.plugins["phone"] == Hours()
    assert made.accounts["b"].settings is None
    assert [warning.path for warning in made.warnings] == ["accounts.b.channel"]


class Misspelt:
    @hookimpl
    def on_fakt(self):
        return None


def test_the_table_of_a_plugin_that_failed_is_left_alone(tmp_path):
    path = tmp_path / "talkwire.toml"
    path.write_text("[plugins.broken]\nsize = 1")
    made, plugins = load(path, {}, extra={"broken": Misspelt()})
    assert [info.name for info in plugins.infos if info.state == "failed"] == ["broken"]
    assert "broken" in plugins.others  # beside what is installed here and not enabled
    assert dict(made.plugins) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[server]\npublic_url = "talk.example.org"', "write https://host, without ? and #"),
        ('[recipients.ops]\nemail = "ops"', "write an address such as ops@example.org"),
        ('[[notify]]\non = "account.broken"\nto = ["ops"]\n[recipients.ops]', "write a list in brackets"),
    ],
)
def test_what_has_a_wrong_form_is_told_in_words_of_the_file(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        Config.from_text(text, tmp_path, {})
    assert reason in str(caught.value)
