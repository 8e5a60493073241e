"""Who asks: API keys, sessions of signed-in people, and what each may do.

A key is `tw_<id>_<43 characters>`, a session 43 characters in a cookie; the database has only their hashes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from ..auth import token_hash
from ..clock import Clock, micros, moment
from ..errors import NotFound
from ..lifecycle.auditing import audit
from ..sections import Server
from ..store import Query, Store, Tx
from .limits import Limits
from .problems import Forbidden, Unauthenticated
from .remote import remote_of

BELIEVED = timedelta(seconds=3)  # how long an answer of the database holds; a revoked key works no longer than that
SESSION = timedelta(hours=12)
_MOST_BELIEVED = 10_000
_KEY = re.compile(r"tw_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SEND = "send Authorization: Bearer tw_…"
_NO_KEY = "this key is not known, or was revoked; talkwire keys list names those that work"
_NO_SESSION = "this session is over, or the key that it began with was revoked; sign in again"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Scope(IntEnum):
    """What somebody may do; each may do what the smaller ones may."""

    READ = 1  # look
    BOT = 2  # and reply
    HOST = 3  # and cancel, resend, settle, trace
    ADMIN = 4  # and everything else

    @classmethod
    def of(cls, words: str) -> Scope:
        """Give the largest of several, separated by spaces."""
        return max(cls[word.upper()] for word in words.split())


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    name: str  # `key:crm`, `agent:ann`
    scope: Scope
    session: str = ""  # hash of the cookie; empty: not by cookie

    @property
    def recipient(self) -> str:
        """Name the recipient of notifications that this is."""
        return self.name.partition(":")[2]

    def may(self, scope: Scope) -> None:
        """Raise `Forbidden` where this scope is too large."""
        if self.scope < scope:
            raise Forbidden(f"this needs the scope {scope.name.lower()}; yours is {self.scope.name.lower()}")


class Principals:
    """Knows who makes a request, and lets people sign in."""

    def __init__(self, store: Store, clock: Clock, server: Server, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._proxies = server.trusted_proxies
        public = urlsplit(server.public_url)
        self._public = public.netloc
        # Browsers take `__Host-` only with Secure; plain http is for loopback alone.
        self._secure = public.hostname is not None and public.hostname not in _LOOPBACK
        self._cookie = "__Host-talkwire" if self._secure else "talkwire"
        self._believed: dict[str, tuple[datetime, Principal]] = {}
        self._were_right: dict[str, None] = {}  # hashes; who guesses beside them does not lock them out

    async def principal(self, request: web.Request) -> Principal:
        """Give who asks. Errors: `Unauthenticated`; `Forbidden` where another site uses our cookie; `RateLimited` after wrong ones."""
        remote = remote_of(request, self._proxies)
        if given := request.headers.get("Authorization", ""):
            scheme, _, token = given.partition(" ")
            return await self.key(token.strip() if scheme.lower() == "bearer" else given, remote)
        cookie = request.cookies.get(self._cookie, "")
        if not _TOKEN.fullmatch(cookie):
            raise Unauthenticated(f"no key was given; {_SEND}")
        self._from_here(request)
        hashed = token_hash(cookie)
        return await self._known(hashed, lambda query: _by_session(query, hashed), remote, _NO_SESSION)

    async def key(self, token: str, remote: str) -> Principal:
        """Give whose key this is. Errors: `Unauthenticated`; `RateLimited` after too many wrong ones of this address."""
        if not token:
            raise Unauthenticated(f"no key was given; {_SEND}")
        if not (match := _KEY.fullmatch(token)):
            self._limits.may_guess(remote)
            self._limits.wrong(remote)
            raise Unauthenticated(f"this is no key, or only a piece of one; {_SEND}")
        hashed = token_hash(token)
        return await self._known(hashed, lambda query: _by_key(query, match[1], hashed), remote, _NO_KEY)

    async def sign_in(self, response: web.StreamResponse, principal: Principal) -> None:
        """Begin a session; committed when this returns. The cookie goes with the response."""
        token = secrets.token_urlsafe(32)
        await self._store.write(_begin, (token_hash(token), principal, self._clock.now() + SESSION))
        life = int(SESSION.total_seconds())
        response.set_cookie(self._cookie, token, max_age=life, path="/", **self._flags)

    async def sign_out(self, response: web.StreamResponse, principal: Principal) -> None:
        """End a session."""
        self._believed.pop(principal.session, None)
        await self._store.write(_end, principal.session)
        response.del_cookie(self._cookie, path="/", **self._flags)

    @property
    def _flags(self) -> dict[str, Any]:
        return {"secure": self._secure, "httponly": True, "samesite": "Lax"}

    async def _known(
        self, hashed: str, look: Callable[[Query], Principal | None], remote: str, if_not: str
    ) -> Principal:
        now = self._clock.now()
        if (known := self._believed.get(hashed)) is not None and known[0] > now:
            return known[1]
        self._believed.pop(hashed, None)
        if hashed not in self._were_right:
            self._limits.may_guess(remote)
        found = await self._store.read(look)
        if found is None:
            self._were_right.pop(hashed, None)
            self._limits.wrong(remote)
            raise Unauthenticated(if_not)
        if len(self._believed) >= _MOST_BELIEVED:
            self._believed.clear()
        if len(self._were_right) >= _MOST_BELIEVED:
            self._were_right.clear()
        self._believed[hashed] = (now + BELIEVED, found)
        self._were_right[hashed] = None
        return found

    def _from_here(self, request: web.Request) -> None:
        """Refuse what another site's page does with our cookie."""
        # A socket begins with a GET, and then does what its pages say.
        if request.method in _SAFE and request.headers.get("Upgrade", "").lower() != "websocket":
            return
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None:
            ours = site == "same-origin"
        else:  # an old browser
            ours = urlsplit(request.headers.get("Origin", "")).netloc in {request.host, self._public} - {""}
        if not ours:
            raise Forbidden("a page of another site cannot do this with your session")


