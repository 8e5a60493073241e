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
    AccountBroken,
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

from .content import complaints, content
from .notices import notice
from .statuses import explained, status, told
from .values import LATE, Json, an_object, inner, line, moment, needed, objects, person, raw, text, whole

_CHANGES = frozenset({"reaction", "edit", "revoke"})
_CALLS_US = "USER_INITIATED"
_CAPTIONED = frozenset({"image", "video", "document"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What an account is known by, at Meta and here."""

    number: str  # phone_number_id
    business: str  # id of the business account; empty: not known
    account: str = ""  # the account's own name; empty: not known

    def name_of(self, number: str) -> str:
        """Name the account that has a number; empty where it is another's."""
        return self.account if number == self.number else ""


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
            return _messages(self._people(value), value)
        if field == "calls":
            return each(objects(value, "calls"), self._people(value).call)
        business = text(entry, "id")
        to, is_sure = self._meant(business)
        at = moment(entry.get("time"), self._received)
        is_late = self._received - at > LATE
        found = notice(field, value, at, to, business=business, is_sure=is_sure, is_late=is_late)
        return () if found is None else (found,)

    def _people(self, value: Json) -> _People:
        number = _number(value)
        return _People(value, number, self._received, self._ours.name_of(number))

    def _meant(self, business: str) -> tuple[str, bool]:
        """Say which account is meant by something that names no number, and whether it surely is.

        That is this one, or another of another business. An account that does not know its own business hears of every
        one that its app has.
        """
        ours = self._ours
        if business and ours.business and business != ours.business:
            return business, True
        return ours.number, bool(business) and business == ours.business


def _number(value: Json) -> str:
    return needed(inner(value, "metadata"), "phone_number_id", "metadata.")


def _messages(people: _People, value: Json) -> Iterator[Item]:
    """Give what stands in a change of the field `messages`: messages, statuses, errors of the account."""
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

    __slots__ = ("_account", "_by_id", "_contacts", "_received", "_to")

    def __init__(self, value: Json, to: str, received: datetime, account: str = "") -> None:
        self._contacts = objects(value, "contacts")
        self._by_id: dict[str, Json] | None = None  # made when somebody is looked for among several
        self._to = to
        self._received = received
        self._account = account  # the name of whose number it is; empty: not known

    def message(self, message: Any) -> Iterable[Item]:
        """Read one message, or what somebody did to one."""
        kind = needed(an_object(message), "type", "messages.")
        id_ = needed(message, "id", "messages.")
        if kind == "system":
            return self._system(message)
        sender, at = self._sender(message), moment(message.get("timestamp"), self._received)
        if kind in _CHANGES:
            try:
                return (self._changed(kind, message, id_, sender, at),)
            except Unreadable:
                if not complaints(message):  # else Meta says why it is not there, and that is shown
                    raise
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
        return status(an_object(value), self._to, self._received, self._account)

    def error(self, value: Any) -> Iterable[Item]:
        """Read an error that belongs to no message."""
        code, words, means = explained(an_object(value), self._account)
        if not code and not words:
            raise Unreadable("errors: neither code nor words")
        return (told(code, words, self._received, self._to, broken=isinstance(means, AccountBroken)),)

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
    """Give the new text, or the new caption, of a message that was edited, and what it holds. Errors: `Unreadable`."""
    kind = needed(message, "type", "edit.message.")
    value = inner(message, kind)
    caption = text(value, "caption")
    if kind in _CAPTIONED and "id" not in value and type(value.get("caption")) is str:
        return caption, ()  # where Meta names no file, it is the one that was there; an empty caption was taken away
    words, blocks = content(kind, message)
    held = tuple(replace(one, caption="") if isinstance(one, RemoteMedia) else one for one in blocks)
    return words or caption, held
