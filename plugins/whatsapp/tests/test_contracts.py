"""Every request that we send is one that Meta's own description of its API allows."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from talkwire import (
    Buttons,
    Card,
    Choices,
    Draft,
    FormLink,
    Location,
    Media,
    Option,
    Outgoing,
    Reaction,
    ReadUpTo,
    Template,
    Text,
    TypingSignal,
    Unsupported,
)
from talkwire.testing.services import LentServices
from talkwire_whatsapp.channel import WhatsApp
from talkwire_whatsapp.settings import WhatsAppSettings
from talkwire_whatsapp.templates import known

from . import shop

SCHEMAS = "#/components/schemas/"
NEWER = {  # the file is of 2025-11; what came later, or was left out of it
    "recipient": {"type": "string", "minLength": 1},
    "biz_opaque_callback_data": {"type": "string", "maxLength": 512},
}
OPENS_A_PAGE = {
    "required": ["name", "parameters"],
    "properties": {
        "name": {"enum": ["cta_url"]},
        "parameters": {
            "required": ["display_text", "url"],
            "properties": {
                "display_text": {"type": "string", "minLength": 1, "maxLength": 20},
                "url": {"type": "string", "pattern": "^https?://"},
            },
        },
    },
}


def repaired(document: Any) -> Any:
    """Set right what is wrong in Meta's file, and add what is missing; nothing else of it is loosened."""
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        # Each part of an `allOf` refuses what the others allow: the whole refuses what none of them does.
        closed = [part for part in schema.get("allOf", ()) if part.pop("additionalProperties", True) is False]
        if closed:
            schema["unevaluatedProperties"] = False
    base = schemas["BaseMessageProperties"]
    base["properties"] |= NEWER
    base["required"] = ["messaging_product", "type"]
    base["oneOf"] = [{"required": ["to"]}, {"required": ["recipient"]}]
    schemas["LanguageObject"]["required"] = ["code"]
    point = schemas["LocationMessage"]["allOf"][1]["properties"]["location"]
    for name, most in (("latitude", 90), ("longitude", 180)):  # the file says strings; its own examples are numbers
        point["properties"][name] = {"type": "number", "minimum": -most, "maximum": most}
    point["required"] = ["latitude", "longitude"]
    schemas["InteractiveObject"]["properties"]["type"]["enum"].append("cta_url")
    schemas["InteractiveObject"]["required"].append("body")
    schemas["ActionObject"]["oneOf"].append(OPENS_A_PAGE)
    for name in ("TemplateComponent", "ButtonComponent"):  # "^[2-6, 11-14]$" knows no first button
        where = schemas[name] if name == "TemplateComponent" else schemas[name]["allOf"][1]
        where["properties"]["index"]["pattern"] = "^[0-9]$"
        where["properties"]["sub_type"]["enum"].append("copy_code")
    return document


@pytest.fixture(scope="module")
def valid(contracts: Any) -> Callable[[Any], None]:
    """Compare a request with what the description says of its type."""
    with (contracts / "whatsapp-cloud-api.openapi.yaml").open() as file:
        document = repaired(yaml.load(file, Loader=yaml.CSafeLoader))
    by_type = document["components"]["schemas"]["Message"]["discriminator"]["mapping"]
    by_type = {**by_type, "read": f"{SCHEMAS}MarkMessageRequestPayload"}
    made = {
        name: Draft202012Validator({"$ref": place, **document}, format_checker=Draft202012Validator.FORMAT_CHECKER)
        for name, place in by_type.items()
    }
    return lambda body: made[body.get("type") or body["status"]].validate(body)


SAID = {"id": "4490709327384033", "messages": [{"id": "wamid.1"}]}


def json_of(value: Any) -> bytes:
    return json.dumps(value).encode()