# --- keys and sessions in the database -----------------------------------------------------------------

_FIND_KEY = "SELECT name, scopes, hash FROM api_key WHERE id = :id AND revoked_at IS NULL"
_INSERT_KEY = """
    INSERT INTO api_key (id, name, hash, scopes, created_at) VALUES (:id, :name, :hash, :scopes, :now)
"""
_LIST_KEYS = "SELECT id, name, scopes, created_at, revoked_at FROM api_key ORDER BY created_at, id"
_REVOKE = "UPDATE api_key SET revoked_at = :now WHERE id = :id"
_FIND_SESSION = "SELECT principal, scopes, created_at FROM session WHERE id = :id AND expires_at > :now"
# Names are given anew: a session holds while a key of its name works, and none was revoked since it began.
_KEY_WORKS = """
    SELECT 1 FROM api_key WHERE name = :name AND revoked_at IS NULL AND NOT EXISTS
        (SELECT 1 FROM api_key WHERE name = :name AND revoked_at >= :began) LIMIT 1
"""
_BEGIN = """
    INSERT INTO session (id, principal, scopes, created_at, expires_at)
    VALUES (:id, :principal, :scopes, :now, :until)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key, without what makes it secret."""

    id: str
    name: str
    scopes: str
    created_at: datetime
    revoked_at: datetime | None  # None: it works


def create_keys(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[str]:
    """Make keys of (name, scopes separated by spaces); gives the tokens, which nobody can give again."""
    tokens = []
    for name, scopes in items:
        Scope.of(scopes)  # a KeyError here is our own bug: the caller checked the words
        id_ = secrets.token_hex(6)
        token = f"tw_{id_}_{secrets.token_urlsafe(32)}"
        row = {"id": id_, "name": name, "hash": token_hash(token), "scopes": scopes, "now": tx.now_us}
        tx.execute(_INSERT_KEY, row)
        tx.tell("key.created", ids={"key": id_}, small={"name": name, "scopes": scopes})
        tokens.append(token)
    return tokens


def list_keys(query: Query) -> list[ApiKey]:
    """Give all keys, also revoked ones."""
    return [
        ApiKey(
            id=id_,
            name=name,
            scopes=scopes,
            created_at=moment(created),
            revoked_at=None if revoked is None else moment(revoked),
        )
        for id_, name, scopes, created, revoked in query.execute(_LIST_KEYS)
    ]


def revoke_keys(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    """Revoke keys by their ids; they stop to work within `BELIEVED`. Errors: `NotFound`."""
    for id_ in items:
        if tx.one(_FIND_KEY, {"id": id_}) is None:
            raise NotFound(f"there is no key {id_} that still works")
        tx.execute(_REVOKE, {"id": id_, "now": tx.now_us})
        tx.tell("key.revoked", ids={"key": id_})
    return [None] * len(items)


def _by_key(query: Query, id_: str, hashed: str) -> Principal | None:
    row = query.one(_FIND_KEY, {"id": id_})
    if row is None or not secrets.compare_digest(row[2], hashed):
        return None
    return Principal(f"key:{row[0]}", Scope.of(row[1]))


def _by_session(query: Query, hashed: str) -> Principal | None:
    row = query.one(_FIND_SESSION, {"id": hashed, "now": query.now_us})
    if row is None:
        return None
    kind, _, name = row[0].partition(":")
    began = row[2] - BELIEVED // timedelta(microseconds=1)  # it may have begun with a key that was revoked before
    if kind == "key" and query.one(_KEY_WORKS, {"name": name, "began": began}) is None:
        return None  # a session ends with the key that began it
    return Principal(row[0], Scope.of(row[1]), hashed)


def _begin(tx: Tx, items: Sequence[tuple[str, Principal, datetime]]) -> Sequence[None]:
    for hashed, principal, until in items:
        row = {"id": hashed, "principal": principal.name, "scopes": principal.scope.name.lower()}
        tx.execute(_BEGIN, {**row, "now": tx.now_us, "until": micros(until)})
        audit(tx, principal.name, "sign-in", {"scope": row["scopes"]})
    return [None] * len(items)


def _end(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    for hashed in sorted(items):
        tx.execute("DELETE FROM session WHERE id = :id", {"id": hashed})
    return [None] * len(items)
