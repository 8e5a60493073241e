"""The mail provider and the correspondent, with the page on which he reads and writes."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from aiohttp import web

from talkwire import SimulatedProvider

from . import letters
from .boxes import Boxes
from .imap import Imap
from .sink import NAME, Arrived, Sink

OURS = "support@shop.example"  # the account's address
CUSTOMER = "budi@correspondent.example"
CUSTOMER_NAME = "Budi Santoso"
TEXT_LIMIT = 20_000  # characters of what is typed on the page
SUBJECT_LIMIT = 200  # characters
MOST = 1000  # mails, and
MOST_BYTES = 128 * 1024**2  # of all of them together; then nothing more is taken
PAUSE = 0.2  # seconds until a mail server reports

KNOBS = {  # by who does it
    "The mail server": {
        "refuse": "refuses the recipient (550)",
        "busy": "wants us to come later (450)",
        "auth": "does not know our password (535)",
        "drop": "hangs up in the middle of a mail",
        "cut": "hangs up after it took a mail",
        "slow": "takes 5 seconds to answer",
        "bounce": "returns mails as undeliverable",
        "no_dsn": "reports no delivery",
    },
    "The mailbox": {
        "kick": "hangs up whenever a mail comes",
        "away": "takes no new connections",
        "no_login": "does not know our password",
        "rebuilt": "numbers its mails anew",
    },
    "The customer": {
        "twice": "sends each mail twice",
        "html": "writes HTML",
        "bare": "sends no Message-ID",
        "robot": "is away, and a robot answers",
    },
}


class Full(OverflowError):
    """There is no room for more."""


class Office(SimulatedProvider):
    """What the provider and the correspondent remember."""

    knobs = KNOBS
    body_limit = 256 * 1024

    def __init__(self, *, password: str, pause: float = PAUSE, slow: float = 5.0) -> None:
        super().__init__(__package__)
        self.password = password
        self.pause = pause
        self.boxes = Boxes()
        self.imap = Imap(self.boxes, user=OURS, password=password, faults=self.faults, fetched=self._fetched)
        self.sink = Sink(self._arrived, user=OURS, password=password, faults=self.faults, slow=slow)
        self.mails: list[dict[str, Any]] = []  # as the page shows them, oldest first
        self.raws: dict[str, bytes] = {}  # by the mail's id
        self._uids: dict[int, dict[str, Any]] = {}  # the correspondent's, by UID in INBOX

    def app(self) -> web.Application:
        """Make the application; it starts the mail server and the mailbox with it."""
        app = super().app()
        app.router.add_get("/sim/mails", self.show)
        app.router.add_post("/sim/mails", self.write)
        app.router.add_get("/sim/mails/{id}", self.show_raw)
        return app

    def everything(self) -> dict[str, Any]:
        """Give all mails."""
        return {"all": self.mails}

    async def start(self) -> None:
        """Start both servers."""
        await self.imap.start()
        await self.sink.start()

    async def stop(self) -> None:
        """Stop both, and what is under way."""
        await super().stop()
        await self.sink.stop()
        await self.imap.stop()

    def settings(self) -> dict[str, Any]:
        """Give an account's table for what listens here."""
        server = {"host": "127.0.0.1", "user": OURS, "password": self.password, "tls": "none"}
        return {
            "address": OURS,
            "name": "Kopi Kita",
            "imap": {**server, "port": self.imap.port, "check_every": 5, "since_days": 1},
            "smtp": {**server, "port": self.sink.port},
            "signature": "Kopi Kita\nJalan Braga 12, Bandung",
        }

    # --- what we send --------------------------------------------------------------------------------------

    def _arrived(self, arrived: Arrived) -> None:
        """Show a mail that the server took to whom it is for, and report it."""
        is_back = arrived.recipient.lower() == OURS
        self._has_room(arrived.raw)
        fails = "bounce" in self.faults
        shown = self._put(
            arrived.raw,
            who=arrived.recipient,
            mine=False,
            failed=fails,
            note=("came back as undeliverable" if fails else ""),
        )
        if is_back:
            self.boxes.put(arrived.raw)
        if arrived.sender and (fails or ("SUCCESS" in arrived.notify and "no_dsn" not in self.faults)):
            self.later(self._report(arrived, shown, failed=fails))
        if arrived.sender and "robot" in self.faults and not fails:
            self.later(self._robot(arrived))

    async def _report(self, arrived: Arrived, shown: dict[str, Any], *, failed: bool) -> None:
        await asyncio.sleep(self.pause)
        self.boxes.put(
            letters.delivery_report(
                arrived.raw,
                to=arrived.sender,
                recipient=arrived.recipient,
                envid=arrived.envid,
                server=NAME,
                failed=failed,
                at=letters.now(),
            )
        )
        if not failed:
            self._put(None, into=shown, note="its delivery was reported")

    async def _robot(self, arrived: Arrived) -> None:
        await asyncio.sleep(self.pause)
        raw = letters.out_of_office(
            arrived.raw, who=arrived.recipient, name=_name_of(arrived.recipient), at=letters.now()
        )
        self._post(raw, who=arrived.recipient)

    # --- what the correspondent writes -----------------------------------------------------------------------

    def written(
        self, text: str, *, who: str = CUSTOMER, subject: str = "", answers: str = ""
    ) -> tuple[dict[str, Any], int, str]:
        """Let a correspondent write, or answer the mail of an id; gives the mail as shown, its UID, its Message-ID.

        Errors: `KeyError` where no such mail is known; `Full`.
        """
        raw, message_id = letters.written(
            who=who,
            name=_name_of(who),
            to=f"Kopi Kita <{OURS}>",
            subject=subject or _first_words(text),
            text=text,
            answers=self.raws[answers] if answers else b"",
            as_html="html" in self.faults,
            with_id="bare" not in self.faults,
            at=letters.now(),
        )
        shown, uid = self._post(raw, who=who, answers=answers)
        return shown, uid, message_id

    def _post(self, raw: bytes, *, who: str, answers: str = "") -> tuple[dict[str, Any], int]:
        """Lay a correspondent's mail into the mailbox."""
        self._has_room(raw)
        if "kick" in self.faults:
            self.imap.kick()
        shown = self._put(raw, who=who, mine=True, answers=answers)
        uids = [self.boxes.put(raw) for _ in range(2 if "twice" in self.faults else 1)]
        self._uids.update(dict.fromkeys(uids, shown))
        return shown, uids[-1]

    def _fetched(self, uid: int) -> None:
        shown = self._uids.pop(uid, None)
        if shown is not None:
            self._put(None, into=shown, note="read by IMAP")

    def _has_room(self, raw: bytes) -> None:
        if len(self.mails) >= MOST or self.boxes.sizes + sum(map(len, self.raws.values())) + len(raw) > MOST_BYTES:
            raise Full("the simulator is full; start the demo again")

    # --- the page ------------------------------------------------------------------------------------------

    async def show(self, request: web.Request) -> web.Response:
        """Give all mails, oldest first."""
        return web.json_response({"mails": self.mails})

    async def show_raw(self, request: web.Request) -> web.Response:
        """Give a mail as it was on the line."""
        raw = self.raws.get(request.match_info["id"])
        if raw is None:
            raise web.HTTPNotFound
        return web.Response(body=raw, content_type="text/plain")

    async def write(self, request: web.Request) -> web.Response:
        """Let a correspondent write."""
        given = await self.given(request)
        said = {
            name: given.get(name, other)
            for name, other in (("text", ""), ("subject", ""), ("from", CUSTOMER), ("answers", ""))
        }
        if (
            not all(isinstance(value, str) for value in said.values())
            or not said["text"].strip()
            or len(said["text"]) > TEXT_LIMIT
            or len(said["subject"]) > SUBJECT_LIMIT
            or any(char in said["subject"] + said["from"] for char in "\r\n")
            or not _is_address(said["from"])
        ):
            raise web.HTTPBadRequest(
                text=f"from is an address like {CUSTOMER}, subject has at most {SUBJECT_LIMIT} characters, "
                f"text between 1 and {TEXT_LIMIT}"
            )
        try:
            shown, uid, message_id = self.written(
                said["text"], who=said["from"], subject=said["subject"], answers=said["answers"]
            )
        except KeyError:
            raise web.HTTPBadRequest(text="answers names no mail that is here") from None
        except Full as full:
            raise web.HTTPInsufficientStorage(text=str(full)) from None
        return web.json_response({"id": shown["id"], "uid": uid, "message_id": message_id})

    def fault(self, *names: str) -> None:
        """Let exactly these go wrong from now on."""
        begin = set(names) - self.faults
        super().fault(*names)
        if "rebuilt" in begin:
            self._uids.clear()
            self.boxes.rebuild()
        if begin & {"kick", "away", "no_login", "rebuilt"}:
            self.imap.kick()

    def _put(self, raw: bytes | None, *, into: dict[str, Any] | None = None, **said: Any) -> dict[str, Any]:
        """Show a mail, or what became of it."""
        if into is None:
            assert raw is not None
            shown = letters.opened(raw)
            into = {
                "id": uuid.uuid4().hex,
                "at": letters.now().timestamp(),
                "from": shown.sender,
                "to": shown.to,
                "cc": shown.cc,
                "subject": shown.subject,
                "text": shown.text,
                "kind": shown.kind,
                "plain": shown.is_plain,
                "headers": shown.headers,
                "files": [{"name": name, "type": kind, "size": size} for name, kind, size in shown.files],
                "answers": "",
                "failed": False,
                "note": "",
            }
            self.mails.append(into)
            self.raws[into["id"]] = raw
        into.update(said)
        self.tell({"mail": into})
        return into


def _name_of(who: str) -> str:
    if who == CUSTOMER:
        return CUSTOMER_NAME
    return " ".join(word.capitalize() for word in who.partition("@")[0].partition("+")[0].replace("_", ".").split("."))


def _first_words(text: str) -> str:
    first = text.strip().splitlines()[0]
    return first if len(first) <= 60 else first[:57].rsplit(" ", 1)[0] + " …"


def _is_address(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(local and at and "." in domain) and len(text) <= 200 and not set(text) & set(' \t<>"(),:;\\[]')
