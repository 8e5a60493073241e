"""How a draft becomes what a channel can say."""

from .blocks import blocks_from_json, blocks_to_json
from .dialect import PLAIN, Dialect
from .html import html, sanitise
from .parse import to_json
from .plain import plain, plain_text
from .rendering import render
from .splitting import length, segments, split

__all__ = [
    "PLAIN",
    "Dialect",
    "blocks_from_json",
    "blocks_to_json",
    "html",
    "length",
    "plain",
    "plain_text",
    "render",
    "sanitise",
    "segments",
    "split",
    "to_json",
]
