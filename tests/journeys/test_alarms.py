"""Whoever is woken by an alarm reads what is wrong, of what, and what to type."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from talkwire import AccountState
from talkwire.facts import FACTS
from talkwire.notify.templates import BUILT_IN
from tests.journeys.acme_hub import AcmeHub
from tests.journeys.bells import Bell, BellPlugin

ALARMS = {
    "account.broken": {"state": "broken", "was": "working", "reason": "the token was taken back"},
    "account.flapping": {"reason": "the provider hung up", "changes": 6},
    "account.waiting": {"state": "waiting", "was": "working", "reason": "the provider hung up"},
    "account.quiet": {"minutes": 90, "rule": "usual"},
    "credential.expiring": {"of": "account:shop", "what": "access token", "until": "2027-01-31T00:00:00+00:00", "days": 7},
    "queue.old": {"group": "send:shop", "tasks": 3, "minutes": 15},
    "lane.stuck": {"group": "send:shop", "lane": 7, "minutes": 60, "error": "HTTP 503"},
    "disk.low": {"free_bytes": 4 << 30, "total_bytes": 100 << 30},
    "fact.parked": {"reader": "webhook:crm", "seq": 17},
    "reader.stopped": {"reader": "webhook:crm", "reason": "410 Gone"},
    "reader.down": {"reader": "webhook:crm", "reason": "no answer"},
}  # fmt: skip
SAID = {  # what must stand in each, beside the account
    "account.broken": ("the token was taken back", "talkwire accounts resume shop"),
    "account.flapping": ("talkwire accounts test shop",),
    "account.waiting": ("the provider hung up", "tried again by itself"),
    "account.quiet": ("90 minutes", "talkwire accounts test shop"),
    "credential.expiring": ("access token", "In 7 days", "2027-01-31", "talkwire reload"),
    "queue.old": ("send:shop", "15 minutes", "talkwire lanes"),
    "lane.stuck": ("HTTP 503", "talkwire lanes"),
    "disk.low": ("talkwire status",),
    "fact.parked": ("webhook:crm", "talkwire replay --parked --reader webhook:crm"),
    "reader.stopped": ("webhook:crm", "410 Gone", "talkwire status"),
    "reader.down": ("webhook:crm", "no answer", "talkwire status"),
}


@pytest.fixture
async def acme(start_acme: Any) -> AcmeHub:
    """A hub that tells `ops` of every alarm."""
    rule = f'[recipients.ops]\nmedia = ["bell"]\n[[notify]]\non = {list(ALARMS)}\nto = ["ops"]\n'
    found: AcmeHub = await start_acme(settings=rule.replace("'", '"'), plugins={"notify_bell": BellPlugin()})
    return found


async def test_every_alarm_says_of_what_it_speaks_why_and_what_to_type(acme):
    def tell(tx: Any, items: Any) -> list[None]:
        for kind, small in ALARMS.items():
            account = "shop" if kind.startswith(("account", "credential", "queue", "lane")) else ""
            tx.tell(kind, account=account, small=small)
        return [None] * len(items)

    await acme.hub.daemon.store.write(tell, None)
    await acme.hub.run_until_idle()
    given = {one.kind: one for one in Bell.one.given}
    assert given.keys() == SAID.keys()
    said = {kind: f"{one.title}\n{one.text}" for kind, one in given.items()}
    assert {kind: [word for word in words if word not in said[kind]] for kind, words in SAID.items()} == {
        kind: [] for kind in SAID
    }
    assert [kind for kind, one in given.items() if one.account and one.account not in one.title] == []


def test_every_alarm_is_a_fact_and_has_words_in_both_languages():
    assert set(ALARMS) <= set(FACTS)
    assert {kind: set(BUILT_IN[kind]) for kind in ALARMS} == {kind: {"en", "id"} for kind in ALARMS}


async def test_a_broken_account_wakes_somebody_once_with_its_reason(acme):
    acme.hub.daemon.account("shop").change(AccountState.BROKEN, "the token was taken back")
    await acme.hub.run_until_idle()
    await acme.hub.pass_time(timedelta(hours=3))
    assert [(one.kind, one.text.partition("\n")[0]) for one in Bell.one.given] == [
        ("account.broken", "the token was taken back")
    ]
