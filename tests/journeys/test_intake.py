"""The way in: what providers really send, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from talkwire import Drop, account_states, doing, hookimpl
from talkwire.channel import Answered
from talkwire.errors import NotFound, NotSent, Refused, Rejected, Uncertain, Unreadable, UnsafeUrl
from talkwire.model import AccountState, Address, Inbound, SessionChange
from talkwire.testing.hub import whole_hub
from tests.journeys.acme_hub import CUSTOMER, SECRET, SETTINGS, AcmeHub, AcmePlugin, FullAcme, full
from tests.mutants.acme import AcmeChannel

ENVELOPES = "SELECT id, body, headers, query, unread FROM envelope ORDER BY id"
TEXTS = "SELECT text FROM message ORDER BY n"


def message(id_: str, text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"kind": "message", "id": id_, "time": 1795435200, "from": CUSTOMER, "text": text, **more}


# --- once ------------------------------------------------------------------------------------------


async def test_a_delivery_that_comes_twice_is_two_envelopes_and_one_message(acme: AcmeHub) -> None:
    await acme.wrote("m1", "Hello", time=1795435200)
    await acme.wrote("m1", "Hello", time=1795435200)
    assert await acme.column("SELECT unread FROM envelope") == ["", ""]
    assert await acme.column(TEXTS) == ["Hello"]
    assert len(await acme.hub.facts("message.received")) == 1


async def test_an_id_that_stands_twice_in_a_batch_is_one_message(acme: AcmeHub) -> None:
    await acme.says([message("m1", "first"), message("m1", "second"), message("m2", "third")])
    assert await acme.column(TEXTS) == ["first", "third"]
    assert await acme.column("SELECT unread FROM envelope") == [""]


async def test_two_deliveries_at_once_give_each_message_once_and_numbers_without_gaps(acme: AcmeHub) -> None:
    one = [message(f"m{n}") for n in range(6)]
    await asyncio.gather(acme.says(one[:4]), acme.says(one[2:]), acme.says(one))
    assert await acme.column("SELECT n FROM message ORDER BY n") == [1, 2, 3, 4, 5, 6]
    assert await acme.column("SELECT unread FROM envelope") == ["", "", ""]
    assert sorted(await acme.column("SELECT external_id FROM message")) == [f"m{n}" for n in range(6)]


# --- what cannot be read ------------------------------------------------------------------------------


async def test_one_bad_item_of_a_batch_is_unread_and_loses_no_other(acme: AcmeHub) -> None:
    await acme.says([message("m1", "before"), {"kind": "message"}, message("m2", "after")])
    assert await acme.column(TEXTS) == ["before", "after"]
    [unread] = await acme.column("SELECT unread FROM envelope")
    assert "time" in unread
    assert len(await acme.hub.facts("envelope.unread")) == 1


@pytest.mark.parametrize("kind", ["naive", "unknown_state", "impossible"])
async def test_an_item_that_no_table_takes_is_unread_and_loses_no_other(start_acme: Any, kind: str) -> None:
    acme = await start_acme(channel=FullAcme)
    await acme.says([message("m1", "before"), {"kind": kind, "time": 1795435200}, message("m2", "after")])
    assert await acme.column(TEXTS) == ["before", "after"]
    assert len(await acme.column("SELECT unread FROM envelope WHERE unread <> ''")) == 1
    assert len(await acme.hub.facts("message.received")) == 2


class Learning(AcmeChannel):
    """Does not know messages yet, until somebody teaches it."""

    knows = False

    def one(self, value: Any) -> Any:
        if not self.knows:
            raise KeyError("text")
        yield from super().one(value)


async def test_what_was_unread_is_kept_and_can_be_replayed_once_it_is_understood(start_acme: Any) -> None:
    channel = type("Sister", (Learning,), {})
    acme = await start_acme(channel=channel)
    await acme.wrote("m1", "Hello")
    [(envelope, *_, unread)] = await acme.hub.rows(ENVELOPES)
    assert "KeyError" in unread
    assert await acme.column(TEXTS) == []

    channel.knows = True
    admitted = await acme.hub.daemon.intake.replay(envelope)
    again = await acme.hub.daemon.intake.replay(envelope)
    assert (len(admitted.messages), again.messages, again.duplicates) == (1, [], 1)
    assert await acme.column(TEXTS) == ["Hello"]
    assert [fact.replayed for fact in await acme.hub.facts("message.received")] == [True]
    assert await acme.column("SELECT replayed_at IS NOT NULL FROM envelope") == [1]


async def test_a_replay_does_not_open_a_window_that_has_closed(start_acme: Any) -> None:
    channel = type("Sister", (Learning,), {"features": full(window=timedelta(hours=24)).features})
    acme = await start_acme(channel=channel)
    await acme.wrote("m1", "Hello", time=acme.now + 999_999)  # the provider's clock is wrong
    [(envelope, *_)] = await acme.hub.rows(ENVELOPES)
    await acme.hub.pass_time(days=3)
    channel.knows = True
    await acme.hub.daemon.intake.replay(envelope)
    assert not (await acme.hub.conversation).answer.allowed


# --- who sent it ------------------------------------------------------------------------------------------


async def test_nothing_is_stored_of_what_is_forged(acme: AcmeHub) -> None:
    body = json.dumps({"events": [message("m1")]})
    for headers in ({}, {"X-Acme-Signature": "sha256=" + "0" * 64}):
        with pytest.raises(Rejected):
            await acme.hub.deliver("shop", body, headers=headers)
    with pytest.raises(NotFound):
        await acme.hub.deliver("nowhere", body)
    assert await acme.hub.rows(ENVELOPES) == []


class Broken(AcmeChannel):
    def authenticate(self, envelope: Any) -> None:
        raise ZeroDivisionError


async def test_a_check_that_breaks_lets_nothing_through(start_acme: Any) -> None:
    acme = await start_acme(channel=Broken)
    with pytest.raises(Rejected):
        await acme.wrote("m1", "Hello")
    assert await acme.hub.rows(ENVELOPES) == []


async def test_an_envelope_keeps_its_bytes_and_only_the_headers_and_query_that_may_be_kept(start_acme: Any) -> None:
    acme = await start_acme(channel=full(secret_query=frozenset({"password"})))
    query = (("password", "hunter2"), ("id", "7"), ("broken", "\udcff"))
    await acme.says([message("m1")], query=query)
    [(_, body, headers, stored, _)] = await acme.hub.rows(ENVELOPES)
    assert json.loads(body)["events"][0]["id"] == "m1"
    assert list(json.loads(headers)) == ["x-acme-signature"]
    assert json.loads(stored) == [["id", "7"], ["broken", "\udcff"]]


@pytest.mark.parametrize("sizes", [(300_000,), (100_000, 100_000, 100_000)], ids=["one long text", "several"])
async def test_a_big_body_lies_with_the_files_and_can_be_replayed_from_there(acme: AcmeHub, sizes: Any) -> None:
    await acme.says([message(f"m{number}", "x" * size) for number, size in enumerate(sizes, 1)])
    [(envelope, body, *_)] = await acme.hub.rows(ENVELOPES)
    assert body == b""
    [ref] = await acme.column("SELECT body_ref FROM envelope")
    stored = b"".join([chunk async for chunk in acme.hub.daemon.files.open(ref)])
    assert json.loads(stored)["events"][0]["id"] == "m1"
    assert (await acme.hub.daemon.intake.replay(envelope)).duplicates == len(sizes)


# --- a shared endpoint ------------------------------------------------------------------------------------


async def test_accounts_that_share_an_endpoint_each_get_theirs(start_acme: Any) -> None:
    other = SETTINGS.replace("accounts.shop", "accounts.second").replace("{more}", 'endpoint = "shop"')
    acme = await start_acme(
        channel=full(shared_endpoint=True), settings=other.format(url="http://127.0.0.1:9"), more='endpoint = "shop"'
    )
    await acme.says([message("m1", to="second"), message("m2", to="nobody"), message("m3", to="shop")])
    assert await acme.hub.rows("SELECT external_id, account FROM message ORDER BY external_id") == [
        ("m1", "second"),
        ("m3", "shop"),
    ]
    [unread] = await acme.column("SELECT unread FROM envelope")
    assert [position for position, _ in json.loads(unread)] == [1]


async def test_accounts_that_share_an_endpoint_are_meant_by_the_names_that_the_provider_has_for_them(
    start_acme: Any,
) -> None:
    class Numbered(FullAcme):
        features = replace(FullAcme.features, shared_endpoint=True)

        @classmethod
        def meant_by(cls, settings: Any) -> tuple[str, ...]:
            return (settings.token.get_secret_value(), "the firm")

    other = SETTINGS.replace("accounts.shop", "accounts.second").replace("{more}", 'endpoint = "shop"')
    other = other.replace("kit-token-0123456789", "second-token-0123456789").format(url="http://127.0.0.1:9")
    acme = await start_acme(channel=Numbered, settings=other, more='endpoint = "shop"')
    names = ["second-token-0123456789", "the firm", "second", "", "kit-token-0123456789", "a stranger"]
    await acme.says([message(f"m{n}", to=to) for n, to in enumerate(names)])
    assert await acme.hub.rows("SELECT external_id, account FROM message ORDER BY external_id") == [
        ("m0", "second"),
        ("m1", "shop"),
        ("m2", "second"),
        ("m3", "shop"),
        ("m4", "shop"),
    ]
    [unread] = await acme.column("SELECT unread FROM envelope")
    assert [position for position, _ in json.loads(unread)] == [5]


async def test_a_handshake_that_one_account_forbids_may_be_that_of_another(start_acme: Any) -> None:
    class Asked(FullAcme):
        features = replace(FullAcme.features, shared_endpoint=True)

        def answer(self, envelope: Any) -> Answered | None:
            asked = envelope.param("are-you")
            return (Answered("yes") if asked == self.account else Answered(status=403)) if asked else None

    other = SETTINGS.replace("accounts.shop", "accounts.second").replace("{more}", 'endpoint = "shop"')
    acme = await start_acme(channel=Asked, settings=other.format(url="http://127.0.0.1:9"), more='endpoint = "shop"')
    for asked, status, said in (("shop", 200, "yes"), ("second", 200, "yes"), ("third", 403, "")):
        answered = await acme.hub.deliver("shop", method="GET", query={"are-you": asked})
        assert (answered.status, answered.body) == (status, said)
    assert await acme.hub.rows(ENVELOPES) == []


async def test_a_person_whom_two_daemons_made_at_once_is_one_when_their_other_name_is_said_again(
    full_acme: AcmeHub,
) -> None:
    await full_acme.wrote("m1", "Hello", aliases=["handle:ann"])

    def twice(tx: Any, items: Any) -> list[None]:
        tx.execute("INSERT INTO contact (id, name, created_at) VALUES ('c2', '', 1)")
        tx.execute(
            "INSERT INTO address (id, kind, scope, value, contact_id, name, created_at)"
            " VALUES ('a2', 'handle', 'shop', 'ann', 'c2', '', 1)"
        )
        return [None] * len(items)

    await full_acme.hub.daemon.store.write(twice, None)
    await full_acme.wrote("m2", "Hello again", aliases=["handle:ann"])
    assert len(await full_acme.column("SELECT id FROM contact")) == 1
    assert len(await full_acme.column("SELECT value FROM alias")) == 1


# --- what it says --------------------------------------------------------------------------------------------


async def test_texts_are_stored_as_they_came_but_for_what_no_database_takes(full_acme: AcmeHub) -> None:
    texts = ["*stars*  and\ttabs\n", "a\0b", "half \ud83d of a pair", "whole \ud83d\ude00 pair", "é́ 😀"]
    await full_acme.says([message(f"m{n}\0", text, name="A\0nn") for n, text in enumerate(texts)])
    assert await full_acme.column(TEXTS) == [
        "*stars*  and\ttabs\n",
        "a\ufffdb",
        "half \ufffd of a pair",
        "whole 😀 pair",
        "é́ 😀",
    ]
    assert await full_acme.column("SELECT name FROM address") == ["A\ufffdnn"]


async def test_a_time_in_the_future_counts_as_the_moment_of_arrival(acme: AcmeHub) -> None:
    await acme.wrote("m1", "Hello", time=acme.now + 3600)
    [stored] = await acme.hub.messages(await acme.hub.conversation)
    assert stored.at == acme.hub.clock.now()


async def test_each_picture_of_an_album_is_a_message_and_is_fetched(full_acme: AcmeHub) -> None:
    full_acme.provider.always(full_acme.accept())  # the pictures come from nowhere: fetching fails, and is told
    await full_acme.says([message(f"m{n}", "", group="album", media=[f"h{n}"]) for n in range(3)])
    stored = await full_acme.hub.messages(await full_acme.hub.conversation)
    assert [m.group for m in stored] == ["album"] * 3
    assert sorted(await full_acme.column("SELECT handle FROM attachment")) == ["h0", "h1", "h2"]
    assert [len(m.blocks) for m in stored] == [1, 1, 1]


class Lying(FullAcme):
    """Has the pictures itself."""

    fault: Exception | None = None

    async def fetch(self, attachment: Any) -> AsyncIterator[bytes]:
        if self.fault is not None:
            raise self.fault
        yield f"the picture {attachment.name}".encode()


def lying(fault: Exception | None = None) -> type[FullAcme]:
    return type("Lying", (Lying,), {"fault": fault})


async def test_what_a_provider_quotes_of_our_secret_is_not_kept_with_an_attachment(
    start_acme: Callable[..., Awaitable[AcmeHub]],
) -> None:
    acme = await start_acme(channel=lying(Refused(f"who is {SECRET}?")))
    await acme.says([message("m1", "", media=["h0"])])
    await acme.hub.run_until_idle()
    [error] = await acme.column("SELECT error FROM attachment")
    assert error.startswith("who is ")
    assert SECRET not in error


async def test_an_attachment_waits_while_its_account_is_paused_or_restarts(
    start_acme: Callable[..., Awaitable[AcmeHub]],
) -> None:
    acme = await start_acme(channel=lying())
    await acme.hub.daemon.store.write(account_states.pause, ("shop", "a person said so"))
    await acme.hub.pass_time(minutes=1)
    assert acme.shop.view.state is AccountState.PAUSED
    await acme.says([message("m1", "", media=["h0"])])
    await acme.hub.pass_time(minutes=5)
    assert await acme.hub.rows("SELECT sha256, error FROM attachment") == [("", "")]
    assert await acme.hub.facts("attachment.failed") == []
    await acme.hub.daemon.store.write(account_states.resume, "shop")
    await acme.hub.pass_time(minutes=2)
    assert [fact.type for fact in await acme.hub.facts("attachment.failed", "attachment.stored")] == [
        "attachment.stored"
    ]


async def test_an_attachment_waits_for_an_account_that_is_gone_for_a_moment(
    fake_acme_settings: tuple[str, dict[str, Any]], tmp_path: Path, empty_database: Path
) -> None:
    settings, _ = fake_acme_settings
    plugins = {"acme": AcmePlugin(lying(NotSent("nobody there")))}
    async with whole_hub(settings, tmp_path, template=empty_database, plugins=plugins) as first:
        await AcmeHub(first, None).says([message("m1", "", media=["h0"])])  # type: ignore[arg-type]
        await first.run_until_idle()
        clock = first.clock
    async with whole_hub("", tmp_path, clock=clock) as without:
        await without.pass_time(minutes=5)
        assert await without.rows("SELECT sha256, error FROM attachment") == [("", "")]
        assert await without.facts("attachment.failed") == []


@pytest.mark.parametrize("fault", [KeyError("h0"), Uncertain("HTTP 500")])
async def test_an_attachment_at_which_its_channel_falls_over_is_given_up_after_the_schedule(
    start_acme: Callable[..., Awaitable[AcmeHub]], fault: Exception
) -> None:
    acme = await start_acme(channel=lying(fault))
    await acme.says([message("m1", "", media=["h0"])])
    for delay in doing.SCHEDULE:
        await acme.hub.run_until_idle()
        assert await acme.hub.facts("attachment.failed") == []
        acme.hub.clock.turn_to(acme.hub.clock.now() + delay)
    await acme.hub.run_until_idle()
    assert len(await acme.hub.facts("attachment.failed")) == 1
    assert await acme.column("SELECT 1 FROM task") == []


async def test_an_attachment_at_an_address_that_we_never_call_is_given_up_at_once(
    start_acme: Callable[..., Awaitable[AcmeHub]],
) -> None:
    acme = await start_acme(channel=lying(UnsafeUrl("not there")))
    await acme.says([message("m1", "", media=["h0"])])
    await acme.hub.run_until_idle()
    assert len(await acme.hub.facts("attachment.failed")) == 1


async def test_an_answer_points_at_their_message_or_at_ours(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(full_acme.accept("p1"))
    await full_acme.reply(conversation, "Yes?")
    await full_acme.wrote("m2", "to mine", reply_to="m1")
    await full_acme.wrote("m3", "to yours", reply_to="p1")
    await full_acme.wrote("m4", "to nobody's", reply_to="p9")
    first, ours, *answers = await full_acme.hub.messages(conversation)
    assert [m.reply_to for m in answers] == [first.id, ours.id, ""]


async def test_edits_revocations_and_reactions_are_told_once_and_may_come_first(full_acme: AcmeHub) -> None:
    await full_acme.told("reaction", of="m1", text="👍")
    conversation = await full_acme.talk()
    for _ in range(2):
        await full_acme.told("edit", of="m1", text="Hello!")
    await full_acme.told("revoke", of="m1")
    [stored] = await full_acme.hub.messages(conversation)
    assert stored.text == "Hello"
    assert sorted(change.kind.value for change in stored.changes) == ["edit", "reaction", "revoke"]
    assert len(await full_acme.hub.facts("message.changed")) == 3


async def test_two_changes_in_one_second_are_two_and_a_change_belongs_where_its_message_is(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk(thread="orders")
    full_acme.provider.will(full_acme.accept("p1"))
    await full_acme.reply(conversation, "Yes?")
    for text in ("👍", "❤️"):
        await full_acme.told("reaction", of="p1", text=text)
    assert await full_acme.column("SELECT id FROM conversation") == [conversation.id]
    assert [fact.conversation for fact in await full_acme.hub.facts("message.changed")] == [conversation.id] * 2
    [_, ours] = await full_acme.hub.messages(conversation)
    assert sorted(change.text for change in ours.changes) == ["❤️", "👍"]


async def test_a_reaction_to_our_message_may_overtake_its_receipt(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    await full_acme.told("reaction", of="p1", text="👍")
    full_acme.provider.will(full_acme.accept("p1"))
    await full_acme.reply(conversation, "Yes?")
    [_, ours] = await full_acme.hub.messages(conversation)
    assert [change.text for change in ours.changes] == ["👍"]


async def test_typing_is_published_and_never_stored(full_acme: AcmeHub) -> None:
    heard: list[Any] = []
    daemon = full_acme.hub.daemon

    async def listen() -> None:
        async for small in daemon.hub.subscribe("typing"):
            heard.append(small)
            return

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await full_acme.told("typing", on=True)
    async with asyncio.timeout(20):
        await task
    assert heard[0]["on"] is True
    assert heard[0]["address"] == f"+{CUSTOMER}"
    assert await full_acme.hub.rows("SELECT id FROM message") == []


async def test_a_replayed_envelope_breaks_no_account_and_shows_nobody_typing(full_acme: AcmeHub) -> None:
    """What a provider said a week ago of the account's health is no news; a person has resumed it since."""
    typing: list[Any] = []
    daemon = full_acme.hub.daemon

    async def listen() -> None:
        async for small in daemon.hub.subscribe("typing"):
            typing.append(small)  # noqa: PERF401  the task is cancelled, what it heard is kept

    listening = asyncio.create_task(listen())
    await full_acme.says(
        [
            {"kind": "notice", "time": full_acme.now, "broken": True},
            {"kind": "typing", "time": full_acme.now, "on": True},
        ]
    )
    await full_acme.hub.pass_time(minutes=1)
    await daemon.store.write(account_states.resume, "shop")
    await full_acme.hub.pass_time(minutes=1)
    assert full_acme.shop.view.state is AccountState.WORKING
    [envelope] = await full_acme.column("SELECT id FROM envelope")
    await daemon.intake.replay(envelope)
    await full_acme.hub.run_until_idle()
    assert full_acme.shop.view.state is AccountState.WORKING
    assert await full_acme.column("SELECT state FROM account_state") == ["working"]
    listening.cancel()
    assert len(typing) == 1
    assert [fact.replayed for fact in await full_acme.hub.facts("account.notice")] == [False, True]


