"""What the simulator answers and tells is what Meta's own description of its API allows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import yaml
from jsonschema import Draft202012Validator

from talkwire_whatsapp.simulator import BUDI, BUSINESS, KINDS, OURS, SARI, Cloud

WORDS = {"token": "sim-token-0123456789", "app_secret": "sim-secret-0123456789", "verify_token": "sim-word-0123456789"}
TEXT = {"messaging_product": "whatsapp", "to": BUDI.wa_id, "type": "text", "text": {"body": "hello"}}

# The file was put together from two, and names of what goes out stand where what comes in is meant.
MEANT = {
    "TextMessage": "TextMessage_2",
    "BaseMessageProperties": "BaseMessageProperties_1",
    "ContactObject": "ContactObject_1",
    "ErrorObject": "ErrorObject_2",
} | {
    f"{kind}Message": f"{kind}Message_1"
    for kind in ["Reaction", "Audio", "Document", "Image", "Sticker", "Video", "Location"]
}
COMING = [
    "IncomingMessage",
    "SystemMessage",
    "ContactSharingMessage",
    "UnsupportedMessage",
    "ButtonMessage",
    "InteractiveMessageReply",
    "OrderMessage",
    "TextMessage_2",
    "ReactionMessage_1",
    "AudioMessage_1",
    "DocumentMessage_1",
    "ImageMessage_1",
    "StickerMessage_1",
    "VideoMessage_1",
    "LocationMessage_1",
]

Valid = Callable[[str, Any], None]


@pytest.fixture(scope="module")
def document(contracts: Any) -> Any:
    """Meta's description, with what is too strict in it, or older than its own documents, set right."""
    with (contracts / "whatsapp-cloud-api.openapi.yaml").open() as file:
        whole = yaml.load(file, Loader=yaml.CSafeLoader)
    schemas = whole["components"]["schemas"]
    for name in COMING:
        schemas[name] = json.loads(
            re.sub(
                r"/schemas/(\w+)\b",
                lambda found: f"/schemas/{MEANT.get(found[1], found[1])}",
                json.dumps(schemas[name]),
            )
        )
    schemas["BaseMessageProperties_1"]["required"].remove("from")  # not of who shows no number
    schemas["ContextObject"]["required"].remove("referred_product")  # only of who asks about a product
    schemas["Statuses"]["properties"]["status"]["enum"].append("played")
    return whole


@pytest.fixture(scope="module")
def valid(document: Any) -> Valid:
    """Compare a value with a schema of the document, by its name or by where it stands."""

    def compare(name: str, value: Any) -> None:
        schema = {"$ref": name if name.startswith("#") else f"#/components/schemas/{name}", **document}
        Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)

    return compare


def answer_of(path: str, method: str) -> str:
    return f"#/paths/{path.replace('/', '~1')}/{method}/responses/200/content/application~1json/schema"


@pytest.fixture
async def meta(aiohttp_client: Any, monkeypatch: Any) -> Any:
    """A client of the Graph API; what it tells the endpoint is kept in `told`."""
    cloud = Cloud("http://127.0.0.1:1/in/whatsapp", **WORDS, pause=0, retry_every=0)
    told: list[Any] = []

    async def post(raw: bytes) -> int:
        told.append(json.loads(raw))
        return 200

    async def nobody() -> None:
        return None

    monkeypatch.setattr(cloud, "_post", post)
    monkeypatch.setattr(cloud, "_verify", nobody)
    client = await aiohttp_client(cloud.app(), headers={"Authorization": f"Bearer {WORDS['token']}"})
    client.cloud, client.told = cloud, told
    await cloud.says(text="hello")
    return client


async def asked(meta: Any, method: str, path: str, **given: Any) -> Any:
    async with meta.request(method, f"/v23.0/{path}", **given) as answer:
        return await answer.json()


