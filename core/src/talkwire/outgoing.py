"""The way out, first half: reply → shape → render → answer? → queue."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from . import answers, deliveries, lanes, machines, people
from .answers import AccountView, Standing
from .channel import Channel
from .clock import Clock
from .errors import Conflict, KeyReused, Loop, NoAnswer, NotFound, Refuse, Unsupported, no_answer
from .formatting import blocks_to_json, plain_text
from .ids import new_id
from .model import (
    Accepted,
    Account,
    Address,
    AnswerCode,
    Attachment,
    Block,
    Card,
    Degradation,
    Draft,
    Media,
    Part,
    Policy,
    Rate,
    RenderContext,
    Rendered,
    SessionState,
    State,
    Template,
)
from .store import Query, Row, Store, Tx
from .store.texts import storable

_PREVIEW = 120  # characters of a conversation's last message

Target = str | tuple[str, Address]  # a conversation's id, or an account and an address


class Sending(Protocol):
    """An account as replies see it."""

    name: str
    channel: Channel | None
    view: Account

    @property
    def standing(self) -> AccountView: ...
    def pending(self) -> str: ...


Format = Callable[[Draft, Account], Awaitable[Draft]]


@dataclass(frozen=True, slots=True)
class Rendition:
    """A reply as it would go out."""

    account: str
    conversation: str  # empty: there is none yet
    address: Address
    draft: Draft
    rendered: Rendered


@dataclass(frozen=True, slots=True)
class _Ready:
    """A rendered reply on its way into the store."""

    rendition: Rendition
    channel: str
    view: AccountView
    author: str
    key: str  # empty: cannot be repeated
    hash: str
    policy: Policy | None
    notice: str  # slot; empty: a message
    pending: str  # why it does not go at once; empty: it does
    automatic: bool  # a machine of ours says it


@dataclass(frozen=True, slots=True)
class _Refused:
    """A reply that was not stored because it cannot be answered now."""

    standing: Standing


class Replies:
    """Takes replies, from the API, a page, or an action."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        account: Callable[[str], Sending | None],
        format_reply: Format,
        *,
        language: str = "en",
    ) -> None:
        self._store = store
        self._clock = clock
        self._account = account
        self._format = format_reply
        self.language = language

    async def reply(
        self,
        to: Target,
        draft: Draft,
        *,
        author: str,
        key: str = "",
        policy: Policy | None = None,
        strict: bool = False,
        notice: str = "",
        automatic: bool = False,
    ) -> Accepted:
        """Store a reply and its promise to send; it is committed when this returns.

        `key` makes it repeatable: the same author and key give the first result again. `policy`
        says what to do where no answer is allowed; None takes the account's `when_closed`.
        `strict` refuses a reply that loses anything in its channel. `notice` names the slot of what is no reply.
        `automatic`: a machine says it.

        Errors: `NotFound` · `NoAnswer` with the answer object, nothing stored as sent ·
        `Unsupported`, `Refuse`, `KeyReused`, `Loop` (only of what is automatic): nothing stored.
        """
        digest = _digest(to, draft, policy) if key else ""
        if key and (known := await self._store.read(lambda q: _known(q, author, key))):
            return _again(known, digest)
        try:
            rendition = await self.render(to, draft, automatic=automatic)
        except NoAnswer as no:
            account, conversation, _ = await self._store.read(lambda q: _target(q, to))
            await self._store.write(_tell_refused, (account, conversation, no.code, author))
            raise
        losses = rendition.rendered.degradations
        if strict and losses:
            first = losses[0]
            raise Unsupported(f"strict: {first.text}", block=first.block, kind=first.what)
        sending = self._sending(rendition.account)
        ready = _Ready(
            rendition,
            sending.channel.type if sending.channel else "",
            sending.standing,
            author,
            key,
            digest,
            policy,
            notice,
            sending.pending(),
            automatic,
        )
        result = await self._store.write(enqueue, ready)
        if isinstance(result, _Refused):
            raise await self._no_answer(result.standing, sending)
        if isinstance(result, KeyReused | Loop):
            raise result
        return result

    async def render(self, to: Target, draft: Draft, *, automatic: bool = False) -> Rendition:
        """Give exactly the parts that would go out. Errors: as `reply`, but for the answer."""
        account, conversation, address = await self._store.read(lambda q: _target(q, to))
        sending = self._sending(account)
        channel = sending.channel
        if channel is None:
            standing = await self._store.read(lambda q: answers.standing(q, conversation))
            nowhere = Standing("", account, SessionState.NONE, None, "", None, None, None)
            raise await self._no_answer(standing or nowhere, sending)
        if not conversation and address.kind not in channel.features.reaches:
            raise Refuse(f'"{account}" cannot write first to an address of kind {address.kind}')
        draft = storable(await self._format(draft, sending.view))
        attachments = await self._store.read(lambda q: _attachments(q, draft))
        context = RenderContext(
            account=account, address=address, attachments=attachments, language=self.language, automatic=automatic
        )
        rendered = channel.render(draft, context)
        if not rendered.parts:
            raise Unsupported("the draft has nothing that could be sent")
        return Rendition(account, conversation, address, draft, rendered)

    async def _no_answer(self, standing: Standing, sending: Sending) -> NoAnswer:
        others = await self._store.read(lambda q: self.others(q, standing.id, standing.account))
        return no_answer(
            answers.answer_of(standing, sending.standing, self._clock.now(), language=self.language, others=others)
        )

    def _sending(self, account: str) -> Sending:
        if (found := self._account(account)) is None:
            raise NotFound(f'there is no account "{account}"')
        return found

    def others(self, query: Query, conversation: str, account: str) -> list[tuple[str, str]]:
        """Give (account, address) pairs that reach the same contact another way."""
        contacts = [row[0] for row in query.execute(_CONTACT, {"id": conversation})]
        names = [row[0] for row in query.execute("SELECT account FROM account_state ORDER BY account")]
        found = []
        for _, kind, value in people.reached(query, contacts):
            for name in names:
                sending = self._account(name)
                if name == account or sending is None or sending.channel is None:
                    continue
                if kind in sending.channel.features.reaches:
                    found.append((name, value))
        return found

    # --- what people do to a message that is on its way -----------------------------------------

    async def cancel(self, message: str) -> int:
        """Take back what is still queued of a message; gives how many parts. Errors: `NotFound`."""
        return await self._store.write(_cancel, message)

    async def resend(self, message: str, author: str) -> int:
        """Send the parts that failed or are uncertain once more; gives how many.

        The customer may get an uncertain part twice: a person decided so. Errors: `NotFound`,
        `Conflict` where nothing failed.
        """
        return await self._store.write(_resend, (message, author))

    async def settle(self, delivery: str, verdict: str, author: str) -> None:
        """Say what became of an uncertain part: `sent`, `failed`, or `again` to send it once more.

        Errors: `NotFound`, `Conflict` where it is not uncertain.
        """
        await self._store.write(_settle, (delivery, verdict, author))


