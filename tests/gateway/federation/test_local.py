"""The local schema as a subgraph: its own context, its errors masked, its loaders shared by the request."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import strawberry

from clients.call import Caller, Problem, Served, ServedBy
from clients.clock import SystemClock
from clients.subgraph import Shape
from clients.upstream import Upstream
from gateway.context import RequestContext
from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from gateway.federation.local import LocalSubgraph
from tests.testkit.federation import ScriptedSubgraph, federated_gateway
from tests.testkit.gateway import CUSTOMERS
from tests.testkit.upstream import ScriptedUpstream, errors


@strawberry.federation.type(keys=["id"])
class Thing:
    id: strawberry.ID

    @strawberry.field
    def secret(self) -> str:
        raise ValueError("the password is 1234")

    @strawberry.field
    def noted(self, info: strawberry.Info) -> str:
        path: list[Any] = info.path.as_list()
        info.context.note_served("crm", path, Served(ServedBy.STALE, "UPSTREAM_TIMEOUT", 2.0))
        info.context.note_problem("crm", path, Problem("half of it is missing", "PARTIAL", path=("below",)))
        return "noted"

    @strawberry.field
    async def context(self, info: strawberry.Info) -> list[str]:
        done: list[str] = []

        async def work() -> None:
            done.append("spawned")

        info.context.spawn(work())
        return [info.context.caller.request_id, str(sorted(info.context.loaders)), type(info.context.state).__name__]


@strawberry.type
class Query:
    @strawberry.field
    def thing(self) -> Thing:
        return Thing(id=strawberry.ID("1"))

    @strawberry.field
    def missing(self, info: strawberry.Info) -> str:
        upstream: Upstream = info.context.upstream("nowhere")
        return upstream.name


class State:
    upstreams: dict[str, Upstream] = {}  # noqa: RUF012 - never changed


@pytest.fixture
def masked() -> list[str]:
    return []


@pytest.fixture
def local(masked: list[str]) -> LocalSubgraph:
    schema = strawberry.federation.Schema(query=Query, types=[Thing])
    return LocalSubgraph(schema, lambda error, request: masked.append(f"{request}: {error}"), SystemClock())


@pytest.fixture
async def context() -> AsyncIterator[RequestContext]:
    async with RequestContext(Caller("r1", "c1"), State()) as made:  # type: ignore[arg-type]
        yield made


async def fetch(
    local: LocalSubgraph, context: RequestContext, fields: str, *, entities: int = 0, path: tuple[str, ...] = ()
) -> SubgraphResponse:
    if not entities:
        return await local.fetch(SubgraphRequest("local", fields, None, {}, "query", path, (), context))
    document = f"query ($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on Thing {{ {fields} }} }} }}"
    given = {"r": [{"__typename": "Thing", "id": str(n)} for n in range(entities)]}
    slots = (("_entities", "r"),)
    return await local.fetch(SubgraphRequest("local", document, None, given, "query", path, slots, context))


async def test_a_cause_is_masked_and_told(local: LocalSubgraph, context: RequestContext, masked: list[str]) -> None:
    response = await fetch(local, context, "{ thing { id secret } }")
    assert response.data is None
    (error,) = response.errors
    assert (error["path"], error["extensions"]["code"]) == (["thing", "secret"], "INTERNAL_SERVER_ERROR")
    assert "1234" not in str(error)
    assert masked == ["r1: the password is 1234"]


async def test_an_unknown_service_is_masked_too(
    local: LocalSubgraph, context: RequestContext, masked: list[str]
) -> None:
    response = await fetch(local, context, "{ missing }")
    assert response.errors[0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert masked == ["r1: no service 'nowhere' in gateway.yaml (there: none)"]


async def test_a_document_that_does_not_fit_is_refused(local: LocalSubgraph, context: RequestContext) -> None:
    with pytest.raises(FetchFailed, match=r"The local schema refuses a planned request: .*nothing"):
        await fetch(local, context, "{ nothing }")


async def test_a_planned_document_may_be_longer_than_a_clients(local: LocalSubgraph, context: RequestContext) -> None:
    fields = " ".join(f"a_rather_long_alias_of_a_field_{n}: thing {{ id }}" for n in range(5_000))
    response = await fetch(local, context, f"{{ {fields} }}")
    assert len(response.data) == 5_000


class Identified(msgspec.Struct):
    id: str


class Things(msgspec.Struct):
    thing: Identified


class Numbered(msgspec.Struct):
    id: int


class Numbers(msgspec.Struct):
    thing: Numbered


async def test_an_answer_comes_in_the_classes_of_the_plan(local: LocalSubgraph, context: RequestContext) -> None:
    request = SubgraphRequest("local", "{ thing { id } }", None, {}, "query", (), (), context)
    received = await local.fetch_typed(request, Shape(Things))
    assert received.data == Things(Identified("1"))
    assert received.response() == SubgraphResponse({"thing": {"id": "1"}}, [])
    unfit = await local.fetch_typed(request, Shape(Numbers))
    assert unfit.data is None
    assert unfit.response() == SubgraphResponse({"thing": {"id": "1"}}, [])


async def test_an_answer_with_errors_is_for_who_reads_errors(local: LocalSubgraph, context: RequestContext) -> None:
    request = SubgraphRequest("local", "{ thing { id secret } }", None, {}, "query", (), (), context)
    received = await local.fetch_typed(request, Shape(Things))
    assert received.data is None
    assert received.response().data is None
    assert [error["path"] for error in received.response().errors] == [["thing", "secret"]]


async def test_notes_of_root_fields_are_below_the_requests_path(local: LocalSubgraph, context: RequestContext) -> None:
    response = await fetch(local, context, "{ thing { other: noted } }", path=("top",))
    assert [note["path"] for note in context.degraded()] == [["top", "thing", "other"]]
    (error,) = response.errors
    assert error["path"] == ["thing", "other", "below"]
    assert error["message"] == "crm: half of it is missing"
    assert error["extensions"]["upstreamCode"] == "PARTIAL"
    assert context.problems == []


async def test_notes_of_entities_are_at_the_response_path(local: LocalSubgraph, context: RequestContext) -> None:
    response = await fetch(local, context, "noted", entities=2, path=("things",))
    (note,) = context.degraded()
    assert (note["path"], note["count"]) == (["things", "noted"], 2)
    assert [error["path"] for error in response.errors] == [
        ["_entities", 0, "noted", "below"],
        ["_entities", 1, "noted", "below"],
    ]


async def test_a_fetch_sees_the_requests_own_context(local: LocalSubgraph, context: RequestContext) -> None:
    context.loaders["x"] = 1
    response = await fetch(local, context, "{ thing { context } }")
    assert response.data["thing"]["context"] == ["r1", "['x']", "State"]


# --- in a whole gateway ----------------------------------------------------------------------------------------------

USERS = 'type Query { user: Review!, users: [Review!]! } type Review @key(fields: "id") { id: ID!, customerId: ID! }'


async def test_two_local_fetches_of_a_request_share_their_loaders() -> None:
    rows = [{"id": str(n), "customerId": "1"} for n in range(3)]
    remote = ScriptedSubgraph.made(USERS, {"user": rows[0], "users": rows}, {"Review": lambda r: rows[int(r["id"])]})
    async with remote, ScriptedUpstream(CUSTOMERS) as customers:
        services = {"customers": {"graphql": customers.graphql.url}, "bank": {"rest": "http://127.0.0.1:9"}}
        sections = {"imports": ["schema.customers", "schema.reviews"]}
        async with federated_gateway({"remote": remote}, sections, services=services) as gateway:
            query = '{ users { author { name } } customer(id: "1") { name } user { author { name } } }'
            answered = await gateway.ask(query)
            assert answered.errors == []
            assert {answered.data["customer"]["name"], answered.data["user"]["author"]["name"]} == {"Customer 1"}
            assert len(customers.graphql.calls) == 1

            customers.graphql.behave(errors("slow today", code="LATER", data={"customers": [CUSTOMERS[0]]}))
            answered = await gateway.ask("{ users { author { name } } }")
            assert [user["author"] for user in answered.data["users"]] == [{"name": "Customer 1"}] * 3
            assert answered.errors[0]["message"] == "customers: slow today"
            assert answered.errors[0]["path"] == ["users", 0, "author"]
            assert answered.errors[0]["extensions"]["upstreamCode"] == "LATER"
            assert answered.errors[0]["extensions"]["service"] == "customers"
