"""A hook that raises, hangs or answers nonsense hurts only its own work."""

import asyncio
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from talkwire.actions import DropTimer
from talkwire.errors import Refuse, StoreDown
from talkwire.hooks import Drop, hookimpl
from talkwire.model import Account, Address, Inbound, draft
from talkwire.plugins import TOLD_BUDGET, Dropped, Plugins
from talkwire.running import HookFailed, HookTimeout
from talkwire.store.writer import RunAgain

SHORT = timedelta(milliseconds=30)
ACCOUNT = Account(name="shop", channel="phone")
HELLO = Inbound(
    external_id="e1",
    address=Address(kind="phone", value="+628111"),
    at=datetime(2026, 11, 22, tzinfo=UTC),
    text="hello",
)


def hook(name, function):
    """Make a plugin of one function."""
    body = staticmethod(hookimpl(specname=name)(function))
    return type("Made", (), {"function": body})()


@pytest.fixture
async def run(request):
    """Make plugins of functions, and stop them after the test."""
    made = []

    def make(name, *functions, **options):
        plugins = Plugins(extra={f"p{i}": hook(name, f) for i, f in enumerate(functions)}, **options)
        assert [i.error for i in plugins.infos if i.state == "failed"] == []
        made.append(plugins)
        return plugins

    yield make
    for plugins in made:
        await plugins.close()


@pytest.fixture
def gate():
    """An event that hanging threads wait for; opened at the end, so that none is left."""
    event = threading.Event()
    yield event
    event.set()


async def test_each_shape_hook_gets_what_the_one_before_returned(run):
    def one(message):
        return replaced(message, "1")

    async def two(message, account):
        return replaced(message, account.name)

    plugins = run("shape_inbound", one, lambda: None, two)
    shaped = await plugins.shape_inbound(HELLO, ACCOUNT)
    assert (shaped.message.text, shaped.notes) == ("hello1shop", ())


def replaced(message, more):
    return Inbound(external_id=message.external_id, address=message.address, at=message.at, text=message.text + more)


async def test_a_dropped_message_names_who_and_why_and_later_hooks_do_not_run(run):
    late = []
    plugins = run("shape_inbound", lambda message: Drop("spam"), lambda message: late.append(message.text))
    shaped = await plugins.shape_inbound(HELLO, ACCOUNT)
    assert (shaped.dropped, late) == (Dropped("spam", "p0"), [])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda message: 1 / 0, "raised ZeroDivisionError (test_running.py:"),
        (lambda message: "hello", "returned str; return None or Inbound or Drop"),
        (lambda message: Inbound(external_id="other", address=message.address, at=message.at), "changed external_id"),
    ],
)
async def test_a_shape_hook_that_goes_wrong_is_skipped_with_a_note(run, wrong, words):
    plugins = run("shape_inbound", wrong, lambda message: replaced(message, "!"))
    shaped = await plugins.shape_inbound(HELLO, ACCOUNT)
    assert (shaped.message.text, shaped.dropped) == ("hello!", None)
    assert words in shaped.notes[0]
    assert "p0" in shaped.notes[0]


async def test_an_error_of_a_stranger_is_named_without_its_text(run):
    plugins = run("shape_inbound", lambda message: int(message.text))
    shaped = await plugins.shape_inbound(HELLO, ACCOUNT)
    assert "ValueError" in shaped.notes[0]
    assert "hello" not in shaped.notes[0]


async def test_an_error_is_placed_in_the_plugins_own_file(run):
    plugins = run("shape_inbound", lambda message: json.loads(message.text))
    shaped = await plugins.shape_inbound(HELLO, ACCOUNT)
    assert "raised JSONDecodeError (test_running.py:" in shaped.notes[0]


async def test_a_hook_is_not_begun_when_no_time_is_left(run):
    called = []

    async def waits(message):
        called.append("on the loop")

    plugins = run("shape_inbound", waits, lambda message: called.append("in a thread"))
    shaped = await plugins.shape_inbound(HELLO, ACCOUNT, asyncio.get_running_loop().time() - 1)
    assert (called, len(shaped.notes)) == ([], 2)
    assert "no time was left" in shaped.notes[0]


async def test_a_late_shape_hook_keeps_nobody_waiting(run, gate):
    plugins = run("shape_inbound", lambda message: replaced(message, "1"), lambda message: gate.wait())
    began = time.monotonic()
    # Long enough for the first of them, on a machine that has other things to do.
    shaped = await plugins.shape_inbound(HELLO, ACCOUNT, asyncio.get_running_loop().time() + 1)
    assert time.monotonic() - began < 20
    assert shaped.message.text == "hello1"
    assert "did not end" in shaped.notes[0]


