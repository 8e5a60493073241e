"""Uses each method of the hub, below `/p/everything/`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from talkwire import Address, Hub, Notify, Query, Route, State, Tx, TypingSignal, draft


async def look(request: web.Request, hub: Hub) -> web.Response:
    """Read all there is to read of a conversation."""
    principal = await hub.principal(request)
    token = request.headers["Authorization"].removeprefix("Bearer ")
    assert await hub.holder(token, request.remote or "") == principal
    conversation = await hub.conversation(request.match_info["conversation"])
    assert conversation is not None
    messages = await hub.messages(conversation.id)
    return web.json_response(
        {
            "principal": principal.name,
            "alive": hub.daemon in await hub.daemons(),
            "instance": (hub.public_url, hub.language, hub.time_zone),
            "accounts": [account.name for account in hub.accounts],
            "conversations": len((await hub.conversations()).items),
            "allowed": conversation.answer.allowed,
            "messages": [message.text for message in messages],
            "first": (first.n, first.text) if (first := await hub.message(messages[0].id)) else None,
            "uncertain": len((await hub.deliveries(State.UNCERTAIN)).items),
            "contacts": len((await hub.contacts()).items),
            "contact": [address.value for address in (await hub.contact(conversation.contact)).addresses],
            "surfaces": len(await hub.surfaces("ops")),
            "notifications": [one.title for one in (await hub.notifications("ops")).items],
            "notes": await hub.read(_notes),
        }
    )


def _notes(query: Query) -> list[str]:
    return [f"{hook}: {text}" for hook, text in query.execute("SELECT hook, text FROM everything_note ORDER BY id")]


async def attachment(request: web.Request, hub: Hub) -> web.Response:
    """Say what an attachment is."""
    found = await hub.attachment(request.match_info["id"])
    return web.json_response({"name": found.name, "media_type": found.media_type})


async def keep(request: web.Request, hub: Hub) -> web.Response:
    """Keep a file, and give a link to it."""
    kept = await hub.keep_file(request.content.iter_any(), name=request.match_info["name"], limit=1000)
    return web.json_response({"name": kept.name, "link": hub.media_link(kept)})


async def write(request: web.Request, hub: Hub) -> web.Response:
    """Change something of our own and something of the core's."""
    principal = await hub.principal(request)
    await hub.write(_noted, request.match_info["text"])
    to = ("shop", Address(kind="phone", value="+6281111111111"))
    text = draft(request.match_info["text"])
    accepted = await hub.reply(to, text, author=principal.name, key=request.match_info["text"])
    await hub.notify(Notify(recipient="ops", kind="written", title="Written", key=accepted.message))
    return web.json_response({"repeated": accepted.repeated})


def _noted(tx: Tx, texts: Sequence[str]) -> Sequence[None]:
    tx.many("INSERT INTO everything_note (hook, text) VALUES (:hook, :text)", [("write", text) for text in texts])
    tx.after_commit(lambda: None)
    return [None] * len(texts)


async def finish(request: web.Request, hub: Hub) -> web.Response:
    """Type once more, and end the talk."""
    conversation = request.match_info["conversation"]
    await hub.signal(conversation, TypingSignal())
    await hub.end_session(conversation, reason="finished")
    return web.json_response({})


async def answer(request: web.Request, hub: Hub) -> web.Response:
    """Answer a notification."""
    await hub.seen(request.match_info["id"])
    answered = await hub.answer(request.match_info["id"], request.match_info["action"], "a page")
    assert await hub.notification(answered.id) == answered
    first = await hub.first_answer(answered.id)
    assert first is not None
    assert (first.recipient, first.surface) == (answered.recipient, "a page")
    return web.json_response({"answered_by": answered.answered_by})


async def mute(request: web.Request, hub: Hub) -> web.Response:
    """Switch a medium off for ops, and say what was off before."""
    before = await hub.preferences("ops")
    now = await hub.prefer("ops", mute=request.match_info["medium"])
    return web.json_response({"before": before.off, "now": now.off})


async def follow(request: web.Request, hub: Hub) -> web.Response:
    """Give the first fact of a type, and one hint."""
    fact = await anext(hub.tail(after=0, types=(request.match_info["type"],)))
    hints: Any = hub.subscribe("everything")
    hint = asyncio.ensure_future(anext(hints))
    await asyncio.sleep(0)  # from when it is waited for
    await hub.publish("everything", {"seq": fact.seq})
    return web.json_response({"seq": fact.seq, "hint": await hint, "head": await hub.head() >= fact.seq})


async def enter(request: web.Request, hub: Hub) -> web.Response:
    """Begin a session for whoever has a key."""
    response = web.json_response({})
    await hub.sign_in(response, await hub.principal(request))
    return response


ROUTES = [
    Route("GET", "/look/{conversation}", look),
    Route("GET", "/attachments/{id}", attachment),
    Route("POST", "/keep/{name}", keep),
    Route("POST", "/write/{text}", write),
    Route("POST", "/finish/{conversation}", finish),
    Route("POST", "/answer/{id}/{action}", answer),
    Route("POST", "/mute/{medium}", mute),
    Route("GET", "/follow/{type}", follow),
    Route("POST", "/enter", enter),
]
