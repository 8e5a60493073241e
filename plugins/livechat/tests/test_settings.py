"""What an operator writes, and what is said where it is wrong."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from talkwire_livechat import LiveChatSettings
from talkwire_livechat.hours import Hours
from talkwire_livechat.script import contrast, readable_on
from talkwire_livechat.settings import Versioned

from .visits import SECRET, SITE

GOOD = {"origins": [SITE], "secret": SECRET}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"origins": []}, "at least 1 item"),
        ({"origins": ["shop.example"]}, "is no origin; write https://shop.example"),
        ({"origins": ["https://shop.example/"]}, "without a path"),
        ({"origins": ["https://*"]}, "is no origin"),
        ({"secret": "short"}, "32 characters or more"),
        ({"colour": "green"}, "write it as #1f5f4a"),
        ({"time_zone": "Mars/Base"}, "is no time zone; write one as Asia/Jakarta"),
        ({"hours": ["weekdays"]}, "write mon-fri 08:00-17:00"),
        ({"hours": ["mon 17:00-08:00"]}, "over midnight it is two lines"),
        ({"form": {"fields": ["name", "age"]}}, "'age' is no field; there are name, email, phone and question"),
        ({"form": {"fields": ["name", "name!"]}}, "each once"),
        ({"form": {"fields": []}}, "at least one field"),
        ({"consent": {"text": "May we?", "refused": "email"}}, "needs email"),
        ({"notice": {"text": ""}}, "at least 1 character"),
        ({"titel": "x"}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write(wrong, says):
    with pytest.raises(ValidationError) as caught:
        LiveChatSettings.model_validate({**GOOD, **wrong})
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_another_text_is_another_version_unless_somebody_names_it():
    one, two = Versioned(text="We keep it."), Versioned(text="We keep it all.")
    assert one.name != two.name
    assert Versioned(text="We keep it all.", version="2026-11").name == "2026-11"


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-23T01:00", True),  # a Monday, 08:00 in Jakarta
        ("2026-11-23T00:59", False),
        ("2026-11-23T09:59", True),
        ("2026-11-23T10:00", False),
        ("2026-11-27T16:59", False),  # a Friday, 23:59 in Jakarta
        ("2026-11-27T17:00", False),
        ("2026-11-28T15:30", True),  # a Saturday, 22:30 in Jakarta
        ("2026-11-28T16:59", True),
        ("2026-11-28T17:00", False),
        ("2026-11-29T02:00", False),
    ],
)
def test_hours_are_those_of_the_accounts_time_zone(moment, is_open):
    hours = Hours.read(("mon-fri 08:00-17:00", "Sat  20:00-00:00"), "Asia/Jakarta")
    assert hours.open_at(datetime.fromisoformat(moment).replace(tzinfo=UTC)) is is_open


def test_days_may_go_over_the_end_of_the_week_and_no_line_means_always():
    hours = Hours.read(("sat-mon 00:00-00:00",), "UTC")
    days = [datetime(2026, 11, day, 12, tzinfo=UTC) for day in range(23, 30)]
    assert [hours.open_at(day) for day in days] == [True, False, False, False, False, True, True]
    assert Hours.read((), "UTC").open_at(days[1])


@pytest.mark.parametrize("colour", ["#1f5f4a", "#ffffff", "#ffd400", "#7a4a21", "#808080", "#000000"])
def test_the_words_on_a_colour_can_be_read(colour):
    assert contrast(readable_on(colour), colour) >= 4.5
