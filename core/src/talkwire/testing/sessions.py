"""The checks of channels with sessions: people come, go and return over connections of the channel's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from ..errors import NoAnswer, SessionEnded
from ..model import Message, SessionState, State
from .case import Case
from .online import report_follows
from .stage import Stage, arrive, becomes, came, session_is, staged
from .verdict import Judge
from .visitors import Visitor

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

MOMENT = timedelta(seconds=1)  # between two things that do not happen at once


async def check_answers_follow_the_session(case: Case) -> None:
    """Answer before, after, after return: who is away is waited for, who is gone is not written to, who returns is."""
    judge = Judge("answers follow the session", case)
    async with staged(case, judge) as stage:
        for talk in await stage.hub.conversations():
            if not talk.answer.allowed:
                raise judge.failure(
                    "open",
                    "before anybody came",
                    f"there is a conversation that may not be answered: {talk.answer.code}",
                    "end only sessions that had begun",
                )
        ann, talk_id = await came(stage, "ann")
        await _may_be_answered(stage, talk_id, "ann is connected")
        await stage.reply(talk_id, "kit: while ann is here")
        await arrive(
            stage,
            ann,
            ["kit: while ann is here"],
            sample="a reply while ann is connected",
            remedy="hand the part to every open line of out.address.value",
        )
        await stage.hub.pass_time(MOMENT)
        await _back_in_time(stage, ann, talk_id)
        await _away_within_the_grace(stage, ann, talk_id)
        await _gone_after_the_grace(stage, talk_id)
        await _back(stage, ann, talk_id)
        await _over_by_the_visitor(stage, ann, talk_id)


async def _may_be_answered(stage: Stage, talk: str, when: str) -> None:
    answer = (await stage.conversation(talk)).answer
    if not answer.allowed or answer.icon is not None:
        raise stage.judge.failure(
            "admit",
            when,
            f"no answer is allowed ({answer.code}), and the page draws {answer.icon or 'no icon'}",
            "admit SessionState.CONNECTED for who is connected, and ENDED for nobody who may still come back",
        )


async def _back_in_time(stage: Stage, ann: Visitor, talk: str) -> None:
    await stage.goes_away(ann, talk, "ann")
    await stage.hub.pass_time(stage.sessions.grace / 2)
    await stage.returns(ann, "ann")
    await session_is(
        stage,
        talk,
        SessionState.CONNECTED,
        sample="ann comes back within the grace",
        remedy="admit SessionState.CONNECTED at each return, with the moment of the return",
    )
    await stage.hub.pass_time(stage.sessions.grace + MOMENT)
    await _is_still_here(
        stage, talk, "long after ann came back", remedy="forget the timer of the grace when somebody returns"
    )


async def _away_within_the_grace(stage: Stage, ann: Visitor, talk: str) -> None:
    await stage.goes_away(ann, talk, "ann")
    await stage.reply(talk, "kit: while ann is away")
    await _is_waited_for(stage, talk, "kit: while ann is away")
    await stage.hub.pass_time(stage.sessions.grace - MOMENT)
    found = await stage.conversation(talk)
    if found.session is not SessionState.DISCONNECTED:
        raise stage.judge.failure(
            "admit",
            f"{MOMENT} before the end of the grace",
            f"the session is {found.session.value} already",
            "end it Sessions.grace after the last line dropped: SetTimer, or self.clock.wait",
        )
    await _may_be_answered(stage, talk, "ann is away, within the grace")
    await _is_waited_for(stage, talk, "kit: while ann is away")


async def _is_waited_for(stage: Stage, talk: str, text: str) -> None:
    [reply] = [one for one in await stage.replies(talk) if one.text == text]
    if reply.state is not State.QUEUED or reply.reason != "recipient_offline":
        state = reply.state.word if reply.state is not None else ""
        problems = [f"{part.problem.code} {part.problem.text}" for part in reply.deliveries if part.problem is not None]
        raise stage.judge.failure(
            "send",
            "a reply while ann is away",
            f"it is {state} ({reply.reason or ', '.join(problems) or 'no reason'}) instead of queued (recipient_offline)",
            'raise Wait("recipient_offline") where the address has no open line; claim nothing that no line has taken',
        )


async def _gone_after_the_grace(stage: Stage, talk: str) -> None:
    await stage.hub.pass_time(2 * MOMENT)
    await session_is(
        stage,
        talk,
        SessionState.ENDED,
        sample=f"{MOMENT} after the end of the grace, {stage.sessions.grace} after ann left",
        remedy="admit SessionChange(state=SessionState.ENDED, reason='timeout') when nobody came back within the grace",
    )
    found = await stage.conversation(talk)
    if found.answer.code != "session_ended" or found.answer.icon != "warning":
        raise stage.judge.failure(
            "admit",
            "after the end of the grace",
            f"answer.code is {found.answer.code}, the icon {found.answer.icon}",
            "end the session of this very conversation: the same address and thread",
        )
    await _is_refused(stage, talk, "after the end of the grace")

    async def failed() -> bool:
        return all(one.state is not State.QUEUED for one in await stage.replies(talk))

    await becomes(stage, failed)
    for one in await stage.replies(talk):
        if one.text == "kit: while ann is away" and one.state is not State.FAILED:
            state = one.state.word if one.state is not None else ""
            raise stage.judge.failure(
                "send",
                "a reply that waited until the session ended",
                f"it is {state} instead of failed (session_ended)",
                'raise Wait("recipient_offline") where the address has no open line: the core then knows what to do',
            )


async def _is_refused(stage: Stage, talk: str, when: str) -> None:
    before = len(await stage.replies(talk))
    try:
        await stage.hub.reply(talk, "kit: after the end")
    except SessionEnded:
        refused = await stage.hub.facts("reply.refused")
        if len(await stage.replies(talk)) == before and refused and refused[-1].small.get("code") == "session_ended":
            return
    except NoAnswer:  # for another reason, which is as wrong
        pass
    raise stage.judge.failure(
        "admit",
        f"a reply {when}",
        "it is not refused as one whose session ended",
        "end the session of this very conversation: the same address and thread",
    )


async def _back(stage: Stage, ann: Visitor, talk: str) -> None:
    await stage.hub.pass_time(MOMENT)
    await stage.returns(ann, "ann")
    await session_is(
        stage,
        talk,
        SessionState.CONNECTED,
        sample="ann comes back after the end of the session",
        remedy="admit SessionState.CONNECTED at each return, with the moment of the return",
    )
    await _may_be_answered(stage, talk, "ann is back")
    await stage.reply(talk, "kit: ann is back")
    await arrive(
        stage,
        ann,
        ["kit: ann is back"],
        sample="a reply after the return",
        remedy="hand the part to every open line of out.address.value, and call self.wake(address) when one opens",
    )
    await stage.hears_all(ann, "ann")
    for text in ("kit: while ann is away", "kit: after the end"):
        if text in ann.got:
            raise stage.judge.failure(
                "send",
                "ann comes back after the end of the session",
                f"the page shows {text!r}, of which the agent was told that it failed",
                "resume with what is sent or more, never with what is queued or failed",
            )


async def _is_still_here(stage: Stage, talk: str, when: str, *, remedy: str) -> None:
    found = await stage.conversation(talk)
    if found.session is not SessionState.CONNECTED:
        raise stage.judge.failure("admit", when, f"the session is {found.session.value}, and a line is open", remedy)


async def _over_by_the_visitor(stage: Stage, ann: Visitor, talk: str) -> None:
    if not await stage.ends(ann, "ann"):
        return
    await session_is(
        stage,
        talk,
        SessionState.ENDED,
        sample="ann ends the talk",
        remedy="admit SessionChange(state=SessionState.ENDED, reason='customer') at once: there is no grace",
    )
    await _is_refused(stage, talk, "after ann ended the talk")
    await stage.hub.pass_time(MOMENT)
    await stage.leaves(ann, "ann")
    found = await stage.conversation(talk)
    if found.session is not SessionState.ENDED:
        raise stage.judge.failure(
            "admit",
            "ann ends the talk, then the line drops",
            f"the session is {found.session.value}, so that answers are allowed again",
            "a line that drops after the end changes nothing: admit DISCONNECTED, and nothing else, when the last line ends",
        )
    await stage.hub.pass_time(MOMENT)
    await stage.returns(ann, "ann")
    await stage.says(ann, "kit: one thing more", who="ann")
    await session_is(
        stage,
        talk,
        SessionState.CONNECTED,
        sample="ann writes again after ending the talk",
        remedy="admit SessionState.CONNECTED before what a visitor writes after the end",
    )


# --- 17 --------------------------------------------------------------------------------------------


async def check_what_waited_arrives_in_order_once(case: Case) -> None:
    """What waited, and what was on its way, arrives after the return: in order, once, on whichever page is open."""
    judge = Judge("what waited arrives in order, once", case)
    async with staged(case, judge) as stage:
        ann, talk = await came(stage, "ann")
        for when, away in (("at once", MOMENT), ("in the middle of the grace", stage.sessions.grace / 2)):
            await stage.goes_away(ann, talk, "ann")
            texts = [f"kit: {when}, {n}" for n in ("first", "second", "third")]
            await stage.reply(talk, *texts)
            await stage.hub.pass_time(away)
            await stage.returns(ann, "ann")
            last = f"kit: {when}, after the return"
            await stage.reply(talk, last)
            await _came_in_order_once(stage, ann, talk, [*texts, last], f"three replies waited; ann comes back {when}")
        if case.channel.features.reports > State.SENT:
            await _lost_on_the_way(stage, ann, talk)
        await _on_two_pages(stage, ann, talk)


async def _came_in_order_once(
    stage: Stage, ann: Visitor, talk: str, texts: Sequence[str], sample: str
) -> Sequence[Message]:
    await arrive(
        stage,
        ann,
        texts,
        sample=sample,
        remedy="call self.wake(address) once the line can take parts: what waited with Wait goes on then",
    )
    await stage.hears_all(ann, "ann")
    shown = [text for text in ann.got if text in texts]
    if shown != list(texts):
        twice = len(shown) != len(set(shown))
        raise stage.judge.failure(
            "send",
            sample,
            f"the page shows {shown}, {'one of them twice' if twice else 'in another order than they were written'}",
            "show a part under one name, Outgoing.key, however it comes; leave to `send` what is queued, in its order",
        )
    replies = [one for one in await stage.replies(talk) if one.text in texts]
    for one in replies:
        if one.state is None or one.state < State.ACCEPTED or one.state is State.FAILED:
            raise stage.judge.failure(
                "send",
                sample,
                f"{one.text!r} came, and is stored as {one.state.word if one.state is not None else 'nothing'}",
                "return Receipt() when a line has taken the part",
            )
    return replies


async def _lost_on_the_way(stage: Stage, ann: Visitor, talk: str) -> None:
    """Send what the page never reads, because its line drops; nobody but the channel can know."""
    text = "kit: lost on the way"
    await stage.reply(talk, text)
    await stage.goes_away(ann, talk, "ann")
    await stage.hub.pass_time(MOMENT)
    await stage.returns(ann, "ann")
    if text not in ann.got:
        await arrive(
            stage,
            ann,
            [text],
            sample="a reply was sent, and the line dropped before the page had it",
            remedy="when a visitor returns, show again what is sent and was not reported as delivered",
        )
    await _came_in_order_once(stage, ann, talk, [text], "a reply was sent just before the line dropped")


async def _on_two_pages(stage: Stage, ann: Visitor, talk: str) -> None:
    other = await stage.comes("ann")
    await stage.says(other, "kit: from the second page", who="ann")
    if await stage.talk("kit: from the second page", "ann") != talk:
        raise stage.judge.failure(
            "routes",
            "ann comes on a second page",
            "what she writes there is in another conversation",
            "give one address to one person, or let Case.sessions.visit say on both pages who comes",
        )
    await stage.leaves(other, "ann, on the second of two pages,")
    remedy = "count the lines of a visitor: only when the last one ends is the session disconnected"
    await _is_still_here(stage, talk, "ann leaves one of two pages", remedy=remedy)
    await stage.hub.pass_time(stage.sessions.grace + MOMENT)
    await _is_still_here(stage, talk, "ann left one of two pages, and the grace is over", remedy=remedy)
    text = "kit: to the page that is left"
    await stage.reply(talk, text)
    await _came_in_order_once(stage, ann, talk, [text], "a reply after ann left one of two pages")


# --- 18 --------------------------------------------------------------------------------------------


async def check_a_resend_is_no_duplicate(case: Case) -> None:
    """The same client id again, also over a new line, is acknowledged and kept once; another's same id is another's."""
    judge = Judge("a resend of the visitor's is no duplicate", case)
    async with staged(case, judge) as stage:
        ann, talk = await came(stage, "ann")
        await stage.says(ann, "kit: once", "kit-once", who="ann")
        await stage.talk("kit: once", "ann")
        await stage.says(ann, "kit: once", "kit-once", who="ann, again under the same id,")
        await _kept_once(stage, "ann says it twice under one id")
        await stage.goes_away(ann, talk, "ann")
        await stage.hub.pass_time(MOMENT)
        await stage.returns(ann, "ann")
        await stage.says(ann, "kit: once", "kit-once", who="ann, again after a return,")
        await _kept_once(stage, "ann says it again under one id after she came back")
        await stage.says(ann, "kit: another", "kit-another", who="ann")
        await stage.talk("kit: another", "ann")
        bob, _ = await came(stage, "bob")
        await stage.says(bob, "kit: from bob", "kit-once", who="bob, under an id that ann used,")
        rows = await stage.hub.rows("SELECT conversation_id FROM message WHERE text = :text", text="kit: from bob")
        if [row[0] for row in rows if row[0] != talk] == []:
            raise judge.failure(
                "admit",
                "bob writes under an id that ann used",
                "it was acknowledged, and is kept nowhere: it was taken for ann's",
                "put the visitor into Inbound.external_id: it is unique in the account, a page's id only in the page",
            )


async def _kept_once(stage: Stage, sample: str) -> None:
    await stage.rest()
    rows = await stage.hub.rows("SELECT id FROM message WHERE text = :text", text="kit: once")
    if len(rows) != 1:
        raise stage.judge.failure(
            "admit",
            sample,
            f"it is kept {len(rows)} times",
            "make Inbound.external_id of the page's own id, and of nothing that changes when it is sent again",
        )


# --- 19 --------------------------------------------------------------------------------------------


async def check_nothing_of_one_visitor_reaches_another(case: Case) -> None:
    """Texts go to whom they are meant for; nobody reports on, comes back for, or ends the talk of, another."""
    judge = Judge("nothing of one visitor reaches another", case)
    async with staged(case, judge) as stage:
        ann, anns = await came(stage, "ann")
        bob, bobs = await came(stage, "bob")
        if anns == bobs:
            raise judge.failure(
                "admit", "ann and bob come", "they are in one conversation", "give each visitor an address of their own"
            )
        await stage.reply(anns, "kit: for ann")
        await stage.reply(bobs, "kit: for bob")
        remedy = "hand a part to the lines of out.address.value, and to no other"
        await arrive(stage, ann, ["kit: for ann"], sample="a reply to ann, then one to bob", remedy=remedy)
        await arrive(stage, bob, ["kit: for bob"], sample="a reply to ann, then one to bob", remedy=remedy)
        for page, who in ((ann, "ann"), (bob, "bob")):
            await stage.hears_all(page, who)
            _has_only_own(stage, page, who, "a reply to ann, then one to bob")
        await stage.goes_away(ann, anns, "ann")
        await stage.reply(anns, "kit: ann, when you are back")
        if case.channel.features.reports > State.SENT:
            await _reports_on_another(stage, bob, anns)
        await stage.leaves(bob, "bob")
        await stage.hub.pass_time(MOMENT)
        await stage.returns(bob, "bob")
        await stage.hears_all(bob, "bob")
        _has_only_own(stage, bob, "bob", "ann is away and a reply to her waits; bob leaves and comes back")
        await stage.returns(ann, "ann")
        await arrive(
            stage,
            ann,
            ["kit: ann, when you are back"],
            sample="a reply to ann waited; bob came back before her",
            remedy="call self.wake(address) for the visitor whose line opened",
        )
        await stage.hears_all(ann, "ann")
        _has_only_own(stage, ann, "ann", "a reply to each, then one more to ann")
        if case.channel.features.reports > State.SENT:
            await report_follows(stage, ann, anns, "kit: ann, when you are back", case.channel.features.reports)
        await stage.ends(bob, "bob")
        await stage.leaves(bob, "bob")
        remedy = "end the session of the visitor who said so, and of no other"
        await _is_still_here(stage, anns, "bob's own talk is over", remedy=remedy)


def _has_only_own(stage: Stage, page: Visitor, who: str, sample: str) -> None:
    other = "bob" if who == "ann" else "ann"
    for text in page.got:
        if text in (f"kit: for {other}", f"kit: {other}, when you are back"):
            raise stage.judge.failure(
                "send",
                sample,
                f"{who}'s page shows {text!r}, which is {other}'s",
                "hand a part to the lines of out.address.value, and resume with the visitor's own conversation only",
            )


async def _reports_on_another(stage: Stage, bob: Visitor, anns: str) -> None:
    """Let bob report on what waits for ann, and on what she has."""
    largest = stage.channel.features.reports
    before = {part.id: part.state for one in await stage.replies(anns) for part in one.deliveries}
    for one in await stage.replies(anns):
        for part in one.deliveries:
            try:
                async with asyncio.timeout(stage.patience):
                    await bob.sees(part, largest)
                    await bob.says("kit: so there", f"kit-so-there-{part.id}")
            except Exception:  # noqa: BLE001  to lose the line for such a frame is right, too
                await stage.returns(bob, "bob")
    await stage.rest()
    for one in await stage.replies(anns):
        for part in one.deliveries:
            if part.state is not before[part.id] and part.state is largest:
                raise stage.judge.failure(
                    "admit",
                    f"bob reports {largest.word} on a part of ann's",
                    f"its state moved from {before[part.id].word} to {part.state.word}",
                    "take reports on parts that this visitor was shown, and leave out all others",
                )
