"""An upgrade with open chats: what an older Talkwire had under way goes on, nothing is lost and nothing sent twice."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from talkwire.api import make_app
from talkwire.errors import SchemaError
from talkwire.lifecycle.copying import carry
from talkwire.store.moving import open_side
from talkwire.store.revisions import CORE, Chain
from talkwire.store.schema.upgrade import upgrade
from talkwire.testing.hub import whole_hub
from tests.journeys.acme_hub import AcmeHub, AcmePlugin
from tests.mutants.acme import ACME
from tests.older.record import SETTINGS, hears, visit

talkwire_livechat = pytest.importorskip("talkwire_livechat")
CHAINS = [CORE, Chain("livechat", Path(talkwire_livechat.__file__).parent / "versions")]
RECORDED = sorted(Path(__file__).parents[1].glob("older/*.sql"))


def of_before(dump: Path, folder: Path, postgres: str) -> tuple[str, dict[str, str]]:
    """Bring a recorded database back as it was, with its older tables; gives its URL, and what its visitors keep."""
    text = dump.read_text()
    known = json.loads(text.partition("\n")[0].removeprefix("--"))
    file = folder / "talkwire.db"
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.executescript(text)
    if not postgres:
        return f"sqlite:///{file}", known
    with contextlib.closing(open_side(f"sqlite:///{file}")) as here:
        upgrade(postgres, CHAINS, to=here.versions())
        with contextlib.closing(open_side(postgres, write=True)) as there:
            carry(here, there)
            there.commit()
    file.unlink()
    return postgres, known


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))])
def postgres(request: Any) -> str:
    """Give the URL of an empty database, or nothing where it is SQLite's turn."""
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else ""


@pytest.mark.parametrize("dump", RECORDED, ids=lambda dump: dump.stem)
async def test_what_an_older_version_had_under_way_goes_on_and_nothing_is_sent_twice(
    fake_provider, tmp_path, aiohttp_client, postgres, dump
):
    provider = await fake_provider(ACME.answers)
    url, known = of_before(dump, tmp_path, postgres)
    told = upgrade(url, CHAINS)
    assert told[0].startswith(f"core: {known['revision']} → ")
    plugins = {"acme": AcmePlugin(), "livechat": talkwire_livechat}
    running = whole_hub(SETTINGS.format(url=provider.url), tmp_path, plugins=plugins, url=postgres)
    async with running as hub:
        acme, client = AcmeHub(hub, provider), await aiohttp_client(make_app(hub.daemon))
        await hub.run_until_idle()
        talks = {(await hub.messages(talk))[-1].text: talk for talk in await hub.conversations()}
        chat, order = talks["On Sundays too."], talks["Before noon."]
        assert await hub.rows("SELECT 1 FROM livechat_connection") == []  # who sat there is known to be gone

        ann, _, shown = await visit(client, known["ann"])
        while len(shown) < 3:  # what waited may come before the chat is ready, or after
            shown.append(await hears(ann, "message"))
        assert [frame["text"] for frame in shown] == ["Are you open today?", "Until six.", "On Sundays too."]
        await ann.send_json({"t": "seen", "keys": [shown[-1]["key"]], "state": "read"})
        await ann.send_json({"t": "message", "id": "a1", "text": "Are you open today?"})  # the browser repeats itself
        await hears(ann, "ack")
        await ann.send_json({"t": "message", "id": "a2", "text": "Thank you!"})
        await hears(ann, "ack")
        bob, _, shown = await visit(client, known["bob"])
        assert [frame["text"] for frame in shown] == ["Do you sell lamps?"]
        await hub.reply(talks["Do you sell lamps?"], "All kinds.")
        assert (await hears(bob, "message", out=True))["text"] == "All kinds."

        await acme.wrote("m1", "Where is my parcel?")  # so does the provider
        await acme.reported("p1", "delivered")
        assert acme.texts == []  # the provider had asked for an hour
        await hub.pass_time(timedelta(hours=1))
        assert acme.texts == ["It comes tomorrow.", "Before noon."]
        assert await hub.states(order) == ["delivered", "accepted", "accepted"]
        said = [(one.n, one.text) for one in await hub.messages(chat)]
        assert said == [(1, "Are you open today?"), (2, "Until six."), (3, "On Sundays too."), (4, "Thank you!")]
        assert await hub.states(chat) == ["read", "read"]
        [seqs] = await hub.rows("SELECT count(*), max(seq), min(seq) FROM fact")
        assert seqs[0] == seqs[1] - seqs[2] + 1


@pytest.mark.parametrize("dump", RECORDED, ids=lambda dump: dump.stem)
async def test_nothing_runs_on_tables_of_before(tmp_path, postgres, dump):
    url, _ = of_before(dump, tmp_path, postgres)
    settings = "" if not postgres else f'[store]\nurl = "{url}"\n'
    with pytest.raises(SchemaError, match="type: talkwire db upgrade"):
        async with started(settings, tmp_path):
            pass


@contextlib.asynccontextmanager
async def started(settings: str, folder: Path) -> Any:
    """Start a daemon on a database as it is; a whole hub would upgrade it."""
    from pydantic import SecretBytes

    from talkwire.daemon import Daemon
    from talkwire.settings import RawConfig, load_raw

    loaded = load_raw(RawConfig(settings, folder / "talkwire.toml", {}))
    async with Daemon(loaded.config, loaded.plugins, keys=[SecretBytes(b"k" * 32)]).running():
        yield
