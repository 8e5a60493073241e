"""The whole of a mail as a document of its own: for a frame in which nothing runs, and that fetches nothing elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from aiohttp import web

from ... import readmodels
from ...model import Media, Message, Original
from .. import problems
from ..engine import ENGINE
from ..principals import Scope

_STYLE = "body{font:15px/1.5 system-ui,sans-serif;margin:12px;overflow-wrap:anywhere}img{max-width:100%}"
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# The channel has made it safe; that this holds does not depend on it.
_POLICY = "; ".join(
    (
        "sandbox",
        "default-src 'none'",
        "img-src 'self'",
        f"style-src 'sha256-{_HASH}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)


async def whole(request: web.Request) -> web.Response:
    """Give the HTML of a message's `original`, with the pictures that came with it."""
    engine = request.app[ENGINE]
    try:
        principal = await engine.principals.principal(request)
        principal.may(Scope.READ)
        id_ = request.match_info["message"]
        message = await engine.store.read(lambda query: readmodels.message(query, id_))
    except Exception as error:  # noqa: BLE001  as the API does
        return problems.of(error)
    html = "\n<hr>\n".join(one.html for one in message.blocks if isinstance(one, Original) and one.html)
    if not html:
        return problems.response("not_found", "nothing but its text is kept of this message")
    pictures = {one.content_id: one.attachment for one in message.blocks if isinstance(one, Media) and one.content_id}
    for content_id, attachment in pictures.items():
        link = escape(engine.filing.link(attachment).removeprefix(engine.config.server.public_url))
        html = html.replace(f'"cid:{escape(content_id)}"', f'"{link}"')
    return problems.unstored(web.Response(text=_document(message, html), content_type="text/html", headers=_HEADERS))


_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}


def _document(message: Message, html: str) -> str:
    title = escape(message.subject or f"Message {message.n}")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{html}</body></html>"
