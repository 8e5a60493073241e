"""`talkwire audit`: who did what to this instance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from . import place
from .place import ConfigFile, Json
from .screen import as_json, columns, many, now, say


def audit(
    since: Annotated[
        str, typer.Option(metavar="AGE|DATE", help="Only what is younger: 12h, 7d, 2026-11-28 (UTC).")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_: Json = False,
    config: ConfigFile = None,
) -> None:
    """List administrative acts: who did what, and when.

    The newest first: commands, sign-ins, what hosts settle, resend or cancel; never what somebody
    wrote. `begun` is one whose end nobody knows: the daemon ended first.
    """
    from ..lifecycle import auditing

    begin = _moment(since) if since else None
    found = place.raw(config)
    acts = place.look(found.store, lambda query: auditing.acts(query, since=begin, limit=limit))
    if as_:
        as_json(acts)
        return
    if not acts:
        say("nobody did anything" + (f" since {begin:%Y-%m-%d %H:%M} UTC" if begin else " yet"))
        return
    zone = place.general_of(found).time_zone
    columns(
        [
            (
                f"{one.at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}",
                one.who,
                one.what,
                one.outcome,
                " ".join(f"{key}={value}" for key, value in one.ids.items()),
            )
            for one in acts
        ]
    )
    say(f"\n{many(len(acts), 'act')}, times in {zone}" + ("; --limit shows more" if len(acts) == limit else ""))


def _moment(said: str) -> datetime:
    from pydantic import TypeAdapter, ValidationError

    from ..sections import Duration

    try:
        return now() - TypeAdapter(Duration).validate_python(said)
    except ValidationError:
        pass
    try:
        return datetime.fromisoformat(said).replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter("write an age such as 12h or 7d, or a date such as 2026-11-28") from None
