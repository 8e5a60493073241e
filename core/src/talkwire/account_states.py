"""How accounts do, as the store keeps it: what a daemon says, what a person says, and how far a listener came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .clock import micros, moment
from .errors import NotFound
from .model import Account, AccountState
from .oversight import health
from .store import Query, Tx
from .work import lanes

_PUT_STATE = """
    INSERT INTO account_state (account, channel, state, reason, since)
    VALUES (:account, :channel, :state, :reason, :since)
    ON CONFLICT (account) DO UPDATE SET
        channel = excluded.channel, state = excluded.state, reason = excluded.reason,
        since = excluded.since
"""
_STATE = "SELECT state, since FROM account_state WHERE account = :account"
_STATES = "SELECT account, channel, state, reason, since FROM account_state"
_EVIDENCE = """
    UPDATE account_state SET last_in_at = COALESCE(:last_in, last_in_at),
        last_out_at = COALESCE(:last_out, last_out_at)
    WHERE account = :account
"""


def put_state(tx: Tx, items: Sequence[Account]) -> Sequence[None]:
    """Store how accounts do, and tell what is new of it, as `health` says.

    What a person paused stays so, and what one resumed since then begins anew: whoever stores this does not know it yet.
    """
    tx.lock("account_state", [view.name for view in items], "account")  # what a person says meanwhile is seen
    for view in sorted(items, key=lambda item: item.name):
        row = tx.one(_STATE, {"account": view.name})
        if row is None or view.state is AccountState.ABSENT or not _says_more(tx, row[0], row[1], view):
            _put_state(tx, view, row[0] if row else None)
    return [None] * len(items)


def _says_more(tx: Tx, state: str, at: int, view: Account) -> bool:
    """Say whether what is stored of an account counts more than how it did before; what is of the future never does."""
    return state == AccountState.PAUSED or (
        state == AccountState.STARTING and micros(view.since or tx.now) < at <= tx.now_us
    )


def _put_state(tx: Tx, view: Account, was: str | None) -> None:
    tx.execute(
        _PUT_STATE,
        {
            "account": view.name,
            "channel": view.channel,
            "state": view.state.value,
            "reason": view.reason[:300],
            "since": micros(view.since or tx.now),
        },
    )
    if was != view.state.value:
        tx.hint("accounts")
        tx.hint("lanes")
        health.changed(tx, view.name, was, view.state.value, view.reason[:200])


def begin(tx: Tx, items: Sequence[Account]) -> Sequence[None]:
    """Store that accounts begin anew, with other settings."""
    put_state(tx, items)
    for view in sorted(items, key=lambda item: item.name):
        lanes.forgive(tx, f"send:{view.name}")
    return [None] * len(items)


def pause(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    """Let (account, reason) send nothing until it is resumed. Errors: `NotFound`."""
    tx.lock("account_state", [name for name, _ in items], "account")
    for name, reason in items:
        _person_says(tx, name, AccountState.PAUSED, reason)
    return [None] * len(items)


def resume(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    """Let accounts start again that were paused or broken. Errors: `NotFound`."""
    tx.lock("account_state", items, "account")
    for name in sorted(items):
        _person_says(tx, name, AccountState.STARTING, "")
        lanes.forgive(tx, f"send:{name}")
    return [None] * len(items)


_REGISTER = """
    INSERT INTO account_state (account, channel, since) VALUES (:account, '', :now) ON CONFLICT (account) DO NOTHING
"""


def register(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    """Let accounts be known with which no daemon has started yet."""
    for name in sorted(items):
        tx.execute(_REGISTER, {"account": name, "now": tx.now_us})
    return [None] * len(items)


def withdrawn(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    """Tell that the provider of (account, by whom) knows that we are gone."""
    for name, by in items:
        tx.tell("account.withdrawn", account=name, small={"by": by})
    return [None] * len(items)


def _person_says(tx: Tx, name: str, state: AccountState, reason: str) -> None:
    row = tx.one("SELECT channel, state FROM account_state WHERE account = :account", {"account": name})
    if row is None:
        raise NotFound(f'there is no account "{name}"')
    _put_state(tx, Account(name=name, channel=row[0], state=state, reason=reason, since=tx.now), row[1])


def states(query: Query) -> dict[str, tuple[str, AccountState, str, datetime]]:
    """Give channel, state, reason and since when of each account."""
    return {
        name: (channel, AccountState(state), reason, moment(since))
        for name, channel, state, reason, since in query.execute(_STATES)
    }


def cursor(query: Query, account: str) -> str:
    """Give how far an account's listener came; empty: nowhere yet."""
    row = query.one("SELECT cursor FROM account_state WHERE account = :account", {"account": account})
    return row[0] if row else ""


def put_evidence(tx: Tx, items: Sequence[tuple[tuple[str, datetime | None, datetime | None], ...]]) -> Sequence[None]:
    """Store when something last came in and went out: (account, in, out) for each."""
    for rows in items:
        tx.many(
            _EVIDENCE,
            [
                {
                    "account": name,
                    "last_in": micros(last_in) if last_in else None,
                    "last_out": micros(last_out) if last_out else None,
                }
                for name, last_in, last_out in sorted(rows)
                if last_in or last_out
            ],
        )
    return [None] * len(items)
