"""What /monitoring tells, to whom, and in which shape everything that is not GraphQL is answered."""

import io
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from clients.clock import SystemClock
from gateway.ops.envelope import Envelope
from gateway.telemetry import logs
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.upstream import status

ONE = {"breaker": {"failures": 1}, "cache": {"stale_if_error_s": 60}}
JSON = {"content-type": "application/json"}


async def told(gateway: Gateway, path: str) -> Any:
    response = await gateway.http.get(f"/monitoring/{path}", headers={"x-request-id": "r1"})
    body = response.json()
    assert (response.status_code, body["success"], body["requestId"]) == (200, True, "r1"), body
    assert response.headers["x-request-id"] == "r1"
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert list(body) == ["success", "data", "timestamp", "requestId"]
    return body["data"]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """One for the tests that change nothing."""
    async with running_gateway() as running:
        yield running


async def broken(gateway: Gateway) -> None:
    """One good call, and one that opens both circuits of customers."""
    await gateway.ask('{ customer(id: "1") { name } }')
    gateway.customers.graphql.behave(status(500))
    gateway.customers.rest.behave(status(500))
    await gateway.ask('{ customer(id: "1") { name } }')


async def test_circuits_are_told_with_their_reason_and_summed_up() -> None:
    async with running_gateway({"services": {"customers": ONE}}) as gateway:
        await broken(gateway)
        read = await told(gateway, "circuit-breakers")
        assert read["summary"] == {"total": 5, "open": 2, "halfOpen": 0, "closed": 3, "byOperator": 0}
        found = {circuit["name"]: circuit for circuit in read["circuits"]}
        assert list(found) == [
            "customers:graphql",
            "customers:rest",
            "invoices:graphql",
            "invoices:rest",
            "bank:rest",
        ]
        circuit = found["customers:graphql"]
        assert (circuit["state"], circuit["trips"]) == ("open", 1)
        assert circuit["reason"] == "1 failures in a row (last: UPSTREAM_SERVER_ERROR)"
        since, probe = (datetime.fromisoformat(circuit[name]) for name in ("since", "nextProbeAt"))
        assert since < probe
        assert circuit["lastFailure"]["code"] == "UPSTREAM_SERVER_ERROR"
        assert [moved["state"] for moved in circuit["history"]] == ["open"]
        assert (await told(gateway, "circuit-breakers/customers:rest"))["circuits"] == [found["customers:rest"]]
        assert len((await told(gateway, "circuit-breakers/customers"))["circuits"]) == 2


async def test_a_circuit_is_reset_and_who_reads_the_log_knows() -> None:
    stream = io.StringIO()
    logs.configure(json=True, level="warning", stream=stream)
    async with running_gateway({"services": {"customers": ONE}}) as gateway:
        await broken(gateway)
        path = "/monitoring/circuit-breakers/customers:graphql/reset"
        response = await gateway.http.post(path, json={"reason": "deployed"}, headers={"x-request-id": "r9"})
        assert response.status_code == 200
        (circuit,) = response.json()["data"]["circuits"]
        assert (circuit["state"], circuit["modeChange"]["reason"]) == ("closed", "deployed")
        assert (await told(gateway, "circuit-breakers"))["summary"]["open"] == 1
        response = await gateway.http.post("/monitoring/circuit-breakers/customers/reset", headers=JSON)
        assert response.status_code == 200
        assert (await told(gateway, "circuit-breakers"))["summary"]["open"] == 0
    structlog.reset_defaults()
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    first = next(line for line in written if line["event"] == "circuit reset by an operator")
    assert (first["service"], first["protocol"], first["reason"], first["request_id"]) == (
        "customers",
        "graphql",
        "deployed",
        "r9",
    )


@pytest.mark.parametrize(
    ("asked", "options", "expected", "code"),
    [
        ("GET /nothing/here", {}, 404, "NOT_FOUND"),
        ("GET /monitoring/nothing", {}, 404, "NOT_FOUND"),
        ("GET /monitoring/circuit-breakers/nobody", {}, 404, "NOT_FOUND"),
        ("GET /monitoring/circuit-breakers/bank:graphql:x", {}, 404, "NOT_FOUND"),
        ("POST /monitoring/circuit-breakers/bank:graphql/reset", {"headers": JSON}, 404, "NOT_FOUND"),
        ("GET /monitoring/circuit-breakers/bank/reset", {}, 405, "METHOD_NOT_ALLOWED"),
        ("POST /health", {}, 405, "METHOD_NOT_ALLOWED"),
        ("POST /metrics", {}, 405, "METHOD_NOT_ALLOWED"),
        ("POST /monitoring/circuit-breakers/bank/reset", {}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST /monitoring/circuit-breakers/bank/reset", {"data": {"a": "b"}}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST /monitoring/circuit-breakers/bank/reset", {"json": {"why": "x"}}, 400, "BAD_REQUEST"),
        ("POST /monitoring/circuit-breakers/bank/reset", {"json": [1]}, 400, "BAD_REQUEST"),
        (
            "POST /monitoring/circuit-breakers/bank/reset",
            {"json": {"reason": "x" * 20_000}},
            413,
            "PAYLOAD_TOO_LARGE",
        ),
    ],
)
async def test_what_cannot_be_answered_has_the_one_shape_of_errors(
    gateway: Gateway, asked: str, options: dict[str, Any], expected: int, code: str
) -> None:
    method, path = asked.split()
    response = await gateway.http.request(method, path, **options)
    body = response.json()
    assert (response.status_code, body["success"]) == (expected, False)
    error = body["error"]
    assert list(error) == ["code", "category", "message", "details", "timestamp", "requestId", "path"]
    assert (error["code"], error["path"]) == (code, path)
    assert response.headers["x-request-id"] == error["requestId"]
    assert error["message"].endswith(".")
    if expected == 405:
        assert response.headers["allow"]


