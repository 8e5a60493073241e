"""The disk of the database is full, cannot be written, or the file itself is gone."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.disks import FailingDisk
from tests.faults.page import shows
from tests.faults.town import Gateway, Town, full

pytestmark = [pytest.mark.needs("mount"), pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("faults")]


async def test_a_full_disk_loses_nothing_that_was_acknowledged_and_heals_by_itself(on_a_small_disk: Town) -> None:
    town = on_a_small_disk
    await town.writes_until_taken()
    with full(town.folder):
        statuses = [await town.writes()]
        while statuses[-1] == 200:  # what is left in the files is used up
            statuses.append(await town.writes())
        statuses.append(await town.writes(pad=300 * 1024))
        assert statuses[-2:] == [503, 503]
        told, status = await town.readyz(), await town.status()
        assert told[0] == 503
        shows("disk full", told[1], status)
    await town.writes_until_taken()
    await town.writes_until_taken(pad=300 * 1024)
    await town.is_ready()
    await town.all_answered()
    assert await town.lost() == []


async def test_files_too_are_refused_as_the_store_is_and_taken_once_there_is_room(on_a_small_disk: Town) -> None:
    """A large envelope and an attachment lie beside the database."""
    town = on_a_small_disk
    await town.writes_until_taken(pad=300 * 1024)
    await town.gets_a_key()
    with full(town.folder):
        assert await town.writes(pad=300 * 1024) == 503
        status, problem = await town.uploads(b"x" * 300 * 1024)
        assert (status, problem["code"]) == (503, "store_down")
        assert not list((town.folder / "files").glob("incoming-*"))  # nothing is left of it
    await town.is_ready()
    assert (await town.uploads(b"x" * 300 * 1024))[0] == 201
    await town.writes_until_taken(pad=300 * 1024)
    assert await town.lost() == []


async def test_a_database_that_another_program_holds_is_waited_for_and_then_refused(on_a_small_disk: Town) -> None:
    town = on_a_small_disk
    await town.writes_until_taken()
    with closing(sqlite3.connect(town.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await town.writes() == 503
        told, status, alive = await town.readyz(), await town.status(), await town.livez()
        other.execute("ROLLBACK")
    shows("database locked", told[1], status)
    assert alive == (200, "")  # to start this process anew would bring nothing
    await town.writes_until_taken()
    await town.is_ready()
    await town.all_answered()
    assert await town.lost() == []


async def test_a_database_file_that_was_moved_is_not_written_and_taken_up_once_it_is_back(
    on_a_small_disk: Town,
) -> None:
    """SQLite itself goes on with the file that it has open, and what it acknowledges is gone with the next start."""
    town = on_a_small_disk
    await town.writes_until_taken()
    away = town.folder / "away"
    away.mkdir(exist_ok=True)
    # As `mv talkwire.db*` does: the file before its log, which alone would be another fault.
    names = sorted(path.name for path in town.folder.glob("talkwire.db*") if path.suffix != ".lock")
    for name in names:
        (town.folder / name).rename(away / name)
    assert await town.writes() == 503
    told, status = await town.readyz(), await town.status()
    assert told[0] == 503
    shows("database file moved or removed", told[1], status)
    for name in reversed(names):
        (away / name).rename(town.folder / name)
    await town.writes_until_taken()
    await town.is_ready()
    await town.all_answered()
    assert await town.lost() == []


@pytest.mark.prove
@pytest.mark.timeout(120)
async def test_a_disk_that_the_kernel_made_read_only_is_named_and_nothing_acknowledged_is_lost(
    long_form: None, failing_disk: FailingDisk, sqlite_template: Path, tmp_path: Path
) -> None:
    """As ext4 does when it finds an error. What is open there stays dead: the daemon has to be started anew."""
    disk = failing_disk
    shutil.copyfile(sqlite_template, disk.folder / "talkwire.db")
    async with Gateway().open() as gateway, Town(disk.folder, gateway, log=tmp_path / "log.txt").open() as town:
        os.sync()  # what this test wrote; what the daemon acknowledges from now on it has synced itself
        for _ in range(5):
            await town.writes_until_taken()
        disk.fail()
        assert await town.writes() == 503
        assert await town.writes(pad=300 * 1024) == 503
        told, status = await town.readyz(), await town.status()
        shows("disk read-only", told[1], status)
        await town.kill()
        disk.repair()
        await town.start()
        await town.writes_until_taken()
        await town.all_answered()
        assert await town.lost() == []
