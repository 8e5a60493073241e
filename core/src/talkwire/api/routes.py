"""What a host application asks for: accounts, conversations, messages, replies, deliveries, contacts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field
from pydantic_core import to_json

from .. import readmodels
from ..channel import phone
from ..errors import Conflict, NotFound, Unreadable
from ..features import Features, OptionFeature
from ..model import Accepted, Address, Contact, Conversation, Level, Message, State, TypingSignal
from ..outbound.outgoing import Target
from ..oversight import evidence
from ..store import Query
from . import problems
from .engine import Engine
from .principals import Scope
from .remote import remote_of
from .routing import Api, Call
from .shapes import (
    Body,
    CapabilitiesOut,
    CountOut,
    DraftIn,
    EndIn,
    MediaOut,
    OptionsOut,
    Out,
    PageQuery,
    Preview,
    ReadIn,
    ReplyIn,
    ReplyToIn,
    SignInIn,
    TypingIn,
    VerdictIn,
    WhoOut,
    page_of,
    shape,
)

api = Api("/api/v1")
_REPLY_ERRORS = ("no_answer", "unsupported", "refused", "key_reused", "automatic", "automatic_cap", "conflict")

# --- accounts ------------------------------------------------------------------------------------------


class AccountOut(Out):
    """An account, and what shows how it does."""

    name: str
    channel: str
    endpoint: str  # `/in/<endpoint>`; empty: it takes no webhooks
    state: str
    reason: str
    since: datetime | None
    last_in_at: datetime | None
    last_out_at: datetime | None
    last_poll_at: datetime | None


async def _accounts(engine: Engine) -> dict[str, AccountOut]:
    stored = {one.name: one for one in await engine.store.read(evidence.accounts)}
    live = engine.accounts.by_name
    found = {}
    for name in sorted({*stored, *live}):
        row, runtime = stored.get(name), live.get(name)
        standing = engine.view(name)
        hooked = runtime is not None and runtime.channel is not None and runtime.channel.features.webhook
        found[name] = AccountOut(
            name=name,
            channel=runtime.view.channel if runtime else row.channel if row else "",
            endpoint=runtime.endpoint if runtime and hooked else "",
            state=standing.state,
            reason=runtime.view.reason if runtime else row.reason if row else "",
            since=standing.since,
            last_in_at=_latest(row.last_in_at if row else None, runtime.last_in if runtime else None),
            last_out_at=_latest(row.last_out_at if row else None, runtime.last_out if runtime else None),
            last_poll_at=row.last_poll_at if row else None,
        )
    return found


def _latest(*times: datetime | None) -> datetime | None:
    # What is stored may come from another daemon; what we saw ourselves is stored only now and then.
    return max(filter(None, times), default=None)


@api.add("GET", "/accounts", gives=page_of(AccountOut))
async def accounts(call: Call[None, None]) -> readmodels.Page[AccountOut]:
    """List all accounts with their states and what shows them."""
    return readmodels.Page(tuple((await _accounts(call.engine)).values()))


@api.add("GET", "/accounts/{name}", gives=AccountOut)
async def account(call: Call[None, None]) -> AccountOut:
    """Give one account."""
    found = (await _accounts(call.engine)).get(call.id("name"))
    if found is None:
        raise NotFound("there is no such account")
    return found


@api.add("GET", "/accounts/{name}/capabilities", gives=CapabilitiesOut, errors=["conflict"])
async def capabilities(call: Call[None, None]) -> CapabilitiesOut:
    """Say what an account's channel can carry, and how well."""
    runtime = call.engine.account(call.id("name"))
    if runtime is None:
        raise NotFound("there is no such account")
    if runtime.channel is None:
        raise Conflict("the account's plugin or its settings are gone", code="account_absent")
    return _capabilities(runtime.name, runtime.channel.type, runtime.channel.features)


def _capabilities(name: str, channel: str, features: Features) -> CapabilitiesOut:
    said = CapabilitiesOut(
        account=name,
        channel=channel,
        hash="",
        blocks={
            "text": Level.FULL,
            "media": Level.FULL if features.media else Level.REJECTED,
            "buttons": features.buttons.level,
            "list": features.lists.level,
            "card": features.card,
            "location": features.location,
            "template": features.template,
            "form_link": features.form_link,
            "forward": features.forward,
        },
        text_limit=features.text_limit,
        text_unit=features.unit.value,
        parts=features.parts,
        subject=features.subject,
        reply_to=features.reply_to,
        copies=features.copies,
        media=tuple(MediaOut(types=m.types, limit=m.limit, caption_limit=m.caption_limit) for m in features.media),
        buttons=_options(features.buttons),
        lists=_options(features.lists),
        writes_first_to=tuple(sorted(features.reaches)),
        reports=features.reports.word,
        window_seconds=int(features.window.total_seconds()) if features.window else None,
        sessions=features.sessions,
        edits=features.edits,
        movable=features.movable,
    )
    return said.model_copy(update={"hash": hashlib.sha256(to_json(said)).hexdigest()[:16]})


