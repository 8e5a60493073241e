"""The plugin's own tables: who is connected, who was asked and told what, whose a file is."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from talkwire import DropTimer, Person, Query, SetTimer, Tx

from .visitors import KIND

_CONNECT = """
    INSERT INTO livechat_connection (id, daemon, account, visitor) VALUES (:id, :daemon, :account, :visitor)
"""
_MEET = """
    INSERT INTO livechat_visitor (account, visitor, since) VALUES (:account, :visitor, :since)
    ON CONFLICT (account, visitor) DO NOTHING
"""
_DISCONNECT = "DELETE FROM livechat_connection WHERE id = :id"
_CONNECTED = """
    SELECT daemon FROM livechat_connection WHERE account = :account AND visitor = :visitor AND id <> :but
"""
_OF_OTHERS = "SELECT id, daemon, visitor FROM livechat_connection WHERE account = :account AND daemon <> :me"
_VISITOR = """
    SELECT name, formed, notice, consent, accepted FROM livechat_visitor
    WHERE account = :account AND visitor = :visitor
"""
_NOTICED = "UPDATE livechat_visitor SET notice = :version WHERE account = :account AND visitor = :visitor"
_FORMED = "UPDATE livechat_visitor SET formed = 1, name = :name WHERE account = :account AND visitor = :visitor"
_ANSWERED = """
    UPDATE livechat_visitor SET consent = :version, accepted = :accepted
    WHERE account = :account AND visitor = :visitor
"""
_CONSENT = """
    INSERT INTO livechat_consent (account, visitor, version, accepted, at, remote)
    VALUES (:account, :visitor, :version, :accepted, :at, :remote)
"""
_TEXT = "SELECT text FROM livechat_text WHERE account = :account AND kind = :kind AND version = :version"
_KEEP_TEXT = """
    INSERT INTO livechat_text (account, kind, version, text, since) VALUES (:account, :kind, :version, :text, :since)
"""
_UPLOADED = """
    INSERT INTO livechat_upload (attachment, account, visitor, at) VALUES (:attachment, :account, :visitor, :at)
"""
_UPLOADS = """
    SELECT attachment FROM livechat_upload
    WHERE account = :account AND visitor = :visitor AND attachment IN (:attachments[])
"""
_GIVEN = """
    SELECT c.version, c.accepted, c.at, c.remote, t.text FROM livechat_consent c
    LEFT JOIN livechat_text t ON t.account = c.account AND t.kind = 'consent' AND t.version = c.version
    WHERE c.account = :account AND c.visitor = :visitor ORDER BY c.at, c.id
"""
_OF_VISITOR = ("livechat_connection", "livechat_visitor", "livechat_consent", "livechat_upload")
CONSENTS = """
    SELECT c.visitor, c.version, c.accepted, c.at, c.remote, t.text
    FROM livechat_consent c
    LEFT JOIN livechat_text t ON t.account = c.account AND t.kind = 'consent' AND t.version = c.version
    WHERE c.account = :account ORDER BY c.at, c.visitor
"""


def micros(at: datetime) -> int:
    """Turn a moment into microseconds since 1970-01-01 UTC."""
    return int(at.timestamp()) * 1_000_000 + at.microsecond


@dataclass(frozen=True, slots=True)
class Connection:
    """One open socket, known to all daemons."""

    id: str
    daemon: str
    account: str
    visitor: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a visitor was asked and told."""

    name: str = ""
    formed: bool = False
    notice: str = ""  # version of the notice that was shown last
    consent: str = ""  # version of the consent that was answered last
    accepted: bool = False


def timer_key(account: str, visitor: str) -> str:
    """Name the timer of a visitor's grace."""
    return f"{account} {visitor}"


def connect(tx: Tx, items: Sequence[tuple[Connection, datetime]]) -> Sequence[Known]:
    """Let all daemons know of a socket; whoever comes back within the grace has no timer any more."""
    for one, now in sorted(items, key=lambda item: item[0].id):
        whose = {"account": one.account, "visitor": one.visitor}
        tx.execute(_MEET, {**whose, "since": micros(now)})
        tx.execute(_CONNECT, {"id": one.id, "daemon": one.daemon, **whose})
        tx.act(DropTimer(timer_key(one.account, one.visitor)))
    return [known(tx, one.account, one.visitor) for one, _ in items]


def disconnect(tx: Tx, items: Sequence[tuple[Connection, datetime, timedelta]]) -> Sequence[None]:
    """Forget a socket; with a visitor's last one the grace begins."""
    for one, at, grace in sorted(items, key=lambda item: item[0].id):
        tx.execute(_DISCONNECT, {"id": one.id})
        if not connected(tx, one.account, one.visitor):
            key = timer_key(one.account, one.visitor)
            tx.act(SetTimer(key=key, due=at + grace, subject=at.isoformat()))
    return [None] * len(items)


