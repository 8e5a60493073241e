"""The tree of errors, named for what the caller must do.

TalkwireError
├── Rejected            intake: answer 401, store nothing
├── Unreadable          intake: keep the value as unread
├── SendError           what became of an attempt
│   ├── NotSent         nothing left this machine: the account waits, no attempt counted
│   ├── TryLater        the provider said no for now: again after `after`
│   ├── Wait            nobody is there: held until `wake`
│   ├── Refused         the provider said no for ever: failed
│   │   ├── MarkupRefused   … to the markup: once more as plain text
│   │   └── WindowShut      … because its window for answers has closed: what the reply's policy says
│   ├── Unreachable     this address cannot be reached until it writes again
│   ├── AccountBroken   a person must act: the account's sending sleeps
│   └── Uncertain       not known: said so, never silently sent again
├── ReplyError          a reply that was not stored: tell whoever wrote it
│   ├── Refuse          a hook said no
│   ├── Unsupported     the channel cannot carry a block
│   ├── NoAnswer        the conversation cannot be answered now
│   │   ├── SessionEnded
│   │   ├── WindowClosed
│   │   └── AccountAbsent, AccountIsBroken, AddressUnreachable, Blocked
│   ├── Loop            a machine would answer a machine, or writes there too often: let a person write
│   └── KeyReused       the same idempotency key with another request
├── NotFound            there is no such thing: check the id
│   ├── NoSuchPage      no page gave this cursor: begin with the first
│   └── NothingAnswered the conversation has no message that a reply says it answers: correct it, or leave it out
├── TooLarge            more bytes than we take: send less
├── UnsafeUrl           an address we never call: do not try again
├── Conflict            somebody else was first: look again
│   └── Outrun          … with an answer to a notification: it says who, and where
├── SettingsError       the file is wrong: every fault with its remedy
├── SchemaError         the database is not of this version: `talkwire db upgrade`
└── StoreDown           the database does not answer: try again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from traceback import walk_tb

from .model import Answer, AnswerCode

_LONGEST = timedelta(days=1)  # that a provider lets us wait
_BEFORE_OURS = ("Value error, ", "Assertion failed, ")  # pydantic puts them before a validator's own words


class TalkwireError(Exception):
    """Anything that Talkwire raises on purpose; the text is for a person and holds no secret."""


class Rejected(TalkwireError):
    """This did not come from the provider."""


class Unreadable(TalkwireError):
    """A value of the provider's is not what its documentation says; the text names the place."""


class SendError(TalkwireError):
    """What became of an attempt that brought no receipt."""

    def __init__(self, text: str = "", *, code: str = "") -> None:
        super().__init__(text or code or type(self).__name__)
        self.code = code  # the provider's


class NotSent(SendError):
    """Nothing left this machine."""


class TryLater(SendError):
    """The provider said no for now."""

    def __init__(
        self,
        text: str = "",
        *,
        after: timedelta | None = None,  # at most a day; None: the core's own back-off
        scope: str = "address",  # or `account`: who has to wait
        code: str = "",
    ) -> None:
        super().__init__(text, code=code)
        self.after = min(after, _LONGEST) if after is not None else None
        self.scope = scope


class Wait(SendError):
    """Nobody is there; the part is held until `Channel.wake`."""

    def __init__(self, reason: str = "recipient_offline") -> None:
        super().__init__(reason, code=reason)
        self.reason = reason


class Refused(SendError):
    """The provider said no for ever."""


class MarkupRefused(Refused):
    """The provider could not read our markup and documents that nothing was sent."""


class WindowShut(Refused):
    """The provider says that its window for answers has closed, whatever we thought; nothing was sent."""


class Unreachable(SendError):
    """This address cannot be reached until it writes again."""


class AccountBroken(SendError):
    """The account cannot send until a person acts."""


class Uncertain(SendError):
    """Whether the customer got it is not known."""


class ReplyError(TalkwireError):
    """A reply was not stored."""

    code = "refused"


class Refuse(ReplyError):
    """A hook stops the reply; the text is shown to whoever wrote it."""


class Unsupported(ReplyError):
    """The channel cannot carry a block of the draft."""

    code = "unsupported"

    def __init__(self, text: str, *, block: int = 0, kind: str = "") -> None:
        super().__init__(text)
        self.block = block  # position in the draft, from 0
        self.kind = kind  # the block's type: `card`


class NoAnswer(ReplyError):
    """The conversation cannot be answered now; `answer` says since when, why, which ways are left."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text or (answer.code or "no answer"))
        self.answer = answer
        self.code = str(answer.code or "refused")


class SessionEnded(NoAnswer):
    """The customer's session is over."""


class WindowClosed(NoAnswer):
    """The provider's window for answers has closed."""


