"""What a link of a mail leads to: looking changes nothing, the first answer wins, and whoever is late is told who was first."""

import asyncio
import hashlib
from datetime import timedelta

import pytest

from talkwire import Detail, Withdraw
from talkwire.api.principals import create_keys
from talkwire.testing.services import Logs

from .office import Asker

ANSWERED = "answered_by, answer"


async def test_looking_changes_nothing_however_often_machines_look(office):
    asked, path = await office.ask()
    for _ in range(3):
        assert (await office.client.head(path)).status == 200
        status, said = await office.opens(path)
        assert status == 200
        assert "Refund?" in said
    await office.hub.run_until_idle()
    assert await office.row(asked, ANSWERED) == ("", "")
    assert await office.hub.facts("notification.answered", "notification.seen") == []


async def test_other_methods_than_ours_do_nothing(office):
    asked, path = await office.ask()
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert (await office.client.request(method, path)).status == 404
    assert await office.row(asked, ANSWERED) == ("", "")


async def test_the_button_answers(start_office):
    asker = Asker()
    office = await start_office(plugins={"asker": asker})
    asked, path = await office.ask()
    status, said = await office.presses(path)
    assert status == 200
    assert "Done" in said
    assert "“Yes, please”" in said
    await office.hub.run_until_idle()
    assert await office.row(asked, ANSWERED) == ("email", "yes")
    assert asker.answers == [("Refund?", "yes", "email")]


async def test_a_page_shows_what_is_asked_with_the_pressed_button_first(office):
    details = (Detail("Customer", "Dewi"), Detail("Order", "4711"))
    _, path = await office.ask(details=details)
    _, said = await office.opens(path.replace("press=yes", "press=no"))
    for words in ("Refund?", "Customer Dewi", "Order 4711", "Press to answer:"):
        assert words in said
    assert said.index("No") < said.index("Yes, please")


async def test_a_second_click_is_told_what_was_answered(office):
    asked, path = await office.ask()
    await office.presses(path, "no")
    for status, said in (await office.presses(path), await office.opens(path)):
        assert status in (200, 409)
        assert "Already answered" in said
        assert "“No” on e-mail, 23 November 2026, 12:00 (UTC)" in said
    assert await office.row(asked, ANSWERED) == ("email", "no")


async def test_whoever_is_late_is_told_where_it_was_answered(office):
    asked, path = await office.ask()
    await office.hub.daemon.hub.answer(asked, "no", "page")
    status, said = await office.presses(path)
    assert status == 409
    assert "Answered with “No” on our web page" in said


@pytest.mark.parametrize(
    ("surface", "said"),
    [("native:ann-laptop", "the desktop of ann-laptop"), ("browser", "a browser’s notification"), ("pager", "pager")],
)
async def test_a_surface_is_named_for_people(office, surface, said):
    asked, path = await office.ask()
    await office.hub.daemon.hub.answer(asked, "no", surface)
    assert f"on {said}, " in (await office.opens(path))[1]


async def test_of_two_clicks_at_once_one_wins(office):
    asked, path = await office.ask()
    both = await asyncio.gather(office.presses(path, "yes"), office.presses(path, "no"))
    assert sorted(status for status, _ in both) == [200, 409]
    [(_, lost)] = [one for one in both if one[0] == 409]
    won = (await office.row(asked, "answer"))[0]
    assert ("“Yes, please”" if won == "yes" else "“No”") in lost


async def test_what_was_taken_back_cannot_be_answered(office):
    asked, path = await office.ask()

    def take_back(tx, items):
        for one in items:
            tx.act(Withdraw(notification=one))
        return items

    await office.hub.daemon.hub.of("plugin").write(take_back, asked)
    await office.hub.run_until_idle()
    status, said = await office.presses(path)
    assert status == 409
    assert "No longer needed" in said
    assert await office.row(asked, ANSWERED) == ("", "")


async def test_what_has_lapsed_cannot_be_answered(office):
    asked, path = await office.ask(timeout=timedelta(minutes=2))
    await office.hub.pass_time(minutes=3)
    for status, said in (await office.presses(path), await office.opens(path)):
        assert status in (200, 409)
        assert "The time is over" in said
    assert await office.row(asked, ANSWERED) == ("", "")


