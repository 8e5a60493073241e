"""What somebody is told: notifications and why they show or not, what they want, by which media."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from .. import readmodels
from ..actions import Notify
from ..errors import Conflict, NotFound, Outrun
from ..ids import new_id
from ..model import Detail, Ended, Notification, OnDesktop, Option, Preferences, Style
from ..notifier import NotifierFeatures
from ..notify import preferring
from ..notify import why as whys
from ..store import Query
from . import problems
from .principals import Scope
from .routes import api
from .routing import Call
from .shapes import Body, ChosenIn, Out, PageQuery, page_of, shape

# --- notifications ---------------------------------------------------------------------------------------


class NotificationQuery(PageQuery):
    """Whose notifications."""

    recipient: str = ""
    """Another one than yourself: needs the scope host."""
    open: bool = True
    """Only those that are neither answered, withdrawn nor lapsed; toasts that were read are left out as well."""


def _may(call: Call[Any, Any], recipient: str) -> str:
    """Give whose it is: yourself, or another one for who has the scope host."""
    recipient = recipient or call.principal.recipient
    if recipient != call.principal.recipient:
        call.principal.may(Scope.HOST)
    return recipient


@api.add("GET", "/notifications", query=NotificationQuery, gives=page_of(Notification))
async def notifications(call: Call[NotificationQuery, None]) -> readmodels.Page[Notification]:
    """List your notifications, the newest first.

    `lapses_at` is given only where it may be counted down; it lapses all the same.
    """
    wanted = call.query
    recipient = _may(call, wanted.recipient)
    return await call.engine.store.read(
        lambda query: readmodels.notifications(
            query, recipient, open_=wanted.open, cursor=wanted.cursor, limit=wanted.limit
        )
    )


class NotificationOut(Out):
    """A notification, and what became of it in each medium."""

    id: str
    recipient: str
    asker: str
    kind: str
    title: str
    text: str
    actions: tuple[shape(Option), ...]  # type: ignore[valid-type]
    conversation: str
    at: datetime | None
    answered_by: str
    answer: str
    style: Style
    details: tuple[shape(Detail), ...]  # type: ignore[valid-type]
    on_desktop: OnDesktop
    lapses_at: datetime | None
    account: str
    seen: bool
    ended: Ended
    opens: tuple[str, ...]
    events: int
    """How many facts it stands for."""
    winner: shape(whys.Winner) | None  # type: ignore[valid-type]
    """Whose answer was first; it may be another recipient's who was asked the same."""
    media: tuple[shape(whys.MediumDecision), ...]  # type: ignore[valid-type]
    """What each medium decided, when, and why."""


@api.add("GET", "/notifications/{id}", gives=NotificationOut)
async def notification(call: Call[None, None]) -> NotificationOut:
    """Give one notification, open or not, with each medium's decision and its reason."""

    def look(query: Query) -> tuple[Notification, whys.Shown]:
        found = _there(query, call.id())
        return found, next(whys.notifications(query, {found.id: False}))

    found, shown = await call.engine.store.read(look)
    _may(call, found.recipient)
    own = {name: getattr(found, name) for name in Notification.__slots__}
    return NotificationOut.model_validate(
        {**own, "events": shown.events, "winner": shown.winner, "media": shown.media}, from_attributes=True
    )


def _there(query: Query, id_: str) -> Notification:
    found = readmodels.notifications_by_id(query, [id_]).get(id_)
    if found is None:
        raise NotFound("there is no such notification")
    return found


async def _mine(call: Call[None, Any]) -> Notification:
    """Give the notification of a path, which is yours. Errors: `NotFound`, `Forbidden`."""
    found = await call.engine.store.read(lambda query: _there(query, call.id()))
    _may(call, found.recipient)
    return found


@api.add("POST", "/notifications/{id}:answer", scope=Scope.BOT, body=ChosenIn, status=204, errors=["conflict"])
async def answer_notification(call: Call[None, ChosenIn]) -> web.Response | None:
    """Answer a notification; whoever is second gets 409, with who was first and where.

    Codes: `already_answered` with `answered_by`, the surface, `recipient` and `action`; `lapsed`; `withdrawn`;
    `unknown_action`. An action of `opens` answers nothing: it is noted that you have read it.
    """
    found = await _mine(call)
    try:
        await call.engine.hub.answer(found.id, call.body.action, call.body.surface)
    except Outrun as lost:
        who = {"answered_by": lost.surface, "recipient": lost.recipient, "action": lost.action}
        return problems.response(lost.code, str(lost), status=409, **who)
    except Conflict as lost:
        return problems.response(lost.code, str(lost), status=409)
    return None


@api.add("POST", "/notifications/{id}:seen", status=204)
async def see_notification(call: Call[None, None]) -> None:
    """Note that you have read a notification, on whatever surface; twice is no error."""
    found = await _mine(call)
    await call.engine.hub.seen(found.id)


class TestIn(Body):
    """What is tried."""

    style: Style = Style.TOAST
    """An alert asks whether you see it."""
    recipient: Annotated[str, Field(max_length=64)] = ""
    """Another one than yourself: needs the scope host."""


