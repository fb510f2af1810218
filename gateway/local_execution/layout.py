"""The positions of one operation: what its objects look like in the response, and where each value comes from.

Worked out once an operation, for one outcome of its `@skip` and `@include` conditions. What is below an interface or a
union is worked out for a runtime type when the first such object is met.
"""

import keyword
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

import msgspec
import strawberry
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from gateway.local_execution import code, leaves
from loaders.columns import COLUMN, ColumnResolver

TYPENAME = "__typename"

_MAX_POSITIONS = 1_000
"""Of one program: what is met beyond them, graphql-core executes."""

Make = Callable[[Sequence[Any]], list[Any]]


class NotCompiled(Exception):
    """The operation is left to graphql-core; the message says what it has that no program can be made for."""


class How(Enum):
    """Where the values of a field come from."""

    TYPENAME = "known without asking"
    ATTRIBUTE = "an attribute"
    RESOLVER = "a resolver, an object at a time"
    COLUMN = "a batch, all objects at once"


def _no_attribute(_: Sequence[Any]) -> list[Any]:
    raise TypeError("the field is no attribute")


async def _no_batch(*_: Any) -> list[Any]:
    raise TypeError("the field is no batch")


@dataclass(slots=True, eq=False)
class Field:
    """One value of the objects at a position.

    Attributes:
        key: in the response.
        attribute: of the position's class.
        parent: the objects' type.
        details: graphql-core's list of the field's nodes; its identity is what graphql-core remembers it by.
        nullable: of the field's value, then of its items, of their items, …
        read: the attribute's value of each source.
        call: a resolver without arguments, called directly with source and info; None where Strawberry calls it.
        info: makes what `call` takes as info; None where it takes none.
        column: the batch.
        fill: gives objects their leaves, as the response has them; raises when a value is out of the ordinary.
        assign: gives objects what is ready for the response.
        asks_info: the runtime type of values cannot be told without graphql-core's `info`.
        below: by the name of the runtime type.
    """

    key: str
    attribute: str
    parent: GraphQLObjectType
    definition: GraphQLField
    details: list[FieldDetails]
    how: How
    assign: code.Assign
    own: StrawberryField | None = None
    nullable: tuple[bool, ...] = ()
    read: Callable[[Sequence[Any]], list[Any]] = _no_attribute
    call: Callable[[Any, Any], Any] | None = None
    info: Callable[[GraphQLResolveInfo[Any]], Any] | None = None
    column: ColumnResolver = _no_batch
    fill: code.Assign | None = None
    asks_info: bool = False
    below: "dict[str, Position]" = field(default_factory=dict)

    @property
    def type(self) -> GraphQLOutputType:
        """In the schema."""
        return self.definition.type

    @property
    def named(self) -> GraphQLNamedType:
        """The type, without lists and non-null."""
        return get_named_type(self.definition.type)

    @property
    def nodes(self) -> list[FieldNode]:
        """Where the client asks for it."""
        return [each.node for each in self.details]


@dataclass(slots=True, eq=False)
class Position:
    """All objects of one type at one response path.

    Attributes:
        path: for people.
        fields: by response key, in the order of the response.
        made: the class of the response's objects.
        make: an object for each source, with its attributes copied; raises when something is out of the ordinary.
        copied: the fields that `make` copies.
        steps: the fields that it leaves for later.
    """

    path: str
    object_type: GraphQLObjectType
    fields: dict[str, Field]
    made: type[msgspec.Struct]
    make: Make
    copied: tuple[Field, ...]
    steps: tuple[Field, ...]


