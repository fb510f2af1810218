"""What a circuit takes and gives: outcomes and permits, modes, and its status, read as data."""

import enum
from dataclasses import dataclass

import msgspec

from clients.state.window import WindowFigures


class State(enum.StrEnum):
    """Where a circuit is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Mode(enum.StrEnum):
    """Who decides: the circuit by itself, or an operator."""

    AUTOMATIC = "automatic"
    FORCED_OPEN = "forced_open"
    """Every call is refused, until an operator says otherwise."""
    DISABLED = "disabled"
    """Every call goes through, and none is counted."""
    METRICS_ONLY = "metrics_only"
    """Every call goes through and is counted, and the circuit stays closed."""


class Outcome(enum.StrEnum):
    """What became of a permitted call."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNANSWERED = "unanswered"
    """Had a fair time, and no answer when the request's deadline came: slow, and one more in a row without success."""
    IGNORED = "ignored"
    """Says nothing about the upstream's health: cancelled, or refused further in."""


class Permit(msgspec.Struct, frozen=True, gc=False):
    """Leave to make one call. Hand it back with `settle`, whatever happened.

    A msgspec Struct because each call makes one: a fifth of what a frozen dataclass costs.
    """

    generation: int
    at: float
    serial: int = 0


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
    """A change of state, or of mode."""

    previous: State
    state: State
    at: float
    reason: str
    mode: Mode = Mode.AUTOMATIC


@dataclass(frozen=True, slots=True)
class ModeChange:
    """What an operator did.

    Attributes:
        by: who.
        at: monotonic seconds.
        reason: why, in the operator's words.
    """

    mode: Mode
    by: str
    at: float
    reason: str | None = None

    def __str__(self) -> str:
        return f"{_DONE[self.mode]} by {self.by}" + (f": {self.reason}" if self.reason else "")


class Refusal(msgspec.Struct, frozen=True):
    """No leave.

    Attributes:
        retry_after_s: seconds until the circuit may let a probe through; None when that is for an operator to say.
        forced: what the operator did who forced it open.
    """

    retry_after_s: float | None
    forced: ModeChange | None = None


_DONE = {
    Mode.AUTOMATIC: "given back to itself",
    Mode.FORCED_OPEN: "forced open",
    Mode.DISABLED: "disabled",
    Mode.METRICS_ONLY: "set to metrics only",
}


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """A circuit, read as data. Times are monotonic seconds.

    Attributes:
        reason: why it is in this state, as a sentence part.
        window: the calls that the rates are of.
        consecutive_failures: calls in a row that failed, or had a fair time and no answer.
        next_probe_at: when an open circuit lets the next probe through; None otherwise.
        trips: times it has opened by itself since the start.
        refused: calls refused since the start.
        ignored: calls since the start that said nothing about the upstream: cancelled, or refused further in.
        mode_change: the latest that an operator did; None when none did anything.
    """

    state: State
    since: float
    reason: str
    window: WindowFigures
    consecutive_failures: int
    last_failure: Failure | None
    last_success_at: float | None
    next_probe_at: float | None
    trips: int
    refused: int
    ignored: int
    history: tuple[Transition, ...]
    mode: Mode
    mode_change: ModeChange | None

    @property
    def failure_rate(self) -> float | None:
        """Failed share of the window's calls; None while it is empty."""
        return self.window.failed / self.window.calls if self.window.calls else None

    @property
    def slow_rate(self) -> float | None:
        """Slow share of the window's calls, likewise."""
        return self.window.slow / self.window.calls if self.window.calls else None
