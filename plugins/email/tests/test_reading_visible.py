"""What people read first: what is new in a mail, with nothing of their own cut off."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import pytest

from talkwire_email.reading.hypertext import hypertext

from .letters import files, original, written
from .samples import PICTURE

QUOTE = "> may we\n> bring it?"


@pytest.mark.parametrize(
    "attribution",
    [
        "On Mon, Nov 23, 2026 at 9:30 AM Support <support@shop.example> wrote:",
        "On Mon, Nov 23, 2026 at 9:30 AM Support\n<support@shop.example>\nwrote:",
        "On 23/11/2026 09:30, Support wrote:",
        "Pada tanggal Sen, 23 Nov 2026 pukul 09.30 Toko <support@shop.example> menulis:",
        "Pada Sen, 23 Nov 2026 09.30, Toko\n<support@shop.example> menulis:",
        "Pada 23/11/2026 09.30, Toko menulis :",
        "Am 23.11.26 um 09:30 schrieb Support:",
        "Le 23/11/2026 à 09:30, Support a écrit :",
        "El lun, 23 nov 2026 a las 9:30, Support escribió:",
        "Support <support@shop.example> wrote:",
        "-----Original Message-----",
        "----- Pesan Asli -----",
    ],
)
def test_a_quote_below_is_left_out_with_the_line_that_introduces_it(attribution):
    if "schrieb" in attribution:
        attribution = "Am 23.11.26 um 09:30 Uhr, Support <support@shop.example> schrieb:"
    whole = f"Yes.\n\nTomorrow.\n\n{attribution}\n\n{QUOTE}\n"
    found = written("Subject: Re: x", whole)
    assert found.text == "Yes.\n\nTomorrow."
    assert original(found).text == whole.rstrip("\n")


@pytest.mark.parametrize(
    "block",
    [
        "From: Support <support@shop.example>\nSent: Monday, November 23, 2026\nTo: Ann\nSubject: Re: x",
        "________________________________\nFrom: Support\nDate: Monday\nTo: Ann\nSubject: Re: x",
        "Dari: Toko <support@shop.example>\nDikirim: Senin, 23 November 2026 09.30\nKepada: Siti\nPerihal: Re: x",
        "Von: Support\nGesendet: Montag\nAn: Ann\nBetreff: AW: x",
        "*From:* Support\n*Sent:* Monday\n*To:* Ann",
    ],
)
def test_a_block_of_headers_as_outlook_writes_it_ends_what_is_new(block):
    assert written("Subject: Re: x", f"Yes.\n\n{block}\n\nMay we bring it?\nOr not?").text == "Yes."


def test_answers_between_the_quoted_lines_keep_their_questions():
    whole = "On 1 Nov 2026, at 09:30, Support wrote:\n> Which colour?\nBlue.\n> Which size?\nM.\n> Regards"
    assert written("Subject: Re: x", whole).text.endswith("> Which colour?\nBlue.\n> Which size?\nM.")


def test_an_answer_below_the_quote_is_what_is_new():
    assert written("Subject: Re: x", f"On 1 Nov 2026 09:30, Support wrote:\n{QUOTE}\n\nYes.").text == "Yes."
    assert written("Subject: Re: x", f"Hi,\n{QUOTE}\nYes.").text == "Hi,\n\nYes."


@pytest.mark.parametrize(
    "body",
    [
        "---------- Forwarded message ---------\nFrom: a@b.example\nDate: x\nSubject: y\nTo: z\n\nthe invoice",
        "Begin forwarded message:\n\nFrom: a@b.example\nSubject: y\nTo: z\n\nthe invoice",
        "FYI\n\nFrom: a@b.example\nSent: x\nTo: z\nSubject: y\n\nthe invoice",
        QUOTE,
    ],
)
def test_a_mail_that_is_passed_on_keeps_what_it_is_about(body):
    assert written("Subject: Fwd: y", body).text == body


def test_a_mail_that_is_passed_on_is_shown_whole_below_a_signature_and_in_hypertext():
    whole = "See below.\n--\nAnn\n\n---------- Forwarded message ---------\nFrom: a@b.example\n\nthe invoice"
    assert written("Subject: x", whole).text == whole
    html = "<div>See.</div><div class=gmail_quote><div class=gmail_attr>---------- Forwarded message ---------<br>From: a</div>the invoice</div>"
    assert (
        written("Content-Type: text/html", html).text
        == "See.\n---------- Forwarded message ---------\nFrom: a\nthe invoice"
    )
    html = "<div>Begin forwarded message:</div><blockquote type=cite>the invoice</blockquote>"
    assert written("Content-Type: text/html", html).text == "Begin forwarded message:\n\n> the invoice"
    html = "<div>See.</div><div id=divRplyFwdMsg>From: a</div><div>the invoice</div>"
    assert written("Subject: FW: x\nContent-Type: text/html", html).text == "See.\nFrom: a\nthe invoice"
    assert written("Subject: Re: FW: x\nContent-Type: text/html", html).text == "See."


def test_hypertext_that_hides_its_rest_is_there_as_a_file():
    for rest in ("<style>", "<!-- ", "<title>", "<b x='"):
        found = written("Content-Type: text/html", f"<p>seen{rest}hidden")
        assert [name for name, _, _ in files(found)] == ["mail.html"], rest
        assert found.text.startswith("seen")
    deep = written("Content-Type: text/html", "<div>" * 600 + "<style>x</STYLE>deep<script>y</script><br>er")
    assert deep.text == "deep\ner"
    long = written("Content-Type: text/html", "<p>" + "word " * 50_000)
    assert len(long.text) < 200_200
    assert [name for name, _, _ in files(long)] == ["mail.html"]


def test_what_only_looks_like_a_quote_stays():
    for body in (
        "From: Jakarta\nI need two tickets.",
        "On Monday Peter wrote:\nthat he is away.",
        "Our dog wrote:\nwoof",
        "A --- B\n-- not a signature",
        "Pada hari itu saya menulis:\nsurat",
    ):
        assert written("Subject: x", body).text == body


@pytest.mark.parametrize(
    "end",
    ["-- \nAnn Baker\nBaker Ltd", "--\nAnn", "Sent from my iPhone", "Dikirim dari iPhone saya", "Get Outlook for iOS", "Dikirim dari Yahoo Mail di Android"],
)  # fmt: skip
def test_a_signature_is_left_out(end):
    assert written("Subject: x", f"Yes.\n\n{end}").text == "Yes."
    assert written("Subject: x", f"Yes.\n\n{end}\n\nOn 1 Nov 2026 09:30, Support wrote:\n{QUOTE}").text == "Yes."
    assert written("Subject: x", end).text == end.replace("-- ", "--")


def test_marks_of_quotes_in_hypertext_are_believed_before_the_lines():
    for quoted in (
        '<div class="gmail_quote"><div class="gmail_attr">Den 3 nov skrev X:</div><blockquote class="gmail_quote">old</blockquote></div>',
        '<div>Dne 3. 11. napsal X:</div><blockquote type="cite">old</blockquote>',
        '<div class="moz-cite-prefix">x said</div><blockquote type="cite" cite="mid:1">old</blockquote>',
        '<div id="divRplyFwdMsg">whoever</div><div>old</div>',
        '<span id="OLK_SRC_BODY_SECTION"><div>old</div></span>',
        '<div class="yahoo_quoted"><div>old</div></div>',
        '<div class="protonmail_quote">x <blockquote>old</blockquote></div>',
        '<hr id="stopSpelling"><p>old',
    ):
        found = written("Content-Type: text/html", f"<div>Yes, <b>new</b>.</div>{quoted}")
        assert "old" not in found.text, quoted
        assert found.text.startswith("Yes, new.")
        assert "old" in original(found).text
        assert "old" in original(found).html


def test_answers_inside_a_gmail_quote_stay():
    found = written(
        "Content-Type: text/html",
        '<div class="gmail_quote"><div class="gmail_attr">On x wrote:</div><blockquote class="gmail_quote">colour?</blockquote>'
        "<div>Blue.</div><blockquote>size?</blockquote><div>M.</div></div>",
    )
    assert found.text == "On x wrote:\n\n> colour?\n\nBlue.\n\n> size?\n\nM."


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("a  \n b&nbsp;c &lt;d&gt; &amp;amp; &#x41;&#66;", "a b c <d> &amp; AB"),
        ("<ul><li>a<li>b</ul>c", "- a\n- b\n\nc"),
        ("<ol start=3><li>a</li><li>b</li></ol>", "3. a\n4. b"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a  b\nc"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ('<a href="https://x.example/p?q=1">here</a>', "here (https://x.example/p?q=1)"),
        ('<a href="https://x.example/">x.example</a>', "x.example"),
        ('<a href="javascript:alert(1)">here</a>', "here"),
        ("<a href=mailto:a@b.example>a@b.example</a>", "a@b.example"),
        ("<blockquote>a<br>b</blockquote>", "> a\n> b"),
        ("<style>p{}</style><title>t</title><script>1<2</script>a", "a"),
        ("<!-- a -->b<!-->c", "b"),
        ("<textarea>a<b></textarea>", "a<b>"),
        ("<img alt='a  cat' src=x>", "[a cat]"),
        ("1 < 2 and <3", "1 < 2 and <3"),
        ("<p>cut <b attr='", "cut"),
        ("a<hr>b", "a\n---\nb"),
        ('<p title="a>b">c</p>', "c"),
        ("&#99999999999999999999;&bogus;", "\ufffd&bogus;"),
        ("<h1>a</h1>b", "a\n\nb"),
        ("", ""),
    ],
)  # fmt: skip
def test_hypertext_becomes_text(html, text):
    assert hypertext(html).text == text


def test_plain_and_hypertext_after_each_other_are_both_read():
    mail = (
        "--b\nContent-Type: text/html\n\n<p>one</p>\n--b\nContent-Type: application/pdf\n\nx\n"
        "--b\nContent-Type: text/plain\n\ntwo <3\n--b--"
    )
    found = written("Content-Type: multipart/mixed; boundary=b", mail)
    assert found.text == "one\n\ntwo <3"
    assert original(found).html == "<p>one</p> <pre>two &lt;3</pre>"


class Shown(HTMLParser):
    """What a browser would find."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.loads = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.loads += [value or "" for name, value in attrs if name in ("href", "src")]


