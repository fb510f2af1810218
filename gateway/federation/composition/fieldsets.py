"""Field sets: what ``fields:`` of ``@key``, ``@requires`` and ``@provides`` holds, parsed, printed and looked up.

Source: the ``FieldSet`` scalar of the federation specification: a selection set without its outer braces.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    print_ast,
)

from gateway.federation.composition.model import COMPOSITE, Field, Kind, SubgraphSchema, TypeDef
from gateway.federation.composition.typerefs import named


class FieldSetError(ValueError):
    """The text is no field set; the message says where it stops being one."""


@dataclass(frozen=True, slots=True)
class Select:
    """A field of a field set. ``args`` is the printed argument list, without parentheses."""

    name: str
    args: str = ""
    alias: str | None = None
    selections: "FieldSet" = ()
    has_directives: bool = False


@dataclass(frozen=True, slots=True)
class On:
    """An inline fragment of a field set."""

    type: str | None
    selections: "FieldSet"
    has_directives: bool = False


FieldSet = tuple[Select | On, ...]


@lru_cache(maxsize=4096)
def parse_field_set(text: str) -> FieldSet:
    """The selections of ``"id org { id }"``; outer braces are tolerated.

    Raises:
        FieldSetError: for a syntax error, an empty set or a named fragment.
    """
    bare = text.strip()
    source = bare if bare.startswith("{") else "{" + bare + "}"
    try:
        document = parse(source, no_location=True)
    except GraphQLSyntaxError as error:
        raise FieldSetError(error.message) from error
    operation = document.definitions[0]
    if len(document.definitions) != 1 or not isinstance(operation, OperationDefinitionNode):
        raise FieldSetError("it holds more than one selection set")
    return _selections(operation.selection_set)


def _selections(node: SelectionSetNode | None) -> FieldSet:
    found: list[Select | On] = []
    for each in node.selections if node else ():
        match each:
            case FieldNode():
                found.append(
                    Select(
                        each.name.value,
                        ", ".join(print_ast(arg) for arg in each.arguments or ()),
                        each.alias.value if each.alias else None,
                        _selections(each.selection_set),
                        bool(each.directives),
                    )
                )
            case InlineFragmentNode():
                condition = each.type_condition.name.value if each.type_condition else None
                found.append(On(condition, _selections(each.selection_set), bool(each.directives)))
            case FragmentSpreadNode():
                raise FieldSetError(f'named fragment "{each.name.value}" cannot be used in a field set')
    return tuple(found)


def print_field_set(selections: FieldSet) -> str:
    """The field set on one line, as the join specification carries it."""
    parts: list[str] = []
    for each in selections:
        inner = " { " + print_field_set(each.selections) + " }" if each.selections else ""
        if isinstance(each, On):
            parts.append((f"... on {each.type}" if each.type else "...") + inner)
        else:
            alias = f"{each.alias}: " if each.alias else ""
            parts.append(alias + each.name + (f"({each.args})" if each.args else "") + inner)
    return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Use:
    """A field that a field set names, found in the subgraph.

    ``under_external`` says that an enclosing field of the same set is external already.
    """

    parent: TypeDef
    field: Field
    select: Select
    depth: int
    under_external: bool = False


def resolve(schema: SubgraphSchema, parent: TypeDef, selections: FieldSet) -> tuple[list[Use], list[str]]:
    """Every field the set names, and what is wrong with the set: unknown fields and types, missing sub-selections."""
    resolution = _Resolution(schema)
    resolution.visit(parent, selections, 0, under_external=False)
    return resolution.uses, resolution.wrong


class _Resolution:
    """One walk over one field set."""

    def __init__(self, schema: SubgraphSchema) -> None:
        self.schema = schema
        self.uses: list[Use] = []
        self.wrong: list[str] = []

    def visit(self, parent: TypeDef, selections: FieldSet, depth: int, *, under_external: bool) -> None:
        if not selections:
            self.wrong.append(f'it selects nothing of type "{parent.name}"')
        for each in selections:
            if isinstance(each, On):
                self._visit_fragment(parent, each, depth, under_external)
            elif each.name != "__typename":
                self._visit_field(parent, each, depth, under_external)

    def _visit_fragment(self, parent: TypeDef, fragment: On, depth: int, under_external: bool) -> None:
        target = parent if fragment.type is None else self.schema.types.get(fragment.type)
        if target is None or target.kind not in COMPOSITE:
            self.wrong.append(f'fragment on "{fragment.type}", which is no composite type of this subgraph')
        elif not _can_overlap(self.schema, parent, target):
            self.wrong.append(f'fragment on "{target.name}" can never match "{parent.name}"')
        else:
            self.visit(target, fragment.selections, depth, under_external=under_external)

    def _visit_field(self, parent: TypeDef, select: Select, depth: int, under_external: bool) -> None:
        field = parent.fields.get(select.name)
        if field is None:
            self.wrong.append(f'type "{parent.name}" has no field "{select.name}"')
            return
        self.uses.append(Use(parent, field, select, depth, under_external))
        child = self.schema.types.get(named(field.type))
        if child is not None and child.kind in COMPOSITE:
            is_below = under_external or is_external_anywhere(self.schema, parent, field)
            self.visit(child, select.selections, depth + 1, under_external=is_below)
        elif select.selections:
            self.wrong.append(f'field "{parent.name}.{field.name}" is a leaf and takes no sub-selection')


def _can_overlap(schema: SubgraphSchema, left: TypeDef, right: TypeDef) -> bool:
    possible = schema.possible_types
    return (
        left.name == right.name
        or left.name in right.interfaces
        or right.name in left.interfaces
        or bool(possible.get(left.name, frozenset()) & possible.get(right.name, frozenset()))
    )


def is_external_anywhere(schema: SubgraphSchema, parent: TypeDef, field: Field) -> bool:
    """Whether a field is external, or an interface's and external in an implementer."""
    if field.is_external:
        return True
    return parent.kind is Kind.INTERFACE and any(
        (mine := schema.types[name].fields.get(field.name)) is not None and mine.is_external
        for name in schema.possible_types.get(parent.name, frozenset())
        if name in schema.types
    )


def covered(schema: SubgraphSchema, uses: list[Use]) -> Iterator[tuple[str, str]]:
    """Coordinates (type, field) that the uses touch; an interface's field touches that of each implementer."""
    for use in uses:
        yield use.parent.name, use.field.name
        if use.parent.kind is Kind.INTERFACE:
            for name in sorted(schema.possible_types.get(use.parent.name, frozenset())):
                if use.field.name in schema.types[name].fields:
                    yield name, use.field.name
