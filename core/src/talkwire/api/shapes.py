"""The nouns in the form in which the API takes and gives them: pydantic models, made of `model`'s dataclasses.

A state is its word, a block has its `type`, an answer names its icon; all else is as in `model`.
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, create_model, model_validator
from pydantic_core import to_json

from .. import model
from ..formatting import blocks_from_json
from ..model import Address, Attachment, Block, Draft, Level, Policy, State, type_names
from ..sections import TEMPLATE

_INBOUND_ONLY = (model.RemoteMedia, model.Original, model.Choice, model.ContactCard, model.Other)

StateWord = Annotated[
    Literal["queued", "uncertain", "accepted", "sent", "failed", "delivered", "read"],
    BeforeValidator(lambda value: value.word if isinstance(value, State) else value),
]


@cache
def shape(kind: type) -> type[BaseModel]:
    """Make the model of a dataclass, and of those inside it."""
    hints = get_type_hints(kind)
    own: dict[str, Any] = {f.name: (_shaped(hints[f.name]), _default(f)) for f in fields(kind)}
    if kind is model.Answer:
        own["icon"] = (Literal["warning"] | None, ...)
    config = ConfigDict(from_attributes=True, extra="forbid", defer_build=True)
    return create_model(kind.__name__, __config__=config, __doc__=inspect.getdoc(kind), **own)


def _shaped(hint: Any) -> Any:
    if hint is State:
        return StateWord
    if hint == Block:
        return AnyBlock
    if is_dataclass(hint):
        return shape(cast("type", hint))
    if get_origin(hint) is tuple:
        return tuple[tuple(_shaped(inner) for inner in get_args(hint))]  # type: ignore[misc]
    if get_origin(hint) in (UnionType, Union):
        return reduce(or_, (_shaped(inner) for inner in get_args(hint)))
    return hint


def _default(field: Any) -> Any:
    return ... if field.default is MISSING else field.default


_DEGREES: dict[type, dict[str, int]] = {model.Location: {"latitude": 90, "longitude": 180}}


def _block_model(kind: type) -> type[BaseModel]:
    hints = get_type_hints(kind)
    own: dict[str, Any] = {f.name: (_shaped(hints[f.name]), _default(f)) for f in fields(kind)}
    own |= {name: (Annotated[float, Field(ge=-most, le=most)], ...) for name, most in _DEGREES.get(kind, {}).items()}
    own["type"] = (Literal[type_names[kind]], ...)
    config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True, title=f"{kind.__name__}Block")
    return create_model(f"{kind.__name__}Block", __config__=config, __doc__=inspect.getdoc(kind), **own)


def _block(value: Any) -> Any:
    return {"type": type_names[type(value)], **asdict(value)} if type(value) in type_names else value


_MODELS = {kind: _block_model(kind) for kind in type_names}
_ALL: Any = Union[tuple(_MODELS.values())]  # noqa: UP007  made at run time
_OURS: Any = Union[tuple(m for kind, m in _MODELS.items() if kind not in _INBOUND_ONLY)]  # noqa: UP007
AnyBlock: Any = Annotated[_ALL, Field(discriminator="type"), BeforeValidator(_block)]
DraftBlock: Any = Annotated[_OURS, Field(discriminator="type")]

AnswerOut: Any = shape(model.Answer)


def page_of(kind: type) -> type[BaseModel]:
    """Make the model of a page."""
    items: Any = tuple[kind if issubclass(kind, BaseModel) else shape(kind), ...]  # type: ignore[misc, arg-type]
    following = (str, Field(description="Cursor of the next page; empty: this was the last."))
    config = ConfigDict(from_attributes=True, defer_build=True)
    return create_model(f"{kind.__name__}Page", __config__=config, items=(items, ...), next=following)


# --- what clients send ---------------------------------------------------------------------------------


class Body(BaseModel):
    """A body; unknown keys are faults."""

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True, defer_build=True
    )


Copied = Annotated[str, Field(min_length=1, max_length=320)]


class DraftIn(Body):
    """What somebody wants to say: `text` alone, or `blocks`."""

    text: Annotated[str, Field(max_length=100_000)] = ""
    """Markdown; short for one text block."""
    blocks: Annotated[list[DraftBlock], Field(max_length=50)] = []
    reply_to: Annotated[str, Field(max_length=100)] = ""
    """Id of the message that is answered."""
    subject: Annotated[str, Field(max_length=1000)] = ""
    cc: Annotated[tuple[Copied, ...], Field(max_length=50)] = ()
    """Who else gets it: addresses of the kind that it goes to."""
    bcc: Annotated[tuple[Copied, ...], Field(max_length=50)] = ()
    """Who gets it without the others' knowing."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.text) == bool(self.blocks):
            raise ValueError("give text, or blocks")
        return self

    def draft(self) -> Draft:
        """Give the draft."""
        said = [block.model_dump() for block in self.blocks] or [{"type": "text", "markdown": self.text}]
        blocks = blocks_from_json(to_json(said).decode())
        return Draft(blocks=blocks, reply_to=self.reply_to, subject=self.subject, cc=self.cc, bcc=self.bcc)


