"""One world of objects, served by strict in-memory subgraphs and by a monolith.

Objects are dicts with ``__typename`` that refer to each other directly. A subgraph resolves what the supergraph says it
resolves and raises on anything else, so a plan that asks the wrong subgraph fails loudly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    assert_valid_schema,
    build_schema,
    graphql_sync,
    parse,
    validate,
)

from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from gateway.federation.supergraph import FieldSet, Model, derive_api_schema
from gateway.federation.supergraph.field_sets import narrow
from tests.federation.kit.supergraphs import subgraph_sdl

Object = dict[str, Any]
Computed = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]


@dataclass
class World:
    """What there is.

    Attributes:
        root: values of root fields, or functions of their arguments.
        entities: all objects that subgraphs can be asked for.
        computed: ``Type.field`` to a function of the object (in a subgraph: of the representation, where there is one)
            and the arguments.
    """

    root: Mapping[str, Any]
    entities: list[Object] = field(default_factory=list)
    computed: Mapping[str, Computed] = field(default_factory=dict)


@dataclass(frozen=True)
class Thing:
    """An object on its way through a schema: what was sent to identify it, and what its route provides."""

    data: Object
    sent: Object | None = None
    view: FieldSet = ()


class WorldFetcher:
    """Subgraphs of a model over a world. ``requests`` logs what they were asked; documents must be valid.

    Args:
        answers: by subgraph, replaces its answer: a response, an error to raise, or a function of both.
    """

    def __init__(
        self,
        model: Model,
        world: World,
        labels: frozenset[str] = frozenset(),
        answers: Mapping[str, Callable[[SubgraphRequest, SubgraphResponse], SubgraphResponse]] | None = None,
    ) -> None:
        self.model = model
        self.world = world
        self.labels = labels
        self.answers = answers or {}
        self.requests: list[SubgraphRequest] = []
        self._graphs = {subgraph.name: graph for graph, subgraph in model.subgraphs.items()}
        self.schemas = {graph: _subgraph_schema(model, graph) for graph in model.subgraphs}

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        self.requests.append(request)
        response = self._answer(request)
        change = self.answers.get(request.subgraph)
        return change(request, response) if change else response

    def _answer(self, request: SubgraphRequest) -> SubgraphResponse:
        graph = self._graphs[request.subgraph]
        schema = self.schemas[graph]
        problems = validate(schema, parse(request.document))
        if problems:
            raise FetchFailed(request.subgraph, f"{problems[0].message} in {request.document}", "INVALID_DOCUMENT")
        result = graphql_sync(
            schema,
            request.document,
            Thing({}),
            variable_values=dict(request.variables),
            operation_name=request.operation_name,
            field_resolver=_Resolver(self.model, self.world, graph, self.labels),
            type_resolver=_type_of,
        )
        return SubgraphResponse(result.data, [error.formatted for error in result.errors or ()])


def monolith(
    model: Model,
    world: World,
    document: str,
    variables: Mapping[str, Any] | None = None,
    before: Callable[[GraphQLResolveInfo[Any]], None] = lambda _info: None,
) -> Any:
    """The answer of one server that has everything. ``before`` is called before each field, and may raise."""
    resolve = _Resolver(model, world, None, frozenset())

    def resolver(thing: Thing, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        before(info)
        return resolve(thing, info, **arguments)

    return graphql_sync(
        derive_api_schema(model),
        document,
        Thing({}),
        variable_values=dict(variables or {}),
        field_resolver=resolver,
        type_resolver=_type_of,
    )


def _subgraph_schema(model: Model, graph: str) -> GraphQLSchema:
    schema = build_schema(subgraph_sdl(model, graph))
    assert_valid_schema(schema)
    return schema


def _type_of(thing: Thing, info: GraphQLResolveInfo[Any], _type: GraphQLAbstractType) -> str:
    if thing.sent is not None and thing.sent["__typename"] in info.schema.type_map:
        asked = info.schema.type_map[thing.sent["__typename"]]
        if not isinstance(asked, GraphQLAbstractType):
            return str(thing.sent["__typename"])  # an interface object answers as itself
    return str(thing.data["__typename"])


class _Resolver:
    def __init__(self, model: Model, world: World, graph: str | None, labels: frozenset[str]) -> None:
        self.model = model
        self.world = world
        self.graph = graph
        self.labels = labels

    def __call__(self, thing: Thing, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        name, type_name = info.field_name, info.parent_type.name
        if name == "_entities":
            return [self._entity(sent) for sent in arguments["representations"]]
        view: FieldSet = ()
        if self.graph is not None:
            view = self._view(thing, type_name, name)
        if type_name in self.model.roots.values():
            value = self.world.root[name]
            value = value(**arguments) if callable(value) else value
        elif computed := self.world.computed.get(f"{thing.data['__typename']}.{name}"):
            value = computed(thing.sent or thing.data if self._requires(type_name, name) else thing.data, arguments)
        else:
            value = thing.data[name]
        return _wrapped(value, view)

    def _requires(self, type_name: str, name: str) -> bool:
        local = self.model.local(type_name, self.graph, name) if self.graph else None
        return bool(local and local.requires)

    def _view(self, thing: Thing, type_name: str, name: str) -> FieldSet:
        """What the field provides; raises when this subgraph does not resolve it here."""
        assert self.graph is not None
        local = self.model.local(type_name, self.graph, name)
        assert local is not None
        provided = [each for each in narrow(thing.view, thing.data.get("__typename", "")) if each.name == name]
        active = local.label is None or (local.label[0] in self.labels) == local.label[1]
        if not provided and not (local.resolvable and active):
            msg = f"{self.graph} does not resolve {type_name}.{name}"
            raise GraphQLError(msg)
        if local.requires and (thing.sent is None or any(each.name not in thing.sent for each in local.requires)):
            msg = f"{self.graph} needs more to resolve {type_name}.{name}"
            raise GraphQLError(msg)
        return local.provides + tuple(child for each in provided for child in each.selections)

    def _entity(self, sent: Object) -> Thing | None:
        assert self.graph is not None
        type_name = sent["__typename"]
        wanted = self.model.possible_types(type_name)
        for key in self.model.types[type_name].keys[self.graph]:
            if key.resolvable and _has(sent, key.fields):
                for entity in self.world.entities:
                    if entity["__typename"] in wanted and _matches(entity, sent, key.fields):
                        return Thing(entity, sent)
                return None
        msg = f"{self.graph} knows no key in {sent}"
        raise GraphQLError(msg)


def _wrapped(value: Any, view: FieldSet) -> Any:
    if isinstance(value, list):
        return [_wrapped(item, view) for item in value]
    if isinstance(value, dict) and "__typename" in value:
        return Thing(value, None, view)
    return value


def _has(sent: Any, key: FieldSet) -> bool:
    if isinstance(sent, list):
        return all(_has(item, key) for item in sent)
    return isinstance(sent, dict) and all(
        each.name in sent and (not each.selections or _has(sent[each.name], each.selections)) for each in key
    )


def _matches(entity: Any, sent: Any, key: FieldSet) -> bool:
    if isinstance(sent, list):
        return len(entity) == len(sent) and all(
            _matches(left, right, key) for left, right in zip(entity, sent, strict=True)
        )
    for each in key:
        if each.selections:
            if not _matches(entity[each.name], sent[each.name], each.selections):
                return False
        elif entity[each.name] != sent[each.name]:
            return False
    return True
