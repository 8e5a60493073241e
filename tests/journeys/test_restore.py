"""A backup is taken while all goes on, all that comes after it is lost, the backup is brought back: nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from talkwire import backups, control, hookimpl, recovery
from talkwire.actions import Reply, SetTimer
from talkwire.backups import Instance
from talkwire.copying import Place
from talkwire.errors import NotFound
from talkwire.model import Message, Policy, draft
from talkwire.store import Tx
from talkwire.store.revisions import CORE
from talkwire.testing.hub import whole_hub
from talkwire.testing.provider import FakeProvider, busy
from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin
from tests.journeys.conftest import DATABASES
from tests.mutants.acme import ACME

KEY = "a2l0IGtleSBvZiB0aGUgdGVzdCBodWIgMzIgYnl0ZXM=\n"


class Instances:
    """The same instance, before and after: its provider stays, its database is another."""

    def __init__(self, folder: Path, template: Path, provider: FakeProvider, new_url: Callable[[], str]) -> None:
        self.folder = folder
        self.provider = provider
        self.plugins: dict[str, Any] = {"acme": AcmePlugin()}
        self.settings = SETTINGS.format(url=provider.url, more="")
        self.backup = folder / "backup"
        self.hubs = contextlib.AsyncExitStack()
        self._template = template
        self._new_url = new_url
        self.url = ""  # of a PostgreSQL; empty: a file in the folder

    def instance(self, name: str) -> Instance:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file, text in (("talkwire.toml", self.settings), ("instance.key", KEY)):
            (folder / file).write_text(text)
        url = self.url or f"sqlite:///{folder / 'talkwire.db'}"
        return Instance(folder / "talkwire.toml", folder / "instance.key", Place(url, folder / "files"))

    async def before(self, more: str = "") -> AcmeHub:
        self.settings += more
        folder = self.instance("before").settings.parent
        self.url = self._new_url()
        return await self._run(folder, template=self._template)

    async def _run(self, folder: Path, **options: Any) -> AcmeHub:
        running = whole_hub(self.settings, folder, plugins=self.plugins, url=self.url, **options)
        hub = await self.hubs.enter_async_context(running)
        await hub.run_until_idle()
        self.acme = AcmeHub(hub, self.provider)
        return self.acme

    async def back_up(self) -> backups.Manifest:
        instance = self.instance("before")
        return await asyncio.to_thread(backups.back_up, instance, self.backup, [CORE])

    async def after(self, wants: Any = None, **options: Any) -> AcmeHub:
        """End what ran, bring the backup back into a new place, and run on it."""
        await self.hubs.aclose()
        self.url = self._new_url()
        instance = self.instance("after")
        self.restored = await asyncio.to_thread(recovery.restore, self.backup, instance, [CORE], wants or {}, **options)
        return await self._run(instance.settings.parent, clock=self.acme.hub.clock)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "instances" in metafunc.fixturenames:
        one_file = metafunc.definition.get_closest_marker("one_file") is not None
        metafunc.parametrize("instances", DATABASES[:1] if one_file else DATABASES, indirect=True)


@pytest_asyncio.fixture
async def instances(
    fake_provider: Any, tmp_path: Path, empty_database: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Instances]:
    def new_url() -> str:
        if request.param == "sqlite":
            return ""
        cluster, template = request.getfixturevalue("postgres_cluster"), request.getfixturevalue("postgres_template")
        return str(cluster.url(cluster.new_database(template)))

    made = Instances(tmp_path, empty_database, await fake_provider(ACME.answers), new_url)
    async with made.hubs:
        yield made


async def talk(acme: AcmeHub, number: int) -> str:
    """Let one more customer write, and give the conversation."""
    await acme.wrote(f"m{number}", f"Hello {number}", sender=f"62812345678{number:02}")
    await acme.hub.run_until_idle()
    [(conversation,)] = await acme.hub.rows(
        "SELECT conversation_id FROM message WHERE external_id = :id", id=f"m{number}"
    )
    return str(conversation)


def do(acme: AcmeHub, command: str, **said: Any) -> Any:
    return control.do(acme.hub.daemon, command, said)


async def a_reply_that_waits(acme: AcmeHub, conversation: str, text: str) -> None:
    """Let the provider be busy for an hour, so that a reply is still queued."""
    acme.provider.will(busy(3600))
    await acme.hub.reply(conversation, text)
    await acme.hub.run_until_idle()


async def test_what_was_queued_at_the_backup_and_sent_after_it_is_not_sent_again(instances):
    acme = await instances.before()
    first = await talk(acme, 1)
    await a_reply_that_waits(acme, first, "One")
    manifest = await instances.back_up()
    assert manifest.open_tasks == {"send:shop": 1}
    await acme.hub.pass_time(hours=2)
    assert acme.texts == ["One", "One"]  # refused, then taken

    acme = await instances.after()
    await acme.hub.pass_time(hours=2)
    assert acme.texts == ["One", "One"]
    assert [(one.group, one.tasks) for one in instances.restored.held] == [("send:shop", 1)]
    [(held, due)] = await acme.hub.rows("SELECT held, due FROM lane WHERE grp = 'send:shop'")
    assert (held, due) == ("restored", None)


async def held_instance(instances: Instances) -> tuple[AcmeHub, str]:
    acme = await instances.before()
    conversation = await talk(acme, 1)
    await a_reply_that_waits(acme, conversation, "One")
    await instances.back_up()
    acme = await instances.after()
    return acme, conversation


@pytest.mark.one_file
async def test_neither_the_customer_nor_an_agent_frees_what_is_held_since_a_restore(instances):
    acme, conversation = await held_instance(instances)
    await acme.wrote("m2", "Are you there?", sender="6281234567801")
    acme.hub.daemon.account("shop").channel.wake("+6281234567801")
    await acme.hub.reply(conversation, "Two")
    await acme.hub.pass_time(hours=1)
    assert acme.texts == ["One"]


@pytest.mark.one_file
async def test_what_is_released_goes_out_and_later_replies_follow_it(instances):
    acme, conversation = await held_instance(instances)
    await acme.hub.reply(conversation, "Two")
    await acme.hub.run_until_idle()
    assert await do(acme, "release-restored", account="shop") == {"lanes": 1}
    await acme.hub.run_until_idle()
    assert acme.texts == ["One", "One", "Two"]
    assert await do(acme, "release-restored") == {"lanes": 0}


async def test_what_is_dropped_is_uncertain_until_an_operator_settles_it(instances):
    acme, conversation = await held_instance(instances)
    dropped = await do(acme, "drop-restored", account="shop")
    assert dropped == {"lanes": 1, "tasks": 1, "parts": 1, "uncertain": 1}
    assert await acme.hub.states(conversation) == ["uncertain"]
    await acme.hub.reply(conversation, "Two")
    await acme.hub.run_until_idle()
    assert acme.texts == ["One", "Two"]
    [(part,)] = await acme.hub.rows("SELECT id FROM delivery WHERE state = 5")
    await do(acme, "settle", delivery=part, verdict="sent", by="cli:test")
    assert await acme.hub.states(conversation) == ["sent", "accepted"]


@pytest.mark.one_file
async def test_a_reply_that_is_taken_back_leaves_no_lane_that_holds_later_ones(instances):
    acme, conversation = await held_instance(instances)
    [(message,)] = await acme.hub.rows("SELECT message_id FROM delivery")
    await acme.hub.daemon.replies.cancel(message)
    await acme.hub.reply(conversation, "Two")
    await acme.hub.run_until_idle()
    assert acme.texts == ["One", "Two"]


async def test_only_the_lanes_of_the_named_account_go_on(instances):
    acme, _ = await held_instance(instances)
    with pytest.raises(NotFound, match='no account "shopp"'):
        await do(acme, "release-restored", account="shopp")
    await acme.hub.daemon.store.write(other_account, None)
    assert await do(acme, "release-restored", account="shop") == {"lanes": 1}
    assert await acme.column("SELECT grp FROM lane WHERE held = 'restored'") == ["send:other"]


def other_account(tx: Tx, items: Any) -> list[None]:
    tx.execute("INSERT INTO lane (grp, subject, held) VALUES ('send:other', 'c', 'restored')")
    tx.execute(
        "INSERT INTO task (lane_id, kind, ref, body, created_at) SELECT id, 'send', 'd', '', 1 FROM lane WHERE grp = 'send:other'"
    )
    return [None] * len(items)


async def test_a_reply_that_was_kept_for_the_customers_return_is_not_sent_again(instances):
    acme = await instances.before()
    conversation = await talk(acme, 1)
    await acme.hub.daemon.store.write(end_session, conversation)
    await acme.hub.reply(conversation, "Welcome back", policy=Policy.HOLD)
    await acme.hub.run_until_idle()
    await instances.back_up()
    assert acme.texts == []

    acme = await instances.after()
    await acme.hub.daemon.store.write(begin_session, conversation)
    await acme.wrote("m2", "I am back", sender="6281234567801")
    await acme.hub.run_until_idle()
    assert acme.texts == []
    await do(acme, "release-restored")
    await acme.hub.run_until_idle()
    assert acme.texts == ["Welcome back"]


def end_session(tx: Tx, items: Any) -> list[None]:
    tx.many("UPDATE conversation SET session = 'ended' WHERE id = :id", [{"id": one} for one in items])
    return [None] * len(items)


def begin_session(tx: Tx, items: Any) -> list[None]:
    from talkwire.admission import release

    tx.many("UPDATE conversation SET session = 'none' WHERE id = :id", [{"id": one} for one in items])
    release(tx, items)
    return [None] * len(items)


# --- readers -----------------------------------------------------------------------------------------------


class Echo:
    """Answers every message, unless it is told to break."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.breaks = False

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Tx) -> Reply | None:
        if self.breaks:
            raise ValueError("broken")
        self.heard.append(message.text)
        return Reply(conversation=message.conversation, draft=draft(f"echo of {message.text}"))


