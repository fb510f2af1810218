"""Walk the API schema from its roots, with every subgraph position that a query could be at.

An interface is followed into its runtime types, whose fields are then checked one type at a time, as the reference
composition does. That a selection on the interface itself, without type conditions, has a plan is a stronger demand;
where only that fails the query is given as a hint.

All fields of a type are tried from all positions at once, so a state is a type and a set of positions; a state with at
least the positions of one seen before can only do better and is skipped. Paths are shortest first, so that the query in
an error is the shortest one.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from gateway.federation.composition.errors import Problems, name_list
from gateway.federation.composition.merging.overrides import Overrides
from gateway.federation.composition.model import COMPOSITE, ROOT_TYPES, Kind
from gateway.federation.composition.satisfiability.explain import explain, print_query
from gateway.federation.composition.satisfiability.graphs import Graphs, Position
from gateway.federation.composition.satisfiability.moves import Moves
from gateway.federation.composition.supergraph import MergedType, Supergraph
from gateway.federation.composition.typerefs import named

# Real supergraphs of hundreds of types stay under a few thousand states; far beyond that, sharing has run away.
MAX_STATES = 50_000
# With more labels than this, each is tried alone instead of in every combination.
_COMBINED_LABELS = 4


@dataclass(frozen=True, slots=True)
class State:
    """A type of the API schema, the positions a query could be at, and the shortest way there."""

    type: str
    positions: frozenset[Position]
    path: tuple[str, ...]


def check_satisfiability(
    supergraph: Supergraph, overrides: Overrides, problems: Problems, max_states: int = MAX_STATES
) -> None:
    """Record a SATISFIABILITY_ERROR for each field that some query cannot get; more than ``max_states`` is an error."""
    for labels in label_choices(overrides.labels()):
        errors = len(problems.errors)
        _Walk(Graphs(supergraph, overrides, labels), problems, max_states).run()
        if len(problems.errors) > errors:
            return


def label_choices(labels: Sequence[str]) -> list[frozenset[str]]:
    """The sets of active labels to check: all sets of a few labels, else none, all, and each one alone on or off."""
    if len(labels) <= _COMBINED_LABELS:
        switches = product((False, True), repeat=len(labels))
        return [frozenset(label for label, on in zip(labels, each, strict=True) if on) for each in switches]
    everything = frozenset(labels)
    alone = [choice for label in labels for choice in (frozenset({label}), everything - {label})]
    return [frozenset(), everything, *alone]


class _Walk:
    def __init__(self, graphs: Graphs, problems: Problems, max_states: int) -> None:
        self._graphs = graphs
        self._moves = Moves(graphs)
        self._problems = problems
        self._max_states = max_states
        self._types = graphs.supergraph.types
        self._possible = graphs.supergraph.possible_types()
        self._seen: dict[str, list[frozenset[Position]]] = {}
        self._reported: set[tuple[str, str]] = set()

    def run(self) -> None:
        queue = deque(self._roots())
        states = 0
        while queue:
            state = queue.popleft()
            if self._is_covered(state):
                continue
            states += 1
            if states > self._max_states:
                message = f"the check gave up after {self._max_states} combinations of subgraphs, at {state.type}"
                self._problems.error("MAX_VALIDATION_SUBGRAPH_PATHS_EXCEEDED", message, coordinates=[state.type])
                return
            queue.extend(self._next(state))

    def _roots(self) -> Iterator[State]:
        for name in ROOT_TYPES:
            if name in self._types:
                positions = frozenset(
                    Position(name, graph) for graph, schema in self._graphs.schemas.items() if name in schema.types
                )
                yield State(name, positions, (name.lower(),))

    def _is_covered(self, state: State) -> bool:
        seen = self._seen.setdefault(state.type, [])
        if any(each <= state.positions for each in seen):
            return True
        seen.append(state.positions)
        return False

    def _next(self, state: State) -> Iterator[State]:
        merged = self._types[state.type]
        if merged.kind is not Kind.OBJECT:
            self._hint_at_interface_fields(merged, state)
            yield from self._casts(merged, state)
            return
        for field in merged.fields.values():
            child = self._types.get(named(field.type))
            if field.has("inaccessible") or (child is not None and child.has("inaccessible")):
                continue
            positions = [found for each in state.positions for found in self._moves.advance(each, field.name)]
            is_composite = child is not None and child.kind in COMPOSITE
            if not positions:
                self._report(state, field.name, is_composite)
            elif child is not None and is_composite:
                yield State(child.name, frozenset(positions), (*state.path, field.name))

    def _hint_at_interface_fields(self, merged: MergedType, state: State) -> None:
        allowed = self._allowed(state)
        for field in merged.fields.values():
            if field.has("inaccessible") or (state.type, field.name) in self._reported:
                continue
            pools = [self._moves.reach(start) for start in state.positions]
            if any(self._moves.children(each, field.name, allowed) for pool in pools for each in pool):
                continue
            self._reported.add((state.type, field.name))
            child = self._types.get(named(field.type))
            query = print_query((*state.path, field.name), child is not None and child.kind in COMPOSITE)
            self._problems.hint(
                "INTERFACE_FIELD_WITHOUT_PLAN",
                f'no single way resolves "{state.type}.{field.name}" for every type it may be on, in\n{query}',
                coordinates=[f"{state.type}.{field.name}"],
            )

    def _allowed(self, state: State) -> frozenset[str]:
        """Types that every position can return: which of them answers is not the query's choice."""
        types = [
            self._graphs.runtime_types(each) for each in state.positions if not self._graphs.is_interface_object(each)
        ]
        return frozenset.intersection(*types) if types else self._possible[state.type]

    def _casts(self, merged: MergedType, state: State) -> Iterator[State]:
        for name in sorted(self._possible[merged.name] & self._allowed(state)):
            if name not in self._types or self._types[name].has("inaccessible"):
                continue
            positions = frozenset(cast for each in state.positions for cast in self._moves.cast(each, name))
            if positions:
                yield State(name, positions, (*state.path, f"... on {name}"))
            elif all(self._graphs.is_interface_object(each) for each in state.positions):
                self._report_unknown_type(state, name)

    def _report_unknown_type(self, state: State, name: str) -> None:
        """Interface objects only: no subgraph that knows runtime types can be entered."""
        if (state.type, "__typename") in self._reported:
            return
        self._reported.add((state.type, "__typename"))
        query = print_query((*state.path, f"... on {name}"), is_composite=True)
        subgraphs = sorted(self._graphs.schemas[each.graph].name for each in state.positions)
        self._problems.error(
            "SATISFIABILITY_ERROR",
            f'no plan tells the runtime type of "{state.type}" in\n{query}\n'
            f"- it is an @interfaceObject in {name_list(subgraphs)}, and no subgraph with the interface can be entered",
            subgraphs=subgraphs,
            coordinates=[state.type],
        )

    def _report(self, state: State, field_name: str, is_composite: bool) -> None:
        coordinate = (state.type, field_name)
        if coordinate in self._reported:
            return
        self._reported.add(coordinate)
        query = print_query((*state.path, field_name), is_composite)
        reasons = explain(self._moves, state.type, field_name, sorted(state.positions, key=lambda each: each.graph))
        graphs = sorted({each.graph for each in state.positions})
        self._problems.error(
            "SATISFIABILITY_ERROR",
            f'no plan resolves "{state.type}.{field_name}" in\n{query}\n' + "\n".join(f"- {each}" for each in reasons),
            subgraphs=[self._graphs.schemas[graph].name for graph in graphs],
            coordinates=[f"{state.type}.{field_name}"],
        )
