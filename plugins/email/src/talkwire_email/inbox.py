"""The way in: a mailbox is looked through from a cursor on, and what is new becomes batches of envelopes.

    sign in ─▶ look at each folder ─▶ rest until something is new, or `check_every` is over ─┐
                    ▲                                                                        │
                    └────────────────────────────────────────────────────────────────────────┘

The cursor is a JSON text: for each folder its UIDVALIDITY and the last UID that was taken. UIDs that mean something else
than they did (another UIDVALIDITY; the last UID is not given yet, or is another mail: the mailbox was restored from a
backup) are not believed: all that came since the day before the newest mail we took is taken again, and the core, which
knows each mail by its id, stores none of it twice.

A mail that breaks the connection whenever it is fetched stops no other: it is fetched alone, then only its headers, and
in the end it is announced without them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from talkwire import AccountBroken, Batch, Envelope, SendError, TryLater

from .imap import AT_ONCE, connect
from .mailbox import Denied, Folder, Lost, Mailbox, MailboxError, NotLetIn, Summary, Untrusted
from .settings import EmailSettings

if TYPE_CHECKING:
    from .channel import Email

_MAILS = 50  # in a batch, which is one transaction …
_BYTES = 8 * 1024**2  # … unless one mail is larger
_PATIENCE = timedelta(seconds=60)  # at most, for a server that says nothing
_MARKED = 64 * 1024  # bytes of the headers by which a mail is known again
_DAY = timedelta(days=1)
_AGAIN = timedelta(seconds=5)  # after a connection that lived for less than …
_SETTLED = 60.0  # seconds
_LONGEST = timedelta(minutes=10)
_ALONE, _ONLY_HEADERS, _NOT_AT_ALL = 1, 6, 8  # how often the connection broke over a mail
_REFUSALS = 3  # of a password, without a reason, until it is taken for wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where we are in a folder."""

    validity: int  # UIDVALIDITY
    last: int  # UID; all up to it were taken, or are none of ours
    newest: str  # ISO day on which the newest mail that we took came, by the server
    mark: str = ""  # a hash of the headers of the mail `last`, by which it is known again; empty: we did not take it
    since: str = ""  # ISO day; mails that came earlier are none of ours; empty: all above `last` are
    undone: tuple[int, ...] = ()  # UIDs that are taken, and may be neither marked nor moved yet


