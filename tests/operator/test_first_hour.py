"""The first hour: a machine with nothing on it, the how-to typed line by line, and a visitor who writes."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from talkwire.cli import app
from tests.docs.pages import ROOT, Reader, blocks, other_ports
from tests.operator.machine import machine, program

PAGE = ROOT / "docs" / "howto" / "install-on-a-vm.md"
pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="reads the checkout's own pages; this is a copy of the tests"),
    pytest.mark.needs("nginx"),
    pytest.mark.timeout(120),  # daemons and commands in processes of their own
]

WORDS = {20: "twenty", 21: "twenty-one", 22: "twenty-two", 23: "twenty-three", 24: "twenty-four", 25: "twenty-five"}


def visit(place, origin="https://shop.example.org"):
    """Write as a visitor of the website does, through nginx."""

    async def writing():
        connector = aiohttp.TCPConnector(ssl=place.certificate.believed())
        async with (
            asyncio.timeout(30),
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect(f"{place.url}/c/site/socket", headers={"Origin": origin}) as line,
        ):
            await line.send_json({"t": "hello", "protocol": 1, "after": 0, "fresh": True})
            await line.send_json({"t": "message", "id": "m1", "text": "Does it come in blue?"})
            async for frame in line:
                if json.loads(frame.data)["t"] == "ack":
                    return

    asyncio.run(writing())


def read_as(page, place):
    """Type a page at a machine; gives who typed it."""
    reader = Reader(place.root, place.env, place.changes)
    reader.after["talkwire init"] = lambda: other_ports(place.root / "var/lib/talkwire", place.public, place.admin)
    reader.after["livechat snippet"] = lambda: visit(place)
    try:
        reader.read(page)
    except AssertionError as failed:
        failed.add_note(place.log)
        raise
    finally:
        place.stop()
    return reader


def commands(page):
    """Give what somebody types at a page; what a command takes in goes with it."""
    typed = "".join(block.text for block in blocks(page.read_text()) if block.order == "run")
    typed = re.sub(r"<<'END'\n.*?^END$", "<<END", typed, flags=re.MULTILINE | re.DOTALL)
    return [line for line in typed.splitlines() if line.strip()]


def empty_environment(folder, sources=ROOT):
    """Install our wheels, and what the lock names, for a Python that every user of this machine may run."""
    python = shutil.which("python3", path="/usr/bin") or sys.executable
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    install_wheels(folder, sources)
    program(folder / "bin/pip", "exit 0")  # what the page lets it do is done
    return folder


def install_wheels(folder, sources=ROOT):
    """Put the wheels of a tree of sources into an environment, in place of those that are there."""
    subprocess.run([sys.executable, str(sources / "tools/dist.py")], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "-qq", "--no-input", "install"]
    subprocess.run([*pip, "--require-hashes", "-r", str(sources / "requirements/wheels.txt")], check=True)
    wheels = map(str, (sources / "dist").glob("*.whl"))
    subprocess.run([*pip, "--no-index", "--no-deps", "--force-reinstall", *wheels], check=True)


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--")


def words_of(line):
    """Give what stands behind the last `talkwire` of a line."""
    words = shlex.split(line.partition(" > ")[0])
    return words[len(words) - words[::-1].index("talkwire") :]


def parsed(words):
    """Read the words of a command as if it were typed, and do nothing. Errors: those of wrong arguments; `KeyError`."""
    command = get_command(app)
    while isinstance(command, TyperGroup):
        name, *words = words
        command = command.get_command(None, name)
        if command is None:
            raise KeyError(name)
    command.make_context("", words)


@pytest.mark.parametrize("page", [PAGE, PAGE.with_name("containers.md")], ids=lambda page: page.stem)
def test_every_command_of_a_page_that_only_the_proof_types_is_known(page):
    lines = [one for one in commands(page) if re.match(r"(docker compose .* )?talkwire ", one)]
    for line in (typed := [one for one in lines if "--entrypoint" not in one]):
        parsed(words_of(line))
    assert len(typed) >= 5
    with pytest.raises(KeyError):
        parsed(words_of("talkwire chek"))
    with pytest.raises(Exception, match="No such option: --usr"):
        parsed(words_of("docker compose exec talkwire talkwire systemd --usr me > x"))


@pytest.mark.requirement("CARD-08")
@pytest.mark.prove
@pytest.mark.skipif(os.environ.get("TALKWIRE_PROVE") != "1", reason="fourteen commands: make prove runs it")
def test_the_first_hour_goes_as_the_page_says(tmp_path_factory, proving, proof):
    """Short: with this environment. Long: with our wheels in an empty one, as a user who may nothing."""
    folder = Path(tempfile.mkdtemp(prefix="vm")) if proving else tmp_path_factory.mktemp("vm")
    try:
        folder.chmod(0o755)
        user = NOBODY if proving and os.geteuid() == 0 else ()
        programs = empty_environment(folder / "programs") if proving else Path(sys.prefix)
        place = machine(folder, programs, (ROOT / "deploy" / "nginx.conf").read_text(), user)
        reader = read_as(PAGE, place)
        assert "useradd --system" in (folder / "run/done").read_text()
        assert "stopping" in place.log
        assert "Traceback" not in place.log
        if user:
            assert {path.stat().st_uid for path in (folder / "var/lib/talkwire").iterdir()} == {65534}
        typed = len(commands(PAGE))
        assert f"{WORDS[typed]} commands" in PAGE.read_text()
        seconds = sum(took for _, took in reader.took)
        proof("first-hour", {"commands": typed, "as": "nobody" if user else "us", "seconds in them": f"{seconds:.0f}"})
    finally:
        if proving:
            shutil.rmtree(folder)
