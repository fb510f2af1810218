"""Fields by declaration, asked through a real schema and answered by a real upstream."""

import enum
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError

from clients.call import ServedBy
from clients.operation import Kind, Operation, OperationError
from loaders.batched import Batched, batched
from loaders.fields import OPERATION, upstream_field
from tests.clients.support import ONE, ROWS, partial, says
from tests.loaders.support import Scope, scoped
from tests.testkit.upstream import status


@strawberry.enum
class Tier(enum.Enum):
    GOLD = "gold"
    BASIC = "basic"


@strawberry.type
class Customer:
    id: strawberry.ID
    name: str
    tier: Tier


MANY = "query ($ids: [ID!]!) { customers(ids: $ids) { id name tier } }"
by_id = batched(Customer, service="crm", key="id", graphql=MANY, rest="GET /customers{?ids}")


@strawberry.type
class Order:
    customer_id: strawberry.Private[str | None]
    customer: Customer | None = by_id.field(by="customer_id")
    payer: Customer | None = by_id.field(by="customer_id", description="Who pays.")


@strawberry.type
class Part:
    maker: str
    number: int
    label: str


parts = batched(
    Part,
    service="crm",
    key=("maker", "number"),
    rest="POST /parts/search",
    by="keys",
    kind=Kind.QUERY,
)


@strawberry.type
class Query:
    customers: list[Customer | None] = by_id.many()
    customer: Customer | None = by_id.one()
    part: Part | None = parts.one()
    first: list[Customer | None] | None = upstream_field(
        Customer,
        service="crm",
        name="first",
        many=True,
        graphql="query ($first: Int! = 2) { customers(first: $first) { id name tier } }",
        rest="GET /customers{?first}",
        field={"description": "The first ones."},
    )
    by_rest: Customer | None = upstream_field(Customer, service="crm", name="byRest", rest="GET /customers/{id}")
    filtered: list[Customer | None] | None = upstream_field(
        Customer,
        service="crm",
        name="filtered",
        many=True,
        rest="GET /customers{?ids,tier}",
        arguments={"ids": list[strawberry.ID], "tier": Tier | None},
    )

    @strawberry.field
    def orders(self) -> list[Order]:
        return [Order(customer_id=i) for i in ("1", "2", None, "999", "1")]


@strawberry.type
class Mutation:
    touch: Customer | None = upstream_field(
        Customer,
        service="crm",
        name="touch",
        graphql="mutation ($id: ID!) { touchCustomer(id: $id) { id name tier } }",
    )


SCHEMA = strawberry.Schema(Query, Mutation)


async def run(scope: Scope, query: str) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
    result = await SCHEMA.execute(query, context_value=scope)
    return result.data, result.errors or []


async def ask(scope: Scope, query: str) -> dict[str, Any]:
    data, errors = await run(scope, query)
    assert not errors
    assert data is not None
    return data


async def test_two_fields_and_two_aliases_of_a_turn_are_one_call() -> None:
    async with scoped() as (made, scope):
        others = 'a: customer(id: "2") { id } b: customers(ids: ["2"]) { id }'
        data = await ask(scope, f"{{ orders {{ customer {{ id }} payer {{ name }} }} {others} }}")
        assert [order["customer"] for order in data["orders"]] == [{"id": "1"}, {"id": "2"}, None, None, {"id": "1"}]
        assert data["orders"][1]["payer"] == {"name": "Customer 2"}
        assert (data["a"], data["b"]) == ({"id": "2"}, [{"id": "2"}])
        [call] = made.script.graphql.calls
        assert sorted(call.variables["ids"]) == ["1", "2", "999"]


async def test_many_gives_a_row_for_each_key_in_their_order_and_null_where_there_is_none() -> None:
    async with scoped() as (made, scope):
        data = await ask(scope, '{ customers(ids: ["3", "999", "1"]) { id tier } }')
        assert data["customers"] == [{"id": "3", "tier": "GOLD"}, None, {"id": "1", "tier": "GOLD"}]
        assert (await ask(scope, "{ customers(ids: []) { id } }"))["customers"] == []
        assert made.calls == (1, 0)


