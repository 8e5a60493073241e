"""Notifications as signed POST requests.

Source: Standard Webhooks, "Webhook metadata" and "Signature scheme", read 2026-11-28: what is signed is
`id.timestamp.body`; whoever takes requests remembers their ids, and takes the same one once.
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import asdict

import aiohttp
from pydantic import HttpUrl, SecretStr, field_validator

from talkwire import (
    Handed,
    Notification,
    Notifier,
    NotifierFeatures,
    Refused,
    Settings,
    TryLater,
    hookimpl,
    retry_after,
)

NOT_NOW = {401, 403, 404, 405, 408, 425, 429}  # says less of a notification than of its host: a person mends that


class WebhookSettings(Settings):
    """The table `[plugins.notify_webhook]`."""

    url: HttpUrl
    """Where the requests go."""
    secret: SecretStr
    """Signs them: `whsec_` and 24 to 64 bytes in base64; `talkwire webhooks secret` makes one."""

    @field_validator("secret")
    @classmethod
    def _is_base64(cls, secret: SecretStr) -> SecretStr:
        key_of(secret)
        return secret


def key_of(secret: SecretStr) -> bytes:
    """Read a secret."""
    return base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)


class WebhookNotifier(Notifier):
    """Says `Handed`: the host has it, and nobody tells us who has looked."""

    type = "webhook"
    Settings = WebhookSettings
    features = NotifierFeatures(actions=8, withdraws=True)
    http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let the connections go."""
        if self.http is not None:
            await self.http.close()
            self.http = None

    async def deliver(self, notification: Notification) -> Handed:
        """Post what there is to be seen, with the ids of its buttons."""
        shown = {name: getattr(notification, name) for name in ("kind", "title", "text", "conversation", "account")}
        actions = [{"id": action.id, "label": action.title} for action in notification.actions]
        details = [asdict(detail) for detail in notification.details]
        await self.post("created", notification, {**shown, "details": details, "actions": actions})
        return Handed()

    async def withdraw(self, notification: Notification) -> None:
        """Post that it is over."""
        await self.post("withdrawn", notification, {})

    async def post(self, what: str, notification: Notification, data: dict[str, object]) -> None:
        """Sign and post. Errors: `TryLater`, `Refused`."""
        who = {"id": notification.id, "recipient": notification.recipient}
        body = json.dumps({"type": f"notification.{what}", "data": {**who, **data}}).encode()
        id_, when = f"{notification.id}-{what}", str(int(self.clock.now().timestamp()))
        digest = hmac.digest(key_of(self.settings.secret), f"{id_}.{when}.".encode() + body, "sha256")
        signed = {
            "webhook-id": id_,
            "webhook-timestamp": when,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }
        self.http = self.http or aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))  # seconds
        try:
            headers = {"content-type": "application/json", **signed}
            async with self.http.post(
                str(self.settings.url), data=body, headers=headers, allow_redirects=False
            ) as answer:
                status, after = answer.status, retry_after(answer.headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TryLater(f"the webhook cannot be reached: {type(error).__name__}") from None
        if status >= 500 or status in NOT_NOW:
            raise TryLater(f"the webhook answers {status}", after=after)
        if status >= 300:
            raise Refused(f"the webhook answers {status}")


@hookimpl
def register_notifiers() -> list[type[Notifier]]:
    """Give the notifier."""
    return [WebhookNotifier]
