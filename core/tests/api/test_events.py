import asyncio
import json
from datetime import timedelta

import pytest

from talkwire.api import events
from talkwire.api.principals import list_keys, revoke_keys


async def test_facts_are_pulled_page_by_page_without_gaps(customer, api):
    for _ in range(3):
        await customer.writes()
    seen, after = [], 0
    while True:
        page = await api.get("/events", params={"after": after, "limit": 2})
        seen += [fact["seq"] for fact in page["items"]]
        after = page["next"]
        if after == page["head"]:
            break
    assert seen == list(range(1, page["head"] + 1))


async def test_only_wanted_types_come_and_the_cursor_moves_all_the_same(customer, api):
    await customer.writes()
    page = await api.get("/events", params={"after": 0, "types": "message.received,conversation.opened"})
    assert [fact["type"] for fact in page["items"]] == ["conversation.opened", "message.received"]
    assert page["items"][1]["small"] == {"n": 1}
    page = await api.get("/events", params={"after": 0, "types": "delivery.failed"})
    assert (page["items"], page["next"]) == ([], page["head"])


async def test_without_a_cursor_it_begins_with_now(customer, api):
    await customer.writes()
    page = await api.get("/events")
    assert (page["items"], page["next"]) == ([], page["head"])


async def test_a_long_poll_ends_with_the_first_fact(customer, api):
    head = (await api.get("/events"))["head"]
    waiting = asyncio.create_task(api.get("/events", params={"after": head, "wait": 20, "types": "message.received"}))
    await customer.writes()
    assert [fact["type"] for fact in (await waiting)["items"]] == ["message.received"]


async def test_a_long_poll_ends_with_its_time(api):
    head = (await api.get("/events"))["head"]
    page = await api.get("/events", params={"after": head, "wait": 0.05})
    assert page["items"] == []


async def purge(hub, upto):
    def gone(tx, items):
        return [tx.execute("DELETE FROM fact WHERE seq <= :upto", {"upto": upto}) for upto in items]

    await hub.daemon.store.write(gone, upto)


@pytest.mark.parametrize("after", [0, 1, 10_000])
async def test_a_cursor_that_the_log_does_not_reach_is_410(hub, customer, api, after):
    await customer.writes()
    await purge(hub, 2)
    for accept in ("application/json", "text/event-stream"):
        headers = {"Accept": accept}
        status, problem = await api.ask("GET", "/events", params={"after": after}, headers=headers)
        assert (status, problem["code"]) == (410, "cursor_expired")
    assert (await api.get("/events", params={"after": 2}))["items"][0]["seq"] == 3


