"""Errors of one execution, and which of them the client is told.

A null that may not be takes the object it is in, and so on outward (GraphQL specification, §6.4.4). Of several errors
that took the same place the first in the order of the document is told, and none below a place that was taken before.
"""

from collections.abc import Sequence

from graphql import GraphQLError
from graphql.execution.executor import CollectedErrors
from graphql.pyutils import Path

from gateway.local_execution.layout import Position


class Failures(CollectedErrors):
    """All errors, whatever the order they come in. Also where graphql-core's executor leaves those it meets."""

    __slots__ = ("_found", "nothing")

    def __init__(self) -> None:
        super().__init__()
        self._found: list[tuple[GraphQLError, tuple[str | int, ...]]] = []
        self.nothing = False
        """The null has reached the root: there is no data."""

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, error: GraphQLError, path: Path | None) -> None:
        """Remember an error, and the place that is null because of it."""
        self._found.append((error, tuple(path.as_list()) if path is not None else ()))
        if path is None:
            self.nothing = True

    def told(self, root: Position) -> list[GraphQLError]:
        """What the client is told, in the order of the document."""
        ordered = sorted(self._found, key=lambda each: _order(root, each[0].path or ()))
        taken: set[tuple[str | int, ...]] = set()
        told = []
        for error, place in ordered:
            if not any(place[:length] in taken for length in range(len(place) + 1)):
                taken.add(place)
                told.append(error)
        return told


def _order(root: Position, path: Sequence[str | int]) -> list[int]:
    """A path as numbers: of the fields among those beside them, and of items in lists."""
    positions = [root]
    order = []
    for part in path:
        if isinstance(part, int):
            order.append(part)
            continue
        having = [position for position in positions if part in position.fields]
        order.append(max((list(position.fields).index(part) for position in having), default=0))
        positions = [below for position in having for below in position.fields[part].below.values()]
    return order
