"""Somebody with no more than a phone number finds out in two commands why nobody answered."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json
from typer.testing import CliRunner

from talkwire import control
from talkwire.cli import app, looking
from talkwire.errors import Rejected
from talkwire.oversight import evidence, reasons, story
from talkwire.testing.provider import Reply, busy, refuse, reset_after_body, says
from tests.journeys.acme_hub import AcmeHub

SETTINGS = """
[store]
url = "{url}"
[accounts.shop]
channel = "acme"
token = "planted-token-0123456789"
"""
PHONE = "0812-3456-7890"
NO_TOKEN = says(Reply.json({"error": "this token is not valid any more"}, status=401))


class Operator:
    """Somebody at a terminal, beside a hub whose clock is turned to the terminal's."""

    def __init__(self, acme: AcmeHub, file: Path) -> None:
        self.acme, self.file, self.seen = acme, file, ""

    async def types(self, *words: str, code: int | None = 0, columns: int = 100) -> str:
        ran = await asyncio.to_thread(
            CliRunner().invoke, app, ["--config", str(self.file), *words], env={"COLUMNS": str(columns)}
        )
        assert code is None or ran.exit_code == code, ran.output
        assert "planted-token" not in ran.output
        self.seen += ran.output
        return ran.output


@pytest.fixture
async def operator(acme: AcmeHub, tmp_path: Path) -> Operator:
    await acme.hub.pass_time(max(datetime.now(UTC) - acme.hub.clock.now(), timedelta()))
    file = tmp_path / "talkwire.toml"
    file.write_text(SETTINGS.format(url=acme.hub.daemon.store.url))
    return Operator(acme, file)


async def test_a_token_that_dies_at_night_is_found_by_a_phone_number_and_the_replies_go_out_in_order(acme, operator):
    """The alarm is a fact; what waited goes out once somebody has acted, in its order, nothing twice."""
    talk = await acme.talk()
    await acme.reply(talk, "Good evening")
    acme.provider.will(NO_TOKEN)
    await acme.reply(talk, "One")
    assert (await acme.hub.facts("account.broken"))[0].account == "shop"
    await acme.wrote("m2", "Hello? Is anybody there?")
    await acme.hub.run_until_idle()

    status = await operator.types("status", code=2)
    assert "BAD   account shop" in status
    assert "talkwire accounts resume shop" in status
    assert "1 part waits, the oldest for" in status
    found = await operator.types("find", PHONE)
    assert "1 reply waits: account shop is broken" in found
    assert "401" in found
    told = await operator.types("trace", PHONE)
    assert "account shop is broken" in told
    assert "→ repair what it says, then: talkwire accounts resume shop" in told
    assert "part 1 to 127.0.0.1 (POST): answered 401" in told
    assert "Is anybody there" not in told
    assert "Is anybody there" in await operator.types("trace", PHONE, "--bodies")

    await acme.hub.pass_time(hours=5)
    await control.do(acme.hub.daemon, "resume", {"account": "shop"})
    await acme.hub.run_until_idle()
    await acme.reply(talk, "Two")
    assert acme.texts == ["Good evening", "One", "One", "Two"]  # the first "One" is the one that was refused
    assert await acme.hub.states(talk) == ["accepted"] * 3
    assert "nothing is open" in await operator.types("trace", PHONE)


async def test_a_message_that_nobody_answered_says_so_and_who_was_told(acme, operator):
    await acme.talk()
    [found] = json.loads(await operator.types("find", PHONE, "--json"))
    assert [one["text"] for one in found["why"]] == ["nobody has answered the customer's last message"]
    told = await operator.types("trace", found["id"])
    assert "nobody has answered the customer's last message; since" in told


async def test_a_lane_that_waits_says_why_until_when_and_what_to_type(acme, operator):
    talk = await acme.talk()
    acme.provider.will(busy(3000))
    await acme.reply(talk, "One")
    [why] = json.loads(await operator.types("find", PHONE, "--json"))[0]["why"]
    assert "1 reply waits: the provider takes no more for now" in why["text"]
    assert datetime.fromisoformat(why["until"]) - acme.hub.clock.now() == timedelta(seconds=3000)
    assert why["hint"].startswith("talkwire lanes release ")


