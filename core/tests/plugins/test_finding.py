"""What is installed is found without being imported; what is enabled runs; what is broken hurts only itself."""

import sys

import pytest

from talkwire.channel import Channel
from talkwire.channel import Settings as Table
from talkwire.hooks import HOOK_API, hookimpl
from talkwire.notifier import Notifier
from talkwire.plugins import Plugins

HOURS = """
from talkwire.hooks import hookimpl

@hookimpl
def on_fact(fact):
    return None
"""
PHONE = """
from talkwire.channel import Channel
from talkwire.hooks import hookimpl

class Phone(Channel):
    type = "phone"

@hookimpl
def register_channels():
    return [Phone]
"""
BELL = """
from talkwire.notifier import Notifier
from talkwire.hooks import hookimpl

class Bell(Notifier):
    type = "bell"

@hookimpl
def register_notifiers():
    return [Bell]
"""


def info(plugins, name):
    return next(i for i in plugins.infos if i.name == name)


def test_what_is_installed_but_not_enabled_is_listed_and_not_imported(install):
    module = install("hours", HOURS)
    plugins = Plugins([])

    found = info(plugins, "hours")
    assert (found.state, found.distribution, found.version, found.licence) == (
        "available",
        "talkwire-hours",
        "1.2",
        "Apache-2.0",
    )
    assert module not in sys.modules
    assert plugins.readers() == ()


def test_what_is_enabled_is_imported_and_its_hooks_are_named(install):
    module = install("hours", HOURS)
    plugins = Plugins(["hours"])

    assert module in sys.modules
    assert (info(plugins, "hours").state, info(plugins, "hours").hooks) == ("enabled", ("on_fact",))
    assert [reader.name for reader in plugins.readers()] == ["plugin:hours"]


def test_a_channel_that_an_account_names_is_on_and_so_is_a_medium(install):
    install("phone", PHONE)
    install("notify_bell", BELL)
    install("hours", HOURS)
    plugins = Plugins(channels={"phone": "accounts.a.channel"}, media={"bell": "recipients.ops.media"})

    assert list(plugins.channels) == ["phone"]
    assert list(plugins.notifiers) == ["bell"]
    assert info(plugins, "hours").state == "available"
    assert plugins.warnings == []


def test_a_channel_and_a_medium_of_one_name_are_both_on(install):
    install("bell", PHONE.replace('"phone"', '"bell"'))
    install("notify_bell", BELL)
    plugins = Plugins(channels={"bell": "accounts.shop.channel"}, media={"bell": "recipients.ops.media"})
    assert (list(plugins.channels), list(plugins.notifiers)) == (["bell"], ["bell"])
    assert plugins.faults == []


def test_enabled_but_not_installed_is_a_fault_with_the_line_to_type(install):
    install("opening_hours", HOURS)
    plugins = Plugins(["opening_ours"])

    (fault,) = plugins.faults
    assert fault.path == "plugins.enabled[0]"
    assert "pip install talkwire-opening-ours" in fault.reason
    assert "did you mean opening_hours?" in fault.reason


def test_a_channel_that_is_gone_is_a_warning_and_no_fault(install):
    install("telegram", PHONE)
    plugins = Plugins(channels={"telegrm": "accounts.shop.channel"})

    (warning,) = plugins.warnings
    assert plugins.faults == []
    assert warning.path == "accounts.shop.channel"
    assert "did you mean telegram?" in warning.reason
    assert "pip install talkwire-telegrm" in warning.reason


def test_a_notifier_is_proposed_as_no_channel_and_a_channel_as_no_notifier(install):
    install("bells", PHONE.replace('"phone"', '"bells"'))
    install("notify_bell", BELL)
    install("phone", PHONE)
    plugins = Plugins(
        channels={"notify_bel": "accounts.a.channel", "bell": "accounts.b.channel", "bella": "accounts.c.channel"},
        media={"phone": "notify[0].media", "bel": "notify[1].media", "fone": "notify[2].media"},
    )
    told = {warning.path: warning.reason for warning in plugins.warnings}
    assert told == {
        "accounts.a.channel": "no channel notify_bel; type: pip install talkwire-notify-bel",
        "accounts.b.channel": "no channel bell; did you mean bells? Else type: pip install talkwire-bell",
        "accounts.c.channel": "no channel bella; did you mean bells? Else type: pip install talkwire-bella",
        "notify[0].media": "no notifier phone; phone is a channel: an account names it. "
        "Else type: pip install talkwire-notify-phone",
        "notify[1].media": "no notifier bel; did you mean bell? Else type: pip install talkwire-notify-bel",
        "notify[2].media": "no notifier fone; type: pip install talkwire-notify-fone",
    }


def test_a_medium_that_is_named_as_a_channel_is_told_where_it_belongs(install):
    install("notify_desktop", BELL.replace('"bell"', '"desktop"'))
    plugins = Plugins(channels={"desktop": "accounts.a.channel"})
    (warning,) = plugins.warnings
    assert "desktop is a notifier: a recipient or a rule names it in media" in warning.reason


def test_a_plugin_that_runs_and_gives_no_channel_is_proposed_as_none(install):
    install("hours", HOURS)
    install("houses", HOURS)
    plugins = Plugins(["hours"], channels={"hour": "accounts.a.channel"})
    (warning,) = plugins.warnings
    assert "did you mean houses?" in warning.reason  # nobody has looked into it


