"""Whoever wrote by e-mail, WhatsApp and Telegram, and was told of by mail, leaves no word behind once forgotten."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from talkwire.cli.demo import _toml
from talkwire.lifecycle import exporting, persons
from talkwire.lifecycle.forgetting import Forgetting
from talkwire.testing.hub import WholeHub
from talkwire.testing.provider import Answers, Reply
from talkwire_email.simulator import CUSTOMER, Office
from talkwire_telegram.receiving import webhook_secret
from tests.parts.ports import free_ports

TOKEN, APP = "123456:a-token-of-the-tests", "an-app-secret-of-the-tests"
SETTINGS = """
[server]
public_url = "https://talk.example.org"
[accounts.bot]
channel = "telegram"
token = "{token}"
api_url = "{url}"
[accounts.phone]
channel = "whatsapp"
phone_number_id = "106540352242922"
token = "a-token-of-the-tests"
app_secret = "{app}"
verify_token = "a-word-of-the-tests"
api_url = "{url}/v23.0"
[accounts.mail]
channel = "email"
{mail}
[plugins.notify_email]
from = "alerts@shop.example"
server = {{ host = "127.0.0.1", port = {smtp}, security = "none" }}
[recipients.ops]
email = "ops@shop.example"
media = ["email"]
[[notify]]
on = ["message.received"]
to = ["ops"]
"""
WORD = re.compile(
    rb"zq(?:telegram|whatsapp|mail|our)[a-z]*|6281555000111|5012345678|" + re.escape(CUSTOMER.encode()), re.IGNORECASE
)
PROVIDER = Answers(
    accept=lambda seen, id_: Reply.json(
        {"messages": [{"id": f"wamid.{id_}"}]}
        if "v23.0" in seen.path
        else {
            "ok": True,
            "result": {"message_id": 900, "date": 1795435200, "chat": {"id": 5012345678, "type": "private"}},
        }
    ),
    harmless=lambda seen: (
        Reply.json({"ok": True, "result": {}}) if re.search("Webhook|getMe|Action", seen.path) else None
    ),
)


@pytest.fixture
async def office() -> Any:
    one = Office(password="a-password-of-the-tests", pause=0, slow=0.01)
    await one.start()
    yield one
    async with asyncio.timeout(20):
        await one.stop()


@pytest.fixture
async def hub(start_hub: Any, fake_provider: Any, office: Any) -> WholeHub:
    provider = await fake_provider(PROVIDER)
    mail, [smtp] = _toml(office.settings()), free_ports(1)
    started: WholeHub = await start_hub(SETTINGS.format(url=provider.url, token=TOKEN, app=APP, mail=mail, smtp=smtp))
    await started.run_until_idle()
    return started


async def write_everywhere(hub: WholeHub, office: Any) -> None:
    """Let one person write by each channel, with words that stand nowhere else."""
    chat = {"id": 5012345678, "type": "private", "first_name": "Zqtelegramname"}
    message = {
        "message_id": 3,
        "date": 1795435200,
        "chat": chat,
        "from": {**chat, "is_bot": False},
        "text": "zqtelegramtext",
    }
    shown = {"X-Telegram-Bot-Api-Secret-Token": webhook_secret(TOKEN)}
    await hub.deliver("bot", json.dumps({"update_id": 7, "message": message}), headers=shown)
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100", "phone_number_id": "106540352242922"},
        "contacts": [{"profile": {"name": "Zqwhatsappname"}, "wa_id": "6281555000111"}],
        "messages": [
            {
                "from": "6281555000111",
                "id": "wamid.1",
                "timestamp": "1795435200",
                "type": "text",
                "text": {"body": "zqwhatsapptext"},
            }
        ],
    }
    change = {"field": "messages", "value": value}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]})
    mac = hmac.new(APP.encode(), body.encode(), hashlib.sha256).hexdigest()
    await hub.deliver("phone", body, headers={"X-Hub-Signature-256": f"sha256={mac}"})
    office.written("zqmailtext", subject="zqmailsubject")
    async with asyncio.timeout(20):
        while len(await hub.conversations()) < 3:
            await asyncio.sleep(0.01)
    for talk in await hub.conversations():
        await hub.reply(talk, "zqourreply")
    await hub.run_until_idle()


async def left(hub: WholeHub, folder: Path) -> set[str]:
    """Grep every byte that the hub keeps."""
    await hub.daemon.store.scrub(rewrite=False)
    return {
        f"{path.name}: {word.decode()}"
        for path in folder.rglob("*")
        if path.is_file()
        for word in WORD.findall(path.read_bytes())
    }


@pytest.mark.one_file
@pytest.mark.timeout(60)  # a mailbox is a real server
async def test_nothing_is_left_of_who_wrote_by_each_channel_and_all_of_it_was_exported(hub, office, tmp_path):
    await write_everywhere(hub, office)
    assert await hub.rows("SELECT 1 FROM notification")
    planted = {
        "zqtelegramtext",
        "zqtelegramname",
        "5012345678",
        "zqwhatsapptext",
        "zqwhatsappname",
        "6281555000111",
        "zqmailtext",
        "zqmailsubject",
        "zqourreply",
    }
    assert {word.partition(": ")[2].lower() for word in await left(hub, tmp_path)} >= {*planted, CUSTOMER}
    daemon, exported = hub.daemon, []
    for address in ("+6281555000111", "5012345678", CUSTOMER):
        person = await daemon.store.read(lambda query, address=address: persons.find(query, address))
        archive = io.BytesIO()
        await exporting.export(daemon.store, daemon.files, daemon.plugins, person, archive)
        exported.append(zipfile.ZipFile(archive).read("talk.txt").decode())
        away = Forgetting(daemon.store, daemon.files, daemon.clock, daemon.plugins.forget)
        await away.forget(person.contact, "cli:test")
    for word, talk in zip(("zqwhatsapptext", "zqtelegramtext", "zqmailtext"), exported, strict=True):
        assert word in talk
        assert "zqourreply" in talk
    assert await left(hub, tmp_path) == set()
