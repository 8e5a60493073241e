"""What a report says of the conversation beside its part, for those that come before the part's receipt."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; a database that was made today has it already."""
    if "refusal" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("report")}:
        op.add_column("report", sa.Column("refusal", sa.Integer, nullable=False, server_default="0"))
