"""The small API that a hook, a route or a command with a parameter `hub` gets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from . import notifying, readmodels
from .actions import Notify
from .hints import Hints
from .ids import new_id
from .log import Tail
from .model import (
    Accepted,
    Account,
    Address,
    Attachment,
    Contact,
    Conversation,
    Draft,
    Fact,
    Message,
    Notification,
    Policy,
    State,
)
from .outgoing import Replies
from .readmodels import Page, Troubled
from .store import Query, Store, Tx

if TYPE_CHECKING:
    from aiohttp import web

    from .answers import AccountView

T = TypeVar("T")
R = TypeVar("R")


class Principals(Protocol):
    """Knows who makes a request."""

    async def principal(self, request: web.Request) -> Any: ...
    async def sign_in(self, response: web.StreamResponse, principal: Any) -> None: ...


class AnswerHook(Protocol):
    """Calls the asker's `answer_notification` inside the transaction in which an answer wins."""

    def __call__(self, tx: Tx, notification: Notification, answer: str) -> None: ...


class Hub:
    """What plugins may do."""

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
        plugin: str = "",
    ) -> None:
        self._store = store
        self._replies = replies
        self._tail = tail
        self._hints = hints
        self._view = view
        self._accounts = accounts
        self._answer_hook = answer_hook
        self._principals = principals
        self._plugin = plugin
        self._wrapped: dict[Any, Any] = {}

    def of(self, plugin: str) -> Hub:
        """Give the hub in the hands of one plugin: what it asks for is asked in its name."""
        return Hub(
            self._store,
            self._replies,
            self._tail,
            self._hints,
            self._view,
            self._accounts,
            self._answer_hook,
            self._principals,
            plugin,
        )

    # --- writing and reading ---------------------------------------------------------------------

    async def write(self, fn: Callable[[Tx, Sequence[T]], Sequence[R]], item: T) -> R:
        """Give `item` to the plain function `fn(tx, items)`; returns its result after the commit.

        `fn` gets all items that wait for it and returns one result each, in order. Errors: what `fn` raised
        for this item, `StoreDown`.
        """
        return await self._store.write(self._asking(fn), item)

    async def read(self, fn: Callable[[Query], R]) -> R:
        """Run the plain function `fn(query)` on a connection that cannot write. Errors: `StoreDown`."""
        return await self._store.read(fn)

    def _asking(self, fn: Callable[[Tx, Sequence[T]], Sequence[R]]) -> Callable[[Tx, Sequence[T]], Sequence[R]]:
        """Give `fn` so that its `tx.act` speaks for this plugin; the same `fn` gives the same."""
        if fn not in self._wrapped:
            asker = f"plugin:{self._plugin}"

            def asking(tx: Tx, items: Sequence[T]) -> Sequence[R]:
                tx.asker = asker
                return fn(tx, items)

            asking.__qualname__ = getattr(fn, "__qualname__", "fn")
            self._wrapped[fn] = asking
        found: Callable[[Tx, Sequence[T]], Sequence[R]] = self._wrapped[fn]
        return found

    # --- replies ---------------------------------------------------------------------------------

    async def reply(
        self,
        to: str | tuple[str, Address],
        draft: Draft,
        *,
        author: str,
        key: str = "",
        policy: Policy | None = None,
    ) -> Accepted:
        """Say something in a conversation (its id), or to (account, address).

        Errors: `NotFound`, `WindowClosed`, `SessionEnded` and the other `NoAnswer`, `Unsupported`, `Refuse`,
        `KeyReused`: nothing is stored as sent.
        """
        return await self._replies.reply(to, draft, author=author, key=key, policy=policy)

    # --- read models -----------------------------------------------------------------------------

    async def conversations(self, **filters: Any) -> Page[Conversation]:
        """Give a page of conversations, the last moved first; filters as `GET /api/v1/conversations`."""
        return await self._store.read(lambda query: readmodels.conversations(query, self._view, **filters))

    async def conversation(self, conversation: str) -> Conversation | None:
        """Give one conversation with its `answer`; None: there is none."""
        found = await self._store.read(lambda q: readmodels.conversations_by_id(q, [conversation], self._view))
        return found.get(conversation)

    async def messages(self, conversation: str, **page: Any) -> Sequence[Message]:
        """Give a page of a conversation's messages with their deliveries, in their order."""
        return await self._store.read(lambda query: readmodels.messages(query, conversation, **page))

    async def deliveries(self, state: State, **page: Any) -> Page[Troubled]:
        """Give the parts that are `UNCERTAIN` or `FAILED`, the newest first."""
        return await self._store.read(lambda query: readmodels.deliveries(query, state, **page))

    async def contact(self, contact: str) -> Contact:
        """Give a person with all addresses. Errors: `NotFound`."""
        return await self._store.read(lambda query: readmodels.contact(query, contact))

    async def attachment(self, attachment: str) -> Attachment:
        """Give what is known of an attachment. Errors: `NotFound`."""
        return await self._store.read(lambda query: readmodels.attachment(query, attachment))

    @property
    def accounts(self) -> Sequence[Account]:
        """List the accounts and how they do."""
        return self._accounts()

    # --- following -------------------------------------------------------------------------------

    def tail(self, after: int | None = None, types: Sequence[str] = ()) -> AsyncIterator[Fact]:
        """Follow the log on this daemon: no lease, no row. Errors: `HistoryGone`."""
        return self._tail.follow(after, types)

    async def publish(self, topic: str, small: Mapping[str, Any]) -> None:
        """Hint at something to all daemons; may be lost."""
        self._hints.publish(topic, small)

    def subscribe(self, topic: str) -> AsyncIterator[Mapping[str, Any]]:
        """Give the hints of a topic as they come; a slow reader loses the oldest."""
        return self._hints.subscribe(topic)

    # --- people ----------------------------------------------------------------------------------

    async def notify(self, action: Notify) -> None:
        """Show something to a recipient, by the media that the recipient wants."""
        await self._store.write(_notify, (f"plugin:{self._plugin}", action, new_id()))

    async def answer(self, notification: str, action: str, surface: str) -> Notification:
        """Take an answer. Errors: `NotFound`; `Conflict` naming the surface that was first."""
        return await self._store.write(self._answer, (notification, action, surface))

    @cached_property
    def _answer(self) -> Callable[[Tx, Sequence[tuple[str, str, str]]], Sequence[Notification]]:
        hook = self._answer_hook

        def answer(tx: Tx, items: Sequence[tuple[str, str, str]]) -> Sequence[Notification]:
            results = []
            for notification, action, surface in items:
                found, _ = notifying.answer(tx, notification, action, surface)
                hook(tx, found, action)
                results.append(found)
            return results

        return answer

    async def principal(self, request: web.Request) -> Any:
        """Say who makes a request. Errors: a 401 problem."""
        return await self._principals.principal(request)

    async def sign_in(self, response: web.StreamResponse, principal: Any) -> None:
        """Begin a session for a principal, with a cookie on the response."""
        await self._principals.sign_in(response, principal)

    async def surfaces(self, recipient: str) -> Sequence[tuple[str, str, str]]:
        """Say where a recipient looks now: (id, kind, state) of each surface."""
        return await self._store.read(lambda query: _surfaces(query, recipient))


def _surfaces(query: Query, recipient: str) -> Sequence[tuple[str, str, str]]:
    rows = query.execute("SELECT id, kind, state FROM surface WHERE recipient = :name", {"name": recipient})
    return [(row[0], row[1], row[2]) for row in rows]


def _notify(tx: Tx, items: Sequence[tuple[str, Notify, str]]) -> Sequence[None]:
    for asker, action, key in items:
        notifying.notify(tx, asker, action, key)
    return [None] * len(items)
