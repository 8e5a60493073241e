"""How often one may ask: requests of a key and of an address, wrong keys and forged deliveries of an address.

In memory, each daemon for itself: a start forgives everything.

    request ─▶ of its address ─▶ who? ─▶ of its key ─▶ done
                                  └─ unknown: counted for the address; over the limit, only those who were right
                                     before are looked up, so a guesser beside them locks nobody out
    delivery ─▶ genuine? ─▶ done
                    └─ forged: counted for the address; over the limit it hears 429 instead of 401
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from ..clock import Clock
from ..model import Rate
from ..sections import Server
from ..work.rates import Rates
from .problems import RateLimited
from .remote import counted

_log = structlog.get_logger("talkwire.api")
_TELL_AGAIN = timedelta(minutes=10)  # of one address
_MOST_TOLD = 1000  # addresses


class Limits:
    """The limits of one daemon, for everybody who comes in."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._clock = clock
        self._keys = _rates(server.key_rate)
        self._addresses = _rates(server.address_rate)
        self._wrong = _rates(server.failure_rate)
        self._forged = _rates(server.failure_rate)
        self._told: dict[tuple[str, str], datetime] = {}  # (address, what) → when the log may name it again

    def from_address(self, remote: str) -> None:
        """Count a request of an address. Errors: `RateLimited`."""
        now = self._clock.now()
        _refuse(now, self._addresses.take(now, counted(remote)), "this address asks too often")

    def of_key(self, name: str) -> None:
        """Count a request of a key or a session. Errors: `RateLimited`."""
        now = self._clock.now()
        _refuse(now, self._keys.take(now, name), "this key asks too often")

    def may_guess(self, remote: str) -> None:
        """Refuse a key that was never right here, where others from its address were wrong. Errors: `RateLimited`."""
        now, whose = self._clock.now(), counted(remote)
        until = self._wrong.free_at(now, whose)
        if until is not None:
            self._warn(now, whose, "too many wrong keys")
        _refuse(now, until, "too many wrong keys came from this address")

    def wrong(self, remote: str) -> None:
        """Count a key or a session that nobody has."""
        self._wrong.take(self._clock.now(), counted(remote))

    def forged(self, remote: str) -> timedelta | None:
        """Count a delivery that is not genuine; gives how long to wait where there were too many."""
        now, whose = self._clock.now(), counted(remote)
        until = self._forged.take(now, whose)
        if until is None:
            return None
        self._warn(now, whose, "too many forged deliveries")
        return until - now

    def _warn(self, now: datetime, whose: str, what: str) -> None:
        if self._told.get((whose, what), now) > now:
            return
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told[whose, what] = now + _TELL_AGAIN
        _log.warning(what, remote=whose)


def _rates(rate: Rate | None) -> Rates:
    return Rates([] if rate is None else [rate])


def _refuse(now: datetime, until: datetime | None, text: str) -> None:
    if until is not None:
        raise RateLimited(text, after=until - now)
