"""What the tests of the stores share: a clock moved by hand, and entries."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from clients.stores.base import Entry


class ManualClock:
    """Time that stands still until it is moved; monotonic and wall time move apart."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start
        self.wall_time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> float:
        return self._now

    def wall(self) -> datetime:
        return self.wall_time

    def advance(self, seconds: float) -> None:
        self._now += seconds

    async def sleep(self, delay_s: float) -> None:
        raise NotImplementedError

    def timeout(self, delay_s: float) -> asyncio.Timeout:
        return asyncio.timeout(delay_s)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        raise NotImplementedError


def entry(value: Any, *, now: float = 1000.0, max_age_s: float = 60, stale_s: float = 600, size: int = 100) -> Entry:
    return Entry(value, now, now + max_age_s, now + max_age_s, now + max_age_s + stale_s, size)
