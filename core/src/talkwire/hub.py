"""The small API that a hook, a route or a command with a parameter `hub` gets."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from . import readmodels
from .actions import Notify
from .errors import Conflict, NotFound
from .ids import new_id
from .messages.filing import Filing
from .model import (
    Accepted,
    Account,
    Address,
    Attachment,
    Contact,
    Conversation,
    Draft,
    Fact,
    First,
    Message,
    Notification,
    Policy,
    Preferences,
    SignalKind,
    State,
)
from .notify import notifying, preferring
from .notify.templates import Does, Templates
from .outbound.outgoing import Replies
from .readmodels import Page, Troubled
from .sessions import Sessions
from .store import Query, Store, Tx
from .telling.tail import Tail
from .work.hints import Hints
from .work.leases import Leases

if TYPE_CHECKING:
    from aiohttp import web

    from .answers import AccountView

T = TypeVar("T")
R = TypeVar("R")


class Principals(Protocol):
    """Knows who makes a request."""

    async def principal(self, request: web.Request) -> Any: ...
    async def key(self, token: str, remote: str) -> Any: ...
    async def sign_in(self, response: web.StreamResponse, principal: Any) -> None: ...


class AnswerHook(Protocol):
    """Does what an answer brings about, inside the transaction in which it wins."""

    def __call__(self, tx: Tx, notification: Notification, answer: str, does: Does) -> None: ...


@dataclass(frozen=True, slots=True)
class _Asking:
    """A plugin's function; the same one is equal, so that the store groups what waits for it."""

    asker: str
    fn: Callable[[Tx, Sequence[Any]], Sequence[Any]]

    def __call__(self, tx: Tx, items: Sequence[Any]) -> Sequence[Any]:
        tx.asker = self.asker
        return self.fn(tx, items)

    def __str__(self) -> str:  # by which whoever holds the writer is named
        return f"{self.asker}: {getattr(self.fn, '__qualname__', 'a function')}"


