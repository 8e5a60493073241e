"""A helpdesk bot: it hears by a signed webhook what customers write, and answers over the API.

    Talkwire ── a fact, signed ──▶ genuine? ──▶ read the message ──▶ reply ──▶ 200

It keeps nothing. What fails before the 200 is told again under the same `webhook-id`, which is the key of the reply: so
nobody is answered twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import ClientSession, ClientTimeout, web

ANSWERS = {"hours": "We are here from 9 to 17, Monday to Friday.", "human": "A colleague will write to you soon."}
OTHERWISE = "Thank you! Ask for our **hours**, or for a **human**."
TOLERANCE = 300  # seconds that a signature may be old
SETTLED = {404, 409, 422}  # gone, may not be answered now, cannot be said there: no second try would help


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Say whether Talkwire sent this, a moment ago; of several signatures one is enough."""
    id_, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(now - int(at)) > TOLERANCE:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{id_}.{at}.".encode() + body, hashlib.sha256)
    wanted = f"v1,{base64.b64encode(mac).decode()}".encode()
    given = headers.get("webhook-signature", "").encode().split(b" ")
    return any(hmac.compare_digest(wanted, one) for one in given)


def answer_to(text: str) -> str:
    """Choose what to say; Markdown, which each channel shows as it can."""
    return next((answer for word, answer in ANSWERS.items() if word in text.lower()), OTHERWISE)


class Bot:
    """One helpdesk, which asks one Talkwire."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self.url, self.key, self.secret = url, key, secret

    def app(self) -> web.Application:
        """Make what listens."""
        app = web.Application()
        app.router.add_post("/talkwire", self.told)
        app.cleanup_ctx.append(self._asking)
        return app

    async def told(self, request: web.Request) -> web.Response:
        """Take one fact; any other answer than 200 lets it come again."""
        body = await request.read()
        if not is_genuine(self.secret, request.headers, body, time.time()):
            raise web.HTTPUnauthorized
        fact = json.loads(body)
        if fact["type"] == "message.received":
            await self._answer(fact["conversation"], fact["ids"]["message"], request.headers["webhook-id"])
        return web.Response()

    async def _answer(self, conversation: str, message: str, key: str) -> None:
        said = await self._ask("GET", f"/messages/{message}")
        if said is not None:
            reply = {"text": answer_to(said["text"]), "key": key}
            await self._ask("POST", f"/conversations/{conversation}/replies", json=reply)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self._session.request(method, f"{self.url}/api/v1{path}", headers=headers, **options) as answer:
            if answer.status in SETTLED:
                return None
            answer.raise_for_status()
            return await answer.json()

    async def _asking(self, _: web.Application) -> AsyncIterator[None]:
        async with ClientSession(timeout=ClientTimeout(total=10)) as self._session:
            yield
