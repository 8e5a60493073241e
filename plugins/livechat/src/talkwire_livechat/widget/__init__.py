"""The script that a page loads: readable sources, joined into one file that nothing else is needed for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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
SETTINGS_LINE = "const SETTINGS = null;"  # head.js has it once, on a line of its own


def script(settings: Mapping[str, object]) -> bytes:
    """Give the widget's script for one account, in UTF-8.

    *form*: `settings` is what `SETTINGS` in the protocol says; it may hold no secret, everybody can read it.
    """
    text = json.dumps(settings, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return _joined().replace(SETTINGS_LINE, f"const SETTINGS = {text};", 1).encode()


@cache
def _joined() -> str:
    style = f"const STYLE = {json.dumps(_without_comments_css((FOLDER / 'style.css').read_text('utf-8')))};"
    parts = [_without_comments_js((FOLDER / name).read_text("utf-8")) for name in SOURCES]
    return "\n".join(["(() => {", '"use strict";', parts[0], style, *parts[1:], "})();", ""])


def _without_comments_js(source: str) -> str:
    """Take away indentation and lines that hold nothing but a comment; no literal of ours goes over two lines."""
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _without_comments_css(source: str) -> str:
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    return "".join(line.strip() for line in source.splitlines())
