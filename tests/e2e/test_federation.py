"""One graph out of two subgraphs and the gateway's own schema, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from clients.clock import SystemClock
from clients.transports import HttpxWire
from demo.products import products_schema
from demo.reviews import reviews_schema
from tests.testkit.federation import FederatedGateway, ScriptedSubgraph, federated_gateway
from tests.testkit.gateway import CUSTOMERS
from tests.testkit.upstream import ScriptedUpstream, errors, hang, status
from tests.testkit.waiting import until_true

CROSSING = """{
  products(first: 3) { name averageRating reviews(first: 2) { body author { name } product { name } } }
  latestReviews(first: 2) { id author { name tier } product { name price } }
}"""
NEVER_FRESH = {"cache": {"max_age_s": 0, "stale_if_error_s": 600}}


@dataclass(frozen=True, slots=True)
class Shop:
    """The gateway, its two subgraphs, and the service behind its own schema."""

    gateway: FederatedGateway
    products: ScriptedSubgraph
    reviews: ScriptedSubgraph
    customers: ScriptedUpstream

    async def ask(self, query: str, **variables: Any) -> Any:
        return await self.gateway.ask(query, **variables)

    def forget(self) -> None:
        for each in (self.products, self.reviews, self.customers):
            each.graphql.forget()


@asynccontextmanager
async def running_shop(
    overrides: dict[str, Any] | None = None, services: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        products = await stack.enter_async_context(ScriptedSubgraph.of(products_schema()))
        reviews = await stack.enter_async_context(ScriptedSubgraph.of(reviews_schema()))
        customers = await stack.enter_async_context(ScriptedUpstream(CUSTOMERS))
        more = {
            "customers": {"graphql": customers.graphql.url},
            "bank": {"rest": "http://127.0.0.1:9"},
            **(services or {}),
        }
        sections = {"imports": ["schema.customers", "schema.reviews"], **(overrides or {})}
        subgraphs = {"products": products, "reviews": reviews}
        for name in ("products", "reviews"):
            more[name] = {**NEVER_FRESH, **more.get(name, {})}
        gateway = await stack.enter_async_context(federated_gateway(subgraphs, sections, services=more, **options))
        shop = Shop(gateway, products, reviews, customers)
        shop.forget()
        yield shop


NO_LIMITS = {"limits": dict.fromkeys(("max_depth", "max_aliases", "max_root_fields", "max_selections"))}
"""Lets documents through to the planner that would be refused before."""


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with running_shop() as running:
        yield running


async def test_an_operation_crosses_in_every_direction_with_one_call_a_batch(shop: Shop) -> None:
    answered = await shop.ask(CROSSING)
    assert answered.errors == []
    first = answered.data["products"][0]
    assert (first["name"], len(first["reviews"])) == ("Anchor", 2)
    assert all(review["product"]["name"] == "Anchor" for review in first["reviews"])
    assert all(review["author"]["name"].startswith("Customer ") for review in first["reviews"])
    assert [review["id"] for review in answered.data["latestReviews"]] == ["r60", "r59"]
    assert answered.data["latestReviews"][0]["author"] == {"name": "Customer 21", "tier": "gold"}
    assert answered.data["latestReviews"][0]["product"]["price"] > 0
    assert (len(shop.products.documents), len(shop.reviews.documents)) == (2, 2)
    assert len(shop.customers.graphql.calls) == 1
    for batch in [*shop.products.representations, *shop.reviews.representations]:
        assert len(batch) == len({str(sorted(each.items())) for each in batch})


async def test_an_operation_that_one_subgraph_answers_alone_goes_there_whole(shop: Shop) -> None:
    answered = await shop.ask("query Q($n: Int) { all: products(first: $n) { upc n: name } }", n=2)
    assert answered.data == {"all": [{"upc": "p1", "n": "Anchor"}, {"upc": "p2", "n": "Barometer"}]}
    assert (len(shop.products.documents), len(shop.reviews.documents)) == (1, 0)


async def test_an_operation_of_this_process_asks_no_subgraph(shop: Shop) -> None:
    answered = await shop.ask('{ customer(id: "3") { name } }')
    assert answered.body == {"data": {"customer": {"name": "Customer 3"}}}
    assert (shop.products.documents, shop.reviews.documents) == ([], [])


async def test_an_extension_is_asked_for_all_authors_at_once(shop: Shop) -> None:
    answered = await shop.ask("{ latestReviews(first: 30) { author { name } } }")
    assert len(answered.data["latestReviews"]) == 30
    assert all(review["author"] for review in answered.data["latestReviews"])
    assert len(shop.customers.graphql.calls) == 1


async def test_a_subgraph_that_is_down_costs_its_fields_and_nothing_else(shop: Shop) -> None:
    await shop.reviews.refuse()
    answered = await shop.ask("{ products(first: 2) { name averageRating } latestReviews { id } }")
    assert answered.response.status_code == 200
    # latestReviews is not nullable, so it takes all of data with it
    assert answered.data is None
    answered = await shop.ask("{ products(first: 2) { name averageRating reviews { id } } }")
    assert answered.data == {
        "products": [
            {"name": "Anchor", "averageRating": None, "reviews": None},
            {"name": "Barometer", "averageRating": None, "reviews": None},
        ]
    }
    (error,) = answered.errors
    assert error["path"] == ["products"]
    extensions = error["extensions"]
    assert (extensions["code"], extensions["service"]) == ("UPSTREAM_UNREACHABLE", "reviews")
    assert extensions["category"] == "network"
    assert extensions["requestId"] == answered.response.headers["x-request-id"]


async def test_known_entities_of_a_subgraph_that_is_down_are_served_stale_and_marked(shop: Shop) -> None:
    query = "query ($n: Int) { products(first: $n) { name averageRating } }"
    good = await shop.ask(query, n=2)
    await shop.reviews.refuse()
    answered = await shop.ask(query, n=3)
    known, unknown = answered.data["products"][:2], answered.data["products"][2]
    assert known == good.data["products"]
    assert unknown == {"name": "Compass", "averageRating": None}
    assert [(error["path"], error["extensions"]["code"]) for error in answered.errors] == [
        (["products", 2], "UPSTREAM_UNREACHABLE")
    ]
    (note,) = answered.upstreams
    assert {key: note[key] for key in ("service", "path", "servedBy", "reason", "count")} == {
        "service": "reviews",
        "path": ["products"],
        "servedBy": "STALE",
        "reason": "UPSTREAM_UNREACHABLE",
        "count": 2,
    }


async def test_a_root_field_is_served_stale_and_marked(shop: Shop) -> None:
    good = await shop.ask("{ products(first: 1) { name } }")
    shop.products.graphql.behave(status(503))
    answered = await shop.ask("{ products(first: 1) { name } }")
    assert answered.data == good.data
    assert [(note["service"], note["servedBy"]) for note in answered.upstreams] == [("products", "STALE")]


async def test_what_a_service_of_the_local_part_did_is_noted_at_the_responses_path(shop: Shop) -> None:
    await shop.ask("{ latestReviews(first: 1) { author { name } } }")
    await shop.customers.refuse()
    answered = await shop.ask("{ latestReviews(first: 1) { author { name } } }")
    assert answered.data["latestReviews"][0]["author"] == {"name": "Customer 21"}
    (note,) = answered.upstreams
    assert (note["service"], note["path"], note["servedBy"]) == ("customers", ["latestReviews", "author"], "STALE")


async def test_an_error_of_the_local_part_has_its_own_code_and_the_responses_path(shop: Shop) -> None:
    await shop.customers.refuse()
    answered = await shop.ask("{ latestReviews(first: 2) { id writer: author { name } } }")
    assert [review["id"] for review in answered.data["latestReviews"]] == ["r60", "r59"]
    assert [(error["path"], error["extensions"]["code"]) for error in answered.errors] == [
        (["latestReviews", 0, "writer"], "UPSTREAM_UNREACHABLE"),
        (["latestReviews", 1, "writer"], "UPSTREAM_UNREACHABLE"),
    ]
    assert {error["extensions"]["service"] for error in answered.errors} == {"customers"}


async def test_an_error_beside_data_is_passed_on_at_its_place(shop: Shop) -> None:
    said = [{"message": "no rating today", "path": ["_entities", 1, "averageRating"], "extensions": {"code": "LATER"}}]
    entities = [{"averageRating": 4.5}, {"averageRating": None}]
    shop.reviews.graphql.behave(status(200, body={"data": {"_entities": entities}, "errors": said}))
    answered = await shop.ask("{ products(first: 2) { averageRating } }")
    assert answered.data == {"products": [{"averageRating": 4.5}, {"averageRating": None}]}
    (error,) = answered.errors
    assert (error["message"], error["path"]) == ("no rating today", ["products", 1, "averageRating"])
    assert (error["extensions"]["code"], error["extensions"]["service"]) == ("LATER", "reviews")


@pytest.mark.parametrize("entities", [[], [{}, {}, {}], "text", None, {"0": {}}])
async def test_entities_that_cannot_be_told_apart_are_one_typed_error(shop: Shop, entities: Any) -> None:
    shop.reviews.graphql.behave(status(200, body={"data": {"_entities": entities}}))
    answered = await shop.ask("{ products(first: 2) { name averageRating } }")
    assert [product["name"] for product in answered.data["products"]] == ["Anchor", "Barometer"]
    assert answered.codes == ["UPSTREAM_MALFORMED_RESPONSE"]


async def test_a_failure_that_is_reported_for_one_entity_is_an_error_at_that_entity(shop: Shop) -> None:
    said = [{"message": "boom", "path": ["_entities", 1], "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]
    shop.reviews.graphql.behave(status(200, body={"data": None, "errors": said}))
    answered = await shop.ask("{ products(first: 2) { averageRating } }")
    assert answered.data == {"products": [{"averageRating": None}] * 2}
    assert [(error["message"], error["path"]) for error in answered.errors] == [("boom", ["products", 1])]


async def test_introspection_is_answered_without_the_subgraphs(shop: Shop) -> None:
    answered = await shop.ask('{ __schema { queryType { name } } __type(name: "Review") { fields { name } } }')
    fields = {field["name"] for field in answered.data["__type"]["fields"]}
    assert {"author", "body", "product", "customerId"} <= fields
    assert "_entities" not in {
        f["name"] for f in (await shop.ask('{ __type(name: "Query") { fields { name } } }')).data["__type"]["fields"]
    }
    assert (shop.products.documents, shop.reviews.documents) == ([], [])


async def test_what_is_not_valid_is_not_sent(shop: Shop) -> None:
    answered = await shop.ask("{ products { nothing } }")
    assert answered.codes == ["GRAPHQL_VALIDATION_FAILED"]
    assert "data" not in answered.body
    answered = await shop.ask("query ($n: Int!) { products(first: $n) { upc } }", n="many")
    assert answered.codes == ["BAD_USER_INPUT"]
    assert "data" not in answered.body
    assert shop.products.documents == []


async def test_what_is_too_expensive_to_plan_is_not_sent() -> None:
    deep = "reviews { product { " * 40 + "upc" + " } }" * 40
    async with running_shop(NO_LIMITS) as shop:
        answered = await shop.ask(f"{{ products {{ {deep} }} }}")
        assert answered.codes == ["PLAN_LIMIT_EXCEEDED"]
        assert answered.errors[0]["extensions"]["category"] == "validation"
        assert "data" not in answered.body
        assert shop.products.documents == []


async def test_the_deadline_leaves_a_partial_answer() -> None:
    async with running_shop({"server": {"request_timeout_s": 0.3}}) as shop:
        shop.reviews.graphql.behave(hang())
        began = SystemClock.now()
        answered = await shop.ask("{ products(first: 1) { name averageRating } }")
        assert SystemClock.now() - began < 5
        assert answered.data == {"products": [{"name": "Anchor", "averageRating": None}]}
        assert answered.codes == ["DEADLINE_EXCEEDED"]


async def test_a_client_that_hangs_up_leaves_neither_task_nor_call() -> None:
    async with running_shop(services={"reviews": {"timeout_s": 10}}, wires=lambda _: HttpxWire()) as shop:
        await shop.ask("{ __typename }")
        before = asyncio.all_tasks()
        shop.reviews.graphql.behave(hang())
        asking = asyncio.create_task(shop.ask(CROSSING))
        await shop.reviews.graphql.wait_for_calls(1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await shop.reviews.graphql.calls[0].wait_for_hang_up()
        await until_true(lambda: asyncio.all_tasks() <= before, "the tasks of the request to end")


async def test_a_plan_is_shown_to_developers_only_on_one_line_and_not_too_long(shop: Shop) -> None:
    answered = await shop.ask("{ products { name averageRating } }")
    plan = answered.response.headers["x-query-plan"]
    assert plan.startswith("1 products;")
    assert "2 reviews after 1;   products: Product(upc)" in plan
    fields = " ".join(f'f{n}: product(upc: "\u00e9\\n{n}") {{ name }}' for n in range(300))
    async with running_shop(NO_LIMITS) as unlimited:
        answered = await unlimited.ask(f"{{ {fields} }}")
    assert answered.errors == []
    plan = answered.response.headers["x-query-plan"]
    assert len(plan) < 4_100
    assert plan.endswith("(cut)")


async def test_no_plan_is_shown_in_production() -> None:
    async with running_shop({"mode": "production"}) as shop:
        answered = await shop.ask("{ products { name averageRating } }")
        assert answered.errors == []
        assert "x-query-plan" not in answered.response.headers


async def test_a_gateways_local_part_is_a_subgraph_of_another_gateway() -> None:
    async with AsyncExitStack() as stack:
        reviews = await stack.enter_async_context(ScriptedSubgraph.of(reviews_schema()))
        customers = await stack.enter_async_context(ScriptedUpstream(CUSTOMERS))
        services = {"customers": {"graphql": customers.graphql.url}, "bank": {"rest": "http://127.0.0.1:9"}}
        sections = {"imports": ["schema.customers", "schema.reviews"], "federation": {"as_subgraph": True}}
        inner = await stack.enter_async_context(federated_gateway({}, sections, services=services))

        assert "type Review" in (await inner.ask("{ _service { sdl } }")).data["_service"]["sdl"]
        representations = [{"__typename": "Review", "id": "r1", "customerId": "2"}]
        query = "query ($r: [_Any!]!) { _entities(representations: $r) { ... on Review { author { name } } } }"
        assert (await inner.ask(query, r=representations)).data == {"_entities": [{"author": {"name": "Customer 2"}}]}

        remote = {"accounts": {"graphql": f"{inner.server.url}/graphql", "subgraph": {}}}
        outer = await stack.enter_async_context(
            federated_gateway({"reviews": reviews}, {"federation": {"local": None}}, services=remote)
        )
        answered = await outer.ask("{ latestReviews(first: 2) { id author { name } } }")
        assert answered.body == {
            "data": {
                "latestReviews": [
                    {"id": "r60", "author": {"name": "Customer 21"}},
                    {"id": "r59", "author": {"name": "Customer 8"}},
                ]
            }
        }
        await customers.refuse()
        answered = await outer.ask("{ latestReviews(first: 30) { id author { email } } }")
        assert len(answered.data["latestReviews"]) == 30
        assert set(answered.codes) == {"UPSTREAM_UNREACHABLE"}
        assert answered.errors[0]["path"] == ["latestReviews", 2, "author"]  # the first two are known, and stale


# --- subgraphs of these tests' own -----------------------------------------------------------------------------------

USERS = """
type Query { me: User, everybody: [User!]!, broken: Int }
type Mutation { rename(to: String!): User }
type User @key(fields: "id") { id: ID!, name: String }
"""
PETS = """
type Query { pets: [String!] }
type Mutation { feed(pet: String!): Int }
type User @key(fields: "id") { id: ID!, pet: Pet!, nick: String! }
type Pet { name: String! }
"""


@pytest.fixture
async def log() -> list[str]:
    return []


@pytest.fixture
async def town(log: list[str]) -> AsyncIterator[tuple[FederatedGateway, ScriptedSubgraph, ScriptedSubgraph]]:
    def rename(_info: Any, to: str) -> dict[str, str]:
        log.append(f"rename {to}")
        return {"id": "1", "name": to}

    def feed(_info: Any, pet: str) -> int:
        log.append(f"feed {pet}")
        return len(log)

    def pet_of(user: dict[str, Any]) -> dict[str, Any]:
        log.append(f"pet of {user['id']}")
        return {"id": user["id"], "pet": {"name": f"Pet {user['id']}"}, "nick": f"N{user['id']}"}

    ada, bob = {"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob"}
    names = {"1": ada, "2": bob}
    users = ScriptedSubgraph.made(
        USERS, {"me": ada, "everybody": [ada, bob], "rename": rename}, {"User": lambda user: names.get(user["id"])}
    )
    pets = ScriptedSubgraph.made(PETS, {"pets": ["Rex"], "feed": feed}, {"User": pet_of})
    async with users, pets, federated_gateway({"users": users, "pets": pets}, {"federation": {"local": None}}) as made:
        yield made, users, pets


async def test_mutations_run_in_their_order_across_subgraphs(town: Any, log: list[str]) -> None:
    gateway, _users, _pets = town
    document = 'mutation { a: feed(pet: "x") rename(to: "Eve") { name nick } b: feed(pet: "y") }'
    answered = await gateway.ask(document)
    assert answered.body == {"data": {"a": 1, "rename": {"name": "Eve", "nick": "N1"}, "b": 4}}
    assert log == ["feed x", "rename Eve", "pet of 1", "feed y"]


async def test_a_mutation_that_fails_is_sent_once_and_the_next_one_still_runs(town: Any, log: list[str]) -> None:
    gateway, users, _pets = town
    users.graphql.forget()
    users.graphql.behave(status(503))
    answered = await gateway.ask('mutation { rename(to: "Eve") { name } feed(pet: "y") }')
    assert answered.data == {"rename": None, "feed": 1}
    assert answered.codes == ["UPSTREAM_SERVER_ERROR"]
    assert len(users.documents) == 1


async def test_null_where_none_may_be_bubbles_as_far_as_it_must(town: Any) -> None:
    gateway, _users, pets = town
    pets.graphql.behave(errors("boom", code="INTERNAL_SERVER_ERROR"))
    answered = await gateway.ask("{ me { name pet { name } } pets }")
    assert answered.data == {"me": None, "pets": None}
    assert {error["extensions"]["service"] for error in answered.errors} == {"pets"}
    answered = await gateway.ask("{ everybody { name pet { name } } }")
    assert answered.data is None
    assert "data" in answered.body
    assert answered.codes == ["INTERNAL_SERVER_ERROR"]


async def test_an_unknown_entity_is_null_in_the_fields_it_would_have_had(town: Any) -> None:
    gateway, _users, pets = town
    pets.graphql.behave(status(200, body={"data": {"_entities": [None]}}))
    answered = await gateway.ask("{ me { name nick } }")
    assert answered.data == {"me": None}


async def test_the_same_entity_in_many_places_is_asked_for_once(town: Any) -> None:
    gateway, _users, pets = town
    pets.graphql.forget()
    answered = await gateway.ask("{ me { nick } everybody { nick } again: everybody { id nick } }")
    assert answered.data["again"] == [{"id": "1", "nick": "N1"}, {"id": "2", "nick": "N2"}]
    (document,) = pets.documents
    (call,) = pets.graphql.calls
    assert sorted(each["id"] for given in call.variables.values() for each in given) == ["1", "2"]
    assert document.count("_entities") == 1
