"""What the Graph API says instead of yes.

Source: Meta, "Cloud API error codes", read 2026-05-15; which HTTP status goes with which code is not documented for
all of them, and a client must not look at it.
"""

from __future__ import annotations

import secrets
from typing import Any

_WORDS = {  # code → HTTP status, title, details
    100: (400, "Invalid parameter", ""),
    131008: (400, "Required parameter is missing", ""),
    131009: (400, "Parameter value is not valid", ""),
    131051: (400, "Unsupported message type", "Message type is currently not supported."),
    131053: (400, "Media upload error", ""),
    131021: (400, "Recipient cannot be sender", "Sender and recipient phone number is the same."),
    131026: (400, "Message undeliverable", "Message Undeliverable."),
    131047: (
        400,
        "Re-engagement message",
        "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
    ),
    131000: (500, "Something went wrong", "Message failed to send due to an unknown error."),
    131016: (500, "Service unavailable", "Service temporarily unavailable."),
    130429: (429, "Rate limit hit", "Cloud API message throughput has been reached."),
    131056: (
        400,
        "(Business Account, Consumer Account) pair rate limit hit",
        "Message failed to send because there were too many messages sent from this phone number to the same phone number.",
    ),
    132000: (400, "Number of parameters does not match the expected number of params", ""),
    132001: (404, "Template name does not exist in the translation", ""),
    132005: (400, "Translated text too long", ""),
    132012: (400, "Parameter format does not match format in the created template", ""),
    132015: (400, "Template is paused", "The template is paused due to low quality and cannot be sent."),
    132016: (400, "Template is disabled", ""),
    190: (401, "Invalid OAuth access token", ""),
}


class GraphError(Exception):
    """An error as the Graph API reports it, in an answer or in a status."""

    def __init__(self, code: int, details: str = "", *, subcode: int = 0) -> None:
        self.code = code
        self.status, self.title, known = _WORDS[code]
        self.details = details or known or self.title
        self.subcode = subcode
        super().__init__(f"(#{code}) {self.title}: {self.details}")

    def as_answer(self) -> dict[str, Any]:
        """Give the body of the answer."""
        error = {
            "message": f"(#{self.code}) {self.title}",
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": "A" + secrets.token_urlsafe(16),
        }
        if self.subcode:
            error["error_subcode"] = self.subcode
        return {"error": error}

    def as_status(self) -> dict[str, Any]:
        """Give what stands in the `errors` of a status."""
        return {
            "code": self.code,
            "title": self.title,
            "message": self.title,
            "error_data": {"details": self.details},
            "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
        }
