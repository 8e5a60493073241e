"""`talkwire accounts`: how accounts do, their webhook address, pause and resume, a question to the provider."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import place
from .place import ConfigFile, Json
from .screen import ago, as_json, columns, many, say

if TYPE_CHECKING:
    from ..oversight.evidence import Evidence

app = typer.Typer(
    name="accounts",
    help="List accounts; show, pause, rename, forget one.",
    invoke_without_command=True,
)
_NOT_STARTED = "the daemon has not started with it yet"
_Name = Annotated[str, typer.Argument(help="As in [accounts.NAME].")]


@app.callback()
def _list(context: typer.Context, as_: Json = False, config: ConfigFile = None) -> None:
    place.choose(config)
    if context.invoked_subcommand is None:
        _show_all(as_)


@app.command("list")
def list_(as_: Json = False, config: ConfigFile = None) -> None:
    """List accounts, and how they do."""
    place.choose(config)
    _show_all(as_)


def _show_all(as_: bool) -> None:
    from ..oversight import evidence

    found = place.raw(None)
    stored = {one.name: one for one in place.look(found.store, evidence.accounts)}
    names = [*found.accounts, *(name for name in stored if name not in found.accounts)]
    if as_:
        as_json([stored.get(name) or _new(name, found.accounts[name]) for name in names])
        return
    if not names:
        say(f"none yet; write [accounts.NAME] into {found.path}")
        return
    columns([_row(name, stored.get(name), found.accounts.get(name)) for name in names])


def _new(name: str, keys: Any) -> dict[str, Any]:
    """Say of an account that is only in the settings what `Evidence` says of the others."""
    never = dict.fromkeys(("since", "last_in_at", "last_out_at", "last_poll_at"))
    return {"name": name, "channel": keys.channel, "state": "new", "reason": _NOT_STARTED, **never}


def _row(name: str, one: Evidence | None, keys: Any) -> tuple[str, ...]:
    if one is None:
        return name, keys.channel, "new", "", "", _NOT_STARTED
    return name, one.channel, one.state, f"in {ago(one.last_in_at)}", f"out {ago(one.last_out_at)}", one.reason


@app.command()
def show(name: _Name, config: ConfigFile = None) -> None:
    """Show one account, and its webhook address.

    Paste the address at the provider. Settings are shown without secrets.
    """
    from ..model import Policy
    from ..oversight import evidence

    loaded = place.loaded(config)
    found = loaded.config
    account = _known(name, found.accounts)
    stored = {one.name: one for one in place.look(found.store, evidence.accounts)}.get(name)
    channel = loaded.plugins.channels.get(account.channel)
    say(f"{name}")
    if stored is None:
        say(f"  state      new: {_NOT_STARTED}")
    else:
        say(f"  state      {stored.state} since {ago(stored.since)}" + (f": {stored.reason}" if stored.reason else ""))
        fetched = f", fetched {ago(stored.last_poll_at)}" if stored.last_poll_at else ""
        say(f"  last       in {ago(stored.last_in_at)}, out {ago(stored.last_out_at)}{fetched}")
        if signs := _signs(found, name):
            say(f"  signs      {', '.join(signs)}")
    say(f"  channel    {account.channel}" + ("" if channel else ", which no plugin gives"))
    if channel is not None and channel.features.webhook:
        say(f"  webhook    {found.server.public_url or place.here(found)}/in/{account.endpoint}")
        if not found.server.public_url:
            instead = "it asks for its messages" if channel.features.listens else "set [server] public_url"
            say(f"             providers cannot reach this: {instead}")
    if account.when_closed is not Policy.REJECT:
        goes_on = f"go out from {account.fallback}" if account.fallback else "wait until the customer writes again"
        goes_on += f", who gets the template {account.template} at once" if account.template else ""
        say(f"  closed     replies that cannot go out {goes_on}")
    if account.settings is not None:
        said = {key: _masked(value) for key, value in account.settings.model_dump(mode="json").items()}
        say("  settings")
        columns([(key, value) for key, value in said.items() if value], indent="    ")


def _signs(found: Any, name: str) -> list[str]:
    """Say what waits, what failed and what is odd."""
    from ..oversight import health

    one = place.look(found.store, health.of_accounts).get(name)
    if one is None:
        return []
    signs = [f"{many(one.waiting, 'part waits', 'parts wait')} since {ago(one.waiting_since)}"] if one.waiting else []
    signs += [
        f"{count} {word} in 24 h" for word, count in (("uncertain", one.uncertain), ("failed", one.failed)) if count
    ]
    signs += [f"{one.changes} changes without a state that held for a minute"] if one.changes > 1 else []
    signs += ["silent for longer than is usual, or than its quiet_after"] if one.silent_since else []
    return signs


def _masked(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value in (None, [], {}) else str(value)
    return re.sub(r"(://[^\s/:@]*:)[^\s/@]+@", r"\1…@", text)


def _known(name: str, accounts: Any) -> Any:
    import difflib

    from ..errors import NotFound

    if name in accounts:
        return accounts[name]
    near = difflib.get_close_matches(name, accounts, 1)
    hint = f"did you mean {near[0]}?" if near else "talkwire accounts lists them"
    raise NotFound(f'there is no account "{name}"; {hint}')


@app.command()
def pause(
    name: _Name,
    reason: Annotated[str, typer.Option(help="Shown to whoever asks why.")] = "",
    config: ConfigFile = None,
) -> None:
    """Send nothing for an account, until it is resumed.

    What comes in is still taken.
    """
    _known(name, place.raw(config).accounts)
    place.ask(config, "pause", account=name, reason=reason or f"by {place.by()}")
    say(f"{name} is paused; replies wait. talkwire accounts resume {name}")


@app.command()
def resume(name: _Name, config: ConfigFile = None) -> None:
    """Let a paused or broken account start again."""
    _known(name, place.raw(config).accounts)
    place.ask(config, "resume", account=name)
    say(f"{name} starts again; talkwire status says how it does")


@app.command("test")
def ask_provider(name: _Name, config: ConfigFile = None) -> None:
    """Ask the provider who we are.

    Nothing is sent to anybody.
    """
    _known(name, place.raw(config).accounts)
    say(f"{name}: {place.ask(config, 'test', account=name)}", level="ok")
