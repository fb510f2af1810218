"""What an operation costs at most, told from its text and its variables before it is executed.

After IBM's GraphQL Cost Directive specification (https://ibm.github.io/graphql-specs/cost-spec.html), as Apollo
Federation has it (https://specs.apollo.dev/cost/v0.1): a field costs its arguments, and for each of its items the
weight of the item and what is selected below. Weights are `@cost`'s; else 1 for an object, 0 for a leaf, and 10 more
for a field of Mutation. Everything selected counts, under all type conditions and whatever @skip says.

An operation becomes an expression once: what its variables do not change is a number in it, and a fragment is one term
however often it is spread.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isnan
from typing import Any, TypeAlias

import strawberry
import structlog
from graphql import (
    DocumentNode,
    FieldDefinitionNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    InputValueDefinitionNode,
    Node,
    OperationType,
    SelectionSetNode,
    TypeDefinitionNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
    parse,
)
from graphql.utilities import value_from_ast_untyped

from gateway.config import Config
from gateway.federation.supergraph.features import arguments_of, read_features
from gateway.http.documents import Document, Operation
from gateway.http.endpoint import Exchange
from gateway.http.errors import CostExceeded

SHOW_HEADER = "x-show-cost"
"""A request header; with any value, and in development, the answer has `extensions.cost`."""

_MUTATION = 10.0
_CEILING = 1e15  # a sum stops here, and a number is still written with all its digits
_LONGEST = 10**9  # a list's size stops here
_KEY = "cost"


@dataclass(frozen=True, slots=True)
class ListSize:
    """`@listSize` of a field."""

    assumed: int | None = None
    slicing: tuple[str, ...] = ()
    sized: frozenset[str] = frozenset()
    one: bool = True


@dataclass(frozen=True, slots=True)
class Weights:
    """`@cost` and `@listSize` of a schema, by coordinate: `Type`, `Type.field`, `Type.field(argument:)`."""

    costs: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, ListSize] = field(default_factory=dict)


def read_weights(document: DocumentNode, *, cost: str = "cost", list_size: str = "listSize") -> Weights:
    """The directives of these names in a schema's document."""
    costs: dict[str, float] = {}
    sizes: dict[str, ListSize] = {}
    for coordinate, node in _places(document):
        for directive in getattr(node, "directives", None) or ():
            values = arguments_of(directive)
            if directive.name.value == cost and _number(values.get("weight")) is not None:
                costs[coordinate] = _number(values["weight"]) or 0.0
            elif directive.name.value == list_size:
                sizes[coordinate] = ListSize(
                    values.get("assumedSize"),
                    tuple(values.get("slicingArguments") or ()),
                    frozenset(values.get("sizedFields") or ()),
                    values.get("requireOneSlicingArgument") is not False,
                )
    return Weights(costs, sizes)


def schema_weights(schema: strawberry.Schema) -> Weights:
    """Those of this process's own schema."""
    return read_weights(parse(schema.as_str(), no_location=True))


def supergraph_weights(supergraph: DocumentNode, local: strawberry.Schema) -> Weights:
    """Those of a supergraph, and of this process's own schema, whose directives composition does not carry over."""
    feature = read_features(supergraph).get("cost")
    own = schema_weights(local)
    if feature is None:
        return own
    found = read_weights(supergraph, cost=feature.directive("cost"), list_size=feature.directive("listSize"))
    return Weights({**own.costs, **found.costs}, {**own.sizes, **found.sizes})


def _places(document: DocumentNode) -> Iterator[tuple[str, Node]]:
    for definition in document.definitions:
        if not isinstance(definition, TypeDefinitionNode):
            continue
        name = definition.name.value
        yield name, definition
        for child in getattr(definition, "fields", None) or ():
            at = f"{name}.{child.name.value}"
            if isinstance(child, FieldDefinitionNode | InputValueDefinitionNode):
                yield at, child
            for argument in getattr(child, "arguments", None) or ():
                yield f"{at}({argument.name.value}:)", argument


