"""Commands that look, and change nothing: how everything stands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import place
from .place import ConfigFile, Json
from .screen import ago, as_json, columns, many, now, paint, put, say, size, span, width, wrapped

if TYPE_CHECKING:
    from ..lifecycle.expiring import Expiry
    from ..oversight.evidence import Evidence, ReaderLag, Status
    from ..oversight.health import Failing, Health
    from ..settings import RawConfig
    from ..store import Query

_LEVELS = ("ok", "look", "BAD")  # the exit code of `status` is the position of the worst
_WAITS_LONG = timedelta(minutes=10)
_STARTS_LONG = timedelta(minutes=1)
_REJECTED = 3  # deliveries in a row; a stranger who knocks once is no news
_BEHIND = 1000  # facts that a reader may be behind before somebody should look
_HANDLES_LOOK = 0.8  # of the handles that the system allows
_TASKS_LOOK = 1000  # that do the same: more than connections and lanes need


@dataclass(frozen=True, slots=True)
class Line:
    """One thing on the screen."""

    level: str
    what: str
    text: str
    hint: str = ""  # what to type


# --- status --------------------------------------------------------------------------------------------


def status(as_: Json = False, config: ConfigFile = None) -> None:
    """Say on one screen how everything stands.

    Exit 0: all is well; 1: somebody should look; 2: something is BAD.
    """
    from ..errors import TalkwireError

    found = place.raw(config)
    daemon, live = _daemon(found)
    lines = [daemon, *_process(live)]
    stands: Status | None = None
    health: Mapping[str, Health] = {}
    try:
        stands, waits, daemons = place.look(found.store, _read)
        if lines[0].level == "BAD" and daemons:
            lines[0] = Line("look", "daemon", f"none here; {many(daemons, 'daemon')} elsewhere")
        health = waits.health
        stands = replace(stands, accounts=tuple(_newer(one, live) for one in stands.accounts))
        lines += _lines(stands, waits, live.get("accounts", {}))
        lines += _media(live.get("media", {}), waits.media)
        lines += _disk(found)
    except TalkwireError as error:
        text, _, hint = str(error).partition("; type: ")
        lines.append(Line("BAD", "database", text, hint))
    worst = max(_LEVELS.index(line.level) for line in lines)
    if as_:
        as_json(
            {"level": _LEVELS[worst], "lines": [asdict(line) for line in lines], "status": stands, "health": health}
        )
        raise typer.Exit(worst)
    say(f"Talkwire · {found.path} · {found.store.place}\n")
    column = max(len(line.what) for line in lines)
    before = ""
    for line in lines:
        what = line.what if line.what != before else ""
        first, *rest = wrapped(line.text, width() - column - 8)
        say(f"{what:<{column}}  {first}", level=line.level)
        for more in rest:
            say(f"{'':<{column}}        {more}")
        if line.hint:
            put(" " * (column + 8), paint(f"→ {line.hint}", is_bold=True))
        before = line.what
    raise typer.Exit(worst)


@dataclass(frozen=True, slots=True)
class _Waits:
    tasks: int
    held: int  # lanes
    oldest_of: str  # address of the conversation; empty: it is not of one
    health: Mapping[str, Health]  # of accounts, where there is something to say
    ends: Sequence[Expiry]  # within two weeks
    media: Mapping[str, Failing]  # those that fail


def _read(query: Query) -> tuple[Status, _Waits, int]:
    from ..lifecycle import expiring
    from ..oversight import evidence, health

    found = evidence.status(query)
    row = query.one("SELECT count(*) FROM task")
    held = query.one("SELECT count(*) FROM lane WHERE held <> ''")
    of = _address(query, found.oldest.subject) if found.oldest else ""
    daemons = query.one("SELECT count(DISTINCT owner) FROM lease WHERE until > :now", {"now": query.now_us})
    waits = _Waits(
        row[0] if row else 0,
        held[0] if held else 0,
        of,
        health.of_accounts(query),
        expiring.soon(query),
        health.of_media(query),
    )
    return found, waits, daemons[0] if daemons else 0


def _address(query: Query, conversation: str) -> str:
    row = query.one(_ADDRESS, {"id": conversation.partition(":")[0]})  # or the lane of a copy
    return row[0] if row else ""


_ADDRESS = "SELECT a.value FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id = :id"


def _newer(account: Evidence, live: dict[str, Any]) -> Evidence:
    """Put in what the daemon has seen since it last stored it, which it does every 30 seconds."""
    seen = live.get("accounts", {}).get(account.name, {})
    return replace(
        account,
        last_in_at=_later(account.last_in_at, seen.get("last_in_at")),
        last_out_at=_later(account.last_out_at, seen.get("last_out_at")),
    )


def _later(stored: datetime | None, said: str | None) -> datetime | None:
    both = (stored, datetime.fromisoformat(said) if said else None)
    return max((moment for moment in both if moment), default=None)


def _daemon(found: RawConfig) -> tuple[Line, dict[str, Any]]:
    """Ask the daemon; gives its line, and what it says of itself."""
    from ..errors import TalkwireError

    try:
        about = place.running(place.admin_of(found).socket)
    except place.NobodyThere:
        return Line("BAD", "daemon", "does not run here", "talkwire run"), {}
    except TalkwireError as error:
        return Line("BAD", "daemon", str(error)), {}
    return _running(about), about


def _running(about: dict[str, Any]) -> Line:
    text = f"{about['version']}, for {span(timedelta(seconds=about['seconds']))}, pid {about['pid']}, {about['public']}"
    if about["stuck"]:
        return Line("BAD", "daemon", "; ".join(about["stuck"]), "restart it; the plugin that is named needs repair")
    if about.get("down"):
        return Line("BAD", "daemon", f"{text}: it cannot write: {about['down']}")
    last = about.get("settings") or {}
    if last.get("fault"):
        fault = " ".join(last["fault"].split())
        what = "not all changed settings are in force" if last.get("taken") else "changed settings were not taken"
        return Line("look", "daemon", f"{text}; {what}: {fault}", "talkwire reload")
    if about["not_ready"]:
        return Line("look", "daemon", f"{text}: {', '.join(about['not_ready'])}")
    if last.get("restart"):
        changed = ", ".join(last["restart"])
        return Line("look", "daemon", f"{text}; changed, but in force only after a restart: {changed}", "restart it")
    slow = [f"{hook['plugin']}.{hook['hook']} {hook['seconds']:.2f} s" for hook in about["slow_hooks"]]
    if slow:
        return Line("look", "daemon", f"{text}; slow with the writer: {', '.join(slow)}")
    return Line("ok", "daemon", text)


def _process(about: dict[str, Any]) -> Iterator[Line]:
    """Say what the daemon's process holds; a plugin that leaks shows here."""
    if not (held := about.get("held")):
        return
    most = held["handles_most"]
    text = f"{size(held['resident'])}, {held['handles']} of {most} handles, {many(held['threads'], 'thread')}"
    text += f", {many(held['tasks'], 'task')}"
    scarce, crowded = held["handles"] > most * _HANDLES_LOOK, held["most"] > _TASKS_LOOK
    if crowded:
        text += f"; {held['most']} of them: {held['most_of']}"
    hint = "something leaks, or LimitNOFILE is too low; it goes on after a restart" if scarce or crowded else ""
    yield Line("look" if hint else "ok", "process", text, hint)


