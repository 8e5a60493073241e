"""What a widget may say: frames of protocol 1, each a JSON text of at most 64 KiB with `t`, its kind.

What is unknown in a frame is passed over, so that a widget of tomorrow may talk to a server of today.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from talkwire import Unreadable

PROTOCOL = 1
FRAME = 64 * 1024  # bytes of one frame
TEXT = 4000  # characters of one message
FILES = 10  # of one message

TOKEN_REFUSED, IDENTITY_REQUIRED, TOO_SLOW, TOO_OLD, TOO_MANY = 4001, 4003, 4008, 4009, 4029
BAD_FRAME, RESTART = 1008, 1012

_Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
_Key = Annotated[str, Field(min_length=1, max_length=64)]
_Version = Annotated[str, Field(min_length=1, max_length=64)]


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class Hello(_Frame):
    """Who is there; the first frame."""

    t: Literal["hello"]
    protocol: int
    token: Annotated[str, Field(max_length=4096, repr=False)] = ""
    identity: Annotated[str, Field(max_length=4096, repr=False)] = ""
    after: Annotated[int, Field(ge=0, le=2**31)] = 0  # the largest number that the widget holds
    fresh: bool = False  # the visitor opened the widget by hand
    language: Annotated[str, Field(max_length=35)] = ""


class ConsentGiven(_Frame):
    """The visitor agrees, or does not."""

    t: Literal["consent"]
    version: _Version
    accepted: bool


class Noticed(_Frame):
    """The notice was shown."""

    t: Literal["noticed"]
    version: _Version


class FormFilled(_Frame):
    """What the visitor wrote into the form."""

    t: Literal["form"]
    values: Annotated[dict[str, Annotated[str, Field(max_length=2000)]], Field(max_length=10, repr=False)]


class ChoiceMade(_Frame):
    """A button or a row that was pressed."""

    id: Annotated[str, Field(max_length=200)]
    title: Annotated[str, Field(max_length=1000, repr=False)]
    key: Annotated[str, Field(max_length=64)] = ""  # of the message whose button or row it is


class Said(_Frame):
    """The visitor writes; `id` makes it repeatable."""

    t: Literal["message"]
    id: _Id
    text: Annotated[str, Field(repr=False)] = ""
    files: Annotated[tuple[_Key, ...], Field(strict=False)] = ()
    choice: ChoiceMade | None = None


class Seen(_Frame):
    """Messages of ours have come, or were read."""

    t: Literal["seen"]
    keys: Annotated[tuple[_Key, ...], Field(strict=False, max_length=200)]
    state: Literal["delivered", "read"]


class Types(_Frame):
    """The visitor types, or stopped."""

    t: Literal["typing"]
    on: bool


class LinkWanted(_Frame):
    """A link to a file of a message has run out."""

    t: Literal["link"]
    attachment: _Key
    key: Annotated[str, Field(max_length=64)] = ""  # of a message of ours …
    id: Annotated[str, Field(max_length=64)] = ""  # … or the visitor's own


class Bye(_Frame):
    """The visitor ends the talk."""

    t: Literal["bye"]


class Ping(_Frame):
    """Is anybody there?"""

    t: Literal["ping"]


class Unknown(_Frame):
    """A frame of a later protocol; nothing is done with it."""

    t: str


Frame = Hello | ConsentGiven | Noticed | FormFilled | Said | Seen | Types | LinkWanted | Bye | Ping | Unknown
_KINDS: dict[str, type[_Frame]] = {
    "hello": Hello,
    "consent": ConsentGiven,
    "noticed": Noticed,
    "form": FormFilled,
    "message": Said,
    "seen": Seen,
    "typing": Types,
    "link": LinkWanted,
    "bye": Bye,
    "ping": Ping,
}
_unknown = TypeAdapter(Unknown)


def read(text: str) -> Frame:
    """Read a frame. Errors: `Unreadable`, naming the place, never the content."""
    try:
        kind = _KINDS.get(_unknown.validate_json(text).t, Unknown)
        return kind.model_validate_json(text)  # type: ignore[return-value]
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the whole"
        raise Unreadable(f"frame: {place}: {fault['msg']}") from None
    except (RecursionError, ValueError) as error:
        raise Unreadable("frame: nested too deeply, or no text") from error
