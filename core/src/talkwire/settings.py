"""`talkwire.toml` as a frozen `Config`, or every fault of it at once; no fault shows a value.

read ──▶ RawConfig (tables, sections, the faults so far) ──complete(channels, plugins)──▶ Config
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from . import facts
from .channel import Channel
from .errors import Fault, SettingsError, in_our_words
from .model import Level, Policy
from .nearest import keys_at, nearest
from .notify.templates import KNOWN, Template, TemplateTable, template_of
from .plugins import Plugins
from .references import References, Step
from .sections import (
    CHANNEL,
    NAME,
    SECTIONS,
    AccountKeys,
    Admin,
    General,
    Log,
    PluginKeys,
    RecipientSettings,
    Retention,
    Rule,
    Server,
    StoreSettings,
    WebhookSettings,
)

M = TypeVar("M", bound=BaseModel)
Raw = dict[str, Any]

_ROOT = (*SECTIONS, "plugins", "accounts", "recipients", "notify", "webhooks")
_OURS = tuple(AccountKeys.model_fields)
_WHEN_CLOSED = (
    "write reject, hold, template:NAME with the name of a template, or fallback:NAME with that of another account"
)
_QUIET_AFTER = 'write a duration with its unit, such as 6h, or "off"'
_OWN_WORDS: dict[tuple[int | str, ...], str] = {("when_closed",): _WHEN_CLOSED, ("quiet_after",): _QUIET_AFTER}
_IN_WORDS = {"tuple_type": "write a list in brackets", "path_type": "write a path in quotes"}  # pydantic's kinds
_TWICE = re.compile(r"Cannot (?:declare .* twice|overwrite a value)")  # tomllib's words
_SHARED = ("general", "retention", "accounts", "recipients", "notify", "webhooks")  # must be equal in all daemons


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfig:
    """One account, as configured."""

    name: str
    channel: str
    endpoint: str
    when_closed: Policy
    fallback: str = ""  # with policy fallback: the account that replies go out from instead
    template: str = ""  # with policy template: the one that goes out while the reply waits
    quiet_after: timedelta | Literal["off"] | None = None  # without a message it is too quiet; None: what is usual
    settings: Any = field(default=None, repr=False)  # the channel's `Settings`; None: the channel is absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one daemon."""

    path: Path  # of the file, absolute
    general: General
    store: StoreSettings
    server: Server
    admin: Admin
    log: Log
    retention: Retention
    enabled: tuple[str, ...]  # plugins, in order, as written
    accounts: Mapping[str, AccountConfig]
    recipients: Mapping[str, RecipientSettings]
    notify: tuple[Rule, ...]
    webhooks: tuple[WebhookSettings, ...]
    templates: Mapping[str, Template]  # of notifications, by the name of their file
    plugins: Mapping[str, Any] = field(repr=False)  # plugin → its own settings, where it has any
    warnings: tuple[Fault, ...] = ()  # the daemon runs all the same, `check` names them
    shared: bytes = field(repr=False)  # what `shared_hash` is made of; holds secrets

    def shared_hash(self, key: bytes = b"") -> str:
        """Give what must be equal in all daemons of one database, as hex; `key` is the first instance key.

        In it: general, retention, accounts, recipients, rules, webhooks, templates, plugins with their tables,
        public_url.
        """
        return hmac.new(key, self.shared, hashlib.sha256).hexdigest()

    @classmethod
    def from_text(
        cls,
        text: str,
        base: Path,
        env: Mapping[str, str],
        channels: Mapping[str, type[Channel]] | None = None,
        plugins: Mapping[str, type[BaseModel] | None] | None = None,
    ) -> Config:
        """Make a config from the text of a file in the folder `base`. Errors: `SettingsError`."""
        return RawConfig(text, base / "talkwire.toml", env).complete(channels or {}, plugins or {})


class Loaded(NamedTuple):
    """The settings, and the plugins that they name."""

    config: Config
    plugins: Plugins


def load(path: Path, env: Mapping[str, str] = os.environ, *, extra: Mapping[str, Any] | None = None) -> Loaded:
    """Read a file, load the plugins it names (and `extra`, from this process), check the whole.

    Errors: `SettingsError` with every fault.
    """
    return load_raw(read(path, env), extra=extra)


def load_raw(raw: RawConfig, *, extra: Mapping[str, Any] | None = None) -> Loaded:
    """Load the plugins that a file names, and check the whole. Errors: `SettingsError` with every fault."""
    plugins = Plugins(raw.enabled, channels=raw.channels, media=raw.media, extra=extra)
    config = raw.complete(
        plugins.channels,
        plugins.settings_models,
        others=plugins.others,
        faults=plugins.faults,
        warnings=plugins.warnings,
    )
    return Loaded(config, plugins)


