"""Templates of notifications: read with the settings, every fault at once, filled with what is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from talkwire.actions import Notify
from talkwire.errors import SettingsError
from talkwire.model import Detail, OnDesktop, Style
from talkwire.notify.templates import Templates, beginning, filled
from talkwire.quiet import Quiet
from talkwire.settings import Config

OFFER = """
title = "{contact} wrote"
text = "{text}"
style = "alert"
details = [{label = "Customer", value = "{contact}"}, {label = "Case", value = "{reason}"}]
timeout = "90s"
show_timeout = false
desktop = "always"
buttons = [{id = "handled", label = "Mark handled", does = "handled"}, {id = "open", label = "Open", does = "open"}]
"""
RULE = '[recipients.ops]\n[[notify]]\non = ["message.received"]\nto = ["ops"]\n'


def config(folder: Path, text: str = "", **files: str) -> Config:
    (folder / "notifications").mkdir(exist_ok=True)
    for name, said in files.items():
        (folder / "notifications" / f"{name}.toml").write_text(said)
    return Config.from_text(text, folder, {})


def faults(folder: Path, text: str = "", **files: str) -> dict[str, str]:
    with pytest.raises(SettingsError) as error:
        config(folder, text, **files)
    return {fault.path: fault.reason for fault in error.value.faults}


def test_a_file_of_the_folder_is_a_template(tmp_path):
    found = config(tmp_path, RULE + 'template = "offer"\n', offer=OFFER).templates["offer"]
    assert (found.style, found.timeout, found.show_timeout, found.on_desktop) == (
        Style.ALERT,
        timedelta(seconds=90),
        False,
        OnDesktop.ALWAYS,
    )
    assert [(button.id, button.title) for button in found.buttons] == [("handled", "Mark handled"), ("open", "Open")]
    assert found.does == {"handled": "handled", "open": "open"}


def test_a_folder_that_is_not_there_has_no_templates(tmp_path):
    assert Config.from_text("", tmp_path, {}).templates == {}


def test_every_fault_of_every_file_is_named_with_its_key(tmp_path):
    found = faults(
        tmp_path,
        RULE + 'template = "offr"\n',
        offer="titel = 'x'\nbuttons = [{id = 'a', label = 'A', does = 'resme'}]",
        late="title = 'x'\ntimeout = '0s'",
        odd="title = x",
        much="title = 'x'\ndetails = [" + "{label = 'a', value = 'b'}, " * 5 + "]",
        twice="title = 'x'\nbuttons = [{id = 'a', label = 'A'}, {id = 'a', label = 'B'}]",
        Upper="title = 'x'",
    )
    assert found["notifications/offer.toml: titel"] == "unknown key; did you mean title?"
    assert found["notifications/offer.toml: title"] == "is missing"
    assert "resume" in found["notifications/offer.toml: buttons[0].does"]
    assert found["notifications/late.toml: timeout"] == "write 1s to 30d"
    assert found["notifications/odd.toml"].startswith("is no TOML (at line 1")
    assert "at most 4" in found["notifications/much.toml: details"]
    assert found["notifications/twice.toml: buttons"] == "two buttons have the same id; choose another"
    assert found["notifications/Upper.toml"].startswith("a name has 1 to 64 of a-z")
    assert found["notify[0].template"] == "no such template offr; did you mean offer?"


def test_a_rule_cannot_use_a_template_that_wants_what_no_rule_knows(tmp_path):
    found = faults(tmp_path, RULE + 'template = "offer"\n', offer='title = "{contact} waits for {queue}"')
    assert found["notify[0].template"].startswith("offer.toml wants {queue}, which no rule knows; they know {account}")


def test_daemons_with_other_templates_have_other_settings(tmp_path):
    before = config(tmp_path, offer=OFFER).shared_hash()
    assert config(tmp_path, offer=OFFER.replace("90s", "60s")).shared_hash() != before


def offer(tmp_path, **values: str):
    found = config(tmp_path, offer=OFFER).templates["offer"]
    return filled(Notify(recipient="ann", kind="offer", template="offer", values=values), found)


def test_a_template_is_filled_with_values_and_empty_lines_are_left_out(tmp_path):
    shows = offer(tmp_path, contact="Dewi\nAyu", text="Hello\nI wait", reason="")
    assert (shows.title, shows.text) == ("Dewi Ayu wrote", "Hello\nI wait")
    assert shows.details == (Detail("Customer", "Dewi Ayu"),)
    assert shows.does == {"handled": "handled", "open": "open"}


def test_a_value_is_never_filled_in_itself(tmp_path):
    assert offer(tmp_path, contact="{text}", text="secret", reason="").title == "{text} wrote"


def test_what_an_action_says_itself_goes_before_its_template(tmp_path):
    found = config(tmp_path, offer=OFFER).templates["offer"]
    action = Notify(
        recipient="ann",
        kind="offer",
        template="offer",
        title="An offer",
        style=Style.TOAST,
        timeout=timedelta(seconds=5),
        show_timeout=True,
        on_desktop=OnDesktop.NEVER,
        values={"contact": "Dewi", "text": "", "reason": ""},
    )
    shows = filled(action, found)
    assert (shows.title, shows.style, shows.timeout, shows.show_timeout, shows.on_desktop) == (
        "An offer",
        Style.TOAST,
        timedelta(seconds=5),
        True,
        OnDesktop.NEVER,
    )


def test_a_notify_has_four_details_at_most_and_lies_in_the_future():
    with pytest.raises(ValueError, match="four details"):
        Notify(recipient="ann", kind="x", details=(Detail("a", "b"),) * 5)
    with pytest.raises(ValueError, match="future"):
        Notify(recipient="ann", kind="x", timeout=timedelta())


@pytest.mark.parametrize("language", ["en", "id", "id-ID", "", "fr"])
def test_each_type_of_facts_has_a_look_in_each_language(language):
    found = Templates(language="en").of_kind("message.received", language)
    assert found.title == ("{contact} menulis ke {account}" if language[:2] == "id" else "{contact} wrote to {account}")
    assert Templates().of_kind("calendar.done", language).title == "{kind}: {account}"


@pytest.mark.parametrize(
    ("said", "shows"),
    [
        ("Hello", "Hello"),
        ("One\n\n  Two  ", "One\nTwo"),
        ("One\nTwo\nThree", "One\nTwo…"),
        ("x" * 300, "x" * 199 + "…"),
        ("", ""),
    ],
)
def test_of_a_message_two_lines_are_shown(said, shows):
    assert beginning(said) == shows


# --- quiet hours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("22:00-07:00", "2026-11-28T21:59:59", None),
        ("22:00-07:00", "2026-11-28T22:00:00", "2026-11-29T07:00:00"),
        ("22:00-07:00", "2026-11-29T03:00:00", "2026-11-29T07:00:00"),
        ("22:00-07:00", "2026-11-29T07:00:00", None),
        ("12:00-13:30", "2026-11-29T12:10:00", "2026-11-29T13:30:00"),
        ("12:00-13:30", "2026-11-29T13:30:00", None),
        ("12:00-13:30", "2026-11-29T03:30:00", None),
    ],
)
def test_quiet_hours_may_go_over_midnight(hours, now, until):
    quiet = Quiet.parse(hours)
    assert quiet is not None
    found = quiet.until(datetime.fromisoformat(now).replace(tzinfo=UTC), "UTC")
    assert found == (datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None)


def test_quiet_hours_go_by_the_clock_on_the_recipients_wall():
    quiet = Quiet.parse("22:00-07:00")
    assert quiet is not None
    evening = datetime(2026, 11, 28, 15, 30, tzinfo=UTC)  # 22:30 in Jakarta
    assert quiet.until(evening, "Asia/Jakarta") == datetime(2026, 11, 29, 0, 0, tzinfo=UTC)
    assert quiet.until(evening, "UTC") is None


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        # 2026-03-29: 02:00 becomes 03:00; 2026-10-25: 03:00 becomes 02:00, and 02:30 comes twice (Europe/Berlin).
        ("23:00-02:30", "2026-03-29T00:30:00", "2026-03-29T01:30:00"),
        ("23:00-02:30", "2026-10-25T00:10:00", "2026-10-25T00:30:00"),
        ("23:00-02:30", "2026-10-25T01:10:00", "2026-10-25T01:30:00"),
    ],
)
def test_quiet_hours_end_also_where_clocks_are_put_on_or_back(hours, now, until):
    quiet = Quiet.parse(hours)
    assert quiet is not None
    found = quiet.until(datetime.fromisoformat(now).replace(tzinfo=UTC), "Europe/Berlin")
    assert found == datetime.fromisoformat(until).replace(tzinfo=UTC)


@pytest.mark.parametrize("hours", ["22-7", "24:00-07:00", "22:15", "07:00-07:00", "22:00–07:00", "soon"])
def test_hours_that_are_none_are_a_fault(tmp_path, hours):
    assert faults(tmp_path, f'[recipients.ops]\nquiet = "{hours}"\n') == {
        "recipients.ops.quiet": "write hours such as 22:00-07:00"
    }


def test_a_plain_word_says_how_a_notification_asks_and_a_wrong_one_is_refused():
    asked = Notify(recipient="ops", kind="offer", style="alert", on_desktop="never")
    assert (asked.style, asked.on_desktop) == (Style.ALERT, OnDesktop.NEVER)
    assert isinstance(asked.style, Style)
    assert isinstance(asked.on_desktop, OnDesktop)
    with pytest.raises(ValueError, match="loud"):
        Notify(recipient="ops", kind="offer", style="loud")
