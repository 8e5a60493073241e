"""WhatsApp: customers write to a business number, and are answered through Meta's Cloud API."""

from __future__ import annotations

from talkwire import Channel, Simulator, hookimpl

from .settings import WhatsAppSettings

__all__ = ["WhatsAppSettings"]


@hookimpl
def register_channels() -> list[type[Channel]]:
    """Give the channel."""
    from .channel import WhatsApp

    return [WhatsApp]


@hookimpl
def register_simulators() -> list[Simulator]:
    """Give Meta with a phone, for the demo."""
    from .simulator import simulator

    return [simulator()]
