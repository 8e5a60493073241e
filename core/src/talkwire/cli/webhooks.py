"""`talkwire webhooks`: how the hosts do that are told facts, a test, a secret, another try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import place
from .place import ConfigFile, Json
from .screen import as_json, columns, many, now, say, span

if TYPE_CHECKING:
    from ..oversight.evidence import ReaderLag

app = typer.Typer(
    name="webhooks", help="List hosts that are told facts; test or resume one.", invoke_without_command=True
)
_Name = Annotated[str, typer.Argument(help="The `name` in its [[webhooks]].")]


@app.callback()
def _list(context: typer.Context, as_: Json = False, config: ConfigFile = None) -> None:
    place.choose(config)
    if context.invoked_subcommand is None:
        _show(as_)


@app.command("list")
def list_(as_: Json = False, config: ConfigFile = None) -> None:
    """List hosts, and how far each was told."""
    place.choose(config)
    _show(as_)


def _show(as_: bool) -> None:
    from ..oversight import evidence

    found = place.raw(None)
    readers = {one.name: one for one in place.look(found.store, evidence.readers)}
    rows = [(one, readers.get(one.reader)) for one in found.webhooks]
    if as_:
        as_json([{"name": one.name, "host": one.host, "reader": reader} for one, reader in rows])
        return
    if not rows:
        say(f"none yet; write [[webhooks]] into {found.path}")
        return
    columns([(one.name, one.host, *_stands(reader)) for one, reader in rows])


def _stands(reader: ReaderLag | None) -> tuple[str, str, str]:
    if reader is None or reader.state == "stopped":
        return "new", "", "the daemon has not started with it yet"
    state = "works"
    if reader.state == "gone":
        state = "gone"
    elif reader.down_since:
        state = f"away for {span(now() - reader.down_since)}"
    elif reader.last_error and reader.behind:
        state = "tried again"
    parked = f", {reader.parked:,} parked" if reader.parked else ""
    error = reader.last_error if state != "works" or reader.parked else ""  # else it is over
    return state, f"{many(reader.behind, 'fact')} behind{parked}", error


@app.command("test")
def send_test(name: _Name, config: ConfigFile = None) -> None:
    """Send a signed event of type webhook.test, and say what came back.

    Exit 1 if the host did not take it. What waited for the host is told at once if it did; a fact at which the host
    fails all the same is refused, so that it holds up its conversation alone.
    """
    done = place.ask(config, "test-webhook", webhook=name)
    say(f"{name}: {done['text']}, in {done['milliseconds']} ms", level="ok" if done["took"] else "BAD")
    if not done["took"]:
        raise typer.Exit(1)


@app.command()
def resume(name: _Name, config: ConfigFile = None) -> None:
    """Try a host again now: one that is away, or that answered 410 Gone.

    It goes on with the first fact that it did not take.
    """
    was_gone = place.ask(config, "resume-webhook", webhook=name)
    say(f"{name} is told facts again" if was_gone else f"{name} was not gone; what waits for it is tried now")


@app.command()
def secret() -> None:
    """Make a secret to sign with.

    Keep it out of the settings file: ${NAME} or ${file:path} in `secrets` reads it. To change a secret without a gap,
    list both: every one signs; take the old one out once the host knows the new one.
    """
    from ..telling.webhooks import new_secret

    say(new_secret())
