"""What the checks of `send` and of secrets look at where parts go over connections of the channel's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from ..errors import Wait
from ..model import Draft, Media, Receipt, State, draft
from .case import Case
from .stage import Stage, arrive, becomes, came, staged
from .verdict import Judge, said
from .visitors import Visitor

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

HELLO = "kit: hello"
PNG = b"\x89PNG\r\n\x1a\n" + b"kit" * 8  # as much of one as tells what it is
TURNS = 12  # of the loop, after each of which `send` is cancelled once


async def shows_once(case: Case, judge: Judge) -> None:
    """Reply to somebody who is there: it is shown once, claimed as what it is, and reported on by our key."""
    reports = case.channel.features.reports
    async with staged(case, judge) as stage:
        ann, talk = await came(stage, "ann")
        await stage.reply(talk, HELLO)
        sample = "a reply while ann is connected"
        remedy = "hand the part to every open line of out.address.value"
        await arrive(stage, ann, [HELLO], sample=sample, remedy=remedy)
        await stage.hears_all(ann, "ann")
        if len(ann.got) != 1:
            raise judge.failure(
                "send",
                sample,
                f"the page shows {list(ann.got)}",
                "show a part once, under one name, Outgoing.key, however often it comes",
            )
        [part] = (await stage.replies(talk))[0].deliveries
        if part.state < State.ACCEPTED or part.state is State.FAILED:
            problem = part.problem.text if part.problem is not None else part.reason
            raise judge.failure(
                "send",
                sample,
                f"the page shows it, and it is stored as {part.state.word} ({problem or 'no reason'})",
                "return Receipt() when a line has taken the part",
            )
        if part.state > reports:
            raise judge.failure(
                "send",
                sample,
                f"it is stored as {part.state.word}, and features.reports is {reports.word}",
                "claim no more than the line said: a Receipt is SENT, what the page shows or reads is a Report",
            )
        for state in (State.DELIVERED, State.READ):
            if state <= reports:
                await report_follows(stage, ann, talk, HELLO, state)


async def report_follows(stage: Stage, page: Visitor, talk: str, text: str, state: State) -> None:
    """Let a page tell what it did with a part that it was shown, until that is stored."""
    [reply] = [one for one in await stage.replies(talk) if one.text == text]
    await stage.let(f"a page tells {state.word}", "Visitor.sees", page.sees(reply.deliveries[0], state))

    async def told() -> bool:
        [found] = [one.state for one in await stage.replies(talk) if one.id == reply.id]
        return found is not None and found >= state

    if not await becomes(stage, told):
        raise stage.judge.failure(
            "admit",
            f"a page reports {state.word} on a part that it shows",
            "the state of the part does not follow",
            "admit Report(key=Outgoing.key, state=…, at=…), or lower features.reports",
        )


async def shows_the_picture(case: Case, judge: Judge) -> None:
    """Reply with a picture that is in no part: the page may draw the message's own blocks, and must hear of it."""
    async with staged(case, judge) as stage:
        ann, talk = await came(stage, "ann")
        hub = stage.hub.daemon.hub
        picture = await hub.keep_file(_bytes(PNG), name="kit.png", limit=len(PNG))
        shown = Draft(blocks=(Media(attachment=picture.id, caption="kit: a picture"),))
        await hub.reply(talk, shown, author="agent:kit")
        try:
            async with asyncio.timeout(stage.patience):
                while picture.id not in repr(await ann.hears()):
                    pass
        except Exception as error:
            raise judge.failure(
                "render",
                "a picture with a caption",
                "the picture is in no part, and nothing that the page hears (what Visitor.hears gives) has its id",
                "set Part.attachment, or name the loss as a degradation, or let the page draw the message's own blocks",
            ) from error


async def _bytes(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def can_be_cancelled(case: Case, judge: Judge) -> None:
    """Cancel `send` wherever it waits, with somebody there and with nobody; the next reply arrives."""
    async with staged(case, judge) as stage:
        ann, talk = await came(stage, "ann")
        address = (await stage.conversation(talk)).address
        [part, *_] = stage.channel.render(draft(HELLO), replace(case.context(), address=address)).parts
        for where in ("while ann is connected", "while ann is away"):
            if "away" in where:
                await stage.goes_away(ann, talk, "ann")
            for turns in range(TURNS):
                out = case.outgoing(part, address=address, account=stage.channel.account)
                if not await _cancelled(stage, asyncio.ensure_future(stage.channel.send(out)), turns, where):
                    break
        await stage.reply(talk, "kit: after a cancelled one")
        await stage.returns(ann, "ann")
        await arrive(
            stage,
            ann,
            ["kit: after a cancelled one"],
            sample="a reply after a cancelled one",
            remedy="release locks and state in finally",
        )


async def _cancelled(stage: Stage, sending: asyncio.Future[Receipt], turns: int, where: str) -> bool:
    """Cancel after so many turns of the loop; False: it had ended by then."""
    for _ in range(turns):
        await asyncio.sleep(0)
    if sending.done():
        error = None if sending.cancelled() else sending.exception()
        if error is not None and not isinstance(error, Wait):
            raise stage.judge.failure(
                "send", where, f"it raised {said(error)}", 'raise Wait("recipient_offline") where nobody is there'
            )
        return False
    sending.cancel()
    done, _ = await asyncio.wait({sending}, timeout=stage.patience)
    if not done or not sending.cancelled():
        error = sending.exception() if done else None
        told = said(error) if error is not None else "it returned a receipt" if done else "it went on"
        raise stage.judge.failure(
            "send",
            f"cancelled {where}",
            told,
            "let CancelledError through: except Exception does, release what you hold in finally",
        )
    return True


async def talked(case: Case, judge: Judge, marker: str) -> list[tuple[str, str, str]]:
    """Let somebody come, write, be answered, go and return; give what was said about it, as `secrecy` hears it."""
    async with staged(case, judge) as stage:
        heard = [("__repr__", "the channel", repr(stage.channel))]
        ann, talk = await came(stage, "ann")
        await stage.says(ann, f"{marker} from ann", who="ann")
        await stage.reply(talk, f"{marker} to ann")
        await arrive(
            stage,
            ann,
            [f"{marker} to ann"],
            sample="a reply while ann is connected",
            remedy="hand the part to every open line of out.address.value",
        )
        await stage.goes_away(ann, talk, "ann")
        await stage.reply(talk, f"{marker} to ann, who is away")
        await stage.returns(ann, "ann")
        await stage.hears_all(ann, "ann")
        heard.append(("probe", "a whole hub", await stage.channel.probe()))
        heard += [("admit", "a fact", repr(fact)) for fact in await stage.hub.facts()]
    return [*heard, *(("log", "people come, write and go", line) for line in stage.logs.lines)]
