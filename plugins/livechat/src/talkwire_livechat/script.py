"""The widget as it is served: its source, with what the button needs to know before anybody opens it."""

from __future__ import annotations

import hashlib

from aiohttp import web

from . import widget
from .protocol import PROTOCOL
from .settings import LiveChatSettings


class Widget:
    """One account's script."""

    def __init__(self, account: str, settings: LiveChatSettings) -> None:
        self._body = script(account, settings)
        self._tag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'

    async def script(self, request: web.Request) -> web.Response:
        """Serve it; any website may read it, only the allowed ones may talk."""
        headers = {
            "Cache-Control": "no-cache",
            "ETag": self._tag,
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("If-None-Match") == self._tag:
            return web.Response(status=304, headers=headers)
        response = web.Response(body=self._body, content_type="text/javascript", charset="utf-8", headers=headers)
        response.enable_compression()
        return response


def script(account: str, settings: LiveChatSettings) -> bytes:
    """Give the script of an account."""
    return widget.script(
        {
            "account": account,
            "protocol": PROTOCOL,
            "language": settings.language,
            "label": settings.label,
            "title": settings.title,
            "position": settings.position,
            "colour": settings.colour,
            "on_colour": readable_on(settings.colour),
        }
    )


def readable_on(colour: str) -> str:
    """Choose white or near-black, whichever is read better on a colour (`#rrggbb`)."""
    return max(("#ffffff", "#14181b"), key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio", read 2026-11-28)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
