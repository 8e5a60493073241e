"""What stands in one message: its text and its blocks, by the message's type.

Source of all shapes: Cloud API, webhooks reference, "messages", pages of each type, read 2026-11-22.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from talkwire import Block, Choice, ContactCard, Location, Other, RemoteMedia, Unreadable

from .media import handle_of
from .values import Json, complaint, inner, line, needed, number, objects, raw, text, whole

Content = tuple[str, tuple[Block, ...]]

# Names of files that come without one; what a voice note or a sticker is shows in its name alone.
_NAMES = {"image": "image", "video": "video", "audio": "audio", "voice": "voice note", "sticker": "sticker"}
_ABSURD = 1e15  # no order costs so much, and from here on a sum has no cents
_ENDINGS = {
    "audio/aac": ".aac",
    "audio/amr": ".amr",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "video/3gpp": ".3gp",
    "video/mp4": ".mp4",
}


def content(kind: str, message: Json) -> Content:
    """Give the text and the blocks of a message that somebody wrote.

    What no other block says is an `Other` with one line for a person, and the value as it came.

    Errors: `Unreadable`.
    """
    try:
        words, blocks = _READERS.get(kind, _unknown)(kind, message)
    except Unreadable:
        if not (said := complaints(message)):
            raise
        # What was written is not there, and Meta says why: a file that it could not fetch from the customer's phone.
        words, blocks = "", (Other(kind=kind[:40], text=line(f"{_NAMES.get(kind, kind)}: {said}"), raw=raw(message)),)
    return words, (*blocks, *_about(message))


def _text(_: str, message: Json) -> Content:
    body = inner(message, "text").get("body")
    if type(body) is not str:
        raise Unreadable("text.body: missing, or no text")
    return body, ()


def _media(kind: str, message: Json) -> Content:
    value = inner(message, kind)
    media_type = text(value, "mime_type").partition(";")[0].strip().lower()
    known = "voice" if kind == "audio" and value.get("voice") is True else kind
    name = text(value, "filename") or _NAMES.get(known, known) + _ENDINGS.get(media_type, "")
    digest = text(value, "sha256")
    handle = handle_of(needed(value, "id", f"{kind}."), digest)
    file = RemoteMedia(
        handle=handle, name=name, media_type=media_type, caption=text(value, "caption"), fingerprint=digest
    )
    return "", (file,)


def _location(_: str, message: Json) -> Content:
    value = inner(message, "location")
    latitude, longitude = number(value, "latitude"), number(value, "longitude")
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise Unreadable("location: no point on the earth")
    name, address = text(value, "name"), text(value, "address")
    return "", (Location(latitude=latitude, longitude=longitude, name=name, address=address),)


def _contacts(_: str, message: Json) -> Content:
    cards = tuple(map(_card, objects(message, "contacts")))
    if not cards:
        raise Unreadable("contacts: there is none")
    return "", cards


def _card(contact: Json) -> ContactCard:
    name = inner(contact, "name")
    whole_name = text(name, "formatted_name") or f"{text(name, 'first_name')} {text(name, 'last_name')}".strip()
    phones = (text(one, "phone") or text(one, "wa_id") for one in objects(contact, "phones"))
    emails = (text(one, "email") for one in objects(contact, "emails"))
    return ContactCard(
        name=whole_name or text(inner(contact, "org"), "company"),
        phones=tuple(filter(None, phones)),
        emails=tuple(filter(None, emails)),
    )


def _interactive(kind: str, message: Json) -> Content:
    value = inner(message, "interactive")
    form = text(value, "type")
    chosen = inner(value, form) if form in ("button_reply", "list_reply") else None
    if chosen is not None:
        title = text(chosen, "title")
        return title, (Choice(id=needed(chosen, "id", f"interactive.{form}."), title=title),)
    if form == "nfm_reply":
        return "", (Other(kind=form, text=_answers(inner(value, form)), raw=raw(value)),)
    if form == "call_permission_reply":
        answer = text(inner(value, form), "response") or "answered"
        return "", (Other(kind=form, text=line(f"May we call? {answer}"), raw=raw(value)),)
    said = complaints(message) or "an answer that WhatsApp did not pass on"
    return "", (Other(kind=form[:40] or kind, text=line(said), raw=raw(value or message)),)


def _answers(reply: Json) -> str:
    """Say what was filled into a flow; the answers are JSON in a text, and not always an object."""
    try:
        given = whole(text(reply, "response_json").encode("utf-8", "surrogatepass"))
    except Unreadable:
        given = {}
    fields = [f"{name}: {_said(one)}" for name, one in given.items() if name != "flow_token"]
    return line("Form filled in. " + ("; ".join(fields) or text(reply, "body")))


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _button(_: str, message: Json) -> Content:
    value = inner(message, "button")
    title = text(value, "text")
    return title, (Choice(id=text(value, "payload") or needed(value, "text", "button."), title=title),)


def _order(_: str, message: Json) -> Content:
    value = inner(message, "order")
    items = objects(value, "product_items")
    if not items:
        raise Unreadable("order.product_items: there is none")
    things = ", ".join(f"{_count(one)} × {text(one, 'product_retailer_id') or '?'}" for one in items)
    prices = [(number(one, "item_price"), number(one, "quantity"), text(one, "currency")) for one in items]
    sums = [price * pieces for price, pieces, _ in prices if price is not None and pieces is not None]
    currencies = {currency for _, _, currency in prices}
    is_sum = len(sums) == len(items) and len(currencies) == 1 and abs(sum(sums)) < _ABSURD
    total = f"; {sum(sums):.2f} {currencies.pop()}" if is_sum else ""
    return text(value, "text"), (Other(kind="order", text=f"Order: {line(things)}{total[:80]}", raw=raw(value)),)


def _count(item: Json) -> str:
    pieces = number(item, "quantity")
    return "?" if pieces is None else f"{pieces:.15g}"


def _unsupported(kind: str, message: Json) -> Content:
    what = text(inner(message, "unsupported"), "type")
    said = complaints(message) or "WhatsApp did not pass on what was written"
    return "", (Other(kind=what[:40] or kind, text=line(f"{what}: {said}" if what else said), raw=raw(message)),)


def _unknown(kind: str, message: Json) -> Content:
    said = complaints(message) or f'WhatsApp brought a message of the type "{kind[:40]}", which Talkwire does not know'
    return "", (Other(kind=kind[:40], text=line(said), raw=raw(message)),)


def complaints(message: Json) -> str:
    """Give the words of the errors that come with a message; empty: none do."""
    return "; ".join(filter(None, (complaint(one)[1] for one in objects(message, "errors"))))


_READERS: Mapping[str, Callable[[str, Json], Content]] = {
    "text": _text,
    "image": _media,
    "video": _media,
    "audio": _media,
    "voice": _media,  # before v13
    "document": _media,
    "sticker": _media,
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "unsupported": _unsupported,
    "unknown": _unsupported,
}


def _about(message: Json) -> tuple[Block, ...]:
    """Say what else is known of a message: that it was forwarded, which advertisement or product it came from."""
    if "context" not in message and "referral" not in message:
        return ()
    context, referral = inner(message, "context"), inner(message, "referral")
    found: list[Block] = []
    if context.get("frequently_forwarded") is True:
        found.append(Other(kind="forwarded", text="Forwarded many times"))
    elif context.get("forwarded") is True:
        found.append(Other(kind="forwarded", text="Forwarded"))
    if product := inner(context, "referred_product"):
        words = f"About the product {text(product, 'product_retailer_id') or '?'}"
        found.append(Other(kind="referred_product", text=line(words), raw=raw(product)))
    if referral:
        words = " ".join(filter(None, (text(referral, "headline"), text(referral, "source_url"))))
        kind = {"ad": "an advertisement", "post": "a post"}.get(text(referral, "source_type"), "a link")
        found.append(Other(kind="referral", text=line(f"Came from {kind}: {words}"), raw=raw(referral)))
    return tuple(found)
