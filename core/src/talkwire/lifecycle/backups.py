"""A folder that holds a whole instance as it was at one moment, and says so of itself.

    DIR/  talkwire.db     one moment of the database, as an SQLite file, whatever the instance uses
          files/          attachments and large envelopes, by the hash of their content
          talkwire.toml   the settings
          instance.key    without it, what accounts keep sealed cannot be read
          manifest.json   what is here, with sums; written last, so that a folder without it is no backup

Nothing that runs is held up: SQLite lets a reader look at one moment while the writer goes on, PostgreSQL as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json, to_json

from ..clock import moment
from ..errors import Conflict, NotFound, StoreDown
from ..media.files import BLOCK, path_in
from ..store.moving import Side, open_side, synced
from ..store.revisions import Chain
from ..store.sqlite import path_of
from .copying import Copied, Damaged, InFolder, Place, Progress, checked, fill_file, named_files, quiet

DATABASE, FILES, SETTINGS, KEY, MANIFEST = "talkwire.db", "files", "talkwire.toml", "instance.key", "manifest.json"
_FORMAT = 1
_PAGES = 256  # of the database that are copied at a time
_STAMP = "%Y-%m-%dT%H%M%SZ"
_ACCOUNTS = """
    SELECT account, channel, last_in_at, last_out_at, last_poll_at FROM account_state ORDER BY account
"""
_NEWEST = "SELECT account, direction, max(stored_at) FROM message GROUP BY account, direction"
_OPEN = """
    SELECT l.grp, count(t.id) FROM task t JOIN lane l ON l.id = t.lane_id GROUP BY l.grp ORDER BY l.grp
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountThen:
    """An account as it was at the backup."""

    name: str
    channel: str
    newest_in: datetime | None  # message that came
    newest_out: datetime | None  # reply that was stored
    last_poll: datetime | None  # a listener goes on from there; None: it has none
    waiting: int  # parts on their way


@dataclass(slots=True, kw_only=True)
class Manifest:
    """What a backup says of itself."""

    taken_at: datetime
    talkwire: str  # version that took it
    store: str  # sqlite | postgresql
    schema: dict[str, str]  # owner → revision
    rows: dict[str, int]  # table → count
    sums: dict[str, str]  # file → SHA-256, hex
    files: int
    file_bytes: int
    missing: list[str] = field(default_factory=list)  # files that rows name, and that were not there
    left: list[str] = field(default_factory=list)  # tables of plugins that the instance did not run
    log: int = 0  # number of its last fact
    open_tasks: dict[str, int] = field(default_factory=dict)  # group of lanes → tasks
    accounts: list[AccountThen] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Instance:
    """What is backed up: settings, key, database, files."""

    settings: Path
    key: Path
    store: Place


# --- taking --------------------------------------------------------------------------------------------


def back_up(
    instance: Instance, folder: Path, chains: Sequence[Chain], *, tell: Progress = quiet, beside: Path | None = None
) -> Manifest:
    """Take a backup into an empty folder, and look at what was written; the daemon goes on meanwhile.

    `beside` is an older backup: files that it has too are not copied again. A file that rows name and that is not
    there, or is damaged, is noted in the manifest: all others are there. Errors: `Conflict` where the folder is not
    empty or cannot be written; `StoreDown`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Conflict(
                f"{folder} is not empty; name a new folder, or let --keep N make one inside", code="not_empty"
            )
        folder.chmod(0o700)
        with _nothing_left(folder):
            return _taken(instance, folder, chains, tell, beside)
    except OSError as error:
        raise Conflict(f"{error.filename or folder}: {(error.strerror or type(error).__name__).lower()}") from error
    except sqlite3.Error as error:
        raise StoreDown(f"{folder}: {error}") from error


@contextlib.contextmanager
def _nothing_left(folder: Path) -> Iterator[None]:
    """Leave the folder empty again where something fails."""
    try:
        yield
    except BaseException:
        for one in folder.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        raise


def _taken(instance: Instance, folder: Path, chains: Sequence[Chain], tell: Progress, beside: Path | None) -> Manifest:
    for source, name in ((instance.settings, SETTINGS), (instance.key, KEY)):
        _copy_small(source, folder / name)
    database, store = folder / DATABASE, instance.store
    copied = Copied()
    # Files that are there now are held by a second name before the database is looked at: what is purged meanwhile
    # is still named by its rows. Files that come later are there when their row is.
    sources = [store.files, *([beside / FILES] if beside else [])]
    if store.is_file:
        _hold_files(store.files, sources, folder / FILES, tell)
        taken = datetime.now(UTC)
        _copy_database(path_of(store.url), database, tell)
        copied.files, copied.file_bytes, copied.missing = _settle_files(database, sources, folder / FILES, tell)
    else:
        taken = datetime.now(UTC)
        with contextlib.closing(open_side(store.url)) as here:
            copied = fill_file(
                store, here, Place(f"sqlite:///{database}", folder / FILES), chains, tell=tell, leave=True
            )
    _one_file(database)
    _check_whole(database, tell)
    with contextlib.closing(open_side(f"sqlite:///{database}")) as side:
        manifest = _described(side, taken, copied, "sqlite" if store.is_file else "postgresql", folder, tell)
    _write(folder / MANIFEST, to_json({"format": _FORMAT, **_as_json(manifest)}, indent=2) + b"\n")
    synced(folder)
    return manifest


def _copy_small(source: Path, target: Path) -> None:
    _write(target, source.read_bytes())


def _write(target: Path, content: bytes) -> None:
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _copy_database(path: Path, target: Path, tell: Progress) -> None:
    """Copy one moment of an SQLite file; its writer goes on.

    The reading transaction holds the moment. Without it SQLite begins the copy anew at each write, for ever.
    """
    try:
        with (
            contextlib.closing(sqlite3.connect(_reading(path), uri=True, isolation_level=None)) as source,
            contextlib.closing(sqlite3.connect(_private(target))) as copy,
        ):
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=_PAGES, progress=lambda _, left, total: tell("database", total - left, total))
    except sqlite3.Error as error:
        raise StoreDown(f"{path}: {error}") from error


def _reading(path: Path) -> str:
    return f"file:{quote(str(path.absolute()))}?mode=ro"


def _private(path: Path) -> Path:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return path


def _one_file(database: Path) -> None:
    """Let everything lie in one file, and the disk have it."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    synced(database)


