"""Where each value of a response comes from: the positions of one operation, and which request fills what.

Worked out once an operation, for one outcome of its `@skip` and `@include` conditions. Pure: plan and schema in,
positions out. What has no place here is refused with the reason, and the plain executor answers such operations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import (
    BooleanValueNode,
    FieldNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    ListTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SelectionNode,
    TypeNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    is_union_type,
    parse,
    parse_type,
)

from gateway.federation.executor.compiled.positions import ROOT, TYPENAME, Aim, Asked, Layout, Position, Slot, Source
from gateway.federation.executor.completion import holds
from gateway.federation.planner.operation import Selection
from gateway.federation.planner.plan import AnyOf, Entities, FetchPath, InputField, Plan, Rename, Request, RequestKind
from gateway.federation.supergraph.model import Model

_EXACT = frozenset({"ID", "String", "Int", "Boolean"})

_Keys: TypeAlias = tuple[str, ...]


class NotCompiled(Exception):
    """The operation is left to the plain executor; the message says what it has that no program can be made for."""


def lay_out(model: Model, schema: GraphQLSchema, plan: Plan, conditions: Mapping[str, Any]) -> Layout:
    """The layout for these values of the variables that conditions ask for.

    Raises:
        NotCompiled: with the reason.
    """
    return _Builder(model, schema, conditions).build(plan)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an answer, as its document tells it.

    Attributes:
        renamed: keys by the path from the part's objects and the alias they are sent under.
        types: of the objects it is for.
        certain: it is given to all objects of these types.
    """

    source: Source
    renamed: Mapping[tuple[_Keys, str], str]
    types: frozenset[str]
    certain: bool


