"""The way out, first half: reply → shape → render → answer? → queue, or on from another account."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from pydantic_core import to_json

from .. import answers, deliveries, people
from ..answers import AccountView, OtherWay, Standing
from ..channel import Channel
from ..clock import Clock, micros
from ..errors import KeyReused, Loop, NoAnswer, NotFound, Refuse, ReplyError, Unsupported, no_answer
from ..features import Features
from ..formatting import blocks_to_json
from ..ids import new_id
from ..model import Accepted, Account, Address, Answer, AnswerCode, Draft, Policy, RenderContext, Rendered, SessionState
from ..store import Query, Store
from ..store.texts import storable
from . import elsewhere, mending, surroundings, windows
from .queueing import Instead, Ready, Refused, Rendition, again, enqueue, fail_fallen, known_key, tell_refused

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
        template: str = "",
        strict: bool = False,
        notice: str = "",
        automatic: bool = False,
    ) -> Accepted:
        """Store a reply and its promise to send; it is committed when this returns.

        `key` makes it repeatable: the same author and key give the first result again. `policy`
        says what to do where no answer is allowed; None takes the account's `when_closed`. `fallback` names the
        account that it goes out from by policy fallback, `template` the one that goes out at once by policy template
        while the reply waits; empty: what `when_closed` names.
        `strict` refuses a reply that loses anything in its channel. `notice` names the slot of what is no reply.
        `automatic`: a machine says it.

        Errors: `NotFound` · `NoAnswer` with the answer object, nothing stored as sent ·
        `Unsupported`, `Refuse`, `KeyReused`, `Loop` (only of what is automatic): nothing stored.
        """
        digest = _digest(to, draft, policy, fallback, template) if key else ""
        if key and (known := await self._store.read(lambda q: known_key(q, author, key))):
            return await self._store.read(lambda q: again(q, known, digest))
        where = await self._store.read(lambda q: self._looked_up(q, to, draft))
        wanted, named = self._wanted(where.account, policy, fallback, template, notice)
        asked = _Asked(author=author, key=key, hash=digest, strict=strict, notice=notice, automatic=automatic)
        if wanted is Policy.FALLBACK and (shut := await self._shut(where)) is not None:
            return await self._go_on(shut, named, draft, asked)
        try:
            rendition = await self._rendered(where, draft, automatic=automatic)
        except NoAnswer as no:
            await self._store.write(tell_refused, (where.account, where.conversation, no.code, author))
            raise
        result = await self._queue(rendition, asked, wanted, named)
        if isinstance(result, Refused) and result.goes_on and wanted is Policy.TEMPLATE:
            try:
                opening = await self._rendered(where, windows.template(named), formatted=True, automatic=automatic)
            except Unsupported as error:
                raise Unsupported(f'the template "{named}" cannot go: {error}', kind=error.kind) from error
            result = await self._queue(rendition, asked, wanted, named, opening=opening)
        if not isinstance(result, Refused):
            return result
        if result.goes_on:  # it was shut just now
            return await self._go_on(result, named, draft, asked)
        raise await self._no_answer(result.standing, self._sending(rendition.account))

    async def render(self, to: Target, draft: Draft, *, notice: str = "", automatic: bool = False) -> Rendition:
        """Give exactly the parts that would go out now, by the account's `when_closed`.

        Errors: as `reply`, but for the answer.
        """
        where = await self._store.read(lambda q: self._looked_up(q, to, draft))
        wanted, named = self._wanted(where.account, None, "", "", notice)
        if wanted is Policy.FALLBACK and (shut := await self._shut(where)) is not None:
            try:
                return (await self._elsewhere(shut.standing, named, draft, automatic=automatic))[0]
            except (NoAnswer, NotFound):  # it would be refused: this is what could not go
                pass
        return await self._rendered(where, draft, automatic=automatic)

    async def _queue(
        self,
        rendition: Rendition,
        asked: _Asked,
        policy: Policy,
        named: str = "",
        *,
        thread: str | None = None,
        instead: Instead | None = None,
        opening: Rendition | None = None,
        opens_for: str = "",
    ) -> Accepted | Refused:
        """Store a rendered reply. Errors: `Unsupported` where it must lose nothing; `KeyReused`; `NotFound`."""
        losses = rendition.rendered.degradations
        if asked.strict and losses:
            first = losses[0]
            raise Unsupported(f"strict: {first.text}", block=first.block, kind=first.what)
        sending = self._sending(rendition.account)
        features = sending.channel.features if sending.channel else None
        ready = Ready(
            rendition,
            sending.channel.type if sending.channel else "",
            sending.standing,
            asked.author,
            asked.key,
            asked.hash,
            policy,
            named,
            asked.notice,
            sending.pending(),
            asked.automatic,
            _thread(rendition, features) if thread is None else thread,
            instead,
            asked.principal,
            opening,
            opens_for,
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
        asked = surroundings.asked_for(draft, conversation, channel.features)
        seen = where.seen
        if asked != where.asked:  # `format_reply` names other files, or nobody looked
            seen = await self._store.read(lambda q: surroundings.seen(q, asked)) if asked else surroundings.NOTHING
        draft = surroundings.with_copies(draft, channel.features, address, seen.last_inbound)
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
        rendered: object = channel.render(draft, context)
        if not isinstance(rendered, Rendered):
            raise TypeError(f"{type(channel).__name__}.render gave a {type(rendered).__name__}; it gives Rendered")
        if not rendered.parts:
            raise Unsupported("the draft has nothing that could be sent")
        if rendered.draft is not None:
            draft = storable(rendered.draft)
        return Rendition(account, conversation, address, draft, rendered)

    def _looked_up(self, query: Query, to: Target, draft: Draft) -> _Where:
        """Say where a reply goes, with what its channel is shown beside it: one look for both. Errors: `NotFound`."""
        where = self._target(query, to)
        sending = self._account(where.account)
        if sending is None or sending.channel is None:
            return where
        asked = surroundings.asked_for(draft, where.conversation, sending.channel.features)
        with contextlib.suppress(NotFound):  # of a file that `format_reply` may take out; it is looked for again
            return replace(where, asked=asked, seen=surroundings.seen(query, asked) if asked else surroundings.NOTHING)
        return where

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

    def _wanted(
        self, account: str, policy: Policy | None, fallback: str, template: str, notice: str
    ) -> tuple[Policy, str]:
        """Say what becomes of a reply that cannot go out, with the account that it goes on from, or the template.

        Errors: `Refuse` where neither is named that the policy needs.
        """
        view = self._sending(account).standing
        wanted = policy or Policy(view.when_closed)
        if fallback and wanted is not Policy.FALLBACK:
            raise Refuse("an account to fall back on is named with policy fallback only")
        if template and wanted is not Policy.TEMPLATE:
            raise Refuse("a template is named with policy template only")
        if wanted not in (Policy.FALLBACK, Policy.TEMPLATE):
            return wanted, ""
        if notice:
            return Policy.REJECT, ""  # it belongs to the talk as it is now
        if wanted is Policy.TEMPLATE:
            if not (template or view.template):
                raise Refuse(f'"{account}" has no template: name one, or set when_closed = "template:NAME"')
            return wanted, template or view.template
        name = fallback or view.fallback
        if not name:
            raise Refuse(f'"{account}" has no account to fall back on: name one, or set when_closed = "fallback:NAME"')
        return wanted, name

    async def _shut(self, where: _Where) -> Refused | None:
        """Say why a conversation cannot be answered now, where another account may; None: it can be, or none may."""
        view = self._sending(where.account).standing
        standing = await self._store.read(lambda q: answers.standing(q, where.conversation))
        if standing is None:
            return None
        code = answers.code_of(standing, view, micros(self._clock.now()))
        return Refused(standing, code) if code is not None and elsewhere.falls_back(code) else None

    async def _go_on(self, shut: Refused, name: str, draft: Draft, asked: _Asked) -> Accepted:
        """Let a reply go on from another account. Errors: `NoAnswer` where it cannot; as `reply`."""
        standing = shut.standing
        for message, account in await self._store.read(lambda q: elsewhere.before(q, standing.id)):
            await self.fall_back(message, account, shut.code)  # nobody overtakes what waits
        try:
            rendition, place = await self._elsewhere(standing, name, draft, automatic=asked.automatic)
            instead = Instead(account=standing.account, conversation=standing.id, code=shut.code)
            result = await self._queue(rendition, asked, Policy.REJECT, thread=place.thread, instead=instead)
        except NoAnswer:
            result = Refused(standing, shut.code)
        if isinstance(result, Refused):
            await self._store.write(tell_refused, (standing.account, standing.id, shut.code, asked.author))
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
        why = f"no address is known that {name} reaches, or it cannot send now"
        try:
            while (waits := await self._store.read(lambda q: elsewhere.stored(q, message))) is not None:
                if await self._falls(message, name, code, waits):
                    return
            return  # it was taken back, or is on its way
        except NoAnswer:
            pass
        except (ReplyError, NotFound) as error:
            why = f"{name}: {error}"
        await self.give_up_falling(message, code, why, said)

    async def _falls(self, message: str, name: str, code: AnswerCode, waits: elsewhere.Stored) -> bool:
        """Let what waits of a message go on from another account; False: it is no longer that which waits.

        Errors: `NoAnswer`, `NotFound`; as `render`.
        """
        standing = await self._store.read(lambda q: answers.standing(q, waits.conversation))
        if standing is None:
            return True
        asked = _Asked(
            author=waits.author, key=message, hash=message, automatic=waits.automatic, principal=elsewhere.KIND
        )
        rendition, place = await self._elsewhere(
            standing, name, waits.draft, without=message, automatic=waits.automatic
        )
        instead = Instead(
            account=waits.account, conversation=waits.conversation, code=code, message=message, parts=waits.parts
        )
        result = await self._queue(rendition, asked, Policy.REJECT, thread=place.thread, instead=instead)
        if isinstance(result, Refused):
            if not result.goes_on:
                raise NoAnswer(Answer(allowed=False))
            return False
        if result.repeated:  # a person sent again what had gone on already
            await self._store.write(fail_fallen, (message, deliveries.FELL_BACK, f"it went on from {name} before"))
        return True

    async def give_up_falling(self, message: str, code: AnswerCode, why: str, said: str = "") -> None:
        """Fail what waits of a message that could not go on elsewhere."""
        said = said or "the conversation could not be answered any more"
        text = f"{said}, and it did not go on elsewhere: {why}"
        await self._store.write(fail_fallen, (message, code.value, text))

    # --- where it cannot go: a template first --------------------------------------------------------

    async def send_template(self, message: str, name: str) -> None:
        """Send the template that the policy of a message names that waits; a second time does nothing.

        What waits fails where the template cannot go.
        """
        waits = await self._store.read(lambda q: elsewhere.stored(q, message))
        if waits is None:
            return
        asked = _Asked(author=waits.author, automatic=waits.automatic)
        try:
            where = await self._store.read(lambda q: self._target(q, waits.conversation))
            rendition = await self._rendered(where, windows.template(name), formatted=True, automatic=waits.automatic)
            await self._queue(rendition, asked, Policy.TEMPLATE, name, opens_for=message)
        except (ReplyError, NotFound) as error:
            await self.give_up_template(message, name, str(error))

    async def give_up_template(self, message: str, name: str, why: str) -> None:
        """Fail what waits of a message whose template could not go."""
        text = f"the provider allows no answer now, and the template {name} did not go: {why}"
        await self._store.write(fail_fallen, (message, AnswerCode.WINDOW_CLOSED.value, text))

    async def _no_answer(self, standing: Standing, sending: Sending) -> NoAnswer:
        others = await self._store.read(lambda q: self.others(q, standing.id, standing.account))
        return no_answer(
            answers.answer_of(standing, sending.standing, self._clock.now(), language=self.language, others=others)
        )

    def _sending(self, account: str) -> Sending:
        if (found := self._account(account)) is None:
            raise NotFound(f'there is no account "{account}"')
        return found

    def others(self, query: Query, conversation: str, account: str) -> list[OtherWay]:
        """Say by which accounts the same contact is reached another way."""
        contacts = [row[0] for row in query.execute(_CONTACT, {"id": conversation})]
        names = [row[0] for row in query.execute("SELECT account FROM account_state ORDER BY account")]
        found = []
        for _, kind, value in people.reached(query, contacts):
            for name in names:
                sending = self._account(name)
                if name == account or sending is None or sending.channel is None:
                    continue
                if kind in sending.channel.features.reaches:
                    found.append(OtherWay(name, kind, value))
        return found

    # --- what people do to a message that is on its way -----------------------------------------

    async def cancel(self, message: str) -> int:
        """Take back what is still queued of a message; gives how many parts. Errors: `NotFound`."""
        return await self._store.write(mending.cancel, message)

    async def resend(self, message: str, author: str) -> int:
        """Send the parts that failed or are uncertain once more; gives how many.

        The customer may get an uncertain part twice: a person decided so. Errors: `NotFound`,
        `Conflict` where nothing failed.
        """
        return await self._store.write(mending.resend, (message, author))

    async def settle(self, delivery: str, verdict: str, author: str) -> None:
        """Say what became of an uncertain part: `sent`, `failed`, or `again` to send it once more.

        Errors: `NotFound`, `Conflict` where it is not uncertain.
        """
        await self._store.write(mending.settle, (delivery, verdict, author))


_TARGET = """
    SELECT c.account, c.id, a.kind, a.value, a.name
    FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id = :id
