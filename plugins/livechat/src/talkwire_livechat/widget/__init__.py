"""The script that a page loads: readable sources, joined and packed into one file that nothing else is needed for."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
# In the order in which they are joined: each uses only what stands above it, but in functions.
SOURCES = (
    "head.js",
    "words.js",
    "nodes.js",
    "rich.js",
    "keep.js",
    "line.js",
    "talk.js",
    "log.js",
    "composer.js",
    "gate.js",
    "box.js",
)
SETTINGS_PLACE = "SETTINGS=null"  # as head.js says it, packed
TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)|(?P<space>\s+)|(?P<literal>"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\\n])*`)|(?P<word>[\w$]+)|(?P<sign>.)"""
)
PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")  # a regular expression
OURS = re.compile(r"[a-z]+(_[a-z0-9]+)+")
THEIRS = frozenset({"media_type", "on_colour", "retry_after"})  # of the protocol
BEFORE_PATTERN = frozenset("(=,:!&|?{};[")  # after anything else, a slash divides


def script(settings: Mapping[str, object]) -> bytes:
    """Give the widget's script for one account, in UTF-8.

    *form*: `settings` is what `SETTINGS` in the protocol says; it may hold no secret, everybody can read it.
    """
    text = json.dumps(settings, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return _joined().replace(SETTINGS_PLACE, f"SETTINGS={text}", 1).encode()


@cache
def _joined() -> str:
    style = json.dumps(packed_style((FOLDER / "style.css").read_text("utf-8")), ensure_ascii=False)
    source = "\n".join((FOLDER / name).read_text("utf-8") for name in SOURCES)
    return f'(()=>{{"use strict";const STYLE={style};{packed(source)}}})();\n'


def packed(source: str) -> str:
    """Take comments, needless space and long names out of a script.

    *form*: each statement ends in a semicolon, no literal goes over two lines, and comments begin with two slashes.
    A name with an underscore that is not in quotes is nobody's but ours (a browser has none), or one of `THEIRS`.
    """
    pieces: list[str] = []
    words = list(_tokens(source))
    ours = Counter(word for word in words if OURS.fullmatch(word) and word not in THEIRS)
    assert not [name for name in ours if f'"{name}"' in words], "a name is ours alone, or it is in quotes"
    short = {name: f"${place:x}" for place, (name, _) in enumerate(ours.most_common())}
    for word in (short.get(word, word) for word in words):
        last = pieces[-1][-1] if pieces else ""
        # Two words need a space between them, and `a + +b` is not `a++b`.
        if (_is_word(last) and _is_word(word[0])) or (last in "+-" and last == word[0]):
            pieces.append(" ")
        pieces.append(word)
    return "".join(pieces)


def packed_style(source: str) -> str:
    """Take comments and needless space out of a style sheet."""
    source = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL))
    return re.sub(r" ?([{};,>]) ?", r"\1", source).replace(": ", ":").replace(";}", "}").strip()


def _tokens(source: str) -> Iterator[str]:
    place, last = 0, ";"
    while place < len(source):
        found = PATTERN.match(source, place) if last in BEFORE_PATTERN and source[place : place + 2] != "//" else None
        kind = "sign"
        if found is None:
            found = TOKEN.match(source, place)
            assert found is not None, source[place : place + 40]
            kind = str(found.lastgroup)
        place = found.end()
        if kind not in {"comment", "space"}:
            last = found.group()[-1]
            yield found.group()


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter in {"_", "$"}
