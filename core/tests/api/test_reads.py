import pytest


async def test_conversations_come_page_by_page_the_last_moved_first(hub, customer, api):
    ids = []
    for n in range(5):
        ids.append(await customer.writes(f"text {n}", sender=f"+62812345678{n}"))
        await hub.pass_time(seconds=1)
    found, cursor = [], ""
    while True:
        page = await api.get("/conversations", params={"limit": 2, "cursor": cursor})
        found += [one["id"] for one in page["items"]]
        if not (cursor := page["next"]):
            break
    assert found == ids[::-1]


async def test_conversations_are_found_by_text_account_and_contact(customer, api):
    first = await customer.writes("a 100% sure thing", sender="+6281111111", name="Ann")
    await customer.writes("something else", sender="+6282222222")
    [found] = (await api.get("/conversations", params={"text": "ANN"}))["items"]
    assert found["id"] == first
    assert [c["id"] for c in (await api.get("/conversations", params={"text": "100%"}))["items"]] == [first]
    assert (await api.get("/conversations", params={"text": "1%s"}))["items"] == []
    assert (await api.get("/conversations", params={"account": "gone"}))["items"] == []
    [mine] = (await api.get("/conversations", params={"contact": found["contact"]}))["items"]
    assert (mine["address"]["value"], mine["last_text"]) == ("+6281111111", "a 100% sure thing")


async def test_an_allowed_answer_says_until_when_and_draws_no_icon(customer, api):
    conversation = await api.get(f"/conversations/{await customer.writes()}")
    answer = conversation["answer"]
    assert (answer["allowed"], answer["icon"], answer["until"]) == (True, None, "2026-11-24T12:00:00Z")


async def test_messages_come_after_before_and_the_last(customer, api):
    for n in range(1, 6):
        conversation = await customer.writes(f"text {n}")
    path = f"/conversations/{conversation}/messages"

    async def numbers(**query):
        return [m["n"] for m in (await api.get(path, params=query))["items"]]

    assert await numbers() == [1, 2, 3, 4, 5]
    assert await numbers(limit=2) == [4, 5]
    assert await numbers(after_n=1, limit=2) == [2, 3]
    assert await numbers(before_n=4, limit=2) == [2, 3]
    assert await numbers(after_n=0, before_n=3) == [1, 2]


async def test_a_page_of_messages_takes_a_constant_number_of_statements(hub, customer):
    from talkwire import readmodels

    for n in range(12):
        conversation = await customer.writes(f"text {n}")

    def count(query, limit):
        asked = []
        execute = query._driver.execute
        query._driver.execute = lambda sql, params: asked.append(sql) or execute(sql, params)
        try:
            assert len(readmodels.messages(query, conversation, limit=limit)) == limit
        finally:
            query._driver.execute = execute
        return len(asked)

    read = hub.daemon.store.read
    assert await read(lambda query: count(query, 1)) == await read(lambda query: count(query, 12))


@pytest.mark.parametrize("path", ["conversations/x", "conversations/x/messages", "messages/x", "contacts/x",
                                  "accounts/x", "accounts/x/capabilities", "attachments/x", "messages/x/trace",
                                  "nothing", "conversations/%00"])  # fmt: skip
async def test_what_is_not_there_is_404(api, path):
    status, problem = await api.ask("GET", f"/{path}")
    assert (status, problem["code"]) == (404, "not_found")
    assert problem["type"] == "urn:talkwire:problem:not_found"


async def test_a_zero_byte_in_a_parameter_is_a_fault(api):
    status, problem = await api.ask("GET", "/contacts?text=%00")
    assert (status, problem["code"]) == (422, "invalid")


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "lmit=5", f"cursor={'x' * 101}"])
async def test_a_wrong_parameter_is_a_fault(api, query):
    status, problem = await api.ask("GET", f"/conversations?{query}")
    assert (status, problem["code"], problem["faults"][0]["path"]) == (422, "invalid", query.partition("=")[0])


@pytest.mark.parametrize("of", ["conversations?", "contacts?", "deliveries?state=failed&", "notifications?"])
@pytest.mark.parametrize("cursor", ["x", "1.x", "01930000-0000-7000-8000-00000000000", "9" * 30, "-1"])
async def test_a_cursor_that_no_page_gave_is_a_fault_and_not_the_first_page(api, of, cursor):
    status, problem = await api.ask("GET", f"/{of}cursor={cursor}")
    assert (status, problem["code"]) == (422, "invalid")
    assert problem["faults"] == [{"path": "cursor", "reason": "no page gave this; give it as `next` gave it"}]


async def test_a_wrong_method_names_the_right_ones(api):
    async with api.client.delete("/api/v1/conversations", headers=api.headers) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")
        assert (await response.json(content_type=None))["code"] == "method_not_allowed"


async def test_accounts_show_their_evidence_also_absent_ones(hub, customer, api):
    await customer.writes()
    gone, shop = (await api.get("/accounts"))["items"]
    assert (shop["name"], shop["endpoint"], shop["state"]) == ("shop", "shop", "working")
    assert (gone["name"], gone["endpoint"], gone["state"]) == ("gone", "", "absent")
    assert await api.get("/accounts/gone") == gone


async def test_an_account_that_heard_something_shows_it_at_once(hub, customer, api):
    """What is written down only now and then would be told as `never` by the operator's page."""
    conversation = await customer.writes()
    await api.post(f"/conversations/{conversation}/replies", json={"text": "hello"})
    await hub.run_until_idle()
    shop = await api.get("/accounts/shop")
    assert (shop["last_in_at"], shop["last_out_at"]) == ("2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z")


