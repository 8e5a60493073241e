"""A Kannel with one phone on it, made to be looked at: the gateway's HTTP interface, and a page that plays the customer.

It shares no code with the channel, so that a mistake in one is not hidden by the same mistake in the other. It is
stricter than Kannel where that shows our mistakes: a text in the endpoint's HTTP answer becomes an SMS, as it does in
a Kannel whose sms-service has no `max-messages = 0`.

Sources: Kannel 1.4.5 User's Guide, "Using the HTTP interface to send SMS messages", "Parameters (Escape Codes)" and
"SMS Delivery Reports", read 2026-11-22; answers as captured from Debian's Kannel 1.4.5 the same day.
"""

import asyncio
import hmac
import secrets
import time
import uuid
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from talkwire import SimulatedProvider, Simulator

USERNAME = "demo"
SHORT_CODE = "13013"  # the number that customers write to
CUSTOMER = "+6281234567890"
MAX_MESSAGES = 3  # segments of one text; Kannel cuts off the rest
PAUSE = 0.2  # seconds between two reports, so that a person sees them come
SLOW = 5.0  # seconds
RETRY_EVERY = 1.0  # seconds; `http-queue-delay`
RETRIES = 100  # `http-request-retry`
TEXT_LIMIT = 2000  # characters of what is typed on the page

KNOBS = {
    "Kannel": {
        "refuse": "refuses what we send (400)",
        "wrong_password": "does not know our password (403)",
        "busy": "has no room for what we send (503)",
        "reset": "breaks the connection after it took a text",
        "slow": f"takes {SLOW:.0f} seconds to answer",
    },
    "The network": {
        "not_routable": "takes nothing for that number (403)",
        "undelivered": "cannot reach the phone (report 2)",
        "rejected": "refuses the text (report 16)",
        "no_reports": "reports nothing",
        "reports_reversed": "reports delivered before accepted",
        "reports_early": "reports before Kannel answers",
        "reports_twice": "reports each thing twice",
    },
    "The customer’s messages": {
        "duplicate": "come twice",
        "wrong_token": "carry a wrong token",
    },
}

_BASIC = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED = set("\f^{}\\[~]|€")  # two septets each (3GPP TS 23.038, 6.2.1.1)


