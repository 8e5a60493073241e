"""`talkwire demo`: needs no account anywhere, links everything, and believes only what the provider's side shows."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from talkwire.cli import demo
from tests.parts.demos import checked
from tests.parts.ports import free_port

COMMAND = (sys.executable, "-c", "from talkwire.cli import main; main()", "demo")

pytestmark = pytest.mark.timeout(180)  # a whole daemon with its servers, in a process of its own


def check(folder: Path, **options: Any) -> tuple[int, list[str]]:
    """Run the check; gives the exit code and what it said."""
    said: list[str] = []
    return demo.run(check=True, folder=folder, say=said.append, **options), said


def test_a_talk_goes_through_each_channel_with_the_providers_evidence(tmp_path: Path) -> None:
    code, said = check(tmp_path)
    assert code == 0
    text = "\n".join(said)
    assert re.search(r"the customer writes  mail <\S+> from \S+@\S+ lies in the mailbox as UID 1", text)
    assert re.search(r"shows “Content-Type: text/plain; charset=utf-8; format=flowed Parcel \w{8} arrives today", text)
    word = re.search(r"shows “Parcel (\w{8}) arrives today”, once", text)
    assert word, text
    assert re.search(r"the customer writes  SMS \S+ from \+\d+: the endpoint answered 200", text)
    assert re.search(r"it is reported +delivered", text)
    assert text.endswith("played, all is well")


def test_a_second_demo_in_the_same_folder_goes_on(tmp_path: Path) -> None:
    assert check(tmp_path)[0] == 0
    assert check(tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("not_routable", "the simulator shows no reply at the customer's; the reply is failed (HTTP 403 Not routable"),
        ("undelivered", "the simulator shows no reply at the customer's; the reply is failed"),
        ("wrong_token", "the endpoint answered 401"),
    ],
)
def test_a_fault_makes_the_check_fail_and_say_why(tmp_path: Path, fault: str, words: str) -> None:
    code, said = check(tmp_path, fault=fault)
    assert code == 1
    assert words in "\n".join(said)
    assert said[-1].startswith("demo --check: 1 of ")


def test_a_fault_that_several_providers_know_goes_wrong_at_each(tmp_path: Path) -> None:
    code, said = check(tmp_path, fault="refuse")
    assert code == 1
    assert "the reply is failed (HTTP 400)" in "\n".join(said)
    assert said[-1].startswith("demo --check: 3 of ")


async def test_a_report_that_never_comes_makes_the_check_fail(tmp_path: Path) -> None:
    words = "the customer has it; the reply is accepted, but should be delivered"
    code, said = await checked(tmp_path, "smsgate", "no_reports", words, in_vain=True)
    assert (code, words in said.splitlines()[-2]) == (1, True), said


@pytest.mark.parametrize("fault", ["duplicate", "reports_reversed", "reset"])
def test_a_fault_that_heals_fails_nothing_and_is_named(tmp_path: Path, fault: str) -> None:
    code, said = check(tmp_path, fault=fault)
    assert code == 0
    assert said[-1].endswith(f"all is well, in spite of the fault {fault}")


def test_a_fault_nobody_has_is_refused(tmp_path: Path) -> None:
    code, said = check(tmp_path, fault="refse")
    assert code == 1
    assert "no simulator has the fault refse; there are: " in said[-1]
    assert "refuse" in said[-1]
    assert list(tmp_path.iterdir()) == []


def test_without_a_channel_it_says_so(tmp_path: Path) -> None:
    code, said = check(tmp_path, among=())
    assert code == 1
    assert "no installed plugin has a simulator" in said[-1]


def test_settings_that_are_not_the_demos_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "talkwire.toml").write_text("# mine\n")
    code, said = check(tmp_path)
    assert code == 1
    assert "was not made by the demo" in said[-1]
    assert (tmp_path / "talkwire.toml").read_text() == "# mine\n"


def test_what_it_writes_is_for_its_user_alone(tmp_path: Path) -> None:
    assert check(tmp_path / "new")[0] == 0
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    for name in ("talkwire.toml", "instance.key", "demo.key"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600, name


async def test_nobody_takes_its_port_while_it_begins() -> None:
    """Two that have bound the same port may both begin; it is whose who listens first."""
    port, other = free_port(), socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    async def begin_too(_: web.Application) -> None:
        with contextlib.suppress(OSError):
            other.bind(("127.0.0.1", port))
            other.listen()

    app = web.Application()
    app.on_startup.append(begin_too)
    with other:
        async with demo._served(app, port) as url:
            assert url == f"http://127.0.0.1:{port}"


def test_it_ends_with_a_page_that_links_everything_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    running = subprocess.Popen(COMMAND, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in running.stdout:
            lines.append(line)
            if line.startswith("  open "):
                break
        url = lines[-1].split()[1]
        page = fetched(url)
        links = re.findall(r'href="(http://127\.0\.0\.1:\d+/[^"]*)"', page)
        titles = [re.search(r"<title>(.*?)</title>", fetched(link)) for link in links]
        assert {found[1] for found in titles if found} >= {"Phone (SMS) · Talkwire demo", "Operator · Talkwire"}
        assert any(link.endswith("/api/v1/openapi.json") for link in links)
        assert "tw_" not in page
        folder = re.search(r"settings and database: (\S+)", "".join(lines))
        assert folder
        assert Path(folder[1]).is_dir()

        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=20)
        assert running.returncode == 0
        assert rest.strip().endswith("stopped; its folder is gone")
        assert not Path(folder[1]).exists()
        assert list(tmp_path.iterdir()) == []
    finally:
        running.kill()
        running.communicate()


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()
