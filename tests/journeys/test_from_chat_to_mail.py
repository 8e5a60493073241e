"""From a chat that has ended to mail and back, by the e-mail plugin itself, with its provider's servers played."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy
from typing import Any

import pytest

from talkwire import Address, Policy, draft
from talkwire.cli.demo import _toml
from talkwire_email.simulator import CUSTOMER, Office
from tests.journeys.acme_hub import AcmeHub, full, no

CHAT = f"email:{CUSTOMER}"


@pytest.fixture
async def office() -> Any:
    one = Office(password="a-password-of-the-tests", pause=0, slow=0.01)
    await one.start()
    yield one
    async with asyncio.timeout(20):
        await one.stop()


@pytest.fixture
async def acme(start_acme: Any, office: Any) -> AcmeHub:
    """Give a chat that falls back on a mailbox."""
    mail = f'\n[accounts.support-mail]\nchannel = "email"\n{_toml(office.settings())}'
    found: AcmeHub = await start_acme(
        'when_closed = "fallback:support-mail"', settings=mail, channel=full(sessions=True)
    )
    return found


async def talk(acme: AcmeHub) -> Any:
    await acme.told("session", state="connected")
    return await acme.talk(aliases=[CHAT], name="Budi")


async def ended(acme: AcmeHub) -> None:
    await acme.told("session", state="ended", reason="timeout")
    await acme.hub.run_until_idle()


async def until(what: Any) -> Any:
    """Wait for what real servers do beside the turned clock."""
    async with asyncio.timeout(20):
        while not (found := await what()):
            await asyncio.sleep(0.01)
    return found


async def mailed(office: Any, count: int) -> Any:
    """Give the mails that reached the customer, parsed by the standard library."""

    async def look() -> Any:
        ours = [office.raws[one["id"]] for one in office.mails if not one["mine"]]
        return ours if len(ours) >= count else None

    return [message_from_bytes(raw, policy=policy.default) for raw in await until(look)]


async def found(acme: AcmeHub, conversation: str) -> Any:
    return await acme.hub.daemon.hub.conversation(conversation)


@pytest.mark.requirement("CARD-04")
async def test_a_chat_that_has_ended_goes_on_by_mail_and_the_answer_comes_back(acme, office):
    old = await talk(acme)
    await ended(acme)
    accepted = await acme.hub.reply(old, "Your parcel is **here**.")
    assert (accepted.policy, accepted.account) == (Policy.FALLBACK, "support-mail")
    [mail] = await mailed(office, 1)
    assert mail.get_content_type() == "text/plain"
    assert [part.get_content_type() for part in mail.walk()] == ["text/plain"]
    assert mail["To"].addresses[0].addr_spec == CUSTOMER
    assert mail["Subject"].startswith("Our conversation of ")
    text = mail.get_content()
    assert text.startswith("Your parcel is here.")
    assert "> Hello" in text

    office.written("Thank you!", answers=office.mails[0]["id"])

    async def answered() -> Any:
        return [m for m in await acme.hub.messages(accepted.conversation) if m.direction == "in"]

    [answer] = await until(answered)
    assert answer.text.strip() == "Thank you!"
    new = await found(acme, accepted.conversation)
    assert (new.continues, (await found(acme, old.id)).continued_in) == (old.id, (new.id,))
    again = await acme.hub.reply(old, "You are welcome")
    assert again.conversation == new.id
    [_, second] = await mailed(office, 2)
    assert second["Subject"] == f"Re: {mail['Subject']}"
    assert second["In-Reply-To"]
    assert len(await acme.hub.conversations()) == 2


async def test_what_waits_for_a_customer_who_left_is_mailed_when_the_chat_ends(acme, office):
    old = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(old, "Are you still there?")
    await ended(acme)
    [mail] = await mailed(office, 1)
    assert mail.get_content().startswith("Are you still there?")
    assert [d.problem.code for m in await acme.hub.messages(old) for d in m.deliveries] == ["fell_back"]


@pytest.mark.requirement("3DR-17")
async def test_a_customer_who_is_offline_is_written_a_mail_that_is_kept(acme, office):
    """The sending half: whoever sees the way out writes there, and what they wrote is in a conversation of its own."""
    old = await talk(acme)
    await ended(acme)
    [way, _] = (await found(acme, old.id)).answer.ways
    assert (way.kind, way.account, way.address) == ("account", "support-mail", CUSTOMER)
    to = (way.account, Address(kind="email", value=way.address))
    accepted = await acme.hub.daemon.replies.reply(to, draft("We found it."), author="agent:ann")
    [mail] = await mailed(office, 1)
    assert mail.get_content().startswith("We found it.")
    await acme.hub.run_until_idle()
    [kept] = await acme.hub.messages(accepted.conversation)
    assert (kept.text, kept.author) == ("We found it.", "agent:ann")
