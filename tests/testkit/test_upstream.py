import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from tests.testkit.clock import ManualClock
from tests.testkit.upstream import (
    Behaviour,
    Exchange,
    ScriptedUpstream,
    drip,
    empty,
    errors,
    hang,
    html,
    huge,
    malformed,
    ok,
    reset,
    sequence,
    slow,
    status,
    truncated,
    wrong_shape,
)

ROWS = [{"id": str(n), "name": f"Customer {n}", "visits": n, "vip": n == 1} for n in range(1, 5)]
MANY = "query Customers($ids: [ID!]!) { customers(ids: $ids) { id name } }"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(ROWS) as upstream:
        yield upstream


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5) as client:
        yield client


async def ask(client: httpx.AsyncClient, upstream: ScriptedUpstream, *ids: str) -> httpx.Response:
    return await client.post(
        upstream.graphql.url,
        json={"query": MANY, "variables": {"ids": ids}, "operationName": "Customers"},
        headers={"X-Request-ID": "r1"},
    )


async def test_graphql_gives_rows_in_the_order_asked_and_null_for_unknown_ones(
    upstream: ScriptedUpstream, client: httpx.AsyncClient
) -> None:
    answer = await ask(client, upstream, "3", "9", "1")
    assert answer.json() == {
        "data": {"customers": [{"id": "3", "name": "Customer 3"}, None, {"id": "1", "name": "Customer 1"}]}
    }


async def test_graphql_gives_one_row_all_rows_and_the_first_rows(
    upstream: ScriptedUpstream, client: httpx.AsyncClient
) -> None:
    query = """{
        customer(id: "2") { visits vip } none: customer(id: "9") { id }
        customers { id } few: customers(first: 2) { id }
    }"""
    data = (await client.post(upstream.graphql.url, json={"query": query})).json()["data"]
    assert data["customer"] == {"visits": 2, "vip": False}
    assert data["none"] is None
    assert len(data["customers"]) == 4
    assert len(data["few"]) == 2


async def test_graphql_refuses_what_its_schema_does_not_have(
    upstream: ScriptedUpstream, client: httpx.AsyncClient
) -> None:
    answer = await client.post(upstream.graphql.url, json={"query": "{ nobody { id } }"})
    assert answer.status_code == 400
    assert "nobody" in answer.json()["errors"][0]["message"]
    assert (await client.post(upstream.graphql.url, content=b"{")).status_code == 400


@pytest.mark.parametrize(
    "path", ["/customers?ids=3,1", "/customers?ids=3%2C1", "/customers?ids=3&ids=1&ids=9", "/customers?id=3&id=1"]
)
async def test_rest_gives_known_rows_in_stored_order(
    upstream: ScriptedUpstream, client: httpx.AsyncClient, path: str
) -> None:
    assert [row["id"] for row in (await client.get(upstream.rest.url + path)).json()] == ["1", "3"]


