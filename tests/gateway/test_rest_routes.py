"""A subgraph's REST routes: held against the supergraph at start, and used when its GraphQL fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from clients.clock import SystemClock
from clients.operation import RestRoute
from demo.faults import Fault, Mode
from demo.products import products_schema
from demo.reviews import reviews_schema
from demo.run import ANY_PORTS, Demo, serve_demo
from gateway.app import create_app
from gateway.cli import main
from gateway.config import ConfigError, load, parse
from gateway.federation.composition import Subgraph, compose
from gateway.federation.rest_routes import check_routes
from gateway.federation.supergraph import parse_supergraph
from gateway.runtime import Parts, load_schema, open_runtime, pyreqwest_wire
from gateway.telemetry.requests import RequestLog
from gateway.telemetry.upstreams import UpstreamLog
from tests.testkit.serve import serve

DEMO_CONFIG = Path(__file__).parents[2] / "demo" / "gateway.yaml"
ROWS = """{
  products(first: 2) { name upc reviews(first: 1) { body } }
  three: product(upc: "p3") { __typename weightKg }
  none: product(upc: "x") { name }
  latestReviews(first: 2) { rating product { name ...Price } }
}
fragment Price on Product { price }"""
CIRCUITS = '{ upstreams(name: "products") { circuits { protocol state } } }'


class Asking:
    """The demo and its gateway."""

    def __init__(self, demo: Demo, http: httpx.AsyncClient) -> None:
        self._demo = demo
        self._http = http

    async def ask(self, query: str) -> dict[str, Any]:
        body: dict[str, Any] = (await self._http.post("/graphql", json={"query": query})).json()
        return body

    async def break_(self, target: str, mode: Mode) -> None:
        self._demo.board.set(target, Fault(mode))
        await self._demo.apply()


@asynccontextmanager
async def asking() -> AsyncIterator[Asking]:
    async with serve_demo(ANY_PORTS) as demo:
        app = create_app(load(DEMO_CONFIG, {f"{name.upper()}_URL": url for name, url in demo.urls.items()}))
        async with serve(app) as server, httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20) as http:
            yield Asking(demo, http)


def notes(body: dict[str, Any]) -> dict[tuple[str, ...], tuple[str, str]]:
    """By path, how it was served, and why."""
    return {tuple(n["path"]): (n["servedBy"], n["reason"]) for n in body["extensions"]["upstreams"]}


async def test_rest_gives_the_rows_that_graphql_would_have_given_and_stale_ones_stand_in_for_both() -> None:
    async with asking() as made:
        good = await made.ask(ROWS)
        assert good.keys() == {"data"}

        await made.break_("products.graphql", Mode.ERROR)
        by_rest = await made.ask(ROWS)
        assert (by_rest["data"], by_rest.get("errors")) == (good["data"], None)
        assert notes(by_rest) == {
            ("products",): ("REST", "UPSTREAM_SERVER_ERROR"),
            ("three",): ("REST", "UPSTREAM_SERVER_ERROR"),
            ("none",): ("REST", "UPSTREAM_SERVER_ERROR"),
            ("latestReviews", "product"): ("REST", "UPSTREAM_SERVER_ERROR"),
        }

        await made.break_("products", Mode.DOWN)
        stale = await made.ask(ROWS)
        assert (stale["data"], stale.get("errors")) == (good["data"], None)
        assert {by for by, _ in notes(stale).values()} == {"STALE"}

        (products,) = (await made.ask(CIRCUITS))["data"]["upstreams"]
        assert {c["protocol"]: c["state"] for c in products["circuits"]} == {"GRAPHQL": "OPEN", "REST": "OPEN"}


async def test_a_circuit_that_is_open_is_a_reason_too() -> None:
    async with asking() as made:
        await made.break_("products.graphql", Mode.MALFORMED)
        for first in (1, 2, 3):
            await made.ask(f"{{ products(first: {first}) {{ upc }} }}")
        body = await made.ask("{ products(first: 4) { upc } }")
    assert [row["upc"] for row in body["data"]["products"]] == ["p1", "p2", "p3", "p4"]
    assert notes(body) == {("products",): ("REST", "CIRCUIT_OPEN")}


SHOP = """
extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable", "@external"])
type Query { products(first: Int = 10, kind: String): [Product!]! product(upc: ID!): Product }
type Mutation { sell(upc: ID!, count: Int!): Product }
type Product @key(fields: "upc") { upc: ID! name: String }
type Crate @key(fields: "row shelf") { row: Int! shelf: Int! }
type Maker @key(fields: "id") @key(fields: "vat") { id: ID! vat: ID! }
type Pallet @key(fields: "id", resolvable: false) { id: ID! }
type Box @shareable { size: Int }
interface Thing @key(fields: "id") { id: ID! }
type Ship implements Thing @key(fields: "id") { id: ID! }
"""
OTHER = """
extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
type Query { reviews: [Int!]! }
type Review @key(fields: "id") { id: ID! }
"""


def supergraph() -> str:
    found = compose([Subgraph("shop", "http://shop", SHOP), Subgraph("other", "http://other", OTHER)])
    assert found.supergraph_sdl is not None, found.errors
    return found.supergraph_sdl


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("Query.products", "GET /products{?first}"),
        ("Query.products", "GET /products"),
        ("Query.product", "GET /products/{upc}"),
        ("Mutation.sell", "POST /sales/{upc}"),
        ("Mutation.sell", "POST /sales"),
        ("Product", "GET /products{?upcs}"),
        ("Product", "GET /products{?upcs*}"),
        ("Product", "GET /products/{upc}"),
        ("Product", "GET /products/{upcs}"),
    ],
)
def test_routes_that_fit(name: str, route: str) -> None:
    assert check_routes({"shop": {name: RestRoute.parse(route)}}, parse_supergraph(supergraph())) == []


@pytest.mark.parametrize(
    ("name", "route", "message"),
    [
        (
            "Query.product",
            "GET /p/{id}",
            '"GET /p/{id}" names id, which is no argument of the field (its arguments: upc)',
        ),
        (
            "Query.product",
            "GET /p",
            '"GET /p" does not carry upc, which the field requires; add it, as {upc} or {?upc}',
        ),
        ("Query.prodcts", "GET /p", "shop does not resolve such a field (there: products, product)"),
        ("Query.reviews", "GET /r", "shop does not resolve such a field (there: products, product)"),
        ("Mutation.sell", "DELETE /p/{upc}", '"DELETE /p/{upc}" does not carry count, which the field requires'),
        ("Prodct", "GET /p{?upcs}", "shop has no such type (its entities: "),
        ("Review", "GET /r{?ids}", "shop has no such type"),
        ("Box", "GET /b{?ids}", "Box has no key of a single field in shop; a route needs exactly one to ask by"),
        ("Pallet", "GET /b{?ids}", "Pallet has no key of a single field in shop"),
        ("Crate", "GET /c{?rows}", "Crate has no key of a single field in shop"),
        ("Maker", "GET /m{?ids}", "Maker has keys of a single field: id, vat in shop; a route needs exactly one"),
        ("Thing", "GET /t{?ids}", "Thing is an interface; give routes to the entities that implement it"),
        ("Product", "GET /p", '"GET /p" needs exactly one variable, for the keys, such as {?upcs} (found: none)'),
        ("Product", "GET /p{?upcs,x}", '"GET /p{?upcs,x}" needs exactly one variable, for the keys'),
        ("Product", "GET /p/{name}", '"GET /p/{name}" asks by name, which is no key of Product in shop; write {upc}'),
    ],
)
def test_routes_that_do_not_fit_say_where_and_what_to_do(name: str, route: str, message: str) -> None:
    findings = check_routes({"shop": {name: RestRoute.parse(route)}}, parse_supergraph(supergraph()))
    assert len(findings) >= 1
    assert str(findings[0]).startswith(f"services.shop.routes.{name}: {message}")


def test_a_service_that_is_no_subgraph_has_no_such_routes() -> None:
    (finding,) = check_routes({"crm": {"Product": RestRoute.parse("GET /p{?ids}")}}, parse_supergraph(supergraph()))
    assert str(finding) == (
        "services.crm.routes.Product: crm is no subgraph of the supergraph (there: other, shop); remove the route"
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Subgraphs in files, one of them with a route that does not fit."""
    (tmp_path / "products.graphql").write_text(products_schema().as_str())
    (tmp_path / "reviews.graphql").write_text(reviews_schema().as_str())
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "federation: {}\n"
        "services:\n"
        "  products:\n"
        "    graphql: http://127.0.0.1:9/graphql\n"
        "    rest: http://127.0.0.1:9/api\n"
        "    subgraph: { sdl: products.graphql }\n"
        '    routes: { Query.products: "GET /products{?frst}" }\n'
        "  reviews: { graphql: 'http://127.0.0.1:9/graphql', subgraph: { sdl: reviews.graphql } }\n"
    )
    return file


