"""Who talks: visitors that we name ourselves, and people whom the website has signed in.

The address of the first is `anon:<random>`, of the others `user:<the website's id>`; one never becomes the other. A
visitor shows a token of ours; a signed-in one shows the website's identity as well, each time: whoever comes to the
same browser after the sign-out has no way to the talk.

    identity   base64url(JSON {"id", "expires", "name"?, "email"?, "phone"?}) "." base64url(HMAC-SHA256(secret, …))
    token      base64url(visitor) "." expires "." base64url(HMAC-SHA256(key made from the secret, …))

Both carry seconds since 1970-01-01 UTC, after which they hold no longer.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from talkwire import Address, Alias, Payload, Rejected, Unreadable, phone

KIND = "visitor"
_ANONYMOUS = timedelta(days=90)  # how long a browser that stays away keeps its talk
_SIGNED_IN = timedelta(hours=24)  # how long a page may stay open after the website's identity has run out
_LONGEST = 4096  # characters of a token or an identity


class Identity(Payload):
    """What the website says of somebody whom it has signed in."""

    id: str
    expires: int
    name: str = ""
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is at the other end of a socket."""

    id: str  # the value of the address
    name: str = ""
    aliases: tuple[Alias, ...] = ()  # what the website vouches for; nothing that a visitor typed

    @property
    def address(self) -> Address:
        """Give the address as the core knows it."""
        return Address(kind=KIND, value=self.id, name=self.name, aliases=self.aliases)

    @property
    def signed_in(self) -> bool:
        """Say whether the website vouches for this one."""
        return self.id.startswith("user:")


class Visitors:
    """Knows visitors by their tokens and identities."""

    def __init__(self, secret: str, identity: str) -> None:
        self._secret = secret.encode()
        self._key = hmac.new(self._secret, b"talkwire live chat: visitors' tokens", hashlib.sha256).digest()
        self._identity = identity  # off | optional | required

    def welcome(self, token: str, identity: str, now: datetime) -> Visitor:
        """Say who shows these; without any of them somebody new. Errors: `Rejected`, `IdentityRequired`."""
        if identity and self._identity != "off":
            return self._signed_in(token, identity, now)
        if self._identity == "required":
            raise IdentityRequired("this chat is for people who are signed in")
        if not token:
            return Visitor(f"anon:{secrets.token_urlsafe(16)}")
        visitor = self.of_token(token, now)
        if visitor.signed_in:
            raise Rejected("a signed-in visitor without the website's identity")
        return visitor

    def token(self, visitor: Visitor, now: datetime) -> str:
        """Make the token by which a visitor is known again."""
        until = now + (_SIGNED_IN if visitor.signed_in else _ANONYMOUS)
        said = f"{_encoded(visitor.id.encode())}.{int(until.timestamp())}"
        return f"{said}.{_encoded(_mac(self._key, said))}"

    def of_token(self, token: str, now: datetime) -> Visitor:
        """Say whose token this is. Errors: `Rejected`."""
        said, _, mac = token.rpartition(".")
        encoded, _, expires = said.partition(".")
        if len(token) > _LONGEST or not _is(self._key, said, mac):
            raise Rejected("a token that is not ours")
        if now.timestamp() > int(expires):
            raise Rejected("a token that holds no longer")
        return Visitor(_decoded(encoded).decode())

    def _signed_in(self, token: str, identity: str, now: datetime) -> Visitor:
        said, _, mac = identity.partition(".")
        if len(identity) > _LONGEST or not _is(self._secret, said, mac):
            raise Rejected("an identity that the website has not signed")
        try:
            found = Identity.read(_decoded(said))
        except (Unreadable, ValidationError) as error:
            raise Rejected("an identity that cannot be read") from error
        if not 0 < len(found.id) <= 200:
            raise Rejected("an identity without an id, or with one of more than 200 characters")
        visitor = Visitor(f"user:{found.id}", found.name[:200], tuple(_aliases(found)))
        if now.timestamp() <= found.expires:
            return visitor
        # A page that stays open says the same name for ever; our own token tells how long ago it was true.
        if token and self.of_token(token, now).id == visitor.id:
            return visitor
        raise Rejected("an identity that holds no longer")


class IdentityRequired(Rejected):
    """Only people whom the website has signed in may talk here."""


def sign_identity(secret: str, identity: str) -> str:
    """Sign an identity (JSON text) as the website does."""
    said = _encoded(identity.encode())
    return f"{said}.{_encoded(_mac(secret.encode(), said))}"


def _aliases(found: Identity) -> list[Alias]:
    aliases = []
    if 3 <= len(found.email) <= 254 and "@" in found.email:
        aliases.append(Alias(kind="email", value=found.email.strip().lower()))
    if found.phone:
        with contextlib.suppress(Unreadable):  # then it is not one that we could reach
            aliases.append(Alias(kind="phone", value=phone(found.phone)))
    return aliases


def _mac(key: bytes, said: str) -> bytes:
    return hmac.new(key, said.encode("utf-8", "replace"), hashlib.sha256).digest()


def _is(key: bytes, said: str, mac: str) -> bool:
    return bool(said) and hmac.compare_digest(_encoded(_mac(key, said)).encode(), mac.encode("utf-8", "replace"))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise Unreadable("not base64url") from error