class Hub:
    """What plugins may do; its methods wait, so only `async def` hooks, routes and commands can call them."""

    def __init__(
        self,
        store: Store,
        replies: Replies,
        tail: Tail,
        hints: Hints,
        view: Callable[[str], AccountView],
        accounts: Callable[[], Sequence[Account]],
        answer_hook: AnswerHook,
        principals: Principals,
        sessions: Sessions,
        filing: Filing,
        leases: Leases,
        templates: Templates,
    ) -> None:
        self._store = store
        self._replies = replies
        self._tail = tail
        self._hints = hints
        self._view = view
        self._accounts = accounts
        self._answer_hook = answer_hook
        self._principals = principals
        self._sessions = sessions
        self._filing = filing
        self._leases = leases
        self._templates = templates
        self.asker = ""  # in whose name; empty: the core's
        self._by_plugin: dict[str, Hub] = {}

    def of(self, plugin: str) -> Hub:
        """Give the hub in the hands of one plugin: what it asks for is asked in its name."""
        if plugin not in self._by_plugin:
            own = self._by_plugin[plugin] = copy.copy(self)
            own.asker = f"plugin:{plugin}"
        return self._by_plugin[plugin]

    # --- the store -------------------------------------------------------------------------------

    async def write(self, fn: Callable[[Tx, Sequence[T]], Sequence[R]], item: T) -> R:
        """Give `item` to the plain function `fn(tx, items)` in a transaction; returns after the commit.

        `fn` gets the items of all who wait for it, returns one result an item in their order, and has no effect but
        through `tx`: it may be run again, alone, after another item's error. It is known by itself: give a function
        of a module, a new closure a call is never grouped.
        Errors: what `fn` raised for this item, nothing being stored; `StoreDown`.
        """
        return await self._store.write(_Asking(self.asker, fn), item)

    async def read(self, fn: Callable[[Query], T]) -> T:
        """Run `fn(query)` in a reader thread, where nothing can be written; at most 50 ms. Errors: `StoreDown`."""
        return await self._store.read(fn)

    # --- replies ---------------------------------------------------------------------------------

    async def reply(
        self,
        to: str | tuple[str, Address],
        draft: Draft,
        *,
        author: str,
        key: str = "",
        policy: Policy | None = None,
        fallback: str = "",
        template: str = "",
        automatic: bool = False,
    ) -> Accepted:
        """Say something in a conversation (its id), or to (account, address).

        Committed when this returns; `author` (`agent:ann`) and `key` make it repeatable: the same again stores
        nothing new. `policy` says what to do where no answer is allowed, `fallback` from which account it goes out by
        policy fallback, `template` which one goes out by policy template while it waits; left out they are what the
        account's `when_closed` says. `automatic`: no person wrote it, so it answers no machine. Errors: `NotFound`, `WindowClosed`, `SessionEnded` and the other `NoAnswer`, `Unsupported`,
        `Refuse`, `KeyReused`, and `Loop` of what is automatic: nothing is stored as sent.
        """
        return await self._replies.reply(
            to,
            draft,
            author=author,
            key=key,
            policy=policy,
            fallback=fallback,
            template=template,
            automatic=automatic,
        )

    # --- live talks ------------------------------------------------------------------------------

    async def end_session(self, conversation: str, reason: str = "agent") -> None:
        """End the live session of a conversation, as its channel would: replies that wait for the customer fail.

        The channel hears of it by the fact `session.ended`. Errors: `NotFound`; `Conflict` where no session lives.
        """
        await self._sessions.end(conversation, reason)

    async def signal(self, conversation: str, signal: SignalKind) -> None:
        """Pass a hint on, at once: best effort, through the channel of this daemon; nothing is stored.

        The action `Signal` is for hooks that cannot wait. Errors: `NotFound`.
        """
        await self._sessions.signal(conversation, signal)

    # --- read models -----------------------------------------------------------------------------

    async def conversations(self, **filters: Any) -> Page[Conversation]:
        """Give a page of conversations, the last moved first; filters as `GET /api/v1/conversations`.

        And `address`, an `Address` of `account`: also the conversation in which nothing was said yet.
        """
        return await self._store.read(lambda query: readmodels.conversations(query, self._view, **filters))

    async def conversation(self, conversation: str) -> Conversation | None:
        """Give one conversation with its `answer`; None: there is none."""
        found = await self._store.read(lambda q: readmodels.conversations_by_id(q, [conversation], self._view))
        return found.get(conversation)

    async def messages(self, conversation: str, **page: Any) -> Sequence[Message]:
        """Give a page of a conversation's messages with their deliveries, in their order; `original` blocks are empty."""
        return await self._store.read(lambda query: readmodels.messages(query, conversation, **page))

    async def message(self, message: str) -> Message | None:
        """Give one message, the whole of it, with its deliveries and changes; None: there is none."""
        found = await self._store.read(lambda query: readmodels.messages_by_id(query, [message], whole=True))
        return found.get(message)

    async def deliveries(self, state: State, **page: Any) -> Page[Troubled]:
        """Give the parts that are `UNCERTAIN` or `FAILED`, the newest first."""
        return await self._store.read(lambda query: readmodels.deliveries(query, state, **page))

    async def contacts(self, **filters: Any) -> Page[Contact]:
        """Give a page of people; filters as `GET /api/v1/contacts`."""
        return await self._store.read(lambda query: readmodels.contacts(query, **filters))

    async def contact(self, contact: str) -> Contact:
        """Give a person with all addresses. Errors: `NotFound`."""
        return await self._store.read(lambda query: readmodels.contact(query, contact))

    async def attachment(self, attachment: str) -> Attachment:
        """Give what is known of an attachment. Errors: `NotFound`."""
        return await self._store.read(lambda query: readmodels.attachment(query, attachment))

    async def keep_file(self, chunks: AsyncIterator[bytes], *, name: str, limit: int) -> Attachment:
        """Keep a file, of at most `limit` bytes; committed when this returns.

        `name` is as it came; the media type is looked up in the bytes. An `Inbound` with `Media(attachment=id)` makes
        the file its message's own; one that no message has used is purged after a day. Errors: `TooLarge`; `Unreadable` where it is empty; what `chunks` raises.
        """
        return await self._filing.keep(chunks, name=name, limit=limit)

    def media_link(self, attachment: Attachment | str) -> str:
        """Give a link to a file (or to its id) that holds for five minutes; empty while it is with its provider.

        Absolute with `server.public_url`, else it begins with a slash.
        """
        return self._filing.link(attachment)

    @property
    def accounts(self) -> Sequence[Account]:
        """List the accounts and how they do."""
        return self._accounts()

    @property
    def public_url(self) -> str:
        """Give the address under which the world finds us, without a slash at its end; empty: not said."""
        return self._filing.public_url

    @property
    def language(self) -> str:
        """Name the language of the instance: `en`, `id`."""
        return self._replies.language

    @property
    def time_zone(self) -> str:
        """Name the time zone of the instance: `Asia/Jakarta`."""
        return self._replies.time_zone

    # --- following -------------------------------------------------------------------------------

    def tail(self, after: int | None = None, types: Sequence[str] = ()) -> AsyncIterator[Fact]:
        """Follow the log on this daemon: no lease, no row. Errors: `HistoryGone`."""
        return self._tail.follow(after, types)

    async def head(self) -> int:
        """Give the position of the log's last fact, for a `tail` that begins there."""
        return await self._store.read(readmodels.head)

    async def publish(self, topic: str, small: Mapping[str, Any]) -> None:
        """Hint at something to all daemons, as JSON of at most 7,000 bytes; may be lost. Errors: `TooLarge`."""
        self._hints.publish(topic, small)

    def subscribe(self, topic: str) -> AsyncIterator[Mapping[str, Any]]:
        """Give the hints of a topic as they come, from when this is waited for; a slow reader loses the oldest."""
        return self._hints.subscribe(topic)

    # --- daemons ---------------------------------------------------------------------------------

    @property
    def daemon(self) -> str:
        """Name this daemon, by an id that is new at each start: for rows that end with it."""
        return self._leases.owner

    async def daemons(self) -> frozenset[str]:
        """Name the daemons that live now, this one among them; one that was killed is named until its lease is over.

        A daemon's lease is over 30 seconds after its last sign of life, and at once where it stops in good order.
        """
        return await self._leases.living()

    # --- people ----------------------------------------------------------------------------------

    async def notify(self, action: Notify) -> None:
        """Show something to a recipient, by the media that the recipient wants; the same key again shows nothing new.

        A recipient who is not there, or a template, comes back as the fact `action.failed`. An answer to one of several
        recipients with the same key ends it for all of them; who is asked after that is asked in vain.
        """
        await self._store.write(_notify, (self.asker, action, new_id(), self._templates))

    async def notifications(self, recipient: str, **page: Any) -> Page[Notification]:
        """Give a recipient's notifications that are open, the newest first; with `open_=False` all of them."""
        return await self._store.read(lambda query: readmodels.notifications(query, recipient, **page))

    async def notification(self, notification: str) -> Notification | None:
        """Give one notification, answered, withdrawn or neither; None: there is none."""
        found = await self._store.read(lambda query: readmodels.notifications_by_id(query, [notification]))
        return found.get(notification)

    async def first_answer(self, notification: str) -> First | None:
        """Give whose answer to a notification was the first, of all who were asked the same; None: nobody's yet."""
        return await self._store.read(lambda query: readmodels.first_answer(query, notification))

    async def answer(self, notification: str, action: str, surface: str) -> Notification:
        """Take the first answer to a notification: the asker's `answer_notification` runs with it, all or nothing.

        `action` is the id of an option, `surface` names where it was pressed, for whoever is second. An action of
        `opens` answers nothing: the notification is read, and stays. Errors: `NotFound`; `Outrun`, naming who was first
        and where, also where another recipient was asked the same; `Conflict` where it was withdrawn or has lapsed;
        what the asker's hook raised: then the answer is not taken, and may be given again.
        """
        result = await self._store.write(_answer, (self._answer_hook, notification, action, surface))
        if isinstance(result, Exception):
            raise result
        return result

    async def seen(self, notification: str) -> None:
        """Note that a recipient has read a notification; twice is no error, nor is one that is gone."""
        await self._store.write(notifying.see, notification)

    async def preferences(self, recipient: str) -> Preferences:
        """Give what a recipient wants, beside what the settings say. Errors: `NotFound`."""
        return await self._store.read(lambda query: preferring.of(query, recipient))

    async def prefer(self, recipient: str, **wants: Any) -> Preferences:
        """Change what a recipient wants, and give all of it; what is not named stays.

        By the names of `Preferences`: `off`, `quiet`, `time_zone`, `language`; None is again as the settings say.
        `mute` and `unmute` name one medium to switch off, or on again. What waits is looked at again with it.
        Errors: `NotFound`; `ValueError` for hours, a time zone or a language that is none.
        """
        return await self._store.write(preferring.prefer, preferring.checked(recipient, wants))

    async def principal(self, request: web.Request) -> Any:
        """Say who makes a request. Errors: a 401 problem; a 403 where another site's page uses a session, a socket's too."""
        return await self._principals.principal(request)

    async def holder(self, key: str, remote: str) -> Any:
        """Say whose API key this is, that came in a frame from `remote`: no URL ever has one. Errors: a 401 problem."""
        return await self._principals.key(key, remote)

    async def sign_in(self, response: web.StreamResponse, principal: Any) -> None:
        """Begin a session for a principal, with a cookie on the response."""
        await self._principals.sign_in(response, principal)

    async def surfaces(self, recipient: str) -> Sequence[tuple[str, str, str]]:
        """Say where a recipient looks now: (id, kind, state) of each surface."""
        return await self._store.read(lambda query: _surfaces(query, recipient))


def _surfaces(query: Query, recipient: str) -> Sequence[tuple[str, str, str]]:
    rows = query.execute("SELECT id, kind, state FROM surface WHERE recipient = :name", {"name": recipient})
    return [(row[0], row[1], row[2]) for row in rows]


def _answer(tx: Tx, items: Sequence[tuple[AnswerHook, str, str, str]]) -> Sequence[Notification | Conflict | NotFound]:
    results: list[Notification | Conflict | NotFound] = []
    notifying.lock(tx, (notification for _, notification, _, _ in items))
    for hook, notification, action, surface in items:
        try:
            taken = notifying.answer(tx, notification, action, surface)
        except (Conflict, NotFound) as lost:
            results.append(lost)  # raised by who asked: here it would roll back those who won
            continue
        if taken.does is not Does.OPEN:
            hook(tx, taken.notification, action, taken.does)
        results.append(taken.notification)
    return results


def _notify(tx: Tx, items: Sequence[tuple[str, Notify, str, Templates]]) -> Sequence[None]:
    for asker, action, key, templates in items:
        notifying.notify(tx, asker, action, key, templates)
    return [None] * len(items)
