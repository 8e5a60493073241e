"""A backup is taken while all goes on, all that comes after it is lost, the backup is brought back: nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from talkwire import control, hookimpl
from talkwire.actions import Reply, SetTimer
from talkwire.cli import app
from talkwire.errors import Conflict, NotFound
from talkwire.hooks import SessionStep
from talkwire.lifecycle import backups, recovery
from talkwire.lifecycle.backups import Instance
from talkwire.lifecycle.copying import Place
from talkwire.lifecycle.restoring import hold_now
from talkwire.model import Address, Message, Policy, draft
from talkwire.store import Store, Tx
from talkwire.store.revisions import CORE
from talkwire.testing.hub import whole_hub
from talkwire.testing.provider import FakeProvider, busy
from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin, full
from tests.journeys.conftest import DATABASES
from tests.journeys.test_accounts import events, listening
from tests.journeys.test_windows import windowed
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


async def catch_up(acme: AcmeHub, by: timedelta = timedelta(minutes=1)) -> None:
    """Turn the clock to the machine's, by which a restore goes."""
    await acme.hub.pass_time(max(datetime.now(UTC) + by - acme.hub.clock.now(), timedelta()))


async def a_reply_that_waits(acme: AcmeHub, conversation: str, text: str) -> None:
    """Let the provider be busy for a minute, so that a reply is still queued."""
    acme.provider.will(busy(60))
    await acme.hub.reply(conversation, text)
    await acme.hub.run_until_idle()


async def test_what_was_queued_at_the_backup_and_sent_after_it_is_not_sent_again(instances):
    acme = await instances.before()
    first = await talk(acme, 1)
    await a_reply_that_waits(acme, first, "One")
    manifest = await instances.back_up()
    assert manifest.open_tasks == {"send:shop": 1}
    await acme.hub.pass_time(minutes=2)
    assert acme.texts == ["One", "One"]  # refused, then taken

    acme = await instances.after()
    await acme.hub.pass_time(minutes=2)
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
    await acme.hub.pass_time(minutes=2)
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


@pytest.mark.one_file
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
    from talkwire.outbound.releasing import release

    tx.many("UPDATE conversation SET session = 'none' WHERE id = :id", [{"id": one} for one in items])
    release(tx, items)
    return [None] * len(items)


async def test_a_database_that_came_back_by_other_means_is_held_where_it_lies(instances):
    echo = instances.plugins["echo"] = Echo()
    acme = await instances.before('[plugins]\nenabled = ["echo"]\n')
    conversation = await talk(acme, 1)
    await a_reply_that_waits(acme, conversation, "One")
    echo.breaks = True
    await acme.wrote("m2", "Not told", sender="6281234567801")
    await acme.hub.run_until_idle()
    await acme.hub.daemon.store.write(behind, None)
    await instances.hubs.aclose()
    echo.breaks = False
    before = list(acme.texts)

    store = Store(acme.hub.daemon.store.url, acme.hub.clock)
    await store.open(exclusive=True)
    held = await store.write(hold_now, (acme.hub.clock.now(), {"plugin:echo": lambda kind: kind == "message.received"}))
    await store.close()
    assert [(one.group, one.tasks) for one in held] == [("read:plugin:echo", 2), ("send:shop", 1)]
    acme = await instances._run(instances.instance("before").settings.parent, clock=acme.hub.clock)
    await acme.hub.pass_time(minutes=2)
    assert acme.texts == before


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
    await acme.hub.pass_time(minutes=2)
    assert acme.texts == before
    await catch_up(acme)
    await talk(acme, 2)
    assert acme.texts == [*before, "echo of Hello 2"]
    await do(acme, "release-restored")
    await acme.hub.pass_time(minutes=1)
    assert acme.texts.count("echo of Hello 1") == before.count("echo of Hello 1") + 1


def behind(tx: Tx, items: Any) -> list[None]:
    """Let a reader's cursor stand before all facts, and its lanes be empty."""
    tx.execute("UPDATE reader SET cursor = 0")
    tx.execute("DELETE FROM task WHERE kind = 'fact'")
    tx.execute("UPDATE lane SET due = NULL WHERE grp LIKE 'read:%'")
    return [None] * len(items)


