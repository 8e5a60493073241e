import asyncio
import io

import pytest


async def reply(api, conversation, **body):
    headers = {"Idempotency-Key": body.pop("header")} if "header" in body else {}
    return await api.post(f"/conversations/{conversation}/replies", json=body, headers=headers)


async def test_a_reply_is_accepted_sent_and_its_state_shown(hub, customer, api, sent):
    conversation = await customer.writes()
    status, accepted = await reply(api, conversation, text="It *comes* today.")
    assert (status, accepted["n"], accepted["repeated"], accepted["policy"]) == (202, 2, False, None)
    await hub.run_until_idle()
    assert [out.part.text for out in sent] == ["It comes today."]
    message = await api.get(f"/messages/{accepted['message']}")
    assert (message["state"], message["author"], message["direction"]) == ("sent", "key:crm", "out")
    assert message["blocks"] == [{"markdown": "It *comes* today.", "type": "text"}]
    assert message["deliveries"][0]["external_id"] == "p1"


async def test_the_same_key_stores_one_reply(hub, customer, api, sent):
    conversation = await customer.writes()
    first = await reply(api, conversation, text="once", header="k1")
    again = await reply(api, conversation, text="once", key="k1")
    await hub.run_until_idle()
    assert (first[0], again[0]) == (202, 202)
    assert (again[1]["message"], again[1]["repeated"]) == (first[1]["message"], True)
    assert len(sent) == 1


async def test_the_same_key_with_another_body_is_422_key_reused(customer, api):
    conversation = await customer.writes()
    await reply(api, conversation, text="once", header="k1")
    status, problem = await reply(api, conversation, text="twice", header="k1")
    assert (status, problem["code"]) == (422, "key_reused")


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"policy": "fallback"}, 422, "refused", "when_closed"),
        ({"policy": "fallback", "fallback": "nowhere"}, 404, "not_found", "nowhere"),
        ({"policy": "hold", "fallback": "shop"}, 422, "refused", "only"),
        ({"policy": "fallback", "fallback": "Not A Name"}, 422, "invalid", ""),
        ({"policy": "template"}, 422, "refused", "when_closed"),
        ({"policy": "template", "template": "again"}, 422, "unsupported", "again"),
        ({"policy": "hold", "template": "again"}, 422, "refused", "only"),
        ({"policy": "template", "template": "Not a name"}, 422, "invalid", ""),
        ({"policy": "nonsense"}, 422, "invalid", ""),
        ({"cc": ["ann@example.org"]}, 422, "unsupported", "cc"),
        ({"cc": [""]}, 422, "invalid", ""),
        ({"cc": ["ann@example.org"] * 51}, 422, "invalid", ""),
    ],
)
async def test_what_is_asked_for_wrongly_is_said(hub, customer, api, body, status, code, said):
    conversation = await customer.writes()
    await hub.pass_time(hours=24)
    found, problem = await reply(api, conversation, text="late", **body)
    assert (found, problem["code"]) == (status, code)
    assert said in problem["detail"]


async def test_two_different_keys_in_one_request_are_a_fault(customer, api):
    status, problem = await reply(api, await customer.writes(), text="x", key="a", header="b")
    assert (status, problem["code"], problem["faults"][0]["path"]) == (422, "invalid", "key")


@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        ("typing", {"on": 0}, "on"),
        ("read", {"n": "1"}, "n"),
        (
            "replies",
            {"blocks": [{"type": "location", "latitude": 0.5, "longitude": False}]},
            "blocks.0.location.longitude",
        ),
    ],
)
async def test_what_looks_like_a_value_of_the_right_kind_is_none(customer, api, path, body, fault):
    """The document says number: a client whose `false` became 0° would never learn it."""
    status, problem = await api.post(f"/conversations/{await customer.writes()}/{path}", json=body)
    assert (status, problem["code"], problem["faults"][0]["path"]) == (422, "invalid", fault)


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        ({"txt": "x"}, "txt", "there is no such field here; did you mean text?"),
        ({"text": "x", "replyto": "m"}, "replyto", "there is no such field here; did you mean reply_to?"),
        ({"text": "x", "zzz": "m"}, "zzz", "there is no such field here"),
        (
            {"blocks": [{"type": "media", "attachment": "a", "captoin": "x"}]},
            "blocks.0.media.captoin",
            "there is no such field here; did you mean caption?",
        ),
        (
            {"blocks": [{"type": "buttons", "text": "?", "options": [{"id": "y", "titel": "Yes"}]}]},
            "blocks.0.buttons.options.0.titel",
            "there is no such field here; did you mean title?",
        ),
        ({"blocks": [{"markdown": "x"}]}, "blocks.0", "it has no type"),
    ],
)
async def test_an_unknown_field_is_told_with_the_nearest_known_one(customer, api, body, path, reason):
    status, problem = await reply(api, await customer.writes(), **body)
    assert (status, problem["code"]) == (422, "invalid")
    assert {"path": path, "reason": reason} in problem["faults"]


