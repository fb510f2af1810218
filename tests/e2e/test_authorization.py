"""Who may see what, over real sockets: subgraphs' directives, this process's own, and policies."""

from contextlib import AsyncExitStack

import pytest

from tests.gateway.access import ledger
from tests.testkit.federation import ScriptedSubgraph, federated_gateway
from tests.testkit.gateway import running_gateway

MODULE = "tests.gateway.access.ledger"
ACCESS = {"policies": f"{MODULE}:grant"}
PROXY = {"trusted_proxies": ["127.0.0.1/32"]}

SHOP = """
type Query { products: [Product!]! cost: Float @requiresScopes(scopes: [["costs"]]) }
type Product @key(fields: "id") {
  id: ID!
  name: String
  margin: Float @authenticated
  supplier: String @policy(policies: [["buyer"]])
  account: Account
}
type Account @key(fields: "id", resolvable: false) { id: ID! }
"""


def shop() -> ScriptedSubgraph:
    product = {"id": "p", "name": "Rope", "margin": 0.4, "supplier": "Acme", "account": {"id": "7"}}
    return ScriptedSubgraph.made(SHOP, {"products": [product], "cost": 1.0}, {"Product": lambda _: product})


@pytest.mark.parametrize("user", ["buyer", "somebody"])
async def test_directives_of_subgraphs_and_of_this_process_are_honoured_in_one_graph(user: str) -> None:
    ledger.resolved.clear()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(shop())
        overrides = {"imports": [MODULE], "access": ACCESS, "identity": PROXY}
        gateway = await stack.enter_async_context(federated_gateway({"shop": upstream}, overrides))
        query = "{ products { name margin supplier account { title balance } } cost }"
        answered = await gateway.ask(query, {"x-user-id": user})
    account = {"title": "Entry 7", "balance": None}
    supplier = "Acme" if user == "buyer" else None
    product = {"name": "Rope", "margin": 0.4, "supplier": supplier, "account": account}
    assert answered.data == {"products": [product], "cost": None}
    withheld = ["products.@.supplier", "products.@.account.balance", "cost"]
    assert [".".join(error["path"]) for error in answered.errors] == [
        path for path in withheld if supplier is None or not path.endswith("supplier")
    ]
    assert set(answered.codes) == {"UNAUTHORIZED_FIELD_OR_TYPE"}
    assert ledger.resolved == []
    (document,) = upstream.documents
    assert [name for name in ("margin", "supplier", "cost") if name in document] == [
        "margin",
        *["supplier"] * (user == "buyer"),
    ]


async def test_a_schema_without_a_federation_is_guarded_and_a_failing_policy_grants_nothing() -> None:
    ledger.resolved.clear()
    async with running_gateway({"imports": [MODULE], "access": ACCESS}) as gateway:
        query = '{ account(id: "7") { id balance ownerName } }'
        teller = await gateway.ask(query, {"x-user-id": "teller"})
        broken = await gateway.ask(query, {"x-user-id": "broken"})
    assert teller.data == {"account": {"id": "7", "balance": None, "ownerName": "Ada"}}
    assert [error["path"] for error in teller.errors] == [["account", "balance"]]
    assert broken.data == {"account": {"id": "7", "balance": None, "ownerName": None}}
    assert "canary" not in broken.response.text
    assert ledger.resolved == ["owner 7"]


async def test_an_operation_is_refused_as_a_whole_where_that_is_configured() -> None:
    ledger.resolved.clear()
    overrides = {"imports": [MODULE], "access": {"reject_unauthorized": True}}
    async with running_gateway(overrides) as gateway:
        refused = await gateway.ask('{ account(id: "7") { id balance } }')
        allowed = await gateway.ask('{ account(id: "7") { id } }')
    assert refused.response.status_code == 403
    assert refused.codes == ["UNAUTHORIZED_FIELD_OR_TYPE"]
    assert "data" not in refused.body
    assert allowed.data == {"account": {"id": "7"}}


async def test_no_call_is_made_for_declared_fields_that_are_withheld() -> None:
    overrides = {"imports": ["tests.gateway.access.orders"], "access": ACCESS}
    async with running_gateway(overrides) as gateway:
        query = "{ orders(first: 2) { number total customer { name } } secretOrders { number } }"
        nobody = await gateway.ask(query)
        assert [len(each.graphql.calls) for each in (gateway.invoices, gateway.customers)] == [1, 0]
        clerk = await gateway.ask(query, {"x-user-id": "clerk"})
        assert [len(each.graphql.calls) for each in (gateway.invoices, gateway.customers)] == [2, 1]
    orders = [{"number": f"INV-{i}", "total": None, "customer": None} for i in (1, 2)]
    assert nobody.data == {"orders": orders, "secretOrders": None}
    assert [".".join(error["path"]) for error in nobody.errors] == [
        "orders.@.total",
        "orders.@.customer",
        "secretOrders",
    ]
    known = [{**order, "customer": {"name": f"Customer {i}"}} for i, order in enumerate(orders, 1)]
    assert clerk.data == {"orders": known, "secretOrders": None}
