"""What is typed: `talkwire desktop …`."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Notifications on this machine's desktop.", rich_markup_mode=None)


@app.callback()
def _root() -> None:
    """Notifications on this machine's desktop."""
