"""A daemon that is to meet faults: `python -m tests.faults.shop FOLDER`; FOLDER holds its talkwire.toml.

It says where it listens in one line on its standard output: its public URL, and its admin URL.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import structlog
from pydantic import SecretBytes

import talkwire_smsgate
from talkwire import Message, Reply, draft, hookimpl
from talkwire.daemon import Daemon
from talkwire.serving import Bound, serve
from talkwire.settings import RawConfig, load_raw
from talkwire.store import Tx


class Echo:
    """Answers in the transaction that moves its cursor: exactly once."""

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Tx) -> Reply | None:
        if message.text.startswith("quiet"):
            return None
        return Reply(conversation=message.conversation, draft=draft(f"echo of {message.external_id}"))


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    file = Path(sys.argv[1]) / "talkwire.toml"
    loaded = load_raw(
        RawConfig(file.read_text(), file, os.environ), extra={"smsgate": talkwire_smsgate, "echo": Echo()}
    )
    daemon = Daemon(loaded.config, loaded.plugins, keys=[SecretBytes(b"k" * 32)])
    asyncio.run(serve(daemon, started=_say))


def _say(bound: Bound) -> None:
    sys.stdout.write(f"{bound.public} {bound.admin}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
