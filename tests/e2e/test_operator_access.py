"""Who may use the operator's page: nobody but this machine's own user, from this page."""

from __future__ import annotations

import aiohttp
import pytest

from talkwire.api import operator as operator_module
from tests.e2e.conftest import Demo

pytestmark = pytest.mark.asyncio(loop_scope="module")  # as the demo's


async def sign_in(demo: Demo, **headers: str) -> int:
    given = {"Origin": demo.stage.operator, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{demo.stage.operator}/operator/session", headers=given) as answer,
    ):
        return answer.status


async def test_our_own_user_signs_in(demo: Demo) -> None:
    assert await sign_in(demo) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Host": "evil.example", "Origin": "http://evil.example"},  # a name bound anew to 127.0.0.1
        {"Host": "evil.example:80"},
        {"X_Forwarded_For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
)
async def test_other_pages_and_proxies_do_not(demo: Demo, headers: dict[str, str]) -> None:
    assert await sign_in(demo, **headers) == 403


async def test_another_user_of_this_machine_does_not(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_module.os, "getuid", lambda: 4_000_000)  # we are somebody else
    assert await sign_in(demo) == 401


async def test_the_session_can_do_no_more_than_a_host(demo: Demo) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        url = demo.stage.operator
        async with session.post(f"{url}/operator/session", headers={"Origin": url}) as answer:
            cookie = answer.headers["Set-Cookie"]
        async with session.get(f"{url}/api/v1/session") as answer:
            assert await answer.json() == {"principal": "operator:local", "scope": "host"}
    assert "HttpOnly" in cookie
    assert "SameSite" in cookie


async def test_the_public_port_has_no_page(demo: Demo) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/operator/page.js"):
            async with session.get(demo.stage.api + path) as answer:
                assert answer.status == 404
        async with session.post(f"{demo.stage.api}/operator/session", headers={"Origin": demo.stage.api}) as answer:
            assert answer.status == 404


async def test_files_beside_the_page_are_not_served(demo: Demo) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/operator/..%2f__init__.py", "/operator/%2e%2e/__init__.py", "/operator/nothing.js"):
            async with session.get(aiohttp.client.URL(demo.stage.operator + path, encoded=True)) as answer:
                assert answer.status == 404, path


async def test_the_policy_is_strict(demo: Demo) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{demo.stage.operator}/") as answer:
        policy = dict(one.split(" ", 1) for one in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' data:"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == "'none'"
