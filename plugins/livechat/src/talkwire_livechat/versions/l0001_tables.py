"""Who is connected, who was asked and told what, whose a file is."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "l0001", None, None, None


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _of_visitor(*, key: bool = False) -> tuple[sa.Column[Any], sa.Column[Any]]:
    return (
        sa.Column("account", sa.Text, primary_key=key, nullable=False),
        sa.Column("visitor", sa.Text, primary_key=key, nullable=False),
    )


def upgrade() -> None:
    """Make the tables; times are microseconds since 1970-01-01 UTC."""
    op.create_table(
        "livechat_connection",  # one open socket; gone with it, or when its daemon is found dead
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("daemon", sa.Text, nullable=False),
        *_of_visitor(),
    )
    op.create_index("ix_livechat_connection_visitor", "livechat_connection", ["account", "visitor"])
    op.create_table(
        "livechat_visitor",
        *_of_visitor(key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
        _text("name"),
        sa.Column("formed", sa.Integer, nullable=False, server_default="0"),
        _text("notice"),  # version that was shown last
        _text("consent"),  # version that was answered last
        sa.Column("accepted", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "livechat_consent",  # every answer, for ever
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        *_of_visitor(),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("accepted", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        _text("remote"),
    )
    op.create_index("ix_livechat_consent_visitor", "livechat_consent", ["account", "visitor"])
    op.create_table(
        "livechat_text",  # what people agreed to, or were told
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),  # consent | notice
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "livechat_upload",
        sa.Column("attachment", sa.Text, primary_key=True),
        *_of_visitor(),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
