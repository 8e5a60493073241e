"""Ways to know that an envelope is genuine."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from talkwire import Envelope, Rejected, auth

BODY = b'{"a": "\xc3\xa4"}'
KEY = "k\xe9y"
MAC = hmac.new(KEY.encode(), BODY, hashlib.sha256)
HEX, B64 = MAC.hexdigest(), base64.b64encode(MAC.digest()).decode()
BASIC = "Basic " + base64.b64encode(b"ann:pa:ss").decode()


def envelope(headers=None, query=(), remote="203.0.113.7", body=BODY):
    return Envelope(
        endpoint="e", method="POST", path="", headers=headers or {}, query=tuple(query), body=body, remote=remote,
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def passes(check, given):
    try:
        check(given)
    except Rejected:
        return False
    return True


GENUINE = [
    (auth.hmac_header("X-Sig", KEY, prefix="sha256="), {"x-sig": f"sha256={HEX}"}),
    (auth.hmac_header("X-Sig", SecretStr(KEY)), {"x-sig": HEX.upper()}),
    (auth.hmac_header("X-Sig", KEY, encoding="base64"), {"x-sig": B64}),
    (auth.shared_header("X-Token", SecretStr(KEY)), {"x-token": KEY}),
    (auth.basic("ann", SecretStr("pa:ss")), {"authorization": BASIC}),
    (auth.basic("ann", "pa:ss"), {"authorization": BASIC.replace("Basic", "bASIC")}),
]


@pytest.mark.parametrize(("check", "headers"), GENUINE, ids=range(len(GENUINE)))
def test_a_genuine_header_passes_and_an_altered_one_does_not(check, headers):
    ((name, value),) = headers.items()
    assert passes(check, envelope(headers))
    for altered in ("", value[:-1], value + "x", value[:-1] + ("0" if value[-1] != "0" else "1"), "\ud800", "\udcff"):
        assert not passes(check, envelope({name: altered}))
    assert not passes(check, envelope())


def test_a_signature_is_of_this_body_and_has_its_prefix():
    check = auth.hmac_header("X-Sig", KEY, prefix="sha256=")
    assert not passes(check, envelope({"x-sig": f"sha256={HEX}"}, body=BODY + b" "))
    assert not passes(check, envelope({"x-sig": HEX}))


def test_a_misspelt_encoding_is_an_error_at_once():
    with pytest.raises(ValueError, match="base_64"):
        auth.hmac_header("X-Sig", KEY, encoding="base_64")


def test_a_token_in_the_query_passes():
    check = auth.query_token("token", KEY)
    assert passes(check, envelope(query=[("a", "b"), ("token", KEY)]))
    assert not passes(check, envelope(query=[("token", "other"), ("token", KEY)]))


EMPTY = [
    auth.hmac_header("x", ""), auth.shared_header("x", SecretStr("")), auth.query_token("x", ""), auth.basic("", ""),
    auth.allow_from([]), auth.any_of(), auth.all_of(),
]  # fmt: skip


@pytest.mark.parametrize("check", EMPTY, ids=range(len(EMPTY)))
def test_what_is_not_configured_lets_nothing_through(check):
    empty = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    nobody = "Basic " + base64.b64encode(b":").decode()
    for value in ("", empty):
        assert not passes(check, envelope({"x": value, "authorization": nobody}, [("x", value)]))


NETWORKS = [
    ("203.0.113.0/24", "203.0.113.7", True), ("203.0.113.0/24", "::ffff:203.0.113.7", True),
    ("203.0.113.9", "203.0.113.7", False), ("2001:db8::/32", "2001:db8::1", True), ("2001:db8::/32", "203.0.113.7", False),
    ("0.0.0.0/0", "", False), ("0.0.0.0/0", "unix:", False),
]  # fmt: skip


@pytest.mark.parametrize(("network", "remote", "allowed"), NETWORKS)
def test_a_peer_passes_by_its_network(network, remote, allowed):
    assert passes(auth.allow_from([network]), envelope(remote=remote)) is allowed


def test_one_of_several_checks_is_enough_or_each_is_needed():
    token, peer = auth.shared_header("x-token", KEY), auth.allow_from(["203.0.113.7"])
    only_peer = envelope()
    assert passes(auth.any_of(token, peer), only_peer)
    assert not passes(auth.all_of(token, peer), only_peer)
    assert passes(auth.all_of(token, peer), envelope({"x-token": KEY}))
    assert not passes(auth.any_of(token), only_peer)


@given(st.text(st.characters(exclude_categories=[]), max_size=40))
def test_no_header_and_no_query_breaks_a_check(value):
    for check, headers in GENUINE:
        (name,) = headers
        assert not passes(check, envelope({name: value}))
        assert not passes(check, envelope({name: f"sha256={value}"}))
        assert not passes(check, envelope({name: f"Basic {value}"}))
    assert not passes(auth.query_token("token", KEY), envelope(query=[("token", value)]))
