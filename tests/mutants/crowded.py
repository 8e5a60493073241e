"""Broken lobbies: the good one with one thing wrong, for the checks of channels with connections of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from aiohttp import web

from talkwire import (
    Draft,
    Inbound,
    Item,
    Media,
    MediaFeature,
    Message,
    Outgoing,
    Part,
    Receipt,
    Refused,
    RenderContext,
    Rendered,
    Report,
    SessionState,
    State,
    Uncertain,
    Wait,
    plain_text,
)
from talkwire.testing import Case

from .lobby import GRACE, LOBBY, WITHIN, LobbyChannel

QUICK = timedelta(seconds=1.5)  # real time that the kit waits for what never comes


def crowded(channel: type[LobbyChannel]) -> Case:
    assert LOBBY.sessions is not None
    return replace(LOBBY, channel=channel, sessions=replace(LOBBY.sessions, patience=QUICK))


# --- answers follow the session ----------------------------------------------------------------------


class ClaimsWhoIsAway(LobbyChannel):
    async def send(self, out: Outgoing) -> Receipt:
        with suppress(Wait):
            await super().send(out)
        return Receipt()


class FailsWhoIsAway(LobbyChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except Wait:
            raise Refused("nobody is there") from None


class NeverSaysWhoCame(LobbyChannel):
    async def session(self, visitor: str, state: SessionState, at: datetime, reason: str = "") -> None:
        if state is not SessionState.CONNECTED:
            await super().session(visitor, state, at, reason)


class NeverSaysWhoLeft(LobbyChannel):
    async def session(self, visitor: str, state: SessionState, at: datetime, reason: str = "") -> None:
        if state is not SessionState.DISCONNECTED:
            await super().session(visitor, state, at, reason)


class EndsAtOnce(LobbyChannel):
    async def is_gone(self, visitor: str) -> None:
        await self.session(visitor, SessionState.DISCONNECTED, self.clock.now())
        await self.session(visitor, SessionState.ENDED, self.clock.now(), "left")


class EndsTooEarly(LobbyChannel):
    grace = GRACE / 2


class NeverEnds(LobbyChannel):
    async def tidy(self) -> None:
        return


class EndsWhoCameBack(LobbyChannel):
    """Keeps the timer of the grace when somebody returns."""

    def prepare(self) -> None:
        super().prepare()
        self.once_left: dict[str, datetime] = {}

    def away(self) -> dict[str, datetime]:
        self.once_left |= super().away()
        return dict(self.once_left)

    async def tidy(self) -> None:
        while True:
            self.moved.clear()
            for visitor, at in self.away().items():
                if at + self.grace <= self.clock.now():
                    await self.session(visitor, SessionState.ENDED, self.clock.now(), "timeout")
                    self.left.pop(visitor, None)
                    del self.once_left[visitor]
            first = min(self.away().values(), default=None)
            await self.clock.wait(self.moved, first + self.grace if first is not None else None)


class EndsWhatIsSaidTwice(LobbyChannel):
    """Ends the session of whoever writes a second time."""

    async def admit(self, items: Sequence[Item]) -> None:
        await super().admit(items)
        for item in items:  # before the page is told that its words are kept, so that the kit always meets the end
            if isinstance(item, Inbound) and len(await self.talk(item.address.value)) == 2:
                await self.session(item.address.value, SessionState.ENDED, self.clock.now(), "enough")


class KnowsOnlyTheFirstTime(LobbyChannel):
    def prepare(self) -> None:
        super().prepare()
        self.known: set[str] = set()

    async def session(self, visitor: str, state: SessionState, at: datetime, reason: str = "") -> None:
        if state is not SessionState.CONNECTED or visitor not in self.known:
            await super().session(visitor, state, at, reason)
        self.known.add(visitor)


class ShowsWhatFailed(LobbyChannel):
    async def resume(self, visitor: str, line: web.WebSocketResponse) -> None:
        for message in await self.talk(visitor):
            for part in message.deliveries:
                if part.state is not State.QUEUED:
                    await self.show(visitor, line, part.id, part.text)


class WaitsForWhoSaidGoodbye(LobbyChannel):
    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        if "bye" not in said:
            await super().take(visitor, line, said)


class ReopensTheEnded(LobbyChannel):
    """Makes sure, when a line drops, that the session had begun; the core lets no ended one be disconnected."""

    async def goes(self, visitor: str, line: web.WebSocketResponse) -> None:
        ended = visitor not in self.left
        await super().goes(visitor, line)
        if ended:
            await self.session(visitor, SessionState.CONNECTED, self.clock.now())
            await self.is_gone(visitor)


class LeavesTheEndedEnded(LobbyChannel):
    """Takes what is written after a goodbye, and says nothing of a new session."""

    def prepare(self) -> None:
        super().prepare()
        self.over: set[str] = set()

    async def session(self, visitor: str, state: SessionState, at: datetime, reason: str = "") -> None:
        if state is not SessionState.CONNECTED or visitor not in self.over:
            await super().session(visitor, state, at, reason)
        if reason == "customer":
            self.over.add(visitor)


# --- what waited arrives in order, once --------------------------------------------------------------


class ResumesWhatIsQueued(LobbyChannel):
    """Shows on return what `send` brings once more, under a name of its own."""

    async def resume(self, visitor: str, line: web.WebSocketResponse) -> None:
        for message in await self.talk(visitor):
            if message.state is State.QUEUED:
                await self.show(visitor, line, message.id, message.text)
        await super().resume(visitor, line)


class NewestFirst(LobbyChannel):
    async def resume(self, visitor: str, line: web.WebSocketResponse) -> None:
        for message in reversed(await self.talk(visitor)):
            for part in message.deliveries:
                if part.state in (State.QUEUED, State.SENT):
                    await self.show(visitor, line, part.id, part.text)


class WakesNobody(LobbyChannel):
    """Counts on being asked again, though `send` was called before the line could take anything."""

    def prepare(self) -> None:
        super().prepare()
        self.asked = asyncio.Event()

    async def session(self, visitor: str, state: SessionState, at: datetime, reason: str = "") -> None:
        self.asked.clear()
        await super().session(visitor, state, at, reason)

    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        finally:
            self.asked.set()

    async def resume(self, visitor: str, line: web.WebSocketResponse) -> None:
        await super().resume(visitor, line)
        if any(message.state is State.QUEUED for message in await self.talk(visitor)):
            async with asyncio.timeout(WITHIN):
                await self.asked.wait()

    def wake(self, address: str) -> None:
        return


class LosesWhatWasOnTheWay(LobbyChannel):
    async def resume(self, visitor: str, line: web.WebSocketResponse) -> None:
        return


class OneLeavesAllLeave(LobbyChannel):
    async def goes(self, visitor: str, line: web.WebSocketResponse) -> None:
        lines = [one for one in self.lines.pop(visitor, []) if one is not line]
        await super().goes(visitor, line)
        if lines:
            self.lines[visitor] = lines


class APersonIsAPage(LobbyChannel):
    """Makes another address of each line of one person."""

    def visitor_of(self, said: Mapping[str, Any]) -> str | None:
        visitor = super().visitor_of(said)
        return f"{visitor}-2" if visitor in self.lines else visitor


# --- a resend is no duplicate ------------------------------------------------------------------------


class NumbersAnew(LobbyChannel):
    def inbound(self, visitor: str, said: Mapping[str, Any]) -> Inbound:
        return replace(super().inbound(visitor, said), external_id=uuid4().hex)


class NumbersByLine(LobbyChannel):
    """Knows a resend on the same line, not over a new one."""

    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        await super().take(visitor, line, {**said, "line": f"{id(line)}"} if "say" in said else said)

    def inbound(self, visitor: str, said: Mapping[str, Any]) -> Inbound:
        return replace(super().inbound(visitor, said), external_id=f"{visitor}:{said['line']}:{said['id']}")


class TakesPagesIdsForItsOwn(LobbyChannel):
    def inbound(self, visitor: str, said: Mapping[str, Any]) -> Inbound:
        return replace(super().inbound(visitor, said), external_id=str(said["id"]))


class AcknowledgesOnce(LobbyChannel):
    def prepare(self) -> None:
        super().prepare()
        self.had: set[Any] = set()

    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        if "say" not in said or (visitor, said["id"]) not in self.had:
            await super().take(visitor, line, said)
        self.had.add((visitor, said.get("id")))


class AcknowledgesAndForgets(LobbyChannel):
    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        if "say" in said:
            await self.say(line, {"ack": said["id"]})
        else:
            await super().take(visitor, line, said)


# --- nothing of one visitor reaches another ----------------------------------------------------------


class TellsEverybody(LobbyChannel):
    async def show(self, visitor: str, line: web.WebSocketResponse, key: str, text: str) -> bool:
        shown = await super().show(visitor, line, key, text)
        for other, lines in self.lines.items():
            for one in lines if other != visitor else ():
                await super().show(other, one, key, text)
        return shown


class WaitsForAnybody(LobbyChannel):
    """Hands a part to somebody else's line where its own visitor has none."""

    def here(self, out: Outgoing) -> list[web.WebSocketResponse]:
        return super().here(out) or [line for lines in self.lines.values() for line in lines]


