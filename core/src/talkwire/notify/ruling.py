"""The `[[notify]]` rules: which facts become notifications, for whom, without any desk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..actions import Action, Notify
from ..clock import micros
from ..hooks import hook_of
from ..model import AccountState, Fact
from ..sections import Rule
from ..store import Query, Tx
from ..telling.standing import SCHEDULE
from . import notifying
from .templates import KNOWN, Templates, beginning

_TALK = """
    SELECT c.channel, c.subject, a.kind, a.value, a.name, p.name FROM conversation c
    JOIN address a ON a.id = c.address_id LEFT JOIN contact p ON p.id = a.contact_id
    WHERE c.id = :id
"""
_MESSAGE = "SELECT text, subject FROM message WHERE id = :id"
_SHOWS = """
    SELECT id FROM notification
    WHERE recipient = :recipient AND created_at > :since AND asker = :asker AND conversation = :conversation
    AND (conversation <> '' OR (account = :account AND kind = :kind)) AND withdrawn_at IS NULL AND seen_at IS NULL
    ORDER BY created_at DESC, id DESC LIMIT 1
"""
_BY_ACCOUNT = """
    SELECT id FROM notification
    WHERE asker = :asker AND account = :account AND kind IN (:kinds[]) AND withdrawn_at IS NULL ORDER BY id
"""
_OVER = {  # what an account becomes → the kinds of notifications that are true no more
    f"account.{AccountState.WORKING}": ("account.broken", "account.waiting"),
    f"account.{AccountState.PAUSED}": ("account.broken", "account.waiting"),
}
_REASONS = ("reason", "text", "error", "code")  # small values of facts that say why, the fullest first
_NAMED = ("phone", "email")  # kinds of addresses that name somebody to a person
_SOMEBODY = {"en": "Somebody", "id": "Seseorang"}


class RuleReader:
    """One `[[notify]]` rule, told facts like a plugin; all it does is done inside the transaction."""

    def __init__(self, number: int, rule: Rule, templates: Templates) -> None:
        self.name = name_of(number)
        self.schedule = SCHEDULE
        self.need = timedelta()
        self._rule = rule
        self._templates = templates

    def wants(self, fact_type: str) -> bool:
        """Say whether the rule names such facts, or what they end."""
        return any(name in self._rule.on for name in (fact_type, *_OVER.get(fact_type, ())))

    def hears_of(self, account: str) -> bool:
        """Say whether the rule is about an account."""
        return not self._rule.accounts or account in self._rule.accounts

    def hook_of(self, fact_type: str) -> str:
        """Name what a plugin would hear it by."""
        return hook_of(fact_type)

    def in_tx(self, hook_name: str) -> bool:
        """Say that it works inside the transaction."""
        return True

    def outside(self, hook_name: str) -> bool:
        """Say that it has nothing to do outside."""
        return False

    async def call_async(self, hook_name: str, kwargs: Mapping[str, Any]) -> list[Action]:
        """Do nothing."""
        return []

    def call_tx(self, hook_name: str, kwargs: Mapping[str, Any], tx: Tx) -> list[Action]:
        """Make the rule's notifications for one fact, let it join what shows already, or take back what is over."""
        fact: Fact = kwargs["fact"]
        rule, templates = self._rule, self._templates
        if kinds := _OVER.get(fact.type):
            about = {"asker": self.name, "account": fact.account, "kinds": kinds}
            notifying.take_back(tx, [row[0] for row in tx.execute(_BY_ACCOUNT, about)])
            if fact.type not in rule.on:
                return []
        for recipient in rule.to:
            if rule.once and (shown := self._shown(tx, recipient, fact)):
                notifying.join(tx, shown, fact.seq)
                continue
            language = notifying.language_of(tx, recipient, templates)
            asked = Notify(
                recipient=recipient,
                kind=fact.type,
                conversation=fact.conversation,
                account=fact.account,
                template=rule.template if rule.template in templates.files else "",
                values=_values(tx, fact, language),
            )
            notifying.notify(
                tx,
                self.name,
                asked,
                str(fact.seq),
                templates,
                template=templates.of_kind(fact.type, language),
                media=rule.media,
                after=rule.after,
                seq=fact.seq,
            )
        return []

    def _shown(self, tx: Tx, recipient: str, fact: Fact) -> str:
        """Give what a recipient is shown of the same by this rule, and has not read; empty: nothing."""
        about = {"conversation": fact.conversation, "account": fact.account, "kind": fact.type}
        since = micros(tx.now - self._rule.once)
        row = tx.one(_SHOWS, {"recipient": recipient, "asker": self.name, "since": since, **about})
        return row[0] if row else ""


def name_of(number: int) -> str:
    """Name a rule by its place in the file, from 0."""
    return f"rule:{number}"


def _values(tx: Query, fact: Fact, language: str) -> dict[str, str]:
    """Give what a rule's template may name: `templates.KNOWN`."""
    small = fact.small
    values = {
        **dict.fromkeys(KNOWN, ""),
        **{name: str(value) for name, value in small.items() if value is not None},
        "account": fact.account,
        "kind": fact.type,
        "reason": str(next((small[name] for name in _REASONS if small.get(name)), "")),
        "text": "",
    }
    if fact.conversation and (talk := tx.one(_TALK, {"id": fact.conversation})):
        channel, subject, kind, value, name, contact = talk
        known = value if kind in _NAMED else ""
        somebody = _SOMEBODY.get(language[:2], _SOMEBODY["en"])
        values |= {"channel": channel, "subject": subject, "address": known}
        values["contact"] = contact or name or known or somebody
    if (message := fact.ids.get("message")) and (said := tx.one(_MESSAGE, {"id": message})):
        values |= {"text": beginning(said[0]), "subject": said[1] or values["subject"]}
    return values
