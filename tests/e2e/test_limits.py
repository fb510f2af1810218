"""Limits of a document, over a socket: what is refused costs no call; what tools and the planner ask is not refused."""

from pathlib import Path
from typing import Any

import pytest
from graphql.utilities import get_introspection_query

from tests.testkit.gateway import Gateway, running_gateway

BOMB = (
    "{ ...F0 } "
    + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(26))
    + " fragment F26 on Query { invoices(first: 1) { id } }"
)
ATTACKS = {
    "max_selections": BOMB,
    "max_depth": "{ invoices { customer " * 8 + "{ name }" + " } }" * 8,
    "max_aliases": "{" + " ".join(f"a{n}: invoices(first: 1) {{ id }}" for n in range(31)) + "}",
    "max_directives": "{ invoices(first: 1) { id " + "@include(if: true) " * 51 + "} }",
    "max_root_fields": "{" + "invoices(first: 1) { id } " * 21 + "}",
    "max_tokens": "{ invoices(first: 1) { " + "id " * 5_000 + "} }",
}


def calls(gateway: Gateway) -> int:
    upstreams = (gateway.customers, gateway.invoices, gateway.bank)
    return sum(len(endpoint.calls) for upstream in upstreams for endpoint in (upstream.graphql, upstream.rest))


def federation(folder: Path, more: str = "") -> dict[str, Any]:
    """The schema of the process beside one subgraph, at whose address nobody listens."""
    sdl = folder / "notes.graphql"
    sdl.write_text(f"type Query {{ note: String }} {more}")
    notes = {"graphql": "http://127.0.0.1:9/graphql", "subgraph": {"sdl": str(sdl)}, "retry": {"attempts": 1}}
    return {"federation": {}, "services": {"notes": notes}}


@pytest.mark.parametrize("federated", [False, True], ids=["alone", "federated"])
async def test_what_asks_too_much_is_refused_in_production_with_no_call_upstream(
    federated: bool, tmp_path: Path
) -> None:
    async with running_gateway({"mode": "production", **(federation(tmp_path) if federated else {})}) as gateway:
        for limit, text in ATTACKS.items():
            for _ in range(2):
                answered = await gateway.ask(text)
                assert answered.response.status_code == 400
                assert "data" not in answered.body
                assert set(answered.codes) == {"LIMIT_EXCEEDED"}
                assert limit in {error["extensions"]["limit"] for error in answered.errors}
                assert any(f"{limit} allows " in error["message"] for error in answered.errors)
        assert calls(gateway) == 0
        assert (await gateway.ask("{ invoices(first: 1) { id } }")).data == {"invoices": [{"id": "1"}]}


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("{" + "a:__typename " * 70_000 + "}", 400),
        ("{ __typename }" + " " * 990_000, 400),
        ("{ __typename }" + " " * 1_000_000, 413),
        ("{ tree " * 500 + "{ leaf }" + " }" * 500, 400),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", 200),
    ],
    ids=["70,000 aliases", "1 MB", "over 1 MB", "500 deep", "circular"],
)
async def test_a_monstrous_document_is_answered_and_the_next_request_too(text: str, status: int) -> None:
    async with running_gateway({"mode": "production"}) as gateway:
        answered = await gateway.ask(text, headers={"accept": "application/json"})
        assert (answered.response.status_code, "data" in answered.body) == (status, False)
        assert answered.errors
        assert (await gateway.ask("{ __typename }")).data == {"__typename": "Query"}


async def test_limits_are_set_and_turned_off_in_the_configuration() -> None:
    text = ATTACKS["max_aliases"]
    async with running_gateway({"limits": {"max_aliases": None, "max_root_fields": 31}}) as gateway:
        assert len((await gateway.ask(text)).data) == 31
    async with running_gateway({"limits": {"max_aliases": 0}}) as gateway:
        (error,) = (await gateway.ask("{ a: invoices(first: 1) { id } }")).errors
        assert error["message"] == "The document has 1 aliases; max_aliases allows 0."


@pytest.mark.parametrize("federated", [False, True], ids=["alone", "federated"])
async def test_introspection_as_graphiql_asks_for_it_passes_in_development(federated: bool, tmp_path: Path) -> None:
    text = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    async with running_gateway(federation(tmp_path) if federated else {}) as gateway:
        answered = await gateway.ask(text)
        assert answered.errors == []
        assert answered.data["__schema"]["queryType"]["name"] == "Query"


async def test_what_the_planner_asks_of_the_local_schema_is_not_limited(tmp_path: Path) -> None:
    # The local schema is asked for { customers { id name email } }: more than the two selections that are allowed.
    more = 'type Customer @key(fields: "id name email") { id: ID! name: String! email: String! note: String }'
    more += ' extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])'
    async with running_gateway({**federation(tmp_path, more), "limits": {"max_selections": 2}}) as gateway:
        answered = await gateway.ask('{ customers(ids: ["1"]) { note } }')
        assert answered.data == {"customers": [{"note": None}]}
        assert [error["extensions"]["service"] for error in answered.errors] == ["notes"]
        assert (await gateway.ask('{ customers(ids: ["1"]) { note id } }')).codes == ["LIMIT_EXCEEDED"]
