"""From supergraph SDL to the model: the join specification, v0.2 to v0.5 (https://specs.apollo.dev/join)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from graphql import (
    ConstDirectiveNode,
    DocumentNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    GraphQLError,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    OperationType,
    ScalarTypeDefinitionNode,
    SchemaDefinitionNode,
    TypeDefinitionNode,
    UnionTypeDefinitionNode,
    parse,
    print_ast,
)

from gateway.access.requirement import ARGUMENTS, Requirement, requirement
from gateway.federation.errors import SupergraphError, UnsupportedFeature
from gateway.federation.supergraph.features import Feature, arguments_of, read_features
from gateway.federation.supergraph.field_sets import parse_field_set
from gateway.federation.supergraph.model import Field, JoinField, Key, Kind, Model, Subgraph, Type

_KINDS: dict[type[TypeDefinitionNode], Kind] = {
    ObjectTypeDefinitionNode: Kind.OBJECT,
    InterfaceTypeDefinitionNode: Kind.INTERFACE,
    UnionTypeDefinitionNode: Kind.UNION,
    ScalarTypeDefinitionNode: Kind.SCALAR,
    EnumTypeDefinitionNode: Kind.ENUM,
    InputObjectTypeDefinitionNode: Kind.INPUT,
}
_DEFAULT_ROOTS = {
    OperationType.QUERY: "Query",
    OperationType.MUTATION: "Mutation",
    OperationType.SUBSCRIPTION: "Subscription",
}


def parse_supergraph(sdl: str) -> Model:
    """Read supergraph SDL.

    Raises:
        SupergraphError: it is not GraphQL, not a supergraph, or contradicts itself.
        UnsupportedFeature: it needs something that is not supported, named in the message.
    """
    try:
        document = parse(sdl, no_location=True)
    except GraphQLError as error:
        msg = f"The supergraph is not valid GraphQL: {error.message}"
        raise SupergraphError(msg) from error
    return _Reader(document).model()


class _Reader:
    def __init__(self, document: DocumentNode) -> None:
        self.document = document
        self.features = read_features(document)
        self.join = self.features["join"]
        self.access_control = {
            feature.directive(name): (name, argument)
            for name, argument in ARGUMENTS.items()
            if (feature := self.features.get(name)) is not None
        }
        self.definitions = {
            node.name.value: node for node in document.definitions if isinstance(node, TypeDefinitionNode)
        }
        self.subgraphs = self._subgraphs()

    def model(self) -> Model:
        reserved = tuple(f"{feature.prefix}__" for feature in self.features.values())
        types = {
            name: self._type(node)
            for name, node in self.definitions.items()
            if not name.startswith(reserved) and name not in ("_FieldSet", "_Any")
        }
        model = Model(self.document, self.subgraphs, types, self._roots(types))
        if model.root(OperationType.QUERY) is None:
            msg = "The supergraph has no query root type."
            raise SupergraphError(msg)
        for type_ in types.values():
            for field_ in type_.fields.values():
                for graph in type_.graphs:  # reads every field set, so that a bad one is refused at start
                    model.local(type_.name, graph, field_.name)
        return model

    def _subgraphs(self) -> dict[str, Subgraph]:
        node = self.definitions.get(f"{self.join.prefix}__Graph")
        if not isinstance(node, EnumTypeDefinitionNode):
            msg = f"The supergraph lists no subgraphs: the enum {self.join.prefix}__Graph is missing."
            raise SupergraphError(msg)
        found = {}
        for value in node.values or ():
            graph = value.name.value
            arguments = next(self._named(value.directives, self.join, "graph"), {})
            name = arguments.get("name")
            if not isinstance(name, str):
                msg = f"{self.join.prefix}__Graph.{graph} does not say which subgraph it stands for."
                raise SupergraphError(msg)
            found[graph] = Subgraph(graph, name, str(arguments.get("url") or ""))
        return found

    def _roots(self, types: dict[str, Type]) -> dict[OperationType, str]:
        roots = {}
        for definition in self.document.definitions:
            if isinstance(definition, SchemaDefinitionNode):
                for operation in definition.operation_types:
                    roots[operation.operation] = operation.type.name.value
        roots = roots or _DEFAULT_ROOTS
        return {operation: name for operation, name in roots.items() if name in types}

    def _named(
        self, directives: Iterable[ConstDirectiveNode] | None, feature: Feature, name: str
    ) -> Iterator[dict[str, object]]:
        wanted = feature.directive(name)
        return (arguments_of(directive) for directive in directives or () if directive.name.value == wanted)

    def _graph(self, arguments: dict[str, object], where: str) -> str:
        graph = arguments.get("graph")
        if not isinstance(graph, str) or graph not in self.subgraphs:
            msg = f"{where} names the unknown subgraph {graph!r}."
            raise SupergraphError(msg)
        return graph

    def _type(self, node: TypeDefinitionNode) -> Type:
        name, kind = node.name.value, _KINDS[type(node)]
        graphs: list[str] = []
        keys: dict[str, list[Key]] = defaultdict(list)
        interface_object_in = set()
        for join in self._named(node.directives, self.join, "type"):
            graph = self._graph(join, name)
            graphs.append(graph)
            if join.get("isInterfaceObject"):
                interface_object_in.add(graph)
            if isinstance(key := join.get("key"), str):
                fields = parse_field_set(key, self._possible_types, f"@key of {name}")
                keys[graph].append(Key(fields, bool(join.get("resolvable", True))))
        if any(True for _ in self._named(node.directives, self.join, "owner")):
            feature = f"@{self.join.directive('owner')} on {name} (join v0.1)"
            raise UnsupportedFeature(feature, "compose it again with Federation 2")
        return Type(
            name=name,
            kind=kind,
            graphs=frozenset(graphs or self.subgraphs),
            keys={graph: tuple(found) for graph, found in keys.items()},
            interface_object_in=frozenset(interface_object_in),
            interfaces=self._interfaces(node, graphs),
            members=self._members(node, graphs),
            fields=self._fields(node),
            inaccessible=self._inaccessible(node.directives),
            access=self._access(node.directives, name),
        )

    def _possible_types(self, name: str) -> frozenset[str]:
        node = self.definitions.get(name)
        if isinstance(node, UnionTypeDefinitionNode):
            return frozenset(member.name.value for member in node.types or ())
        if isinstance(node, InterfaceTypeDefinitionNode):
            return frozenset(
                other.name.value
                for other in self.definitions.values()
                if isinstance(other, ObjectTypeDefinitionNode)
                and any(interface.name.value == name for interface in other.interfaces or ())
            )
        return frozenset((name,))

    def _interfaces(self, node: TypeDefinitionNode, graphs: list[str]) -> dict[str, frozenset[str]]:
        if not isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
            return {}
        found: dict[str, set[str]] = defaultdict(set)
        for join in self._named(node.directives, self.join, "implements"):
            found[self._graph(join, node.name.value)].add(str(join.get("interface")))
        if not found:
            declared = {interface.name.value for interface in node.interfaces or ()}
            found.update({graph: set(declared) for graph in graphs or self.subgraphs if declared})
        return {graph: frozenset(names) for graph, names in found.items()}

    def _members(self, node: TypeDefinitionNode, graphs: list[str]) -> dict[str, frozenset[str]]:
        if not isinstance(node, UnionTypeDefinitionNode):
            return {}
        found: dict[str, set[str]] = defaultdict(set)
        for join in self._named(node.directives, self.join, "unionMember"):
            found[self._graph(join, node.name.value)].add(str(join.get("member")))
        if not found:
            everyone = frozenset(member.name.value for member in node.types or ())
            return dict.fromkeys(graphs or self.subgraphs, everyone)
        return {graph: frozenset(names) for graph, names in found.items()}

    def _fields(self, node: TypeDefinitionNode) -> dict[str, Field]:
        if not isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode):
            return {}
        return {child.name.value: self._field(child, node.name.value) for child in node.fields or ()}

    def _field(self, node: FieldDefinitionNode | InputValueDefinitionNode, type_name: str) -> Field:
        where = f"{type_name}.{node.name.value}"
        joins = []
        for join in self._named(node.directives, self.join, "field"):
            if join.get("contextArguments"):
                feature = f"@{self.join.directive('field')}(contextArguments:) on {where}"
                raise UnsupportedFeature(feature, "pass the value as an argument instead of @fromContext")
            joins.append(_join_field(join, self._graph(join, where) if join.get("graph") else None))
        return Field(node.name.value, print_ast(node.type), tuple(joins), self._access(node.directives, where))

    def _inaccessible(self, directives: Iterable[ConstDirectiveNode] | None) -> bool:
        feature = self.features.get("inaccessible")
        return feature is not None and any(True for _ in self._named(directives, feature, "inaccessible"))

    def _access(self, directives: Iterable[ConstDirectiveNode] | None, where: str) -> Requirement | None:
        applied = []
        for directive in directives or ():
            if directive.name.value in self.access_control:
                name, argument = self.access_control[directive.name.value]
                applied.append((name, arguments_of(directive).get(argument) if argument else None))
        try:
            return requirement(applied)
        except ValueError as error:
            msg = f"{where} asks for something unknown of its callers: {error}."
            raise SupergraphError(msg) from error


def _join_field(values: dict[str, object], graph: str | None) -> JoinField:
    def text(name: str) -> str | None:
        value = values.get(name)
        return value if isinstance(value, str) and value else None

    return JoinField(
        graph=graph,
        type=text("type"),
        requires=text("requires"),
        provides=text("provides"),
        external=bool(values.get("external")),
        used_overridden=bool(values.get("usedOverridden")),
        override=text("override"),
        override_label=text("overrideLabel"),
    )