class _Builder:
    def __init__(self, model: Model, schema: GraphQLSchema, conditions: Mapping[str, Any]) -> None:
        self._model = model
        self._schema = schema
        self._conditions = conditions
        self._by_type: set[Position] = set()
        """Positions of which something depends on the runtime type."""

    def build(self, plan: Plan) -> Layout:
        if plan.introspection:
            raise NotCompiled("it asks for the schema itself")
        root = Position("", frozenset({plan.operation.root_type}), creators={ROOT})
        self._select(root, (plan.operation.selections,), self._object(plan.operation.root_type))
        groups = tuple(tuple(r for r in group if self._wanted(r)) for group in plan.groups)
        asked: dict[int, tuple[Asked, ...]] = {}
        entered: dict[int, Position] = {}
        for request in (r for group in groups for r in _in_order(group)):
            selections = self._document(request)
            if request.kind is RequestKind.ENTITIES:
                asked[request.id] = tuple(
                    self._asked(root, entities, (request.id, index)) for index, entities in enumerate(request.entities)
                )
                for each in asked[request.id]:
                    self._fill(each, selections)
                continue
            position, certain = self._find(root, request.path)
            entered[request.id] = position
            part = _Part((request.id, 0), _renamed(request.renames), position.types, certain)
            self._contribute(position, selections, part, position.types, ())
        for each in (each for found in asked.values() for each in found):
            for aim in each.aims:
                self._need(aim)
        for position in list(root.positions()):
            self._check(position)
        _share(aim for found in asked.values() for each in found for aim in each.aims)
        return Layout(root, groups, _needs(plan, groups), asked, entered)

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
            slot = position.add(response_key, visible, None, exact=True)
            slot.typename = response_key != TYPENAME
            return
        types = {str(parent.fields[first.name].type): parent.fields[first.name].type for parent in parents}
        if len(types) > 1:
            raise NotCompiled(f"{path} is of several types: {', '.join(sorted(types))}")
        (type_,) = types.values()
        named = get_named_type(type_)
        slot = position.add(first.key, visible, type_, exact=_exact(type_), response=response_key)
        if is_composite_type(named):
            slot.below = self._below(path, named, tuple(each.selections for each in same))

    def _below(self, path: str, named: GraphQLNamedType, alternatives: Sequence[tuple[Selection, ...]]) -> Position:
        if isinstance(named, GraphQLObjectType):
            below = Position(path, frozenset({named.name}))
            self._select(below, alternatives, named)
            return below
        possible = frozenset(name for name in self._model.possible_types(named.name) if name in self._schema.type_map)
        if not possible:
            raise NotCompiled(f"{path} has no possible types")
        below = Position(path, possible, abstract=True, union=is_union_type(named))
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

    # Who fills it

    def _document(self, request: Request) -> tuple[SelectionNode, ...]:
        (definition,) = (d for d in parse(request.document).definitions if isinstance(d, OperationDefinitionNode))
        return tuple(definition.selection_set.selections)

    def _asked(self, root: Position, entities: Entities, source: Source) -> Asked:
        aims = []
        for target in entities.targets:
            if self._holds_any(target.wanted):
                position, certain = self._find(root, target.path)
                last = target.path[-1] if target.path else None
                types = position.types & last if isinstance(last, frozenset) else position.types
                aims.append(Aim(target, position, types, certain))
        return Asked(entities, source, tuple(aims))

    def _find(self, root: Position, path: FetchPath) -> tuple[Position, bool]:
        """The position at a path, and whether the path leads to all objects there."""
        position, types, certain = root, root.types, True
        for segment in path:
            if isinstance(segment, frozenset):
                types = position.types & segment
                if not segment >= position.types:
                    self._by_type.add(position)
                continue
            slot = position.slots.get(segment)
            if slot is None or slot.below is None:
                raise NotCompiled(f"it fetches through {position.path}.{segment}, which nobody is asked for")
            certain = certain and not (slot.visible | slot.filled()) - types
            position, types = slot.below, slot.below.types
        return position, certain

    def _fill(self, asked: Asked, selections: Sequence[SelectionNode]) -> None:
        """Take in what is asked for by representations."""
        key = asked.entities.response_key
        nodes = (node for node in selections if isinstance(node, FieldNode) and self._included(node))
        node = next((each for each in nodes if (each.alias or each.name).value == key), None)
        below = node.selection_set.selections if node is not None and node.selection_set else ()
        renamed = _renamed(asked.entities.renames)
        for aim in asked.aims:
            self._contribute(aim.position, below, _Part(asked.source, renamed, aim.types, aim.certain), aim.types, ())

    def _contribute(
        self,
        position: Position,
        selections: Sequence[SelectionNode],
        part: _Part,
        types: frozenset[str],
        keys: _Keys,
    ) -> None:
        for node in selections:
            if not self._included(node) or not types:
                continue
            if isinstance(node, InlineFragmentNode):
                condition = node.type_condition.name.value if node.type_condition else None
                narrowed = types if condition is None else types & self._model.possible_types(condition)
                self._contribute(position, node.selection_set.selections, part, narrowed, keys)
            elif isinstance(node, FieldNode):
                self._contribute_field(position, node, part, types, keys)

    def _contribute_field(
        self, position: Position, node: FieldNode, part: _Part, types: frozenset[str], keys: _Keys
    ) -> None:
        name, sent = node.name.value, (node.alias or node.name).value
        key = part.renamed.get((keys, sent), sent)
        if name == TYPENAME and (sent != TYPENAME or TYPENAME not in position.slots):
            return  # what stands in for nothing, or is known without asking
        slot = position.slots.get(key)
        if slot is None:
            slot = self._hidden(position, key, name, types)
        if sent != slot.response:
            position.alias(part.source, sent, slot, types)
        slot.fillers[part.source] = slot.fillers.get(part.source, frozenset()) | types
        if not keys and part.certain and types >= part.types:
            slot.sure |= types
        if slot.below is not None and node.selection_set is not None:
            slot.below.creators.add(part.source)
            self._contribute(slot.below, node.selection_set.selections, part, slot.below.types, (*keys, key))

    def _hidden(self, position: Position, key: str, name: str, types: frozenset[str]) -> Slot:
        """A slot for what only requests need."""
        declared = [self._model.types[type_].fields.get(name) for type_ in sorted(types)]
        texts = {each.type for each in declared if each is not None}
        slot = position.add(key, frozenset(), None, exact={text.strip("!") for text in texts} <= _EXACT and bool(texts))
        named = {text.strip("[]!") for text in texts}
        below = frozenset(each for type_ in named for each in self._model.possible_types(type_))
        if not below:
            return slot
        if len(texts) > 1:
            raise NotCompiled(f"{position.path}.{key} is of several types: {', '.join(sorted(texts))}")
        (text,) = texts
        (type_,) = named
        slot.type = _wrapped(parse_type(text))
        slot.below = Position(f"{position.path}.{key}", below, abstract=self._model.types[type_].abstract)
        if slot.below.abstract:
            slot.below.add(TYPENAME, frozenset(), None, exact=True)
        return slot

    # What representations need

    def _need(self, aim: Aim) -> None:
        for each in (*aim.target.key, *aim.target.inputs):
            self._needed(aim.position, each, aim.types)

    def _needed(self, position: Position, wanted: InputField, types: frozenset[str]) -> None:
        slot = position.slots.get(wanted.key)
        if slot is None:  # of a type that the client must not know: no such object gets this far
            slot = position.add(wanted.key, frozenset(), None, exact=False)
        if wanted.types is not None:
            if not wanted.types >= types and TYPENAME in position.slots:
                self._by_type.add(position)
            types = types & wanted.types
        if wanted.fields is not None and slot.below is not None:
            for each in wanted.fields:
                self._needed(slot.below, each, slot.below.types)

    def _check(self, position: Position) -> None:
        """Find what has to be looked at in the end; nothing else may be missing."""
        names = [slot.response for slot in position.slots.values()]
        names += {alias.key for aliases in position.aliases.values() for alias in aliases}
        if len(set(names)) < len(names):
            raise NotCompiled(f"{position.path} has a key like the planner's own")
        for slot in position.slots.values():
            if slot.key == TYPENAME or slot.typename:
                continue
            common = frozenset.intersection(
                position.types, *(slot.fillers.get(creator, frozenset()) for creator in position.creators)
            )
            if slot.visible == position.types and not slot.fillers:
                raise NotCompiled(f"{position.path}.{slot.key} is asked of no subgraph")
            partly = any(creator in slot.fillers and not position.given(slot, creator) for creator in position.creators)
            slot.uncertain = bool(slot.visible) and (partly or bool(slot.visible - common - slot.sure))
            if position.abstract and (slot.uncertain or slot.visible != position.types) and slot.visible:
                self._by_type.add(position)
        if any(slot.typename for slot in position.slots.values()):
            self._by_type.add(position)
        self._check_typename(position)

    def _check_typename(self, position: Position) -> None:
        slot = position.slots.get(TYPENAME)
        if slot is None or not position.abstract:
            return
        needed = position.union or bool(slot.visible) or position in self._by_type
        if not slot.fillers and not needed:
            del position.slots[TYPENAME]  # objects of an interface, whose type nobody asks for
        elif needed and not slot.filled() >= position.types:
            raise NotCompiled(f"the runtime types of {position.path} are not asked for where it comes from")
        else:
            slot.uncertain = needed and not position.certain(slot)

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


