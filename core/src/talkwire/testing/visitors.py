"""What an author gives the kit where people come over connections of the channel's own: how one of them speaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from ..model import Delivery, State

if TYPE_CHECKING:
    import aiohttp


class Visitor(Protocol):
    """One page of one person, as it behaves in a browser: it resumes, and shows a part once however often it comes.

    The kit calls one method at a time; an error that one raises ends the check, and is named.
    """

    @property
    def got(self) -> Sequence[str]:
        """Texts of the replies that this page shows, in the order in which they came."""

    async def says(self, text: str, id_: str) -> None:
        """Write, under this id of the page's own; returns when the channel says that it has it."""

    async def hears(self) -> object:
        """Take in the next thing that comes, and note it in `got` where it is a reply; waits for it, and gives it."""

    async def leaves(self) -> None:
        """Lose the line, without a word."""

    async def returns(self) -> None:
        """Connect again, with all that the page knows; returns when the channel says that the visitor is in."""

    async def ends(self) -> None:
        """Say that the talk is over, as a person who closes it; the line stays.

        Errors: `NotImplementedError` where the channel has no word for it.
        """

    async def sees(self, part: Delivery, state: State) -> None:
        """Tell that a part was delivered or read, by the name that pages have for it.

        `part.id` is `Outgoing.key`, `part.external_id` that of the receipt, `part.message` the message's id.
        Called only where `features.reports` is more than SENT.
        """


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """How people come over connections of the channel's own, and how long they may be away."""

    # client.ws_connect(f"/c/{account}/socket") connects to the channel's own route.
    visit: Callable[
        [aiohttp.ClientSession, str, str], Awaitable[Visitor]
    ]  # (client of the public port, account, who) → a page
    #   of theirs, connected; the same who again: another page of the same person
    grace: timedelta  # from the loss of the last line to the end of the session
    plugin: Any = None  # module or object with the plugin's hooks; None: the package in which the channel stands
    patience: timedelta = timedelta(seconds=5)  # real time that something which ought to be immediate may take


__all__ = ["Sessions", "Visitor"]
