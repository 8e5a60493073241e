"""What an operator types: `talkwire livechat …`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Live chat on a website.", rich_markup_mode=None)
_Account = Annotated[str, typer.Argument(help="The account, as in talkwire.toml.")]


@app.callback()
def _root() -> None:
    """Live chat on a website."""


@app.command()
def snippet(account: _Account) -> None:
    """Print what to put into the website: the script's line, and what its Content-Security-Policy must allow."""
    from talkwire import installation

    found = installation()
    settings = _settings(found, account)
    base = found.public_url
    socket = "ws" + base.removeprefix("http")
    typer.echo("Put this line into every page that shall have the chat, before </body>:\n")
    typer.echo(f'  <script src="{base}/c/{account}/widget.js" async></script>\n')
    typer.echo("Where the website sends a Content-Security-Policy, add to its directives:\n")
    typer.echo(f"  script-src {base}")
    typer.echo(f"  connect-src {base} {socket}")
    typer.echo(f"  img-src {base}\n")
    if settings.identity != "off":
        must = "must" if settings.identity == "required" else "may"
        typer.echo(f'People who are signed in at the website {must} be named to us: see the README, "Identity".\n')
    typer.echo("It works on these websites, and on no other:\n")
    for origin in settings.origins:
        typer.echo(f"  {origin}")
    if not found.has_public_url:
        typer.echo("\nVisitors cannot reach this address: set [server] public_url.", err=True)


@app.command()
def consents(account: _Account) -> None:
    """Print who agreed to which text, and who did not, as CSV: all answers that were ever given."""
    import csv
    import sys
    from datetime import UTC, datetime, timedelta

    from talkwire import installation

    from .rows import CONSENTS

    found = installation()
    _settings(found, account)
    rows = found.look(lambda query: query.execute(CONSENTS, {"account": account}))
    out = csv.writer(sys.stdout)
    out.writerow(("address", "version", "answer", "at", "from", "text"))
    for visitor, version, accepted, at, remote, text in rows:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
        answer = "accepted" if accepted else "refused"
        out.writerow((visitor, version, answer, moment.isoformat(), remote, text or ""))


def _settings(found: Any, account: str) -> Any:
    """Give the settings of a live chat account. Errors: `NotFound`, naming those there are."""
    from talkwire import NotFound

    ours = found.accounts("livechat")
    if account not in ours:
        there = f"there are: {', '.join(sorted(ours))}" if ours else 'no account has channel = "livechat"'
        raise NotFound(f'"{account}" is no live chat account; {there}')
    return ours[account]
