"""What a message holds beside text, in Talkwire's blocks.

    photo, video, voice, sticker, …      a file that lies with Telegram (RemoteMedia)
    contact · location, venue            ContactCard · Location
    poll, dice, order, web app, …        Other: one line for a person, and Telegram's value
    what is answered elsewhere, a quote  Other, before what is said
    somebody joined, a title changed, …  nothing: it was said to the chat, not to us
    what we do not know, or cannot read  Other, with Telegram's value

Source: Bot API 10.1, "Message" and the types it names, read 2026-11-28.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import Field

from talkwire import Block, ContactCard, Location, Other, Payload, RemoteMedia, Unreadable

from .texts import rich_text
from .values import name_of

_RAW_LIMIT = 64 * 1024  # bytes of `Other.raw`
_LINE = 300  # characters of a line for a person


class File(Payload):
    """A file that lies with Telegram: under each key its fields are the same, if it has them."""

    file_id: str = Field(min_length=1)  # the same file may have another one each time
    file_unique_id: str = ""  # stays with the file, and fetches nothing
    file_size: int | None = None  # bytes
    file_name: str = ""
    mime_type: str = ""


class Size(Payload):
    """One size of a photo."""

    file_id: str = Field(min_length=1)
    file_unique_id: str = ""
    width: int
    height: int
    file_size: int | None = None


class Sticker(File):
    """A sticker: a picture, an animation of Telegram's own (`.tgs`), or a video."""

    is_animated: bool = False
    is_video: bool = False
    emoji: str = ""


class Contact(Payload):
    """Somebody's telephone number."""

    phone_number: str
    first_name: str = ""
    last_name: str = ""
    vcard: str = ""


class Point(Payload):
    """A place, or where somebody is for a while."""

    latitude: float
    longitude: float
    live_period: int | None = None  # seconds; None: they do not go on telling


class Venue(Payload):
    """A place with a name."""

    location: Point
    title: str
    address: str


# Fields of a message that say who, where, when and how, not what.
_ABOUT = frozenset(
    [
        *("message_id", "message_thread_id", "direct_messages_topic", "from", "sender_chat", "sender_boost_count"),
        *("sender_business_bot", "sender_tag", "date", "guest_query_id", "business_connection_id", "chat"),
        *("forward_origin", "is_topic_message", "is_automatic_forward", "reply_to_message", "external_reply", "quote"),
        *(
            "reply_to_story",
            "reply_to_checklist_task_id",
            "reply_to_poll_option_id",
            "via_bot",
            "guest_bot_caller_user",
        ),
        *("guest_bot_caller_chat", "edit_date", "has_protected_content", "is_from_offline", "is_paid_post"),
        *("media_group_id", "author_signature", "paid_star_count", "text", "entities", "link_preview_options"),
        *("suggested_post_info", "effect_id", "caption", "caption_entities", "show_caption_above_media"),
        *("has_media_spoiler", "reply_markup"),
        # of older versions, beside `forward_origin`
        *("forward_from", "forward_from_chat", "forward_from_message_id", "forward_signature", "forward_sender_name"),
        *("forward_date",),
    ]
)
# What Telegram says to everybody in a chat: nobody wrote it, and nobody waits for an answer to it.
_TO_THE_CHAT = frozenset(
    [
        *("new_chat_members", "left_chat_member", "chat_owner_left", "chat_owner_changed", "new_chat_title"),
        *("new_chat_photo", "delete_chat_photo", "group_chat_created", "supergroup_chat_created"),
        *("channel_chat_created", "message_auto_delete_timer_changed", "pinned_message", "boost_added"),
        *("chat_background_set", "direct_message_price_changed", "forum_topic_created", "forum_topic_edited"),
        *("forum_topic_closed", "forum_topic_reopened", "general_forum_topic_hidden", "general_forum_topic_unhidden"),
        *("giveaway_created", "giveaway_completed", "paid_message_price_changed", "poll_option_added"),
        *("poll_option_deleted", "video_chat_scheduled", "video_chat_started", "video_chat_ended"),
        *("video_chat_participants_invited", "write_access_allowed", "connected_website", "proximity_alert_triggered"),
        *("checklist_tasks_done", "checklist_tasks_added", "managed_bot_created"),
        *("suggested_post_approved", "suggested_post_approval_failed", "suggested_post_declined"),
        *("suggested_post_paid", "suggested_post_refunded"),
        *("new_chat_member", "new_chat_participant", "left_chat_participant"),  # of older versions
        # read elsewhere
        *("migrate_to_chat_id", "migrate_from_chat_id"),
    ]
)
_NAMES = {  # of files that come without one; their type, where Telegram says none
    "animation": ("animation.mp4", "video/mp4"),
    "audio": ("audio.mp3", "audio/mpeg"),
    "document": ("document", ""),
    "live_photo": ("live_photo.mp4", "video/mp4"),
    "video": ("video.mp4", "video/mp4"),
    "video_note": ("video_note.mp4", "video/mp4"),
    "voice": ("voice.ogg", "audio/ogg"),
}
_ALSO = {"animation": "document", "venue": "location"}  # Telegram fills in the second for readers that know only that


