"""What Meta sends, through a whole hub."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from typing import Any

import pytest

import talkwire_whatsapp
from talkwire import Rejected
from talkwire.api import make_app
from talkwire.testing.provider import Answers, FakeProvider, Reply

from .samples import (
    APP_SECRET,
    BUSINESS,
    NUMBER,
    OTHER_NUMBER,
    SAMPLES,
    UNKNOWN,
    body,
    message,
    signature,
    value,
    wamid,
)
from .test_reading import contact, delivery, of

ACCOUNT = """
[accounts.{name}]
channel = "whatsapp"
endpoint = "meta"
phone_number_id = "{number}"
business_account_id = "{business}"
token = "kit-token-0123456789"
app_secret = "{secret}"
verify_token = "{verify}"
api_url = "{url}/v23.0"
"""


def account(name: str = "shop", number: str = NUMBER, **more: str) -> str:
    """Write the table of an account."""
    given = {"secret": APP_SECRET, "verify": f"verify-{name}", "business": BUSINESS, "url": "http://127.0.0.1:9"} | more
    return ACCOUNT.format(name=name, number=number, **given)


class Town:
    """A hub with business numbers behind one endpoint."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub

    async def says(self, content: Any, secret: str = APP_SECRET) -> Any:
        """Deliver a body as Meta does."""
        written = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.hub.deliver("meta", written, headers={"X-Hub-Signature-256": signature(written, secret)})

    async def column(self, sql: str) -> list[Any]:
        return [row[0] for row in await self.hub.rows(sql)]


@pytest.fixture
def start_town(start_on_both):
    async def start(*accounts: str) -> Town:
        return Town(await start_on_both("".join(accounts or (account(),)), plugins={"whatsapp": talkwire_whatsapp}))

    return start


# --- whose it is ----------------------------------------------------------------------------------------------


async def test_a_body_that_mixes_two_numbers_brings_each_account_its_own(start_town):
    town = await start_town(account(), account("second", OTHER_NUMBER))
    await town.says(body("batch"))
    assert await town.hub.rows("SELECT account, text FROM message ORDER BY text") == [
        ("shop", "first"),
        ("shop", "second"),
        ("second", "to the other number"),
    ]
    assert sorted(await town.column("SELECT account FROM report")) == ["second", "shop"]
    assert await town.column("SELECT unread FROM envelope") == [""]


async def test_apps_that_share_an_endpoint_have_secrets_and_words_of_their_own(start_town):
    town = await start_town(account(), account("second", OTHER_NUMBER, secret="another-app-0123456789"))
    await town.says(body("batch"), "another-app-0123456789")
    assert len(await town.column("SELECT id FROM message")) == 3
    with pytest.raises(Rejected):
        await town.says(body("batch"), "a-third-app-0123456789")
    for word, status in (("verify-shop", 200), ("verify-second", 200), ("verify-third", 403)):
        query = {"hub.mode": "subscribe", "hub.verify_token": word, "hub.challenge": "1158201444"}
        answered = await town.hub.deliver("meta", method="GET", query=query)
        assert (answered.status, answered.body) == (status, "1158201444" if status == 200 else "")
    assert len(await town.column("SELECT id FROM envelope")) == 1  # nothing of a handshake is stored


async def test_what_is_meant_for_a_number_of_nobodys_is_kept_unread_and_loses_no_other(start_town):
    town = await start_town()
    await town.says(body("batch"))
    assert await town.column("SELECT text FROM message ORDER BY text") == ["first", "second"]
    [unread] = await town.column("SELECT unread FROM envelope")
    assert [reason for _, reason in json.loads(unread)] == ["it is meant for an account that this endpoint has not"] * 2


async def test_a_business_account_that_is_disabled_breaks_an_account_of_its_own(start_town):
    town = await start_town(account(business="660100000000009"), account("second", OTHER_NUMBER))
    await town.says(body("account_disabled"))
    await town.hub.run_until_idle()
    states = {name: one.view.state.value for name, one in town.hub.daemon.accounts.by_name.items()}
    assert states == {"shop": "working", "second": "broken"}
    [fact] = await town.hub.facts("account.notice")
    assert (fact.account, fact.small["broken"]) == ("second", True)


async def test_a_business_account_that_is_disabled_breaks_none_that_may_be_of_another(start_town):
    town = await start_town(account(business=""))
    await town.says(body("account_disabled"))
    await town.hub.run_until_idle()
    assert town.hub.daemon.accounts.by_name["shop"].view.state.value == "working"
    [fact] = await town.hub.facts("account.notice")
    assert (fact.account, fact.small["broken"]) == ("shop", False)
    assert "need not be this account's" in fact.small["text"]


async def test_what_is_said_of_a_template_breaks_nothing_and_is_told(start_town):
    town = await start_town()
    await town.says(body("template_rejected"))
    await town.hub.run_until_idle()
    assert town.hub.daemon.accounts.by_name["shop"].view.state.value == "working"
    [fact] = await town.hub.facts("account.notice")
    assert "Variables stand next to each other" in fact.small["text"]


# --- once, and all of it ------------------------------------------------------------------------------------------


async def test_a_message_that_comes_twice_in_one_body_and_again_tomorrow_is_one(start_town):
    town = await start_town(account(), account("second", OTHER_NUMBER))
    await town.says(body("batch"))
    await town.hub.pass_time(hours=24)
    await town.says(body("batch"))
    assert sorted(await town.column("SELECT external_id FROM message")) == [wamid(f"batch{n}") for n in (1, 2, 3)]


