"""A `Clock` moved by hand: a test that waits for an hour takes no time and gives the same result every time."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta

from clients.clock import Timer
from tests.testkit.waiting import DEADLINE_S, Signal

_IDLE_TURNS = 3  # a loopback socket written in one turn is readable in the next
_MAX_TURNS = 10_000


class _Timer:
    __slots__ = ("due", "fire", "is_sleep")

    def __init__(self, due: float, fire: Callable[[], None], *, is_sleep: bool) -> None:
        self.due = due
        self.fire = fire
        self.is_sleep = is_sleep


class _Handle:
    """A timer that can be taken back."""

    def __init__(self, clock: "ManualClock", timer: _Timer) -> None:
        self._clock = clock
        self._timer = timer

    def cancel(self) -> None:
        self._clock._remove(self._timer)


class ManualClock:
    """Implements `clients.clock.Clock`; time stands still until `advance` or `jump`.

    Sleepers and timeouts that fall due fire in order of their due time, and in order of registration when they are
    due together. Belongs to one event loop.
    """

    def __init__(self, *, now: float = 1000.0, wall: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        """Start at `now` monotonic seconds, shown to people as `wall`."""
        self._now = now
        self._wall_at_zero = wall - timedelta(seconds=now)
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()
        self._changed = Signal()

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> datetime:
        """The time people read, in UTC."""
        return self._wall_at_zero + timedelta(seconds=self._now)

    async def sleep(self, delay_s: float) -> None:
        """Wait until the clock has been moved on by `delay_s`; with 0 or less, for one turn of the loop."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self._add(delay_s, wake, is_sleep=True)
        try:
            await woken
        finally:
            self._remove(timer)

    def timeout(self, delay_s: float) -> AbstractAsyncContextManager[asyncio.Timeout]:
        """`asyncio.timeout` on this clock: the same rules of cancellation."""
        return self._timeout(delay_s)

    @asynccontextmanager
    async def _timeout(self, delay_s: float) -> AsyncIterator[asyncio.Timeout]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as timeout:

            def expire() -> None:
                timeout.reschedule(loop.time())

            if delay_s <= 0:
                expire()
                yield timeout
                return
            timer = self._add(delay_s, expire, is_sleep=False)
            try:
                yield timeout
            finally:
                self._remove(timer)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """`callback` once the clock has been moved on by `delay_s`."""
        return _Handle(self, self._add(delay_s, callback, is_sleep=False))

    @property
    def sleepers(self) -> tuple[float, ...]:
        """Seconds that each `sleep` still has to wait, shortest first."""
        return tuple(due - self._now for due, _, timer in sorted(self._timers) if timer.is_sleep)

    @property
    def timeouts(self) -> tuple[float, ...]:
        """Seconds that each `timeout` block and each timer has left, shortest first."""
        return tuple(due - self._now for due, _, timer in sorted(self._timers) if not timer.is_sleep)

    async def advance(self, seconds: float) -> None:
        """Let time pass: stop at every due time on the way, and let what was woken run until it is idle.

        A task that sleeps 2 s and then 3 s has done both after `advance(5)`.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        target = self._now + seconds
        await self.settle()
        while self._timers and self._timers[0][0] <= target:
            self._fire_next()
            await self.settle()
        self._now = target
        await self.settle()

    def jump(self, seconds: float) -> None:
        """Move time at once, as if the process had been suspended: everything due fires, nothing runs in between."""
        if seconds < 0:
            raise ValueError("time does not go back")
        target = self._now + seconds
        while self._timers and self._timers[0][0] <= target:
            self._fire_next()
        self._now = target

    def shift_wall(self, by: timedelta) -> None:
        """Set the wall clock, forth or back; monotonic time does not notice."""
        self._wall_at_zero += by

    async def settle(self) -> None:
        """Let tasks run until none can go on without the clock, an event or a socket from elsewhere.

        Traffic between sockets of this loop is covered in most cases only; wait for its effect instead
        (`wait_for_sleepers`, `RecordedCall.wait_for_hang_up`). Threads are not covered.

        Raises:
            RuntimeError: tasks are still busy after ten thousand turns.
        """
        # asyncio's ready queue tells an idle loop from a busy one; uvloop hides its own, so there it gets turns.
        ready = getattr(asyncio.get_running_loop(), "_ready", None)
        idle = 0
        for _ in range(100 if ready is None else _MAX_TURNS):
            await asyncio.sleep(0)
            if ready is not None:
                idle = 0 if ready else idle + 1
                if idle == _IDLE_TURNS:
                    return
        if ready is not None:
            raise RuntimeError(f"tasks are still busy after {_MAX_TURNS} turns of the loop")

    async def wait_for_sleepers(self, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once at least `count` tasks sleep on this clock; for work that reaches its sleep through real I/O.

        Raises:
            TimeoutError: saying how many there are instead.
        """
        await self._changed.until(
            lambda: len(self.sleepers) >= count,
            lambda: f"{count} sleepers; there are {len(self.sleepers)}",
            deadline_s=deadline_s,
        )

    async def wait_for_timeouts(self, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once at least `count` timeout blocks of this clock are entered.

        Raises:
            TimeoutError: saying how many there are instead.
        """
        await self._changed.until(
            lambda: len(self.timeouts) >= count,
            lambda: f"{count} timeouts; there are {len(self.timeouts)}",
            deadline_s=deadline_s,
        )

    def _add(self, delay_s: float, fire: Callable[[], None], *, is_sleep: bool) -> _Timer:
        timer = _Timer(self._now + delay_s, fire, is_sleep=is_sleep)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        self._changed.notify()
        return timer

    def _remove(self, timer: _Timer) -> None:
        kept = [entry for entry in self._timers if entry[2] is not timer]
        if len(kept) != len(self._timers):
            heapq.heapify(kept)
            self._timers = kept
            self._changed.notify()

    def _fire_next(self) -> None:
        due, _, timer = heapq.heappop(self._timers)
        self._now = max(self._now, due)
        timer.fire()
        self._changed.notify()
