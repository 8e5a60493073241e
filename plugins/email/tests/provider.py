"""A mail provider that fails as the kit tells it: an SMTP server for `send`, a mailbox with the case's samples for `listen`."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import AuthResult

from talkwire.testing import NOON, Answers, Reply, Sample, Seen, Step, accept
from talkwire_email.simulator import OURS
from talkwire_email.simulator.boxes import Boxes
from talkwire_email.simulator.imap import Imap
from talkwire_email.simulator.sink import Sink

PASSWORD = "kit-password-0123456789"

MAIL = Answers(
    accept=lambda _, name: Reply(status=250, body=f"2.0.0 Ok: queued as {name}".encode()),
    refuse=lambda _: Reply(status=554, body=b"5.7.1 Relay access denied"),
    busy=lambda _, __: Reply(status=450, body=b"4.2.0 Recipient address rejected: greylisted"),
    unauthorised=lambda _: Reply(status=535, body=b"5.7.8 Authentication credentials invalid"),
    down=None,  # 4xx and 5xx of SMTP say that the mail was not taken (RFC 5321, 4.2.1)
    garbage=lambda _: Reply(body=b"<html>Sign in to the hotel's network</html>"),
)


class _Scripted(Sink):
    """An SMTP server whose every answer the provider's steps give."""

    def __init__(self, provider: MailProvider) -> None:
        super().__init__(lambda _: None, user=OURS, password=PASSWORD, faults=set())
        self.sign_ins = 0
        self._provider = provider

    def knows(self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        self.sign_ins += 1
        if self._provider.next.name == "unauthorised":
            return AuthResult(success=False, handled=False)
        return super().knows(server, session, envelope, mechanism, given)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if self._provider.next.name in ("refuse", "busy"):
            return self._provider.says(
                self._provider.take(), Seen(method="RCPT", path=address, query=(), headers={}, body=b"")
            )
        if self._provider.next.name == "cut_before":
            self._provider.take()
            server.reset()
            return ""
        return await super().handle_RCPT(server, session, envelope, address, options)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        seen = Seen(
            method="DATA",
            path=",".join(envelope.rcpt_tos),
            query=(("from", envelope.mail_from), ("envid", server.envid)),
            headers={},
            body=bytes(envelope.content),
        )
        return await self._provider.arrives(seen, server)


class MailProvider:
    """What `Case.speaks` makes; see `talkwire.testing.Provider`."""

    def __init__(self, answers: Answers, samples: tuple[Sample, ...]) -> None:
        self.answers = answers
        self.requests: list[Seen] = []
        self.shown: list[Seen] = []
        self.taken: dict[str, Seen] = {}
        self.faults: list[BaseException] = []
        self.url = ""
        self.boxes = Boxes()
        for sample in samples:
            self.boxes.put(sample.raw().body, at=NOON)
        self.imap = Imap(self.boxes, user=OURS, password=PASSWORD, faults=set(), fetched=lambda _: None)
        self.smtp = _Scripted(self)
        self._steps: deque[Step] = deque()
        self._otherwise = accept()
        self._arrived = asyncio.Event()

    @property
    def next(self) -> Step:
        """Give the step that comes."""
        return self._steps[0] if self._steps else self._otherwise

    def take(self) -> Step:
        """Use the step up."""
        return self._steps.popleft() if self._steps else self._otherwise

    def says(self, step: Step, seen: Seen, external_id: str = "") -> str:
        """Give the answer of a step."""
        self.requests.append(seen)
        reply = step.reply(self.answers, seen, external_id)
        return reply.body.decode() if step.name == "garbage_200" else f"{reply.status} {reply.body.decode()}"

    async def arrives(self, seen: Seen, server: Any) -> str:
        """Take a whole mail, and end as the step says."""
        step = self.take()
        external_id = step.id or f"p{len(self.shown) + 1}"
        self.shown.append(seen)
        said = self.says(step, seen, external_id)
        if step.taken:
            self.taken[external_id] = seen
        self._arrived.set()
        if step.first is not None:
            await step.first.wait()
        if step.end == "hang":
            await asyncio.Event().wait()  # until the line ends
        if step.end == "reset":
            server.reset()
        if step.end == "truncated":
            server.transport.write(b"25")
            server.transport.close()
        return said

    def will(self, *steps: Step) -> None:
        """Do these next."""
        self._steps.extend(steps)

    def always(self, step: Step) -> None:
        """Do this whenever nothing else was said."""
        self._otherwise = step

    async def arrived(self) -> None:
        """Wait until one more mail has arrived."""
        await self._arrived.wait()
        self._arrived.clear()

    async def __aenter__(self) -> Self:
        await self.imap.start()
        await self.smtp.start()
        self.url = f"mail://127.0.0.1:{self.smtp.port}/{self.imap.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.smtp.stop()
        await self.imap.stop()
