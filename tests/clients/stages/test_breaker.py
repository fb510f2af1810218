"""The circuit around real calls: what counts, what is refused, and who gets to probe."""

import asyncio
from dataclasses import replace

import pytest

from clients.call import ProtocolName
from clients.errors import CircuitOpen, UpstreamError
from clients.policy import BreakerPolicy
from clients.state.circuit import State
from tests.clients.support import CALLER, GRAPHQL_ONLY, REST_ONLY, WIRES, Rig, ask_one, rig
from tests.testkit.upstream import Behaviour, errors, hang, malformed, reset, status

GRAPHQL, REST = ProtocolName.GRAPHQL, ProtocolName.REST
CALL = ask_one(declared=GRAPHQL_ONLY)


async def failed(made: Rig, times: int = 1) -> UpstreamError:
    for _ in range(times):
        with pytest.raises(UpstreamError) as raised:
            await made.execute(CALL)
    return raised.value


async def half_open(made: Rig, failures: int) -> None:
    made.script.graphql.behave(status(500))
    await failed(made, failures)
    at = made.circuit(GRAPHQL).next_probe_at
    assert at is not None
    await made.clock.advance(at - made.clock.now())
    assert made.circuit(GRAPHQL).state is State.HALF_OPEN
    made.script.graphql.forget()


@pytest.mark.parametrize("wire", WIRES)
async def test_past_the_threshold_calls_are_refused_without_touching_the_wire(wire: str) -> None:
    async with rig(wire, breaker=BreakerPolicy(failures=3, open_s=30)) as made:
        made.script.graphql.behave(status(500))
        await failed(made, 3)
        error = await failed(made, 5)
        assert isinstance(error, CircuitOpen)
        assert error.message.startswith("crm: the graphql circuit is open; next probe in ")
        assert error.retry_after_s == pytest.approx(30, rel=0.11)
        assert made.calls == (3, 0)
        status_now = made.circuit(GRAPHQL)
        assert (status_now.state, status_now.trips, status_now.refused) == (State.OPEN, 1, 5)
        failure = status_now.last_failure
        assert failure is not None
        assert (failure.code, failure.request_id) == ("UPSTREAM_SERVER_ERROR", "request-1")
        assert failure.message == "crm: GraphQL customerByGraphQL answered 500"


@pytest.mark.parametrize("probes", [1, 3])
@pytest.mark.parametrize("wire", WIRES)
async def test_of_fifty_callers_after_the_wait_exactly_the_configured_probes_reach_the_upstream(
    wire: str, probes: int
) -> None:
    policy = BreakerPolicy(failures=2, probes=probes, successes=probes)
    async with rig(wire, breaker=policy) as made:
        await half_open(made, 2)
        hanging = hang()
        made.script.graphql.behave(hanging)
        # a user each: callers that may share an answer would share one flight
        callers = [replace(CALLER, user=f"user {n}") for n in range(50)]
        tasks = [made.start(ask_one(declared=GRAPHQL_ONLY, caller=caller)) for caller in callers]
        await made.script.graphql.wait_for_calls(probes)
        done, waiting = await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 50 - probes:
            more, waiting = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        assert all(isinstance(task.exception(), CircuitOpen) for task in done)
        hanging.release()
        await asyncio.gather(*waiting)
        assert made.calls == (probes, 0)
        assert made.circuit(GRAPHQL).state is State.CLOSED


async def test_a_failed_probe_opens_the_circuit_for_longer() -> None:
    async with rig(breaker=BreakerPolicy(failures=2, open_s=10)) as made:
        await half_open(made, 2)
        await failed(made)
        now = made.circuit(GRAPHQL)
        assert now.state is State.OPEN
        assert now.next_probe_at is not None
        assert now.next_probe_at - made.clock.now() == pytest.approx(20, rel=0.11)


async def test_a_cancelled_probe_leaves_its_place_to_the_next_caller() -> None:
    async with rig("httpx", breaker=BreakerPolicy(failures=2)) as made:
        await half_open(made, 2)
        made.script.graphql.behave(hang())
        probe = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        probe.cancel()
        await asyncio.wait([probe])
        await made.clock.settle()
        assert made.circuit(GRAPHQL).state is State.HALF_OPEN
        made.script.graphql.heal()
        await made.execute(CALL)
        assert made.circuit(GRAPHQL).state is State.CLOSED


async def test_a_probe_that_hangs_opens_the_circuit_again() -> None:
    async with rig(timeout_s=100, breaker=BreakerPolicy(failures=2, probe_timeout_s=30)) as made:
        await half_open(made, 2)
        hanging = hang()
        made.script.graphql.behave(hanging)
        probe = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(30)
        assert made.circuit(GRAPHQL).state is State.OPEN
        hanging.release()
        await probe
        assert made.circuit(GRAPHQL).state is State.OPEN, "its success came too late"


async def test_clients_that_hang_up_by_the_hundred_leave_the_circuit_closed() -> None:
    async with rig("httpx", breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(hang())
        callers = [replace(CALLER, user=f"user {n}") for n in range(100)]
        tasks = [made.start(ask_one(declared=GRAPHQL_ONLY, caller=caller)) for caller in callers]
        await made.script.graphql.wait_for_calls(50)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await made.clock.settle()
        now = made.circuit(GRAPHQL)
        assert (now.state, now.consecutive_failures, now.failure_rate) == (State.CLOSED, 0, None)


async def test_a_requests_own_deadline_says_nothing_about_the_upstream() -> None:
    async with rig("httpx", breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(hang())
        task = made.start(replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 1)))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(1)
        await asyncio.wait([task])
        await made.clock.settle()
        assert made.circuit(GRAPHQL).failure_rate is None


@pytest.mark.parametrize(
    ("behaviour", "rate"),
    [
        (status(500), 1.0),
        (reset(), 1.0),
        (malformed(), 1.0),
        (errors("down", code="INTERNAL_SERVER_ERROR"), 1.0),
        (status(400), 0.0),
        (status(401), 0.0),
        (status(404), 0.0),
        (errors("no", code="BAD_USER_INPUT"), 0.0),
        (status(429), None),
    ],
)
async def test_failures_count_refusals_show_health_and_the_word_on_rate_is_neither(
    behaviour: Behaviour, rate: float | None
) -> None:
    async with rig() as made:
        made.script.graphql.behave(behaviour)
        await failed(made)
        assert made.circuit(GRAPHQL).failure_rate == rate


async def test_variables_that_do_not_fill_the_route_say_nothing_about_the_upstream() -> None:
    async with rig() as made:
        with pytest.raises(UpstreamError):
            await made.execute(ask_one("..", declared=REST_ONLY))
        assert made.circuit(REST).failure_rate is None
        assert made.circuit(REST).last_success_at is None


async def test_a_timed_out_attempt_counts() -> None:
    async with rig("httpx", timeout_s=5, breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(hang())
        task = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(5)
        await asyncio.wait([task])
        assert made.circuit(GRAPHQL).state is State.OPEN


async def test_slow_answers_open_the_circuit() -> None:
    policy = BreakerPolicy(slow_call_s=1, slow_rate=1.0, minimum_calls=2)
    async with rig(breaker=policy) as made:
        for _ in range(2):
            hanging = hang()
            made.script.graphql.behave(hanging)
            count = len(made.script.graphql.calls)
            task = made.start(CALL)
            await made.script.graphql.wait_for_calls(count + 1)
            await made.clock.advance(2)
            hanging.release()
            await task
        now = made.circuit(GRAPHQL)
        assert (now.state, now.slow_rate, now.failure_rate) == (State.OPEN, 1.0, 0.0)
