"""The way out: a part becomes one call of the bot, and Telegram's answer a receipt.

A message's `external_id` is `<chat>:<message id>`, for message ids are unique in their chat only; in a business account,
whose chats are not the bot's, `<connection>:<chat>:<message id>`. `cb:<id>` is a pressed button, `cb:<connection>:<id>`
one in a business account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from telegram import InputFile
from telegram.error import BadRequest, ChatMigrated, TelegramError

from talkwire import (
    Acknowledge,
    Address,
    AddressChanged,
    Attachment,
    Channel,
    MarkupRefused,
    NotFound,
    Outgoing,
    Reaction,
    ReadUpTo,
    Receipt,
    Refused,
    SignalKind,
    StoreDown,
    TryLater,
    TypingSignal,
    Uncertain,
)

from .errors import Floods, is_gone, is_no_photo, is_unchanged, lacks_what_is_replied_to, meaning, takes_no_voice
from .reading import BUSINESS, DIRECT, PRESSED
from .rendering import FIELDS, Payload, payload_of

if TYPE_CHECKING:
    from .calls import TelegramBot

_ACKNOWLEDGED_LIMIT = 200  # characters (answerCallbackQuery)
_WITHOUT_FILE = timedelta(seconds=15)  # that a call may take; one with a file has all of `features.send_timeout`


class Sending:
    """Sends for one bot."""

    def __init__(self, channel: Channel, bot: TelegramBot) -> None:
        self._channel = channel
        self._bot = bot
        self._floods = Floods()
        self._moved: dict[str, int] = {}  # chat → where it is now; learnt anew by each daemon, from a refusal

    async def send(self, out: Outgoing) -> Receipt:
        """Send a part.

        A call that Telegram refused showed nothing, so it is made again where it says what to change: another chat id, no
        reply, a file instead of a picture or a voice note; each once.
        """
        try:
            return await self._sent(await self._request(out), out.address)
        except NotFound as error:
            raise Refused("the file is not in our store any more") from error
        except StoreDown as error:
            raise TryLater("the store cannot be read now") from error

    async def _sent(self, request: _Request, to: Address) -> Receipt:
        while True:
            try:
                said = await self._bot.call(request.method, await request.values(), timeout=request.timeout)
                return _receipt(said, request.business)
            except ChatMigrated as moved:
                if not await self._follow(request, moved.new_chat_id, to):
                    raise self._meaning(moved, request.chat) from None
            except BadRequest as no:
                if not request.yields(no):
                    raise self._meaning(no, request.chat) from None
            except TelegramError as error:
                raise self._meaning(error, request.chat) from None

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        """Replace a text, or take a message away where the part is empty."""
        business = _business(out.thread)
        message = message_of(_bare(external_id, business))
        if message is None:
            raise Refused("it was not sent to Telegram")
        said = payload_of(out.part, None)
        if out.part.attachment or said.method != "sendMessage":
            raise Refused("Telegram replaces texts only; send it anew")
        chat, of = str(message[0]), {"business_connection_id": business} if business else {}
        values: dict[str, Any] = {**of, "chat_id": message[0], "message_id": message[1]}
        if not out.part.text:
            if business:
                await self._changed(chat, "deleteBusinessMessages", {**of, "message_ids": [message[1]]})
            else:
                await self._changed(chat, "deleteMessage", values)
            return Receipt(external_id=external_id)
        try:
            await self._changed(chat, "editMessageText", values | {"text": out.part.text, **_beside(said, "entities")})
        except MarkupRefused:
            if not out.part.plain:
                raise
            plain = replace(said, entities=())
            await self._changed(
                chat, "editMessageText", values | {"text": out.part.plain, **_beside(plain, "entities")}
            )
        return Receipt(external_id=external_id)

    async def _changed(self, chat: str, method: str, values: Mapping[str, Any]) -> None:
        """Change a message; that it is so already is a yes."""
        try:
            await self._bot.call(method, values, timeout=_WITHOUT_FILE)
        except BadRequest as no:
            if not (is_unchanged(no) or is_gone(no)):
                raise self._meaning(no, chat) from None
        except TelegramError as error:
            raise self._meaning(error, chat) from None

    async def signal(self, address: str, signal: SignalKind) -> None:
        """Pass on a hint. That we have read something can be said to the customers of a business account only.

        Errors: `Refused`, also where Telegram has no way: setMessageReaction knows the bot's own chats only, not those of
        a business account.
        """
        match signal:
            case TypingSignal(on=True, last_inbound=last):
                of = {"business_connection_id": business} if (business := _connection(last)) else {}
                await self._hint(address, "sendChatAction", {**of, "chat_id": _chat(address), "action": "typing"})
            case ReadUpTo(external_id=external_id) if business := _connection(external_id):
                if (message := message_of(_bare(external_id, business))) is not None:  # None: a pressed button
                    values = {"business_connection_id": business, "chat_id": message[0], "message_id": message[1]}
                    await self._hint(address, "readBusinessMessage", values)
            case Reaction(external_id=external_id, emoji=emoji):
                if (message := message_of(external_id)) is None:
                    raise Refused("Telegram takes no reaction to it: it is no message of a chat of the bot's own")
                # "❤", never "❤" with U+FE0F, which asks for a picture (ReactionTypeEmoji, read 2026-11-29).
                shown = [{"type": "emoji", "emoji": emoji.replace("\ufe0f", "")}] if emoji else []
                values = {"chat_id": message[0], "message_id": message[1], "reaction": shown}
                await self._hint(address, "setMessageReaction", values)
            case Acknowledge(external_id=external_id, text=text) if external_id.startswith(PRESSED):
                values = {"callback_query_id": external_id.rpartition(":")[2]}
                if text:
                    values["text"] = text[:_ACKNOWLEDGED_LIMIT]
                await self._hint(address, "answerCallbackQuery", values)

    async def _hint(self, address: str, method: str, values: Mapping[str, Any]) -> None:
        try:
            await self._bot.call(method, values, timeout=_WITHOUT_FILE)
        except TelegramError as error:
            raise self._meaning(error, address) from None

    # --- one request

    async def _request(self, out: Outgoing) -> _Request:
        attachment = await self._channel.services.attachment(out.part.attachment) if out.part.attachment else None
        request = _Request(self._channel, out, payload_of(out.part, attachment), attachment)
        if (chat := self._moved.get(request.chat)) is not None:
            request.move(chat)
        return request

    async def _follow(self, request: _Request, chat: int, old: Address) -> bool:
        """Tell the core that a group has a new id, and send there; False: we did already.

        Source: Bot API 10.1, "ResponseParameters", migrate_to_chat_id, read 2026-11-28.
        """
        if request.followed:
            return False
        new = Address(kind=old.kind, value=str(chat), name=old.name)
        await self._channel.admit([AddressChanged(old=old, new=new, at=self._channel.clock.now())])
        self._moved[old.value] = chat
        request.followed = True
        request.move(chat)
        return True

    def _meaning(self, error: Exception, chat: str) -> Exception:
        now, token = self._channel.clock.now(), self._channel.settings.token.get_secret_value()
        return meaning(error, chat=chat, now=now, floods=self._floods, hide=token)


class _Request:
    """A call in the making, which may be changed after a no."""

    def __init__(self, channel: Channel, out: Outgoing, payload: Payload, attachment: Attachment | None) -> None:
        self._channel = channel
        self._part = out.part
        self._payload = payload
        self._attachment = attachment
        self._topic = _topic(out.thread)
        self.method = payload.method
        self.chat = out.address.value
        self.timeout = _WITHOUT_FILE if attachment is None else None
        self.followed = False
        self.business = _business(out.thread)
        answered = message_of(_bare(out.reply_to, self.business))
        self._replies_to = answered[1] if answered is not None and str(answered[0]) == self.chat else None

    async def values(self) -> dict[str, Any]:
        """Give what the call says."""
        said: dict[str, Any] = {"chat_id": _chat(self.chat), **self._topic}
        if self.business:  # the business says it, to a customer of its own
            said["business_connection_id"] = self.business
        if self._replies_to is not None:
            said["reply_parameters"] = {"message_id": self._replies_to, "allow_sending_without_reply": True}
        text = self._part.text
        if self._payload.place is not None:
            said |= self._payload.place
        elif self._attachment is None:
            said |= {"text": text, **_beside(self._payload, "entities")}
        else:
            said[FIELDS[self.method]] = await self._file(self._attachment)
            said |= {"caption": text} if text else {}
            said |= _beside(self._payload, "caption_entities")
        return said

    async def _file(self, attachment: Attachment) -> InputFile:
        content = b"".join([piece async for piece in self._channel.services.open_attachment(attachment.id)])
        return InputFile(content, filename=attachment.name or "file")

    def move(self, chat: int) -> None:
        """Go to another chat, where other messages and topics are."""
        self.chat = str(chat)
        self._replies_to, self._topic = None, {}

    def yields(self, no: BadRequest) -> bool:
        """Leave out what was refused; False: it is nothing that can be left out."""
        if self._replies_to is not None and lacks_what_is_replied_to(no):
            self._replies_to = None
            return True
        if (self.method == "sendPhoto" and is_no_photo(no)) or (self.method == "sendVoice" and takes_no_voice(no)):
            self.method = "sendDocument"
            return True
        return False


def _beside(payload: Payload, entities: str) -> dict[str, Any]:
    """Give what stands beside a text."""
    said: dict[str, Any] = {entities: list(payload.entities)} if payload.entities else {}
    if payload.keyboard:
        said["reply_markup"] = {"inline_keyboard": [list(row) for row in payload.keyboard]}
    return said


def _receipt(message: Any, business: str) -> Receipt:
    """Read Telegram's yes, a `Message`; its id is as `reading.external_id` gives it.

    It is 0 where Telegram sends the message later, as it may a video to a large group; that is no id.
    Source: Bot API 10.1, "Message", message_id, read 2026-11-29.
    """
    try:
        chat, number = int(message["chat"]["id"]), int(message["message_id"])
    except (TypeError, KeyError, ValueError) as error:
        raise Uncertain("Telegram's yes names no message") from error
    own = f"{chat}:{number}" if number else ""
    return Receipt(external_id=f"{business}:{own}" if business and own else own)


def _business(thread: str) -> str:
    """Give the connection to a business account; empty: the chat is the bot's own."""
    return thread.removeprefix(BUSINESS) if thread.startswith(BUSINESS) else ""


def _connection(inbound: str) -> str:
    """Give the connection to a business account by which a message or a pressed button came; empty: by none."""
    before = inbound.rpartition(":")[0]
    return before.removeprefix(PRESSED) if before.startswith(PRESSED) else before.rpartition(":")[0]


def _topic(thread: str) -> dict[str, int]:
    """Say which topic of a chat it is: of a forum, or of the direct messages to a channel, where each person has one."""
    if thread.startswith(DIRECT) and (topic := thread.removeprefix(DIRECT)).isdecimal():
        return {"direct_messages_topic_id": int(topic)}
    return {"message_thread_id": int(thread)} if thread.isdecimal() else {}


def _bare(external_id: str, business: str) -> str:
    """Leave out the connection; older receipts of business messages have none."""
    return external_id.removeprefix(f"{business}:") if business else external_id


def message_of(external_id: str) -> tuple[int, int] | None:
    """Give the chat and the id of a message; None: it is not one."""
    chat, _, message = external_id.rpartition(":")
    return (int(chat), int(message)) if chat.removeprefix("-").isdecimal() and message.isdecimal() else None


def _chat(address: str) -> int:
    try:
        return int(address)
    except ValueError as error:
        raise Refused("a chat of Telegram's is a number") from error
