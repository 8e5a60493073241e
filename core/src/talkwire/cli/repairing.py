"""Commands that repair: read an envelope again, tell a fact again, say what became of a part."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from . import place
from .place import ConfigFile
from .screen import many, number_of, say


class Verdict(StrEnum):
    """What became of a part."""

    SENT = "sent"
    FAILED = "failed"
    AGAIN = "again"


def replay(
    what: Annotated[
        str, typer.Argument(metavar="ENVELOPE|FACT", help="An envelope's id, or a parked fact's number.")
    ] = "",
    unread: Annotated[bool, typer.Option("--unread", help="All envelopes that were not understood.")] = False,
    parked: Annotated[bool, typer.Option("--parked", help="All facts that are parked.")] = False,
    reader: Annotated[str, typer.Option(help="Of facts: only for this reader.")] = "",
    webhook: Annotated[
        str, typer.Option(metavar="NAME", help="Of facts: only for this webhook; with a number also one that it took.")
    ] = "",
    config: ConfigFile = None,
) -> None:
    """Read kept envelopes, or tell parked facts, again.

    What is there already stays as it is; what a provider said of the account's health then breaks nothing now. Exit 1 if something is still not understood.
    """
    if bool(what) + unread + parked != 1:
        raise typer.BadParameter("give an envelope's id, a fact's number, --unread, or --parked; one of them")
    number = number_of(what)
    if what.isdecimal() and number is None:
        raise typer.BadParameter(f"{what} is no fact's number; talkwire status says which readers have parked some")
    if parked or number is not None:
        if reader and webhook:
            raise typer.BadParameter("give --reader or --webhook, not both")
        told = place.ask(
            config,
            "replay-fact",
            seq=number,
            reader=reader,
            webhook=webhook.removeprefix("webhook:"),
        )
        for one in told:
            say(f"fact {one['seq']} is told to {one['reader']} again")
        if not told:
            say("no fact is parked")
        return
    if reader or webhook:
        raise typer.BadParameter(f"--{'reader' if reader else 'webhook'} is for facts; an envelope has none")
    if unread:
        results = place.ask(config, "replay-unread")
        if not results:
            say("every envelope was understood")
    else:
        results = [place.ask(config, "replay", envelope=what)]
    for one in results:
        _told(one)
    if any(one["unread"] for one in results):
        raise typer.Exit(1)


def _told(one: dict[str, Any]) -> None:
    text = f"{one['envelope']}: {many(one['messages'], 'new message')}, {one['known']} known"
    if one["unread"]:
        reasons = "; ".join(dict.fromkeys(one["unread"]))
        say(f"{text}, {len(one['unread'])} not understood: {reasons}", level="look")
    else:
        say(text, level="ok")


def settle(
    part: Annotated[str, typer.Argument(metavar="ID", help="A part's id: talkwire deliveries --state uncertain.")],
    verdict: Annotated[
        Verdict, typer.Argument(help="sent: the customer has it; failed: not; again: send it once more.")
    ],
    config: ConfigFile = None,
) -> None:
    """Say what became of an uncertain part.

    `again` may reach the customer twice.
    """
    place.ask(config, "settle", delivery=part, verdict=verdict.value, by=place.by())
    said = {"sent": "is sent", "failed": "has failed", "again": "is sent once more"}[verdict.value]
    say(f"{part} {said}")
