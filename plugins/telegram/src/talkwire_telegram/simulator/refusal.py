"""How the Bot API says no."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A no with its status and the words of the provider.

    Source: Bot API, "Making requests" and "ResponseParameters" (10.1); the words as Telegram's own server says them.
    """

    def __init__(self, status: int, words: str, **parameters: int) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.parameters = parameters  # `retry_after` (seconds), `migrate_to_chat_id`

    def wire(self) -> dict[str, Any]:
        """Give the answer's body."""
        body: dict[str, Any] = {"ok": False, "error_code": self.status, "description": self.words}
        if self.parameters:
            body["parameters"] = self.parameters
        return body


def bad(words: str, **parameters: int) -> Refusal:
    """Make a `400 Bad Request`."""
    return Refusal(400, f"Bad Request: {words}", **parameters)


def forbidden(words: str) -> Refusal:
    """Make a `403 Forbidden`."""
    return Refusal(403, f"Forbidden: {words}")
