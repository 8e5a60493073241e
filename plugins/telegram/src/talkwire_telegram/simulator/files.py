"""Files that lie with the simulated Telegram, and a picture and a voice note that customers have at hand."""

from __future__ import annotations

import functools
import secrets
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FETCH_LIMIT = 20 * 1024**2  # bytes that getFile gives (Bot API, "getFile")
UPLOAD_LIMIT = 50 * 1024**2  # bytes of one file (Bot API, "Sending files")
PHOTO_LIMIT = 10 * 1024**2  # bytes of a photo (the same)
MOST_BYTES = 256 * 1024**2  # of all files; then nothing more is taken


class Full(OverflowError):
    """There is no room for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file."""

    id: str
    unique_id: str
    content: bytes
    name: str
    media_type: str
    claimed: int = 0  # bytes that its size says, where the content is left out; 0: those of the content

    @property
    def size(self) -> int:
        """Give its size in bytes."""
        return self.claimed or len(self.content)

    def wire(self) -> dict[str, Any]:
        """Give what every object of a file has."""
        return {"file_id": self.id, "file_unique_id": self.unique_id, "file_size": self.size}


class Files:
    """All files, by id."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._paths: dict[str, str] = {}  # path → id

    def keep(self, content: bytes, *, name: str, media_type: str, claimed: int = 0) -> File:
        """Keep a file. Errors: `Full`."""
        if sum(len(one.content) for one in self._files.values()) + len(content) > MOST_BYTES:
            raise Full("the simulator is full; start the demo again")
        file = File(
            id=f"BQACAgQ{secrets.token_urlsafe(30)}",
            unique_id=f"AgAD{secrets.token_urlsafe(8)}",
            content=content,
            name=name,
            media_type=media_type,
            claimed=claimed,
        )
        self._files[file.id] = file
        return file

    def get(self, file_id: str) -> File | None:
        """Find a file."""
        return self._files.get(file_id)

    def path(self, file: File, folder: str) -> str:
        """Give the path under which it can be fetched."""
        ending = {"image/png": "png", "image/jpeg": "jpg", "audio/ogg": "oga"}.get(file.media_type, "bin")
        for path, known in self._paths.items():
            if known == file.id:
                return path
        path = f"{folder}/file_{len(self._paths)}.{ending}"
        self._paths[path] = file.id
        return path

    def at(self, path: str) -> File | None:
        """Find a file by its path."""
        return self._files.get(self._paths.get(path, ""))


# --- what customers have at hand -----------------------------------------------------------------------------

_SHADOW = 118  # from the middle to where the saucer's shadow ends, of a picture that is 240 high
_TABLES = ((0xB9, 0x8A, 0x5E), (0x8F, 0x9A, 0x7B), (0x7D, 0x86, 0x9C), (0xA8, 0x7C, 0x7C))


@functools.cache
def picture(n: int = 0, wide: int = 240, high: int = 180) -> bytes:
    """Draw a cup of coffee from above, as a PNG; another `n` has it on another table."""
    table, scale = _TABLES[n % len(_TABLES)], 240 / high
    middle, centre = wide / 2, high / 2
    rows = bytearray()
    for y in range(high):
        line = [_shaded(table, 1.08 - 0.22 * y / high)] * wide
        for x in range(wide // 2):  # the left half; the right one is its mirror
            across, down = (x - middle) * scale, (y - centre) * scale
            away = (across**2 + down**2) ** 0.5
            if away < _SHADOW:
                line[x] = line[wide - 1 - x] = _colour(away, across / 40, down / 40, line[0])
        rows += b"\0" + b"".join(line)  # the filter of the line: none
    head = struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


_RINGS = (  # from outside: how far from the middle each begins, its colour
    (108, b"\xf4\xf1\xec"),  # the saucer's rim
    (98, b"\xe4\xdf\xd7"),
    (78, b"\xfb\xfa\xf7"),  # the cup
    (70, b""),  # coffee, lighter towards its edge
)


def _colour(away: float, x: float, y: float, table: bytes) -> bytes:
    """Give the colour of one point; edges are mixed, so that they are smooth."""
    colour = _mixed(table, _shaded(table, 0.87), _SHADOW - away)
    for begins, ring in _RINGS:
        if away < begins + 0.5:
            shade = int(away / 4)
            colour = _mixed(colour, ring or bytes((0x6B + shade, 0x42 + shade // 2, 0x26)), begins - away)
    if away < 62:
        points = ((x + across, y + down) for across in (-0.006, 0.006) for down in (-0.006, 0.006))
        colour = _mixed(colour, b"\xf3\xdf\xc1", sum(_is_heart(*point) for point in points) / 4 - 0.5)
    return colour


def _is_heart(x: float, y: float) -> bool:
    return (x * x + y * y - 1) ** 3 + x * x * y**3 < 0


def _mixed(below: bytes, above: bytes, inside: float) -> bytes:
    if inside >= 0.5:
        return above
    share = max(0.0, inside + 0.5)
    return bytes(int(one + (other - one) * share) for one, other in zip(below, above, strict=True)) if share else below


def _shaded(colour: Sequence[int], light: float) -> bytes:
    return bytes(min(255, int(part * light)) for part in colour)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


VOICE_SECONDS = 2


@functools.cache
def voice() -> bytes:
    """Make a voice note of silence, as Ogg Opus.

    Source: RFC 7845, 3 and 5; RFC 3533, 6; one packet of 20 ms is `f8 ff fe` (RFC 6716, 3.1: CELT, silent).
    """
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 9) + b"simulator" + struct.pack("<I", 0)
    frames = [b"\xf8\xff\xfe"] * (VOICE_SECONDS * 50)
    pages = [_page(0, 2, 0, [head]), _page(1, 0, 0, [tags])]
    return b"".join((*pages, _page(2, 4, len(frames) * 960, frames)))


def _page(number: int, flags: int, position: int, packets: list[bytes]) -> bytes:
    table = bytes(map(len, packets))  # each is shorter than 255 bytes
    head = b"OggS" + struct.pack("<BBqIIIB", 0, flags, position, 1, number, 0, len(table)) + table
    page = bytearray(head + b"".join(packets))
    page[22:26] = struct.pack("<I", _ogg_crc(page))
    return bytes(page)


def _ogg_crc(page: bytes | bytearray) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 0x80000000 else 0)
    return crc & 0xFFFFFFFF


def size_of_picture(content: bytes) -> tuple[int, int] | None:
    """Read width and height of a PNG or a JPEG; None where it is neither."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        wide, high = struct.unpack(">II", content[16:24])
        return wide, high
    if content[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        mark, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            high, wide = struct.unpack(">HH", content[at + 5 : at + 9])
            return wide, high
        at += 2 + length
    return None
