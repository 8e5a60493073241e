"""The same talks with real counterparts: swaks writes, Postfix carries, Dovecot keeps, and nothing between them is ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from .talks import PLUGIN, Robot, Talks, table

pytestmark = pytest.mark.needs("postfix", "dovecot", "swaks")


class Customer:
    """Somebody with a mailbox and a mail program that is typed."""

    def __init__(self, postfix: Any, address: str, shop: str) -> None:
        self._postfix = postfix
        self.address = address
        self._shop = shop

    async def writes(self, text: str, *, subject: str, answers: EmailMessage | None = None) -> None:
        """Send a mail, or answer one as mail programs do: to where answers are wanted, with references and a quote."""
        to, more = self._shop, []
        body = text
        if answers is not None:
            to = answers["Reply-To"].addresses[0].addr_spec if answers["Reply-To"] else self._shop
            more += ["--add-header", f"In-Reply-To: {answers['Message-ID']}"]
            more += ["--add-header", f"References: {answers.get('References', '')} {answers['Message-ID']}".strip()]
            quoted = "".join(f"\n> {line}" for line in answers.get_content().splitlines())
            body = f"{text}\n\nOn Sat, 28 Nov 2026 at 12:00, the shop wrote:{quoted}\n"
        words = ["--server", "127.0.0.1", "--port", str(self._postfix.port), "--helo", "pc.example.test"]
        words += ["--from", self.address, "--to", to, "--header", f"Subject: {subject}", *more, "--body", "-"]
        process = await asyncio.create_subprocess_exec(
            "swaks",
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate(body.encode())
        assert process.returncode == 0, out.decode(errors="replace")[-2000:]

    async def has(self, count: int) -> list[EmailMessage]:
        """Wait until so many mails have come."""
        async with asyncio.timeout(10):
            while len(found := self._postfix.mails(self.address)) < count:
                await asyncio.sleep(0.02)
        mails = [message_from_bytes(raw, policy=default) for raw in found]
        assert all(isinstance(one, EmailMessage) for one in mails)
        return mails  # type: ignore[return-value]  # the policy makes them


@pytest.fixture
async def begin(postfix: Any, start_hub: Any) -> Callable[..., Any]:
    """Start a hub with a mailbox of its own, and give it with a customer."""

    async def start(*, robot: bool = False) -> tuple[Talks, Customer]:
        dovecot = postfix.dovecot
        shop, customer = dovecot.user(), dovecot.user()
        both = {"password": dovecot.password, "ca_file": str(dovecot.certificate.chain)}
        settings = {
            "address": shop,
            "imap": {"host": "localhost", "port": dovecot.tls_port, **both},
            "smtp": {"host": "localhost", "port": postfix.submission, "tls": "starttls", **both},
        }
        dovecot.maildir(customer)
        plugins = {**PLUGIN, **({"robot": Robot()} if robot else {})}
        talks = Talks(await start_hub(table(settings), plugins=plugins))
        await talks.until(lambda: _has_looked(talks))
        return talks, Customer(postfix, customer, shop)

    return start


async def _has_looked(talks: Talks) -> bool:
    return bool(await talks.hub.rows("SELECT 1 FROM account_state WHERE cursor <> ''"))


@pytest.mark.prove
async def test_ten_mails_stay_one_conversation_and_a_second_thread_is_a_second_one(
    begin: Callable[..., Any], proving: bool, proof: Any
) -> None:
    """Four mails in the short form; the simulator's form of this test has all ten."""
    rounds = 5 if proving else 2
    began = time.monotonic()
    talks, ann = await begin()
    await ann.writes("mail number 0", subject="Where is my parcel?")
    talk = (await talks.heard("mail number 0")).conversation
    replies = []
    for number in range(rounds):
        replies.append((await talks.hub.reply(talk, f"reply number **{number}**")).message)
        came = (await ann.has(number + 1))[-1]
        assert came.get_content_type() == "text/plain"
        assert f"reply number {number}" in came.get_content().replace("*", "")
        if number < rounds - 1:
            await ann.writes(f"mail number {number + 1}", subject="Re: Where is my parcel?", answers=came)
            assert (await talks.heard(f"mail number {number + 1}")).conversation == talk
    await ann.writes("quite another thing", subject="Where is my parcel?")
    assert (await talks.heard("quite another thing")).conversation != talk
    for reply in replies:
        await talks.stands(reply, "delivered")  # as Postfix reports it
    every = await talks.hub.messages(talk)
    assert [message.state is None for message in every] == [True, False] * rounds
    assert every[2].text == "mail number 1", "what is quoted is not what is new"
    assert len(await talks.hub.conversations()) == 2
    figures = {"mails of one thread": len(every), "replies delivered": len(replies), "conversations": 2}
    proof("email-talk", {**figures, "seconds": round(time.monotonic() - began, 1)})


async def test_two_robots_stop_after_the_cap(begin: Callable[..., Any]) -> None:
    """The other one says nothing of what it is, and answers each mail as a person would."""
    talks, robot = await begin(robot=True)
    await robot.writes("I want an answer", subject="Hello")
    for answered in range(1, 6):
        mails = await robot.has(answered)
        assert mails[-1]["Auto-Submitted"] == "auto-replied"
        await robot.writes(f"answer {answered} of a machine", subject="Re: Hello", answers=mails[-1])
    [failed] = await talks.until(lambda: talks.hub.facts("action.failed"))
    assert failed.small["code"] == "automatic_cap"
    assert len(await robot.has(5)) == 5
    assert len(await talks.hub.conversations()) == 1