async def test_an_unknown_enum_member_is_the_error_of_its_row_alone() -> None:
    rows = [dict(row) for row in ROWS[:3]]
    rows[1]["tier"] = "platinum"
    async with scoped(rows=rows) as (_, scope):
        for query, place in (('{ customers(ids: ["1", "2"]) { id } }', "customers"), ("{ first { id } }", "first")):
            data, [error] = await run(scope, query)
            assert data is not None
            assert data[place] == [{"id": "1"}, None]
            assert error.path == [place, 1]
            assert error.message.endswith("is out of shape: a value is none of Tier")
        data, [error] = await run(scope, '{ byRest(id: "2") { id } }')
        assert data == {"byRest": None}
        assert error.message == "crm: byRest: the row is out of shape: a value is none of Tier"


async def test_a_failed_upstream_is_the_error_of_its_fields_and_the_rest_is_intact() -> None:
    async with scoped() as (made, scope):
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(500))
        data, errors = await run(scope, '{ __typename customer(id: "1") { id } first { id } }')
        assert data == {"__typename": "Query", "customer": None, "first": None}
        assert sorted(str(error.path) for error in errors) == ["['customer']", "['first']"]


async def test_keys_of_several_attributes_go_by_name_not_by_the_order_in_the_query() -> None:
    async with scoped() as (made, scope):
        made.script.rest.behave(says([{"maker": "m", "number": 1, "label": "L"}]))
        assert (await ask(scope, '{ part(number: 1, maker: "m") { label } }'))["part"] == {"label": "L"}
        assert made.script.rest.calls[0].json == {"keys": [{"maker": "m", "number": 1}]}


async def test_a_declared_fields_arguments_are_the_documents_variables() -> None:
    async with scoped() as (made, scope):
        assert len((await ask(scope, "{ first { id } }"))["first"]) == 2
        assert len((await ask(scope, "{ first(first: 4) { id } }"))["first"]) == 4
        assert [call.variables for call in made.script.graphql.calls] == [{}, {"first": 4}]
        assert (await ask(scope, '{ byRest(id: "9") { name } }'))["byRest"] == {"name": "Customer 9"}
        assert (await ask(scope, '{ byRest(id: "999") { name } }'))["byRest"] is None
        assert (await ask(scope, 'mutation { touch(id: "1") { id } }'))["touch"] == {"id": "1"}
        sdl = SCHEMA.as_str()
        assert "first(first: Int): [Customer]" in sdl
        assert '"""The first ones."""' in sdl
        assert "byRest(id: ID!): Customer" in sdl


async def test_arguments_that_the_document_does_not_tell_are_said() -> None:
    async with scoped() as (made, scope):
        assert len((await ask(scope, '{ filtered(ids: ["1", "2"], tier: BASIC) { id } }'))["filtered"]) == 2
        await ask(scope, '{ filtered(ids: ["1"]) { id } }')
        assert [call.query_string for call in made.script.rest.calls] == ["ids=1,2&tier=basic", "ids=1"]


async def test_null_rows_and_no_rows_at_all_stay_null() -> None:
    async with scoped() as (made, scope):
        row = {"id": "1", "name": "x", "tier": "gold"}
        made.script.graphql.behave(partial([row, None]))
        assert (await ask(scope, "{ first { id } }"))["first"] == [{"id": "1"}, None]
        made.script.graphql.behave(says({"data": {"customers": None}}))
        assert (await ask(scope, "{ first { id } }"))["first"] is None


async def test_the_request_is_told_what_was_served_otherwise_and_what_was_said_beside_it() -> None:
    async with scoped() as (made, scope):
        made.script.graphql.behave(status(500))
        await ask(scope, '{ customers(ids: ["1", "2"]) { id } orders { customer { id } } first { id } }')
        noted = {(service, *path) for service, path, _ in scope.served}
        assert {("crm", "customers", 0), ("crm", "customers", 1), ("crm", "first")} <= noted
        assert ("crm", "orders", 0, "customer") in noted
        assert ("crm", "orders", 2, "customer") not in noted
        assert {served.reason for _, _, served in scope.served} == {"UPSTREAM_SERVER_ERROR"}
        assert scope.problems == []
    async with scoped() as (made, scope):
        row = {"id": "1", "name": "x", "tier": "gold"}
        made.script.graphql.behave(partial([row], {"message": "beside", "path": ["customers", 0, "tier"]}))
        await ask(scope, '{ customer(id: "1") { id } first { id } }')
        assert sorted((path, problem.message, problem.path) for _, path, problem in scope.problems) == [
            (["customer"], "beside", ("tier",)),
            (["first"], "beside", ("tier",)),
        ]
        assert scope.served == []


