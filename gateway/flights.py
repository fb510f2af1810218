"""`server.dedupe_inflight`: one execution for queries that ask the same at the same time, on behalf of the same caller.

An execution has a task of its own, so that it goes on when the client that came first hangs up, and ends when the last
one does. A flight is there for as long as its execution runs: nothing is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from operator import attrgetter
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from clients.call import Caller
from clients.clock import Clock
from clients.service import Service
from clients.span import Span
from gateway.execution import Asked
from gateway.http.endpoint import Answer, encode

# Of the caller, everything but what tells requests of one and the same caller apart. A field that is added counts.
_of_one_request = frozenset(
    {"request_id", "correlation_id", "deadline", "expires_at", "headers", "propagated", "span", "tally"}
)
_who = attrgetter(*(name for name in Caller.__struct_fields__ if name not in _of_one_request))

# What clients and proxies put into every request, and no answer depends on unless a service is sent it.
_INCIDENTAL = frozenset(
    {
        "accept",
        "accept-encoding",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "keep-alive",
        "pragma",
        "priority",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-correlation-id",
        "x-request-id",
    }
)

Run = Callable[[], Awaitable[Answer]]


class QueryKeys:
    """Tells who may share an answer: the same operation, the same variables as text, the same caller and headers.

    Without code of the application in this process, an answer depends on the headers that services are sent and on no
    other. Code may read any header: then all of them count, but for a few that say nothing of what is asked.

    Args:
        services: those whose entries name headers; one that the supergraph alone names is sent the ids, which do not
            count.
        code: whether modules of the application run here.
    """

    def __init__(self, services: Iterable[Service], *, code: bool) -> None:
        self._sent = tuple(sorted({name for service in services for name in service.varying}))
        self._ignored: Collection[str] = _INCIDENTAL.difference(self._sent)
        self.counted: Callable[[Mapping[str, str]], Hashable] = self._every if code else self._sent_on
        """What of a request's headers an answer may depend on."""

    def key(self, asked: Asked) -> Hashable | None:
        """The key of a query; None when it shares with nobody.

        A document belongs to one snapshot of the schema, and is told by identity: a reload begins new flights.
        """
        if asked.variables_text is None:
            return None
        caller = asked.context.caller
        return asked.document, asked.operation.name, asked.variables_text, _who(caller), self.counted(caller.headers)

    def _sent_on(self, headers: Mapping[str, str]) -> Hashable:
        return tuple([headers.get(name) for name in self._sent])

    def _every(self, headers: Mapping[str, str]) -> Hashable:
        return tuple([item for item in headers.items() if item[0] not in self._ignored])


class _Flight:
    """One execution under way.

    Attributes:
        deadline: of the request that began it; it ends there by itself.
        waiting: one future for each request.
        late: it ended at its deadline, with less than was asked for.
        span: what is recorded of the request that began it, if anything is.
    """

    __slots__ = ("deadline", "late", "span", "task", "waiting")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.waiting: dict[asyncio.Future[Answer], None] = {}
        self.late = False
        self.span: Span | None = None
        self.task: asyncio.Task[Answer]


class QueryFlights:
    """Shares executions. Owns their tasks; an async context manager, and leaving it ends them all.

    Args:
        keys: tell who may share.
        clock: the clock of deadlines.
    """

    def __init__(self, keys: QueryKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._flights: dict[Hashable, _Flight] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()

    def answer(self, asked: Asked, run: Run) -> Awaitable[Answer]:
        """The answer to a query: of `run`, or of another query's that is alike."""
        key = self._keys.key(asked)
        if key is None:
            return run()
        caller = asked.context.caller
        return self.share(key, caller.deadline or 0.0, run, caller.span)

    async def share(self, key: Hashable, deadline: float, run: Run, span: Span | None = None) -> Answer:
        """The answer of the flight under `key`, which is begun with `run` when there is none.

        Its `body` is made once, for all. May be cancelled: the execution goes on for the others.

        Nobody waits beyond the own deadline, for only flights that end sooner are joined. Nobody has less time for
        that either: an answer that is incomplete because the flight's time was up is its beginner's alone, and those
        with more time execute for themselves.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._begin(key, deadline, run)
            flight.span = span
        elif flight.deadline > deadline:
            return await run()
        elif span is not None:
            span.joined(flight.span)
        answer = await self._hear(key, flight)
        return await run() if flight.late and flight.deadline < deadline else answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, key: Hashable, deadline: float, run: Run) -> _Flight:
        flight = self._flights[key] = _Flight(deadline)
        flight.task = asyncio.create_task(self._execute(flight, run))
        self._tasks.add(flight.task)

        def landed(task: asyncio.Task[Answer]) -> None:
            self._tasks.discard(task)
            self._forget(key, flight)
            _tell(flight, task)

        flight.task.add_done_callback(landed)
        return flight

    async def _execute(self, flight: _Flight, run: Run) -> Answer:
        answer = await run()
        if answer.errors or answer.extensions:
            flight.late = self._clock.now() >= flight.deadline - _EARLY_S
        return replace(answer, body=encode(answer))

    async def _hear(self, key: Hashable, flight: _Flight) -> Answer:
        mine: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        flight.waiting[mine] = None
        try:
            return await mine
        except asyncio.CancelledError:
            flight.waiting.pop(mine, None)
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight)  # whoever comes now begins another
                flight.task.cancel()
                await asyncio.wait({flight.task})
            raise

    def _forget(self, key: Hashable, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


_EARLY_S = 0.01  # timers may fire a little before their time


def _tell(flight: _Flight, task: asyncio.Task[Any]) -> None:
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    for waiter in flight.waiting:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(task.result())
        elif isinstance(error, asyncio.CancelledError):
            waiter.cancel()
        else:
            waiter.set_exception(error)
    flight.waiting.clear()
