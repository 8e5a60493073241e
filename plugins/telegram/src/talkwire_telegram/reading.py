"""An update of Telegram's, in Talkwire's words.

    message, channel_post, business_message      Inbound; AddressChanged where a group became a supergroup
    edited_…                                     Change(edit)
    callback_query                               Inbound with a Choice, which Telegram waits to be acknowledged
    message_reaction                             Change(reaction)
    my_chat_member                               Reachable: they stopped the bot, or let it write again
    any other kind that we know of               nothing: we never ask for it
    a kind that we do not know                   Unread

An address is a chat, `telegram:<id>`: one person, or a group in which several write, each message with its author. A
topic of a forum is a thread; so is what came by way of a business account (`business:<its connection>`), for it is
answered by another way, and what one person wrote to a channel (`dm:<their topic>`), for there all share a chat. Ids of
messages count within a chat, so `external_id` is `<chat>:<message>`.

Pure: the same update gives the same items, whenever and however often it comes; Telegram gives one again until we have
answered, and its numbers (`update_id`) are no order: after a week of silence they go on anywhere.

Source: Bot API 10.1, "Update", read 2026-11-28.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from talkwire import (
    Address,
    AddressChanged,
    Alias,
    Block,
    Change,
    ChangeKind,
    Choice,
    Envelope,
    Inbound,
    Item,
    Reachable,
    RemoteMedia,
    Unread,
    Unreadable,
    each,
    phone,
)

from .contents import contents
from .texts import readable
from .values import (
    Chat,
    Member,
    MembershipChanged,
    Message,
    Pressed,
    Query,
    ReactionChanged,
    moment,
)

KIND = "telegram"  # of addresses
BUSINESS = "business:"  # of threads: what follows is the id of a business connection
DIRECT = "dm:"  # of threads: what follows is the id of a topic of the direct messages to a channel
PRESSED = "cb:"  # of external ids: what follows is the id of a callback query, in a business account behind its own
ALLOWED_UPDATES = (  # the last list that was set stays, also for getUpdates; reactions come only where they are named
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "callback_query",
    "message_reaction",
    "my_chat_member",
    "business_message",
    "edited_business_message",
)
_NOT_FOR_US = frozenset(  # what we never ask for; it may come until Telegram has heard that
    [
        *("business_connection", "deleted_business_messages", "guest_message", "message_reaction_count"),
        *("inline_query", "chosen_inline_result", "shipping_query", "pre_checkout_query", "purchased_paid_media"),
        *("poll", "poll_answer", "chat_member", "chat_join_request", "chat_boost", "removed_chat_boost"),
        *("managed_bot",),
    ]
)
_AWAY = frozenset(["left", "kicked"])


def read(envelope: Envelope) -> Iterable[Item]:
    """Say what an update means. Errors: `Unreadable`."""
    try:
        update = json.loads(envelope.body)
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None
    if not isinstance(update, dict):
        raise Unreadable("it is no update: no object")
    # One update holds one thing; one with several is not documented, and none of them is lost.
    kinds = [key for key, value in update.items() if key != "update_id" and value is not None]
    known = [kind for kind in kinds if kind in _KINDS]
    reader = _Update(update.get("update_id"), envelope.received_at)
    for kind in known:
        yield from each([update[kind]], getattr(reader, _KINDS[kind]))
    if not known and not _NOT_FOR_US.intersection(kinds):
        what = ", ".join(sorted(kinds))[:100] or "nothing"
        yield Unread(f"an update of a kind that we do not know ({what})")


@dataclass(frozen=True, slots=True)
class _Update:
    """What an update says beside the thing that it holds; a method for each kind of thing."""

    number: Any  # update_id
    received_at: datetime

    def message(self, value: Any) -> Iterable[Item]:
        """Somebody wrote."""
        message = Message.read(value)
        chat = message.chat
        for old, new in ((chat.id, message.migrate_to_chat_id), (message.migrate_from_chat_id, chat.id)):
            if old is not None and new is not None:
                yield AddressChanged(old=_address(chat, old), new=_address(chat, new), at=moment(message.date))
        if _is_ours(message):
            return
        beside, blocks, is_said = contents(value)
        if not is_said:
            return
        text = readable(message.text, message.entities) or beside
        if caption := readable(message.caption, message.caption_entities):
            blocks, text = _captioned(blocks, text, caption)
        yield Inbound(
            external_id=external_id(message, message.message_id),
            address=replace(_address(chat), aliases=_own_number(value, message)),
            at=moment(message.date),
            author=_author(message),
            text=text,
            blocks=blocks,
            thread=_thread(message),
            reply_to=_answered(message),
            group=message.media_group_id,
            automatic=_is_automatic(message),
        )

    def edited(self, value: Any) -> Iterable[Item]:
        """Somebody changed what they wrote, swapped a file, or went on from the place that they show.

        Telegram gives the whole message as it is now.
        """
        message = Message.read(value)
        if _is_ours(message):
            return
        beside, blocks, _ = contents(value)
        yield Change(
            kind=ChangeKind.EDIT,
            external_id=external_id(message, message.message_id),
            address=_address(message.chat),
            at=moment(message.edit_date or message.date),
            text=_text(message) or beside,
            blocks=blocks,
            thread=_thread(message),
        )

    def pressed(self, value: Any) -> Iterable[Item]:
        """Somebody pressed a button."""
        query = Query.read(value)
        data = query.data or query.game_short_name
        title = _title(query.message, data)
        below = Pressed.read(query.message) if query.message is not None else None
        of = f"{below.business_connection_id}:" if below is not None and below.business_connection_id else ""
        private = Chat(id=query.sender.id, type="private", first_name=query.sender.name)
        chat = below.chat if below is not None else private
        yield Inbound(
            external_id=f"{PRESSED}{of}{query.id}",
            address=_address(chat),
            at=self.received_at,  # Telegram does not say when
            author="" if chat.is_private else query.sender.name,
            text=title,
            blocks=(Choice(id=data, title=title),),
            thread=_thread(below) if below is not None else "",
            reply_to=external_id(below, below.message_id) if below is not None else "",
            acknowledge=True,
        )

    def reaction(self, value: Any) -> Iterable[Item]:
        """Somebody reacted, or took that back."""
        changed = ReactionChanged.read(value)
        old, new = _emoji(changed.old_reaction), _emoji(changed.new_reaction)
        if old != new:
            yield Change(
                kind=ChangeKind.REACTION,
                external_id=f"{changed.chat.id}:{changed.message_id}",
                address=_address(changed.chat),
                at=moment(changed.date),
                change_id=f"reaction:{self.number}:{changed.date}",  # twice in a second, there and back
                text=" ".join(new),
            )

    def membership(self, value: Any) -> Iterable[Item]:
        """Somebody let us in, or out."""
        changed = MembershipChanged.read(value)
        on = _is_in(changed.new_chat_member)
        yield Reachable(address=_address(changed.chat), on=on, at=moment(changed.date))


def _title(message: Any, data: str) -> str:
    """Find the words on the button; a message that is too old comes without its buttons."""
    markup = message.get("reply_markup") if isinstance(message, Mapping) else None
    rows = markup.get("inline_keyboard") if isinstance(markup, Mapping) else None
    for row in rows if isinstance(rows, list) else ():
        for button in row if isinstance(row, list) else ():
            if (
                isinstance(button, Mapping)
                and button.get("callback_data") == data
                and isinstance(button.get("text"), str)
            ):
                return str(button["text"])
    return data


def _emoji(reactions: Sequence[Any]) -> list[str]:
    """Give each reaction as text; a drawing of Telegram's own has none."""
    found = []
    for one in reactions:
        kind, emoji = (one.get("type"), one.get("emoji")) if isinstance(one, Mapping) else ("", None)
        found.append(emoji if isinstance(emoji, str) else "⭐" if kind == "paid" else "(an emoji of Telegram's)")
    return sorted(found)


