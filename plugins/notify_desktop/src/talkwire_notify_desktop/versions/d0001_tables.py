"""Which surfaces there are, which browsers can be woken, and what is out on desktops."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "d0001", None, None, None


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    """Make the tables; times are microseconds since 1970-01-01 UTC. They hold ids, never what somebody wrote."""
    op.create_table(
        "desktop_surface",
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),  # as the surface says it; the same after each reconnect
        _text("socket"),  # the connection that it has now; empty: none
        _text("daemon"),  # that has the connection; empty: none
        _text("kind"),  # page | native
        _text("name"),
        sa.Column("able", sa.Integer, nullable=False),
        _text("why_not"),
        _time("seen_at"),
    )
    op.create_table(
        "desktop_subscription",  # a browser that a push service wakes
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False, unique=True),
        _text("p256dh"),
        _text("auth"),
        _text("name"),
        _time("seen_at"),
    )
    op.create_index("ix_desktop_subscription_recipient", "desktop_subscription", ["recipient"])
    op.create_table(
        "desktop_out",  # what was handed to desktops and not taken back
        sa.Column("notification", sa.Text, primary_key=True),
        sa.Column("recipient", sa.Text, nullable=False),
        _time("at"),
        sa.Column("shown", sa.Integer, nullable=False, server_default="0"),
        sa.Column("pushed", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_index("ix_desktop_out_recipient", "desktop_out", ["recipient"])
