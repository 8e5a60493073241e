"""How the public application is served: deliveries go ahead of its routes, and those that come whole are taken at the door."""

from __future__ import annotations

from aiohttp import web

from . import door
from .inbound import RECEIVER, TAKER, ahead_of_routes


class Front(web.AppRunner):
    """Serves an application; one that takes no deliveries as aiohttp does."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        if RECEIVER in self.app:
            server.request_handler = ahead_of_routes(self.app[RECEIVER], server.request_handler)
        if TAKER in self.app and door.fits():
            return door.Doors(server, self.app[TAKER])
        return server