REFUSED = {
    "script",
    "style",
    "iframe",
    "form",
    "input",
    "button",
    "object",
    "embed",
    "svg",
    "math",
    "meta",
    "link",
    "base",
    "video",
    "noscript",
}
HOSTILE = (
    "<script>alert(1)</script>",
    "<svg onload=alert(1)>",
    "<img src=x onerror=alert(1)>",
    "<img src=https://tracker.example/a.gif>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<a href='java&#10;script:alert(1)'>x</a>",
    "<a href=' JaVaScRiPt:alert(1)'>x</a>",
    "<a href='data:text/html,<script>1</script>'>x</a>",
    "<form action=https://evil.example><input name=a><button>b</button></form>",
    "<iframe src=https://evil.example></iframe>",
    "<link rel=stylesheet href=https://evil.example>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example>",
    "<p style='background:url(https://evil.example)' class=x id=y onclick=z>t</p>",
    "<style>@import 'https://evil.example'</style>",
    "<table background=https://evil.example><td>x</table>",
    "<video src=https://evil.example poster=https://evil.example></video>",
    "<object data=https://evil.example><embed src=https://evil.example>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<a href=https://x.example ping=https://evil.example target=_top>x</a>",
    "<img src=cid:a srcset='https://evil.example 2x' style='x'>",
    "<img src='cid:a\" onerror=alert(1) x=\"'>",
    "<svg><style><!--</style><img src=x onerror=alert(1)>-->",
    "<textarea></textarea><script>alert(1)</script>",
    "<xmp><script>alert(1)</script></xmp>",
    "<<script>alert(1)//<</script>",
    "<scr\0ipt>alert(1)</scr\0ipt>",
)


