"""The account's way to its provider: one request, one truthful outcome, one redacted record.

Any whole answer is returned, also a 500. Everything else is one of two things:

    NotSent     nothing of the request left this machine: no connection came about
    Uncertain   a connection was there, and no whole answer came: the provider may have acted

aiohttp repeats a GET, PUT or DELETE by itself when a reused connection breaks (`ClientSession._request`,
3.14.5, "retry_persistent_connection"). A GET that sends an SMS would be sent twice, so a middleware turns the
errors that start that repetition into one that does not. A connection which the provider closed while our request
was on its way is therefore `Uncertain`: aiohttp does not tell whether the request had been written, and a provider that
dies after acting looks the same. What keeps this rare is that idle connections are dropped early (`IDLE`).
"""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDictProxy
from pydantic_core import from_json
from yarl import URL

from .channel import outcome
from .errors import NotSent, Refused, SendError, Uncertain
from .redaction import Redactor

TIMEOUT = timedelta(seconds=15)  # of a whole request, the answer included
CONNECT_SHARE = 0.8  # of that time for DNS, TCP and TLS, so that a slow connect is told from a slow answer
ANSWER_LIMIT = 4 * 1024 * 1024  # bytes of an answer that is read whole
DOWNLOAD_LIMIT = 100 * 1024 * 1024  # bytes of a download
DOWNLOAD_TIMEOUT = timedelta(minutes=5)
RECORD_LIMIT = 2048  # characters of each text in a record
PER_HOST = 128  # connections of all accounts together; more than one account has sends under way
IDLE = timedelta(seconds=1.5)  # servers close idle connections after 5 s and less (Node: `server.keepAliveTimeout`)

EXPLAINING_NAMES = frozenset(
    ["description", "detail", "details", "error", "error_description", "message", "reason", "title"]
)  # of a refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRecord:
    """One request and answer with a provider, redacted, for `trace`."""

    account: str
    what: str  # `http`
    request: str  # method and URL; secrets and long values cut
    sent: str  # shape of the body: JSON with texts cut, or its size; empty for none
    status: int | None  # None: no answer came
    answer: str  # the beginning of the answer, secrets and our own texts cut; empty for none
    error: str  # why no whole answer came; empty where one did
    took: timedelta


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes

    def text(self) -> str:
        """Give the body as UTF-8; what is not becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Read the body as JSON.

        Errors: `Uncertain`, for a provider that answers nonsense has said neither yes nor no.
        """
        try:
            return jsonlib.loads(self.body)
        except (ValueError, RecursionError):
            reason = f"the provider's answer (HTTP {self.status}, {len(self.body)} bytes) is not JSON"
        raise Uncertain(reason)


class _Lost(Exception):
    """The connection broke after it stood; no `ClientError`, so aiohttp does not repeat the request."""


