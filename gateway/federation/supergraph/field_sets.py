"""Field sets: the values of ``@key``, ``@requires`` and ``@provides``, parsed once and hashable."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from graphql import ArgumentNode, FieldNode, GraphQLError, InlineFragmentNode, OperationDefinitionNode, parse, print_ast
from graphql import SelectionSetNode as _SelectionSetNode

from gateway.federation.errors import SupergraphError

PossibleTypes = Callable[[str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class FieldSelection:
    """One field of a field set.

    Attributes:
        name: the schema name; field sets know no aliases.
        arguments: ``(a: 1, b: 2)``, sorted by name, or the empty string.
        types: the object types the field applies to, None for all (it stands in no fragment).
        selections: the field set below it, empty for a leaf.
    """

    name: str
    arguments: str = ""
    types: frozenset[str] | None = None
    selections: "tuple[FieldSelection, ...]" = ()


FieldSet = tuple[FieldSelection, ...]


def print_arguments(arguments: Iterable[ArgumentNode]) -> str:
    """Arguments in one canonical spelling, so that equal ones compare equal as text."""
    printed = sorted(f"{argument.name.value}: {print_ast(argument.value)}" for argument in arguments)
    return f"({', '.join(printed)})" if printed else ""


def parse_field_set(text: str, possible_types: PossibleTypes, where: str) -> FieldSet:
    """Parse a field set such as ``id organization { id }``.

    Args:
        text: the directive's value; outer braces are tolerated.
        possible_types: object types of a type condition.
        where: named in the SupergraphError that is raised when the text is not a selection set.
    """
    body = text.strip()
    try:
        document = parse(body if body.startswith("{") else "{" + body + "}", no_location=True)
    except GraphQLError as error:
        msg = f"{where}: {text!r} is not a field set ({error.message})."
        raise SupergraphError(msg) from error
    operation = document.definitions[0]
    if not isinstance(operation, OperationDefinitionNode):
        msg = f"{where}: {text!r} is not a field set."
        raise SupergraphError(msg)
    return _convert(operation.selection_set, None, possible_types, where)


def _convert(
    node: _SelectionSetNode, types: frozenset[str] | None, possible_types: PossibleTypes, where: str
) -> FieldSet:
    selections: list[FieldSelection] = []
    for selection in node.selections:
        if isinstance(selection, FieldNode):
            below = _convert(selection.selection_set, None, possible_types, where) if selection.selection_set else ()
            selections.append(
                FieldSelection(selection.name.value, print_arguments(selection.arguments or ()), types, below)
            )
        elif isinstance(selection, InlineFragmentNode):
            inner = types
            if selection.type_condition:
                condition = possible_types(selection.type_condition.name.value)
                inner = condition if types is None else types & condition
            selections.extend(_convert(selection.selection_set, inner, possible_types, where))
        else:
            msg = f"{where}: a field set cannot spread named fragments."
            raise SupergraphError(msg)
    return merge_field_sets(selections)


def merge_field_sets(selections: Iterable[FieldSelection]) -> FieldSet:
    """Join selections of the same field under the same condition, keeping first-seen order."""
    merged: dict[tuple[str, str, frozenset[str] | None], FieldSelection] = {}
    for selection in selections:
        key = (selection.name, selection.arguments, selection.types)
        known = merged.get(key)
        below = selection.selections if known is None else merge_field_sets(known.selections + selection.selections)
        merged[key] = FieldSelection(selection.name, selection.arguments, selection.types, below)
    return tuple(merged.values())


def narrow(field_set: FieldSet, type_name: str) -> FieldSet:
    """The part of a field set that applies to objects of one type, its conditions dropped."""
    if all(selection.types is None for selection in field_set):
        return field_set
    return merge_field_sets(
        FieldSelection(selection.name, selection.arguments, None, selection.selections)
        for selection in field_set
        if selection.types is None or type_name in selection.types
    )