def _number(value: object) -> float | None:
    """A weight: a number, or one written as text as IBM's specification has it."""
    try:
        return float(value)  # type: ignore[arg-type]  # that is what is being found out
    except (TypeError, ValueError):
        return None


Variables: TypeAlias = Mapping[str, Any]
_Count: TypeAlias = int | Callable[[Variables], int]


class _Unsliced(Exception):
    """An operation does not say how long a list may be."""


@dataclass(frozen=True, slots=True, eq=False)
class _Term:
    """`count * (each + below) + beside`, where a part of it depends on variables."""

    count: _Count
    each: float
    below: "_Expression"
    beside: "_Expression | Callable[[Variables], float]" = 0.0

    def value(self, variables: Variables, known: dict[int, float]) -> float:
        count = self.count if isinstance(self.count, int) else self.count(variables)
        beside = self.beside(variables) if callable(self.beside) else _value(self.beside, variables, known)
        return count * (self.each + _value(self.below, variables, known)) + beside


@dataclass(frozen=True, slots=True, eq=False)
class _Sum:
    """A number, and terms that depend on variables."""

    number: float
    terms: tuple["_Term | _Sum", ...]

    def value(self, variables: Variables, known: dict[int, float]) -> float:
        return self.number + sum(_value(term, variables, known) for term in self.terms)


_Expression: TypeAlias = float | _Term | _Sum


def _value(expression: _Expression, variables: Variables, known: dict[int, float]) -> float:
    """The value of an expression; each is added up once, wherever it stands."""
    if isinstance(expression, float):
        return expression
    found = known.get(id(expression))
    if found is None:
        found = known[id(expression)] = min(expression.value(variables, known), _CEILING)
    return found


def _sum(parts: Sequence[_Expression]) -> _Expression:
    number = min(sum((part for part in parts if isinstance(part, float)), 0.0), _CEILING)
    terms = tuple(part for part in parts if not isinstance(part, float))
    return _Sum(number, terms) if terms else number


@dataclass(frozen=True, slots=True)
class _Sized:
    """The lists of a selection set whose size its parent says."""

    names: frozenset[str]
    count: _Count


