import asyncio
import dataclasses
from collections import deque
from math import inf
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from clients.call import Answer, Call, ProtocolName, Served, ServedBy
from clients.errors import (
    AttemptTimeout,
    CircuitOpen,
    ConnectFailed,
    DeadlineExceeded,
    MalformedResponse,
    RateLimited,
    Rejected,
    ServerFailed,
    UpstreamError,
)
from clients.hooks import GaveUp, NoHooks
from clients.operation import Operation, operation
from clients.policy import BreakerPolicy, BudgetPolicy, HedgePolicy, RetryPolicy
from clients.stages.retry import Retry, RetryFigures
from clients.state.retry_budget import RetryBudget
from tests.clients.support import (
    CALLER,
    GRAPHQL_ONLY,
    REST_ONLY,
    TOUCH,
    WIRES,
    Customer,
    Rig,
    ask_one,
    customer,
    rig,
)
from tests.testkit.clock import ManualClock
from tests.testkit.upstream import Behaviour, errors, hang, malformed, reset, sequence, status

GRAPHQL = ProtocolName.GRAPHQL
THREE = RetryPolicy(attempts=3, backoff_s=1, max_backoff_s=10)
CALL = ask_one(declared=GRAPHQL_ONLY)


async def run(made: Rig, call: Call = CALL) -> tuple[Answer | UpstreamError, list[float]]:
    """The call's end, and how long each backoff was; time is moved just as far as the call waits."""
    task, waits = made.start(call), []
    for _ in range(20):
        while not task.done() and not made.clock.sleepers:
            await made.clock.settle()
        if task.done():
            break
        waits.append(made.clock.sleepers[0])
        await made.clock.advance(waits[-1])
    try:
        return await task, waits
    except UpstreamError as error:
        return error, waits


@pytest.mark.parametrize("wire", WIRES)
async def test_a_transient_failure_is_tried_again_until_it_succeeds(wire: str) -> None:
    async with rig(wire, retry=THREE) as made:
        made.script.graphql.behave(sequence(status(503), reset()))
        answer, waits = await run(made)
        assert isinstance(answer, Answer)
        assert answer.value == customer(1)
        assert not answer.served.degraded
        assert made.calls == (3, 0)
        assert 0 <= waits[0] <= 1
        assert 0 <= waits[1] <= 2


async def test_the_last_error_is_given_when_no_attempt_succeeds() -> None:
    async with rig(retry=THREE) as made:
        made.script.graphql.behave(sequence(status(503), status(502), status(500)))
        error, waits = await run(made)
        assert isinstance(error, ServerFailed)
        assert "500" in error.message
        assert (made.calls, len(waits)) == ((3, 0), 2)


@pytest.mark.parametrize(
    "behaviour",
    [malformed(), status(400), status(505), errors("no", code="BAD_USER_INPUT"), errors("x", code="INTERNAL_ERROR")],
)
async def test_what_would_fail_again_is_tried_once(behaviour: object) -> None:
    async with rig(retry=THREE) as made:
        made.script.graphql.behave(behaviour)  # type: ignore[arg-type]
        error, waits = await run(made)
        assert isinstance(error, MalformedResponse | Rejected | ServerFailed)
        assert (made.calls, waits) == ((1, 0), [])


async def test_a_mutation_is_sent_once_whatever_happens() -> None:
    async with rig(retry=THREE) as made:
        made.script.graphql.behave(status(503))
        error, waits = await run(made, ask_one(declared=TOUCH))
        assert isinstance(error, ServerFailed)
        assert (made.calls, waits) == ((1, 0), [])


