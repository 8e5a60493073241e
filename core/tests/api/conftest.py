"""A whole hub with one account of a made-up channel, behind real HTTP servers."""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import ClassVar

import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import BaseModel, ConfigDict, SecretStr

from talkwire.api import make_admin, make_app
from talkwire.api.principals import create_keys
from talkwire.auth import shared_header
from talkwire.channel import Answered, Channel, Route, Settings, each
from talkwire.errors import Refused, Uncertain
from talkwire.features import Features
from talkwire.hooks import hookimpl
from talkwire.model import Address, Envelope, Inbound, Item, Level, Outgoing, Receipt, State, Unread


class TinySettings(Settings):
    token: SecretStr


class Tiny(Channel):
    """JSON lists of messages come in, texts go out; what a text says is what becomes of it."""

    type = "tiny"
    Settings = TinySettings
    features = Features(
        text_limit=40,
        parts=3,
        card=Level.REJECTED,
        reaches=frozenset({"phone"}),
        window=timedelta(hours=24),
        reports=State.SENT,
        body_limit=2000,
    )
    sent: ClassVar[list[Outgoing]] = []

    def prepare(self) -> None:
        self.check = shared_header("X-Token", self.settings.token)

    def answer(self, envelope: Envelope) -> Answered | None:
        return Answered(envelope.param("challenge"), status=202) if envelope.param("challenge") else None

    def authenticate(self, envelope: Envelope) -> None:
        self.check(envelope)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        if not envelope.body:
            return
        yield from each(json.loads(envelope.body), self._one)

    def _one(self, value) -> Iterable[Item]:
        if value == "unread":
            yield Unread("no such kind")
            return
        yield Inbound(
            external_id=value["id"],
            address=Address(kind="phone", value=value["from"], name=value.get("name", "")),
            at=self.clock.now(),
            text=value["text"],
        )

    async def send(self, out: Outgoing) -> Receipt:
        self.sent.append(out)
        if out.part.text == "refuse me":
            raise Refused("the number is not in use", code="42")
        if out.part.text == "lose me":
            raise Uncertain("no answer came")
        return Receipt(state=State.SENT, external_id=f"p{len(self.sent)}")

    def routes(self):
        async def hello(request: web.Request) -> web.Response:
            return web.Response(text=f"hello {request.match_info['who']} from {self.account}")

        return [Route("GET", "/hello/{who}", hello)]


class Numbered(BaseModel):
    """What a route of the plugin takes."""

    model_config = ConfigDict(extra="forbid")
    number: int


class TinyPlugin:
    """Gives the channel, a route that asks who is there, one that breaks, and pages."""

    def __init__(self, folder):
        self.folder = folder

    @hookimpl
    def register_channels(self):
        return [Tiny]

    @hookimpl
    def register_routes(self):
        async def who(request, hub):
            return web.Response(text=(await hub.principal(request)).name)

        async def broken(request):
            raise RuntimeError("a secret")

        async def numbered(request):
            return web.json_response(Numbered.model_validate_json(await request.read()).number)

        return [
            Route("*", "/who", who),
            Route("GET", "/broken", broken),
            Route("POST", "/numbered", numbered),
        ]

    @hookimpl
    def register_pages(self):
        from talkwire.hooks import Pages

        return Pages(folder=self.folder, csp={"img-src": "'self' blob:"}, worker="worker.js", joins="joins.js")


SETTINGS = """
[server]
body_limit = "1 KiB"
trusted_proxies = ["127.0.0.0/8"]
upload_limit = "100 KiB"

[accounts.shop]
channel = "tiny"
token = "tiny-token-0123"

[accounts.gone]
channel = "unheard_of"
"""


@pytest_asyncio.fixture
async def hub(start_hub, tmp_path):
    Tiny.sent.clear()
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.html").write_text("<p>page")
    (pages / "worker.js").write_text("1")
    (pages / "joins.js").write_text("export function join() {}")
    (tmp_path / "outside.txt").write_text("outside")
    hub = await start_hub(SETTINGS, plugins={"tiny": TinyPlugin(pages)})
    await hub.run_until_idle()
    return hub


@pytest.fixture
def sent(hub):
    """What the channel was asked to send."""
    return Tiny.sent


@pytest_asyncio.fixture
async def server(hub, aiohttp_client):
    """A client without any key."""
    return await aiohttp_client(make_app(hub.daemon))


@pytest_asyncio.fixture
async def admin_port(hub, aiohttp_client):
    return await aiohttp_client(make_admin(hub.daemon))


@pytest.fixture
def key(hub):
    """Give what makes an API key."""

    async def make(scopes="admin", name="crm"):
        return await hub.daemon.store.write(create_keys, (name, scopes))

    return make


class Api:
    """The API in the hands of a host."""

    def __init__(self, client, token):
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, method, path, **options):
        headers = {**self.headers, **options.pop("headers", {})}
        async with self.client.request(method, f"/api/v1{path}", headers=headers, **options) as response:
            body = await response.json(content_type=None) if response.status != 204 else None
            return response.status, body

    async def get(self, path, **options):
        status, body = await self.ask("GET", path, **options)
        assert status == 200, body
        return body

    async def post(self, path, **options):
        return await self.ask("POST", path, **options)


@pytest_asyncio.fixture
async def api(server, key):
    return Api(server, await key())


class Customer:
    """Somebody who writes to the account `shop`."""

    def __init__(self, hub, server):
        self.hub = hub
        self.server = server
        self.count = 0

    async def writes(self, text="hello", sender="+6281234567890", **more):
        self.count += 1
        value = {"id": f"m{self.count}", "from": sender, "text": text, **more}
        async with self.posts(json.dumps([value])) as response:
            assert (response.status, await response.read()) == (200, b"")
        await self.hub.run_until_idle()
        found = await self.hub.rows("SELECT conversation_id FROM message WHERE external_id = :id", id=value["id"])
        return found[0][0]

    def posts(self, body, token="tiny-token-0123", path="/in/shop", **options):
        headers = {"X-Token": token, **options.pop("headers", {})}
        return self.server.post(path, data=body, headers=headers, **options)


@pytest.fixture
def customer(hub, server):
    return Customer(hub, server)
