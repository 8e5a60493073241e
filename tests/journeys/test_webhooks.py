"""A host is told each fact by a signed POST: in order within a conversation, until it has taken it; it delays nobody."""

from __future__ import annotations

import asyncio
import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError
from typer.testing import CliRunner

from talkwire import control
from talkwire.api import make_app
from talkwire.api.principals import create_keys
from talkwire.cli import app
from talkwire.errors import Conflict, NotFound
from talkwire.oversight import evidence
from talkwire.reloading import reload
from talkwire.testing.services import Logs, TurnedClock
from tests.journeys.acme_hub import SETTINGS, AcmeHub
from tests.journeys.listening import cut_power
from tests.journeys.webhook_host import OTHER, SECRET, Host

ANN, BOB, CAT = "6281111111111", "6282222222222", "6283333333333"
RECEIVED = 'types = ["message.received"]'


@pytest_asyncio.fixture
async def start_host():
    """Lend hosts; they are gone with the test."""
    started: list[Host] = []

    async def start() -> Host:
        host = Host()
        await host.comes()
        started.append(host)
        return host

    yield start
    for host in started:
        await host.goes()


@pytest_asyncio.fixture
async def host(start_host):
    return await start_host()


def message(text: str, sender: str = ANN) -> dict[str, Any]:
    return {"kind": "message", "id": f"{sender} {text}", "time": 1795435200, "from": sender, "text": text}


async def say(acme: AcmeHub, *values: tuple[str, str]) -> None:
    """Let customers write, in one envelope: (who, what)."""
    await acme.says([message(text, sender) for sender, text in values])
    await acme.hub.run_until_idle()


async def talks(acme: AcmeHub) -> dict[str, str]:
    """Give the conversation of each number."""
    return {one.address.value.removeprefix("+"): one.id for one in await acme.hub.conversations()}


async def lag(acme: AcmeHub, name: str = "crm") -> Any:
    found = await acme.hub.daemon.store.read(evidence.readers)
    return next(one for one in found if one.name == f"webhook:{name}")


def do(acme: AcmeHub, command: str, **said: Any) -> Any:
    return control.do(acme.hub.daemon, command, said)


# --- what it is told ------------------------------------------------------------------------------------


async def test_a_fact_is_told_as_the_api_serves_it_and_the_host_can_verify_it(start_acme, host, aiohttp_client):
    acme = await start_acme(settings=host.table("crm"), clock=TurnedClock(datetime.now(UTC)))
    await say(acme, (ANN, "Where is my parcel?"))
    client = await aiohttp_client(make_app(acme.hub.daemon))
    key = await acme.hub.daemon.store.write(create_keys, ("test", "host"))
    answer = await client.get("/api/v1/events?after=0", headers={"Authorization": f"Bearer {key}"})
    await acme.hub.run_until_idle()
    served = (await answer.json())["items"]
    told = [Webhook(SECRET).verify(one.body, dict(one.headers)) for one in host.taken]
    assert told == [fact for fact in served if fact["seq"] >= told[0]["seq"]]
    assert {"conversation.opened", "message.received", "key.created"} <= {one["type"] for one in told}
    assert all(b"parcel" not in one.body for one in host.taken)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(host.taken[0].body, dict(host.taken[0].headers))


async def test_every_secret_signs_so_that_one_can_be_changed_without_a_gap(start_acme, host):
    acme = await start_acme(settings=host.table("crm", secrets=f'["{OTHER}", "{SECRET}"]'))
    await say(acme, (ANN, "one"))
    assert host.taken
    assert all(one.is_signed_with(SECRET) and one.is_signed_with(OTHER) for one in host.taken)


