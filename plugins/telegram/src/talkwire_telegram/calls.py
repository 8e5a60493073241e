"""python-telegram-bot's `Bot` over the account's own way to Telegram.

    Bot.send_message(…) ─▶ Bot._post ─▶ BaseRequest.post ─▶ _Requests.do_request ─▶ channel.http ─▶ Telegram

Its own client is never made: httpx reaches 5 % of aiohttp's rate with 50 requests in flight (performance.md), and what
goes through it would be in no `trace`. What a call may raise:

    NotSent      nothing left this machine                      as `channel.http` raises it
    Uncertain    the request began and no whole answer came     likewise; also a yes that is no JSON, or has no result
    TelegramError and its subclasses                            a whole answer that is a no, or no known one (a 5xx)

python-telegram-bot turns whatever an HTTP client raises into a `NetworkError` with the client's words in it; here the
first two come through as they are. `BadRequest` is a `NetworkError` too: look for it before that.

Source: python-telegram-bot 22.8, `telegram/request/_baserequest.py`, `telegram/_bot.py`, read 2026-11-28.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import aiohttp

# Read at each `RetryAfter.retry_after`: a timedelta without a warning, which is what version 23 gives.
os.environ.setdefault("PTB_TIMEDELTA", "1")

from telegram import Bot
from telegram.error import NetworkError, TelegramError
from telegram.request import BaseRequest, RequestData

from talkwire import Channel, SendError, Uncertain

__all__ = ["TelegramBot", "make_bot"]

_NO_ANSWER = "Telegram's yes cannot be read"
# `Bot` writes the token ("Set Bot API URL") and all parameters at debug, and updates that it cannot read at critical.
_silent = logging.getLogger("talkwire.telegram.silent")
_silent.setLevel(logging.CRITICAL + 1)


class TelegramBot(Bot):
    """A bot of python-telegram-bot that keeps its token and what people write out of logs and `repr`."""

    __slots__ = ()
    _LOGGER = _silent

    def __repr__(self) -> str:
        """Give the bot's id, which is the token's public half."""
        return f"TelegramBot({self._token.partition(':')[0]})"

    async def call(self, method: str, data: Mapping[str, Any], *, timeout: timedelta | None = None) -> Any:
        """Call a method by Telegram's own name for it, `sendMessage`, and give its result as it came.

        Values are what JSON knows, `InputFile`s, or objects of `telegram`; None is left out. The same as `Bot`'s own
        methods, without the objects that they make of the answer, which are most of what such a call costs (260 µs; this 40). `timeout` is for the
        whole call; None: the account's.

        Errors: as the module says.
        """
        seconds = timeout.total_seconds() if timeout is not None else BaseRequest.DEFAULT_NONE
        return await self._post(method, dict(data), read_timeout=seconds)

    async def _do_post(self, *args: Any, **options: Any) -> Any:
        failure: SendError
        try:
            return await super()._do_post(*args, **options)
        except NetworkError as error:
            if not isinstance(error.__cause__, SendError):
                raise
            failure = error.__cause__
        except (_Unreadable, KeyError):  # no JSON, or an object without a `result`
            failure = Uncertain(_NO_ANSWER)
        raise failure  # out here: without python-telegram-bot's errors around it


class _Unreadable(TelegramError):
    """An answer that should be JSON is not."""


class _Requests(BaseRequest):
    """The HTTP client of a bot, which is its account's."""

    def __init__(self, channel: Channel) -> None:
        self._http = channel.http

    @property
    def read_timeout(self) -> float | None:
        """Give no time of our own: the account has one."""
        return None

    async def initialize(self) -> None:
        """Make nothing: the core has made it."""

    async def shutdown(self) -> None:
        """End nothing: the core does."""

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """Make one request. Errors: `NotSent`, `Uncertain`."""
        body: dict[str, Any] = {}
        if request_data is not None and request_data.contains_files:
            body["data"] = _form(request_data)
        elif request_data is not None:
            body["json"] = request_data.parameters
        timeout = timedelta(seconds=read_timeout) if isinstance(read_timeout, int | float) else None
        answer = await self._http.request(method, url, timeout=timeout, **body)
        if answer.status >= 300 and answer.body.lstrip()[:1] != b"{":
            return answer.status, b"{}"  # a proxy's page, which would become the text of the error
        return answer.status, answer.body

    @staticmethod
    def parse_json_payload(payload: bytes) -> Any:
        """Read an answer; unlike the one that this replaces, nothing of it goes to a log."""
        try:
            answer = json.loads(payload)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise _Unreadable(_NO_ANSWER)
        return answer


def _form(data: RequestData) -> aiohttp.FormData:
    """Write parameters and files; a file may be bytes, an open file, or pieces that come one by one."""
    form = aiohttp.FormData()
    for name, value in data.json_parameters.items():
        form.add_field(name, value)
    for name, (filename, content, media_type) in data.multipart_data.items():
        form.add_field(name, content, filename=filename, content_type=media_type)
    return form


def make_bot(channel: Channel) -> TelegramBot:
    """Make the bot of an account; it makes no request of its own."""
    settings, requests = channel.settings, _Requests(channel)
    api = settings.api_url.rstrip("/")
    return TelegramBot(
        settings.token.get_secret_value(),
        base_url=lambda token: f"{api}/bot{token}",  # a text would have its braces filled in
        base_file_url=lambda token: f"{api}/file/bot{token}",
        request=requests,
        get_updates_request=requests,
    )
