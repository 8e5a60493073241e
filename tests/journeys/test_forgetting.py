"""Whoever is forgotten leaves no word behind, in no table and in no byte of the folder; all others stay as they were."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from talkwire import (
    Conflict,
    Detail,
    Draft,
    Enclosed,
    Inbound,
    Media,
    NotFound,
    Notify,
    Original,
    Reply,
    SetTimer,
    Text,
    draft,
    hookimpl,
)
from talkwire.lifecycle import persons
from talkwire.lifecycle.forgetting import Forgetting, Forgotten
from talkwire.testing.hub import WholeHub
from talkwire.testing.provider import busy, slow
from tests.journeys.acme_hub import CUSTOMER, AcmeHub, FullAcme
from tests.journeys.post_hub import BOB, Letters

OTHER = "6289999999999"
WORD = re.compile(rb"zq[a-z]+|281234567890|Zqann", re.IGNORECASE)  # everything that was planted


class Slow:
    """Files, of which the first that is opened waits until something else has happened."""

    def __init__(self, files: Any, before: Callable[[], Awaitable[Any]]) -> None:
        self._files = files
        self._before: Callable[[], Awaitable[Any]] | None = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    async def open(self, sha256: str) -> AsyncIterator[bytes]:
        if self._before is not None:
            before, self._before = self._before, None
            await before()
        async for chunk in self._files.open(sha256):
            yield chunk


async def forget(hub: WholeHub, address: str, *, files: Any = None) -> Forgotten:
    person = await hub.daemon.store.read(lambda query: persons.find(query, address))
    daemon = hub.daemon
    return await Forgetting(daemon.store, files or daemon.files, daemon.clock, daemon.plugins.forget).forget(
        person.contact, "cli:test"
    )


async def left(hub: WholeHub, folder: Path) -> set[str]:
    """Grep every byte that the hub keeps: of the folder on SQLite, of each table on PostgreSQL."""
    if hub.daemon.store.is_sqlite:
        await hub.daemon.store.scrub(rewrite=False)  # what is in the log is in the file; nothing else is done
        return {
            f"{path.name}: {word.decode()}"
            for path in folder.rglob("*")
            if path.is_file()
            for word in WORD.findall(path.read_bytes())
        }
    tables = await hub.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    found = set()
    for (table,) in tables:
        for (row,) in await hub.rows(f"SELECT CAST(t AS text) FROM {table} t"):
            plain = re.sub(rb"\\x([0-9a-f]+)", lambda m: bytes.fromhex(m[1].decode()), row.encode())
            found |= {f"{table}: {word.decode()}" for word in WORD.findall(plain)}
    return found


class Listening:
    """A plugin that asks for everything that is stored with a conversation, and remembers whom it forgot."""

    def __init__(self) -> None:
        self.forgot: list[Any] = []
        self.fault: Exception | None = None

    @hookimpl
    def on_inbound_message(self, message: Any, tx: Any) -> Any:
        if message.text != "zqasks":
            return
        to = message.conversation
        line = Detail("Said", "zqdetail.")
        tx.act(
            Notify(
                recipient="ops",
                kind="x",
                title="zqtitle.",
                text="zqnotified.",
                details=(line,),
                conversation=to,
                key="n",
            )
        )
        tx.act(Notify(recipient="ops", kind="x", title="Call +6281234567890", text="They wait", key="of no talk"))
        tx.act(SetTimer(key="zqtimer", due=tx.now + timedelta(days=400), subject=to))
        tx.act(Reply(conversation=to, draft=draft("zqpromised")))

    @hookimpl
    def forget_person(self, person: Any, tx: Any) -> None:
        self.forgot.append(person)
        if self.fault:
            raise self.fault

    @hookimpl
    def export_person(self, person: Any, query: Any) -> Any:
        return {"notes.txt": f"zqnote of {person.name}"}


class Bringing(FullAcme):
    """Acme whose media can be fetched."""

    async def fetch(self, attachment: Any) -> AsyncIterator[bytes]:
        yield b"zqcontent of " + attachment.handle.encode()


async def plant(acme: AcmeHub) -> None:
    """Let a customer leave words wherever a customer's words can go."""
    hub = acme.hub
    await acme.wrote("m0", "zqasks", name="Zqann", aliases=["bsuid:zqalias"])
    await hub.run_until_idle()
    talk = (await hub.conversations())[0]
    acme.provider.will(acme.accept("p1"), acme.accept("p2"))
    sent = await hub.reply(talk, "zqanswer", key="zqkey")
    await hub.run_until_idle()
    await acme.wrote("m1", "zqquote", reply_to="p1", media=["zqfile.txt"], thread="zqthread", group="zqgroup")
    await hub.run_until_idle()
    await acme.told("edit", of="m0", text="zqedited")
    await acme.told("reaction", of="p1", text="zqreaction")
    await acme.told("edit", of="never-seen", text="zqunknown")
    await acme.says([{"kind": "message", "id": "mx", "time": "zqnever", "from": CUSTOMER, "text": "zqunread"}])
    await acme.wrote("m2", "zqlarge", padding="x" * 300_000)
    await acme.reported("p1", "failed", reason="zqreason")
    await acme.reported("p-unknown", "failed", reason="zqstray", recipient="+6281234567890")
    await hub.run_until_idle()
    acme.provider.will(busy(3000))
    await hub.reply(talk, "zqwaiting")
    await hub.run_until_idle()
    assert sent.message


