"""The real parts that every test gets: a database of its own, a browser that stays here."""

import pytest


def test_a_database_is_fresh_for_each_test_and_durable(postgres_url):
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relname = 'left_over'").fetchone() == (0,)
        connection.execute("CREATE TABLE left_over (n int)")


def test_a_second_database_knows_nothing_of_the_first(postgres_url):
    test_a_database_is_fresh_for_each_test_and_durable(postgres_url)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_browser_runs_scripts_and_stays_here(page):
    await page.set_content("<p id=a></p><script>document.getElementById('a').textContent = 1 + 1</script>")
    assert await page.text_content("#a") == "2"
