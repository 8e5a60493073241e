"""A thin layer on pydantic: operations with their models, the routes made of them, and the document that describes them.

The models that validate are the ones that are documented, so the two cannot differ.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from pydantic_core import from_json, to_json

from .. import errors
from ..lifecycle import auditing
from . import problems
from .engine import ENGINE, Engine
from .principals import Principal, Scope
from .remote import remote_of

Q = TypeVar("Q")
B = TypeVar("B")
BODY_LIMIT = 1024 * 1024  # bytes of JSON
BODY_TIME = 30  # seconds for a body, or the next piece of an upload
_REF = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One request, checked."""

    engine: Engine
    principal: Principal
    request: web.Request
    query: Q
    body: B

    def id(self, name: str = "id") -> str:
        """Give a parameter of the path."""
        return self.request.match_info[name]


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that can be asked for."""

    method: str
    path: str  # below the prefix, `{id}` for parameters
    handler: Handler
    scope: Scope | None  # None: anybody
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    gives: type[BaseModel] | None  # None: no JSON
    status: int
    errors: tuple[str, ...]  # codes, beside those that every operation may give
    headers: tuple[str, ...]  # of the request, that it looks at
    takes: tuple[str, ...]  # media types of a body that is no JSON
    audited: bool  # an administrative act: who did it is written down
    streams: bool  # gives text/event-stream to who asks for it

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Match the paths of this operation."""
        return re.compile(re.sub(r"\\{\w+\\}", "[^/:]+", re.escape(self.path)))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, and note how long that took."""
        began = perf_counter()
        answer = await self._answer(request)
        if isinstance(answer, web.Response):  # a stream goes on for hours
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else self.path
            request.app[ENGINE].requests.add(self.method, route, answer.status, perf_counter() - began)
        return answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request: who, may they, is it right, do it."""
        try:
            principal = await self._who(request)
            call = Call(request.app[ENGINE], principal, request, self._query(request), await self._body(request))
            result = await self._done(call)
        except errors.PLUGIN_MAY_RAISE as error:  # one request; what it is goes into the log
            return problems.of(error)
        if isinstance(result, web.StreamResponse):
            return result if result.prepared else problems.unstored(result)  # a stream was sent already
        if self.gives is None:
            return problems.unstored(web.Response(status=204))
        said = self.gives.model_validate(result, from_attributes=True)
        return problems.unstored(web.Response(body=to_json(said), status=self.status, content_type="application/json"))

    async def _done(self, call: Call[Any, Any]) -> Any:
        if not self.audited:
            return await self.handler(call)
        ids = {**call.request.match_info, **(call.body.model_dump() if call.body is not None else {})}
        what = getattr(self.handler, "__name__", "")
        async with auditing.audited(call.engine.store, call.principal.name, what, ids):
            return await self.handler(call)

    async def _who(self, request: web.Request) -> Principal:
        if "%00" in request.rel_url.raw_path:
            raise errors.NotFound("no id holds this character")  # nor may any text of PostgreSQL
        if "%00" in request.rel_url.raw_query_string:
            raise problems.Invalid("", "no parameter may hold U+0000")
        engine = request.app[ENGINE]
        engine.limits.from_address(remote_of(request, engine.config.server.trusted_proxies))
        if self.scope is None:
            return Principal("", Scope.READ)
        principal = await engine.principals.principal(request)
        engine.limits.of_key(principal.name)
        principal.may(self.scope)
        return principal

    def _query(self, request: web.Request) -> Any:
        given = dict(request.query)
        if self.query is not None:
            try:
                return self.query.model_validate(given)
            except ValidationError as error:
                raise problems.Misfit(self.query, error, "parameter") from error
        if given:
            raise problems.Invalid(next(iter(given)), "there is no such parameter here")
        return None

    async def _body(self, request: web.Request) -> Any:
        if self.body is None:
            return None
        if request.content_type != "application/json":
            raise problems.WrongType("send Content-Type: application/json")
        raw = await limited_body(request, BODY_LIMIT)
        try:
            body = self.body.model_validate_json(raw or b"{}", strict=True)  # as the document says: true is no number
        except ValidationError as error:
            raise problems.Misfit(self.body, error) from error
        if b"\\u0000" in raw and _holds_nul(from_json(raw)):
            raise problems.Invalid("", "no text may hold U+0000")
        return body


