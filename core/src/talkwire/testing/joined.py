"""The checks of what the core joins: reports with parts, changes and albums with messages, items with accounts."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from dataclasses import replace
from urllib.parse import unquote

from ..model import Change, ChangeKind, Enclosed, Envelope, Inbound, Item, Original, Part, Receipt, Report, Unread
from .case import KEY, Case, Sample
from .outward import answers_of, over_own_lines, reached, report_of, send_once, sending_of, speaking
from .provider import Seen, accept, hang_after_acceptance
from .services import Lent
from .verdict import (
    PATIENCE,
    Judge,
    NotApplicable,
    alone,
    need_samples,
    no_faults,
    opened,
    parsed,
    said,
    valid_settings,
)

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

_ANEW = "01940000-0000-7000-8000-00000000ed17"  # `Outgoing.key` of what replaces


async def check_reports_overtake_the_receipt(case: Case) -> None:
    """A report that comes before `send` has its answer is read; where the provider gives our key back, it says so."""
    judge = Judge("reports may overtake the receipt, and settle what is uncertain", case)
    if over_own_lines(case, judge):
        raise NotApplicable("parts go over connections of the channel's own: nothing overtakes anything")
    if case.report is None:
        raise NotApplicable("the provider reports nothing after its yes: there is no Case.report")
    answers = answers_of(case, judge)
    async with speaking(case, answers) as provider, opened(case, provider, judge) as lent, alone(case) as other:
        provider.will(hang_after_acceptance())
        sending = sending_of(lent, case.outgoing(), judge)
        try:
            await reached(provider, sending, judge)
            external_id, seen = next(iter(provider.taken.items()))
            sample = report_of(case, seen, external_id, judge)
            envelope = case.genuine(sample)
            for channel in (lent, other):  # another daemon may have the webhook
                _says_whose(parsed(channel, envelope, judge, sample), sample, judge, keyed=_keyed(seen, envelope))
        finally:
            sending.cancel()
            await asyncio.wait({sending}, timeout=PATIENCE)


def _says_whose(items: tuple[Item, ...], sample: Sample, judge: Judge, *, keyed: bool) -> None:
    reports = [item for item in items if isinstance(item, Report)]
    if not reports:
        raise judge.failure(
            "parse",
            f"{sample}, before `send` had its answer",
            "it gave no Report, so what became of the part would be lost",
            "translate only, with no memory of what was sent: the core keeps a report until it knows the part",
        )
    for report in reports:
        if keyed and report.key != KEY:
            raise judge.failure(
                "parse",
                f"{sample}, before `send` had its answer",
                f"the provider gives our key back, and Report.key is {report.key!r}",
                "give Report(key=…): a part whose answer was lost has no other name, and is settled by it",
            )


def _keyed(seen: Seen, envelope: Envelope) -> bool:
    """Say whether our key went to the provider and came back."""
    back = envelope.body.decode(errors="replace") + " ".join(value for _, value in envelope.query) + envelope.path
    return KEY in _text(seen) and KEY in back


def _text(seen: Seen) -> str:
    return " ".join(
        [unquote(seen.path), *(value for _, value in seen.query), seen.body.decode(errors="replace"), str(seen.headers)]
    )


async def check_changes_and_albums_point_at_messages(case: Case) -> None:
    """What edits or revokes names its message as `parse` names it, and holds no file; an album's pictures share one group."""
    judge = Judge("changes and albums point at messages", case)
    need_samples(case, judge)
    known: set[str] = set()
    groups: dict[str, dict[str, Sample]] = defaultdict(dict)  # group → external id → where it is
    changes: list[tuple[Sample, Change]] = []
    async with alone(case) as lent:
        for sample in case.samples:
            for item in parsed(lent, case.genuine(sample), judge, sample) if sample.answer is None else ():
                match item:
                    case Inbound(group="", external_id=external_id):
                        known.add(external_id)
                    case Inbound(group=group, external_id=external_id):
                        known.add(external_id)
                        groups[group][external_id] = sample
                    case Change(kind=ChangeKind.EDIT | ChangeKind.REVOKE):
                        changes.append((sample, item))
    for group, members in groups.items():
        if len(members) < 2:
            raise judge.failure(
                "parse",
                next(iter(members.values())),
                f"one message alone is in the group {group!r}, so no album would be drawn as one",
                "give all pictures of an album the same Inbound.group and ids of their own, and samples of two of them",
            )
    for sample, change in changes:
        if any(isinstance(block, Enclosed | Original) for block in change.blocks):
            raise judge.failure(
                "parse",
                sample,
                "a file lies in Change.blocks itself, which nothing stores, so the edit would be unread",
                "give files of an edit as RemoteMedia, or as Media that were kept for it",
            )
        if change.external_id not in known:
            raise judge.failure(
                "parse",
                sample,
                f"it changes {change.external_id!r}, and no sample means a message of that id",
                "name it as Inbound.external_id names it, and add a sample of the message that is changed",
            )
    if not groups and not changes:
        raise NotApplicable("no sample edits or revokes a message, or is of an album")


