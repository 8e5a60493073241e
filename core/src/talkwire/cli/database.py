"""`talkwire db`: the tables of this version; the whole database in another place."""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import place
from .place import ConfigFile
from .screen import Progress, complain, many, say, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..lifecycle.restoring import Held
    from ..settings import Config
    from ..store.revisions import Chain
    from ..telling.taking import Told

app = typer.Typer(name="db", no_args_is_help=True, help="The database.")
_MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
_Url = Annotated[
    str,
    typer.Argument(help="sqlite:///FILE or postgresql://…; or '${NAME}' of a variable, which no `ps` shows."),
]


@app.callback()
def _db() -> None:
    pass


def prepared(config: Path | None) -> tuple[Config, list[Chain], dict[str, Callable[[str], bool]]]:
    """Read settings and plugins: gives the chains of migrations, and which facts each reader wants."""
    from ..clock import SystemClock
    from ..notify.ruling import RuleReader
    from ..notify.templates import Templates
    from ..store.revisions import CORE, Chain
    from ..telling.webhooks import WebhookReader
    from . import logs

    settings, plugins = place.loaded(config)
    logs.configure(settings.log.format, "warning", settings)
    chains = [CORE, *(Chain(name, Path(folder)) for name, folder in plugins.register("register_schema"))]
    rules = [RuleReader(i, rule, Templates()) for i, rule in enumerate(settings.notify)]
    hosts = [WebhookReader(one, SystemClock()) for one in settings.webhooks]
    readers: list[Told] = [*plugins.readers(), *rules, *hosts]
    return settings, chains, {one.name: one.wants for one in readers}


@app.command()
def upgrade(config: ConfigFile = None) -> None:
    """Make the tables, or bring them to this version.

    A second time does nothing. Stop the daemons first. An SQLite file as it was is kept beside it, the last three times.
    """
    from ..store.schema.upgrade import upgrade as upgraded
    from ..store.sqlite import DaemonLock, path_of

    settings, chains, _ = prepared(config)
    url = settings.store.url.get_secret_value()
    lock = DaemonLock(path_of(url)) if url.startswith("sqlite:") else None
    try:
        _nobody_runs(settings, chains)
        lines = upgraded(url, chains)
        for line in lines:
            say(line)
        if any("→" in line for line in lines):
            _written_down(settings.store.url.get_secret_value(), settings.store.files, "db upgrade")
    finally:
        if lock is not None:
            lock.release()


def _nobody_runs(settings: Config, chains: list[Chain]) -> None:
    """Refuse to change tables under daemons that run on them. Errors: `Conflict`. An SQLite file has its lock."""
    from ..lifecycle.copying import Place, nobody_runs
    from ..store.moving import open_side
    from ..store.revisions import pending

    url = settings.store.url.get_secret_value()
    if url.startswith("sqlite:"):
        return
    with contextlib.closing(open_side(url)) as side:
        at = side.versions()
        if pending((chain, at.get(chain.owner)) for chain in chains):
            nobody_runs(Place(url, settings.store.files), side)


