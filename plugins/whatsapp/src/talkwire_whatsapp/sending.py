"""What goes to Meta: messages, and the small things beside them.

Source: Meta, "Cloud API reference: Messages" and "Typing indicators", v23.0; "Business-scoped user IDs", 2026-03-31.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from talkwire import (
    Address,
    AddressChanged,
    Alias,
    Outgoing,
    Reaction,
    ReadUpTo,
    Receipt,
    Refused,
    SignalKind,
    State,
    TryLater,
    TypingSignal,
    Uncertain,
)

from .errors import check
from .rendering import text_message
from .uploading import Uploads

if TYPE_CHECKING:
    from .channel import WhatsApp

_WITHIN = timedelta(seconds=15)  # for the answer to a message
_READ_WITHIN = timedelta(seconds=2)  # a tick is not worth more of the time that the message has
_REMEMBERED = 1000  # customers whose last message we said to have read
_FILE_UNUSABLE = frozenset({"131009", "131052", "131053"})


class Outbox:
    """The way out of one account."""

    def __init__(self, channel: WhatsApp) -> None:
        self._channel = channel
        self._uploads = Uploads(channel)
        self._read: OrderedDict[str, str] = OrderedDict()  # address → the last message that we said to have read
        self._url = f"{channel.settings.api_url}/{channel.settings.phone_number_id}/messages"

    async def send(self, out: Outgoing) -> Receipt:
        """Send one part. A yes of Meta's is "we will try"; what became of it comes as statuses, under our key as well.

        There is no way to make a request repeatable: what got no answer is uncertain until a status names our key.
        """
        part = out.part
        message = json.loads(part.payload) if part.payload else text_message(part.text)
        if part.attachment:
            _shown(message)["id"] = await self._uploads.id_of(part.attachment, attempt=out.attempt)
        if self._channel.settings.mark_read and out.last_inbound:
            await self._mark_read(out.address.value, out.last_inbound)
        body = {**_to(out.address, out.thread), **message, "biz_opaque_callback_data": out.key}
        if out.reply_to:
            body["context"] = {"message_id": out.reply_to}
        try:
            said = await self._post(body, attempt=out.attempt)
        except (Refused, TryLater) as no:
            if part.attachment and no.code in _FILE_UNUSABLE:
                self._uploads.forget(part.attachment)
            if message["type"] == "template" and no.code.startswith("132"):
                self._channel.templates.changed()  # it is not as it was, and nobody told us: ask for the list
            raise
        receipt = Receipt(state=State.ACCEPTED, external_id=_id_of(said))
        if not out.last_inbound and not out.thread:
            await self._learn(out.address, said)
        return receipt

    async def signal(self, address: str, signal: SignalKind) -> None:
        """Pass a hint on. Meta shows typing for 25 s at most, and never without marking the customer's message as read."""
        match signal:
            case ReadUpTo(external_id=message):
                await self._post({"status": "read", "message_id": message})
            case TypingSignal(on=True, last_inbound=message) if message and self._channel.settings.mark_read:
                typing = {"typing_indicator": {"type": "text"}}
                await self._post({"status": "read", "message_id": message, **typing})
            case Reaction(external_id=message, emoji=emoji):
                kind = "phone" if address.startswith("+") else "bsuid"
                reaction = {"type": "reaction", "reaction": {"message_id": message, "emoji": emoji}}
                await self._post({**_to(Address(kind=kind, value=address)), **reaction})
            case _:
                pass

    async def _post(self, body: dict[str, Any], *, attempt: int = 1) -> Any:
        channel = self._channel
        whole = {"messaging_product": "whatsapp", **body}
        answer = await channel.http.post(self._url, json=whole, headers=channel.authorisation, timeout=_WITHIN)
        return check(answer, attempt=attempt, hide=channel.settings.token.get_secret_value(), account=channel.account)

    async def _mark_read(self, address: str, message: str) -> None:
        """Let the customer see that we read them; whatever goes wrong, the reply goes."""
        if self._read.get(address) == message:
            return
        try:
            async with asyncio.timeout(_READ_WITHIN.total_seconds()):
                await self.signal(address, ReadUpTo(message))
        except Refused:  # nor will it be taken next time: a call has no tick, and Meta forgets messages
            pass
        except Exception as error:  # noqa: BLE001  best effort
            self._channel.log.debug("not marked as read", kind=type(error).__name__)
            return
        self._read[address] = message
        self._read.move_to_end(address)
        while len(self._read) > _REMEMBERED:
            self._read.popitem(last=False)

    async def _learn(self, address: Address, said: Any) -> None:
        """Take the names under which Meta knows somebody whom we wrote to first: their answer comes from these.

        They are other names of the address that was written to, so the answer comes into its conversation, where a reply
        may wait for it: a Mexican number that is dialled as +52 55 … answers as +521 55 …
        """
        contacts = said.get("contacts") if isinstance(said, dict) else None
        contact = contacts[0] if isinstance(contacts, list) and contacts and isinstance(contacts[0], dict) else {}
        number, user = contact.get("wa_id"), contact.get("user_id")
        names = []
        if isinstance(number, str) and number.isdecimal() and address.kind == "phone" and f"+{number}" != address.value:
            names.append(Alias(kind="phone", value=f"+{number}"))
        if isinstance(user, str) and user and address.value != user:
            names.append(Alias(kind="bsuid", value=user))
        if not names:
            return
        new = Address(kind=address.kind, value=address.value, aliases=tuple(names))
        try:
            await self._channel.admit([AddressChanged(old=address, new=new, at=self._channel.clock.now())])
        except Exception as error:  # noqa: BLE001  the message went out; this is learnt from their answer as well
            self._channel.log.warning("a new name of an address is not stored", kind=type(error).__name__)


def _to(address: Address, group: str = "") -> dict[str, str]:
    """Say to whom: a group, a user id, or a number in the form in which it came (wa_id), without its plus."""
    if group:
        return {"recipient_type": "group", "to": group}
    if address.kind == "bsuid":
        return {"recipient_type": "individual", "recipient": address.value}
    return {"recipient_type": "individual", "to": address.value.removeprefix("+")}


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    """Give the object of a message that names its file."""
    kind = message["type"]
    if kind == "interactive":
        header = message["interactive"]["header"]
        found: dict[str, Any] = header[header["type"]]
    else:
        found = message[kind]
    return found


def _id_of(said: Any) -> str:
    """Give the id of what Meta took. Errors: `Uncertain` where a yes names none."""
    messages = said.get("messages") if isinstance(said, dict) else None
    first = messages[0] if isinstance(messages, list) and messages and isinstance(messages[0], dict) else {}
    id_ = first.get("id")
    if not isinstance(id_, str) or not id_:
        raise Uncertain("Meta's yes names no message")
    return id_
