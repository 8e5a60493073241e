"""A file that went on from another account with its reply is forgotten with whom it was for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from talkwire import Channel, Draft, Media, Text, hookimpl
from talkwire.features import MediaFeature
from talkwire.lifecycle import persons
from talkwire.lifecycle.forgetting import Forgetting
from tests.journeys.acme_hub import CUSTOMER, full, no
from tests.journeys.parting_hub import SETTINGS, Post, post_of

TEXTS = (MediaFeature(types=("text/*",), limit=1000),)


class FilingPost(Post):
    """A post that carries files."""

    features = replace(Post.features, media=TEXTS)


class Plugin:
    """A shop and a post, both of which carry files."""

    @hookimpl
    def register_channels(self) -> list[type[Channel]]:
        return [full(sessions=True, media=TEXTS), FilingPost]


async def test_a_file_that_fell_back_goes_with_its_customer(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "fallback:post"', settings=SETTINGS, plugins={"acme": Plugin()})
    await acme.told("session", state="connected")
    conversation = await acme.talk(aliases=["email:ann@example.org"], name="Ann")

    async def invoice() -> AsyncIterator[bytes]:
        yield b"the invoice of Ann"

    file = (await acme.hub.daemon.hub.keep_file(invoice(), name="invoice.txt", limit=100)).id
    acme.provider.will(no("offline"))
    await acme.hub.reply(conversation, Draft(blocks=(Text("Here"), Media(attachment=file))))
    await acme.hub.run_until_idle()
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    assert [bool(one.part.attachment) for one in post_of(acme).outs].count(True) == 1  # it went on with its reply
    daemon = acme.hub.daemon
    person = await daemon.store.read(lambda query: persons.find(query, CUSTOMER))
    forgetting = Forgetting(daemon.store, daemon.files, daemon.clock, lambda _tx, _person: None, rewrite=False)
    await forgetting.forget(person.contact, "cli:test")
    assert await acme.hub.rows("SELECT id FROM message") == []
    assert await acme.hub.rows("SELECT id FROM attachment") == []
