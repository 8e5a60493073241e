"""What the links of mails lead to: a page that asks once more; only its button does something.

    GET, HEAD ─▶ a page, and nothing else: mail scanners and prefetchers follow every link
    POST ─▶ the answer, or who was first; of a link to switch mails off: they are off

Source: RFC 8058, 3.2 (the POST of one click comes without cookies and without a page before it); read 2026-11-28.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from talkwire import Conflict, Ended, NotFound, Recipient, Route, Scope

from . import rows
from .composing import clean, page, time_of
from .links import is_token
from .rows import ANSWER, OFF, Link
from .standing import Standing, standing
from .wording import Words

if TYPE_CHECKING:
    from .notifier import EmailNotifier

_BODY = 4096  # bytes of a form
_WRONG, _PER = 30, timedelta(minutes=1)  # links that lead nowhere, from one network address
_KNOWN = 10_000  # network addresses that are remembered
_OURS = ("press",)  # fields of the form
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Pages:
    """The routes below `/p/notify_email/`."""

    def __init__(self, notifier: EmailNotifier) -> None:
        self._notifier = notifier
        self._wrong = _Wrong()

    def routes(self) -> Sequence[Route]:
        """Give them."""
        return (
            *(Route(method, "/answer/{token}", self._look) for method in ("GET", "HEAD")),
            Route("POST", "/answer/{token}", self._answer),
            *(Route(method, "/off/{token}", self._ask_off) for method in ("GET", "HEAD")),
            Route("POST", "/off/{token}", self._switch_off),
            Route("GET", "/addresses", self._addresses),
            Route("DELETE", "/addresses/{address}", self._forgive),
        )

    # --- answers ---------------------------------------------------------------------------------------------

    async def _look(self, request: web.Request) -> web.Response:
        """Show what is asked, or what has become of it; changes nothing."""
        found = await self._found(request, ANSWER)
        if isinstance(found, web.Response):
            return found
        _, recipient, stands = found
        return self._asking(stands, recipient, request.query.get("press", ""))

    async def _answer(self, request: web.Request) -> web.Response:
        """Take the answer, if it is the first."""
        found = await self._found(request, ANSWER)
        if isinstance(found, web.Response):
            return found
        link, recipient, stands = found
        pressed = (await _form(request)).get("press", "")
        hub, words = self._notifier.hub, self._notifier.words(recipient)
        if stands.is_closed or pressed not in {option.id for option in stands.options}:
            return self._asking(stands, recipient, pressed, status=HTTPStatus.CONFLICT)
        try:
            await self._notifier.answered(link.notification, pressed)
        except (Conflict, NotFound):
            now = await self._standing(link.notification)
            return _no_link(words) if now is None else self._asking(now, recipient, pressed, status=HTTPStatus.CONFLICT)
        except Exception as error:  # noqa: BLE001  the asker's hook: the answer is not taken, and may be given again
            self._notifier.log.warning("an answer was not taken", kind=type(error).__name__)
            text = words("not_now_text")
            return _page(
                words,
                words("not_now"),
                text,
                mood="bad",
                buttons=_buttons(stands, pressed),
                status=HTTPStatus.BAD_GATEWAY,
            )
        await hub.write(rows.use, link)
        text = words("done_text", answer=clean(stands.label(pressed)))
        return _page(words, words("done"), text, mood="good", title=stands.notification.title)

    def _asking(
        self, stands: Standing, recipient: Recipient | None, pressed: str, *, status: int = 200
    ) -> web.Response:
        words, zone = self._notifier.words(recipient), self._notifier.zone(recipient)
        asked = stands.notification
        at = time_of(asked.at, words, zone) if asked.at is not None else ""
        about: dict[str, Any] = {"title": asked.title or asked.kind, "at": at, "status": status}
        if stands.first is not None:
            first = stands.first
            said = {
                "answer": clean(stands.label(first.action)),
                "surface": clean(words.surface(first.surface)),
                "at": time_of(first.at, words, zone),
            }
            if recipient is not None and first.recipient != recipient.name:
                text = words("was_answered_by", who=clean(first.recipient), **said)
            else:
                text = words("was_answered_text", **said)
            return _page(words, words("was_answered"), text, **about)
        if asked.ended is Ended.LAPSED:
            return _page(words, words("is_over"), words("is_over_text"), **about)
        if asked.ended is not Ended.OPEN:
            return _page(words, words("is_gone"), words("is_gone_text"), **about)
        details = [(clean(one.label), clean(one.value)) for one in asked.details]
        buttons = _buttons(stands, pressed)
        return _page(words, words("press"), details=details, buttons=buttons, is_question=True, **about)

    # --- no more mails ---------------------------------------------------------------------------------------

    async def _ask_off(self, request: web.Request) -> web.Response:
        """Ask whether mails shall be off; changes nothing."""
        link = await self._link(request, OFF)
        if isinstance(link, web.Response):
            return link
        recipient = self._recipient(link.recipient)
        words = self._notifier.words(recipient)
        text = words("off_text", recipient=clean(link.recipient), address=clean(recipient.email if recipient else ""))
        return _page(words, words("off_head"), text, buttons=[("off", words("off_button"))], is_question=True)

    async def _switch_off(self, request: web.Request) -> web.Response:
        """Switch mails off: the button of our page, or a mail program's own."""
        link = await self._link(request, OFF)
        if isinstance(link, web.Response):
            return link
        await self._notifier.hub.prefer(link.recipient, mute=self._notifier.type)
        await self._notifier.hub.write(rows.use, link)
        words = self._notifier.words(self._recipient(link.recipient))
        text = words("off_done_text", recipient=clean(link.recipient), name=clean(self._notifier.settings.name))
        return _page(words, words("off_done"), text, mood="good")

    # --- addresses that mail came back from ------------------------------------------------------------------

    async def _addresses(self, request: web.Request) -> web.Response:
        """List them, for operators."""
        (await self._notifier.hub.principal(request)).may(Scope.ADMIN)
        found = await self._notifier.hub.read(rows.all_bad)
        items = [{"address": one.address, "at": one.at.isoformat(), "reason": one.reason} for one in found]
        return web.json_response({"items": items})

    async def _forgive(self, request: web.Request) -> web.Response:
        """Let mails go to an address again."""
        (await self._notifier.hub.principal(request)).may(Scope.ADMIN)
        if not await self._notifier.hub.write(rows.forgive, request.match_info["address"]):
            raise NotFound("no mail came back from this address")
        return web.Response(status=HTTPStatus.NO_CONTENT)

    # --- finding ---------------------------------------------------------------------------------------------

    async def _found(self, request: web.Request, kind: str) -> tuple[Link, Recipient | None, Standing] | web.Response:
        link = await self._link(request, kind)
        if isinstance(link, web.Response):
            return link
        stands = await self._standing(link.notification)
        recipient = self._recipient(link.recipient)
        return (link, recipient, stands) if stands is not None else _no_link(self._notifier.words(recipient))

    async def _link(self, request: web.Request, kind: str) -> Link | web.Response:
        """Give the link of a request, or the page that says why there is none."""
        words = Words(_wished(request), self._notifier.settings.language, self._notifier.hub.language)
        now, whose = self._notifier.clock.now(), request.remote or ""
        if self._wrong.is_full(whose, now):
            return _page(words, words("too_often"), words("too_often_text"), mood="bad", status=429)
        token = request.match_info["token"]
        link = await self._notifier.hub.read(lambda query: rows.link(query, kind, token)) if is_token(token) else None
        if link is None or link.until <= now:
            self._wrong.count(whose, now)
            return _no_link(words)
        return link

    async def _standing(self, notification: str) -> Standing | None:
        return await standing(self._notifier.hub, notification)

    def _recipient(self, name: str) -> Recipient | None:
        try:
            return self._notifier.services.recipient(name)
        except NotFound:
            return None


