"""An operation in normal form: fragments resolved to object types, conditions pushed down, equal fields merged.

Both the planner and the projection of the response work from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    print_ast,
)

from gateway.federation.errors import PlanningError
from gateway.federation.planner.limits import Budget
from gateway.federation.supergraph.field_sets import print_arguments
from gateway.federation.supergraph.model import Model

Condition = frozenset[tuple[str, bool]]
"""All of these variables must have these values; the empty condition always holds."""

ALWAYS: Condition = frozenset()
_INTROSPECTION = frozenset({"__schema", "__type"})


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """One selected field.

    Attributes:
        key: where its value is kept while the response is put together. It is the response key, except
            that keys with a leading underscore are renamed, because those are the planner's own.
        response_key: its key in the response.
        name: the schema name.
        arguments: printed, sorted by name.
        variables: used by the arguments.
        condition: from @skip and @include on it and on the fragments around it.
        types: object types it applies to, None for all its parent can have.
        selections: those below, empty for leaves.
        nodes: the syntax it came from.
    """

    key: str
    response_key: str
    name: str
    arguments: str
    variables: frozenset[str]
    condition: Condition
    types: frozenset[str] | None
    selections: "tuple[Selection, ...]"
    nodes: tuple[FieldNode, ...]

    @property
    def introspection(self) -> bool:
        """Whether it asks for the schema itself."""
        return self.name in _INTROSPECTION


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a document in normal form; ``variable_types`` and defaults are printed."""

    kind: OperationType
    name: str | None
    root_type: str
    selections: tuple[Selection, ...]
    variables: Mapping[str, str]
    node: OperationDefinitionNode
    fragments: tuple[FragmentDefinitionNode, ...]


def select_operation(document: DocumentNode, operation_name: str | None) -> OperationDefinitionNode:
    """The operation to run, as in https://spec.graphql.org/October2021/#GetOperation().

    Raises:
        PlanningError: there is none of this name, or no name is given and there are several.
    """
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if operation_name:
        for node in operations:
            if node.name and node.name.value == operation_name:
                return node
        msg = f"The document has no operation named {operation_name!r}."
        raise PlanningError(msg)
    if len(operations) != 1:
        msg = f"The document has {len(operations)} operations; say which one with operationName."
        raise PlanningError(msg)
    return operations[0]


