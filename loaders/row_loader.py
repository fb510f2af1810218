"""Many loads, one call: a request-scoped loader over a batched operation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clients.call import Call, Problem, Served
from clients.errors import UpstreamError
from clients.operation import Operation
from loaders.rows import made_or_error
from loaders.scope import LoaderScope
from loaders.scoped_loader import ScopedLoader


@dataclass(frozen=True, slots=True)
class Loaded:
    """One key's row, and how it was served.

    Attributes:
        value: the object made of the row; None when there is no such row.
    """

    value: Any
    served: Served
    problems: tuple[Problem, ...] = ()


class RowLoader(ScopedLoader[Loaded]):
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
        self._make = make
        batch = operation.batch
        super().__init__(scope, max_size=batch.max_size, window_s=window_s, normal=batch.normal)

    async def load_batch(self, keys: list[Any]) -> list[Loaded | UpstreamError]:
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
