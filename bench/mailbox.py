"""Catching up with a mailbox: 5,000 mails that wait on a real Dovecot, beside a client that only fetches them.

The client is imaplib of the standard library, which fetches 50 mails at once and stores nothing; ours reads them, parses
them and commits them durably. Dovecot is on the loader's core.
"""

from __future__ import annotations

import email.message
import imaplib
import os
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.__main__ import Results, Server

ROOT = str(Path(__file__).resolve().parent.parent)  # of the repository, for its parts
MAILS = 5000
_AT_ONCE = 50
_MOST_CYCLES = 3  # each takes a mailbox of its own and seconds
_PATIENCE = 300  # seconds
_PARAGRAPH = "Could you tell me where the parcel is that I ordered on Monday? The shop says it was handed over. " * 4
ACCOUNT = """
[accounts.bench]
channel = "email"
address = "{user}"
plus = false
imap.host = "127.0.0.1"
imap.port = {port}
imap.password = "{password}"
imap.ca_file = "{certificate}"
imap.since_days = 2
smtp.host = "localhost"
smtp.tls = "none"
"""

Serving = Callable[..., AbstractContextManager[list["Server"]]]
Streaming = Callable[["Server"], AbstractAsyncContextManager[Any]]


async def catch_up(results: Results, cycles: int, serving: Serving, streaming: Streaming) -> None:
    """Measure both, one after the other, in each cycle."""
    sys.path.insert(0, ROOT)
    from tests.parts.dovecot import dovecot_running

    bare: list[float] = []
    ours: list[float] = []
    grown: list[float] = []
    grown_more: list[float] = []
    mails = [_mail(number) for number in range(MAILS)]
    with dovecot_running() as dovecot:
        for _ in range(min(cycles, _MOST_CYCLES)):
            dovecot.put(user := dovecot.user(), *mails)
            _fetched(dovecot, user)  # Dovecot reads its own files for the first time, and indexes them
            bare.append(MAILS / _timed(lambda user=user: _fetched(dovecot, user)))
            account = ACCOUNT.format(
                user=user, port=dovecot.tls_port, password=dovecot.password, certificate=dovecot.certificate.chain
            )
            with serving("ours_email-uvloop", BENCH_ACCOUNT=account) as (server,):
                began, before = time.perf_counter(), _memory(server, "VmRSS")
                async with streaming(server) as stream:
                    await stream.until(MAILS, _PATIENCE)
                    ours.append(MAILS / (time.perf_counter() - began))
                    grown.append((most := _memory(server, "VmHWM")) - before)
                    if not grown_more:  # once: it takes as long again
                        dovecot.put(user, *(_mail(number) for number in range(MAILS, 2 * MAILS)))
                        await stream.until(2 * MAILS, _PATIENCE)
                        grown_more.append(_memory(server, "VmHWM") - most)
    results.add("imap_bare", bare, "mails/s", note=f"imaplib, {_AT_ONCE} at once, nothing stored")
    ratios = [mine / base for mine, base in zip(ours, bare, strict=True)]
    results.add(
        "imap_catch_up", ours, "mails/s", ratios, f"{MAILS} mails, {sum(map(len, mails)) / 2**20:.0f} MB in all"
    )
    cache = "64 MB of it may be SQLite's cache of pages"
    results.add("imap_memory", grown, "MB", note=f"the most above what the daemon had when it started; {cache}")
    results.add("imap_memory_again", grown_more, "MB", note=f"above that, for as many mails again: {2 * MAILS} in all")


def _mail(number: int) -> bytes:
    """Write a mail: most are text, each fifth is text and HTML, each twentieth has a picture of 100 kB."""
    mail = email.message.EmailMessage()
    mail["From"] = f"Customer {number % 500} <customer{number % 500}@example.org>"
    mail["To"] = "support@example.test"
    mail["Subject"] = f"Parcel {number}"
    mail["Date"] = "Sat, 28 Nov 2026 09:00:00 +0000"
    mail["Message-ID"] = f"<bench-{number}@example.org>"
    mail.set_content(f"{_PARAGRAPH}\n\n> We wrote:\n> {_PARAGRAPH}\n")
    if number % 5 == 0:
        mail.add_alternative(f"<p>{_PARAGRAPH}</p><blockquote>{_PARAGRAPH}</blockquote>", subtype="html")
    if number % 20 == 0:
        picture = os.urandom(100_000)
        mail.add_attachment(picture, maintype="image", subtype="jpeg", filename=f"parcel-{number}.jpg")
    return mail.as_bytes()


def _fetched(dovecot: Any, user: str) -> None:
    context = ssl.create_default_context(cafile=dovecot.certificate.chain)
    with imaplib.IMAP4_SSL("127.0.0.1", dovecot.tls_port, ssl_context=context) as client:
        client.login(user, dovecot.password)
        client.select("INBOX", readonly=True)
        count = 0
        for first in range(1, MAILS + 1, _AT_ONCE):
            _, found = client.uid("FETCH", f"{first}:{first + _AT_ONCE - 1}", "(UID BODY.PEEK[])")
            count += sum(isinstance(one, tuple) for one in found)
        if count != MAILS:
            raise RuntimeError(f"{count} mails came, not {MAILS}")


def _timed(do: Callable[[], None]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def _memory(server: Server, what: str) -> float:
    """Give megabytes of a process: `VmRSS` now, `VmHWM` at most."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024
