"""Time as an argument: everything that waits or measures gets a `Clock`, so tests can move time by hand."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    """A callback that is to come."""

    def cancel(self) -> None:
        """Let it not come."""
        ...


class Clock(Protocol):
    """What the pipeline asks of time."""

    def now(self) -> float:
        """Monotonic seconds; only differences mean anything, and wall-clock jumps do not move it."""
        ...

    def wall(self) -> datetime:
        """The time people read, in UTC; for display and logs, never for decisions."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` seconds."""
        ...

    def timeout(self, delay_s: float) -> AbstractAsyncContextManager[object]:
        """A block that raises TimeoutError once it has run for `delay_s` seconds."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Have something called in `delay_s` seconds. Holds nothing up: a pending timer is no task."""
        ...


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)

    def wall(self) -> datetime:
        """The time people read, in UTC."""
        return datetime.now(UTC)

    def timeout(self, delay_s: float) -> asyncio.Timeout:
        """`asyncio.timeout`: relative, because uvloop's loop time has another origin than `now`."""
        return asyncio.timeout(delay_s)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """`call_later` of the running loop."""
        return asyncio.get_running_loop().call_later(delay_s, callback)
