"""Names, types, bytes at rest, in a folder and in the database: one suite for both."""

import asyncio
import hashlib
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkwire.clock import micros
from talkwire.errors import NotFound, TooLarge
from talkwire.media.chunks import ChunkStore
from talkwire.media.files import BLOCK, FileStore
from talkwire.media.sniff import HEAD, classify, safe_name, sniff
from talkwire.testing.services import TurnedClock

SECOND = timedelta(seconds=1)

SNIFFED = [  # first bytes, name, media type
    (b"\x89PNG\r\n\x1a\n" + bytes(20), "liar.pdf", "image/png"),
    (b"\xff\xd8\xff\xe0" + bytes(20), "", "image/jpeg"),
    (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(300), "", "video/mp4"),
    (b"\0\0\0\x14ftyp3gp4" + bytes(300), "a.mp4", "video/3gpp"),
    (b"%PDF-1.7", "", "application/pdf"),
    (b"OggS" + bytes(300), "", "audio/ogg"),
    (b"#!AMR\n" + bytes(9), "", "audio/amr"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "a.xls", "application/vnd.ms-excel"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "a.png", "application/octet-stream"),
    (b"\xef\xbb\xbf \n<!DOCTYPE html><p>", "a.txt", "text/html"),
    (b"<html>", "a.png", "text/html"),
    (b'<?xml version="1.0"?><svg xmlns="x"/>', "a.png", "image/svg+xml"),
    (b"<?xml version='1.0'?><a/>", "a.txt", "application/octet-stream"),
    (b"a;b\n1;2\n", "A.CSV", "text/csv"),
    ("é".encode()[:1].join([b"x" * 7, b""]), "a.txt", "text/plain"),
    (b"\xe9t\xe9 latin", "a.txt", "application/octet-stream"),
    (b"text\0", "a.txt", "application/octet-stream"),
    (b"plain", "a.sh", "application/octet-stream"),
    (b"", "a.png", "application/octet-stream"),
]


@pytest.mark.parametrize(("head", "name", "media_type"), SNIFFED, ids=range(len(SNIFFED)))
def test_the_bytes_say_what_a_file_is(head, name, media_type):
    assert sniff(head, name) == media_type


CLASSES = [
    *[(kind, "", "media") for kind in ("image/png", "image/jpeg", "video/mp4", "video/webm")],
    *[
        (kind, "a.png", "file")
        for kind in ("application/pdf", "audio/mpeg", "audio/ogg", "image/gif", "text/csv", "x/y")
    ],
    *[("", name, "media") for name in ("a.PNG", "a.jpeg", "a.jpg", "a.mp4", "a.webm")],
    *[("", name, "file") for name in ("a.pdf", "a.mp3", "a", "")],
]


@pytest.mark.parametrize(("media_type", "name", "listed"), CLASSES)
def test_attachments_fall_in_the_classes_of_the_reference(media_type, name, listed):
    assert classify(media_type, name) == listed


NAMES = [
    ("../../etc/passwd", "passwd"),
    ("C:\\fakepath\\a.pdf", "a.pdf"),
    ("a\r\nSet-Cookie: b.pdf", "aSet-Cookie_ b.pdf"),
    ("photo\u202egnp.exe", "photognp.exe"),
    ("CON.txt", "_CON.txt"),
    ("com1", "_com1"),
    ("...", "file"),
    ("", "file"),
    (".htaccess", "htaccess"),
    ("a/", "a"),
    ("x" * 200 + ".pdf", "x" * 116 + ".pdf"),
    ("x" * 200, "x" * 120),
    ("\ud83d.pdf", "_.pdf"),
    ("foto \U0001f468\u200d\U0001f469.png", "foto \U0001f468\u200d\U0001f469.png"),
]


@pytest.mark.parametrize(("name", "safe"), NAMES)
def test_a_name_is_only_a_name(name, safe):
    assert safe_name(name) == safe


@given(st.text(max_size=300))
@example("." * 200 + "a")
def test_every_safe_name_can_be_a_file_on_any_system(name):
    safe = safe_name(name)
    assert 0 < len(safe) <= 120
    assert not set(safe) & set('/\\<>:"|?*\0\r\n\u202e')
    assert safe == safe.strip(" .") == safe_name(safe)


class SmallDatabase:
    """The two functions that `ChunkStore` asks for, on SQLite in memory."""

    def __init__(self, clock):
        self.clock = clock
        self.db = sqlite3.connect(":memory:")
        self.db.execute(
            "CREATE TABLE attachment_chunk (sha256 TEXT, n INTEGER, bytes BLOB, at INTEGER, PRIMARY KEY (sha256, n))"
        )

    @property
    def now_us(self):
        return micros(self.clock.now())

    def execute(self, sql, params):
        return self.db.execute(sql, params).fetchall()

    async def write(self, fn, item):
        with self.db:
            return fn(self, [item])[0]

    async def read(self, fn):
        return fn(self)