async def test_rest_gives_single_rows_lists_and_bodies(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    base = f"{upstream.rest.url}/customers"
    assert (await client.get(f"{base}/2")).json() == ROWS[1]
    assert (await client.get(f"{base}/9")).status_code == 404
    assert (await client.get(f"{base}?first=3")).json() == ROWS[:3]
    assert (await client.get(base)).json() == ROWS
    assert (await client.post(f"{base}/search", json={"ids": [2, "4"]})).json() == [ROWS[1], ROWS[3]]
    assert (await client.get(f"{upstream.rest.url}/other")).status_code == 404
    assert (await client.get(f"{upstream.url}/elsewhere")).status_code == 404
    assert len(upstream.rest.calls) == 6


async def test_mutations_are_counted_in_both_protocols(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    await client.post(upstream.graphql.url, json={"query": 'mutation { touchCustomer(id: "1") { id } }'})
    await client.post(f"{upstream.rest.url}/customers/1/touch")
    assert upstream.touched["1"] == 2


async def test_calls_are_recorded_per_protocol(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    await ask(client, upstream, "1")
    await client.get(f"{upstream.rest.url}/customers?ids=1,2&x=")
    [graphql] = upstream.graphql.calls
    [rest] = upstream.rest.calls
    assert (graphql.method, graphql.path, graphql.number, graphql.status) == ("POST", "/graphql", 1, 200)
    assert graphql.headers["x-request-id"] == "r1"
    assert graphql.document == MANY
    assert graphql.variables == {"ids": ["1"]}
    assert (rest.method, rest.path, rest.query) == ("GET", "/api/customers", {"ids": ["1,2"], "x": [""]})
    upstream.rest.forget()
    assert upstream.rest.calls == []


async def test_other_rows_other_names(client: httpx.AsyncClient) -> None:
    rows = [{"sku": "a", "tags": ["x"], "price": 1.5}]
    async with ScriptedUpstream(rows, collection="parts", key="sku", types={"tags": "[String!]"}) as upstream:
        query = '{ parts(skus: ["a"]) { sku tags price } part(sku: "a") { price } }'
        data = (await client.post(upstream.graphql.url, json={"query": query})).json()["data"]
        assert data == {"parts": rows, "part": {"price": 1.5}}
        assert (await client.get(f"{upstream.rest.url}/parts?skus=a")).json() == rows


async def test_one_key_can_fail_alone(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    upstream.fail_key("2", "boom")
    answer = (await ask(client, upstream, "1", "2")).json()
    assert answer["data"]["customers"] == [{"id": "1", "name": "Customer 1"}, None]
    assert answer["errors"][0]["path"] == ["customers", 1]
    assert answer["errors"][0]["extensions"] == {"code": "INTERNAL"}
    assert (await client.get(f"{upstream.rest.url}/customers/2")).status_code == 500


async def test_protocols_misbehave_apart(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    upstream.graphql.behave(status(503, headers={"retry-after": "3"}))
    answer = await ask(client, upstream, "1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert (await client.get(f"{upstream.rest.url}/customers/1")).status_code == 200
    upstream.graphql.heal()
    assert (await ask(client, upstream, "1")).status_code == 200


async def test_a_sequence_runs_through_and_then_answers(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    upstream.graphql.behave(sequence(status(500), status(502)))
    assert [(await ask(client, upstream, "1")).status_code for _ in range(4)] == [500, 502, 200, 200]
    upstream.graphql.behave(sequence(ok(), then=status(500)))
    assert [(await ask(client, upstream, "1")).status_code for _ in range(3)] == [200, 500, 500]


async def test_graphql_errors_come_with_status_200(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    upstream.graphql.behave(errors("no", code="BAD_USER_INPUT"))
    answer = await ask(client, upstream, "1")
    assert answer.status_code == 200
    assert answer.json() == {"data": None, "errors": [{"message": "no", "extensions": {"code": "BAD_USER_INPUT"}}]}


@pytest.mark.parametrize("behaviour", [malformed(), empty(), html()])
async def test_bodies_that_are_no_json(
    upstream: ScriptedUpstream, client: httpx.AsyncClient, behaviour: Behaviour
) -> None:
    upstream.graphql.behave(behaviour)
    answer = await ask(client, upstream, "1")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


async def test_json_of_the_wrong_shape(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    upstream.graphql.behave(wrong_shape())
    upstream.rest.behave(wrong_shape())
    assert (await ask(client, upstream, "1")).json() == {"data": {"customers": "unexpected shape"}}
    assert (await client.get(f"{upstream.rest.url}/customers")).json() == {"unexpected": "shape"}


async def test_reset_and_truncated_break_the_connection(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    upstream.graphql.behave(reset())
    with pytest.raises(httpx.ReadError):
        await ask(client, upstream, "1")
    upstream.graphql.behave(truncated())
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await ask(client, upstream, "1")
    assert [call.hung_up for call in upstream.graphql.calls] == [False, False]


async def test_a_hang_ends_when_released(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    hanging = hang()
    upstream.graphql.behave(hanging)
    waiting = [asyncio.create_task(ask(client, upstream, "1")) for _ in range(3)]
    await upstream.graphql.wait_for_calls(3)
    assert (upstream.graphql.running, upstream.graphql.peak) == (3, 3)
    hanging.release()
    assert [(await task).status_code for task in waiting] == [200, 200, 200]
    await upstream.graphql.wait_until_idle()
    assert not any(call.hung_up for call in upstream.graphql.calls)


async def test_a_client_that_hangs_up_is_noticed(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    upstream.graphql.behave(hang())
    waiting = asyncio.create_task(ask(client, upstream, "1"))
    await upstream.graphql.wait_for_calls(1)
    with pytest.raises(TimeoutError, match="hang up"):
        await upstream.graphql.calls[0].wait_for_hang_up(deadline_s=0.01)
    waiting.cancel()
    await upstream.graphql.calls[0].wait_for_hang_up()
    await upstream.graphql.wait_until_idle()
    await upstream.wait_for_connections(0)
    assert upstream.graphql.calls[0].status is None


async def test_an_upstream_with_a_hanging_call_can_end(client: httpx.AsyncClient) -> None:
    async with ScriptedUpstream(ROWS) as upstream:
        upstream.rest.behave(hang())
        waiting = asyncio.create_task(client.get(f"{upstream.rest.url}/customers"))
        await upstream.rest.wait_for_calls(1)
    with pytest.raises(httpx.TransportError):
        await waiting


async def test_slow_and_dripping_answers_keep_to_the_clock(
    upstream: ScriptedUpstream, client: httpx.AsyncClient
) -> None:
    clock = ManualClock()
    for behaviour in (slow(5, clock=clock), drip(2, chunk=1000, clock=clock)):
        upstream.graphql.behave(behaviour)
        waiting = asyncio.create_task(ask(client, upstream, "1"))
        await clock.wait_for_sleepers(1)
        assert not waiting.done()
        await clock.advance(5)
        assert (await waiting).json()["data"]["customers"][0]["id"] == "1"


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_huge_body_has_the_size_asked_for(
    upstream: ScriptedUpstream, client: httpx.AsyncClient, compressed: bool
) -> None:
    upstream.rest.behave(huge(200_000, compressed=compressed))
    assert len((await client.get(f"{upstream.rest.url}/customers")).content) == 200_000


async def test_a_behaviour_is_any_coroutine_function(upstream: ScriptedUpstream, client: httpx.AsyncClient) -> None:
    async def behave(exchange: Exchange) -> Response:
        true: Any = json.loads(bytes(exchange.answer().body))
        return JSONResponse({"seen": exchange.call.variables, "rows": len(true["data"]["customers"])})

    upstream.graphql.behave(behave)
    assert (await ask(client, upstream, "1", "2")).json() == {"seen": {"ids": ["1", "2"]}, "rows": 2}


async def test_it_refuses_and_comes_back_on_the_same_port(
    upstream: ScriptedUpstream, client: httpx.AsyncClient
) -> None:
    await ask(client, upstream, "1")
    await upstream.refuse()
    assert upstream.open_connections == 0
    with pytest.raises(httpx.ConnectError):
        await ask(client, upstream, "1")
    await upstream.listen()
    assert (await ask(client, upstream, "1")).status_code == 200
