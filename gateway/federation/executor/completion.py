"""The response the client asked for, out of what the subgraphs gave: its keys, its order, its nulls.

Completion as in https://spec.graphql.org/October2021/#sec-Value-Completion, by the API schema and runtime types.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import (
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    is_specified_scalar_type,
)

from gateway.federation.executor.merging import Trail, written_out
from gateway.federation.executor.reported import MALFORMED, Reporter
from gateway.federation.planner.operation import Condition, Selection
from gateway.federation.supergraph.model import Model

_BUBBLES = object()
"""Stands for a null where the schema allows none, on its way up."""

_Fields = list[tuple[str, str, GraphQLOutputType | None, tuple[Selection, ...]]]


def holds(condition: Condition, variables: Mapping[str, Any]) -> bool:
    """Whether the condition of @skip and @include holds for these variables."""
    return all(bool(variables.get(name)) is wanted for name, wanted in condition)


class Completion:
    """Completes one response. Errors it finds go to the reporter."""

    def __init__(self, model: Model, schema: GraphQLSchema, variables: Mapping[str, Any], reporter: Reporter) -> None:
        self._model = model
        self._schema = schema
        self._variables = variables
        self._reporter = reporter
        self._explained = _Explained(tuple(error.get("path", ())) for error in reporter.errors)
        self._fields: dict[tuple[int, str], _Fields] = {}
        self._kept: list[tuple[Selection, ...]] = []

    def root(
        self, selections: tuple[Selection, ...], type_name: str, data: Mapping[str, Any], local: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """The response's data; None when a null reached the top.

        Args:
            selections: the operation's.
            type_name: the root type.
            data: what the subgraphs gave, by the selections' keys.
            local: complete values of fields that were answered here, by response key.
        """
        type_ = self._schema.type_map[type_name]
        if not isinstance(type_, GraphQLObjectType):
            msg = f"{type_name} is no object type"
            raise TypeError(msg)
        completed = self._object(selections, type_, data, None, local)
        return completed if isinstance(completed, dict) else None

    def _object(
        self,
        selections: tuple[Selection, ...],
        type_: GraphQLObjectType | GraphQLInterfaceType,
        data: Mapping[str, Any],
        trail: Trail,
        local: Mapping[str, Any] | None = None,
    ) -> Any:
        completed: dict[str, Any] = {}
        for response_key, key, field_type, below in self._fields_of(selections, type_):
            if local and response_key in local:
                completed[response_key] = local[response_key]
                continue
            if field_type is None:
                named = isinstance(type_, GraphQLObjectType)  # or an interface object, whose type nobody needed
                completed[response_key] = type_.name if named else data.get("__typename") or type_.name
                continue
            value = self._value(field_type, below, data.get(key), (trail, response_key))
            if value is _BUBBLES:
                return _BUBBLES
            completed[response_key] = value
        return completed

    def _fields_of(self, selections: tuple[Selection, ...], type_: GraphQLObjectType | GraphQLInterfaceType) -> _Fields:
        """Fields that apply to objects of a type; equal response keys joined, in order of first appearance."""
        memo = (id(selections), type_.name)
        known = self._fields.get(memo)
        if known is not None:
            return known
        collected: dict[str, list[Selection]] = {}
        for selection in selections:
            if selection.types is not None and type_.name not in selection.types:
                continue
            if not selection.condition or holds(selection.condition, self._variables):
                collected.setdefault(selection.response_key, []).append(selection)
        fields: _Fields = []
        for response_key, same in collected.items():
            first = same[0]
            below = first.selections if len(same) == 1 else tuple(child for each in same for child in each.selections)
            self._kept.append(below)  # the memo goes by identity
            definition = type_.fields.get(first.name)
            fields.append((response_key, first.key, definition.type if definition else None, below))
        self._kept.append(selections)
        self._fields[memo] = fields
        return fields

    def _value(self, type_: GraphQLOutputType, below: tuple[Selection, ...], value: Any, trail: Trail) -> Any:
        if isinstance(type_, GraphQLNonNull):
            completed = self._value(type_.of_type, below, value, trail)
            if completed is None:
                self._null_forbidden(trail)
                return _BUBBLES
            return completed
        if value is None:
            return None
        if isinstance(type_, GraphQLList):
            completed = self._list(type_.of_type, below, value, trail)
        elif isinstance(type_, GraphQLScalarType | GraphQLEnumType):
            completed = self._leaf(type_, value, trail)
        elif not isinstance(value, dict):
            completed = self._unusable(_unexpected("an object", value), trail)
        elif isinstance(type_, GraphQLObjectType):
            completed = self._object(below, type_, value, trail)
        else:
            completed = self._abstract(type_, below, value, trail)
        return None if completed is _BUBBLES else completed

    def _list(self, type_: GraphQLOutputType, below: tuple[Selection, ...], value: Any, trail: Trail) -> Any:
        if not isinstance(value, list):
            return self._unusable(_unexpected("a list", value), trail)
        completed = []
        for index, item in enumerate(value):
            each = self._value(type_, below, item, (trail, index))
            if each is _BUBBLES:
                return _BUBBLES
            completed.append(each)
        return completed

    def _leaf(self, type_: GraphQLScalarType | GraphQLEnumType, value: Any, trail: Trail) -> Any:
        if isinstance(type_, GraphQLEnumType):
            if isinstance(value, str) and value in type_.values:
                return value
            return self._unusable(f"it is none of the values of {type_.name}", trail)
        if is_specified_scalar_type(type_) and isinstance(value, dict | list):
            return self._unusable(_unexpected(f"a value of {type_.name}", value), trail)
        return value

    def _abstract(
        self, type_: GraphQLAbstractType, below: tuple[Selection, ...], value: Mapping[str, Any], trail: Trail
    ) -> Any:
        name = value.get("__typename")
        if name is None and isinstance(type_, GraphQLInterfaceType):
            return self._object(below, type_, value, trail)  # an interface object: nobody needed the runtime type
        runtime = self._schema.type_map.get(name) if isinstance(name, str) else None
        if isinstance(runtime, GraphQLObjectType) and self._schema.is_sub_type(type_, runtime):
            return self._object(below, runtime, value, trail)
        if isinstance(name, str) and name in self._model.possible_types(type_.name):
            return None  # inaccessible: there is such an object, but the client must not know
        return self._unusable(f"its __typename is none of the possible types of {type_.name}", trail)

    def _unusable(self, problem: str, trail: Trail) -> Any:
        """Null in place of a value that cannot be used, and an error that says so."""
        path = written_out(trail)
        self._reporter.errors.append(
            {
                "message": f"A subgraph's value cannot be used: {problem}.",
                "path": path,
                "extensions": {"code": MALFORMED},
            }
        )
        self._explained.add(tuple(path))
        return None

    def _null_forbidden(self, trail: Trail) -> None:
        """Say so, unless an error that was reported already explains it: one above, at, or below."""
        path = written_out(trail)
        if tuple(path) in self._explained:
            return
        self._explained.add(tuple(path))
        field = ".".join(str(each) for each in path)
        self._reporter.errors.append(
            {
                "message": f"Cannot return null for non-nullable field {field}.",
                "path": path,
                "extensions": {"code": "NULL_VALUE"},
            }
        )


def _unexpected(expected: str, value: object) -> str:
    return f"expected {expected}, got {type(value).__name__}"


class _Explained:
    """Places whose nulls an error explains: one at, above or below the place. Asking costs the length of the path."""

    def __init__(self, paths: Iterable[tuple[str | int, ...]]) -> None:
        self._paths: set[tuple[str | int, ...]] = set()
        self._above: set[tuple[str | int, ...]] = set()
        for path in paths:
            self.add(path)

    def add(self, path: tuple[str | int, ...]) -> None:
        self._paths.add(path)
        self._above.update(path[:length] for length in range(len(path)))

    def __contains__(self, path: tuple[str | int, ...]) -> bool:
        return path in self._above or any(path[:length] in self._paths for length in range(len(path) + 1))
