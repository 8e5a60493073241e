"""What visitors are asked and told before they write: notice, consent, form, hours."""

import json
from datetime import timedelta

import pytest

import talkwire_livechat
from talkwire import AccountBroken
from talkwire.api import make_app
from talkwire.testing.hub import whole_hub
from talkwire_livechat.visitors import sign_identity

from .visits import SECRET, SETTINGS, Site

NOTICE = '[accounts.site.notice]\ntext = "We keep what is said."\nversion = "1"\n'
CONSENT = (
    '[accounts.site.consent]\ntext = "May we keep it?"\nversion = "1"\nrefused = "email"\nemail = "help@shop.example"\n'
)
SMS = (
    '[accounts.sms]\nchannel = "smsgate"\nurl = "http://127.0.0.1:1/x"\nusername = "u"\npassword = "p"\n'
    'callback_url = "http://127.0.0.1:1/in/sms"\ntoken = "0123456789abcdef"\n'
)
FORM = '[accounts.site.form]\ntitle = "First"\nfields = ["name!", "email!", "phone", "question"]\nlabels = { name = "Who are you?" }\n'


@pytest.mark.requirement("D-31")
async def test_the_notice_is_told_until_it_was_shown(start_site):
    site = await start_site(NOTICE)
    ann = await site.visit()
    assert ann.welcome["notice"] == {"version": "1", "text": "We keep what is said.", "seen": False}
    await ann.send(t="noticed", version="0")
    await ann.pong()
    assert not (await site.visit()).welcome["notice"]["seen"]
    await ann.send(t="noticed", version="1")
    await ann.pong()
    assert (await site.visit()).welcome["notice"]["seen"]


async def test_a_new_version_of_the_notice_is_told_again(tmp_path, empty_database, aiohttp_client):
    tokens = {}
    for version, seen in (("1", False), ("1", True), ("2", False)):
        settings = SETTINGS + NOTICE.replace('version = "1"', f'version = "{version}"')
        async with whole_hub(
            settings, tmp_path, template=empty_database, plugins={"livechat": talkwire_livechat}
        ) as hub:
            await hub.run_until_idle()
            site = Site(hub, await aiohttp_client(make_app(hub.daemon)), tokens=tokens)
            ann = await site.visit()
            assert ann.welcome["notice"]["seen"] is seen
            await ann.send(t="noticed", version=version)
            await ann.pong()
            await ann.leaves()


async def test_a_text_that_changes_under_its_version_breaks_the_account_with_what_to_do(start_site):
    site = await start_site(NOTICE)
    kept = await site.hub.rows("SELECT text FROM livechat_text WHERE kind = 'notice'")
    assert kept == [("We keep what is said.",)]
    await site.hub.daemon.store.write(_another_text, None)
    with pytest.raises(AccountBroken, match="give the new text a version of its own"):
        await site.channel.open()


def _another_text(tx, items):
    tx.execute("UPDATE livechat_text SET text = 'something else'")
    return [None] * len(items)


@pytest.mark.requirement("D-31b")
async def test_nothing_is_kept_before_the_consent_and_the_answer_is(start_site):
    site = await start_site(CONSENT)
    ann = await site.visit()
    assert ann.welcome["consent"] == {
        "version": "1",
        "text": "May we keep it?",
        "given": None,
        "refused": "email",
        "email": "help@shop.example",
    }
    assert (await ann.says("hi", "1"))["code"] == "consent"
    refused = await site.upload(ann, b"\x89PNG\r\n\x1a\n" + b"0" * 100)
    assert (refused.status, (await refused.json())["code"]) == (403, "consent")
    assert await site.hub.rows("SELECT count(*) FROM attachment") == [(0,)]

    await ann.send(t="consent", version="1", accepted=False)
    assert (await ann.gets("consented"))["accepted"] is False
    assert (await ann.says("hi", "1"))["code"] == "consent"
    assert (await site.visit()).welcome["consent"]["given"] is False
    site.hub.clock.advance(timedelta(minutes=1))
    await ann.send(t="consent", version="1", accepted=True)
    assert (await ann.gets("consented"))["accepted"] is True
    assert (await ann.says("hi", "1"))["t"] == "ack"

    talk = await site.talk()
    rows = await site.hub.rows("SELECT visitor, version, accepted, remote, at FROM livechat_consent ORDER BY id")
    assert [row[:4] for row in rows] == [(talk.address.value, "1", answer, "127.0.0.1") for answer in (0, 1)]
    assert rows[1][4] - rows[0][4] == 60_000_000


@pytest.mark.requirement("D-31b")
async def test_an_answer_to_another_version_is_no_consent(start_site):
    site = await start_site(CONSENT)
    ann = await site.visit()
    await ann.send(t="consent", version="0", accepted=True)
    assert (await ann.gets("settings"))["consent"]["version"] == "1"
    assert (await ann.says("hi", "1"))["code"] == "consent"
    assert await site.hub.rows("SELECT count(*) FROM livechat_consent") == [(0,)]


