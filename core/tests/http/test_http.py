"""What a request became is told truthfully, once, and without secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import traceback
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest

from talkwire.channel import Channel, Http, Settings
from talkwire.errors import NotSent, Refused, TryLater, Uncertain
from talkwire.http import AccountHttp, Answer, ExchangeRecord, client_session
from talkwire.testing.provider import (
    Answers,
    FakeProvider,
    Reply,
    Seen,
    garbage_200,
    hang_after_acceptance,
    reset_after_body,
    says,
    truncated,
)
from tests.parts.ports import free_port

SECRET = "s3cr:et/tok en+é"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


@pytest.fixture
async def gate() -> AsyncIterator[FakeProvider]:
    async with FakeProvider(Answers(accept=lambda seen, key: Reply.json({"id": key}))) as gate:
        yield gate


class Way:
    """An `AccountHttp` with its records."""

    def __init__(self, session: aiohttp.ClientSession, *hosts: str, **options) -> None:
        self.records: list[ExchangeRecord] = []
        self.http = AccountHttp(session, "shop", hosts, self.records.append, (SECRET,), **options)


@pytest.fixture
def way(session: aiohttp.ClientSession, gate: FakeProvider) -> Way:
    return Way(session, gate.host)


async def test_any_whole_answer_is_returned(way: Way, gate: FakeProvider) -> None:
    gate.will(says(Reply(status=500, body=b"oh")), says(Reply(status=302, headers={"Location": "/elsewhere"})))

    assert (await way.http.get(gate.url + "/a")).status == 500
    answer = await way.http.post(gate.url + "/b", json={"x": 1})
    assert answer.status == 302
    assert answer.headers["LOCATION"] == "/elsewhere"
    assert [seen.path for seen in gate.requests] == ["/a", "/b"]  # nobody followed the redirect


async def test_it_is_the_http_that_channels_are_promised(way: Way) -> None:
    promised: Http = way.http
    assert promised


async def test_another_host_is_refused_with_the_setting_and_nothing_leaves(way: Way, gate: FakeProvider) -> None:
    for url in (
        "http://evil.example/x",
        gate.url.replace("http", "https").replace("127.0.0.1", "127.0.0.2"),
        "http://127.0.0.1/x",  # another port of the same host
        "ftp://127.0.0.1/x",
        "/only/a/path",
        "http://[broken",
    ):
        with pytest.raises(NotSent) as caught:
            await way.http.get(url)
        assert 'account "shop"' in str(caught.value)
    with pytest.raises(NotSent, match=r"accounts\.shop"):
        await way.http.get("http://evil.example/x")
    assert gate.requests == []


async def test_the_hosts_of_a_url_with_a_user_are_its_hosts() -> None:
    class Own(Settings):
        url: str

    assert Channel.hosts(Own(url="https://me:pw@Gate.example:8443/x")) == {"gate.example:8443"}


async def test_a_refused_connection_is_not_sent(session: aiohttp.ClientSession) -> None:
    port = free_port()
    way = Way(session, f"127.0.0.1:{port}")
    with pytest.raises(NotSent, match="cannot be connected to"):
        await way.http.post(f"http://127.0.0.1:{port}/send", data="x")
    assert way.records[0].status is None
    assert "cannot be connected" in way.records[0].error


async def test_a_name_that_does_not_resolve_is_not_sent(session: aiohttp.ClientSession) -> None:
    way = Way(session, "gate.invalid:8080")
    with pytest.raises(NotSent):
        await way.http.get("http://gate.invalid:8080/send")


async def test_failed_tls_is_not_sent(session: aiohttp.ClientSession, gate: FakeProvider, way: Way) -> None:
    """The fake provider speaks no TLS, so the handshake fails before anything of ours is said."""
    with pytest.raises(NotSent):
        await way.http.post(gate.url.replace("http:", "https:") + "/send", data="x")
    assert gate.requests == []
    assert ssl.OPENSSL_VERSION


async def test_a_connection_that_does_not_come_about_in_time_is_not_sent(session: aiohttp.ClientSession) -> None:
    """A socket that listens with a full backlog answers no SYN."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        host = f"127.0.0.1:{deaf.getsockname()[1]}"
        way = Way(session, host, timeout=timedelta(seconds=1))
        with pytest.raises(NotSent, match="no connection within"):
            await way.http.get(f"http://{host}/send")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("reused", [False, True])
