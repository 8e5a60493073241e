"""Commands about the life of the data: what is kept of somebody, what goes, and where everything lies."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import looking, place
from .place import ConfigFile, Json
from .screen import as_json, columns, complain, many, say, size

if TYPE_CHECKING:
    from ..lifecycle.exporting import Exported
    from ..lifecycle.persons import Kept
    from ..model import Person
    from ..settings import RawConfig
    from ..store import Query

_WITHIN = 6 * 3600.0  # seconds; somebody may have written for years
_Whose = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS", help="A phone number, an e-mail address, a visitor's id; KIND:VALUE; a contact's id."
    ),
]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_Typed = Annotated[str, typer.Option("--confirm", metavar="NAME", help="The name once more, instead of typing it.")]


# --- somebody's data -----------------------------------------------------------------------------------


def forget(
    whose: _Whose,
    yes: _Yes = False,
    rewrite: Annotated[
        bool,
        typer.Option("--rewrite", help="Rewrite an SQLite file of more than 64 MiB too; nobody can write meanwhile."),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Forget a person, and all that was said.

    What names them goes as well: addresses, names, files, raw envelopes, what plugins keep. It cannot be undone. Facts
    stay, which hold ids. Backups that were made before still have everything.
    """
    from ..lifecycle import persons

    raw = place.raw(config)
    person, kept, left = place.look(raw.store, lambda query: _about(query, whose, raw))
    say(f"{persons.described(person)}")
    say(
        f"  {many(kept.messages, 'message')} in {many(len(person.conversations), 'conversation')},"
        f" {many(kept.files, 'file')}"
    )
    if kept.waiting:
        say(f"  {many(kept.waiting, 'part')} of replies that have not gone yet will never go", level="look")
    if left:
        named = ", ".join(left)
        say(f"  plugins that do not run keep what their tables hold: {named}; enable them first", level="look")
    if copies := _copies(raw):
        say(
            f"  {many(len(copies), 'copy', 'copies')} of before an upgrade or a restore keep what they hold:",
            level="look",
        )
        for copy in copies:
            say(f"        {copy}")
    if not yes and not typer.confirm("Forget all of it, for ever?"):
        complain("nothing was done")
        raise typer.Exit(1)
    gone = place.ask(config, "forget", within=_WITHIN, contact=person.contact, rewrite=rewrite, by=place.by())
    _told("forgotten", gone)
    for copy in _earlier(raw):
        say(f"{copy} still has everything, from before an upgrade or a restore: delete it too", level="look")
    if raw.store.url.get_secret_value().startswith("postgresql:"):
        say("\nThe tables were vacuumed. Bytes of deleted rows may stand in their files until they are written over;")
        say("VACUUM FULL rewrites a table at once, and locks it. Archived WAL and replicas follow their own course.")


def _earlier(found: RawConfig) -> list[Path]:
    """Name the files beside an SQLite file that hold it as it was."""
    from ..store.sqlite import path_of

    url = found.store.url.get_secret_value()
    if not url.startswith("sqlite:"):
        return []
    database = path_of(url).absolute()
    return sorted(database.parent.glob(f"{database.name}.before-*"))


def _about(query: Query, whose: str, raw: RawConfig) -> tuple[Person, Kept, list[str]]:
    from ..lifecycle import persons
    from ..lifecycle.departures import plugin_tables

    person = persons.find(query, whose)
    sqlite = raw.store.url.get_secret_value().startswith("sqlite:")
    on = {*raw.enabled, *raw.channels, *(f"notify_{medium}" for medium in raw.media)}
    left = [plugin for plugin in plugin_tables(query, sqlite=sqlite) if plugin not in on]
    return person, persons.kept(query, person), left


def _told(what: str, gone: dict[str, Any]) -> None:
    say(
        f"{what}: {many(gone['messages'], 'message')}, {many(gone['envelopes'], 'raw envelope')},"
        f" {many(gone['files'], 'stored content')}",
        level="ok",
    )
    if gone["files_later"]:
        later = many(gone["files_later"], "content")
        say(f"{later} came within the last minute; the running daemon drops it within the hour", level="look")
    if gone["scrubbed"] == "not_rewritten":
        say("the database is large and was not rewritten: unused space in it may hold copies of rows", level="look")
        say("      sqlite3 FILE VACUUM rewrites it, once the daemon is stopped; talkwire forget --rewrite does at once")
    elif gone["scrubbed"] == "unfinished":
        say("the database was in use or its disk is full: its files may hold old bytes still", level="look")
        say("      sqlite3 FILE VACUUM clears them, once the daemon is stopped; VACUUM on PostgreSQL")