@pytest.mark.parametrize("html", HOSTILE)
def test_hypertext_that_is_shown_loads_and_runs_nothing(html):
    safe = hypertext(f"<p>before</p>{html}<p>after</p>").safe
    shown = Shown()
    shown.feed(safe)
    assert shown.attributes <= {"href", "rel", "src", "alt"}, safe
    assert all(value.lower().startswith(("https://x.example", "cid:")) for value in shown.loads), safe
    assert not shown.tags & REFUSED, safe
    assert "before" in safe


def test_a_link_goes_out_with_its_safe_scheme_and_rel_and_a_picture_only_from_the_mail():
    safe = hypertext(
        '<a href="https://x.example/?a=1&amp;b" title=t>x</a><img src="CID:p@1" width=10 height="9999999">'
    ).safe
    assert '<a href="https://x.example/?a=1&amp;b" title="t" rel="noopener noreferrer nofollow">x</a>' in safe
    assert safe.endswith('<img src="cid:p@1" alt="" width="10">')


def test_a_picture_that_is_written_into_the_hypertext_is_a_file_that_it_shows():
    data = base64.b64encode(PICTURE).decode()
    found = written("Content-Type: text/html", f"<p>See <img src='data:image/png;charset=x;base64,{data}'>")
    assert files(found) == [("picture-1.png", "image/png", PICTURE)]
    assert found.blocks[1].content_id == "picture-1@this.mail"
    assert original(found).html == '<p>See <img src="cid:picture-1@this.mail" alt=""></p>'


def test_an_id_of_a_picture_is_found_as_it_stands_in_an_address():
    assert hypertext("<img src='cid:a%20b%40c'>").safe == '<img src="cid:a b@c" alt="">'


def test_hypertext_may_name_its_charset_itself():
    body = "<meta http-equiv=content-type content='text/html; charset=koi8-r'><p>Привет".encode("koi8-r")
    assert written("Content-Type: text/html", body).text == "Привет"
    assert written("Content-Type: text/html; charset=utf-8", "<meta charset=koi8-r>é").text == "é"
