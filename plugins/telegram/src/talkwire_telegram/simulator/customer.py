"""What customers do, and the updates that the bot hears of it.

Sources: Bot API 10.1, "Update", "Message", "CallbackQuery", "MessageReactionUpdated", "ChatMemberUpdated"; "Bots FAQ",
"What messages will my bot get?".
"""

from __future__ import annotations

import secrets
from typing import Any

from .files import FETCH_LIMIT, VOICE_SECONDS, File, Files, picture, size_of_picture, voice
from .markup import found_entities
from .updates import Updates
from .world import BOT, BUDI, Chat, Said, World, quoted

TEXT_LIMIT = 4096
KINDS = (
    "text",
    "photo",
    "album",
    "voice",
    "document",
    "large",
    "location",
    "live",
    "venue",
    "contact",
    "sticker",
    "dice",
)
CAPTIONED = {"photo", "video", "audio", "voice", "document", "animation"}
ENTITIES = {"text": "entities", "caption": "caption_entities"}  # name of words → of what marks them
STATION = {"latitude": -6.917464, "longitude": 107.619125}
LIVE_PERIOD = 3600  # seconds for which a live location is shown
STEP = 0.0005  # degrees north that a customer goes on; about 55 m


class Impossible(Exception):
    """Customers cannot do that; says why."""


