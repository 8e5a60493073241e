"""Whether a case has the form that every check stands on; without it, each would trip over the same stone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints

import pydantic

from ..channel import Channel
from ..features import Features
from ..model import Envelope
from ..notifier import Notifier, NotifierFeatures
from .case import Case, Sample
from .counterparts import NotifierCase
from .shapes import misfits
from .verdict import Failure, said

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

_TYPE = re.compile(r"[a-z][a-z0-9_]*")  # what the core takes for a name
_APART = frozenset({"channel", "notifier", "sessions"})  # fields that are judged elsewhere


def check_form(case: Case | NotifierCase) -> None:
    """Ask for a class of ours, and for fields that hold what their types promise.

    Errors: `Failure`, before anything of the author's is run but `sign`.
    """
    _check_class(case)
    for where, what in _misfits(case):
        raise _failure(
            type(case).__name__,
            where,
            what,
            "give what the field's type asks for; a single thing in a tuple is written with a comma: (Sample(…),)",
        )
    if isinstance(case, Case):
        for sample in (*case.samples, *case.unknown):
            _check_sample(case, sample)


def _failure(method: str, sample: object, what: str, remedy: str) -> Failure:
    return Failure("the case can be judged", method, str(sample), what, remedy)


def _check_class(case: Case | NotifierCase) -> None:
    base, features = (Channel, Features) if isinstance(case, Case) else (Notifier, NotifierFeatures)
    field = base.__name__.lower()
    judged: Any = case.subject  # or whatever was given in its place
    if not (isinstance(judged, type) and issubclass(judged, base)):
        what = f"{judged!r:.80} is no subclass of talkwire.{base.__name__}"
        raise _failure(type(case).__name__, f"{type(case).__name__}.{field}", what, f"give the class itself: {field}=…")
    name: str = judged.__name__
    kind = str(getattr(judged, "type", ""))
    if not _TYPE.fullmatch(kind):
        what = f"it is {kind!r}, and a plugin that brings it is not loaded"
        remedy = 'write `type = "…"`, a word of a-z, 0-9 and underscore: settings name it by this'
        raise _failure(f"{name}.type", "the class", what, remedy)
    if not _is_model(judged.Settings):
        what = f"it is {judged.Settings!r:.80}, and no class that reads a table"
        raise _failure(f"{name}.Settings", "the class", what, "write a subclass of talkwire.Settings, and name it here")
    if not isinstance(judged.features, features):
        what = f"it is of the type {type(judged.features).__name__}"
        remedy = f"write features = {features.__name__}(…)"
        raise _failure(f"{name}.features", "the class", what, remedy)
    try:
        inspect.signature(judged).bind("settings", "services")
    except TypeError as error:
        what = f"the core makes it of settings and services, and it takes others: {error}"
        instead = "`prepare`" if isinstance(case, Case) else "`async def open`"
        remedy = f"write no __init__, but {instead}, which is called when settings and services are there"
        raise _failure(f"{name}.__init__", "the class", what, remedy) from None
    if isinstance(case, NotifierCase) and case.notifier.deliver is Notifier.deliver:
        remedy = "write `async def deliver(self, notification)`, which returns Shown(), Handed() or Suppressed(reason)"
        raise _failure(f"{name}.deliver", "the class", "it is not written, so nobody is told anything", remedy)


def _is_model(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, pydantic.BaseModel)


def _misfits(case: Case | NotifierCase) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(type(case))
    for field in fields(case):
        if field.name not in _APART:
            value: Any = getattr(case, field.name)
            for fault in misfits(value, hints[field.name], f"{type(case).__name__}.{field.name}"):
                where, _, what = fault.partition(": ")
                yield where, what


def _check_sample(case: Case, sample: Sample) -> None:
    try:
        raw = sample.raw()
    except (OSError, TypeError, ValueError) as error:
        remedy = "name a file that is there, or give bytes, text, or what JSON can hold"
        raise _failure("Case.samples", sample, f"it makes no envelope: {said(error)}", remedy) from error
    try:
        made: object = case.sign(raw) if case.sign is not None else raw
    except Exception:  # noqa: BLE001  the check that needs it names the line
        return
    if not isinstance(made, Envelope):
        what = f"it gave {made!r:.80} instead of an Envelope"
        raise _failure("Case.sign", sample, what, "return with_header(envelope, name, value), or with_param")


__all__ = ["check_form"]
