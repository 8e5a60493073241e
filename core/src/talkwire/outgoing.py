"""The way out, first half: reply → shape → render → answer? → queue."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from . import answers, deliveries, elsewhere, lanes, machines, people, readmodels
from .answers import AccountView, Standing
from .channel import Channel
from .clock import Clock, micros
from .errors import Conflict, KeyReused, Loop, NoAnswer, NotFound, Refuse, ReplyError, Unsupported, no_answer
from .features import Features
from .formatting import blocks_to_json, plain_text
from .ids import new_id
from .model import (
    Accepted,
    Account,
    Address,
    Answer,
    AnswerCode,
    Attachment,
    Block,
    Card,
    Degradation,
    Draft,
    Forward,
    Level,
    Media,
    Message,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instead:
    """Where a reply was meant to go that goes on elsewhere."""

    account: str
    conversation: str
    code: AnswerCode  # why it could not
    message: str = ""  # that waits there; empty: it was not stored there


@dataclass(frozen=True, slots=True)
class _Ready:
    """A rendered reply on its way into the store."""

    rendition: Rendition
    channel: str
    view: AccountView
    author: str
    key: str  # empty: cannot be repeated
    hash: str
    policy: Policy
    fallback: str  # account, with policy fallback
    notice: str  # slot; empty: a message
    pending: str  # why it does not go at once; empty: it does
    automatic: bool  # a machine of ours says it
    thread: str = ""  # of the conversation, if there is none yet
    instead: _Instead | None = None  # it goes on here, because it could not go where it was meant to go
    principal: str = ""  # whose the key is; empty: the author's

    @property
    def claim(self) -> tuple[str, str]:
        """Give the key with whose it is."""
        return self.principal or self.author, self.key


@dataclass(frozen=True, slots=True)
class _Refused:
    """A reply that was not stored because it cannot be answered now."""

    standing: Standing
    code: AnswerCode
    goes_on: bool = False  # nobody was told: it may go on elsewhere


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
        time_zone: str = "UTC",
    ) -> None:
        self._store = store
        self._clock = clock
        self._account = account
        self._format = format_reply
        self.language = language
        self.time_zone = time_zone

    async def reply(
        self,
        to: Target,
        draft: Draft,
        *,
        author: str,
        key: str = "",
        policy: Policy | None = None,
        fallback: str = "",
        strict: bool = False,
        notice: str = "",
        automatic: bool = False,
    ) -> Accepted:
        """Store a reply and its promise to send; it is committed when this returns.

        `key` makes it repeatable: the same author and key give the first result again. `policy`
        says what to do where no answer is allowed; None takes the account's `when_closed`. `fallback` names the
        account that it goes out from by policy fallback; empty: the one that `when_closed` names.
        `strict` refuses a reply that loses anything in its channel. `notice` names the slot of what is no reply.
        `automatic`: a machine says it.

        Errors: `NotFound` · `NoAnswer` with the answer object, nothing stored as sent ·
        `Unsupported`, `Refuse`, `KeyReused`, `Loop` (only of what is automatic): nothing stored.
        """
        digest = _digest(to, draft, policy, fallback) if key else ""
        if key and (known := await self._store.read(lambda q: _known(q, author, key))):
            return await self._store.read(lambda q: _again(q, known, digest))
        where = await self._store.read(lambda q: self._target(q, to))
        wanted, instead = self._wanted(where.account, policy, fallback, notice)
        asked = _Asked(author=author, key=key, hash=digest, strict=strict, notice=notice, automatic=automatic)
        if wanted is Policy.FALLBACK and (shut := await self._shut(where)) is not None:
            return await self._go_on(shut, instead, draft, asked)
        try:
            rendition = await self._rendered(where, draft, automatic=automatic)
        except NoAnswer as no:
            await self._store.write(_tell_refused, (where.account, where.conversation, no.code, author))
            raise
        result = await self._queue(rendition, asked, wanted, instead)
        if not isinstance(result, _Refused):
            return result
        if result.goes_on:  # it was shut just now
            return await self._go_on(result, instead, draft, asked)
        raise await self._no_answer(result.standing, self._sending(rendition.account))

    async def render(self, to: Target, draft: Draft, *, notice: str = "", automatic: bool = False) -> Rendition:
        """Give exactly the parts that would go out now, by the account's `when_closed`.

        Errors: as `reply`, but for the answer.
        """
        where = await self._store.read(lambda q: self._target(q, to))
        wanted, instead = self._wanted(where.account, None, "", notice)
        if wanted is Policy.FALLBACK and (shut := await self._shut(where)) is not None:
            try:
                return (await self._elsewhere(shut.standing, instead, draft, automatic=automatic))[0]
            except (NoAnswer, NotFound):  # it would be refused: this is what could not go
                pass
        return await self._rendered(where, draft, automatic=automatic)

    async def _queue(
        self,
        rendition: Rendition,
        asked: _Asked,
        policy: Policy,
        fallback: str = "",
        *,
        thread: str | None = None,
        instead: _Instead | None = None,
    ) -> Accepted | _Refused:
        """Store a rendered reply. Errors: `Unsupported` where it must lose nothing; `KeyReused`; `NotFound`."""
        losses = rendition.rendered.degradations
        if asked.strict and losses:
            first = losses[0]
            raise Unsupported(f"strict: {first.text}", block=first.block, kind=first.what)
        sending = self._sending(rendition.account)
        features = sending.channel.features if sending.channel else None
        ready = _Ready(
            rendition,
            sending.channel.type if sending.channel else "",
            sending.standing,
            asked.author,
            asked.key,
            asked.hash,
            policy,
            fallback,
            asked.notice,
            sending.pending(),
            asked.automatic,
            _thread(rendition, features) if thread is None else thread,
            instead,
            asked.principal,
        )
        result = await self._store.write(enqueue, ready)
        if isinstance(result, KeyReused | Loop):
            raise result
        return result

    async def _rendered(
        self,
        where: _Where,
        draft: Draft,
        *,
        told: elsewhere.Told | None = None,
        formatted: bool = False,
        automatic: bool = False,
    ) -> Rendition:
        """Render a draft where it goes; `told` goes along with it, `formatted` has been through `format_reply`."""
        account, conversation, address = where.account, where.conversation, where.address
        sending = self._sending(account)
        channel = sending.channel
        if channel is None:
            standing = await self._store.read(lambda q: answers.standing(q, conversation))
            raise await self._no_answer(standing or _nowhere(account), sending)
        if not conversation and address.kind not in channel.features.reaches:
            raise Refuse(f'"{account}" cannot write first to an address of kind {address.kind}')
        draft = storable(draft if formatted else await self._format(draft, sending.view))
        if told is not None:
            draft = told.on(draft)
        seen = await self._store.read(lambda q: _seen(q, draft, conversation, channel.features))
        draft = _with_copies(draft, channel.features, address, seen.last_inbound)
        context = RenderContext(
            account=account,
            address=address,
            attachments=seen.attachments,
            language=self.language,
            subject=seen.subject,
            last_inbound=seen.last_inbound,
            forwarded=seen.forwarded,
            senders=seen.senders,
            automatic=automatic,
        )
        rendered = channel.render(draft, context)
        if not rendered.parts:
            raise Unsupported("the draft has nothing that could be sent")
        return Rendition(account, conversation, address, draft, rendered)

    def _target(self, query: Query, to: Target) -> _Where:
        """Say where a reply goes. Errors: `NotFound`."""
        if isinstance(to, str):
            return _where(query, to)
        account, address = to
        sending = self._account(account)
        if sending is not None and sending.channel is not None and sending.channel.features.threads:
            return _Where(account, "", address)  # whoever writes first opens a thread
        return _Where(account, _theirs(query, account, address), address)

    # --- where it cannot go: from another account ---------------------------------------------------

    def _wanted(self, account: str, policy: Policy | None, fallback: str, notice: str) -> tuple[Policy, str]:
        """Say what becomes of a reply that cannot go out, and by policy fallback from which account it goes on.

        Errors: `Refuse` where no account is named.
        """
        view = self._sending(account).standing
        wanted = policy or Policy(view.when_closed)
        if fallback and wanted is not Policy.FALLBACK:
            raise Refuse("an account to fall back on is named with policy fallback only")
        if wanted is not Policy.FALLBACK:
            return wanted, ""
        if notice:
            return Policy.REJECT, ""  # it belongs to the talk as it is now
        name = fallback or view.fallback
        if not name:
            raise Refuse(f'"{account}" has no account to fall back on: name one, or set when_closed = "fallback:NAME"')
        return wanted, name

    async def _shut(self, where: _Where) -> _Refused | None:
        """Say why a conversation cannot be answered now, where another account may; None: it can be, or none may."""
        view = self._sending(where.account).standing
        standing = await self._store.read(lambda q: answers.standing(q, where.conversation))
        if standing is None:
            return None
        code = answers.code_of(standing, view, micros(self._clock.now()))
        return _Refused(standing, code) if code is not None and elsewhere.falls_back(code) else None

    async def _go_on(self, shut: _Refused, name: str, draft: Draft, asked: _Asked) -> Accepted:
        """Let a reply go on from another account. Errors: `NoAnswer` where it cannot; as `reply`."""
        standing = shut.standing
        for message, account in await self._store.read(lambda q: elsewhere.before(q, standing.id)):
            await self.fall_back(message, account, shut.code)  # nobody overtakes what waits
        try:
            rendition, place = await self._elsewhere(standing, name, draft, automatic=asked.automatic)
            instead = _Instead(account=standing.account, conversation=standing.id, code=shut.code)
            result = await self._queue(rendition, asked, Policy.REJECT, thread=place.thread, instead=instead)
        except NoAnswer:
            result = _Refused(standing, shut.code)
        if isinstance(result, _Refused):
            await self._store.write(_tell_refused, (standing.account, standing.id, shut.code, asked.author))
            raise await self._no_answer(standing, self._sending(standing.account))
        return result

    async def _elsewhere(
        self, standing: Standing, name: str, draft: Draft, *, without: str = "", automatic: bool = False
    ) -> tuple[Rendition, elsewhere.Place]:
        """Render a reply as it goes on from another account; `without` is the message that waits, already formatted.

        Errors: `NoAnswer` where that account cannot send, or reaches no address that is known; `NotFound`; as `render`.
        """
        sending = self._sending(name)
        if sending.channel is None or not sending.standing.state.sends or name == standing.account:
            raise NoAnswer(Answer(allowed=False))
        features, language, zone = sending.channel.features, self.language, self.time_zone
        place = await self._store.read(lambda q: elsewhere.place(q, standing.id, name, features))
        if place is None:
            raise NoAnswer(Answer(allowed=False))
        told = None
        if place.is_new:
            told = await self._store.read(
                lambda q: elsewhere.told(q, standing.id, without=without, language=language, zone=zone)
            )
        where = _Where(name, place.conversation, place.address)
        told = told or elsewhere.Told()
        rendition = await self._rendered(where, draft, told=told, formatted=bool(without), automatic=automatic)
        return rendition, place

    async def fall_back(self, message: str, name: str, code: AnswerCode, said: str = "") -> None:
        """Let a message that waits go on from another account, or fail it where it cannot; a second time does nothing."""
        waits = await self._store.read(lambda q: elsewhere.stored(q, message))
        if waits is None:
            return
        standing = await self._store.read(lambda q: answers.standing(q, waits.conversation))
        if standing is None:
            return
        asked = _Asked(
            author=waits.author, key=message, hash=message, automatic=waits.automatic, principal=elsewhere.KIND
        )
        why = f"no address is known that {name} reaches, or it cannot send now"
        try:
            rendition, place = await self._elsewhere(
                standing, name, waits.draft, without=message, automatic=waits.automatic
            )
            instead = _Instead(account=waits.account, conversation=waits.conversation, code=code, message=message)
            result = await self._queue(rendition, asked, Policy.REJECT, thread=place.thread, instead=instead)
            if isinstance(result, Accepted):
                if result.repeated:  # a person sent again what had gone on already
                    await self._store.write(
                        _fail_fallen, (message, deliveries.FELL_BACK, f"it went on from {name} before")
                    )
                return
        except NoAnswer:
            pass
        except (ReplyError, NotFound) as error:
            why = f"{name}: {error}"
        await self.give_up_falling(message, code, why, said)

    async def give_up_falling(self, message: str, code: AnswerCode, why: str, said: str = "") -> None:
        """Fail what waits of a message that could not go on elsewhere."""
        said = said or "the conversation could not be answered any more"
        text = f"{said}, and it did not go on elsewhere: {why}"
        await self._store.write(_fail_fallen, (message, code.value, text))

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


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a reply goes."""

    account: str
    conversation: str  # empty: there is none yet
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Who asked for a reply, and how."""

    author: str
    key: str = ""
    hash: str = ""
    strict: bool = False
    notice: str = ""
    automatic: bool = False  # a machine of ours says it
    principal: str = ""  # whose the key is; empty: the author's


def _nowhere(account: str) -> Standing:
    return Standing("", account, SessionState.NONE, None, "", None, None, None)


def _theirs(query: Query, account: str, address: Address) -> str:
    kind, scope, value = people.key_of(account, address)
    row = query.one(_THEIRS, {"account": account, "kind": kind, "scope": scope, "value": value})
    return row[0] if row else ""


def _where(query: Query, conversation: str) -> _Where:
    row = query.one(_TARGET, {"id": conversation})
    if row is None:
        raise NotFound("there is no such conversation")
    return _Where(row[0], row[1], Address(kind=row[2], value=row[3], name=row[4]))


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


def _thread(rendition: Rendition, features: Features | None) -> str:
    """Name the thread of a first message."""
    return new_id() if features is not None and features.threads and not rendition.conversation else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a channel is shown of a draft's surroundings."""

    attachments: Mapping[str, Attachment]
    subject: str = ""
    last_inbound: Message | None = None
    forwarded: Mapping[str, Message]
    senders: Mapping[str, Address]


