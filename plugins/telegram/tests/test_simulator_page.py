"""The page of the simulator, in a real browser: the customer reads, writes, presses and reacts."""

import asyncio

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from talkwire_telegram.simulator import BUDI, FORUM, GROUP, Messenger, files
from tests.parts import axe

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

CHAT = BUDI["id"]
TEXT = "It is back since Tuesday\nprice(1) = 95\n🎉 see shop"
ENTITIES = [
    {"type": "bold", "offset": 6, "length": 4},
    {"type": "italic", "offset": 6, "length": 4},
    {"type": "pre", "offset": 25, "length": 13},
    {"type": "text_link", "offset": 46, "length": 4, "url": "https://shop.example/48"},
]
KEYBOARD = {
    "inline_keyboard": [
        [{"text": "Yes", "callback_data": "y"}, {"text": "No", "callback_data": "n"}],
        [{"text": "Shop", "url": "https://shop.example"}],
    ]
}


class Bot:
    """Writes as the bot, without a socket."""

    def __init__(self, messenger):
        self.messenger = messenger

    def __call__(self, method, **given):
        from talkwire_telegram.simulator.asked import Asked

        return self.messenger.bot.methods[method.lower()](Asked(method, {"chat_id": CHAT, **given}))


@pytest_asyncio.fixture(loop_scope="module")
async def messenger():
    one = Messenger(token="7100000001:sim-token-0123456789", limits=None)
    server = TestServer(one.app())
    await server.start_server()
    one.url = str(server.make_url("/"))
    yield one
    await server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def phone(page, messenger):
    await page.goto(messenger.url)
    await page.get_by_text("bot", exact=True).wait_for()
    return page


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_the_customer_sees_what_the_entities_say(phone, messenger):
    Bot(messenger)("sendMessage", text=TEXT, entities=ENTITIES)
    words = phone.locator(".words")
    assert await words.locator("b i").inner_text() == "back"
    assert await words.locator("pre").inner_text() == "price(1) = 95"
    link = words.get_by_role("link", name="shop")
    assert await link.get_attribute("href") == "https://shop.example/48"
    assert await words.text_content() == TEXT.replace("\n", "")  # the lines around a block are broken by the block


async def test_markup_that_somebody_writes_is_text(phone, messenger):
    messenger.customer.write("<b onclick=alert(1)>x</b> javascript:alert(1) https://shop.example/a.")
    said = phone.locator(".mine .words")
    assert await said.text_content() == "<b onclick=alert(1)>x</b> javascript:alert(1) https://shop.example/a."
    assert await said.get_by_role("link").get_attribute("href") == "https://shop.example/a"


async def test_the_customer_writes_by_the_keyboard_alone(phone, messenger):
    await phone.get_by_role("textbox", name="Message").press_sequentially("Halo?")
    await phone.keyboard.press("Enter")
    await phone.locator(".mine").wait_for()
    [line] = messenger.everything()["messages"]
    assert line["message"]["text"] == "Halo?"
    assert (await phone.locator(".note").inner_text()).endswith("waits")


async def test_a_pressed_button_turns_until_it_is_answered(phone, messenger):
    bot = Bot(messenger)
    bot("sendMessage", text="Shall we?", reply_markup=KEYBOARD)
    yes = phone.get_by_role("button", name="Yes")
    await yes.focus()
    await phone.keyboard.press("Enter")
    await phone.locator(".key[aria-busy=true]").wait_for()
    assert await yes.evaluate("node => node === document.activeElement")  # although it was drawn anew
    [query] = next(iter(messenger.world.said.values())).pressed
    bot("answerCallbackQuery", callback_query_id=query, text="Noted")
    await phone.locator(".toast", has_text="Noted").wait_for()
    assert await phone.locator(".key[aria-busy=true]").count() == 0
    assert await phone.get_by_role("link", name="Shop").get_attribute("href") == "https://shop.example"


async def test_the_customer_swaps_a_photo_and_moves(phone, messenger):
    [(photo, _)] = messenger.customer.send("photo")
    [(place, _)] = messenger.customer.send("live")
    first = photo.wire["photo"][-1]["file_id"]
    await phone.get_by_role("button", name="What can be done with: Photo").click()
    await phone.get_by_role("button", name="Swap photo").click()
    await phone.get_by_text("edited").wait_for()
    await phone.get_by_role("button", name="What can be done with: Live location").click()
    await phone.get_by_role("button", name="Move on").click()
    await phone.get_by_text("Live: -6.91696").wait_for()
    await phone.get_by_role("button", name="Stop sharing").click()
    await phone.get_by_role("button", name="What can be done with: Location").wait_for()
    assert photo.wire["photo"][-1]["file_id"] != first
    assert "live_period" not in place.wire["location"]


async def test_the_customer_answers_edits_and_reacts(phone, messenger):
    Bot(messenger)("sendMessage", text="Which one?")
    await phone.get_by_role("button", name="What can be done with: Which one?").click()
    await phone.get_by_role("button", name="Reply").click()
    await phone.get_by_role("textbox", name="Message").fill("The blue one")
    await phone.get_by_role("button", name="Send").click()
    await phone.locator(".mine .answered").wait_for()
    await phone.get_by_role("button", name="What can be done with: The blue one").click()
    await phone.get_by_role("button", name="Edit").click()
    assert await phone.get_by_role("textbox", name="Message").input_value() == "The blue one"
    await phone.get_by_role("textbox", name="Message").fill("The green one")
    await phone.keyboard.press("Enter")
    await phone.get_by_text("edited").wait_for()
    await phone.get_by_role("button", name="What can be done with: Which one?").click()
    await phone.get_by_role("button", name="React with ❤").click()
    await phone.locator(".reactions", has_text="❤").wait_for()
    first, second = messenger.everything()["messages"]
    assert second["message"]["reply_to_message"]["text"] == "Which one?"
    assert (second["message"]["text"], first["chosen"]) == ("The green one", ["❤"])


