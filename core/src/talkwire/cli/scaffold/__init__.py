"""A new channel or notifier as a distribution of its own, whose kit is green before a line of it is changed.

The templates are a whole plugin called `acme`; making one replaces that word. Files that both kinds of channels share
lie in `templates/both`. Their names end in `.in`, so that no tool takes them for sources of ours.
"""

from __future__ import annotations

import keyword
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution, entry_points, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ...errors import Conflict, TalkwireError
from ...facts import FACTS

Kind = Literal["webhook", "poll", "notifier"]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_TAKEN = {  # what a name means already, wherever plugins are named
    **{fact.partition(".")[0]: "facts of Talkwire's own begin with it" for fact in FACTS},
    "talkwire": "it is ours",
    "notify": "notifiers begin with it",
    "core": "tables of Talkwire's own are kept under it",
    "enabled": "in [plugins] it lists those that are on",
}
_LONGEST = 40  # characters; a name becomes part of file names, host names and table names


class BadName(TalkwireError):
    """The name cannot become that of a plugin; the text says why, and which could."""


def make(name: str, kind: Kind, folder: Path) -> list[Path]:
    """Write the distribution `talkwire-<name>` into a folder of that name inside `folder`, and give its files.

    A notifier's is `talkwire-notify-<name>`: the medium is called `<name>`.
    `name` has lower-case letters, digits and single `-` or `_` between them. Errors: `BadName`; `Conflict` where a
    plugin or package of this name is installed, or the folder is there: nothing is overwritten, and nothing written.
    """
    words = _words(_checked(name))
    _is_free("_".join(["notify", *words] if kind == "notifier" else words))
    line = ".".join(version("talkwire").split(".")[:2]) + ".0"
    begin, sources = ("talkwire-notify-", ("notifier",)) if kind == "notifier" else ("talkwire-", ("both", kind))
    target = folder / f"{begin}{'-'.join(words)}"
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise Conflict(f"{target} is there already; choose another name, or another folder") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise TalkwireError(f"{target} cannot be made: {reason}; choose another folder") from error
    written = []
    for source in sources:
        for path, template in _templates(files(__package__) / "templates" / source):
            file = target / _named(path, words).removesuffix(".in")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_named(template, words).replace("~=0.1.0", f"~={line}"), "utf-8")
            written.append(file)
    return sorted(written)


def _checked(name: str) -> str:
    if reason := _TAKEN.get(name):
        raise BadName(f"{name!r} is no name for a plugin: {reason}; choose another, such as my-{name}")
    if keyword.iskeyword(name):
        raise BadName(f"{name!r} is no name for a plugin: a word of Python itself; choose another, such as my-{name}")
    if len(name) <= _LONGEST and _NAME.fullmatch(name) and not re.match("talkwire[-_]|notify[-_]", name):
        return name
    near = (
        re.sub(r"[^a-z0-9]+", "-", name.lower())
        .removeprefix("talkwire")
        .strip("-")
        .removeprefix("notify-")
        .strip("-0123456789")[:_LONGEST]
        .strip("-")
    )
    hint = f"; {near} would do" if near else ""
    raise BadName(
        f"{name!r} is no name for a plugin: at most {_LONGEST} lower-case letters and digits, beginning with a letter, "
        f"single hyphens between them, without talkwire- and notify-{hint}"
    )


def _is_free(plugin: str) -> None:
    """Refuse a plugin that would meet an installed one. Errors: `Conflict`.

    Names of the standard library are free: `signal` and `email` are channels, and the package is `talkwire_signal`.
    """
    package = f"talkwire_{plugin}"
    there = next((entry.dist for entry in entry_points(group="talkwire") if entry.name == plugin), None)
    there = there or _installed(package.replace("_", "-"))
    if there is not None or find_spec(package) is not None:
        owner = f"{there.metadata['Name']} {there.version}" if there is not None else f"the package {package}"
        raise Conflict(f"a plugin {plugin} is installed already, {owner}; choose another name, or uninstall it first")


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)  # compared as PyPI does: my_shop and my.shop are my-shop
    except PackageNotFoundError:
        return None


def _words(name: str) -> list[str]:
    return re.split("[-_]", name)


_DASHED = r"(?<=talkwire-)acme|(?<=talkwire-notify-)acme|acme(?=\.example)"  # in names of distributions and hosts
_JOINED = r"\bacme\b|(?<=talkwire_)acme|(?<=notify_)acme"
_EITHER = re.compile(f"(?P<dashed>{_DASHED})|(?P<joined>{_JOINED})|(?P<title>Acme)|(?P<upper>ACME)")


def _named(text: str, words: list[str]) -> str:
    """Put the name in the place of the template's, in one pass: a new name may hold the old one."""
    forms = {
        "dashed": "-".join(words),
        "joined": "_".join(words),
        "title": "".join(word.capitalize() for word in words),
        "upper": "_".join(words).upper(),
    }
    return _EITHER.sub(lambda found: forms[found.lastgroup or ""], text)


def _templates(folder: Traversable, path: str = "") -> list[tuple[str, str]]:
    found = []
    for entry in folder.iterdir():
        where = f"{path}/{entry.name}".lstrip("/")
        if entry.is_dir():
            found += _templates(entry, where)
        elif entry.name.endswith(".in"):
            found.append((where, entry.read_text("utf-8")))
    return found
