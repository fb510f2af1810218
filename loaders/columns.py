"""Fields that are resolved for many objects at once, by whoever executes a column at a time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from loaders.scope import LoaderScope

COLUMN = "breakwater.column"
"""Under this key a field's metadata holds its `ColumnResolver`; its resolver does the same for one object."""

PathOf: TypeAlias = Callable[[int], Sequence[str | int]]
"""The response path of the field of the object with that index."""

ColumnResolver: TypeAlias = Callable[[Sequence[Any], LoaderScope, PathOf, bool], Awaitable[list[Any]]]
"""The field's values for these objects, in their order; an exception stands for the value that could not be had.

The last argument says that nothing else of the request is loading, so that there is nothing to wait for.
"""


def keys_of(sources: Sequence[Any], key: Callable[[Any], Any]) -> list[Any]:
    """The key of each source; the exception where it has none."""
    try:
        return list(map(key, sources))
    except Exception:  # noqa: BLE001  # found again below, at its source
        return [_key_or_error(source, key) for source in sources]


def _key_or_error(source: Any, key: Callable[[Any], Any]) -> Any:
    try:
        return key(source)
    except Exception as error:  # noqa: BLE001  # it becomes the field's
        return error
