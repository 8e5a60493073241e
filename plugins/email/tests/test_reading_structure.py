"""Parts in parts, however they are put together: each file once, each text where people read it."""

from __future__ import annotations

import base64

import pytest

from talkwire import Unread
from talkwire_email.reading.contents import unflowed
from talkwire_email.reading.transfer import content_of

from .letters import files, items, message, original, written
from .samples import PICTURE


def part(head: str, body: str | bytes = "") -> bytes:
    content = body if isinstance(body, bytes) else body.encode()
    return (head + "\n\n").encode() + content


def many(kind: str, *parts: bytes, boundary: str = "b", end: bool = True) -> bytes:
    """Put parts together; the first line is their type."""
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n'.encode()
    mark = f"\n--{boundary}".encode()
    return head + b"".join(mark + b"\n" + one for one in parts) + (mark + b"--\n" if end else b"")


def test_a_mail_that_is_a_file_has_that_file():
    found = written("Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64", base64.b64encode(PICTURE))
    assert files(found) == [("a.png", "image/png", PICTURE)]
    assert found.text == ""
    found = written("Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt", "a")
    assert files(found) == [("a.txt", "text/plain", b"a")]


def test_a_related_picture_inside_an_alternative_is_listed_with_its_id():
    found = message(
        many(
            "alternative",
            part("Content-Type: text/plain", "plain"),
            many("related", part("Content-Type: text/html", "<p>hyper <img src=cid:p1>"), part("Content-Type: image/png\nContent-ID: <p1>", b"x"), boundary="i"),
        )
    )  # fmt: skip
    assert found.text == "plain"
    assert [(one.content_id, one.media_type) for one in found.blocks[1:]] == [("p1", "image/png")]
    assert 'src="cid:p1"' in original(found).html


def test_texts_after_files_belong_to_the_text():
    found = message(
        many(
            "mixed",
            part("Content-Type: text/plain", "above"),
            part("Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf", "x"),
            part("Content-Type: text/plain", "footer"),
        )
    )
    assert found.text == "above\n\nfooter"
    assert files(found) == [("a.pdf", "application/pdf", b"x")]


@pytest.mark.parametrize(
    "head",
    [
        "Content-Type: text/plain\nContent-Disposition: attachment",
        "Content-Type: text/plain; name=notes.txt\nContent-Disposition: inline",
        "Content-Type: text/plain\nContent-ID: <t1>",
    ],
)
def test_a_text_that_lies_beside_the_text_is_a_file(head):
    found = message(many("mixed", part("", "body"), part(head, "notes")))
    assert found.text == "body"
    assert [content for _, _, content in files(found)] == [b"notes"]


def test_a_mail_in_a_mail_is_one_file_named_by_its_subject():
    inner = many("mixed", part("", "inside"), part("Content-Type: application/pdf", "x"))
    found = message(many("mixed", part("", "see"), part("Content-Type: message/rfc822", b"Subject: =?utf-8?q?A/B_=E2=82=AC?=\n" + inner), boundary="o"))  # fmt: skip
    assert [(name, kind) for name, kind, _ in files(found)] == [("A-B €.eml", "message/rfc822")]
    assert inner.rstrip(b"\n") in files(found)[0][2]
    digest = message(many("digest", part("", "Subject: one\n\n1"), part("", "Subject: two\n\n2")))
    assert [name for name, _, _ in files(digest)] == ["one.eml", "two.eml"]


@pytest.mark.parametrize(
    ("kind", "note"),
    [("enveloped-data", "encrypted"), ("signed-data", "signed in a form")],
)
def test_sealed_mails_say_so_and_keep_what_came(kind, note):
    found = written(f"Content-Type: application/pkcs7-mime; smime-type={kind}; name=smime.p7m", b"sealed")
    assert note in found.text
    assert files(found) == [("smime.p7m", "application/pkcs7-mime", b"sealed")]


@pytest.mark.parametrize(
    "mail",
    [
        b"Content-Type: multipart/mixed\n\n--xyz\nContent-Type: text/plain\n\nhello\n--xyz--\n",
        b"Content-Type: multipart/mixed; boundary=wrong\n\n--xyz\nContent-Type: text/plain\n\nhello\n--xyz--\n",
        many("mixed", part("", "hello"), end=False),
        many("mixed", part("", "hello"), boundary="x" * 90),
        b"Content-Type: multipart/mixed; boundary=x\n\n--x  \t\n\nhello\n--x--  \n",
        b"Content-Type: multipart/mixed boundary=x\n\n--x\n\nhello\n--x--",
        b'Content-Type: multipart/mixed; boundary="x "\n\n--x\n\nhello\n--x--',
        b"Content-Type: multipart/mixed; boundary=x\n\nhello",
        b"Content-Type: text\nContent-Type: text/plain\n\nhello",
        b"Content-Type: nonsense\nContent-Transfer-Encoding: text/html\n\nhello",
        b"Content-Transfer-Encoding: 7-bit\n\nhello",
        b"Content-Transfer-Encoding: base64\n\naGVsb G8\n",
        b"hello",
        b"\nhello",
    ],
)
def test_broken_structures_lose_no_text(mail):
    assert message(mail if b":" in mail.split(b"\n")[0] else b"From: a@b.example\n\n" + mail).text == "hello"


