"""A check that guards others is itself guarded: each catches the channel that was broken for it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ConfigDict, Field

from talkwire import auth
from talkwire.channel import Channel, Settings
from talkwire.errors import Rejected
from talkwire.model import Change, Enclosed, Envelope, Inbound, Item, Other
from talkwire.testing import (
    CHECKS,
    Answers,
    Case,
    Failure,
    FakeProvider,
    NotApplicable,
    Reply,
    Sample,
    conformance_tests,
    with_param,
)
from tests.mutants.acme import (
    ACME,
    ALBUMS,
    ECHOING,
    EDITING,
    FIRST,
    POLLED,
    SHARED,
    AcmeChannel,
    AcmeSettings,
    AlbumAcme,
    updates,
)
from tests.mutants.broken import MORE, MUTANTS, Mutant

BY_NAME = {check.__name__: check for check in CHECKS}
SENDING = (
    "send_makes_one_request_that_shows_something",
    "errors_map_to_what_the_caller_must_do",
    "send_can_be_cancelled",
    "no_secret_in_logs_or_errors",
)
MUTANT_OF = {check.__name__: mutant.channel for check, mutant in zip(CHECKS, MUTANTS, strict=True)}

NOTHING_JOINED = {
    "check_changes_and_albums_point_at_messages": "no sample edits",
    "check_a_shared_endpoint_names_its_accounts": "shared_endpoint is False",
    "check_edit_replaces_in_place": "features.edits is False",
}
SESSIONS = set(CHECKS[19:])  # for channels with connections of their own

test_a_good_channel_passes = conformance_tests(ACME)


@pytest.mark.parametrize("check", CHECKS, ids=[*BY_NAME])
async def test_a_good_channel_that_fetches_passes(check) -> None:
    if check.__name__ == "check_forged_envelopes_are_rejected":
        with pytest.raises(NotApplicable, match="nobody can deliver"):
            await check(POLLED)
    elif match := NOTHING_JOINED.get(check.__name__):
        with pytest.raises(NotApplicable, match=match):
            await check(POLLED)
    elif check in SESSIONS:
        with pytest.raises(NotApplicable, match=r"features\.sessions is False"):
            await check(POLLED)
    else:
        await check(POLLED)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("check_reports_overtake_the_receipt", ECHOING),
        ("check_changes_and_albums_point_at_messages", ALBUMS),
        ("check_a_shared_endpoint_names_its_accounts", SHARED),
        ("check_edit_replaces_in_place", EDITING),
    ],
)
async def test_a_good_channel_that_has_more_passes(name: str, case: Case) -> None:
    for check in (name, "check_samples_parse_as_stated", "check_send_makes_one_request_that_shows_something"):
        await BY_NAME[check](case)


@pytest.mark.parametrize(
    ("samples", "named", "remedy"),
    [
        (ALBUMS.samples[:-2], "a picture of an album", "samples of two of them"),
        (ALBUMS.samples[2:], "an edit", "as Inbound.external_id names it"),
    ],
)
async def test_what_points_at_nothing_is_named(samples: tuple[Sample, ...], named: str, remedy: str) -> None:
    with pytest.raises(Failure) as caught:
        await BY_NAME["check_changes_and_albums_point_at_messages"](replace(ALBUMS, samples=samples))
    assert named in caught.value.sample
    assert remedy in caught.value.remedy


class EnclosesInEdits(AlbumAcme):
    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            yield replace(item, blocks=(Enclosed(content=b"x"),)) if isinstance(item, Change) else item


async def test_a_file_that_lies_in_an_edit_is_named() -> None:
    with pytest.raises(Failure, match="a file lies in Change") as caught:
        await BY_NAME["check_changes_and_albums_point_at_messages"](replace(ALBUMS, channel=EnclosesInEdits))
    assert caught.value.sample.startswith("an edit")
    assert "RemoteMedia" in caught.value.remedy


async def test_a_shared_endpoint_without_a_delivery_for_two_is_told_what_to_add() -> None:
    sample = replace(SHARED.samples[0], body={"events": [SHARED.samples[0].body["events"][0]]})
    with pytest.raises(Failure, match="an event for each of two accounts") as caught:
        await BY_NAME["check_a_shared_endpoint_names_its_accounts"](replace(SHARED, samples=(sample,)))
    assert caught.value.sample == "Case.samples"


@pytest.mark.parametrize(("answer", "kind"), [("markup", "MarkupRefused"), ("shut", "WindowShut")])
async def test_a_provider_that_says_more_of_its_no_is_to_be_understood(answer: str, kind: str) -> None:
    said = {answer: lambda seen: Reply.json({"error": f"no_{answer}"}, status=422)}
    with pytest.raises(Failure, match=f"Refused.* instead of {kind}") as caught:
        await BY_NAME["check_errors_map_to_what_the_caller_must_do"](
            replace(ACME, answers=replace(ACME.answers, **said))
        )
    assert kind in caught.value.remedy


def test_there_are_twenty_three_checks_and_a_mutant_for_each() -> None:
    assert len(CHECKS) == len(MUTANTS) == 23


@pytest.mark.parametrize(
    ("check", "mutant"), [*zip(CHECKS, MUTANTS, strict=True)], ids=[m.channel.__name__ for m in MUTANTS]
)
async def test_the_check_catches_its_mutant_and_says_what_to_do(check, mutant: Mutant) -> None:
    with pytest.raises(Failure) as caught:
        await check(mutant.case)
    failure = caught.value
    assert failure.method == f"{mutant.channel.__name__}.{mutant.method}"
    assert mutant.sample in failure.sample
    assert mutant.remedy in failure.remedy
    for line in (failure.check, failure.method, failure.sample, failure.what, failure.remedy):
        assert line
        assert line in str(failure)


@pytest.mark.parametrize(("channel", "check"), MORE, ids=[channel.__name__ for channel, _ in MORE])
async def test_other_ways_to_be_wrong_are_caught_too(channel, check: str) -> None:
    with pytest.raises(Failure) as caught:
        await BY_NAME[check](replace(ACME, channel=channel))
    assert caught.value.method.startswith(channel.__name__)


@pytest.mark.parametrize(
    ("changes", "check", "named"),
    [
        ({"samples": ()}, "check_samples_parse_as_stated", "Case.samples"),
        ({"samples": ACME.samples[:0]}, "check_damaged_envelopes_become_unread", "Case.samples"),
        ({"sign": None}, "check_forged_envelopes_are_rejected", "Case.sign"),
        ({"answers": None}, "check_send_can_be_cancelled", "Case.answers"),
        ({"report": None}, "check_send_makes_one_request_that_shows_something", "Case.report"),
        ({"settings": {"url": "https://x.example"}}, "check_settings_hide_secrets", "Case.settings"),
        ({"settings": {**ACME.settings, "token": "abc"}}, "check_no_secret_in_logs_or_errors", "Case.settings"),
    ],
)
async def test_a_case_that_says_too_little_is_told_what_to_add(changes, check: str, named: str) -> None:
    with pytest.raises(Failure) as caught:
        await BY_NAME[check](replace(ACME, **changes))
    assert named in caught.value.sample


@pytest.mark.parametrize("name", ["check_" + name for name in SENDING])
async def test_a_provider_that_speaks_something_else_is_made_by_the_case(name: str) -> None:
    """What it speaks does not matter here: each check runs on a provider of the case's own, and none of the kit's."""
    made: list[FakeProvider] = []

    def speaks(answers: Answers, samples: tuple[Sample, ...]) -> FakeProvider:
        assert samples == (), "nothing waits to be fetched while something is sent"
        made.append(FakeProvider(answers))
        return made[-1]

    case = replace(ACME, speaks=speaks)
    await BY_NAME[name](case)
    assert made
    with pytest.raises(Failure):
        await BY_NAME[name](replace(case, channel=MUTANT_OF[name]))


async def test_what_waits_at_a_provider_of_the_cases_own_is_fetched() -> None:
    def speaks(answers: Answers, samples: tuple[Sample, ...]) -> FakeProvider:
        return FakeProvider(replace(answers, harmless=lambda seen: updates(seen, samples)))

    await BY_NAME["check_genuine_envelopes_pass"](replace(POLLED, polled=None, speaks=speaks))
    with pytest.raises(Failure, match=r"Case\.speaks where it is not HTTP"):
        await BY_NAME["check_genuine_envelopes_pass"](replace(POLLED, polled=None))


async def test_a_channel_that_sends_elsewhere_says_where_that_is_tested() -> None:
    with pytest.raises(NotApplicable, match="SMTP"):
        await BY_NAME["check_send_can_be_cancelled"](replace(ACME, answers=None, sends_elsewhere="SMTP, test_smtp.py"))


async def test_a_listener_that_loses_an_event_is_caught() -> None:
    class Forgets(POLLED.channel):
        async def listen(self, cursor):
            async for batch in super().listen(cursor):
                if batch.cursor == "4":
                    return
                if batch.cursor != "2":
                    yield batch

    with pytest.raises(Failure) as caught:
        await BY_NAME["check_genuine_envelopes_pass"](replace(POLLED, channel=Forgets))
    assert caught.value.method == "Forgets.listen"


class ByQuery(AcmeChannel):
    """A gateway that calls by GET and signs its parameters, as some SMS gateways do."""

    def authenticate(self, envelope: Envelope) -> None:
        signed = [pair for pair in envelope.query if pair[0] != "sig"]
        if not hmac.compare_digest(digest(signed).encode(), envelope.param("sig").encode()):
            raise Rejected("no valid sig")

    def parse(self, envelope: Envelope):
        yield from self.one(
            {name: int(value) if name == "time" and value.isdecimal() else value for name, value in envelope.query}
        )


class SignsNoParameters(ByQuery):
    def authenticate(self, envelope: Envelope) -> None:
        signed = [pair for pair in envelope.query if pair[0] in {"id", "from", "time", "kind"}]  # not the text
        whole = [*signed, ("text", "Where is my parcel?")]
        if not hmac.compare_digest(digest(whole).encode(), envelope.param("sig").encode()):
            raise Rejected("no valid sig")


def digest(pairs) -> str:
    return hmac.new(b"kit-secret-0123456789", repr(list(pairs)).encode(), "sha256").hexdigest()


BY_QUERY = replace(
    ACME,
    channel=ByQuery,
    sign=lambda envelope: with_param(envelope, "sig", digest(pair for pair in envelope.query if pair[0] != "sig")),
    samples=(
        Sample(
            "a text by GET",
            query={
                "kind": "message",
                "id": "m1",
                "time": "1795435200",
                "from": "6281234567890",
                "text": "Where is my parcel?",
            },
            means=(FIRST,),
        ),
    ),
    unknown=(Sample("a ping", query={"kind": "ping", "id": "x", "time": "1"}),),
    report=lambda seen, external_id: Sample(
        "a report",
        query={"kind": "report", "id": "r", "time": "1795435200", "of": external_id, "state": "read"},
    ),
)


@pytest.mark.parametrize("check", CHECKS, ids=[*BY_NAME])
async def test_a_good_channel_that_is_called_by_get_passes(check) -> None:
    if check.__name__ == "check_one_bad_item_loses_no_other":
        with pytest.raises(NotApplicable, match="no sample holds a list"):
            await check(BY_QUERY)
    elif match := NOTHING_JOINED.get(check.__name__):
        with pytest.raises(NotApplicable, match=match):
            await check(BY_QUERY)
    elif check in SESSIONS:
        with pytest.raises(NotApplicable, match=r"features\.sessions is False"):
            await check(BY_QUERY)
    else:
        await check(BY_QUERY)


class SaysYes(AcmeChannel):
    def authenticate(self, envelope: Any) -> Any:
        super().authenticate(envelope)
        return True


async def test_an_authenticate_that_gives_something_would_let_nobody_in() -> None:
    with pytest.raises(Failure, match="it gave True, and whatever gives something lets nobody in"):
        await BY_NAME["check_genuine_envelopes_pass"](replace(ACME, channel=SaysYes))


async def test_a_delivery_by_a_method_that_the_features_do_not_name_would_be_answered_405() -> None:
    sample = replace(ACME.samples[0], method="PUT")
    with pytest.raises(Failure, match=r"features\.methods has GET, POST: it would be answered 405"):
        await BY_NAME["check_genuine_envelopes_pass"](replace(ACME, samples=(sample,)))


async def test_parameters_that_the_provider_signs_must_be_checked() -> None:
    with pytest.raises(Failure, match="signed before the parameter text changed"):
        await BY_NAME["check_forged_envelopes_are_rejected"](replace(BY_QUERY, channel=SignsNoParameters))


class Nothing(Channel):
    type = "nothing"


@pytest.mark.parametrize(
    "check",
    # An author who wrote nothing has settings that refuse what is unknown, and texts are rendered by the features alone.
    [check for name, check in BY_NAME.items() if "unknown_keys" not in name and "render" not in name],
    ids=lambda check: check.__name__,
)
async def test_no_check_passes_where_there_is_nothing(check) -> None:
    with pytest.raises((Failure, NotApplicable)):
        await check(Case(channel=Nothing, settings={}))
    if check.__name__ not in {"check_settings_hide_secrets", *NOTHING_JOINED} and check not in SESSIONS:
        with pytest.raises(Failure):
            await check(replace(ACME, channel=Nothing, settings={}))


class Inner(Settings):
    model_config = ConfigDict(extra="ignore")
    host: str = ""


class NestedSettings(AcmeSettings):
    maybe: Inner | None = None
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field({})


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"maybe": {"host": "a"}}, "maybe.kit_unknown"),
        ({"several": [{"host": "a"}]}, "several.0.kit_unknown"),
        ({"named": {"first": {"host": "a"}}}, "named.first.kit_unknown"),
    ],
)
async def test_an_inner_table_that_takes_any_key_is_found_wherever_it_lies(given, key: str) -> None:
    class Lenient(AcmeChannel):
        Settings = NestedSettings

    with pytest.raises(Failure) as caught:
        await BY_NAME["check_settings_refuse_unknown_keys"](
            replace(ACME, channel=Lenient, settings={**ACME.settings, **given})
        )
    assert key in caught.value.sample


async def test_what_parse_reads_must_be_kept_or_a_replay_would_mean_something_else() -> None:
    class ByHeader(AcmeChannel):
        def parse(self, envelope: Envelope):
            if envelope.headers.get("x-acme-event") == "batch":
                yield from super().parse(envelope)

    named = replace(
        ACME,
        channel=ByHeader,
        samples=tuple(replace(sample, headers={"X-Acme-Event": "batch"}) for sample in ACME.samples),
    )
    with pytest.raises(Failure) as caught:
        await BY_NAME["check_parse_is_pure"](named)
    assert "kept_headers" in caught.value.remedy


class Keeps(AcmeChannel):
    """Keeps of each message the value that it was read from."""

    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            block = Other(kind="event", text="An event", raw=json.dumps(value))
            yield replace(item, blocks=(block,)) if isinstance(item, Inbound) else item


async def test_what_a_block_keeps_as_it_came_may_hold_what_is_new() -> None:
    await BY_NAME["check_unknown_kinds_are_survived"](replace(ACME, channel=Keeps))


async def test_a_secret_in_a_query_must_not_be_kept() -> None:
    class ByToken(AcmeChannel):
        def authenticate(self, envelope: Envelope) -> None:
            auth.query_token("token", self.settings.token)(envelope)

    by_token = replace(
        ACME, channel=ByToken, sign=lambda envelope: with_param(envelope, "token", str(ACME.settings["token"]))
    )
    with pytest.raises(Failure) as caught:
        await BY_NAME["check_no_secret_in_logs_or_errors"](by_token)
    assert "secret_query" in caught.value.remedy
    ByToken.features = replace(ByToken.features, secret_query=frozenset({"token"}))
    await BY_NAME["check_no_secret_in_logs_or_errors"](by_token)


class FailsToPrepare(AcmeChannel):
    def prepare(self) -> None:
        raise LookupError("boom")


class FailsToClose(AcmeChannel):
    async def close(self) -> None:
        raise LookupError("boom")


def fails(*_) -> None:
    raise LookupError("boom")


@pytest.mark.parametrize(
    ("changes", "check", "method"),
    [
        ({"channel": FailsToPrepare}, "check_parse_is_pure", "FailsToPrepare.prepare"),
        ({"channel": FailsToClose}, "check_send_can_be_cancelled", "FailsToClose.close"),
        ({"sign": fails}, "check_genuine_envelopes_pass", "fails"),
        ({"report": fails}, "check_send_makes_one_request_that_shows_something", "fails"),
        ({"point_at": fails}, "check_times_are_aware_utc", "fails"),
    ],
)
async def test_what_the_authors_own_functions_raise_is_named_with_its_place(changes, check: str, method: str) -> None:
    with pytest.raises(Failure) as caught:
        await BY_NAME[check](replace(ACME, **changes))
    assert caught.value.method == method
    assert "test_mutants.py:" in caught.value.sample
    assert "LookupError: boom" in caught.value.what


async def test_answers_that_raise_are_named_as_the_cause_also_where_nothing_arrives() -> None:
    with pytest.raises(Failure, match="Answers raised LookupError: boom"):
        await BY_NAME["check_send_can_be_cancelled"](replace(ACME, answers=Answers(accept=fails)))