class AccountAbsent(NoAnswer):
    """The account's plugin or its settings are gone."""


class AccountIsBroken(NoAnswer):
    """The account cannot send until a person acts."""


class AddressUnreachable(NoAnswer):
    """The address cannot be reached until it writes again."""


class Blocked(NoAnswer):
    """Somebody here blocked the address."""


_BY_CODE: dict[AnswerCode, type[NoAnswer]] = {
    AnswerCode.SESSION_ENDED: SessionEnded,
    AnswerCode.WINDOW_CLOSED: WindowClosed,
    AnswerCode.ACCOUNT_ABSENT: AccountAbsent,
    AnswerCode.ACCOUNT_BROKEN: AccountIsBroken,
    AnswerCode.ADDRESS_UNREACHABLE: AddressUnreachable,
    AnswerCode.BLOCKED: Blocked,
}


def no_answer(answer: Answer) -> NoAnswer:
    """Make the error that fits an answer which is not allowed."""
    return _BY_CODE[answer.code](answer) if answer.code else NoAnswer(answer)


class Loop(ReplyError):
    """An automatic reply that could go on for ever."""

    def __init__(self, text: str, *, code: str = "automatic") -> None:
        super().__init__(text)
        self.code = code  # `automatic`: the last message is a machine's; `automatic_cap`: too many to one address


class KeyReused(ReplyError):
    """The idempotency key was used for another request."""

    code = "key_reused"


class NotFound(TalkwireError):
    """There is no such thing."""


class NoSuchPage(NotFound):
    """No page gave this cursor."""

    def __init__(self) -> None:
        super().__init__("no page gave this; give it as `next` gave it")


class NothingAnswered(NotFound):
    """The conversation has no message that a reply says it answers."""

    def __init__(self) -> None:
        super().__init__("reply_to: no message of this conversation has this id")


class TooLarge(TalkwireError):
    """More bytes than we take."""


class UnsafeUrl(TalkwireError):
    """A foreign URL that we never call: not http, or it leads into a private network."""


class Conflict(TalkwireError):
    """Somebody else was first."""

    def __init__(self, text: str, *, code: str = "conflict") -> None:
        super().__init__(text)
        self.code = code


class Outrun(Conflict):
    """Somebody else answered a notification first."""

    def __init__(self, text: str, *, surface: str, recipient: str, action: str) -> None:
        super().__init__(text, code="already_answered")
        self.surface = surface  # where: `page`, `native:laptop`, `email`
        self.recipient = recipient  # who
        self.action = action  # id of what they chose


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in the settings."""

    path: str  # `accounts.shop-bot.tokn`
    reason: str  # what, and what to do


class SettingsError(TalkwireError):
    """The settings are wrong; all faults at once, and what would only be warned of without them."""

    def __init__(self, file: str, faults: Sequence[Fault], warnings: Sequence[Fault] = ()) -> None:
        self.file = file
        self.faults = tuple(faults)
        self.warnings = tuple(warnings)
        lines = [f"{file}: {_counted(faults, 'fault')}", *_listed(faults)]
        if warnings:
            lines += [f"and {_counted(warnings, 'warning')}", *_listed(warnings)]
        super().__init__("\n".join(lines))


def _counted(faults: Sequence[Fault], word: str) -> str:
    return f"{len(faults)} {word}{'s' if len(faults) != 1 else ''}"


def _listed(faults: Sequence[Fault]) -> list[str]:
    width = max((len(fault.path) for fault in faults), default=0)
    return [f"  {fault.path:<{width}}   {fault.reason}" for fault in faults]


# A library that was made for a command line may end the process; one that throws into generators may end a task of ours.
PLUGIN_MAY_RAISE = (Exception, SystemExit, GeneratorExit)


def line_of(error: BaseException) -> str:
    """Name the line that raised an error, `odd_channel.py:15`: its text may quote a secret, its place does not."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place, trace = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}", trace.tb_next
    return place


def trail_of(error: BaseException) -> list[str]:
    """Name the lines that led to an error, outermost first, and before them those of the errors that it came from.

    For the log, instead of a traceback: its texts may quote what somebody wrote.
    """
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    steps = [f"{Path(frame.f_code.co_filename).name}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return [*(trail_of(before) if before is not None else ()), f"{type(error).__name__}: {' '.join(steps)}"]


def in_our_words(message: str) -> str:
    """Give a message of pydantic's without what it puts before a validator's own words."""
    for prefix in _BEFORE_OURS:
        message = message.removeprefix(prefix)
    return message


class SchemaError(TalkwireError):
    """The database's schema is not the one this version works with."""


class StoreDown(TalkwireError):
    """The database does not answer."""


class HistoryGone(TalkwireError):
    """The cursor is older than the log: begin from a fresh look (410 `cursor_expired`)."""
