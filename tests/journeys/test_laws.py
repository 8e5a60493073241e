"""The eight laws, each with a test that fails when it is broken; `docs/explanation/laws.md` names them all."""

from __future__ import annotations

import ast
import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import talkwire
from talkwire import Reply, draft, hookimpl
from talkwire.errors import StoreDown
from talkwire.model import State
from talkwire.testing import conformance
from talkwire.testing.provider import down, slow
from tests.journeys.acme_hub import AcmeHub, FullAcme, full
from tests.mutants.acme import ACME
from tests.parts.power import PowerCut

ROOT = Path(__file__).parents[2]


async def everything(acme: AcmeHub) -> list[Any]:
    """Give all that the ground's tables hold."""
    tables = ("envelope", "contact", "address", "conversation", "message", "delivery", "report", "task", "fact")
    return [await acme.hub.rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables]


# --- 1. Keep, then answer ------------------------------------------------------------------------------


@pytest.mark.one_file
async def test_law_1_nothing_is_acknowledged_before_it_is_committed(full_acme: AcmeHub) -> None:
    await full_acme.talk("m0")
    before = await everything(full_acme)
    PowerCut(full_acme.hub.daemon.store, 1)
    with pytest.raises(StoreDown):
        await full_acme.wrote("m1", "Hello?")
    assert await everything(full_acme) == before
    await full_acme.wrote("m1", "Hello?")
    assert await full_acme.column("SELECT text FROM message ORDER BY n") == ["Hello", "Hello?"]


