"""The command line: what an operator types.

Exit codes: 0 done · 1 not done, or `status` says "look" · 2 wrong arguments, or `status` says "BAD" · 78 the settings or
the database's tables are wrong: starting again does not help.

Nothing heavy is imported here or by the modules of commands: completion pays for it on every Tab. A command imports
what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from . import (
    accounts,
    audit,
    backing,
    data,
    database,
    keys,
    lanes,
    looking,
    repairing,
    starting,
    tracing,
    unit,
    webhooks,
)
from .screen import complain

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

WRONG_SETTINGS = 78  # EX_CONFIG of sysexits.h: systemd's RestartPreventExitStatus knows it

_ORDER = (
    *("init", "check", "db", "run", "reload", "systemd", "demo"),
    *("status", "find", "trace", "why", "deliveries", "plugins"),
    *("accounts", "lanes", "webhooks", "keys", "replay", "settle", "audit"),
    *("backup", "restore", "export", "forget", "paths"),
    *("new-plugin", "version"),
)


class _Commands(TyperGroup):
    """Our commands, and those of plugins, which are imported when they are typed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name ours, in the order in which they are needed."""
        return list(_ORDER)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _plugins():
            return own
        try:
            loaded = _plugins()[cmd_name].load()
            return typer.main.get_command(loaded)
        except Exception as error:  # one plugin's fault must not look like ours
            complain(f"the command {cmd_name} of a plugin cannot be loaded: {type(error).__name__}: {error}")
            raise typer.Exit(1) from error

    def invoke(self, ctx: Any) -> Any:
        """Say an error that we raised on purpose as a sentence; the traceback is for our own bugs."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `talkwire find … | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(1) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            from ..errors import SchemaError, SettingsError, TalkwireError, in_our_words

            if isinstance(error, typer.BadParameter):
                error.message = in_our_words(error.message)
            if hasattr(error, "show"):  # wrong arguments: typer knows how to say so
                raise
            if not isinstance(error, TalkwireError):
                if unread := _not_text(error):
                    complain(f"{unread!r} is not UTF-8; type it in a terminal whose encoding is")
                    raise typer.Exit(2) from None
                _confess()
                raise typer.Exit(1) from None
            complain(str(error))
            code = WRONG_SETTINGS if isinstance(error, SettingsError | SchemaError) else 1
            raise typer.Exit(code) from None


def _not_text(error: Exception) -> str:
    """Find the argument whose bytes are no text, where that is what somebody tripped over; empty: it is not."""
    if "surrogates not allowed" not in str(error):
        return ""
    return next((word for word in sys.argv[1:] if _is_broken(word)), "")


def _is_broken(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return True
    return False


def _confess() -> None:
    """Show a fault of our own, or of a plugin, without the secrets that its text may quote."""
    import traceback

    from .logs import redaction

    text = redaction(set())(None, "", traceback.format_exc())
    complain(
        f"{text}\nThis is a fault in Talkwire or in a plugin, not in what you typed. Report it with the lines above."
    )


@cache
def _plugins() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group="talkwire.commands")}


def _epilog() -> str:
    named = ", ".join(sorted(_plugins()))
    codes = "Exit codes: 0 done, 1 not done, 2 wrong arguments, 78 wrong settings or tables."
    return f"{codes} Commands of plugins: {named}." if named else codes


app = typer.Typer(
    name="talkwire",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,  # they hold secrets
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_epilog(),
)


def _version(wanted: bool) -> None:
    if wanted:
        starting.version()
        raise typer.Exit


@app.callback()
def _root(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", envvar="TALKWIRE_CONFIG", help="The settings; else ./talkwire.toml."),
    ] = None,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Talkwire takes customers' messages in, carries replies out, and says truthfully what became of them."""
    from . import place

    place.chosen.set(config)


app.command()(starting.init)
app.command()(starting.check)
app.add_typer(database.app)
app.command()(starting.run)
app.command()(starting.reload)
app.command()(unit.systemd)
app.command()(starting.demo)
app.command()(looking.status)
app.command()(tracing.find)
app.command()(tracing.trace)
app.command()(tracing.why)
app.command()(looking.deliveries)
app.add_typer(data.plugins)
app.add_typer(accounts.app)
app.add_typer(lanes.app)
app.add_typer(webhooks.app)
app.add_typer(keys.app)
app.command()(repairing.replay)
app.command()(repairing.settle)
app.command()(audit.audit)
app.command()(data.export)
app.command()(data.forget)
app.command()(data.paths)
accounts.app.command("rename")(data.rename_account)
accounts.app.command("withdraw")(data.withdraw_account)
accounts.app.command("forget")(data.forget_account)
app.command()(backing.backup)
app.command()(backing.restore)
app.command("new-plugin")(starting.new_plugin)
app.command()(starting.version)


def main() -> None:
    """Run what was typed."""
    app()
