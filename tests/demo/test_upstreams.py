import asyncio
from typing import Any

import httpx
import pytest

from demo.bank import accounts
from demo.customers import customers
from demo.invoices import invoices
from demo.run import Demo
from tests.testkit.clock import ManualClock


async def graphql(client: httpx.AsyncClient, base: str, query: str, **variables: Any) -> Any:
    answer = await client.post(f"{base}/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_data_is_the_same_every_time_and_fits_together() -> None:
    assert customers() == customers()
    assert invoices() == invoices()
    assert accounts() == accounts()
    assert (len(customers()), len(invoices()), len(accounts())) == (40, 120, 40)
    assert {invoice.customer_id for invoice in invoices().values()} == set(customers())
    assert set(accounts()) == set(customers())
    assert {customer.tier for customer in customers().values()} == {"BRONZE", "SILVER", "GOLD"}
    assert {invoice.status for invoice in invoices().values()} == {"OPEN", "PAID", "OVERDUE"}


def test_account_numbers_have_true_check_digits() -> None:
    numbers = [account.account_number for account in accounts().values()]
    assert len(set(numbers)) == 40
    for number in numbers:
        assert int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1


async def test_customers_give_the_same_rows_in_both_protocols(demo: Demo, client: httpx.AsyncClient) -> None:
    base = demo.urls["customers"]
    query = "query ($ids: [ID!]!) { customers(ids: $ids) { id name email tier } }"
    by_graphql = (await graphql(client, base, query, ids=["2", "1"]))["data"]["customers"]
    assert by_graphql == (await client.get(f"{base}/api/customers?ids=2,1")).json()
    assert by_graphql == (await client.get(f"{base}/api/customers?ids=2&ids=1")).json()
    assert by_graphql[1] == {"id": "1", "name": "Ada Lovelace", "email": "customer1@example.com", "tier": "BRONZE"}


async def test_unknown_customers_are_null_or_left_out_or_404(demo: Demo, client: httpx.AsyncClient) -> None:
    base = demo.urls["customers"]
    query = '{ customers(ids: ["x", "1"]) { id } customer(id: "x") { id } }'
    assert (await graphql(client, base, query))["data"] == {"customers": [None, {"id": "1"}], "customer": None}
    assert [row["id"] for row in (await client.get(f"{base}/api/customers?ids=x,1")).json()] == ["1"]
    assert (await client.get(f"{base}/api/customers/x")).status_code == 404
    assert (await client.get(f"{base}/api/customers/1")).json()["id"] == "1"
    assert len((await client.get(f"{base}/api/customers")).json()) == 40


async def test_invoices_give_the_same_rows_in_both_protocols(demo: Demo, client: httpx.AsyncClient) -> None:
    base = demo.urls["invoices"]
    fields = "{ id number total currency status issuedOn customerId }"
    lists = f'few: invoices(first: 3) {fields} hers: invoices(customerId: "8") {fields}'
    query = f'{{ {lists} one: invoice(id: "1007") {fields} }}'
    data = (await graphql(client, base, query))["data"]
    assert data["few"] == (await client.get(f"{base}/api/invoices?first=3")).json()
    assert data["hers"] == (await client.get(f"{base}/api/invoices?customerId=8")).json()
    assert data["one"] == (await client.get(f"{base}/api/invoices/1007")).json()
    assert len(data["few"]) == len(data["hers"]) == 3
    assert len((await client.get(f"{base}/api/invoices?first=&customerId=")).json()) == 120
    assert (await client.get(f"{base}/api/invoices?first=x")).status_code == 400
    assert (await client.get(f"{base}/api/invoices/x")).status_code == 404


async def test_an_invoice_paid_in_one_protocol_is_paid_in_the_other(demo: Demo, client: httpx.AsyncClient) -> None:
    base = demo.urls["invoices"]
    query = "mutation ($id: ID!) { payInvoice(id: $id) { status } }"
    assert (await client.get(f"{base}/api/invoices/1002")).json()["status"] == "OPEN"
    assert (await graphql(client, base, query, id="1002"))["data"] == {"payInvoice": {"status": "PAID"}}
    assert (await client.get(f"{base}/api/invoices/1002")).json()["status"] == "PAID"
    assert (await client.post(f"{base}/api/invoices/1004/pay")).json()["status"] == "PAID"
    assert (await graphql(client, base, '{ invoice(id: "1004") { status } }'))["data"]["invoice"] == {"status": "PAID"}
    assert (await graphql(client, base, query, id="x"))["data"] == {"payInvoice": None}
    assert (await client.post(f"{base}/api/invoices/x/pay")).status_code == 404


async def test_the_bank_is_slow_and_flaky_until_it_is_told_to_be_steady(
    demo: Demo, client: httpx.AsyncClient, clock: ManualClock
) -> None:
    url = f"{demo.urls['bank']}/api/accounts?customerIds=1,2"
    statuses = []
    for _ in range(60):
        waiting = asyncio.create_task(client.get(url))
        await clock.wait_for_sleepers(1)
        assert 0.15 <= clock.sleepers[0] <= 0.4
        await clock.advance(0.4)
        statuses.append((await waiting).status_code)
    assert set(statuses) == {200, 503}
    assert 2 <= statuses.count(503) <= 12
    await client.post(f"{demo.control_url}/bank.rest", json={"mode": "steady"})
    assert {(await client.get(url)).status_code for _ in range(20)} == {200}


async def test_the_bank_gives_accounts_by_customer(demo: Demo, client: httpx.AsyncClient) -> None:
    await client.post(f"{demo.control_url}/bank", json={"mode": "steady"})
    base = f"{demo.urls['bank']}/api/accounts"
    rows = (await client.get(f"{base}?customerIds=2,1,x")).json()
    assert [row["customerId"] for row in rows] == ["2", "1"]
    assert rows[1] == (await client.get(f"{base}/1")).json()
    assert set(rows[0]) == {"customerId", "accountNumber", "balance", "currency"}
    assert (await client.get(base)).status_code == 400
    assert (await client.get(f"{base}/x")).status_code == 404


@pytest.mark.parametrize("name", ["customers", "invoices", "bank", "products", "reviews"])
async def test_each_says_it_is_alive(demo: Demo, client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"{demo.urls[name]}/health")).text == "ok"
