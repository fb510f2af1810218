"""Columns: all objects of one type at one response path, and how a column of values becomes those below it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql.pyutils import Path

from gateway.local_execution.layout import Field, Position
from gateway.local_execution.leaves import Unusual
from gateway.local_execution.values import is_null


@dataclass(slots=True, eq=False)
class Column:
    """Objects of one type at one response path.

    Attributes:
        up: the column they belong to, as values of its field `of`; None at the root.
        rows: for each object, the one of `up` that it belongs to.
        indices: for each object, where it is in the list (or lists) of the field; None where there is none.
        made: the response's objects, one for each source.
        rare: the objects whose attributes could not be copied.
    """

    position: Position
    sources: Sequence[Any]
    up: "Column | None" = None
    of: Field | None = None
    rows: Sequence[int] = (0,)
    indices: Sequence[int] | Sequence[tuple[int, ...]] | None = None
    made: list[Any] = field(default_factory=list)
    rare: list[int] = field(default_factory=list)
    paths: dict[int, Path | None] = field(default_factory=dict)

    def path(self, row: int) -> Path | None:
        """The response path of an object."""
        if self.up is None or self.of is None:
            return None
        found = self.paths.get(row)
        if found is None:
            found = self.up.path_of(self.rows[row], self.of)
            for index in self.indices_of(row):
                found = Path(found, index, None)
            self.paths[row] = found
        return found

    def path_of(self, row: int, of: Field) -> Path:
        """The response path of a field of an object."""
        return Path(self.path(row), of.key, of.parent.name)

    def indices_of(self, row: int) -> tuple[int, ...]:
        """Where an object is in the lists of the field."""
        if self.indices is None:
            return ()
        found = self.indices[row]
        return found if isinstance(found, tuple) else (found,)


@dataclass(slots=True, eq=False)
class Found:
    """The objects in a value.

    Attributes:
        placed: the lists around them as the response has them, with nulls in the objects' places.
        places: for each object, a list and its index there; None for the value itself.
        indices: for each object, its indices in all the lists around it.
    """

    placed: Any = None
    items: list[Any] = field(default_factory=list)
    places: list[tuple[list[Any], int] | None] = field(default_factory=list)
    indices: list[tuple[int, ...]] = field(default_factory=list)

    def take(self, value: Any, nullable: Sequence[bool]) -> None:
        """Take a field's value in.

        Raises:
            Unusual: it is not as it should be, or something in it is not.
        """
        if is_null(value, nullable=nullable[0]):
            return
        if len(nullable) > 1:
            self.placed = self._lists(value, nullable[1:], ())
        else:
            self._add(value, None, ())

    def _lists(self, values: Any, nullable: Sequence[bool], prefix: tuple[int, ...]) -> list[Any]:
        if type(values) is not list and type(values) is not tuple:
            raise Unusual
        placed: list[Any] = [None] * len(values)
        for index, value in enumerate(values):
            if is_null(value, nullable=nullable[0]):
                continue
            if len(nullable) > 1:
                placed[index] = self._lists(value, nullable[1:], (*prefix, index))
            else:
                self._add(value, (placed, index), (*prefix, index))
        return placed

    def _add(self, item: Any, place: tuple[list[Any], int] | None, indices: tuple[int, ...]) -> None:
        self.items.append(item)
        self.places.append(place)
        self.indices.append(indices)


@dataclass(slots=True, eq=False)
class Group:
    """Objects of one type among a column's values, on their way to a column of their own."""

    position: Position
    sources: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    indices: list[tuple[int, ...]] = field(default_factory=list)
    places: list[tuple[list[Any], int] | None] = field(default_factory=list)

    def add(self, row: int, found: Found, number: int) -> None:
        """One of the objects found in the value of a row."""
        self.sources.append(found.items[number])
        self.rows.append(row)
        self.indices.append(found.indices[number])
        self.places.append(found.places[number])

    def column(self, up: Column, of: Field) -> Column:
        """All of them."""
        return Column(self.position, self.sources, up, of, self.rows, self.indices)
