"""What a mail server's no means, as the error that says what the caller must do.

The enhanced code tells more than the basic one, and goes before it. Sources: RFC 5321, 4.2; RFC 3463 and IANA's registry of
enhanced status codes; what only one provider says is marked. Read 2026-11-28.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum

from talkwire import AccountBroken, Refused, SendError, TryLater, Unreachable

GREYLISTED = timedelta(minutes=5)  # the least that servers want to wait who do not know us yet (RFC 6647, 5)
_LONGEST = timedelta(hours=1)  # between two attempts at such a server
_QUOTA = timedelta(hours=1)  # until we ask again where the account has sent its share of the day
_RELAY_TRIES = 5  # attempts at a server that does not relay for us "for now", as Postfix says by default for ever
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_WORDS = 300  # characters of the server's own words that are kept
_TEMPORARY, _FINAL = 400, 500

_GONE = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10"})  # no such mailbox, no such domain, moved, takes no mail at all
_FULL = frozenset({"2.2"})
_TOO_LARGE = frozenset({"3.4", "2.3"})
_SENDER = frozenset({"1.7", "1.8", "7.60"})  # our own address is not taken; 7.60: Microsoft 365, SendAsDenied
_SIGN_IN = frozenset(
    {"7.8", "7.9", "7.11", "7.14", "7.30", "7.57", "7.139"}
)  # 7.30, 7.57, 7.139: Microsoft 365, 7.14: Gmail
_SIGN_IN_CODES = frozenset({530, 534, 535, 538})
_GREY_CODES = frozenset({450, 451})
_RELAY = (454, "7.1")
_OUR_SHARE = "4.5"  # Gmail: daily sending limit; the number itself means congestion


class Stage(StrEnum):
    """What the server said no to."""

    SENDER = "MAIL FROM"
    RECIPIENT = "RCPT TO"
    CONTENT = "DATA"


def meaning(code: int, words: str, stage: Stage, *, attempt: int, fix: str) -> SendError:
    """Say what an answer of 4xx or 5xx means; `fix` is what a person does where our sign-in is at fault."""
    found = _ENHANCED.match(words)
    enhanced = f"{found[1]}.{found[2]}.{found[3]}" if found else ""
    detail = enhanced[2:]
    is_final = enhanced.startswith("5") if enhanced[:1] in ("4", "5") else code >= _FINAL
    text = f"the mail server said {code} {' '.join(words.split())[:_WORDS]}".rstrip()
    name = enhanced or str(code)
    if code in _SIGN_IN_CODES or (is_final and detail in _SIGN_IN):
        return AccountBroken(f"{text}. {fix}", code=name)
    if is_final and (detail in _SENDER or (stage is Stage.SENDER and not _is_about_size(code, detail))):
        return AccountBroken(f"{text}. It does not take mail from this account's address. {fix}", code=name)
    if detail == _OUR_SHARE:
        return TryLater(text, after=_QUOTA, scope="account", code=name)
    if detail in _FULL:
        return TryLater(text, code=name)
    if (code, detail) == _RELAY and attempt >= _RELAY_TRIES:
        return Refused(f"{text}. It has said so {attempt} times", code=name)
    if is_final:
        if _is_about_size(code, detail):
            return Refused(f"the mail is too large for the recipient's server: {text}", code=name)
        return (Unreachable if detail in _GONE and stage is Stage.RECIPIENT else Refused)(text, code=name)
    return TryLater(
        text,
        after=patience(attempt) if detail.startswith("7.") or (code in _GREY_CODES and not detail) else None,
        scope="address" if stage is Stage.RECIPIENT or (stage is Stage.CONTENT and code != 421) else "account",
        code=name,
    )


def patience(attempt: int) -> timedelta:
    """Say how long to wait for a server that lets strangers wait: five minutes, then longer and longer."""
    return min(GREYLISTED * (1 << min(attempt - 1, 10)), _LONGEST)


def _is_about_size(code: int, detail: str) -> bool:
    return detail in _TOO_LARGE or (code == 552 and not detail)