_SUBJECT = "SELECT subject FROM conversation WHERE id = :id"
_LAST_INBOUND = """
    SELECT id FROM message WHERE conversation_id = :id AND direction = 'in' ORDER BY n DESC LIMIT 1
"""

_SENDERS = """
    SELECT m.id, a.kind, a.value, a.name FROM message m JOIN conversation c ON c.id = m.conversation_id
    JOIN address a ON a.id = c.address_id WHERE m.id IN (:ids[]) AND m.direction = 'in'
"""


def _seen(query: Query, draft: Draft, conversation: str, features: Features) -> _Seen:
    """Read what the channel asks for by its features, and nothing else. Errors: `NotFound`."""
    wanted = {block.message for block in draft.blocks if isinstance(block, Forward)}
    if features.forward is not Level.FULL:
        wanted = set()  # its `render` says so
    subject, last = "", ""
    if features.subject is Level.FULL and conversation:
        [subject] = query.one(_SUBJECT, {"id": conversation}) or ("",)
        [last] = query.one(_LAST_INBOUND, {"id": conversation}) or ("",)
    messages = readmodels.messages_by_id(query, sorted({*wanted, last} - {""}), whole=True)
    for name in sorted(wanted - messages.keys()):
        raise NotFound(f"there is no message {name}")
    forwarded = {name: messages[name] for name in sorted(wanted)}
    files = _files_of((*draft.blocks, *(block for message in forwarded.values() for block in message.blocks)))
    rows = query.execute(_SENDERS, {"ids": sorted(forwarded)}) if forwarded else ()
    return _Seen(
        attachments=_attachments(query, files),
        subject=subject,
        last_inbound=messages.get(last),
        forwarded=forwarded,
        senders={row[0]: Address(kind=row[1], value=row[2], name=row[3]) for row in rows},
    )


