"""Whoever is woken by an alarm reads what is wrong, of what, and what to type."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from talkwire import AccountState
from talkwire.facts import FACTS
from talkwire.templates import BUILT_IN
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
TEXTS = {
    "account.broken": "the token was taken back\nRepair what it says, then: talkwire accounts resume shop",
    "account.flapping": "the provider hung up\nType: talkwire accounts test shop",
    "account.waiting": "the provider hung up\nIt is tried again by itself. Type: talkwire accounts test shop",
    "account.quiet": "Nothing has come for 90 minutes.\n"
    "Does its provider still deliver to us? Type: talkwire accounts test shop",
    "credential.expiring": "The access token ends on 2027-01-31: 7 whole days are left.\n"
    "Put a new one in its place, then: talkwire reload",
    "queue.old": "3 wait in send:shop, the oldest for 15 minutes.\nType: talkwire lanes",
    "lane.stuck": "Lane 7 of send:shop has failed for 60 minutes: HTTP 503\nType: talkwire lanes",
    "disk.low": "4.0 GiB of 100.0 GiB are free.\nMake room, or writing stops. Type: talkwire status",
    "fact.parked": "webhook:crm refused fact 17.\nRepair who refused it, then: talkwire replay --parked",
    "reader.stopped": "webhook:crm: 410 Gone\nType: talkwire status",
    "reader.down": "webhook:crm: no answer\nThey wait. Type: talkwire status",
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
    assert {kind: one.text for kind, one in given.items()} == TEXTS
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
