"""Templates: which there are, how they are filled in, and how that is learnt and kept."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from talkwire import AccountNotice, Refused, Template, Text, Unsupported
from talkwire.testing import NOON, Answers, Reply, hang_after_acceptance, says
from talkwire_whatsapp.templates import in_pieces, known, read_kept

from .shop import CONTEXT, LISTED, TOKEN, accepted, failed, number, outgoing
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


def test_a_button_that_opens_a_form_is_named_though_it_takes_no_value():
    """Meta refuses the message otherwise."""
    flow = {"type": "FLOW", "text": "Sign up", "flow_id": 7, "flow_action": "NAVIGATE", "navigate_screen": "START"}
    listed = {
        "name": "survey",
        "language": "en",
        "status": "APPROVED",
        "components": [
            {"type": "BODY", "text": "Hi {{1}}"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "No"}, flow]},
        ],
    }
    found = templates(listed).find(Template(name="survey", language="en", values=("Ann",)))
    assert [slot.where for slot in found.slots] == ["body {{1}}"]
    assert found.components(("Ann",)) == [
        {"type": "body", "parameters": [{"type": "text", "text": "Ann"}]},
        {
            "type": "button",
            "sub_type": "flow",
            "index": "1",
            "parameters": [{"type": "action", "action": {"flow_token": "unused"}}],
        },
    ]


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
    (replace(READY, values=("7" * 55, "Ann", "x", "x", "y")), "a header of more than 60 characters"),
]


@pytest.mark.parametrize(("block", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_not_fit_is_refused_before_it_is_stored(block, why):
    with pytest.raises(Unsupported, match=why):
        rendered(block)


def test_a_file_in_the_header_needs_its_address():
    listed = {**LISTED[3], "status": "APPROVED"}
    with pytest.raises(Unsupported, match="https address of a file"):
        templates(listed).find(Template(name="spring", language="en", values=("a.png", "A", "B", "C")))


def test_what_just_fits_goes():
    assert sent(replace(READY, values=("7" * 54, "Ann", "x", "x", "y")))["name"] == "order_ready"


@pytest.mark.parametrize(
    ("category", "button"),
    [
        ("MARKETING", {"type": "COPY_CODE", "text": "Copy"}),
        ("AUTHENTICATION", {"type": "URL", "url": "https://a.b/{{1}}"}),
    ],
    ids=["a code to copy", "a code to log in"],
)
def test_a_code_has_15_characters_at_most(category, button):
    components = [{"type": "BODY", "text": "Here it is."}, {"type": "BUTTONS", "buttons": [button]}]
    listed = {"name": "code", "language": "en", "status": "APPROVED", "category": category, "components": components}
    found = templates(listed)
    assert found.find(Template(name="code", language="en", values=("x" * 15,))).name == "code"
    with pytest.raises(Unsupported, match="at most 15 characters for button 1"):
        found.find(Template(name="code", language="en", values=("x" * 16,)))


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


async def test_meta_is_asked_again_when_it_refuses_a_template_that_we_believed_in():
    """Its webhook went to another account of the business, or to another daemon."""
    async with number() as (meta, lent):
        await lent.channel.open()
        meta.will(says(failed(132015)))
        with pytest.raises(Refused):
            await lent.channel.send(outgoing({"type": "template", "template": {"name": "order_ready"}}))
        await asked(meta, 3)
        assert meta.requests[-1].path.endswith("/message_templates")
        await lent.channel.close()


async def test_a_business_account_that_is_not_ours_is_named_with_its_setting():
    def nobodys(seen):
        return failed(100, "no such object", subcode=33) if seen.path.endswith("/message_templates") else None

    async with number(Answers(accept=accepted, harmless=nobodys)) as (_, lent):
        with pytest.raises(Refused, match=r"business_account_id 102290129340398 .*whatsapp_business_management") as no:
            await lent.channel.templates.fetched()
        assert (no.value.code, TOKEN in str(no.value), "phone_number_id" in str(no.value)) == ("100", False, False)
        await lent.channel.open()
        await lent.channel.close()
        with pytest.raises(Unsupported, match=r"not said yet which templates there are \(Meta does not show us"):
            lent.channel.templates.find(READY)
        assert any("business_account_id 102290129340398" in line for line in lent.services.logs.lines)


@pytest.mark.parametrize(
    ("head", "piece"),
    [({"pieces": "x"}, ""), ([], ""), ({}, ""), ({"pieces": 1}, '["a"]'), ({"pieces": 1}, '[{"name": "a", "new": 1}]')],
    ids=range(5),
)
async def test_kept_rubbish_stops_nothing(head, piece):
    async with number() as (_, lent):
        lent.services.values |= {"templates": json.dumps(head), "templates:0": piece}
        await lent.channel.open()
        assert len(list(lent.channel.templates)) == len(LISTED)
        await lent.channel.close()
