"""What becomes of a notification by mail: taken, refused, not now, or not known."""

import pytest

from plugins.email.tests.smtpd import CUT
from talkwire import Handed, Style

from .mails import alert, notification


async def test_a_notification_is_one_mail_that_a_server_has(office):
    asked = await office.notify(text="Order 4711")
    [mail] = office.mails
    assert mail["To"] == "ops@example.test"
    assert mail["Subject"] == "Refund?"
    assert mail["Message-ID"] == f"<{asked}@shop.example>"
    assert office.server.taken[0].sender.startswith("MAIL FROM:<alerts@shop.example>")
    assert await office.decisions() == [("handed", "")]
    assert office.notifier.trouble() == ""


async def test_mails_come_back_to_where_the_settings_say(start_office):
    office = await start_office('bounces_to = "support@mail.example"')
    asked = await office.notify()
    assert office.server.taken[0].sender.startswith("MAIL FROM:<support@mail.example>")
    assert office.mails[0]["Message-ID"] == f"<{asked}@mail.example>"
    assert office.mails[0]["From"].addresses[0].addr_spec == "alerts@shop.example"


async def test_reports_of_a_mail_name_its_notification(office):
    office.server.offers.append("DSN")
    asked = await office.notify()
    assert f"ENVID={asked}" in office.server.taken[0].sender
    assert office.server.taken[0].recipient == "RCPT TO:<ops@example.test> NOTIFY=FAILURE"


async def test_a_recipient_reads_in_their_own_language_and_time(office):
    await office.notify(recipient="budi")
    html = office.mails[0].get_body(("html",)).get_content()
    assert 'lang="id"' in html
    assert "23 November 2026, 19:00 (WIB)" in html


async def test_what_a_recipient_prefers_goes_before_the_settings(office):
    await office.hub.daemon.hub.prefer("budi", language="en", time_zone="Europe/Berlin")
    await office.notify(recipient="budi")
    html = office.mails[0].get_body(("html",)).get_content()
    assert 'lang="en"' in html
    assert "23 November 2026, 13:00 (CET)" in html


async def test_without_an_own_language_it_is_the_plugins(start_office):
    office = await start_office('language = "id"')
    await office.notify()
    assert 'lang="id"' in office.mails[0].get_body(("html",)).get_content()


async def test_an_address_that_does_not_exist_is_refused_and_asked_no_more(office):
    office.server.answers["RCPT"] = ["550 5.1.1 nobody of that name here"]
    await office.notify()
    await office.notify()
    assert await office.decisions() == [
        ("refused", f"127.0.0.1:{office.server.port} said 550 5.1.1 nobody of that name here"),
        ("suppressed", "address_bounced"),
    ]
    assert office.mails == []


async def test_an_address_that_did_not_work_is_tried_again_after_a_week(office):
    office.server.answers["RCPT"] = ["550 5.1.1 nobody of that name here"]
    await office.notify()
    await office.hub.pass_time(days=7)
    await office.notify()
    assert (await office.decisions())[1] == ("handed", "")
    assert await office.hub.rows("SELECT address FROM notify_email_address") == []


async def test_one_bad_address_says_nothing_of_another(office):
    office.server.answers["RCPT"] = ["550 5.1.1 nobody of that name here"]
    await office.notify()
    await office.notify(recipient="budi")
    assert (await office.decisions())[1] == ("handed", "")


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("RCPT", "554 5.7.1 relay access denied"),
        (".", "554 5.7.1 looks like an advertisement"),
        (".", "552 5.3.4 too large"),
    ],
)
async def test_a_refusal_that_is_not_the_addresss_fault_refuses_one_mail(office, verb, answer):
    office.server.answers[verb] = [answer]
    await office.notify()
    await office.notify()
    assert [decision for decision, _ in await office.decisions()] == ["refused", "handed"]
    assert await office.hub.rows("SELECT address FROM notify_email_address") == []


@pytest.mark.parametrize(
    ("verb", "answer"),
    [("RCPT", "450 4.2.1 busy"), ("RCPT", "552 5.2.2 mailbox full"), ("DATA", "451 later"), (".", "451 4.3.0 later")],
)
async def test_a_no_for_now_is_tried_again(office, verb, answer):
    office.server.answers[verb] = [answer, answer, answer]
    await office.notify()
    assert [decision for decision, _ in await office.decisions()] == ["waiting"]
    assert office.notifier.trouble() == ""
    await office.hub.pass_time(hours=2)
    assert await office.decisions() == [("handed", "")]
    assert len(office.mails) == 1


