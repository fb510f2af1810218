"""Decoders that reach rows wherever an answer keeps them: `$.data.customers` becomes nested msgspec Structs."""

from collections.abc import Sequence
from typing import Any

import msgspec

from clients.operation import Operation


def rows_type(operation: Operation) -> Any:
    """What stands at the rows' place: a list of rows or null, or one row or null."""
    row = operation.row | None
    return list[row] | None if operation.many else row  # type: ignore[valid-type]


def nested(path: Sequence[str], innermost: Any) -> Any:
    """A type that expects objects along `path` and `innermost` at its end; keys beside the path are skipped.

    Null may stand anywhere on the way, but nothing may be left out: an answer about something else is no empty answer.
    """
    kind = innermost
    for name in reversed(path):
        kind = msgspec.defstruct("Answer", [("value", kind | None, msgspec.field(name=name))], module=__name__)
    return kind


def dig(value: Any, depth: int) -> Any:
    """The innermost value of `depth` nested Structs; None where one of them is null."""
    for _ in range(depth):
        if value is None:
            return None
        value = value.value
    return value
