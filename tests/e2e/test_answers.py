"""A query answered from upstreams, batched."""

from tests.testkit.gateway import Gateway
from tests.testkit.upstream import status

INVOICES = "query ($first: Int) { invoices(first: $first) { id total customer { id name } } }"


async def test_100_invoices_with_customers_make_one_call_to_customers(gateway: Gateway) -> None:
    answered = await gateway.ask(INVOICES, first=100)
    assert answered.errors == []
    assert [i["customer"]["name"] for i in answered.data["invoices"]] == [f"Customer {i}" for i in range(1, 101)]
    assert len(gateway.customers.graphql.calls) == 1
    assert len(gateway.invoices.graphql.calls) == 1


async def test_two_aliases_asking_for_the_same_ids_make_one_call(gateway: Gateway) -> None:
    answered = await gateway.ask("{ a: customers(ids: [1, 2]) { name } b: customers(ids: [2, 1]) { email } }")
    assert answered.data == {
        "a": [{"name": "Customer 1"}, {"name": "Customer 2"}],
        "b": [{"email": "c2@example.org"}, {"email": "c1@example.org"}],
    }
    assert len(gateway.customers.graphql.calls) == 1


async def test_two_aliases_of_an_unbatched_field_share_one_call(gateway: Gateway) -> None:
    await gateway.ask("{ a: invoices(first: 3) { id } b: invoices(first: 3) { number } }")
    assert len(gateway.invoices.graphql.calls) == 1


async def test_250_ids_make_three_calls(gateway: Gateway) -> None:
    answered = await gateway.ask(INVOICES, first=250)
    assert len(answered.data["invoices"]) == 250
    assert [len(call.variables["ids"]) for call in gateway.customers.graphql.calls] == [100, 100, 50]


async def test_an_unknown_id_is_null_and_no_error(gateway: Gateway) -> None:
    answered = await gateway.ask('{ customer(id: "nobody") { name } customers(ids: ["1", "nobody"]) { id } }')
    assert answered.body == {"data": {"customer": None, "customers": [{"id": "1"}, None]}}


async def test_a_rest_404_is_null_and_counts_as_no_failure(gateway: Gateway) -> None:
    gateway.invoices.graphql.behave(status(500))
    answered = await gateway.ask('{ invoice(id: "nothing") { id } }')
    assert answered.data == {"invoice": None}
    assert answered.errors == []
    circuits = (await gateway.ask('{ upstreams(name: "invoices") { circuits { protocol consecutiveFailures } } }')).data
    assert circuits["upstreams"][0]["circuits"] == [
        {"protocol": "GRAPHQL", "consecutiveFailures": 1},
        {"protocol": "REST", "consecutiveFailures": 0},
    ]


async def test_nothing_degraded_leaves_no_extensions(gateway: Gateway) -> None:
    assert set((await gateway.ask(INVOICES, first=2)).body) == {"data"}


async def test_dates_and_numbers_arrive_as_the_schema_says(gateway: Gateway) -> None:
    answered = await gateway.ask(
        '{ invoice(id: "2") { total issuedOn customer { balance account { maskedNumber } } } }'
    )
    assert answered.data["invoice"] == {
        "total": 3.0,
        "issuedOn": "2026-01-31",
        "customer": {"balance": 20.0, "account": {"maskedNumber": "…0002"}},
    }
    assert len(gateway.bank.rest.calls) == 1
