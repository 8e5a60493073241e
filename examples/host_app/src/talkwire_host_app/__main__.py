"""`python -m talkwire_host_app`: listen, as the environment says."""

import os
import sys

from aiohttp import web

from . import Bot

try:
    bot = Bot(os.environ["TALKWIRE_URL"], os.environ["TALKWIRE_KEY"], os.environ["TALKWIRE_SECRET"])
except KeyError as missing:
    sys.exit(f"{missing.args[0]} is not set: see the README")
host, _, port = os.environ.get("LISTEN", "127.0.0.1:8090").rpartition(":")
web.run_app(bot.app(), host=host, port=int(port), access_log=None)