async def test_a_notice_that_the_account_is_broken_breaks_it_before_it_is_acknowledged(full_acme: AcmeHub) -> None:
    await full_acme.told("notice", broken=False)
    assert await full_acme.column("SELECT state FROM account_state") == ["working"]
    await full_acme.told("notice", broken=True)
    assert await full_acme.hub.rows("SELECT state, reason FROM account_state") == [("broken", "Acme suspended us.")]


# --- who wrote it -------------------------------------------------------------------------------------------


async def test_an_alias_finds_the_same_person_from_then_on(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "by phone", name="Ann")
    await full_acme.wrote("m2", "by id, phone known", sender="bsuid:X1", aliases=[f"phone:+{CUSTOMER}"])
    await full_acme.wrote("m3", "by id alone", sender="bsuid:X1")
    assert await full_acme.column("SELECT DISTINCT conversation_id FROM message") == [
        (await full_acme.hub.conversation).id
    ]
    assert await full_acme.hub.rows("SELECT kind, name FROM address") == [("phone", "Ann")]
    assert await full_acme.column("SELECT name FROM contact") == ["Ann"]


async def test_one_person_under_two_names_in_one_batch_is_one_person(full_acme: AcmeHub) -> None:
    await full_acme.says([message("m1", sender="", **{"from": "bsuid:X1"}), message("m2", aliases=["bsuid:X1"])])
    assert len(await full_acme.column("SELECT id FROM contact")) == 1
    assert len(await full_acme.hub.conversations()) == 1


