"""What Meta says no with, and what becomes of it."""

import re
from datetime import timedelta

import pytest

from talkwire import AccountBroken, NotSent, Refused, TryLater, Uncertain, Unreachable, WindowShut
from talkwire.testing import Reply, says
from talkwire_whatsapp.errors import TABLE, is_window, meaning

from .shop import TOKEN, failed, number, outgoing

MINUTE = timedelta(minutes=1)
ROWS = [  # answer, error, what else is true of it
    (failed(131000, status=500), TryLater, {"scope": "address", "after": None}),
    (failed(1, status=500), TryLater, {}),
    (failed(131016, status=503), TryLater, {}),
    (failed(77777, status=500), Uncertain, {}),
    (failed(131009, status=500), Uncertain, {}),
    (failed(190, status=500), Uncertain, {}),
    (failed(77777, status=500, transient=True), TryLater, {}),
    (failed(77777, status=400, transient=True), TryLater, {}),
    (Reply(status=500), Uncertain, {}),
    (Reply(status=502, body=b"<html>Bad gateway</html>"), Uncertain, {}),
    (Reply.json({"messaging_product": "whatsapp"}), Uncertain, {}),
    (Reply.json([]), Uncertain, {}),
    (Reply.json({"messages": [{"id": 7}]}), Uncertain, {}),
    (Reply(body=b"<html>Sign in to the hotel's network</html>"), Uncertain, {}),
    (failed(130429, status=429, headers={"Retry-After": "7"}), TryLater, {"scope": "account", "after": timedelta(seconds=7)}),
    (Reply(status=429, headers={"Retry-After": "7"}), TryLater, {"scope": "account", "after": timedelta(seconds=7)}),
    (failed(130429), TryLater, {"scope": "account"}),
    (failed(80007), TryLater, {"scope": "account"}),
    (failed(4), TryLater, {"scope": "account"}),
    (failed(131048), TryLater, {"scope": "account", "after": timedelta(hours=1)}),
    (failed(131056), TryLater, {"scope": "address", "after": timedelta(seconds=4)}),
    (failed(190, status=401, subcode=463), AccountBroken, {"words": "it has expired.*accounts.kit.token; then: talkwire accounts resume kit"}),
    (failed(0, status=401), AccountBroken, {"words": "token"}),
    (failed(10, status=403), AccountBroken, {"words": "whatsapp_business_messaging"}),
    (failed(200, status=403), AccountBroken, {}),
    (failed(100, subcode=33), AccountBroken, {"words": "phone_number_id"}),
    (failed(133010), AccountBroken, {"words": "register"}),
    (failed(131042), AccountBroken, {"words": "payment"}),
    (Reply(status=401), AccountBroken, {}),
    (failed(100, details="text.body is too long"), Refused, {"words": "text.body is too long"}),
    (failed(132000), Refused, {"code": "132000"}),
    (failed(131051), Refused, {}),
    (failed(77777), Refused, {"code": "77777"}),
    (failed(131026), Unreachable, {"code": "131026"}),
    (failed(131047, details="more than 24 hours"), WindowShut, {}),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "error", "known"), ROWS, ids=range(len(ROWS)))
async def test_each_no_is_told_as_what_the_sender_must_do(answer, error, known):
    async with number() as (meta, lent):
        meta.will(says(answer))
        with pytest.raises(error) as raised:
            await lent.channel.send(outgoing(text="Hi"))
        assert type(raised.value) is error
        for name, value in known.items():
            if name == "words":
                assert re.search(value, str(raised.value))
            else:
                assert getattr(raised.value, name) == value, name
        assert len(meta.shown) == 1


@pytest.mark.parametrize(("code", "tries"), [(135000, 1), (131053, 3), (131052, 3)])
def test_some_troubles_are_worth_a_few_tries_only(code, tries):
    """A file that Meta cannot use would else hold up its conversation for a day."""
    kinds = [type(meaning(code, attempt=attempt)) for attempt in range(1, tries + 2)]
    assert kinds == [TryLater] * tries + [Refused]


def test_too_much_for_one_customer_waits_longer_each_time():
    waits = [meaning(131056, attempt=attempt).after for attempt in range(1, 9)]
    assert waits[:4] == [timedelta(seconds=4**n) for n in range(1, 5)]
    assert max(waits) == timedelta(hours=1)


@pytest.mark.parametrize("code", [*sorted(TABLE), 131047, 424242])
def test_each_code_has_words_for_a_person(code):
    error = meaning(code)
    assert str(error)
    assert error.code in (str(code), "33", "window_closed") or is_window(code)


async def test_a_refused_token_is_in_no_text_though_meta_repeats_it():
    async with number() as (meta, lent):
        meta.always(says(failed(190, f"Malformed access token {TOKEN}", status=401)))
        with pytest.raises(AccountBroken) as raised:
            await lent.channel.send(outgoing(text="Hi"))
        assert TOKEN not in str(raised.value)
        meta.always(says(failed(100, f"Invalid parameter {TOKEN}", status=400)))
        with pytest.raises(Refused) as raised:
            await lent.channel.send(outgoing(text="Hi"))
        assert TOKEN not in str(raised.value)
        assert TOKEN not in repr(lent.records)


async def test_nothing_that_left_is_not_sent():
    async with number() as (meta, lent):
        url = meta.url
    async with number(api_url="http://127.0.0.1:1/v23.0") as (_, lent):
        assert url
        with pytest.raises(NotSent):
            await lent.channel.send(outgoing(text="Hi"))
