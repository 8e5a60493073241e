"""A whole hub with the medium `email`, and a plugin that asks people something."""

import re

import talkwire_notify_email
from talkwire import Notify, Option, hookimpl

from .mails import read, text_of

SETTINGS = """
[server]
public_url = "https://talk.example"
[recipients.ops]
email = "ops@example.test"
media = ["email"]
[recipients.budi]
email = "budi@example.test"
media = ["email"]
language = "id"
time_zone = "Asia/Jakarta"
[plugins.notify_email]
from = "alerts@shop.example"
server = {{ host = "127.0.0.1", port = {port}, security = "none"{sign_in} }}
{more}
"""
YES_NO = (Option(id="yes", title="Yes, please"), Option(id="no", title="No"))
_LINK = re.compile(r"https://talk\.example(/p/notify_email/\S+)")


class Asker:
    """Takes answers, or refuses to."""

    def __init__(self):
        self.answers = []
        self.fails = False

    @hookimpl
    def answer_notification(self, notification, answer):
        if self.fails:
            raise ValueError(answer)
        self.answers.append((notification.title, answer, notification.answered_by))


PLUGINS = {"notify_email": talkwire_notify_email}


class Office:
    """The hub, the server that its mails go to, and a browser."""

    def __init__(self, hub, server, client):
        self.hub, self.server, self.client = hub, server, client

    @property
    def notifier(self):
        """Give the notifier that runs."""
        return self.hub.daemon._media["email"].notifier

    async def notify(self, **said):
        """Ask for a notification, and let everything happen; gives its id."""
        asked = {"recipient": "ops", "kind": "question", "title": "Refund?", **said}
        await self.hub.daemon.hub.of("asker").notify(Notify(**asked))
        await self.hub.run_until_idle()
        return (await self.hub.rows("SELECT id FROM notification ORDER BY created_at DESC, id DESC LIMIT 1"))[0][0]

    async def ask(self, **said):
        """Ask yes or no by mail; gives the notification's id and the path of the link that says yes."""
        asked = await self.notify(**{"actions": YES_NO, **said})
        return asked, self.links[0]

    async def ask_later(self, **said):
        """Ask yes or no of a server that takes it at a later attempt."""
        await self.notify(**{"actions": YES_NO, **said})
        await self.hub.pass_time(hours=1)

    async def decisions(self):
        """Give what became of each notification, the oldest first."""
        sql = "SELECT m.decision, m.reason FROM notification_medium m JOIN notification n ON n.id = m.notification_id"
        return await self.hub.rows(f"{sql} ORDER BY n.created_at, n.id")

    async def row(self, notification, columns):
        """Read a notification's row."""
        return (await self.hub.rows(f"SELECT {columns} FROM notification WHERE id = :id", id=notification))[0]

    @property
    def mails(self):
        """Give the mails that the server took."""
        return [read(one.content) for one in self.server.taken]

    @property
    def links(self):
        """Give the paths of the links in the last mail, in their order."""
        return _LINK.findall(text_of(self.mails[-1]))

    async def opens(self, path, **options):
        """Open a page; gives status and what it says."""
        answer = await self.client.get(path, **options)
        return answer.status, said(await answer.text())

    async def presses(self, path, answer="yes", **options):
        """Press a button of a page; gives status and what comes."""
        sent = await self.client.post(path, data={"press": answer}, **options)
        return sent.status, said(await sent.text())


def said(html):
    """Give the words of a page."""
    body = html.partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", body).replace("&#34;", '"').split())