def contents(message: Mapping[str, Any]) -> tuple[str, tuple[Block, ...], bool]:
    """Give (text beyond `text` and `caption`, blocks, whether anybody said anything).

    Never raises: what cannot be read is shown as it is.
    """
    keys = [key for key in message if key not in _ABOUT and message[key] is not None]
    for key, other in _ALSO.items():
        if key in keys and other in keys:
            keys.remove(other)
    said = [key for key in keys if key not in _TO_THE_CHAT]
    known = [key for key in said if key in _READ or key == "rich_message"]
    if known or message.get("text") or len(said) < len(keys):
        said = known  # a message says one thing: what is new beside it says more about that, and is no thing of its own
    blocks: list[Block] = []
    if (origin := message.get("forward_origin")) is not None:
        blocks.append(Other(kind="forward_origin", text=_cut(f"Forwarded{_origin(origin)}"), raw=_raw(origin)))
    blocks += _elsewhere(message)
    text = ""
    for key in said:
        value = message[key]
        if key == "rich_message":
            text = rich_text(value.get("blocks")) if isinstance(value, Mapping) else ""
            blocks += [] if text else [_unknown(key, value)]
            continue
        try:
            blocks += _READ.get(key, _shown)(key, value)
        except (Unreadable, ValueError, TypeError, LookupError, AttributeError):
            blocks.append(_unknown(key, value))
    if (story := message.get("reply_to_story")) is not None:
        poster = name_of(story.get("chat")) if isinstance(story, Mapping) else ""
        blocks.append(
            Other(kind="reply_to_story", text=_cut(f"About the story of {poster or 'somebody'}"), raw=_raw(story))
        )
    is_said = bool(said or blocks or message.get("text") or message.get("caption"))
    if not is_said and not keys:
        return "", (Other(kind="empty", text="A message without content"),), True
    return text, tuple(blocks), is_said


def _elsewhere(message: Mapping[str, Any]) -> Iterable[Block]:
    """Say what is answered where it is no message of this chat, and what is quoted.

    A quote that Telegram made by itself says no more than the answered message, if that is one of this chat.
    Source: Bot API 10.1, "ExternalReplyInfo", "TextQuote", read 2026-11-29.
    """
    answered, quote = message.get("external_reply"), message.get("quote")
    if answered is not None:
        said = answered if isinstance(answered, Mapping) else {}
        what = next((f" ({key.replace('_', ' ')})" for key in said if key in _READ), "")
        words = f"In answer to a message{_origin(said.get('origin'))}{what}"
        yield Other(kind="external_reply", text=_cut(words), raw=_raw(answered))
    said = quote if isinstance(quote, Mapping) else {}
    if quote is not None and (answered is not None or said.get("is_manual")):
        quoted = said.get("text")
        words = f"Quotes: {quoted}" if isinstance(quoted, str) else "Quotes a message"
        yield Other(kind="quote", text=_cut(words), raw=_raw(quote))


def _file(key: str, value: Any) -> Iterable[Block]:
    file = File.read(value)
    name, media_type = _NAMES[key]
    yield _remote(file, file.file_name or name, file.mime_type or media_type)


def _photo(_key: str, value: Any) -> Iterable[Block]:
    sizes = [Size.read(one) for one in value]
    largest = max(sizes, key=lambda one: (one.width * one.height, one.file_size or 0))
    yield _remote(largest, "photo.jpg", "image/jpeg")


def _sticker(_key: str, value: Any) -> Iterable[Block]:
    sticker = Sticker.read(value)
    name, media_type = "sticker.webp", "image/webp"
    if sticker.is_animated:
        name, media_type = "sticker.tgs", "application/x-tgsticker"
    elif sticker.is_video:
        name, media_type = "sticker.webm", "video/webm"
    yield _remote(sticker, name, media_type, caption=sticker.emoji)


def _remote(file: File | Size, name: str, media_type: str, *, caption: str = "") -> RemoteMedia:
    handle = json.dumps({"file_id": file.file_id, "size": file.file_size}, separators=(",", ":"))
    size = file.file_size if file.file_size is not None and 0 <= file.file_size < 2**53 else None
    return RemoteMedia(
        handle=handle,
        name=name,
        media_type=media_type,
        size=size,
        caption=caption,
        fingerprint=file.file_unique_id,
    )


