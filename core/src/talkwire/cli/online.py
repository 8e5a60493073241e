"""What `talkwire check --online` asks: the database, the world's way to us, each provider; and what time they have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp

from .. import control
from ..clock import moment
from ..daemon import Daemon
from ..errors import TalkwireError
from . import place
from .screen import now, say

if TYPE_CHECKING:
    from ..settings import Loaded
    from ..store import Query

Told = Callable[[str, bool, str], None]  # what, whether it is good, what it says

_WITHIN = 10  # seconds for an answer
_CLOCKS_APART = 5  # seconds; signatures with a time allow five minutes, windows and the log want better
_THEIR_CLOCK = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


def asked(loaded: Loaded) -> bool:
    """Ask all of them, say what they answer, and say whether all is good."""
    results: list[bool] = []

    def told(what: str, good: bool, text: str) -> None:
        say(f"{what}: {text}", level="ok" if good else "BAD")
        results.append(good)

    _database(loaded, told)
    asyncio.run(_outside(loaded, told))
    return all(results)


def _database(loaded: Loaded, told: Told) -> None:
    store = loaded.config.store
    own_clock = store.url.get_secret_value().startswith("postgresql:")
    try:
        theirs = place.look(store, lambda query: _time_of(query) if own_clock else None)
    except TalkwireError as error:
        told("database", False, str(error))
        return
    told("database", True, store.place)
    if theirs is not None:
        _compare("its clock", theirs, told)


def _time_of(query: Query) -> datetime:
    return moment(query.execute(_THEIR_CLOCK)[0][0])


async def _outside(loaded: Loaded, told: Told) -> None:
    config = loaded.config
    daemon = Daemon(config, loaded.plugins)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WITHIN)) as session:
        if config.server.public_url:
            await _public(session, config.server.public_url, told)
        daemon._make(session)
        for name, runtime in daemon.accounts.by_name.items():
            if runtime.channel is None:
                told(name, False, runtime.view.reason)
                continue
            try:
                told(name, True, await control.probe(runtime))
            except TalkwireError as error:
                told(name, False, str(error).removeprefix(f'account "{name}": '))
    await loaded.plugins.close()
    await daemon.store.close()


async def _public(session: aiohttp.ClientSession, public_url: str, told: Told) -> None:
    """Ask ourselves the way the world does."""
    url = f"{public_url}/livez"
    try:
        async with session.get(url, allow_redirects=False) as response:
            body = (await response.content.read(100)).strip()
            said = response.headers.get("Date", "")
            told(url, response.status == 200 and body == b"ok", _answer(response, body))
    except (aiohttp.ClientError, TimeoutError) as error:
        told(url, False, _reason(error))
        return
    try:
        theirs = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return
    _compare("its clock", theirs, told)


def _answer(response: aiohttp.ClientResponse, body: bytes) -> str:
    if response.status == 200 and body == b"ok":
        return "answers"
    if response.status == 503 and body == b"stuck":
        return "answers that it is stuck; talkwire status says why"
    if response.status in (502, 504):
        return f"HTTP {response.status}: the proxy answers, and does not reach us; is the daemon running, on its port?"
    if 300 <= response.status < 400:
        to = response.headers.get("Location", "")
        return f"HTTP {response.status} to {to.split('?')[0]}: name the address that answers itself, providers do not follow"
    return f"HTTP {response.status}, which is not our answer; does the proxy lead to us?"


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such name here; is it in DNS?"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
        return f"its certificate is not believed ({why}); providers do not believe it either"
    if isinstance(error, aiohttp.ClientSSLError):
        return "it speaks no TLS there; does the proxy listen on this port with a certificate?"
    if isinstance(error, TimeoutError):
        return f"no answer within {_WITHIN} s; does a firewall drop it?"
    return f"{type(error).__name__}; is the daemon running, and does the proxy lead to it?"


def _compare(what: str, theirs: datetime, told: Told) -> None:
    apart = abs((theirs - now()).total_seconds())
    text = f"{apart:.0f} s from ours" + ("" if apart <= _CLOCKS_APART else "; one of the two needs NTP")
    told(what, apart <= _CLOCKS_APART, text)
