"""From a Strawberry type to the row an upstream sends, and back: names, ids, enums, nested types."""

import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec
import strawberry
from strawberry.types.base import has_object_definition
from strawberry.types.private import is_private
from strawberry.utils.str_converters import to_camel_case

from clients.errors import MalformedResponse
from clients.operation import Operation, OperationError

Make = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class RowMapping:
    """How one Strawberry type travels.

    Attributes:
        row: the msgspec type that a row is decoded into; its attributes have the type's Python names.
        make: turns a decoded row into an instance of the type.
        required: JSON names that every row must have.
    """

    row: Any
    make: Make
    required: frozenset[str]


def row_mapping(kind: type, *, within: tuple[type, ...] = ()) -> RowMapping:
    """Derive the row of a Strawberry type from its annotations; scalars such as `float | None` are rows by themselves.

    Fields with a resolver are not part of the row. JSON names are the GraphQL names (camelCase, unless named). An ID
    may come as a string or a number. A field that may be null, or has a default, may be missing.

    Args:
        kind: the type.
        within: the types it is nested in.

    Raises:
        OperationError: an annotation that no row can have.
    """
    if not has_object_definition(kind):
        row, convert = _travels(kind, within)
        return RowMapping(row, convert or (lambda value: value), frozenset())
    if kind in within:
        raise OperationError(f"{kind.__name__} contains itself, and a row has an end; load one of them by its key")
    hints = typing.get_type_hints(kind, include_extras=True)
    columns: list[Any] = []
    converters: dict[str, Make] = {}
    required = set()
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if not field.init:
            continue
        annotation = hints[field.name]
        if is_private(annotation):
            annotation = typing.get_args(annotation)[0]
        travels, convert = _travels(annotation, (*within, kind))
        if convert is not None:
            converters[field.name] = convert
        json_name = getattr(field, "graphql_name", None) or to_camel_case(field.name)
        options: dict[str, Any] = {"name": json_name}
        if field.default is not dataclasses.MISSING:
            options["default"] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            options["default_factory"] = field.default_factory
        elif _allows_none(annotation):
            options["default"] = None
        else:
            required.add(json_name)
        columns.append((field.name, travels, msgspec.field(**options)))
    row = msgspec.defstruct(f"{kind.__name__}Row", columns, kw_only=True, frozen=True, gc=False)
    return RowMapping(row, _maker(kind, [name for name, *_ in columns], converters), frozenset(required))


class _NoMember(ValueError):
    """An enum has no such member; the message has nothing of the row."""


def made_or_error(declared: Operation, make: Make, row: Any, which: object = "") -> Any:
    """What `make` makes of a row, or the error of that row alone: an enum, say, may have a member we do not know."""
    try:
        return make(row)
    except (ValueError, TypeError) as error:
        row_text = f"row {which}".rstrip()
        why = str(error) if isinstance(error, _NoMember) else type(error).__name__  # whose words may quote the row
        wrong = MalformedResponse(declared.service, f"{declared.name}: the {row_text} is out of shape: {why}")
        wrong.__cause__ = error
        return wrong


def _maker(kind: type, names: list[str], converters: dict[str, Make]) -> Make:
    if len(names) == 1:
        only = attrgetter(names[0])

        def values(row: Any) -> tuple[Any, ...]:
            return (only(row),)
    else:
        values = attrgetter(*names)  # type: ignore[assignment]

    def make(row: Any) -> Any:
        fields = dict(zip(names, values(row), strict=True))
        for name, convert in converters.items():
            if fields[name] is not None:
                fields[name] = convert(fields[name])
        return kind(**fields)

    return make


def _travels(annotation: Any, within: tuple[type, ...]) -> tuple[Any, Make | None]:
    """The type a value has on the wire, and what makes the Python value of it (None: it is one already)."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        rest = [a for a in arguments if a is not types.NoneType]
        if len(rest) != 1:
            raise OperationError(
                f"{annotation}: a row's field has one type; declare unions with an operation of their own"
            )
        travels, convert = _travels(rest[0], within)
        return travels | None, convert
    if origin is list:
        travels, convert = _travels(arguments[0], within)
        return types.GenericAlias(list, (travels,)), convert and _each(convert)
    if origin is typing.Annotated:
        return _travels(arguments[0], within)
    return _travels_alone(annotation, within)


def _travels_alone(annotation: Any, within: tuple[type, ...]) -> tuple[Any, Make | None]:
    if annotation is strawberry.ID:
        return str | int, str
    if isinstance(annotation, type) and has_object_definition(annotation):
        nested = row_mapping(annotation, within=within)
        return nested.row, nested.make
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return str | int, partial(_member, annotation)
    return annotation, None


def _each(convert: Make) -> Make:
    return lambda values: [None if value is None else convert(value) for value in values]


def _member(kind: type[enum.Enum], value: str | int) -> enum.Enum:
    """GraphQL sends an enum's name; REST services send names or values."""
    if isinstance(value, str) and value in kind.__members__:
        return kind[value]
    try:
        return kind(value)
    except ValueError:
        raise _NoMember(f"a value is none of {kind.__name__}") from None


def _allows_none(annotation: Any) -> bool:
    return types.NoneType in typing.get_args(annotation)
