"""Rows: what Kannel says and what it means, what we say and what becomes of it."""

import pytest
from pydantic import ValidationError

from talkwire import (
    AccountBroken,
    Inbound,
    NotSent,
    Part,
    Refused,
    Rejected,
    RenderContext,
    State,
    TryLater,
    Uncertain,
    Unread,
    draft,
)
from talkwire.testing import FakeProvider, Reply, lend, reset_after_body, says
from talkwire.testing.case import with_param
from talkwire_smsgate import SmsGate, SmsGateSettings, register_channels

from .case import CUSTOMER, KEY, SETTINGS, TOKEN, case, pairs


@pytest.fixture
async def gate():
    async with FakeProvider(case.answers) as provider:
        yield provider


@pytest.fixture
async def channel(gate):
    async with lend(SmsGate, case.pointed_at(gate.url)) as lent:
        yield lent.channel


@pytest.fixture
def away():
    """A channel that asks nobody."""

    async def one(**settings):
        async with lend(SmsGate, {**SETTINGS, **settings}) as lent:
            return lent.channel

    return one


def envelope(query, **changes):
    from dataclasses import replace

    return replace(case.samples[0].raw(), query=pairs(query), **changes)


def rendered(channel, text):
    return channel.render(draft(text), RenderContext(account="kit", address=CUSTOMER)).parts


# In


@pytest.mark.parametrize(
    ("number", "country", "value"),
    [
        ("6281234567890", "", "+6281234567890"),
        ("%2B6281234567890", "", "+6281234567890"),
        ("006281234567890", "", "+6281234567890"),
        ("081234567890", "62", "+6281234567890"),
    ],
)
async def test_one_person_has_one_address_however_the_network_writes_the_number(away, number, country, value):
    [item] = (await away(country=country)).parse(envelope(f"from={number}&text=hi&id=1&ts=1795373244"))
    assert item.address.value == value


@pytest.mark.parametrize(
    "query",
    [
        "",
        "from=6281234567890&id=1&ts=1795373244",  # no text
        "from=6281234567890&text=hi&ts=1795373244",  # no id
        "from=6281234567890&text=hi&id=1&ts=yesterday",
        "from=6281234567890&text=%FF&charset=UTF-8&id=1&ts=1795373244",
        "from=6281234567890&text=hi&charset=rot13&id=1&ts=1795373244",
        "from=Bank&text=hi&id=1&ts=1795373244",  # a name, which cannot be answered
        "id=1&code=delivered&ts=1795373244",
    ],
)
async def test_what_makes_no_sense_is_kept_as_unread(away, query):
    items = list((await away()).parse(envelope(query)))
    assert [type(item) for item in items] == [Unread]


async def test_an_empty_sms_is_a_message(away):
    [item] = (await away()).parse(envelope("from=6281234567890&text=&charset=UTF-8&id=1&ts=1795373244"))
    assert isinstance(item, Inbound)
    assert item.text == ""


async def test_a_report_survives_words_in_another_charset(away):
    [item] = (await away()).parse(envelope(f"id={KEY}&code=2&ts=1795373244&reason=abgelehnt%20f%FCr%20immer"))
    assert (item.state, item.reason) == (State.FAILED, "abgelehnt f\ufffdr immer")


async def test_a_customer_cannot_write_a_report(away):
    words = f"hi%26id={KEY}%26code%3D1"  # Kannel encodes what a customer writes
    [item] = (await away()).parse(envelope(f"from=6281234567890&text={words}&id=1&ts=1795373244"))
    assert isinstance(item, Inbound)


# Genuine or not


async def test_token_and_address_are_both_asked_for_where_both_are_set(away):
    channel = await away(allow_from=["203.0.113.0/24"])
    inside = envelope("from=1", remote="203.0.113.7")
    channel.authenticate(with_param(inside, "token", TOKEN))
    for wrong in (inside, with_param(envelope("from=1", remote="198.51.100.1"), "token", TOKEN)):
        with pytest.raises(Rejected):
            channel.authenticate(wrong)