async def test_a_part_of_unknown_outcome_names_the_command_that_settles_it(acme, operator):
    talk = await acme.talk()
    acme.provider.will(reset_after_body())
    await acme.reply(talk, "One")
    [(part,)] = await acme.hub.rows("SELECT id FROM delivery")
    assert f"talkwire settle {part} sent|failed|again" in await operator.types("trace", PHONE, columns=120)


async def test_a_part_that_the_provider_refused_says_in_whose_words(acme, operator):
    talk = await acme.talk()
    acme.provider.will(refuse())
    await acme.reply(talk, "One")
    told = await operator.types("trace", PHONE)
    assert "reply 2 failed: " in told
    assert "nothing to type" not in told


async def test_a_message_that_could_not_be_read_is_found_by_the_number_in_it(acme, operator):
    await acme.says([{"kind": "message", "id": "m1", "time": "never", "from": "6281234567890"}])
    await acme.hub.run_until_idle()
    found = await operator.types("find", PHONE)
    assert "envelope" in found
    assert "shop: not understood, and holds what you look for" in found
    assert "not understood" in await operator.types("trace", PHONE)


async def test_a_word_in_a_message_and_in_what_could_not_be_read_names_both(acme, operator):
    await acme.wrote("m1", "Where is my parcel?", time=acme.now)
    await acme.says([{"kind": "message", "id": "m2", "time": "never", "from": "6281", "text": "parcel"}])
    await acme.hub.run_until_idle()
    [(message,)] = await acme.hub.rows("SELECT id FROM message")
    [(envelope,)] = await acme.hub.rows("SELECT id FROM envelope WHERE unread <> ''")
    told = await operator.types("trace", "parcel")
    assert f"This is the story of the envelope {envelope}; found too:\n  message  {message}\n" in told
    assert "Where is my" not in told
    assert "Where is my parcel?" in await operator.types("trace", "parcel", "--bodies")
    assert "found too" not in await operator.types("trace", message)


async def test_it_is_found_behind_many_that_could_not_be_read_and_in_a_query_too(acme):
    unread = {"kind": "message", "time": "never"}
    await acme.says([{**unread, "id": "m0", "from": "6281234567890"}])
    await acme.says([{**unread, "id": "m1"}], query={"sender": "+628777000111"})
    for place in range(2, 260):
        await acme.says([{**unread, "id": f"m{place}", "from": "6285550000000"}])
    await acme.hub.run_until_idle()

    async def finds(text: str) -> int:
        return len(await acme.hub.daemon.store.read(lambda query: evidence.find(query, text)))

    assert [await finds(PHONE), await finds("+62 877 7000 111"), await finds("08 555 000 0000")] == [1, 1, 50]
    assert await finds("0899 9999 9999") == 0


async def test_what_a_provider_delivers_again_stands_in_the_story_of_the_first(acme, operator):
    talk = await acme.talk()
    await acme.wrote("m1", "Hello", time=acme.now)
    await acme.hub.run_until_idle()
    assert len(await acme.hub.messages(talk)) == 1
    told = await acme.hub.daemon.store.read(lambda query: story.tell(query, talk.id))
    assert [line.kind for line in told.lines].count("envelope") == 2
    assert any("known already" in line.text for line in told.lines)
    [repeated] = await acme.hub.facts("message.repeated")
    assert repeated.ids["message"] == (await acme.hub.messages(talk))[0].id


async def test_a_replayed_envelope_is_no_repeat_of_a_provider(acme):
    await acme.talk()
    [(envelope,)] = await acme.hub.rows("SELECT id FROM envelope")
    await control.do(acme.hub.daemon, "replay", {"envelope": envelope})
    assert await acme.hub.facts("message.repeated") == []