class _Wrong:
    """Counts links that lead nowhere, a network address; in memory, each daemon for itself."""

    def __init__(self) -> None:
        self._since: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def is_full(self, whose: str, now: datetime) -> bool:
        """Say whether there were too many of late."""
        since, count = self._since.get(whose, (now, 0))
        return count >= _WRONG and now < since + _PER

    def count(self, whose: str, now: datetime) -> None:
        """Count one more."""
        since, count = self._since.pop(whose, (now, 0))
        self._since[whose] = (since, count + 1) if now < since + _PER else (now, 1)
        if len(self._since) > _KNOWN:
            self._since.popitem(last=False)


def _buttons(stands: Standing, pressed: str) -> list[tuple[str, str]]:
    """Give the buttons, the one that was pressed in the mail before the others."""
    options = sorted(stands.options, key=lambda option: option.id != pressed)
    return [(option.id, clean(option.title)) for option in options]


async def _form(request: web.Request) -> dict[str, str]:
    """Read a small form; what is larger is none."""
    body = await request.content.read(_BODY)
    try:
        fields = parse_qs(body.decode(), max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if name in _OURS}


def _wished(request: web.Request) -> str:
    """Give the browser's first language, where we have it."""
    first = request.headers.get("Accept-Language", "")[:2].lower()
    return first if first in ("en", "id") else ""


def _no_link(words: Words) -> web.Response:
    return _page(words, words("no_link"), words("no_link_text"), mood="bad", status=HTTPStatus.NOT_FOUND)


@cache
def _style() -> tuple[str, str]:
    """Give the style of our pages, and its hash for the policy."""
    text = (files(__package__) / "templates" / "page.css").read_text()
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _page(words: Words, head: str, text: str = "", *, status: int = 200, **values: Any) -> web.Response:
    style, hash_ = _style()
    shown = {"title": "", "at": "", "details": (), "buttons": (), "mood": "", "is_question": False, **values}
    shown["title"] = clean(str(shown["title"]))
    body = page({**shown, "words": words, "head": head, "text": text, "style": style})
    return web.Response(
        text=body,
        status=status,
        content_type="text/html",
        headers={
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{hash_}'; form-action 'self'; base-uri 'none'; "
                "frame-ancestors 'none'"
            ),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
        },
    )
