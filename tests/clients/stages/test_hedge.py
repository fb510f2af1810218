"""A second attempt beside a slow first one: who wins, who pays, and that nobody is left behind."""

import asyncio

import pytest
from msgspec.structs import replace

from clients.call import Answer, Call, ProtocolName
from clients.errors import ConnectionLost, DeadlineExceeded, Rejected, ServerFailed
from clients.policy import BreakerPolicy, BudgetPolicy, HedgePolicy, RetryPolicy
from tests.clients.support import CALLER, GRAPHQL_ONLY, REST_ONLY, TOUCH, Rig, ask_one, customer, rig
from tests.testkit.upstream import Behaviour, Exchange, hang, ok, reset, sequence, status

GRAPHQL = ProtocolName.GRAPHQL
HEDGED = HedgePolicy(after_s=0.5)
CALL = ask_one(declared=GRAPHQL_ONLY)


async def hedged(made: Rig, call: Call = CALL, *, calls: int = 2) -> "asyncio.Task[Answer]":
    """A call that is silent until further attempts have started."""
    task = made.start(call)
    for number in range(1, calls):
        await made.script.graphql.wait_for_calls(number)
        await made.clock.advance(0.5)
    await made.script.graphql.wait_for_calls(calls)
    return task


async def test_the_second_attempt_answers_and_the_first_is_ended_without_a_trace_on_the_circuit() -> None:
    async with rig("httpx", hedge=HEDGED) as made:
        made.script.graphql.behave(sequence(hang()))
        answer = await (await hedged(made))
        assert answer.value == customer(1)
        assert not answer.served.degraded
        first, second = made.script.graphql.calls
        await first.wait_for_hang_up()
        assert [call.headers.get("x-hedge") for call in (first, second)] == [None, "1"]
        assert [call.headers.get("x-retry-attempt") for call in (first, second)] == [None, None]
        assert {call.headers["x-request-id"] for call in (first, second)} == {"request-1"}
        assert (made.circuit(GRAPHQL).failure_rate, made.circuit(GRAPHQL).consecutive_failures) == (0.0, 0)
        assert [(event.call.hedge, event.error) for event in made.hooks.attempts] == [(1, None)]
        retries = made.upstream.status().retries
        assert (retries.attempts, retries.retries, retries.hedges, retries.hedges_won) == (2, 0, 1, 1)


async def test_the_first_attempt_may_still_win_and_the_second_has_ended_before_the_answer_is_given() -> None:
    async with rig("httpx", hedge=HEDGED) as made:
        first, second = hang(), hang()
        made.script.graphql.behave(sequence(first, second))
        task = await hedged(made)
        first.release()
        assert (await task).value == customer(1)
        await made.script.graphql.calls[1].wait_for_hang_up()
        retries = made.upstream.status().retries
        assert (retries.hedges, retries.hedges_won) == (1, 0)


async def test_a_quick_answer_is_not_hedged() -> None:
    async with rig(hedge=HEDGED) as made:
        assert (await made.execute(CALL)).value == customer(1)
        await made.clock.advance(60)
        assert made.calls == (1, 0)
        assert made.clock.timeouts == ()


async def test_a_first_attempt_that_fails_soon_is_the_retrys_business() -> None:
    async with rig(hedge=HEDGED, retry=RetryPolicy(attempts=2, backoff_s=1)) as made:
        made.script.graphql.behave(sequence(status(503)))
        task = made.start(CALL)
        await made.clock.wait_for_sleepers(1)
        await made.clock.advance(1)
        assert (await task).value == customer(1)
        assert [call.headers.get("x-hedge") for call in made.script.graphql.calls] == [None, None]
        assert made.upstream.status().retries.hedges == 0


async def test_a_retry_is_hedged_as_a_first_attempt_is() -> None:
    async with rig("httpx", hedge=HEDGED, retry=RetryPolicy(attempts=2, backoff_s=1)) as made:
        made.script.graphql.behave(sequence(status(503), hang()))
        task = made.start(CALL)
        await made.clock.wait_for_sleepers(1)
        await made.clock.advance(1)
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(0.5)
        assert (await task).value == customer(1)
        headers = [call.headers for call in made.script.graphql.calls]
        assert [(h.get("x-retry-attempt"), h.get("x-hedge")) for h in headers] == [
            (None, None),
            ("1", None),
            ("1", "1"),
        ]


class Released:
    """Behaves like another behaviour, once it is told to."""

    def __init__(self, then: Behaviour) -> None:
        self.then = then
        self.go = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> object:
        await self.go.wait()
        return await self.then(exchange)


