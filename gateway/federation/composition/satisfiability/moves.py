"""Moving between subgraphs for one object: by keys, and by what ``@requires`` asks for."""

from collections.abc import Iterable, Sequence

from gateway.federation.composition.fieldsets import FieldSet, On
from gateway.federation.composition.model import Kind
from gateway.federation.composition.satisfiability.graphs import Graphs, Position


class Moves:
    """Answers are kept for the life of one check.

    Keys and requirements are resolved with the same moves they enable. A question met again while it is being answered
    is answered without moves, which ends the recursion and never claims too much.
    """

    def __init__(self, graphs: Graphs) -> None:
        self.graphs = graphs
        self._reach: dict[Position, tuple[Position, ...]] = {}
        self._children: dict[tuple[Position, str], tuple[Position, ...]] = {}
        self._asking: set[Position] = set()
        self._requiring: set[tuple[Position, str]] = set()
        self._cut = 0

    def reach(self, start: Position) -> tuple[Position, ...]:
        """The position itself and all others that keys lead to from it, for the same object."""
        if start in self._reach:
            return self._reach[start]
        if start in self._asking:
            self._cut += 1
            return (start,)
        self._asking.add(start)
        cut_before = self._cut
        settled = [start]
        pending = self.graphs.targets(start)
        while entered := [each for each in pending if self.can_enter(each, settled)]:
            settled += entered
            pending = [each for each in pending if each not in entered]
        self._asking.discard(start)
        found = tuple(settled)
        # An answer that leans on a cut one may be too small to keep, unless nobody is left to ask again.
        if self._cut == cut_before or not self._asking:
            self._reach[start] = found
        return found

    def can_enter(self, target: Position, settled: Sequence[Position]) -> bool:
        """Whether a resolvable key of the target can be had from the settled positions."""
        if target.type == "Query":
            return True
        return any(self.resolves(key, settled) for key in self.graphs.keys(target.type, target.graph))

    def advance(self, start: Position, field_name: str) -> tuple[Position, ...]:
        """Every position behind a field of an object, moves included; empty when it cannot be resolved."""
        known = self._children.get((start, field_name))
        if known is not None:
            return known
        cut_before = self._cut
        found = tuple(dict.fromkeys(child for each in self.reach(start) for child in self.children(each, field_name)))
        if self._cut == cut_before:
            self._children[start, field_name] = found
        return found

    def children(self, position: Position, field_name: str, allowed: frozenset[str] | None = None) -> list[Position]:
        """The positions behind a field in this very subgraph; an abstract type's field may be taken type by type."""
        definition = self.graphs.definition(position)
        if definition.kind is Kind.OBJECT:
            edge = self.graphs.edge(position, field_name)
            if edge is None or (edge.requires and not self._can_require(position, field_name, edge.requires)):
                return []
            return [edge.child]
        types = self.graphs.runtime_types(position)
        types = types if allowed is None else types & allowed
        if definition.kind is Kind.INTERFACE and self._is_direct(position, field_name, types):
            edge = self.graphs.edge(position, field_name)
            return [] if edge is None else [edge.child]
        found: list[Position] = []
        for each in sorted(types):
            children = self.advance(self.graphs.narrowed(position, each), field_name)
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

    def _can_require(self, position: Position, field_name: str, requires: FieldSet) -> bool:
        """Whether the requirement can be fetched, and the subgraph be entered again with it.

        Both start at the position itself: a plan may know more about the object by the way it came, but then the same
        field would have a plan on one path and none on another.
        """
        asking = (position, field_name)
        if asking in self._requiring:
            self._cut += 1
            return False
        self._requiring.add(asking)
        try:
            pool = self.reach(position)
            return self.resolves(requires, pool) and self.can_enter(position, pool)
        finally:
            self._requiring.discard(asking)

    def resolves(self, selections: FieldSet, pool: Sequence[Position]) -> bool:
        """Whether every leaf of a field set can be had from some position of the pool."""
        return self.missing(selections, pool) is None

    def missing(self, selections: FieldSet, pool: Sequence[Position]) -> str | None:
        """The first field of a field set that no position of the pool resolves, dotted; None when all are."""
        for each in selections:
            if isinstance(each, On):
                casts = [found for position in pool for found in self.cast(position, each.type or position.type)]
                missing = self.missing(each.selections, casts) if casts else None
                if missing is not None:
                    return missing
                continue
            if each.name == "__typename":
                continue
            children = [child for position in pool for child in self.children(position, each.name)]
            if not children:
                return each.name
            if each.selections:
                below = [found for child in dict.fromkeys(children) for found in self.reach(child)]
                missing = self.missing(each.selections, below)
                if missing is not None:
                    return f"{each.name}.{missing}"
        return None

    def cast(self, position: Position, type_name: str) -> list[Position]:
        """The object known to be of another type: itself, narrowed, or found out where the interface is real."""
        if position.type == type_name:
            return [position]
        if self.graphs.is_interface_object(position):
            return [
                self.graphs.narrowed(each, type_name)
                for each in self.reach(position)
                if type_name in self.graphs.runtime_types(each)
            ]
        if type_name in self.graphs.runtime_types(position):
            return [self.graphs.narrowed(position, type_name)]
        definition = self.graphs.definition(position)
        return [position] if type_name in definition.interfaces else []
