"""Templates of notifications: how each looks, asks for attention and may be answered.

    notifications/offer.toml ──read, checked──▶ Template ──filled with what is known──▶ what one recipient is shown

The built-in ones are what rules show that name none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

import structlog
from pydantic import Field
from pydantic import field_validator as validates

from ..actions import Notify
from ..channel import Settings as Table
from ..model import Detail, OnDesktop, Option, Style
from ..sections import Duration

_log = structlog.get_logger("talkwire.templates")

KNOWN = (  # to rules
    "account",
    "address",
    "channel",
    "contact",
    "days",
    "group",
    "kind",
    "minutes",
    "reader",
    "reason",
    "state",
    "subject",
    "text",
    "until",
    "what",
)
DETAILS = 4  # of a notification, at most
_TITLE, _TEXT, _VALUE = 200, 2000, 500  # characters kept
_LINES, _BEGINNING = 2, 200  # of a message that is shown: lines, characters
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPACES = re.compile(r"\s+")


class Does(StrEnum):
    """What a button brings about."""

    ANSWER = "answer"  # whoever asked is told
    HANDLED = "handled"  # the conversation is marked handled
    RESUME = "resume"  # the account is resumed
    OPEN = "open"  # nothing is answered: the conversation is brought to the front


class ButtonTable(Table):
    """One button."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    """What the answer is called, for programs."""
    label: Annotated[str, Field(min_length=1, max_length=60)]
    """What stands on it."""
    does: Does = Does.ANSWER
    """`answer`: whoever asked is told; `handled`: the conversation is marked handled; `resume`: the account is resumed; `open`: nothing is answered, the conversation is brought to the front."""


class DetailTable(Table):
    """One line below the text, such as `Customer: Dewi`."""

    label: Annotated[str, Field(min_length=1, max_length=60)]
    """What it is called."""
    value: Annotated[str, Field(max_length=500)]
    """With `{names}`; a line that stays empty is left out."""


class TemplateTable(Table):
    """What stands in the file of a template."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    """One line; `{contact}` and other names are filled in."""
    text: Annotated[str, Field(max_length=2000)] = ""
    """What stands below it."""
    style: Style = Style.TOAST
    """`toast`: it tells, and vanishes by itself; `alert`: it stays until somebody presses a button, or its time is up."""
    details: Annotated[tuple[DetailTable, ...], Field(max_length=DETAILS)] = ()
    """Four lines at most, each with a label."""
    timeout: Duration | None = None
    """When it lapses; without one it never does."""
    show_timeout: bool = True
    """Whether pages count down to that; outside of our pages nothing ever does."""
    desktop: OnDesktop = OnDesktop.BACKGROUND
    """Whether it is shown outside of our pages: `always`, `never`, or only while the recipient looks at none of them."""
    buttons: Annotated[tuple[ButtonTable, ...], Field(max_length=4)] = ()
    """Four at most; the first answer wins."""

    @validates("timeout")
    @classmethod
    def _is_some_time(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not timedelta(seconds=1) <= value <= timedelta(days=30):
            raise ValueError("write 1s to 30d")
        return value

    @validates("buttons")
    @classmethod
    def _differ(cls, value: tuple[ButtonTable, ...]) -> tuple[ButtonTable, ...]:
        if len({button.id for button in value}) < len(value):
            raise ValueError("two buttons have the same id; choose another")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """How a notification looks; texts still have their `{names}`."""

    title: str
    text: str = ""
    style: Style = Style.TOAST
    details: tuple[Detail, ...] = ()
    timeout: timedelta | None = None  # None: it never lapses
    show_timeout: bool = True
    on_desktop: OnDesktop = OnDesktop.BACKGROUND
    buttons: tuple[Option, ...] = ()
    does: Mapping[str, Does] | None = None  # id of a button → what it brings about; None: nothing but the answer

    @property
    def names(self) -> set[str]:
        """Give the names that it wants filled in."""
        texts = [self.title, self.text, *(detail.value for detail in self.details)]
        return {name for text in texts for name in _PLACE.findall(text)}


def template_of(table: TemplateTable) -> Template:
    """Make a template of what stands in its file."""
    return Template(
        title=table.title,
        text=table.text,
        style=table.style,
        details=tuple(Detail(one.label, one.value) for one in table.details),
        timeout=table.timeout,
        show_timeout=table.show_timeout,
        on_desktop=table.desktop,
        buttons=tuple(Option(id=button.id, title=button.label) for button in table.buttons),
        does={button.id: button.does for button in table.buttons if button.does is not Does.ANSWER},
    )


class Templates:
    """The templates of this instance, and what else its notifications are made by; a reload changes them."""

    def __init__(
        self,
        files: Mapping[str, Template] | None = None,
        *,
        language: str = "en",
        time_zone: str = "UTC",
        digests: frozenset[str] = frozenset(),
        always: bool = True,
    ) -> None:
        self.files: Mapping[str, Template] = files or {}
        self.language = language  # of whoever has none of their own
        self.time_zone = time_zone  # likewise
        self.digests = digests  # media that show several toasts as one
        self.always = always  # what says so is shown on desktops though somebody looks at a page of ours

    def on_desktop(self, wanted: OnDesktop) -> OnDesktop:
        """Say when desktops show what wants to be shown so: `always` may be switched off."""
        return wanted if self.always or wanted is not OnDesktop.ALWAYS else OnDesktop.BACKGROUND

    def of_kind(self, kind: str, language: str) -> Template:
        """Give the built-in template of a type of facts."""
        texts = BUILT_IN.get(kind, {})
        found = texts.get(language[:2]) or texts.get(self.language[:2]) or texts.get("en")
        return found or Template(title="{kind}: {account}", text="{reason}")


def beginning(text: str) -> str:
    """Give the beginning of a message: two lines, 200 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cut = "\n".join(lines[:_LINES])
    return f"{cut[: _BEGINNING - 1]}…" if len(cut) > _BEGINNING or len(lines) > _LINES else cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What is shown, as far as its asker and its template say."""

    title: str
    text: str
    style: Style
    details: tuple[Detail, ...]
    timeout: timedelta | None
    show_timeout: bool
    on_desktop: OnDesktop
    actions: tuple[Option, ...]
    does: Mapping[str, str]


def filled(action: Notify, template: Template | None) -> Filled:
    """Fill a template in; what the action says itself goes before.

    A name that nobody gave a value for is left empty, and logged.
    """
    values = action.values or {}
    base = template or Template(title=action.title or action.kind)
    if missing := sorted(base.names - values.keys() if template else ()):
        _log.warning(
            "template wants values that nobody gave", template=action.template, kind=action.kind, names=missing
        )
    actions = action.actions or base.buttons
    details = action.details or tuple(_details(base, values))
    return Filled(
        title=(action.title or _line(base.title, values) or action.kind)[:_TITLE],
        text=(action.text or _put_in(base.text, values).strip())[:_TEXT],
        style=Style(action.style or base.style),
        details=details,
        timeout=base.timeout if action.timeout is None else action.timeout,
        show_timeout=base.show_timeout if action.show_timeout is None else action.show_timeout,
        on_desktop=OnDesktop(action.on_desktop or base.on_desktop),
        actions=actions,
        does={id_: str(does) for id_, does in (base.does or {}).items() if any(one.id == id_ for one in actions)},
    )


def _details(template: Template, values: Mapping[str, str]) -> Iterator[Detail]:
    for detail in template.details:
        if value := _line(detail.value, values):
            yield replace(detail, value=value)


def _line(text: str, values: Mapping[str, str]) -> str:
    return _SPACES.sub(" ", _put_in(text, values)).strip(" :")  # "wrote to: " where the account is not known


def _put_in(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda name: str(values.get(name[1], ""))[:_VALUE], text)


# --- the built-in ones -----------------------------------------------------------------------------------

_NOTED = {"en": Option(id="noted", title="Noted"), "id": Option(id="noted", title="Dicatat")}
_RESUME = {"en": Option(id="resume", title="Try again"), "id": Option(id="resume", title="Coba lagi")}


def _toast(**titles: str | tuple[str, str]) -> dict[str, Template]:
    return {language: Template(**_words(words)) for language, words in titles.items()}


def _alarm(*, resumes: bool = False, **titles: str | tuple[str, str]) -> dict[str, Template]:
    """Make an alert that waits until somebody has seen to it."""
    found = {}
    for language, words in titles.items():
        buttons = (_RESUME[language], _NOTED[language]) if resumes else (_NOTED[language],)
        found[language] = Template(
            **_words(words),
            style=Style.ALERT,
            on_desktop=OnDesktop.ALWAYS,
            buttons=buttons,
            does={"resume": Does.RESUME} if resumes else None,
        )
    return found


def _words(words: str | tuple[str, str]) -> dict[str, Any]:
    title, text = (words, "{reason}") if isinstance(words, str) else words
    return {"title": title, "text": text}


BUILT_IN: dict[str, dict[str, Template]] = {
    "message.received": _toast(
        en=("{contact} wrote to {account}", "{text}"), id=("{contact} menulis ke {account}", "{text}")
    ),
    "reply.refused": _toast(
        en="A reply to {contact} could not be sent: {account}", id="Balasan kepada {contact} tidak terkirim: {account}"
    ),
    "delivery.failed": _toast(
        en="A message to {contact} was not delivered: {account}", id="Pesan kepada {contact} tidak sampai: {account}"
    ),
    "conversation.opened": _toast(
        en=("{contact} wrote to {account} for the first time", ""),
        id=("{contact} menulis ke {account} untuk pertama kali", ""),
    ),
    "account.broken": _alarm(
        resumes=True,
        en=("Account {account} needs you", "{reason}\nReplies wait.\ntalkwire accounts resume {account}"),
        id=("Akun {account} memerlukan Anda", "{reason}\nBalasan menunggu.\ntalkwire accounts resume {account}"),
    ),
    "account.flapping": _toast(
        en=("Account {account} comes and goes", "No state held for a minute.\ntalkwire accounts test {account}"),
        id=(
            "Akun {account} putus-sambung",
            "Tidak ada keadaan yang bertahan semenit.\ntalkwire accounts test {account}",
        ),
    ),
    "account.waiting": _toast(
        en=("The provider of {account} cannot be reached", "{reason}\nReplies wait; it is tried again by itself."),
        id=("Penyedia {account} tidak dapat dihubungi", "{reason}\nBalasan menunggu; dicoba lagi dengan sendirinya."),
    ),
    "account.quiet": _toast(
        en=(
            "Nobody writes to {account}",
            "For {minutes} minutes, longer than usual.\ntalkwire accounts test {account}",
        ),
        id=(
            "Tidak ada yang menulis ke {account}",
            "Selama {minutes} menit, lebih lama daripada biasanya.\ntalkwire accounts test {account}",
        ),
    ),
    "credential.expiring": _alarm(
        en=(
            "In {days} days the {what} ends: {account}",
            "It ends at {until}.\nPut a new one into the settings, then: talkwire reload",
        ),
        id=(
            "{days} hari lagi {what} berakhir: {account}",
            "Berakhir pada {until}.\nTaruh yang baru di pengaturan, lalu: talkwire reload",
        ),
    ),
    "queue.old": _alarm(
        en=("Something of {account} has waited for {minutes} minutes", "{group}\ntalkwire lanes"),
        id=("Ada yang menunggu {minutes} menit pada {account}", "{group}\ntalkwire lanes"),
    ),
    "lane.stuck": _alarm(
        en=("A talk of {account} has failed to go on for an hour", "{reason}\ntalkwire lanes"),
        id=("Percakapan {account} tersendat selama satu jam", "{reason}\ntalkwire lanes"),
    ),
    "disk.low": _alarm(
        en=("The disk fills", "Nothing is taken in once it is full.\ntalkwire status"),
        id=("Ruang disk hampir habis", "Tidak ada yang diterima lagi bila penuh.\ntalkwire status"),
    ),
    "fact.parked": _alarm(
        en=("{reader} refused a fact to the end", "talkwire replay --parked --reader {reader}"),
        id=("{reader} menolak sebuah fakta sampai akhir", "talkwire replay --parked --reader {reader}"),
    ),
    "reader.stopped": _alarm(
        en=("{reader} is told nothing any more", "{reason}\ntalkwire status"),
        id=("{reader} tidak lagi diberi tahu", "{reason}\ntalkwire status"),
    ),
    "reader.down": _alarm(
        en=("{reader} cannot be told anything", "{reason}\nIt is tried again by itself.\ntalkwire status"),
        id=("{reader} tidak dapat diberi tahu", "{reason}\nDicoba lagi dengan sendirinya.\ntalkwire status"),
    ),
}