_TARGET = """
    SELECT c.account, c.id, a.kind, a.value, a.name
    FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id = :id
"""
_THEIRS = """
    SELECT c.id FROM address a JOIN conversation c ON c.address_id = a.id AND c.account = :account AND c.thread = ''
    WHERE a.kind = :kind AND a.scope = :scope AND a.value = :value
"""
_KNOWN = "SELECT hash, result FROM idempotency WHERE principal = :principal AND key = :key"
_CONTACT = "SELECT contact_id FROM conversation WHERE id = :id"
_ATTACHMENTS = """
    SELECT id, name, media_type, size, sha256, cls, handle FROM attachment WHERE id IN (:ids[])
"""


def _target(query: Query, to: Target) -> tuple[str, str, Address]:
    if not isinstance(to, str):
        account, address = to
        kind, scope, value = people.key_of(account, address)
        values = {"account": account, "kind": kind, "scope": scope, "value": value}
        row = query.one(_THEIRS, values)
        return account, row[0] if row else "", address
    row = query.one(_TARGET, {"id": to})
    if row is None:
        raise NotFound("there is no such conversation")
    return row[0], row[1], Address(kind=row[2], value=row[3], name=row[4])


# A file of ours that several messages use is nobody's alone: it stays where one of them is forgotten.
_USE = """
    UPDATE attachment SET message_id = CASE WHEN message_id = '' THEN :message ELSE '*' END
    WHERE id = :id AND message_id <> :message AND (message_id = '' OR EXISTS
        (SELECT 1 FROM message WHERE id = attachment.message_id AND direction = 'out'))
"""