async def test_what_an_account_keeps_and_how_far_it_was_fetched_come_back(instances):
    """A sealed token opens with the key of the backup; what was fetched since the backup is fetched again."""
    channel = listening(("1", events("m1")), ("2", events("m2")))
    instances.plugins["acme"] = AcmePlugin(channel)
    acme = await instances.before()
    await acme.shop.channel.keep("token", "sealed-0123456789", secret=True)
    await acme.shop.channel.keep("folder", "INBOX")
    await instances.back_up()
    await acme.shop.channel.keep("token", "of-after-the-backup", secret=True)
    channel.seen.clear()
    channel.script[:] = [("3", events("m2", "m3"))]
    acme = await instances.after()
    await acme.hub.run_until_idle()
    assert channel.seen == [("begins", "2"), ("acknowledges", "3")]
    kept = [await acme.shop.channel.kept(name) for name in ("token", "folder")]
    assert kept == ["sealed-0123456789", "INBOX"]
    assert await acme.column("SELECT text FROM message ORDER BY n") == ["m1", "m2", "m3"]


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
    await catch_up(acme, timedelta(minutes=-5))
    await talk(acme, 1)
    await instances.back_up()
    await acme.hub.pass_time(minutes=2)
    assert acme.texts == ["a minute later"]

    acme = await instances.after()
    await acme.hub.pass_time(minutes=10)
    assert acme.texts == ["a minute later"]
    [failed] = await acme.hub.facts("action.failed")
    assert failed.small["code"] == "replayed"


@pytest.mark.one_file
async def test_a_message_from_before_the_restore_gets_no_automatic_answer(instances):
    instances.plugins["echo"] = Echo()
    acme = await instances.before('[plugins]\nenabled = ["echo"]\n')
    await catch_up(acme, timedelta(minutes=-5))
    await talk(acme, 1)
    await instances.back_up()
    await talk(acme, 2)
    assert acme.texts == ["echo of Hello 1", "echo of Hello 2"]

    acme = await instances.after()
    conversation = await talk(acme, 2)  # its provider sends it again
    assert acme.texts == ["echo of Hello 1", "echo of Hello 2"]
    [message] = await acme.hub.messages(conversation)
    assert message.text == "Hello 2"
    [told] = [fact for fact in await acme.hub.facts("message.received") if fact.ids["message"] == message.id]
    assert told.replayed


# --- typed -------------------------------------------------------------------------------------------------


@pytest.fixture
def screen(tmp_path):
    """Give what types commands about an instance in a folder."""

    async def typed(instance: Instance, *words: str, code: int = 0) -> str:
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(instance.settings), *words])
        assert ran.exit_code == code, ran.output
        return ran.output

    return typed


TYPED = """
[store]
url = "sqlite:///talkwire.db"
[accounts.shop]
channel = "acme"
token = "planted-token-0123456789"
"""


