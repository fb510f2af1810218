"""Values as resolvers give them: what is null, what has to be waited for, what can be read once only."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from types import CoroutineType, GeneratorType, NoneType
from typing import Any

from graphql.pyutils import Undefined, UndefinedType, is_awaitable, is_iterable

from gateway.local_execution.leaves import Unusual


class _Cut:
    """An iterable that was read already, and ends with the error that it ended with."""

    def __init__(self, items: list[Any], error: Exception) -> None:
        self._items = items
        self._error = error

    def __iter__(self) -> Iterator[Any]:
        yield from self._items
        raise self._error


async def results(values: Sequence[Any]) -> list[Any]:
    """The values, those that have to be waited for replaced by what came of them: a value or an exception."""
    ready = list(values)
    waited = [index for index, value in enumerate(values) if is_awaitable(value)]
    if len(waited) == 1:
        (index,) = waited
        try:
            ready[index] = await ready[index]
        except Exception as error:  # noqa: BLE001  # a resolver's; it becomes the field's
            ready[index] = error
        return ready
    came = await asyncio.gather(*(ready[index] for index in waited), return_exceptions=True)
    for index, result in zip(waited, came, strict=True):
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result
        ready[index] = result
    return ready


def usual(kinds: Iterable[type]) -> bool:
    """Whether values of these classes are objects: no nulls, no exceptions, nothing to wait for."""
    return not any(
        kind is NoneType or kind is UndefinedType or issubclass(kind, Exception) or _awaited_kind(kind)
        for kind in kinds
    )


def any_awaitable(values: Sequence[Any]) -> bool:
    """Whether something has to be waited for."""
    return any(map(_awaited_kind, set(map(type, values)))) and any(map(is_awaitable, values))


def _awaited_kind(kind: type) -> bool:
    """Whether values of a class may be awaitable."""
    return kind is CoroutineType or kind is GeneratorType or hasattr(kind, "__await__")


def is_null(value: Any, *, nullable: bool) -> bool:
    """Whether it is null.

    Raises:
        Unusual: it is, and may not be; or it is an exception.
    """
    null = value is None or value is Undefined
    if (null and not nullable) or isinstance(value, Exception):
        raise Unusual
    return null


def told(answer: Any) -> Any:
    """What was said of a type.

    Raises:
        Unusual: it has to be waited for; graphql-core asks again, and waits.
    """
    if is_awaitable(answer):
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        raise Unusual
    return answer


def listed(value: Any) -> Any:
    """An iterable that can be read once as a list; anything else as it is."""
    kind = type(value)
    if kind is list or kind is tuple or hasattr(kind, "__aiter__") or not is_iterable(value):
        return value
    items: list[Any] = []
    try:
        items.extend(value)
    except Exception as error:  # noqa: BLE001  # told again, when it is read again
        return _Cut(items, error)
    return items


def flat(values: Sequence[list[Any]]) -> tuple[list[Any], Sequence[int], Sequence[int]]:
    """The items of all lists, for each the number of its list, and its index there."""
    if len(values) == 1:
        (items,) = values
        return list(items), [0] * len(items), range(len(items))  # a copy: the resolver's own may change meanwhile
    flat: list[Any] = []
    rows: list[int] = []
    indices: list[int] = []
    for row, items in enumerate(values):
        flat += items
        rows += [row] * len(items)
        indices += range(len(items))
    return flat, rows, indices


def parted(made: list[Any], values: Sequence[list[Any]]) -> list[list[Any]]:
    """What was made of the items of lists, in lists of its own like theirs."""
    parts = []
    end = 0
    for value in values:
        begin, end = end, end + len(value)
        parts.append(made[begin:end])
    return parts


def take_out(within: Any, indices: Sequence[int]) -> None:
    """Make an item null, unless one of the lists around it is already."""
    for index in indices[:-1]:
        within = within[index] if within is not None else None
    if within is not None:
        within[indices[-1]] = None