async def test_a_first_attempt_that_fails_beside_its_hedge_leaves_it_the_answer() -> None:
    async with rig("httpx", hedge=HEDGED) as made:
        first, second = Released(reset()), Released(ok())
        made.script.graphql.behave(sequence(first, second))  # type: ignore[arg-type]
        task = await hedged(made)
        first.go.set()
        await made.clock.settle()
        second.go.set()
        assert (await task).value == customer(1)
        assert made.upstream.status().retries.hedges_won == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_when_both_fail_the_error_is_the_first_ones(order: tuple[int, int]) -> None:
    async with rig("httpx", hedge=HEDGED) as made:
        attempts = Released(reset()), Released(status(503))
        made.script.graphql.behave(sequence(*attempts))  # type: ignore[arg-type]
        task = await hedged(made)
        for number in order:
            attempts[number].go.set()
            await made.script.graphql.wait_until_idle() if number == order[1] else await made.clock.settle()
        with pytest.raises(ConnectionLost):
            await task
        assert made.circuit(GRAPHQL).consecutive_failures == 2


async def test_a_refusal_of_the_first_is_an_answer_and_ends_the_hedge() -> None:
    async with rig("httpx", hedge=HEDGED) as made:
        first = Released(status(403))
        made.script.graphql.behave(sequence(first, hang()))  # type: ignore[arg-type]
        task = await hedged(made)
        first.go.set()
        with pytest.raises(Rejected):
            await task
        await made.script.graphql.calls[1].wait_for_hang_up()


async def test_a_hedge_that_the_circuit_refuses_leaves_the_first_alone() -> None:
    async with rig("httpx", hedge=HEDGED, breaker=BreakerPolicy(failures=1, open_s=10)) as made:
        made.script.graphql.behave(sequence(status(500)))
        with pytest.raises(ServerFailed):
            await made.execute(CALL)
        await made.clock.advance(12)  # half-open: one probe
        probe = hang()
        made.script.graphql.behave(probe)
        task = made.start(CALL)
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(0.5)
        probe.release()
        assert (await task).value == customer(1)
        assert made.calls == (2, 0)


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_there_are_no_more_than_max_and_the_last_may_win(most: int) -> None:
    async with rig("httpx", hedge=HedgePolicy(after_s=0.5, max=most), timeout_s=10) as made:
        hanging = [hang() for _ in range(most + 1)]
        made.script.graphql.behave(sequence(*hanging))
        task = await hedged(made, calls=most + 1)
        await made.clock.advance(5)
        assert made.calls == (most + 1, 0)
        hanging[-1].release()
        assert (await task).value == customer(1)
        assert made.upstream.status().retries.hedges_won == 1


async def test_the_budget_pays_and_without_it_the_first_is_waited_for() -> None:
    retry = RetryPolicy(attempts=1, budget=BudgetPolicy(ratio=0, min_per_s=0.1))
    async with rig("httpx", hedge=HEDGED, retry=retry) as made:
        made.script.graphql.behave(sequence(hang()))
        await (await hedged(made))
        made.script.graphql.forget()
        slow = hang()
        made.script.graphql.behave(slow)
        task = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(4)
        assert made.calls == (1, 0)
        slow.release()
        assert (await task).value == customer(1)
        assert made.upstream.status().retries.refused == 1


@pytest.mark.parametrize("hedges", [0, 1])
async def test_a_caller_who_leaves_ends_every_attempt_and_gives_the_permits_back(hedges: int) -> None:
    async with rig("httpx", hedge=HEDGED, breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(hang())
        task = await hedged(made, calls=1 + hedges)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        for call in made.script.graphql.calls:
            await call.wait_for_hang_up()
        assert made.circuit(GRAPHQL).failure_rate is None
        assert len(made.clock.timeouts) == 1  # the one that all attempts share


async def test_the_deadline_ends_both() -> None:
    async with rig("httpx", hedge=HEDGED) as made:
        made.script.graphql.behave(hang())
        task = await hedged(made, replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 2)))
        await made.clock.advance(1.5)
        with pytest.raises(DeadlineExceeded):
            await task
        for call in made.script.graphql.calls:
            await call.wait_for_hang_up()


async def test_a_mutation_is_never_hedged_also_with_a_key() -> None:
    async with rig("httpx", hedge=HEDGED) as made:
        slow = hang()
        made.script.graphql.behave(slow)
        task = made.start(replace(ask_one(declared=TOUCH), idempotency_key="key-1"))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(4)
        slow.release()
        await task
        assert made.calls == (1, 0)


async def test_rest_is_hedged_too() -> None:
    async with rig("httpx", hedge=HEDGED) as made:
        made.script.rest.behave(sequence(hang()))
        task = made.start(ask_one(declared=REST_ONLY))
        await made.script.rest.wait_for_calls(1)
        await made.clock.advance(0.5)
        assert (await task).value == customer(1)
        assert [call.headers.get("x-hedge") for call in made.script.rest.calls] == [None, "1"]
