"""Chats, the people in them and what they said, kept as the Bot API's own objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .refusal import bad, forbidden

BOT: dict[str, Any] = {"id": 7100000001, "is_bot": True, "first_name": "Kopi Kita", "username": "kopikita_bot"}
BUDI: dict[str, Any] = {  # more than 32 bits, as newer ids have
    "id": 5012345678,
    "is_bot": False,
    "first_name": "Budi",
    "last_name": "Santoso",
    "username": "budisantoso",
    "language_code": "id",
}
SITI: dict[str, Any] = {"id": 5087654321, "is_bot": False, "first_name": "Siti", "language_code": "en"}
DEWI: dict[str, Any] = {"id": 5076543210, "is_bot": False, "first_name": "Dewi", "language_code": "id"}
OWNER: dict[str, Any] = {"id": 5011223344, "is_bot": False, "first_name": "Ratna", "language_code": "id"}
CONNECTION = "kKb8AAAAAEiO7nVn"  # of the bot to the business account of `OWNER`, to whom `DEWI` writes
FORUM = -1002233445566
DIRECT = -1003344556677  # the direct messages to a channel
GROUP = -4011223344
MOST = 5000  # messages; then nothing more is taken


class Full(OverflowError):
    """There is no room for more."""


@dataclass(slots=True)
class Chat:
    """A chat of the bot."""

    wire: dict[str, Any]  # a `Chat` of the Bot API
    people: list[dict[str, Any]]  # `User`s, without the bot
    topics: dict[int, str] = field(default_factory=dict)  # message_thread_id → name
    shut: bool = False  # the customer has blocked the bot, the group has thrown it out
    moved_to: int = 0  # the supergroup that it has become
    last_id: int = 0  # of its messages
    doing: str = ""  # what the bot's last sendChatAction said
    connection: str = ""  # by which the bot sees a chat of a business account; empty: the bot is in it

    @property
    def id(self) -> int:
        """Give its id."""
        return int(self.wire["id"])

    @property
    def is_private(self) -> bool:
        """Say whether it is a chat with one person."""
        return bool(self.wire["type"] == "private")

    @property
    def is_direct(self) -> bool:
        """Say whether it holds the direct messages to a channel: there each person has a topic, by their id."""
        return bool(self.wire.get("is_direct_messages"))


@dataclass(slots=True, kw_only=True)
class Said:
    """One message, with what the page shows beside it."""

    wire: dict[str, Any]  # a `Message` of the Bot API
    mine: bool  # a customer wrote it
    gone: bool = False  # deleted
    read: bool = False  # in the name of a business, whose customers are told that
    reactions: dict[int, list[str]] = field(default_factory=dict)  # user id → emoji
    pressed: dict[str, str] = field(default_factory=dict)  # callback query that waits for its answer → data
    toast: str = ""  # what the bot's last answer to a pressed button said
    note: str = ""  # what became of the update


class World:
    """All chats of one bot."""

    def __init__(
        self, *, now: Callable[[], float], changed: Callable[[dict[str, Any]], None], since: int = 100
    ) -> None:
        self.now = now
        self._since = since
        self.said: dict[tuple[int, int], Said] = {}  # (chat, message_id), oldest first
        self.chats: dict[int, Chat] = {}
        self._changed = changed
        self.meet(BUDI)
        self.meet(SITI)
        forum = {"id": FORUM, "type": "supergroup", "title": "Kopi Kita regulars", "is_forum": True}
        self.chats[FORUM] = Chat(forum, [BUDI, SITI], {2: "Beans", 3: "Grinders"}, last_id=since)
        self.chats[GROUP] = Chat({"id": GROUP, "type": "group", "title": "Office coffee"}, [BUDI, SITI], last_id=since)
        direct = {"id": DIRECT, "type": "supergroup", "title": "Kopi Kita news", "is_direct_messages": True}
        topics = {one["id"]: name_of(one) for one in (BUDI, SITI)}
        self.chats[DIRECT] = Chat(direct, [BUDI, SITI], topics, last_id=since)
        self.meet(DEWI).connection = CONNECTION
        self.chats[DEWI["id"]].people.append(OWNER)

    def meet(self, user: dict[str, Any]) -> Chat:
        """Open a private chat with somebody; its id is theirs."""
        wire: dict[str, Any] = {key: value for key, value in user.items() if key not in ("is_bot", "language_code")}
        chat = self.chats[user["id"]] = Chat({**wire, "type": "private"}, [user], last_id=self._since)
        return chat

    def chat(self, chat_id: int) -> Chat:
        """Find a chat. Errors: `KeyError`."""
        return self.chats[chat_id]

    def reachable(self, chat_id: int | str, connection: str = "") -> Chat:
        """Find a chat that the bot may write to, its own or a business account's. Errors: `Refusal`."""
        if connection not in ("", CONNECTION):
            raise bad("business connection not found")
        try:
            chat = self.chats.get(int(chat_id))
        except ValueError:
            chat = None
        if chat is None or chat.connection != connection:
            raise bad("chat not found")
        if chat.moved_to:
            raise bad("group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved_to)
        if chat.shut:
            raise forbidden(
                "bot was blocked by the user"
                if chat.is_private
                else f"bot was kicked from the {chat.wire['type']} chat"
            )
        return chat

    def of(self, connection: str) -> list[Chat]:
        """Give the chats of a business account. Errors: `Refusal`."""
        if connection != CONNECTION:
            raise bad("business connection not found")
        return [chat for chat in self.chats.values() if chat.connection == connection]

    def find(self, chat_id: int, message_id: int) -> Said | None:
        """Find a message that is there."""
        said = self.said.get((chat_id, message_id))
        return None if said is None or said.gone else said

    def put(self, chat: Chat, sender: dict[str, Any], content: dict[str, Any], *, topic: int = 0) -> Said:
        """Write a message into a chat. Errors: `Full`."""
        if len(self.said) >= MOST:
            raise Full("the simulator is full; start the demo again")
        chat.last_id += 1
        wire: dict[str, Any] = {
            "message_id": chat.last_id,
            "from": sender,
            "chat": chat.wire,
            "date": int(self.now()),
        }
        if chat.connection:
            wire["business_connection_id"] = chat.connection
        if chat.is_direct:
            user = next(one for one in chat.people if one["id"] == topic)
            wire["direct_messages_topic"] = {"topic_id": topic, "user": user}
        elif topic:
            wire |= {"message_thread_id": topic, "is_topic_message": True}
        said = Said(wire={**wire, **content}, mine=sender["id"] not in (BOT["id"], OWNER["id"]))
        self.said[chat.id, chat.last_id] = said
        chat.doing = ""
        self.show(said)
        return said

    # --- the page ------------------------------------------------------------------------------------------

    def show(self, said: Said) -> None:
        """Let the page draw a message as it is now."""
        self._changed({"message": self.line(said)})

    def show_chats(self) -> None:
        """Let the page draw the list of chats as it is now."""
        self._changed({"chats": self.all_chats()})

    def line(self, said: Said) -> dict[str, Any]:
        """Give what the page has to know of a message."""
        chat_id = said.wire["chat"]["id"]
        return {
            "id": f"{chat_id}:{said.wire['message_id']}",
            "chat": chat_id,
            "topic": said.wire.get("direct_messages_topic", {}).get("topic_id", said.wire.get("message_thread_id", 0)),
            "mine": said.mine,
            "gone": said.gone,
            "read": said.read,
            "reactions": [emoji for found in said.reactions.values() for emoji in found],
            "chosen": said.reactions.get(BUDI["id"], []),
            "pressed": list(said.pressed.values()),
            "toast": said.toast,
            "note": said.note,
            "message": said.wire,
        }

    def all_chats(self) -> list[dict[str, Any]]:
        """Give what the page has to know of the chats."""
        return [
            {
                "id": chat.id,
                "type": chat.wire["type"],
                "title": chat.wire.get("title") or name_of(chat.people[0]),
                "people": [{"id": one["id"], "name": name_of(one)} for one in chat.people],
                "topics": [{"id": key, "name": name} for key, name in chat.topics.items()],
                "forum": bool(chat.wire.get("is_forum")),
                "direct": chat.is_direct,
                "business": bool(chat.connection),
                "shut": chat.shut,
                "moved_to": chat.moved_to,
                "doing": chat.doing,
            }
            for chat in self.chats.values()
        ]


def name_of(user: dict[str, Any]) -> str:
    """Give somebody's name as Telegram shows it."""
    return " ".join(filter(None, (user["first_name"], user.get("last_name"))))


def quoted(said: Said) -> dict[str, Any]:
    """Give a message as it stands in the answer to it: without what it answers itself."""
    return {key: value for key, value in said.wire.items() if key != "reply_to_message"}