@pytest.mark.one_file
async def test_what_a_reader_had_not_been_told_at_the_backup_waits_too(instances):
    echo = instances.plugins["echo"] = Echo()
    acme = await instances.before('[plugins]\nenabled = ["echo"]\n')
    echo.breaks = True
    await talk(acme, 1)
    await acme.hub.daemon.store.write(behind, None)  # as at the moment between a commit and the reader's next look
    await instances.back_up()
    echo.breaks = False
    await acme.hub.pass_time(minutes=1)
    assert "echo of Hello 1" in acme.texts

    before = list(acme.texts)
    acme = await instances.after({"plugin:echo": lambda kind: kind == "message.received"})
    await acme.hub.pass_time(hours=1)
    assert acme.texts == before
    await talk(acme, 2)
    assert acme.texts == [*before, "echo of Hello 2"]
    await do(acme, "release-restored")
    await acme.hub.pass_time(minutes=1)
    assert acme.texts.count("echo of Hello 1") == before.count("echo of Hello 1") + 1


def behind(tx: Tx, items: Any) -> list[None]:
    """Let a reader's cursor stand before all facts, and its lanes be empty."""
    tx.execute("UPDATE reader SET cursor = 0")
    tx.execute("DELETE FROM task")
    tx.execute("UPDATE lane SET due = NULL")
    return [None] * len(items)


