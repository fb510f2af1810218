"""Values as the response has them: what needs no look, what graphql-core's serialisation makes, what is unusual."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLOutputType,
    GraphQLString,
    Undefined,
    is_list_type,
    is_non_null_type,
)
from graphql.pyutils import is_awaitable
from graphql.type.scalars import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT

Complete = Callable[[Any], Any]


class Unusual(Exception):  # an event, not a failure
    """A value that graphql-core has to look at: an error, a null where none may be, something to wait for."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a value gets into the response.

    Attributes:
        complete: gives the value for the response; raises for an unusual one.
        wrong: text of an expression that is true of values (`v`) that `complete` has to look at; the others are
            right as they are.
        names: by the name that `v._name_` has, for enumerations; `kind` is their class.
    """

    complete: Complete
    wrong: str | None = None
    names: dict[str, str] | None = None
    kind: type | None = None
    nullable: bool = True


_WRONG = {
    GraphQLString: "type(v) is not str",
    GraphQLID: "type(v) is not str",
    GraphQLBoolean: "v is not True and v is not False",
    GraphQLInt: f"type(v) is not int or not {GRAPHQL_MIN_INT} <= v <= {GRAPHQL_MAX_INT}",
    GraphQLFloat: "type(v) is not float or v - v != 0.0",  # infinities and NaN are neither equal to themselves so
}


def of(type_: GraphQLOutputType) -> Conversion:
    """The conversion of leaves of a type, or of lists of them."""
    nullable = not is_non_null_type(type_)
    inner: Any = type_.of_type if is_non_null_type(type_) else type_
    if is_list_type(inner):
        return Conversion(_or_null(_list(of(inner.of_type).complete), nullable=nullable))
    complete = _or_null(_serialised(inner), nullable=nullable)
    if isinstance(inner, GraphQLEnumType):
        kind = getattr(inner, "wrapped_cls", None)
        if kind is not None:
            names = {member._name_: inner.coerce_output_value(member) for member in kind}
            return Conversion(complete, names=names, kind=kind, nullable=nullable)
        return Conversion(complete)
    wrong = _WRONG.get(inner)
    if wrong is not None and nullable:
        wrong = f"v is not None and ({wrong})"
    return Conversion(complete, wrong=wrong)


def objects(
    type_: GraphQLOutputType,
    make: Callable[[Sequence[Any]], list[Any]],
    is_type: Callable[[Any, Any], Any] | None,
) -> Conversion:
    """The conversion of objects, or of lists of them, whose class copies attributes and nothing else."""

    def one(value: Any) -> Any:
        if isinstance(value, Exception) or is_awaitable(value) or (is_type is not None and not is_type(value, None)):
            raise Unusual
        return make((value,))[0]

    return Conversion(_of_objects(type_, one))


def _of_objects(type_: GraphQLOutputType, one: Complete) -> Complete:
    nullable = not is_non_null_type(type_)
    inner = type_.of_type if is_non_null_type(type_) else type_
    return _or_null(_list(_of_objects(inner.of_type, one)) if is_list_type(inner) else one, nullable=nullable)


def _serialised(type_: GraphQLLeafType) -> Complete:
    serialise = type_.coerce_output_value

    def complete(value: Any) -> Any:
        if value is None or value is Undefined or isinstance(value, Exception) or is_awaitable(value):
            raise Unusual
        made = serialise(value)
        if made is None or made is Undefined:
            raise Unusual
        return made

    return complete


def _list(item: Complete) -> Complete:
    def complete(values: Any) -> Any:
        if type(values) is not list and type(values) is not tuple:
            raise Unusual
        return [item(value) for value in values]

    return complete


def _or_null(complete: Complete, *, nullable: bool) -> Complete:
    def either(value: Any) -> Any:
        return None if value is None else complete(value)

    return either if nullable else complete
