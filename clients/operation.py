"""An upstream operation, declared once: a GraphQL document, a REST route, and the rows both give."""

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import gql
import msgspec
from graphql import (
    FieldNode,
    GraphQLError,
    ListTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableDefinitionNode,
    print_ast,
)
from uritemplate import URITemplate


class OperationError(Exception):
    """A declaration that cannot work; raised where it is declared, at import. Says which part and what to do."""


class Kind(enum.StrEnum):
    """Whether a call may be repeated and its answer kept."""

    QUERY = "query"
    MUTATION = "mutation"


@dataclass(frozen=True, slots=True)
class Batch:
    """How many keys become one call.

    Attributes:
        variable: the variable that takes the list of keys.
        key: the row's attributes that make up its key; with more than one, a key is a tuple and is sent as an object.
        max_size: keys in one call; more are split into several.
    """

    variable: str
    key: tuple[str, ...]
    max_size: int = 100

    @property
    def names(self) -> frozenset[str]:
        """The variables that take keys."""
        return frozenset({self.variable})

    def variables(self, keys: Sequence[Any]) -> dict[str, list[Any]]:
        """The variables that ask for `keys`."""
        return {self.variable: list(keys) if len(self.key) == 1 else [self.encode(key) for key in keys]}

    def encode(self, key: Any) -> Any:
        """A key as the upstream gets it."""
        return key if len(self.key) == 1 else dict(zip(self.key, key, strict=True))

    def of_each(self, rows: Sequence[Any | None]) -> list[Any]:
        """The rows' keys, comparable with `normals`; None for a row that is None.

        Raises:
            AttributeError: a row has no such attribute.
        """
        if len(self.key) == 1:
            (name,) = self.key
            return [None if row is None else str(getattr(row, name)) for row in rows]
        return [None if row is None else tuple([str(getattr(row, name)) for name in self.key]) for row in rows]

    def normal(self, key: Any) -> Any:
        """A key asked for, comparable with those of `of_each`: upstreams differ over 1 and "1"."""
        return str(key) if len(self.key) == 1 else tuple(map(str, key))

    def normals(self, keys: Sequence[Any]) -> list[Any]:
        """Each key as `normal` gives it."""
        return list(map(str, keys)) if len(self.key) == 1 else [tuple(map(str, key)) for key in keys]


@dataclass(frozen=True, slots=True)
class GraphQLDocument:
    """The GraphQL side: exactly one operation, sent as it stands.

    Attributes:
        rows: the response path, below `data`, at which the rows are found.
        variables: each variable of the document, with its definition.
        selected: the response keys of a row; None where fragments hide them.
    """

    text: str
    name: str | None
    kind: Kind
    rows: tuple[str, ...]
    variables: Mapping[str, VariableDefinitionNode]
    selected: frozenset[str] | None = None

    @classmethod
    def parse(cls, text: str, rows: str | None = None) -> "GraphQLDocument":
        """Read a document.

        Raises:
            OperationError: it does not parse, or holds more or less than one query or mutation.
        """
        try:
            document = gql.gql(text).document
        except GraphQLError as error:
            raise OperationError(f"graphql: the document does not parse: {error.message}") from error
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        if len(operations) != 1:
            found = len(operations) or "none"
            raise OperationError(f"graphql: expected one query or mutation in the document, found {found}")
        operation = operations[0]
        if operation.operation is OperationType.SUBSCRIPTION:
            raise OperationError("graphql: expected a query or mutation in the document, found a subscription")
        selections = operation.selection_set.selections
        if rows is None:
            if len(selections) != 1 or not isinstance(selections[0], FieldNode):
                raise OperationError(
                    "graphql: the document selects more than one root field; say which has the rows: graphql_rows=…"
                )
            field = selections[0]
            rows = (field.alias or field.name).value
        path = tuple(rows.split("."))
        return cls(
            text=text,
            name=operation.name.value if operation.name else None,
            kind=Kind(operation.operation.value),
            rows=path,
            variables={d.variable.name.value: d for d in operation.variable_definitions or ()},
            selected=_selected(operation.selection_set, path),
        )

    def is_required(self, variable: str) -> bool:
        """Whether a call must give the variable."""
        definition = self.variables[variable]
        return isinstance(definition.type, NonNullTypeNode) and definition.default_value is None

    def is_list(self, variable: str) -> bool:
        """Whether the variable takes a list."""
        kind = self.variables[variable].type
        return isinstance(kind.type if isinstance(kind, NonNullTypeNode) else kind, ListTypeNode)

    def type_of(self, variable: str) -> str:
        """The variable's type as the document spells it."""
        return print_ast(self.variables[variable].type)