@pytest.mark.parametrize(
    ("came", "encoding", "content"),
    [
        (b"aGVs\r\nbG8=", "base64", b"hello"),
        (b"aGVsbG8", " BASE64 ", b"hello"),
        (b"aGVsbG8=\n_______\nlist footer!", "base64", b"hello"),
        (b"aGVs\nbG8=\nIHRoZXJl\n", "base64", b"hello there"),
        (b"aG!!Vsb@@G8", "base64", b"hello"),
        (b"a", "base64", b""),
        (b"caf=C3=A9 =\r\nx=ZZ", "quoted-printable", b"caf\xc3\xa9 x=ZZ"),
        (b"begin 644 a\n#:&5L\n#;&\\A\n`\nend\n", "x-uuencode", b"hello!"),
        (b"no begin", "uuencode", b"no begin"),
        (b"raw \xff", "8bit", b"raw \xff"),
    ],
)
def test_contents_come_out_of_broken_encodings(came, encoding, content):
    assert content_of(came, encoding) == content


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ('Content-Disposition: attachment; filename="a \\"b\\".pdf"', 'a "b".pdf'),
        ('Content-Disposition: attachment; filename="C:\\letters\\may.pdf"', "C:\\letters\\may.pdf"),
        ("Content-Disposition: attachment; filename=This is a test.pdf", "This is a test.pdf"),
        ('Content-Disposition: attachment; filename="my "best" file.pdf"', 'my "best" file.pdf'),
        ('Content-Disposition: attachment; filename="=?utf-8?b?w6kucGRm?="', "é.pdf"),
        ("Content-Disposition: attachment; filename*=UTF-8''%C3%A9.pdf", "é.pdf"),
        ("Content-Disposition: attachment; filename=fallback.pdf;\n filename*=utf-8'en'%e2%82%ac.pdf", "€.pdf"),
        ("Content-Disposition: attachment; filename*1=b.pdf; filename*0=a", "ab.pdf"),
        ("Content-Disposition: attachment;\n\tfilename*0*=iso-8859-1''%E9;\n\tfilename*1*=%E8.pdf", "éè.pdf"),
        ("Content-Disposition: attachment; filename=../../etc/passwd", "../../etc/passwd"),  # the core makes it safe
        ('Content-Disposition: attachment; filename="a\u202efdp.exe"', "a fdp.exe"),
        ("Content-Description: The plan", "The plan.pdf"),
        ("X: y", "file-1.pdf"),
    ],
)  # fmt: skip
def test_a_file_is_called_what_its_writer_called_it(head, name):
    kind = "Content-Type: application/pdf"
    assert files(written(f"{head}\n{kind}", b"x"))[0][0] == name


def test_a_name_may_stand_in_the_content_type_alone():
    assert files(written("Content-Type: application/pdf; name*=utf-8''%C3%A9.pdf", b"x"))[0][0] == "é.pdf"


def test_flowed_lines_are_joined():
    text = "One line \nthat goes on.\n> quoted \n> too\n>> deeper\n stuffed\n-- \nAnn"
    assert unflowed(text) == "One line that goes on.\n> quoted too\n> > deeper\nstuffed\n-- \nAnn"
    assert unflowed("del \nsp", joins=True) == "delsp"
    assert written("Content-Type: text/plain; format=flowed", "a \nb").text == "a b"


def test_more_parts_than_anybody_reads_are_one_file():
    found = message(many("mixed", *(part("Content-Type: application/pdf", str(n)) for n in range(300))))
    assert len(found.blocks) < 205
    assert files(found)[-1][0] == "more-of-this-mail.eml"
    assert b"299" in files(found)[-1][2]


def test_what_is_nested_too_deep_is_one_file():
    mail = part("Content-Type: text/plain", "deep")
    for n in range(40):
        mail = many("mixed", mail, boundary=f"b{n}x")
    [(name, _, content)] = files(message(mail))
    assert name == "more-of-this-mail.eml"
    assert b"deep" in content


def test_a_text_that_is_too_long_to_read_is_a_file_as_well():
    found = written("Content-Type: text/plain", "word " * 60_000)
    assert len(found.text) < 201_000
    assert found.text.endswith("[The rest of this text is in the file.]")
    assert len(files(found)[0][2]) == 300_000
    found = written("Content-Type: text/html", "<p>word" * 80_000)
    assert found.text.startswith("word")
    assert len(files(found)[0][2]) == 560_000


def test_a_mail_that_is_too_large_is_announced_with_its_headers():
    found = written(
        "Subject: film\nContent-Type: multipart/mixed; boundary=b", path="/INBOX/7/headers", size="31457280"
    )
    assert (
        found.text
        == "[Only the header of this mail is here: it is too large (30.0 MiB), or its server could not give it. The mail lies in the mailbox.]"
    )
    assert (found.subject, found.address.value) == ("film", "ann@customer.example")
    [unread] = items(b"", path="/INBOX/7/headers", size="10")
    assert isinstance(unread, Unread)
    assert "could not give this mail" in unread.reason
    assert "MiB" not in written("Subject: film", path="/INBOX/7/headers", size="?").text


def test_an_empty_mail_is_a_message():
    assert written("Subject: nothing").text == ""
    assert message(b"From: a@b.example").blocks == ()
