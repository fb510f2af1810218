"""Moving between subgraphs for one object: by keys, and by what ``@requires`` asks for."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from gateway.federation.composition.fieldsets import FieldSet, On
from gateway.federation.composition.model import Kind
from gateway.federation.composition.satisfiability.graphs import Graphs, Position

_Answer = TypeVar("_Answer")
_Requirement = tuple[Position, str]


class Moves:
    """Answers are kept for the life of one check.

    Keys and requirements are resolved with the same moves they enable, so both are least fixed points: a position
    starts by reaching itself alone, a requirement by not being met, and all that a question has touched is evaluated
    again until nothing grows. What is settled stays as it is; later questions build on it.
    """

    def __init__(self, graphs: Graphs) -> None:
        self.graphs = graphs
        self._reached: dict[Position, tuple[Position, ...]] = {}
        self._met: dict[_Requirement, bool] = {}
        self._open_positions: list[Position] = []
        self._open_requirements: list[_Requirement] = []
        self._advanced: dict[tuple[Position, str], tuple[Position, ...]] = {}

    def reach(self, start: Position) -> tuple[Position, ...]:
        """The position itself and all others that keys lead to from it, for the same object."""
        return self._ask(lambda: self._reach(start))

    def advance(self, start: Position, field_name: str) -> tuple[Position, ...]:
        """Every position behind a field of an object, moves included; empty when it cannot be resolved."""
        asked = (start, field_name)
        if asked not in self._advanced:
            self._advanced[asked] = self._ask(lambda: self._advance(start, field_name))
        return self._advanced[asked]

    def children(self, position: Position, field_name: str, allowed: frozenset[str] | None = None) -> list[Position]:
        """The positions behind a field in this very subgraph; an abstract type's field may be taken type by type."""
        return self._ask(lambda: self._children(position, field_name, allowed))

    def missing(self, selections: FieldSet, pool: Sequence[Position]) -> str | None:
        """The first field of a field set that no position of the pool resolves, dotted; None when all are."""
        return self._ask(lambda: self._missing(selections, pool))

    def cast(self, position: Position, type_name: str) -> list[Position]:
        """The object known to be of another type: itself, narrowed, or found out where the interface is real."""
        return self._ask(lambda: self._cast(position, type_name))

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        answer = question()
        while self._open_positions or self._open_requirements:
            self._settle()
            answer = question()
        return answer

    def _settle(self) -> None:
        """Evaluate what is open until nothing grows and nothing more has been opened on the way."""
        is_growing = True
        while is_growing:
            size = len(self._open_positions) + len(self._open_requirements)
            is_growing = False
            for position in list(self._open_positions):
                found = self._extended(position)
                is_growing = is_growing or len(found) > len(self._reached[position])
                self._reached[position] = found
            for requirement in list(self._open_requirements):
                if not self._met[requirement] and self._can_require(*requirement):
                    self._met[requirement] = is_growing = True
            is_growing = is_growing or len(self._open_positions) + len(self._open_requirements) > size
        self._open_positions.clear()
        self._open_requirements.clear()

    def _reach(self, start: Position) -> tuple[Position, ...]:
        if start not in self._reached:
            self._reached[start] = (start,)
            self._open_positions.append(start)
        return self._reached[start]

    def _extended(self, start: Position) -> tuple[Position, ...]:
        settled = list(self._reached[start])
        pending = [each for each in self.graphs.targets(start) if each not in settled]
        while entered := [each for each in pending if self._can_enter(each, settled)]:
            settled += entered
            pending = [each for each in pending if each not in entered]
        return tuple(settled)

    def _can_enter(self, target: Position, settled: Sequence[Position]) -> bool:
        """Whether a resolvable key of the target can be had from the settled positions."""
        if target.type == "Query":
            return True
        keys = self.graphs.keys(target.type, target.graph)
        return any(self._missing(key, settled) is None for key in keys)

    def _advance(self, start: Position, field_name: str) -> tuple[Position, ...]:
        found = (child for each in self._reach(start) for child in self._children(each, field_name, None))
        return tuple(dict.fromkeys(found))

    def _children(self, position: Position, field_name: str, allowed: frozenset[str] | None) -> list[Position]:
        definition = self.graphs.definition(position)
        if definition.kind is Kind.OBJECT:
            edge = self.graphs.edge(position, field_name)
            if edge is None or (edge.requires and not self._is_met((position, field_name))):
                return []
            return [edge.child]
        types = self.graphs.runtime_types(position)
        types = types if allowed is None else types & allowed
        if definition.kind is Kind.INTERFACE and self._is_direct(position, field_name, types):
            edge = self.graphs.edge(position, field_name)
            return [] if edge is None else [edge.child]
        found: list[Position] = []
        for each in sorted(types):
            children = self._advance(self.graphs.narrowed(position, each), field_name)
            if not children:
                return []
            found += children
        return found

    def _is_direct(self, position: Position, field_name: str, types: Iterable[str]) -> bool:
        if self.graphs.edge(position, field_name) is None:
            return False
        for each in types:
            edge = self.graphs.edge(self.graphs.narrowed(position, each), field_name)
            if edge is None or edge.requires:
                return False
        return True

    def _is_met(self, requirement: _Requirement) -> bool:
        if requirement not in self._met:
            self._met[requirement] = False
            self._open_requirements.append(requirement)
        return self._met[requirement]

    def _can_require(self, position: Position, field_name: str) -> bool:
        """Whether what a field requires can be fetched, and the subgraph be entered again with it.

        Both start at the position itself: a plan may know more about the object by the way it came, but then the same
        field would have a plan on one path and none on another.
        """
        edge = self.graphs.edge(position, field_name)
        pool = self._reach(position)
        return edge is not None and self._missing(edge.requires, pool) is None and self._can_enter(position, pool)

    def _missing(self, selections: FieldSet, pool: Sequence[Position]) -> str | None:
        for each in selections:
            if isinstance(each, On):
                casts = [found for position in pool for found in self._cast(position, each.type or position.type)]
                missing = self._missing(each.selections, casts) if casts else None
                if missing is not None:
                    return missing
                continue
            if each.name == "__typename":
                continue
            children = [child for position in pool for child in self._children(position, each.name, None)]
            if not children:
                return each.name
            if each.selections:
                below = [found for child in dict.fromkeys(children) for found in self._reach(child)]
                missing = self._missing(each.selections, below)
                if missing is not None:
                    return f"{each.name}.{missing}"
        return None

    def _cast(self, position: Position, type_name: str) -> list[Position]:
        if position.type == type_name:
            return [position]
        if self.graphs.is_interface_object(position):
            return [
                self.graphs.narrowed(each, type_name)
                for each in self._reach(position)
                if type_name in self.graphs.runtime_types(each)
            ]
        if type_name in self.graphs.runtime_types(position):
            return [self.graphs.narrowed(position, type_name)]
        definition = self.graphs.definition(position)
        return [position] if type_name in definition.interfaces else []