def _options(feature: OptionFeature) -> OptionsOut:
    return OptionsOut.model_validate(feature)


# --- conversations and their messages ------------------------------------------------------------------


class ConversationQuery(PageQuery):
    """Which conversations."""

    account: str = ""
    contact: str = ""
    text: Annotated[str, Field(max_length=100)] = ""
    """In the address, the name or the last message."""
    session: Literal["live", "connected", "disconnected", "ended"] | None = None
    """How the session stands; `live` is connected or disconnected."""


class MessageQuery(Body):
    """Which messages; without numbers the last ones."""

    after_n: Annotated[int, Field(ge=0, le=2**31)] | None = None
    before_n: Annotated[int, Field(ge=0, le=2**31)] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@api.add("GET", "/conversations", query=ConversationQuery, gives=page_of(Conversation))
async def conversations(call: Call[ConversationQuery, None]) -> readmodels.Page[Conversation]:
    """List conversations, the one that moved last first; each says whether it may be answered.

    Live sessions: those in which nobody replied yet come first, and of these the one that began first.
    """
    wanted, language = call.query.model_dump(), call.engine.config.general.language
    return await call.engine.store.read(
        lambda query: readmodels.conversations(query, call.engine.view, **wanted, language=language)
    )


@api.add("GET", "/conversations/{id}", gives=shape(Conversation))
async def conversation(call: Call[None, None]) -> Conversation:
    """Give one conversation."""
    language = call.engine.config.general.language
    return await call.engine.store.read(
        lambda query: readmodels.conversation(query, call.id(), call.engine.view, language)
    )


@api.add("GET", "/conversations/{id}/messages", query=MessageQuery, gives=page_of(Message))
async def messages(call: Call[MessageQuery, None]) -> readmodels.Page[Message]:
    """List messages of a conversation with their parts, states and changes.

    Blocks of type `original`, the whole of a mail, are empty here: the message itself has them.
    """
    wanted = call.query.model_dump()

    def look(query: Query) -> list[Message]:
        readmodels.conversation(query, call.id(), call.engine.view)
        return readmodels.messages(query, call.id(), **wanted)

    return readmodels.Page(tuple(await call.engine.store.read(look)))


@api.add("GET", "/messages/{id}", gives=shape(Message))
async def message(call: Call[None, None]) -> Message:
    """Give one message, the whole of it."""
    return await call.engine.store.read(lambda query: readmodels.message(query, call.id()))


# --- replies -------------------------------------------------------------------------------------------


@api.add(
    "POST",
    "/conversations/{id}/replies",
    scope=Scope.BOT,
    body=ReplyIn,
    gives=shape(Accepted),
    status=202,
    errors=_REPLY_ERRORS,
    headers=["Idempotency-Key"],
)
async def reply(call: Call[None, ReplyIn]) -> Accepted:
    """Store a reply, to be sent.

    `Idempotency-Key` makes it repeatable: the same key gives the first result again, with `repeated`. Where no answer
    is allowed the problem carries the conversation's `answer`, and nothing is stored. What is automatic answers no
    machine (409 `automatic`), and does not go to one address again and again (409 `automatic_cap`).
    """
    return await _reply(call, call.id(), call.body)


@api.add(
    "POST",
    "/accounts/{name}/replies",
    scope=Scope.BOT,
    body=ReplyToIn,
    gives=shape(Accepted),
    status=202,
    errors=_REPLY_ERRORS,
    headers=["Idempotency-Key"],
)
async def reply_to_address(call: Call[None, ReplyToIn]) -> Accepted:
    """Store a reply to an address, whether it wrote before or not."""
    to = call.body.to.address()
    return await _reply(call, (call.id("name"), _canonical(to)), call.body)


async def _reply(call: Call[None, Any], to: Target, body: ReplyIn) -> Accepted:
    given = call.request.headers.get("Idempotency-Key")
    if given == "":
        raise problems.Invalid("Idempotency-Key", "it is empty: give 1 to 200 characters, or leave the header out")
    key = given or body.key
    if len(key) > 200 or body.key not in ("", key):
        raise problems.Invalid("key", "at most 200 characters, and the same in the header and in the body")
    return await call.engine.replies.reply(
        to,
        body.draft(),
        author=call.principal.name,
        key=key,
        policy=body.policy,
        fallback=body.fallback,
        template=body.template,
        strict=body.strict,
        automatic=body.automatic or _is_machine(call),
    )


def _is_machine(call: Call[None, Any]) -> bool:
    """Say whether a program of its own asks, for which no person answers."""
    return call.principal.scope is Scope.BOT


def _canonical(address: Address) -> Address:
    if address.kind == "email":
        return replace(address, value=address.value.strip().lower())
    if address.kind != "phone":
        return address
    try:
        return replace(address, value=phone(address.value))
    except Unreadable as error:
        raise problems.Invalid("to.value", "write it with its country: +62 812 …") from error


