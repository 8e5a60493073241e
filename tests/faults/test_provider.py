"""Providers that cannot be found, are slow, or lie; and a PostgreSQL that goes away."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from talkwire import readmodels
from talkwire.errors import StoreDown
from talkwire.model import State
from talkwire.store.schema.upgrade import upgrade
from talkwire.testing.hub import WholeHub
from talkwire.testing.provider import FakeProvider, Reply, hang_after_acceptance, says, slow
from tests.faults.page import shows
from tests.faults.test_plugins import operator
from tests.faults.town import HEALS_WITHIN, LOOK_EVERY, Gateway, Town
from tests.journeys.acme_hub import AcmeHub, full
from tests.mutants.acme import ACME
from tests.parts.postgres import Cluster

OTHER = """
[accounts.other]
channel = "acme"
url = "{url}"
token = "kit-token-0123456789"
secret = "kit-secret-0123456789"
"""
NOWHERE = "http://provider.invalid"
RESOLVES = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"'


async def test_replies_wait_while_a_name_cannot_be_resolved_and_no_attempt_counts(start_acme: Any) -> None:
    async with FakeProvider(ACME.answers) as provider:
        provider.url = NOWHERE
        acme: AcmeHub = await start_acme(provider=provider)
        conversation = await acme.talk()
        await acme.reply(conversation, "a reply")
        await acme.hub.pass_time(minutes=20)
        shows("DNS gone", await operator(acme))
        [message] = [m for m in await acme.hub.messages(conversation) if m.state is not None]
        assert [(d.state.word, d.reason) for d in message.deliveries] == [("queued", "provider_down")]
        assert await acme.column("SELECT attempts FROM lane WHERE grp = 'send:shop'") == [0]


@pytest.mark.needs("mount")
@pytest.mark.prove
@pytest.mark.timeout(180)
async def test_replies_go_out_once_the_resolver_answers_again(long_form: None, sqlite_url: str, tmp_path: Path) -> None:
    """A daemon that sees hosts and a resolver of its own; nobody listens where that resolver is."""
    hosts, resolver = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text("127.0.0.1 localhost\n")
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    wrapper = ("unshare", "-m", "sh", "-c", RESOLVES, "sh", str(hosts), str(resolver))
    async with Gateway().open() as gateway:
        town = Town(tmp_path, gateway, log=tmp_path / "log.txt", host=f"gateway.test:{gateway.host.split(':')[1]}")
        async with town.open(wrapper=wrapper):
            await town.writes_until_taken()
            async with asyncio.timeout(HEALS_WITHIN):
                while "waiting" not in (status := await town.status()):
                    await asyncio.sleep(LOOK_EVERY)
            shows("DNS gone", status.replace("gateway.test", "provider.invalid"))
            with hosts.open("a") as file:
                file.write("127.0.0.1 gateway.test\n")
            await town.all_answered()
            assert await town.lost() == []


async def test_a_slow_provider_is_given_up_in_time_and_slows_no_other_account(
    start_acme: Any, fake_provider: Any
) -> None:
    quick = await fake_provider(ACME.answers)
    acme: AcmeHub = await start_acme(channel=full(), settings=OTHER.format(url=quick.url))
    conversation = await acme.talk()
    await acme.wrote("m2", "Hello", endpoint="other", sender="6281234567891")
    await acme.hub.run_until_idle()
    [other] = [c for c in await acme.hub.conversations() if c.id != conversation.id]
    answered = asyncio.Event()
    acme.provider.will(slow(answered))
    await acme.hub.reply(conversation, "slowly")
    await acme.under_way()
    await acme.hub.reply(other, "at once")
    async with asyncio.timeout(20):
        await quick.arrived()
    assert await acme.hub.states(conversation) == ["queued"], "the slow one is under way still"
    answered.set()
    await acme.hub.run_until_idle()

    channel, in_time = acme.shop.channel, acme.shop.channel.features
    acme.provider.will(hang_after_acceptance())
    channel.features = replace(in_time, send_timeout=timedelta(seconds=0.3))
    await acme.hub.reply(conversation, "perhaps")
    await acme.under_way()
    channel.features = in_time  # whoever answers has time enough
    await acme.reply(conversation, "surely")
    assert await acme.hub.states(conversation) == ["accepted", "uncertain", "accepted"]
    shows("provider slow", await operator(acme), await problems(acme))


async def test_a_provider_that_says_200_with_an_error_inside_is_not_believed(full_acme: AcmeHub) -> None:
    acme, conversation = full_acme, await full_acme.talk()
    acme.provider.will(says(Reply.json({"error": "quota_exceeded"}, status=200)))
    await acme.reply(conversation, "perhaps", "surely")
    assert await acme.hub.states(conversation) == ["uncertain", "accepted"]
    assert acme.texts == ["perhaps", "surely"]  # never silently again
    shows("provider lies: 200 with an error inside", await operator(acme), await problems(acme))


async def problems(acme: AcmeHub) -> str:
    """Give what `talkwire deliveries --state uncertain` says beside each part."""
    found = await acme.hub.daemon.store.read(lambda q: readmodels.deliveries(q, State.UNCERTAIN, limit=9))
    return "\n".join(one.delivery.reason for one in found.items)


@pytest.mark.needs("postgres")
async def test_a_postgres_that_stops_is_told_and_nothing_is_needed_once_it_is_back(
    own_cluster: Cluster, start_acme: Any
) -> None:
    url = own_cluster.url(own_cluster.new_database())
    await asyncio.to_thread(upgrade, url)
    acme: AcmeHub = await start_acme(url=url)
    hub: WholeHub = acme.hub
    conversation = await acme.talk()
    await acme.reply(conversation, "before")
    await asyncio.to_thread(own_cluster.stop, how=signal.SIGQUIT)
    with pytest.raises(StoreDown):
        await acme.wrote("m2", "meanwhile")
    shows("PostgreSQL gone", *hub.daemon.not_ready())
    assert hub.daemon.stuck() == []  # to start this process anew would bring nothing
    await asyncio.to_thread(own_cluster.start)
    await acme.wrote("m2", "meanwhile")  # the provider comes again
    await hub.reply(conversation, "after")
    async with asyncio.timeout(HEALS_WITHIN):
        while acme.texts != ["before", "after"] or hub.daemon.not_ready():
            await hub.pass_time(seconds=2)
    assert sorted(await acme.column("SELECT text FROM message WHERE direction = 'in'")) == ["Hello", "meanwhile"]
