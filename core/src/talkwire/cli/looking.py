"""Commands that look, and change nothing: how everything stands, and what became of one thing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import place
from .place import ConfigFile, Json
from .screen import ago, as_json, columns, complain, many, now, own_id, say, size, span

if TYPE_CHECKING:
    from ..evidence import Evidence, Status
    from ..settings import RawConfig
    from ..store import Query

_LEVELS = ("ok", "look", "BAD")  # the exit code of `status` is the position of the worst
_WAITS_LONG = timedelta(minutes=10)
_STARTS_LONG = timedelta(minutes=1)
_BEHIND = 1000  # facts that a reader may be behind before somebody should look
_DISK_LOOK, _DISK_BAD = 0.10, 0.02  # of the disk is free


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
    lines = [daemon]
    stands: Status | None = None
    try:
        stands, waits, daemons = place.look(found.store, _read)
        if lines[0].level == "BAD" and daemons:
            lines[0] = Line("look", "daemon", f"none here; {many(daemons, 'daemon')} elsewhere")
        stands = replace(stands, accounts=tuple(_newer(one, live) for one in stands.accounts))
        lines += _lines(stands, waits)
        lines += _disk(found)
    except TalkwireError as error:
        lines.append(Line("BAD", "database", str(error)))
    worst = max(_LEVELS.index(line.level) for line in lines)
    if as_:
        as_json({"level": _LEVELS[worst], "lines": [asdict(line) for line in lines], "status": stands})
        raise typer.Exit(worst)
    say(f"Talkwire · {found.path} · {found.store.place}\n")
    width = max(len(line.what) for line in lines)
    for line in lines:
        say(f"{line.what:<{width}}  {line.text}", level=line.level)
        if line.hint:
            say(f"{'':<{width}}        → {line.hint}")
    raise typer.Exit(worst)


@dataclass(frozen=True, slots=True)
class _Waits:
    tasks: int
    held: int  # lanes
    oldest_of: str  # address of the conversation; empty: it is not of one


def _read(query: Query) -> tuple[Status, _Waits, int]:
    from .. import evidence

    found = evidence.status(query)
    row = query.one("SELECT count(*) FROM task")
    held = query.one("SELECT count(*) FROM lane WHERE held <> ''")
    of = _address(query, found.oldest.subject) if found.oldest else ""
    daemons = query.one("SELECT count(DISTINCT owner) FROM lease WHERE until > :now", {"now": query.now_us})
    waits = _Waits(row[0] if row else 0, held[0] if held else 0, of)
    return found, waits, daemons[0] if daemons else 0


def _address(query: Query, conversation: str) -> str:
    row = query.one(_ADDRESS, {"id": conversation})
    return row[0] if row else ""


_ADDRESS = "SELECT a.value FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id = :id"


def _newer(account: Evidence, live: dict[str, Any]) -> Evidence:
    """Put in what the daemon has seen since it last stored it, which it does every 30 seconds."""
    seen = live.get(account.name, {})
    return replace(
        account,
        last_in_at=_later(account.last_in_at, seen.get("last_in_at")),
        last_out_at=_later(account.last_out_at, seen.get("last_out_at")),
    )


def _later(stored: datetime | None, said: str | None) -> datetime | None:
    both = (stored, datetime.fromisoformat(said) if said else None)
    return max((moment for moment in both if moment), default=None)


def _daemon(found: RawConfig) -> tuple[Line, dict[str, Any]]:
    """Ask the daemon; gives its line, and what it has seen of each account."""
    from ..errors import TalkwireError

    try:
        about = place.running(place.admin_of(found).socket)
    except place.NobodyThere:
        return Line("BAD", "daemon", "does not run here", "talkwire run"), {}
    except TalkwireError as error:
        return Line("BAD", "daemon", str(error)), {}
    return _running(about), about["accounts"]


def _running(about: dict[str, Any]) -> Line:
    text = f"{about['version']}, for {span(timedelta(seconds=about['seconds']))}, pid {about['pid']}, {about['public']}"
    if about["stuck"]:
        return Line("BAD", "daemon", "; ".join(about["stuck"]), "restart it; the plugin that is named needs repair")
    if about["not_ready"]:
        return Line("look", "daemon", f"{text}: {', '.join(about['not_ready'])}")
    slow = [f"{hook['plugin']}.{hook['hook']} {hook['seconds']:.2f} s" for hook in about["slow_hooks"]]
    if slow:
        return Line("look", "daemon", f"{text}; slow with the writer: {', '.join(slow)}")
    return Line("ok", "daemon", text)


def _lines(found: Status, waits: _Waits) -> Iterator[Line]:
    if not found.accounts:
        yield Line("look", "accounts", "none yet; write [accounts.NAME] into the settings")
    for account in found.accounts:
        yield _account(account)
    yield _waiting(found, waits)
    trouble = [f"{found.uncertain} uncertain", f"{found.failed} failed"]
    bad = found.uncertain + found.failed > 0
    which = "uncertain" if found.uncertain else "failed"
    hint = f"talkwire deliveries --state {which}" if bad else ""
    yield Line("look" if bad else "ok", "parts", f"{', '.join(trouble)} in 24 h", hint)
    yield from _readers(found)
    hint = "talkwire replay --unread, once the channel understands them" if found.unread else ""
    text = f"{many(found.unread, 'envelope')} not understood" if found.unread else "every envelope was understood"
    yield Line("look" if found.unread else "ok", "unread", text, hint)


def _account(account: Evidence) -> Line:
    what = f"account {account.name}"
    state, since = account.state, now() - account.since
    seen = f"last in {ago(account.last_in_at)}, last out {ago(account.last_out_at)}"
    reason = f": {account.reason}" if account.reason else ""
    if state == "working":
        return Line("ok", what, f"{account.channel}, works; {seen}")
    if state == "broken":
        return Line(
            "BAD", what, f"broken for {span(since)}{reason}; {seen}", f"talkwire accounts resume {account.name}"
        )
    if state == "paused":
        return Line("look", what, f"paused for {span(since)}{reason}", f"talkwire accounts resume {account.name}")
    if state == "absent":
        return Line("look", what, f"absent for {span(since)}{reason}; what it had can be read")
    level = "ok" if state == "starting" and since < _STARTS_LONG else "look"
    return Line(level, what, f"{state} for {span(since)}{reason}; {seen}")


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
    live = [reader for reader in found.readers if reader.state == "active"]
    calm = [reader for reader in live if reader.behind < _BEHIND and not reader.parked]
    if calm or not live:
        yield Line("ok", "readers", f"{len(calm)} of {len(live)} have been told everything" if live else "none")
    for reader in live:
        if reader in calm:
            continue
        parked = f", {many(reader.parked, 'fact')} parked" if reader.parked else ""
        error = f": {reader.last_error}" if reader.last_error else ""
        hint = f"talkwire replay --parked --reader {reader.name}" if reader.parked else ""
        yield Line("look", f"reader {reader.name}", f"{many(reader.behind, 'fact')} behind{parked}{error}", hint)


def _disk(found: RawConfig) -> Iterator[Line]:
    url = found.store.url.get_secret_value()
    if not url.startswith("sqlite:"):
        return
    total, _, free = shutil.disk_usage(Path(url.removeprefix("sqlite:///")).parent)
    level = "BAD" if free < total * _DISK_BAD else "look" if free < total * _DISK_LOOK else "ok"
    yield Line(level, "disk", f"{size(free)} free of {size(total)}")


# --- find, trace ---------------------------------------------------------------------------------------

_What = Annotated[str, typer.Argument(help="A text, an address, a phone number in any form, or an id of anything.")]


def find(
    what: _What,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 20,
    as_: Json = False,
    config: ConfigFile = None,
) -> None:
    """Find messages, parts, envelopes and people."""
    from .. import evidence

    store = place.raw(config).store
    found = place.look(store, lambda query: evidence.find(query, what, limit=limit))
    if as_:
        as_json(found)
    elif found:
        columns([(one.kind, one.id, one.text) for one in found])
        say(f"\ntalkwire trace {found[0].id}   tells its story")
    if not found:
        complain("nothing found; texts are looked for in the newest 10,000 messages, ids and addresses everywhere")
        raise typer.Exit(1)


def trace(
    what: _What,
    bodies: Annotated[bool, typer.Option("--bodies", help="With texts, and what was said to the provider.")] = False,
    as_: Json = False,
    config: ConfigFile = None,
) -> None:
    """Tell the whole story of one thing.

    What came, what was tried, what became of it: of a message or a conversation, found by anything `find` takes.
    """
    from .. import evidence
    from ..errors import NotFound

    found = place.raw(config)
    try:
        lines = place.look(found.store, lambda query: evidence.trace(query, what, bodies=bodies))
    except NotFound as error:
        raise NotFound(f"{error}: {what}\n  Anything that talkwire find shows can be traced.") from error
    if as_:
        as_json(lines)
        return
    zone = _zone(found)
    day = None
    for line in lines:
        at = line.at.astimezone(zone)
        if at.date() != day:
            day = at.date()
            say(f"{day}, {place.general_of(found).time_zone}")
        first, *rest = line.text.split("\n")
        say(f"  {at:%H:%M:%S}.{at.microsecond // 1000:03}  {line.kind:<8}  {first}{own_id(line.kind, line.ids)}")
        for one in rest:
            say(f"{'':<26}{one}")
    if not bodies:
        say("\n--bodies shows texts, and what was said to the provider")


def _zone(found: RawConfig) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(place.general_of(found).time_zone)


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
    """List plugins, and why one failed."""
    from ..plugins import Plugins

    found = place.raw(config)
    infos = Plugins(found.enabled, channels=found.channels, media=found.media).infos
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
    if any(one.state == "available" for one in infos):
        say("\navailable: installed, not enabled; [plugins] enabled, or an account's channel, turns one on")
