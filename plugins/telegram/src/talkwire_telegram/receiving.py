"""The way in: Telegram calls our endpoint, or we ask it; an account does one or the other.

    called   open: setWebhook, where what stands there is not what we want ─▶ looked at again every ten minutes
    asking   open: deleteWebhook, if one stands there ─▶ getUpdates ─▶ kept ─▶ getUpdates(offset: all before is taken) ─▶ …

Telegram keeps an update for a day, until we answered its call with 200, or asked with an offset above it. So the offset
moves only when a batch is committed. Ids of updates grow by one, but after a week without any they go on anywhere: an
offset is told once, and one that was kept for longer than Telegram keeps updates is not told any more. What comes twice
for that is known by its own ids.

An account belongs to one bot: another one counts the ids of its messages and its updates anew, so that its messages
would be taken for known ones, and an offset of the first would confirm what nobody read. A renewed token has the same id.

The secret that Telegram shows at each call is made of the bot's token: so each daemon knows it without being told, it
is there before anything is opened, and another token makes another one. Nobody learns the token from it.

Source: Bot API 10.1, "Getting updates", "setWebhook", "getFile", read 2026-11-28.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, RetryAfter, TelegramError

from talkwire import AccountBroken, Attachment, Batch, Envelope, Refused, SendError, TryLater, Uncertain, auth

from .calls import TelegramBot
from .errors import quoted
from .reading import ALLOWED_UPDATES

if TYPE_CHECKING:
    from .channel import Telegram

_OFFICIAL = "api.telegram.org"
_PORTS = (443, 80, 88, 8443)  # on which Telegram's own servers call
_REGISTERED = "webhook"  # name under which is kept what Telegram was told: of the secret it does not say it
_BOT = "bot"  # name under which is kept whose account it is: what stands before the colon of the token
_HEADER = "X-Telegram-Bot-Api-Secret-Token"
_LONG = timedelta(seconds=50)  # that a question waits for an answer at Telegram
_PATIENCE = timedelta(seconds=10)  # with the answer beyond that
_MOST = 100  # updates of one answer; fewer after one that failed, for it may have been too large
_AT_LEAST = timedelta(seconds=1)  # between two questions that brought nothing
_KEPT = timedelta(hours=23)  # Telegram keeps updates for a day
_LOOK_AGAIN = timedelta(minutes=10)
# Bytes that Telegram gives to a bot: its "20MB" are MiB. Source: tdlib/telegram-bot-api 10.0, Client.h, read 2026-11-29.
_FILE_LIMIT = 20 * 1024**2
_NOTHING = "0"  # the cursor where there is nothing to tell Telegram


def webhook_secret(token: str) -> str:
    """Make what Telegram must show of a bot's token: 64 of 0-9, a-f."""
    return hmac.new(token.encode(), b"talkwire: secret of the webhook", hashlib.sha256).hexdigest()


