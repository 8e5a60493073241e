"""What goes to Meta, and how often."""

import pytest

from talkwire import (
    Address,
    AddressChanged,
    Alias,
    Reaction,
    ReadUpTo,
    Receipt,
    Refused,
    State,
    TryLater,
    TypingSignal,
    Uncertain,
    WindowShut,
)
from talkwire.testing import NOON, Answers, Reply, accept, reset_after_body, says
from talkwire_whatsapp.settings import WhatsAppSettings

from .shop import ANN, BSUID, KEY, META, TOKEN, accepted, failed, harmless, number, outgoing, settings

HELLO = {"type": "text", "text": {"body": "Hi", "preview_url": False}}
PICTURE = {"type": "image", "image": {"caption": "A lamp"}}


async def test_a_message_is_one_request_with_our_key_in_it():
    async with number() as (meta, lent):
        receipt = await lent.channel.send(outgoing(HELLO))
        (seen,) = meta.requests
    assert receipt == Receipt(state=State.ACCEPTED, external_id="p1")
    assert str(seen) == "POST /v23.0/106540352242922/messages"
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.json() == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "628111222333",
        **HELLO,
        "biz_opaque_callback_data": KEY,
    }


TO = [
    (ANN, {}, {"recipient_type": "individual", "to": "628111222333"}),
    (BSUID, {}, {"recipient_type": "individual", "recipient": BSUID.value}),
    (ANN, {"thread": "Y2FwaV9ncm91cDox"}, {"recipient_type": "group", "to": "Y2FwaV9ncm91cDox"}),
    (
        ANN,
        {"reply_to": "wamid.Q"},
        {"recipient_type": "individual", "to": "628111222333", "context": {"message_id": "wamid.Q"}},
    ),
]


@pytest.mark.parametrize(("address", "more", "wanted"), TO, ids=range(len(TO)))
async def test_each_kind_of_address_is_named_as_meta_wants_it(address, more, wanted):
    async with number() as (meta, lent):
        await lent.channel.send(outgoing(HELLO, address=address, **more))
        (seen,) = meta.shown
    body = seen.json()
    for name in ("messaging_product", "type", "text", "biz_opaque_callback_data"):
        body.pop(name)
    assert body == wanted


async def test_what_has_no_payload_is_a_text():
    async with number() as (meta, lent):
        await lent.channel.send(outgoing(text="*Hi*"))
        assert meta.shown[0].json()["text"] == {"body": "*Hi*", "preview_url": False}


@pytest.mark.parametrize("status", ["accepted", "held_for_quality_assessment", "paused"])
async def test_what_meta_holds_back_is_accepted_all_the_same(status):
    yes = Reply.json({"messages": [{"id": "wamid.1", "message_status": status}]})
    async with number() as (meta, lent):
        meta.will(says(yes))
        receipt = await lent.channel.send(outgoing(HELLO))
    assert receipt == Receipt(state=State.ACCEPTED, external_id="wamid.1")


@pytest.mark.parametrize("step", [reset_after_body(), says(failed(77777, status=500))], ids=["reset", "500"])
async def test_what_may_have_arrived_is_uncertain_and_not_sent_again(step):
    async with number() as (meta, lent):
        meta.always(step)
        with pytest.raises(Uncertain):
            await lent.channel.send(outgoing(HELLO))
        assert len(meta.shown) == 1


# --- files -----------------------------------------------------------------------------------------------


def forms(meta):
    return [seen for seen in meta.requests if seen.path.endswith("/media")]


async def test_a_file_is_given_first_and_named_by_its_id():
    async with number() as (meta, lent):
        lent.services.store(b"\x89PNG lamp", name="lamp.png", media_type="image/png", attachment="photo")
        await lent.channel.send(outgoing(PICTURE, attachment="photo"))
        (form,) = forms(meta)
        assert meta.shown[0].json()["image"] == {"caption": "A lamp", "id": "4490709327384033"}
    assert str(form) == "POST /v23.0/106540352242922/media"
    assert form.headers["authorization"] == f"Bearer {TOKEN}"
    assert form.headers["content-length"] == str(len(form.body))
    assert "transfer-encoding" not in form.headers
    for piece in (
        b'name="messaging_product"',
        b"whatsapp",
        b'name="type"',
        b"image/png",
        b'filename="lamp.png"',
        b"PNG lamp",
    ):
        assert piece in form.body