async def test_an_unknown_type_of_a_block_is_told_with_those_that_there_are(customer, api):
    status, problem = await reply(api, await customer.writes(), blocks=[{"type": "s3cret", "markdown": "x"}])
    [fault] = problem["faults"]
    assert (status, fault["path"]) == (422, "blocks.0")
    assert fault["reason"].startswith("unknown type; write one of 'text', 'media'")
    assert "s3cret" not in str(problem)


async def test_an_unknown_parameter_is_told_with_the_nearest_known_one(api):
    status, problem = await api.ask("GET", "/conversations?limt=5")
    assert (status, problem["code"]) == (422, "invalid")
    assert problem["faults"] == [{"path": "limt", "reason": "there is no such parameter here; did you mean limit?"}]


async def test_an_empty_idempotency_key_is_a_fault(hub, customer, api):
    status, problem = await reply(api, await customer.writes(), text="x", header="")
    assert (status, problem["code"], problem["faults"][0]["path"]) == (422, "invalid", "Idempotency-Key")
    assert await hub.rows("SELECT 1 FROM message WHERE direction = 'out'") == []


async def test_a_reply_answers_a_message_of_its_own_conversation_or_is_refused(hub, customer, api):
    one = await customer.writes("one")
    other = await customer.writes("other", sender="+6281200000009")
    [(mine,)] = await hub.rows("SELECT id FROM message WHERE conversation_id = :id", id=one)
    [(theirs,)] = await hub.rows("SELECT id FROM message WHERE conversation_id = :id", id=other)
    for wrong in ("nothing-like-it", theirs):
        for action in ("replies", "replies:preview"):
            status, problem = await api.post(f"/conversations/{one}/{action}", json={"text": "x", "reply_to": wrong})
            assert (status, problem["code"]) == (422, "invalid")
            [fault] = problem["faults"]
            assert (fault["path"], fault["reason"]) == ("reply_to", "no message of this conversation has this id")
    assert await hub.rows("SELECT 1 FROM message WHERE direction = 'out'") == []
    assert (await reply(api, one, text="x", reply_to=mine))[0] == 202
    first = {"to": {"kind": "phone", "value": "+6281200000077"}, "text": "x", "reply_to": mine}
    status, problem = await api.post("/accounts/shop/replies", json=first)
    assert (status, problem["faults"][0]["path"]) == (422, "reply_to")


async def test_a_reply_that_says_nothing_is_told_what_to_give(customer, api):
    status, problem = await reply(api, await customer.writes())
    assert (status, problem["code"]) == (422, "invalid")
    assert [fault["reason"] for fault in problem["faults"]] == ["give text, or blocks"]


async def test_a_reply_to_an_unknown_conversation_is_404(api):
    status, problem = await reply(api, "0199-nobody", text="hello")
    assert (status, problem["code"]) == (404, "not_found")


async def test_no_answer_allowed_is_409_with_the_answer_object_and_nothing_is_stored(hub, customer, api):
    conversation = await customer.writes()
    await hub.pass_time(hours=24)
    status, problem = await reply(api, conversation, text="too late")
    assert (status, problem["code"]) == (409, "window_closed")
    assert problem["answer"] == (await api.get(f"/conversations/{conversation}"))["answer"]
    assert problem["answer"] == {
        "allowed": False,
        "code": "window_closed",
        "since": "2026-11-24T12:00:00Z",
        "until": "2026-11-24T12:00:00Z",
        "icon": "warning",
        "text": "The time in which the provider allows answers is over.",
        "ways": [
            {
                "kind": "hold",
                "account": "",
                "address": "",
                "address_kind": "",
                "template": "",
                "text": "Keep the reply until the customer writes again",
            }
        ],
    }
    assert [m["direction"] for m in (await api.get(f"/conversations/{conversation}/messages"))["items"]] == ["in"]