@api.add(
    "POST",
    "/conversations/{id}/replies:preview",
    scope=Scope.BOT,
    body=DraftIn,
    gives=shape(Preview),
    errors=("unsupported", "refused"),
)
async def preview(call: Call[None, DraftIn]) -> Preview:
    """Give exactly the parts that would go out, and what each says less well; nothing is stored."""
    rendition = await call.engine.replies.render(call.id(), call.body.draft(), automatic=_is_machine(call))
    return Preview(
        account=rendition.account,
        conversation=rendition.conversation,
        parts=rendition.rendered.parts,
        degradations=rendition.rendered.degradations,
    )


@api.add("POST", "/messages/{id}:resend", scope=Scope.HOST, audited=True, gives=CountOut, errors=["conflict"])
async def resend(call: Call[None, None]) -> dict[str, int]:
    """Send the parts that failed or are uncertain once more; the customer may get an uncertain one twice."""
    return {"parts": await call.engine.replies.resend(call.id(), call.principal.name)}


@api.add("POST", "/messages/{id}:cancel", scope=Scope.HOST, audited=True, gives=CountOut)
async def cancel(call: Call[None, None]) -> dict[str, int]:
    """Take back what is still queued of a message."""
    return {"parts": await call.engine.replies.cancel(call.id())}


# --- live talks ------------------------------------------------------------------------------------------


@api.add("POST", "/conversations/{id}:end", scope=Scope.BOT, body=EndIn, status=204, errors=["conflict"])
async def end(call: Call[None, EndIn]) -> None:
    """End the live session of a conversation; replies that wait for the customer fail."""
    await call.engine.sessions.end(call.id(), call.body.reason)


@api.add("POST", "/conversations/{id}/typing", scope=Scope.BOT, body=TypingIn, status=204)
async def typing(call: Call[None, TypingIn]) -> None:
    """Show the customer that somebody types, or no longer: best effort, nothing is stored."""
    await call.engine.sessions.signal(call.id(), TypingSignal(on=call.body.on))


@api.add("POST", "/conversations/{id}/read", scope=Scope.BOT, body=ReadIn, status=204)
async def read(call: Call[None, ReadIn]) -> None:
    """Show the customer that their messages were read up to a number: best effort, nothing is stored."""
    await call.engine.sessions.read(call.id(), call.body.n)


# --- deliveries and stories ------------------------------------------------------------------------------


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    state: Literal["uncertain", "failed"]


@api.add("GET", "/deliveries", query=DeliveryQuery, gives=page_of(readmodels.Troubled))
async def deliveries(call: Call[DeliveryQuery, None]) -> readmodels.Page[readmodels.Troubled]:
    """List parts that are uncertain or failed, the newest first."""
    wanted = call.query
    state = State[wanted.state.upper()]
    return await call.engine.store.read(
        lambda query: readmodels.deliveries(query, state, cursor=wanted.cursor, limit=wanted.limit)
    )


@api.add(
    "POST", "/deliveries/{id}:settle", scope=Scope.HOST, audited=True, body=VerdictIn, status=204, errors=["conflict"]
)
async def settle(call: Call[None, VerdictIn]) -> None:
    """Say what became of an uncertain part, or send it again."""
    await call.engine.replies.settle(call.id(), call.body.verdict, call.principal.name)


# --- contacts, the session ---------------------------------------------------------------


class ContactQuery(PageQuery):
    """Which contacts."""

    text: Annotated[str, Field(max_length=100)] = ""


@api.add("GET", "/contacts", query=ContactQuery, gives=page_of(Contact))
async def contacts(call: Call[ContactQuery, None]) -> readmodels.Page[Contact]:
    """List contacts with their addresses, the newest first."""
    wanted = call.query.model_dump()
    return await call.engine.store.read(lambda query: readmodels.contacts(query, **wanted))


@api.add("GET", "/contacts/{id}", gives=shape(Contact))
async def contact(call: Call[None, None]) -> Contact:
    """Give one contact."""
    return await call.engine.store.read(lambda query: readmodels.contact(query, call.id()))


@api.add("POST", "/session", scope=None, body=SignInIn, gives=WhoOut, errors=["unauthenticated"])
async def sign_in(call: Call[None, SignInIn]) -> web.Response:
    """Begin a session with an API key: for pages, which cannot keep a key."""
    remote = remote_of(call.request, call.engine.config.server.trusted_proxies)
    principal = await call.engine.principals.key(call.body.key.get_secret_value(), remote)
    response = web.json_response({"principal": principal.name, "scope": principal.scope.name.lower()})
    await call.engine.principals.sign_in(response, principal)
    return response


@api.add("GET", "/session", gives=WhoOut)
async def session(call: Call[None, None]) -> dict[str, str]:
    """Say who is asking, and what they may do."""
    return {"principal": call.principal.name, "scope": call.principal.scope.name.lower()}


@api.add("DELETE", "/session", status=204)
async def sign_out(call: Call[None, None]) -> web.Response:
    """End the session."""
    response = web.Response(status=204)
    await call.engine.principals.sign_out(response, call.principal)
    return response
