"""A provider for tests: a real HTTP server on a free loopback port, which fails as it is told.

    async with FakeProvider(ACME) as gate:
        gate.will(accept("p1"), busy(after=50), reset_after_body())
        ...
        assert [seen.json()["text"] for seen in gate.shown] == ["hello"]

`Answers` says how this provider says yes and no; the steps (`accept`, `busy`, …) say when. Steps are used up by
requests that show something to the customer; harmless ones (tokens, `getMe`) are answered beside them.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import parse_qsl, urlencode

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from ..model import Envelope

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request that reached the fake provider."""

    method: str  # upper case
    path: str  # as it came, percent-encoded, without the query
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def param(self, name: str, default: str = "") -> str:
        """Give the first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def json(self) -> Any:
        """Read the body as JSON."""
        return jsonlib.loads(self.body)

    def form(self) -> dict[str, str]:
        """Read the body as a URL-encoded form; of repeats the last."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a provider answers to one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """Make an answer in JSON."""
        kind = {"Content-Type": "application/json"}
        return cls(status=status, body=jsonlib.dumps(value).encode(), headers={**kind, **(headers or {})})

    @classmethod
    def text(cls, text: str, *, status: int = 200) -> Self:
        """Make an answer in plain text."""
        return cls(status=status, body=text.encode(), headers={"Content-Type": "text/plain; charset=utf-8"})


def _busy(seen: Seen, seconds: int) -> Reply:  # noqa: ARG001  the default answers every request alike
    return Reply(status=429, headers={"Retry-After": str(seconds)})


def _bad_request(seen: Seen) -> Reply:  # noqa: ARG001  as above
    return Reply(status=400)


def _unauthorized(seen: Seen) -> Reply:  # noqa: ARG001  as above
    return Reply(status=401)


def _broken(seen: Seen) -> Reply:  # noqa: ARG001  as above
    return Reply(status=500)


def _portal(seen: Seen) -> Reply:  # noqa: ARG001  as above
    return Reply(body=b"<html>Sign in to the hotel's network</html>", headers={"Content-Type": "text/html"})


def _never(seen: Seen) -> None:  # noqa: ARG001  as above
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How a provider says what it says; only `accept` differs everywhere."""

    accept: Callable[[Seen, str], Reply]  # (request, id the provider gives the part) → yes
    refuse: Callable[[Seen], Reply] = _bad_request  # a documented no for ever
    busy: Callable[[Seen, int], Reply] | None = _busy  # (request, seconds to wait); None: it never says so
    unauthorised: Callable[[Seen], Reply] | None = _unauthorized  # our credentials are wrong; None: it has none
    down: Callable[[Seen], Reply] | None = _broken  # broken, and who knows what it did; None: documented otherwise
    garbage: Callable[[Seen], Reply] | None = _portal  # a yes without sense; None: only the status counts
    markup: Callable[[Seen], Reply] | None = None  # it cannot read our markup, and showed nothing; None: not documented
    shut: Callable[[Seen], Reply] | None = None  # its window for answers has closed; None: it has none
    # Requests that show nothing to the customer, with their answers; None: this one may show something.
    harmless: Callable[[Seen], Reply | None] = _never


class ProviderScript(Exception):
    """The test asks the fake provider for what its `Answers` do not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What becomes of one request that may show something."""

    name: str
    reply: Callable[[Answers, Seen, str], Reply]  # (answers, request, id) → what is said, if anything is
    taken: bool = False  # the provider has the part, whatever it says
    end: str = "whole"  # whole | reset | hang | truncated
    first: asyncio.Event | None = None  # waited for before the answer
    id: str = ""  # of the part; empty: the provider counts


def accept(external_id: str = "") -> Step:
    """Take the part, under this id or the next one of `p1`, `p2`, …"""
    return Step(name="accept", reply=lambda a, s, i: a.accept(s, i), taken=True, id=external_id)


def refuse() -> Step:
    """Say no for ever."""
    return Step(name="refuse", reply=lambda a, s, _: a.refuse(s))


def busy(after: int = 50) -> Step:
    """Say no for now; `after` in seconds."""
    return Step(name="busy", reply=lambda a, s, _: _has(a.busy, "busy")(s, after))


def unauthorised() -> Step:
    """Say that our credentials are wrong."""
    return Step(name="unauthorised", reply=lambda a, s, _: _has(a.unauthorised, "unauthorised")(s))


def down() -> Step:
    """Answer 500."""
    return Step(name="down", reply=lambda a, s, _: _has(a.down, "down")(s))


def refuse_markup() -> Step:
    """Say that our markup cannot be read, and that nothing was shown."""
    return Step(name="refuse_markup", reply=lambda a, s, _: _has(a.markup, "markup")(s))


def shut_window() -> Step:
    """Say that the window for answers has closed."""
    return Step(name="shut_window", reply=lambda a, s, _: _has(a.shut, "shut")(s))


def garbage_200() -> Step:
    """Say yes in words that make no sense, as a proxy on the way would."""
    return Step(name="garbage_200", reply=lambda a, s, _: _has(a.garbage, "garbage")(s))


def says(reply: Reply) -> Step:
    """Answer exactly this."""
    return Step(name="says", reply=lambda _a, _s, _i: reply)


def reset_after_body() -> Step:
    """Take the part, then reset the connection."""
    return Step(name="reset_after_body", reply=lambda a, s, i: a.accept(s, i), taken=True, end="reset")


def hang_after_acceptance() -> Step:
    """Take the part, then say nothing."""
    return Step(name="hang_after_acceptance", reply=lambda a, s, i: a.accept(s, i), taken=True, end="hang")


