"""What Meta's error codes mean: what the sender must do, and words for the person who must act.

The code counts; titles, texts and the HTTP status change (but 429). Source: Meta, "Cloud API error codes", 2026-05-15.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Protocol

from talkwire import (
    AccountBroken,
    Refused,
    SendError,
    TryLater,
    Uncertain,
    Unreachable,
    WindowShut,
    outcome,
    retry_after,
)

WINDOW = 131047  # more than 24 hours since the customer's last message
_LONGEST_TEXT = 400  # characters of Meta's own words
_PAIR = 131056  # too many messages to one customer: wait 4 ** attempts seconds
_PAIR_MOST = timedelta(hours=1)
_NOT_OURS = 33  # code or subcode: there is no such number, or the token may not see it
_SETTING = "accounts.NAME."  # where words name a setting


class Answer(Protocol):
    """An HTTP answer of Meta's, read whole."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...

    def text(self) -> str: ...
    def json(self) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one code asks for."""

    kind: type[SendError]
    words: str = ""  # for a person; empty: Meta's own
    scope: str = "address"  # of TryLater: who has to wait
    after: timedelta | None = None  # of TryLater; None: the core's own back-off
    attempts: int | None = None  # of TryLater: after so many it is refused; None: as long as the core tries


def _all(codes: Iterable[int], meaning: Meaning) -> dict[int, Meaning]:
    return dict.fromkeys(codes, meaning)


_TOKEN = "Meta refused the access token{why}: make a new one for the system user, put it into accounts.NAME.token"  # noqa: S105
_LATER = Meaning(kind=TryLater)
_NUMBER = Meaning(kind=TryLater, scope="account")
_LONG = Meaning(kind=TryLater, scope="account", after=timedelta(hours=1))
_NO = Meaning(kind=Refused)

TABLE: Mapping[int, Meaning] = {
    # Meta had trouble of its own, and did not take it.
    **_all((1, 2, 131000, 131016, 131057, 133004), _LATER),
    135000: Meaning(kind=TryLater, attempts=1),
    **_all((131052, 131053), Meaning(kind=TryLater, attempts=3)),  # a file could not be fetched
    # Too much at once: who waits, how long.
    **_all((4, 80007, 130429), _NUMBER),
    _PAIR: _LATER,
    **_all((613, 131048, 131064, 133016), _LONG),
    # Nothing goes before a person acts.
    0: Meaning(kind=AccountBroken, words=_TOKEN.format(why="")),
    190: Meaning(kind=AccountBroken, words=_TOKEN.format(why="")),
    **_all(
        (3, 10, *range(200, 300), 131005),
        Meaning(
            kind=AccountBroken,
            words="the token may not send for this number: give the system user the number with full control, "
            "and the app the permissions whatsapp_business_messaging and whatsapp_business_management",
        ),
    ),
    368: Meaning(kind=AccountBroken, words="Meta has blocked the business account for a while: see WhatsApp Manager"),
    131031: Meaning(kind=AccountBroken, words="Meta has locked the business account: see WhatsApp Manager"),
    131037: Meaning(kind=AccountBroken, words="the number has no approved display name: see WhatsApp Manager"),
    131042: Meaning(kind=AccountBroken, words="Meta cannot charge: set up a payment method in WhatsApp Manager"),
    131044: Meaning(kind=AccountBroken, words="Meta cannot charge: set up a payment method in WhatsApp Manager"),
    131045: Meaning(kind=AccountBroken, words="the number's certificate is wrong: register the number again"),
    133010: Meaning(kind=AccountBroken, words="the number is not registered for the Cloud API: register it"),
    _NOT_OURS: Meaning(
        kind=AccountBroken,
        words="Meta knows no such number, or the token may not see it: compare accounts.NAME.phone_number_id "
        "with the API setup in WhatsApp Manager",
    ),
    # No to this message.
    **_all((100, 131008, 131009, 131051, 132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016), _NO),
    **_all((132068, 132069, 130497, 130472, 131049, 131050, 131062, 137000), _NO),
    131021: Meaning(kind=Refused, words="this is our own number"),
    131030: Meaning(
        kind=Refused, words="a test number sends only to the numbers that are listed for it in WhatsApp Manager"
    ),
    131026: Meaning(kind=Unreachable),  # not on WhatsApp, an app that is too old, terms not agreed to
}
_TOKEN_WHY = {463: ", it has expired", 467: ", it is not valid any more"}


def is_window(code: int) -> bool:
    """Say whether a code says that the customer's window is closed."""
    return code == WINDOW


def meaning(code: int, text: str = "", *, subcode: int = 0, attempt: int = 1, account: str = "") -> SendError:
    """Give the error that a code of Meta's stands for; `text` is what Meta says beside it.

    `attempt`, from 1, is how often this part was tried: some codes are worth a few tries only. A code that is not in the
    table is a no to this message. Where `account` is empty, the words hold no command, for it could not be typed.
    """
    name = str(code)
    said = text[:_LONGEST_TEXT] or f"Meta's error {name}"
    if is_window(code):
        return WindowShut(said, code=name)
    if code == 100 and subcode == _NOT_OURS:
        code = _NOT_OURS
    found = TABLE.get(code, _NO)
    words = found.words or said
    if code in (0, 190):
        words = _TOKEN.format(why=_TOKEN_WHY.get(subcode, ""))
    if found.kind is TryLater:
        if found.attempts is not None and attempt > found.attempts:
            return Refused(words, code=name)
        after = min(timedelta(seconds=4**attempt), _PAIR_MOST) if code == _PAIR else found.after
        return TryLater(words, after=after, scope=found.scope, code=name)
    if found.kind is AccountBroken:
        words = words.replace(_SETTING, f"accounts.{account}." if account else "its ")
        words += f"; then: talkwire accounts resume {account}" if account else ""
    return found.kind(words, code=name)


def check(answer: Answer, *, attempt: int = 1, hide: str = "", account: str = "") -> Any:
    """Give what a yes of Meta's holds. Errors: what its no means; `Uncertain` where it is neither.

    A 5xx is a no only where its code, or `is_transient`, says that nothing was taken. `hide` is a secret that Meta may
    repeat in its words.
    """
    error = _error_of(answer)
    if error is None:
        outcome(answer)
        return answer.json()
    code, text = _number(error.get("code")), _words(error, hide)
    subcode = _number(error.get("error_subcode"))
    found = meaning(code, text, subcode=subcode, attempt=attempt, account=account)
    passes = isinstance(found, TryLater)
    if error.get("is_transient") is True and not passes and not isinstance(found, AccountBroken):
        raise TryLater(text, code=str(code))
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        after = retry_after(answer.headers) or getattr(found, "after", None)
        raise TryLater(str(found), after=after, scope=getattr(found, "scope", "account"), code=str(code))
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not passes:
        raise Uncertain(f"HTTP {answer.status}: {found}", code=str(code))
    raise found


def _error_of(answer: Answer) -> Mapping[str, Any] | None:
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, dict) else None


def _number(value: Any) -> int:
    return value if isinstance(value, int) else int(value) if isinstance(value, str) and value.isdecimal() else -1


def _words(error: Mapping[str, Any], hide: str) -> str:
    data = error.get("error_data")
    told = (error.get("message"), data.get("details") if isinstance(data, dict) else None)
    text = ": ".join(dict.fromkeys(str(one) for one in told if one))
    return (text.replace(hide, "…") if hide else text)[:_LONGEST_TEXT]
