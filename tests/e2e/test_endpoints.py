"""A whole gateway in front of services that have several endpoints, and of services that are checked."""

import asyncio
import io
import json
from collections.abc import Iterator

import pytest
import structlog

from gateway.telemetry import logs
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import CUSTOMERS, running_gateway
from tests.testkit.upstream import ScriptedUpstream, status
from tests.testkit.waiting import until_true

STATE = """{ upstreams(name: "customers") {
    status statusReason
    endpoints { protocol name weight state reason outstanding consecutiveFailures ejectedUntil ejections
                lastError { code } }
    discovery { host trouble lookedUpAt }
    checks { protocol endpoint passing since checkedAt durationMs error }
} }"""


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, as JSON lines."""
    stream = io.StringIO()
    logs.configure(json=True, level="debug", stream=stream)
    yield stream
    structlog.reset_defaults()


async def test_a_dead_endpoint_is_seen_in_graphql_in_health_and_in_the_logs(lines: io.StringIO) -> None:
    clock = ManualClock()
    async with ScriptedUpstream(CUSTOMERS) as one, ScriptedUpstream(CUSTOMERS) as two:
        endpoints = {"origins": [one.url, {"url": two.url, "weight": 2}], "balance": "round-robin"}
        service = {"graphql": one.graphql.url, "rest": one.rest.url, "endpoints": endpoints}
        async with running_gateway({"services": {"customers": service}}, clock=clock) as gateway:
            await one.refuse()
            for number in range(1, 13):
                answered = await gateway.ask(f'{{ customer(id: "{number}") {{ name }} }}')
                assert answered.data == {"customer": {"name": f"Customer {number}"}}
            [state] = (await gateway.ask(STATE)).data["upstreams"]
            graphql, healthy, *_ = state["endpoints"]
            until = graphql.pop("ejectedUntil")
            assert "2026-01-01T00:00:27" <= until <= "2026-01-01T00:00:34"  # 30 s, jittered
            reason = "3 failure(s) in a row (last: UPSTREAM_UNREACHABLE)"
            assert graphql == {
                "protocol": "GRAPHQL",
                "name": one.url,
                "weight": 1,
                "state": "EJECTED",
                "reason": reason,
                "outstanding": 0,
                "consecutiveFailures": 3,
                "ejections": 1,
                "lastError": {"code": "UPSTREAM_UNREACHABLE"},
            }
            assert (healthy["name"], healthy["state"], healthy["weight"]) == (two.url, "HEALTHY", 2)
            said = f"graphql: 1 of 2 endpoints out ({one.url} ejected: {reason})"
            assert (state["status"], state["statusReason"]) == ("DEGRADED", said)
            health = (await gateway.http.get("/health")).json()
            assert {"name": "upstream:customers", "status": "degraded", "reason": said} in health["checks"]
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    [line] = [line for line in told if line["event"].startswith("endpoint")]
    assert line.pop("timestamp")
    assert line == {
        "event": "endpoint ejected",
        "level": "warning",
        "service": "customers",
        "protocol": "graphql",
        "endpoint": one.url,
        "previous": "healthy",
        "reason": reason,
    }
    assert {line.get("endpoint") for line in told if line["event"] == "attempt failed"} == {one.url}


async def test_a_host_that_is_looked_up_is_reached_at_its_address() -> None:
    async with ScriptedUpstream(CUSTOMERS) as upstream:
        base = f"http://localhost:{upstream.server.port}"
        service = {
            "graphql": f"{base}/graphql",
            "rest": f"{base}/api",
            "endpoints": {"dns_every_s": 30},
            "retry": {"attempts": 2, "backoff_s": 0.001},
        }
        async with running_gateway({"services": {"customers": service}}) as gateway:
            found: list[str] = []

            async def look() -> None:
                [state] = (await gateway.ask(STATE)).data["upstreams"]
                assert (state["discovery"]["host"], state["discovery"]["trouble"]) == ("localhost", None)
                found[:] = {endpoint["name"] for endpoint in state["endpoints"]}

            async with asyncio.timeout(5):
                while "127.0.0.1" not in found:
                    await look()
            answered = await gateway.ask('{ customer(id: "1") { name } }')
            assert answered.data == {"customer": {"name": "Customer 1"}}
            assert upstream.graphql.calls[0].headers["host"] == f"localhost:{upstream.server.port}"


async def test_health_checks_tell_of_a_service_that_nobody_calls() -> None:
    clock = ManualClock()
    async with ScriptedUpstream(CUSTOMERS) as upstream:
        service = {
            "graphql": upstream.graphql.url,
            "rest": upstream.rest.url,
            "health": {"every_s": 10, "path": "/api/customers/1"},
        }
        async with running_gateway({"services": {"customers": service}}, clock=clock) as gateway:
            await upstream.rest.wait_for_calls(1)
            await clock.settle()
            idle = len(clock.sleepers)  # the checks' among them: it is ready when the first of them are over
            [state] = (await gateway.ask(STATE)).data["upstreams"]
            assert state["status"] == "HEALTHY"
            assert state["statusReason"] == "every circuit is closed and every health check passes"
            assert [(c["protocol"], c["passing"], c["error"]) for c in state["checks"]] == [
                ("GRAPHQL", True, None),
                ("REST", True, None),
            ]
            upstream.graphql.behave(status(503))
            upstream.rest.behave(status(503))
            for count in (2, 3):
                await clock.advance(11)
                await upstream.rest.wait_for_calls(count)
                await clock.wait_for_sleepers(idle)
            [state] = (await gateway.ask(STATE)).data["upstreams"]
            assert state["status"] == "UNHEALTHY"
            assert state["statusReason"] == (
                "graphql: its health checks fail (answered 503); rest: its health checks fail (answered 503)"
            )
            health = (await gateway.http.get("/health")).json()
            assert health["status"] == "degraded"
            assert {check["name"]: check["status"] for check in health["checks"]}["upstream:customers"] == "down"
        await until_true(lambda: upstream.graphql.running == 0, "the checks to end")
