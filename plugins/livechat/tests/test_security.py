"""What strangers may try: foreign websites, forged and old tokens, damaged and huge frames, floods, scripts."""

import base64
import json
from datetime import timedelta

import pytest

from talkwire_livechat.visitors import Visitors, sign_identity

from .visits import SECRET, SITE, closed

EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


@pytest.mark.parametrize("origin", ["https://evil.example", "https://shop.example.evil.example", "null", "", None])
async def test_a_foreign_website_gets_no_socket(site, origin):
    headers = {} if origin is None else {"Origin": origin}
    answer = await site.client.get(
        "/c/site/socket",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
            **headers,
        },
    )
    assert answer.status == 403
    assert await site.hub.conversations() == ()


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.shop.example", True),
        ("https://b.a.shop.example", True),
        ("https://shop.example", False),
        ("http://a.shop.example", False),
        ("https://a.shop.example:8443", False),
        ("https://ashop.example", False),
        ("https://[", False),
    ],
)
def test_a_star_stands_for_everything_below_a_website(origin, allowed):
    from talkwire_livechat.origins import Origins

    assert Origins(["https://*.shop.example"]).allow(origin) is allowed


async def test_a_foreign_website_cannot_upload(site):
    ann = await site.visit()
    refused = await site.upload(ann, b"x" * 10, Origin="https://evil.example")
    assert (refused.status, (await refused.json())["code"]) == (403, "origin")
    assert "Access-Control-Allow-Origin" not in refused.headers
    preflight = await site.client.options("/c/site/files", headers={"Origin": "https://evil.example"})
    assert preflight.status == 403
    preflight = await site.client.options("/c/site/files", headers={"Origin": SITE})
    assert preflight.headers["Access-Control-Allow-Origin"] == SITE


async def test_forged_altered_and_old_tokens_are_refused(site):
    ann = await site.visit()
    token = ann.welcome["token"]
    said, _, mac = token.rpartition(".")
    visitor, _, expires = said.partition(".")
    bob = base64.urlsafe_b64encode(b"anon:bob").decode().rstrip("=")
    for bad in (
        "x",
        "..",
        f"{visitor}.{expires}.",
        f"{bob}.{expires}.{mac}",
        f"{visitor}.{int(expires) + 1}.{mac}",
        "é" * 9,
    ):
        assert await site.refused(token=bad) == 4001, bad
    site.hub.clock.advance(timedelta(days=91))
    assert await site.refused(token=token) == 4001


async def test_a_token_of_another_secret_is_refused(site):
    theirs = Visitors("another-secret-of-32-characters-or-more", "optional")
    visitor = theirs.welcome("", "", site.hub.clock.now())
    assert await site.refused(token=theirs.token(visitor, site.hub.clock.now())) == 4001


def identity(site, *, secret=SECRET, hours=1, **more):
    expires = int((site.hub.clock.now() + timedelta(hours=hours)).timestamp())
    return sign_identity(secret, json.dumps({"id": "42", "expires": expires, "name": "Ann", **more}))


async def test_a_signed_in_visitor_is_known_by_the_websites_word(site):
    ann = await site.visit("ann", identity=identity(site, email="Ann@Example.com", phone="+62 812 3456 789"))
    assert ann.welcome["visitor"] == {"name": "Ann", "known": True}
    talk = await site.talk()
    assert talk.address.value == "user:42"
    elsewhere = await site.visit("another browser", identity=identity(site))
    await elsewhere.says("it is me", "1")
    assert (await site.talk()).id == talk.id


async def test_a_signed_in_visitor_needs_the_websites_word_each_time(site):
    """After a sign-out, whoever uses the same browser has the token still."""
    ann = await site.visit(identity=identity(site))
    assert await site.refused(token=ann.welcome["token"]) == 4001


async def test_an_identity_that_has_run_out_serves_only_a_page_that_is_still_open(site):
    mine = identity(site)
    ann = await site.visit(identity=mine)
    site.hub.clock.advance(timedelta(hours=2))
    assert await site.refused(identity=mine) == 4001
    await site.visit("ann", identity=mine, token=ann.welcome["token"])
    site.hub.clock.advance(timedelta(hours=23))
    assert await site.refused(identity=mine, token=ann.welcome["token"]) == 4001