class Kept:
    """An HTTP client that keeps what it is given, and says what Meta says."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []

    async def post(self, _url: str, *, json: Any = None, **_more: Any) -> Any:
        if json is not None:
            self.bodies.append(json)
        return SimpleNamespace(status=200, headers={}, body=json_of(SAID), json=lambda: SAID)


@pytest.fixture
def number() -> Any:
    """A number that keeps what it would send."""
    services = LentServices(Kept())  # type: ignore[arg-type]
    for name, file in shop.FILES.items():
        services.attachments[name] = (file, b"x")
    channel = WhatsApp(WhatsAppSettings(**shop.settings(mark_read=True)), services)
    channel.templates.take(replace(known(one), status="APPROVED") for one in shop.LISTED)
    return channel


WORDS = st.text(st.sampled_from("ab *_~`>-1.\n\u200b\U0001f4a1é中"), max_size=60)
LONG = st.builds(
    lambda word, n: (word + " ") * n, st.sampled_from(["word", "**b**", "\U0001f4a1"]), st.integers(1, 1500)
)
MARKDOWN = st.one_of(WORDS, LONG, st.just("see https://a.b/c_d and [shop](https://e.f)"))
TITLES = st.text(st.sampled_from("abcdefgh \U0001f4a1é"), min_size=1, max_size=40)
URLS = st.sampled_from(["https://shop.example/o/7?a=1&b=2", "http://a.b"])
ANSWERS = st.builds(Option, st.uuids().map(str), TITLES, TITLES)
OPENING = st.builds(Option, st.just("u"), TITLES, url=URLS)
OPTIONS = st.lists(st.one_of(ANSWERS, ANSWERS, OPENING), min_size=1, max_size=12).map(tuple)
FILES = st.sampled_from(["photo", "large", "film", "voice", "smile", "pdf"])
VALUES = {"order_ready": 5, "hello_world": 0, "spring": 4}
TEMPLATES = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.lists(TITLES.filter(str.strip), min_size=VALUES[name], max_size=VALUES[name]).map(
        lambda values: Template(
            name=name,
            language="",
            values=tuple(["https://shop.example/a.png", *values[1:]] if name == "spring" else values),
        )
    )
)
BLOCKS = st.one_of(
    st.builds(Text, MARKDOWN),
    st.builds(Media, attachment=FILES, caption=MARKDOWN),
    st.builds(Buttons, text=MARKDOWN, options=OPTIONS),
    st.builds(Choices, text=MARKDOWN, button=TITLES, options=OPTIONS),
    st.builds(Card, title=TITLES, text=MARKDOWN, image=st.sampled_from(["", "photo", "film", "pdf"]), options=OPTIONS),
    st.builds(Card, title=TITLES, text=MARKDOWN, image=st.sampled_from(["", "photo", "pdf"])),
    st.builds(
        Location,
        latitude=st.floats(-90, 90),
        longitude=st.floats(-180, 180),
        name=TITLES,
        address=st.sampled_from(["", "Jl. 1"]),
    ),
    st.builds(FormLink, label=TITLES, url=URLS),
    TEMPLATES,
)
TO = st.sampled_from([(shop.ANN, ""), (shop.BSUID, ""), (shop.ANN, "Y2FwaV9ncm91cDox")])
EACH = Draft(
    blocks=(
        Text("**Hi**"),
        Media(attachment="photo", caption="A lamp"),
        Buttons(text="Well?", options=(Option("yes", "Yes"),)),
        Choices(text="Which?", button="Open", options=(Option("a", "A", "b"),)),
        Template(name="hello_world", language="id"),
    )
)
DRAFTS = st.builds(Draft, blocks=st.lists(BLOCKS, min_size=1, max_size=4).map(tuple))


@pytest.mark.prove
def test_every_request_is_one_of_the_contract(valid, number, proving, proof):
    seen: Counter[str] = Counter()
    refused: Counter[str] = Counter()

    @settings(
        max_examples=3000 if proving else 40, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(DRAFTS, TO, st.sampled_from(["", "wamid.Q"]))
    @example(EACH, (shop.ANN, ""), "wamid.Q")
    def each(said, to, reply_to):
        address, thread = to
        try:
            rendered = number.render(said, replace(shop.CONTEXT, address=address))
        except Unsupported as error:
            refused[error.kind or "draft"] += 1
            return
        number.http.bodies.clear()
        for part in rendered.parts:
            last = "wamid.L" if reply_to else ""
            out = Outgoing(
                key=shop.KEY, account="kit", address=address, thread=thread, part=part, reply_to=reply_to, last_inbound=last
            )  # fmt: skip
            loop.run(number.send(out))
        for body in number.http.bodies:
            valid(json.loads(json.dumps(body)))
            kind = body.get("type") or body["status"]
            seen[body["interactive"]["type"] if kind == "interactive" else kind] += 1

    with asyncio.Runner() as loop:
        each()
    for signal in (ReadUpTo("wamid.1"), TypingSignal(last_inbound="wamid.1"), Reaction("wamid.1", "👍")):
        number.http.bodies.clear()
        asyncio.run(number.signal(shop.ANN.value, signal))
        (body,) = number.http.bodies
        valid(body)
        seen[body.get("type") or body["status"]] += 1
    wanted = {"text", "image", "button", "list", "template", "read", "reaction"}
    assert wanted <= seen.keys(), f"never made: {wanted - seen.keys()}"
    figures = {"requests": seen.total(), **dict(sorted(seen.items())), "drafts refused before": refused.total()}
    proof("whatsapp-contracts", figures)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "text", "text": {"body": "x", "colour": "red"}},
        {"type": "location", "location": {"latitude": "1", "longitude": 2}},
        {
            "type": "interactive",
            "interactive": {"type": "button", "body": {"text": "x" * 1025}, "action": {"buttons": []}},
        },
        {"type": "text", "text": {"body": "x"}, "colour": "red"},
    ],
)
def test_what_the_contract_does_not_allow_is_found(valid, body):
    """A comparison that finds nothing would be worth nothing."""
    from jsonschema import ValidationError

    with pytest.raises(ValidationError):
        valid({"messaging_product": "whatsapp", "to": "1", **body})
