"""A push service on this machine, and browsers that read what it brings, by RFC 8291 and 8188 as they stand."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from talkwire_notify_desktop.push import new_vapid_key

SETTINGS = f"""
[plugins.notify_desktop]
vapid_key = '''{new_vapid_key()}'''
vapid_contact = "mailto:ops@example.org"
push_here = true
"""


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decoded(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


class Browser:
    """One subscription of a browser, and its keys."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = b"0123456789abcdef"
        self._point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def subscription(self, **more: Any) -> dict[str, Any]:
        """Give what `PushSubscription.toJSON()` gives."""
        keys = {"p256dh": encoded(self._point), "auth": encoded(self._auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys, **more}

    def reads(self, body: bytes) -> Any:
        """Decrypt a push; raises where it is not for this browser."""
        salt, length = body[:16], body[20]  # RFC 8188, section 2.1: salt, record size, length of the key's id, the key
        point, sealed = body[21 : 21 + length], body[21 + length :]
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        shared = self._key.exchange(ec.ECDH(), sender)
        ikm = _hkdf(self._auth, b"WebPush: info\x00" + self._point + point, 32, shared)
        key = _hkdf(salt, b"Content-Encoding: aes128gcm\x00", 16, ikm)
        nonce = _hkdf(salt, b"Content-Encoding: nonce\x00", 12, ikm)
        record = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\x00")
        assert record.endswith(b"\x02"), "the last record ends with 2"
        return json.loads(record[:-1])


def _hkdf(salt: bytes, info: bytes, length: int, secret: bytes) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


class PushService:
    """Takes pushes, and answers as the test says."""

    def __init__(self) -> None:
        self.pushes: list[tuple[dict[str, str], bytes]] = []
        self.says: list[tuple[int, dict[str, str]]] = []  # status and headers, then 201 for ever
        self.url = ""

    def subscribe(self, name: str = "a") -> Browser:
        """Let a browser subscribe."""
        return Browser(f"{self.url}/wake/{name}")

    async def take(self, request: web.Request) -> web.Response:
        """Take one push."""
        self.pushes.append((dict(request.headers), await request.read()))
        status, headers = self.says.pop(0) if self.says else (201, {})
        return web.Response(status=status, headers=headers, text="x" * 100)


@asynccontextmanager
async def push_service() -> Any:
    """Run a push service."""
    service = PushService()
    app = web.Application()
    app.router.add_post("/wake/{name}", service.take)
    async with TestServer(app) as server:
        service.url = str(server.make_url("")).rstrip("/")
        yield service


def vouched(header: str) -> dict[str, Any]:
    """Check `Authorization: vapid …` (RFC 8292) and give its claims."""
    scheme, _, rest = header.partition(" ")
    assert scheme == "vapid"
    said = dict(part.strip().split("=", 1) for part in rest.split(","))
    head, claims, signature = said["t"].split(".")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(said["k"]))
    raw = decoded(signature)
    r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    key.verify(encode_dss_signature(r, s), f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    return {**json.loads(decoded(claims)), "key": said["k"]}
