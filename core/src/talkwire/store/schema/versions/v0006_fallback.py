"""Where a talk went on, found from both ends, and since when somebody is known by another address."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index and the column; a database that was made today has them already."""
    look = sa.inspect(op.get_bind())
    if "ix_conversation_continues" not in {index["name"] for index in look.get_indexes("conversation")}:
        op.create_index(
            "ix_conversation_continues",
            "conversation",
            ["continues"],
            sqlite_where=sa.text("continues <> ''"),
            postgresql_where=sa.text("continues <> ''"),
        )
    if "created_at" not in {column["name"] for column in look.get_columns("alias")}:
        op.add_column("alias", sa.Column("created_at", sa.BigInteger, nullable=False, server_default="0"))
