"""Web Push: a browser without an open page is woken by its maker's push service, which cannot read what it carries.

Sources: RFC 8030 (TTL, Urgency, Topic), RFC 8291 (encryption), RFC 8292 (VAPID), read 2026-11-28.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from talkwire import Notification, Style, TalkwireError, TryLater, guarded_session, retry_after

from . import rows
from .protocol import show
from .settings import read_key

if TYPE_CHECKING:
    from .notifier import DesktopNotifier

_PAYLOAD = 3000  # bytes; services take 4,096 of ciphertext (RFC 8030, section 7.2)
_WITHIN = 10  # seconds for one push
_TTL = {Style.ALERT: timedelta(hours=24), Style.TOAST: timedelta(hours=1)}  # how long a service keeps it
_URGENCY = {Style.ALERT: "high", Style.TOAST: "normal"}
_TOKEN = timedelta(hours=12)  # services take at most 24 (RFC 8292, section 2)
_INSTALL = "Web Push is configured, but cannot work: pip install 'talkwire-notify-desktop[webpush]'"


def new_vapid_key() -> str:
    """Make a VAPID key, PEM: the value of `vapid_key`. It is a secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class _Outcome(Enum):
    TAKEN = "taken"
    DEAD = "dead"
    LATER = "later"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: _Outcome
    after: timedelta | None = None  # with LATER: what the service asks for
    status: int = 0  # 0: it did not answer