def _lines(found: Status, waits: _Waits, live: Mapping[str, Any]) -> Iterator[Line]:
    if not found.accounts:
        yield Line("look", "accounts", "none yet; write [accounts.NAME] into the settings")
    for account in found.accounts:
        yield from _account(account, waits.health.get(account.name), live.get(account.name, {}))
    yield _waiting(found, waits)
    trouble = [f"{found.uncertain} uncertain", f"{found.failed} failed"]
    bad = found.uncertain + found.failed > 0
    which = "uncertain" if found.uncertain else "failed"
    hint = f"talkwire deliveries --state {which}" if bad else ""
    yield Line("look" if bad else "ok", "parts", f"{', '.join(trouble)} in 24 h", hint)
    yield from _ending(waits.ends)
    yield from _readers(found)
    hint = "talkwire replay --unread, once the channel understands them" if found.unread else ""
    text = f"{many(found.unread, 'envelope')} not understood" if found.unread else "every envelope was understood"
    yield Line("look" if found.unread else "ok", "unread", text, hint)


def _account(account: Evidence, health: Health | None, live: Mapping[str, Any]) -> Iterator[Line]:
    what = f"account {account.name}"
    state, since = account.state, now() - account.since
    seen = f"last in {ago(account.last_in_at)}, last out {ago(account.last_out_at)}"
    if account.last_poll_at is not None:
        seen += f", last fetched {ago(account.last_poll_at)}"
    if health is not None and health.waiting_since is not None:
        seen += (
            f"; {many(health.waiting, 'part waits', 'parts wait')}, the oldest for {span(now() - health.waiting_since)}"
        )
    reason = f": {account.reason}" if account.reason else ""
    resume = f"talkwire accounts resume {account.name}"
    if state == "working":
        yield Line("ok", what, f"{account.channel}, works; {seen}")
    elif state == "broken":
        yield Line("BAD", what, f"broken for {span(since)}{reason}; {seen}", f"repair what it says, then: {resume}")
    elif state == "paused":
        yield Line("look", what, f"paused for {span(since)}{reason}; {seen}", resume)
    elif state == "absent":
        yield Line("look", what, f"absent for {span(since)}{reason}; what it had can be read")
    else:
        level = "ok" if state == "starting" and since < _STARTS_LONG else "look"
        yield Line(level, what, f"{state} for {span(since)}{reason}; {seen}")
    yield from _signs(what, account, health, live)


