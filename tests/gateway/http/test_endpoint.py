from decimal import Decimal
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from gateway.http import Answer, Exchange, ParamLimits
from gateway.http.errors import LimitExceeded
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


async def test_every_answer_may_not_be_stored_and_says_what_it_depends_on() -> None:
    async with client() as http:
        for response in (
            await http.post(URL, json={"query": "{ hello }"}),
            await http.post(URL, json={"query": "{"}, headers={"accept": GRAPHQL_RESPONSE}),
            await http.delete(URL),
        ):
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["vary"] == "accept"
            assert response.headers["x-content-type-options"] == "nosniff"
            assert len(response.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (GRAPHQL_RESPONSE, "application/graphql-response+json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("query", ["{ hello }", "{", "{ nothing }"])
async def test_answers_and_refusals_are_written_as_the_type_that_was_negotiated(
    accept: str, content_type: str, query: str
) -> None:
    async with client() as http:
        response = await http.post(URL, json={"query": query}, headers={"accept": accept})
    assert response.headers["content-type"] == content_type


async def test_several_accept_headers_are_read_as_one() -> None:
    headers = [("accept", "application/json;q=0.5"), ("accept", GRAPHQL_RESPONSE)]
    async with client() as http:
        request = httpx.Request("GET", URL, params={"query": "{ hello }"}, headers=headers)
        response = await http.send(request)
    assert response.headers["content-type"].startswith(GRAPHQL_RESPONSE)


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_RESPONSE])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"query":1}', b"{}", b'{"query":"{hello}","variables":[]}', b'{"query":"\xff"}']
)
async def test_a_request_that_is_not_well_formed_is_400_as_either_type(accept: str, content: bytes) -> None:
    async with client() as http:
        response = await http.send(_post(content, accept=accept))
    (error,) = response.json()["errors"]
    assert (response.status_code, error["extensions"]["code"]) == (400, "BAD_REQUEST")
    assert response.headers["content-type"].startswith(accept)
    assert "data" not in response.json()


async def test_variables_that_do_not_fit_are_a_request_error() -> None:
    body = {"query": "query($n: String!){ hello(name: $n) }", "variables": {"n": 1}}
    async with client() as http:
        as_graphql = await http.post(URL, json=body, headers={"accept": GRAPHQL_RESPONSE})
        as_json = await http.post(URL, json=body)
    assert (as_graphql.status_code, as_json.status_code) == (400, 200)
    assert "data" not in as_graphql.json()


@pytest.mark.parametrize(("data", "status"), [({}, 200), (None, 200), ({"a": None}, 200)])
async def test_an_answer_with_data_even_null_is_200(data: Any, status: int) -> None:
    async def handler(exchange: Exchange) -> Answer:
        return Answer(data=data, errors=[{"message": "m"}])

    async with client(endpoint(handler)) as http:
        response = await http.post(URL, json={"query": "{ a }"}, headers={"accept": GRAPHQL_RESPONSE})
    assert response.status_code == status
    assert list(response.json()) == ["data", "errors"]


@pytest.mark.parametrize(("accept", "status"), [("application/json", 200), (GRAPHQL_RESPONSE, 400)])
async def test_an_answer_without_data_is_a_request_error(accept: str, status: int) -> None:
    async def handler(exchange: Exchange) -> Answer:
        return Answer(errors=[{"message": "m"}], extensions={"x": 1})

    async with client(endpoint(handler)) as http:
        response = await http.post(URL, json={"query": "{ a }"}, headers={"accept": accept})
    assert response.status_code == status
    assert response.content == b'{"errors":[{"message":"m"}],"extensions":{"x":1}}'


async def test_empty_errors_and_extensions_are_left_out() -> None:
    async def handler(exchange: Exchange) -> Answer:
        return Answer(data={}, errors=[], extensions={})

    async with client(endpoint(handler)) as http:
        response = await http.post(URL, json={"query": "{ a }"})
    assert response.content == b'{"data":{}}'


