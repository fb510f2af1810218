"""Positions in the graph of subgraphs, and paths between them."""

from dataclasses import dataclass

from gateway.federation.planner.operation import ALWAYS, Condition, Selection
from gateway.federation.supergraph.field_sets import FieldSet

REQUEST_COST = 1000
"""One request weighs as much as a thousand fields, so a plan is first of all one with few requests."""
FIELD_COST = 1


@dataclass(frozen=True, slots=True)
class Position:
    """Objects of one type, as one subgraph sees them.

    Attributes:
        type: the type's name in the subgraph.
        graph: the subgraph.
        view: what a ``@provides`` on the way makes resolvable here and below.
    """

    type: str
    graph: str
    view: FieldSet = ()


@dataclass(frozen=True, slots=True, eq=False)
class RootStep:
    """Start at the root type of a subgraph."""

    position: Position


@dataclass(frozen=True, slots=True, eq=False)
class FieldStep:
    """Select a field. ``selection`` is the client's, None when only the planner needs the field.

    ``position`` is None at leaves; ``type`` is the field's type in this subgraph, printed.
    """

    name: str
    arguments: str
    type: str
    position: Position | None
    selection: Selection | None = None

    @property
    def condition(self) -> Condition:
        """When the field is wanted."""
        return self.selection.condition if self.selection else ALWAYS


@dataclass(frozen=True, slots=True, eq=False)
class CastStep:
    """Go on with objects of one runtime type only."""

    position: Position


@dataclass(frozen=True, slots=True, eq=False)
class EnterStep:
    """Ask a subgraph for the same objects by a key, or, for the query root, ask it for its root fields.

    Attributes:
        position: where it leads.
        key: fields that identify the object; empty for the query root.
        requires: fields sent beside the key for the sake of one field, ``required_by``.
        inputs: a path from here to each leaf of key and requires.
    """

    position: Position
    key: FieldSet
    inputs: "tuple[Path, ...]"
    requires: FieldSet = ()
    required_by: str | None = None


Step = RootStep | FieldStep | CastStep | EnterStep
Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One way to a position; ``position`` is None at leaves."""

    position: Position | None
    cost: int
    path: Path


def at(option: Option) -> Position:
    """The position of an option that is not a leaf."""
    if option.position is None:
        msg = "a leaf has no position"
        raise TypeError(msg)
    return option.position


def prune(options: list[Option], ties: int) -> list[Option]:
    """The cheapest options for each position, up to ``ties`` equally cheap ones each.

    Ties are kept because which of them is better shows only when all paths are put together.
    """
    best: dict[Position | None, list[Option]] = {}
    for option in options:
        known = best.setdefault(option.position, [])
        if not known or option.cost < known[0].cost:
            best[option.position] = [option]
        elif option.cost == known[0].cost and len(known) < ties:
            known.append(option)
    return [option for known in best.values() for option in known]


def cheapest(options: list[Option], ties: int) -> list[Option]:
    """The cheapest of all options, up to ``ties`` equally cheap ones."""
    cost = min(option.cost for option in options)
    return [option for option in options if option.cost == cost][:ties]
