"""A part on its way: every answer a provider can give, and what becomes of the part, the lane and the account."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from talkwire import account_states
from talkwire.errors import StoreDown, Uncertain
from talkwire.model import NotThere, Outgoing, Part, Rate, Receipt, Rendered, State
from talkwire.outbound import attempts
from talkwire.testing.provider import (
    busy,
    down,
    garbage_200,
    hang_after_acceptance,
    refuse,
    reset_after_body,
    slow,
    unauthorised,
)
from talkwire.work.rates import recent
from tests.journeys.acme_hub import AcmeHub, FullAcme, full, no
from tests.journeys.listening import cut_power
from tests.mutants.acme import AcmeSettings
from tests.parts.power import PowerCut, run_through

LANE = "SELECT due, held, attempts FROM lane WHERE grp = 'send:shop'"
THREE = "a" * 200 + "b" * 200 + "c"


# --- in order --------------------------------------------------------------------------------------


async def test_the_second_part_waits_and_the_first_is_not_repeated(start_acme: Any) -> None:
    acme = await start_acme(channel=full())
    conversation = await acme.talk()
    acme.provider.will(acme.accept("p1"), busy(after=50), acme.accept("p2"), acme.accept("p3"), acme.accept("p4"))
    await acme.reply(conversation, THREE, "last")
    assert acme.texts == ["a" * 200, "b" * 200]
    assert await acme.hub.states(conversation) == ["queued", "queued"]
    [message, _] = [m for m in await acme.hub.messages(conversation) if m.state is not None]
    assert [(d.state.word, d.reason) for d in message.deliveries][:2] == [("accepted", ""), ("queued", "rate_limited")]
    await acme.hub.pass_time(seconds=49)
    assert len(acme.texts) == 2
    await acme.hub.pass_time(seconds=1)
    assert acme.texts == ["a" * 200, "b" * 200, "b" * 200, "c", "last"]
    assert await acme.hub.states(conversation) == ["accepted", "accepted"]


async def test_a_refused_part_fails_those_behind_it_and_the_next_message_goes(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(full_acme.accept(), refuse())
    await full_acme.reply(conversation, THREE, "next")
    assert full_acme.texts == ["a" * 200, "b" * 200, "next"]
    [failed, _] = [m for m in await full_acme.hub.messages(conversation) if m.state is not None]
    assert [d.problem and d.problem.code for d in failed.deliveries] == [None, "text_forbidden", "earlier_part"]
    assert await full_acme.hub.states(conversation) == ["failed", "accepted"]
    assert len(await full_acme.hub.facts("delivery.failed")) == 2


# --- not known ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [down(), garbage_200(), reset_after_body(), no("who_knows")], ids=lambda s: s.name)
async def test_what_is_not_known_is_uncertain_never_sent_again_and_stops_nothing(full_acme: AcmeHub, step: Any) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(step)
    await full_acme.reply(conversation, "perhaps", "surely")
    await full_acme.hub.pass_time(hours=30)
    assert full_acme.texts == ["perhaps", "surely"]
    assert await full_acme.hub.states(conversation) == ["uncertain", "accepted"]


async def test_a_send_that_takes_too_long_is_uncertain(start_acme: Any) -> None:
    acme = await start_acme(channel=full())
    conversation = await acme.talk()
    channel, in_time = acme.shop.channel, acme.shop.channel.features
    acme.provider.will(hang_after_acceptance())
    channel.features = replace(in_time, send_timeout=timedelta(seconds=0.2))
    await acme.hub.reply(conversation, "perhaps")
    await acme.under_way()
    channel.features = in_time  # whoever answers has time enough
    await acme.reply(conversation, "surely")
    assert await acme.hub.states(conversation) == ["uncertain", "accepted"]


class Nonsense(FullAcme):
    gives: Any = None

    async def send(self, out: Outgoing) -> Receipt:
        if out.part.text != "nonsense":
            return await super().send(out)
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "gives",
    [None, "ok", Receipt(state=State.QUEUED), Receipt(external_id=7), ZeroDivisionError(), TimeoutError()],  # type: ignore[arg-type]
    ids=repr,
)
async def test_a_channel_that_returns_nonsense_or_raises_is_uncertain_and_hurts_only_its_part(
    start_acme: Any, gives: Any
) -> None:
    acme = await start_acme(channel=type("Sister", (Nonsense,), {"gives": gives}))
    conversation = await acme.talk()
    await acme.reply(conversation, "nonsense", "sense")
    assert await acme.hub.states(conversation) == ["uncertain", "accepted"]


# --- once more ------------------------------------------------------------------------------------------


class Marked(FullAcme):
    def render(self, draft: Any, context: Any) -> Rendered:
        [part] = super().render(draft, context).parts
        return Rendered((Part(text=f"<b>{part.text}</b>", plain=part.text),))


async def test_refused_markup_goes_once_more_as_plain_text_and_that_is_noted(start_acme: Any) -> None:
    acme = await start_acme(channel=Marked)
    conversation = await acme.talk()
    acme.provider.will(no("markup"), acme.accept(), no("markup"), no("markup"))
    await acme.reply(conversation, "one")
    assert acme.texts == ["<b>one</b>", "one"]
    [_, reply] = await acme.hub.messages(conversation)
    assert [d.what for d in reply.degradations] == ["markup_refused"]
    assert reply.deliveries[0].attempts == 1

    await acme.reply(conversation, "two")
    assert acme.texts[2:] == ["<b>two</b>", "two"]
    assert await acme.hub.states(conversation) == ["accepted", "failed"]


async def test_try_later_makes_one_address_wait_and_not_its_neighbour(full_acme: AcmeHub) -> None:
    for n in (1, 2):
        await full_acme.wrote(f"m{n}", "Hello", sender=f"62812000000{n}")
    second, first = await full_acme.hub.conversations()
    full_acme.provider.will(no("slow_down"))
    await full_acme.reply(first, "waits")
    await full_acme.reply(second, "goes")
    assert full_acme.texts == ["waits", "goes"]
    await full_acme.hub.pass_time(seconds=50)
    assert full_acme.texts == ["waits", "goes", "waits"]


async def test_a_429_makes_the_whole_account_wait_for_as_long_as_the_provider_says(full_acme: AcmeHub) -> None:
    for n in (1, 2):
        await full_acme.wrote(f"m{n}", "Hello", sender=f"62812000000{n}")
    second, first = await full_acme.hub.conversations()
    full_acme.provider.will(busy(after=2), busy(after=2))
    await full_acme.reply(first, "waits")
    await full_acme.reply(second, "waits too")
    assert full_acme.texts == ["waits"]
    await full_acme.hub.pass_time(seconds=1)
    assert full_acme.texts == ["waits"]
    await full_acme.hub.pass_time(seconds=3)
    assert sorted(full_acme.texts[-2:]) == ["waits", "waits too"]


async def test_what_is_tried_for_too_long_is_given_up_with_the_parts_behind_it(start_acme: Any) -> None:
    full_acme = await start_acme(channel=full(give_up_after=timedelta(minutes=10)))
    conversation = await full_acme.talk()
    full_acme.provider.always(no("later"))
    await full_acme.reply(conversation, THREE)
    await full_acme.hub.pass_time(minutes=20)
    [_, reply] = await full_acme.hub.messages(conversation)
    assert [d.problem.code for d in reply.deliveries if d.problem] == ["gave_up", "earlier_part", "earlier_part"]
    assert set(full_acme.texts) == {"a" * 200}
    full_acme.provider.always(full_acme.accept())
    await full_acme.reply(conversation, "next")
    assert await full_acme.hub.states(conversation) == ["failed", "accepted"]


# --- the account -------------------------------------------------------------------------------------------


async def test_nothing_sent_lets_the_account_wait_longer_each_time_and_counts_no_attempt(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.always(no("nothing_left"))
    await full_acme.reply(conversation, "waits")
    assert full_acme.shop.view.state.value == "waiting"
    waits = []
    for _ in range(12):
        due = full_acme.shop.backoff.until
        waits.append((due - full_acme.hub.clock.now()).total_seconds())
        await full_acme.hub.pass_time(due - full_acme.hub.clock.now())
    assert waits[:4] == [5, 8.75, 15.3125, 26.796875]
    assert waits[-1] == 600
    [_, reply] = await full_acme.hub.messages(conversation)
    assert (reply.reason, reply.deliveries[0].attempts) == ("provider_down", 0)

    full_acme.provider.always(full_acme.accept())
    await full_acme.hub.pass_time(seconds=600)
    assert await full_acme.hub.states(conversation) == ["accepted"]
    assert full_acme.shop.view.state.value == "working"
    await full_acme.hub.pass_time(seconds=60)  # until it has held
    states = [fact.type for fact in await full_acme.hub.facts("account.waiting", "account.working")]
    assert states == ["account.working", "account.waiting", "account.working"]


async def test_many_that_fail_together_are_one_failure_of_the_account(full_acme: AcmeHub) -> None:
    for n in range(8):
        await full_acme.wrote(f"m{n}", "Hello", sender=f"62812000000{n}")
    full_acme.provider.always(no("nothing_left"))
    for conversation in await full_acme.hub.conversations():
        await full_acme.hub.reply(conversation, "waits")
    await full_acme.hub.run_until_idle()
    assert full_acme.shop.backoff.until == full_acme.hub.clock.now() + timedelta(seconds=5)


async def test_a_broken_account_sleeps_and_after_resume_its_replies_go_out_in_order(acme: AcmeHub) -> None:
    conversation = await acme.talk()
    all_are_stored = asyncio.Event()
    acme.provider.will(slow(all_are_stored, unauthorised()))
    for n in range(14):
        await acme.hub.reply(conversation, f"reply {n}")
    all_are_stored.set()
    await acme.hub.run_until_idle()
    assert acme.texts == ["reply 0"]
    [fact] = await acme.hub.facts("account.broken")
    assert "401" in str(fact.small["reason"])
    assert not (await acme.hub.conversation).answer.allowed
    await acme.hub.pass_time(hours=1)
    assert acme.texts == ["reply 0"]

    await acme.hub.daemon.store.write(account_states.resume, "shop")
    await acme.hub.run_until_idle()
    assert acme.texts == ["reply 0", *(f"reply {n}" for n in range(14))]
    assert await acme.hub.states(conversation) == ["accepted"] * 14
    assert (await acme.hub.conversation).answer.allowed


async def test_the_time_in_which_an_account_is_broken_is_no_time_of_trying(start_acme: Any) -> None:
    acme = await start_acme(channel=full(give_up_after=timedelta(minutes=10)))
    conversation = await acme.talk()
    go_on = asyncio.Event()
    acme.provider.will(slow(go_on, then=unauthorised()))
    for text in ("waits", "too"):
        await acme.hub.reply(conversation, text)
    go_on.set()  # both are taken by then
    await acme.hub.pass_time(minutes=20)
    await acme.hub.daemon.store.write(account_states.resume, "shop")
    await acme.hub.run_until_idle()
    assert await acme.hub.states(conversation) == ["accepted"] * 2


async def test_the_time_in_which_an_account_is_paused_is_no_time_of_trying(start_acme: Any) -> None:
    acme = await start_acme(channel=full(give_up_after=timedelta(minutes=10)))
    conversation = await acme.talk()
    acme.provider.will(no("slow_down"))
    await acme.reply(conversation, "waits")
    await acme.hub.pass_time(seconds=1)
    await acme.hub.daemon.store.write(account_states.pause, ("shop", "stocktaking"))
    await acme.hub.pass_time(minutes=20)
    await acme.hub.daemon.store.write(account_states.resume, "shop")
    await acme.hub.run_until_idle()
    assert await acme.hub.states(conversation) == ["accepted"]


# --- nobody there -------------------------------------------------------------------------------------------


async def test_an_unreachable_address_is_marked_in_every_thread_until_it_writes_again(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "Hello", thread="one")
    await full_acme.wrote("m2", "Hello", thread="two")
    _, one = await full_acme.hub.conversations()
    go_on = asyncio.Event()
    full_acme.provider.will(slow(go_on, then=no("unknown_number")))
    for text in ("anybody?", "still there?"):
        await full_acme.hub.reply(one, text)
    go_on.set()
    await full_acme.hub.run_until_idle()
    assert full_acme.texts == ["anybody?"]
    assert await full_acme.hub.states(one) == ["failed", "failed"]
    answers = [c.answer for c in await full_acme.hub.conversations()]
    assert [answer.code and answer.code.value for answer in answers] == ["address_unreachable"] * 2
    assert len(await full_acme.hub.facts("conversation.answer_changed")) == 2

    await full_acme.wrote("m3", "I am back", thread="two")
    assert [c.answer.allowed for c in await full_acme.hub.conversations()] == [True, True]
    await full_acme.reply(one, "good")
    assert full_acme.texts == ["anybody?", "good"]


async def test_who_is_offline_gets_all_of_it_in_order_when_woken(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(no("offline"))
    await full_acme.reply(conversation, "one", "two")
    assert full_acme.texts == ["one"]
    [_, first, _] = await full_acme.hub.messages(conversation)
    assert (first.reason, first.deliveries[0].attempts) == ("recipient_offline", 0)
    await full_acme.hub.pass_time(hours=30)
    assert full_acme.texts == ["one"]

    full_acme.shop.channel.wake(conversation.address.value)
    await full_acme.hub.run_until_idle()
    assert full_acme.texts == ["one", "one", "two"]
    assert await full_acme.hub.states(conversation) == ["accepted", "accepted"]


async def test_whoever_comes_while_the_store_is_down_is_sent_what_waits_when_it_is_back(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(no("offline"))
    await full_acme.reply(conversation, "one")
    power = PowerCut(full_acme.hub.daemon.store, 1, at="UPDATE lane SET wakes")
    full_acme.shop.channel.wake(conversation.address.value)
    await run_through(full_acme.hub)
    assert (power.cuts, full_acme.texts) == (1, ["one"])
    await full_acme.hub.pass_time(seconds=10)
    assert full_acme.texts == ["one", "one"]
    assert await full_acme.hub.states(conversation) == ["accepted"]


async def test_the_time_in_which_nobody_is_there_is_no_time_of_trying(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(no("slow_down"), no("offline"))
    await full_acme.reply(conversation, "waits")
    await full_acme.hub.pass_time(hours=60)
    full_acme.shop.channel.wake(conversation.address.value)
    await full_acme.hub.run_until_idle()
    assert await full_acme.hub.states(conversation) == ["accepted"]


async def test_a_provider_that_says_to_come_back_in_ages_is_waited_for_a_day_at_most(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(busy(after=10**15))
    await full_acme.reply(conversation, "waits")
    assert await full_acme.hub.states(conversation) == ["queued"]
    assert full_acme.shop.backoff.until == full_acme.hub.clock.now() + timedelta(days=1)


async def test_a_wake_that_comes_while_the_send_still_says_wait_is_not_lost(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    told = asyncio.Event()
    full_acme.provider.will(slow(told, no("offline")))
    await full_acme.hub.reply(conversation, "one")
    await full_acme.under_way()
    full_acme.shop.channel.wake(conversation.address.value)
    await full_acme.hub.daemon.store.write(nothing, None)
    told.set()
    await full_acme.hub.run_until_idle()
    assert full_acme.texts == ["one", "one"]
    assert await full_acme.hub.states(conversation) == ["accepted"]


def nothing(tx: Any, items: Any) -> list[None]:
    return [None] * len(items)


# --- found open ----------------------------------------------------------------------------------------------


class Reconciling(FullAcme):
    async def reconcile(self, out: Outgoing) -> Receipt | NotThere:
        answer = await self.http.get(f"{self.settings.url}/v1/me", params={"ref": out.key})
        found = self.found[0] if answer.status == 200 else None
        if found is None:
            raise Uncertain("cannot know")
        return found  # type: ignore[no-any-return]

    found: Any = (None,)


async def cut(start_acme: Any, channel: Any, tmp_path: Any) -> tuple[AcmeHub, str]:
    """Let a hub die with a part under way, and start another one on its folder."""
    before = await start_acme(channel=channel, folder=tmp_path)
    conversation = await before.talk()
    before.provider.will(hang_after_acceptance())
    await before.hub.reply(conversation, "one")
    await before.hub.reply(conversation, "two")
    await before.under_way()
    after = cut_power(tmp_path, tmp_path / "after")
    acme: AcmeHub = await start_acme(channel=channel, folder=after, provider=before.provider)
    return acme, conversation.id


@pytest.mark.one_file
async def test_an_attempt_found_open_is_uncertain_and_the_next_one_goes(start_acme: Any, tmp_path: Any) -> None:
    acme, conversation = await cut(start_acme, full(), tmp_path)
    assert acme.texts == ["one", "two"]
    assert await acme.hub.states(conversation) == ["uncertain", "accepted"]


@pytest.mark.one_file
async def test_an_attempt_found_open_goes_again_under_the_same_key_where_that_is_one_message(
    start_acme: Any, tmp_path: Any
) -> None:
    acme, conversation = await cut(start_acme, full(idempotent=True), tmp_path)
    assert acme.texts == ["one", "one", "two"]
    assert len({json.loads(seen.body)["ref"] for seen in acme.provider.shown}) == 2
    assert await acme.hub.states(conversation) == ["accepted", "accepted"]


@pytest.mark.one_file
@pytest.mark.parametrize(
    ("found", "texts", "state"),
    [
        (Receipt(external_id="p1"), ["one", "two"], "sent"),
        (NotThere(), ["one", "one", "two"], "accepted"),
        (None, ["one", "two"], "uncertain"),
        ("nonsense", ["one", "two"], "uncertain"),
    ],
    ids=repr,
)
async def test_an_attempt_found_open_is_asked_for_where_the_provider_can_be_asked(
    start_acme: Any, tmp_path: Any, found: Any, texts: list[str], state: str
) -> None:
    channel = type("Sister", (full(Reconciling, reconciles=True),), {"found": (found,)})
    acme, conversation = await cut(start_acme, channel, tmp_path)
    assert acme.texts == texts
    assert await acme.hub.states(conversation) == [state, "accepted"]


# --- rates -----------------------------------------------------------------------------------------------------


async def test_a_rate_lets_its_burst_go_and_then_one_at_a_time_and_says_why_the_others_wait(start_acme: Any) -> None:
    acme = await start_acme(channel=full(rates=(Rate(count=60, per=timedelta(minutes=1), burst=2),)))
    for n in range(4):
        await acme.wrote(f"m{n}", "Hello", sender=f"62812000000{n}")
    for conversation in await acme.hub.conversations():
        await acme.reply(conversation, "Hi")
    assert len(acme.texts) == 2
    reasons = await acme.column("SELECT reason FROM delivery WHERE state = 0")
    assert reasons == ["rate_limited"] * 2
    await acme.hub.pass_time(seconds=1)
    assert len(acme.texts) == 3
    await acme.hub.pass_time(seconds=1)
    assert len(acme.texts) == 4


async def test_what_waits_for_an_accounts_rate_is_told_so_and_costs_no_write_until_its_turn(start_acme: Any) -> None:
    """Asked for all at once, so that nobody knew yet that the rate would be used up; it is said with the next one that goes."""
    acme = await start_acme(channel=full(rates=(Rate(count=60, per=timedelta(minutes=1)),)))
    for n in range(6):
        await acme.wrote(f"m{n}", "Hello", sender=f"62812000000{n}")
    talks = await acme.hub.conversations()
    await asyncio.gather(*(acme.hub.reply(talk, "Hi") for talk in talks))
    await acme.hub.run_until_idle()
    assert len(acme.texts) == 1
    asked = set(await acme.column("SELECT due FROM lane WHERE due IS NOT NULL AND grp = 'send:shop'"))
    for sent in range(2, 7):
        await acme.hub.pass_time(seconds=1)
        assert len(acme.texts) == sent
        waiting = await acme.column("SELECT due FROM lane WHERE due IS NOT NULL AND grp = 'send:shop'")
        assert len(waiting) == 6 - sent
        assert await acme.column("SELECT reason FROM delivery WHERE state = 0") == ["rate_limited"] * (6 - sent)
        assert set(waiting) <= asked, "lanes that could not go were written to be looked at again"


async def test_a_rate_of_an_address_makes_no_other_address_wait(start_acme: Any) -> None:
    acme = await start_acme(channel=full(rates=(Rate(count=1, per=timedelta(seconds=10), key="address"),)))
    for n in (1, 2):
        await acme.wrote(f"m{n}", "Hello", sender=f"62812000000{n}")
    second, first = await acme.hub.conversations()
    await acme.reply(first, "one", "two")
    await acme.reply(second, "other")
    assert acme.texts == ["one", "other"]
    await acme.hub.pass_time(seconds=10)
    assert acme.texts == ["one", "other", "two"]


async def test_a_rate_of_an_address_counts_all_its_threads_together(start_acme: Any) -> None:
    """The provider counts by person: two threads of one are not two people."""
    acme = await start_acme(channel=full(rates=(Rate(count=1, per=timedelta(seconds=10), key="address"),)))
    for n, thread in enumerate(("orders", "billing")):
        await acme.wrote(f"m{n}", "Hello", thread=thread)
    for conversation in await acme.hub.conversations():
        await acme.reply(conversation, "Hi")
    assert acme.texts == ["Hi"]
    assert await acme.column("SELECT reason FROM delivery WHERE state = 0") == ["rate_limited"]
    await acme.hub.pass_time(seconds=10)
    assert acme.texts == ["Hi", "Hi"]


@pytest.mark.one_file
async def test_a_restart_lets_nothing_go_that_the_rate_does_not_allow(start_acme: Any, tmp_path: Any) -> None:
    """What the provider counts is not what one process remembers; also the part that was under way is counted."""
    rates = (Rate(count=1, per=timedelta(seconds=10), key="address", burst=2),)
    before = await start_acme(channel=full(rates=rates), folder=tmp_path)
    conversation = await before.talk()
    before.provider.will(before.accept(), hang_after_acceptance())
    for text in ("one", "two", "three"):
        await before.hub.reply(conversation, text)
    await before.under_way()
    await before.under_way()
    folder = cut_power(tmp_path, tmp_path / "cut")
    clock, provider = before.hub.clock, before.provider
    acme = await start_acme(channel=full(rates=rates), folder=folder, clock=clock, provider=provider)
    assert acme.texts == ["one", "two"]
    await acme.hub.pass_time(seconds=19)  # also the look at what was found open takes its turn
    assert acme.texts == ["one", "two"]
    await acme.hub.pass_time(seconds=1)
    assert acme.texts == ["one", "two", "three"]


@pytest.mark.one_file
async def test_what_one_restart_found_open_is_counted_after_the_next(start_acme: Any, tmp_path: Any) -> None:
    """Nobody knows whether the provider had it, and no request of it was kept."""
    rates = (Rate(count=1, per=timedelta(seconds=10), key="address", burst=2),)
    before = await start_acme(channel=full(rates=rates), folder=tmp_path)
    conversation = await before.talk()
    before.provider.will(before.accept(), hang_after_acceptance())
    for text in ("one", "two"):
        await before.hub.reply(conversation, text)
    await before.under_way()
    await before.under_way()
    folder, clock = cut_power(tmp_path, tmp_path / "cut"), before.hub.clock
    acme = await start_acme(channel=full(rates=rates), folder=folder, clock=clock, provider=before.provider)
    await acme.hub.pass_time(seconds=10)
    assert sorted(await acme.column("SELECT state FROM delivery")) == [State.UNCERTAIN, State.ACCEPTED]
    [part] = await acme.column("SELECT id FROM delivery WHERE state = :uncertain", uncertain=State.UNCERTAIN)
    for known in ("", "delivered"):  # a report changes nothing of what was sent
        if known:
            await acme.reported("", known, key=part)
        counted = await acme.hub.daemon.store.read(lambda query: recent(query, "shop", timedelta(minutes=1)))
        assert [at for at, _ in counted] == [clock.now() - timedelta(seconds=10), clock.now()]


async def test_settings_may_say_the_rate_and_some_addresses_have_their_own(start_acme: Any) -> None:
    class Slow(FullAcme):
        @property
        def rates(self) -> tuple[Rate, ...]:
            return (Rate(count=1, per=timedelta(seconds=10), key="address", begins="+62812"),)

    acme = await start_acme(channel=full(Slow))
    for n, sender in enumerate(("6281200000001", "6289900000001")):
        await acme.wrote(f"m{n}", "Hello", sender=sender)
    for conversation in await acme.hub.conversations():
        await acme.reply(conversation, "Hi", "Hi again")
    assert len(acme.texts) == 3
    await acme.hub.pass_time(seconds=10)
    assert len(acme.texts) == 4


async def test_an_address_that_is_to_rest_rests_in_all_its_threads(start_acme: Any) -> None:
    acme = await start_acme(channel=full())
    for n, thread in enumerate(("orders", "billing")):
        await acme.wrote(f"m{n}", "Hello", thread=thread)
    first, second = await acme.hub.conversations()
    acme.provider.will(no("slow_down"))
    await acme.reply(first, "one")
    await acme.reply(second, "two")
    assert acme.texts == ["one"]
    await acme.hub.pass_time(seconds=49)
    assert acme.texts == ["one"]
    await acme.hub.pass_time(seconds=1)
    assert sorted(acme.texts) == ["one", "one", "two"]


# --- what is kept of it ----------------------------------------------------------------------------------------


async def test_what_was_said_to_the_provider_is_kept_without_secrets_and_without_the_text(acme: AcmeHub) -> None:
    conversation = await acme.talk()
    await acme.reply(conversation, "my very private words")
    [(delivery, request, answer)] = await acme.hub.rows("SELECT delivery_id, request, answer FROM exchange")
    assert delivery == (await acme.column("SELECT id FROM delivery"))[0]
    assert "/v1/messages" in request
    assert "private" not in request + answer
    assert "kit-token" not in request + answer
    assert "201" in answer


class Mailing(FullAcme):
    """Says its token over a line that is no HTTP."""

    async def send(self, out: Outgoing) -> Receipt:
        async with self.services.exchange("smtp") as exchange:
            exchange.sent(
                f"AUTH {self.settings.token.get_secret_value()} {self.settings.more['password'].get_secret_value()}"
            )
            exchange.received("235 welcome kit-token-0123456789")
        return Receipt(external_id="p1")


async def test_what_was_said_over_another_line_is_kept_without_secrets(start_acme: Any) -> None:
    class Nested(AcmeSettings):
        more: dict[str, SecretStr]

    channel = type("Sister", (Mailing,), {"Settings": Nested})
    acme = await start_acme('more.password = "nested-0123456789"', channel=channel)
    await acme.reply(await acme.talk(), "Hi")
    assert await acme.hub.rows("SELECT what, request, answer FROM exchange") == [
        ("smtp", "AUTH *** ***", "235 welcome ***")
    ]


class DownOnce:
    """A store that is down when an outcome is to be stored for the first time."""

    def __init__(self, store: Any, fn: Any = attempts.close_attempt, error: Exception | None = None) -> None:
        self._store = store
        self._fn = fn
        self._error = error or StoreDown("the disk is full")
        self.refused = self.written = 0

    async def write(self, fn: Any, item: Any) -> Any:
        if fn is self._fn and not self.refused:
            self.refused += 1
            raise self._error
        self.written += fn is self._fn
        return await self._store.write(fn, item)


async def test_an_outcome_that_cannot_be_stored_now_is_stored_when_the_store_is_back(full_acme: AcmeHub) -> None:
    """Else the next look would find the attempt open, and call uncertain what is known."""
    conversation = await full_acme.talk()
    sender = full_acme.hub.daemon.lanes._groups["send:shop"].work.__self__  # type: ignore[attr-defined]
    sender._store = store = DownOnce(sender._store)
    await full_acme.hub.reply(conversation, "one")
    await full_acme.hub.clock.advance_when_awaited(timedelta(seconds=1))
    assert store.refused == 1
    await full_acme.hub.run_until_idle()
    assert await full_acme.hub.states(conversation) == ["accepted"]
    assert full_acme.texts == ["one"]


# --- from one lane to the next ----------------------------------------------------------------------------------


async def crowd(acme: AcmeHub, count: int) -> tuple[Any, asyncio.Event]:
    """Let as many customers wait for a reply as are not served at once; give who sends, and what lets it go on."""
    for number in range(count):
        await acme.wrote(f"m{number}", "Hello", sender=f"62811{number:05}")
    conversations = await acme.column("SELECT id FROM conversation ORDER BY id")
    acme.provider.will(busy(after=10))
    await acme.reply(conversations[0], "to 0")  # now the account waits, and all others with it
    go_on = asyncio.Event()
    acme.provider.will(*(slow(go_on, acme.accept()) for _ in range(8)))
    for number, conversation in enumerate(conversations[1:], 1):
        await acme.hub.reply(conversation, f"to {number}")
    await acme.hub.run_until_idle()
    acme.hub.clock.advance(timedelta(seconds=11))
    async with asyncio.timeout(10):
        while len(acme.texts) < 9:  # as many as are served at once; the others were seen, and wait
            await asyncio.sleep(0)
    return acme.hub.daemon.lanes._groups["send:shop"].work.__self__, go_on  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error", [None, StoreDown("the disk is full"), ZeroDivisionError("in the next lane")], ids=repr
)
async def test_a_crowd_is_served_from_lane_to_lane_each_once_whatever_happens_between(
    full_acme: AcmeHub, error: Exception | None
) -> None:
    sender, go_on = await crowd(full_acme, 30)
    sender._store = store = DownOnce(sender._store, attempts.close_and_open, error)
    store.refused = error is None
    go_on.set()
    await full_acme.hub.run_until_idle()
    assert store.written > 9, "most of them began where another one ended"
    await full_acme.hub.pass_time(seconds=30)  # the lane in which something happened is tried again
    assert sorted(full_acme.texts[1:]) == sorted(f"to {number}" for number in range(30))
    states = await full_acme.column("SELECT DISTINCT state FROM delivery")
    assert states == [State.ACCEPTED]
    assert await full_acme.column("SELECT count(*) FROM task WHERE kind = 'send'") == [0]


async def test_a_lane_in_which_more_waits_has_its_turn_after_those_that_came_before_it(full_acme: AcmeHub) -> None:
    _, go_on = await crowd(full_acme, 20)
    [first] = await full_acme.column("SELECT conversation_id FROM message WHERE text = 'to 0'")
    for number in range(3):
        await full_acme.hub.reply(first, f"more {number}")
    go_on.set()
    await full_acme.hub.run_until_idle()
    assert [text for text in full_acme.texts[1:] if text in ("to 0", "more 0", "more 1", "more 2")] == [
        "to 0",
        "more 0",
        "more 1",
        "more 2",
    ]
    assert full_acme.texts.index("more 1") > full_acme.texts.index("to 19")


async def test_nothing_begins_any_more_once_a_provider_says_not_now(full_acme: AcmeHub) -> None:
    _, go_on = await crowd(full_acme, 30)
    full_acme.provider.will(*(busy(after=50) for _ in range(8)))
    go_on.set()
    await full_acme.hub.run_until_idle()
    assert len(full_acme.texts) <= 17, "those that were under way, and those that began before the first of them ended"
    await full_acme.hub.pass_time(seconds=51)
    assert sorted(set(full_acme.texts)) == sorted(f"to {number}" for number in range(30))
    assert await full_acme.column("SELECT DISTINCT state FROM delivery") == [State.ACCEPTED]
