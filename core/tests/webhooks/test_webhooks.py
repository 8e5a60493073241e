"""What is signed is what the library of the host's side verifies; what an answer means; where http may lead."""

import socket
from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDict
from standardwebhooks import Webhook

from talkwire.errors import Refused
from talkwire.http import Answer
from talkwire.telling.standing import Away, Gone, Standing
from talkwire.telling.webhooks import _judge, _within_our_network, new_secret, signatures

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("body", [b"{}", '{"name": "Żółw 🙏"}'.encode(), b"a.b.c"])
def test_each_signature_is_the_one_that_the_library_makes(body):
    keys = [new_secret() for _ in range(3)]
    made = signatures(keys, "crm-1-5f", int(NOON.timestamp()), body).split(" ")
    assert made == [Webhook(key).sign("crm-1-5f", NOON, body.decode()) for key in keys]


def test_no_two_secrets_are_the_same():
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(one.startswith("whsec_") for one in made)


def judged(status, **headers):
    try:
        _judge("h", Answer(status, CIMultiDict(headers), b""))
    except (Away, Gone, Refused) as error:
        return error
    return None


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_yes_is_a_yes(status):
    assert judged(status) is None


@pytest.mark.parametrize("status", [400, 402, 409, 413, 415, 422, 451])
def test_a_no_to_this_fact_refuses_it(status):
    assert type(judged(status)) is Refused


@pytest.mark.parametrize(
    ("status", "by_itself"),
    [
        *((status, True) for status in (301, 302, 303, 307, 308, 429, 503)),
        *((status, False) for status in (401, 403, 404, 405, 408, 425, 500, 502, 504, 599)),
    ],
)
def test_what_says_less_of_the_fact_than_of_the_host_lets_it_wait(status, by_itself):
    error = judged(status)
    assert isinstance(error, Away)
    assert error.by_itself is by_itself
    assert str(status) in str(error)


def test_gone_is_gone():
    assert isinstance(judged(410), Gone)


@pytest.mark.parametrize("status", [429, 503, 500])
def test_the_time_that_a_host_asks_for_is_read(status):
    assert judged(status, **{"Retry-After": "90"}).after == timedelta(seconds=90)
    assert judged(status, **{"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}).after is None


@pytest.mark.parametrize("ip", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.20.0.2", "::1", "fd00::5", "fe80::1%eth0"])
def test_http_leads_into_our_own_network(ip):
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    _within_our_network((family, socket.SOCK_STREAM, 0, "", (ip, 80))).close()


@pytest.mark.parametrize("ip", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_http_leads_nowhere_else_whatever_a_name_means(ip):
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with pytest.raises(OSError, match="write https"):
        _within_our_network((family, socket.SOCK_STREAM, 0, "", (ip, 80)))


# --- who is away ----------------------------------------------------------------------------------------


def test_tries_are_farther_and_farther_apart_until_five_minutes():
    stands, now, waits = Standing(), NOON, []
    for _ in range(9):
        until = stands.waits(now, Away("503"))
        waits.append((until - now).total_seconds())
        now = until
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    stands.took(1)
    assert stands.waits(now, Away("503")) == now + timedelta(seconds=5)


def test_whoever_asks_for_more_time_has_it_and_an_hour_at_most():
    assert Standing().waits(NOON, Away("429", after=timedelta(minutes=7))) == NOON + timedelta(minutes=7)
    assert Standing().waits(NOON, Away("429", after=timedelta(days=9))) == NOON + timedelta(hours=1)
    assert Standing().waits(NOON, Away("429", after=timedelta(seconds=1))) == NOON + timedelta(seconds=5)


def test_a_clock_that_was_set_back_makes_nobody_wait_longer():
    stands = Standing()
    until = stands.waits(NOON, Away("503"))
    assert stands.not_before(NOON) == until
    assert stands.not_before(until) is None
    assert stands.not_before(NOON - timedelta(hours=1)) is None


def test_many_that_find_out_together_are_one_try():
    stands = Standing()
    assert {stands.waits(NOON, Away("500")) for _ in range(8)} == {NOON + timedelta(seconds=5)}


def test_a_fact_is_at_fault_once_others_were_taken_since_it_failed():
    stands = Standing()
    assert not stands.is_at_fault(7)
    assert not stands.is_at_fault(7)  # nobody else was taken: the host may be away
    stands.took(8)
    assert stands.is_at_fault(7)
    assert not stands.is_at_fault(7)  # it begins anew


def test_the_fact_that_failed_least_is_tried_with():
    stands = Standing()
    stands.is_at_fault(1)
    assert stands.least_failed([1, 2, 3]) == 2
    stands.is_at_fault(2)
    stands.is_at_fault(3)
    assert stands.least_failed([3, 2, 1]) == 1
