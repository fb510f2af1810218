"""Fetches that go to other processes: in chunks, each entity by itself, each error at its place."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from clients.call import Caller, Problem, Served, ServedBy
from clients.policy import CachePolicy, RetryPolicy, ServicePolicy
from clients.service import Service
from clients.stores.memory import MemoryStore
from clients.transports import PyreqwestWire
from clients.upstream import Upstream
from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest
from gateway.federation.remote import RemoteSubgraphs
from tests.testkit.clock import ManualClock
from tests.testkit.upstream import Behaviour, Exchange, ScriptedUpstream, errors, sequence, status

DOCUMENT = (
    "query ($representations: [_Any!]!) { _entities(representations: $representations) { ... on User { name } } }"
)


class Scope:
    """The request, as far as it matters here."""

    def __init__(self) -> None:
        self.caller = Caller("r", "c")
        self.loaders: dict[Any, Any] = {}
        self.noted: list[tuple[str, tuple[str | int, ...], Served]] = []

    def note_served(self, service: str, path: Sequence[str | int], served: Served) -> None:
        self.noted.append((service, tuple(path), served))

    def note_problem(self, service: str, path: Sequence[str | int], problem: Problem) -> None:
        raise AssertionError(problem)


@dataclass
class Remote:
    script: ScriptedUpstream
    subgraphs: RemoteSubgraphs
    clock: ManualClock
    scope: Scope = field(default_factory=Scope)

    async def root(self, document: str = "{ users { name } }", **more: Any) -> Any:
        request = SubgraphRequest("users", document, None, {}, more.pop("kind", "query"), (), (), self.scope)
        return await self.subgraphs.fetch(request)

    async def entities(self, *ids: int, document: str = DOCUMENT, **variables: Any) -> Any:
        given = variables or {"representations": representations(*ids)}
        slots = tuple((f"_e{n}" if variables else "_entities", name) for n, name in enumerate(given))
        request = SubgraphRequest("users", document, None, given, "query", ("top", "user"), slots, self.scope)
        return await self.subgraphs.fetch(request)


def representations(*ids: int) -> list[dict[str, Any]]:
    return [{"__typename": "User", "id": each} for each in ids]


@asynccontextmanager
async def remote(cache: CachePolicy | None = None) -> AsyncIterator[Remote]:
    clock = ManualClock()
    wire = PyreqwestWire()
    async with ScriptedUpstream(types={"id": "ID"}) as script:
        policy = ServicePolicy(
            retry=RetryPolicy(attempts=1), cache=cache or CachePolicy(max_age_s=0, stale_if_error_s=0)
        )
        store = MemoryStore(10_000, 50_000_000, clock)
        service = Service("users", policy, graphql=script.graphql.url, show_errors=True)
        async with Upstream(service, wire, store, clock=clock, random=Random(1)) as upstream:
            yield Remote(script, RemoteSubgraphs({"users": upstream}), clock)
        await wire.aclose()


def named(failing: Mapping[int, Behaviour] | None = None, said: Any = None) -> Behaviour:
    """Answers each representation with its name; `failing` are behaviours of calls that ask for an id."""

    async def behave(exchange: Exchange) -> Response | None:
        variables = exchange.call.variables
        for given in variables.values():
            for each in given:
                if each["id"] in (failing or {}):
                    return await (failing or {})[each["id"]](exchange)
        keys = ["_entities"] if "representations" in variables else [f"_e{n}" for n in range(len(variables))]
        data = {
            key: [{"name": f"User {each['id']}"} for each in given]
            for key, given in zip(keys, variables.values(), strict=True)
        }
        return JSONResponse({"data": data, **({"errors": said} if said else {})})

    return behave


async def test_root_fields_come_with_their_errors() -> None:
    async with remote() as made:
        said = [{"message": "m", "path": ["users", 0, "name"], "extensions": {"code": "X", "more": 1}}]
        made.script.graphql.behave(status(200, body={"data": {"users": [{"name": None}]}, "errors": said}))
        response = await made.root()
        assert response.data == {"users": [{"name": None}]}
        assert response.errors == said
        assert made.scope.noted == []


async def test_answers_are_the_callers_own() -> None:
    async with remote(CachePolicy(max_age_s=60, stale_if_error_s=60)) as made:
        made.script.graphql.behave(status(200, body={"data": {"users": [{"name": "Ada"}]}}))
        (await made.root()).data["users"].clear()
        assert (await made.root()).data == {"users": [{"name": "Ada"}]}
        assert len(made.script.graphql.calls) == 1


async def test_a_failure_is_a_failed_fetch_with_code_and_wait() -> None:
    async with remote() as made:
        made.script.graphql.behave(status(503, headers={"retry-after": "7.26"}))
        with pytest.raises(FetchFailed, match="answered 503") as raised:
            await made.root()
        failure = raised.value
        assert (failure.service, failure.code, failure.retry_after_s) == ("users", "UPSTREAM_SERVER_ERROR", 7.3)
        made.script.graphql.behave(status(429, headers={"retry-after": "-1"}))
        with pytest.raises(FetchFailed) as raised:
            await made.root()
        assert (raised.value.code, raised.value.retry_after_s) == ("UPSTREAM_RATE_LIMITED", None)


async def test_what_a_failing_subgraph_said_is_passed_on() -> None:
    async with remote() as made:
        made.script.graphql.behave(errors("boom", code="INTERNAL_SERVER_ERROR"))
        response = await made.root()
        assert response.data is None
        assert response.errors == [{"message": "boom", "path": [], "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]


async def test_a_stale_root_answer_is_noted_at_each_of_its_fields() -> None:
    async with remote(CachePolicy(max_age_s=0, stale_if_error_s=60)) as made:
        made.script.graphql.behave(status(200, body={"data": {"users": []}}))
        await made.root()
        await made.clock.advance(3)
        made.script.graphql.behave(status(500))
        assert (await made.root()).data == {"users": []}
        assert made.scope.noted == [("users", ("users",), Served(ServedBy.STALE, "UPSTREAM_SERVER_ERROR", 3.0))]


async def test_a_mutation_is_sent_once() -> None:
    async with remote() as made:
        made.script.graphql.behave(sequence(status(503), then=status(200, body={"data": {"m": 1}})))
        with pytest.raises(FetchFailed):
            await made.root("mutation { m }", kind="mutation")
        assert (await made.root("mutation { m }", kind="mutation")).data == {"m": 1}
        assert len(made.script.graphql.calls) == 2


async def test_a_thousand_representations_are_one_call_and_more_are_several() -> None:
    async with remote() as made:
        made.script.graphql.behave(named())
        response = await made.entities(*range(2_500))
        assert response.data == {"_entities": [{"name": f"User {n}"} for n in range(2_500)]}
        assert list(response.errors) == []
        sizes = sorted(len(call.variables["representations"]) for call in made.script.graphql.calls)
        assert sizes == [500, 1_000, 1_000]
        made.script.graphql.forget()
        await made.entities(*range(1_000))
        assert len(made.script.graphql.calls) == 1


async def test_a_chunk_that_fails_costs_its_own_entities() -> None:
    async with remote() as made:
        made.script.graphql.behave(named({1_500: status(503, headers={"retry-after": "2"})}))
        response = await made.entities(*range(2_200))
        entities = response.data["_entities"]
        assert [n for n, each in enumerate(entities) if each is None] == list(range(1_000, 2_000))
        assert entities[2_199] == {"name": "User 2199"}
        assert [error["path"] for error in response.errors] == [["_entities", n] for n in range(1_000, 2_000)]
        assert response.errors[0]["extensions"] == {"code": "UPSTREAM_SERVER_ERROR", "retryAfter": 2.0}


async def test_chunks_that_all_fail_are_one_failed_fetch() -> None:
    async with remote() as made:
        made.script.graphql.behave(status(503))
        with pytest.raises(FetchFailed, match="answered 503"):
            await made.entities(*range(1_001))
        assert len(made.script.graphql.calls) == 2


async def test_what_a_failing_chunk_said_is_placed_at_its_entities() -> None:
    async with remote() as made:
        reported = {
            "data": None,
            "errors": [
                {"message": "boom", "path": ["_entities", 3, "name"], "extensions": {"code": "TIMEOUT"}},
                {"message": "of all", "extensions": {"code": "TIMEOUT"}},
            ],
        }
        made.script.graphql.behave(named({1_003: status(200, body=reported)}))
        response = await made.entities(*range(1_010))
        assert response.data["_entities"][999] == {"name": "User 999"}
        assert response.data["_entities"][1_000:] == [None] * 10
        assert [(error["message"], error["path"]) for error in response.errors] == [
            ("boom", ["_entities", 1_003, "name"]),
            ("of all", []),
        ]


async def test_errors_of_entities_are_placed_across_chunks() -> None:
    async with remote() as made:
        made.script.graphql.behave(named(said=[{"message": "m", "path": ["_entities", 4, "name"]}]))
        response = await made.entities(*range(1_005))
        assert [error["path"] for error in response.errors] == [["_entities", 4, "name"], ["_entities", 1_004, "name"]]


async def test_slots_are_told_apart_when_a_chunk_ends_inside_one() -> None:
    async with remote() as made:
        made.script.graphql.behave(named(said=[{"message": "m", "path": ["_e1", 0]}]))
        document = "query ($a: [_Any!]!, $b: [_Any!]!) { _e0: _entities(representations: $a) { __typename } _e1: _entities(representations: $b) { __typename } }"  # noqa: E501
        given = {"a": representations(*range(600)), "b": representations(*range(600))}
        response = await made.entities(document=document, **given)
        expected = [{"name": f"User {n}"} for n in range(600)]
        assert response.data == {"_e0": expected, "_e1": expected}
        assert [error["path"] for error in response.errors] == [["_e1", 0], ["_e1", 400]]


async def test_stale_entities_are_noted_one_by_one_at_the_requests_path() -> None:
    async with remote(CachePolicy(max_age_s=0, stale_if_error_s=60)) as made:
        made.script.graphql.behave(named())
        await made.entities(1, 2)
        await made.clock.advance(5)
        made.script.graphql.behave(status(500))
        response = await made.entities(1, 2, 3)
        assert response.data == {"_entities": [{"name": "User 1"}, {"name": "User 2"}, None]}
        assert [error["path"] for error in response.errors] == [["_entities", 2]]
        stale = Served(ServedBy.STALE, "UPSTREAM_SERVER_ERROR", 5.0)
        assert made.scope.noted == [("users", ("top", "user"), stale)] * 2


async def test_fresh_entities_are_no_news() -> None:
    async with remote(CachePolicy(max_age_s=60, stale_if_error_s=60)) as made:
        made.script.graphql.behave(named())
        await made.entities(1)
        await made.entities(1)
        assert made.scope.noted == []
        assert len(made.script.graphql.calls) == 1
