"""What accounts and media sign in with ends one day; somebody is told before, three times."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from talkwire import Notifier, hookimpl
from talkwire.lifecycle import departures
from talkwire.lifecycle.expiring import certificate_ends, certificate_of, soon
from talkwire.testing.services import NOON
from tests.journeys.acme_hub import AcmeHub
from tests.mutants.acme import AcmeChannel

TOKEN = "access token"


class Ending(AcmeChannel):
    """Acme whose token ends."""

    says: ClassVar[list[Any]] = []  # one by one; the last one for ever
    asked: ClassVar[int] = 0

    async def expires(self) -> Mapping[str, datetime]:
        type(self).asked += 1
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, Exception):
            raise said
        return {TOKEN: said} if isinstance(said, datetime) else said


@pytest.fixture
def start(start_acme):
    async def begin(*says: Any, **options: Any) -> AcmeHub:
        Ending.says, Ending.asked = list(says), 0
        return await start_acme(channel=Ending, **options)

    return begin


async def told(acme: AcmeHub) -> list[tuple[Any, ...]]:
    facts = await acme.hub.facts("credential.expiring")
    return [(fact.account, fact.small["what"], fact.small["days"]) for fact in facts]


def days(count: float) -> datetime:
    return NOON + timedelta(days=count)


async def test_the_end_of_a_token_is_told_fourteen_seven_and_one_day_before(start):
    acme = await start(days(30))
    await acme.hub.pass_time(days=15)
    assert await told(acme) == []
    await acme.hub.pass_time(days=20)
    assert await told(acme) == [("shop", TOKEN, 14), ("shop", TOKEN, 7), ("shop", TOKEN, 1)]
    assert Ending.asked == 36


async def test_a_token_that_ends_soon_is_told_at_the_start_and_not_again_after_one(start):
    acme = await start(days(5))
    assert await told(acme) == [("shop", TOKEN, 5)]
    [ends] = await acme.hub.daemon.store.read(soon)
    assert (ends.key, ends.what, ends.until) == ("account:shop", TOKEN, days(5))
    acme.hub.daemon.expiries._asked.clear()  # as after a start
    acme.hub.daemon.expiries.pump.wake()
    await acme.hub.run_until_idle()
    assert await told(acme) == [("shop", TOKEN, 5)]
    assert Ending.asked == 2


async def test_a_token_that_was_renewed_is_told_anew(start):
    acme = await start(days(5), days(30))
    await acme.hub.pass_time(days=2)
    assert await acme.hub.daemon.store.read(soon) == []
    await acme.hub.pass_time(days=14)
    assert await told(acme) == [("shop", TOKEN, 5), ("shop", TOKEN, 14)]


async def test_what_has_ended_already_is_told_once(start):
    acme = await start(days(-3))
    await acme.hub.pass_time(days=3)
    assert await told(acme) == [("shop", TOKEN, 0)]


@pytest.mark.parametrize("bad", [OSError("secret words"), {TOKEN: datetime(2026, 1, 1)}, "nonsense"])  # noqa: DTZ001
async def test_who_cannot_say_is_asked_again_in_an_hour(start, bad):
    acme = await start(bad, days(5))
    assert await told(acme) == []
    await acme.hub.pass_time(minutes=59)
    assert Ending.asked == 1
    await acme.hub.pass_time(minutes=1)
    assert await told(acme) == [("shop", TOKEN, 4)]


async def test_what_was_told_goes_with_an_account_to_its_new_name_and_with_one_that_is_forgotten(start):
    acme = await start(days(5))
    store, daemon = acme.hub.daemon.store, acme.hub.daemon
    await departures.rename_account(store, "shop", "store", "cli:test")
    assert [ends.key for ends in await store.read(soon)] == ["account:store"]
    await departures.forget_account(store, daemon.files, daemon.clock, "store", "cli:test", alone=False)
    assert await store.read(soon) == []


async def test_what_renews_itself_is_not_told(start):
    acme = await start({})
    await acme.hub.pass_time(days=2)
    assert await acme.hub.rows("SELECT name FROM meta WHERE name LIKE 'expires:%'") == []


async def test_a_medium_may_say_when_its_key_ends(start_acme):
    class Bell(Notifier):
        type = "bell"

        async def expires(self) -> Mapping[str, datetime]:
            return {"key": days(1)}

    class Plugin:
        @hookimpl
        def register_notifiers(self) -> list[type[Notifier]]:
            return [Bell]

    acme = await start_acme(settings='[recipients.ops]\nmedia = ["bell"]\n', plugins={"notify_bell": Plugin()})
    assert await told(acme) == [("", "key", 1)]


# --- the certificate -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "is_looked_at"),
    [
        ("https://talk.example.org", True),
        ("https://talk.example.org:8443/below", True),
        ("https://192.0.2.1", True),
        ("http://talk.example.org", False),
        ("https://localhost:8443", False),
        ("https://talk.localhost", False),
        ("https://127.0.0.1", False),
        ("https://[::1]:8443", False),
        ("", False),
    ],
)
def test_a_certificate_is_looked_at_where_the_world_sees_one(url, is_looked_at):
    assert (certificate_of(url, NOON) is not None) is is_looked_at


async def test_a_certificate_says_when_it_ends_though_nobody_knows_who_signed_it(tmp_path):
    ends = datetime(2020, 1, 31, 12, tzinfo=UTC)  # it has ended, and is looked at all the same
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, ends))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server, asyncio.timeout(10):
        assert await certificate_ends("127.0.0.1", server.sockets[0].getsockname()[1]) == ends


def certificate(folder: Any, ends: datetime) -> Any:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "talk.example.org")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends - timedelta(days=90))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(secret + made.public_bytes(pem))
    return file


async def test_the_certificate_of_our_address_is_told_like_a_token(acme):
    async def ask() -> Mapping[str, datetime]:
        return {"certificate of talk.example.org": days(7)}

    source = certificate_of("https://talk.example.org", acme.hub.clock.now())
    from dataclasses import replace

    acme.hub.daemon.expiries.certificate = replace(source, ask=ask)
    acme.hub.daemon.expiries.pump.wake()
    await acme.hub.run_until_idle()
    assert await told(acme) == []  # not in the first minute
    await acme.hub.pass_time(minutes=1)
    [fact] = await acme.hub.facts("credential.expiring")
    assert (fact.account, fact.small["of"]) == ("", "public_url")
