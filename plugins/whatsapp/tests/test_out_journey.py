"""What we say on WhatsApp, through a whole hub: windows, templates, files, and who is told what."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

import talkwire_whatsapp
from talkwire import Address, Draft, Media, Policy, Template, TypingSignal, Unsupported, WindowClosed, draft
from talkwire.testing.provider import FakeProvider, Reply, accept, says

from .samples import NOON, OURS, body, message, signature, wamid
from .shop import META, failed
from .test_in_journey import account
from .test_reading import delivery, of

BUDI = Address(kind="phone", value="+525512345678")
HELLO = Draft(blocks=(Template(name="hello_world", language="en_US"),))


def again(seconds: int) -> Any:
    """Let the customer of the sample write once more, so long after noon."""
    return delivery(of({**message("text"), "id": "m2", "timestamp": str(int(NOON.timestamp()) + seconds)}))


class Talk:
    """A hub with a business number, and the Meta that it talks to."""

    def __init__(self, hub: Any, meta: FakeProvider) -> None:
        self.hub, self.meta = hub, meta

    async def comes(self, said: Any) -> Any:
        """Let Meta deliver something; give the newest conversation."""
        raw = said if isinstance(said, bytes) else json.dumps(said).encode()
        await self.hub.deliver("meta", raw, headers={"X-Hub-Signature-256": signature(raw)})
        await self.hub.run_until_idle()
        return (await self.hub.conversations())[0]

    @property
    def said(self) -> list[str]:
        """Give what Meta took for a customer: texts, and names of templates."""
        bodies = [seen.json() for seen in self.meta.taken.values()]
        return [body["text"]["body"] if body["type"] == "text" else body["template"]["name"] for body in bodies]


@pytest_asyncio.fixture
async def start_talk(start_on_both):
    async with FakeProvider(META) as meta:

        async def start(more: str = "") -> Talk:
            hub = await start_on_both(account(url=meta.url) + more, plugins={"whatsapp": talkwire_whatsapp})
            return Talk(hub, meta)

        yield start


async def test_a_reply_goes_out_as_it_was_previewed_and_its_status_is_ours(start_talk):
    talk = await start_talk()
    conversation = await talk.comes(body("text"))
    await talk.hub.reply(conversation, "**Yes**, in [blue](https://shop.example/blue)")
    await talk.hub.run_until_idle()
    (seen,) = talk.meta.shown
    assert seen.json()["text"] == {"body": "*Yes*, in blue (https://shop.example/blue)", "preview_url": True}
    assert await talk.hub.states(conversation) == ["accepted"]
    [delivered] = (await talk.hub.messages(conversation))[-1].deliveries
    assert seen.json()["biz_opaque_callback_data"] == delivered.id


async def test_a_window_that_only_meta_knows_to_be_closed_ends_as_one_that_we_closed(start_talk):
    talk = await start_talk()
    conversation = await talk.comes(body("text"))
    talk.meta.will(says(failed(131047, details="More than 24 hours have passed")), accept())
    for text in ("first", "second"):
        await talk.hub.reply(conversation, text, policy=Policy.HOLD)
    await talk.hub.run_until_idle()
    assert talk.said == []
    [now] = await talk.hub.conversations()
    assert (now.answer.allowed, now.answer.code) == (False, "window_closed")
    with pytest.raises(WindowClosed):
        await talk.hub.reply(conversation, "third", policy=Policy.REJECT)
    await talk.hub.pass_time(minutes=1)
    await talk.comes(again(60))
    await talk.hub.pass_time(seconds=1)  # the number's rate
    assert talk.said == ["first", "second"]
    assert await talk.hub.states(conversation) == ["accepted", "accepted"]


async def test_after_a_day_a_template_goes_at_once_and_the_reply_when_the_customer_answers(start_talk):
    talk = await start_talk('when_closed = "template:hello_world"\n')
    conversation = await talk.comes(body("text"))
    await talk.hub.pass_time(hours=24)
    accepted = await talk.hub.reply(conversation, "It is here")
    await talk.hub.run_until_idle()
    assert (accepted.policy, talk.said) == (Policy.TEMPLATE, ["hello_world"])
    assert talk.meta.shown[0].json()["template"]["language"]["code"] == "en_US"
    assert [one.text for one in await talk.hub.messages(conversation)][1:] == ["Hello", "It is here"]
    await talk.hub.pass_time(minutes=1)
    await talk.comes(again(24 * 3600 + 60))
    assert talk.said == ["hello_world", "It is here"]


async def test_whoever_never_wrote_is_written_to_by_template_and_is_one_person_when_they_answer(start_talk):
    """Mexico: they are called as one writes the number, and answer from another form of it."""
    talk = await start_talk()
    replies = talk.hub.daemon.replies
    with pytest.raises(WindowClosed):
        await replies.reply(("shop", BUDI), draft("Hi"), author="agent:ann")
    yes = {"contacts": [{"input": BUDI.value, "wa_id": "5215512345678", "user_id": "MX.1"}], "messages": [{"id": OURS}]}
    talk.meta.will(says(Reply.json(yes)))
    await replies.reply(("shop", BUDI), HELLO, author="agent:ann")
    await talk.hub.run_until_idle()
    assert talk.meta.shown[0].json()["to"] == "525512345678"
    await talk.comes(delivery(of({**message("text"), "from": "5215512345678", "from_user_id": "MX.1"})))
    assert len(await talk.hub.rows("SELECT id FROM contact")) == 1
    assert len(await talk.hub.conversations()) == 1


@pytest.mark.parametrize("user", [{}, {"user_id": "MX.1"}], ids=["a number", "and a user id"])
async def test_what_waits_for_an_answer_goes_out_though_the_answer_comes_from_another_form_of_the_number(
    start_talk, user
):
    talk = await start_talk('when_closed = "template:hello_world"\n')
    yes = {"contacts": [{"input": BUDI.value, "wa_id": "5215512345678", **user}], "messages": [{"id": OURS}]}
    talk.meta.will(says(Reply.json(yes)))
    await talk.hub.daemon.replies.reply(("shop", BUDI), draft("It is here"), author="agent:ann")
    await talk.hub.run_until_idle()
    assert [one.json()["type"] for one in talk.meta.shown] == ["template"]
    wrote = {**message("text"), "from": "5215512345678", **({"from_user_id": "MX.1"} if user else {})}
    conversation = await talk.comes(delivery(of(wrote)))
    assert [one.json().get("text", {}).get("body") for one in talk.meta.shown] == [None, "It is here"]
    assert [one.id for one in await talk.hub.conversations()] == [conversation.id]
    assert conversation.answer.allowed


async def test_a_template_that_is_not_there_is_refused_and_nothing_is_stored(start_talk):
    talk = await start_talk()
    conversation = await talk.comes(body("text"))
    with pytest.raises(Unsupported, match="there are: hello_world, order_ready, spring"):
        await talk.hub.reply(conversation, Draft(blocks=(Template(name="bye", language="en"),)))
    assert await talk.hub.states(conversation) == []


async def test_a_file_whose_bytes_are_lost_fails_the_reply_and_does_not_try_for_ever(start_talk):
    async def paper():
        yield b"%PDF-1.4 the bill"

    talk = await start_talk()
    conversation = await talk.comes(body("text"))
    daemon = talk.hub.daemon
    file = await daemon.hub.keep_file(paper(), name="bill.pdf", limit=100)
    digest = (await daemon.hub.attachment(file.id)).sha256
    assert await daemon.files.drop([digest], datetime(2100, 1, 1, tzinfo=UTC)) == {digest}
    await talk.hub.reply(conversation, Draft(blocks=(Media(attachment=file.id),)))
    await talk.hub.run_until_idle()
    assert await talk.hub.states(conversation) == ["failed"]
    assert not any(one.path.endswith("/media") for one in talk.meta.requests)


async def test_typing_answers_the_customers_last_message(start_talk):
    talk = await start_talk("mark_read = true\n")
    conversation = await talk.comes(body("text"))
    await talk.hub.daemon.sessions.signal(conversation.id, TypingSignal())
    [seen] = [one.json() for one in talk.meta.requests if one.method == "POST"]
    assert (seen["message_id"], seen["typing_indicator"]) == (wamid("text"), {"type": "text"})
