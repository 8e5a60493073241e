"""How often one may ask, and that nobody pays for what others do."""

import json

import pytest
import pytest_asyncio

from talkwire.api import make_app
from talkwire.api.principals import create_keys, list_keys, revoke_keys
from talkwire.errors import SettingsError
from talkwire.settings import load

from .conftest import Tiny, TinyPlugin

SETTINGS = """
[server]
trusted_proxies = ["127.0.0.0/8"]
key_rate = "3/m"
address_rate = "6/m"
failure_rate = "2/m"

[accounts.shop]
channel = "tiny"
token = "tiny-token-0123"
"""
WRONG = "tw_0123456789ab_" + "A" * 43
HERE, THERE, LOOKS = "203.0.113.7", "203.0.113.8", "/api/v1/accounts"


@pytest_asyncio.fixture
async def hub(start_hub, tmp_path):
    Tiny.sent.clear()
    return await start_hub(SETTINGS, plugins={"tiny": TinyPlugin(tmp_path)})


@pytest_asyncio.fixture
async def server(hub, aiohttp_client):
    return await aiohttp_client(make_app(hub.daemon))


@pytest.fixture
def look(server):
    """Look at the accounts; gives status, Retry-After and the problem's code."""

    async def look(token="", remote=HERE, path=LOOKS):
        headers = {"X-Forwarded-For": remote} | ({"Authorization": f"Bearer {token}"} if token else {})
        async with server.get(path, headers=headers) as response:
            said = await response.json(content_type=None)
            return response.status, response.headers.get("Retry-After"), said.get("code")

    return look


@pytest.fixture
def deliver(server):
    """Deliver an empty list, with the right token or a wrong one."""

    async def deliver(token="tiny-token-0123", remote=HERE, endpoint="shop"):
        headers = {"X-Forwarded-For": remote, "X-Token": token}
        async with server.post(f"/in/{endpoint}", data=json.dumps(["unread"]), headers=headers) as response:
            assert await response.read() == b""
            return response.status, response.headers.get("Retry-After")

    return deliver


async def test_a_key_that_asks_too_often_waits_and_then_goes_on(hub, key, look):
    token, other = await key(name="crm"), await key(name="bot")
    assert [(await look(token))[0] for _ in range(3)] == [200] * 3
    assert await look(token) == (429, "20", "rate_limited")
    assert (await look(other))[0] == 200, "another key pays nothing"
    await hub.pass_time(seconds=20)
    assert (await look(token))[0] == 200


async def test_an_address_that_asks_too_often_waits_whoever_asks(key, look):
    tokens = [await key(name=name) for name in ("a", "b", "c")]
    assert [(await look(token))[0] for token in tokens * 2] == [200] * 6
    assert await look(tokens[0]) == (429, "10", "rate_limited")
    assert (await look())[0] == 429, "also without a key"
    assert (await look(tokens[0], THERE))[0] == 200


async def test_all_of_an_ipv6_network_are_one_address(key, look):
    remotes = [f"2001:db8:1:2::{n}" for n in range(1, 7)]
    assert [(await look(remote=remote))[0] for remote in remotes] == [401] * 6
    assert (await look(remote="2001:db8:1:2:ffff::1"))[0] == 429
    assert (await look(remote="2001:db8:1:3::1"))[0] == 401


async def test_too_many_wrong_keys_of_an_address_are_refused_before_the_database_is_asked(hub, key, look):
    assert [(await look(WRONG))[0] for _ in range(2)] == [401] * 2
    await hub.daemon.store.close()
    assert await look(WRONG) == (429, "30", "rate_limited")
    assert await look("nonsense") == (429, "30", "rate_limited")
    assert (await look())[0] == 401, "who shows none guesses nothing"


async def test_who_was_right_before_is_not_locked_out_by_who_guesses_beside_them(hub, key, look):
    known, new = await key(name="known"), await key(name="new")
    assert (await look(known))[0] == 200
    assert [(await look(WRONG))[0] for _ in range(3)] == [401, 401, 429]
    assert (await look(new))[0] == 429, "nobody can tell it from a guess"
    await hub.pass_time(seconds=4)  # longer than an answer of the database is believed
    assert (await look(known))[0] == 200
    assert (await look(new, THERE))[0] == 200


