"""Meta's cloud with the phones of its customers: the Graph API, the webhooks, and a page that plays a customer.

Sources: Meta's OpenAPI of the Cloud API v23.0; "Webhooks", "Throughput", "Typing indicators", read 2026-11-20. Not all
that Meta does is documented; where it is not, this is strict.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from talkwire import SimulatedProvider

from . import checking, files, saying, templates
from .errors import GraphError
from .people import BUDI, SARI, People, Person
from .saying import Number

OURS = Number(id="106540352242922", shown="6285550783881")
OTHER = Number(id="106540352242930", shown="6285550783882")  # another number of the same app
BUSINESS = "102290129340398"  # id of the WhatsApp Business Account
NAME = "Kopi Kita"
WINDOW = 24 * 3600.0  # seconds
PAUSE = 0.2  # seconds between two statuses, so that a person sees them come
SLOW = 5.0  # seconds
RETRY_EVERY = 1.0  # seconds; Meta's own first pause is longer, and it goes on for seven days
RETRIES = 100
MOST = 2000  # messages that are remembered
TYPING = 25.0  # seconds that "typing…" stands

KNOBS = {
    "Meta": {
        "unavailable": "is overloaded (500, code 131016)",
        "broken": "answers 500 and says nothing",
        "too_many": "has had enough from us (130429)",
        "pair": "wants us to wait for him (131056)",
        "token": "does not know our token (190)",
        "reset": "hangs up after it took a message",
        "slow": f"takes {SLOW:.0f} seconds to answer",
        "window": "says the 24 hours are over (131047)",
        "template": "knows no such template (132001)",
    },
    "Meta’s statuses": {
        "lost": "never come",
        "twice": "come twice each",
        "reversed": "come in the wrong order",
        "together": "come in one body",
        "early": "come before the answer",
        "undeliverable": "say undeliverable (131026)",
        "window_late": "say 24 hours are over (131047)",
        "late_failure": "say delivered, then failed",
    },
    "The customer’s phone": {
        "off": "is off",
        "unseen": "tells nobody what was read",
        "skipped": "has the chat open: never “delivered”",
    },
    "What the customer writes": {
        "duplicate": "comes twice, and twice again",
        "batch": "comes with another number’s",
        "damaged": "comes with what makes no sense",
        "late": "comes a day late",
        "wrong_signature": "is signed with a wrong secret",
    },
    "The customer’s files": {
        "no_fetch": "cannot be fetched",
        "stale": "have a URL that is too old",
        "changed": "are not what was announced",
    },
}
_VERSION = r"/{version:v\d+\.\d+}"
KINDS = ("text", "image", "voice", "document", "location", "contact", "order", "poll", "choice", "reaction", "edit", "revoke", "number")  # fmt: skip

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Cloud(SimulatedProvider):
    """What Meta and the phones remember."""

    knobs = KNOBS
    body_limit = 512 * 1024

    def __init__(
        self,
        inbound_url: str,
        *,
        token: str,
        app_secret: str,
        verify_token: str,
        numbers: Sequence[Number] = (OURS,),
        rate: int = 80,  # messages a second of one number; 0: any
        pair_every: float = 6.0,  # seconds between two messages to one customer, in the long run; 0: none
        pair_burst: int = 45,  # that may go out before
        windows: bool = True,
        pause: float = PAUSE,  # seconds, as the next two
        slow: float = SLOW,
        retry_every: float = RETRY_EVERY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(__package__)
        self.inbound_url = inbound_url
        self.token, self.app_secret, self.verify_token = token, app_secret, verify_token
        self.numbers = {one.id: one for one in numbers}
        self.rate, self.pair_every, self.pair_burst, self.windows = rate, pair_every, pair_burst, windows
        self.pause, self.slow, self.retry_every = pause, slow, retry_every
        self.ahead = 0.0  # seconds that Meta's clock is ahead of ours
        self.webhook = "not verified yet"
        self.people = People()
        self.shelf = files.Shelf(self.now)
        self.templates = [dict(one) for one in templates.TEMPLATES]
        self.messages: dict[str, dict[str, Any]] = {}  # as the page shows them, by id, oldest first
        self.taken: list[
            tuple[float, str, str]
        ] = []  # when a message was taken, of which number, for whom; the last 20,000
        self.requests = 0  # how often a message was to be sent
        self._clock = clock
        self._heard: dict[tuple[str, str], float] = {}  # (number, customer) → when they last wrote, by Meta's clock
        self._times: dict[str, deque[float]] = {}  # number → when it sent, within the last second
        self._due: dict[tuple[str, str], float] = {}  # (number, customer) → when the next message would be due
        self._met: set[str] = set()  # customers with messages
        self._stale: set[str] = set()  # files whose URL was too old once

    def now(self) -> float:
        """Give Meta's time, in seconds."""
        return self._clock() + self.ahead

    def app(self) -> web.Application:
        """Make the application."""
        app = super().app()
        app.router.add_get("/sim/messages", self.show)
        app.router.add_post("/sim/messages", self.write)
        app.router.add_post("/sim/clock", self.set_clock)
        app.router.add_get("/sim/files/{id}", self.show_file)
        for method, path, handler in (
            ("POST", "/{id}/messages", self.send),
            ("POST", "/{id}/media", self.upload),
            ("GET", "/{id}/message_templates", self.list_templates),
            ("GET", "/{id}", self.look_up),
            ("DELETE", "/{id}", self.forget),
        ):
            app.router.add_route(method, _VERSION + path, _graph(handler))
        app.router.add_get("/files/{ticket}", _graph(self.fetch))
        return app

    async def start(self) -> None:
        """Begin to verify the webhook; it may not be there yet."""
        await super().start()
        self.later(self._verify())

    def everything(self) -> dict[str, Any]:
        """Give what the page shows."""
        return {
            "all": list(self.messages.values()),
            "people": self.people.listed(),
            "webhook": self.webhook,
            **self._hours(),
        }

    def settings(self, base_url: str) -> dict[str, Any]:
        """Give an account's table for what listens there."""
        return {
            "phone_number_id": next(iter(self.numbers)),
            "business_account_id": BUSINESS,
            "token": self.token,
            "app_secret": self.app_secret,
            "verify_token": self.verify_token,
            "api_url": f"{base_url}/v23.0",
        }

    # --- what we send ------------------------------------------------------------------------------------------

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Take a message, or what we say about one of the customer's."""
        number = await self._known(request)
        try:
            given = await request.json()
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise GraphError(100, "The body is no JSON object.")
        if "status" in given:
            return self._mark_read(number, given)
        self.requests += 1
        for name, error in (("unavailable", 131016), ("too_many", 130429), ("pair", 131056)):
            if name in self.faults:
                raise GraphError(error)
        if "broken" in self.faults:
            return web.Response(status=500, text="Internal Server Error")
        kind = checking.checked(given, self._file_of)
        person = self.people.find(str(given.get("to") or given.get("recipient")))
        if person is None:
            raise GraphError(
                131009, "(#131009) Parameter value is not valid: the recipient is neither a number nor a known id."
            )
        shown = self._drawn(kind, given)
        self._may(number, person, kind)
        return await self._take(request, number, person, given, shown)

    async def _take(
        self, request: web.Request, number: Number, person: Person, given: dict[str, Any], shown: dict[str, Any]
    ) -> web.StreamResponse:
        key = given.get("biz_opaque_callback_data", "")
        self.taken.append((self.now(), number.id, person.key))
        del self.taken[:-20_000]
        if shown["kind"] == "reaction":
            self._react(shown, "ours")
            message: dict[str, Any] = {"id": saying.new_id(), "kind": "reaction"}
        else:
            message = self._put(person, to_phone=True, source=given, **shown)
        reports = self._report(number, person, message, key)
        if "early" in self.faults:
            await reports
        else:
            self.later(reports)
        if "reset" in self.faults and request.transport:
            request.transport.abort()
        contact = {"input": given.get("to") or given.get("recipient"), "user_id": person.user_id}
        return web.json_response(
            {
                "messaging_product": "whatsapp",
                "contacts": [contact | ({"wa_id": person.wa_id} if person.wa_id else {})],
                "messages": [{"id": message["id"]} | ({"message_status": "accepted"} if shown.get("template") else {})],
            }
        )

    async def _known(self, request: web.Request) -> Number:
        """Say which of our numbers a request is about."""
        await self._allowed(request)
        if (number := self.numbers.get(request.match_info["id"])) is None:
            raise GraphError(
                100,
                f"Unsupported {request.method.lower()} request. Object with ID '{request.match_info['id']}' does not exist, "
                "cannot be loaded due to missing permissions, or does not support this operation.",
                subcode=33,
            )
        return number

    async def _allowed(self, request: web.Request) -> None:
        if "slow" in self.faults:
            await asyncio.sleep(self.slow)
        word = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(word.encode(), self.token.encode()):
            raise GraphError(190, "Invalid OAuth access token - Cannot parse access token", subcode=467)
        if "token" in self.faults:
            raise GraphError(190, "Error validating access token: Session has expired.", subcode=463)

    def _may(self, number: Number, person: Person, kind: str) -> None:
        """Keep to the hours and the rates. Errors: `GraphError`."""
        now, pair = self.now(), (number.id, person.key)
        is_over = self.windows and now - self._heard.get(pair, 0.0) >= WINDOW
        if kind in checking.FREE and (is_over or "window" in self.faults):
            raise GraphError(131047)
        times = self._times.setdefault(number.id, deque())
        while times and times[0] <= now - 1:
            times.popleft()
        if self.rate and len(times) >= self.rate:
            raise GraphError(130429)
        if self.pair_every:
            due = max(self._due.get(pair, now), now)
            if due - now > self.pair_every * (self.pair_burst - 1):
                raise GraphError(131056)
            self._due[pair] = due + self.pair_every
        times.append(now)

    def _file_of(self, id_: str) -> tuple[str, int] | None:
        file = self.shelf.find(id_)
        return (file.media_type, len(file.content)) if file else None

    def _drawn(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        """Say how the phone shows a message. Errors: `GraphError`."""
        value = given[kind]
        shown: dict[str, Any] = {"kind": kind, "answers": given.get("context", {}).get("message_id", "")}
        match kind:
            case "text":
                return {**shown, "text": value["body"]}
            case "template":
                return {**shown, **self._template(value)}
            case "interactive":
                return {**shown, **_interactive(value), **self._file(value.get("header", {}))}
            case "location":
                return {**shown, "place": {**value, **{k: float(value[k]) for k in ("latitude", "longitude")}}}
            case "contacts":
                return {**shown, "text": "\n".join(one["name"]["formatted_name"] for one in value)}
            case "reaction":
                if value["message_id"] not in self.messages:
                    raise GraphError(131009, "reaction['message_id']: no such message.")
                return {**shown, "answers": value["message_id"], "text": value["emoji"]}
            case _:
                return {**shown, "text": value.get("caption", ""), **self._file({"type": kind, kind: value})}

    def _template(self, value: dict[str, Any]) -> dict[str, Any]:
        code = value["language"]["code"]
        found = next((t for t in self.templates if (t["name"], t["language"]) == (value["name"], code)), None)
        if found is None or found["status"] == "REJECTED" or "template" in self.faults:
            raise GraphError(132001, f"template name ({value['name']}) does not exist in {code}")
        if found["status"] == "PAUSED":
            raise GraphError(132015)
        filled = templates.filled(found, value.get("components", []))
        options = [{**one, "description": ""} for one in filled.pop("buttons")]
        head = self._file(filled.pop("head_file", {}))
        return {**filled, **head, "template": f"{found['name']} · {code}", "options": options}

    def _file(self, of: dict[str, Any]) -> dict[str, Any]:
        kind = of.get("type", "")
        value = of.get(kind)
        if not isinstance(value, dict):
            return {}
        file = self.shelf.find(value.get("id", ""))
        name = value.get("filename") or (file.name if file else "") or kind
        if file is None:
            return {"file": {"kind": kind, "name": name, "link": value.get("link", ""), "size": 0, "type": ""}}
        return {"file": {"id": file.id, "kind": kind, "name": name, "type": file.media_type, "size": len(file.content)}}

    def _mark_read(self, number: Number, given: dict[str, Any]) -> web.StreamResponse:
        checking.nothing_else(given, {"messaging_product", "status", "message_id", "typing_indicator"}, "messages")
        message = self.messages.get(checking.of(given, "message_id"))
        if given["status"] != "read" or given.get("messaging_product") != "whatsapp":
            raise GraphError(100, "status must be read, messaging_product must be whatsapp.")
        if message is None or message["to_phone"]:
            raise GraphError(131009, "message_id: no such message of a customer.")
        for one in self.messages.values():
            if one["number"] == message["number"] and not one["to_phone"] and one["state"] == "delivered":
                self._change(one, state="read")
            if one is message:
                break
        if "typing_indicator" in given:
            if checking.of(given["typing_indicator"], "type") != "text":
                raise GraphError(100, "typing_indicator['type'] must be text.")
            self.tell({"typing": message["number"], "seconds": TYPING})
        return web.json_response({"success": True})

    # --- what became of it -------------------------------------------------------------------------------------

    async def _report(self, number: Number, person: Person, message: dict[str, Any], key: str) -> None:
        steps = self._steps(message)
        for word, _ in steps[-1:]:
            if not message.get("reached", True):
                self._change(message, failed=word == "failed")
        if "reversed" in self.faults:
            steps.reverse()
        if "twice" in self.faults:
            steps = [step for step in steps for _ in range(2)]
        is_template = bool(message.get("template"))
        made = [
            saying.status(person, message["id"], word, self._clock(), key=key, is_template=is_template, error=error)
            for word, error in steps
        ]
        bodies = [made] if "together" in self.faults and made else [[one] for one in made]
        for these in bodies:
            await asyncio.sleep(self.pause)
            answered = await self._post(saying.body(BUSINESS, saying.statuses(number, person, *these)))
            words = " and ".join(one["status"] for one in these)
            note = f"{words} told" if answered == 200 else f"{words}: the endpoint answered {answered or 'nothing'}"
            if message["kind"] != "reaction":
                self._change(message, note=note, state=these[-1]["status"])

    def _steps(self, message: dict[str, Any]) -> list[tuple[str, GraphError | None]]:
        on = self.faults
        if "lost" in on:
            return []
        for name, code in (("undeliverable", 131026), ("window_late", 131047)):
            if name in on:
                return [("failed", GraphError(code))]
        if "off" in on:
            return [("sent", None)]
        words = ["sent", "read"] if "skipped" in on else ["sent", "delivered", "read"]
        if "unseen" in on:
            words.remove("read")
        elif message.get("file", {}).get("kind") == "audio":
            words.append("played")
        steps: list[tuple[str, GraphError | None]] = [(word, None) for word in words]
        if "late_failure" in on:
            steps = [*steps[:2], ("failed", GraphError(131026))]
        return steps

    # --- files and templates -----------------------------------------------------------------------------------

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take a file."""
        await self._known(request)
        if "unavailable" in self.faults:
            raise GraphError(131016)
        words: dict[str, str] = {}
        content, named, kind = b"", "", ""
        async for part in await request.multipart():
            if not isinstance(part, aiohttp.BodyPartReader):
                raise GraphError(100, "A part within a part.")
            if part.name == "file":
                kind = part.headers.get("Content-Type", "").split(";")[0]
                named = part.filename or ""
                content = await _within(part, 100 * 1024**2)
            else:
                words[part.name or ""] = await part.text()
        if words.get("messaging_product") != "whatsapp":
            raise GraphError(100, "(#100) The parameter messaging_product is required.")
        if not content or not named:
            raise GraphError(100, "(#100) The parameter file is required.")
        checking.uploaded(kind)
        if said := words.get("type", "").split(";")[0]:
            checking.uploaded(said)
            kind = said
        fits = [limit for types, limit in checking.MEDIA.values() if not types or kind in types]
        if len(content) > max(fits):
            raise GraphError(131053, "File size is too big.")
        return web.json_response({"id": self.shelf.put(content, kind, named).id})

    async def look_up(self, request: web.Request) -> web.StreamResponse:
        """Describe a number, or a file with the URL that it is fetched from."""
        await self._allowed(request)
        id_ = request.match_info["id"]
        if number := self.numbers.get(id_):
            return web.json_response(
                {
                    "id": number.id,
                    "display_phone_number": f"+{number.shown[:2]} {number.shown[2:5]}-{number.shown[5:]}",
                    "verified_name": NAME,
                    "quality_rating": "GREEN",
                    "code_verification_status": "VERIFIED",
                    "platform_type": "CLOUD_API",
                    "throughput": {"level": "STANDARD"},
                }
            )
        file = self.shelf.find(id_)
        if file is None or request.query.get("phone_number_id", next(iter(self.numbers))) not in self.numbers:
            raise GraphError(100, f"Object with ID '{id_}' does not exist.", subcode=33)
        if "stale" in self.faults and file.id not in self._stale:
            self._stale.add(file.id)
            word = "too-old"
        else:
            word = self.shelf.ticket(file)
        return web.json_response(
            {
                "url": f"{request.scheme}://{request.host}/files/{word}",
                "mime_type": file.media_type,
                "sha256": file.digest.hex(),
                "file_size": str(len(file.content)),
                "id": file.id,
                "messaging_product": "whatsapp",
            }
        )

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        """Give a file to whoever has its URL and the token, once."""
        await self._allowed(request)
        file = self.shelf.redeem(request.match_info["ticket"])
        if file is None or "no_fetch" in self.faults:
            return web.Response(status=404)
        content = file.content + b"!" if "changed" in self.faults else file.content
        return web.Response(body=content, content_type=file.media_type)

    async def forget(self, request: web.Request) -> web.StreamResponse:
        """Forget a file."""
        await self._allowed(request)
        if not self.shelf.drop(request.match_info["id"]):
            raise GraphError(100, "Object does not exist.", subcode=33)
        return web.json_response({"success": True})

    async def list_templates(self, request: web.Request) -> web.StreamResponse:
        """List the templates, a page at a time."""
        await self._allowed(request)
        if request.match_info["id"] != BUSINESS:
            raise GraphError(100, "Object does not exist.", subcode=33)
        url = str(request.url.with_query(None))
        return web.json_response(templates.page(dict(request.query), self.templates, url))

    # --- what the customer does --------------------------------------------------------------------------------

    async def show(self, request: web.Request) -> web.Response:
        """Give all messages, oldest first."""
        return web.json_response({"messages": list(self.messages.values()), "requests": self.requests})

    async def show_file(self, request: web.Request) -> web.Response:
        """Give a file to the page, which sends no token; only what is no page itself is shown in one."""
        file = self.shelf.find(request.match_info["id"])
        if file is None:
            raise web.HTTPNotFound
        is_shown = re.fullmatch(r"(image/(png|jpeg|webp)|audio/[\w.+-]+|video/(mp4|3gpp))", file.media_type)
        kind = file.media_type if is_shown else "application/octet-stream"
        piece = request.http_range  # browsers ask for pieces of sounds and films
        content = file.content[piece]
        start = max(piece.start or 0, 0) if (piece.start or 0) >= 0 else len(file.content) - len(content)
        told = {"Accept-Ranges": "bytes"}
        if "Range" in request.headers and content:
            told["Content-Range"] = f"bytes {start}-{start + len(content) - 1}/{len(file.content)}"
        return web.Response(
            status=206 if "Content-Range" in told else 200, body=content, content_type=kind, headers=told
        )

    async def write(self, request: web.Request) -> web.Response:
        """Let a customer do something; answers when the endpoint has answered once."""
        given = await self.given(request)
        said = {name: given.get(name, other) for name, other in _SAYS.items()}
        if not all(isinstance(value, str) for value in said.values()) or said["kind"] not in KINDS:
            raise web.HTTPBadRequest(text=f"all are strings; kind is one of {', '.join(KINDS)}")
        person = self.people.find(said["from"], said["name"])
        if person is None or len(said["text"]) > checking.TEXT:
            raise web.HTTPBadRequest(
                text=f"from is a number or a known id, text has at most {checking.TEXT} characters"
            )
        try:
            id_, status = await self.says(
                person, said["kind"], said["text"], answers=said["answers"], choice=said["choice"]
            )
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.json_response({"id": id_, "status": status})

    async def says(
        self,
        person: Person = BUDI,
        kind: str = "text",
        text: str = "",
        *,
        answers: str = "",
        choice: str = "",
        number: Number | None = None,
    ) -> tuple[str, int]:
        """Let a customer write, choose, react, edit or revoke; gives the id and what the endpoint answered.

        Errors: `ValueError` where there is nothing to be done that to.
        """
        number = number or next(iter(self.numbers.values()))
        known = self.messages.get(answers)
        at = self._clock() - (25 * 3600 if "late" in self.faults else 0)
        id_ = saying.new_id()
        if (answers or kind in ("choice", "reaction", "edit", "revoke")) and known is None:
            raise ValueError("answers names no message that is here")
        if kind in ("edit", "revoke") and (known is None or known["to_phone"] or known["number"] != person.key):
            raise ValueError("only who wrote a message changes it")
        shown, wire = self._made(person, kind, text, known, choice)
        if known and kind not in ("reaction", "edit", "revoke"):
            wire["context"] = {"from": number.shown if known["to_phone"] else person.key, "id": answers}
        message = saying.said(person, id_, at, **wire)
        if kind == "number":
            value = saying.messages(number, None, message)
        else:
            value = saying.messages(number, person, message)
            self._heard[number.id, person.key] = self.now()
        if kind in ("reaction", "edit", "revoke"):
            assert known is not None
            self._apply(kind, known, text, shown)
            put = known
        else:
            put = self._put(person, id_=id_, to_phone=False, source=message, answers=answers, **shown)
        self.tell(self._hours())
        status = await self._deliver(number, value, put)
        return id_, status

    def _made(
        self, person: Person, kind: str, text: str, known: dict[str, Any] | None, choice: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Say how the page shows what a customer does, and how Meta says it."""
        match kind:
            case "text":
                if not text.strip():
                    raise ValueError("text is empty")
                return {"kind": "text", "text": text}, {"kind": "text", "text": {"body": text}}
            case "image" | "voice" | "document":
                content, media_type, name = {
                    "image": (files.picture(), "image/png", ""),
                    "voice": (files.voice(), "audio/ogg", ""),
                    "document": (files.DOCUMENT, "application/pdf", "receipt.pdf"),
                }[kind]
                file = self.shelf.put(content, media_type, name)
                on_wire = "audio" if kind == "voice" else kind
                caption = "" if kind == "voice" else text
                shown = {"kind": on_wire, "text": caption, **self._file({"type": on_wire, on_wire: {"id": file.id}})}
                return shown, {"kind": on_wire, on_wire: saying.shown_file(file, caption=caption)}
            case "location":
                return {"kind": "location", "place": saying.PLACE}, {"kind": "location", "location": saying.PLACE}
            case "contact":
                return {"kind": "contacts", "text": BUDI.name}, {"kind": "contacts", "contacts": [saying.card(BUDI)]}
            case "order":
                return {"kind": "order", "text": "🛒 2 × Ciwidey, 250 g"}, {"kind": "order", "order": saying.order()}
            case "poll":
                error = {
                    "code": 131051,
                    "title": "Message type unknown",
                    "message": "Message type unknown",
                    "error_data": {"details": "Message type is currently not supported."},
                }
                wire = {"kind": "unsupported", "errors": [error], "unsupported": {"type": "poll"}}
                return {"kind": "poll", "text": "📊 A poll, which businesses do not get"}, wire
            case "choice":
                assert known is not None
                return self._chosen(known, choice)
            case "reaction":
                return {}, {
                    "kind": "reaction",
                    "reaction": {"message_id": known and known["id"]} | ({"emoji": text} if text else {}),
                }
            case "edit":
                assert known is not None
                shown, changed = self._edited(known, text)
                return shown, {"kind": "edit", "edit": {"original_message_id": known["id"], "message": changed}}
            case "revoke":
                return {}, {"kind": "revoke", "revoke": {"original_message_id": known and known["id"]}}
            case _:
                return self._moved(person, text)

    def _edited(self, known: dict[str, Any], text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put other words in the place of a text, or another picture and caption in the place of a picture."""
        if known["kind"] == "image":
            file = self.shelf.put(files.picture(300, 240), "image/png", "")
            wire = {"type": "image", "image": saying.shown_file(file, caption=text)}
            return self._file({"type": "image", "image": {"id": file.id}}), wire
        if known["kind"] != "text" or not text.strip():
            raise ValueError("only a text is edited, into another text, or a picture, into another one")
        return {}, {"type": "text", "text": {"body": text}}

    def _chosen(self, known: dict[str, Any], choice: str) -> tuple[dict[str, Any], dict[str, Any]]:
        options = (one for one in known["options"] if one["id"] and not one.get("url"))
        option = next((one for one in options if one["id"] == choice), None)
        if option is None:
            raise ValueError("choice names no option of that message")
        shown = {"kind": "choice", "text": option["title"]}
        if known["template"]:
            return shown, {"kind": "button", "button": {"payload": option["id"], "text": option["title"]}}
        reply = {"id": option["id"], "title": option["title"]}
        if known["button"]:
            reply["description"] = option["description"]
            return shown, {"kind": "interactive", "interactive": {"type": "list_reply", "list_reply": reply}}
        return shown, {"kind": "interactive", "interactive": {"type": "button_reply", "button_reply": reply}}

    def _moved(self, person: Person, to: str) -> tuple[dict[str, Any], dict[str, Any]]:
        new = to.lstrip("+")
        if not person.wa_id or not re.fullmatch(r"[0-9]{8,15}", new):
            raise ValueError("text is the new number; who has none cannot change it")
        self.people.add(Person(name=person.name, wa_id=new))
        words = f"User {person.name} changed from {person.wa_id} to {new}"
        self.tell({"people": self.people.listed()})
        return (
            {"kind": "system", "text": words},
            {"kind": "system", "system": {"body": words, "wa_id": new, "type": "user_changed_number"}},
        )

    def _apply(self, kind: str, known: dict[str, Any], text: str, shown: dict[str, Any]) -> None:
        if kind == "reaction":
            self._react({"answers": known["id"], "text": text}, "theirs")
        elif kind == "edit":
            self._change(known, text=text, edited=True, **shown)
        else:
            self._change(known, text="", revoked=True)

    def _react(self, shown: dict[str, Any], whose: str) -> None:
        known = self.messages[shown["answers"]]
        self._change(known, reactions={**known["reactions"], whose: shown["text"]})

    # --- what the endpoint is told -----------------------------------------------------------------------------

    async def _verify(self) -> None:
        """Ask the endpoint whether it knows our word, until it does."""
        for _ in range(RETRIES):
            challenge = str(secrets.randbelow(10**10))
            query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": self.verify_token}
            try:
                async with self.session.get(self.inbound_url, params=query) as answer:
                    is_echo = answer.status == 200 and await answer.text() == challenge
                    self.webhook = "verified" if is_echo else f"not verified: the endpoint answered {answer.status}"
            except (aiohttp.ClientError, TimeoutError):
                self.webhook = "not verified yet: the endpoint does not answer"
            self.tell({"webhook": self.webhook})
            if self.webhook == "verified":
                return
            await asyncio.sleep(self.retry_every)

    async def _deliver(self, number: Number, value: dict[str, Any], put: dict[str, Any]) -> int:
        """Tell the endpoint of what a customer did; what it does not take comes again."""
        values = [value]
        if "duplicate" in self.faults:
            values = [{**value, "messages": value["messages"] * 2}]
        if "damaged" in self.faults:
            nonsense = {"id": saying.new_id(), "type": "text", "timestamp": "yesterday", "text": ["?"]}
            values = [{**one, "messages": [nonsense, *one["messages"]]} for one in values]
        if "batch" in self.faults:
            other = next((one for one in self.numbers.values() if one != number), OTHER)
            stranger = self.people.find("5511987654321") or SARI
            values.insert(
                0,
                saying.messages(
                    other,
                    stranger,
                    saying.said(
                        stranger, saying.new_id(), self._clock(), "text", text={"body": "This is for the other number"}
                    ),
                ),
            )
        raw = saying.body(BUSINESS, *values)
        status = await self._post(raw)
        if "duplicate" in self.faults:
            status = await self._post(raw)
        self._heard_by(put, status)
        if status not in (200, 401, 403):  # Meta repeats these too, for seven days
            self.later(self._deliver_again(raw, put))
        return status

    async def _deliver_again(self, raw: bytes, put: dict[str, Any]) -> None:
        for _ in range(RETRIES):
            await asyncio.sleep(self.retry_every)
            if self._heard_by(put, await self._post(raw)) in (200, 401, 403):
                return

    def _heard_by(self, put: dict[str, Any], status: int) -> int:
        said = "" if status == 200 else f"the endpoint answered {status}" if status else "the endpoint does not answer"
        if not put["to_phone"]:
            self._change(put, note=said, failed=status != 200, state="delivered" if status == 200 else "sent")
        return status

    async def _post(self, raw: bytes) -> int:
        """Give the status; 0 for no answer."""
        secret = "another secret" if "wrong_signature" in self.faults else self.app_secret
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature-256": saying.signature(raw, secret),
        }
        try:
            async with self.session.post(self.inbound_url, data=raw, headers=headers) as answer:
                await answer.read()
                return int(answer.status)
        except (aiohttp.ClientError, TimeoutError):
            return 0

    # --- the clock, and what is shown --------------------------------------------------------------------------

    async def set_clock(self, request: web.Request) -> web.Response:
        """Take `{"hours": 25}`: so far is Meta's clock ahead of ours."""
        hours = (await self.given(request)).get("hours")
        if not isinstance(hours, int | float) or not 0 <= hours <= 24 * 365:
            raise web.HTTPBadRequest(text="hours is a number from 0 to 8760")
        self.turn(hours=float(hours))
        return web.json_response(self._hours())

    def turn(self, *, hours: float) -> None:
        """Set Meta's clock ahead of ours."""
        self.ahead = hours * 3600
        self.tell(self._hours())

    def _hours(self) -> dict[str, Any]:
        first = next(iter(self.numbers))
        return {
            "ahead": self.ahead,
            "until": {who: at + WINDOW for (number, who), at in self._heard.items() if number == first},
        }

    def _put(self, person: Person, *, id_: str = "", to_phone: bool, source: Any, **shown: Any) -> dict[str, Any]:
        reached = not to_phone or not self.faults & {"off", "undeliverable", "window_late"}
        message = {
            "id": id_ or saying.new_id(),
            "to_phone": to_phone,
            "number": person.key,
            "at": self._clock(),
            "text": "",
            "header": "",
            "footer": "",
            "options": [],
            "button": "",
            "template": "",
            "answers": "",
            "reactions": {},
            "state": "" if to_phone else "sent",
            "note": "",
            "reached": reached,
            "failed": False,
            "edited": False,
            "revoked": False,
            "source": source,  # as it was on the line
            **shown,
        }
        self.messages[message["id"]] = message
        if len(self.messages) > MOST:
            del self.messages[next(iter(self.messages))]
        if person.key not in self._met:
            self._met.add(person.key)
            self.tell({"people": self.people.listed()})
        self.tell({"message": message})
        return message

    def _change(self, message: dict[str, Any], **said: Any) -> None:
        message.update(said)
        self.tell({"message": message})


_SAYS = {"from": BUDI.key, "name": "", "kind": "text", "text": "", "answers": "", "choice": ""}


def _interactive(value: dict[str, Any]) -> dict[str, Any]:
    header = value.get("header", {})
    shown = {
        "text": value["body"]["text"],
        "header": header.get("text", "") if header.get("type") == "text" else "",
        "footer": value.get("footer", {}).get("text", ""),
    }
    action = value["action"]
    match value["type"]:
        case "button":
            options = [{**one["reply"], "description": "", "url": ""} for one in action["buttons"]]
        case "list":
            options = [
                {"description": "", "url": "", "section": section.get("title", ""), **row}
                for section in action["sections"]
                for row in section["rows"]
            ]
            return {**shown, "options": options, "button": action["button"]}
        case "cta_url":
            parameters = action["parameters"]
            options = [{"id": "", "title": parameters["display_text"], "description": "", "url": parameters["url"]}]
        case _:
            options = []
    return {**shown, "options": options}


async def _within(part: aiohttp.BodyPartReader, limit: int) -> bytes:
    """Read a part. Errors: `GraphError` beyond so many bytes."""
    held = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        held += chunk
        if len(held) > limit:
            raise GraphError(131053, "File size is too big.")
    return bytes(held)


def _graph(handler: Handler) -> Handler:
    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except GraphError as error:
            return web.json_response(error.as_answer(), status=error.status)

    return answered
