"""What a desktop can do and whether somebody sits there, as the client learns it; and the way that is not Linux's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from dbus_fast import Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusSignature
from dbus_fast.service import ServiceInterface, dbus_method

from talkwire_notify_desktop.native.cards import Button, Card
from talkwire_notify_desktop.native.elsewhere import OtherDesktop
from talkwire_notify_desktop.native.linux import LinuxDesktop

from .agents import PATIENCE, QUICK, until

pytestmark = pytest.mark.needs("dunst")
BUTTONS = tuple(Button(f"b{number}", f"Button {number}") for number in range(1, 6))


class Ears:
    """Hears what happens on a screen."""

    def __init__(self):
        self.heard = []

    def able_changed(self):
        self.heard.append("able")

    def begun_anew(self):
        self.heard.append("anew")

    def pressed(self, card, action):
        self.heard.append(("pressed", card, action))

    def clicked(self, card):
        self.heard.append(("clicked", card))

    def dismissed(self, card):
        self.heard.append(("dismissed", card))


@asynccontextmanager
async def watching(make=LinuxDesktop):
    """Watch this desktop; gives it, what is heard of it and what it says."""
    ears, said = Ears(), []
    desktop = make(ears, said.append, QUICK)
    running = asyncio.ensure_future(desktop.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await desktop.known.wait()
        yield desktop, ears.heard, said
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def on_the_bus(name, path, interface):
    """Be a service on the desktop's bus."""
    bus = await MessageBus().connect()
    bus.export(path, interface)
    await bus.request_name(name)
    try:
        yield interface
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()


class Server(ServiceInterface):
    """A program that shows notifications, and can do what a test says."""

    def __init__(self, name, can):
        super().__init__("org.freedesktop.Notifications")
        self.who = name
        self.can = can
        self.told = []
        self.answers = True

    @dbus_method()
    def GetServerInformation(self) -> ssss:  # noqa: F821, N802
        return [self.who, "somebody", "1", "1.2"]

    @dbus_method()
    def GetCapabilities(self) -> "as":  # noqa: F722, N802
        return self.can

    @dbus_method()
    async def Notify(self, app: s, old: u, icon: s, title: s, body: s, actions: "as", hints: "a{sv}", until: i) -> u:  # noqa: F722, F821, N802
        self.told.append((title, body, actions, until))
        if not self.answers:
            await asyncio.Event().wait()
        return len(self.told)


@asynccontextmanager
async def served_by(desktop, name, can):
    """Have another program than dunst show notifications."""
    desktop.stop_dunst()
    server = Server(name, can)
    async with on_the_bus("org.freedesktop.Notifications", "/org/freedesktop/Notifications", server):
        yield server


async def test_a_desktop_that_draws_three_buttons_gets_three_and_the_log_says_what_is_left_out(desktop):
    async with (
        served_by(desktop, "gnome-shell", ["actions", "body", "body-markup"]) as server,
        watching() as (ours, _, said),
    ):
        assert await ours.show(Card(id="n", title="t", text="x < y", buttons=BUTTONS)) == ""
    [(_, body, actions, _)] = server.told
    assert body == "x &lt; y"
    assert actions[::2] == ["default", "answer:b1", "answer:b2", "answer:b3"]
    assert said == ['this desktop draws 3 buttons: "Button 4", "Button 5" is left out']


async def test_a_desktop_without_buttons_and_markup_gets_neither(desktop):
    async with served_by(desktop, "plain", ["body"]) as server, watching() as (ours, _, said):
        assert await ours.show(Card(id="n", title="t", text="x < y", buttons=BUTTONS[:1])) == ""
    [(_, body, actions, _)] = server.told
    assert (body, actions) == ("x < y", [])
    assert said == ['this desktop draws no buttons: "Button 1" is not on the notification']


async def test_a_desktop_that_does_not_answer_is_not_believed(desktop, monkeypatch):
    async with served_by(desktop, "hanging", ["body"]) as server, watching() as (ours, heard, said):
        server.answers = False
        ours._answer = ours._bus._answer = 0.1  # seconds
        assert await ours.show(Card(id="n", title="t", text="")) == "no_daemon"
        assert "did not answer" in said[0]
        await until(lambda: ours.able.able)  # asked again, it says what it can
        assert heard[-1] == "able"


class Idle(ServiceInterface):
    """Mutter's monitor of what people do."""

    def __init__(self):
        super().__init__("org.gnome.Mutter.IdleMonitor")
        self.spent = 0

    @dbus_method()
    def GetIdletime(self) -> Annotated[int, DBusSignature("t")]:  # noqa: N802
        return self.spent


class Saver(ServiceInterface):
    """A screen saver."""

    def __init__(self):
        super().__init__("org.freedesktop.ScreenSaver")
        self.is_on = False

    @dbus_method()
    def GetActive(self) -> Annotated[bool, DBusSignature("b")]:  # noqa: N802
        return self.is_on


class Session(ServiceInterface):
    """logind's properties of a session."""

    def __init__(self):
        super().__init__("org.freedesktop.login1.Session")
        self.hints = {"IdleHint": False, "LockedHint": False}


class Properties(ServiceInterface):
    """Their way on the bus: asked with an error where there is none of that name."""

    def __init__(self, session):
        super().__init__("org.freedesktop.DBus.Properties")
        self.session = session

    @dbus_method()
    def Get(self, interface: s, name: s) -> v:  # noqa: F821, N802
        return Variant("b", self.session.hints[name])


async def test_whether_nobody_sits_there_is_asked_of_whoever_knows(desktop):
    monitor, saver = Idle(), Saver()
    async with (
        on_the_bus("org.gnome.Mutter.IdleMonitor", "/org/gnome/Mutter/IdleMonitor/Core", monitor),
        on_the_bus("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", saver),
        watching() as (ours, *_),
    ):
        assert not await ours.is_idle()
        monitor.spent = 120_000  # milliseconds
        assert await ours.is_idle()
        monitor.spent = 119_999
        assert not await ours.is_idle()
        saver.is_on = True
        assert await ours.is_idle()


async def test_where_nobody_knows_it_is_not_idle(desktop):
    async with watching() as (ours, *_):
        assert not await ours.is_idle()


async def test_by_desktop_notifier_it_is_shown_pressed_and_taken_away_too(desktop):
    """macOS and Windows are reached by it; on Linux it talks to dunst, which is as far as we can see."""
    card = Card(id="n", title="Ann wrote", text="Hello", buttons=BUTTONS[:2], is_alert=True)
    async with watching(OtherDesktop) as (ours, heard, _):
        try:
            assert ours.able.able
            assert await ours.show(card) == ""
            await until(lambda: desktop.drawn)
            desktop.press("#Button 2")
            await until(lambda: ("pressed", "n", "b2") in heard)
            desktop.clear()
            assert await ours.show(card) == ""
            await until(lambda: desktop.drawn)
            await ours.withdraw("n")
            await ours.withdraw("n")
            await until(lambda: desktop.count == 0)
        finally:
            ours._notifier._backend.bus.disconnect()
