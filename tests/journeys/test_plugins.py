"""Plugins are found, enabled, ordered and left out by config; a stranger's comes in by the same door as ours."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from talkwire import Drop, hookimpl, hooks
from talkwire.errors import NoAnswer, Refuse, SettingsError
from talkwire.plugins import Plugins
from talkwire.testing.hub import whole_hub
from tests.journeys.acme_hub import AcmeHub
from tests.journeys.listening import listener

CHANNEL = """
import json
from talkwire import Address, Channel, Inbound, Payload, Receipt, Settings, auth, each, hookimpl

SENT = []

class Event(Payload):
    id: str
    text: str

class Pigeon(Channel):
    type = "pigeon"

    class Settings(Settings):
        token: str

    def authenticate(self, envelope):
        auth.shared_header("X-Token", self.settings.token)(envelope)

    def parse(self, envelope):
        yield from each(json.loads(envelope.body), self.one)

    def one(self, value):
        event = Event.read(value)
        address = Address(kind="loft", value="roof")
        yield Inbound(external_id=event.id, address=address, at=self.clock.now(), text=event.text)

    async def send(self, out):
        SENT.append(out.part.text)
        return Receipt()

@hookimpl
def register_channels():
    return [Pigeon]
"""
NOTIFIER = """
from talkwire import Notifier, Shown, hookimpl

SHOWN = []

class Whistle(Notifier):
    type = "whistle"

    async def deliver(self, notification):
        SHOWN.append(notification.title)
        return Shown()

@hookimpl
def register_notifiers():
    return [Whistle]
"""
SIGNS = """
from talkwire import Draft, Text, hookimpl

@hookimpl
def format_reply(draft):
    return Draft(blocks=(Text(draft.blocks[0].markdown + " {sign}"),))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution where `pip install` would, outside this repository."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    modules = []

    def put(name: str, code: str) -> str:
        info = site / f"stranger_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: stranger-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[talkwire]\n{name} = stranger_{name}\n")
        (site / f"stranger_{name}.py").write_text(code)
        modules.append(f"stranger_{name}")
        return modules[-1]

    yield put
    for module in modules:
        sys.modules.pop(module, None)


# --- CARD-01: what the core lets plugins hear and change -----------------------------------------------------


@pytest.mark.requirement("CARD-01")
async def test_plugins_hear_messages_and_states_format_replies_and_see_notifications(start_acme):
    heard: list[Any] = []

    class Four:
        @hookimpl
        def on_inbound_message(self, message: Any) -> None:
            heard.append(("inbound", message.text))

        @hookimpl
        def format_reply(self, draft: Any) -> Any:
            heard.append(("format", draft.blocks[0].markdown))

        @hookimpl
        def on_delivery_status(self, message: Any, state: Any) -> None:
            heard.append((state.word, message.text))

        @hookimpl
        def on_notification(self, notification: Any) -> None:
            heard.append(("sink", notification.kind))

    rule = '[recipients.ops]\n[[notify]]\non = ["message.received"]\nto = ["ops"]\n'
    acme: AcmeHub = await start_acme(plugins={"four": Four()}, settings=rule)
    await acme.wrote("m1", "Where is it?")
    await acme.hub.run_until_idle()
    acme.provider.will(acme.accept("p1"))
    await acme.hub.reply(await acme.hub.conversation, "On its way")
    await acme.hub.run_until_idle()
    await acme.reported("p1", "delivered")
    await acme.hub.run_until_idle()
    assert sorted(heard) == [
        ("accepted", "On its way"),
        ("delivered", "On its way"),
        ("format", "On its way"),
        ("inbound", "Where is it?"),
        ("sink", "message.received"),
    ]


@pytest.mark.requirement("CARD-01")
def test_the_hooks_are_pluggys_and_none_stops_at_the_first_result():
    """With `firstresult` one plugin would silence those behind it, and an async one would never be awaited."""
    options = {name: value.talkwire_spec for name, value in vars(hooks).items() if hasattr(value, "talkwire_spec")}
    assert {"on_inbound_message", "format_reply", "on_delivery_status", "on_notification"} <= options.keys()
    assert not [name for name, one in options.items() if one["firstresult"] or one["historic"]]


async def test_a_message_is_changed_or_kept_out_before_it_is_stored(start_acme):
    class Shapes:
        @hookimpl
        def shape_inbound(self, message: Any) -> Any:
            if message.text == "raise":
                raise ValueError
            return Drop("spam") if message.text == "spam" else replace(message, text=message.text.upper())

    acme: AcmeHub = await start_acme(plugins={"shapes": Shapes()})
    for n, text in enumerate(["hello", "spam", "raise"]):
        await acme.wrote(f"m{n}", text)
    await acme.hub.run_until_idle()
    assert [m.text for m in await acme.hub.messages(await acme.hub.conversation)] == ["HELLO", "raise"]


