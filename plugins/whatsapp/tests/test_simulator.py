"""The simulator is Meta to us, and a phone to people; nothing of the channel judges it."""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
import io
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from talkwire_whatsapp import simulator as package
from talkwire_whatsapp.simulator import ANA, BUDI, BUSINESS, FAULTS, OTHER, OURS, SARI, Cloud, simulator

WORDS = {"token": "sim-token-0123456789", "app_secret": "sim-secret-0123456789", "verify_token": "sim-word-0123456789"}
SAYING = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": BUDI.wa_id}


class Endpoint:
    """What stands for our `/in/<endpoint>`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.signed: list[bool] = []
        self.answers: list[int] = []  # statuses to give first; then 200
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            is_known = request.query.get("hub.verify_token") == WORDS["verify_token"]
            return web.Response(text=request.query["hub.challenge"]) if is_known else web.Response(status=403)
        raw = await request.read()
        assert raw.isascii()
        assert b"/" not in raw.replace(b"\\/", b"")
        digest = hmac.new(WORDS["app_secret"].encode(), raw, hashlib.sha256).hexdigest()
        self.signed.append(request.headers["X-Hub-Signature-256"] == f"sha256={digest}")
        self.bodies.append(json.loads(raw))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    @property
    def values(self) -> list[dict[str, Any]]:
        return [change["value"] for body in self.bodies for entry in body["entry"] for change in entry["changes"]]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [one for value in self.values for one in value.get("messages", [])]

    @property
    def statuses(self) -> list[dict[str, Any]]:
        return [one for value in self.values for one in value.get("statuses", [])]


@pytest.fixture
async def endpoint(aiohttp_server: Any) -> Endpoint:
    one = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/in/whatsapp", one.take)
    server = await aiohttp_server(app)
    one.url = f"http://127.0.0.1:{server.port}/in/whatsapp"
    return one


@pytest.fixture
async def meta(endpoint: Endpoint, aiohttp_client: Any) -> Any:
    """A client of the Graph API, with the cloud behind it; the customer has written."""
    cloud = Cloud(endpoint.url, **WORDS, pause=0, slow=0.01, retry_every=0)
    client = await aiohttp_client(cloud.app())
    client.cloud = cloud
    await cloud.idle()
    await cloud.says(text="hello")
    endpoint.bodies.clear()
    return client


async def call(
    meta: Any, method: str = "POST", path: str = f"{OURS.id}/messages", *, token: str = WORDS["token"], **given: Any
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with meta.request(method, f"/v23.0/{path}", headers=headers, **given) as answer:
        return answer.status, await answer.json()


async def send(meta: Any, kind: str = "text", value: Any = None, **more: Any) -> tuple[int, Any]:
    """Send a message, and wait until what came of it has been told."""
    message = {**SAYING, "type": kind, kind: {"body": "hello"} if value is None else value, **more}
    got = await call(meta, json={name: one for name, one in message.items() if one is not None})
    await meta.cloud.idle()
    return got


def code(got: tuple[int, Any]) -> int:
    return int(got[1]["error"]["code"]) if "error" in got[1] else 0


def shown(meta: Any) -> list[dict[str, Any]]:
    return [one for one in meta.cloud.messages.values() if one["to_phone"]]


# --- what we send ------------------------------------------------------------------------------------------


async def test_what_we_send_reaches_the_phone_and_is_reported_under_its_id_and_our_key(
    meta: Any, endpoint: Endpoint
) -> None:
    status, said = await send(meta, biz_opaque_callback_data="our key")
    assert status == 200
    assert said["contacts"] == [{"input": BUDI.wa_id, "wa_id": BUDI.wa_id, "user_id": BUDI.user_id}]
    [message] = shown(meta)
    assert (message["id"], message["text"]) == (said["messages"][0]["id"], "hello")
    assert [one["status"] for one in endpoint.statuses] == ["sent", "delivered", "read"]
    assert {(one["id"], one["biz_opaque_callback_data"], one["recipient_id"]) for one in endpoint.statuses} == {
        (message["id"], "our key", BUDI.wa_id)
    }
    assert all(endpoint.signed)


async def test_who_has_no_number_is_written_to_by_the_id(meta: Any, endpoint: Endpoint) -> None:
    await meta.cloud.says(SARI, text="hi")
    assert "from" not in endpoint.messages[0]
    assert endpoint.values[0]["contacts"] == [
        {"profile": {"name": "Sari", "username": "sari.w"}, "user_id": SARI.user_id}
    ]
    status, said = await send(meta, to=None, recipient=SARI.user_id)
    assert (status, said["contacts"]) == (200, [{"input": SARI.user_id, "user_id": SARI.user_id}])


LONG = "x" * 5000
BUTTON = {"type": "reply", "reply": {"id": "y", "title": "Yes"}}
LINK = {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://shop.example"}}
PICTURE = {"link": "https://shop.example/a.png"}


def button(id_: str, title: str) -> dict[str, Any]:
    return {"type": "reply", "reply": {"id": id_, "title": title}}


def buttons(*them: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "button", "body": {"text": "Well?"}, "action": {"buttons": list(them)}, **more}


def rows(count: int, **more: Any) -> dict[str, Any]:
    them = [{"id": f"r{n}", "title": f"Row {n}", **more} for n in range(count)]
    return {"type": "list", "body": {"text": "Which?"}, "action": {"button": "Choose", "sections": [{"rows": them}]}}


def template(name: str, language: str, *components: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "language": {"code": language}} | ({"components": list(components)} if components else {})


HEAD = {"type": "header", "parameters": [{"type": "image", "image": PICTURE}]}
BODY = {"type": "body", "parameters": [{"type": "text", "text": "Ciwidey"}]}


@pytest.mark.parametrize(
    ("kind", "value", "more", "says"),
    [
        ("text", {"body": LONG[:4096]}, {}, 0),
        ("text", {"body": LONG[:4097]}, {}, 131009),
        ("text", {"body": ""}, {}, 131009),
        ("text", {"text": "hi"}, {}, 100),
        ("text", None, {"to": None}, 131008),
        ("text", None, {"recipient": SARI.user_id}, 131008),
        ("text", None, {"to": "nobody"}, 131009),
        ("text", None, {"messaging_product": "sms"}, 100),
        ("text", None, {"colour": "red"}, 100),
        ("text", None, {"biz_opaque_callback_data": "x" * 513}, 131009),
        ("carousel", {}, {}, 131051),
        ("image", {"id": "1"}, {}, 131009),
        ("image", {**PICTURE, "caption": LONG[:1024]}, {}, 0),
        ("image", {**PICTURE, "caption": LONG[:1025]}, {}, 131009),
        ("image", {"link": "ftp://shop.example/a.png"}, {}, 100),
        ("audio", {"link": "https://shop.example/a.ogg", "caption": "no"}, {}, 100),
        ("location", {"latitude": -6.2, "longitude": "106.8"}, {}, 0),
        ("location", {"latitude": 91, "longitude": 0}, {}, 131009),
        ("contacts", [{"name": {"formatted_name": "Ann", "first_name": "Ann"}}], {}, 0),
        ("contacts", [], {}, 131009),
        ("interactive", buttons(BUTTON), {}, 0),
        ("interactive", buttons(), {}, 131009),
        ("interactive", buttons(BUTTON, BUTTON), {}, 131009),
        ("interactive", buttons(*(button(str(n), str(n)) for n in range(4))), {}, 131009),
        ("interactive", buttons(button("y", "x" * 21)), {}, 131009),
        ("interactive", buttons(BUTTON, footer={"text": "x" * 61}), {}, 131009),
        ("interactive", rows(10), {}, 0),
        ("interactive", rows(11), {}, 131009),
        ("interactive", rows(1, description="x" * 73), {}, 131009),
        ("interactive", {"type": "cta_url", "body": {"text": "Look"}, "action": LINK}, {}, 0),
        ("template", template("hello_world", "en_US"), {}, 0),
        ("template", template("hello_world", "id"), {}, 132001),
        ("template", template("very_cheap", "en"), {}, 132001),
        ("template", template("spring_beans", "en"), {}, 132015),
        ("template", template("order_sent", "en"), {}, 132000),
        ("template", template("back_in_stock", "en"), {}, 132012),
        ("template", template("back_in_stock", "en", HEAD, BODY), {}, 0),
        ("reaction", {"message_id": "wamid.none", "emoji": "👍"}, {}, 131009),
    ],
)
async def test_limits_are_kept_as_at_meta(meta: Any, kind: str, value: Any, more: dict[str, Any], says: int) -> None:
    assert code(await send(meta, kind, value, **more)) == says
    assert len(shown(meta)) == (says == 0)


async def test_a_template_is_shown_with_its_values_and_its_button_comes_back(meta: Any, endpoint: Endpoint) -> None:
    payload = {"type": "payload", "payload": "go-on"}
    components = [
        {"type": "body", "parameters": [{"type": "text", "text": "Budi"}]},
        {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [payload]},
    ]
    _, said = await send(meta, "template", template("we_are_back", "en", *components))
    assert said["messages"][0]["message_status"] == "accepted"
    [message] = shown(meta)
    assert message["text"] == "Hello Budi, you wrote to us and we were closed. Shall we go on here?"
    await meta.cloud.says(kind="choice", answers=message["id"], choice="go-on")
    assert endpoint.messages[0]["button"] == {"payload": "go-on", "text": "Yes, please"}
    assert endpoint.messages[0]["context"] == {"from": OURS.shown, "id": message["id"]}


async def test_templates_are_listed_a_page_at_a_time(meta: Any) -> None:
    path = f"{BUSINESS}/message_templates"
    found: list[tuple[str, ...]] = []
    after: dict[str, str] = {}
    while True:
        _, page = await call(meta, "GET", path, params={"limit": "3", **after})
        found += [(one["name"], one["language"], one["status"]) for one in page["data"]]
        if "next" not in page["paging"]:
            break
        after = {"after": page["paging"]["cursors"]["after"]}
    assert len(found) == len(set(found)) == 8
    assert ("spring_beans", "en", "PAUSED") in found
    _, page = await call(meta, "GET", path, params={"name": "order_sent", "fields": "name,language"})
    assert [one["language"] for one in page["data"]] == ["en", "id"]
    assert page["data"][0].keys() == {"name", "language", "id"}


async def test_who_does_not_know_the_token_gets_nothing(meta: Any) -> None:
    got = await call(meta, json={**SAYING, "type": "text", "text": {"body": "hi"}}, token="wrong")
    assert (got[0], code(got)) == (401, 190)
    assert shown(meta) == []


async def test_a_number_that_is_not_ours_does_not_exist(meta: Any) -> None:
    got = await call(meta, path="999999/messages", json={**SAYING, "type": "text", "text": {"body": "hi"}})
    assert (code(got), got[1]["error"]["error_subcode"]) == (100, 33)


async def test_a_number_says_who_it_is(meta: Any) -> None:
    _, said = await call(meta, "GET", OURS.id)
    assert (said["verified_name"], said["display_phone_number"]) == ("Kopi Kita", "+62 855-50783881")


# --- windows and rates -------------------------------------------------------------------------------------


async def test_after_24_hours_by_metas_clock_only_templates_go_out_until_the_customer_writes(meta: Any) -> None:
    assert code(await send(meta, to=ANA.wa_id)) == 131047  # who never wrote
    await meta.post("/sim/clock", json={"hours": 23.9})
    assert code(await send(meta)) == 0
    await meta.post("/sim/clock", json={"hours": 24.1})
    assert code(await send(meta)) == 131047
    assert code(await send(meta, "template", template("hello_world", "en_US"))) == 0
    await meta.cloud.says(text="hello again")
    assert code(await send(meta)) == 0


async def test_a_number_sends_80_messages_a_second_and_45_at_once_to_one_customer(
    endpoint: Endpoint, aiohttp_client: Any
) -> None:
    now = [1_795_000_000.0]
    cloud = Cloud(endpoint.url, **WORDS, pause=0, windows=False, clock=lambda: now[0])
    meta = await aiohttp_client(cloud.app())
    cloud.fault("lost")

    async def sent(to: str) -> int:
        return code(await call(meta, json={**SAYING, "to": to, "type": "text", "text": {"body": "hi"}}))

    assert [await sent(BUDI.wa_id) for _ in range(46)] == [0] * 45 + [131056]
    assert [await sent(f"62812000{n:04}") for n in range(36)] == [0] * 35 + [130429]
    now[0] += 1
    assert await sent(ANA.wa_id) == 0
    assert await sent(BUDI.wa_id) == 131056
    now[0] += 5
    assert await sent(BUDI.wa_id) == 0
    assert len(cloud.taken) == 82


# --- files -------------------------------------------------------------------------------------------------


async def fetched(meta: Any, media: str, token: str = WORDS["token"]) -> tuple[int, bytes]:
    status, said = await call(meta, "GET", media, params={"phone_number_id": OURS.id})
    assert status == 200
    url = said["url"].replace(str(meta.make_url("/")), "/")
    async with meta.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
        return answer.status, await answer.read()


async def test_a_file_of_the_customer_is_fetched_in_two_steps_once_with_the_token(
    meta: Any, endpoint: Endpoint
) -> None:
    await meta.cloud.says(kind="image", text="look")
    image = endpoint.messages[0]["image"]
    assert (image["mime_type"], image["caption"]) == ("image/png", "look")
    status, content = await fetched(meta, image["id"])
    assert (status, content[:4]) == (200, b"\x89PNG")
    assert base64.b64encode(hashlib.sha256(content).digest()).decode() == image["sha256"]
    assert (await fetched(meta, image["id"], token="wrong"))[0] == 401
    _, said = await call(meta, "GET", image["id"])
    assert said["sha256"] == hashlib.sha256(content).hexdigest()
    ticket = said["url"].rpartition("/")[2]
    assert meta.cloud.shelf.redeem(ticket) is not None
    assert meta.cloud.shelf.redeem(ticket) is None
    _, said = await call(meta, "GET", image["id"])
    meta.cloud.turn(hours=0.1)
    assert meta.cloud.shelf.redeem(said["url"].rpartition("/")[2]) is None


async def test_a_file_of_ours_is_uploaded_and_shown(meta: Any) -> None:
    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "application/pdf"})
    form.add_field("file", io.BytesIO(b"%PDF-1.4"), filename="bill.pdf", content_type="application/pdf")
    _, said = await call(meta, path=f"{OURS.id}/media", data=form)
    assert code(await send(meta, "document", {"id": said["id"], "filename": "bill.pdf", "caption": "your bill"})) == 0
    [message] = shown(meta)
    about = {"kind": "document", "name": "bill.pdf", "type": "application/pdf", "size": 8}
    assert message["file"] == {"id": said["id"], **about}
    assert code(await send(meta, "image", {"id": said["id"]})) == 131053
    answer = await meta.get(f"/sim/files/{said['id']}")
    assert (answer.content_type, await answer.read()) == ("application/octet-stream", b"%PDF-1.4")


async def test_a_file_that_is_larger_than_its_kind_may_be_is_not_shown(meta: Any) -> None:
    def header(kind: str, id_: str) -> dict[str, Any]:
        return buttons(BUTTON, header={"type": kind, kind: {"id": id_}})

    for kind, media_type, most in (
        ("image", "image/png", 5 * 1024**2),
        ("video", "video/mp4", 16 * 1024**2),
        ("audio", "audio/ogg", 16 * 1024**2),
        ("sticker", "image/webp", 500 * 1024),
    ):
        fits, over = (meta.cloud.shelf.put(bytes(size), media_type, "a").id for size in (most, most + 1))
        found = [code(await send(meta, kind, {"id": id_})) for id_ in (fits, over)]
        if kind in ("image", "video"):
            found += [code(await send(meta, "interactive", header(kind, id_))) for id_ in (fits, over)]
            found += [code(await send(meta, "document", {"id": over}))]  # as a file, anything of 100 MB
        assert found in ([0, 131053], [0, 131053, 0, 131053, 0]), kind


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        ({"link": "https://shop.example/a.png"}, 0),
        ({"id": "1"}, 131009),
        ({}, 131008),
        ({"link": "ftp://shop.example/a.png"}, 100),
        ({"link": "https://shop.example/a.png", "caption": "no"}, 100),
    ],
)
async def test_a_header_is_checked_as_a_file_is(meta: Any, shown: dict[str, Any], says: int) -> None:
    assert code(await send(meta, "interactive", buttons(BUTTON, header={"type": "image", "image": shown}))) == says


def values(component: str, *them: str) -> dict[str, Any]:
    return {"type": component, "parameters": [{"type": "text", "text": one} for one in them]}


@pytest.mark.parametrize(
    ("header", "body", "says"),
    [("7" * 54, "x", 0), ("7" * 55, "x", 132005), ("7", "x" * 978, 0), ("7", "x" * 979, 132005)],
    ids=["a header", "too long a header", "a body", "too long a body"],
)
async def test_the_words_of_a_template_are_measured_with_their_values(
    meta: Any, header: str, body: str, says: int
) -> None:
    ends = {**values("button", "4711"), "sub_type": "url", "index": "0"}
    value = template("order_sent", "en", values("header", header), values("body", body, "y"), ends)
    assert code(await send(meta, "template", value)) == says


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        ({"link": "https://shop.example/a.png"}, 0),
        ({}, 131008),
        ({"id": "1"}, 131009),
        ({"link": "https://shop.example/a.png", "caption": "no"}, 100),
        (5 * 1024**2, 0),
        (5 * 1024**2 + 1, 131053),
    ],
    ids=["a link", "nothing", "not there", "a caption", "fits", "too large"],
)
async def test_the_header_of_a_template_is_checked_as_a_file_is(meta: Any, shown: Any, says: int) -> None:
    if isinstance(shown, int):
        shown = {"id": meta.cloud.shelf.put(bytes(shown), "image/png", "a.png").id}
    head = {"type": "header", "parameters": [{"type": "image", "image": shown}]}
    assert code(await send(meta, "template", template("back_in_stock", "en", head, BODY))) == says


async def test_a_template_with_a_form_names_it(meta: Any) -> None:
    buttons = {"type": "BUTTONS", "buttons": [{"type": "FLOW", "text": "Sign up"}]}
    one = {**meta.cloud.templates[3], "name": "survey"}
    meta.cloud.templates.append({**one, "components": [*one["components"], buttons]})
    named = {"type": "button", "sub_type": "flow", "index": "0"}
    token = [{"type": "action", "action": {"flow_token": "unused"}}]
    sent = [template("survey", "en_US", *parts) for parts in ((), (named,), ({**named, "parameters": token},))]
    assert [code(await send(meta, "template", value)) for value in sent] == [131009, 0, 0]
    assert [option["title"] for option in shown(meta)[-1]["options"]] == ["Sign up"]
    nothing = {"kind": "choice", "answers": shown(meta)[-1]["id"]}  # a form is no answer
    answer = await meta.post("/sim/messages", json=nothing)
    assert (answer.status, await answer.text()) == (400, "choice names no option of that message")


@pytest.mark.parametrize(
    ("said", "its_own", "says"),
    [
        ("application/zip", "application/zip", 100),
        ("image/gif", "image/gif", 100),
        ("text/plain", "text/csv", 100),
        ("text/csv", "text/plain", 100),
        ("text/plain", "text/plain", 0),
    ],
)
async def test_a_file_of_a_type_that_meta_does_not_list_is_not_taken(
    meta: Any, said: str, its_own: str, says: int
) -> None:
    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": said})
    form.add_field("file", io.BytesIO(b"PK"), filename="a", content_type=its_own)
    assert code(await call(meta, path=f"{OURS.id}/media", data=form)) == says


# --- what the customer does --------------------------------------------------------------------------------


async def said(meta: Any, endpoint: Endpoint, kind: str, text: str = "", **more: Any) -> dict[str, Any]:
    endpoint.bodies.clear()
    await meta.cloud.says(kind=kind, text=text, **more)
    [message] = endpoint.messages
    return message


async def test_everything_that_a_customer_does_is_told_as_meta_tells_it(meta: Any, endpoint: Endpoint) -> None:
    text = await said(meta, endpoint, "text", "Grüße 🙏")
    assert (text["from"], text["from_user_id"], text["text"]) == (BUDI.wa_id, BUDI.user_id, {"body": "Grüße 🙏"})
    assert text["timestamp"].isdigit()
    voice = await said(meta, endpoint, "voice")
    assert (voice["type"], voice["audio"]["voice"]) == ("audio", True)
    assert voice["audio"]["mime_type"] == "audio/ogg; codecs=opus"
    assert (await said(meta, endpoint, "document"))["document"]["filename"] == "receipt.pdf"
    assert (await said(meta, endpoint, "location"))["location"]["name"] == "Monas"
    assert (await said(meta, endpoint, "contact"))["contacts"][0]["name"]["formatted_name"] == "Budi Santoso"
    assert (await said(meta, endpoint, "order"))["order"]["product_items"][0]["quantity"] == 2
    assert (await said(meta, endpoint, "poll"))["errors"][0]["code"] == 131051
    mine = {"answers": text["id"]}
    assert (await said(meta, endpoint, "text", "yes", **mine))["context"] == {"from": BUDI.wa_id, "id": text["id"]}
    reacted = await said(meta, endpoint, "reaction", "👍", **mine)
    assert reacted["reaction"] == {"message_id": text["id"], "emoji": "👍"}
    assert (await said(meta, endpoint, "reaction", "", **mine))["reaction"] == {"message_id": text["id"]}
    edit = await said(meta, endpoint, "edit", "Grüße!", **mine)
    assert edit["edit"] == {"original_message_id": text["id"], "message": {"type": "text", "text": {"body": "Grüße!"}}}
    assert (await said(meta, endpoint, "revoke", **mine))["revoke"] == {"original_message_id": text["id"]}
    moved = await said(meta, endpoint, "number", "+6281299999999")
    assert moved["system"]["wa_id"] == "6281299999999"
    assert "contacts" not in endpoint.values[-1]


async def test_buttons_and_rows_come_back_with_what_they_answer(meta: Any, endpoint: Endpoint) -> None:
    await send(meta, "interactive", buttons(BUTTON))
    await send(meta, "interactive", rows(2, description="more"))
    first, second = shown(meta)
    pressed = await said(meta, endpoint, "choice", answers=first["id"], choice="y")
    assert pressed["interactive"] == {"type": "button_reply", "button_reply": {"id": "y", "title": "Yes"}}
    chosen = await said(meta, endpoint, "choice", answers=second["id"], choice="r1")
    assert chosen["interactive"]["list_reply"] == {"id": "r1", "title": "Row 1", "description": "more"}


async def test_what_we_read_is_shown_as_read_and_we_are_seen_typing(meta: Any, monkeypatch: Any) -> None:
    told: list[Any] = []
    monkeypatch.setattr(meta.cloud, "tell", told.append)
    first, _ = await meta.cloud.says(text="one")
    await meta.cloud.says(text="two")
    mark = {"messaging_product": "whatsapp", "status": "read", "message_id": first}
    assert await call(meta, json={**mark, "typing_indicator": {"type": "text"}}) == (200, {"success": True})
    assert told[-1] == {"typing": BUDI.key, "seconds": 25.0}
    assert [one["state"] for one in meta.cloud.messages.values()] == ["read", "read", "delivered"]
    assert code(await call(meta, json={**mark, "message_id": "wamid.none"})) == 131009


# --- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "says", "reports"),
    [
        ("unavailable", 500, 131016, []),
        ("too_many", 429, 130429, []),
        ("pair", 400, 131056, []),
        ("token", 401, 190, []),
        ("slow", 200, 0, ["sent", "delivered", "read"]),
        ("window", 400, 131047, []),
        ("lost", 200, 0, []),
        ("twice", 200, 0, ["sent", "sent", "delivered", "delivered", "read", "read"]),
        ("reversed", 200, 0, ["read", "delivered", "sent"]),
        ("together", 200, 0, ["sent", "delivered", "read"]),
        ("early", 200, 0, ["sent", "delivered", "read"]),
        ("undeliverable", 200, 0, ["failed"]),
        ("window_late", 200, 0, ["failed"]),
        ("late_failure", 200, 0, ["sent", "delivered", "failed"]),
        ("off", 200, 0, ["sent"]),
        ("unseen", 200, 0, ["sent", "delivered"]),
        ("skipped", 200, 0, ["sent", "read"]),
    ],
)
async def test_each_fault_does_what_it_says(
    meta: Any, endpoint: Endpoint, name: str, status: int, says: int, reports: list[str]
) -> None:
    meta.cloud.fault(name)
    got = await send(meta)
    assert (got[0], code(got)) == (status, says)
    assert [one["status"] for one in endpoint.statuses] == reports
    reached = any(one["reached"] for one in shown(meta))
    assert reached is (says == 0 and name not in ("undeliverable", "window_late", "off"))


async def test_statuses_that_come_early_come_before_the_answer(meta: Any, endpoint: Endpoint) -> None:
    meta.cloud.fault("early")
    await call(meta, json={**SAYING, "type": "text", "text": {"body": "hi"}})
    assert len(endpoint.statuses) == 3


async def test_a_failure_names_its_code_and_no_contact(meta: Any, endpoint: Endpoint) -> None:
    meta.cloud.fault("window_late")
    await send(meta, biz_opaque_callback_data="our key")
    [value] = endpoint.values
    assert "contacts" not in value
    [one] = value["statuses"]
    assert (one["errors"][0]["code"], one["biz_opaque_callback_data"]) == (131047, "our key")


async def test_a_bare_500_says_nothing_and_took_nothing(meta: Any) -> None:
    meta.cloud.fault("broken")
    headers = {"Authorization": f"Bearer {WORDS['token']}"}
    async with meta.post(f"/v23.0/{OURS.id}/messages", json=SAYING, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (500, "Internal Server Error")
    assert shown(meta) == []


async def test_a_template_that_is_refused(meta: Any) -> None:
    meta.cloud.fault("template")
    assert code(await send(meta, "template", template("hello_world", "en_US"))) == 132001


async def test_a_reset_loses_the_answer_and_not_the_message(meta: Any, endpoint: Endpoint) -> None:
    meta.cloud.fault("reset")
    with pytest.raises(aiohttp.ClientError):
        await send(meta, biz_opaque_callback_data="our key")
    await meta.cloud.idle()
    assert [one["text"] for one in shown(meta)] == ["hello"]
    assert meta.cloud.requests == 1
    assert {one["biz_opaque_callback_data"] for one in endpoint.statuses} == {"our key"}


async def test_a_voice_note_is_played(meta: Any, endpoint: Endpoint) -> None:
    await send(meta, "audio", {"link": "https://shop.example/a.ogg"})
    assert [one["status"] for one in endpoint.statuses] == ["sent", "delivered", "read", "played"]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("duplicate", ["hi", "hi", "hi", "hi"]),
        ("batch", ["This is for the other number", "hi"]),
        ("damaged", [None, "hi"]),
        ("late", ["hi"]),
    ],
)
async def test_messages_come_as_the_fault_says(meta: Any, endpoint: Endpoint, name: str, texts: list[Any]) -> None:
    meta.cloud.fault(name)
    await meta.cloud.says(text="hi")
    assert [one["text"].get("body") if isinstance(one["text"], dict) else None for one in endpoint.messages] == texts
    if name == "batch":
        assert [value["metadata"]["phone_number_id"] for value in endpoint.values] == [OTHER.id, OURS.id]
    if name == "late":
        assert int(endpoint.messages[0]["timestamp"]) < meta.cloud.now() - 24 * 3600


async def test_a_wrong_signature_shows(meta: Any, endpoint: Endpoint) -> None:
    endpoint.answers = [401]
    meta.cloud.fault("wrong_signature")
    id_, status = await meta.cloud.says(text="hi")
    assert (status, endpoint.signed[-1]) == (401, False)
    assert meta.cloud.messages[id_]["note"] == "the endpoint answered 401"


@pytest.mark.parametrize(("name", "status"), [("no_fetch", 404), ("changed", 200), ("stale", 404)])
async def test_files_go_wrong_as_the_fault_says(meta: Any, endpoint: Endpoint, name: str, status: int) -> None:
    await meta.cloud.says(kind="image")
    image = endpoint.messages[0]["image"]
    meta.cloud.fault(name)
    got, content = await fetched(meta, image["id"])
    assert got == status
    assert base64.b64encode(hashlib.sha256(content).digest()).decode() != image["sha256"]
    if name == "stale":
        assert (await fetched(meta, image["id"]))[0] == 200


async def test_a_message_that_was_not_taken_comes_again(meta: Any, endpoint: Endpoint) -> None:
    endpoint.answers = [503]
    id_, status = await meta.cloud.says(text="hi")
    await meta.cloud.idle()
    assert status == 503
    assert endpoint.bodies[0] == endpoint.bodies[1]
    assert (meta.cloud.messages[id_]["note"], meta.cloud.messages[id_]["state"]) == ("", "delivered")


async def test_the_webhook_is_verified_at_the_start(meta: Any) -> None:
    assert meta.cloud.webhook == "verified"


# --- the page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/phone.js", "/marks.js", "/phone.css"])
async def test_the_page_needs_nothing_from_elsewhere(meta: Any, path: str) -> None:
    answer = await meta.get(path)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    words = await answer.text()
    for word in ("http:", "https:", " style=", "innerHTML"):
        assert word not in words


async def test_no_secret_is_told_to_the_page(meta: Any) -> None:
    await send(meta)
    async with meta.get("/sim/stream") as stream:
        told = await stream.content.readline()
    for path in ("/sim/messages", "/sim/faults", "/"):
        told += await (await meta.get(path)).read()
    assert not [word for word in WORDS.values() if word.encode() in told]


async def test_another_site_cannot_play_the_customer(meta: Any, endpoint: Endpoint) -> None:
    for path in ("/sim/messages", "/sim/clock"):
        answer = await meta.post(path, data='{"text": "hi", "hours": 1}', headers={"Content-Type": "text/plain"})
        assert answer.status == 415
    assert endpoint.bodies == []


async def test_nonsense_from_the_page_is_refused(meta: Any, endpoint: Endpoint) -> None:
    nonsense: tuple[Any, ...] = (
        {"text": 7},
        {"text": " "},
        {"text": "x" * 4097},
        {"from": "nobody", "text": "hi"},
        {"kind": "telepathy"},
        [],
        {"kind": "choice", "answers": "none", "choice": "y"},
        {"kind": "revoke"},
        {"kind": "edit", "text": "hi"},
        {"text": "hi", "answers": "none"},
        {"kind": "number", "text": "mine"},
    )
    for wrong in nonsense:
        assert (await meta.post("/sim/messages", json=wrong)).status == 400, wrong
    for hours in ({"hours": "soon"}, {"hours": -1}, {}):
        assert (await meta.post("/sim/clock", json=hours)).status == 400, hours
    assert endpoint.bodies == []


# --- the demo ----------------------------------------------------------------------------------------------


async def test_the_demo_can_play_through_it(endpoint: Endpoint, aiohttp_server: Any, monkeypatch: Any) -> None:
    """What `talkwire demo --check` does with it."""
    one = simulator()
    base = str((await aiohttp_server(one.app(endpoint.url))).make_url("")).rstrip("/")
    table = one.settings(base, endpoint.url)
    assert re.search(r"message wamid\.\S+… from \+62\d+: the endpoint answered 200", await one.play(base, "hi"))
    url = f"{table['api_url']}/{table['phone_number_id']}/messages"
    message = {**SAYING, "type": "text", "text": {"body": "hello"}}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {table['token']}"}) as session:
        assert (await session.post(url, json=message)).status == 200
        assert await one.received(base) == ["hello"]
        await one.fault(base, "window")
        assert (await session.post(url, json=message)).status == 400
        await one.fault(base, "")
        assert (await session.post(url, json=message)).status == 200
    endpoint.answers = [401] * 50
    with pytest.raises(RuntimeError, match="401"):
        await one.play(base, "hi")
    assert set(one.faults) == set(FAULTS)


def test_it_shares_no_code_with_the_channel() -> None:
    for file in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, f"{file.name} imports from the plugin itself"
                assert not (node.module or "").startswith("talkwire_whatsapp")
                assert not (node.module or "").startswith("talkwire."), f"{file.name} imports a private name"
