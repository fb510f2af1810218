"""What orchestrators and people ask about health."""

import httpx

from gateway.app import create_app
from gateway.config import Config
from tests.testkit.gateway import running_gateway
from tests.testkit.upstream import status


async def test_a_healthy_gateway_is_live_ready_and_ok() -> None:
    async with running_gateway() as gateway:
        assert (await gateway.http.get("/health/live")).json() == {"status": "ok"}
        assert (await gateway.http.get("/health/ready")).json() == {"status": "ok"}
        body = (await gateway.http.get("/health")).json()
        assert body["status"] == "ok"
        assert [check["name"] for check in body["checks"]] == [
            "upstream:customers",
            "upstream:invoices",
            "upstream:bank",
            "store:memory",
        ]


async def test_an_open_circuit_degrades_it_and_says_why() -> None:
    one = {"breaker": {"failures": 1}, "cache": {"stale_if_error_s": 0}}
    async with running_gateway({"services": dict.fromkeys(("customers", "invoices", "bank"), one)}) as gateway:
        gateway.customers.graphql.behave(status(500))
        await gateway.ask('{ customer(id: "1") { name } }')
        response = await gateway.http.get("/health")
        assert (response.status_code, response.json()["status"]) == (200, "degraded")
        assert response.json()["checks"][0] == {
            "name": "upstream:customers",
            "status": "degraded",
            "reason": "graphql open: 1 failures in a row (last: UPSTREAM_SERVER_ERROR)",
        }
        in_graphql = (await gateway.ask("{ health { status checks { name status reason } } }")).data["health"]
        assert in_graphql["status"] == "DEGRADED"


async def test_with_every_upstream_unhealthy_it_is_down() -> None:
    one = {"breaker": {"failures": 1}, "cache": {"stale_if_error_s": 0}}
    async with running_gateway({"services": dict.fromkeys(("customers", "invoices", "bank"), one)}) as gateway:
        await gateway.bank.refuse()
        await gateway.ask('{ customer(id: "1") { balance } }')
        await gateway.customers.refuse()
        await gateway.invoices.refuse()
        await gateway.ask('{ customer(id: "1") { name } invoice(id: "1") { id } }')
        response = await gateway.http.get("/health")
        assert (response.status_code, response.json()["status"]) == (503, "down")


async def test_before_its_lifespan_it_is_live_but_not_ready() -> None:
    transport = httpx.ASGITransport(create_app(Config()))  # runs no lifespan
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.get("/health/live")).status_code == 200
        for path in ("/health/ready", "/health", "/monitoring/health/ready"):
            response = await client.get(path)
            assert response.status_code == 503
            assert (response.json()["success"], response.json()["error"]["code"]) == (False, "NOT_READY")
            assert response.json()["error"]["path"] == path
        answered = await client.post("/graphql", json={"query": "{ health { status } }"})
        assert answered.status_code == 500
        assert answered.json()["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
