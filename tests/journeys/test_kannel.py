"""The real gateway: a customer writes an SMS, a program answers over HTTP, reports come back, and each state shown is true.

The daemon, the HTTP application, the SQLite file, the clock and Kannel are real. Where the order matters, or an answer
has to get lost, a `Wire` stands between Kannel and us: it passes on what was said, byte for byte, when the test lets it.
"""

import asyncio
import contextlib
import socket
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from talkwire.api import make_app
from talkwire.api.principals import create_keys
from talkwire.clock import SystemClock
from talkwire.testing.hub import WholeHub, whole_hub
from tests.parts.kannel import Kannel, Text, kannel

pytestmark = pytest.mark.needs("kannel")
PHONE = "+6281234567890"
TOKEN = "kannel-token-0123456789"
LONG = "Your parcel [no. 7] is on its way; it costs 3 € at the door. " * 6 + "Bye!"  # GSM 7 bit, three segments
CYRILLIC = "Ваша посылка в пути, оплата при получении. " * 4 + "До свидания! 🙏"  # UCS-2, three segments
SETTINGS = """
[accounts.sms]
channel = "smsgate"
url = "{sendsms}"
username = "{username}"
password = "{password}"
callback_url = "{callback}"
token = "{token}"
"""
ALWAYS_CLOSED = """
[plugins]
enabled = ["opening_hours"]

[plugins.opening_hours]
days = []
time_zone = "{noon}"
text = "We are closed. 🌙"
"""


class Host:
    """A program with an API key and the log."""

    def __init__(self, session):
        self._session = session
        self._cursor = 0
        self.facts = []

    async def ask(self, method, path, **options):
        async with self._session.request(method, f"/api/v1{path}", **options) as answer:
            body = await answer.json()
            assert answer.status in {200, 202}, body
            return body

    async def get(self, path, **params):
        return await self.ask("GET", path, params=params)

    async def told(self, kind, count=1, **wanted):
        """Wait for this many facts of a type; `wanted` are ids and small values of theirs. Gives the last of them."""
        try:
            async with asyncio.timeout(20):
                while len(found := self._heard(kind, wanted)) < count:
                    page = await self.get("/events", after=self._cursor, wait=20)
                    self.facts += page["items"]
                    self._cursor = page["next"]
        except TimeoutError:
            heard = [(fact["type"], fact["small"]) for fact in self.facts]
            raise AssertionError(f"no {kind} {wanted} was told, but {heard}") from None
        return found[count - 1]

    def _heard(self, kind, wanted):
        return [
            fact
            for fact in self.facts
            if fact["type"] == kind and wanted.items() <= {**fact["ids"], **fact["small"]}.items()
        ]

    async def replies(self, conversation, text):
        accepted = await self.ask("POST", f"/conversations/{conversation}/replies", json={"text": text})
        return accepted["message"]

    async def messages(self, conversation):
        return (await self.get(f"/conversations/{conversation}/messages"))["items"]

    async def state(self, message):
        return (await self.get(f"/messages/{message}"))["state"]

    def states_told(self, message):
        """Give what the log has told of a message of one part, in its order."""
        changes = [fact for fact in self.facts if fact["type"] == "delivery.changed"]
        return [fact["small"]["state"] for fact in changes if fact["ids"]["message"] == message]


class Door:
    """What lets one request go when the test says so."""

    def __init__(self):
        self.opened = asyncio.Event()
        self.passed = asyncio.Event()


class Wire:
    """What stands between Kannel and us; `message`, `sendsms`, `8` and `1` name what goes over it."""

    def __init__(self):
        self.ours = self.kannels = ""  # where it passes things on to
        self.seen = defaultdict(list)  # name → ids, or statuses of Kannel's answers
        self.bodies = []  # of our answers to Kannel
        self._lost = set()
        self._doors = {}
        self._closed = {}  # name → the door that the next one comes to

    def hold(self, *names):
        """Let the next of these wait: reports before they reach us, `sendsms` before Kannel's answer does."""
        for name in names:
            self._doors[name] = self._closed[name] = Door()

    async def let_go(self, name):
        """Let the held one go, and wait until whoever it is for has answered."""
        door = self._doors[name]
        door.opened.set()
        async with asyncio.timeout(20):
            await door.passed.wait()

    def lose(self, name):
        """Let the next answer get lost; what comes after it is held."""
        self._lost.add(name)
        self._doors[name] = Door()

    async def from_kannel(self, request):
        name = request.query.get("code", "message")
        self.seen[name].append(request.query["id"])
        async with self._door(name):
            answer, body = await _pass_on(self.ours, request)
        self.bodies.append(body)
        return web.Response(status=503 if self._loses(name) else answer.status, body=body)

    async def from_us(self, request):
        answer, body = await _pass_on(self.kannels, request)
        self.seen["sendsms"].append(answer.status)
        async with self._door("sendsms"):
            if self._loses("sendsms"):
                request.transport.abort()
            return web.Response(status=answer.status, body=body)

    @contextlib.asynccontextmanager
    async def _door(self, name):
        door = self._closed.pop(name, None)
        if door:
            await door.opened.wait()
        yield
        if door:
            door.passed.set()

    def _loses(self, name):
        if name not in self._lost:
            return False
        self._lost.remove(name)
        self._closed[name] = self._doors[name]
        return True


