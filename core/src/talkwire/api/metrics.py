"""`GET /metrics` on the admin port, for Prometheus: what this daemon counted, and how its database stands now.

Labels name accounts, channels, groups, readers, routes: what the settings bound. Never a conversation or a person.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from .. import readmodels
from ..errors import StoreDown
from ..facts import FACTS
from ..model import AccountState
from ..oversight import evidence, health
from ..oversight.backlog import Backlog, backlogs
from ..oversight.health import Health
from ..store import Query
from .engine import ENGINE, Engine

_WITHIN = 2.0  # seconds for the database; what this daemon counted is given without it
_REGISTRY = web.AppKey("metrics", CollectorRegistry)
_ACCOUNT = ("account", "channel")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; `docs/reference/metrics.md` is made of these."""

    name: str
    kind: str  # counter, gauge, histogram
    labels: tuple[str, ...]
    help: str
    whole: bool = False  # of the whole database: every daemon says the same


FAMILIES = (
    Family("talkwire_messages_received_total", "counter", _ACCOUNT, "Messages of customers that were stored."),
    Family("talkwire_messages_repeated_total", "counter", _ACCOUNT, "Messages that a provider delivered once more."),
    Family(
        "talkwire_envelopes_total",
        "counter",
        (*_ACCOUNT, "outcome"),
        "Deliveries of providers: taken, or rejected because they were not genuine.",
    ),
    Family("talkwire_replies_total", "counter", _ACCOUNT, "Replies that were stored, to be carried out."),
    Family(
        "talkwire_replies_refused_total",
        "counter",
        (*_ACCOUNT, "code"),
        "Replies that could not go out and were not stored, by AnswerCode.",
    ),
    Family("talkwire_parts_total", "counter", (*_ACCOUNT, "state"), "Parts that came into a state."),
    Family(
        "talkwire_attempts_total",
        "counter",
        (*_ACCOUNT, "outcome"),
        "Attempts to send a part: taken, failed, uncertain, later (tried again) or held (until it is woken).",
    ),
    Family("talkwire_send_seconds", "histogram", _ACCOUNT, "How long a channel took to send a part."),
    Family("talkwire_account_state", "gauge", (*_ACCOUNT, "state"), "1 for the state that the account is in, else 0."),
    Family(
        "talkwire_account_last_in_timestamp_seconds",
        "gauge",
        _ACCOUNT,
        "When something genuine came last; absent: never.",
    ),
    Family(
        "talkwire_account_last_out_timestamp_seconds",
        "gauge",
        _ACCOUNT,
        "When the provider took something last; absent: never.",
    ),
    Family(
        "talkwire_account_last_poll_timestamp_seconds", "gauge", _ACCOUNT, "When it was last fetched; absent: never."
    ),
    Family(
        "talkwire_account_silent",
        "gauge",
        _ACCOUNT,
        "1 where nothing has come for longer than is usual, or than `quiet_after`.",
        whole=True,
    ),
    Family(
        "talkwire_parts_in_trouble",
        "gauge",
        (*_ACCOUNT, "state"),
        "Parts that became uncertain or failed in the last 24 hours and still are.",
        whole=True,
    ),
    Family("talkwire_sessions", "gauge", (*_ACCOUNT, "state"), "Live sessions: connected, disconnected.", whole=True),
    Family(
        "talkwire_notifier_up",
        "gauge",
        ("medium",),
        "1 where nothing keeps the notifier from showing, by its own word.",
    ),
    Family(
        "talkwire_notifications_total",
        "counter",
        ("medium", "decision"),
        "What became of notifications, by medium: shown, handed, suppressed or refused; one that was handed may be shown later.",
    ),
    Family("talkwire_queue_tasks", "gauge", ("group",), "Tasks that wait, by group of lanes.", whole=True),
    Family("talkwire_queue_oldest_seconds", "gauge", ("group",), "Age of the oldest of them.", whole=True),
    Family("talkwire_queue_held_lanes", "gauge", ("group",), "Lanes that wait to be woken.", whole=True),
    Family("talkwire_reader_behind", "gauge", ("reader",), "Facts that a reader has not been told yet.", whole=True),
    Family("talkwire_reader_parked", "gauge", ("reader",), "Facts that a reader refused to the end.", whole=True),
    Family("talkwire_log_head", "gauge", (), "Number of the last fact.", whole=True),
    Family("talkwire_envelopes_unread", "gauge", (), "Envelopes that were not understood, and not since.", whole=True),
    Family("talkwire_facts_total", "counter", ("type",), "Facts that this daemon told; those of plugins are `other`."),
    Family("talkwire_commits_total", "counter", (), "Commits."),
    Family("talkwire_committed_items_total", "counter", (), "Items in them: items a commit is one by the other."),
    Family("talkwire_writer_busy_seconds_total", "counter", (), "How long the writers had a transaction open."),
    Family("talkwire_writes_waiting", "gauge", (), "Writes that wait for their commit."),
    Family("talkwire_store_up", "gauge", (), "1 where the database answered this scrape within two seconds."),
    Family("talkwire_ready", "gauge", (), "1 where /readyz says so, the database apart."),
    Family(
        "talkwire_http_request_seconds",
        "histogram",
        ("method", "route", "status"),
        "Requests by the template of their route; streams are not among them.",
    ),
    Family("talkwire_disk_free_bytes", "gauge", ("disk",), "Room left where the database or the files are."),
    Family("talkwire_disk_size_bytes", "gauge", ("disk",), "Size of that disk."),
    Family("talkwire_build_info", "gauge", ("version", "python", "database"), "Always 1."),
)
_BY_NAME = {family.name: family for family in FAMILIES}
Sample = tuple[tuple[str, ...], float]