class Program:
    """A compiled operation, for one outcome of its conditions. `serial`: its root fields run one after the other.

    Args:
        schema: what Strawberry built.
        operation: a query or a mutation.
        fragments: of the document.
        conditions: values of the variables in `@skip` and `@include`.

    Raises:
        NotCompiled: with the reason.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        conditions: Mapping[str, bool],
    ) -> None:
        self.schema = schema
        self.operation = operation
        self.serial = operation.operation is OperationType.MUTATION
        self.fragments = dict(fragments)
        self.fragment_details = {name: FragmentDetails(each, None) for name, each in fragments.items()}
        self._conditions = VariableValues({}, dict(conditions))
        self._count = 0
        type_ = schema.get_root_type(operation.operation)
        if type_ is None:
            raise NotCompiled(f"the schema has no {operation.operation.value}")
        selected = collect_fields(schema, self.fragment_details, self._conditions, type_, operation)
        asked = next((name for name in ("__schema", "__type") if name in _names(selected.grouped_field_set)), None)
        if asked is not None:
            raise NotCompiled("it asks for the schema itself")
        root = self._position("", type_, selected.grouped_field_set)
        if root is None:
            raise NotCompiled(f"it has more than {_MAX_POSITIONS} positions")
        self.root = root

    def below(self, above: Position, field: Field, type_: GraphQLObjectType) -> Position | None:
        """The position of a field's objects of one type; None when there are too many already."""
        position = field.below.get(type_.name)
        return self._below(above.path, field, type_) if position is None else position

    def _below(self, path: str, field: Field, type_: GraphQLObjectType) -> Position | None:
        selected = collect_subfields(
            self.schema, self.fragment_details, self._conditions, self.operation, type_, field.details
        )
        position = self._position(f"{path}.{field.key}" if path else field.key, type_, selected.grouped_field_set)
        if position is not None:
            field.below[type_.name] = position
        return position

    def _position(
        self, path: str, type_: GraphQLObjectType, selected: Mapping[str, list[FieldDetails]]
    ) -> Position | None:
        self._count += 1
        if self._count > _MAX_POSITIONS:
            return None
        fields: dict[str, Field] = {}
        copied: dict[str, code.Copied] = {}
        for key, details in selected.items():
            made = fields[key] = self._field(key, f"f{len(fields)}", type_, details)
            if made.how is How.ATTRIBUTE:
                copy = self._copied(path, made)
                if copy is not None:
                    copied[made.attribute] = copy
        slots: list[Any] = [
            (each.attribute, Any, type_.name if each.how is How.TYPENAME else None) for each in fields.values()
        ]
        names = {each.attribute: each.key for each in fields.values()}
        struct = msgspec.defstruct("Position", slots, rename=names, gc=False)
        return Position(
            path=path,
            object_type=type_,
            fields=fields,
            made=struct,
            make=code.maker(
                struct, [(e.attribute, e.how is How.TYPENAME) for e in fields.values()], copied, type_.name
            ),
            copied=tuple(each for each in fields.values() if each.attribute in copied),
            steps=tuple(
                each for each in fields.values() if each.how is not How.TYPENAME and each.attribute not in copied
            ),
        )

    def _field(self, key: str, attribute: str, parent: GraphQLObjectType, details: list[FieldDetails]) -> Field:
        name = details[0].node.name.value
        definition = self.schema.get_field(parent, name)
        if definition is None:
            raise NotCompiled(f"{parent.name} has no field {name}")
        if name == TYPENAME:
            return Field(key, attribute, parent, definition, details, How.TYPENAME, code.assigner(attribute))
        made = Field(key, attribute, parent, definition, details, How.RESOLVER, code.assigner(attribute))
        made.nullable = _nullable(definition.type)
        named = made.named
        if is_leaf_type(named):
            made.fill = code.filler(attribute, leaves.of(definition.type))
        else:
            made.asks_info = not (isinstance(named, GraphQLObjectType) and _ignores_info(named))
        own = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        resolve = definition.resolve
        # What Strawberry made of a field of its own, and nobody changed; anything else is called as it is.
        if (
            not isinstance(own, StrawberryField)
            or getattr(resolve, "__module__", "") != GraphQLCoreConverter.__module__
        ):
            return made
        made.own = own
        config = self.schema._strawberry_schema.config  # type: ignore[attr-defined]  # noqa: SLF001  # no public name
        handled = self.schema._strawberry_schema.exception_handlers  # type: ignore[attr-defined]  # noqa: SLF001
        ordinary = type(own).get_result is StrawberryField.get_result and not own.extensions and not handled
        if not ordinary:
            return made
        if own.base_resolver is None:
            if config.default_resolver is getattr and _is_attribute(own.python_name):
                made.how = How.ATTRIBUTE
                made.read = code.reader(own.python_name)
            return made
        column = own.metadata.get(COLUMN)
        if column is not None:
            made.how, made.column = How.COLUMN, column
        elif not definition.args:
            made.call = code.caller(own.base_resolver)
            if own.base_resolver.info_parameter is not None:
                made.info = partial(_info, config.info_class, own)
        return made

    def _copied(self, path: str, field: Field) -> code.Copied | None:
        """How `make` copies an attribute; None where what is below it is not all attributes."""
        if field.own is None:
            return None
        name = field.own.python_name
        if is_leaf_type(field.named):
            return code.Copied(name, leaves.of(field.type))
        if not isinstance(field.named, GraphQLObjectType):
            return None
        if field.asks_info:
            return None
        below = self._below(path, field, field.named)
        if below is None or below.steps:
            return None
        return code.Copied(name, leaves.objects(field.type, below.make, field.named.is_type_of))


def _info(kind: type[strawberry.Info], own: StrawberryField, raw: GraphQLResolveInfo[Any]) -> strawberry.Info:
    return kind(_raw_info=raw, _field=own)


def _ignores_info(type_: GraphQLObjectType) -> bool:
    """Whether there is no `is_type_of`, or Strawberry's own, which looks at the object alone."""
    if type_.is_type_of is None:
        return True
    own = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return isinstance(own, StrawberryObjectDefinition) and own.is_type_of is None


def _names(selected: Mapping[str, list[FieldDetails]]) -> Iterator[str]:
    return (details[0].node.name.value for details in selected.values())


def _nullable(type_: GraphQLOutputType) -> tuple[bool, ...]:
    """Of a value, then of its items, and so on inward."""
    if is_non_null_type(type_):
        return (False, *_nullable(type_.of_type)[1:])
    return (True, *_nullable(type_.of_type)) if is_list_type(type_) else (True,)


def _is_attribute(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)
