"""What commands change: asked of the running daemon over its socket, or done at hand where none runs.

    talkwire COMMAND ──▶ unix socket, 0600 ──▶ the running daemon ──▶ do
                    └──▶ no daemon here: `at_hand` ──────────────────▶ do

Whoever may open the socket may do all of it: there are no keys here.
"""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic_core import from_json, to_json

from . import accounts, auditing, departures, elsewhere, lanes, outgoing, process, reloading
from .accounts import Runtime
from .api import principals
from .daemon import Daemon
from .errors import Conflict, NotFound, SettingsError, TalkwireError
from .forgetting import Forgetting
from .model import State
from .sections import WebhookSettings
from .store import Tx
from .webhooks import WebhookReader

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
                "down": daemon.store.down,
                "held": asdict(process.held()),
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
    """Tell parked facts once more: one number, or all; to a webhook also one that it took."""
    seq, reader = said.get("seq"), said.get("reader")
    if webhook := said.get("webhook"):
        settings = _webhook(daemon, str(webhook))
        reader = settings.reader
        if seq is not None:
            await daemon.readers.replay(reader, int(seq), wanted=settings.is_told)
            return [{"reader": reader, "seq": seq}]
    rows = await daemon.store.read(
        lambda q: q.execute(_ALL_PARKED, {"most": _MOST}) if seq is None else q.execute(_PARKED, {"seq": int(seq)})
    )
    parked = [(name, number) for name, number in rows if reader in (None, "", name)]
    if seq is not None and not parked:
        raise NotFound(f"no reader has fact {seq} parked; talkwire status says which readers have some")
    for name, number in parked:
        await daemon.readers.replay(name, number)
    return [{"reader": name, "seq": number} for name, number in parked]


# --- webhooks ------------------------------------------------------------------------------------------


def _webhook(daemon: Daemon, name: str) -> WebhookSettings:
    webhooks = {one.name: one for one in daemon.config.webhooks}
    if name not in webhooks:
        near = difflib.get_close_matches(name, webhooks, 1)
        hint = f"did you mean {near[0]}?" if near else "talkwire webhooks lists them"
        raise NotFound(f'there is no webhook "{name}"; {hint}')
    return webhooks[name]


async def _test_webhook(daemon: Daemon, said: Said) -> Any:
    """Send a host something that is no fact; where it takes that, it is told at once what waits."""
    settings = _webhook(daemon, str(said["webhook"]))
    webhook = WebhookReader(settings, daemon.clock)
    try:
        tested = await webhook.test()
    finally:
        await webhook.close()
    if tested.took:
        daemon.readers.try_now(settings.reader)
    return asdict(tested)


async def _resume_webhook(daemon: Daemon, said: Said) -> bool:
    """Try a host again that was away or said that it is gone."""
    name = _webhook(daemon, str(said["webhook"])).reader
    was_gone = await daemon.readers.resume(name)
    daemon.readers.try_now(name)
    return was_gone


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

_LANE = "SELECT grp, subject, held FROM lane WHERE id = :id"
_RESTORED = """
    SELECT l.id FROM lane l WHERE l.held = 'restored'
      AND (:account = '' OR l.grp = :group
        OR l.subject IN (SELECT c.id FROM conversation c WHERE c.account = :account)
        OR l.subject = :account OR (l.grp = 'do' AND l.subject LIKE :prefix)
        OR l.id IN (SELECT t.lane_id FROM task t JOIN attachment a ON a.id = t.ref
                    WHERE t.kind = 'fetch' AND a.account = :account))
    ORDER BY l.id LIMIT :most
"""
_SLICE = 100  # lanes of one write, so that others come between
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


async def _release_restored(daemon: Daemon, said: Said) -> dict[str, int]:
    """Let go on what is held since a restore: of one account, or all."""
    count = 0
    while ids := await _held_since_restore(daemon, said):
        await asyncio.gather(*(daemon.store.write(_release, id_) for id_ in ids))
        count += len(ids)
    return {"lanes": count}


async def _drop_restored(daemon: Daemon, said: Said) -> dict[str, int]:
    """Give up what is held since a restore: of one account, or all."""
    total = {"lanes": 0, "tasks": 0, "parts": 0, "uncertain": 0}
    while ids := await _held_since_restore(daemon, said):
        for one in await asyncio.gather(*(daemon.store.write(_drop, id_) for id_ in ids)):
            total = {name: count + one.get(name, 0) for name, count in total.items()}
        total["lanes"] += len(ids)
    return total


async def _held_since_restore(daemon: Daemon, said: Said) -> list[int]:
    account = str(said.get("account", ""))
    if account and daemon.account(account) is None:
        raise NotFound(f'there is no account "{account}"')
    # What stands in an account's name is no pattern's.
    values = {"account": account, "group": f"send:{account}", "prefix": f"{account}:%", "most": _SLICE}
    return [row[0] for row in await daemon.store.read(lambda query: query.execute(_RESTORED, values))]


def _release(tx: Tx, items: Sequence[int]) -> Sequence[tuple[str, str]]:
    found = [_lane(tx, id_) for id_ in items]
    lanes.free(tx, items)
    return [(group, subject) for group, subject, _ in found]


