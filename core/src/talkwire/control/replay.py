"""Replay: envelopes that are read again, facts that are told again."""

from __future__ import annotations

from typing import Any

from ..daemon import Daemon
from ..errors import Conflict, NotFound
from .command import Command, Said
from .hosts import webhook_of

_MOST = 10_000  # envelopes or facts of one replay
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
        settings = webhook_of(daemon, str(webhook))
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


COMMANDS: dict[str, Command] = {
    "replay": _replay,
    "replay-unread": _replay_unread,
    "replay-fact": _replay_fact,
}