def _share(aims: Iterable[Aim]) -> None:
    """Let equal objects be one where they come with built-in leaves alone, and nothing is for some of them only.

    Making them one costs as much as asking for them once, so they have to be asked for at least twice.
    """
    by_position: dict[Position, list[Aim]] = {}
    for aim in aims:
        by_position.setdefault(aim.position, []).append(aim)
    for position, found in by_position.items():
        brought = [slot for slot in position.slots.values() if position.creators & slot.fillers.keys()]
        position.shared = (
            len(found) > 1
            and len(position.creators) == 1
            and bool(brought)
            and all(slot.exact and slot.below is None for slot in brought)
            and all(aim.certain for aim in found)
        )


def _exact(type_: GraphQLOutputType) -> bool:
    """Of one kind in JSON, or of kinds that are never equal; not 1 and 1.0, and nothing that holds others."""
    return str(type_).removesuffix("!") in _EXACT


def _wrapped(node: TypeNode) -> GraphQLOutputType:
    """A type's lists and non-nulls; for what is inside, the name is enough."""
    if isinstance(node, NonNullTypeNode):
        return GraphQLNonNull(_wrapped(node.type))  # type: ignore[arg-type]  # not non-null twice
    if isinstance(node, ListTypeNode):
        return GraphQLList(_wrapped(node.type))
    return GraphQLObjectType(node.name.value, {})  # type: ignore[attr-defined]  # the third and last kind


def _renamed(renames: Iterable[Rename]) -> dict[tuple[_Keys, str], str]:
    return {(each.path, each.alias): each.key for each in renames}


def _needs(plan: Plan, groups: Iterable[Iterable[Request]]) -> dict[int, frozenset[int]]:
    """What requests wait for; in the place of one that is not made, what that would have waited for."""
    made = {request.id for group in groups for request in group}
    needs: dict[int, frozenset[int]] = {}
    for request in _in_order(plan.requests):
        through = (needs[needed] for needed in request.needs if needed not in made)
        needs[request.id] = (request.needs & made).union(*through)
    return needs


def _in_order(requests: Iterable[Request]) -> list[Request]:
    """Requests, each after those it needs; their ids are given in such an order."""
    return sorted(requests, key=lambda request: request.id)


def _shape(same: Sequence[Selection]) -> tuple[Any, ...]:
    """What makes two selections the same: name and arguments, and what is selected below."""
    first = same[0]
    below = tuple(
        (child.response_key, child.types, child.condition, _shape((child,)))
        for each in same
        for child in each.selections
    )
    return first.name, first.arguments, below


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
