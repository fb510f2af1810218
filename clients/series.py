"""The last quarter of an hour, slot by slot: what charts are drawn of.

Values in, values out. Nothing is recorded with a call: somebody reads the counts since the start now and then, and a
slot is the difference of two readings.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from clients.figures import DURATION_BOUNDS_S

SLOT_S = 10.0
"""Seconds between two readings."""
SLOTS = 90
"""Slots that are kept, with the one that is not over yet."""

_MINUTE = round(60 / SLOT_S) + 1  # with the slot that is not over


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted since the start, at one moment.

    Attributes:
        calls: that have ended, well or not.
        stale: answered with the last good rows, in part at least.
        durations: how many took how long; see `clients.figures.HistogramFigures`.
        ways: how many were answered in each of several ways.
    """

    calls: int
    failed: int
    stale: int
    durations: tuple[int, ...]
    ways: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """Some seconds. Slots can be summed up, see `together`.

    Attributes:
        at: when it began, in monotonic seconds.
        seconds: how long it was; of the slot that is not over, so far.
        counts: what was counted in it.
    """

    at: float
    seconds: float
    counts: Counts

    @property
    def per_s(self) -> float:
        """Calls each second."""
        return self.counts.calls / self.seconds if self.seconds else 0.0

    @property
    def p95_s(self) -> float | None:
        """One in 20 took longer; None without any call.

        Calls are taken to be spread evenly over what counts them, as Prometheus' histogram_quantile does, so it is as
        exact as `DURATION_BOUNDS_S` are close.
        """
        return _quantile(self.counts.durations, 0.95)


class Series:
    """The slots of one thing that is counted."""

    def __init__(self, now: float) -> None:
        self._slots: deque[Slot] = deque(maxlen=SLOTS - 1)
        self._at = now
        self._counts = Counts(0, 0, 0, (0,) * (len(DURATION_BOUNDS_S) + 1))

    def mark(self, counts: Counts, now: float) -> None:
        """End a slot."""
        self._slots.append(self._since(counts, now))
        self._at, self._counts = now, counts

    def read(self, counts: Counts, now: float) -> tuple[Slot, ...]:
        """Oldest first; the last one is not over."""
        return (*self._slots, self._since(counts, now))

    def _since(self, counts: Counts, now: float) -> Slot:
        return Slot(self._at, now - self._at, _combined(counts, self._counts, -1))


def last_minute(slots: Sequence[Slot]) -> Slot:
    """The newest slots in one: at least a minute, if there is as much."""
    return together(slots[-_MINUTE:])


def together(slots: Sequence[Slot]) -> Slot:
    """The sum of slots that follow one another; at least one."""
    whole = slots[0].counts
    for slot in slots[1:]:
        whole = _combined(whole, slot.counts, 1)
    return Slot(slots[0].at, sum(slot.seconds for slot in slots), whole)


def _combined(left: Counts, right: Counts, sign: int) -> Counts:
    """The sum, or with -1 the difference; `ways` that one of them has not got count as none."""
    return Counts(
        left.calls + sign * right.calls,
        left.failed + sign * right.failed,
        left.stale + sign * right.stale,
        tuple(a + sign * b for a, b in zip(left.durations, right.durations, strict=True)),
        tuple(a + sign * b for a, b in zip(left.ways, right.ways, strict=True)) if right.ways else left.ways,
    )


def _quantile(durations: tuple[int, ...], share: float) -> float | None:
    rank = share * sum(durations)
    if not rank:
        return None
    lower, before = 0.0, 0
    for bound, count in zip(DURATION_BOUNDS_S, durations, strict=False):
        if before + count >= rank:
            return lower + (bound - lower) * (rank - before) / count
        lower, before = bound, before + count
    return lower  # longer than the last bound; how much longer is not known
