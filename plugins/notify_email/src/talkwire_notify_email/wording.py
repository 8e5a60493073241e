"""What we say ourselves, in the languages that we have; what others said stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

EN: Mapping[str, str] = {
    "from_whom": "Sent to {recipient} by {name}.",
    "off": "Switch these mails off",
    "open": "Open the conversation",
    "answer_once": "A button opens a page that asks once more; nothing happens before you press it there. The first answer wins.",
    "several": "{count} notifications: {title}",
    "several_of_one": "{title} (and {count} more)",
    "several_head": "{count} notifications",
    "cut": "…",
    "alert": "Needs an answer",
    "press": "Press to answer:",
    "done": "Done",
    "done_text": "“{answer}” was taken as the answer. Every other place that showed this is told.",
    "was_answered": "Already answered",
    "was_answered_text": "Answered with “{answer}” on {surface}, {at}. No other answer is needed.",
    "was_answered_by": "Answered by {who} with “{answer}” on {surface}, {at}. No other answer is needed.",
    "was_first": "Somebody else was first",
    "is_over": "The time is over",
    "is_over_text": "This could be answered for a while, and nobody did.",
    "is_gone": "No longer needed",
    "is_gone_text": "Whoever asked has taken the question back.",
    "no_link": "This link leads nowhere",
    "no_link_text": "It is too old, or not whole. Copy all of it from the mail, or look for a newer mail.",
    "too_often": "Too many requests",
    "too_often_text": "Wait a minute, then open the link again.",
    "not_now": "It did not work",
    "not_now_text": "Your answer was not taken. Wait a moment, then press once more.",
    "surface_page": "our web page",
    "surface_browser": "a browser’s notification",
    "surface_email": "e-mail",
    "surface_native": "the desktop of {name}",
    "off_head": "No more mails?",
    "off_text": "Notifications for “{recipient}” will not come to {address} any more; the other ways stay as they are.",
    "off_button": "Switch mails off",
    "off_done": "Mails are off",
    "off_done_text": "Notifications for “{recipient}” no longer come by e-mail. Switch them on again where you see your notifications, or ask whoever runs {name}.",
}  # fmt: skip
ID: Mapping[str, str] = {
    "from_whom": "Dikirim kepada {recipient} oleh {name}.",
    "off": "Hentikan surel ini",
    "open": "Buka percakapan",
    "answer_once": "Tombol membuka halaman yang bertanya sekali lagi; tidak ada yang terjadi sebelum Anda menekannya di sana. Jawaban pertama yang berlaku.",
    "several": "{count} pemberitahuan: {title}",
    "several_of_one": "{title} (dan {count} lagi)",
    "several_head": "{count} pemberitahuan",
    "cut": "…",
    "alert": "Perlu dijawab",
    "press": "Tekan untuk menjawab:",
    "done": "Selesai",
    "done_text": "“{answer}” diterima sebagai jawaban. Semua tempat lain yang menampilkan ini sudah diberi tahu.",
    "was_answered": "Sudah dijawab",
    "was_answered_text": "Dijawab dengan “{answer}” di {surface}, {at}. Jawaban lain tidak diperlukan lagi.",
    "was_answered_by": "Dijawab oleh {who} dengan “{answer}” di {surface}, {at}. Jawaban lain tidak diperlukan lagi.",
    "was_first": "Orang lain lebih dulu",
    "is_over": "Waktunya habis",
    "is_over_text": "Ini bisa dijawab untuk sementara waktu, dan tidak ada yang menjawab.",
    "is_gone": "Tidak diperlukan lagi",
    "is_gone_text": "Yang bertanya sudah menarik pertanyaannya.",
    "no_link": "Tautan ini tidak menuju ke mana pun",
    "no_link_text": "Tautan ini terlalu lama atau tidak lengkap. Salin seluruhnya dari surel, atau cari surel yang lebih baru.",
    "too_often": "Terlalu banyak permintaan",
    "too_often_text": "Tunggu satu menit, lalu buka tautan ini lagi.",
    "not_now": "Tidak berhasil",
    "not_now_text": "Jawaban Anda belum diterima. Tunggu sebentar, lalu tekan sekali lagi.",
    "surface_page": "halaman web kami",
    "surface_browser": "pemberitahuan peramban",
    "surface_email": "surel",
    "surface_native": "desktop {name}",
    "off_head": "Hentikan surel?",
    "off_text": "Pemberitahuan untuk “{recipient}” tidak akan datang lagi ke {address}; cara lain tetap seperti semula.",
    "off_button": "Hentikan surel",
    "off_done": "Surel dihentikan",
    "off_done_text": "Pemberitahuan untuk “{recipient}” tidak lagi datang lewat surel. Nyalakan lagi di tempat Anda melihat pemberitahuan, atau minta kepada pengelola {name}.",
}  # fmt: skip
_BY_LANGUAGE = {"en": EN, "id": ID}
_MONTHS_ID = (
    "Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September", "Oktober", "November",
    "Desember",
)  # fmt: skip
_MONTHS_EN = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


class Words:
    """One language of ours."""

    def __init__(self, *languages: str) -> None:
        """Take the first of these languages that is named; English where it is none that we have."""
        named = next((language for language in languages if language), "en")[:2].lower()
        self.language = named if named in _BY_LANGUAGE else "en"
        self._texts = _BY_LANGUAGE[self.language]

    def __call__(self, key: str, **values: object) -> str:
        """Give one text with its values put in."""
        return self._texts[key].format(**values)

    def surface(self, surface: str) -> str:
        """Name where something was pressed: `page`, `native:laptop`; what we do not know stays as it is."""
        kind, _, name = surface.partition(":")
        text = self._texts.get(f"surface_{kind}", surface)
        return text.format(name=name) if name or "{" not in text else surface

    def months(self) -> tuple[str, ...]:
        """Name the months."""
        return _MONTHS_ID if self.language == "id" else _MONTHS_EN
