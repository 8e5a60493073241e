"""Pictures of the pages into docs/screens/: the demo runs, talks are played, a browser looks, light and dark, wide and narrow.

make screenshots            all of them
make screenshots ARGS=start only those whose name holds the word
"""

from __future__ import annotations

import asyncio
import base64
import html
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import side_by_side
from playwright.async_api import async_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import told_by_mail  # noqa: E402
import told_in_browser  # noqa: E402
import told_on_desktop  # noqa: E402

from plugins.livechat.tests.widget import scenes  # noqa: E402
from talkwire import Buttons, Draft, Notice, Option, Refused, State, Text, Tx, Uncertain, Wait, draft  # noqa: E402
from talkwire.cli import demo  # noqa: E402
from talkwire_telegram.simulator import FORUM, SITI  # noqa: E402
from tests.e2e.messenger import SETTINGS, Customers, Messenger, MessengerPlugin  # noqa: E402
from tests.parts.chromium import launch_options  # noqa: E402
from tests.parts.pictures import png  # noqa: E402

SCREENS = ROOT / "docs" / "screens"
WIDE, NARROW, MIDDLE = (1280, 800), (360, 740), (900, 740)
HOUR = timedelta(hours=1)
LONG = """Thank you for waiting, **Ann**. Your parcel is on its way:

| step | when |
| --- | --- |
| packed | Monday 9:00 |
| with the courier | Tuesday 14:30 |

The courier calls you before it comes. If you are not at home, it goes to the shop at the corner of your street, \
where it waits for seven days. Bring a document with your name. The shop opens at seven and closes at eight in the \
evening, on Sundays at noon. You can also let a neighbour fetch it; then give the neighbour the number that you find \
in the message of last Monday, and nothing else is needed."""
RICH = Draft(
    blocks=(
        Text("It is **back** since Tuesday, as\n\n- whole beans\n- ground for a *moka*\n\n> Palm sugar, jasmine."),
        Buttons(text="Shall I put one aside?", options=(Option("y", "Yes, please"), Option("n", "No, thank you"))),
    )
)


def _say_what_is_missing() -> None:
    """Customers write emoji; without a font for them each is a box in the pictures."""
    look = ["fc-list", ":charset=1f44d"]
    if shutil.which(look[0]) and not subprocess.run(look, capture_output=True, check=False).stdout:
        print("no font here has emoji, so each will be a box; type: apt-get install fonts-noto-color-emoji")


