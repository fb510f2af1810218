"""A circuit breaker as a state machine: values in, values out, `now` passed in; no clock, no I/O, no lock.

After Nygard, "Release It!" (2007), with what most implementations leave out: a half-open circuit admits an exact
number of probes, every permit carries the generation it was given in, and a probe that never returns is not waited for.
"""

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from clients.policy import BreakerPolicy

_JITTER = 0.1  # ± share of the open time, so that a fleet does not probe in step
_HISTORY = 20


class State(enum.StrEnum):
    """Where a circuit is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Outcome(enum.StrEnum):
    """What became of a permitted call."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    """Says nothing about the upstream's health: cancelled, or refused further in."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call. Hand it back with `settle`, whatever happened."""

    generation: int
    at: float
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """No leave.

    Attributes:
        retry_after_s: seconds until the circuit may let a probe through.
    """

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A counted failure.

    Attributes:
        at: monotonic seconds.
    """

    code: str
    message: str
    at: float
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state."""

    previous: State
    state: State
    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """A circuit, read as data. Times are monotonic seconds.

    Attributes:
        reason: why it is in this state, as a sentence part.
        failure_rate: failed share of the window's calls; None while the window is empty.
        slow_rate: slow share of the window's calls, likewise.
        next_probe_at: when an open circuit lets the next probe through; None otherwise.
        trips: times it has opened since the start.
        refused: calls refused since the start.
    """

    state: State
    since: float
    reason: str
    failure_rate: float | None
    slow_rate: float | None
    consecutive_failures: int
    last_failure: Failure | None
    last_success_at: float | None
    next_probe_at: float | None
    trips: int
    refused: int
    history: tuple[Transition, ...]


