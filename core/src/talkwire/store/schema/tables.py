"""The tables. In this order rows are touched in a transaction, but for the last three.

Times are BIGINT microseconds since 1970-01-01 UTC. Ids that leave the process are UUIDv7 as text,
serial ids order things inside. JSON is text: no query looks into it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, **options: object) -> Column[str]:
    options.setdefault("server_default", "")
    return Column(name, Text, nullable=False, **options)  # type: ignore[arg-type]


def _id(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _time(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _count(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=str(default))


# On SQLite a key that is exactly INTEGER is the row's own number and needs no index.
_WHOLE = BigInteger().with_variant(Integer, "sqlite")
# A table without row numbers is stored in the order of its key: one tree to write instead of two.
_BY_KEY: Any = {"sqlite_with_rowid": False}


def _serial(name: str = "id") -> Column[int]:
    return Column(name, _WHOLE, primary_key=True, autoincrement=True)


idempotency = Table(  # before everything else: it decides whether anything is done
    "idempotency",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    _text("hash"),
    _text("result"),
    _time("at"),
    Index("ix_idempotency_at", "at"),
)
envelope = Table(
    "envelope",
    metadata,
    Column("id", Text, primary_key=True),
    _text("account"),
    _text("endpoint"),
    _text("method"),
    _text("path"),
    _text("headers"),  # JSON object of the kept ones
    _text("query"),  # JSON list of pairs, without secret ones
    Column("body", LargeBinary, nullable=False),
    _text("body_ref"),  # sha256 where the body lies with the files
    _text("remote"),
    _time("received_at"),
    _count("items"),
    _text("unread"),  # JSON list of [position, reason]; empty: all was understood
    _time("replayed_at", null=True),
    Index(  # by age they are found by their ids, which begin with the time
        "ix_envelope_unread",
        "received_at",
        sqlite_where=text("unread <> ''"),
        postgresql_where=text("unread <> ''"),
    ),
    Index(  # which files are still needed
        "ix_envelope_body_ref",
        "body_ref",
        sqlite_where=text("body_ref <> ''"),
        postgresql_where=text("body_ref <> ''"),
    ),
)
account_state = Table(
    "account_state",
    metadata,
    Column("account", Text, primary_key=True),
    _text("channel"),
    _text("state"),
    _text("reason"),
    _time("since"),
    _text("cursor"),
    _time("last_in_at", null=True),
    _time("last_out_at", null=True),
    _time("last_poll_at", null=True),
)
keep = Table(
    "keep",
    metadata,
    Column("account", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _text("value"),
    _count("sealed"),
)
contact = Table(
    "contact",
    metadata,
    Column("id", Text, primary_key=True),
    _text("name"),
    _time("created_at"),
)
address = Table(
    "address",
    metadata,
    Column("id", Text, primary_key=True),
    _id("kind"),
    _text("scope"),
    _id("value"),
    _id("contact_id"),
    _text("name"),
    _time("created_at"),
    sa.UniqueConstraint("kind", "scope", "value"),
    Index("ix_address_contact_id", "contact_id"),
    **_BY_KEY,
)
alias = Table(
    "alias",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    _id("address_id"),
    Column("created_at", BigInteger, nullable=False, server_default="0"),  # 0: before that was kept
    Index("ix_alias_address_id", "address_id"),
    **_BY_KEY,
)
conversation = Table(
    "conversation",
    metadata,
    Column("id", Text, primary_key=True),
    _id("account"),
    _text("channel"),
    _id("address_id"),
    _text("thread"),
    _id("contact_id"),
    _count("last_n"),
    _time("last_at", null=True),
    _time("last_inbound_at", null=True),
    _text("last_inbound"),  # external id
    _text("last_text"),
    _text("subject"),  # of the newest message that has one
    _text("session", server_default="none"),
    _time("session_at", null=True),
    _text("session_reason"),
    _time("session_since", null=True),  # when it opened; a reconnect leaves it
    _count("handled"),  # 1: somebody replied since it opened
    _time("reply_until", null=True),
    _count("window_told"),  # 1: closing was told, 2: closed was told; 0 again with a new window
    _time("unreachable_at", null=True),
    _time("blocked_at", null=True),
    _text("answer_code"),  # what was told last; empty: allowed
    _text("continues"),  # the conversation that went on here; empty: none
    _time("created_at"),
    sa.UniqueConstraint("account", "address_id", "thread"),
    Index("ix_conversation_last_at", "last_at"),
    Index(
        "ix_conversation_continues",
        "continues",
        sqlite_where=text("continues <> ''"),
        postgresql_where=text("continues <> ''"),
    ),
    Index("ix_conversation_address_id", "address_id"),
    Index(  # who waits longest comes first
        "ix_conversation_live",
        "handled",
        "session_since",
        "id",
        sqlite_where=text("session IN ('connected', 'disconnected')"),
        postgresql_where=text("session IN ('connected', 'disconnected')"),
    ),
    Index(
        "ix_conversation_ended",
        "last_at",
        "id",
        sqlite_where=text("session = 'ended'"),
        postgresql_where=text("session = 'ended'"),
    ),
    Index(
        "ix_conversation_reply_until",
        "reply_until",
        sqlite_where=text("window_told < 2"),
        postgresql_where=text("window_told < 2"),
    ),
    **_BY_KEY,
)
message = Table(
    "message",
    metadata,
    Column("id", Text, primary_key=True),
    _id("conversation_id"),
    _count("n"),
    _id("account"),
    _text("direction"),
    _text("kind", server_default="message"),
    Column("external_id", Text, nullable=True),
    _text("envelope_id"),
    _time("at"),
    _time("stored_at"),
    _text("text"),
    _text("blocks", server_default="[]"),
    _text("author"),
    _text("reply_to"),
    _text("grp"),
    _text("subject"),
    _text("notice"),  # slot; empty: a message
    _text("policy"),
    _text("degradations", server_default="[]"),
    _count("automatic"),  # 1: a machine wrote it, theirs or ours
    _text("known_as"),  # name by which later messages mean this one, where that is not the external id
    _text("cc"),  # JSON list; empty: nobody
    _text("bcc"),  # JSON list; empty: nobody
    _text("answer_at"),  # where answers go; empty: to the conversation's address
    _text("original"),  # JSON list of what fills the blocks `original`: read with one message, never with many
    sa.UniqueConstraint("account", "kind", "external_id"),
    sa.UniqueConstraint("conversation_id", "n"),
    Index(
        "ix_message_known_as",
        "account",
        "known_as",
        sqlite_where=text("known_as <> ''"),
        postgresql_where=text("known_as <> ''"),
    ),
    Index(  # how much a machine of ours said lately
        "ix_message_automatic",
        "conversation_id",
        "stored_at",
        sqlite_where=text("automatic = 1 AND direction = 'out'"),
        postgresql_where=text("automatic = 1 AND direction = 'out'"),
    ),
    Index(  # where somebody stands whose talk it is not
        "ix_message_named",
        "id",
        sqlite_where=text("cc <> '' OR bcc <> '' OR answer_at <> ''"),
        postgresql_where=text("cc <> '' OR bcc <> '' OR answer_at <> ''"),
    ),
    **_BY_KEY,
)
change = Table(
    "change",
    metadata,
    _serial(),  # those of one message are read in this order where their times are equal
    _id("account"),
    _id("change_id"),
    _id("external_id"),
    _text("message_id"),  # empty: the message is not here (yet)
    _text("kind"),
    _text("text"),
    _text("blocks", server_default="[]"),
    _text("by_address"),
    _time("at"),
    _time("stored_at"),
    _text("envelope_id"),
    sa.UniqueConstraint("account", "change_id"),
    Index("ix_change_message_id", "message_id"),
    Index("ix_change_external_id", "account", "external_id"),
)
delivery = Table(
    "delivery",
    metadata,
    Column("id", Text, primary_key=True),
    _id("message_id"),
    _id("conversation_id"),
    _id("account"),
    _count("position"),
    _text("recipient"),
    _count("generation"),
    _text("part"),
    _text("text"),
    Column("external_id", Text, nullable=True),
    _count("state"),
    _time("state_at"),
    _text("problem_code"),
    _text("problem_text"),
    _time("problem_at", null=True),
    _text("reason"),
    _count("attempts"),
    _time("open_since", null=True),
    _count("open_wakes"),
    _count("as_plain"),
    sa.UniqueConstraint("message_id", "position", "recipient", "generation"),
    Index(
        "ix_delivery_external_id",
        "account",
        "external_id",
        sqlite_where=text("external_id IS NOT NULL"),
        postgresql_where=text("external_id IS NOT NULL"),
    ),
    Index(
        "ix_delivery_trouble",
        "state",
        "state_at",
        sqlite_where=text("state IN (5, 25)"),
        postgresql_where=text("state IN (5, 25)"),
    ),
    Index(
        "ix_delivery_held",
        "conversation_id",
        sqlite_where=text("state = 0"),
        postgresql_where=text("state = 0"),
    ),
)
report = Table(
    "report",
    metadata,
    _serial(),
    _id("account"),
    _text("external_id"),
    _text("key"),
    _count("state"),
    _time("at"),
    _time("stored_at"),
    _text("code"),
    _text("reason"),
    _text("recipient"),
    _text("envelope_id"),
    _count("refusal"),  # 1: the window has closed; 2: nobody is reached at the address
    Column("delivery_id", Text, nullable=True),
    Index("ix_report_delivery_id", "delivery_id"),
    Index(
        "ix_report_unmatched",
        "account",
        "external_id",
        sqlite_where=text("delivery_id IS NULL"),
        postgresql_where=text("delivery_id IS NULL"),
    ),
)
attachment = Table(
    "attachment",
    metadata,
    Column("id", Text, primary_key=True),
    _text("account"),
    _text("message_id"),  # empty: no message has used it; *: several of ours have, or it is from before that was kept
    _text("sha256"),
    _text("name"),
    _text("media_type"),
    _count("size"),
    _text("cls"),
    _text("handle"),
    _text("error"),
    _time("created_at"),
    Index("ix_attachment_message_id", "message_id"),
    Index("ix_attachment_sha256", "sha256"),
)
attachment_chunk = Table(
    "attachment_chunk",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("bytes", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False, server_default="0"),  # when somebody put it here last
)
reader = Table(
    "reader",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cursor", BigInteger, nullable=False),
    _text("state", server_default="active"),
    _text("last_error"),
    _time("error_at", null=True),
    _time("moved_at"),
    _time("down_since", null=True),  # null: it takes what it is told
    _count("down_told"),  # 1: the outage is in the log
    _time("up_since", null=True),  # of an outage in the log: since when it takes again; null: not yet
)
parked = Table(
    "parked",
    metadata,
    Column("reader", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    _text("conversation"),
    _text("account"),
    _text("error"),
    _time("at"),
    Index("ix_parked_conversation", "reader", "conversation"),
)
lane = Table(
    "lane",
    metadata,
    _serial(),
    _id("grp"),
    _id("subject"),
    _time("due", null=True),  # null: nothing to do, or held
    _count("attempts"),
    _text("held"),
    _count("wakes"),
    _text("last_error"),
    _time("failing_since", null=True),
    sa.UniqueConstraint("grp", "subject"),
    Index("ix_lane_due", "grp", "due"),
)
task = Table(
    "task",
    metadata,
    _serial(),
    Column("lane_id", BigInteger, nullable=False),
    _text("kind"),
    _text("ref"),
    _text("body"),
    _time("created_at"),
    Index("ix_task_lane_id", "lane_id", "id"),
    Index("ix_task_ref", "ref"),
)
lease = Table(  # a transaction that needs one takes its share before it touches anything else
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    _text("owner"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    _time("until"),
)
timer = Table(
    "timer",
    metadata,
    Column("plugin", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    _time("due"),
    _text("subject"),
    Index("ix_timer_due", "due"),
)
exchange = Table(
    "exchange",
    metadata,
    _serial(),
    _text("account"),
    _text("delivery_id"),
    _time("at"),
    _text("what"),
    _text("request"),
    _text("answer"),
    _count("milliseconds"),
    Index("ix_exchange_delivery_id", "delivery_id"),
    Index("ix_exchange_at", "at"),
)
recipient = Table(
    "recipient",
    metadata,
    Column("name", Text, primary_key=True),
    _text("email"),
    _text("media", server_default="[]"),
    _text("language"),
    _text("quiet"),  # 22:00-07:00
    _text("time_zone"),
)
surface = Table(
    "surface",
    metadata,
    Column("id", Text, primary_key=True),
    _id("recipient"),
    _text("kind"),
    _text("state"),
    _time("seen_at"),
    Index("ix_surface_recipient", "recipient"),
)
session = Table(
    "session",
    metadata,
    Column("id", Text, primary_key=True),  # SHA-256 of the cookie's value
    _id("principal"),
    _text("scopes"),
    _time("created_at"),
    _time("expires_at"),
)
api_key = Table(
    "api_key",
    metadata,
    Column("id", Text, primary_key=True),
    _id("name"),
    _id("hash"),
    _text("scopes"),
    _time("created_at"),
    _time("revoked_at", null=True),
    sa.UniqueConstraint("hash"),
)
notification = Table(
    "notification",
    metadata,
    Column("id", Text, primary_key=True),
    _id("recipient"),
    _id("asker"),
    _id("key"),
    _text("kind"),
    _text("title"),
    _text("text"),
    _text("actions", server_default="[]"),
    _text("conversation"),
    _time("created_at"),
    _text("answered_by"),
    _text("answer"),
    _time("answered_at", null=True),
    _time("withdrawn_at", null=True),
    _text("style", server_default="toast"),
    _text("details", server_default="[]"),
    _text("on_desktop", server_default="background"),
    _time("lapses_at", null=True),
    _count("shows_lapse", 1),  # 1: pages may count it down
    _text("account"),
    _time("seen_at", null=True),
    _text("ended"),  # answered, withdrawn, lapsed; empty: open
    _text("does", server_default="{}"),  # id of an action → what it brings about beside an answer
    sa.UniqueConstraint("asker", "key", "recipient"),
    Index("ix_notification_recipient", "recipient", "created_at"),
    Index(
        "ix_notification_conversation",
        "conversation",
        "created_at",
        sqlite_where=text("conversation <> ''"),
        postgresql_where=text("conversation <> ''"),
    ),
    Index(
        "ix_notification_account",
        "account",
        "kind",
        sqlite_where=text("withdrawn_at IS NULL"),
        postgresql_where=text("withdrawn_at IS NULL"),
    ),
    Index(
        "ix_notification_lapses_at",
        "lapses_at",
        sqlite_where=text("withdrawn_at IS NULL AND lapses_at IS NOT NULL"),
        postgresql_where=text("withdrawn_at IS NULL AND lapses_at IS NOT NULL"),
    ),
)
notification_medium = Table(
    "notification_medium",
    metadata,
    Column("notification_id", Text, primary_key=True),
    Column("medium", Text, primary_key=True),
    _text("decision"),  # handed | shown | suppressed | refused | waiting
    _text("reason"),
    _time("at"),
    _text("lane"),  # subject of the lane in which it is served; empty: the notification's id
)
notification_event = Table(  # the facts that one notification stands for
    "notification_event",
    metadata,
    Column("notification_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    _time("at"),
    _count("joined"),  # 1: it shows nothing of its own
    Index("ix_notification_event_seq", "seq"),
)
preference = Table(  # what a recipient wants, beside what the settings say
    "preference",
    metadata,
    Column("recipient", Text, primary_key=True),
    _text("wants", server_default="{}"),
    _time("changed_at"),
)
audit = Table(  # who did what; never what somebody wrote
    "audit",
    metadata,
    _serial(),
    _time("at"),
    _text("who"),
    _text("what"),
    _text("ids", server_default="{}"),
    _text("outcome"),
)
meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    _text("value"),
)
log_head = Table(  # after everything else: its row is the one that all writers meet at
    "log_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
fact = Table(
    "fact",
    metadata,
    Column("seq", _WHOLE, primary_key=True, autoincrement=False),
    _id("type"),
    _time("at"),
    _text("account"),
    _text("conversation"),
    _text("ids", server_default="{}"),
    _text("small", server_default="{}"),
    Index(  # the commonest fact stands beside a message row that tells the same: it costs no entry
        "ix_fact_conversation",
        "conversation",
        "seq",
        sqlite_where=text("type <> 'message.received'"),
        postgresql_where=text("type <> 'message.received'"),
    ),
)
