"""Files by the API: upload, look, and links that hold for five minutes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import BadHttpMessage
from pydantic import Field

from .. import readmodels
from ..errors import NotFound, TalkwireError, TooLarge, Unreadable
from ..media import links
from . import problems
from .engine import ENGINE
from .principals import Scope
from .routes import api
from .routing import Call, in_time
from .shapes import AttachmentOut, Body


class UploadQuery(Body):
    """What an upload is called."""

    name: Annotated[str, Field(max_length=300)] = ""
    """Of a raw body; a multipart file has its own."""


@api.add(
    "POST",
    "/attachments",
    scope=Scope.BOT,
    query=UploadQuery,
    gives=AttachmentOut,
    status=201,
    errors=["too_large", "too_slow"],
    takes=("multipart/form-data", "*/*"),
)
async def upload(call: Call[UploadQuery, None]) -> AttachmentOut:
    """Keep a file: the first file of a multipart/form-data body, or the raw body with its name in `name`."""
    engine, request = call.engine, call.request
    limit = engine.config.server.upload_limit
    if (request.content_length or 0) > limit + 64 * 1024:  # what multipart puts around the file
        raise TooLarge(f"at most {limit} bytes")
    name, chunks = call.query.name, request.content.iter_chunked(64 * 1024)
    if request.content_type == "multipart/form-data":
        async with in_time():
            form, part = await _first_file(request)
        name, chunks = part.filename or name, _chunks(form, part)  # type: ignore[assignment]
    try:
        kept = await engine.filing.keep(_alive(chunks), name=name, limit=limit)
    except Unreadable as error:
        raise problems.Invalid("body", str(error)) from error
    return AttachmentOut.of(kept, engine.filing.link(kept))


async def _first_file(request: web.Request) -> tuple[MultipartReader, BodyPartReader]:
    try:
        form = await request.multipart()
        async for part in form:
            if isinstance(part, BodyPartReader) and part.filename:
                return form, part
    except (ValueError, BadHttpMessage) as error:  # aiohttp's word for a body that is no multipart
        raise problems.Invalid("body", "this is no multipart/form-data") from error
    raise problems.Invalid("body", "there is no file in it")


async def _chunks(form: MultipartReader, part: BodyPartReader) -> AsyncIterator[bytes]:
    try:
        while chunk := await part.read_chunk(64 * 1024):
            yield chunk
        await form.next()  # looks for the boundary; what stands behind it is nobody's concern
    except (ValueError, AssertionError, BadHttpMessage) as error:  # aiohttp's words for a body that ends too soon
        raise problems.Invalid("body", "the file has no boundary at its end: it was cut") from error


async def _alive(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        async with in_time():
            chunk = await anext(chunks, b"")
        if not chunk:
            return
        yield chunk


@api.add("GET", "/attachments/{id}", gives=AttachmentOut)
async def attachment(call: Call[None, None]) -> AttachmentOut:
    """Give what is known of a file, with a link to it that holds for five minutes."""
    found = await call.engine.store.read(lambda query: readmodels.attachment(query, call.id()))
    return AttachmentOut.of(found, call.engine.filing.link(found))


async def media(request: web.Request) -> web.StreamResponse:
    """Give the bytes to whoever has a link; no cookies, nothing that a browser would run."""
    engine, id_ = request.app[ENGINE], request.match_info["id"]
    keys = [key.get_secret_value() for key in engine.keys]
    try:
        if not links.verify(keys, id_, request.query, engine.clock.now()):
            raise NotFound("this link does not hold, or no longer")
        found = await engine.store.read(lambda query: readmodels.attachment(query, id_))
        blocks = engine.files.open(found.sha256)
        first = await anext(blocks, b"")
    except TalkwireError as error:
        return problems.of(error)
    response = web.StreamResponse(headers=links.headers_for(found))
    response.content_length = found.size
    await response.prepare(request)
    if request.method != "HEAD":
        await response.write(first)
        async for block in blocks:
            await response.write(block)
    return response
