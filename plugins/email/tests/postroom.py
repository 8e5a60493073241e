"""A mailbox on a real server, the inbox that reads it, and a clock that the test turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from email import message_from_bytes
from typing import Any

from talkwire import Batch, Channel, Envelope, Features, SendError, hookimpl
from talkwire_email.channel import Email
from talkwire_email.inbox import Inbox
from talkwire_email.oauth import Tokens
from talkwire_email.settings import EmailSettings

LARGEST = 200_000  # bytes of a mail that is fetched whole
PATIENCE = 0.4  # seconds for a server of which a test knows that it says nothing, instead of eight
TODAY = 1795434000  # seconds since 1970: some minutes before a turned clock begins
WITHIN = 20.0  # real seconds, in which anything here happens


def mail(number: int, *, text: str = "Where is my parcel?") -> bytes:
    """Write a mail as a customer would."""
    head = f"From: Ann <ann{number % 7}@example.org>\r\nTo: support@example.test\r\nSubject: parcel {number}\r\n"
    return (
        f"{head}Message-ID: <m{number}@example.org>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n{text}\r\n".encode()
    )


class Reading(Channel):
    """The inbox of the e-mail channel alone."""

    type = "email"
    Settings = EmailSettings
    features = Features(webhook=False, listens=True)
    settings: EmailSettings

    def prepare(self) -> None:
        self.tokens = Tokens(self.settings.oauth, self) if self.settings.oauth else None
        self.inbox = Inbox(self.settings, self, largest=LARGEST)

    def listen(self, cursor: str) -> AsyncIterator[Batch]:
        return self.inbox.listen(cursor)

    async def close(self) -> None:
        await self.inbox.close()

    async def probe(self) -> str:
        return await self.inbox.probe()

    @classmethod
    def hosts(cls, settings: Any) -> frozenset[str]:
        return frozenset({settings.oauth.token_url.split("/")[2]} if settings.oauth else ())


class Plugin:
    """Gives the channel to a hub."""

    def __init__(self, channel: type[Channel] = Email) -> None:
        self._channel = channel

    @hookimpl
    def register_channels(self) -> list[type[Channel]]:
        return [self._channel]


def imap_of(server: Any, **more: Any) -> dict[str, Any]:
    """Give the settings of a server's mailbox; of a `Line` to one, what is said can be seen."""
    found: dict[str, Any] = {"host": "127.0.0.1", "password": "not-a-secret", "check_every": 5}
    if hasattr(server, "tls_port"):
        found |= {"port": server.tls_port, "ca_file": str(server.certificate.chain)}
    else:
        found |= {"port": server.port, "tls": "none"}
    return {name: value for name, value in (found | more).items() if value is not None}


def settings_of(server: Any, user: str, *, oauth: Any = None, **more: Any) -> dict[str, Any]:
    """Give the settings of an account."""
    found = {
        "address": user,
        "imap": imap_of(server, **more),
        "smtp": {"host": "localhost", "tls": "none"},
        "plus": False,
    }
    return found | ({"oauth": oauth} if oauth else {})


def as_toml(server: Any, user: str, **more: Any) -> str:
    """Write the settings of an account `mail`."""
    imap = "".join(f"imap.{name} = {json.dumps(value)}\n" for name, value in imap_of(server, **more).items())
    head = f'[accounts.mail]\nchannel = "email"\naddress = "{user}"\nplus = false\n'
    return f'{head}{imap}smtp.host = "localhost"\nsmtp.tls = "none"\n'


@contextmanager
def given_up_soon(inbox: Inbox) -> Iterator[None]:
    """Wait only a moment for the server, while it says nothing: one that is slow is given up as well."""
    long, inbox.patience = inbox.patience, timedelta(seconds=PATIENCE)
    if inbox._box is not None:
        inbox._box._patience = inbox._box._quick = PATIENCE  # type: ignore[attr-defined]
    try:
        yield
    finally:
        inbox.patience = long


class Reader:
    """Listens as the core does: what was given counts as kept once the next is asked for."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.cursor = ""
        self._listening: Any = None

    async def batch(self) -> Batch:
        """Give the next batch. Errors: as `Channel.listen`."""
        if self._listening is None:
            self._listening = self.channel.listen(self.cursor)
        try:
            async with asyncio.timeout(WITHIN):
                found = await anext(self._listening)
        except BaseException:
            await self.stop()
            raise
        self.cursor = found.cursor
        return found

    async def mails(self, count: int) -> list[Envelope]:
        """Give so many mails, as they come."""
        found: list[Envelope] = []
        while len(found) < count:
            found += (await self.batch()).envelopes
        return found

    async def caught_up(self) -> list[Envelope]:
        """Give all there is, until a look finds nothing."""
        found: list[Envelope] = []
        while envelopes := (await self.batch()).envelopes:
            found += envelopes
        return found

    async def error(self) -> SendError:
        """Wait for the failure, whatever comes before it."""
        while True:
            try:
                await self.batch()
            except SendError as error:
                return error

    async def stop(self) -> None:
        """Stop in the middle, as a daemon that ends."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.aclose()

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[asyncio.Task[SendError]]:
        """Listen on while the test does something; gives what it fails with."""
        waiting = asyncio.create_task(self.error())
        try:
            yield waiting
        finally:
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting


def subjects(envelopes: list[Envelope]) -> list[str]:
    """Name mails by their subject."""
    return [str(message_from_bytes(one.body)["Subject"]) for one in envelopes]
