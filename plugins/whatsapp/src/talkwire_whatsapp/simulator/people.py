"""The customers, and how a webhook names them.

Source: Meta, "Business-scoped user ids", read 2026-03-31: each message names its sender's id; the phone is left out
where the sender has taken a username and nobody of the business has their number.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

_PHONE = re.compile(r"\+?[0-9]{5,15}")
_USER = re.compile(r"[A-Z]{2}\.[A-Za-z0-9]{1,128}")


@dataclass(frozen=True)
class Person:
    """Somebody with WhatsApp."""

    name: str
    wa_id: str = ""  # digits without a plus sign; empty: hides it behind a username
    username: str = ""

    @property
    def user_id(self) -> str:
        """Give the id under which businesses know them: the same for the same person."""
        seed = int(hashlib.sha256((self.wa_id or self.username).encode()).hexdigest()[:16], 16)
        return f"ID.{seed}"

    @property
    def key(self) -> str:
        """Give what the page calls them by."""
        return self.wa_id or self.user_id

    def contact(self) -> dict[str, Any]:
        """Give their entry in `contacts` of a webhook."""
        profile = {"name": self.name} | ({"username": self.username} if self.username else {})
        return {"profile": profile, "user_id": self.user_id} | ({"wa_id": self.wa_id} if self.wa_id else {})

    def sender(self) -> dict[str, Any]:
        """Give who a message is from."""
        return {"from_user_id": self.user_id} | ({"from": self.wa_id} if self.wa_id else {})

    def recipient(self) -> dict[str, Any]:
        """Give whom a status is about."""
        return {"recipient_user_id": self.user_id, "recipient_id": self.wa_id or self.user_id}


BUDI = Person(name="Budi Santoso", wa_id="6281234567890")
ANA = Person(name="Ana Souza", wa_id="5511987654321")
SARI = Person(name="Sari", username="sari.w")


class People:
    """All who have WhatsApp: everybody does."""

    def __init__(self) -> None:
        self._known: dict[str, Person] = {}
        for one in (BUDI, ANA, SARI):
            self.add(one)

    def add(self, one: Person) -> Person:
        """Let somebody be found by their number and by their id."""
        self._known[one.user_id] = one
        if one.wa_id:
            self._known[one.wa_id] = one
        return one

    def find(self, who: str, name: str = "") -> Person | None:
        """Find somebody by a number, with or without a plus sign, or by an id; None where it is neither."""
        if _USER.fullmatch(who):
            return self._known.get(who)
        if not _PHONE.fullmatch(who):
            return None
        wa_id = who.lstrip("+")
        return self._known.get(wa_id) or self.add(Person(name=name or f"+{wa_id}", wa_id=wa_id))

    def listed(self) -> list[dict[str, str]]:
        """Give all of them, as the page wants them."""
        return [
            {"key": one.key, "name": one.name, "shown": f"+{one.wa_id}" if one.wa_id else f"@{one.username}"}
            for one in dict.fromkeys(self._known.values())
        ]
