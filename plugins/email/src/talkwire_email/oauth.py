"""Tokens instead of passwords: one for both servers, fetched from the provider's token endpoint before the old one ends.

Source: RFC 6749, 4.4, 5 and 6; that a refresh token may be replaced at each use: section 6, last paragraph.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from talkwire import AccountBroken, Channel, NotSent, SendError, TryLater, retry_after

from .settings import OAuth

_EARLY = timedelta(minutes=5)  # before its end a token is replaced, so that none ends under way
_LIFE = timedelta(minutes=60)  # of a token whose provider does not say
_KEPT = "refresh-token"  # the name under which a replaced one is kept
_A_PERSON = {"invalid_grant", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}


class Tokens:
    """The tokens of one account."""

    def __init__(self, settings: OAuth, channel: Channel) -> None:
        self._settings = settings
        self._channel = channel
        self._token = ""  # empty: there is none
        self._until = datetime.min.replace(tzinfo=channel.clock.now().tzinfo)
        self._fetching: asyncio.Task[str] | None = None  # None: nobody has asked yet

    async def bearer(self) -> str:
        """Give a token that is good for some minutes; all who ask at once wait for one answer.

        Errors: `NotSent` or `TryLater` where the endpoint gives none now; `AccountBroken` where a person must act.
        """
        if self._token and self._channel.clock.now() < self._until - _EARLY:
            return self._token
        if self._fetching is None or self._fetching.done():
            # Its own task: whoever asked may be cut short, and a replaced refresh token must be kept all the same.
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
            self._fetching.add_done_callback(_look_at)
        return await asyncio.shield(self._fetching)

    def forget(self, token: str) -> None:
        """Let a token go that a server refused; the next who asks gets another."""
        if token == self._token:
            self._token = ""

    async def close(self) -> None:
        """Let what is under way come to its end: it may have to be kept."""
        if self._fetching is not None and not self._fetching.done():
            await asyncio.wait([self._fetching])

    async def _fetch(self) -> str:
        refresh = await self._refresh_token()
        form = {"client_id": self._settings.client_id}
        if self._settings.client_secret is not None:
            form["client_secret"] = self._settings.client_secret.get_secret_value()
        if self._settings.scope:
            form["scope"] = self._settings.scope
        if refresh:
            form |= {"grant_type": "refresh_token", "refresh_token": refresh}
        else:
            form["grant_type"] = "client_credentials"
        asked_at = self._channel.clock.now()
        answer = await self._answer(form)
        token, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise NotSent("the token endpoint gave no token")
        replaced = answer.get("refresh_token")
        if refresh and isinstance(replaced, str) and replaced not in ("", refresh):
            await self._keep(replaced)
        seconds = float(life) if isinstance(life, int | float | str) and str(life).isdigit() else 0.0
        self._token = token
        self._until = asked_at + (timedelta(seconds=min(seconds, 86_400.0)) if seconds else _LIFE)
        return token

    async def _answer(self, form: dict[str, str]) -> dict[str, Any]:
        try:
            answer = await self._channel.http.post(
                self._settings.token_url,
                data=urlencode(form),
                headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            )
            said = answer.json() if answer.body else {}
        except NotSent:
            raise
        except SendError as error:  # of the mail itself nothing has left
            raise NotSent(f"the token endpoint gave no answer: {error}") from None
        said = said if isinstance(said, dict) else {}
        if answer.status == 200:
            return said
        code = str(said.get("error", ""))
        if code in _A_PERSON:
            account = self._channel.account
            raise AccountBroken(
                f"the token endpoint refuses us ({code}). Sign in at the provider again, put what it gives into"
                f" accounts.{account}.oauth, then: talkwire accounts resume {account}",
                code=code,
            )
        raise TryLater(
            f"the token endpoint gave no token (HTTP {answer.status})",
            after=retry_after(answer.headers),
            scope="account",
        )

    # --- the refresh token -----------------------------------------------------------------------

    async def _refresh_token(self) -> str:
        """Give the newest one: what the provider gave last, unless a person has put in another since."""
        given = self._settings.refresh_token.get_secret_value() if self._settings.refresh_token is not None else ""
        kept = await self._channel.kept(_KEPT)
        found = json.loads(kept) if kept else {}
        return str(found["token"]) if found.get("of") == _mark(given) else given

    async def _keep(self, token: str) -> None:
        """Keep one before it is used: the provider may take the former no more."""
        assert self._settings.refresh_token is not None  # it was used just now
        of = _mark(self._settings.refresh_token.get_secret_value())
        await self._channel.keep(_KEPT, json.dumps({"of": of, "token": token}), secret=True)


def _mark(token: str) -> str:
    """Give what tells which token of the settings a kept one came from."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def _look_at(task: asyncio.Task[str]) -> None:
    """See what became of it, also where nobody waits any more."""
    if not task.cancelled():
        task.exception()
