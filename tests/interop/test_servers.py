import httpx
import pytest

pytestmark = pytest.mark.node

ADA = {"id": "1", "name": "Ada Lovelace"}
CHIARA = {"id": "3", "name": "Chiara Tanaka"}


async def test_apollo_server_answers_in_the_order_asked_with_null_for_unknown_ids(apollo_url: str) -> None:
    query = "query Customers($ids: [ID!]!) { customers(ids: $ids) { id name } }"
    async with httpx.AsyncClient() as client:
        answer = await client.post(apollo_url, json={"query": query, "variables": {"ids": ["3", "9", "1"]}})
    assert answer.status_code == 200
    assert answer.json() == {"data": {"customers": [CHIARA, None, ADA]}}


async def test_apollo_server_answers_a_document_it_does_not_know_with_400(apollo_url: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(apollo_url, json={"query": "{ nobody { id } }"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_json_server_filters_by_a_repeated_parameter(json_server_url: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{json_server_url}/customers?id=3&id=9&id=1")
    assert answer.status_code == 200
    assert [{"id": row["id"], "name": row["name"]} for row in answer.json()] == [ADA, CHIARA]


async def test_json_server_gives_single_rows_and_404(json_server_url: str) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{json_server_url}/customers/1")).json()["name"] == "Ada Lovelace"
        assert (await client.get(f"{json_server_url}/customers/9")).status_code == 404
