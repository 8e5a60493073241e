"""What a request to the Bot API asks for, however it was sent.

Source: Bot API 10.1, "Making requests": query string, form, JSON or multipart, GET or POST; "Sending files":
`attach://<name>`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import BodyPartReader, web

from .refusal import bad


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that lies in the request."""

    content: bytes
    name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of one call."""

    method: str
    values: dict[str, Any]
    files: dict[str, Uploaded] = field(default_factory=dict)

    def text(self, name: str, otherwise: str = "") -> str:
        """Give a text. Errors: `Refusal`."""
        value = self.values.get(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise bad(f'field "{name}" must be of type String')
        return str(value)

    def number(self, name: str, otherwise: int = 0) -> int:
        """Give a whole number; also one that stands in a string. Errors: `Refusal`."""
        value = self.values.get(name, otherwise)
        try:
            return int(value)
        except (TypeError, ValueError):
            raise bad(f'field "{name}" must be of type Number') from None

    def point(self, name: str) -> float:
        """Give a coordinate. Errors: `Refusal`."""
        try:
            return float(self.values[name])
        except (KeyError, TypeError, ValueError):
            raise bad(f'field "{name}" must be of type Float') from None

    def flag(self, name: str) -> bool:
        """Give a statement, false where it is missing."""
        return str(self.values.get(name, "")).lower() in ("true", "1")

    def thing(self, name: str) -> Any:
        """Give what is JSON, in JSON or in a string; None where it is missing. Errors: `Refusal`."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except ValueError:
            raise bad(f"can't parse {name} JSON object") from None

    def file(self, name: str) -> Uploaded | str:
        """Give an uploaded file, or the id or URL of one that lies elsewhere; empty where it is missing."""
        if name in self.files:
            return self.files[name]
        value = self.values.get(name, "")
        return self.attached(value) if isinstance(value, str) else ""

    def attached(self, value: str) -> Uploaded | str:
        """Resolve `attach://<name>`. Errors: `Refusal`."""
        if not value.startswith("attach://"):
            return value
        try:
            return self.files[value.removeprefix("attach://")]
        except KeyError:
            raise bad("file part is missing in the request") from None


async def read(request: web.Request, method: str) -> Asked:
    """Read a request whole. Errors: `Refusal`."""
    values: dict[str, Any] = dict(request.query)
    files: dict[str, Uploaded] = {}
    if request.content_type == "application/json":
        try:
            given = await request.json()
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise bad("request body must be a JSON object")
        values |= given
    elif request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise bad("nested multipart")
            content = bytes(await part.read())
            if part.filename is None:
                values[part.name or ""] = content.decode("utf-8", "replace")
            else:
                kind = part.headers.get("Content-Type", "application/octet-stream")
                # Names come percent-encoded (RFC 7578); Telegram's server reads them (tdlib, HttpReader.cpp, 2026-11-29).
                files[part.name or ""] = Uploaded(content, unquote(part.filename), kind)
    elif request.can_read_body:
        values |= dict(await request.post())
    return Asked(method, values, files)
