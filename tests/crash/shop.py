"""A daemon that can be killed: `python -m tests.crash.shop FOLDER`; FOLDER holds its talkwire.toml.

It says where it listens in one line on its standard output.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretBytes

from talkwire import hookimpl
from talkwire.actions import Reply
from talkwire.daemon import Daemon
from talkwire.model import Message, draft
from talkwire.serving import Bound, serve
from talkwire.settings import RawConfig, load_raw
from talkwire.store import Tx
from tests.mutants.acme import AcmeChannel

# Leases are short here, so that a hundred daemons can die in a few minutes.
TERM = timedelta(seconds=2)
SEND_TIMEOUT = timedelta(seconds=1)


class Acme(AcmeChannel):
    features = replace(AcmeChannel.features, reaches=frozenset({"phone"}), send_timeout=SEND_TIMEOUT)


class Shop:
    @hookimpl
    def register_channels(self) -> list[type[Any]]:
        return [Acme]


def _echo(message: Message) -> Reply:
    return Reply(conversation=message.conversation, draft=draft(f"echo of {message.external_id}"))


class EchoInside:
    """Answers in the transaction that moves its cursor: exactly once."""

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Tx) -> Reply | None:
        return _echo(message) if message.text.startswith("inside") else None


class EchoOutside:
    """Answers from a thread: called at least once, heard exactly once."""

    @hookimpl
    def on_inbound_message(self, message: Message) -> Reply | None:
        return _echo(message) if message.text.startswith("outside") else None


PLUGINS = {"acme": Shop(), "echo_inside": EchoInside(), "echo_outside": EchoOutside()}


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    file = Path(sys.argv[1]) / "talkwire.toml"
    loaded = load_raw(RawConfig(file.read_text(), file, os.environ), extra=PLUGINS)
    daemon = Daemon(loaded.config, loaded.plugins, keys=[SecretBytes(b"k" * 32)], lease_term=TERM)
    asyncio.run(serve(daemon, started=_say))


def _say(bound: Bound) -> None:
    sys.stdout.write(bound.public + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
