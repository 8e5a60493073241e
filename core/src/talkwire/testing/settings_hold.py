"""The checks of settings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic

from .case import Case
from .verdict import Judge, planted_secrets, valid_settings

_SOUNDS_SECRET = re.compile(r"(^|_)(token|secret|password|passwd|passphrase|(api|access|private|auth)_?key)s?$")


async def check_settings_refuse_unknown_keys(case: Case) -> None:
    """A key that nobody reads is refused, at every depth: a typing error must not pass for a setting."""
    judge = Judge("settings refuse unknown keys", case)
    valid_settings(case, judge)
    for path in _tables(case.channel.Settings, case.settings):
        key = ".".join((*path, "kit_unknown"))
        try:
            case.channel.Settings.model_validate(_with(case.settings, path, "kit_unknown", "x"))
        except pydantic.ValidationError:
            continue
        raise judge.failure(
            "Settings",
            f"Case.settings with {key}",
            f"the unknown key {key} was taken in silence",
            "subclass talkwire.Settings, or set model_config = ConfigDict(extra='forbid') on this model",
        )


async def check_settings_hide_secrets(case: Case) -> None:
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
    try:
        case.channel.Settings.model_validate({**case.settings, "kit_unknown": list(secrets)})
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


def _tables(
    model: type[pydantic.BaseModel], value: Mapping[str, Any], at: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Name every table of the settings that a model of its own reads."""
    yield at
    for name, field in model.model_fields.items():
        inner, given = field.annotation, value.get(name)
        if inspect.isclass(inner) and issubclass(inner, pydantic.BaseModel) and isinstance(given, Mapping):
            yield from _tables(inner, given, (*at, name))


def _with(settings: Mapping[str, Any], path: tuple[str, ...], key: str, value: Any) -> dict[str, Any]:
    if not path:
        return {**settings, key: value}
    return {**settings, path[0]: _with(settings[path[0]], path[1:], key, value)}


def _open_secrets(model: pydantic.BaseModel, public: Iterable[str], at: str = "") -> Iterator[str]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, pydantic.BaseModel):
            yield from _open_secrets(value, public, f"{at}{name}.")
        elif isinstance(value, str) and value and _SOUNDS_SECRET.search(name) and name not in public:
            yield at + name