async def test_a_phone_is_one_person_in_all_accounts_and_a_chat_id_is_the_accounts(start_acme: Any) -> None:
    second = SETTINGS.replace("accounts.shop", "accounts.second").format(url="http://127.0.0.1:9", more="")
    acme = await start_acme(channel=FullAcme, settings=second)
    for endpoint in ("shop", "second"):
        await acme.wrote("m1", "Hello", endpoint=endpoint)
        await acme.wrote("m2", "Hello", endpoint=endpoint, sender="chat:7")
    assert sorted(await acme.hub.rows("SELECT kind, scope FROM address")) == [
        ("chat", "second"),
        ("chat", "shop"),
        ("phone", ""),
    ]


async def test_a_name_that_comes_later_is_taken_and_none_does_not_take_it_away(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "Hello")
    await full_acme.wrote("m2", "Hello", name="Ann")
    await full_acme.wrote("m3", "Hello")
    assert await full_acme.column("SELECT name FROM address") == ["Ann"]
    assert await full_acme.column("SELECT name FROM contact") == ["Ann"]


async def test_a_person_with_a_new_address_stays_one_contact_with_both(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "old number", name="Ann")
    await full_acme.wrote("m2", "new number", sender="6280000000000")
    await full_acme.told("moved", new="6280000000000")
    [contact] = await full_acme.column("SELECT id FROM contact")
    assert set(await full_acme.column("SELECT contact_id FROM address")) == {contact}
    assert set(await full_acme.column("SELECT contact_id FROM conversation")) == {contact}
    assert [fact.type for fact in await full_acme.hub.facts("contact.merged", "address.changed")] == [
        "contact.merged",
        "address.changed",
    ]


