"""A supergraph document read through its links: its subgraphs, its types, and which subgraph has a part in what.

Source: https://specs.apollo.dev/join, v0.2 to v0.5. Where a supergraph is silent, every subgraph of a type takes part.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    ConstDirectiveNode,
    DirectiveDefinitionNode,
    DocumentNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    InputValueDefinitionNode,
    SchemaDefinitionNode,
    TypeDefinitionNode,
    print_ast,
)
from graphql.utilities import value_from_ast_untyped

from gateway.federation.composition import specs
from gateway.federation.composition.links import Link, LinkError, read_link
from gateway.federation.composition.vocabulary import schema_nodes
from gateway.federation.errors import SupergraphError, UnsupportedFeature

Arguments = Mapping[str, Any]  # literals of unknown type: the JSON boundary of SDL
FieldNode = FieldDefinitionNode | InputValueDefinitionNode

_HOST = "https://specs.apollo.dev/"
_JOIN_VERSIONS = {(0, 2), (0, 3), (0, 4), (0, 5)}
_MACHINERY = frozenset({"link", "core", "join", "federation"})
# Composition does not carry these, so a supergraph loses nothing it would have.
_LEFT_OUT = frozenset({"cacheTag", "link"})
_RECOMPOSE = "compose it again with Federation 2 (join v0.2 to v0.5)"


def arguments_of(node: ConstDirectiveNode) -> dict[str, Any]:
    """Arguments as plain values; enum values become strings."""
    return {arg.name.value: value_from_ast_untyped(arg.value) for arg in node.arguments or ()}


@dataclass(frozen=True, slots=True)
class ComposedLink:
    """A team's own specification: its link, and the node that links it."""

    link: Link
    node: ConstDirectiveNode