async def test_an_unsigned_visitor_never_becomes_a_signed_one(site):
    anon = await site.visit()
    await anon.says("my secret", "1")
    before = await site.talk("ann")
    ann = await site.visit("ann", identity=identity(site), token=anon.welcome["token"])
    assert ann.before == []
    after = await site.talk("ann")
    assert (after.address.value, after.contact == before.contact) == ("user:42", False)


@pytest.mark.parametrize(
    "said", ["{}", "[]", "1", '{"id": "", "expires": 9999999999}', '{"id": 5, "expires": 9999999999}']
)
async def test_an_identity_that_says_nothing_is_refused(site, said):
    assert await site.refused(identity=sign_identity(SECRET, said)) == 4001


async def test_an_identity_of_another_secret_is_refused(site):
    assert await site.refused(identity=identity(site, secret="x" * 40)) == 4001
    assert await site.refused(identity="x" * 4000) == 4001


async def test_where_identities_are_required_nobody_else_talks(start_site):
    site = await start_site('identity = "required"\n')
    assert await site.refused() == 4003
    assert (await site.visit(identity=identity(site))).welcome["visitor"]["known"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", 1008),
        ("{", 1008),
        ("[]", 1008),
        ("null", 1008),
        ('{"t": 5}', 1008),
        ('{"t": "message"}', 1008),
        ('{"t": "message", "id": "a b", "text": "x"}', 1008),
        ('{"t": "message", "id": "1", "text": 5}', 1008),
        ('{"t": "message", "id": "1", "text": "\\ud800"}', 1008),
        ('{"t": "seen", "keys": "x", "state": "read"}', 1008),
        ('{"t": "seen", "keys": ["x"], "state": "failed"}', 1008),
        ("[" * 60_000, 1008),
        ('{"t": "message", "id": "1", "text": "' + "x" * 70_000 + '"}', 1009),
    ],
)
async def test_a_damaged_frame_closes_its_socket_and_nothing_else(site, frame, code):
    ann, bob = await site.visit("ann"), await site.visit("bob")
    await ann.ws.send_str(frame)
    assert await closed(ann.ws) == code
    assert (await bob.says("still here", "1"))["t"] == "ack"


@pytest.mark.parametrize("first", ['{"t": "message", "id": "1", "text": "x"}', "x", '{"t": "hello"}'])
async def test_whoever_does_not_say_hello_is_not_heard(site, first):
    ws = await site.connect()
    await ws.send_str(first)
    assert await closed(ws) == 1008
    assert await site.hub.conversations() == ()


async def test_a_frame_of_a_later_protocol_is_passed_over(site):
    ann = await site.visit()
    await ann.send(t="hologram", of="me")
    await ann.send(t="message", id="1", text="hi", mood="good")
    assert (await ann.gets("ack"))["id"] == "1"


async def test_a_widget_of_a_protocol_that_is_no_longer_spoken_is_told_so(site):
    ws = await site.connect()
    await ws.send_json({"t": "hello", "protocol": 0})
    assert await closed(ws) == 4009


async def test_a_flood_of_frames_ends_its_socket(site):
    ann = await site.visit()
    for _ in range(700):
        await ann.send(t="hologram")
    assert await closed(ann.ws) == 4029


async def test_a_flood_of_messages_is_refused_with_the_time_to_wait(site):
    ann = await site.visit()
    said = [await ann.says(f"spam {n}", str(n)) for n in range(32)]
    assert [frame["t"] for frame in said] == ["ack"] * 30 + ["nack"] * 2
    assert (said[-1]["code"], said[-1]["retry_after"]) == ("too_fast", 2.0)
    assert len(await site.hub.messages(await site.talk())) == 30
    site.hub.clock.advance(timedelta(seconds=2))
    assert (await ann.says("spam 31", "31"))["t"] == "ack"


async def test_one_network_address_makes_only_so_many_visitors_and_sockets(start_site):
    site = await start_site("limits = { visitors_per_address = 2, sockets_per_address = 3 }\n")
    await site.visit("a")
    await site.visit("b")
    assert await site.refused() == 4029
    await site.visit("a")
    ws = await site.connect()
    assert await closed(ws) == 4029


