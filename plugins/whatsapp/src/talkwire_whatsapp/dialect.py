"""How WhatsApp writes bold, quotes and lists, and how a text stays a text where no sign can be escaped.

A sign (`*`, `_`, `~`, a backtick) opens a mark where no word stands before it and no space after it, and closes one where no
space stands before it and no word after it, in the same line. There is no escape character: a zero-width space behind
a sign takes its effect away. So no sign of a text is left that could open a mark, and a mark of ours stands only around
a text without a sign of its own that could close it (`Dialect.only_at_borders`).

Source: WhatsApp Help Center "How to format your messages" and what other senders do, collected 2026-11-22; that an
address is not read for marks is not documented, so its signs are written in another way.
"""

from __future__ import annotations

import re

from talkwire import Dialect

NO_MARK = "\u200b"  # zero-width space

_RISKY = re.compile(
    r"(?P<address>https?://\S+|\bwww\.[A-Za-z0-9]\S*"
    # … or a host with a path: phones make a link of `shop.example/a`, too
    r"|(?<![^\W_])(?<![@.-])(?:[^\W_](?:[^\W_]|-)*\.)+[^\W\d_]{2,24}(?::[0-9]{1,5})?/\S*)"
    r"|^[ \t]*[-*>](?=\s|\Z)"  # would begin a list or a quote
    r"|(?<![A-Za-z0-9])[*_~](?!\s)"  # would open a mark; behind a letter of another script it may be one, who knows
    r"|`(?!\s)",
    re.MULTILINE | re.IGNORECASE,
)
_ANY_SIGN = re.compile(r"[*_~`]|^[ \t]*[->]", re.MULTILINE)  # most texts have none, and need no closer look
_IN_ADDRESS = re.compile(r"(?<![A-Za-z0-9])[*_~]|`")


def escape(text: str) -> str:
    """Write a plain text so that nothing in it is a mark; what is seen stays the same.

    In an address a sign that could be a mark is percent-encoded, which leads to the same place (RFC 3986, 2.3 and 6.2.2).
    """
    return _RISKY.sub(_guarded, text) if _ANY_SIGN.search(text) else text


def _guarded(found: re.Match[str]) -> str:
    risky = found[0]
    if found["address"]:
        return _IN_ADDRESS.sub(lambda sign: f"%{ord(sign[0]):02X}", risky)
    return risky + NO_MARK


WHATSAPP = Dialect(
    name="whatsapp",
    bold=("*", "*"),
    italic=("_", "_"),
    strike=("~", "~"),
    code=("`", "`"),
    pre=("```", "```"),
    quote="> ",
    bullet="- ",
    escape=escape,
    only_at_borders=True,
    unseen=NO_MARK,
    spans_lines=False,
)
