"""One call upstream for many that ask the same at once.

The first caller makes the call itself, in its own task: a task more costs more than all the rest of this stage, and
most flights have nobody else aboard. Those who come meanwhile wait for its answer. Should the first one be cancelled
while others wait, the call is made once more, in a task of its own that ends when nobody waits any more: a hang-up
costs one more call a flight at most, and never the others their answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import DeadlineExceeded
from clients.loops import RunningLoop
from clients.operation import Kind
from clients.span import Span
from clients.stages.cache_key import CacheKeys
from clients.stages.deadline import remaining_s

_Key = TypeVar("_Key", bound=Hashable)
Run = Callable[[Call, _Key], Awaitable[Answer]]
"""Makes the call of a flight; is given the flight's key as well."""


@dataclass(slots=True)
class _Flight:
    """One call under way.

    Attributes:
        deadline: of the caller whose call it is; the flight ends there by itself.
        task: what runs it: the first caller's, or (`apart`) one of its own.
        lasting: goes on though nobody waits.
        waiters: who is to be told; the outcome of those that have gone is cancelled.
        waiting: how many have not gone.
        landed: for whoever closes.
        span: what is recorded of it, if anything is.
    """

    key: Hashable
    deadline: float | None
    task: "asyncio.Task[Any] | None"
    apart: bool = False
    lasting: bool = False
    waiters: list["_Waiter"] = field(default_factory=list)
    waiting: int = 0
    landed: "asyncio.Future[None] | None" = None
    span: Span | None = None


_Outcome = Answer | BaseException | None


@dataclass(slots=True)
class _Waiter:
    """One who waits.

    Attributes:
        outcome: an answer or an error; None: there is another flight to wait for.
        onward: that flight.
    """

    call: Call
    run: Run[Any]
    outcome: "asyncio.Future[_Outcome]"
    onward: _Flight | None = None


class SingleFlight:
    """Shares calls in flight among callers that may share an answer. Owns the tasks that run some of them.

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
        self._flights: dict[Hashable, _Flight] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._closing = False
        self._loop = RunningLoop()

    def __call__(self, call: Call, inner: Handler) -> Awaitable[Answer]:
        """As a stage, for a service whose answers are not kept: calls that are alike share; mutations never."""
        if call.operation.kind is Kind.MUTATION or self._refused(call):
            return inner(call)
        return self.share(self._keys.in_flight(call), call, lambda call, _: inner(call))

    async def share(self, key: _Key, call: Call, run: Run[_Key]) -> Answer:
        """The answer or error of the flight under `key`, which is begun when there is none.

        Raises:
            UpstreamError: the flight's; DeadlineExceeded when this caller's time is up first.
        """
        flight = self._flights.get(key)
        if flight is not None:
            return await self._follow(flight, call, run)
        flight = self._flights[key] = _Flight(key, call.caller.deadline, self._loop.task(), span=call.caller.span)
        try:
            answer = await run(call, key)
        except BaseException as error:
            self._land(flight, error)
            raise
        self._land(flight, answer)
        return answer

    def launch(self, key: _Key, call: Call, run: Run[_Key]) -> bool:
        """Begin a flight that goes on though nobody waits; False when one is under way already."""
        if key in self._flights or self._closing:
            return False
        self._take_off(key, call, run).lasting = True
        return True

    async def aclose(self) -> None:
        """Cancel what is in flight and wait for it to end."""
        self._closing = True
        landed = []
        for flight in self._flights.values():
            flight.landed = asyncio.get_running_loop().create_future()
            landed.append(flight.landed)
            if flight.task is not None:
                flight.task.cancel()
        await asyncio.gather(*landed, *self._tasks, return_exceptions=True)

    def _take_off(self, key: _Key, call: Call, run: Run[_Key]) -> _Flight:
        """Begin a flight in a task of its own."""
        task: asyncio.Task[Answer] = asyncio.ensure_future(run(call, key))
        flight = self._flights[key] = _Flight(key, call.caller.deadline, task, apart=True, span=call.caller.span)
        self._tasks.add(task)

        def ended(done: asyncio.Task[Answer]) -> None:
            self._tasks.discard(done)
            error = asyncio.CancelledError() if done.cancelled() else done.exception()
            self._land(flight, done.result() if error is None else error)

        task.add_done_callback(ended)
        return flight

    def _land(self, flight: _Flight, outcome: Answer | BaseException) -> None:
        """Forget a flight that has ended, and tell those who wait."""
        self._forget(flight)
        if flight.waiters:
            self._tell(flight, outcome)
        if flight.landed is not None and not flight.landed.done():
            flight.landed.set_result(None)

    def _tell(self, flight: _Flight, outcome: Answer | BaseException) -> None:
        waiters = [waiter for waiter in flight.waiters if not waiter.outcome.done()]
        moved = [] if self._closing else [w for w in waiters if self._goes_on(w.call, flight, outcome)]
        if moved:
            patient = max(moved, key=lambda w: inf if (deadline := w.call.caller.deadline) is None else deadline)
            onward = self._take_off(flight.key, patient.call, patient.run)
            onward.waiting = len(moved)
            for waiter in moved:
                waiter.onward = onward
                waiter.outcome.set_result(None)
        for waiter in waiters:
            if not waiter.outcome.done():
                waiter.outcome.set_result(outcome)

    def _goes_on(self, call: Call, flight: _Flight, outcome: Answer | BaseException) -> bool:
        """Whether the flight ended for a reason of its own caller's that does not hold for this call."""
        if isinstance(outcome, DeadlineExceeded):
            return _later(call.caller.deadline, flight.deadline) and remaining_s(call, self._clock) != 0
        return isinstance(outcome, asyncio.CancelledError) and not flight.apart

    async def _follow(self, flight: _Flight, call: Call, run: Run[Any]) -> Answer:
        flight.waiting += 1
        if (span := call.caller.span) is not None and span is not flight.span:
            span.joined(flight.span)
        try:
            while True:
                waiter = _Waiter(call, run, self._loop.get().create_future())
                flight.waiters.append(waiter)
                try:
                    outcome = await self._hear(waiter, flight)
                finally:
                    if waiter.onward is not None:
                        flight = waiter.onward  # where this caller is counted now, cancelled this very turn or not
                if outcome is not None:
                    break
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and flight.apart and not flight.lasting and flight.task is not None:
                flight.task.cancel()
                self._forget(flight)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _hear(self, waiter: _Waiter, flight: _Flight) -> _Outcome:
        call = waiter.call
        if not _later(flight.deadline, call.caller.deadline):
            return await waiter.outcome  # the flight ends at its deadline by itself; a timer would be a second
        try:
            async with self._clock.timeout(remaining_s(call, self._clock) or 0.0):
                return await waiter.outcome
        except TimeoutError as error:
            raise DeadlineExceeded(
                self._service, f"{call.operation.name}: no answer before the request's deadline"
            ) from error

    def _forget(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]


def _later(deadline: float | None, than: float | None) -> bool:
    """Told by the deadlines, not by the time left: a loop's timers may fire a little early."""
    return than is not None and (deadline is None or deadline > than)
