"""Plugins that the bench tells: one counts inside the transaction, one answers."""

from __future__ import annotations

from talkwire import Message, Reply, Tx, draft, hookimpl


class Counting:
    """Writes one row for each message, in the transaction that moves its cursor."""

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Tx) -> None:
        """Count a message."""
        tx.execute(
            "INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING",
            {"name": f"bench:{message.id}", "value": str(message.n)},
        )


class Answering:
    """Answers each message."""

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Tx) -> Reply:
        """Answer a message."""
        return Reply(conversation=message.conversation, draft=draft("Thank you, we will look at it."))