async def test_scalars_that_json_does_not_know_are_written_as_text_or_objects() -> None:
    data = {"v4": ip_address("127.0.0.1"), "v6": ip_address("::1"), "map": MappingProxyType({"a": 1}), "d": Decimal(1)}

    async def handler(exchange: Exchange) -> Answer:
        return Answer(data=data)

    async with client(endpoint(handler)) as http:
        response = await http.post(URL, json={"query": "{ a }"})
    assert response.json() == {"data": {"v4": "127.0.0.1", "v6": "::1", "map": {"a": 1}, "d": "1"}}


async def test_a_mutation_by_post_is_executed() -> None:
    async with client() as http:
        response = await http.post(URL, json={"query": "mutation { touch }"})
    assert response.json() == {"data": {"touch": 1}}


async def test_a_mutation_over_get_is_refused_also_when_named_among_queries() -> None:
    handler = SchemaHandler()
    params = {"query": "query A { hello } mutation B { touch }"}
    async with client(endpoint(handler)) as http:
        mutation = await http.get(URL, params={**params, "operationName": "B"})
        query = await http.get(URL, params={**params, "operationName": "A"})
    assert (mutation.status_code, query.status_code, handler.calls) == (405, 200, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_subscription_is_refused_over_either_method(method: str) -> None:
    ask = {"query": "subscription { ticks }"}
    async with client() as http:
        response = await http.request(
            method,
            URL,
            params=ask if method == "GET" else None,
            json=ask if method == "POST" else None,
            headers={"accept": GRAPHQL_RESPONSE},
        )
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "OPERATION_NOT_SUPPORTED"


async def test_a_wrong_method_is_405_whatever_it_accepts_or_sends() -> None:
    async with client() as http:
        response = await http.put(URL, content=b"\xff", headers={"accept": "text/html", "content-type": "x"})
    assert response.status_code == 405


async def test_a_query_string_over_the_limit_is_414() -> None:
    async with client(endpoint(max_body_bytes=100)) as http:
        fits = await http.get(URL, params={"query": "{hello}", "x": "y" * 80})
        over = await http.get(URL, params={"query": "{hello}", "x": "y" * 90})
    assert (fits.status_code, over.status_code) == (200, 414)
    assert over.json()["errors"][0]["extensions"]["code"] == "URI_TOO_LONG"


async def test_a_body_compressed_in_another_way_than_gzip_is_415() -> None:
    async with client() as http:
        response = await http.send(_post(b"\x1f\x8b", **{"content-encoding": "br"}))
    assert response.status_code == 415


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_RESPONSE])
async def test_a_masked_exception_tells_nothing_of_its_cause(accept: str) -> None:
    async def handler(exchange: Exchange) -> Answer:
        try:
            raise ValueError("canary-cause")
        except ValueError as error:
            raise KeyError("canary-secret") from error

    async with client(endpoint(handler, request_id=lambda scope: "id-1")) as http:
        response = await http.post(URL, json={"query": "{ hello }"}, headers={"accept": accept})
    assert response.status_code == 500
    assert response.headers["content-type"].startswith(accept)
    assert "canary" not in response.text + str(response.headers)
    (error,) = response.json()["errors"]
    assert set(error) == {"message", "extensions"}
    assert set(error["extensions"]) == {"code", "category", "requestId", "timestamp"}


async def test_a_refusal_keeps_the_extensions_and_headers_it_was_given() -> None:
    async def handler(exchange: Exchange) -> Answer:
        raise LimitExceeded(
            errors=[{"message": "m", "locations": [{"line": 1, "column": 1}], "extensions": {"limit": 15}}],
            headers={"retry-after": "1"},
        )

    async with client(endpoint(handler)) as http:
        response = await http.post(URL, json={"query": "{ hello }"})
    (error,) = response.json()["errors"]
    assert (response.status_code, response.headers["retry-after"]) == (400, "1")
    assert error["locations"] == [{"line": 1, "column": 1}]
    assert (error["extensions"]["limit"], error["extensions"]["code"]) == (15, "LIMIT_EXCEEDED")


async def test_limits_of_variables_are_those_given() -> None:
    async with client(endpoint(param_limits=ParamLimits(max_map_bytes=10))) as http:
        response = await http.post(URL, json={"query": "{ hello }", "variables": {"a": "0123456789"}})
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (400, "LIMIT_EXCEEDED")
