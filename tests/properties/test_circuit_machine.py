"""The circuit against a naive model of itself, in every order of events that hypothesis can think of.

The model is eager where the circuit is lazy: it recounts its whole log at each call, and moves at the moment a time is
up. So the circuit's state must not depend on whether, or when, somebody looked.
"""

import math
from dataclasses import dataclass, field
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from clients.policy import BreakerPolicy
from clients.state.circuit import Circuit, Failure, Mode, Outcome, Permit, Refusal, State

# Powers of two make a tenth of ten exact, so that both sides agree on where a slice of time ends
WINDOWS = st.one_of(
    st.fixed_dictionaries({"window": st.integers(1, 6)}),
    st.fixed_dictionaries({"window_s": st.sampled_from([2.5, 10.0, 80.0])}),
)
POLICIES = st.builds(
    lambda window, **rest: BreakerPolicy(**window, **rest),
    window=WINDOWS,
    failures=st.integers(1, 4),
    failure_rate=st.sampled_from([None, 0.25, 0.5, 1.0]),
    slow_call_s=st.sampled_from([None, 1.0, 4.0]),
    slow_rate=st.sampled_from([0.5, 1.0]),
    minimum_calls=st.integers(1, 4),
    open_s=st.sampled_from([1.0, 10.0]),
    max_open_s=st.sampled_from([10.0, 45.0]),
    probes=st.integers(1, 3),
    successes=st.integers(1, 4),
    probe_timeout_s=st.sampled_from([2.0, 30.0]),
)


class FixedRandom(Random):
    """Draws the same share of every interval."""

    share = 0.5

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.share


@dataclass(eq=False)
class Asked:
    """One admitted call."""

    permit: Permit
    at: float
    era: int


