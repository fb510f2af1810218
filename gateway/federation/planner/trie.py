"""All chosen paths put together: equal steps are shared, so that they are requested once."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.federation.planner.limits import Budget
from gateway.federation.planner.operation import Selection
from gateway.federation.planner.paths import (
    FIELD_COST,
    REQUEST_COST,
    CastStep,
    EnterStep,
    FieldStep,
    Path,
    Step,
)
from gateway.federation.planner.search import Leaf

_MAX_OPEN_LEAVES = 200
"""The search descends one call a leaf; beyond this the greedy choice stands."""

_Signature = tuple[str, str]
"""Name and arguments: two fields of one object with the same signature have the same value."""


class Scope:
    """Who uses which key in one object of the response that is being put together.

    All subgraphs contribute to the same object, so a field that only the planner needs must not take a key under
    which the client asked for something else, nor one that another hidden field has.
    """

    def __init__(self, selections: Iterable[Selection]) -> None:
        self._selections = tuple(selections)
        self._client: dict[str, set[_Signature]] = {}
        for selection in self._selections:
            self._client.setdefault(selection.key, set()).add((selection.name, selection.arguments))
        self._hidden: dict[_Signature, str] = {}
        self._children: dict[str, Scope] = {}

    def hidden_key(self, name: str, arguments: str) -> str:
        """The key of a field that the planner needs; the client's when it asked for the very same."""
        signature = (name, arguments)
        if signature not in self._hidden:
            free = name not in self._hidden.values() and self._client.get(name, {signature}) == {signature}
            self._hidden[signature] = name if free else f"_h{len(self._hidden)}"
        return self._hidden[signature]

    def child(self, key: str) -> "Scope":
        """The scope of the objects under a key."""
        if key not in self._children:
            below = (child for each in self._selections if each.key == key for child in each.selections)
            self._children[key] = Scope(below)
        return self._children[key]


@dataclass(slots=True, eq=False)
class Node:
    """A place in the trie: what the step from its parent leads to.

    Attributes:
        key: of the field, for field steps.
        visible: whether the client asked for the field; others may need it too.
        inputs: where the leaves of a key or requirement are, for enter steps.
    """

    parent: "Node | None"
    step: Step | None
    scope: Scope
    key: str = ""
    children: dict[object, "Node"] = field(default_factory=dict)
    inputs: tuple["Node", ...] = ()
    visible: bool = False


class Trie:
    """The paths chosen so far."""

    def __init__(self, selections: Iterable[Selection]) -> None:
        self.top = Node(None, None, Scope(selections))

    def insert(self, path: Path, log: list[tuple[Node, object]]) -> tuple[int, Node]:
        """Add a path, what its steps need included.

        Returns the cost of the edges that were not there yet, and the last node. ``log`` receives what
        ``undo`` takes back.
        """
        return self._insert(self.top, path, log)

    def _insert(self, node: Node, path: Path, log: list[tuple[Node, object]]) -> tuple[int, Node]:
        cost = 0
        for step in path:
            edge, key, scope, weight = _edge(node, step)
            child = node.children.get(edge)
            if child is None:
                child = Node(node, step, scope, key)
                if isinstance(step, EnterStep):
                    inputs = []
                    for needed in step.inputs:
                        more, leaf = self._insert(node, needed, log)
                        cost += more
                        inputs.append(leaf)
                    child.inputs = tuple(inputs)
                node.children[edge] = child
                log.append((node, edge))
                cost += weight
            if isinstance(step, FieldStep) and step.selection and not child.visible:
                child.visible = True
                log.append((child, None))
            node = child
        return cost, node

    @staticmethod
    def undo(log: list[tuple[Node, object]]) -> None:
        """Take back what the log says was added."""
        for node, edge in reversed(log):
            if edge is None:
                node.visible = False
            else:
                del node.children[edge]
        log.clear()

    def nodes(self) -> Iterable[Node]:
        """Every node below the top, parents first."""
        waiting = list(reversed(self.top.children.values()))
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children.values()))


def _edge(node: Node, step: Step) -> tuple[object, str, Scope, int]:
    if isinstance(step, FieldStep):
        selection = step.selection
        key = selection.key if selection else node.scope.hidden_key(step.name, step.arguments)
        return (key, step.condition), key, node.scope.child(key), FIELD_COST
    if isinstance(step, CastStep):
        return step.position.type, "", node.scope, 0
    if isinstance(step, EnterStep):
        target = (step.position.type, step.position.graph)
        return (*target, step.key, step.required_by), "", node.scope, REQUEST_COST
    return ("root", step.position.graph), "", node.scope, REQUEST_COST


def choose(leaves: list[Leaf], trie: Trie, budget: Budget) -> int:
    """Insert one path for every leaf, such that all together cost little. Returns the cost.

    First greedily, leaves with the fewest choices first; then, where there are choices, by branch and bound
    with a bounded number of trials. The greedy choice is always valid.
    """
    order = sorted(leaves, key=lambda leaf: len(leaf.options))
    fixed = [leaf for leaf in order if len(leaf.options) == 1]
    open_ = [leaf for leaf in order if len(leaf.options) > 1]
    cost = 0
    for leaf in fixed:
        budget.check_time()
        cost += trie.insert(leaf.options[0].path, [])[0]
    if not open_:
        return cost
    log: list[tuple[Node, object]] = []
    greedy: list[Path] = []
    best = 0
    for leaf in open_:
        budget.check_time()
        more, path = min(
            ((_trial(trie, option.path), option.path) for option in leaf.options), key=lambda each: each[0]
        )
        best += more
        greedy.append(path)
        trie.insert(path, log)
    trie.undo(log)
    search = _BranchAndBound(trie, open_, budget, best, greedy)
    if best >= REQUEST_COST and len(open_) <= _MAX_OPEN_LEAVES:  # fields alone are not worth the trials
        search.descend(0, 0, [])
    for path in search.paths:
        trie.insert(path, [])
    return cost + search.best


def _trial(trie: Trie, path: Path) -> int:
    log: list[tuple[Node, object]] = []
    cost, _ = trie.insert(path, log)
    trie.undo(log)
    return cost


@dataclass(slots=True)
class _BranchAndBound:
    trie: Trie
    leaves: list[Leaf]
    budget: Budget
    best: int
    paths: list[Path]
    trials: int = 0

    def descend(self, index: int, cost: int, chosen: list[Path]) -> None:
        if index == len(self.leaves):
            if cost < self.best:
                self.best, self.paths = cost, list(chosen)
            return
        for option in self.leaves[index].options:
            self.trials += 1
            self.budget.check_time()
            if self.trials > self.budget.limits.max_trials:
                return
            log: list[tuple[Node, object]] = []
            more, _ = self.trie.insert(option.path, log)
            if cost + more < self.best:
                chosen.append(option.path)
                self.descend(index + 1, cost + more, chosen)
                chosen.pop()
            self.trie.undo(log)
