"""A mail provider with a correspondent, for `talkwire demo` and for tests: an SMTP server, a mailbox, a page.

It shares no code with the channel, so that a mistake in one is not hidden by the same mistake in the other. Everything
is kept in memory and listens on this machine; no mail leaves it.
"""

from __future__ import annotations

import secrets
import weakref
from typing import Any

import aiohttp
from aiohttp import web

from talkwire import Simulator

from .office import CUSTOMER, FAULTS, OURS, Full, Office

__all__ = ["CUSTOMER", "FAULTS", "MAIL", "OURS", "Full", "Office"]

# By the endpoint of their account, which the demo gives both functions: the settings have to name ports that are open by then.
_OFFICES: weakref.WeakValueDictionary[str, Office] = weakref.WeakValueDictionary()
_OFFICE: web.AppKey[Office] = web.AppKey("office", Office)


def _app(inbound_url: str) -> web.Application:
    office = Office(password=secrets.token_urlsafe(24))
    app = office.app()
    app[_OFFICE] = _OFFICES[inbound_url] = office
    return app


def _settings(_: str, inbound_url: str) -> dict[str, Any]:
    office = _OFFICES.get(inbound_url)
    if office is None or not office.imap.port:
        raise RuntimeError(
            "the simulator does not run yet: its ports are known once the application of `app` is served"
        )
    return office.settings()


async def _play(base_url: str, text: str) -> str:
    answer = await _ask("POST", f"{base_url}/sim/mails", {"text": text})
    return f"mail {answer['message_id'] or 'without Message-ID'} from {CUSTOMER} lies in the mailbox as UID {answer['uid']}"


async def _received(base_url: str) -> list[str]:
    """Give mails with the line that says what they are; of one that is not plain text only that line."""
    mails = (await _ask("GET", f"{base_url}/sim/mails"))["mails"]
    return [
        f"Content-Type: {mail['kind']}\n\n{mail['text']}" if mail["plain"] else f"NOT PLAIN TEXT: {mail['kind']}"
        for mail in mails
        if not mail["mine"] and not mail["failed"]
    ]


async def _fault(base_url: str, name: str) -> None:
    await _ask("POST", f"{base_url}/sim/faults", {"on": [name] if name else []})


async def _ask(method: str, url: str, given: dict[str, Any] | None = None) -> Any:
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.request(method, url, json=given) as answer,
    ):
        return await answer.json()


MAIL = Simulator(
    channel="email",
    title="Mailbox (e-mail)",
    app=_app,
    settings=_settings,
    play=_play,
    received=_received,
    fault=_fault,
    faults=FAULTS,
)
