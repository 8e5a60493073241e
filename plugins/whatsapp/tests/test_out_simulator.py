"""Everything that we send, at a Meta that shares no code with us and looks at each message itself."""

from __future__ import annotations

from typing import Any

import pytest

from talkwire import Address, Draft, Outgoing, Template, TryLater, WindowShut
from talkwire.testing.services import lend
from talkwire_whatsapp.channel import WhatsApp
from talkwire_whatsapp.simulator import BUDI, BUSINESS, OURS, Cloud

from .shop import CONTEXT, FILES
from .test_rendering import LOSSES, SHAPES

WORDS = {"token": "sim-token-0123456789", "app_secret": "sim-secret-0123456789", "verify_token": "sim-word-0123456789"}
TO = Address(kind="phone", value=f"+{BUDI.wa_id}")
BYTES = {
    "image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff\xe0", "image/webp": b"RIFF0000WEBPVP8 ",
    "video/mp4": b"\x00\x00\x00\x18ftypmp42", "audio/ogg": b"OggS\x00OpusHead", "application/pdf": b"%PDF-1.4",
}  # fmt: skip


@pytest.fixture
async def talk(aiohttp_server: Any, monkeypatch: Any) -> Any:
    """A number at the simulated Meta, whose customer has written; no webhook of it is answered for."""
    cloud = Cloud("http://127.0.0.1:1/in/whatsapp", **WORDS, pause=0, retry_every=0)

    async def post(_raw: bytes) -> int:
        return 200

    async def nobody() -> None:
        return None

    monkeypatch.setattr(cloud, "_post", post)
    monkeypatch.setattr(cloud, "_verify", nobody)
    server = await aiohttp_server(cloud.app())
    await cloud.says(text="hello")
    given = {
        **WORDS,
        "phone_number_id": OURS.id,
        "business_account_id": BUSINESS,
        "api_url": f"http://127.0.0.1:{server.port}/v23.0",
        "mark_read": True,
    }
    async with lend(WhatsApp, given) as lent:
        for name, file in FILES.items():
            content = BYTES.get(file.media_type, b"PK\x03\x04") + b"x" * 20
            lent.services.store(content, name=file.name, media_type=file.media_type, attachment=name)
        await lent.channel.open()
        yield cloud, lent.channel
        await lent.channel.close()


async def sent(channel: Any, *blocks: Any, n: int = 0) -> list[str]:
    rendered = channel.render(Draft(blocks=blocks), CONTEXT)
    ids = []
    for position, part in enumerate(rendered.parts):
        key = f"01940000-0000-7000-8000-{n:06}{position:06}"
        ids.append((await channel.send(Outgoing(key=key, account="kit", address=TO, thread="", part=part))).external_id)
    return ids


BLOCKS = [blocks for blocks, _ in (*SHAPES, *LOSSES)]


async def test_meta_takes_each_block_and_its_customer_sees_it(talk):
    cloud, channel = talk
    shown = []
    for number, blocks in enumerate(BLOCKS):
        if number % 20 == 19:
            cloud.turn(hours=0.2)  # the pair rate
        shown += await sent(channel, *blocks, n=number)
    assert len(shown) == len(set(shown)) >= len(BLOCKS)
    assert set(shown) <= cloud.messages.keys()


async def test_meta_takes_each_template_that_it_lists(talk):
    cloud, channel = talk
    usable = [one for one in channel.templates if one.status == "APPROVED" and not one.beyond]
    assert usable
    cloud.turn(hours=25)
    for number, one in enumerate(usable):
        values = tuple(
            "https://shop.example/a.png" if slot.kind in ("image", "video", "document") else f"v{n}"
            for n, slot in enumerate(one.slots)
        )
        await sent(channel, Template(name=one.name, language=one.language, values=values), n=number)


async def flooded(channel: Any) -> None:
    for number in range(100):
        await sent(channel, *BLOCKS[0], n=number)


async def test_meta_refuses_what_comes_a_day_late_and_what_comes_too_often(talk):
    cloud, channel = talk
    with pytest.raises(TryLater) as too_often:
        await flooded(channel)
    assert (too_often.value.code, too_often.value.scope) == ("131056", "address")
    cloud.turn(hours=25)
    with pytest.raises(WindowShut):
        await sent(channel, *BLOCKS[0])