def _drop(tx: Tx, items: Sequence[int]) -> Sequence[dict[str, int]]:
    """Give up what a lane promises: parts that wait have failed, a part under way is left to its outcome.

    Of a lane that is held since a restore nobody knows whether its parts went out after the backup: they are uncertain.
    """
    results = []
    for id_ in items:
        group, _, held = _lane(tx, id_)
        rows = tx.execute(_TASKS, {"id": id_})
        unknown = held == lanes.RESTORED
        under_way = set() if unknown else {row[0] for row in rows if row[4] is not None}
        parts = [row[2] for row in rows if row[1] == "send" and row[3] == State.QUEUED and row[0] not in under_way]
        falling = elsewhere.waiting_parts(tx, [row[2] for row in rows if row[1] == elsewhere.KIND])
        parts += [part for part in falling if part not in parts]
        if unknown:
            text = "queued at the backup that was restored; perhaps sent after it"
            outgoing.unknown_queued(tx, parts, text)
        else:
            outgoing.fail_queued(tx, parts, "cancelled", "an operator dropped the lane")
        lanes.end(tx, [(id_, row[0]) for row in rows if row[0] not in under_way])
        tx.tell("lane.dropped", small={"group": group, "tasks": len(rows) - len(under_way)})
        counts = {"tasks": len(rows) - len(under_way), "parts": len(parts), "under_way": len(under_way)}
        results.append({**counts, "uncertain": len(parts) if unknown else 0})
    return results


def _lane(tx: Tx, id_: int) -> tuple[str, str, str]:
    row = tx.one(_LANE, {"id": id_})
    if row is None:
        raise NotFound(f"there is no lane {id_}; talkwire lanes lists them")
    return row[0], row[1], row[2]


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


# --- the life of the data ------------------------------------------------------------------------------


def _is_alone(daemon: Daemon) -> bool:
    """Say whether nothing else puts files here now: done at hand, under SQLite's lock."""
    return daemon.store.is_sqlite and not daemon.ready


async def _forget(daemon: Daemon, said: Said) -> Any:
    """Forget a person, by the contact's id."""
    forgetting = Forgetting(
        daemon.store,
        daemon.files,
        daemon.clock,
        daemon.plugins.forget,
        alone=_is_alone(daemon),
        rewrite=True if said.get("rewrite") else None,
    )
    return await forgetting.forget(str(said["contact"]), str(said["by"]))


async def _withdraw_account(daemon: Daemon, said: Said) -> None:
    """Let an account's provider know that we are gone; the account is paused, so that it does not begin again."""
    name, by = str(said["account"]), str(said["by"])
    runtime = _live(daemon, name)
    assert runtime.channel is not None  # it lives
    await daemon.store.write(accounts.register, name)
    await daemon.store.write(accounts.pause, (name, f"withdrawn by {by}"))
    try:
        async with asyncio.timeout(_PROBE_WITHIN):
            await runtime.channel.removed()
    except TimeoutError as error:
        raise Conflict(f'account "{name}" is paused; its provider gave no answer within {_PROBE_WITHIN} s') from error
    except TalkwireError as error:
        raise Conflict(f'account "{name}" is paused; its provider was not told: {error}') from error
    except Exception as error:  # a plugin's own fault: its text may hold anything
        raise Conflict(f'account "{name}" is paused; taking it back raised {type(error).__name__}') from error
    await daemon.store.write(accounts.withdrawn, (name, by))


async def _forget_account(daemon: Daemon, said: Said) -> Any:
    name = str(said["account"])
    runtime = daemon.accounts.by_name.get(name)
    if runtime is not None and runtime.channel is not None:
        raise Conflict(
            f'the account "{name}" is served: take [accounts.{name}] out of the settings, then: talkwire reload'
        )
    gone = await departures.forget_account(
        daemon.store, daemon.files, daemon.clock, name, str(said["by"]), alone=_is_alone(daemon)
    )
    daemon.accounts.by_name.pop(name, None)
    return gone


async def _rename_account(daemon: Daemon, said: Said) -> None:
    if daemon.ready or len(await daemon.leases.living()) > 1:
        raise Conflict("a daemon runs on this database: stop it, rename, change the settings, start it again")
    await departures.rename_account(daemon.store, str(said["old"]), str(said["new"]), str(said["by"]))


async def _purge_plugin(daemon: Daemon, said: Said) -> Any:
    name = str(said["plugin"])
    if any(info.name == name and info.state != "available" for info in daemon.plugins.infos):
        raise Conflict(f"the plugin {name} is enabled: take what names it out of the settings, and restart")
    return await departures.purge_plugin(daemon.store, name)


_COMMANDS: dict[str, Command] = {
    "replay": _replay,
    "replay-unread": _replay_unread,
    "replay-fact": _replay_fact,
    "reload": _reload,
    "test-webhook": _test_webhook,
    "resume-webhook": _resume_webhook,
    "pause": _pause,
    "resume": _resume,
    "test": _test,
    "release-lane": _release_lane,
    "drop-lane": _drop_lane,
    "release-restored": _release_restored,
    "drop-restored": _drop_restored,
    "settle": _settle,
    "new-key": _new_key,
    "revoke-key": _revoke_key,
    "forget": _forget,
    "withdraw-account": _withdraw_account,
    "forget-account": _forget_account,
    "rename-account": _rename_account,
    "purge-plugin": _purge_plugin,
}
