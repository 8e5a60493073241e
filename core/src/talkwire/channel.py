"""What the author of a channel subclasses, with the helpers that make 100 lines enough.

A channel translates. It decides nothing and keeps nothing but what `self.keep` keeps for it; its
plain methods touch no network and no clock. One instance serves one account.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

import pydantic

from .errors import (
    AccountBroken,
    NotSent,
    Refused,
    SendError,
    TryLater,
    Uncertain,
    Unreadable,
    Unsupported,
    in_our_words,
)
from .features import Features
from .model import (
    Attachment,
    Batch,
    Draft,
    Envelope,
    Item,
    NotThere,
    Outgoing,
    Rate,
    Receipt,
    RenderContext,
    Rendered,
    SignalKind,
    State,
    Unread,
)

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import web
    from structlog.typing import FilteringBoundLogger

    from .clock import Clock
    from .hub import Hub

T = TypeVar("T")
PLAIN_METHODS = ("prepare", "answer", "authenticate", "parse", "render")  # the core waits for none of them


class Settings(pydantic.BaseModel):
    """An account's table in `talkwire.toml`; subclass it, secrets are `pydantic.SecretStr`."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Answered:
    """What a channel answers to a handshake."""

    __slots__ = ("body", "content_type", "status")

    def __init__(self, body: str = "", *, status: int = 200, content_type: str = "text/plain") -> None:
        self.body = body
        self.status = status
        self.content_type = content_type


class Route:
    """A page or socket of a channel, served under `/c/<account>/`."""

    __slots__ = ("handler", "method", "path")

    def __init__(
        self,
        method: str,
        path: str,
        handler: Callable[..., Awaitable[web.StreamResponse]],  # of a request, and of `hub` where it names it
    ) -> None:
        self.method = method
        self.path = path
        self.handler = handler


class Services(Protocol):
    """What the core lends to a channel; the test kit lends its own."""

    @property
    def account(self) -> str: ...
    @property
    def webhook_url(self) -> str: ...  # where the provider finds us, `https://…/in/<endpoint>`; empty: no public_url
    @property
    def log(self) -> FilteringBoundLogger: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def http(self) -> Http: ...
    @property
    def hub(self) -> Hub: ...

    async def keep(self, name: str, value: str, *, secret: bool = False) -> None: ...
    async def kept(self, name: str) -> str: ...
    async def admit(self, items: Sequence[Item]) -> None: ...
    def wake(self, address: str) -> None: ...
    async def publish(self, topic: str, small: Mapping[str, Any]) -> None: ...
    def fetch_guarded(self, url: str, *, limit: int) -> AsyncIterator[bytes]: ...
    def exchange(self, what: str) -> AbstractAsyncContextManager[Exchange]: ...
    async def attachment(self, attachment: str) -> Attachment: ...
    def open_attachment(self, attachment: str) -> AsyncIterator[bytes]: ...


class Exchange(Protocol):
    """One request and answer that is not HTTP, recorded for `trace`; redacted by the core."""

    def sent(self, text: str) -> None: ...
    def received(self, text: str) -> None: ...


