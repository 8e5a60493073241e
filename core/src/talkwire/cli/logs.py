"""What the daemon says of itself: one line an event, for a person or as JSON, to standard error; never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import BaseModel, SecretBytes, SecretStr
from structlog.typing import EventDict, Processor

if TYPE_CHECKING:
    from ..settings import Config

_SHORTEST = 6  # characters of a secret that is looked for; a shorter one would take words out
_LOOKS_SECRET = re.compile(
    r"(?P<key>tw_[0-9a-f]{12}_)[\w-]{43}"  # an API key
    r"|(?P<url>://[^\s/:@]*:)[^\s/@]+(?=@)"  # a password in a URL
    r"|(?P<bearer>[Bb]earer )[^\s\"']+"
    r"|(?P<input>input_value=).*?(?=, input_type=)",  # pydantic quotes what it was given
    re.DOTALL,
)


def configure(form: str, level: str, config: Config | None = None) -> None:
    """Set logging up, for structlog's and the standard library's records alike."""
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Neither form shows local variables, which structlog would print (hynek/structlog#715).
    rendered: list[Processor]
    if form == "json":
        traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        rendered = [structlog.processors.ExceptionRenderer(traces), structlog.processors.JSONRenderer()]
    else:
        colours = sys.stderr.isatty()
        plain = structlog.dev.plain_traceback
        rendered = [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain, pad_event_to=0)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendered,
                redaction(set(_secrets(config))),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("aiohttp.access", "alembic", "markdown_it", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # nothing logs for each message; a cached one outlives this
    )


def redaction(secrets: set[str]) -> Any:
    """Make the last processor: it takes secrets out of the finished line."""
    known = sorted((re.escape(s) for s in secrets if len(s) >= _SHORTEST), key=len, reverse=True)
    ours = re.compile("|".join(known)) if known else None

    def redact(logger: Any, name: str, line: str | EventDict) -> str:  # noqa: ARG001
        text = str(line)
        if ours is not None:
            text = ours.sub("…", text)
        return _LOOKS_SECRET.sub(lambda found: f"{found[found.lastgroup or 0]}…", text)

    return redact


def _secrets(value: Any) -> Iterator[str]:
    """Give every secret of the settings."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode("latin-1")
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _secrets(inner)
    elif value is not None and hasattr(value, "accounts") and hasattr(value, "plugins"):
        yield from _secrets([account.settings for account in value.accounts.values()])
        yield from _secrets(value.plugins)
        yield from _passwords(value.store.url.get_secret_value())


def _passwords(url: str) -> Iterator[str]:
    if found := re.search(r"://[^/:@]*:([^/@]+)@", url):
        yield found[1]
