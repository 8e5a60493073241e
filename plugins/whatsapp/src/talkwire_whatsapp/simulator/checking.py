"""What the Graph API takes, and what it says of the rest.

It is as strict as the documents allow, so that our mistakes show here and not at Meta.

Sources: Meta's OpenAPI of the Cloud API v23.0, POST /{Phone-Number-ID}/messages; "Interactive messages", "Media",
read 2026-11-20.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import GraphError

TEXT, BODY, CAPTION = 4096, 1024, 1024  # characters
_COMMON = {"messaging_product", "recipient_type", "to", "recipient", "type", "context", "biz_opaque_callback_data"}
_TYPES = {
    "text", "image", "video", "audio", "document", "sticker", "location", "contacts", "interactive", "reaction", "template",
}  # fmt: skip
FREE = _TYPES - {"template"}  # what only goes out while the window is open
MEDIA = {  # message type → media types, bytes
    "image": (("image/jpeg", "image/png"), 5 * 1024**2),
    "video": (("video/mp4", "video/3gpp"), 16 * 1024**2),
    "audio": (("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), 16 * 1024**2),
    "sticker": (("image/webp",), 500 * 1024),
    "document": ((), 100 * 1024**2),  # any type
}
_OFFICE = "application/vnd.openxmlformats-officedocument"
_UPLOADED = (  # as the API itself lists them when it refuses another (fbsamples/whatsapp-api-examples#10, 2024-02-08)
    "audio/aac", "audio/mp4", "audio/mpeg", "audio/amr", "audio/ogg", "audio/opus", "application/vnd.ms-powerpoint",
    "application/msword", f"{_OFFICE}.wordprocessingml.document", f"{_OFFICE}.presentationml.presentation",
    f"{_OFFICE}.spreadsheetml.sheet", "application/pdf", "text/plain", "application/vnd.ms-excel", "image/jpeg", "image/png",
    "image/webp", "video/mp4", "video/3gpp",
)  # fmt: skip


def of(given: Any, name: str, kind: type = str, *, most: int = 0, least: int = 1, where: str = "") -> Any:
    """Take a value out of an object. Errors: `GraphError` where it is not there, of another kind, or too long."""
    place = f"{where}['{name}']" if where else name
    value = given.get(name) if isinstance(given, Mapping) else None
    if value is None:
        raise GraphError(131008, f"{place} is required.")
    if not isinstance(value, kind):
        raise GraphError(100, f"Param {place} must be {_A.get(kind, kind.__name__)}.")
    if isinstance(value, (str, list)) and not (least <= len(value) and (not most or len(value) <= most)):
        unit = "characters" if kind is str else "items"
        raise GraphError(
            131009, f"Param {place} must be of length {least} to {most or 'any'} {unit}, it is {len(value)}."
        )
    return value


_A = {str: "a string", dict: "a JSON object", list: "a JSON array", bool: "a boolean"}


def nothing_else(given: Mapping[str, Any], allowed: set[str], where: str) -> None:
    """Refuse what nobody documented."""
    if more := set(given) - allowed:
        raise GraphError(100, f'Unexpected key "{min(more)}" on param "{where}".')


FileOf = Callable[[str], tuple[str, int] | None]  # id → media type and bytes of an uploaded file; None: there is none


def checked(given: Mapping[str, Any], file_of: FileOf) -> str:
    """Check the request of a message; gives its type."""
    if given.get("messaging_product") != "whatsapp":
        raise GraphError(100, "messaging_product must be whatsapp.")
    kind: str = of(given, "type")
    if kind not in _TYPES:
        raise GraphError(131051)
    nothing_else(given, _COMMON | {kind}, "messages")
    if ("to" in given) == ("recipient" in given):
        raise GraphError(131008, "to or recipient is required, not both.")
    of(given, "to" if "to" in given else "recipient")
    if given.get("recipient_type", "individual") != "individual":
        raise GraphError(100, "recipient_type must be individual.")
    if "biz_opaque_callback_data" in given:
        of(given, "biz_opaque_callback_data", most=512)
    if "context" in given:
        nothing_else(of(given, "context", dict), {"message_id"}, "context")
        of(given["context"], "message_id", where="context")
    body = of(given, kind, list if kind == "contacts" else dict)
    if kind in MEDIA:
        _media(kind, body, file_of)
    elif kind == "interactive":
        _interactive(body, file_of)
    elif kind == "template":
        _template(body, file_of)
    else:
        _OF[kind](body)
    return kind


def uploaded(media_type: str) -> None:
    """Check the type of a file that is given to Meta, as the request says it and as the file does."""
    if media_type not in _UPLOADED:
        types = ", ".join(_UPLOADED)
        raise GraphError(
            100,
            f"Param file must be a file with one of the following types: {types}. Received file of type '{media_type}'.",
        )


def _text(body: Mapping[str, Any]) -> None:
    nothing_else(body, {"body", "preview_url"}, "text")
    of(body, "body", most=TEXT, where="text")
    if "preview_url" in body:
        of(body, "preview_url", bool, where="text")


def _media(kind: str, body: Mapping[str, Any], file_of: FileOf) -> None:
    captioned = kind in ("image", "video", "document")
    allowed = {"id", "link"} | ({"caption"} if captioned else set()) | ({"filename"} if kind == "document" else set())
    if kind == "audio":
        allowed.add("voice")
    nothing_else(body, allowed, kind)
    if captioned and "caption" in body:
        of(body, "caption", most=CAPTION, where=kind)
    _file(kind, body, file_of)


def _no_more_than_a_file(kind: str, shown: Mapping[str, Any], where: str) -> None:
    nothing_else(shown, {"id", "link"} | ({"filename"} if kind == "document" else set()), where)


def _file(kind: str, body: Mapping[str, Any], file_of: FileOf) -> None:
    """Check which file a message or a header shows, and whether it may be shown as that."""
    if ("id" in body) == ("link" in body):
        raise GraphError(131008, f"{kind} needs id or link, not both.")
    if "filename" in body:
        of(body, "filename", most=240, where=kind)
    if "link" in body:
        if not re.match(r"https?://[^\s/]+", of(body, "link", where=kind)):
            raise GraphError(100, f"Param {kind}['link'] is not a valid URL.")
        return
    file = file_of(of(body, "id", where=kind))
    if file is None:
        raise GraphError(131009, f"{kind}['id']: no such media of this number.")
    (media_type, size), (types, most) = file, MEDIA[kind]
    if types and media_type.split(";")[0] not in types:
        raise GraphError(131053, f"{kind}: {media_type} is not supported; it is one of {', '.join(types)}.")
    if size > most:
        raise GraphError(131053, f"{kind}: the file has {size} bytes, the most are {most}.")


def _location(body: Mapping[str, Any]) -> None:
    nothing_else(body, {"latitude", "longitude", "name", "address"}, "location")
    for name, limit in (("latitude", 90.0), ("longitude", 180.0)):
        try:
            is_there = abs(float(body[name])) <= limit
        except (KeyError, TypeError, ValueError):
            is_there = False
        if not is_there:
            raise GraphError(131009, f"Param location['{name}'] is no place.")
    for name in ("name", "address"):
        if name in body:
            of(body, name, most=1000, where="location")


def _contacts(body: list[Any]) -> None:
    if not 1 <= len(body) <= 5:
        raise GraphError(131009, "contacts has 1 to 5 items.")
    for one in body:
        of(of(one, "name", dict, where="contacts"), "formatted_name", where="contacts['name']")


def _reaction(body: Mapping[str, Any]) -> None:
    nothing_else(body, {"message_id", "emoji"}, "reaction")
    of(body, "message_id", where="reaction")
    of(body, "emoji", least=0, most=16, where="reaction")


def _template(body: Mapping[str, Any], file_of: FileOf) -> None:
    nothing_else(body, {"name", "language", "components"}, "template")
    of(body, "name", most=512, where="template")
    of(of(body, "language", dict, where="template"), "code", where="template['language']")
    for one in body.get("components", []):
        if of(one, "type", where="template['components']") not in ("header", "body", "button"):
            raise GraphError(100, "Param template['components']['type'] must be header, body or button.")
        if one.get("sub_type") == "flow" and "parameters" not in one:
            continue  # a form that is named takes none
        for parameter in of(one, "parameters", list, where="template['components']"):
            kind = of(parameter, "type", where="parameters")
            if kind in ("image", "video", "document"):
                shown = of(parameter, kind, dict, where="parameters")
                _no_more_than_a_file(kind, shown, "parameters")
                _file(kind, shown, file_of)


def _interactive(body: Mapping[str, Any], file_of: FileOf) -> None:
    kind = of(body, "type", where="interactive")
    nothing_else(body, {"type", "header", "body", "footer", "action"}, "interactive")
    action = of(body, "action", dict, where="interactive")
    if kind not in _ACTIONS:
        raise GraphError(131009, f"interactive['type'] {kind} is not supported.")
    of(of(body, "body", dict, where="interactive"), "text", most=BODY, where="interactive['body']")
    if "footer" in body:
        of(of(body, "footer", dict, where="interactive"), "text", most=60, where="interactive['footer']")
    if "header" in body:
        header = of(body, "header", dict, where="interactive")
        shape = of(header, "type", where="interactive['header']")
        if shape == "text":
            of(header, "text", most=60, where="interactive['header']")
        elif shape not in ("image", "video", "document") or kind == "list":
            raise GraphError(131009, f"interactive['header']['type'] {shape} is not supported here.")
        else:
            shown = of(header, shape, dict, where="interactive['header']")
            _no_more_than_a_file(shape, shown, "interactive['header']")
            _file(shape, shown, file_of)
    _ACTIONS[kind](action)


def _unlike(values: list[str], what: str) -> None:
    if len(set(values)) != len(values):
        raise GraphError(131009, f"{what} must be unique.")


def _buttons(action: Mapping[str, Any]) -> None:
    nothing_else(action, {"buttons"}, "interactive['action']")
    buttons = of(action, "buttons", list, most=3, where="action")
    replies = [
        of(one, "reply", dict, where="buttons") for one in buttons if of(one, "type", where="buttons") == "reply"
    ]
    if len(replies) != len(buttons):
        raise GraphError(131009, "buttons are of type reply.")
    _unlike([of(one, "id", most=256, where="reply") for one in replies], "Button ids")
    _unlike([of(one, "title", most=20, where="reply") for one in replies], "Button titles")


def _list(action: Mapping[str, Any]) -> None:
    nothing_else(action, {"button", "sections"}, "interactive['action']")
    of(action, "button", most=20, where="action")
    sections = of(action, "sections", list, most=10, where="action")
    rows = []
    for one in sections:
        nothing_else(one, {"title", "rows"}, "sections")
        if len(sections) > 1 or "title" in one:
            of(one, "title", most=24, where="sections")
        rows += of(one, "rows", list, most=10, where="sections")
    if len(rows) > 10:
        raise GraphError(131009, f"Total row count exceed max allowed count: 10, there are {len(rows)}.")
    for one in rows:
        nothing_else(one, {"id", "title", "description"}, "rows")
        of(one, "title", most=24, where="rows")
        if "description" in one:
            of(one, "description", most=72, where="rows")
    _unlike([of(one, "id", most=200, where="rows") for one in rows], "Row ids")


def _link(action: Mapping[str, Any]) -> None:
    if of(action, "name", where="action") != "cta_url":
        raise GraphError(131009, "action['name'] must be cta_url.")
    parameters = of(action, "parameters", dict, where="action")
    of(parameters, "display_text", most=20, where="parameters")
    if not re.match(r"https?://[^\s/]+", of(parameters, "url", where="parameters")):
        raise GraphError(131009, "parameters['url'] is not a valid URL.")


def _ask_for_place(action: Mapping[str, Any]) -> None:
    if of(action, "name", where="action") != "send_location":
        raise GraphError(131009, "action['name'] must be send_location.")


def _flow(action: Mapping[str, Any]) -> None:
    if of(action, "name", where="action") != "flow":
        raise GraphError(131009, "action['name'] must be flow.")
    of(of(action, "parameters", dict, where="action"), "flow_cta", most=20, where="parameters")


_OF: Mapping[str, Callable[[Any], None]] = {
    "text": _text,
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
}
_ACTIONS: Mapping[str, Callable[[Any], None]] = {
    "button": _buttons,
    "list": _list,
    "cta_url": _link,
    "location_request_message": _ask_for_place,
    "flow": _flow,
}
