"""The circuit around real calls: what counts, what is refused, and who gets to probe."""

import asyncio
import gc
import weakref
from random import Random

import pytest
from msgspec.structs import replace

from clients.call import Answer, Call, ProtocolName, Served, ServedBy
from clients.errors import CircuitOpen, DeadlineExceeded, ServiceUnavailable, UpstreamError
from clients.policy import BreakerPolicy
from clients.stages.breaker import Breaker
from clients.state.circuit import Circuit, Mode, State
from tests.clients.support import CALLER, GRAPHQL_ONLY, ONE, REST_ONLY, WIRES, Rig, ask_one, customer, rig
from tests.testkit.clock import ManualClock
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


async def ends_at_its_deadline(made: Rig, deadline_s: float, user: str = "") -> None:
    """A call to a silent upstream, with so much time."""
    count = len(made.script.graphql.calls)
    caller = replace(CALLER, deadline=made.clock.now() + deadline_s, user=user)
    task = made.start(replace(CALL, caller=caller))
    await made.script.graphql.wait_for_calls(count + 1)
    await made.clock.advance(deadline_s)
    await asyncio.wait([task])
    assert isinstance(task.exception(), DeadlineExceeded)
    await made.clock.settle()


@pytest.mark.parametrize("slow_call_s", [None, 2.0])
async def test_a_deadline_that_left_the_upstream_no_fair_time_says_nothing_about_it(slow_call_s: float | None) -> None:
    async with rig("httpx", timeout_s=5, breaker=BreakerPolicy(failures=1, slow_call_s=slow_call_s)) as made:
        made.script.graphql.behave(hang())
        for _ in range(3):
            await ends_at_its_deadline(made, 1.9)
        now = made.circuit(GRAPHQL)
        assert (now.state, now.window.calls, now.consecutive_failures, now.ignored) == (State.CLOSED, 0, 0, 3)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_silent_upstream_opens_the_circuit_though_every_deadline_comes_before_the_timeout(wire: str) -> None:
    async with rig(wire, timeout_s=5, breaker=BreakerPolicy(failures=3)) as made:
        made.script.graphql.behave(hang())
        for _ in range(3):
            await ends_at_its_deadline(made, 2.5)
        now = made.circuit(GRAPHQL)
        assert (now.state, now.reason) == (State.OPEN, "3 failures in a row (last: DEADLINE_EXCEEDED)")
        assert (now.failure_rate, now.slow_rate) == (0.0, 1.0)
        assert now.last_failure is not None
        assert now.last_failure.message == "crm: customerByGraphQL: no answer before the request's deadline"
        made.script.graphql.heal()


async def test_a_silent_upstream_raises_the_slow_rate() -> None:
    policy = BreakerPolicy(failures=100, slow_call_s=1, slow_rate=0.5, minimum_calls=4)
    async with rig("httpx", timeout_s=5, breaker=policy) as made:
        await made.execute(CALL)
        await made.execute(CALL)
        made.script.graphql.behave(hang())
        await ends_at_its_deadline(made, 1)
        await ends_at_its_deadline(made, 1.5)
        now = made.circuit(GRAPHQL)
        assert (now.state, now.reason) == (State.OPEN, "2 of the last 4 calls took longer than 1 s")


class RefusedHere(UpstreamError):
    """As a limit inside the breaker refuses: nothing was sent."""

    reached_upstream = False


class Limit:
    """A handler that refuses, or lets through."""

    def __init__(self) -> None:
        self.refuses = True
        self.queued_s = 0.0
        self.took_s = 0.0
        self.clock = ManualClock()
        self.sent = 0

    async def __call__(self, call: Call) -> Answer:
        if self.refuses:
            raise RefusedHere("crm", "too many calls at once")
        self.sent += 1
        self.clock.jump(self.queued_s + self.took_s)
        return Answer(None, Served(ServedBy.GRAPHQL), queued_s=self.queued_s)

    def guarded(self, policy: BreakerPolicy) -> tuple[Circuit, Breaker]:
        circuit = Circuit(policy, now=self.clock.now(), random=Random(1))
        return circuit, Breaker("crm", GRAPHQL, circuit, self.clock, fair_s=1.0)


