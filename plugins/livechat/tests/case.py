"""What the kit must know: how a widget speaks, and which settings are good."""

from datetime import timedelta

from talkwire.testing import Case, Sessions
from talkwire_livechat import LiveChat

from .visits import SECRET, SITE

TOKENS = {}  # (client, visitor) → token, as browsers keep them


class Widget:
    """A widget that is a program."""

    def __init__(self, client, account, visitor):
        self._client, self._account, self._who = client, account, (id(client), visitor)
        self._n = 0
        self._keys = {}  # text → key
        self.got = []

    async def returns(self):
        """Come, or come back, as the same visitor."""
        headers = {"Origin": SITE}
        self._line = await self._client.ws_connect(f"/c/{self._account}/socket", headers=headers)
        hello = {"t": "hello", "protocol": 1, "after": self._n, "fresh": True}
        if token := TOKENS.get(self._who):
            hello["token"] = token
        await self._line.send_json(hello)
        while (await self.hears())["t"] != "ready":
            pass

    async def hears(self):
        """Take the next frame."""
        frame = await self._line.receive_json()
        if frame["t"] == "welcome":
            TOKENS[self._who] = frame["token"]
        if frame["t"] == "message":
            self._n = max(self._n, frame.get("n", 0))
            if frame["out"] and frame["key"] not in self._keys.values():
                self._keys[frame["text"]] = frame["key"]
                self.got.append(frame["text"])
        return frame

    async def says(self, text, id_):
        """Write, and wait for the acknowledgement."""
        await self._line.send_json({"t": "message", "id": id_, "text": text})
        while (await self.hears())["t"] != "ack":
            pass

    async def sees(self, part, state):
        """Report on a part, whoever's it is."""
        await self._line.send_json({"t": "seen", "keys": [part.message], "state": state.word})

    async def ends(self):
        """End the talk."""
        await self._line.send_json({"t": "bye"})

    async def leaves(self):
        """Let the line drop."""
        await self._line.close()


async def visit(client, account, visitor):
    """Come for the first time, or in one more tab."""
    widget = Widget(client, account, visitor)
    await widget.returns()
    return widget


case = Case(
    channel=LiveChat,
    settings={"origins": [SITE], "secret": SECRET},
    sessions=Sessions(visit=visit, grace=timedelta(seconds=180)),
)
