"""What an author gives the kit in a wrong form is said once, with its place and what to write instead."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from talkwire.model import Receipt
from talkwire.notifier import Notifier
from talkwire.testing import CHECKS, Case, Failure, Reply, Sample, conformance_tests
from tests.mutants.acme import ACME, AcmeChannel, AcmeSettings
from tests.mutants.board import BOARD, BoardNotifier

BY_NAME = {check.__name__: check for check in CHECKS}
MESSAGE = ACME.samples[0]


class MakesItself(AcmeChannel):
    def __init__(self, settings: Any) -> None:
        self.settings = settings


class HasADict(AcmeChannel):
    features = {"text_limit": 200}  # type: ignore[assignment]  # noqa: RUF012  this is the mistake


class HasSettingsMade(AcmeChannel):
    Settings = AcmeSettings(token="kit-token-0123456789", secret="kit-secret-0123456789")  # type: ignore[assignment]


def given(**changes: Any) -> Case:
    return replace(ACME, **changes)


@pytest.mark.parametrize(
    ("case", "method", "sample", "what", "remedy"),
    [
        (given(channel=Sample), "Case", "Case.channel", "no subclass of talkwire.Channel", "channel=…"),
        (given(channel="acme"), "Case", "Case.channel", "'acme' is no subclass", "the class itself"),
        (given(channel=ModuleType("acme")), "Case", "Case.channel", "module 'acme'", "the class itself"),
        (given(channel=MakesItself), "MakesItself.__init__", "the class", "settings and services", "`prepare`"),
        (given(channel=HasADict), "HasADict.features", "the class", "type dict", "features = Features(…)"),
        (given(channel=HasSettingsMade), "HasSettingsMade.Settings", "the class", "no class", "talkwire.Settings"),
        (given(settings=None), "Case", "Case.settings", "NoneType instead of Mapping", "the field's type"),
        (given(samples=MESSAGE), "Case", "Case.samples", "Sample instead of tuple", "comma"),
        (given(samples=("a text",)), "Case", "Case.samples[0]", "str instead of Sample", "the field's type"),
        (
            given(samples=(replace(MESSAGE, means=MESSAGE.means[0]),)),
            *("Case", "Case.samples[0].means", "Inbound instead of tuple", "comma"),
        ),
        (
            given(samples=(replace(MESSAGE, means=("hello",)),)),
            *("Case", "Case.samples[0].means[0]", "str instead of Inbound or", "the field's type"),
        ),
        (
            given(unknown=(Sample("news", file="news.json"),)),  # type: ignore[arg-type]
            *("Case", "Case.unknown[0].file", "str instead of Path or None", "the field's type"),
        ),
        (
            given(unknown=(Sample("news", file=Path("/nowhere/news.json")),)),
            *("Case.samples", "news (/nowhere/news.json)", "No such file", "a file that is there"),
        ),
        (
            given(unknown=(Sample("news", body={"at": datetime(2026, 1, 1)}),)),  # noqa: DTZ001  JSON holds no moment
            *("Case.samples", "news", "not JSON serializable", "what JSON can hold"),
        ),
        (given(answers=lambda seen, _: Reply()), "Case", "Case.answers", "function instead of Answers", "type"),
        (given(sign=lambda envelope: None), "Case.sign", "a text", "None instead of an Envelope", "with_header"),
    ],
)
async def test_a_case_in_a_wrong_form_is_told_where_and_what_to_write(
    case: Case, method: str, sample: str, what: str, remedy: str
) -> None:
    with pytest.raises(Failure) as once:
        conformance_tests(case)
    with pytest.raises(Failure) as alone:
        await BY_NAME["check_times_are_aware_utc"](case)
    assert str(once.value) == str(alone.value)
    failure = once.value
    assert failure.method == method
    assert failure.sample.startswith(sample)
    assert what in failure.what
    assert remedy in failure.remedy


@pytest.mark.parametrize("check", CHECKS, ids=[*BY_NAME])
async def test_settings_that_are_not_valid_are_said_by_every_check_in_a_line(check: Any) -> None:
    settings = {"url": "http://a.example", "token": "planted-0123456789", "channel": "acme"}
    with pytest.raises(Failure, match="not valid: secret: Field required; channel: Extra") as caught:
        await check(given(settings=settings))
    assert caught.value.method == "AcmeChannel.Settings"
    assert "without `channel`" in caught.value.remedy
    assert "planted" not in str(caught.value)


async def test_lists_do_where_tuples_are_asked_for() -> None:
    as_lists = given(samples=[replace(MESSAGE, means=[*MESSAGE.means])])
    assert conformance_tests(as_lists)
    await BY_NAME["check_samples_parse_as_stated"](as_lists)


@pytest.mark.parametrize("name", ["check_send_makes_one_request_that_shows_something", "check_send_can_be_cancelled"])
@pytest.mark.parametrize("answer", [None, {"id": "p1"}], ids=["nothing", "a dict"])
async def test_an_answer_that_is_no_reply_is_a_fault_of_the_case(name: str, answer: Any) -> None:
    answers = replace(ACME.answers, accept=lambda seen, external_id: answer)  # type: ignore[arg-type, type-var]
    with pytest.raises(Failure, match=r"is (NoneType|dict) instead of Reply") as caught:
        await BY_NAME[name](given(answers=answers))
    assert "correct Case.answers" in caught.value.remedy


@pytest.mark.parametrize("name", ["check_send_can_be_cancelled", "check_errors_map_to_what_the_caller_must_do"])
async def test_what_a_send_raised_is_taken_where_the_case_is_at_fault(name: str) -> None:
    """What nobody takes, asyncio logs from the collector, in whose midst pytest of Python 3.11 breaks."""
    left: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context["message"]))
    failures = []
    try:
        await BY_NAME[name](given(answers=replace(ACME.answers, accept=lambda seen: Reply())))
    except Failure as failure:
        failures.append(str(failure))
    gc.collect()
    assert len(failures) == 1
    assert "the case's own Answers raised TypeError" in failures[0]
    assert left == []


@pytest.mark.parametrize(
    "name", ["check_send_makes_one_request_that_shows_something", "check_reports_overtake_the_receipt"]
)
async def test_a_report_that_is_no_sample_is_a_fault_of_the_case(name: str) -> None:
    with pytest.raises(Failure, match="it gave dict instead of Sample") as caught:
        await BY_NAME[name](given(report=lambda seen, external_id: {"of": external_id}))
    assert caught.value.sample == "Case.report"


class SaysItInWords(AcmeChannel):
    async def send(self, out: Any) -> Receipt:
        return replace(await super().send(out), state="accepted")


class NumbersItsParts(AcmeChannel):
    async def send(self, out: Any) -> Receipt:
        return replace(await super().send(out), external_id=1)


@pytest.mark.parametrize(
    ("channel", "fault"),
    [
        (SaysItInWords, "Receipt.state: str instead of State"),
        (NumbersItsParts, "Receipt.external_id: int instead of str"),
    ],
)
async def test_a_receipt_of_wrong_types_is_named(channel: type[AcmeChannel], fault: str) -> None:
    with pytest.raises(Failure, match=fault) as caught:
        await BY_NAME["check_send_makes_one_request_that_shows_something"](given(channel=channel))
    assert caught.value.method == f"{channel.__name__}.send"
    assert "state=State.…" in caught.value.remedy


class MeansNothing(AcmeChannel):
    parse = AcmeChannel.__mro__[1].parse


class SendsNothing(AcmeChannel):
    send = AcmeChannel.__mro__[1].send


@pytest.mark.parametrize(
    ("channel", "check", "method"),
    [
        (MeansNothing, "check_samples_parse_as_stated", "parse"),
        (MeansNothing, "check_damaged_envelopes_become_unread", "parse"),
        (SendsNothing, "check_send_makes_one_request_that_shows_something", "send"),
        (SendsNothing, "check_errors_map_to_what_the_caller_must_do", "send"),
    ],
)
async def test_what_the_author_has_not_written_is_called_so(channel: Any, check: str, method: str) -> None:
    with pytest.raises(Failure, match="it is not written") as caught:
        await BY_NAME[check](given(channel=channel))
    assert caught.value.method == f"{channel.__name__}.{method}"
    assert f"def {method}(self" in caught.value.remedy


class HasTwoWords(AcmeChannel):
    type = "Acme SMS"


async def test_a_type_that_the_core_does_not_load_is_named() -> None:
    with pytest.raises(Failure, match="'Acme SMS', and a plugin that brings it is not loaded") as caught:
        conformance_tests(given(channel=HasTwoWords))
    assert caught.value.method == "HasTwoWords.type"
    assert "a-z, 0-9 and underscore" in caught.value.remedy


class MakesItselfAlone(BoardNotifier):
    def __init__(self, settings: Any) -> None:
        self.settings = settings


class HasNoWord(BoardNotifier):
    type = ""


class TellsNobody(BoardNotifier):
    deliver = Notifier.deliver  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("changes", "method", "what", "remedy"),
    [
        ({"notifier": AcmeChannel}, "NotifierCase", "no subclass of talkwire.Notifier", "notifier=…"),
        ({"counterpart": None}, "NotifierCase", "NoneType instead of Callable", "the field's type"),
        ({"notifier": MakesItselfAlone}, "MakesItselfAlone.__init__", "settings and services", "`async def open`"),
        ({"notifier": HasNoWord}, "HasNoWord.type", "is not loaded", "a word of a-z"),
        ({"notifier": TellsNobody}, "TellsNobody.deliver", "not written", "`async def deliver(self, notification)`"),
    ],
)
def test_a_case_of_a_notifier_is_told_the_same(changes: Any, method: str, what: str, remedy: str) -> None:
    with pytest.raises(Failure) as caught:
        conformance_tests(replace(BOARD, **changes))
    assert caught.value.method == method
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_pytest_shows_what_to_do_and_the_authors_own_lines_but_none_of_the_kit(tmp_path: Path) -> None:
    """A failure has five lines that matter; between them and their author stood forty of ours."""
    (tmp_path / "test_conformance.py").write_text(
        "from dataclasses import replace\n"
        "from talkwire.testing import conformance_tests\n"
        "from tests.mutants.acme import ACME, AcmeChannel\n"
        "class Trips(AcmeChannel):\n"
        "    def parse(self, envelope):\n"
        "        return self.nowhere\n"
        "test_conformance = conformance_tests(replace(ACME, channel=Trips))\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", tmp_path]
    root = Path(__file__).resolve().parents[2]
    only = ["-k", "samples_parse_as_stated", tmp_path / "test_conformance.py"]
    done = subprocess.run([*words, *only], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "return self.nowhere" in done.stdout
    assert "method: Trips.parse" in done.stdout
    assert "remedy: " in done.stdout
    assert "raise judge.failure(" not in done.stdout
    assert "async def check_samples_parse_as_stated" not in done.stdout
