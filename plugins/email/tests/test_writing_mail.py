"""The bytes of a mail, read back by the standard library."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkwire import Address, Part, Refused
from talkwire_email.own import Own
from talkwire_email.writing import File, Letter, compose

from .mailer import KEY, OWN, checked, outgoing, read, text_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OTHER = "01936b2e-8c00-7000-8000-0000000000b2"


def mail(text="Hello", files=(), own=OWN, letter=None, more=None, **changes):
    made = letter or Letter(subject="Your parcel")
    return compose(outgoing(text, **changes), made, tuple(files), own=own, settings=checked(**(more or {})), now=NOW)


def test_a_mail_says_who_writes_to_whom_about_what():
    parsed = read(mail().content)
    assert dict(parsed.items()) == {
        "Date": "Wed, 27 Nov 2024 01:13:52 +0000",
        "From": "Acme Support <support@example.test>",
        "To": "Ann Lee <ann@example.org>",
        "Reply-To": f"Acme Support <{OWN.reply_address(KEY)}>",
        "Subject": "Your parcel",
        "Message-ID": f"<{KEY}@example.test>",
        "X-Talkwire-Loop": "support@example.test",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"; format="flowed"',
        "Content-Transfer-Encoding": "7bit",
    }
    assert text_of(parsed) == "Hello\n"


def test_every_attempt_and_every_copy_is_the_same_mail():
    letter = Letter(subject="Hello", cc=("bo@example.org",))
    first = mail(letter=letter)
    again = mail(letter=letter, attempt=3)
    copy = mail(letter=letter, key=OTHER, copy_of=KEY, recipient="bo@example.org")
    assert first.content == again.content == copy.content
    assert (first.recipient, copy.recipient) == ("ann@example.org", "bo@example.org")


def test_a_blind_copy_names_nobody_who_gets_it():
    letter = Letter(subject="Hello", cc=("bo@example.org",))
    blind = mail(letter=letter, key=OTHER, copy_of=KEY, recipient="eve@example.org")
    assert blind.recipient == "eve@example.org"
    assert b"eve" not in blind.content
    assert read(blind.content)["Cc"] == "bo@example.org"


def test_answers_go_where_the_correspondent_asked_for_them():
    to_another = mail(letter=Letter(subject="Hello", to="desk@example.org"))
    assert to_another.recipient == "desk@example.org"
    assert read(to_another.content)["To"].addresses[0].addr_spec == "desk@example.org"


def test_without_plus_addresses_no_reply_to_stands_in_the_mail():
    assert read(mail(more={"plus": False}).content)["Reply-To"] is None
    assert read(mail(own=Own(address="support@example.test")).content)["Reply-To"] is None


def test_a_machine_says_that_it_is_one():
    automatic = read(mail(automatic=True, more={"read_receipts": True}).content)
    assert automatic["Auto-Submitted"] == "auto-replied"
    assert automatic["X-Auto-Response-Suppress"] == "All"
    assert automatic["Disposition-Notification-To"] is None
    assert read(mail().content)["Auto-Submitted"] is None


def test_a_receipt_is_asked_for_only_where_the_account_says_so():
    assert read(mail().content)["Disposition-Notification-To"] is None
    asked = read(mail(more={"read_receipts": True}).content)
    assert asked["Disposition-Notification-To"] == "<support@example.test>"


def test_references_hold_twenty_ids_the_first_among_them():
    ids = tuple(f"<m{n}@example.org>" for n in range(40))
    parsed = read(mail(thread="<first@example.org>", references=ids, last_inbound=ids[-2]).content)
    assert parsed["In-Reply-To"] == ids[-2]
    found = parsed["References"].split()
    assert (len(found), found[0], found[-2:]) == (20, "<first@example.org>", [ids[-1], ids[-2]])


def test_the_message_that_is_answered_goes_before_the_last_one():
    parsed = read(mail(reply_to="<a@x>", last_inbound="<b@x>", references=("<a@x>", "<b@x>"), thread="<a@x>").content)
    assert (parsed["In-Reply-To"], parsed["References"]) == ("<a@x>", "<b@x> <a@x>")


def test_what_is_no_message_id_is_no_reference():
    wild = ("#1f2e3d4c5b6a", "", "plain", "<a b@c>", "<ok@x>\r\nBcc: eve@x", f"<{KEY}@example.test>")
    assert (
        read(mail(references=wild, thread="#1f2e3d4c5b6a", last_inbound="#1f2e3d4c5b6a").content)["References"] is None
    )


def test_a_talk_that_nobody_answered_yet_follows_our_own_first_mail():
    ours = f"<{OTHER}@example.test>"
    parsed = read(mail(references=(ours,), thread="0193-a-name-of-the-core").content)
    assert (parsed["In-Reply-To"], parsed["References"]) == (ours, ours)


@pytest.mark.parametrize(
    "subject",
    [
        "Pesanan Anda sudah dikirim",
        "Grüße aus Köln – 你好, wie läuft’s? " * 5 + "Gut!",
        "=?utf-8?q?not_encoded?=",
        "x" * 300,
        "word " * 100 + "end",
        "",
    ],
)
def test_a_subject_comes_out_as_it_was_written(subject):
    content = mail(letter=Letter(subject=subject)).content
    assert read(content)["Subject"] == subject
    assert max(len(line) for line in content.split(b"\r\n\r\n")[0].split(b"\r\n")) <= 78


@pytest.mark.parametrize("name", ["Ann Lee", 'Ann "the" Lee', "Lee, Ann (Acme)", "Zoë 李", "a\\b", "=?x?=", "n" * 90])
def test_a_name_stands_beside_its_address(name):
    parsed = read(mail(address=Address(kind="email", value="ann@example.org", name=name)).content)
    (to,) = parsed["To"].addresses
    assert (to.display_name, to.addr_spec) == (name, "ann@example.org")


HOSTILE = st.text(alphabet='ab\r\n\0\u2028:<>"\\,;@= \té', max_size=60)


@given(name=HOSTILE, subject=HOSTILE, file=HOSTILE, text=HOSTILE)
def test_nothing_that_anybody_writes_becomes_a_header(name, subject, file, text):
    made = mail(
        f"{text}\r\nBcc: eve@example.org",
        letter=Letter(subject=f"{subject}\r\nBcc: eve@example.org"),
        files=[File(f"{file}\r\nBcc: eve@example.org", "text/plain\r\nBcc: eve@example.org", b"x")],
        address=Address(kind="email", value="ann@example.org", name=f"{name}\r\nBcc: eve@example.org"),
    )
    heads = list(read(made.content).walk())
    assert [part["Bcc"] for part in heads] == [None] * 3
    assert not re.search(rb"[^\r]\n|\r[^\n]", made.content)
    assert [part.get_content_type() for part in heads] == [
        "multipart/mixed", "text/plain", "application/octet-stream",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    ["ann@example.org\r\nDATA", "a b@example.org", "ann", "<ann@example.org>", "a@b@c", "ann@", "", "a,b@x.org"],
)
def test_what_is_no_address_is_refused_before_anything_is_said(address):
    with pytest.raises(Refused, match="no e-mail address"):
        mail(address=Address(kind="email", value=address))


def test_an_international_domain_is_written_in_ascii():
    made = mail(address=Address(kind="email", value="ann@bücher.example"))
    assert (made.recipient, made.is_ascii) == ("ann@xn--bcher-kva.example", True)


def test_only_letters_before_the_at_need_smtputf8():
    made = mail(address=Address(kind="email", value="jürgen@example.org"))
    assert (made.recipient, made.is_ascii) == ("jürgen@example.org", False)
    assert "To: Jürgen".encode() in mail(
        address=Address(kind="email", value="jürgen@example.org", name="")
    ).content.replace(b"To: <j", b"To: J")


TEXT = (
    "Halo Ann,\n\n"
    + "Kiriman Anda – nomor 12 – sudah sampai di Köln. " * 10
    + "\n.\nFrom there it goes on.\n> quoted\n"
)


def test_a_text_that_is_not_ascii_survives_a_seven_bit_road():
    made = mail(TEXT)
    assert made.content.isascii()
    parsed = read(made.content)
    assert parsed["Content-Transfer-Encoding"] == "quoted-printable"
    flowed = text_of(parsed).replace(" \n", " ")
    assert flowed == TEXT.replace(". \n.", ".\n.").replace("\nFrom", "\n From") + "\n"


def test_files_are_attachments_of_the_same_mail():
    files = [
        File("parcel.png", "image/png", bytes(range(256)) * 40),
        File(
            "Rechnung für Köln – November 2026, mit allen Anlagen und noch mehr Worten.pdf", "application/pdf", b"%PDF"
        ),
        File("two words.txt", "text/plain", b"caf\xe9"),
    ]
    parsed = read(mail("See the files.", files).content)
    text, *attached = parsed.iter_parts()
    assert (text.get_content_type(), text_of(text)) == ("text/plain", "See the files.\n")
    assert [(one.get_filename(), one.get_content_type(), one.get_payload(decode=True)) for one in attached] == [
        (file.name, file.media_type, file.content) for file in files
    ]
    assert all(one.get_content_disposition() == "attachment" for one in attached)


@pytest.mark.requirement("CARD-04")
@pytest.mark.parametrize("media_type", ["text/html", "TEXT/HTML", "message/rfc822", "image/svg+xml", "multipart/mixed"])
def test_a_file_of_markup_goes_as_bytes(media_type):
    parsed = read(mail(files=[File("page.html", media_type, b"<b>hello</b>")]).content)
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "application/octet-stream"]


def test_a_long_word_goes_out_unbroken():
    url = "https://shop.example/" + "x" * 1200
    content = mail(f"See {url} please").content
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert url in read(content).get_content()


def test_a_part_without_a_payload_is_a_mail_of_its_text():
    from talkwire_email.writing import letter_of

    letter = letter_of(Part(text="\nHello there\nmore"))
    assert letter == Letter(subject="Hello there")
