"""What went wrong, as RFC 9457 problems: a status, a stable `code`, a text for a person, and what a program needs.

Unknown errors are told by an id alone; what they are stands in our log under that id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from .. import errors
from ..ids import new_id
from ..nearest import keys_at, nearest
from .shapes import AnswerOut

A = TypeVar("A", bound=web.StreamResponse)
_log = structlog.get_logger("talkwire.api")

CODES: Mapping[str, tuple[int, str]] = {  # code → status, title; codes of answers and conflicts come beside these
    "unauthenticated": (401, "Say who you are"),
    "forbidden": (403, "Your key may not do this"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "This cannot be done here"),
    "too_slow": (408, "The body did not come in time"),
    "conflict": (409, "Somebody else was first"),
    "no_answer": (409, "The conversation cannot be answered now"),
    "automatic": (409, "A machine would answer a machine"),
    "automatic_cap": (409, "A machine writes there too often"),
    "cursor_expired": (410, "The log does not hold what comes after this cursor"),
    "too_large": (413, "More bytes than we take"),
    "unsupported_media_type": (415, "Send application/json"),
    "invalid": (422, "The request is not as the documentation says"),
    "unsupported": (422, "The channel cannot carry this"),
    "refused": (422, "The reply was refused"),
    "key_reused": (422, "The idempotency key was used for another request"),
    "rate_limited": (429, "You ask too often"),
    "internal": (500, "Something broke on our side"),
    "store_down": (503, "The database does not answer"),
}


_OTHER = (409, "It cannot be done as things stand")  # a conflict that has a code of its own


class Unauthenticated(errors.TalkwireError):
    """We do not know who asks."""


class Forbidden(errors.TalkwireError):
    """Who asks may not do this."""


class WrongType(errors.TalkwireError):
    """The body is no JSON by its Content-Type."""


class TooSlow(errors.TalkwireError):
    """The body does not come."""


class RateLimited(errors.TalkwireError):
    """Who asks has to wait."""

    def __init__(self, text: str, *, after: timedelta) -> None:
        super().__init__(text)
        self.after = after


class Invalid(errors.TalkwireError):
    """The request is wrong, by rules that no model can say."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.faults: Sequence[Mapping[str, str]] = ({"path": path, "reason": reason},)


class Misfit(Invalid):
    """The request does not fit its model; every fault is named, and no value that was sent is quoted."""

    def __init__(self, model: type[BaseModel] | None, error: ValidationError, what: str = "field") -> None:
        super().__init__("", "")
        found = error.errors(include_url=False, include_input=False)
        self.faults = [
            {"path": ".".join(map(str, fault["loc"])), "reason": _reason(model, fault, what)} for fault in found
        ]


class FaultOut(BaseModel):
    """One thing that is wrong in a request."""

    path: str
    reason: str


class ProblemDetails(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    answer: AnswerOut | None = None  # with 409 where no answer is allowed
    block: int | None = None  # with `unsupported`: its position
    kind: str | None = None  # with `unsupported`: its type
    faults: tuple[FaultOut, ...] | None = None  # with `invalid`
    id: str | None = None  # with `internal`: by which the operator finds it


def response(code: str, detail: str = "", *, status: int = 0, **more: Any) -> web.Response:
    """Make a problem of a known code, or of another one with its status."""
    known_status, title = CODES.get(code) or (CODES["no_answer"] if "answer" in more else _OTHER)
    status = status or known_status
    said = {"type": f"urn:talkwire:problem:{code}", "title": title, "status": status, "code": code, "detail": detail}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}.get(status)
    answer = web.Response(
        body=to_json({**said, **more}), status=status, content_type="application/problem+json", headers=headers
    )
    if status == 408:
        answer.force_close()  # the rest of the body may come yet
    return unstored(answer)


def unstored(answer: A) -> A:
    """Let nobody on the way keep an answer or take it for something else: it is for one key only."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def of(error: BaseException) -> web.Response:
    """Say what an error means to the caller."""
    text = str(error)
    match error:
        case errors.NoAnswer():
            return response(error.code, text, answer=AnswerOut.model_validate(error.answer).model_dump(mode="json"))
        case errors.Unsupported():
            return response("unsupported", text, block=error.block, kind=error.kind)
        case errors.ReplyError():
            return response(error.code, text)
        case errors.Conflict():
            return response(error.code, text, status=409)
        case ValidationError():  # of a plugin's own model
            return of(Misfit(None, error))
        case web.RequestPayloadError():
            return response("invalid", faults=[{"path": "body", "reason": "it cannot be read to its end"}])
        case Invalid():
            return response("invalid", faults=error.faults)
        case RateLimited():
            answer = response("rate_limited", text)
            answer.headers["Retry-After"] = whole_seconds(error.after)
            return answer
        case errors.NoSuchPage():
            return response("invalid", faults=[{"path": "cursor", "reason": text}])
        case errors.NothingAnswered():
            return response("invalid", faults=[{"path": "reply_to", "reason": text.removeprefix("reply_to: ")}])
        case errors.StoreDown():
            return response("store_down", "Try again.")  # its text is for the operator
        case web.HTTPException():
            return response({404: "not_found", 405: "method_not_allowed"}.get(error.status, "too_large"))
    for kind, code in _CODE_OF.items():
        if isinstance(error, kind):
            return response(code, text)
    return unknown(error)


def whole_seconds(wait: timedelta) -> str:
    """Give a time as `Retry-After` has it; never too short."""
    return str(max(1, math.ceil(wait.total_seconds())))


_CODE_OF: Mapping[type[Exception], str] = {
    Unauthenticated: "unauthenticated",
    Forbidden: "forbidden",
    WrongType: "unsupported_media_type",
    TooSlow: "too_slow",
    errors.NotFound: "not_found",
    errors.HistoryGone: "cursor_expired",
    errors.TooLarge: "too_large",
}


def unknown(error: BaseException) -> web.Response:
    """Put an error that nobody expected into the log, and tell the caller its id."""
    id_ = new_id()
    # The text may quote what it choked on: only the kind and the place are logged.
    _log.error("request failed", id=id_, kind=type(error).__name__, place=errors.line_of(error))
    return response("internal", "Tell your operator this id.", id=id_)


def _reason(model: type[BaseModel] | None, fault: Mapping[str, Any], what: str) -> str:
    name, place = str(fault["loc"][-1]) if fault["loc"] else "", fault["loc"][:-1]
    match fault["type"]:
        case "extra_forbidden":
            return f"there is no such {what} here{nearest(name, keys_at(model, place)) if model else ''}"
        case "union_tag_invalid":
            return f"unknown type; write one of {fault['ctx']['expected_tags']}"
        case "union_tag_not_found":
            return "it has no type"
    return errors.in_our_words(fault["msg"])
