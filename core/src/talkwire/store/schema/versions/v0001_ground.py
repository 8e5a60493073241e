"""The tables of the first release."""

from alembic import op

from talkwire.store.schema.first import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the one row of the log's head."""
    metadata.create_all(op.get_bind())
    op.execute("INSERT INTO log_head (id, seq) VALUES (1, 0)")