async def test_the_form_is_asked_once_and_its_answers_are_a_message(start_site):
    site = await start_site(FORM)
    ann = await site.visit()
    assert ann.welcome["form"]["title"] == "First"
    assert ann.welcome["form"]["fields"][:2] == [
        {"name": "name", "label": "Who are you?", "required": True},
        {"name": "email", "label": "", "required": True},
    ]
    assert (await ann.says("hi", "1"))["code"] == "form"
    await ann.send(t="form", values={"email": "not an address", "phone": "12"})
    assert (await ann.gets("nack"))["fields"] == {"name": "required", "email": "email", "phone": "phone"}
    values = {"name": "Ann", "email": "ann@example.com", "phone": "+62 812 3456 789", "question": "When?", "age": "7"}
    await ann.send(t="form", values=values)
    assert (await ann.gets("formed"))["name"] == "Ann"
    talk = await site.talk()
    [message] = await site.hub.messages(talk)
    [card] = message.blocks
    assert (message.text, card.name, card.emails, card.phones) == (
        "When?", "Ann", ("ann@example.com",), ("+628123456789",),
    )  # fmt: skip
    assert talk.address.name == "Ann"
    assert (await ann.says("hi", "1"))["t"] == "ack"
    again = await site.visit()
    assert (again.welcome["form"], again.welcome["visitor"]["name"]) == (None, "Ann")


async def test_what_a_visitor_types_is_no_proof_of_who_it_is(start_site):
    """Whoever types another's e-mail address is not that person."""
    site = await start_site(FORM)
    ann, eve = await site.visit("ann"), await site.visit("eve")
    for one in (ann, eve):
        await one.send(t="form", values={"name": "Ann", "email": "ann@example.com"})
        await one.gets("formed")
    contacts = {talk.contact for talk in await site.hub.conversations()}
    assert len(contacts) == 2
    for talk in await site.hub.conversations():
        assert [address.kind for address in (await site.hub.daemon.hub.contact(talk.contact)).addresses] == ["visitor"]


async def test_what_a_visitor_types_is_a_way_to_answer_when_the_session_is_over(start_site):
    site = await start_site(FORM + SMS)
    ann, eve = await site.visit("ann"), await site.visit("eve")
    for one in (ann, eve):
        values = {"name": "Ann", "email": "ann@example.com", "phone": "+62 812 3456 789"}
        await one.send(t="form", values=values)
        await one.gets("formed")
        await one.send(t="bye")
        await one.gets("ended")
    for talk in await site.hub.conversations():
        assert [(way.kind, way.account, way.address) for way in talk.answer.ways] == [
            ("account", "sms", "+628123456789"),
            ("wait", "", ""),
        ]


async def test_a_talk_that_has_ended_goes_on_where_the_visitor_said(start_site):
    site = await start_site('when_closed = "fallback:sms"\n' + FORM + SMS)
    ann = await site.visit()
    values = {"name": "Ann", "email": "ann@example.com", "phone": "+62 812 3456 789", "question": "When?"}
    await ann.send(t="form", values=values)
    await ann.gets("formed")
    await ann.send(t="bye")
    await ann.gets("ended")
    talk = await site.talk()
    accepted = await site.hub.reply(talk, "Tomorrow")
    assert (accepted.policy, accepted.account) == ("fallback", "sms")
    [message] = await site.hub.messages(accepted.conversation)
    assert message.text.startswith("Tomorrow\n\nEarlier in our conversation:")
    assert "> When?" in message.text
    new = await site.hub.daemon.hub.conversation(accepted.conversation)
    assert (new.address.value, new.address.name, new.continues) == ("+628123456789", "Ann", talk.id)
    assert new.contact != talk.contact  # nobody vouches that they are one person


async def test_a_visitor_whom_the_website_knows_is_not_asked_what_it_has_said(start_site):
    site = await start_site(FORM)
    expires = int((site.hub.clock.now() + timedelta(hours=1)).timestamp())
    said = {"id": "42", "expires": expires, "name": "Ann", "email": "ann@example.com"}
    ann = await site.visit(identity=sign_identity(SECRET, json.dumps(said)))
    assert [field["name"] for field in ann.welcome["form"]["fields"]] == ["phone", "question"]
    await ann.send(t="form", values={})
    await ann.gets("formed")
    talk = await site.talk()
    assert talk.address.name == "Ann"
    assert await site.hub.rows("SELECT kind, value FROM alias") == [("email", "ann@example.com")]


async def test_the_hours_are_said(start_site):
    site = await start_site('hours = ["mon-fri 08:00-17:00"]\nhours_text = "We are here on weekdays."\n')
    assert (await site.visit()).welcome["hours"] == {"open": True, "text": "We are here on weekdays."}
    site.hub.clock.advance(timedelta(hours=8))
    assert (await site.visit()).welcome["hours"]["open"] is False


async def test_another_account_is_offered_where_the_website_vouches_for_an_address(start_site):
    site = await start_site(SMS)
    expires = int((site.hub.clock.now() + timedelta(hours=1)).timestamp())
    said = {"id": "42", "expires": expires, "phone": "+628123456789"}
    ann = await site.visit(identity=sign_identity(SECRET, json.dumps(said)))
    await ann.send(t="bye")
    await ann.gets("ended")
    talk = await site.talk()
    assert [(way.kind, way.account, way.address) for way in talk.answer.ways] == [
        ("account", "sms", "+628123456789"),
        ("wait", "", ""),
    ]


async def test_what_was_answered_in_one_tab_holds_in_the_others(start_site):
    site = await start_site(CONSENT + FORM)
    one, two = await site.visit(), await site.visit()
    await one.send(t="consent", version="1", accepted=True)
    assert (await two.gets("consented"))["accepted"] is True
    await one.send(t="form", values={"name": "Ann", "email": "ann@example.com"})
    assert (await two.gets("formed"))["name"] == "Ann"
    assert (await two.says("hi", "1"))["t"] == "ack"
