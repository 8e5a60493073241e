"""What the conformance kit needs to know about WhatsApp: what Meta sends and what it means, and how Meta answers."""

from __future__ import annotations

import json
from typing import Any

from talkwire.testing import Answers, Case, Reply, Sample, Seen
from talkwire_whatsapp.channel import WhatsApp

from .samples import AT, AYU, CHALLENGE, KIT, NUMBER, SETTINGS, UNKNOWN, signed


def _error(code: int, words: str, status: int, **more: Any) -> Reply:
    error = {"message": f"(#{code}) {words}", "type": "OAuthException", "code": code, "fbtrace_id": "Akit"}
    return Reply.json({"error": {**error, **more}}, status=status)


def accept(seen: Seen, id_: str) -> Reply:
    """Take a message, as Meta does: that it will try."""
    to = seen.json().get("to", "")
    contact = {"input": to, "wa_id": to}
    return Reply.json({"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": id_}]})


def busy(seen: Seen, seconds: int) -> Reply:
    """Say that this number has sent enough for now."""
    error = {"message": "(#130429) Rate limit hit", "type": "OAuthException", "code": 130429, "fbtrace_id": "Akit"}
    return Reply.json({"error": error}, status=429, headers={"Retry-After": str(seconds)})


def harmless(seen: Seen) -> Reply | None:
    """Answer what no customer sees: a tick, a file on its way, a list of templates."""
    if seen.method == "GET":
        return Reply.json({"data": []})
    if seen.path.endswith("/media"):
        return Reply.json({"id": "4490709327384033"})
    if seen.path.endswith("/messages") and seen.json().get("status") == "read":
        return Reply.json({"success": True})
    return None


def reported(seen: Seen, id_: str) -> Sample:
    """Say that a message was delivered, under its id and the key that came with it."""
    status = {
        "id": id_,
        "status": "delivered",
        "timestamp": str(int(AT.timestamp())),
        "recipient_id": seen.json().get("to", ""),
        "biz_opaque_callback_data": seen.json()["biz_opaque_callback_data"],
    }
    metadata = {"display_phone_number": "628110000000", "phone_number_id": NUMBER}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "statuses": [status]}
    change = {"field": "messages", "value": value}
    body = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
    return Sample("delivered", body=json.dumps(body), source='Meta, "Webhooks, status messages", read 2026-11-20')


def case(channel: type[WhatsApp] = WhatsApp) -> Case:
    """Make the case of this channel, or of a broken one."""
    return Case(
        channel=channel,
        settings=SETTINGS,
        sign=signed,
        samples=(*KIT, CHALLENGE),
        unknown=UNKNOWN,
        answers=Answers(
            accept=accept,
            refuse=lambda _: _error(131008, "Required parameter is missing", 400),
            busy=busy,
            shut=lambda _: _error(131047, "Re-engagement message", 400),
            unauthorised=lambda _: _error(190, "Invalid OAuth access token", 401, error_subcode=463),
            harmless=harmless,
        ),
        report=reported,
        address=AYU,
    )
