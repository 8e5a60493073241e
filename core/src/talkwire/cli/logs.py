"""What the daemon says of itself: one line an event, for a person or as JSON, to standard error; never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import structlog
from structlog.typing import EventDict, Processor

from ..redaction import secrets_of

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


def _secrets(config: Config | None) -> Iterator[str]:
    """Give every secret of the settings."""
    if config is not None:
        yield from secrets_of([account.settings for account in config.accounts.values()])
        yield from secrets_of(config.plugins)
        yield from secrets_of(config.webhooks)
        yield from _passwords(config.store.url.get_secret_value())


def _passwords(url: str) -> Iterator[str]:
    if found := re.search(r"://[^/:@]*:([^/@]+)@", url):
        yield found[1]
