"""What Meta sends, each delivery with what it means; for the kit, and for whoever needs one.

A file under samples/ is a body as Meta would send it; the file `.source` beside it says where its form was read.
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from talkwire import (
    AccountNotice,
    Address,
    AddressChanged,
    Alias,
    Change,
    ChangeKind,
    Choice,
    ContactCard,
    Envelope,
    Inbound,
    Item,
    Location,
    Other,
    RemoteMedia,
    Report,
    State,
    Unread,
)
from talkwire.testing import Sample
from talkwire.testing.case import with_header

FOLDER = Path(__file__).parent / "samples"
NUMBER, OTHER_NUMBER, BUSINESS = "550100000000001", "550100000000002", "660100000000001"
APP_SECRET = "kit-app-secret-0123456789"
VERIFY_TOKEN = "kit-verify-token-0123456789"
SETTINGS = {
    "phone_number_id": NUMBER,
    "business_account_id": BUSINESS,
    "token": "kit-token-0123456789",
    "app_secret": APP_SECRET,
    "verify_token": VERIFY_TOKEN,
}
KEY = "01940000-0000-7000-8000-00000000c0de"  # of a part of ours, as it comes back
AT = datetime(2026, 11, 23, 11, 58, 30, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # when the kit's envelopes came
USER_ID, NEW_USER_ID = "ID.730518840021946", "ID.730518840029999"
AYU = Address(kind="phone", value="+6281234567890", name="Ayu Lestari")
AYU_ALONE = Address(kind="phone", value="+6281234567890")  # where no contact is beside the message
BUDI = Address(kind="phone", value="+6281200001111", name="Budi Santoso")
OTHER_SHA256 = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
SHA256 = base64.b64encode(bytes(range(32))).decode()


def wamid(name: str) -> str:
    """Give the id that a sample's message has."""
    return "wamid." + base64.b64encode(f"talkwire sample {name}".encode()).decode()


OURS = wamid("ours")


def body(name: str) -> bytes:
    """Give the body of a sample."""
    return (FOLDER / f"{name}.json").read_bytes()


def value(name: str) -> Any:
    """Give the value of a sample's first change."""
    return json.loads(body(name))["entry"][0]["changes"][0]["value"]


def message(name: str) -> Any:
    """Give the first message of a sample."""
    return value(name)["messages"][0]


def signature(content: bytes, secret: str = APP_SECRET) -> str:
    """Sign a body as Meta does."""
    return "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def signed(envelope: Envelope) -> Envelope:
    """Make an envelope genuine."""
    return with_header(envelope, "X-Hub-Signature-256", signature(envelope.body))


def sample(name: str, *means: Item) -> Sample:
    """Make the delivery of a sample, with what it means."""
    source = (FOLDER / f"{name}.source").read_text().strip()
    return Sample(name, body=body(name), means=means, source=source)  # as bytes: Meta's escapes stay as they are


def wrote(name: str, text: str = "", *blocks: Any, **more: Any) -> Inbound:
    """Say that somebody wrote."""
    given = {"external_id": wamid(name), "address": AYU, "at": AT, "to": NUMBER} | more
    return Inbound(text=text, blocks=blocks, **given)


def file(id_: str, name: str, media_type: str, caption: str = "", sha256: str = SHA256) -> RemoteMedia:
    """Say that a file came with it."""
    handle = json.dumps({"id": id_, "sha256": sha256})
    return RemoteMedia(handle=handle, name=name, media_type=media_type, caption=caption, fingerprint=sha256)


def other(kind: str, text: str, raw: Any = None) -> Other:
    """Say that something came that no other block says."""
    kept = json.dumps(raw, ensure_ascii=False, separators=(",", ":")) if raw is not None else ""
    return Other(kind=kind, text=text, raw=kept)


def changed(name: str, kind: ChangeKind, of: str, text: str = "", *blocks: Any) -> Change:
    """Say that somebody changed a message."""
    return Change(
        kind=kind, external_id=of, address=AYU, at=AT, change_id=wamid(name), text=text, blocks=blocks, to=NUMBER
    )


def told(state: State, **more: Any) -> Report:
    """Say what became of ours."""
    return Report(external_id=OURS, state=state, **({"at": AT, "to": NUMBER} | more))


