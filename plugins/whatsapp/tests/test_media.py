"""Files that customers sent: asked for by id, fetched with the token from Meta's hosts alone, compared with their hash."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from talkwire import AccountBroken, Attachment, AttachmentClass, NotSent, Refused, TryLater, Uncertain
from talkwire.testing import Answers, FakeProvider, Reply, lend
from talkwire_whatsapp.channel import WhatsApp
from talkwire_whatsapp.media import _safe, handle_of

from .samples import NUMBER, SETTINGS

PICTURE = b"\xff\xd8\xff\xe0 a picture" * 5000
ID = "990100000000001"
HEX = hashlib.sha256(PICTURE).hexdigest()
BASE64 = base64.b64encode(hashlib.sha256(PICTURE).digest()).decode()


class Meta:
    """Meta's Graph and its file server, in one."""

    def __init__(self) -> None:
        self.provider = FakeProvider(Answers(accept=lambda _seen, _id: Reply(), harmless=self._answer))
        self.about: dict[str, Any] = {"mime_type": "image/jpeg", "sha256": HEX, "file_size": len(PICTURE), "id": ID}
        self.place = ""  # where the file is said to lie; empty: here
        self.asked: list[Reply] = []  # said next when a file's place is asked for
        self.fetched: list[Reply] = []  # … and when it is fetched

    def _answer(self, seen: Any) -> Reply | None:
        if seen.path.startswith("/files/"):
            return self.fetched.pop(0) if self.fetched else Reply(body=PICTURE)
        if self.asked:
            return self.asked.pop(0)
        url = self.place or f"{self.provider.url}/files/{len(self.provider.requests)}?hash=x"
        return Reply.json({**self.about, "url": url, "messaging_product": "whatsapp"})

    @property
    def seen(self) -> list[str]:
        return [seen.path for seen in self.provider.requests]


@pytest.fixture
async def meta():
    meta = Meta()
    async with meta.provider:
        yield meta


@pytest.fixture
async def channel(meta):
    async with lend(WhatsApp, {**SETTINGS, "api_url": f"{meta.provider.url}/v23.0"}) as lent:
        yield lent.channel


def attachment(handle: str = "") -> Attachment:
    given = handle or handle_of(ID, BASE64)
    return Attachment(
        id="a1", name="image.jpg", media_type="", size=0, sha256="", cls=AttachmentClass.MEDIA, handle=given
    )


async def fetched(channel: WhatsApp, handle: str = "") -> bytes:
    return b"".join([chunk async for chunk in channel.fetch(attachment(handle))])


def refused(code: int, subcode: int = 0, status: int = 400) -> Reply:
    error = {"message": "no", "type": "OAuthException", "code": code, "error_subcode": subcode, "fbtrace_id": "x"}
    return Reply.json({"error": error}, status=status)


async def test_a_file_is_asked_for_by_its_id_and_fetched_with_the_token_and_a_user_agent(channel, meta):
    assert await fetched(channel) == PICTURE
    question, download = meta.provider.requests
    assert (question.path, question.query) == (f"/v23.0/{ID}", ())  # Meta has refused files of customers for our number
    for seen in (question, download):
        assert seen.headers["authorization"] == f"Bearer {SETTINGS['token']}"
        assert seen.headers["user-agent"] == "Talkwire"


async def test_the_hash_of_the_webhook_may_be_missing_and_that_of_the_api_too(channel, meta):
    meta.about["sha256"] = ""
    assert await fetched(channel, handle_of(ID, "")) == PICTURE


@pytest.mark.parametrize("liar", ["webhook", "api"])
async def test_a_file_that_is_not_the_announced_one_is_refused(channel, meta, liar):
    other = hashlib.sha256(b"another")
    if liar == "api":
        meta.about["sha256"] = other.hexdigest()
    handle = handle_of(ID, base64.b64encode(other.digest()).decode() if liar == "webhook" else BASE64)
    with pytest.raises(Refused, match="SHA-256"):
        await fetched(channel, handle)


@pytest.mark.parametrize("announced", [HEX, HEX.upper(), BASE64.rstrip("="), "?", HEX[:62]], ids=range(5))
async def test_a_hash_that_is_written_otherwise_loses_no_file(channel, meta, announced):
    assert await fetched(channel, handle_of(ID, announced)) == PICTURE


