"""A page is who its session says, a client who its key says; both are told the same, and say what they show."""

from __future__ import annotations

import pytest

SURFACES = "SELECT id, state FROM surface ORDER BY id"


async def closed(surface):
    """Give the last frame before the end."""
    bye = await surface.gets("bye")
    assert await surface.closing() == 1008
    return bye


# --- who is there -------------------------------------------------------------------------------------------


async def test_a_client_is_who_its_key_says_and_a_page_who_its_session_says(office):
    client, page = await office.native(), await office.page("bob")
    assert client.ready == {"type": "ready", "recipient": "ann", "push_key": None}
    assert page.ready["recipient"] == "bob"


async def test_nobody_is_let_in_without_a_session_or_with_a_wrong_key(office):
    for key in ("", "tw_000000000000_" + "x" * 43):
        one = await office.connect()
        await one.hello(kind="native", surface="s", device="d", key=key, ready=False)
        assert (await closed(one))["code"] == "unauthenticated"


async def test_a_page_of_another_site_cannot_use_the_session(office):
    headers = await office.session("ann")
    for origin in ("https://evil.example", None):
        said = {**headers, "Origin": origin} if origin else {"Cookie": headers["Cookie"]}
        one = await office.connect(said)
        await one.hello(kind="page", surface="s", device="d", ready=False)
        assert (await closed(one))["code"] == "unauthenticated"


async def test_whoever_is_no_recipient_is_told_what_to_write_into_the_settings(office):
    one = await office.connect()
    await one.hello(kind="native", surface="s", device="d", key=await office.key("crm", "host"), ready=False)
    bye = await closed(one)
    assert bye["code"] == "forbidden"
    assert "[recipients.crm]" in bye["text"]


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("no json", "bad_frame"),
        ('{"type": "focus", "state": "focused"}', "bad_frame"),
        ('{"type": "hello", "protocol": 1, "surface": "a b", "kind": "page"}', "bad_frame"),
        ('{"type": "hello", "protocol": 2, "surface": "a", "kind": "page"}', "protocol"),
    ],
)
async def test_a_first_frame_that_is_no_hello_of_this_protocol_ends_the_socket(office, first, code):
    one = await office.connect()
    await one.ws.send_str(first)
    assert (await closed(one))["code"] == code


async def test_a_later_frame_that_is_wrong_ends_the_socket_and_an_unknown_one_does_not(office):
    one = await office.native()
    await one.say(type="dance")
    await one.echo()
    await one.say(type="focus", state="asleep")
    assert (await closed(one))["code"] == "bad_frame"


async def test_a_revoked_key_hears_no_more(office):
    one = await office.native()
    [(id_,)] = await office.hub.rows("SELECT id FROM api_key")
    from talkwire.api.principals import revoke_keys

    await office.hub.daemon.store.write(revoke_keys, id_)
    await office.hub.pass_time(seconds=4)
    await one.say(type="focus", state="focused")
    assert (await closed(one))["code"] == "unauthenticated"


# --- showing ------------------------------------------------------------------------------------------------


async def test_what_is_shown_is_handed_over_until_a_surface_says_that_it_can_be_seen(office):
    one = await office.native()
    id_ = await office.notify(text="for order 7")
    shown = await one.shows()
    assert shown == {
        "id": id_,
        "tag": f"talkwire-{id_}",
        "title": "Refund?",
        "text": "for order 7",
        "details": [],
        "actions": [{"id": "accept", "label": "Accept"}, {"id": "decline", "label": "Decline"}],
        "opens": [],
        "style": "toast",
        "kind": "question",
        "conversation": "",
        "account": "",
    }
    assert await office.decision(id_) == ("handed", "")
    await one.say(type="shown", id=id_)
    await one.echo()
    assert await office.decision(id_) == ("shown", "")


async def test_nobody_is_told_of_what_is_for_somebody_else(office):
    ann, bob = await office.native("ann"), await office.native("bob")
    id_ = await office.notify("ann")
    await ann.shows()
    await bob.say(type="shown", id=id_)
    await bob.say(type="seen", id=id_)
    lost = await bob.answers(id_, "accept")
    assert (lost["code"], lost["by"]) == ("not_found", "")
    assert await office.decision(id_) == ("handed", "")
    assert await office.hub.rows("SELECT seen_at FROM notification") == [(None,)]


