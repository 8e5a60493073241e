"""What an operator types about the life of the data, beside a running daemon and where none runs."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from talkwire import serving
from talkwire.cli import app, place
from talkwire.errors import Conflict
from talkwire.lifecycle.departures import CORE_TABLES, plugin_tables
from talkwire.store import Tx
from talkwire.testing import Answers, Reply
from talkwire.testing.hub import WholeHub, whole_hub
from talkwire.testing.provider import unauthorised
from tests.journeys.acme_hub import AcmeHub, no
from tests.journeys.parting_hub import both

TOKEN = "everything-0123456789"
ACCOUNT = """
[accounts.{name}]
channel = "everything"
url = "{url}"
token = "everything-0123456789"
"""
ANSWERS = Answers(accept=lambda seen, external_id: Reply.json({"id": external_id}))
KEY = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n"


class Shop:
    """A folder with an instance, which is run for a while, and in which is typed."""

    def __init__(self, folder: Path, provider: Any, template: Path) -> None:
        self.folder, self.provider, self.template, self.count = folder, provider, template, 0
        self.file = folder / "talkwire.toml"
        (folder / "instance.key").write_text(KEY)
        (folder / "instance.key").chmod(0o600)

    def settings(self, *names: str, more: str = "") -> str:
        text = "".join(ACCOUNT.format(name=name, url=self.provider.url) for name in names) + more
        self.file.write_text(text)
        return text

    async def runs(self, *said: tuple[str, str, str], names: tuple[str, ...] = ("shop",)) -> None:
        """Run a daemon, and let (account, sender, text) be said."""
        async with whole_hub(self.settings(*names), self.folder, template=self.template) as hub:
            await hub.run_until_idle()
            for account, sender, text in said:
                await self.says(hub, account, sender, text)

    async def says(self, hub: WholeHub, account: str, sender: str, text: str) -> None:
        self.count += 1
        body = [{"kind": "message", "id": f"m{self.count}", "sender": sender, "at": 1795435200, "text": text}]
        await hub.deliver(account, json.dumps(body), headers={"X-Token": TOKEN})
        await hub.run_until_idle()

    async def types(self, *words: str, code: int = 0, keys: str = "") -> str:
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(self.file), *words], input=keys)
        assert ran.exit_code == code, ran.output
        assert TOKEN not in ran.output
        return ran.output

    def column(self, sql: str) -> list[Any]:
        from talkwire.settings import read

        found = read(self.file)
        return [row[0] for row in place.look(found.store, lambda query: query.execute(sql))]

    async def rows(self, sql: str) -> list[Any]:
        return await asyncio.to_thread(self.column, sql)


@pytest_asyncio.fixture
async def shop(tmp_path: Path, fake_provider: Any, empty_database: Path) -> AsyncIterator[Shop]:
    yield Shop(tmp_path, await fake_provider(ANSWERS), empty_database)


ANN, BEA = "6281234567890", "6289999999999"


async def test_a_person_is_forgotten_where_no_daemon_runs(shop: Shop) -> None:
    await shop.runs(("shop", ANN, "zqsecret"), ("shop", BEA, "Hello"))
    shown = await shop.types("forget", "+62 812 3456 7890", keys="n\n", code=1)
    assert "phone:+6281234567890" in shown
    assert "1 message in 1 conversation" in shown
    assert "nothing was done" in shown
    shown = await shop.types("forget", ANN, "--yes")
    assert "forgotten: 1 message, 1 raw envelope, 0 stored contents" in shown
    assert await shop.rows("SELECT value FROM address") == [f"+{BEA}"]
    left = [path.name for path in shop.folder.iterdir() if path.is_file() and b"zqsecret" in path.read_bytes()]
    assert left == []
    assert "nobody is known" in await shop.types("forget", ANN, "--yes", code=1)


async def test_a_person_is_forgotten_by_the_running_daemon(shop: Shop) -> None:
    more = '[server]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n'
    text = shop.settings("shop", more=more)
    async with whole_hub(text, shop.folder, template=shop.template) as hub:
        await hub.run_until_idle()
        await shop.says(hub, "shop", ANN, "zqsecret")
    from pydantic import SecretBytes

    from talkwire.daemon import Daemon
    from talkwire.settings import RawConfig, load_raw

    config, plugins = load_raw(RawConfig(text, shop.file, {}))
    daemon = Daemon(config, plugins, keys=[SecretBytes(b"k" * 32)])
    async with serving.serving(daemon):
        assert "forgotten: 1 message" in await shop.types("forget", ANN, "--yes")
        assert await daemon.store.read(lambda query: query.execute("SELECT 1 FROM address")) == []


async def test_what_is_kept_of_a_person_is_exported(shop: Shop) -> None:
    await shop.runs(("shop", ANN, "hello"), ("shop", BEA, "zqsecret"))
    target = shop.folder / "ann.zip"
    shown = await shop.types("export", ANN, str(target))
    assert "2 messages" in shown
    assert target.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(target) as archive:
        names = set(archive.namelist())
        person, [place_] = json.loads(archive.read("person.json")), json.loads(archive.read("messages.json"))
        talk = archive.read("talk.txt").decode()
        assert b"zqsecret" not in b"".join(map(archive.read, names - {"plugins/everything/notes.txt"}))
    assert {"README.txt", "person.json", "messages.json", "talk.txt", "plugins/everything/notes.txt"} == names
    assert person["addresses"][0][1]["value"] == f"+{ANN}"
    assert [message["text"] for message in place_["messages"]] == ["hello", "hello to you"]
    assert "they: hello\n" in talk
    assert "plugin:everything: hello to you\n" in talk
    assert "file exists" in await shop.types("export", ANN, str(target), code=1)
    assert await shop.rows("SELECT what || ' ' || outcome FROM audit ORDER BY id") == ["export done", "export done"]


async def test_an_export_has_every_message_of_a_long_talk_and_its_files(shop: Shop) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a price list"

    async with whole_hub(shop.settings("shop"), shop.folder, template=shop.template) as hub:
        await hub.run_until_idle()
        await shop.says(hub, "shop", ANN, "first")
        await hub.daemon.store.write(_long, 1200)
        kept = await hub.daemon.hub.keep_file(chunks(), name="prices.txt", limit=100)
        await hub.daemon.store.write(_belongs, kept.id)
    target = shop.folder / "ann.zip"
    shown = await shop.types("export", ANN, str(target))
    assert "1,201 messages, 1 file" in shown
    with zipfile.ZipFile(target) as archive:
        [place_] = json.loads(archive.read("messages.json"))
        assert [message["n"] for message in place_["messages"]] == list(range(1, 1202))
        assert archive.read("files/0001-prices.txt") == b"a price list"


def _long(tx: Any, items: Any) -> list[None]:
    for count in items:
        [(place_,)] = tx.execute("SELECT id FROM conversation")
        tx.many(
            """INSERT INTO message (id, conversation_id, n, account, direction, at, stored_at)
               VALUES (:id, :place, :n, 'shop', 'in', 1, 1)""",
            [(f"m{n}", place_, n) for n in range(2, count + 2)],
        )
    return [None] * len(items)


def _belongs(tx: Any, items: Any) -> list[None]:
    for file in items:
        tx.execute("UPDATE attachment SET message_id = 'm2' WHERE id = :id", {"id": file})
    return [None] * len(items)


# --- accounts ---------------------------------------------------------------------------------------------------


async def test_an_account_is_forgotten_once_the_settings_name_it_no_longer(shop: Shop) -> None:
    said = (("shop", ANN, "hello"), ("shop", BEA, "zqsecret"), ("other", ANN, "Hello there"))
    await shop.runs(*said, names=("shop", "other"))
    shown = await shop.types("accounts", "forget", "shop", code=1)
    assert "talkwire accounts withdraw shop" in shown
    shop.settings("other")
    shown = await shop.types("accounts", "forget", "shop", keys="shpo\n", code=1)
    assert "3 messages in 2 conversations" in shown
    assert "never withdrawn" in shown
    assert "nothing was done" in shown
    assert "gone: 3 messages, 2 raw envelopes" in await shop.types("accounts", "forget", "shop", keys="shop\n")
    for table in ("conversation", "message", "envelope", "account_state", "delivery"):
        assert set(await shop.rows(f"SELECT account FROM {table}")) <= {"other"}, table
    assert await shop.rows("SELECT value FROM address") == [f"+{ANN}"]  # Bea wrote nowhere else
    assert len(await shop.rows("SELECT id FROM contact")) == 1
    assert "nothing is kept" in await shop.types("accounts", "forget", "shop", "--confirm", "shop", code=1)


async def test_an_account_is_withdrawn_at_its_provider_before_it_goes(shop: Shop) -> None:
    await shop.runs(("shop", ANN, "Hello"))
    assert "its provider sends nothing more to us" in await shop.types("accounts", "withdraw", "shop")
    assert [seen.path for seen in shop.provider.requests] == ["/removed"]
    assert await shop.rows("SELECT state FROM account_state") == ["paused"]
    shop.settings()
    assert "never withdrawn" not in await shop.types("accounts", "forget", "shop", "--confirm", "shop")


async def test_a_provider_that_does_not_answer_is_named_and_the_account_rests(shop: Shop) -> None:
    await shop.runs(("shop", ANN, "Hello"))
    shop.provider.will(unauthorised())
    assert "is paused; its provider was not told" in await shop.types("accounts", "withdraw", "shop", code=1)
    assert await shop.rows("SELECT state FROM account_state") == ["paused"]
    assert await shop.rows("SELECT 1 FROM fact WHERE type = 'account.withdrawn'") == []


async def test_an_address_that_was_entered_by_hand_is_named_and_not_said_to_be_taken_back(acme: AcmeHub) -> None:
    from talkwire import control

    said = await control.do(acme.hub.daemon, "withdraw-account", {"account": "shop", "by": "cli:test"})
    assert said == {"webhook": "/in/shop"}
    await acme.hub.run_until_idle()
    assert await acme.hub.rows("SELECT state FROM account_state") == [("paused",)]
    assert await acme.hub.facts("account.withdrawn") == []


async def test_an_account_that_is_not_there_is_not_withdrawn(shop: Shop) -> None:
    await shop.runs()
    assert 'no account "nix"' in await shop.types("accounts", "withdraw", "nix", code=1)


async def test_everything_of_an_account_goes_along_with_its_name(shop: Shop) -> None:
    await shop.runs(("shop", ANN, "hello"))
    shown = await shop.types("accounts", "rename", "shop", "store")
    assert "[accounts.shop] becomes [accounts.store]" in shown
    for table in ("conversation", "message", "envelope", "account_state", "delivery", "exchange"):
        assert set(await shop.rows(f"SELECT account FROM {table}")) == {"store"}, table
    async with whole_hub(shop.settings("store"), shop.folder) as hub:
        await hub.run_until_idle()
        await shop.says(hub, "store", ANN, "hello")
        talk = await hub.conversation
        assert [m.text for m in await hub.messages(talk)] == ["hello", "hello to you"] * 2
        ((first,),) = await hub.rows("SELECT id FROM envelope ORDER BY id LIMIT 1")
        assert (await hub.daemon.intake.replay(first)).duplicates == 1


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("shop", "other", 1, "two accounts cannot become one"),
        ("nix", "new", 1, 'nothing is kept of an account "nix"'),
        ("shop", "Shop", 2, "a-z, 0-9 and the hyphen"),
        ("shop", "shop", 2, "one name"),
    ],
)
async def test_a_name_that_cannot_be_taken_is_refused(shop: Shop, old: str, new: str, code: int, said: str) -> None:
    await shop.runs(names=("shop", "other"))
    assert said in await shop.types("accounts", "rename", old, new, code=code)


async def test_no_account_is_renamed_under_a_running_daemon(start_hub: Any) -> None:
    from talkwire import control

    hub = await start_hub("")
    with pytest.raises(Conflict, match="stop it, rename"):
        await control.do(hub.daemon, "rename-account", {"old": "a", "new": "b", "by": "cli:test"})


async def test_accounts_go_and_take_names_on_both_databases(start_hub: Any, fake_provider: Any) -> None:
    from talkwire import control
    from talkwire.lifecycle import departures

    provider = await fake_provider(ANSWERS)
    text = "".join(ACCOUNT.format(name=name, url=provider.url) for name in ("shop", "other"))
    hub = await start_hub(text)
    await hub.run_until_idle()
    for account, sender in (("shop", ANN), ("other", BEA)):
        body = [{"kind": "message", "id": "m1", "sender": sender, "at": 1795435200, "text": "hello"}]
        await hub.deliver(account, json.dumps(body), headers={"X-Token": TOKEN})
    await hub.run_until_idle()
    with pytest.raises(Conflict, match="is served"):
        await control.do(hub.daemon, "forget-account", {"account": "shop", "by": "cli:test"})
    store, daemon = hub.daemon.store, hub.daemon
    gone = await departures.forget_account(store, daemon.files, daemon.clock, "shop", "cli:test", alone=False)
    assert (gone.messages, gone.envelopes) == (2, 1)
    await departures.rename_account(store, "other", "last", "cli:test")
    assert await hub.rows("SELECT DISTINCT account FROM message") == [("last",)]
    assert len(await hub.rows("SELECT id FROM contact")) == 1
    assert [fact.type for fact in await hub.facts("account.forgotten", "account.renamed")] == [
        "account.forgotten",
        "account.renamed",
    ]
    sqlite = store.is_sqlite
    tables = await store.read(lambda query: plugin_tables(query, sqlite=sqlite))
    assert tables == {"everything": ["everything_note"]}
    assert set(await departures.purge_plugin(store, "everything")) == {"everything_note", "alembic_version_everything"}
    assert await store.read(lambda query: plugin_tables(query, sqlite=sqlite)) == {}


async def test_a_reply_that_is_about_to_go_on_elsewhere_knows_the_new_name(start_acme: Any) -> None:
    """The daemon was stopped between the end of the session and the next step."""
    from talkwire.lifecycle import departures
    from talkwire.model import AnswerCode
    from talkwire.outbound import elsewhere

    acme = await start_acme('when_closed = "fallback:post"', **both(sessions=True))
    await acme.told("session", state="connected")
    conversation = await acme.talk(aliases=["email:ann@example.org"])
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    store = acme.hub.daemon.store
    await acme.hub.daemon.lanes.stop(timedelta())
    [(message,)] = await acme.hub.rows("SELECT id FROM message WHERE direction = 'out'")

    def promise(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        elsewhere.promise(tx, message, conversation.id, "post", AnswerCode.SESSION_ENDED)
        return items

    await store.write(promise, None)
    await departures.rename_account(store, "post", "mail", "cli:test")
    bodies = await acme.hub.rows("SELECT body FROM task WHERE kind = 'fallback'")
    assert [elsewhere.promised(body)[0] for (body,) in bodies] == ["mail"]


# --- plugins, paths -----------------------------------------------------------------------------------------------


async def test_a_plugin_is_purged_once_nothing_names_it(shop: Shop) -> None:
    await shop.runs(("shop", ANN, "zqsecret"))
    assert "is enabled" in await shop.types("plugins", "purge", "everything", code=1)
    shop.settings()
    assert "everything_note" in await shop.types("plugins", "purge", "everything", keys="\n", code=1)
    assert "gone: 2 tables" in await shop.types("plugins", "purge", "everything", "--confirm", "everything")
    assert "nothing is kept of a plugin" in await shop.types(
        "plugins", "purge", "everything", "--confirm", "everything", code=1
    )
    assert await shop.rows("SELECT name FROM reader WHERE name LIKE 'plugin:%'") == []
    await shop.runs()  # enabled again, it begins anew
    assert await shop.rows("SELECT count(*) FROM everything_note WHERE text = 'zqsecret'") == [0]


async def test_a_plugin_that_does_not_run_is_named_to_who_forgets(shop: Shop) -> None:
    await shop.runs(("shop", ANN, "hello"))
    shop.settings()
    assert "plugins that do not run keep what their tables hold: everything" in await shop.types(
        "forget", ANN, keys="n\n", code=1
    )


async def test_everything_that_lies_somewhere_is_named(shop: Shop) -> None:
    await shop.runs()
    shown = await shop.types("paths")
    for name in ("talkwire.toml", "instance.key", "talkwire.db", "talkwire.sock"):
        assert str(shop.folder / name) in shown
    rows = json.loads(await shop.types("paths", "--json"))
    named = {row["where"] for row in rows}
    assert {str(path) for path in shop.folder.iterdir()} <= named


async def test_who_forgets_is_told_of_copies_that_were_put_aside(shop: Shop) -> None:
    await shop.runs(("shop", ANN, "hello"))
    aside = [*shop.folder.glob("talkwire.db.before-upgrade-*")]
    assert aside  # the tables of a plugin came, and the file was kept as it was
    shown = await shop.types("forget", ANN, "--yes")
    assert "1 copy of before an upgrade or a restore" in shown
    assert str(aside[0]) in shown


def test_no_core_table_is_taken_for_a_plugin_s() -> None:
    from talkwire.store.schema.tables import metadata

    assert {name for name in metadata.tables if "_" in name} == CORE_TABLES