async def test_a_held_reply_goes_out_when_the_customer_writes_again(hub, customer, api, sent):
    conversation = await customer.writes()
    await hub.pass_time(hours=24)
    status, accepted = await reply(api, conversation, text="later", policy="hold")
    assert (status, accepted["policy"]) == (202, "hold")
    message = await api.get(f"/messages/{accepted['message']}")
    assert (message["state"], message["reason"]) == ("queued", "window_closed")
    await customer.writes("I am back")
    await hub.run_until_idle()
    assert [out.part.text for out in sent] == ["later"]


async def test_unsupported_content_is_422_naming_the_block(customer, api):
    blocks = [{"type": "text", "markdown": "look"}, {"type": "card", "title": "A card"}]
    status, problem = await reply(api, await customer.writes(), blocks=blocks)
    assert (status, problem["code"], problem["block"], problem["kind"]) == (422, "unsupported", 1, "card")


async def test_a_strict_reply_refuses_what_its_preview_names(hub, customer, api, sent):
    conversation = await customer.writes()
    body = {"blocks": [{"type": "buttons", "text": "Which?", "options": [{"id": "a", "title": "A"}]}]}
    status, preview = await api.post(f"/conversations/{conversation}/replies:preview", json=body)
    assert status == 200
    assert preview["degradations"]
    assert [part["text"] for part in preview["parts"]] == ["Which?\n\n1. A"]
    status, problem = await reply(api, conversation, strict=True, **body)
    assert (status, problem["code"]) == (422, "unsupported")
    await hub.run_until_idle()
    assert sent == []


async def test_a_reply_to_an_address_opens_its_conversation(hub, api, sent):
    body = {"to": {"kind": "phone", "value": "+62 812-9999"}, "text": "Hello first"}
    status, accepted = await api.post("/accounts/shop/replies", json=body)
    assert status == 202, accepted
    await hub.run_until_idle()
    assert [(out.address.value, out.part.text) for out in sent] == [("+628129999", "Hello first")]


@pytest.mark.parametrize(
    ("account", "to", "status", "code"),
    [
        ("nobody", {"kind": "phone", "value": "+6281234567"}, 404, "not_found"),
        ("shop", {"kind": "phone", "value": "call me"}, 422, "invalid"),
        ("shop", {"kind": "email", "value": "a@example.org"}, 422, "refused"),
        ("gone", {"kind": "phone", "value": "+6281234567"}, 409, "account_absent"),
    ],
)
async def test_an_address_that_cannot_be_written_to_says_why(api, account, to, status, code):
    said = await api.post(f"/accounts/{account}/replies", json={"to": to, "text": "hello"})
    assert (said[0], said[1]["code"]) == (status, code)


async def test_every_fault_is_named_and_no_value_is_quoted(customer, api):
    body = {"text": 7, "blocks": [{"type": "secret-word"}], "subjct": "secret-word", "policy": "secret-word"}
    status, problem = await reply(api, await customer.writes(), **body)
    assert (status, problem["code"]) == (422, "invalid")
    assert {fault["path"] for fault in problem["faults"]} == {"text", "blocks.0", "subjct", "policy"}
    assert "secret-word" not in str(problem)


@pytest.mark.parametrize("body", [{}, {"text": "a", "blocks": [{"type": "text", "markdown": "b"}]}, {"text": "a\0b"}])
async def test_a_reply_says_one_thing_and_no_nul(customer, api, body):
    status, problem = await reply(api, await customer.writes(), **body)
    assert (status, problem["code"]) == (422, "invalid")


async def test_a_body_that_is_no_json_or_too_large_is_named(customer, api):
    path = f"/conversations/{await customer.writes()}/replies"
    json_type = {"Content-Type": "application/json"}
    assert (await api.post(path, data=b"{", headers=json_type))[1]["code"] == "invalid"
    assert (await api.post(path, data=b"text=a"))[0] == 415
    assert (await api.post(path, data=io.BytesIO(b"x" * 1024 * 1025), headers=json_type))[0] == 413


async def test_a_failed_reply_is_listed_and_sent_again(hub, customer, api, sent):
    _, accepted = await reply(api, await customer.writes(), text="refuse me")
    await hub.run_until_idle()
    [troubled] = (await api.get("/deliveries?state=failed"))["items"]
    assert troubled["account"] == "shop"
    assert troubled["delivery"]["problem"]["code"] == "42"
    assert await api.post(f"/messages/{accepted['message']}:resend") == (200, {"parts": 1})
    await hub.run_until_idle()
    assert [out.part.text for out in sent] == ["refuse me", "refuse me"]