async def test_a_revoked_key_is_a_guess_like_any_other(hub, key, look):
    token = await key()
    assert (await look(token))[0] == 200
    [one] = await hub.daemon.store.read(list_keys)
    await hub.daemon.store.write(revoke_keys, one.id)
    await hub.pass_time(seconds=4)
    assert [(await look(token))[0] for _ in range(3)] == [401, 401, 429]


async def test_signing_in_with_wrong_keys_counts_as_well(server):
    statuses = []
    for _ in range(3):
        async with server.post("/api/v1/session", json={"key": WRONG}) as response:
            statuses.append(response.status)
    assert statuses == [401, 401, 429]


async def test_a_plugins_page_hears_the_same(look):
    assert [(await look(WRONG, path="/p/tiny/who"))[0] for _ in range(3)] == [401, 401, 429]


async def test_forged_deliveries_of_an_address_hear_429_with_nothing_in_it(hub, deliver):
    assert [(await deliver("wrong"))[0] for _ in range(2)] == [401, 401]
    assert await deliver("wrong") == (429, "30")
    assert await deliver(endpoint="nobody") == (429, "30"), "guessing endpoints is the same"
    assert (await deliver("wrong", THERE))[0] == 401
    await hub.pass_time(seconds=30)
    assert (await deliver("wrong"))[0] == 401


async def test_a_genuine_delivery_is_never_refused_for_its_address(hub, deliver):
    """Anybody can let a provider's own servers send us forged ones: many customers share their addresses."""
    assert [(await deliver("wrong"))[0] for _ in range(4)] == [401, 401, 429, 429]
    assert [(await deliver())[0] for _ in range(10)] == [200] * 10
    assert await hub.rows("SELECT count(*) FROM envelope") == [(10,)]


async def test_forged_deliveries_lock_no_key_out(key, look, deliver):
    for _ in range(4):
        await deliver("wrong")
    assert (await look(await key()))[0] == 200


async def test_the_log_names_an_address_once_in_ten_minutes(hub, look, capsys):
    for _ in range(5):
        await hub.pass_time(seconds=25)
        await look(WRONG)
        await look(WRONG)
    said = [line for line in capsys.readouterr().out.splitlines() if "too many wrong keys" in line]
    assert len(said) == 1
    assert HERE in said[0]
    assert WRONG[:20] not in said[0]


async def test_a_limit_can_be_switched_off(start_hub, aiohttp_client):
    off = '[server]\nkey_rate = "off"\naddress_rate = "off"\nfailure_rate = "off"\n'
    hub = await start_hub(off)
    server = await aiohttp_client(make_app(hub.daemon))
    for _ in range(30):
        async with server.get(LOOKS, headers={"Authorization": f"Bearer {WRONG}"}) as response:
            assert response.status == 401


@pytest.mark.parametrize("said", ["20", "0/m", "20/d", "20 a minute", "-1/s"])
def test_a_rate_that_is_none_is_a_fault_that_says_how_to_write_one(tmp_path, said):
    file = tmp_path / "talkwire.toml"
    file.write_text(f'[server]\nfailure_rate = "{said}"\n')
    with pytest.raises(SettingsError, match=r"write how often, such as 20/m"):
        load(file)


async def test_the_defaults_let_a_busy_host_through_and_a_guesser_not(start_hub, aiohttp_client):
    hub = await start_hub("")
    token = await hub.daemon.store.write(create_keys, ("crm", "read"))
    limits = hub.daemon.limits
    for _ in range(6000):
        limits.of_key("key:crm")
    server = await aiohttp_client(make_app(hub.daemon))
    async with server.get(LOOKS, headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.status == 429
    statuses = []
    for _ in range(21):
        async with server.get(LOOKS, headers={"Authorization": f"Bearer {WRONG}"}) as response:
            statuses.append(response.status)
    assert statuses == [401] * 20 + [429]
