"""What somebody wrote before, below a reply or passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping

from talkwire import Address, Message, Original

from .words import Words

_QUOTE_LIMIT = 4000  # characters of a quote below a reply: whoever wrote it has the whole of it
_QUOTED = re.compile(r"(?:> ?)+")


def person(address: Address) -> str:
    """Name somebody with an address, as mail programs do."""
    return f"{address.name} <{address.value}>" if address.name else address.value


def quote(message: Message, by: Address, words: Words) -> str:
    """Give what is answered, each line behind `>`, below a line that says who wrote it and when."""
    text = message.text
    if len(text) > _QUOTE_LIMIT:
        text = f"{text[:_QUOTE_LIMIT].rsplit(None, 1)[0]}\n[…]"
    head = words.wrote.format(at=words.moment(message.at), who=person(by))
    return "\n".join((head, *(_deeper(line) for line in text.strip("\n").split("\n"))))


def _deeper(line: str) -> str:
    if not line.strip():
        return ">"
    return f">{line}" if line.startswith(">") else f"> {line}"


def passed_on(message: Message, by: Address | None, words: Words) -> str:
    """Give a message as it is forwarded: who, when, about what, and the whole of its text."""
    whole = next((block.text for block in message.blocks if isinstance(block, Original) and block.text), message.text)
    head: Mapping[str, str] = {
        words.sender: person(by) if by else "",
        words.date: words.moment(message.at),
        words.subject: message.subject,
        words.copy: ", ".join(message.cc),
    }
    said = (f"{name}: {' '.join(value.split())}" for name, value in head.items() if value)
    return "\n".join((words.forwarded, *said, "", whole.strip("\n")))


def as_mail_quotes(text: str) -> str:
    """Write nested quotes as mail does, `>> ` for `> > `."""
    return "\n".join(_rewritten(line) for line in text.split("\n")) if ">" in text else text


def _rewritten(line: str) -> str:
    found = _QUOTED.match(line)
    if found is None:
        return line
    marks, rest = ">" * found[0].count(">"), line[found.end() :]
    return f"{marks} {rest}" if rest else marks
