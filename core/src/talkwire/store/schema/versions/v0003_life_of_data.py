"""What tells which files are still needed, when they came, and which envelope brought a change."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BODY_REF = sa.text("body_ref <> ''")


def upgrade() -> None:
    """Add what is missing: a database that is new has it already, for its tables are made as they are today."""
    _add("attachment_chunk", sa.Column("at", sa.BigInteger, nullable=False, server_default="0"))
    _add("change", sa.Column("envelope_id", sa.Text, nullable=False, server_default=""))
    op.create_index("ix_attachment_sha256", "attachment", ["sha256"], if_not_exists=True)
    op.create_index(
        "ix_envelope_body_ref",
        "envelope",
        ["body_ref"],
        if_not_exists=True,
        sqlite_where=_BODY_REF,
        postgresql_where=_BODY_REF,
    )
    # Which of them replies have used was not kept until now: all of them stay.
    op.execute("UPDATE attachment SET message_id = '*' WHERE message_id = ''")


def _add(table: str, column: sa.Column[Any]) -> None:
    if column.name not in {one["name"] for one in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
