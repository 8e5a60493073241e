"""Links that hold for five minutes."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from talkwire.media.links import headers_for, sign, verify
from talkwire.model import Attachment, AttachmentClass

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY, OLD = b"k" * 32, b"o" * 32


def query(key=KEY):
    return dict(parse_qsl(sign(key, "a1", NOW)))


def test_a_link_holds_for_five_minutes():
    assert verify([KEY], "a1", query(), NOW)
    assert verify([KEY], "a1", query(), NOW + timedelta(minutes=5))
    assert not verify([KEY], "a1", query(), NOW + timedelta(minutes=5, seconds=1))


def test_an_older_key_still_verifies():
    assert verify([KEY, OLD], "a1", query(OLD), NOW)
    assert not verify([KEY], "a1", query(OLD), NOW)


FORGED = [
    {},
    {"expires": "9999999999"},
    {"signature": "0" * 64},
    {"expires": "", "signature": ""},
    {"expires": "soon"},
    {"signature": "é\ud83d"},
]


@pytest.mark.parametrize("change", FORGED[1:], ids=range(len(FORGED) - 1))
def test_a_changed_link_opens_nothing(change):
    assert not verify([KEY], "a1", query() | change, NOW)


def test_a_link_opens_one_attachment():
    assert not verify([KEY], "a2", query(), NOW)
    assert not verify([KEY], "a1", {}, NOW)


def headers(name="a.pdf", media_type="application/pdf"):
    return headers_for(
        Attachment(id="a1", name=name, media_type=media_type, size=1, sha256="0" * 64, cls=AttachmentClass.FILE)
    )


def test_a_browser_saves_the_file_and_runs_nothing_in_it():
    assert headers() == {
        "Content-Type": "application/pdf",
        "Content-Disposition": "attachment; filename=\"a.pdf\"; filename*=UTF-8''a.pdf",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, max-age=300",
    }


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml"])
def test_what_a_browser_would_run_has_no_type(media_type):
    assert headers(media_type=media_type)["Content-Type"] == "application/octet-stream"


def test_any_name_fits_into_the_header():
    assert headers('résumé "1%"\r\n.pdf')["Content-Disposition"] == (
        "attachment; filename=\"r_sum_ _1____.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9%20%221%25%22%0D%0A.pdf"
    )
