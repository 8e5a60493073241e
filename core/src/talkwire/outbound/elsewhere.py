"""Where a reply goes on that its own account cannot carry now (policy `fallback`), and what it says there.

It becomes a reply of another account, to the customer's newest address of a kind that this account reaches, in a
conversation that continues the old one and begins with its end. What waits when a session ends goes on by a task in
`do`; the transaction that stores the new reply fails the old one, so that it is never there twice, and never nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic_core import from_json, to_json

from .. import deliveries, people, readmodels
from ..features import Features
from ..formatting import blocks_from_json, plain_text
from ..model import Address, AnswerCode, Direction, Draft, Message, Policy, State, Text
from ..store import Query, Tx
from ..work import lanes
from ..work.lanes import NewTask

KIND = "fallback"  # of a task
FALLS_BACK = "falls_back"  # why a part is queued that is to go on elsewhere
_SAID = 10  # messages of the old talk, at most
_LOOKED_AT = 40  # newest ones of it
_LONGEST = 1000  # characters of one of them
_DATE = "{day} {month} {year}"

_CONTACT = """
    SELECT c.contact_id, a.name FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id = :id
"""
# A kind that means something in its own account only is no way for another one.
_REACHED = f"""
    SELECT kind, value, created_at FROM address WHERE contact_id = :contact AND kind IN (:kinds[])
    AND scope IN ('', :account)
    UNION ALL
    SELECT l.kind, l.value, l.created_at FROM alias l JOIN address a ON a.id = l.address_id
    WHERE a.contact_id = :contact AND l.kind IN (:kinds[]) AND {people.WAY}
    ORDER BY 3 DESC, 1, 2 LIMIT 1
"""
_THERE = """
    SELECT a.name, c.id, c.continues FROM address a
    LEFT JOIN conversation c ON c.address_id = a.id AND c.account = :account AND c.thread = :thread
    WHERE a.kind = :kind AND a.scope = :scope AND a.value = :value
"""
_CONTINUES = "UPDATE conversation SET continues = :old WHERE id = :id AND continues <> :old"
_SUBJECT = "SELECT subject FROM conversation WHERE id = :id"
_WAITING = "SELECT id FROM delivery WHERE message_id IN (:ids[]) AND state = 0 AND open_since IS NULL"
_FALLS_BACK = "UPDATE delivery SET reason = 'falls_back' WHERE id = :id"
# Whoever of the copied has it, or may have it, needs no second one; who could not get one here gets none there either.
_COPIED = """
    SELECT DISTINCT recipient FROM delivery
    WHERE message_id = :id AND recipient <> '' AND state = 0 AND open_since IS NULL
"""
_MESSAGE = """
    SELECT conversation_id, account, blocks, subject, author, cc, bcc, automatic FROM message WHERE id = :id
"""

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "id": "Januari Februari Maret April Mei Juni Juli Agustus September Oktober November Desember",
}
_WORDS = {
    "en": {"subject": "Our conversation of {date}", "before": "Earlier in our conversation:", "in": "You", "out": "We"},
    "id": {"subject": "Percakapan kita {date}", "before": "Sebelumnya dalam percakapan kita:", "in": "Anda", "out": "Kami"},
}  # fmt: skip


def named(policy: str) -> str:
    """Give the account of `fallback:ACCOUNT`, as a message's policy is kept; empty for any other policy."""
    word, _, account = policy.partition(":")
    return account if word == Policy.FALLBACK else ""