@pytest.fixture
def listening() -> Listening:
    return Listening()


async def started(start_acme: Any, listening: Listening) -> AcmeHub:
    settings = "[recipients.ops]\nmedia = []\n"
    acme: AcmeHub = await start_acme(channel=Bringing, plugins={"listening": listening}, settings=settings)
    return acme


async def test_no_word_is_left_of_whoever_is_forgotten_and_the_others_stay(
    start_acme: Any, listening: Listening, tmp_path: Path
) -> None:
    acme = await started(start_acme, listening)
    await acme.wrote("o1", "I am somebody else", sender=OTHER, name="Bea")
    await plant(acme)
    there = {found.partition(" ")[2] for found in await left(acme.hub, tmp_path)}
    said = {
        *("zqasks", "zqanswer", "zqquote", "zqedited", "zqreaction", "zqunknown", "zqunread", "zqlarge", "zqreason"),
        *(
            "zqwaiting",
            "zqtitle",
            "zqnotified",
            "zqdetail",
            "zqpromised",
            "zqcontent",
            "zqfile",
            "zqalias",
            "zqthread",
            "zqtimer",
        ),
    }
    assert said <= there
    acme.hub.clock.advance(timedelta(minutes=2))
    done = await forget(acme.hub, "+62 812-3456-7890")
    assert done.messages >= 6
    assert (done.files, done.files_later, done.scrubbed) == (2, 0, "clean")
    assert await left(acme.hub, tmp_path) == set()
    [talk] = await acme.hub.conversations()
    assert (talk.address.name, [m.text for m in await acme.hub.messages(talk)]) == ("Bea", ["I am somebody else"])
    assert len(await acme.column("SELECT id FROM envelope")) == 1
    [person] = listening.forgot
    assert {(a.kind, a.value) for _, a in person.addresses} == {("phone", "+6281234567890")}
    [fact] = await acme.hub.facts("contact.forgotten")
    assert (fact.ids["contact"], fact.small["by"]) == (person.contact, "cli:test")


async def test_a_later_message_of_the_same_person_makes_a_fresh_contact(start_acme: Any, listening: Listening) -> None:
    acme = await started(start_acme, listening)
    await plant(acme)
    [before] = await acme.column("SELECT id FROM contact")
    await forget(acme.hub, CUSTOMER)
    assert await acme.column("SELECT id FROM contact") == []
    await acme.wrote("m9", "Hello again")
    await acme.hub.run_until_idle()
    talk = await acme.hub.conversation
    assert talk.contact != before
    assert [m.n for m in await acme.hub.messages(talk)] == [1]
    await acme.reply(talk, "Good day")
    assert acme.texts[-1] == "Good day"


async def test_a_reply_that_is_on_its_way_leaves_nothing_behind(start_acme: Any, listening: Listening) -> None:
    acme = await started(start_acme, listening)
    talk = await acme.talk()
    release = asyncio.Event()
    acme.provider.will(slow(release))
    await acme.hub.reply(talk, "zqsent")
    await acme.under_way()
    await forget(acme.hub, CUSTOMER)
    release.set()
    await acme.hub.run_until_idle()
    for table in ("delivery", "exchange", "task", "lane", "message", "conversation"):
        assert await acme.column(f"SELECT 1 FROM {table}") == [], table


async def test_what_is_written_while_somebody_is_forgotten_is_forgotten_or_a_fresh_contact_s(
    start_acme: Any, listening: Listening
) -> None:
    acme = await started(start_acme, listening)
    await acme.talk()
    [before] = await acme.column("SELECT id FROM contact")
    await asyncio.gather(forget(acme.hub, CUSTOMER), *(acme.wrote(f"w{n}", f"still here {n}") for n in range(10)))
    await acme.hub.run_until_idle()
    assert before not in await acme.column("SELECT id FROM contact")
    [(messages, places, people)] = await acme.hub.rows(
        "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM conversation), (SELECT count(*) FROM address)"
    )
    assert places == people == min(messages, 1)
    orphans = "SELECT 1 FROM message WHERE conversation_id NOT IN (SELECT id FROM conversation)"
    assert await acme.column(orphans) == []


