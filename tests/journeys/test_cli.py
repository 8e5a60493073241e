"""What an operator types on the first day, typed: from `init` to a stop that loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from talkwire.cli import app
from talkwire.cli.starting import init
from talkwire.testing import Answers, Reply
from talkwire.testing.provider import accept, hang_after_acceptance, slow

TOKEN, PASSWORD = "planted-token-0123456789", "planted-password-0123456789"
pytest.importorskip("talkwire_smsgate")

KANNEL = Answers(
    accept=lambda _seen, _id: Reply.text("0: Accepted for delivery", status=202),
    refuse=lambda _seen: Reply.text("Not routable. Do not try again.", status=403),
    harmless=lambda seen: None if seen.param("to") else Reply.text("Missing receiver number, rejected", status=400),
)
SETTINGS = """
[store]
url = "sqlite:///talkwire.db"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[log]
format = "{form}"
[accounts.sms]
channel = "smsgate"
url = "{url}"
username = "talkwire"
password = "{password}"
callback_url = "http://127.0.0.1/in/sms"
token = "${{SMS_TOKEN}}"
"""


class Operator:
    """Somebody at a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = ""  # all that was ever shown
        self.env = {**os.environ, "SMS_TOKEN": TOKEN, "NO_COLOR": "1", "COLUMNS": "120"}
        self.env.pop("TALKWIRE_CONFIG", None)

    async def start(self, *words: str, **more: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from talkwire.cli import main; main()", *words),
            cwd=self.folder,
            env={**self.env, **more},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def types(self, *words: str, code: int | None = 0) -> str:
        """Type a command, in a process of its own."""
        process = await self.start(*words)
        out = (await process.communicate())[0].decode()
        return self._seen(words, out, process.returncode, code)

    async def looks(self, *words: str, code: int | None = 0) -> str:
        """Type a command that only looks, or asks the daemon: in this process, which takes a tenth of the time."""
        words = ("--config", str(self.folder / "talkwire.toml"), *words)
        ran = await asyncio.to_thread(CliRunner().invoke, app, words, env=self.env)
        return self._seen(words, ran.output, ran.exit_code, code)

    def _seen(self, words: tuple[str, ...], out: str, got: int | None, code: int | None) -> str:
        self.seen += out
        assert code is None or got == code, f"talkwire {' '.join(words)}: {got}\n{out}"
        return out

    async def runs(self, **more: str) -> Daemon:
        daemon = Daemon(self, await self.start("run", **more))
        await daemon.says("accounts")
        return daemon


class Daemon:
    """`talkwire run`, in a process of its own."""

    def __init__(self, operator: Operator, process: asyncio.subprocess.Process) -> None:
        self.operator, self.process, self.out = operator, process, ""

    async def says(self, words: str) -> None:
        assert self.process.stdout is not None
        while words not in self.out:
            line = (await self.process.stdout.readline()).decode()
            assert line, f"it ended, and never said {words!r}:\n{self.out}"
            self.out += line
            self.operator.seen += line

    def url(self, which: str) -> str:
        found = re.search(rf"{which} +(http://\S+)", self.out)
        assert found, self.out
        return found[1]

    async def stops(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await self.ends()

    async def ends(self) -> int:
        assert self.process.stdout is not None
        rest = (await self.process.stdout.read()).decode()
        self.out += rest
        self.operator.seen += rest
        return await self.process.wait()


@pytest.fixture
def operator(tmp_path):
    return Operator(tmp_path)


@pytest.fixture
async def daemon_of(operator):
    """Give what runs the daemon; one that a failed test leaves is killed."""
    started: list[Daemon] = []

    async def run(**more: str) -> Daemon:
        started.append(await operator.runs(**more))
        return started[-1]

    yield run
    for one in started:
        if one.process.returncode is None:
            one.process.kill()
            await one.process.wait()


def a_message(text: str, id_: str = "m1") -> dict[str, str]:
    return {"from": "+6281234567890", "text": text, "id": id_, "ts": str(int(time.time())), "token": TOKEN}


async def in_time(look: Any, seconds: float = 30) -> Any:
    """Look until there is something; the daemon works beside us."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.02)
        return found


async def an_instance(operator: Operator, database: Path, url: str, form: str = "console") -> str:
    """Make what the first day makes, in less time; gives a key of the API."""
    init(operator.folder)
    settings = SETTINGS.format(url=f"{url}/cgi-bin/sendsms", password=PASSWORD, form=form)
    (operator.folder / "talkwire.toml").write_text(settings)
    shutil.copyfile(database, operator.folder / "talkwire.db")
    return re.search(r"tw_\S+", await operator.types("keys", "new", "crm"))[0]  # type: ignore[index]


@pytest.mark.timeout(180)
async def test_the_first_day(operator, daemon_of, fake_provider):
    """It is one story, because each command is of use only in the state that the ones before left."""
    kannel = await fake_provider(KANNEL)
    said = await operator.types("init")
    assert re.findall(r"^  talkwire (\S+ ?\S*)", said, re.MULTILINE) == ["db upgrade", "keys new", "run"]
    assert re.search(r"^smsgate +available", await operator.looks("plugins"), re.MULTILINE)
    settings = SETTINGS.format(url=f"{kannel.url}/cgi-bin/sendsms", password=PASSWORD, form="console")
    (operator.folder / "talkwire.toml").write_text(settings.replace("username", "usernam"))
    faults = await operator.types("check", code=78)
    assert "accounts.sms.usernam " in faults
    assert "did you mean username?" in faults
    (operator.folder / "talkwire.toml").write_text(settings)
    assert "good" in await operator.types("check")

    assert "talkwire db upgrade" in await operator.types("run", code=78)
    assert "talkwire db upgrade" in await operator.types("status", code=2)
    assert re.search(r"^core: nothing → \d{4}$", await operator.types("db", "upgrade"), re.MULTILINE)
    assert re.search(r"^core: at \d{4}$", await operator.types("db", "upgrade"), re.MULTILINE)
    key = re.search(r"tw_\S+", await operator.types("keys", "new", "crm"))[0]
    assert key not in await operator.looks("keys", "list")

    daemon = await daemon_of()
    public, headers = daemon.url("public"), {"Authorization": f"Bearer {key}"}
    assert "another daemon" in await operator.types("run", code=1)
    async with aiohttp.ClientSession() as web:
        async with web.get(f"{public}/in/sms", params=a_message("Where is my parcel 4711?")) as taken:
            assert (taken.status, await taken.read()) == (200, b"")
        async with web.get(f"{public}/in/sms", params={**a_message("x"), "token": "wrong"}) as refused:
            assert refused.status == 401
        async with web.get(f"{public}/api/v1/conversations", headers=headers) as answer:
            conversation = (await answer.json())["items"][0]["id"]
        reply = f"{public}/api/v1/conversations/{conversation}/replies"
        async with web.post(reply, json={"text": "It arrives today."}, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
            message = (await answer.json())["message"]

        async def is_accepted() -> bool:
            async with web.get(f"{public}/api/v1/messages/{message}", headers=headers) as answer:
                return (await answer.json())["state"] == "accepted"

        await in_time(is_accepted)
    assert kannel.shown[0].param("text") == "It arrives today."

    screen = await operator.types("status")
    assert re.search(
        r"^ok +account sms +smsgate, works; last in \d+ s ago, last out \d+ s ago$", screen, re.MULTILINE
    ), screen
    found = await operator.looks("find", "0812 3456 7890")
    assert conversation in found
    assert "parcel" in await operator.looks("find", "PARCEL")
    story = await operator.looks("trace", message)
    assert "part 1 queued → accepted" in story
    assert "arrives today" not in story
    assert "arrives today" in await operator.looks("trace", message, "--bodies")
    kinds = [line["kind"] for line in json.loads(await operator.looks("trace", conversation, "--json"))["lines"]]
    assert [kind for kind in kinds if kind != "account"][:2] == ["envelope", "message"]
    assert {"told", "attempt", "part", "account"} <= set(kinds)

    assert f"{public}/in/sms\n" in await operator.looks("accounts", "show", "sms")
    assert "Kannel knows talkwire" in await operator.looks("accounts", "test", "sms")
    assert "Kannel knows talkwire" in await operator.looks("check", "--online")
    await operator.looks("accounts", "pause", "sms", "--reason", "they repair it")
    assert "they repair it" in await operator.looks("status", code=1)
    await operator.looks("accounts", "resume", "sms")
    await in_time(lambda: works(operator))

    assert await daemon.stops() == 0
    assert daemon.out.endswith("stopped\n")
    assert not (operator.folder / "talkwire.sock").exists()
    assert "does not run here" in await operator.looks("status", code=2)
    await operator.types("accounts", "pause", "sms")  # nobody runs: done at hand
    assert "paused" in await operator.looks("accounts")
    assert TOKEN not in operator.seen
    assert PASSWORD not in operator.seen


async def works(operator: Operator) -> bool:
    return "sms, works" in (await operator.looks("status", code=None)).replace("smsgate", "sms")


@pytest.mark.timeout(180)
async def test_a_stop_waits_for_the_send_that_is_under_way_and_ends_streams(
    operator, daemon_of, fake_provider, empty_database
):
    kannel = await fake_provider(KANNEL)
    key = await an_instance(operator, empty_database, kannel.url)
    daemon = await daemon_of()
    public, headers = daemon.url("public"), {"Authorization": f"Bearer {key}"}
    gate = asyncio.Event()
    kannel.will(slow(gate, accept()))
    async with aiohttp.ClientSession() as web:
        async with web.get(f"{public}/in/sms", params=a_message("Hello")) as taken:
            assert taken.status == 200
        async with web.get(f"{public}/api/v1/conversations", headers=headers) as answer:
            conversation = (await answer.json())["items"][0]["id"]
        stream = await web.get(f"{public}/api/v1/events", headers={**headers, "Accept": "text/event-stream"})
        reply = f"{public}/api/v1/conversations/{conversation}/replies"
        async with web.post(reply, json={"text": "Good day"}, headers=headers) as answer:
            assert answer.status == 202
        await kannel.arrived()
        daemon.process.send_signal(signal.SIGTERM)
        await stream.read()  # it ends
        async with aiohttp.ClientSession() as another:  # a kept connection may be cut instead
            with pytest.raises(aiohttp.ClientConnectorError):
                await another.get(f"{public}/livez")
        assert daemon.process.returncode is None
        gate.set()
    assert await daemon.ends() == 0
    assert "accepted" in await operator.looks("trace", conversation)


@pytest.mark.timeout(180)
async def test_a_second_signal_does_not_wait(operator, daemon_of, fake_provider, empty_database):
    kannel = await fake_provider(KANNEL)
    key = await an_instance(operator, empty_database, kannel.url)
    daemon = await daemon_of()
    public, headers = daemon.url("public"), {"Authorization": f"Bearer {key}"}
    kannel.will(hang_after_acceptance())
    async with aiohttp.ClientSession() as web:
        to = {"kind": "phone", "value": "+6281234567890"}
        async with web.post(
            f"{public}/api/v1/accounts/sms/replies", json={"to": to, "text": "Hi"}, headers=headers
        ) as a:
            assert a.status == 202, await a.text()
        await kannel.arrived()
        daemon.process.send_signal(signal.SIGTERM)
        await daemon.says("stopping")
        assert await daemon.stops(signal.SIGINT) == 1


@pytest.mark.timeout(180)
async def test_json_logs_are_json_and_systemd_is_told(operator, fake_provider, empty_database, tmp_path):
    kannel = await fake_provider(KANNEL)
    await an_instance(operator, empty_database, kannel.url, form="json")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.setblocking(False)
        systemd.bind(str(tmp_path / "n"))
        daemon = Daemon(operator, await operator.start("run", NOTIFY_SOCKET=str(tmp_path / "n")))
        loop = asyncio.get_running_loop()
        assert (await loop.sock_recv(systemd, 300)).startswith(b"READY=1\nSTATUS=serves at http://127.0.0.1:")
        assert await daemon.stops() == 0
        assert (await loop.sock_recv(systemd, 300)).startswith(b"STOPPING=1\n")
    events = [json.loads(line) for line in daemon.out.splitlines()]
    listening = next(event for event in events if event["event"] == "listening")
    assert listening["public"].startswith("http://127.0.0.1:")
    assert {"timestamp", "level", "logger"} <= set(listening)
