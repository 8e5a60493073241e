"""`talkwire backup`, `talkwire restore`: a whole instance in a folder, and back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import place
from .place import ConfigFile
from .screen import Progress, ago, columns, complain, many, now, say, size, span

if TYPE_CHECKING:
    from ..lifecycle.backups import Instance, Manifest
    from ..lifecycle.recovery import Restored
    from ..settings import Config

_Dir = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the backup.")]


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; a new folder, or an empty one.")],
    keep: Annotated[
        int, typer.Option(min=0, help="Make a dated folder inside DIR, and remove all but the newest N there.")
    ] = 0,
    check: Annotated[
        bool, typer.Option("--check", help="Take none: compare the one in DIR with what it says of itself.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Take a backup of everything, while the daemon runs.

    Database, files, settings and key, as they were at one moment. It holds secrets and what customers wrote: only you may read it. Exit 1 where a file was missing already.
    """
    from ..errors import NotFound, TalkwireError
    from ..lifecycle import backups
    from .database import prepared

    if check:
        with Progress() as tell:
            _describe(folder, backups.look_at(folder, tell=tell))
        say("whole", level="ok")
        return
    settings, chains, _ = prepared(config)
    instance = _instance(settings)
    if not instance.key.is_file():
        raise NotFound(f"there is no {instance.key}; a backup without it could not be read")
    try:
        place.ask(config, "backup")
    except TalkwireError as error:  # to have a backup is worth more than to have it written down
        complain(f"not written down in the audit: {error}")
    before = backups.dated(folder) if keep else []
    target = backups.new_dated(folder) if keep else folder
    with Progress() as tell:
        manifest = backups.back_up(instance, target, chains, tell=tell, beside=before[-1] if before else None)
    _describe(target, manifest)
    if keep:
        gone = backups.forget_older(folder, keep)
        say(f"kept {many(len(backups.dated(folder)), 'backup')}, removed {len(gone)}")
    for name in manifest.left:
        say(f"table {name} is not in it: no plugin of these settings makes it", level="look")
    if manifest.missing:
        complain(f"{many(len(manifest.missing), 'file')} that messages name cannot be read in {instance.store.files}:")
        complain("\n".join(f"  {one}" for one in manifest.missing[:20]))
        raise typer.Exit(1)


def _instance(settings: Config) -> Instance:
    from ..lifecycle.backups import Instance
    from ..lifecycle.copying import Place

    store = Place(settings.store.url.get_secret_value(), settings.store.files)
    return Instance(settings.path.absolute(), place.key_file(settings.path), store)


def _describe(folder: Path, manifest: Manifest) -> None:
    rows = f"{manifest.rows.get('message', 0):,} messages, {sum(manifest.rows.values()):,} rows"
    schema = ", ".join(f"{owner} {revision}" for owner, revision in sorted(manifest.schema.items()))
    say(f"{folder}")
    say(f"  taken      {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, {ago(manifest.taken_at)}")
    say(f"  database   {rows} (tables: {schema})")
    say(f"  files      {manifest.files:,}, {size(manifest.file_bytes)}")
    say(f"  open       {many(sum(manifest.open_tasks.values()), 'task')}")


# --- restore -------------------------------------------------------------------------------------------


def restore(
    folder: _Dir,
    force: Annotated[bool, typer.Option("--force", help="Move aside what is in the way; nothing is removed.")] = False,
    config: ConfigFile = None,
) -> None:
    """Bring a backup back, with what was open held.

    It comes into the place that the settings name. Where there are no settings, those of the backup are written. See talkwire lanes for
    what was open at the backup.
    """
    from ..lifecycle import recovery
    from .database import prepared

    file = place.config_path(config)
    written = recovery.put_settings(folder, file)
    say(f"{'wrote' if written else 'kept '} {file}")
    settings, chains, wants = prepared(config)
    with Progress() as tell:
        restored = recovery.restore(folder, _instance(settings), chains, wants, force=force, tell=tell)
    _tell(settings, restored)


def _tell(settings: Config, restored: Restored) -> None:
    manifest, at = restored.manifest, now()
    say(f"brought back into {settings.store.place}")
    for line in restored.upgraded:
        say(f"  {line}")
    for one in restored.aside:
        say(f"moved aside: {one}", level="look")
    say(
        f"\nThe gap: what happened from {_utc(manifest.taken_at)} to {_utc(at)} UTC, {span(at - manifest.taken_at)}, is not here."
    )
    columns(
        [
            (
                one.name,
                f"last message in {_utc(one.newest_in)}",
                f"last reply {_utc(one.newest_out)}",
                f"fetches again what came after {_utc(one.last_poll)}"
                if one.last_poll
                else "its provider sends again only what we did not confirm",
            )
            for one in manifest.accounts
        ],
        indent="  ",
    )
    say(f"  Keys that were revoked, and people who were forgotten, since then are back: {many(restored.keys, 'key')},")
    say("  see talkwire keys list.")
    tasks = sum(one.tasks for one in restored.held)
    if not tasks:
        say("\nNothing was open: nothing is held.")
    else:
        say(f"\n{many(tasks, 'task')} held, which may have been done after the backup:")
        columns(
            [(one.group, many(one.tasks, "task"), f"since {_since(one.since)}") for one in restored.held], indent="  "
        )
        say("\nNothing of it is done until you let it; new replies of these conversations wait behind it.")
        say("  talkwire lanes                               # what waits, since when")
        say("  talkwire lanes drop --account NAME           # was done: parts are uncertain then, and can be settled")
        say("  talkwire lanes release --account NAME        # do it now, at the risk of twice")
    say("\nNext: talkwire check; talkwire run")


def _since(micros: int) -> str:
    from ..clock import moment

    return ago(moment(micros))


def _utc(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "never"