def truncated() -> Step:
    """Take the part, then stop in the middle of the answer."""
    return Step(name="truncated", reply=lambda a, s, i: a.accept(s, i), taken=True, end="truncated")


def slow(until: asyncio.Event, then: Step | None = None) -> Step:
    """Wait for an event, then go on with a step (default: `accept`)."""
    step = then or accept()
    return Step(name=f"slow {step.name}", reply=step.reply, taken=step.taken, end=step.end, first=until, id=step.id)


def _has(answer: Callable[..., Reply] | None, name: str) -> Callable[..., Reply]:
    if answer is None:
        raise ProviderScript(f"this provider's Answers have no `{name}`")
    return answer


class Provider(Protocol):
    """What the checks need of a provider, whatever it speaks; an async context manager.

    Each attribute is as `FakeProvider`, which speaks HTTP, has it. One that speaks something else makes a `Seen` of what
    would be a request, and reads of a `Step` what it means there: `taken` and `end`, and `reply` for what is said.
    """

    requests: list[Seen]
    shown: list[Seen]
    taken: dict[str, Seen]
    faults: list[BaseException]
    url: str  # what `Case.point_at` gets

    def will(self, *steps: Step) -> None:
        """Do these next."""

    def always(self, step: Step) -> None:
        """Do this whenever nothing else was said."""

    async def arrived(self) -> None:
        """Wait until one more thing has arrived that may show something."""

    async def __aenter__(self) -> Self:
        """Listen on this machine."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more, and hang up."""


class FakeProvider:
    """The provider's server; an async context manager."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.requests: list[Seen] = []  # all of them, in order of arrival
        self.shown: list[Seen] = []  # those that may show something to the customer
        self.taken: dict[str, Seen] = {}  # id → the request whose part the provider has
        self.faults: list[BaseException] = []  # what the case's own functions raised
        self.url = ""  # without a slash at its end
        self._steps: deque[Step] = deque()
        self._otherwise = accept()
        self._given = 0
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def host(self) -> str:
        """Give `host:port`."""
        return self.url.removeprefix("http://")

    def will(self, *steps: Step) -> None:
        """Do these next, one a request that may show something."""
        self._steps.extend(steps)

    def always(self, step: Step) -> None:
        """Do this whenever nothing else was said; at first it is `accept()`."""
        self._otherwise = step

    async def arrived(self) -> None:
        """Wait until one more request has arrived that may show something."""
        await self._arrived.wait()
        self._arrived.clear()

    def forget(self) -> None:
        """Wait from now on for what comes after this."""
        self._arrived.clear()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # Whoever tests a time-out does not want to wait for it again when the server closes.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        address = self._runner.addresses[0]
        self.url = f"http://127.0.0.1:{address[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            method=request.method,
            path=request.rel_url.raw_path,
            query=tuple(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        self.requests.append(seen)
        try:
            harmless = self.answers.harmless(seen)
            if harmless is not None:
                return _response(_is_reply(harmless, "harmless"))
            step = self._steps.popleft() if self._steps else self._otherwise
            self.shown.append(seen)
            if step.taken:
                self._given += not step.id
            external_id = step.id or f"p{self._given}"
            reply = _is_reply(step.reply(self.answers, seen, external_id), step.name)
        except Exception as error:  # noqa: BLE001  the author's functions: kept for the kit to show
            self.faults.append(error)
            return web.Response(status=599, text="the case's Answers raised")
        if step.taken:
            self.taken[external_id] = seen
        self._arrived.set()
        if step.first is not None:
            await step.first.wait()
        return await self._end(request, step, reply)

    async def _end(self, request: web.Request, step: Step, reply: Reply) -> web.StreamResponse:
        if step.end == "whole":
            return _response(reply)
        if step.end == "hang":
            await self._closing.wait()
        elif step.end == "truncated":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"{")
        transport = request.transport
        if transport is not None:
            if step.end == "reset":  # linger of 0: close sends RST, not FIN
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                transport.abort()
            else:
                transport.close()
        return web.Response(status=500)  # never arrives: the connection is gone


def _is_reply(given: object, name: str) -> Reply:
    if not isinstance(given, Reply):
        raise TypeError(f"the answer to {name} is {type(given).__name__} instead of Reply")
    return given


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=CIMultiDict(reply.headers))


# --- the way in ----------------------------------------------------------------------------------


def in_disorder(envelopes: Sequence[Envelope], *, seed: int, copies: int = 2) -> tuple[Envelope, ...]:
    """Repeat and reorder deliveries, as providers do; the same for the same seed."""
    many = list(envelopes) * copies
    random.Random(seed).shuffle(many)
    return tuple(many)


async def deliver(
    session: aiohttp.ClientSession,
    url: str,  # of the endpoint, `http://127.0.0.1:8080/in/support`
    envelopes: Iterable[Envelope],
) -> tuple[int, ...]:
    """Deliver envelopes to an endpoint one after the other, as a provider would; gives the statuses."""
    statuses = []
    for envelope in envelopes:
        query = f"?{urlencode(envelope.query)}" if envelope.query else ""
        async with session.request(
            envelope.method,
            URL(url + envelope.path + query, encoded=True),
            data=envelope.body or None,
            headers=dict(envelope.headers),
            allow_redirects=False,
        ) as response:
            await response.read()
            statuses.append(response.status)
    return tuple(statuses)


__all__ = [
    "Answers",
    "FakeProvider",
    "Provider",
    "ProviderScript",
    "Reply",
    "Seen",
    "Step",
    "accept",
    "busy",
    "deliver",
    "down",
    "garbage_200",
    "hang_after_acceptance",
    "in_disorder",
    "refuse",
    "reset_after_body",
    "says",
    "slow",
    "truncated",
    "unauthorised",
]
