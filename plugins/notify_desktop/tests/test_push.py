"""Where no page is open, a browser is woken by its push service, which learns nothing of what it carries."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidTag

from talkwire.testing.services import NOON

from .pushing import SETTINGS, push_service, vouched


@pytest_asyncio.fixture
async def service():
    async with push_service() as running:
        yield running


@pytest_asyncio.fixture
async def office(start_office):
    return await start_office(SETTINGS)


async def asked(office, method, path, body=None, *, status, name="ann"):
    """Ask as a page of ours does."""
    headers = await office.session(name)
    async with office.client.request(method, f"/p/notify_desktop{path}", json=body, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json() if "json" in answer.content_type else None


async def subscribed(office, service, where="a", name="ann"):
    browser = service.subscribe(where)
    await asked(office, "POST", "/subscriptions", browser.subscription(device="Phone"), status=201, name=name)
    return browser


async def until(true):
    """Wait for what comes after a socket's end."""
    async with asyncio.timeout(15):
        while not true():
            await asyncio.sleep(0.005)


async def devices(office, name="ann"):
    return (await asked(office, "GET", "/devices", status=200, name=name))["devices"]


# --- a push -----------------------------------------------------------------------------------------------


async def test_a_closed_browser_is_woken_with_what_only_it_can_read(office, service):
    browser = await subscribed(office, service)
    id_ = await office.notify(title="Refund?", text="Dewi asks", style="alert")
    [(headers, body)] = service.pushes
    assert b"Dewi" not in body
    said = browser.reads(body)["notification"]
    assert (said["id"], said["title"], said["text"]) == (id_, "Refund?", "Dewi asks")
    assert "lapses_at" not in said
    assert (headers["TTL"], headers["Urgency"], headers["Content-Encoding"]) == ("86400", "high", "aes128gcm")
    assert len(headers["Topic"]) == 32
    with pytest.raises(InvalidTag):
        service.subscribe("another").reads(body)
    assert await office.decision(id_) == ("handed", "")


async def test_a_push_vouches_for_us_to_that_service_alone(office, service):
    await subscribed(office, service)
    await office.notify()
    claims = vouched(service.pushes[0][0]["Authorization"])
    assert (claims["aud"], claims["sub"]) == (service.url, "mailto:ops@example.org")
    assert claims["exp"] == int((NOON + timedelta(hours=12)).timestamp())
    page = await office.page()
    assert page.ready["push_key"] == claims["key"]


async def test_a_service_worker_says_that_it_shows_what_was_pushed(office, service):
    await subscribed(office, service)
    id_ = await office.notify()
    await asked(office, "POST", "/shown", {"id": id_}, status=404, name="bob")
    assert await office.decision(id_) == ("handed", "")
    await asked(office, "POST", "/shown", {"id": id_}, status=204)
    assert await office.decision(id_) == ("shown", "")


async def test_what_was_answered_elsewhere_is_withdrawn_by_a_push_that_takes_its_place(office, service):
    browser = await subscribed(office, service)
    id_ = await office.notify()
    await office.hub.daemon.hub.answer(id_, "accept", "email")
    await office.hub.run_until_idle()
    (first, _), (second, body) = service.pushes
    assert browser.reads(body) == {"withdraw": id_}
    assert first["Topic"] == second["Topic"]


async def test_nobody_is_woken_while_a_surface_can_show_it(office, service):
    await subscribed(office, service)
    page = await office.page()
    await office.notify()
    await page.shows()
    assert service.pushes == []


async def test_a_page_without_permission_leaves_it_to_the_push(office, service):
    await subscribed(office, service)
    await office.page(able=False, why_not="permission")
    id_ = await office.notify()
    assert len(service.pushes) == 1
    assert await office.decision(id_) == ("handed", "")


async def test_what_a_surface_took_and_never_showed_wakes_a_browser_once_it_is_gone(office, service):
    await subscribed(office, service)
    page = await office.page()
    unseen, seen = await office.notify(title="unseen"), await office.notify(title="seen")
    await page.say(type="shown", id=seen)
    await page.shows()
    await page.shows()
    await page.echo()
    await page.leaves()
    await until(lambda: service.pushes)
    [(headers, _)] = service.pushes
    assert headers["Topic"] == unseen.replace("-", "")[:32]


async def test_what_a_client_could_not_show_wakes_a_browser(office, service):
    browser = await subscribed(office, service)
    client = await office.native()
    id_ = await office.notify()
    await client.shows()
    await client.say(type="refused", id=id_, why="no_daemon")
    await client.echo()
    assert [browser.reads(body)["notification"]["id"] for _, body in service.pushes] == [id_]


async def test_a_long_text_is_cut_to_what_a_service_takes(office, service):
    browser = await subscribed(office, service)
    await office.notify(title="\N{GRINNING FACE}" * 500, text="\N{GRINNING FACE}" * 5000)
    body = service.pushes[0][1]
    assert len(body) <= 4096
    assert browser.reads(body)["notification"]["title"].startswith("\N{GRINNING FACE}" * 200)


# --- what services answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410])
async def test_a_dead_subscription_is_removed(office, service, status):
    await subscribed(office, service)
    service.says = [(status, {})]
    id_ = await office.notify()
    assert await devices(office) == []
    assert await office.decision(id_) == ("suppressed", "no_surface")


async def test_a_busy_service_is_asked_again_when_it_said(office, service):
    await subscribed(office, service)
    service.says = [(429, {"Retry-After": "40"})]
    id_ = await office.notify()
    assert await office.decision(id_) == ("waiting", "the push service is busy or away")
    await office.hub.pass_time(seconds=39)
    assert len(service.pushes) == 1
    await office.hub.pass_time(seconds=2)
    assert len(service.pushes) == 2
    assert await office.decision(id_) == ("handed", "")


