"""Whether a conversation may be answered now, until when, why not, and which ways are left.

Looked at three times: for the caller, inside the inserting transaction, before each attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from .clock import micros, moment
from .features import Features
from .model import AccountState, Answer, AnswerCode, Level, SessionState, Small, Way
from .store import Query, Tx

CLOSING = timedelta(hours=1)  # how long before its end a window is told to be closing
_SWEEP = 200  # conversations a sweep tells at once

COLUMNS = """c.id, c.account, c.session, c.session_at, c.session_reason, c.reply_until,
    c.unreachable_at, c.blocked_at"""

LIVE = frozenset({SessionState.CONNECTED, SessionState.DISCONNECTED})

HOLDABLE = frozenset({AnswerCode.WINDOW_CLOSED, AnswerCode.SESSION_ENDED, AnswerCode.ADDRESS_UNREACHABLE})

_TEXTS = {
    "en": {
        AnswerCode.SESSION_ENDED: "The customer's session has ended.",
        AnswerCode.WINDOW_CLOSED: "The time in which the provider allows answers is over.",
        AnswerCode.ACCOUNT_BROKEN: "The account cannot send until somebody repairs it.",
        AnswerCode.ACCOUNT_ABSENT: "The account's plugin or its settings are gone.",
        AnswerCode.ADDRESS_UNREACHABLE: "The address cannot be reached.",
        AnswerCode.BLOCKED: "The address is blocked.",
        "account": "Write from {account} to {address}",
        "hold": "Keep the reply until the customer writes again",
        "wait": "Wait until the customer comes back",
        "template": "Send an approved template",
        "template:named": "Send the template {template} and keep the reply until the customer writes again",
    },
    "id": {
        AnswerCode.SESSION_ENDED: "Sesi pelanggan sudah berakhir.",
        AnswerCode.WINDOW_CLOSED: "Waktu yang diizinkan penyedia untuk membalas sudah habis.",
        AnswerCode.ACCOUNT_BROKEN: "Akun tidak dapat mengirim sebelum diperbaiki.",
        AnswerCode.ACCOUNT_ABSENT: "Plugin atau pengaturan akun ini sudah tidak ada.",
        AnswerCode.ADDRESS_UNREACHABLE: "Alamat ini tidak dapat dijangkau.",
        AnswerCode.BLOCKED: "Alamat ini diblokir.",
        "account": "Tulis dari {account} ke {address}",
        "hold": "Simpan balasan sampai pelanggan menulis lagi",
        "wait": "Tunggu sampai pelanggan kembali",
        "template": "Kirim templat yang sudah disetujui",
        "template:named": "Kirim templat {template} dan simpan balasan sampai pelanggan menulis lagi",
    },
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the answer of one conversation depends on."""

    id: str
    account: str
    session: SessionState
    session_at: int | None
    session_reason: str
    reply_until: int | None
    unreachable_at: int | None
    blocked_at: int | None

    @classmethod
    def of(cls, row: Sequence[object]) -> Standing:
        """Read the columns of `COLUMNS`."""
        conversation, account, session, *rest = row
        return cls(conversation, account, SessionState(session), *rest)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """What answers need to know of an account, whether it is configured or gone."""

    name: str
    features: Features | None  # None: absent
    state: AccountState
    since: datetime | None
    when_closed: str = "reject"
    fallback: str = ""  # with policy fallback: the account that replies go out from instead
    template: str = ""  # with policy template: the one that goes out while the reply waits


View = Callable[[str], AccountView]


class OtherWay(NamedTuple):
    """Another way to the same person."""

    account: str
    kind: str  # of the address
    address: str


def code_of(standing: Standing, view: AccountView, now_us: int) -> AnswerCode | None:
    """Say why a conversation cannot be answered now; None where it can."""
    if view.state is AccountState.ABSENT:
        return AnswerCode.ACCOUNT_ABSENT
    if view.state is AccountState.BROKEN:
        return AnswerCode.ACCOUNT_BROKEN
    return closed_code(standing, now_us)


def closed_code(standing: Standing, now_us: int) -> AnswerCode | None:
    """Say why the conversation itself, not its account, cannot be answered."""
    if standing.blocked_at is not None:
        return AnswerCode.BLOCKED
    if standing.session is SessionState.ENDED:
        return AnswerCode.SESSION_ENDED
    if standing.reply_until is not None and standing.reply_until <= now_us:
        return AnswerCode.WINDOW_CLOSED
    if standing.unreachable_at is not None:
        return AnswerCode.ADDRESS_UNREACHABLE
    return None


