"""Files on their way to Meta: given once, named by Meta's id from then on.

Source: Meta, "Cloud API reference: Media" (an id lives for 30 days), collected 2026-11-22.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp

from talkwire import Attachment, TryLater, Uncertain

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

    async def id_of(self, attachment: str) -> str:
        """Give the id under which Meta has a file; it is given to Meta first where it has it not.

        Errors: leaves of `SendError`, but never `Uncertain`: a file alone shows nothing to anybody, and is given again.
        """
        now = self._channel.clock.now()
        id_, at = self._ids.get(attachment, ("", now))
        if not id_ or at + _LIVES < now:
            id_ = await self._give(await self._channel.services.attachment(attachment))
            self._ids[attachment] = id_, now
        self._ids.move_to_end(attachment)
        while len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)
        return id_

    def forget(self, attachment: str) -> None:
        """Give a file again next time: Meta could not use what it has."""
        self._ids.pop(attachment, None)

    async def _give(self, attachment: Attachment) -> str:
        channel = self._channel
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("messaging_product", "whatsapp")
        form.add_field("type", attachment.media_type)
        content = _Content(channel.services.open_attachment(attachment.id), attachment)
        form.add_field("file", content, filename=attachment.name, content_type=attachment.media_type)
        url = f"{channel.settings.api_url}/{channel.settings.phone_number_id}/media"
        try:
            answer = await channel.http.post(url, data=form, headers=channel.authorisation, timeout=_WITHIN)
            said = check(answer, hide=channel.settings.token.get_secret_value(), account=channel.account)
        except Uncertain as error:
            raise TryLater(f"the file was not given to Meta: {error}", code=error.code) from error
        id_ = said.get("id") if isinstance(said, dict) else None
        if not isinstance(id_, str | int) or not str(id_):
            raise TryLater("Meta took the file and named no id")
        return str(id_)


class _Content(aiohttp.payload.AsyncIterablePayload):
    """A file's pieces, with their length told beforehand: Meta is not asked to take a request of unknown length."""

    def __init__(self, pieces: AsyncIterator[bytes], attachment: Attachment) -> None:
        super().__init__(pieces, content_type=attachment.media_type)
        self._size = attachment.size

    def decode(self, *_: Any) -> str:
        return f"({self._size} bytes)"  # for whoever prints it