class Receiving:
    """How one bot hears of what people write."""

    def __init__(self, channel: Telegram, bot: TelegramBot) -> None:
        self._channel = channel
        self._settings = channel.settings
        self._bot = bot
        self._secret = webhook_secret(channel.settings.token.get_secret_value())
        self._shows_secret = auth.shared_header(_HEADER, self._secret)
        self._last_call: datetime | None = None  # of Telegram's, here; None: there was none
        self._id = _id_of(channel.settings.token.get_secret_value())
        self._is_known = False  # as the bot whose account this is
        self._is_official = urlsplit(channel.settings.api_url).hostname == _OFFICIAL
        self._most = _MOST
        self._disturbed = False  # another program asked, or a webhook stands in our way

    def authenticate(self, envelope: Envelope) -> None:
        """Let in what shows the secret; that Telegram reached us is noted. Errors: `Rejected`."""
        self._shows_secret(envelope)
        self._last_call = envelope.received_at

    @property
    def is_called(self) -> bool:
        """Say whether Telegram calls us."""
        wanted, url = self._settings.updates, self._channel.services.webhook_url
        return wanted == "webhook" or (wanted == "auto" and url.startswith("https:") and not self._fault(url))

    def _fault(self, url: str) -> str:
        """Say why Telegram cannot call there; empty: it can."""
        where = urlsplit(url)
        if not url:
            return "there is no [server] public_url"
        if self._is_official and where.scheme != "https":
            return f"{url} is not https"
        if self._is_official and (where.port or 443) not in _PORTS:
            return f"{url} is not on one of the ports {', '.join(map(str, _PORTS))}"
        return ""

    # --- called or asking ------------------------------------------------------------------------

    async def open(self) -> None:
        """Let Telegram call us, or be asked; compares first, so that a second time changes nothing.

        Errors: `AccountBroken`, also where the token is of another bot than before; `TryLater`, `NotSent`, `Uncertain`.
        """
        await self.look_whose()
        if self.is_called:
            await self._register()
        else:
            await self._unregister()
        if self._id and not self._is_known:  # only now: Telegram knows the token, so it is no slip of the hand
            await self._channel.keep(_BOT, self._id)
            self._is_known = True

    async def look_whose(self) -> None:
        """Look whether the account is this bot's, or nobody's yet; asks our store once. Errors: `AccountBroken`."""
        if self._is_known or not self._id:
            return
        before, name = await self._channel.kept(_BOT), self._channel.account
        self._is_known = before == self._id
        if self._is_known or not before:
            return
        raise AccountBroken(
            f"this is another bot than before (id {self._id} instead of {before}): give it an account of its own and put the"
            f" first one's token back, or take accounts.{name} out of the settings, forget it (talkwire accounts forget"
            f" {name}), and put it in again"
        )

    async def removed(self) -> None:
        """Let Telegram call us no more; a webhook of somebody else's stays."""
        url = (await self._call("getWebhookInfo")).get("url")
        if url and url == self._channel.services.webhook_url:
            await self._call("deleteWebhook", {"drop_pending_updates": False})
        await self._channel.keep(_REGISTERED, "")

    async def _register(self) -> dict[str, Any]:
        """Tell Telegram to call us, where it knows anything else; gives what it knew before."""
        url = self._channel.services.webhook_url
        if fault := self._fault(url):
            raise AccountBroken(
                f'Telegram cannot call us: {fault}. Change it, or set accounts.{self._channel.account}.updates = "poll"'
            )
        wanted = {"url": url, "max_connections": self._settings.max_connections, "allowed_updates": [*ALLOWED_UPDATES]}
        told = hashlib.sha256(json.dumps([wanted, self._secret]).encode()).hexdigest()
        info: dict[str, Any] = await self._call("getWebhookInfo")
        if await self._channel.kept(_REGISTERED) == told and _stands(info, wanted):
            return info
        await self._call("setWebhook", wanted | {"secret_token": self._secret, "drop_pending_updates": False})
        await self._channel.keep(_REGISTERED, told)
        self._channel.log.info("webhook registered", url=url)
        return info

    async def _unregister(self) -> None:
        url = str((await self._call("getWebhookInfo")).get("url") or "")
        if url:
            await self._call("deleteWebhook", {"drop_pending_updates": False})
            self._channel.log.warning("webhook taken away, for we ask now", host=urlsplit(url).hostname)
        if await self._channel.kept(_REGISTERED):
            await self._channel.keep(_REGISTERED, "")

    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        """Ask for updates, from `cursor` on; where Telegram calls us, look whether it reaches us.

        Gives an empty batch where nothing came, so that it is seen that we asked. Errors: as `open`.
        """
        if self.is_called:
            while True:
                self._look_at(await self._register())
                await self._channel.clock.wait(asyncio.Event(), self._channel.clock.now() + _LOOK_AGAIN)
        if self._disturbed:
            await self._unregister()
            self._disturbed = False
        clock, loop = self._channel.clock, asyncio.get_running_loop()
        offset = self._offset(cursor)
        while True:
            began = loop.time()
            updates = await self._updates(offset)
            if updates:
                offset = max(update["update_id"] for update in updates) + 1
                now = clock.now()
                yield Batch(tuple(self._envelope(update) for update in updates), f"{offset} {int(now.timestamp())}")
                continue
            offset = None
            yield Batch((), _NOTHING)
            if loop.time() - began < _AT_LEAST.total_seconds():  # it does not wait for us
                await clock.wait(asyncio.Event(), clock.now() + _AT_LEAST)

    def _offset(self, cursor: str) -> int | None:
        offset, _, at = cursor.partition(" ")
        if not at.isdecimal() or int(at) < (self._channel.clock.now() - _KEPT).timestamp():
            return None
        return int(offset)

    async def _updates(self, offset: int | None) -> list[dict[str, Any]]:
        """Ask once; what is no update would have no number to go on from, and is left out."""
        wait = int(_LONG.total_seconds())
        asked = {"offset": offset, "limit": self._most, "timeout": wait, "allowed_updates": [*ALLOWED_UPDATES]}
        try:
            found = await self._call("getUpdates", asked, within=_LONG + _PATIENCE)
        except Uncertain:
            self._most = max(1, self._most // 4)
            raise
        self._most = min(_MOST, self._most * 2)
        updates = found if isinstance(found, list) else []
        return [one for one in updates if isinstance(one, dict) and isinstance(one.get("update_id"), int)]

    def _envelope(self, update: dict[str, Any]) -> Envelope:
        return Envelope(
            endpoint=self._channel.account,
            method="POST",
            path="",
            headers={"content-type": "application/json"},
            query=(),
            body=json.dumps(update).encode(),
            remote=urlsplit(self._settings.api_url).hostname or "",
            received_at=self._channel.clock.now(),
        )

    def _look_at(self, info: dict[str, Any]) -> None:
        """Say so where Telegram does not reach us, or was told otherwise since we told it. Errors: `TryLater`."""
        if (url := str(info.get("url") or "")) != self._channel.services.webhook_url:
            raise TryLater(
                f"Telegram called {urlsplit(url).hostname if url else 'nobody'} instead of us, as another program told it;"
                f" now it calls us again. Stop the other program, or give the account {self._channel.account} a bot of"
                " its own"
            )
        failed, waiting = info.get("last_error_date"), info.get("pending_update_count")
        if not isinstance(failed, int) or not waiting:
            return
        # The date stays when it works again: webhook_error, webhook_success (tdlib/telegram-bot-api 10.0, Client.cpp).
        if self._last_call is not None and self._last_call.timestamp() > failed:
            return
        if failed > (self._channel.clock.now() - _LOOK_AGAIN).timestamp():
            said = self._quoted(str(info.get("last_error_message") or "without a reason"))
            raise TryLater(f"Telegram does not reach us ({said}); {waiting} updates wait there")

    # --- files and names -------------------------------------------------------------------------

    async def fetch(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Download a file. Errors: `Refused` where Telegram never gives it; as `open`."""
        handle = json.loads(attachment.handle)
        size = handle.get("size")
        if self._is_official and isinstance(size, int) and size > _FILE_LIMIT:
            raise Refused(f"the file has {size / 1e6:.1f} MB; Telegram gives a bot {_FILE_LIMIT >> 20} MB at most")
        try:
            file = await self._bot.call("getFile", {"file_id": handle["file_id"]})
        except BadRequest as error:
            if "temporarily" in error.message:
                raise Uncertain(f"Telegram does not give the file now ({self._quoted(error.message)})") from None
            raise Refused(f"Telegram does not give the file ({self._quoted(error.message)})") from None
        except TelegramError as error:
            raise self._meaning(error) from None
        path = file.get("file_path")
        if not isinstance(path, str) or path.startswith("/"):
            raise Refused("Telegram's server keeps the file on its own disk (it runs with --local)")
        token = self._settings.token.get_secret_value()
        url = f"{self._settings.api_url.rstrip('/')}/file/bot{token}/{quote(path)}"
        async for piece in self._channel.http.download(url):
            yield piece

    async def probe(self) -> str:
        """Ask who we are, and how messages come. Errors: as `open`."""
        me, info = await self._call("getMe"), await self._call("getWebhookInfo")
        url = str(info.get("url") or "")
        way = f"Telegram calls {urlsplit(url).netloc}" if url else "Telegram is asked"
        waiting = info.get("pending_update_count") or 0
        return f"@{me.get('username')} ({me.get('first_name')}); {way}, {waiting} updates wait there"

    # --- calls -----------------------------------------------------------------------------------

    async def _call(self, method: str, data: dict[str, Any] | None = None, *, within: timedelta | None = None) -> Any:
        try:
            return await self._bot.call(method, data or {}, timeout=within)
        except TelegramError as error:
            raise self._meaning(error) from None

    def _quoted(self, words: str) -> str:
        return quoted(words, self._settings.token.get_secret_value())

    def _meaning(self, error: TelegramError) -> SendError:
        """Say what a refusal means for an account that wants to hear of messages."""
        said, account = self._quoted(error.message), self._channel.account
        match error:
            case RetryAfter():
                after = error.retry_after
                return TryLater(
                    "Telegram wants us to ask later",
                    after=after if isinstance(after, timedelta) else timedelta(seconds=after),
                )
            case Conflict():
                self._disturbed = True
                return TryLater(
                    f"somebody else hears of this bot's messages (Telegram: {said}). Stop the other program, or give"
                    f" the account {account} a bot of its own",
                    code="409",
                )
            case InvalidToken():
                return AccountBroken(
                    f"Telegram does not know the token ({said}). Put the one that @BotFather gives into"
                    f" accounts.{account}.token",
                    code="401",
                )
            case BadRequest() | Forbidden():
                return AccountBroken(f"Telegram refused: {said}")
        return TryLater(f"Telegram has trouble: {said}")


def _id_of(token: str) -> str:
    """Give a bot's id; empty where a token does not begin with one: it may be half a token, which nobody may see."""
    id_, colon, _ = token.partition(":")
    return id_ if colon and id_.isdecimal() else ""


def _stands(info: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Say whether what Telegram knows is what we want; it leaves out what is as it always is."""
    return (
        info.get("url") == wanted["url"]
        and info.get("max_connections", 40) == wanted["max_connections"]
        and set(info.get("allowed_updates") or ()) == set(wanted["allowed_updates"])
    )


__all__ = ["Receiving", "webhook_secret"]