async def test_a_move_that_is_told_twice_is_one_move(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "old number")
    for _ in range(2):
        await full_acme.told("moved", new="6280000000000")
    assert len(await full_acme.hub.facts("address.changed")) == 1


async def test_an_alias_that_shows_two_contacts_to_be_one_person_merges_them(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "by phone", name="Ann")
    await full_acme.wrote("m2", "by id", sender="bsuid:X1")
    for n in (3, 4):
        await full_acme.wrote(f"m{n}", "both are known", sender="bsuid:X1", aliases=[f"phone:+{CUSTOMER}"])
    [contact] = await full_acme.column("SELECT id FROM contact")
    assert set(await full_acme.column("SELECT contact_id FROM address")) == {contact}
    assert set(await full_acme.column("SELECT contact_id FROM conversation")) == {contact}
    assert len(await full_acme.hub.facts("contact.merged")) == 1


async def test_an_alias_of_another_account_names_the_contact_and_never_the_address(start_acme: Any) -> None:
    second = SETTINGS.replace("accounts.shop", "accounts.second").format(url="http://127.0.0.1:9", more="")
    acme = await start_acme(channel=FullAcme, settings=second)
    await acme.wrote("m1", "by id", sender="bsuid:X1", aliases=[f"phone:+{CUSTOMER}"])
    await acme.wrote("m2", "by phone", endpoint="second")
    assert len(await acme.column("SELECT id FROM contact")) == 1
    reached = {c.account: (c.address.kind, c.address.value) for c in await acme.hub.conversations()}
    assert reached == {"shop": ("bsuid", "X1"), "second": ("phone", f"+{CUSTOMER}")}


