"""The texts that Meta has approved, and what becomes of them with values.

Source: Meta, "Message templates", and GET /{WABA-ID}/message_templates of its OpenAPI v23.0, read 2026-11-20.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from .errors import GraphError

_HEADER, _BODY = 60, 1024  # characters, with the values
_HOLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def _one(id_: int, name: str, language: str, *components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "parameter_format": "POSITIONAL",
        "components": list(components),
        "language": language,
        "status": "APPROVED",
        "category": "UTILITY",
        "id": str(594425479261000 + id_),
        **more,
    }


def _body(text: str, *example: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text} | ({"example": {"body_text": [list(example)]}} if example else {})


def _quick(*texts: str) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": text} for text in texts]}


TEMPLATES = (
    _one(
        1,
        "we_are_back",
        "en",
        _body("Hello {{1}}, you wrote to us and we were closed. Shall we go on here?", "Budi"),
        {"type": "FOOTER", "text": "Kopi Kita, Bandung"},
        _quick("Yes, please", "No, thank you"),
    ),
    _one(
        2,
        "order_sent",
        "en",
        {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}", "example": {"header_text": ["4711"]}},
        _body("Hello {{1}}, your order left today. It arrives *{{2}}*.", "Budi", "tomorrow before noon"),
        {
            "type": "BUTTONS",
            "buttons": [
                {"type": "URL", "text": "Follow it", "url": "https://shop.example/{{1}}", "example": ["4711"]},
                {"type": "QUICK_REPLY", "text": "Call me first"},
            ],
        },
    ),
    _one(
        3,
        "order_sent",
        "id",
        {"type": "HEADER", "format": "TEXT", "text": "Pesanan {{1}}", "example": {"header_text": ["4711"]}},
        _body("Halo {{1}}, pesanan Anda sudah dikirim. Tiba *{{2}}*.", "Budi", "besok sebelum siang"),
    ),
    _one(
        4,
        "hello_world",
        "en_US",
        {"type": "HEADER", "format": "TEXT", "text": "Hello World"},
        _body("Welcome. This message shows that a template reaches you."),
    ),
    _one(
        5,
        "appointment",
        "en",
        {
            "type": "BODY",
            "text": "Hello {{name}}, we expect you on {{day}}.",
            "example": {
                "body_text_named_params": [
                    {"param_name": "name", "example": "Budi"},
                    {"param_name": "day", "example": "Monday"},
                ]
            },
        },
        parameter_format="NAMED",
    ),
    _one(
        8,
        "back_in_stock",
        "en",
        {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://shop.example/ciwidey.png"]}},
        _body("{{1}} is here again.", "Ciwidey"),
        category="MARKETING",
    ),
    _one(6, "spring_beans", "en", _body("New beans are here."), status="PAUSED", category="MARKETING"),
    _one(7, "very_cheap", "en", _body("Buy now!"), status="REJECTED", category="MARKETING"),
)


def page(given: dict[str, str], templates: list[dict[str, Any]], url: str) -> dict[str, Any]:
    """List templates: by `name`, `status`, `language`, `limit` of them `after` a cursor."""
    found = [
        one
        for one in templates
        if all(given.get(key, one[key]) == one[key] for key in ("name", "status", "language", "category"))
    ]
    limit = min(max(int(given.get("limit", "25")), 1), 100)
    start = int(base64.urlsafe_b64decode(given["after"])) if given.get("after") else 0
    shown = found[start : start + limit]

    def cursor(n: int) -> str:
        return base64.urlsafe_b64encode(str(n).encode()).decode()

    if not shown:
        return {"data": []}
    after = cursor(start + len(shown))
    paging: dict[str, Any] = {"cursors": {"before": cursor(start), "after": after}}
    if start + len(shown) < len(found):
        paging["next"] = f"{url}?limit={limit}&after={after}"
    wanted = {"id", *given["fields"].split(",")} if given.get("fields") else None
    data = [{k: v for k, v in one.items() if wanted is None or k in wanted} for one in shown]
    return {"data": data, "paging": paging}


def filled(template: dict[str, Any], sent: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the values of a request into a template; gives what the phone shows. Errors: `GraphError`."""
    values = {_place(one): one.get("parameters", []) for one in sent}
    shown: dict[str, Any] = {"header": "", "text": "", "footer": "", "buttons": []}
    for one in template["components"]:
        match one["type"]:
            case "HEADER" if one["format"] == "TEXT":
                shown["header"] = _fill(one["text"], values.pop("header", []), "header", template)
                _fits(shown["header"], _HEADER, "header")
            case "HEADER":
                kind = one["format"].lower()
                shown["head_file"] = _shown(kind, values.pop("header", []))
            case "BODY":
                shown["text"] = _fill(one["text"], values.pop("body", []), "body", template)
                _fits(shown["text"], _BODY, "body")
            case "FOOTER":
                shown["footer"] = one["text"]
            case "BUTTONS":
                for n, button in enumerate(one["buttons"]):
                    if button["type"] == "FLOW" and f"button {n}" not in values:
                        raise GraphError(
                            131009, f"button {n}: a button of type flow is named, with or without parameters"
                        )
                    given = values.pop(f"button {n}", [])
                    shown["buttons"].append(_button(n, button, given, template))
    if values:
        raise GraphError(132000, f"{', '.join(values)}: the template has no such component")
    return shown