class ReplyIn(DraftIn):
    """A reply."""

    key: Annotated[str, Field(max_length=200)] = ""
    """Makes it repeatable, as the header Idempotency-Key does."""
    policy: Policy | None = None
    """What to do where no answer is allowed; nothing: as the account's `when_closed` says."""
    fallback: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,64}$")] = ""
    """Account that it goes out from by policy fallback; empty: the one that `when_closed` names."""
    template: Annotated[str, Field(pattern=rf"^({TEMPLATE})?$")] = ""
    """Template that goes out at once by policy template, while the reply waits; empty: the one that `when_closed` names."""
    strict: bool = False
    """Refuse it where the channel would say anything less well."""
    automatic: bool = False
    """No person wrote it; what comes with a key of the scope bot is always taken so."""


class AddressIn(Body):
    """Where somebody is reached."""

    kind: Annotated[str, Field(min_length=1, max_length=50)]
    value: Annotated[str, Field(min_length=1, max_length=320)]
    name: Annotated[str, Field(max_length=200)] = ""

    def address(self) -> Address:
        """Give the address."""
        return Address(kind=self.kind, value=self.value, name=self.name)


class ReplyToIn(ReplyIn):
    """A reply to an address, whether it wrote before or not."""

    to: AddressIn


class EndIn(Body):
    """Why a session ends."""

    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")] = "agent"
    """A word; it stands in the facts."""


class TypingIn(Body):
    """Whether somebody types."""

    on: bool = True


class ReadIn(Body):
    """How far somebody has read."""

    n: Annotated[int, Field(ge=1, le=2**31)]
    """Number of a message in the conversation."""


class VerdictIn(Body):
    """What became of an uncertain part."""

    verdict: Literal["sent", "failed", "again"]


class ChosenIn(Body):
    """The answer to a notification."""

    action: Annotated[str, Field(min_length=1, max_length=200)]
    surface: Annotated[str, Field(max_length=200)] = "api"


class SignInIn(Body):
    """Who signs in."""

    key: Annotated[SecretStr, Field(min_length=1, max_length=200)]
    """An API key; the session may do what it may do."""


class PageQuery(Body):
    """Which page."""

    cursor: Annotated[str, Field(max_length=100)] = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 50


Words = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: tuple(filter(None, value.split(","))) if isinstance(value, str) else value),
]


# --- what clients get ----------------------------------------------------------------------------------


class Out(BaseModel):
    """What is no noun of `model`."""

    model_config = ConfigDict(from_attributes=True, defer_build=True)


class AttachmentOut(Out):
    """A file that came or goes."""

    id: str
    name: str
    media_type: str
    size: int
    sha256: str
    listed_as: str  # media, file, link
    link: str  # holds for five minutes; empty while the file is still with the provider

    @classmethod
    def of(cls, attachment: Attachment, link: str) -> AttachmentOut:
        """Give an attachment with its link."""
        a = attachment
        return cls(
            id=a.id, name=a.name, media_type=a.media_type, size=a.size, sha256=a.sha256, listed_as=a.cls, link=link
        )


class MediaOut(Out):
    """One family of files that a channel carries."""

    types: tuple[str, ...]
    limit: int  # bytes
    caption_limit: int  # in the text's unit


class OptionsOut(Out):
    """How a channel carries buttons, or rows of a list."""

    level: Level
    most: int
    title_limit: int
    description_limit: int
    id_limit: int  # bytes of UTF-8; 0: none


class CapabilitiesOut(Out):
    """What a channel can do: what the API refuses and what a composer offers."""

    account: str
    channel: str
    hash: str  # another one: look again
    blocks: dict[str, Level]  # type of the block → how well it is carried
    text_limit: int | None  # of one part, in `text_unit`
    text_unit: str
    parts: int
    subject: Level
    reply_to: Level
    copies: Level  # cc and bcc
    media: tuple[MediaOut, ...]
    buttons: OptionsOut
    lists: OptionsOut
    writes_first_to: tuple[str, ...]  # kinds of address
    reports: StateWord  # the largest state it can claim
    window_seconds: int | None  # how long after a customer's message an answer is allowed
    sessions: bool
    edits: bool
    movable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A reply as it would go out."""

    account: str
    conversation: str
    parts: tuple[model.Part, ...]
    degradations: tuple[model.Degradation, ...]


class CountOut(Out):
    """How many parts it was done to."""

    parts: int


class WhoOut(Out):
    """Who is signed in."""

    principal: str
    scope: str
