"""A Bot API that says what a test wants, and a bot that sends to it."""

import json
from contextlib import asynccontextmanager
from email import message_from_bytes

from talkwire import Address, Outgoing, Part
from talkwire.testing import Answers, FakeProvider, Reply, says
from talkwire.testing.services import lend
from talkwire_telegram.channel import Telegram

TOKEN = "8000000001:a-token-of-the-tests-0123456789abcd"
KEY = "01940000-0000-7000-8000-00000000c0de"
ANN = Address(kind="telegram", value="4711", name="Ann Lee")
GROUP = Address(kind="telegram", value="-100200", name="Kopi Kita")


def accept(seen, id_):
    """Say yes: the message is number 1, 2, … of its chat."""
    message = {"message_id": int(id_[1:]), "date": 1795435200, "chat": {"id": chat_of(seen), "type": "private"}}
    return Reply.json({"ok": True, "result": message})


def no(code, description, **parameters):
    """Say no, as the Bot API does."""
    said = {"ok": False, "error_code": code, "description": description}
    return says(Reply.json({**said, "parameters": parameters} if parameters else said, status=code))


def yes(result=True):
    """Say yes to what sends no message."""
    return says(Reply.json({"ok": True, "result": result}))


def called(seen):
    """Give the method that was called, with what was said; a file is its name, and its bytes."""
    method = seen.path.rsplit("/", 1)[1]
    kind = seen.headers.get("content-type", "")
    if kind.startswith("application/json"):
        return method, seen.json()
    if not kind.startswith("multipart/"):
        return method, {name: value(text) for name, text in seen.form().items()}
    said = {}
    for field in message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + seen.body).get_payload():
        name = field.get_param("name", header="content-disposition")
        content = field.get_payload(decode=True)
        said[name] = (field.get_filename(), content) if field.get_filename() else value(content.decode())
    return method, said


def value(text):
    """Read a field of a form: texts stand there as they are."""
    try:
        return json.loads(text) if text[:1] in "[{-0123456789tf" else text
    except ValueError:
        return text


def chat_of(seen):
    return int(called(seen)[1]["chat_id"])


ANSWERS = Answers(accept=accept)


@asynccontextmanager
async def a_bot(provider=None):
    """Lend a bot; its provider is a server of its own, or the one that is given."""
    if provider is None:
        async with FakeProvider(ANSWERS) as own, a_bot(own) as lent:
            yield lent
        return
    async with lend(Telegram, {"token": TOKEN, "api_url": provider.url}) as lent:
        yield Bot(provider, lent)


class Bot:
    """A bot, and what it said."""

    def __init__(self, provider, lent):
        self.provider, self.lent = provider, lent
        self.channel, self.services = lent.channel, lent.services

    def will(self, *steps):
        self.provider.will(*steps)

    @property
    def calls(self):
        return [called(seen) for seen in self.provider.requests]

    async def send(self, part, **changes):
        return await self.channel.send(outgoing(part, **changes))


def outgoing(part="Hello", **changes):
    """Make what `send` is given; a text is a part without marks."""
    given = {"key": KEY, "account": "kit", "address": ANN, "thread": ""}
    part = Part(text=part) if isinstance(part, str) else part
    return Outgoing(**{**given, "part": part, **changes})
