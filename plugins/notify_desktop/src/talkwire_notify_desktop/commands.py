"""What an agent types on the own machine, and an operator once: `talkwire desktop …`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .native.cards import Able
    from .native.places import SignIn

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Notifications on this machine's desktop.",
    rich_markup_mode=None,
)
_SIGN_IN_AGAIN = 78  # EX_CONFIG of sysexits.h: the unit does not start it again


@app.callback()
def _root() -> None:
    """Notifications on this machine's desktop."""


@app.command()
def login(
    url: Annotated[str, typer.Argument(help="The server, as in https://talk.example.org.")],
    page: Annotated[
        str,
        typer.Option(
            help="What a click on a notification opens, with {conversation} in it where its id shall stand; "
            "else the server's own page, where it has one."
        ),
    ] = "",
) -> None:
    """Sign this machine in, once.

    The key is asked for, or read from standard input: talkwire desktop login URL < key.txt.
    It is made on the server by: talkwire keys new NAME --scope bot, where NAME is a recipient of talkwire.toml.
    It is kept in ~/.config/talkwire/desktop.json, which no other user can read.
    """
    import asyncio
    import getpass
    from dataclasses import replace

    from .native import places

    server = places.server(url)
    page = places.page(page)
    key = getpass.getpass("Key: ").strip() if sys.stdin.isatty() else sys.stdin.readline().strip()
    if not key:
        raise places.SignInError("no key was given; make one on the server: talkwire keys new NAME --scope bot")
    signed = replace(places.new(server, key), page=page)
    signed, able = asyncio.run(_try(signed))
    places.keep(signed)
    typer.echo(f"Signed in at {server} as {signed.recipient}.")
    typer.echo(f"On this machine, {able.text}.")
    if not signed.page:
        typer.echo("A click on a notification opens no page: the server has none at this address. See --page.")
    if places.is_running():
        typer.echo("It runs now, as it was signed in before; start it anew.")
        return
    typer.echo("Start it with: talkwire desktop run, or with your session: talkwire desktop install")


@app.command()
def run() -> None:
    """Show notifications until it is stopped, by Ctrl+C or by systemd."""
    import asyncio

    from .native import places
    from .native.line import Bye

    try:
        signed = places.signed_in()
    except places.SignInError as error:
        typer.echo(error, err=True)
        raise typer.Exit(_SIGN_IN_AGAIN) from None
    with places.alone():
        try:
            asyncio.run(_run(signed))
        except Bye as bye:
            typer.echo(f"talkwire desktop: {bye}", err=True)
            raise typer.Exit(_SIGN_IN_AGAIN) from None


@app.command()
def status() -> None:
    """Say who is signed in, what this desktop can do, and whether the server is reached."""
    import asyncio

    from .native import places

    signed = places.signed_in()
    typer.echo(f"signed in    at {signed.url} as {signed.recipient}, this machine is {signed.device}")
    if (known := places.noted()) is None:
        able = asyncio.run(_probe())
        typer.echo("running      no; start it: talkwire desktop run, or: talkwire desktop install")
    else:
        able = known.able
        typer.echo(f"running      yes, as process {known.pid}")
        typer.echo(f"connected    {'yes' if known.connected else f'no: {known.trouble}'}")
    typer.echo(f"desktop      {'' if able.able else 'no: '}{able.text}")
    if known is None or not known.connected or not able.able:
        raise typer.Exit(1)


@app.command()
def logout() -> None:
    """Forget the key on this machine; the server keeps it until it is revoked there."""
    from .native import places

    if places.is_running():
        raise places.SignInError("it runs now; stop it first: Ctrl+C, or: systemctl --user stop talkwire-desktop")
    if not places.sign_out():
        raise places.SignInError("nobody is signed in on this machine")
    typer.echo("Signed out. The key still holds; to end it, type on the server: talkwire keys revoke")


@app.command()
def install(
    print_only: Annotated[bool, typer.Option("--print", help="Print the unit, write nothing.")] = False,
) -> None:
    """Write a systemd user unit, which starts the client with your desktop's session."""
    from .native import unit

    if print_only:
        typer.echo(unit.text(), nl=False)
        return
    typer.echo(f"Wrote {unit.install()}. Now type:\n")
    typer.echo("  systemctl --user daemon-reload")
    typer.echo(f"  systemctl --user enable --now {unit.NAME}")


@app.command()
def uninstall() -> None:
    """Remove the systemd user unit."""
    from .native import unit
    from .native.places import SignInError

    if not unit.uninstall():
        raise SignInError(f"there is no unit in {unit.file().parent}")
    typer.echo(f"Removed {unit.file()}. If it was enabled, type:\n")
    typer.echo(f"  systemctl --user disable --now {unit.NAME}")
    typer.echo("  systemctl --user daemon-reload")


@app.command()
def vapid() -> None:
    """Print a new key for Web Push, for the server's settings.

    It is the vapid_key of [plugins.notify_desktop], by which push services know this server, and it is a secret: talkwire desktop vapid > vapid.pem, then chmod 600 vapid.pem.
    """
    from .push import new_vapid_key

    typer.echo(new_vapid_key(), nl=False)


async def _try(signed: SignIn) -> tuple[SignIn, Able]:
    """Say hello to the server as a client will; gives who it says we are, and what this desktop can do."""
    from dataclasses import replace

    from .native.cards import Times
    from .native.client import hello
    from .native.line import greet, has_page

    able = await _probe()
    ready = await greet(signed, hello(signed, able), Times())
    page = signed.page
    if not page and await has_page(signed.url, Times()):
        page = f"{signed.url}/#c={{conversation}}"
    return replace(signed, recipient=str(ready.get("recipient", "")), page=page), able


async def _probe() -> Able:
    """Ask this desktop once what it can do."""
    from .native.client import ask

    return await ask()


async def _run(signed: SignIn) -> None:
    import asyncio
    import signal

    from .native.client import Client

    client = asyncio.ensure_future(Client(signed, say=_say).run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, client.cancel)
        except NotImplementedError:  # Windows: Ctrl+C arrives as KeyboardInterrupt
            break
    try:
        await client
    except asyncio.CancelledError:
        _say("stopped")


def _say(text: str) -> None:
    """Say a sentence where people and journald read it."""
    sys.stderr.write(f"talkwire desktop: {text}\n")
    sys.stderr.flush()
