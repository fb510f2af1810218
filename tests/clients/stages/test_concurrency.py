"""Places around real calls: who gets one, who waits, who is refused, and what the circuit hears of it."""

import asyncio

import pytest
from msgspec.structs import replace

from clients.call import Call, ProtocolName, ServedBy
from clients.errors import ConcurrencyLimitReached, DeadlineExceeded, ServerFailed
from clients.policy import BreakerPolicy, CachePolicy, ConcurrencyPolicy, RetryPolicy
from clients.state.circuit import State
from tests.clients.support import CALLER, GRAPHQL_ONLY, ONE, REST_ONLY, WIRES, ask_one, rig
from tests.testkit.upstream import hang, status


def call(number: int, deadline: float | None = None) -> Call:
    """Calls that share no flight."""
    return ask_one(number, declared=GRAPHQL_ONLY, caller=replace(CALLER, deadline=deadline))


@pytest.mark.parametrize("wire", WIRES)
async def test_past_limit_and_queue_a_call_is_refused_at_once_and_the_circuit_hears_nothing(wire: str) -> None:
    limits = ConcurrencyPolicy(limit=2, queue=3)
    async with rig(wire, concurrency=limits, breaker=BreakerPolicy(failures=1), retry=RetryPolicy(attempts=3)) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        tasks = [made.start(call(n)) for n in range(5)]
        await made.script.graphql.wait_for_calls(2)
        with pytest.raises(ConcurrencyLimitReached) as raised:
            await made.execute(call(5))
        assert raised.value.message == "crm: at its limit of concurrent calls: 2 calls are under way and 3 wait"
        now = made.upstream.status().concurrency
        assert (now.limit, now.in_flight, now.queued, now.refused) == (2, 2, 3, 1)
        hanging.release()
        await asyncio.gather(*tasks)
        assert made.script.graphql.peak == 2
        assert made.circuit(ProtocolName.GRAPHQL).consecutive_failures == 0
        assert made.upstream.status().concurrency.in_flight == 0


async def test_without_a_limit_of_its_own_a_service_has_as_many_places_as_connections() -> None:
    async with rig(max_connections=7) as made:
        assert made.upstream.status().concurrency.limit == 7


async def test_having_too_few_places_is_no_timeout_of_the_upstream() -> None:
    policy = ConcurrencyPolicy(limit=1, wait_s=10)
    async with rig(timeout_s=5, concurrency=policy, breaker=BreakerPolicy(failures=2)) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        first, second = made.start(call(1)), made.start(call(2))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(4)
        hanging.release()
        await first
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(4)  # 8 s in all, but 4 of its own
        await second
        assert made.circuit(ProtocolName.GRAPHQL).failure_rate == 0


async def test_a_call_waits_as_long_as_it_may_and_no_longer() -> None:
    async with rig(concurrency=ConcurrencyPolicy(limit=1, wait_s=1)) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        first, second = made.start(call(1)), made.start(call(2))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(1)
        with pytest.raises(ConcurrencyLimitReached, match="none of 1 calls under way ended within 1 s"):
            await second
        hanging.release()
        await first
        assert made.upstream.status().concurrency.in_flight == 0


async def test_a_deadline_that_comes_while_waiting_is_the_requests_affair() -> None:
    async with rig(concurrency=ConcurrencyPolicy(limit=1, wait_s=1)) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        first = made.start(call(1))
        second = made.start(call(2, deadline=made.clock.now() + 0.5))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(0.5)
        with pytest.raises(DeadlineExceeded, match="no place before the request's deadline"):
            await second
        assert made.upstream.status().concurrency.refused == 0
        hanging.release()
        await first


async def test_both_protocols_share_the_places_and_a_refusal_is_not_asked_for_again_over_rest() -> None:
    async with rig(concurrency=ConcurrencyPolicy(limit=1, queue=0)) as made:
        hanging = hang()
        made.script.rest.behave(hanging)
        first = made.start(ask_one(1, declared=REST_ONLY))
        await made.script.rest.wait_for_calls(1)
        with pytest.raises(ConcurrencyLimitReached):
            await made.execute(ask_one(2, declared=ONE))
        assert made.upstream.status().concurrency.refused == 1
        hanging.release()
        await first


async def test_a_refused_call_is_answered_with_what_was_kept() -> None:
    async with rig(concurrency=ConcurrencyPolicy(limit=1, queue=0), cache=CachePolicy()) as made:
        await made.execute(call(1))
        hanging = hang()
        made.script.graphql.behave(hanging)
        other = made.start(call(2))
        await made.script.graphql.wait_for_calls(2)
        answer = await made.execute(call(1))
        assert (answer.served.by, answer.served.reason) == (ServedBy.STALE, "CONCURRENCY_LIMIT_REACHED")
        hanging.release()
        await other


async def test_a_probe_that_is_refused_here_leaves_the_circuit_half_open() -> None:
    breaker = BreakerPolicy(failures=1, open_s=1)
    async with rig(concurrency=ConcurrencyPolicy(limit=1, queue=0), breaker=breaker) as made:
        made.script.graphql.behave(status(500))
        with pytest.raises(ServerFailed):
            await made.execute(call(1))
        made.script.graphql.heal()
        hanging = hang()
        made.script.rest.behave(hanging)
        other = made.start(ask_one(1, declared=REST_ONLY))
        await made.script.rest.wait_for_calls(1)
        await made.clock.advance(2)
        with pytest.raises(ConcurrencyLimitReached):
            await made.execute(call(2))
        assert made.circuit(ProtocolName.GRAPHQL).state is State.HALF_OPEN
        hanging.release()
        await other
        await made.execute(call(2))
        assert made.circuit(ProtocolName.GRAPHQL).state is State.CLOSED


async def test_what_the_upstream_said_says_more_than_a_refusal_of_a_later_attempt() -> None:
    limits = ConcurrencyPolicy(limit=1, queue=0)
    async with rig(concurrency=limits, retry=RetryPolicy(attempts=2, backoff_s=1)) as made:
        made.script.graphql.behave(status(503))
        task = made.start(call(1))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.wait_for_sleepers(1)
        hanging = hang()
        made.script.graphql.behave(hanging)
        other = made.start(call(2))
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(1)
        with pytest.raises(Exception, match="answered 503"):
            await task
        hanging.release()
        await other


async def test_clients_that_hang_up_while_waiting_leave_the_queue() -> None:
    async with rig("httpx", concurrency=ConcurrencyPolicy(limit=1, queue=100)) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        first = made.start(call(0))
        await made.script.graphql.wait_for_calls(1)
        waiting = [made.start(call(n)) for n in range(1, 101)]
        await made.clock.settle()
        assert made.upstream.status().concurrency.queued == 100
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await made.clock.settle()
        assert made.upstream.status().concurrency.queued == 0
        hanging.release()
        await first
        assert made.calls == (1, 0)


async def test_waiting_for_a_place_makes_no_call_slow() -> None:
    policy = ConcurrencyPolicy(limit=1, wait_s=60)
    async with rig("httpx", concurrency=policy, breaker=BreakerPolicy(slow_call_s=2), timeout_s=60.0) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        first = made.start(call(1))
        await made.script.graphql.wait_for_calls(1)
        second = made.start(call(2))
        await made.clock.advance(10)
        hanging.release()
        await asyncio.gather(first, second)
        assert made.circuit(ProtocolName.GRAPHQL).slow_rate == 0.5, "the one that was sent at once took ten seconds"