async def test_a_link_is_over_after_a_week(office):
    asked, path = await office.ask()
    await office.hub.pass_time(days=6, hours=23)
    assert (await office.opens(path))[0] == 200
    await office.hub.pass_time(hours=1)
    assert (await office.presses(path))[0] == 404
    assert await office.row(asked, ANSWERED) == ("", "")


@pytest.mark.parametrize("answer", ["maybe", "", "yes'; DROP TABLE notification; --"])
async def test_what_was_not_asked_is_no_answer(office, answer):
    asked, path = await office.ask()
    status, said = await office.presses(path, answer)
    assert status == 409
    assert "Press to answer:" in said
    assert await office.row(asked, ANSWERED) == ("", "")


async def test_a_form_that_is_too_large_is_no_answer(office):
    asked, path = await office.ask()
    sent = await office.client.post(path, data={"more": "x" * 100_000, "press": "yes"})
    assert sent.status == 409
    assert await office.row(asked, ANSWERED) == ("", "")


async def test_an_answer_that_the_asker_refuses_may_be_given_again(start_office):
    asker = Asker()
    office = await start_office(plugins={"asker": asker})
    asked, path = await office.ask()
    asker.fails = True
    status, said = await office.presses(path)
    assert status == 502
    assert "was not taken" in said
    assert await office.row(asked, ANSWERED) == ("", "")
    asker.fails = False
    assert (await office.presses(path))[0] == 200
    assert await office.row(asked, ANSWERED) == ("email", "yes")


async def test_a_link_of_nobody_leads_nowhere(office):
    for path in ("answer/" + "A" * 43, "answer/short", "off/" + "A" * 43):
        status, said = await office.opens(f"/p/notify_email/{path}")
        assert status == 404
        assert "leads nowhere" in said


async def test_an_answer_link_switches_no_mails_off_and_the_other_way_round(office):
    _, path = await office.ask()
    token = path.partition("/answer/")[2].partition("?")[0]
    assert (await office.opens(f"/p/notify_email/off/{token}"))[0] == 404
    off = office.mails[0]["List-Unsubscribe"].rpartition("/")[2].rstrip(">")
    assert (await office.opens(f"/p/notify_email/answer/{off}"))[0] == 404


async def test_who_guesses_is_stopped_and_others_are_not(office):
    _, path = await office.ask()
    for _ in range(30):
        assert (await office.opens("/p/notify_email/answer/" + "A" * 43))[0] == 404
    assert (await office.opens("/p/notify_email/answer/" + "A" * 43))[0] == 429
    assert (await office.opens(path))[0] == 429, "from the same address"
    await office.hub.pass_time(minutes=1)
    assert (await office.opens(path))[0] == 200


async def test_only_the_hash_of_a_link_is_kept(office):
    _, path = await office.ask()
    token = path.partition("/answer/")[2].partition("?")[0]
    assert len(token) == 43, "256 bits"
    kept = await office.hub.rows("SELECT * FROM notify_email_link")
    assert token not in repr(kept)
    assert hashlib.sha256(token.encode()).hexdigest() in repr(kept)


async def test_each_link_is_another(office):
    await office.ask()
    await office.ask()
    paths = [one.get_body(("plain",)).get_content().partition("/answer/")[2][:43] for one in office.mails]
    assert len(set(paths)) == 2


async def test_a_page_lets_nothing_else_in_and_tells_nobody(office):
    _, path = await office.ask()
    answer = await office.client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


async def test_a_page_shows_no_markup_of_others(office):
    evil = '"><script>alert(1)</script>'
    _, path = await office.ask(title=evil, details=(Detail(evil, evil),))
    html = await (await office.client.get(path)).text()
    assert "<script" not in html


async def test_a_page_speaks_the_recipients_language(office):
    _, path = await office.ask(recipient="budi")
    assert "Tekan untuk menjawab:" in (await office.opens(path))[1]
    assert "Selesai" in (await office.presses(path))[1]
    assert "Sudah dijawab" in (await office.opens(path))[1]


