import asyncio
import gzip
import json
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest
import pytest_asyncio
from aiohttp.test_utils import make_mocked_request

from talkwire import serving
from talkwire.api import make_app
from talkwire.api.inbound import ahead_of_routes
from talkwire.clock import SystemClock
from talkwire.sections import Listen

from .conftest import Tiny


@pytest_asyncio.fixture(params=["at the door", "by aiohttp"])
async def server(request, hub, aiohttp_client, client_of):
    """A client without any key, of the application as `talkwire run` serves it, or as aiohttp alone does."""
    at_the_door = request.param == "at the door"
    return await (client_of(hub) if at_the_door else aiohttp_client(make_app(hub.daemon)))


async def envelopes(hub):
    return await hub.rows("SELECT method, path, query, headers, remote, body FROM envelope")


async def test_a_delivery_is_stored_whole_and_answered_with_nothing(hub, customer):
    await customer.writes("Where is my parcel?")
    [(method, path, query, headers, remote, body)] = await envelopes(hub)
    assert (method, path, query, remote) == ("POST", "", "[]", "127.0.0.1")
    assert json.loads(body)[0]["text"] == "Where is my parcel?"
    assert "x-token" not in headers


async def test_path_query_and_repeats_come_as_they_were_sent(hub, customer):
    path = "/in/shop/a%2Fb?x=1&y=caf%C3%A9+au+lait&x=%FF&empty="
    async with customer.posts('["unread"]', path=path) as response:
        assert response.status == 200
    [(_, below, query, *_)] = await envelopes(hub)
    assert below == "/a%2Fb"
    assert json.loads(query) == [["x", "1"], ["y", "café au lait"], ["x", "\udcff"], ["empty", ""]]


@pytest.mark.parametrize(
    ("said", "remote"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 127.0.0.7", "203.0.113.9"),
        ("nonsense", "127.0.0.1"),
        ("203.0.113.9, nonsense, 127.0.0.7", "127.0.0.7"),
    ],
)
async def test_only_what_trusted_proxies_say_counts_as_the_clients_address(hub, customer, said, remote):
    async with customer.posts('["unread"]', headers={"X-Forwarded-For": said}) as response:
        assert response.status == 200
    assert (await envelopes(hub))[0][4] == remote


async def test_a_handshake_gets_the_channels_answer_and_stores_nothing(hub, server):
    async with server.get("/in/shop", params={"challenge": "abc"}) as response:
        assert (response.status, await response.text()) == (202, "abc")
    async with server.get("/in/shop?challenge=%FF") as response:
        assert (response.status, await response.read()) == (202, b"\xff")
    assert await envelopes(hub) == []


@pytest.mark.parametrize("path", ["/in/nobody", "/in/", "/in/shop%2F", "/in/gone"])
async def test_an_unknown_endpoint_is_404(hub, customer, path):
    async with customer.posts("[]", path=path) as response:
        assert (response.status, await response.read()) == (404, b"")
    assert await envelopes(hub) == []


@pytest.mark.parametrize("token", ["", "wrong", "tiny-token-012"])
async def test_a_forged_delivery_is_401_without_detail_and_nothing_is_stored(hub, customer, token):
    async with customer.posts("[]", token=token) as response:
        assert (response.status, await response.read()) == (401, b"")
        assert response.headers["Connection"] == "close"
    assert await envelopes(hub) == []


async def test_a_body_over_the_limit_is_413_before_anybody_is_asked_who_he_is(hub, customer):
    async with customer.posts(b"x" * 2001, token="wrong") as response:
        assert (response.status, await response.read()) == (413, b"")
    async with customer.posts(b" " * 1998 + b"[]") as response:
        assert response.status == 200


async def test_a_body_without_a_length_is_limited_too(hub, customer):
    async def chunks():
        for _ in range(30):
            yield b"x" * 100

    async with customer.posts(chunks()) as response:
        assert response.status == 413


