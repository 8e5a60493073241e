"""The host's webhooks: each fact is one signed POST, told until the host has taken it.

Signed as Standard Webhooks says (the specification's `spec/standard-webhooks.md`, "Webhook structure and signatures", read
2026-11-28): `webhook-id`, `webhook-timestamp`, and in `webhook-signature` one `v1,` for each secret.

    2xx                  taken
    410                  gone: nothing more is sent until an operator says so
    429, 503, no connection, a redirect    away: nothing else would be taken either
    5xx, no answer in time, 401, 403, 404, 405, 408, 425
                         away; if others are taken meanwhile it is this fact, and it is refused
    any other            refused: its conversation waits, and no other
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from time import monotonic
from typing import Any

import aiohttp
from pydantic_core import to_json
from yarl import URL

from ..actions import Action
from ..channel import retry_after
from ..clock import Clock, micros
from ..errors import NotSent, Refused, Uncertain
from ..http import IDLE, AccountHttp, Answer
from ..model import Fact
from ..sections import WebhookSettings
from ..store import Tx
from .standing import Away, Gone

SCHEDULE = tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 36000))  # of a fact that is refused
_PREFIX = "whsec_"
_NO_CONNECTIONS = 16  # at once: conversations that are told, and lanes
_SECRET, _PATH = "; is the secret the same on both sides?", "; is the path of the url right?"
_NOBODY = {401: _SECRET, 403: _SECRET, 404: _PATH, 405: _PATH, 408: "", 425: ""}  # says less of a fact than of its host


def new_secret() -> str:
    """Make a secret to sign with."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signatures(keys: Sequence[str], id_: str, timestamp: int, body: bytes) -> str:
    """Sign with every secret, for the header `webhook-signature`; whoever knows one of them can verify it."""
    signed = f"{id_}.{timestamp}.".encode() + body
    digests = [hmac.digest(base64.b64decode(key.removeprefix(_PREFIX)), signed, hashlib.sha256) for key in keys]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


@dataclass(frozen=True, slots=True)
class Tested:
    """What became of a test."""

    took: bool
    text: str  # for a person
    milliseconds: int


class WebhookReader:
    """One `[[webhooks]]` table, told facts like a plugin."""

    def __init__(self, settings: WebhookSettings, clock: Clock) -> None:
        self.name = settings.reader
        self.schedule = SCHEDULE
        self.need = settings.timeout
        self.settings = settings
        self._clock = clock
        self._url = settings.url.get_secret_value()
        self._keys = [secret.get_secret_value() for secret in settings.secrets]
        self._session: aiohttp.ClientSession | None = None  # its own: a slow host takes connections from nobody
        self._http: AccountHttp | None = None
        self._closed = False

    async def close(self) -> None:
        """Let its connections go; what is under way is told again."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def wants(self, fact_type: str) -> bool:
        """Say whether the host is told such facts."""
        return self.settings.wants(fact_type)

    def hears_of(self, account: str) -> bool:
        """Say whether the host is told of an account."""
        return self.settings.hears_of(account)

    def hook_of(self, fact_type: str) -> str:
        """Say that the fact is enough."""
        return "on_fact"

    def in_tx(self, hook_name: str) -> bool:
        """Say that it has nothing to do in a transaction."""
        return False

    def outside(self, hook_name: str) -> bool:
        """Say that it works outside of it."""
        return True

    async def call_async(self, hook_name: str, kwargs: Mapping[str, Any]) -> list[Action]:
        """Tell the host one fact. Errors: `Away`, `Gone`, `Refused`."""
        fact: Fact = kwargs["fact"]
        # The time is in it: a database that came back from a backup gives its numbers to other facts.
        await self._post(f"{self.settings.name}-{fact.seq}-{micros(fact.at):x}", fact)
        return []

    def call_tx(self, hook_name: str, kwargs: Mapping[str, Any], tx: Tx) -> list[Action]:
        """Do nothing."""
        return []

    async def test(self) -> Tested:
        """Send a fact that is none, `webhook.test`, and say what came back."""
        small = {"webhook": self.settings.name}
        now = self._clock.now()
        fact = Fact(seq=0, type="webhook.test", at=now, account="", conversation="", ids={}, small=small)
        began, error = monotonic(), ""
        try:
            await self._post(f"{self.settings.name}-test-{secrets.token_hex(8)}", fact)
        except (Away, Gone, Refused) as why:
            error = str(why)
        took = int((monotonic() - began) * 1000)
        return Tested(not error, error or f"{_host(self._url)} took it", took)

    async def _post(self, id_: str, fact: Fact) -> None:
        body, timestamp = to_json(fact), _seconds(self._clock.now())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Talkwire",
            "webhook-id": id_,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(self._keys, id_, timestamp, body),
        }
        try:
            answer = await self._way().post(self._url, data=body, headers=headers)
        except NotSent as error:
            raise Away(str(error), by_itself=True) from error
        except Uncertain as error:
            raise Away(f"{error}{_at(fact)}") from error
        _judge(_host(self._url), answer, _at(fact))

    def _way(self) -> AccountHttp:
        """Give the way to the host, made at its first use. Errors: `Away` once it is closed."""
        if self._closed:
            raise Away("the settings have changed", by_itself=True)
        if self._http is None:
            plain = self._url.startswith("http:")
            connector = aiohttp.TCPConnector(
                limit=_NO_CONNECTIONS,
                keepalive_timeout=IDLE.total_seconds(),
                socket_factory=_within_our_network if plain else None,
            )
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            hosts, hidden = [_host(self._url)], [*self._keys, self._url]
            self._http = AccountHttp(
                self._session, self.name, hosts, lambda _: None, hidden, timeout=self.settings.timeout
            )
        return self._http


def _judge(host: str, answer: Answer, at: str = "") -> None:
    """Say what an answer means; `at` names the fact. Errors: `Away`, `Gone`, `Refused`."""
    status = answer.status
    said = f"{host} answered {status}"
    if 200 <= status < 300:
        return
    if status == 410:
        raise Gone(f"{said}, Gone: it wants to be told no more")
    if status in (429, 503):
        raise Away(said, after=retry_after(answer.headers), by_itself=True)
    if status < 400:
        raise Away(f"{said}: a redirect is not followed; write the address it leads to", by_itself=True)
    if status in _NOBODY or status >= 500:
        raise Away(said + _NOBODY.get(status, at), after=retry_after(answer.headers))
    raise Refused(said, code=str(status))


def _at(fact: Fact) -> str:
    """Name the fact that was not taken, which may be all that is wrong."""
    return f" to fact {fact.seq}, {fact.type}" if fact.seq else ""


def _host(url: str) -> str:
    found = URL(url)
    return (found.host or "") if found.is_default_port() else f"{found.host}:{found.port}"


def _seconds(now: datetime) -> int:
    return int(now.timestamp())


def _within_our_network(address: tuple[Any, ...]) -> socket.socket:
    """Make a socket for http, which everybody on the way could read."""
    family, kind, protocol, _, at = address
    if ip_address(at[0].partition("%")[0]).is_global:
        raise OSError(0, "http is only for your own network, and this is outside: write https")
    return socket.socket(family, kind, protocol)
