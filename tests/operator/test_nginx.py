"""Behind a real nginx, with the very text of the how-to: TLS, sockets, streams, large bodies, and who asks."""

import asyncio
import contextlib
import io
import shutil

import aiohttp
import pytest
from pydantic import SecretBytes

from talkwire.account_states import pause
from talkwire.api import principals
from talkwire.cli import online
from talkwire.daemon import Daemon
from talkwire.serving import serving
from talkwire.settings import RawConfig, load_raw
from tests.docs.pages import ROOT
from tests.journeys.door_hub import Doors
from tests.parts.nginx import certificate, here, nginx
from tests.parts.ports import free_ports

CONFIG = ROOT / "deploy" / "nginx.conf"
pytestmark = [
    pytest.mark.skipif(not CONFIG.is_file(), reason="reads the checkout's own files; this is a copy of the tests"),
    pytest.mark.needs("nginx"),
]
NAME = "talk.example.org"
CUSTOMER = "127.0.0.2"  # where customers call from; nginx itself calls from 127.0.0.1
SETTINGS = """
[server]
listen = "127.0.0.1:0"
public_url = "https://talk.example.org"
trusted_proxies = ["127.0.0.1"]
[admin]
listen = "127.0.0.1:0"
[accounts.front]
channel = "door"
"""


class Site:
    """The public address, as a customer sees it."""

    def __init__(self, daemon, http, https, folder, session):
        self.daemon, self.folder, self.session = daemon, folder, session
        self.plain = f"http://127.0.0.1:{http}"
        self.url = f"https://127.0.0.1:{https}"

    def get(self, path, **more):
        return self.session.get(self.url + path, server_hostname=NAME, **more)

    def post(self, path, **more):
        return self.session.post(self.url + path, server_hostname=NAME, **more)


@pytest.fixture
async def site(tmp_path, empty_database):
    shutil.copyfile(empty_database, tmp_path / "talkwire.db")
    config, plugins = load_raw(RawConfig(SETTINGS, tmp_path / "talkwire.toml", {}), extra={"door": Doors()})
    daemon = Daemon(config, plugins, keys=[SecretBytes(b"k" * 32)])
    http, https, second = free_ports(3)
    made = certificate(tmp_path, NAME)
    async with contextlib.AsyncExitStack() as stack:
        bound = await stack.enter_async_context(serving(daemon))
        changes = {
            "listen [::]:80;": "",
            "listen [::]:443 ssl http2;": f"listen 127.0.0.1:{second} ssl http2;",
            "listen 80;": f"listen 127.0.0.1:{http};",
            "listen 443 ssl": f"listen 127.0.0.1:{https} ssl",
            "127.0.0.1:8080": bound.public.removeprefix("http://"),
            "/etc/letsencrypt/live/talk.example.org/fullchain.pem": str(made.chain),
            "/etc/letsencrypt/live/talk.example.org/privkey.pem": str(made.key),
            "/var/log/nginx": str(tmp_path),
        }
        await stack.enter_async_context(nginx(tmp_path, here(CONFIG.read_text(), changes), https))
        connector = aiohttp.TCPConnector(ssl=made.believed(), local_addr=(CUSTOMER, 0))
        headers = {"Host": NAME}
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, headers=headers))
        yield Site(daemon, http, https, tmp_path, session)


async def test_the_world_is_served_over_tls_and_who_asks_is_known(site):
    async with site.get("/livez") as answer:
        assert (answer.status, await answer.text()) == (200, "ok")
    async with site.session.get(f"{site.plain}/in/shop?token=t", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"https://{NAME}/in/shop?token=t")
    async with site.get("/c/front/remote") as answer:
        assert await answer.text() == CUSTOMER
    for lie in ("192.0.2.1", "192.0.2.1, 127.0.0.1", "127.0.0.1", "::1"):  # whoever writes it stands at the left
        async with site.get(
            "/c/front/remote", headers={"X-Forwarded-For": lie, "X-Forwarded-Proto": "gopher"}
        ) as answer:
            assert await answer.text() == CUSTOMER
    async with site.get("/readyz") as answer:
        assert answer.status == 404  # reasons are for operators
    async with site.get("/c/front/remote?token=planted-secret"):
        pass
    said = []
    async with aiohttp.ClientSession() as stranger:  # who does not believe the certificate
        await online._public(stranger, site.url, lambda _, good, text: said.append((good, text)))
    assert [good for good, _ in said] == [False]
    assert "its certificate is not believed (self-signed certificate)" in said[0][1]
    log = (site.folder / "talkwire.log").read_text()
    assert f"{CUSTOMER} [" in log
    assert "planted-secret" not in log


async def test_sockets_streams_and_large_bodies_pass(site):
    key = await site.daemon.store.write(principals.create_keys, ("crm", "bot"))
    who = {"Authorization": f"Bearer {key}"}
    async with (
        asyncio.timeout(20),
        site.session.ws_connect(f"{site.url}/c/front/socket", server_hostname=NAME) as socket,
    ):
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"

    async with (
        asyncio.timeout(20),
        site.get("/api/v1/events", headers={**who, "Accept": "text/event-stream"}) as stream,
    ):
        assert stream.status == 200
        await site.daemon.store.write(pause, ("front", "stocktaking"))
        lines = []
        while not any(line.startswith(b"data:") for line in lines):
            lines.append(await stream.content.readline())
        assert b"event: account.paused\r\n" in lines

    large = b"%PDF-1.7\n" + b"x" * 20 * 1024**2
    async with site.post("/api/v1/attachments?name=plan.pdf", data=io.BytesIO(large), headers=who) as answer:
        assert (answer.status, (await answer.json())["size"]) == (201, len(large))
    async with site.post("/api/v1/attachments", data=io.BytesIO(b"x" * (25 * 1024**2 + 70_000)), headers=who) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "too_large")
