"""Talks between customers on the simulated Telegram and a whole daemon that asks it, or is called by it."""

import asyncio
import contextlib
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from talkwire import (
    Buttons,
    ChangeKind,
    Choice,
    ContactCard,
    Draft,
    Location,
    Media,
    Option,
    State,
    Text,
    TypingSignal,
    draft,
)
from talkwire.cli import demo
from talkwire.model import AnswerCode, Direction
from talkwire_telegram.simulator import BUDI, DEWI, DIRECT, FORUM, GROUP, OWNER, SITI, files

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = BUDI["id"]


async def until(look):
    """Look until it is so, and give what was seen."""
    async with asyncio.timeout(20):
        while not (found := await look()):
            await asyncio.sleep(0.01)
    return found


class Talk:
    """Both sides of a talk."""

    def __init__(self, stage):
        [self.player] = stage.players
        self.stage = stage
        self.hub = stage.daemon.hub
        self.http = None
        self.is_called = False

    async def do(self, deed, **given):
        async with self.http.post(f"{self.player.base_url}/sim/deeds", json={"deed": deed, **given}) as answer:
            return await answer.json()

    async def shown(self, chat=CHAT, **wanted):
        """Give what the phone shows in a chat, oldest first."""
        async with self.http.get(f"{self.player.base_url}/sim/chats") as answer:
            lines = (await answer.json())["messages"]
        return [one for one in lines if one["chat"] == chat and all(one[key] == value for key, value in wanted.items())]

    async def chats(self):
        async with self.http.get(f"{self.player.base_url}/sim/chats") as answer:
            return (await answer.json())["chats"]

    async def come(self, text):
        """Wait for a message with this text; gives its conversation and the message."""

        async def look():
            for one in (await self.hub.conversations(account="telegram", text=text)).items:
                for said in await self.hub.messages(one.id):
                    if said.text == text:
                        return one, said
            return None

        return await until(look)

    async def says(self, conversation, what):
        """Reply; gives the message once it has left the queue."""
        accepted = await self.hub.reply(conversation, what, author="agent:ann")

        async def look():
            message = await self.hub.message(accepted.message)
            return message if message.state is not State.QUEUED else None

        return await until(look)

    @contextlib.asynccontextmanager
    async def fault(self, name):
        await self.player.simulator.fault(self.player.base_url, name)
        yield
        await self.player.simulator.fault(self.player.base_url, "")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["asking", "called"])
async def talk(request, tmp_path_factory):
    [played] = await demo.find(among=["telegram"])
    updates = "webhook" if request.param == "called" else "poll"
    told = replace(played, settings=lambda *urls: {**played.settings(*urls), "updates": updates})
    folder = tmp_path_factory.mktemp("talk")
    async with demo.stage(folder, [told], is_public=request.param == "called") as stage:
        one = Talk(stage)
        one.is_called = request.param == "called"
        async with aiohttp.ClientSession(raise_for_status=True) as one.http:
            yield one


async def test_what_customers_send_is_here_with_its_files(talk):
    await talk.do("write", text="Look at these")
    conversation, first = await talk.come("Look at these")
    await talk.do("send", kind="photo", caption="It is broken")
    await talk.do("send", kind="album", caption="Three of them")
    await talk.do("send", kind="venue")
    await talk.do("send", kind="contact")

    async def all_of_it():
        said = [
            one for one in await talk.hub.messages(conversation.id, after_n=first.n) if one.direction is Direction.IN
        ]
        return said if len(said) == 6 else None

    photo, *album, venue, contact = await until(all_of_it)
    [shown] = photo.blocks
    assert (shown.caption, photo.group) == ("It is broken", "")

    async def fetched():
        kept = await talk.hub.attachment(shown.attachment)
        return kept if kept.sha256 else None

    kept = await until(fetched)
    assert (kept.media_type, kept.size) == ("image/png", len(files.picture()))
    assert len({one.group for one in album}) == 1
    assert album[0].group
    assert album[0].blocks[0].caption == "Three of them"
    assert [type(one.blocks[0]) for one in (venue, contact)] == [Location, ContactCard]
    assert conversation.address.name == "Budi Santoso"


