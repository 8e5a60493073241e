import pytest


async def test_a_channels_routes_are_served_under_its_account(server):
    async with server.get("/c/shop/hello/ann") as response:
        assert (response.status, await response.text()) == (200, "hello ann from shop")


@pytest.mark.parametrize("path", ["/c/shop/hello", "/c/shop/other", "/c/gone/hello/ann", "/c/nobody/hello/ann"])
async def test_what_no_channel_serves_is_404(server, path):
    async with server.get(path) as response:
        assert response.status == 404


async def test_a_plugins_handler_asks_who_is_there(server, key):
    async with server.get("/p/tiny/who") as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (401, "unauthenticated")
    async with server.get("/p/tiny/who", headers={"Authorization": f"Bearer {await key()}"}) as response:
        assert await response.text() == "key:crm"


async def test_a_handler_that_breaks_gives_an_id_and_no_text(server, capsys):
    async with server.get("/p/tiny/broken") as response:
        problem = await response.json(content_type=None)
    assert (response.status, problem["code"]) == (500, "internal")
    assert "secret" not in str(problem)
    said = capsys.readouterr().out
    assert problem["id"] in said
    assert "secret" not in said


async def test_pages_come_under_a_strict_policy_that_a_plugin_widens(server):
    async with server.get("/p/tiny/") as response:
        assert await response.text() == "<p>page"
        policy = response.headers["Content-Security-Policy"]
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "img-src 'self' blob:" in policy
    async with server.get("/p/tiny/worker.js") as response:
        assert response.headers["Service-Worker-Allowed"] == "/p/tiny/"


async def test_our_own_pages_learn_which_modules_join_them_wherever_they_are_served(server, admin_port, key):
    headers = {"Authorization": f"Bearer {await key()}"}
    for port in (server, admin_port):
        async with port.get("/api/v1/page-modules") as response:
            assert response.status == 401
        async with port.get("/api/v1/page-modules", headers=headers) as response:
            assert await response.json() == {"items": ["/p/tiny/joins.js"]}
        async with port.get("/p/tiny/joins.js") as response:
            assert (response.status, response.content_type) == (200, "text/javascript")
        async with port.get("/p/tiny/who", headers=headers) as response:
            assert await response.text() == "key:crm"


@pytest.mark.parametrize("path", ["/p/tiny/..%2Foutside.txt", "/p/tiny/%2e%2e/outside.txt", "/p/other/", "/p/tiny/x",
                                  "/p/tiny/%00", f"/p/tiny/{'x' * 300}"])  # fmt: skip
async def test_no_page_lies_outside_the_folder(server, path):
    async with server.get(path) as response:
        assert response.status == 404


async def test_the_public_port_says_only_ok_the_admin_port_why_not(hub, server, admin_port):
    async with server.get("/livez") as response:
        assert await response.text() == "ok"
    async with admin_port.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"ok": True, "reasons": [], "media": {}})
    hub.daemon.stopping = True
    async with admin_port.get("/readyz") as response:
        assert (response.status, await response.json()) == (503, {"ok": False, "reasons": ["stopping"], "media": {}})
    async with admin_port.get("/livez") as response:
        assert response.status == 200
    async with server.get("/readyz") as response:
        assert response.status == 404


async def test_the_admin_port_names_the_database_that_does_not_answer(hub, admin_port):
    await hub.daemon.store.close()
    async with admin_port.get("/readyz") as response:
        said = await response.json()
    assert response.status == 503
    assert "database: the store is closed" in said["reasons"]


async def test_the_admin_port_has_the_operators_page_the_public_one_has_not(server, admin_port):
    async with admin_port.get("/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
    async with server.get("/") as response:
        assert response.status == 404


@pytest.mark.parametrize("file", ["%00", "x" * 300])
async def test_a_name_that_no_file_has_is_no_page_of_the_operator(admin_port, file):
    async with admin_port.get(f"/operator/{file}") as response:
        assert response.status == 404


async def test_what_does_not_fit_a_plugins_own_model_is_named_and_not_quoted(server):
    async with server.post("/p/tiny/numbered", json={"number": "hush", "colour": "hush"}) as response:
        problem = await response.json(content_type=None)
    assert (response.status, problem["code"]) == (422, "invalid")
    assert {fault["path"] for fault in problem["faults"]} == {"number", "colour"}
    assert "hush" not in str(problem)


async def test_a_channel_whose_routes_break_gives_an_id_and_no_text(hub, server, monkeypatch, capsys, caplog):
    def broken(_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(type(hub.daemon.account("shop").channel), "routes", broken)
    async with server.get("/c/shop/hello/ann") as response:
        problem = await response.json(content_type=None)
    assert (response.status, problem["code"]) == (500, "internal")
    assert "secret" not in str(problem) + capsys.readouterr().out + caplog.text


async def test_the_admin_port_takes_no_deliveries(admin_port):
    async with admin_port.post("/in/shop") as response:
        assert response.status == 404


async def test_notifications_are_answered_once_and_the_second_hears_who_was_first(hub, api):
    from talkwire.actions import Notify
    from talkwire.model import Option

    def recipient(tx, items):
        sql = "INSERT INTO recipient (name) VALUES (:name)"
        return [tx.execute(sql, {"name": name}) for name in items]

    await hub.daemon.store.write(recipient, "crm")
    asked = Notify(recipient="crm", kind="test", title="Take it?", actions=(Option("yes", "Yes"),), key="k")
    await hub.daemon.hub.of("tiny").notify(asked)
    await hub.run_until_idle()
    [notification] = (await api.get("/notifications"))["items"]
    path = f"/notifications/{notification['id']}:answer"
    assert await api.post(path, json={"action": "yes", "surface": "phone"}) == (204, None)
    status, problem = await api.post(path, json={"action": "yes"})
    assert (status, problem["code"], problem["answered_by"], problem["action"]) == (
        409,
        "already_answered",
        "phone",
        "yes",
    )
    assert (await api.post("/notifications/x:answer", json={"action": "yes"}))[0] == 404


async def test_the_whole_of_a_message_is_for_whoever_is_signed_in(admin_port, hub, customer, key):
    conversation = await customer.writes()
    [message] = await hub.messages(conversation)
    path = f"/operator/messages/{message.id}/whole"
    async with admin_port.get(path) as response:
        assert response.status == 401
    headers = {"Authorization": f"Bearer {await key('read')}"}
    async with admin_port.get(path, headers=headers) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (404, "not_found")