async def _never_repeated(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise  # no connection came about; aiohttp does not repeat these
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Lost(type(error).__name__) from error


def client_session(*, trust_env: bool = False) -> aiohttp.ClientSession:
    """Make the one session that all accounts share: no cookies, idle connections dropped early."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=PER_HOST, keepalive_timeout=IDLE.total_seconds()),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=trust_env,
    )


class AccountHttp:
    """`Http` for one account over a shared session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        account: str,
        hosts: Iterable[str],
        record: Callable[[ExchangeRecord], None],
        secrets: Iterable[str] = (),
        *,
        secret_names: Iterable[str] = (),  # `Features.secret_query`
        timeout: timedelta = TIMEOUT,
        answer_limit: int = ANSWER_LIMIT,
    ) -> None:
        self._session = session
        self._account = account
        self._hosts = frozenset(host.lower() for host in hosts)
        self._known: set[tuple[str, int | None]] = set()  # of `hosts`, those that were asked before
        self._record = record
        self._redact = Redactor(secrets, secret_names)
        self._timeout = timeout
        self._answer_limit = answer_limit
        self._running: set[asyncio.Timeout] = set()

    async def get(self, url: str, **options: Any) -> Answer:
        """Make a GET request."""
        return await self.request(hdrs.METH_GET, url, **options)

    async def post(self, url: str, **options: Any) -> Answer:
        """Make a POST request."""
        return await self.request(hdrs.METH_POST, url, **options)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | str | aiohttp.FormData | None = None,
        timeout: timedelta | None = None,
    ) -> Answer:
        """Make one request and read its answer whole; redirects are answers.

        Errors: `NotSent`, `Uncertain`. Neither text nor chain holds the URL, which may hold a secret.
        """
        target = self._target(url, params)
        note = _Note(self._redact, method.upper(), target, json, data)
        limit = timeout or self._timeout
        failure: SendError
        try:
            async with self._time(limit), self._open(method, target, limit, headers, json, data) as response:
                note.status = response.status
                body = await _whole(response, self._answer_limit)
                note.received(body)
                return Answer(response.status, CIMultiDictProxy(response.headers.copy()), body)
        except (aiohttp.ClientError, TimeoutError, _Lost, _TooLong, OSError) as error:
            failure = _failure(error, _name(target), limit, self._answer_limit)
            note.error = str(failure)
        except BaseException as error:
            note.error = type(error).__name__
            raise
        finally:
            self._record(note.record(self._account))
        # Raised out here the error has no context: aiohttp's own texts hold whole URLs.
        raise failure

    async def download(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int = DOWNLOAD_LIMIT,  # bytes
    ) -> AsyncIterator[bytes]:
        """Fetch a file in pieces.

        Errors: as `request`; what `outcome` makes of any status but 200; `Refused` over the limit.
        """
        target = self._target(url, None)
        note = _Note(self._redact, hdrs.METH_GET, target, None, None)
        size = 0
        failure: SendError
        try:
            async with (
                self._time(DOWNLOAD_TIMEOUT),
                self._open(hdrs.METH_GET, target, self._timeout, headers, None, None) as response,
            ):
                note.status = response.status
                if response.status != 200:
                    body = await _whole(response, self._answer_limit)
                    note.received(body)
                    outcome(Answer(response.status, CIMultiDictProxy(response.headers.copy()), body))
                    raise Refused(f"HTTP {response.status} instead of a file", code=str(response.status))
                async for piece in response.content.iter_any():
                    size += len(piece)
                    if size > limit:
                        raise Refused(f"the file is larger than {limit} bytes")
                    yield piece
            return
        except (aiohttp.ClientError, TimeoutError, _Lost, _TooLong, OSError) as error:
            failure = _failure(error, _name(target), DOWNLOAD_TIMEOUT, self._answer_limit)
            note.error = str(failure)
        except BaseException as error:
            note.error = type(error).__name__
            raise
        finally:
            if not note.answer:
                note.answer = f"({size} bytes)"
            self._record(note.record(self._account))
        raise failure

    def end_time(self) -> None:
        """End the time of every request that runs now, as if its time-out had come; for tests."""
        for running in self._running:
            running.reschedule(asyncio.get_running_loop().time())

    def _target(self, url: str, params: Mapping[str, str] | None) -> URL:
        try:
            target = URL(url)
            port, host = target.port, target.host
        except ValueError:
            target, port, host = URL(), None, None
        if target.scheme not in {"http", "https"} or not host:
            raise NotSent(f'account "{self._account}": a request needs an absolute http or https URL')
        if (host, port) not in self._known and not self._is_ours(target, host, port):
            allowed = ", ".join(sorted(self._hosts)) or "no host at all"
            raise NotSent(
                f'account "{self._account}": {_name(target)} is not one of its hosts ({allowed}). '
                f"If it belongs to the provider, put its URL into a setting of accounts.{self._account}, "
                "or name it in the channel's `hosts`"
            )
        return target.update_query(params) if params else target

    def _is_ours(self, target: URL, host: str, port: int | None) -> bool:
        names = {f"{host}:{port}", f"[{host}]:{port}"}
        if target.is_default_port():
            names |= {host, f"[{host}]"}
        if not names & self._hosts:
            return False
        self._known.add((host, port))
        return True

    def _open(
        self,
        method: str,
        target: URL,
        limit: timedelta,
        headers: Mapping[str, str] | None,
        json: Any,
        data: Any,
    ) -> Any:
        return self._session.request(
            method,
            target,
            headers=headers,
            json=json,
            data=data,
            allow_redirects=False,
            # aiohttp repeats no POST: its methods that may be repeated are those of RFC 9110, section 9.2.2.
            middlewares=() if method == hdrs.METH_POST else (_never_repeated,),
            timeout=_to_connect(limit),
        )

    def _time(self, limit: timedelta) -> _Time:
        return _Time(self._running, limit)


@lru_cache(maxsize=32)
def _to_connect(limit: timedelta) -> aiohttp.ClientTimeout:
    connect = limit.total_seconds() * CONNECT_SHARE
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=None)


class _Time:
    """`asyncio.timeout`, listed while it runs."""

    def __init__(self, running: set[asyncio.Timeout], limit: timedelta) -> None:
        self._running = running
        self._timeout = asyncio.timeout(limit.total_seconds())

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._running.add(self._timeout)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.discard(self._timeout)
        await self._timeout.__aexit__(kind, error, trace)  # raises TimeoutError; it never swallows