async def test_a_hash_that_a_webhook_writes_as_the_api_does_counts(channel, meta):
    with pytest.raises(Refused, match="SHA-256"):
        await fetched(channel, handle_of(ID, hashlib.sha256(b"another").hexdigest()))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_url_that_has_run_out_is_asked_for_again_once(channel, meta, status):
    meta.fetched = [Reply(status=status)]
    assert await fetched(channel) == PICTURE
    assert meta.seen == [f"/v23.0/{ID}", "/files/1", f"/v23.0/{ID}", "/files/3"]
    meta.fetched = [Reply(status=status), Reply(status=status)]
    with pytest.raises(Refused, match="does not give the file"):
        await fetched(channel)
    assert len(meta.seen) == 8


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/files/1",
        "https://lookaside.fbsbx.com.evil.example/files/1",
        "https://lookaside.fbsbx.com@evil.example/files/1",
        "http://lookaside.fbsbx.com:80/files/1",
        "http://127.0.0.1:1/files/1",
        "//lookaside.fbsbx.com/files/1",
        "file:///etc/passwd",
        "https://[/",
        "",
    ],
)
async def test_the_token_goes_to_no_host_but_metas(meta, place):
    """The place comes in an answer; whoever could write it there would be handed the token."""
    meta.place = place or "?"
    settings = {**SETTINGS, "api_url": f"{meta.provider.url}/v23.0", "media_hosts": ["lookaside.fbsbx.com:443"]}
    async with lend(WhatsApp, settings) as lent:
        with pytest.raises(Refused):
            await fetched(lent.channel)
        assert len(lent.records) == 1  # the question; nothing was asked anywhere else
    assert meta.seen == [f"/v23.0/{ID}"]


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1", True),
        ("https://LOOKASIDE.fbsbx.com:443/1", True),
        ("https://graph.facebook.com/v23.0/1", True),
        ("http://lookaside.fbsbx.com/1", False),  # the token in the clear
        ("https://lookaside.fbsbx.com:8443/1", False),
    ],
)
async def test_the_token_goes_nowhere_in_the_clear(url, is_safe):
    async with lend(WhatsApp, SETTINGS) as lent:
        if is_safe:
            assert _safe(lent.channel.graph, url) == url
        else:
            with pytest.raises(Refused):
                _safe(lent.channel.graph, url)


async def test_a_file_over_the_limit_is_refused_before_it_is_fetched(channel, meta):
    meta.about["file_size"] = str(101 * 1024 * 1024)
    with pytest.raises(Refused, match="bytes"):
        await fetched(channel)
    assert meta.seen == [f"/v23.0/{ID}"]


@pytest.mark.parametrize("handle", ["https://evil.example/", "{}", '{"id": "../me"}', '{"id": 7}', "[]", "{"])
async def test_a_handle_of_nobodys_is_refused_and_nobody_is_asked(channel, meta, handle):
    with pytest.raises(Refused):
        await fetched(channel, handle)
    assert meta.seen == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(100, 33), Refused),  # 7 days are over, or it was deleted
        (refused(190, 463, 401), AccountBroken),
        (refused(10, status=403), AccountBroken),
        (refused(4), TryLater),
        (refused(131000, status=500), TryLater),
        (Reply(status=500), Uncertain),
        (Reply(status=429), TryLater),
        (Reply(body=b"<html>"), Uncertain),
    ],
    ids=["gone", "token", "right", "rate", "fault", "500", "429", "nonsense"],
)
async def test_what_meta_answers_says_what_we_must_do_and_a_refusal_is_never_repeated(channel, meta, answer, error):
    meta.asked = [answer]
    with pytest.raises(error) as caught:
        await fetched(channel)
    assert type(caught.value) is error
    assert SETTINGS["token"] not in str(caught.value)
    assert meta.seen == [f"/v23.0/{ID}"]


async def test_nothing_was_asked_where_nobody_listens():
    async with lend(WhatsApp, {**SETTINGS, "api_url": "http://127.0.0.1:1/v23.0"}) as lent:
        with pytest.raises(NotSent):
            await fetched(lent.channel)


# --- who am I -----------------------------------------------------------------------------------------------


async def test_the_probe_says_which_number_this_is_and_how_it_stands(channel, meta):
    about = {"display_phone_number": "+62 21 5000 1111", "verified_name": "Toko Hujan", "quality_rating": "GREEN"}
    meta.asked = [Reply.json({**about, "id": NUMBER})]
    assert await channel.probe() == "+62 21 5000 1111, Toko Hujan, quality green"
    [seen] = meta.provider.requests
    assert (seen.method, seen.path) == ("GET", f"/v23.0/{NUMBER}")


async def test_the_probe_says_what_to_do_where_the_number_is_not_ours(channel, meta):
    meta.asked = [refused(100, 33)]
    with pytest.raises(AccountBroken, match=f"phone_number_id {NUMBER}.*WhatsApp Manager"):
        await channel.probe()


def test_a_handle_is_small_and_keeps_no_url():
    assert json.loads(handle_of(ID, BASE64)) == {"id": ID, "sha256": BASE64}


async def test_a_token_that_meta_repeats_is_gone_before_its_words_are_cut(channel, meta):
    token = SETTINGS["token"]
    error = {"message": f"{'x' * (198 - len(token) // 2)} {token}", "code": 100, "error_subcode": 33}
    meta.asked = [Reply.json({"error": error}, status=400)]
    with pytest.raises(Refused, match="xxx") as raised:
        await fetched(channel)
    assert token[:6] not in str(raised.value)
