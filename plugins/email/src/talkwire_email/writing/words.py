"""The few words that we write into a mail ourselves, by language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language."""

    wrote: str  # {at}, {who}
    forwarded: str
    sender: str
    date: str
    subject: str
    copy: str
    attached: str
    your_message: str  # subject of an answer to a mail without any
    message_from: str  # {who}: subject of a mail of files alone
    months: tuple[str, ...]

    def moment(self, at: datetime) -> str:
        """Write a moment for a person."""
        at = at.astimezone(UTC)
        return f"{at.day} {self.months[at.month - 1]} {at.year}, {at:%H:%M} UTC"


_ENGLISH = Words(
    wrote="On {at}, {who} wrote:",
    forwarded="---------- Forwarded message ----------",
    sender="From",
    date="Date",
    subject="Subject",
    copy="Cc",
    attached="Attached",
    your_message="your message",
    message_from="Message from {who}",
    months=(
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
)  # fmt: skip
_INDONESIAN = Words(
    wrote="Pada {at}, {who} menulis:",
    forwarded="---------- Pesan terusan ----------",
    sender="Dari",
    date="Tanggal",
    subject="Perihal",
    copy="Cc",
    attached="Terlampir",
    your_message="pesan Anda",
    message_from="Pesan dari {who}",
    months=(
        "Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September", "Oktober", "November",
        "Desember",
    ),
)  # fmt: skip


def words_of(language: str) -> Words:
    """Give the words of a language, English where we have none."""
    return _INDONESIAN if language.lower().startswith("id") else _ENGLISH
