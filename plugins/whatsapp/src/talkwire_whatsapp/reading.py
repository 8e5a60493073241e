"""What one delivery of Meta's means: entries, their changes, and in each of those messages, statuses and errors.

Each value is read by itself, so that a bad one loses no other.

Sources: Cloud API, webhooks reference, "messages" and its pages, "calls", read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from talkwire import (
    AccountNotice,
    Address,
    AddressChanged,
    Block,
    Change,
    ChangeKind,
    Envelope,
    Inbound,
    Item,
    Other,
    RemoteMedia,
    Unread,
    Unreadable,
    each,
)

from .content import content, text_of
from .notices import notice
from .statuses import explained, status
from .values import Json, an_object, inner, line, moment, needed, objects, person, raw, text, whole

_CHANGES = frozenset({"reaction", "edit", "revoke"})
_CALLS_US = "USER_INITIATED"


@dataclass(frozen=True, slots=True)
class Ours:
    """What an account is known by at Meta."""

    number: str  # phone_number_id
    business: str  # id of the business account; empty: not known


def read(envelope: Envelope, ours: Ours) -> Iterator[Item]:
    """Give the items of a delivery, in its order.

    Each says in `to` whose it is: by the number's id, or by that of the business where no number is named.

    Errors: `Unreadable` where nothing of it can be read.
    """
    delivery = whole(envelope.body)
    entries = delivery.get("entry")
    if type(entries) is not list:
        yield Unread("entry: missing, or no list")
        return
    read_entry = _Delivery(ours, envelope.received_at).entry
    yield from each(entries, read_entry)


class _Delivery:
    __slots__ = ("_ours", "_received")

    def __init__(self, ours: Ours, received: datetime) -> None:
        self._ours = ours
        self._received = received

    def entry(self, entry: Any) -> Iterator[Item]:
        """Read one entry, which is of one business account."""
        changes = an_object(entry).get("changes")
        if type(changes) is not list:
            raise Unreadable("changes: missing, or no list")
        return each(changes, lambda change: self._change(an_object(change), entry))  # type: ignore[return-value]

    def _change(self, change: Json, entry: Json) -> Iterable[Item]:
        field, value = needed(change, "field", "changes."), change.get("value")
        if type(value) is not dict:
            raise Unreadable("changes.value: no JSON object")
        if field == "messages":
            return _messages(value, _number(value), self._received)
        if field == "calls":
            who = _People(value, _number(value), self._received)
            return each(objects(value, "calls"), who.call)
        told = notice(field, value, moment(entry.get("time"), self._received), self._business(text(entry, "id")))
        return () if told is None else (told,)

    def _business(self, id_: str) -> str:
        """Say which account is meant by something that names no number: this one, or another of another business."""
        return self._ours.number if self._ours.business in ("", id_) or not id_ else id_


def _number(value: Json) -> str:
    return needed(inner(value, "metadata"), "phone_number_id", "metadata.")


def _messages(value: Json, to: str, received: datetime) -> Iterator[Item]:
    """Give what stands in a change of the field `messages`: messages, statuses, errors of the account."""
    people = _People(value, to, received)
    found = False
    for name, one in (("messages", people.message), ("statuses", people.status), ("errors", people.error)):
        values = value.get(name)
        if values is None:
            continue
        found = True
        if type(values) is list:
            yield from each(values, one)
        else:
            yield Unread(f"{name}: no list")
    if not found:
        yield Unread("value: neither messages nor statuses nor errors")


class _People:
    """Reads the values of one change, which share a number of ours and the contacts that wrote to it."""

    __slots__ = ("_by_id", "_contacts", "_received", "_to")

    def __init__(self, value: Json, to: str, received: datetime) -> None:
        self._contacts = objects(value, "contacts")
        self._by_id: dict[str, Json] | None = None  # made when somebody is looked for among several
        self._to = to
        self._received = received

    def message(self, message: Any) -> Iterable[Item]:
        """Read one message, or what somebody did to one."""
        kind = needed(an_object(message), "type", "messages.")
        id_ = needed(message, "id", "messages.")
        if kind == "system":
            return self._system(message)
        sender, at = self._sender(message), moment(message.get("timestamp"), self._received)
        if kind in _CHANGES:
            return (self._changed(kind, message, id_, sender, at),)
        words, blocks = content(kind, message)
        inbound = Inbound(
            external_id=id_,
            address=sender,
            at=at,
            text=words,
            blocks=blocks,
            thread=text(message, "group_id"),
            reply_to=text(inner(message, "context"), "id") if "context" in message else "",
            to=self._to,
        )
        return (inbound,)

    def status(self, value: Any) -> Iterable[Item]:
        """Read what became of a message of ours."""
        return status(an_object(value), self._to, self._received)

    def error(self, value: Any) -> Iterable[Item]:
        """Read an error that belongs to no message."""
        code, words = explained(an_object(value))
        if not code and not words:
            raise Unreadable("errors: neither code nor words")
        said = f"WhatsApp reports: {words or 'no words'}" + (f" (code {code})" if code else "")
        return (AccountNotice(code=code or "error", text=line(said, 200), at=self._received, to=self._to),)

    def call(self, value: Any) -> Iterable[Item]:
        """Read a call: that somebody rang is a message without words; how it went on is not told."""
        direction = text(value, "direction") or _CALLS_US
        if text(value, "event") != "connect" or direction != _CALLS_US:
            return ()
        kept = {name: one for name, one in value.items() if name not in ("session", "connection")}
        call = Other(kind="call", text="Called this number on WhatsApp", raw=raw(kept))
        return (
            Inbound(
                external_id=needed(value, "id", "calls."),
                address=self._sender(value),
                at=moment(value.get("timestamp"), self._received),
                blocks=(call,),
                to=self._to,
            ),
        )

    def _sender(self, message: Json) -> Address:
        """Say who wrote. Errors: `Unreadable`.

        Since 2026 a person may keep the number to themselves: then `from` is missing, or holds their id.
        """
        wa_id, user_id = text(message, "from"), text(message, "from_user_id")
        contact = self._contact(wa_id, user_id)
        if not wa_id and not user_id:
            wa_id = text(contact, "wa_id")
        if not user_id and wa_id == text(contact, "wa_id"):  # the name may be a guess, whose number it is must not
            user_id = text(contact, "user_id")
        profile = inner(contact, "profile")
        name = text(profile, "name")
        if not name and (username := text(profile, "username")):
            name = f"@{username.removeprefix('@')}"
        sender = person(wa_id, user_id, name)
        if sender is None:
            raise Unreadable("from: neither a number nor an id says who wrote")
        return sender

    def _contact(self, wa_id: str, user_id: str) -> Json:
        contacts = self._contacts
        if len(contacts) < 2:  # a wa_id and the number that wrote need not be the same
            return contacts[0] if contacts else {}
        if self._by_id is None:
            self._by_id = {text(one, name): one for name in ("user_id", "wa_id") for one in contacts}
            self._by_id.pop("", None)
        return self._by_id.get(wa_id) or self._by_id.get(user_id) or {}

    def _changed(self, kind: str, message: Json, id_: str, who: Address, at: datetime) -> Change:
        value = inner(message, kind)
        if kind == "reaction":
            of, words = needed(value, "message_id", "reaction."), text(value, "emoji")
        else:
            of, words = needed(value, "original_message_id", f"{kind}."), ""
        blocks: tuple[Block, ...] = ()
        if kind == "edit":
            words, blocks = _edited(inner(value, "message"))
        return Change(
            kind=ChangeKind(kind),
            external_id=of,
            address=who,
            at=at,
            change_id=id_,
            text=words,
            blocks=blocks,
            thread=text(message, "group_id"),
            to=self._to,
        )

    def _system(self, message: Json) -> Iterable[Item]:
        """Read what WhatsApp itself says of a customer; such messages come without contacts.

        A number that changed is one person, and no message: nothing that the customer wrote opens the window.
        """
        value = inner(message, "system")
        kind = needed(value, "type", "system.")
        at = moment(message.get("timestamp"), self._received)
        if kind in ("user_changed_number", "customer_changed_number", "user_changed_user_id"):
            return (self._moved(message, value, at),)
        wa_id = text(message, "from")
        whose = f"whose number ends in {wa_id[-4:]}" if len(wa_id) > 4 else "of whom no number is known"
        words = f"WhatsApp says of a customer {whose}: {kind[:60].replace('_', ' ')}"
        if kind == "customer_identity_changed":
            words += "; make sure that it is still them before you tell them anything private"
        return (AccountNotice(code=f"system.{kind}"[:100], text=line(words, 200), at=at, to=self._to),)

    def _moved(self, message: Json, value: Json, at: datetime) -> AddressChanged:
        wa_id = text(message, "from") or text(value, "customer")
        user_id = text(value, "previous_user_id") or text(message, "from_user_id")
        new_wa_id = text(value, "wa_id") or text(value, "new_wa_id")
        old, new = person(wa_id, user_id), person(new_wa_id, text(value, "user_id"))
        if old is None or new is None:
            raise Unreadable("system: who was it, and who is it now?")
        return AddressChanged(old=old, new=new, at=at, to=self._to)


def _edited(message: Json) -> tuple[str, tuple[Block, ...]]:
    """Give the new text, or the new caption, of a message that was edited, and its file. Errors: `Unreadable`."""
    kind = needed(message, "type", "edit.message.")
    if kind == "text":
        return text_of(message), ()
    value = inner(message, kind)
    # Where Meta names no file, it is the one that was there.
    blocks = content(kind, message)[1] if "id" in value else ()
    return text(value, "caption"), tuple(replace(b, caption="") if isinstance(b, RemoteMedia) else b for b in blocks)