def falls_back(code: AnswerCode | None) -> bool:
    """Say whether a reply may go on elsewhere: where somebody here blocked the customer it may not."""
    return code is not None and code is not AnswerCode.BLOCKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a reply goes on."""

    address: Address
    thread: str
    conversation: str  # id; empty: there is none yet
    is_new: bool  # it does not continue the old talk yet, whose end is to be told


def place(query: Query, conversation: str, account: str, features: Features) -> Place | None:
    """Say where a talk goes on from an account; None: no address of the customer is known that it reaches.

    The thread is named by the old conversation: whoever comes later finds the same.
    """
    row = query.one(_CONTACT, {"id": conversation})
    if row is None:
        return None
    contact, name = row
    kinds = sorted(features.reaches)
    found = query.one(_REACHED, {"contact": contact, "account": account, "kinds": kinds}) if kinds else None
    if found is None:
        return None
    address = Address(kind=found[0], value=found[1])
    kind, scope, value = people.key_of(account, address)
    thread = conversation if features.threads else ""
    values = {"account": account, "kind": kind, "scope": scope, "value": value, "thread": thread}
    there = query.one(_THERE, values)
    if there is None:  # an address that is new takes the name over
        return Place(address=replace(address, name=name), thread=thread, conversation="", is_new=True)
    return Place(
        address=replace(address, name=there[0]),
        thread=thread,
        conversation=there[1] or "",
        is_new=(there[2] or "") != conversation,
    )


# --- what it says ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What goes along with a reply to a talk that goes on elsewhere."""

    subject: str = ""
    tail: tuple[Text, ...] = ()

    def on(self, draft: Draft) -> Draft:
        """Give the reply as it is said there; what it answered is no message of that conversation."""
        return replace(draft, blocks=(*draft.blocks, *self.tail), subject=draft.subject or self.subject, reply_to="")


def told(query: Query, conversation: str, *, without: str, language: str, zone: str) -> Told:
    """Give a subject that the customer understands, and the end of the old talk; `without` is the reply itself."""
    messages = readmodels.messages(query, conversation, limit=_LOOKED_AT)
    said = [m for m in messages if m.id != without and _was_said(m)][-_SAID:]
    [subject] = query.one(_SUBJECT, {"id": conversation}) or ("",)
    words, local = _WORDS.get(language, _WORDS["en"]), ZoneInfo(zone)
    first = said[0].at if said else query.now
    subject = subject or words["subject"].format(date=_date(first.astimezone(local), language))
    if not said:
        return Told(subject=subject)
    lines = [_literal(words["before"]), "", *_quoted(said, words, local, language)]
    return Told(subject=subject, tail=(Text("\n".join(lines)),))


def _was_said(message: Message) -> bool:
    """Say whether a message stands in the talk as the customer saw it: no notice, and nothing that never came out."""
    if message.notice or (not message.text.strip() and not message.blocks):
        return False
    return message.direction is Direction.IN or message.state not in (State.QUEUED, State.FAILED)


def _quoted(said: Sequence[Message], words: Mapping[str, str], zone: ZoneInfo, language: str) -> Iterable[str]:
    left = 3 * _SAID * _LONGEST // 4  # characters of all: what is escaped may be twice as long, and is read whole
    kept: list[list[str]] = []
    for message in reversed(said):
        text = message.text.strip() or plain_text(message.blocks)
        most = min(_LONGEST, left)
        if most < 100:
            break
        text = text if len(text) <= most else f"{text[: most - 1]}…"
        left -= len(text)
        at = message.at.astimezone(zone)
        who = f"{words[message.direction.value]}, {_date(at, language)} {at:%H:%M} {at.tzname()}:"
        kept.append([_literal(line) for line in (who, *text.splitlines())])
    for lines in reversed(kept):
        yield from (f"> {line}\\" if following else f"> {line}" for line, following in _paired(lines))
        yield ">"


