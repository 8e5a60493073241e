"""What Meta says became of a message of ours.

Sources: Cloud API, webhooks reference, "Status messages" (updated 2026-05-21), read 2026-11-22; On-Premises API,
"Webhooks", for `deleted` and `warning`, which the Cloud API has not sent for years.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from talkwire import (
    AccountNotice,
    Change,
    ChangeKind,
    Item,
    Report,
    State,
    Unreachable,
    Unreadable,
    WindowShut,
)

from .errors import meaning
from .values import Json, complaint, line, moment, needed, objects, person, text

_STATES = {
    "sent": State.SENT,
    "delivered": State.DELIVERED,  # never comes where the chat is open: `read` says it too
    "read": State.READ,
    "played": State.READ,  # of voice notes
    "failed": State.FAILED,
}


def status(value: Json, to: str, received: datetime) -> Iterable[Item]:
    """Give the report that a status is.

    It names the part twice: by Meta's id, and by our own key in `biz_opaque_callback_data`, which settles a part of
    which we never heard the id.

    Errors: `Unreadable`.
    """
    word = needed(value, "status", "status.")
    at = moment(value.get("timestamp"), received)
    state = _STATES.get(word)
    if state is None:
        yield _older(word, value, to, at)
        return
    key = text(value, "biz_opaque_callback_data")
    external_id = needed(value, "id", "status.") if not key else text(value, "id")
    if state is not State.FAILED:
        yield Report(state=state, at=at, external_id=external_id, key=key, to=to)
        return
    code, reason = next(map(explained, objects(value, "errors")), ("", ""))
    means = meaning(int(code)) if code.isdecimal() else None
    yield Report(
        state=state,
        at=at,
        external_id=external_id,
        key=key,
        code=code,
        reason=reason,
        window_shut=isinstance(means, WindowShut),
        unreachable=isinstance(means, Unreachable),
        to=to,
    )


def explained(error: Json) -> tuple[str, str]:
    """Give code and words of an error, in our words where we know what must be done."""
    code, words = complaint(error)
    return code, line(str(meaning(int(code), words)) if code.isdecimal() else words)


def _older(word: str, value: Json, to: str, at: datetime) -> Item:
    if word == "warning":
        words = "; ".join(filter(None, (complaint(one)[1] for one in objects(value, "errors"))))
        said = words or "a product in a message of ours is not in the catalogue"
        return AccountNotice(code="status.warning", text=line(f"WhatsApp warns: {said}", 200), at=at, to=to)
    if word == "deleted":
        who = person(text(value, "recipient_id"), text(value, "recipient_user_id"))
        if who is None:
            raise Unreadable("status deleted: nobody is named")
        message = needed(value, "id", "status.")
        return Change(
            kind=ChangeKind.REVOKE, external_id=message, address=who, at=at, change_id=f"gone:{message}", to=to
        )
    known = word if word.isidentifier() and len(word) <= 40 else "?"
    raise Unreadable(f'status "{known}": not one that Talkwire knows')
