"""A disk of 64 MB with a daemon on it, for all tests of this folder that want one."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.disks import FailingDisk, SmallDisk
from tests.faults.town import Gateway, Town
from tests.journeys.conftest import (  # noqa: F401  the hubs of the journeys
    acme,
    fake_acme_settings,
    full_acme,
    pytest_generate_tests,
    start_acme,
    start_hub,
)


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 64 MB, which is gone afterwards."""
    disk = SmallDisk(tmp_path_factory.mktemp("disk"))
    try:
        yield disk.folder
    finally:
        disk.remove()


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[FailingDisk]:
    """A disk that can fail as real ones do."""
    disk = FailingDisk(tmp_path)
    try:
        yield disk
    finally:
        disk.remove()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on_a_small_disk(
    small_disk: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    """A daemon whose folder is a disk of its own."""
    shutil.copyfile(sqlite_template, small_disk / "talkwire.db")
    async with Gateway().open() as gateway:
        log = tmp_path_factory.mktemp("log") / "log.txt"
        async with Town(small_disk, gateway, log=log).open() as town:
            yield town
