"""WhatsApp's webhooks: signed texts of customers, and bursts of statuses, three for each message of ours."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from itertools import count
from typing import Any

APP_SECRET = "bench-app-secret-0123456789abcdef"
NUMBER = "550100000000001"
PEOPLE = 500
SENT = 60_000  # messages of ours that statuses may speak of
ACCOUNT = f"""
[accounts.bench]
channel = "whatsapp"
phone_number_id = "{NUMBER}"
token = "bench-token-0123456789"
app_secret = "{APP_SECRET}"
verify_token = "bench-verify-token-0123456789"
api_url = "http://127.0.0.1:9/v23.0"
"""
_texts, _statuses = count(), count()


def texts(number: int, _: bool) -> list[bytes]:
    """Make requests of one text each, as long as those of customers."""
    return [_request(_text(next(_texts))) for _ in range(number)]


def statuses(number: int, is_ours: bool) -> list[bytes]:
    """Make requests of one status each: `sent`, `delivered` and `read` of one message after the other.

    Those that nobody reads speak of one message.
    """
    if not is_ours:
        return [_request(_status(0))] * number
    made = [_request(_status(next(_statuses))) for _ in range(number)]
    if next(_statuses) >= 3 * SENT:
        raise RuntimeError("there are more statuses than messages of ours: measure less at once")
    return made


def _delivery(value: Any) -> bytes:
    whole = {"messaging_product": "whatsapp", "metadata": {"display_phone_number": "1", "phone_number_id": NUMBER}}
    change = {"value": whole | value, "field": "messages"}
    return json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "6601", "changes": [change]}]}).encode()


def _text(number: int) -> bytes:
    sender = _person(number)
    contact = {"profile": {"name": f"Customer {number % PEOPLE}"}, "wa_id": sender, "user_id": f"ID.{sender}"}
    message = {
        "from": sender,
        "id": f"wamid.HBgNNjI4MTIwMDAwMDAwMBUCABIYFDNBMDAwMDAwMDAwMDAw{number:012d}",
        "timestamp": "1795358146",
        "type": "text",
        "text": {"body": "Does it come in another colour? I need it before Friday."},
    }
    return _delivery({"contacts": [contact], "messages": [message]})


def _status(number: int) -> bytes:
    message, step = divmod(number, 3)
    status = {
        "id": _external(message),
        "status": ("sent", "delivered", "read")[step],
        "timestamp": str(1795358146 + step),
        "recipient_id": _person(message),
        "conversation": {"id": "c0ffee", "origin": {"type": "service"}},
        "pricing": {"billable": False, "pricing_model": "PMP", "category": "service", "type": "free_customer_service"},
        "biz_opaque_callback_data": _key(message),
    }
    return _delivery({"statuses": [status]})


def _request(body: bytes) -> bytes:
    signature = hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        "POST /in/bench HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"User-Agent: facebookexternalua\r\nAccept: */*\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _person(number: int) -> str:
    return str(628120000000 + number % PEOPLE)


def _key(number: int) -> str:
    return f"01940000-0000-7000-8000-{number:012x}"


def _external(number: int) -> str:
    return f"wamid.HBgNNjI4MTIwMDAwMDAwMBUCABEYEjBBMDAwMDAwMDAwMDAw{number:012d}"


async def sent_before(store: Any) -> None:
    """Store what statuses speak of: messages of ours that Meta has taken."""
    await store.write(_people, None)
    for first in range(0, SENT, 2000):  # nobody holds the writer for long
        await store.write(_messages, first)


def _people(tx: Any, items: Sequence[None]) -> Sequence[None]:
    people = range(PEOPLE)
    tx.many("INSERT INTO contact (id, name, created_at) VALUES (:id, '', 1)", [{"id": f"c{n}"} for n in people])
    tx.many(
        "INSERT INTO address (id, kind, scope, value, contact_id, name, created_at)"
        " VALUES (:id, 'phone', '', :value, :contact, '', 1)",
        [{"id": f"a{n}", "value": f"+{_person(n)}", "contact": f"c{n}"} for n in people],
    )
    tx.many(
        "INSERT INTO conversation (id, account, channel, address_id, thread, contact_id, last_n, created_at)"
        " VALUES (:id, 'bench', 'whatsapp', :address, '', :contact, :last, 1)",
        [{"id": f"v{n}", "address": f"a{n}", "contact": f"c{n}", "last": SENT} for n in people],
    )
    return [None] * len(items)


def _messages(tx: Any, items: Sequence[int]) -> Sequence[None]:
    for first in items:
        numbers = range(first, first + 2000)
        tx.many(
            "INSERT INTO message (id, conversation_id, n, account, direction, at, stored_at, text)"
            " VALUES (:id, :conversation, :n, 'bench', 'out', 1, 1, 'Yes, in blue.')",
            [{"id": f"m{_key(n)}", "conversation": f"v{n % PEOPLE}", "n": n} for n in numbers],
        )
        tx.many(
            "INSERT INTO delivery (id, message_id, conversation_id, account, external_id, state, state_at, text)"
            " VALUES (:id, :message, :conversation, 'bench', :external, 10, 1, 'Yes, in blue.')",
            [
                {"id": _key(n), "message": f"m{_key(n)}", "conversation": f"v{n % PEOPLE}", "external": _external(n)}
                for n in numbers
            ],
        )
    return [None] * len(items)