def _selected(selections: SelectionSetNode | None, path: Sequence[str]) -> frozenset[str] | None:
    """The response keys selected at a response path; None where a fragment is in the way."""
    fields: dict[str, FieldNode] = {}
    for selection in selections.selections if selections else ():
        if not isinstance(selection, FieldNode):
            return None
        fields[(selection.alias or selection.name).value] = selection
    if not path:
        return frozenset(fields) if selections else None
    if path[0] not in fields:
        raise OperationError(f"graphql_rows: the document does not select {path[0]} (found: {', '.join(fields)})")
    return _selected(fields[path[0]].selection_set, path[1:])


_ROUTE = re.compile(r"(?P<method>[A-Z]+) (?P<template>/\S*)")
_EXPRESSION = re.compile(r"\{[^{}]+\}")
_END_OF_PATH = re.compile(r"\{?[?#]")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_METHODS = _BODY_METHODS | {"GET", "DELETE"}
_UNSAFE_SEGMENTS = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class RestRoute:
    """The REST side: a method and a URI template (RFC 6570, level 4).

    `{id}` is a path segment, `{?ids}` a comma list, `{?ids*}` a repeated parameter. With POST, PUT and PATCH the
    variables that the template does not name are the JSON body, by their names (as `body: "*"` in google.api.http).

    Attributes:
        rows: the path in the answer at which the rows are found; empty: the answer itself.
    """

    method: str
    template: URITemplate
    rows: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, rows: str | None = None) -> "RestRoute":
        """Read `METHOD /path{?query}`.

        Raises:
            OperationError: it is not of that form.
        """
        match = _ROUTE.fullmatch(text.strip())
        if match is None or match["method"] not in _METHODS:
            raise OperationError(f'rest: expected "METHOD /path", such as "GET /customers{{?ids}}", found "{text}"')
        if "{" in _EXPRESSION.sub("", match["template"]) or "}" in _EXPRESSION.sub("", match["template"]):
            raise OperationError(f'rest: unbalanced or empty braces in "{match["template"]}"')
        for name in (template := URITemplate(match["template"])).variable_names:
            if not name.isidentifier():
                raise OperationError(
                    f'rest: "{name}" in "{text}" is no variable name; write {{?ids}} for a comma list, '
                    "{?ids*} for a repeated parameter"
                )
        return cls(match["method"], template, tuple(rows.split(".")) if rows else ())

    @property
    def variables(self) -> frozenset[str]:
        """The variables that the template names."""
        return frozenset(self.template.variable_names)

    @property
    def path_variables(self) -> frozenset[str]:
        """The variables without which there is no path."""
        return frozenset(URITemplate(_END_OF_PATH.split(self.template.uri, maxsplit=1)[0]).variable_names)

    @property
    def has_body(self) -> bool:
        """Whether variables outside the template travel in a JSON body."""
        return self.method in _BODY_METHODS

    def path(self, variables: Mapping[str, Any]) -> str:
        """The path and query for these variables.

        Raises:
            ValueError: a path segment would come out empty, `.` or `..`, which names another resource; or a list is
                empty, which would leave its parameter out and ask for everything.
            TypeError: a value that has no spelling.
        """
        given = {name: variables[name] for name in self.variables if name in variables}
        if empty := [name for name, value in given.items() if isinstance(value, list | tuple) and not value]:
            raise ValueError(f"{', '.join(empty)} is an empty list")
        path = self.template.expand({name: _spelt(value) for name, value in msgspec.to_builtins(given).items()})
        segments = _segments(path)
        declared = _segments(self.template.uri)
        if len(segments) != len(declared) or any(
            unquote(segment) in _UNSAFE_SEGMENTS
            for segment, template in zip(segments, declared, strict=True)
            if template
        ):
            raise ValueError(f"the variables do not fill the path {self.template.uri}")
        return path

    def __str__(self) -> str:
        return f"{self.method} {self.template.uri}"


def _segments(path: str) -> list[str]:
    return _END_OF_PATH.split(path, maxsplit=1)[0].split("/")[1:]


