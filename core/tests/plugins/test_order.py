"""Hooks run in pluggy's order, with pluggy's arguments: its own call is the measure."""

import itertools

import pytest

from talkwire.hooks import hookimpl
from talkwire.plugins import Plugins
from talkwire.running import Way

CALLS: list = []


def plugin(name, **options):
    class Made:
        @hookimpl(**options)
        def on_fact(self, fact):
            CALLS.append((name, fact))

    return Made()


class Renamed:
    @hookimpl(specname="on_fact", tryfirst=True)
    def anything(self, settings, fact):
        CALLS.append(("renamed", fact))


class Two:
    @hookimpl
    def on_fact(self):
        CALLS.append(("two", None))

    @hookimpl(specname="on_fact", trylast=True)
    def later(self, hub, fact, also=7):
        CALLS.append(("two, later", fact, also))


PARTS = {
    "plain": plugin("plain"),
    "first": plugin("first", tryfirst=True),
    "last": plugin("last", trylast=True),
    "renamed": Renamed(),
    "two": Two(),
}


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS))[::7], ids=" ".join)
def test_our_order_is_that_of_pluggys_own_call(order):
    plugins = Plugins(order, extra=PARTS)
    given = {"fact": "f", "tx": None, "settings": None, "hub": None}

    CALLS.clear()
    plugins._manager.hook.on_fact(**given)
    theirs = CALLS.copy()
    CALLS.clear()
    for hook in plugins.hooks("on_fact"):
        hook.function(*[given[name] for name in hook.arguments])

    assert theirs == CALLS
    assert len(CALLS) == 6


def test_the_order_is_that_of_the_config():
    parts = {name: plugin(name) for name in ("a", "b", "c")}
    for order in itertools.permutations(parts):
        assert tuple(hook.plugin for hook in Plugins(order, extra=parts).hooks("on_fact")) == order


class Ways:
    @hookimpl
    def on_fact(self, fact): ...

    @hookimpl
    async def on_timer(self, key): ...

    @hookimpl
    def on_session(self, tx): ...

    @hookimpl
    def answer_notification(self, answer): ...

    @hookimpl
    async def format_reply(self, draft): ...

    @hookimpl
    def shape_inbound(self, message): ...


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("on_fact", Way.THREAD),
        ("on_timer", Way.LOOP),
        ("on_session", Way.TX),
        ("answer_notification", Way.TX),
        ("format_reply", Way.LOOP),
        ("shape_inbound", Way.THREAD),
    ],
)
def test_where_a_hook_runs_follows_from_its_signature(name, way):
    plugins = Plugins(extra={"it": Ways()})
    assert [hook.way for hook in plugins.hooks(name)] == [way]