def _signs(what: str, account: Evidence, health: Health | None, live: Mapping[str, Any]) -> Iterator[Line]:
    """Say what is odd about an account, though its state may be well."""
    test = f"talkwire accounts test {account.name}"
    rejected = _later(None, live.get("last_rejected_at"))
    if rejected is not None and live["rejected"] >= _REJECTED:
        text = f"the last {live['rejected']} deliveries were not genuine, the newest {ago(rejected)}"
        yield Line("look", what, text, "is the secret in the settings the one that the provider signs with?")
    if health is None:
        return
    if health.changes > 1:
        yield Line("look", what, f"changes often: {health.changes} times, and no state held for a minute", test)
    if health.silent_since is not None:
        text = f"silent for {span(now() - health.silent_since)}: longer than is usual, or than its quiet_after"
        yield Line("look", what, text, test)


def _ending(ends: Sequence[Expiry]) -> Iterator[Line]:
    """Say what we sign in or are known with ends soon."""
    for one in ends:
        left, what = one.until - now(), one.key.replace(":", " ")
        hint = (
            "renew it where TLS ends"
            if one.key == "public_url"
            else "put a new one into the settings, then: talkwire reload"
        )
        if left > timedelta():
            yield Line("look", what, f"the {one.what} ends in {span(left)}", hint)
        else:
            yield Line("BAD", what, f"the {one.what} ended {ago(one.until)}", hint)


def _media(said: Mapping[str, str], failing: Mapping[str, Failing]) -> Iterator[Line]:
    """Say how each medium does by which people are notified; what the daemon says goes first."""
    for name in sorted({*said, *failing}):
        texts = [said[name]] if said.get(name) else []
        if (one := failing.get(name)) is not None:
            waits = many(one.waiting, "notification waits", "notifications wait")
            texts.append(f"{waits}, tried in vain for {span(now() - one.since)}: {one.error}")
        hint = "talkwire lanes" if one is not None else ""
        yield Line("look" if texts else "ok", f"medium {name}", "; ".join(texts) or "works", hint)


def _waiting(found: Status, waits: _Waits) -> Line:
    if found.oldest is None:
        return Line("ok", "waiting", "nothing")
    oldest = found.oldest
    since = now() - oldest.since
    why = oldest.held or oldest.last_error
    of = f"{oldest.group}, {waits.oldest_of}" if waits.oldest_of else oldest.group
    text = f"{many(waits.tasks, 'task')}, {many(waits.held, 'lane')} held; the oldest for {span(since)}: {of}"
    level = "look" if since > _WAITS_LONG else "ok"
    return Line(level, "waiting", f"{text} ({why})" if why else text, "talkwire lanes" if level != "ok" else "")


def _readers(found: Status) -> Iterator[Line]:
    live = [reader for reader in found.readers if reader.state != "stopped"]
    calm = [reader for reader in live if reader.behind < _BEHIND and not _is_held_up(reader)]
    if calm or not live:
        yield Line("ok", "readers", f"{len(calm)} of {len(live)} have been told everything" if live else "none")
    for reader in live:
        if reader in calm:
            continue
        if reader.down_since or reader.state != "active":
            yield _reader_away(reader)
            continue
        waiting = f", {many(reader.waiting, 'fact')} refused or behind one" if reader.waiting else ""
        parked = f"{waiting}, {many(reader.parked, 'fact')} parked" if reader.parked else waiting
        error = f": {reader.last_error}" if reader.last_error else ""
        hint = f"talkwire replay --parked --reader {reader.name}" if reader.parked else ""
        yield Line("look", f"reader {reader.name}", f"{many(reader.behind, 'fact')} behind{parked}{error}", hint)


