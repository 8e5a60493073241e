"""What commands change: asked of the running daemon over its socket, or done at hand where none runs.

    talkwire COMMAND ──▶ unix socket, 0600 ──▶ the running daemon ──▶ do
                    └──▶ no daemon here: `at_hand` ──────────────────▶ do

Whoever may open the socket may do all of it: there are no keys here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic_core import from_json, to_json

from . import accounts, auditing, lanes, outgoing, reloading
from .accounts import Runtime
from .api import principals
from .daemon import Daemon
from .errors import Conflict, NotFound, SettingsError, TalkwireError
from .model import State
from .store import Tx

VERSION = version("talkwire")
_PROBE_WITHIN = 30  # seconds
_MOST = 10_000  # envelopes or facts of one replay
Said = Mapping[str, Any]
Command = Callable[[Daemon, Said], Awaitable[Any]]


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
                "slow_hooks": hooks,
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


# --- replay --------------------------------------------------------------------------------------------

_UNREAD = """
    SELECT id FROM envelope WHERE unread <> '' AND replayed_at IS NULL ORDER BY received_at LIMIT :most
"""
_PARKED = "SELECT reader, seq FROM parked WHERE seq = :seq ORDER BY reader"
_ALL_PARKED = "SELECT reader, seq FROM parked ORDER BY seq, reader LIMIT :most"


async def _replay(daemon: Daemon, said: Said) -> Any:
    """Read a kept envelope again."""
    return await _read_again(daemon, str(said["envelope"]))


async def _replay_unread(daemon: Daemon, _: Said) -> Any:
    """Read again all that was not understood; one that cannot be is named, the others go on."""
    ids = [row[0] for row in await daemon.store.read(lambda q: q.execute(_UNREAD, {"most": _MOST}))]
    results = []
    for id_ in ids:
        try:
            results.append(await _read_again(daemon, id_))
        except Conflict as error:
            results.append({"envelope": id_, "messages": 0, "known": 0, "unread": [str(error)]})
    return results


async def _read_again(daemon: Daemon, id_: str) -> dict[str, Any]:
    admitted = await daemon.intake.replay(id_)
    return {
        "envelope": id_,
        "messages": len(admitted.messages),
        "known": admitted.duplicates,
        "unread": admitted.unread,
    }


async def _replay_fact(daemon: Daemon, said: Said) -> Any:
    """Tell parked facts once more: one number, or all."""
    seq, reader = said.get("seq"), said.get("reader")
    rows = await daemon.store.read(
        lambda q: q.execute(_ALL_PARKED, {"most": _MOST}) if seq is None else q.execute(_PARKED, {"seq": int(seq)})
    )
    parked = [(name, number) for name, number in rows if reader in (None, "", name)]
    if seq is not None and not parked:
        raise NotFound(f"no reader has fact {seq} parked; talkwire status says which readers have some")
    for name, number in parked:
        await daemon.readers.replay(name, number)
    return [{"reader": name, "seq": number} for name, number in parked]


# --- accounts ------------------------------------------------------------------------------------------


def _live(daemon: Daemon, name: str) -> Runtime:
    runtime = daemon.account(name)
    if runtime is None:
        raise NotFound(f'there is no account "{name}"')
    if runtime.channel is None:
        raise Conflict(f'account "{name}" is absent: {runtime.view.reason or "its settings are gone"}')
    return runtime


async def _pause(daemon: Daemon, said: Said) -> None:
    await daemon.store.write(accounts.pause, (str(said["account"]), str(said.get("reason", ""))))


async def _resume(daemon: Daemon, said: Said) -> None:
    await daemon.store.write(accounts.resume, str(said["account"]))


async def _test(daemon: Daemon, said: Said) -> str:
    return await probe(_live(daemon, str(said["account"])))


async def probe(runtime: Runtime) -> str:
    """Ask a provider who we are. Errors: `Conflict` with what it said."""
    assert runtime.channel is not None  # the caller looked
    try:
        async with asyncio.timeout(_PROBE_WITHIN):
            return await runtime.channel.probe()
    except TimeoutError as error:
        raise Conflict(f'account "{runtime.name}": no answer within {_PROBE_WITHIN} s') from error
    except TalkwireError as error:
        raise Conflict(f'account "{runtime.name}": {error}') from error
    except Exception as error:  # a plugin's own fault: its text may hold anything
        raise Conflict(f'account "{runtime.name}": its probe raised {type(error).__name__}') from error


# --- lanes, parts, keys --------------------------------------------------------------------------------

_LANE = "SELECT grp, subject FROM lane WHERE id = :id"
_TASKS = """
    SELECT t.id, t.kind, t.ref, d.state, d.open_since FROM task t LEFT JOIN delivery d ON d.id = t.ref
    WHERE t.lane_id = :id ORDER BY t.id
