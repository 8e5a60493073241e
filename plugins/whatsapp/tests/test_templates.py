"""Templates: which there are, how they are filled in, and how that is learnt and kept."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from talkwire import AccountNotice, Template, Text, Unsupported
from talkwire.testing import NOON, Answers, Reply, hang_after_acceptance
from talkwire_whatsapp.templates import in_pieces, known, read_kept

from .shop import CONTEXT, LISTED, accepted, number
from .test_rendering import messages, rendered, templates

READY = Template(name="order_ready", language="en_US", values=("7", "Ann", "the lamp", "the shop", "o-7"))


def sent(block, **more):
    (message,) = messages(block, **more)
    return message["template"]


def test_values_go_to_header_body_and_buttons_in_this_order():
    assert sent(READY) == {
        "name": "order_ready",
        "language": {"policy": "deterministic", "code": "en_US"},
        "components": [
            {"type": "header", "parameters": [{"type": "text", "text": "7"}]},
            {
                "type": "body",
                "parameters": [
                    {"type": "text", "text": "Ann"},
                    {"type": "text", "text": "the lamp"},
                    {"type": "text", "text": "the shop"},
                ],
            },
            {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "o-7"}]},
        ],
    }


def test_a_preview_shows_the_text_that_meta_makes_of_it_with_its_buttons():
    (part,) = rendered(READY).parts
    assert part.text == "Order 7\n\nHi Ann, *the lamp* is ready at the shop.\n\nKopi Kita"
    assert [(one.title, one.url) for one in part.options] == [("Thanks", ""), ("Track", "https://shop.example/o/o-7")]


def test_our_own_pages_show_the_text_too_unless_whoever_sent_it_gave_one():
    said = rendered(READY).draft
    assert said.blocks[0].text.startswith("Order 7\n\nHi Ann")
    assert rendered(replace(READY, text="Ready!")).draft is None
    assert rendered(Text("Hi")).draft is None


def test_names_instead_of_numbers_a_file_and_a_code():
    listed = {**LISTED[3], "status": "APPROVED"}
    block = Template(name="spring", language="en", values=("https://shop.example/a.png", "Ann", "May", "SPRING5"))
    found = templates(listed).find(block)
    assert found.components(block.values) == [
        {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://shop.example/a.png"}}]},
        {
            "type": "body",
            "parameters": [
                {"type": "text", "parameter_name": "name", "text": "Ann"},
                {"type": "text", "parameter_name": "start", "text": "May"},
            ],
        },
        {
            "type": "button",
            "sub_type": "copy_code",
            "index": "0",
            "parameters": [{"type": "coupon_code", "coupon_code": "SPRING5"}],
        },
    ]
    assert found.text(block.values) == "Dear Ann, from May on, Ann!"


def test_without_values_nothing_is_filled_in():
    assert sent(Template(name="hello_world", language="id")) == {
        "name": "hello_world",
        "language": {"policy": "deterministic", "code": "id"},
    }


@pytest.mark.parametrize(("reader", "language"), [("id", "id"), ("en", "en_US"), ("fr", "en_US"), ("id-ID", "id")])
def test_without_a_language_it_is_the_readers_else_one_that_is_approved(reader, language):
    block = Template(name="hello_world", language="")
    assert sent(block, context=replace(CONTEXT, language=reader))["language"]["code"] == language


REFUSED = [
    (replace(READY, name="order"), r'no template "order"; there are: hello_world, order_ready, spring'),
    (replace(READY, language="fr"), 'not there in "fr"; there are: en_US'),
    (
        replace(READY, values=("7",)),
        r"takes 5 values \(header \{\{1\}\}, body \{\{1\}\}, .*button 2 .*\), and 1 is given",
    ),
    (Template(name="hello_world", language="id", values=("a", "b")), "takes no values, and 2 are given"),
    (Template(name="spring", language="en"), "is PAUSED at Meta"),
    (replace(READY, values=("7", "Ann", "two\nlines", "x", "y")), r"one line of text for body \{\{2\}\}"),
    (replace(READY, values=("7", "Ann", " ", "x", "y")), r"one line of text for body \{\{2\}\}"),
    (replace(READY, values=("7", "Ann", "a" + " " * 5 + "b", "x", "y")), r"four spaces"),
    (replace(READY, values=("7", "Ann", "x" * 1020, "x", "y")), "longer than 1024"),
]


@pytest.mark.parametrize(("block", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_not_fit_is_refused_before_it_is_stored(block, why):
    with pytest.raises(Unsupported, match=why):
        rendered(block)


def test_a_file_in_the_header_needs_its_address():
    listed = {**LISTED[3], "status": "APPROVED"}
    with pytest.raises(Unsupported, match="https address of a file"):
        templates(listed).find(Template(name="spring", language="en", values=("a.png", "A", "B", "C")))


@pytest.mark.parametrize(
    ("component", "why"),
    [
        ({"type": "HEADER", "format": "LOCATION"}, "a header of the kind location"),
        ({"type": "CAROUSEL"}, "a carousel"),
        ({"type": "BUTTONS", "buttons": [{"type": "MPM", "text": "View"}]}, "a list of products"),
    ],
)
def test_what_values_cannot_fill_in_is_refused(component, why):
    listed = {
        "name": "odd",
        "language": "en",
        "status": "APPROVED",
        "components": [{"type": "BODY", "text": "x"}, component],
    }
    with pytest.raises(Unsupported, match=why):
        templates(listed).find(Template(name="odd", language="en"))


def test_they_are_kept_in_pieces_that_fit():
    many = [replace(known(LISTED[0]), name=f"t{n}", body="ü" * 1000) for n in range(300)]
    pieces = in_pieces(many)
    assert len(pieces) > 1
    assert max(map(len, (piece.encode() for piece in pieces))) <= 64 * 1024
    assert read_kept("".join(pieces)) == many


# --- how it is learnt ----------------------------------------------------------------------------------


def paged(seen):
    if not seen.path.endswith("/message_templates"):
        return None
    first = not seen.param("after")
    next_ = {"next": f"https://graph.facebook.com/x?access_token={seen.headers['authorization']}"} if first else {}
    half = LISTED[:2] if first else LISTED[2:]
    return Reply.json({"data": [*half, {"name": 7}], "paging": {"cursors": {"before": "a", "after": "MjQZD"}, **next_}})


async def test_all_pages_are_read_and_what_cannot_be_read_loses_no_other():
    async with number(Answers(accept=accepted, harmless=paged)) as (meta, lent):
        await lent.channel.open()
        assert [(one.name, one.language) for one in lent.channel.templates] == [
            (one["name"], one["language"]) for one in LISTED
        ]
        assert [seen.param("after") for seen in meta.requests] == ["", "MjQZD"]
        assert {seen.path for seen in meta.requests} == {"/v23.0/102290129340398/message_templates"}
        await lent.channel.close()
        assert sum("cannot be read" in line for line in lent.services.logs.lines) == 2


async def test_what_was_kept_is_known_while_meta_does_not_answer():
    async with number() as (_, lent):
        await lent.channel.open()
        await lent.channel.close()
        values = dict(lent.services.values)
    async with number(api_url="http://127.0.0.1:1/v23.0") as (_, lent):
        with pytest.raises(Unsupported, match="not said yet"):
            lent.channel.templates.find(READY)
        lent.services.values.update(values)
        await lent.channel.open()
        assert lent.channel.templates.find(READY).category == "UTILITY"
        await lent.channel.close()


async def test_a_list_that_does_not_come_stops_no_account():
    def no_list(seen):
        return None if seen.path.endswith("/message_templates") else Reply()

    async with number(Answers(accept=accepted, harmless=no_list)) as (meta, lent):
        meta.always(hang_after_acceptance())
        opening = asyncio.ensure_future(lent.channel.open())
        await meta.arrived()
        lent.http.end_time()
        await opening
        assert any("templates not listed" in line for line in lent.services.logs.lines)
        await lent.channel.close()


async def test_without_a_business_account_nothing_is_asked():
    async with number(business_account_id="") as (meta, lent):
        await lent.channel.open()
        assert meta.requests == []
        with pytest.raises(Unsupported, match="business_account_id"):
            lent.channel.templates.find(READY)
        await lent.channel.close()


async def asked(meta, times):
    async with asyncio.timeout(20):
        while len(meta.requests) < times:
            await asyncio.sleep(0.001)


async def turned(clock, **by):
    """Turn the clock, as soon as somebody waits for it."""
    async with asyncio.timeout(20):
        while clock.next_due() is None:
            await asyncio.sleep(0.001)
    clock.advance(timedelta(**by))


async def test_meta_is_asked_again_after_an_hour_and_when_it_tells_of_a_change():
    async with number() as (meta, lent):
        await lent.channel.open()
        assert len(meta.requests) == 1
        notice = AccountNotice(code="message_template_status_update.paused", text="", at=NOON)
        lent.channel.templates.heard(notice)
        await asked(meta, 2)
        await turned(lent.services.clock, seconds=10)
        with pytest.raises(Unsupported, match="no template"):
            lent.channel.templates.find(replace(READY, name="new"))  # perhaps it is new: Meta is asked
        await asked(meta, 3)
        await turned(lent.services.clock, seconds=10)
        await turned(lent.services.clock, hours=1)
        await asked(meta, 4)
        await lent.channel.close()
        await lent.channel.close()


async def test_kept_rubbish_stops_nothing():
    async with number() as (_, lent):
        lent.services.values["templates"] = json.dumps({"pieces": "x"})
        await lent.channel.open()
        assert len(list(lent.channel.templates)) == len(LISTED)
        await lent.channel.close()
