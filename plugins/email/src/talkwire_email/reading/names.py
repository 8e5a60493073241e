"""What a file of a mail is called."""

from __future__ import annotations

from .headers import Headers, split
from .structure import Part
from .words import clean, decoded

_LONGEST = 250  # characters; the core makes it shorter, and harmless
_ENDINGS = {
    "application/ms-tnef": "winmail.dat",
    "application/vnd.ms-tnef": "winmail.dat",
    "application/pkcs7-signature": "smime.p7s",
    "application/x-pkcs7-signature": "smime.p7s",
    "application/pkcs7-mime": "smime.p7m",
    "application/x-pkcs7-mime": "smime.p7m",
    "application/pgp-signature": "signature.asc",
    "application/pgp-keys": "keys.asc",
    "application/octet-stream": ".bin",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/gzip": ".gz",
    "application/json": ".json",
    "application/xml": ".xml",
    "application/msword": ".doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "image/gif": ".gif",
    "image/heic": ".heic",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/tiff": ".tif",
    "image/webp": ".webp",
    "message/delivery-status": "delivery-status.txt",
    "message/disposition-notification": "disposition-notification.txt",
    "message/feedback-report": "feedback-report.txt",
    "message/global": ".eml",
    "message/rfc822": ".eml",
    "text/calendar": "invite.ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/rfc822-headers": "headers.txt",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
}


def name_of(part: Part, number: int) -> str:
    """Give the name that a file came with, or one that says what it is; `number`: its place among the files."""
    given = part.disposition.param("filename") or part.type.param("name") or part.disposition.param("name")
    name = clean(given, _LONGEST)
    if name:
        return name
    ending = _ENDINGS.get(part.type.main, "")
    if ending == ".eml":
        subject = clean(_of_inner(part).text("subject"), 80)
        return f"{subject.replace('/', '-') or f'mail-{number}'}.eml"
    if ending and not ending.startswith("."):
        return ending
    described = clean(decoded(part.headers.raw("content-description")), 80)
    if "." in described:
        return described
    return f"{described or f'file-{number}'}{ending}"


def _of_inner(part: Part) -> Headers:
    content = part.content(64 * 1024)
    return split(content, 0, len(content), is_mail=True)[0]
