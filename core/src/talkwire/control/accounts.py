"""Accounts: stopped and let go on, asked who they are, taken back, forgotten, renamed."""

from __future__ import annotations

import asyncio
from typing import Any

from .. import account_states
from ..accounts import Runtime
from ..channel import Channel
from ..daemon import Daemon
from ..errors import PLUGIN_MAY_RAISE, Conflict, TalkwireError, line_of
from ..lifecycle import departures
from .command import PROVIDER_WITHIN, Command, Said, live
from .data import is_alone


async def _pause(daemon: Daemon, said: Said) -> None:
    await daemon.store.write(account_states.pause, (str(said["account"]), str(said.get("reason", ""))))


async def _resume(daemon: Daemon, said: Said) -> None:
    await daemon.store.write(account_states.resume, str(said["account"]))


async def _test(daemon: Daemon, said: Said) -> str:
    return await probe(live(daemon, str(said["account"])))


async def probe(runtime: Runtime) -> str:
    """Ask a provider who we are. Errors: `Conflict` with what it said."""
    assert runtime.channel is not None  # the caller looked
    try:
        async with asyncio.timeout(PROVIDER_WITHIN):
            found: object = await runtime.channel.probe()
    except TimeoutError as error:
        raise Conflict(f'account "{runtime.name}": no answer within {PROVIDER_WITHIN} s') from error
    except TalkwireError as error:
        raise Conflict(f'account "{runtime.name}": {error}') from error
    except PLUGIN_MAY_RAISE as error:  # a plugin's own fault: its text may hold anything
        where = f"{type(error).__name__} ({line_of(error)})"
        raise Conflict(f'account "{runtime.name}": its probe raised {where}') from error
    if not isinstance(found, str):
        raise Conflict(f'account "{runtime.name}": its probe gave a {type(found).__name__}; it gives a line of text')
    return found


async def _withdraw_account(daemon: Daemon, said: Said) -> dict[str, str]:
    """Let an account's provider know that we are gone; the account is paused, so that it does not begin again.

    Gives the `webhook` that a person has to take out, where the channel never told its provider of it; else nothing.
    """
    name, by = str(said["account"]), str(said["by"])
    runtime = live(daemon, name)
    assert runtime.channel is not None  # it lives
    await daemon.store.write(account_states.register, name)
    await daemon.store.write(account_states.pause, (name, f"withdrawn by {by}"))
    try:
        async with asyncio.timeout(PROVIDER_WITHIN):
            await runtime.channel.removed()
    except TimeoutError as error:
        raise Conflict(f'account "{name}" is paused; its provider gave no answer within {PROVIDER_WITHIN} s') from error
    except TalkwireError as error:
        raise Conflict(f'account "{name}" is paused; its provider was not told: {error}') from error
    except PLUGIN_MAY_RAISE as error:  # a plugin's own fault: its text may hold anything
        raise Conflict(f'account "{name}" is paused; taking it back raised {type(error).__name__}') from error
    if runtime.channel.features.webhook and type(runtime.channel).removed is Channel.removed:
        public = daemon.config.server.public_url
        return {"webhook": f"{public}/in/{runtime.endpoint}"}
    await daemon.store.write(account_states.withdrawn, (name, by))
    return {"webhook": ""}


async def _forget_account(daemon: Daemon, said: Said) -> Any:
    name = str(said["account"])
    runtime = daemon.accounts.by_name.get(name)
    if runtime is not None and runtime.channel is not None:
        raise Conflict(
            f'the account "{name}" is served: take [accounts.{name}] out of the settings, then: talkwire reload'
        )
    gone = await departures.forget_account(
        daemon.store, daemon.files, daemon.clock, name, str(said["by"]), alone=is_alone(daemon)
    )
    daemon.accounts.by_name.pop(name, None)
    return gone


async def _rename_account(daemon: Daemon, said: Said) -> None:
    if daemon.ready or len(await daemon.leases.living()) > 1:
        raise Conflict("a daemon runs on this database: stop it, rename, change the settings, start it again")
    await departures.rename_account(daemon.store, str(said["old"]), str(said["new"]), str(said["by"]))


COMMANDS: dict[str, Command] = {
    "pause": _pause,
    "resume": _resume,
    "test": _test,
    "withdraw-account": _withdraw_account,
    "forget-account": _forget_account,
    "rename-account": _rename_account,
}
