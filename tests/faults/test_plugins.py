"""Plugins that hang, leak or raise: each hurts its own work alone, and is named."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from talkwire.cli import looking
from talkwire.errors import Rejected, TalkwireError
from talkwire.hooks import hookimpl
from talkwire.model import Message
from talkwire.oversight import process, standstill
from tests.faults.page import shows
from tests.journeys.acme_hub import AcmeHub, FullAcme
from tests.journeys.bells import RULE, Bell


async def operator(acme: AcmeHub) -> str:
    """Give what `talkwire status` says of what is stored, and /livez and /readyz beside it."""
    daemon = acme.hub.daemon
    stands, waits, _ = await daemon.store.read(looking._read)
    lines = [f"{line.level} {line.what} {line.text}" for line in looking._lines(stands, waits, {})]
    return "\n".join([*lines, *daemon.stuck(), *daemon.not_ready()])


@pytest.mark.parametrize("way", ["thread", "async"])
async def test_a_hook_that_hangs_is_refused_after_its_time_and_named(start_acme: Any, way: str) -> None:
    gate = threading.Event()

    class Hanging:
        if way == "thread":

            @hookimpl
            def on_inbound_message(self, message: Message) -> None:
                gate.wait()

        else:

            @hookimpl
            async def on_inbound_message(self, message: Message) -> None:
                await asyncio.Event().wait()

    acme: AcmeHub = await start_acme(plugins={"acme_crm": Hanging()})
    acme.hub.daemon.plugins.readers()[0].budget = timedelta(milliseconds=20)
    try:
        conversation = await acme.talk()
        await acme.reply(conversation, "answered all the same")
        shows("plugin hangs: hook", await operator(acme))
        assert acme.texts == ["answered all the same"]
        for _ in range(8):
            await acme.hub.pass_time(hours=11)
        shows("plugin refuses a fact for a day", await operator(acme))
    finally:
        gate.set()


async def test_a_hook_that_holds_the_transaction_is_named_while_it_holds_it(start_acme: Any) -> None:
    gate, inside = threading.Event(), threading.Event()

    class Hanging:
        @hookimpl
        def on_inbound_message(self, message: Message, tx: Any) -> None:
            inside.set()
            gate.wait()

    acme: AcmeHub = await start_acme(plugins={"acme_crm": Hanging()})
    acme.hub.daemon.stuck_after = 0.01
    try:
        await acme.wrote("m1", "Hello")
        await asyncio.to_thread(inside.wait, 20)
        async with asyncio.timeout(20):
            # Until the hook itself is late, its transaction is named, which is a little older.
            while not (stuck := acme.hub.daemon.stuck()) or not stuck[0].startswith("plugin "):
                await asyncio.sleep(0.01)
        shows("plugin hangs: hook with tx", *stuck)
    finally:
        gate.set()
    await acme.hub.run_until_idle()
    assert await acme.column("SELECT text FROM message") == ["Hello"]


async def test_whoever_holds_the_event_loop_is_named_by_a_thread() -> None:
    told: list[str] = []

    def parse() -> None:
        until = time.monotonic() + 2
        while not told and time.monotonic() < until:
            time.sleep(0.01)

    with standstill.watched(0.05, told.append):
        await asyncio.sleep(0.03)
        parse()
        parse()
    assert len(told) == 1
    shows("plugin hangs: parse", f"event loop held where={told[0]}")


async def test_an_account_whose_open_hangs_waits_and_says_so(start_acme: Any, monkeypatch: Any) -> None:
    class Hanging(FullAcme):
        async def open(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("talkwire.accounts._OPEN_WITHIN", timedelta(seconds=0.02))
    acme: AcmeHub = await start_acme(channel=Hanging)
    async with asyncio.timeout(20):
        while acme.shop.view.state != "waiting":
            await asyncio.sleep(0.01)
    await acme.hub.run_until_idle()
    shows("plugin hangs: open", await operator(acme))
    await acme.wrote("m1", "taken in all the same")
    assert await acme.column("SELECT text FROM message") == ["taken in all the same"]


async def test_a_plugin_that_leaks_tasks_or_handles_shows_in_the_line_of_the_process() -> None:
    async def pump() -> None:
        await asyncio.Event().wait()

    before = process.held()
    tasks = [asyncio.create_task(pump()) for _ in range(1100)]
    handles = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
    try:
        held = process.held()
        assert held.tasks == before.tasks + 1100
        assert held.handles == before.handles + 10
        assert held.resident > 10 * 2**20
        [line] = looking._process({"held": {**asdict(held), "handles_most": held.handles + 2}})
        shows("plugin leaks tasks, handles or memory", f"{line.level} {line.what} {line.text} {line.hint}")
        [line] = looking._process({"held": asdict(before)})
        assert (line.level, line.hint) == ("ok", "")
    finally:
        for task in tasks:
            task.cancel()
        for handle in handles:
            os.close(handle)
        await asyncio.gather(*tasks, return_exceptions=True)


def broken(method: str, error: type[BaseException] = ZeroDivisionError) -> type[FullAcme]:
    """Make an Acme one of whose methods raises."""

    def plain(self: Any, *args: Any) -> Any:
        raise error("a secret text")

    async def waits(self: Any, *args: Any) -> Any:
        raise error("a secret text")

    return type("Sister", (FullAcme,), {method: waits if method in ("open", "close", "send") else plain})


async def after(acme: AcmeHub, method: str) -> str:
    """Let everything happen that a channel is asked for; gives what the operator sees."""
    await acme.says([{"kind": "message", "id": "m1", "time": acme.now, "from": "6281234567890", "text": "Hello"}])
    await acme.hub.run_until_idle()
    if method in ("send", "render"):
        try:
            await acme.reply(await acme.hub.conversation, "a reply")
        except ZeroDivisionError:
            return "the API says 500 internal, with an id that the log has: kind=ZeroDivisionError"
    return await operator(acme)


@pytest.mark.parametrize("method", ["open", "parse", "render", "send", "authenticate"])
async def test_a_channel_that_raises_hurts_only_what_it_was_asked_for(
    start_acme: Any, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    acme: AcmeHub = await start_acme(channel=broken(method))
    if method == "authenticate":
        with pytest.raises(Rejected):
            await after(acme, method)
        seen = await operator(acme)
    else:
        seen = await after(acme, method)
    log = capsys.readouterr().out
    shows(f"plugin raises: {method}", seen, log)
    assert "a secret text" not in seen + log
    [(stored,)] = await acme.hub.rows("SELECT count(*) FROM message WHERE direction = 'in'")
    assert stored == (0 if method in ("authenticate", "parse") else 1)


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit])
@pytest.mark.parametrize("method", ["open", "close", "answer", "authenticate", "parse", "send"])
async def test_a_channel_that_would_end_the_process_hurts_only_what_it_was_asked_for(
    start_acme: Any, method: str, error: type[BaseException]
) -> None:
    """A library that was made for a command line ends the process where its arguments are wrong."""
    acme: AcmeHub = await start_acme(channel=broken(method, error))
    try:
        await after(acme, method)
    except Rejected:
        assert method == "authenticate"
    if method == "send":
        assert await acme.hub.states(await acme.hub.conversation) == ["uncertain"]
    [(stored,)] = await acme.hub.rows("SELECT count(*) FROM message WHERE direction = 'in'")
    assert stored == (0 if method in ("authenticate", "parse") else 1)
    await acme.hub.daemon.accounts.close()


async def test_an_account_whose_rates_raise_is_broken_and_stops_no_other(start_acme: Any) -> None:
    class Rateless(FullAcme):
        @property
        def rates(self) -> Any:
            raise ZeroDivisionError

    acme: AcmeHub = await start_acme(channel=Rateless)
    assert re.search("BAD account shop broken for .*: ZeroDivisionError while it was made", await operator(acme))


@pytest.mark.parametrize("said", [False, True, "no"])
async def test_who_gives_something_instead_of_raising_lets_nobody_in(
    start_acme: Any, said: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Lenient(FullAcme):
        def authenticate(self, envelope: Any) -> Any:
            return said

    acme: AcmeHub = await start_acme(channel=Lenient)
    with pytest.raises(Rejected):
        await acme.wrote("m1", "Hello")
    assert "authenticate gave something; it raises Rejected, or gives nothing" in capsys.readouterr().out
    assert await acme.column("SELECT text FROM message") == []


async def test_an_answer_that_is_none_loses_no_delivery(start_acme: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Wordy(FullAcme):
        def answer(self, envelope: Any) -> Any:
            return "hello"

    acme: AcmeHub = await start_acme(channel=Wordy)
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    assert await acme.column("SELECT text FROM message") == ["Hello"]
    assert "answer gave neither Answered nor None" in capsys.readouterr().out


async def test_a_hook_that_ends_the_transaction_of_others_is_refused_and_told_so(start_acme: Any) -> None:
    """Whoever has written against a database of his own commits: what others wrote beside it would have been cut."""

    class Commits:
        @hookimpl
        def on_inbound_message(self, message: Message, tx: Any) -> None:
            tx.execute("COMMIT")

    acme: AcmeHub = await start_acme(plugins={"acme_crm": Commits()})
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    assert "a transaction begins and ends by itself: take COMMIT out" in await operator(acme)
    assert await acme.column("SELECT text FROM message") == ["Hello"]


async def test_a_notifier_whose_routes_raise_takes_nobody_elses_away(
    start_acme: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The routes of all plugins are looked through together."""

    class Routeless(Bell):
        def routes(self) -> Any:
            raise ZeroDivisionError("a secret text")

    class Hooks:
        @hookimpl
        def register_notifiers(self) -> list[type[Bell]]:
            return [Routeless]

    acme: AcmeHub = await start_acme(settings=RULE, plugins={"notify_bell": Hooks()})
    assert list(acme.hub.daemon.notifier_routes()) == []
    log = capsys.readouterr().out
    assert "routes failed" in log
    assert "test_plugins.py:" in log
    assert "a secret text" not in log


