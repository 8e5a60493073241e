"""What Meta says of the business account, its numbers and its templates.

Source: Cloud API, webhooks reference, pages of each field, read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from talkwire import AccountNotice

from .values import Json, inner, line, objects, text

_LONGEST = 200  # characters, as many as the core tells


def notice(
    field: str, value: Json, at: datetime, to: str, *, business: str, is_sure: bool, is_late: bool
) -> AccountNotice | None:
    """Give what a field other than those of messages says, in plain words; None: nothing that a person must know.

    `business` is the account at Meta that it is said of; only where `is_sure` that it is that of `to`, it breaks anything.
    What `is_late` breaks nothing either: if it still holds, Meta's answer to the next message says so.

    Not told are `history`, `smb_app_state_sync` and `smb_message_echoes` (what was written in the Business app, where
    somebody of the business saw it; it is no customer's), groups' doings, and whatever is new.
    """
    said = _FIELDS.get(field)
    if said is None:
        return None
    event = text(value, "event") or text(value, "decision")
    words, broken = said(event, value)
    if broken and not is_sure:
        words += f" (said of business account {business[:40] or '?'}, which need not be this account's)"
        broken = False
    elif broken and is_late:
        words += f" (said on {at:%Y-%m-%d at %H:%M} UTC; it may be over)"
        broken = False
    code = f"{field}.{event.lower()}" if event else field
    return AccountNotice(code=code[:100], text=line(words, _LONGEST), at=at, broken=broken, to=to)


Said = tuple[str, bool]  # words for a person; whether the account cannot work until somebody acts


def _plain(word: str) -> str:
    """Write a word of Meta's as people do: `PENDING_DELETION` is "pending deletion"."""
    return word.replace("_", " ").lower()


def _template(value: Json) -> str:
    name, language = text(value, "message_template_name") or "?", text(value, "message_template_language")
    return f'template "{name}"' + (f" ({language})" if language else "")


def _template_status(event: str, value: Json) -> Said:
    reason, other = text(value, "reason"), inner(value, "other_info")
    why = text(other, "description") or text(inner(value, "rejection_info"), "reason")
    reason = why or ("" if reason in ("", "NONE") else _plain(reason))
    return f"The {_template(value)} is now {_plain(event) or 'changed'}" + (f": {reason}" if reason else ""), False


def _template_quality(_: str, value: Json) -> Said:
    before, now = text(value, "previous_quality_score"), text(value, "new_quality_score")
    return f"The quality of the {_template(value)} went from {_plain(before) or '?'} to {_plain(now) or '?'}", False


def _template_category(_: str, value: Json) -> Said:
    before, now = text(value, "previous_category"), text(value, "new_category") or text(value, "correct_category")
    return (
        f"The {_template(value)} went from {_plain(before) or '?'} to {_plain(now) or '?'}, which may cost more",
        False,
    )


def _shown(value: Json) -> str:
    return text(value, "display_phone_number") or text(value, "phone_number")


def _number(value: Json) -> str:
    shown = _shown(value)
    return f"+{shown.lstrip('+')}" if shown else "a number of this business"


def _number_quality(event: str, value: Json) -> Said:
    limit = text(value, "max_daily_conversations_per_business") or text(value, "current_limit")
    now = f"; its limit is now {_plain(limit)}" if limit else ""
    return f"WhatsApp changed the standing of {_number(value)}: {_plain(event) or 'unknown'}{now}", False


def _number_name(event: str, value: Json) -> Said:
    reason = text(value, "rejection_reason")
    why = "" if reason in ("", "NONE") else f": {_plain(reason)}"
    return f"The name that customers see of {_number(value)} was {_plain(event) or 'looked at'}{why}", False


def _account_update(event: str, value: Json) -> Said:
    restrictions = objects(value, "restriction_info")
    kinds = {text(one, "restriction_type") for one in restrictions}
    until = next(filter(None, (text(one, "expiration") for one in restrictions)), "")
    ban, violation = inner(value, "ban_info"), text(inner(value, "violation_info"), "violation_type")
    state = text(ban, "waba_ban_state")
    match event:
        case "DISABLED_UPDATE" if state == "DISABLE":
            return "WhatsApp has disabled this business account: nothing is sent; appeal in Business Support Home", True
        case "DISABLED_UPDATE" if state == "REINSTATE":
            return "WhatsApp has enabled this business account again; resume the account", False
        case "DISABLED_UPDATE":
            return (
                f"WhatsApp will disable this business account on {text(ban, 'waba_ban_date') or 'a day to come'}",
                False,
            )
        case "ACCOUNT_RESTRICTION" if "RESTRICTED_CUSTOMER_INITIATED_MESSAGING" in kinds:
            return f"WhatsApp lets us answer nobody until {until or 'it says so'}; resume the account then", True
        case "ACCOUNT_RESTRICTION":
            what = ", ".join(sorted(_plain(kind.removeprefix("RESTRICTED_")) for kind in kinds if kind)) or "something"
            return f"WhatsApp has restricted this business account until {until or 'it says so'}: {what}", False
        case "ACCOUNT_VIOLATION":
            return (
                f"WhatsApp says that this business account broke its rules: {_plain(violation) or 'no reason'}",
                False,
            )
        case "ACCOUNT_DELETED":
            return "This WhatsApp business account was deleted: nothing is sent", True
        case "ACCOUNT_OFFBOARDED":
            # It names a number as people dial it, and an account knows its own by Meta's id alone: it may be another.
            words = f"WhatsApp took {_number(value)} off the API: nothing of it is sent until it is connected again"
            return words, not _shown(value)
        case _:
            return f"WhatsApp says of this business account: {_plain(event) or 'it changed'}", False


def _alert(event: str, value: Json) -> Said:
    about = inner(value, "alert_info") or value
    words = text(about, "alert_description") or _plain(text(about, "alert_type") or event) or "no reason"
    return f"WhatsApp warns: {words}", False


def _review(event: str, _: Json) -> Said:
    return f"WhatsApp has looked at this business account: {_plain(event) or 'no result'}", False


_FIELDS: Mapping[str, Callable[[str, Json], Said]] = {
    "account_alerts": _alert,
    "account_review_update": _review,
    "account_update": _account_update,
    "message_template_quality_update": _template_quality,
    "message_template_status_update": _template_status,
    "phone_number_name_update": _number_name,
    "phone_number_quality_update": _number_quality,
    "template_category_update": _template_category,
}
