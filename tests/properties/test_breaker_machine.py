"""The breakers of many operations around a wire that answers when it is told to, in every order of events.

Coroutines are stepped by hand, so there is no event loop and nothing runs that the test did not let run.
"""

import asyncio
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from clients.call import Answer, Call, ProtocolName, Served, ServedBy
from clients.errors import (
    CircuitOpen,
    ConnectFailed,
    DeadlineExceeded,
    RateLimited,
    Rejected,
    ServerFailed,
    UpstreamError,
)
from clients.operation import operation
from clients.policy import BreakerPolicy, ServicePolicy
from clients.service import Service
from clients.stages.breaker import OperationBreaker
from clients.state.circuit import Circuit, Mode, State
from clients.state.circuits import OTHERS, Circuits
from tests.clients.support import CALLER
from tests.testkit.clock import ManualClock

NAMES = ["a", "b", "c", "d"]
LIMIT = 2
CALLS = {
    name: Call(operation("crm", name, row=dict, graphql="{ customers { id } }", many=True), {}, CALLER)
    for name in NAMES
}
GOOD = Answer(None, Served(ServedBy.GRAPHQL))


class LocalRefusal(UpstreamError):
    reached_upstream = False


REPLIES: dict[str, Answer | UpstreamError] = {
    "answer": GOOD,
    "4xx": Rejected("crm", "no"),
    "5xx": ServerFailed("crm", "down", transient=True),
    "refused": ConnectFailed("crm", "refused"),
    "429": RateLimited("crm", "slowly"),
    "deadline of a client in a hurry": DeadlineExceeded("crm", "late", given_s=0.1),
    "deadline after a fair time": DeadlineExceeded("crm", "late", given_s=2.5),
    "refused further in": LocalRefusal("crm", "too many at once"),
}
SAYS_NOTHING = {"429", "deadline of a client in a hurry", "refused further in"}


class Reply:
    """Awaited, it waits for what the test sends in."""

    def __await__(self) -> Generator[None, Answer | UpstreamError, Answer]:
        reply = yield
        if isinstance(reply, UpstreamError):
            raise reply
        return reply


class Wire:
    def __init__(self) -> None:
        self.reached = 0

    async def __call__(self, call: Call) -> Answer:
        self.reached += 1
        return await Reply()


@dataclass(eq=False)
class Flight:
    running: Coroutine[Any, Any, Answer]
    circuit: Circuit
    generation: int
    is_probe: bool


class BreakerMachine(RuleBasedStateMachine):
    flights = Bundle("flights")

    @initialize(failures=st.integers(1, 3), probes=st.integers(1, 2), more=st.integers(0, 2))
    def begin(self, failures: int, probes: int, more: int) -> None:
        self.policy = BreakerPolicy(
            scope="operation",
            failures=failures,
            probes=probes,
            successes=probes + more,
            open_s=10,
            max_open_s=40,
            probe_timeout_s=30,
        )
        self.clock = ManualClock()
        self.made: dict[str | None, list[Circuit]] = {}
        self.circuits = Circuits(self.make, by_operation=True, limit=LIMIT)
        service = Service("crm", ServicePolicy(breaker=self.policy), graphql="http://crm/graphql")
        self.breaker = OperationBreaker(service, ProtocolName.GRAPHQL, self.circuits, self.clock)
        self.wire = Wire()
        self.out: set[Flight] = set()
        self.named_by_operator: set[str] = set()
        self.open: set[Circuit] = set()

    def make(self, name: str | None) -> Circuit:
        circuit = Circuit(self.policy, now=self.clock.now(), random=Random(1))
        self.made.setdefault(name, []).append(circuit)
        return circuit

    @rule(seconds=st.sampled_from([0.5, 5.0, 11.0, 31.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.jump(seconds)

    @rule(target=flights, name=st.sampled_from(NAMES))
    def ask(self, name: str) -> Flight | None:
        reached, now = self.wire.reached, self.clock.now()
        _, circuit = self.circuits.of(name, now)
        before = circuit.status(now)
        running = self.breaker(CALLS[name], self.wire)
        try:
            running.send(None)
        except CircuitOpen:
            assert self.wire.reached == reached, "a refused call reached the wire"
            assert before.state is not State.CLOSED
            assert circuit.status(now).refused == before.refused + 1
            return None
        assert self.wire.reached == reached + 1
        assert before.state is not State.OPEN
        flight = Flight(running, circuit, circuit._generation, before.state is State.HALF_OPEN)
        self.out.add(flight)
        return flight

    @rule(flight=consumes(flights), reply=st.sampled_from(sorted(REPLIES)))
    def the_upstream_answers(self, flight: Flight | None, reply: str) -> None:
        if flight is None:
            return
        self.out.discard(flight)
        before = flight.circuit.status(self.clock.now())
        with pytest.raises((StopIteration, UpstreamError)) as ended:
            flight.running.send(REPLIES[reply])
        assert getattr(ended.value, "value", ended.value) is REPLIES[reply]
        after = flight.circuit.status(self.clock.now())
        if flight.generation != flight.circuit._generation and before.history == after.history:
            assert before == after, "a result of an earlier generation was counted"
        if reply in SAYS_NOTHING:
            assert (after.window, after.consecutive_failures) == (before.window, before.consecutive_failures)

    @rule(flight=consumes(flights))
    def the_client_hangs_up(self, flight: Flight | None) -> None:
        if flight is None:
            return
        self.out.discard(flight)
        before = flight.circuit.status(self.clock.now())
        with pytest.raises(asyncio.CancelledError):
            flight.running.throw(asyncio.CancelledError())
        after = flight.circuit.status(self.clock.now())
        assert (after.state, after.window, after.consecutive_failures) == (
            before.state,
            before.window,
            before.consecutive_failures,
        )

    @rule(mode=st.sampled_from(Mode), name=st.sampled_from(NAMES))
    def an_operator_acts(self, mode: Mode, name: str) -> None:
        self.named_by_operator.add(name)
        self.circuits.set_mode(mode, self.clock.now(), by="ada", reason=None, operation=name)

    @invariant()
    def no_more_probes_are_out_than_allowed(self) -> None:
        for circuits in getattr(self, "made", {}).values():
            for circuit in circuits:
                out = [f for f in self.out if f.circuit is circuit and f.generation == circuit._generation]
                probes = sum(f.is_probe for f in out)
                assert probes <= self.policy.probes
                assert probes == len(circuit._probes), "a permit was lost, or came back twice"

    @invariant()
    def no_open_circuit_is_forgotten_and_few_are_kept(self) -> None:
        if not hasattr(self, "circuits"):
            return
        kept = set(self.circuits._named.values())
        assert all(circuit in kept for circuit in self.open if self.clock.now() < circuit.refuses_until)
        self.open = {circuit for circuit in kept if self.clock.now() < circuit.refuses_until}
        assert len(set(self.circuits._named) - {OTHERS} - self.named_by_operator) <= LIMIT

    def teardown(self) -> None:
        """Once everybody has gone and the upstream is well, every circuit lets every call through."""
        if not hasattr(self, "out"):
            return
        for flight in list(self.out):
            self.the_client_hangs_up(flight)
        self.circuits.set_mode(Mode.AUTOMATIC, self.clock.now(), by="ada", reason=None, operation=None)
        self.clock.jump(200)
        for name in NAMES:
            for _ in range(self.policy.successes):
                self.ask(name)
                [flight] = self.out  # else a permit was lost
                self.the_upstream_answers(flight, "answer")
            assert self.circuits.of(name, self.clock.now())[1].status(self.clock.now()).state is State.CLOSED


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
