"""Addresses of a header: `"Ann, Sales" <ann@shop.example>, group: bob@shop.example;`.

One pass over the tokens, whatever is nested or never closed.

Source: RFC 5322 chapter 3.4, RFC 6531 (UTF-8), RFC 5890 (A-labels).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .words import clean, decoded

LONGEST = 320  # characters of an address: 64 before the @, 255 after it (RFC 5321, 4.5.3.1)
_MOST = 500  # addresses of one field
_NAME = 200  # characters of a name
_WORD = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|<[^<>]*+>?|[(),;:>]|[^\s"(),;:<>]+|\s+', re.DOTALL)
_BARE = re.compile(r"[^\s\x00-\x20\"(),:;<>@]++@[^\s\x00-\x20\"(),:;<>@]++")
_LOCAL = re.compile(r"[^\s\x00-\x20\x7f-\x9f\"(),:;<>@]+|\"[^\"\x00-\x1f\x7f-\x9f]+\"")
_DOMAIN = re.compile(r"[^\s\x00-\x20\x7f-\x9f\"(),:;<>@]+|\[[0-9a-z:.]+\]")
_PLAIN_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\]\\]+")


@dataclass(frozen=True, slots=True)
class Named:
    """One address as a header has it."""

    value: str  # lower case, the domain as A-labels; a mailbox of a machine may come without any domain
    name: str = ""


def addresses(value: str) -> tuple[Named, ...]:
    """Give the addresses of a field, in order; what is none gives nothing."""
    found: list[Named] = []
    phrase: list[str] = []
    comment: list[str] = []
    angle = ""
    depth = 0

    def end() -> None:
        nonlocal angle
        one = _named(angle, phrase, comment)
        if one is not None:
            found.append(one)
        phrase.clear()
        comment.clear()
        angle = ""

    for word in _WORD.findall(value):
        if word == "(":
            depth += 1
        elif word == ")" and depth:
            depth -= 1
        elif depth:
            comment.append(word)
        elif word in (",", ";"):
            end()
            if len(found) >= _MOST:
                return tuple(found)
        elif word == ":":
            if not phrase or "@" not in "".join(phrase):  # the name of a group, or `mailto:`
                phrase.clear()
        elif word[0] == "<":
            angle = angle or word
        elif word != ">":
            phrase.append(word)
    end()
    if not found and depth and (bare := _BARE.search(value)) and (address := canonical(bare[0])):
        found.append(Named(address))  # in a comment that never ends
    return tuple(found)


def canonical(address: str) -> str:
    """Give an address in the form in which it is compared; empty where it is none."""
    address = address.strip().strip("<>").strip().removeprefix("mailto:")
    if '"' not in address:
        address = "".join(address.split())
    local, at, domain = address.rpartition("@")
    if not at:
        return ""
    local = local.rpartition(":")[2] if local.startswith("@") else local  # a route, `@relay.example:ann@shop.example`
    if local.startswith('"') and local.endswith('"') and _PLAIN_LOCAL.fullmatch(local[1:-1]):
        local = local[1:-1]
    domain = domain.strip(".").lower()
    if not (_LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)):
        return ""
    if not domain.isascii():
        domain = _a_labels(domain)
    made = f"{local.lower()}@{domain}"
    return made if domain and len(made) <= LONGEST else ""


def _a_labels(domain: str) -> str:
    if len(domain) > 255:
        return ""
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return domain


def _named(angle: str, phrase: list[str], comment: list[str]) -> Named | None:
    if angle:
        value = canonical(angle) or _without_domain(angle)
        words = phrase or comment
    else:
        joined = "".join(phrase).strip()
        if not joined:
            return None
        # `Ann Smith ann@shop.example`: without brackets the last word is the address.
        before, _, last = joined.rpartition(" ") if '"' not in joined else ("", "", joined)
        value = canonical(last) or _without_domain(joined)
        words = [before] if before and "@" in last else comment
    if not value:
        return None
    name = clean(decoded("".join(_said(word) for word in words)), _NAME).strip("'\" ")
    return Named(value, "" if name.lower() == value else name)


def _without_domain(text: str) -> str:
    """Give the bare name of a mailbox, `MAILER-DAEMON`; empty where it is more than one word."""
    text = text.strip("<> ").lower()
    return text if re.fullmatch(r"[a-z0-9._+-]{1,64}", text) else ""


def _said(word: str) -> str:
    if word.startswith('"'):
        return re.sub(r"\\(.)", r"\1", word[1:].removesuffix('"'))
    return word