def use_files(tx: Tx, message: str, blocks: Sequence[Block]) -> None:
    """Keep that a message of ours uses files: what no message uses is purged."""
    for id_ in sorted(_files_of(blocks)):
        tx.execute(_USE, {"id": id_, "message": message})


def _files_of(blocks: Sequence[Block]) -> set[str]:
    named = (b.attachment if isinstance(b, Media) else b.image if isinstance(b, Card) else "" for b in blocks)
    return {name for name in named if name}


def _attachments(query: Query, draft: Draft) -> Mapping[str, Attachment]:
    wanted = sorted(_files_of(draft.blocks))
    if not wanted:
        return {}
    from .model import AttachmentClass

    found = {
        row[0]: Attachment(
            id=row[0], name=row[1], media_type=row[2], size=row[3], sha256=row[4],
            cls=AttachmentClass(row[5]), handle=row[6],
        )
        for row in query.execute(_ATTACHMENTS, {"ids": wanted})
    }  # fmt: skip
    for name in wanted:
        if name not in found:
            raise NotFound(f"there is no attachment {name}")
    return found


def _digest(to: Target, draft: Draft, policy: Policy | None) -> str:
    place = to if isinstance(to, str) else f"{to[0]} {to[1].kind} {to[1].value}"
    said = [place, blocks_to_json(draft.blocks), draft.reply_to, draft.subject, policy or ""]
    return hashlib.sha256(to_json(said)).hexdigest()


def _known(query: Query, principal: str, key: str) -> tuple[str, str] | None:
    row = query.one(_KNOWN, {"principal": principal, "key": key})
    return (row[0], row[1]) if row else None


def _again(known: tuple[str, str], digest: str) -> Accepted:
    if known[0] != digest:
        raise KeyReused("this idempotency key was used for another request")
    result = from_json(known[1])
    return Accepted(
        message=result["message"],
        n=result["n"],
        policy=Policy(result["policy"]) if result["policy"] else None,
        degradations=tuple(Degradation(**d) for d in result["degradations"]),
        repeated=True,
    )


# --- the one transaction ---------------------------------------------------------------------------

_LOCKED = f"SELECT {answers.COLUMNS}, c.last_n, c.handled FROM conversation c WHERE c.id = :id"
_INSERT_MESSAGE = """
    INSERT INTO message (id, conversation_id, n, account, direction, at, stored_at, text, blocks,
                         author, reply_to, subject, notice, policy, degradations, automatic)
    VALUES (:id, :conversation, :n, :account, 'out', :now, :now2, :text, :blocks, :author,
            :reply_to, :subject, :notice, :policy, :degradations, :automatic)
"""
_MOVE = """
    UPDATE conversation SET last_n = :n, last_at = :now, last_text = :text WHERE id = :id
"""
_HANDLED = "UPDATE conversation SET handled = 1 WHERE id = :id"
_COUNT_NOTICE = "UPDATE conversation SET last_n = :n WHERE id = :id"
_INSERT_DELIVERY = """
    INSERT INTO delivery (id, message_id, conversation_id, account, position, generation, part,
                          text, state, state_at, reason)
    VALUES (:id, :message, :conversation, :account, :position, :generation, :part, :text, 0, :now,
            :reason)
"""
_CLAIM_KEY = """
    INSERT INTO idempotency (principal, key, hash, result, at) VALUES (:principal, :key, '', '', :now)
    ON CONFLICT (principal, key) DO NOTHING
"""
_KEEP_KEY = "UPDATE idempotency SET hash = :hash, result = :result WHERE principal = :principal AND key = :key"
_DROP_KEY = "DELETE FROM idempotency WHERE principal = :principal AND key = :key"


