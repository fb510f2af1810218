"""Many loads, one call: a request-scoped DataLoader over a batched operation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiodataloader import DataLoader, Loader, dispatch_queue_batch, get_chunks

from clients.call import Call, Problem, Served
from clients.errors import UpstreamError
from clients.operation import Operation
from loaders.rows import made_or_error
from loaders.scope import LoaderScope


@dataclass(frozen=True, slots=True)
class Loaded:
    """One key's row, and how it was served.

    Attributes:
        value: the object made of the row; None when there is no such row.
    """

    value: Any
    served: Served
    problems: tuple[Problem, ...] = ()


class RowLoader(DataLoader[Any, Loaded]):
    """Loads rows by key: aligned to the keys, None where missing, and a failed key fails only itself.

    Loads of one turn of the event loop become one call, of at most `batch.max_size` keys; with `window_s`, loads within
    that time do. Equal keys are asked for once in a request. Batches belong to the request's scope and end with it.

    Args:
        operation: a batched operation.
        make: turns a row into the object that resolvers get; called once a row.
        window_s: how long to collect keys; 0 collects until the end of the turn.
    """

    def __init__(
        self, operation: Operation, scope: LoaderScope, make: Callable[[Any], Any], *, window_s: float = 0.0
    ) -> None:
        if operation.batch is None:
            raise TypeError(f"{operation.name} is not a batched operation")
        self._operation = operation
        self._batch = operation.batch
        self._scope = scope
        self._make = make
        self._window_s = window_s
        super().__init__(max_batch_size=operation.batch.max_size, get_cache_key=operation.batch.normal)

    async def batch_load_fn(self, keys: list[Any]) -> list[Loaded | UpstreamError]:  # type: ignore[override]
        """One result a key, in key order; raises only when the call as a whole has no answer."""
        blank = Call(self._operation, {self._batch.variable: []}, self._scope.caller)
        call = blank.for_keys(keys)
        answer = await self._scope.upstream(self._operation.service).execute(call)
        problems: dict[int | None, list[Problem]] = {}
        for problem in answer.problems:
            problems.setdefault(problem.index, []).append(problem)
        shared = tuple(problems.get(None, ()))

        def loaded(index: int) -> Loaded | UpstreamError:
            row = answer.value[index]
            if row is not None and not isinstance(row, UpstreamError):
                row = made_or_error(self._operation, self._make, row, keys[index])
            if isinstance(row, UpstreamError):
                return row
            return Loaded(row, answer.served_row(index), (*shared, *problems.get(index, ())))

        return [loaded(index) for index in range(len(keys))]

    def do_resolve_reject(self, key: Any, future: "asyncio.Future[Loaded]") -> None:
        """Queue a load, and see to it that the queue is dispatched; aiodataloader's own tasks have no owner."""
        self._queue.append(Loader(key=key, future=future))
        if len(self._queue) > 1:
            return
        if self._window_s > 0:
            self.loop.call_later(self._window_s, self._dispatch)
        else:
            # Resolvers that this turn woke run in the next one, and may load too: wait for both, then go.
            self.loop.call_soon(self.loop.call_soon, self._dispatch)

    def _dispatch(self) -> None:
        queue, self._queue = self._queue, []
        awaited = []
        for load in queue:
            if load.future.cancelled():  # its request has ended, and the scope takes no more work
                self.clear(load.key)
            else:
                awaited.append(load)
        for chunk in get_chunks(awaited, self._batch.max_size):
            self._scope.spawn(dispatch_queue_batch(self, chunk))