async def limited_body(request: web.Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes. Errors: `TooLarge`, `TooSlow`."""
    if (request.content_length or 0) > limit:
        raise errors.TooLarge(f"at most {limit} bytes")
    async with in_time():
        raw = await request.read()
    if len(raw) > limit:
        raise errors.TooLarge(f"at most {limit} bytes")
    return raw


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Wait for what a client sends no longer than `BODY_TIME`. Errors: `TooSlow`."""
    try:
        async with asyncio.timeout(BODY_TIME):
            yield
    except TimeoutError as error:
        raise problems.TooSlow(f"nothing came for {BODY_TIME} s") from error


def _holds_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_nul, value.values()))
    return any(map(_holds_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\0" in value


class Api:
    """The operations below one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.operations: list[Operation] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        scope: Scope | None = Scope.READ,
        query: type[BaseModel] | None = None,
        body: type[BaseModel] | None = None,
        gives: type[BaseModel] | None = None,
        status: int = 200,
        errors: Sequence[str] = (),
        headers: Sequence[str] = (),
        takes: Sequence[str] = (),
        audited: bool = False,
        streams: bool = False,
    ) -> Callable[[H], H]:
        """Make a function an operation."""

        def taken(handler: H) -> H:
            self.operations.append(
                Operation(
                    method=method,
                    path=path,
                    handler=handler,
                    scope=scope,
                    query=query,
                    body=body,
                    gives=gives,
                    status=status,
                    errors=tuple(errors),
                    headers=tuple(headers),
                    takes=tuple(takes),
                    audited=audited,
                    streams=streams,
                )
            )
            return handler

        return taken

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Give what an application serves: every operation, the document, problems for all other paths."""
        for operation in self.operations:
            add = {"GET": web.get, "POST": web.post, "PUT": web.put, "DELETE": web.delete}[operation.method]
            yield add(self.prefix + operation.path, operation.serve)
        yield web.get(self.prefix + "/openapi.json", self._described)
        yield web.route("*", self.prefix + "/{rest:.*}", self._nowhere)

    async def _described(self, request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")

    async def _nowhere(self, request: web.Request) -> web.Response:
        path = request.path[len(self.prefix) :]
        methods = sorted({o.method for o in self.operations if o.pattern.fullmatch(path)})
        if not methods:
            return problems.response("not_found")
        answer = problems.response("method_not_allowed", f"try {' or '.join(methods)}")
        answer.headers["Allow"] = ", ".join(methods)
        return answer

    @cached_property
    def _document(self) -> bytes:
        return to_json(self.document())

    def document(self) -> dict[str, Any]:
        """Describe all operations as OpenAPI 3.1."""
        wanted: dict[tuple[type[BaseModel], Any], None] = {(problems.ProblemDetails, "serialization"): None}
        for one in self.operations:
            wanted |= {(one.body, "validation"): None} if one.body else {}
            wanted |= {(one.gives, "serialization"): None} if one.gives else {}
        refs, schemas = models_json_schema(list(wanted), ref_template=_REF)
        paths: dict[str, dict[str, Any]] = {}
        for one in self.operations:
            said = _described(one, refs)
            paths.setdefault(self.prefix + one.path, {})[one.method.lower()] = said
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Talkwire",
                "version": "1",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"key": []}],
            "paths": paths,
            "components": {
                "schemas": schemas.get("$defs", {}),
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "tw_<id>_<secret>"}},
            },
        }


def _described(one: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    text = inspect.getdoc(one.handler) or ""
    name = getattr(one.handler, "__name__", "")
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", one.path)
    ]
    if one.query is not None:
        schema = one.query.model_json_schema(ref_template=_REF)
        parameters += [
            {"name": key, "in": "query", "required": key in schema.get("required", ()), "schema": _flat(value)}
            # Lists are read as `a,b`; without a word OpenAPI means `key=a&key=b`.
            | ({"style": "form", "explode": False} if value.get("type") == "array" else {})
            for key, value in schema["properties"].items()
        ]
    parameters += [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in one.headers
    ]
    success: dict[str, Any] = {"description": "Done"}
    if one.gives is not None:
        success["content"] = {"application/json": {"schema": refs[one.gives, "serialization"]}}
    if one.streams:
        success["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    said: dict[str, Any] = {
        "operationId": name,
        "summary": text.partition("\n")[0].rstrip("."),
        "description": text,
        "parameters": parameters,
        "responses": {str(one.status): success, **_problems(one, refs)},
    }
    if one.body is not None:
        content = {"application/json": {"schema": refs[one.body, "validation"]}}
        said["requestBody"] = {"required": True, "content": content}
    if one.takes:
        said["requestBody"] = {"required": True, "content": {kind: {} for kind in one.takes}}
    if one.scope is None:
        said["security"] = []
    return said


def _problems(one: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    codes = [
        *one.errors,
        "rate_limited",
        "internal",
        "store_down",
        *(["unauthenticated", "forbidden"] if one.scope else []),
    ]
    codes += ["invalid"]  # also a parameter that is not there
    codes += ["too_large", "unsupported_media_type", "too_slow"] if one.body else []
    codes += ["not_found"] if "{" in one.path else []
    by_status: dict[str, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(str(problems.CODES[code][0]), []).append(code)
    content = {"application/problem+json": {"schema": refs[problems.ProblemDetails, "serialization"]}}
    return {
        status: {
            "description": " · ".join(f"`{code}`: {problems.CODES[code][1]}" for code in found),
            "content": content,
        }
        for status, found in sorted(by_status.items())
    }


def _flat(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "title"}
