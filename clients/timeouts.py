"""Timeouts of one length, and callbacks after one and the same time: cheap, because one timer serves all of them.

Those that begin later end later, so the loop has to know of the oldest only. Nearly all of them are over before their
time, and an `asyncio.timeout` for each, with a timer of the loop for each, costs a tenth of a small request.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

from clients.clock import Clock, Timer
from clients.loops import RunningLoop

_EARLY_S = 0.002  # loops count in milliseconds, and may call a little early


class Delayed:
    """A callback that is to come. `cancel` costs nothing."""

    __slots__ = ("callback", "due")

    def __init__(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback
        self.due = 0.0

    def cancel(self) -> None:
        """Let it not come."""
        self.callback = None


class Delays:
    """Callbacks that come `delay_s` after they were asked for, in order. Belongs to one event loop."""

    def __init__(self, delay_s: float, clock: Clock) -> None:
        self.delay_s = delay_s
        self.loop = RunningLoop()
        self._clock = clock
        self._waiting: deque[Delayed] = deque()  # oldest first
        self._timer: Timer | None = None

    def start(self, callback: Callable[[], None]) -> Delayed:
        """Have something called."""
        delayed = Delayed(callback)
        self.add(delayed)
        return delayed

    def add(self, delayed: Delayed) -> None:
        """Have its callback called."""
        waiting = self._waiting
        while waiting and waiting[0].callback is None:
            waiting.popleft()
        delayed.due = self._clock.now() + self.delay_s
        waiting.append(delayed)
        if self._timer is None:
            self._timer = self._clock.call_later(self.delay_s, self._fire)

    def _fire(self) -> None:
        """Call what is due; the timer goes on for the oldest of the others."""
        self._timer = None
        waiting, now = self._waiting, self._clock.now()
        while waiting:
            oldest = waiting[0]
            callback = oldest.callback
            if callback is not None:
                if oldest.due > now + _EARLY_S:
                    self._timer = self._clock.call_later(oldest.due - now, self._fire)
                    return
                oldest.callback = None
            waiting.popleft()  # before the call, which may ask for another
            if callback is not None:
                callback()


class Timeouts:
    """Makes blocks that raise TimeoutError once they have run for `timeout_s`. Belongs to one event loop."""

    def __init__(self, timeout_s: float, clock: Clock) -> None:
        self._delays = Delays(timeout_s, clock)

    def block(self) -> "Block":
        """A block for the running task: `with timeouts.block(): await …`."""
        return Block(self._delays)


class Block(Delayed):
    """As `asyncio.timeout`, with the same rules of whose cancellation it was. Entered once."""

    __slots__ = ("_cancelling", "_delays", "_expired", "_task")

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._expired = False

    def __enter__(self) -> None:
        self._task = task = self._delays.loop.task()
        self._cancelling = task.cancelling()
        self.callback = self._expire
        self._delays.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = self._task
        self.callback = None
        del self._task  # the line of those that wait may keep this for a while
        if self._expired and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
