"""The candidate search: for every leaf of an operation, the cheapest paths from the root of a subgraph to it."""

from dataclasses import dataclass

from gateway.federation.errors import PlanningError
from gateway.federation.planner.limits import Budget
from gateway.federation.planner.operation import Selection
from gateway.federation.planner.paths import (
    FIELD_COST,
    FieldStep,
    Option,
    Path,
    at,
    cheapest,
    prune,
)
from gateway.federation.planner.routes import Reach, Routes

_TIES = 8
"""Equally cheap paths kept for one position. Ties decide which requests can be shared, more than a few never helped."""


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One leaf of the operation and the equally cheap paths to it."""

    options: tuple[Option, ...]


class Search:
    """One search. ``leaves`` collects what is found, in the client's order."""

    def __init__(self, routes: Routes, budget: Budget) -> None:
        self.routes = routes
        self.model = routes.model
        self.budget = budget
        self.leaves: list[Leaf] = []
        self._trail: list[str] = []

    def root(self, selection: Selection, starts: list[Option]) -> None:
        """Search one root field from the root types given; those may not be left by a key.

        Raises:
            PlanningError: no subgraph resolves it, or something below it.
            PlanLimitExceeded: the budget is used up.
        """
        self._field(selection, starts, None, {})

    def _select(self, selections: tuple[Selection, ...], options: list[Option], allowed: frozenset[str] | None) -> None:
        everywhere = {(each.key, each.name) for each in selections if each.types is None and not each.condition}
        for selection in selections:
            leaf = not selection.selections
            if leaf and selection.types is not None and (selection.key, selection.name) in everywhere:
                continue  # asked for on every type already
            self._field(selection, options, allowed, None)

    def _field(
        self, selection: Selection, options: list[Option], allowed: frozenset[str] | None, reach: Reach | None
    ) -> None:
        self._trail.append(selection.response_key)
        self.budget.visit(len(self._trail))
        if selection.types is None:
            self._resolve(selection, options, allowed, reach)
        else:
            types = selection.types if allowed is None else selection.types & allowed
            for type_name in sorted(types):
                narrowed = prune(self.routes.casts(options, type_name), _TIES)
                if narrowed:  # else no subgraph on the way returns such objects
                    self._resolve(selection, narrowed, None, reach)
        self._trail.pop()

    def _resolve(
        self, selection: Selection, options: list[Option], allowed: frozenset[str] | None, reach: Reach | None
    ) -> None:
        if selection.name == "__typename":
            self._typename(selection, options)
            return
        found = self._candidates(selection, options, reach)
        if found:
            self._continue(selection, found)
            return
        for type_name, narrowed in self._explode(selection, options, allowed).items():
            self.budget.visit(len(self._trail))
            found = self._candidates(selection, narrowed, reach)
            if not found:
                raise self._unreachable(selection, narrowed, type_name)
            self._continue(selection, found)

    def _candidates(self, selection: Selection, options: list[Option], reach: Reach | None) -> list[Option]:
        found = [
            Option(child.position, option.cost + child.cost, option.path + _selected(child.path, selection))
            for option in options
            for child in self.routes.candidates(at(option), selection.name, selection.arguments, reach)
        ]
        self.budget.check_options(len(found))
        return found

    def _continue(self, selection: Selection, found: list[Option]) -> None:
        leaves = len(self.leaves)
        if selection.selections:
            self._select(selection.selections, prune(found, _TIES), self._allowed(found))
        if len(self.leaves) == leaves:  # a leaf, or an object of which nothing is left to ask
            self.leaves.append(Leaf(tuple(cheapest(found, _TIES))))

    def _allowed(self, options: list[Option]) -> frozenset[str] | None:
        """Runtime types that every way to an abstract field can return; None when it is not abstract.

        A type that one subgraph does not know must not appear in the answer only because another was asked.
        Interface objects say nothing about runtime types.
        """
        allowed: frozenset[str] | None = None
        for option in options:
            position = at(option)
            types = self.model.runtime_types(position.type, position.graph)
            if types is not None:
                allowed = types if allowed is None else allowed & types
        return allowed

    def _explode(
        self, selection: Selection, options: list[Option], allowed: frozenset[str] | None
    ) -> dict[str, list[Option]]:
        """Options per runtime type, for a field that no subgraph resolves for the abstract type as a whole.

        An option survives when every type it can return leads to the field from there; types are never
        taken from different options, because one object comes from one of them.
        """
        survivors: dict[str, list[Option]] = {}
        for option in self.routes.typed(options):
            position = at(option)
            types = self.model.runtime_types(position.type, position.graph) or frozenset()
            wanted = types if allowed is None else types & allowed
            if not self.model.types[position.type].abstract or not types:
                continue
            narrowed = {type_name: self.routes.casts([option], type_name) for type_name in sorted(wanted)}
            if all(self._candidates(selection, each, None) for each in narrowed.values()):
                for type_name, each in narrowed.items():
                    survivors.setdefault(type_name, []).extend(each)
        if not survivors:
            raise self._unreachable(selection, options, None)
        return survivors

    def _typename(self, selection: Selection, options: list[Option]) -> None:
        typed = self.routes.typed(options)
        if not typed:
            raise self._unreachable(selection, options, None)
        step = FieldStep("__typename", "", "String!", None, selection)
        found = [Option(None, option.cost + FIELD_COST, (*option.path, step)) for option in typed]
        self.leaves.append(Leaf(tuple(cheapest(found, _TIES))))

    def _unreachable(self, selection: Selection, options: list[Option], type_name: str | None) -> PlanningError:
        path = ".".join(self._trail)
        names = sorted({type_name} if type_name else {at(option).type for option in options})
        graphs = sorted({self.model.subgraphs[at(option).graph].name for option in options})
        return PlanningError(
            f"No plan for {path}: {'|'.join(names)}.{selection.name} cannot be reached from "
            f"{', '.join(graphs) or 'any subgraph'}. Check the keys and @requires that lead to it."
        )


def _selected(path: Path, selection: Selection) -> Path:
    """The path with its last step marked as the client's."""
    last = path[-1]
    if not isinstance(last, FieldStep):
        return path
    return (*path[:-1], FieldStep(last.name, selection.arguments, last.type, last.position, selection))
