"""Too much for a service, and too much for the gateway, over real sockets."""

import asyncio

from tests.testkit.gateway import running_gateway
from tests.testkit.redis import RedisServer
from tests.testkit.upstream import hang

CUSTOMER = "query ($id: ID!) { customer(id: $id) { name } }"
LIMITS = """{ upstreams(name: "customers") { limits {
  concurrency { limit inFlight queued refused }
  rate { capacity perSecond tokensLeft waiting refused shared }
} } }"""


async def test_a_full_gateway_refuses_and_says_so_and_its_probes_go_on() -> None:
    async with running_gateway({"server": {"max_in_flight": 2}}) as gateway:
        hanging = hang()
        gateway.customers.graphql.behave(hanging)
        tasks = [asyncio.create_task(gateway.ask(CUSTOMER, id=str(n))) for n in (1, 2)]
        await gateway.customers.graphql.wait_for_calls(2)
        refused = await gateway.ask(CUSTOMER, id="3")
        assert (refused.response.status_code, refused.codes) == (503, ["OVERLOADED"])
        assert int(refused.response.headers["retry-after"]) in (1, 2, 3)
        assert len(gateway.customers.graphql.calls) == 2
        for path in ("/health/live", "/health/ready", "/health"):
            assert (await gateway.http.get(path)).status_code == 200
        load = (await gateway.http.get("/health")).json()["load"]
        assert (load["inFlight"], load["limit"], load["shed"]) == (2, 2, 1)
        hanging.release()
        answered = await asyncio.gather(*tasks)
        assert [a.data["customer"]["name"] for a in answered] == ["Customer 1", "Customer 2"]
        health = (await gateway.ask("{ health { load { inFlight limit shed } } }")).data["health"]
        assert health["load"] == {"inFlight": 1, "limit": 2, "shed": 1}


async def test_a_service_at_its_rate_is_not_called_and_the_field_says_when_to_come_back() -> None:
    customers = {"rate": {"capacity": 1, "per_s": 0.01}, "concurrency": {"limit": 7}}
    async with running_gateway({"services": {"customers": customers}}) as gateway:
        assert (await gateway.ask(CUSTOMER, id="1")).data == {"customer": {"name": "Customer 1"}}
        refused = await gateway.ask(CUSTOMER, id="2")
        assert refused.data == {"customer": None}
        [error] = refused.errors
        assert error["extensions"]["code"] == "RATE_LIMIT_REACHED"
        assert error["extensions"]["category"] == "rate_limit"
        assert 0 < error["extensions"]["retryAfter"] <= 100
        assert (len(gateway.customers.graphql.calls), len(gateway.customers.rest.calls)) == (1, 0)
        [upstream] = (await gateway.ask(LIMITS)).data["upstreams"]
        limits = upstream["limits"]
        assert limits["concurrency"] == {"limit": 7, "inFlight": 0, "queued": 0, "refused": 0}
        rate = limits["rate"]
        assert 0 <= rate.pop("tokensLeft") < 1
        assert rate == {"capacity": 1, "perSecond": 0.01, "waiting": 0, "refused": 1, "shared": None}


async def test_instances_with_one_redis_share_a_rate(redis: RedisServer) -> None:
    shared = {
        "redis": {"url": redis.url, "timeout_s": 5},
        "services": {"customers": {"rate": {"capacity": 3, "per_s": 0.001, "shared": True}}},
    }
    async with running_gateway(shared) as one, running_gateway(shared) as other:
        codes = []
        for number in range(1, 7):  # each asked once, so that no kept answer stands in
            codes += (await (one if number % 2 else other).ask(CUSTOMER, id=str(number))).codes
        assert codes == ["RATE_LIMIT_REACHED"] * 3
        assert len(one.customers.graphql.calls) + len(other.customers.graphql.calls) == 3
        [upstream] = (await one.ask(LIMITS)).data["upstreams"]
        assert upstream["limits"]["rate"]["shared"] is True
