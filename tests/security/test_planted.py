"""Every kind of secret and every text of a person, planted; then looked for wherever something is said.

One hub goes through good and bad days with everything planted at once, and each place is a test of its own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from typer.testing import CliRunner

from talkwire import control, hookimpl
from talkwire.api import make_admin, make_app
from talkwire.api.principals import create_keys
from talkwire.api.shapes import SignInIn
from talkwire.channel import Route
from talkwire.cli import app, logs
from talkwire.model import Envelope
from talkwire.redaction import _forms
from talkwire.testing.hub import _KEY, whole_hub
from talkwire.testing.provider import FakeProvider, Reply, garbage_200, reset_after_body, says
from talkwire.testing.services import NOON
from tests.journeys.acme_hub import AcmeHub, AcmePlugin, FullAcme
from tests.journeys.webhook_host import SECRET as HOST
from tests.journeys.webhook_host import Host
from tests.mutants.acme import ACME

TOKEN, SECRET = "planted-token-aaaa1111", "planted-secret-bbbb2222"  # the test's signer uses its own, see below
QUERY, HEADER, COOKIE = "planted-query-cccc3333", "planted-header-dddd4444", "planted-cookie-eeee5555"
KEPT = "planted-kept-gggg7777"
GUESS = "tw_0123456789ab_" + "planted-guess-ffff6666".ljust(43, "x")
WORDS = {
    "what a customer wrote": "plantedinwords0101",
    "what a host replied": "plantedoutwords0202",
    "what was not understood": "plantedunread0404",
    "what a host looked for": "plantedsearch0505",
    "what a wrong request held": "plantedinvalid0606",
    "what a file held": "plantedfile0707",
    "what a reaction said": "plantedreaction0808",
}
SETTINGS = """
[log]
level = "debug"
[plugins]
enabled = ["noisy"]
[accounts.shop]
channel = "acme"
url = "{url}"
token = "{token}"
secret = "kit-secret-0123456789"
"""


class Noisy:
    """A plugin that puts into its errors whatever it was given."""

    @hookimpl
    def on_inbound_message(self, message: Any) -> None:
        raise RuntimeError(f"{message.text} {TOKEN}")

    @hookimpl
    def register_routes(self) -> list[Route]:
        async def broken(request: web.Request) -> web.Response:
            raise RuntimeError(f"{request.rel_url} {request.headers} {TOKEN}")

        return [Route("*", "/broken", broken)]


@dataclass
class Days:
    """What was said where."""

    secrets: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)  # place → all of it


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def _good_and_bad(acme: AcmeHub, client: TestClient[Any, Any], key: str) -> list[str]:
    """Let everything happen that can go right and wrong; gives every error that was answered."""
    errors: list[str] = []
    bearer = {"Authorization": f"Bearer {key}"}

    async def ask(method: str, path: str, **options: Any) -> Any:
        headers = {**bearer, **options.pop("headers", {})}
        async with client.request(method, path, headers=headers, **options) as response:
            text = await response.text()
            if response.status >= 400:
                errors.append(f"{response.status} {response.headers} {text}")
            return json.loads(text) if response.content_type == "application/json" and text else {}

    async def asked(path: str, **body: Any) -> Any:
        return await ask("POST", f"/api/v1{path}", json=body)

    await acme.wrote("m1", WORDS["what a customer wrote"])
    await acme.hub.run_until_idle()
    talk = (await acme.hub.conversation).id
    await acme.told("reaction", **{"of": "m1", "text": WORDS["what a reaction said"], "from": "6281234567890"})
    await acme.says([{"kind": "message", "id": "m2", "time": WORDS["what was not understood"]}])
    echo = {"error": "no", "why": "a provider's own words", "token": TOKEN, "said": WORDS["what a host replied"]}
    for step in (
        acme.accept(),
        says(Reply.json(echo, status=422)),
        says(Reply.json(echo, status=500)),
        reset_after_body(),
        garbage_200(),
        says(Reply.json(echo, status=401)),
    ):
        acme.provider.will(step)
        await asked(f"/conversations/{talk}/replies", text=WORDS["what a host replied"], key="planted-idempotency-9999")
        await asked(f"/conversations/{talk}/replies", text=WORDS["what a host replied"])
        await acme.hub.run_until_idle()
    with contextlib.suppress(Exception):
        await control.do(acme.hub.daemon, "test", {"account": "shop"})
    for path, body in (
        (f"/conversations/{talk}/replies", {"text": 7, "blocks": [{"type": WORDS["what a wrong request held"]}]}),
        (f"/conversations/{talk}/typing", {"on": WORDS["what a wrong request held"], "other": GUESS}),
        ("/accounts/nobody/replies", {"text": "x", "to": {"kind": WORDS["what a wrong request held"], "value": 7}}),
        ("/session", {"key": GUESS}),
        ("/session", {"key": key}),
    ):
        await asked(path, **body)
    await ask("GET", f"/api/v1/conversations?text={WORDS['what a host looked for']}&limit=0")
    await ask("GET", f"/api/v1/nothing/{WORDS['what a host looked for']}")
    await ask("GET", "/api/v1/accounts", headers={"Authorization": f"Bearer {GUESS}"})
    await ask(
        "GET", f"/p/noisy/broken?access_token={QUERY}", headers={"X-Token": HEADER, "Cookie": f"talkwire={COOKIE}"}
    )
    await ask("POST", "/api/v1/attachments?name=a.txt", data=WORDS["what a file held"].encode())
    kept = await ask("POST", "/api/v1/attachments?name=a.txt", data=b"x")
    await ask("GET", f"/media/{kept['id']}?expires=9&signature={QUERY}")
    forged = {"X-Acme-Signature": f"sha256={HEADER}", "X-Token": HEADER}
    async with client.post(f"/in/shop?access_token={QUERY}", data=b'{"events": []}', headers=forged) as response:
        errors.append(f"{response.status} {response.headers} {await response.text()}")
    return errors


def _refuses(_: Any) -> web.Response:
    return web.Response(status=500, text=f"{HOST} planted-path-0123456789")


async def _looked_at(acme: AcmeHub, client: TestClient[Any, Any], key: str) -> dict[str, str]:
    """Look at everything that an operator and a host look at, without asking for bodies."""
    hub, said = acme.hub, {}
    async with TestClient(TestServer(make_admin(hub.daemon))) as admin:
        for path in ("/", "/readyz", "/livez", "/metrics", "/operator/page.js"):
            async with admin.get(path) as response:
                said[f"admin {path}"] = f"{response.headers} {await response.text()}"
    headers = {"Authorization": f"Bearer {key}"}
    for path in (
        "accounts",
        "accounts/shop",
        "accounts/shop/capabilities",
        "events?after=0",
        "openapi.json",
    ):
        async with client.get(f"/api/v1/{path}", headers=headers) as response:
            assert response.status == 200
            said[f"api {path}"] = await response.text()
    for (id_,) in await hub.rows("SELECT id FROM message"):
        async with client.get(f"/api/v1/messages/{id_}/trace", headers=headers) as response:
            said[f"api trace {id_}"] = await response.text()
        async with client.get(f"/api/v1/trace/{id_}", headers=headers) as response:
            assert response.status == 200
            said[f"api timeline {id_}"] = await response.text()
    return said


async def _typed(acme: AcmeHub, folder: Path) -> dict[str, str]:
    """Type every command that looks."""
    file = folder / "typed.toml"
    file.write_text(
        f'[store]\nurl = "{acme.hub.daemon.store.url}"\n[accounts.shop]\nchannel = "acme"\ntoken = "{TOKEN}"\n'
    )
    [message] = (await acme.hub.rows("SELECT id FROM message WHERE direction = 'out' LIMIT 1"))[0]
    said = {}
    for words in (
        ("status",), ("status", "--json"), ("trace", message), ("trace", message, "--json"), ("deliveries",),
        ("deliveries", "--state", "failed", "--json"), ("accounts", "list"), ("accounts", "show", "shop"), ("lanes", "list"),
        ("keys", "list"), ("audit",), ("webhooks", "list"), ("webhooks", "list", "--json"), ("paths",), ("plugins",), ("check",), ("settle", "nobody", "sent"), ("trace", "nobody"),
    ):  # fmt: skip
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(file), *words])
        assert not isinstance(ran.exception, Exception) or isinstance(ran.exception, SystemExit), words
        assert "Usage:" not in ran.output, words
        said[" ".join(words)] = ran.output
    return said


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def days(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Days:
    """Live through all of it once."""
    days, heard, out = Days(), _Heard(), io.StringIO()
    folder = tmp_path_factory.mktemp("planted")
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        host = Host()
        host.answer = _refuses
        await host.comes()
        async with FakeProvider(ACME.answers) as provider:
            settings = SETTINGS.format(url=provider.url, token=TOKEN) + host.table("crm")
            plugins = {"acme": AcmePlugin(FullAcme), "noisy": Noisy()}
            async with whole_hub(settings, folder, template=empty_database, plugins=plugins) as hub:
                logs.configure("json", "debug", hub.daemon.config)
                root.addHandler(heard)  # as it came, before our last processor takes anything out
                acme = AcmeHub(hub, provider)
                key = await hub.daemon.store.write(create_keys, ("planted", "admin"))
                async with TestClient(TestServer(make_app(hub.daemon))) as client:
                    await hub.run_until_idle()
                    await acme.shop.channel.keep("oauth", KEPT, secret=True)
                    assert await acme.shop.channel.kept("oauth") == KEPT
                    days.said["errors of the API"] = "\n".join(await _good_and_bad(acme, client, key))
                    [cookie] = [one.value for one in client.session.cookie_jar]
                    await hub.run_until_idle()
                    days.said |= await _looked_at(acme, client, key)
                    days.said |= await _typed(acme, folder)
                runtime = hub.daemon.account("shop")
                days.said["repr"] = " ".join(map(repr, (
                    hub.daemon, vars(hub.daemon), runtime, vars(runtime), vars(runtime.channel), hub.daemon.config,
                    vars(hub.daemon.principals), vars(hub.daemon.limits), vars(hub.daemon.intake),
                )))  # fmt: skip
                days.said["posts to the host"] = " ".join(str(one.body) for one in host.tried)
                days.said["URLs at the provider"] = " ".join(f"{one.path} {one.query}" for one in provider.requests)
                for table, columns in (
                    ("exchange", "what, request, answer"), ("lane", "last_error, held"), ("reader", "last_error"),
                    ("parked", "error"), ("account_state", "reason"), ("envelope", "headers, query, unread"),
                    ("fact", "ids, small"), ("audit", "who, what, ids, outcome"),
                ):  # fmt: skip
                    days.said[f"table {table}"] = str(await hub.rows(f"SELECT {columns} FROM {table}"))
        await host.goes()
    root.handlers[:], root.level = before
    days.said["log as it came"], days.said["log"] = "\n".join(heard.lines), out.getvalue()
    days.said["database"] = (folder / "talkwire.db").read_bytes().decode("latin-1")
    days.secrets = {
        "token of the account": TOKEN,
        "secret of the account": "kit-secret-0123456789",
        "key of the instance": _KEY,
        "key of the instance, plain": base64.b64decode(_KEY).decode("latin-1"),
        "API key": key[16:],
        "guessed API key": GUESS[16:],
        "cookie": cookie,
        "another cookie": COOKIE,
        "query": QUERY,
        "header": HEADER,
        "value that the account keeps": KEPT,
        "secret of the webhook": HOST.removeprefix("whsec_"),
        "path of the webhook": "planted-path-0123456789",
    }
    return days


def found(words: dict[str, str], said: str) -> list[str]:
    """Name what stands in a text, in whatever form."""
    return [
        f"{what}: …{said[max(0, at - 80) : at + 40]}…"
        for what, word in words.items()
        for form in {*_forms(word)}
        if (at := said.find(form)) >= 0
    ]


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_enough_was_said_to_look_into(days: Days) -> None:
    assert days.said["errors of the API"].count("urn:talkwire:problem") > 5
    assert {place for place, said in days.said.items() if not said.strip("[]")} <= {"table parked"}
    assert "request failed" in days.said["log"], "a handler broke, and its text was left out"
    assert found({"a word": "shop"}, days.said["status"]), "who looks finds"
    kept = {hit.partition(":")[0] for hit in found(WORDS, days.said["database"])}
    assert kept >= {"what a customer wrote", "what a host replied", "what was not understood"}, "it was all said to us"


async def test_no_secret_is_anywhere(days: Days) -> None:
    assert {place: hits for place, said in days.said.items() if (hits := found(days.secrets, said))} == {}


async def test_no_repr_of_what_came_in_shows_what_is_secret_in_it() -> None:
    envelope = Envelope(
        endpoint="shop",
        method="POST",
        path="",
        headers={"x-token": HEADER},
        query=(("access_token", QUERY),),
        body=WORDS["what a customer wrote"].encode(),
        remote="203.0.113.7",
        received_at=NOON,
    )
    said = repr(envelope) + repr(SignInIn(key=SecretStr(GUESS)))
    assert found({"header": HEADER, "query": QUERY, "guess": GUESS, **WORDS}, said) == []
    assert "203.0.113.7" in said


async def test_what_people_wrote_is_in_no_log_error_fact_trace_status_or_metric(days: Days) -> None:
    kept = {"database"}  # where it belongs
    assert {p: hits for p, said in days.said.items() if p not in kept and (hits := found(WORDS, said))} == {}
