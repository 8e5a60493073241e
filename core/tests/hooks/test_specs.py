"""Every hook is there, and says what an author must know."""

import re
import subprocess
import sys

import pytest

from talkwire import hooks
from talkwire.hooks import hook_of

EVERY_HOOK = {
    *("register_channels", "register_notifiers", "register_settings", "register_schema", "register_routes"),
    *("register_pages", "register_simulators", "shape_inbound", "format_reply", "on_inbound_message"),
    *("on_delivery_status", "on_session", "on_notification", "answer_notification", "on_account", "on_timer"),
    *("on_fact", "forget_person", "export_person"),
}
SPECS = {name: value for name, value in vars(hooks).items() if hasattr(value, "talkwire_spec")}


def unanswered(docstring):
    """Name the questions that a docstring leaves open; a label may answer several (`When, order, twice: as …`)."""
    labels = re.findall(
        r"(?:^\s*|\. )((?:When|Order|Answer|Error|Twice)(?:, (?:order|answer|error|twice))*):", docstring, re.MULTILINE
    )
    answered = {word.lower() for label in labels for word in label.split(", ")}
    return {"when", "order", "answer", "error", "twice"} - answered


def test_the_hooks_are_those_of_the_design():
    assert set(SPECS) == EVERY_HOOK


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_spec_answers_when_order_answer_error_twice(name):
    assert not unanswered(SPECS[name].__doc__)


def test_an_open_question_is_noticed():
    assert unanswered("Do it.\n\n    When: now.\n    Order, error: none.\n    Answer: None.\n") == {"twice"}


@pytest.mark.parametrize("name", sorted(n for n in SPECS if not n.startswith(("register_", "export_"))))
def test_hub_and_settings_may_be_asked_for_wherever_a_hook_runs(name):
    assert {"hub", "settings"} <= SPECS[name].__annotations__.keys()


@pytest.mark.parametrize(
    ("fact", "hook"),
    [
        ("message.received", "on_inbound_message"),
        ("delivery.changed", "on_delivery_status"),
        ("delivery.failed", "on_fact"),
        ("session.ended", "on_session"),
        ("window.closing", "on_session"),
        ("notification.created", "on_notification"),
        ("account.broken", "on_account"),
        ("account.notice", "on_fact"),
        ("account.forgotten", "on_fact"),
        ("contact.forgotten", "on_fact"),
        ("timer.due", "on_timer"),
        ("reply.refused", "on_fact"),
    ],
)
def test_a_fact_has_one_hook(fact, hook):
    assert hook_of(fact) == hook


def test_the_specs_load_nothing_heavy():
    code = "import sys, talkwire.hooks; print([m for m in ('aiohttp', 'sqlalchemy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
