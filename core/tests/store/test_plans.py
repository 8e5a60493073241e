"""How PostgreSQL finds rows while a new database fills."""

from __future__ import annotations

import re

import pytest

from talkwire.store import LOCK_WITHIN
from talkwire.store.postgres import PostgresDriver
from talkwire.store.schema.upgrade import upgrade

_FIND = """
    WITH v(account, kind, external_id) AS (VALUES :ids[3])
    SELECT m.id FROM v JOIN message m
      ON m.account = v.account AND m.kind = v.kind AND m.external_id = v.external_id
"""
_FILL = """
    INSERT INTO message (id, conversation_id, n, account, direction, external_id, envelope_id, at, stored_at, text)
    SELECT CAST(i AS TEXT), 'c', i, 'a', 'in', CAST(i AS TEXT), '', 0, 0, '' FROM generate_series(1, :count) i
"""
_PREPARED = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%JOIN message%' AND name LIKE '\\_pg3%'"


@pytest.mark.needs("postgres")
def test_what_was_planned_for_an_empty_table_is_planned_anew_once_it_is_full(postgres_url: str) -> None:
    upgrade(postgres_url)
    driver = PostgresDriver(postgres_url, lock_within=LOCK_WITHIN)
    ids = {"ids": [("a", "message", str(number)) for number in range(32)]}

    def asked(times: int) -> None:
        for _ in range(times):
            driver.begin()
            driver.execute(_FIND, ids)
            driver.commit()

    try:
        asked(12)  # the driver prepares it at the third time; five later the server keeps one plan for all values
        driver.execute(_FILL, {"count": 5000})
        asked(64)
        [(name,)] = driver.execute(_PREPARED, {})
        values = ", ".join(["'a', 'message', '1'"] * 32)
        plan = "\n".join(row[0] for row in driver.execute(f"EXPLAIN EXECUTE {name}({values})", {}))
    finally:
        driver.close()

    assert re.search(r"Index Cond: .*external_id = ", plan), plan
