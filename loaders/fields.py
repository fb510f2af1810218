"""Fields by declaration: one statement that names the service, the document and the route."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import strawberry
from graphql import ListTypeNode, NamedTypeNode, NonNullTypeNode, TypeNode
from strawberry.utils.str_converters import to_snake_case

from clients.call import Call, Problem, Served
from clients.errors import UpstreamError
from clients.operation import Operation, OperationError, operation
from loaders.rows import RowMapping, made_or_error, row_mapping
from loaders.scope import LoaderScope

OPERATION = "breakwater.operation"
"""Under this key a field's metadata holds the operation that resolves it; the gateway checks them all at start."""

Resolve = Callable[[Any, strawberry.Info, dict[str, Any]], Awaitable[Any]]

_SCALARS: dict[str, Any] = {"ID": strawberry.ID, "String": str, "Int": int, "Float": float, "Boolean": bool}


def upstream_field(
    kind: type,
    /,
    *,
    service: str,
    name: str,
    graphql: str | None = None,
    rest: str | None = None,
    many: bool = False,
    arguments: dict[str, Any] | None = None,
    field: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Declare a root field that one call to a service answers.

    ```python
    invoices: list[Invoice] = upstream_field(Invoice, service="billing", name="invoices", many=True,
        graphql="query ($first: Int = 10) { invoices(first: $first) { id number } }", rest="GET /invoices{?first}")
    ```

    Args:
        kind: the Strawberry type of a row (or a scalar).
        service: the service's name in gateway.yaml.
        name: the operation's name, unique within the service.
        graphql: a document; its variables become the field's arguments.
        rest: a route.
        many: the field is a list of rows.
        arguments: the field's arguments by name, where the document does not tell them (REST only, enums, inputs).
        field: options of `strawberry.field`, such as its description.
        options: as `clients.operation.operation` takes them.

    Raises:
        OperationError: the parts do not fit together.
    """
    rows = row_mapping(kind)
    declared = operation(service, name, row=rows.row, graphql=graphql, rest=rest, many=many, **options)
    check_selection(declared, rows)
    taken = arguments if arguments is not None else _arguments(declared)
    names = {to_snake_case(variable): variable for variable in declared.variables}

    async def resolve(_: Any, info: strawberry.Info, given: dict[str, Any]) -> Any:
        scope: LoaderScope = info.context
        variables = {names.get(k, k): v for k, v in given.items() if v is not strawberry.UNSET}
        answer = await scope.upstream(service).execute(Call(declared, variables, scope.caller))
        if answer.served.degraded or answer.problems:
            note(scope, service, info.path.as_list(), answer.served, answer.problems)
        if answer.value is None:
            return None
        if not many:
            return _raised(made_or_error(declared, rows.make, answer.value))
        return [
            None if row is None else made_or_error(declared, rows.make, row, index)
            for index, row in enumerate(answer.value)
        ]

    returns: Any = list[kind] | None if many else kind | None  # type: ignore[valid-type]
    return declared_field(declared, resolve, taken, returns, field or {})


def _raised(value: Any) -> Any:
    if isinstance(value, UpstreamError):
        raise value
    return value


def declared_field(
    declared: Operation, resolve: Resolve, arguments: dict[str, Any], returns: Any, options: dict[str, Any]
) -> Any:
    """A Strawberry field around `resolve` that carries its operation; the attribute's own annotation wins."""

    async def resolver(**given: Any) -> Any:
        source, info = given.pop("root"), given.pop("info")
        return await resolve(source, info, given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    annotations = {"root": Any, "info": strawberry.Info, **arguments}
    resolver.__annotations__ = {**annotations, "return": returns}
    resolver.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                keyword,
                annotation=annotation,
                default=strawberry.UNSET if _optional(annotation) else inspect.Parameter.empty,
            )
            for name, annotation in annotations.items()
        ],
        return_annotation=returns,
    )
    metadata = {**options.pop("metadata", {}), OPERATION: declared}
    return strawberry.field(resolver=resolver, metadata=metadata, **options)


def note(
    scope: LoaderScope, service: str, path: Sequence[str | int], served: Served, problems: Sequence[Problem]
) -> None:
    """Leave on the request what the client is owed: how a value was served, and what the upstream said beside it."""
    if served.degraded:
        scope.note_served(service, path, served)
    for problem in problems:
        scope.note_problem(service, path, problem)


def check_selection(declared: Operation, rows: RowMapping) -> None:
    """Refuse a document that does not select what the row needs.

    Raises:
        OperationError: naming the missing fields.
    """
    selected = declared.graphql.selected if declared.graphql else None
    missing = rows.required - selected if selected is not None else set()
    if missing:
        raise OperationError(
            f"operation {declared.service}.{declared.name}: graphql: the document does not select "
            f"{', '.join(sorted(missing))}, which the type needs; select it, or give the attribute a default"
        )


def _arguments(declared: Operation) -> dict[str, Any]:
    if declared.graphql is None:
        return {to_snake_case(name): strawberry.ID for name in sorted(declared.variables)}
    return {
        to_snake_case(name): _python_type(declared, definition.type, optional=definition.default_value is not None)
        for name, definition in declared.graphql.variables.items()
    }


def _python_type(declared: Operation, node: TypeNode, *, optional: bool = False) -> Any:
    if isinstance(node, NonNullTypeNode):
        inner = _python_type(declared, node.type)
        inner = _without_none(inner)
        return inner | None if optional else inner
    if isinstance(node, ListTypeNode):
        return list[_python_type(declared, node.type)] | None  # type: ignore[misc]
    name = node.name.value if isinstance(node, NamedTypeNode) else ""
    if name not in _SCALARS:
        raise OperationError(
            f"operation {declared.service}.{declared.name}: a variable's type {name} has no Python type by itself; "
            "say it: arguments={...}"
        )
    return _SCALARS[name] | None


def _without_none(annotation: Any) -> Any:
    return next(a for a in annotation.__args__ if a is not type(None))


def _optional(annotation: Any) -> bool:
    return type(None) in getattr(annotation, "__args__", ()) and getattr(annotation, "__origin__", None) is not list
