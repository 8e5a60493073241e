"""The table of administrative acts."""

from alembic import op

from talkwire.store.schema.tables import audit

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, where 0001 has not made it with the others."""
    audit.create(op.get_bind(), checkfirst=True)
