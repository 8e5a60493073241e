"""What mail needs to be known of messages, what machines said, and where a talk went on."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, tuple[sa.Column[Any], ...]] = {
    "alias": (sa.Column("created_at", sa.BigInteger, nullable=False, server_default="0"),),
    "conversation": (
        sa.Column("continues", sa.Text, nullable=False, server_default=""),
        sa.Column("subject", sa.Text, nullable=False, server_default=""),
    ),
    "message": (
        sa.Column("automatic", sa.Integer, nullable=False, server_default="0"),
        sa.Column("known_as", sa.Text, nullable=False, server_default=""),
        sa.Column("cc", sa.Text, nullable=False, server_default=""),
        sa.Column("bcc", sa.Text, nullable=False, server_default=""),
        sa.Column("answer_at", sa.Text, nullable=False, server_default=""),
        sa.Column("original", sa.Text, nullable=False, server_default=""),
    ),
}
_INDEXES = (
    ("ix_conversation_continues", "conversation", ["continues"], "continues <> ''"),
    ("ix_message_known_as", "message", ["account", "known_as"], "known_as <> ''"),
    ("ix_message_automatic", "message", ["conversation_id", "stored_at"], "automatic = 1 AND direction = 'out'"),
    ("ix_message_named", "message", ["id"], "cc <> '' OR bcc <> '' OR answer_at <> ''"),
)


def upgrade() -> None:
    """Add columns and indexes; a database that was made today has them already."""
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
