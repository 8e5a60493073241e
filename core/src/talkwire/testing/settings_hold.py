"""The checks of settings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic

from .damage import Path, changed, dotted
from .verdict import AnyCase, Judge, NotApplicable, planted_secrets, valid_settings

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

_SOUNDS_SECRET = re.compile(r"(^|_)(token|secret|password|passwd|passphrase|(api|access|private|auth)_?key)s?$")


async def check_settings_refuse_unknown_keys(case: AnyCase) -> None:
    """A key that nobody reads is refused, at every depth: a typing error must not pass for a setting."""
    judge = Judge("settings refuse unknown keys", case)
    valid_settings(case, judge)
    for path in _tables(case.subject.Settings, case.settings):
        key = dotted((*path, "kit_unknown"))
        try:
            case.subject.Settings.model_validate(changed(dict(case.settings), (*path, "kit_unknown"), "x"))
        except pydantic.ValidationError:
            continue
        raise judge.failure(
            "Settings",
            f"Case.settings with {key}",
            f"the unknown key {key} was taken in silence",
            "subclass talkwire.Settings, or set model_config = ConfigDict(extra='forbid') on this model",
        )


async def check_settings_hide_secrets(case: AnyCase) -> None:
    """A secret is a SecretStr, and neither `repr` nor JSON nor a fault of the settings shows it."""
    judge = Judge("settings hide secrets", case)
    settings = valid_settings(case, judge)
    for name in _open_secrets(settings, case.public):
        raise judge.failure(
            "Settings",
            f"Case.settings[{name!r}]",
            f"{name} sounds like a secret and is not a pydantic.SecretStr",
            f"write `{name.split('.')[-1]}: SecretStr`, or name it in Case.public if anybody may read it",
        )
    secrets = planted_secrets(case, judge)
    if not secrets:
        raise NotApplicable("no setting of this case is secret, and none sounds so")
    try:
        case.subject.Settings.model_validate({**case.settings, "kit_unknown": list(secrets)})
    except pydantic.ValidationError as error:
        fault = str(error)
    else:
        fault = ""
    for where, text in (
        ("repr", repr(settings)),
        ("str", str(settings)),
        ("model_dump_json", settings.model_dump_json()),
        ("a fault", fault),
    ):
        for secret in secrets:
            if secret in text:
                raise judge.failure(
                    "Settings",
                    f"{where} of Case.settings",
                    f"{where} shows a secret (it ends in …{secret[-3:]})",
                    "use pydantic.SecretStr, and model_config with hide_input_in_errors=True as talkwire.Settings has it",
                )


def _tables(hint: Any, value: Any, place: Path = ()) -> Iterator[Path]:
    """Name every table of the settings that a model of its own reads."""
    if get_origin(hint) in (Union, UnionType, Annotated):
        for one in get_args(hint):
            yield from _tables(one, value, place)
    elif isinstance(value, list | tuple):
        for one in get_args(hint)[:1]:
            for number, held in enumerate(value):
                yield from _tables(one, held, (*place, number))
    elif isinstance(value, Mapping) and inspect.isclass(hint) and issubclass(hint, pydantic.BaseModel):
        yield place
        for name, field in hint.model_fields.items():
            key = field.alias or name
            yield from _tables(field.annotation, value.get(key), (*place, key))
    elif isinstance(value, Mapping):
        for one in get_args(hint)[1:]:
            for key, held in value.items():
                yield from _tables(one, held, (*place, key))


def _open_secrets(model: pydantic.BaseModel, public: Iterable[str], at: str = "") -> Iterator[str]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, pydantic.BaseModel):
            yield from _open_secrets(value, public, f"{at}{name}.")
        elif isinstance(value, str) and value and _SOUNDS_SECRET.search(name) and name not in public:
            yield at + name
