"""The one transaction of a reply: message, parts, promises and facts, or none of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_core import from_json, to_json

from .. import answers, deliveries, people
from ..answers import AccountView, Standing
from ..errors import KeyReused, Loop, NotFound
from ..features import Features
from ..formatting import blocks_to_json, plain_text
from ..ids import new_id
from ..model import Accepted, Address, AnswerCode, Block, Degradation, Draft, Level, Policy, Rate, Rendered, Template
from ..store import Query, Row, Tx
from ..work import lanes
from . import elsewhere, machines, windows
from .mending import fail_queued
from .parts import NewParts, insert_deliveries
from .surroundings import files_of

_PREVIEW = 120  # characters of a conversation's last message


@dataclass(frozen=True, slots=True)
class Rendition:
    """A reply as it would go out."""

    account: str
    conversation: str  # empty: there is none yet
    address: Address
    draft: Draft
    rendered: Rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """Where a reply was meant to go that goes on elsewhere."""

    account: str
    conversation: str
    code: AnswerCode  # why it could not
    message: str = ""  # that waits there; empty: it was not stored there
    parts: tuple[str, ...] = ()  # of that message, for whom this one goes


@dataclass(frozen=True, slots=True)
class Ready:
    """A rendered reply on its way into the store."""

    rendition: Rendition
    channel: str
    view: AccountView
    author: str
    key: str  # empty: cannot be repeated
    hash: str
    policy: Policy
    named: str  # account, with policy fallback; template, with policy template
    notice: str  # slot; empty: a message
    pending: str  # why it does not go at once; empty: it does
    automatic: bool  # a machine of ours says it
    thread: str = ""  # of the conversation, if there is none yet
    instead: Instead | None = None  # it goes on here, because it could not go where it was meant to go
    principal: str = ""  # whose the key is; empty: the author's
    opening: Rendition | None = None  # the template that goes out in its place, by policy template
    opens_for: str = ""  # message that waits, whose policy sends this template; empty: nobody's

    @property
    def claim(self) -> tuple[str, str]:
        """Give the key with whose it is."""
        return self.principal or self.author, self.key


@dataclass(frozen=True, slots=True)
class Refused:
    """A reply that was not stored because it cannot be answered now."""

    standing: Standing
    code: AnswerCode
    goes_on: bool = False  # nobody was told: it may go on elsewhere


_KNOWN = "SELECT hash, result FROM idempotency WHERE principal = :principal AND key = :key"
_WHICH = "SELECT conversation_id, account FROM message WHERE id = :id"
_LOCKED = f"SELECT {answers.COLUMNS}, c.last_n, c.handled FROM conversation c WHERE c.id IN (:ids[])"
_INSERT_MESSAGE = """
    INSERT INTO message (id, conversation_id, n, account, direction, at, stored_at, text, blocks,
                         author, reply_to, subject, notice, policy, degradations, automatic, cc, bcc)
    VALUES (:id, :conversation, :n, :account, 'out', :now, :now2, :text, :blocks, :author,
            :reply_to, :subject, :notice, :policy, :degradations, :automatic, :cc, :bcc)
"""
_MOVE = """
    UPDATE conversation SET last_n = :n, last_at = :now, last_text = :text,
        subject = CASE WHEN :subject = '' THEN subject ELSE :subject END
    WHERE id = :id
"""
_HANDLED = "UPDATE conversation SET handled = 1 WHERE id = :id"
_COUNT_NOTICE = "UPDATE conversation SET last_n = :n WHERE id = :id"
_CLAIM_KEY = """
    INSERT INTO idempotency (principal, key, hash, result, at) VALUES (:principal, :key, '', '', :now)
    ON CONFLICT (principal, key) DO NOTHING