class _TooLong(Exception):
    """The answer is over the limit."""


async def _whole(response: aiohttp.ClientResponse, limit: int) -> bytes:
    length = response.content_length
    if length is not None and length <= limit and hdrs.CONTENT_ENCODING not in response.headers:
        return await response.read()
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > limit:
            raise _TooLong
    return bytes(body)


def _failure(error: BaseException, host: str, limit: timedelta, answer_limit: int) -> SendError:
    """Say what an error means, in words without the URL."""
    seconds = f"{limit.total_seconds():g} s"
    match error:
        case aiohttp.ClientConnectorDNSError():
            return NotSent(f"{host}: the name cannot be resolved")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ServerFingerprintMismatch():
            return NotSent(f"{host}: its certificate is not valid for it; check the host in the settings and our clock")
        case aiohttp.ClientSSLError():
            return NotSent(f"{host}: TLS could not be agreed on")
        case aiohttp.ClientConnectorError():
            return NotSent(f"{host}: cannot be connected to ({error.os_error.strerror or 'no reason given'})")
        case aiohttp.ConnectionTimeoutError():
            return NotSent(f"{host}: no connection within {seconds}")
        case aiohttp.ClientHttpProxyError():
            return NotSent(f"{host}: the proxy refused to connect (HTTP {error.status})")
        case aiohttp.InvalidURL():
            return NotSent(f"{host}: the URL is not valid")
        case TimeoutError():
            return Uncertain(f"{host}: no whole answer within {seconds}")
        case _TooLong():
            return Uncertain(f"{host}: the answer is larger than {answer_limit} bytes")
        case aiohttp.ClientPayloadError():
            return Uncertain(f"{host}: the answer was cut off")
        case aiohttp.ClientResponseError():
            return Uncertain(f"{host}: the answer is not HTTP")
    return Uncertain(f"{host}: the connection broke before the answer came")


def _name(target: URL) -> str:
    host = target.host or ""
    return host if target.is_default_port() else f"{host}:{target.port}"


_written = jsonlib.JSONEncoder(ensure_ascii=False, default=repr).encode


class _Note:
    """A record in the making."""

    def __init__(self, redact: Redactor, method: str, target: URL, json: Any, data: Any) -> None:
        self._redact = redact
        self._began = asyncio.get_running_loop().time()
        self._cut: set[str] = set()
        asked = target.query.items() if target.raw_query_string else ()
        query = "&".join(f"{name}={redact.value(name, value, self._cut)}" for name, value in asked)
        # Decoded, for there are several ways to percent-encode one secret; a user and password are left out.
        place = redact.text(f"{target.scheme}://{target.host}:{target.port}{target.path}")
        self._request = f"{method} {place}{'?' if query else ''}{query}"
        self._sent = ""
        if json is not None:
            self._sent = _written(redact.value("", json, self._cut))
        elif isinstance(data, bytes | str):
            self._sent = f"({len(data)} {'bytes' if isinstance(data, bytes) else 'characters'})"
        elif data is not None:
            self._sent = "(a form)"
        self.status: int | None = None
        self.answer = ""
        self.error = ""

    def received(self, body: bytes) -> None:
        """Take the answer: JSON in the same shape as ours, other text at its beginning."""
        text = body[: RECORD_LIMIT * 64].decode("utf-8", "replace")
        try:
            value = from_json(body) if body[:1] in b"{[" and len(body) < RECORD_LIMIT * 64 else None
        except ValueError:
            value = None
        if isinstance(value, dict | list):
            try:
                refused = EXPLAINING_NAMES if (self.status or 0) >= 400 else frozenset()
                text = _written(self._redact.value("", value, set(), refused))
            except RecursionError:
                text = f"({len(body)} bytes)"
        for ours in sorted(self._cut, key=len, reverse=True):
            text = text.replace(ours, f"({len(ours)} characters)") if len(ours) > 3 else text
        self.answer = text

    def record(self, account: str) -> ExchangeRecord:
        def capped(text: str) -> str:
            text = self._redact.text(text)
            return text if len(text) <= RECORD_LIMIT else text[: RECORD_LIMIT - 1] + "…"

        return ExchangeRecord(
            account=account,
            what="http",
            request=capped(self._request),
            sent=capped(self._sent),
            status=self.status,
            answer=capped(self.answer),
            error=capped(self.error),
            took=timedelta(seconds=asyncio.get_running_loop().time() - self._began),
        )


__all__ = ["AccountHttp", "Answer", "ExchangeRecord", "Redactor", "client_session"]
