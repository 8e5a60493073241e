"""What Telegram carries, as data.

Source: Bot API 10.1, the methods named at each line; bots FAQ, "My bot is hitting limits"; read 2026-11-28. What no page of
Telegram's names comes from python-telegram-bot 22.8, `telegram/constants.py`.
"""

from __future__ import annotations

from datetime import timedelta

from talkwire import Features, Level, MediaFeature, OptionFeature, Rate, State, Unit

from .entities import DIALECT

TEXT_LIMIT = 4096  # UTF-16 code units after entities were read (sendMessage)
CAPTION_LIMIT = 1024  # likewise (sendPhoto and the others)
FILE_LIMIT = 50_000_000  # bytes (sendDocument)
PHOTOS = ("image/jpeg", "image/png", "image/webp")
PHOTO_LIMIT = 10_000_000  # bytes (sendPhoto); a larger picture goes as a file
ENTITIES_LIMIT = 100  # of one text; further ones are ignored (python-telegram-bot's constants)
DATA_LIMIT = 64  # bytes of what a button brings back (InlineKeyboardButton)
_BUTTONS = 100  # of one message (python-telegram-bot's constants)
_TITLE = 64  # characters; Telegram names no limit, and phones show fewer

_options = OptionFeature(level=Level.FULL, most=_BUTTONS, title_limit=_TITLE, id_limit=DATA_LIMIT)

FEATURES = Features(
    text_limit=TEXT_LIMIT,
    unit=Unit.UTF16,
    dialect=DIALECT,
    subject=Level.PARTIAL,
    media=(
        MediaFeature(types=PHOTOS, limit=PHOTO_LIMIT, caption_limit=CAPTION_LIMIT),
        MediaFeature(types=("*/*",), limit=FILE_LIMIT, caption_limit=CAPTION_LIMIT),
    ),
    buttons=_options,
    lists=_options,  # a list is a keyboard with a row each
    card=Level.FULL,
    location=Level.FULL,
    form_link=Level.FULL,
    reply_to=Level.FULL,
    reports=State.SENT,  # "bots get no delivery or read receipts"
    edits=True,
    rates=(
        # 30 a second; some come later than they were sent, together with the next ones.
        Rate(count=28, per=timedelta(seconds=1)),
        # "Short bursts" are allowed, no number is named.
        Rate(count=1, per=timedelta(seconds=1), key="address", burst=3),
        # Groups: with the burst 20 in any minute.
        Rate(count=15, per=timedelta(minutes=1), key="address", burst=5, begins="-"),
    ),
    send_timeout=timedelta(seconds=60),  # files of 50 MB go up in it
    listens=True,  # where Telegram does not call us
)
