"""Who may write to the endpoint: Meta's handshake, Meta's signature, and whose number is meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from talkwire import Rejected
from talkwire.testing import lend
from talkwire_whatsapp import register_channels
from talkwire_whatsapp.channel import WhatsApp

from .samples import CHALLENGE, SAMPLES, SETTINGS, VERIFY_TOKEN, body, signature, signed

TEXT = SAMPLES[0].raw()


@pytest.fixture
async def channel():
    async with lend(WhatsApp, SETTINGS) as lent:
        yield lent.channel


def asking(**query: str):
    given = {"mode": "subscribe", "verify_token": VERIFY_TOKEN, "challenge": "1158201444"} | query
    return replace(CHALLENGE.raw(), query=tuple((f"hub.{name}", one) for name, one in given.items() if one != "-"))


@pytest.mark.parametrize("challenge", ["1158201444", "", "a b<c>", "\udcff"])
async def test_the_challenge_goes_back_as_it_came(channel, challenge):
    answered = channel.answer(asking(challenge=challenge))
    assert (answered.status, answered.body, answered.content_type) == (200, challenge, "text/plain")


@pytest.mark.parametrize("token", ["", "-", VERIFY_TOKEN[:-1], VERIFY_TOKEN + "0", VERIFY_TOKEN.upper(), "é\udcff"])
async def test_a_wrong_word_is_forbidden_and_brings_back_nothing(channel, token):
    answered = channel.answer(asking(verify_token=token))
    assert (answered.status, answered.body) == (403, "")


@pytest.mark.parametrize(
    "envelope", [TEXT, asking(mode="unsubscribe"), asking(mode="-"), replace(asking(), method="POST")]
)
async def test_what_is_no_handshake_is_not_answered(channel, envelope):
    assert channel.answer(envelope) is None


async def test_the_signature_is_of_the_bytes_as_they_came(channel):
    """Meta escapes what is not ASCII; the same JSON, written otherwise, is another body."""
    channel.authenticate(signed(TEXT))
    with pytest.raises(Rejected):
        channel.authenticate(replace(signed(TEXT), body=body("text").replace(b"\\ud83d\\ude00", "😀".encode())))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-hub-signature-256": signature(TEXT.body).removeprefix("sha256=")},
        {"x-hub-signature-256": signature(TEXT.body, "another-secret-0123456789")},
        {"x-hub-signature": "sha1=2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"},
        {"x-hub-signature": signature(TEXT.body)},
    ],
    ids=["none", "no prefix", "another app", "sha1", "the older header"],
)
async def test_only_the_newer_header_with_our_apps_secret_counts(channel, headers):
    with pytest.raises(Rejected):
        channel.authenticate(replace(TEXT, headers=headers))


async def test_an_account_is_meant_by_its_number_first_and_by_its_business(channel):
    assert WhatsApp.meant_by(channel.settings) == (SETTINGS["phone_number_id"], SETTINGS["business_account_id"])
    alone = WhatsApp.Settings.model_validate({**SETTINGS, "business_account_id": ""})
    assert WhatsApp.meant_by(alone) == (SETTINGS["phone_number_id"],)


async def test_the_token_goes_to_the_api_and_to_the_file_servers(channel):
    assert WhatsApp.hosts(channel.settings) == {"graph.facebook.com", "lookaside.fbsbx.com"}


def test_the_plugin_gives_this_channel():
    assert register_channels() == [WhatsApp]
