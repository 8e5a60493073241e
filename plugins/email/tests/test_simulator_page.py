"""The page of the simulator, in a real browser: the customer reads, answers and writes."""

import asyncio

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from talkwire_email.simulator import OURS, Office
from talkwire_email.simulator.sink import Arrived
from tests.parts import axe

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

RAW = (
    "From: Kopi Kita <support@shop.example>\r\nTo: {to}\r\nSubject: Your parcel\r\nMessage-ID: <k1@shop.example>\r\n"
    "Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\nIt arrives today.\r\n\r\n> Where is it?\r\n"
)
BUDI = "budi@correspondent.example"


def arrives(office, to=BUDI, raw=RAW):
    office._arrived(Arrived(sender=OURS, recipient=to, raw=raw.format(to=to).encode()))


@pytest_asyncio.fixture(loop_scope="module")
async def office():
    one = Office(password="sim-password-0123456789", pause=0)
    server = TestServer(one.app())
    await server.start_server()
    one.url = str(server.make_url("/"))
    yield one
    await one._hang_up(None)
    await server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def program(page, office):
    """The customer's mail program, with one mail of ours."""
    arrives(office)
    await page.goto(office.url)
    await page.get_by_text(BUDI).first.wait_for()
    return page


async def test_the_customer_reads_a_mail_with_its_headers_and_answers_it(program, office):
    await program.get_by_role("button", name="Your parcel").click()
    assert await program.locator("#body").text_content() == "It arrives today.\n\n> Where is it?"
    assert await program.locator("#body .quoted").text_content() == "\n> Where is it?"
    assert "text/plain; charset=utf-8; format=flowed" in await program.locator("#about").inner_text()
    assert not await program.locator("#headers").is_visible()
    await program.get_by_text("Headers, as they came").click()
    assert "Message-ID: <k1@shop.example>" in await program.locator("#headers").inner_text()
    await program.get_by_role("button", name="Answer").click()
    await program.get_by_role("textbox", name="Text").fill("Thank you")
    await program.get_by_role("button", name="Send", exact=True).click()
    await program.get_by_role("heading", name="Re: Your parcel").wait_for()
    [kept] = office.boxes.folder("INBOX").mails.values()
    assert b"In-Reply-To: <k1@shop.example>" in kept.raw


async def test_the_customer_writes_first_and_nothing_typed_is_lost(program, office):
    await program.get_by_role("button", name="Write").click()
    await program.get_by_label("Subject").fill("A question")
    await program.get_by_role("textbox", name="Text").fill("Halo?")
    await program.get_by_label("Its address").evaluate("node => { node.value = 'nobody' }")
    await program.get_by_role("button", name="Send", exact=True).click()
    await program.get_by_role("alert").wait_for()
    assert await program.get_by_role("textbox", name="Text").input_value() == "Halo?"
    await program.get_by_label("Its address").evaluate(f"node => {{ node.value = '{BUDI}' }}")
    await program.get_by_role("button", name="Send", exact=True).click()
    await program.get_by_role("heading", name="A question").wait_for()
    assert [mail["subject"] for mail in office.mails] == ["Your parcel", "A question"]


async def test_a_mail_that_comes_is_new_until_it_was_read(program, office):
    arrives(office, raw=RAW.replace("Your parcel", "Once more"))
    entry = program.locator(".entry", has_text="Once more")
    await entry.wait_for()
    assert "fresh" in await entry.get_attribute("class")
    await entry.click()
    assert "fresh" not in await entry.get_attribute("class")


async def test_another_address_is_another_customer(program, office):
    arrives(office, to="mia.keller@correspondent.example", raw=RAW.replace("Your parcel", "For Mia"))
    await program.get_by_label("Its address").fill("mia.keller@correspondent.example")
    await program.get_by_role("heading", name="Mia Keller").wait_for()
    await program.locator(".entry .about", has_text="For Mia").wait_for()
    assert await program.locator(".entry .about").all_inner_texts() == ["For Mia"]


async def test_what_goes_wrong_is_chosen_on_the_page(program, office):
    await program.get_by_label("sends no Message-ID").check()
    async with asyncio.timeout(20):
        while office.faults != {"bare"}:
            await asyncio.sleep(0.01)
    await program.get_by_role("button", name="All is well").click()
    async with asyncio.timeout(20):
        while office.faults:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("width", [1280, 360])
async def test_nothing_stands_in_peoples_way(chromium, office, width):
    context = await chromium.new_context(bypass_csp=True, viewport={"width": width, "height": 740}, locale="en-GB")
    page = await context.new_page()
    arrives(office)
    await page.goto(office.url)
    await page.locator(".entry").first.wait_for()
    found = await axe.findings(page)
    await page.locator(".entry").first.click()
    found += await axe.findings(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="Answer").click()
    found += await axe.findings(page)
    await context.close()
    assert found == []


async def test_what_was_sent_is_opened_even_where_the_stream_is_slower_than_the_answer(program, office):
    tells, told = office.tell, []
    office.tell = told.append
    await program.get_by_role("button", name="Write").click()
    await program.get_by_role("textbox", name="Text").fill("Slowly?")
    async with program.expect_response("**/sim/mails"):
        await program.get_by_role("button", name="Send", exact=True).click()
    office.tell = tells
    for event in told:
        tells(event)
    await program.get_by_role("heading", name="Slowly?").wait_for()
