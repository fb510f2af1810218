"""Is the document valid GraphQL once federation's own definitions are added? Mostly INVALID_GRAPHQL."""

from collections import Counter
from collections.abc import Iterable, Iterator

from graphql import (
    DefinitionNode,
    DirectiveDefinitionNode,
    DocumentNode,
    EnumTypeExtensionNode,
    ExecutableDefinitionNode,
    FieldDefinitionNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InputObjectTypeExtensionNode,
    InterfaceTypeExtensionNode,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    ScalarTypeDefinitionNode,
    ScalarTypeExtensionNode,
    TypeDefinitionNode,
    TypeExtensionNode,
    Undefined,
    UnionTypeExtensionNode,
    build_ast_schema,
    parse,
    print_ast,
    validate_schema,
    value_from_ast,
)
from graphql.language import ast
from graphql.validation.validate import validate_sdl

from gateway.federation.composition import specs
from gateway.federation.composition.errors import Problems
from gateway.federation.composition.model import BUILT_IN_SCALARS
from gateway.federation.composition.typerefs import named
from gateway.federation.composition.vocabulary import Vocabulary, line_of

_DEFINITION_OF: dict[type[TypeExtensionNode], type[TypeDefinitionNode]] = {
    ScalarTypeExtensionNode: ast.ScalarTypeDefinitionNode,
    ObjectTypeExtensionNode: ast.ObjectTypeDefinitionNode,
    InterfaceTypeExtensionNode: ast.InterfaceTypeDefinitionNode,
    UnionTypeExtensionNode: ast.UnionTypeDefinitionNode,
    EnumTypeExtensionNode: ast.EnumTypeDefinitionNode,
    InputObjectTypeExtensionNode: ast.InputObjectTypeDefinitionNode,
}

# A subgraph alone needs no query, and its Query may be empty once the machinery is taken out.
_TOLERATED = ("Query root type must be provided.",)


def own_definitions(
    subgraph: str, document: DocumentNode, vocabulary: Vocabulary, problems: Problems
) -> list[DefinitionNode]:
    """The team's definitions, without what federation defines and what servers add to be a subgraph."""
    found: list[DefinitionNode] = []
    for node in document.definitions:
        if isinstance(node, DirectiveDefinitionNode):
            spec = vocabulary.directives.get(node.name.value)
            if spec is not None:
                _check_definition(subgraph, node, spec, vocabulary, problems)
                continue
            if node.name.value == vocabulary.link_name or node.name.value in specs.BUILT_IN_DIRECTIVES:
                continue
        elif isinstance(node, TypeDefinitionNode) and vocabulary.owns_type(node.name.value):
            if node.name.value in vocabulary.scalars and not isinstance(node, ScalarTypeDefinitionNode):
                message = f'"{node.name.value}" at line {line_of(node)} is a scalar of the specification'
                problems.error("TYPE_DEFINITION_INVALID", message, subgraphs=[subgraph], coordinates=[node.name.value])
            continue
        elif isinstance(node, ObjectTypeDefinitionNode | ObjectTypeExtensionNode):
            found.append(_without_machinery(node))
            continue
        found.append(node)
    return found


def _without_machinery(node: ObjectTypeDefinitionNode | ObjectTypeExtensionNode) -> DefinitionNode:
    kept = tuple(field for field in node.fields or () if not _is_machinery(field))
    return node if len(kept) == len(node.fields or ()) else _copy(node, type(node), fields=kept)


def _is_machinery(field: FieldDefinitionNode) -> bool:
    return field.name.value in specs.MACHINERY_FIELDS and named(print_ast(field.type)) in specs.MACHINERY_TYPES


def _copy(node: DefinitionNode, into: type[DefinitionNode], **changes: object) -> DefinitionNode:
    values = {key: getattr(node, key, None) for key in into.keys if key != "loc"}
    return into(loc=node.loc, **{key: value for key, value in {**values, **changes}.items() if value is not None})


def _check_definition(
    subgraph: str, node: DirectiveDefinitionNode, spec: str, vocabulary: Vocabulary, problems: Problems
) -> None:
    """A document may define federation's directives itself: less than the specification allows, never more."""
    expected = _definition_node(spec, vocabulary)
    args = {arg.name.value: print_ast(arg.type) for arg in expected.arguments or ()}
    wrong: list[str] = []
    for arg in node.arguments or ():
        given, wanted = print_ast(arg.type), args.pop(arg.name.value, None)
        if wanted is None:
            wrong.append(f'it has no argument "{arg.name.value}"')
        elif not _fits(given, wanted):
            wrong.append(f'argument "{arg.name.value}" is of type {wanted}')
    wrong += [f'argument "{name}" is required' for name, ref in args.items() if ref.endswith("!")]
    allowed = {location.value for location in expected.locations}
    extra = sorted({location.value for location in node.locations} - allowed)
    if extra:
        wrong.append(f"it cannot be applied on {', '.join(extra)}")
    if node.repeatable and not expected.repeatable:
        wrong.append("it is not repeatable")
    if wrong:
        message = f"@{node.name.value}, defined at line {line_of(node)}, differs from its specification: "
        problems.error(
            "DIRECTIVE_DEFINITION_INVALID",
            message + "; ".join(wrong),
            subgraphs=[subgraph],
            coordinates=["@" + node.name.value],
        )


