"""The table `[plugins.notify_desktop]`."""

from __future__ import annotations

from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field, SecretStr, field_validator, model_validator

from talkwire import Settings


class DesktopSettings(Settings):
    """The table `[plugins.notify_desktop]`; all of it is for Web Push, sockets need nothing."""

    vapid_key: SecretStr | None = None
    """By which push services know this installation, as `talkwire desktop vapid` prints it; left out: no Web Push."""
    vapid_contact: Annotated[str, Field(pattern=r"^((mailto:[^\s@]+@[^\s@]+)|(https://[^\s]+))?$")] = ""
    """Whom a push service asks where something is wrong: `mailto:ops@example.org`."""
    push_here: bool = False
    """Whether push services on this machine are called, over plain http too: for tests."""

    @field_validator("vapid_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_key(value)
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.vapid_key is None) != (not self.vapid_contact):
            raise ValueError("vapid_key and vapid_contact are given together, or neither")
        return self


def read_key(key: SecretStr) -> ec.EllipticCurvePrivateKey:
    """Read a VAPID key: PEM, on the curve P-256 (RFC 8292, section 2). Errors: ValueError, which does not quote it."""
    try:
        found = load_pem_private_key(key.get_secret_value().encode(), password=None)
    except (ValueError, TypeError):
        found = None
    if isinstance(found, ec.EllipticCurvePrivateKey) and isinstance(found.curve, ec.SECP256R1):
        return found
    raise ValueError("this is no private key of the curve P-256 in PEM; talkwire desktop vapid prints one")
