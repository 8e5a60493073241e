"""What is ours in a mail: our addresses, the Message-IDs we give, the reply tokens in our plus addresses.

A token is `KEY` and a signature of it, in letters that no mail server folds: 26 + 10 characters of base32. It names one
delivery of ours, so that an answer finds its conversation even where a client drops In-Reply-To and References.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from uuid import UUID

_SIGNED = 10  # characters of a signature: 50 bits, enough against guessing one conversation's address
_TOKEN = re.compile(r"[a-z2-7]{26}[a-z2-7]{10}")
_OUR_ID = re.compile(r"<?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})@([^<>\s]+?)>?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """Who we are on one account."""

    address: str  # as configured; compared without case
    aliases: tuple[str, ...] = ()
    secret: bytes = field(default=b"", repr=False)  # signs tokens; empty: there are none

    @property
    def domain(self) -> str:
        """Give the domain of our Message-IDs."""
        return self.address.rpartition("@")[2].lower()

    def is_ours(self, address: str) -> bool:
        """Say whether an address is one of ours, with a token or without."""
        local, _, domain = address.lower().rpartition("@")
        plain = f"{local.partition('+')[0]}@{domain}"
        return any(plain == one.lower() or address.lower() == one.lower() for one in (self.address, *self.aliases))

    def message_id(self, key: str) -> str:
        """Give the Message-ID of a part, with its brackets."""
        return f"<{key}@{self.domain}>"

    def key_of_id(self, message_id: str) -> str:
        """Give the key of a Message-ID of ours, empty for any other."""
        found = _OUR_ID.fullmatch(message_id.strip())
        return found[1] if found and found[2].lower() == self.domain else ""

    def reply_address(self, key: str) -> str:
        """Give the address that answers to a part come to; our own where there is no secret."""
        if not self.secret:
            return self.address
        local, _, domain = self.address.rpartition("@")
        name = base64.b32encode(UUID(key).bytes).decode().rstrip("=").lower()
        return f"{local}+{name}{self._signature(name)}@{domain}"

    def key_of_address(self, address: str) -> str:
        """Give the key whose token an address carries, empty where there is none or it is forged."""
        local, _, domain = address.lower().rpartition("@")
        own, _, token = local.rpartition("+")
        if not self.secret or not self.is_ours(f"{own}@{domain}") or not _TOKEN.fullmatch(token):
            return ""
        name, signature = token[:26], token[26:]
        if not hmac.compare_digest(signature, self._signature(name)):
            return ""
        return str(UUID(bytes=base64.b32decode(name.upper() + "======")))

    def _signature(self, name: str) -> str:
        made = hmac.new(self.secret, b"talkwire reply token " + name.encode(), hashlib.sha256).digest()
        return base64.b32encode(made).decode().lower()[:_SIGNED]
