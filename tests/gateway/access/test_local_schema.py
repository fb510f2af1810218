"""This process's own schema: guarded by the directives on its fields and types, whole or as a subgraph."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from clients.call import Caller
from gateway.access.guard import Access
from gateway.execution import StrawberryExecutor
from gateway.http.documents import DocumentCache
from schema.access import policy, requires
from schema.build import SchemaError, build_schema, core_schema
from tests.gateway.access import ledger
from tests.testkit.execution import answer_of, withheld

MODULE = "tests.gateway.access.ledger"
QUERY = '{ account(id: "7") { id title balance ownerName grade } audit { id } }'


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ledger.resolved.clear()


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "as a subgraph"])
def executor(request: pytest.FixtureRequest) -> StrawberryExecutor:
    schema = build_schema([MODULE], federated=request.param)
    return StrawberryExecutor(
        schema, DocumentCache(core_schema(schema)), hide_suggestions=True, access=Access(ledger.grant)
    )


async def ask(
    executor: StrawberryExecutor,
    query: str,
    variables: Mapping[str, Any] | None = None,
    *,
    scopes: Collection[str] = (),
    authenticated: bool = False,
    user: str | None = None,
) -> dict[str, Any]:
    caller = Caller("r", "c", user=user, authenticated=authenticated, scopes=frozenset(scopes))
    return await answer_of(executor, caller, query, variables)


async def test_what_is_withheld_is_null_and_no_resolver_of_it_runs(executor: StrawberryExecutor) -> None:
    answer = await ask(executor, QUERY)
    assert answer["data"] == {
        "account": {"id": "7", "title": "Entry 7", "balance": None, "ownerName": None, "grade": None},
        "audit": None,
    }
    assert withheld(answer) == ["account.balance", "account.ownerName", "account.grade", "audit"]
    assert ledger.resolved == []


async def test_scopes_policies_and_knowing_who_it_is_open_what_asks_for_them(executor: StrawberryExecutor) -> None:
    scopes = ["accounts:read", "accounts:all", "grades"]
    answer = await ask(executor, QUERY, scopes=scopes, authenticated=True, user="teller")
    assert answer == {
        "data": {
            "account": {"id": "7", "title": "Entry 7", "balance": 12.5, "ownerName": "Ada", "grade": "GOOD"},
            "audit": {"id": "2"},
        }
    }
    assert sorted(ledger.resolved) == ["audit", "balance 7", "owner 7"]
    answer = await ask(executor, QUERY, scopes=scopes, user="broken")
    assert withheld(answer) == ["account.ownerName", "audit"]
    assert "canary" not in str(answer)


async def test_a_withheld_field_that_may_not_be_null_takes_its_object_with_it(executor: StrawberryExecutor) -> None:
    query = '{ account(id: "7") { id lastSeen } }'
    answer = await ask(executor, query)
    assert (answer["data"], withheld(answer)) == ({"account": None}, ["account.lastSeen"])
    assert (await ask(executor, query, scopes=["audit"]))["data"] == {"account": {"id": "7", "lastSeen": "today"}}


async def test_objects_of_a_guarded_type_show_nothing_among_others(executor: StrawberryExecutor) -> None:
    query = "{ entries { __typename ... on Account { id balance } ... on Audit { title: __typename } } }"
    answer = await ask(executor, query)
    assert answer["data"] == {
        "entries": [
            {"__typename": "Account", "id": "1", "balance": None},
            {"__typename": "Audit", "title": "Audit"},
        ]
    }
    answer = await ask(executor, "{ entries { id } }")
    assert (answer["data"], withheld(answer)) == (None, ["entries.@.id"])  # [Entry!]! of ID!


async def test_a_withheld_mutation_changes_nothing(executor: StrawberryExecutor) -> None:
    answer = await ask(executor, 'mutation { closeAccount(id: "7") }')
    assert (answer["data"], withheld(answer)) == ({"closeAccount": None}, ["closeAccount"])
    assert ledger.resolved == []
    answer = await ask(executor, 'mutation { closeAccount(id: "7") }', scopes=["accounts:close"])
    assert answer == {"data": {"closeAccount": True}}
    assert ledger.resolved == ["close 7"]


async def test_entities_are_no_way_around_for_a_gateway_in_front() -> None:
    schema = build_schema([MODULE], federated=True)
    executor = StrawberryExecutor(schema, DocumentCache(core_schema(schema)), hide_suggestions=True)
    query = "query ($r: [_Any!]!) { _entities(representations: $r) { ... on Account { id balance } } }"
    variables = {"r": [{"__typename": "Account", "id": "7"}]}
    answer = await ask(executor, query, variables)
    assert answer["data"] == {"_entities": [{"id": "7", "balance": None}]}
    assert withheld(answer) == ["_entities.@.balance"]
    assert ledger.resolved == []
    sdl = (await ask(executor, "{ _service { sdl } }"))["data"]["_service"]["sdl"]
    assert 'balance: Float @requiresScopes(scopes: [["accounts:read", "accounts:all"]])' in sdl
    assert 'ownerName: String @policy(policies: [["teller"]])' in sdl


def test_a_root_type_is_not_guarded_as_a_whole() -> None:
    with pytest.raises(SchemaError, match=r"guarded_root\.Query is guarded as a whole; guard its fields"):
        build_schema(["tests.gateway.access.guarded_root"])


def test_a_requirement_of_nothing_is_a_mistake() -> None:
    for helper in (requires, policy):
        with pytest.raises(ValueError, match="needs"):
            helper()