_COPIED = re.compile(r"[^\s@<>(),:;\"\\[\]\x00-\x1f\x7f]{1,64}@[^\s@<>(),:;\"\\[\]\x00-\x1f\x7f]{1,255}")


def _with_copies(draft: Draft, features: Features, address: Address, last_inbound: Message | None) -> Draft:
    """Give a draft with its copies in canonical form, each person once. Errors: `Unsupported`."""
    if not draft.cc and not draft.bcc:
        return draft
    if features.copies is not Level.FULL:
        raise Unsupported("this channel takes no cc and no bcc", kind="cc" if draft.cc else "bcc")
    known = {(last_inbound.answer_at if last_inbound else "") or address.value}
    cc = tuple(v for v in dict.fromkeys(_canonical(v, address.kind, "cc") for v in draft.cc) if v not in known)
    known |= set(cc)
    bcc = tuple(v for v in dict.fromkeys(_canonical(v, address.kind, "bcc") for v in draft.bcc) if v not in known)
    return replace(draft, cc=cc, bcc=bcc)


def _canonical(value: str, kind: str, what: str) -> str:
    value = value.strip()
    if kind == "email" and not _COPIED.fullmatch(value):
        raise Unsupported(f"{what}: write an address such as ann@example.org", kind=what)
    return value.lower() if kind == "email" else value


