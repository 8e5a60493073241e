"""URLs that somebody else named."""

import asyncio
import ipaddress
import socket
from datetime import timedelta

import pytest
from aiohttp import TCPConnector, web
from hypothesis import given
from hypothesis import strategies as st

from talkwire.errors import NotFound, TooLarge, TryLater, UnsafeUrl
from talkwire.media import guard
from talkwire.media.guard import fetch_guarded, is_public, is_public_or_loopback, new_session

SOON = timedelta(seconds=5)

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "203.0.114.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_the_open_internet_is_public(address):
    assert is_public(ipaddress.ip_address(address))


@given(st.one_of(*[st.ip_addresses(network=f"{first}.0.0.0/8") for first in (8, 23, 52, 93, 151)]))
def test_the_default_does_not_block_all_of_ipv4(address):
    assert is_public(address)


UNSAFE = [
    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/", "example.com", "", "http://", "http://[::1]/",
    "http://127.0.0.1/", "http://8.8.8.8/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/",
    "http://localhost/", "http://１２７.0.0.1/", "http://user:pass@example.com/", "http://a:b@127.0.0.1/",
    "http://[::ffff:127.0.0.1]/", "http://0/", "http://127.0.0.1./", "http://[bad/", "http://example.com:99999/",
]  # fmt: skip


@pytest.mark.parametrize("url", UNSAFE)
async def test_what_is_not_on_the_open_internet_is_refused(url):
    with pytest.raises(UnsafeUrl):
        await fetched(url, allow=None)


async def fetched(url, *, limit=1000, timeout=SOON, allow=is_public_or_loopback, session=new_session):
    return b"".join([chunk async for chunk in fetch_guarded(session, url, limit=limit, timeout=timeout, allow=allow)])


@pytest.fixture
async def server():
    asked, stop = [], asyncio.Event()

    async def answer(request):
        asked.append(request)
        match request.path:
            case "/file":
                return web.Response(body=b"x" * 100)
            case "/stream":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(20):
                    await response.write(b"x" * 100)
                return response
            case "/zip":
                response = web.Response(body=b"x" * 100_000)
                response.enable_compression()
                return response
            case "/to":
                return web.Response(status=302, headers={"Location": request.query["url"]})
            case "/hop":
                n = int(request.query["n"])
                return web.Response(status=307, headers={"Location": f"/hop?n={n - 1}" if n > 1 else "/file"})
            case "/slow":
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b"x")
                await stop.wait()
                return response
        return web.Response(status=int(request.path.strip("/")))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield type("Server", (), {"url": f"http://localhost:{port}", "literal": f"http://127.0.0.1:{port}", "asked": asked})
    stop.set()
    await runner.cleanup()


async def test_a_file_is_fetched(server):
    assert await fetched(f"{server.url}/file") == b"x" * 100
    assert await fetched(f"{server.literal}/file") == b"x" * 100


async def test_nothing_of_ours_goes_along(server):
    await fetched(f"{server.url}/file")
    assert server.asked[0].headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Referer"} & set(server.asked[0].headers)


async def test_this_machine_is_refused_unless_it_is_allowed(server):
    for url in (server.url, server.literal):
        with pytest.raises(UnsafeUrl, match="not on the open Internet"):
            await fetched(f"{url}/file", allow=None)
    assert server.asked == []


async def test_a_name_that_resolves_elsewhere_when_the_socket_is_made_is_refused(server):
    """A session that brings its own resolver still cannot leave: the socket itself is checked."""

    class Rebinding(guard.AbstractResolver):
        async def resolve(self, host, port=0, family=socket.AF_INET):
            return [
                {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            ]

        async def close(self):
            pass

    def rebound(connector: TCPConnector):
        connector._resolver = Rebinding()
        return new_session(connector)

    with pytest.raises(UnsafeUrl):
        await fetched(server.url.replace("localhost", "example.com") + "/file", allow=None, session=rebound)
    assert server.asked == []


async def test_redirects_are_followed_three_times(server):
    assert await fetched(f"{server.url}/hop?n=3") == b"x" * 100
    with pytest.raises(UnsafeUrl, match="more than 3 times"):
        await fetched(f"{server.url}/hop?n=4")


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "file:///etc/passwd", "http://10.0.0.1/", "http://[::ffff:7f00:1]/"]
)
async def test_a_redirect_is_checked_as_the_first_url_was(server, url):
    with pytest.raises(UnsafeUrl):
        await fetched(f"{server.url}/to?url={url}")


@pytest.mark.parametrize("path", ["/file", "/stream"])
async def test_a_file_over_the_limit_is_too_large(server, path):
    with pytest.raises(TooLarge):
        await fetched(server.url + path, limit=99)
    assert await fetched(f"{server.url}/file", limit=100) == b"x" * 100


async def test_a_file_that_says_it_is_too_large_is_not_begun(server):
    with pytest.raises(TooLarge, match="the file has 100 bytes"):
        await anext(
            fetch_guarded(new_session, f"{server.url}/file", limit=99, timeout=SOON, allow=is_public_or_loopback)
        )


async def test_only_public_addresses_are_resolved():
    with pytest.raises(UnsafeUrl, match="localhost"):
        await guard._Guard(None).resolve("localhost")


async def test_a_bomb_is_not_unpacked(server):
    with pytest.raises(TooLarge):
        await fetched(f"{server.url}/zip", limit=2000)


async def test_a_slow_server_is_left(server):
    with pytest.raises(TryLater):
        await fetched(f"{server.url}/slow", timeout=timedelta(milliseconds=200))


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFound), (410, NotFound), (403, NotFound), (204, NotFound), (429, TryLater), (500, TryLater)],
)
async def test_the_status_says_what_to_do(server, status, error):
    with pytest.raises(error, match=str(status)):
        await fetched(f"{server.url}/{status}")


async def test_nobody_there_means_later():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TryLater):
            await fetched(f"http://localhost:{taken.getsockname()[1]}/")
