"""Planning, step by step: normalise, search, choose, build, improve, assemble."""

import time

from cachetools import LRUCache
from graphql import DocumentNode, OperationType

from gateway.federation.errors import PlanningError
from gateway.federation.planner.assemble import assemble
from gateway.federation.planner.drafts import DraftFetch
from gateway.federation.planner.fetch_graph import build_fetches
from gateway.federation.planner.limits import Budget, Clock, PlanLimits
from gateway.federation.planner.operation import Operation, Selection, normalise
from gateway.federation.planner.passes import in_levels, merge_late, merge_twins
from gateway.federation.planner.paths import REQUEST_COST, Option, Position, RootStep
from gateway.federation.planner.plan import Plan, Request
from gateway.federation.planner.routes import Routes
from gateway.federation.planner.search import Search
from gateway.federation.planner.trie import Trie, choose
from gateway.federation.supergraph.model import Model

_LABEL_SETS = 64
"""Sets of override labels whose routes are kept. Labels combine, so there could be very many."""


class Planner:
    """Plans operations over one supergraph. Pure: no I/O, and the clock is an argument.

    What it learns about the supergraph it keeps, so the first plans of a process are the slowest.

    Args:
        model: the supergraph.
        limits: of one planning run.
        clock: seconds. By default of this thread's own work, so that a busy machine does not refuse operations.
    """

    def __init__(self, model: Model, limits: PlanLimits | None = None, clock: Clock = time.thread_time) -> None:
        self.model = model
        self.limits = limits or PlanLimits()
        self._clock = clock
        self._routes: LRUCache[frozenset[str], Routes] = LRUCache(_LABEL_SETS)

    def plan(
        self, document: DocumentNode, operation_name: str | None = None, labels: frozenset[str] = frozenset()
    ) -> Plan:
        """Plan one operation of a document that is valid against the API schema.

        Args:
            document: parsed and validated.
            operation_name: which operation, needed when there are several.
            labels: progressive override labels that are on for this request.

        Raises:
            PlanningError: some field cannot be reached, or the operation cannot be run.
            PlanLimitExceeded: it is too expensive.
        """
        budget = Budget(self.limits, self._clock)
        operation = normalise(self.model, document, operation_name, budget)
        labels &= self.model.override_labels
        routes = self._routes.get(labels)
        if routes is None:
            routes = self._routes[labels] = Routes(self.model, labels)
        wanted = [each for each in operation.selections if not each.introspection and each.name != "__typename"]
        if not wanted:
            return Plan(operation, ())
        starts = _starts(self.model, operation.root_type)
        if operation.kind is OperationType.MUTATION:
            return Plan(operation, self._in_order(operation, wanted, starts, routes, budget))
        levels = self._levels(operation, wanted, starts, routes, budget)[1]
        return Plan(operation, (assemble(self.model, operation, levels, 1),))

    def _in_order(
        self, operation: Operation, wanted: list[Selection], starts: list[Option], routes: Routes, budget: Budget
    ) -> tuple[tuple[Request, ...], ...]:
        """One group of requests for each top-level field, each field sent to exactly one subgraph.

        A field joins the group before it when that group is one request to the same subgraph: subgraphs too run
        top-level fields of a mutation in order.
        """
        fields: dict[str, list[Selection]] = {}
        for selection in wanted:  # one key is one field and one call, however often it is written
            fields.setdefault(selection.key, []).append(selection)
        groups: list[list[list[DraftFetch]]] = []
        for selections in fields.values():
            levels = self._cheapest_root(operation, selections, starts, routes, budget)
            previous = groups[-1] if groups else None
            if previous and sum(map(len, previous)) == 1 and previous[0][0].graph == levels[0][0].graph:
                first, joined = levels[0][0], previous[0][0]
                joined.draft.merge(first.draft)
                for level in levels[1:]:
                    for fetch in level:
                        fetch.needs = {joined if needed is first else needed for needed in fetch.needs}
                groups[-1] = [[joined, *levels[0][1:]], *levels[1:]]
            else:
                groups.append(levels)
        requests: list[tuple[Request, ...]] = []
        for levels in groups:
            requests.append(assemble(self.model, operation, levels, 1 + sum(map(len, requests))))
        return tuple(requests)

    def _cheapest_root(
        self, operation: Operation, selections: list[Selection], starts: list[Option], routes: Routes, budget: Budget
    ) -> list[list[DraftFetch]]:
        best: tuple[int, list[list[DraftFetch]]] | None = None
        failure: PlanningError | None = None
        for start in starts:
            try:
                found = self._levels(operation, selections, [start], routes, budget)
            except PlanningError as error:
                if error.code != PlanningError.code:
                    raise
                failure = failure or error
                continue
            if best is None or found[0] < best[0]:
                best = found
        if best is None:
            raise failure or PlanningError(f"No subgraph resolves {selections[0].response_key}.")
        return best[1]

    def _levels(
        self, operation: Operation, wanted: list[Selection], starts: list[Option], routes: Routes, budget: Budget
    ) -> tuple[int, list[list[DraftFetch]]]:
        search = Search(routes, budget)
        for selection in wanted:
            search.root(selection, starts)
        trie = Trie(operation.selections)
        cost = choose(search.leaves, trie, budget)
        fetches = build_fetches(self.model, trie, budget)
        fetches = merge_twins(fetches)
        fetches = merge_late(fetches, mutation=operation.kind is OperationType.MUTATION)
        budget.check_time()
        return cost, in_levels(fetches)


def _starts(model: Model, root_type: str) -> list[Option]:
    """The root type in every subgraph that has it."""
    options = []
    for graph in model.subgraphs:
        if graph in model.types[root_type].graphs:
            position = Position(root_type, graph)
            options.append(Option(position, REQUEST_COST, (RootStep(position),)))
    return options
