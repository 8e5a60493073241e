"""What is kept secret, cut out of what is recorded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretBytes, SecretStr
from yarl import URL

SECRET_NAMES = frozenset(  # query parameters and JSON keys whose values are never recorded
    [
        "access_token",
        "api_key",
        "apikey",
        "auth",
        "auth_token",
        "authorization",
        "client_secret",
        "id_token",
        "key",
        "pass",
        "passwd",
        "password",
        "refresh_token",
        "secret",
        "secret_token",
        "sig",
        "signature",
        "token",
    ]
)
TEXT_NAMES = frozenset(  # … and those that carry what people wrote
    ["body", "caption", "content", "html", "message", "msg", "subject", "text", "title"]
)
_NAMES_KEPT = 1000
_LONG = 64  # characters; a longer value, or one with white space, is taken for what people wrote


def secrets_of(value: Any) -> tuple[str, ...]:
    """Find every secret in settings, however deep; one of bytes as latin-1 text, an empty one not at all."""
    return tuple(filter(None, _secrets(value)))


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode("latin-1")
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping | list | tuple | set | frozenset):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _secrets(inner)


class _Kind(Enum):
    """What a name says about its value."""

    SECRET = auto()
    TEXT = auto()
    OTHER = auto()


class Redactor:
    """Cuts secrets and texts of people out of what is recorded."""

    def __init__(self, secrets: Iterable[str], names: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)  # a secret may hold another one
        self._shortest = min(map(len, forms), default=0)
        self._names = SECRET_NAMES | {name.lower() for name in names}
        self._kinds: dict[str, _Kind] = {}  # of names that were met

    def text(self, text: str) -> str:
        """Cut secrets, also where they are percent-encoded, in base64 or escaped for JSON."""
        if len(text) >= self._shortest:
            for secret in self._secrets:
                text = text.replace(secret, "***")
        return text

    def value(self, name: str, value: Any, cut: set[str], keep: frozenset[str] = frozenset()) -> Any:
        """Give the shape of a value: numbers and short words stay; what was cut is added to `cut`.

        Texts under the names in `keep` stay whole.
        """
        match value:
            case str():
                return self._text(name, value, cut, keep)
            case None | True | False:
                return value
            case int() | float():
                return "***" if self._kind(name) is _Kind.SECRET else value
            case dict() | Mapping():
                return {str(key): self.value(str(key), inner, cut, keep) for key, inner in value.items()}
            case list() | tuple():
                return [self.value(name, inner, cut, keep) for inner in value]
        return self._text(name, str(value), cut, keep)

    def _text(self, name: str, text: str, cut: set[str], keep: frozenset[str]) -> str:
        if not text:
            return text
        if (kind := self._kind(name)) is _Kind.SECRET:
            return "***"
        if (public := self.text(text)) != text:
            return public if len(text) <= _LONG else "***"
        if keep and name.lower() in keep:
            return text
        if kind is _Kind.TEXT or len(text) > _LONG or len(text.split(None, 1)) > 1:
            cut.add(text)
            return f"({len(text)} characters)"
        return text

    def _kind(self, name: str) -> _Kind:
        kind = self._kinds.get(name)
        if kind is None:
            lower = name.lower()
            kind = _Kind.SECRET if lower in self._names else _Kind.TEXT if lower in TEXT_NAMES else _Kind.OTHER
            if len(self._kinds) >= _NAMES_KEPT:  # a provider may name its values by ids
                self._kinds.clear()
            self._kinds[name] = kind
        return kind


def _forms(secret: str) -> Iterable[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    yield URL.build(path=f"/{secret}").raw_path[1:]
    yield json.dumps(secret)[1:-1]
    yield base64.b64encode(secret.encode()).decode()
