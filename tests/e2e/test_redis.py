"""Redis behind the memory of the gateway: shared, outliving it, and never in the way."""

from typing import Any

from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.redis import RedisServer
from tests.testkit.waiting import until_true

QUERY = '{ customer(id: "1") { name } }'


def configured(redis: RedisServer) -> dict[str, Any]:
    return {"redis": {"url": redis.url, "timeout_s": 0.5}}


async def stored(redis: RedisServer) -> None:
    await until_true(lambda: redis.command("DBSIZE") != b":0\r\n", "an entry in Redis")


async def test_what_one_gateway_kept_stands_in_for_another(redis: RedisServer) -> None:
    async with running_gateway(configured(redis)) as first:
        await first.ask(QUERY)
        await stored(redis)
    async with running_gateway(configured(redis)) as second:
        await second.customers.refuse()
        answered = await second.ask(QUERY)
        assert answered.data == {"customer": {"name": "Customer 1"}}
        assert answered.upstreams[0]["servedBy"] == "STALE"


async def test_redis_killed_in_the_middle_of_a_run_is_no_clients_error(redis: RedisServer) -> None:
    async with running_gateway(configured(redis)) as gateway:
        for number in range(60):
            if number == 20:
                redis.kill()
            if number == 40:
                redis.start()
            answered = await gateway.ask(f'{{ customer(id: "{number % 30 + 1}") {{ name }} }}')
            assert answered.body == {"data": {"customer": {"name": f"Customer {number % 30 + 1}"}}}


async def test_with_redis_gone_memory_still_stands_in_and_health_says_so(redis: RedisServer) -> None:
    async with running_gateway(configured(redis)) as gateway:
        await gateway.ask(QUERY)
        redis.kill()
        await gateway.customers.refuse()
        assert (await gateway.ask(QUERY)).upstreams[0]["servedBy"] == "STALE"
        for number in range(2, 9):
            assert (await gateway.ask(f'{{ customer(id: "{number}") {{ name }} }}')).codes == ["SERVICE_UNAVAILABLE"]
        check = await _check(gateway, "store:redis")
        assert check["status"] == "DEGRADED"
        assert check["reason"].startswith("circuit open: 3 failures in a row")


async def test_a_healthy_redis_is_ok_in_health(redis: RedisServer) -> None:
    async with running_gateway(configured(redis)) as gateway:
        assert await _check(gateway, "store:redis") == {"name": "store:redis", "status": "OK", "reason": None}


async def _check(gateway: Gateway, name: str) -> dict[str, Any]:
    checks = (await gateway.ask("{ health { checks { name status reason } } }")).data["health"]["checks"]
    return next(check for check in checks if check["name"] == name)
