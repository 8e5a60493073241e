"""What Telegram's noes mean, as python-telegram-bot tells them.

    NotSent, Uncertain     as they come: calls.py lets through what the HTTP client knew
    RetryAfter, 429        TryLater, for this chat or for the whole bot: `Floods` says which
    InvalidToken           AccountBroken; Refused where an older Bot API server lacks the method, which is a 404 too
    Forbidden              Unreachable
    BadRequest             by its words: MarkupRefused, Unreachable; any other is Refused
    Conflict               TryLater for the account: somebody else asks for the bot's updates
    any other              Uncertain; a 5xx is one of them, and Telegram folds no repeats

`BadRequest` is a `NetworkError`, so it is looked for first.

Source: Bot API 10.1, "Making requests", "ResponseParameters"; python-telegram-bot 22.8, `telegram/error.py`. The words of
the noes are documented nowhere: these are written from what bots have seen, not tried at Telegram.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)

from talkwire import AccountBroken, MarkupRefused, Refused, SendError, TryLater, Uncertain, Unreachable

_LONGEST = 200  # characters of the provider's words that we keep

# Words of a 400 → what it means; compared in lower case, for python-telegram-bot writes them so.
_WORDS: tuple[tuple[str, type[SendError]], ...] = (
    ("can't parse entities", MarkupRefused),
    ("can't parse messageentity", MarkupRefused),
    ("entity_bounds_invalid", MarkupRefused),
    ("entities_too_long", MarkupRefused),
    ("chat not found", Unreachable),
    ("user not found", Unreachable),
    ("peer_id_invalid", Unreachable),
    ("group chat was deactivated", Unreachable),
    ("chat_write_forbidden", Unreachable),
)
_NO_REPLY = ("message to be replied not found", "reply message not found", "message to reply not found")
_NO_PHOTO = ("photo_invalid_dimensions", "image_process_failed", "photo_ext_invalid", "photo_save_file_invalid")
_NO_VOICE = ("voice_messages_forbidden",)
_NO_METHOD = ("method not found",)  # tdlib/telegram-bot-api 10.0, Client.cpp, read 2026-11-29
_UNCHANGED = "message is not modified"
_GONE = "message to delete not found"
_TOO_LARGE = ("request entity too large", "(413)")
_TOO_MANY = ("too many requests", "(429)")


class Floods:
    """Who has to wait after a 429, which names nobody.

    Groups have a limit of their own. A person's chat has one, too, but a second one that is told to wait while a first one
    waits says that the bot as a whole sends too much.
    """

    def __init__(self) -> None:
        self._waits: dict[str, datetime] = {}  # chat → until when

    def scope(self, chat: str, now: datetime, after: timedelta) -> str:
        """Say whether the `address` or the `account` waits."""
        if chat.startswith("-"):
            return "address"
        self._waits = {other: until for other, until in self._waits.items() if until > now}
        self._waits[chat] = now + after
        return "account" if len(self._waits) > 1 else "address"


def meaning(
    error: Exception, *, chat: str = "", now: datetime | None = None, floods: Floods | None = None, hide: str = ""
) -> SendError:
    """Say what an error of a call means for what was sent.

    `chat` is whom it went to; `now` and `floods` say who waits after a 429, without them the chat does. `hide` is a
    secret that Telegram may repeat in its words.
    """
    if isinstance(error, SendError):
        return error
    if isinstance(error.__cause__, SendError):
        return error.__cause__
    words = _words(error, hide)
    match error:
        case RetryAfter():
            after = (
                error.retry_after if isinstance(error.retry_after, timedelta) else timedelta(seconds=error.retry_after)
            )
            scope = floods.scope(chat, now, after) if floods is not None and now is not None else "address"
            return TryLater(words, after=after, scope=scope, code="429")
        case ChatMigrated():
            return Refused(words, code="400")
        case InvalidToken() if _says(words, _NO_METHOD):
            return Refused(words, code="404")
        case InvalidToken():  # its words may hold the token
            return AccountBroken(
                "Telegram does not know the bot: put the token that @BotFather shows into the account's `token`, "
                "and look at its `api_url`",
                code="401",
            )
        case Forbidden():
            return Unreachable(words, code="403")
        case BadRequest():
            kind = next((kind for said, kind in _WORDS if said in words.lower()), Refused)
            return kind(words, code="400")
        case Conflict():
            return TryLater(words, scope="account", code="409")
    if _says(words, _TOO_LARGE):
        return Refused("the file is larger than the Bot API takes", code="413")
    if _says(words, _TOO_MANY):
        return TryLater(words, code="429")
    return Uncertain(words)


def lacks_what_is_replied_to(error: BadRequest) -> bool:
    """Say whether the message that was to be answered is gone; nothing was sent."""
    return _says(error.message, _NO_REPLY)


def is_no_photo(error: BadRequest) -> bool:
    """Say whether a picture cannot be shown as one; nothing was sent."""
    return _says(error.message, _NO_PHOTO)


def takes_no_voice(error: BadRequest) -> bool:
    """Say whether somebody takes no voice notes; nothing was sent."""
    return _says(error.message, _NO_VOICE)


def is_unchanged(error: BadRequest) -> bool:
    """Say whether an edit found what it wanted to write."""
    return _says(error.message, (_UNCHANGED,))


def is_gone(error: BadRequest) -> bool:
    """Say whether there is nothing left to take away."""
    return _says(error.message, (_GONE,))


def _says(words: str, known: tuple[str, ...]) -> bool:
    return any(one in words.lower() for one in known)


def quoted(words: str, hide: str) -> str:
    """Give words of Telegram's at the length that we keep, without a secret that they repeat.

    What is cut first may hold half of the secret, which nobody finds.
    """
    said = words.replace(hide, "…") if hide else words
    return said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"


def _words(error: Exception, hide: str) -> str:
    return quoted(error.message, hide) if isinstance(error, TelegramError) else type(error).__name__
