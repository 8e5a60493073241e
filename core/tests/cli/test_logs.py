"""What the daemon says of itself holds no secret, whatever was handed to it."""

import json
import logging

import pytest
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from talkwire.cli import logs
from talkwire.settings import Config

SECRET = "planted-secret-0123456789"
SIGNS = "whsec_cGxhbnRlZC1rZXktb2YtYS13ZWJob29rLTAxMjM0NTY3ODk="
SETTINGS = f"""
[store]
url = "postgresql://me:{SECRET}@host/database"
[[webhooks]]
name = "crm"
url = "https://crm.example/planted-path"
secrets = ["{SIGNS}"]
"""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int


@pytest.fixture
def said(capsys, tmp_path):
    """Set logging up; gives what reads it. Afterwards it is as before."""
    root = logging.getLogger()
    before, level = root.handlers, root.level

    def configure(form, level="info"):
        logs.configure(form, level, Config.from_text(SETTINGS, tmp_path, {}))
        return lambda: capsys.readouterr().err

    yield configure
    root.handlers, root.level = before, level
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_secret_is_said(said, form):
    read = said(form)
    log = structlog.get_logger("talkwire.test")
    given = "planted-" + "input"  # a local variable, which tracebacks must not show
    words = f"in the event {SECRET}"
    log.warning(words, value=SECRET, deep={"list": [SECRET]})
    logging.getLogger("aiohttp.server").error("in a foreign record %s", SECRET)
    log.warning("a webhook", signs=SIGNS, url="https://crm.example/planted-path")
    log.info("key", key="tw_0123456789ab_" + "k" * 43)
    log.info("header", authorization="Bearer planted-bearer-token")
    try:
        raise RuntimeError(SECRET)
    except RuntimeError:
        log.exception("failed")
    try:
        Strict(number=given)
    except ValidationError:
        log.exception("refused")
    text = read()
    for words in (SECRET, "k" * 43, "planted-bearer", "planted-input", SIGNS, "planted-path"):
        assert words not in text
    for words in ("in the event", "in a foreign record", "RuntimeError", "ValidationError", "tw_0123456789ab_…"):
        assert words in text


def test_json_is_one_object_a_line_with_the_same_keys_for_all(said):
    read = said("json")
    structlog.get_logger("talkwire.test").warning("ours", account="shop")
    logging.getLogger("somebody").warning("theirs")
    ours, theirs = map(json.loads, read().splitlines())
    assert ours.pop("account") == "shop"
    assert set(ours) == set(theirs) == {"event", "level", "logger", "timestamp"}
    assert (ours["logger"], theirs["logger"]) == ("talkwire.test", "somebody")


def test_the_level_holds(said):
    read = said("json", "warning")
    structlog.get_logger("talkwire.test").info("too small")
    structlog.get_logger("talkwire.test").warning("large enough")
    assert [json.loads(line)["event"] for line in read().splitlines()] == ["large enough"]
