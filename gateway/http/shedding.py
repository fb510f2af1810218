"""Load shedding: with too many requests in progress, or an event loop that lags, a new one is refused at once.

A gateway that takes on more than it can finish answers everybody too late. Refusing costs little and keeps the answers
of those it does take on in time. What lowers the number let in is the lag's minimum over an interval, after CoDel
(Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012): a burst passes, a standing queue does not.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from random import Random
from types import TracebackType

from clients.clock import Clock
from gateway.http.errors import Overloaded

_INTERVAL_S = 0.5  # a few turns of a loop that lags; short for people
_LOOKS = 2  # a single long turn is a hiccup: a collection of garbage, a machine that slept
_LEAST_SHARE = 0.2  # a turn takes as long as there are requests in it, roughly; no step is larger than this
_INCREASE = 1.5
_LEAST = 10.0  # let in whatever the lag is: it may come from elsewhere
_RETRY_AFTER_S = (1, 3)  # drawn, so that the refused do not come back together


class LagLimit:
    """How many requests may be in progress, by the lag: down by as much as it is too long, up again when it is gone.

    Values in, values out; `now` in monotonic seconds.

    Args:
        max_lag_s: the lag that is borne.
        most: never more than this.
    """

    def __init__(self, max_lag_s: float, *, most: float = inf) -> None:
        self._max_lag_s = max_lag_s
        self._most = most
        self._seen_at = -inf
        self._ends_at = -inf
        self._least_lag_s = inf
        self._looks = 0
        self.limit = most

    def observe(self, lag_s: float, in_flight: int, now: float) -> None:
        """One turn of the loop, now at its end, took `lag_s`."""
        if now - lag_s > self._seen_at + _INTERVAL_S:  # the first, or the first after a quiet time
            self._begin(now - lag_s)
        self._seen_at = now
        self._looks += 1
        self._least_lag_s = min(self._least_lag_s, lag_s)
        if now < self._ends_at or self._looks < _LOOKS:
            return
        if self._least_lag_s > self._max_lag_s:
            share = max(_LEAST_SHARE, self._max_lag_s / self._least_lag_s)
            self.limit = max(min(_LEAST, self._most), share * min(self.limit, in_flight))
        elif self.limit < self._most:
            self.limit = min(self._most, _INCREASE * self.limit)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._ends_at, self._least_lag_s, self._looks = now + _INTERVAL_S, inf, 0


@dataclass(frozen=True, slots=True)
class LoadStatus:
    """The load of this process, read as data.

    Attributes:
        in_flight: requests being answered.
        limit: how many may be; None for any number.
        lag_s: how long the event loop last kept a new request waiting.
        shed: requests refused since the start.
    """

    in_flight: int
    limit: int | None
    lag_s: float
    shed: int


class Shedding:
    """Counts requests in progress. A context manager around each; belongs to one event loop.

    Args:
        max_in_flight: more are refused; None for any number.
        max_lag_s: a loop that keeps lagging by more lets fewer in; None does not look.
        clock: measures the lag.
        random: the source of jitter.
    """

    def __init__(self, *, max_in_flight: int | None, max_lag_s: float | None, clock: Clock, random: Random) -> None:
        self._most: float = inf if max_in_flight is None else max_in_flight
        self._lag = None if max_lag_s is None else LagLimit(max_lag_s, most=self._most)
        self._clock = clock
        self._random = random
        self._in_flight = 0
        self._shed = 0
        self._lag_s = 0.0
        self._measuring = False

    def check(self, count: int = 1) -> None:
        """Refuse a request before anything of it is read, when it would be refused afterwards.

        Args:
            count: requests that come together.

        Raises:
            Overloaded: there are too many.
        """
        if self._lag is not None and not self._measuring:
            self._measuring = True
            asyncio.get_running_loop().call_soon(self._measured, self._lag, self._clock.now())
        if self._in_flight + count - 1 >= (self._most if self._lag is None else self._lag.limit):
            self._shed += count
            wait_s = self._random.randint(*_RETRY_AFTER_S)
            raise Overloaded(wait_s)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """A part of something that was let in before: it counts, and is not refused."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def __enter__(self) -> None:
        """Begin a request; raises Overloaded as `check` does."""
        self.check()
        self._in_flight += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_flight -= 1

    @contextmanager
    def several(self, count: int) -> Iterator[None]:
        """Begin as many requests, all of them or none; raises Overloaded as `check` does."""
        self.check(count)
        self._in_flight += count
        try:
            yield
        finally:
            self._in_flight -= count

    def status(self) -> LoadStatus:
        """The load as it is now."""
        limit = self._most if self._lag is None else self._lag.limit
        return LoadStatus(self._in_flight, None if limit == inf else int(limit), self._lag_s, self._shed)

    def _measured(self, lag: LagLimit, since: float) -> None:
        """One turn of the loop after a request came: the time is what everything else that is ready took."""
        self._measuring = False
        now = self._clock.now()
        self._lag_s = now - since
        lag.observe(self._lag_s, self._in_flight, now)
