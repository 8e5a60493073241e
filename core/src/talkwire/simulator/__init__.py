"""A small server that speaks a provider's protocol and plays the customer, for `talkwire demo` and for tests.

A channel plugin gives one by the hook `register_simulators`. It shares no code with the channel, so that a mistake
in one is not hidden by the same mistake in the other. Most of them subclass `SimulatedProvider`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """A provider and its customer on one port; servers of other protocols start and stop with the application.

    URLs have no slash at their end. `base_url` is where the application of `app` is served, `inbound_url` is the
    endpoint of the account, `/in/<endpoint>` with scheme and host. The application keeps what happened in memory.
    """

    channel: str  # the type it plays the provider of
    title: str  # for a person: `Phone (SMS)`
    app: Callable[[str], web.Application]  # (inbound_url); serves the customer's page at `/`
    # (base_url, inbound_url) → the account's own table; asked when `app` is served, so it may name ports that this opened
    settings: Callable[[str, str], Mapping[str, Any]]
    play: Callable[[str, str], Awaitable[str]]  # (base_url, text): the customer writes; gives the evidence in one line
    received: Callable[[str], Awaitable[list[str]]]  # (base_url) → texts that reached the customer, oldest first
    fault: Callable[[str, str], Awaitable[None]]  # (base_url, one of `faults`): from now on; empty: all is well
    faults: tuple[str, ...] = ()  # names of what can go wrong