def _paired(lines: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Give each line with the one that follows in its paragraph."""
    return ((line, following if line else "") for line, following in zip(lines, [*lines[1:], ""], strict=True))


def _literal(line: str) -> str:
    """Write a line of plain text as Markdown that says the same."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(line.split()))


def _date(at: datetime, language: str) -> str:
    months = _MONTHS.get(language, _MONTHS["en"]).split()
    return _DATE.format(day=at.day, month=months[at.month - 1], year=at.year)


# --- what waits when a session ends ------------------------------------------------------------------------------


def promise(tx: Tx, message: str, conversation: str, account: str, code: AnswerCode, *, said: str = "") -> None:
    """Let what is still queued of a message go on from another account, by a task of its own.

    `said` is what the provider said of the address, to be shown if nothing comes of it.
    """
    tx.lock("delivery", waiting_parts(tx, [message]))
    waiting = waiting_parts(tx, [message])  # one that began meanwhile is on its way, and keeps its task
    tx.many(_FALLS_BACK, [{"id": id_} for id_ in waiting])
    lanes.drop(tx, "send", waiting)
    body = to_json({"account": account, "code": code.value, "said": said[:200]}).decode()
    lanes.add(tx, [NewTask("do", conversation, KIND, message, body)])


def promised(body: str) -> tuple[str, AnswerCode, str]:
    """Read what a task says: from which account, why, and what a provider said."""
    said = from_json(body)
    return str(said["account"]), AnswerCode(said["code"]), str(said.get("said", ""))


def promising(body: str, account: str) -> str:
    """Write what a task says with another name of the account that its message goes on from."""
    return to_json({**from_json(body), "account": account}).decode()


def waiting_parts(tx: Query, messages: Iterable[str]) -> list[str]:
    """Give the parts of messages that are queued and not on their way."""
    wanted = sorted(set(messages))
    return sorted(row[0] for row in tx.execute(_WAITING, {"ids": wanted})) if wanted else []


_COPIES = (
    "SELECT id, account, conversation_id, recipient, reason FROM delivery WHERE id IN (:ids[]) AND recipient <> ''"
)
_STAYS = "UPDATE delivery SET reason = '' WHERE id = :id"


def without_copies(tx: Tx, parts: Sequence[str]) -> list[str]:
    """Let copies go out where they are, whose reply could not go on; give the other ones of these parts.

    Nobody said that those who get them cannot be reached.
    """
    copies = sorted(tx.execute(_COPIES, {"ids": parts})) if parts else []
    back = [row for row in copies if row[4] == FALLS_BACK]  # the others have their promises still
    tx.many(_STAYS, [{"id": row[0]} for row in back])
    lanes.add(tx, [NewTask(f"send:{row[1]}", lanes.of_part(row[2], row[3]), "send", row[0]) for row in back])
    return sorted({*parts} - {row[0] for row in copies})


# Of which only copies wait, the customer has got: those go out where they are.
_BEFORE = """
    SELECT DISTINCT m.n, m.id, m.policy FROM delivery d JOIN message m ON m.id = d.message_id
    WHERE d.conversation_id = :id AND d.recipient = '' AND d.state = 0 AND d.open_since IS NULL
      AND m.policy LIKE 'fallback:%'
    ORDER BY m.n
"""


def before(query: Query, conversation: str) -> list[tuple[str, str]]:
    """Give what waits in a talk and is to go on elsewhere, as (message, account), in its order."""
    return [(row[1], named(row[2])) for row in query.execute(_BEFORE, {"id": conversation})]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A reply of ours that is to go on elsewhere, to whom it did not go yet."""

    conversation: str
    account: str
    draft: Draft
    author: str
    automatic: bool  # a machine of ours said it
    parts: tuple[str, ...]  # that wait


def stored(query: Query, message: str) -> Stored | None:
    """Give what waits of a message; None: nothing does, or it is gone."""
    row = query.one(_MESSAGE, {"id": message})
    parts = waiting_parts(query, [message])
    if row is None or not parts:
        return None
    conversation, account, blocks, subject, author, cc, bcc, automatic = row
    waiting = {row[0] for row in query.execute(_COPIED, {"id": message})}
    copies = [tuple(value for value in readmodels.values(those) if value in waiting) for those in (cc, bcc)]
    draft = Draft(blocks=blocks_from_json(blocks), subject=subject, cc=copies[0], bcc=copies[1])
    return Stored(
        conversation=conversation,
        account=account,
        draft=draft,
        author=author,
        automatic=bool(automatic),
        parts=tuple(parts),
    )


def linked(tx: Tx, conversation: str, old: str) -> None:
    """Say that a conversation goes on here; both rows are locked, or the new one is."""
    tx.execute(_CONTINUES, {"id": conversation, "old": old})


def ended(parts: Sequence[str], at: int, code: str, text: str) -> list[deliveries.Learnt]:
    """Give what is learnt of parts that went on elsewhere, or could not."""
    return [deliveries.Learnt(delivery=i, state=State.FAILED, at=at, code=code, text=text) for i in parts]


__all__ = ["FALLS_BACK", "KIND", "Place", "Stored", "Told", "falls_back", "linked", "named", "place", "promise"]
