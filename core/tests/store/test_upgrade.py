"""An older database becomes one of today, with what is in it."""

from __future__ import annotations

import sqlalchemy as sa

from talkwire.store.revisions import CORE
from talkwire.store.schema.upgrade import _sqlalchemy_url, upgrade

AS_BEFORE = (
    "INSERT INTO attachment (id, created_at) VALUES ('a', 1)",
    "INSERT INTO attachment_chunk (sha256, n, bytes) VALUES ('ab', 0, '')",
    """INSERT INTO change (account, change_id, external_id, at, stored_at) VALUES ('shop', 'c', 'm', 1, 1)""",
)


def test_what_is_there_stays_and_files_of_before_are_taken_for_used(empty_url):
    upgrade(empty_url, [CORE], to={"core": "0002"})
    engine = sa.create_engine(_sqlalchemy_url(empty_url))
    with engine.begin() as connection:
        for statement in AS_BEFORE:
            connection.exec_driver_sql(statement)
    engine.dispose()  # an upgrade wants the file for itself
    upgrade(empty_url)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT message_id FROM attachment").all() == [("*",)]
        assert connection.exec_driver_sql("SELECT at FROM attachment_chunk").all() == [(0,)]
        assert connection.exec_driver_sql("SELECT envelope_id FROM change").all() == [("",)]
    indexes = {one["name"] for table in ("attachment", "envelope") for one in sa.inspect(engine).get_indexes(table)}
    assert {"ix_attachment_sha256", "ix_envelope_body_ref"} <= indexes
    engine.dispose()