class Answer(Protocol):
    """A provider's HTTP answer, read whole."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...  # names in any case
    @property
    def body(self) -> bytes: ...

    def text(self) -> str: ...
    def json(self) -> Any: ...


class Http(Protocol):
    """The account's way to its provider: records exchanges, redacts, goes only to its own hosts.

    Errors: `NotSent` when nothing left this machine, `Uncertain` when the request began and no
    whole answer came. Any answer, also a 500, is returned.
    """

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | str | aiohttp.FormData | None = None,
        timeout: timedelta | None = None,
    ) -> Answer: ...

    async def get(self, url: str, **options: Any) -> Answer: ...
    async def post(self, url: str, **options: Any) -> Answer: ...
    def download(self, url: str, *, headers: Mapping[str, str] | None = None) -> AsyncIterator[bytes]: ...


_SettingsClass = type[Settings]  # inside `Channel` both words mean its own attributes


class Channel:
    """One account of a way to talk.

    Subclasses set `type`, `Settings`, `features` and write `parse` and `send`; those whose
    `features.webhook` is true write `authenticate` as well.
    """

    type: ClassVar[str] = ""
    Settings: ClassVar[_SettingsClass] = Settings
    features: ClassVar[Features] = Features()

    def __init__(self, settings: Any, services: Services) -> None:
        self.settings = settings
        self.services = services
        self.account = services.account
        self.log = services.log
        self.clock = services.clock
        self.http = services.http
        self.prepare()

    def prepare(self) -> None:
        """Make what is made once for an account, such as checks and tables; no I/O."""

    # --- in: plain methods, no network, no clock -----------------------------------------------

    def answer(self, envelope: Envelope) -> Answered | None:
        """Answer a handshake; None goes on to `authenticate`. Nothing is stored of a handshake."""
        return None

    def authenticate(self, envelope: Envelope) -> None:
        """Raise `Rejected` unless the provider made this envelope."""
        raise NotImplementedError(f"{type(self).__name__} has no authenticate")

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        """Say what a genuine envelope means; what raises becomes `Unread`."""
        raise NotImplementedError(f"{type(self).__name__} has no parse")

    # --- out -----------------------------------------------------------------------------------

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        """Shape a draft; the default follows `features`. Raises `Unsupported`."""
        from .formatting import render

        return render(draft, self.features, context)

    async def send(self, out: Outgoing) -> Receipt:
        """Hand one part to the provider, with at most one request that can show something.

        Errors: a leaf of `SendError`; anything else is taken as `Uncertain`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no send")

    # --- where the provider needs it -------------------------------------------------------------

    async def open(self) -> None:
        """Begin to work: register the webhook here (compare first; called again after faults)."""

    async def close(self) -> None:
        """Stop to work."""

    async def removed(self) -> None:
        """Undo what `open` did at the provider, when the account is forgotten."""

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        """Replace a part in place; only where `features.edits`. An empty part (`Part()`): take it away."""
        raise Refused("this channel cannot edit")

    async def signal(self, address: str, signal: SignalKind) -> None:
        """Pass on a hint; best effort, never queued, never repeated."""

    def listen(self, cursor: str) -> AsyncIterator[Batch]:
        """Fetch from the provider, from `cursor` (empty: from the beginning of time or from now).

        Resumed only after the batch is committed: what follows `yield` is the acknowledgement. It goes on until it is
        cancelled; an empty batch says that it looked. Wait between two: a hundred empty ones within a second are a fault.
        Ends or raises: begun again after a back-off, which grows as long as no batch came.
        """
        raise NotImplementedError(f"{type(self).__name__} has no listen")

    def fetch(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Download an attachment that still lies with the provider (`attachment.handle`)."""
        return self.http.download(attachment.handle)

    async def probe(self) -> str:
        """Ask the provider who we are, for `check --online`; one line for a person."""
        return "nothing to ask"

    async def expires(self) -> Mapping[str, datetime]:
        """Say when what this account signs in with ends, by what people call it: `access token`.

        Asked once it is open, and once a day; `credential.expiring` is told before. What renews itself does not count;
        empty: nothing ends, or nobody knows. What it raises is asked again in an hour.
        """
        return {}

    async def reconcile(self, out: Outgoing) -> Receipt | NotThere:
        """Ask the provider whether a part arrived; raise `Uncertain` where that cannot be known."""
        raise Uncertain("this provider cannot be asked")

    def routes(self) -> Sequence[Route]:
        """Name own sockets and pages, served under `/c/<account>/`."""
        return ()

    @property
    def rates(self) -> Sequence[Rate]:
        """Say how often the provider lets this account send; `features.rates`, unless its settings say otherwise."""
        return self.features.rates

    @classmethod
    def hosts(cls, settings: Any) -> frozenset[str]:
        """Name the hosts (`host` or `host:port`) that `http` may go to.

        The default finds them in every URL of the settings.
        """
        found: set[str] = set()
        for name in type(settings).model_fields:
            value = getattr(settings, name)
            if match := re.match(r"https?://(?:[^/?#@]*@)?([^/?#@]+)", str(value)):
                found.add(match[1].lower())
        return frozenset(found)

    @classmethod
    def meant_by(cls, settings: Any) -> tuple[str, ...]:  # noqa: ARG003  the default has no use for it
        """Name what the provider calls this account: what an item's `to` may say where several share an endpoint.

        The first is this account's alone, any others may be theirs as well: then the first of them is meant. Our own
        name of an account always means it, but a channel knows that of no other account.
        """
        return ()

    # --- given -----------------------------------------------------------------------------------

    @property
    def hub(self) -> Hub:
        """Give the hub, in the name of the plugin that gives this channel: for own sockets, pages and tables.

        There from `open` on; what a provider's envelope or a part needs is done without it.
        """
        return self.services.hub

    async def keep(self, name: str, value: str, *, secret: bool = False) -> None:
        """Keep a small durable value (64 kB at most); committed when this returns."""
        await self.services.keep(name, value, secret=secret)

    async def kept(self, name: str) -> str:
        """Give a kept value, empty where there is none."""
        return await self.services.kept(name)

    async def admit(self, items: Sequence[Item]) -> None:
        """Take in what came over an own connection; committed when this returns.

        Errors: `Unreadable`, naming what cannot be stored; the other items are. `StoreDown`: nothing is.
        """
        await self.services.admit(items)

    def wake(self, address: str) -> None:
        """Let the parts go on that wait for this address (`Wait`)."""
        self.services.wake(address)

    async def publish(self, topic: str, small: Mapping[str, Any]) -> None:
        """Hint at something to all daemons; may be lost."""
        await self.services.publish(topic, small)


# --- helpers -------------------------------------------------------------------------------------


def each(values: Iterable[T], one: Callable[[T], Iterable[Item]]) -> Iterable[Item]:
    """Read values one by one: one that raises becomes `Unread`, the others go on."""
    for value in values:
        try:
            yield from list(one(value))
        except Unreadable as error:
            yield Unread(str(error))
        except Exception as error:  # noqa: BLE001  law 7: whatever it was, the value is kept and shown
            yield Unread(f"{type(error).__name__} in {getattr(one, '__name__', 'parse')}")


class Payload(pydantic.BaseModel):
    """A strict model of what a provider sends; unknown keys are left alone."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read a value: bytes or text are JSON, anything else is taken as it is.

        Errors: `Unreadable`, naming the place, never the content.
        """
        try:
            if isinstance(value, bytes | bytearray | str):
                return cls.model_validate_json(value)
            return cls.model_validate(value)
        except pydantic.ValidationError as error:
            raise Unreadable(f"{cls.__name__}: {_places(error)}") from None
        except RecursionError as error:
            raise Unreadable(f"{cls.__name__}: nested too deeply") from error


def _places(error: pydantic.ValidationError) -> str:
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(
        f"{'.'.join(str(step) for step in fault['loc']) or 'the whole'}: {in_our_words(fault['msg'])}"
        for fault in faults[:3]
    )


def outcome(
    answer: Answer, table: Mapping[int | str, type[SendError] | SendError] | None = None, *, code: str = ""
) -> None:
    """Raise what an HTTP answer means; return where it is a plain yes (2xx and no `code`).

    `table` maps a provider's code or an HTTP status to an error; a code goes before a status.
    Without an entry: 429 is `TryLater` with its Retry-After, 401 and 403 are `AccountBroken`,
    408 and 5xx are `Uncertain`, any other 4xx is `Refused`.
    """
    entry = (table or {}).get(code) if code else None
    if entry is None:
        entry = (table or {}).get(answer.status)
    if entry is not None:
        raise entry if isinstance(entry, SendError) else entry(f"HTTP {answer.status} {code}".strip(), code=code)
    status = answer.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and not code:
        return
    name = code or str(status)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise TryLater(f"HTTP {status}", after=retry_after(answer.headers), scope="account", code=name)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise AccountBroken(f"the provider refused our credentials (HTTP {status})", code=name)
    if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Uncertain(f"HTTP {status}", code=name)
    raise Refused(f"HTTP {status}", code=name)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Read Retry-After in seconds, thirty years at most; None where it is missing or a date."""
    value = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
    # More digits than nine are more than a `timedelta` may hold.
    return timedelta(seconds=int(value[:9])) if re.fullmatch("[0-9]+", value) else None


_E164 = re.compile(r"\+[1-9][0-9]{5,14}")


def phone(text: str, default_country: str = "") -> str:
    """Write a phone number as E.164 with a plus sign.

    `default_country` is a calling code (`62`); it replaces one leading zero, and stands before a
    number that has neither plus nor `00`. Without it such a number is taken to begin with its
    calling code, as gateways send them. Short codes have no E.164 form.

    Errors: `Unreadable`.
    """
    digits = re.sub(r"[\s().\-/]", "", text)
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    elif default_country and digits.startswith("0"):
        digits = f"+{default_country}{digits[1:]}"
    elif not digits.startswith("+"):
        known = not default_country or digits.startswith(default_country)
        digits = f"+{'' if known else default_country}{digits}"
    if not _E164.fullmatch(digits):
        raise Unreadable("not a phone number")
    return digits


__all__ = [
    "Answered",
    "Channel",
    "Http",
    "NotSent",
    "Payload",
    "Route",
    "Services",
    "Settings",
    "State",
    "Unsupported",
    "each",
    "outcome",
    "phone",
    "retry_after",
]