@pytest.mark.one_file
async def test_no_number_of_a_fact_or_a_message_is_given_twice(instances):
    acme = await instances.before()
    conversation = await talk(acme, 1)
    manifest = await instances.back_up()
    await acme.hub.reply(conversation, "Lost")
    await acme.hub.run_until_idle()
    given = [fact.seq for fact in await acme.hub.facts()]
    [*_, lost] = await acme.hub.messages(conversation)

    acme = await instances.after()
    await acme.hub.reply(conversation, "New")
    await acme.hub.run_until_idle()
    new = [fact.seq for fact in await acme.hub.facts() if fact.seq > manifest.log]
    assert min(new) > max(given)
    [*_, newest] = await acme.hub.messages(conversation)
    assert newest.n > lost.n
    assert not await acme.hub.facts("reader.missed", "fact.parked")
    [told] = await acme.hub.facts("store.restored")
    assert told.small["lanes"] == 0


class Waker:
    """Answers a message after a minute, by a timer."""

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Tx) -> SetTimer:
        return SetTimer(key="later", due=tx.now + timedelta(minutes=1), subject=message.conversation)

    @hookimpl
    def on_timer(self, key: str, subject: str, tx: Tx) -> Reply:
        return Reply(conversation=subject, draft=draft("a minute later"))


@pytest.mark.one_file
async def test_a_timer_that_may_have_been_told_after_the_backup_sends_nothing(instances):
    instances.plugins["waker"] = Waker()
    acme = await instances.before('[plugins]\nenabled = ["waker"]\n')
    # A restore goes by the machine's clock.
    await acme.hub.pass_time(max(datetime.now(UTC) - acme.hub.clock.now() - timedelta(minutes=5), timedelta()))
    await talk(acme, 1)
    await instances.back_up()
    await acme.hub.pass_time(minutes=2)
    assert acme.texts == ["a minute later"]

    acme = await instances.after()
    await acme.hub.pass_time(minutes=10)
    assert acme.texts == ["a minute later"]
    [failed] = await acme.hub.facts("action.failed")
    assert failed.small["code"] == "replayed"
