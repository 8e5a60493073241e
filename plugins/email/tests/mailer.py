"""The sending half of the channel, without a mailbox that is read: what tests of the way out need."""

import contextlib
from dataclasses import replace
from email import policy
from email.parser import BytesParser

from talkwire import Address, Outgoing, Part, hookimpl
from talkwire.testing import lend
from talkwire_email.channel import Email
from talkwire_email.own import Own
from talkwire_email.settings import EmailSettings

KEY = "01936b2e-8c00-7000-8000-0000000000a1"  # made on 27 November 2024, 01:13:52 UTC
ANN = Address(kind="email", value="ann@example.org", name="Ann Lee")
OWN = Own(address="support@example.test", secret=b"a secret of the tests")
IMAP = {"host": "127.0.0.1", "tls": "none", "password": "imap-password-of-tests"}


class Mailer(Email):
    """E-mail that only writes: nobody looks into the mailbox."""

    features = replace(Email.features, listens=False)

    def prepare(self):
        super().prepare()
        self.own = Own(address=self.settings.address, secret=OWN.secret)

    async def probe(self):
        return await self.postbox.probe()


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
    return {"address": OWN.address, "name": "Acme Support", "imap": IMAP, "smtp": server, **more}


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


class Given:
    """Tokens that a test gives."""

    def __init__(self, *tokens):
        self._tokens = list(tokens)

    async def bearer(self):
        return self._tokens[0]

    async def close(self):
        pass

    def forget(self, token):
        if len(self._tokens) > 1:
            assert self._tokens.pop(0) == token
