"""From the trie to fetches: what is selected where, and which fetch waits for which.

Each node of the trie has one place in one fetch. Places are worked out on demand and once, so that the fetch of a
key's provider exists when the fetch that needs the key is made.
"""

from collections import defaultdict
from dataclasses import dataclass

from gateway.federation.planner.drafts import Draft, DraftFetch, DraftField, compatible
from gateway.federation.planner.limits import Budget
from gateway.federation.planner.operation import ALWAYS, Condition
from gateway.federation.planner.paths import CastStep, EnterStep, FieldStep, Position, RootStep
from gateway.federation.planner.plan import FetchPath
from gateway.federation.planner.trie import Node, Trie
from gateway.federation.supergraph.field_sets import FieldSet, merge_field_sets
from gateway.federation.supergraph.model import Model


@dataclass(frozen=True, slots=True)
class _Place:
    fetch: DraftFetch
    draft: Draft
    path: FetchPath
    condition: Condition
    supertype: str | None
    """The type of the supergraph at this place, None at leaves."""


def build_fetches(model: Model, trie: Trie, budget: Budget) -> list[DraftFetch]:
    """The fetches of a trie, in order of creation. Those that require something come last, to join the others."""
    builder = _Builder(model)
    for node in trie.nodes():
        budget.check_time()
        if not (isinstance(node.step, EnterStep) and node.step.requires):
            builder.place(node)
    for node in trie.nodes():
        builder.place(node)
    return builder.fetches


class _Builder:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.fetches: list[DraftFetch] = []
        self._places: dict[Node, _Place] = {}
        self._same: dict[object, list[DraftFetch]] = defaultdict(list)

    def place(self, node: Node) -> _Place:
        known = self._places.get(node)
        if known is None:
            known = self._places[node] = self._find(node)
        return known

    def _find(self, node: Node) -> _Place:
        step = node.step
        if node.parent is None or step is None:
            msg = "the top of the trie has no place"
            raise ValueError(msg)
        if isinstance(step, RootStep):
            fetch = self._fetch(
                DraftFetch(0, step.position.graph, (), step.position.type, (), node.scope), step.position
            )
            return _Place(fetch, fetch.draft, (), ALWAYS, step.position.type)
        parent = self.place(node.parent)
        if isinstance(step, FieldStep):
            return self._field(node, step, parent)
        if isinstance(step, CastStep):
            type_name = step.position.type
            parent.draft.typename = True
            draft = parent.draft.casts.setdefault(type_name, Draft())
            path = (*parent.path, frozenset((type_name,)))
            return _Place(parent.fetch, draft, path, parent.condition, type_name)
        return self._enter(node, step, parent)

    def _fetch(self, fetch: DraftFetch, position: Position) -> DraftFetch:
        fetch.order = len(self.fetches)
        fetch.draft.typename = self._asks_typename(position, None)
        self.fetches.append(fetch)
        self._same[fetch.identity].append(fetch)
        return fetch

    def _field(self, node: Node, step: FieldStep, parent: _Place) -> _Place:
        selection = step.selection
        if step.name == "__typename":
            parent.draft.typename = True
            parent.draft.typename_wanted.add(step.condition)
            return _Place(parent.fetch, parent.draft, parent.path, parent.condition, None)
        declared = self.model.types[parent.supertype].fields.get(step.name) if parent.supertype else None
        supertype = declared.named_type if declared else None
        slot = (node.key, step.condition)
        known = parent.draft.fields.get(slot)
        if known is None:
            below = Draft(self._asks_typename(step.position, supertype)) if step.position else None
            variables = selection.variables if selection else frozenset[str]()
            known = DraftField(node.key, step.name, step.arguments, step.type, step.condition, variables, False, below)
            parent.draft.fields[slot] = known
        known.visible |= node.visible
        path = (*parent.path, node.key)
        return _Place(parent.fetch, known.below or parent.draft, path, parent.condition | step.condition, supertype)

    def _asks_typename(self, position: Position | None, supertype: str | None) -> bool:
        """The response needs the runtime type of abstract types; interface objects do not know it."""
        if position is None or self.model.runtime_types(position.type, position.graph) is None:
            return False
        return self.model.types[position.type].abstract or bool(supertype and self.model.types[supertype].abstract)

    def _enter(self, node: Node, step: EnterStep, parent: _Place) -> _Place:
        needs = {parent.fetch, *(self.place(leaf).fetch for leaf in node.inputs)}
        position = step.position
        fetch = DraftFetch(0, position.graph, parent.path, position.type, step.key, node.scope, parent.condition)
        fetch = (step.requires and self._joinable(fetch, step.requires, needs)) or self._fetch(fetch, position)
        fetch.needs |= needs - {fetch}
        fetch.requires = merge_field_sets(fetch.requires + step.requires)
        return _Place(fetch, fetch.draft, parent.path, parent.condition, position.type)

    def _joinable(self, wanted: DraftFetch, requires: FieldSet, needs: set[DraftFetch]) -> DraftFetch | None:
        """A fetch of the same objects that waits for all of this anyway, so that one request serves both."""
        for fetch in self._same[wanted.identity]:
            if fetch not in needs and needs <= fetch.before() and compatible(fetch.inputs, requires):
                return fetch
        return None