async def test_an_envelope_that_is_replayed_while_its_sender_is_forgotten_brings_nobody_back(
    start_acme: Any, listening: Listening, tmp_path: Path
) -> None:
    acme = await started(start_acme, listening)
    await acme.wrote("m1", "zqlarge", name="Zqann", padding="x" * 300_000)
    await acme.hub.run_until_idle()
    [envelope] = await acme.column("SELECT id FROM envelope")
    intake = acme.hub.daemon.intake
    intake._files = Slow(intake._files, lambda: forget(acme.hub, CUSTOMER))
    with pytest.raises(NotFound, match=f"there is no envelope {envelope}"):
        await intake.replay(envelope)
    await acme.hub.run_until_idle()
    for table in ("contact", "address", "conversation", "message", "envelope"):
        assert await acme.column(f"SELECT 1 FROM {table}") == [], table


@pytest.mark.parametrize("says", ["", "zqsaid"], ids=["silent", "saying"])
@pytest.mark.parametrize("forgotten", [CUSTOMER, OTHER], ids=["into-it", "into-another"])
async def test_whoever_is_merged_while_they_are_forgotten_is_forgotten_whole(
    start_acme: Any, listening: Listening, forgotten: str, says: str
) -> None:
    """Who moves is one person, of whom the contact of the old address stays."""
    acme = await started(start_acme, listening)
    await acme.wrote("m1", "zqfirst", name="Zqann")
    if says:
        await acme.wrote("m2", says, sender=OTHER)
    else:
        await acme.told("session", state="connected", **{"from": OTHER})
    await acme.wrote("m3", "Hello", sender="6287777777777", padding="x" * 300_000)  # is looked through
    await acme.hub.run_until_idle()
    moves = Slow(acme.hub.daemon.files, lambda: acme.told("moved", new=OTHER))
    await forget(acme.hub, forgotten, files=moves)
    assert await acme.column("SELECT value FROM address") == ["+6287777777777"]
    assert await acme.column("SELECT text FROM message") == ["Hello"]
    assert await acme.column("SELECT length(body_ref) > 0 FROM envelope") == [True]


async def test_a_plugin_that_cannot_forget_keeps_the_person_known(start_acme: Any, listening: Listening) -> None:
    acme = await started(start_acme, listening)
    await plant(acme)
    listening.fault = ValueError("no")
    with pytest.raises(Exception, match='plugin "listening": forget_person raised ValueError'):
        await forget(acme.hub, CUSTOMER)
    listening.fault = None
    await forget(acme.hub, CUSTOMER)  # what is left goes
    with pytest.raises(NotFound):
        await forget(acme.hub, CUSTOMER)


async def test_a_file_that_several_of_our_messages_use_stays(start_acme: Any, listening: Listening) -> None:
    acme = await started(start_acme, listening)
    await acme.talk()
    await acme.wrote("o1", "Hello", sender=OTHER)
    await acme.hub.run_until_idle()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"price list"

    shared = (await acme.hub.daemon.hub.keep_file(chunks(), name="prices.txt", limit=100)).id
    for talk in await acme.hub.conversations():
        await acme.reply(talk, "here")
    messages = await acme.column("SELECT id FROM message WHERE direction = 'out' ORDER BY id")
    for message in messages:
        await acme.hub.daemon.store.write(_uses, (shared, message))
    acme.hub.clock.advance(timedelta(minutes=2))
    assert (await forget(acme.hub, CUSTOMER)).files == 0
    assert await acme.column("SELECT id FROM attachment") == [shared]


def _uses(tx: Any, items: Any) -> list[None]:
    from talkwire.outbound.queueing import use_files

    for file, message in items:
        use_files(tx, [(message, (Text("here"), Media(attachment=file)))])
    return [None] * len(items)


async def test_a_content_that_came_within_the_last_minute_is_left_to_the_purge(
    start_acme: Any, listening: Listening, tmp_path: Path
) -> None:
    """Somebody else may have put the same content, and be about to name it."""
    acme = await started(start_acme, listening)
    await plant(acme)
    done = await forget(acme.hub, CUSTOMER)
    assert (done.files, done.files_later) == (0, 2)
    acme.hub.clock.advance(timedelta(minutes=11))
    await acme.hub.daemon.purge.sweep()
    assert await left(acme.hub, tmp_path) == set()


# --- who is meant -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed", ["+6281234567890", "6281234567890", "0062 812 3456 7890", "phone:+6281234567890", "phone:6281234567890"]
)
async def test_a_person_is_found_by_an_address_in_its_usual_forms(acme: AcmeHub, typed: str) -> None:
    talk = await acme.talk()
    assert (await acme.hub.daemon.store.read(lambda query: persons.find(query, typed))).contact == talk.contact