class Gateway(SimulatedProvider):
    """What the gateway and the phone remember."""

    knobs = KNOBS

    def __init__(
        self,
        inbound_url: str,
        *,
        token: str,
        password: str,
        pause: float = PAUSE,  # seconds, as the next two
        slow: float = SLOW,
        retry_every: float = RETRY_EVERY,
    ) -> None:
        super().__init__(__package__)
        self.inbound_url = inbound_url
        self.token = token
        self.password = password
        self.pause = pause
        self.slow = slow
        self.retry_every = retry_every
        self.messages: list[dict[str, Any]] = []
        self.requests = 0  # how often sendsms was asked

    def app(self) -> web.Application:
        """Make the application."""
        app = super().app()
        app.router.add_get("/cgi-bin/sendsms", self.sendsms)
        app.router.add_get("/sim/messages", self.show)
        app.router.add_post("/sim/messages", self.write)
        return app

    def everything(self) -> dict[str, Any]:
        """Give all messages."""
        return {"all": self.messages}

    # The gateway's side: what we send.

    async def sendsms(self, request: web.Request) -> web.StreamResponse:
        """Answer as Kannel's smsbox does."""
        self.requests += 1
        query = request.query
        if "slow" in self.faults:
            await asyncio.sleep(self.slow)
        known = query.get("username") == USERNAME and hmac.compare_digest(
            query.get("password", "").encode(), self.password.encode()
        )
        if not known or "wrong_password" in self.faults:
            return _words(403, "Authorization failed for sendsms")
        if not (to := query.get("to", "")):
            return _words(
                400,
                "Missing receiver number, rejected"
                if "to" not in query
                else "Empty receiver number not allowed, rejected",
            )
        if set(to) - set("0123456789 +-"):
            return _words(400, "Receiver number misformed, rejected")
        if query.get("coding", "0") not in {"0", "2"} or query.get("charset", "UTF-8").upper() != "UTF-8":
            return _words(400, "Charset or body misformed, rejected")
        if "refuse" in self.faults:
            return _words(400, "Sender missing and no global set, rejected")
        if "not_routable" in self.faults:
            return _words(403, "Not routable. Do not try again.")
        if "busy" in self.faults:
            return _words(503, "Temporal failure, try again later.")
        message = self._reach_phone(
            query.get("from") or SHORT_CODE, to, query.get("text", ""), ucs2=query.get("coding") == "2"
        )
        reports = self._report(message, query.get("dlr-url", ""), int(query.get("dlr-mask", "0")))
        if "reports_early" in self.faults:
            await reports
        else:
            self.later(reports)
        if "reset" in self.faults and request.transport:
            request.transport.abort()
        return _words(202, "0: Accepted for delivery")

    def _reach_phone(self, sender: str, to: str, text: str, *, ucs2: bool, stray: bool = False) -> dict[str, Any]:
        if not ucs2:
            text = "".join(c if c in _BASIC or c in _ESCAPED else "?" for c in text)
        text, segments = _cut(text, ucs2=ucs2)
        message = {
            "id": str(uuid.uuid4()),
            "to_phone": True,
            "number": to,
            "sender": sender,
            "text": text,
            "segments": segments,
            "coding": "UCS-2" if ucs2 else "GSM-7",
            "at": time.time(),
            "note": "made from the endpoint's HTTP answer" if stray else "",
            "reached": not self.faults & {"undelivered", "rejected"},
            "failed": stray or bool(self.faults & {"undelivered", "rejected"}),
        }
        return self._put(message)

    async def _report(self, message: dict[str, Any], url: str, mask: int) -> None:
        codes = [16] if "rejected" in self.faults else [8, 2 if "undelivered" in self.faults else 1]
        codes = [code for code in codes if code & mask and url]
        if "reports_reversed" in self.faults:
            codes.reverse()
        if "reports_twice" in self.faults:
            codes = [code for code in codes for _ in range(2)]
        if "no_reports" in self.faults:
            codes = []
        for code in codes:
            await asyncio.sleep(self.pause)
            reason = {8: "ACK/", 16: "NACK/rejected"}.get(code, "")
            filled = (
                url.replace("%d", str(code))
                .replace("%T", str(int(time.time())))
                .replace("%A", reason.replace("/", "%2F"))
            )
            status, _ = await self._get(filled)
            words = {1: "delivered", 2: "not delivered", 8: "accepted by the centre", 16: "rejected by the centre"}[
                code
            ]
            done = f"reported {words}" if status == 200 else f"report of {words} got {status or 'no answer'}"
            self._put({**message, "note": ", ".join(filter(None, [message["note"], done]))}, into=message)

    # The phone's side: what the customer does.

    async def show(self, request: web.Request) -> web.Response:
        """Give all messages, oldest first."""
        return web.json_response({"messages": self.messages, "requests": self.requests})

    async def write(self, request: web.Request) -> web.Response:
        """Let a customer write; answers when the endpoint has answered once."""
        given = await self.given(request)
        number, text = given.get("from", CUSTOMER), given.get("text", "")
        if (
            not isinstance(number, str)
            or not isinstance(text, str)
            or not number
            or len(number) > 20
            or len(text) > TEXT_LIMIT
        ):
            raise web.HTTPBadRequest(text=f"from is a number, text has at most {TEXT_LIMIT} characters")
        ucs2 = any(c not in _BASIC and c not in _ESCAPED for c in text)
        message = self._put(
            {
                "id": str(uuid.uuid4()),
                "to_phone": False,
                "number": number,
                "sender": number,
                "text": text,
                "segments": _cut(text, ucs2=ucs2, most=255)[1],
                "coding": "UCS-2" if ucs2 else "GSM-7",
                "at": time.time(),
                "note": "",
                "reached": False,
                "failed": False,
            }
        )
        status = await self._deliver(message)
        if "duplicate" in self.faults:
            await self._deliver(message)
        if status not in {200, 401}:
            self.later(self._deliver_again(message))
        return web.json_response({"id": message["id"], "status": status})

    async def _deliver(self, message: dict[str, Any]) -> int:
        query = {
            "from": message["number"].lstrip("+"),  # as networks send it: without the plus sign
            "to": SHORT_CODE,
            "text": message["text"],
            "charset": "UTF-8",
            "coding": "0",
            "id": message["id"],
            "ts": str(int(message["at"])),
            "smsc": "simulator",
            "token": "wrong" * 4 if "wrong_token" in self.faults else self.token,
        }
        status, body = await self._get(self.inbound_url, query)
        note = "" if status == 200 else f"the endpoint answered {status}" if status else "the endpoint does not answer"
        self._put({**message, "note": note, "failed": status != 200}, into=message)
        if status == 200 and body:
            self._reach_phone(SHORT_CODE, message["number"], body, ucs2=False, stray=True)
        return status

    async def _deliver_again(self, message: dict[str, Any]) -> None:
        for _ in range(RETRIES):
            await asyncio.sleep(self.retry_every)
            if await self._deliver(message) in {200, 401}:
                return

    async def _get(self, url: str, query: dict[str, str] | None = None) -> tuple[int, str]:
        """Give status and body; 0 for no answer."""
        try:
            async with self.session.get(URL(url, encoded=not query), params=query) as answer:
                return answer.status, (await answer.text(errors="replace")).strip()
        except (aiohttp.ClientError, TimeoutError):
            return 0, ""

    def _put(self, message: dict[str, Any], into: dict[str, Any] | None = None) -> dict[str, Any]:
        if into is None:
            self.messages.append(message)
        else:
            into.update(message)
        self.tell({"message": message})
        return message if into is None else into