def _check_whole(database: Path, tell: Progress) -> None:
    tell("looking at the database", 0, 1)
    with contextlib.closing(sqlite3.connect(_reading(database), uri=True)) as db:
        try:
            said = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            said = str(error)
    if said != "ok":
        raise StoreDown(f"{database}: damaged: {str(said)[:200]}")
    tell("looking at the database", 1, 1)


# --- files ---------------------------------------------------------------------------------------------


def _hold_files(folder: Path, sources: Sequence[Path], target: Path, tell: Progress) -> None:
    found = [path.name for path in sorted(folder.glob("[0-9a-f][0-9a-f]/*")) if len(path.name) == _NAME]
    for number, sha256 in enumerate(found, 1):
        take_file(sha256, sources, target)
        tell("files", number, len(found))


_NAME = 64  # digits of a SHA-256


def take_file(sha256: str, sources: Sequence[Path], target: Path) -> None:
    """Give a file a second name in the backup, or copy it; nothing happens where it is not there (any more).

    Their content never changes, so a second name is as good as a copy, until the disk itself fails.
    """
    kept = path_in(target, sha256)
    for source in (path_in(folder, sha256) for folder in sources):
        try:
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept.hardlink_to(source)
        except FileExistsError:
            return
        except FileNotFoundError:
            continue
        except OSError:
            continue  # another disk, or a file system without second names
        else:
            return
    with contextlib.suppress(Damaged):
        InFolder(target).put(sha256, checked(sha256, InFolder(sources[0]).read(sha256)))


def _settle_files(database: Path, sources: Sequence[Path], target: Path, tell: Progress) -> tuple[int, int, list[str]]:
    """Let exactly those files be in a backup that its rows name, each looked at; gives count, bytes, what lacks."""
    with contextlib.closing(open_side(f"sqlite:///{database}")) as side:
        names = named_files(side)
    for sha256 in names:
        if not path_in(target, sha256).exists():
            take_file(sha256, sources, target)
    wanted = set(names)
    for path in target.glob("*/*"):
        if path.name not in wanted:
            path.unlink()
    return _looked_at(target, names, tell)


def _looked_at(folder: Path, names: Sequence[str], tell: Progress) -> tuple[int, int, list[str]]:
    sizes: list[int] = []
    missing = []
    for number, sha256 in enumerate(names, 1):
        try:
            for _ in checked(sha256, InFolder(folder).read(sha256), sizes):
                pass
        except Damaged:
            missing.append(sha256)
        tell("looking at files", number, len(names))
    return len(sizes), sum(sizes), missing


# --- what it says of itself --------------------------------------------------------------------------------