@pytest.mark.one_file
async def test_an_operator_sees_what_is_held_and_settles_it(instances, screen, tmp_path):
    acme, _ = await held_instance(instances)
    folder = tmp_path / "looking"
    folder.mkdir()
    file = folder / "talkwire.toml"
    file.write_text(TYPED.replace("sqlite:///talkwire.db", acme.hub.daemon.store.url))
    look = Instance(file, file, Place("", file))
    listed = await screen(look, "lanes")
    assert "send:shop" in listed
    assert "held: restored" in listed
    assert "1 lane is held since a restore" in listed
    assert "talkwire lanes drop --all" in listed
    [lane] = json.loads(await screen(look, "lanes", "--json"))
    assert lane["held"] == "restored"
    for words in (["release"], ["release", "1", "--all"], ["drop", "--all", "--account", "shop", "--yes"]):
        assert "give the number of a lane, or --account NAME, or --all" in await screen(look, "lanes", *words, code=2)


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.one_file
async def test_what_is_in_the_way_is_moved_aside_only_when_that_is_said(instances):
    acme = await instances.before()
    await talk(acme, 1)
    await instances.back_up()
    await talk(acme, 2)
    instance = instances.instance("before")
    restore = lambda **options: asyncio.to_thread(  # noqa: E731
        recovery.restore, instances.backup, instance, [CORE], {}, **options
    )
    with pytest.raises(Conflict, match="another daemon uses"):
        await restore(force=True)
    await instances.hubs.aclose()
    with pytest.raises(Conflict, match=r"in the way:\n  the database .*\n  --force moves it aside"):
        await restore()
    instance.key.write_text("YW5vdGhlciBrZXksIHdoaWNoIGlzIDMyIGJ5dGVzLi4=\n")
    with pytest.raises(Conflict, match="another key than the backup's"):
        await restore()
    restored = await restore(force=True)
    assert instance.key.read_text() == KEY
    [key, old] = sorted(restored.aside)
    assert "before-restore-" in key
    assert "before-restore-" in old
    with contextlib.closing(sqlite3.connect(old)) as db:
        assert db.execute("SELECT count(*) FROM message").fetchone() == (2,)
    acme = await instances._run(instance.settings.parent)
    assert await acme.column("SELECT text FROM message") == ["Hello 1"]


@pytest.mark.one_file
async def test_a_damaged_or_cut_backup_is_refused_and_nothing_has_changed(instances, tmp_path):
    acme = await instances.before()
    await talk(acme, 1)
    await acme.wrote("m2", "a large one", pad="x" * 300_000)
    await acme.hub.run_until_idle()
    manifest = await instances.back_up()
    assert manifest.files == 1
    with pytest.raises(Conflict, match="is not empty"):
        await instances.back_up()
    [file] = (instances.backup / "files").glob("*/*")
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(b"y" + content[1:])
    with pytest.raises(Conflict, match=rf"files/{file.name[:2]}/{file.name} is not there, or damaged"):
        await instances.after()
    file.write_bytes(content)
    database = instances.backup / "talkwire.db"
    with database.open("r+b") as opened:
        opened.seek(5000)
        opened.write(b"?")
    with pytest.raises(Conflict, match=r"talkwire\.db is not what was written"):
        backups.look_at(instances.backup)
    (instances.backup / "manifest.json").unlink()
    with pytest.raises(NotFound, match="is no backup, or one that was cut short"):
        await instances.after()
    assert not (tmp_path / "after" / "talkwire.db").exists()


@pytest.mark.one_file
async def test_a_backup_has_the_files_that_its_rows_name_and_no_others(instances, tmp_path):
    acme = await instances.before()
    await acme.wrote("m1", "a large one", pad="x" * 300_000)
    await acme.hub.run_until_idle()
    files = instances.instance("before").store.files
    [file] = files.glob("*/*")
    orphan = files / "ab" / ("ab" * 32)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"nobody's")
    manifest = await instances.back_up()
    [kept] = (instances.backup / "files").glob("*/*")
    assert kept.name == file.name
    assert kept.stat().st_ino == file.stat().st_ino
    assert (manifest.files, manifest.file_bytes) == (1, file.stat().st_size)
    file.unlink()
    instances.backup = tmp_path / "second"
    assert (await instances.back_up()).missing == [kept.name]


class Answering:
    """Says something at each step of a talk that it is asked for, to somebody who can always be answered."""

    def __init__(self, step: SessionStep) -> None:
        self._step = step

    @hookimpl
    def on_session(self, conversation: Any, change: Any, tx: Any) -> Any:
        if change is not self._step:
            return None
        return Reply(account="shop", address=Address(kind="phone", value="+62999999999"), draft=draft(change.value))


