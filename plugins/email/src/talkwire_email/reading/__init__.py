"""What a mail means: bytes in, items out; no I/O, no clock, and nothing that raises."""

from __future__ import annotations

from datetime import datetime

from talkwire import Address, Block, Enclosed, Envelope, Inbound, Item, Original, Unread

from ..own import Own
from .addresses import Named, addresses, canonical
from .bounces import reports
from .contents import IN_THE_FILE, LARGEST_TEXT, Contents, contents
from .dates import written_at
from .headers import Headers
from .hypertext import Hypertext, hypertext
from .identity import digest, follows, message_id
from .robots import has_null_return_path, is_automatic, why_ours
from .structure import Part, inner, structure
from .visible import has_quotes, new_text, plain_lines
from .words import clean

_SUBJECT = 500  # characters
_COPIES = 100  # who else got a mail
_NOTHING = "the mailbox's server could not give this mail, not even its header: it lies in the mailbox"
_NOBODY = "nobody can be answered: there is no address in From, Sender, Reply-To or Return-Path"


def read(envelope: Envelope, own: Own) -> tuple[Item, ...]:
    """Say what a mail means.

    A mail is a message, or one report for each recipient that it tells of. A mail of ours that came back gives nothing:
    its envelope is kept, and `why_dropped` says what told it. One without any address of its writer gives `Unread`.
    Whatever a part of it is like costs only that part.

    A mail over the limit, or one that its server could not give, comes as its header block, with a path that ends in
    `/headers`; it is announced. Where not even its headers came it gives `Unread`.
    """
    is_large = envelope.path.endswith("/headers")
    mail = inner(envelope.body) if is_large else structure(envelope.body)
    sender = _sender(mail.headers)
    if why_ours(mail.headers, sender.value, own):
        return ()
    at = written_at(mail.headers, envelope)
    if not is_large and (told := reports(mail, sender.value, at, own)):
        return told
    if not sender.value:
        return (Unread(_NOBODY if envelope.body else _NOTHING),)
    return (_message(mail, envelope, sender, at, own, is_large=is_large),)


def why_dropped(envelope: Envelope, own: Own) -> str:
    """Say why `read` gave nothing, in words without content; empty: it gave something."""
    headers = inner(envelope.body).headers
    return why_ours(headers, _sender(headers).value, own)


def _message(mail: Part, envelope: Envelope, sender: Named, at: datetime, own: Own, *, is_large: bool) -> Inbound:
    headers = mail.headers
    subject = clean(headers.text("subject"), _SUBJECT)
    known_as = message_id(headers)
    external_id = f"{known_as}#{digest(headers, b'' if is_large else mail.raw, sender.value)}"
    text, blocks = (_not_here(envelope), ()) if is_large else _read_contents(contents(mail), subject)
    answer_at = next((one.value for value in headers.every("reply-to") for one in addresses(value)), "")
    if "@" not in answer_at or answer_at == sender.value or own.is_ours(answer_at):
        answer_at = ""
    return Inbound(
        external_id=external_id,
        address=Address(kind="email", value=sender.value, name=sender.name),
        at=at,
        text=text,
        blocks=blocks,
        thread=known_as or external_id,
        subject=subject,
        automatic=is_automatic(headers, sender.value, own),
        known_as=known_as,
        follows=follows(headers, own),
        cc=_copies(headers, sender.value, own),
        answer_at=answer_at,
    )


def _sender(headers: Headers) -> Named:
    """Give who wrote: the first in From; where that is empty, the next header that says it."""
    for name in ("from", "sender", "reply-to"):
        for value in headers.every(name):
            if found := addresses(value):
                return found[0]
    for value in headers.every("return-path"):
        if address := canonical(value):
            return Named(address)
    # A server that reports, as `MAILER DAEMON <>`: it cannot be answered, and need not be.
    is_server = has_null_return_path(headers) or headers.raw("from").endswith("<>")
    return Named("mailer-daemon") if is_server else Named("")


def _copies(headers: Headers, sender: str, own: Own) -> tuple[str, ...]:
    all_of_them = (one.value for name in ("to", "cc") for value in headers.every(name) for one in addresses(value))
    others = (one for one in all_of_them if "@" in one and one != sender and not own.is_ours(one))
    return tuple(dict.fromkeys(others))[:_COPIES]


def _read_contents(found: Contents, subject: str) -> tuple[str, tuple[Block, ...]]:
    """Give what is new in a mail, and blocks of the whole and of its files."""
    html = "\n".join(one.html or _as_html(one.plain) for one in found.texts) if any(t.html for t in found.texts) else ""
    shown = hypertext(html) if html else Hypertext([], "")
    files = list(found.files)
    for number, one in enumerate(shown.pictures, 1):
        name = f"picture-{number}.{one.media_type.partition('/')[2]}"
        files.append(Enclosed(content=one.content, name=name, media_type=one.media_type, content_id=one.content_id))
    has_plain = _has_plain(found)
    whole = found.text if has_plain else shown.text
    # By the marks in hypertext where there are any, else by the lines of the text.
    lines = plain_lines(whole) if has_plain and not has_quotes(shown.lines) else shown.lines
    text = new_text(lines, subject)
    if not shown.is_whole or len(shown.text) > LARGEST_TEXT:
        files.append(Enclosed(content=html.encode("utf-8", "replace"), name="mail.html", media_type="text/html"))
    whole, text = _readable(whole), _readable(text)
    blocks: list[Block] = []
    if whole != text or shown.safe:
        blocks.append(Original(text=whole if whole != text else "", html=shown.safe))
    return text, (*blocks, *files)


def _readable(text: str) -> str:
    """Give as much of a text as people read; all of it is in a file."""
    return text if len(text) <= LARGEST_TEXT + 100 else f"{text[:LARGEST_TEXT]}\n\n{IN_THE_FILE}"


def _has_plain(found: Contents) -> bool:
    """Say whether the plain text is all that was written: each text came in that form."""
    return bool(found.text.strip()) and all(one.plain.strip() or not one.html for one in found.texts)


def _as_html(plain: str) -> str:
    escaped = plain.replace("&", "&amp;").replace("<", "&lt;")
    return f"<pre>{escaped}</pre>" if plain.strip() else ""


def _not_here(envelope: Envelope) -> str:
    size = envelope.param("size")
    mebibytes = f" ({int(size) / 1024**2:.1f} MiB)" if size.isascii() and size.isdigit() and len(size) < 16 else ""
    return (
        f"[Only the header of this mail is here: it is too large{mebibytes}, or its server could not give it."
        " The mail lies in the mailbox.]"
    )


__all__ = ["read", "why_dropped"]