async def test_an_uncertain_part_is_settled_once(hub, customer, api):
    _, accepted = await reply(api, await customer.writes(), text="lose me")
    await hub.run_until_idle()
    [troubled] = (await api.get("/deliveries?state=uncertain"))["items"]
    path = f"/deliveries/{troubled['delivery']['id']}:settle"
    assert await api.post(path, json={"verdict": "sent"}) == (204, None)
    assert (await api.get(f"/messages/{accepted['message']}"))["state"] == "sent"
    status, problem = await api.post(path, json={"verdict": "failed"})
    assert (status, problem["code"]) == (409, "not_uncertain")


async def test_a_held_reply_can_be_taken_back(hub, customer, api):
    conversation = await customer.writes()
    await hub.pass_time(hours=24)
    _, accepted = await reply(api, conversation, text="later", policy="hold")
    assert await api.post(f"/messages/{accepted['message']}:cancel") == (200, {"parts": 1})
    message = await api.get(f"/messages/{accepted['message']}")
    assert (message["state"], message["deliveries"][0]["problem"]["code"]) == ("failed", "cancelled")


async def test_nothing_to_resend_is_409_and_an_unknown_message_404(hub, customer, api):
    _, accepted = await reply(api, await customer.writes(), text="fine")
    await hub.run_until_idle()
    status, problem = await api.post(f"/messages/{accepted['message']}:resend")
    assert (status, problem["code"]) == (409, "nothing_failed")
    assert (await api.post("/messages/nobody:resend"))[0] == 404


async def test_a_database_that_is_down_is_a_problem_too(hub, customer, api):
    conversation = await customer.writes()
    await api.get("/accounts")  # the key is believed from now on
    await hub.daemon.store.close()
    status, problem = await api.post(f"/conversations/{conversation}/replies", json={"text": "x"})
    assert (status, problem["code"]) == (503, "store_down")


@pytest.mark.parametrize(
    ("of", "latitude", "longitude"),
    [
        ("latitude", "NaN", "1"),
        ("latitude", "Infinity", "1"),
        ("latitude", "1e999", "1"),
        ("latitude", "500", "1"),
        ("latitude", "-90.0001", "1"),
        ("longitude", "90", "180.5"),
    ],
)
async def test_a_place_that_is_not_on_the_earth_is_a_fault(customer, api, of, latitude, longitude):
    path = f"/conversations/{await customer.writes()}/replies"
    body = f'{{"blocks": [{{"type": "location", "latitude": {latitude}, "longitude": {longitude}}}]}}'
    status, problem = await api.post(path, data=body, headers={"Content-Type": "application/json"})
    assert (status, problem["faults"][0]["path"]) == (422, f"blocks.0.location.{of}")


async def test_a_body_that_cannot_be_unpacked_is_a_fault_and_no_error_of_ours(customer, api, capsys):
    path = f"/conversations/{await customer.writes()}/replies"
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    status, problem = await api.post(path, data=b"no gzip", headers=headers)
    assert (status, problem["code"]) == (422, "invalid")
    assert "request failed" not in capsys.readouterr().out


async def test_a_body_that_does_not_come_is_408_also_for_who_has_no_key(server, monkeypatch):
    monkeypatch.setattr("talkwire.api.routing.BODY_TIME", 0.05)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(
        b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer


@pytest.mark.parametrize(("scope", "said"), [("bot", {}), ("host", {"automatic": True})])
async def test_a_program_that_no_person_stands_behind_answers_no_machine(hub, customer, api, key, scope, said):
    """A key of the scope bot is one; a host says so itself."""
    conversation = await customer.writes()
    asks = type(api)(api.client, await key(scope, "robot"))
    status, accepted = await reply(asks, conversation, text="one", **said)
    assert (status, (await asks.get(f"/messages/{accepted['message']}"))["automatic"]) == (202, True)
    await hub.daemon.store.write(lambda tx, items: [tx.execute("UPDATE message SET automatic = 1")], None)
    status, problem = await reply(asks, conversation, text="two", header="k", **said)
    assert (status, problem["code"], problem["type"]) == (409, "automatic", "urn:talkwire:problem:automatic")
    status, accepted = await reply(api, conversation, text="a person")
    assert status == 202


async def test_a_conflict_with_a_code_of_its_own_blames_nobody(customer, api):
    status, problem = await api.post(f"/conversations/{await customer.writes()}:end", json={})
    assert (status, problem["code"]) == (409, "no_session")
    assert problem["title"] == "It cannot be done as things stand"
