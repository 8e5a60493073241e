"""How the public application is served: deliveries go ahead of its routes, and those that come whole are taken at the door."""

from __future__ import annotations

from aiohttp import web

from . import door
from .inbound import RECEIVER, ahead_of_routes


class Front(web.AppRunner):
    """Serves an application; one that takes no deliveries as aiohttp does."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        receiver = self.app.get(RECEIVER)
        if receiver is None:
            return server
        server.request_handler = ahead_of_routes(receiver.receive, server.request_handler)
        return door.Doors(server, receiver.take) if door.fits(server) else server
