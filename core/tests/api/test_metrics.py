"""What Prometheus reads on the admin port."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from talkwire.api import make_admin
from talkwire.api.metrics import FAMILIES


@pytest.fixture
async def scrape(hub, aiohttp_client):
    client = await aiohttp_client(make_admin(hub.daemon))

    async def scraped():
        async with client.get("/metrics") as answer:
            assert answer.status == 200
            text = await answer.text()
        return text, {
            (sample.name, *(v for _, v in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return scraped


async def test_a_talk_is_counted_where_it_happened(hub, customer, api, scrape):
    conversation = await customer.writes("a question about 4711")
    for text in ("an answer", "refuse me", "lose me"):
        await api.post(f"/conversations/{conversation}/replies", json={"text": text})
        await hub.run_until_idle()
    text, found = await scrape()
    assert found["talkwire_messages_received_total", "shop", "tiny"] == 1
    assert found["talkwire_replies_total", "shop", "tiny"] == 3
    assert found["talkwire_parts_total", "shop", "tiny", "uncertain"] == 1
    assert found["talkwire_parts_total", "shop", "tiny", "failed"] == 1
    assert found["talkwire_parts_in_trouble", "shop", "tiny", "failed"] == 1
    assert found["talkwire_attempts_total", "shop", "tiny", "taken"] == 1
    assert found["talkwire_send_seconds_count", "shop", "tiny"] == 3
    assert found["talkwire_account_state", "shop", "tiny", "working"] == 1
    assert found["talkwire_account_state", "shop", "tiny", "broken"] == 0
    assert found["talkwire_queue_tasks", "send:shop"] == 0
    assert found[("talkwire_log_head",)] == len(await hub.facts())
    assert found[("talkwire_store_up",)] == 1
    assert found["talkwire_http_request_seconds_count", "POST", "/api/v1/conversations/{id}/replies", "202"] == 3
    assert found[("process_open_fds",)] > 0
    for secret in (conversation, "4711", "81234567890", "an answer", "tiny-token"):
        assert secret not in text


async def test_what_waits_grows_old_on_the_scale(hub, customer, api, scrape):
    conversation = await customer.writes()
    hub.daemon.account("shop").backoff.pause(hub.clock.now() + timedelta(hours=1))
    await api.post(f"/conversations/{conversation}/replies", json={"text": "an answer"})
    await hub.pass_time(minutes=10)
    _, found = await scrape()
    assert found["talkwire_queue_tasks", "send:shop"] == 1
    assert found["talkwire_queue_oldest_seconds", "send:shop"] == 600


async def test_a_delivery_that_is_not_genuine_is_counted(hub, customer, scrape):
    async with customer.posts("[]", token="wrong") as answer:
        assert answer.status == 401
    _, found = await scrape()
    assert found["talkwire_envelopes_total", "shop", "tiny", "taken"] == 0
    assert found["talkwire_envelopes_total", "shop", "tiny", "rejected"] == 1
    assert found["talkwire_http_request_seconds_count", "POST", "/in/{endpoint}", "401"] == 1


async def test_a_method_that_a_stranger_invents_makes_no_series(hub, customer, scrape):
    for word in ("BREW", "WHEN"):
        async with customer.server.request(word, "/in/shop"):
            pass
    text, _ = await scrape()
    assert "BREW" not in text


async def test_every_family_that_is_said_is_documented_and_the_other_way_round(hub, customer, api, scrape):
    conversation = await customer.writes()
    await api.post(f"/conversations/{conversation}/replies", json={"text": "an answer"})
    await hub.run_until_idle()
    text, _ = await scrape()
    said = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("talkwire_")}
    assert said == {family.name.removesuffix("_total") for family in FAMILIES}


async def test_without_a_database_what_was_counted_is_said_all_the_same(hub, customer, scrape):
    await customer.writes()
    await hub.daemon.store.close()
    _, found = await scrape()
    assert found[("talkwire_store_up",)] == 0
    assert found["talkwire_messages_received_total", "shop", "tiny"] == 1
    assert ("talkwire_log_head",) not in found