def export(
    whose: _Whose,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The archive; else talkwire-export-ID.zip here.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Write all that is kept of a person into a zip.

    Messages, files, and what plugins keep, such as what they agreed to. Only you can read the file. Nothing is changed.
    """
    from ..errors import Conflict
    from ..lifecycle import persons

    person = place.look(place.raw(config).store, lambda query: persons.find(query, whose))
    target = file or Path(f"talkwire-export-{person.contact}.zip")
    place.ask(config, "export", contact=person.contact)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Conflict(f"{target} cannot be written: {(error.strerror or type(error).__name__).lower()}") from error
    try:
        with os.fdopen(descriptor, "wb") as out:
            done = _exported(config, person, out)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    say(f"{persons.described(person)}")
    say(
        f"{target}: {many(done.messages, 'message')}, {many(done.files, 'file')}, {size(target.stat().st_size)}",
        level="ok",
    )
    if done.missing:
        say(f"{many(done.missing, 'file')} not here: it lies with its provider, or is gone", level="look")


def _exported(config: Path | None, person: Person, out: Any) -> Exported:
    from ..lifecycle import exporting

    return place.look_long(
        config, lambda found, store, files: exporting.export(store, files, found.plugins, person, out)
    )


# --- accounts and plugins --------------------------------------------------------------------------------


def rename_account(
    old: Annotated[str, typer.Argument(help="The name now.")],
    new: Annotated[str, typer.Argument(help="The new one: 1 to 64 of a-z, 0-9 and the hyphen.")],
    config: ConfigFile = None,
) -> None:
    """Give an account another name.

    Everything of it goes along. No daemon may run meanwhile.
    """
    from ..sections import NAME

    if not NAME.fullmatch(new):
        raise typer.BadParameter("a name has 1 to 64 of a-z, 0-9 and the hyphen")
    if old == new:
        raise typer.BadParameter("these are one name")
    path = place.raw(config).path
    place.ask(config, "rename-account", within=_WITHIN, old=old, new=new, by=place.by())
    say(f"{old} is {new} now", level="ok")
    say(f"\nBefore you start the daemon, in {path}:")
    say(f"  [accounts.{old}] becomes [accounts.{new}], and so does the name in `accounts` of [[notify]] and others")
    say(
        f'  endpoint = "{old}" in it keeps its webhook address; else that becomes /in/{new}, to be told to its provider'
    )


def withdraw_account(
    name: Annotated[str, typer.Argument(help="As in [accounts.NAME].")], config: ConfigFile = None
) -> None:
    """Take our webhook back at the provider.

    The account is paused, so that it does not begin again by itself. An address that was entered at the provider by hand
    is named: it has to be taken out by hand.
    """
    by_hand = place.ask(config, "withdraw-account", account=name, by=place.by())["webhook"]
    if by_hand:
        say(
            f"{name} is paused; its address was entered at its provider by hand: take {by_hand} out there", level="look"
        )
    else:
        say(f"{name}: its provider sends nothing more to us; it is paused", level="ok")
    say(f"talkwire accounts resume {name} begins again; to be rid of it, take [accounts.{name}] out of the settings,")
    say(f"then: talkwire reload, and: talkwire accounts forget {name}")


def forget_account(
    name: Annotated[str, typer.Argument(help="Of an account that the settings name no longer.")],
    typed: _Typed = "",
    config: ConfigFile = None,
) -> None:
    """Delete an account and its conversations.

    It cannot be undone. People who wrote nowhere else go with it.
    """
    from ..errors import Conflict

    found = place.raw(config)
    if name in found.accounts:
        raise Conflict(
            f'the account "{name}" stands in {found.path}.\n'
            f"  1. talkwire accounts withdraw {name}    takes our webhook back at its provider\n"
            f"  2. take [accounts.{name}] out of the file, then: talkwire reload\n"
            f"  3. talkwire accounts forget {name}"
        )
    places, messages, withdrawn = place.look(found.store, lambda query: _of_account(query, name))
    say(f"{name}: {many(messages, 'message')} in {many(places, 'conversation')}")
    if not withdrawn:
        say("it was never withdrawn: its provider may still send to us; look there", level="look")
    _typed_once_more(name, typed)
    gone = place.ask(config, "forget-account", within=_WITHIN, account=name, by=place.by())
    _told("gone", gone)


_ACCOUNT = """
    SELECT (SELECT count(*) FROM conversation WHERE account = :account),
           (SELECT count(*) FROM message WHERE account = :account),
           (SELECT count(*) FROM account_state WHERE account = :account),
           (SELECT count(*) FROM fact WHERE type = 'account.withdrawn' AND account = :account)
"""


def _of_account(query: Query, name: str) -> tuple[int, int, bool]:
    from ..errors import NotFound

    [(places, messages, known, withdrawn)] = query.execute(_ACCOUNT, {"account": name})
    if not (places or messages or known):
        raise NotFound(f'nothing is kept of an account "{name}"; talkwire accounts lists them')
    return places, messages, bool(withdrawn)


def _typed_once_more(name: str, typed: str) -> None:
    typed = typed or typer.prompt("Type its name to delete all of it, for ever", default="", show_default=False)
    if typed != name:
        complain(f"that is not its name ({name}); nothing was done")
        raise typer.Exit(1)


plugins = typer.Typer(name="plugins", help="List plugins, and why one failed; purge one.", invoke_without_command=True)


@plugins.callback()
def _plugins(context: typer.Context, as_: Json = False, config: ConfigFile = None) -> None:
    place.choose(config)
    if context.invoked_subcommand is None:
        looking.plugins(as_, None)


@plugins.command()
def purge(
    name: Annotated[str, typer.Argument(help="Of a plugin that is not enabled, installed or not.")],
    typed: _Typed = "",
    config: ConfigFile = None,
) -> None:
    """Drop what a plugin has left in the database.

    Its tables, its timers, its place in the log. It must not be enabled any more. It cannot be undone. What its channel's accounts said stays: talkwire accounts forget takes that.
    """
    from ..errors import Conflict
    from ..lifecycle.departures import plugin_tables

    found = place.raw(config)
    on = {*found.enabled, *found.channels, *(f"notify_{medium}" for medium in found.media)}
    if name in on:
        raise Conflict(f"the plugin {name} is enabled in {found.path}: take out what names it, restart, and come again")
    sqlite = found.store.url.get_secret_value().startswith("sqlite:")
    tables = place.look(found.store, lambda query: plugin_tables(query, sqlite=sqlite)).get(name, [])
    say(f"{name}: {', '.join(tables) or 'no tables'}")
    _typed_once_more(name, typed)
    gone = place.ask(config, "purge-plugin", within=_WITHIN, plugin=name)
    say(f"gone: {many(len(gone), 'table')}, and its place in the log", level="ok")


# --- where everything lies ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """One thing that an installation has."""

    what: str
    where: str
    there: bool
    bytes: int | None  # None: not on this machine
    note: str


def paths(as_: Json = False, config: ConfigFile = None) -> None:
    """Say where everything lies.

    So also what to delete, to be rid of Talkwire.
    """
    found = place.raw(config)
    rows = list(_places(found))
    if as_:
        as_json([asdict(row) for row in rows])
        return
    columns(
        [
            (
                row.what,
                row.where,
                ("" if row.bytes is None else size(row.bytes)) if row.there else "not there",
                row.note,
            )
            for row in rows
        ]
    )
    say(
        "\nTo be rid of all of it: withdraw the accounts (talkwire accounts withdraw NAME), stop the daemon, delete these."
    )


def _places(found: RawConfig) -> Iterator[Place]:
    from ..store.sqlite import path_of

    settings = found.path.absolute()
    yield _file("settings", settings, "yours; secrets may lie in files that it names")
    yield _file("instance key", place.key_file(settings), "opens what is sealed in the database; keep it with backups")
    url = found.store.url.get_secret_value()
    if url.startswith("sqlite:"):
        database = path_of(url).absolute()
        yield _file("database", database, "every message; never copy it while the daemon runs: talkwire backup")
        for end, note in (("-wal", "a part of the database"), ("-shm", "a part of the database"), (".lock", "empty")):
            yield _file("", Path(f"{database}{end}"), note)
        for copy in _earlier(found):
            yield _file("", copy, "the database as it was before an upgrade or a restore")
        yield _file("files", found.store.files.absolute(), "attachments and large envelopes")
    else:
        yield Place("database", found.store.place, True, None, "every message and file; DROP DATABASE deletes it")
    for copy in _copies(found):
        yield _file("put aside", copy, "by an upgrade or a restore; holds what was there then")
    yield _file("socket", place.admin_of(found).socket.absolute(), "there while a daemon runs")
    yield Place("logs", "standard error", True, None, "of whoever starts the daemon; under systemd: journalctl")


def _copies(found: RawConfig) -> list[Path]:
    """Find what upgrades and restores have put aside: it holds what was there then."""
    from ..store.sqlite import path_of

    url, settings = found.store.url.get_secret_value(), found.path.absolute()
    places = [settings, place.key_file(settings)]
    if url.startswith("sqlite:"):
        places += [path_of(url).absolute(), found.store.files.absolute()]
    return [copy for one in places for copy in sorted(one.parent.glob(f"{glob.escape(one.name)}.before-*"))]


def _file(what: str, path: Path, note: str) -> Place:
    there = path.exists()
    return Place(what, str(path), there, _size(path) if there else 0, note)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    return path.stat().st_size