class Push:
    """Pushes to the browsers of a recipient."""

    def __init__(self, notifier: DesktopNotifier) -> None:
        settings = notifier.settings
        self._notifier = notifier
        self._key = None if settings.vapid_key is None else read_key(settings.vapid_key)
        self._contact = settings.vapid_contact
        self._here = settings.push_here
        self._session: aiohttp.ClientSession | None = None
        self._refused = ""  # what a push service said last, where it does not take us
        self._is_installed = find_spec("pywebpush") is not None

    @property
    def key(self) -> str | None:
        """Give what browsers subscribe with, as `applicationServerKey` takes it; None: there is no Web Push."""
        if self._key is None or not self._is_installed:
            return None
        return _encoded(self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def trouble(self) -> str:
        """Say what keeps browsers from being woken."""
        return _INSTALL if self._key is not None and not self._is_installed else self._refused

    async def open(self) -> None:
        """Make ready to call push services, none of which is on our own network."""
        if self._session is None:
            self._session = guarded_session(loopback=self._here)

    async def close(self) -> None:
        """Call nobody any more."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def may_call(self, endpoint: str) -> bool:
        """Say whether an address may be that of a push service; where it leads is looked at when it is called."""
        try:
            at = urlsplit(endpoint)
            here = self._here and at.hostname in ("127.0.0.1", "localhost")
        except ValueError:
            return False
        return bool(at.hostname) and not at.username and (at.scheme == "https" or (at.scheme == "http" and here))

    # --- out -----------------------------------------------------------------------------------------

    async def show(self, notification: Notification) -> str:
        """Wake the recipient's browsers with a notification; gives why no service has taken it, empty where one has.

        Errors: `TryLater` where every service that could take it is busy.
        """
        return await self._push(notification, {"notification": _short(notification)}, _URGENCY[notification.style])

    async def withdraw(self, notification: Notification) -> None:
        """Let browsers take it away; what a service still keeps of it is replaced."""
        try:
            await self._push(notification, {"withdraw": notification.id}, "normal")
        except TryLater:
            self._notifier.log.info("a push is not withdrawn", notification=notification.id)

    async def _push(self, notification: Notification, said: Mapping[str, Any], urgency: str) -> str:
        if self.key is None or self._session is None:
            return "no_surface"
        hub = self._notifier.hub
        browsers = await hub.read(lambda query: rows.subscriptions(query, notification.recipient))
        payload = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        now = self._notifier.clock.now()
        ttl = _TTL[notification.style]
        if notification.lapses_at is not None:
            ttl = min(ttl, max(notification.lapses_at - now, timedelta()))
        headers = {
            "TTL": str(int(ttl.total_seconds())),
            "Urgency": urgency,
            "Topic": notification.id.replace("-", "")[:32],  # 32 characters of base64url at most
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
        }
        # At once: one service that hangs must not keep the others, nor hold us longer than `deliver` may take.
        answers = await asyncio.gather(*(self._one(browser, payload, headers, now) for browser in browsers))
        for browser, answer in zip(browsers, answers, strict=True):
            if answer.outcome is _Outcome.DEAD:
                await hub.write(rows.unsubscribe, browser.id)
            elif answer.outcome is _Outcome.TAKEN:
                await hub.write(rows.reached, (browser.id, now))
        if any(answer.outcome is _Outcome.TAKEN for answer in answers):
            return ""
        if waits := [answer for answer in answers if answer.outcome is _Outcome.LATER]:
            asked = [answer.after for answer in waits if answer.after is not None]
            raise TryLater("the push service is busy or away", after=min(asked) if asked else None)
        refused = any(answer.outcome is _Outcome.REFUSED for answer in answers)
        return "push_refused" if refused else "no_surface"

    async def _one(
        self, browser: rows.Subscription, payload: bytes, headers: Mapping[str, str], now: datetime
    ) -> _Answer:
        assert self._session is not None
        service = urlsplit(browser.endpoint).hostname or ""
        try:
            said = {**headers, "Authorization": self._vouch(browser.endpoint, now)}
            # Not by `webpush_async` (pywebpush 2.5): it follows redirects, and reads an answer of any size.
            async with self._session.post(
                browser.endpoint,
                data=_encrypted(browser, payload),
                headers=said,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=_WITHIN),
            ) as answer:
                found = _outcome(answer.status, retry_after(answer.headers))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._notifier.log.info("push service away", service=service, kind=type(error).__name__)
            return _Answer(_Outcome.LATER)
        except TalkwireError as error:  # an address on our own network, or none at all
            self._notifier.log.warning("push service not called", service=service, kind=type(error).__name__)
            return _Answer(_Outcome.DEAD)
        if found.outcome is _Outcome.REFUSED:
            self._refused = (
                f"the push service {service} refuses our pushes (HTTP {found.status}): look at vapid_key and"
                " vapid_contact of [plugins.notify_desktop]; a new vapid_key needs new subscriptions"
            )
            self._notifier.log.warning("push refused", service=service, status=found.status)
        elif found.outcome is _Outcome.TAKEN:
            self._refused = ""
        return found

    def _vouch(self, endpoint: str, now: datetime) -> str:
        """Make the header that says who we are (RFC 8292, section 2 and 3)."""
        from py_vapid import Vapid02  # an extra

        at = urlsplit(endpoint)
        vapid = Vapid02(private_key=self._key)
        claims = {
            "aud": f"{at.scheme}://{at.netloc}",
            "exp": int((now + _TOKEN).timestamp()),
            "sub": self._contact,
        }
        return str(vapid.sign(claims)["Authorization"])


def _encrypted(browser: rows.Subscription, payload: bytes) -> bytes:
    from pywebpush import WebPusher  # an extra

    keys = {"p256dh": browser.p256dh, "auth": browser.auth}
    return bytes(WebPusher({"endpoint": browser.endpoint, "keys": keys}).encode(payload)["body"])


def _outcome(status: int, wait: timedelta | None) -> _Answer:
    if 200 <= status < 300:
        return _Answer(_Outcome.TAKEN, status=status)
    if status in (404, 410):  # RFC 8030, section 7.3: the subscription is gone
        return _Answer(_Outcome.DEAD, status=status)
    if status in (408, 425, 429) or status >= 500:
        return _Answer(_Outcome.LATER, wait, status)
    return _Answer(_Outcome.REFUSED, status=status)


def _short(notification: Notification) -> dict[str, Any]:
    """Make what is pushed of a notification, cut to what a service takes."""
    said = show(notification)
    for key, most in (("text", 800), ("title", 200)):
        said[key] = said[key][:most]
    while len(json.dumps(said, ensure_ascii=False).encode()) > _PAYLOAD and (said["text"] or said["details"]):
        said["text"] = said["text"][: len(said["text"]) // 2]
        if not said["text"]:
            said["details"] = []
    return said


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
