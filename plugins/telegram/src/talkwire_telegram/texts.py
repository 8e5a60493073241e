"""Text as it came, with the addresses that Telegram shows only to whoever taps on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .values import Entity

_DEEP = 50  # rich text within rich text; deeper lies nothing that a person wrote
_MOST = 100  # links of a text; Telegram keeps no more entities


def readable(text: str, entities: Sequence[Entity]) -> str:
    """Give a text, each hidden link with its address behind it: `our shop (https://shop.example)`.

    All other entities (bold, spoilers, mentions, …) say nothing that the text does not. Offsets count UTF-16 code
    units; one that lies outside the text, or ends within a character, is left out.

    Source: Bot API 10.1, "MessageEntity", read 2026-11-28.
    """
    links = [one for one in entities if one.type == "text_link" and one.url][:_MOST]
    if not links:
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    for link in sorted(links, key=lambda one: (one.offset + one.length, one.offset), reverse=True):
        end = 2 * (link.offset + link.length)
        shown = raw[2 * link.offset : end].decode("utf-16-le", "surrogatepass")
        splits = 0xDC <= next(iter(raw[end + 1 : end + 2]), 0) <= 0xDF  # the second half of one character comes next
        if end <= len(raw) and not splits and shown.strip() and shown.strip().rstrip("/") != link.url.rstrip("/"):
            raw = raw[:end] + f" ({link.url})".encode("utf-16-le", "surrogatepass") + raw[end:]
    return raw.decode("utf-16-le", "surrogatepass")


def rich_text(blocks: Any) -> str:
    """Give the text of a rich message, a line for each of its blocks.

    Source: Bot API 10.1, "RichMessage", "RichBlock", "RichText", read 2026-11-28.
    """
    return "\n".join(line for line in _lines(blocks, 0) if line.strip())


def _lines(blocks: Any, depth: int) -> Iterable[str]:
    for block in _list(blocks) if depth < _DEEP else ():
        if not isinstance(block, dict):
            continue
        for key in ("summary", "text", "expression"):
            if key in block:
                yield _words(block[key], depth)
        for row in _list(block.get("cells")):
            yield " | ".join(_words(cell.get("text"), depth) for cell in _list(row) if isinstance(cell, dict))
        for item in _list(block.get("items")):
            if isinstance(item, dict):
                inner = "\n".join(_lines(item.get("blocks"), depth + 1))
                yield f"{_words(item.get('label'), depth)} {inner}".strip()
        yield from _lines(block.get("blocks"), depth + 1)
        caption = block.get("caption")
        if caption is not None:
            yield _words(caption.get("text") if isinstance(caption, dict) and "type" not in caption else caption, depth)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(said: Any, depth: int) -> str:
    if depth > _DEEP:
        return ""
    if isinstance(said, str):
        return said
    if isinstance(said, list):
        return "".join(_words(one, depth + 1) for one in said)  # a text in parts
    if isinstance(said, dict):
        words = _words(said.get("text", said.get("alternative_text", said.get("expression"))), depth + 1)
        url = said.get("url")
        return f"{words} ({url})" if isinstance(url, str) and url.rstrip("/") != words.rstrip("/") else words
    return ""


__all__ = ["readable", "rich_text"]
