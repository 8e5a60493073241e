"""What the conformance kit needs to know about Telegram: an update of each kind with what it means, and how it answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from talkwire import Draft, Envelope, Option, Part, Text
from talkwire.model import Buttons
from talkwire.testing import NOON, Answers, Case, Reply, Sample, Seen, with_header
from talkwire_telegram.channel import Telegram
from talkwire_telegram.receiving import webhook_secret

from .chats import ANN, TOKEN, accept
from .test_reading import RECEIVED, ROWS, SAMPLES

KINDS = (
    "text",
    "text_reply",
    "external_reply",
    "external_reply_hidden",
    "external_reply_topic",
    "scheduled",
    "business",
    "business_away",
    "direct_message",
    "direct_message_other",
    "photo",
    "album_1",
    "album_2",
    "voice",
    "document",
    "location",
    "venue",
    "contact",
    "poll",
    "forum",
    "pressed",
    "pressed_business",
    "edited",
    "edited_photo",
    "edited_live",
    "location_live",
    "reacted",
    "reacted_no_more",
    "blocked",
    "unblocked",
    "migrated_to",
)
UNKNOWN = ("unknown_kind", "business_owner", "inline_query")


def sample(name: str, *, known: bool = True) -> Sample:
    """Read one of those that test_reading.py has, with what it says of it."""
    return Sample(
        name,
        file=SAMPLES / f"{name}.json",
        # A pressed button has no time of its own: it is pressed when it is heard of, which is the kit's noon.
        means=tuple(replace(one, at=NOON) if one.at == RECEIVED else one for one in ROWS[name]) if known else (),
        source=(SAMPLES / f"{name}.source").read_text().strip(),
    )


def sign(envelope: Envelope) -> Envelope:
    """Show the secret that Telegram was told."""
    return with_header(envelope, "X-Telegram-Bot-Api-Secret-Token", webhook_secret(TOKEN))


def result(value: Any) -> Reply:
    return Reply.json({"ok": True, "result": value})


def no(status: int, description: str, **parameters: int) -> Reply:
    said = {"ok": False, "error_code": status, "description": description}
    return Reply.json({**said, **({"parameters": parameters} if parameters else {})}, status=status)


def polled(seen: Seen, samples: tuple[Sample, ...]) -> Reply | None:
    """Give the updates that wait, until an offset says that they were taken."""
    method = seen.path.rpartition("/")[2]
    if method == "getWebhookInfo":
        return result({"url": "", "has_custom_certificate": False, "pending_update_count": 0})
    if method != "getUpdates":
        return None
    body = seen.json() if seen.headers.get("content-type", "").startswith("application/json") else seen.form()
    updates = [json.loads(one.raw().body) for one in samples]
    return result([one for one in updates if one["update_id"] >= int(body.get("offset") or 0)])


case = Case(
    channel=Telegram,
    settings={"token": TOKEN, "updates": "poll"},
    sign=sign,
    samples=tuple(map(sample, KINDS)),
    unknown=tuple(sample(name, known=False) for name in UNKNOWN),
    batches=(),  # an update is one thing; its lists are the parts of that
    polled=polled,
    drafts=(Draft(blocks=(Text("🎉 " * 3000), Buttons(text="*Well*?", options=(Option("y" * 64, "🎉"),)))),),
    answers=Answers(
        accept=accept,
        refuse=lambda _: no(400, "Bad Request: message is too long"),
        busy=lambda _, seconds: no(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds),
        unauthorised=lambda _: no(401, "Unauthorized"),
        down=lambda _: no(500, "Internal Server Error"),
        harmless=lambda seen: result({"id": 1, "is_bot": True, "first_name": "Shop"}) if "getMe" in seen.path else None,
    ),
    part=Part(text="kit hello", payload='{"method": "sendMessage"}'),
    address=ANN,
    secrets=(webhook_secret(TOKEN),),
)