def add_metrics(app: web.Application) -> None:
    """Add `/metrics` to the admin port's application."""
    registry = app[_REGISTRY] = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    app.router.add_get("/metrics", _metrics)


async def _metrics(request: web.Request) -> web.Response:
    engine, registry = request.app[ENGINE], request.app[_REGISTRY]
    stored: _Stored | None = None
    try:
        async with asyncio.timeout(_WITHIN):
            stored = await engine.store.read(_stored)
    except (TimeoutError, StoreDown):
        pass  # it is said by `talkwire_store_up`
    disks = await asyncio.to_thread(engine.watch.rooms)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    said = _Said(_families(engine, stored, disks))
    registry.register(said)
    try:
        body = encode(registry)
    finally:
        registry.unregister(said)
    return web.Response(body=body, headers={"Content-Type": content_type})


class _Said:
    """What one scrape says; a collector as prometheus-client wants it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def describe(self) -> Sequence[Metric]:
        return ()

    def collect(self) -> Sequence[Metric]:
        return self._families


# --- what the database says ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    accounts: Sequence[evidence.Evidence]
    health: Mapping[str, Health]
    waits: Sequence[Backlog]
    readers: Sequence[evidence.ReaderLag]
    sessions: Mapping[tuple[str, str], int]
    head: int
    unread: int
    now: datetime


_SESSIONS = """
    SELECT account, session, count(*) FROM conversation WHERE session IN ('connected', 'disconnected')
    GROUP BY account, session
