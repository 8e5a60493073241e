"""An address as it may stand in an envelope: checked once more, whoever gave it, and its domain in ASCII."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = r"[^\s\x00-\x20\x7f-\x9f@<>\"(),:;\\\[\]]"
_QUOTED = r"\"[^\"\\\x00-\x1f\x7f-\x9f]{1,62}\""
# RFC 5321, 4.1.2 and 4.5.3.1; RFC 6531, 3.3: local parts may hold any letters. No control characters anywhere: what
# stands here is written into a command and into headers.
_MAILBOX = re.compile(rf"({_WORD}{{1,64}}|{_QUOTED})@({_WORD}{{1,255}}|\[[0-9A-Za-z:.]{{1,60}}\])")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address that can be written to."""

    value: str  # the domain in ASCII

    @property
    def is_ascii(self) -> bool:
        """Say whether every server can take it; what is not needs SMTPUTF8."""
        return self.value.isascii()


def mailbox(value: str) -> Mailbox | None:
    """Read an address; None where it is none. An international domain becomes its ASCII form (RFC 5891)."""
    found = _MAILBOX.fullmatch(value)
    if found is None:
        return None
    if value.isascii():
        return Mailbox(value)
    try:
        return Mailbox(f"{found[1]}@{found[2].encode('idna').decode()}")
    except UnicodeError:
        return None
