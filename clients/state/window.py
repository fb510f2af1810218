"""The calls that a circuit's rates look at: the latest so many, or those of the latest so many seconds.

Both take constant memory, and constant time a call on average, however many calls there are.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from clients.policy import BreakerPolicy

GOOD, FAILED, SLOW = 0, 1, 2
"""What a call was; FAILED | SLOW is both."""

_SLICES = 10


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """A window, read as data.

    Attributes:
        calls: in it now.
        failed: of these.
        slow: of these; a failed one may be slow as well.
        max_calls: the most it looks at; None for a window of seconds.
        seconds: how far it looks back; None for a window of calls.
    """

    calls: int
    failed: int
    slow: int
    max_calls: int | None
    seconds: float | None

    def __str__(self) -> str:
        if self.seconds is None:
            return f"the last {self.calls} calls"
        return f"the {self.calls} calls of the last {self.seconds:g} s"


class Window(Protocol):
    """Counts calls, and forgets the old ones."""

    def add(self, kind: int, now: float) -> None:
        """Count one call."""
        ...

    def clear(self) -> None:
        """Forget every call."""
        ...

    def read(self, now: float) -> WindowFigures:
        """What is in it at `now`."""
        ...


def make_window(policy: BreakerPolicy) -> Window:
    """The window that a policy asks for."""
    return CountWindow(policy.window_calls) if policy.window_s is None else TimeWindow(policy.window_s)


class CountWindow:
    """The latest `size` calls."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._latest: deque[int] = deque(maxlen=size)
        self._failed = 0
        self._slow = 0

    def add(self, kind: int, now: float) -> None:  # noqa: ARG002 - the other window's time
        """Count one call; the oldest one goes."""
        latest = self._latest
        if len(latest) == self._size and (gone := latest[0]):
            self._failed -= gone & FAILED
            self._slow -= (gone & SLOW) >> 1
        latest.append(kind)
        if kind:
            self._failed += kind & FAILED
            self._slow += (kind & SLOW) >> 1

    def clear(self) -> None:
        """Forget every call."""
        self._latest.clear()
        self._failed = self._slow = 0

    def read(self, now: float) -> WindowFigures:  # noqa: ARG002 - the other window's time
        """What is in it."""
        return WindowFigures(len(self._latest), self._failed, self._slow, self._size, None)


class TimeWindow:
    """The calls of the latest `seconds`, in ten slices: it looks back for nine tenths of them at least.

    Slices end at multiples of their length on the clock, so what it holds does not depend on when somebody looks.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._slice_s = seconds / _SLICES
        self._slices = [[0, 0, 0] for _ in range(_SLICES)]  # calls, failed, slow
        self._number = 0  # of the current slice, counted from the clock's zero
        self._until = -math.inf  # when it ends

    def add(self, kind: int, now: float) -> None:
        """Count one call in the slice of `now`."""
        if now >= self._until:
            self._roll(now)
        current = self._slices[self._number % _SLICES]
        current[0] += 1
        if kind:
            current[1] += kind & FAILED
            current[2] += (kind & SLOW) >> 1

    def clear(self) -> None:
        """Forget every call."""
        self._slices = [[0, 0, 0] for _ in range(_SLICES)]

    def read(self, now: float) -> WindowFigures:
        """What is in it at `now`."""
        if now >= self._until:
            self._roll(now)
        calls, failed, slow = map(sum, zip(*self._slices, strict=True))
        return WindowFigures(calls, failed, slow, None, self._seconds)

    def _roll(self, now: float) -> None:
        """Begin the slice of `now`, and empty those in between: ten at most, however far the clock has come."""
        number = math.floor(now / self._slice_s)
        for passed in range(max(self._number, number - _SLICES) + 1, number + 1):
            self._slices[passed % _SLICES] = [0, 0, 0]
        self._number = number
        self._until = (number + 1) * self._slice_s
