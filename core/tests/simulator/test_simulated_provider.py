"""What every simulated provider has beside its protocol."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, ClassVar

import pytest

from talkwire import SimulatedProvider


@pytest.fixture
async def acme(tmp_path: Any, monkeypatch: Any, aiohttp_client: Any) -> Any:
    """A provider with a page of one line."""
    package = f"acme_{uuid.uuid4().hex}"  # another one in each test: imports are kept
    page = tmp_path / package / "page"
    page.mkdir(parents=True)
    (page.parent / "__init__.py").touch()
    (page / "acme.html").write_text("<!doctype html><title>Acme</title>")
    (page / "acme.js").write_text("// nothing")
    monkeypatch.syspath_prepend(tmp_path)

    class Acme(SimulatedProvider):
        knobs: ClassVar = {"Acme": {"busy": "is busy"}, "The customer": {"twice": "says all twice"}}

        def everything(self) -> dict[str, Any]:
            return {"all": ["first"]}

    one = Acme(package)
    client = await aiohttp_client(one.app())
    client.acme = one
    return client


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/acme.js", "text/javascript"), ("/frame.js", "text/javascript"), ("/frame.css", "text/css")],
)
async def test_the_page_is_served_with_the_frame_under_a_policy_that_lets_nothing_else_in(
    acme: Any, path: str, kind: str
) -> None:
    answer = await acme.get(path)
    assert (answer.status, answer.content_type) == (200, kind)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


async def test_the_feed_begins_with_everything_and_goes_on_with_what_is_told(acme: Any) -> None:
    async with acme.get("/sim/stream") as stream:
        assert await stream.content.readline() == b'data: {"all": ["first"], "faults": []}\n'
        await stream.content.readline()
        acme.acme.tell({"message": "second"})
        assert await stream.content.readline() == b'data: {"message": "second"}\n'


async def test_exactly_the_faults_that_are_chosen_go_wrong(acme: Any) -> None:
    known = acme.acme.faults
    await acme.acme.set_fault(str(acme.make_url("")).rstrip("/"), "busy")
    assert acme.acme.faults == {"busy"}
    answer = await (await acme.post("/sim/faults", json={"on": ["twice"]})).json()
    assert answer == {"on": ["twice"], "all": acme.acme.knobs}
    await acme.acme.set_fault(str(acme.make_url("")).rstrip("/"), "")
    assert acme.acme.faults == set()
    assert acme.acme.faults is known


@pytest.mark.parametrize("wrong", [{"on": ["gremlins"]}, {"on": "busy"}, []])
async def test_a_fault_nobody_has_is_refused(acme: Any, wrong: Any) -> None:
    assert (await acme.post("/sim/faults", json=wrong)).status == 400
    with pytest.raises(ValueError, match="no fault is called gremlins"):
        acme.acme.fault("gremlins")


async def test_another_site_turns_no_knob(acme: Any) -> None:
    assert (
        await acme.post("/sim/faults", data='{"on": ["busy"]}', headers={"Content-Type": "text/plain"})
    ).status == 415
    assert acme.acme.faults == set()


async def test_what_is_under_way_ends_with_the_application(acme: Any) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    acme.acme.later(work())
    await begun.wait()
    await acme.close()
    assert ended.is_set()


async def test_who_waits_for_idleness_waits_for_what_was_begun_meanwhile(acme: Any) -> None:
    done = []

    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    async def first() -> None:
        acme.acme.later(second())

    acme.acme.later(first())
    await acme.acme.idle()
    assert done == ["second"]
