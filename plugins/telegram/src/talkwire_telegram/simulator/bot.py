"""The methods of the Bot API that the simulator has, and what they change in its world.

Source: Bot API 10.1, each method under its own name; the words of refusals as Telegram's own server says them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from .asked import Asked, Uploaded
from .files import FETCH_LIMIT, PHOTO_LIMIT, UPLOAD_LIMIT, File, Files, size_of_picture
from .markup import CAPTION_LIMIT, TEXT_LIMIT, checked_entities, checked_keyboard, units
from .rates import Counter
from .refusal import Refusal, bad
from .world import BOT, OWNER, Chat, Said, World, quoted

TOAST_LIMIT = 200  # characters of the answer to a pressed button
FOLDERS = {"photo": "photos", "voice": "voice", "video": "videos", "audio": "music"}
ACTIONS = {"typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document"}
ACTIONS |= {"choose_sticker", "find_location", "record_video_note", "upload_video_note"}
REACTIONS = set(
    "👍👎🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣🍌🏆💔🤨😐🍓🍾💋🖕😈😴😭🤓👻🙈😇😨🤝🤗🫡🎅🎄☃💅🤪🗿🆒💘🙉🦄😘💊🙊😎👾😡"
)
REACTIONS |= {"❤", "⚡", "❤‍🔥", "👨‍💻", "✍", "🤷‍♂", "🤷", "🤷‍♀"}  # Bot API, "ReactionTypeEmoji"
_SIDES = 10_000  # pixels of a photo's width and height together
_RATIO = 20  # of a photo's longer side to its shorter


class Bot:
    """What a bot can do."""

    def __init__(self, world: World, files: Files, counter: Counter, faults: set[str]) -> None:
        self._world = world
        self._files = files
        self._counter = counter
        self._faults = faults
        self.methods: dict[str, Callable[[Asked], Any]] = {  # in lower case, as Telegram compares them
            "getme": self.get_me,
            "sendmessage": self.send_message,
            "sendlocation": self.send_location,
            "sendvenue": self.send_venue,
            "sendcontact": self.send_contact,
            "sendmediagroup": self.send_media_group,
            "sendchataction": self.send_chat_action,
            "editmessagetext": self.edit_message_text,
            "editmessagecaption": self.edit_message_caption,
            "editmessagereplymarkup": self.edit_message_reply_markup,
            "deletemessage": self.delete_message,
            "readbusinessmessage": self.read_business_message,
            "deletebusinessmessages": self.delete_business_messages,
            "answercallbackquery": self.answer_callback_query,
            "setmessagereaction": self.set_message_reaction,
            "getfile": self.get_file,
        }
        for kind in ("photo", "document", "video", "audio", "voice", "animation"):
            self.methods[f"send{kind}"] = self._sends(kind)

    def get_me(self, _: Asked) -> dict[str, Any]:
        """Say who the bot is."""
        sees_all = "privacy" not in self._faults
        return {
            **BOT,
            "can_join_groups": True,
            "can_read_all_group_messages": sees_all,
            "supports_inline_queries": False,
        }

    # --- new messages --------------------------------------------------------------------------------------

    def send_message(self, asked: Asked) -> dict[str, Any]:
        """Write a text."""
        chat, extra, topic = self._place(asked)
        content = self._text(asked)
        return self._write(chat, {**content, **extra}, topic)

    def _text(self, asked: Asked) -> dict[str, Any]:
        if asked.text("parse_mode"):
            raise bad("the simulator knows no parse_mode; send entities")
        text = asked.text("text")
        entities = self._entities(text, asked.thing("entities"))
        if not text.strip():
            raise bad("message text is empty")
        if units(text) > TEXT_LIMIT:
            raise bad("message is too long")
        return {"text": text, **({"entities": entities} if entities else {})}

    def _entities(self, text: str, entities: Any) -> list[dict[str, Any]]:
        if entities and "markup" in self._faults:
            raise bad("can't parse entities: the simulator was told not to")
        return checked_entities(text, entities)

    def _caption(self, values: Asked | dict[str, Any]) -> dict[str, Any]:
        if isinstance(values, Asked):
            values = {"caption": values.text("caption"), "caption_entities": values.thing("caption_entities")}
        caption = str(values.get("caption") or "")
        entities = self._entities(caption, values.get("caption_entities"))
        if units(caption) > CAPTION_LIMIT:
            raise bad("message caption is too long")
        return {} if not caption else {"caption": caption, **({"caption_entities": entities} if entities else {})}

    def _sends(self, kind: str) -> Callable[[Asked], dict[str, Any]]:
        def send(asked: Asked) -> dict[str, Any]:
            chat, extra, topic = self._place(asked)
            content = self._medium(kind, asked.file(kind), asked.values)
            return self._write(chat, {**content, **self._caption(asked), **extra}, topic)

        return send

    def _medium(self, kind: str, given: Uploaded | str, about: dict[str, Any]) -> dict[str, Any]:
        """Keep what came, or find what lies here already; gives the message's content."""
        if isinstance(given, str):
            file = self._files.get(given)
            if not given:
                raise bad(f"there is no {kind} in the request")
            if file is None and re.match(r"https?://", given):
                raise bad("failed to get HTTP URL content")  # the simulator goes nowhere
            if file is None:
                raise bad("wrong file identifier/HTTP URL specified")
        else:
            file = self._uploaded(kind, given)
        known = {name: about[name] for name in ("width", "height", "duration", "title", "performer") if name in about}
        numbers = {key: int(value) for key, value in known.items() if key in ("width", "height", "duration")}
        words = {key: str(value) for key, value in known.items() if key not in numbers}
        wire = {**file.wire(), "mime_type": file.media_type}
        match kind:
            case "photo":
                return self._photo(file)
            case "voice":
                return {"voice": {**wire, "duration": numbers.get("duration", 1)}}
            case "audio":
                return {"audio": {**wire, "duration": numbers.get("duration", 1), "file_name": file.name, **words}}
            case "video" | "animation":
                look = {"width": 640, "height": 360, "duration": 1} | numbers
                same = {"document": {**wire, "file_name": file.name}} if kind == "animation" else {}
                return {kind: {**wire, **look, "file_name": file.name}, **same}
            case _:
                return {"document": {**wire, "file_name": file.name}}

    def _uploaded(self, kind: str, given: Uploaded) -> File:
        size = len(given.content)
        if size == 0:
            raise bad("file must be non-empty")
        if size > UPLOAD_LIMIT:
            raise Refusal(413, "Request Entity Too Large")
        if kind == "photo" and size > PHOTO_LIMIT:
            raise bad("file is too big")
        if kind == "photo":
            sides = size_of_picture(given.content)
            if sides is None:
                raise bad("IMAGE_PROCESS_FAILED")
            if sum(sides) > _SIDES or max(sides) > _RATIO * min(sides):
                raise bad("PHOTO_INVALID_DIMENSIONS")
        return self._files.keep(given.content, name=given.name, media_type=given.media_type)

    def _photo(self, file: File) -> dict[str, Any]:
        wide, high = size_of_picture(file.content) or (1, 1)
        return {"photo": [{**file.wire(), "width": wide, "height": high}]}

    def send_location(self, asked: Asked) -> dict[str, Any]:
        """Show a point."""
        chat, extra, topic = self._place(asked)
        return self._write(chat, {"location": _point(asked), **extra}, topic)

    def send_venue(self, asked: Asked) -> dict[str, Any]:
        """Show a place with its name."""
        chat, extra, topic = self._place(asked)
        place = {"location": _point(asked), "title": asked.text("title"), "address": asked.text("address")}
        if not place["title"] or not place["address"]:
            raise bad("VENUE_TITLE_INVALID")
        return self._write(chat, {"location": place["location"], "venue": place, **extra}, topic)

    def send_contact(self, asked: Asked) -> dict[str, Any]:
        """Show how somebody is reached."""
        chat, extra, topic = self._place(asked)
        contact = {"phone_number": asked.text("phone_number"), "first_name": asked.text("first_name")}
        if not all(contact.values()):
            raise bad("phone number and first name must be non-empty")
        return self._write(chat, {"contact": contact, **extra}, topic)

    def send_media_group(self, asked: Asked) -> list[dict[str, Any]]:
        """Show several files as an album."""
        media = asked.thing("media")
        if not isinstance(media, list) or not 2 <= len(media) <= 10 or not all(isinstance(one, dict) for one in media):
            raise bad("media group must have between 2 and 10 items")
        kinds = {str(one.get("type")) for one in media}
        if not kinds <= {"photo", "video", "audio", "document"} or (kinds & {"audio", "document"} and len(kinds) > 1):
            raise bad("these kinds of media cannot be one album")
        chat, extra, topic = self._place(asked, messages=len(media))
        group = str(secrets.randbelow(10**17) + 10**16)
        contents = [
            {**self._medium(one["type"], asked.attached(str(one.get("media", ""))), one), **self._caption(one)}
            for one in media
        ]
        return [self._write(chat, {**one, **extra, "media_group_id": group}, topic) for one in contents]

    def _place(self, asked: Asked, messages: int = 1) -> tuple[Chat, dict[str, Any], int]:
        """Find where something is to go: the chat, the answered message and the keyboard, the topic."""
        if not asked.text("chat_id"):
            raise bad("chat_id is empty")
        chat = self._reachable(asked)
        if "blocked" in self._faults:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        topic = asked.number("direct_messages_topic_id" if chat.is_direct else "message_thread_id")
        if (topic or chat.is_direct) and topic not in chat.topics:
            raise bad("message thread not found")
        extra: dict[str, Any] = {}
        answered = asked.thing("reply_parameters") or {}
        if answered:
            said = self._world.find(chat.id, int(answered.get("message_id") or 0))
            if said is not None:
                extra["reply_to_message"] = quoted(said)
            elif not answered.get("allow_sending_without_reply"):
                raise bad("message to be replied not found")
        if keyboard := checked_keyboard(asked.thing("reply_markup")):
            extra["reply_markup"] = keyboard
        self._counter.count(chat.id, is_group=not chat.is_private, messages=messages)
        return chat, extra, topic

    def _write(self, chat: Chat, content: dict[str, Any], topic: int) -> dict[str, Any]:
        if chat.connection:
            return self._world.put(chat, OWNER, {**content, "sender_business_bot": BOT}).wire
        return self._world.put(chat, BOT, content, topic=topic).wire

    def _reachable(self, asked: Asked) -> Chat:
        return self._world.reachable(asked.text("chat_id"), asked.text("business_connection_id"))

    # --- messages that are there -----------------------------------------------------------------------------

    def edit_message_text(self, asked: Asked) -> dict[str, Any]:
        """Replace a text."""
        said = self._own(asked)
        if "text" not in said.wire:
            raise bad("there is no text in the message to edit")
        return self._edited(asked, said, self._text(asked), ("text", "entities"))

    def edit_message_caption(self, asked: Asked) -> dict[str, Any]:
        """Replace a caption."""
        said = self._own(asked)
        if "text" in said.wire:
            raise bad("there is no caption in the message to edit")
        return self._edited(asked, said, self._caption(asked), ("caption", "caption_entities"))

    def edit_message_reply_markup(self, asked: Asked) -> dict[str, Any]:
        """Replace the keyboard."""
        return self._edited(asked, self._own(asked), {}, ())

    def _edited(self, asked: Asked, said: Said, content: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        new = {key: value for key, value in said.wire.items() if key not in (*names, "reply_markup")} | content
        if keyboard := checked_keyboard(asked.thing("reply_markup")):
            new["reply_markup"] = keyboard
        if new == said.wire:
            raise bad(
                "message is not modified: specified new message content and reply markup are exactly the same "
                "as a current content and reply markup of the message"
            )
        said.wire = {**new, "edit_date": int(self._world.now())}
        self._world.show(said)
        return said.wire

    def _own(self, asked: Asked, what: str = "edit") -> Said:
        chat = self._reachable(asked)
        said = self._world.find(chat.id, asked.number("message_id"))
        if said is None:
            raise bad(f"message to {what} not found")
        if said.mine and what == "edit":
            raise bad("message can't be edited")
        return said

    def delete_message(self, asked: Asked) -> bool:
        """Take a message away."""
        said = self._own(asked, "delete")
        said.gone = True
        self._world.show(said)
        return True

    def read_business_message(self, asked: Asked) -> bool:
        """Show a customer of a business that their messages up to this one were read."""
        said = self._own(asked, "read")
        if not said.mine or "business_connection_id" not in said.wire:
            raise bad("message to read not found")
        for one in self._world.said.values():
            if one.mine and one.wire["chat"] is said.wire["chat"] and one.wire["message_id"] <= said.wire["message_id"]:
                one.read = True
                self._world.show(one)
        return True

    def delete_business_messages(self, asked: Asked) -> bool:
        """Take messages of a business account away."""
        connection, numbers = asked.text("business_connection_id"), asked.thing("message_ids")
        if not isinstance(numbers, list) or not 1 <= len(numbers) <= 100:
            raise bad("message identifiers are not specified")
        found = [self._world.find(chat.id, one) for chat in self._world.of(connection) for one in numbers]
        for said in filter(None, found):
            said.gone = True
            self._world.show(said)
        return True

    def set_message_reaction(self, asked: Asked) -> bool:
        """React to a message; with an empty list no longer."""
        chat = self._world.reachable(asked.text("chat_id"))
        said = self._world.find(chat.id, asked.number("message_id"))
        if said is None:
            raise bad("message to react not found")
        wanted = asked.thing("reaction") or []
        emoji = [one.get("emoji", "") for one in wanted if isinstance(one, dict)]
        if len(emoji) > 1 or not set(emoji) <= REACTIONS:
            raise bad("REACTION_INVALID")
        said.reactions[BOT["id"]] = emoji
        self._world.show(said)
        return True

    def answer_callback_query(self, asked: Asked) -> bool:
        """Let a pressed button rest."""
        text, query = asked.text("text"), asked.text("callback_query_id")
        if len(text) > TOAST_LIMIT:
            raise bad("MESSAGE_TOO_LONG")
        for said in self._world.said.values():
            if query in said.pressed:
                del said.pressed[query]
                said.toast = text
                self._world.show(said)
                return True
        raise bad("query is too old and response timeout expired or query ID is invalid")

    def send_chat_action(self, asked: Asked) -> bool:
        """Say above the chat what the bot is about to do."""
        chat = self._reachable(asked)
        if chat.is_direct:
            raise bad("direct messages to a channel show no chat action")  # documented; the words are ours
        action = asked.text("action")
        if action not in ACTIONS:
            raise bad("wrong parameter action in request")
        chat.doing = action
        self._world.show_chats()
        return True

    def get_file(self, asked: Asked) -> dict[str, Any]:
        """Say where a file can be fetched."""
        file = self._files.get(asked.text("file_id"))
        if file is None:
            raise bad("wrong file_id or the file is temporarily unavailable")
        if file.size > FETCH_LIMIT or "large" in self._faults:
            raise bad("file is too big")
        family = file.media_type.partition("/")[0]
        folder = FOLDERS.get({"image": "photo"}.get(family, family), "documents")
        return {**file.wire(), "file_path": self._files.path(file, folder)}


def _point(asked: Asked) -> dict[str, float]:
    place = {"latitude": asked.point("latitude"), "longitude": asked.point("longitude")}
    if not (-90 <= place["latitude"] <= 90 and -180 <= place["longitude"] <= 180):
        raise bad("can't parse location")
    return place