class CostModel:
    """What operations on a schema cost.

    Args:
        schema: what documents are valid for.
        weights: of its types and fields.
        assumed_list_size: of a list that nothing is said of.
    """

    def __init__(self, schema: GraphQLSchema, weights: Weights, *, assumed_list_size: int = 10) -> None:
        self._schema = schema
        self._weights = weights
        self._assumed = assumed_list_size
        self._costly_inputs = self._find_costly_inputs()

    def expression(self, document: Document, operation: Operation) -> _Expression:
        """The cost of an operation of a valid document.

        Raises:
            CostExceeded: it cannot be told, for a list that has to be sliced is not, or for too deep a nesting.
        """
        root = self._schema.get_root_type(operation.kind)
        if root is None:
            return 0.0
        compiled = _Compiled(self, document, operation)
        try:
            return compiled.selections(operation.node.selection_set, root, None)
        except _Unsliced as error:
            raise CostExceeded(str(error)) from None
        except RecursionError:
            raise CostExceeded("The document is nested too deeply to tell what it costs.") from None

    def weight(self, parent: GraphQLNamedType, name: str, returned: GraphQLNamedType) -> float:
        """Of one item that a field gives."""
        costs = self._weights.costs
        found = [costs[at] for at in self._coordinates(parent, name) if at in costs]
        if found:
            return max(found)
        return costs.get(returned.name, 1.0 if is_composite_type(returned) else 0.0)

    def size(self, parent: GraphQLNamedType, name: str) -> ListSize | None:
        """`@listSize` of a field; through an interface, that of the first type that has one."""
        sizes = self._weights.sizes
        return next((sizes[at] for at in self._coordinates(parent, name) if at in sizes), None)

    @property
    def assumed_list_size(self) -> int:
        """Items of a list that nothing is said of."""
        return self._assumed

    def argument(self, at: str, kind: GraphQLArgument, node: ValueNode) -> "float | Callable[[Variables], float]":
        """The cost of an argument with its value."""
        named = get_named_type(kind.type)
        own = self._weights.costs.get(at, self._weights.costs.get(named.name, 0.0))
        if named.name not in self._costly_inputs:
            return own
        if any(isinstance(each, VariableNode) for each in _nodes(node)):
            return lambda variables: own + self._input(named, value_from_ast_untyped(node, dict(variables)))
        return own + self._input(named, value_from_ast_untyped(node))

    def _input(self, kind: GraphQLNamedType, value: Any) -> float:
        total = 0.0
        pending = [(kind, value)]
        while pending:
            kind, value = pending.pop()
            if isinstance(value, list):
                pending += [(kind, item) for item in value]
            elif isinstance(kind, GraphQLInputObjectType) and isinstance(value, Mapping):
                for name, entry in value.items():
                    if name in kind.fields and entry is not None:
                        below = get_named_type(kind.fields[name].type)
                        costs = self._weights.costs
                        total += costs.get(f"{kind.name}.{name}", costs.get(below.name, 0.0))
                        pending.append((below, entry))
        return total

    def _coordinates(self, parent: GraphQLNamedType, name: str) -> Iterator[str]:
        yield f"{parent.name}.{name}"
        if isinstance(parent, GraphQLInterfaceType):
            for possible in self._schema.get_possible_types(parent):
                yield f"{possible.name}.{name}"

    def _find_costly_inputs(self) -> frozenset[str]:
        """Input types that have a weight somewhere inside."""
        inputs = [kind for kind in self._schema.type_map.values() if isinstance(kind, GraphQLInputObjectType)]
        found: set[str] = set()
        size = -1
        while len(found) > size:
            size = len(found)
            for kind in inputs:
                for name, entry in kind.fields.items():
                    below = get_named_type(entry.type).name
                    if f"{kind.name}.{name}" in self._weights.costs or below in self._weights.costs or below in found:
                        found.add(kind.name)
        return frozenset(found)


