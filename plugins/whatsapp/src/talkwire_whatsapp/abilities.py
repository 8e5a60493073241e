"""What WhatsApp carries, as data.

Sources: Meta, "Cloud API reference: Messages" and "Media", v23.0; Meta's OpenAPI of the Cloud API, 2025-11; "Throughput" and
"Messaging limits" of the WhatsApp Business Platform; collected 2026-11-22.
"""

from __future__ import annotations

from datetime import timedelta

from talkwire import Attachment, Features, Level, MediaFeature, OptionFeature, Rate, State, Unit

from .dialect import WHATSAPP

MEGABYTE = 1_000_000  # bytes; Meta does not say whether it means these or 1024², and these are the fewer
IMAGE = MediaFeature(types=("image/jpeg", "image/png"), limit=5 * MEGABYTE, caption_limit=1024)
VIDEO = MediaFeature(types=("video/mp4", "video/3gpp"), limit=16 * MEGABYTE, caption_limit=1024)
AUDIO = MediaFeature(types=("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), limit=16 * MEGABYTE)
STICKER = MediaFeature(types=("image/webp",), limit=100_000)  # a still one; one that moves may have 500 KB
# What the upload takes; anything else it refuses: "Param file must be a file with one of the following types" (code 100;
# fbsamples/whatsapp-api-examples#10, 2024-02-08; MissaelAnda/laravel-whatsapp#4, 2025-03-20).
_OFFICE = "application/vnd.openxmlformats-officedocument"
_DOCUMENTS = (
    "application/pdf",
    "text/*",  # see `uploaded_as`
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    f"{_OFFICE}.wordprocessingml.document",
    f"{_OFFICE}.spreadsheetml.sheet",
    f"{_OFFICE}.presentationml.presentation",
)
DOCUMENT = MediaFeature(
    types=(*_DOCUMENTS, *IMAGE.types, *VIDEO.types, *AUDIO.types, *STICKER.types),
    limit=100 * MEGABYTE,
    caption_limit=1024,
)
_KINDS = {IMAGE: "image", VIDEO: "video", AUDIO: "audio", STICKER: "sticker", DOCUMENT: "document"}

BODY_LIMIT = 1024  # of a text with buttons, a list or a picture
REPLY_ID_LIMIT = 256  # characters of a button's id
ROW_ID_LIMIT = 200  # characters of a row's id
BUTTON_LIMIT = 20  # of the label of any button
URL_LIMIT = 2000  # characters of a button's address
TEMPLATE_BODY_LIMIT = 1024  # of a template's body with its values
TEMPLATE_HEADER_LIMIT = 60  # … of its header (Messages, "text object", as quoted in chatwoot/chatwoot#6435, 2023-02-10)
# Of a code that a button copies ("Coupon code templates"), and of any value of an authentication template (Meta's answer
# in authgear/authgear-server#3356, 2023-09-13).
TEMPLATE_CODE_LIMIT = 15

# One customer: 10 a minute, of which about 45 may be borrowed from later (error 131056).
PAIR_RATE = Rate(count=1, per=timedelta(seconds=6), key="address", burst=45)


def number_rate(count: int) -> Rate:
    """Say how often a number may send, by how many messages a second Meta allows it (error 130429).

    A tenth of them may go at once, and as many fewer one by one: several conversations do not wait for each other's
    hundredth of a second, and no second sees more than `count`. One in twenty is kept back, for Meta counts when a message
    comes, and one that opens a connection comes later than it was sent, together with the next ones.
    """
    at_once, late = max(1, count // 10), min(count // 20, 40)
    return Rate(count=count - at_once + 1 - late, per=timedelta(seconds=1), burst=at_once)


FEATURES = Features(
    text_limit=4096,
    unit=Unit.UTF16,  # Meta says characters; what WhatsApp counts is never more than these
    dialect=WHATSAPP,
    beside_limit=BODY_LIMIT,
    media=tuple(_KINDS),
    buttons=OptionFeature(level=Level.FULL, most=3, title_limit=BUTTON_LIMIT, links=1),
    lists=OptionFeature(level=Level.FULL, most=10, title_limit=24, description_limit=72, links=0),
    card=Level.FULL,
    location=Level.FULL,
    form_link=Level.FULL,
    template=Level.FULL,
    reply_to=Level.FULL,
    reaches=frozenset({"phone", "bsuid"}),
    reports=State.READ,
    window=timedelta(hours=24),
    rates=(number_rate(80), PAIR_RATE),
    at_once=32,  # 80 a second, where Meta takes 0.4 s for one
    send_timeout=timedelta(seconds=120),  # a file of 100 MB is given to Meta before the message that shows it
)


def uploaded_as(media_type: str) -> str:
    """Say as what a file is given to Meta: of texts it takes plain ones alone, and a table is one by all but its name."""
    return "text/plain" if media_type.startswith("text/") else media_type


def kind_of(attachment: Attachment) -> str:
    """Say as what a file is sent: image, video, audio, sticker or document; empty: it is too large for all of them."""
    feature = FEATURES.media_for(attachment.media_type, attachment.size)
    return _KINDS[feature] if feature is not None and attachment.size <= feature.limit else ""