def enqueue(tx: Tx, items: Sequence[_Ready]) -> Sequence[Accepted | _Refused | KeyReused | Loop]:
    """Store replies with their parts, tasks and facts; one that cannot be answered is refused."""
    # The key's row comes before everything else: whoever stores the same key now is waited for.
    claims = sorted({(item.author, item.key) for item in items if item.key})
    tx.many(_CLAIM_KEY, [(principal, key, tx.now_us) for principal, key in claims])
    ours = {claim for claim in claims if (known := _known(tx, *claim)) and not known[1]}
    first = {(item.author, item.key): i for i, item in reversed([*enumerate(items)])}
    fresh = [
        i
        for i, item in enumerate(items)
        if not item.key or ((item.author, item.key) in ours and first[item.author, item.key] == i)
    ]
    results: dict[int, Accepted | _Refused | KeyReused | Loop] = {}
    places = dict(zip(fresh, _places(tx, [items[i] for i in fresh]), strict=True))
    for i in sorted(fresh, key=lambda i: places[i]):
        results[i] = _enqueue_one(tx, items[i], places[i])
    for i, item in enumerate(items):
        if i not in results:
            known = _known(tx, item.author, item.key)
            results[i] = _repeated(known, item.hash) if known else results[first[item.author, item.key]]
    return [results[i] for i in range(len(items))]


def _repeated(known: tuple[str, str], digest: str) -> Accepted | KeyReused:
    try:
        return _again(known, digest)
    except KeyReused as error:
        return error


def _places(tx: Tx, items: Sequence[_Ready]) -> list[str]:
    """Give the conversations of replies, made where there was none, all of them locked at once."""
    wanted = [item.rendition for item in items]
    firsts = {(r.account, r.address): item for r, item in zip(wanted, items, strict=True) if not r.conversation}
    persons = people.resolve(tx, firsts)
    spots = {}
    for (account, address), item in firsts.items():
        person = persons[people.key_of(account, address)]
        spots[account, person.address, ""] = item.channel, person.contact
    if counted := [item.rendition for item in items if item.automatic and _limit(item) is not None]:
        machines.lock(
            tx,
            [r.conversation for r in counted if r.conversation],
            [persons[people.key_of(r.account, r.address)].address for r in counted if not r.conversation],
        )
    ids, new = people.places(tx, spots, also=[r.conversation for r in wanted if r.conversation])
    for spot in sorted(new):
        tx.tell("conversation.opened", account=spot[0], conversation=ids[spot])
    return [r.conversation or ids[r.account, persons[people.key_of(r.account, r.address)].address, ""] for r in wanted]


def _enqueue_one(tx: Tx, item: _Ready, conversation: str) -> Accepted | _Refused | Loop:
    rendition = item.rendition
    row = tx.one(_LOCKED, {"id": conversation})
    if row is None:
        raise NotFound("there is no such conversation")
    if item.automatic and (loop := machines.refusal(tx, conversation, _limit(item))) is not None:
        tx.execute(_DROP_KEY, {"principal": item.author, "key": item.key})
        return loop
    *columns, last_n, handled = row
    standing = Standing.of(columns)
    held, applied = "", None
    wanted, is_template = item.policy or Policy(item.view.when_closed), _only_templates(rendition.draft)
    code = answers.code_of(standing, item.view, tx.now_us)
    if code is AnswerCode.WINDOW_CLOSED and is_template:
        applied = Policy.TEMPLATE
    elif code is not None:
        applied = wanted
        if applied is not Policy.HOLD or not (code in answers.HOLDABLE or code is AnswerCode.ACCOUNT_BROKEN):
            tx.execute(_DROP_KEY, {"principal": item.author, "key": item.key})
            _tell_refused(tx, [(rendition.account, conversation, code, item.author)])
            return _Refused(standing)
        if code in answers.HOLDABLE:  # with a broken account the lane waits, and nothing else
            held = code.value
            answers.tell_changes(tx, [conversation])  # what is held is released by the change back
    message, n = new_id(), last_n + 1
    # Kept for the look before each attempt: what may go now may be too late then.
    _store_message(tx, item, conversation, message, n, applied or (Policy.TEMPLATE if is_template else wanted))
    insert_deliveries(
        tx,
        rendition.account,
        conversation,
        message,
        enumerate(rendition.rendered.parts),
        held=held,
        pending=item.pending,
    )
    use_files(tx, message, rendition.draft.blocks)
    result = {
        "message": message,
        "n": n,
        "policy": applied,
        "degradations": rendition.rendered.degradations,
    }
    if item.key:
        tx.execute(
            _KEEP_KEY,
            {
                "principal": item.author,
                "key": item.key,
                "hash": item.hash,
                "result": to_json(result).decode(),
            },
        )
    tx.tell(
        "reply.queued",
        account=rendition.account,
        conversation=conversation,
        ids={"message": message},
        small={
            "n": n,
            "parts": len(rendition.rendered.parts),
            "held": held or None,
            "author": item.author,
            "notice": item.notice or None,
        },
    )
    if standing.session in answers.LIVE and not handled and _answers(item):
        tx.execute(_HANDLED, {"id": conversation})
        tx.tell("session.handled", account=rendition.account, conversation=conversation, small={"author": item.author})
    return Accepted(message=message, n=n, policy=applied, degradations=rendition.rendered.degradations)


