"""The sending half of the channel, without a mailbox that is read: what tests of the way out need."""

import contextlib
from email import policy
from email.parser import BytesParser

from talkwire import Address, Channel, Features, Level, MediaFeature, Outgoing, Part, State, hookimpl
from talkwire.testing import lend
from talkwire_email.own import Own
from talkwire_email.postbox import Postbox
from talkwire_email.settings import EmailSettings
from talkwire_email.writing import render

KEY = "01936b2e-8c00-7000-8000-0000000000a1"  # made on 27 November 2024, 01:13:52 UTC
ANN = Address(kind="email", value="ann@example.org", name="Ann Lee")
OWN = Own(address="support@example.test", secret=b"a secret of the tests")
IMAP = {"host": "127.0.0.1", "tls": "none", "password": "imap-password-of-tests"}


class Mailer(Channel):
    """E-mail that only writes."""

    type = "email"
    Settings = EmailSettings
    features = Features(
        webhook=False,
        reports=State.READ,
        subject=Level.FULL,
        reply_to=Level.FULL,
        copies=Level.FULL,
        forward=Level.FULL,
        template=Level.FULL,
        media=(MediaFeature(types=("*/*",), limit=18 * 1024**2, caption_limit=1000),),
        parts=1,
        reaches=frozenset({"email"}),
        threads=True,
        references=True,
    )

    def prepare(self):
        self.tokens = None
        self.own = OWN
        self.postbox = Postbox(self.settings, self)

    def render(self, draft, context):
        return render(draft, context, self.settings)

    async def send(self, out):
        return await self.postbox.send(out, self.own)

    async def probe(self):
        return await self.postbox.probe()

    async def close(self):
        await self.postbox.close()


class Plugin:
    """Gives it."""

    def __init__(self, channel=Mailer):
        self._channel = channel

    @hookimpl
    def register_channels(self):
        return [self._channel]


def settings(port=25, *, smtp=None, **more):
    """Settings for a server without encryption at a port of this machine."""
    server = {"host": "127.0.0.1", "port": port, "tls": "none", **(smtp or {})}
    return {"address": "support@example.test", "name": "Acme Support", "imap": IMAP, "smtp": server, **more}


def checked(**more):
    """The same, as the channel has them."""
    return EmailSettings.model_validate(settings(**more))


def outgoing(text="Hello", payload='{"subject": "Your parcel"}', **changes):
    """One part on its way to Ann."""
    given = {"key": KEY, "account": "kit", "address": ANN, "thread": "", "part": Part(text=text, payload=payload)}
    return Outgoing(**{**given, **changes})


def read(content):
    """Read a mail with the standard library."""
    return BytesParser(policy=policy.default).parsebytes(content)


def text_of(content):
    """Give the text of a mail, or of a part of one, with plain line ends."""
    part = read(content) if isinstance(content, bytes) else content
    return part.get_content().replace("\r\n", "\n")


@contextlib.asynccontextmanager
async def mailing(server, **more):
    """Lend a mailer that writes to a server."""
    async with lend(Mailer, settings(server.port, **more)) as lent:
        try:
            yield lent
        finally:
            await lent.channel.close()