@pytest.mark.parametrize("typed", ["", "62812", "email:+6281234567890", "%", "nobody@example.org"])
async def test_nobody_is_found_by_a_part_of_an_address(acme: AcmeHub, typed: str) -> None:
    await acme.talk()
    with pytest.raises(NotFound):
        await acme.hub.daemon.store.read(lambda query: persons.find(query, typed))


async def test_where_an_address_is_two_people_s_it_is_asked_which(start_hub: Any) -> None:
    from talkwire import Address
    from tests.journeys.door_hub import Doors

    settings = '[accounts.front]\nchannel = "door"\n[accounts.back]\nchannel = "door"\n'
    hub = await start_hub(settings, plugins={"door": Doors()})
    for name in ("front", "back"):
        door = hub.daemon.account(name).channel
        who = Address(kind="visitor", value="v1", name=name.capitalize())
        await door.admit([Inbound(external_id="1", address=who, at=hub.clock.now(), text="hi")])
    with pytest.raises(Conflict, match="names 2 people") as refused:
        await hub.daemon.store.read(lambda query: persons.find(query, "v1"))
    for (contact,) in await hub.rows("SELECT id FROM contact"):
        assert contact in str(refused.value)
        assert (await hub.daemon.store.read(lambda q, c=contact: persons.find(q, c))).contact == contact
    assert "visitor:v1 (front)" in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b'{"from": "6281234567890"}', True),
        (b"from=%2B6281234567890&text=hi", True),
        (b"<a@Example.ORG> wrote", True),
        (b'{"from": "62812345678901"}', False),
        (b"x6281234567890", False),
        (b"", False),
    ],
)
def test_an_address_is_found_in_raw_bytes_as_a_whole(raw: bytes, found: bool) -> None:
    from talkwire import Address, Alias, Person

    address = Address(kind="phone", value="+6281234567890", aliases=(Alias("email", "a@example.org"),))
    person = Person(contact="c", name="", addresses=(("", address),), conversations=())
    traces = persons.traces_of(person)
    assert traces is not None
    assert (traces.search(raw) is not None) is found


def test_a_value_that_is_too_short_is_not_looked_for() -> None:
    from talkwire import Address, Person

    person = Person(contact="c", name="", addresses=(("a", Address(kind="chat", value="7")),), conversations=())
    assert persons.traces_of(person) is None


async def test_letters_go_with_their_files_and_their_whole_and_copies_to_others_forget_who_got_them(
    letters: Letters, tmp_path: Path
) -> None:
    them = "zqann@example.org"
    whole = Original(text="zqnew\n> zqold", html="<p>zqnew</p>")
    file = Enclosed(content=b"zqcontent", name="zqfile.txt", content_id="zqid")
    await letters.wrote("zqname", sender=them, blocks=(whole, file), cc=("zqsister@example.org",), subject="zqsubject")
    await letters.wrote("b", sender=BOB, cc=("cat@example.org", them), answer_at=them)
    await letters.wrote("c", sender=BOB, cc=(them,), answer_at=BOB)
    copied = Draft(blocks=(Text("d"),), cc=("cat@example.org", them), bcc=("Zqann@example.org",))
    await letters.hub.reply(await letters.talk(BOB), copied)
    await letters.hub.run_until_idle()
    assert {"zqold", "zqcontent", "zqfile", "zqid", "zqsister", "zqname"} <= {
        found.partition(" ")[2] for found in await left(letters.hub, tmp_path)
    }
    letters.hub.clock.advance(timedelta(minutes=2))
    await forget(letters.hub, them)
    assert await left(letters.hub, tmp_path) == set()
    kept = {
        m.text: (m.cc, m.answer_at)
        for talk in await letters.hub.conversations()
        for m in await letters.hub.messages(talk)
    }
    assert kept == {"b": (("cat@example.org",), ""), "c": ((), BOB), "d": (("cat@example.org",), "")}
    assert [one.recipient for one in (await letters.messages(BOB))[-1].deliveries] == ["", "cat@example.org"]


async def test_what_was_still_to_be_fetched_of_a_forgotten_message_is_fetched_no_more(full_acme: AcmeHub) -> None:
    full_acme.hub.daemon.lanes.drop("do")  # so that it waits
    await full_acme.wrote("m1", "look", media=["picture"])
    await full_acme.wrote("m2", "look", sender=OTHER, media=["another"])
    assert await full_acme.column("SELECT count(*) FROM task WHERE kind = 'fetch'") == [2]
    await forget(full_acme.hub, CUSTOMER)
    assert await full_acme.column("SELECT a.handle FROM task t JOIN attachment a ON a.id = t.ref") == ["another"]
    assert await full_acme.column("SELECT count(*) FROM task WHERE kind = 'fetch'") == [1]