async def check_a_shared_endpoint_names_its_accounts(case: Case) -> None:
    """Where several accounts share an endpoint, what is of another account says so, also beside what is of this one."""
    judge = Judge("a shared endpoint names its accounts", case)
    if not case.channel.features.shared_endpoint:
        raise NotApplicable("features.shared_endpoint is False: an endpoint is one account's")
    need_samples(case, judge)
    ours = {"", *case.channel.meant_by(valid_settings(case, judge))}
    async with alone(case) as lent:
        for sample in case.samples:
            items = parsed(lent, case.genuine(sample), judge, sample) if sample.answer is None else ()
            meant = {item.to not in ours for item in items if not isinstance(item, Unread)}
            if meant == {True, False}:
                return
    raise judge.failure(
        "parse",
        "Case.samples",
        "no sample gives an item of this account and one of another, so nothing shows that they are told apart",
        "set `to` on what is of another account to what the provider calls that; name what it calls this one in "
        "`meant_by`; and add a delivery with an event for each of two accounts",
    )


async def check_edit_replaces_in_place(case: Case) -> None:
    """`edit` makes one request that names the part that stands, and an empty part takes it away."""
    judge = Judge("edit replaces in place", case)
    if not case.channel.features.edits:
        raise NotApplicable("features.edits is False: nothing is replaced in place")
    if over_own_lines(case, judge):
        raise NotApplicable("parts go over connections of the channel's own: the checks of sessions see them")
    answers = answers_of(case, judge)
    async with speaking(case, answers) as provider, opened(case, provider, judge) as lent:
        provider.always(accept())
        receipt, error = await send_once(lent, case.outgoing(), judge, "accept", provider)
        if receipt is None:
            raise judge.failure(
                "send", "provider: accept", f"no receipt for a yes, but {said(error)}", "return Receipt"
            )
        for how, part in (("another text", case.part), ("an empty part", Part())):
            provider.shown.clear()
            await _edited(case, lent, part, how, receipt, judge)
            no_faults(provider, judge)
            requests = provider.shown or provider.requests[-1:]
            if len(provider.shown) > 1:
                raise judge.failure(
                    "edit",
                    how,
                    f"{len(provider.shown)} requests that can show something: {', '.join(map(str, provider.shown))}",
                    "one request a call, as `send`",
                )
            lacking = [word for word in re.findall(r"\w+", receipt.external_id) if word not in _text(requests[0])]
            if lacking:
                raise judge.failure(
                    "edit",
                    how,
                    f"{requests[0]} does not name the part {receipt.external_id!r}: it shows another one",
                    "ask the provider to replace, or to take away, what stands under that external id",
                )


async def _edited(case: Case, lent: Lent, part: Part, how: str, receipt: Receipt, judge: Judge) -> None:
    out = replace(case.outgoing(part), key=_ANEW, part=part)
    try:
        async with asyncio.timeout(PATIENCE):
            again: object = await lent.channel.edit(out, receipt.external_id)
    except Exception as error:
        raise judge.failure(
            "edit",
            how,
            f"it raised {said(error)}",
            "write edit, of an empty Part() too, which takes away; or set features.edits=False",
        ) from error
    if not isinstance(again, Receipt):
        raise judge.failure("edit", how, f"it returned a {type(again).__name__}", "return Receipt(…) or raise")
