"""One result a key, in key order: the contract between batched operations and their callers."""

from collections.abc import Callable, Sequence
from typing import Any

from clients.call import Call, Problem
from clients.errors import UpstreamError


class MissingKeyError(Exception):
    """A row lacks the attribute that the batch is aligned by."""


def align(
    call: Call,
    rows: Sequence[Any | None],
    problems: Sequence[Problem],
    error_for: Callable[[Problem], UpstreamError | None],
) -> tuple[list[Any], tuple[Problem, ...]]:
    """Order rows by the call's keys: a key without a row gets None, a row nobody asked for is dropped.

    A null row is told apart from a missing one only when the rows came in the order of the keys; then an error the
    upstream reported for it becomes the error of that key alone.

    Args:
        call: a batched call.
        rows: as the upstream gave them, in any order.
        problems: their `index` counts in `rows`.
        error_for: makes the error of a key; None when the problem only says that there is no such row.

    Returns:
        The values in key order, and the problems left over, their `index` counting in keys.

    Raises:
        MissingKeyError: a row has no such attribute.
    """
    batch, keys = call.operation.batch, call.keys
    if batch is None or keys is None:
        raise TypeError(f"{call.operation.name} is not a batched operation")
    wanted = batch.normals(keys)
    try:
        found = batch.of_each(rows)
    except AttributeError as error:
        raise MissingKeyError(str(error)) from error
    if found == wanted and not problems:  # as most upstreams answer
        return list(rows), ()
    by_key = {key: row for key, row in zip(found, rows, strict=True) if row is not None}
    in_order = len(rows) == len(keys) and all(f in (None, w) for f, w in zip(found, wanted, strict=True))
    values: list[Any] = [by_key.get(key) for key in wanted]
    at = {key: index for index, key in enumerate(wanted)}
    left = []
    for problem in problems:
        if problem.index is None or problem.index >= len(rows):
            left.append(problem)
            continue
        key = found[problem.index]
        index = at.get(key) if key is not None else problem.index if in_order else None
        if index is not None and values[index] is None:
            values[index] = error_for(problem)
        else:
            left.append(Problem(problem.message, problem.code, index, problem.path))
    return values, tuple(left)
