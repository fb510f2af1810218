"""The engine as a whole: documents, variables, cached plans, introspection, cancellation."""

import asyncio
from typing import Any

import pytest
from graphql import get_introspection_query, graphql_sync

import gateway.federation.executor
import gateway.federation.planner
import gateway.federation.supergraph
from gateway.federation.engine import FederationEngine
from gateway.federation.errors import InvalidDocument
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from tests.federation.kit import Federation, World, supergraph

SDL = supergraph(
    """
    type Query {
      greet(name: String = "you", loud: Boolean): String @join__field(graph: A)
      when(day: Day!): String @join__field(graph: B)
      user: User @join__field(graph: A)
    }
    enum Day @join__type(graph: B) { MON TUE }
    type User @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      mood: String @join__field(graph: B)
    }
    """,
    "a",
    "b",
)
USER = {"__typename": "User", "id": "u", "mood": "fine"}
WORLD = World(
    {"greet": lambda name=None, loud=None: f"{name} {loud}", "when": lambda day: f"on {day}", "user": USER}, [USER]
)


async def test_variables_are_coerced_and_only_those_a_request_uses_are_sent() -> None:
    federation = Federation(SDL, WORLD)
    query = (
        'query Q($day: Day!, $name: String = "Kim", $loud: Boolean) { when(day: $day) greet(name: $name, loud: $loud) }'
    )
    assert await federation.data(query, {"day": "TUE"}) == {"when": "on TUE", "greet": "Kim None"}
    sent = {request.subgraph: (request.operation_name, request.variables) for request in federation.requests}
    assert sent == {"a": ("Q__a__2", {"name": "Kim"}), "b": ("Q__b__1", {"day": "TUE"})}