async def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    async with running_gateway() as gateway:
        error = (await gateway.http.get("/monitoring/circuit-breakers/nobody")).json()["error"]
    assert error["details"]["known"][:3] == ["bank", "bank:rest", "customers"]


async def test_in_production_only_operators_are_told_but_the_probes_answer() -> None:
    async with running_gateway({"mode": "production"}) as gateway:
        for path in ("metrics", "performance", "circuit-breakers", "circuit-breakers/bank", "health/deep"):
            response = await gateway.http.get(f"/monitoring/{path}")
            assert (response.status_code, response.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
            assert response.json()["error"]["category"] == "authentication"
        gateway.bank.rest.behave(status(500))
        refused = await gateway.http.post("/monitoring/circuit-breakers/bank/reset", headers=JSON)
        assert refused.status_code == 401
        assert (await told(gateway, "health/live")) == {"status": "ok"}
        assert (await told(gateway, "health/ready")) == {"status": "ok"}


async def test_figures_by_upstream_and_by_kind_of_request() -> None:
    async with running_gateway({"services": {"customers": ONE}}) as gateway:
        await broken(gateway)
        await gateway.ask("{ nothing }")
        read = await told(gateway, "metrics")
        assert read["requests"]["query"] == {"ok": 1, "degraded": 1, "errors": 0, "failed": 0}
        assert read["requests"]["refused"] == 1
        assert read["requests"]["codes"] == {"GRAPHQL_VALIDATION_FAILED": 1}
        customers = read["upstreams"]["customers"]
        assert (customers["health"], customers["servedBy"]["stale"]) == ("unhealthy", 1)
        attempts = customers["attempts"]["graphql"]
        assert (attempts["begun"], attempts["succeeded"], attempts["failed"]) == (2, 1, 1)
        assert attempts["durations"]["count"] == 2
        assert attempts["latency"]["maxMs"] > 0
        assert customers["cache"] == {"fresh": 0, "stale": 1, "misses": 2, "refreshes": 0}
        assert customers["batches"] == {"count": 2, "keys": 2}


async def test_how_fast_everything_is() -> None:
    async with running_gateway() as gateway:
        for _ in range(3):
            await gateway.ask('{ customer(id: "1") { name } }')
        read = await told(gateway, "performance")
    assert read["requests"]["query"]["count"] == sum(read["requests"]["query"]["upToMs"].values()) == 3
    assert read["upstreams"]["customers"]["count"] == 3
    assert read["slowOperations"][0]["service"] == "customers"
    assert read["slowOperations"][0]["operation"] == "Customer.by_id"
    assert read["documentCache"]["hits"] == 2
    assert read["planCache"] is None
    assert read["eventLoop"]["lastLagMs"] >= 0


async def test_a_deep_look_asks_every_upstream_now() -> None:
    async with running_gateway() as gateway:
        await gateway.customers.refuse()
        read = await told(gateway, "health/deep")
    (check,) = [each for each in read["checkedNow"]["customers"] if each["protocol"] == "graphql"]
    assert check["error"]
    (check,) = [each for each in read["checkedNow"]["invoices"] if each["protocol"] == "graphql"]
    assert check["error"] is None
    assert check["durationMs"] > 0
    assert {each["name"] for each in read["checks"]} >= {"upstream:customers", "store:memory"}


async def test_what_nobody_foresaw_is_masked() -> None:
    seen: list[tuple[str, str]] = []
    envelope = Envelope(lambda _: "r1", lambda error, request_id: seen.append((str(error), request_id)), SystemClock())

    async def crash(_: Request) -> None:
        raise RuntimeError("canary")

    transport = httpx.ASGITransport(Starlette(routes=[Route("/crash", envelope.around(crash))]))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get("/crash")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert "canary" not in response.text
    assert seen == [("canary", "r1")]
