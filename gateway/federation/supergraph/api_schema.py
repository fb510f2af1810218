"""The schema clients see: the supergraph without its machinery and without what is inaccessible.

Specification of the removal and its cascade: https://specs.apollo.dev/inaccessible/v0.2.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from graphql import (
    ConstDirectiveNode,
    DefinitionNode,
    DirectiveDefinitionNode,
    DirectiveLocation,
    DocumentNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ListTypeNode,
    NamedTypeNode,
    Node,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    SchemaDefinitionNode,
    TypeDefinitionNode,
    TypeNode,
    UnionTypeDefinitionNode,
    build_ast_schema,
    validate_schema,
)

from gateway.federation.errors import SupergraphError
from gateway.federation.supergraph.features import read_features
from gateway.federation.supergraph.model import Model

_KEPT_DIRECTIVES = frozenset({"deprecated", "specifiedBy", "oneOf"})
_EXECUTABLE = frozenset(
    {
        DirectiveLocation.QUERY.name,
        DirectiveLocation.MUTATION.name,
        DirectiveLocation.SUBSCRIPTION.name,
        DirectiveLocation.FIELD.name,
        DirectiveLocation.FRAGMENT_DEFINITION.name,
        DirectiveLocation.FRAGMENT_SPREAD.name,
        DirectiveLocation.INLINE_FRAGMENT.name,
        DirectiveLocation.VARIABLE_DEFINITION.name,
    }
)
_Node = TypeVar("_Node", bound=Node)


def derive_api_schema(model: Model) -> GraphQLSchema:
    """Build the API schema of a supergraph.

    Raises:
        SupergraphError: what is left is not a valid schema, e.g. a type lost all of its fields.
    """
    features = read_features(model.document)
    inaccessible = features["inaccessible"].directive("inaccessible") if "inaccessible" in features else None
    filter_ = _Filter(model, inaccessible, tuple(feature.prefix for feature in features.values()))
    try:
        schema = build_ast_schema(filter_.document(), assume_valid_sdl=True)
        problems = validate_schema(schema)
    except (GraphQLError, TypeError) as error:
        msg = f"No API schema can be derived from the supergraph: {error}"
        raise SupergraphError(msg) from error
    if problems:
        msg = f"No API schema can be derived from the supergraph: {problems[0].message}"
        raise SupergraphError(msg)
    return schema


class _Filter:
    def __init__(self, model: Model, inaccessible: str | None, prefixes: tuple[str, ...]) -> None:
        self.model = model
        self.inaccessible = inaccessible
        self.prefixes = prefixes
        self.types = {name for name, type_ in model.types.items() if not type_.inaccessible}

    def document(self) -> DocumentNode:
        definitions = [kept for node in self.model.document.definitions if (kept := self._definition(node))]
        return DocumentNode(definitions=tuple(definitions))

    def _definition(self, node: DefinitionNode) -> DefinitionNode | None:
        if isinstance(node, SchemaDefinitionNode):
            operations = tuple(each for each in node.operation_types if each.type.name.value in self.types)
            return SchemaDefinitionNode(description=node.description, directives=(), operation_types=operations)
        if isinstance(node, DirectiveDefinitionNode):
            return self._directive(node)
        if isinstance(node, TypeDefinitionNode) and node.name.value in self.types:
            return self._type(node)
        return None

    def _directive(self, node: DirectiveDefinitionNode) -> DirectiveDefinitionNode | None:
        name = node.name.value
        locations = tuple(location for location in node.locations if location.value in _EXECUTABLE)
        if not locations or any(name == prefix or name.startswith(f"{prefix}__") for prefix in self.prefixes):
            return None
        return _with(node, locations=locations, arguments=self._inputs(node.arguments))

    def _type(self, node: TypeDefinitionNode) -> TypeDefinitionNode:
        directives = _kept(node.directives)
        if isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
            fields = tuple(self._field(child) for child in node.fields or () if self._visible(child, child.type))
            return _with(node, directives=directives, fields=fields, interfaces=self._references(node.interfaces))
        if isinstance(node, UnionTypeDefinitionNode):
            return _with(node, directives=directives, types=self._references(node.types))
        if isinstance(node, EnumTypeDefinitionNode):
            values = tuple(
                _with(value, directives=_kept(value.directives))
                for value in node.values or ()
                if not self._hidden(value.directives)
            )
            return _with(node, directives=directives, values=values)
        if isinstance(node, InputObjectTypeDefinitionNode):
            return _with(node, directives=directives, fields=self._inputs(node.fields))
        if isinstance(node, ScalarTypeDefinitionNode):
            return _with(node, directives=directives)
        return node

    def _field(self, node: FieldDefinitionNode) -> FieldDefinitionNode:
        return _with(node, directives=_kept(node.directives), arguments=self._inputs(node.arguments))

    def _inputs(self, nodes: Sequence[InputValueDefinitionNode] | None) -> tuple[InputValueDefinitionNode, ...]:
        return tuple(
            _with(node, directives=_kept(node.directives)) for node in nodes or () if self._visible(node, node.type)
        )

    def _references(self, nodes: Sequence[NamedTypeNode] | None) -> tuple[NamedTypeNode, ...]:
        return tuple(node for node in nodes or () if node.name.value in self.types)

    def _visible(self, node: FieldDefinitionNode | InputValueDefinitionNode, type_node: TypeNode) -> bool:
        while isinstance(type_node, ListTypeNode | NonNullTypeNode):
            type_node = type_node.type
        if not isinstance(type_node, NamedTypeNode) or self._hidden(node.directives):
            return False
        name = type_node.name.value
        return name in self.types or name not in self.model.types

    def _hidden(self, directives: Iterable[ConstDirectiveNode] | None) -> bool:
        return any(directive.name.value == self.inaccessible for directive in directives or ())


def _kept(directives: Iterable[ConstDirectiveNode] | None) -> tuple[ConstDirectiveNode, ...]:
    return tuple(directive for directive in directives or () if directive.name.value in _KEPT_DIRECTIVES)


def _with(node: _Node, **changes: object) -> _Node:
    """A copy of a node with some of its children replaced."""
    children: dict[str, Any] = {key: getattr(node, key, None) for key in node.keys}
    return type(node)(**{**children, **changes})
