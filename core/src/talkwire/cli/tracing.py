"""`talkwire find` and `trace`: from a phone number to the reason why nobody answered."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from . import place
from .place import ConfigFile, Json
from .screen import as_json, columns, complain, now, paint, put, say, span, wide, width, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..oversight.reasons import Reason
    from ..oversight.story import Story, TraceLine
    from ..store import Query

_What = Annotated[str, typer.Argument(help="A text, an address, a phone number in any form, or an id of anything.")]
_NAMED = 5  # of what is found beside the thing whose story is told
_KIND = 8  # columns of the longest kind of a line


def find(
    what: _What,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 20,
    as_: Json = False,
    config: ConfigFile = None,
) -> None:
    """Find messages, parts, envelopes and people.

    Under each talk that stands still it says why.
    """
    from ..oversight import evidence

    raw = place.raw(config)

    def look(query: Query) -> list[evidence.Found]:
        return evidence.explained(query, evidence.find(query, what, limit=limit))

    found = place.look(raw.store, look)
    if as_:
        as_json(found)
    elif found:
        kinds = max(len(one.kind) for one in found)
        for one in found:
            columns([(f"{one.kind:<{kinds}}", one.id, one.text)])
            _why(one.why[:3], _zone(place.general_of(raw).time_zone), indent=kinds + 2)
        say(f"\ntalkwire trace {found[0].id}   tells its story")
    if not found:
        complain(
            "nothing found; ids and addresses are looked for everywhere, texts in the newest 10,000 messages,\n"
            "  both also in the newest 4 MiB of what was not understood\n"
            "  talkwire status   says when each account last heard something, and what was not genuine"
        )
        raise typer.Exit(1)


def trace(
    what: _What,
    bodies: Annotated[bool, typer.Option("--bodies", help="With texts, and what was said to the provider.")] = False,
    as_: Json = False,
    config: ConfigFile = None,
) -> None:
    """Tell the whole story of one thing.

    What came, who was told, what was tried, what became of it, and what it waits for: of a message or a talk, found by
    anything `find` takes.
    """
    from ..errors import NotFound
    from ..oversight import story

    found = place.raw(config)
    try:
        told = place.look(found.store, lambda query: story.tell(query, what, bodies=bodies))
    except NotFound as error:
        raise NotFound(f"{error}: {what}\n  Anything that talkwire find shows can be traced.") from error
    if as_:
        as_json(told)
        return
    name = place.general_of(found).time_zone
    _show(told, _zone(name), name)
    _others(told, what)
    if not bodies:
        say("\n--bodies shows texts, and what was said to the provider")


def _others(told: Story, what: str) -> None:
    """Name what else is found by the same words."""
    if not told.others:
        return
    say(f"\nThis is the story of the {told.of.kind} {told.of.id}; found too:")
    columns([(one.kind, one.id, one.text) for one in told.others[:_NAMED]], indent="  ")
    if len(told.others) > _NAMED:
        say(f"  … and more; talkwire find {shlex.quote(what)}   lists them")


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _show(told: Story, zone: ZoneInfo, zone_name: str) -> None:
    if told.title:
        put(paint(told.title, is_bold=True))
    if told.why:
        say()
        _why(told.why, zone)
    elif told.conversation:
        say()
        say("nothing is open", level="ok")
    if told.cut:
        say("\n… and earlier")
    before: TraceLine | None = None
    for line in told.lines:
        at = line.at.astimezone(zone)
        if before is None or before.at.astimezone(zone).date() != at.date():
            say()
            put(paint(f"{at:%A} {at.date()}", is_bold=True), paint(f", {zone_name}", is_dim=True))
        _line(line, at, before)
        before = line


def _line(line: TraceLine, at: datetime, before: TraceLine | None) -> None:
    since = f"+{_short(line.at - before.at)}" if before else ""
    head = f"  {at:%H:%M:%S}  {since:>8}  "
    indent = wide(head) + _KIND + 2
    text = f"{line.who}: {line.text}" if line.who else line.text
    own = line.ids.get({"part": "delivery"}.get(line.kind, line.kind), "")
    lines = wrapped(text, width() - indent)
    put(paint(head, is_dim=True), paint(f"{line.kind:<{_KIND}}  ", "red" if line.is_bad else "cyan"), paint(lines[0]))
    for more in lines[1:]:
        put(" " * indent, paint(more))
    if (own and line.kind in ("envelope", "message")) or (own and line.is_bad):
        put(" " * min(indent, width() - len(own)), paint(own, is_dim=True))
    for more in wrapped(line.body, width() - indent - 2) if line.body else ():
        put(" " * indent, paint("│ ", is_dim=True), paint(more))


def _why(why: Sequence[Reason], zone: ZoneInfo, indent: int = 0) -> None:
    for one in why:
        colour = ("red" if one.hint else "yellow") if one.is_open else "yellow"
        first, *rest = wrapped(one.text + _when(one, zone), width() - indent - 2)
        put(" " * indent, paint("! ", colour, is_bold=True), paint(first, colour))
        for more in rest:
            put(" " * indent, "  ", paint(more, colour))
        if one.hint:
            put(" " * indent, "  ", paint(f"→ {one.hint}", is_bold=True))


def _when(one: Reason, zone: ZoneInfo) -> str:
    said = ""
    if one.since is not None:
        said += f"; since {_moment(one.since, zone)}, for {span(now() - one.since)}"
    if one.until is not None:
        rest = one.until - now()
        said += f"; again at {_moment(one.until, zone)}" + (f", in {span(rest)}" if rest > timedelta() else "")
    return said


def _moment(at: datetime, zone: ZoneInfo) -> str:
    here = at.astimezone(zone)
    return f"{here:%H:%M}" if here.date() == now().astimezone(zone).date() else f"{here:%Y-%m-%d %H:%M}"


def _short(length: timedelta) -> str:
    """Say how long it took, in few letters: 8 ms, 2.1 s, 14 min, 3 h."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else span(length)


# --- why -------------------------------------------------------------------------------------------------


def why(
    recipient: Annotated[str, typer.Argument(help="NAME of [recipients.NAME] in the settings.")],
    event: Annotated[
        str, typer.Argument(help="Number of a fact, or the id of a message, a notification or a conversation.")
    ],
    as_: Json = False,
    config: ConfigFile = None,
) -> None:
    """Say why somebody was notified of something, or was not.

    Which rules applied and which did not, what each medium did and when, who answered where. It reads the database
    beside a running daemon, and changes nothing. Exit 1 where nothing is known.
    """
    from ..errors import NotFound
    from ..notify.why import sentences
    from ..notify.why import why as ask

    found = place.raw(config)
    try:
        said = place.look(found.store, lambda query: ask(query, found.rules, recipient, event))
    except NotFound as error:
        complain(str(error))
        raise typer.Exit(1) from None
    if as_:
        as_json(said)
        return
    for line in sentences(said, _zone(place.general_of(found).time_zone)):
        indent = "    " if line.startswith("  ") else ""
        first, *rest = wrapped(line.strip(), width() - len(indent) - 2)
        say(("  " if indent else "") + first)
        for more in rest:
            say(f"{indent}{more}")
