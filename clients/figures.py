"""What became of an upstream's calls and attempts: counts since the start, durations of the last five minutes.

Values in, values out, `now` passed in. Recording is part of every call, so a duration is only put on a list there. The
list becomes part of a sketch (DDSketch: Masson, Rim and Lee, VLDB 2019) when it is long, when its slice of the window
is over, and when somebody reads. A window is a row of slices: the oldest falls off as a whole.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ddsketch import DDSketch

from clients.call import Call
from clients.errors import UpstreamError

WINDOW_S = 300.0
"""Seconds that rates, shares and percentiles look back, at the most."""
RELATIVE_ERROR = 0.01
"""How far a percentile may be from the exact one, as a share of it."""
SLOWEST = 10
"""Slow operations that are remembered."""

DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the counts of durations since the start: those that dashboards know, up to the longest timeouts."""
BATCH_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
"""Upper bounds of the counts of batches, in keys."""

_SLICES = 10
_SLICE_S = WINDOW_S / _SLICES
LAST_ERRORS = 10
"""Errors that are kept one by one."""
_PENDING = 512  # 4 kB, and a pause of a quarter of a millisecond when they are folded

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class HistogramFigures:
    """Values since the start, counted by size.

    Attributes:
        bounds: the largest value that each count but the last is of; the last one is of all that are larger.
        counts: each of its own values alone; not added up.
        total: of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Histogram:
    """Counts values by size; cheapest many at once."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def add_all(self, values: Sequence[float]) -> None:
        """Count several: sorting them and looking the bounds up takes a third of what looking each of them up does."""
        counts, ordered, before = self._counts, sorted(values), 0
        for index, bound in enumerate(self._bounds):
            until = bisect_right(ordered, bound)
            counts[index] += until - before
            before = until
        counts[-1] += len(ordered) - before
        self._total += sum(ordered)

    def read(self) -> HistogramFigures:
        """The counts as they are now."""
        return HistogramFigures(self._bounds, tuple(self._counts), self._total)


