"""The API says of itself what is true."""

import pytest
from aiohttp import web

pytest.importorskip("openapi_spec_validator")


@pytest.fixture
def api():
    from talkwire.api import api

    return api


def test_the_document_is_openapi_3_1(api):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    document = api.document()
    assert document["openapi"] == "3.1.0"
    assert [str(fault) for fault in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_a_document_with_a_fault_is_refused(api):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    document = api.document()
    del document["info"]["title"]
    assert list(OpenAPIV31SpecValidator(document).iter_errors())


def test_every_route_is_described_once(api):
    served = {
        (route.method, route.path)
        for route in api.routes()
        if isinstance(route, web.RouteDef) and "{rest" not in route.path and not route.path.endswith("/openapi.json")
    }
    said = {(method.upper(), path) for path, item in api.document()["paths"].items() for method in item}
    assert served == said


def test_every_operation_has_a_name_of_its_own_and_a_sentence(api):
    operations = [operation for item in api.document()["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert [operation["operationId"] for operation in operations if not operation["summary"]] == []


def test_every_operation_names_its_problems(api):
    from talkwire.api.problems import CODES

    for path, item in api.document()["paths"].items():
        for operation in item.values():
            problems = {status for status in operation["responses"] if int(status) >= 400}
            assert {"500", "503"} <= problems, path
            assert problems <= {str(status) for status, _ in CODES.values()}


def test_a_state_is_its_word_and_an_answer_names_its_icon(api):
    schemas = api.document()["components"]["schemas"]
    assert "delivered" in schemas["Delivery"]["properties"]["state"]["enum"]
    assert "icon" in schemas["Answer"]["required"]
    assert set(schemas["ReplyIn"]["properties"]) == {
        "text", "blocks", "reply_to", "subject", "cc", "bcc", "key", "policy", "fallback", "template", "strict", "automatic"
    }  # fmt: skip
    offered = schemas["ReplyIn"]["properties"]["blocks"]["items"]["discriminator"]["mapping"]
    assert set(offered) == {"text", "media", "buttons", "list", "card", "location", "template", "form_link", "forward"}


def test_what_a_request_carries_beside_parameters_and_models_is_described(api):
    paths = api.document()["paths"]

    def headers(path, method):
        return {one["name"] for one in paths[path][method]["parameters"] if one["in"] == "header"}

    assert headers("/api/v1/conversations/{id}/replies", "post") == {"Idempotency-Key"}
    assert headers("/api/v1/accounts/{name}/replies", "post") == {"Idempotency-Key"}
    assert headers("/api/v1/events", "get") == {"Last-Event-ID"}
    assert set(paths["/api/v1/events"]["get"]["responses"]["200"]["content"]) == {
        "application/json", "text/event-stream"
    }  # fmt: skip
    assert {"multipart/form-data", "*/*"} == set(paths["/api/v1/attachments"]["post"]["requestBody"]["content"])


def test_lists_in_a_query_are_described_as_they_are_read(api):
    """A client that is made of the document writes `types=a,b`, not `types=a&types=b`."""
    types = next(
        one for one in api.document()["paths"]["/api/v1/events"]["get"]["parameters"] if one["name"] == "types"
    )
    assert (types["style"], types["explode"]) == ("form", False)


def test_every_operation_says_that_a_parameter_may_be_wrong(api):
    operations = [operation for item in api.document()["paths"].values() for operation in item.values()]
    assert [one["operationId"] for one in operations if "422" not in one["responses"]] == []