async def test_a_host_is_told_the_types_and_accounts_it_asked_for(start_acme, start_host):
    one, other = await start_host(), await start_host()
    elsewhere = '\n[accounts.sister]\nchannel = "gone"\n' + other.table("erp", 'accounts = ["sister"]')
    acme = await start_acme(settings=one.table("crm", 'types = ["delivery.changed"]') + elsewhere)
    await say(acme, (ANN, "one"))
    await acme.hub.reply(await acme.hub.conversation, "two")
    await acme.hub.run_until_idle()
    assert one.texts == ["delivery.changed"]
    assert {told.fact["account"] for told in other.taken} <= {"sister"}
    assert (await lag(acme, "erp")).behind == 0


async def test_conversations_are_told_side_by_side_each_in_its_order(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    await say(acme, *((who, str(n)) for n in range(5) for who in (ANN, BOB, CAT)))
    for id_ in (await talks(acme)).values():
        facts = [fact.seq for fact in await acme.hub.facts("message.received") if fact.conversation == id_]
        assert host.of(id_) == facts
    assert len(host.tried) == 15


@pytest.mark.one_file
async def test_after_a_power_cut_the_same_fact_has_the_same_id(start_acme, host, tmp_path):
    """A host that honours ids sees it once, whenever the power fails."""
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    cuts = []
    host.answer = lambda _: cuts.append(cut_power(tmp_path, tmp_path / "cut")) or 200 if not cuts else 200
    await say(acme, (ANN, "one"))
    assert len(host.taken) == 1

    again = await start_acme(settings=host.table("crm", RECEIVED), folder=cuts[0], provider=acme.provider)
    await again.hub.run_until_idle()
    first, second = host.taken
    assert first.id == second.id
    assert first.body == second.body


# --- refused --------------------------------------------------------------------------------------------


async def test_a_refused_fact_holds_up_its_conversation_alone_and_is_parked_after_a_day(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    tries: list[float] = []
    began = acme.hub.clock.now()

    def picky(fact: dict[str, Any]) -> int:
        if fact["conversation"] != ann or fact["small"]["n"] != 1:
            return 200
        tries.append((acme.hub.clock.now() - began).total_seconds())
        return 422

    ann = ""
    host.answer = lambda fact: 422 if fact["small"]["n"] == 1 and not ann else picky(fact)
    await say(acme, (ANN, "bad"), (ANN, "behind"))
    ann = (await talks(acme))[ANN]
    tries.append(0)
    await say(acme, (BOB, "elsewhere"))
    assert [told.fact["conversation"] for told in host.taken] == [(await talks(acme))[BOB]]

    await acme.hub.pass_time(hours=28)
    assert tries == list(itertools.accumulate([0, 5, 300, 1800, 7200, 18000, 36000, 36000]))
    ((parked,),) = [await acme.hub.facts("fact.parked")]
    assert parked.small["reader"] == "webhook:crm"
    assert [(one.fact["small"]["n"], one.fact["after_gap"]) for one in host.taken] == [(1, False), (2, True)]
    stands = await lag(acme)
    assert (stands.parked, stands.down_since) == (1, None)
    assert stands.last_error == f"127.0.0.1:{host.port} answered 422"
    assert await acme.hub.facts("reader.down") == []


async def park(acme: AcmeHub, host: Host) -> Any:
    """Let one fact be refused until it is parked; then the host takes everything."""
    host.answer = lambda _: 422
    await say(acme, (ANN, "bad"))
    await acme.hub.pass_time(hours=28)
    host.answer = lambda _: 200
    (parked,) = await acme.hub.facts("fact.parked")
    return parked


async def test_a_parked_fact_is_told_again_by_command_with_its_first_id(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    parked = await park(acme, host)
    assert await do(acme, "replay-fact", webhook="crm") == [{"reader": "webhook:crm", "seq": parked.small["seq"]}]
    await acme.hub.run_until_idle()
    (told,) = host.taken
    assert told.fact["replayed"] is True
    assert {one.id for one in host.tried} == {told.id}
    assert (await lag(acme)).parked == 0


async def test_a_fact_that_was_taken_is_told_again_where_it_is_asked_for(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    await say(acme, (ANN, "one"))
    (fact,) = await acme.hub.facts("message.received")
    await do(acme, "replay-fact", webhook="crm", seq=fact.seq)
    await acme.hub.run_until_idle()
    assert [one.fact["replayed"] for one in host.taken] == [False, True]
    with pytest.raises(NotFound, match="the log has no fact 999"):
        await do(acme, "replay-fact", webhook="crm", seq=999)
    (opened,) = await acme.hub.facts("conversation.opened")
    with pytest.raises(Conflict, match=r"webhook:crm is not told such facts: conversation\.opened of shop"):
        await do(acme, "replay-fact", webhook="crm", seq=opened.seq)
    with pytest.raises(NotFound, match="did you mean crm"):
        await do(acme, "replay-fact", webhook="crmm", seq=fact.seq)


async def test_the_api_lists_webhooks_and_tells_again(start_acme, host, aiohttp_client):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    await park(acme, host)
    client = await aiohttp_client(make_app(acme.hub.daemon))
    headers = {
        scope: {"Authorization": f"Bearer {await acme.hub.daemon.store.write(create_keys, (scope, scope))}"}
        for scope in ("bot", "host")
    }
    listed = await client.get("/api/v1/webhooks", headers=headers["host"])
    (one,) = (await listed.json())["items"]
    assert (one["name"], one["host"], one["parked"]) == ("crm", f"http://127.0.0.1:{host.port}", 1)
    assert "planted" not in await listed.text()
    assert (await client.get("/api/v1/webhooks", headers=headers["bot"])).status == 403
    missing = await client.post("/api/v1/webhooks/erp:replay", json={}, headers=headers["host"])
    assert (missing.status, (await missing.json())["code"]) == (404, "not_found")
    told = await client.post("/api/v1/webhooks/crm:replay", json={}, headers=headers["host"])
    assert await told.json() == {"facts": 1}
    await acme.hub.run_until_idle()
    seq = host.taken[0].fact["seq"]
    told = await client.post("/api/v1/webhooks/crm:replay", json={"seq": seq}, headers=headers["host"])
    assert (told.status, await told.json()) == (200, {"facts": 1})
    await acme.hub.run_until_idle()
    assert [one.fact["seq"] for one in host.taken] == [seq, seq]


async def test_one_fact_that_makes_the_host_fail_stops_no_other(start_acme, host):
    """A 500 may mean that the host is away; where others are taken, it is this fact, and it is refused like any."""
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda fact: 500 if fact["small"]["n"] == 2 else 200
    await say(acme, (ANN, "1"), (ANN, "bad"), (ANN, "3"))
    for n in range(3):
        await say(acme, (BOB, f"{n} b"), (CAT, f"{n} c"))
        await acme.hub.pass_time(seconds=5)
    places = await talks(acme)
    host.answer = lambda fact: 500 if fact["conversation"] == places[ANN] and fact["small"]["n"] == 2 else 200
    await acme.hub.pass_time(seconds=10)
    await say(acme, (BOB, "more"))
    assert len(host.of(places[BOB])) == 4
    assert len(host.of(places[CAT])) == 3
    assert len(host.of(places[ANN])) == 1
    assert await acme.hub.facts("reader.down") == []
    await acme.hub.pass_time(hours=28)
    assert len(host.of(places[ANN])) == 2
    assert [fact.conversation for fact in await acme.hub.facts("fact.parked")] == [places[ANN]]


async def test_a_fact_that_fails_where_nothing_else_happens_is_named_and_a_test_tells_it_from_an_outage(
    start_acme, host
):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda fact: 500 if fact["small"].get("n") == 1 else 200
    await say(acme, (ANN, "bad"), (ANN, "behind"))
    await acme.hub.pass_time(hours=29)
    (down,) = await acme.hub.facts("reader.down")
    (first, second) = await acme.hub.facts("message.received")
    assert down.small["reason"] == f"127.0.0.1:{host.port} answered 500 to fact {first.seq}, message.received"
    assert (await lag(acme)).down_since is not None
    assert await acme.hub.facts("fact.parked") == []  # for all we know nobody is there

    await do(acme, "test-webhook", webhook="crm")
    await acme.hub.run_until_idle()
    assert (await lag(acme)).waiting == 2  # its conversation waits, and no other
    await acme.hub.pass_time(hours=28)
    ((parked,),) = [await acme.hub.facts("fact.parked")]
    assert parked.small["seq"] == first.seq
    told = [(one.fact["seq"], one.fact["after_gap"]) for one in host.taken if one.fact["seq"]]
    assert told == [(second.seq, True)]
    assert len(await acme.hub.facts("reader.recovered")) == 1


# --- away -----------------------------------------------------------------------------------------------


async def test_a_host_that_is_away_is_tried_again_and_misses_nothing(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    await host.goes()
    await say(acme, (ANN, "one"), (BOB, "two"))
    await say(acme, (ANN, "three"))
    assert (await lag(acme)).behind > 0
    await host.comes()
    await acme.hub.run_until_idle()
    assert host.taken == []  # it is not its time yet
    await acme.hub.pass_time(seconds=5)
    assert len(host.taken) == 3
    places = await talks(acme)
    assert len(host.of(places[ANN])) == 2
    assert (await lag(acme)).behind == 0
    assert await acme.hub.facts("reader.down", "fact.parked") == []  # five seconds are no news


async def test_an_outage_is_told_once_when_it_lasts_and_once_when_it_is_over(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda _: 503
    await say(acme, (ANN, "one"))
    await acme.hub.pass_time(seconds=50)
    assert await acme.hub.facts("reader.down") == []
    await acme.hub.pass_time(minutes=9)
    (down,) = await acme.hub.facts("reader.down")
    assert down.small == {"reader": "webhook:crm", "reason": f"127.0.0.1:{host.port} answered 503"}
    stands = await lag(acme)
    assert stands.down_since is not None
    assert len(host.tried) < 15

    for status in (200, 503, 200):  # it flaps
        host.answer = lambda _, status=status: status
        await say(acme, (ANN, f"{acme.hub.clock.now()}"))
        await acme.hub.pass_time(minutes=4)
        await acme.hub.pass_time(seconds=59)
    assert await acme.hub.facts("reader.recovered") == []
    await acme.hub.pass_time(minutes=6)
    (recovered,) = await acme.hub.facts("reader.recovered")
    assert recovered.small["seconds"] > 9 * 60
    assert len(await acme.hub.facts("reader.down")) == 1
    stands = await lag(acme)
    assert (stands.down_since, stands.last_error, stands.behind) == (None, "", 0)
    assert "reader.down" not in {one.fact["type"] for one in host.tried}


async def test_a_host_with_another_secret_loses_nothing_and_the_operator_reads_why(start_acme, host):
    """401 is about the host, not about each of ten thousand facts: nothing is parked."""
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda _: 401
    for hour in range(8):
        await say(acme, (ANN, f"{hour} a"), (BOB, f"{hour} b"))
        acme.hub.clock.advance(timedelta(hours=6))
    await acme.hub.run_until_idle()
    (down,) = await acme.hub.facts("reader.down")
    assert down.small["reason"] == f"127.0.0.1:{host.port} answered 401; is the secret the same on both sides?"
    assert await acme.hub.facts("fact.parked") == []
    host.answer = lambda _: 200
    await acme.hub.pass_time(minutes=5)
    assert len(host.taken) == 16


async def test_a_host_that_asks_for_time_is_given_it(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda _: web.Response(status=429, headers={"Retry-After": "90"})
    await say(acme, (ANN, "one"), (BOB, "two"))
    host.answer = lambda _: 200
    await acme.hub.pass_time(seconds=89)
    assert host.taken == []
    await acme.hub.pass_time(seconds=1)
    assert len(host.taken) == 2


async def test_a_host_that_does_not_answer_delays_no_other(start_acme, start_host):
    dead, living = await start_host(), await start_host()
    settings = dead.table("dead", f'{RECEIVED}\ntimeout = "30s"') + living.table("living", RECEIVED)
    acme = await start_acme(settings=settings)
    dead.answer = lambda _: None
    await acme.says([message(str(n), who) for n in range(20) for who in (ANN, BOB, CAT)])
    async with asyncio.timeout(10):
        while len(living.taken) < 60:
            await asyncio.sleep(0.005)  # it is told by another loop than the one that waits
        assert len(dead.tried) <= 3
        assert dead.taken == []
    dead.answer = lambda _: 200
    dead.answers_at_last()
    await acme.hub.run_until_idle()
    assert len(dead.taken) == 60
    assert (await lag(acme, "living")).behind == 0


async def test_a_host_that_does_not_answer_in_time_is_away(start_acme, host):
    acme = await start_acme(settings=host.table("crm", f'{RECEIVED}\ntimeout = "50ms"'))
    host.answer = lambda _: None
    await say(acme, (ANN, "one"))
    (fact,) = await acme.hub.facts("message.received")
    told = f"127.0.0.1:{host.port}: no whole answer within 0.05 s to fact {fact.seq}, message.received"
    assert (await lag(acme)).last_error == told
    host.answer = lambda _: 200
    await acme.hub.pass_time(seconds=5)
    assert len({one.id for one in host.tried}) == 1
    assert len(host.taken) == 1


async def test_a_redirect_is_not_followed(start_acme, start_host):
    one, other = await start_host(), await start_host()
    acme = await start_acme(settings=one.table("crm", RECEIVED))
    one.answer = lambda _: web.Response(status=307, headers={"Location": other.url})
    await say(acme, (ANN, "one"))
    assert len(one.tried) == 1
    assert other.tried == []
    assert "a redirect is not followed" in (await lag(acme)).last_error
    assert "planted" not in (await lag(acme)).last_error


async def test_a_host_that_is_gone_is_told_no_more_until_somebody_says_so(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda _: 410
    await say(acme, (ANN, "one"), (BOB, "two"))
    await acme.hub.pass_time(hours=2)
    tried = len(host.tried)
    assert tried <= 2
    (stopped,) = await acme.hub.facts("reader.stopped")
    assert stopped.small["reader"] == "webhook:crm"
    assert "410" in stopped.small["reason"]
    assert (await lag(acme)).state == "gone"
    await say(acme, (ANN, "three"))
    assert len(host.tried) == tried

    host.answer = lambda _: 200
    assert await do(acme, "resume-webhook", webhook="crm") is True
    await acme.hub.run_until_idle()
    assert len(host.taken) == 3
    assert (await lag(acme)).state == "active"


async def test_a_fact_in_a_lane_loses_none_of_its_schedule_to_an_outage(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda _: 422
    await say(acme, (ANN, "bad"))
    await host.goes()
    for _ in range(10):
        acme.hub.clock.advance(timedelta(hours=4))
        await acme.hub.run_until_idle()
    assert await acme.hub.facts("fact.parked") == []
    await host.comes()
    await acme.hub.pass_time(minutes=11)  # it refuses the fact twice again
    assert len(host.tried) >= 3
    assert await acme.hub.facts("fact.parked") == []
    host.answer = lambda _: 200
    await acme.hub.pass_time(minutes=30)
    assert len(host.taken) == 1


async def test_a_host_is_down_for_a_day_and_misses_nothing_while_another_saw_no_delay(start_acme, start_host):
    """Must show 2 of issue 4."""
    away, living = await start_host(), await start_host()
    acme = await start_acme(settings=away.table("away") + living.table("living"))
    await say(acme, (ANN, "before"), (BOB, "before"))
    await away.goes()
    for hour in range(12):
        acme.hub.clock.advance(timedelta(hours=2))
        await say(acme, (ANN, f"{hour} a"), (BOB, f"{hour} b"), *[(CAT, f"{hour} c")] * (hour % 3))
        behind = await lag(acme, "living")
        assert behind.behind == 0
    assert (await lag(acme, "away")).behind >= 12 * 2
    assert len(await acme.hub.facts("reader.down")) == 1
    await away.comes()
    await acme.hub.pass_time(minutes=11)
    assert (await lag(acme, "away")).behind == 0
    assert len(await acme.hub.facts("reader.recovered")) == 1
    assert await acme.hub.facts("fact.parked") == []

    for host, about in ((away, set()), (living, {"webhook:away"})):  # what became of a host is news to others
        news = [one.fact for one in host.taken if one.fact["type"].startswith("reader.")]
        assert {fact["small"]["reader"] for fact in news} == about

    facts = [fact for fact in await acme.hub.facts() if not fact.type.startswith("reader.")]
    for host in (away, living):
        told = {one.id: one.fact["seq"] for one in host.taken if not one.fact["type"].startswith("reader.")}
        assert sorted(told.values()) == [fact.seq for fact in facts if fact.seq >= min(told.values())]
        assert len(set(told.values())) == len(told)  # a fact has one id
        assert len(told) == len([one for one in host.taken if not one.fact["type"].startswith("reader.")])
        for id_ in (await talks(acme)).values():
            assert host.of(id_) == [fact.seq for fact in facts if fact.conversation == id_]


# --- the operator ---------------------------------------------------------------------------------------


async def test_a_test_is_signed_and_says_what_came_back(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    done = await do(acme, "test-webhook", webhook="crm")
    assert (done["took"], done["text"]) == (True, f"127.0.0.1:{host.port} took it")
    (told,) = host.taken
    assert told.is_signed_with(SECRET)
    assert (told.fact["type"], told.fact["small"]) == ("webhook.test", {"webhook": "crm"})
    host.answer = lambda _: 401
    done = await do(acme, "test-webhook", webhook="crm")
    assert (done["took"], done["text"]) == (
        False,
        f"127.0.0.1:{host.port} answered 401; is the secret the same on both sides?",
    )


async def test_a_test_that_is_taken_ends_the_waiting(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda _: 503
    await say(acme, (ANN, "one"))
    await acme.hub.pass_time(hours=1)
    host.answer = lambda _: 200
    await do(acme, "test-webhook", webhook="crm")
    await acme.hub.run_until_idle()
    assert [one.fact["type"] for one in host.taken] == ["webhook.test", "message.received"]


@pytest.fixture
def typed(tmp_path):
    """Type a command about a hub's instance; gives what was shown."""

    async def run(acme: AcmeHub, host: Host, *words: str, code: int = 0) -> str:
        file = tmp_path / "typed.toml"
        store = acme.hub.daemon.config.store.url.get_secret_value()
        file.write_text(f'[store]\nurl = "{store}"\n{host.table("crm", RECEIVED)}')
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(file), *words])
        assert ran.exit_code == code, ran.output
        assert "planted" not in ran.output
        return " ".join(ran.output.split())

    return run


async def test_the_operator_sees_an_outage_and_its_end(start_acme, host, typed):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    # Commands that look go by the machine's clock.
    await acme.hub.pass_time(max(datetime.now(UTC) - acme.hub.clock.now(), timedelta()))
    where = f"crm http://127.0.0.1:{host.port}"
    assert f"{where} works 0 facts behind" in await typed(acme, host, "webhooks")
    host.answer = lambda _: 503
    await say(acme, (ANN, "one"))
    await acme.hub.pass_time(minutes=2)
    error = f"127.0.0.1:{host.port} answered 503"
    assert re.search(rf"{where} away for .* \d+ facts? behind {error}", await typed(acme, host, "webhooks", "list"))
    shown = await typed(acme, host, "status", code=2)
    assert re.search(rf"BAD reader webhook:crm away for .*: {error}; \d+ facts wait", shown)
    assert "talkwire webhooks test crm" in shown
    host.answer = lambda _: 410
    await acme.hub.pass_time(minutes=5)
    shown = await typed(acme, host, "status", code=2)
    assert re.search(r"BAD reader webhook:crm wants to be told no more: .* 410", shown)
    assert "talkwire webhooks resume crm" in shown
    host.answer = lambda _: 200
    await do(acme, "resume-webhook", webhook="crm")
    await acme.hub.run_until_idle()
    assert f"{where} works 0 facts behind" in await typed(acme, host, "webhooks")


async def change(acme: AcmeHub, tables: str) -> None:
    """Edit the webhooks in the file of a running daemon, and let it be read again."""
    store = acme.hub.daemon.config.store.url.get_secret_value()
    given = "" if store.startswith("sqlite:") else f'[store]\nurl = "{store}"\n'
    shop = SETTINGS.format(url=acme.provider.url, more="")
    acme.hub.daemon.config.path.write_text(given + shop + tables)
    await reload(acme.hub.daemon)


async def test_a_host_that_moved_is_told_at_its_new_place_without_a_restart(start_acme, start_host):
    old, new = await start_host(), await start_host()
    acme = await start_acme(settings=old.table("crm", RECEIVED))
    await old.goes()
    await say(acme, (ANN, "one"))
    await change(acme, new.table("crm", RECEIVED))
    await acme.hub.run_until_idle()
    assert len(new.taken) == 1
    await change(acme, "")
    await say(acme, (ANN, "two"))
    assert len(new.taken) == 1
    assert (await lag(acme)).state == "stopped"


async def test_what_is_under_way_when_settings_change_is_told_again(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda _: None
    await acme.says([message("one")])
    async with asyncio.timeout(20):
        while not host.tried:
            await asyncio.sleep(0.001)  # the host has it, and does not answer
    host.answer = lambda _: 200
    await change(acme, host.table("crm", f'{RECEIVED}\ntimeout = "20s"'))
    await acme.hub.pass_time(seconds=5)
    assert [one.id for one in host.tried] == [host.taken[0].id] * 2


async def test_an_outage_in_the_middle_of_many_leaves_no_gap(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    count = 0

    def breaks(_: dict[str, Any]) -> int:
        nonlocal count
        count += 1
        return 502 if 7 <= count <= 20 else 200

    host.answer = breaks
    await say(acme, *((who, str(n)) for n in range(8) for who in (ANN, BOB, CAT)))
    await acme.hub.pass_time(minutes=30)
    for id_ in (await talks(acme)).values():
        assert host.of(id_) == [f.seq for f in await acme.hub.facts("message.received") if f.conversation == id_]
    assert await acme.hub.facts("fact.parked") == []


async def test_what_waits_in_a_lane_and_is_wanted_no_more_is_not_told(start_acme, host):
    acme = await start_acme(settings=host.table("crm", RECEIVED))
    host.answer = lambda _: 422
    await say(acme, (ANN, "one"), (BOB, "two"))
    tried = len(host.tried)
    await change(acme, host.table("crm", 'types = ["delivery.failed"]'))
    host.answer = lambda _: 200
    await acme.hub.pass_time(hours=28)
    assert len(host.tried) == tried
    assert await acme.hub.rows("SELECT count(*) FROM task") == [(0,)]


async def test_nothing_of_a_secret_or_of_the_url_is_in_what_is_kept_or_logged(start_acme, host):
    logs = Logs()
    with logs.listening():
        acme = await start_acme(settings=host.table("crm"))
        for status in (422, 500, 307, 410):
            host.answer = lambda _, status=status: status
            await say(acme, (ANN, f"Where is my parcel? {status}"))
            await do(acme, "resume-webhook", webhook="crm")
            await acme.hub.pass_time(minutes=3)
        await host.goes()
        await say(acme, (BOB, "Where is my parcel?"))
        await acme.hub.pass_time(minutes=3)
    assert any("fact refused" in line for line in logs.lines)
    kept = [repr(await acme.hub.rows(f"SELECT * FROM {table}")) for table in ("reader", "fact", "lane", "parked")]
    kept += [repr(acme.hub.daemon.config), *logs.lines, repr(acme.hub.daemon.readers.pumps)]
    for planted in (SECRET, SECRET.removeprefix("whsec_"), "planted-path"):
        assert planted not in "\n".join(kept)