@pytest.mark.parametrize(
    ("document", "variables", "code"),
    [
        ("{", None, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("{ user { id ... @defer { mood } } }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($day: Day!) { when(day: $day) }", {"day": "NEVER"}, "BAD_USER_INPUT"),
        ("query ($day: Day!) { when(day: $day) }", None, "BAD_USER_INPUT"),
        ("query A { user { id } } query B { user { id } }", None, "PLANNING_FAILED"),
    ],
)
async def test_what_cannot_be_run_is_refused_before_anything_is_sent(
    document: str, variables: dict[str, Any] | None, code: str
) -> None:
    federation = Federation(SDL, WORLD)
    answer = await federation.answer(document, variables)
    assert "data" not in answer
    assert answer["errors"][0]["extensions"]["code"] == code
    assert not federation.requests


async def test_the_operation_is_selected_by_name() -> None:
    federation = Federation(SDL, WORLD)
    document = "query A { user { id } } query B { user { mood } }"
    assert await federation.engine.execute(document, operation_name="B") == {"data": {"user": {"mood": "fine"}}}
    missing = await federation.engine.execute(document, operation_name="C")
    assert missing["errors"][0]["message"] == "The document has no operation named 'C'."


async def test_subscriptions_are_refused() -> None:
    sdl = supergraph("type Query { a: Int } type Subscription @join__type(graph: A) { ticks: Int }", "a").replace(
        "query: Query", "query: Query subscription: Subscription"
    )
    answer = await Federation(sdl).answer("subscription { ticks }")
    assert [error["message"] for error in answer["errors"]] == ["Subscriptions are not supported."]


def test_plans_are_cached_by_document_operation_and_labels() -> None:
    engine = Federation(SDL, WORLD).engine
    document = "query A { user { id } } query B { user { mood } }"
    assert engine.plan(document, "A") is engine.plan(document, "A", frozenset({"unknown label"}))
    assert engine.plan(document, "A") is not engine.plan(document, "B")


def test_the_least_recently_used_plan_goes_first() -> None:
    engine = FederationEngine(SDL, Federation(SDL).fetcher, plan_cache_size=1)
    first = engine.plan("{ user { id } }")
    engine.plan("{ user { mood } }")
    assert engine.plan("{ user { id } }") is not first


def test_an_invalid_document_is_not_cached() -> None:
    engine = Federation(SDL).engine
    for _ in range(2):
        with pytest.raises(InvalidDocument, match="Cannot query field 'x'"):
            engine.plan("{ x }")


async def test_the_runtime_type_of_the_root_asks_nobody() -> None:
    federation = Federation(SDL, WORLD)
    assert await federation.answer("{ __typename a: __typename }") == {"data": {"__typename": "Query", "a": "Query"}}
    assert not federation.requests


async def test_introspection_is_answered_from_the_api_schema_beside_other_fields() -> None:
    federation = Federation(SDL, WORLD)
    query = """
    query ($type: String = "Day", $no: Boolean = false) {
      user { mood }
      day: __type(name: $type) { ...T }
      ... { __schema { queryType { name } } }
      unwanted: __type(name: "User") @include(if: $no) { name }
    }
    fragment T on __Type { enumValues { name } }
    """
    assert await federation.answer(query) == {
        "data": {
            "user": {"mood": "fine"},
            "day": {"enumValues": [{"name": "MON"}, {"name": "TUE"}]},
            "__schema": {"queryType": {"name": "Query"}},
        }
    }


async def test_the_whole_introspection_equals_that_of_the_api_schema() -> None:
    federation = Federation(SDL, WORLD)
    query = get_introspection_query()
    assert (await federation.answer(query))["data"] == graphql_sync(federation.engine.api_schema, query).data
    assert not federation.requests


class Gate:
    """A fetcher whose answers wait to be let through."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.started: list[SubgraphRequest] = []
        self.cancelled: list[str] = []
        self.open = {name: asyncio.Event() for name in ("a", "b")}
        self.arrived = {name: asyncio.Event() for name in ("a", "b")}

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        self.started.append(request)
        self.arrived[request.subgraph].set()
        try:
            await self.open[request.subgraph].wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.subgraph)
            raise
        response = await self.inner.fetch(request)
        assert isinstance(response, SubgraphResponse)
        return response


async def test_a_request_goes_out_as_soon_as_its_own_inputs_are_there() -> None:
    gate = Gate(Federation(SDL, WORLD).fetcher)
    engine = FederationEngine(SDL, gate)
    running = asyncio.create_task(engine.execute("{ user { mood } when(day: MON) }"))
    async with asyncio.timeout(5):
        await gate.arrived["a"].wait()
        await gate.arrived["b"].wait()
        gate.arrived["b"].clear()
        gate.open["a"].set()
        await gate.arrived["b"].wait()  # for the mood, although the other answer of b is still out
        gate.open["b"].set()
        answer = await running
    assert answer == {"data": {"user": {"mood": "fine"}, "when": "on MON"}}
    assert [bool(request.entities) for request in gate.started] == [False, False, True]


async def test_cancelling_an_execution_cancels_its_requests_and_waits_for_them() -> None:
    gate = Gate(Federation(SDL, WORLD).fetcher)
    running = asyncio.create_task(FederationEngine(SDL, gate).execute("{ user { mood } when(day: MON) }"))
    async with asyncio.timeout(5):
        await gate.arrived["a"].wait()
        await gate.arrived["b"].wait()
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()
    assert sorted(gate.cancelled) == ["a", "b"]


async def test_the_context_is_handed_to_every_request_untouched() -> None:
    federation = Federation(SDL, WORLD)
    context = object()
    await federation.engine.execute("{ user { mood } }", context=context)
    assert [request.context for request in federation.requests] == [context, context]
    assert [(request.path, bool(request.entities)) for request in federation.requests] == [
        ((), False),
        (("user",), True),
    ]


@pytest.mark.parametrize(
    "package", [gateway.federation.executor, gateway.federation.planner, gateway.federation.supergraph]
)
def test_packages_export_what_they_say(package: Any) -> None:
    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)