class _Compiled:
    """One operation on its way to an expression."""

    def __init__(self, model: CostModel, document: Document, operation: Operation) -> None:
        self._model = model
        self._schema = model._schema  # noqa: SLF001 - its other half
        self._fragments = document.fragments
        self._mutation = self._schema.mutation_type if operation.kind is OperationType.MUTATION else None
        self._defaults = {
            definition.variable.name.value: value_from_ast_untyped(definition.default_value)
            for definition in operation.node.variable_definitions or ()
            if definition.default_value is not None
        }
        self._spread: dict[tuple[str, _Sized | None], _Expression] = {}

    def selections(self, node: SelectionSetNode, parent: GraphQLNamedType, sized: _Sized | None) -> _Expression:
        """What is selected of one object."""
        parts: list[_Expression] = []
        for selection in node.selections:
            if isinstance(selection, FieldNode):
                if not selection.name.value.startswith("__"):
                    parts.append(self._field(selection, parent, sized))
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inside = parent if condition is None else self._schema.type_map[condition.name.value]
                parts.append(self.selections(selection.selection_set, inside, sized))
            elif isinstance(selection, FragmentSpreadNode):
                parts.append(self._fragment(selection.name.value, sized))
        return _sum(parts)

    def _fragment(self, name: str, sized: _Sized | None) -> _Expression:
        key = (name, sized)
        found = self._spread.get(key)
        if found is None:
            fragment = self._fragments[name]
            inside = self._schema.type_map[fragment.type_condition.name.value]
            found = self._spread[key] = self.selections(fragment.selection_set, inside, sized)
        return found

    def _field(self, node: FieldNode, parent: GraphQLNamedType, sized: _Sized | None) -> _Expression:
        name = node.name.value
        definition = _fields(parent)[name]
        returned = get_named_type(definition.type)
        each = self._model.weight(parent, name, returned) + (_MUTATION if parent is self._mutation else 0.0)
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        costs = [
            self._model.argument(f"{parent.name}.{name}({at}:)", definition.args[at], value)
            for at, value in given.items()
        ]
        number = sum((cost for cost in costs if isinstance(cost, float)), 0.0)
        changing = [cost for cost in costs if not isinstance(cost, float)]
        beside = partial(_added, number, changing) if changing else number
        count, below_sized = self._count(node, parent, definition, given, sized)
        below: _Expression = 0.0
        if node.selection_set is not None:
            below = self.selections(node.selection_set, returned, below_sized)
        if isinstance(count, int) and isinstance(below, float) and isinstance(beside, float):
            return min(count * (each + below) + beside, _CEILING)
        return _Term(count, each, below, beside)

    def _count(
        self,
        node: FieldNode,
        parent: GraphQLNamedType,
        definition: GraphQLField,
        given: Mapping[str, ValueNode],
        sized: _Sized | None,
    ) -> tuple[_Count, _Sized | None]:
        """How many items the field gives, and whose size below it says."""
        is_list = is_list_type(get_nullable_type(definition.type))
        rule = self._model.size(parent, node.name.value)
        count: _Count = self._model.assumed_list_size if is_list else 1
        if rule is None:
            if is_list and sized is not None and node.name.value in sized.names:
                count = sized.count
            return count, None
        said = self._sliced(node.name.value, rule, definition, given)
        if rule.sized:
            return count, _Sized(rule.sized, said)
        return said if is_list else count, None

    def _sliced(self, name: str, rule: ListSize, definition: GraphQLField, given: Mapping[str, ValueNode]) -> _Count:
        otherwise = self._model.assumed_list_size if rule.assumed is None else rule.assumed
        if not rule.slicing:
            return otherwise
        slicing = _Slicing(name, rule, otherwise, definition=definition, given=given, defaults=self._defaults)
        return slicing if slicing.changes else slicing({})


class _Slicing:
    """The size of a list by its slicing arguments: the largest of those that are given."""

    def __init__(
        self,
        name: str,
        rule: ListSize,
        otherwise: int,
        *,
        definition: GraphQLField,
        given: Mapping[str, ValueNode],
        defaults: Variables,
    ) -> None:
        self._name = name
        self._rule = rule
        self._otherwise = otherwise
        self._defaults = defaults
        self._given: list[tuple[ValueNode | None, list[str], Any]] = []
        for path in rule.slicing:
            first, *rest = path.split(".")
            argument = definition.args.get(first)
            self._given.append((given.get(first), rest, None if argument is None else _default(argument)))
        self.changes = any(
            isinstance(each, VariableNode) for node, _, _ in self._given if node is not None for each in _nodes(node)
        )

    def __call__(self, variables: Variables) -> int:
        """The size with these variables."""
        known = {**self._defaults, **variables}
        said, implied = [], []
        for node, rest, default in self._given:
            if node is not None and (size := _dug(value_from_ast_untyped(node, known), rest)) is not None:
                said.append(size)
            elif (size := _dug(default, rest)) is not None:
                implied.append(size)
        if self._rule.one and len(said) != 1:
            allowed = ", ".join(self._rule.slicing)
            raise _Unsliced(
                f"The field {self._name} needs exactly one of its arguments {allowed}; {len(said)} are given."
            )
        return max(said or implied or [self._otherwise])


def _default(argument: GraphQLArgument) -> Any:
    """An argument's default, however the schema was made; None where there is none."""
    if argument.default is None:
        return None if argument.default_value is Undefined else argument.default_value
    literal = argument.default.literal
    return argument.default.value if literal is None else value_from_ast_untyped(literal)


def _added(number: float, changing: Sequence[Callable[[Variables], float]], variables: Variables) -> float:
    return number + sum(each(variables) for each in changing)


