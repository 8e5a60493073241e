"""Files on their way to Meta: given once, named by Meta's id from then on.

Source: Meta, "Cloud API reference: Media" (an id lives for 30 days), collected 2026-11-22.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp

from talkwire import Attachment, NotFound, NotSent, Refused, StoreDown, TryLater, Uncertain

from .abilities import uploaded_as
from .errors import check

if TYPE_CHECKING:
    from .channel import WhatsApp

_LIVES = timedelta(days=29)  # a day less than Meta says
_REMEMBERED = 1000  # files
_WITHIN = timedelta(seconds=100)  # for 100 MB at 8 Mbit/s; the message itself needs the rest of `send_timeout`


class Uploads:
    """The files of one account that Meta has, as far as this daemon gave them since it started."""

    def __init__(self, channel: WhatsApp) -> None:
        self._channel = channel
        self._ids: OrderedDict[str, tuple[str, datetime]] = OrderedDict()  # attachment → (Meta's id, when it was given)

    async def id_of(self, attachment: str, *, attempt: int) -> str:
        """Give the id under which Meta has a file; it is given to Meta first where it has it not.

        `attempt`, from 1, is how often its message was tried: a file that Meta cannot use is given a few times only.

        Errors: leaves of `SendError`, but never `Uncertain`: a file alone shows nothing to anybody, and is given again.
        """
        now = self._channel.clock.now()
        id_, at = self._ids.get(attachment, ("", now))
        if not id_ or at + _LIVES < now:
            id_ = await self._give(*await self._opened(attachment), attempt)
            self._ids[attachment] = id_, now
        self._ids.move_to_end(attachment)
        while len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)
        return id_

    def forget(self, attachment: str) -> None:
        """Give a file again next time: Meta could not use what it has."""
        self._ids.pop(attachment, None)

    async def _opened(self, attachment: str) -> tuple[Attachment, AsyncIterator[bytes]]:
        """Open a file of ours and read its beginning: one that is gone is missed before Meta is asked.

        Errors: `Refused`, `NotSent`.
        """
        services = self._channel.services
        try:
            about = await services.attachment(attachment)
            pieces = services.open_attachment(attachment)
            first = await anext(pieces, b"")
        except NotFound:
            raise Refused("the file is not in our store any more", code="file_gone") from None
        except StoreDown as error:
            raise NotSent(f"the file cannot be read now: {error}") from error
        return about, _with(first, pieces)

    async def _give(self, attachment: Attachment, pieces: AsyncIterator[bytes], attempt: int) -> str:
        channel, media_type = self._channel, uploaded_as(attachment.media_type)
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("messaging_product", "whatsapp")
        form.add_field("type", media_type)
        content = _Content(pieces, media_type, attachment.size)
        form.add_field("file", content, filename=attachment.name, content_type=media_type)
        url = f"{channel.settings.api_url}/{channel.settings.phone_number_id}/media"
        try:
            answer = await channel.http.post(url, data=form, headers=channel.authorisation, timeout=_WITHIN)
            hide = channel.settings.token.get_secret_value()
            said = check(answer, attempt=attempt, hide=hide, account=channel.account)
        except Uncertain as error:
            raise TryLater(f"the file was not given to Meta: {error}", code=error.code) from error
        id_ = said.get("id") if isinstance(said, dict) else None
        if not isinstance(id_, str | int) or not str(id_):
            raise TryLater("Meta took the file and named no id")
        return str(id_)


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


class _Content(aiohttp.payload.AsyncIterablePayload):
    """A file's pieces, with their length told beforehand: Meta is not asked to take a request of unknown length."""

    def __init__(self, pieces: AsyncIterator[bytes], media_type: str, size: int) -> None:
        super().__init__(pieces, content_type=media_type)
        self._size = size

    def decode(self, *_: Any) -> str:
        return f"({self._size} bytes)"  # for whoever prints it
