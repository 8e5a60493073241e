"""The classic holes, tried one by one on a whole hub behind a real server."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from talkwire.api import api, make_admin, make_app
from talkwire.api.principals import create_keys
from tests.journeys.acme_hub import AcmeHub

ROOT = Path(__file__).resolve().parents[2]


@pytest_asyncio.fixture
async def acme(start_acme: Any) -> AcmeHub:
    return await start_acme()


@pytest_asyncio.fixture
async def server(acme: AcmeHub, aiohttp_client: Any) -> Any:
    return await aiohttp_client(make_app(acme.hub.daemon))


@pytest_asyncio.fixture
async def headers(acme: AcmeHub) -> dict[str, str]:
    token = await acme.hub.daemon.store.write(create_keys, ("crm", "admin"))
    return {"Authorization": f"Bearer {token}"}


async def raw(server: Any, *sent: bytes) -> bytes:
    """Send bytes over one connection, and give all that comes back until it is closed."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"".join(sent))
        try:
            return await reader.read()
        finally:
            writer.close()


# --- requests within requests --------------------------------------------------------------------------------

HIDDEN = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
AMBIGUOUS = [
    b"Content-Length: 4\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4",
    b"Content-Length: 4\r\nContent-Length: 40",
    b"Content-Length: 4, 40",
    b"Content-Length: +4",
    b"Content-Length: 0x4",
    b"Content-Length : 4",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding:\x0bchunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\x00z",
    b"X: " + b"y" * 20_000,
    b"X" * 20_000 + b": y",
]
NO_SIZE = [b"0x4", b"4;\nx", b"-4", b"+4", b"4_0", b""]
REFUSED = re.compile(rb"HTTP/1\.[01] (400|431|501) ")


async def test_a_request_whose_length_can_be_read_two_ways_is_refused_with_all_that_follows(server: Any) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    tried = [head + b"\r\n\r\n0\r\n\r\n" for head in AMBIGUOUS]
    tried += [chunked + size + b"\r\nabcd\r\n0\r\n\r\n" for size in NO_SIZE]
    for one in tried:
        said = await raw(server, b"POST /in/shop HTTP/1.1\r\nHost: x\r\n", one, HIDDEN)
        assert REFUSED.match(said), (one[:60], said)
        assert said.count(b"HTTP/1.") == 1, (one[:60], "the hidden request was answered")
        assert not said.endswith(b"ok"), one[:60]
    plain = b"POST /in/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert (await raw(server, plain)).startswith(b"HTTP/1.1 401 "), "a plain one is read"


async def test_a_connection_on_which_many_requests_wait_is_read_no_further(
    acme: AcmeHub, server: Any, headers: Any
) -> None:
    first = f"GET /api/v1/events?wait=30 HTTP/1.1\r\nHost: x\r\nAuthorization: {headers['Authorization']}\r\n\r\n"
    async with asyncio.timeout(20):
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(first.encode() + HIDDEN * 1000)
        handlers = server.server.handler.connections
        while not any(one._messages for one in handlers):
            await asyncio.sleep(0)
        [waiting] = [one._messages for one in handlers if one._messages]
        most = 0
        for _ in range(50):
            writer.write(HIDDEN * 1000)
            await asyncio.sleep(0)
            most = max(most, len(waiting))
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        acme.hub.daemon.tail.close()  # nobody waits for news any more, so that the server's end need not
    assert 0 < most <= 64


# --- headers of ours ---------------------------------------------------------------------------------------------

NAMES = [
    "a\r\nSet-Cookie: x=y",
    "a%0d%0aSet-Cookie:%20x=y",
    'a"; filename="b.html',
    "../../etc/passwd",
    "a\u2028b.html",
]


async def test_a_files_name_writes_no_header_and_no_path(acme: AcmeHub, server: Any, headers: Any) -> None:
    for name in [*NAMES, "\u202egpj.exe"]:
        async with server.post("/api/v1/attachments", params={"name": name}, data=b"x", headers=headers) as got:
            assert got.status == 201
            kept = await got.json()
        async with server.get(kept["link"]) as got:
            said = got.headers["Content-Disposition"]
            assert (got.status, "Set-Cookie" in got.headers) == (200, False)
        assert said.startswith("attachment; filename=")
        assert said.count('"') == 2, said
        assert not set("\r\n\0") & set(said)
        assert not re.search(r"[/\\\u202e]", kept["name"]), kept["name"]
    stored = [path for path in acme.hub.daemon.config.store.files.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"[0-9a-f]{64}", path.name) for path in stored), "only a hash is a path"