async def test_a_filter_that_fails_lets_no_reply_through(start_acme):
    class Fails:
        @hookimpl
        def format_reply(self, draft: Any) -> Any:
            raise ValueError

    acme: AcmeHub = await start_acme(plugins={"fails": Fails()})
    await acme.wrote("m1", "hello")
    with pytest.raises(Refuse, match=r'plugin "fails".*Nothing was sent'):
        await acme.hub.reply(await acme.hub.conversation, "an answer")
    await acme.hub.run_until_idle()
    assert acme.texts == []


# --- CARD-02: found by its entry point --------------------------------------------------------------------------


@pytest.mark.requirement("CARD-02")
async def test_a_strangers_channel_and_notifier_are_found_by_their_entry_points(start_hub, install):
    channel, notifier = install("pigeon", CHANNEL), install("notify_whistle", NOTIFIER)
    hub = await start_hub(
        '[accounts.loft]\nchannel = "pigeon"\ntoken = "pigeon-token-0123456789"\n'
        '[recipients.ops]\nmedia = ["whistle"]\n[[notify]]\non = ["message.received"]\nto = ["ops"]\n'
    )
    body = '[{"id": "m1", "text": "coo"}]'
    await hub.deliver("loft", body, headers={"X-Token": "pigeon-token-0123456789"})
    await hub.run_until_idle()
    await hub.reply(await hub.conversation, "coo yourself")
    await hub.run_until_idle()
    assert sys.modules[channel].SENT == ["coo yourself"]
    assert sys.modules[notifier].SHOWN == ["Somebody wrote to loft"]
    assert [info.state for info in hub.daemon.plugins.infos if info.distribution.startswith("stranger-")] == [
        "enabled",
        "enabled",
    ]


@pytest.mark.requirement("CARD-02")
def test_a_distribution_installed_by_pip_is_found_and_no_file_of_ours_names_it():
    plugins = Plugins(["everything"])
    [info] = [one for one in plugins.infos if one.name == "everything"]
    assert (info.state, info.distribution) == ("enabled", "talkwire-everything")
    core = Path(hooks.__file__).parent
    assert [file for file in core.rglob("*.py") if "talkwire_everything" in file.read_text()] == []


# --- CARD-03: enabled, ordered and left out by config -------------------------------------------------------------


@pytest.mark.requirement("CARD-03")
@pytest.mark.parametrize(
    ("enabled", "text"),
    [
        ('["alpha", "beta"]', "hi A B"),
        ('["beta", "alpha"]', "hi B A"),
        ('["beta"]', "hi B"),
        ("[]", "hi"),
    ],
)
async def test_the_config_enables_orders_and_disables(start_acme, install, enabled, text):
    modules = {name: install(name, SIGNS.replace("{sign}", name[0].upper())) for name in ("alpha", "beta")}
    acme: AcmeHub = await start_acme(settings=f"[plugins]\nenabled = {enabled}\n")
    await acme.wrote("m1", "hello")
    await acme.hub.reply(await acme.hub.conversation, "hi")
    await acme.hub.run_until_idle()
    assert acme.texts == [text]
    for name, module in modules.items():
        assert (module in sys.modules) == (name in enabled)  # what is not enabled is not imported
        [info] = [one for one in acme.hub.daemon.plugins.infos if one.name == name]
        assert info.state == ("enabled" if name in enabled else "available")


@pytest.mark.requirement("CARD-03")
async def test_what_is_enabled_and_not_installed_is_a_fault_with_the_line_to_type(start_acme):
    with pytest.raises(SettingsError, match="pip install talkwire-opening-ours"):
        await start_acme(settings='[plugins]\nenabled = ["opening_ours"]\n')


# --- one that fails ---------------------------------------------------------------------------------------------


async def test_a_plugin_that_cannot_be_loaded_is_shown_and_the_others_run(start_acme, install):
    install("broken", "raise RuntimeError('at import')")
    heard: list[str] = []
    acme: AcmeHub = await start_acme(
        settings='[plugins]\nenabled = ["broken"]\n',
        plugins={"sound": listener("thread", lambda message, fact: heard.append(message.text))},
    )
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    assert heard == ["hello"]
    [info] = [one for one in acme.hub.daemon.plugins.infos if one.name == "broken"]
    assert info.state == "failed"
    assert "RuntimeError: at import" in info.error


async def test_a_channel_whose_plugin_is_gone_leaves_its_account_readable(fake_acme_settings, tmp_path, empty_database):
    settings, plugins = fake_acme_settings
    async with whole_hub(settings, tmp_path, template=empty_database, plugins=plugins) as hub:
        await AcmeHub(hub, None).wrote("m1", "hello")
        conversation = await hub.conversation
    async with whole_hub('[accounts.shop]\nchannel = "acme"\n', tmp_path) as hub:
        assert [m.text for m in await hub.messages(conversation)] == ["hello"]
        assert (await hub.conversation).answer.code == "account_absent"
        with pytest.raises(NoAnswer) as refused:
            await hub.reply(conversation, "too late")
        assert refused.value.code == "account_absent"