"""


_THEIRS = """
    SELECT c.id FROM address a JOIN conversation c ON c.address_id = a.id AND c.account = :account AND c.thread = ''
    WHERE a.kind = :kind AND a.scope = :scope AND a.value = :value
"""


_CONTACT = "SELECT contact_id FROM conversation WHERE id = :id"


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a reply goes."""

    account: str
    conversation: str  # empty: there is none yet
    address: Address
    asked: surroundings.Asked | None = None  # what was looked for …
    seen: surroundings.Seen = surroundings.NOTHING  # … and found


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


def _thread(rendition: Rendition, features: Features | None) -> str:
    """Name the thread of a first message."""
    return new_id() if features is not None and features.threads and not rendition.conversation else ""


def _digest(to: Target, draft: Draft, policy: Policy | None, fallback: str, template: str) -> str:
    place = to if isinstance(to, str) else f"{to[0]} {to[1].kind} {to[1].value}"
    said: list[object] = [place, blocks_to_json(draft.blocks), draft.reply_to, draft.subject, policy or ""]
    if draft.cc or draft.bcc:  # without them it is as it was before there were any
        said += [draft.cc, draft.bcc]
    if fallback:
        said.append(fallback)
    if template:
        said.append(["template", template])
    return hashlib.sha256(to_json(said)).hexdigest()


__all__ = ["Replies", "Sending", "Target"]