async def main(word: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    _say_what_is_missing()
    if word.startswith(("trace", "terminal")):  # these need nothing of the rest
        await trouble(word)
        return
    if word.startswith("side"):
        await beside()
        return
    if word.startswith("notify-native"):
        await told_on_desktop.draw(SCREENS)
        return
    if word.startswith("notify-"):
        await notified(word)
        return
    with tempfile.TemporaryDirectory(prefix="talkwire-demo-") as folder:
        simulators = [one for one in await demo.find() if one.channel != "everything"]  # that one is for tests
        plugins = {"messenger": MessengerPlugin()}
        async with demo.stage(Path(folder), simulators, port=0, extra=SETTINGS, plugins=plugins) as stage:
            await play(stage)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(**launch_options())
                for scheme in ("light", "dark"):
                    context = await browser.new_context(
                        color_scheme=scheme, locale="en-GB", timezone_id="UTC", device_scale_factor=1
                    )
                    await look(await context.new_page(), stage, scheme, word)
                    await look_at_shop(await context.new_page(), await context.new_page(), stage, scheme, word)
                    await look_at_mailbox(await context.new_page(), stage, scheme, word)
                    await look_at_telegram(await context.new_page(), stage, scheme, word)
                    await look_at_whatsapp(await context.new_page(), stage, scheme, word)
                    await context.close()
                await browser.close()
    if any(word in name for name in TROUBLE):
        await trouble(word)
    if word in "chat-form chat-consent":
        await ask(["form", "consent"])
    if word in "side-by-side-light side-by-side-dark":
        await beside()
    await notified(word)
    if word in "notify-native-light notify-native-dark":
        await told_on_desktop.draw(SCREENS)
    if word in "manual-wide":
        await manual(SCREENS / "manual-wide-light.png")


async def beside() -> None:
    """Draw one rich message as each channel shows it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**launch_options())
        await side_by_side.draw(browser, SCREENS)
        await browser.close()


async def notified(word: str) -> None:
    """Draw mails that notify, and the page behind their buttons; what pages and browsers show."""
    async with async_playwright() as playwright:
        await told_in_browser.draw(playwright, SCREENS, word)
        browser = await playwright.chromium.launch(**launch_options())
        await told_by_mail.draw(browser, SCREENS, word)
        await browser.close()


async def manual(file: Path) -> None:
    """Draw the manual's front page; it is built first."""
    made = await asyncio.create_subprocess_exec(sys.executable, ROOT / "tools" / "docs.py", "--picture", file)
    if await made.wait():
        sys.exit("the manual cannot be built")


async def ask(names: list[str]) -> None:
    """Draw what the widget asks before the first message; a server of its tests plays the shop's."""
    with tempfile.TemporaryDirectory() as folder:
        await scenes.draw(Path(folder), names)
        for picture in (f"{name}-{scheme}.png" for name in names for scheme in ("light", "dark")):
            shutil.copyfile(f"{folder}/{picture}", SCREENS / f"chat-{picture}")
            print(f"docs/screens/chat-{picture}")


# --- what happened -----------------------------------------------------------------------------------------


async def play(stage: demo.Stage) -> None:
    """Fill the page with talks, one for each thing that it can show."""
    customers = Customers(stage.api)
    (phone,) = [player for player in stage.players if player.account == "smsgate"]
    api = Api(stage)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {stage.key}"}) as api.session:
        await customers.write("noor", "Is the blue one still there?", name="Noor Haddad", ago=30 * HOUR)
        await customers.write("sam", "The link does not open", name="Sam Okafor", ago=3 * HOUR)
        Messenger.will.append(Refused("this account has been closed", code="131026"))
        await api.reply("does not open", "Please try https://shop.example/orders/48 instead.")
        await customers.write("mia", "Can I change the address?", name="Mia Keller", ago=2 * HOUR)
        await api.reply("change the address", "Yes, until it is packed. What is the new one?")
        await customers.report(Messenger.sent[-1], "READ")
        await customers.write("mia", "Lindenweg 4, please", name="Mia Keller")
        Messenger.will.append(Uncertain("the connection broke before the answer came"))
        await api.reply("Lindenweg", "Changed. It goes to Lindenweg 4.", wait="uncertain")
        await customers.write(
            "+6281234567890", "Is anybody there?", name="Budi Santoso", ago=timedelta(minutes=50), address="phone"
        )
        await customers.session(
            "+6281234567890", "ended", ago=timedelta(minutes=20), address="phone", name="Budi Santoso"
        )
        await one_of_each(customers)
        await customers.write("ann", "Hello! I ordered a lamp last week.", name="Ann Lindqvist", ago=26 * HOUR)
        await api.reply("ordered a lamp", "Good day Ann. May I have the number of the order?", policy="hold")
        await customers.write("ann", "It is 4711", name="Ann Lindqvist", ago=timedelta(minutes=9))
        await asyncio.sleep(0.3)
        await customers.report(Messenger.sent[-1], "READ")
        await api.reply("It is 4711", "Thank you, I am looking.")
        await customers.report(Messenger.sent[-1], "DELIVERED")
        await phone.simulator.play(phone.base_url, "Where is my parcel?")
        await api.reply("Where is my parcel", "It arrives **today** before 6 pm.", wait="delivered")
        await phone.simulator.play(phone.base_url, "Great, thank you")
        await mails(stage, api)
        await telegrams(stage)
        await whatsapp(stage, api)
        await customers.write("ann", "Take your time", name="Ann Lindqvist")
        await live(stage, customers, api)


async def one_of_each(customers: Customers) -> None:
    """Let somebody send one of everything, almost a day ago."""
    ago, who = timedelta(hours=23, minutes=23), {"name": "Rosa Pires"}
    colours = ((196, 120, 60), (90, 130, 110), (70, 90, 150))
    said = await customers.write("rosa", "The lamp stands here", ago=ago + timedelta(minutes=2), **who)
    for n, colour in enumerate(colours):
        files = [[f"lamp-{n + 1}.png", base64.b64encode(png(240, 150, colour)).decode()]]
        await customers.write("rosa", "" if n else "Three pictures of it", ago=ago, group="album", files=files, **who)
    place = {"type": "location", "latitude": -6.914744, "longitude": 107.60981, "name": "Bandung", "address": ""}
    contact = {"type": "contact", "name": "My neighbour", "phones": ["+62 811 222 333"], "emails": []}
    order = {
        "type": "other",
        "kind": "order",
        "text": "2 things for 48.00 EUR",
        "raw": '{"product_items": [{"quantity": 2}]}',
    }
    for block in (place, contact, order, {"type": "choice", "id": "y", "title": "Yes, please"}):
        await customers.write("rosa", block.get("title", ""), ago=ago, blocks=[block], **who)
    await customers.change("rosa", "edit", said, "The lamp stands there")
    await customers.change("rosa", "reaction", said, "👍")


MAILS = (
    ("Where is my order 4711?", "Good morning,\n\nI ordered on Monday, and nobody has written since.\n\nBudi"),
    ("The grinder", "Does the small grinder come with a brush? The picture shows one."),
)
ANSWER = """Good morning Budi,

your order **4711** left Bandung this morning. It goes like this:

- today until 6 pm: with the courier
- tomorrow at noon: at your door

[Follow it here](https://shop.example/4711), and write again whenever you like."""


async def mails(stage: demo.Stage, api: Api) -> None:
    """Let a customer write two mails and have one answered, and thank for it."""
    (post,) = [player for player in stage.players if player.account == "email"]
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        for subject, text in MAILS:
            await session.post(f"{post.base_url}/sim/mails", json={"subject": subject, "text": text})
        await api.reply("nobody has written since", ANSWER, wait="delivered")
        shown = (await (await session.get(f"{post.base_url}/sim/mails")).json())["mails"]
        (came,) = [mail["id"] for mail in shown if not mail["mine"]]
        await session.post(f"{post.base_url}/sim/mails", json={"answers": came, "text": "Great, thank you!"})
        await api.reply("Great, thank you!", "You are welcome.", wait="delivered")


async def telegrams(stage: demo.Stage) -> None:
    """Let a customer ask by Telegram, with a photo, and two of a group in a topic; each is answered."""
    (bot,) = [player for player in stage.players if player.account == "telegram"]
    hub = stage.daemon.hub
    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def do(**deed: Any) -> dict[str, Any]:
            answer = await session.post(f"{bot.base_url}/sim/deeds", json=deed)
            return dict(await answer.json())

        async def answered(text: str, draft_: Draft) -> None:
            async def found() -> Any:
                return (await hub.conversations(account="telegram", text=text)).items

            talk = (await side_by_side.until(found))[0].id
            accepted = await hub.reply(talk, draft_, author="agent:demo")

            async def has_left() -> bool:
                return (await hub.message(accepted.message)).state is not State.QUEUED

            await side_by_side.until(has_left)

        siti = {"chat": SITI["id"], "who": SITI["id"]}
        sent = await do(deed="send", kind="photo", caption="Is this the right grinder?", **siti)
        await do(deed="swap", message=sent["messages"][0], **siti)
        walks = await do(deed="send", kind="live", **siti)
        await do(deed="move", message=walks["messages"][0], **siti)
        await do(deed="write", text="I am on my way to you", **siti)
        await do(deed="write", text="/start")
        await do(deed="send", kind="album", caption="From last time")
        await do(deed="send", kind="voice")
        asked = await do(deed="write", text="Is the Ciwidey back?")
        await answered("Ciwidey", RICH)
        await do(deed="react", message=asked["message"] + 1, emoji="❤")
        forum = {"chat": FORUM, "topic": 2}
        await do(deed="write", text="Which one is less sour?", who=SITI["id"], **forum)
        await do(deed="write", text="I liked the Gayo", **forum)
        await answered("liked the Gayo", draft("The **Gayo** has less acid, and more body."))


async def look_at_telegram(page: Any, stage: demo.Stage, scheme: str, word: str) -> None:
    """Take the pictures of the customer's Telegram."""
    (bot,) = [player for player in stage.players if player.account == "telegram"]
    page.set_default_timeout(10_000)  # milliseconds

    async def take(name: str) -> None:
        if word in name:
            await page.mouse.move(1270, 790)
            await page.wait_for_timeout(250)  # until what was just drawn has been laid out
            await page.screenshot(path=SCREENS / f"{name}-{scheme}.png")
            print(f"docs/screens/{name}-{scheme}.png")

    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await page.goto(f"{bot.base_url}/")
    await page.get_by_role("button", name="Yes, please").wait_for()
    await page.get_by_role("textbox", name="Message").blur()
    await take("telegram-wide")
    await page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    await page.get_by_role("button", name="Attach").click()
    await take("telegram-narrow")
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await page.goto(f"{bot.base_url}/?chat={FORUM}/2")
    await page.get_by_text("more body").wait_for()
    await page.get_by_label("have numbers that jump").check()
    await take("telegram-topic-wide")
    await page.get_by_role("button", name="All is well").click()


async def look_at_mailbox(page: Any, stage: demo.Stage, scheme: str, word: str) -> None:
    """Take the pictures of the customer's mail program."""
    (post,) = [player for player in stage.players if player.account == "email"]
    page.set_default_timeout(10_000)  # milliseconds

    async def take(name: str) -> None:
        if word in name:
            await page.mouse.move(1270, 790)
            await page.wait_for_timeout(250)  # until what was just drawn has been laid out
            await page.screenshot(path=SCREENS / f"{name}-{scheme}.png")
            print(f"docs/screens/{name}-{scheme}.png")

    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await page.goto(f"{post.base_url}/")
    await page.locator(".entry", has_text="left Bandung").click()
    await take("mailbox-wide")
    await page.get_by_text("Headers, as they came").click()
    await page.get_by_role("link", name="The whole mail").scroll_into_view_if_needed()
    await take("mailbox-headers-wide")
    await page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    await page.get_by_role("button", name="All mails").first.click()
    await take("mailbox-narrow")
    await page.locator(".entry", has_text="The grinder").click()
    await page.get_by_role("button", name="Write").click()
    await page.get_by_label("Subject").fill("One more thing")
    await page.get_by_role("textbox", name="Text").fill("Can the courier call me before?")
    await take("mailbox-write-narrow")


async def whatsapp(stage: demo.Stage, api: Api) -> None:
    """Let a customer on WhatsApp write, show a picture, press a button, and be answered with all that there is."""
    (phone,) = [player for player in stage.players if player.account == "whatsapp"]

    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def does(**what: str) -> None:
            await session.post(f"{phone.base_url}/sim/messages", json=what)

        async def newest() -> str:
            shown = (await (await session.get(f"{phone.base_url}/sim/messages")).json())["messages"]
            return str([one["id"] for one in shown if one["to_phone"]][-1])

        await does(text="Is the *Ciwidey* back?")
        await does(kind="image", text="This one, from last month")
        await api.reply("account:whatsapp", blocks=WHATSAPP_RICH, wait="read")
        await does(kind="choice", answers=await newest(), choice="y")
        await does(kind="reaction", answers=await newest(), text="❤️")
        await api.reply("account:whatsapp", blocks=[WHATSAPP_LIST], wait="read")
        await does(kind="choice", answers=await newest(), choice="moka")
        await api.reply("account:whatsapp", blocks=[WHATSAPP_TEMPLATE], wait="read")
        await does(kind="voice")


WHATSAPP_RICH: list[dict[str, Any]] = [
    {
        "type": "text",
        "markdown": "It is **back** since Tuesday, as\n\n- whole beans\n- ground for a *moka*\n\n> Palm sugar, jasmine.\n\n"
        "See https://shop.example/ciwidey",
    },
    {
        "type": "buttons",
        "text": "Shall I put one aside?",
        "options": [{"id": "y", "title": "Yes, please"}, {"id": "n", "title": "No, thank you"}],
    },
]
WHATSAPP_LIST: dict[str, Any] = {
    "type": "list",
    "text": "How shall we grind it?",
    "button": "Choose",
    "options": [
        {"id": "whole", "title": "Not at all", "description": "Whole beans"},
        {"id": "moka", "title": "For a moka", "description": "Fine, but not as fine as for espresso"},
        {"id": "filter", "title": "For a filter", "description": "As coarse as sugar"},
    ],
}
WHATSAPP_TEMPLATE: dict[str, Any] = {
    "type": "template",
    "name": "order_sent",
    "language": "en",
    "values": ["4711", "Budi", "today before 6 pm", "4711"],
}


async def look_at_whatsapp(page: Any, stage: demo.Stage, scheme: str, word: str) -> None:
    """Take the pictures of the customer's phone with WhatsApp."""
    (phone,) = [player for player in stage.players if player.account == "whatsapp"]
    page.set_default_timeout(10_000)  # milliseconds

    async def take(name: str) -> None:
        if word in name:
            await page.wait_for_timeout(250)  # until what was just drawn has been laid out
            await page.screenshot(path=SCREENS / f"{name}-{scheme}.png")
            print(f"docs/screens/{name}-{scheme}.png")

    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await page.goto(f"{phone.base_url}/")
    await page.locator(".chip").wait_for()
    await page.locator("h1").click()
    await page.locator("#log").evaluate("node => { node.scrollTop = 0 }")
    await take("whatsapp-wide")
    await page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    await page.locator(".bubble").last.scroll_into_view_if_needed()
    await take("whatsapp-narrow")
    await page.get_by_role("button", name="☰ Choose").click()
    await page.get_by_role("radio", name="For a moka").check()
    await take("whatsapp-list-narrow")


async def live(stage: demo.Stage, customers: Customers, api: Api) -> None:
    """Let three sessions live: one answered, one away, one that nobody has answered yet."""
    for who, name, minutes in (("lena", "Lena Vogel", 12), ("", "", 7), ("omar", "Omar Said", 4)):
        ago = timedelta(minutes=minutes)
        await customers.session(who or "v-7f3a90c2d1e84b55", "connected", name=name, ago=ago)
        if who:
            await customers.write(who, f"{name.split()[0]} here, can you help me?", name=name, ago=ago)
    await notice(stage, "omar", "You are number 2.")
    await notice(stage, "omar", "You are next.")
    await api.reply("Omar here", "Good afternoon Omar, what is it about?")
    await customers.write("omar", "My lamp does not light up.", name="Omar Said")
    await customers.session("omar", "disconnected", name="Omar Said")
    Messenger.will.append(Wait("recipient_offline"))
    await api.reply("does not light up", "Have you tried another bulb?", wait="queued")


async def notice(stage: demo.Stage, who: str, text: str) -> None:
    """Let a plugin keep the notice of a talk."""
    hub = stage.daemon.hub
    [talk] = [one for one in (await hub.conversations(session="live")).items if one.address.value == who]
    await hub.of("queue").write(_ask, Notice(conversation=talk.id, slot="place", draft=draft(text)))
    for _ in range(200):
        said = await hub.messages(talk.id)
        texts = [
            words for one in said if one.state is State.SENT for words in (one.text, *(c.text for c in one.changes))
        ]
        if text in texts:
            return
        await asyncio.sleep(0.05)
    sys.exit(f"the notice {text!r} did not come out")


def _ask(tx: Tx, notices: Sequence[Notice]) -> Sequence[None]:
    for one in notices:
        tx.act(one)
    return [None] * len(notices)


class Api:
    """The little that a program needs."""

    def __init__(self, stage: demo.Stage) -> None:
        self._url = f"{stage.api}/api/v1"
        self.session: aiohttp.ClientSession

    async def reply(
        self,
        text: str,
        answer: str = "",
        *,
        blocks: Sequence[dict[str, Any]] = (),
        wait: str = "",
        policy: str | None = None,
    ) -> None:
        """Reply to whoever wrote this last, or to `account:NAME`'s newest talk, and wait until it has left the queue."""
        found = []
        where = f"account={text.removeprefix('account:')}" if text.startswith("account:") else f"text={text}"
        while not found:
            found = (await self._ask("GET", f"/conversations?{where}"))["items"]
        said: dict[str, Any] = {"blocks": blocks} if blocks else {"text": answer}
        said |= {"policy": policy} if policy else {}
        accepted = await self._ask("POST", f"/conversations/{found[0]['id']}/replies", json=said)
        for _ in range(200):
            state = (await self._ask("GET", f"/messages/{accepted['message']}"))["state"]
            if state == wait or policy or (not wait and state != "queued"):
                return
            await asyncio.sleep(0.05)
        sys.exit(f"the reply {answer!r} is {state}, not {wait or 'sent'}")

    async def _ask(self, method: str, path: str, **given: Any) -> Any:
        async with self.session.request(method, self._url + path, **given) as answer:
            answer.raise_for_status()
            return await answer.json()


# --- what it looks like ------------------------------------------------------------------------------------


async def look(page: Any, stage: demo.Stage, scheme: str, word: str) -> None:
    """Take every picture of one colour scheme."""
    page.set_default_timeout(10_000)  # milliseconds

    async def take(name: str) -> None:
        if word in name:
            await page.wait_for_timeout(250)  # until what was just drawn has been laid out
            await page.screenshot(path=SCREENS / f"{name}-{scheme}.png")
            print(f"docs/screens/{name}-{scheme}.png")

    async def size(wide: tuple[int, int]) -> None:
        await page.set_viewport_size({"width": wide[0], "height": wide[1]})

    async def choose(name: str) -> None:
        if await page.locator("nav [data-shows=list]").is_visible():
            await page.locator("nav [data-shows=list]").click()
        entry = page.locator(".entry", has_text=name)
        await entry.click()
        await page.locator("#log .bubble").first.wait_for()
        await page.mouse.move(640, 20)

    await size(WIDE)
    await page.goto(stage.url)
    await take("start-wide")
    await size(NARROW)
    await take("start-narrow")

    (phone,) = [player for player in stage.players if player.account == "smsgate"]
    await size(WIDE)
    await page.goto(phone.base_url)
    await page.get_by_text("Great, thank you").wait_for()
    await take("phone-wide")

    await page.goto(f"{stage.operator}/")
    await page.locator("#line.live").wait_for()
    await choose("Ann Lindqvist")
    await take("operator-wide")
    box = page.get_by_label("Reply", exact=True)
    await box.fill(LONG)
    await page.locator("#preview .losses").wait_for()
    await take("preview-wide")
    await box.fill("")
    await choose("Omar Said")
    await take("live-wide")
    await size(NARROW)
    await choose("Lena here")
    await Customers(stage.api).type("lena")
    await page.get_by_text("Lena Vogel is typing…").wait_for()
    await take("live-narrow")
    await size(WIDE)
    await choose("Is anybody there")
    await box.fill("Yes, I am here. What can I do?")
    await page.locator("#preview-parts li").first.wait_for()
    await take("warning-wide")
    await size(NARROW)
    await take("warning-narrow")
    await box.fill("")
    await size(WIDE)
    await choose("Noor Haddad")
    await take("window-wide")
    await choose("Rosa Pires")
    await page.locator("#left", has_text=":").wait_for()
    await page.locator("img.shown").nth(2).wait_for()
    await box.fill("Thank you, Rosa.")
    await page.locator("#preview-parts li").first.wait_for()
    await take("closing-wide")
    await box.fill("")
    await page.locator("#preview").wait_for(state="hidden")
    await page.locator("#log").evaluate("log => log.scrollTo(0, 0)")
    await take("blocks-wide")
    await choose("on my way to you")
    await page.locator("summary", has_text="Before it was edited").first.click()
    await page.locator("img.shown").nth(1).wait_for()
    await page.locator("#log").evaluate("log => log.scrollTo(0, 0)")
    await take("edited-wide")
    await choose("Mia Keller")
    await take("uncertain-wide")
    await choose("Sam Okafor")
    await take("failed-wide")
    await size(MIDDLE)
    await choose("Great, thank you")
    await take("operator-middle")
    await size(NARROW)
    await take("operator-narrow")
    await page.locator("nav [data-shows=list]").click()
    await take("conversations-narrow")
    await page.locator("nav [data-shows=side]").click()
    await take("facts-narrow")


async def look_at_trouble(page: Any, stage: demo.Stage, scheme: str, word: str, who: str) -> None:
    """Take the pictures of an incident: the trace page, and what commands say in a terminal."""
    page.set_default_timeout(10_000)  # milliseconds

    async def take(name: str) -> None:
        if word in name:
            await page.wait_for_timeout(250)  # until what was just drawn has been laid out
            await page.screenshot(path=SCREENS / f"{name}-{scheme}.png")
            print(f"docs/screens/{name}-{scheme}.png")

    for name, (wide, high) in {"trace-wide": WIDE, "trace-narrow": NARROW}.items():
        await page.set_viewport_size({"width": wide, "height": high})
        await page.goto("about:blank")
        await page.goto(f"{stage.operator}/trace#of={who}")
        await page.locator("#lines .line").first.wait_for()
        await page.locator("h1").click()  # the heading that was read out draws no ring
        await take(name)
    for name, typed in TYPED_BY_NAME.items():
        if word in name:
            page_of_it = await terminal(stage, [one or who for one in typed], scheme)
            await page.set_viewport_size({"width": 1000, "height": 600})
            await page.goto("about:blank")  # our own pages take no markup from strings
            await page.set_content(page_of_it)
            await page.locator("figure").screenshot(path=SCREENS / f"{name}-{scheme}.png")
            print(f"docs/screens/{name}-{scheme}.png")


TYPED_BY_NAME = {"terminal-status": ["status"], "terminal-find": ["find", ""], "terminal-trace": ["trace", ""]}
TROUBLE = ("trace-wide", "trace-narrow", *TYPED_BY_NAME)


async def trouble(word: str) -> None:
    """Let a password stop working while somebody waits, and take the pictures of that."""
    with tempfile.TemporaryDirectory(prefix="talkwire-demo-") as folder:
        simulators = await demo.find(among=["smsgate"])
        async with demo.stage(Path(folder), simulators, port=0) as stage:
            (phone,) = stage.players
            api = Api(stage)
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {stage.key}"}) as api.session:
                await phone.simulator.play(phone.base_url, "Where is my parcel?")
                await api.reply("Where is my parcel", "It arrives **today** before 6 pm.", wait="delivered")
                await phone.simulator.play(phone.base_url, "Nobody came")
                await phone.simulator.fault(phone.base_url, "wrong_password")
                await api.reply("Nobody came", "I am looking where it is.", wait="queued")
                async with asyncio.timeout(10):
                    async for _ in stage.daemon.hub.tail(after=0, types=("account.broken",)):
                        break
                await phone.simulator.play(phone.base_url, "Hello? Is anybody there?")
            who = (await stage.daemon.hub.conversations()).items[0].address.value
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(**launch_options())
                for scheme in ("light", "dark"):
                    context = await browser.new_context(color_scheme=scheme, locale="en-GB", timezone_id="UTC")
                    await look_at_trouble(await context.new_page(), stage, scheme, word, who)
                    await context.close()
                await browser.close()


COLOURS = {  # of a terminal: code → light, dark
    "31": ("#b3261e", "#ff9c94"),
    "32": ("#1a6b3c", "#7fd6a0"),
    "33": ("#8a5300", "#ffc46b"),
    "36": ("#0a5fd8", "#82b1ff"),
}


async def terminal(stage: demo.Stage, typed: Sequence[str], scheme: str) -> str:
    """Type a command where the demo's settings lie, and give its colours as HTML."""
    words = [sys.executable, "-c", TYPED, "--config", str(stage.folder / "talkwire.toml"), *typed]
    env = {"PATH": "/usr/bin:/bin", "COLUMNS": "100", "LANG": "C.UTF-8", "TERM": "xterm"}
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=env
    )
    out = (await process.communicate())[0].decode().replace("\r\n", "\n").replace(str(stage.folder), "/srv/talkwire")
    back, front = ("#ffffff", "#14171f") if scheme == "light" else ("#0e1015", "#eceef3")
    spans = coloured(out, is_dark=scheme == "dark")
    body = f"<span><b>$ talkwire {html.escape(' '.join(typed))}</b></span>\n{spans}"
    style = f"margin:0;padding:20px 24px;width:max-content;background:{back};color:{front};font:14px/1.45 'DejaVu Sans Mono',monospace"
    return f"<body style='margin:0'><figure style=\"{style}\"><pre style='margin:0;font:inherit'>{body}</pre></figure>"


