"""How many calls to a service are under way at once: the rest wait in a short line, and past it are refused at once.

The wire has as many connections as there are places here or more, so a call never waits inside of it: having too few
connections is our own affair, and neither the attempt's timer nor the circuit ever hears of it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from msgspec.structs import replace

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import ConcurrencyLimitReached, DeadlineExceeded
from clients.stages.deadline import remaining_s


@dataclass(frozen=True, slots=True)
class ConcurrencyStatus:
    """The limit, read as data.

    Attributes:
        limit: calls that may be under way.
        in_flight: calls under way.
        queued: calls waiting for a place.
        refused: calls refused since the start.
    """

    limit: int
    in_flight: int
    queued: int
    refused: int


class Concurrency:
    """Gives each call a place, in order of arrival, and takes it back whatever becomes of the call.

    Args:
        service: its name, for messages.
        limit: calls under way at once.
        queue: calls that may wait.
        wait_s: how long each may wait; its deadline may be nearer.
        clock: all time comes from it.
    """

    def __init__(self, service: str, *, limit: int, queue: int, wait_s: float, clock: Clock) -> None:
        self._service = service
        self._limit = limit
        self._max_queued = queue
        self._wait_s = wait_s
        self._clock = clock
        self._in_flight = 0
        self._refused = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on with a place.

        Raises:
            ConcurrencyLimitReached: there is none, or was none in time.
            DeadlineExceeded: the request's deadline came before a place.
        """
        queued_s = 0.0
        if self._in_flight < self._limit and not self._queue:
            self._in_flight += 1
        else:
            began = self._clock.now()
            await self._wait(call)
            queued_s = self._clock.now() - began
        try:
            answer = await inner(call)
        finally:
            self._in_flight -= 1
            self._admit()
        return answer if queued_s == 0.0 else replace(answer, queued_s=answer.queued_s + queued_s)

    def status(self) -> ConcurrencyStatus:
        """The limit as it is now."""
        return ConcurrencyStatus(self._limit, self._in_flight, len(self._queue), self._refused)

    def _admit(self) -> None:
        """Hand free places to those who wait, first come first served."""
        while self._queue and self._in_flight < self._limit:
            place = self._queue.popleft()
            if not place.done():  # else its caller was cancelled and has not run since
                self._in_flight += 1
                place.set_result(None)

    async def _wait(self, call: Call) -> None:
        left = remaining_s(call, self._clock)
        patience_s = self._wait_s if left is None else min(self._wait_s, left)
        if len(self._queue) >= self._max_queued or patience_s <= 0:
            raise self._refusal(f"{self._in_flight:,} calls are under way and {len(self._queue):,} wait")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            async with self._clock.timeout(patience_s):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():  # it came together with the end of waiting: pass it on
                self._in_flight -= 1
                self._admit()
            elif place in self._queue:
                self._queue.remove(place)
            if not isinstance(error, TimeoutError):
                raise
            if patience_s < self._wait_s:
                raise DeadlineExceeded(
                    self._service, f"{call.operation.name}: no place before the request's deadline"
                ) from error
            raise self._refusal(f"none of {self._limit:,} calls under way ended within {self._wait_s:g} s") from error

    def _refusal(self, reason: str) -> ConcurrencyLimitReached:
        self._refused += 1
        return ConcurrencyLimitReached(self._service, f"at its limit of concurrent calls: {reason}")