@dataclass(frozen=True, slots=True)
class Latency:
    """Durations in the window; those of failures count, those of cancelled calls do not.

    Attributes:
        count: durations that the others are made of; without any, the others are None.
        p50_s: the median; this and the other percentiles within `RELATIVE_ERROR`.
        mean_s: exact, as is `max_s`.
    """

    count: int = 0
    mean_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How often an error was met since the start, and when last."""

    code: str
    count: int
    last_at: float


@dataclass(frozen=True, slots=True)
class LastError:
    """An error that was met.

    Attributes:
        message: with the service's name, without the upstream's own words.
        operation: the operation's name.
    """

    code: str
    message: str
    at: float
    operation: str
    request_id: str


@dataclass(frozen=True, slots=True)
class SlowOperation:
    """The slowest call of an operation in the window."""

    operation: str
    duration_s: float
    at: float
    request_id: str


@dataclass(frozen=True, slots=True)
class TrafficFigures:
    """Calls to a service, or attempts of one of its protocols, read as data. Times are monotonic seconds.

    Attributes:
        begun: since the start; so are `succeeded`, `failed` and `cancelled`, which with `in_flight` make up the sum.
        durations: of all that succeeded or failed, since the start.
        window_s: seconds that the window covers now.
        per_s: that succeeded or failed each second of the window.
        error_ratio: failed share of the window, 0 to 1; None while nothing ended in it.
        errors: by code, since the start; the code met last comes first.
        last_errors: the latest few of them, the last one first.
    """

    begun: int
    in_flight: int
    succeeded: int
    failed: int
    cancelled: int
    durations: HistogramFigures
    window_s: float
    per_s: float
    error_ratio: float | None
    latency: Latency
    errors: tuple[ErrorCount, ...]
    last_errors: tuple[LastError, ...]

    @property
    def last_error(self) -> LastError | None:
        """The last of them."""
        return self.last_errors[0] if self.last_errors else None


@dataclass(frozen=True, slots=True)
class CallFigures:
    """Calls to a service.

    Attributes:
        stale_ratio: share of the window's calls answered, in part at least, with the last good rows.
        slow_operations: the slowest of the window, slowest first, each operation once.
        batches: how many keys the batched calls asked for, since the start.
    """

    traffic: TrafficFigures
    stale_ratio: float | None
    slow_operations: tuple[SlowOperation, ...]
    batches: HistogramFigures


class _Slice:
    """Some seconds of a window."""

    __slots__ = ("bar_s", "failed", "index", "max_s", "pending", "sketch", "slowest", "stale")

    def __init__(self, index: int) -> None:
        self.index = index
        self.pending: list[float] = []
        self.sketch: DDSketch | None = None
        self.max_s = 0.0
        self.failed = 0
        self.stale = 0
        self.slowest: dict[str, SlowOperation] = {}
        self.bar_s = -1.0  # what a call must take longer than to be among the slowest

    def fold(self, durations: Histogram) -> None:
        """Move what is pending into the sketch, and into the counts since the start."""
        pending = self.pending
        if not pending:
            return
        if self.sketch is None:
            self.sketch = DDSketch(RELATIVE_ERROR)
        add = self.sketch.add
        for duration_s in pending:
            add(duration_s)
        self.max_s = max(self.max_s, *pending)
        durations.add_all(pending)
        pending.clear()

    def note_slow(self, call: Call, duration_s: float, now: float) -> None:
        """Remember a call that is slower than the bar, in place of the least slow one when there are enough."""
        slowest, name = self.slowest, call.operation.name
        known = slowest.get(name)
        if known is not None and known.duration_s >= duration_s:
            return
        slowest[name] = SlowOperation(name, duration_s, now, call.caller.request_id)
        if len(slowest) > SLOWEST:
            del slowest[min(slowest, key=lambda name: slowest[name].duration_s)]
        if len(slowest) == SLOWEST:
            self.bar_s = min(slow.duration_s for slow in slowest.values())


class Traffic:
    """Counts the attempts of one protocol. One event loop owns it.

    Whoever counts adds one to `begun`, notes the outcome if there is one, and adds one to `ended` whatever happened.
    """

    def __init__(self, now: float) -> None:
        self.begun = 0
        self.ended = 0
        self._folded = 0
        self._durations = Histogram(DURATION_BOUNDS_S)  # of what is folded
        self._failed = 0
        self._errors: dict[str, list[float]] = {}  # code: times, last at; there are as many as kinds of errors
        self._last_errors: deque[tuple[str, str, str, float, str, str]] = deque(maxlen=LAST_ERRORS)
        self._start = now
        self._slices: deque[_Slice] = deque([_Slice(0)])
        self._slice = self._slices[0]
        self._until = now + _SLICE_S

    def note_success(self, duration_s: float, now: float) -> None:
        """It went well."""
        if now >= self._until:
            self._turn(now)
        pending = self._slice.pending
        pending.append(duration_s)
        if len(pending) >= _PENDING:
            self._fold()

    def note_failure(self, call: Call, error: UpstreamError, duration_s: float, now: float) -> None:
        """It failed."""
        self.note_success(duration_s, now)
        self._failed += 1
        self._slice.failed += 1
        code = error.code
        tally = self._errors.get(code)
        if tally is None:
            tally = self._errors[code] = [0, now]
        tally[0] += 1
        tally[1] = now
        # An open circuit refuses in microseconds, so no record is made yet; nor is the error kept, with its frames.
        told = code, error.service, error.summary, now, call.operation.name, call.caller.request_id
        self._last_errors.appendleft(told)

    def read(self, now: float, *, window: bool = True) -> TrafficFigures:
        """The figures as they are now; without `window` those since the start alone, for a tenth of the time."""
        window_s = self._turn(now)
        self._fold()
        latency = self._latency() if window else Latency()
        failed = sum(part.failed for part in self._slices)
        newest_first = reversed(self._errors.items())
        errors = [ErrorCount(code, int(count), last_at) for code, (count, last_at) in newest_first]
        return TrafficFigures(
            begun=self.begun,
            in_flight=self.begun - self.ended,
            succeeded=self._folded - self._failed,
            failed=self._failed,
            cancelled=self.ended - self._folded,
            durations=self._durations.read(),
            window_s=window_s,
            per_s=latency.count / window_s if window_s else 0.0,
            error_ratio=failed / latency.count if latency.count else None,
            latency=latency,
            errors=tuple(sorted(errors, key=lambda error: -error.last_at)),
            last_errors=tuple(
                LastError(code, f"{service}: {summary}", at, operation, request_id)
                for code, service, summary, at, operation, request_id in self._last_errors
            ),
        )

    def _fold(self) -> None:
        self._folded += len(self._slice.pending)
        self._slice.fold(self._durations)

    def _turn(self, now: float) -> float:
        """Begin a slice if the last one is over, and let go of what the window has left; the seconds it covers."""
        index = int((now - self._start) // _SLICE_S)
        if index > self._slice.index:
            self._fold()
            self._slice = _Slice(index)
            self._slices.append(self._slice)
            self._until = self._start + (index + 1) * _SLICE_S
            while self._slices[0].index <= index - _SLICES:
                self._slices.popleft()
        return now - self._start - max(0, index - _SLICES + 1) * _SLICE_S

    def _latency(self) -> Latency:
        whole = DDSketch(RELATIVE_ERROR)
        max_s = 0.0
        for part in self._slices:
            if part.sketch is not None:
                whole.merge(part.sketch)
                max_s = max(max_s, part.max_s)
        if not whole.count:
            return Latency()

        def percentile(share: float) -> float:
            return min(whole.get_quantile_value(share) or 0.0, max_s)  # a sketch of one value may be 1 % above it

        return Latency(
            int(whole.count), whole.sum / whole.count, percentile(0.5), percentile(0.95), percentile(0.99), max_s
        )


class CallTraffic(Traffic):
    """Counts the calls to a service, and remembers the slowest operations."""

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.batches = Histogram(BATCH_BOUNDS)
        """Keys of batched calls; who begins one adds them."""

    def note_answer(self, call: Call, duration_s: float, now: float, *, stale: bool) -> None:
        """It was answered."""
        self.note_success(duration_s, now)
        part = self._slice
        if stale:
            part.stale += 1
        if duration_s > part.bar_s:
            part.note_slow(call, duration_s, now)

    def note_failure(self, call: Call, error: UpstreamError, duration_s: float, now: float) -> None:
        """It failed for good."""
        super().note_failure(call, error, duration_s, now)
        if duration_s > self._slice.bar_s:
            self._slice.note_slow(call, duration_s, now)

    def read_calls(self, now: float, *, window: bool = True) -> CallFigures:
        """The figures as they are now; see `read`."""
        traffic = self.read(now, window=window)
        stale = sum(part.stale for part in self._slices)
        slowest: dict[str, SlowOperation] = {}
        for slow in sorted((s for part in self._slices for s in part.slowest.values()), key=lambda s: -s.duration_s):
            slowest.setdefault(slow.operation, slow)
        return CallFigures(
            traffic,
            stale / traffic.latency.count if traffic.latency.count else None,
            tuple(slowest.values())[:SLOWEST],
            self.batches.read(),
        )


class TimeIn(Generic[State]):
    """Adds up the seconds spent in each of several states."""

    def __init__(self, state: State, now: float) -> None:
        self._state = state
        self._since = now
        self._spent: dict[State, float] = {}

    def enter(self, state: State, now: float) -> None:
        """It is in this state from now on."""
        self._spent[self._state] = self._spent.get(self._state, 0.0) + now - self._since
        self._state, self._since = state, now

    def read(self, now: float) -> dict[State, float]:
        """Seconds by state; a state that it was never in is missing."""
        self.enter(self._state, now)
        return dict(self._spent)
