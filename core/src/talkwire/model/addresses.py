"""Who somebody is to a provider."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alias:
    """Another address under which the same person is found."""

    kind: str
    value: str
    claimed: bool = False  # they said so themselves: a way to reach them, by which nobody is found


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where one person is reached, in the channel's canonical form."""

    kind: str  # `phone` and `email` are one person in all accounts; any other kind is the account's
    value: str  # `phone`: E.164 with a plus sign; `email`: lower case
    name: str = ""  # as the provider showed it
    aliases: tuple[Alias, ...] = ()


GLOBAL_KINDS = frozenset({"phone", "email"})  # kinds whose addresses mean the same in every account
