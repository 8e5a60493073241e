"""A day of an operator: first message in, a token that dies at night, an upgrade under open chats, a channel that goes.

One story, because each command is of use only in the state that the ones before left.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from talkwire.testing import Answers, Reply
from talkwire.testing.provider import accept, says, slow
from tests.docs.pages import ROOT, other_ports
from tests.operator.machine import machine, program
from tests.operator.test_first_hour import NOBODY, empty_environment, install_wheels

pytest.importorskip("talkwire_smsgate")
pytestmark = [
    pytest.mark.skipif(not (ROOT / "deploy").is_dir(), reason="needs the checkout's own files"),
    pytest.mark.needs("nginx"),
    pytest.mark.timeout(180),  # daemons and commands in processes of their own
    pytest.mark.prove,
    pytest.mark.skipif(os.environ.get("TALKWIRE_PROVE") != "1", reason="half a minute: make prove runs it"),
]
CUSTOMER = "+6281234567890"
KANNEL = Answers(
    accept=lambda _seen, _id: Reply.text("0: Accepted for delivery", status=202),
    refuse=lambda _seen: Reply.text("Not routable. Do not try again.", status=403),
    harmless=lambda seen: None if seen.param("to") else Reply.text("Missing receiver number, rejected", status=400),
)
BUSY = says(Reply.text("Temporal failure, try again later.", status=503))
DENIED = says(Reply.text("Authorization failed for sendsms", status=403))
SMS = """
[accounts.sms]
channel = "smsgate"
url = "{kannel}/cgi-bin/sendsms"
username = "talkwire"
password = "${{file:kannel.password}}"
token = "planted-token-0123456789"
callback_url = "http://{public}/in/sms"
"""
HOST = """
[[webhooks]]
name = "helpdesk"
url = "http://127.0.0.1:{port}/talkwire"
secrets = ["${{file:helpdesk.secret}}"]
types = ["account.broken", "account.working"]
"""
OLDER = "e04ac80"  # the day begins with this commit's wheels, the last of schema 0004, and is upgraded to ours
SENDS = 500  # while a backup is taken, and after it
SITE = """
[accounts.site]
channel = "livechat"
origins = ["https://shop.example.org"]
secret = "0123456789abcdef0123456789abcdef"
"""


class Day:
    """The machine, who types at it, and the customers."""

    def __init__(self, place, session):
        self.place, self.session = place, session
        self.home = place.root / "var/lib/talkwire"
        self.typed = []
        self.key = ""

    async def types(self, command, code=0):
        """Type a command as root; gives what is shown."""
        self.typed.append(command)
        for there, here in self.place.changes.items():
            command = command.replace(there, here)
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", command],
            cwd=self.home,
            env=self.place.env | {"NO_COLOR": "1", "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{self.place.log[-3000:]}"
        return done.stdout

    @property
    def chowns(self):
        return "/bin/chown 65534:65534" if self.place.user else "/bin/true"

    def writes(self, name, text):
        """Put a file into the folder, as an editor of root's would leave it to the daemon's user."""
        file = self.home / name
        file.write_text(text)
        file.chmod(0o600)
        if self.place.user:
            os.chown(file, 65534, 65534)

    async def sms(self, id_, text):
        """Let a customer's SMS come in, as Kannel brings it."""
        query = {
            "from": CUSTOMER,
            "to": "13013",
            "text": text,
            "id": id_,
            "ts": str(int(time.time())),
            "charset": "UTF-8",
        }
        query["token"] = "planted-token-0123456789"
        async with self.session.get(f"{self.place.url}/in/sms", params=query) as answer:
            assert (answer.status, await answer.text()) == (200, "")

    async def api(self, method, path, body=None):
        who = {"Authorization": f"Bearer {self.key}"}
        async with self.session.request(method, f"{self.place.url}/api/v1{path}", json=body, headers=who) as answer:
            return answer.status, await answer.json()

    async def until(self, is_so, what):
        """Ask the API until something is so."""
        async with asyncio.timeout(30):
            while not await is_so():
                await asyncio.sleep(0.05)  # the daemon is another program
        assert what

    def chat(self):
        return self.session.ws_connect(
            f"{self.place.url}/c/site/socket", headers={"Origin": "https://shop.example.org"}
        )


