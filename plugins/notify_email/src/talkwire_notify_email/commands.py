"""What an operator types: `talkwire notify-email …`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Notifications by e-mail.", rich_markup_mode=None, add_completion=False)


@app.callback()
def _root() -> None:
    """Notifications by e-mail."""


@app.command()
def addresses(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Print the addresses that mail came back from.

    Notifications are not sent there for a week. Then one is tried; at once after
    DELETE /p/notify_email/addresses/ADDRESS with a key of the scope admin.
    """
    import json

    from talkwire import installation

    from .rows import all_bad

    found = installation().look(all_bad)
    if as_json:
        rows = [{"address": one.address, "at": one.at.isoformat(), "reason": one.reason} for one in found]
        typer.echo(json.dumps(rows, indent=2))
        return
    if not found:
        typer.echo("No mail has come back.")
    for one in found:
        typer.echo(f"{one.address}  since {one.at:%Y-%m-%d %H:%M} UTC: {one.reason}")
