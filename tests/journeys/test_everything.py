"""One plugin, installed like a stranger's, uses each hook and each method of the hub."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

import talkwire_everything
from talkwire import Hub, Tx, hooks
from talkwire.api import make_app
from talkwire.api.principals import create_keys
from talkwire.testing import Answers, Reply
from talkwire.testing.hub import WholeHub
from talkwire_everything import routes

TOKEN = "everything-0123456789"
SETTINGS = """
[plugins]
enabled = ["everything"]
[plugins.everything]
signature = "– your shop"
[recipients.ops]
media = ["everything"]
[accounts.shop]
channel = "everything"
url = "{url}"
token = "everything-0123456789"
"""
CUSTOMER = "6281234567890"
ANSWERS = Answers(accept=lambda seen, external_id: Reply.json({"id": external_id}))


class Shop:
    """The hub, and what its customer and its provider say."""

    def __init__(self, hub: WholeHub, provider: Any) -> None:
        self.hub, self.provider, self.count = hub, provider, 0

    async def says(self, **event: Any) -> None:
        self.count += 1
        body = [{"kind": "message", "id": f"m{self.count}", "sender": CUSTOMER, "at": 1795435200, **event}]
        await self.hub.deliver("shop", json.dumps(body), headers={"X-Token": TOKEN})
        await self.hub.run_until_idle()

    @property
    def sent(self) -> list[str]:
        return [seen.json()["text"] for seen in self.provider.requests if seen.path == "/send"]

    async def notes(self) -> list[tuple[str, str]]:
        return [
            (hook, text) for hook, text in await self.hub.rows("SELECT hook, text FROM everything_note ORDER BY id")
        ]


@pytest_asyncio.fixture
async def shop(start_hub, fake_provider):
    talkwire_everything.Bell.shows.clear()
    provider = await fake_provider(ANSWERS)
    hub = await start_hub(SETTINGS.format(url=provider.url))
    await hub.run_until_idle()
    return Shop(hub, provider)


# --- hooks --------------------------------------------------------------------------------------------------


async def test_a_message_is_heard_in_the_transaction_in_a_thread_and_on_the_loop(shop):
    hints: Any = shop.hub.daemon.hub.subscribe("everything")
    hint = asyncio.ensure_future(anext(hints))
    await asyncio.sleep(0)
    await shop.says(text="hello")
    message = (await shop.hub.messages(await shop.hub.conversation))[0]
    assert await hint == {"message": message.id}
    assert shop.sent == ["hello to you\n\n– your shop"]
    notes = await shop.notes()
    assert ("on_inbound_message", "hello") in notes
    assert ("on_fact", "1") in notes  # of the fact that the plugin itself told
    assert [seen.json() for seen in shop.provider.requests if seen.path == "/typing"] == [{"to": "+6281234567890"}]


async def test_a_message_is_shaped_or_kept_out(shop):
    await shop.says(text="BUY NOW")
    assert await shop.hub.conversations() == ()
    await shop.says(text="WHERE IS IT")
    assert [m.text for m in await shop.hub.messages(await shop.hub.conversation)] == ["Where is it"]


async def test_a_reply_is_signed_or_refused(shop):
    await shop.says(text="well?")
    conversation = await shop.hub.conversation
    with pytest.raises(Exception, match="we do not promise anything"):
        await shop.hub.reply(conversation, "I promise")
    await shop.hub.reply(conversation, "we try")
    await shop.hub.run_until_idle()
    assert shop.sent == ["we try\n\n– your shop"]


async def test_states_sessions_accounts_and_timers_are_heard(shop):
    await shop.says(kind="session", state="connected")
    await shop.says(text="wake me")
    await shop.hub.pass_time(minutes=1)
    await shop.says(kind="report", id="p1", state="delivered")
    await shop.says(kind="session", state="ended")
    assert shop.sent == ["wake at 12:01\n\n– your shop"]
    notes = await shop.notes()
    assert ("on_account", "shop working") in notes
    assert ("on_session", "opened, may answer: True") in notes
    assert ("on_session", "ended, may answer: False") in notes
    states = [text.rpartition(": ")[2] for hook, text in notes if hook == "on_delivery_status"]
    assert states == ["sent", "delivered"]


async def test_a_notice_is_replaced_and_taken_back(shop):
    await shop.says(text="queue 3")
    await shop.says(text="queue 2")
    edits = [seen.json() for seen in shop.provider.requests if seen.path == "/edit"]
    assert [(edit["id"], edit["text"].partition("\n")[0]) for edit in edits] == [("p1", "queue 2")]
    assert [seen.json()["notice"] for seen in shop.provider.requests if seen.path == "/send"] == ["queue"]
    await shop.says(text="queue is over")
    assert [seen.json() for seen in shop.provider.requests if seen.path == "/revoke"] == [{"id": "p1"}]


async def test_a_question_is_shown_answered_and_withdrawn(shop):
    await shop.says(text="ask")
    [shown] = talkwire_everything.Bell.shows.values()
    await shop.hub.daemon.hub.answer(shown.id, "no", "a test")
    await shop.hub.run_until_idle()
    assert talkwire_everything.Bell.shows == {}
    assert shop.sent == ["they say no\n\n– your shop"]
    notes = await shop.notes()
    assert {("on_notification", "Yes?"), ("answer_notification", "no")} <= set(notes)


async def test_a_question_is_taken_back(shop):
    await shop.says(text="ask")
    await shop.says(text="never mind")
    assert talkwire_everything.Bell.shows == {}


def test_its_simulator_is_given_when_asked_for():
    from talkwire.plugins import Plugins

    [(plugin, simulator)] = Plugins(["everything"]).register("register_simulators")
    assert (plugin, simulator.channel, simulator.faults) == ("everything", "everything", ("down",))


# --- the hub, by routes ----------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def asked(shop, aiohttp_client):
    [token] = [await shop.hub.daemon.store.write(create_keys, ("crm", "host"))]
    client = await aiohttp_client(make_app(shop.hub.daemon), headers={"Authorization": f"Bearer {token}"})

    async def ask(method: str, path: str, status: int = 200) -> Any:
        async with client.request(method, f"/p/everything{path}") as answer:
            assert answer.status == status, await answer.text()
            return await answer.json() if "json" in answer.content_type else await answer.text()

    ask.client = client
    return ask


async def test_all_there_is_to_read(shop, asked):
    await shop.says(text="ask")
    seen = await asked("GET", f"/look/{(await shop.hub.conversation).id}")
    notes = seen.pop("notes")
    assert "on_inbound_message: ask" in notes
    assert seen == {
        "principal": "key:crm",
        "alive": True,
        "instance": ["", "en", "UTC"],
        "accounts": ["shop"],
        "conversations": 1,
        "allowed": True,
        "messages": ["ask"],
        "first": [1, "ask"],
        "uncertain": 0,
        "contacts": 1,
        "contact": ["+6281234567890"],
        "surfaces": 0,
        "notifications": ["Yes?"],
    }


async def test_writing_replying_notifying_and_answering(shop, asked):
    assert await asked("POST", "/write/first") == {"repeated": False}
    assert await asked("POST", "/write/first") == {"repeated": True}
    await shop.hub.run_until_idle()
    assert shop.sent == ["first\n\n– your shop"]
    assert (await shop.notes()).count(("write", "first")) == 2
    assert [one.title for one in talkwire_everything.Bell.shows.values()] == ["Written"]
    by = await shop.hub.rows("SELECT DISTINCT asker FROM notification")
    assert by == [("plugin:everything",)]

    await shop.says(text="ask")
    question = next(one for one in talkwire_everything.Bell.shows.values() if one.title == "Yes?")
    assert await asked("POST", f"/answer/{question.id}/yes") == {"answered_by": "a page"}
    assert "a page" in str(await asked("POST", f"/answer/{question.id}/no", 409))


async def test_what_a_recipient_wants(asked):
    assert await asked("POST", "/mute/email") == {"before": [], "now": ["email"]}
    assert await asked("POST", "/mute/bell") == {"before": ["email"], "now": ["bell", "email"]}


async def test_typing_and_ending_a_talk(shop, asked):
    await shop.says(kind="session", state="connected")
    await shop.says(text="that was all")
    conversation = await shop.hub.conversation
    await asked("POST", f"/finish/{conversation.id}")
    assert [seen.json()["to"] for seen in shop.provider.requests if seen.path == "/typing"] == ["+6281234567890"]
    assert (await shop.hub.conversation).session_reason == "finished"
    await asked("POST", f"/finish/{conversation.id}", 409)


async def test_following_the_log_and_hints(shop, asked):
    await shop.says(text="hi")
    [noted] = await shop.hub.facts("everything.noted")
    assert await asked("GET", "/follow/everything.noted") == {
        "seq": noted.seq,
        "hint": {"seq": noted.seq},
        "head": True,
    }


async def test_signing_in(shop, asked):
    await asked("POST", "/enter")
    cookies = {cookie.key for cookie in asked.client.session.cookie_jar}
    assert cookies == {"talkwire"}
    assert await shop.hub.rows("SELECT principal FROM session") == [("key:crm",)]


async def test_an_attachment_that_is_not_there(asked):
    await asked("GET", "/attachments/none", 404)


async def test_a_file_is_kept_and_lent(asked):
    async with asked.client.post("/p/everything/keep/a.txt", data=b"hello") as answer:
        kept = await answer.json()
    assert kept["name"] == "a.txt"
    async with asked.client.get(kept["link"]) as answer:
        assert await answer.read() == b"hello"


async def test_its_pages_are_served_with_the_policy_it_asked_for(asked):
    async with asked.client.get("/p/everything/") as answer:
        assert "A page of a plugin" in await answer.text()
        assert "img-src 'self' blob:" in answer.headers["Content-Security-Policy"]
    async with asked.client.get("/p/everything/worker.js") as answer:
        assert answer.headers["Service-Worker-Allowed"] == "/p/everything/"


# --- nothing is left out -----------------------------------------------------------------------------------------


def hooks_used(module: ModuleType) -> set[str]:
    """Name the specs that a module implements."""
    marked = {name: value.talkwire_impl for name, value in vars(module).items() if hasattr(value, "talkwire_impl")}
    return {options["specname"] or name for name, options in marked.items()}


def methods_used(name: str, *sources: str) -> set[str]:
    """Name the attributes that are taken from a variable of this name."""
    nodes = (node for source in sources for node in ast.walk(ast.parse(source)))
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


SOURCES = [inspect.getsource(talkwire_everything), inspect.getsource(routes)]
OF_THE_HUB = {name for name in vars(Hub) if not name.startswith("_")} - {"of"}  # by which the core hands it out
OF_TX = {"execute", "many", "tell", "act", "after_commit", "now"}  # the rest of it is the core's


def test_each_hook_is_used():
    specs = {name for name, value in vars(hooks).items() if hasattr(value, "talkwire_spec")}
    assert hooks_used(talkwire_everything) == specs


@pytest.mark.parametrize(("name", "offered"), [("hub", OF_THE_HUB), ("tx", OF_TX)])
def test_each_method_is_used(name, offered):
    assert offered - methods_used(name, *SOURCES) == set()


def test_a_transaction_has_what_plugins_are_offered():
    assert [name for name in OF_TX if not hasattr(Tx, name)] == []


def test_what_is_not_used_would_be_noticed():
    without = [source.replace("hub.tail(", "hub.gone(").replace("tx.after_commit", "tx.gone") for source in SOURCES]
    assert "tail" not in methods_used("hub", *without)
    assert "after_commit" not in methods_used("tx", *without)
    assert "on_timer" not in hooks_used(routes)


def test_it_imports_nothing_of_ours_but_what_is_public():
    for file in Path(talkwire_everything.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not str(node.module).startswith("talkwire."), f"{file.name} imports {node.module}"
