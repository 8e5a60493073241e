"""Static pages out of a package's folder, under a strict Content-Security-Policy."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

_STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def policy(changes: Mapping[str, str]) -> str:
    """Give the header: ours, with what a plugin changed."""
    return "; ".join(f"{directive} {sources}" for directive, sources in {**_STRICT, **changes}.items())


def page(
    folder: Path, below: str, csp: Mapping[str, str] | None = None, *, worker: str = "", scope: str = ""
) -> web.StreamResponse | None:
    """Give a file of a folder, `index.html` for the folder itself; None where there is no such file.

    `worker` is the one file that may be a service worker, for pages below `scope`.
    """
    name = below or "index.html"
    try:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            return None
    except (OSError, ValueError):  # longer than any name, or with a zero byte
        return None
    headers = {
        "Content-Security-Policy": policy(csp or {}),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "Content-Type": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
    }
    if headers["Content-Type"].startswith("text/"):
        headers["Content-Type"] += "; charset=utf-8"
    if worker and name == worker:
        headers["Service-Worker-Allowed"] = scope
    return web.FileResponse(file, headers=headers)
