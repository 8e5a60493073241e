"""Whoever must know is shown it once, by the media they want; each medium says what it did and why not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from talkwire import (
    Conflict,
    Focus,
    Handed,
    NotFound,
    Notification,
    NotifierFeatures,
    Notify,
    Refused,
    Reply,
    Shown,
    Suppressed,
    TryLater,
    Withdraw,
    draft,
    hookimpl,
)
from talkwire.accounts import AccountState
from talkwire.testing.provider import refuse
from tests.journeys.acme_hub import AcmeHub
from tests.journeys.bells import PEOPLE, RULE, YES_NO, Asker, Bell, BellPlugin, decisions


@pytest.fixture
def start(start_acme):
    async def begin(rule: str = RULE, *, bell: Any = None, channel: Any = None, **plugins: Any) -> AcmeHub:
        known = {"notify_bell": BellPlugin(bell or Bell), **plugins} if bell is not False else plugins
        return await start_acme(settings=rule, plugins=known, channel=channel)

    return begin


@pytest.fixture
async def asked(start):
    """A hub on which a plugin asked `ops` yes or no."""
    asker = Asker()
    asker.asks = [Notify(recipient="ops", kind="question", title="Refund?", actions=YES_NO, key="refund")]
    acme = await start(PEOPLE, asker=asker)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    return acme, asker, Bell.one.given[0].id


# --- rules ------------------------------------------------------------------------------------------------


async def test_a_rule_tells_of_messages_refusals_failures_and_broken_accounts(start):
    acme = await start()
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    conversation = await acme.hub.conversation
    acme.provider.will(refuse())
    await acme.hub.reply(conversation, "an answer")
    await acme.hub.run_until_idle()
    account = acme.hub.daemon.account("shop")
    account.change(AccountState.BROKEN, "the token was taken back")
    await acme.hub.run_until_idle()
    with pytest.raises(Exception, match=r".+"):
        await acme.hub.reply(conversation, "too late")
    await acme.hub.run_until_idle()
    assert Bell.one.titles == [
        "+6281234567890 wrote to shop",
        "A message to +6281234567890 was not delivered: shop",
        "Account shop needs you",
        "A reply to +6281234567890 could not be sent: shop",
    ]
    assert [one.conversation for one in Bell.one.given] == [conversation.id, conversation.id, "", conversation.id]
    assert set(await decisions(acme)) == {("bell", "shown", "")}


async def test_a_rule_of_other_accounts_says_nothing(start):
    inbox = '[accounts.support-inbox]\nchannel = "acme"\ntoken = "kit-token-0"\nsecret = "kit-secret-0"\n'
    acme = await start(RULE + 'accounts = ["support-inbox"]\n' + inbox)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert Bell.one.given == []
    assert await acme.hub.facts("notification.created") == []


async def test_a_rule_waits_and_says_nothing_if_somebody_answered_meanwhile(start):
    acme = await start(RULE + 'after = "2m"\n')
    await acme.wrote("m1", "hello")
    await acme.hub.pass_time(seconds=60)
    await acme.hub.reply(await acme.hub.conversation, "an answer")
    await acme.wrote("m2", "nobody answers this", sender="6289999999999")
    await acme.hub.pass_time(seconds=119)
    assert Bell.one.given == []
    assert ("bell", "suppressed", "replied") in await decisions(acme)
    await acme.hub.pass_time(seconds=1)
    assert Bell.one.titles == ["+6289999999999 wrote to shop"]


async def test_what_a_plugin_says_by_itself_is_no_answer(start):
    class Polite:
        @hookimpl
        def on_inbound_message(self, message: Any) -> Reply:
            return Reply(conversation=message.conversation, draft=draft("Nobody is here now"))

    acme = await start(RULE + 'after = "2m"\n', polite=Polite())
    await acme.wrote("m1", "hello")
    await acme.hub.pass_time(minutes=2)
    assert acme.texts == ["Nobody is here now"]
    assert Bell.one.titles == ["+6281234567890 wrote to shop"]


async def test_a_reply_drops_only_what_waited_for_one(start):
    """A failed delivery is told though somebody wrote meanwhile: the rule does not say `after`."""
    acme = await start()
    Bell.one.says = [TryLater(after=timedelta(seconds=30))]
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    await acme.hub.reply(await acme.hub.conversation, "an answer")
    await acme.hub.pass_time(seconds=30)
    assert Bell.one.titles == ["+6281234567890 wrote to shop"] * 2


# --- media ------------------------------------------------------------------------------------------------


async def test_a_medium_without_a_notifier_is_named(start):
    acme = await start(bell=False)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert await decisions(acme) == [("bell", "suppressed", "medium_absent")]
    assert [fact.small["reason"] for fact in await acme.hub.facts("notification.suppressed")] == ["medium_absent"]


async def test_what_a_recipient_does_not_want_is_named(start):
    acme = await start(RULE + 'media = ["bell", "pager"]\n')
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert sorted(await decisions(acme)) == [("bell", "shown", ""), ("pager", "suppressed", "not_wanted")]


async def test_who_wants_nothing_in_particular_gets_what_the_rule_says(start):
    acme = await start(RULE.replace('media = ["bell"]', "") + 'media = ["bell"]\n')
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert await decisions(acme) == [("bell", "shown", "")]


@pytest.mark.parametrize(
    ("said", "decision"),
    [
        (Shown(), ("shown", "")),
        (Handed(), ("handed", "")),
        (Suppressed("focused"), ("suppressed", "focused")),
        (Refused("no such mailbox"), ("refused", "no such mailbox")),
        ("nonsense", ("refused", "deliver gave a str")),
        (TryLater("the bell is in use", after=timedelta(seconds=30)), ("waiting", "the bell is in use")),
        (ValueError("may quote a message"), ("waiting", "ValueError")),
        ("hang", ("waiting", "TimeoutError")),
    ],
)
async def test_what_a_notifier_says_is_written_down(start, said, decision):
    acme = await start()
    Bell.one.says = [said]
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert await decisions(acme) == [("bell", *decision)]
    told = await acme.hub.facts(
        "notification.shown", "notification.handed", "notification.suppressed", "notification.refused"
    )
    assert [fact.type for fact in told] == ([] if decision[0] == "waiting" else [f"notification.{decision[0]}"])

    await acme.hub.pass_time(minutes=1)
    again = decision[0] == "waiting"
    assert len(Bell.one.given) == (2 if again else 1)
    assert len({one.id for one in Bell.one.given}) == 1
    assert (await decisions(acme))[0][1] == ("shown" if again else decision[0])


async def test_a_notifier_that_fails_for_a_day_is_given_up(start):
    acme = await start()
    Bell.one.says = [TryLater("in use", after=timedelta(hours=11))] * 9
    await acme.wrote("m1", "hello")
    await acme.hub.pass_time(hours=25)
    assert await decisions(acme) == [("bell", "refused", "gave up: in use")]
    assert await acme.hub.rows("SELECT 1 FROM task") == []


async def test_what_was_handed_over_is_shown_later_and_told_once(start):
    acme = await start()
    Bell.one.says = [Handed()]
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    for _ in range(2):
        await Bell.one.shown(Bell.one.given[0].id)
    assert await decisions(acme) == [("bell", "shown", "")]
    assert len(await acme.hub.facts("notification.shown")) == 1


@pytest.mark.parametrize("said", [Handed(), TryLater("in use"), Suppressed("focused")])
async def test_what_is_seen_before_the_notifier_has_said_what_it_did_stays_shown(start, said):
    class Quick(Bell):
        async def deliver(self, notification: Notification) -> Any:
            await self.shown(notification.id)  # its surface was quicker
            return await super().deliver(notification)

    acme = await start(bell=Quick)
    Bell.one.says = [said]
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert await decisions(acme) == [("bell", "shown", "")]
    assert len(await acme.hub.facts("notification.shown")) == 1
    assert await acme.hub.facts("notification.handed", "notification.suppressed") == []


async def test_a_notification_is_cut_to_what_the_medium_can_show(start):
    class Small(Bell):
        features = NotifierFeatures(actions=1, title_limit=6, text_limit=3)

    asker = Asker()
    asker.asks = [Notify(recipient="ops", kind="question", title="Refund?", text="for 7", actions=YES_NO)]
    acme = await start(PEOPLE, bell=Small, asker=asker)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    given = Bell.one.given[0]
    assert (given.title, given.text, [one.id for one in given.actions]) == ("Refund", "for", ["yes"])


async def test_who_has_no_address_is_named(start):
    class Mail(Bell):
        features = NotifierFeatures(needs_email=True)

    acme = await start(RULE.replace('email = "ops@example.org"', ""), bell=Mail)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert await decisions(acme) == [("bell", "suppressed", "no_address")]


async def test_a_notifier_is_opened_and_closed_and_one_that_cannot_be_is_opened_again(start_hub_once):
    class Late(Bell):
        async def open(self) -> None:
            await super().open()
            if self.opened == 1:
                raise OSError

    async with start_hub_once(RULE, {"notify_bell": BellPlugin(Late)}) as acme:
        await acme.wrote("m1", "hello")
        await acme.hub.run_until_idle()
        assert (Bell.one.opened, Bell.one.titles) == (2, ["+6281234567890 wrote to shop"])
    assert Bell.one.closed == 1


@pytest.fixture
def start_hub_once(fake_acme_settings, tmp_path, empty_database):
    import contextlib

    from talkwire.testing.hub import whole_hub

    settings, acme_plugin = fake_acme_settings

    @contextlib.asynccontextmanager
    async def run(rule, plugins):
        everything = {**acme_plugin, **plugins}
        async with whole_hub(settings + rule, tmp_path, template=empty_database, plugins=everything) as hub:
            await hub.run_until_idle()
            yield AcmeHub(hub, None)

    return run


async def test_a_notifier_knows_recipients_that_a_plugin_added(start):
    asker = Asker()
    asker.asks = [Notify(recipient="ann", kind="question", title="Refund?")]
    acme = await start(RULE, asker=asker)
    sql = "INSERT INTO recipient (name, email, media) VALUES ('ann', 'ann@example.org', '[\"bell\"]')"
    await acme.hub.daemon.hub.of("asker").write(lambda tx, items: [tx.execute(sql)], None)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    given = next(one for one in Bell.one.given if one.recipient == "ann")
    assert Bell.one.recipient(given).email == "ann@example.org"


# --- asked, answered, withdrawn -------------------------------------------------------------------------------


async def test_a_sink_sees_every_notification_whoever_asked(start):
    asker = Asker()
    asker.asks = [Notify(recipient="ops", kind="question", title="Refund?")]
    acme = await start(RULE, asker=asker)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert sorted(asker.seen) == ["+6281234567890 wrote to shop", "Refund?"]


async def test_the_same_key_shows_nothing_new(asked):
    acme, _, _ = asked
    await acme.wrote("m2", "hello?")
    await acme.hub.run_until_idle()
    assert Bell.one.titles == ["Refund?"]
    assert len(await acme.hub.facts("notification.created")) == 1


async def test_the_first_answer_wins_and_the_second_hears_where(asked):
    acme, asker, notification = asked
    hub = acme.hub.daemon.hub
    won = await hub.answer(notification, "yes", "phone of ann")
    assert (won.answer, won.answered_by) == ("yes", "phone of ann")
    with pytest.raises(Conflict, match="phone of ann") as lost:
        await hub.answer(notification, "no", "desktop")
    assert lost.value.code == "already_answered"
    await acme.hub.run_until_idle()
    assert asker.answers == [("Refund?", "yes", "phone of ann")]
    assert acme.texts == ["yes"]  # what the asker's hook asked for
    assert Bell.one.taken_back == [notification]
    assert [fact.small for fact in await acme.hub.facts("notification.answered")] == [
        {"recipient": "ops", "answer": "yes", "surface": "phone of ann"}
    ]


async def test_of_many_answers_at_once_one_wins(asked):
    acme, asker, notification = asked
    hub = acme.hub.daemon.hub
    said = await asyncio.gather(
        *(hub.answer(notification, "yes", f"surface {n}") for n in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, Notification) for one in said) == 1
    assert sum(isinstance(one, Conflict) for one in said) == 9
    assert len(asker.answers) == 1


async def test_an_answer_that_the_asker_cannot_take_is_not_taken(asked):
    acme, asker, notification = asked
    asker.refuse = True
    with pytest.raises(Exception, match="answer_notification raised ValueError"):
        await Bell.one.answered(notification, "yes")
    assert await acme.hub.facts("notification.answered", "notification.withdrawn") == []

    asker.refuse = False
    await Bell.one.answered(notification, "no")
    assert asker.answers == [("Refund?", "no", "bell")]


@pytest.mark.parametrize(("id_", "action", "error"), [("", "perhaps", Conflict), ("0198", "yes", NotFound)])
async def test_an_answer_to_nothing_is_refused(asked, id_, action, error):
    acme, asker, notification = asked
    with pytest.raises(error):
        await acme.hub.daemon.hub.answer(id_ or notification, action, "desktop")
    assert asker.answers == []


@pytest.mark.parametrize("by", ["key", "notification"])
async def test_what_is_withdrawn_is_taken_back_everywhere_and_takes_no_answer(asked, by):
    acme, asker, notification = asked
    asker.asks = [Withdraw(**{by: {"key": "refund", "notification": notification}[by]})]
    await acme.wrote("m2", "never mind")
    await acme.hub.run_until_idle()
    assert Bell.one.taken_back == [notification]
    with pytest.raises(Conflict) as late:
        await acme.hub.daemon.hub.answer(notification, "yes", "desktop")
    assert late.value.code == "withdrawn"
    assert (await acme.hub.daemon.hub.notifications("ops")).items == ()


async def test_what_was_never_shown_is_not_taken_back(start):
    asker = Asker()
    asker.asks = [Notify(recipient="ops", kind="question", title="Refund?", key="refund")]
    acme = await start(PEOPLE, asker=asker)
    Bell.one.says = [Suppressed("focused")]
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    asker.asks = [Withdraw(key="refund")]
    await acme.wrote("m2", "never mind")
    await acme.hub.run_until_idle()
    assert Bell.one.taken_back == []
    assert await decisions(acme) == [("bell", "suppressed", "focused")]  # what was decided stays


async def test_what_is_withdrawn_before_it_is_shown_never_shows(start):
    asker = Asker()
    asker.asks = [Notify(recipient="ops", kind="question", title="Refund?", key="refund"), Withdraw(key="refund")]
    acme = await start(PEOPLE, asker=asker)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert Bell.one.given == []
    assert await decisions(acme) == [("bell", "suppressed", "withdrawn")]


async def test_where_a_recipient_looks_is_known_until_it_is_gone(start):
    acme = await start()
    hub = acme.hub.daemon.hub
    await Bell.one.focus("ops", "tab 1", Focus.FOCUSED)
    await Bell.one.focus("ops", "tab 2", Focus.IDLE)
    assert sorted(await hub.surfaces("ops")) == [("tab 1", "bell", "focused"), ("tab 2", "bell", "idle")]
    await Bell.one.focus("ops", "tab 1", Focus.GONE)
    assert await hub.surfaces("ops") == [("tab 2", "bell", "idle")]
