"""How fields are reached from a position: directly, by moving to another subgraph, or by way of a ``@requires``.

What is found depends on the supergraph and the active override labels only, so it is remembered for as long as
they live.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphql import OperationType

from gateway.federation.planner.paths import (
    FIELD_COST,
    REQUEST_COST,
    CastStep,
    EnterStep,
    FieldStep,
    Option,
    Path,
    Position,
    at,
    cheapest,
    prune,
)
from gateway.federation.supergraph.field_sets import FieldSelection, FieldSet, merge_field_sets, narrow
from gateway.federation.supergraph.model import Kind, LocalField, Model

_LEAVES = (Kind.SCALAR, Kind.ENUM)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """The cheapest way to enter one subgraph from a position; ``cost`` includes the request."""

    cost: int
    step: EnterStep


Reach = Mapping[tuple[str, str], Entry]
_NOWHERE: Reach = {}


class Routes:
    """Routes of one supergraph under one set of active override labels."""

    def __init__(self, model: Model, labels: frozenset[str] = frozenset()) -> None:
        self.model = model
        self.labels = labels
        self._query = model.root(OperationType.QUERY)
        self._direct: dict[tuple[Position, str], FieldStep | None] = {}
        self._reach: dict[Position, Reach] = {}
        self._reentry: dict[Position, Entry | None] = {}
        self._open: dict[Position, dict[tuple[str, str], Entry]] = {}
        self._lowest_reopened = math.inf
        self._requiring: list[tuple[str, str, str]] = []
        self._lowest_guard_hit = math.inf
        self._required: dict[tuple[Position, str, str, str], tuple[int, EnterStep] | None] = {}

    # The graph's edges

    def local(self, position: Position, name: str) -> LocalField | None:
        """The field as the subgraph declares it."""
        return self.model.local(position.type, position.graph, name)

    def direct(self, position: Position, name: str) -> FieldStep | None:
        """The edge to a field that the subgraph resolves right here without further input.

        A field of an interface counts only when every runtime type the subgraph knows resolves it.
        """
        key = (position, name)
        if key not in self._direct:
            self._direct[key] = self._find_direct(position, name)
        return self._direct[key]

    def _find_direct(self, position: Position, name: str) -> FieldStep | None:
        local = self.local(position, name)
        if local is None:
            return None
        provided = [
            selection
            for selection in position.view
            if selection.name == name and (selection.types is None or position.type in selection.types)
        ]
        view: FieldSet
        if self._explodes(position) and self._runtime_types(position):
            edges = [self.direct(self.cast(position, each), name) for each in self._runtime_types(position)]
            views = [edge.position.view if edge.position else () for edge in edges if edge]
            if len(views) < len(edges):
                return None
            view = tuple(selection for selection in views[0] if all(selection in other for other in views))
        elif provided or (self._resolves(local) and not local.requires):
            below: list[FieldSelection] = [child for selection in provided for child in selection.selections]
            view = merge_field_sets((*local.provides, *below)) if below else local.provides
        else:
            return None
        leaf = self.model.types[local.named_type].kind in _LEAVES if local.named_type in self.model.types else True
        return FieldStep(name, "", local.type, None if leaf else Position(local.named_type, position.graph, view))

    def _resolves(self, local: LocalField) -> bool:
        return local.resolvable and (local.label is None or (local.label[0] in self.labels) == local.label[1])

    def _explodes(self, position: Position) -> bool:
        return (
            self.model.types[position.type].abstract
            and self.model.runtime_types(position.type, position.graph) is not None
        )

    def _runtime_types(self, position: Position) -> list[str]:
        return sorted(self.model.runtime_types(position.type, position.graph) or ())

    def cast(self, position: Position, type_name: str) -> Position:
        """The position narrowed to one runtime type."""
        return Position(type_name, position.graph, narrow(position.view, type_name))

    def casts(self, options: list[Option], type_name: str) -> list[Option]:
        """Options narrowed to one object type; those whose subgraph cannot return it fall out."""
        found = []
        for option in self.typed(options):
            position = at(option)
            if position.type == type_name:
                found.append(option)
            elif type_name in (self.model.runtime_types(position.type, position.graph) or ()):
                step = CastStep(self.cast(position, type_name))
                found.append(Option(step.position, option.cost, (*option.path, step)))
        return found

    def typed(self, options: list[Option]) -> list[Option]:
        """Options at which the runtime type is known; from an interface object, enter one that has the interface."""
        found = []
        for option in options:
            position = at(option)
            if self.model.runtime_types(position.type, position.graph) is not None:
                found.append(option)
                continue
            for (type_name, graph), entry in self.reach(position).items():
                if type_name == position.type and self.model.runtime_types(type_name, graph) is not None:
                    path = (*option.path, entry.step)
                    found.append(Option(entry.step.position, option.cost + entry.cost, path))
        return found

    # Ways to one field

    def candidates(self, position: Position, name: str, arguments: str, reach: Reach | None = None) -> list[Option]:
        """Every way to a field of the objects at a position, paths starting there.

        Args:
            position: where to start from.
            name: the field.
            arguments: printed; kept in the steps.
            reach: the subgraphs that may be entered, by default all that can.
        """
        return list(self._candidates(position, name, arguments, reach))

    def _candidates(self, position: Position, name: str, arguments: str, reach: Reach | None) -> Iterator[Option]:
        edge = self.direct(position, name)
        if edge:
            step = _with_arguments(edge, arguments)
            yield Option(step.position, FIELD_COST, (step,))
            if step.position is None:
                return  # no other way to a leaf can be cheaper
        elif reach is None and self._local_requires(position, name):
            yield from self._by_requires(position, position, name, arguments)
        for entry in (self.reach(position) if reach is None else reach).values():
            target = entry.step.position
            edge = self.direct(target, name)
            if edge:
                step = _with_arguments(edge, arguments)
                yield Option(step.position, entry.cost + FIELD_COST, (entry.step, step))
            elif reach is None and self._local_requires(target, name):
                yield from self._by_requires(position, target, name, arguments)

    def _local_requires(self, position: Position, name: str) -> FieldSet | None:
        if self._explodes(position):
            return None
        local = self.local(position, name)
        return local.requires if local and self._resolves(local) else None

    def _by_requires(self, position: Position, target: Position, name: str, arguments: str) -> Iterator[Option]:
        found = self._requirement(position, target, name)
        local = self.local(target, name)
        if found is None or local is None:
            return
        cost, enter = found
        leaf = self.model.types[local.named_type].kind in _LEAVES if local.named_type in self.model.types else True
        child = None if leaf else Position(local.named_type, target.graph, local.provides)
        step = FieldStep(name, arguments, local.type, child)
        yield Option(child, cost + FIELD_COST, (enter, step))

    def _requirement(self, position: Position, target: Position, name: str) -> tuple[int, EnterStep] | None:
        """Enter (or enter again) the target with the key and what the field requires."""
        memo = (position, target.type, target.graph, name)
        if memo in self._required:
            return self._required[memo]
        guard = (target.type, target.graph, name)
        if guard in self._requiring:
            self._lowest_guard_hit = min(self._lowest_guard_hit, self._requiring.index(guard))
            return None
        outer, self._lowest_guard_hit = self._lowest_guard_hit, math.inf
        own = (target.type, target.graph) == (position.type, position.graph)
        entry = self.reentry(position) if own else self.reach(position).get((target.type, target.graph))
        found = None
        requires = self._local_requires(target, name)
        if entry and requires:
            self._requiring.append(guard)
            solved = self.solve(requires, position)
            self._requiring.pop()
            if solved:
                cost, paths = solved
                step = entry.step
                enter = EnterStep(step.position, step.key, (*step.inputs, *paths), requires, name)
                found = (entry.cost + cost, enter)
        hit, depth = self._lowest_guard_hit, len(self._requiring)
        if hit >= depth and not self._open:  # else some ways were closed or not yet known
            self._required[memo] = found
        self._lowest_guard_hit = min(outer, hit if hit < depth else math.inf)
        return found

    def reentry(self, position: Position) -> Entry | None:
        """The cheapest way to enter the position's own subgraph again."""
        if position in self._reentry:
            return self._reentry[position]
        entry = self._entry(position, position.type, position.graph, None)
        if not self._open:
            self._reentry[position] = entry
        return entry

    # Ways to other subgraphs

    def reach(self, position: Position) -> Reach:
        """Every subgraph that can be entered with the objects at a position, and the cheapest way.

        Subgraphs are settled in order of cost (Dijkstra); keys may come from those settled before. While a
        result is being worked out, asking for it again gives what is settled so far; whatever was built on such
        a part is not remembered.
        """
        known = self._reach.get(position)
        if known is not None:
            return known
        if position in self._open:
            self._lowest_reopened = min(self._lowest_reopened, list(self._open).index(position))
            return self._open[position]
        outer, self._lowest_reopened = self._lowest_reopened, math.inf
        depth = len(self._open)
        settled: dict[tuple[str, str], Entry] = {}
        self._open[position] = settled
        self._settle(position, settled)
        del self._open[position]
        if self._lowest_reopened >= depth:
            self._reach[position] = settled
        self._lowest_reopened = min(outer, self._lowest_reopened if self._lowest_reopened < depth else math.inf)
        return settled

    def _settle(self, position: Position, settled: dict[tuple[str, str], Entry]) -> None:
        waiting = self._targets(position)
        own: list[tuple[Entry, tuple[str, str]]] = []
        for target in waiting:
            entry = self._entry(position, *target, _NOWHERE)
            if entry:
                own.append((entry, target))
        for entry, target in sorted(own, key=lambda pair: pair[0].cost):
            settled[target] = entry
            waiting.remove(target)
        while waiting:
            best: tuple[Entry, tuple[str, str]] | None = None
            for target in waiting:
                entry = self._entry(position, *target, settled)
                if entry and (best is None or entry.cost < best[0].cost):
                    best = (entry, target)
            if best is None:
                return
            settled[best[1]] = best[0]
            waiting.remove(best[1])

    def _targets(self, position: Position) -> list[tuple[str, str]]:
        """(type, subgraph) pairs that objects at this position may be asked of, by key or as the query root."""
        type_ = self.model.types[position.type]
        if position.type == self._query:
            return [(position.type, graph) for graph in self.model.subgraphs if self._other_root(position, graph)]
        found = [(position.type, graph) for graph in type_.keys if graph != position.graph]
        if type_.kind is Kind.OBJECT:
            for interface in self.model.interfaces_of(position.type):
                objects = self.model.types[interface].interface_object_in
                found += [(interface, graph) for graph in self.model.types[interface].keys if graph in objects]
        return found

    def _other_root(self, position: Position, graph: str) -> bool:
        return graph != position.graph and graph in self.model.types[position.type].graphs

    def _entry(self, position: Position, type_name: str, graph: str, reach: Reach | None) -> Entry | None:
        target = Position(type_name, graph)
        if type_name == self._query:
            return Entry(REQUEST_COST, EnterStep(target, (), ()))
        best: Entry | None = None
        for key in self.model.types[type_name].keys.get(graph, ()):
            solved = self.solve(key.fields, position, reach) if key.resolvable else None
            if solved and (best is None or REQUEST_COST + solved[0] < best.cost):
                cost, paths = solved
                best = Entry(REQUEST_COST + cost, EnterStep(target, key.fields, paths))
        return best

    # Field sets

    def solve(
        self, field_set: FieldSet, position: Position, reach: Reach | None = None
    ) -> tuple[int, tuple[Path, ...]] | None:
        """How to have every leaf of a field set from a position: the cost and one path a leaf, or None.

        Args:
            field_set: a key or what a field requires.
            position: where the paths start.
            reach: the subgraphs that may be entered with the objects at the position itself.
        """
        start = [Option(position, 0, ())]
        leaves = self._solve(field_set, start, _NOWHERE, everywhere=False)
        if leaves is None and reach is not _NOWHERE:
            leaves = self._solve(field_set, start, reach, everywhere=True)
        if leaves is None:
            return None
        return sum(option.cost for option in leaves), tuple(option.path for option in leaves)

    def _solve(
        self, field_set: FieldSet, options: list[Option], reach: Reach | None, *, everywhere: bool
    ) -> list[Option] | None:
        leaves: list[Option] = []
        for selection in field_set:
            if selection.types is None:
                found = self._solve_field(selection, options, reach, everywhere=everywhere)
            else:
                found = self._solve_by_type(selection, sorted(selection.types), options, everywhere=everywhere)
            if found is None:
                return None
            leaves += found
        return leaves

    def _solve_by_type(
        self, selection: FieldSelection, types: list[str], options: list[Option], *, everywhere: bool
    ) -> list[Option] | None:
        leaves: list[Option] = []
        for type_name in types:
            narrowed = self.casts(options, type_name)
            if not narrowed:
                continue  # no subgraph on the way returns such objects
            found = self._solve_field(selection, narrowed, None if everywhere else _NOWHERE, everywhere=everywhere)
            if found is None:
                return None
            leaves += found
        return leaves

    def _solve_field(
        self, selection: FieldSelection, options: list[Option], reach: Reach | None, *, everywhere: bool
    ) -> list[Option] | None:
        if selection.name == "__typename":
            return []  # always selected where it is not known
        found = [
            Option(child.position, option.cost + child.cost, option.path + child.path)
            for option in options
            for child in self._candidates(at(option), selection.name, selection.arguments, reach)
        ]
        if not found:
            types = sorted({each for option in options if self._explodes(at(option)) for each in self._of(option)})
            return self._solve_by_type(selection, types, options, everywhere=everywhere) if types else None
        if not selection.selections:
            return cheapest(found, 1)
        below = self._solve(
            selection.selections, prune(found, 1), None if everywhere else _NOWHERE, everywhere=everywhere
        )
        return below if below is None or below else cheapest(found, 1)

    def _of(self, option: Option) -> list[str]:
        return self._runtime_types(at(option))


def _with_arguments(step: FieldStep, arguments: str) -> FieldStep:
    return FieldStep(step.name, arguments, step.type, step.position) if arguments else step