def read(path: Path, env: Mapping[str, str] = os.environ) -> RawConfig:
    """Read a file without looking at channels and plugins. Errors: `SettingsError` where it cannot be read."""
    reason = "it is not UTF-8"
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        reason = f"{(error.strerror or type(error).__name__).lower()}; talkwire init makes one"
    except UnicodeDecodeError:
        pass  # it holds the content: not chained
    else:
        return RawConfig(text, path.absolute(), env)
    raise SettingsError(str(path), [Fault("the file", f"cannot be read: {reason}")])


class RawConfig:
    """A file whose structure is known; its channels and plugins have not been looked at.

    Call `check` before using a section: one with faults is missing. Errors on making: `SettingsError` where the text
    is no TOML.
    """

    def __init__(self, text: str, path: Path, env: Mapping[str, str]) -> None:
        self.path = path
        self.faults: list[Fault] = []
        references = References(path.parent, env, self._fault)
        self._given = references.given
        self._tables: Raw = references.resolve(_parsed(text, path))
        self._unknown(self._tables, _ROOT)
        self._sections = {name: self._model(kind, self._tables.get(name, {}), name) for name, kind in SECTIONS.items()}
        self._plugin_tables = self._named("plugins")
        keys = self._model(PluginKeys, {"enabled": self._plugin_tables.pop("enabled", ())}, "plugins")
        self.enabled: tuple[str, ...] = keys.enabled if keys is not None else ()
        self._account_tables = self._named("accounts", NAME)
        self.accounts = self._each(AccountKeys, "accounts", self._account_tables, only=_OURS)
        self._asked = {  # the channel of each account that names one, also where its other keys have faults
            name: channel
            for name, table in self._account_tables.items()
            if isinstance(channel := table.get("channel"), str) and CHANNEL.fullmatch(channel)
        }
        self.recipients = self._each(RecipientSettings, "recipients", self._named("recipients", NAME))
        self._on: list[tuple[tuple[Step, ...], str]] = []  # the facts that somebody waits for, with their place
        self._template_tables: Raw = {}
        self.templates = self._templates()
        self.rules = self._rules()
        self.webhooks = self._webhooks()

    @property
    def store(self) -> StoreSettings:
        """Give the section that commands without plugins need; after `check`."""
        return cast("StoreSettings", self._sections["store"])

    @property
    def channels(self) -> Mapping[str, str]:
        """Say which channels accounts ask for, and the key that asks first."""
        return {channel: f"accounts.{name}.channel" for name, channel in reversed(self._asked.items())}

    @property
    def media(self) -> Mapping[str, str]:
        """Say which media rules and recipients ask for, and a key that asks."""
        found = {m: f"recipients.{name}.media" for name, r in self.recipients.items() for m in r.media}
        return found | {m: f"notify[{i}].media" for i, rule in enumerate(self.rules) for m in rule.media}

    def check(self, warnings: Sequence[Fault] = ()) -> None:
        """Raise `SettingsError` with the faults so far, and with what is warned of beside them."""
        if self.faults:
            raise SettingsError(str(self.path), self.faults, warnings)

    def complete(
        self,
        channels: Mapping[str, type[Channel]],
        plugins: Mapping[str, type[BaseModel] | None],
        *,
        others: Iterable[str] = (),
        faults: Sequence[Fault] = (),
        warnings: Sequence[Fault] = (),
    ) -> Config:
        """Check the tables of accounts and plugins, and give the whole.

        `plugins` names those that run, each with its model (None: it takes no settings); tables of `others` (not
        enabled, or failed) are left alone. Errors: `SettingsError` with every fault, `faults` among them.
        """
        self.faults += faults
        own = {name: self._own(name, channels[kind]) for name, kind in self._asked.items() if kind in channels}
        accounts = {name: self._account(name, keys, own.get(name)) for name, keys in self.accounts.items()}
        self._endpoints(accounts.values(), channels)
        self._fallbacks(accounts.values(), channels)
        self._facts({*plugins, *self.enabled, *self.channels})
        self._unknown(self._plugin_tables, ("enabled", *plugins, *others), "plugins")
        of_plugins = {}
        for name, kind in plugins.items():
            table = self._plugin_tables.get(name, {})
            if kind is not None:
                of_plugins[name] = self._model(kind, table, "plugins", name)
            elif table:
                self._fault(("plugins", name), "this plugin takes no settings; take the table out")
        self.check(warnings)
        shared = {key: self._tables.get(key) for key in _SHARED}
        shared["plugins"] = [[name, self._plugin_tables.get(name)] for name in plugins]  # their order matters
        shared["templates"] = self._template_tables
        shared["public_url"] = self._tables.get("server", {}).get("public_url")
        return Config(
            path=self.path,
            enabled=self.enabled,
            accounts=accounts,
            recipients=self.recipients,
            notify=self.rules,
            webhooks=self.webhooks,
            templates=self.templates,
            plugins=of_plugins,
            warnings=tuple(warnings),
            shared=to_json(_sorted(shared)),
            **cast("dict[str, Any]", self._sections),
        )

    def _own(self, name: str, channel: type[Channel]) -> Any:
        """Read what an account's channel wants of its table, also where our own keys have faults."""
        rest = {key: value for key, value in self._account_tables[name].items() if key not in _OURS}
        return self._model(channel.Settings, rest, "accounts", name, also=_OURS)

    def _account(self, name: str, keys: AccountKeys, settings: Any) -> AccountConfig:
        return AccountConfig(
            name=name,
            channel=keys.channel,
            endpoint=keys.endpoint or name,
            when_closed=keys.policy,
            fallback=keys.fallback,
            template=keys.template,
            quiet_after=keys.quiet_after,
            settings=settings,
        )

    def _endpoints(self, accounts: Iterable[AccountConfig], channels: Mapping[str, type[Channel]]) -> None:
        first: dict[str, AccountConfig] = {}
        meant: dict[tuple[str, ...], AccountConfig] = {}
        for account in accounts:
            channel = channels.get(account.channel)
            if channel is None or not channel.features.webhook:
                continue
            other = first.setdefault(account.endpoint, account)
            if other is not account and (other.channel != account.channel or not channel.features.shared_endpoint):
                reason = f"accounts.{other.name} has this endpoint, and they cannot share it; choose another"
                self._fault(("accounts", account.name, "endpoint"), reason)
            elif account.settings is not None and (names := channel.meant_by(account.settings)):
                other = meant.setdefault((account.endpoint, names[0]), account)
                if other is not account:
                    reason = f"accounts.{other.name} shares it, and the provider cannot tell them apart; take one of them away"
                    self._fault(("accounts", account.name, "endpoint"), reason)

    def _fallbacks(self, accounts: Iterable[AccountConfig], channels: Mapping[str, type[Channel]]) -> None:
        """Refuse accounts that cannot take the place of another, and templates where there are none."""
        for account in accounts:
            channel = channels.get(account.channel)
            if account.template and channel is not None and channel.features.template is Level.REJECTED:
                self._fault(("accounts", account.name, "when_closed"), "its channel has no templates; choose another")
            name, place = account.fallback, ("accounts", account.name, "when_closed")
            other = self.accounts.get(name)
            if not name:
                continue
            if name == account.name:
                self._fault(place, "an account cannot take its own place; name another one")
            elif other is None:
                if name not in self._account_tables:  # else its own fault says what is wrong with it
                    self._fault(place, f"no such account {name}{nearest(name, self._account_tables)}")
            elif other.channel in channels and not channels[other.channel].features.reaches:
                self._fault(place, f"accounts.{name} writes to nobody first: its channel cannot; choose another")

    def _facts(self, plugins: Iterable[str]) -> None:
        """Refuse to wait for facts that nobody tells."""
        known = frozenset(plugins)
        for place, name in self._on:
            if reason := facts.no_such(name, known):
                self._fault(place, reason)

    def _rules(self) -> tuple[Rule, ...]:
        rules = self._listed(Rule, "notify")
        people = self._named("recipients")
        for i, rule in rules.items():
            self._on += [(("notify", i, "on", j), name) for j, name in enumerate(rule.on)]
            for j, name in enumerate(rule.to):
                if name not in people:
                    self._fault(("notify", i, "to", j), f"no such recipient{nearest(name, people)}")
            self._are_accounts(rule.accounts, "notify", i)
            self._is_template(rule.template, "notify", i)
        return tuple(rules.values())

    def _templates(self) -> dict[str, Template]:
        """Read the folder of templates; one that is not there has none."""
        general = cast("General | None", self._sections["general"])
        folder = general.templates if general is not None else None
        found: dict[str, Template] = {}
        for file in sorted(folder.glob("*.toml")) if folder is not None else ():
            where = f"{file.parent.name}/{file.name}"
            if not NAME.fullmatch(file.stem):
                self._fault((where,), "a name has 1 to 64 of a-z, 0-9 and the hyphen")
                continue
            try:
                table = tomllib.loads(file.read_text("utf-8"))
            except OSError as error:
                self._fault((where,), f"cannot be read: {(error.strerror or type(error).__name__).lower()}")
            except UnicodeDecodeError:
                self._fault((where,), "cannot be read: it is not UTF-8")
            except tomllib.TOMLDecodeError as error:
                place = re.search(r"\(at .*\)$", str(error))
                self._fault((where,), f"is no TOML {place[0] if place else ''}".strip())
            else:
                self._template_tables[file.stem] = table
                if (read := self._model(TemplateTable, table, where)) is not None:
                    found[file.stem] = template_of(read)
        return found

    def _is_template(self, name: str, section: str, i: int) -> None:
        place = (section, i, "template")
        if name and name not in self.templates and name not in self._template_tables:
            near = nearest(name, self._template_tables)
            self._fault(place, f"no such template {name}{near or '; it is a file of the folder general.templates'}")
        elif name in self.templates and (unknown := sorted(self.templates[name].names - {*KNOWN})):
            known = ", ".join(f"{{{one}}}" for one in KNOWN)
            self._fault(place, f"{name}.toml wants {{{unknown[0]}}}, which no rule knows; they know {known}")

    def _webhooks(self) -> tuple[WebhookSettings, ...]:
        webhooks = self._listed(WebhookSettings, "webhooks")
        for i, one in webhooks.items():
            self._on += [(("webhooks", i, "types", j), name) for j, name in enumerate(one.types)]
            self._are_accounts(one.accounts, "webhooks", i)
            if any(n < i and other.name == one.name for n, other in webhooks.items()):
                self._fault(("webhooks", i, "name"), "another webhook has this name; choose another")
        return tuple(webhooks.values())

    def _listed(self, kind: type[M], section: str) -> dict[int, M]:
        """Read the tables of a `[[section]]`; gives those without faults, by their place."""
        tables = self._tables.get(section, [])
        if not isinstance(tables, list):
            self._fault((section,), f"write [[{section}]], with two brackets")
            return {}
        found = {i: self._model(kind, table, section, i) for i, table in enumerate(tables)}
        return {i: one for i, one in found.items() if one is not None}

    def _are_accounts(self, names: Sequence[str], section: str, i: int) -> None:
        for j, name in enumerate(names):
            if name not in self._account_tables:
                near = nearest(name, self._account_tables)
                self._fault((section, i, "accounts", j), f"no such account{near}")

    def _named(self, section: str, names: re.Pattern[str] | None = None) -> Raw:
        tables = self._tables.get(section, {})
        if not isinstance(tables, dict):
            self._fault((section,), f"write [{section}.NAME]")
            return {}
        for name, table in tables.items():
            if names and not names.fullmatch(name):
                self._fault((section, name), "a name has 1 to 64 of a-z, 0-9 and the hyphen")
            elif names and not isinstance(table, dict):
                self._fault((section, name), f"write [{section}.{name}], a table")
        return {name: table for name, table in tables.items() if names is None or isinstance(table, dict)}

    def _each(self, kind: type[M], section: str, tables: Raw, only: Sequence[str] = ()) -> dict[str, M]:
        found = {}
        for name, table in tables.items():
            ours = {key: value for key, value in table.items() if not only or key in only}
            model = self._model(kind, ours, section, name)
            if model is not None:
                found[name] = model
        return found

    def _model(self, kind: type[M], table: Any, *path: Step, also: Sequence[str] = ()) -> M | None:
        try:
            return kind.model_validate(table, context={"base": self.path.parent})
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
        for fault in found:
            loc = fault["loc"]
            if fault["type"] == "extra_forbidden":
                known = (*keys_at(kind, loc[:-1]), *(also if len(loc) == 1 else ()))
                self._fault((*path, *loc), f"unknown key{nearest(str(loc[-1]), known)}")
            elif fault["type"] == "missing":
                self._fault((*path, *loc), "is missing")
            elif loc[:1] in _OWN_WORDS:
                self._fault((*path, loc[0]), _OWN_WORDS[loc[:1]])
            else:
                self._fault((*path, *loc), self._shown(_IN_WORDS.get(fault["type"], fault["msg"]), fault["input"]))
        return None

    def _unknown(self, tables: Raw, known: Iterable[str], *path: Step) -> None:
        known = tuple(known)
        for key in tables:
            if key not in known:
                self._fault((*path, key), f"unknown key{nearest(key, known)}")

    def _fault(self, path: Sequence[Step], reason: str) -> None:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
        where = where.replace(".toml.", ".toml: ", 1)  # a key of a file of its own
        if all(fault.path != where for fault in self.faults):  # the first one is the cause
            self.faults.append(Fault(where, reason))

    def _shown(self, message: str, value: Any) -> str:
        """Take every value out of a text: a validator's own words may quote what it was given."""
        message = in_our_words(message)
        for secret in sorted({*self._given, *_leaves(value)}, key=len, reverse=True):
            message = message.replace(secret, "…") if len(secret) > 3 else message
        return message


def _parsed(text: str, path: Path) -> Raw:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at .*\)$", str(error))  # the words before it may quote the line
        what = "has a table or a key twice" if _TWICE.match(str(error)) else "is no TOML"
    raise SettingsError(str(path), [Fault("the file", f"{what} {place[0] if place else ''}".strip())])


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    elif not isinstance(value, bool) and value is not None:
        yield str(value)


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return [_sorted(inner) for inner in value]
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value
