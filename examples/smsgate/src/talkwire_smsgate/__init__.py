"""SMS through a Kannel gateway: what its HTTP interface says, in Talkwire's words.

Sources: Kannel 1.4.5 User's Guide, "Parameters (Escape Codes)", "Using the HTTP interface to send SMS messages" and
"SMS Delivery Reports", read 2026-11-22; checked against Debian's Kannel 1.4.5 the same day (tests/journeys/test_kannel.py).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, IPvAnyNetwork, SecretStr, model_validator

from talkwire import (
    AccountBroken,
    Address,
    Channel,
    Envelope,
    Features,
    Inbound,
    Item,
    Outgoing,
    Payload,
    Receipt,
    Refused,
    Report,
    SendError,
    Settings,
    Simulator,
    State,
    TryLater,
    Uncertain,
    Unit,
    Unreadable,
    auth,
    each,
    hookimpl,
    outcome,
    phone,
    segments,
)

STATES = {"1": State.DELIVERED, "2": State.FAILED, "8": State.SENT, "16": State.FAILED}  # 4, buffered, is no news
NOT_ROUTABLE = "Not routable. Do not try again."  # comes as 403, like a wrong password
NO_RECEIVER = "Missing receiver number, rejected"
ERRORS: dict[int | str, type[SendError]] = {
    NOT_ROUTABLE: Refused,
    404: AccountBroken,  # sendsms is elsewhere, see `sendsms-url` in Kannel's configuration
    503: TryLater,
}
Url = Annotated[str, Field(pattern=r"^https?://[^\s?#%]+$")]  # in a dlr-url Kannel replaces what follows a %


class SmsGateSettings(Settings):
    url: Url = "http://127.0.0.1:13013/cgi-bin/sendsms"
    """Kannel's sendsms."""
    username: str
    """Name of the `sendsms-user` group."""
    password: SecretStr
    """Password of the `sendsms-user` group."""
    sender: str = ""
    """Number or name that customers see; empty: as Kannel is configured."""
    callback_url: Url
    """This account's endpoint as Kannel reaches it, `http://127.0.0.1:8080/in/NAME`."""
    allow_from: tuple[IPvAnyNetwork, ...] = ()
    """Networks that Kannel's requests come from."""
    token: SecretStr | None = None
    """A secret that Kannel's requests carry in their query: 16 or more of A-Z, a-z, 0-9, `-`, `_`."""
    country: str = Field("", pattern=r"^[0-9]{0,3}$")
    """Calling code of numbers that come without one, `62`."""

    @model_validator(mode="after")
    def _kannel_can_be_told_from_others(self) -> Self:
        if not self.allow_from and not self.token:
            raise ValueError("Kannel signs nothing: set allow_from, token or both")
        if self.token and not re.fullmatch(r"[A-Za-z0-9_-]{16,}", self.token.get_secret_value()):
            raise ValueError("token is too short, or holds more than letters, digits, - and _")
        return self


class Message(Payload):
    sender: str = Field(alias="from")
    text: str
    id: str = Field(min_length=1)
    ts: AwareDatetime = Field(strict=False)  # seconds since 1970, in digits


class DeliveryReport(Payload):
    code: str = Field(pattern=r"^[0-9]+$")
    id: str = Field(min_length=1)  # the key that we put into dlr-url
    ts: AwareDatetime = Field(strict=False)
    reason: str = ""


class SmsGate(Channel):
    """A `sendsms-user` of a Kannel, and the numbers whose messages it brings."""

    type = "smsgate"
    Settings = SmsGateSettings
    features = Features(
        text_limit=3,  # segments of one part: Kannel cuts off what exceeds the sendsms-user's `max-messages`
        unit=Unit.SEGMENTS,
        reaches=frozenset({"phone"}),
        reports=State.DELIVERED,
        secret_query=frozenset({"token"}),
    )

    def prepare(self) -> None:
        networks, token = self.settings.allow_from, self.settings.token
        by_address = [auth.allow_from([str(network) for network in networks])] if networks else []
        by_token = [auth.query_token("token", token)] if token else []
        self.check = auth.all_of(*by_address, *by_token)

    def authenticate(self, envelope: Envelope) -> None:
        self.check(envelope)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        yield from each([dict(envelope.query)], self._report if envelope.param("code") else self._message)

    def _message(self, query: Mapping[str, str]) -> Iterable[Item]:
        text = _decoded(query.get("text"), query.get("charset") or "UTF-8")
        message = Message.read({**query, "text": text})
        address = Address(kind="phone", value=phone(message.sender, self.settings.country))
        yield Inbound(external_id=message.id, address=address, at=message.ts.astimezone(UTC), text=message.text)

    def _report(self, query: Mapping[str, str]) -> Iterable[Item]:
        report = DeliveryReport.read({**query, "reason": _decoded(query.get("reason", ""), "UTF-8", errors="replace")})
        if state := STATES.get(report.code):
            code = report.code if state is State.FAILED else ""
            yield Report(key=report.id, state=state, at=report.ts.astimezone(UTC), code=code, reason=report.reason)

    async def send(self, out: Outgoing) -> Receipt:
        settings, text = self.settings, out.part.text
        token = f"&token={settings.token.get_secret_value()}" if settings.token else ""
        query = {
            "to": out.address.value,
            "text": text,
            "charset": "UTF-8",
            "coding": "0" if segments(text)[0] == "gsm7" else "2",
            "dlr-mask": "31",  # all reports
            "dlr-url": f"{settings.callback_url}?id={out.key}&code=%d&ts=%T&reason=%A{token}",
        }
        await self._sendsms(query | ({"from": settings.sender} if settings.sender else {}))
        return Receipt(state=State.ACCEPTED)  # "0: Accepted for delivery" or "3: Queued for later delivery", and no id

    async def probe(self) -> str:
        try:
            await self._sendsms({})  # shows nothing to anybody: there is no `to`
        except Refused as no:  # a wrong password is noticed before a missing receiver
            if no.code != NO_RECEIVER:
                raise
        return f"Kannel knows {self.settings.username}"

    async def _sendsms(self, query: Mapping[str, str]) -> None:
        user = {"username": self.settings.username, "password": self.settings.password.get_secret_value()}
        answer = await self.http.get(self.settings.url, params={**user, **query})
        outcome(answer, ERRORS, code=answer.text()[:80] if answer.status >= 400 else "")  # Kannel's words are its codes
        if answer.status != 202:
            raise Uncertain(f"HTTP {answer.status}, but Kannel's yes is 202")


def _decoded(text: str | None, charset: str, errors: str = "strict") -> str | None:
    """Read a value in Kannel's charset: UTF-16BE for UCS-2 without `mo-recode`, 8-BIT for data, which is no text."""
    try:
        return text and text.encode("utf-8", "surrogateescape").decode(charset, errors)
    except (LookupError, ValueError) as error:
        raise Unreadable(f"text is not in charset {charset[:20]!r}") from error


@hookimpl
def register_channels() -> list[type[Channel]]:
    return [SmsGate]


@hookimpl
def register_simulators() -> list[Simulator]:
    from .simulator import simulator

    return [simulator()]