def test_a_plugin_that_is_enabled_twice_is_warned_of(install):
    install("hours", HOURS)
    install("phone", PHONE)
    plugins = Plugins(["hours", "phone", "hours"])
    (warning,) = plugins.warnings
    assert warning.path == "plugins.enabled[2]"
    assert "hours is named twice; its first place, enabled[0], counts" in warning.reason
    assert [one.name for one in plugins.infos if one.state == "enabled"] == ["hours", "phone"]


def test_a_plugin_that_gives_another_channel_than_its_name_says_so(install):
    install("sms", PHONE)
    plugins = Plugins(channels={"sms": "accounts.shop.channel"})
    assert plugins.warnings[0].reason == "the plugin sms gives no channel sms"


@pytest.mark.parametrize("code", ["import nothing_of_this_name", "raise SystemExit(3)", "1/0"])
def test_a_plugin_that_fails_to_load_shows_its_traceback_and_the_rest_runs(install, code):
    install("broken", code)
    install("hours", HOURS)
    plugins = Plugins(["broken", "hours"])

    assert info(plugins, "broken").state == "failed"
    assert "Traceback" in info(plugins, "broken").error
    assert "installed_talkwire_broken.py" in info(plugins, "broken").error
    assert [reader.plugin for reader in plugins.readers()] == ["hours"]


def test_two_distributions_with_one_plugin_name_are_refused(install):
    install("hours", HOURS, distribution="talkwire-hours")
    install("hours", HOURS, distribution="other-hours")
    assert "other-hours and talkwire-hours" in info(Plugins(["hours"]), "hours").error


def refused(plugin):
    plugins = Plugins(extra={"it": plugin, "good": Good()})
    assert [reader.plugin for reader in plugins.readers()] == ["good"]
    assert info(plugins, "it").state == "failed"
    return info(plugins, "it").error


class Good:
    @hookimpl
    def on_fact(self, fact):
        return None


def test_an_unknown_hook_is_refused_with_the_nearest_name():
    class Misspelt:
        @hookimpl
        def on_inbound_mesage(self, message):
            return None

        @hookimpl
        def on_fact(self, fact):
            return None

    assert refused(Misspelt()) == "there is no hook on_inbound_mesage; did you mean on_inbound_message?"


def test_an_unknown_argument_is_refused():
    class Asks:
        @hookimpl
        def on_fact(self, facts):
            return None

    assert "'facts'" in refused(Asks())


@pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
def test_wrappers_are_refused(kind):
    class Wraps:
        @hookimpl(**{kind: True})
        def on_fact(self, fact):
            yield

    assert "wrapper" in refused(Wraps())


def test_async_with_tx_is_refused():
    class Waits:
        @hookimpl
        async def on_fact(self, fact, tx):
            return None

    assert "take the `async` out" in refused(Waits())


@pytest.mark.parametrize(
    ("api", "words"), [(HOOK_API + 1, "pip install -U talkwire"), (0, "too old"), ("1", "made for hook API")]
)
def test_another_hook_api_is_refused(api, words):
    class Other(Good):
        TALKWIRE_HOOK_API = api

    assert words in refused(Other())


def test_two_plugins_cannot_give_one_channel_and_the_first_in_order_keeps_it():
    class One(Channel):
        type = "phone"

    class First(Good):
        @hookimpl
        def register_channels(self):
            return [One]

    class Second:
        @hookimpl
        def register_channels(self):
            return [One]

    plugins = Plugins(extra={"first": First(), "second": Second()})
    assert plugins.register("register_channels") == [("first", One)]
    assert "another plugin has" in info(plugins, "second").error


@pytest.mark.parametrize("given", [[int], ["phone"], [Channel], Good()])
def test_what_is_no_channel_is_refused(given):
    class Gives:
        @hookimpl
        def register_channels(self):
            return given

    assert refused(Gives())


def test_a_channel_that_authenticates_without_being_waited_for_is_refused():
    class Open(Channel):
        type = "open"

        async def authenticate(self, envelope):
            """Let nobody in, if anybody asked."""

    class Opens:
        @hookimpl
        def register_channels(self):
            return [Open]

    plugins = Plugins([], extra={"opens": Opens()})
    assert "open" not in plugins.channels
    assert "authenticate is async; write it as a plain function" in info(plugins, "opens").error


def test_what_is_registered_comes_flat_with_its_plugin():
    class Own(Table):
        size: int = 1

    class Bell(Notifier):
        type = "bell"

    class One:
        @hookimpl
        def register_settings(self):
            return Own

        @hookimpl
        def register_simulators(self):
            return ["s1", "s2"]

    class Two:
        @hookimpl
        def register_notifiers(self):
            return [Bell]

        @hookimpl
        def register_simulators(self):
            raise RuntimeError("no port")

    plugins = Plugins(extra={"one": One(), "two": Two()})
    assert plugins.settings_models == {"one": Own, "two": Bell.Settings}
    assert plugins.register("register_simulators") == [("one", "s1"), ("one", "s2")]
    assert [(w.path, w.reason) for w in plugins.warnings] == [
        ("plugins.two", "register_simulators raised RuntimeError")
    ]
