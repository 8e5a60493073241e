"""A draft as a person reads it in a mail."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from talkwire import (
    Address,
    Attachment,
    AttachmentClass,
    Buttons,
    Card,
    Choice,
    Choices,
    Direction,
    Draft,
    FormLink,
    Forward,
    Location,
    Media,
    Message,
    Option,
    Original,
    RenderContext,
    Template,
    Text,
    Unsupported,
    draft,
)
from talkwire_email.writing import letter_of, render

from .mailer import ANN, checked

SAMPLES = Path(__file__).parent / "samples"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def message(text="Where is my parcel?\n\nIt was due on Friday.", **changes):
    given = {
        "id": "m1", "conversation": "c1", "account": "kit", "direction": Direction.IN, "n": 1, "at": NOON,
        "stored_at": NOON, "text": text, "blocks": (), "author": "", "external_id": "<q@example.org>#0", "reply_to": "",
        "group": "", "subject": "Parcel 12", "state": None, "reason": "",
    }  # fmt: skip
    return Message(**{**given, **changes})


def attachment(id_, name, size=1000):
    return Attachment(id=id_, name=name, media_type="image/png", size=size, sha256="0" * 64, cls=AttachmentClass.MEDIA)


FILES = {
    one.id: one for one in (attachment("f1", "parcel.png"), attachment("f2", "map.png"), attachment("f3", "a.pdf"))
}


def written(said, *, context=None, more=None, **known):
    said = draft(said) if isinstance(said, str) else said
    known.setdefault("attachments", FILES)
    rendered = render(said, context or RenderContext(account="kit", address=ANN, **known), checked(**(more or {})))
    (part,) = rendered.parts
    return part.text, letter_of(part), [d.what for d in rendered.degradations]


RICH = Draft(
    blocks=(
        Text(
            "# Your parcel\n\nIt is **on its way**, *nearly* there; see [the map](https://shop.example/map?a=1&b=2).\n\n"
            "- packed\n- sent\n  - by ship\n    - on Monday\n  - by truck\n\n"
            "| Item | Price |\n|---|---|\n| Cup | 10 |\n| Plate, very large, with a blue rim and a story of its own | 20 |\n\n"
            "Type `track 12`, or run\n\n```sh\ntrack --number 12 \\\n  --verbose\n```\n\n"
            "> You wrote that it was late.\n\n![a picture](https://shop.example/parcel.png)"
        ),
        Buttons(text="Is that *good*?", options=(Option("y", "Yes"), Option("n", "No"), Option("c", "Call me"))),
        Card(
            title="Cup No. 7",
            text="Blue, **handmade**.",
            image="f1",
            options=(Option("b", "Buy", url="https://shop.example/7"),),
        ),
    ),
    reply_to="m1",
)


@pytest.mark.requirement("CARD-04")
@pytest.mark.requirement("3DR-05")
def test_everything_that_a_draft_can_hold_is_readable_text():
    """The golden file is what the customer reads: look at it when it changes."""
    text, letter, losses = written(
        RICH, last_inbound=message(), subject="Parcel 12", more={"signature": "Acme Support\nJakarta"}
    )
    assert text == (SAMPLES / "rich.txt").read_text()
    assert (letter.subject, letter.attachments) == ("Re: Parcel 12", ("f1",))
    assert losses == [
        *("marks_dropped", "table_as_text", "links_as_text"),
        *("marks_dropped", "buttons_as_text"),
        *("card_as_text", "marks_dropped", "links_as_text", "buttons_as_text", "picture_attached"),
    ]


@pytest.mark.parametrize(
    ("block", "reads", "loss"),
    [
        (
            Choices(text="Which one?", button="Choose", options=(Option("a", "Red", "as wine"), Option("b", "Blue"))),
            "Which one?\n\n1. Red: as wine\n2. Blue",
            "list_as_text",
        ),
        (
            Location(latitude=-6.2, longitude=106.8, name="Monas", address="Jakarta Pusat"),
            "Monas, Jakarta Pusat\n-6.2, 106.8 (https://www.openstreetmap.org/?mlat=-6.200000&mlon=106.800000)",
            "location_as_text",
        ),
        (
            FormLink(label="Your address", url="https://forms.example/f1"),
            "Your address (https://forms.example/f1)",
            "form_link_as_text",
        ),
        (Media(attachment="f1", caption="As it *came*"), "As it came", "caption_in_text"),
        (Media(attachment="f1"), "Attached: parcel.png", None),
    ],
)
def test_a_block_becomes_text_and_the_preview_says_so(block, reads, loss):
    text, _, losses = written(Draft(blocks=(block,)))
    assert text == reads
    assert (loss in losses) if loss else losses == []


def test_the_preview_says_in_which_block_something_is_said_otherwise():
    said = Draft(
        blocks=(Text("plain"), Media(attachment="f1", caption="**b**"), Buttons(text="?", options=(Option("a", "A"),)))
    )
    rendered = render(said, RenderContext(account="kit", address=ANN, attachments=FILES), checked())
    assert [(d.block, d.what) for d in rendered.degradations] == [
        *((1, "marks_dropped"), (1, "caption_in_text"), (2, "buttons_as_text")),
    ]
    assert not any(d.lost for d in rendered.degradations)


@pytest.mark.parametrize(
    ("known", "own", "first", "expected"),
    [
        ("Parcel 12", "", False, "Re: Parcel 12"),
        ("RE: Re: AW: Parcel 12", "", False, "Re: Parcel 12"),
        ("Bls: Paket 12", "", False, "Re: Paket 12"),
        ("Regarding you", "", False, "Re: Regarding you"),
        ("Parcel 12", "Good news", False, "Good news"),
        ("", "", False, "Re: your message"),
        ("Parcel 12", "", True, "Parcel 12"),
        ("", "", True, "Your parcel is here"),
        ("", "Line\r\nBcc: eve@example.org", True, "Line Bcc: eve@example.org"),
    ],
)
def test_the_subject_says_re_once(known, own, first, expected):
    said = Draft(blocks=(Text("# Your parcel is here\n\nCome and see."),), subject=own)
    _, letter, _ = written(said, subject=known, last_inbound=None if first else message())
    assert letter.subject == expected


def test_a_first_mail_of_a_long_line_has_a_subject_that_ends_at_a_word():
    _, letter, _ = written("Your parcel with the blue cups and the large plate left our house in Jakarta today.")
    assert letter.subject == "Your parcel with the blue cups and the large plate left…"


def test_a_first_mail_of_files_alone_says_from_whom_it_is():
    _, letter, _ = written(Draft(blocks=(Media(attachment="f1"),)))
    assert letter.subject == "Message from Acme Support"


def test_a_subject_beyond_any_reason_is_cut_and_said_so():
    _, letter, losses = written(Draft(blocks=(Text("x"),), subject="s" * 600))
    assert (len(letter.subject), losses) == (500, ["subject_cut"])


def test_what_is_answered_stands_below_and_the_signature_between():
    text, _, _ = written("It comes today.", last_inbound=message(), more={"signature": "Acme"})
    assert text == (
        "It comes today.\n\n-- \nAcme\n\n"
        "On 23 November 2026, 12:00 UTC, Ann Lee <ann@example.org> wrote:\n"
        "> Where is my parcel?\n>\n> It was due on Friday."
    )


def test_a_quote_is_one_deeper_and_ends_somewhere():
    text, _, _ = written("Yes.", last_inbound=message("> before\n" + "word " * 2000))
    _head, _, quote = text.partition(" wrote:\n")
    assert quote.startswith(">> before\n> word word")
    assert quote.endswith("\n> […]")
    assert len(quote) < 4100


@pytest.mark.parametrize(
    ("more", "known", "reply_to"),
    [({"quote": "none"}, {}, ""), ({}, {"automatic": True}, ""), ({}, {}, "another")],
)
def test_nothing_is_quoted_where_it_would_be_wrong(more, known, reply_to):
    """By the account's wish; by a machine, which would spread what others wrote; below an answer to something else."""
    said = Draft(blocks=(Text("Yes."),), reply_to=reply_to)
    assert written(said, last_inbound=message(), more=more, **known)[0] == "Yes."