async def test_the_first_answer_wins_and_the_others_are_told_by_whom(office):
    client, page = await office.native(), await office.page()
    id_ = await office.notify(style="alert")
    assert (await client.shows())["id"] == (await page.shows())["id"] == id_
    assert await client.answers(id_, "accept") == {"type": "won", "id": id_, "action": "accept"}
    lost = await page.answers(id_, "decline")
    assert (lost["code"], lost["by"]) == ("already_answered", "native:laptop")
    await office.hub.run_until_idle()
    [(answer,)] = await office.hub.rows("SELECT answer FROM notification")
    assert answer == "accept"


async def test_what_was_answered_elsewhere_is_withdrawn_on_every_surface(office):
    client, page = await office.native(), await office.page()
    id_ = await office.notify()
    await client.shows()
    await page.shows()
    await office.hub.daemon.hub.answer(id_, "accept", "email")
    await office.hub.run_until_idle()
    gone = {"type": "withdraw", "id": id_, "why": "answered", "by": "email"}
    assert await client.gets("withdraw") == gone
    assert await page.gets("withdraw") == gone


async def test_a_key_that_may_only_read_answers_nothing(office):
    one = await office.native(key=await office.key("ann", "read"))
    id_ = await office.notify()
    await one.shows()
    assert (await one.answers(id_, "accept"))["code"] == "forbidden"
    assert await office.hub.rows("SELECT answered_by FROM notification") == [("",)]


async def test_a_click_on_the_body_is_seen_and_answers_nothing(office):
    one = await office.native()
    id_ = await office.notify()
    await one.shows()
    await one.say(type="seen", id=id_)
    await one.echo()
    [(seen, answered)] = await office.hub.rows("SELECT seen_at IS NOT NULL, answered_by FROM notification")
    assert (seen, answered) == (1, "")
    assert await office.decision(id_) == ("shown", "")


# --- coming and going -----------------------------------------------------------------------------------------


async def test_whoever_comes_back_is_told_what_nobody_has_seen_and_nothing_twice(office):
    one = await office.native()
    seen, unseen = await office.notify(title="seen"), await office.notify(title="unseen")
    assert [(await one.shows())["id"] for _ in range(2)] == [seen, unseen]
    await one.say(type="shown", id=seen)
    await one.echo()
    await one.leaves()
    again = await office.native(showing=[seen])
    assert (await again.shows())["id"] == unseen
    await again.echo()  # nothing else came before


async def test_whoever_comes_back_learns_what_it_shows_in_vain(office):
    one = await office.native()
    id_ = await office.notify()
    await one.shows()
    await one.leaves()
    await office.hub.daemon.hub.answer(id_, "accept", "email")
    await office.hub.run_until_idle()
    again = await office.native(showing=[id_])
    assert await again.gets("withdraw") == {"type": "withdraw", "id": id_, "why": "answered", "by": "email"}


async def test_a_surface_that_comes_again_takes_the_place_of_its_older_connection(office):
    first = await office.native()
    second = await office.native()
    assert await first.closing() == 4001
    await office.until("SELECT count(*) FROM desktop_surface WHERE socket <> ''", [(1,)])
    id_ = await office.notify()
    assert (await second.shows())["id"] == id_


async def test_how_somebody_looks_at_a_surface_is_known_until_it_goes(office):
    one, page = await office.native(), await office.page()
    await one.say(type="focus", state="idle")
    await page.say(type="focus", state="focused")
    await one.echo()
    await page.echo()
    assert await office.hub.rows(SURFACES) == [("ann/laptop-1", "idle"), ("ann/tab-1", "focused")]
    await page.say(type="focus", state="hidden")
    await page.echo()
    assert await office.hub.rows(SURFACES) == [("ann/laptop-1", "idle"), ("ann/tab-1", "idle")]
    await page.ws.close()
    await office.until(SURFACES, [("ann/laptop-1", "idle")])


async def test_a_surface_that_becomes_able_is_told_what_is_out(office):
    client = await office.native()
    page = await office.page(able=False, why_not="permission")
    id_ = await office.notify()
    await client.shows()
    await page.echo()  # nothing came
    await page.say(type="able", able=True)
    assert (await page.shows())["id"] == id_
