"""What notifications need: how they ask for attention, until when, who read them, and what each event became."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, tuple[sa.Column[Any], ...]] = {
    "recipient": (
        sa.Column("language", sa.Text, nullable=False, server_default=""),
        sa.Column("quiet", sa.Text, nullable=False, server_default=""),
        sa.Column("time_zone", sa.Text, nullable=False, server_default=""),
    ),
    "notification": (
        sa.Column("style", sa.Text, nullable=False, server_default="toast"),
        sa.Column("details", sa.Text, nullable=False, server_default="[]"),
        sa.Column("on_desktop", sa.Text, nullable=False, server_default="background"),
        sa.Column("lapses_at", sa.BigInteger, nullable=True),
        sa.Column("shows_lapse", sa.Integer, nullable=False, server_default="1"),
        sa.Column("account", sa.Text, nullable=False, server_default=""),
        sa.Column("seen_at", sa.BigInteger, nullable=True),
        sa.Column("ended", sa.Text, nullable=False, server_default=""),
        sa.Column("does", sa.Text, nullable=False, server_default="{}"),
    ),
    "notification_medium": (sa.Column("lane", sa.Text, nullable=False, server_default=""),),
}
_INDEXES = (
    ("ix_notification_conversation", "notification", ["conversation", "created_at"], "conversation <> ''"),
    ("ix_notification_lapses_at", "notification", ["lapses_at"], "withdrawn_at IS NULL AND lapses_at IS NOT NULL"),
    ("ix_notification_account", "notification", ["account", "kind"], "withdrawn_at IS NULL"),
)
_TABLES = {
    "notification_event": (  # the facts that one notification stands for
        sa.Column("notification_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("joined", sa.Integer, nullable=False, server_default="0"),
    ),
    "preference": (  # what a recipient wants, beside what the settings say
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("wants", sa.Text, nullable=False, server_default="{}"),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    ),
}


def upgrade() -> None:
    """Add columns, indexes and tables; a database that was made today has them already."""
    look = sa.inspect(op.get_bind())
    for table, columns in _COLUMNS.items():
        there = {column["name"] for column in look.get_columns(table)}
        for column in columns:
            if column.name not in there:
                op.add_column(table, column)
    for name, table, indexed, where in _INDEXES:
        if name not in {index["name"] for index in look.get_indexes(table)}:
            only = sa.text(where)
            op.create_index(name, table, indexed, sqlite_where=only, postgresql_where=only)
    names = set(look.get_table_names())
    for table, columns in _TABLES.items():
        if table not in names:
            op.create_table(table, *columns)
    if "ix_notification_event_seq" not in {
        index["name"] for index in sa.inspect(op.get_bind()).get_indexes("notification_event")
    }:
        op.create_index("ix_notification_event_seq", "notification_event", ["seq"])
