"""One alert on a page, in a browser, on a native client and in a mail, answered everywhere at once: one wins."""

from __future__ import annotations

import asyncio
from itertools import permutations

from talkwire import Conflict

WORDS = {"page": "page", "browser": "browser", "native": "native:laptop", "email": "email"}


class Everywhere:
    """A recipient who presses a button on four surfaces."""

    def __init__(self, office, browser, native):
        self.office, self.sockets = office, {"browser": browser, "native": native}

    async def press(self, surface, id_):
        """Press; gives nothing where it was first, else whom it was told to have been first."""
        if surface in self.sockets:
            said = await self.sockets[surface].answers(id_, "accept")
            return said.get("by")
        if surface == "page":
            headers = await self.office.session("ann")
            answer = {"action": "accept", "surface": "page"}
            url = f"/api/v1/notifications/{id_}:answer"
            async with self.office.client.post(url, json=answer, headers=headers) as said:
                return None if said.status == 204 else (await said.json())["answered_by"]
        try:
            await self.office.hub.daemon.hub.answer(id_, "accept", "email")
        except Conflict:
            return (await self.office.hub.daemon.hub.notification(id_)).answered_by
        return None


async def test_in_every_order_one_wins_and_the_others_are_told_who(office):
    ann = Everywhere(office, await office.page(), await office.native())
    await office.session("ann")
    for order in permutations(WORDS):
        id_ = await office.notify(style="alert")
        for socket in ann.sockets.values():
            assert (await socket.shows())["id"] == id_
        told = await asyncio.gather(*(ann.press(surface, id_) for surface in order))
        [(winner,)] = await office.hub.rows("SELECT answered_by FROM notification WHERE id = :id", id=id_)
        assert dict(zip(order, told, strict=True)) == {
            surface: None if word == winner else winner for surface, word in WORDS.items()
        }
        await office.hub.run_until_idle()
        for socket in ann.sockets.values():
            await socket.until_withdrawn(id_, winner)