async def test_a_request_has_one_loader_for_all_fields_of_a_batch() -> None:
    async with scoped() as (_, scope):
        assert by_id.loader(scope) is by_id.loader(scope)
        assert parts.loader(scope) is not by_id.loader(scope)


def test_a_field_carries_its_operation_for_the_check_at_start() -> None:
    field = by_id.one(metadata={"mine": 1})
    assert isinstance(field.metadata[OPERATION], Operation)
    assert field.metadata["mine"] == 1
    assert by_id.operation.name == "Customer.by_id"
    assert parts.operation.name == "Part.by_maker_number"


ROW_ONLY = "query ($ids: [ID!]!) { customers(ids: $ids) { id } }"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "fields that are not selected": (
        {"graphql": ROW_ONLY, "key": "id"},
        "the document does not select name, tier, which the type needs; select it, or give the attribute a default",
    ),
    "a key that the type does not have": (
        {"graphql": MANY, "key": "number"},
        "key: Customer has no attribute number (it has: id, name, tier)",
    ),
    "a key of a scalar": ({"kind": int, "rest": "GET /counts{?ids}", "key": "id"}, "key: int has no attribute id"),
    "another variable that a call must have": (
        {
            "graphql": "query ($ids: [ID!]!, $at: String!) { customers(ids: $ids, at: $at) { id name tier } }",
            "key": "id",
        },
        "by key only: at is required too",
    ),
    "a path variable beside the keys": (
        {"rest": "GET /tenants/{tenant}/customers{?ids}", "key": "id", "by": "ids"},
        "by key only: tenant is required too",
    ),
    "nothing to ask with": ({"key": "id"}, "give graphql=…, rest=…, or both"),
}


@pytest.mark.parametrize(("parts", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_batch_that_cannot_work_is_refused_where_it_is_declared(parts: dict[str, Any], message: str) -> None:
    given = {"kind": Customer, "service": "crm", **parts}
    with pytest.raises(OperationError) as refused:
        batched(given.pop("kind"), **given)
    assert message in str(refused.value)


def test_fields_that_cannot_work_are_refused_where_they_are_declared() -> None:
    with pytest.raises(OperationError, match=r"crm.tiers: graphql: the document does not select id, tier"):
        upstream_field(Customer, service="crm", name="tiers", graphql="{ customers { name } }", many=True)
    with pytest.raises(
        OperationError, match=r"a variable's type Tier has no Python type by itself; say it: arguments="
    ):
        upstream_field(
            Customer, service="crm", name="x", graphql="query ($t: Tier) { customer(t: $t) { id name tier } }"
        )
    with pytest.raises(OperationError, match=r"many\(\) needs a key of one attribute"):
        parts.many()
    with pytest.raises(TypeError, match="customer is not a batched operation"):
        Batched(ONE, Customer, None, 0.0)  # type: ignore[arg-type]


async def test_a_batch_and_a_field_may_have_a_default_as_json_would_have_it() -> None:
    nobody = {"name": "unknown", "tier": "BASIC"}
    or_nobody = batched(Customer, service="crm", key="id", name="orNobody", rest="GET /customers{?ids}", default=nobody)

    @strawberry.type
    class Defaults:
        customer: Customer | None = or_nobody.one()
        few: list[Customer | None] | None = upstream_field(
            Customer, service="crm", name="few", many=True, rest="GET /customers", default=[{"id": "0", **nobody}]
        )

    async with scoped() as (made, scope):
        made.script.rest.behave(status(503))
        result = await strawberry.Schema(Defaults).execute(
            '{ customer(id: "7") { id name tier } few { id name } }', context_value=scope
        )
    assert result.errors is None
    assert result.data == {
        "customer": {"id": "7", "name": "unknown", "tier": "BASIC"},
        "few": [{"id": "0", "name": "unknown"}],
    }
    noted = {path[0]: served.by for _, path, served in scope.served}
    assert noted == {"customer": ServedBy.DEFAULT, "few": ServedBy.DEFAULT}


def test_list_variables_become_list_arguments() -> None:
    @strawberry.type
    class Lists:
        by_ids: list[Customer | None] | None = upstream_field(
            Customer,
            service="crm",
            name="lists",
            many=True,
            graphql="query ($ids: [ID!]!, $maybe: [Int]) { customers(ids: $ids, maybe: $maybe) { id name tier } }",
        )

    assert "byIds(ids: [ID!]!, maybe: [Int]): [Customer]" in strawberry.Schema(Lists).as_str()
