"""Where each value of a response comes from: the positions of one operation, and which request fills what.

Worked out once an operation, for one outcome of its `@skip` and `@include` conditions. Pure: plan and schema in,
positions out. What has no place here is refused with the reason, and the plain executor answers such operations.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import (
    BooleanValueNode,
    FieldNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    parse,
)

from gateway.federation.executor.completion import holds
from gateway.federation.planner.operation import Selection
from gateway.federation.planner.plan import AnyOf, Entities, FetchPath, InputField, Plan, Request, RequestKind, Target
from gateway.federation.supergraph.model import Model

TYPENAME = "__typename"

Fillers: TypeAlias = dict[int, frozenset[str]]
"""By request, the object types for which it fills a value."""


class NotCompiled(Exception):
    """The operation is left to the plain executor; the message says what it has that no program can be made for."""


@dataclass(slots=True, eq=False)
class Slot:
    """One value of the objects at a position.

    Attributes:
        key: in the answers of subgraphs and in the response.
        attribute: of the position's class.
        visible: object types for which the client asked for it; empty for what only representations need.
        type: in the API schema; None where the client may not see it.
        exact: values that are equal in Python are equal in JSON, so it can stand in a dictionary's key.
        below: for objects.
        fillers: requests that give it.
    """

    key: str
    attribute: str
    visible: frozenset[str]
    type: GraphQLOutputType | None
    exact: bool
    below: "Position | None" = None
    fillers: Fillers = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Position:
    """All objects at one response path.

    Attributes:
        path: for messages.
        types: the object types they can have.
        abstract: their runtime type has to be looked at.
        slots: in the order of the response; what is hidden comes last.
        creator: the request whose answer the objects come with; 0 for the root, which is ours.
    """

    path: str
    types: frozenset[str]
    abstract: bool = False
    slots: dict[str, Slot] = field(default_factory=dict)
    creator: int = -1

    def add(self, key: str, visible: frozenset[str], type_: GraphQLOutputType | None, *, exact: bool) -> Slot:
        """A new slot at the end."""
        prefix = "f" if visible else "h"
        slot = self.slots[key] = Slot(key, f"{prefix}{len(self.slots)}", visible, type_, exact)
        return slot

    def positions(self) -> Iterator["Position"]:
        """This one and those below."""
        yield self
        for slot in self.slots.values():
            if slot.below is not None:
                yield from slot.below.positions()


@dataclass(frozen=True, slots=True)
class Aim:
    """A target of an entity fetch, with the position it means."""

    target: Target
    position: Position


@dataclass(frozen=True, slots=True)
class Asked:
    """One `_entities` field of a request, as far as it is wanted."""

    entities: Entities
    aims: tuple[Aim, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The positions of an operation, and the requests that are made at all.

    Attributes:
        requests: in groups, as in the plan.
        asked: by request, its `_entities` fields; nothing for requests of root fields.
    """

    root: Position
    requests: tuple[tuple[Request, ...], ...]
    asked: Mapping[int, tuple[Asked, ...]]


def lay_out(model: Model, schema: GraphQLSchema, plan: Plan, conditions: Mapping[str, Any]) -> Layout:
    """The layout for these values of the variables that conditions ask for.

    Raises:
        NotCompiled: with the reason.
    """
    return _Builder(model, schema, conditions).build(plan)