async def test_a_body_that_does_not_come_is_408(hub, server, monkeypatch):
    monkeypatch.setattr("talkwire.api.inbound.BODY_TIME", 0.05)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"POST /in/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_method_by_which_no_provider_of_it_calls_is_405_and_nothing_is_kept(hub, server, method):
    headers = {"X-Token": "tiny-token-0123"}
    async with server.request(method, "/in/shop", data="[]", headers=headers) as response:
        assert (response.status, await response.read()) == (405, b"")
        assert response.headers["Allow"] == "GET, HEAD, POST"
    async with server.request(method, "/in/nowhere", data="[]", headers=headers) as response:
        assert response.status == 404
    assert await hub.rows("SELECT 1 FROM envelope") == []


async def test_a_channel_names_the_methods_by_which_its_provider_calls(hub, server, monkeypatch):
    monkeypatch.setattr(Tiny, "features", replace(Tiny.features, methods=frozenset({"PUT"})))
    hub.daemon.intake.serve(hub.daemon.accounts.endpoints())
    for method, status in (("PUT", 200), ("POST", 405), ("GET", 405), ("HEAD", 405)):
        async with server.request(method, "/in/shop", data="[]", headers={"X-Token": "tiny-token-0123"}) as response:
            assert response.status == status


async def test_what_cannot_be_read_is_kept_as_unread_and_answered_with_200(hub, customer, api):
    async with customer.posts("no json") as response:
        assert (response.status, await response.read()) == (200, b"")
    [(unread,)] = await hub.rows("SELECT unread FROM envelope")
    assert "in parse" in unread


async def test_one_bad_item_loses_no_other(hub, customer):
    values = ["unread", {"id": "a", "from": "+6281234567890", "text": "one"}, 7]
    async with customer.posts(json.dumps(values)) as response:
        assert response.status == 200
    assert await hub.rows("SELECT text FROM message") == [("one",)]


async def test_a_database_that_is_down_is_503_so_that_the_provider_comes_again(hub, customer):
    await hub.daemon.store.close()
    async with customer.posts('["unread"]') as response:
        assert (response.status, await response.read()) == (503, b"")
        assert int(response.headers["Retry-After"]) > 0


async def test_each_delivery_is_counted_by_its_answer(hub, server, customer):
    await customer.writes("one")
    hub.daemon.store._inbox.close()
    async with customer.posts('["unread"]') as response:
        assert response.status == 503
    times = {key[2]: sum(one.counts) for key, one in hub.daemon.requests.times.items()}
    assert times == {200: 1, 503: 1}
    assert hub.daemon.account("shop").counts.taken == 2
    assert hub.daemon.store.waiting == 0