class Customer:
    """Everybody who is not the bot."""

    def __init__(self, world: World, updates: Updates, files: Files, faults: set[str]) -> None:
        self._world = world
        self._updates = updates
        self._files = files
        self._faults = faults

    def write(
        self, text: str, *, chat: int = BUDI["id"], who: int = BUDI["id"], topic: int = 0, answers: int = 0
    ) -> tuple[Said, int]:
        """Write a text; gives the message, and the id of its update (0: the bot is told nothing)."""
        if not text.strip() or len(text) > TEXT_LIMIT:
            raise Impossible(f"a text has between 1 and {TEXT_LIMIT} characters")
        return self._say(self._open(chat), who, _words("text", text), topic=topic, answers=answers)

    def send(
        self, kind: str, *, chat: int = BUDI["id"], who: int = BUDI["id"], topic: int = 0, caption: str = ""
    ) -> list[tuple[Said, int]]:
        """Send something that customers have at hand."""
        if kind not in KINDS:
            raise Impossible(f"customers send {', '.join(KINDS)}")
        if kind == "text":
            return [self.write(caption or "Hello", chat=chat, who=who, topic=topic)]
        contents = [self._at_hand(kind)]
        if kind == "album":
            group = str(secrets.randbelow(10**17) + 10**16)
            contents = [{**self._photo(picture(n, 200, 150)), "media_group_id": group} for n in range(3)]
        if caption:
            contents[0] |= _words("caption", caption)
        found = self._open(chat)
        return [self._say(found, who, content, topic=topic) for content in contents]

    def hand_over(
        self,
        content: bytes,
        *,
        name: str,
        media_type: str,
        chat: int = BUDI["id"],
        who: int = BUDI["id"],
        topic: int = 0,
    ) -> tuple[Said, int]:
        """Send a file of the page's own; pictures go as photos."""
        if media_type in ("image/png", "image/jpeg") and size_of_picture(content):
            wire = self._photo(content, media_type)
        else:
            wire = self._document(self._files.keep(content, name=name, media_type=media_type))
        return self._say(self._open(chat), who, wire, topic=topic)

    def _at_hand(self, kind: str) -> dict[str, Any]:
        match kind:
            case "photo":
                return self._photo(picture())
            case "voice":
                file = self._files.keep(voice(), name="", media_type="audio/ogg")
                return {"voice": {**file.wire(), "duration": VOICE_SECONDS, "mime_type": "audio/ogg"}}
            case "document":
                return self._document(
                    self._files.keep(b"date;cups\n2026-11-28;3\n", name="orders.csv", media_type="text/csv")
                )
            case "large":
                return self._document(
                    self._files.keep(b"too much", name="film.mp4", media_type="video/mp4", claimed=FETCH_LIMIT + 1)
                )
            case "location":
                return {"location": STATION}
            case "live":
                return {"location": {**STATION, "live_period": LIVE_PERIOD}}
            case "venue":
                return {
                    "location": STATION,
                    "venue": {"location": STATION, "title": "Kopi Kita", "address": "Jalan Braga 12"},
                }
            case "contact":
                return {"contact": {"phone_number": "+6281234567890", "first_name": "Siti", "user_id": 5087654321}}
            case "sticker":
                file = self._files.keep(picture(1, 64, 64), name="", media_type="image/png")
                look = {"width": 512, "height": 512, "is_animated": False, "is_video": False, "type": "regular"}
                return {"sticker": {**file.wire(), **look, "emoji": "☕"}}
            case "dice":
                return {"dice": {"emoji": "🎲", "value": secrets.randbelow(6) + 1}}
            case _:
                return {}

    def _photo(self, content: bytes, media_type: str = "image/png") -> dict[str, Any]:
        """Keep a photo in two sizes, smallest first."""
        wide, high = size_of_picture(content) or (1, 1)
        sizes = [(max(1, wide // 4), max(1, high // 4)), (wide, high)]
        files = [self._files.keep(content, name="", media_type=media_type) for _ in sizes]
        return {
            "photo": [
                {**file.wire(), "width": width, "height": height}
                for file, (width, height) in zip(files, sizes, strict=True)
            ]
        }

    def _document(self, file: File) -> dict[str, Any]:
        return {"document": {**file.wire(), "file_name": file.name, "mime_type": file.media_type}}

    def _say(
        self, chat: Chat, who: int, content: dict[str, Any], *, topic: int = 0, answers: int = 0
    ) -> tuple[Said, int]:
        if topic and topic not in chat.topics:
            raise Impossible("this chat has no such topic")
        if answers:
            content = {**content, **_answering(self._there(chat, answers), topic)}
        user = self._person(chat, topic if topic and chat.is_direct else who)
        said = self._world.put(chat, user, content, topic=user["id"] if chat.is_direct else topic)
        return said, self._tell(said) if self._hears(chat, said) else 0

    def _tell(self, said: Said, kind: str = "message") -> int:
        if "business_connection_id" in said.wire:
            kind = kind.replace("message", "business_message")
        given = self._updates.tell(kind, said.wire)
        said.note = f"update {given} waits" if given else "the bot does not ask for such updates"
        self._world.show(said)
        return given

    def _hears(self, chat: Chat, said: Said) -> bool:
        """Say whether the bot sees a message; with privacy mode on it sees few in groups."""
        if chat.is_private or chat.is_direct or "privacy" not in self._faults:
            return True
        text, answered = said.wire.get("text", ""), said.wire.get("reply_to_message", {})
        if text.startswith("/") or answered.get("from", {}).get("id") == BOT["id"]:
            return True
        said.note = "the bot does not see it: privacy mode"
        self._world.show(said)
        return False

    # --- what is done to messages that are there -------------------------------------------------------------

    def edit(self, chat: int, message: int, text: str) -> int:
        """Change a text or a caption; gives the update's id."""
        if not text.strip() or len(text) > TEXT_LIMIT:
            raise Impossible(f"a text has between 1 and {TEXT_LIMIT} characters")
        said = self._own(chat, message)
        name = "text" if "text" in said.wire else "caption"
        if name == "caption" and not CAPTIONED & said.wire.keys():
            raise Impossible("this message has neither a text nor a caption")
        for old in (name, ENTITIES[name]):
            said.wire.pop(old, None)
        said.wire |= _words(name, text)
        return self._edited(said)

    def swap(self, chat: int, message: int) -> int:
        """Put another photo in the place of one; gives the update's id."""
        said = self._own(chat, message)
        if "photo" not in said.wire:
            raise Impossible("this message holds no photo")
        said.wire.update(self._photo(picture(1 + secrets.randbelow(2))))
        return self._edited(said)

    def move(self, chat: int, message: int, *, stop: bool = False) -> int:
        """Go on from where a live location is, or stop showing it; gives the update's id."""
        said = self._own(chat, message)
        if "live_period" not in said.wire.get("location", {}):
            raise Impossible("this message shows no live location")
        place = said.wire["location"]
        said.wire["location"] = (
            {name: place[name] for name in STATION}
            if stop
            else {**place, "latitude": round(place["latitude"] + STEP, 6)}
        )
        return self._edited(said)

    def _own(self, chat: int, message: int) -> Said:
        said = self._there(self._open(chat), message)
        if not said.mine:
            raise Impossible("customers edit what they wrote themselves")
        return said

    def _edited(self, said: Said) -> int:
        said.wire["edit_date"] = int(self._world.now())
        return self._tell(said, "edited_message")

    def react(self, chat: int, message: int, emoji: str, *, who: int = BUDI["id"]) -> int:
        """React with an emoji, or with none; gives the update's id."""
        found = self._open(chat)
        said = self._there(found, message)
        user = self._person(found, who)
        before, after = said.reactions.get(who, []), [emoji] if emoji else []
        said.reactions[who] = after
        self._world.show(said)
        if found.connection:
            return 0  # bots are told of those in their own chats only
        return self._updates.tell(
            "message_reaction",
            {
                "chat": found.wire,
                "message_id": message,
                "user": user,
                "date": int(self._world.now()),
                "old_reaction": [{"type": "emoji", "emoji": one} for one in before],
                "new_reaction": [{"type": "emoji", "emoji": one} for one in after],
            },
        )

    def press(self, chat: int, message: int, data: str, *, who: int = BUDI["id"]) -> tuple[str, int]:
        """Press a button of a keyboard; gives the callback query's id and the update's."""
        found = self._open(chat)
        said = self._there(found, message)
        rows = said.wire.get("reply_markup", {}).get("inline_keyboard", [])
        if data not in [button.get("callback_data") for row in rows for button in row]:
            raise Impossible("this message has no such button")
        query = str(secrets.randbelow(10**18) + 10**18)
        said.pressed[query], said.toast = data, ""
        self._world.show(said)
        given = self._updates.tell(
            "callback_query",
            {
                "id": query,
                "from": self._person(found, who),
                "message": said.wire,
                "chat_instance": str(abs(found.id) + 10**17),
                "data": data,
            },
        )
        return query, given

    # --- what is done to chats -------------------------------------------------------------------------------

    def shut(self, chat: int, *, on: bool = True, who: int = BUDI["id"]) -> int:
        """Block the bot or let it in again; in a group: throw it out, take it in. Gives the update's id."""
        found = self._world.chat(chat)
        if found.connection:
            raise Impossible("who writes to a business has no bot to block")
        if found.shut == on:
            raise Impossible("it is so already")
        found.shut = on
        self._world.show_chats()
        gone = {"user": BOT, "status": "kicked", "until_date": 0}
        there = {"user": BOT, "status": "member"}
        return self._updates.tell(
            "my_chat_member",
            {
                "chat": found.wire,
                "from": self._person(found, found.id if found.is_private else who),
                "date": int(self._world.now()),
                "old_chat_member": there if on else gone,
                "new_chat_member": gone if on else there,
            },
        )

    def migrate(self, chat: int, *, who: int = BUDI["id"]) -> int:
        """Let a group become a supergroup, under another id; gives that id."""
        found = self._open(chat)
        if found.wire["type"] != "group":
            raise Impossible("only a group becomes a supergroup")
        new = -1000000000000 - secrets.randbelow(10**9) - 10**9
        wire = {"id": new, "type": "supergroup", "title": found.wire["title"]}
        self._world.chats[new] = Chat(wire, found.people)
        user = self._person(found, who)
        old_end = self._world.put(found, user, {"migrate_to_chat_id": new})
        found.moved_to = new
        new_begin = self._world.put(self._world.chats[new], user, {"migrate_from_chat_id": found.id})
        self._world.show_chats()
        for said in (old_end, new_begin):
            self._tell(said)
        return new

    def open_topic(self, chat: int, name: str, *, who: int = BUDI["id"]) -> int:
        """Open a topic in a forum; gives its id."""
        found = self._open(chat)
        if not found.wire.get("is_forum") or not name.strip() or len(name) > 128:
            raise Impossible("only a forum has topics, and they have names of at most 128 characters")
        topic = found.last_id + 1  # the id of the message that says so
        found.topics[topic] = name
        created = {"forum_topic_created": {"name": name, "icon_color": 0x6FB9F0}}
        said = self._world.put(found, self._person(found, who), created, topic=topic)
        self._world.show_chats()
        self._tell(said)
        return topic

    # --- who and where ----------------------------------------------------------------------------------------

    def _open(self, chat: int) -> Chat:
        found = self._world.chats.get(chat)
        if found is None or found.moved_to:
            raise Impossible("there is no such chat")
        if found.shut:
            raise Impossible("the bot is blocked here; unblock it first")
        return found

    def _there(self, chat: Chat, message: int) -> Said:
        said = self._world.find(chat.id, message)
        if said is None:
            raise Impossible("there is no such message")
        return said

    def _person(self, chat: Chat, who: int) -> dict[str, Any]:
        for one in chat.people:
            if one["id"] == who:
                return one
        if chat.is_private:
            return chat.people[0]
        raise Impossible("this person is not in the chat")


def _words(name: str, text: str) -> dict[str, Any]:
    """Give a text or a caption, with what Telegram marks in it by itself."""
    marks = found_entities(text)
    return {name: text, ENTITIES[name]: marks} if marks else {name: text}


def _answering(said: Said, topic: int) -> dict[str, Any]:
    """Say what is answered: from another topic of a forum it is an external reply.

    Source: Bot API 10.1, "ExternalReplyInfo"; tdlib/telegram-bot-api 10.0, JsonExternalReplyInfo, read 2026-11-29.
    """
    wire = said.wire
    if wire.get("message_thread_id", 0) == topic or not wire["chat"].get("is_forum"):
        return {"reply_to_message": quoted(said)}
    origin = {"type": "user", "date": wire["date"], "sender_user": wire["from"]}
    held = {key: wire[key] for key in ("photo", "voice", "document", "sticker", "location", "venue") if key in wire}
    return {"external_reply": {"origin": origin, "chat": wire["chat"], "message_id": wire["message_id"], **held}}
