"""Since when a reader of the log is away."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is known of outages; a database that was made today has it already."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("reader")}
    for column in (
        sa.Column("down_since", sa.BigInteger, nullable=True),
        sa.Column("down_told", sa.Integer, nullable=False, server_default="0"),
        sa.Column("up_since", sa.BigInteger, nullable=True),
    ):
        if column.name not in there:
            op.add_column("reader", column)
