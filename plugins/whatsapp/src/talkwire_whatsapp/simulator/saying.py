"""The webhooks: what Meta tells the endpoint, and how it signs it.

Sources: Meta's OpenAPI of the Cloud API v23.0, /whatsapp/webhooks, and the examples there; "Business-scoped user ids",
read 2026-03-31; "Webhooks, status messages", read 2026-11-20.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

from .errors import GraphError
from .files import File
from .people import Person

PLACE = {"latitude": -6.17539, "longitude": 106.82715, "name": "Monas", "address": "Gambir, Jakarta Pusat"}


@dataclass(frozen=True)
class Number:
    """A number of a business."""

    id: str
    shown: str  # digits

    def metadata(self) -> dict[str, Any]:
        """Say which of the business's numbers is meant."""
        return {"display_phone_number": self.shown, "phone_number_id": self.id}


def new_id() -> str:
    """Make the id of a message; like Meta's it may hold `+`, `/` and `=`."""
    return "wamid." + base64.b64encode(secrets.token_bytes(34)).decode()


def said(person: Person, id_: str, at: float, kind: str, **more: Any) -> dict[str, Any]:
    """Make a message of a customer."""
    return {**person.sender(), "id": id_, "timestamp": str(int(at)), "type": kind, **more}


def shown_file(file: File, *, caption: str = "") -> dict[str, Any]:
    """Name a file in a message."""
    kind = file.media_type.split("/")[0]
    value: dict[str, Any] = {
        "mime_type": "audio/ogg; codecs=opus" if kind == "audio" else file.media_type,
        "sha256": base64.b64encode(file.digest).decode(),
        "id": file.id,
    }
    if kind == "audio":
        value["voice"] = True
    if kind == "application":
        value["filename"] = file.name
    return value | ({"caption": caption} if caption else {})


def card(of: Person) -> dict[str, Any]:
    """Make the contact card of somebody."""
    first, _, last = of.name.partition(" ")
    name = {"formatted_name": of.name, "first_name": first} | ({"last_name": last} if last else {})
    return {"name": name, "phones": [{"phone": f"+{of.wa_id}", "wa_id": of.wa_id, "type": "MOBILE"}]}


def order() -> dict[str, Any]:
    """Make an order out of a catalogue."""
    item = {"product_retailer_id": "ciwidey-250", "quantity": 2, "item_price": 95000, "currency": "IDR"}
    return {"catalog_id": "194836987003835", "text": "Ground for a moka, please", "product_items": [item]}


def messages(number: Number, person: Person | None, *them: dict[str, Any]) -> dict[str, Any]:
    """Make the value of a change that holds messages; Meta's own ones, of type `system`, name no contact."""
    value: dict[str, Any] = {"messaging_product": "whatsapp", "metadata": number.metadata()}
    if person is not None:
        value["contacts"] = [person.contact()]
    return {**value, "messages": list(them)}


def status(
    person: Person,
    id_: str,
    word: str,
    at: float,
    *,
    key: str = "",
    is_template: bool = False,
    error: GraphError | None = None,
) -> dict[str, Any]:
    """Say what became of a message of ours."""
    one: dict[str, Any] = {"id": id_, "status": word, "timestamp": str(int(at)), **person.recipient()}
    category = "utility" if is_template else "service"
    if word == "sent":
        one["conversation"] = {
            "id": hashlib.sha256(person.key.encode()).hexdigest()[:32],
            "expiration_timestamp": str(int(at) + 24 * 3600),
            "origin": {"type": category},
        }
    if word in ("sent", "delivered"):
        one["pricing"] = {"billable": is_template, "pricing_model": "PMP", "category": category, "type": "regular"}
    if error is not None:
        one["errors"] = [error.as_status()]
    return one | ({"biz_opaque_callback_data": key} if key else {})


def statuses(number: Number, person: Person, *them: dict[str, Any]) -> dict[str, Any]:
    """Make the value of a change that holds statuses; where one of them is a failure no contact is named."""
    value: dict[str, Any] = {"messaging_product": "whatsapp", "metadata": number.metadata()}
    if not any(one["status"] == "failed" for one in them):
        value["contacts"] = [person.contact()]
    return {**value, "statuses": list(them)}


def body(account: str, *values: dict[str, Any]) -> bytes:
    """Make the bytes of a webhook, one change a value, escaped as Meta escapes: no character beyond ASCII, no bare slash."""
    changes = [{"value": value, "field": "messages"} for value in values]
    whole = {"object": "whatsapp_business_account", "entry": [{"id": account, "changes": changes}]}
    return json.dumps(whole, separators=(",", ":")).replace("/", "\\/").encode()


def signature(raw: bytes, app_secret: str) -> str:
    """Sign the bytes as they are on the line."""
    return "sha256=" + hmac.new(app_secret.encode(), raw, hashlib.sha256).hexdigest()