async def test_one_visitor_has_only_so_many_sockets(start_site):
    site = await start_site("limits = { sockets_per_visitor = 2 }\n")
    await site.visit()
    await site.visit()
    assert await site.refused(token=site.tokens["ann"]) == 4029


async def test_files_are_refused_by_size_type_and_number(start_site):
    site = await start_site("files = { limit = 1000 }\nlimits = { uploads = 3 }\n")
    ann = await site.visit()
    png = b"\x89PNG\r\n\x1a\n" + b"0" * 100
    huge = await site.upload(ann, png * 20)
    assert (huge.status, await huge.json()) == (413, {"code": "too_large", "limit": 1000})
    page = await site.upload(ann, b"<html><script>alert(1)</script>", "cat.png")
    assert (page.status, (await page.json())["code"]) == (415, "type_refused")
    assert (await site.upload(ann, b"")).status == 422
    assert (await site.upload(ann, png)).status == 201
    many = await site.upload(ann, png)
    assert (many.status, (await many.json())["code"]) == (429, "too_many")
    stranger = await site.upload(ann, png, Authorization="Bearer x")
    assert stranger.status == 401


async def test_a_file_of_another_visitor_cannot_be_taken(site):
    ann, bob = await site.visit("ann"), await site.visit("bob")
    file = await (await site.upload(ann, b"\x89PNG\r\n\x1a\n" + b"0" * 100)).json()
    assert (await bob.says("mine now", "1", files=[file["id"]]))["code"] == "unreadable"
    assert (await bob.says("mine now", "2", files=["no-such-file"]))["code"] == "unreadable"
    assert (await ann.says("mine", "1", files=[file["id"]]))["t"] == "ack"


async def test_a_report_on_another_visitors_message_changes_nothing(site):
    ann, bob = await site.visit("ann"), await site.visit("bob")
    await ann.says("hi", "1")
    [talk] = [one for one in await site.hub.conversations() if one.last_n]
    await site.hub.reply(talk, "for ann")
    frame = await ann.ours()
    await bob.send(t="seen", keys=[frame["key"], "no-such-key"], state="read")
    await bob.pong()
    await site.hub.run_until_idle()
    assert await site.hub.states(talk) == ["sent"]


async def test_what_is_said_stays_text_in_every_field(start_site):
    site = await start_site("[accounts.site.form]\nfields = ['name']\n")
    ann = await site.visit()
    await ann.send(t="form", values={"name": EVIL})
    await ann.gets("formed")
    file = await (await site.upload(ann, b"\x89PNG\r\n\x1a\n" + b"0" * 100, "%3Cscript%3E..%2F..%2Fx.png")).json()
    assert "/" not in file["name"]
    await ann.says(EVIL, "1", files=[file["id"]], choice={"id": EVIL, "title": EVIL})
    frame = await ann.gets("message")
    while frame["id"] != "1":
        frame = await ann.gets("message")
    assert frame["text"] == EVIL
    assert all(block["type"] in ("choice", "media", "text") for block in frame["blocks"])
    await site.hub.reply(await site.talk(), f"{EVIL} [x](javascript:alert(1))")
    spans = json.dumps((await ann.ours())["blocks"])
    assert '"link"' not in spans
    assert "html" not in spans


async def test_what_visitors_say_and_show_is_in_no_log(site, caplog):
    caplog.set_level(0)
    ann = await site.visit()
    await ann.says("xyzzy-secret-words", "1")
    await ann.ws.send_str('{"t": "message", "id": "1", "text": ["xyzzy-secret-words"]}')
    await closed(ann.ws)
    assert await site.refused(token="xyzzy-secret-token") == 4001
    assert "xyzzy" not in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(site.channel.settings)


async def test_the_widget_is_served_with_its_settings_as_data(start_site):
    site = await start_site('title = "</script><script>alert(1)</script>"\n')
    answer = await site.client.get("/c/site/widget.js")
    body = await answer.text()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "</script>" not in body
    assert SECRET not in body
    again = await site.client.get("/c/site/widget.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
