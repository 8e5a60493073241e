"""The Bot API on one port, with the page on which the customer writes and reads.

Sources: Bot API 10.1, "Making requests", "Getting updates", "getFile".
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any

from aiohttp import web

from talkwire import SimulatedProvider

from . import asked
from .bot import Bot
from .customer import Customer, Impossible
from .files import UPLOAD_LIMIT, Files
from .files import Full as NoRoom
from .rates import TELEGRAMS, Counter, Limits, flood
from .refusal import Refusal, bad
from .updates import Updates
from .world import BUDI, Full, World

SLOW = 5.0  # seconds
FLOOD = 3  # seconds that the fault `flood` asks for

KNOBS = {  # by who does it
    "Telegram": {
        "refuse": "refuses what we send (400)",
        "markup": "cannot parse entities (400)",
        "flood": f"has had too many requests (429, {FLOOD} seconds)",
        "token": "does not know our token (401)",
        "down": "is broken when we send (500)",
        "hangup": "hangs up after it took a message",
        "slow": f"takes {SLOW:.0f} seconds to answer",
        "large": "has only files that are too big",
        "conflict": "gives the updates to somebody else (409)",
    },
    "The updates": {
        "twice": "come twice",
        "jump": "have numbers that jump",
        "strange": "have some of an unknown kind among them",
        "wrong_secret": "are brought with a wrong secret",
        "impatient": "are brought again when we take our time",
    },
    "The customer": {
        "blocked": "has blocked the bot (403)",
        "privacy": "writes in groups where privacy mode is on",
    },
}


class Messenger(SimulatedProvider):
    """What Telegram and the customers remember."""

    knobs = KNOBS
    body_limit = UPLOAD_LIMIT + 1024**2

    def __init__(
        self,
        *,
        token: str,
        limits: Limits | None = TELEGRAMS,  # None: the bot may write as fast as it likes
        now: Callable[[], float] = time.time,
        slow: float = SLOW,
        since: int = 100,  # messages and updates are numbered from here on
        retry_every: float = 1.0,  # seconds, until a webhook is called again
    ) -> None:
        super().__init__(__package__)
        self.token = token
        self.slow = slow
        self.calls: Tally[str] = Tally()  # method as it was written → how often it was called
        self.files = Files()
        self.world = World(now=now, changed=self.tell, since=since)
        self.updates = Updates(self.faults, now=now, told=self._told, since=since, retry_every=retry_every)
        self.customer = Customer(self.world, self.updates, self.files, self.faults)
        self.bot = Bot(self.world, self.files, Counter(limits, now), self.faults)

    def app(self) -> web.Application:
        """Make the application."""
        app = super().app()
        app.router.add_route("*", "/bot{token}/{method}", self.call)
        app.router.add_get("/file/bot{token}/{path:.+}", self.download)
        app.router.add_get("/sim/chats", self.show)
        app.router.add_post("/sim/deeds", self.do)
        app.router.add_post("/sim/files", self.hand_over)
        app.router.add_get("/sim/files/{id}", self.show_file)
        app.on_shutdown.append(self._stop_waiting)
        return app

    def everything(self) -> dict[str, Any]:
        """Give all chats and messages."""
        return {
            "chats": self.world.all_chats(),
            "messages": [self.world.line(said) for said in self.world.said.values()],
        }

    async def start(self) -> None:
        """Begin to call the webhook."""
        self.later(self.updates.run(self.session))

    async def _stop_waiting(self, app: web.Application) -> None:
        self.updates.close()

    def fault(self, *names: str) -> None:
        """Let exactly these go wrong from now on."""
        super().fault(*names)
        self.updates.look_again()

    # --- the Bot API ----------------------------------------------------------------------------------------

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Answer one call of a method."""
        method = request.match_info["method"]
        self.calls[method] += 1
        try:
            self._know(request)
            given = await asked.read(request, method)
            return await self._answered(request, given)
        except Refusal as refusal:
            return web.json_response(refusal.wire(), status=refusal.status)
        except (Full, NoRoom) as full:
            return web.json_response(Refusal(500, f"Internal Server Error: {full}").wire(), status=500)

    def _know(self, request: web.Request) -> None:
        if not hmac.compare_digest(request.match_info["token"].encode(), self.token.encode()):
            raise Refusal(401, "Unauthorized")
        if "token" in self.faults:
            raise Refusal(401, "Unauthorized")

    async def _answered(self, request: web.Request, given: asked.Asked) -> web.StreamResponse:
        name = given.method.lower()
        if name in ("getupdates", "setwebhook", "deletewebhook", "getwebhookinfo"):
            return _yes(*await self._updates(name, given))
        if name not in self.bot.methods:
            raise Refusal(404, "Not Found: method not found")
        shows = name.startswith(("send", "edit")) and name != "sendchataction"
        if shows:
            await self._trouble()
        result = self.bot.methods[name](given)
        if shows and "hangup" in self.faults and request.transport:
            request.transport.abort()
        return _yes(result)

    async def _trouble(self) -> None:
        if "slow" in self.faults:
            await asyncio.sleep(self.slow)
        if "down" in self.faults:
            raise Refusal(500, "Internal Server Error")
        if "flood" in self.faults:
            raise flood(FLOOD)
        if "refuse" in self.faults:
            raise bad("the simulator was told to refuse")

    async def _updates(self, name: str, given: asked.Asked) -> tuple[Any, str]:
        """Answer a method that is about updates; gives the result and Telegram's words."""
        allowed = given.thing("allowed_updates")
        if allowed is not None and not (isinstance(allowed, list) and all(isinstance(one, str) for one in allowed)):
            raise bad("can't parse allowed updates")
        if name == "getwebhookinfo":
            return self.updates.info(), ""
        if name == "getupdates":
            found = await self.updates.get(
                given.number("offset"), given.number("limit", 100), given.number("timeout"), allowed
            )
            return found, ""
        words = self.updates.set_webhook(
            given.text("url") if name == "setwebhook" else "",
            secret=given.text("secret_token"),
            most=given.number("max_connections", 40),
            allowed=allowed,
            drop_pending=given.flag("drop_pending_updates"),
        )
        return True, words

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Give a file whose path getFile named."""
        try:
            self._know(request)
            file = self.files.at(request.match_info["path"])
            if file is None:
                raise Refusal(404, "Not Found")
        except Refusal as refusal:
            return web.json_response(refusal.wire(), status=refusal.status)
        return web.Response(body=file.content, content_type="application/octet-stream")

    # --- the page -------------------------------------------------------------------------------------------

    async def show(self, request: web.Request) -> web.Response:
        """Give all chats and messages."""
        return web.json_response(self.everything())

    async def do(self, request: web.Request) -> web.Response:
        """Let a customer do something: `{"deed": "write", "text": "Hello"}`."""
        given = await self.given(request)
        try:
            return web.json_response(self._done(given))
        except Impossible as why:
            raise web.HTTPBadRequest(text=str(why)) from None
        except (KeyError, TypeError, ValueError):
            raise web.HTTPBadRequest(text="this deed lacks something, or has it in another form") from None
        except (Full, NoRoom) as full:
            raise web.HTTPInsufficientStorage(text=str(full)) from None

    def _done(self, given: dict[str, Any]) -> dict[str, Any]:
        customer = self.customer
        chat, who, topic = (int(given.get(name) or otherwise) for name, otherwise in _WHERE)
        message = int(given.get("message") or 0)
        match given.get("deed"):
            case "write":
                said, update = customer.write(
                    str(given.get("text", "")), chat=chat, who=who, topic=topic, answers=message
                )
                return {"message": said.wire["message_id"], "update": update}
            case "send":
                sent = customer.send(
                    str(given["kind"]), chat=chat, who=who, topic=topic, caption=str(given.get("caption", ""))
                )
                return {"messages": [one.wire["message_id"] for one, _ in sent], "update": sent[-1][1]}
            case "edit":
                return {"update": customer.edit(chat, message, str(given["text"]))}
            case "swap":
                return {"update": customer.swap(chat, message)}
            case "move":
                return {"update": customer.move(chat, message, stop=bool(given.get("stop")))}
            case "react":
                return {"update": customer.react(chat, message, str(given.get("emoji", "")), who=who)}
            case "press":
                query, update = customer.press(chat, message, str(given["data"]), who=who)
                return {"query": query, "update": update}
            case "shut":
                return {"update": customer.shut(chat, on=bool(given.get("on", True)), who=who)}
            case "migrate":
                return {"chat": customer.migrate(chat, who=who)}
            case "topic":
                return {"topic": customer.open_topic(chat, str(given["name"]), who=who)}
            case _:
                raise Impossible("deed is one of write, send, edit, swap, move, react, press, shut, migrate, topic")

    async def hand_over(self, request: web.Request) -> web.Response:
        """Let a customer send a file of the page's own: the body, with its name in the query."""
        if request.content_type == "application/x-www-form-urlencoded" or not request.headers.get("X-Simulator"):
            raise web.HTTPUnsupportedMediaType  # other sites' pages cannot set that header without asking
        content = await request.read()
        if not content:
            raise web.HTTPBadRequest(text="this file is empty")
        where = {name: int(request.query.get(name) or otherwise) for name, otherwise in _WHERE}
        try:
            said, update = self.customer.hand_over(
                content, name=request.query.get("name", "file")[:200], media_type=request.content_type, **where
            )
        except Impossible as why:
            raise web.HTTPBadRequest(text=str(why)) from None
        except (Full, NoRoom) as full:
            raise web.HTTPInsufficientStorage(text=str(full)) from None
        return web.json_response({"message": said.wire["message_id"], "update": update})

    async def show_file(self, request: web.Request) -> web.Response:
        """Give the page a file that it shows."""
        file = self.files.get(request.match_info["id"])
        if file is None:
            raise web.HTTPNotFound
        shown = file.media_type.partition(";")[0] if file.media_type.startswith(("image/", "audio/", "video/")) else ""
        return web.Response(body=file.content, content_type=shown or "application/octet-stream")

    def _told(self, update: dict[str, Any], what: str) -> None:
        """Show under a message what became of its update."""
        content = next((value for kind, value in update.items() if kind.endswith("message")), None)
        if content is not None and (said := self.world.said.get((content["chat"]["id"], content["message_id"]))):
            said.note = f"update {update['update_id']}: {what}"
            self.world.show(said)


_WHERE = (("chat", BUDI["id"]), ("who", BUDI["id"]), ("topic", 0))


def _yes(result: Any, words: str = "") -> web.Response:
    return web.json_response({"ok": True, "result": result, **({"description": words} if words else {})})