def test_an_indonesian_reply_quotes_in_indonesian():
    text, letter, _ = written("Ya.", last_inbound=message(), language="id")
    assert "Pada 23 November 2026, 12:00 UTC, Ann Lee <ann@example.org> menulis:" in text
    assert written("Ya.", last_inbound=message(), language="id", subject="")[1].subject == "Re: pesan Anda"
    assert letter.subject == "Re: pesan Anda"


TEMPLATES = {
    "sent": {
        "subject": "Parcel {1} is on its way",
        "text": "Dear **{2}**,\n\nparcel {1}: [track it](https://shop.example/t/{1}).",
    },
    "sent.id": {"subject": "Paket {1} dikirim", "text": "Halo {2}, paket {1} sudah dikirim."},
    "hello": {"text": "Hello *there*."},
}


def test_a_template_is_filled_with_values_that_stay_as_they_are():
    said = Draft(blocks=(Template(name="sent", language="en", values=("1*2*3", "Ann _the_ [x](y)\n# Lee")),))
    text, letter, _ = written(said, more={"templates": TEMPLATES})
    assert text == "Dear Ann _the_ [x](y)\n# Lee,\n\nparcel 1*2*3: track it (https://shop.example/t/1*2*3)."
    assert letter.subject == "Parcel 1*2*3 is on its way"


