"""A small Bot API for tests of the way in: updates that wait, a webhook that is set or not, files."""

from __future__ import annotations

import asyncio
import itertools
import json
from types import TracebackType
from typing import Any, Self

from aiohttp import web

TOKEN = "123456:kit-token-0123456789"
ANN = {"id": 42, "is_bot": False, "first_name": "Ann"}


class BotApi:
    """Telegram's side, as far as the way in needs it."""

    def __init__(self) -> None:
        self.url = ""
        self.token = TOKEN  # the only one that it knows
        self.asked: list[tuple[str, dict[str, Any]]] = []  # (method, parameters), in order of arrival
        self.webhook: dict[str, Any] = {}  # as setWebhook was told
        self.told: dict[str, Any] = {}  # more that getWebhookInfo says
        self.waiting: list[dict[str, Any]] = []  # updates that are not confirmed
        self.refusals: list[tuple[int, str]] = []  # of the next questions for updates
        self.files: dict[str, bytes] = {}  # file_id → what it holds
        self.no_file = "Bad Request: wrong file_id or the file is temporarily unavailable"
        self.no_content = 0  # HTTP status instead of a file's bytes; 0: they are given
        self.patient = True  # waits with an answer until there are updates
        self.asking = 0  # questions that wait now
        self.most_asking = 0
        self._numbers = itertools.count(1000)
        self._messages = itertools.count(1)
        self._changed = asyncio.Condition()
        self._closing = False
        self._runner: web.AppRunner | None = None

    def methods(self, *but: str) -> list[str]:
        return [method for method, _ in self.asked if method not in but]

    def params(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.asked if name == method]

    async def write(self, *texts: str, number: int | None = None, **more: Any) -> list[int]:
        """Let Ann write; gives the numbers of the updates."""
        chat = {"id": 42, "type": "private", "first_name": "Ann"}
        updates = [
            {
                "update_id": next(self._numbers) if number is None else number,
                "message": {
                    "message_id": next(self._messages),
                    "date": 1795780800,
                    "from": ANN,
                    "chat": chat,
                    "text": text,
                    **more,
                },
            }
            for text in texts
        ]
        async with self._changed:
            self.waiting += updates
            self._changed.notify_all()
        return [update["update_id"] for update in updates]

    async def until(self, condition: Any) -> None:
        """Wait until something holds of what was asked."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    async def all_taken(self) -> None:
        """Wait until every update is confirmed, and the next question waits."""
        await self.until(lambda: not self.waiting and self.asking)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        async with self._changed:
            self._changed.notify_all()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        root, _, method = request.path[1:].rpartition("/")
        if request.path.startswith(f"/file/bot{self.token}/"):
            if self.no_content:
                headers = {"Location": f"http://127.0.0.1:9{request.path}"}
                return web.Response(status=self.no_content, headers=headers, text=f"no {request.path}")
            return web.Response(body=self.files[request.path.rpartition("/")[2]])
        if root != f"bot{self.token}":
            return _no(401, "Unauthorized")
        params = json.loads(await request.read() or b"{}")
        async with self._changed:
            self.asked.append((method, params))
            self._changed.notify_all()
        found = await getattr(self, f"_{method}")(params)
        return found if isinstance(found, web.Response) else web.json_response({"ok": True, "result": found})

    async def _getMe(self, params: Any) -> Any:  # noqa: N802
        return {"id": 123456, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}

    async def _getWebhookInfo(self, params: Any) -> Any:  # noqa: N802
        stands = {
            key: self.webhook[key] for key in ("url", "max_connections", "allowed_updates") if key in self.webhook
        }
        return {
            "url": "",
            "has_custom_certificate": False,
            "pending_update_count": len(self.waiting),
            **stands,
            **self.told,
        }

    async def _setWebhook(self, params: Any) -> Any:  # noqa: N802
        self.webhook = params
        return True

    async def _deleteWebhook(self, params: Any) -> Any:  # noqa: N802
        self.webhook = {}
        return True

    async def _answerCallbackQuery(self, params: Any) -> Any:  # noqa: N802
        return True

    async def _sendMessage(self, params: Any) -> Any:  # noqa: N802
        return {
            "message_id": next(self._messages),
            "date": 1795780800,
            "chat": {"id": params["chat_id"], "type": "private"},
        }

    async def _getFile(self, params: Any) -> Any:  # noqa: N802
        id_ = params["file_id"]
        if id_ in ("huge", "BAAC-big"):
            return _no(400, "Bad Request: file is too big")
        if id_ not in self.files:
            return _no(400, self.no_file)
        return {
            "file_id": id_,
            "file_unique_id": "u",
            "file_size": len(self.files[id_]),
            "file_path": f"documents/{id_}",
        }

    async def _getUpdates(self, params: Any) -> Any:  # noqa: N802
        if self.refusals:
            return _no(*self.refusals.pop(0))
        if self.webhook.get("url"):
            return _no(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete it first",
            )
        async with self._changed:
            if (offset := params.get("offset")) is not None:
                self.waiting = [update for update in self.waiting if update["update_id"] >= offset]
            self.asking += 1
            self.most_asking = max(self.most_asking, self.asking)
            self._changed.notify_all()
            try:
                if self.patient:
                    await self._changed.wait_for(lambda: self.waiting or self._closing or self.refusals)
            finally:
                self.asking -= 1
            if self.refusals:
                return _no(*self.refusals.pop(0))
            return self.waiting[: params.get("limit", 100)]


def _no(status: int, description: str) -> web.Response:
    return web.json_response({"ok": False, "error_code": status, "description": description}, status=status)