def _fits(text: str, most: int, where: str) -> None:
    if len(text) > most:
        raise GraphError(132005, f"{where}: {len(text)} characters with the values, the most are {most}")


def _button(n: int, button: dict[str, Any], given: list[dict[str, Any]], template: dict[str, Any]) -> dict[str, Any]:
    if button["type"] == "URL":
        return {"id": "", "title": button["text"], "url": _fill(button["url"], given, f"button {n}", template)}
    if button["type"] == "FLOW":
        if not all(one.get("type") == "action" and isinstance(one.get("action"), dict) for one in given):
            raise GraphError(132012, f"button {n}: one parameter of type action")
        return {"id": "", "title": button["text"], "url": ""}
    payload = given[0].get("payload") if given else button["text"]
    if not isinstance(payload, str) or len(given) > 1:
        raise GraphError(132000, f"button {n}: one parameter of type payload")
    return {"id": payload, "title": button["text"], "url": ""}


def _shown(kind: str, given: list[dict[str, Any]]) -> dict[str, Any]:
    if len(given) != 1 or given[0].get("type") != kind or not isinstance(given[0].get(kind), dict):
        raise GraphError(132012, f"header: one parameter of type {kind}")
    return given[0]


def _place(component: dict[str, Any]) -> str:
    kind = str(component.get("type", "")).lower()
    return f"button {component.get('index', '')}" if kind == "button" else kind


def _fill(text: str, given: list[dict[str, Any]], where: str, template: dict[str, Any]) -> str:
    holes = list(dict.fromkeys(_HOLE.findall(text)))
    if len(given) != len(holes):
        raise GraphError(
            132000,
            f"{where}: number of localizable_params ({len(given)}) does not match the expected number of params ({len(holes)})",
        )
    if not all(one.get("type") == "text" and isinstance(one.get("text"), str) and one["text"].strip() for one in given):
        raise GraphError(131008, f"{where}: a parameter of type text holds a text")
    if any(re.search(r"[\n\t]| {5}", one["text"]) for one in given):
        raise GraphError(100, f"{where}: a parameter has no new-line, tab, or more than 4 spaces in a row")
    named = template["parameter_format"] == "NAMED"
    values = (
        {one.get("parameter_name", ""): one["text"] for one in given}
        if named
        else dict(zip(holes, (one["text"] for one in given), strict=True))
    )
    if set(values) != set(holes):
        raise GraphError(132000, f"{where}: parameter_name is one of {', '.join(holes)}")
    return _HOLE.sub(lambda found: values[found[1]], text)
