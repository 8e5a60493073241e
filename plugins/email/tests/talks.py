"""A whole hub with an e-mail account at a provider, and what tests wait for on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import talkwire_email
from talkwire import Message, Reply, draft, hookimpl
from talkwire.testing.hub import WholeHub

WITHIN = 20.0  # real seconds, in which anything here happens


class Robot:
    """A plugin that answers whatever comes."""

    @hookimpl
    def on_inbound_message(self, message: Message) -> Reply:
        return Reply(conversation=message.conversation, draft=draft("Thank you for your mail."))


def table(account: Mapping[str, Any]) -> str:
    """Write the settings of a hub with this account."""
    return '[accounts.support]\nchannel = "email"\n' + "".join(f"{k} = {_value(v)}\n" for k, v in account.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


class Talks:
    """The hub's side."""

    def __init__(self, hub: WholeHub) -> None:
        self.hub = hub

    async def until(self, what: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until something is there; a provider of its own comes between, so there is nothing to be told by."""
        async with asyncio.timeout(WITHIN):
            while not (found := await what()):
                await asyncio.sleep(0.01)
            return found

    async def heard(self, text: str) -> Message:
        """Wait for a customer's message; it must be there once."""

        async def look() -> list[Message]:
            every = [m for talk in await self.hub.conversations() for m in await self.hub.messages(talk)]
            return [message for message in every if message.state is None and text in message.text]

        [message] = await self.until(look)
        return message

    async def stands(self, message: str, state: str) -> None:
        """Wait until a reply has come this far."""

        async def look() -> bool:
            found = await self.hub.daemon.hub.message(message)
            return found is not None and found.state is not None and found.state.word == state

        await self.until(look)

    async def answers(self, talk: str, text: str) -> str:
        """Reply, and wait until it was handed over; gives the message's id."""
        accepted = await self.hub.reply(talk, text)
        await self.stands(accepted.message, "sent")
        return accepted.message


PLUGIN = {"email": talkwire_email}
