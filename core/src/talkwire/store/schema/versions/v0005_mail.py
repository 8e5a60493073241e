"""What mail needs to be known of messages, and of conversations that went on elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ADDED = {
    "conversation": (sa.Column("continues", sa.Text, nullable=False, server_default=""),),
    "message": (
        sa.Column("automatic", sa.Integer, nullable=False, server_default="0"),
        sa.Column("known_as", sa.Text, nullable=False, server_default=""),
        sa.Column("cc", sa.Text, nullable=False, server_default=""),
        sa.Column("bcc", sa.Text, nullable=False, server_default=""),
        sa.Column("answer_at", sa.Text, nullable=False, server_default=""),
    ),
}


def upgrade() -> None:
    """Add the columns; a database that was made today has them already."""
    look = sa.inspect(op.get_bind())
    for table, columns in _ADDED.items():
        there = {column["name"] for column in look.get_columns(table)}
        for column in columns:
            if column.name not in there:
                op.add_column(table, column)
    if "ix_message_known_as" not in {index["name"] for index in look.get_indexes("message")}:
        op.create_index(
            "ix_message_known_as",
            "message",
            ["account", "known_as"],
            sqlite_where=sa.text("known_as <> ''"),
            postgresql_where=sa.text("known_as <> ''"),
        )