@pytest.mark.one_file
async def test_law_1_a_reply_is_accepted_when_it_is_committed(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    before = await everything(full_acme)
    PowerCut(full_acme.hub.daemon.store, 1)
    with pytest.raises(StoreDown):
        await full_acme.hub.reply(conversation, "Hi", key="k1")
    assert await everything(full_acme) == before
    assert not (await full_acme.hub.reply(conversation, "Hi", key="k1")).repeated
    await full_acme.hub.run_until_idle()
    assert full_acme.texts == ["Hi"]


# --- 2. A channel translates ------------------------------------------------------------------------------


async def test_law_2_what_a_channel_keeps_is_committed_and_nothing_else_of_it_lasts(start_acme: Any) -> None:
    acme = await start_acme(channel=full())
    await acme.shop.channel.keep("token", "t1")
    assert await acme.hub.rows("SELECT account, name, value FROM keep") == [("shop", "token", "t1")]
    assert await acme.shop.channel.kept("token") == "t1"


async def test_of_two_values_kept_at_once_under_one_name_the_later_holds(acme: AcmeHub) -> None:
    channel = acme.shop.channel
    await asyncio.gather(channel.keep("cursor", "9"), channel.keep("cursor", "10"))
    assert await channel.kept("cursor") == "10"


async def test_law_2_a_channel_that_looks_at_a_clock_or_remembers_while_it_parses_fails_the_kit() -> None:
    class Counting(ACME.channel):  # type: ignore[name-defined, misc]
        seen = 0

        def one(self, value: Any) -> Any:
            self.seen += 1
            for item in super().one(value):
                yield replace(item, text=f"{item.text} {self.seen}") if hasattr(item, "text") else item

    await conformance.check_parse_is_pure(ACME)
    with pytest.raises(AssertionError):
        await conformance.check_parse_is_pure(replace(ACME, channel=Counting))


# --- 3. A task has one effect, and ends in the transaction that records it ------------------------------------


@pytest.mark.one_file
async def test_law_3_a_task_is_there_until_the_transaction_that_records_its_effect(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    answered = asyncio.Event()
    full_acme.provider.will(slow(answered, full_acme.accept("p1")))
    await full_acme.hub.reply(conversation, "Hi")
    await full_acme.under_way()
    open_ = "SELECT d.state, d.external_id, count(t.id) FROM delivery d LEFT JOIN task t ON t.ref = d.id GROUP BY d.id"
    before = await full_acme.hub.rows(open_)
    assert before == [(State.QUEUED, None, 1)]
    power = PowerCut(full_acme.hub.daemon.store, 1)
    answered.set()
    while not power.cuts:
        await asyncio.sleep(0.001)
    assert await full_acme.hub.rows(open_) == before
    await full_acme.hub.clock.advance_when_awaited(timedelta(seconds=1))  # the sender's pause
    await full_acme.hub.run_until_idle()
    assert await full_acme.hub.rows(open_) == [(State.ACCEPTED, "p1", 0)]
    assert full_acme.texts == ["Hi"]


# --- 4. A lane is served in order, by one at a time; lanes know nothing of each other ---------------------------


async def test_law_4_a_lane_is_served_in_order_one_at_a_time_and_lanes_go_side_by_side(start_acme: Any) -> None:
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    together = 0

    class Watching(FullAcme):
        async def send(self, out: Any) -> Any:
            nonlocal together
            running[out.address.value] += 1
            most[out.address.value] = max(most[out.address.value], running[out.address.value])
            together = max(together, running.total())
            try:
                return await super().send(out)
            finally:
                running[out.address.value] -= 1

    acme = await start_acme(channel=full(Watching))
    for n in range(4):
        await acme.wrote(f"m{n}", "Hello", sender=f"62812000000{n}")
    conversations = await acme.hub.conversations()
    all_are_stored = asyncio.Event()
    acme.provider.always(slow(all_are_stored))
    for number, conversation in product(range(5), conversations):
        await acme.hub.reply(conversation, f"{conversation.address.value} {number}")
    all_are_stored.set()
    await acme.hub.run_until_idle()
    for conversation in conversations:
        theirs = [text for text in acme.texts if text.startswith(conversation.address.value)]
        assert theirs == [f"{conversation.address.value} {number}" for number in range(5)]
    assert set(most.values()) == {1}
    assert together == 4


# --- 5. A fact is told after it is true, to each reader, until taken ---------------------------------------------


class Forgetful:
    """Fails the first time it is told; asks for one reply."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @hookimpl
    def on_inbound_message(self, message: Any, tx: Any) -> list[Reply]:
        [[stored]] = tx.execute("SELECT text FROM message WHERE id = :id", {"id": message.id})
        self.told.append(stored)
        if len(self.told) == 1:
            raise ZeroDivisionError
        return [Reply(conversation=message.conversation, draft=draft("We are closed."))]


async def test_law_5_a_fact_is_told_after_it_is_true_until_it_is_taken_and_what_is_asked_is_done_once(
    start_acme: Any,
) -> None:
    forgetful, other = Forgetful(), Forgetful()
    other.told.append("nothing")
    acme = await start_acme(
        channel=FullAcme,
        settings='[plugins]\nenabled = ["forgetful", "other"]\n',
        plugins={"forgetful": forgetful, "other": other},
    )
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    assert forgetful.told == ["Hello"]
    assert other.told == ["nothing", "Hello"]
    assert acme.texts == ["We are closed."]
    await acme.hub.pass_time(minutes=10)
    assert forgetful.told == ["Hello", "Hello"]
    assert acme.texts == ["We are closed."] * 2


# --- 6. The state of a part moves one way ------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "then"), [*product(["sent", "failed", "delivered", "read"], repeat=2)])
async def test_law_6_the_state_of_a_part_moves_one_way(full_acme: AcmeHub, first: str, then: str) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(full_acme.accept("p1"))
    await full_acme.reply(conversation, "Hi")
    for state in (first, then, first):
        await full_acme.reported("p1", state)
    assert await full_acme.hub.states(conversation) == [max(State[first.upper()], State[then.upper()]).word]
    told = [State[str(f.small["state"]).upper()] for f in await full_acme.hub.facts("delivery.changed")]
    assert told == sorted(told)


# --- 7. What is not known is said --------------------------------------------------------------------------------


async def test_law_7_what_is_not_known_is_said_never_sent_again_and_can_be_read_again(full_acme: AcmeHub) -> None:
    await full_acme.says([{"kind": "message"}])
    [unread] = await full_acme.hub.facts("envelope.unread")
    assert await full_acme.column("SELECT length(body) > 0 FROM envelope WHERE unread <> ''") == [True]
    assert (await full_acme.hub.daemon.intake.replay(unread.ids["envelope"])).unread

    conversation = await full_acme.talk()
    full_acme.provider.will(down())
    await full_acme.reply(conversation, "perhaps")
    await full_acme.hub.pass_time(hours=48)
    assert await full_acme.hub.states(conversation) == ["uncertain"]
    assert full_acme.texts == ["perhaps"]


# --- 8. The core names no channel, and the desk gets no favours -----------------------------------------------------

PUBLIC = {"talkwire": set(talkwire.__all__)}  # module → what a plugin may take from it
PLUGINS = sorted({*(ROOT / "plugins").glob("*/src"), *(ROOT / "examples").glob("*/src")})


def taken(source: str) -> list[str]:
    """Give what a module takes from the core that it may not."""
    wrong = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            wrong += [a.name for a in node.names if a.name.startswith("talkwire") and a.name not in PUBLIC]
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "talkwire":
            names = PUBLIC.get(node.module or "", set())
            wrong += [f"{node.module}.{a.name}" for a in node.names if a.name not in names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("talkwire_"):
            wrong.append(node.module or "")  # another plugin
    return wrong


@pytest.mark.parametrize("source", PLUGINS, ids=lambda path: path.parent.name)
def test_law_8_a_plugin_takes_only_what_the_core_exports(source: Path) -> None:
    files = list(source.rglob("*.py"))
    assert files
    assert {str(file): wrong for file in files if (wrong := taken(file.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from talkwire.store import Tx",
        "import talkwire.lanes",
        "from talkwire import _private",
        "from talkwire_telegram import Chat",
    ],
)
def test_law_8_the_look_at_imports_sees_what_is_taken(source: str) -> None:
    assert taken(source)


def test_law_8_the_core_names_no_channel() -> None:
    """Neither imports one nor asks for one by its type; scaffolds and texts for people may show an example."""
    named = {"telegram", "whatsapp", "livechat", "smsgate", "desk"}  # `email` is a kind of address too
    wrong = []
    for file in (ROOT / "core/src/talkwire").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            asked = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            wrong += [f"{file.name}:{n.lineno}" for n in asked if isinstance(n, ast.Constant) and n.value in named]
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            wrong += [f"{file.name}:{node.lineno}"] if (module or "").startswith("talkwire_") else []
    assert wrong == []