def _described(side: Side, taken: datetime, copied: Copied, store: str, folder: Path, tell: Progress) -> Manifest:
    names = sorted(side.tables())
    head = side.one("SELECT seq FROM log_head")
    waiting: dict[str, int] = dict(side.all(_OPEN))
    return Manifest(
        taken_at=taken,
        talkwire=version("talkwire"),
        store=store,
        schema=side.versions(),
        rows={name: side.count(name) for name in names},
        sums={name: _sum(folder / name, tell) for name in (DATABASE, SETTINGS, KEY)},
        files=copied.files,
        file_bytes=copied.file_bytes,
        missing=copied.missing,
        left=copied.left,
        log=head[0] if head else 0,
        open_tasks=waiting,
        accounts=list(_accounts(side, waiting)),
    )


def _accounts(side: Side, waiting: dict[str, int]) -> Iterator[AccountThen]:
    newest = {(account, direction): at for account, direction, at in side.all(_NEWEST)}
    for name, channel, *_, polled in side.all(_ACCOUNTS):
        newest_in, newest_out = newest.get((name, "in")), newest.get((name, "out"))
        yield AccountThen(
            name=name,
            channel=channel,
            newest_in=moment(newest_in) if newest_in else None,
            newest_out=moment(newest_out) if newest_out else None,
            last_poll=moment(polled) if polled else None,
            waiting=waiting.get(f"send:{name}", 0),
        )


def _sum(path: Path, tell: Progress) -> str:
    hashed, done, total, what = hashlib.sha256(), 0, path.stat().st_size, f"summing {path.name}"
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            hashed.update(block)
            done += len(block)
            tell(what, done, total)
    return hashed.hexdigest()


def _as_json(manifest: Manifest) -> dict[str, Any]:
    said: dict[str, Any] = {name: getattr(manifest, name) for name in Manifest.__slots__}
    accounts = [{name: getattr(one, name) for name in AccountThen.__slots__} for one in manifest.accounts]
    return {**said, "accounts": accounts}


# --- looking at one ----------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> Manifest:
    """Read what a backup says of itself. Errors: `NotFound` where the folder is no backup; `Conflict`."""
    try:
        said = from_json((folder / MANIFEST).read_bytes())
        if said.pop("format") != _FORMAT:
            raise Conflict(f"{folder}: this backup is of a form that a newer Talkwire writes; install that one")
        times = ("newest_in", "newest_out", "last_poll")
        accounts = [
            AccountThen(**{**one, **{name: _time(one[name]) for name in times}}) for one in said.pop("accounts")
        ]
        return Manifest(**{**said, "taken_at": _time(said["taken_at"]), "accounts": accounts})
    except (FileNotFoundError, NotADirectoryError) as error:
        names = [one.name for one in dated(folder)]
        newest = f"; the newest inside is {folder / names[-1]}" if names else ""
        raise NotFound(f"{folder} is no backup, or one that was cut short: it has no {MANIFEST}{newest}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise Conflict(f"{folder / MANIFEST} cannot be read: {type(error).__name__}") from error


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def look_at(folder: Path, *, tell: Progress = quiet) -> Manifest:
    """Compare a backup with what it says of itself. Errors: `NotFound`; `Conflict`, naming all that differs."""
    manifest = read_manifest(folder)
    faults = []
    for name, said in manifest.sums.items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is not there")
        elif _sum(path, tell) != said:
            faults.append(f"{name} is not what was written")
    if not faults:
        with contextlib.closing(open_side(f"sqlite:///{folder / DATABASE}")) as side:
            names = named_files(side)
        _, _, missing = _looked_at(folder / FILES, names, tell)
        faults += [
            f"{FILES}/{one[:2]}/{one} is not there, or damaged" for one in missing if one not in manifest.missing
        ]
    if faults:
        raise Conflict(f"{folder} is damaged:\n  " + "\n  ".join(faults[:20]), code="damaged")
    return manifest


# --- several of them ---------------------------------------------------------------------------------------


def dated(folder: Path) -> list[Path]:
    """Give the backups in a folder that `--keep` made, the oldest first; what was cut short is none."""
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if _is_dated(one.name) and (one / MANIFEST).is_file())


def _is_dated(name: str) -> bool:
    try:
        datetime.strptime(name, _STAMP)  # noqa: DTZ007  it ends with Z
    except ValueError:
        return False
    return True


def new_dated(folder: Path) -> Path:
    """Name the folder of a backup that is taken now."""
    return folder / f"{datetime.now(UTC):{_STAMP}}"


def forget_older(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest backups of a folder, and what was cut short before the newest; give what went."""
    whole = dated(folder)
    cut = [one for one in folder.iterdir() if _is_dated(one.name) and one not in whole and whole and one < whole[-1]]
    gone = [*whole[: max(0, len(whole) - keep)], *cut]
    for one in gone:
        # Without its manifest it is no backup any more, should this be cut short.
        (one / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(one)
    return gone