"""
_KEEP_KEY = "UPDATE idempotency SET hash = :hash, result = :result WHERE principal = :principal AND key = :key"
_DROP_KEY = "DELETE FROM idempotency WHERE principal = :principal AND key = :key"


def enqueue(tx: Tx, items: Sequence[Ready]) -> Sequence[Accepted | Refused | KeyReused | Loop]:
    """Store replies with their parts, tasks and facts; one that cannot be answered is refused."""
    # The key's row comes before everything else: whoever stores the same key now is waited for.
    claims = sorted({item.claim for item in items if item.key})
    tx.many(_CLAIM_KEY, [(principal, key, tx.now_us) for principal, key in claims])
    ours = {claim for claim in claims if (known := known_key(tx, *claim)) and not known[1]}
    first = {item.claim: i for i, item in reversed([*enumerate(items)])}
    fresh = [i for i, item in enumerate(items) if not item.key or (item.claim in ours and first[item.claim] == i)]
    results: dict[int, Accepted | Refused | KeyReused | Loop] = {}
    places = dict(zip(fresh, _places(tx, [items[i] for i in fresh]), strict=True))
    writing = _Writing(tx, places.values())
    for i in sorted(fresh, key=lambda i: places[i]):
        results[i] = _enqueue_one(tx, items[i], places[i], writing)
    writing.finish()
    _went_on(tx, [(items[i], result) for i, result in results.items() if isinstance(result, Accepted)])
    for i, item in enumerate(items):
        if i not in results:
            known = known_key(tx, *item.claim)
            results[i] = _repeated(tx, known, item.hash) if known else results[first[item.claim]]
    return [results[i] for i in range(len(items))]


def _repeated(tx: Tx, known: tuple[str, str], digest: str) -> Accepted | KeyReused:
    try:
        return again(tx, known, digest)
    except KeyReused as error:
        return error


def _places(tx: Tx, items: Sequence[Ready]) -> list[str]:
    """Give the conversations of replies, made where there was none, all of them locked at once."""
    wanted = [item.rendition for item in items]
    firsts = [item for item in items if not item.rendition.conversation]
    persons = people.resolve(tx, dict.fromkeys((i.rendition.account, i.rendition.address) for i in firsts))
    spots: dict[people.Place, tuple[str, str]] = {}
    spot_of: dict[int, people.Place] = {}
    for item in firsts:
        account = item.rendition.account
        person = persons[people.key_of(account, item.rendition.address)]
        spot = spot_of[id(item)] = account, person.address, item.thread
        spots[spot] = item.channel, person.contact
    if counted := [item.rendition for item in items if item.automatic and _limit(item) is not None]:
        machines.lock(
            tx,
            [r.conversation for r in counted if r.conversation],
            [persons[people.key_of(r.account, r.address)].address for r in counted if not r.conversation],
        )
    ids, new = people.places(tx, spots, also=[r.conversation for r in wanted if r.conversation])
    for spot in sorted(new):
        tx.tell("conversation.opened", account=spot[0], conversation=ids[spot])
    by_template = {item.rendition.account for item in firsts if _begins_by_template(item.view.features)}
    windows.born(tx, [ids[spot] for spot in sorted(new) if spot[0] in by_template])
    return [item.rendition.conversation or ids[spot_of[id(item)]] for item in items]


def _begins_by_template(features: Features | None) -> bool:
    """Say whether whoever never wrote gets templates only."""
    return features is not None and features.window is not None and features.template is not Level.REJECTED


def _went_on(tx: Tx, stored: Sequence[tuple[Ready, Accepted]]) -> None:
    """Link the conversations in which replies went on, and fail what waited where they were meant to go."""
    learnt: list[deliveries.Learnt] = []
    for item, accepted in stored:
        if (instead := item.instead) is None:
            continue
        elsewhere.linked(tx, accepted.conversation, instead.conversation)
        if instead.message:
            text = f"{instead.code}: it went on from {accepted.account}"
            parts = elsewhere.waiting_parts(tx, [instead.message])
            learnt += elsewhere.ended(parts, tx.now_us, deliveries.FELL_BACK, text)
        tx.tell(
            "reply.fell_back",
            account=instead.account,
            conversation=instead.conversation,
            ids={"message": accepted.message, "conversation": accepted.conversation, "instead_of": instead.message},
            small={"code": instead.code.value, "account": accepted.account, "author": item.author},
        )
    deliveries.learn(tx, learnt)
    lanes.drop(tx, "send", [one.delivery for one in learnt])


def _waiting(tx: Tx, message: str) -> list[str]:
    """Give the parts of a message that wait, of which none begins or is taken back from now on."""
    tx.lock("delivery", elsewhere.waiting_parts(tx, [message]))
    return elsewhere.waiting_parts(tx, [message])


@dataclass(slots=True)
class _Talk:
    """A conversation as the replies of one transaction leave it."""

    standing: Standing
    last_n: int
    handled: bool


class _Writing:
    """The rows of replies, collected so that each table is written once: a statement costs more than a row of it."""

    def __init__(self, tx: Tx, conversations: Iterable[str]) -> None:
        self._tx = tx
        ids = sorted(set(conversations))
        rows = tx.execute(_LOCKED, {"ids": ids}) if ids else []
        self._talks = {row[0]: _talk(row) for row in rows}
        self._messages: list[dict[str, object]] = []
        self._moved: list[dict[str, object]] = []
        self._counted: list[dict[str, object]] = []
        self._parts: list[NewParts] = []
        self._files: list[tuple[str, Sequence[Block]]] = []

    def talk(self, conversation: str) -> _Talk:
        """Give a conversation, which is locked. Errors: `NotFound`."""
        try:
            return self._talks[conversation]
        except KeyError:
            raise NotFound("there is no such conversation") from None

    def message(self, row: dict[str, object], parts: NewParts, blocks: Sequence[Block]) -> None:
        """Add a message with its parts, as the newest of its conversation."""
        self._messages.append(row)
        self._parts.append(parts)
        self._files.append((parts.message, blocks))
        talk = {"id": row["conversation"], "n": row["n"]}
        if row["notice"]:
            self._counted.append(talk)
        else:
            text = str(row["text"])[:_PREVIEW]
            self._moved.append({**talk, "now": row["now"], "text": text, "subject": row["subject"]})

    def finish(self) -> None:
        """Write what was collected, table by table."""
        tx = self._tx
        tx.many(_COUNT_NOTICE, self._counted)
        tx.many(_MOVE, self._moved)
        tx.many(_INSERT_MESSAGE, self._messages)
        insert_deliveries(tx, self._parts)
        use_files(tx, self._files)
        for rows in (self._counted, self._moved, self._messages, self._parts, self._files):
            rows.clear()


def _talk(row: Row) -> _Talk:
    *columns, last_n, handled = row
    return _Talk(Standing.of(columns), last_n, bool(handled))


def _enqueue_one(tx: Tx, item: Ready, conversation: str, writing: _Writing) -> Accepted | Refused | Loop:
    rendition = item.rendition
    talk = writing.talk(conversation)
    if item.automatic:
        writing.finish()  # what a machine said just now counts
    if item.automatic and (loop := machines.refusal(tx, conversation, _limit(item))) is not None:
        _drop_key(tx, item)
        return loop
    standing = talk.standing
    instead = item.instead
    # Who gets it was read before: a copy that has begun would go twice, one that has come back not at all.
    if instead is not None and instead.message and _waiting(tx, instead.message) != [*instead.parts]:
        _drop_key(tx, item)
        return Refused(standing, instead.code, goes_on=True)
    held, applied = "", Policy.FALLBACK if item.instead else None
    wanted, is_template = item.policy, _only_templates(rendition.draft)
    code = answers.code_of(standing, item.view, tx.now_us)
    if code is AnswerCode.WINDOW_CLOSED and wanted is Policy.TEMPLATE:
        writing.finish()  # a template that was sent just now counts
    if item.opens_for and not _is_to_be_opened(tx, item, standing, code):
        return Refused(standing, AnswerCode.WINDOW_CLOSED)
    if code is AnswerCode.WINDOW_CLOSED and is_template:
        applied = Policy.TEMPLATE
    elif code is AnswerCode.WINDOW_CLOSED and wanted is Policy.TEMPLATE:
        if item.opening is None:  # it has closed just now
            _drop_key(tx, item)
            return Refused(standing, code, goes_on=True)
        applied, held = wanted, code.value
        answers.tell_changes(tx, [conversation])  # what is held is released by the change back
        if not windows.is_asked(tx, standing):
            _store(tx, item, item.opening, talk, writing, Policy.TEMPLATE)
    elif code is not None:
        applied = wanted
        if applied is not Policy.HOLD or not (code in answers.HOLDABLE or code is AnswerCode.ACCOUNT_BROKEN):
            _drop_key(tx, item)
            goes_on = wanted is Policy.FALLBACK and elsewhere.falls_back(code)
            if not goes_on and item.instead is None:
                tell_refused(tx, [(rendition.account, conversation, code, item.author)])
            return Refused(standing, code, goes_on=goes_on)
        if code in answers.HOLDABLE:  # with a broken account the lane waits, and nothing else
            held = code.value
            answers.tell_changes(tx, [conversation])  # what is held is released by the change back
    # Kept for the look before each attempt: what may go now may be too late then.
    kept: str = wanted if item.instead else applied or (Policy.TEMPLATE if is_template else wanted)
    if kept == Policy.FALLBACK or (kept == Policy.TEMPLATE and not is_template):
        kept = f"{kept}:{item.named}"
    message, n = _store(tx, item, rendition, talk, writing, kept, held), talk.last_n
    if item.instead is not None and item.instead.message:
        tx.execute(_TAKE_FILES, {"message": message, "instead": item.instead.message})
    result = {
        "message": message,
        "n": n,
        "policy": applied,
        "degradations": rendition.rendered.degradations,
    }
    if item.key:
        principal, key = item.claim
        tx.execute(
            _KEEP_KEY,
            {
                "principal": principal,
                "key": key,
                "hash": item.hash,
                "result": to_json(result).decode(),
            },
        )
    if standing.session in answers.LIVE and not talk.handled and _answers(item):
        talk.handled = True
        tx.execute(_HANDLED, {"id": conversation})
        tx.tell("session.handled", account=rendition.account, conversation=conversation, small={"author": item.author})
    return Accepted(
        message=message,
        n=n,
        policy=applied,
        degradations=rendition.rendered.degradations,
        conversation=conversation,
        account=rendition.account,
    )


def _store(
    tx: Tx, item: Ready, rendition: Rendition, talk: _Talk, writing: _Writing, policy: str, held: str = ""
) -> str:
    """Add a message with its parts and their promises, and tell it; give its id."""
    conversation, message = talk.standing.id, new_id()
    talk.last_n += 1
    parts = [
        (position, recipient, part)
        for position, part in enumerate(rendition.rendered.parts)
        for recipient in ("", *rendition.draft.cc, *rendition.draft.bcc)
    ]
    writing.message(
        _message(tx, item, rendition, conversation, message, talk.last_n, policy),
        NewParts(
            account=rendition.account,
            conversation=conversation,
            message=message,
            parts=parts,
            held=held,
            pending=item.pending,
        ),
        rendition.draft.blocks,
    )
    tx.tell(
        "reply.queued",
        account=rendition.account,
        conversation=conversation,
        ids={"message": message},
        small={
            "n": talk.last_n,
            "parts": len(rendition.rendered.parts),
            "held": held or None,
            "author": item.author,
            "notice": item.notice or None,
        },
    )
    return message


def _is_to_be_opened(tx: Tx, item: Ready, standing: Standing, code: AnswerCode | None) -> bool:
    """Say whether a template is still wanted that the policy of a message that waits sends."""
    is_shut = code is AnswerCode.WINDOW_CLOSED and not windows.is_asked(tx, standing)
    return is_shut and bool(_waiting(tx, item.opens_for))


def _drop_key(tx: Tx, item: Ready) -> None:
    """Let a refused reply be asked for again under its key."""
    principal, key = item.claim
    tx.execute(_DROP_KEY, {"principal": principal, "key": key})


def _limit(item: Ready) -> Rate | None:
    """Say how often a machine may write to one address of this account."""
    return item.view.features.automatic if item.view.features else None


def _answers(item: Ready) -> bool:
    """Say whether somebody answers with this: no notice, and nothing that a plugin says by itself."""
    return not item.notice and not item.author.startswith("plugin:")


def _only_templates(draft: Draft) -> bool:
    return all(isinstance(block, Template) for block in draft.blocks)


def _message(
    tx: Tx, item: Ready, rendition: Rendition, conversation: str, message: str, n: int, policy: str
) -> dict[str, object]:
    return {
        "id": message,
        "conversation": conversation,
        "n": n,
        "account": rendition.account,
        "now": tx.now_us,
        "now2": tx.now_us,
        "text": plain_text(rendition.draft),
        "blocks": blocks_to_json(rendition.draft.blocks),
        "author": item.author,
        "reply_to": rendition.draft.reply_to,
        "subject": rendition.draft.subject,
        "notice": item.notice,
        "policy": policy,
        "degradations": to_json(rendition.rendered.degradations).decode(),
        "automatic": int(item.automatic),
        "cc": _list(rendition.draft.cc),
        "bcc": _list(rendition.draft.bcc),
    }


def _list(values: Sequence[str]) -> str:
    return to_json(values).decode() if values else ""


def tell_refused(tx: Tx, items: Sequence[tuple[str, str, str, str]]) -> Sequence[None]:
    """Tell of replies (account, conversation, code, author) that nobody can be given."""
    for account, conversation, code, author in items:
        small = {"code": code, "author": author}
        tx.tell("reply.refused", account=account, conversation=conversation, small=small)
    return [None] * len(items)


def fail_fallen(tx: Tx, items: Sequence[tuple[str, str, str]]) -> Sequence[None]:
    """Fail what waits of messages (id, code, text) that were to go on elsewhere, but for copies that can go out."""
    for message, code, text in sorted(items):
        parts = _waiting(tx, message)
        if code == AnswerCode.ADDRESS_UNREACHABLE:
            parts = elsewhere.without_copies(tx, parts)
        fail_queued(tx, parts, code, text)
    return [None] * len(items)


def known_key(query: Query, principal: str, key: str) -> tuple[str, str] | None:
    """Give (hash, result) of a request under its key; None: the key is new."""
    row = query.one(_KNOWN, {"principal": principal, "key": key})
    return (row[0], row[1]) if row else None


def again(query: Query, known: tuple[str, str], digest: str) -> Accepted:
    """Give the first result once more. Errors: `KeyReused` where the request is another."""
    if known[0] != digest:
        raise KeyReused("this idempotency key was used for another request")
    result = from_json(known[1])
    conversation, account = query.one(_WHICH, {"id": result["message"]}) or ("", "")
    return Accepted(
        message=result["message"],
        n=result["n"],
        policy=Policy(result["policy"]) if result["policy"] else None,
        degradations=tuple(Degradation(**d) for d in result["degradations"]),
        repeated=True,
        conversation=conversation,
        account=account,
    )


# What goes on elsewhere takes its files along: they go with the person whom both messages are to.
_TAKE_FILES = "UPDATE attachment SET message_id = :message WHERE message_id = :instead"
# A file of ours that several messages use is nobody's alone: it stays where one of them is forgotten.
_USE = """
    UPDATE attachment SET message_id = CASE WHEN message_id = '' THEN :message ELSE '*' END
    WHERE id = :id AND message_id <> :message AND (message_id = '' OR EXISTS
        (SELECT 1 FROM message WHERE id = attachment.message_id AND direction = 'out'))
"""


def use_files(tx: Tx, messages: Iterable[tuple[str, Sequence[Block]]]) -> None:
    """Keep that messages of ours (id, blocks) use files: what no message uses is purged."""
    tx.many(_USE, [{"id": id_, "message": message} for message, blocks in messages for id_ in sorted(files_of(blocks))])


__all__ = [
    "Instead",
    "Ready",
    "Refused",
    "Rendition",
    "again",
    "enqueue",
    "fail_fallen",
    "known_key",
    "tell_refused",
    "use_files",
]
