"""A planned fetch over REST when GraphQL fails: the same answer, out of the bodies of its routes."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clients.call import Answer, Call, ProtocolName, Served, ServedBy
from clients.errors import CircuitOpen, ConnectFailed, MalformedResponse, Rejected, ServerFailed, ServiceUnavailable
from clients.operation import Kind, RestRoute
from clients.policy import BreakerPolicy, CachePolicy, RetryPolicy, ServicePolicy
from clients.service import Service
from clients.state.circuit import State
from clients.stores.memory import MemoryStore
from clients.subgraph import SubgraphOperation, subgraph_operation
from clients.transports import PyreqwestWire
from clients.upstream import Upstream
from tests.clients.support import CALLER
from tests.testkit.clock import ManualClock
from tests.testkit.ports import bound_port
from tests.testkit.serve import serve
from tests.testkit.waiting import until_true

ENTITIES = "query ($r: [_Any!]!) { _entities(representations: $r) { %s } }"
SLOT = (("_entities", "r"),)


class Shop:
    """A subgraph whose answers are set by hand.

    Attributes:
        graphql: status and body of every GraphQL answer.
        bodies: by path and query, the body of a REST answer (bytes as they are), or its status; unknown paths are 404.
        asked: the REST calls, in order of arrival.
    """

    def __init__(self, bodies: Mapping[str, Any]) -> None:
        self.graphql: tuple[int, Any] = (500, {"error": "broken"})
        self.bodies = dict(bodies)
        self.asked: list[str] = []
        self.documents = 0
        self.running = self.peak = 0
        self.held: asyncio.Event | None = None
        self.app = Starlette(
            routes=[
                Route("/graphql", self._graphql, methods=["POST"]),
                Route("/api/{path:path}", self._rest, methods=["GET", "POST"]),
            ]
        )

    async def _graphql(self, _: Request) -> Response:
        self.documents += 1
        return JSONResponse(self.graphql[1], self.graphql[0])

    async def _rest(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/api")
        path += f"?{request.url.query}" if request.url.query else ""
        sent = await request.body()
        self.asked.append(path if not sent else f"{request.method} {path} {sent.decode()}")
        self.running += 1
        self.peak = max(self.peak, self.running)
        if self.held is not None:
            await self.held.wait()
        self.running -= 1
        body = self.bodies.get(path, 404)
        if isinstance(body, Response):
            return body
        if isinstance(body, bytes):
            return Response(body, media_type="application/json")
        return Response(status_code=body) if isinstance(body, int) else JSONResponse(body)


class Rig:
    """The shop and the pipeline in front of it."""

    def __init__(self, shop: Shop, upstream: Upstream) -> None:
        self.shop = shop
        self.upstream = upstream

    async def ask(self, document: str, **variables: Any) -> Answer:
        """A fetch of root fields."""
        kind = Kind.MUTATION if document.startswith("mutation") else Kind.QUERY
        return await self.upstream.execute(Call(subgraph_operation("shop", kind, document, kind), variables, CALLER))

    async def entities(self, operation: SubgraphOperation, *keys: tuple[int, dict[str, Any]]) -> Answer:
        """A fetch of entities: slot and representation of each."""
        return await self.upstream.execute(Call(operation, {}, CALLER).for_keys(keys))

    def circuit(self, protocol: ProtocolName) -> State:
        return self.upstream.status().circuits[protocol].state


@asynccontextmanager
async def rig(
    routes: Mapping[str, str],
    bodies: Mapping[str, Any],
    *,
    breaker: BreakerPolicy | None = None,
    cache: CachePolicy | None = None,
    graphql: str | None = None,
) -> AsyncIterator[Rig]:
    shop, clock, wire = Shop(bodies), ManualClock(), PyreqwestWire()
    policy = ServicePolicy(
        retry=RetryPolicy(attempts=1),
        breaker=breaker or BreakerPolicy(failures=1000),
        cache=cache or CachePolicy(max_age_s=0, stale_if_error_s=0),
    )
    async with serve(shop.app) as server:
        service = Service(
            "shop",
            policy,
            graphql=graphql or f"{server.url}/graphql",
            rest=f"{server.url}/api",
            routes={name: RestRoute.parse(route) for name, route in routes.items()},
        )
        store = MemoryStore(1000, 1_000_000, clock)
        try:
            async with Upstream(service, wire, store, clock=clock, random=random.Random(42)) as upstream:
                yield Rig(shop, upstream)
        finally:
            await wire.aclose()


def products(selection: str, *, slots: Sequence[tuple[str, str]] = SLOT, **types: frozenset[str]) -> SubgraphOperation:
    return subgraph_operation(
        "shop",
        "_entities",
        ENTITIES % selection,
        Kind.QUERY,
        slots,
        possible_types=lambda name: types.get(name, frozenset({name})),
    )


def product(upc: str | int, **more: Any) -> tuple[int, dict[str, Any]]:
    return 0, {"__typename": "Product", "upc": upc, **more}


def read(answer: Answer) -> Any:
    if isinstance(answer.value, bytes):
        return json.loads(answer.value)
    return [json.loads(value) if isinstance(value, bytes) else value for value in answer.value]


ROOTS = {"Query.products": "GET /products{?first,kind}", "Query.product": "GET /products/{upc}"}
ANCHOR = {"upc": "p1", "name": "Anchor", "maker": {"name": "Iron & Sons", "towns": [{"name": "Leith"}]}, "extra": 1}
LIST = {"Product": "GET /products{?upcs}"}
ONE = {"Product": "GET /products/{upc}"}
NAMES = products("... on Product { upc name }")


async def test_root_fields_fill_their_routes_and_are_cut_to_the_selection_set() -> None:
    async with rig(ROOTS, {"/products?first=2&kind=HEAVY": [ANCHOR], "/products/p1": ANCHOR}) as made:
        answer = await made.ask(
            "query ($n: Int = 2, $upc: ID!) { many: products(first: $n, kind: HEAVY) { title: name upc }"
            " product(upc: $upc) { maker { name towns { name area } } none } }",
            upc="p1",
        )
    assert read(answer) == {
        "many": [{"title": "Anchor", "upc": "p1"}],
        "product": {"maker": {"name": "Iron & Sons", "towns": [{"name": "Leith", "area": None}]}, "none": None},
    }
    assert list(read(answer)) == ["many", "product"]
    assert answer.served == Served(ServedBy.REST, "UPSTREAM_SERVER_ERROR")
    assert answer.size > 0


async def test_what_is_skipped_is_not_asked_for_and_equal_keys_are_joined() -> None:
    document = (
        "query ($on: Boolean!) { product(upc: 1) { name } ...P products @skip(if: $on) { upc }"
        " none: products @include(if: false) { upc } __typename }"
        " fragment P on Query { product(upc: 1) { upc @include(if: $on) maker { name } } }"
    )
    async with rig(ROOTS, {"/products/1": ANCHOR}) as made:
        answer = await made.ask(document, on=True)
        assert made.shop.asked == ["/products/1"]
    assert read(answer) == {
        "product": {"name": "Anchor", "upc": "p1", "maker": {"name": "Iron & Sons"}},
        "__typename": "Query",
    }


async def test_not_found_and_no_content_are_null() -> None:
    async with rig(ROOTS, {"/products/a": 204}) as made:
        answer = await made.ask('{ a: product(upc: "a") { name } b: product(upc: "b") { name } }')
    assert read(answer) == {"a": None, "b": None}


@pytest.mark.parametrize(
    "document",
    [
        "{ products { upc } reviews { id } }",
        "{ products(after: 1) { upc } }",
        "{ products { upc price(currency: EUR) } }",
    ],
    ids=["a field without a route", "an argument that the route does not carry", "arguments below the root"],
)
async def test_what_the_routes_cannot_answer_stays_with_graphql(document: str) -> None:
    async with rig(ROOTS, {"/products": [ANCHOR]}) as made:
        with pytest.raises(ServerFailed, match="GraphQL query answered 500"):
            await made.ask(document)
        assert made.shop.asked == []


async def test_entities_are_asked_for_together_and_matched_by_their_key() -> None:
    rows = [{"upc": 2, "name": "Barometer"}, None, ANCHOR, {"upc": "p9", "name": "not asked for"}]
    async with rig(LIST, {"/products?upcs=p1,x,2": rows}) as made:
        answer = await made.entities(NAMES, product("p1"), product("x"), product(2), product("p1"))
        assert made.shop.asked == ["/products?upcs=p1,x,2"]
    assert read(answer) == [
        {"upc": "p1", "name": "Anchor"},
        None,
        {"upc": 2, "name": "Barometer"},
        {"upc": "p1", "name": "Anchor"},
    ]
    assert answer.served.by is ServedBy.REST


async def test_an_entity_of_two_slots_is_asked_for_once_and_cut_twice() -> None:
    operation = subgraph_operation(
        "shop",
        "_entities",
        "query ($r: [_Any!]!, $s: [_Any!]!) { _entities(representations: $r) { ... on Product { name } }"
        " b: _entities(representations: $s) { ...P } } fragment P on Product { upc }",
        Kind.QUERY,
        [("_entities", "r"), ("b", "s")],
    )
    async with rig(LIST, {"/products?upcs=p1": [ANCHOR]}) as made:
        answer = await made.entities(operation, product("p1"), (1, product("p1")[1]))
        assert made.shop.asked == ["/products?upcs=p1"]
    assert read(answer) == [{"name": "Anchor"}, {"upc": "p1"}]


async def test_more_than_a_hundred_entities_are_asked_for_in_several_calls() -> None:
    upcs = [f"p{n}" for n in range(150)]
    bodies = {f"/products?upcs={','.join(part)}": [{"upc": upc} for upc in part] for part in (upcs[:100], upcs[100:])}
    async with rig(LIST, bodies) as made:
        answer = await made.entities(products("... on Product { upc }"), *(product(upc) for upc in upcs))
    assert read(answer) == [{"upc": upc} for upc in upcs]


async def test_each_entity_by_itself_when_the_path_has_its_key() -> None:
    async with rig(ONE, {"/products/p1": ANCHOR, "/products/p2": 403}) as made:
        answer = await made.entities(NAMES, product("p1"), product("p2"), product("x"), product(".."))
        assert sorted(made.shop.asked) == ["/products/p1", "/products/p2", "/products/x"]
    first, refused, absent, unfit = read(answer)
    assert (first, absent) == ({"upc": "p1", "name": "Anchor"}, None)
    assert isinstance(refused, Rejected)
    assert refused.status == 403
    assert unfit.code == "UPSTREAM_INVALID_VARIABLES"


async def test_of_entities_asked_for_by_themselves_some_are_in_flight_at_a_time() -> None:
    upcs = [f"p{n}" for n in range(20)]
    async with rig(ONE, {f"/products/{upc}": {"upc": upc} for upc in upcs}) as made:
        made.shop.held = asyncio.Event()
        asking = asyncio.create_task(made.entities(NAMES, *(product(upc) for upc in upcs)))
        await until_true(lambda: made.shop.running == 8, "eight calls")
        made.shop.held.set()
        answer = await asking
        assert made.shop.peak == 8
    assert [row["upc"] for row in read(answer)] == upcs


async def test_one_failure_fails_the_attempt_as_it_is() -> None:
    async with rig(ONE, {"/products/p1": ANCHOR, "/products/p2": 503}) as made:
        with pytest.raises(ServiceUnavailable) as caught:
            await made.entities(NAMES, product("p1"), product("p2"))
    assert [cause.message for cause in caught.value.causes] == [
        "shop: GraphQL _entities answered 500",
        "shop: REST GET /products/{upc} answered 503",
    ]


@pytest.mark.parametrize(
    "representation",
    [
        {"__typename": "Product", "upc": "p1", "weight": 3},
        {"__typename": "Product", "maker": {"id": "1"}},
        {"__typename": "Product", "upc": None},
        {"__typename": "Product"},
        {"__typename": "Review", "id": "r1"},
    ],
    ids=["more than its key", "a nested key", "no key's value", "no key", "a type without a route"],
)
async def test_entities_that_no_route_can_ask_for_stay_with_graphql(representation: dict[str, Any]) -> None:
    async with rig(LIST, {}) as made:
        with pytest.raises(ServerFailed, match="GraphQL _entities answered 500"):
            await made.entities(NAMES, product("p1"), (0, representation))
        assert made.shop.asked == []


async def test_arguments_below_an_entity_stay_with_graphql() -> None:
    async with rig(LIST, {}) as made:
        with pytest.raises(ServerFailed):
            await made.entities(products("... on Product { price(currency: EUR) }"), product("p1"))
        assert made.shop.asked == []


FRAGMENTS = "__typename ... on Product { a: upc } ... on Sized { b: upc } ... on Review { c: upc } ... { d: upc }"


@pytest.mark.parametrize(
    ("said", "kept"),
    [({}, "abd"), ({"__typename": "Review"}, "cd"), ({"__typename": "Product"}, "abd")],
    ids=["the representation's type", "the body's type", "both"],
)
async def test_fragments_go_by_type(said: dict[str, str], kept: str) -> None:
    async with rig(LIST, {"/products?upcs=p1": [{"upc": "p1", **said}]}) as made:
        operation = products(FRAGMENTS, Sized=frozenset({"Product", "Parcel"}))
        (row,) = read(await made.entities(operation, product("p1")))
    assert row == {"__typename": said.get("__typename", "Product"), **dict.fromkeys(kept, "p1")}


async def test_fragments_on_what_has_no_type_all_apply_and_no_type_is_made_up() -> None:
    async with rig(ROOTS, {"/products": [{"upc": "p1"}]}) as made:
        answer = await made.ask("{ products { __typename ... on Product { a: upc } ... on Review { c: id } } }")
    assert read(answer) == {"products": [{"a": "p1", "c": None}]}


@pytest.mark.parametrize(
    ("routes", "bodies", "message"),
    [
        (LIST, {"/products?upcs=p1": {"upc": "p1"}}, "expected a list, found dict"),
        (LIST, {"/products?upcs=p1": [{"name": "?"}]}, r"a row lacks the key it is matched by \(upc\)"),
        (LIST, {"/products?upcs=p1": ["p1"]}, "a row lacks the key"),
        (ONE, {"/products/p1": [ANCHOR]}, "expected an object, found list"),
        (ONE, {"/products/p1": {"upc": "p1", "maker": "Iron"}}, "maker: expected an object, found str"),
    ],
)
async def test_a_body_out_of_shape_is_named(routes: dict[str, str], bodies: dict[str, Any], message: str) -> None:
    async with rig(routes, bodies) as made:
        with pytest.raises(ServiceUnavailable, match=message) as caught:
            await made.entities(products("... on Product { maker { name } }"), product("p1"))
    assert isinstance(caught.value.causes[1], MalformedResponse)


@pytest.mark.parametrize("depth", [600, 100_000], ids=["too deep to cut", "too deep to read"])
async def test_a_body_nested_without_end_is_out_of_shape(depth: int) -> None:
    async with rig(ROOTS, {"/products": b"[" * depth + b"]" * depth}) as made:
        with pytest.raises(ServiceUnavailable, match=r"out of shape: .*recursion") as caught:
            await made.ask("{ products { upc } }")
    assert isinstance(caught.value.causes[1], MalformedResponse)


async def test_each_protocol_has_its_own_circuit() -> None:
    async with rig(ROOTS | LIST, {"/products/p1": ANCHOR}, breaker=BreakerPolicy(failures=2)) as made:
        for _ in range(3):
            answer = await made.ask('{ product(upc: "p1") { name } }')
        assert answer.served == Served(ServedBy.REST, CircuitOpen.code)
        assert (made.shop.documents, len(made.shop.asked)) == (2, 3)
        assert [made.circuit(protocol) for protocol in ProtocolName] == [State.OPEN, State.CLOSED]
        made.shop.bodies = {"/products?upcs=p1": 500}
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await made.entities(NAMES, product("p1"))
        assert [made.circuit(protocol) for protocol in ProtocolName] == [State.OPEN, State.OPEN]


async def test_what_rest_gave_stands_in_stale_when_both_fail() -> None:
    cache = CachePolicy(max_age_s=0, stale_if_error_s=60)
    async with rig(ROOTS | LIST, {"/products/p1": ANCHOR, "/products?upcs=p1": [ANCHOR]}, cache=cache) as made:
        good = [await made.ask('{ product(upc: "p1") { name } }'), await made.entities(NAMES, product("p1"))]
        made.shop.bodies = {"/products/p1": 500, "/products?upcs=p1": 500}
        stale = [await made.ask('{ product(upc: "p1") { name } }'), await made.entities(NAMES, product("p1"))]
    assert [read(answer) for answer in stale] == [read(answer) for answer in good]
    assert stale[0].served.by is ServedBy.STALE
    assert stale[1].served_row(0) == Served(ServedBy.STALE, "SERVICE_UNAVAILABLE", 0.0)


async def test_a_fetch_of_several_bodies_is_kept_as_long_as_all_of_them_may_be() -> None:
    lasting = JSONResponse(ANCHOR, headers={"cache-control": "max-age=60"})
    hurried = JSONResponse(ANCHOR, headers={"cache-control": "max-age=10, no-store"})
    cache = CachePolicy(max_age_s=60, stale_if_error_s=60)
    async with rig(ROOTS | LIST, {"/products/p1": lasting, "/products/p2": hurried}, cache=cache) as made:
        for document, by in (
            ('{ a: product(upc: "p1") { name } b: product(upc: "p1") { name } }', ServedBy.FRESH),
            ('{ a: product(upc: "p1") { name } b: product(upc: "p2") { name } }', ServedBy.REST),
        ):
            await made.ask(document)
            assert (await made.ask(document)).served.by is by


MUTATIONS = {"Mutation.sell": "POST /sales/{upc}"}
SELL = 'mutation ($n: Int!) { sell(upc: "p1", count: $n) { upc } }'


async def test_a_mutation_goes_on_to_rest_when_nothing_reached_the_upstream() -> None:
    with bound_port() as port:
        async with rig(MUTATIONS, {"/sales/p1": ANCHOR}, graphql=f"http://127.0.0.1:{port}/graphql") as made:
            answer = await made.ask(SELL, n=2)
            assert made.shop.asked == ['POST /sales/p1 {"count":2}']
    assert read(answer) == {"sell": {"upc": "p1"}}


async def test_a_mutation_that_may_have_been_acted_on_does_not() -> None:
    async with rig(MUTATIONS, {"/sales/p1": ANCHOR}) as made:
        with pytest.raises(ServerFailed, match="GraphQL mutation answered 500"):
            await made.ask(SELL, n=2)
        assert made.shop.asked == []


async def test_a_mutation_of_several_fields_does_not() -> None:
    with bound_port() as port:
        async with rig(MUTATIONS, {}, graphql=f"http://127.0.0.1:{port}/graphql") as made:
            with pytest.raises(ConnectFailed):
                await made.ask('mutation { a: sell(upc: "1") { upc } b: sell(upc: "2") { upc } }')
            assert made.shop.asked == []


async def test_a_refused_mutation_is_no_missing_row() -> None:
    with bound_port() as port:
        async with rig(MUTATIONS, {}, graphql=f"http://127.0.0.1:{port}/graphql") as made:
            with pytest.raises(Rejected, match=r"/sales/.* answered 404"):
                await made.ask(SELL, n=2)