async def test_a_reply_shows_its_marks_its_picture_and_its_buttons_and_a_pressed_one_is_let_go(talk):
    await talk.do("write", text="Is the Ciwidey back?")
    conversation, _ = await talk.come("Is the Ciwidey back?")

    async def cup():
        yield files.picture(2)

    picture = await talk.hub.keep_file(cup(), name="cup.png", limit=10**6)
    options = (Option("yes", "Yes, please"), Option("no", "No"))
    reply = Draft(
        blocks=(
            Text("🎉 It is **back**, [look](https://shop.example/a)"),
            Media(attachment=picture.id, caption="*Fresh*"),
            Buttons(text="Shall I?", options=options),
        )
    )
    assert (await talk.says(conversation.id, reply)).state is State.SENT
    text, photo, question = (await talk.shown(mine=False))[-3:]
    marks = [(one["type"], one["offset"], one["length"]) for one in text["message"]["entities"]]
    assert (text["message"]["text"], marks) == ("🎉 It is back, look", [("bold", 9, 4), ("text_link", 15, 4)])
    assert photo["message"]["caption_entities"] == [{"type": "italic", "offset": 0, "length": 5}]
    await talk.do("press", message=question["message"]["message_id"], data="yes")
    _, chosen = await talk.come("Yes, please")
    assert chosen.blocks == (Choice(id="yes", title="Yes, please"),)
    assert chosen.reply_to

    async def let_go():
        return not (await talk.shown())[-1]["pressed"]

    await until(let_go)


async def test_edits_and_reactions_point_at_what_they_change(talk):
    said = await talk.do("write", text="I want too")
    conversation, message = await talk.come("I want too")
    answer = await talk.says(conversation.id, draft("Two it is"))
    [shown] = (await talk.shown(mine=False))[-1:]
    await talk.do("edit", message=said["message"], text="I want two")
    await talk.do("react", message=shown["message"]["message_id"], emoji="👍")

    async def changed():
        both = [(await talk.hub.message(one)).changes for one in (message.id, answer.id)]
        return both if all(both) else None

    [[edit], [reaction]] = await until(changed)
    assert (edit.kind, edit.text, edit.by) == (ChangeKind.EDIT, "I want two", str(CHAT))
    assert (reaction.kind, reaction.text) == (ChangeKind.REACTION, "👍")


async def test_a_swapped_photo_and_a_place_that_moves_are_seen_as_they_are_now(talk):
    await talk.do("write", text="Here I am")
    conversation, before = await talk.come("Here I am")
    photo, place = [(await talk.do("send", kind=kind, caption="Look"))["messages"][0] for kind in ("photo", "live")]

    async def come():
        said = await talk.hub.messages(conversation.id, after_n=before.n)
        return said if len(said) == 2 else None

    first, second = await until(come)
    await talk.do("swap", message=photo)
    for _ in range(2):
        await talk.do("move", message=place)

    async def changed():
        both = [(await talk.hub.message(one.id)).changes for one in (first, second)]
        point = both[1][-1].blocks[0].latitude if both[1] else 0
        if not both[0] or abs(point + 6.916464) > 1e-9:
            return None
        file = await talk.hub.attachment(both[0][0].blocks[0].attachment)
        return (both, file) if file.sha256 else None

    ([[swapped], moves], file) = await until(changed)
    before = await talk.hub.attachment(first.blocks[0].attachment)
    assert swapped.text == "Look"
    assert file.sha256 not in ("", before.sha256)
    assert len(moves) == 1
    assert moves[0].blocks[0].name == "Live location"


async def test_a_topic_is_a_conversation_in_which_each_has_a_name(talk):
    await talk.do("write", text="Which grinder?", chat=FORUM, topic=3, who=SITI["id"])
    conversation, said = await talk.come("Which grinder?")
    assert (conversation.address.value, conversation.thread, said.author) == (str(FORUM), "3", "Siti")
    await talk.says(conversation.id, draft("The small one"))
    [shown] = await talk.shown(FORUM, topic=3, mine=False)
    assert shown["message"]["text"] == "The small one"


async def test_a_business_is_answered_in_its_name_and_what_it_says_itself_is_no_customers(talk):
    chat = DEWI["id"]
    said = await talk.do("write", text="Do you deliver?", chat=chat)
    conversation, _ = await talk.come("Do you deliver?")
    await talk.do("write", text="A moment", chat=chat, who=OWNER["id"])
    await talk.hub.signal(conversation.id, TypingSignal())
    [place] = [one for one in await talk.chats() if one["id"] == chat]
    assert place["doing"] == "typing"
    options = Buttons(text="To which town?", options=(Option("bdg", "Bandung"),))
    assert (await talk.says(conversation.id, Draft(blocks=(options,)))).state is State.SENT
    [question] = [one for one in await talk.shown(chat, mine=False) if "sender_business_bot" in one["message"]]
    await talk.do("press", chat=chat, message=question["message"]["message_id"], data="bdg")
    await talk.come("Bandung")

    async def let_go():
        return not [one for one in await talk.shown(chat) if one["pressed"]]

    await until(let_go)
    await talk.hub.signal(conversation.id, TypingSignal())
    assert [one["doing"] for one in await talk.chats() if one["id"] == chat] == ["typing"]
    url = f"{talk.stage.api}/api/v1/conversations/{conversation.id}/read"
    async with talk.http.post(url, json={"n": 1}, headers={"Authorization": f"Bearer {talk.stage.key}"}):
        assert [one["message"]["text"] for one in await talk.shown(chat, read=True)] == ["Do you deliver?"]
    await talk.do("edit", chat=chat, message=said["message"], text="Do you deliver to Bandung?")

    async def changed():
        found = await talk.hub.messages(conversation.id)
        return found if found[0].changes else None

    texts = [one.text for one in await until(changed) if one.direction is Direction.IN]
    assert texts == ["Do you deliver?", "Bandung"]