def connected(query: Query, account: str, visitor: str, but: str = "") -> frozenset[str]:
    """Name the daemons that a visitor has a socket at, one socket left out."""
    rows = query.execute(_CONNECTED, {"account": account, "visitor": visitor, "but": but})
    return frozenset(row[0] for row in rows)


def of_others(query: Query, account: str, me: str) -> list[Connection]:
    """List the sockets at other daemons, living or dead."""
    rows = query.execute(_OF_OTHERS, {"account": account, "me": me})
    return [Connection(id=row[0], daemon=row[1], account=account, visitor=row[2]) for row in rows]


def known(query: Query, account: str, visitor: str) -> Known:
    """Say what a visitor was asked and told."""
    row = query.one(_VISITOR, {"account": account, "visitor": visitor})
    return Known() if row is None else Known(row[0], bool(row[1]), row[2], row[3], bool(row[4]))


def noticed(tx: Tx, items: Sequence[tuple[str, str, str]]) -> Sequence[None]:
    """Keep which notice was shown: (account, visitor, version)."""
    for account, visitor, version in sorted(items):
        tx.execute(_NOTICED, {"account": account, "visitor": visitor, "version": version})
    return [None] * len(items)


def formed(tx: Tx, items: Sequence[tuple[str, str, str]]) -> Sequence[None]:
    """Keep that the form was filled in: (account, visitor, name)."""
    for account, visitor, name in sorted(items):
        tx.execute(_FORMED, {"account": account, "visitor": visitor, "name": name})
    return [None] * len(items)


def answered(tx: Tx, items: Sequence[tuple[str, str, str, bool, datetime, str]]) -> Sequence[None]:
    """Keep an answer to the consent: (account, visitor, version, accepted, at, network address)."""
    for account, visitor, version, accepted, at, remote in sorted(items):
        whose = {"account": account, "visitor": visitor, "version": version, "accepted": int(accepted)}
        tx.execute(_ANSWERED, whose)
        tx.execute(_CONSENT, {**whose, "at": micros(at), "remote": remote})
    return [None] * len(items)


def keep_text(tx: Tx, items: Sequence[tuple[str, str, str, str, datetime]]) -> Sequence[bool]:
    """Keep a text that people are shown: (account, kind, version, text, since); False: the version has another text."""
    results = []
    for account, kind, version, text, since in items:
        found = tx.one(_TEXT, {"account": account, "kind": kind, "version": version})
        if found is None:
            row = {"account": account, "kind": kind, "version": version, "text": text, "since": micros(since)}
            tx.execute(_KEEP_TEXT, row)
        results.append(found is None or found[0] == text)
    return results


def uploaded(tx: Tx, items: Sequence[tuple[str, str, str, datetime]]) -> Sequence[None]:
    """Keep whose a file is: (attachment, account, visitor, at)."""
    for attachment, account, visitor, at in sorted(items):
        whose = {"attachment": attachment, "account": account, "visitor": visitor}
        tx.execute(_UPLOADED, {**whose, "at": micros(at)})
    return [None] * len(items)


def uploads(query: Query, account: str, visitor: str, attachments: Sequence[str]) -> frozenset[str]:
    """Say which of these files a visitor has sent."""
    if not attachments:
        return frozenset()
    values = {"account": account, "visitor": visitor, "attachments": list(attachments)}
    return frozenset(row[0] for row in query.execute(_UPLOADS, values))


# --- somebody's data -----------------------------------------------------------------------------------------


def visits_of(person: Person) -> list[tuple[str, str]]:
    """Give the (account, visitor) that a person is."""
    return [(account, address.value) for account, address in person.addresses if address.kind == KIND]


def forget(tx: Tx, account: str, visitor: str) -> None:
    """Delete all rows of a visitor."""
    for table in _OF_VISITOR:
        tx.execute(
            f"DELETE FROM {table} WHERE account = :account AND visitor = :visitor",
            {"account": account, "visitor": visitor},
        )


def export(query: Query, visits: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Give what visitors agreed to, and what they were told, as CSV."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(("account", "visitor", "name", "notice shown", "version", "answer", "at", "from", "text"))
    for account, visitor in visits:
        whose = known(query, account, visitor)
        answers = query.execute(_GIVEN, {"account": account, "visitor": visitor}) or [("", None, None, "", "")]
        for version, accepted, at, remote, text in answers:
            said = "" if accepted is None else "accepted" if accepted else "refused"
            when = "" if at is None else (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).isoformat()
            table.writerow((account, visitor, whose.name, whose.notice, version, said, when, remote, text or ""))
    return {"visits.csv": out.getvalue()} if visits else {}
