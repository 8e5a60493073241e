"""Actions lie in tasks as JSON and come back as they were."""

from datetime import UTC, datetime

import pytest

from talkwire.actions import DropTimer, Notice, Notify, Reply, SetTimer, Signal, Withdraw, from_json, to_json
from talkwire.model import (
    Acknowledge,
    Address,
    Alias,
    Buttons,
    Draft,
    Option,
    Policy,
    Reaction,
    ReadUpTo,
    Text,
    TypingSignal,
    draft,
)

SOMEBODY = Address(kind="phone", value="+628111", name="Ann", aliases=(Alias("bsuid", "x1"),))
RICH = Draft(
    blocks=(Text("hi *you*"), Buttons(text="?", options=(Option("y", "Yes"),))), reply_to="m1", subject="Your order"
)


@pytest.mark.parametrize(
    "action",
    [
        Reply(conversation="c1", draft=draft("closed")),
        Reply(account="shop", address=SOMEBODY, draft=RICH, key="k", policy=Policy.HOLD),
        Signal(account="shop", address="+628111", signal=TypingSignal(on=False)),
        Signal(account="shop", address="+628111", signal=ReadUpTo("e1")),
        Signal(account="shop", address="+628111", signal=Reaction("e1", "👍")),
        Signal(account="shop", address="+628111", signal=Acknowledge("e1", "ok")),
        Notice(conversation="c1", slot="queue", draft=draft("you are number 3")),
        Notice(conversation="c1", slot="queue", draft=None),
        SetTimer(key="sla", due=datetime(2026, 11, 22, 8, tzinfo=UTC), subject="c1"),
        DropTimer("sla"),
        Notify(recipient="ops", kind="wait", title="A customer waits", actions=(Option("take", "Take"),), key="n"),
        Withdraw(key="n"),
        Withdraw(notification="0192"),
    ],
)
def test_an_action_comes_back_as_it_was(action):
    again = from_json(to_json(action))
    assert again == action
    assert repr(again) == repr(action)  # a Policy equals its word, and is not the same


@pytest.mark.parametrize(
    "text", ['{"action": "reply"}', '{"action": "sing"}', "[]", '{"action": "drop_timer", "k": 1}']
)
def test_what_is_no_action_is_refused(text):
    with pytest.raises(ValueError):
        from_json(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Reply(draft=draft("x")),
        lambda: Reply(draft=draft("x"), account="shop"),
        lambda: Reply(draft=draft("x"), conversation="c1", account="shop", address=SOMEBODY),
        lambda: Reply(draft=draft("x"), conversation="c1", address=SOMEBODY),
        lambda: SetTimer(key="k", due=datetime(2026, 1, 1)),  # noqa: DTZ001  what is refused
        Withdraw,
        lambda: Withdraw(key="a", notification="b"),
    ],
)
def test_an_action_that_means_nothing_cannot_be_made(make):
    with pytest.raises(ValueError):
        make()
