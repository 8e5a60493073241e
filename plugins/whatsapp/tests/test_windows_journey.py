"""WhatsApp's 24 hours on the turned clock: what becomes of a reply by each policy, whoever says that they are over."""

from __future__ import annotations

from typing import Any

import pytest

import talkwire_whatsapp
from talkwire import Address, Policy, Unsupported, WindowClosed, draft, hookimpl
from talkwire.testing.provider import FakeProvider, accept, says
from tests.journeys.listening import cut_power
from tests.journeys.parting_hub import SETTINGS as POST
from tests.journeys.parting_hub import Post

from .samples import message
from .shop import META, failed
from .test_in_journey import account
from .test_reading import delivery, of
from .test_statuses_journey import Talk

RE_ENGAGE = says(failed(131047, "Re-engagement message"))
TOLD = ("window.closing", "window.closed")


class Posts:
    """The plugin that gives a second account something to be of."""

    @hookimpl
    def register_channels(self) -> list[type[Any]]:
        return [Post]


@pytest.fixture
async def meta():
    async with FakeProvider(META) as meta:
        yield meta


@pytest.fixture
def start(start_on_both, meta):
    async def start(when_closed: str = "reject", more: str = "", **options: Any) -> Talk:
        text = account(url=meta.url) + f'when_closed = "{when_closed}"\n' + more
        hub = await start_on_both(text, plugins={"whatsapp": talkwire_whatsapp, "post": Posts()}, **options)
        await hub.run_until_idle()
        talk = Talk(hub, meta)
        if not await hub.conversations():
            await talk.begins()
        talk.conversation = await hub.conversation
        return talk

    return start


async def closed(talk: Talk) -> Talk:
    await talk.hub.pass_time(hours=25)
    return talk


async def wrote(talk: Talk, id_: str = "wamid.back", *, hours_ago: float = 0) -> None:
    at = int(talk.hub.clock.now().timestamp() - hours_ago * 3600)
    await talk.says(delivery(of({**message("text"), "id": id_, "timestamp": str(at)})))
    await talk.hub.run_until_idle()


def said(meta: FakeProvider) -> list[str]:
    """Give what Meta was asked to show: texts, and the names of templates."""
    shown = [seen.json() for seen in meta.shown]
    return [one["template"]["name"] if one["type"] == "template" else one["text"]["body"] for one in shown]


async def states(talk: Talk) -> list[str]:
    return await talk.hub.states(talk.conversation)


# --- by our clock ------------------------------------------------------------------------------------------


async def test_closing_and_closed_are_told_once_each_and_the_answer_says_what_is_left(start):
    talk = await start("template:hello_world")
    until = talk.conversation.answer.until
    await closed(talk)
    told = await talk.hub.facts(*TOLD)
    assert [(fact.type, fact.at) for fact in told][1] == ("window.closed", until)
    assert [fact.type for fact in told] == [*TOLD]
    answer = (await talk.hub.conversation).answer
    assert (answer.code, answer.icon, answer.since) == ("window_closed", "warning", until)
    assert [(way.kind, way.template) for way in answer.ways] == [("template", "hello_world"), ("hold", "")]


async def test_rejected_is_told_and_nothing_goes_out(start, meta):
    talk = await closed(await start())
    with pytest.raises(WindowClosed):
        await talk.replies()
    assert said(meta) == []


async def test_held_goes_in_order_when_the_customer_writes_and_what_was_taken_back_does_not(start, meta):
    talk = await closed(await start("hold"))
    accepted = [await talk.hub.reply(talk.conversation, text) for text in ("one", "two", "three")]
    assert [one.policy for one in accepted] == [Policy.HOLD] * 3
    await talk.hub.daemon.replies.cancel(accepted[1].message)
    await wrote(talk)
    await talk.hub.pass_time(seconds=10)
    assert said(meta) == ["one", "three"]


async def test_a_template_goes_at_once_and_the_reply_stays_held(start, meta):
    talk = await closed(await start("template:hello_world"))
    for text in ("one", "two"):
        assert (await talk.hub.reply(talk.conversation, text)).policy is Policy.TEMPLATE
    await talk.hub.run_until_idle()
    assert said(meta) == ["hello_world"]
    assert meta.shown[0].json()["template"]["language"]["code"] == "en_US"
    await wrote(talk)
    await talk.hub.pass_time(seconds=10)
    assert said(meta) == ["hello_world", "one", "two"]


