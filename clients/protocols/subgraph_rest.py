"""A planned fetch over REST: each root field, and each type of entity, by a route of its own.

The bodies are cut to the selection sets and put together to the answer that GraphQL would have given.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import msgspec
from graphql import (
    FragmentDefinitionNode,
    OperationDefinitionNode,
    Undefined,
    parse,
    value_from_ast_untyped,
)

from clients.call import AS_POLICY, Answer, Call, Keep, Served, ServedBy
from clients.errors import MalformedResponse, Rejected, UpstreamError
from clients.operation import Kind, RestRoute
from clients.protocols.projection import NotProjectable, Selected, SelectionReader, merged, project, wanted
from clients.protocols.reported import without_values
from clients.service import Service
from clients.subgraph import EntityBatch, SubgraphOperation

_AT_ONCE = 8  # calls of one fetch in flight: REST asks once a field or entity where GraphQL asked once for all
_KEYS_IN_CALL = 100  # as operations that are declared; a URL of more may be refused for its length
_ROOTS = {Kind.QUERY: "Query", Kind.MUTATION: "Mutation"}
_Asked = TypeVar("_Asked")
_Given = TypeVar("_Given")
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Tally:
    """What the bodies of one fetch have in common.

    Attributes:
        size: bytes of all of them.
        keep: how long the answer made of them may be kept, which is as long as all of them may; None: not at all.
    """

    size: int = 0
    keep: Keep | None = AS_POLICY

    def add(self, size: int, keep: Keep | None) -> None:
        """Count a body in."""
        self.size += size
        self.keep = None if self.keep is None or keep is None else self.keep.and_(keep)


Fetch = Callable[[Call, RestRoute, Mapping[str, Any], Tally], Awaitable[Any]]
"""Fills a route, and gives the body, decoded; None when there is no such thing. Counts it in the tally."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a planned operation goes over REST.

    Attributes:
        roots: the root fields; none for entities.
        slots: the selection set of each `_entities` field, in the order of the batch's slots.
        defaults: of the document's variables.
    """

    roots: tuple[Selected, ...]
    slots: tuple[tuple[Selected, ...], ...]
    defaults: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Entity:
    """Which entity a representation means: its type, its key's field, and the key."""

    type_name: str
    field: str
    key: str | int

    @property
    def normal(self) -> tuple[str, str]:
        """Comparable: upstreams differ over 1 and "1"."""
        return self.type_name, str(self.key)


def has_rest_way(service: Service, operation: SubgraphOperation) -> bool:
    """Whether the operation can go over the service's routes; of entities, whether any can (see `carries`)."""
    return service.rest is not None and bool(service.routes) and _find_way(service, operation) is not None


def carries(service: Service, call: Call) -> bool:
    """Whether the routes carry this very call: each of its entities has one, and is asked for by one plain key."""
    if not isinstance(call.operation.batch, EntityBatch) or call.keys is None:
        return True
    entities = [_entity(representation) for _, representation in call.keys]
    routes = [service.routes.get(entity.type_name) if entity else None for entity in entities]
    return all(route is not None and len(route.variables) == 1 for route in routes)


def key_of_one(route: RestRoute) -> str | None:
    """The route's only variable when it stands in the path, as that of a route for one entity does."""
    if len(route.variables) != 1:
        return None
    (name,) = route.variables
    return name if name in route.path_variables else None


