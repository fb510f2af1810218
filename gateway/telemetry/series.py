"""The last quarter of an hour of this process: one timer ends the slots of its requests and of all its upstreams."""

from collections.abc import Callable, Iterable
from types import TracebackType

from clients.clock import Clock, Timer
from clients.series import SLOT_S, Counts, Series, Slot
from clients.upstream import Upstream
from gateway.telemetry.figures import RequestFigures


class RecentFigures:
    """Ends slots. A context manager, entered and left inside the loop.

    Args:
        requests: of this process; `stale` are those that were answered, but not all as it should have been.
        upstreams: as they are now.
        clock: all time comes from it.
    """

    def __init__(self, requests: RequestFigures, upstreams: Callable[[], Iterable[Upstream]], clock: Clock) -> None:
        self._requests = requests
        self._upstreams = upstreams
        self._clock = clock
        self._series = Series(clock.now())
        self._timer: Timer | None = None

    def requests(self) -> tuple[Slot, ...]:
        """Operations that were executed, oldest slot first."""
        return self._series.read(self._counts(), self._clock.now())

    def __enter__(self) -> None:
        self._timer = self._clock.call_later(SLOT_S, self._mark)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _mark(self) -> None:
        self._timer = self._clock.call_later(SLOT_S, self._mark)
        self._series.mark(self._counts(), self._clock.now())
        for upstream in self._upstreams():
            upstream.mark()

    def _counts(self) -> Counts:
        kinds = self._requests.read().kinds.values()
        return Counts(
            sum(kind.ok + kind.degraded + kind.errors + kind.failed for kind in kinds),
            sum(kind.errors + kind.failed for kind in kinds),
            sum(kind.degraded for kind in kinds),
            tuple(map(sum, zip(*(kind.durations.counts for kind in kinds), strict=True))),
        )