class Stream:
    def __init__(self, response):
        self.response = response

    async def event(self):
        """Read one event: its fields."""
        fields = {}
        while line := (await self.response.content.readline()).decode().strip("\r\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        return fields


def streamed(api, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.get(
        "/api/v1/events", headers={**api.headers, "Accept": "text/event-stream", **headers}, params={}
    )


async def test_a_stream_tells_facts_as_they_happen_and_goes_on_where_it_broke_off(hub, customer, api):
    async with streamed(api) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        conversation = await customer.writes()
        stream = Stream(response)
        first = await stream.event()
        second = await stream.event()
    assert [first["event"], second["event"]] == ["conversation.opened", "message.received"]
    assert json.loads(second["data"])["conversation"] == conversation
    async with streamed(api, Last_Event_ID=first["id"]) as response:
        assert (await Stream(response).event()) == second


async def test_a_stream_says_of_a_fact_what_a_page_says(hub, customer, api):
    await customer.writes()
    page = await api.get("/events", params={"after": 0})
    async with streamed(api, Last_Event_ID="0") as response:
        stream = Stream(response)
        said = [await stream.event() for _ in page["items"]]
    assert [json.loads(event["data"]) for event in said] == page["items"]
    assert [event["id"] for event in said] == [str(fact["seq"]) for fact in page["items"]]


async def test_a_plugin_s_type_with_an_end_of_a_line_ends_no_event(hub, api):
    async with streamed(api) as response:

        def tell(tx, items):
            return [tx.tell(one, small={"text": "two\r\nlines"}) for one in items]

        await hub.daemon.store.write(tell, "acme.said\r\ndata: forged")
        event = await Stream(response).event()
    assert event["event"] == "acme.said data: forged"
    assert json.loads(event["data"])["small"] == {"text": "two\r\nlines"}


async def test_a_client_that_takes_nothing_for_too_long_is_cut_off(monkeypatch):
    class Transport:
        aborted = False

        def abort(self):
            self.aborted = True

    class Request:
        transport = Transport()

    monkeypatch.setattr(events, "_READS_WITHIN", 0.01)
    with pytest.raises(TimeoutError):
        async with events._read_in_time(Request()):
            await asyncio.Event().wait()
    assert Request.transport.aborted


async def test_a_streams_cursor_moves_over_what_it_does_not_want(hub, customer, api):
    await customer.writes()
    head = (await api.get("/events"))["head"]
    options = {
        "headers": {**api.headers, "Accept": "text/event-stream"},
        "params": {"after": 0, "types": "delivery.failed"},
    }
    async with api.client.get("/api/v1/events", **options) as response:
        assert await Stream(response).event() == {"id": str(head)}


async def test_a_stream_that_falls_behind_the_log_is_told_to_look_afresh(hub, customer, api):
    async with streamed(api) as response:
        head = (await api.get("/events"))["head"]

        def leap(tx, items):
            tx.execute("DELETE FROM fact")
            tx.execute("UPDATE log_head SET seq = seq + 100 WHERE id = 1")
            return [tx.tell("something.new") for _ in items]

        await hub.daemon.store.write(leap, None)
        event = await Stream(response).event()
        assert (event["event"], await response.content.read()) == ("resync", b"")
    assert head < (await api.get("/events"))["head"]


@pytest.mark.parametrize("account", ["", "shop", "other"])
async def test_a_stream_says_who_types_where_that_is_asked_for(hub, customer, api, account):
    typing = {"account": "shop", "address": "+62811", "on": True}
    options = {
        "headers": {**api.headers, "Accept": "text/event-stream"},
        "params": {"typing": "true", "account": account},
    }
    async with api.client.get("/api/v1/events", **options) as asked, streamed(api) as other:
        reading = asyncio.create_task(Stream(asked).event())
        async with asyncio.timeout(20):
            while not reading.done() and account != "other":  # whoever hears a hint was listening before
                await hub.daemon.hub.publish("typing", typing)
                await asyncio.sleep(0)
        if account == "other":
            await hub.daemon.hub.publish("typing", typing)
            await customer.writes()
            assert await reading == {"id": str((await api.get("/events"))["head"])}  # of another account: nothing
            return
        event = await reading
        assert (event.pop("event"), json.loads(event.pop("data")), event) == ("typing", typing, {})
        await customer.writes()
        assert (await Stream(other).event())["event"] == "conversation.opened"


async def test_a_revoked_key_hears_no_more(hub, customer, api):
    async with streamed(api) as response:
        for one in await hub.daemon.store.read(list_keys):
            await hub.daemon.store.write(revoke_keys, one.id)
        hub.clock.advance(timedelta(seconds=5))
        await customer.writes()
        said = await response.content.read()
    assert b"message.received" not in said


async def test_streams_and_polls_end_when_the_daemon_stops(hub, customer, api):
    head = (await api.get("/events"))["head"]
    async with streamed(api) as response:
        waiting = asyncio.create_task(api.get("/events", params={"after": head, "wait": 20}))
        while not hub.daemon.store.alive or waiting.done():
            raise AssertionError("it should wait")
        await api.get("/accounts")
        hub.daemon.tail.close()
        assert await response.content.read() == b""
        assert (await waiting)["items"] == []


@pytest.mark.parametrize(
    ("types", "reason"),
    [
        ("message.recieved", "no such fact; did you mean message.received?"),
        (
            "message.received,nothing",
            "no such fact; a plugin's own is called plugin.word, and needs its plugin enabled",
        ),
        ("xyz.q", "no such fact; a plugin's own is called plugin.word, and needs its plugin enabled"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_who_waits_for_what_nobody_tells_hears_of_it(api, types, reason, accept):
    status, problem = await api.ask("GET", f"/events?types={types}", headers={"Accept": accept})
    assert (status, problem["code"]) == (422, "invalid")
    assert problem["faults"] == [{"path": "types", "reason": reason}]


@pytest.mark.parametrize("types", ["", "message.received,", "tiny.own", "unheard_of.own"])
async def test_known_types_those_of_plugins_and_none_are_taken(api, types):
    assert await api.get(f"/events?types={types}")