def _contact(_key: str, value: Any) -> Iterable[Block]:
    contact = Contact.read(value)
    name = f"{contact.first_name} {contact.last_name}".strip()
    emails = [
        line.partition(":")[2].strip()
        for line in contact.vcard.splitlines()
        if line.upper().split(":")[0].split(";")[0].rpartition(".")[2] == "EMAIL"
    ]
    yield ContactCard(name=name, phones=(contact.phone_number,), emails=tuple(filter(None, emails)))


def _location(_key: str, value: Any) -> Iterable[Block]:
    point = Point.read(value)
    name = "Live location" if point.live_period else ""
    yield Location(latitude=point.latitude, longitude=point.longitude, name=name)


def _venue(_key: str, value: Any) -> Iterable[Block]:
    venue = Venue.read(value)
    point = venue.location
    yield Location(latitude=point.latitude, longitude=point.longitude, name=venue.title, address=venue.address)


def _paid_media(key: str, value: Any) -> Iterable[Block]:
    media = value["paid_media"] if isinstance(value, dict) else []
    yield Other(kind=key, text=f"{len(media)} files for {value['star_count']} Telegram Stars", raw=_raw(value))
    for one in media:
        kind = str(one.get("type"))
        if kind in _READ and kind in one:
            yield from _READ[kind](kind, one[kind])


def _lines(words: Callable[[Any], str]) -> Callable[[str, Any], Iterable[Block]]:
    def read(key: str, value: Any) -> Iterable[Block]:
        yield Other(kind=key, text=_cut(words(value)), raw=_raw(value))

    return read


def _poll(poll: Any) -> str:
    return f"Poll: {poll['question']} ({', '.join(str(option['text']) for option in poll['options'])})"


def _checklist(checklist: Any) -> str:
    return f"Checklist: {checklist['title']} ({', '.join(str(task['text']) for task in checklist['tasks'])})"


def _paid(payment: Any) -> str:
    return f"Paid {payment['total_amount']} {payment['currency']} (in its smallest unit)"


def _shared(shared: Any) -> str:
    names = [name_of(user) or str(user["user_id"]) for user in shared["users"]]
    return f"Shared: {', '.join(names)}"


def _origin(origin: Any) -> str:
    if not isinstance(origin, Mapping):
        return ""
    name = next((name for key in ("sender_user", "sender_chat", "chat") if (name := name_of(origin.get(key)))), "")
    name = name or str(origin.get("sender_user_name") or "")
    return f" from {name}" if name else ""


def _shown(key: str, value: Any) -> Iterable[Block]:
    yield _unknown(key, value)


def _unknown(key: str, value: Any) -> Other:
    words = key.replace("_", " ")[:60]
    return Other(kind=key[:60], text=f"Something that only Telegram shows ({words})", raw=_raw(value))


def _raw(value: Any) -> str:
    try:
        text = json.dumps(value, separators=(",", ":"))
    except RecursionError:
        return ""
    return text if len(text) <= _RAW_LIMIT else ""


def _cut(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


_READ: dict[str, Callable[[str, Any], Iterable[Block]]] = {
    **dict.fromkeys(_NAMES, _file),
    "photo": _photo,
    "sticker": _sticker,
    "contact": _contact,
    "location": _location,
    "venue": _venue,
    "paid_media": _paid_media,
    "poll": _lines(_poll),
    "checklist": _lines(_checklist),
    "dice": _lines(lambda dice: f"{dice['emoji']} {dice['value']}"),
    "game": _lines(lambda game: f"Game: {game['title']}"),
    "story": _lines(lambda story: f"A story of {name_of(story['chat']) or 'somebody'}"),
    "invoice": _lines(lambda invoice: f"Invoice: {invoice['title']}"),
    "successful_payment": _lines(_paid),
    "refunded_payment": _lines(lambda payment: f"{_paid(payment)}, and got it back"),
    "users_shared": _lines(_shared),
    "chat_shared": _lines(lambda shared: f"Shared the chat {shared.get('title') or shared['chat_id']}"),
    "gift": _lines(lambda gift: f"A gift. {gift.get('text') or ''}"),
    "gift_upgrade_sent": _lines(lambda _: "A gift was made a unique one"),
    "unique_gift": _lines(lambda unique: f"A gift: {unique['gift']['name']}"),
    "giveaway_winners": _lines(lambda giveaway: f"{giveaway['winner_count']} won a giveaway"),
    "passport_data": lambda key, _: [Other(kind=key, text="Documents of Telegram Passport, which we do not open")],
    "giveaway": _lines(lambda giveaway: f"A giveaway with {giveaway['winner_count']} winners"),
    "web_app_data": _lines(lambda data: f"{data['button_text']}: {data['data']}"),
}

__all__ = ["contents"]