async def test_the_address_alone_is_enough_where_no_token_is_set(away):
    channel = await away(token=None, allow_from=["203.0.113.7"])
    channel.authenticate(envelope("from=1", remote="203.0.113.7"))
    with pytest.raises(Rejected):
        channel.authenticate(envelope("from=1", remote="203.0.113.8"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": None},  # nothing tells Kannel from others
        {"token": "short"},
        {"token": "with%20percent-and-more"},
        {"callback_url": "http://talkwire.example/in/sms?a=b"},
        {"callback_url": "http://talkwire.example/in/%41"},  # Kannel would put something else there
        {"url": "kannel:13013"},
        {"country": "+62"},
        {"usrname": "x"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError) as caught:
        SmsGateSettings.model_validate({**SETTINGS, **wrong})
    assert "kit-password" not in str(caught.value)
    assert TOKEN not in str(caught.value)


# Out


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 459, 1),  # three segments of 153
        ("a" * 460, 2),
        ("€" * 228, 1),  # an escape and its character stay in one segment
        ("€" * 229, 2),
        ("ж" * 201, 1),  # three segments of 67
        ("ж" * 202, 2),
    ],
)
async def test_a_part_is_never_more_than_kannel_lets_through(away, text, parts):
    made = rendered(await away(), text)
    assert len(made) == parts
    assert "".join(part.text for part in made) == text


@pytest.mark.parametrize(("text", "coding"), [("plain [€] ~ñ", "0"), ("здравствуйте", "2"), ("thanks 🙏", "2")])
async def test_a_text_goes_out_in_the_smallest_coding_that_can_say_it(channel, gate, text, coding):
    receipt = await channel.send(case.outgoing(Part(text=text)))
    assert (receipt.state, receipt.external_id) == (State.ACCEPTED, "")
    [seen] = gate.shown
    assert (seen.method, seen.path) == ("GET", "/cgi-bin/sendsms")
    asked = {name: seen.param(name) for name in ("username", "to", "from", "text", "charset", "coding", "dlr-mask")}
    assert asked == {
        "username": "talkwire",
        "to": "+6281234567890",
        "from": "13013",
        "text": text,
        "charset": "UTF-8",
        "coding": coding,
        "dlr-mask": "31",
    }
    assert seen.param("dlr-url") == f"{gate.url}/in/sms?id={KEY}&code=%d&ts=%T&reason=%A&token={TOKEN}"


async def test_kannel_chooses_the_sender_where_none_is_set(gate):
    async with lend(SmsGate, {**case.pointed_at(gate.url), "sender": ""}) as lent:
        await lent.channel.send(case.outgoing())
    assert "from" not in dict(gate.shown[0].query)


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (400, "Sender missing and no global set, rejected", Refused),
        (400, "Number(s) has/have been denied by white- and/or black-lists.", Refused),
        (403, "Authorization failed for sendsms", AccountBroken),
        (403, "Not routable. Do not try again.", Refused),
        (404, "Unknown request.", AccountBroken),
        (500, "Sending failed.", Uncertain),
        (503, "Temporal failure, try again later.", TryLater),
        (200, "<html>Sign in to the hotel's network</html>", Uncertain),
    ],
)
async def test_what_kannel_answers_says_what_we_must_do(channel, gate, status, words, error):
    gate.will(says(Reply.text(words, status=status)))
    with pytest.raises(error) as caught:
        await channel.send(case.outgoing())
    assert type(caught.value) is error
    assert status < 400 or caught.value.code == words


async def test_queued_for_later_is_a_yes_too(channel, gate):
    gate.will(says(Reply.text("3: Queued for later delivery", status=202)))
    assert (await channel.send(case.outgoing())).state is State.ACCEPTED


async def test_a_connection_that_breaks_leaves_it_uncertain_and_is_not_tried_again(channel, gate):
    gate.will(reset_after_body())
    with pytest.raises(Uncertain):
        await channel.send(case.outgoing())
    assert len(gate.shown) == 1


async def test_nothing_was_sent_where_nobody_listens():
    async with lend(SmsGate, case.pointed_at("http://127.0.0.1:1")) as lent:
        with pytest.raises(NotSent):
            await lent.channel.send(case.outgoing())


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (400, "Missing receiver number, rejected", None),
        (403, "Authorization failed for sendsms", AccountBroken),
        (404, "Unknown request.", AccountBroken),
        (405, "Method not allowed", Refused),
    ],
)
async def test_the_probe_tells_a_right_password_from_a_wrong_one_and_sends_nothing(channel, gate, status, words, error):
    gate.will(says(Reply.text(words, status=status)))
    if error is None:
        assert await channel.probe() == "Kannel knows talkwire"
    else:
        with pytest.raises(error):
            await channel.probe()
    assert {"to", "text"}.isdisjoint(dict(gate.requests[0].query))


def test_the_plugin_gives_this_channel():
    assert register_channels() == [SmsGate]
