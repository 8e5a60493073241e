"""The check of `render`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Unsupported
from ..model import Level, Part, Rendered
from .case import PICTURE, WORD, Case, Drafted
from .online import shows_the_picture
from .verdict import Judge, alone, said

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too


async def check_render_keeps_limits_and_loses_nothing_unsaid(case: Case) -> None:
    """Each part fits, and each word arrives or its loss is named."""
    from ..formatting import length

    judge = Judge("render keeps limits and loses nothing unsaid", case)
    features = case.channel.features
    async with alone(case) as lent:
        for drafted in case.to_render():
            try:
                rendered: object = lent.channel.render(drafted.draft, case.context())
                again = lent.channel.render(drafted.draft, case.context())
            except Unsupported as error:
                if drafted.name == "a short text":
                    raise judge.failure(
                        "render", drafted.name, f"a short text is refused: {error}", "every channel carries text"
                    ) from error
                continue
            except Exception as error:
                raise judge.failure(
                    "render",
                    drafted.name,
                    f"it raised {said(error)}",
                    "raise Unsupported, naming the block, or render it",
                ) from error
            if not isinstance(rendered, Rendered):
                raise judge.failure(
                    "render",
                    drafted.name,
                    f"it returned a {type(rendered).__name__}",
                    "return Rendered(parts, degradations)",
                )
            if rendered != again:
                raise judge.failure("render", drafted.name, "twice gave two results", "take everything from the draft")
            if not rendered.parts:
                raise judge.failure("render", drafted.name, "it gave no part", "raise Unsupported, or render it")
            if len(rendered.parts) > features.parts:
                raise judge.failure(
                    "render",
                    drafted.name,
                    f"{len(rendered.parts)} parts, and features.parts is {features.parts}",
                    "raise Unsupported, or raise features.parts",
                )
            for n, part in enumerate(rendered.parts):
                for name, text in (("text", part.text), ("plain", part.plain)):
                    if features.text_limit is not None and length(text, features.unit) > features.text_limit:
                        raise judge.failure(
                            "render",
                            drafted.name,
                            f"{name} of part {n + 1} is {length(text, features.unit)} {features.unit.value} long, "
                            f"features.text_limit is {features.text_limit}",
                            "split with talkwire.formatting.split, which measures in the provider's unit after escaping",
                        )
            _captions_fit(case, drafted, rendered, judge)
            _options_fit(case, drafted, rendered, judge)
            _nothing_unsaid(drafted, rendered, judge)
            if _lacks_its_picture(drafted, rendered):
                if case.sessions is None or features.media_for("image/png") is None:
                    raise judge.failure(
                        "render",
                        drafted.name,
                        "the picture is in no part",
                        "set Part.attachment, or name the loss as a degradation",
                    )
                await shows_the_picture(case, judge)


def _captions_fit(case: Case, drafted: Drafted, rendered: Rendered, judge: Judge) -> None:
    from ..formatting import length

    features = case.channel.features
    feature = features.media_for(case.context().attachments[PICTURE].media_type)
    if feature is None:
        return
    for n, part in enumerate(rendered.parts):
        long = max(length(text, features.unit) for text in (part.text, part.plain))
        if part.attachment == PICTURE and long > feature.caption_limit and not part.options:
            raise judge.failure(
                "render",
                drafted.name,
                f"the caption of part {n + 1} is {long} {features.unit.value} long, caption_limit is {feature.caption_limit}",
                "let what is longer than MediaFeature.caption_limit go as a text of its own",
            )


def _options_fit(case: Case, drafted: Drafted, rendered: Rendered, judge: Judge) -> None:
    features = case.channel.features
    given = [one for one in (features.buttons, features.lists) if one.level is Level.FULL]
    most = max((one.most for one in given), default=0)
    longest = max((one.title_limit for one in given), default=0)
    for n, part in enumerate(rendered.parts):
        if len(part.options) > most or any(len(option.title) > longest for option in part.options):
            raise judge.failure(
                "render",
                drafted.name,
                f"part {n + 1} has {len(part.options)} options, features allow {most} with titles of {longest} characters",
                "say more of them, or longer ones, as a numbered list in the text",
            )


def _nothing_unsaid(drafted: Drafted, rendered: Rendered, judge: Judge) -> None:
    arrived = "".join(_letters(text) for part in rendered.parts for text in _texts_of(part))
    lost = {degradation.block for degradation in rendered.degradations if degradation.lost}
    reached = 0
    for block in range(len(drafted.draft.blocks)):
        for word in drafted.words(block):
            place = arrived.find(_letters(word), reached)
            if place < 0:
                if block not in lost:
                    raise judge.failure(
                        "render",
                        drafted.name,
                        f"from the word {word!r} of block {block} on, words are missing or out of order",
                        f"carry all, or name the loss: Degradation(block={block}, what=…, text=…, lost=True)",
                    )
                break
            reached = place + len(_letters(word))
        for link in drafted.links(block):
            if _letters(link) not in arrived and block not in lost:
                raise judge.failure(
                    "render",
                    drafted.name,
                    f"where a link of block {block} leads is missing",
                    f"carry it in the text or in Part.payload, or name the loss: Degradation(block={block}, what=…, text=…, lost=True)",
                )


def _lacks_its_picture(drafted: Drafted, rendered: Rendered) -> bool:
    shown = any(PICTURE in (part.attachment, *re.findall(PICTURE, part.payload)) for part in rendered.parts)
    lost = any(degradation.lost and degradation.block == 0 for degradation in rendered.degradations)
    return "picture" in drafted.name and not shown and not lost


def _letters(text: str) -> str:
    return "".join(WORD.findall(text)).lower()


def _texts_of(part: Part) -> Iterator[str]:
    yield part.text
    for option in part.options:
        yield option.title
        yield option.description
    if part.payload:
        try:
            yield from _strings(json.loads(part.payload))
        except ValueError:
            yield part.payload


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