async def _pass_on(url, request):
    whole = URL(f"{url}?{request.rel_url.raw_query_string}", encoded=True)
    async with aiohttp.ClientSession() as session, session.get(whole) as answer:
        return answer, await answer.read()


class Talk:
    """All of it."""

    def __init__(self, gateway: Kannel, hub: WholeHub, host: Host):
        self.gateway = gateway
        self.hub = hub
        self.host = host

    async def writes(self, text="Where is my parcel?", sender=PHONE, count=1, **options):
        """Let a customer write; gives the conversation once the log has told it."""
        await self.gateway.say(sender, text, **options)
        return (await self.host.told("message.received", count))["conversation"]


@contextlib.asynccontextmanager
async def serve(app, port=0):
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture
async def start(tmp_path, empty_database):
    """Give what starts all of it: `await start()`; `wire` stands between, `more` is added to the settings."""
    async with contextlib.AsyncExitStack() as started:
        enter = started.enter_async_context

        async def one(wire=None, more="", **options):
            # Kannel must know our port, and we its port: ours is taken first, and listened on last.
            ours = started.enter_context(socket.create_server(("127.0.0.1", 0)))
            at = endpoint = f"http://127.0.0.1:{ours.getsockname()[1]}/in/sms"
            if wire:
                app = web.Application()
                app.router.add_get("/in/sms", wire.from_kannel)
                app.router.add_get("/cgi-bin/sendsms", wire.from_us)
                between = await enter(serve(app))
                wire.ours, endpoint = endpoint, f"{between}/in/sms"
            gateway = await enter(kannel(endpoint, token=TOKEN, **options))
            sendsms = gateway.url
            if wire:
                wire.kannels, sendsms = sendsms, f"{between}/cgi-bin/sendsms"
            user = {"username": gateway.username, "password": gateway.password}
            settings = SETTINGS.format(sendsms=sendsms, callback=endpoint, token=TOKEN, **user) + more
            hub = await enter(whole_hub(settings, tmp_path, template=empty_database, clock=SystemClock()))
            runner = web.AppRunner(make_app(hub.daemon), access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            started.push_async_callback(runner.cleanup)
            await web.SockSite(runner, ours).start()
            key = await hub.daemon.store.write(create_keys, ("shop", "bot"))
            headers = {"Authorization": f"Bearer {key}"}
            session = await enter(aiohttp.ClientSession(URL(at).origin(), headers=headers))
            return Talk(gateway, hub, Host(session))

        yield one


async def test_a_message_comes_in_and_both_long_answers_arrive_whole_and_nothing_else_does(start):
    before = datetime.now(UTC) - timedelta(seconds=1)  # Kannel's time is in whole seconds
    talk = await start()
    conversation = await talk.writes("Where is my parcel? 1+1=2 & 100% ü€")
    [said] = await talk.host.messages(conversation)
    assert (said["text"], said["direction"], said["n"]) == ("Where is my parcel? 1+1=2 & 100% ü€", "in", 1)
    at, stored_at = datetime.fromisoformat(said["at"]), datetime.fromisoformat(said["stored_at"])
    assert before <= at <= stored_at <= datetime.now(UTC)
    address = (await talk.host.get(f"/conversations/{conversation}"))["address"]
    assert (address["kind"], address["value"]) == ("phone", PHONE)

    gsm = await talk.host.replies(conversation, LONG)
    ucs2 = await talk.host.replies(conversation, CYRILLIC)
    for reply in (gsm, ucs2):
        await talk.host.told("delivery.changed", message=reply, state="delivered")
        assert await talk.host.state(reply) == "delivered"
        states = talk.host.states_told(reply)
        assert states == [state for state in ("accepted", "sent", "delivered") if state in states]
    assert await talk.gateway.settled() == [
        Text(sender="13013", receiver=PHONE, text=LONG, segments=3),
        Text(sender="13013", receiver=PHONE, text=CYRILLIC, segments=3),
    ]


async def test_ucs2_comes_in_as_it_was_written_though_kannel_does_not_recode_it(start):
    """Kannel then sends bytes of UTF-16, which are no UTF-8."""
    talk = await start(recode=False)
    conversation = await talk.writes("ждём ответа 🙏ÿ", ucs2=True)
    [said] = await talk.host.messages(conversation)
    assert said["text"] == "ждём ответа 🙏ÿ"
    [(envelope, query)] = await talk.hub.rows("SELECT id, query FROM envelope")
    assert TOKEN not in query
    again = await talk.hub.daemon.intake.replay(envelope)  # the kept bytes say the same
    assert (again.messages, again.duplicates, again.unread) == ([], 1, [])


@pytest.mark.parametrize(
    ("order", "shown"), [(("8", "1"), ["sent", "delivered"]), (("1", "8"), ["delivered", "delivered"])]
)
async def test_each_state_shown_is_true_whichever_report_comes_first(start, order, shown):
    talk = await start(wire := Wire())
    conversation = await talk.writes()
    wire.hold("sendsms", "8", "1")
    reply = await talk.host.replies(conversation, "It is on its way.")
    await talk.gateway.texts(1)
    assert await talk.host.state(reply) == "queued"  # Kannel's answer is on the wire: we do not know yet
    await wire.let_go("sendsms")
    await talk.host.told("delivery.changed", message=reply, state="accepted")
    assert await talk.host.state(reply) == "accepted"
    states = []
    for code in order:
        await wire.let_go(code)  # answered after it was committed
        states.append(await talk.host.state(reply))
    assert states == shown
    await talk.host.told("delivery.changed", message=reply, state="delivered")
    assert talk.host.states_told(reply) == list(dict.fromkeys(["accepted", *shown]))
    assert wire.seen["8"] == wire.seen["1"]
    assert set(wire.bodies) == {b""}  # of which Kannel would make an SMS


@pytest.mark.parametrize(
    ("early", "late", "shown"), [("8 1", "", "delivered"), ("1", "8", "delivered"), ("8", "1", "sent")]
)
async def test_reports_that_overtake_our_receipt_end_the_same(start, early, late, shown):
    talk = await start(wire := Wire())
    conversation = await talk.writes()
    wire.hold("sendsms", "8", "1")
    reply = await talk.host.replies(conversation, "It is on its way.")
    following = await talk.host.replies(conversation, "Anything else?")
    for code in early.split():
        await wire.let_go(code)
    assert await talk.host.state(reply) == shown
    await wire.let_go("sendsms")
    await talk.host.told(
        "delivery.changed", message=following
    )  # so the receipt of the first is stored: a lane has an order
    assert await talk.host.state(reply) == shown
    for code in late.split():
        await wire.let_go(code)
    assert await talk.host.state(reply) == "delivered"
    await talk.host.told("delivery.changed", message=following, state="delivered")
    assert "accepted" not in talk.host.states_told(reply)
    assert [text.text for text in await talk.gateway.settled()] == ["It is on its way.", "Anything else?"]
    assert wire.seen["sendsms"] == [202, 202]


async def test_a_reply_whose_receipt_got_lost_is_uncertain_until_its_reports_come_and_goes_out_once(start):
    talk = await start(wire := Wire())
    conversation = await talk.writes()
    wire.lose("sendsms")
    wire.hold("8", "1")
    reply = await talk.host.replies(conversation, "It is on its way.")
    await talk.host.told("delivery.changed", message=reply, state="uncertain")
    assert await talk.host.state(reply) == "uncertain"
    for code, state in (("8", "sent"), ("1", "delivered")):
        await wire.let_go(code)
        assert await talk.host.state(reply) == state
    assert [text.text for text in await talk.gateway.settled()] == ["It is on its way."]
    assert wire.seen["sendsms"] == [202]


async def test_a_message_whose_answer_kannel_did_not_get_comes_again_and_is_one_message(start):
    talk = await start(wire := Wire())
    wire.lose("message")
    conversation = await talk.writes("halo")
    await wire.let_go("message")
    assert wire.seen["message"] == [wire.seen["message"][0]] * 2
    assert await talk.writes("second", count=2) == conversation
    assert [said["text"] for said in await talk.host.messages(conversation)] == ["halo", "second"]
    assert await talk.gateway.settled() == []


async def test_a_customer_who_writes_twice_while_it_is_closed_is_told_so_once(start):
    hour = datetime.now(UTC).hour
    noon = f"Etc/GMT{hour - 12:+d}"  # where no day ends during the test; POSIX counts to the west
    talk = await start(more=ALWAYS_CLOSED.format(noon=noon))
    conversation = await talk.writes("Is anybody there?")
    [told] = await talk.gateway.texts(1)
    assert (told.text, told.receiver) == ("We are closed. 🌙", PHONE)
    assert await talk.writes("Hello?", count=2) == conversation
    other = await talk.writes(
        "Hi", sender="+6289999999999", count=3
    )  # whose answer comes after the second message was told
    await talk.gateway.texts(2)
    assert [text.receiver for text in await talk.gateway.settled()] == [PHONE, "+6289999999999"]
    said = await talk.host.messages(conversation)
    assert [(one["direction"], one["author"]) for one in said if one["direction"] == "out"] == [
        ("out", "plugin:opening_hours")
    ]
    assert [one["direction"] for one in await talk.host.messages(other)] == ["in", "out"]