TYPED = """
import pty, sys
pty.spawn([sys.executable, "-c", "from talkwire.cli import main; main()", *sys.argv[1:]])
"""  # with a terminal of its own, it has colours


def coloured(out: str, *, is_dark: bool) -> str:
    """Turn a terminal's colours into spans; 0 ends all that are open."""
    opened = 0

    def one(found: re.Match[str]) -> str:
        nonlocal opened
        codes = found[1].split(";")
        styles = [f"color:{COLOURS[code][is_dark]}" for code in codes if code in COLOURS]
        styles += [style for code, style in (("1", "font-weight:bold"), ("2", "opacity:.65")) if code in codes]
        if styles:
            opened += 1
            return f'<span style="{";".join(styles)}">'
        if found[1] not in ("", "0"):
            return ""
        ends, opened = "</span>" * opened, 0
        return ends

    return re.sub(r"\x1b\[([0-9;]*)m", one, html.escape(out))


async def look_at_shop(page: Any, operator: Any, stage: demo.Stage, scheme: str, word: str) -> None:
    """Take the pictures of a talk in the shop, from both sides."""
    (shop,) = [player for player in stage.players if player.account == "livechat"]

    async def take(of: Any, name: str) -> None:
        if word in name:
            await of.wait_for_timeout(600)  # until what moves has come to rest
            await of.screenshot(path=SCREENS / f"{name}-{scheme}.png")
            print(f"docs/screens/{name}-{scheme}.png")

    for one in (page, operator):
        one.set_default_timeout(10_000)  # milliseconds
        await one.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await page.goto(f"{shop.base_url}/")
    await page.get_by_role("button", name="Ask us").wait_for()
    await take(page, "shop-wide")
    await page.get_by_role("button", name="Ask us").click()
    box = page.get_by_role("textbox", name="Message")
    await box.fill("Is the Ciwidey back?")
    await box.press("Enter")
    await page.get_by_role("img", name="Sent", exact=True).wait_for()
    talk = (await stage.daemon.hub.conversations(account="livechat")).items[0]
    await stage.daemon.hub.reply(talk.id, RICH, author="agent:demo")
    await page.get_by_role("button", name="Yes, please").click()
    await page.get_by_role("img", name="Sent", exact=True).nth(1).wait_for()
    await page.mouse.move(10, 10)
    await take(page, "chat-wide")

    await operator.goto(f"{stage.operator}/")
    await operator.locator("#line.live").wait_for()
    await operator.locator(f'#live-talks [data-id="{talk.id}"]').click()
    await operator.get_by_label("Reply", exact=True).fill("It goes out on Tuesday.")
    await take(operator, "operator-live-wide")
    await page.set_viewport_size({"width": 360, "height": 640})
    await take(page, "chat-phone")
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await page.get_by_role("button", name="End chat").first.click()
    await page.get_by_role("button", name="End chat").last.click()
    await page.get_by_role("button", name="Start again").wait_for()
    await take(page, "chat-ended-wide")
    await operator.locator("#reply").get_by_role("img", name="cannot be answered now").wait_for()
    await take(operator, "operator-ended-wide")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
