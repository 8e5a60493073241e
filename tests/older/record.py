"""What an older Talkwire had under way when it was stopped, written down by that Talkwire itself.

    python tests/older/record.py COMMIT     writes tests/older/<revision of its core>.sql

In the sources of that commit this file is a test that plays the story and dumps the database while its daemon runs, as
after a crash. `tests/journeys/test_upgrades.py` upgrades the dump and goes on from there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SITE = "https://shop.example"
SETTINGS = f"""
[accounts.shop]
channel = "acme"
url = "{{url}}"
token = "a-token-of-the-tests"
secret = "kit-secret-0123456789"
[accounts.site]
channel = "livechat"
origins = ["{SITE}"]
secret = "kit-secret-0123456789abcdef0123456789"
"""
INTO = "RECORDED_INTO"  # the variable that says where the dump goes


async def visit(client: Any, token: str = "", after: int = 0) -> tuple[Any, str, list[dict[str, Any]]]:
    """Open a chat as a browser does; gives the line, the visitor's token, and the messages that were shown at once."""
    line = await client.ws_connect("/c/site/socket", headers={"Origin": SITE})
    who = {"token": token} if token else {}
    await line.send_json({"t": "hello", "protocol": 1, "after": after, "fresh": not token, **who})
    shown = []
    while (frame := await line.receive_json(timeout=20))["t"] != "ready":
        token = frame.get("token", token)
        shown += [frame] if frame["t"] == "message" else []
    return line, token, shown


async def hears(line: Any, kind: str, **more: Any) -> dict[str, Any]:
    """Give the next frame of a kind, with these values."""
    while (frame := await line.receive_json(timeout=20))["t"] != kind or {**frame, **more} != frame:
        pass
    return dict(frame)


async def test_a_story_that_is_not_over(fake_provider: Any, tmp_path: Path, aiohttp_client: Any) -> None:
    """Ann has left her chat, where a reply waits; Bob sits in his; a customer of Acme gets two replies that wait."""
    import talkwire_livechat
    from talkwire.api import make_app
    from talkwire.testing.hub import whole_hub
    from talkwire.testing.provider import busy
    from tests.journeys.acme_hub import AcmeHub, AcmePlugin
    from tests.mutants.acme import ACME

    provider = await fake_provider(ACME.answers)
    plugins = {"acme": AcmePlugin(), "livechat": talkwire_livechat}
    async with whole_hub(SETTINGS.format(url=provider.url), tmp_path, plugins=plugins) as hub:
        acme, client = AcmeHub(hub, provider), await aiohttp_client(make_app(hub.daemon))
        await hub.run_until_idle()
        ann, token, _ = await visit(client)
        await ann.send_json({"t": "message", "id": "a1", "text": "Are you open today?"})
        await hears(ann, "ack")
        await hub.run_until_idle()
        chat = (await hub.conversations())[0]
        await hub.reply(chat, "Until six.")
        shown = await hears(ann, "message", out=True)
        await ann.send_json({"t": "seen", "keys": [shown["key"]], "state": "read"})
        await ann.send_json({"t": "ping"})
        await hears(ann, "pong")
        await ann.close()
        while await hub.rows("SELECT 1 FROM livechat_connection"):
            await hub.run_until_idle()
        await hub.reply(chat, "On Sundays too.")
        bob, token_of_bob, _ = await visit(client)
        await bob.send_json({"t": "message", "id": "b1", "text": "Do you sell lamps?"})
        await hears(bob, "ack")

        await acme.wrote("m1", "Where is my parcel?")
        await hub.run_until_idle()
        order = (await hub.conversations())[0]
        await acme.reply(order, "It left this morning.")
        provider.will(busy(after=3600))
        await acme.reply(order, "It comes tomorrow.", "Before noon.")
        await hub.run_until_idle()
        with (
            contextlib.closing(sqlite3.connect(tmp_path / "talkwire.db")) as db,
            Path(os.environ[INTO]).open("w") as dump,
        ):
            [revision] = db.execute("SELECT version_num FROM alembic_version_core").fetchone()
            print(f"-- {json.dumps({'revision': revision, 'ann': token, 'bob': token_of_bob})}", file=dump)
            print(*db.iterdump(), sep="\n", file=dump)
        await bob.close()


def main(commit: str) -> None:
    """Play the story in the sources of a commit."""
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(["git", "archive", commit], cwd=root, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=packed, check=True)
        shutil.copy(__file__, f"{folder}/tests/record.py")
        dump = Path(folder, "dump.sql")
        sources = os.pathsep.join([f"{folder}/core/src", f"{folder}/plugins/livechat/src"])
        env = os.environ | {"PYTHONPATH": sources, INTO: str(dump)}
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "tests/record.py"]
        subprocess.run(words, cwd=folder, check=True, env=env)
        revision = json.loads(dump.read_text().partition("\n")[0].removeprefix("--"))["revision"]
        shutil.copy(dump, root / "tests" / "older" / f"{revision}.sql")


if __name__ == "__main__":
    main(sys.argv[1])