@app.command()
def copy(
    source: _Url,
    target: _Url,
    files: Annotated[
        Path | None, typer.Option(help="Where SQLite's attachments lie, or shall lie; else files in [store].")
    ] = None,
    keep_source: Annotated[
        bool, typer.Option("--keep-source", help="Do not retire the source: a daemon may run on it again.")
    ] = False,
    leave_behind: Annotated[
        bool, typer.Option("--leave-behind", help="Leave tables of plugins that these settings do not enable.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Copy everything into another database, empty, of either kind.

    Stop the daemons first. Each table is counted and summed on both sides. The source is marked retired, so that no
    daemon goes on with it; then name the target as url in [store].
    """
    from ..lifecycle.copying import Place, copy_all
    from ..store.urls import place_of

    from_, to = _whole(source), _whole(target)
    if place_of(from_) == place_of(to):
        raise typer.BadParameter("source and target are the same")
    settings, chains, _ = prepared(config)
    where = (files or settings.store.files).absolute()
    one, other = Place(from_, where), Place(to, where)
    with Progress() as tell:
        copied = copy_all(one, other, chains, tell=tell, leave=leave_behind, keep_source=keep_source)
    _written_down(from_, where, "db copy, from here")
    _written_down(to, where, "db copy, to here")
    width = max(map(len, copied.tables))
    for name, total in copied.tables.items():
        if total.rows:
            say(f"  {name:<{width}}  {total.rows:>12,}  {total.digest}")
    say(f"{many(copied.rows, 'row')} in {many(len(copied.tables), 'table')}, the same on both sides")
    say(f"{many(copied.files, 'file')}, {size(copied.file_bytes)}")
    for name in copied.left:
        say(f"table {name} was left behind", level="look")
    if not keep_source:
        say(f"\n{place_of(one.url)} is retired. Next: in [store], url = the target, then: talkwire run")
    if copied.missing:
        for sha256 in copied.missing[:20]:
            complain(f"file {sha256} is not there, or damaged")
        complain(f"{many(len(copied.missing), 'file')} could not be copied; all else was")
        raise typer.Exit(1)


def _written_down(url: str, files: Path, what: str) -> None:
    """Leave a row that says who did this to a database, at hand."""
    from ..lifecycle import auditing
    from ..lifecycle.copying import Place, changing

    with changing(Place(url, files)) as tx:
        auditing.audit(tx, auditing.this_user(), what, {})


def _whole(text: str) -> str:
    """Read a URL, or the variable that holds it; a file's path becomes whole."""
    if found := re.fullmatch(r"\$\{(\w+)\}", text):
        text = os.environ.get(found[1], "")
        if not text:
            raise typer.BadParameter(f"the variable {found[1]} is not set")
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return f"sqlite:///{Path(text.removeprefix('sqlite:///')).absolute()}"
    if not text.startswith("postgresql://"):
        raise typer.BadParameter("write sqlite:///FILE or postgresql://user@host/database")
    return text


@app.command()
def hold(
    taken: Annotated[
        datetime,
        typer.Option("--taken", help="When the copy was taken, UTC.", formats=_MOMENTS),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without asking.")] = False,
    config: ConfigFile = None,
) -> None:
    """Hold what is open, as a restore does.

    For a database that was brought back by other means, such as pg_dump or a snapshot, before a daemon runs on it.
    """
    import asyncio

    from ..lifecycle.restoring import hold_now

    settings, _, wants = prepared(config)
    at = taken.replace(tzinfo=UTC)
    if not yes:
        typer.confirm(f"Hold all that is open in {settings.store.place}, as of {at:%Y-%m-%d %H:%M:%S} UTC?", abort=True)
    held = asyncio.run(_held(settings, hold_now, (at, wants)))
    say(f"{many(sum(one.tasks for one in held), 'task')} held; talkwire lanes lists them")


async def _held(settings: Config, fn: Any, item: Any) -> list[Held]:
    from ..clock import SystemClock
    from ..lifecycle.copying import Place, nobody_runs
    from ..store import Store
    from ..store.moving import open_side

    url = settings.store.url.get_secret_value()
    if not url.startswith("sqlite:"):
        with contextlib.closing(open_side(url)) as side:
            nobody_runs(Place(url, settings.store.files), side)
    store = Store(url, SystemClock())
    await store.open(exclusive=True)
    try:
        found: list[Held] = await store.write(fn, item)
        return found
    finally:
        await store.close()


@app.command()
def reopen(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without asking.")] = False, config: ConfigFile = None
) -> None:
    """Let daemons use a database again that `db copy` has retired.

    What the copy has taken in meanwhile is not in it.
    """
    from ..errors import Conflict
    from ..lifecycle.copying import Place
    from ..lifecycle.copying import reopen as reopened

    settings, _, _ = prepared(config)
    if not yes:
        typer.confirm(f"Use {settings.store.place} again, without what its copy has taken in since?", abort=True)
    url = settings.store.url.get_secret_value()
    was = reopened(Place(url, settings.store.files))
    if not was:
        raise Conflict(f"{settings.store.place} is not retired; nothing was changed")
    _written_down(url, settings.store.files, "db reopen")
    say(f"{settings.store.place} is in use again; it was copied to {was}")
