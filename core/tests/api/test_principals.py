import pytest

from talkwire.api.principals import list_keys, revoke_keys


async def status_of(server, method, path, token="", **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with server.request(method, f"/api/v1{path}", headers=headers, **options) as response:
        return response.status


@pytest.mark.parametrize("said", ["", "Bearer ", "Bearer tw_0123456789ab_short", "Basic YTpi", "Bearer tw_é"])
async def test_without_a_key_there_is_401(server, said):
    async with server.get("/api/v1/accounts", headers={"Authorization": said} if said else {}) as response:
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (await response.json(content_type=None))["code"] == "unauthenticated"


async def test_what_is_wrong_with_a_key_is_told(hub, server, key):
    token = await key()
    other = token[:-43] + "A" * 43
    told = {}
    for said in ("", "Bearer ", token[:20], f"Basic {token}", other):
        headers = {"Authorization": said if " " in said else f"Bearer {said}"} if said else {}
        async with server.get("/api/v1/accounts", headers=headers) as response:
            told[said] = (await response.json(content_type=None))["detail"]
    async with server.get("/api/v1/accounts", cookies={"talkwire": "A" * 43}) as response:
        told["session"] = (await response.json(content_type=None))["detail"]
    assert told == {
        "": "no key was given; send Authorization: Bearer tw_…",
        "Bearer ": "no key was given; send Authorization: Bearer tw_…",
        token[:20]: "this is no key, or only a piece of one; send Authorization: Bearer tw_…",
        f"Basic {token}": "this is no key, or only a piece of one; send Authorization: Bearer tw_…",
        other: "this key is not known, or was revoked; talkwire keys list names those that work",
        "session": "this session is over, or the key that it began with was revoked; sign in again",
    }


async def test_a_key_with_another_secret_is_401(server, key):
    token = await key()
    other = token[:-43] + ("A" * 43)
    assert await status_of(server, "GET", "/accounts", token) == 200
    assert await status_of(server, "GET", "/accounts", other) == 401


async def test_the_database_has_no_key_that_would_work(hub, key):
    token = await key()
    assert token not in str(await hub.rows("SELECT * FROM api_key"))


@pytest.mark.parametrize(
    ("method", "path", "lowest"),
    [
        ("GET", "/conversations", "read"),
        ("POST", "/conversations/x/replies", "bot"),
        ("POST", "/attachments", "bot"),
        ("POST", "/messages/x:resend", "host"),
        ("POST", "/deliveries/x:settle", "host"),
        ("GET", "/messages/x/trace", "host"),
    ],
)
async def test_each_scope_may_do_what_the_smaller_ones_may(server, key, method, path, lowest):
    order = ["read", "bot", "host", "admin"]
    for scope in order:
        status = await status_of(server, method, path, await key(scope, scope))
        assert (status == 403) == (order.index(scope) < order.index(lowest)), scope


async def test_a_revoked_key_stops_to_work_within_five_seconds(hub, server, key):
    token = await key()
    assert await status_of(server, "GET", "/accounts", token) == 200
    [(id_)] = [one.id for one in await hub.daemon.store.read(list_keys)]
    await hub.daemon.store.write(revoke_keys, id_)
    await hub.pass_time(seconds=5)
    assert await status_of(server, "GET", "/accounts", token) == 401


async def sign_in(server, token):
    async with server.post("/api/v1/session", json={"key": token}) as response:
        assert response.status == 200
        return response.cookies["talkwire"]


async def test_a_page_signs_in_with_a_key_and_out_again(hub, server, key):
    cookie = await sign_in(server, await key("host"))
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert cookie.value not in str(await hub.rows("SELECT * FROM session"))
    async with server.get("/api/v1/session") as response:
        assert await response.json() == {"principal": "key:crm", "scope": "host"}
    async with server.delete("/api/v1/session", headers={"Sec-Fetch-Site": "same-origin"}) as response:
        assert response.status == 204
    server.session.cookie_jar.update_cookies({"talkwire": cookie.value})
    assert await status_of(server, "GET", "/session") == 401


async def test_a_session_ends_by_itself_and_with_its_key(hub, server, key):
    await sign_in(server, await key())
    assert await status_of(server, "GET", "/session") == 200
    await hub.pass_time(hours=13)
    assert await status_of(server, "GET", "/session") == 401
    await sign_in(server, await key(name="other"))
    for one in await hub.daemon.store.read(list_keys):
        await hub.daemon.store.write(revoke_keys, one.id)
    await hub.pass_time(seconds=5)
    assert await status_of(server, "GET", "/session") == 401


async def test_a_session_of_a_revoked_key_is_not_taken_over_by_a_new_key_of_that_name(hub, server, key):
    """A key that leaked is replaced by one of the same name: whoever signed in with the old one is out."""
    await sign_in(server, await key("admin"))
    [old] = await hub.daemon.store.read(list_keys)
    await key("read")
    await hub.pass_time(seconds=5)
    await hub.daemon.store.write(revoke_keys, old.id)
    await hub.pass_time(seconds=5)
    assert await status_of(server, "GET", "/session") == 401


async def test_a_new_key_signs_in_where_one_of_its_name_was_revoked_before(hub, server, key):
    await key("admin")
    [old] = await hub.daemon.store.read(list_keys)
    await hub.daemon.store.write(revoke_keys, old.id)
    await hub.pass_time(seconds=5)
    await sign_in(server, await key("read"))
    assert await status_of(server, "GET", "/session") == 200


async def test_a_wrong_key_signs_nobody_in(server):
    assert await status_of(server, "POST", "/session", json={"key": "tw_0123456789ab_" + "A" * 43}) == 401


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://{host}"}, False),
        ({"Origin": "http://{host}"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
async def test_another_sites_page_can_do_nothing_with_our_cookie(server, key, headers, allowed):
    await sign_in(server, await key())
    said = {name: value.format(host=f"{server.host}:{server.port}") for name, value in headers.items()}
    async with server.post("/api/v1/messages/x:cancel", headers=said) as response:
        assert response.status == (404 if allowed else 403)
    async with server.get("/api/v1/accounts", headers={"Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 200


async def test_behind_https_the_cookie_is_bound_to_the_host(start_hub, aiohttp_client, tmp_path):
    from talkwire.api import make_app
    from talkwire.api.principals import create_keys

    hub = await start_hub('[server]\npublic_url = "https://talk.example.org"\n')
    server = await aiohttp_client(make_app(hub.daemon))
    token = await hub.daemon.store.write(create_keys, ("crm", "admin"))
    async with server.post("/api/v1/session", json={"key": token}) as response:
        cookie = response.cookies["__Host-talkwire"]
    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
    headers = {"Cookie": f"talkwire={cookie.value}"}
    async with server.get("/api/v1/session", headers=headers) as response:
        assert response.status == 401
