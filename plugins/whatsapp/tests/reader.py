"""WhatsApp's marks, read as a phone does, by the rules alone; shares no code with the dialect that writes them.

A sign opens where the one before it is no letter or digit and the one after it no space, closes where the one before it is no
space and the one after it no letter or digit, in one line, around at least one character. Zero-width spaces are spaces that
nobody sees. Three backticks hold whatever stands between them, a line break too.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

UNSEEN = "\u200b"


@dataclass
class Read:
    shown: str = ""  # what a person sees; bullets are •, quotes stand without their sign
    marks: list[tuple[str, str]] = field(default_factory=list)  # (kind, what stands in it)
    open: list[str] = field(default_factory=list)  # lines with a sign that opens nothing that closes


def read(text):
    found = Read()
    at = 0
    for block in re.finditer(r"```(.+?)```", text, re.DOTALL):
        _lines(text[at : block.start()], found, starts_line=text[: block.start()].count("\n") == 0 or at == 0)
        found.marks.append(("pre", block[1]))
        found.shown += block[1]
        at = block.end()
    _lines(text[at:], found, starts_line=at == 0)
    return found


def _lines(text, found, *, starts_line):
    for number, line in enumerate(text.split("\n")):
        if number:
            found.shown += "\n"
        _inline(_without_line_marks(line, found) if number or starts_line else line, found)


def _without_line_marks(line, found):
    """Take off what begins a line: quotes and bullets, also several of them."""
    while (begun := re.match(r"[ \t]*([>*-])( |$)", line)) is not None:
        line = line[begun.end() :]
        found.marks.append(("quote" if begun[1] == ">" else "item", line))
        found.shown += "" if begun[1] == ">" else "•"
    return line


SIGNS = {"*": "bold", "_": "italic", "~": "strike"}


def _inline(line, found):
    at = 0
    while at < len(line):
        sign = line[at]
        if sign == "`" and (end := line.find("`", at + 2)) > 0 and not _is_space(line[at + 1]):
            found.marks.append(("code", line[at + 1 : end]))
            found.shown += line[at + 1 : end]
            at = end + 1
        elif sign in SIGNS and _opens(line, at):
            end = _closing(line, at)
            if end is None:
                found.open.append(line)
                found.shown += sign
                at += 1
            else:
                found.marks.append((SIGNS[sign], line[at + 1 : end]))
                _inline(line[at + 1 : end], found)
                at = end + 1
        else:
            if sign == "`" and at + 1 < len(line) and not _is_space(line[at + 1]):
                found.open.append(line)
            found.shown += sign
            at += 1


def _closing(line, at):
    for end in range(at + 2, len(line)):
        if line[end] == line[at] and not _is_space(line[end - 1]) and not line[end + 1 : end + 2].isalnum():
            return end
    return None


def _opens(line, at):
    before, after = line[at - 1 : at] if at else "", line[at + 1 : at + 2]
    return not before.isalnum() and bool(after) and not _is_space(after)


def _is_space(sign):
    return sign.isspace() or sign == UNSEEN


def seen(text):
    """Give what a person sees, without what marks and cuts move about.

    That is white space, how bullets and quotes begin, and addresses in brackets: links that touch share one.
    """
    text = re.sub(r"\(https?://[^()]*\)", "", unquote(text))
    return re.sub(rf"[\s{UNSEEN}>•\ue001\ue002-]", "", text)