class Inbox:
    """The mailbox of one account."""

    def __init__(self, settings: EmailSettings, channel: Email, *, largest: int) -> None:
        self._settings = settings
        self._imap = settings.imap
        self._channel = channel
        self._largest = largest  # bytes of a mail; of a larger one only the headers are fetched
        self._every = timedelta(seconds=self._imap.check_every)
        self.patience = min(_PATIENCE, self._every + timedelta(seconds=3))  # with a server that should say something
        self._box: Mailbox | None = None  # None: nobody is signed in
        self._broke_over: Counter[tuple[str, int]] = Counter()  # how often a connection broke while a mail was fetched
        self._known: set[str] = set()  # folders whose last mail is the one we took, as this connection saw
        self._failures = 0  # connections in a row that lived shortly
        self._refusals = 0  # of our password, in a row

    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        """Give what is new, in batches, from a cursor on; empty: from now, or from `since_days` back.

        Gives an empty batch where nothing is new, so that it is seen that we looked.

        Errors: `TryLater` where the server is not to be reached; `AccountBroken` where a person must act.
        """
        places = {name: _Place(**{**place, "undone": tuple(place["undone"])}) for name, place in _read(cursor).items()}
        clock, loop = self._channel.clock, asyncio.get_running_loop()
        began = loop.time()
        box: Mailbox | None = None
        told, is_due = "", True
        try:
            self._box = box = await self._signed_in()
            self._known.clear()
            while True:
                look_again, news = clock.now() + self._every, 0
                refused: list[str] = []
                for folder in (*self._imap.folders[1:], self._imap.folders[0]):  # the last one is where we wait
                    try:
                        async for envelopes, news in self._look(box, folder, places):  # noqa: B007  used below
                            if envelopes:
                                yield Batch(envelopes, _write(places))
                                self._failures = 0  # it goes on, however often the line breaks
                                await self._settle(box, folder, places)
                    except Denied as error:  # the other folders are read all the same
                        refused.append(f'refused what we asked for in "{folder}": {error}')
                if refused:
                    raise Lost("; ".join(refused))
                cursor = _write(places)
                if is_due or cursor != told:
                    told = cursor
                    yield Batch((), cursor)
                await box.rest(look_again, news)
                is_due = clock.now() >= look_again
        except MailboxError as error:
            raise self._told(error, loop.time() - began) from None
        finally:
            if box is not None:
                box.drop()

    async def close(self) -> None:
        """Let the connection go."""
        box, self._box = self._box, None
        if box is not None:
            box.drop()

    async def probe(self) -> str:
        """Sign in and look whether all folders are there. Errors: as `listen`."""
        try:
            box = await self._signed_in()
            try:
                counts = [f"{name} ({(await self._opened(box, name)).count} mails)" for name in self._imap.folders]
                if self._imap.move_to:
                    await self._opened(box, self._imap.move_to)
                ways = "pushes" if box.pushes else "is asked (it has no IDLE)"
                if self._imap.taken == "move":
                    ways += ", moves" if box.moves else ", copies and expunges (it has no MOVE)"
                return f"{self._imap.host} let {self._user} in, {ways}: {', '.join(counts)}"
            finally:
                await box.leave()
        except MailboxError as error:
            raise self._told(error, 0.0) from None

    async def _opened(self, box: Mailbox, folder: str) -> Folder:
        try:
            return await box.select(folder, writes=False)
        except Denied as error:
            raise AccountBroken(
                f'{self._imap.host} does not open the folder "{folder}" ({error}): make it there, or change it in'
                f" accounts.{self._channel.account}.imap"
            ) from None

    # --- signing in ------------------------------------------------------------------------------

    @property
    def _user(self) -> str:
        return self._imap.user or self._settings.address

    async def _signed_in(self) -> Mailbox:
        """Connect and sign in; a token that is refused is asked for anew, once."""
        if self._imap.password is not None:
            return await self._with(password=self._imap.password.get_secret_value())
        tokens = self._channel.tokens
        assert tokens is not None  # the settings have one or the other
        token = await tokens.bearer()
        try:
            return await self._with(token=token)
        except NotLetIn as error:
            if error.for_good is False:
                raise
            tokens.forget(token)
            return await self._with(token=await tokens.bearer())

    async def _with(self, **secret: str) -> Mailbox:
        async with self._channel.services.exchange("imap") as exchange:
            exchange.sent(f"{self._imap.host}:{self._imap.port} {self._user} by {', '.join(secret)}")
            box: Mailbox = await connect(
                self._imap, self._user, **secret, clock=self._channel.clock, patience=self.patience
            )
            exchange.received(f"let in, {'IDLE' if box.pushes else 'no IDLE'}, {'MOVE' if box.moves else 'no MOVE'}")
        self._refusals = 0
        return box

    # --- looking ---------------------------------------------------------------------------------

    async def _look(
        self, box: Mailbox, name: str, places: dict[str, _Place]
    ) -> AsyncIterator[tuple[tuple[Envelope, ...], int]]:
        """Give what is new in a folder, batch by batch, with the count of news; `places` is moved before each.

        The last has no envelopes.
        """
        folder = await box.select(name, writes=self._imap.taken != "leave")
        news = box.news
        place = places[name] = await self._entered(box, name, places.get(name), folder)
        await self._settle(box, name, places)
        uids = await box.after(place.last, date.fromisoformat(place.since) if place.since else None)
        for some in (uids[at : at + AT_ONCE] for at in range(0, len(uids), AT_ONCE)):
            for mails in self._batches(name, await box.summaries(some)):
                taken: dict[int, Envelope] = {}
                for part in _parts(mails, self._is_large):
                    taken |= await self._taken(box, name, part)
                places[name] = self._after(places[name], mails, taken.get(mails[-1].uid))
                yield tuple(taken.values()), news
            places[name] = _passed(places[name], some[-1])
        if places[name].since:  # all that was there when we began is either taken or too old
            places[name] = replace(_passed(places[name], folder.next_uid - 1), since="")
        yield (), news

    async def _entered(self, box: Mailbox, name: str, place: _Place | None, folder: Folder) -> _Place:
        """Say where to go on in a folder as it stands now."""
        today = self._channel.clock.now().date()
        if place is None:
            place = _Place(validity=folder.validity, last=folder.next_uid - 1, newest=today.isoformat())
            if not self._imap.since_days:
                return place
            return replace(place, last=0, since=(today - timedelta(days=self._imap.since_days)).isoformat())
        known = not place.mark or name in self._known
        self._known.add(name)
        if folder.validity == place.validity and place.last < folder.next_uid and (known or await _is_same(box, place)):
            return place
        self._channel.log.warning("mailbox renumbered", folder=name)
        since = date.fromisoformat(min(place.newest, place.since or place.newest)) - _DAY
        return _Place(validity=folder.validity, last=0, newest=place.newest, since=since.isoformat())

    def _batches(self, folder: str, mails: Sequence[Summary]) -> Iterator[list[Summary]]:
        """Put mails together, so that one batch is neither too many nor too large."""
        batch: list[Summary] = []
        size = 0
        for mail in mails:
            alone = self._broke_over[folder, mail.uid] >= _ALONE
            if batch and (alone or len(batch) == _MAILS or size + mail.size > _BYTES):
                yield batch
                batch, size = [], 0
            batch.append(mail)
            size += _BYTES if alone else min(mail.size, self._largest)
        if batch:
            yield batch

    def _after(self, place: _Place, mails: Sequence[Summary], last: Envelope | None) -> _Place:
        """Say where we are once these mails are taken; `last` is None where the last one is gone."""
        now = self._channel.clock.now()
        days = [min(mail.came, now).date().isoformat() for mail in mails]
        undone = tuple(mail.uid for mail in mails) if self._imap.taken != "leave" else ()
        mark = _mark(last.body) if last is not None else ""
        return replace(place, last=mails[-1].uid, mark=mark, newest=max(place.newest, *days), undone=undone)

    # --- taking ----------------------------------------------------------------------------------

    def _is_large(self, mail: Summary) -> bool:
        return mail.size > self._largest

    async def _taken(self, box: Mailbox, folder: str, part: Sequence[Summary]) -> dict[int, Envelope]:
        """Fetch mails that are all small, or all large; gives them by UID."""
        broke = max(self._broke_over[folder, mail.uid] for mail in part)
        only_headers = self._is_large(part[0]) or broke >= _ONLY_HEADERS
        found: Mapping[int, bytes] = {mail.uid: b"" for mail in part}
        if broke < _NOT_AT_ALL:
            found = await self._fetched(box, folder, part, only_headers=only_headers)
        taken = {}
        for mail in part:
            if mail.uid in found:
                del self._broke_over[folder, mail.uid]
                taken[mail.uid] = self._envelope(folder, mail, found[mail.uid], only_headers)
        if missing := [mail.uid for mail in part if mail.uid not in found]:
            for mail in await box.summaries(missing):  # those that are gone by now are none of ours
                self._broke_over[folder, mail.uid] = _NOT_AT_ALL if only_headers else _ONLY_HEADERS
                taken |= await self._taken(box, folder, [mail])
        return dict(sorted(taken.items()))

    async def _fetched(
        self, box: Mailbox, folder: str, part: Sequence[Summary], *, only_headers: bool
    ) -> Mapping[int, bytes]:
        """Give those that the server gives; where it refuses one, the others all the same."""
        try:
            return await box.fetch(part, only_headers=only_headers)
        except Lost:
            self._broke_over.update((folder, mail.uid) for mail in part)
            raise
        except Denied:
            found: dict[int, bytes] = {}
            for mail in part if len(part) > 1 else ():
                found |= await self._fetched(box, folder, [mail], only_headers=only_headers)
            return found

    def _envelope(self, folder: str, mail: Summary, body: bytes, only_headers: bool) -> Envelope:
        query = [("at", mail.came.isoformat())]
        if only_headers:
            query.append(("size", str(mail.size)))
        return Envelope(
            endpoint=self._channel.account,
            method="MAIL",
            path=f"/{quote(folder, safe='')}/{mail.uid}{'/headers' if only_headers else ''}",
            headers={"content-type": "message/rfc822"},
            query=tuple(query),
            body=body,
            remote=self._imap.host,
            received_at=self._channel.clock.now(),
        )

    async def _settle(self, box: Mailbox, name: str, places: dict[str, _Place]) -> None:
        """Do with mails that are kept here what the settings say; what fails is told, and no reason to stop."""
        uids = places[name].undone
        if not uids:
            return
        try:
            if self._imap.taken == "move":
                await box.move(uids, self._imap.move_to)
            elif self._imap.taken == "seen":
                await box.mark_seen(uids)
        except Denied as error:
            self._channel.log.warning("taken mail was left", mails=len(uids), reason=str(error))
        places[name] = replace(places[name], undone=())

    # --- telling ---------------------------------------------------------------------------------

    def _told(self, error: MailboxError, lived: float) -> SendError:
        """Say what the operator reads, and whether it is worth trying again."""
        where, account = f"{self._imap.host}:{self._imap.port}", self._channel.account
        resume = f"then: talkwire accounts resume {account}"
        if isinstance(error, Untrusted):
            return AccountBroken(
                f"{where}: {error}. Have it put right, or name its authority in imap.ca_file; {resume}"
            )
        if isinstance(error, NotLetIn):
            self._refusals += error.for_good is None
            if error.for_good or self._refusals >= _REFUSALS:
                what = "imap.user and imap.password" if self._imap.password is not None else "oauth"
                return AccountBroken(
                    f"{where}: {error}. We are {self._user} there: put {what} of accounts.{account} right; {resume}"
                )
        self._failures = 1 if lived > _SETTLED else self._failures + 1
        after = min(_LONGEST, _AGAIN * 1.75 ** (self._failures - 1))
        return TryLater(
            f"{where} {error}" if isinstance(error, Lost) else f"{where}: {error}", after=after, scope="account"
        )


