"""An author needs two files."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CASE = """
from tests.mutants.acme import ACME as case
"""
TESTS = """
from case import case
from talkwire.testing import conformance_tests
test_conformance = conformance_tests(case)
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", *arguments)


@pytest.fixture(autouse=True)
def _where_the_case_is(pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{pytestconfig.rootpath}:{pytestconfig.rootpath}/core/src")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_two_files_give_a_test_of_each_check(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makepyfile(case=CASE, test_conformance=TESTS)
    result = run(
        pytester, "-v", "-W", "error", "-o", f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function"
    )
    result.assert_outcomes(passed=16, skipped=7)
    result.stdout.fnmatch_lines(["*test_conformance[[]settings_refuse_unknown_keys] PASSED*"])


@pytest.mark.timeout(180)
def test_a_failure_says_method_sample_and_remedy_and_a_skip_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        case="""
            from dataclasses import replace
            from tests.mutants.acme import ACME
            from tests.mutants.broken import NaiveTimes
            case = replace(ACME, channel=NaiveTimes, answers=None, sends_elsewhere="by pigeon")
        """,
        test_conformance=TESTS,
    )
    result = run(pytester, "-rs", "-k", "times or cancelled")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*method: NaiveTimes.parse*", "*sample: a text*", "*remedy: *UTC*", "*by pigeon*"])


@pytest.mark.timeout(180)
def test_the_fixtures_are_there(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from talkwire.testing import Answers, Reply
        from tests.mutants.acme import ACME, AcmeChannel

        @pytest.mark.asyncio
        async def test_it(turned_clock, fake_provider, lend_channel):
            gate = await fake_provider(ACME.answers)
            lent = await lend_channel(AcmeChannel, ACME.pointed_at(gate.url), clock=turned_clock)
            await lent.channel.open()
            assert (await lent.channel.send(ACME.outgoing())).external_id == "p1"
            assert gate.shown[0].json()["text"] == "kit hello"
        """
    )
    plugin = () if _installed() else ("-p", "talkwire.testing.pytest_plugin")
    run(pytester, *plugin).assert_outcomes(passed=1)


@pytest.mark.timeout(180)
def test_the_plugin_costs_nothing_where_nobody_uses_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert "talkwire.testing.provider" not in sys.modules
            assert "talkwire.http" not in sys.modules
        """
    )
    plugin = () if _installed() else ("-p", "talkwire.testing.pytest_plugin")
    run(pytester, "-p", "no:aiohttp", *plugin).assert_outcomes(passed=1)


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.name == "talkwire" for point in entry_points(group="pytest11"))
