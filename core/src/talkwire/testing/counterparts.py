"""What an author gives the kit of notifiers: how a person finds what was shown, and how that place fails.

    class Board(HttpCounterpart):                           # a server on this machine that speaks as the medium does
        def take(self, seen: Seen) -> Reply:
            told = seen.json()
            self.held[told["id"]] = Sight(words=f"{told['title']} {told['text']}", visible=False)
            return Reply(status=204)

    case = NotifierCase(notifier=BoardNotifier, settings={"url": "https://board.example", …}, counterpart=Board)

A counterpart has what its medium has: what it cannot do it leaves out, and the check that wants it is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..notifier import Focus, Notifier
from .case import elsewhere
from .provider import Answers, FakeProvider, Reply, Seen, Step

if TYPE_CHECKING:
    import aiohttp

    from .hub import WholeHub


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One notification, as it stands at the counterpart."""

    words: str  # all that a person reads there: title, text, details
    buttons: tuple[str, ...] = ()  # ids of the actions that can be pressed
    recipient: str = ""  # whose it is: a name or an e-mail address; empty where the counterpart is not told
    visible: bool = True  # a person can see it now; False: it was taken over, and nobody knows more
    raw: str = ""  # all that arrived, for what must not be in it; empty: the words


class Counterpart:
    """Where notifications go, as a person finds it; an async context manager that listens on this machine.

    What has no meaning in a medium raises `NotImplementedError`, as it does here. Each method returns when it is done.
    """

    url: str = ""  # where it listens, without a slash at its end; for `NotifierCase.point_at`

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""

    async def joins(self, client: aiohttp.ClientSession, hub: WholeHub) -> None:
        """Connect to the notifier's own routes, after `open`; called only where the case names a `plugin`.

        `client` has paths of the public port for URLs: `/p/<plugin>/socket`. The kit's recipients are `RECIPIENTS`.
        """

    async def sights(self) -> Sequence[Sight]:
        """Give all that stands there now; wait here for what is still on its way."""
        raise NotImplementedError

    async def goes_down(self) -> None:
        """Be out of reach from now on."""
        raise NotImplementedError

    async def refuses(self) -> None:
        """Say no for ever to whatever comes from now on."""
        raise NotImplementedError

    async def hangs(self) -> None:
        """Take what comes from now on, and do not answer."""
        raise NotImplementedError

    async def reached(self) -> None:
        """Wait until something has come since `hangs`."""
        raise NotImplementedError

    async def recovers(self) -> None:
        """Work again as at first."""
        raise NotImplementedError

    async def confirms(self, notification: str) -> None:
        """Let a person see what was taken over, and say so; only with `features.confirms`."""
        raise NotImplementedError

    async def presses(self, notification: str, action: str) -> None:
        """Press a button."""
        raise NotImplementedError

    async def reads(self, notification: str) -> None:
        """Click or read a notification, without an answer."""
        raise NotImplementedError

    async def looks(self, recipient: str, state: Focus) -> None:
        """Look at a surface of this medium, or away from it."""
        raise NotImplementedError


class HttpCounterpart(Counterpart):
    """A counterpart that is asked over HTTP: a real server on a free port of this machine.

    A subclass writes `take`, and keeps in `held` what stands there.
    """

    def __init__(self) -> None:
        self.held: dict[str, Sight] = {}  # by whatever makes two of the same one
        self.provider = FakeProvider(Answers(accept=lambda seen, _: self.take(seen), refuse=self.no))

    def take(self, seen: Seen) -> Reply:
        """Take a request in, and say yes."""
        raise NotImplementedError(f"{type(self).__name__} has no take")

    def no(self, seen: Seen) -> Reply:
        """Say no for ever."""
        return Reply(status=400)

    async def __aenter__(self) -> Self:
        await self.provider.__aenter__()
        self.url = self.provider.url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.provider.__aexit__(kind, error, trace)

    async def sights(self) -> Sequence[Sight]:
        """Give what was taken. Errors: what `take` raised."""
        for fault in self.provider.faults:
            raise fault
        return tuple(self.held.values())

    async def goes_down(self) -> None:
        """Drop every connection before an answer."""
        self.provider.always(Step(name="down", reply=lambda _a, _s, _i: Reply(), end="reset"))

    async def refuses(self) -> None:
        """Answer what `no` gives."""
        self.provider.always(Step(name="refuse", reply=lambda answers, seen, _: answers.refuse(seen)))

    async def hangs(self) -> None:
        """Take, and say nothing."""
        take = Step(name="hang", reply=lambda answers, seen, id_: answers.accept(seen, id_), taken=True, end="hang")
        self.provider.forget()
        self.provider.always(take)

    async def reached(self) -> None:
        """Wait for a request."""
        await self.provider.arrived()

    async def recovers(self) -> None:
        """Answer again what `take` gives."""
        self.provider.always(
            Step(name="accept", reply=lambda answers, seen, id_: answers.accept(seen, id_), taken=True)
        )


@dataclass(frozen=True, kw_only=True)
class NotifierCase:
    """A notifier, with all that the kit must know to judge it."""

    notifier: type[Notifier]
    settings: Mapping[str, Any]  # valid, as in `[plugins.notify_…]`; secrets of 8 characters and more
    counterpart: Callable[[], Counterpart]  # makes one, which is entered and left
    # (settings, counterpart) → settings for it; None: scheme and host of every URL setting are replaced
    point_at: Callable[[Mapping[str, Any], Counterpart], Mapping[str, Any]] | None = None
    when_down: str = ""  # reason of `Suppressed` where nobody there is no fault: `no_surface`; empty: `TryLater`
    doubles: str = ""  # why what is delivered again shows twice: "Apprise has no key"; the README says so, too
    answers_elsewhere: str = ""  # how a button is answered past the notifier: "POST /api/v1/notifications/ID:answer"
    plugin: Any = None  # module with the plugin's hooks; given: on a whole hub, with its tables, routes and pages
    patience: timedelta = timedelta(seconds=10)  # real time that something which ought to be immediate may take
    secrets: tuple[str, ...] = ()  # secret values beside those of SecretStr settings
    public: frozenset[str] = frozenset()  # settings that sound secret and are not: `public_key`

    @property
    def subject(self) -> type[Notifier]:
        """Give what is judged."""
        return self.notifier

    def pointed_at(self, counterpart: Counterpart) -> Mapping[str, Any]:
        """Make settings for a counterpart."""
        if self.point_at is not None:
            return self.point_at(self.settings, counterpart)
        return elsewhere(self.settings, self.notifier.Settings, counterpart.url)


__all__ = ["Counterpart", "HttpCounterpart", "NotifierCase", "Sight"]