# --- over an own connection -----------------------------------------------------------------------------------


async def test_what_cannot_be_stored_over_an_own_connection_is_said_to_the_channel(full_acme: AcmeHub) -> None:
    channel, now = full_acme.shop.channel, full_acme.hub.clock.now()
    address = Address(kind="phone", value=f"+{CUSTOMER}")
    good = Inbound(external_id="m1", address=address, at=now, text="good")
    naive = Inbound(external_id="m2", address=address, at=now.replace(tzinfo=None), text="no zone")
    impossible = SessionChange(address=address, state="asleep", at=now)  # type: ignore[arg-type]
    for bad in (naive, impossible):
        with pytest.raises(Unreadable):
            await channel.admit([good, bad])
    assert await full_acme.column(TEXTS) == ["good"]


async def test_a_message_without_an_id_is_unread_and_not_taken_for_a_repeat(full_acme: AcmeHub) -> None:
    await full_acme.says([message("", "one"), message("", "two"), message("m3", "three")])
    assert await full_acme.column(TEXTS) == ["three"]
    [unread] = await full_acme.column("SELECT unread FROM envelope")
    assert unread.count("cannot be stored") == 2


async def test_a_handshake_that_raises_loses_no_delivery(start_acme: Any) -> None:
    class Clumsy(FullAcme):
        def answer(self, envelope: Any) -> Any:
            raise KeyError("hub.challenge")

    acme = await start_acme(channel=Clumsy)
    await acme.wrote("m1", "Hello")
    assert await acme.column(TEXTS) == ["Hello"]


# --- shaped before it is stored --------------------------------------------------------------------------------


class Shaper:
    @hookimpl
    def shape_inbound(self, message: Any) -> Any:
        if "spam" in message.text:
            return Drop("spam")
        if "boom" in message.text:
            raise ZeroDivisionError
        return replace(message, text=message.text.upper() + "\0")


async def test_a_hook_may_change_or_drop_a_message_and_one_that_raises_changes_nothing(start_acme: Any) -> None:
    acme = await start_acme(settings='[plugins]\nenabled = ["shaper"]\n', plugins={"shaper": Shaper()})
    await acme.says([message("m1"), message("m2", "spam"), message("m3", "boom")])
    assert await acme.column(TEXTS) == ["HELLO\ufffd", "boom"]
