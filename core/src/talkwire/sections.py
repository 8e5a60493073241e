"""The sections of `talkwire.toml`: what may stand in them, in which form, and what holds where nothing stands."""

from __future__ import annotations

import base64
import re
import zoneinfo
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic import field_validator as validates

from .channel import Settings as Table
from .model import Fact, Policy, Rate
from .quiet import Quiet

NAME = re.compile(r"[a-z0-9-]{1,64}")  # of accounts, endpoints, recipients
CHANNEL = re.compile(r"[A-Za-z0-9_-]+")  # wide: one that cannot be is absent, with the nearest that there is
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds
_DURATION = re.compile(r"(?:\d+\s*(?:ms|[smhd])\s*)+")
_RATE = re.compile(r"([1-9]\d{0,8})\s*/\s*([smh])")
_PLACE = r"(?:\[[^]/?]*\]|[^:/?@,]*)(?::\d{0,5})?"  # host:port, of which libpq takes several
_POSTGRES = re.compile(rf"postgresql://(?:[^/?]*@)?{_PLACE}(?:,{_PLACE})*(?:[/?]|$)")
_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}  # bytes
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)")


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not _DURATION.fullmatch(value.strip()):
        raise ValueError("write a duration with its unit: 10s, 2m, 24h, 1h30m, 7d")
    steps = re.findall(r"(\d+)\s*(ms|[smhd])", value)
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in steps))


def _size(value: Any) -> Any:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _SIZES[match[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("write a size with its unit: 512 KiB, 25 MiB")


class Listen(NamedTuple):
    """Where a server listens."""

    host: str
    port: int  # 0: any free one


def _listen(value: Any) -> Any:
    if isinstance(value, Listen):
        return value
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})", value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 65535:
        raise ValueError("write host:port, such as 127.0.0.1:8080 or [::1]:8080")
    return Listen(match[1].strip("[]"), int(match[2]))


def _network(value: Any) -> Any:
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError("write a network such as 10.0.0.0/8, or one address") from None


def _rate(value: Any) -> Any:
    if value is None or isinstance(value, Rate):
        return value
    if value == "off":
        return None
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write how often, such as 20/m, 100/s or 5000/h, or "off"')
    return _often(int(match[1]), match[2])


def _often(count: int, unit: str) -> Rate:
    return Rate(count=count, per=timedelta(seconds=_UNITS[unit]), key="address", burst=count)


def _quiet(value: Any) -> Any:
    try:
        Quiet.parse(value)
    except (TypeError, ValueError):
        raise ValueError("write hours such as 22:00-07:00") from None
    return value


def _channel(name: str) -> str:
    if not CHANNEL.fullmatch(name):
        raise ValueError("write the name of a channel, such as email")
    return name


QuietHours = Annotated[str, AfterValidator(_quiet)]  # empty: none
TEMPLATE = r"[A-Za-z0-9_.-]{1,512}"  # names of templates
WhenClosed = Annotated[str, Field(pattern=rf"^(reject|hold|template:{TEMPLATE}|fallback:{NAME.pattern})$")]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]  # bytes
QuietAfter = Duration | Literal["off"]
ListenAddress = Annotated[Listen, BeforeValidator(_listen)]
HowOften = Annotated[Rate | None, BeforeValidator(_rate)]  # all of it at once after a rest; None: as often as they like
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone; write one such as Asia/Jakarta") from None
    return name


