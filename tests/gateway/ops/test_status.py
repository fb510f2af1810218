"""The status page's files and data; tests/e2e/test_status_page.py has it in a browser."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import strawberry

from clients.series import SLOTS
from gateway.config import Config, FederationConfig
from gateway.ops import status as status_module
from gateway.ops.status import own_documents
from tests.gateway.ops.actions import Mutation
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.upstream import status

FILES = Path(status_module.__file__).parent / "static" / "status"


@strawberry.type
class Empty:
    nothing: int = 0


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway() as running:
        yield running


async def shown(gateway: Gateway) -> Any:
    response = await gateway.http.get("/monitoring/status")
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def test_the_page_loads_nothing_from_elsewhere_and_may_not_be_framed(gateway: Gateway) -> None:
    page = await gateway.http.get("/status")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert "<script>" not in page.text
    assert "style=" not in page.text
    sources = [source for source in re.findall(r'(?:src|href)="([^"]+)"', page.text) if source != "data:,"]
    assert len(sources) == 2
    for source in sources:
        asset = await gateway.http.get(f"/{source}")
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]


def test_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in FILES.iterdir()) < 30_000


async def test_the_page_is_only_read(gateway: Gateway) -> None:
    assert (await gateway.http.post("/status")).status_code == 405
    assert (await gateway.http.head("/status")).status_code == 200


async def test_in_production_everybody_gets_the_page_and_operators_alone_what_it_shows() -> None:
    access = {"mode": "production", "ops": {"admin_token": "a-token-of-sixteen"}}
    async with running_gateway(access) as gateway:
        page = await gateway.http.get("/status")
        assert page.status_code == 200
        assert "customers" not in page.text
        refused = await gateway.http.get("/monitoring/status")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
        headers = {"x-admin-token": "a-token-of-sixteen"}
        assert (await gateway.http.get("/monitoring/status", headers=headers)).status_code == 200


async def test_it_can_be_switched_off() -> None:
    async with running_gateway({"ops": {"status_page": False}}) as gateway:
        assert (await gateway.http.get("/status")).status_code == 404
        assert (await gateway.http.get("/monitoring/status")).status_code == 404


async def test_what_is_wrong_is_told_with_since_and_why() -> None:
    services = {"customers": {"breaker": {"failures": 1}, "cache": {"stale_if_error_s": 60}}}
    async with running_gateway({"services": services}) as gateway:
        await gateway.ask('{ customer(id: "1") { name } }')
        gateway.customers.graphql.behave(status(500))
        gateway.customers.rest.behave(status(500))
        await gateway.ask('{ customer(id: "1") { name } }')
        data = await shown(gateway)
    assert (data["status"], data["load"]["shed"]) == ("degraded", 0)
    assert (data["requests"]["lastMinute"]["calls"], data["requests"]["lastMinute"]["degraded"]) == (2, 1)
    customers = data["upstreams"][0]
    assert (customers["name"], customers["health"]) == ("customers", "unhealthy")
    assert (customers["lastMinute"]["calls"], customers["lastMinute"]["stale"]) == (2, 1)
    assert customers["oldestStaleMs"] > 0
    assert [(c["protocol"], c["state"]) for c in customers["circuits"]] == [("graphql", "open"), ("rest", "open")]
    assert customers["circuits"][0]["reason"] == "1 failures in a row (last: UPSTREAM_SERVER_ERROR)"
    assert customers["circuits"][0]["nextProbeAt"] > customers["circuits"][0]["since"]
    assert [u["health"] for u in data["upstreams"][1:]] == ["healthy", "healthy"]


async def test_every_ten_seconds_a_slot_ends_for_requests_and_upstreams_up_to_a_quarter_of_an_hour() -> None:
    clock = ManualClock()
    async with running_gateway(clock=clock) as gateway:
        await gateway.ask('{ customer(id: "1") { name } }')
        await clock.advance(10)
        await gateway.ask('{ a: customer(id: "1") { name } b: customer(id: "2") { name } }')
        await clock.advance(4)
        data = await shown(gateway)
        assert data["requests"]["recent"]["calls"] == [1, 1]
        customers = data["upstreams"][0]["recent"]
        assert (customers["seconds"], customers["calls"], customers["failed"]) == ([10.0, 4.0], [1, 1], [0, 0])
        answered = await gateway.ask(
            '{ upstreams(name: "customers") { recent { at seconds calls failed stale p95Ms } } }'
        )
        [first, running] = answered.data["upstreams"][0]["recent"]
        assert first == {
            "at": "2026-01-01T00:00:00+00:00",
            "seconds": 10.0,
            "calls": 1,
            "failed": 0,
            "stale": 0,
            "p95Ms": 4.75,
        }
        assert (running["seconds"], running["calls"]) == (4.0, 1)
        for _ in range(SLOTS + 5):
            await clock.advance(10)
        data = await shown(gateway)
        assert len(data["requests"]["recent"]["calls"]) == len(data["upstreams"][0]["recent"]["calls"]) == SLOTS
        assert sum(data["requests"]["recent"]["calls"]) == 0


def test_the_page_is_told_which_mutations_there_are_and_how_to_ask_for_them() -> None:
    schema = strawberry.Schema(Empty, Mutation)
    found = own_documents(Config(), schema)
    assert found == {
        "changes": "subscription { circuitChanges { service } }",
        "forceCircuit": "mutation($service: String!, $protocol: UpstreamProtocol, $operation: String, "
        "$mode: CircuitMode!, $reason: String!) { forceCircuit(service: $service, protocol: $protocol, "
        "operation: $operation, mode: $mode, reason: $reason) { __typename } }",
        "resetCircuit": "mutation($service: String!, $protocol: UpstreamProtocol, $operation: String) "
        "{ resetCircuit(service: $service, protocol: $protocol, operation: $operation) { __typename } }",
        "purgeCache": "mutation($service: String!) { purgeCache(service: $service) }",
    }


def test_fields_of_others_are_no_buttons() -> None:
    schema = strawberry.Schema(Empty, Mutation)
    federated = Config(federation=FederationConfig(supergraph="supergraph.graphql", local=None))
    assert own_documents(federated, schema) == {}


def test_a_mutation_that_wants_what_the_page_has_not_got_is_no_button() -> None:
    @strawberry.type
    class Reloaded:
        error: str | None

    @strawberry.type(name="Mutation")
    class Wanting:
        @strawberry.mutation
        def purge_cache(self, service: str, region: str) -> int:
            return 0

        @strawberry.mutation
        def reload_supergraph(self) -> Reloaded:
            return Reloaded(error=None)

    schema = strawberry.Schema(Empty, Wanting)
    assert set(own_documents(Config(), schema)) == {"changes"}
    federated = Config(federation=FederationConfig())
    assert own_documents(federated, schema)["reloadSupergraph"] == "mutation { reloadSupergraph { error } }"