def _read(cursor: str) -> dict[str, dict[str, Any]]:
    return dict(json.loads(cursor)["folders"]) if cursor else {}


def _write(places: dict[str, _Place]) -> str:
    return json.dumps({"folders": {name: asdict(place) for name, place in sorted(places.items())}})


def _passed(place: _Place, uid: int) -> _Place:
    """Go on to a UID, if it is further, whose mail we did not take."""
    return replace(place, last=uid, mark="") if uid > place.last else place


async def _is_same(box: Mailbox, place: _Place) -> bool:
    """Say whether the last UID still means the mail that it meant; one that is gone says nothing."""
    summaries = await box.summaries([place.last])
    found = await box.fetch(summaries, only_headers=True) if summaries else {}
    return place.last not in found or _mark(found[place.last]) == place.mark


def _mark(mail: bytes) -> str:
    head = mail.partition(b"\r\n\r\n")[0][:_MARKED].rstrip()
    return hashlib.sha256(head).hexdigest()[:16] if head else ""


def _parts(mails: Sequence[Summary], is_large: Any) -> Iterator[list[Summary]]:
    """Part mails that are fetched whole from those that are not, in their order."""
    part: list[Summary] = []
    for mail in mails:
        if part and is_large(part[-1]) != is_large(mail):
            yield part
            part = []
        part.append(mail)
    if part:
        yield part
