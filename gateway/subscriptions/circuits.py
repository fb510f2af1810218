"""What becomes of circuits, told to whoever listens."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from clients.clock import Clock
from clients.hooks import CircuitEvent, Hooks
from schema.context import CircuitNews

Listener = Callable[[CircuitEvent, datetime], None]
"""Is told of a change, and when; returns soon, and does not raise."""

_KEPT = 100
"""Changes that wait for one listener at most: a minute of a very bad day."""


class CircuitFeed:
    """Hooks around hooks: all goes to the inner ones, and changes of circuits to listeners as well.

    Args:
        inner: the hooks within.
        clock: its wall time is when a change is said to have happened.
        listeners: are told of every change, from the first one on.
    """

    def __init__(self, inner: Hooks, clock: Clock, listeners: Iterable[Listener] = ()) -> None:
        self._inner = inner
        self._clock = clock
        self._listeners = list(listeners)
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
            for tell in self._listeners:
                tell(event, at)

    @contextmanager
    def listening(self) -> Iterator[AsyncIterator[CircuitNews]]:
        """The changes from now on, for as long as the block runs.

        Who does not keep up misses the oldest changes, and is told how many: the pipeline waits for nobody.
        """
        kept = _Kept()
        self._listeners.append(kept.put)
        try:
            yield kept.news()
        finally:
            self._listeners.remove(kept.put)


class _Kept:
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