class General(Table):
    """What holds for everything."""

    time_zone: str = "UTC"
    language: Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")] = "en"
    give_up_after: Duration | None = None  # of sending; None: what each channel says
    templates: Path = Field(Path("notifications"), validate_default=True)  # folder; NAME.toml is the template NAME
    desktop_always: Literal["on", "off"] = "on"  # off: what would always show on desktops waits until nobody looks

    @validates("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        return _zone(value)

    @validates("templates")
    @classmethod
    def _is_whole(cls, value: Path, info: ValidationInfo) -> Path:
        return _beside(value, info)


class StoreSettings(Table):
    """Where everything is kept."""

    url: SecretStr = Field(SecretStr("sqlite:///talkwire.db"), validate_default=True)  # may hold a password
    files: Path = Field(Path("files"), validate_default=True)  # attachments, on SQLite only
    synchronous: Literal["full", "normal"] = "full"  # SQLite: normal may lose the last commits with the power

    @validates("url")
    @classmethod
    def _is_ours(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        url = value.get_secret_value()
        if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
            return SecretStr(f"sqlite:///{_beside(Path(url.removeprefix('sqlite:///')), info)}")
        if not _POSTGRES.match(url):
            raise ValueError("write sqlite:///file or postgresql://user@host/database")
        return value

    @validates("files")
    @classmethod
    def _is_whole(cls, value: Path, info: ValidationInfo) -> Path:
        return _beside(value, info)

    @property
    def place(self) -> str:
        """Give the URL without user and password, for people."""
        return re.sub(r"//[^/]*@", "//", self.url.get_secret_value()).split("?", 1)[0]


class Server(Table):
    """What the world reaches."""

    listen: ListenAddress = Listen("127.0.0.1", 8080)
    public_url: str = ""  # as providers see us
    trusted_proxies: tuple[Network, ...] = ()  # whose X-Forwarded-For is believed
    body_limit: Size = 4 * 1024**2  # bytes of one webhook; a channel may ask for more
    upload_limit: Size = 25 * 1024**2  # bytes of one attachment by the API
    key_rate: HowOften = _often(6000, "m")  # requests of one API key or session
    address_rate: HowOften = _often(12000, "m")  # requests to the API from one address
    failure_rate: HowOften = _often(20, "m")  # wrong keys from one address; forged deliveries from one address

    @validates("public_url")
    @classmethod
    def _has_no_slash(cls, value: str) -> str:
        if not re.fullmatch(r"(https?://[^\s/?#@]+(/[^\s?#]*)?)?", value):
            raise ValueError("write https://host, without ? and #")
        return value.rstrip("/")


class Admin(Table):
    """What only operators reach."""

    listen: ListenAddress = Listen("127.0.0.1", 9464)
    socket: Path = Field(Path("talkwire.sock"), validate_default=True)  # commands ask the running daemon here

    @validates("socket")
    @classmethod
    def _is_whole(cls, value: Path, info: ValidationInfo) -> Path:
        return _beside(value, info)


class Log(Table):
    """What the daemon says of itself."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Retention(Table):
    """How long things are kept, in days."""

    journal_days: Annotated[int, Field(ge=1)] = 14  # raw envelopes
    log_days: Annotated[int, Field(ge=1)] = 30  # facts
    trace_days: Annotated[int, Field(ge=1)] = 7  # exchanges with providers
    messages_days: Annotated[int, Field(ge=1)] | None = None  # messages with their files; None: for ever
    audit_days: Annotated[int, Field(ge=1)] = 365  # administrative acts


class RecipientSettings(Table):
    """Who can be notified."""

    email: str = ""
    media: tuple[str, ...] = ()  # wanted; empty: what the rule says
    language: Annotated[str, Field(pattern=r"^([a-z]{2}(-[A-Z]{2})?)?$")] = ""  # empty: the instance's
    quiet: QuietHours = ""  # 22:00-07:00: toasts are not shown then, or wait until they can be read
    time_zone: str = ""  # of `quiet`; empty: the instance's

    @validates("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        return _zone(value) if value else value

    @validates("email")
    @classmethod
    def _is_one(cls, value: str) -> str:
        if not re.fullmatch(r"([^@\s]+@[^@\s]+)?", value):
            raise ValueError("write an address such as ops@example.org")
        return value


class Rule(Table):
    """Which facts become notifications, without any desk."""

    on: Annotated[tuple[str, ...], Field(min_length=1)]  # types of facts
    accounts: tuple[str, ...] = ()  # empty: all
    to: Annotated[tuple[str, ...], Field(min_length=1)]  # recipients
    media: tuple[str, ...] = ()  # empty: what each recipient wants
    after: Duration = timedelta(0)  # dropped if answered or read meanwhile; alerts and alarms go at once
    once: Duration = timedelta(0)  # further facts of one conversation join what shows, for so long; 0s: each is shown
    template: str = ""  # how it looks: a file of `general.templates`; empty: as we ship it


class WebhookSettings(Table):
    """A host that is told facts: each by one signed POST, in order within a conversation."""

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    url: SecretStr  # https://…; http:// only within your own network
    secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1)]  # whsec_…; every one of them signs
    types: tuple[str, ...] = ()  # of facts; empty: all
    accounts: tuple[str, ...] = ()  # empty: all
    timeout: Duration = timedelta(seconds=15)  # for one answer, half a minute at most

    @validates("url")
    @classmethod
    def _is_a_host(cls, value: SecretStr) -> SecretStr:
        found = re.fullmatch(
            r"(https?)://(\[[0-9a-fA-F:.]+\]|[^\s/?#@:\[\]]+)(:\d{1,5})?([/?][^\s#]*)?", value.get_secret_value()
        )
        if found is None:
            raise ValueError("write https://host/path, without a user and without #")
        if found[1] == "http" and _is_public(found[2]):
            raise ValueError("write https: this address is outside your network, where everybody could read along")
        return value

    @validates("secrets")
    @classmethod
    def _can_sign(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            try:
                key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
            except ValueError:
                key = b""
            if not secret.get_secret_value().startswith("whsec_") or not 24 <= len(key) <= 64:
                raise ValueError("write whsec_ and 24 to 64 bytes in base64; talkwire webhooks secret makes one")
        return value

    @validates("timeout")
    @classmethod
    def _is_short(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= timedelta(seconds=30):
            raise ValueError("write more than 0 and at most 30s")
        return value

    def wants(self, fact_type: str) -> bool:
        """Say whether the host is told such facts."""
        return not self.types or fact_type in self.types

    def hears_of(self, account: str) -> bool:
        """Say whether the host is told of an account; empty: of what concerns none."""
        return not self.accounts or account in self.accounts

    def is_told(self, fact: Fact) -> bool:
        """Say whether the host is told a fact."""
        return self.wants(fact.type) and self.hears_of(fact.account)

    @property
    def reader(self) -> str:
        """Give the name of its cursor."""
        return f"webhook:{self.name}"

    @property
    def host(self) -> str:
        """Give scheme, host and port, for people: a path may hold a secret."""
        return re.sub(r"(//[^/?]*).*", r"\1", self.url.get_secret_value())


def _is_public(host: str) -> bool:
    """Say whether a host is written as an address outside one's own network."""
    try:
        return ip_address(host.strip("[]")).is_global
    except ValueError:
        return False  # a name; where it leads is looked at when it is called


class AccountKeys(Table):
    """What each account's table has beside its channel's own settings."""

    channel: Annotated[str, AfterValidator(_channel)]
    endpoint: Annotated[str, Field(pattern=f"^{NAME.pattern}$")] = ""
    when_closed: WhenClosed = "reject"
    quiet_after: QuietAfter | None = (
        None  # without a message `account.quiet` is told; "off": never; None: what is usual
    )

    @property
    def fallback(self) -> str:
        """Name the account that replies go out from in its place; empty: none."""
        return self.when_closed.partition(":")[2] if self.policy is Policy.FALLBACK else ""

    @property
    def template(self) -> str:
        """Name the template that goes out while a reply waits; empty: none."""
        return self.when_closed.partition(":")[2] if self.policy is Policy.TEMPLATE else ""

    @property
    def policy(self) -> Policy:
        """Say what becomes of a reply that cannot go out now."""
        return Policy(self.when_closed.partition(":")[0])


class PluginKeys(Table):
    """What `[plugins]` has beside the plugins' tables."""

    enabled: tuple[str, ...] = ()


SECTIONS: dict[str, type[Table]] = {
    "general": General,
    "store": StoreSettings,
    "server": Server,
    "admin": Admin,
    "log": Log,
    "retention": Retention,
}


def _beside(path: Path, info: ValidationInfo) -> Path:
    """Make a path whole: what is relative lies beside the file."""
    return Path((info.context or {}).get("base", "")) / path