def _attachments(query: Query, files: set[str]) -> Mapping[str, Attachment]:
    wanted = sorted(files)
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


def _digest(to: Target, draft: Draft, policy: Policy | None, fallback: str) -> str:
    place = to if isinstance(to, str) else f"{to[0]} {to[1].kind} {to[1].value}"
    said: list[object] = [place, blocks_to_json(draft.blocks), draft.reply_to, draft.subject, policy or ""]
    if draft.cc or draft.bcc:  # without them it is as it was before there were any
        said += [draft.cc, draft.bcc]
    if fallback:
        said.append(fallback)
    return hashlib.sha256(to_json(said)).hexdigest()


def _known(query: Query, principal: str, key: str) -> tuple[str, str] | None:
    row = query.one(_KNOWN, {"principal": principal, "key": key})
    return (row[0], row[1]) if row else None


_WHICH = "SELECT conversation_id, account FROM message WHERE id = :id"


def _again(query: Query, known: tuple[str, str], digest: str) -> Accepted:
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


# --- the one transaction ---------------------------------------------------------------------------

_LOCKED = f"SELECT {answers.COLUMNS}, c.last_n, c.handled FROM conversation c WHERE c.id = :id"
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
_INSERT_DELIVERY = """
    INSERT INTO delivery (id, message_id, conversation_id, account, position, recipient, generation, part,
                          text, state, state_at, reason)
    VALUES (:id, :message, :conversation, :account, :position, :recipient, :generation, :part, :text, 0, :now,
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
    claims = sorted({item.claim for item in items if item.key})
    tx.many(_CLAIM_KEY, [(principal, key, tx.now_us) for principal, key in claims])
    ours = {claim for claim in claims if (known := _known(tx, *claim)) and not known[1]}
    first = {item.claim: i for i, item in reversed([*enumerate(items)])}
    fresh = [i for i, item in enumerate(items) if not item.key or (item.claim in ours and first[item.claim] == i)]
    results: dict[int, Accepted | _Refused | KeyReused | Loop] = {}
    places = dict(zip(fresh, _places(tx, [items[i] for i in fresh]), strict=True))
    for i in sorted(fresh, key=lambda i: places[i]):
        results[i] = _enqueue_one(tx, items[i], places[i])
    _went_on(tx, [(items[i], result) for i, result in results.items() if isinstance(result, Accepted)])
    for i, item in enumerate(items):
        if i not in results:
            known = _known(tx, *item.claim)
            results[i] = _repeated(tx, known, item.hash) if known else results[first[item.claim]]
    return [results[i] for i in range(len(items))]


def _repeated(tx: Tx, known: tuple[str, str], digest: str) -> Accepted | KeyReused:
    try:
        return _again(tx, known, digest)
    except KeyReused as error:
        return error


def _places(tx: Tx, items: Sequence[_Ready]) -> list[str]:
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
    return [item.rendition.conversation or ids[spot_of[id(item)]] for item in items]


def _went_on(tx: Tx, stored: Sequence[tuple[_Ready, Accepted]]) -> None:
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


def _still_waits(tx: Tx, message: str) -> bool:
    """Say whether a message that is to go on elsewhere was not taken back meanwhile."""
    tx.lock("delivery", elsewhere.waiting_parts(tx, [message]))
    return bool(elsewhere.waiting_parts(tx, [message]))


def _fail_fallen(tx: Tx, items: Sequence[tuple[str, str, str]]) -> Sequence[None]:
    for message, code, text in sorted(items):
        fail_queued(tx, elsewhere.waiting_parts(tx, [message]), code, text)
    return [None] * len(items)


def _enqueue_one(tx: Tx, item: _Ready, conversation: str) -> Accepted | _Refused | Loop:
    rendition = item.rendition
    row = tx.one(_LOCKED, {"id": conversation})
    if row is None:
        raise NotFound("there is no such conversation")
    if item.automatic and (loop := machines.refusal(tx, conversation, _limit(item))) is not None:
        tx.execute(_DROP_KEY, dict(zip(("principal", "key"), item.claim, strict=True)))
        return loop
    *columns, last_n, handled = row
    standing = Standing.of(columns)
    if item.instead is not None and item.instead.message and not _still_waits(tx, item.instead.message):
        tx.execute(_DROP_KEY, dict(zip(("principal", "key"), item.claim, strict=True)))
        return _Refused(standing, item.instead.code)
    held, applied = "", Policy.FALLBACK if item.instead else None
    wanted, is_template = item.policy, _only_templates(rendition.draft)
    code = answers.code_of(standing, item.view, tx.now_us)
    if code is AnswerCode.WINDOW_CLOSED and is_template:
        applied = Policy.TEMPLATE
    elif code is not None:
        applied = wanted
        if applied is not Policy.HOLD or not (code in answers.HOLDABLE or code is AnswerCode.ACCOUNT_BROKEN):
            principal, key = item.claim
            tx.execute(_DROP_KEY, {"principal": principal, "key": key})
            goes_on = wanted is Policy.FALLBACK and elsewhere.falls_back(code)
            if not goes_on and item.instead is None:
                _tell_refused(tx, [(rendition.account, conversation, code, item.author)])
            return _Refused(standing, code, goes_on=goes_on)
        if code in answers.HOLDABLE:  # with a broken account the lane waits, and nothing else
            held = code.value
            answers.tell_changes(tx, [conversation])  # what is held is released by the change back
    message, n = new_id(), last_n + 1
    # Kept for the look before each attempt: what may go now may be too late then.
    kept: str = wanted if item.instead else applied or (Policy.TEMPLATE if is_template else wanted)
    kept = f"{kept}:{item.fallback}" if kept == Policy.FALLBACK else kept
    _store_message(tx, item, conversation, message, n, kept)
    insert_deliveries(
        tx,
        rendition.account,
        conversation,
        message,
        [
            (position, recipient, part)
            for position, part in enumerate(rendition.rendered.parts)
            for recipient in ("", *rendition.draft.cc, *rendition.draft.bcc)
        ],
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
    return Accepted(
        message=message,
        n=n,
        policy=applied,
        degradations=rendition.rendered.degradations,
        conversation=conversation,
        account=rendition.account,
    )


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


def _store_message(tx: Tx, item: _Ready, conversation: str, message: str, n: int, policy: str) -> None:
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
            "cc": _list(rendition.draft.cc),
            "bcc": _list(rendition.draft.bcc),
        },
    )
    if item.notice:
        tx.execute(_COUNT_NOTICE, {"id": conversation, "n": n})
    else:
        tx.execute(
            _MOVE,
            {"id": conversation, "n": n, "now": tx.now_us, "text": text[:_PREVIEW], "subject": rendition.draft.subject},
        )


def _list(values: Sequence[str]) -> str:
    return to_json(values).decode() if values else ""


def insert_deliveries(
    tx: Tx,
    account: str,
    conversation: str,
    message: str,
    parts: Sequence[tuple[int, str, Part]],
    *,
    generation: int = 0,
    held: str = "",
    pending: str = "",
) -> None:
    """Store parts (position, recipient, part) as deliveries, with a promise each unless they are held."""
    made = [(new_id(), *part) for part in parts]
    tx.many(
        _INSERT_DELIVERY,
        [
            {
                "id": delivery,
                "message": message,
                "conversation": conversation,
                "account": account,
                "position": position,
                "recipient": recipient,
                "generation": generation,
                "part": part_to_json(part),
                "text": part.plain or part.text,
                "now": tx.now_us,
                "reason": held or pending,
            }
            for delivery, position, recipient, part in made
        ],
    )
    if held:
        return
    group = f"send:{account}"
    lanes.add(
        tx,
        [
            lanes.NewTask(group, lanes.of_part(conversation, recipient), "send", delivery)
            for delivery, _, recipient, _ in made
        ],
    )


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
           d.state, d.open_since, d.recipient
    FROM delivery d WHERE d.message_id = :id ORDER BY d.position, d.recipient, d.generation
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
            by_place.setdefault((row[4], row[9]), []).append(row)
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
    _, account, conversation, message, position, generation, part, _, _, recipient = row
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
        [(int(str(position)), str(recipient), part_from_json(str(part)))],
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
        if verdict == "again" and any((r[4], r[9]) == (row[4], row[9]) and r[5] > row[5] for r in rows):
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
