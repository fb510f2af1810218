"""Tokens around real calls: who goes, who waits in what order, and who is refused."""

import asyncio

import pytest
from msgspec.structs import replace

from clients.call import Call, ProtocolName
from clients.errors import RateLimitReached
from clients.policy import BreakerPolicy, ConcurrencyPolicy, RatePolicy, RetryPolicy
from tests.clients.support import CALLER, GRAPHQL_ONLY, ONE, REST_ONLY, Rig, ask_one, rig
from tests.testkit.upstream import hang


def call(number: int, deadline: float | None = None) -> Call:
    """Calls that share no flight."""
    return ask_one(number, declared=GRAPHQL_ONLY, caller=replace(CALLER, deadline=deadline))


async def waiting(made: Rig, count: int) -> None:
    """Return once so many calls wait for a token."""
    while True:
        rate = made.upstream.status().rate
        assert rate is not None
        if rate.waiting == count:
            return
        await asyncio.sleep(0)


async def test_a_service_without_a_rate_has_none() -> None:
    async with rig() as made:
        assert made.upstream.status().rate is None


async def test_a_call_without_a_token_is_refused_at_once_and_told_when_to_come_back() -> None:
    limits = RatePolicy(capacity=2, per_s=0.5)
    async with rig(rate=limits, breaker=BreakerPolicy(failures=1), retry=RetryPolicy(attempts=3)) as made:
        await made.execute(call(1))
        await made.execute(call(2))
        await made.clock.advance(0.5)
        with pytest.raises(RateLimitReached) as raised:
            await made.execute(call(3))
        assert raised.value.message == "crm: at its limit of 0.5 calls a second; the next may go in 1.5 s"
        assert raised.value.retry_after_s == 1.5
        assert made.calls == (2, 0)
        assert made.circuit(ProtocolName.GRAPHQL).consecutive_failures == 0
        now = made.upstream.status().rate
        assert now is not None
        assert (now.left, now.waiting, now.refused, now.shared) == (0.25, 0, 1, None)
        await made.clock.advance(1.5)
        await made.execute(call(3))


async def test_both_protocols_take_from_one_bucket() -> None:
    async with rig(rate=RatePolicy(capacity=1, per_s=1)) as made:
        await made.execute(ask_one(1, declared=REST_ONLY))
        with pytest.raises(RateLimitReached):
            await made.execute(ask_one(2, declared=ONE))
        rate = made.upstream.status().rate
        assert rate is not None
        assert rate.refused == 1, "REST was not asked for a token that GraphQL did not get"


async def test_calls_that_may_wait_go_in_order_as_tokens_come() -> None:
    async with rig(rate=RatePolicy(capacity=1, per_s=1, wait_s=3)) as made:
        await made.execute(call(0))
        tasks = [made.start(call(n)) for n in range(1, 5)]
        await waiting(made, 3)
        with pytest.raises(RateLimitReached, match=r"in 4\.0 s"):
            await tasks[3]  # it would have to wait too long, and does not wait for that to come true
        for done in range(1, 4):
            await made.clock.advance(1)
            await tasks[done - 1]
            assert made.calls == (1 + done, 0)
            assert not any(task.done() for task in tasks[done:3])


async def test_a_call_does_not_wait_for_a_token_that_comes_after_its_deadline() -> None:
    async with rig(rate=RatePolicy(capacity=1, per_s=1, wait_s=10)) as made:
        await made.execute(call(0))
        with pytest.raises(RateLimitReached):
            await made.execute(call(1, deadline=made.clock.now() + 0.9))


async def test_who_stands_behind_one_that_hangs_up_moves_up() -> None:
    async with rig("httpx", rate=RatePolicy(capacity=1, per_s=1, wait_s=5)) as made:
        await made.execute(call(0))
        tasks = [made.start(call(n)) for n in range(1, 5)]
        await waiting(made, 4)
        tasks[0].cancel()  # it has its turn
        tasks[2].cancel()  # it waits for it
        await asyncio.wait([tasks[0], tasks[2]])
        await waiting(made, 2)
        await made.clock.advance(1)
        await tasks[1]
        assert not tasks[3].done()
        await made.clock.advance(1)
        await tasks[3]
        await waiting(made, 0)


async def test_a_token_is_not_spent_on_a_call_that_finds_no_place() -> None:
    async with rig(rate=RatePolicy(capacity=2, per_s=0.001), concurrency=ConcurrencyPolicy(limit=1, queue=0)) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        first = made.start(call(1))
        await made.script.graphql.wait_for_calls(1)
        for number in range(2, 6):
            with pytest.raises(Exception, match="concurrent calls"):
                await made.execute(call(number))
        hanging.release()
        await first
        await made.execute(call(2))