async def test_where_nobody_is_known_a_page_speaks_the_browsers_language(office):
    path = "/p/notify_email/answer/" + "A" * 43
    assert "Tautan ini" in (await office.opens(path, headers={"Accept-Language": "id-ID,id;q=0.9"}))[1]


async def test_no_link_is_in_the_log(office):
    logs = Logs()
    with logs.listening():
        office.server.answers["."] = ["451 later"]
        await office.ask_later(text="a very private matter")
        path = office.links[0]
        await office.presses(path)
        await office.opens(path)
        await office.hub.run_until_idle()
    token = path.partition("/answer/")[2].partition("?")[0]
    # The test server's own log of requests has it; the daemon writes none.
    lines = [line for line in logs.lines if "aiohttp/" not in line]
    assert lines
    assert not [line for line in lines if token in line or "private matter" in line]


async def test_of_two_who_were_asked_the_second_is_told_who_was_first(office):
    await office.ask(key="refund")
    first = office.links[0]
    other, second = await office.ask(key="refund", recipient="budi")
    assert (await office.presses(first))[0] == 200
    status, said = await office.presses(second, "no")
    assert status == 409
    assert "Dijawab oleh ops dengan “Yes, please” di surel, 23 November 2026, 19:00 (WIB)" in said
    assert "Dijawab oleh ops" in (await office.opens(second))[1]
    assert await office.row(other, ANSWERED) == ("", "")


# --- no more mails ------------------------------------------------------------------------------------------------


def off_link(office):
    return office.mails[-1]["List-Unsubscribe"].strip("<>").removeprefix("https://talk.example")


async def test_one_click_of_a_mail_program_switches_mails_off(office):
    await office.notify()
    answer = await office.client.post(off_link(office), data={"List-Unsubscribe": "One-Click"})
    assert answer.status == 200
    assert (await office.hub.daemon.hub.preferences("ops")).off == ("email",)
    await office.notify()
    await office.notify(recipient="budi")
    assert await office.decisions() == [("handed", ""), ("suppressed", "not_wanted"), ("handed", "")]


async def test_looking_at_the_link_switches_nothing_off(office):
    await office.notify()
    assert (await office.client.head(off_link(office))).status == 200
    status, said = await office.opens(off_link(office))
    assert status == 200
    assert "No more mails?" in said
    assert "ops@example.test" in said
    assert (await office.hub.daemon.hub.preferences("ops")).off == ()


async def test_mails_that_are_off_may_be_switched_off_again(office):
    await office.notify()
    for _ in range(2):
        assert (await office.client.post(off_link(office))).status == 200
    assert (await office.hub.daemon.hub.preferences("ops")).off == ("email",)


# --- addresses that mail came back from --------------------------------------------------------------------------


async def headers(office, scope):
    token = await office.hub.daemon.store.write(create_keys, (f"k-{scope}", scope))
    return {"Authorization": f"Bearer {token}"}


async def test_an_operator_sees_which_addresses_do_not_work_and_forgives_them(office):
    office.server.answers["RCPT"] = ["550 5.1.1 nobody"]
    await office.notify()
    admin = await headers(office, "admin")
    listed = await (await office.client.get("/p/notify_email/addresses", headers=admin)).json()
    assert [(one["address"], one["at"]) for one in listed["items"]] == [
        ("ops@example.test", "2026-11-23T12:00:00+00:00")
    ]
    assert (await office.client.delete("/p/notify_email/addresses/OPS@example.test", headers=admin)).status == 204
    assert (await office.client.delete("/p/notify_email/addresses/ops@example.test", headers=admin)).status == 404
    await office.notify()
    assert (await office.decisions())[1] == ("handed", "")


async def test_nobody_else_sees_addresses_or_forgives_them(office):
    for asked in ({}, await headers(office, "host")):
        assert (await office.client.get("/p/notify_email/addresses", headers=asked)).status in (401, 403)
        assert (await office.client.delete("/p/notify_email/addresses/a@b.example", headers=asked)).status in (401, 403)
