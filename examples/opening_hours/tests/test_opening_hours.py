from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from talkwire import Address, Channel, Direction, Features, Inbound, Message, Receipt, State, hookimpl
from talkwire.testing.services import TurnedClock
from talkwire_opening_hours import OpeningHours, on_inbound_message, register_settings

MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def message(at, *, conversation="c1", replayed=False):
    return Message(
        id="m1",
        conversation=conversation,
        account="shop",
        direction=Direction.IN,
        n=1,
        at=MONDAY_NOON,
        stored_at=at,
        text="is anybody there?",
        blocks=(),
        author="",
        external_id="x1",
        reply_to="",
        group="",
        subject="",
        state=None,
        reason="",
        replayed=replayed,
    )


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-23T08:59:59+00:00", False),
        ("2026-11-23T09:00:00+00:00", True),
        ("2026-11-23T16:59:59+00:00", True),
        ("2026-11-23T17:00:00+00:00", False),
        ("2026-11-28T12:00:00+00:00", False),  # a Saturday
    ],
)
def test_an_answer_goes_out_only_while_it_is_closed(at, is_open):
    reply = on_inbound_message(message(datetime.fromisoformat(at)), OpeningHours())
    assert (reply is None) is is_open
    if reply:
        assert reply.conversation == "c1"
        assert reply.draft.blocks[0].markdown == OpeningHours().text


def test_the_clock_hangs_where_the_settings_say():
    two_in_the_morning = datetime(2026, 11, 23, 2, tzinfo=UTC)  # 9 in Jakarta
    assert on_inbound_message(message(two_in_the_morning), OpeningHours(time_zone="Asia/Jakarta")) is None
    assert on_inbound_message(message(two_in_the_morning), OpeningHours()) is not None


def test_a_conversation_is_told_once_a_day():
    def key(at, conversation="c1"):
        return on_inbound_message(message(datetime.fromisoformat(at), conversation=conversation), OpeningHours()).key

    evening = key("2026-11-23T18:00:00+00:00")
    assert key("2026-11-23T23:00:00+00:00") == evening
    assert key("2026-11-24T06:00:00+00:00") != evening
    assert key("2026-11-23T18:00:00+00:00", "c2") != evening


def test_a_replayed_message_is_not_answered():
    night = datetime(2026, 11, 23, 22, tzinfo=UTC)
    assert on_inbound_message(message(night, replayed=True), OpeningHours()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"opens": "17:00:00", "closes": "09:00:00"},
        {"time_zone": "Asia/Jakata"},
        {"time_zone": "../../etc/passwd"},
        {"days": ["monday"]},
        {"open": "09:00:00"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        register_settings().model_validate(wrong)


class Wall(Channel):
    """A channel on which everybody may write."""

    type = "wall"
    features = Features(reaches=frozenset({"phone"}))

    def authenticate(self, envelope):
        pass

    def parse(self, envelope):
        yield Inbound(
            external_id=envelope.param("id"),
            address=Address(kind="phone", value="+6281234567890"),
            at=envelope.received_at,
            text="is anybody there?",
        )

    async def send(self, out):
        return Receipt(state=State.SENT)


class WallPlugin:
    @hookimpl
    def register_channels(self):
        return [Wall]


async def test_in_a_daemon_a_closed_day_gives_one_answer_and_an_open_one_none(start_hub):
    settings = """
        [plugins]
        enabled = ["opening_hours"]

        [accounts.wall]
        channel = "wall"
    """
    hub = await start_hub(settings, plugins={"wall": WallPlugin()}, clock=TurnedClock(MONDAY_NOON))

    async def outs_after_one_comes_in(id_):
        await hub.deliver("wall", query={"id": id_})
        await hub.run_until_idle()
        said = await hub.messages(await hub.conversation)
        return [one.text for one in said if one.direction is Direction.OUT]

    assert await outs_after_one_comes_in("noon") == []
    await hub.pass_time(hours=8)
    assert await outs_after_one_comes_in("evening") == [OpeningHours().text]
    assert await outs_after_one_comes_in("a minute later") == [OpeningHours().text]
    await hub.pass_time(hours=24)
    assert await outs_after_one_comes_in("tuesday evening") == [OpeningHours().text] * 2
