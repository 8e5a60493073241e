"""What the core tells: every type of fact that is not a plugin's own."""

from __future__ import annotations

from collections.abc import Collection

from .nearest import nearest

FACTS = (  # each has a heading in docs/reference/facts.md; a test compares them with what is told
    "message.received",
    "message.changed",
    "message.repeated",
    "conversation.opened",
    "conversation.answer_changed",
    "envelope.unread",
    "address.changed",
    "contact.merged",
    "contact.forgotten",
    "attachment.stored",
    "attachment.failed",
    "reply.queued",
    "reply.refused",
    "reply.fell_back",
    "reply.resent",
    "delivery.changed",
    "delivery.failed",
    "delivery.settled",
    "report.unmatched",
    "action.failed",
    "session.opened",
    "session.disconnected",
    "session.handled",
    "session.ended",
    "window.closing",
    "window.closed",
    "account.starting",
    "account.working",
    "account.waiting",
    "account.broken",
    "account.paused",
    "account.absent",
    "account.flapping",
    "account.quiet",
    "account.notice",
    "account.withdrawn",
    "account.renamed",
    "account.forgotten",
    "notification.created",
    "notification.shown",
    "notification.answered",
    "notification.withdrawn",
    "notification.handed",
    "notification.suppressed",
    "notification.refused",
    "notification.seen",
    "notification.grouped",
    "notification.lapsed",
    "timer.due",
    "fact.parked",
    "reader.down",
    "reader.recovered",
    "reader.stopped",
    "reader.missed",
    "lane.dropped",
    "lane.stuck",
    "queue.old",
    "disk.low",
    "credential.expiring",
    "plugin.purged",
    "store.restored",
    "clock.set_back",
    "key.created",
    "key.revoked",
)


def no_such(name: str, plugins: Collection[str]) -> str:
    """Say why nobody tells facts of a type, with the nearest; empty: they are told.

    Of the own facts of `plugins` only the first half is known.
    """
    plugin, _, word = name.partition(".")
    if name in FACTS or (plugin in plugins and word):
        return ""
    near = nearest(name, FACTS) or "; a plugin's own is called plugin.word, and needs its plugin enabled"
    return f"no such fact{near}"
