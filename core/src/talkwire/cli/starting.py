"""Commands that make, check and run an instance."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import place
from .place import ConfigFile, Json
from .screen import as_json, complain, say

if TYPE_CHECKING:
    from ..errors import Fault
    from ..serving import Bound
    from ..settings import Config, Loaded

_TEMPLATE = """\
# Talkwire's settings. After a change: talkwire check
# Values may hold ${{ENV}}, ${{ENV:-default}} and ${{file:path}}; keep secrets out of this file that way.

[general]
time_zone = "UTC"                       # such as "Asia/Jakarta"

[store]
url = "sqlite:///talkwire.db"           # beside this file; for several daemons: "postgresql://user@host/database"

[server]
listen = "127.0.0.1:8080"               # what the world reaches, through your TLS proxy
# public_url = "https://talk.example.org" # as providers see it; needed for webhooks
# trusted_proxies = ["127.0.0.1"]         # whose X-Forwarded-For is believed

[admin]
listen = "127.0.0.1:9464"               # /livez, /readyz, the operator's page: never public

[log]
format = "console"                      # or "json"

# [plugins]
# enabled = ["opening_hours"]           # hooks, in this order; channels that accounts name are on by themselves

# An account is a table; `talkwire plugins` lists the channels that are installed.
# [accounts.support]
# channel = "smsgate"
# password = "${{file:/run/secrets/smsgate}}"

# Who is told what, without any desk:
# [recipients.ops]
# email = "ops@example.org"
# [[notify]]
# on = ["account.broken", "delivery.failed"]
# to = ["ops"]
# media = ["email"]

# A host that is told what happens: talkwire webhooks secret makes a secret.
# [[webhooks]]
# name = "helpdesk"
# url = "https://helpdesk.example.org/talkwire"
# secrets = ["${{HELPDESK_SECRET}}"]
# types = ["message.received", "delivery.failed"]   # else all
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; it is made if it is not there.")] = Path(),
) -> None:
    """Write settings to begin with, and the instance's key."""
    from ..errors import Conflict
    from ..instance_keys import new_instance_key

    settings, key = folder / "talkwire.toml", folder / "instance.key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = [
            name
            for name, text in ((settings, _TEMPLATE.format()), (key, new_instance_key() + "\n"))
            if _written(name, text)
        ]
    except OSError as error:
        raise Conflict(f"{error.filename}: {(error.strerror or '').lower()}; choose another folder") from error
    if not made:
        raise Conflict(f"{settings} and {key.name} are there already; nothing was changed")
    for file in (settings, key):
        say(f"{'wrote' if file in made else 'kept '} {file}")
    say("\nNext:")
    if folder.resolve() != Path.cwd():
        say(f"  cd {shlex.quote(str(folder))}")
    say("  talkwire db upgrade                    # makes the tables")
    say("  talkwire keys new me --scope admin     # for the API; shown once")
    say("  talkwire run")
    say(f"\nKeep {key.name} with your backups: without it, what accounts keep sealed cannot be read.")


def _written(file: Path, text: str) -> bool:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(text)
    except FileExistsError:
        return False
    return True


# --- check ---------------------------------------------------------------------------------------------