def _spelt(value: Any) -> Any:
    """A value as JSON spells it: RFC 6570 leaves `true` to us, and Python would say `True`."""
    if isinstance(value, list):
        return [_spelt(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value


@dataclass(frozen=True, slots=True)
class Default:
    """A value that is answered when nothing else can be.

    Attributes:
        row: where it is one Struct, its type, which is made anew for each answer; None: `value` is all there is to it.
        value: the row's attributes by name, or the whole value.
        key: of a batched operation, the row's attributes that are not in `value`: each row gets its key there.
    """

    row: Any
    value: Any
    key: tuple[str, ...] = ()

    def make(self, key: Any = None) -> Any:
        """The value; a batched operation's, the row of one key."""
        if self.row is None:
            return self.value
        return self.row(**self.value, **dict(zip(self.key, key if len(self.key) > 1 else (key,), strict=False)))


def default_of(declared: "Operation", value: Any) -> Default:
    """Read a default value, which is given as the upstream would send it in JSON; a batched row's without its key.

    Raises:
        OperationError: it does not fit the operation's rows, with the path.
    """
    if declared.kind is Kind.MUTATION:
        raise OperationError("default: a mutation has none, for it would say that something was done")
    key = declared.batch.key if declared.batch is not None else ()
    if key and not _is_struct(declared.row):
        raise OperationError("default: needs rows that are msgspec Structs, to put each key into its row")
    try:
        if declared.many and not key:
            rows = msgspec.convert(value, list[Any])
            return Default(None, [_default_row(declared.row, row).make() for row in rows])
        return _default_row(declared.row, value, key)
    except msgspec.ValidationError as error:
        raise OperationError(f"default: {error}") from error


def _default_row(row: Any, value: Any, key: tuple[str, ...] = ()) -> Default:
    if not _is_struct(row):
        return Default(None, msgspec.convert(value, row))
    fields = [field for field in msgspec.structs.fields(row) if field.name not in key]
    columns: list[Any] = [
        (
            field.name,
            field.type,
            msgspec.field(name=field.encode_name, default=field.default)
            if field.default_factory is msgspec.NODEFAULT
            else msgspec.field(name=field.encode_name, default_factory=field.default_factory),
        )
        for field in fields
    ]
    # A type of its own: without the key, and with no name unknown, for a slip would go unnoticed until it matters.
    strict = msgspec.defstruct("Default", columns, kw_only=True, forbid_unknown_fields=True)
    given = msgspec.convert(value, strict)
    return Default(row, {field.name: getattr(given, field.name) for field in fields}, key)


def _is_struct(row: Any) -> bool:
    return isinstance(row, type) and issubclass(row, msgspec.Struct)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Operation:
    """One thing an upstream can be asked, over GraphQL, REST or both. Declare it with `operation()`.

    Attributes:
        name: unique within the service; names the operation in logs, caches and `routes` of gateway.yaml.
        row: the type one row is decoded into (msgspec: a Struct, dataclass, TypedDict or built-in type).
        many: the rows are a list.
        batch: set when the operation takes a list of keys and gives a row for each.
        public: the answer is the same for every caller, so they may share cached rows.
        idempotent: a mutation that may be sent twice: it leaves the same state behind.
        default: what is answered when nothing else can be; None: the error.
    """

    service: str
    name: str
    row: Any
    graphql: GraphQLDocument | None
    rest: RestRoute | None
    kind: Kind
    many: bool = False
    batch: Batch | None = None
    public: bool = False
    idempotent: bool = False
    default: Default | None = None

    @property
    def circuit_name(self) -> str:
        """What its circuit goes by where each operation has its own."""
        return self.name

    @property
    def variables(self) -> frozenset[str]:
        """Every variable a call may give."""
        names = frozenset(self.graphql.variables) if self.graphql else frozenset()
        return names | (self.rest.variables if self.rest else frozenset())

    @property
    def required(self) -> frozenset[str]:
        """The variables that every call must give."""
        document = self.graphql
        names = frozenset(v for v in document.variables if document.is_required(v)) if document else frozenset()
        return names | (self.rest.path_variables if self.rest else frozenset())


def operation(
    service: str,
    name: str,
    *,
    row: Any,
    graphql: str | None = None,
    rest: str | None = None,
    many: bool = False,
    key: str | Sequence[str] | None = None,
    by: str | None = None,
    max_batch_size: int = 100,
    kind: Kind | None = None,
    public: bool = False,
    idempotent: bool = False,
    default: Any = None,
    graphql_rows: str | None = None,
    rest_rows: str | None = None,
) -> Operation:
    """Declare an operation, checking that its parts fit together.

    Args:
        service: the service's name in gateway.yaml.
        name: unique within the service.
        row: the type one row is decoded into.
        graphql: a document with one query or mutation.
        rest: `METHOD /path`, a URI template of RFC 6570.
        many: the rows are a list; implied by `key`.
        key: the row attribute (or attributes) that a batch is aligned by; makes the operation a batched one.
        by: the variable that takes the keys; may be left out when there is only one variable.
        max_batch_size: keys in one call.
        kind: needed only without a document, when a POST is a query; a GET is one by itself.
        public: callers may share cached rows.
        idempotent: for a mutation that leaves the same state behind when it is sent twice, as PUT and DELETE should;
            it is retried like a query.
        default: for a query, what is answered when no way to the service gives an answer and no stale one is at hand,
            as JSON would have it; of a batched operation, a row without its key. None: the error.
        graphql_rows: the path below `data` to the rows, with dots; default: the document's only root field.
        rest_rows: the path to the rows in the REST answer, with dots; default: the whole answer.

    Raises:
        OperationError: naming the operation, the part and what to do.
    """
    try:
        if graphql is None and rest is None:
            raise OperationError("give graphql=…, rest=…, or both")
        document = GraphQLDocument.parse(graphql, graphql_rows) if graphql is not None else None
        route = RestRoute.parse(rest, rest_rows) if rest is not None else None
        batch = None
        if key is not None:
            batch = _batch(document, route, key, by, max_batch_size)
        declared = Operation(
            service=service,
            name=name,
            row=row,
            graphql=document,
            rest=route,
            kind=_kind(document, route, kind),
            many=many or batch is not None,
            batch=batch,
            public=public,
            idempotent=idempotent,
        )
        if document is not None and route is not None:
            check_route(declared, route)
        if default is not None:
            declared = replace(declared, default=default_of(declared, default))
    except OperationError as error:
        raise OperationError(f"operation {service}.{name}: {error}") from error
    return declared


def check_route(declared: Operation, route: RestRoute) -> None:
    """Refuse a route that names a variable the operation does not have.

    Raises:
        OperationError: naming the variable and those there are.
    """
    variables = frozenset(declared.graphql.variables) if declared.graphql is not None else declared.variables
    if declared.batch is not None:
        variables |= {declared.batch.variable}  # a POST without a document names it nowhere else
    unknown = route.variables - variables
    if unknown:
        known = ", ".join(sorted(variables)) or "none"
        raise OperationError(
            f'rest: "{route}" names {", ".join(sorted(unknown))}, which the operation does not have '
            f"(its variables: {known})"
        )
    if not route.has_body:
        required = {v for v in variables if declared.graphql is not None and declared.graphql.is_required(v)}
        if declared.batch is not None:
            required.add(declared.batch.variable)  # without its keys a route would give every row there is
        lost = required - route.variables
        if lost:
            raise OperationError(
                f'rest: "{route}" does not carry {", ".join(sorted(lost))}, which the operation requires; '
                "add it to the template, or use POST to send it in the body"
            )


def _kind(document: GraphQLDocument | None, route: RestRoute | None, given: Kind | None) -> Kind:
    if document is not None:
        if given is not None and given is not document.kind:
            raise OperationError(f"kind: the document is a {document.kind}, not a {given}")
        return document.kind
    if given is not None:
        return given
    return Kind.QUERY if route is not None and route.method in {"GET"} else Kind.MUTATION


def _batch(
    document: GraphQLDocument | None, route: RestRoute | None, key: str | Sequence[str], by: str | None, max_size: int
) -> Batch:
    names = (key,) if isinstance(key, str) else tuple(key)
    variables = sorted(document.variables if document else route.variables if route else ())
    if by is None:
        lists = [v for v in variables if document is None or document.is_list(v)]
        if len(lists) != 1:
            raise OperationError(f"by: say which variable takes the keys: by=… (found: {', '.join(lists) or 'none'})")
        by = lists[0]
    elif by not in variables and not (document is None and route is not None and route.has_body):
        raise OperationError(f"by: there is no variable {by} (found: {', '.join(variables) or 'none'})")
    elif document is not None and not document.is_list(by):
        raise OperationError(f"by: ${by} takes {document.type_of(by)}, expected a list of keys")
    if not names or max_size < 1:
        raise OperationError("key: name at least one attribute, and max_batch_size ≥ 1")
    return Batch(by, names, max_size)