async def test_the_budget_is_that_of_all_plugins_together(run, gate):
    called = []
    plugins = run("shape_inbound", lambda message: gate.wait(), lambda message: called.append(1))
    shaped = await plugins.shape_inbound(HELLO, ACCOUNT, asyncio.get_running_loop().time() + 0.03)
    assert (called, len(shaped.notes)) == ([], 2)


async def test_a_reply_is_formatted_in_order(run):
    plugins = run(
        "format_reply", lambda draft: signed(draft, "1"), lambda draft: None, lambda draft: signed(draft, "2")
    )
    assert await plugins.format_reply(draft("hi"), ACCOUNT) == draft("hi12")


def signed(given, more):
    return draft(given.blocks[0].markdown + more)


async def test_a_refusal_reaches_the_agent_in_the_plugins_own_words(run):
    def refuse(draft):
        raise Refuse("no card numbers, please")

    with pytest.raises(Refuse, match=r"^no card numbers, please$"):
        await run("format_reply", refuse).format_reply(draft("hi"), ACCOUNT)


@pytest.mark.parametrize("wrong", [lambda draft: 1 / 0, lambda draft: "hi"])
async def test_a_filter_that_fails_lets_nothing_through(run, wrong):
    with pytest.raises(Refuse, match=r"plugin \"p0\": format_reply .* Nothing was sent.*take p0 out of"):
        await run("format_reply", wrong).format_reply(draft("hi"), ACCOUNT)


async def test_a_filter_that_hangs_lets_nothing_through(run, gate):
    plugins = run("format_reply", lambda draft: gate.wait())
    with pytest.raises(Refuse, match="did not end within"):
        await plugins.format_reply(draft("hi"), ACCOUNT, SHORT)


async def test_a_plain_hook_runs_in_a_thread_and_an_async_one_on_the_loop(run):
    where = []

    async def waits(fact):
        where.append(threading.current_thread())

    plugins = run("on_fact", lambda fact: where.append(threading.current_thread()), waits)
    for reader in plugins.readers():
        await reader.call_async("on_fact", {"fact": None})
    assert where[0] is not threading.main_thread()
    assert where[1] is threading.current_thread()


async def test_a_hook_gets_what_it_asks_for_by_name(run):
    got = []
    plugins = run("on_fact", lambda settings, hub, fact: got.append((settings, hub, fact)))
    plugins.lend(hub=SimpleNamespace(of=lambda plugin: f"hub of {plugin}"), settings={"p0": "own", "p1": "other"})
    await plugins.readers()[0].call_async("on_fact", {"fact": "f"})
    assert got == [("own", "hub of p0", "f")]


@pytest.mark.parametrize(
    ("answer", "actions"),
    [
        (lambda: None, []),
        (lambda: DropTimer("a"), [DropTimer("a")]),
        (lambda: [DropTimer("a"), DropTimer("b")], [DropTimer("a"), DropTimer("b")]),
        (lambda: (DropTimer(key) for key in "ab"), [DropTimer("a"), DropTimer("b")]),
    ],
)
async def test_a_hook_answers_nothing_an_action_or_several(run, answer, actions):
    plugins = run("on_fact", answer)
    assert await plugins.readers()[0].call_async("on_fact", {"fact": None}) == actions


async def awaited():
    return None


def endless():
    while True:
        yield DropTimer("a")


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        (lambda: 7, "returned int"),
        (lambda: "Reply", "returned str"),
        (lambda: {"reply": "hi"}, "returned dict"),
        (lambda: [DropTimer("a"), None], "returned NoneType"),
        (awaited, "returned a coroutine (write `async def`)"),
        (endless, "returned more than 1000 actions"),
    ],
)
@pytest.mark.parametrize("with_tx", [False, True])
async def test_nonsense_is_named_with_plugin_hook_and_remedy(run, nonsense, words, with_tx):
    tx = SimpleNamespace(asker="")
    reader = run("on_fact", (lambda tx: nonsense()) if with_tx else (lambda fact: nonsense())).readers()[0]
    with pytest.raises(HookFailed) as raised:
        reader.call_tx("on_fact", {}, tx) if with_tx else await reader.call_async("on_fact", {"fact": None})
    assert str(raised.value).startswith('plugin "p0": on_fact ' + words)
    assert (raised.value.plugin, raised.value.hook) == ("p0", "on_fact")


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), StopIteration(), asyncio.CancelledError()])
async def test_a_plugin_cannot_stop_the_daemon_from_a_thread(run, error):
    def leave(fact):
        raise error

    with pytest.raises(HookFailed, match=type(error).__name__):
        await run("on_fact", leave).readers()[0].call_async("on_fact", {"fact": None})


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError()])
async def test_a_plugin_cannot_stop_the_daemon_from_the_loop(run, error):
    async def leave(fact):
        raise error

    with pytest.raises(HookFailed, match=type(error).__name__):
        await run("on_fact", leave).readers()[0].call_async("on_fact", {"fact": None})


