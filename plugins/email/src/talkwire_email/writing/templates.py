"""Texts that are sent by their name: `{1}`, `{2}`, … stand for values, which come out as they were given."""

from __future__ import annotations

import re
from collections.abc import Mapping

from talkwire import Template, Unsupported

from ..settings import MailTemplate

_PLACE = re.compile(r"\{([1-9][0-9]?)\}")


def template_of(
    block: Template, templates: Mapping[str, MailTemplate], *, language: str, position: int
) -> MailTemplate:
    """Find a template, in the language asked for where there is such a variant.

    Errors: `Unsupported`, naming the templates that exist, or how many values this one takes.
    """
    for tongue in (block.language, language):
        variant = f"{block.name}.{tongue[:2].lower()}"
        if tongue and variant in templates:
            found = templates[variant]
            break
    else:
        if block.name not in templates:
            known = ", ".join(sorted({name.partition(".")[0] for name in templates})) or "none"
            raise Unsupported(
                f'there is no e-mail template "{block.name}"; there are: {known}', block=position, kind="template"
            )
        found = templates[block.name]
    places = {int(number) for number in _PLACE.findall(f"{found.subject} {found.text}")}
    if (wanted := max(places, default=0)) != len(block.values):
        raise Unsupported(
            f'the e-mail template "{block.name}" takes {wanted} values, not {len(block.values)}',
            block=position,
            kind="template",
        )
    return found


def filled(text: str, values: Mapping[int, str]) -> str:
    """Put values into their places."""
    return _PLACE.sub(lambda place: values[int(place[1])], text)
