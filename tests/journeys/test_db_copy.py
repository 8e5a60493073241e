"""The whole database in another place, of the other kind: every row and every file, and work goes on there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from talkwire.cli import app
from talkwire.errors import Conflict, SchemaError
from talkwire.lifecycle.copying import Copied, Place, carry, copy_all, reopen
from talkwire.store.moving import SqliteSide, open_side, summed
from talkwire.store.revisions import CORE
from talkwire.testing.hub import whole_hub
from talkwire.testing.provider import busy
from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin
from tests.mutants.acme import ACME

LARGE = "x" * 300_000  # an envelope of this size lies with the files


@pytest.fixture
async def shop(fake_provider: Any, tmp_path: Path, empty_database: Path) -> Any:
    """Give what runs the shop on a database, until the block ends."""
    provider = await fake_provider(ACME.answers)
    folder = tmp_path / "shop"
    folder.mkdir()

    @contextlib.asynccontextmanager
    async def running(url: str = "") -> AsyncIterator[AcmeHub]:
        settings = SETTINGS.format(url=provider.url, more="")
        options = {"plugins": {"acme": AcmePlugin()}, "template": empty_database, "url": url}
        async with whole_hub(settings, folder, **options) as hub:
            await hub.run_until_idle()
            yield AcmeHub(hub, provider)

    running.folder = folder  # type: ignore[attr-defined]
    return running


async def filled(shop: Any) -> Place:
    """Fill an SQLite file with a talk, with a large envelope, and with what is odd."""
    async with shop() as acme:
        conversation = await acme.talk()
        await acme.wrote("m2", "odd: \\ \t \n '\" \\N 😀 \x7f", pad=LARGE)
        await acme.hub.run_until_idle()
        await acme.reply(conversation, "An answer", "Another")
    return Place(f"sqlite:///{shop.folder / 'talkwire.db'}", shop.folder / "files")


def sums(place: Place) -> dict[str, Any]:
    with contextlib.closing(open_side(place.url)) as side:
        return {name: summed(side.rows(table)) for name, table in side.tables().items() if name != "meta"}


async def copied(source: Place, target: Place, **options: Any) -> Copied:
    return await asyncio.to_thread(copy_all, source, target, [CORE], **options)


async def test_all_goes_to_postgres_and_back_and_work_goes_on(shop, postgres_url, tmp_path):
    source = await filled(shop)
    before = sums(source)
    there = Place(postgres_url, tmp_path / "nowhere")
    told = await copied(source, there)
    assert (told.files, told.missing, told.left) == (1, [], [])
    assert told.rows == sum(one.rows for one in before.values()) + told.tables["meta"].rows
    after = sums(there)
    chunks = after.pop("attachment_chunk")
    assert chunks.rows == 1
    assert before.pop("attachment_chunk").rows == 0
    assert after == before

    async with shop(postgres_url) as acme:
        [conversation] = await acme.hub.conversations()
        assert await acme.hub.states(conversation) == ["accepted", "accepted"]
        await acme.wrote("m2", "again")  # known: the provider repeats itself
        await acme.wrote("m3", "New")
        await acme.hub.run_until_idle()
        await acme.reply(conversation, "Here too")
        assert acme.texts[-1] == "Here too"
        assert len(await acme.hub.messages(conversation)) == 6

    back = Place(f"sqlite:///{tmp_path / 'back.db'}", tmp_path / "files")
    before = sums(there)
    before.pop("attachment_chunk")
    await copied(there, back)
    after = sums(back)
    assert after.pop("attachment_chunk").rows == 0
    lease = before.pop("lease")
    assert lease.rows
    assert after.pop("lease").rows == 0
    assert after == before
    [file] = (tmp_path / "files").glob("*/*")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name


async def test_replies_that_waited_at_the_copy_go_out_from_there_once_and_in_order(shop, postgres_url, tmp_path):
    async with shop() as acme:
        conversation = await acme.talk()
        acme.provider.will(busy(3600))
        await acme.reply(conversation, "First", "Second")
        assert await acme.hub.states(conversation) == ["queued", "queued"]
    source = Place(f"sqlite:///{shop.folder / 'talkwire.db'}", shop.folder / "files")
    await copied(source, Place(postgres_url, tmp_path))
    async with shop(postgres_url) as acme:
        assert acme.provider.taken == {}
        await acme.hub.pass_time(hours=1)
        assert [seen.json()["text"] for seen in acme.provider.taken.values()] == ["First", "Second"]
        assert await acme.hub.states(conversation) == ["accepted", "accepted"]


async def test_a_source_that_was_copied_away_is_retired_until_it_is_reopened(shop, tmp_path):
    source = await filled(shop)
    target = Place(f"sqlite:///{tmp_path / 'new.db'}", tmp_path / "files")
    await copied(source, target)
    with pytest.raises(Conflict, match=r"(?s)retired: it was copied to sqlite:///.*new\.db on .*talkwire db reopen"):
        async with shop():
            pass
    assert reopen(target) == ""
    assert "new.db" in reopen(source)
    async with shop() as acme:
        assert len(await acme.hub.conversations()) == 1


async def test_a_source_that_is_kept_stays_in_use(shop, tmp_path):
    source = await filled(shop)
    await copied(source, Place(f"sqlite:///{tmp_path / 'new.db'}", tmp_path / "files"), keep_source=True)
    async with shop():
        pass


async def test_a_target_that_is_not_empty_is_left_as_it_is(shop, tmp_path, postgres_url):
    source = await filled(shop)
    target = Place(f"sqlite:///{tmp_path / 'new.db'}", tmp_path / "files")
    await copied(source, target, keep_source=True)
    before = (tmp_path / "new.db").read_bytes()
    with pytest.raises(Conflict, match="the target is not empty: it has rows in account_state"):
        await copied(source, target)
    assert (tmp_path / "new.db").read_bytes() == before
    await copied(source, Place(postgres_url, tmp_path), keep_source=True)
    with pytest.raises(Conflict, match="the target is not empty"):
        await copied(source, Place(postgres_url, tmp_path))


async def test_nothing_is_copied_from_under_a_running_daemon(shop, tmp_path, postgres_with_tables):
    target = Place(f"sqlite:///{tmp_path / 'new.db'}", tmp_path / "files")
    async with shop():
        with pytest.raises(Conflict, match="another daemon uses"):
            await copied(Place(f"sqlite:///{shop.folder / 'talkwire.db'}", shop.folder), target)
    async with shop(postgres_with_tables):
        with pytest.raises(Conflict, match="a daemon runs on it"):
            await copied(Place(postgres_with_tables, shop.folder), target)
    assert not (tmp_path / "new.db").exists()


async def test_a_file_that_is_missing_is_named_and_all_else_is_copied(shop, tmp_path, postgres_url):
    source = await filled(shop)
    [file] = source.files.glob("*/*")
    file.write_bytes(b"damaged")
    told = await copied(source, Place(postgres_url, tmp_path))
    assert told.missing == [file.name]
    assert told.files == 0
    assert sums(Place(postgres_url, tmp_path))["attachment_chunk"].rows == 0


async def test_a_table_that_no_plugin_makes_is_left_behind_only_when_that_is_said(shop, tmp_path):
    source = await filled(shop)
    with contextlib.closing(sqlite3.connect(shop.folder / "talkwire.db")) as db, db:
        db.execute("CREATE TABLE old_notes (id INTEGER PRIMARY KEY, text TEXT)")
    target = Place(f"sqlite:///{tmp_path / 'new.db'}", tmp_path / "files")
    with pytest.raises(SchemaError, match=r"no plugin of these settings makes: old_notes.*\n.*--leave-behind"):
        await copied(source, target)
    assert (await copied(source, target, leave=True)).left == ["old_notes"]


class Lossy(SqliteSide):
    """A database that stores one text otherwise than it was given."""

    def fill(self, table: Any, batches: Any) -> None:
        super().fill(table, batches)
        if table.name == "message":
            self._db.execute("UPDATE message SET text = 'Hallo' WHERE text = 'Hello'")


async def test_what_arrives_otherwise_than_it_was_is_noticed(shop, tmp_path, sqlite_template):
    source = await filled(shop)
    target = tmp_path / "lossy.db"
    target.write_bytes(sqlite_template.read_bytes())
    with (
        contextlib.closing(open_side(source.url)) as here,
        contextlib.closing(Lossy(target, write=True)) as there,
        pytest.raises(Conflict, match=r"table message is not the same in the target: 4 rows, digest"),
    ):
        carry(here, there)


# --- typed -------------------------------------------------------------------------------------------------

TYPED = """
[store]
url = "sqlite:///talkwire.db"
[accounts.front]
channel = "livechat"
secret = "planted-secret-0123456789-0123456789"
origins = ["https://shop.example.org"]
"""


@pytest.fixture
def types(tmp_path):
    """Give what types a command in a folder with settings, and gives what was printed."""
    pytest.importorskip("talkwire_livechat")
    file = tmp_path / "typed" / "talkwire.toml"
    file.parent.mkdir()
    file.write_text(TYPED)
    key = file.with_name("instance.key")
    key.touch(mode=0o600)
    key.write_text("a2l0IGtleSBvZiB0aGUgdGVzdCBodWIgMzIgYnl0ZXM=\n")

    async def typed(*words: str, code: int = 0, **env: str) -> str:
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(file), *words], env=env)
        assert ran.exit_code == code, ran.output
        assert "planted" not in ran.output
        return ran.output

    typed.folder = file.parent  # type: ignore[attr-defined]
    return typed


async def test_an_operator_moves_to_postgres(types, postgres_url):
    await types("db", "upgrade")
    key = await types("keys", "new", "me")
    url = postgres_url.replace("talkwire@", "talkwire:planted-password@")
    file = f"sqlite:///{types.folder / 'talkwire.db'}"
    told = await types("db", "copy", file, "${TARGET}", TARGET=url)
    assert "the same on both sides" in told
    assert "api_key" in told
    assert "is retired. Next: in [store], url" in told
    again = await types("db", "copy", file, "${TARGET}", TARGET=url, code=1)
    assert "the target is not empty" in again
    assert "copied to postgresql://127.0.0.1" in await types("keys", "new", "other", code=1)
    settings = types.folder / "talkwire.toml"
    settings.write_text(settings.read_text().replace("sqlite:///talkwire.db", url))
    assert key.split("_")[1] in await types("keys", "list")
    assert "is not retired" in await types("db", "reopen", "--yes", code=1)
    assert [act["what"] for act in json.loads(await types("audit", "--json"))] == [
        "db copy, to here",
        "new-key",
        "db upgrade",
    ]


async def test_files_from_before_an_upgrade_are_listed_with_all_others(types):
    await types("db", "upgrade")
    old = types.folder / "talkwire.db.before-upgrade-20261128T101500000000Z"
    old.write_bytes(b"old")
    assert f"{old}" in await types("paths")


async def test_wrong_arguments_of_a_copy_are_said(types):
    assert "write sqlite:///FILE or postgresql://" in await types("db", "copy", "here", "there", code=2)
    assert "variable NOWHERE is not set" in await types("db", "copy", "${NOWHERE}", "sqlite:///x.db", code=2)
    one, other = (f"sqlite:///{types.folder / name}" for name in ("x.db", "y.db"))
    assert "are the same" in await types("db", "copy", one, one, code=2)
    assert "there is no database at" in await types("db", "copy", one, other, code=78)


# --- a million ----------------------------------------------------------------------------------------------

_TALKS, _PER_TALK = 20, 100  # in the short form
_SHOP_AT = 1_795_435_200_000_000  # microseconds: any moment
_FILL = (
    "INSERT INTO contact (id, name, created_at) SELECT printf('c%08d', n), 'Ana ' || n, :at FROM talks",
    """INSERT INTO address (id, kind, scope, value, contact_id, created_at)
       SELECT printf('a%08d', n), 'phone', '', printf('+628%08d', n), printf('c%08d', n), :at FROM talks""",
    """INSERT INTO conversation (id, account, channel, address_id, contact_id, last_n, last_at, created_at)
       SELECT printf('v%08d', n), 'shop', 'acme', printf('a%08d', n), printf('c%08d', n), :per, :at, :at FROM talks""",
    """INSERT INTO envelope (id, account, endpoint, method, body, received_at, items)
       SELECT printf('e%08d', n), 'shop', 'shop', 'POST', CAST(printf('{"events": [{"id": "m%d"}]}', n) AS BLOB), :at, 1
       FROM messages WHERE n % 2""",
    """INSERT INTO message (id, conversation_id, n, account, direction, external_id, envelope_id, at, stored_at, text, author)
       SELECT printf('m%08d', n), printf('v%08d', n / :per), n % :per + 1, 'shop', CASE WHEN n % 2 THEN 'in' ELSE 'out' END,
              CASE WHEN n % 2 THEN 'm' || n END, CASE WHEN n % 2 THEN printf('e%08d', n) ELSE '' END, :at + n, :at + n,
              'Where is my parcel number ' || n || '? It was said to come today.', ''
       FROM messages""",
    """INSERT INTO delivery (id, message_id, conversation_id, account, part, text, external_id, state, state_at, attempts)
       SELECT printf('d%08d', n), printf('m%08d', n), printf('v%08d', n / :per), 'shop', '{"text":"It comes today."}',
              'It comes today.', 'p' || n, 30, :at + n, 1 FROM messages WHERE n % 2 = 0""",
    """INSERT INTO report (account, external_id, state, at, stored_at, delivery_id)
       SELECT 'shop', 'p' || n, 30, :at + n, :at + n, printf('d%08d', n) FROM messages WHERE n % 2 = 0""",
    """INSERT INTO fact (seq, type, at, account, conversation, ids, small)
       SELECT n + 1, CASE WHEN n % 2 THEN 'message.received' ELSE 'reply.queued' END, :at + n, 'shop',
              printf('v%08d', n / :per), '{"message":"' || printf('m%08d', n) || '"}', '{}' FROM messages""",
    "UPDATE log_head SET seq = :messages",
)


def fill_with_messages(file: Path, talks: int, per: int) -> None:
    values = {"at": _SHOP_AT, "per": per, "messages": talks * per}
    numbers = "WITH RECURSIVE {0}(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM {0} WHERE n < {1} - 1) "
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA synchronous=OFF")
        for statement in _FILL:
            which = "talks" if "FROM talks" in statement else "messages"
            begin = (
                ""
                if statement.startswith("UPDATE")
                else numbers.format(which, talks if which == "talks" else talks * per)
            )
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            db.execute(statement if not begin else statement.replace("SELECT", f"{begin} SELECT", 1), used)


@pytest.mark.prove
async def test_a_million_messages_move_to_postgres_and_work_goes_on_there(
    shop, postgres_url, tmp_path, sqlite_template, proving, proof
):
    talks, per = (10_000, 100) if proving else (_TALKS, _PER_TALK)
    file = shop.folder / "talkwire.db"
    file.write_bytes(sqlite_template.read_bytes())
    await asyncio.to_thread(fill_with_messages, file, talks, per)
    source, target = Place(f"sqlite:///{file}", shop.folder / "files"), Place(postgres_url, tmp_path)
    began = time.monotonic()
    told = await copied(source, target)
    took = time.monotonic() - began
    assert told.tables["message"].rows == talks * per

    async with shop(postgres_url) as acme:
        hub = acme.hub
        assert await hub.rows("SELECT seq FROM fact WHERE type = 'reader.missed'") == []
        conversation = "v00000007"
        before = await hub.messages(conversation)
        assert [one.n for one in before][-1] == per
        await acme.wrote(before[0].external_id or before[1].external_id, "known", sender="62800000007")
        await acme.wrote("new", "Any news?", sender="62800000007")
        await hub.run_until_idle()
        await acme.reply(conversation, "It is on its way")
        newest = [one.n for one in await hub.messages(conversation)][-2:]
        assert newest == [per + 1, per + 2]
        assert acme.texts == ["It is on its way"]
        await acme.reported("p2", "read")
        await hub.run_until_idle()
        [(state,)] = await hub.rows("SELECT state FROM delivery WHERE external_id = 'p2'")
        assert state == 40
        head = await hub.rows("SELECT seq FROM log_head")
        assert head[0][0] > talks * per
    proof(
        "db-copy",
        {
            "messages": f"{talks * per:,}",
            "rows in all tables": f"{told.rows:,}",
            "size of the SQLite file": f"{file.stat().st_size / 2**20:,.0f} MiB",
            "seconds": round(took, 1),
            "rows a second, copied and compared on both sides": f"{told.rows / took:,.0f}",
            "digest of the messages": told.tables["message"].digest,
            "load of the machine": " ".join(f"{one:.1f}" for one in os.getloadavg()),
        },
    )