def _limit(item: _Ready) -> Rate | None:
    """Say how often a machine may write to one address of this account."""
    return item.view.features.automatic if item.view.features else None


def _answers(item: _Ready) -> bool:
    """Say whether somebody answers with this: no notice, and nothing that a plugin says by itself."""
    return not item.notice and not item.author.startswith("plugin:")


def _tell_refused(tx: Tx, items: Sequence[tuple[str, str, str, str]]) -> Sequence[None]:
    for account, conversation, code, author in items:
        small = {"code": code, "author": author}
        tx.tell("reply.refused", account=account, conversation=conversation, small=small)
    return [None] * len(items)


def _only_templates(draft: Draft) -> bool:
    return all(isinstance(block, Template) for block in draft.blocks)


def _store_message(tx: Tx, item: _Ready, conversation: str, message: str, n: int, policy: Policy) -> None:
    rendition = item.rendition
    text = plain_text(rendition.draft)
    tx.execute(
        _INSERT_MESSAGE,
        {
            "id": message,
            "conversation": conversation,
            "n": n,
            "account": rendition.account,
            "now": tx.now_us,
            "now2": tx.now_us,
            "text": text,
            "blocks": blocks_to_json(rendition.draft.blocks),
            "author": item.author,
            "reply_to": rendition.draft.reply_to,
            "subject": rendition.draft.subject,
            "notice": item.notice,
            "policy": policy,
            "degradations": to_json(rendition.rendered.degradations).decode(),
            "automatic": int(item.automatic),
        },
    )
    if item.notice:
        tx.execute(_COUNT_NOTICE, {"id": conversation, "n": n})
    else:
        tx.execute(_MOVE, {"id": conversation, "n": n, "now": tx.now_us, "text": text[:_PREVIEW]})


def insert_deliveries(
    tx: Tx,
    account: str,
    conversation: str,
    message: str,
    parts: Sequence[tuple[int, Part]] | enumerate[Part],
    *,
    generation: int = 0,
    held: str = "",
    pending: str = "",
) -> None:
    """Store parts as deliveries, with a promise each unless they are held."""
    made = [(new_id(), position, part) for position, part in parts]
    tx.many(
        _INSERT_DELIVERY,
        [
            {
                "id": delivery,
                "message": message,
                "conversation": conversation,
                "account": account,
                "position": position,
                "generation": generation,
                "part": part_to_json(part),
                "text": part.plain or part.text,
                "now": tx.now_us,
                "reason": held or pending,
            }
            for delivery, position, part in made
        ],
    )
    if held:
        return
    group = f"send:{account}"
    lanes.add(tx, [lanes.NewTask(group, conversation, "send", made_[0]) for made_ in made])


def part_to_json(part: Part) -> str:
    """Write a part as the delivery row holds it."""
    said = {name: getattr(part, name) for name in part.__slots__ if getattr(part, name)}
    return to_json(said).decode()


def part_from_json(text: str) -> Part:
    """Read a part of a delivery row."""
    from .model import Option

    said = from_json(text)
    if "options" in said:
        said["options"] = tuple(Option(**option) for option in said["options"])
    return Part(**said)


# --- taking back, again, settled -------------------------------------------------------------------

_OF_MESSAGE = """
    SELECT d.id, d.account, d.conversation_id, d.message_id, d.position, d.generation, d.part,
           d.state, d.open_since
    FROM delivery d WHERE d.message_id = :id ORDER BY d.position, d.generation
"""


