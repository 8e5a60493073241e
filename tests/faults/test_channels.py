"""What breaks at the providers of our own channels, and at the server that notifies: each says what to do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from talkwire.cli import looking
from talkwire.cli.demo import _toml
from talkwire.testing.hub import WholeHub
from talkwire.testing.provider import Answers, FakeProvider, Reply, says
from talkwire_email.simulator import Office
from tests.faults.page import shows
from tests.parts.ports import free_ports

pytestmark = pytest.mark.timeout(60)  # real servers take their time

BOT = '[accounts.bot]\nchannel = "telegram"\ntoken = "123456:not-a-real-token"\napi_url = "{url}"\n'
PHONE = """
[accounts.phone]
channel = "whatsapp"
phone_number_id = "106540352242922"
token = "not-a-real-token"
app_secret = "an-app-secret-of-the-tests"
verify_token = "a-word-of-the-tests"
api_url = "{url}/v23.0"
"""
MAIL = """
[accounts.mail]
channel = "email"
address = "support@shop.example"
imap = {{ host = "127.0.0.1", port = {port}, tls = "none", password = "not-a-real-password" }}
smtp = {{ host = "127.0.0.1", port = {port}, tls = "none", password = "not-a-real-password" }}
"""
TOLD = """
[plugins.notify_email]
from = "alerts@shop.example"
server = {{ host = "127.0.0.1", port = {port}, security = "none" }}
[recipients.ops]
email = "ops@shop.example"
media = ["email"]
[[notify]]
on = ["message.received"]
to = ["ops"]
"""
PROVIDER = Answers(accept=lambda _seen, id_: Reply.json({"messages": [{"id": f"wamid.{id_}"}]}))
MESSAGE = {
    "from": "6281234567890",
    "id": "wamid.1",
    "timestamp": "1795435200",
    "type": "text",
    "text": {"body": "Hello"},
}
META = {"display_phone_number": "15550100", "phone_number_id": "106540352242922"}


async def operator(hub: WholeHub) -> str:
    """Give what `talkwire status` says of what is stored, with what is to be typed."""
    await hub.run_until_idle()
    stands, waits, _ = await hub.daemon.store.read(looking._read)
    lines = [*looking._lines(stands, waits, {}), *looking._media(hub.daemon.media(), waits.media)]
    return "\n".join(f"{line.level} {line.what} {line.text} {line.hint}" for line in lines)


async def seen(hub: WholeHub, words: str) -> str:
    """Give what the operator sees once these words are among it: a server beside us takes its time."""
    said = ""
    try:
        async with asyncio.timeout(20):
            while words not in (said := await operator(hub)):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{words!r} is not in:\n{said}") from None
    return said


async def writes(hub: WholeHub) -> Any:
    """Let a customer write by WhatsApp; gives the conversation."""
    value = {"messaging_product": "whatsapp", "metadata": META, "messages": [MESSAGE]}
    change = {"field": "messages", "value": value}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]})
    mac = hmac.new(b"an-app-secret-of-the-tests", body.encode(), hashlib.sha256).hexdigest()
    await hub.deliver("phone", body, headers={"X-Hub-Signature-256": f"sha256={mac}"})
    await hub.run_until_idle()
    return await hub.conversation


@pytest_asyncio.fixture
async def provider(fake_provider: Callable[[Answers], Any]) -> FakeProvider:
    made: FakeProvider = await fake_provider(PROVIDER)
    return made


async def test_a_mailbox_whose_server_is_gone_waits_and_says_where(start_hub: Any) -> None:
    hub = await start_hub(MAIL.format(port=free_ports(1)[0]))
    shows("mailbox gone", await seen(hub, "account mail waiting"))


async def test_a_mailbox_that_does_not_know_the_password_is_for_a_person(start_hub: Any) -> None:
    office = Office(password="a-password-that-was-changed", pause=0, slow=0.01)
    await office.start()
    try:
        wrong = _toml(office.settings()).replace("a-password-that-was-changed", "the-password-of-before")
        hub = await start_hub(f'[accounts.mail]\nchannel = "email"\n{wrong}')
        shows("mailbox refuses the password", await seen(hub, "account mail broken"))
    finally:
        await office.stop()


async def test_a_bot_whose_token_was_revoked_is_for_a_person(start_hub: Any, provider: FakeProvider) -> None:
    no = Reply.json({"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401)
    provider.always(says(no))
    hub = await start_hub(BOT.format(url=provider.url))
    shows("Telegram's token revoked", await seen(hub, "account bot broken"))


async def test_a_number_whose_token_has_ended_keeps_its_replies(start_hub: Any, provider: FakeProvider) -> None:
    hub = await start_hub(PHONE.format(url=provider.url))
    talk = await writes(hub)
    ended = {"message": "Error validating access token", "type": "OAuthException", "code": 190}
    provider.will(says(Reply.json({"error": ended}, status=401)))
    await hub.reply(talk, "It comes today.")
    shows("WhatsApp's token ended", await seen(hub, "account phone broken"))
    assert await hub.states(talk) == ["queued"]


async def test_a_mail_server_that_is_gone_delays_notifications_and_no_message(
    start_hub: Any, provider: FakeProvider
) -> None:
    hub = await start_hub(PHONE.format(url=provider.url) + TOLD.format(port=free_ports(1)[0]))
    talk = await writes(hub)
    await hub.reply(talk, "It comes today.")
    shows("server for notifications gone", await seen(hub, "look medium email"))
    assert await hub.states(talk) == ["accepted"]