async def test_its_answers_are_those_of_the_contract(meta: Any, valid: Valid) -> None:
    messages = f"{OURS.id}/messages"
    valid("MessageResponsePayload", await asked(meta, "POST", messages, json=TEXT))
    [first, _] = meta.cloud.messages
    mark = {"messaging_product": "whatsapp", "status": "read", "message_id": first}
    valid("MarkMessageRequestPayload", mark)
    valid("MarkMessageResponsePayload", await asked(meta, "POST", messages, json=mark))
    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "application/pdf"})
    form.add_field("file", b"%PDF-1.4", filename="bill.pdf", content_type="application/pdf")
    media = await asked(meta, "POST", f"{OURS.id}/media", data=form)
    valid(answer_of("/{Version}/{Phone-Number-ID}/media", "post"), media)
    valid(answer_of("/{Version}/{Media-ID}", "get"), await asked(meta, "GET", media["id"]))
    valid(answer_of("/{Version}/{Media-ID}", "delete"), await asked(meta, "DELETE", media["id"]))
    valid(answer_of("/{Version}/{Phone-Number-ID}", "get"), await asked(meta, "GET", OURS.id))
    templates = answer_of("/{Version}/{WABA-ID}/message_templates", "get")
    valid(templates, await asked(meta, "GET", f"{BUSINESS}/message_templates"))


async def test_its_refusals_are_those_of_the_contract(meta: Any, valid: Valid) -> None:
    for given in ({"type": "text"}, {**TEXT, "to": "6281200000000"}, {**TEXT, "text": {"body": ""}}):
        valid("GraphAPIError", await asked(meta, "POST", f"{OURS.id}/messages", json=given))


@pytest.mark.prove
async def test_its_webhooks_are_those_of_the_contract(meta: Any, valid: Valid, proof: Any) -> None:
    beyond = {"edit", "revoke"}  # newer than the contract, as `unsupported` without `title` is older
    sent = []
    for options in (
        {"buttons": [{"type": "reply", "reply": {"id": "y", "title": "Yes"}}]},
        {"button": "Choose", "sections": [{"rows": [{"id": "r", "title": "Row", "description": "more"}]}]},
    ):
        kind = "button" if "buttons" in options else "list"
        interactive = {"type": kind, "body": {"text": "Well?"}, "action": options}
        message = {**TEXT, "type": "interactive", "interactive": interactive}
        del message["text"]
        sent.append((await asked(meta, "POST", f"{OURS.id}/messages", json=message))["messages"][0]["id"])
    await meta.cloud.says(SARI, text="I show no number")
    said, _ = await meta.cloud.says(text="one")
    for kind in KINDS:
        if kind in beyond | {"choice"}:
            continue
        of = said if kind == "reaction" else ""
        await meta.cloud.says(kind=kind, text="+6281299999999" if kind == "number" else "👍", answers=of)
    await meta.cloud.says(text="an answer", answers=said)
    for id_, choice in zip(sent, ("y", "r"), strict=True):
        await meta.cloud.says(kind="choice", answers=id_, choice=choice)
    for faults in ((), ("undeliverable",), ("late_failure",), ("batch",), ("duplicate",), ("together",)):
        meta.cloud.fault(*faults)
        await meta.cloud.says(text="hi")
        await asked(meta, "POST", f"{OURS.id}/messages", json=TEXT)
        await meta.cloud.idle()
    meta.cloud.fault()
    audio = {**TEXT, "type": "audio", "audio": {"link": "https://shop.example/a.ogg"}}
    del audio["text"]
    await asked(meta, "POST", f"{OURS.id}/messages", json=audio)
    await meta.cloud.idle()
    assert len(meta.told) > 30
    counted: Counter[str] = Counter()
    for body in meta.told:
        valid("WebhookPayload", body)
        values = [change["value"] for entry in body["entry"] for change in entry["changes"]]
        counted.update(one["type"] for value in values for one in value.get("messages", ()))
        counted.update(f"status {one['status']}" for value in values for one in value.get("statuses", ()))
    proof("whatsapp-simulator-contracts", {"webhooks": len(meta.told), **dict(sorted(counted.items()))})


async def test_a_webhook_that_the_contract_does_not_know_is_noticed(meta: Any, valid: Valid) -> None:
    body = meta.told[0]
    del body["entry"][0]["changes"][0]["value"]["metadata"]
    with pytest.raises(Exception, match="is not valid under any of the given schemas"):
        valid("WebhookPayload", body)