@pytest.mark.parametrize(
    ("verb", "answer"), [("MAIL", "553 5.7.1 not your address"), ("CONNECT", "554 no"), ("RCPT", "530 sign in first")]
)
async def test_a_server_that_takes_no_mail_from_us_is_trouble(office, verb, answer):
    office.server.answers[verb] = [answer]
    await office.notify()
    assert [decision for decision, _ in await office.decisions()] == ["waiting"]
    assert answer in office.notifier.trouble()
    await office.hub.pass_time(hours=1)
    assert await office.decisions() == [("handed", "")]
    assert office.notifier.trouble() == ""


async def test_a_wrong_password_is_trouble_that_names_the_key_and_not_the_password(start_office, server):
    server.offers.append("AUTH PLAIN")
    server.answers["AUTH"] = ["535 5.7.8 wrong"]
    office = await start_office(sign_in=', password = "hunter2-hunter2"')
    await office.notify()
    said = office.notifier.trouble()
    assert "refused our sign-in as alerts@shop.example: 535 5.7.8 wrong" in said
    assert "plugins.notify_email.server.password" in said
    assert "hunter2" not in said


async def test_a_server_that_is_not_there_is_trouble_until_it_is(office):
    office.server.answers["CONNECT"] = [CUT, CUT]
    await office.notify()
    assert "closed" in office.notifier.trouble() or "cannot be reached" in office.notifier.trouble()
    await office.hub.pass_time(hours=1)
    assert office.notifier.trouble() == ""
    assert await office.decisions() == [("handed", "")]


async def test_a_mail_of_unknown_outcome_goes_out_once_more_as_the_same_mail(office):
    office.server.answers["."] = [CUT]
    asked = await office.notify()
    [(decision, reason)] = await office.decisions()
    assert decision == "waiting"
    assert "may have been taken" in reason
    await office.hub.pass_time(minutes=5)
    assert await office.decisions() == [("handed", "")]
    assert office.mails[0]["Message-ID"] == f"<{asked}@shop.example>"


async def test_a_mail_of_unknown_outcome_does_not_go_out_for_ever(office):
    office.server.answers["."] = [CUT, CUT, CUT]
    await office.notify()
    await office.hub.pass_time(hours=2)
    assert await office.decisions() == [("refused", "the server's answer was lost twice: the mail may have arrived")]
    assert office.server.said.count("DATA") == 2


async def test_what_the_server_surely_refused_counts_as_no_attempt(office):
    office.server.answers["."] = ["451 later"] * 5
    await office.notify()
    await office.hub.pass_time(hours=3)
    assert await office.decisions() == [("handed", "")]


async def test_after_a_crash_nothing_goes_out_again(office):
    asked = await office.notify()
    assert await office.notifier.deliver(notification(id=asked)) == Handed()
    assert len(office.mails) == 1


async def test_what_quiet_hours_held_back_comes_as_one_mail(office):
    await office.hub.daemon.hub.prefer("ops", quiet="11:00-13:00")
    for title in ("Dewi wrote", "Budi wrote", "Citra wrote"):
        await office.notify(title=title)
    assert office.mails == []
    await office.notify(title="The account needs you", style=Style.ALERT)
    assert [mail["Subject"] for mail in office.mails] == ["The account needs you"]
    await office.hub.pass_time(hours=1)
    assert [mail["Subject"] for mail in office.mails[1:]] == ["3 notifications: Citra wrote"]
    assert {decision for decision, _ in await office.decisions()} == {"handed"}


async def test_several_at_once_are_one_mail(office):
    assert await office.notifier.digest([alert(1), notification(2, title="Budi wrote")]) == Handed()
    [mail] = office.mails
    assert mail["Subject"] == "2 notifications: Budi wrote"


async def test_what_went_out_by_itself_is_not_in_a_later_mail(office):
    await office.notifier.deliver(notification(1))
    await office.notifier.digest([notification(1), notification(2, title="Budi wrote")])
    assert [mail["Subject"] for mail in office.mails] == ["Dewi wrote", "Budi wrote"]