class MadeOut(Out):
    """What was made."""

    id: str


@api.add("POST", "/notifications:test", status=202, body=TestIn, gives=MadeOut, errors=["not_found"])
async def test_notification(call: Call[None, TestIn]) -> dict[str, str]:
    """Notify yourself of nothing, by each medium that you want; the notification itself says what became of it."""
    engine = call.engine
    recipient = _may(call, call.body.recipient)
    language = (await engine.hub.preferences(recipient)).language or engine.config.general.language
    title, text, yes = _TEST.get(language[:2], _TEST["en"])
    key, is_alert = new_id(), call.body.style is Style.ALERT
    asked = Notify(
        recipient=recipient,
        kind="test",
        title=title,
        text=text,
        key=key,
        style=call.body.style,
        actions=(Option(id="seen", title=yes),) if is_alert else (),
        on_desktop=OnDesktop.ALWAYS,
    )
    await engine.hub.notify(asked)
    sql = "SELECT id FROM notification WHERE key = :key AND recipient = :name"
    row = await engine.store.read(lambda query: query.one(sql, {"key": key, "name": recipient}))
    assert row is not None  # it was stored just now
    return {"id": row[0]}


_TEST = {
    "en": ("This is a test", "If you see this, notifications reach you here.", "I see it"),
    "id": ("Ini percobaan", "Bila Anda melihat ini, notifikasi sampai kepada Anda di sini.", "Saya melihatnya"),
}


# --- preferences, media ------------------------------------------------------------------------------------


class WhoseQuery(Body):
    """Whose preferences."""

    recipient: str = ""
    """Another one than yourself: needs the scope host."""


class PreferencesIn(Body):
    """What you want; null is as the settings say."""

    off: tuple[Annotated[str, Field(max_length=64)], ...] = ()
    """Media by which you want nothing."""
    quiet: Annotated[str, Field(max_length=20)] | None = None
    """Hours such as `22:00-07:00` in which toasts do not disturb you; empty: none."""
    time_zone: Annotated[str, Field(max_length=64)] | None = None
    """By which clock they go."""
    language: Annotated[str, Field(max_length=10)] | None = None
    """`en` or `id`."""


@api.add("GET", "/preferences", query=WhoseQuery, gives=shape(Preferences))
async def preferences(call: Call[WhoseQuery, None]) -> Preferences:
    """Say what you want, beside what the settings say."""
    return await call.engine.hub.preferences(_may(call, call.query.recipient))


@api.add("PUT", "/preferences", query=WhoseQuery, body=PreferencesIn, gives=shape(Preferences))
async def prefer(call: Call[WhoseQuery, PreferencesIn]) -> Preferences:
    """Say what you want from now on; it goes before the settings, and what waits is looked at again."""
    recipient, wants = _may(call, call.query.recipient), call.body.model_dump()
    try:
        preferring.checked(recipient, wants)
    except ValueError as error:
        key, _, reason = str(error).partition(": ")
        raise problems.Invalid(key, reason) from None
    return await call.engine.hub.prefer(recipient, **wants)


class MediumOut(Out):
    """A way to notify recipients."""

    name: str
    there: bool
    """False: it is asked for, and no notifier gives it."""
    trouble: str
    """What keeps it from showing anything now, in a sentence; empty: nothing."""
    actions: int
    """How many buttons it shows."""
    withdraws: bool
    confirms: bool
    needs_email: bool
    desktop: bool
    """It shows outside of our pages."""
    keeps: bool
    """What it shows is read later: quiet hours make it wait."""
    digests: bool


@api.add("GET", "/media", gives=page_of(MediumOut))
async def media(call: Call[None, None]) -> readmodels.Page[MediumOut]:
    """List the media that recipients and rules ask for: whether each is there, what it can do, what troubles it."""
    found = []
    troubles = call.engine.media()
    for name, features in call.engine.media_features().items():
        can = features or NotifierFeatures()
        found.append(
            MediumOut(
                name=name,
                there=features is not None,
                trouble=troubles.get(name, ""),
                actions=can.actions,
                withdraws=can.withdraws,
                confirms=can.confirms,
                needs_email=can.needs_email,
                desktop=can.desktop,
                keeps=can.keeps,
                digests=can.digests,
            )
        )
    return readmodels.Page(tuple(found))


# --- why ---------------------------------------------------------------------------------------------------


class WhyQuery(Body):
    """Who, and of what."""

    event: Annotated[str, Field(min_length=1, max_length=64)]
    """The number of a fact, or the id of a message, a notification or a conversation."""
    recipient: Annotated[str, Field(max_length=64)] = ""
    """Another one than yourself: needs the scope host."""


@api.add("GET", "/why", query=WhyQuery, gives=shape(whys.Why), errors=["not_found"])
async def why(call: Call[WhyQuery, None]) -> whys.Why:
    """Say why somebody was notified of something, or was not: rules, each medium's decision, answers."""
    recipient, event, rules = _may(call, call.query.recipient), call.query.event, call.engine.config.notify
    return await call.engine.store.read(lambda query: whys.why(query, rules, recipient, event))
