"""`talkwire lanes`: what waits in order, and why; let it go on, or give it up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from . import place
from .place import ConfigFile, Json
from .screen import ago, as_json, columns, many, now, number_of, say, span

if TYPE_CHECKING:
    from ..store import Query

app = typer.Typer(name="lanes", help="List what waits; release or drop a lane.", invoke_without_command=True)


def _number(text: str) -> int:
    number = number_of(text)
    if not number:
        raise typer.BadParameter(f"{text!r} is no lane's number; talkwire lanes has it in the first column")
    return number


_Id = Annotated[
    int | None,
    typer.Argument(parser=_number, metavar="LANE", help="The number in the first column of `talkwire lanes`."),
]
_Account = Annotated[str, typer.Option(help="All lanes of an account that are held since a restore.")]
_All = Annotated[bool, typer.Option("--all", help="All lanes that are held since a restore.")]
_MOST = 100
_LANES = """
    SELECT l.id, l.grp, l.subject, l.due, l.attempts, l.held, l.last_error, count(t.id), min(t.created_at),
           COALESCE(s.state, '')
    FROM lane l JOIN task t ON t.lane_id = l.id LEFT JOIN account_state s ON l.grp = 'send:' || s.account
    GROUP BY l.id, l.grp, l.subject, l.due, l.attempts, l.held, l.last_error, s.state ORDER BY min(t.id) LIMIT :most
"""
_ADDRESSES = """
    SELECT c.id, a.value FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id IN (:ids[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A lane with something to do."""

    id: int
    group: str
    subject: str
    address: str  # of the conversation; empty: it is not of one
    tasks: int
    since: datetime  # of its oldest task
    due: datetime | None  # None: held
    attempts: int
    held: str
    last_error: str
    account: str  # state of the account that it sends for; empty: it does not send


def _waiting(query: Query) -> list[Waiting]:
    from ..clock import moment

    rows = query.execute(_LANES, {"most": _MOST})
    subjects = sorted({_conversation(row[2]) for row in rows})
    address_by_id: dict[str, str] = dict(query.execute(_ADDRESSES, {"ids": subjects})) if subjects else {}
    return [
        Waiting(
            id=id_,
            group=group,
            subject=subject,
            address=address_by_id.get(_conversation(subject), ""),
            tasks=tasks,
            since=moment(since),
            due=None if due is None else moment(due),
            attempts=attempts,
            held=held,
            last_error=error,
            account=account,
        )
        for id_, group, subject, due, attempts, held, error, tasks, since, account in rows
    ]


def _conversation(subject: str) -> str:
    return subject.partition(":")[0]


@app.callback()
def _list(context: typer.Context, as_: Json = False, config: ConfigFile = None) -> None:
    place.choose(config)
    if context.invoked_subcommand is None:
        _show(as_)


@app.command("list")
def list_(as_: Json = False, config: ConfigFile = None) -> None:
    """List what waits, the oldest first."""
    place.choose(config)
    _show(as_)


def _show(as_: bool) -> None:
    found = place.look(place.raw(None).store, _waiting)
    if as_:
        as_json(found)
        return
    if not found:
        say("nothing waits")
        return
    columns([_row(one) for one in found])
    if len(found) == _MOST:
        say("… and more")
    if restored := sum(one.held == "restored" for one in found):
        say(
            f"\n{many(restored, 'lane is', 'lanes are')} held since a restore: what waits may have been done after the backup"
        )
        say("talkwire lanes drop --all      it was done: its parts are uncertain, and can be settled")
        say("talkwire lanes release --all   do it now; or --account NAME, or a number")
    say("\ntalkwire lanes release N   tries it now")
    say("talkwire lanes drop N      gives it up: its parts have failed")


def _row(one: Waiting) -> tuple[str, ...]:
    if one.account in ("broken", "paused", "absent"):
        when = f"its account is {one.account}"
    elif one.held:
        when = f"held: {one.held}"
    elif one.due is not None and one.due > now():
        when = f"again in {span(one.due - now())}, {many(one.attempts, 'attempt')}"
    else:
        when = "due"
    since = f"since {ago(one.since)}"
    of = f"{one.address} (a copy)" if one.address and ":" in one.subject else one.address or one.subject
    return str(one.id), one.group, of, many(one.tasks, "task"), since, when, one.last_error


@app.command()
def release(lane: _Id = None, account: _Account = "", all_: _All = False, config: ConfigFile = None) -> None:
    """Try now what waits.

    A lane by its number, held or not; or all that is held since a restore.
    """
    if _chosen(lane, account, all_) is None:
        done = place.ask(config, "release-restored", account=account)
        say(f"{many(done['lanes'], 'lane goes', 'lanes go')} on")
        return
    done = place.ask(config, "release-lane", lane=lane)
    if until := done["account_waits_until"]:
        wait = span(datetime.fromisoformat(str(until)) - now())
        say(f"lane {lane} goes on in {wait}: its provider asked the whole account to wait so long", level="look")
    else:
        say(f"lane {lane}, {done['group']}, is tried now")


@app.command()
def drop(
    lane: _Id = None,
    account: _Account = "",
    all_: _All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without asking.")] = False,
    config: ConfigFile = None,
) -> None:
    """Give up what waits.

    A lane by its number; or all that is held since a restore.

    Its parts have failed; they can be sent again as new ones. Parts that are held since a restore may have been sent
    after the backup: they become uncertain, see talkwire deliveries.
    """
    one = _chosen(lane, account, all_)
    if not yes:
        what = (
            f"everything in lane {lane}" if one else f"all that is held since a restore{account and ' of ' + account}"
        )
        typer.confirm(f"Give up {what}?", abort=True)
    if one is None:
        done = place.ask(config, "drop-restored", account=account)
        say(f"{many(done['lanes'], 'lane')}: {many(done['tasks'], 'task')} given up")
    else:
        done = place.ask(config, "drop-lane", lane=lane)
        failed = done["parts"] - done["uncertain"]
        say(f"{many(done['tasks'], 'task')} given up; {many(failed, 'part')} failed")
        if done["under_way"]:
            say(f"{many(done['under_way'], 'part is', 'parts are')} under way: its outcome is waited for", level="look")
    if done["uncertain"]:
        say(
            f"{many(done['uncertain'], 'part is', 'parts are')} uncertain: talkwire deliveries; talkwire settle",
            level="look",
        )


def _chosen(lane: int | None, account: str, all_: bool) -> int | None:
    """Let exactly one way be chosen; gives the lane's number, if that is it."""
    if sum((lane is not None, bool(account), all_)) != 1:
        raise typer.BadParameter("give the number of a lane, or --account NAME, or --all")
    return lane