def _is_in(member: Member) -> bool:
    return member.status not in _AWAY and member.is_member


# --- of a message --------------------------------------------------------------------------------


def external_id(message: Message | Pressed, message_id: int) -> str:
    """Give what is unique in an account; in a business account ids count in its own chats."""
    own = f"{message.chat.id}:{message_id}"
    return f"{message.business_connection_id}:{own}" if message.business_connection_id else own


def _address(chat: Chat, id_: int | None = None) -> Address:
    return Address(kind=KIND, value=str(chat.id if id_ is None else id_), name=chat.name)


def _thread(message: Message | Pressed) -> str:
    """Name a forum's topic; other groups give numbers to what answers the same message, which is no thread of ours."""
    if message.business_connection_id:
        return BUSINESS + message.business_connection_id
    if message.direct_messages_topic is not None:
        return f"{DIRECT}{message.direct_messages_topic.topic_id}"
    is_topic = message.is_topic_message and message.message_thread_id is not None
    return str(message.message_thread_id) if is_topic else ""


def _answered(message: Message) -> str:
    """Name the answered message: one of this chat, in the same topic or in another one.

    Source: Bot API 10.1, "ExternalReplyInfo", read 2026-11-29.
    """
    elsewhere = message.external_reply
    if isinstance(elsewhere, Mapping) and _id(elsewhere.get("chat"), "id") == message.chat.id:
        answered_id = _id(elsewhere, "message_id")
        return external_id(message, answered_id) if answered_id is not None else ""
    answered = message.reply_to_message
    if answered is None or answered.forum_topic_created is not None:
        return ""
    if answered.chat is not None and answered.chat.id != message.chat.id:
        return ""
    return external_id(message, answered.message_id)


