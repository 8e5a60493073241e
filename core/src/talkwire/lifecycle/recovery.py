"""A backup becomes an instance again: checked, brought to this version, and held, before it takes the old one's place.

Until the last step all that was there is as it was; what is in the way is moved aside, never removed.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..errors import Conflict, StoreDown
from ..store import Tx
from ..store.moving import open_side, synced
from ..store.revisions import Chain
from ..store.sqlite import DaemonLock, SqliteDriver, path_of
from ..store.urls import place_of
from . import backups, restoring
from .backups import DATABASE, FILES, KEY, SETTINGS, Instance, Manifest
from .copying import Place, Progress, copy_all, named_files, nobody_runs, quiet
from .restoring import Held, Wants


@dataclass(slots=True)
class Restored:
    """What was brought back."""

    manifest: Manifest
    held: list[Held] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)  # what was in the way, where it is now
    upgraded: list[str] = field(default_factory=list)
    keys: int = 0  # that open the API; those that were revoked since the backup are among them


def put_settings(folder: Path, instance: Path) -> bool:
    """Write a backup's settings where none are; True: it did. Errors: `NotFound` where the folder is no backup."""
    backups.read_manifest(folder)
    if instance.exists():
        return False
    instance.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy(folder / SETTINGS, instance)
    return True


def restore(
    folder: Path,
    instance: Instance,
    chains: Sequence[Chain],
    wants: Mapping[str, Wants],
    *,
    force: bool = False,
    tell: Progress = quiet,
) -> Restored:
    """Bring a backup back, with everything that was open held until an operator lets it go.

    `force` moves aside what is there. Errors: `NotFound`, `Conflict` where a daemon runs, the backup is damaged, or
    something is in the way; `SchemaError` where a newer Talkwire took it; then nothing has changed.
    """
    restored = Restored(backups.read_manifest(folder))
    with _disk_understood(folder), contextlib.ExitStack() as stack:
        if instance.store.is_file:
            path_of(instance.store.url).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.callback(DaemonLock(path_of(instance.store.url)).release)
        in_the_way = list(_in_the_way(instance, folder))
        if in_the_way and not force:
            raise Conflict(
                "in the way:\n  " + "\n  ".join(in_the_way) + "\n  --force moves it aside", code="in_the_way"
            )
        backups.look_at(folder, tell=tell)
        work = _work_file(instance)
        stack.callback(_remove, work)
        _prepare(folder, work, chains, wants, restored)
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        if not instance.key.exists() or instance.key.read_bytes() != (folder / KEY).read_bytes():
            _move_aside(instance.key, stamp, restored)
            _copy(folder / KEY, instance.key)
        if instance.store.is_file:
            _take_place(folder, work, instance, stamp, restored, tell)
        else:
            _fill(folder, work, instance, chains, stamp, restored, tell)
    return restored


@contextlib.contextmanager
def _disk_understood(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Conflict(f"{error.filename or folder}: {(error.strerror or type(error).__name__).lower()}") from error
    except sqlite3.Error as error:
        raise StoreDown(f"{folder}: {error}") from error


def _work_file(instance: Instance) -> Path:
    beside = path_of(instance.store.url) if instance.store.is_file else instance.settings.with_name(DATABASE)
    return beside.with_name(f"{beside.name}.restoring")


def _in_the_way(instance: Instance, folder: Path) -> Iterator[str]:
    """Name what a restore would overwrite."""
    store = instance.store
    if instance.key.exists() and instance.key.read_bytes() != (folder / KEY).read_bytes():
        yield f"{instance.key}, another key than the backup's, with which what accounts keep sealed cannot be read"
    if store.is_file:
        path = path_of(store.url)
        if path.exists() and path.stat().st_size:
            yield f"the database {path}"
        return
    with contextlib.closing(open_side(store.url)) as side:
        nobody_runs(store, side)
        full = [
            name for name in side.tables() if name not in ("log_head", "meta", "account_state") and side.count(name)
        ]
    if full:
        yield f"the database {place_of(store.url)}, which has rows in {', '.join(full[:5])}"


def _prepare(folder: Path, work: Path, chains: Sequence[Chain], wants: Mapping[str, Wants], restored: Restored) -> None:
    """Copy the database, bring it to this version, and hold what is open, beside everything that is there."""
    from ..store.schema.upgrade import upgrade  # a daemon runs without SQLAlchemy

    _remove(work)
    _copy(folder / DATABASE, work)
    lines = upgrade(f"sqlite:///{work}", chains, keep=False)
    restored.upgraded = [line for line in lines if "→" in line]
    driver = SqliteDriver(work)
    try:
        driver.begin()
        tx = Tx(driver, datetime.now(UTC))
        restored.held = restoring.hold(tx, restored.manifest.taken_at, wants)
        tx.finish()
        tx.number_facts()
        row = tx.one("SELECT count(*) FROM api_key WHERE revoked_at IS NULL")
        restored.keys = row[0] if row else 0
        driver.commit()
    finally:
        driver.close()


def _take_place(folder: Path, work: Path, instance: Instance, stamp: str, restored: Restored, tell: Progress) -> None:
    path, files = path_of(instance.store.url), instance.store.files
    with contextlib.closing(open_side(f"sqlite:///{work}")) as side:
        names = named_files(side)
    for number, sha256 in enumerate(names, 1):
        backups.take_file(sha256, [folder / FILES], files)
        tell("files", number, len(names))
    for ending in ("", "-wal", "-shm"):
        old = path.with_name(path.name + ending)
        _move_aside(old, stamp, restored, old.with_name(f"{path.name}.before-restore-{stamp}{ending}"))
    synced(work)
    work.replace(path)
    synced(path.parent)


def _fill(
    folder: Path,
    work: Path,
    instance: Instance,
    chains: Sequence[Chain],
    stamp: str,
    restored: Restored,
    tell: Progress,
) -> None:
    schema = f"before_restore_{stamp.lower()}"
    source = Place(f"sqlite:///{work}", folder / FILES)
    with contextlib.closing(open_side(source.url)) as side:
        names = side.tables()
    with contextlib.closing(open_side(instance.store.url, write=True)) as side:
        if moved := side.set_aside(names, schema):
            restored.aside.append(f"{moved} tables of {place_of(instance.store.url)}, in its schema {schema}")
            side.commit()
    copy_all(source, instance.store, chains, tell=tell, leave=True, keep_source=True)


def _move_aside(path: Path, stamp: str, restored: Restored, to: Path | None = None) -> None:
    if path.exists():
        to = to or path.with_name(f"{path.name}.before-restore-{stamp}")
        path.rename(to)
        if not to.name.endswith(("-wal", "-shm")):
            restored.aside.append(str(to))


def _copy(source: Path, target: Path) -> None:
    """Copy a file that only we may read."""
    target.touch(mode=0o600)
    target.chmod(0o600)
    shutil.copyfile(source, target)
    synced(target)


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal", ".lock"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
