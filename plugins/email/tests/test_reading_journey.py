"""Mails through a whole hub: what is ours, what is theirs, and what became of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio
from structlog.testing import capture_logs

from talkwire import Batch, Channel, Outgoing, Receipt, hookimpl
from talkwire_email.channel import Email

from .letters import envelope
from .samples import KEY, mail

SETTINGS = """
[accounts.support]
channel = "email"
address = "support@shop.example"
imap = { host = "imap.shop.example", password = "imap-password" }
smtp = { host = "smtp.shop.example", password = "smtp-password" }
"""


class Posted(Email):
    """The channel, with a mailbox and a server in memory."""

    def prepare(self) -> None:
        super().prepare()
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent: list[Outgoing] = []

    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        number = int(cursor or 0)
        while True:
            came = await self.waiting.get()
            number += 1
            took = replace(envelope(came, path=f"/INBOX/{number}"), received_at=self.clock.now())
            yield Batch(envelopes=(took,), cursor=str(number))
            self.waiting.task_done()

    async def send(self, out: Outgoing) -> Receipt:
        self.sent.append(out)
        return Receipt(external_id=self.own.message_id(out.copy_of or out.key))


class Plugin:
    """Gives the channel to a hub."""

    @hookimpl
    def register_channels(self) -> list[type[Channel]]:
        return [Posted]


class Letters:
    """A hub, and whoever writes to it."""

    def __init__(self, hub):
        self.hub = hub
        self.channel = hub.daemon.account("support").channel

    async def comes(self, came: bytes) -> None:
        """Let a mail come in; it is committed when this returns."""
        self.channel.waiting.put_nowait(came)
        async with asyncio.timeout(20):
            await self.channel.waiting.join()
        await self.hub.run_until_idle()

    async def reply(self, text: str) -> str:
        """Reply; gives the key of the part."""
        await self.hub.reply(await self.hub.conversation, text)
        await self.hub.run_until_idle()
        return self.channel.sent[-1].key

    async def texts(self) -> list[list[str]]:
        return [[one.text for one in await self.hub.messages(talk)] for talk in await self.hub.conversations()]


@pytest_asyncio.fixture
async def letters(start_hub):
    return Letters(await start_hub(SETTINGS, plugins={"email": Plugin()}))


def about(name: str, key: str) -> bytes:
    """Give a sample that speaks of a part of this hub."""
    return mail(name).replace(KEY.encode(), key.encode())


async def test_a_mail_of_ours_that_comes_back_never_becomes_a_message(letters):
    await letters.comes(mail("plain"))
    key = await letters.reply("May we bring it?")
    before = await letters.texts()
    with capture_logs() as logs:
        await letters.comes(about("own_return", key))
        await letters.comes(mail("own_return_renamed"))
    assert [(one["where"], one["reason"]) for one in logs if one["event"] == "mail dropped"] == [
        ("/INBOX/2", "it has a Message-ID of ours"),
        ("/INBOX/3", "it comes from an address of ours, with our mark"),
    ]
    assert await letters.texts() == before
    rows = await letters.hub.rows("SELECT path, unread FROM envelope ORDER BY path")
    assert rows == [("/INBOX/1", ""), ("/INBOX/2", ""), ("/INBOX/3", "")]


async def test_an_answer_finds_its_conversation_by_the_token_alone(letters):
    await letters.comes(mail("plain"))
    key = await letters.reply("May we bring it?")
    token = letters.channel.own.reply_address(key).encode()
    await letters.comes(mail("outlook_reply").replace(b"<support@shop.example>", b"<" + token + b">", 1))
    [texts] = await letters.texts()
    assert texts[0].startswith("Hello,")
    assert texts[2] == "It’s here – thank you.\n\nKind regards\nAnn"


async def test_a_bounce_is_told_of_the_part_and_is_no_message(letters):
    await letters.comes(mail("plain"))
    key = await letters.reply("May we bring it?")
    await letters.comes(about("dsn_delayed", key))
    assert await letters.hub.states(await letters.hub.conversation) == ["sent"]
    await letters.comes(about("bounce_qmail", key))
    assert await letters.hub.states(await letters.hub.conversation) == ["failed"]
    [texts] = await letters.texts()
    assert len(texts) == 2


async def test_a_failure_after_delivery_leaves_the_state_and_is_a_problem(letters):
    await letters.comes(mail("plain"))
    key = await letters.reply("May we bring it?")
    await letters.comes(about("dsn_delivered", key))
    await letters.comes(about("bounce_postfix", key))
    assert await letters.hub.states(await letters.hub.conversation) == ["delivered"]
    _, ours = await letters.hub.messages(await letters.hub.conversation)
    assert ours.deliveries[0].problem.code == "5.1.1"
    await letters.comes(about("read_receipt", key))
    assert await letters.hub.states(await letters.hub.conversation) == ["read"]


async def test_the_same_mail_twice_is_one_message_and_its_files_are_kept(letters):
    await letters.comes(mail("inline_picture"))
    await letters.comes(mail("inline_picture"))
    [talk] = await letters.hub.conversations()
    [message] = await letters.hub.messages(talk)
    assert [type(block).__name__ for block in message.blocks] == ["Original", "Media"]
    assert message.blocks[1].content_id == "part1@customer.example"


async def test_a_vacation_notice_is_a_message_in_its_conversation_that_no_machine_answers(letters):
    await letters.comes(mail("plain"))
    key = await letters.reply("May we bring it?")
    await letters.comes(about("vacation", key))
    *_, notice = await letters.hub.messages(await letters.hub.conversation)
    assert notice.automatic
    assert await letters.hub.states(await letters.hub.conversation) == ["sent"]
