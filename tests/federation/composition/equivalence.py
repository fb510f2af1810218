"""When two supergraphs mean the same: equal facts by schema coordinate, whatever the order and spelling of the SDL."""

from collections.abc import Iterator, Sequence

from graphql import (
    ArgumentNode,
    ConstDirectiveNode,
    DirectiveDefinitionNode,
    DocumentNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    InputValueDefinitionNode,
    NameNode,
    Node,
    SchemaDefinitionNode,
    StringValueNode,
    TypeDefinitionNode,
    UnionTypeDefinitionNode,
    Visitor,
    parse,
    print_ast,
    visit,
)
from graphql.utilities import value_from_ast_untyped

_MACHINERY = ("join__", "link__", "core__", "requiresScopes__", "policy__")
# Informational in the join specification, or written by one composer and implied by another.
_IGNORED_ARGUMENTS = {("join__type", "extension")}
_DEFAULTS = {("join__type", "resolvable", "true"), ("join__type", "isInterfaceObject", "false")}
_FIELD_SETS = {"key", "requires", "provides"}
_SPEC_DIRECTIVES = {"tag", "inaccessible", "authenticated", "requiresScopes", "policy", "cost", "listSize", "link"}


def facts(sdl: str) -> dict[str, frozenset[str]]:
    """What a supergraph says, by coordinate: types, defaults, descriptions, and directives with sorted arguments."""
    found: dict[str, set[str]] = {}
    for coordinate, fact in _facts(_with_specification_names(parse(sdl, no_location=True))):
        found.setdefault(coordinate, set()).add(fact)
    return {coordinate: frozenset(each) for coordinate, each in found.items()}


def differences(ours: str, theirs: str) -> list[str]:
    """The coordinates at which two supergraphs differ, each with what only one of them says; empty when equivalent."""
    left, right = facts(ours), facts(theirs)
    return [
        f"{at}: ours {sorted(left.get(at, frozenset()) - right.get(at, frozenset()))}"
        f" theirs {sorted(right.get(at, frozenset()) - left.get(at, frozenset()))}"
        for at in sorted(left.keys() | right.keys())
        if left.get(at) != right.get(at)
    ]


class _Renaming(Visitor):
    """Gives directives their names in the specifications that the supergraph links."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self._names = names

    def _rename(self, node: ConstDirectiveNode | DirectiveDefinitionNode) -> Node | None:
        name = self._names.get(node.name.value)
        if name is None:
            return None
        values = {key: getattr(node, key) for key in node.keys if key != "loc"}
        return type(node)(**{**values, "name": NameNode(value=name)})

    def leave_directive(self, node: ConstDirectiveNode, *_: object) -> Node | None:
        return self._rename(node)

    def leave_directive_definition(self, node: DirectiveDefinitionNode, *_: object) -> Node | None:
        return self._rename(node)


def _with_specification_names(document: DocumentNode) -> DocumentNode:
    names: dict[str, str] = {}
    for node in document.definitions:
        for link in (node.directives or ()) if isinstance(node, SchemaDefinitionNode) else ():
            args = {arg.name.value: value_from_ast_untyped(arg.value) for arg in link.arguments or ()}
            for each in args.get("import") or ():
                if isinstance(each, dict) and args["url"].startswith("https://specs.apollo.dev/"):
                    names[each["as"].removeprefix("@")] = each["name"].removeprefix("@")
    renamed = visit(document, _Renaming(names))
    assert isinstance(renamed, DocumentNode)
    return renamed


def _facts(document: DocumentNode) -> Iterator[tuple[str, str]]:
    for node in document.definitions:
        if isinstance(node, SchemaDefinitionNode):
            yield from _directives("schema", [each for each in node.directives or () if each.name.value != "link"])
            for operation in node.operation_types or ():
                yield "schema", f"{operation.operation.value}: {operation.type.name.value}"
        elif isinstance(node, DirectiveDefinitionNode) and not _is_machinery(node.name.value):
            yield f"@{node.name.value}", print_ast(node)
        elif isinstance(node, TypeDefinitionNode) and not _is_machinery(node.name.value):
            yield from _type(node)


def _is_machinery(name: str) -> bool:
    return name in _SPEC_DIRECTIVES or (name.startswith(_MACHINERY) and name != "join__Graph")


def _type(node: TypeDefinitionNode) -> Iterator[tuple[str, str]]:
    name = node.name.value
    yield name, node.kind
    yield from _described(name, node)
    for interface in getattr(node, "interfaces", None) or ():
        yield name, f"implements {interface.name.value}"
    if isinstance(node, UnionTypeDefinitionNode):
        for member in node.types or ():
            yield name, f"member {member.name.value}"
    if isinstance(node, EnumTypeDefinitionNode):
        for value in node.values or ():
            yield f"{name}.{value.name.value}", "value"
            yield from _described(f"{name}.{value.name.value}", value)
    for field in getattr(node, "fields", None) or ():
        at = f"{name}.{field.name.value}"
        yield at, f"type {print_ast(field.type)}"
        yield from _described(at, field)
        if isinstance(field, FieldDefinitionNode):
            for arg in field.arguments or ():
                yield from _input(f"{at}({arg.name.value}:)", arg)
        else:
            yield from _input(at, field)


def _input(coordinate: str, node: InputValueDefinitionNode) -> Iterator[tuple[str, str]]:
    yield coordinate, f"type {print_ast(node.type)}"
    if node.default_value is not None:
        yield coordinate, f"default {print_ast(node.default_value)}"
    yield from _described(coordinate, node)


def _described(coordinate: str, node: object) -> Iterator[tuple[str, str]]:
    description = getattr(node, "description", None)
    if description is not None:
        yield coordinate, f"description {description.value}"
    yield from _directives(coordinate, getattr(node, "directives", None) or ())


def _directives(coordinate: str, directives: Sequence[ConstDirectiveNode]) -> Iterator[tuple[str, str]]:
    for each in directives:
        name = each.name.value
        args = sorted(text for arg in each.arguments or () if (text := _argument(name, arg)))
        yield coordinate, f"@{name}({', '.join(args)})"


def _argument(directive: str, node: ArgumentNode) -> str:
    name, value = node.name.value, print_ast(node.value)
    if name in _FIELD_SETS and isinstance(node.value, StringValueNode):
        value = " ".join(print_ast(parse("{" + node.value.value + "}", no_location=True)).split())
    if (directive, name) in _IGNORED_ARGUMENTS or (directive, name, value) in _DEFAULTS:
        return ""
    return f"{name}: {value}"
