"""`talkwire keys`: who may use the API."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from . import place
from .place import ConfigFile, Json
from .screen import ago, as_json, columns, complain, say


class Scope(StrEnum):
    """What a key may do; each may do what the ones before it may."""

    READ = "read"
    BOT = "bot"
    HOST = "host"
    ADMIN = "admin"


app = typer.Typer(name="keys", help="Make, list and revoke keys of the API.", no_args_is_help=True)


@app.callback()
def _keys() -> None:
    pass


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose it is: shown beside what it does.")],
    scope: Annotated[
        Scope, typer.Option(help="read: look; bot: and reply; host: and cancel, settle, trace; admin: everything.")
    ] = Scope.HOST,
    config: ConfigFile = None,
) -> None:
    """Make a key, and show it once.

    Only its hash is kept.
    """
    if not name.strip() or len(name) > 100:
        raise typer.BadParameter("a name has 1 to 100 characters")
    token = place.ask(config, "new-key", name=name.strip(), scope=scope.value)
    say(token)
    complain("Keep it now: it cannot be shown again. Send it as: Authorization: Bearer tw_…")


@app.command("list")
def list_(as_: Json = False, config: ConfigFile = None) -> None:
    """List keys, without what makes them secret."""
    from ..api.principals import list_keys

    found = place.look(place.raw(config).store, list_keys)
    if as_:
        as_json(found)
        return
    if not found:
        say("none yet; talkwire keys new NAME")
    columns(
        [
            (
                one.id,
                one.name,
                one.scopes,
                f"made {ago(one.created_at)}",
                "works" if one.revoked_at is None else f"revoked {ago(one.revoked_at)}",
            )
            for one in found
        ]
    )


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The id in the first column of `talkwire keys list`.")],
    config: ConfigFile = None,
) -> None:
    """Let a key work no longer, from three seconds on."""
    if key.startswith("tw_"):  # somebody pasted the whole key
        key = key.split("_")[1]
    place.ask(config, "revoke-key", key=key)
    say(f"{key} works no longer")