async def test_one_browser_that_was_reached_is_enough(office, service):
    await subscribed(office, service, "a")
    await subscribed(office, service, "b")
    service.says = [(503, {})]
    id_ = await office.notify()
    assert await office.decision(id_) == ("handed", "")


async def test_a_service_that_refuses_us_is_named_in_health(office, service):
    await subscribed(office, service)
    service.says = [(403, {})]
    id_ = await office.notify()
    assert await office.decision(id_) == ("suppressed", "push_refused")
    assert "127.0.0.1 refuses our pushes (HTTP 403)" in office.notifier.trouble()
    await office.notify()
    assert office.notifier.trouble() == ""


async def test_a_push_is_not_sent_on_to_where_a_service_points(office, service):
    await subscribed(office, service)
    service.says = [(307, {"Location": "/wake/elsewhere"})]
    id_ = await office.notify()
    assert len(service.pushes) == 1
    assert await office.decision(id_) == ("suppressed", "push_refused")


# --- where a push may go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["http://push.example/a", "https://u:p@push.example/a", "ftp://push.example", "x"])
async def test_only_the_https_address_of_a_service_is_taken(office, service, endpoint):
    said = service.subscribe().subscription() | {"endpoint": endpoint}
    problem = await asked(office, "POST", "/subscriptions", said, status=422)
    assert problem["faults"][0]["path"] == "endpoint"


@pytest.mark.parametrize("keys", [{"p256dh": "AAAA", "auth": "MDEyMzQ1Njc4OWFiY2RlZg"}, {"p256dh": "", "auth": ""}])
async def test_keys_that_are_none_are_refused(office, service, keys):
    await asked(office, "POST", "/subscriptions", service.subscribe().subscription() | {"keys": keys}, status=422)


async def test_our_own_network_is_never_called(start_office, service):
    office = await start_office(SETTINGS.replace("push_here = true", ""))
    said = service.subscribe().subscription()
    await asked(office, "POST", "/subscriptions", said, status=422)  # http
    said["endpoint"] = said["endpoint"].replace("http:", "https:")
    await asked(office, "POST", "/subscriptions", said, status=201)
    id_ = await office.notify()
    assert await office.decision(id_) == ("suppressed", "no_surface")
    assert service.pushes == []
    assert await devices(office) == []


# --- devices ------------------------------------------------------------------------------------------------------


async def test_everybody_sees_and_removes_their_own_devices(office, service):
    await subscribed(office, service)
    client = await office.native()
    await office.page("bob", able=False, why_not="permission")
    [laptop, phone] = await devices(office)
    assert (laptop["kind"], laptop["name"], laptop["connected"], laptop["able"]) == ("native", "laptop", True, True)
    assert (phone["kind"], phone["name"], phone["service"]) == ("push", "Phone", "127.0.0.1")
    assert service.url not in str(phone)
    [page] = await devices(office, "bob")
    assert (page["able"], page["why_not"]) == (False, "permission")

    for device in (laptop, phone):
        await asked(office, "DELETE", f"/devices/{device['id']}", status=404, name="bob")
        await asked(office, "DELETE", f"/devices/{device['id']}", status=204)
    assert (await client.gets("bye"))["code"] == "forbidden"
    assert await devices(office) == []


async def test_a_client_that_went_stays_known(office):
    client = await office.native()
    await client.leaves()
    [laptop] = await devices(office)
    assert (laptop["connected"], laptop["able"], laptop["why_not"]) == (False, False, "not_connected")


async def test_a_browser_is_woken_for_whoever_signed_in_last(office, service):
    browser = await subscribed(office, service)
    await asked(office, "POST", "/subscriptions", browser.subscription(), status=201, name="bob")
    assert await devices(office) == []
    await office.notify("ann")
    assert service.pushes == []
    await asked(office, "DELETE", "/subscriptions", {"endpoint": browser.endpoint}, status=204, name="bob")
    assert await devices(office, "bob") == []


async def test_another_sites_page_subscribes_nobody(office, service):
    headers = {**await office.session("ann"), "Origin": "https://evil.example"}
    said = service.subscribe().subscription()
    async with office.client.post("/p/notify_desktop/subscriptions", json=said, headers=headers) as answer:
        assert answer.status == 403


# --- settings -------------------------------------------------------------------------------------------------------


async def test_without_the_extra_health_says_what_to_install(start_office, monkeypatch):
    monkeypatch.setitem(sys.modules, "pywebpush", None)
    office = await start_office(SETTINGS)
    assert "pip install 'talkwire-notify-desktop[webpush]'" in office.notifier.trouble()
    assert (await office.page()).ready["push_key"] is None
    assert await office.decision(await office.notify("bob")) == ("suppressed", "no_surface")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('vapid_key = "secret-words"\nvapid_contact = "mailto:a@b.example"', "private key of the curve P-256"),
        ('vapid_contact = "mailto:a@b.example"', "given together"),
        (SETTINGS.partition("]\n")[2].replace("mailto:", ""), "vapid_contact"),
    ],
)
async def test_wrong_settings_are_faults_that_quote_no_key(start_office, settings, says):
    with pytest.raises(Exception, match=says) as caught:
        await start_office(f"[plugins.notify_desktop]\n{settings}")
    assert "secret-words" not in str(caught.value)


async def test_neither_a_text_nor_an_address_reaches_the_log(office, service, caplog, capsys):
    await subscribed(office, service)
    service.says = [(403, {}), (429, {}), (410, {})]
    for _ in service.says[:]:
        await office.notify(title="planted-title", text="planted-text")
    said = caplog.text + "".join(capsys.readouterr())
    for secret in ("planted", "/wake/", "MDEyMzQ1"):
        assert secret not in said