def _definition_node(spec: str, vocabulary: Vocabulary) -> DirectiveDefinitionNode:
    version = vocabulary.version if specs.definition(spec, vocabulary.version) else specs.LATEST
    body = (specs.definition(spec, version) or "").format(**{name: name for name in specs.SCALARS})
    node = parse(f"directive @{spec} {body}", no_location=True).definitions[0]
    if not isinstance(node, DirectiveDefinitionNode):
        raise AssertionError(spec)
    return node


def _fits(given: str, wanted: str) -> bool:
    # Documents spell the specification's scalars in many ways, and as strings; nullability may differ.
    if named(wanted) in specs.SCALARS:
        return named(given) in {"String", "_FieldSet"} or named(given).split("__")[-1] == named(wanted)
    return given.replace("!", "") == wanted.replace("!", "")


def completed(definitions: list[DefinitionNode], vocabulary: Vocabulary) -> DocumentNode:
    """A document that stands alone: bare extensions become definitions, federation's definitions are added."""
    defined = {node.name.value for node in definitions if isinstance(node, TypeDefinitionNode)}
    nodes: list[DefinitionNode] = []
    for node in definitions:
        is_bare = isinstance(node, TypeExtensionNode) and node.name.value not in defined | BUILT_IN_SCALARS
        if isinstance(node, TypeExtensionNode) and is_bare:
            defined.add(node.name.value)
            nodes.append(_copy(node, _DEFINITION_OF[type(node)]))
        else:
            nodes.append(node)
    federation = parse("\n".join(vocabulary.federation_definitions()), no_location=True)
    return DocumentNode(definitions=(*nodes, *federation.definitions))


def check_sdl(subgraph: str, document: DocumentNode, vocabulary: Vocabulary, problems: Problems) -> bool:
    """Whether the completed document is valid; everything wrong with it is recorded."""
    found: list[GraphQLError] = []
    # One rule can report a duplicate definition in a way that hides others: keep them all.
    found.extend(validate_sdl(document))
    found.extend(_redefined_scalars(document))
    found.extend(
        GraphQLError("operations and fragments have no place in a schema", nodes=node)
        for node in document.definitions
        if isinstance(node, ExecutableDefinitionNode)
    )
    if not found:
        try:
            schema = build_ast_schema(document, assume_valid_sdl=True)
            found.extend(_without_tolerated(validate_schema(schema), document))
            found.extend(_invalid_defaults(schema))
        except (GraphQLError, TypeError, ValueError) as error:
            found.append(error if isinstance(error, GraphQLError) else GraphQLError(str(error)))
    for each in found:
        _report(subgraph, each, vocabulary, problems)
    return not found


def _redefined_scalars(document: DocumentNode) -> Iterator[GraphQLError]:
    """Built-in scalars may be spelled out, as scalars; graphql-core takes any type of their name."""
    for node in document.definitions:
        is_other = isinstance(node, TypeDefinitionNode) and not isinstance(node, ScalarTypeDefinitionNode)
        if isinstance(node, TypeDefinitionNode) and is_other and node.name.value in BUILT_IN_SCALARS:
            yield GraphQLError(f'"{node.name.value}" is a built-in scalar', nodes=node)


def _invalid_defaults(schema: GraphQLSchema) -> Iterator[GraphQLError]:
    """Default values that their types do not accept; GraphQL's own schema validation leaves them out."""
    for each in schema.type_map.values():
        values: list[tuple[str, GraphQLArgument | GraphQLInputField]] = []
        if isinstance(each, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in each.fields.items():
                values += [(f"{each.name}.{name}({arg}:)", value) for arg, value in field.args.items()]
        elif isinstance(each, GraphQLInputObjectType):
            values += [(f"{each.name}.{name}", value) for name, value in each.fields.items()]
        for coordinate, value in values:
            node = value.ast_node.default_value if value.ast_node else None
            if node is not None and value_from_ast(node, value.type) is Undefined:
                message = f'default value {print_ast(node)} of "{coordinate}" is no {value.type}'
                yield GraphQLError(message, nodes=node)


def _without_tolerated(errors: Iterable[GraphQLError], document: DocumentNode) -> Iterable[GraphQLError]:
    fields: Counter[str] = Counter()
    for node in document.definitions:
        if isinstance(node, ObjectTypeDefinitionNode | ObjectTypeExtensionNode):
            fields[node.name.value] += len(node.fields or ())
    empty = {f"Type {name} must define one or more fields." for name, count in fields.items() if count == 0}
    return [each for each in errors if each.message not in _TOLERATED and each.message not in empty]


def _report(subgraph: str, error: GraphQLError, vocabulary: Vocabulary, problems: Problems) -> None:
    line = error.locations[0].line if error.locations else None
    message = error.message if line is None else f"line {line}: {error.message}"
    hint = None
    if error.message.startswith("Unknown directive"):
        name = error.message.split("@")[-1].rstrip("'\".")
        hint = _unknown_directive_hint(name, vocabulary)
    problems.error("INVALID_GRAPHQL", message, subgraphs=[subgraph], hint=hint)


def _unknown_directive_hint(name: str, vocabulary: Vocabulary) -> str | None:
    since = specs.since(name)
    if since is None:
        return None
    if vocabulary.version < (2, 0):
        return f"Link the federation specification, v2.0 or later, and import @{name}."
    spelled = next((local for local, spec in vocabulary.directives.items() if spec == name), None)
    if spelled is None:
        return f"@{name} exists since v{since[0]}.{since[1]}; link that version or a later one."
    return f"Import @{name} from the federation specification, or write @{spelled}."