def _id(value: Any, key: str) -> int | None:
    """Give a number of an object that nothing hangs on; None where it has none."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _author(message: Message) -> str:
    """Name who wrote, where several do."""
    if message.chat.is_private:
        return ""
    if message.author_signature:
        return message.author_signature
    if message.sender_chat is not None:
        return message.sender_chat.name
    return message.sender.name if message.sender is not None else ""


def _text(message: Message) -> str:
    if message.text:
        return readable(message.text, message.entities)
    return readable(message.caption, message.caption_entities)


def _own_number(value: Mapping[str, Any], message: Message) -> tuple[Alias, ...]:
    """Give the number that somebody shared of themselves: a way to reach them, by which nobody is found.

    Telegram names the user of a number; of somebody else's it is another one.
    Source: Bot API 10.1, "Contact", user_id, read 2026-11-28.
    """
    contact = value.get("contact")
    if not message.chat.is_private or message.sender is None or not isinstance(contact, Mapping):
        return ()
    if contact.get("user_id") != message.sender.id:
        return ()
    try:
        return (Alias("phone", phone(str(contact.get("phone_number"))), claimed=True),)
    except Unreadable:
        return ()


def _captioned(blocks: Sequence[Block], text: str, caption: str) -> tuple[tuple[Block, ...], str]:
    """Put a caption below the first file; it becomes text where none of the blocks is one."""
    files = [n for n, block in enumerate(blocks) if isinstance(block, RemoteMedia)]
    if not files:
        return tuple(blocks), text or caption
    first = files[0]
    return tuple(replace(b, caption=caption) if n == first else b for n, b in enumerate(blocks)), text  # type: ignore[arg-type]


def _is_ours(message: Message) -> bool:
    """Tell what a business wrote to its customer, itself or by a bot, from what the customer wrote.

    In a business account the chat is the customer, whoever writes. Source: Bot API 10.1, "Message", fields
    `business_connection_id` and `sender_business_bot`, read 2026-11-28.
    """
    if not message.business_connection_id:
        return False
    return message.sender is None or message.sender.id != message.chat.id


def _is_automatic(message: Message) -> bool:
    """Say whether a machine wrote it; who writes in the name of a chat stands beside a bot of Telegram's own.

    What is sent "by an implicit action" is a greeting or says that somebody is away, which only businesses have Telegram
    do; from anybody else it is a message that a person wrote and scheduled. Source: Bot API 10.1, "Message",
    is_from_offline, read 2026-11-29.
    """
    by_bot = message.sender is not None and message.sender.is_bot and message.sender_chat is None
    by_business = message.is_from_offline and bool(message.business_connection_id)
    return by_bot or message.is_automatic_forward or by_business


_KINDS = {  # kind of update → method of `_Update`
    "message": "message",
    "channel_post": "message",
    "business_message": "message",
    "edited_message": "edited",
    "edited_channel_post": "edited",
    "edited_business_message": "edited",
    "callback_query": "pressed",
    "message_reaction": "reaction",
    "my_chat_member": "membership",
}

__all__ = ["ALLOWED_UPDATES", "BUSINESS", "DIRECT", "KIND", "PRESSED", "read"]
