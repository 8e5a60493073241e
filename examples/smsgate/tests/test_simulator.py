"""The simulator is Kannel to us, and a phone to people."""

import aiohttp
import pytest
from aiohttp import web

from talkwire_smsgate.simulator import CUSTOMER, Gateway, _cut, simulator

TOKEN, PASSWORD = "sim-token-0123456789", "sim-password-0123456789"


class Endpoint:
    """What stands for our `/in/<endpoint>`."""

    def __init__(self):
        self.seen = []
        self.answers = []  # responses to give first; then 200 and nothing

    async def take(self, request):
        self.seen.append(dict(request.query))
        return self.answers.pop(0) if self.answers else web.Response()

    @property
    def reports(self):
        return [int(query["code"]) for query in self.seen if "code" in query]


@pytest.fixture
async def endpoint(aiohttp_server):
    one = Endpoint()
    app = web.Application()
    app.router.add_get("/in/sms", one.take)
    server = await aiohttp_server(app)
    one.url = f"http://127.0.0.1:{server.port}/in/sms"
    return one


@pytest.fixture
async def phone(endpoint, aiohttp_client):
    gateway = Gateway(endpoint.url, token=TOKEN, password=PASSWORD, pause=0, slow=0.01, retry_every=0)
    client = await aiohttp_client(gateway.app())
    client.gateway = gateway
    return client


async def fault(phone, *names):
    assert (await phone.post("/sim/faults", json={"on": list(names)})).status == 200


async def send(phone, endpoint, text="hello", *, wait=True, **changes):
    query = {
        "username": "demo",
        "password": PASSWORD,
        "to": CUSTOMER,
        "text": text,
        "charset": "UTF-8",
        "coding": "0",
        "dlr-mask": "31",
        "dlr-url": f"{endpoint.url}?id=K&code=%d&ts=%T&reason=%A",
        **changes,
    }
    async with phone.get("/cgi-bin/sendsms", params=query) as answer:
        words = await answer.text()
    if wait:
        await idle(phone)
    return answer.status, words


async def idle(phone):
    await phone.gateway.idle()


async def shown(phone):
    return (await (await phone.get("/sim/messages")).json())["messages"]


async def test_what_the_customer_types_reaches_the_endpoint_as_kannel_sends_it(phone, endpoint):
    answer = await (await phone.post("/sim/messages", json={"text": "halo & 100% 🙏"})).json()
    [query] = endpoint.seen
    assert answer == {"id": query["id"], "status": 200}
    assert query["from"] == CUSTOMER.removeprefix("+")
    assert (query["text"], query["charset"], query["to"], query["token"]) == ("halo & 100% 🙏", "UTF-8", "13013", TOKEN)
    assert query["ts"].isdigit()


async def test_what_we_send_reaches_the_phone_and_is_reported(phone, endpoint):
    assert await send(phone, endpoint) == (202, "0: Accepted for delivery")
    [message] = await shown(phone)
    assert (message["text"], message["segments"], message["coding"]) == ("hello", 1, "GSM-7")
    assert endpoint.reports == [8, 1]
    assert endpoint.seen[0] | {"ts": ""} == {"id": "K", "code": "8", "ts": "", "reason": "ACK/"}


@pytest.mark.parametrize(
    ("text", "coding", "segments", "arrives"),
    [
        ("a" * 160, "0", 1, 160),
        ("a" * 161, "0", 2, 161),
        ("a" * 460, "0", 3, 459),  # the rest is cut off
        ("€" * 229, "0", 3, 228),
        ("ж" * 70, "2", 1, 70),
        ("ж" * 202, "2", 3, 201),
    ],
)
def test_segments_are_counted_and_cut_as_by_kannel(text, coding, segments, arrives):
    cut, count = _cut(text, ucs2=coding == "2")
    assert (len(cut), count) == (arrives, segments)


async def test_a_character_that_gsm_lacks_arrives_as_a_question_mark(phone, endpoint):
    await send(phone, endpoint, "жди")
    assert [message["text"] for message in await shown(phone)] == ["???"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"password": "x"}, 403), ({"to": ""}, 400), ({"to": "abc"}, 400), ({"coding": "9"}, 400)],
)
async def test_a_wrong_request_is_refused(phone, endpoint, changes, status):
    assert (await send(phone, endpoint, **changes))[0] == status
    assert await shown(phone) == []


@pytest.mark.parametrize(
    ("name", "status", "reports", "arrives"),
    [
        ("refuse", 400, [], False),
        ("not_routable", 403, [], False),
        ("wrong_password", 403, [], False),
        ("busy", 503, [], False),
        ("slow", 202, [8, 1], True),
        ("undelivered", 202, [8, 2], False),
        ("rejected", 202, [16], False),
        ("no_reports", 202, [], True),
        ("reports_reversed", 202, [1, 8], True),
        ("reports_twice", 202, [8, 8, 1, 1], True),
    ],
)
async def test_each_fault_does_what_it_says(phone, endpoint, name, status, reports, arrives):
    await fault(phone, name)
    assert (await send(phone, endpoint))[0] == status
    assert endpoint.reports == reports
    assert any(message["reached"] for message in await shown(phone)) is arrives


