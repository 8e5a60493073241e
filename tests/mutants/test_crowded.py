"""The checks of channels with connections of their own catch the lobbies that were broken for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from talkwire import DropTimer, Hub, SessionState, SetTimer, Tx, hookimpl
from talkwire.testing import CHECKS, Case, Failure, NotApplicable, conformance_tests

from .acme import ACME, AcmeChannel
from .crowded import CROWD, IN_ORDER, SEND, ClaimsWhoIsAway, DrawsTheMessage, crowded
from .lobby import GRACE, LOBBY, LobbyChannel, Page

pytestmark = pytest.mark.timeout(90)  # a broken channel is waited for
BY_NAME = {check.__name__: check for check in CHECKS}
SESSIONS = CHECKS[19:]

test_a_good_channel_with_own_connections_passes = conformance_tests(LOBBY)


@pytest.mark.parametrize(
    ("channel", "check", "method", "sample", "what", "remedy"), CROWD, ids=[row[0].__name__ for row in CROWD]
)
async def test_the_check_catches_this_lobby_and_says_what_to_do(channel, check, method, sample, what, remedy) -> None:
    with pytest.raises(Failure) as caught:
        await BY_NAME[check](crowded(channel))
    failure = caught.value
    assert failure.method == f"{channel.__name__}.{method}"
    assert sample in failure.sample
    assert what in failure.what
    assert remedy in failure.remedy


@pytest.mark.parametrize("check", CHECKS, ids=[*BY_NAME])
async def test_what_a_good_lobby_has_nothing_of_is_skipped_and_nothing_else(check) -> None:
    nothing = {
        "check_genuine_envelopes_pass": "parsed by nobody",
        "check_forged_envelopes_are_rejected": "nobody can deliver",
        "check_samples_parse_as_stated": "parsed by nobody",
        "check_parse_is_pure": "parsed by nobody",
        "check_times_are_aware_utc": "parsed by nobody",
        "check_damaged_envelopes_become_unread": "parsed by nobody",
        "check_unknown_kinds_are_survived": "parsed by nobody",
        "check_one_bad_item_loses_no_other": "parsed by nobody",
        "check_errors_map_to_what_the_caller_must_do": "connections of the channel's own",
        "check_reports_overtake_the_receipt": "connections of the channel's own",
        "check_changes_and_albums_point_at_messages": "parsed by nobody",
        "check_a_shared_endpoint_names_its_accounts": "shared_endpoint is False",
        "check_edit_replaces_in_place": "features.edits is False",
    }
    if check.__name__ in nothing:
        with pytest.raises(NotApplicable, match=nothing[check.__name__]):
            await check(LOBBY)
    else:
        await check(LOBBY)


@pytest.mark.parametrize("name", ["check_render_keeps_limits_and_loses_nothing_unsaid", IN_ORDER, SEND])
async def test_a_page_may_draw_what_is_in_no_part(name) -> None:
    await BY_NAME[name](crowded(DrawsTheMessage))


async def test_a_talk_that_only_time_ends_is_judged_as_far_as_it_goes() -> None:
    class Silent(Page):
        async def ends(self) -> None:
            raise NotImplementedError

    async def visit(client: Any, account: str, visitor: str) -> Page:
        page = Silent(client, account, visitor)
        await page.returns()
        return page

    assert LOBBY.sessions is not None
    for check in SESSIONS:
        await check(replace(LOBBY, sessions=replace(LOBBY.sessions, visit=visit)))


@pytest.mark.parametrize("check", [*SESSIONS, BY_NAME["check_send_can_be_cancelled"]], ids=lambda check: check.__name__)
async def test_a_channel_with_sessions_is_told_to_say_how_people_come(check) -> None:
    with pytest.raises(Failure) as caught:
        await check(replace(LOBBY, sessions=None))
    assert caught.value.sample == "Case.sessions"
    assert "Sessions(visit=" in caught.value.remedy


@pytest.mark.parametrize("check", SESSIONS, ids=lambda check: check.__name__)
async def test_sessions_that_the_provider_tells_of_in_envelopes_are_skipped_with_the_reason(check) -> None:
    class Told(AcmeChannel):
        features = replace(AcmeChannel.features, sessions=True)

    with pytest.raises(NotApplicable, match="as SessionChange"):
        await check(replace(ACME, channel=Told))


async def test_who_tells_how_people_come_and_has_no_sessions_is_told_so() -> None:
    class Endless(LobbyChannel):
        features = replace(LobbyChannel.features, sessions=False)

    with pytest.raises(Failure, match=r"set features\.sessions=True"):
        await SESSIONS[0](crowded(Endless))


async def test_a_listen_that_nobody_calls_is_found() -> None:
    class Deaf(LobbyChannel):
        def listen(self, cursor):
            raise NotImplementedError

    with pytest.raises(Failure, match=r"set features\.listens=True"):
        await BY_NAME["check_genuine_envelopes_pass"](replace(LOBBY, channel=Deaf))


async def test_a_driver_that_lacks_a_method_is_told_which() -> None:
    class Mute:
        def __init__(self, page: Page) -> None:
            self.got, self.says, self.hears = page.got, page.says, page.hears
            self.returns, self.leaves = page.returns, page.leaves

    async def visit(client: Any, account: str, visitor: str) -> Any:
        return Mute(Page(client, account, visitor))

    assert LOBBY.sessions is not None
    with pytest.raises(Failure, match="a Mute without ends, sees"):
        await SESSIONS[0](replace(LOBBY, sessions=replace(LOBBY.sessions, visit=visit)))


async def test_a_driver_that_raises_is_named_with_what_the_hub_logged() -> None:
    async def visit(client: Any, account: str, visitor: str) -> Any:
        await client.ws_connect(f"/c/{account}/nowhere")

    with pytest.raises(Failure) as caught:
        await SESSIONS[0](replace(LOBBY, sessions=replace(LOBBY.sessions, visit=visit)))
    assert caught.value.sample == "ann comes (Case.sessions.visit)"
    assert "404" in caught.value.what


# --- what the plugin brings beside the channel -----------------------------------------------------------

LOBBIES: WeakKeyDictionary[Hub, LobbyChannel] = WeakKeyDictionary()


class LobbyWithTimers(LobbyChannel):
    """Leaves the grace to timers of its plugin."""

    async def open(self) -> None:
        LOBBIES[self.hub] = self
        await super().open()

    async def tidy(self) -> None:
        return

    async def note(self, visitor: str, left: datetime | None = None, *, over: bool = False) -> None:
        await super().note(visitor, left, over=over)
        action = SetTimer(key=visitor, due=left + GRACE, subject=left.isoformat()) if left else DropTimer(visitor)
        await self.hub.write(_ask, action)


def _ask(tx: Tx, actions: list[Any]) -> list[None]:
    for action in actions:
        tx.act(action)
    return [None] * len(actions)


class Timers:
    @hookimpl
    async def on_timer(self, key: str, subject: str, hub: Hub) -> None:
        await LOBBIES[hub].session(key, SessionState.ENDED, datetime.fromisoformat(subject), "timeout")
        await LOBBIES[hub].note(key, over=True)


@pytest.mark.parametrize("check", SESSIONS, ids=lambda check: check.__name__)
async def test_the_hooks_of_the_plugin_run_with_the_channel(check) -> None:
    assert LOBBY.sessions is not None
    case = replace(LOBBY, channel=LobbyWithTimers, sessions=replace(LOBBY.sessions, plugin=Timers()))
    await check(case)


async def test_without_the_plugins_hooks_the_grace_does_not_end() -> None:
    with pytest.raises(Failure, match="disconnected instead of ended"):
        await SESSIONS[0](crowded(LobbyWithTimers))


async def test_settings_of_every_kind_reach_the_hub() -> None:
    class Many(LobbyChannel):
        class Settings(LobbyChannel.Settings):
            number: int
            share: float
            names: list[str]
            inner: Mapping[str, bool]

        async def open(self) -> None:
            has = (self.settings.number, self.settings.share, self.settings.names, self.settings.inner)
            assert has == (1, 0.5, ['a "b" 😀'], {"x y": True})
            await super().open()

    more: Case = crowded(Many)
    values = {"number": 1, "share": 0.5, "names": ['a "b" 😀'], "inner": {"x y": True}}
    await SESSIONS[2](replace(more, settings={**more.settings, **values}))


async def test_a_case_judges_the_class_that_it_names_and_not_the_one_its_plugin_gives() -> None:
    class Gives:
        @hookimpl
        def register_channels(self) -> list[type[LobbyChannel]]:
            return [LobbyChannel]

    case = crowded(ClaimsWhoIsAway)
    assert case.sessions is not None
    with pytest.raises(Failure, match=r"ClaimsWhoIsAway\.send"):
        await SESSIONS[0](replace(case, sessions=replace(case.sessions, plugin=Gives())))
