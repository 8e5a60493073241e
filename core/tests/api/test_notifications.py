"""What somebody is told, over HTTP: whether it shows, why not, what they want, and by which media."""

from __future__ import annotations

from datetime import timedelta

import pytest

from talkwire import Notify, OnDesktop, Option, Style

YES = (Option(id="yes", title="Yes"),)
ANN = "INSERT INTO recipient (name, media) VALUES (:name, :media)"


@pytest.fixture
def asks(server, key):
    """Give what asks with a key of `crm` that has a scope."""

    async def ask(scope, method, path, **options):
        headers = {"Authorization": f"Bearer {await key(scope)}"}
        async with server.request(method, f"/api/v1{path}", headers=headers, **options) as response:
            return response.status

    return ask


async def told(hub, *asked: Notify) -> list[str]:
    """Let a plugin notify `crm`, whose key asks here, and `ann`; gives ids, the oldest first."""

    def people(tx, items):
        for name in ("crm", "ann"):
            tx.execute(ANN, {"name": name, "media": '["pager"]'})
        return [None] * len(items)

    await hub.daemon.hub.write(people, None)
    await hub.daemon.open_media()
    for one in asked:
        await hub.daemon.hub.of("tiny").notify(one)
    await hub.run_until_idle()
    return [row[0] for row in await hub.rows("SELECT id FROM notification ORDER BY created_at, id")]


def alert(recipient: str = "crm", **more) -> Notify:
    return Notify(recipient=recipient, kind="offer", title="A chat", style=Style.ALERT, actions=YES, **more)


async def test_what_is_open_is_listed_and_all_of_it_on_demand(hub, api):
    first, second = await told(hub, alert(), Notify(recipient="crm", kind="x", title="Read me"))
    await hub.daemon.hub.answer(first, "yes", "page")
    assert [one["id"] for one in (await api.get("/notifications"))["items"]] == [second]
    assert (await api.post(f"/notifications/{second}:seen"))[0] == 204
    assert (await api.post(f"/notifications/{second}:seen"))[0] == 204
    assert (await api.get("/notifications"))["items"] == []
    every = (await api.get("/notifications?open=false"))["items"]
    assert [(one["id"], one["ended"], one["seen"]) for one in every] == [(second, "", True), (first, "answered", False)]


async def test_one_says_what_became_of_it_in_each_medium_and_who_answered(hub, api):
    mine, _ = await told(hub, alert(key="a"), alert("ann", key="a"))
    found = await api.get(f"/notifications/{mine}")
    assert [(one["medium"], one["decision"], one["reason"]) for one in found["media"]] == [
        ("pager", "suppressed", "medium_absent")
    ]
    assert found["media"][0]["text"].startswith("not shown: no notifier gives this medium")
    assert (found["winner"], found["events"], found["ended"]) == (None, 0, "")
    await hub.daemon.hub.answer(mine, "yes", "native:laptop")
    won = (await api.get(f"/notifications/{mine}"))["winner"]
    assert (won["recipient"], won["surface"], won["answer"]) == ("crm", "native:laptop", "yes")


async def test_who_is_second_hears_who_was_first_also_of_what_another_one_was_asked(hub, api):
    mine, theirs = await told(hub, alert(key="a"), alert("ann", key="a"))
    await hub.daemon.hub.answer(theirs, "yes", "email")
    status, problem = await api.post(f"/notifications/{mine}:answer", json={"action": "yes", "surface": "page"})
    assert (status, problem["code"]) == (409, "already_answered")
    assert (problem["answered_by"], problem["recipient"], problem["action"]) == ("email", "ann", "yes")


async def test_who_is_too_late_hears_that(hub, api):
    [mine] = await told(hub, alert(timeout=timedelta(seconds=90)))
    await hub.pass_time(seconds=90)
    status, problem = await api.post(f"/notifications/{mine}:answer", json={"action": "yes"})
    assert (status, problem["code"]) == (409, "lapsed")


@pytest.mark.parametrize("show", [True, False])
async def test_a_hidden_timeout_is_in_no_payload(hub, api, show):
    [mine] = await told(hub, alert(timeout=timedelta(seconds=90), show_timeout=show))
    for found in (await api.get(f"/notifications/{mine}"), (await api.get("/notifications"))["items"][0]):
        assert (found["lapses_at"] is not None) is show
    at = (await hub.rows("SELECT lapses_at FROM notification"))[0][0]
    assert str(at) not in str([fact.small for fact in await hub.facts()])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/notifications/{id}"),
        ("POST", "/notifications/{id}:seen"),
        ("GET", "/notifications?recipient=ann"),
        ("GET", "/preferences?recipient=ann"),
        ("PUT", "/preferences?recipient=ann"),
        ("GET", "/why?recipient=ann&event=1"),
        ("POST", "/notifications:test"),
    ],
)
async def test_others_notifications_need_the_scope_host(hub, asks, method, path):
    [theirs] = await told(hub, alert("ann"))
    body = {"GET": {}, "PUT": {"json": {}}, "POST": {"json": {"recipient": "ann"}} if "test" in path else {}}[method]
    where = path.replace("{id}", theirs)
    assert await asks("bot", method, where, **body) == 403
    assert await asks("host", method, where, **body) in (200, 202, 204)


async def test_a_test_notification_says_itself_what_became_of_it(hub, api):
    await told(hub)
    status, made = await api.post("/notifications:test", json={"style": "alert"})
    assert status == 202
    await hub.run_until_idle()
    found = await api.get(f"/notifications/{made['id']}")
    assert (found["title"], found["kind"], found["on_desktop"]) == ("This is a test", "test", OnDesktop.ALWAYS)
    assert [one["id"] for one in found["actions"]] == ["seen"]
    assert [one["medium"] for one in found["media"]] == ["pager"]


async def test_somebody_who_is_no_recipient_cannot_be_notified(hub, api):
    assert (await api.post("/notifications:test", json={}))[0] == 404
    assert (await api.ask("GET", "/preferences"))[0] == 404


async def test_what_somebody_wants_is_kept_and_given_back(hub, api):
    await told(hub)
    assert await api.get("/preferences") == {
        "recipient": "crm",
        "off": [],
        "quiet": None,
        "time_zone": None,
        "language": None,
    }
    wants = {"off": ["email"], "quiet": "22:00-07:00", "time_zone": "Asia/Jakarta", "language": "id"}
    assert await api.ask("PUT", "/preferences", json=wants) == (200, {"recipient": "crm", **wants})
    assert await api.get("/preferences") == {"recipient": "crm", **wants}
    status, problem = await api.ask("PUT", "/preferences", json={"quiet": "at night"})
    assert (status, problem["faults"]) == (
        422,
        [{"path": "quiet", "reason": "write hours such as 22:00-07:00, or nothing"}],
    )


async def test_media_are_listed_with_what_keeps_them_from_showing_anything(hub, api):
    await told(hub)
    [pager] = (await api.get("/media"))["items"]
    assert (pager["name"], pager["there"]) == ("pager", False)
    assert pager["trouble"] == "no plugin gives this medium"