"""


async def _release_lane(daemon: Daemon, said: Said) -> dict[str, Any]:
    """Let a lane be tried now; what the provider asked of the whole account holds all the same."""
    group, subject = await daemon.store.write(_release, int(said["lane"]))
    runtime = daemon.account(group.removeprefix("send:")) if group.startswith("send:") else None
    until = runtime.backoff.until if runtime is not None else None
    waits = until if until is not None and until > daemon.clock.now() else None
    return {"group": group, "subject": subject, "account_waits_until": waits}


async def _drop_lane(daemon: Daemon, said: Said) -> Any:
    return await daemon.store.write(_drop, int(said["lane"]))


def _release(tx: Tx, items: Sequence[int]) -> Sequence[tuple[str, str]]:
    found = [_lane(tx, id_) for id_ in items]
    for group, subject in sorted(set(found)):
        lanes.wake(tx, group, [subject])
    return found


def _drop(tx: Tx, items: Sequence[int]) -> Sequence[dict[str, int]]:
    """Give up what a lane promises: parts that wait have failed, a part under way is left to its outcome."""
    results = []
    for id_ in items:
        group, _ = _lane(tx, id_)
        rows = tx.execute(_TASKS, {"id": id_})
        under_way = {row[0] for row in rows if row[4] is not None}
        parts = [row[2] for row in rows if row[1] == "send" and row[3] == State.QUEUED and row[0] not in under_way]
        outgoing.fail_queued(tx, parts, "cancelled", "an operator dropped the lane")
        lanes.end(tx, [(id_, row[0]) for row in rows if row[0] not in under_way])
        tx.tell("lane.dropped", small={"group": group, "tasks": len(rows) - len(under_way)})
        results.append({"tasks": len(rows) - len(under_way), "parts": len(parts), "under_way": len(under_way)})
    return results


def _lane(tx: Tx, id_: int) -> tuple[str, str]:
    row = tx.one(_LANE, {"id": id_})
    if row is None:
        raise NotFound(f"there is no lane {id_}; talkwire lanes lists them")
    return row[0], row[1]


async def _settle(daemon: Daemon, said: Said) -> None:
    await daemon.replies.settle(str(said["delivery"]), str(said["verdict"]), str(said["by"]))


async def _new_key(daemon: Daemon, said: Said) -> str:
    return await daemon.store.write(principals.create_keys, (str(said["name"]), str(said["scope"])))


async def _revoke_key(daemon: Daemon, said: Said) -> None:
    await daemon.store.write(principals.revoke_keys, str(said["key"]))


async def _reload(daemon: Daemon, _: Said) -> dict[str, Any]:
    """Read the settings again."""
    changes = await reloading.reload(daemon)
    return {"faults": "", "lines": reloading.words(changes), "restart": changes.restart}


_COMMANDS: dict[str, Command] = {
    "replay": _replay,
    "replay-unread": _replay_unread,
    "replay-fact": _replay_fact,
    "reload": _reload,
    "pause": _pause,
    "resume": _resume,
    "test": _test,
    "release-lane": _release_lane,
    "drop-lane": _drop_lane,
    "settle": _settle,
    "new-key": _new_key,
    "revoke-key": _revoke_key,
}
