"""The settings of a running daemon, read again: only what changed begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from talkwire import account_states
from talkwire.errors import AccountAbsent, NotFound, SettingsError, StoreDown
from talkwire.model import Batch
from talkwire.reloading import Changes, reload, words
from talkwire.testing.provider import accept, slow, unauthorised
from tests.journeys.acme_hub import SETTINGS as SHOP
from tests.journeys.acme_hub import AcmeHub, FullAcme
from tests.mutants.acme import AcmeChannel
from tests.parts.power import PowerCut

NEW_TOKEN = "kit-token-of-tomorrow"


class Watched(FullAcme):
    """Says when it is opened and closed, and sends with its token."""

    lived: ClassVar[list[str]] = []
    send = AcmeChannel.send

    async def open(self) -> None:
        self.lived.append(f"{self.account} opened")

    async def close(self) -> None:
        self.lived.append(f"{self.account} closed")


class Operator:
    """A hub whose file somebody edits."""

    def __init__(self, acme: AcmeHub, channel: Any) -> None:
        self.acme = acme
        self.hub = acme.hub
        self.daemon = acme.hub.daemon
        self.channel = channel
        self.file = self.daemon.config.path
        self.shop = SHOP.format(url=acme.provider.url, more="")
        self.kiosk = self.shop.replace("[accounts.shop]", "[accounts.kiosk]")

    def saves(self, text: str) -> None:
        store = self.daemon.config.store.url.get_secret_value()
        given = "" if store.startswith("sqlite:") else f'[store]\nurl = "{store}"\n'
        self.file.write_text(given + text)

    async def reloads(self, text: str) -> Changes:
        self.saves(text)
        changes = await reload(self.daemon)
        await self.hub.run_until_idle()
        return changes

    @property
    def lived(self) -> list[str]:
        """Take what happened to the channels since the last look."""
        found = self.channel.lived.copy()
        self.channel.lived.clear()
        return found

    def state(self, name: str = "shop") -> str:
        return self.daemon.accounts.by_name[name].view.state.value

    async def readers(self) -> dict[str, str]:
        return dict(await self.hub.rows("SELECT name, state FROM reader ORDER BY name"))


@pytest.fixture
def start(start_acme: Any) -> Any:
    """Give what starts a hub with the account `shop`, and somebody who edits its file."""

    async def starting(settings: str = "", channel: type[FullAcme] = Watched, **options: Any) -> Operator:
        channel = type("Ours", (channel,), {"lived": []})
        return Operator(await start_acme(settings=settings, channel=channel, **options), channel)

    return starting


# --- accounts ------------------------------------------------------------------------------------------


async def test_a_new_token_frees_what_the_old_one_held_and_no_other_account_notices(start: Any) -> None:
    op = await start()
    await op.reloads(op.shop + op.kiosk)
    conversation = await op.acme.talk()
    answered = asyncio.Event()
    op.acme.provider.will(slow(answered, unauthorised()))
    for text in ("one", "two", "three"):
        await op.hub.reply(conversation, text)
    answered.set()
    await op.hub.run_until_idle()
    assert (op.state(), op.state("kiosk"), await op.hub.states(conversation)) == ("broken", "working", ["queued"] * 3)
    kiosk, _ = op.daemon.account("kiosk"), op.lived
    taken = op.acme.shop.counts.taken
    await op.hub.pass_time(minutes=5)

    changes = await op.reloads(op.shop.replace("kit-token-0123456789", NEW_TOKEN) + op.kiosk)
    assert changes == Changes(done=("accounts.shop: begun anew",))
    assert op.lived == ["shop closed", "shop opened"]
    assert op.daemon.account("kiosk") is kiosk
    assert op.state() == "working"
    assert op.acme.shop.counts.taken == taken == 1  # what is counted goes on
    assert op.acme.texts == ["one", "one", "two", "three"]  # the refused one went again: it had reached nobody
    tokens = [seen.headers["authorization"].removeprefix("Bearer ") for seen in op.acme.provider.shown]
    assert tokens == ["kit-token-0123456789", NEW_TOKEN, NEW_TOKEN, NEW_TOKEN]


async def test_what_is_the_same_is_left_alone(start: Any) -> None:
    op = await start()
    shop, _ = op.acme.shop, op.lived
    assert await op.reloads(op.shop) == Changes()
    assert words(Changes()) == ["nothing has changed"]
    assert (op.acme.shop is shop, op.lived) == (True, [])


async def test_an_account_comes_and_goes_and_comes_back(start: Any) -> None:
    op = await start()
    with pytest.raises(NotFound):
        await op.acme.wrote("k1", "Hello", endpoint="kiosk")
    assert (await op.reloads(op.shop + op.kiosk)).done == ("accounts.kiosk: added",)
    conversation = await op.acme.talk("k1", endpoint="kiosk")
    await op.acme.reply(conversation, "Welcome")
    assert op.acme.texts == ["Welcome"]

    assert (await op.reloads(op.shop)).done == ("accounts.kiosk: removed",)
    assert op.state("kiosk") == "absent"
    with pytest.raises(NotFound):
        await op.acme.wrote("k2", "Anybody?", endpoint="kiosk")
    with pytest.raises(AccountAbsent):
        await op.hub.reply(conversation, "Too late")
    assert [m.text for m in await op.hub.messages(conversation)] == ["Hello", "Welcome"]

    assert (await op.reloads(op.shop + op.kiosk)).done == ("accounts.kiosk: added",)
    await op.acme.wrote("k2", "Anybody?", endpoint="kiosk")
    await op.acme.reply(conversation, "We are back")
    assert op.acme.texts == ["Welcome", "We are back"]
    told = [f.type for f in await op.hub.facts() if f.account == "kiosk" and f.type.startswith("account.")]
    life = ["account.starting", "account.working"]
    assert told == [*life, "account.absent", *life]


async def test_a_send_under_way_ends_before_its_account_begins_anew_and_messages_come_in_meanwhile(start: Any) -> None:
    op = await start()
    conversation = await op.acme.talk()
    answered = asyncio.Event()
    op.acme.provider.will(slow(answered, accept("p1")))
    await op.hub.reply(conversation, "slowly")
    await op.acme.under_way()
    await op.hub.reply(conversation, "next")
    op.saves(op.shop.replace("kit-token-0123456789", NEW_TOKEN))
    reloading = asyncio.ensure_future(reload(op.daemon))
    await op.acme.wrote("m2", "Are you there?")
    assert not reloading.done()
    answered.set()
    async with asyncio.timeout(20):
        await reloading
    await op.hub.run_until_idle()
    assert op.acme.texts == ["slowly", "next"]
    assert await op.hub.states(conversation) == ["accepted"] * 2
    assert [m.text for m in await op.hub.messages(conversation)] == ["Hello", "slowly", "next", "Are you there?"]


async def test_a_send_that_outlasts_our_patience_is_made_once_and_its_lane_waits_for_it(start: Any) -> None:
    op = await start()
    conversation = await op.acme.talk()
    op.daemon.patience = timedelta(0)
    answered = asyncio.Event()
    op.acme.provider.will(slow(answered, accept("p1")))
    await op.hub.reply(conversation, "slowly")
    await op.acme.under_way()
    await op.hub.reply(conversation, "next")
    op.saves(op.shop.replace("kit-token-0123456789", NEW_TOKEN))
    async with asyncio.timeout(20):
        await reload(op.daemon)
    await op.daemon.store.read(lambda query: query.one("SELECT 1"))
    assert op.acme.texts == ["slowly"]
    answered.set()
    await op.hub.run_until_idle()
    assert op.acme.texts == ["slowly", "next"]
    assert await op.hub.states(conversation) == ["accepted"] * 2


async def test_what_an_old_send_learns_says_nothing_of_the_account_in_its_place(start: Any) -> None:
    op = await start()
    old = op.acme.shop
    await op.reloads(op.shop.replace("kit-token-0123456789", NEW_TOKEN))
    await op.hub.pass_time(seconds=1)
    old.broke("the old token was refused")
    await op.hub.pass_time(seconds=10)
    assert op.state() == "working"


async def test_what_a_provider_said_of_the_settings_before_does_not_break_the_account(start: Any) -> None:
    op = await start()
    before = op.acme.now
    await op.hub.pass_time(minutes=1)
    await op.reloads(op.shop.replace("kit-token-0123456789", NEW_TOKEN))
    await op.acme.told("notice", broken=True, time=before)
    assert op.state() == "working"
    await op.acme.told("notice", broken=True)
    assert op.state() == "broken"


async def test_a_paused_account_stays_paused_with_other_settings(start: Any) -> None:
    op = await start()
    await op.hub.pass_time(seconds=1)
    await op.daemon.store.write(account_states.pause, ("shop", "stocktaking"))
    await op.hub.run_until_idle()
    _ = op.lived
    await op.reloads(op.shop.replace("kit-token-0123456789", NEW_TOKEN))
    await op.hub.pass_time(seconds=10)
    assert (op.state(), op.lived) == ("paused", ["shop closed"])
    await op.daemon.store.write(account_states.resume, "shop")
    await op.hub.run_until_idle()
    assert (op.state(), op.lived) == ("working", ["shop opened"])


class Listening(Watched):
    """Notes from where it listens; what it hears it is given."""

    features = replace(FullAcme.features, listens=True)

    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        self.lived.append(f"listens after {cursor!r}")
        yield Batch(envelopes=(), cursor=f"{cursor}+")
        try:
            await asyncio.Event().wait()
        finally:
            self.lived.append("hears no more")


async def test_a_listener_goes_on_from_where_it_was(start: Any) -> None:
    op = await start(channel=Listening)
    async with asyncio.timeout(20):
        while len(op.channel.lived) < 2:
            await asyncio.sleep(0)
    assert op.lived == ["shop opened", "listens after ''"]
    await op.reloads(op.shop.replace("kit-token-0123456789", NEW_TOKEN))
    async with asyncio.timeout(20):
        while len(op.channel.lived) < 4:  # the lease of its listener is taken anew, by a loop of its own
            await asyncio.sleep(0)
    assert op.lived == ["hears no more", "shop closed", "shop opened", "listens after '+'"]


# --- rules, recipients, sections ------------------------------------------------------------------------

RULE = '[recipients.ops]\nemail = "ops@example.org"\n[[notify]]\non = ["account.{}"]\nto = ["ops"]\nmedia = ["paper"]\n'


async def test_rules_and_recipients_hold_from_the_next_fact(start: Any) -> None:
    op = await start()
    await op.reloads(op.shop + RULE.format("paused"))
    store = op.daemon.store
    await op.hub.pass_time(seconds=1)
    await store.write(account_states.pause, ("shop", ""))
    await op.hub.run_until_idle()
    kinds = "SELECT kind FROM notification ORDER BY created_at"
    assert await op.acme.column(kinds) == ["account.paused"]

    assert (await op.reloads(op.shop + RULE.format("starting"))).done == ("notify",)
    await op.hub.pass_time(seconds=1)
    await store.write(account_states.resume, "shop")
    await op.hub.run_until_idle()
    assert await op.acme.column(kinds) == ["account.paused", "account.starting"]
    assert await op.acme.column("SELECT decision FROM notification_medium") == ["suppressed"] * 2  # no such notifier

    assert (await op.reloads(op.shop)).done == ("recipients", "notify")
    assert await op.readers() == {"rule:0": "stopped"}


async def test_sections_that_are_looked_at_each_time_hold_at_once(start: Any) -> None:
    op = await start()
    changes = await op.reloads('[general]\nlanguage = "id"\n[retention]\njournal_days = 3\n' + op.shop)
    assert changes.done == ("general.language", "retention.journal_days")
    assert (op.daemon.purge._keep().journal_days, op.daemon.replies.language) == (3, "id")


# --- what is not taken -----------------------------------------------------------------------------------


async def test_a_wrong_file_changes_nothing_and_all_its_faults_are_said(start: Any) -> None:
    op = await start()
    shop, before, _ = op.acme.shop, op.daemon.config, op.lived
    with pytest.raises(SettingsError) as refused:
        await op.reloads(
            op.shop.replace("kit-token-0123456789", NEW_TOKEN).replace("token", "tokn")
            + '[accounts.kiosk]\nchannel = "acme"\n[server]\nlisten = "nowhere"\n[plugins]\nenabled = ["unicorn"]\n'
        )
    said = str(refused.value)
    for fault in ("accounts.shop.tokn", "accounts.kiosk.secret", "server.listen", "unicorn is not installed"):
        assert fault in said
    assert NEW_TOKEN not in said
    assert (op.acme.shop is shop, op.daemon.config is before, op.lived) == (True, True, [])
    assert op.daemon.last_reload.fault == said
    for text in ("[accounts", ""):
        op.file.unlink() if not text else op.saves(text)
        with pytest.raises(SettingsError):
            await reload(op.daemon)
    await op.reloads(op.shop)
    assert op.daemon.last_reload.fault == ""


async def test_what_needs_a_restart_is_named_each_time_and_stays(start: Any) -> None:
    op = await start()
    text = '[server]\nlisten = "127.0.0.1:9"\nbody_limit = "1 MiB"\n[admin]\nlisten = "127.0.0.1:10"\n' + op.shop
    for _ in range(2):
        changes = await op.reloads(text)
        assert changes == Changes(restart=("server.listen", "server.body_limit", "admin.listen"))
    assert op.daemon.config.server.listen.port == 8080
    assert op.daemon.last_reload.restart == changes.restart


async def test_a_channel_that_is_not_loaded_comes_with_the_next_start(start: Any) -> None:
    op = await start()
    changes = await op.reloads(op.shop + '[accounts.mail]\nchannel = "carrier_pigeon"\nloft = "roof"\n')
    assert changes == Changes(done=("accounts.mail: added",), restart=("accounts.mail.channel",))
    view = op.daemon.account("mail").view
    assert (view.state.value, view.reason) == (
        "absent",
        'the channel "carrier_pigeon" is not loaded: restart the daemon',
    )


async def test_a_channel_that_comes_with_the_next_start_is_checked_now(start: Any) -> None:
    op = await start()
    with pytest.raises(SettingsError, match=r"accounts\.gate\.\w+ +is missing"):
        await op.reloads(op.shop + '[accounts.gate]\nchannel = "smsgate"\n')


@pytest.mark.one_file
async def test_a_database_that_takes_nothing_lets_everything_as_it_was(start: Any) -> None:
    op = await start()
    shop, before, _ = op.acme.shop, op.daemon.config, op.lived
    PowerCut(op.daemon.store, 1)
    op.saves(op.kiosk + RULE.format("paused"))
    with pytest.raises(StoreDown):
        await reload(op.daemon)
    assert (op.acme.shop is shop, op.daemon.config is before, op.lived) == (True, True, [])
    assert op.daemon.last_reload.fault == "the power went"


async def test_two_reloads_at_once_end_with_what_the_file_says(start: Any) -> None:
    op = await start()
    op.saves(op.shop + op.kiosk)
    first = asyncio.ensure_future(reload(op.daemon))
    second = asyncio.ensure_future(reload(op.daemon))
    async with asyncio.timeout(20):
        assert [(await first).done, (await second).done] == [("accounts.kiosk: added",), ()]


async def test_an_endpoint_that_moves_lets_no_message_fall(start: Any) -> None:
    op = await start()
    await op.reloads(op.shop + op.kiosk)
    moved = op.shop + 'endpoint = "counter"\n' + op.kiosk
    assert (await op.reloads(moved)).done == ("accounts.shop: begun anew",)
    await op.acme.wrote("m1", "Hello", endpoint="counter")
    with pytest.raises(NotFound):
        await op.acme.wrote("m2", "Hello", endpoint="shop")


def test_the_words_say_what_was_done_and_what_waits() -> None:
    changes = Changes(done=("accounts.shop: begun anew",), restart=("server.listen",), notes=("reload the others",))
    assert words(Changes(done=("notify",))) == ["notify: in force"]
    assert words(Changes(restart=("server.listen",))) == ["server.listen: holds from the next start"]
    assert words(changes) == [
        "accounts.shop: begun anew",
        "server.listen: holds from the next start",
        "reload the others",
    ]


# --- templates of notifications ----------------------------------------------------------------------------

TEMPLATED = '[recipients.ops]\n[[notify]]\non = ["message.received"]\nto = ["ops"]\ntemplate = "mine"\n'


async def test_a_changed_template_holds_from_the_next_notification_and_a_wrong_one_changes_nothing(
    start: Any, tmp_path: Any
) -> None:
    file = tmp_path / "notifications" / "mine.toml"
    file.parent.mkdir()
    file.write_text('title = "{contact} wrote"')
    op = await start(TEMPLATED)
    await op.acme.talk("m1")
    file.write_text('title = "{contact} waits"')
    assert "templates" in (await op.reloads(op.shop + TEMPLATED)).done
    await op.acme.talk("m2")
    file.write_text('title = "{nobody} waits"')
    with pytest.raises(SettingsError, match=r"mine.toml wants \{nobody\}, which no rule knows"):
        await op.reloads(op.shop + TEMPLATED)
    await op.acme.talk("m3")
    assert await op.acme.column("SELECT title FROM notification ORDER BY created_at, id") == [
        "+6281234567890 wrote",
        "+6281234567890 waits",
        "+6281234567890 waits",
    ]
