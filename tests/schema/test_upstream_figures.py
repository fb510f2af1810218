"""The figures of the upstreams, asked for in GraphQL of a gateway on a socket."""

from typing import Any

from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.upstream import status

FIGURES = """
query Figures($name: String) {
  upstreams(name: $name) {
    name inFlight ratePerS errorRatio staleRatio
    latency { count windowS meanMs p50Ms p95Ms p99Ms maxMs }
    errors { code count lastAt }
    lastError { code message at operation requestId }
    slowOperations { operation durationMs at requestId }
    attempts {
      protocol count inFlight succeeded failed cancelled ratePerS errorRatio
      latency { count windowS meanMs p50Ms p95Ms p99Ms maxMs }
      errors { code count lastAt }
      lastError { code message at operation requestId }
    }
    uptime { since ratio healthyS degradedS unhealthyS }
  }
}
"""


async def figures_of(gateway: Gateway, name: str) -> dict[str, Any]:
    answered = await gateway.ask(FIGURES, name=name)
    assert answered.errors == []
    [found] = answered.data["upstreams"]
    return dict(found)


async def test_an_upstream_that_was_never_called_has_empty_figures() -> None:
    async with running_gateway(clock=ManualClock()) as gateway:
        found = await figures_of(gateway, "bank")
        nothing = {
            "count": 0,
            "windowS": 0.0,
            "meanMs": None,
            "p50Ms": None,
            "p95Ms": None,
            "p99Ms": None,
            "maxMs": None,
        }
        assert found == {
            "name": "bank",
            "inFlight": 0,
            "ratePerS": 0.0,
            "errorRatio": None,
            "staleRatio": None,
            "latency": nothing,
            "errors": [],
            "lastError": None,
            "slowOperations": [],
            "attempts": [
                {
                    "protocol": "REST",
                    "count": 0,
                    "inFlight": 0,
                    "succeeded": 0,
                    "failed": 0,
                    "cancelled": 0,
                    "ratePerS": 0.0,
                    "errorRatio": None,
                    "latency": nothing,
                    "errors": [],
                    "lastError": None,
                }
            ],
            "uptime": {
                "since": "2026-01-01T00:00:00+00:00",
                "ratio": 1.0,
                "healthyS": 0.0,
                "degradedS": 0.0,
                "unhealthyS": 0.0,
            },
        }


async def test_one_query_shows_rates_errors_stale_share_slow_operations_and_uptime_under_a_fault() -> None:
    clock = ManualClock()
    breaker = {"failures": 2, "open_s": 1000, "max_open_s": 1000}
    each_time = {"retry_after_stale_s": 0}
    async with running_gateway(
        {"services": {"customers": {"breaker": breaker, "cache": each_time}}}, clock=clock
    ) as gateway:
        query = '{ customer(id: "1") { name } }'
        await gateway.ask(query)
        await clock.advance(10)
        gateway.customers.graphql.behave(status(500))
        gateway.customers.rest.behave(status(503))
        await gateway.ask(query)
        await gateway.ask(query)
        failed = await gateway.ask('{ customer(id: "2") { name } }')
        await clock.advance(10)
        found = await figures_of(gateway, "customers")
        request_id = failed.response.headers["x-request-id"]
        assert (found["ratePerS"], found["errorRatio"], found["staleRatio"]) == (0.2, 0.25, 0.5)
        assert found["latency"] == {
            "count": 4,
            "windowS": 20.0,
            "meanMs": 0.0,
            "p50Ms": 0.0,
            "p95Ms": 0.0,
            "p99Ms": 0.0,
            "maxMs": 0.0,
        }
        assert found["errors"] == [{"code": "SERVICE_UNAVAILABLE", "count": 1, "lastAt": "2026-01-01T00:00:10+00:00"}]
        assert found["lastError"]["requestId"] == request_id
        late = (await gateway.ask('{ customer(id: "3") { name } }')).response.headers["x-request-id"]
        latest = (await gateway.ask('{ upstreams(name: "customers") { lastErrors { requestId code } } }')).data
        assert [each["requestId"] for each in latest["upstreams"][0]["lastErrors"]] == [late, request_id]
        assert found["lastError"]["message"].startswith("customers: no way to it answered (the graphql circuit is open")
        assert [slow["operation"] for slow in found["slowOperations"]] == ["Customer.by_id"]
        graphql, rest = found["attempts"]
        assert (graphql["protocol"], graphql["count"], graphql["succeeded"], graphql["failed"]) == ("GRAPHQL", 3, 1, 2)
        assert graphql["lastError"] == {
            "code": "UPSTREAM_SERVER_ERROR",
            "message": "customers: GraphQL Customer.by_id answered 500",
            "at": "2026-01-01T00:00:10+00:00",
            "operation": "Customer.by_id",
            "requestId": graphql["lastError"]["requestId"],
        }
        assert (rest["protocol"], rest["count"], rest["errorRatio"]) == ("REST", 2, 1.0)
        assert found["uptime"] == {
            "since": "2026-01-01T00:00:00+00:00",
            "ratio": 0.5,
            "healthyS": 10.0,
            "degradedS": 0.0,
            "unhealthyS": 10.0,
        }


async def test_a_count_may_outgrow_32_bits() -> None:
    async with running_gateway() as gateway:
        found = (
            await gateway.ask('{ __type(name: "UpstreamAttempts") { fields { name type { ofType { name } } } } }')
        ).data
        kinds = {field["name"]: field["type"]["ofType"] for field in found["__type"]["fields"]}
        assert kinds["count"] == kinds["succeeded"] == kinds["failed"] == {"name": "Long"}
