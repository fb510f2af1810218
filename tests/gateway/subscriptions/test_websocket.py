"""graphql-transport-ws over a socket: answers, violations, limits, and nothing left behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import websockets

from tests.gateway.subscriptions.support import Client, client, subscribed_gateway
from tests.gateway.subscriptions.ticks import CANARY, notes
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Gateway
from tests.testkit.waiting import until_true

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = "subscription ($to: Int!) { count(to: $to) { number } }"
WAIT = "subscription { onceAndWait { number } }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with subscribed_gateway({"subscriptions": {"max_per_connection": 3}}) as running:
        yield running


async def test_events_come_in_order_and_then_complete(gateway: Gateway) -> None:
    async with client(gateway) as it:
        await it.subscribe(COUNT, to=1000)
        assert [(await it.data())["count"]["number"] for _ in range(1000)] == [*range(1, 1001)]
        assert await it.receive() == {"id": "1", "type": "complete"}
        await it.subscribe(COUNT, to=1)  # the id is free again
        assert (await it.data())["count"] == {"number": 1}


async def test_queries_and_mutations_are_answered_once_and_complete(gateway: Gateway) -> None:
    async with client(gateway) as it:
        for number, (text, data) in enumerate(
            [("{ __typename }", {"__typename": "Query"}), ("mutation { touch }", {"touch": 1})]
        ):
            await it.subscribe(text, id_=str(number))
            assert await it.receive() == {"id": str(number), "type": "next", "payload": {"data": data}}
            assert await it.receive() == {"id": str(number), "type": "complete"}


async def test_two_clients_and_two_operations_of_one_are_independent(gateway: Gateway) -> None:
    async with client(gateway) as one, client(gateway) as other:
        await one.subscribe(WAIT, id_="a")
        await one.subscribe(WAIT, id_="b")
        await other.subscribe(WAIT, id_="a")
        assert {(await one.receive())["id"], (await one.receive())["id"]} == {"a", "b"}
        assert (await other.data())["onceAndWait"] == {"number": 1}
        await one.send("complete", id="a")
        await notes.some_running(2)
        await other.send("ping")
        assert await other.receive() == {"type": "pong"}
    await notes.none_running()


async def test_a_client_that_completes_or_leaves_ends_the_source_in_mid_event(gateway: Gateway) -> None:
    before = asyncio.all_tasks()
    async with client(gateway) as it:
        await it.subscribe("subscription { onceAndWait { hangs } }", id_="inside an event")
        await it.subscribe(WAIT, id_="between events")
        await notes.some_running(2)
        await it.send("complete", id="inside an event")
        await notes.some_running(1)
    await notes.none_running()
    await gateway.server.wait_for_connections(0)
    await until_true(lambda: asyncio.all_tasks() <= before, "all tasks to end")


async def test_a_connection_that_is_cut_ends_everything_too(gateway: Gateway) -> None:
    async with client(gateway) as it:
        await it.subscribe(WAIT)
        await it.data()
        it.socket.transport.abort()
        await notes.none_running()
    await gateway.server.wait_for_connections(0)


async def test_each_event_has_loaders_and_a_deadline_of_its_own(gateway: Gateway) -> None:
    notes.contexts.clear()
    before = len(gateway.customers.graphql.calls)
    async with client(gateway) as it:
        await it.subscribe("subscription { count(to: 3) { deadline customer { name } } }")
        events = [(await it.data())["count"] for _ in range(3)]
    assert [event["customer"]["name"] for event in events] == ["Customer 1", "Customer 2", "Customer 3"]
    assert len(gateway.customers.graphql.calls) - before == 3
    assert len({id(context) for context in notes.contexts}) == 3
    assert all(not context.loaders for context in notes.contexts)
    deadlines = [event["deadline"] for event in events]
    assert deadlines == sorted(set(deadlines))


async def test_what_fails_in_an_event_is_masked_and_the_next_event_comes(gateway: Gateway) -> None:
    async with client(gateway) as it:
        await it.subscribe("subscription { count(to: 2) { number fails } }")
        message = await it.receive()
        assert CANARY not in str(message)
        [error] = message["payload"]["errors"]
        assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        assert error["extensions"]["requestId"]
        assert (await it.data())["count"] == {"number": 2, "fails": 2}
        assert (await it.receive())["type"] == "complete"


@pytest.mark.parametrize("events", [0, 2])
async def test_a_source_that_fails_ends_with_a_masked_error(gateway: Gateway, events: int) -> None:
    async with client(gateway) as it:
        await it.subscribe("subscription ($n: Int!) { failsAfter(events: $n) { number } }", n=events)
        for number in range(events):
            assert (await it.data())["failsAfter"]["number"] == number + 1
        message = await it.receive()
        assert (message["type"], message["id"]) == ("error", "1")
        [error] = message["payload"]
        assert (error["path"], error["extensions"]["code"]) == (["failsAfter"], "INTERNAL_SERVER_ERROR")
        assert CANARY not in str(message)


REFUSED = {
    "not GraphQL": ("subscription {", {}, "GRAPHQL_PARSE_FAILED"),
    "not of the schema": ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
    "two root fields": ("subscription { a: large b: large }", {}, "GRAPHQL_VALIDATION_FAILED"),
    "a variable that does not fit": (COUNT, {"to": "x"}, "BAD_USER_INPUT"),
    "too deep": ("{ a" * 20 + " }" * 20, {}, "LIMIT_EXCEEDED"),
    "refused by its function": ("subscription { refused { number } }", {}, "FORBIDDEN"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_executed_is_an_error_and_the_connection_stays(
    gateway: Gateway, case: tuple[str, dict[str, Any], str]
) -> None:
    text, variables, code = case
    async with client(gateway) as it:
        for _ in range(2):
            await it.subscribe(text, **variables)
            message = await it.receive()
            assert (message["id"], message["type"]) == ("1", "error")
            assert message["payload"][0]["extensions"]["code"] == code


async def _binary(it: Client) -> None:
    await it.socket.send(b"{}")


async def _nonsense(it: Client) -> None:
    await it.socket.send("hello")


async def _too_early(it: Client) -> None:
    await it.subscribe(WAIT)


async def _twice(it: Client) -> None:
    await it.init()
    await it.send("connection_init")


async def _same_id(it: Client) -> None:
    await it.init()
    await it.subscribe(WAIT)
    await it.data()
    await it.subscribe(WAIT)


async def _too_large(it: Client) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        await it.socket.send(" " * 1_000_001)


async def _credential_with_a_line_break(it: Client) -> None:
    await it.send("connection_init", payload={"authorization": "a\r\nb"})


VIOLATIONS = {
    "binary": (_binary, 4400),
    "not JSON": (_nonsense, 4400),
    "asks before it is acknowledged": (_too_early, 4401),
    "initialises twice": (_twice, 4429),
    "uses an id twice": (_same_id, 4409),
    "too large": (_too_large, 1009),
    "a credential that is no header": (_credential_with_a_line_break, 4400),
}


@pytest.mark.parametrize(("violate", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_a_violation_closes_with_its_code_and_ends_everything(gateway: Gateway, violate: Any, code: int) -> None:
    async with client(gateway, init=False) as it:
        await violate(it)
        assert (await it.closed())[0] == code
    await notes.none_running()


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"]])
async def test_another_subprotocol_closes_with_4406(gateway: Gateway, subprotocols: Any) -> None:
    async with client(gateway, init=False, subprotocols=subprotocols) as it:
        assert (await it.closed())[0] == 4406


async def test_one_more_than_allowed_is_an_error_and_a_flood_leaves_nothing(gateway: Gateway) -> None:
    async with client(gateway) as it:
        for number in range(200):
            await it.subscribe(WAIT, id_=str(number))
        answered, refused = 0, 0
        while answered + refused < 200:
            message = await it.receive()
            answered += message["type"] == "next"
            if message["type"] == "error":
                refused += 1
                assert message["payload"][0]["extensions"]["code"] == "OVERLOADED"
                assert "3 operations" in message["payload"][0]["message"]
        assert (answered, refused) == (3, 197)
        await it.send("complete", id="0")
        await notes.some_running(2)
        await it.subscribe(WAIT, id_="again")
        assert (await it.data())["onceAndWait"] == {"number": 1}
    await notes.none_running()


async def test_a_client_that_reads_nothing_holds_its_source_back(gateway: Gateway) -> None:
    async with client(gateway, max_queue=1) as it:
        notes.produced = 0
        await it.subscribe("subscription { large }")
        held = -1
        while held != notes.produced:  # it grows until the buffers of both sides are full
            held = notes.produced
            for _ in range(500):
                await asyncio.sleep(0)
        assert 0 < held < 500  # of 100 kB each
        for _ in range(held + 5):
            await it.data()
        assert notes.produced > held
        it.socket.transport.abort()
    await notes.none_running()


async def test_a_client_that_reads_nothing_for_too_long_is_dropped() -> None:
    clock = ManualClock()
    async with subscribed_gateway(clock=clock) as gateway, client(gateway, max_queue=1) as it:
        notes.produced = 0
        await it.subscribe("subscription { large }")
        await notes.some_running(1)
        held = -1
        while held != notes.produced:
            held = notes.produced
            for _ in range(500):
                await asyncio.sleep(0)
        await clock.advance(30)
        await notes.none_running()
        await gateway.server.wait_for_connections(0)
        it.socket.transport.abort()


async def test_a_page_of_another_origin_may_not_connect_and_one_of_the_gateway_may(gateway: Gateway) -> None:
    for origin in ("https://evil.example", "null", gateway.server.url.replace("127.0.0.1", "localhost")):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with client(gateway, origin=origin):
                raise AssertionError
        assert refused.value.response.status_code == 403
    async with client(gateway, origin=gateway.server.url):
        pass


async def test_a_page_that_may_ask_over_http_may_connect() -> None:
    cors = {"origins": ["https://app.example.org"], "origin_patterns": [r"https://[a-z]+\.preview\.example"]}
    async with subscribed_gateway({"mode": "production", "cors": cors}) as gateway:
        for origin in ("https://app.example.org", "https://a.preview.example", gateway.server.url):
            async with client(gateway, origin=origin, additional_headers={"cookie": "session=1"}):
                pass
        for origin in (
            "https://evil.example",
            "https://app.example.org.evil.example",
            "https://a.preview.example.evil",
        ):
            await refused_origin(gateway, origin)


async def test_where_everybodys_pages_may_ask_they_may_connect_as_nobody() -> None:
    async with subscribed_gateway({"cors": {"origins": ["*"]}}) as gateway:
        async with client(gateway, origin="https://anybody.example"):
            pass
        await refused_origin(gateway, "https://anybody.example", cookie="session=1")


async def refused_origin(gateway: Gateway, origin: str, **headers: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with client(gateway, origin=origin, additional_headers=headers):
            raise AssertionError
    assert refused.value.response.status_code == 403


async def test_a_credential_in_the_payload_counts_as_the_header_unless_there_is_one(gateway: Gateway) -> None:
    ask = "subscription { count(to: 1) { credential } }"
    async with client(gateway, init=False) as it:
        await it.init({"Authorization": "Bearer payload"})
        await it.subscribe(ask)
        assert (await it.data())["count"] == {"credential": "Bearer payload"}
    async with client(gateway, init=False, additional_headers={"authorization": "Bearer header"}) as it:
        await it.init({"authorization": "Bearer payload"})
        await it.subscribe(ask)
        assert (await it.data())["count"] == {"credential": "Bearer header"}


async def test_with_too_many_connections_another_one_is_refused() -> None:
    async with subscribed_gateway({"subscriptions": {"max_connections": 1}}) as gateway, client(gateway):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with client(gateway):
                raise AssertionError
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "5"


async def test_who_does_not_initialise_in_time_is_closed_with_4408_and_who_does_stays() -> None:
    clock = ManualClock()
    async with (
        subscribed_gateway(clock=clock) as gateway,
        client(gateway) as known,
        client(gateway, init=False) as silent,
    ):
        await clock.advance(10)
        assert await silent.closed() == (4408, "Connection initialisation timeout")
        await known.subscribe("{ __typename }")
        assert await known.data() == {"__typename": "Query"}


async def test_a_connection_past_its_lifetime_is_closed_with_1001() -> None:
    clock = ManualClock()
    async with subscribed_gateway({"subscriptions": {"max_lifetime_s": 60}}, clock=clock) as gateway:
        async with client(gateway) as it:
            await it.subscribe(WAIT)
            await it.data()
            await clock.advance(60)
            assert (await it.closed())[0] == 1001
        await notes.none_running()


async def test_an_event_that_is_not_executed_in_time_is_null_and_the_next_one_comes() -> None:
    clock = ManualClock()
    async with subscribed_gateway(clock=clock) as gateway, client(gateway) as it:
        await it.subscribe("subscription { count(to: 2) { hangs } }")
        for number in (1, 2):
            await notes.have_produced(number)
            await clock.advance(31)
            message = await it.receive()
            assert message["payload"]["data"] is None
            assert message["payload"]["errors"][0]["extensions"]["code"] == "DEADLINE_EXCEEDED"
        assert (await it.receive())["type"] == "complete"


async def test_a_source_that_does_not_open_in_time_is_an_error() -> None:
    clock = ManualClock()
    async with subscribed_gateway(clock=clock) as gateway, client(gateway) as it:
        await it.subscribe("subscription { neverOpens { number } }")
        await it.send("ping")
        assert await it.receive() == {"type": "pong"}
        await clock.advance(31)
        message = await it.receive()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "DEADLINE_EXCEEDED")


async def test_open_sockets_are_no_requests_in_flight_and_executing_operations_are() -> None:
    async with subscribed_gateway({"server": {"max_in_flight": 1}}) as gateway, client(gateway) as it:
        for number in range(3):
            await it.subscribe(WAIT, id_=str(number))
            await it.data()
        load = (await gateway.ask("{ health { load { inFlight } } }")).data["health"]["load"]
        assert load == {"inFlight": 1}  # the question itself
        await it.subscribe("subscription { count(to: 2) { hangs } }", id_="executes")
        await notes.some_running(4)
        assert (await gateway.ask("{ __typename }")).codes == ["OVERLOADED"]
        await it.subscribe("{ __typename }", id_="query")
        message = await it.receive()
        assert (message["id"], message["type"]) == ("query", "error")
        assert message["payload"][0]["extensions"]["code"] == "OVERLOADED"
