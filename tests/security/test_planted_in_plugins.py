"""The secrets of every plugin of ours, planted in its settings while its provider says all it hears in its errors."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import io
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from talkwire import Address, control, draft
from talkwire.api import make_admin, make_app
from talkwire.api.principals import create_keys
from talkwire.cli import app, logs
from talkwire.errors import AccountIsBroken, TalkwireError
from talkwire.testing.hub import whole_hub
from tests.security.test_planted import _Heard, found

PLUGINS = ("email", "livechat", "notify_desktop", "notify_email", "telegram", "whatsapp")
for name in PLUGINS:
    pytest.importorskip(f"talkwire_{name}")

SECRETS = {
    "Telegram's token": "123456:planted-telegram-token",
    "WhatsApp's token": "planted-whatsapp-token",
    "WhatsApp's app secret": "planted-app-secret-0123456789",
    "WhatsApp's verify token": "planted-verify-token-0123456789",
    "password of IMAP": "planted-imap-password",
    "password of SMTP": "planted-smtp-password",
    "client secret of OAuth": "planted-client-secret",
    "refresh token of OAuth": "planted-refresh-token",
    "password for notifications": "planted-notify-password",
    "secret of the live chat": "planted-chat-secret-0123456789abcdef",
}
SETTINGS = """
[log]
level = "debug"
[server]
public_url = "https://talk.example.org"
[accounts.bot]
channel = "telegram"
token = "{Telegram's token}"
api_url = "http://127.0.0.1:{http}"
[accounts.phone]
channel = "whatsapp"
phone_number_id = "106540352242922"
business_account_id = "102290129340398"
token = "{WhatsApp's token}"
app_secret = "{WhatsApp's app secret}"
verify_token = "{WhatsApp's verify token}"
api_url = "http://127.0.0.1:{http}/v23.0"
[accounts.mail]
channel = "email"
address = "support@shop.example"
imap = {{ host = "127.0.0.1", port = {imap}, tls = "none", password = "{password of IMAP}" }}
smtp = {{ host = "127.0.0.1", port = {smtp}, tls = "none", password = "{password of SMTP}" }}
[accounts.cloud]
channel = "email"
address = "cloud@shop.example"
imap = {{ host = "127.0.0.1", port = {imap}, tls = "none" }}
smtp = {{ host = "127.0.0.1", port = {smtp}, tls = "none" }}
[accounts.cloud.oauth]
token_url = "http://127.0.0.1:{http}/token"
client_id = "talkwire"
client_secret = "{client secret of OAuth}"
refresh_token = "{refresh token of OAuth}"
[accounts.site]
channel = "livechat"
origins = ["https://shop.example"]
secret = "{secret of the live chat}"
[plugins.notify_email]
from = "alerts@shop.example"
server = {{ host = "127.0.0.1", port = {smtp}, security = "none", user = "alerts", password = "{password for notifications}" }}
[plugins.notify_desktop]
vapid_key = '''{vapid}'''
vapid_contact = "mailto:ops@shop.example"
[recipients.ops]
email = "ops@shop.example"
media = ["email", "desktop"]
[[notify]]
on = ["message.received", "account.broken", "delivery.failed"]
to = ["ops"]
"""
UPDATE = {
    "update_id": 7,
    "message": {
        "message_id": 3,
        "date": 1795435200,
        "chat": {"id": 5012345678, "type": "private", "first_name": "Ana"},
        "from": {"id": 5012345678, "is_bot": False, "first_name": "Ana"},
        "text": "plantedtelegram0101",
    },
}
HOOK = {
    "messaging_product": "whatsapp",
    "metadata": {"display_phone_number": "15550100", "phone_number_id": "106540352242922"},
    "contacts": [{"profile": {"name": "Ana"}, "wa_id": "6281234567890"}],
    "messages": [
        {
            "from": "6281234567890",
            "id": "wamid.planted",
            "timestamp": "1795435200",
            "type": "text",
            "text": {"body": "plantedwhatsapp0202"},
        }
    ],
}
WORDS = {"to Telegram": "plantedtelegram0101", "to WhatsApp": "plantedwhatsapp0202", "a reply": "plantedreply0303"}


# --- servers that say again what they hear -----------------------------------------------------------------


class _Servers:
    """One for each protocol; each refuses, and tells what it heard while doing so."""

    def __init__(self) -> None:
        self.heard = b""
        self.ports: dict[str, int] = {}

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            heard = head + await reader.read(4096) if b"content-length" in head.lower() else head
            self.heard += heard
            takes = b"Webhook" in head or b"getMe" in head  # else no reply is tried at all
            said = {"ok": takes, "result": {}, "error": {"message": heard.decode()}, "description": heard.decode()}
            answer = json.dumps(said).encode()
            status = b"200 OK" if takes else b"400 Bad Request"
            writer.write(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n" % status)
            writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(answer), answer))
            await writer.drain()
        writer.close()

    async def imap(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK planted server\r\n")
        while line := await reader.readline():
            self.heard += line
            tag, _, rest = line.partition(b" ")
            if rest.upper().startswith(b"CAPABILITY"):
                writer.write(b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 AUTH=PLAIN\r\n%s OK\r\n" % tag)
            else:
                writer.write(b"%s NO it was: %s\r\n" % (tag, rest.strip()))
        writer.close()

    async def smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 planted\r\n")
        while line := await reader.readline():
            self.heard += line
            hello = line.upper().startswith(b"EHLO")
            no = b"535 it was: %s\r\n" % line.strip()
            writer.write(b"250-planted\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n" if hello else no)
        writer.close()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for serve in (self.http, self.imap, self.smtp):
                server = await stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
                self.ports[serve.__name__] = server.sockets[0].getsockname()[1]
            yield


# --- a day -------------------------------------------------------------------------------------------------


@dataclass
class Said:
    """What was said where, and what must not be in it."""

    secrets: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)
    heard: str = ""  # by the servers, and what was Base64 in it


def _heard(raw: bytes) -> str:
    """Give what was heard, and after it what was said in Base64, as signing in to a mail server is."""
    words = re.findall(rb"[A-Za-z0-9+/]{16,}={0,2}", raw)
    plain = [base64.b64decode(word) for word in words if len(word) % 4 == 0]
    return b"\n".join([raw, *plain]).decode("latin-1")


def _vapid() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


async def _play(hub: Any) -> None:
    """Let messages in by both webhooks, genuine and not, and reply everywhere; each provider refuses."""
    from talkwire_telegram.receiving import webhook_secret

    shown = {"X-Telegram-Bot-Api-Secret-Token": webhook_secret(SECRETS["Telegram's token"])}
    await hub.deliver("bot", json.dumps(UPDATE), headers=shown)
    body = json.dumps(
        {
            "object": "whatsapp_business_account",
            "entry": [{"id": "1", "changes": [{"field": "messages", "value": HOOK}]}],
        }
    )
    mac = hmac.new(SECRETS["WhatsApp's app secret"].encode(), body.encode(), hashlib.sha256).hexdigest()
    await hub.deliver("phone", body, headers={"X-Hub-Signature-256": f"sha256={mac}"})
    for token in (SECRETS["WhatsApp's verify token"], "wrong"):
        query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1158201444"}
        with contextlib.suppress(Exception):
            await hub.deliver("phone", method="GET", query=query)
    await hub.run_until_idle()
    for talk in await hub.conversations():
        await hub.reply(talk, WORDS["a reply"])
    for account in ("mail", "cloud"):
        to = (account, Address(kind="email", value="ana@example.org"))
        with contextlib.suppress(AccountIsBroken):
            await hub.daemon.replies.reply(to, draft(WORDS["a reply"]), author="agent:test")
    for account in ("bot", "phone", "mail", "cloud"):
        with contextlib.suppress(TalkwireError):
            await control.do(hub.daemon, "test", {"account": account})
    await hub.run_until_idle()
    await hub.pass_time(minutes=2)


async def _looked(hub: Any, file: Path) -> dict[str, str]:
    """Look at every page and type every command that looks."""
    said = {}
    key = await hub.daemon.store.write(create_keys, ("planted", "admin"))
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        TestClient(TestServer(make_admin(hub.daemon))) as admin,
        TestClient(TestServer(make_app(hub.daemon))) as api,
    ):
        for path in ("/", "/readyz", "/livez", "/metrics"):
            said[f"admin {path}"] = await (await admin.get(path)).text()
        for path in ("accounts", "events?after=0", "conversations"):
            said[f"api {path}"] = await (await api.get(f"/api/v1/{path}", headers=headers)).text()
        for (id_,) in await hub.rows("SELECT id FROM message"):
            answer = await api.get(f"/api/v1/trace/{id_}?bodies=true", headers=headers)
            said[f"api trace {id_}, with bodies"] = await answer.text()
    shows = [("accounts", "show", name) for name in ("bot", "phone", "mail", "cloud", "site")]
    for words in (
        ("status",),
        ("accounts", "list"),
        *shows,
        ("deliveries",),
        ("lanes", "list"),
        ("plugins",),
        ("check",),
    ):
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(file), *words])
        assert not isinstance(ran.exception, Exception) or isinstance(ran.exception, SystemExit), words
        assert "Usage:" not in ran.output, words
        said[" ".join(words)] = ran.output
    return said


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """Live through it once."""
    folder, heard, out, vapid = tmp_path_factory.mktemp("plugins"), _Heard(), io.StringIO(), _vapid()
    said = Said({**SECRETS, "key of push": vapid.splitlines()[1]})
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        servers = _Servers()
        async with servers.serving():
            settings = SETTINGS.format(vapid=vapid, **SECRETS, **servers.ports)
            file = folder / "talkwire.toml"
            file.write_text(settings)
            async with whole_hub(settings, folder) as hub:
                logs.configure("json", "debug", hub.daemon.config)
                root.addHandler(heard)
                await hub.run_until_idle()
                await _play(hub)
                said.said |= await _looked(hub, file)
                said.said["repr"] = " ".join(
                    repr(vars(one)) for one in vars(hub.daemon).values() if hasattr(one, "__dict__")
                )
                for one in hub.daemon.accounts.by_name.values():
                    said.said[f"repr of {one.channel}"] = f"{vars(one.channel)} {one.channel.settings!r}"
    root.handlers[:], root.level = before
    said.said["log as it came"], said.said["log"] = "\n".join(heard.lines), out.getvalue()
    said.heard = _heard(servers.heard)
    said.said["database"] = (folder / "talkwire.db").read_bytes().decode("latin-1")
    return said


pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(60),  # the day goes through six plugins and a dozen commands
]


async def test_every_secret_that_is_shown_to_a_provider_was_heard_and_said_again(day: Said) -> None:
    ours = {"WhatsApp's app secret", "WhatsApp's verify token", "secret of the live chat", "key of push"}
    assert {what for what, secret in day.secrets.items() if secret in day.heard} == day.secrets.keys() - ours
    assert {place for place, said in day.said.items() if not said.strip()} == set()
    kept = {hit.partition(":")[0] for hit in found(WORDS, day.said["database"])}
    assert kept == WORDS.keys()


async def test_no_secret_of_a_plugin_is_anywhere(day: Said) -> None:
    assert {place: hits for place, said in day.said.items() if (hits := found(day.secrets, said))} == {}


async def test_no_word_of_a_customer_or_a_reply_is_in_a_log(day: Said) -> None:
    assert {
        place: hits for place in ("log", "log as it came", "status") if (hits := found(WORDS, day.said[place]))
    } == {}
