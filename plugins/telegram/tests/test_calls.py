"""Each call of the bot is one request over the account's own way to Telegram, with one truthful outcome."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from telegram import InputFile
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter
from telegram.request import HTTPXRequest

from talkwire import NotSent, Uncertain
from talkwire.testing import Answers, FakeProvider, Lent, Logs, Reply, lend, says
from talkwire.testing.provider import garbage_200, reset_after_body, truncated
from talkwire_telegram.calls import make_bot
from talkwire_telegram.channel import Telegram

PRIVATE = "a matter of nobody else's"
TOKEN = "123456:kit-token-0123456789"
SENT = {"message_id": 7, "date": 1795780800, "chat": {"id": 42, "type": "private"}, "text": "hello"}


def yes(result):
    return Reply.json({"ok": True, "result": result})


def no(status, description, **parameters):
    said = {"ok": False, "error_code": status, "description": description}
    return says(Reply.json({**said, "parameters": parameters} if parameters else said, status=status))


@pytest.fixture
async def api() -> AsyncIterator[FakeProvider]:
    async with FakeProvider(Answers(accept=lambda seen, id_: yes(SENT))) as api:
        yield api


@pytest.fixture
async def lent(api: FakeProvider) -> AsyncIterator[Lent]:
    async with lend(Telegram, {"token": TOKEN, "api_url": api.url}) as lent:
        yield lent


async def test_a_call_is_one_request_in_json_that_trace_shows(lent, api):
    message = await lent.channel.bot.send_message(chat_id=42, text="hello", message_thread_id=None)

    assert message.message_id == 7
    (seen,) = api.requests
    assert seen.path == f"/bot{TOKEN}/sendMessage"
    assert seen.json() == {"chat_id": 42, "text": "hello"}
    assert [record.status for record in lent.records] == [200]
    assert not any(isinstance(one, HTTPXRequest) for one in lent.channel.bot._request)  # the library's own client


async def test_a_call_by_telegrams_own_name_gives_what_telegram_gave(lent, api):
    buttons = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    assert await lent.channel.bot.call("sendMessage", {"chat_id": 42, "text": "hi", "reply_markup": buttons}) == SENT
    assert api.requests[0].json()["reply_markup"] == buttons


async def test_neither_the_token_nor_what_people_write_reaches_records_logs_errors_or_repr(api):
    logs = Logs()
    with logs.listening():
        async with lend(Telegram, {"token": TOKEN, "api_url": api.url}, logs=logs) as lent:
            bot = lent.channel.bot
            api.will(no(400, "Bad Request: chat not found"), garbage_200(), reset_after_body())
            texts = [repr(bot), str(bot), repr(bot.request)]
            for _ in range(4):
                try:
                    await bot.send_message(chat_id=42, text=PRIVATE)
                except Exception as error:
                    texts += [repr(error), str(error), "".join(traceback.format_exception(error))]
            texts += [repr(lent.records), *logs.lines]
    told = "\n".join(texts)
    assert len(lent.records) == 4
    assert TOKEN not in told
    assert "kit-token" not in told
    assert PRIVATE not in told
    assert logging.getLogger("telegram").level == logging.NOTSET  # others' logging stays as it was


async def test_what_never_left_this_machine_is_said_so():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with lend(Telegram, {"token": TOKEN, "api_url": url}) as lent:
            with pytest.raises(NotSent) as caught:
                await lent.channel.bot.send_message(chat_id=42, text="hello")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "step",
    [reset_after_body(), truncated(), garbage_200(), says(Reply.json([])), says(Reply.json({"ok": True}))],
    ids=["reset", "cut off", "a page", "a list", "no result"],
)
async def test_what_may_have_been_done_is_uncertain(lent, api, step):
    api.will(step)
    with pytest.raises(Uncertain):
        await lent.channel.bot.send_message(chat_id=42, text="hello")
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (no(400, "Bad Request: chat not found"), BadRequest),
        (no(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-1001), ChatMigrated),
        (no(401, "Unauthorized"), InvalidToken),
        (no(403, "Forbidden: bot was blocked by the user"), Forbidden),
        (no(404, "Not Found"), InvalidToken),
        (no(409, "Conflict: terminated by other getUpdates request"), Conflict),
        (no(500, "Internal Server Error"), NetworkError),
        (says(Reply(status=502, body=b"<html>nginx</html>")), NetworkError),
        (says(Reply(status=302, headers={"Location": "/elsewhere"})), NetworkError),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
async def test_a_whole_answer_that_is_no_yes_is_an_error_of_python_telegram_bot(lent, api, step, error):
    api.will(step)
    with pytest.raises(error) as caught:
        await lent.channel.bot.send_message(chat_id=42, text="hello")
    assert type(caught.value) is error
    assert "html" not in str(caught.value)


async def test_telegram_says_how_long_to_wait(lent, api):
    api.will(no(429, "Too Many Requests: retry after 35", retry_after=35))
    with pytest.raises(RetryAfter) as caught:
        await lent.channel.bot.send_message(chat_id=42, text="hello")
    assert caught.value.retry_after == timedelta(seconds=35)


async def test_a_file_goes_out_in_the_pieces_in_which_it_comes(lent, api):
    async def pieces():
        for _ in range(3):
            yield b"x" * 70_000

    file = InputFile(pieces(), filename="a.pdf", read_file_handle=False)
    await lent.channel.bot.call("sendDocument", {"chat_id": 42, "document": file, "caption": "Ihr Käse", "x": [1]})

    (seen,) = api.requests
    assert seen.headers["content-type"].startswith("multipart/form-data")
    assert seen.body.count(b"x" * 70_000) == 3
    for part in (
        b'name="document"; filename="a.pdf"',
        b'name="caption"',
        "Ihr Käse".encode(),
        b'name="chat_id"',
        b"[1]",
    ):
        assert part in seen.body
    assert lent.records[0].sent == "(a form)"


async def test_the_bots_of_one_daemon_keep_apart(lent, api):
    async with lend(Telegram, {"token": "777:other", "api_url": f"{api.url}/own/"}) as other:
        await other.channel.bot.send_message(chat_id=1, text="a")
        await lent.channel.bot.send_message(chat_id=2, text="b")
    assert [seen.path for seen in api.requests] == ["/own/bot777:other/sendMessage", f"/bot{TOKEN}/sendMessage"]


async def test_a_call_ends_within_the_time_it_is_given(lent, api):
    asked = []

    class Http:
        async def request(self, method, url, **options):
            asked.append(options.get("timeout"))
            return await lent.http.request(method, url, **options)

    lent.channel.http = Http()
    bot = make_bot(lent.channel)
    await bot.call("getUpdates", {"timeout": 50}, timeout=timedelta(seconds=60))
    await bot.send_message(chat_id=42, text="hello")
    assert asked == [timedelta(seconds=60), None]
    assert json.loads(api.requests[0].body) == {"timeout": 50}
