"""Notifications as the tests ask for them, and mails as people read them."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

from talkwire import Detail, Notification, Option, Recipient, Style
from talkwire_notify_email.composing import Links, compose
from talkwire_notify_email.settings import NotifyEmailSettings
from talkwire_notify_email.wording import Words

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ID = "0193a7f0-0000-7000-8000-00000000000"
TALK = "0193a7f0-1111-7000-8000-000000000001"
BUTTONS = (Option(id="handled", title="Mark handled"), Option(id="resume", title="Resume"))


def settings(**changes):
    """Give settings that a server of nobody has."""
    server = {"host": "localhost", "security": "none", "port": 25, **changes.pop("server", {})}
    return NotifyEmailSettings.model_validate({"from": "alerts@shop.example", "server": server, **changes})


def notification(number=1, **changes):
    """Give something that somebody ought to see."""
    asked = {
        "id": f"{ID}{number}", "recipient": "ops", "asker": "rule:0", "kind": "message.received", "title": "Dewi wrote",
        "text": "Is the blue one still there?", "at": NOON, **changes,
    }  # fmt: skip
    return Notification(**asked)


def alert(number=1, **changes):
    """Give something that wants an answer."""
    details = (Detail("Customer", "Dewi Lestari"), Detail("Account", "shop"))
    return notification(number, **{"style": Style.ALERT, "actions": BUTTONS, "details": details, **changes})


def written(*notifications, language="", address="ops@example.test", base="https://talk.example", **changes):
    """Write a mail, and read it as a mail program does."""
    mail = written_raw(*notifications, language=language, address=address, base=base, **changes)
    return read(mail.content)


def written_raw(
    *notifications, language="", address="ops@example.test", base="https://talk.example", zone="UTC", **changes
):
    """Write a mail."""
    answers = {one.id: f"{base}/p/notify_email/answer/token" for one in notifications if one.actions and base}
    return compose(
        notifications,
        Recipient(name="ops", email=address, language=language),
        settings=settings(**changes),
        links=Links(answer=answers, off=f"{base}/p/notify_email/off/token" if base else ""),
        words=Words(language),
        zone=zone,
        now=NOON,
    )


def read(content):
    """Read a mail by the standard library's parser."""
    return message_from_bytes(content, policy=policy.default)


def text_of(mail):
    """Give a mail's text."""
    return mail.get_body(("plain",)).get_content().replace("\r\n", "\n")


def html_of(mail):
    """Give a mail's HTML."""
    return mail.get_body(("html",)).get_content()