async def test_what_is_refused_further_in_is_counted_apart() -> None:
    limit = Limit()
    circuit, breaker = limit.guarded(BreakerPolicy(failures=1))
    for _ in range(5):
        with pytest.raises(RefusedHere):
            await breaker(CALL, limit)
    now = circuit.status(limit.clock.now())
    assert (now.state, now.window.calls, now.consecutive_failures, now.ignored) == (State.CLOSED, 0, 0, 5)


async def test_a_probe_that_is_refused_further_in_leaves_its_place_to_the_next_caller() -> None:
    limit = Limit()
    circuit, breaker = limit.guarded(BreakerPolicy())
    circuit.set_mode(Mode.FORCED_OPEN, limit.clock.now(), by="ada")
    circuit.set_mode(Mode.AUTOMATIC, limit.clock.now(), by="ada")
    for _ in range(5):
        with pytest.raises(RefusedHere):
            await breaker(CALL, limit)
    assert circuit.status(limit.clock.now()).state is State.HALF_OPEN
    limit.refuses = False
    await breaker(CALL, limit)
    assert circuit.status(limit.clock.now()).state is State.CLOSED


async def test_waiting_here_is_no_slowness_of_the_upstream() -> None:
    limit = Limit()
    limit.refuses, limit.queued_s, limit.took_s = False, 10.0, 1.0
    circuit, breaker = limit.guarded(BreakerPolicy(slow_call_s=1.0))
    await breaker(CALL, limit)
    assert circuit.status(limit.clock.now()).slow_rate == 0.0
    limit.took_s = 1.5
    await breaker(CALL, limit)
    assert circuit.status(limit.clock.now()).slow_rate == 0.5


async def test_a_circuit_that_an_operator_forced_open_says_who_did_it_when_and_why() -> None:
    async with rig() as made:
        made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada", reason="deploying", protocol=GRAPHQL)
        await made.clock.advance(60)
        error = await failed(made)
        assert isinstance(error, CircuitOpen)
        assert str(error) == error.message
        assert error.message == (
            "crm: the graphql circuit was forced open by ada: deploying (at 2026-01-01T00:00:00+00:00); an operator "
            "must give it back"
        )
        assert (error.retry_after_s, made.calls) == (None, (0, 0))
        assert (await made.execute(ask_one(declared=REST_ONLY))).served.by is ServedBy.REST


async def test_operations_with_circuits_of_their_own_do_not_take_each_other_with_them() -> None:
    policy = BreakerPolicy(scope="operation", failures=1)
    async with rig(breaker=policy, rest=None) as made:
        made.script.graphql.behave(status(500))
        await failed(made)
        made.script.graphql.heal()
        made.script.graphql.forget()
        error = await failed(made)
        assert error.message.startswith("crm: the graphql circuit of customerByGraphQL is open; next probe in ")
        assert made.calls == (0, 0)
        assert (await made.execute(ask_one(declared=ONE))).value == customer(1)
        circuits = made.upstream.status().by_operation
        assert {key: each.state for key, each in circuits.items()} == {
            (GRAPHQL, "customer"): State.CLOSED,
            (GRAPHQL, "customerByGraphQL"): State.OPEN,
        }
        [told] = made.hooks.circuits
        assert (told.operation, told.state) == ("customerByGraphQL", "open")


@pytest.mark.parametrize("rest", [None, "http://127.0.0.1:9/api"])
async def test_a_refusal_leaves_nothing_to_the_garbage_collector(rest: str | None) -> None:
    async with rig(rest=rest) as made:
        made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada")
        errors: list[weakref.ref[UpstreamError]] = []

        async def refused() -> None:
            try:
                await made.execute(ask_one())
            except UpstreamError as error:
                causes = error.causes if isinstance(error, ServiceUnavailable) else ()
                errors.extend(map(weakref.ref, (error, *causes)))

        gc.disable()
        try:
            await refused()
        finally:
            gc.enable()
        assert len(errors) == (1 if rest is None else 3)
        assert [each() for each in errors] == [None] * len(errors)


async def test_calls_that_every_circuit_refuses_share_no_flight_and_answer_at_once() -> None:
    async with rig() as made:
        made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada")
        calls = [made.upstream.execute(ask_one()) for _ in range(50)]
        for call in calls:
            with pytest.raises(ServiceUnavailable):
                call.send(None)  # without a turn of the loop
        assert [each.refused for each in made.upstream.status().circuits.values()] == [50, 50]


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