class BelievesEveryReport(LobbyChannel):
    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        if "seen" in said:
            await self.admit([Report(key=said["seen"], state=State.READ, at=self.clock.now())])
        else:
            await super().take(visitor, line, said)


class ResumesEverybodysTalk(LobbyChannel):
    async def resume(self, visitor: str, line: web.WebSocketResponse) -> None:
        for talk in (await self.hub.conversations(account=self.account)).items:
            for message in await self.hub.messages(talk.id):
                for part in message.deliveries:
                    if part.state is State.SENT:
                        await self.show(visitor, line, part.id, part.text)


class EndsEverybody(LobbyChannel):
    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        await super().take(visitor, line, said)
        if "bye" in said:
            for other in list(self.left):
                await self.session(other, SessionState.ENDED, self.clock.now(), "customer")


class OneForAll(LobbyChannel):
    def visitor_of(self, said: Mapping[str, Any]) -> str | None:
        return "everybody" if super().visitor_of(said) else None


# --- render, send, and secrets -------------------------------------------------------------------------------


class DrawsTheMessage(LobbyChannel):
    """Good: hands a page the message's own blocks, with the picture that is in no part."""

    features = replace(LobbyChannel.features, media=(MediaFeature(types=("*/*",), limit=1_000_000),))

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        return Rendered((Part(text=plain_text(draft)),))

    async def show(self, visitor: str, line: web.WebSocketResponse, key: str, text: str) -> bool:
        messages = [one for one in await self.talk(visitor) if any(part.id == key for part in one.deliveries)]
        self.keys.setdefault(visitor, set()).add(key)
        frame = {"key": key, "text": text, "pictures": [picture for one in messages for picture in self.drawn(one)]}
        return await self.say(line, frame)

    def drawn(self, message: Message) -> list[str]:
        return [block.attachment for block in message.blocks if isinstance(block, Media)]


