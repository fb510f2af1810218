"""What holds for requests holds for subscriptions: who may see what, what may be run and may cost, and until when."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from demo.reviews import reviews_schema
from tests.gateway.identity.support import Known, known
from tests.gateway.subscriptions.support import Client, client
from tests.gateway.subscriptions.ticks import notes
from tests.testkit.federation import ScriptedSubgraph
from tests.testkit.gateway import Gateway, running_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

METERS = "tests.gateway.subscriptions.meters"
ASK = "subscription { readings { number value owner } }"
READER = {"scope": "meters:read"}
WITHHELD = "UNAUTHORIZED_FIELD_OR_TYPE"
LISTED = "subscription Listed { readings(to: 1) { number } }"
COSTLY = "subscription { readings { number customer { name } } }"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["its own schema", "federation"])
async def asked(request: pytest.FixtureRequest) -> AsyncIterator[Known]:
    async with AsyncExitStack() as stack:
        sections: dict[str, Any] = {"imports": ["schema.customers", METERS]}
        if request.param == "federation":
            reviews = await stack.enter_async_context(ScriptedSubgraph.of(reviews_schema()))
            sections |= {"federation": {}, "services": {"reviews": {"graphql": reviews.graphql.url, "subgraph": {}}}}
        running = await stack.enter_async_context(known(**sections))
        notes.go_on.clear()
        yield running


async def sse(gateway: Gateway, body: Mapping[str, Any], events: int, headers: Mapping[str, str]) -> list[Any]:
    """The first events of a stream."""
    found: list[Any] = []
    accept = {"accept": "text/event-stream", **headers}
    async with gateway.http.stream("POST", "/graphql", json=dict(body), headers=accept) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                found.append(json.loads(line.removeprefix("data: ")))
                if len(found) == events:
                    break
    return found


def shown(answer: Mapping[str, Any]) -> tuple[Any, list[tuple[str, Any]]]:
    """Data, and of each error code and path."""
    errors = [(error["extensions"]["code"], error.get("path")) for error in answer.get("errors", [])]
    return answer.get("data"), errors


async def events(it: Client, count: int) -> list[Any]:
    return [(await it.receive())["payload"] for _ in range(count)]


async def test_of_each_event_what_its_subscriber_may_not_see_is_null_with_an_error(asked: Known) -> None:
    query = "subscription { readings { number value } }"
    withheld = [(WITHHELD, ["readings", "value"])]
    expected = [({"readings": {"number": number, "value": None}}, withheld) for number in (1, 2)]
    async with client(asked.gateway, additional_headers=asked.issuer.bearer()) as it:
        await it.subscribe(query)
        assert [shown(event) for event in await events(it, 2)] == expected
    over_sse = await sse(asked.gateway, {"query": query}, 2, asked.issuer.bearer())
    assert [shown(event) for event in over_sse] == expected


async def test_who_has_the_scopes_sees_all_of_it(asked: Known) -> None:
    expected: list[Any] = [({"readings": {"number": n, "value": n / 2, "owner": "Ada"}}, []) for n in (1, 2)]
    async with client(asked.gateway, init=False) as it:
        await it.init({"authorization": asked.issuer.bearer(**READER)["authorization"]})
        await it.subscribe(ASK)
        assert [shown(event) for event in await events(it, 2)] == expected
    over_sse = await sse(asked.gateway, {"query": ASK}, 2, asked.issuer.bearer(**READER))
    assert [shown(event) for event in over_sse] == expected


async def test_a_null_that_may_not_be_takes_the_event(asked: Known) -> None:
    async with client(asked.gateway) as it:
        await it.subscribe("subscription { readings { number owner } }")
        data, errors = shown((await events(it, 1))[0])
    assert (data, errors) == (None, [(WITHHELD, ["readings", "owner"])])


async def test_a_subscription_that_its_caller_may_not_see_does_not_begin(asked: Known) -> None:
    query = "subscription { secretReadings { number } }"
    running = notes.running
    async with client(asked.gateway, additional_headers=asked.issuer.bearer(**READER)) as it:
        await it.subscribe(query)
        refused = await it.receive()
    assert (refused["type"], [error["extensions"]["code"] for error in refused["payload"]]) == ("error", [WITHHELD])
    [event] = await sse(asked.gateway, {"query": query}, 1, asked.issuer.bearer(**READER))
    assert shown(event)[1] == [(WITHHELD, None)]
    assert notes.running == running
    async with client(asked.gateway, additional_headers=asked.issuer.bearer(scope="meters:secret")) as it:
        await it.subscribe(query)
        assert shown((await events(it, 1))[0]) == ({"secretReadings": {"number": 1}}, [])


async def test_a_connection_ends_when_its_token_does(asked: Known) -> None:
    ends = int(asked.clock.wall().timestamp()) + 60
    async with client(asked.gateway, init=False) as it:
        await it.init({"authorization": asked.issuer.bearer(exp=ends)["authorization"]})
        await it.subscribe(ASK)
        await events(it, 2)
        headers = {"accept": "text/event-stream", **asked.issuer.bearer(exp=ends)}
        async with asked.gateway.http.stream("POST", "/graphql", json={"query": ASK}, headers=headers) as stream:
            lines = stream.aiter_lines()
            while not (await anext(lines)).startswith("data: "):
                pass
            await asked.clock.advance(59)
            await it.send("ping")
            assert await it.receive() == {"type": "pong"}
            await asked.clock.advance(61)  # with the leeway for clocks that differ
            assert await it.closed() == (4403, "The credential has expired")
            rest = [line async for line in lines]
    assert "event: complete" not in rest


async def test_only_the_safelists_operations_are_run(tmp_path: Path) -> None:
    digest = hashlib.sha256(LISTED.encode()).hexdigest()
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({digest: LISTED}))
    safelist = {"file": str(manifest), "mode": "enforce"}
    more = {"mode": "production", "imports": ["schema.customers", METERS], "persisted_queries": {"safelist": safelist}}
    by_hash: dict[str, Any] = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}
    async with running_gateway(more) as gateway, client(gateway) as it:
        for number, body in enumerate(({"query": LISTED}, by_hash)):
            await it.send("subscribe", id=str(number), payload=body)
            assert (await it.data()) == {"readings": {"number": 1}}
            assert (await sse(gateway, body, 1, {}))[0] == {"data": {"readings": {"number": 1}}}
        await it.send("subscribe", id="x", payload={"query": ASK})
        refused = await it.receive()
        assert [error["extensions"]["code"] for error in refused["payload"]] == ["QUERY_NOT_IN_SAFELIST"]
        await it.send("subscribe", id="y", payload={"query": "{ meter }"})
        refused = await it.receive()
        assert [error["extensions"]["code"] for error in refused["payload"]] == ["QUERY_NOT_IN_SAFELIST"]
        [event] = await sse(gateway, {"query": ASK}, 1, {})
        assert shown(event)[1] == [("QUERY_NOT_IN_SAFELIST", None)]


async def test_what_may_cost_too_much_is_refused() -> None:
    limits = {"limits": {"cost": "enforce", "max_cost": 1}}
    async with running_gateway({"mode": "production", "imports": ["schema.customers", METERS], **limits}) as gateway:
        async with client(gateway) as it:
            for id_, query in (("1", COSTLY), ("2", '{ customer(id: "1") { name account { balance } } }')):
                await it.subscribe(query, id_)
                refused = await it.receive()
                assert [error["extensions"]["code"] for error in refused["payload"]] == ["COST_LIMIT_EXCEEDED"]
        [event] = await sse(gateway, {"query": COSTLY}, 1, {})
        assert shown(event)[1] == [("COST_LIMIT_EXCEEDED", None)]
        assert gateway.customers.graphql.calls == []