def check(
    online: Annotated[
        bool, typer.Option("--online", help="Also ask the database, the providers and public_url.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Name every fault of the settings, starting nothing.

    Exit 78 if there is one; with --online exit 1 where something does not answer.
    """
    from ..errors import SettingsError
    from ..instance_keys import read_instance_keys

    path = place.config_path(config)
    faults: list[SettingsError] = []
    loaded: Loaded | None = None
    try:
        loaded = place.loaded(config)
    except SettingsError as error:
        faults.append(error)
    if path.exists():
        try:
            read_instance_keys(place.key_file(path))
        except SettingsError as error:
            faults.append(error)
    if faults or loaded is None:
        complain("\n".join(map(str, faults)))
        raise typer.Exit(78)
    found = loaded.config
    accounts = ", ".join(f"{a.name} ({a.channel})" for a in found.accounts.values()) or "none yet"
    say(f"{path}: good")
    say(f"  accounts   {accounts}")
    say(f"  plugins    {', '.join(i.name for i in loaded.plugins.infos if i.state == 'enabled') or 'none'}")
    say(f"  database   {found.store.place}")
    _warn((*found.warnings, *_behind_a_proxy(found)))
    if not online:
        return
    say("\nonline")
    from .online import asked

    if not asked(loaded):
        raise typer.Exit(1)


def _behind_a_proxy(found: Config) -> tuple[Fault, ...]:
    from ..errors import Fault

    server = found.server
    if not server.public_url.startswith("https:") or server.trusted_proxies:
        return ()
    reason = "a proxy ends TLS for public_url, and nobody's X-Forwarded-For is believed: all customers have its address"
    return (Fault("server.trusted_proxies", reason),)


def _warn(warnings: tuple[Fault, ...]) -> None:
    for one in warnings:
        say(f"{one.path}: {one.reason}", level="look")


# --- run -----------------------------------------------------------------------------------------------


def run(config: ConfigFile = None) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    Sends that are under way then get 20 seconds; a second signal waits for nothing. SIGHUP reads the settings again.
    """
    from ..daemon import Daemon
    from ..errors import SchemaError
    from ..instance_keys import read_instance_keys
    from ..serving import serve
    from . import logs

    settings, plugins = place.loaded(config)
    keys = read_instance_keys(place.key_file(settings.path))
    logs.configure(settings.log.format, settings.log.level, settings)
    url = settings.store.url.get_secret_value()
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        raise SchemaError(f"there is no database at {settings.store.place}; type: talkwire db upgrade")
    _is_first(settings)
    _warn(settings.warnings)

    async def running() -> None:
        daemon = Daemon(settings, plugins, keys=keys)
        daemon.told_settings.append(lambda new: logs.configure(new.log.format, new.log.level, new))
        await serve(daemon, started=lambda bound: _started(settings, bound))

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(running())
    except* asyncio.CancelledError:
        raise typer.Exit(1) from None  # a second signal
    if settings.log.format == "console":
        say("stopped")


def _is_first(config: Config) -> None:
    """Refuse to be a second daemon on the same settings: its ports would be taken, and that names another culprit."""
    from ..errors import Conflict

    try:
        about = place.running(config.admin.socket)
    except place.NobodyThere:
        return
    raise Conflict(
        f"another daemon runs on these settings, pid {about['pid']}; after a change of them: talkwire reload"
    )


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # not on this system
        return None
    return uvloop.new_event_loop


def _started(config: Config, bound: Bound) -> None:
    if config.log.format != "console":
        return  # the log has said it
    say(f"Talkwire {_ours()} runs")
    say(f"  public     {bound.public}   /in/… /api/v1/…")
    say(f"  operator   {bound.admin}   /livez /readyz")
    say(f"  database   {config.store.place}")
    say(f"  accounts   {', '.join(config.accounts) or 'none yet; write [accounts.NAME] into ' + config.path.name}")


def reload(as_: Json = False, config: ConfigFile = None) -> None:
    """Let the running daemon read its settings again.

    Only what changed begins anew. Wrong settings change nothing: exit 78. What needs a restart is named.
    """
    from ..errors import Conflict

    try:
        said = place.reload(config)
    except place.NobodyThere:
        raise Conflict("no daemon runs here; it reads its settings when it starts: talkwire run") from None
    if said["faults"]:
        complain(f"{said['faults']}\nNothing was changed: the settings of before hold.")
        raise typer.Exit(78)
    if as_:
        as_json(said)
        return
    for line in said["lines"]:
        say(line)


# --- others ----------------------------------------------------------------------------------------------


def version() -> None:
    """Say the version."""
    import platform

    from ..hooks import HOOK_API

    say(f"talkwire {_ours()}, hook API {HOOK_API}, Python {platform.python_version()}")


def _ours() -> str:
    from importlib.metadata import version as version_of

    return version_of("talkwire")


def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the channel or medium: lower-case letters and digits, such as acme.")],
    webhook: Annotated[
        bool, typer.Option("--webhook", help="A channel whose provider calls us (this is the default).")
    ] = False,
    poll: Annotated[bool, typer.Option("--poll", help="A channel whose provider we ask, again and again.")] = False,
    notifier: Annotated[
        bool, typer.Option("--notifier", help="A notifier: a medium that tells recipients something.")
    ] = False,
    folder: Annotated[Path, typer.Option("--in", metavar="DIR", help="Where the new folder goes.")] = Path(),
) -> None:
    """Write a channel plugin, or a notifier, to begin with.

    Its tests are green before you change a line.
    """
    from .scaffold import make

    if notifier and (webhook or poll):
        raise typer.BadParameter("choose --notifier for a medium, or --webhook or --poll for a channel")
    if webhook and poll:
        raise typer.BadParameter("choose --webhook or --poll; a channel can do both later")
    files = make(name, "notifier" if notifier else "poll" if poll else "webhook", folder)
    top = Path(os.path.commonpath(files))
    for file in files:
        say(f"wrote {file}")
    say("\nNext:")
    say(f"  cd {shlex.quote(str(top))}")
    say("  pip install -e '.[test]'")
    say("  pytest")


def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Play a talk through each channel; exit 1 if one fails.")
    ] = False,
    fault: Annotated[str, typer.Option(help="What goes wrong at the providers; --check then tells.")] = "",
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where everything is kept; else a folder that goes away.")
    ] = None,
    port: Annotated[int, typer.Option(help="Of the start page; 0: 9460, or a free one.", min=0, max=65535)] = 0,
) -> None:
    """Show it all with played customers.

    Needs no account anywhere; ends with the page to open.
    """
    from .demo import run

    raise typer.Exit(run(check=check, folder=folder, port=port, fault=fault, say=say))
