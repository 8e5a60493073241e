"""Files that people send: made here, so that none has to be carried along; and those that are uploaded.

Sources: Meta, "Media" (an uploaded id lives 30 days, a URL 5 minutes); PNG (W3C, 2003); RFC 3533 (Ogg), RFC 7845 (Opus
in Ogg), RFC 6716 (an Opus packet of silence).
"""

from __future__ import annotations

import functools
import hashlib
import secrets
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

URL_LIVES = 300.0  # seconds
MOST_BYTES = 256 * 1024**2  # of all files together


@dataclass(frozen=True)
class File:
    """Bytes with a name."""

    id: str
    content: bytes
    media_type: str
    name: str = ""

    @property
    def digest(self) -> bytes:
        """Give its SHA-256."""
        return hashlib.sha256(self.content).digest()


class Shelf:
    """The files that Meta keeps, and the tickets by which they are fetched."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._files: dict[str, File] = {}
        self._tickets: dict[str, tuple[str, float]] = {}

    def put(self, content: bytes, media_type: str, name: str = "") -> File:
        """Keep a file; gives it with its id. The oldest go where there is no room."""
        file = File(str(10**15 + secrets.randbelow(9 * 10**15)), content, media_type, name)
        self._files[file.id] = file
        while len(self._files) > 1 and sum(len(one.content) for one in self._files.values()) > MOST_BYTES:
            del self._files[next(iter(self._files))]
        return file

    def find(self, id_: str) -> File | None:
        """Find a file."""
        return self._files.get(id_)

    def drop(self, id_: str) -> bool:
        """Forget a file; False where there was none."""
        return self._files.pop(id_, None) is not None

    def ticket(self, file: File) -> str:
        """Give the word by which a file is fetched, once and soon."""
        word = secrets.token_urlsafe(24)
        self._tickets[word] = (file.id, self._now() + URL_LIVES)
        return word

    def redeem(self, word: str) -> File | None:
        """Give the file of a ticket that was not used; None where it is too late."""
        id_, until = self._tickets.pop(word, ("", 0.0))
        return self._files.get(id_) if self._now() < until else None


@functools.cache
def picture(width: int = 320, height: int = 220) -> bytes:
    """Draw a cup on a table, as PNG."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += bytes(_colour(x / width, y / height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _colour(x: float, y: float) -> tuple[int, int, int]:
    def inside(cx: float, cy: float, rx: float, ry: float) -> bool:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1

    if inside(0.47, 0.36, 0.19, 0.085):
        return (74, 44, 26) if inside(0.47, 0.365, 0.165, 0.065) else (250, 246, 240)
    if 0.36 <= y <= 0.74 and abs(x - 0.47) <= 0.19 - 0.10 * ((y - 0.36) / 0.38) ** 2:
        return (238, 232, 222) if x < 0.58 else (216, 207, 194)
    if inside(0.66, 0.48, 0.085, 0.125) and not inside(0.65, 0.48, 0.05, 0.08):
        return (216, 207, 194)
    if inside(0.48, 0.75, 0.30, 0.07):
        return (205, 194, 178)
    if y > 0.66:
        return (int(146 - 40 * (y - 0.66)), int(98 - 30 * (y - 0.66)), 62)
    return (int(214 - 60 * y), int(170 + 20 * x - 50 * y), int(120 + 30 * x))


@functools.cache
def voice(seconds: int = 3) -> bytes:
    """Make a voice note in which nobody speaks: Opus in Ogg, mono."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 4) + b"none" + struct.pack("<I", 0)
    pages = [_page(0, 2, 0, [head]), _page(1, 0, 0, [tags])]
    for n in range(seconds):
        last = 4 if n == seconds - 1 else 0
        pages.append(_page(n + 2, last, 48000 * (n + 1), [b"\xf8\xff\xfe"] * 50))  # 50 packets of 20 ms
    return b"".join(pages)


def _page(number: int, flags: int, position: int, packets: list[bytes]) -> bytes:
    lengths = bytes(len(packet) for packet in packets)
    head = b"OggS" + struct.pack("<BBqIII", 0, flags, position, 7, number, 0) + bytes([len(packets)]) + lengths
    page = head + b"".join(packets)
    return page[:22] + struct.pack("<I", _crc(page)) + page[26:]


def _crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
        crc &= 0xFFFFFFFF
    return crc


DOCUMENT = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)
