"""Each medium says why it shows a notification or not; one answer ends it for all; nobody's time runs out unseen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from talkwire import (
    AccountState,
    Conflict,
    Detail,
    Focus,
    NotFound,
    NotifierFeatures,
    Notify,
    OnDesktop,
    Option,
    Outrun,
    Preferences,
    Style,
    TryLater,
)
from tests.journeys.acme_hub import AcmeHub, FullAcme
from tests.journeys.bells import PEOPLE, RULE, YES_NO, Asker, Bell, BellPlugin, decisions

OFFER = Notify(
    recipient="ops", kind="offer", title="A chat", style=Style.ALERT, actions=YES_NO, timeout=timedelta(seconds=90)
)
ANN = '[recipients.ann]\nmedia = ["bell"]\n'


class Desktop(Bell):
    features = NotifierFeatures(actions=2, withdraws=True, desktop=True, countdown=True)


class Post(Bell):
    features = NotifierFeatures(keeps=True, digests=True)


@pytest.fixture
def start(start_acme):
    async def begin(settings: str = PEOPLE, *, bell: type[Bell] = Bell, **plugins: Any) -> AcmeHub:
        plugins = {"notify_bell": BellPlugin(bell), **plugins}
        return await start_acme(settings=settings, plugins=plugins, channel=FullAcme)

    return begin


async def ask(acme: AcmeHub, *asked: Notify, by: str = "desk") -> list[str]:
    """Let a plugin ask; gives the ids of what is open, the oldest first."""
    for one in asked:
        await acme.hub.daemon.hub.of(by).notify(one)
    await acme.hub.run_until_idle()
    return await acme.column("SELECT id FROM notification WHERE withdrawn_at IS NULL ORDER BY created_at, id")


async def told(acme: AcmeHub, what: str) -> list[dict[str, Any]]:
    return [dict(fact.small) for fact in await acme.hub.facts(f"notification.{what}")]


# --- templates ------------------------------------------------------------------------------------------------


@pytest.fixture
def offer_file(tmp_path):
    (tmp_path / "notifications").mkdir()
    (tmp_path / "notifications" / "offer.toml").write_text(
        'title = "{contact} wrote"\ntext = "{text}"\nstyle = "alert"\ntimeout = "90s"\nshow_timeout = false\n'
        'details = [{label = "Account", value = "{account}"}]\n'
        'buttons = [{id = "done", label = "Done", does = "handled"}, {id = "open", label = "Open", does = "open"}]\n'
    )


async def test_a_message_says_who_wrote_where_and_how_it_begins(start):
    acme = await start(RULE)
    await acme.wrote("m1", "Hello\nI wait\nsince Monday", name="Dewi")
    await acme.hub.run_until_idle()
    given = Bell.one.given[0]
    assert (given.title, given.text) == ("Dewi wrote to shop", "Hello\nI wait…")
    assert (given.account, given.style) == ("shop", Style.TOAST)


async def test_a_recipient_reads_it_in_their_own_language(start):
    acme = await start(RULE.replace("[[notify]]", 'language = "id"\n[[notify]]'))
    await acme.wrote("m1", "Halo", name="Dewi")
    await acme.hub.run_until_idle()
    assert Bell.one.titles == ["Dewi menulis ke shop"]


@pytest.mark.usefixtures("offer_file")
async def test_a_rule_shows_what_its_template_says(start):
    acme = await start(RULE + 'template = "offer"\n')
    await acme.wrote("m1", "Hello", name="Dewi")
    await acme.hub.run_until_idle()
    given = Bell.one.given[0]
    assert (given.title, given.text, given.style) == ("Dewi wrote", "Hello", Style.ALERT)
    assert given.details == (Detail("Account", "shop"),)
    assert ([one.id for one in given.actions], given.opens) == (["done", "open"], ("open",))


@pytest.mark.usefixtures("offer_file")
async def test_a_button_marks_the_conversation_handled(start):
    acme = await start(RULE + 'template = "offer"\n')
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    await Bell.one.answered(Bell.one.given[0].id, "done", "native:laptop")
    assert (await acme.hub.conversation).handled
    assert [fact.small for fact in await acme.hub.facts("session.handled")] == [{"author": "recipient:ops"}]


@pytest.mark.usefixtures("offer_file")
async def test_a_button_that_opens_answers_nothing(start):
    acme = await start(RULE + 'template = "offer"\n')
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    opened = await acme.hub.daemon.hub.answer(Bell.one.given[0].id, "open", "page")
    assert (opened.answered_by, opened.seen, opened.ended) == ("", True, "")
    assert await told(acme, "withdrawn") == []


async def test_a_button_resumes_a_broken_account(start):
    acme = await start(RULE)
    acme.shop.change(AccountState.BROKEN, "the token was taken back")
    await acme.hub.run_until_idle()
    given = Bell.one.given[0]
    assert (given.title, given.style) == ("Account shop needs you", Style.ALERT)
    assert given.text.splitlines()[0] == "the token was taken back"
    await acme.hub.pass_time(seconds=1)
    await Bell.one.answered(given.id, "resume", "native:laptop")
    await acme.hub.run_until_idle()
    assert acme.shop.view.state is AccountState.WORKING


@pytest.mark.parametrize("state", [AccountState.WORKING, AccountState.PAUSED])
async def test_an_alarm_about_an_account_is_taken_back_when_it_is_true_no_more(start, state):
    acme = await start(RULE)
    acme.shop.change(AccountState.BROKEN, "the token was taken back")
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    acme.shop.change(state, "")
    await acme.hub.pass_time(minutes=10)
    rows = await acme.hub.rows("SELECT kind, ended FROM notification ORDER BY kind")
    assert rows == [("account.broken", "withdrawn"), ("message.received", "")]
    assert Bell.one.taken_back == [one.id for one in Bell.one.given if one.kind == "account.broken"]


@pytest.mark.usefixtures("offer_file")
async def test_a_plugins_template_that_is_not_there_comes_back(start):
    acme = await start()
    await ask(acme, Notify(recipient="ops", kind="offer", template="offr"))
    assert [fact.small["code"] for fact in await acme.hub.facts("action.failed")] == ["unknown_template"]


# --- why a medium shows nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "looks", "decision"),
    [
        (OnDesktop.NEVER, Focus.IDLE, ("suppressed", "template")),
        (OnDesktop.BACKGROUND, Focus.FOCUSED, ("suppressed", "focused")),
        (OnDesktop.BACKGROUND, Focus.IDLE, ("shown", "")),
        (OnDesktop.BACKGROUND, Focus.VISIBLE, ("shown", "")),
        (OnDesktop.ALWAYS, Focus.FOCUSED, ("shown", "")),
    ],
)
async def test_a_desktop_shows_what_its_template_allows_while_nobody_looks(start, when, looks, decision):
    acme = await start(bell=Desktop)
    await Bell.one.focus("ops", "tab 1", looks)
    await ask(acme, Notify(recipient="ops", kind="x", title="X", on_desktop=when))
    assert await decisions(acme) == [("bell", *decision)]


async def test_a_surface_of_which_nothing_was_heard_for_90_seconds_is_looked_at_by_nobody(start):
    acme = await start(bell=Desktop)
    await Bell.one.focus("ops", "tab 1", Focus.FOCUSED)
    await acme.hub.pass_time(seconds=91)
    await ask(acme, Notify(recipient="ops", kind="x", title="X"))
    assert await decisions(acme) == [("bell", "shown", "")]


async def test_another_medium_does_not_ask_who_looks(start):
    acme = await start()
    await Bell.one.focus("ops", "tab 1", Focus.FOCUSED)
    await ask(acme, Notify(recipient="ops", kind="x", title="X", on_desktop=OnDesktop.NEVER))
    assert await decisions(acme) == [("bell", "shown", "")]


QUIET = PEOPLE + 'quiet = "22:00-07:00"\ntime_zone = "Asia/Jakarta"\n'


async def at(acme: AcmeHub, hour: int, minute: int = 0) -> None:
    """Turn the clock to the next time that it is so late in Jakarta."""
    now = acme.hub.clock.now() + timedelta(hours=7)
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    await acme.hub.pass_time((then - now) % timedelta(days=1))


async def test_quiet_hours_drop_a_toast_and_let_an_alert_through(start):
    acme = await start(QUIET)
    await at(acme, 23)
    await ask(acme, Notify(recipient="ops", kind="x", title="Toast"), OFFER)
    assert sorted(await decisions(acme)) == [("bell", "shown", ""), ("bell", "suppressed", "quiet_hours")]
    assert Bell.one.titles == ["A chat"]


async def test_a_medium_that_keeps_waits_until_the_quiet_hours_are_over(start):
    acme = await start(QUIET, bell=Post)
    await at(acme, 23)
    await ask(acme, *(Notify(recipient="ops", kind="x", title=f"Toast {n}") for n in range(3)))
    assert await decisions(acme) == [("bell", "waiting", "quiet_hours")] * 3
    await acme.hub.pass_time(hours=8)
    assert await decisions(acme) == [("bell", "shown", "")] * 3
    assert [[one.title for one in digest] for digest in Bell.one.digests] == [["Toast 0", "Toast 1", "Toast 2"]]
    assert await acme.hub.facts("lane.stuck") == []


async def test_what_waits_for_the_morning_is_dropped_if_somebody_replied_or_read_it(start):
    acme = await start(
        QUIET + RULE.removeprefix(PEOPLE),
        bell=Post,
    )
    await at(acme, 23)
    await acme.wrote("m1", "hello")
    await acme.wrote("m2", "hello too", sender="6289999999999")
    await acme.hub.run_until_idle()
    first, second = await acme.column("SELECT id FROM notification ORDER BY id")
    of_first = await acme.column("SELECT conversation FROM notification WHERE id = :id", id=first)
    await acme.hub.reply(of_first[0], "an answer")
    await Bell.one.seen(second)
    await acme.hub.pass_time(hours=8)
    assert sorted(await decisions(acme)) == [("bell", "suppressed", "replied"), ("bell", "suppressed", "seen")]
    assert (Bell.one.given, Bell.one.digests) == ([], [])


async def test_a_toast_that_was_read_elsewhere_is_not_shown_any_more(start):
    acme = await start()
    Bell.one.says = [TryLater("in use", after=timedelta(minutes=1))] * 2
    [toast] = await ask(acme, Notify(recipient="ops", kind="x", title="Toast"))
    await acme.hub.daemon.hub.of("desk").seen(toast)
    await acme.hub.pass_time(minutes=2)
    assert await decisions(acme) == [("bell", "suppressed", "seen")]
    assert await told(acme, "seen") == [{"recipient": "ops"}]


@pytest.mark.parametrize("kind", ["account.broken", "account.flapping"])
async def test_a_rules_delay_holds_up_no_alarm(start, kind):
    acme = await start(RULE.replace('"message.received"', f'"message.received", "{kind}"') + 'after = "2m"\n')
    await acme.hub.daemon.store.write(
        lambda tx, items: [tx.tell(kind, account="shop", small={"state": "broken"})], None
    )
    await acme.hub.run_until_idle()
    assert [one.kind for one in Bell.one.given] == [kind]


async def test_a_template_that_alerts_does_not_wait_for_the_rules_delay(start, offer_file):
    acme = await start(RULE + 'template = "offer"\nafter = "2m"\n')
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    assert [one.style for one in Bell.one.given] == [Style.ALERT]


# --- once ---------------------------------------------------------------------------------------------------


async def test_further_messages_join_what_shows_until_it_was_read_or_the_window_is_over(start):
    acme = await start(RULE + 'once = "15m"\n')
    for n in range(3):
        await acme.wrote(f"m{n}", f"hello {n}")
        await acme.hub.run_until_idle()
    [first] = await acme.column("SELECT id FROM notification")
    assert len(Bell.one.given) == 1
    assert len(await told(acme, "grouped")) == 2
    assert [row[0] for row in await acme.hub.rows("SELECT joined FROM notification_event ORDER BY seq")] == [0, 1, 1]

    await Bell.one.seen(first)
    await acme.wrote("m4", "hello again")
    await acme.hub.run_until_idle()
    assert len(Bell.one.given) == 2

    await acme.hub.pass_time(minutes=15)
    await acme.wrote("m5", "and again")
    await acme.hub.run_until_idle()
    assert len(Bell.one.given) == 3


async def test_another_conversation_and_another_recipient_are_shown_their_own(start):
    acme = await start(ANN + RULE.replace('to = ["ops"]', 'to = ["ops", "ann"]') + 'once = "15m"\n')
    await acme.wrote("m1", "hello")
    await acme.wrote("m2", "hello", sender="6289999999999")
    await acme.wrote("m3", "hello?")
    await acme.hub.run_until_idle()
    assert sorted(one.recipient for one in Bell.one.given) == ["ann", "ann", "ops", "ops"]


# --- lapsing ------------------------------------------------------------------------------------------------


async def test_an_alert_lapses_when_its_time_is_up(start):
    acme = await start()
    [offer] = await ask(acme, OFFER)
    await acme.hub.pass_time(seconds=89)
    assert Bell.one.taken_back == []
    await acme.hub.pass_time(seconds=1)
    assert Bell.one.taken_back == [offer]
    assert await told(acme, "lapsed") == [{"recipient": "ops"}]
    assert await told(acme, "withdrawn") == [{"recipient": "ops", "why": "lapsed"}]
    with pytest.raises(Conflict) as late:
        await acme.hub.daemon.hub.answer(offer, "yes", "page")
    assert late.value.code == "lapsed"


async def test_an_answer_is_too_late_from_that_moment_on_whether_the_sweep_has_come_or_not(start):
    acme = await start()
    [offer] = await ask(acme, OFFER)
    acme.hub.clock.turn_to(acme.hub.clock.now() + timedelta(seconds=90))  # nobody is let run
    with pytest.raises(Conflict) as late:
        await acme.hub.daemon.hub.answer(offer, "yes", "page")
    assert late.value.code == "lapsed"
    await acme.hub.run_until_idle()
    assert len(await told(acme, "lapsed")) == 1
    assert await told(acme, "answered") == []


async def test_what_was_answered_does_not_lapse(start):
    acme = await start()
    [offer] = await ask(acme, OFFER)
    await acme.hub.daemon.hub.answer(offer, "yes", "page")
    await acme.hub.pass_time(seconds=90)
    assert await told(acme, "lapsed") == []


async def test_what_has_lapsed_before_a_medium_came_to_it_is_never_shown(start):
    acme = await start()
    Bell.one.says = [TryLater("in use", after=timedelta(minutes=5))]
    await ask(acme, OFFER)
    await acme.hub.pass_time(minutes=5)
    assert await decisions(acme) == [("bell", "suppressed", "lapsed")]


@pytest.mark.parametrize(
    ("show", "features", "says_when"),
    [
        (True, NotifierFeatures(countdown=True), True),
        (True, NotifierFeatures(), False),
        (True, NotifierFeatures(countdown=True, desktop=True), False),
        (False, NotifierFeatures(countdown=True), False),
    ],
)
async def test_when_it_lapses_is_said_only_where_it_may_be_shown(start, show, features, says_when):
    kind = type("Counting", (Bell,), {"features": features})
    acme = await start(bell=kind)
    await ask(acme, replace(OFFER, show_timeout=show))
    assert (Bell.one.given[0].lapses_at is not None) is says_when
    listed = (await acme.hub.daemon.hub.notifications("ops")).items[0]
    assert (listed.lapses_at is not None) is show


# --- the first answer -----------------------------------------------------------------------------------------


async def test_one_answer_ends_it_for_all_who_were_asked_the_same(start):
    asker = Asker()
    acme = await start(ANN + PEOPLE, asker=asker)
    await acme.talk()
    talk = (await acme.hub.conversation).id
    same = replace(OFFER, key="chat 1", conversation=talk)
    mine, theirs = await ask(acme, same, replace(same, recipient="ann"), by="asker")
    hub = acme.hub.daemon.hub
    await hub.answer(mine, "yes", "native:laptop")
    with pytest.raises(Outrun, match="already answered on native:laptop by ops") as lost:
        await hub.answer(theirs, "yes", "page")
    assert (lost.value.surface, lost.value.recipient, lost.value.action) == ("native:laptop", "ops", "yes")
    await acme.hub.run_until_idle()
    assert sorted(Bell.one.taken_back) == sorted([mine, theirs])
    assert len(asker.answers) == 1
    assert sorted(await told(acme, "withdrawn"), key=lambda one: one["recipient"]) == [
        {"recipient": who, "why": "answered", "surface": "native:laptop", "by": "ops"} for who in ("ann", "ops")
    ]


async def test_who_is_asked_after_somebody_answered_is_asked_in_vain(start):
    acme = await start(ANN + PEOPLE)
    [mine] = await ask(acme, replace(OFFER, key="chat 1"))
    await acme.hub.daemon.hub.answer(mine, "yes", "page")
    assert await ask(acme, replace(OFFER, key="chat 1", recipient="ann")) == []


async def test_others_of_another_key_are_left_alone(start):
    acme = await start(ANN + PEOPLE)
    mine, theirs = await ask(acme, replace(OFFER, key="a"), replace(OFFER, key="b", recipient="ann"))
    await acme.hub.daemon.hub.answer(mine, "yes", "page")
    assert (await acme.hub.daemon.hub.answer(theirs, "no", "page")).answer == "no"


# --- digests --------------------------------------------------------------------------------------------------


async def test_toasts_that_are_due_together_go_as_one_and_an_alert_alone_at_once(start):
    acme = await start(RULE + 'after = "2m"\n', bell=Post)
    await acme.wrote("m1", "hello")
    await acme.wrote("m2", "hello", sender="6289999999999")
    await ask(acme, OFFER)
    assert Bell.one.titles == ["A chat"]
    await acme.hub.pass_time(minutes=2)
    assert [len(digest) for digest in Bell.one.digests] == [2]
    assert sorted(await decisions(acme)) == [("bell", "shown", "")] * 3
    assert await acme.hub.rows("SELECT 1 FROM task") == []


async def test_what_is_due_sooner_does_not_wait_for_what_is_due_later(start):
    acme = await start(RULE + 'after = "10m"\n', bell=Post)
    await acme.wrote("m1", "hello")
    await ask(acme, Notify(recipient="ops", kind="x", title="Now"))
    assert Bell.one.titles == ["Now"]
    await acme.hub.pass_time(minutes=10)
    assert Bell.one.titles == ["Now", "+6281234567890 wrote to shop"]


async def test_a_digest_that_fails_is_tried_again_whole_and_sent_once(start):
    acme = await start(QUIET, bell=Post)
    await at(acme, 23)
    await ask(acme, *(Notify(recipient="ops", kind="x", title=f"Toast {n}") for n in range(2)))
    Bell.one.says = [TryLater("the server is away", after=timedelta(seconds=30))]
    await at(acme, 7)
    assert await decisions(acme) == [("bell", "waiting", "the server is away")] * 2
    await acme.hub.pass_time(seconds=30)
    assert [len(digest) for digest in Bell.one.digests] == [2, 2]
    assert await decisions(acme) == [("bell", "shown", "")] * 2


async def test_what_was_answered_meanwhile_is_left_out_of_a_digest(start):
    asker_actions = (Option(id="yes", title="Yes"),)
    acme = await start(QUIET, bell=Post)
    await at(acme, 23)
    ids = await ask(
        acme, *(Notify(recipient="ops", kind="x", title=f"Toast {n}", actions=asker_actions) for n in range(3))
    )
    await acme.hub.daemon.hub.answer(ids[1], "yes", "page")
    await acme.hub.run_until_idle()
    assert ("bell", "suppressed", "answered") in await decisions(acme)
    await at(acme, 7)
    assert [[one.title for one in digest] for digest in Bell.one.digests] == [["Toast 0", "Toast 2"]]


# --- preferences ----------------------------------------------------------------------------------------------


async def test_a_medium_that_a_recipient_switched_off_shows_nothing(start):
    acme = await start()
    await acme.hub.daemon.hub.prefer("ops", mute="bell")
    await ask(acme, Notify(recipient="ops", kind="x", title="X"), OFFER)
    assert await decisions(acme) == [("bell", "suppressed", "not_wanted")] * 2
    await acme.hub.daemon.hub.prefer("ops", unmute="bell")
    await ask(acme, Notify(recipient="ops", kind="x", title="Y"))
    assert Bell.one.titles == ["Y"]


async def test_a_recipients_own_hours_and_language_go_before_the_settings(start):
    acme = await start(QUIET + RULE.removeprefix(PEOPLE))
    hub = acme.hub.daemon.hub
    await hub.prefer("ops", quiet="12:00-13:00", language="id")
    await at(acme, 23)
    await acme.wrote("m1", "Halo", name="Dewi")
    await acme.hub.run_until_idle()
    assert Bell.one.titles == ["Dewi menulis ke shop"]
    assert Bell.one.recipient(Bell.one.given[0]).language == "id"
    assert await hub.prefer("ops", quiet=None, language=None) == Preferences(recipient="ops")
    await acme.wrote("m2", "Halo", name="Dewi")
    await acme.hub.run_until_idle()
    assert ("bell", "suppressed", "quiet_hours") in await decisions(acme)


async def test_what_waits_for_the_morning_goes_at_once_when_the_hours_are_taken_away(start):
    acme = await start(QUIET, bell=Post)
    await at(acme, 23)
    await ask(acme, Notify(recipient="ops", kind="x", title="X"))
    await acme.hub.daemon.hub.prefer("ops", quiet="")
    await acme.hub.run_until_idle()
    assert Bell.one.titles == ["X"]


@pytest.mark.parametrize(
    ("wants", "said"),
    [
        ({"quiet": "22-7"}, "quiet: write hours"),
        ({"time_zone": "Mars"}, "time_zone: no such"),
        ({"language": "Indonesian"}, "language: write one"),
        ({"off": "email"}, "off: write a list"),
        ({"colour": "red"}, "colour: there is no such"),
    ],
)
async def test_a_preference_that_is_none_is_refused(start, wants, said):
    acme = await start()
    with pytest.raises(ValueError, match=said):
        await acme.hub.daemon.hub.prefer("ops", **wants)


async def test_nobody_has_no_preferences(start):
    acme = await start()
    with pytest.raises(NotFound):
        await acme.hub.daemon.hub.preferences("nobody")
    with pytest.raises(NotFound):
        await acme.hub.daemon.hub.prefer("nobody", mute="bell")
