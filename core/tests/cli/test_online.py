"""`check --online`: whatever stands between the world and us is named, with what to do."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import web

from talkwire.cli import online


@pytest.fixture
async def told_of(aiohttp_server):
    """Ask a server that answers like this; gives what is told."""

    async def ask(status=200, text="ok", headers=None):
        async def livez(_):
            return web.Response(status=status, text=text, headers=headers)

        app = web.Application()
        app.router.add_get("/livez", livez)
        server = await aiohttp_server(app)
        return await asked(f"http://127.0.0.1:{server.port}")

    return ask


async def asked(url, context=True):
    said = []
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session:
        await online._public(session, url, lambda what, good, text: said.append((what.partition("//")[0], good, text)))
    return said


async def test_an_answer_of_ours_is_good_and_our_clock_is_compared(told_of):
    said, clock = await told_of()
    assert said == ("http:", True, "answers")
    assert clock in (("its clock", True, "0 s from ours"), ("its clock", True, "1 s from ours"))
    late = format_datetime(datetime.now(UTC) - timedelta(minutes=10), usegmt=True)
    (_, (what, good, text)) = await told_of(headers={"Date": late})
    assert (what, good) == ("its clock", False)
    assert text.endswith("s from ours; one of the two needs NTP")
    assert len(await told_of(headers={"Date": "yesterday"})) == 1


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (503, "stuck", "it is stuck"),
        (502, "", "the proxy answers, and does not reach us"),
        (200, "<h1>It works!</h1>", "does the proxy lead to us?"),
        (404, "", "does the proxy lead to us?"),
    ],
)
async def test_another_answer_is_not_ours(told_of, status, text, words):
    (said, _) = await told_of(status, text)
    assert said[1] is False
    assert words in said[2]


async def test_a_redirect_is_named_without_its_query(told_of):
    (said, _) = await told_of(301, headers={"Location": "https://www.example.org/livez?planted"})
    assert "to https://www.example.org/livez: name the address that answers itself" in said[2]


async def test_what_does_not_answer_is_told_apart(told_of, aiohttp_server):
    server = await aiohttp_server(web.Application())
    assert "it speaks no TLS there" in (await asked(f"https://127.0.0.1:{server.port}"))[0][2]
    await server.close()
    assert "is the daemon running" in (await asked(f"http://127.0.0.1:{server.port}"))[0][2]