def answer_of(
    standing: Standing,
    view: AccountView,
    now: datetime,
    *,
    language: str = "en",
    others: Iterable[OtherWay] = (),
) -> Answer:
    """Make the answer object that every page and client gets."""
    code = code_of(standing, view, micros(now))
    until = moment(standing.reply_until) if standing.reply_until is not None else None
    if code is None:
        return Answer(allowed=True, until=until)
    texts = _TEXTS.get(language, _TEXTS["en"])
    since = {
        AnswerCode.SESSION_ENDED: standing.session_at,
        AnswerCode.WINDOW_CLOSED: standing.reply_until,
        AnswerCode.ADDRESS_UNREACHABLE: standing.unreachable_at,
        AnswerCode.BLOCKED: standing.blocked_at,
    }.get(code)
    return Answer(
        allowed=False,
        code=code,
        since=moment(since) if since is not None else view.since,
        until=until,
        text=texts[code],
        ways=tuple(_ways(code, view, texts, others)),
    )


def _ways(
    code: AnswerCode,
    view: AccountView,
    texts: Mapping[str, str],
    others: Iterable[OtherWay],
) -> Iterable[Way]:
    if code is AnswerCode.BLOCKED:
        return
    for account, kind, address in others:
        text = texts["account"].format(account=account, address=address)
        yield Way(kind="account", account=account, address=address, address_kind=kind, text=text)
    if code is AnswerCode.WINDOW_CLOSED:
        if view.features is not None and view.features.template is not Level.REJECTED:
            text = texts["template:named" if view.template else "template"].format(template=view.template)
            yield Way(kind="template", template=view.template, text=text)
        yield Way(kind="hold", text=texts["hold"])
    if code in (AnswerCode.SESSION_ENDED, AnswerCode.ADDRESS_UNREACHABLE):
        yield Way(kind="wait", text=texts["wait"])


# --- what changes them ---------------------------------------------------------------------------

_STANDING = f"SELECT {COLUMNS}, c.answer_code FROM conversation c WHERE c.id IN (:ids[])"
_TOLD = "UPDATE conversation SET answer_code = :code WHERE id = :id"
_DUE_WINDOWS = """
    SELECT id, account, reply_until FROM conversation
    WHERE window_told < 2 AND reply_until <= :closing AND (window_told = 0 OR reply_until <= :now)
    ORDER BY reply_until LIMIT :most
"""
_WINDOW_TOLD = "UPDATE conversation SET window_told = :told WHERE id = :id"
_NEXT_WINDOW = """
    SELECT reply_until FROM conversation
    WHERE window_told < 2 AND window_told = :told AND reply_until > 0 ORDER BY reply_until LIMIT 1
"""


def tell_changes(tx: Tx, conversations: Iterable[str]) -> set[str]:
    """Tell `conversation.answer_changed` where the answer is another than the one told last.

    Gives the conversations that can be answered again. Their rows are locked already.
    """
    ids = sorted(set(conversations))
    if not ids:
        return set()
    opened: set[str] = set()
    for *row, told in {r[0]: r for r in tx.execute(_STANDING, {"ids": ids})}.values():
        standing = Standing.of(row)
        code = closed_code(standing, tx.now_us)
        if (code or "") == told:
            continue
        tx.execute(_TOLD, {"id": standing.id, "code": code or ""})
        tx.tell(
            "conversation.answer_changed",
            account=standing.account,
            conversation=standing.id,
            small={"allowed": code is None, "code": code},
        )
        if code is None:
            opened.add(standing.id)
    return opened


def sweep_windows(tx: Tx, items: Sequence[int]) -> Sequence[datetime | None]:
    """Tell windows that are closing, or have closed, once each; say when to look again.

    `items` say when this database was brought back from a copy (microseconds; 0: never): what was due before may have
    been told since the copy, and says so.
    """
    due = {"closing": micros(tx.now + CLOSING), "now": tx.now_us, "most": _SWEEP}
    ids = {row[0] for row in tx.execute(_DUE_WINDOWS, due)}
    tx.lock("conversation", ids)
    # Under the lock they are read again: a message that came meanwhile has moved its window.
    rows = [row for row in tx.execute(_DUE_WINDOWS, due) if row[0] in ids]
    closed: list[str] = []
    for conversation, account, until in rows:
        over = until <= tx.now_us
        small: dict[str, Small] = {"until": moment(until).isoformat()}
        if until - (0 if over else CLOSING // timedelta(microseconds=1)) < max(items):
            small["replayed"] = True
        tx.tell("window.closed" if over else "window.closing", account=account, conversation=conversation, small=small)
        tx.execute(_WINDOW_TOLD, {"id": conversation, "told": 2 if over else 1})
        if over:
            closed.append(conversation)
    tell_changes(tx, closed)
    first = [tx.one(_NEXT_WINDOW, {"told": told}) for told in (0, 1)]
    following = [moment(row[0]) - (timedelta() if told else CLOSING) for told, row in enumerate(first) if row]
    return [min(following, default=None)] * len(items)


def standing(query: Query, conversation: str) -> Standing | None:
    """Read what the answer of a conversation depends on."""
    row = query.one(f"SELECT {COLUMNS} FROM conversation c WHERE c.id = :id", {"id": conversation})
    return Standing.of(row) if row else None