async def test_what_nobody_must_know_is_answered_with_200_and_kept_raw(start_town):
    town = await start_town()
    for sample in UNKNOWN:
        assert await town.says(sample.raw().body) is None
    assert await town.hub.rows("SELECT items, unread FROM envelope") == [(0, "")] * len(UNKNOWN)
    assert await town.column("SELECT id FROM conversation") == []


async def test_what_makes_no_sense_is_answered_with_200_and_kept_unread(start_town):
    town = await start_town()
    assert await town.says(b"[") is None
    [unread] = await town.column("SELECT unread FROM envelope")
    assert "the body is no JSON" in unread


async def test_an_edit_a_reaction_and_a_revocation_change_the_message_that_they_name(start_town):
    town = await start_town()
    for name in ("text", "edit", "revoke"):
        await town.says(body(name))
    [stored] = await town.hub.messages(await town.hub.conversation)
    assert stored.text == "Halo! Warna lain ada? 😀 *bintang*"
    assert [(change.kind.value, change.text) for change in stored.changes] == [
        ("edit", "Halo! Warna biru ada?"),
        ("revoke", ""),
    ]


async def test_a_caption_that_is_taken_away_leaves_its_picture(start_town):
    town = await start_town()
    for name in ("image", "edit_caption"):
        await town.says(body(name))
    taken = {**message("edit_caption"), "id": "wamid.taken"}
    taken["edit"]["message"] = {"type": "image", "image": {"caption": ""}}
    await town.says(delivery(of(taken)))
    assert await town.column("SELECT unread FROM envelope WHERE unread <> ''") == []
    [stored] = await town.hub.messages(await town.hub.conversation)
    assert [(one.text, len(one.blocks)) for one in stored.changes] == [("This one, scratched", 0), ("", 0)]
    assert len(stored.blocks) == 1


async def test_every_sample_is_taken_in_and_stored(start_town):
    town = await start_town(account(), account("second", OTHER_NUMBER))
    for sample in SAMPLES:
        await town.says(sample.raw().body)
    unread = [
        reason for one in await town.column("SELECT unread FROM envelope") if one for _, reason in json.loads(one)
    ]
    assert unread == ['status "teleported": not one that Talkwire knows']
    blocks = "".join(await town.column("SELECT blocks FROM message"))
    assert all(kind in blocks for kind in ("order", "referral", "hologram", "nfm_reply", "forwarded", "call"))


async def test_a_body_as_large_as_metas_largest_is_taken_and_one_over_the_limit_is_not(start_town, aiohttp_client):
    town = await start_town()
    client = await aiohttp_client(make_app(town.hub.daemon))
    for size, status in ((3_000_000, 200), (4 * 1024**2, 413)):
        long = {**message("text"), "id": str(size), "text": {"body": "x" * size}}
        content = json.dumps(delivery(of(long))).encode()
        answer = await client.post(
            "/in/meta", data=BytesIO(content), headers={"X-Hub-Signature-256": signature(content)}
        )
        assert answer.status == status
    assert await town.column("SELECT size FROM attachment") == [3_000_000]  # a text so long is a file of its message


# --- who it is ------------------------------------------------------------------------------------------------


async def test_a_person_without_a_number_and_with_one_is_the_same(start_town):
    town = await start_town()
    for name in ("text_without_number", "text_with_user_id", "text_user_id_in_from", "text"):
        await town.says(body(name))
    conversation = await town.hub.conversation
    assert len(await town.hub.messages(conversation)) == 4
    assert conversation.address.kind == "bsuid"  # as they came first; the number is a name of theirs since
    assert len(await town.column("SELECT id FROM contact")) == 1


async def test_a_number_that_changed_is_one_person_and_no_message_of_theirs(start_town):
    town = await start_town()
    await town.says(body("text"))
    await town.says(body("number_changed"))
    await town.says(delivery(of({**message("text"), "id": "m2", "from": "6281299998888"})))
    assert len(await town.hub.conversations()) == 2
    assert len(await town.column("SELECT id FROM contact")) == 1
    assert len(await town.hub.facts("address.changed")) == 1
    assert len(await town.hub.facts("message.received")) == 2


async def test_a_group_is_a_thread(start_town):
    town = await start_town()
    await town.says(body("text"))
    await town.says(body("text_group"))
    assert sorted(one.thread for one in await town.hub.conversations()) == ["", "group-0001"]


# --- files --------------------------------------------------------------------------------------------------------


async def test_a_picture_is_fetched_into_our_own_store(start_town):
    picture = bytes.fromhex("ffd8ffe000104a46494600") + b"x" * 100

    def meta(seen: Any) -> Reply:
        if seen.path.startswith("/v23.0/"):
            return Reply.json({"url": f"{provider.url}/files/1", "sha256": hashlib.sha256(picture).hexdigest()})
        return Reply(body=picture)

    async with FakeProvider(Answers(accept=lambda _seen, _id: Reply(), harmless=meta)) as provider:
        town = await start_town(account(url=provider.url))
        sent = {**message("image"), "image": {**message("image")["image"], "sha256": ""}}
        await town.says(delivery(of(sent, contacts=[contact("6281234567890", "Ayu")])))
        await town.hub.run_until_idle()
    assert await town.hub.rows("SELECT name, media_type, size, handle, error FROM attachment") == [
        ("image.jpg", "image/jpeg", len(picture), "", "")
    ]
    assert value("image")["messages"][0]["image"]["caption"] == "This one, *broken*"