class Helpdesk:
    """A host that is told by signed webhooks, and believes no other."""

    def __init__(self):
        self.secret = ""
        self.heard = []

    async def take(self, request):
        body = await request.text()
        self.heard.append(Webhook(self.secret).verify(body, dict(request.headers)))
        return web.Response()


@pytest.fixture
async def helpdesk(aiohttp_server):
    host = Helpdesk()
    app = web.Application()
    app.router.add_post("/talkwire", host.take)
    host.port = (await aiohttp_server(app)).port
    return host


async def said(line, kind):
    """Read a visitor's frames until one of this kind."""
    async with asyncio.timeout(20):
        async for frame in line:
            if (value := json.loads(frame.data))["t"] == kind:
                return value
    raise AssertionError(f"the line was closed before {kind}")


async def comes(line):
    """Say hello as a visitor of whom nothing is known; gives what the browser keeps."""
    await line.send_json({"t": "hello", "protocol": 1, "after": 0, "fresh": True})
    return (await said(line, "welcome"))["token"]


async def _more_than(kannel, count):
    return len(kannel.taken) > count


async def _refused(kannel, text):
    return text in [seen.param("text") for seen in kannel.requests]


def words_on(folder, words):
    """Name the files of a folder in which words stand, in whatever form."""
    return [path.name for path in folder.rglob("*") if path.is_file() and words.encode() in path.read_bytes()]


def sources_of(commit, folder):
    """Give the sources as they were at a commit."""
    tree = folder / "older"
    tree.mkdir()
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=packed, check=True)
    return tree