@dataclass
class Model:
    policy: BreakerPolicy
    random: Random
    state: State = State.CLOSED
    until: float = 0.0
    era: int = 0
    trips_in_a_row: int = 0
    trips: int = 0
    refused: int = 0
    successes: int = 0
    mode: Mode = Mode.AUTOMATIC
    log: list[tuple[float, bool, bool, bool]] = field(default_factory=list)  # when; failed, slow, interrupts a row
    out: dict[int, float] = field(default_factory=dict)

    def catch_up(self, now: float) -> None:
        while True:
            hung_at = min(self.out.values(), default=now) + self.policy.probe_timeout_s
            if self.state is State.HALF_OPEN and self.out and hung_at <= now:
                self.trip(hung_at)
            elif self.state is State.OPEN and self.until <= now:
                self.enter(State.HALF_OPEN)
            else:
                return

    def enter(self, state: State) -> None:
        self.state = state
        self.era += 1
        self.successes = 0
        self.out = {}

    def trip(self, at: float) -> None:
        wait = min(self.policy.open_s * 2**self.trips_in_a_row, self.policy.max_open_s)
        self.until = at + wait * self.random.uniform(0.9, 1.1)
        self.trips_in_a_row += 1
        self.trips += 1
        self.enter(State.OPEN)

    def admits(self) -> bool:
        if self.state is State.HALF_OPEN:
            room = max(self.policy.probes, self.policy.successes) - self.successes
            return len(self.out) < min(self.policy.probes, room)
        return self.state is State.CLOSED

    def order(self, mode: Mode, *, reset: bool = False) -> None:
        if mode is Mode.AUTOMATIC and self.mode is Mode.AUTOMATIC and not reset:
            return
        state = State.CLOSED
        if mode is Mode.FORCED_OPEN:
            state, self.until = State.OPEN, math.inf
        elif self.mode is Mode.FORCED_OPEN and mode is Mode.AUTOMATIC and not reset:
            state = State.HALF_OPEN
        self.mode = mode
        self.trips_in_a_row = 0
        self.log = []
        self.enter(state)

    def settle(self, asked: Asked, outcome: Outcome, now: float) -> None:
        slow = self.policy.slow_call_s is not None and now - asked.at > self.policy.slow_call_s
        if asked.era != self.era:
            return
        if self.state is State.HALF_OPEN:
            del self.out[id(asked)]
            if outcome is Outcome.IGNORED:
                return
            if outcome is not Outcome.SUCCESS or slow:
                self.trip(now)
                return
            self.successes += 1
            if self.successes == self.policy.successes:
                self.trips_in_a_row = 0
                self.log = []
                self.enter(State.CLOSED)
        elif outcome is not Outcome.IGNORED and self.mode is not Mode.DISABLED:
            slow = slow or outcome is Outcome.UNANSWERED
            self.log.append((now, outcome is Outcome.FAILURE, slow, outcome is Outcome.SUCCESS))
            if (outcome is not Outcome.SUCCESS or slow) and self.mode is Mode.AUTOMATIC and self.must_trip(now):
                self.trip(now)

    def in_a_row(self) -> int:
        count = 0
        for _, _, _, interrupts in reversed(self.log):
            if interrupts:
                break
            count += 1
        return count

    def rates(self, now: float) -> tuple[int, float, float]:
        seconds = self.policy.window_s
        if seconds is None:
            seen = self.log[-(self.policy.window or 100) :]
        else:
            tenth = seconds / 10
            seen = [entry for entry in self.log if entry[0] // tenth > now // tenth - 10]
        calls = len(seen)
        return calls, sum(e[1] for e in seen) / max(1, calls), sum(e[2] for e in seen) / max(1, calls)

    def must_trip(self, now: float) -> bool:
        policy = self.policy
        calls, failed, slow = self.rates(now)
        by_row = self.in_a_row() >= policy.failures
        by_failures = policy.failure_rate is not None and failed >= policy.failure_rate
        return by_row or (calls >= policy.minimum_calls and (by_failures or slow >= policy.slow_rate))


class CircuitMachine(RuleBasedStateMachine):
    permits = Bundle("permits")

    @initialize(policy=POLICIES, share=st.sampled_from([0.0, 0.5, 1.0]))
    def begin(self, policy: BreakerPolicy, share: float) -> None:
        self.now = 1000.0
        self.policy = policy
        random = FixedRandom()
        random.share = share
        self.circuit = Circuit(policy, now=self.now, random=random)
        self.model = Model(policy, random)

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 3.0, 10.0, 31.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def ask(self) -> Asked | None:
        self.model.catch_up(self.now)
        answer = self.circuit.acquire(self.now)
        assert isinstance(answer, Permit) == self.model.admits()
        if isinstance(answer, Refusal):
            forced = self.model.mode is Mode.FORCED_OPEN
            assert (answer.retry_after_s is None) == (answer.forced is not None) == forced
            assert forced or (answer.retry_after_s or 0.0) >= 0
            self.model.refused += 1
            return None
        asked = Asked(answer, self.now, self.model.era)
        if self.model.state is State.HALF_OPEN:
            self.model.out[id(asked)] = self.now
        return asked

    @rule(asked=consumes(permits), outcome=st.sampled_from(Outcome))
    def answer(self, asked: Asked | None, outcome: Outcome) -> None:
        if asked is None:
            return
        self.model.catch_up(self.now)
        self.model.settle(asked, outcome, self.now)
        failure = Failure("CODE", "message", self.now) if outcome is Outcome.FAILURE else None
        self.circuit.settle(asked.permit, outcome, self.now, failure)

    @rule(times=st.integers(1, 4), outcome=st.sampled_from(Outcome))
    def calls_are_answered_at_once(self, times: int, outcome: Outcome) -> None:
        for _ in range(times):
            self.answer(self.ask(), outcome)

    @rule()
    def the_open_time_passes(self) -> None:
        self.model.catch_up(self.now)
        if self.model.state is State.OPEN and self.model.mode is Mode.AUTOMATIC:
            self.now = self.model.until

    @rule(mode=st.sampled_from(Mode), reset=st.booleans())
    def an_operator_acts(self, mode: Mode, reset: bool) -> None:
        self.model.catch_up(self.now)
        if reset:
            self.model.order(Mode.AUTOMATIC, reset=True)
            self.circuit.reset(self.now, by="ada")
        else:
            self.model.order(mode)
            self.circuit.set_mode(mode, self.now, by="ada")

    @rule()
    def read(self) -> None:
        self.model.catch_up(self.now)
        status = self.circuit.status(self.now)
        assert status.state is self.model.state
        assert (status.trips, status.refused) == (self.model.trips, self.model.refused)
        assert status.mode is self.model.mode
        probes_later = self.model.state is State.OPEN and self.model.mode is Mode.AUTOMATIC
        assert status.next_probe_at == (self.model.until if probes_later else None)
        if self.model.state is State.CLOSED:
            calls, failed, slow = self.model.rates(self.now)
            assert status.window.calls == calls
            assert status.failure_rate == (failed if calls else None)
            assert status.slow_rate == (slow if calls else None)
            assert status.consecutive_failures == self.model.in_a_row()

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def never_more_probes_out_than_allowed(self) -> None:
        assert len(self.model.out) <= self.policy.probes
        assert len(self.model.out) + self.model.successes <= max(self.policy.probes, self.policy.successes)

    def teardown(self) -> None:
        """However it came here: once probes have had their time and the upstream is well, it closes."""
        if not hasattr(self, "circuit"):
            return
        self.circuit.set_mode(Mode.AUTOMATIC, self.now, by="ada")
        self.now += self.policy.probe_timeout_s + 1.1 * self.policy.max_open_s
        for _ in range(self.policy.successes):
            permit = self.circuit.acquire(self.now)
            assert isinstance(permit, Permit), "a permit was lost"
            self.circuit.settle(permit, Outcome.SUCCESS, self.now)
        assert self.circuit.status(self.now).state is State.CLOSED


TestCircuit = CircuitMachine.TestCase
TestCircuit.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