async def test_many_deliveries_go_over_one_connection(hub, server):
    reader, writer = await asyncio.open_connection(server.host, server.port)
    for _ in range(3):
        writer.write(b"GET /in/shop HTTP/1.1\r\nHost: x\r\nX-Token: tiny-token-0123\r\n\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_body_that_cannot_be_unpacked_is_400_with_nothing_in_it(hub, customer):
    """Also such an answer reaches the customer of a gateway that passes on what we say."""
    async with customer.posts(b"no gzip", headers={"Content-Encoding": "gzip"}) as response:
        assert (response.status, await response.read()) == (400, b"")
    assert await envelopes(hub) == []


async def test_what_unpacks_to_more_than_the_limit_is_413(hub, customer):
    packed = gzip.compress(b"x" * 3_000_000)
    async with customer.posts(packed, headers={"Content-Encoding": "gzip"}) as response:
        assert (response.status, await response.read()) == (413, b"")


@pytest_asyncio.fixture
async def served(hub):
    """Where the public application listens as `talkwire run` serves it."""
    (bound,) = serving._bind(Listen("127.0.0.1", 0), "server.listen")
    close = await serving._listen(make_app(hub.daemon), [bound])
    yield bound.getsockname()
    await close()


async def said(address, *lines):
    """Send lines, and an end of headers; give the head of the answer, and whether the connection is closed after it."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write("\r\n".join([*lines, "X-Token: tiny-token-0123", "", ""]).encode())
    async with asyncio.timeout(20):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        is_closed = "close" in head.lower() or lines[0].endswith("1.0")
        if is_closed:
            assert await reader.read() == b""
    writer.close()
    return head, is_closed


async def test_what_was_taken_is_answered_with_the_headers_of_any_answer(hub, served):
    head, is_closed = await said(served, "POST /in/shop HTTP/1.1", "Host: x", "Content-Length: 0")
    status, *lines = head.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert (status, is_closed) == ("HTTP/1.1 200 OK", False)
    assert headers.keys() == {"Content-Length", "Date", "Server"}
    assert headers["Content-Length"] == "0"
    age = SystemClock().now() - parsedate_to_datetime(headers["Date"])
    assert -2 < age.total_seconds() < 20
    assert len(await envelopes(hub)) == 1


@pytest.mark.parametrize(
    ("lines", "is_closed"),
    [
        (("POST /in/shop HTTP/1.1", "Host: x", "Connection: close"), True),
        (("POST /in/shop HTTP/1.0",), True),
        (("HEAD /in/shop HTTP/1.1", "Host: x"), False),
    ],
)
async def test_whoever_wants_it_otherwise_is_answered_so(hub, served, lines, is_closed):
    head, was_closed = await said(served, *lines)
    assert head.startswith(f"HTTP/1.{lines[0][-1]} 200 ")
    assert was_closed is is_closed
    assert len(await envelopes(hub)) == 1


async def test_whoever_asks_before_sending_a_body_is_told_to_go_on(hub, served):
    reader, writer = await asyncio.open_connection(*served)
    head = "POST /in/shop HTTP/1.1\r\nHost: x\r\nX-Token: tiny-token-0123\r\nExpect: 100-continue\r\nContent-Length: 10"
    writer.write(f"{head}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b'["unread"]')
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert [row[5] for row in await envelopes(hub)] == [b'["unread"]']


async def test_whoever_only_brings_deliveries_is_no_silent_connection(hub):
    (bound,) = serving._bind(Listen("127.0.0.1", 0), "server.listen")
    close = await serving._listen(make_app(hub.daemon), [bound], headers_within=0.2)
    reader, writer = await asyncio.open_connection(*bound.getsockname())
    silent, other = await asyncio.open_connection(*bound.getsockname())
    for _ in range(2):
        writer.write(b"POST /in/shop HTTP/1.1\r\nHost: x\r\nX-Token: tiny-token-0123\r\nContent-Length: 0\r\n\r\n")
        async with asyncio.timeout(20):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            await silent.read()  # that one is closed: so would we be
    for each in (writer, other):
        each.close()
    await close()


async def test_a_client_that_left_before_its_answer_breaks_nothing(hub, served):
    _, writer = await asyncio.open_connection(*served)
    writer.write(b"POST /in/shop HTTP/1.1\r\nHost: x\r\nX-Token: tiny-token-0123\r\n\r\n")
    writer.transport.abort()
    await hub.run_until_idle()
    head, _ = await said(served, "POST /in/shop HTTP/1.1", "Host: x", "Content-Length: 0")
    assert head.startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("path", "headers", "who"),
    [
        ("/in/shop", {}, "receive"),
        ("/in/", {}, "receive"),
        ("/in/shop", {"Expect": "100-continue"}, "routed"),
        ("/in", {}, "routed"),
        ("/api/v1/accounts", {}, "routed"),
    ],
)
def test_only_deliveries_go_ahead_of_the_routes(path, headers, who):
    handle = ahead_of_routes(lambda _: "receive", lambda _: "routed")
    assert handle(make_mocked_request("POST", path, headers=headers)) == who