class JoinedSchema:
    """One supergraph document.

    ``types`` and ``directive_defs`` leave out what the specifications define; ``graphs`` maps the values of
    ``join__Graph`` to (name, url); ``roots`` maps operations to type names.

    Raises:
        SupergraphError: it is no supergraph, or names a subgraph that it does not list.
        UnsupportedFeature: it uses what no subgraph SDL known here would compose to.
    """

    def __init__(self, document: DocumentNode) -> None:
        self._features: dict[str, Link] = {}
        self.own_links: list[ComposedLink] = []
        self.schema_directives = [each for node in schema_nodes(document) for each in node.directives or ()]
        for each in self.schema_directives:
            self._read_link(each)
        self._join = self._check_join()
        types = {node.name.value: node for node in document.definitions if isinstance(node, TypeDefinitionNode)}
        self.graphs = self._read_graphs(types)
        self.types = {name: node for name, node in types.items() if not self._is_machinery(name)}
        self.directive_defs = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, DirectiveDefinitionNode)
            and not self._is_machinery("@" + node.name.value)
            and node.name.value not in specs.BUILT_IN_DIRECTIVES
        }
        schema = [node for node in document.definitions if isinstance(node, SchemaDefinitionNode)]
        self.description = schema[0].description if schema else None
        named = {each.operation.value: each.type.name.value for node in schema for each in node.operation_types}
        roots = named or {each: each.capitalize() for each in ("query", "mutation", "subscription")}
        self.roots = {operation: name for operation, name in roots.items() if name in self.types}
        self.carried = {
            link.local_name("@" + directive)[1:]: directive
            for name, feature in specs.FEATURES.items()
            if (link := self._features.get(name)) is not None
            for directive in feature.directives
        }
        self._places: dict[tuple[str, str], Mapping[str, Arguments]] = {}
        self._graphs_of = {name: self._read_places(node) for name, node in self.types.items()}

    def _read_link(self, node: ConstDirectiveNode) -> None:
        args = arguments_of(node)
        url = args.get("url", args.get("feature"))
        if not isinstance(url, str):
            return
        try:
            link = read_link(url, args.get("as"), args.get("import"), args.get("for"))
        except LinkError as error:
            msg = f"The supergraph has a link that cannot be read: {error}."
            raise SupergraphError(msg) from error
        if not link.identity.startswith(_HOST):
            self.own_links.append(ComposedLink(link, node))
        else:
            self._features[link.name] = link
        is_known = link.name in _MACHINERY or link.name in specs.FEATURES
        if link.purpose and not (link.identity.startswith(_HOST) and is_known):
            feature = f"the feature {link.name!r} (for: {link.purpose})"
            raise UnsupportedFeature(feature, "remove it from the subgraphs and compose again")

    def _check_join(self) -> Link:
        join = self._features.get("join")
        if join is None:
            msg = "This is not a supergraph: its schema does not link https://specs.apollo.dev/join."
            raise SupergraphError(msg)
        if join.version not in _JOIN_VERSIONS:
            raise UnsupportedFeature(f"join {join.url.rsplit('/', 1)[-1]}", _RECOMPOSE)
        return join

    def _is_machinery(self, name: str) -> bool:
        bare = name.removeprefix("@")
        return (
            bare.startswith(("link__", "core__"))
            or name in ("@link", "@core", *specs.MACHINERY_TYPES)
            or any(link.spec_name(name) is not None for link in self._features.values())
        )

    def _read_graphs(self, types: Mapping[str, TypeDefinitionNode]) -> dict[str, tuple[str, str]]:
        name = self._join.local_name("Graph")
        node = types.get(name)
        if not isinstance(node, EnumTypeDefinitionNode):
            msg = f"The supergraph lists no subgraphs: the enum {name} is missing."
            raise SupergraphError(msg)
        found: dict[str, tuple[str, str]] = {}
        for value in node.values or ():
            args: Arguments = next(iter(self._named(value.directives, "graph")), {})
            if not isinstance(args.get("name"), str):
                msg = f"{name}.{value.name.value} does not say which subgraph it stands for."
                raise SupergraphError(msg)
            found[value.name.value] = (args["name"], str(args.get("url") or ""))
        return found

    def _named(self, directives: Iterable[ConstDirectiveNode] | None, name: str) -> list[Arguments]:
        wanted = self._join.local_name("@" + name)[1:]
        return [arguments_of(each) for each in directives or () if each.name.value == wanted]

    def _joins(self, at: str, directives: Iterable[ConstDirectiveNode] | None, name: str) -> list[Arguments]:
        """The arguments of each such directive, those without a graph left in."""
        for each in self._named(directives, "directive"):
            if str(each.get("name")).removeprefix("federation__") in _LEFT_OUT:
                continue
            feature = f"@{self._join.local_name('@directive')[1:]}(name: {str(each.get('name'))!r}) on {at}"
            raise UnsupportedFeature(feature, "remove the directive it stands for from the subgraphs")
        found = self._named(directives, name)
        for each in found:
            if each.get("graph") is not None and each["graph"] not in self.graphs:
                msg = f"{at} names the unknown subgraph {each['graph']!r}."
                raise SupergraphError(msg)
            if each.get("contextArguments"):
                feature = f"@{self._join.local_name('@field')[1:]}(contextArguments:) on {at}"
                raise UnsupportedFeature(feature, "pass the value as an argument instead of @fromContext")
        return found

    def _read_places(self, node: TypeDefinitionNode) -> dict[str, list[Arguments]]:
        found: dict[str, list[Arguments]] = {}
        for each in self._joins(node.name.value, node.directives, "type"):
            found.setdefault(str(each.get("graph")), []).append(each)
        return found or {graph: [{}] for graph in self.graphs}

    def graphs_of(self, name: str) -> Mapping[str, list[Arguments]]:
        """The subgraphs that have a type, each with its ``join__type`` records, one a key."""
        return self._graphs_of[name]

    def is_interface_object(self, name: str, graph: str) -> bool:
        """Whether an interface is an object in this subgraph."""
        return any(each.get("isInterfaceObject") for each in self._graphs_of[name].get(graph, ()))

    def field_places(self, parent: str, field: FieldNode) -> Mapping[str, Arguments]:
        """The subgraphs that declare a field, each with its ``join__field`` record.

        A field that the type has from an interface object is in none.
        """
        at = (parent, field.name.value)
        if at not in self._places:
            self._places[at] = self._read_field_places(parent, field)
        return self._places[at]

    def _read_field_places(self, parent: str, field: FieldNode) -> dict[str, Arguments]:
        joins = self._joins(f"{parent}.{field.name.value}", field.directives, "field")
        if not joins:
            return {graph: {} for graph in self._graphs_of[parent]}
        found = {each["graph"]: each for each in joins if each.get("graph") is not None}
        merged = print_ast(field.type)
        if all(each.get("type", merged) != merged for each in found.values()):
            # The type is that of a subgraph which lost the field to another and has no record of it.
            overridden = {each.get("override") for each in found.values()}
            lost = (graph for graph in self._graphs_of[parent] if self.graphs[graph][0] in overridden)
            found |= {graph: {"usedOverridden": True} for graph in lost if graph not in found}
        return found

    def members(self, node: TypeDefinitionNode, graph: str, directive: str, argument: str, all_: list[str]) -> set[str]:
        """Which interfaces of an object, or members of a union, this subgraph knows of."""
        joins = self._joins(node.name.value, node.directives, directive)
        if not joins:
            return {each for each in all_ if graph in self._graphs_of.get(each, ())}
        return {str(each.get(argument)) for each in joins if each.get("graph") == graph}

    def has_value(self, parent: str, value: str, directives: Iterable[ConstDirectiveNode] | None, graph: str) -> bool:
        """Whether this subgraph has a value of an enum."""
        joins = self._joins(f"{parent}.{value}", directives, "enumValue")
        return not joins or any(each.get("graph") == graph for each in joins)