@pytest.mark.parametrize("media_type", ["text/csv", "text/plain", "text/html"])
async def test_a_text_of_any_kind_is_given_as_the_plain_one_that_meta_takes(media_type):
    async with number() as (meta, lent):
        lent.services.store(b"name;price", name="prices.csv", media_type=media_type, attachment="table")
        await lent.channel.send(
            outgoing({"type": "document", "document": {"filename": "prices.csv"}}, attachment="table")
        )
        [form] = forms(meta)
    assert b'name="type"\r\n\r\ntext/plain\r\n' in form.body
    file = (
        b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="file"; filename="prices.csv"\r\n\r\nname;'
    )
    assert file in form.body


async def test_a_file_in_a_header_is_named_there():
    message = {
        "type": "interactive",
        "interactive": {
            "type": "button",
            "header": {"type": "document", "document": {"filename": "bill.pdf"}},
            "body": {"text": "Well?"},
            "action": {"buttons": []},
        },
    }
    async with number() as (meta, lent):
        lent.services.store(b"%PDF", name="bill.pdf", media_type="application/pdf", attachment="pdf")
        await lent.channel.send(outgoing(message, attachment="pdf"))
        header = meta.shown[0].json()["interactive"]["header"]
    assert header == {"type": "document", "document": {"filename": "bill.pdf", "id": "4490709327384033"}}


async def test_a_file_is_given_once_a_month_and_again_where_meta_cannot_use_it():
    from datetime import timedelta

    async with number() as (meta, lent):
        lent.services.store(b"x", name="a.png", media_type="image/png", attachment="photo")
        for _ in range(2):
            await lent.channel.send(outgoing(PICTURE, attachment="photo"))
        assert len(forms(meta)) == 1
        lent.services.clock.advance(timedelta(days=29, seconds=1))
        await lent.channel.send(outgoing(PICTURE, attachment="photo"))
        assert len(forms(meta)) == 2
        meta.will(says(failed(131053)))
        with pytest.raises(TryLater):
            await lent.channel.send(outgoing(PICTURE, attachment="photo"))
        await lent.channel.send(outgoing(PICTURE, attachment="photo"))
        assert len(forms(meta)) == 3


NO_FILE = [
    (Reply(status=500), TryLater),
    (Reply.json({}), TryLater),
    (Reply(body=b"<html>"), TryLater),
    (failed(100, "Param file must be a file with one of the following types"), Refused),
    (failed(130429, status=429), TryLater),
]


@pytest.mark.parametrize(("answer", "error"), NO_FILE, ids=range(len(NO_FILE)))
async def test_a_file_that_was_not_given_is_never_uncertain(answer, error):
    """Nobody has seen anything yet."""

    def not_given(seen):
        return answer if seen.path.endswith("/media") else harmless(seen)

    async with number(Answers(accept=lambda *_: Reply(), harmless=not_given)) as (meta, lent):
        lent.services.store(b"x", name="a.png", media_type="image/png", attachment="photo")
        with pytest.raises(error):
            await lent.channel.send(outgoing(PICTURE, attachment="photo"))
        assert meta.shown == []


async def test_a_file_that_is_not_there_any_more_is_refused_and_meta_is_not_asked():
    async with number() as (meta, lent):
        with pytest.raises(Refused, match="not in our store any more") as caught:
            await lent.channel.send(outgoing(PICTURE, attachment="gone"))
        assert (caught.value.code, meta.requests) == ("file_gone", [])


