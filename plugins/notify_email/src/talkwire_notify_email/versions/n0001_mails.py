"""What was sent to whom, which links lie in it, and which addresses do not work."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "ne0001", None, None, None


def upgrade() -> None:
    """Make the tables; times are microseconds since 1970-01-01 UTC."""
    op.create_table(
        "notify_email_mail",  # one notification in one mail
        sa.Column("notification", sa.Text, primary_key=True),
        sa.Column("mail", sa.Text, nullable=False),  # the left half of its Message-ID
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("begun", sa.Integer, nullable=False, server_default="1"),  # how often its bytes began to leave
        sa.Column("is_taken", sa.Integer, nullable=False, server_default="0"),  # a server said that it has it
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_notify_email_mail_mail", "notify_email_mail", ["mail"])
    op.create_index("ix_notify_email_mail_at", "notify_email_mail", ["at"])
    op.create_table(
        "notify_email_link",
        sa.Column("hash", sa.Text, primary_key=True),  # SHA-256 of what stands in the mail
        sa.Column("kind", sa.Text, nullable=False),  # answer | off
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("notification", sa.Text, nullable=False, server_default=""),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_notify_email_link_until", "notify_email_link", ["until"])
    op.create_table(
        "notify_email_address",  # that mail came back from
        sa.Column("address", sa.Text, primary_key=True),  # in small letters
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
