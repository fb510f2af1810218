"""graphql-sse's distinct connections over a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.gateway.subscriptions.support import subscribed_gateway
from tests.gateway.subscriptions.ticks import CANARY, notes
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Gateway
from tests.testkit.waiting import until_true

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVENTS = {"accept": "text/event-stream"}
WAIT = "subscription { onceAndWait { number } }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with subscribed_gateway() as running:
        yield running


class Stream:
    """One stream of events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def event(self) -> tuple[str, Any]:
        """Name and data of the next event; `comment` for a comment."""
        name, data = "", ""
        async for line in self._lines:
            if line.startswith(":"):
                await anext(self._lines)
                return "comment", None
            key, _, value = line.partition(":")
            if key == "event":
                name = value.strip()
            elif key == "data":
                data = value.strip()
            elif not line:
                return name, json.loads(data) if data else None
        return "end", None


@asynccontextmanager
async def stream(gateway: Gateway, query: str, *, method: str = "POST", **variables: Any) -> AsyncIterator[Stream]:
    asked: dict[str, Any] = (
        {"json": {"query": query, "variables": variables}} if method == "POST" else {"params": {"query": query}}
    )
    async with gateway.http.stream(method, "/graphql", headers=EVENTS, **asked) as response:
        yield Stream(response)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_events_come_in_order_and_then_complete(gateway: Gateway, method: str) -> None:
    async with stream(gateway, "subscription { count(to: 100) { number } }", method=method) as it:
        assert it.response.status_code == 200
        assert it.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        for number in range(1, 101):
            assert await it.event() == ("next", {"data": {"count": {"number": number}}})
        assert await it.event() == ("complete", None)
        assert await it.event() == ("end", None)


async def test_a_query_and_a_mutation_are_one_event(gateway: Gateway) -> None:
    for query, data in (("{ __typename }", {"__typename": "Query"}), ("mutation { touch }", {"touch": 1})):
        async with stream(gateway, query) as it:
            assert [await it.event(), await it.event()] == [("next", {"data": data}), ("complete", None)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { refused { number } }", "FORBIDDEN"),
        ("subscription { failsAfter(events: 0) { number } }", "INTERNAL_SERVER_ERROR"),
    ],
)
async def test_what_is_wrong_with_an_operation_is_in_the_stream(gateway: Gateway, query: str, code: str) -> None:
    async with stream(gateway, query) as it:
        assert it.response.status_code == 200
        name, answer = await it.event()
        assert (name, answer["errors"][0]["extensions"]["code"], "data" in answer) == ("next", code, False)
        assert CANARY not in str(answer)
        assert await it.event() == ("complete", None)


@pytest.mark.parametrize(
    ("method", "more", "status"),
    [
        ("PUT", {}, 405),
        ("POST", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
        ("POST", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ("GET", {"params": {"query": WAIT}, "headers": {"origin": "https://evil.example"}}, 403),
    ],
)
async def test_what_is_wrong_with_the_request_is_its_status(
    gateway: Gateway, method: str, more: dict[str, Any], status: int
) -> None:
    headers = {**EVENTS, **more.pop("headers", {})}
    assert (await gateway.http.request(method, "/graphql", headers=headers, **more)).status_code == status


async def test_a_mutation_is_not_run_over_get(gateway: Gateway) -> None:
    async with stream(gateway, "mutation { touch }", method="GET") as it:
        name, answer = await it.event()
        assert (name, answer["errors"][0]["extensions"]["code"]) == ("next", "METHOD_NOT_ALLOWED")


async def test_without_event_streams_in_accept_a_subscription_is_refused_and_told_both_ways(gateway: Gateway) -> None:
    refused = await gateway.ask(WAIT)
    assert refused.codes == ["OPERATION_NOT_SUPPORTED"]
    assert "graphql-transport-ws" in refused.errors[0]["message"]
    assert "text/event-stream" in refused.errors[0]["message"]


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("text/event-stream, multipart/mixed", True),
        ("text/event-stream, application/json;q=0.9", True),
        ("application/json, text/event-stream", False),
        ("application/graphql-response+json, application/json;q=0.9, text/event-stream;q=0.1", False),
        ("*/*", False),
    ],
)
async def test_accept_decides(gateway: Gateway, accept: str, streams: bool) -> None:
    answered = await gateway.http.post("/graphql", json={"query": "{ __typename }"}, headers={"accept": accept})
    assert answered.headers["content-type"].startswith("text/event-stream") is streams


async def test_a_client_that_leaves_ends_the_source(gateway: Gateway) -> None:
    before = asyncio.all_tasks()
    async with stream(gateway, WAIT) as it:
        await it.event()
        await notes.some_running(1)
    await notes.none_running()
    await gateway.server.wait_for_connections(0)
    await until_true(lambda: asyncio.all_tasks() <= before, "all tasks to end")


async def test_a_silent_stream_gets_comments_and_an_old_one_ends_without_complete() -> None:
    clock = ManualClock()
    settings = {"subscriptions": {"keep_alive_s": 15, "max_lifetime_s": 60}}
    async with subscribed_gateway(settings, clock=clock) as gateway, stream(gateway, WAIT) as it:
        assert (await it.event())[0] == "next"
        for _ in range(2):
            await clock.advance(15)
            assert await it.event() == ("comment", None)
        await clock.advance(30)
        events = [(await it.event())[0]]
        while events[-1] != "end":
            events.append((await it.event())[0])
        assert "complete" not in events


async def test_with_too_many_connections_another_one_is_refused() -> None:
    async with subscribed_gateway({"subscriptions": {"max_connections": 1}}) as gateway, stream(gateway, WAIT) as it:
        await it.event()
        refused = await gateway.http.post("/graphql", json={"query": WAIT}, headers=EVENTS)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (503, "OVERLOADED")