@pytest.mark.parametrize(("attempt", "error"), [(1, TryLater), (3, TryLater), (4, Refused)])
async def test_a_file_that_meta_cannot_use_is_given_a_few_times_only(attempt, error):
    def unusable(seen):
        return failed(131053) if seen.path.endswith("/media") else harmless(seen)

    async with number(Answers(accept=accepted, harmless=unusable)) as (meta, lent):
        lent.services.store(b"x", name="a.png", media_type="image/png", attachment="photo")
        with pytest.raises(error) as caught:
            await lent.channel.send(outgoing(PICTURE, attachment="photo", attempt=attempt))
        assert (type(caught.value), caught.value.code, meta.shown) == (error, "131053", [])


# --- read, typing, reactions -----------------------------------------------------------------------------


def reads(meta):
    return [seen.json() for seen in meta.requests if seen.json().get("status") == "read"]


async def test_a_reply_marks_the_customers_message_as_read_once_where_it_is_wanted():
    async with number(mark_read=True) as (meta, lent):
        for last in ("wamid.1", "wamid.1", "wamid.2"):
            await lent.channel.send(outgoing(HELLO, last_inbound=last))
        assert [body["message_id"] for body in reads(meta)] == ["wamid.1", "wamid.2"]
        assert len(meta.shown) == 3
    async with number() as (meta, lent):
        await lent.channel.send(outgoing(HELLO, last_inbound="wamid.1"))
        assert reads(meta) == []


async def test_a_tick_that_fails_stops_no_reply():
    def no_tick(seen):
        return failed(131009) if seen.json().get("status") == "read" else None

    async with number(
        Answers(accept=lambda _, i: Reply.json({"messages": [{"id": i}]}), harmless=no_tick), mark_read=True
    ) as (
        meta,
        lent,
    ):
        receipt = await lent.channel.send(outgoing(HELLO, last_inbound="wamid.1"))
        assert (receipt.external_id, len(meta.shown)) == ("p1", 1)


async def test_a_tick_that_meta_refuses_is_not_asked_for_again():
    def no_tick(seen):
        return failed(131009) if seen.json().get("status") == "read" else None

    async with number(Answers(accept=accepted, harmless=no_tick), mark_read=True) as (meta, lent):
        for _ in range(3):
            await lent.channel.send(outgoing(HELLO, last_inbound="wacid.1"))
        assert (len(reads(meta)), len(meta.shown)) == (1, 3)


