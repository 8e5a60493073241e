"""The table of notes."""

import sqlalchemy as sa
from alembic import op

revision = "e0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; its name begins with the plugin's."""
    op.create_table(
        "everything_note",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("hook", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
