"""The products and reviews upstreams as Federation 2 subgraphs, asked directly and through the engine."""

from typing import Any

import httpx
import pytest

from demo.customers import customers
from demo.products import products, products_schema
from demo.reviews import reviews, reviews_schema
from demo.run import Demo
from gateway.federation.composition import Subgraph, compose
from gateway.federation.engine import FederationEngine
from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest, SubgraphResponse

ENTITIES = """
query ($representations: [_Any!]!) {
  _entities(representations: $representations) {
    ... on Product { upc FIELDS }
  }
}
"""


class HttpFetcher:
    """Asks the demo's subgraphs over its sockets; remembers whom it asked."""

    def __init__(self, client: httpx.AsyncClient, urls: dict[str, str]) -> None:
        self.asked: list[str] = []
        self._client = client
        self._urls = urls

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        self.asked.append(request.subgraph)
        body = {"query": request.document, "variables": dict(request.variables)}
        answer = await self._client.post(f"{self._urls[request.subgraph]}/graphql", json=body)
        if answer.is_error:
            raise FetchFailed(request.subgraph, f"HTTP {answer.status_code}")
        found = answer.json()
        return SubgraphResponse(found.get("data"), found.get("errors", ()))


async def ask(client: httpx.AsyncClient, base: str, query: str, **variables: Any) -> Any:
    answer = await client.post(f"{base}/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def sdl(client: httpx.AsyncClient, base: str) -> str:
    text: str = (await ask(client, base, "{ _service { sdl } }"))["data"]["_service"]["sdl"]
    return text


async def federated(demo: Demo, client: httpx.AsyncClient) -> tuple[FederationEngine, HttpFetcher]:
    """An engine over what the two running subgraphs say of themselves."""
    urls = {name: demo.urls[name] for name in ("products", "reviews")}
    composed = compose([Subgraph(name, url, await sdl(client, url)) for name, url in urls.items()])
    assert (composed.errors, composed.hints) == ((), ())
    fetcher = HttpFetcher(client, urls)
    return FederationEngine(composed.supergraph_sdl or "", fetcher), fetcher


def test_the_data_is_the_same_every_time_and_fits_together() -> None:
    assert products() == products()
    assert reviews() == reviews()
    assert (len(products()), len(reviews())) == (12, 60)
    assert {review.customer_id for review in reviews().values()} == set(customers())
    assert {review.rating for review in reviews().values()} == {1, 2, 3, 4, 5}
    reviewed = {review.product.upc for review in reviews().values() if review.product}
    assert set(products()) - reviewed == {"p12"}
    assert reviewed <= set(products())


async def test_each_says_its_sdl_with_the_directives_it_imports(demo: Demo, client: httpx.AsyncClient) -> None:
    for name, schema in (("products", products_schema()), ("reviews", reviews_schema())):
        text = await sdl(client, demo.urls[name])
        assert text == schema.as_str()
        assert '@link(url: "https://specs.apollo.dev/federation/v2.11", import: ["@key"])' in text
        assert 'type Product @key(fields: "upc")' in text


async def test_products_give_the_same_rows_in_both_protocols(demo: Demo, client: httpx.AsyncClient) -> None:
    base = demo.urls["products"]
    fields = "{ upc name price weightKg }"
    lists = f"few: products(first: 3) {fields} usual: products {fields} null: products(first: null) {fields}"
    data = (await ask(client, base, f'{{ {lists} one: product(upc: "p3") {fields} }}'))["data"]
    assert data["few"] == (await client.get(f"{base}/api/products?first=3")).json()
    assert data["usual"] == data["null"] == (await client.get(f"{base}/api/products?first=")).json()
    assert data["one"] == (await client.get(f"{base}/api/products/p3")).json()
    assert data["one"] == {"upc": "p3", "name": "Compass", "price": 59.9, "weightKg": 0.4}
    assert (len(data["few"]), len(data["usual"])) == (3, 10)
    by_upc = (await client.get(f"{base}/api/products?upcs=p2,p1,p2,x")).json()
    assert by_upc == [data["few"][1], data["few"][0]]


async def test_unknown_products_are_null_or_left_out_or_404(demo: Demo, client: httpx.AsyncClient) -> None:
    base = demo.urls["products"]
    query = '{ product(upc: "x") { upc } none: products(first: -1) { upc } }'
    assert (await ask(client, base, query))["data"] == {"product": None, "none": []}
    assert (await client.get(f"{base}/api/products?upcs=x")).json() == []
    assert (await client.get(f"{base}/api/products?first=x")).status_code == 400
    assert (await client.get(f"{base}/api/products/x")).status_code == 404


async def test_entities_come_in_the_order_of_their_representations(demo: Demo, client: httpx.AsyncClient) -> None:
    representations = [{"__typename": "Product", "upc": upc} for upc in ("p12", "x", "p2", "p12")]
    query = ENTITIES.replace("FIELDS", "name")
    assert (await ask(client, demo.urls["products"], query, representations=representations))["data"]["_entities"] == [
        {"upc": "p12", "name": "Storm sail"},
        None,
        {"upc": "p2", "name": "Barometer"},
        {"upc": "p12", "name": "Storm sail"},
    ]
    query = ENTITIES.replace("FIELDS", "averageRating reviews(first: 2) { id }")
    assert (await ask(client, demo.urls["reviews"], query, representations=representations))["data"]["_entities"] == [
        {"upc": "p12", "averageRating": None, "reviews": []},
        {"upc": "x", "averageRating": None, "reviews": []},
        {"upc": "p2", "averageRating": 3.6, "reviews": [{"id": "r53"}, {"id": "r42"}]},
        {"upc": "p12", "averageRating": None, "reviews": []},
    ]


async def test_a_review_is_an_entity_too(demo: Demo, client: httpx.AsyncClient) -> None:
    query = """
    query ($representations: [_Any!]!) {
      _entities(representations: $representations) { ... on Review { id body customerId product { upc } } }
    }
    """
    representations = [{"__typename": "Review", "id": key} for key in ("r60", "x")]
    assert (await ask(client, demo.urls["reviews"], query, representations=representations))["data"]["_entities"] == [
        {"id": "r60", "body": "Solid work, slow delivery.", "customerId": "21", "product": {"upc": "p4"}},
        None,
    ]


async def test_the_engine_joins_the_two_in_both_directions(demo: Demo, client: httpx.AsyncClient) -> None:
    engine, fetcher = await federated(demo, client)
    answer = await engine.execute("""
    {
      products(first: 2) { name reviews { body rating } averageRating }
      latestReviews(first: 2) { rating product { name price } }
    }
    """)
    assert answer == {
        "data": {
            "products": [
                {
                    "name": "Anchor",
                    "reviews": [
                        {"body": "Sank.", "rating": 1},
                        {"body": "Held through a force nine.", "rating": 5},
                        {"body": "Rusts sooner than it should.", "rating": 2},
                        {"body": "Solid work, slow delivery.", "rating": 4},
                        {"body": "Would buy it again.", "rating": 4},
                    ],
                    "averageRating": 3.2,
                },
                {
                    "name": "Barometer",
                    "reviews": [
                        {"body": "Would buy it again.", "rating": 4},
                        {"body": "Held through a force nine.", "rating": 5},
                        {"body": "Good enough for a lake.", "rating": 3},
                        {"body": "Broke on the first day out.", "rating": 1},
                        {"body": "Better than the one it replaced.", "rating": 5},
                    ],
                    "averageRating": 3.6,
                },
            ],
            "latestReviews": [
                {"rating": 4, "product": {"name": "Dinghy", "price": 1240.0}},
                {"rating": 3, "product": {"name": "Oar", "price": 32.0}},
            ],
        }
    }
    assert sorted(fetcher.asked) == ["products", "products", "reviews", "reviews"]


async def test_a_broken_subgraph_answers_500_and_the_engine_gives_what_the_other_has(
    demo: Demo, client: httpx.AsyncClient
) -> None:
    engine, _ = await federated(demo, client)
    await client.post(f"{demo.control_url}/products.graphql", json={"mode": "error"})
    broken = await client.post(f"{demo.urls['products']}/graphql", json={"query": "{ __typename }"})
    assert broken.status_code == 500
    assert (await client.get(f"{demo.urls['products']}/api/products/p1")).status_code == 200
    answer = await engine.execute("{ latestReviews(first: 2) { id product { upc name } } }")
    assert answer["data"] == {"latestReviews": [{"id": "r60", "product": None}, {"id": "r59", "product": None}]}
    assert answer["errors"]
    await client.delete(f"{demo.control_url}/products.graphql")
    assert "errors" not in await engine.execute("{ latestReviews(first: 2) { id product { upc name } } }")


@pytest.mark.parametrize("mode", ["malformed", "empty", "reset", "unavailable"])
async def test_reviews_break_like_the_others(demo: Demo, client: httpx.AsyncClient, mode: str) -> None:
    await client.post(f"{demo.control_url}/reviews", json={"mode": mode})
    with pytest.raises((ValueError, httpx.HTTPError)):
        (
            await client.post(f"{demo.urls['reviews']}/graphql", json={"query": "{ __typename }"})
        ).raise_for_status().json()
    assert (await client.post(f"{demo.control_url}/reviews.rest", json={"mode": "error"})).status_code == 404