async def test_a_channel_whose_close_raises_stops_nobody(start_acme: Any, capsys: pytest.CaptureFixture[str]) -> None:
    acme: AcmeHub = await start_acme(channel=broken("close"))
    await acme.hub.daemon.accounts.close()
    shows("plugin raises: close", capsys.readouterr().out)


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, asyncio.CancelledError])
async def test_a_hook_that_would_end_the_process_hurts_only_its_own_work(
    start_acme: Any, error: type[BaseException]
) -> None:
    class Raising:
        @hookimpl
        async def on_inbound_message(self, message: Message) -> None:
            raise error

    acme: AcmeHub = await start_acme(plugins={"acme_crm": Raising()})
    await acme.reply(await acme.talk(), "a reply")
    assert acme.texts == ["a reply"]
    [said] = await acme.column("SELECT last_error FROM reader WHERE last_error <> ''")
    assert f"raised {error.__name__} (test_plugins.py:" in said


@pytest.mark.parametrize("hook", ["shape_inbound", "format_reply", "on_inbound_message"])
async def test_a_hook_that_raises_hurts_only_its_own_work(
    start_acme: Any, hook: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(message: Message | None = None, draft: Any = None) -> None:
        raise ZeroDivisionError("a secret text")

    argument = "draft" if hook == "format_reply" else "message"
    function = {"draft": lambda draft: raises(), "message": lambda message: raises()}[argument]
    plugin = type("Raising", (), {hook: staticmethod(hookimpl(function))})()
    acme: AcmeHub = await start_acme(plugins={"acme_crm": plugin})
    conversation = await acme.talk()
    seen = ""
    try:
        await acme.reply(conversation, "a reply")
    except TalkwireError as error:
        seen = str(error)
    assert acme.texts == ([] if hook == "format_reply" else ["a reply"])  # a filter that fails lets nothing through
    log = capsys.readouterr().out
    shows(f"plugin raises: {hook}", seen, log, await operator(acme))
    assert "a secret text" not in seen + log
