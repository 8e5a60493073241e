"""The medium `email`: one mail a notification, or one about several; it asks again with the same Message-ID, and only once.

    deliver ─▶ address came back? ─▶ sent already? ─▶ written ─▶ server ─┬─ 250 ─▶ Handed
                  Suppressed            Handed                           ├─ 5xx ─▶ Refused; of the recipient: address marked
                                                                         ├─ 4xx, not there ─▶ TryLater
                                                                         └─ cut after DATA ─▶ once more, then Refused

A mail whose outcome is not known goes out once more: an alarm that comes twice does less harm than one that never comes, and
both have one Message-ID, by which many mailboxes keep one of them. Cut again, it is refused as uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from talkwire import (
    Handed,
    Notification,
    Notifier,
    NotifierFeatures,
    Recipient,
    Refused,
    Route,
    Suppressed,
    Told,
    TryLater,
    Uncertain,
)

from . import rows
from .composing import Links, asks, canonical, compose, mail_id
from .links import BELOW, Made
from .pages import Pages
from .sending import AddressGone, Postman, Unserved
from .settings import NotifyEmailSettings
from .wording import Words

_MOST = 2  # times that the bytes of a mail begin to leave without an answer
_ONCE_MORE = timedelta(minutes=5)  # until a mail of unknown outcome goes out again
_TRIED_AGAIN = timedelta(days=7)  # an address that mail came back from may work again


class EmailNotifier(Notifier):
    """Tells by mail."""

    type = "email"
    Settings = NotifyEmailSettings
    features = NotifierFeatures(actions=4, needs_email=True, keeps=True, digests=True, title_limit=300, text_limit=2000)

    def __init__(self, settings: Any, services: Any) -> None:
        super().__init__(settings, services)
        self._postman = Postman(settings)
        self._trouble = ""
        self._pages = Pages(self)

    async def deliver(self, notification: Notification) -> Told:
        """Send one mail about one notification."""
        return await self._send([notification])

    async def digest(self, notifications: Sequence[Notification]) -> Told:
        """Send one mail about several of one recipient."""
        return await self._send(notifications)

    def trouble(self) -> str:
        """Say why the server took no mail when it was asked last; empty: it did."""
        return self._trouble

    def routes(self) -> Sequence[Route]:
        """Serve what the links of mails lead to."""
        return self._pages.routes()

    # --- one mail --------------------------------------------------------------------------------------------

    async def _send(self, notifications: Sequence[Notification]) -> Told:
        recipient = self.recipient(notifications[0])
        address = canonical(recipient.email)
        bad = await self.hub.read(lambda query: rows.bad(query, address))
        if bad is not None and self.clock.now() < bad.at + _TRIED_AGAIN:
            return Suppressed("address_bounced")
        sent = await self.hub.read(lambda query: rows.sent(query, [one.id for one in notifications]))
        due = [one for one in notifications if not sent[one.id].is_taken]
        if not due:
            return Handed()  # an earlier call did it, and could not say so
        due = [one for one in due if sent[one.id].begun < _MOST]
        if not due:
            raise Refused("the server's answer was lost twice: the mail may have arrived", code="uncertain")
        await self._hand_over(due, recipient, address)
        if bad is not None:
            await self.hub.write(rows.forgive, address)
        return Handed()

    async def _hand_over(self, due: Sequence[Notification], recipient: Recipient, address: str) -> None:
        made = Made(self.base_url, recipient.name, self.clock.now())
        links = Links(
            answer={one.id: made.answer(one.id) for one in due if made.base and asks(one)},
            off=made.off() if made.base else "",
        )
        mail = compose(
            due,
            recipient,
            settings=self.settings,
            links=links,
            words=self.words(recipient),
            zone=self.zone(recipient),
            now=self.clock.now(),
        )
        ids = tuple(one.id for one in due)
        leaving = rows.Leaving(mail=mail_id(due), address=address, notifications=ids, links=tuple(made.links))
        has_left = False

        async def write_down() -> None:
            nonlocal has_left
            await self.hub.write(rows.begin, leaving)
            has_left = True

        try:
            await self._postman.send(mail, write_down)
        except Uncertain as error:
            self._trouble = ""
            raise TryLater(str(error), after=_ONCE_MORE, code="uncertain") from error
        except (TryLater, Refused) as error:
            self._trouble = str(error) if isinstance(error, Unserved) else ""
            if has_left:
                await self.hub.write(rows.not_taken, ids)
            if isinstance(error, AddressGone):
                await self.hub.write(rows.mark, (address, str(error)))
            raise
        self._trouble = ""
        await self.hub.write(rows.taken, ids)

    # --- what pages ask, too ---------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Give where links of mails lead, without a slash at its end; empty: mails have none."""
        base = self.settings.base_url or self.hub.public_url
        return f"{base}{BELOW}" if base else ""

    def words(self, recipient: Recipient | None) -> Words:
        """Give our words in a recipient's language."""
        return Words(recipient.language if recipient else "", self.settings.language, self.hub.language)

    def zone(self, recipient: Recipient | None) -> str:
        """Name the time zone of a recipient."""
        return (recipient.time_zone if recipient else "") or self.hub.time_zone