"""


def _stored(query: Query) -> _Stored:
    status, waits = evidence.status(query), backlogs(query)
    return _Stored(
        accounts=status.accounts,
        health=health.of_accounts(query, waits),
        waits=waits,
        readers=[reader for reader in status.readers if reader.state == "active"],
        sessions={(account, state): count for account, state, count in query.execute(_SESSIONS)},
        head=readmodels.head(query),
        unread=status.unread,
        now=query.now,
    )


# --- what is said --------------------------------------------------------------------------------------


def _families(engine: Engine, stored: _Stored | None, disks: Mapping[str, tuple[int, int]]) -> Iterator[Metric]:
    channels = {name: runtime.view.channel for name, runtime in engine.accounts.by_name.items()}
    yield from _counted(engine, channels)
    yield from _accounts(engine, stored, channels)
    if stored is not None:
        yield from _of_database(stored, channels)
    yield from _media(engine)
    store = engine.store
    yield _one("talkwire_commits_total", store.commits)
    yield _one("talkwire_committed_items_total", store.items)
    yield _one("talkwire_writer_busy_seconds_total", store.busy)
    yield _one("talkwire_writes_waiting", store.waiting)
    yield _one("talkwire_store_up", stored is not None)
    yield _one("talkwire_ready", not engine.stuck() and not engine.not_ready())
    yield _times(
        "talkwire_http_request_seconds",
        [((method, route, str(status)), times) for (method, route, status), times in engine.requests.times.items()],
    )
    yield _made("talkwire_disk_free_bytes", [((disk,), free) for disk, (free, _) in disks.items()])
    yield _made("talkwire_disk_size_bytes", [((disk,), total) for disk, (_, total) in disks.items()])
    kind = "sqlite" if store.is_sqlite else "postgresql"
    python = platform.python_version() if sys.implementation.name == "cpython" else sys.version.split()[0]
    yield _made("talkwire_build_info", [((version("talkwire"), python, kind), 1)])


def _counted(engine: Engine, channels: Mapping[str, str]) -> Iterator[Metric]:
    """Give what the writers told and the accounts did since this daemon started."""
    told = engine.store.told
    by_type: Counter[str] = Counter(dict.fromkeys(FACTS, 0))
    for (kind, _, _), count in told.items():
        by_type[kind if kind in by_type else "other"] += count
    yield _made("talkwire_facts_total", [((kind,), count) for kind, count in sorted(by_type.items())])
    for name, kind in _OF_FACTS.items():
        plain = [((a, channel), told.get((kind, a, ""), 0)) for a, channel in channels.items()]
        yield _made(name, plain)
    for name, kind in _OF_WORDED_FACTS.items():
        found = [
            ((account, channels[account], word), count)
            for (one, account, word), count in sorted(told.items())
            if one == kind and account in channels
        ]
        yield _made(name, found)
    counts = [((name, channels[name]), one.counts) for name, one in engine.accounts.by_name.items()]
    envelopes = [((*of, "taken"), one.taken) for of, one in counts]
    yield _made("talkwire_envelopes_total", [*envelopes, *(((*of, "rejected"), one.rejected) for of, one in counts)])
    attempts = [((*of, outcome), count) for of, one in counts for outcome, count in sorted(one.attempts.items())]
    yield _made("talkwire_attempts_total", attempts)
    yield _times("talkwire_send_seconds", [(of, one.send) for of, one in counts])


_OF_FACTS = {
    "talkwire_messages_received_total": "message.received",
    "talkwire_messages_repeated_total": "message.repeated",
    "talkwire_replies_total": "reply.queued",
}
_OF_WORDED_FACTS = {"talkwire_parts_total": "delivery.changed", "talkwire_replies_refused_total": "reply.refused"}


def _media(engine: Engine) -> Iterator[Metric]:
    media = engine.media()
    yield _made("talkwire_notifier_up", [((name,), not trouble) for name, trouble in media.items()])
    became: Counter[tuple[str, str]] = Counter({(name, one): 0 for name in media for one in _DECISIONS})
    for (kind, _, word), count in engine.store.told.items():
        decision = kind.removeprefix("notification.")
        if decision in _DECISIONS and word in media:
            became[word, decision] += count
    yield _made("talkwire_notifications_total", sorted(became.items()))


_DECISIONS = ("shown", "handed", "suppressed", "refused")


def _accounts(engine: Engine, stored: _Stored | None, channels: Mapping[str, str]) -> Iterator[Metric]:
    rows = {one.name: one for one in stored.accounts} if stored else {}
    states: list[Sample] = []
    last: dict[str, list[Sample]] = {"in": [], "out": [], "poll": []}
    for name, runtime in engine.accounts.by_name.items():
        of, row = (name, channels[name]), rows.get(name)
        states += [((*of, state.value), state is runtime.view.state) for state in AccountState]
        seen = {
            "in": (runtime.last_in, row.last_in_at if row else None),
            "out": (runtime.last_out, row.last_out_at if row else None),
            "poll": (row.last_poll_at if row else None,),
        }
        for which, times in seen.items():
            moments = [at for at in times if at is not None]
            last[which] += [(of, max(moments).timestamp())] if moments else []
    yield _made("talkwire_account_state", states)
    for which, samples in last.items():
        yield _made(f"talkwire_account_last_{which}_timestamp_seconds", samples)


def _of_database(stored: _Stored, channels: Mapping[str, str]) -> Iterator[Metric]:
    healths = [((name, channel), stored.health.get(name, Health())) for name, channel in channels.items()]
    yield _made("talkwire_account_silent", [(of, one.silent_since is not None) for of, one in healths])
    trouble = [((*of, "uncertain"), one.uncertain) for of, one in healths]
    yield _made("talkwire_parts_in_trouble", [*trouble, *(((*of, "failed"), one.failed) for of, one in healths)])
    sessions = [
        ((account, channels.get(account, ""), state), count) for (account, state), count in stored.sessions.items()
    ]
    yield _made("talkwire_sessions", sessions)
    yield from _queues(stored, [*(f"send:{name}" for name in channels), "do"])
    yield _made("talkwire_reader_behind", [((one.name,), one.behind) for one in stored.readers])
    yield _made("talkwire_reader_parked", [((one.name,), one.parked) for one in stored.readers])
    yield _one("talkwire_log_head", stored.head)
    yield _one("talkwire_envelopes_unread", stored.unread)


def _queues(stored: _Stored, named: Iterable[str]) -> Iterator[Metric]:
    """Say what waits in each group that has something, and in those that are `named` anyway."""
    groups: dict[str, list[Backlog]] = {group: [] for group in named}
    for one in stored.waits:
        groups.setdefault(one.group, []).append(one)
    queues = sorted(groups.items())
    yield _made("talkwire_queue_tasks", [((group,), sum(one.tasks for one in its)) for group, its in queues])
    ages = [((group,), max((0.0, *((stored.now - one.since).total_seconds() for one in its)))) for group, its in queues]
    yield _made("talkwire_queue_oldest_seconds", ages)
    held = [((group,), sum(one.lanes for one in its if one.held)) for group, its in queues]
    yield _made("talkwire_queue_held_lanes", held)


def _one(name: str, value: float) -> Metric:
    return _made(name, [((), value)])


def _made(name: str, samples: Iterable[Sample]) -> Metric:
    family = _BY_NAME[name]
    kind: Any = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made: Metric = kind(name, family.help, labels=family.labels)
    for labels, value in samples:
        made.add_metric(labels, float(value))  # type: ignore[attr-defined]
    return made


def _times(name: str, samples: Iterable[tuple[tuple[str, ...], Any]]) -> Metric:
    family = _BY_NAME[name]
    made = HistogramMetricFamily(name, family.help, labels=family.labels)
    for labels, times in samples:
        made.add_metric(labels, buckets=times.buckets, sum_value=times.total)
    return made
