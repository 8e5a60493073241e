"""What a mail has beside its text, as `Part.payload` keeps it between rendering and sending."""

from __future__ import annotations

import json
from dataclasses import dataclass

from talkwire import Part

_SUBJECT_LIMIT = 60  # characters of a subject that is made of the text's first line


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A rendered mail without its text, which is `Part.text`."""

    subject: str  # one line
    to: str = ""  # where answers go, if not to the conversation's address
    cc: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()  # ids, in the order of the draft

    def payload(self) -> str:
        """Write it as JSON; what is empty is left out."""
        said = {"subject": self.subject, "to": self.to, "cc": self.cc, "attachments": self.attachments}
        return json.dumps({name: value for name, value in said.items() if value}, ensure_ascii=False)


def letter_of(part: Part) -> Letter:
    """Read what a part keeps; one without is a mail of its text alone."""
    if not part.payload:
        return Letter(subject=first_line(part.text))
    said = json.loads(part.payload)
    return Letter(
        subject=said.get("subject", ""),
        to=said.get("to", ""),
        cc=tuple(said.get("cc", ())),
        attachments=tuple(said.get("attachments", ())),
    )


def first_line(text: str) -> str:
    """Give the beginning of a text as a subject, cut after a word; empty where there is none."""
    line = next((" ".join(line.split()) for line in text.split("\n") if line.strip()), "")
    if len(line) <= _SUBJECT_LIMIT:
        return line
    head = line[: _SUBJECT_LIMIT - 1]
    return (head.rpartition(" ")[0] or head).rstrip(" ,;:.-") + "…"