def _dug(value: Any, path: Sequence[str]) -> int | None:
    """The size that an argument's value says; None where it says none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or isnan(value):
        return None
    return int(min(max(value, 0), _LONGEST))


def _nodes(node: ValueNode) -> Iterator[Node]:
    pending: list[Any] = [node]
    while pending:
        each = pending.pop()
        yield each
        pending += getattr(each, "values", None) or [f.value for f in getattr(each, "fields", None) or ()]


def _fields(parent: GraphQLNamedType) -> Mapping[str, GraphQLField]:
    return {} if isinstance(parent, GraphQLUnionType) else parent.fields  # type: ignore[attr-defined]  # the document is valid


class CostLimit:
    """Refuses, or logs, operations that cost more than they may.

    Args:
        model: tells the cost.
        max_cost: what an operation may cost.
        mode: `enforce` refuses what costs more, `log` says so in the log; None does neither.
        shown: whether the answer tells the cost to who asks for it (`SHOW_HEADER`).
    """

    def __init__(self, model: CostModel, *, max_cost: int, mode: str | None, shown: bool) -> None:
        self._model = model
        self._max_cost = max_cost
        self._mode = mode
        self._shown = shown
        self._log = structlog.get_logger("gateway")

    def admit(self, document: Document, operation: Operation, exchange: Exchange) -> Mapping[str, Any] | None:
        """Return for an operation that may be executed: what `extensions.cost` is to say, if anything.

        Raises:
            CostExceeded: it costs too much, or does not say how much.
        """
        shown = self._shown and bool(exchange.headers.get(SHOW_HEADER))
        if self._mode is None and not shown:
            return None
        try:
            cost = self.cost(document, operation, exchange.params.variables or {})
            if cost > self._max_cost and self._mode is not None:
                raise _exceeded(cost, self._max_cost)
        except CostExceeded as error:
            if self._mode == "enforce":
                raise
            said = {"operation": operation.name, "request_id": exchange.request_id}
            self._log.warning("costly operation", reason=str(error), **said)
            return None if not shown else {"reason": str(error), "max": self._max_cost}
        return {"estimated": _plain(cost), "max": self._max_cost} if shown else None

    def cost(self, document: Document, operation: Operation, variables: Variables) -> float:
        """What an operation costs at most with these variables, which need not be what their types say.

        Raises:
            CostExceeded: it cannot be told.
        """
        kept = document.prepared.setdefault(_KEY, {})
        expression = kept.get(operation.name)
        if expression is None:
            expression = kept[operation.name] = self._compiled(document, operation)
        if isinstance(expression, str):
            raise CostExceeded(expression)
        if isinstance(expression, float):
            return expression
        try:
            return _value(expression, variables, {})
        except _Unsliced as error:
            raise CostExceeded(str(error)) from None

    def _compiled(self, document: Document, operation: Operation) -> _Expression | str:
        """The expression, or why there is none: an error that is kept would keep its frames."""
        try:
            return self._model.expression(document, operation)
        except CostExceeded as error:
            return str(error)


def cost_limit(config: Config, schema: GraphQLSchema, weights: Callable[[], Weights]) -> CostLimit | None:
    """What the configuration says of costs; None where nobody asks for them."""
    limits = config.limits
    if limits.cost is None and not config.development:
        return None
    model = CostModel(schema, weights(), assumed_list_size=limits.assumed_list_size)
    return CostLimit(model, max_cost=limits.max_cost, mode=limits.cost, shown=config.development)


def _exceeded(cost: float, max_cost: int) -> CostExceeded:
    shown = _plain(cost)
    message = f"The operation may cost {shown:,}; max_cost allows {max_cost:,}."
    extensions = {"limit": "max_cost", "cost": shown, "maxCost": max_cost}
    return CostExceeded(errors=[{"message": message, "extensions": extensions}])


def _plain(cost: float) -> int | float:
    return int(cost) if cost.is_integer() else round(cost, 3)
