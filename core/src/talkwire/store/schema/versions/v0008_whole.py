"""The whole of what came, where only what is new in it is a message's text."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; a database that was made today has it already."""
    if "original" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("message")}:
        op.add_column("message", sa.Column("original", sa.Text, nullable=False, server_default=""))
