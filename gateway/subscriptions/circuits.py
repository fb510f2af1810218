"""What becomes of circuits, told to whoever listens."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime

from clients.clock import Clock
from clients.hooks import CircuitEvent, Hooks
from schema.context import CircuitNews

_KEPT = 100
"""Changes that wait for one listener at most: a minute of a very bad day."""


class CircuitFeed:
    """Hooks around hooks: all goes to the inner ones, and changes of circuits to listeners as well.

    A listener that does not keep up misses the oldest changes, and is told how many: the pipeline waits for nobody.
    """

    def __init__(self, inner: Hooks, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._listeners: set[_Listener] = set()
        # the pipeline asks the inner ones, as if there was nothing between
        self.wants_successes = inner.wants_successes
        self.on_attempt = inner.on_attempt
        self.on_retry = inner.on_retry
        self.on_endpoint = inner.on_endpoint
        self.on_served = inner.on_served

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def on_circuit(self, event: CircuitEvent) -> None:
        """Tell everybody."""
        self._inner.on_circuit(event)
        if self._listeners:
            at = self._clock.wall()
            for listener in self._listeners:
                listener.put(event, at)

    @contextmanager
    def listening(self) -> Iterator[AsyncIterator[CircuitNews]]:
        """The changes from now on, for as long as the block runs."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            yield listener.news()
        finally:
            self._listeners.discard(listener)


class _Listener:
    def __init__(self) -> None:
        self._waiting: deque[tuple[CircuitEvent, datetime]] = deque()
        self._missed = 0
        self._any = asyncio.Event()

    def put(self, event: CircuitEvent, at: datetime) -> None:
        if len(self._waiting) == _KEPT:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append((event, at))
        self._any.set()

    async def news(self) -> AsyncIterator[CircuitNews]:
        while True:
            while not self._waiting:
                self._any.clear()
                await self._any.wait()
            event, at = self._waiting.popleft()
            missed, self._missed = self._missed, 0
            yield CircuitNews(event, at, missed)
