"""A JSON body cut to a selection set, as a GraphQL server would have answered it.

A body says little of types, so fragments go by `__typename` where it has one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

from clients.subgraph import PossibleTypes

_Condition = tuple[str | bool, bool]


class NotProjectable(Exception):
    """A selection that no plain body answers. Says which."""


@dataclass(frozen=True, slots=True)
class Selected:
    """One field of a selection set, taken out of the fragments it stood in.

    Attributes:
        key: in the response.
        name: in the body.
        arguments: at the root; below it there are none.
        conditions: of `@skip` and `@include`: a variable or a value, and what it must be.
        types: the object types it applies to; None for all.
        below: the selection set; None for a leaf.
    """

    key: str
    name: str
    arguments: tuple[tuple[str, ValueNode], ...]
    conditions: tuple[_Condition, ...]
    types: frozenset[str] | None
    below: "tuple[Selected, ...] | None"


class SelectionReader:
    """Reads the selection sets of one document.

    Args:
        fragments: of the document, by name.
        possible_types: see there.
    """

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode], possible_types: PossibleTypes) -> None:
        self._fragments = fragments
        self._possible_types = possible_types

    def root(self, selections: SelectionSetNode) -> tuple[Selected, ...]:
        """The root fields, with their arguments; type conditions, of which there is one at the root, left out.

        Raises:
            NotProjectable: a field below them has arguments.
        """
        return tuple(self._read(selections, (), None, root=True))

    def fields(self, selections: SelectionSetNode) -> tuple[Selected, ...]:
        """The fields of a selection set.

        Raises:
            NotProjectable: one of them has arguments.
        """
        return tuple(self._read(selections, (), None, root=False))

    def _read(
        self,
        selections: SelectionSetNode,
        conditions: tuple[_Condition, ...],
        types: frozenset[str] | None,
        *,
        root: bool,
    ) -> Iterator[Selected]:
        for node in selections.selections:
            under = (*conditions, *_conditions(node.directives or ()))
            if isinstance(node, FieldNode):
                yield self._field(node, under, types, root=root)
                continue
            fragment = self._fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
            if not isinstance(fragment, InlineFragmentNode | FragmentDefinitionNode):
                raise NotProjectable(f"{node.kind} is no selection")
            within = types
            if fragment.type_condition is not None and not root:
                name = fragment.type_condition.name.value
                possible = self._possible_types(name) | {name}  # an interface object is of no other type here
                within = possible if types is None else types & possible
            yield from self._read(fragment.selection_set, under, within, root=root)

    def _field(
        self, node: FieldNode, conditions: tuple[_Condition, ...], types: frozenset[str] | None, *, root: bool
    ) -> Selected:
        if node.arguments and not root:
            raise NotProjectable(f"{node.name.value} has arguments, below the root")
        return Selected(
            key=(node.alias or node.name).value,
            name=node.name.value,
            arguments=tuple((argument.name.value, argument.value) for argument in node.arguments or ()),
            conditions=conditions,
            types=types,
            below=None if node.selection_set is None else self.fields(node.selection_set),
        )


def _conditions(directives: Sequence[DirectiveNode]) -> Iterator[_Condition]:
    for directive in directives:
        if directive.name.value not in {"skip", "include"}:
            continue
        (argument,) = directive.arguments or ()
        value = argument.value
        wanted = directive.name.value == "include"
        if isinstance(value, BooleanValueNode):
            yield value.value, wanted
        elif isinstance(value, VariableNode):
            yield value.name.value, wanted


def wanted(
    selections: Sequence[Selected], variables: Mapping[str, Any], type_name: str | None = None
) -> dict[str, list[Selected]]:
    """By response key, the fields that apply to an object; of an unknown type: all whose conditions hold."""
    found: dict[str, list[Selected]] = {}
    for field in selections:
        if field.types is not None and type_name is not None and type_name not in field.types:
            continue
        if all(bool(variables.get(c) if isinstance(c, str) else c) is value for c, value in field.conditions):
            found.setdefault(field.key, []).append(field)
    return found


def merged(fields: Sequence[Selected]) -> tuple[Selected, ...] | None:
    """The selection set below fields of one response key; None for a leaf."""
    if fields[0].below is None:
        return None
    return fields[0].below if len(fields) == 1 else tuple(below for field in fields for below in field.below or ())


def project(
    selections: Sequence[Selected], value: Any, variables: Mapping[str, Any], type_name: str | None = None
) -> Any:
    """A value of a body as the selection set wants it; what the body does not have is null.

    Args:
        selections: what is wanted.
        value: an object, a list of such, or null.
        variables: decide `@skip` and `@include`.
        type_name: the object's type where the body does not say it; None when it is not known.

    Raises:
        msgspec.ValidationError: something else stands where objects should.
    """
    if value is None:
        return None
    if isinstance(value, list):
        return [project(selections, item, variables, type_name) for item in value]
    if not isinstance(value, dict):
        raise msgspec.ValidationError(f"expected an object, found {type(value).__name__}")
    said = value.get("__typename")
    type_name = said if isinstance(said, str) else type_name
    projected: dict[str, Any] = {}
    for key, fields in wanted(selections, variables, type_name).items():
        name = fields[0].name
        if name == "__typename":
            if type_name is not None:
                projected[key] = type_name
            continue
        below, found = merged(fields), value.get(name)
        try:
            projected[key] = found if below is None else project(below, found, variables)
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(f"{name}: {error}") from error
    return projected