SIGNALS = [
    (ReadUpTo("wamid.1"), {}, [{"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}]),
    (
        TypingSignal(last_inbound="wamid.1"),
        {"mark_read": True},
        [
            {
                "messaging_product": "whatsapp",
                "status": "read",
                "message_id": "wamid.1",
                "typing_indicator": {"type": "text"},
            }
        ],
    ),
    (TypingSignal(last_inbound="wamid.1"), {}, []),
    (TypingSignal(), {"mark_read": True}, []),
    (TypingSignal(on=False, last_inbound="wamid.1"), {"mark_read": True}, []),
    (
        Reaction("wamid.1", "👍"),
        {},
        [
            {
                "messaging_product": "whatsapp",
                "recipient_type": "individual",
                "to": "628111222333",
                "type": "reaction",
                "reaction": {"message_id": "wamid.1", "emoji": "👍"},
            }
        ],
    ),
]


@pytest.mark.parametrize(("signal", "more", "wanted"), SIGNALS, ids=range(len(SIGNALS)))
async def test_each_hint_is_said_as_meta_has_it(signal, more, wanted):
    async with number(**more) as (meta, lent):
        await lent.channel.signal(ANN.value, signal)
        assert [seen.json() for seen in meta.requests] == wanted


async def test_a_reaction_to_somebody_without_a_number_names_their_user_id():
    async with number() as (meta, lent):
        await lent.channel.signal(BSUID.value, Reaction("wamid.1", ""))
        (seen,) = meta.shown
    assert (seen.json()["recipient"], seen.json()["reaction"]["emoji"]) == (BSUID.value, "")


# --- who they are ----------------------------------------------------------------------------------------

CONTACTS = [
    ({"input": "628111222333", "wa_id": "628111222333"}, None),
    (
        {"input": "628111222333", "wa_id": "5215512345678"},
        Address(kind="phone", value=ANN.value, aliases=(Alias("phone", "+5215512345678"),)),
    ),
    (
        {"input": "628111222333", "wa_id": "628111222333", "user_id": "ID.1"},
        Address(kind="phone", value=ANN.value, aliases=(Alias("bsuid", "ID.1"),)),
    ),
    ({"input": "x", "wa_id": 7}, None),
    (None, None),
]


@pytest.mark.parametrize(("contact", "new"), CONTACTS, ids=range(len(CONTACTS)))
async def test_the_names_that_meta_gives_to_whom_we_write_first_are_one_person(contact, new):
    yes = Reply.json({"contacts": [contact], "messages": [{"id": "wamid.1"}]})
    async with number() as (meta, lent):
        meta.always(says(yes))
        await lent.channel.send(outgoing(HELLO))
        found = [(one.old, one.new) for one in lent.services.admitted if isinstance(one, AddressChanged)]
        assert found == ([] if new is None else [(ANN, new)])
        await lent.channel.send(outgoing(HELLO, last_inbound="wamid.0"))  # who wrote is known already
        assert len(lent.services.admitted) == len(found)


async def test_a_closed_window_is_told_as_such():
    async with number() as (meta, lent):
        meta.will(says(failed(131047)), accept())
        with pytest.raises(WindowShut):
            await lent.channel.send(outgoing(HELLO))
        assert (await lent.channel.send(outgoing(HELLO))).external_id == "p1"


def test_the_rate_is_that_of_the_settings():
    from talkwire.testing.services import LentServices
    from talkwire_whatsapp.channel import WhatsApp

    channel = WhatsApp(WhatsAppSettings(**settings(rate=20)), LentServices(None))
    assert [(rate.count, rate.per.total_seconds(), rate.key, rate.burst) for rate in channel.rates] == [
        (18, 1, "account", 2),
        (1, 6, "address", 45),
    ]


async def test_a_slash_at_the_end_of_the_apis_address_changes_no_path():
    from talkwire.testing import FakeProvider
    from talkwire.testing.services import lend
    from talkwire_whatsapp.channel import WhatsApp

    async with (
        FakeProvider(META) as meta,
        lend(WhatsApp, settings(f"{meta.url}", api_url=f"{meta.url}/v23.0/")) as lent,
    ):
        lent.services.store(b"x", name="a.png", media_type="image/png", attachment="photo")
        await lent.channel.open()
        await lent.channel.send(outgoing(PICTURE, attachment="photo"))
        await lent.channel.close()
    assert [seen.path for seen in meta.requests] == [
        "/v23.0/102290129340398/message_templates",
        "/v23.0/106540352242922/media",
        "/v23.0/106540352242922/messages",
    ]


def test_only_metas_hosts_are_asked():
    from talkwire_whatsapp.channel import WhatsApp

    assert WhatsApp.hosts(WhatsAppSettings(**{**settings(), "api_url": "https://Graph.facebook.com/v23.0"})) == {
        "graph.facebook.com",
        "lookaside.fbsbx.com",
    }


@pytest.mark.parametrize("allowed", [1, 9, 20, 80, 1000])
def test_no_second_sees_more_than_meta_allows_and_a_rested_number_is_quick(allowed):
    from datetime import timedelta

    from talkwire.work.rates import Rates
    from talkwire_whatsapp.abilities import number_rate

    rates, now, sent = Rates([number_rate(allowed)]), NOON, []
    while now < NOON + timedelta(seconds=3):
        free = rates.take(now, "x")
        if free is None:
            sent.append(now)
        else:
            now = free
    assert all(later - at >= timedelta(seconds=1) for at, later in zip(sent, sent[allowed:], strict=False))
    assert len(sent) >= 3 * allowed * 0.89
    assert sent.count(NOON) == max(1, allowed // 10)
