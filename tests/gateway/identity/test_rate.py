"""How often callers may ask: each by itself, by who or where they are; in Redis, and without it."""

import asyncio
from asyncio import CancelledError
from typing import Any

import pytest
from starlette.responses import JSONResponse

from clients.policy import RatePolicy
from clients.stores.redis_tokens import RedisTokens
from gateway.http.errors import RateLimited
from gateway.identity.rate import SharedLimiter
from tests.gateway.identity.support import ME, Known, known
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import running_gateway
from tests.testkit.raw_server import Connection, raw_server
from tests.testkit.redis import RedisServer
from tests.testkit.waiting import until_true

LIMIT = {"per_s": 0.1, "capacity": 3}
PROXY = {"trusted_proxies": ["127.0.0.1/32"]}


def at(address: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    return {**(headers or {}), "x-forwarded-for": address}


async def allowed(asked: Known, headers: dict[str, str], attempts: int = 5) -> int:
    """How many of some requests are answered; the others are refused for the rate."""
    answers = [await asked.ask(headers) for _ in range(attempts)]
    assert {*[code for each in answers for code in each.codes]} <= {"RATE_LIMITED"}
    return sum(each.response.status_code == 200 for each in answers)


async def test_who_asks_too_often_is_told_to_wait_and_others_are_not() -> None:
    async with known(identity=PROXY, rate_limit=LIMIT) as asked:
        ada = asked.issuer.bearer()
        assert await allowed(asked, at("198.51.100.1", ada)) == 3
        assert await allowed(asked, at("198.51.100.2", ada)) == 0  # it is she who is counted
        assert await allowed(asked, at("198.51.100.1", asked.issuer.bearer(sub="bob"))) == 3
        assert await allowed(asked, at("198.51.100.1")) == 3
        assert await allowed(asked, at("198.51.100.2")) == 3
        answered = await asked.ask(ada)
        assert answered.response.status_code == 429
        assert answered.response.headers["retry-after"] == "10"
        assert answered.errors[0]["message"] == "Asked too often: the limit is 0.1 a second. Try again later."
        extensions = answered.errors[0]["extensions"]
        assert (extensions["code"], extensions["category"], extensions["retryAfter"]) == (
            "RATE_LIMITED",
            "rate_limit",
            10,
        )
        assert (await asked.gateway.http.get("/health")).status_code == 200
        asked.clock.jump(10)
        assert await allowed(asked, ada, 2) == 1


async def test_tenants_have_users_of_the_same_name() -> None:
    async with running_gateway(
        {"imports": ["tests.gateway.identity.fields"], "identity": PROXY, "rate_limit": LIMIT}, clock=ManualClock()
    ) as gateway:
        for tenant in ("acme", "other"):
            headers = {"x-tenant-id": tenant, "x-user-id": "ada"}
            statuses = [(await gateway.ask(ME, headers)).response.status_code for _ in range(4)]
            assert statuses == [200, 200, 200, 429]


async def test_wrong_tokens_count_for_where_they_come_from() -> None:
    async with known(identity=PROXY, rate_limit=LIMIT) as asked:
        bad = at("198.51.100.1", {"authorization": "Bearer a.b.c"})
        refused = [await asked.refused(bad) for _ in range(4)]
        assert refused == [(401, "UNAUTHENTICATED")] * 3 + [(429, "RATE_LIMITED")]


async def test_tokens_with_a_new_key_count_too() -> None:
    async with known(identity=PROXY, rate_limit=LIMIT) as asked:
        asked.issuer.rotate()
        assert await allowed(asked, asked.issuer.bearer()) == 3
        asked.clock.jump(30)
        asked.issuer.rotate()
        asked.issuer.answer = JSONResponse({"keys": []})
        bad = at("198.51.100.1", asked.issuer.bearer(sub="bob"))
        assert [await asked.refused(bad) for _ in range(2)] == [(503, "IDENTITY_UNAVAILABLE")] * 2
        asked.clock.jump(30)
        asked.issuer.answer = JSONResponse({"keys": [asked.issuer.jwks()["keys"][0]]})
        refused = [await asked.refused(bad) for _ in range(4)]
        assert refused == [(401, "UNAUTHENTICATED")] * 3 + [(429, "RATE_LIMITED")]


async def test_addresses_may_be_counted_whoever_asks() -> None:
    async with known(identity=PROXY, rate_limit={**LIMIT, "by": "address"}) as asked:
        assert await allowed(asked, at("198.51.100.1", asked.issuer.bearer()), 2) == 2
        assert await allowed(asked, at("198.51.100.1", asked.issuer.bearer(sub="bob"))) == 1
        assert await allowed(asked, at("2001:db8::1")) == 3
        assert await allowed(asked, at("2001:db8::2")) == 0


async def test_callers_are_kept_count_of_boundedly() -> None:
    async with known(identity=PROXY, rate_limit={**LIMIT, "max_callers": 2}) as asked:
        assert await allowed(asked, at("198.51.100.1")) == 3
        assert await allowed(asked, at("198.51.100.2")) == 3
        assert await allowed(asked, at("198.51.100.1")) == 0
        assert await allowed(asked, at("198.51.100.3")) == 3
        assert await allowed(asked, at("198.51.100.1")) == 0
        assert await allowed(asked, at("198.51.100.2")) == 3  # forgotten for the third


async def test_processes_count_together_through_redis_and_alone_without_it(redis: RedisServer) -> None:
    shared: dict[str, Any] = {"rate_limit": {**LIMIT, "shared": True}, "redis": {"url": redis.url, "timeout_s": 5}}
    async with known(identity=PROXY, **shared) as one, known(identity=PROXY, **shared) as other:
        ada = one.issuer.bearer()
        ada_there = other.issuer.bearer()
        assert await allowed(one, ada, 2) == 2
        assert await allowed(other, ada_there) == 1
        assert await allowed(one, ada) == 0
        assert await allowed(one, at("198.51.100.1")) == 3
        refused = [await other.refused(at("198.51.100.2", {"authorization": "Bearer a.b.c"})) for _ in range(4)]
        assert refused == [(401, "UNAUTHENTICATED")] * 3 + [(429, "RATE_LIMITED")]
        redis.kill()
        one.clock.jump(10)
        assert await allowed(one, one.issuer.bearer(sub="bob"), 5) == 3


async def test_counting_in_redis_goes_for_addresses_too(redis: RedisServer) -> None:
    shared: dict[str, Any] = {
        "rate_limit": {**LIMIT, "shared": True, "by": "address"},
        "redis": {"url": redis.url, "timeout_s": 5},
    }
    async with known(identity=PROXY, **shared) as asked:
        asked.issuer.rotate()  # its key has to be fetched after the count
        assert await allowed(asked, at("198.51.100.1", asked.issuer.bearer())) == 3
        assert await allowed(asked, at("198.51.100.2")) == 3


async def test_a_redis_that_is_silent_holds_nobody_up_for_long_and_leaves_nothing_behind() -> None:
    async def silent(connection: Connection) -> None:
        await connection.until_closed()

    policy = RatePolicy(capacity=2, per_s=0.1)
    async with raw_server(silent) as server:
        tokens = RedisTokens(f"redis://127.0.0.1:{server.port}/0", timeout_s=0.02)
        async with SharedLimiter(policy, ManualClock(), 1, tokens) as limiter:
            for caller in ("a", "b"):
                for _ in range(2):
                    await admit(limiter, caller)
                with pytest.raises(RateLimited):
                    await admit(limiter, caller)
        slow = RedisTokens(f"redis://127.0.0.1:{server.port}/0", timeout_s=60)
        async with SharedLimiter(policy, ManualClock(), 1, slow) as limiter:
            waiting = [asyncio.create_task(admit(limiter, caller)) for caller in ("a", "b", "c")]
            await until_true(lambda: len(asking()) == 3, "Redis to be asked")  # all but the last are given up
        assert asking() == []
        assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [CancelledError] * 3


def asking() -> list[str]:
    return [name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("breakwater tokens")]


async def admit(limiter: SharedLimiter, key: str) -> None:
    waiting = limiter.admit(key)
    if waiting is not None:
        await waiting
