"""Where what machines of ours said is counted, and where messages are that name others than whose talk it is."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ADDED = {
    "ix_message_automatic": (["conversation_id", "stored_at"], "automatic = 1 AND direction = 'out'"),
    "ix_message_named": (["id"], "cc <> '' OR bcc <> '' OR answer_at <> ''"),
}


def upgrade() -> None:
    """Add the indexes; a database that was made today has them already."""
    there = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("message")}
    for name, (columns, where) in _ADDED.items():
        if name not in there:
            only = sa.text(where)
            op.create_index(name, "message", columns, sqlite_where=only, postgresql_where=only)