async def test_a_reset_after_the_request_is_uncertain_and_never_repeated(
    way: Way, gate: FakeProvider, method: str, *, reused: bool
) -> None:
    """aiohttp would repeat all but POST on a reused connection."""
    if reused:
        await way.http.get(gate.url + "/warm-up")
    gate.requests.clear()
    gate.always(reset_after_body())
    with pytest.raises(Uncertain):
        await way.http.request(method, gate.url + "/send", data=None if method == "GET" else "x" * 100)
    assert len(gate.requests) == 1


async def test_the_repetition_of_aiohttp_is_what_we_switch_off(
    session: aiohttp.ClientSession, gate: FakeProvider
) -> None:
    """If this fails, aiohttp has changed: look again at `_never_repeated`."""
    async with session.get(gate.url) as answer:
        await answer.read()
    gate.requests.clear()
    gate.always(reset_after_body())
    with pytest.raises(aiohttp.ClientError):
        await session.get(gate.url)
    assert len(gate.requests) == 2


async def test_a_time_out_after_acceptance_is_uncertain(way: Way, gate: FakeProvider) -> None:
    gate.will(hang_after_acceptance())
    asking = asyncio.ensure_future(way.http.post(gate.url + "/send", data="x"))
    await gate.arrived()
    way.http.end_time()
    with pytest.raises(Uncertain, match="no whole answer within 15 s"):
        await asking


async def test_the_time_out_is_real(session: aiohttp.ClientSession, gate: FakeProvider) -> None:
    gate.will(hang_after_acceptance())
    way = Way(session, gate.host)
    with pytest.raises(Uncertain):
        await way.http.get(gate.url, timeout=timedelta(milliseconds=50))


async def test_a_truncated_answer_is_uncertain(way: Way, gate: FakeProvider) -> None:
    gate.will(truncated())
    with pytest.raises(Uncertain, match="cut off"):
        await way.http.get(gate.url)


async def test_an_answer_over_the_limit_is_uncertain(session: aiohttp.ClientSession, gate: FakeProvider) -> None:
    gate.will(says(Reply(body=b"x" * 1001)))
    way = Way(session, gate.host, answer_limit=1000)
    with pytest.raises(Uncertain, match="larger than 1000 bytes"):
        await way.http.get(gate.url)


async def test_an_answer_that_is_no_http_is_uncertain(session: aiohttp.ClientSession) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Uncertain):
            await Way(session, host).http.get(f"http://{host}/")


async def test_an_answer_that_is_no_json_is_uncertain(way: Way, gate: FakeProvider) -> None:
    gate.will(garbage_200(), says(Reply(body=b"[" * 100_000)))
    for _ in range(2):
        answer = await way.http.get(gate.url)
        with pytest.raises(Uncertain, match="not JSON"):
            answer.json()


async def test_a_bug_of_ours_stays_a_bug(way: Way, gate: FakeProvider) -> None:
    with pytest.raises(TypeError):
        await way.http.post(gate.url, json={"x": object()})
    assert way.records[0].error == "TypeError"


async def test_a_cancelled_request_is_recorded_and_stays_cancelled(way: Way, gate: FakeProvider) -> None:
    gate.will(hang_after_acceptance())
    asking = asyncio.ensure_future(way.http.get(gate.url))
    await gate.arrived()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert way.records[0].error == "CancelledError"


async def test_accounts_share_no_cookies(session: aiohttp.ClientSession, way: Way, gate: FakeProvider) -> None:
    gate.will(says(Reply(headers={"Set-Cookie": "who=me"})))
    await way.http.get(gate.url)
    await way.http.get(gate.url)
    assert "cookie" not in gate.requests[1].headers


