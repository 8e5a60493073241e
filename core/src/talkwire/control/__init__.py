"""What commands change: asked of the running daemon over its socket, or done at hand where none runs.

    talkwire COMMAND ──▶ unix socket, 0600 ──▶ the running daemon ──▶ do
                    └──▶ no daemon here: `at_hand` ──────────────────▶ do

Whoever may open the socket may do all of it: there are no keys here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic_core import from_json, to_json

from ..daemon import Daemon
from ..errors import NotFound, SettingsError, TalkwireError
from ..lifecycle import auditing
from ..oversight import process
from . import accounts, data, hosts, instance, queues, replay
from .accounts import probe
from .command import Command, Said

VERSION = version("talkwire")
_COMMANDS: dict[str, Command] = {
    **replay.COMMANDS,
    **hosts.COMMANDS,
    **accounts.COMMANDS,
    **queues.COMMANDS,
    **instance.COMMANDS,
    **data.COMMANDS,
}


async def do(daemon: Daemon, command: str, said: Said, who: str = "") -> Any:
    """Do what a command asks; gives what is shown, as JSON takes it. Errors: `TalkwireError`.

    It is written down first, as what `who` does; nothing said means whoever runs this process.
    """
    found = _COMMANDS.get(command)
    if found is None:
        raise NotFound(f"the running daemon ({VERSION}) does not know {command}: restart it after an upgrade")
    async with auditing.audited(daemon.store, who or auditing.this_user(), command, said):
        return await found(daemon, said)


def make_app(daemon: Daemon, about: Mapping[str, Any]) -> web.Application:
    """Make what the socket serves: `GET /` says who runs, `POST /<command>` does something."""

    async def describe(_: web.Request) -> web.Response:
        hooks = [
            {"plugin": plugin, "hook": hook, "seconds": seconds}
            for (plugin, hook), seconds in sorted(daemon.slow_hooks.items())
        ]
        return _answer(
            {
                **about,
                "version": VERSION,
                "pid": os.getpid(),
                "seconds": asyncio.get_running_loop().time() - began,
                "stuck": daemon.stuck(),
                "not_ready": daemon.not_ready(),
                "down": daemon.store.down,
                "held": asdict(process.held()),
                "slow_hooks": hooks,
                "media": daemon.media(),
                "accounts": about_accounts(daemon),
                "settings": daemon.last_reload,
            }
        )

    async def command(request: web.Request) -> web.Response:
        try:
            said = from_json(await request.read() or b"{}")
            who = auditing.peer_of(request.transport.get_extra_info("socket") if request.transport else None)
            return _answer(await do(daemon, request.match_info["command"], said, who))
        except SettingsError as error:  # an answer, no failure of the daemon: the command has another exit code
            return _answer({"faults": str(error)})
        except TalkwireError as error:
            return _answer({"error": str(error)}, status=409)

    began = asyncio.get_running_loop().time()
    app = web.Application()
    app.router.add_get("/", describe)
    app.router.add_post("/{command}", command)
    return app


def about_accounts(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """Say what this daemon has seen of its accounts, as of now."""
    return {
        name: {
            "last_in_at": runtime.last_in,
            "last_out_at": runtime.last_out,
            "rejected": runtime.rejected_in_a_row,
            "last_rejected_at": runtime.last_rejected,
        }
        for name, runtime in daemon.accounts.by_name.items()
    }


def _answer(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=to_json(value), status=status, content_type="application/json")


__all__ = ["about_accounts", "do", "make_app", "probe"]