@pytest.mark.parametrize("command", ["serve", "check", "compose"])
def test_each_command_refuses_a_route_that_does_not_fit(
    config: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--config", str(config)]) == 1
    assert capsys.readouterr().err == (
        "REST routes of gateway.yaml do not fit the supergraph:\n"
        '  services.products.routes.Query.products: "GET /products{?frst}" names frst, which is no argument of the '
        "field (its arguments: first)\n"
    )


def test_check_accepts_routes_that_fit(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace("frst", "first"))
    assert main(["check", "--config", str(config)]) == 0
    assert capsys.readouterr().out.endswith("supergraph: valid; of local, products, reviews\n")


def test_a_name_that_is_neither_an_operation_nor_of_a_subgraph_is_refused_at_once(config: Path) -> None:
    config.write_text(config.read_text().replace("Query.products:", "Product.by_upc:"))
    with pytest.raises(ConfigError) as caught:
        create_app(load(config))
    assert [str(finding) for finding in caught.value.findings] == [
        "services.products.routes.Product.by_upc: products has no operation of that name (there: none); a subgraph's "
        "routes are named Query.field, Mutation.field or by an entity's type"
    ]


def test_a_service_outside_the_federation_takes_no_routes_of_subgraphs(config: Path) -> None:
    text = config.read_text() + "  crm: { rest: 'http://127.0.0.1:9', routes: { Product: 'GET /p{?ids}' } }\n"
    config.write_text(text.replace("frst", "first"))
    with pytest.raises(ConfigError, match="crm has no operation of that name"):
        create_app(load(config))


def test_routes_of_declared_operations_go_on_as_they_were(config: Path) -> None:
    routes = "{ Customer.by_id: 'GET /people{?ids}' }"
    text = "imports: [schema.customers]\n" + config.read_text().replace("frst", "first")
    text += f"  customers: {{ graphql: 'http://crm', rest: 'http://crm', routes: {routes} }}\n"
    create_app(parse(text + "  bank: { rest: 'http://bank' }\n", {}))


async def test_a_new_supergraph_that_the_routes_do_not_fit_is_refused_and_the_old_one_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "supergraph.graphql"
    file.write_text(supergraph())
    config = parse(
        f"federation: {{ supergraph: '{file}', local: null, poll_interval_s: null }}\n"
        "services: { shop: { rest: 'http://shop/api', routes: { Query.product: 'GET /products/{upc}' } } }\n",
        {},
    )
    log = RequestLog()
    parts = Parts(pyreqwest_wire, UpstreamLog(), SystemClock(), Random(42), log.masked)
    async with open_runtime(config, load_schema(config), parts) as runtime:
        assert runtime.supergraph is not None
        served = runtime.supergraph.status.digest
        file.write_text(supergraph().replace("product(upc: ID!)", "product(id: ID!)"))
        assert not await runtime.supergraph.reload()
        assert runtime.supergraph.status.digest == served
        assert "services.shop.routes.Query.product: " in runtime.supergraph.status.trouble
