"""A circuit breaker as a state machine: values in, values out, `now` passed in; no clock, no I/O, no lock.

After Nygard, "Release It!" (2007), with what most implementations leave out: a half-open circuit admits an exact
number of probes, every permit carries the generation it was given in, and a probe that never returns is not waited for.
"""

import math
from collections import deque
from collections.abc import Callable
from random import Random

from clients.policy import BreakerPolicy
from clients.state.circuit_data import (
    CircuitStatus,
    Failure,
    Mode,
    ModeChange,
    Outcome,
    Permit,
    Refusal,
    State,
    Transition,
)
from clients.state.window import FAILED, GOOD, SLOW, make_window

__all__ = [
    "Circuit",
    "CircuitStatus",
    "Failure",
    "Mode",
    "ModeChange",
    "Outcome",
    "Permit",
    "Refusal",
    "State",
    "Transition",
]

_JITTER = 0.1  # ± share of the open time, so that a fleet does not probe in step
_HISTORY = 20


class Circuit:
    """One circuit. Not safe across threads: one event loop owns it.

    Args:
        policy: when it opens and how it closes.
        now: monotonic seconds.
        random: the source of the jitter on open times.
        on_transition: called after each change of state or mode.
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
        self._slow_after_s = math.inf if policy.slow_call_s is None else policy.slow_call_s
        self._state = State.CLOSED
        self._mode = Mode.AUTOMATIC
        self._mode_change: ModeChange | None = None
        self._counting = True  # closed, and not disabled: what a healthy call asks for
        self._since = now
        self._reason = "no failures seen"
        self._generation = 0
        self._consecutive = 0
        self._window = make_window(policy)
        self._next_probe_at = now
        self.refuses_until = -math.inf
        """Before this every call is refused; minus infinity while it is not open."""
        self._trips = 0
        self._trips_in_a_row = 0
        self._probes: dict[int, float] = {}  # permits out while half-open: serial → when given
        self._serial = 0
        self._successes = 0
        self._refused = 0
        self._ignored = 0
        self._last_failure: Failure | None = None
        self._last_success_at: float | None = None
        self._history: deque[Transition] = deque(maxlen=_HISTORY)

    def is_at_rest(self, now: float) -> bool:
        """Whether it does no harm to forget it: it decides by itself, and is closed, or nobody has probed for long."""
        self._advance(now)
        if self._mode is not Mode.AUTOMATIC or self._state is State.CLOSED:
            return self._mode is Mode.AUTOMATIC
        abandoned = self._state is State.HALF_OPEN and not self._probes
        return abandoned and now - self._since >= self._policy.max_open_s

    def acquire(self, now: float) -> Permit | Refusal:
        """Ask to make a call."""
        if self._counting:
            return Permit(self._generation, now)
        if now >= self.refuses_until:
            self._advance(now)
        if now < self.refuses_until:
            self._refused += 1
            if self.refuses_until == math.inf:
                return Refusal(None, self._mode_change)
            return Refusal(self.refuses_until - now)
        if self._state is State.HALF_OPEN:
            return self._probe(now)
        return Permit(self._generation, now)

    def settle(
        self, permit: Permit, outcome: Outcome, now: float, failure: Failure | None = None, *, queued_s: float = 0.0
    ) -> None:
        """Tell what became of a permitted call; a permit of an earlier generation is discarded.

        Args:
            permit: what `acquire` gave.
            outcome: of the call.
            now: monotonic seconds.
            failure: what is to be read of a call that failed or was not answered.
            queued_s: how long the call waited here before it was sent, which is no slowness of the upstream.
        """
        if not self._counting:
            self._advance(now)
        if permit.generation != self._generation:
            return
        slow = now - permit.at - queued_s > self._slow_after_s
        if self._counting:
            self._count(outcome, slow, now, failure)
        elif self._state is State.HALF_OPEN:
            self._settle_probe(permit, outcome, slow, now, failure)

    def set_mode(self, mode: Mode, now: float, *, by: str, reason: str | None = None) -> None:
        """Let an operator decide, or the circuit again (AUTOMATIC).

        Counting begins anew, and permits handed out before are discarded. A circuit that was forced open comes back
        half-open: its probes say whether the upstream is well. One that decides by itself already stays as it is.
        """
        self._advance(now)
        if mode is Mode.AUTOMATIC and self._mode is Mode.AUTOMATIC:
            return
        state = State.CLOSED
        if mode is Mode.FORCED_OPEN:
            state, self._next_probe_at = State.OPEN, math.inf
        elif mode is Mode.AUTOMATIC and self._mode is Mode.FORCED_OPEN:
            state = State.HALF_OPEN
        change = ModeChange(mode, by, now, reason)
        self._order(change, state, str(change))

    def reset(self, now: float, *, by: str, reason: str | None = None) -> None:
        """Begin anew: closed, deciding by itself, with nothing counted; permits handed out before are discarded."""
        self._advance(now)
        change = ModeChange(Mode.AUTOMATIC, by, now, reason)
        self._order(change, State.CLOSED, f"reset by {by}" + (f": {reason}" if reason else ""))

    def status(self, now: float) -> CircuitStatus:
        """Read the circuit; an open time that has passed shows, also on an idle circuit."""
        self._advance(now)
        by_itself = self._mode is Mode.AUTOMATIC
        return CircuitStatus(
            state=self._state,
            since=self._since,
            reason=self._reason,
            window=self._window.read(now),
            consecutive_failures=self._consecutive,
            last_failure=self._last_failure,
            last_success_at=self._last_success_at,
            next_probe_at=self._next_probe_at if self._state is State.OPEN and by_itself else None,
            trips=self._trips,
            refused=self._refused,
            ignored=self._ignored,
            history=tuple(self._history),
            mode=self._mode,
            mode_change=self._mode_change,
        )

    def _advance(self, now: float) -> None:
        """Make the moves that time alone brings, each at its own time: nothing depends on when somebody looks."""
        if self._probes and now >= (hung_at := self._hung_at()):
            self._open(hung_at, f"a probe gave no result within {self._policy.probe_timeout_s:g} s")
        if self._state is State.OPEN and now >= self._next_probe_at:
            self._move(State.HALF_OPEN, self._next_probe_at, "the open time has passed; probing")

    def _hung_at(self) -> float:
        """When the oldest probe's time is up."""
        return min(self._probes.values()) + self._policy.probe_timeout_s

    def _probe(self, now: float) -> Permit | Refusal:
        out = len(self._probes)
        enough = max(self._policy.probes, self._policy.successes)
        if out >= self._policy.probes or out + self._successes >= enough:
            self._refused += 1
            return Refusal(self._hung_at() - now)
        self._serial += 1
        permit = Permit(self._generation, now, self._serial)
        self._probes[permit.serial] = now
        return permit

    def _settle_probe(self, permit: Permit, outcome: Outcome, slow: bool, now: float, failure: Failure | None) -> None:
        if self._probes.pop(permit.serial, None) is None:
            return
        if outcome is Outcome.IGNORED:
            self._ignored += 1
        elif outcome is not Outcome.SUCCESS:
            self._consecutive += 1
            self._last_failure = failure
            self._open(now, f"a probe failed{_because(failure)}")
        elif slow:
            self._open(now, f"a probe took longer than {self._slow_after_s:g} s")
        else:
            self._last_success_at = now
            self._successes += 1
            if self._successes >= self._policy.successes:
                self._forget()
                self._move(State.CLOSED, now, f"{self._successes} probe(s) succeeded")

    def _count(self, outcome: Outcome, slow: bool, now: float, failure: Failure | None) -> None:
        kind = SLOW if slow else GOOD
        if outcome is Outcome.SUCCESS:
            self._consecutive = 0
            self._last_success_at = now
        elif outcome is Outcome.IGNORED:
            self._ignored += 1
            return
        else:
            kind = kind | FAILED if outcome is Outcome.FAILURE else SLOW
            self._consecutive += 1
            self._last_failure = failure
        self._window.add(kind, now)
        if kind and self._mode is Mode.AUTOMATIC:
            reason = self._trip_reason(now, failure)
            if reason is not None:
                self._open(now, reason)

    def _trip_reason(self, now: float, failure: Failure | None) -> str | None:
        policy, window = self._policy, self._window.read(now)
        if self._consecutive >= policy.failures:
            return f"{self._consecutive} failures in a row{_because(failure)}"
        if window.calls < policy.minimum_calls:
            return None
        if policy.failure_rate is not None and window.failed / window.calls >= policy.failure_rate:
            return f"{window.failed} of {window} failed{_because(failure)}"
        if window.slow / window.calls >= policy.slow_rate:
            found = "had no answer when their deadline came"
            if policy.slow_call_s is not None:
                found = f"took longer than {policy.slow_call_s:g} s"
            return f"{window.slow} of {window} {found}"
        return None

    def _open(self, now: float, reason: str) -> None:
        # 2 ** 63 seconds is beyond any cap; the bound keeps the power from growing without end
        wait = min(self._policy.open_s * 2 ** min(self._trips_in_a_row, 62), self._policy.max_open_s)
        self._next_probe_at = now + wait * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        self._trips += 1
        self._trips_in_a_row += 1
        self._move(State.OPEN, now, reason)

    def _order(self, change: ModeChange, state: State, reason: str) -> None:
        self._mode, self._mode_change = change.mode, change
        self._forget()
        self._move(state, change.at, reason)

    def _move(self, state: State, now: float, reason: str) -> None:
        transition = Transition(self._state, state, now, reason, self._mode)
        self._state, self._since, self._reason = state, now, reason
        self._counting = state is State.CLOSED and self._mode is not Mode.DISABLED
        self.refuses_until = self._next_probe_at if state is State.OPEN else -math.inf
        self._generation += 1
        self._probes.clear()
        self._successes = 0
        self._history.append(transition)
        self._on_transition(transition)

    def _forget(self) -> None:
        self._window.clear()
        self._consecutive = self._trips_in_a_row = 0


def _because(failure: Failure | None) -> str:
    return f" (last: {failure.code})" if failure is not None else ""