@pytest.mark.parametrize("protocol", ProtocolName)
async def test_every_attempt_has_the_ids_of_the_request_and_counts(protocol: ProtocolName) -> None:
    async with rig(retry=THREE) as made:
        endpoint = made.script.graphql if protocol is GRAPHQL else made.script.rest
        endpoint.behave(sequence(status(503), status(503)))
        await run(made, ask_one(declared=GRAPHQL_ONLY if protocol is GRAPHQL else REST_ONLY))
        headers = [call.headers for call in endpoint.calls]
        assert {h["x-request-id"] for h in headers} == {"request-1"}
        assert {h["x-correlation-id"] for h in headers} == {"correlation-1"}
        assert [h.get("x-retry-attempt") for h in headers] == [None, "1", "2"]


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_honoured_to_the_second(code: int) -> None:
    async with rig(retry=THREE) as made:
        made.script.graphql.behave(sequence(status(code, headers={"retry-after": "4"})))
        answer, waits = await run(made)
        assert isinstance(answer, Answer)
        assert waits == [4.0]


async def test_a_date_is_honoured_too() -> None:
    async with rig(retry=THREE) as made:
        made.script.graphql.behave(sequence(status(503, headers={"retry-after": "Thu, 01 Jan 2026 00:00:07 GMT"})))
        assert (await run(made))[1] == [7.0]


@pytest.mark.parametrize("asked", ["-1", "86400", "11", "inf"])
async def test_a_negative_or_absurd_retry_after_means_no_retry(asked: str) -> None:
    async with rig(retry=THREE) as made:
        made.script.graphql.behave(status(429, headers={"retry-after": asked}))
        error, waits = await run(made)
        assert isinstance(error, RateLimited)
        assert (made.calls, waits) == ((1, 0), [])


async def test_a_retry_after_beyond_the_deadline_fails_now_and_one_within_it_is_honoured() -> None:
    async with rig(retry=THREE) as made:
        made.script.graphql.behave(status(503, headers={"retry-after": "20"}))
        soon = replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 20))
        error, waits = await run(made, soon)
        assert isinstance(error, ServerFailed)
        assert (made.calls, waits) == ((1, 0), [])
        made.script.graphql.behave(sequence(status(503, headers={"retry-after": "20"})))
        later = replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 21))
        assert (await run(made, later))[1] == [20.0]


async def test_a_deadline_nearer_than_the_backoff_fails_now() -> None:
    async with rig(retry=RetryPolicy(attempts=3, backoff_s=1000, max_backoff_s=1000)) as made:
        made.script.graphql.behave(status(503))
        call = replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 0.001))
        error, waits = await run(made, call)
        assert isinstance(error, ServerFailed)
        assert (made.calls, waits) == ((1, 0), [])


async def test_a_timed_out_attempt_is_tried_again() -> None:
    async with rig("httpx", retry=THREE, timeout_s=5) as made:
        made.script.graphql.behave(sequence(hang()))
        task = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(5)
        await made.clock.wait_for_sleepers(1)
        await made.clock.advance(1)
        assert (await task).value == customer(1)
        assert [event.error for event in made.hooks.attempts] == ["UPSTREAM_TIMEOUT", None]


async def test_an_attempt_is_cut_by_its_timeout_and_by_a_nearer_deadline() -> None:
    async with rig("httpx", timeout_s=5) as made:
        made.script.graphql.behave(hang())
        attempt = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(4.9)
        assert not attempt.done()
        await made.clock.advance(0.1)
        with pytest.raises(AttemptTimeout, match=r"crm: customerByGraphQL: no answer within 5 s"):
            await attempt
        await made.script.graphql.calls[0].wait_for_hang_up()
        soon = made.start(replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 2)))
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(2)
        with pytest.raises(DeadlineExceeded, match="no answer before the request's deadline"):
            await soon
        await made.script.graphql.calls[1].wait_for_hang_up()


async def test_a_mutation_is_cut_by_the_deadline_and_not_tried_elsewhere() -> None:
    async with rig("httpx", timeout_s=5) as made:
        made.script.graphql.behave(hang())
        call = replace(ask_one(declared=TOUCH), caller=replace(CALLER, deadline=made.clock.now() + 2))
        task = made.start(call)
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(2)
        with pytest.raises(DeadlineExceeded, match="touch: no answer before the request's deadline"):
            await task
        assert made.calls == (1, 0)


