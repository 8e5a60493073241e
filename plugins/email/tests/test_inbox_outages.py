"""Whatever happens to the connection: it is seen in time, and nothing is lost or comes twice."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import timedelta

import pytest
import pytest_asyncio

from talkwire import AccountBroken, TryLater
from tests.parts.dovecot import Line

from .postroom import PATIENCE, TODAY, WITHIN, Reader, Reading, given_up_soon, mail, settings_of, subjects


@pytest_asyncio.fixture
async def line(dovecot):
    """A way to the server on which the test can see, hold and cut."""
    async with Line(dovecot.host, dovecot.port) as line:
        yield line


@pytest.fixture
def start_reader(lend_channel, line):
    """Give what starts to read a mailbox over the line: `(reader, services)`."""

    async def start(user, **more):
        lent = await lend_channel(Reading, settings_of(line, user, **more))
        return Reader(lent.channel), lent.services

    return start


async def fails(resting):
    """Give the error that ends the listening, within the patience that the server has."""
    async with asyncio.timeout(WITHIN):
        return await resting


async def test_a_server_that_ends_connections_while_we_wait_is_seen_at_once(dovecot, line, start_reader):
    reader, _ = await start_reader(user := dovecot.user())
    await reader.batch()
    async with reader.resting() as resting:
        await line.hears(b"IDLE")
        await asyncio.to_thread(dovecot.kick, user)
        error = await fails(resting)
    assert isinstance(error, TryLater)
    assert "ended the connection: " in str(error)
    dovecot.put(user, mail(1))
    assert subjects(await reader.mails(1)) == ["parcel 1"]


async def test_a_connection_that_is_cut_while_we_wait_is_seen_at_once(dovecot, line, start_reader):
    reader, _ = await start_reader(user := dovecot.user())
    await reader.batch()
    async with reader.resting() as resting:
        await line.hears(b"IDLE")
        line.cut()
        assert "closed the connection" in str(await fails(resting))
    dovecot.put(user, mail(1))
    assert subjects(await reader.mails(1)) == ["parcel 1"]


async def test_idle_is_begun_anew_every_five_minutes_between_two_looks(dovecot, line, start_reader):
    reader, services = await start_reader(dovecot.user(), check_every=1500)
    await reader.batch()
    async with reader.resting():
        await line.hears(b"IDLE\r\n")
        for times in (2, 3):
            await services.clock.advance_when_awaited(timedelta(minutes=5))
            await line.hears(b"IDLE\r\n", times)
    assert line.said.count(b"DONE\r\n") == 2
    assert line.said.count(b"SEARCH") == 1


async def test_a_line_that_died_in_silence_is_seen_with_the_next_check(dovecot, line, start_reader):
    reader, services = await start_reader(user := dovecot.user())
    await reader.batch()
    async with reader.resting() as resting:
        await services.clock.awaited(look := services.clock.now() + timedelta(seconds=5))
        line.hold()
        dovecot.put(user, mail(1))
        with given_up_soon(reader.channel.inbox):
            services.clock.turn_to(look)
            assert f"did not answer within {PATIENCE:g} s" in str(await fails(resting))
    assert b"IDLE" in line.said
    line.flow()
    assert subjects(await reader.mails(1)) == ["parcel 1"]


async def test_a_silent_line_is_seen_as_well_where_the_server_does_not_push(dovecot_without_move, lend_channel):
    server = dovecot_without_move
    async with Line(server.host, server.port) as line:
        lent = await lend_channel(Reading, settings_of(line, user := server.user()))
        reader = Reader(lent.channel)
        await reader.batch()
        async with reader.resting() as resting:
            look = await lent.services.clock.awaited()
            line.hold()
            with given_up_soon(reader.channel.inbox):
                lent.services.clock.turn_to(look)
                assert f"did not answer within {PATIENCE:g} s" in str(await fails(resting))
        assert b"IDLE" not in line.said
        line.flow()
        server.put(user, mail(1))
        assert subjects(await reader.mails(1)) == ["parcel 1"]


@pytest.mark.parametrize(
    "moment", ["BODY[] {", "RFC822.SIZE", "SEARCH 1", "[UIDNEXT", "+ idling", "* CAPABILITY", "* OK ["]
)
@pytest.mark.parametrize("how", ["cut", "held"])
async def test_a_line_that_breaks_at_any_moment_loses_nothing(dovecot, line, start_reader, moment, how):
    dovecot.put(user := dovecot.user(), *map(mail, range(20)), at=TODAY)
    reader, _ = await start_reader(user, since_days=1)
    if how == "cut":
        line.cut_after = moment.encode()
    else:
        line.hold_after = moment.encode()
    if moment == "+ idling":  # there is a look before it
        assert len(await reader.mails(20)) == 20
    with given_up_soon(reader.channel.inbox) if how == "held" else nullcontext():
        error = await reader.error()
    if moment == "+ idling":
        reader.cursor = ""
    assert isinstance(error, TryLater)
    assert ("closed the connection" if how == "cut" else "did not answer") in str(error)
    line.flow()
    assert subjects(await reader.caught_up()) == [f"parcel {number}" for number in range(20)]


async def test_a_line_that_breaks_in_the_middle_of_a_mail_loses_nothing(dovecot, line, start_reader):
    dovecot.put(user := dovecot.user(), mail(1), mail(2, text=f"{'x' * 70_000} here it breaks"), mail(3), at=TODAY)
    reader, _ = await start_reader(user, since_days=1)
    line.cut_after = b"here it breaks"
    assert "closed the connection" in str(await reader.error())
    found = await reader.caught_up()
    assert [len(one.body) for one in found] == [len(mail(1)), len(mail(2)) + 70_015 - 19, len(mail(3))]


GREETINGS = [
    (b"* BYE too many of you\r\n", "turned us away: too many of you"),
    (b"* PREAUTH welcome\r\n", "turned us away: welcome"),
    (b"220 mail.example.org ESMTP\r\n", "turned us away"),
    (b"\x00\xff\xfe\r\n", "turned us away"),
]


@pytest.mark.parametrize(("greeting", "said"), GREETINGS)
async def test_who_greets_as_no_mailbox_does_is_left(lend_channel, greeting, said):
    async with talker({b"": greeting}) as port:
        reader = await at_port(lend_channel, port)
        with pytest.raises(TryLater, match=said):
            await reader.batch()


CAPABLE = {
    b"": b"* OK\r\n",
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1 IDLE UIDPLUS\r\nTAG OK\r\n",
    b"LOGIN": b"TAG OK\r\n",
}
HERE = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 10] x\r\nTAG OK [READ-ONLY] x\r\n"
LOOKED = {**CAPABLE, b"EXAMINE": HERE, b"SEARCH": b"* SEARCH\r\nTAG OK\r\n"}
ODDITIES = {
    "IDLE is answered by BYE": ({**LOOKED, b"IDLE": b"* BYE shutting down\r\n"}, "ended the connection: shutting down"),
    "an answer nobody asked for": ({**LOOKED, b"SEARCH": b"X9 OK what?\r\n"}, "said what could not be read"),
    "a search that is not understood": ({**LOOKED, b"SEARCH": b"TAG BAD what?\r\n"}, "did not understand SEARCH"),
    "no UIDVALIDITY": ({**LOOKED, b"EXAMINE": b"* 3 EXISTS\r\nTAG OK\r\n"}, "gave no UIDVALIDITY"),
    "no capabilities": ({**LOOKED, b"CAPABILITY": b"TAG OK\r\n"}, "said what could not be read"),
    "silence after login": ({**LOOKED, b"LOGIN": b""}, "did not answer within"),
    "a flood": ({**LOOKED, b"SEARCH": b"* SEARCH " + b"1 " * 6_000_000}, "sent far more than it had announced"),
}


@pytest.mark.parametrize("oddity", ODDITIES)
async def test_anything_odd_ends_the_connection_and_is_said(lend_channel, oddity):
    answers, said = ODDITIES[oddity]
    async with talker(answers) as port:
        reader = await at_port(lend_channel, port)
        with given_up_soon(reader.channel.inbox) if oddity.startswith("silence") else nullcontext():
            assert said in str(await reader.error())


async def test_thousands_of_lines_in_one_piece_are_read(lend_channel):
    """aioimaplib calls itself for each line, and falls over at a thousand."""
    many = b"".join(b"* %d FETCH (FLAGS ())\r\n" % number for number in range(1, 5000))
    async with talker({**LOOKED, b"SEARCH": many + b"* SEARCH\r\nTAG OK\r\n"}) as port:
        reader = await at_port(lend_channel, port)
        assert (await reader.batch()).envelopes == ()


async def test_a_server_that_refuses_idle_is_asked_in_intervals(lend_channel):
    async with talker({**LOOKED, b"IDLE": b"TAG NO not now\r\n", b"NOOP": b"TAG OK\r\n"}) as port:
        reader = await at_port(lend_channel, port)
        await reader.batch()
        clock = reader.channel.services.clock
        async with reader.resting():
            look = await clock.awaited()
        clock.turn_to(look)
        assert (await reader.batch()).envelopes == ()


REFUSALS = [
    (b"TAG NO [AUTHENTICATIONFAILED] no\r\n", True),
    (b"TAG NO [UNAVAILABLE] the directory is away\r\n", False),
    (b"TAG NO [ALERT] Too many simultaneous connections. (Failure)\r\n", False),
    (b"TAG NO LOGIN failed.\r\n", None),
]


@pytest.mark.parametrize(("answer", "for_good"), REFUSALS)
async def test_a_refusal_is_for_a_person_only_where_the_password_is_wrong(lend_channel, answer, for_good):
    """Who says no without a reason may have a bad hour: that is believed at the third time."""
    async with talker({**CAPABLE, b"LOGIN": answer}) as port:
        reader = await at_port(lend_channel, port)
        kinds = [type(await reader.error()) for _ in range(3)]
    assert (
        kinds
        == {
            True: [AccountBroken] * 3,
            False: [TryLater] * 3,
            None: [TryLater, TryLater, AccountBroken],
        }[for_good]
    )


async def test_nobody_there_is_said(lend_channel):
    async with talker({}) as port:
        pass
    reader = await at_port(lend_channel, port)
    with pytest.raises(TryLater, match=r"127\.0\.0\.1:\d+ cannot be reached \(.+\)"):
        await reader.batch()


async def test_a_name_that_is_not_known_is_said(lend_channel, dovecot):
    lent = await lend_channel(Reading, settings_of(dovecot, "a@example.test", host="mail.invalid"))
    with pytest.raises(TryLater, match=r"mail\.invalid:\d+ cannot be reached \(its name is not known\)"):
        await Reader(lent.channel).batch()


async def test_a_server_that_keeps_failing_is_asked_less_and_less(lend_channel):
    async with talker({b"": b"* BYE\r\n"}) as port:
        reader = await at_port(lend_channel, port)
        waits = [(await reader.error()).after for _ in range(12)]
    assert waits[:3] == [timedelta(seconds=5), timedelta(seconds=8.75), timedelta(seconds=15.3125)]
    assert waits[-1] == timedelta(minutes=10)


async def test_a_line_that_breaks_often_is_tried_again_soon_as_long_as_mails_come(dovecot, line, start_reader):
    dovecot.put(user := dovecot.user(), *map(mail, range(6)), at=TODAY)
    reader, _ = await start_reader(user, since_days=1)
    waits = []
    for number in range(6):
        line.cut_after = b"Subject: parcel %d" % number
        waits.append((await reader.error()).after)
        assert subjects(await reader.mails(1)) == [f"parcel {number}"]
    assert set(waits) == {timedelta(seconds=5)}


# --- mails that break it ---------------------------------------------------------------------------------


async def test_a_mail_that_breaks_the_connection_stops_no_other(dovecot, line, start_reader):
    dovecot.put(user := dovecot.user(), mail(1), mail(2, text="poison"), mail(3), at=TODAY)
    reader, _ = await start_reader(user, since_days=1)
    found, failures = [], 0
    while len(found) < 3:
        line.cut_after = b"poison"
        try:
            found += (await reader.batch()).envelopes
        except TryLater:
            failures += 1
    assert failures == 6
    assert [(one.path, subjects([one])) for one in found] == [
        ("/INBOX/1", ["parcel 1"]),
        ("/INBOX/2/headers", ["parcel 2"]),
        ("/INBOX/3", ["parcel 3"]),
    ]


async def test_a_mail_that_the_server_does_not_give_is_announced(lend_channel):
    summary = b'* 3 FETCH (UID 9 RFC822.SIZE 100 INTERNALDATE "23-Nov-2026 11:00:00 +0000")\r\nTAG OK\r\n'
    answers = {
        **LOOKED,
        b"SEARCH": b"* SEARCH 9\r\nTAG OK\r\n",
        b"RFC822.SIZE": summary,
        b"BODY": b"TAG NO [SERVERBUG]\r\n",
    }
    async with talker(answers) as port:
        reader = await at_port(lend_channel, port, since_days=1)
        [envelope] = await reader.mails(1)
    assert (envelope.path, envelope.body) == ("/INBOX/9/headers", b"")


async def test_a_mail_that_is_gone_before_it_is_fetched_is_no_mail(dovecot, line, start_reader):
    dovecot.put(user := dovecot.user(), *map(mail, range(3)), at=TODAY)
    reader, _ = await start_reader(user, since_days=1)
    line.hold_after = b"RFC822.SIZE"
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(reader.mails(2))
        while not line.is_held:
            await asyncio.sleep(0)
        [gone] = dovecot.maildir(user).glob(f"*/{dovecot.files(user)[1]}")
        gone.unlink()
        line.flow()
    assert subjects(reading.result()) == ["parcel 0", "parcel 2"]
    assert (await reader.batch()).envelopes == ()


async def test_a_mail_that_the_server_leaves_out_is_announced(lend_channel):
    """Some servers say OK, and leave out a mail that they cannot make sense of themselves."""
    summary = b'* 3 FETCH (UID 9 RFC822.SIZE 100 INTERNALDATE "23-Nov-2026 11:00:00 +0000")\r\nTAG OK\r\n'
    answers = {**LOOKED, b"SEARCH": b"* SEARCH 9\r\nTAG OK\r\n", b"RFC822.SIZE": summary, b"BODY": b"TAG OK\r\n"}
    async with talker(answers) as port:
        reader = await at_port(lend_channel, port, since_days=1)
        [envelope] = await reader.mails(1)
    assert (envelope.path, envelope.body) == ("/INBOX/9/headers", b"")


# --- who we are, as it is said ---------------------------------------------------------------------------

OFFERED = {**LOOKED, b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 IDLE\r\nTAG OK\r\n"}
AT_ONCE = {**OFFERED, b"CAPABILITY": b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN IDLE\r\nTAG OK\r\n"}
PLAIN = b"AGFubkBleGFtcGxlLnRlc3QAcMOkc3M="  # NUL ann@example.test NUL päss


@pytest.mark.parametrize(
    ("answers", "password", "said"),
    [
        (OFFERED, 'a "b\\c', b'LOGIN "ann@example.test" "a \\"b\\\\c"'),
        (AT_ONCE, "päss", b"AUTHENTICATE PLAIN " + PLAIN),
        ({**OFFERED, b"AUTHENTICATE": b"+ \r\n"}, "päss", b"AUTHENTICATE PLAIN\r\n" + PLAIN),
    ],
)
async def test_any_password_is_said_in_a_way_that_the_server_reads(lend_channel, answers, password, said):
    async with talker(answers) as port, Line("127.0.0.1", port) as line:
        reader = await at_port(lend_channel, line.port, password=password)
        await reader.batch()
        await reader.stop()
        assert said in line.said


async def test_a_password_with_a_line_break_is_for_a_person(lend_channel):
    async with talker(LOOKED) as port:
        reader = await at_port(lend_channel, port, password="a\r\nB DELETE INBOX")
        with pytest.raises(AccountBroken, match="line break"):
            await reader.batch()


# --- a server of a few lines -----------------------------------------------------------------------------


class talker:  # noqa: N801  it is used as a function
    """A server that gives, to what is asked, the answer of the first word that stands in it; `b""` is the greeting."""

    def __init__(self, answers):
        self.answers = answers
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _meet(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        writer.write(self.answers.get(b"", b""))
        idling = b""
        try:
            while line := await reader.readline():
                if b" " not in line:  # it goes on with the command before: DONE, or what was asked for with a plus
                    writer.write(idling + b" OK\r\n")
                    continue
                tag = idling = line.split()[0]
                found = next((answer for word, answer in self.answers.items() if word and word in line), b"TAG OK\r\n")
                writer.write(found.replace(b"TAG", tag))
        finally:
            writer.transport.abort()


async def at_port(lend_channel, port, **more):
    """Give who reads a mailbox there."""
    settings = settings_of(type("There", (), {"port": port}), "ann@example.test", **more)
    return Reader((await lend_channel(Reading, settings)).channel)