class _Builder:
    def __init__(self, model: Model, schema: GraphQLSchema, conditions: Mapping[str, Any]) -> None:
        self._model = model
        self._schema = schema
        self._conditions = conditions

    def build(self, plan: Plan) -> Layout:
        if plan.introspection:
            raise NotCompiled("it asks for the schema itself")
        root = Position("", frozenset({plan.operation.root_type}), creator=0)
        self._select(root, (plan.operation.selections,), self._object(plan.operation.root_type))
        groups = tuple(tuple(r for r in group if self._wanted(r)) for group in plan.groups)
        asked: dict[int, tuple[Asked, ...]] = {}
        for request in (r for group in groups for r in group):
            if request.kind is RequestKind.REENTRY or request.path:
                raise NotCompiled(f"request {request.id} enters the query root again inside the response")
            if request.renames or any(e.renames for e in request.entities):
                raise NotCompiled(f"request {request.id} has fields under aliases of the planner's own")
            if request.kind is RequestKind.ENTITIES:
                asked[request.id] = tuple(self._asked(root, request, entities) for entities in request.entities)
        for group in groups:
            for request in _in_order(group):
                self._fill(root, request, asked.get(request.id, ()))
        for position in root.positions():
            self._check(position)
        return Layout(root, groups, asked)

    # What the client asked for

    def _select(
        self,
        position: Position,
        alternatives: Sequence[tuple[Selection, ...]],
        parent: GraphQLObjectType | GraphQLInterfaceType,
    ) -> None:
        """Add what the client selected for an object type, or for all objects of an interface alike."""
        everything = position.types
        for response_key, same in self._collected(alternatives, None).items():
            self._visible(position, response_key, same, {parent: everything})

    def _select_abstract(self, position: Position, alternatives: Sequence[tuple[Selection, ...]]) -> None:
        """Add what the client selected for each of several object types."""
        by_type = {name: self._collected(alternatives, name) for name in sorted(position.types)}
        order = _joint_order([list(found) for found in by_type.values()])
        if order is None:
            raise NotCompiled(f"the order of fields at {position.path} depends on the runtime type")
        for response_key in order:
            wanting = {name: found[response_key] for name, found in by_type.items() if response_key in found}
            same = next(iter(wanting.values()))
            if any(_shape(other) != _shape(same) for other in wanting.values()):
                raise NotCompiled(f"{position.path}.{response_key} is another selection for other runtime types")
            self._visible(position, response_key, same, {self._object(n): frozenset({n}) for n in wanting})

    def _visible(
        self,
        position: Position,
        response_key: str,
        same: Sequence[Selection],
        parents: Mapping[GraphQLObjectType | GraphQLInterfaceType, frozenset[str]],
    ) -> None:
        first = same[0]
        path = f"{position.path}.{response_key}" if position.path else response_key
        visible = frozenset().union(*parents.values())
        if first.name == TYPENAME:
            if response_key != TYPENAME:
                raise NotCompiled(f"{path} is an alias of {TYPENAME}")
            position.add(TYPENAME, visible, None, exact=True)
            return
        if first.key != response_key:
            raise NotCompiled(f"{path} begins with an underscore")
        types = {str(parent.fields[first.name].type): parent.fields[first.name].type for parent in parents}
        if len(types) > 1:
            raise NotCompiled(f"{path} is of several types: {', '.join(sorted(types))}")
        (type_,) = types.values()
        named = get_named_type(type_)
        slot = position.add(response_key, visible, type_, exact=_exact(type_))
        if is_composite_type(named):
            slot.below = self._below(path, named, tuple(each.selections for each in same))

    def _below(self, path: str, named: GraphQLNamedType, alternatives: Sequence[tuple[Selection, ...]]) -> Position:
        if isinstance(named, GraphQLObjectType):
            below = Position(path, frozenset({named.name}))
            self._select(below, alternatives, named)
            return below
        if self._model.types[named.name].interface_object_in:
            raise NotCompiled(f"{path} is an interface object in some subgraphs")
        possible = frozenset(name for name in self._model.possible_types(named.name) if name in self._schema.type_map)
        below = Position(path, possible, abstract=True)
        self._select_abstract(below, alternatives)
        if TYPENAME not in below.slots:
            below.add(TYPENAME, frozenset(), None, exact=True)
        return below

    def _collected(
        self, alternatives: Sequence[tuple[Selection, ...]], type_name: str | None
    ) -> dict[str, list[Selection]]:
        """By response key, in order of first appearance, what is selected; for one runtime type, or for any."""
        collected: dict[str, list[Selection]] = {}
        for selection in (each for selections in alternatives for each in selections):
            if selection.types is not None and type_name is not None and type_name not in selection.types:
                continue
            if not selection.condition or holds(selection.condition, self._conditions):
                collected.setdefault(selection.response_key, []).append(selection)
        return collected

    # What representations need

    def _asked(self, root: Position, request: Request, entities: Entities) -> Asked:
        aims = []
        for target in entities.targets:
            if not self._holds_any(target.wanted):
                continue
            position = self._find(root, target.path)
            names = [each.name for each in target.inputs]
            if len(set(names)) < len(names):
                raise NotCompiled(f"request {request.id} needs a field of {position.path} from several places")
            for each in (*target.key, *target.inputs):
                self._need(position, each)
            aims.append(Aim(target, position))
        return Asked(entities, tuple(aims))

    def _find(self, root: Position, path: FetchPath) -> Position:
        position, types = root, root.types
        for segment in path:
            if isinstance(segment, frozenset):
                types = position.types & segment
                continue
            slot = position.slots.get(segment)
            if slot is None or slot.below is None:
                raise NotCompiled(f"it fetches through {position.path}.{segment}, which the client does not see")
            if slot.visible - types:
                raise NotCompiled(f"it fetches through {slot.below.path} for some runtime types only")
            position, types = slot.below, slot.below.types
        return position

    def _need(self, position: Position, wanted: InputField) -> None:
        if wanted.types is not None or wanted.key == TYPENAME:
            raise NotCompiled(f"what is sent of {position.path} depends on its runtime type")
        slot = position.slots.get(wanted.key)
        if slot is not None and slot.below is not None:
            raise NotCompiled(f"{position.path}.{wanted.key} is sent to a subgraph, and an object")
        if slot is None:
            exact = wanted.fields is None and self._exact_hidden(position, wanted.name)
            position.add(wanted.key, frozenset(), None, exact=exact)

    def _exact_hidden(self, position: Position, name: str) -> bool:
        declared = [self._model.types[type_].fields.get(name) for type_ in position.types]
        return all(each is not None and each.type.strip("!") in _EXACT for each in declared)

    # Who fills it

    def _fill(self, root: Position, request: Request, asked: Sequence[Asked]) -> None:
        (definition,) = (d for d in parse(request.document).definitions if isinstance(d, OperationDefinitionNode))
        selections = definition.selection_set.selections
        if not asked:
            self._contribute(root, selections, request.id, root.types)
            return
        by_key = {
            (node.alias or node.name).value: node
            for node in selections
            if isinstance(node, FieldNode) and self._included(node)
        }
        for each in asked:
            node = by_key.get(each.entities.response_key)
            below = node.selection_set.selections if node is not None and node.selection_set else ()
            for aim in each.aims:
                self._contribute(aim.position, below, request.id, _final_types(aim))

    def _contribute(
        self, position: Position, selections: Sequence[SelectionNode], request: int, types: frozenset[str]
    ) -> None:
        for node in selections:
            if not self._included(node) or not types:
                continue
            if isinstance(node, InlineFragmentNode):
                condition = node.type_condition.name.value if node.type_condition else None
                narrowed = types if condition is None else types & self._model.possible_types(condition)
                self._contribute(position, node.selection_set.selections, request, narrowed)
            elif isinstance(node, FieldNode):
                self._contribute_field(position, node, request, types)

    def _contribute_field(self, position: Position, node: FieldNode, request: int, types: frozenset[str]) -> None:
        slot = position.slots.get((node.alias or node.name).value)
        if slot is None:
            return
        slot.fillers[request] = slot.fillers.get(request, frozenset()) | types
        if slot.below is None or node.selection_set is None:
            return
        if slot.below.creator not in (-1, request):
            raise NotCompiled(f"{slot.below.path} comes from several requests")
        slot.below.creator = request
        self._contribute(slot.below, node.selection_set.selections, request, slot.below.types)

    def _check(self, position: Position) -> None:
        """Everything that is seen is filled, for just the objects that it is seen of."""
        for slot in position.slots.values():
            path = f"{position.path}.{slot.key}"
            if slot.key == TYPENAME:
                if position.abstract and not slot.fillers.get(position.creator, frozenset()) >= position.types:
                    raise NotCompiled(f"the runtime types of {position.path} are not asked for where it comes from")
                if position.abstract and slot.visible and slot.visible != position.types:
                    raise NotCompiled(f"{path} is seen of some runtime types only")
                continue
            filled = frozenset().union(*slot.fillers.values())
            if slot.visible - filled or not filled:
                raise NotCompiled(f"{path} is asked of no subgraph")
            if slot.visible and filled - slot.visible:
                raise NotCompiled(f"{path} comes for more runtime types than it is seen of")
            if slot.below is not None and len(slot.fillers) > 1:
                raise NotCompiled(f"{path} comes from several requests")

    def _object(self, name: str) -> GraphQLObjectType:
        type_ = self._schema.type_map[name]
        if not isinstance(type_, GraphQLObjectType):
            raise TypeError(f"{name} is no object type")
        return type_

    def _wanted(self, request: Request) -> bool:
        targets = [target for entities in request.entities for target in entities.targets]
        return self._holds_any(request.wanted) and (not targets or any(self._holds_any(t.wanted) for t in targets))

    def _holds_any(self, alternatives: AnyOf) -> bool:
        return any(holds(condition, self._conditions) for condition in alternatives)

    def _included(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            if directive.name.value not in ("skip", "include"):
                continue
            (argument,) = directive.arguments or ()
            value = argument.value
            if isinstance(value, VariableNode):
                said = bool(self._conditions.get(value.name.value))
            else:
                said = isinstance(value, BooleanValueNode) and value.value
            if said is (directive.name.value == "skip"):
                return False
        return True


_EXACT = frozenset({"ID", "String", "Int", "Boolean"})


def _exact(type_: GraphQLOutputType) -> bool:
    """Of one kind in JSON, or of kinds that are never equal; not 1 and 1.0, and nothing that holds others."""
    return str(type_).removesuffix("!") in _EXACT


def _in_order(requests: Iterable[Request]) -> list[Request]:
    """Requests, each after those it needs; their ids are given in such an order."""
    return sorted(requests, key=lambda request: request.id)


def _final_types(aim: Aim) -> frozenset[str]:
    """The types that the end of a path narrows its objects to."""
    last = aim.target.path[-1] if aim.target.path else None
    return aim.position.types & last if isinstance(last, frozenset) else aim.position.types


def _shape(same: Sequence[Selection]) -> tuple[Any, ...]:
    """What makes two selections the same: name and arguments of a leaf, the syntax of anything else."""
    if not same[0].selections:
        return same[0].name, same[0].arguments
    return tuple(id(node) for each in same for node in each.nodes)


def _joint_order(orders: Sequence[Sequence[str]]) -> list[str] | None:
    """One order that contains each of the others; None where they contradict each other."""
    joint: list[str] = []
    pending = [list(order) for order in orders if order]
    while pending:
        heads = dict.fromkeys(order[0] for order in pending)
        free = next((head for head in heads if not any(head in order[1:] for order in pending)), None)
        if free is None:
            return None
        joint.append(free)
        pending = [[key for key in order if key != free] for order in pending]
        pending = [order for order in pending if order]
    return joint
