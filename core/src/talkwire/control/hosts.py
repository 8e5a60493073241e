"""The hosts that webhooks tell: tried out, and tried again."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import Any

from ..daemon import Daemon
from ..errors import NotFound
from ..sections import WebhookSettings
from ..telling.webhooks import WebhookReader
from .command import Command, Said


def webhook_of(daemon: Daemon, name: str) -> WebhookSettings:
    """Give a webhook's settings. Errors: `NotFound`, with the nearest name."""
    webhooks = {one.name: one for one in daemon.config.webhooks}
    if name not in webhooks:
        near = difflib.get_close_matches(name, webhooks, 1)
        hint = f"did you mean {near[0]}?" if near else "talkwire webhooks lists them"
        raise NotFound(f'there is no webhook "{name}"; {hint}')
    return webhooks[name]


async def _test_webhook(daemon: Daemon, said: Said) -> Any:
    """Send a host something that is no fact; where it takes that, it is told at once what waits.

    A fact at which it fails again is refused from then on, and holds up no other.
    """
    settings = webhook_of(daemon, str(said["webhook"]))
    webhook = WebhookReader(settings, daemon.clock)
    try:
        tested = await webhook.test()
    finally:
        await webhook.close()
    if tested.took:
        daemon.readers.try_now(settings.reader, is_there=True)
    return asdict(tested)


async def _resume_webhook(daemon: Daemon, said: Said) -> bool:
    """Try a host again that was away or said that it is gone."""
    name = webhook_of(daemon, str(said["webhook"])).reader
    was_gone = await daemon.readers.resume(name)
    daemon.readers.try_now(name)
    return was_gone


COMMANDS: dict[str, Command] = {"test-webhook": _test_webhook, "resume-webhook": _resume_webhook}