async def test_what_is_attached_is_shown_and_the_pictures_of_an_album_stand_together(phone, messenger):
    await phone.get_by_role("button", name="Attach").click()
    await phone.get_by_role("button", name="Album").click()
    await phone.locator(".album .bubble").nth(2).wait_for()
    assert await phone.locator(".album").count() == 1
    for name in ("Voice note", "Venue", "Contact", "Sticker", "Dice"):
        await phone.get_by_role("button", name="Attach").click()
        await phone.get_by_role("button", name=name).click()
    await until(lambda: len(messenger.world.said) == 8)
    await phone.get_by_role("button", name="Play the voice note").wait_for()
    await phone.get_by_text("Jalan Braga 12").wait_for()


async def test_a_file_of_ones_own_goes_to_the_bot(phone, messenger):
    chosen = {"name": "cup.png", "mimeType": "image/png", "buffer": files.picture(1, 60, 40)}
    await phone.locator("#file").set_input_files(chosen)
    picture = phone.get_by_role("img", name="Photo without words")
    await picture.wait_for()
    assert await picture.evaluate("node => node.decode().then(() => node.naturalWidth)") == 60


async def test_a_topic_is_a_chat_of_its_own_in_which_one_is_who_one_likes(phone, messenger):
    await phone.get_by_label("Its chat").select_option(f"{FORUM}/2")
    await phone.get_by_label("Who writes").select_option("Siti")
    await phone.get_by_role("textbox", name="Message").fill("Beans?")
    await phone.keyboard.press("Enter")
    await phone.locator(".sender", has_text="Siti").wait_for()
    await phone.get_by_label("Its chat").select_option(f"{FORUM}/3")
    await phone.locator(".bubble").first.wait_for(state="detached")
    assert await phone.locator(".bubble").count() == 0


async def test_who_writes_to_a_business_is_one_of_two_and_to_a_channel_whoever_has_the_topic(phone, messenger):
    chats, who = phone.get_by_label("Its chat"), phone.get_by_label("Who writes")
    await chats.select_option("Dewi, with the business")
    await phone.get_by_text("business", exact=True).wait_for()
    assert await phone.get_by_role("button", name="Block the bot").count() == 0
    for person, side in (("Dewi", ".mine"), ("Ratna", ".bubble:not(.mine)")):
        await who.select_option(person)
        await phone.get_by_role("textbox", name="Message").fill(f"I am {person}")
        await phone.keyboard.press("Enter")
        await phone.locator(side, has_text=f"I am {person}").wait_for()
    await chats.select_option("Kopi Kita news: Siti")
    assert not await who.is_visible()
    await phone.get_by_role("textbox", name="Message").fill("Mine is late")
    await phone.keyboard.press("Enter")
    await phone.locator(".mine", has_text="Mine is late").wait_for()
    senders = [one["message"]["from"]["first_name"] for one in messenger.everything()["messages"]]
    assert senders == ["Dewi", "Ratna", "Siti"]
    assert "Kopi Kita news" not in await chats.locator("option").all_inner_texts()


async def test_a_group_becomes_another_and_the_phone_goes_along(phone, messenger):
    await phone.get_by_label("Its chat").select_option(f"{GROUP}/0")
    await phone.get_by_role("button", name="Become a supergroup").click()
    await phone.get_by_text("This supergroup was a group before").wait_for()
    assert messenger.world.chats[GROUP].moved_to


async def test_the_bot_is_blocked_and_let_in_again(phone, messenger):
    await phone.get_by_role("button", name="Block the bot").click()
    await phone.get_by_text("You have blocked this bot.").wait_for()
    assert not await phone.get_by_role("textbox", name="Message").is_visible()
    await phone.get_by_role("button", name="Unblock").click()
    await phone.get_by_role("textbox", name="Message").wait_for()
    assert not messenger.world.chats[CHAT].shut


async def test_what_the_simulator_does_not_take_is_said_and_nothing_typed_is_lost(phone, messenger):
    messenger.world.chats[CHAT].moved_to = 1
    await phone.get_by_role("textbox", name="Message").fill("Halo?")
    await phone.keyboard.press("Enter")
    await phone.get_by_text("there is no such chat").wait_for()
    assert await phone.get_by_role("textbox", name="Message").input_value() == "Halo?"


async def test_what_goes_wrong_is_chosen_on_the_page(phone, messenger):
    await phone.get_by_label("have numbers that jump").check()
    await until(lambda: messenger.faults == {"jump"})
    await phone.get_by_role("button", name="All is well").click()
    await until(lambda: not messenger.faults)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")])
async def test_nothing_stands_in_peoples_way(chromium, messenger, width, scheme):
    context = await chromium.new_context(
        bypass_csp=True, viewport={"width": width, "height": 740}, locale="en-GB", color_scheme=scheme
    )
    page = await context.new_page()
    bot = Bot(messenger)
    messenger.customer.write("/start")
    bot("sendMessage", text=TEXT, entities=ENTITIES, reply_markup=KEYBOARD)
    for kind in ("album", "voice", "venue", "contact", "document", "sticker"):
        messenger.customer.send(kind)
    await page.goto(messenger.url)
    await page.locator(".bubble").first.wait_for()
    found = await axe.findings(page)
    await page.locator(".more").nth(1).click()
    await page.get_by_role("button", name="Attach").click()
    found += await axe.findings(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await context.close()
    assert found == []