def simulator() -> Simulator:
    """Give the simulator to Talkwire, with secrets of its own that live as long as the process."""
    token, password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)

    def app(inbound_url: str) -> web.Application:
        return Gateway(inbound_url, token=token, password=password).app()

    def settings(base_url: str, inbound_url: str) -> dict[str, Any]:
        return {
            "url": f"{base_url}/cgi-bin/sendsms",
            "username": USERNAME,
            "password": password,
            "sender": SHORT_CODE,
            "callback_url": inbound_url,
            "token": token,
        }

    return Simulator(
        channel="smsgate",
        title="Phone (SMS)",
        app=app,
        settings=settings,
        play=_play,
        received=_received,
        fault=Gateway.set_fault,
        faults=Gateway.fault_names(),
    )


async def _play(base_url: str, text: str) -> str:
    answer = await Gateway.ask("POST", f"{base_url}/sim/messages", {"text": text})
    if answer["status"] != 200:
        raise RuntimeError(f"SMS {answer['id']} from {CUSTOMER}: the endpoint answered {answer['status'] or 'nothing'}")
    return f"SMS {answer['id']} from {CUSTOMER}: the endpoint answered 200"


async def _received(base_url: str) -> list[str]:
    messages = (await Gateway.ask("GET", f"{base_url}/sim/messages"))["messages"]
    return [message["text"] for message in messages if message["to_phone"] and message["reached"]]


def _words(status: int, words: str) -> web.Response:
    return web.Response(status=status, text=words, content_type="text/html")  # so does Kannel


def _cut(text: str, *, ucs2: bool, most: int = MAX_MESSAGES) -> tuple[str, int]:
    """Cut a text to what fits into `most` segments; give it with their number."""
    widths = [(2 if c > "\uffff" else 1) if ucs2 else (2 if c in _ESCAPED else 1) for c in text]
    alone, joined = (70, 67) if ucs2 else (160, 153)
    if sum(widths) <= alone:
        return text, 1
    segments, used = 1, 0
    for position, width in enumerate(widths):
        if used + width > joined:
            if segments == most:
                return text[:position], most
            segments, used = segments + 1, 0
        used += width
    return text, segments
