"""What the bot is to be told, and both ways in which it hears of it: it asks, or it is called.

Sources: Bot API 10.1, "Getting updates", "getUpdates", "setWebhook", "WebhookInfo"; what 409 says, as Telegram's own
server says it (tdlib/telegram-bot-api, Client.cpp).
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from .refusal import Refusal, bad

ASKED_ONLY = frozenset({"chat_member", "message_reaction", "message_reaction_count"})  # told to who lists them
MOST = 100  # updates in one answer
LONGEST = 50  # seconds of a long poll
KEPT = 24 * 3600  # seconds that an update waits
IMPATIENCE = 0.05  # seconds that the fault `impatient` leaves to the endpoint
_FIRST = 480_317_000  # an id as updates have them
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_HEADER = "X-Telegram-Bot-Api-Secret-Token"


@dataclass(slots=True)
class Update:
    """One update on its way."""

    wire: dict[str, Any]
    at: float
    given: bool = False  # a getUpdates has answered with it
    called: int = 0  # how often the endpoint was called with it
    due: float = 0.0  # of the next call
    calling: bool = False


@dataclass(slots=True)
class Webhook:
    """Where the bot wants to be called."""

    url: str = ""
    secret: str = field(default="", repr=False)
    most: int = 40  # calls at once
    last_error: str = ""
    last_error_at: float = 0.0


class Updates:
    """The queue of one bot."""

    def __init__(
        self,
        faults: set[str],
        *,
        now: Callable[[], float],
        told: Callable[[dict[str, Any], str], None],  # (update, what became of it), for the page
        since: int = 0,
        retry_every: float = 1.0,  # seconds
    ) -> None:
        self.queue: dict[int, Update] = {}  # by update_id, oldest first
        self.webhook = Webhook()
        self.allowed: frozenset[str] | None = None  # None: all but `ASKED_ONLY`
        self.next_id = _FIRST + since
        self._faults = faults
        self._now = now
        self._told = told
        self._retry_every = retry_every
        self._pollers = 0
        self._changed = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()

    # --- what is told ---------------------------------------------------------------------------------------

    def tell(self, kind: str, value: dict[str, Any]) -> int:
        """Queue an update; gives its id, or 0 where the bot does not want its kind."""
        if "strange" in self._faults:
            self._queue("drum_solo", {"strokes": 7})  # a kind that no version of the Bot API has
        wanted = kind not in ASKED_ONLY if self.allowed is None else kind in self.allowed
        return self._queue(kind, value) if wanted else 0

    def _queue(self, kind: str, value: dict[str, Any]) -> int:
        if "jump" in self._faults:
            self.next_id = random.randint(1, 2**31 - 1)
        given, self.next_id = self.next_id, self.next_id + 1
        now = self._now()
        self.queue = {key: one for key, one in self.queue.items() if one.at > now - KEPT}
        self.queue[given] = Update(
            {"update_id": given, kind: copy.deepcopy(value)}, now
        )  # as it is now, whatever is edited later
        self._wake()
        return given

    def look_again(self) -> None:
        """Let who waits look again, where something else than the queue has changed."""
        self._wake()

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._pollers += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- the bot asks ---------------------------------------------------------------------------------------

    async def get(self, offset: int, limit: int, timeout: int, allowed: Iterable[str] | None) -> list[dict[str, Any]]:
        """Answer getUpdates; waits up to `timeout` seconds. Errors: `Refusal` 409."""
        self._may_ask()
        if allowed is not None:
            self._allow(allowed)
        self._pollers += 1
        mine = self._pollers
        self._wake()  # whoever asked before is sent away
        self._confirm(offset)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(timeout, 0), LONGEST)):
                while not self.queue:
                    await self._changed.wait()
                    self._may_ask()
                    if self._pollers != mine:
                        raise Refusal(
                            409,
                            "Conflict: terminated by other getUpdates request; "
                            "make sure that only one bot instance is running",
                        )
        found = list(self.queue.values())[: min(limit or MOST, MOST)]
        for one in found:
            if not one.given:
                self._told(one.wire, "asked for by the bot")
            one.given = True
        return [one.wire for one in found for _ in range(2 if "twice" in self._faults else 1)]

    def _confirm(self, offset: int) -> None:
        """Forget what was given and lies below the offset; above it are only those that no answer held.

        What an offset means to ids that were chosen anew and are smaller is not documented; here they come.
        """
        if offset < 0:  # only the last so many
            for key in list(self.queue)[:offset]:
                del self.queue[key]
            return
        for key in [key for key, one in self.queue.items() if one.given and key < offset]:
            del self.queue[key]

    def _may_ask(self) -> None:
        if "token" in self._faults:  # also who asked before it was so
            raise Refusal(401, "Unauthorized")
        if self.webhook.url:
            raise Refusal(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        if "conflict" in self._faults:
            raise Refusal(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )

    def _allow(self, kinds: Iterable[str]) -> None:
        self.allowed = frozenset(kinds) or None  # an empty list: the default again

    # --- the bot is called ----------------------------------------------------------------------------------

    def set_webhook(
        self, url: str, *, secret: str, most: int, allowed: Iterable[str] | None, drop_pending: bool
    ) -> str:
        """Call this URL from now on; gives Telegram's words. Errors: `Refusal`."""
        if url and not re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", url):  # this machine needs no TLS
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")
        if secret and not _SECRET.fullmatch(secret):
            raise bad("secret token contains unallowed characters")
        if drop_pending:
            self.queue.clear()
        if allowed is not None:
            self._allow(allowed)
        if not url:
            words = "Webhook was deleted" if self.webhook.url else "Webhook is already deleted"
        else:
            words = "Webhook is already set" if self.webhook.url == url else "Webhook was set"
        self.webhook = Webhook(url, secret, min(max(most, 1), 100))
        self._wake()
        return words

    def info(self) -> dict[str, Any]:
        """Give WebhookInfo."""
        hook = self.webhook
        found: dict[str, Any] = {
            "url": hook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(self.queue),
        }
        if hook.url:
            found["max_connections"] = hook.most
        if hook.last_error:
            found |= {"last_error_date": int(hook.last_error_at), "last_error_message": hook.last_error}
        if self.allowed is not None:
            found["allowed_updates"] = sorted(self.allowed)
        return found

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Call the webhook with what waits, until cancelled."""
        try:
            while True:
                changed = self._changed  # before we look: what comes while we look is not missed
                rest = self._call_what_is_due(session)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await changed.wait()
        finally:
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)

    def _call_what_is_due(self, session: aiohttp.ClientSession) -> float | None:
        """Begin calls; gives the seconds until the next is due, None where none waits for its time."""
        if not self.webhook.url:
            return None
        clock, rests = asyncio.get_running_loop().time(), []
        for one in list(self.queue.values()):
            if one.calling:
                continue
            if one.due > clock:
                rests.append(one.due - clock)
            elif len(self._calls) < self.webhook.most:
                one.calling = True
                call = asyncio.create_task(self._call(session, one, self.webhook))
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
                call.add_done_callback(lambda _: self._wake())
        return min(rests, default=None)

    async def _call(self, session: aiohttp.ClientSession, update: Update, hook: Webhook) -> None:
        key = update.wire["update_id"]
        words = ""
        try:
            for _ in range(2 if "twice" in self._faults else 1):
                words = await self._answered(session, update, hook)
        finally:
            update.calling = False
        update.called += 1
        if not words:
            self.queue.pop(key, None)
            self._told(update.wire, "the endpoint answered 200")
            return
        hook.last_error, hook.last_error_at = words, self._now()
        update.due = asyncio.get_running_loop().time() + self._retry_every * min(update.called, 8)
        self._told(update.wire, words[:1].lower() + words[1:])

    async def _answered(self, session: aiohttp.ClientSession, update: Update, hook: Webhook) -> str:
        """Call once; gives what went wrong, empty for nothing."""
        secret = "wrong" * 4 if "wrong_secret" in self._faults else hook.secret
        headers = {"Content-Type": "application/json"} | ({_HEADER: secret} if secret else {})
        body = json.dumps(update.wire)  # with \uXXXX, as Telegram writes it
        patience = aiohttp.ClientTimeout(total=IMPATIENCE if "impatient" in self._faults else 30)
        try:
            async with session.post(hook.url, data=body, headers=headers, timeout=patience) as answer:
                if answer.ok:
                    return ""
                return f"Wrong response from the webhook: {answer.status} {answer.reason}"
        except TimeoutError:
            return "Read timeout expired"
        except aiohttp.ClientError:
            return "Connection refused"