async def test_who_write_to_a_channel_are_answered_each_on_their_own(talk):
    for person in (BUDI, SITI):
        await talk.do("write", text=f"Mine is late, {person['first_name']}", chat=DIRECT, topic=person["id"])
        conversation, said = await talk.come(f"Mine is late, {person['first_name']}")
        assert conversation.thread == f"dm:{person['id']}"
        assert said.author.startswith(person["first_name"])
        await talk.says(conversation.id, draft(f"Sorry, {person['first_name']}"))
        [shown] = await talk.shown(DIRECT, topic=person["id"], mine=False)
        assert shown["message"]["text"] == f"Sorry, {person['first_name']}"


async def test_an_answer_from_one_topic_to_another_names_what_it_answers(talk):
    first = await talk.do("write", text="The Ciwidey is back", chat=FORUM, topic=2, who=SITI["id"])
    _, answered = await talk.come("The Ciwidey is back")
    await talk.do("write", text="For which grinder?", chat=FORUM, topic=3, message=first["message"])
    conversation, said = await talk.come("For which grinder?")
    assert conversation.thread == "3"
    assert said.reply_to == answered.id
    assert said.blocks[0].text == "In answer to a message from Siti"


async def test_a_group_that_moves_is_answered_where_it_went(talk):
    await talk.do("write", text="Coffee at ten?", chat=GROUP)
    conversation, _ = await talk.come("Coffee at ten?")
    new = (await talk.do("migrate", chat=GROUP))["chat"]
    assert (await talk.says(conversation.id, draft("At ten"))).state is State.SENT
    assert [one["message"]["text"] for one in await talk.shown(new, mine=False)] == ["At ten"]


async def test_who_stops_the_bot_cannot_be_answered_until_they_let_it_in_again(talk):
    await talk.do("write", text="Too many messages", chat=SITI["id"])
    conversation, _ = await talk.come("Too many messages")
    for on, code in ((True, AnswerCode.ADDRESS_UNREACHABLE), (False, None)):
        await talk.do("shut", chat=SITI["id"], on=on)

        async def told(code=code):
            return (await talk.hub.conversation(conversation.id)).answer.code is code

        await until(told)
    assert (await talk.says(conversation.id, draft("Sorry"))).state is State.SENT


async def test_entities_that_are_not_understood_go_once_more_as_plain_text(talk):
    await talk.do("write", text="In plain words?")
    conversation, _ = await talk.come("In plain words?")
    async with talk.fault("markup"):
        message = await talk.says(conversation.id, draft("It is **plain**"))
    [shown] = (await talk.shown(mine=False))[-1:]
    assert (shown["message"]["text"], message.state) == ("It is plain", State.SENT)
    assert "entities" not in shown["message"]


async def test_a_message_of_which_nobody_knows_stays_so_until_a_person_says(talk):
    await talk.do("write", text="Are you there?")
    conversation, _ = await talk.come("Are you there?")
    before = len(await talk.shown(mine=False))
    async with talk.fault("hangup"):
        message = await talk.says(conversation.id, draft("We are"))
    assert message.state is State.UNCERTAIN
    await talk.says(conversation.id, draft("Always"))
    assert [one["message"].get("text") for one in await talk.shown(mine=False)][before:] == ["We are", "Always"]
    url = f"{talk.stage.api}/api/v1/deliveries/{message.deliveries[0].id}:settle"
    async with talk.http.post(
        url, json={"verdict": "sent"}, headers={"Authorization": f"Bearer {talk.stage.key}"}
    ) as answer:
        assert answer.status == 204
    assert (await talk.hub.message(message.id)).state is State.SENT


async def test_a_call_with_a_wrong_secret_brings_nothing_and_comes_again_with_the_right_one(talk):
    async with talk.fault("wrong_secret"):
        await talk.do("write", text="Am I heard?")

        async def refused():
            return "401" in (await talk.shown(mine=True))[-1]["note"]

        if talk.is_called:  # who asks is shown no secret
            await until(refused)
            assert not (await talk.hub.conversations(account="telegram", text="Am I heard?")).items
    await talk.come("Am I heard?")
