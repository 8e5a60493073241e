"""A mail provider with a correspondent, for `talkwire demo` and for tests: an SMTP server, a mailbox, a page.

It shares no code with the channel, so that a mistake in one is not hidden by the same mistake in the other. Everything
is kept in memory and listens on this machine; no mail leaves it.
"""

from __future__ import annotations

import secrets
import weakref
from typing import Any

from aiohttp import web

from talkwire import Simulator

from .office import CUSTOMER, OURS, Full, Office

__all__ = ["CUSTOMER", "FAULTS", "MAIL", "OURS", "Full", "Office"]

FAULTS = Office.fault_names()

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
    answer = await Office.ask("POST", f"{base_url}/sim/mails", {"text": text})
    return f"mail {answer['message_id'] or 'without Message-ID'} from {CUSTOMER} lies in the mailbox as UID {answer['uid']}"


async def _received(base_url: str) -> list[str]:
    """Give mails with the line that says what they are; of one that is not plain text only that line."""
    mails = (await Office.ask("GET", f"{base_url}/sim/mails"))["mails"]
    return [
        f"Content-Type: {mail['kind']}\n\n{mail['text']}" if mail["plain"] else f"NOT PLAIN TEXT: {mail['kind']}"
        for mail in mails
        if not mail["mine"] and not mail["failed"]
    ]


MAIL = Simulator(
    channel="email",
    title="Mailbox (e-mail)",
    app=_app,
    settings=_settings,
    play=_play,
    received=_received,
    fault=Office.set_fault,
    faults=FAULTS,
)