async def test_no_answer_of_the_api_is_kept_on_its_way_or_taken_for_a_page(server: Any, headers: Any) -> None:
    for path in ("accounts", "nothing", "conversations?limit=0", "session"):
        for given in (headers, {}):
            async with server.get(f"/api/v1/{path}", headers=given) as got:
                assert (got.headers["Cache-Control"], got.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
                assert got.content_type in ("application/json", "application/problem+json")


async def test_a_link_is_not_made_of_what_the_client_calls_us(server: Any, headers: Any) -> None:
    lying = {**headers, "Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    async with server.post("/api/v1/attachments?name=a.txt", data=b"x", headers=lying) as got:
        assert "evil" not in (await got.json())["link"]


LURES = ("//evil.example/", "//evil.example/..", "/\\evil.example", "/p//evil.example/", "/c/../..//evil.example",
         "/api/v1//evil.example", "/operator//evil.example", "/media/%2F%2Fevil.example")  # fmt: skip


async def test_nobody_is_sent_elsewhere(acme: AcmeHub, server: Any, aiohttp_client: Any) -> None:
    for each in (server, await aiohttp_client(make_admin(acme.hub.daemon))):
        for path in LURES:
            said = await raw(each, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert not re.match(rb"HTTP/1\.[01] 3", said), (path, said)
            assert b"\r\nlocation:" not in said.lower(), path


# --- a browser in the hands of another site --------------------------------------------------------------------------


async def sign_in(server: Any, headers: Any) -> str:
    async with server.post("/api/v1/session", json={"key": headers["Authorization"].split()[1]}) as got:
        assert got.status == 200
        return str(got.cookies["talkwire"].value)


async def test_no_operation_that_changes_something_is_done_for_another_sites_page(
    acme: AcmeHub, server: Any, headers: Any
) -> None:
    await acme.talk()
    await sign_in(server, headers)
    changing = [one for one in api.operations if one.method != "GET" and one.scope is not None]
    assert len(changing) > 8
    for one in changing:
        path = api.prefix + re.sub(r"\{\w+\}", "shop", one.path)
        for said in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
            async with server.request(one.method, path, json={}, headers=said) as got:
                assert (got.status, one.path) == (403, one.path)
    assert await acme.column("SELECT what FROM audit") == ["sign-in"], "not even tried"


async def test_another_sites_page_may_read_nothing(server: Any, headers: Any) -> None:
    await sign_in(server, headers)
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method, path in (
        ("OPTIONS", "/api/v1/accounts"),
        ("GET", "/api/v1/accounts"),
        ("GET", "/livez"),
        ("GET", "/api/v1/openapi.json"),
    ):
        async with server.request(method, path, headers=asking) as got:
            assert not [name for name in got.headers if name.lower().startswith("access-control-")], (method, path)


async def test_what_a_form_of_another_site_can_send_signs_nobody_in(server: Any, headers: Any) -> None:
    body = json.dumps({"key": headers["Authorization"].split()[1]})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        async with server.post("/api/v1/session", data=body, headers={"Content-Type": kind}) as got:
            assert (got.status, "Set-Cookie" in got.headers) == (415, False)


async def test_a_cookie_that_was_put_there_before_is_not_the_one_that_is_signed_in(server: Any, headers: Any) -> None:
    planted = "A" * 43
    server.session.cookie_jar.update_cookies({"talkwire": planted})
    assert await sign_in(server, headers) != planted
    server.session.cookie_jar.clear()
    async with server.get("/api/v1/session", headers={"Cookie": f"talkwire={planted}"}) as got:
        assert got.status == 401


# --- time, and what is compared --------------------------------------------------------------------------------------

SECRET = re.compile(r"(?:^|_)(?:secret|signature|password|cookie|mac|hashed|token_hash|signed|api_key)$")

NEAR = re.compile(
    r"[!=]=.*(?:secret|signature|password|cookie|mac|hash|signed|key)|(?:secret|signature|password|cookie|mac|hash|signed|key).*[!=]="
)


def compared(source: str) -> list[str]:
    """Name the secrets that a module compares by `==`, which takes longer the more of it is right."""
    found: list[str] = []
    if not NEAR.search(source):
        return found  # parsing takes long
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue  # with nothing, or with a word of ours
            names = [getattr(side, "attr", getattr(side, "id", "")) for side in sides]
            found += [name for name in names if SECRET.search(name)]
    return found


@pytest.mark.skipif(
    not (ROOT / "core").is_dir(), reason="looks at the checkout's own files; this is a copy of the tests"
)
def test_no_secret_is_compared_by_a_comparison_that_tells_how_much_of_it_was_right() -> None:
    files = [
        file
        for pattern in ("core/src", "plugins/*/src", "examples/*/src")
        for top in ROOT.glob(pattern)
        for file in top.rglob("*.py")
    ]
    assert len(files) > 100
    assert {str(file.relative_to(ROOT)): names for file in files if (names := compared(file.read_text()))} == {}


def test_such_a_comparison_is_found() -> None:
    assert compared("if given == self.secret or mac != made: pass") == ["secret", "mac"]
    assert compared("if token.type == end or secret == '': pass") == []


async def test_what_comes_by_the_api_is_taken_as_it_is_written(acme: AcmeHub, server: Any, headers: Any) -> None:
    """Only the file of settings has references: a host's text must not read the daemon's files."""
    said = "${HOME} ${file:/etc/hostname} ${NOBODY:-x} {0.real} {{7*7}} %s $(id)"
    talk = await acme.talk()
    async with server.post(f"/api/v1/conversations/{talk.id}/replies", json={"text": said}, headers=headers) as got:
        assert got.status == 202
    await acme.hub.run_until_idle()
    assert acme.provider.shown[-1].json()["text"] == said