async def test_capabilities_come_from_the_features_and_carry_a_hash(api):
    said = await api.get("/accounts/shop/capabilities")
    assert (said["text_limit"], said["text_unit"], said["window_seconds"]) == (40, "characters", 86400)
    assert (said["blocks"]["card"], said["blocks"]["buttons"], said["blocks"]["text"]) == (
        "rejected",
        "partial",
        "full",
    )
    assert (said["reports"], said["writes_first_to"]) == ("sent", ["phone"])
    assert len(said["hash"]) == 16
    assert (await api.ask("GET", "/accounts/gone/capabilities"))[1]["code"] == "account_absent"


async def test_contacts_are_found_by_name_and_number(customer, api):
    await customer.writes(sender="+6281111111", name="Ann")
    await customer.writes(sender="+6282222222", name="Bob")
    assert [c["name"] for c in (await api.get("/contacts"))["items"]] == ["Bob", "Ann"]
    [ann] = (await api.get("/contacts", params={"text": "8111"}))["items"]
    assert await api.get(f"/contacts/{ann['id']}") == ann
    assert ann["addresses"] == [{"kind": "phone", "value": "+6281111111", "name": "Ann", "aliases": []}]


async def test_a_trace_tells_the_whole_story_in_order(hub, customer, api):
    conversation = await customer.writes("a question")
    body = {"text": "an answer"}
    _, accepted = await api.post(f"/conversations/{conversation}/replies", json=body)
    await hub.run_until_idle()
    lines = (await api.get(f"/messages/{accepted['message']}/trace"))["items"]
    assert [line["kind"] for line in lines if line["kind"] != "account"] == ["message", "part"]
    assert "an answer" not in str(lines)
    lines = (await api.get(f"/messages/{accepted['message']}/trace?bodies=true"))["items"]
    assert [(line["who"], line["text"], line["body"]) for line in lines if line["kind"] == "message"] == [
        ("key:crm", "reply 2", "an answer")
    ]
    told = await api.get(f"/trace/{conversation}")
    assert (told["conversation"], told["why"], told["cut"]) == (conversation, [], False)
    assert told["lines"] == (await api.get("/trace/+6281234567890"))["lines"]


async def test_a_phone_number_finds_the_talk_and_why_it_stands_still(hub, customer, api):
    conversation = await customer.writes("a question")
    [found] = (await api.get("/find?text=0812-3456-7890"))["items"]
    assert (found["kind"], found["id"]) == ("conversation", conversation)
    assert [one["text"] for one in found["why"]] == ["nobody has answered the customer's last message"]


class TestEvidence:
    """What the commands find, trace and status stand on."""

    @pytest.mark.parametrize("said", ["m1", "0812-3456", "+62 812 345 67890", "ann", "parcel", "PARCEL"])
    async def test_anything_finds_the_talk(self, hub, customer, said):
        from talkwire.oversight import evidence, story

        conversation = await customer.writes("Where is my parcel?", name="Ann")
        found = await hub.daemon.store.read(lambda query: evidence.find(query, said))
        assert {f.kind for f in found} <= {"conversation", "message"}
        assert found
        told = await hub.daemon.store.read(lambda query: story.tell(query, said))
        kinds = [line.kind for line in told.lines if line.kind != "account"]
        assert kinds[:2] == ["envelope", "message"]
        whole = await hub.daemon.store.read(lambda query: story.tell(query, conversation))
        assert {line.text for line in told.lines} <= {line.text for line in whole.lines}

    async def test_an_envelopes_story_has_its_messages(self, hub, customer):
        from talkwire.oversight import story

        await customer.writes("one")
        [(envelope,)] = await hub.rows("SELECT id FROM envelope")
        told = await hub.daemon.store.read(lambda query: story.tell(query, envelope, bodies=True))
        assert [(one.text, one.body) for one in told.lines if one.kind == "message"] == [("message 1", "one")]

    async def test_what_is_found_beside_is_named_without_what_was_written(self, hub, customer):
        from talkwire.oversight import evidence, story

        await customer.writes("one parcel")
        await customer.writes("another parcel")
        found = await hub.daemon.store.read(lambda query: evidence.find(query, "parcel"))
        told = await hub.daemon.store.read(lambda query: story.tell(query, "parcel"))
        assert told.of == found[0]
        assert [(one.kind, one.id, one.text) for one in told.others] == [("message", found[1].id, "")]
        told = await hub.daemon.store.read(lambda query: story.tell(query, "parcel", bodies=True))
        assert [one.text for one in told.others] == ["one parcel"]
        told = await hub.daemon.store.read(lambda query: story.tell(query, found[0].id))
        assert told.others == ()

    async def test_nothing_found_is_said(self, hub):
        from talkwire.errors import NotFound
        from talkwire.oversight import story

        with pytest.raises(NotFound):
            await hub.daemon.store.read(lambda query: story.tell(query, "nothing like it"))

    async def test_status_counts_what_needs_somebody(self, hub, customer, api):
        from talkwire.oversight import evidence

        conversation = await customer.writes()
        for text in ("refuse me", "lose me"):
            await api.post(f"/conversations/{conversation}/replies", json={"text": text})
        async with customer.posts('["unread"]'):
            pass
        await hub.run_until_idle()
        status = await hub.daemon.store.read(evidence.status)
        assert (status.failed, status.uncertain, status.unread, status.oldest) == (1, 1, 1, None)
        assert [(one.name, one.state) for one in status.accounts] == [("gone", "absent"), ("shop", "working")]
        [unread] = await hub.daemon.store.read(evidence.unread)
        assert unread.reasons == ("no such kind",)
        await hub.pass_time(hours=25)
        assert (await hub.daemon.store.read(evidence.status)).failed == 0
