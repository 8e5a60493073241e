"""What a channel can do, as data: what the API refuses and what a composer offers derive from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from .formatting.dialect import PLAIN, Dialect
from .model import Level, Rate, State, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFeature:
    """One family of files that a channel carries."""

    types: tuple[str, ...]  # media types, `image/*` for a family
    limit: int  # bytes of one file
    caption_limit: int = 0  # in the text's unit; 0: captions go as a message of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionFeature:
    """Buttons or rows of a list."""

    level: Level = Level.PARTIAL  # PARTIAL: they become a numbered list in the text
    most: int = 0  # how many the provider takes; more of them become a numbered list
    title_limit: int = 20  # characters, or UTF-16 code units where texts are counted in them
    description_limit: int = 0  # as title_limit; 0: no descriptions
    links: int | None = None  # options that open a page: how many, and then no others beside them; None: as any other
    id_limit: int = 0  # bytes of an option's id in UTF-8; with longer ones they become a numbered list; 0: no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a channel can do."""

    # text
    text_limit: int | None = None  # in `unit`, of one part; None: no limit
    beside_limit: int | None = None  # in `unit`, of a text with options or a card's picture; None: as text_limit
    unit: Unit = Unit.CHARACTERS
    parts: int = 10  # a reply that would need more is refused
    dialect: Dialect = PLAIN  # marks and escapes; PLAIN for channels without any
    subject: Level = Level.DROPPED
    # blocks beside text
    media: tuple[MediaFeature, ...] = ()
    buttons: OptionFeature = OptionFeature()
    lists: OptionFeature = OptionFeature()
    card: Level = Level.PARTIAL
    location: Level = Level.PARTIAL
    form_link: Level = Level.PARTIAL
    template: Level = Level.REJECTED
    reply_to: Level = Level.DROPPED
    copies: Level = Level.REJECTED  # `Draft.cc` and `bcc`, each a delivery of its own; FULL or REJECTED
    forward: Level = Level.REJECTED  # `Forward`; FULL: the channel's own `render` reads it
    # life
    reaches: frozenset[str] = field(
        default_factory=frozenset
    )  # kinds of address we may write to first; with `window` and `template` by template
    threads: bool = False  # whoever writes first opens a thread of its own, also to an address that is known
    automatic: Rate | None = None  # how often a machine of ours may write to one address; None: as it likes
    reports: State = State.SENT  # the largest state it can ever claim
    window: timedelta | None = None  # how long after a customer's message we may answer
    sessions: bool = False  # a talk begins and ends; after the end no answer
    edits: bool = False  # `Channel.edit` replaces in place, and takes away
    movable: bool = False  # a conversation may be moved to another channel
    # sending
    rates: tuple[Rate, ...] = ()  # those that depend on settings: `Channel.rates`
    at_once: int = 8  # sends of one account that are under way together; rate × what the provider takes for one
    idempotent: bool = False  # the provider folds two requests with the same `Outgoing.key`
    references: bool = False  # `Outgoing.references` is filled in
    reconciles: bool = False  # `Channel.reconcile` can tell whether a part arrived
    send_timeout: timedelta = timedelta(seconds=15)
    give_up_after: timedelta = timedelta(hours=24)
    # receiving
    webhook: bool = True  # envelopes arrive at `/in/<endpoint>`
    methods: frozenset[str] = frozenset(
        {"GET", "POST"}
    )  # by which the provider calls; HEAD goes with GET, others get 405
    listens: bool = False  # `Channel.listen` polls or holds a connection
    shared_endpoint: bool = False  # several accounts may share one endpoint; see `Channel.meant_by`
    kept_headers: frozenset[str] = field(default_factory=frozenset)  # lower case; beside content-type
    secret_query: frozenset[str] = field(default_factory=frozenset)  # never stored
    body_limit: int = 4 * 1024 * 1024  # bytes of one envelope

    def media_for(self, media_type: str, size: int = 0) -> MediaFeature | None:
        """Find the family that carries a media type; None where none does.

        `size` in bytes: the first that has room for so many, else the last that would carry the type.
        """
        family = media_type.split("/", 1)[0] + "/*"
        found = [m for m in self.media if _matches(m.types, media_type, family)]
        return next((m for m in found if size <= m.limit), found[-1] if found else None)


def _matches(types: Iterable[str], media_type: str, family: str) -> bool:
    return any(kind in (media_type, family, "*/*") for kind in types)
