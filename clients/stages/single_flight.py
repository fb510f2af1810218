"""One call upstream for many that ask the same at once.

The flight is a task of its own: the first caller's cancellation ends its waiting, not the flight. When the last one
that waits is gone, the flight is cancelled, so nothing runs on for nobody.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import DeadlineExceeded
from clients.operation import Kind
from clients.stages.cache_key import CacheKeys
from clients.stages.deadline import remaining_s


@dataclass(slots=True)
class _Flight:
    key: bytes
    task: asyncio.Task[Answer]
    deadline: float | None
    waiting: int = 0


class SingleFlight:
    """Shares calls in flight among callers that may share an answer; mutations are never shared.

    Args:
        service: the service's name.
        keys: tell who may share.
        clock: all time comes from it.
        refused: tells calls that would not get as far as the wire, and so have nothing to share.
    """

    def __init__(
        self, service: str, keys: CacheKeys, clock: Clock, *, refused: Callable[[Call], bool] = lambda _: False
    ) -> None:
        self._service = service
        self._keys = keys
        self._clock = clock
        self._refused = refused
        self._flights: dict[bytes, _Flight] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """The flight's answer or error; DeadlineExceeded when this caller's time is up first."""
        if call.operation.kind is Kind.MUTATION or self._refused(call):
            return await inner(call)
        key = self._keys.whole(call)
        while True:
            flight = self._flights.get(key) or self._take_off(key, call, inner)
            try:
                return await self._wait(flight, call)
            except DeadlineExceeded:
                # A flight ends at the deadline of the caller that began it; one with more time begins another.
                if not _later(call.caller.deadline, flight.deadline) or remaining_s(call, self._clock) == 0:
                    raise

    async def aclose(self) -> None:
        """Cancel what is in flight and wait for it to end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take_off(self, key: bytes, call: Call, inner: Handler) -> _Flight:
        task: asyncio.Task[Answer] = asyncio.ensure_future(inner(call))
        flight = self._flights[key] = _Flight(key, task, call.caller.deadline)
        self._tasks.add(task)

        def land(done: asyncio.Task[Answer]) -> None:
            self._tasks.discard(done)
            self._forget(flight)
            if not done.cancelled():
                done.exception()  # seen, even when nobody waits any more

        task.add_done_callback(land)
        return flight

    async def _wait(self, flight: _Flight, call: Call) -> Answer:
        flight.waiting += 1
        try:
            if not _later(flight.deadline, call.caller.deadline):
                return await asyncio.shield(flight.task)  # it ends at its deadline by itself; a timer would be a second
            async with self._clock.timeout(remaining_s(call, self._clock) or 0.0):
                return await asyncio.shield(flight.task)
        except TimeoutError as error:
            raise DeadlineExceeded(
                self._service, f"{call.operation.name}: no answer before the request's deadline"
            ) from error
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                flight.task.cancel()
                self._forget(flight)

    def _forget(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]


def _later(deadline: float | None, than: float | None) -> bool:
    """Told by the deadlines, not by the time left: a loop's timers may fire a little early."""
    return than is not None and (deadline is None or deadline > than)