def _is_held_up(reader: ReaderLag) -> bool:
    return bool(reader.parked or reader.waiting or reader.down_since or reader.state != "active")


def _reader_away(reader: ReaderLag) -> Line:
    name = reader.name.removeprefix("webhook:")
    waits = f"{many(reader.behind, 'fact')} {'waits' if reader.behind == 1 else 'wait'}"
    if reader.state == "still":
        text = f"{many(reader.behind, 'fact')} behind: {reader.last_error}"
        return Line("BAD", f"reader {reader.name}", text, "restart the daemon: it goes on with what the log still has")
    if reader.state != "active" or reader.down_since is None:
        text = f"wants to be told no more: {reader.last_error}; {waits}"
        return Line("BAD", f"reader {reader.name}", text, f"talkwire webhooks resume {name}")
    text = f"away for {span(now() - reader.down_since)}: {reader.last_error}; {waits}"
    return Line("BAD", f"reader {reader.name}", text, f"talkwire webhooks test {name}")


def _disk(found: RawConfig) -> Iterator[Line]:
    from ..oversight.health import disk_level

    url = found.store.url.get_secret_value()
    if not url.startswith("sqlite:"):
        return
    total, _, free = shutil.disk_usage(Path(url.removeprefix("sqlite:///")).parent)
    yield Line(disk_level(free, total), "disk", f"{size(free)} free of {size(total)}")


# --- deliveries, plugins ---------------------------------------------------------------------------------


class Trouble(StrEnum):
    """What can be wrong with a part."""

    UNCERTAIN = "uncertain"
    FAILED = "failed"


def deliveries(
    state: Annotated[Trouble, typer.Option("--state", help="Which ones.")] = Trouble.UNCERTAIN,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 50,
    as_: Json = False,
    config: ConfigFile = None,
) -> None:
    """List parts that are uncertain or failed.

    The newest first. A part is what the provider takes in one request.
    """
    from .. import readmodels
    from ..model import State

    def read(query: Query) -> tuple[readmodels.Page[readmodels.Troubled], dict[str, str]]:
        found = readmodels.deliveries(query, State[state.name], limit=limit)
        return found, {id_: _address(query, id_) for id_ in {one.conversation for one in found.items}}

    page, addresses = place.look(place.raw(config).store, read)
    if as_:
        shown = [replace(one, delivery=replace(one.delivery, text="")) for one in page.items]
        as_json(shown)  # what was written, trace shows with --bodies
        return
    if not page.items:
        say(f"no part is {state.value}")
        return
    rows = []
    for one in page.items:
        problem = one.delivery.problem
        why = f"{problem.code}: {problem.text}".removeprefix(": ") if problem else one.delivery.reason or ""
        rows.append(
            (
                *(one.delivery.id, one.account, addresses[one.conversation], ago(one.delivery.state_at)),
                *(many(one.delivery.attempts, "attempt"), why),
            )
        )
    columns(rows)
    if page.next:
        say("… and more")
    say("\ntalkwire trace ID    tells a part's story")
    if state is Trouble.UNCERTAIN:
        say("talkwire settle ID sent|failed|again    once you know; `again` may reach the customer twice")


def plugins(as_: Json = False, config: ConfigFile = None) -> None:
    """List plugins, what they bring along, and why one failed."""
    from ..licences import bound_by
    from ..plugins import Plugins

    found = place.raw(config)
    listed = Plugins(found.enabled, channels=found.channels, media=found.media).infos
    infos = [replace(one, bound_by=bound_by(one.distribution)) if one.distribution else one for one in listed]
    if as_:
        as_json(infos)
        return
    if not infos:
        say("no plugin is installed")
    columns(
        [
            (one.name, one.state, f"{one.distribution} {one.version}".strip(), one.licence, ", ".join(one.hooks))
            for one in infos
        ]
    )
    for one in infos:
        if one.error:
            say(f"\n{one.name} failed:")
            for line in one.error.rstrip().split("\n"):
                say(f"  {line}")
    for one in infos:
        if one.bound_by:
            say(
                f"\n{one.name} brings {', '.join(one.bound_by)} along: run it as you like; whoever passes it on together with Talkwire"
            )
            say("  (an image, an installer, a product that ships it) does so under the terms of the GPL for the whole")
    if any(one.state == "available" for one in infos):
        say("\navailable: installed, not enabled; [plugins] enabled, or an account's channel, turns one on")