class LosesPictures(DrawsTheMessage):
    def drawn(self, message: Message) -> list[str]:
        return []


class ShowsTwice(LobbyChannel):
    async def show(self, visitor: str, line: web.WebSocketResponse, key: str, text: str) -> bool:
        await super().show(visitor, line, f"{key}-again", text)
        return await super().show(visitor, line, key, text)


class ClaimsDelivery(LobbyChannel):
    features = replace(LobbyChannel.features, reports=State.SENT)

    async def send(self, out: Outgoing) -> Receipt:
        return replace(await super().send(out), state=State.DELIVERED)


class DoubtsItself(LobbyChannel):
    async def send(self, out: Outgoing) -> Receipt:
        await super().send(out)
        raise Uncertain("who knows")


class HearsNoReport(LobbyChannel):
    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        if said.get("state") != "read":
            await super().take(visitor, line, said)


class HoldsOnWhenCancelled(LobbyChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            await asyncio.sleep(0)
            return await super().send(out)
        except asyncio.CancelledError:
            raise Uncertain("interrupted") from None


class KeepsItsLock(LobbyChannel):
    features = replace(LobbyChannel.features, send_timeout=timedelta(seconds=4))  # by which the hub stops

    def prepare(self) -> None:
        super().prepare()
        self.lock = asyncio.Lock()

    async def send(self, out: Outgoing) -> Receipt:
        await self.lock.acquire()
        await asyncio.sleep(0)
        try:
            return await super().send(out)
        finally:
            self.lock.release()


class StumblesOverNobody(LobbyChannel):
    async def send(self, out: Outgoing) -> Receipt:
        if not self.lines[out.address.value]:
            raise Wait("recipient_offline")
        return await super().send(out)


class LogsWhatIsSaid(LobbyChannel):
    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        self.log.debug("frame", frame=dict(said))
        await super().take(visitor, line, said)


class LogsItsSecret(LobbyChannel):
    async def open(self) -> None:
        self.log.info("opening", secret=self.settings.secret.get_secret_value())
        await super().open()


class RaisesInItsHandler(LobbyChannel):
    async def comes(self, visitor: str, line: web.WebSocketResponse) -> None:
        raise LookupError("boom")


class CannotOpen(LobbyChannel):
    async def open(self) -> None:
        raise LookupError("boom")


FOLLOW = "check_answers_follow_the_session"
IN_ORDER = "check_what_waited_arrives_in_order_once"
RESEND = "check_a_resend_is_no_duplicate"
APART = "check_nothing_of_one_visitor_reaches_another"
RENDER = "check_render_keeps_limits_and_loses_nothing_unsaid"
SEND = "check_send_makes_one_request_that_shows_something"
CANCEL = "check_send_can_be_cancelled"
SECRETS = "check_no_secret_in_logs_or_errors"

# (channel, check, method that is named, a part of the sample, a part of what is said, a part of the remedy)
CROWD = (
    (FailsWhoIsAway, FOLLOW, "send", "ann is away", "failed", "raise Wait"),
    (NeverSaysWhoCame, FOLLOW, "admit", "ann comes", "none instead of connected", "SessionState.CONNECTED"),
    (NeverSaysWhoLeft, FOLLOW, "admit", "ann leaves", "connected instead of disconnected", "DISCONNECTED"),
    (EndsAtOnce, FOLLOW, "admit", "ann leaves", "ended instead of disconnected", "DISCONNECTED"),
    (EndsTooEarly, FOLLOW, "admit", "before the end of the grace", "ended already", "Sessions.grace"),
    (NeverEnds, FOLLOW, "admit", "after the end of the grace", "disconnected instead of ended", "ENDED"),
    (EndsWhoCameBack, FOLLOW, "admit", "long after ann came back", "ended", "forget the timer"),
    (KnowsOnlyTheFirstTime, FOLLOW, "admit", "comes back within the grace", "instead of connected", "at each return"),
    (ShowsWhatFailed, FOLLOW, "send", "comes back after the end", "was told that it failed", "never with what is"),
    (WaitsForWhoSaidGoodbye, FOLLOW, "admit", "ann ends the talk", "connected instead of ended", "no grace"),
    (ReopensTheEnded, FOLLOW, "admit", "then the line drops", "disconnected", "changes nothing"),
    (LeavesTheEndedEnded, FOLLOW, "admit", "writes again", "ended instead of connected", "CONNECTED before"),
    (EndsWhatIsSaidTwice, SECRETS, "admit", "a reply", "session_ended", "of nobody who is here"),
    (NewestFirst, IN_ORDER, "send", "three replies waited", "another order", "in its order"),
    (WakesNobody, IN_ORDER, "send", "three replies waited", "recipient_offline", "self.wake"),
    (LosesWhatWasOnTheWay, IN_ORDER, "send", "before the page had it", "did not come", "not reported as delivered"),
    (OneLeavesAllLeave, IN_ORDER, "admit", "leaves one of two pages", "disconnected", "count the lines"),
    (APersonIsAPage, IN_ORDER, "routes", "a second page", "another conversation", "one address to one person"),
    (NumbersByLine, RESEND, "admit", "after she came back", "kept 2 times", "Inbound.external_id"),
    (TakesPagesIdsForItsOwn, RESEND, "admit", "an id that ann used", "kept nowhere", "put the visitor into"),
    (AcknowledgesOnce, RESEND, "routes", "again under the same id", "nothing came", "answer what this page says"),
    (AcknowledgesAndForgets, RESEND, "admit", "ann is here", "kept 0 times", "has returned"),
    (WaitsForAnybody, APART, "send", "ann is away", "which is ann's", "out.address.value"),
    (BelievesEveryReport, APART, "admit", "bob reports read", "to read", "this visitor was shown"),
    (ResumesEverybodysTalk, APART, "send", "bob leaves and comes back", "which is ann's", "own conversation only"),
    (EndsEverybody, APART, "admit", "bob's own talk is over", "ended", "and of no other"),
    (OneForAll, APART, "admit", "ann and bob come", "one conversation", "address of their own"),
    (LosesPictures, RENDER, "render", "a picture", "nothing that the page hears", "own blocks"),
    (ShowsTwice, SEND, "send", "ann is connected", "the page shows", "Outgoing.key"),
    (ClaimsDelivery, SEND, "send", "ann is connected", "features.reports is sent", "claim no more"),
    (DoubtsItself, SEND, "send", "ann is connected", "uncertain", "return Receipt()"),
    (HearsNoReport, SEND, "admit", "reports read", "does not follow", "features.reports"),
    (HoldsOnWhenCancelled, CANCEL, "send", "cancelled while ann", "Uncertain", "CancelledError"),
    (KeepsItsLock, CANCEL, "send", "under way", "come to rest", "in finally"),
    (StumblesOverNobody, CANCEL, "send", "while ann is away", "KeyError", "raise Wait"),
    (LogsWhatIsSaid, SECRETS, "log", "people come", "a message's text", "never the content"),
    (LogsItsSecret, SECRETS, "log", "people come", "a secret", "never put settings"),
    (RaisesInItsHandler, FOLLOW, "routes", "ann comes", "LookupError", "correct Case.sessions"),
    (CannotOpen, FOLLOW, "open", "on a whole hub", "LookupError", "Sessions.plugin"),
)
