from typing import Any

import httpx
import pytest

from gateway.http import Answer, Exchange
from tests.gateway.http.support import GRAPHQL_RESPONSE, URL, Masked, SchemaHandler, client, endpoint


async def test_a_query_by_post_is_answered_in_the_fixed_order_of_entries() -> None:
    async def handler(exchange: Exchange) -> Answer:
        return Answer(extensions={"x": 1}, errors=[{"message": "m"}], data={"a": 1})

    async with client(endpoint(handler)) as http:
        response = await http.post(URL, json={"query": "{ a }"})
    assert response.status_code == 200
    assert response.content == b'{"data":{"a":1},"errors":[{"message":"m"}],"extensions":{"x":1}}'
    assert response.headers["content-length"] == str(len(response.content))


async def test_a_query_by_get_is_answered() -> None:
    async with client() as http:
        response = await http.get(
            URL, params={"query": "query($n: String){ hello(name: $n) }", "variables": '{"n":"é"}'}
        )
    assert response.json() == {"data": {"hello": "hello é"}}


async def test_the_handler_gets_the_parameters_and_the_id() -> None:
    seen: list[Exchange] = []

    async def handler(exchange: Exchange) -> Answer:
        seen.append(exchange)
        return Answer(data={})

    body = {"query": "q", "operationName": "o", "variables": {"v": 1}, "extensions": {"e": 2}}
    async with client(endpoint(handler, request_id=lambda scope: "id-1")) as http:
        response = await http.post(URL, json=body, headers={"x-more": "1", "accept": GRAPHQL_RESPONSE})
    (exchange,) = seen
    params = exchange.params
    assert (params.query, params.operation_name, params.variables, params.extensions) == ("q", "o", {"v": 1}, {"e": 2})
    assert (exchange.request_id, exchange.method, exchange.headers["x-more"]) == ("id-1", "POST", "1")
    assert exchange.media_type == GRAPHQL_RESPONSE
    assert response.headers["x-request-id"] == "id-1"


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_RESPONSE])
async def test_a_mutation_over_get_is_405_with_allow(accept: str) -> None:
    handler = SchemaHandler()
    async with client(endpoint(handler)) as http:
        response = await http.get(URL, params={"query": "mutation { touch }"}, headers={"accept": accept})
    assert (response.status_code, response.headers["allow"], handler.calls) == (405, "POST", 0)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"])
async def test_other_methods_are_405_with_allow(method: str) -> None:
    async with client() as http:
        response = await http.request(method, URL, json={"query": "{ hello }"})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


async def test_errors_carry_code_category_request_id_and_timestamp() -> None:
    async with client(endpoint(request_id=lambda scope: "id-1")) as http:
        response = await http.post(URL, json={"query": "{ helo }"}, headers={"accept": GRAPHQL_RESPONSE})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["message"] == "Cannot query field 'helo' on type 'Query'. Did you mean 'hello'?"
    assert error["locations"] == [{"line": 1, "column": 3}]
    timestamp = error["extensions"].pop("timestamp")
    assert timestamp.endswith("Z")
    assert error["extensions"] == {
        "code": "GRAPHQL_VALIDATION_FAILED",
        "category": "validation",
        "requestId": "id-1",
    }


async def test_an_unexpected_exception_is_masked_and_told_to_on_error() -> None:
    masked = Masked()
    cause = ValueError("canary-secret")

    async def handler(exchange: Exchange) -> Answer:
        raise cause

    async with client(endpoint(handler, on_error=masked, request_id=lambda scope: "id-1")) as http:
        response = await http.post(URL, json={"query": "{ hello }"})
    assert response.status_code == 500
    assert "canary" not in response.text
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert error["extensions"]["category"] == "internal"
    assert error["extensions"]["requestId"] == "id-1"
    assert masked.seen == [(cause, "id-1")]


@pytest.mark.parametrize("data", [object(), {"a": {1, object()}}])
async def test_data_that_is_not_json_is_masked(data: Any) -> None:
    masked = Masked()

    async def handler(exchange: Exchange) -> Answer:
        return Answer(data=data)

    async with client(endpoint(handler, on_error=masked)) as http:
        response = await http.post(URL, json={"query": "{ hello }"})
    assert response.status_code == 500
    assert len(masked.seen) == 1


async def test_the_handler_chooses_status_and_headers() -> None:
    async def handler(exchange: Exchange) -> Answer:
        return Answer(errors=[{"message": "busy"}], status=503, headers={"retry-after": "1"})

    async with client(endpoint(handler)) as http:
        response = await http.post(URL, json={"query": "{ hello }"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    ("accept", "query", "status"),
    [
        ("application/json", "{", 200),
        ("application/json", "{ nothing }", 200),
        ("application/json", "query A { hello } query B { hello }", 200),
        ("application/json", "subscription { ticks }", 200),
        ("application/json", "{ fails }", 200),
        (GRAPHQL_RESPONSE, "{", 400),
        (GRAPHQL_RESPONSE, "{ nothing }", 400),
        (GRAPHQL_RESPONSE, "query A { hello } query B { hello }", 400),
        (GRAPHQL_RESPONSE, "subscription { ticks }", 400),
        (GRAPHQL_RESPONSE, "{ fails }", 200),
    ],
)
async def test_the_status_of_a_well_formed_request_depends_on_the_media_type(
    accept: str, query: str, status: int
) -> None:
    async with client() as http:
        response = await http.post(URL, json={"query": query}, headers={"accept": accept})
    assert response.status_code == status
    assert response.json()["errors"]


def _post(content: bytes, **headers: str) -> httpx.Request:
    return httpx.Request("POST", URL, content=content, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/graphql", ""])
async def test_a_body_that_is_not_said_to_be_json_is_415(content_type: str) -> None:
    async with client() as http:
        response = await http.post(URL, content=b'{"query":"{hello}"}', headers={"content-type": content_type})
    assert response.status_code == 415


async def test_an_accept_without_a_type_of_ours_is_406() -> None:
    async with client() as http:
        response = await http.send(_post(b'{"query":"{hello}"}', accept="text/html"))
    assert response.status_code == 406
    assert response.json()["errors"][0]["extensions"]["code"] == "NOT_ACCEPTABLE"