async def test_a_hook_that_will_not_be_cancelled_keeps_nobody_waiting(run):
    stop = asyncio.Event()

    async def stubborn(fact):
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    reader = run("on_fact", stubborn).readers()[0]
    reader.budget = SHORT
    with pytest.raises(HookTimeout, match=r"p0.*on_fact did not end within 0.03 s"):
        await reader.call_async("on_fact", {"fact": None})
    stop.set()


async def test_a_cancelled_caller_takes_its_hook_with_it(run):
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def waits(fact):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(run("on_fact", waits).readers()[0].call_async("on_fact", {"fact": None}))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended.wait()


async def test_hung_threads_are_lost_to_their_own_plugin_alone(run, gate):
    plugins = run("on_fact", lambda fact: gate.wait() and None, lambda fact: DropTimer("b"), threads=2)
    hung, well = plugins.readers()
    hung.budget = SHORT
    for _ in range(4):
        with pytest.raises(HookTimeout):
            await hung.call_async("on_fact", {"fact": None})
    assert sum(t.name.startswith("plugin-p0") for t in threading.enumerate()) == 2
    assert await well.call_async("on_fact", {"fact": None}) == [DropTimer("b")]


async def test_a_call_that_was_given_up_while_it_waited_for_a_thread_never_runs(run, gate):
    ran = []

    def slow(fact):
        ran.append(fact)
        gate.wait()

    reader = run("on_fact", slow, threads=1).readers()[0]
    first = asyncio.ensure_future(reader.call_async("on_fact", {"fact": "first"}))
    async with asyncio.timeout(20):
        while not ran:
            await asyncio.sleep(0.001)
    reader.budget = SHORT
    with pytest.raises(HookTimeout):
        await reader.call_async("on_fact", {"fact": "second"})
    gate.set()
    await first
    reader.budget = TOLD_BUDGET
    await reader.call_async("on_fact", {"fact": "third"})
    assert ran == ["first", "third"]


def test_a_tx_hook_speaks_for_its_plugin_and_the_asker_is_put_back(run_tx):
    seen = []
    tx = SimpleNamespace(asker="before")
    reader = run_tx(lambda tx: seen.append(tx.asker))
    assert reader.call_tx("on_fact", {"fact": None}, tx) == []
    assert (seen, tx.asker) == (["plugin:p0"], "before")


@pytest.fixture
def run_tx():
    def make(function, on_slow=None):
        plugins = Plugins(extra={"p0": hook("on_fact", function)})
        plugins.lend(hub=None, settings={}, on_slow=on_slow)
        make.plugins = plugins
        return plugins.readers()[0]

    return make


@pytest.mark.parametrize("error", [StoreDown("gone"), RunAgain()])
def test_what_the_store_raised_passes_through_a_tx_hook(run_tx, error):
    def fails(tx):
        raise error

    with pytest.raises(type(error)):
        run_tx(fails).call_tx("on_fact", {}, SimpleNamespace(asker=""))


def test_whoever_holds_the_writer_can_be_named_from_another_thread(run_tx, gate):
    inside = threading.Event()

    def hangs(tx):
        inside.set()
        gate.wait()

    reader = run_tx(hangs)
    writer = threading.Thread(target=reader.call_tx, args=("on_fact", {}, SimpleNamespace(asker="")))
    writer.start()
    assert inside.wait(20)
    (holder,) = run_tx.plugins.holders
    assert (holder.plugin, holder.hook) == ("p0", "on_fact")
    assert 0 <= time.monotonic() - holder.since < 20
    gate.set()
    writer.join(20)
    assert run_tx.plugins.holders == ()


def test_a_slow_tx_hook_is_named_and_a_quick_one_is_not(run_tx, monkeypatch):
    slow = []
    reader = run_tx(lambda tx: None, on_slow=lambda *given: slow.append(given))
    reader.call_tx("on_fact", {}, SimpleNamespace(asker=""))
    assert slow == []

    monkeypatch.setattr("talkwire.running.SLOW", timedelta(0))
    reader.call_tx("on_fact", {}, SimpleNamespace(asker=""))
    assert slow[0][:2] == ("p0", "on_fact")


async def test_a_reader_wants_what_its_hooks_are_told(run):
    reader = run("on_inbound_message", lambda message: None).readers()[0]
    assert reader.wants("message.received")
    assert not reader.wants("delivery.changed")
    assert not reader.wants("reply.refused")
    assert (reader.outside("on_inbound_message"), reader.in_tx("on_inbound_message")) == (True, False)


async def test_a_hook_with_tx_is_not_called_outside_and_the_other_not_inside(run):
    reader = run("on_fact", lambda tx: DropTimer("in")).readers()[0]
    assert await reader.call_async("on_fact", {"fact": None}) == []
    assert reader.call_tx("on_fact", {"fact": None}, SimpleNamespace(asker="")) == [DropTimer("in")]