def _rows(tx: Tx, message: str) -> list[Row]:
    rows = tx.execute(_OF_MESSAGE, {"id": message})
    if not rows:
        raise NotFound("there is no such outgoing message")
    tx.lock("delivery", [row[0] for row in rows])
    return tx.execute(_OF_MESSAGE, {"id": message})


def _cancel(tx: Tx, messages: Sequence[str]) -> Sequence[int]:
    results = []
    for message in messages:
        queued = [r for r in _rows(tx, message) if r[7] == State.QUEUED and r[8] is None]
        fail_queued(tx, [str(row[0]) for row in queued], "cancelled", "taken back before it was sent")
        results.append(len(queued))
    return results


_NOT_OPEN = "UPDATE delivery SET open_since = NULL, reason = '' WHERE id = :id"


def fail_queued(tx: Tx, ids: Sequence[str], code: str, text: str) -> None:
    """Fail parts that are still queued, with the reason, and drop their promises."""
    deliveries.learn(
        tx,
        [deliveries.Learnt(delivery=i, state=State.FAILED, at=tx.now_us, code=code, text=text) for i in ids],
    )
    lanes.drop(tx, "send", ids)


def unknown_queued(tx: Tx, ids: Sequence[str], text: str) -> None:
    """Say of parts that are still queued that nobody knows whether they were sent, and drop their promises."""
    learnt = [deliveries.Learnt(delivery=i, state=State.UNCERTAIN, at=tx.now_us, text=text) for i in ids]
    deliveries.learn(tx, learnt)
    tx.many(_NOT_OPEN, [{"id": i} for i in sorted(ids)])
    lanes.drop(tx, "send", ids)


def _resend(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[int]:
    results = []
    for message, author in items:
        by_place: dict[Any, list[Row]] = {}
        for row in _rows(tx, message):
            by_place.setdefault(row[4], []).append(row)
        again = [
            rows[-1]
            for rows in by_place.values()
            if deliveries.counted([(row[5], row[7]) for row in rows]) in (State.FAILED, State.UNCERTAIN)
        ]
        if not again:
            raise Conflict("no part of this message failed or is uncertain", code="nothing_failed")
        for row in again:
            _send_again(tx, row, author)
        results.append(len(again))
    return results


def _send_again(tx: Tx, row: Row, author: str) -> None:
    _, account, conversation, message, position, generation, part, *_ = row
    tx.tell(
        "reply.resent",
        account=str(account),
        conversation=str(conversation),
        ids={"message": str(message)},
        small={"position": int(str(position)), "author": author},
    )
    insert_deliveries(
        tx,
        str(account),
        str(conversation),
        str(message),
        [(int(str(position)), part_from_json(str(part)))],
        generation=int(str(generation)) + 1,
    )


_ONE = "SELECT message_id FROM delivery WHERE id = :id"


def _settle(tx: Tx, items: Sequence[tuple[str, str, str]]) -> Sequence[None]:
    for delivery, verdict, author in items:
        found = tx.one(_ONE, {"id": delivery})
        if found is None:
            raise NotFound("there is no such delivery")
        rows = _rows(tx, found[0])
        row = next(r for r in rows if r[0] == delivery)
        if row[7] != State.UNCERTAIN:
            raise Conflict("this part is not uncertain", code="not_uncertain")
        if verdict == "again" and any(r[4] == row[4] and r[5] > row[5] for r in rows):
            raise Conflict("this part was sent again already: look at what became of that", code="sent_again")
        tx.tell(
            "delivery.settled",
            account=str(row[1]),
            conversation=str(row[2]),
            ids={"message": str(row[3]), "delivery": delivery},
            small={"verdict": verdict, "author": author},
        )
        if verdict == "again":
            _send_again(tx, row, author)
            continue
        state = State.SENT if verdict == "sent" else State.FAILED
        news = deliveries.Learnt(
            delivery=delivery, state=state, at=tx.now_us, code="settled", text=f"settled by {author}"
        )
        deliveries.learn(tx, [news])
    return [None] * len(items)


__all__ = ["Rendition", "Replies", "Sending", "Target", "enqueue", "insert_deliveries"]