async def test_a_call_whose_deadline_has_passed_is_not_begun() -> None:
    async with rig() as made:
        for declared in (GRAPHQL_ONLY, TOUCH):
            call = ask_one(declared=declared, caller=replace(CALLER, deadline=made.clock.now()))
            with pytest.raises(DeadlineExceeded, match="passed before the call was made"):
                await made.execute(call)
        assert made.calls == (0, 0)


async def test_a_refusal_by_the_circuit_is_not_tried_again() -> None:
    async with rig(retry=THREE, breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(status(505))
        await run(made)
        error, waits = await run(made)
        assert isinstance(error, CircuitOpen)
        assert waits == []


async def test_attempts_that_open_the_circuit_report_what_opened_it() -> None:
    async with rig(retry=THREE, breaker=BreakerPolicy(failures=2)) as made:
        made.script.graphql.behave(status(503))
        error, waits = await run(made)
        assert isinstance(error, ServerFailed)
        assert isinstance(error.__cause__, CircuitOpen)
        assert (made.calls, len(waits)) == ((2, 0), 2)


async def test_refused_connections_are_tried_again() -> None:
    async with rig(retry=THREE) as made:
        await made.script.refuse()
        error, waits = await run(made)
        assert isinstance(error, ConnectFailed)
        assert len(waits) == 2
        await made.script.listen()


class Instant(ManualClock):
    """A clock on which sleeping takes no time, and is written down."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)


def retrying(policy: RetryPolicy, clock: ManualClock, random: Random) -> Retry:
    budget = RetryBudget(policy.budget, now=clock.now())
    return Retry(policy, GRAPHQL, budget=budget, figures=RetryFigures(), hooks=NoHooks(), clock=clock, random=random)


async def test_backoff_is_full_jitter_under_a_bound_that_doubles_up_to_its_cap() -> None:
    clock, random = Instant(), Random(5)
    stage = retrying(RetryPolicy(attempts=6, backoff_s=1, max_backoff_s=6, budget=None), clock, random)
    for _ in range(300):
        outcomes = deque([ServerFailed("crm", "down", transient=True)] * 5)

        async def inner(call: Call, outcomes: deque[ServerFailed] = outcomes) -> Answer:
            assert call.attempt == 6 - len(outcomes)
            if outcomes:
                raise outcomes.popleft()
            return Answer(1, Served(ServedBy.REST))

        await stage(CALL, inner)
    for number, bound in enumerate([1, 2, 4, 6, 6]):
        waits = clock.slept[number::5]
        assert min(waits) >= 0
        assert max(waits) <= bound
        assert min(waits) < 0.05 * bound
        assert max(waits) > 0.95 * bound, "from nothing to the bound: full jitter"


async def test_a_wait_without_end_is_never_slept() -> None:
    clock = Instant()
    stage = retrying(THREE, clock, Random(1))

    async def inner(_: Call) -> Answer:
        raise RateLimited("crm", "slow down", retry_after_s=inf)

    with pytest.raises(RateLimited):
        await stage(CALL, inner)
    assert clock.slept == []


OTHERS = [replace(CALLER, user=str(n)) for n in range(500)]  # callers who share no flight


@pytest.mark.parametrize("protocol", ProtocolName)
async def test_when_everything_fails_500_calls_become_600_attempts_and_the_floor(protocol: ProtocolName) -> None:
    clock = Instant()
    alone: dict[str, Any] = {"rest": None} if protocol is GRAPHQL else {"graphql": None}
    async with rig(retry=THREE, breaker=BreakerPolicy(failures=10_000), pipeline_clock=clock, **alone) as made:
        declared = GRAPHQL_ONLY if protocol is GRAPHQL else REST_ONLY
        endpoint = made.script.graphql if protocol is GRAPHQL else made.script.rest
        endpoint.behave(status(503))
        calls = (made.execute(ask_one(declared=declared, caller=caller)) for caller in OTHERS)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ServerFailed}  # as it is, whatever kept it from a retry
        floor = 10  # ten seconds of min_per_s
        assert 500 < len(endpoint.calls) <= 1.2 * 500 + floor
        retries = made.upstream.status().retries
        assert (retries.calls, retries.attempts, retries.retries) == (500, len(endpoint.calls), len(clock.slept))
        assert retries.balance is not None
        assert retries.balance < 1
        assert retries.waited_s == pytest.approx(sum(clock.slept))
        given_up = [event.gave_up for event in made.hooks.retries]
        assert given_up.count(GaveUp.BUDGET) == retries.refused > 0
        assert given_up.count(None) == retries.retries


async def test_each_protocol_of_a_service_has_a_budget() -> None:
    policy = RetryPolicy(attempts=9, backoff_s=1, max_backoff_s=10, budget=BudgetPolicy(ratio=0.5, min_per_s=0.1))
    async with rig(retry=policy, pipeline_clock=Instant()) as made:
        for endpoint in (made.script.graphql, made.script.rest):
            endpoint.behave(status(503))
        await run(made, ask_one())
        assert made.calls == (2, 2), "1 to begin with and 0.5 for the call pay for a retry"
        await run(made, ask_one())
        assert made.calls == (4, 4), "the rest and 0.5 for the call pay for another"
        retries = made.upstream.status().retries
        assert (retries.calls, retries.attempts, retries.balance) == (4, 8, 0)


async def test_a_budget_comes_back_with_time() -> None:
    policy = RetryPolicy(attempts=2, backoff_s=1, max_backoff_s=10, budget=BudgetPolicy(ratio=0, min_per_s=0.1))
    async with rig(retry=policy) as made:
        made.script.graphql.behave(status(503))
        assert [len((await run(made))[1]) for _ in range(2)] == [1, 0]
        await made.clock.advance(10)
        assert len((await run(made))[1]) == 1


async def test_without_a_budget_every_attempt_is_made() -> None:
    policy = RetryPolicy(attempts=3, backoff_s=1, max_backoff_s=10, budget=None)
    async with rig(retry=policy, breaker=BreakerPolicy(failures=10_000), pipeline_clock=Instant()) as made:
        made.script.graphql.behave(status(503))
        calls = (made.execute(ask_one(declared=GRAPHQL_ONLY, caller=caller)) for caller in OTHERS[:50])
        await asyncio.gather(*calls, return_exceptions=True)
        assert made.calls == (150, 0)
        assert made.upstream.status().retries.balance is None


PUT = operation("crm", "put", row=Customer, rest="POST /customers/{id}/touch", idempotent=True)


@pytest.mark.parametrize("call", [ask_one(declared=PUT), replace(ask_one(declared=TOUCH), idempotency_key="key-1")])
async def test_an_idempotent_mutation_and_one_with_a_key_are_tried_again(call: Call) -> None:
    async with rig(retry=THREE) as made:
        for endpoint in (made.script.graphql, made.script.rest):
            endpoint.behave(sequence(status(503), status(503)))
        answer, waits = await run(made, call)
        assert isinstance(answer, Answer)
        assert len(waits) == 2
        keys = [c.headers.get("idempotency-key") for c in (*made.script.graphql.calls, *made.script.rest.calls)]
        assert keys == [call.idempotency_key] * 3


@pytest.mark.parametrize("behaviour", [status(503), status(429), reset(), status(408)])
@pytest.mark.parametrize("declared", [TOUCH, dataclasses.replace(TOUCH, graphql=None)])
async def test_a_plain_mutation_is_sent_once_whatever_happens(behaviour: Behaviour, declared: Operation) -> None:
    async with rig(retry=THREE, hedge=HedgePolicy(after_s=0.1)) as made:
        for endpoint in (made.script.graphql, made.script.rest):
            endpoint.behave(behaviour)
        error, waits = await run(made, ask_one(declared=declared))
        assert isinstance(error, UpstreamError)
        assert (sum(made.calls), waits) == (1, [])
        assert [event.gave_up for event in made.hooks.retries] == [GaveUp.NOT_REPEATABLE]


async def test_a_hanging_mutation_is_neither_hedged_nor_sent_again() -> None:
    async with rig("httpx", retry=THREE, hedge=HedgePolicy(after_s=0.1), timeout_s=5) as made:
        made.script.graphql.behave(hang())
        task = made.start(ask_one(declared=TOUCH))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(5)
        with pytest.raises(AttemptTimeout):
            await task
        assert made.calls == (1, 0)


@pytest.mark.parametrize(("code", "attempts"), [(503, 1), (500, 1), (429, 1), (507, 3), (408, 3)])
@pytest.mark.parametrize("declared", [GRAPHQL_ONLY, REST_ONLY])
async def test_the_statuses_worth_another_attempt_are_the_services(
    declared: Operation, code: int, attempts: int
) -> None:
    policy = RetryPolicy(attempts=3, backoff_s=1, max_backoff_s=10, statuses=(507, 408))
    async with rig(retry=policy) as made:
        for endpoint in (made.script.graphql, made.script.rest):
            endpoint.behave(status(code))
        await run(made, ask_one(declared=declared))
        assert sum(made.calls) == attempts


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("declared", [GRAPHQL_ONLY, REST_ONLY])
async def test_by_default_these_are(declared: Operation, code: int) -> None:
    async with rig(retry=THREE) as made:
        for endpoint in (made.script.graphql, made.script.rest):
            endpoint.behave(sequence(status(code)))
        assert isinstance((await run(made, ask_one(declared=declared)))[0], Answer)


async def test_the_hooks_are_told_what_follows_on_each_failed_attempt() -> None:
    async with rig(retry=RetryPolicy(attempts=2, backoff_s=1, max_backoff_s=10)) as made:
        made.script.graphql.behave(status(503))
        _, (wait,) = await run(made)
        first, last = made.hooks.retries
        assert (first.protocol, first.call.attempt, first.error) == (GRAPHQL, 1, "UPSTREAM_SERVER_ERROR")
        assert first.delay_s == pytest.approx(wait)
        assert first.gave_up is None
        assert (last.call.attempt, last.delay_s, last.gave_up) == (2, None, GaveUp.ATTEMPTS)


@pytest.mark.parametrize(
    ("behaviour", "left_s", "why"),
    [
        (status(505), 60, GaveUp.NOT_TRANSIENT),
        (status(429, headers={"retry-after": "-1"}), 60, GaveUp.RETRY_AFTER),
        (status(503, headers={"retry-after": "61"}), 60, GaveUp.RETRY_AFTER),
        (status(503, headers={"retry-after": "Thu, 01 Jan 2026 00:02:00 GMT"}), 60, GaveUp.RETRY_AFTER),
        (status(503), 0.0001, GaveUp.DEADLINE),
    ],
)
async def test_the_hooks_are_told_why_there_is_no_further_attempt(
    behaviour: Behaviour, left_s: float, why: GaveUp
) -> None:
    async with rig(retry=THREE) as made:
        made.script.rest.behave(behaviour)
        caller = replace(CALLER, deadline=made.clock.now() + left_s)
        _, waits = await run(made, ask_one(declared=REST_ONLY, caller=caller))
        assert ([event.gave_up for event in made.hooks.retries], waits) == ([why], [])


async def test_the_hooks_are_told_of_a_circuit_that_opens_between_attempts_and_nothing_of_one_that_is_open() -> None:
    async with rig(retry=THREE, breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(status(503))
        await run(made)
        assert [event.gave_up for event in made.hooks.retries] == [None, GaveUp.CIRCUIT]
        await run(made)
        assert len(made.hooks.retries) == 2


async def test_a_call_that_the_circuit_refuses_is_no_attempt_and_earns_nothing() -> None:
    async with rig(retry=THREE, breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(status(503))
        for _ in range(3):
            await run(made)
        retries = made.upstream.status().retries
        assert (retries.calls, retries.attempts, retries.retries, made.calls) == (1, 1, 0, (1, 0))


async def test_a_caller_who_leaves_during_a_backoff_ends_it() -> None:
    async with rig(retry=THREE) as made:
        made.script.graphql.behave(status(503))
        task = made.start(CALL)
        await made.clock.wait_for_sleepers(1)
        task.cancel()
        await asyncio.wait([task])
        await made.clock.advance(60)
        assert task.cancelled()
        assert made.calls == (1, 0)
