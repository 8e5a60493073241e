"""One line to the server that sends: connected, encrypted as the account says, signed in.

Encryption is what the account says, never less. A line that nobody uses for a while says goodbye.

Source: RFC 5321, 4.1 to 4.5; RFC 3207; aiosmtplib 5.1.3 as it behaves; read and run 2026-11-28.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from asyncio import TimerHandle
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPHeloError, SMTPResponseException

from talkwire import AccountBroken, NotSent, TryLater

from .settings import EmailSettings

if TYPE_CHECKING:
    from .channel import Email
    from .oauth import Tokens

_IDLE = 60  # seconds that a line is kept which nobody uses; servers close theirs after five minutes (RFC 5321, 4.5.3.2)
_AGAIN = timedelta(minutes=5)  # until we sign in again at a server that says "not now"
_FINAL = 500


class Server:
    """The server as all lines of one account know it."""

    def __init__(self, settings: EmailSettings, channel: Email, sender: str) -> None:
        self.settings = settings.smtp
        self._channel = channel
        self.sender = sender  # the address that mails come from
        self.user = settings.smtp.user or settings.address
        self._trusted: ssl.SSLContext | None = None

    @property
    def tokens(self) -> Tokens | None:
        """Give what lends us tokens; None: we sign in with a password, or not at all."""
        return self._channel.tokens

    @property
    def place(self) -> str:
        """Say where it is."""
        return f"{self.settings.host}:{self.settings.port}"

    @property
    def has_secret(self) -> bool:
        """Say whether we sign in."""
        return self.settings.password is not None or self.tokens is not None

    @property
    def signed_in(self) -> str:
        """Say how we are known there."""
        how = {"tls": "TLS", "starttls": "STARTTLS", "none": "not encrypted"}[self.settings.tls]
        return f"signed in as {self.user}, {how}" if self.has_secret else f"connected without signing in, {how}"

    @property
    def fix(self) -> str:
        """Say what a person does where our sign-in is at fault."""
        account = self._channel.account
        table = f"accounts.{account}"
        by_token = self.settings.password is None and self.tokens is not None
        what = f"{table}.oauth" if by_token else f"{table}.smtp.password"
        return f"Put {what} right (user {self.user}), then: talkwire accounts resume {account}"

    async def trusted(self) -> ssl.SSLContext | None:
        """Give the certificates that are believed; None: nothing is encrypted. Errors: `NotSent`."""
        if self.settings.tls != "none" and self._trusted is None:
            self._trusted = await asyncio.to_thread(self._trust)
        return self._trusted

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.settings.ca_file)
        except OSError as error:
            raise NotSent(
                f"the certificates of smtp.ca_file cannot be read: {error.strerror or 'no certificates'}"
            ) from None


class Line:
    """One connection, used by one mail at a time; made again where it was lost."""

    def __init__(self, server: Server, patience: float) -> None:
        self._server = server
        self._patience = patience  # seconds for the server's first words
        self._client: SMTP | None = None
        self._resting: TimerHandle | None = None
        self._tokens: tuple[str, ...] = ()  # that the server was shown at the last sign-in
        self.was_used = False  # a mail has gone over it since it was connected

    @property
    def is_connected(self) -> bool:
        """Say whether the server is at the other end, as far as is known."""
        return self._client is not None and self._client.is_connected

    async def connected(self) -> SMTP:
        """Give the connection, or a new one that is signed in.

        Errors: `NotSent`, `TryLater`, `AccountBroken` with words for a person; `TimeoutError`.
        """
        if self._client is not None and self._client.is_connected:
            return self._client
        self.drop()
        client = await self._connect()
        try:
            await self._sign_in(client)
        except BaseException:
            client.close()
            raise
        self._client = client
        return client

    def drop(self) -> None:
        """Let the connection go as it is."""
        client, self._client, self.was_used = self._client, None, False
        if client is not None:
            client.close()

    def rest(self) -> None:
        """Keep the connection for a while in which nobody uses it."""
        if self._client is not None:
            self._resting = asyncio.get_running_loop().call_later(_IDLE, self._say_goodbye)

    def rested(self) -> None:
        """Say that somebody uses it."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    async def quit(self) -> None:
        """Say goodbye, and wait for the answer."""
        self.rested()
        with contextlib.suppress(SMTPException, OSError, TimeoutError):
            if self._client is not None and self._client.is_connected:
                await self._client.quit()
        self.drop()

    def _say_goodbye(self) -> None:
        self._resting = None
        client = self._client
        if client is not None and client.protocol is not None and client.is_connected:
            client.protocol.write(b"QUIT\r\n")
        self.drop()

    # --- connecting ---

    async def _connect(self) -> SMTP:
        server = self._server.settings
        trusted = await self._server.trusted()
        client = SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=self._server.sender.rpartition("@")[2],
            timeout=self._patience,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",  # never None, which would send in the clear where it is not offered
            tls_context=trusted,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
        except TimeoutError:
            client.close()
            raise
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise NotSent(self._why_no_line(error)) from error
        return client

    def _why_no_line(self, error: Exception) -> str:
        """Say for a person why there is no connection."""
        place = self._server.place
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"the certificate of {place} is not believed: {cause.verify_message}"
            if isinstance(cause, ssl.SSLError):
                return f"{place} speaks no TLS that we can use; smtp.tls and smtp.port must fit each other"
            cause = cause.__cause__
        if isinstance(error, SMTPResponseException):
            return f"{place} does not let us in: {error.code} {self._quoted(error)}"
        if self._server.settings.tls == "starttls" and type(error) is SMTPException:
            return f"{place} offers no STARTTLS: nothing is sent without encryption"
        return f"{place} cannot be reached ({type(error.__cause__ or error).__name__})"

    def _quoted(self, error: SMTPResponseException) -> str:
        """Give a server's words at the length that we keep."""
        return self.hidden(" ".join(str(error.message).split()))[:200]

    def hidden(self, words: str) -> str:
        """Take out of a server's words what we signed in with, as it is and as it went; before they are cut."""
        password = self._server.settings.password
        user, secret = self._server.user, password.get_secret_value() if password is not None else ""
        forms = {secret, _base64(secret), _base64(f"\0{user}\0{secret}")} if secret else set()
        for token in self._tokens:
            forms |= {token, _base64(f"user={user}\x01auth=Bearer {token}\x01\x01")}
        for form in sorted(forms, key=len, reverse=True):
            words = words.replace(form, "…")
        return words

    async def _sign_in(self, client: SMTP) -> None:
        server = self._server
        if not server.has_secret:
            return
        try:
            if server.settings.password is not None:
                await self._sign_in_by_password(client, server.settings.password.get_secret_value())
            else:
                await self._sign_in_by_token(client)
        except SMTPAuthenticationError as error:
            text = f"{server.place} refused our sign-in as {server.user}: {error.code} {self._quoted(error)}"
            if error.code < _FINAL:
                raise TryLater(text, after=_AGAIN, scope="account", code=str(error.code)) from None
            raise AccountBroken(f"{text}. {server.fix}", code=str(error.code)) from None
        except TimeoutError:
            raise
        except (SMTPException, OSError) as error:
            raise NotSent(f"{server.place} closed the connection while we signed in") from error

    async def _sign_in_by_password(self, client: SMTP, password: str) -> None:
        server = self._server
        by_name: dict[str, Callable[..., Any]] = {  # in this order: the line is encrypted, or never leaves this machine
            "plain": client.auth_plain,
            "login": client.auth_login,
            "cram-md5": client.auth_crammd5,
        }
        name = next((name for name in by_name if name in client.server_auth_methods), "")
        if not name:
            offered = ", ".join(sorted(client.server_auth_methods)) or "none"
            raise AccountBroken(f"{server.place} offers no way to sign in with a password ({offered}). {server.fix}")
        await by_name[name](server.user, password)

    async def _sign_in_by_token(self, client: SMTP) -> None:
        server, tokens = self._server, self._server.tokens
        if tokens is None or "xoauth2" not in client.server_auth_methods:
            raise AccountBroken(f"{server.place} takes no tokens (XOAUTH2). {server.fix}")
        token = await tokens.bearer()
        self._tokens = (token,)
        try:
            await client.auth_xoauth2(server.user, token)
        except SMTPAuthenticationError as error:
            tokens.forget(token)  # it may have been taken back before its time
            if error.code < _FINAL or (newer := await tokens.bearer()) == token:
                raise
            self._tokens = (token, newer)
            await client.auth_xoauth2(server.user, newer)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def _greet(client: SMTP) -> None:
    try:
        await client.ehlo()
    except SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()
