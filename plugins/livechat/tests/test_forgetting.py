"""A visitor who is forgotten leaves nothing in the plugin's tables, and begins anew as somebody else."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

from talkwire.lifecycle import persons
from talkwire.lifecycle.forgetting import Forgetting

from .visits import closed

CONSENT = """
[accounts.site.consent]
version = "2026-11"
text = "We keep what you write."
"""


async def person_of(site, name="ann"):
    talk = await site.talk(name)
    return await site.hub.daemon.store.read(lambda query: persons.by_contact(query, talk.contact))


async def forget(site, person):
    daemon = site.hub.daemon
    await Forgetting(daemon.store, daemon.files, daemon.clock, daemon.plugins.forget).forget(person.contact, "cli:test")


async def answered(start_site):
    site = await start_site(CONSENT)
    ann = await site.visit()
    await ann.send(t="consent", version="2026-11", accepted=True)
    await ann.gets("consented")
    assert (await ann.says("my secret words", "w1"))["t"] == "ack"
    return site, ann


async def rows_of(site):
    tables = ("livechat_connection", "livechat_visitor", "livechat_consent", "livechat_upload", "timer", "conversation")
    return {table: len(await site.hub.rows(f"SELECT 1 FROM {table}")) for table in tables}


async def test_a_visitor_who_is_forgotten_is_nobody_s_any_more(start_site):
    site, ann = await answered(start_site)
    await ann.leaves()
    await forget(site, await person_of(site))
    assert set((await rows_of(site)).values()) == {0}
    await site.hub.pass_time(minutes=30)  # no grace ends for nobody
    assert set((await rows_of(site)).values()) == {0}


async def test_no_byte_of_the_folder_has_a_word_of_theirs(start_site, tmp_path):
    """What was said, filled in, sent as a file, and said to them."""
    site = await start_site('[accounts.site.form]\nfields = ["name", "email", "question"]\n')
    ann = await site.visit()
    await ann.send(t="form", values={"name": "Zqname", "email": "zqmail@example.com", "question": "zqquestion"})
    await ann.gets("formed")
    file = await (await site.upload(ann, b"\x89PNG\r\n\x1a\n zqcontent", "zqfile.png")).json()
    await ann.says("zqsaid", "w1", files=[file["id"]])
    await site.hub.reply(await site.talk(), "zqreplied")
    await site.hub.run_until_idle()
    await ann.leaves()

    def words():
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {word for path in files for word in re.findall(rb"(?i)zq[a-z]+", path.read_bytes())}

    planted = {b"Zqname", b"zqmail", b"zqquestion", b"zqcontent", b"zqfile", b"zqsaid", b"zqreplied"}
    assert planted <= words()
    site.hub.clock.advance(timedelta(minutes=2))
    await forget(site, await person_of(site))
    assert words() == set()


async def test_an_open_widget_of_theirs_begins_anew(start_site):
    site, ann = await answered(start_site)
    closing = asyncio.create_task(closed(ann.ws))
    await forget(site, await person_of(site))
    assert await closing == 4001  # the widget lets its token go
    await site.hub.run_until_idle()
    assert set((await rows_of(site)).values()) == {0}
    del site.tokens["ann"]
    again = await site.visit()
    assert again.welcome["consent"]["given"] is None
    assert again.before == []


async def test_what_somebody_agreed_to_is_exported(start_site):
    site, _ = await answered(start_site)
    person = await person_of(site)
    plugins = site.hub.daemon.plugins
    found = await site.hub.daemon.store.read(lambda query: plugins.export(query, person))
    table = found["livechat"]["visits.csv"]
    assert "2026-11,accepted" in table
    assert "We keep what you write." in table
