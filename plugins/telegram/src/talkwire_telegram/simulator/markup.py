"""What Telegram asks of formatted text and of keyboards, stricter than Telegram where that shows our mistakes.

Telegram mends some of what is refused here (it trims entities and leaves out crossing ones); a mistake of ours would
then be seen by nobody but the customer.

Sources: Bot API 10.1, "Formatting options", "MessageEntity", "InlineKeyboardButton".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from .refusal import bad

TEXT_LIMIT = 4096  # UTF-16 code units
CAPTION_LIMIT = 1024  # UTF-16 code units
DATA_LIMIT = 64  # bytes of a button's data
BUTTONS = 100  # in one keyboard; not documented, Telegram answers "reply markup is too long" (tdlib, ReplyMarkup.cpp)

_ALONE = {"code", "pre"}  # hold no other entity, and lie in quotes only
_QUOTES = {"blockquote", "expandable_blockquote"}  # hold no other of them
_KINDS = _ALONE | _QUOTES | {"bold", "italic", "underline", "strikethrough", "spoiler", "text_link", "text_mention"}
_KINDS |= {"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "custom_emoji", "date_time"}
_ACTIONS = {"url", "callback_data", "web_app", "login_url", "switch_inline_query", "copy_text", "callback_game", "pay"}
_ACTIONS |= {"switch_inline_query_current_chat", "switch_inline_query_chosen_chat"}


def units(text: str) -> int:
    """Count UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def checked_entities(text: str, entities: Any) -> list[dict[str, Any]]:
    """Give the entities of a text, in order. Errors: `Refusal` with "can't parse entities"."""
    if entities is None:
        return []
    if not isinstance(entities, list) or not all(isinstance(one, dict) for one in entities):
        raise _unparsed("an array of objects is expected")
    edges = _edges(text)
    for one in entities:
        _check(one, edges)
    found: list[dict[str, Any]] = sorted(
        entities, key=lambda one: (one["offset"], -one["length"], one["type"] in _ALONE)
    )
    _check_nesting(found)
    return found


def _edges(text: str) -> set[int]:
    """Give the offsets at which a character begins or the text ends."""
    edges, at = {0}, 0
    for char in text:
        at += 2 if char > "\uffff" else 1
        edges.add(at)
    return edges


def _check(one: dict[str, Any], edges: set[int]) -> None:
    kind, offset, length = one.get("type"), one.get("offset"), one.get("length")
    if kind not in _KINDS:
        raise _unparsed(f"unsupported entity type {kind!r}")
    if type(offset) is not int or type(length) is not int or offset < 0 or length < 1:
        raise _unparsed(f"{kind} has no place")
    if offset not in edges or offset + length not in edges:
        raise _unparsed(f"{kind} at {offset} with length {length} is outside of the text or splits a character")
    if kind == "text_link" and not _is_url(one.get("url")):
        raise _unparsed("text_link has no valid URL")
    if kind == "text_mention" and not isinstance(one.get("user"), dict):
        raise _unparsed("text_mention has no user")


def _check_nesting(found: Sequence[dict[str, Any]]) -> None:
    """Let entities lie in one another as the documentation allows, and never cross."""
    around: list[dict[str, Any]] = []
    for one in found:
        while around and around[-1]["offset"] + around[-1]["length"] <= one["offset"]:
            around.pop()
        if around and one["offset"] + one["length"] > around[-1]["offset"] + around[-1]["length"]:
            raise _unparsed(f"{one['type']} crosses {around[-1]['type']}")
        for outer in around:
            if outer["type"] in _ALONE or (one["type"] in _ALONE and outer["type"] not in _QUOTES):
                raise _unparsed(f"{outer['type']} holds {one['type']}")
            if {one["type"], outer["type"]} <= _QUOTES:
                raise _unparsed(f"{outer['type']} holds another {one['type']}")
        around.append(one)


def _unparsed(why: str) -> Exception:
    return bad(f"can't parse entities: {why}")


def checked_keyboard(markup: Any) -> dict[str, Any] | None:
    """Give an inline keyboard; None for none. Errors: `Refusal`."""
    if markup is None:
        return None
    if not isinstance(markup, dict):
        raise bad("object expected as reply markup")
    if "inline_keyboard" not in markup:
        return None  # keyboards of the other kind show nothing in the chat
    rows = markup["inline_keyboard"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad('field "inline_keyboard" must be of type Array')
    for button in (button for row in rows for button in row):
        _check_button(button)
    if sum(len(row) for row in rows) > BUTTONS:
        raise bad("reply markup is too long")
    rows = [row for row in rows if row]
    return {"inline_keyboard": rows} if rows else None


def _check_button(button: Any) -> None:
    if not isinstance(button, dict):
        raise bad("can't parse inline keyboard button: object expected")
    text = button.get("text")
    if not isinstance(text, str) or not text.strip():
        raise bad("can't parse inline keyboard button: text of the button is empty")
    if len(_ACTIONS & button.keys()) != 1:
        raise bad("can't parse inline keyboard button: text buttons are unallowed in the inline keyboard")
    data = button.get("callback_data", "-")
    if not isinstance(data, str) or not 1 <= len(data.encode("utf-8", "surrogatepass")) <= DATA_LIMIT:
        raise bad("BUTTON_DATA_INVALID")
    if "url" in button and not _is_url(button["url"]):
        raise bad("inline keyboard button URL is invalid")


def _is_url(value: Any) -> bool:
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f]", value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    if parts.scheme in ("tg", "mailto", "tel"):
        return True
    return parts.scheme in ("http", "https", "ton") and "." in (parts.hostname or "")


def found_entities(text: str) -> list[dict[str, Any]]:
    """Mark what Telegram itself marks in a customer's text: commands, addresses of pages and of mailboxes."""
    kinds = {
        "bot_command": r"(?<!\S)/[A-Za-z][A-Za-z0-9_]{0,31}(?:@\w+)?",
        "url": r"https?://[^\s<>\"]*[^\s<>\".,;:!?)]",
        "email": r"(?<!\S)[\w.+-]+@[\w-]+\.[\w.-]+\w",
    }
    found = [
        {"type": kind, "offset": units(text[: one.start()]), "length": units(one[0])}
        for kind, pattern in kinds.items()
        for one in re.finditer(pattern, text)
    ]
    return sorted(found, key=lambda one: int(str(one["offset"])))
