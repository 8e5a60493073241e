"""The name that was meant by one that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel


def nearest(name: str, known: Iterable[str]) -> str:
    """Give the end of a sentence, with the nearest of the known names; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def keys_at(kind: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Name the keys of the model that lies at a path of a model, as a fault of pydantic's gives it.

    Where several models may lie there, the path goes on with the word by which they are told apart.
    """
    inner: list[type[BaseModel]] = [kind]
    for step in path:
        if isinstance(step, int):  # a place in a list
            continue
        tagged = [one for one in inner if len(inner) > 1 and step in _tags(one)]
        fields = [one.model_fields[step] for one in inner if step in one.model_fields]
        inner = tagged or [one for field in fields for one in _models(field.annotation)] or inner
    return [field.alias or name for name, field in inner[0].model_fields.items()]


def _tags(kind: type[BaseModel]) -> Iterator[Any]:
    field = kind.model_fields.get("type")
    yield from get_args(field.annotation) if field is not None else ()


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
