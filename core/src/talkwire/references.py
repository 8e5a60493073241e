"""References in the values of a settings file: `${NAME}`, `${NAME:-default}`, `${file:/path}`, `$$`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Step = str | int

_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{file:(?P<file>[^}]+)\}|\{(?P<env>[A-Za-z_]\w*)(?P<or>:-(?P<default>[^}]*))?\}|(?P<bad>\{))"
)


class References:
    """Puts in what references stand for, after parsing, so that no value can change the document."""

    def __init__(self, base: Path, env: Mapping[str, str], fault: Callable[[Sequence[Step], str], None]) -> None:
        self._base = base
        self._env = env
        self._fault = fault
        self.given: set[str] = set()  # what came from outside the file: never shown

    def resolve(self, value: Any, *path: Step) -> Any:
        """Give a table with its references replaced, in string values only; keys stay as they are."""
        if isinstance(value, dict):
            return {key: self.resolve(inner, *path, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.resolve(inner, *path, i) for i, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        return _REFERENCE.sub(lambda match: self._one(match, path), value)

    def _one(self, match: re.Match[str], path: Sequence[Step]) -> str:
        name = match["env"]
        if match["dollar"]:
            return "$"
        if match["bad"]:
            self._fault(path, "write ${NAME}, ${NAME:-default} or ${file:/path}; $$ is a dollar sign")
            return ""
        if match["file"]:
            given = self._file(match["file"], path)
        elif match["or"] and not self._env.get(name):  # empty counts as missing, as in a shell
            return match["default"]
        elif name in self._env:
            given = self._env[name]
        else:
            self._fault(path, f"the environment variable {name} is not set")
            return ""
        self.given.update((given, given.strip()))
        return given

    def _file(self, name: str, path: Sequence[Step]) -> str:
        reason = "it is not UTF-8"
        try:
            return (self._base / name).read_text("utf-8").removesuffix("\n")
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
        except UnicodeDecodeError:
            pass  # its text and its `object` hold the content: not chained
        self._fault(path, f"file {name} cannot be read: {reason}")
        return ""