async def test_a_template_that_meta_paused_is_refused_before_anything_is_stored(start, meta):
    talk = await closed(await start("template:spring"))
    with pytest.raises(Unsupported, match="PAUSED"):
        await talk.replies()
    assert await states(talk) == []


async def test_it_goes_on_from_another_account(start, meta):
    talk = await start("fallback:post", POST)
    text = {**message("text"), "id": "wamid.2", "timestamp": str(int(talk.hub.clock.now().timestamp()))}
    await talk.says(delivery(of(text)))
    await closed(talk)
    with pytest.raises(WindowClosed):  # nothing is known of the customer but a phone
        await talk.replies()
    address = (await talk.hub.conversation).address
    await talk.hub.daemon.store.write(_known_by_mail, address.value)
    accepted = await talk.hub.reply(talk.conversation, "By mail")
    await talk.hub.run_until_idle()
    assert (accepted.policy, accepted.account, said(meta)) == (Policy.FALLBACK, "post", [])


def _known_by_mail(tx: Any, phones: Any) -> list[None]:
    for phone in phones:
        [(id_,)] = tx.execute("SELECT id FROM address WHERE value = :phone", {"phone": phone})
        tx.execute(
            """INSERT INTO alias (address_id, kind, scope, value, created_at)
               VALUES (:id, 'email', '', 'ayu@example.org', :now)""",
            {"id": id_, "now": tx.now_us},
        )
    return [None] * len(phones)


async def test_a_webhook_that_comes_a_day_late_opens_nothing(start, meta):
    talk = await closed(await start("template:hello_world"))
    await talk.replies()
    await wrote(talk, hours_ago=24.1)
    assert said(meta) == ["hello_world"]
    assert await states(talk) == ["accepted", "queued"]
    assert not (await talk.hub.conversation).answer.allowed


async def test_whoever_never_wrote_gets_a_template_first(start, meta):
    talk = await start("template:hello_world")
    to = ("shop", Address(kind="phone", value="+628999888777"))
    accepted = await talk.hub.daemon.replies.reply(to, draft("Your order is here"), author="agent:ann")
    await talk.hub.run_until_idle()
    assert (accepted.policy, said(meta)) == (Policy.TEMPLATE, ["hello_world"])


@pytest.mark.one_file
async def test_nothing_is_told_twice_after_a_restart(start_hub, meta, tmp_path):
    plugins = {"whatsapp": talkwire_whatsapp}
    text = account(url=meta.url) + 'when_closed = "template:hello_world"\n'
    talk = Talk(await start_hub(text, plugins=plugins, folder=tmp_path), meta)
    await talk.begins()
    folder = tmp_path
    for number, hours in enumerate((23.5, 1, 5)):
        await talk.hub.pass_time(hours=hours)
        folder = cut_power(folder, tmp_path / f"cut{number}")
        talk = Talk(await start_hub(text, plugins=plugins, folder=folder, clock=talk.hub.clock), meta)
        await talk.hub.run_until_idle()
        talk.conversation = await talk.hub.conversation
        await talk.hub.reply(talk.conversation, f"after {number}")
        await talk.hub.run_until_idle()
    assert [fact.type for fact in await talk.hub.facts(*TOLD)] == [*TOLD]
    assert said(meta) == ["after 0", "hello_world"]


# --- Meta says so -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["at once", "by a status"])
@pytest.mark.parametrize(
    ("when_closed", "ends", "shown"),
    [
        ("reject", ["failed"], []),
        ("hold", ["queued"], []),
        ("template:hello_world", ["queued", "accepted"], ["hello_world"]),
    ],
)
async def test_metas_131047_ends_in_the_same_place(start, meta, how, when_closed, ends, shown):
    talk = await start(when_closed)
    meta.will(RE_ENGAGE if how == "at once" else accept("wamid.ours1"))
    await talk.replies("one")
    if how == "by a status":
        await talk.reports("failed", id_="wamid.ours1", code=131047)
    await talk.hub.pass_time(seconds=10)  # a number may send so many a second
    assert await states(talk) == ends
    assert said(meta)[1:] == shown
    assert (await talk.hub.conversation).answer.code == "window_closed"
    changed = await talk.hub.facts("conversation.answer_changed", *TOLD)
    assert [fact.type for fact in changed] == ["window.closed", "conversation.answer_changed"]
    await wrote(talk)
    await talk.hub.pass_time(seconds=30)
    assert said(meta)[1 + len(shown) :] == ([] if when_closed == "reject" else ["one"])
