"""The channel: what Meta calls and what is called at Meta, each in the modules that it is put together from."""

from __future__ import annotations

from typing import ClassVar

from talkwire import Channel, Features

from .settings import WhatsAppSettings


class WhatsApp(Channel):
    """A business number on WhatsApp."""

    type = "whatsapp"
    Settings = WhatsAppSettings
    settings: WhatsAppSettings
    features: ClassVar[Features] = Features()
