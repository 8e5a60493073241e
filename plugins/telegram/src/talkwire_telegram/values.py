"""What Telegram's objects hold, as far as we read them.

Unknown fields are left alone. A field that we read and that is not what the documentation says makes its object
unreadable; what hangs on it is then kept as unread, or as a block that says so.

Source: Bot API 10.1, "Available types", read 2026-11-28 (../shared/contracts/telegram-bot-api.json).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from talkwire import Payload

Moment = Annotated[int, Field(ge=0, le=253_402_300_799)]  # seconds since 1970; up to the last one that Python can say


class User(Payload):
    """Somebody, or a bot."""

    id: int
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    username: str = ""

    @property
    def name(self) -> str:
        """Give what Telegram shows."""
        return f"{self.first_name} {self.last_name}".strip() or self.username


class Chat(Payload):
    """Where a message is: with one person, in a group, in a channel."""

    id: int  # of a person the same as `User.id`; negative where there are several
    type: str = ""  # private | group | supergroup | channel
    title: str = ""
    first_name: str = ""
    last_name: str = ""
    username: str = ""

    @property
    def name(self) -> str:
        """Give what Telegram shows."""
        return self.title or f"{self.first_name} {self.last_name}".strip() or self.username

    @property
    def is_private(self) -> bool:
        """Say whether one person is there alone with us."""
        return self.type == "private"


class Entity(Payload):
    """A stretch of a text that is more than text."""

    type: str
    offset: Annotated[int, Field(ge=0)]  # UTF-16 code units
    length: Annotated[int, Field(ge=0)]  # UTF-16 code units
    url: str = ""  # of a `text_link`


class DirectTopic(Payload):
    """The topic of one person in the direct messages to a channel."""

    topic_id: int


class Answered(Payload):
    """The message that another one answers."""

    message_id: int
    chat: Chat | None = None
    forum_topic_created: Any = None  # each message of a topic "answers" the one that began it


class Message(Payload):
    """A message, but for what it says beside text: see `contents`."""

    message_id: int
    date: Moment
    chat: Chat
    sender: User | None = Field(None, alias="from")  # None: a channel's post
    sender_chat: Chat | None = None  # who wrote in the name of a chat
    author_signature: str = ""  # who wrote in a channel
    business_connection_id: str = ""
    direct_messages_topic: DirectTopic | None = None
    message_thread_id: int | None = None
    is_topic_message: bool = False
    is_automatic_forward: bool = False
    is_from_offline: bool = False  # an away or greeting message of a business, or a scheduled message of anybody
    edit_date: Moment | None = None
    media_group_id: str = ""
    reply_to_message: Answered | None = None
    external_reply: Any = None  # what is answered in another chat, or in another topic of this one
    text: str = ""
    entities: tuple[Entity, ...] = Field((), strict=False)
    caption: str = ""
    caption_entities: tuple[Entity, ...] = Field((), strict=False)
    migrate_to_chat_id: int | None = None
    migrate_from_chat_id: int | None = None


class Query(Payload):
    """Somebody pressed a button below a message of ours."""

    id: str = Field(min_length=1)
    sender: User = Field(alias="from")
    message: Any = None  # with the button; None: it was sent by way of another chat
    data: str = ""
    game_short_name: str = ""


class Pressed(Payload):
    """The message with the button; its date is 0 where it is too old to be read."""

    message_id: int
    chat: Chat
    business_connection_id: str = ""
    direct_messages_topic: DirectTopic | None = None
    message_thread_id: int | None = None
    is_topic_message: bool = False


class ReactionChanged(Payload):
    """Somebody reacted to a message, or took that back."""

    chat: Chat
    message_id: int
    date: Moment
    old_reaction: list[Any] = Field(default_factory=list)
    new_reaction: list[Any] = Field(default_factory=list)


class Member(Payload):
    """What a bot is in a chat."""

    status: str  # creator | administrator | member | restricted | left | kicked
    is_member: bool = True  # of one who is `restricted`


class MembershipChanged(Payload):
    """We were let into a chat, or are there no more; a person stopped us, or lets us write again."""

    chat: Chat
    date: Moment
    new_chat_member: Member


def moment(seconds: int) -> datetime:
    """Turn Telegram's time into ours."""
    return datetime.fromtimestamp(seconds, UTC)


def name_of(value: Any) -> str:
    """Give the name of a user or chat that nothing hangs on; empty where it has none."""
    if not isinstance(value, Mapping):
        return ""
    named = [value.get(key) for key in ("title", "first_name", "last_name")]
    username = value.get("username")
    said = " ".join(one for one in named if isinstance(one, str) and one)
    return said or (username if isinstance(username, str) else "")


__all__ = [
    "Answered",
    "Chat",
    "DirectTopic",
    "Entity",
    "Member",
    "MembershipChanged",
    "Message",
    "Pressed",
    "Query",
    "ReactionChanged",
    "User",
    "moment",
    "name_of",
]
