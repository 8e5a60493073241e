"""Ways to know that an envelope is genuine: constant time, and closed when something is missing.

Each helper makes a check, a plain function that raises `Rejected`. `any_of` takes several.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Iterable

from pydantic import SecretStr

from .errors import Rejected
from .model import Envelope

Check = Callable[[Envelope], None]


def hmac_header(
    name: str,
    secret: SecretStr | str,
    *,
    prefix: str = "",
    digest: str = "sha256",
    encoding: str = "hex",
) -> Check:
    """Check a keyed digest of the raw body in a header.

    `prefix` stands before the digest (`sha256=`); `encoding` is `hex` (either case) or `base64`.
    """
    if encoding not in ("hex", "base64"):
        raise ValueError(f"encoding is hex or base64, not {encoding}")
    key = _bytes(secret)
    keyed = hmac.new(key, digestmod=digest) if key else None
    header = name.lower()
    skip = len(prefix)

    def check(envelope: Envelope) -> None:
        given = envelope.headers.get(header, "")
        if keyed is None or not given.startswith(prefix):
            raise Rejected(f"no valid {header}")
        made = keyed.copy()
        made.update(envelope.body)
        expected = made.hexdigest().encode() if encoding == "hex" else base64.b64encode(made.digest())
        sent = given[skip:].strip()
        if encoding == "hex":
            sent = sent.lower()
        if not hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), expected):
            raise Rejected(f"no valid {header}")

    return check


def shared_header(name: str, secret: SecretStr | str) -> Check:
    """Check a header that holds a secret both sides know."""
    expected = _bytes(secret)
    header = name.lower()

    def check(envelope: Envelope) -> None:
        _same(envelope.headers.get(header, ""), expected, header)

    return check


def query_token(name: str, secret: SecretStr | str) -> Check:
    """Check a query parameter that holds a secret; name it in `Features.secret_query` too."""
    expected = _bytes(secret)

    def check(envelope: Envelope) -> None:
        _same(envelope.param(name), expected, name)

    return check


def basic(user: str, password: SecretStr | str) -> Check:
    """Check HTTP basic authentication."""
    secret = _bytes(password)
    expected = user.encode() + b":" + secret if secret else b""

    def check(envelope: Envelope) -> None:
        scheme, _, value = envelope.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise Rejected("no basic authentication")
        try:
            given = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Rejected("basic authentication is not base64") from error
        if not expected or not hmac.compare_digest(given, expected):
            raise Rejected("wrong user or password")

    return check


def allow_from(networks: Iterable[str]) -> Check:
    """Check that the peer's address lies in one of these networks (CIDR or single addresses)."""
    allowed = [ipaddress.ip_network(network, strict=False) for network in networks]

    def check(envelope: Envelope) -> None:
        try:
            address = ipaddress.ip_address(envelope.remote)
        except ValueError as error:
            raise Rejected("the peer has no address") from error
        mapped = getattr(address, "ipv4_mapped", None)
        if not any((mapped or address) in network for network in allowed):
            raise Rejected("the peer's address is not allowed")

    return check


def any_of(*checks: Check) -> Check:
    """Take an envelope that passes one of these checks; none given: reject all."""

    def check(envelope: Envelope) -> None:
        for one in checks:
            try:
                return one(envelope)
            except Rejected:
                continue
        raise Rejected("no check passed")

    return check


def all_of(*checks: Check) -> Check:
    """Take an envelope that passes each of these checks; none given: reject all."""

    def check(envelope: Envelope) -> None:
        if not checks:
            raise Rejected("nothing to check")
        for one in checks:
            one(envelope)

    return check


def token_hash(token: str) -> str:
    """Hash a random token for storing: SHA-256, hex. Not for passwords that people choose."""
    return hashlib.sha256(token.encode()).hexdigest()


def _bytes(secret: SecretStr | str) -> bytes:
    value = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    return value.encode()


def _same(given: str, expected: bytes, name: str) -> None:
    if not expected or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected):
        raise Rejected(f"no valid {name}")
