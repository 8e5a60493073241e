"""What is new in a real mailbox comes once, in order, whatever the folder went through."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from talkwire import AccountBroken, TryLater
from talkwire.testing.services import Logs

from .postroom import LARGEST, TODAY, Reader, Reading, mail, settings_of, subjects


@pytest.fixture
def start_reader(lend_channel, dovecot):
    """Give what starts to read a mailbox: `(reader, services)`."""

    async def start(user, server=None, **more):
        lent = await lend_channel(Reading, settings_of(server or dovecot, user, **more))
        return Reader(lent.channel), lent.services

    return start


async def test_the_first_look_takes_only_what_comes_from_then_on(dovecot, start_reader):
    dovecot.put(user := dovecot.user(), mail(1))
    reader, services = await start_reader(user)
    assert (await reader.batch()).envelopes == ()
    dovecot.put(user, mail(2))
    services.clock.advance(timedelta(seconds=5))
    assert subjects(await reader.mails(1)) == ["parcel 2"]


async def test_the_first_look_goes_back_as_far_as_it_is_told(dovecot, start_reader):
    user = dovecot.user()
    reader, services = await start_reader(user, since_days=3)
    now = services.clock.now().timestamp()
    dovecot.put(user, mail(1), at=now - 5 * 86400)
    dovecot.put(user, mail(2), at=now - 2 * 86400)
    assert subjects(await reader.caught_up()) == ["parcel 2"]
    await reader.stop()
    assert await reader.caught_up() == []


async def test_an_envelope_says_where_it_lies_and_when_it_came(dovecot, start_reader):
    user = dovecot.user()
    reader, services = await start_reader(user, since_days=9)
    dovecot.put(user, mail(1), at=services.clock.now().timestamp() - 90)
    [envelope] = await reader.mails(1)
    assert envelope.body == mail(1)
    assert (envelope.method, envelope.path, envelope.remote) == ("MAIL", "/INBOX/1", "127.0.0.1")
    assert envelope.query == (("at", "2026-11-23T11:58:30+00:00"),)
    assert (envelope.headers, envelope.endpoint) == ({"content-type": "message/rfc822"}, "kit")
    assert envelope.received_at == services.clock.now()


async def test_a_server_that_pushes_is_not_waited_for(dovecot, start_reader):
    reader, _ = await start_reader(user := dovecot.user())
    await reader.batch()
    dovecot.put(user, mail(1))
    assert subjects(await reader.mails(1)) == ["parcel 1"]  # and the clock stood still


async def test_a_restart_goes_on_after_the_last_batch_that_was_kept(dovecot, start_reader):
    reader, _ = await start_reader(user := dovecot.user())
    await reader.batch()
    await reader.stop()
    dovecot.put(user, *map(mail, range(60)))
    first = (await reader.batch()).envelopes
    assert len(first) == 50
    kept = reader.cursor
    await reader.batch()  # given, and never kept: the power goes
    await reader.stop()
    reader.cursor = kept
    assert subjects([*first, *await reader.caught_up()]) == [f"parcel {number}" for number in range(60)]


async def test_a_batch_is_not_larger_than_memory_likes(dovecot, start_reader):
    reader, _ = await start_reader(user := dovecot.user(), since_days=1)
    dovecot.put(user, *(mail(number, text="x" * 150_000) for number in range(60)), at=TODAY)
    sizes = []
    while envelopes := (await reader.batch()).envelopes:
        sizes.append(sum(len(envelope.body) for envelope in envelopes))
    assert len(sizes) == 2
    assert max(sizes) <= 8 * 1024**2


async def test_a_mail_over_the_limit_is_announced_with_its_headers(dovecot, start_reader):
    reader, _ = await start_reader(user := dovecot.user())
    await reader.batch()
    await reader.stop()
    dovecot.put(user, mail(1), large := mail(2, text="x" * LARGEST), mail(3))
    one, two, three = await reader.caught_up()
    assert (one.body, three.body) == (mail(1), mail(3))
    assert two.path == "/INBOX/2/headers"
    assert dict(two.query)["size"] == str(len(large))
    assert two.body == large[: large.index(b"\r\n\r\n") + 4]


async def test_folders_with_any_name_are_read_and_a_path_keeps_it(dovecot, start_reader):
    user, name = dovecot.user(), 'Überfällig & "neu" / 訂單'
    dovecot.maildir(user, '&ANw-berf&AOQ-llig &- "neu" ')  # Maildir takes the slash for a level below
    reader, _ = await start_reader(user, folders=["INBOX", 'Überfällig & "neu" '], since_days=1)
    dovecot.put(user, mail(1), at=TODAY)
    dovecot.put(user, mail(2), folder='&ANw-berf&AOQ-llig &- "neu" ', at=TODAY)
    assert name.startswith("Über")
    paths = {envelope.path: subjects([envelope]) for envelope in await reader.caught_up()}
    assert paths == {
        "/%C3%9Cberf%C3%A4llig%20%26%20%22neu%22%20/1": ["parcel 2"],
        "/INBOX/1": ["parcel 1"],
    }


async def test_a_folder_that_is_not_there_is_named_and_the_others_are_read(dovecot, start_reader):
    reader, _ = await start_reader(user := dovecot.user(), folders=["Invoices", "INBOX"], since_days=1)
    dovecot.put(user, mail(1), at=TODAY)
    assert subjects(await reader.mails(1)) == ["parcel 1"]
    with pytest.raises(TryLater, match='refused what we asked for in "Invoices": the server said NO'):
        await reader.batch()


async def test_folders_beside_the_first_are_looked_at_with_each_check(dovecot, start_reader):
    dovecot.maildir(user := dovecot.user(), "Old")
    reader, services = await start_reader(user, folders=["INBOX", "Old"])
    await reader.batch()
    dovecot.put(user, mail(1), folder="Old")
    services.clock.advance(timedelta(seconds=5))
    assert subjects(await reader.mails(1)) == ["parcel 1"]


# --- what becomes of a mail ------------------------------------------------------------------------------


@pytest.mark.parametrize(("taken", "flags"), [("leave", ""), ("seen", "S")])
async def test_a_taken_mail_is_left_or_marked(dovecot, start_reader, taken, flags):
    reader, _ = await start_reader(user := dovecot.user(), taken=taken, since_days=1)
    dovecot.put(user, mail(1), at=TODAY)
    await reader.mails(1)
    assert not dovecot.files(user)[0].endswith(":2,S")  # not before it is kept
    await reader.batch()
    assert dovecot.files(user)[0].partition(":2,")[2] == flags


@pytest.mark.parametrize("way", ["MOVE", "UIDPLUS"])
async def test_a_taken_mail_is_moved_and_no_other_is_touched(dovecot, dovecot_without_move, start_reader, way):
    server = dovecot if way == "MOVE" else dovecot_without_move
    server.maildir(user := server.user(), "Taken")
    reader, _ = await start_reader(user, server, taken="move", move_to="Taken", since_days=1)
    server.put(user, mail(1), at=TODAY)
    server.put(user, mail(2), at=TODAY - 9 * 86400)  # too old to be ours
    deleted = server.maildir(user) / "new" / server.files(user)[0]
    deleted.rename(server.maildir(user) / "cur" / f"{deleted.name}:2,T")  # somebody marked it for the bin
    assert subjects(await reader.mails(1)) == ["parcel 1"]
    await reader.batch()
    assert len(server.files(user, "Taken")) == 1
    assert [name.partition(":2,")[2] for name in server.files(user)] == ["T"]


async def test_a_mail_that_was_kept_but_not_yet_moved_is_moved_after_a_restart(dovecot, start_reader):
    dovecot.maildir(user := dovecot.user(), "Taken")
    reader, _ = await start_reader(user, taken="move", move_to="Taken", since_days=1)
    dovecot.put(user, mail(1), at=TODAY)
    await reader.mails(1)
    await reader.stop()
    assert dovecot.files(user, "Taken") == []
    assert await reader.caught_up() == []
    assert len(dovecot.files(user, "Taken")) == 1


async def test_a_folder_to_move_to_that_is_not_there_stops_nothing(dovecot, start_reader):
    reader, services = await start_reader(user := dovecot.user(), taken="move", move_to="Nowhere", since_days=1)
    dovecot.put(user, mail(1), at=TODAY)
    assert len(await reader.caught_up()) == 1
    dovecot.put(user, mail(2))
    services.clock.advance(timedelta(seconds=5))
    assert subjects(await reader.mails(1)) == ["parcel 2"]
    assert any("taken mail was left" in line for line in services.logs.lines)


# --- numbers that mean something else --------------------------------------------------------------------


async def test_after_new_numbers_all_of_the_last_days_comes_again_and_nothing_is_left_out(dovecot, start_reader):
    user = dovecot.user()
    reader, services = await start_reader(user, since_days=9)
    now = services.clock.now().timestamp()
    dovecot.put(user, mail(1), at=now - 5 * 86400)
    dovecot.put(user, mail(2), at=now - 3600)
    assert len(await reader.caught_up()) == 2
    await reader.stop()
    dovecot.renumber(user)
    dovecot.put(user, mail(3), at=now)
    assert subjects(await reader.caught_up()) == ["parcel 2", "parcel 3"]
    await reader.stop()
    assert await reader.caught_up() == []


async def test_new_numbers_are_seen_though_the_old_ones_would_fit(dovecot, start_reader):
    user = dovecot.user()
    reader, _ = await start_reader(user)
    dovecot.put(user, *map(mail, range(5)), at=TODAY)
    await reader.batch()  # takes none of them, so none is known again
    await reader.stop()
    for name in dovecot.files(user)[:4]:
        next(dovecot.maildir(user).glob(f"*/{name}")).unlink()
    dovecot.renumber(user)
    dovecot.put(user, *map(mail, range(5, 12)), at=TODAY)
    found = subjects(await reader.caught_up())
    assert found[-7:] == [f"parcel {number}" for number in range(5, 12)]


async def test_a_rescan_that_is_cut_goes_on_where_it_was(dovecot, start_reader):
    user = dovecot.user()
    reader, services = await start_reader(user, since_days=9)
    dovecot.put(user, *map(mail, range(60)), at=services.clock.now().timestamp() - 60)
    await reader.caught_up()
    await reader.stop()
    dovecot.renumber(user)
    await reader.batch()
    await reader.stop()
    place = json.loads(reader.cursor)["folders"]["INBOX"]
    assert (place["last"], place["since"]) == (50, "2026-11-22")
    assert len(await reader.caught_up()) == 10


async def test_a_mailbox_brought_back_from_a_backup_loses_nothing_that_came_since(dovecot, start_reader):
    user = dovecot.user()
    reader, services = await start_reader(user, since_days=9)
    now = services.clock.now().timestamp()
    dovecot.put(user, mail(1), at=now - 7200)
    assert len(await reader.caught_up()) == 1
    await reader.stop()
    kept = dovecot.back_up(user)
    dovecot.put(user, mail(2), mail(3), at=now - 3600)
    assert len(await reader.caught_up()) == 2
    await reader.stop()
    dovecot.bring_back(user, kept)
    dovecot.put(user, mail(4), at=now)
    assert subjects(await reader.caught_up()) == ["parcel 1", "parcel 4"]


async def test_it_is_seen_that_the_last_number_means_another_mail_now(dovecot, start_reader):
    """More came after the backup was brought back than before: the numbers alone look right."""
    user = dovecot.user()
    reader, services = await start_reader(user, since_days=9)
    now = services.clock.now().timestamp()
    dovecot.put(user, mail(1), at=now - 7200)
    assert len(await reader.caught_up()) == 1
    await reader.stop()
    kept = dovecot.back_up(user)
    dovecot.put(user, mail(2), at=now - 3600)
    assert len(await reader.caught_up()) == 1
    await reader.stop()
    dovecot.bring_back(user, kept)
    dovecot.put(user, mail(3), mail(4), at=now)
    assert subjects(await reader.caught_up()) == ["parcel 1", "parcel 3", "parcel 4"]


# --- who we are ------------------------------------------------------------------------------------------


async def test_a_wrong_password_is_for_a_person(dovecot, start_reader):
    reader, _ = await start_reader(dovecot.user(), password="wrong-secret")
    with pytest.raises(AccountBroken, match=r"does not take user and password.*talkwire accounts resume kit") as caught:
        await reader.batch()
    assert "wrong-secret" not in str(caught.value)


async def test_a_certificate_that_is_not_to_be_believed_is_for_a_person(dovecot, start_reader):
    reader, _ = await start_reader(dovecot.user(), ca_file=None)
    with pytest.raises(AccountBroken, match=r"certificate is not to be believed: self-signed certificate.*ca_file"):
        await reader.batch()


async def test_nothing_that_a_mail_says_and_no_password_reaches_a_log(dovecot, start_reader):
    logs = Logs()
    with logs.listening():
        reader, _ = await start_reader(user := dovecot.user(), since_days=1)
        dovecot.put(user, mail(1, text="a private word"), at=TODAY)
        await reader.caught_up()
    assert not [line for line in logs.lines if "private word" in line or dovecot.password in line]


async def test_a_probe_says_who_we_are_and_what_the_server_can(dovecot, dovecot_without_move, start_reader):
    dovecot.put(user := dovecot.user(), mail(1))
    reader, _ = await start_reader(user)
    assert await reader.channel.probe() == f"127.0.0.1 let {user} in, pushes: INBOX (1 mails)"
    dovecot_without_move.maildir(user := dovecot_without_move.user(), "Taken")
    reader, _ = await start_reader(user, dovecot_without_move, taken="move", move_to="Taken")
    said = await reader.channel.probe()
    assert "is asked (it has no IDLE), copies and expunges (it has no MOVE)" in said


async def test_a_probe_names_a_folder_that_is_not_there(dovecot, start_reader):
    reader, _ = await start_reader(dovecot.user(), folders=["Invoices"])
    with pytest.raises(AccountBroken, match='does not open the folder "Invoices"'):
        await reader.channel.probe()
