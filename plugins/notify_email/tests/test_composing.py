"""A notification as a mail: what its headers say, and what people read."""

import re
from html.parser import HTMLParser

import pytest

from talkwire import Detail, Option, Refused

from .mails import ID, TALK, alert, html_of, notification, read, text_of, written, written_raw


class Page(HTMLParser):
    """What an HTML text holds."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.links, self.tags, self.attributes = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def said(self):
        return " ".join(" ".join(self.texts).split())


def test_a_mail_names_what_happened_in_its_subject():
    mail = written(notification())
    assert mail["Subject"] == "Dewi wrote"
    assert mail["From"] == "Talkwire <alerts@shop.example>"
    assert mail["To"] == "ops@example.test"
    assert mail["Date"].datetime.isoformat() == "2026-11-23T12:00:00+00:00"


def test_a_mail_is_a_text_and_the_same_as_html():
    mail = written(alert())
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    page = Page(html_of(mail))
    for said in ("Dewi wrote", "Is the blue one still there?", "Dewi Lestari", "Mark handled", "Resume"):
        assert said in text_of(mail)
        assert said in page.said


def test_no_defect_is_found_in_a_mail():
    assert written(alert(title="Δ – a long one " * 10, text="ß\n" * 20)).defects == []


def test_machines_are_told_that_a_machine_wrote():
    mail = written(notification())
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["List-Id"] == "<notifications.shop.example>"


def test_one_click_switches_mails_off():
    mail = written(notification())
    assert mail["List-Unsubscribe"] == "<https://talk.example/p/notify_email/off/token>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_without_https_no_mail_program_is_told_to_post():
    mail = written(notification(), base="http://127.0.0.1:8080")
    assert mail["List-Unsubscribe"] == "<http://127.0.0.1:8080/p/notify_email/off/token>"
    assert mail["List-Unsubscribe-Post"] is None


def test_without_a_public_address_a_mail_has_no_links():
    mail = written(alert(), base="")
    assert mail["List-Unsubscribe"] is None
    assert "http" not in text_of(mail)
    assert Page(html_of(mail)).links == []


def test_the_same_notification_is_the_same_mail():
    assert written(notification())["Message-ID"] == f"<{ID}1@shop.example>"
    assert written(notification(), bounces_to="bounce@mail.example")["Message-ID"] == f"<{ID}1@mail.example>"


def test_the_same_notifications_are_the_same_mail_in_any_order():
    first, second = notification(1), notification(2)
    ids = {written(*both)["Message-ID"] for both in ((first, second), (second, first))}
    assert len(ids) == 1
    assert ids != {written(first, notification(3))["Message-ID"]}


def test_the_mails_of_a_conversation_follow_one_another():
    one, other = written(notification(1, conversation=TALK)), written(notification(2, conversation=TALK))
    assert one["References"] == other["References"] == f"<conversation.{TALK}@shop.example>"
    assert written(notification())["References"] is None


@pytest.mark.parametrize(
    "bad", ["Dewi\r\nBcc: all@example.org", "Dewi\nBcc: all@example.org", "Dewi\u2028Bcc: x", "Dewi\x00\x1b[31m"]
)
def test_no_name_writes_a_header_of_its_own(bad):
    mail = written(notification(title=f"{bad} wrote", kind=bad), name='Ops\\" <evil@example.org>')
    assert mail["Bcc"] is None
    assert mail["From"].addresses[0].addr_spec == "alerts@shop.example"
    assert not re.search(r"[\x00-\x1f\u2028]", mail["Subject"])
    assert set(mail.keys()) == set(written(notification()).keys())


@pytest.mark.parametrize(
    "title",
    [
        "שלום עולם כתב לך הודעה חדשה בנוגע להזמנה שלך מיום שני שעבר בבוקר",
        "🙂👩‍👩‍👧 Дмитрий написал " * 5,
        "=?utf-8?b?SGVsbG8=?= is not decoded",
        "Rp 25.000 – “lampu biru” dan sebagainya",
        "plain, and as long as a line of a mail can never be, for it goes on and on: " + "word " * 15,
        "a" * 170,
    ],
)
def test_a_subject_arrives_as_it_was(title):
    raw = written_raw(notification(title=title)).content
    assert read(raw)["Subject"] == " ".join(title.split())
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_a_subject_that_goes_on_for_ever_is_cut():
    subject = written(notification(title="lampu biru " * 100))["Subject"]
    assert len(subject) == 180
    assert subject.endswith("…")


def test_what_turns_the_direction_of_a_line_is_taken_out():
    assert written(notification(title="\u202etxt.exe\u202c wrote"))["Subject"] == "txt.exe wrote"


def test_a_mail_is_seven_bits_and_no_line_is_too_long():
    raw = written_raw(
        alert(title="ünï 🙂", text="ß" * 2000 + "\n.\n..\nFrom me", details=(Detail("é", "中" * 300),))
    ).content
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_customers_write_no_markup():
    evil = '<img src="https://evil.example/x.png"><script>alert(1)</script> & {{ 7 * 7 }}'
    mail = written(alert(title=evil, text=evil, details=(Detail(evil, evil),), actions=(Option(id="a&b", title=evil),)))
    page = Page(html_of(mail))
    assert not {"img", "script", "iframe", "form"} & set(page.tags)
    assert all(link.startswith("https://talk.example/") for link in page.links)
    assert page.said.count("{{ 7 * 7 }}") == 6  # title of the page, title, text, label, value, button
    assert not [name for name in page.attributes if name.startswith("on")]


def test_nothing_is_fetched_when_a_mail_is_read():
    html = html_of(written(alert()))
    assert not re.search(r"<(img|link|script|iframe)\b|url\(|@import|src=", html)


def test_a_button_is_a_link_that_names_what_was_pressed():
    mail = written(alert(actions=(Option(id="yes & no", title="Both"),)))
    url = "https://talk.example/p/notify_email/answer/token?press=yes%20%26%20no"
    assert url in text_of(mail).splitlines()
    assert url in Page(html_of(mail)).links


def test_a_conversation_is_linked_where_the_settings_say_how():
    one = notification(conversation=TALK)
    mail = written(one, conversation_url="https://ops.example/#c={conversation}")
    assert f"https://ops.example/#c={TALK}" in text_of(mail).splitlines()
    assert f"https://ops.example/#c={TALK}" in Page(html_of(mail)).links
    assert "Open the conversation" not in text_of(written(one))


def test_a_button_that_opens_the_conversation_leads_to_it():
    one = alert(
        conversation=TALK, actions=(Option(id="open", title="Show me"), Option(id="yes", title="Yes")), opens=("open",)
    )
    mail = written(one, conversation_url="https://ops.example/#c={conversation}")
    assert Page(html_of(mail)).links.count(f"https://ops.example/#c={TALK}") == 1
    assert "Show me:\nhttps://ops.example/#c=" in text_of(mail)
    nowhere = written(one)
    assert "Show me" not in text_of(nowhere)
    assert "Yes:" in text_of(nowhere)


def test_a_text_of_many_lines_is_cut():
    text = text_of(written(notification(text="\n".join(f"line {number}" for number in range(100)))))
    assert "line 59\n" in text
    assert "line 60" not in text
    assert "…" in text


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "id",
            ["Perlu dijawab", "Jawaban pertama yang berlaku", "Hentikan surel ini", "23 November 2026, 19:00 (WIB)"],
        ),
        ("id-ID", ["Perlu dijawab"]),
        ("en", ["Needs an answer", "The first answer wins", "Switch these mails off", "23 November 2026, 19:00 (WIB)"]),
        ("fr", ["Needs an answer"]),
    ],
)
def test_a_mail_speaks_its_recipients_language(language, said):
    mail = read(written_raw(alert(), language=language, zone="Asia/Jakarta").content)
    for words in said:
        assert words in " ".join(text_of(mail).split())
        assert words in Page(html_of(mail)).said
    assert f'<html lang="{"id" if language.startswith("id") else "en"}">' in html_of(mail)


def test_the_months_are_those_of_the_language():
    august = notification(at=notification().at.replace(month=8))
    assert "23 Agustus 2026" in text_of(written(august, language="id"))
    assert "23 August 2026" in text_of(written(august))


def test_several_are_one_mail_grouped_by_conversation():
    first, second, other = (
        notification(n, conversation=c, title=t)
        for n, c, t in ((1, TALK, "Dewi wrote"), (2, "other", "Budi wrote"), (3, TALK, "Dewi wrote again"))
    )
    mail = written(first, second, other)
    assert mail["Subject"] == "3 notifications: Dewi wrote again"
    text = text_of(mail)
    assert text.index("Dewi wrote\n") < text.index("Dewi wrote again") < text.index("Budi wrote")
    assert mail["References"] is None


def test_several_of_one_conversation_say_so():
    mail = written(notification(1, conversation=TALK), notification(2, conversation=TALK, title="Dewi wrote again"))
    assert mail["Subject"] == "Dewi wrote again (and 1 more)"
    assert mail["References"] == f"<conversation.{TALK}@shop.example>"


def test_only_the_newest_of_a_conversation_asks():
    mail = written(alert(1, conversation=TALK), alert(2, conversation=TALK))
    assert text_of(mail).count("Mark handled:") == 1


@pytest.mark.parametrize(
    "address", ["nobody", "a@b@c", "a b@example.org", "x@y.example\nBcc: z", "", "a@" + "x" * 80 + ".example"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(Refused):
        written(notification(), address=address)


def test_a_domain_in_other_letters_is_written_in_ours():
    assert written_raw(notification(), address="ops@bücher.example").recipient == "ops@xn--bcher-kva.example"


def test_an_alert_is_important():
    assert written(alert())["Importance"] == "high"
    assert written(notification())["Importance"] is None