class SubgraphRest:
    """Answers planned fetches over a service's routes.

    Args:
        service: has the routes.
        fetch: see there.
    """

    def __init__(self, service: Service, fetch: Fetch) -> None:
        self._service = service
        self._fetch = fetch
        self._ways: WeakKeyDictionary[SubgraphOperation, _Way] = WeakKeyDictionary()

    async def __call__(self, call: Call, operation: SubgraphOperation) -> Answer:
        """Make one attempt: as many calls as it takes, some at a time. The first that fails ends the others.

        Raises:
            UpstreamError: as a single call does; an entity that is asked for by itself and refused fails by itself.
        """
        way = self._ways.get(operation) or self._compile(operation)
        variables = {**way.defaults, **call.variables}
        if isinstance(operation.batch, EntityBatch) and call.keys is not None:
            return await self._entities(call, call.keys, way, variables)
        return await self._roots(call, way, variables)

    async def _roots(self, call: Call, way: _Way, variables: Mapping[str, Any]) -> Answer:
        root = _ROOTS[call.operation.kind]
        asked = wanted(way.roots, variables)

        tally = Tally()

        async def ask(fields: Sequence[Selected]) -> Any:
            field = fields[0]
            if field.name == "__typename":
                return root
            route = self._service.routes[f"{root}.{field.name}"]
            given = {name: value_from_ast_untyped(node, dict(variables)) for name, node in field.arguments}
            body = await self._fetch(call, route, {n: v for n, v in given.items() if v is not Undefined}, tally)
            below = merged(fields)
            return body if below is None else self._cut(route, below, body, variables, None)

        answers = await _some_at_a_time(ask, asked.values())
        data = dict(zip(asked, answers, strict=True))
        return Answer(_encode(data), Served(ServedBy.REST), size=tally.size, keep=tally.keep)

    async def _entities(self, call: Call, keys: Sequence[Any], way: _Way, variables: Mapping[str, Any]) -> Answer:
        entities = [_required(_entity(representation)) for _, representation in keys]
        rows: dict[tuple[str, str], Any] = {}
        tally = Tally()

        async def ask(asked: Sequence[_Entity]) -> None:
            rows.update(await self._ask(call, self._service.routes[asked[0].type_name], asked, tally))

        await _some_at_a_time(ask, _calls(self._service, entities))
        values: list[Any] = []
        for (slot, _), entity in zip(keys, entities, strict=True):
            row = rows.get(entity.normal)
            if row is None or isinstance(row, UpstreamError):
                values.append(row)
                continue
            route = self._service.routes[entity.type_name]
            values.append(_encode(self._cut(route, way.slots[slot], row, variables, entity.type_name)))
        return Answer(values, Served(ServedBy.REST), size=tally.size, keep=tally.keep)

    async def _ask(
        self, call: Call, route: RestRoute, asked: Sequence[_Entity], tally: Tally
    ) -> dict[tuple[str, str], Any]:
        """The rows of one call's entities."""
        (variable,) = route.variables
        if _one_by_one(route, asked[0]):
            (entity,) = asked
            try:
                row = await self._fetch(call, route, {variable: entity.key}, tally)
            except Rejected as refusal:
                return {entity.normal: refusal}
            if row is not None and not isinstance(row, dict):
                raise self._out_of_shape(route, f"expected an object, found {type(row).__name__}")
            return {entity.normal: row}
        body = await self._fetch(call, route, {variable: [entity.key for entity in asked]}, tally)
        if body is None:
            return {}
        if not isinstance(body, list):
            raise self._out_of_shape(route, f"expected a list, found {type(body).__name__}")
        rows = {}
        for row in body:
            if row is None:
                continue
            if not isinstance(row, dict) or (key := row.get(asked[0].field)) is None:
                raise self._out_of_shape(route, f"a row lacks the key it is matched by ({asked[0].field})")
            rows[asked[0].type_name, str(key)] = row
        return rows

    def _cut(
        self,
        route: RestRoute,
        selections: Sequence[Selected],
        body: Any,
        variables: Mapping[str, Any],
        type_name: str | None,
    ) -> Any:
        try:
            return project(selections, body, variables, type_name)
        except (msgspec.ValidationError, RecursionError) as error:
            raise self._out_of_shape(route, without_values(error)) from error

    def _out_of_shape(self, route: RestRoute, why: str) -> MalformedResponse:
        return MalformedResponse(self._service.name, f"REST {route}: the answer is out of shape: {why}")

    def _compile(self, operation: SubgraphOperation) -> _Way:
        way = _find_way(self._service, operation)
        if way is None:
            raise TypeError(f"{operation.name} has no REST way")
        self._ways[operation] = way
        return way


def _find_way(service: Service, operation: SubgraphOperation) -> _Way | None:
    """How the operation goes over REST; None when it does not."""
    if operation.graphql is None:
        return None
    document = parse(operation.graphql.text, no_location=True)
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    (definition,) = (d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    reader = SelectionReader(fragments, operation.possible_types)
    defaults = {
        d.variable.name.value: value_from_ast_untyped(d.default_value)
        for d in definition.variable_definitions or ()
        if d.default_value is not None
    }
    try:
        roots = reader.root(definition.selection_set)
    except NotProjectable:
        return None
    if isinstance(operation.batch, EntityBatch):
        below = {field.key: field.below or () for field in roots}
        return _Way((), tuple(below[key] for key, _ in operation.batch.slots), defaults)
    several = len({field.key for field in roots}) > 1
    if operation.kind is Kind.MUTATION and several:  # what one of them did could not be told when another failed
        return None
    return _Way(roots, (), defaults) if all(_is_routed(service, operation.kind, field) for field in roots) else None


def _is_routed(service: Service, kind: Kind, field: Selected) -> bool:
    """Whether a root field has a route that carries every argument it is given."""
    if field.name == "__typename":
        return True
    route = service.routes.get(f"{_ROOTS[kind]}.{field.name}")
    return route is not None and (route.has_body or all(name in route.variables for name, _ in field.arguments))


def _entity(representation: Mapping[str, Any]) -> _Entity | None:
    """The entity of a representation; None when it has more than a type and one plain key."""
    type_name = representation.get("__typename")
    fields = [(name, value) for name, value in representation.items() if name != "__typename"]
    if not isinstance(type_name, str) or len(fields) != 1:
        return None
    ((name, key),) = fields
    return _Entity(type_name, name, key) if isinstance(key, str | int) and not isinstance(key, bool) else None


def _required(entity: _Entity | None) -> _Entity:
    if entity is None:
        raise TypeError("a representation without one plain key; `carries` says so beforehand")
    return entity


def _one_by_one(route: RestRoute, entity: _Entity) -> bool:
    return key_of_one(route) == entity.field


def _calls(service: Service, entities: Iterable[_Entity]) -> list[list[_Entity]]:
    """Each entity once, in the groups that one call asks for."""
    groups: dict[tuple[str, str], list[_Entity]] = {}
    for entity in {entity.normal: entity for entity in entities}.values():
        groups.setdefault((entity.type_name, entity.field), []).append(entity)
    calls = []
    for group in groups.values():
        size = 1 if _one_by_one(service.routes[group[0].type_name], group[0]) else _KEYS_IN_CALL
        calls += [group[i : i + size] for i in range(0, len(group), size)]
    return calls


async def _some_at_a_time(ask: Callable[[_Asked], Awaitable[_Given]], questions: Iterable[_Asked]) -> list[_Given]:
    """One answer a question, in their order. The first failure ends the rest and is raised as it is."""
    left = enumerate(questions)
    given: dict[int, _Given] = {}

    async def work() -> None:
        for index, question in left:
            given[index] = await ask(question)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())
    except BaseExceptionGroup as failed:
        first = failed.exceptions[0]
        raise first from first.__cause__
    return [given[index] for index in sorted(given)]