async def test_a_record_holds_what_a_person_needs_and_no_secret(way: Way, gate: FakeProvider) -> None:
    text = "Where is my parcel?"
    gate.will(says(Reply.json({"id": 7, "echo": text, "text": "x", "token": "abc", "hint": f"bot {SECRET}"})))
    await way.http.post(
        f"{gate.url}/bot{SECRET}/send",
        params={"to": "+6281234", "password": "pw", "text": "hi", "dlr": "x" * 100, "mask": "31"},
        json={"chat": 5, "silent": True, "text": text, "deep": [{"note": text}], "key": SECRET},
        headers={"Authorization": f"Bearer {SECRET}"},
    )
    (record,) = way.records
    line = repr(record)
    assert (record.account, record.what, record.status) == ("shop", "http", 200)
    assert record.request.startswith(f"POST {gate.url}/bot***/send?to=+6281234&password=***&text=(2 characters)")
    assert "mask=31" in record.request
    assert "(100 characters)" in record.request
    assert json.loads(record.sent) == {
        "chat": 5, "silent": True, "text": "(19 characters)", "deep": [{"note": "(19 characters)"}], "key": "***",
    }  # fmt: skip
    assert json.loads(record.answer) == {
        "id": 7, "echo": "(19 characters)", "text": "(1 characters)", "token": "***", "hint": "bot ***",
    }  # fmt: skip
    assert "parcel" not in line
    assert "s3cr" not in line


async def test_the_reason_of_a_refusal_is_kept(way: Way, gate: FakeProvider) -> None:
    gate.will(says(Reply.json({"error": {"message": "No such chat: +628"}}, status=400)))
    await way.http.post(gate.url, json={"text": "hello there"})
    assert "No such chat" in way.records[0].answer


async def test_a_record_is_short(way: Way, gate: FakeProvider) -> None:
    gate.will(says(Reply(body=b"y" * 1_000_000)))
    await way.http.post(gate.url, json={f"k{n}": n for n in range(1000)})
    (record,) = way.records
    assert max(len(record.request), len(record.sent), len(record.answer)) <= 2048


async def test_no_error_holds_a_secret(
    session: aiohttp.ClientSession, way: Way, gate: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """aiohttp's own texts name whole URLs, so neither the text nor the chain may be theirs."""
    caplog.set_level(logging.DEBUG)
    closed = f"127.0.0.1:{free_port()}"
    nowhere = Way(session, closed)
    gate.always(reset_after_body())
    for http, base in ((nowhere.http, f"http://{closed}"), (way.http, gate.url), (way.http, "http://evil.example")):
        with pytest.raises((NotSent, Uncertain)) as caught:
            await http.get(f"{base}/bot{SECRET}/x")
        assert "s3cr" not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None
    assert "s3cr" not in caplog.text
    assert "s3cr" not in repr(way.records + nowhere.records)


async def test_a_download_comes_in_pieces_and_is_recorded(way: Way, gate: FakeProvider) -> None:
    gate.will(says(Reply(body=b"z" * 300_000)))
    got = b"".join([piece async for piece in way.http.download(gate.url + "/file")])
    assert got == b"z" * 300_000
    assert way.records[0].answer == "(300000 bytes)"


async def test_a_download_ends_at_its_limit_and_on_any_other_status(way: Way, gate: FakeProvider) -> None:
    gate.will(
        says(Reply(body=b"z" * 3000)),
        says(Reply(status=404)),
        says(Reply(status=429, headers={"Retry-After": "9"})),
        says(Reply(status=302, headers={"Location": "http://evil.example/"})),
        truncated(),
    )
    for error in (Refused, Refused, TryLater, Refused, Uncertain):
        with pytest.raises(error):
            async for _ in way.http.download(gate.url + "/file", limit=1000):
                pass


def test_an_answer_that_is_no_utf8_can_be_shown() -> None:
    assert Answer(200, {}, b"a\xff").text() == "a\ufffd"


def test_seen_requests_read_well() -> None:
    seen = Seen(method="GET", path="/x", query=(("a", "1"),), headers={}, body=b"")
    assert (seen.param("a"), seen.param("b")) == ("1", "")
