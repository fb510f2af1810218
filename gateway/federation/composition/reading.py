"""SDL to `SubgraphSchema`: parse, check, and fold definitions and extensions into records."""

import re
from collections.abc import Iterable, Sequence

from graphql import (
    ConstDirectiveNode,
    DefinitionNode,
    DirectiveDefinitionNode,
    EnumTypeDefinitionNode,
    EnumTypeExtensionNode,
    EnumValueDefinitionNode,
    FieldDefinitionNode,
    GraphQLSyntaxError,
    InputObjectTypeDefinitionNode,
    InputObjectTypeExtensionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    InterfaceTypeExtensionNode,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    ScalarTypeDefinitionNode,
    ScalarTypeExtensionNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
    Source,
    StringValueNode,
    TypeDefinitionNode,
    TypeExtensionNode,
    UnionTypeDefinitionNode,
    UnionTypeExtensionNode,
    parse,
    print_ast,
)

from gateway.federation.composition import specs
from gateway.federation.composition.errors import Problems
from gateway.federation.composition.model import (
    Applied,
    DirectiveDef,
    EnumValue,
    Field,
    InputValue,
    Kind,
    Subgraph,
    SubgraphSchema,
    TypeDef,
    print_value,
)
from gateway.federation.composition.sdl_rules import check_sdl, completed, own_definitions
from gateway.federation.composition.typerefs import rename
from gateway.federation.composition.vocabulary import Vocabulary, line_of, read_vocabulary, schema_nodes

_KINDS: dict[type[DefinitionNode], Kind] = {
    ScalarTypeDefinitionNode: Kind.SCALAR,
    ScalarTypeExtensionNode: Kind.SCALAR,
    ObjectTypeDefinitionNode: Kind.OBJECT,
    ObjectTypeExtensionNode: Kind.OBJECT,
    InterfaceTypeDefinitionNode: Kind.INTERFACE,
    InterfaceTypeExtensionNode: Kind.INTERFACE,
    UnionTypeDefinitionNode: Kind.UNION,
    UnionTypeExtensionNode: Kind.UNION,
    EnumTypeDefinitionNode: Kind.ENUM,
    EnumTypeExtensionNode: Kind.ENUM,
    InputObjectTypeDefinitionNode: Kind.INPUT_OBJECT,
    InputObjectTypeExtensionNode: Kind.INPUT_OBJECT,
}

_ROOTS = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}
# Written on a type, in Federation 2, these hold for the fields of that definition or extension, not for the type.
_SPREAD_OVER_FIELDS = ("shareable", "external")


def graph_names(names: Sequence[str]) -> list[str]:
    """Values of the ``join__Graph`` enum, one a subgraph, in order: ``"my-users"`` gives ``"MY_USERS"``.

    Names that come out equal are numbered. Source: join specification, v0.3, "Subgraph identifiers".
    """
    sanitised = [re.sub(r"[^A-Z0-9_]", "_", name.upper()) for name in names]
    sanitised = ["_" + each if each[:1].isdigit() else each for each in sanitised]
    # An enum value that ends like the numbering below would be ambiguous with it.
    sanitised = [each + "_" if re.search(r"_\d+$", each) else each for each in sanitised]
    found: list[str] = []
    for index, each in enumerate(sanitised):
        number = sanitised[: index + 1].count(each)
        found.append(f"{each}_{number}" if sanitised.count(each) > 1 else each)
    return found


def read_subgraph(subgraph: Subgraph, graph: str, problems: Problems) -> SubgraphSchema | None:
    """The subgraph as records, or None when its document is not valid; why is recorded."""
    before = len(problems.errors)
    try:
        document = parse(Source(subgraph.sdl, subgraph.name))
    except GraphQLSyntaxError as error:
        line = error.locations[0].line if error.locations else 0
        problems.error("INVALID_GRAPHQL", f"line {line}: {error.message}", subgraphs=[subgraph.name])
        return None
    vocabulary = read_vocabulary(subgraph.name, document, problems)
    if len(problems.errors) > before:
        # With names that are not understood, every use of them would be reported as unknown.
        return None
    definitions = own_definitions(subgraph.name, document, vocabulary, problems)
    check_sdl(subgraph.name, completed(definitions, vocabulary), vocabulary, problems)
    if len(problems.errors) > before:
        return None
    return _Reader(subgraph, graph, list(schema_nodes(document)), definitions, vocabulary).read(problems)