@pytest.fixture
def folder(proving, tmp_path_factory):
    """A folder that every user of this machine may enter."""
    if not proving:
        yield tmp_path_factory.mktemp("day")
        return
    made = Path(tempfile.mkdtemp(prefix="day"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def day(folder, proving):
    user = NOBODY if proving and os.geteuid() == 0 else ()
    programs = empty_environment(folder / "programs", sources_of(OLDER, folder)) if proving else Path(sys.prefix)
    place = machine(folder, programs, (ROOT / "deploy" / "nginx.conf").read_text(), user)
    run = 'cd /var/lib/talkwire && exec runuser -u talkwire -- env TALKWIRE_CONFIG=/var/lib/talkwire/talkwire.toml /opt/talkwire/bin/talkwire "$@"'
    for there, here in place.changes.items():
        run = run.replace(there, here)
    program(folder / "usr/local/bin/talkwire", run)
    (folder / "opt/talkwire").mkdir(exist_ok=True)
    (folder / "opt/talkwire/bin").symlink_to(programs / "bin")
    if user:
        os.chown(folder / "var/lib/talkwire", 65534, 65534)
    connector = aiohttp.TCPConnector(ssl=place.certificate.believed())
    async with aiohttp.ClientSession(connector=connector) as session:
        try:
            yield Day(place, session)
        finally:
            place.stop()


@pytest.mark.requirement("CARD-08")
async def test_a_day_of_an_operator(day, fake_provider, helpdesk, proof, proving, folder):
    kannel = await fake_provider(KANNEL)
    public = f"127.0.0.1:{day.place.public}"

    # --- the first hour: from nothing to the first message
    await day.types("talkwire init")
    other_ports(day.home, day.place.public, day.place.admin)
    day.writes("kannel.password", "the-first-password-0123456789")
    helpdesk.secret = (await day.types("talkwire webhooks secret")).split()[0]
    day.writes("helpdesk.secret", helpdesk.secret)
    settings = (day.home / "talkwire.toml").read_text() + SMS.format(kannel=kannel.url, public=public) + SITE
    settings += HOST.format(port=helpdesk.port)
    settings = re.sub(r'^# public_url = "[^"]*"', f'public_url = "{day.place.url}"', settings, flags=re.MULTILINE)
    day.writes("talkwire.toml", settings.replace("# trusted_proxies", "trusted_proxies"))
    assert "good" in await day.types("talkwire check")
    await day.types("talkwire db upgrade")
    await day.types("talkwire systemd > /etc/systemd/system/talkwire.service")
    await day.types("systemctl enable --now talkwire")
    await day.types("systemctl reload nginx")
    shown = await day.types("talkwire keys new helpdesk --scope host")
    day.key = re.search(r"tw_\S+", shown)[0]
    await day.types("talkwire check --online")
    await day.sms("m1", "Is my order on its way?")
    assert f"sms phone {CUSTOMER}" in await day.types(f"talkwire find {CUSTOMER}")
    first_hour = len(day.typed)

    # --- at night the password dies: three replies wait
    _, found = await day.api("GET", "/conversations")
    talk = found["items"][0]["id"]
    refused = asyncio.Event()
    kannel.will(slow(refused, DENIED))
    for text in ("It left this morning.", "It comes tomorrow.", "Before noon."):
        assert (await day.api("POST", f"/conversations/{talk}/replies", {"text": text}))[0] in (200, 201, 202)
    refused.set()

    async def broken():
        return (await day.api("GET", "/accounts/sms"))[1]["state"] == "broken"

    await day.until(broken, "the account is broken")

    async def alarmed():
        return any(fact["type"] == "account.broken" for fact in helpdesk.heard)

    await day.until(alarmed, "the helpdesk is told")
    status = await day.types("talkwire status", code=2)
    assert re.search(r"BAD +account sms +broken", status)
    assert "talkwire accounts resume sms" in status or "talkwire reload" in status
    assert "broken" in await day.types(f"talkwire trace {CUSTOMER}")  # who knows only a number knows why

    # --- a new one is put in place; what waits goes out in order
    day.writes("kannel.password", "the-second-password-0123456789")
    await day.types("systemctl reload talkwire")

    async def sent():
        return len(kannel.taken) == 3

    await day.until(sent, "all three are at the provider")
    taken = [(seen.param("text"), seen.param("password")) for seen in kannel.taken.values()]
    second = "the-second-password-0123456789"
    assert taken == [("It left this morning.", second), ("It comes tomorrow.", second), ("Before noon.", second)]
    assert "BAD" not in await day.types("talkwire status || [ $? = 1 ]")

    # --- an upgrade, while a visitor sits in the chat, and replies wait for one who left and for a busy provider
    async with day.chat() as line:
        away = await comes(line)
        await line.send_json({"t": "message", "id": "a1", "text": "Do you sell lamps?"})
        await said(line, "ack")
    _, found = await day.api("GET", "/conversations")
    [lamps] = [one["id"] for one in found["items"] if one["account"] == "site"]

    async def has_left():
        return (await day.api("GET", f"/conversations/{lamps}"))[1]["session"] == "disconnected"

    await day.until(has_left, "the visitor is known to be gone")
    kannel.always(BUSY)
    wait = []
    for place, text in ((lamps, "All kinds."), (talk, "We open at nine."), (talk, "Until six.")):
        status, answer = await day.api("POST", f"/conversations/{place}/replies", {"text": text})
        assert status < 300, answer
        wait.append(answer["message"])
    await day.until(lambda: _refused(kannel, "We open at nine."), "the provider is asked, and has no room")
    states = [(await day.api("GET", f"/messages/{message}"))[1]["state"] for message in wait]
    assert states == ["queued", "queued", "queued"]
    async with day.chat() as line:
        token = await comes(line)
        await line.send_json({"t": "message", "id": "c1", "text": "Are you open today?"})
        await said(line, "ack")
        await day.types(f"mkdir -p {folder}/backups && {day.chowns} {folder}/backups")
        await day.types(f"talkwire backup {folder}/backups/before-upgrade")
        await day.types("systemctl stop talkwire")
        async with asyncio.timeout(20):
            async for _ in line:
                pass  # the line ends with the old daemon
        if proving:
            await asyncio.to_thread(install_wheels, folder / "programs")
            assert "type: talkwire db upgrade" in await day.types("talkwire run", code=78)
        upgraded = await day.types("talkwire db upgrade")
        await day.types("systemctl start talkwire")
        assert ("→" in upgraded) == proving
    async with day.chat() as line:
        await line.send_json({"t": "hello", "protocol": 1, "after": 0, "fresh": False, "token": token})
        assert (await said(line, "message"))["text"] == "Are you open today?"
        await line.send_json({"t": "message", "id": "c2", "text": "I am back."})
        await said(line, "ack")
    assert "I am back." in await day.types("talkwire find 'back'")
    async with day.chat() as line:
        await line.send_json({"t": "hello", "protocol": 1, "after": 0, "fresh": False, "token": away})
        texts = [(await said(line, "message"))["text"] for _ in range(2)]
        assert texts == ["Do you sell lamps?", "All kinds."]
    kannel.always(accept())

    async def went_out():
        return [seen.param("text") for seen in kannel.taken.values()][3:] == ["We open at nine.", "Until six."]

    await day.until(went_out, "what waited goes out in order")

    # --- a backup while replies go out, many more, then the machine dies
    texts = [f"Offer {number:03}" for number in range(SENDS)]

    async def offers():
        for text in texts:
            status, answer = await day.api("POST", f"/conversations/{talk}/replies", {"text": text})
            assert status < 300, answer

    replying = asyncio.create_task(offers())
    await day.until(lambda: _more_than(kannel, 20), "replies go out")
    began = time.monotonic()
    await day.types(f"talkwire backup {folder}/backups/tonight")
    backup = time.monotonic() - began
    at_backup = len(kannel.taken)
    await replying
    await day.until(lambda: _more_than(kannel, 5 + SENDS - 50), "nearly all are at the provider")
    os.kill(int((folder / "run/talkwire.pid").read_text()), signal.SIGKILL)
    before = [seen.param("text") for seen in kannel.shown if seen.param("text")]
    await day.types(f"talkwire restore {folder}/backups/tonight --force")
    await day.types("systemctl restart talkwire")
    restored = await day.types("talkwire lanes")
    assert "restored" in restored
    assert [seen.param("text") for seen in kannel.shown if seen.param("text")] == before  # what was open is held
    await day.types("talkwire lanes drop --all --yes")
    assert (await day.api("POST", f"/conversations/{talk}/replies", {"text": "After the restore"}))[0] < 300

    async def goes_on():
        return "After the restore" in [seen.param("text") for seen in kannel.shown]

    await day.until(goes_on, "it goes on")
    shown = [seen.param("text") for seen in kannel.taken.values()]
    assert len(shown) == len(set(shown))  # nothing is at the provider twice
    assert "Is my order on its way?" in await day.types("talkwire find 'my order'")

    # --- a person asks to be forgotten: no word of theirs is left on the disk
    await day.types(f"rm -r {folder}/backups *.before-*")
    assert words_on(day.home, "Is my order on its way?")
    await day.types(f"talkwire forget {CUSTOMER} --yes")
    for words in ("Is my order on its way?", CUSTOMER, "It left this morning."):
        assert words_on(day.home, words) == []

    # --- a channel goes: what it had can be read until it is forgotten, the others do not notice
    day.writes("talkwire.toml", (day.home / "talkwire.toml").read_text().replace(SITE, ""))
    assert "account site" in await day.types("systemctl reload talkwire; talkwire status || true")
    assert "I am back." in await day.types("talkwire find 'back'")
    await day.types("talkwire accounts forget site --confirm site")
    assert "I am back." not in await day.types("talkwire find 'back' || true")
    await day.sms("m2", "Thank you!")

    # --- all of it goes
    await day.types("talkwire accounts withdraw sms")
    lies = json.loads(await day.types("talkwire paths --json"))
    await day.types("systemctl stop talkwire")
    assert lies
    await day.types(
        "rm -r /var/lib/talkwire/* /etc/systemd/system/talkwire.service /opt/talkwire /usr/local/bin/talkwire"
    )
    left = [str(path) for path in (folder / "var").rglob("*") if path.is_file()]
    assert left == []

    # --- nothing that is secret was ever shown
    everything = day.place.log + (folder / "nginx/talkwire.log").read_text()
    for secret in ("the-first-password", "the-second-password", "planted-token", day.key):
        assert secret not in everything
    assert "Traceback" not in everything
    figures = {
        "commands of the first hour": first_hour,
        "commands of the day": len(day.typed),
        "upgraded while a visitor sat in the chat": re.search(r"core: .*", upgraded)[0],
        "backup, seconds, while replies go out": f"{backup:.1f}",
        "replies that waited through the upgrade, and went out once": 3,
        "at the provider, at the backup": at_backup,
        "at the provider, when it was killed": len(before),
        "at the provider twice": 0,
    }
    proof("operator-day", figures)
