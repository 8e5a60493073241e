"""A medium that hangs, cannot be opened or can show nothing: it says so, and delays nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from talkwire import Notification, Notifier, NotifierFeatures, Refused, Shown, TryLater, hookimpl
from talkwire.api import make_admin
from talkwire.cli.looking import _media
from talkwire.oversight.health import of_media
from tests.journeys.acme_hub import AcmeHub

RULE = """
[recipients.ops]
[[notify]]
on = ["message.received"]
to = ["ops"]
media = [{media}]
"""


class Bell(Notifier):
    """Shows everything."""

    type = "bell"
    features = NotifierFeatures(timeout=timedelta(minutes=5))  # of the machine's clock: no test waits for it
    one: ClassVar[Any] = None

    def __init__(self, settings: Any, services: Any) -> None:
        super().__init__(settings, services)
        type(self).one = self
        self.given: list[str] = []
        self.came = asyncio.Condition()
        self.prepare()

    def prepare(self) -> None:
        """Begin as the test wants it."""

    async def deliver(self, notification: Notification) -> Shown:
        async with self.came:
            self.given.append(notification.id)
            self.came.notify_all()
        return await self.shows()

    async def shows(self) -> Shown:
        return Shown()

    async def has_been_given(self, count: int) -> None:
        async with asyncio.timeout(20), self.came:
            await self.came.wait_for(lambda: len(self.given) >= count)


class Mute(Bell):
    """Hangs until it is let go."""

    type = "mute"

    def prepare(self) -> None:
        self.goes_on = asyncio.Event()

    async def shows(self) -> Shown:
        await self.goes_on.wait()
        return Shown()


class Locked(Bell):
    """Cannot be opened as often as the test says."""

    type = "locked"
    faults: ClassVar[list[Any]] = []
    opened: ClassVar[int] = 0

    async def open(self) -> None:
        Locked.opened += 1
        if self.faults:
            raise self.faults.pop(0)


class Plugin:
    def __init__(self, *kinds: type[Notifier]) -> None:
        self.kinds = kinds

    @hookimpl
    def register_notifiers(self) -> list[type[Notifier]]:
        return list(self.kinds)


@pytest.fixture
def start(start_acme):
    async def begin(*kinds: type[Bell], media: str = "") -> AcmeHub:
        names = ", ".join(f'"{kind.type}"' for kind in kinds) + media
        plugins = {f"notify_{kind.type}": Plugin(kind) for kind in kinds}
        return await start_acme(settings=RULE.format(media=names), plugins=plugins)

    return begin


async def decided(acme: AcmeHub, medium: str) -> list[tuple[str, str]]:
    sql = "SELECT decision, reason FROM notification_medium WHERE medium = :medium ORDER BY notification_id"
    return await acme.hub.rows(sql, medium=medium)


# --- one that hangs --------------------------------------------------------------------------------------


async def test_a_notifier_that_hangs_holds_no_notification_of_another(start):
    """Twelve are shown by the one while the other has not ended its first."""
    acme = await start(Mute, Bell)
    for n in range(12):
        await acme.wrote(f"m{n}", "hello")
    await Bell.one.has_been_given(12)
    await Mute.one.has_been_given(1)
    assert not Mute.one.goes_on.is_set()
    Mute.one.goes_on.set()
    await acme.hub.run_until_idle()
    assert await decided(acme, "bell") == await decided(acme, "mute") == [("shown", "")] * 12


async def test_a_notifier_that_hangs_as_it_is_opened_holds_neither_the_start_nor_another(start):
    class Stuck(Mute):
        type = "stuck"
        features = NotifierFeatures(timeout=timedelta(milliseconds=50))

        async def open(self) -> None:
            await self.goes_on.wait()

    acme = await start(Stuck, Bell)
    assert acme.hub.daemon.media() == {"bell": "", "stuck": "it cannot be opened, and is tried again: TimeoutError"}
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert await decided(acme, "bell") == [("shown", "")]
    assert await decided(acme, "stuck") == [("waiting", "TimeoutError")]

    Stuck.one.goes_on.set()
    await acme.hub.pass_time(minutes=1)
    assert await decided(acme, "stuck") == [("shown", "")]


# --- one that cannot be opened ---------------------------------------------------------------------------


async def test_a_notifier_that_could_not_be_opened_is_opened_later_though_nothing_is_to_be_shown(start):
    Locked.faults, Locked.opened = [TryLater("the key is upstairs"), OSError("secret words")], 0
    acme = await start(Locked)
    said = [acme.hub.daemon.media()["locked"]]
    await acme.hub.pass_time(seconds=5)
    said.append(acme.hub.daemon.media()["locked"])
    await acme.hub.pass_time(minutes=1)
    said.append(acme.hub.daemon.media()["locked"])
    assert said == [
        "it cannot be opened, and is tried again: the key is upstairs",
        "it cannot be opened, and is tried again: OSError",
        "",
    ]
    assert Locked.opened == 3


async def test_a_notifier_that_cannot_be_made_says_so_and_its_notifications_are_decided(start):
    class Broken(Bell):
        type = "broken"

        def prepare(self) -> None:
            raise KeyError("secret words")

    acme = await start(Broken, media=', "gone"')
    assert acme.hub.daemon.media() == {
        "broken": "it raised KeyError as it was made",
        "gone": "no plugin gives this medium",
    }
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert await decided(acme, "broken") == await decided(acme, "gone") == [("suppressed", "medium_absent")]


# --- one that fails, or says that it can show nothing --------------------------------------------------


async def test_a_notifier_that_raises_for_a_day_gives_up_with_its_reason_and_is_named_meanwhile(start):
    class Faulty(Bell):
        type = "faulty"

        async def shows(self) -> Shown:
            raise KeyError("secret words")

    acme = await start(Faulty)
    for n in range(2):
        await acme.wrote(f"m{n}", "hello")
    await acme.hub.pass_time(hours=1)
    [failing] = (await acme.hub.daemon.store.read(of_media)).values()
    assert (failing.waiting, failing.error) == (2, "KeyError")
    [line] = _media({"faulty": ""}, {"faulty": failing})
    assert (line.level, line.what) == ("look", "medium faulty")
    assert line.text.startswith("2 notifications wait, tried in vain for ")
    assert line.text.endswith(": KeyError")

    await acme.hub.pass_time(hours=24)
    assert await decided(acme, "faulty") == [("refused", "gave up: KeyError")] * 2
    assert await acme.hub.daemon.store.read(of_media) == {}


class Dark(Bell):
    """Can show nothing, and says so."""

    type = "dark"
    words: ClassVar[Any] = "no session bus on laptop of ann"

    def trouble(self) -> str:
        if isinstance(self.words, Exception):
            raise self.words
        return str(self.words)

    async def shows(self) -> Shown:
        raise Refused("no session bus")


async def test_the_trouble_of_a_notifier_is_told_to_operators_and_the_daemon_stays_ready(start, aiohttp_client):
    acme = await start(Dark, Bell)
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    admin = await aiohttp_client(make_admin(acme.hub.daemon))
    async with admin.get("/readyz") as answer:
        said = await answer.json()
        assert (answer.status, said["ok"], said["media"]) == (200, True, {"bell": "", "dark": Dark.words})
    async with admin.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    wanted = [
        'talkwire_notifier_up{medium="bell"} 1.0',
        'talkwire_notifier_up{medium="dark"} 0.0',
        'talkwire_notifications_total{decision="shown",medium="bell"} 1.0',
        'talkwire_notifications_total{decision="shown",medium="dark"} 0.0',
        'talkwire_notifications_total{decision="refused",medium="dark"} 1.0',
    ]
    assert [line for line in wanted if line not in lines and swapped(line) not in lines] == []
    assert [(line.level, line.text) for line in _media(said["media"], {})] == [("ok", "works"), ("look", Dark.words)]


def swapped(line: str) -> str:
    """Write the two labels in the other order."""
    name, _, rest = line.partition("{")
    labels, _, value = rest.partition("}")
    return f"{name}{{{','.join(reversed(labels.split(',')))}}}{value}"


async def test_a_notifier_whose_trouble_raises_is_named_and_holds_nobody(start, monkeypatch):
    monkeypatch.setattr(Dark, "words", KeyError("secret words"))
    acme = await start(Dark, Bell)
    assert acme.hub.daemon.media() == {"bell": "", "dark": "its trouble raised KeyError"}