class _Reader:
    """Turns the nodes of one valid document into records."""

    def __init__(
        self,
        subgraph: Subgraph,
        graph: str,
        schema_nodes: list[SchemaDefinitionNode | SchemaExtensionNode],
        definitions: list[DefinitionNode],
        vocabulary: Vocabulary,
    ) -> None:
        self._subgraph = subgraph
        self._graph = graph
        self._schema_nodes = schema_nodes
        self._definitions = definitions
        self._vocabulary = vocabulary
        self._roots = self._root_renames()

    def read(self, problems: Problems) -> SubgraphSchema | None:
        nodes: dict[str, list[TypeDefinitionNode | TypeExtensionNode]] = {}
        for node in self._definitions:
            if isinstance(node, TypeDefinitionNode | TypeExtensionNode):
                nodes.setdefault(self._roots.get(node.name.value, node.name.value), []).append(node)
        if not self._check_roots(problems):
            return None
        described = [node for node in self._schema_nodes if isinstance(node, SchemaDefinitionNode)]
        return SubgraphSchema(
            name=self._subgraph.name,
            url=self._subgraph.url,
            graph=self._graph,
            version=self._vocabulary.version,
            links=self._vocabulary.links,
            types={name: self._type(name, group) for name, group in nodes.items()},
            directive_defs={
                node.name.value: self._directive_def(node)
                for node in self._definitions
                if isinstance(node, DirectiveDefinitionNode)
            },
            schema_directives=tuple(
                self._applied(each)
                for node in self._schema_nodes
                for each in node.directives or ()
                if each.name.value != self._vocabulary.link_name
            ),
            schema_description=_text(described[0].description) if described else None,
        )

    def _root_renames(self) -> dict[str, str]:
        explicit = {
            operation.type.name.value: _ROOTS[operation.operation.value]
            for node in self._schema_nodes
            for operation in node.operation_types or ()
        }
        if any(isinstance(node, SchemaDefinitionNode) for node in self._schema_nodes):
            return explicit
        taken = set(explicit.values())
        return explicit | {name: name for name in _ROOTS.values() if name not in taken}

    def _check_roots(self, problems: Problems) -> bool:
        """A type that merely looks like a root would be merged with the real roots of other subgraphs."""
        is_sound = True
        for operation, root in _ROOTS.items():
            defined = any(
                isinstance(node, TypeDefinitionNode | TypeExtensionNode) and node.name.value == root
                for node in self._definitions
            )
            if defined and self._roots.get(root) != root and root in self._roots.values():
                is_sound = False
                message = f'type "{root}" is not the {operation} root, which is another type here'
                problems.error(
                    f"ROOT_{operation.upper()}_USED", message, subgraphs=[self._subgraph.name], coordinates=[root]
                )
        return is_sound

    def _type(self, name: str, nodes: list[TypeDefinitionNode | TypeExtensionNode]) -> TypeDef:
        directives = [self._applied(each) for node in nodes for each in node.directives or ()]
        definition = next((node for node in nodes if isinstance(node, TypeDefinitionNode)), None)
        fields: dict[str, Field] = {}
        inputs: dict[str, InputValue] = {}
        values: dict[str, EnumValue] = {}
        is_fed2 = self._vocabulary.version >= (2, 0)
        interfaces: list[str] = []
        members: list[str] = []
        for node in nodes:
            own = [self._applied(each) for each in node.directives or ()]
            spread = [each for each in own if is_fed2 and each.is_known and each.name in _SPREAD_OVER_FIELDS]
            for part in getattr(node, "fields", None) or ():
                if isinstance(part, FieldDefinitionNode):
                    fields[part.name.value] = self._field(part, spread)
                elif isinstance(part, InputValueDefinitionNode):
                    inputs[part.name.value] = self._input(part)
            for value in getattr(node, "values", None) or ():
                values[value.name.value] = self._value(value)
            interfaces += [each.name.value for each in getattr(node, "interfaces", None) or ()]
            members += [
                self._roots.get(each.name.value, each.name.value) for each in getattr(node, "types", None) or ()
            ]
        return TypeDef(
            name=name,
            kind=_KINDS[type(nodes[0])],
            description=_text(definition.description) if definition else None,
            directives=tuple(directives),
            interfaces=tuple(dict.fromkeys(interfaces)),
            fields=fields,
            inputs=inputs,
            members=tuple(dict.fromkeys(members)),
            values=values,
            is_extension=definition is None or any(each.is_known and each.name == "extends" for each in directives),
            line=line_of(nodes[0]),
        )

    def _field(self, node: FieldDefinitionNode, spread: Iterable[Applied]) -> Field:
        own = [self._applied(each) for each in node.directives or ()]
        names = {each.name for each in own if each.is_known}
        return Field(
            name=node.name.value,
            type=rename(print_ast(node.type), self._roots),
            args={arg.name.value: self._input(arg) for arg in node.arguments or ()},
            description=_text(node.description),
            directives=(*own, *(each for each in spread if each.name not in names)),
            line=node.loc.start_token.line if node.loc else None,
        )

    def _input(self, node: InputValueDefinitionNode) -> InputValue:
        return InputValue(
            name=node.name.value,
            type=print_ast(node.type),
            default=print_value(node.default_value) if node.default_value else None,
            description=_text(node.description),
            directives=tuple(self._applied(each) for each in node.directives or ()),
        )

    def _value(self, node: EnumValueDefinitionNode) -> EnumValue:
        directives = tuple(self._applied(each) for each in node.directives or ())
        return EnumValue(node.name.value, _text(node.description), directives)

    def _directive_def(self, node: DirectiveDefinitionNode) -> DirectiveDef:
        return DirectiveDef(
            name=node.name.value,
            args={arg.name.value: self._input(arg) for arg in node.arguments or ()},
            locations=frozenset(each.value for each in node.locations),
            is_repeatable=node.repeatable,
            description=_text(node.description),
        )

    def _applied(self, node: ConstDirectiveNode) -> Applied:
        name = node.name.value
        spec = self._vocabulary.directives.get(name)
        is_built_in = name in specs.BUILT_IN_DIRECTIVES
        args = {arg.name.value: arg.value for arg in node.arguments or ()}
        return Applied(spec or name, args, spec is not None or is_built_in, line_of(node))


def _text(node: StringValueNode | None) -> str | None:
    return node.value if node else None
