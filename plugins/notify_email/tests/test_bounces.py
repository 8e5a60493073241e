"""A mail that comes back days later, into a mailbox that is read here, marks its address."""

import pytest


def tell(tx, items):
    for key, state, code in items:
        tx.tell("report.unmatched", account="support", ids={"key": key}, small={"state": state, "code": code})
    return [None] * len(items)


async def comes_back(office, key, state="failed", code="5.1.1"):
    await office.hub.daemon.store.write(tell, (key, state, code))
    await office.hub.run_until_idle()


async def bad(office):
    return await office.hub.rows("SELECT address, reason FROM notify_email_address")


async def test_a_mail_that_comes_back_marks_its_address(office):
    asked = await office.notify()
    await comes_back(office, asked)
    assert await bad(office) == [("ops@example.test", "mail came back 5.1.1")]
    await office.notify()
    assert await office.decisions() == [("handed", ""), ("suppressed", "address_bounced")]


async def test_a_gathered_mail_that_comes_back_marks_its_address(office):
    from .mails import notification

    await office.notifier.digest([notification(1), notification(2)])
    key = office.mails[0]["Message-ID"].strip("<>").partition("@")[0]
    await comes_back(office, key)
    assert [address for address, _ in await bad(office)] == ["ops@example.test"]


@pytest.mark.parametrize(
    ("state", "code"),
    [("sent", "4.2.0"), ("failed", "4.4.1"), ("failed", "5.2.2"), ("failed", "5.7.1"), ("delivered", "2.1.5")],
)
async def test_what_is_not_the_addresss_fault_marks_nothing(office, state, code):
    await comes_back(office, await office.notify(), state, code)
    assert await bad(office) == []


async def test_what_somebody_else_sent_marks_nothing(office):
    await office.notify()
    await comes_back(office, "0193a7f0-0000-7000-8000-00000000ffff")
    assert await bad(office) == []