async def test_early_reports_overtake_the_answer(phone, endpoint):
    phone.gateway.pause = 0.02  # as long as the answer waits for each of them
    await fault(phone, "reports_early")
    await send(phone, endpoint, wait=False)
    assert endpoint.reports == [8, 1]


async def test_a_reset_loses_the_answer_and_not_the_message(phone, endpoint):
    await fault(phone, "reset")
    with pytest.raises(aiohttp.ClientError):
        await send(phone, endpoint)
    await idle(phone)
    assert [message["text"] for message in await shown(phone)] == ["hello"]
    assert phone.gateway.requests == 1
    assert endpoint.reports == [8, 1]


async def test_a_duplicate_has_the_same_id(phone, endpoint):
    await fault(phone, "duplicate")
    await phone.post("/sim/messages", json={"text": "twice"})
    first, second = endpoint.seen
    assert first == second


async def test_a_wrong_token_shows(phone, endpoint):
    endpoint.answers = [web.Response(status=401)]
    await fault(phone, "wrong_token")
    answer = await (await phone.post("/sim/messages", json={"text": "hi"})).json()
    assert answer["status"] == 401
    assert endpoint.seen[0]["token"] != TOKEN
    assert (await shown(phone))[0]["note"] == "the endpoint answered 401"


async def test_a_message_that_was_not_taken_comes_again(phone, endpoint):
    endpoint.answers = [web.Response(status=503)]
    await phone.post("/sim/messages", json={"text": "hi"})
    await idle(phone)
    assert len(endpoint.seen) == 2
    assert endpoint.seen[0] == endpoint.seen[1]
    assert (await shown(phone))[0]["note"] == ""


async def test_an_answer_with_words_reaches_the_customer_and_shows(phone, endpoint):
    endpoint.answers = [web.Response(text="OK")]
    await phone.post("/sim/messages", json={"text": "hi"})
    assert [message["text"] for message in await shown(phone) if message["to_phone"]] == ["OK"]


@pytest.mark.parametrize("path", ["/", "/phone.js", "/frame.js", "/frame.css"])
async def test_the_page_needs_nothing_from_elsewhere(phone, path):
    answer = await phone.get(path)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    words = await answer.text()
    assert "http:" not in words
    assert "https:" not in words
    assert " style=" not in words
    assert "innerHTML" not in words


async def test_another_site_cannot_play_the_customer(phone, endpoint):
    answer = await phone.post("/sim/messages", data='{"text": "hi"}', headers={"Content-Type": "text/plain"})
    assert answer.status == 415
    assert endpoint.seen == []


@pytest.mark.parametrize("wrong", [{"text": 7}, {"text": "x" * 2001}, {"from": "", "text": "hi"}, []])
async def test_nonsense_from_the_page_is_refused(phone, wrong):
    assert (await phone.post("/sim/messages", json=wrong)).status == 400


async def test_an_unknown_fault_is_refused(phone):
    assert (await phone.post("/sim/faults", json={"on": ["gremlins"]})).status == 400


async def test_the_stream_begins_with_all_there_is(phone, endpoint):
    await send(phone, endpoint, "first")
    async with phone.get("/sim/stream") as stream:
        assert b'"text": "first"' in await stream.content.readline()
        await stream.content.readline()
        await fault(phone, "busy")
        assert b'"faults": ["busy"]' in await stream.content.readline()


async def test_the_demo_can_play_through_it(endpoint, aiohttp_server):
    """What `talkwire demo --check` does with it."""
    one = simulator()
    server = await aiohttp_server(one.app(endpoint.url))
    base = f"http://127.0.0.1:{server.port}"
    settings = one.settings(base, endpoint.url)
    assert "the endpoint answered 200" in await one.play(base, "hi")
    assert endpoint.seen[0]["token"] == settings["token"]

    query = {"username": settings["username"], "password": settings["password"], "to": CUSTOMER, "text": "hello"}
    async with aiohttp.ClientSession() as session:
        async with session.get(settings["url"], params=query) as answer:
            assert answer.status == 202
        assert await one.received(base) == ["hello"]
        await one.fault(base, "busy")
        async with session.get(settings["url"], params=query) as answer:
            assert answer.status == 503
        await one.fault(base, "")
        async with session.get(settings["url"], params=query) as answer:
            assert answer.status == 202

    endpoint.answers = [web.Response(status=401)]
    with pytest.raises(RuntimeError, match="401"):
        await one.play(base, "hi")
    assert set(one.faults) == set(Gateway.fault_names())
