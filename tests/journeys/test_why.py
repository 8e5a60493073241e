"""Why did I not get it? Each rule, each medium and each answer says what it did, in words of an operator."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from talkwire import NotFound, Suppressed
from talkwire.cli import app
from talkwire.notify.why import REASONS, _decision, sentences, why
from tests.journeys.acme_hub import AcmeHub, FullAcme
from tests.journeys.bells import RULE, Bell, BellPlugin

OTHERS = """
[recipients.ann]
media = ["bell"]
[[notify]]
on = ["delivery.failed"]
to = ["ops"]
[[notify]]
on = ["message.received"]
to = ["ann"]
"""


@pytest.fixture
def start(start_acme):
    async def begin(settings: str = RULE + OTHERS) -> AcmeHub:
        return await start_acme(settings=settings, plugins={"notify_bell": BellPlugin()}, channel=FullAcme)

    return begin


async def asked(acme: AcmeHub, event: str, recipient: str = "ops") -> Any:
    rules = acme.hub.daemon.config.notify
    return await acme.hub.daemon.store.read(lambda query: why(query, rules, recipient, event))


async def lines(acme: AcmeHub, event: str, recipient: str = "ops") -> list[str]:
    """Give what is said, without the moments."""
    found = sentences(await asked(acme, event, recipient), ZoneInfo("UTC"))
    return [re.split(r";? at 20\d\d-", line)[0] for line in found]


async def test_rules_and_media_say_what_they_did_with_a_message(start):
    acme = await start()
    await acme.wrote("m1", "hello", name="Dewi")
    await acme.hub.run_until_idle()
    [message] = await acme.column("SELECT id FROM message")
    [fact] = await acme.hub.facts("message.received")
    [notification] = await acme.column("SELECT id FROM notification WHERE recipient = 'ops'")
    for event in (message, str(fact.seq), notification):
        assert await lines(acme, event) == [
            f"fact {fact.seq}: message.received of shop",
            "  rule:0: it applied",
            "  rule:1: it does not apply: it is about delivery.failed, not message.received",
            "  rule:2: it does not apply: it tells ann, not ops",
            "ops was notified",
            "  bell: shown",
            "  it is open",
        ]


async def test_a_conversation_says_what_its_last_message_came_to(start):
    acme = await start()
    talk = await acme.talk()
    said = await lines(acme, talk.id, "ann")
    assert said[0] == "message.received of shop"
    assert "  rule:2: it applied" in said
    assert "  bell: shown" in said


async def test_a_rule_of_other_accounts_says_so(start):
    more = '[accounts.kiosk]\nchannel = "acme"\ntoken = "kit-token-0"\nsecret = "kit-secret-0"\nurl = "http://127.0.0.1:9"\n'
    acme = await start(RULE + 'accounts = ["kiosk"]\n' + more)
    await acme.talk()
    [message] = await acme.column("SELECT id FROM message")
    assert await lines(acme, message) == [
        "message.received of shop",
        "  rule:0: it does not apply: it is about the accounts kiosk, not shop",
        "ops was notified of nothing.",
    ]


async def test_a_rule_that_has_not_come_to_a_fact_says_how_far_behind_it_is(start):
    acme = await start()
    await acme.talk()
    await acme.hub.daemon.store.write(_behind, "rule:0")
    [fact] = await acme.hub.facts("message.received")
    found = await asked(acme, str(fact.seq))
    assert found.events[0].rules[0].text == f"it has not come to this fact yet: it is {fact.seq} facts behind"


def _behind(tx, names):
    """Put a reader back to the begin, and forget what it made."""
    tx.execute("UPDATE reader SET cursor = 0 WHERE name = :name", {"name": names[0]})
    tx.execute("DELETE FROM notification WHERE asker = :name", {"name": names[0]})
    tx.execute("DELETE FROM notification_event")
    return [None]


async def test_what_joined_says_so(start):
    acme = await start(RULE + 'once = "15m"\n')
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    await acme.wrote("m2", "are you there?")
    await acme.hub.run_until_idle()
    first, second = await acme.column("SELECT id FROM message ORDER BY n")
    assert "  grouped: this joined it later, and showed nothing new" in await lines(acme, second)
    assert "  grouped: this joined it later, and showed nothing new" not in await lines(acme, first)
    assert "  it stands for 2 facts" in await lines(acme, first)


async def test_an_answer_says_who_and_where(start):
    acme = await start(RULE.replace('to = ["ops"]', 'to = ["ops", "ann"]') + OTHERS)
    acme.shop.broke("the token was taken back")
    await acme.hub.run_until_idle()
    [mine] = await acme.column("SELECT id FROM notification WHERE recipient = 'ops'")
    [theirs] = await acme.column("SELECT id FROM notification WHERE recipient = 'ann'")
    await acme.hub.daemon.hub.answer(theirs, "noted", "native:laptop")
    assert (await lines(acme, mine))[-1] == "  answered noted by ann on native:laptop"


@pytest.mark.parametrize("reason", REASONS)
async def test_each_reason_is_said_in_a_sentence(reason):
    assert _decision("suppressed", reason) == f"not shown: {REASONS[reason]}"
    assert REASONS[reason][0].islower()


async def test_what_a_notifier_says_itself_is_passed_on(start):
    acme = await start(RULE)
    Bell.one.says = [Suppressed("the moon is full")]
    await acme.talk()
    [message] = await acme.column("SELECT id FROM message")
    assert "  bell: not shown: the moon is full" in await lines(acme, message)


@pytest.mark.parametrize("event", ["4711", "0198a000-0000-7000-8000-000000000000", "hello", "", "9" * 30])
async def test_of_nothing_nothing_is_known(start, event):
    acme = await start()
    with pytest.raises(NotFound, match="nothing is known of"):
        await asked(acme, event)


async def test_nobody_is_told_nothing(start):
    acme = await start()
    with pytest.raises(NotFound, match=r"there is no recipient .*\[recipients.NAME\]"):
        await asked(acme, "1", "nobody")


@pytest.mark.one_file
async def test_the_command_reads_beside_a_running_daemon(start, tmp_path):
    acme = await start()
    acme.hub.daemon.config.path.write_text(
        f'[accounts.shop]\nchannel = "acme"\nurl = "{acme.provider.url}"\ntoken = "x"\nsecret = "x"\n' + RULE
    )
    await acme.talk()
    [message] = await acme.column("SELECT id FROM message")

    async def typed(*words: str) -> Any:
        arguments = ["--config", str(acme.hub.daemon.config.path), "why", *words]
        return await asyncio.to_thread(CliRunner().invoke, app, arguments)

    said = await typed("ops", message)
    assert (said.exit_code, "  bell: shown" in said.output) == (0, True)
    found = json.loads((await typed("ops", message, "--json")).output)
    assert found["notifications"][0]["media"][0]["decision"] == "shown"
    assert (await typed("ops", "4711")).exit_code == 1
    assert (await typed("nobody", message)).exit_code == 1