class Circuit:
    """One circuit. Not safe across threads: one event loop owns it.

    Args:
        policy: when it opens and how it closes.
        now: monotonic seconds.
        random: the source of the jitter on open times.
        on_transition: called after each change of state.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        now: float,
        random: Random,
        on_transition: Callable[[Transition], None] = lambda _: None,
    ) -> None:
        self._policy = policy
        self._random = random
        self._on_transition = on_transition
        self._state = State.CLOSED
        self._since = now
        self._reason = "no failures seen"
        self._generation = 0
        self._consecutive = 0
        self._window: deque[tuple[bool, bool]] = deque(maxlen=policy.window)
        self._failed = 0
        self._slow = 0
        self._next_probe_at = now
        self._trips = 0
        self._trips_in_a_row = 0
        self._probes: dict[int, float] = {}  # permits out while half-open: serial → when given
        self._serial = 0
        self._successes = 0
        self._refused = 0
        self._last_failure: Failure | None = None
        self._last_success_at: float | None = None
        self._history: deque[Transition] = deque(maxlen=_HISTORY)

    def acquire(self, now: float) -> Permit | Refusal:
        """Ask to make a call."""
        if self._state is not State.CLOSED:
            self._advance(now)
            if self._state is State.OPEN:
                self._refused += 1
                return Refusal(max(0.0, self._next_probe_at - now))
            if self._state is State.HALF_OPEN:
                return self._probe(now)
        return Permit(self._generation, now)

    def settle(self, permit: Permit, outcome: Outcome, now: float, failure: Failure | None = None) -> None:
        """Tell what became of a permitted call; a permit of an earlier generation is discarded."""
        self._advance(now)
        if permit.generation != self._generation:
            return
        if self._state is State.HALF_OPEN:
            self._settle_probe(permit, outcome, now, failure)
        elif outcome is not Outcome.IGNORED:
            self._count(outcome is Outcome.FAILURE, now - permit.at, now, failure)

    def status(self, now: float) -> CircuitStatus:
        """Read the circuit; an open time that has passed shows, also on an idle circuit."""
        self._advance(now)
        calls = len(self._window)
        return CircuitStatus(
            state=self._state,
            since=self._since,
            reason=self._reason,
            failure_rate=self._failed / calls if calls else None,
            slow_rate=self._slow / calls if calls else None,
            consecutive_failures=self._consecutive,
            last_failure=self._last_failure,
            last_success_at=self._last_success_at,
            next_probe_at=self._next_probe_at if self._state is State.OPEN else None,
            trips=self._trips,
            refused=self._refused,
            history=tuple(self._history),
        )

    def _advance(self, now: float) -> None:
        """Make the moves that time alone brings, each at its own time: nothing depends on when somebody looks."""
        if self._state is State.HALF_OPEN and self._probes:
            hung_at = min(self._probes.values()) + self._policy.probe_timeout_s
            if now >= hung_at:
                self._open(hung_at, f"a probe gave no result within {self._policy.probe_timeout_s:g} s")
        if self._state is State.OPEN and now >= self._next_probe_at:
            self._move(State.HALF_OPEN, self._next_probe_at, "the open time has passed; probing")

    def _probe(self, now: float) -> Permit | Refusal:
        out = len(self._probes)
        enough = max(self._policy.probes, self._policy.successes)
        if out >= self._policy.probes or out + self._successes >= enough:
            self._refused += 1
            wait = self._policy.probe_timeout_s - (now - min(self._probes.values(), default=now))
            return Refusal(max(0.0, wait))
        self._serial += 1
        permit = Permit(self._generation, now, self._serial)
        self._probes[permit.serial] = now
        return permit

    def _settle_probe(self, permit: Permit, outcome: Outcome, now: float, failure: Failure | None) -> None:
        if self._probes.pop(permit.serial, None) is None:
            return
        if outcome is Outcome.FAILURE:
            self._consecutive += 1
            self._last_failure = failure
            self._open(now, f"a probe failed{_because(failure)}")
        elif outcome is Outcome.SUCCESS and self._is_slow(now - permit.at):
            self._open(now, f"a probe took longer than {self._policy.slow_call_s:g} s")
        elif outcome is Outcome.SUCCESS:
            self._last_success_at = now
            self._successes += 1
            if self._successes >= self._policy.successes:
                self._trips_in_a_row = 0
                self._forget()
                self._move(State.CLOSED, now, f"{self._successes} probe(s) succeeded")

    def _count(self, failed: bool, took_s: float, now: float, failure: Failure | None) -> None:
        policy = self._policy
        slow = self._is_slow(took_s)
        if len(self._window) == policy.window:
            was_failed, was_slow = self._window[0]
            self._failed -= was_failed
            self._slow -= was_slow
        self._window.append((failed, slow))
        self._failed += failed
        self._slow += slow
        if failed:
            self._consecutive += 1
            self._last_failure = failure
        else:
            self._consecutive = 0
            self._last_success_at = now
        if failed or slow:
            reason = self._trip_reason(failed, failure)
            if reason is not None:
                self._open(now, reason)

    def _is_slow(self, took_s: float) -> bool:
        return self._policy.slow_call_s is not None and took_s > self._policy.slow_call_s

    def _trip_reason(self, failed: bool, failure: Failure | None) -> str | None:
        policy, calls = self._policy, len(self._window)
        if failed and self._consecutive >= policy.failures:
            return f"{self._consecutive} failures in a row{_because(failure)}"
        if calls < policy.minimum_calls:
            return None
        if policy.failure_rate is not None and self._failed / calls >= policy.failure_rate:
            return f"{self._failed} of the last {calls} calls failed{_because(failure)}"
        if policy.slow_call_s is not None and self._slow / calls >= policy.slow_rate:
            return f"{self._slow} of the last {calls} calls took longer than {policy.slow_call_s:g} s"
        return None

    def _open(self, now: float, reason: str) -> None:
        # 2 ** 63 seconds is beyond any cap; the bound keeps the power from growing without end
        wait = min(self._policy.open_s * 2 ** min(self._trips_in_a_row, 62), self._policy.max_open_s)
        self._next_probe_at = now + wait * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        self._trips += 1
        self._trips_in_a_row += 1
        self._move(State.OPEN, now, reason)

    def _move(self, state: State, now: float, reason: str) -> None:
        transition = Transition(self._state, state, now, reason)
        self._state, self._since, self._reason = state, now, reason
        self._generation += 1
        self._probes.clear()
        self._successes = 0
        self._history.append(transition)
        self._on_transition(transition)

    def _forget(self) -> None:
        self._window.clear()
        self._failed = self._slow = self._consecutive = 0


def _because(failure: Failure | None) -> str:
    return f" (last: {failure.code})" if failure is not None else ""
