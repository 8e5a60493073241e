"""A provider that notes when each message came: `python -m tests.crash.counting`.

It plays Meta's Cloud API and Telegram's Bot API as far as a daemon that is killed needs them, in a process of its own, so
that nothing but the daemon decides when a message is there. It says where it listens in one line on its standard output.

    POST /customers          updates that Telegram's customers wrote; answered once the bot has confirmed them
    GET  /arrivals/NUMBER    once there are so many: [[seconds by CLOCK_MONOTONIC, whom it was for], …]
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from typing import Any

from aiohttp import web

POLL = 5  # seconds that a question for updates waits; the bot asks for longer


class Counting:
    """All that came, in the order in which it did."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[float, str]] = []
        self._updates: list[dict[str, Any]] = []
        self._confirmed = 0  # updates below this number are stored
        self._ids = itertools.count(1)
        self._changed = asyncio.Condition()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/customers", self._customers)
        app.router.add_get("/arrivals/{number}", self._arrivals)
        app.router.add_post("/v23.0/{number}/messages", self._whatsapp)
        app.router.add_post("/bot{token}/getUpdates", self._get_updates)
        app.router.add_post("/bot{token}/sendMessage", self._telegram)
        app.router.add_route("*", "/bot{token}/{method}", self._of_bot)
        return app

    async def _customers(self, request: web.Request) -> web.Response:
        async with self._changed:
            self._updates = await request.json()
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._confirmed > self._updates[-1]["update_id"])
        return web.json_response({})

    async def _arrivals(self, request: web.Request) -> web.Response:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.arrivals) >= int(request.match_info["number"]))
        return web.json_response(self.arrivals)

    async def _came(self, to: str) -> int:
        self.arrivals.append((time.monotonic(), to))
        async with self._changed:
            self._changed.notify_all()
        return next(self._ids)

    async def _whatsapp(self, request: web.Request) -> web.Response:
        to = (await request.json())["to"]
        number = await self._came(to)
        contacts = [{"input": to, "wa_id": to}]
        return web.json_response(
            {"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": f"wamid.{number}"}]}
        )

    async def _telegram(self, request: web.Request) -> web.Response:
        chat = (await request.json())["chat_id"]
        number = await self._came(str(chat))
        kind = "supergroup" if str(chat).startswith("-") else "private"
        return _result({"message_id": number, "date": int(time.time()), "chat": {"id": int(chat), "type": kind}})

    async def _get_updates(self, request: web.Request) -> web.Response:
        offset = (await request.json()).get("offset", 0)
        async with self._changed:
            self._confirmed = max(self._confirmed, offset)
            self._changed.notify_all()
            try:
                async with asyncio.timeout(POLL):
                    await self._changed.wait_for(lambda: self._after(offset))
            except TimeoutError:
                pass
        return _result(self._after(offset)[:100])

    def _after(self, offset: int) -> list[dict[str, Any]]:
        return [update for update in self._updates if update["update_id"] >= offset]

    async def _of_bot(self, request: web.Request) -> web.Response:
        if request.match_info["method"] == "getMe":
            return _result({"id": 123456, "is_bot": True, "first_name": "Shop", "username": "shop_bot"})
        if request.match_info["method"] == "getWebhookInfo":
            return _result({"url": "", "has_custom_certificate": False, "pending_update_count": 0})
        return _result(True)


def _result(result: Any) -> web.Response:
    return web.json_response({"ok": True, "result": result})


async def main() -> None:
    runner = web.AppRunner(Counting().app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
