"""What became of one operation of a document. Kept with it, and gone with it."""

from collections import deque
from collections.abc import Mapping, Sized
from math import ceil
from typing import Any

_RECENT = 100
"""Durations that the percentiles are of: a document's share of memory stays under 4 kB."""


class OperationFigures:
    """Counts the requests for one operation; half a microsecond each.

    Attributes:
        count: requests that were answered.
        total_s: seconds they took, together.
        fetches: calls to services on their behalf.
        failed: of them, those with an error.
        degraded: of them, those with a value that was not served as it should have been.
    """

    __slots__ = ("_recent", "count", "degraded", "failed", "fetches", "total_s")

    def __init__(self) -> None:
        self.count = 0
        self.total_s = 0.0
        self.fetches = 0
        self.failed = 0
        self.degraded = 0
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def note(self, duration_s: float, errors: Sized, degraded: Sized, calls: Mapping[Any, int]) -> None:
        """A request was answered."""
        self.count += 1
        self.total_s += duration_s
        self._recent.append(duration_s)
        if errors:
            self.failed += 1
        if degraded:
            self.degraded += 1
        if calls:
            self.fetches += sum(calls.values())

    def percentile_s(self, share: float) -> float | None:
        """A percentile of the latest hundred durations, one of them; None before the first."""
        durations = sorted(self._recent)
        return durations[ceil(share * len(durations)) - 1] if durations else None