@pytest.fixture
def clock():
    return TurnedClock()


@pytest.fixture
def database(clock):
    made = SmallDatabase(clock)
    yield made
    made.db.close()


@pytest.fixture(params=["folder", "database"])
def store(request, tmp_path, database, clock):
    return FileStore(tmp_path / "files", clock.now) if request.param == "folder" else ChunkStore(database)


async def pieces(*chunks):
    for chunk in chunks:
        yield chunk


async def whole(store, sha256):
    return b"".join([block async for block in store.open(sha256)])


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
async def test_bytes_come_back_as_they_were(store, size):
    data = os.urandom(size)
    stored = await store.put(pieces(*[data[at : at + 70_000] for at in range(0, size, 70_000)]), limit=size)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert (stored.size, stored.head) == (size, data[:HEAD])
    assert await whole(store, stored.sha256) == data


async def test_equal_content_is_there_once(store, tmp_path, database):
    first = await store.put(pieces(b"same"), limit=9)
    again = await store.put(pieces(b"sa", b"me"), limit=9)
    assert first == again
    files = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    rows = database.execute("SELECT n FROM attachment_chunk", {})
    assert len(files) + len(rows) == 1


async def test_two_at_once_do_not_disturb_each_other(store):
    data = os.urandom(2 * BLOCK)
    both = await asyncio.gather(*[store.put(pieces(data[:BLOCK], data[BLOCK:]), limit=len(data)) for _ in range(2)])
    assert both[0] == both[1]
    assert await whole(store, both[0].sha256) == data


async def test_too_large_leaves_nothing_behind(store, tmp_path, database):
    with pytest.raises(TooLarge, match="larger than 3 bytes"):
        await store.put(pieces(b"ab", b"cd"), limit=3)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not database.execute("SELECT n FROM attachment_chunk", {})


async def test_a_source_that_breaks_leaves_nothing_behind(store, tmp_path, database):
    async def broken():
        yield b"a"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put(broken(), limit=9)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not database.execute("SELECT n FROM attachment_chunk", {})


async def test_what_is_dropped_is_gone_and_may_be_dropped_again(store, clock):
    stored = await store.put(pieces(b"a"), limit=9)
    for _ in range(2):
        assert await store.drop([stored.sha256], clock.now() + SECOND) == {stored.sha256}
    with pytest.raises(NotFound):
        await whole(store, stored.sha256)


async def test_what_was_put_again_lately_is_not_dropped(store, clock):
    stored = await store.put(pieces(b"a"), limit=9)
    before = clock.advance(60 * SECOND)
    await store.put(pieces(b"a"), limit=9)
    assert await store.drop([stored.sha256], before) == frozenset()
    assert await whole(store, stored.sha256) == b"a"


async def test_a_walk_names_everything_once(store):
    put = [(await store.put(pieces(bytes([number])), limit=9)).sha256 for number in range(30)]
    named, after = await store.walk("")
    while after:
        more, after = await store.walk(after)
        named += more
    assert named == sorted(put)


async def test_a_place_where_nothing_was_put_has_nothing_to_walk_through(store):
    assert await store.walk("") == ([], "")


async def test_what_a_put_left_that_was_killed_is_tidied_away(tmp_path, clock):
    store = FileStore(tmp_path, clock.now)
    stored = await store.put(pieces(b"a"), limit=9)
    (tmp_path / "incoming-0815").write_bytes(b"half of it")
    await store.tidy(datetime.now(UTC) - 60 * SECOND)
    assert (tmp_path / "incoming-0815").exists()  # it may still be on its way
    await store.tidy(datetime.now(UTC) + 60 * SECOND)
    assert not (tmp_path / "incoming-0815").exists()
    assert await whole(store, stored.sha256) == b"a"


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
async def test_only_a_hash_reaches_a_path(store, sha256):
    with pytest.raises(NotFound):
        await whole(store, sha256)
    with pytest.raises(NotFound):
        await store.drop([sha256], datetime.now(UTC))


async def test_a_put_that_was_cut_is_completed_by_the_next(database):
    store, data = ChunkStore(database), os.urandom(2 * BLOCK)
    stored = await store.put(pieces(data), limit=len(data))
    await database.write(lambda tx, _: [tx.execute("DELETE FROM attachment_chunk WHERE n = 1", {})], None)
    await store.put(pieces(data), limit=len(data))
    assert await whole(store, stored.sha256) == data


async def test_a_file_and_its_folders_are_on_the_disk_before_put_returns(tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(descriptor):
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    stored = await FileStore(tmp_path / "files").put(pieces(b"a"), limit=9)
    assert synced[0].name.startswith("incoming-")
    assert synced[1:] == [tmp_path / "files" / stored.sha256[:2], tmp_path / "files", tmp_path]
