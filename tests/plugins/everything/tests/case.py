"""What the kit has to know of the channel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import talkwire_everything as everything
from talkwire import Address, Envelope, Inbound, Report, SessionChange, SessionState, State
from talkwire.testing import Answers, Case, Reply, Sample, with_header

TOKEN = "kit-token-0123456789"
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
CUSTOMER = Address(kind="phone", value="+6281234567890")


def sign(envelope: Envelope) -> Envelope:
    """Send the token."""
    return with_header(envelope, "X-Token", TOKEN)


def event(kind: str, **more: Any) -> dict[str, Any]:
    """Make one value of a delivery."""
    return {"kind": kind, "at": 1795435200, **more}


case = Case(
    channel=everything.Line,
    settings={"url": "https://everything.example", "token": TOKEN},
    sign=sign,
    samples=(
        Sample(
            "a batch",
            body=[
                event("message", id="m1", sender="6281234567890", text="Hello"),
                event("report", id="p0", state="delivered"),
                event("session", sender="6281234567890", state="connected"),
            ],
            means=(
                Inbound(external_id="m1", address=CUSTOMER, at=AT, text="Hello"),
                Report(state=State.DELIVERED, at=AT, external_id="p0"),
                SessionChange(address=CUSTOMER, state=SessionState.CONNECTED, at=AT),
            ),
            source="talkwire_everything, docstrings",
        ),
    ),
    unknown=(Sample("a story", body=[event("story", id="s1")]),),
    answers=Answers(accept=lambda seen, external_id: Reply.json({"id": external_id})),
    report=lambda seen, external_id: Sample("a report", body=[event("report", id=external_id, state="delivered")]),
)
