"""What several tests say to and about one account."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

from talkwire import Address, Attachment, AttachmentClass, Outgoing, Part, RenderContext
from talkwire.testing import Answers, FakeProvider, Reply
from talkwire.testing.services import lend
from talkwire_whatsapp.channel import WhatsApp

TOKEN = "planted-token-EAAB0123456789"
ANN = Address(kind="phone", value="+628111222333")
BSUID = Address(kind="bsuid", value="ID.13491208655302741918")
KEY = "01940000-0000-7000-8000-00000000c0de"

LISTED = [  # as Meta lists them
    {
        "name": "order_ready", "language": "en_US", "status": "APPROVED", "category": "UTILITY", "id": "1",
        "components": [
            {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
            {"type": "BODY", "text": "Hi {{1}}, *{{2}}* is ready at {{3}}."},
            {"type": "FOOTER", "text": "Kopi Kita"},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Thanks"},
                {"type": "URL", "text": "Track", "url": "https://shop.example/o/{{1}}", "example": ["7"]},
            ]},
        ],
    },
    {
        "name": "hello_world", "language": "en_US", "status": "APPROVED", "category": "MARKETING", "id": "2",
        "components": [{"type": "BODY", "text": "Hello"}],
    },
    {
        "name": "hello_world", "language": "id", "status": "APPROVED", "category": "MARKETING", "id": "3",
        "components": [{"type": "BODY", "text": "Halo"}],
    },
    {
        "name": "spring", "language": "en", "status": "PAUSED", "category": "MARKETING", "id": "4",
        "components": [
            {"type": "HEADER", "format": "IMAGE"},
            {"type": "BODY", "text": "Dear {{name}}, from {{start}} on, {{name}}!"},
            {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "text": "Copy code"}]},
        ],
    },
]  # fmt: skip


def settings(url="http://127.0.0.1:1", **more):
    return {
        "phone_number_id": "106540352242922",
        "business_account_id": "102290129340398",
        "token": TOKEN,
        "app_secret": "planted-app-secret",
        "verify_token": "planted-verify-token",
        "api_url": f"{url}/v23.0",
        **more,
    }


def attached(id_, media_type, size=1000, name=""):
    name = name or f"{id_}.bin"
    return Attachment(id=id_, name=name, media_type=media_type, size=size, sha256="0" * 64, cls=AttachmentClass.FILE)


FILES = {
    one.id: one
    for one in (
        attached("photo", "image/png"),
        attached("large", "image/jpeg", 6_000_000, "big.jpg"),
        attached("film", "video/mp4", 16_000_000),
        attached("voice", "audio/ogg"),
        attached("smile", "image/webp"),
        attached("pdf", "application/pdf", name="bill.pdf"),
        attached("huge", "application/pdf", 100_000_001),
        attached("archive", "application/zip"),
        attached("moving", "image/gif"),
        attached("cinema", "video/quicktime"),
        attached("table", "text/csv", name="prices.csv"),
        attached("sheet", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", name="sheet.xlsx"),
        attached("note", "text/plain", name="note.txt"),
    )
}
CONTEXT = RenderContext(account="kit", address=ANN, attachments=FILES)


def accepted(_seen, external_id):
    return Reply.json(
        {
            "messaging_product": "whatsapp",
            "contacts": [{"input": "628111222333", "wa_id": "628111222333"}],
            "messages": [{"id": external_id}],
        }
    )


def failed(code, message="no", *, status=400, subcode=None, transient=None, details="", headers=None):
    error = {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code, "fbtrace_id": "Az8or2yhqkZ"}
    error |= {} if subcode is None else {"error_subcode": subcode}
    error |= {} if transient is None else {"is_transient": transient}
    error |= {"error_data": {"messaging_product": "whatsapp", "details": details}} if details else {}
    return Reply.json({"error": error}, status=status, headers=headers)


def harmless(seen):
    if seen.path.endswith("/media"):
        return Reply.json({"id": "4490709327384033"})
    if seen.path.endswith("/message_templates"):
        return Reply.json({"data": LISTED, "paging": {"cursors": {"before": "a", "after": "b"}}})
    if seen.path.endswith("/messages") and seen.json().get("status") == "read":
        return Reply.json({"success": True})
    return None


META = Answers(accept=accepted, harmless=harmless)


@asynccontextmanager
async def number(answers=META, **more):
    """Lend a number, with a Meta that answers; gives both."""
    async with FakeProvider(answers) as meta, lend(WhatsApp, settings(meta.url, **more)) as lent:
        yield meta, lent


def outgoing(message=None, *, text="", attachment="", address=ANN, **more):
    payload = json.dumps(message) if message else ""
    return Outgoing(
        key=KEY, account="kit", address=address, thread=more.pop("thread", ""),
        part=Part(text=text, attachment=attachment, payload=payload), **more,
    )  # fmt: skip