async def test_a_story_fits_the_terminal(acme, operator):
    talk = await acme.talk()
    acme.provider.will(NO_TOKEN)
    await acme.reply(talk, "A long reply " * 10)
    for columns in (60, 80, 200):
        told = await operator.types("trace", PHONE, "--bodies", columns=columns)
        assert max(map(len, told.splitlines())) <= columns
        assert "\x1b" not in told  # no colours but on a terminal


async def test_a_secret_that_does_not_fit_any_more_shows_in_the_account(acme):
    """Nothing of a delivery that is not genuine is stored: the daemon's own count is all that there is."""
    await acme.talk()
    for _ in range(3):
        with pytest.raises(Rejected):
            await acme.hub.deliver("shop", b"{}", headers={"X-Acme-Signature": "sha256=00"})
    lines = list(looking._signs("account shop", await evidence_of(acme), None, about(acme)))
    assert [(line.level, line.text.partition(",")[0]) for line in lines] == [
        ("look", "the last 3 deliveries were not genuine")
    ]
    await acme.wrote("m2", "Hello")
    assert list(looking._signs("account shop", await evidence_of(acme), None, about(acme))) == []


async def evidence_of(acme: AcmeHub) -> Any:
    [one] = await acme.hub.daemon.store.read(evidence.accounts)
    return one


def about(acme: AcmeHub) -> Any:
    return json.loads(to_json(control.about_accounts(acme.hub.daemon)))["shop"]


async def test_a_lane_whose_account_cannot_send_says_so_instead_of_due(acme, operator):
    talk = await acme.talk()
    acme.provider.will(NO_TOKEN)
    await acme.reply(talk, "One")
    assert "its account is broken" in await operator.types("lanes")


async def test_a_host_that_was_not_told_is_named_with_its_error(acme):
    """Whoever looks for the reason sees first whether anybody could have answered."""
    talk = await acme.talk()
    await acme.hub.daemon.store.write(_reader, ("webhook:crm", "active", "HTTP 503"))
    await acme.hub.daemon.store.write(_reader, ("webhook:old", "gone", "HTTP 410"))
    await acme.hub.pass_time(minutes=1)
    why = await acme.hub.daemon.store.read(lambda query: reasons.of_talk(query, talk.id))
    said = {one.text: one.hint for one in why}
    assert len(said) == 3
    assert any(text.startswith("webhook:crm has not been told: it is ") and text.endswith("HTTP 503") for text in said)
    assert said["webhook:old has not been told: it wants nothing more: HTTP 410"] == "talkwire webhooks resume old"
    told = await acme.hub.daemon.store.read(lambda query: story.tell(query, talk.id))
    assert any(line.text == "message 1 was not told yet to webhook:crm, webhook:old" for line in told.lines)


async def test_a_fact_that_a_host_refused_names_the_command_that_tells_it_again(acme):
    talk = await acme.talk()
    await acme.hub.daemon.store.write(_reader, ("webhook:crm", "active", ""))
    await acme.hub.daemon.store.write(_park, ("webhook:crm", 2, talk.id))
    why = await acme.hub.daemon.store.read(lambda query: reasons.of_talk(query, talk.id))
    assert [one.hint for one in why if "parked" in one.text] == ["talkwire replay 2, once webhook:crm takes it"]


def _reader(tx: Any, items: Any) -> list[None]:
    for name, state, error in items:
        tx.execute(
            "INSERT INTO reader (name, cursor, state, last_error, moved_at) VALUES (:name, 0, :state, :error, 0)",
            {"name": name, "state": state, "error": error},
        )
    return [None] * len(items)


def _park(tx: Any, items: Any) -> list[None]:
    for reader, seq, conversation in items:
        tx.execute(
            "INSERT INTO parked (reader, seq, conversation, error, at) VALUES (:reader, :seq, :talk, 'HTTP 400', 0)",
            {"reader": reader, "seq": seq, "talk": conversation},
        )
    return [None] * len(items)
