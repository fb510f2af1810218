"""Supergraph SDL in, the subgraph SDLs it can be composed of out.

The inverse of `compose`, as far as there is one. A supergraph no longer says what merging dropped (arguments only some
subgraphs had, values only some accepted) nor which subgraph said what they all may say: a description or a tag comes
back in every subgraph that has the element. Composing the result gives an equivalent supergraph all the same.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

from graphql import (
    ConstArgumentNode,
    ConstDirectiveNode,
    DirectiveDefinitionNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    GraphQLSyntaxError,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    NamedTypeNode,
    NameNode,
    Node,
    ObjectTypeDefinitionNode,
    OperationType,
    OperationTypeDefinitionNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
    StringValueNode,
    TypeDefinitionNode,
    UnionTypeDefinitionNode,
    parse,
    parse_const_value,
    parse_type,
    print_ast,
)

from gateway.access.requirement import ARGUMENTS
from gateway.federation.composition.fieldsets import FieldSetError, Select, parse_field_set
from gateway.federation.composition.joined import Arguments, FieldNode, JoinedSchema
from gateway.federation.composition.model import BUILT_IN_SCALARS, Subgraph
from gateway.federation.composition.shared import shared_fields
from gateway.federation.composition.typerefs import named
from gateway.federation.composition.vocabulary import schema_nodes
from gateway.federation.errors import SupergraphError

# The first version with every directive that a supergraph carries.
_FEDERATION = "https://specs.apollo.dev/federation/v2.9"
_DESCRIBING = frozenset({"deprecated", "specifiedBy", "oneOf"})
_Node = TypeVar("_Node", bound=Node)
_Object = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode


def extract_subgraphs(supergraph_sdl: str) -> list[Subgraph]:
    """The subgraphs of a supergraph, as Federation 2 documents, in the order of its ``join__Graph``.

    Composing them gives an equivalent supergraph, whoever composed this one; composing them with more subgraphs adds
    to it. A field that one subgraph alone resolves comes back without ``@shareable``, whether it had it or not, so a
    further subgraph can share a field only where it is part of a key, or shared already. A team's own directive that
    the supergraph does not link comes back and is lost in composing, which carries only what is linked.

    Raises:
        SupergraphError: it is not GraphQL, not a supergraph, or contradicts itself.
        UnsupportedFeature: no subgraph would compose to what it uses, which the message names: join v0.1, arguments
            filled from a context, or a specification for security or execution that is not known here.
    """
    try:
        document = parse(supergraph_sdl, no_location=True)
    except GraphQLSyntaxError as error:
        msg = f"The supergraph is not valid GraphQL: {error.message}"
        raise SupergraphError(msg) from error
    joined = JoinedSchema(document)
    shared = shared_fields(joined)
    return [
        Subgraph(name, url, _Extraction(joined, graph, shared).sdl()) for graph, (name, url) in joined.graphs.items()
    ]


class _Extraction:
    """One subgraph's share of a supergraph."""

    def __init__(self, joined: JoinedSchema, graph: str, shared: set[tuple[str, str]]) -> None:
        self._joined = joined
        self._graph = graph
        self._shared = shared
        self._types = {name: node for name, node in joined.types.items() if graph in joined.graphs_of(name)}
        self._definitions = {name: each for name, each in joined.directive_defs.items() if self._knows_inputs(each)}
        self._imports: set[str] = set()

    def _knows_inputs(self, node: DirectiveDefinitionNode) -> bool:
        return all(self._knows(print_ast(arg.type)) for arg in node.arguments or ())

    def _knows(self, ref: str) -> bool:
        return named(ref) in self._types or named(ref) in BUILT_IN_SCALARS

    def sdl(self) -> str:
        """The document, ending with a newline."""
        types = [self._type(node) for name, node in self._types.items() if name not in BUILT_IN_SCALARS]
        types = self._without_empty_query(types)
        definitions = [self._definition(node) for node in self._definitions.values()]
        # Last, for what the rest imports.
        schema = self._schema({node.name.value for node in types})
        return "\n\n".join(print_ast(node) for node in (schema, *definitions, *types)) + "\n"

    def _without_empty_query(self, types: list[TypeDefinitionNode]) -> list[TypeDefinitionNode]:
        """Every subgraph has a Query without saying so, and GraphQL knows no type without fields."""
        query = self._joined.roots.get("query")
        used = {
            named(print_ast(field.type)) for node in types if isinstance(node, _Object) for field in node.fields or ()
        }
        return [
            node
            for node in types
            if node.name.value != query or query in used or not isinstance(node, _Object) or node.fields
        ]

    def _schema(self, types: set[str]) -> SchemaDefinitionNode | SchemaExtensionNode:
        carried = self._carried(self._joined.schema_directives)
        composed = [
            (each.node, name)
            for each in self._joined.own_links
            for name in self._definitions
            if each.link.spec_name("@" + name) is not None
        ]
        requests = [self._federation("composeDirective", name=f"@{name}") for _, name in composed]
        links = [_without_purpose(node) for node in dict.fromkeys(node for node, _ in composed)]
        imports = ", ".join(f'"@{name}"' for name in sorted(self._imports))
        text = f'extend schema @link(url: "{_FEDERATION}"{f", import: [{imports}]" if imports else ""})'
        [extension] = schema_nodes(parse(text, no_location=True))
        directives = (*(extension.directives or ()), *links, *requests, *carried)
        roots = {operation: name for operation, name in self._joined.roots.items() if name in types}
        is_usual = all(name == operation.capitalize() for operation, name in roots.items())
        if not roots or (is_usual and self._joined.description is None):
            return SchemaExtensionNode(directives=directives, operation_types=())
        return SchemaDefinitionNode(
            description=self._joined.description,
            directives=directives,
            operation_types=tuple(
                OperationTypeDefinitionNode(
                    operation=OperationType(operation), type=NamedTypeNode(name=NameNode(value=name))
                )
                for operation, name in roots.items()
            ),
        )

    def _definition(self, node: DirectiveDefinitionNode) -> DirectiveDefinitionNode:
        return _with(node, arguments=tuple(self._input(arg, arg.type) for arg in node.arguments or ()))

    def _type(self, node: TypeDefinitionNode) -> TypeDefinitionNode:
        name = node.name.value
        # What an interface asks of callers is what its implementers ask: subgraphs say it there.
        carried = self._carried(node.directives, is_guarded=not isinstance(node, InterfaceTypeDefinitionNode))
        directives = [*self._keys(name)]
        if self._joined.is_interface_object(name, self._graph):
            directives.append(self._federation("interfaceObject"))
            node = ObjectTypeDefinitionNode(**_children(node))
        directives += carried
        match node:
            case ObjectTypeDefinitionNode() | InterfaceTypeDefinitionNode():
                return _with(node, directives=directives, interfaces=self._interfaces(node), fields=self._fields(node))
            case InputObjectTypeDefinitionNode():
                return _with(node, directives=directives, fields=self._inputs(node))
            case UnionTypeDefinitionNode():
                names = [each.name.value for each in node.types or ()]
                known = self._joined.members(node, self._graph, "unionMember", "member", names)
                members = tuple(each for each in node.types or () if each.name.value in known)
                return _with(node, directives=directives, types=members)
            case EnumTypeDefinitionNode():
                values = tuple(
                    _with(each, directives=self._carried(each.directives))
                    for each in node.values or ()
                    if self._joined.has_value(name, each.name.value, each.directives, self._graph)
                )
                return _with(node, directives=directives, values=values)
            case _:
                return _with(node, directives=directives)

    def _interfaces(self, node: _Object) -> tuple[NamedTypeNode, ...]:
        names = [each.name.value for each in node.interfaces or ()]
        known = self._joined.members(node, self._graph, "implements", "interface", names)
        return tuple(each for each in node.interfaces or () if each.name.value in known)

    def _fields(self, node: _Object) -> tuple[FieldDefinitionNode, ...]:
        name, is_object = node.name.value, isinstance(node, ObjectTypeDefinitionNode)
        here = [(each, self._joined.field_places(name, each).get(self._graph)) for each in node.fields or ()]
        required = {leaf for _, place in here if place for leaf in _leaves(place.get("requires"))}
        fields: list[FieldDefinitionNode] = []
        for each, place in here:
            # Not every composer says which type a subgraph has for a field when its own is not there, ...
            if place is not None and self._knows(print_ast(_type_here(each, place))):
                # ... nor that a field which a subgraph requires is external to it.
                is_required = each.name.value in required and len(self._joined.field_places(name, each)) > 1
                is_external = is_required or bool(place.get("external"))
                fields.append(self._field(name, each, place, is_object=is_object, is_external=is_external))
        return tuple(fields)

    def _inputs(self, node: InputObjectTypeDefinitionNode) -> tuple[InputValueDefinitionNode, ...]:
        return tuple(
            self._input(each, _type_here(each, place))
            for each in node.fields or ()
            if (place := self._joined.field_places(node.name.value, each).get(self._graph)) is not None
        )

    def _keys(self, name: str) -> Iterable[ConstDirectiveNode]:
        for each in self._joined.graphs_of(name)[self._graph]:
            if isinstance(each.get("key"), str):
                yield self._federation("key", fields=each["key"], **_given(resolvable=each.get("resolvable", True)))

    def _field(
        self, parent: str, node: FieldDefinitionNode, place: Arguments, *, is_object: bool, is_external: bool
    ) -> FieldDefinitionNode:
        directives = []
        if is_external:
            directives.append(self._federation("external"))
        elif is_object and (parent, node.name.value) in self._shared:
            directives.append(self._federation("shareable"))
        sets = ("requires", "provides")
        directives += [self._federation(name, fields=place[name]) for name in sets if place.get(name)]
        if place.get("override"):
            label = {"label": place["overrideLabel"]} if place.get("overrideLabel") else {}
            directives.append(self._federation("override", **{"from": place["override"]}, **label))
        if not is_external:
            directives += self._carried(node.directives, is_guarded=is_object)
        args = tuple(self._input(arg, arg.type) for arg in node.arguments or () if self._knows(print_ast(arg.type)))
        return _with(node, type=_type_here(node, place), directives=directives, arguments=args)

    def _input(self, node: InputValueDefinitionNode, ref: Node) -> InputValueDefinitionNode:
        return _with(node, type=ref, directives=self._carried(node.directives))

    def _carried(
        self, directives: Iterable[ConstDirectiveNode] | None, *, is_guarded: bool = True
    ) -> list[ConstDirectiveNode]:
        """The directives that composition carries into a supergraph; without access control unless ``is_guarded``."""
        found: list[ConstDirectiveNode] = []
        for each in directives or ():
            name = each.name.value
            carried = self._joined.carried.get(name)
            if carried is not None and (is_guarded or carried not in ARGUMENTS):
                found.append(_with(each, name=self._name(carried)))
            elif carried is None and (name in _DESCRIBING or name in self._definitions):
                found.append(each)
        return found

    def _federation(self, name: str, /, **values: object) -> ConstDirectiveNode:
        args = [
            ConstArgumentNode(
                name=NameNode(value=arg),
                value=StringValueNode(value=value) if isinstance(value, str) else parse_const_value(str(value).lower()),
            )
            for arg, value in values.items()
        ]
        return ConstDirectiveNode(name=self._name(name), arguments=tuple(args))

    def _name(self, directive: str) -> NameNode:
        # A team's own directive of the same name keeps it; federation's is then written in full.
        if directive in self._joined.directive_defs:
            return NameNode(value=f"federation__{directive}")
        self._imports.add(directive)
        return NameNode(value=directive)


def _given(*, resolvable: bool) -> dict[str, object]:
    return {} if resolvable else {"resolvable": False}


def _type_here(node: FieldNode, place: Arguments) -> Node:
    return parse_type(place["type"], no_location=True) if place.get("type") else node.type


def _leaves(field_set: object) -> set[str]:
    """The names that a field set asks for directly, without a selection below them."""
    try:
        selections = parse_field_set(field_set) if isinstance(field_set, str) else ()
    except FieldSetError as error:
        msg = f"The supergraph requires {field_set!r}, which is not a field set: {error}."
        raise SupergraphError(msg) from error
    return {each.name for each in selections if isinstance(each, Select) and not each.selections}


def _without_purpose(node: ConstDirectiveNode) -> ConstDirectiveNode:
    return _with(node, arguments=tuple(arg for arg in node.arguments or () if arg.name.value != "for"))


def _with(node: _Node, **changes: object) -> _Node:
    """A copy of a node with some of its children replaced."""
    return type(node)(**{**_children(node), **changes})


def _children(node: Node) -> dict[str, Any]:
    return {key: getattr(node, key, None) for key in node.keys if key != "loc"}