@pytest.mark.one_file
async def test_a_window_that_was_told_after_the_backup_is_answered_once(instances):
    instances.plugins["acme"] = AcmePlugin(windowed())
    instances.plugins["answering"] = Answering(SessionStep.WINDOW_CLOSING)
    acme = await instances.before('[plugins]\nenabled = ["answering"]\n')
    await catch_up(acme, timedelta(minutes=-5))
    await acme.wrote("m1", "Hello", time=acme.now - 23 * 3600 + 60)
    await acme.hub.run_until_idle()
    await instances.back_up()
    await acme.hub.pass_time(minutes=2)
    acme = await instances.after()
    await catch_up(acme)
    await acme.hub.pass_time(minutes=10)
    [told] = await acme.hub.facts("window.closing")
    assert told.replayed
    [failed] = await acme.hub.facts("action.failed")
    assert failed.small["code"] == "replayed"


@pytest.mark.one_file
async def test_a_session_that_ended_after_the_backup_is_answered_once(instances):
    instances.plugins["acme"] = AcmePlugin(full(sessions=True, reaches=frozenset({"phone"})))
    instances.plugins["answering"] = Answering(SessionStep.ENDED)
    acme = await instances.before('[plugins]\nenabled = ["answering"]\n')
    await catch_up(acme, timedelta(minutes=-5))
    await acme.told("session", state="connected")
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    await instances.back_up()
    await acme.hub.pass_time(minutes=2)
    ended = acme.now
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    assert acme.texts == ["ended"]
    acme = await instances.after()
    await catch_up(acme)
    await acme.told("session", state="ended", time=ended)
    await acme.hub.pass_time(minutes=10)
    assert acme.texts == ["ended"]
    [failed] = await acme.hub.facts("action.failed")
    assert failed.small["code"] == "replayed"


@pytest.mark.one_file
async def test_the_newest_backups_are_kept(instances, tmp_path):
    await instances.before()
    instance = instances.instance("before")
    many = tmp_path / "many"
    for day in range(1, 4):
        backups.back_up(instance, many / f"2026-11-0{day}T000000Z", [CORE])
    (many / "2026-11-02T000000Z" / "manifest.json").unlink()  # it was cut short
    (many / "notes").mkdir()
    gone = backups.forget_older(many, 1)
    assert [one.name for one in gone] == ["2026-11-01T000000Z", "2026-11-02T000000Z"]
    assert sorted(one.name for one in many.iterdir()) == ["2026-11-03T000000Z", "notes"]
    with pytest.raises(NotFound, match=r"the newest inside is .*2026-11-03T000000Z"):
        backups.look_at(many)


@pytest.mark.one_file
async def test_a_backup_is_for_its_owners_eyes_and_holds_up_nobody(instances):
    acme = await instances.before()
    conversation = await talk(acme, 1)
    told: list[tuple[str, int, int]] = []
    loop = asyncio.get_running_loop()

    def written_meanwhile(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        if what == "database" and done < total:  # between two steps: a write that would begin SQLite's copy anew
            asyncio.run_coroutine_threadsafe(acme.hub.reply(conversation, "meanwhile"), loop).result(5)

    await acme.hub.daemon.store.write(pages, None)
    await asyncio.to_thread(
        backups.back_up, instances.instance("before"), instances.backup, [CORE], tell=written_meanwhile
    )
    steps = [done for what, done, _ in told if what == "database"]
    assert len(steps) > 2
    assert steps == sorted(steps)
    await acme.hub.run_until_idle()
    assert set(acme.texts) == {"meanwhile"}
    with contextlib.closing(sqlite3.connect(instances.backup / "talkwire.db")) as db:
        assert db.execute("SELECT count(*) FROM message WHERE direction = 'out'").fetchone() == (0,)
    modes = {path.stat().st_mode & 0o777 for path in instances.backup.iterdir() if path.is_file()}
    assert modes == {0o600}
    assert instances.backup.stat().st_mode & 0o777 == 0o700


def pages(tx: Tx, items: Any) -> list[None]:
    """Fill some pages, so that a copy takes several steps."""
    tx.execute("INSERT INTO keep (account, name, value) VALUES ('shop', 'pages', :value)", {"value": "x" * 8_000_000})
    return [None] * len(items)