def test_a_template_speaks_the_language_asked_for_where_it_can():
    for language, reads in (("id_ID", "Halo Ann, paket 7 sudah dikirim."), ("fr", "Dear Ann,")):
        said = Draft(blocks=(Template(name="sent", language=language, values=("7", "Ann")),))
        assert written(said, more={"templates": TEMPLATES})[0].startswith(reads)


def test_a_template_without_a_subject_keeps_the_conversations():
    said = Draft(blocks=(Template(name="hello", language="en"),))
    text, letter, _ = written(
        said, subject="Parcel 12", last_inbound=message(), more={"templates": TEMPLATES, "quote": "none"}
    )
    assert (text, letter.subject) == ("Hello there.", "Re: Parcel 12")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (Template(name="sant", language="en"), 'no e-mail template "sant"; there are: hello, sent'),
        (Template(name="sent", language="en", values=("1",)), "takes 2 values, not 1"),
        (Template(name="hello", language="en", values=("1",)), "takes 0 values, not 1"),
    ],
)
def test_a_template_that_cannot_be_sent_says_what_could(template, says):
    with pytest.raises(Unsupported, match=says):
        written(Draft(blocks=(template,)), more={"templates": TEMPLATES})


@pytest.mark.requirement("3DR-16")
def test_a_forwarded_message_goes_with_its_headers_its_whole_text_and_its_files():
    passed = message(
        "Is it here?",
        blocks=(Media(attachment="f2"), Original(text="Is it here?\n\nOn Friday, you wrote:\n> soon", html="<p>x</p>")),
        subject="Fwd: Parcel\r\nBcc: eve@example.org",
        cc=("bo@example.org",),
    )
    said = Draft(blocks=(Text("Can *you* help?"), Forward("m1"), Media(attachment="f1")))
    text, letter, losses = written(
        said, forwarded={"m1": passed}, senders={"m1": Address(kind="email", value="eve@example.org", name="Eve")}
    )
    assert text == (
        "Can you help?\n\n---------- Forwarded message ----------\nFrom: Eve <eve@example.org>\n"
        "Date: 23 November 2026, 12:00 UTC\nSubject: Fwd: Parcel Bcc: eve@example.org\nCc: bo@example.org\n\n"
        "Is it here?\n\nOn Friday, you wrote:\n> soon"
    )
    assert letter.subject == "Fwd: Parcel Bcc: eve@example.org"
    assert letter.attachments == ("f2", "f1")
    assert losses == ["marks_dropped"]


def test_a_message_of_ours_is_forwarded_as_ours():
    passed = message("It comes on Friday.", direction=Direction.OUT, subject="")
    text, letter, _ = written(Draft(blocks=(Forward("m1"),)), forwarded={"m1": passed})
    assert "\nFrom: Acme Support <support@example.test>\nDate: " in text
    assert letter.subject == "Fwd: It comes on Friday."


def test_a_message_that_is_not_there_is_not_forwarded():
    with pytest.raises(Unsupported, match="passed on is not here"):
        written(Draft(blocks=(Forward("m9"),)))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (draft(""), "nothing to send"),
        (Draft(blocks=(Media(attachment="f9"),)), "attachment f9 is not in our store"),
        (Draft(blocks=(Choice(id="a", title="b"),)), "only comes in"),
        (Draft(blocks=(Text("x"),), cc=("nobody",)), "'nobody' is no e-mail address"),
        (Draft(blocks=(Text("x"),), bcc=("a@b\r\nDATA",)), "is no e-mail address"),
    ],
)
def test_what_cannot_go_out_is_refused_before_anything_is_stored(said, says):
    with pytest.raises(Unsupported, match=says):
        written(said)


def test_files_that_are_too_large_together_are_refused():
    files = {name: attachment(name, f"{name}.bin", 10 * 1024**2) for name in ("b1", "b2")}
    said = Draft(blocks=tuple(Media(attachment=name) for name in files))
    with pytest.raises(Unsupported, match="20,971,520 bytes together"):
        written(said, attachments=files)


def test_the_same_file_twice_is_attached_once():
    assert written(Draft(blocks=(Media(attachment="f1"), Media(attachment="f1"))))[1].attachments == ("f1",)


def test_answers_go_to_the_address_that_the_correspondent_named():
    _, letter, _ = written("Yes.", last_inbound=message(answer_at="desk@example.org"))
    assert letter.to == "desk@example.org"


def test_a_part_keeps_nothing_that_is_empty():
    rendered = render(draft("Hello"), RenderContext(account="kit", address=ANN), checked())
    assert json.loads(rendered.parts[0].payload) == {"subject": "Hello"}