def normalise(model: Model, document: DocumentNode, operation_name: str | None, budget: Budget) -> Operation:
    """Bring one operation of a valid document to normal form.

    Raises:
        PlanningError: the operation cannot be selected, or is a subscription.
        PlanLimitExceeded: it is too deep or too large.
    """
    node = select_operation(document, operation_name)
    root_type = model.root(node.operation)
    if node.operation is OperationType.SUBSCRIPTION:
        msg = "Subscriptions are not supported."
        raise PlanningError(msg)
    if root_type is None:
        msg = f"The schema has no {node.operation.value} type."
        raise PlanningError(msg)
    fragments = tuple(each for each in document.definitions if isinstance(each, FragmentDefinitionNode))
    normaliser = _Normaliser(model, {fragment.name.value: fragment for fragment in fragments}, budget)
    return Operation(
        kind=node.operation,
        name=node.name.value if node.name else None,
        root_type=root_type,
        selections=normaliser.selections([node.selection_set], root_type, 1),
        variables={
            definition.variable.name.value: print_ast(definition.type)
            + (f" = {print_ast(definition.default_value)}" if definition.default_value else "")
            for definition in node.variable_definitions or ()
        },
        node=node,
        fragments=fragments,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """What the fragments around a selection say; ``types`` None stands for all that the parent can have."""

    parent: str
    types: frozenset[str] | None
    condition: Condition


@dataclass(slots=True)
class _Merged:
    """A field while equal ones are still being found."""

    place: _Place
    nodes: list[FieldNode]


class _MergedFields:
    """Fields of one selection set, in the client's order.

    Fields of one key are merged unless one under another condition stands between them: the order of what is
    below them, all conditions considered, must come out as the client wrote it.
    """

    def __init__(self) -> None:
        self.entries: list[_Merged] = []
        self._last: dict[str, _Merged] = {}

    def add(self, node: FieldNode, place: _Place) -> None:
        key = (node.alias or node.name).value
        last = self._last.get(key)
        if last is None or (last.place.condition, last.place.types) != (place.condition, place.types):
            last = self._last[key] = _Merged(place, [])
            self.entries.append(last)
        last.nodes.append(node)


class _Normaliser:
    def __init__(self, model: Model, fragments: Mapping[str, FragmentDefinitionNode], budget: Budget) -> None:
        self.model = model
        self.fragments = fragments
        self.budget = budget
        self._nested = 0

    def selections(self, sets: Sequence[SelectionSetNode], type_name: str, depth: int) -> tuple[Selection, ...]:
        merged = _MergedFields()
        everything = self.model.possible_types(type_name)
        for selection_set in sets:
            self._collect(selection_set, _Place(type_name, None, ALWAYS), everything, merged)
        return tuple(self._selection(entry, depth) for entry in merged.entries)

    def _collect(
        self, selection_set: SelectionSetNode, place: _Place, everything: frozenset[str], merged: _MergedFields
    ) -> None:
        for node in selection_set.selections:
            condition = _combine(place.condition, node.directives)
            if condition is None:
                continue
            if isinstance(node, FieldNode):
                guard = None if place.types is None or place.types >= everything else place.types
                merged.add(node, _Place(place.parent, guard, condition))
                continue
            if isinstance(node, FragmentSpreadNode):
                fragment: FragmentDefinitionNode | InlineFragmentNode = self.fragments[node.name.value]
            elif isinstance(node, InlineFragmentNode):
                fragment = node
            parent, types = place.parent, place.types
            if fragment.type_condition:
                parent = fragment.type_condition.name.value
                types = (everything if types is None else types) & self.model.possible_types(parent)
            if types is None or types:
                self._nested += 1
                self.budget.check_depth(self._nested)
                self._collect(fragment.selection_set, _Place(parent, types, condition), everything, merged)
                self._nested -= 1

    def _selection(self, entry: _Merged, depth: int) -> Selection:
        self.budget.visit(depth)
        first = entry.nodes[0]
        name = first.name.value
        response_key = (first.alias or first.name).value
        sets = [node.selection_set for node in entry.nodes if node.selection_set]
        below: tuple[Selection, ...] = ()
        if sets and name not in _INTROSPECTION:
            below = self.selections(sets, self.model.types[entry.place.parent].fields[name].named_type, depth + 1)
        return Selection(
            key=f"_u{response_key}" if response_key.startswith("_") else response_key,
            response_key=response_key,
            name=name,
            arguments=print_arguments(first.arguments or ()),
            variables=frozenset(
                variable for argument in first.arguments or () for variable in _variables(argument.value)
            ),
            condition=entry.place.condition,
            types=entry.place.types,
            selections=below,
            nodes=tuple(entry.nodes),
        )


def _combine(condition: Condition, directives: Sequence[DirectiveNode] | None) -> Condition | None:
    """The condition narrowed by @skip and @include; None when it can never hold."""
    for directive in directives or ():
        name = directive.name.value
        if name not in ("skip", "include"):
            continue
        value = directive.arguments[0].value if directive.arguments else None
        wanted = name == "include"
        if isinstance(value, BooleanValueNode):
            if value.value != wanted:
                return None
        elif isinstance(value, VariableNode):
            if (value.name.value, not wanted) in condition:
                return None
            condition |= {(value.name.value, wanted)}
    return condition


def _variables(value: ValueNode) -> list[str]:
    if isinstance(value, VariableNode):
        return [value.name.value]
    if isinstance(value, ListValueNode):
        return [name for item in value.values for name in _variables(item)]
    if isinstance(value, ObjectValueNode):
        return [name for item in value.fields for name in _variables(item.value)]
    return []