def noticed(code: str, text: str, **more: Any) -> AccountNotice:
    """Say that Meta said something of the account."""
    return AccountNotice(code=code, text=text, **({"at": AT, "to": NUMBER} | more))


def _raw(name: str, *path: str) -> Any:
    found = message(name)
    for step in path:
        found = found[step]
    return found


SAMPLES: tuple[Sample, ...] = (
    # texts
    sample("text", wrote("text", "Halo! Warna lain ada? 😀 *bintang*")),
    sample("text_reply", wrote("text_reply", "The second one", reply_to=OURS)),
    sample("text_forwarded", wrote("text_forwarded", "Have you seen this?", other("forwarded", "Forwarded"))),
    sample(
        "text_forwarded_often",
        wrote("text_forwarded_often", "Have you seen this?", other("forwarded", "Forwarded many times")),
    ),
    sample(
        "text_product",
        wrote(
            "text_product",
            "Is this one waterproof?",
            other(
                "referred_product",
                "About the product RAINCOAT-M",
                _raw("text_product", "context", "referred_product"),
            ),
            reply_to=wamid("shop window"),
        ),
    ),
    sample(
        "text_referral",
        wrote(
            "text_referral",
            "Tell me more",
            other(
                "referral",
                "Came from an advertisement: Raincoats https://ads.example/a1",
                _raw("text_referral", "referral"),
            ),
        ),
    ),
    sample("text_group", wrote("text_group", "All of us", thread="group-0001")),
    sample("text_milliseconds", wrote("text_milliseconds", "tick")),
    sample("text_without_time", wrote("text_without_time", "tock", at=NOON)),
    # people
    sample(
        "text_without_number",
        wrote("text_without_number", "No number", address=Address(kind="bsuid", value=USER_ID, name="@ayu.l")),
    ),
    sample(
        "text_with_user_id",
        wrote(
            "text_with_user_id",
            "Number and id",
            address=Address(kind="phone", value=AYU.value, name=AYU.name, aliases=(Alias("bsuid", USER_ID),)),
        ),
    ),
    sample(
        "text_user_id_in_from",
        wrote("text_user_id_in_from", "Id instead", address=Address(kind="bsuid", value=USER_ID, name=AYU.name)),
    ),
    sample("text_half_a_pair", wrote("text_half_a_pair", "cut \ud83d")),
    # files
    sample(
        "image",
        wrote("image", "", file("990100000000001", "image.jpg", "image/jpeg", "This one, *broken*")),
    ),
    sample("video", wrote("video", "", file("990100000000002", "video.mp4", "video/mp4"))),
    sample("document", wrote("document", "", file("990100000000003", "bill 4711.pdf", "application/pdf", "The bill"))),
    sample("audio", wrote("audio", "", file("990100000000004", "audio.mp3", "audio/mpeg"))),
    sample("voice", wrote("voice", "", file("990100000000005", "voice note.ogg", "audio/ogg"))),
    sample("voice_old", wrote("voice_old", "", file("990100000000006", "voice note.ogg", "audio/ogg"))),
    sample("sticker", wrote("sticker", "", file("990100000000007", "sticker.webp", "image/webp"))),
    sample(
        "media_lost",
        wrote(
            "media_lost",
            "",
            other("image", "image: The file could not be downloaded from the sender.", _raw("media_lost")),
        ),
    ),
    # places and people
    sample(
        "location",
        wrote(
            "location",
            "",
            Location(latitude=-6.175392, longitude=106.827153, name="Monas", address="Gambir, Jakarta"),
        ),
    ),
    sample("location_current", wrote("location_current", "", Location(latitude=-6.2, longitude=106.8))),
    sample(
        "contacts",
        wrote(
            "contacts",
            "",
            ContactCard(
                name="Budi Santoso",
                phones=("+62 812-0000-1111", "+62 21 500 2222"),
                emails=("budi@customer.example",),
            ),
            ContactCard(name="Citra", phones=("6281200003333",)),
        ),
    ),
    # choices and forms
    sample("button_reply", wrote("button_reply", "Yes please", Choice("yes", "Yes please"), reply_to=OURS)),
    sample("list_reply", wrote("list_reply", "Express", Choice("express", "Express"), reply_to=OURS)),
    sample(
        "flow_reply",
        wrote(
            "flow_reply",
            "",
            other("nfm_reply", "Form filled in. size: M; gift: true", _raw("flow_reply", "interactive")),
            reply_to=OURS,
        ),
    ),
    sample(
        "flow_reply_no_object",
        wrote(
            "flow_reply_no_object",
            "",
            other("nfm_reply", "Form filled in. Sent", _raw("flow_reply_no_object", "interactive")),
        ),
    ),
    sample(
        "call_permission_reply",
        wrote(
            "call_permission_reply",
            "",
            other("call_permission_reply", "May we call? accept", _raw("call_permission_reply", "interactive")),
        ),
    ),
    sample(
        "interactive_empty",
        wrote(
            "interactive_empty",
            "",
            other("interactive", "an answer that WhatsApp did not pass on", _raw("interactive_empty")),
        ),
        noticed("131000", "WhatsApp reports: Unsupported webhook payload (code 131000)", at=NOON),
    ),
    sample("button", wrote("button", "Stop promotions", Choice("STOP-PROMOS", "Stop promotions"), reply_to=OURS)),
    sample(
        "order",
        wrote(
            "order",
            "As a gift please",
            other("order", "Order: 2 × RAINCOAT-M, 1 × BOOTS-38; 79.00 EUR", _raw("order", "order")),
        ),
    ),
    # what was done to a message
    sample("reaction", changed("reaction", ChangeKind.REACTION, OURS, "👍🏽")),
    sample("reaction_removed", changed("reaction_removed", ChangeKind.REACTION, OURS)),
    sample("edit", changed("edit", ChangeKind.EDIT, wamid("text"), "Halo! Warna biru ada?")),
    sample(
        "edit_caption",
        changed(
            "edit_caption",
            ChangeKind.EDIT,
            wamid("image"),
            "This one, scratched",
            file("990100000000001", "image.jpg", "image/jpeg"),
        ),
    ),
    sample(
        "edit_image",
        changed(
            "edit_image",
            ChangeKind.EDIT,
            wamid("image"),
            "This one, *broken*",
            file("990100000000002", "image.jpg", "image/jpeg", sha256=OTHER_SHA256),
        ),
    ),
    sample("revoke", changed("revoke", ChangeKind.REVOKE, wamid("text"))),
    # what WhatsApp says of a customer
    sample(
        "number_changed",
        AddressChanged(
            old=Address(kind="phone", value=AYU.value, aliases=(Alias("bsuid", USER_ID),)),
            new=Address(kind="phone", value="+6281299998888", aliases=(Alias("bsuid", NEW_USER_ID),)),
            at=AT,
            to=NUMBER,
        ),
    ),
    sample(
        "number_changed_old",
        AddressChanged(old=AYU_ALONE, new=Address(kind="phone", value="+6281299998888"), at=AT, to=NUMBER),
    ),
    sample(
        "user_id_changed",
        AddressChanged(
            old=Address(kind="bsuid", value=USER_ID), new=Address(kind="bsuid", value=NEW_USER_ID), at=AT, to=NUMBER
        ),
    ),
    sample(
        "identity_changed",
        noticed(
            "system.customer_identity_changed",
            "WhatsApp says of a customer whose number ends in 7890: customer identity changed; make sure that it is "
            "still them before you tell them anything private",
        ),
    ),
    # what nobody can read
    sample(
        "unsupported",
        wrote(
            "unsupported",
            "",
            other(
                "poll_creation",
                "poll_creation: Message type is currently not supported.",
                _raw("unsupported"),
            ),
        ),
    ),
    sample("unknown", wrote("unknown", "", other("unknown", "Message type unknown", _raw("unknown")))),
    sample(
        "future",
        wrote(
            "hologram",
            "",
            other(
                "hologram",
                'WhatsApp brought a message of the type "hologram", which Talkwire does not know',
                _raw("future"),
            ),
        ),
    ),
    sample(
        "call",
        wrote(
            "call",
            "",
            other(
                "call",
                "Called this number on WhatsApp",
                {name: one for name, one in value("call")["calls"][0].items() if name != "session"},
            ),
            external_id="wacid.c2FtcGxlIGNhbGw=",
        ),
    ),
    # what became of ours
    sample("status_sent", told(State.SENT, key=KEY)),
    sample("status_delivered", told(State.DELIVERED)),
    sample("status_read", told(State.READ)),
    sample("status_played", told(State.READ)),
    sample(
        "status_failed",
        told(State.FAILED, key=KEY, code="131026", reason="The recipient cannot be reached.", unreachable=True),
    ),
    sample(
        "status_failed_window",
        told(
            State.FAILED,
            code="131047",
            reason="More than 24 hours have passed since the customer last replied.",
            window_shut=True,
        ),
    ),
    sample("status_group", told(State.DELIVERED)),
    sample("status_burst", *(told(state, key=KEY) for state in (State.SENT, State.DELIVERED, State.READ))),
    sample(
        "status_deleted",
        Change(
            kind=ChangeKind.REVOKE,
            external_id=wamid("text"),
            address=AYU_ALONE,
            at=AT,
            change_id=f"gone:{wamid('text')}",
            to=NUMBER,
        ),
    ),
    sample("status_warning", noticed("status.warning", "WhatsApp warns: A product is not in the catalogue")),
    sample("status_unknown", Unread('status "teleported": not one that Talkwire knows')),
    # all of it together
    sample(
        "batch",
        wrote("batch1", "first"),
        wrote("batch1", "first"),
        wrote("batch2", "second", address=BUDI),
        wrote("batch3", "to the other number", to=OTHER_NUMBER),
        told(State.DELIVERED, to=OTHER_NUMBER),
        told(State.READ),
    ),
    # what Meta says of the account
    sample(
        "account_error",
        noticed(
            "130429",
            "WhatsApp reports: Too many messages are sent from this number. (code 130429)",
            at=NOON,
        ),
    ),
    sample(
        "template_rejected",
        noticed(
            "message_template_status_update.rejected",
            'The template "order_sent" (id) is now rejected: Variables stand next to each other.',
        ),
    ),
    sample(
        "template_approved",
        noticed("message_template_status_update.approved", 'The template "order_sent" (id) is now approved'),
    ),
    sample(
        "template_quality",
        noticed(
            "message_template_quality_update",
            'The quality of the template "order_sent" (id) went from green to yellow',
        ),
    ),
    sample(
        "template_category",
        noticed(
            "template_category_update",
            'The template "order_sent" (id) went from utility to marketing, which may cost more',
        ),
    ),
    sample(
        "number_quality",
        noticed(
            "phone_number_quality_update.downgrade",
            "WhatsApp changed the standing of +622150001111: downgrade; its limit is now tier 1k",
        ),
    ),
    sample(
        "number_name",
        noticed(
            "phone_number_name_update.rejected",
            "The name that customers see of +622150001111 was rejected: name employee issue",
        ),
    ),
    sample(
        "account_disabled",
        noticed(
            "account_update.disabled_update",
            "WhatsApp has disabled this business account: nothing is sent; appeal in Business Support Home",
            broken=True,
        ),
    ),
    sample(
        "account_disabled_soon",
        noticed(
            "account_update.disabled_update",
            "WhatsApp will disable this business account on November 30, 2026",
        ),
    ),
    sample(
        "account_restricted",
        noticed(
            "account_update.account_restriction",
            "WhatsApp lets us answer nobody until 2026-11-30T12:00:00+0000; resume the account then",
            broken=True,
        ),
    ),
    sample(
        "account_restricted_partly",
        noticed(
            "account_update.account_restriction",
            "WhatsApp has restricted this business account until 2026-11-30T12:00:00+0000: add phone number action",
        ),
    ),
    sample(
        "account_violation",
        noticed(
            "account_update.account_violation",
            "WhatsApp says that this business account broke its rules: scam",
        ),
    ),
    sample("account_alert", noticed("account_alerts", "WhatsApp warns: Verify the business to send more.")),
)

_FOR_THE_KIT = """
    text text_reply text_referral text_without_number text_with_user_id document location contacts button_reply flow_reply order
    reaction edit number_changed unsupported call status_sent status_failed batch account_error template_rejected
    account_disabled
"""
# One of each way to be read: the kit damages every one of them in hundreds of ways, and test_reading all the others.
KIT = tuple(sample for sample in SAMPLES if sample.name in _FOR_THE_KIT.split())

UNKNOWN: tuple[Sample, ...] = (  # nothing that anybody must know
    sample("call_ended"),
    sample("echo"),
    sample("history"),
    sample("group_created"),
    sample("preferences"),
)

CHALLENGE = Sample(
    "the handshake",
    query={"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"},
    method="GET",
    answer="1158201444",
    source='Graph API, "Webhooks, verification requests", read 2026-11-22',
)
