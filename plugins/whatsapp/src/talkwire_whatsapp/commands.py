"""What an operator types: `talkwire whatsapp …`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .templates import Known

app = typer.Typer(no_args_is_help=True, help="WhatsApp business numbers.", rich_markup_mode=None)
_HEAD = ("NAME", "LANGUAGE", "STATUS", "CATEGORY", "VALUES")


@app.callback()
def _root() -> None:
    """WhatsApp business numbers."""


@app.command()
def templates(
    account: Annotated[str, typer.Argument(help="The account, as in talkwire.toml; default: all of them.")] = "",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask Meta now, instead of showing what the daemon knows.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Print the templates that Meta has of an account, with the values that each takes, in their order.

    The daemon asks Meta at its start, every hour, when Meta tells of a change, and when somebody sends one that it does not
    know.
    """
    from talkwire import NotFound, SendError, installation

    found = installation()
    ours = found.accounts("whatsapp")
    if account and account not in ours:
        there = f"there are: {', '.join(sorted(ours))}" if ours else 'no account has channel = "whatsapp"'
        raise NotFound(f'"{account}" is no WhatsApp account; {there}')
    if not ours and not as_json:
        typer.echo('no account has channel = "whatsapp"')
    said: dict[str, Sequence[Known] | None] = {}
    faults: dict[str, SendError] = {}
    for name, settings in sorted(ours.items()):
        if account in ("", name):
            try:
                said[name] = _templates(found, name, settings, refresh=refresh)
            except SendError as error:
                faults[name] = error
    if as_json:
        typer.echo(json.dumps([_row(name, one) for name, known in said.items() for one in known or ()], indent=2))
    else:
        _show(ours, said)
    for name, fault in faults.items():
        typer.echo(f"{name}: {fault}", err=True)
    if faults:
        raise typer.Exit(1)


def _show(ours: Mapping[str, Any], said: Mapping[str, Sequence[Known] | None]) -> None:
    for name, known in said.items():
        typer.echo(f"{name}: {_summary(ours[name], known)}")
        if known:
            _table([_HEAD, *((one.name, one.language, one.status, one.category, _values(one)) for one in known)])


def _templates(found: Any, account: str, settings: Any, *, refresh: bool) -> Sequence[Known] | None:
    """Give an account's templates; None: nobody has asked Meta for them yet."""
    from .templates import KEPT, pieces_named_by, read_kept

    if not settings.business_account_id:
        return ()
    if refresh:
        listed: Sequence[Known] = found.ask(account, lambda channel: channel.templates.fetched())
        return listed
    [head] = found.kept(account, KEPT)
    try:
        return read_kept("".join(found.kept(account, *pieces_named_by(head)))) if head else None
    except ValueError:  # another version wrote it; the daemon asks Meta when it starts
        return None


def _summary(settings: Any, known: Sequence[Known] | None) -> str:
    if not settings.business_account_id:
        return "no templates, for it has no business_account_id"
    if known is None:
        return "not known yet; start the daemon, or ask Meta yourself with --refresh"
    usable = sum(one.status == "APPROVED" for one in known)
    return f"{len(known)} template{'s' if len(known) != 1 else ''}, {usable} approved"


def _values(one: Known) -> str:
    if one.beyond:
        return f"cannot be sent from here: it has {one.beyond}"
    return ", ".join(slot.where for slot in one.slots) or "none"


def _table(rows: Iterable[Sequence[str]]) -> None:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        typer.echo(f"  {'  '.join(cells)}  {row[-1]}")


def _row(account: str, one: Known) -> dict[str, Any]:
    return {
        "account": account,
        "name": one.name,
        "language": one.language,
        "status": one.status,
        "category": one.category,
        "values": [slot.where for slot in one.slots],
        "text": one.text(),
    }
