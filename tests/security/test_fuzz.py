"""The API under a fuzzer: Schemathesis reads our own document, and believes none of it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from talkwire import Notify, Option
from talkwire.api import api, make_app
from talkwire.api.principals import create_keys
from talkwire.testing.provider import reset_after_body
from tests.journeys.acme_hub import AcmeHub

pytest.importorskip("schemathesis")
UNLIMITED = '[server]\nkey_rate = "off"\naddress_rate = "off"\nfailure_rate = "off"\nupload_limit = "64 KiB"\n'
EXAMPLES, LONG = 3, 100  # of each operation, in each phase
SEED = 20261128
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


async def filled(acme: AcmeHub) -> dict[str, list[str]]:
    """Let there be one of everything; gives the ids by operation's path."""
    hub = acme.hub
    conversation = (await acme.talk()).id
    acme.provider.will(reset_after_body())
    await acme.reply(conversation, "It arrives today.")

    def recipient(tx: Any, items: Any) -> Any:
        return [tx.execute("INSERT INTO recipient (name) VALUES (:name)", {"name": name}) for name in items]

    await hub.daemon.store.write(recipient, "fuzzer")
    asked = Notify(recipient="fuzzer", kind="test", title="Take it?", actions=(Option("yes", "Yes"),), key="k")
    await hub.daemon.hub.of("acme").notify(asked)
    await hub.run_until_idle()
    found = {
        "accounts": ["shop"],
        "conversations": [conversation],
        "messages": await acme.column("SELECT id FROM message"),
        "deliveries": await acme.column("SELECT id FROM delivery"),
        "contacts": await acme.column("SELECT id FROM contact"),
        "notifications": await acme.column("SELECT id FROM notification"),
        "attachments": [],
    }
    assert all(found[kind] for kind in found if kind != "attachments"), found
    return found


def document(ids: dict[str, list[str]]) -> dict[str, Any]:
    """Give our document, with the ids that there are, and without long waits."""
    said = api.document()
    for path, item in said["paths"].items():
        kind = path.removeprefix(api.prefix + "/").partition("/")[0]
        for operation in item.values():
            operation["parameters"] = [one for one in operation["parameters"] if one["name"] != "wait"]
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and ids.get(kind):
                    parameter["schema"] = {"type": "string", "enum": [*ids[kind], "nobody"]}
    return json.loads(json.dumps(said))


@pytest.mark.prove
@pytest.mark.timeout(180)
async def test_the_api_keeps_its_document_whatever_it_is_asked(
    start_acme: Any, aiohttp_client: Any, tmp_path: Path, proving: bool, proof: Any
) -> None:
    acme = await start_acme(UNLIMITED)
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document(await filled(acme))))
    server = await aiohttp_client(make_app(acme.hub.daemon))
    token = await acme.hub.daemon.store.write(create_keys, ("fuzzer", "admin"))
    # What a draft may be takes a thousand cases to say; in the short form one of three operations says it.
    left_out = [] if proving else ["--exclude-operation-id", "reply_to_address", "--exclude-operation-id", "preview"]
    words = [
        *("-m", "schemathesis.cli", "run", str(file), "--url", f"http://{server.host}:{server.port}"),
        *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)),
        *("--phases", "coverage,fuzzing", "--max-examples", str(LONG if proving else EXAMPLES), "--seed", str(SEED)),
        *("--request-timeout", "10", "--no-shrink", "--continue-on-failure", "--no-color", "--warnings", "off"),
        *left_out,
    ]
    log = tmp_path / "said.txt"
    with log.open("wb") as out:
        ran = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=tmp_path, stdout=out, stderr=out)
    try:
        await ran.wait()
    finally:
        if ran.returncode is None:
            ran.kill()
            await ran.wait()
    said = log.read_text()
    assert ran.returncode == 0, said[-8000:]
    [(cases, passed)] = re.findall(r"(\d+) generated, (\d+) passed", said)
    figures = {"operations": len(api.operations), "examples of each": LONG if proving else EXAMPLES, "seed": SEED}
    proof("fuzz-api", {**figures, "requests": cases, "as described": passed, "checks": " ".join(CHECKS)})
