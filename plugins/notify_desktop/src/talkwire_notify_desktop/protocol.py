"""What a surface may say: the frames of PROTOCOL.md. What is unknown in a frame is passed over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from talkwire import Notification, Unreadable

PROTOCOL = 1
FRAME = 64 * 1024  # bytes of one frame
ACTIONS = 4  # buttons of one notification

_Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
_Code = Annotated[str, Field(max_length=40, pattern=r"^[a-z_]*$")]
Name = Annotated[str, Field(max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class Hello(_Frame):
    """Who is there; the first frame."""

    type: Literal["hello"]
    protocol: int
    surface: _Id
    kind: Literal["page", "native"]
    device: Name = ""
    key: Annotated[str, Field(max_length=200, repr=False)] = ""
    able: bool = False
    why_not: _Code = ""
    showing: Annotated[tuple[_Id, ...], Field(max_length=500, strict=False)] = ()


class Able(_Frame):
    """Whether it can show notifications has changed."""

    type: Literal["able"]
    able: bool
    why_not: _Code = ""


class Focused(_Frame):
    """How somebody looks at it."""

    type: Literal["focus"]
    state: Literal["focused", "visible", "idle", "hidden"]


class Showed(_Frame):
    """A notification can be seen."""

    type: Literal["shown"]
    id: _Id


class Refused(_Frame):
    """A notification could not be shown."""

    type: Literal["refused"]
    id: _Id
    why: _Code = ""


class Answered(_Frame):
    """A button was pressed."""

    type: Literal["answered"]
    id: _Id
    action: Annotated[str, Field(min_length=1, max_length=200)]


class Seen(_Frame):
    """A notification's body was clicked."""

    type: Literal["seen"]
    id: _Id


class Dismissed(_Frame):
    """A notification was closed by the person."""

    type: Literal["dismissed"]
    id: _Id


class Unknown(_Frame):
    """A frame of a later protocol; nothing is done with it."""

    type: str


Frame = Hello | Able | Focused | Showed | Refused | Answered | Seen | Dismissed | Unknown
_KINDS: dict[str, type[_Frame]] = {
    "hello": Hello,
    "able": Able,
    "focus": Focused,
    "shown": Showed,
    "refused": Refused,
    "answered": Answered,
    "seen": Seen,
    "dismissed": Dismissed,
}
_unknown = TypeAdapter(Unknown)


def read(text: str) -> Frame:
    """Read a frame. Errors: `Unreadable`, naming the place, never the content."""
    try:
        kind = _KINDS.get(_unknown.validate_json(text).type, Unknown)
        return kind.model_validate_json(text)  # type: ignore[return-value]
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the whole"
        raise Unreadable(f"frame: {place}: {fault['msg']}") from None
    except (RecursionError, ValueError) as error:
        raise Unreadable("frame: nested too deeply, or no text") from error


def show(notification: Notification) -> dict[str, Any]:
    """Make what surfaces are told of a notification; never when it lapses."""
    return {
        "id": notification.id,
        "tag": f"talkwire-{notification.id}",
        "title": notification.title,
        "text": notification.text,
        "details": [{"label": detail.label, "value": detail.value} for detail in notification.details],
        "actions": [{"id": option.id, "label": option.title} for option in notification.actions[:ACTIONS]],
        "opens": [option.id for option in notification.actions[:ACTIONS] if option.id in notification.opens],
        "style": notification.style.value,
        "kind": notification.kind,
        "conversation": notification.conversation,
        "account": notification.account,
    }
