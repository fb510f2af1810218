"""`circuitChanges`: every change of a circuit, as it happens, to operators."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from clients.call import ProtocolName
from clients.hooks import CircuitEvent, NoHooks
from gateway.subscriptions.circuits import CircuitFeed
from tests.gateway.subscriptions.support import Client, client
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.upstream import status

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANGES = """subscription ($services: [String!]) { circuitChanges(services: $services) {
    service protocol operation previous state mode reason at missed
} }"""
CUSTOMER = "query ($id: ID!) { customer(id: $id) { name } }"
BREAKER = {"services": {name: {"breaker": {"failures": 1}} for name in ("customers", "invoices")}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway(BREAKER) as running:
        yield running


async def listening(it: Client, id_: str, **variables: Any) -> None:
    await it.subscribe(CHANGES, id_=id_, **variables)
    await it.send("ping")
    assert await it.receive() == {"type": "pong"}  # it is read after the subscription has begun


async def test_a_circuit_that_opens_is_told_to_all_who_listen_to_its_service(gateway: Gateway) -> None:
    async with client(gateway) as it, client(gateway) as other:
        await listening(it, "all")
        await listening(it, "customers", services=["customers"])
        await listening(other, "invoices", services=["invoices"])
        gateway.customers.graphql.behave(status(500))
        assert (await gateway.ask(CUSTOMER, id="1")).data == {"customer": {"name": "Customer 1"}}  # by REST
        changes = {}
        for _ in range(2):
            message = await it.receive()
            changes[message["id"]] = message["payload"]["data"]["circuitChanges"]
        assert changes["all"] == changes["customers"]
        change = changes["all"]
        assert change.pop("at").startswith("20")
        assert change.pop("reason").startswith("1 failures in a row")
        assert change == {
            "service": "customers",
            "protocol": "GRAPHQL",
            "operation": None,
            "previous": "CLOSED",
            "state": "OPEN",
            "mode": "AUTOMATIC",
            "missed": 0,
        }
        await other.send("ping")
        assert await other.receive() == {"type": "pong"}


async def test_a_service_that_is_none_is_named_with_those_there_are(gateway: Gateway) -> None:
    async with client(gateway) as it:
        await it.subscribe(CHANGES, services=["custmers"])
        [error] = (await it.receive())["payload"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["message"] == "services: there is no custmers; there are: customers, invoices, bank."


async def test_in_production_it_is_for_operators_only() -> None:
    async with running_gateway({"mode": "production"}) as gateway, client(gateway) as it:
        await it.subscribe(CHANGES)
        message = await it.receive()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")


async def test_who_does_not_keep_up_misses_the_oldest_and_is_told_how_many() -> None:
    feed = CircuitFeed(NoHooks(), ManualClock())
    with feed.listening() as news:
        for number in range(105):
            feed.on_circuit(CircuitEvent(str(number), ProtocolName.REST, "closed", "open", "it failed"))
        first = await anext(news)
        assert (first.event.service, first.missed) == ("5", 5)
        second = await anext(news)
        assert (second.event.service, second.missed) == ("6", 0)


async def test_what_nobody_listens_to_is_not_kept() -> None:
    feed = CircuitFeed(NoHooks(), ManualClock())
    event = CircuitEvent("crm", ProtocolName.REST, "closed", "open", "it failed")
    feed.on_circuit(event)
    with feed.listening() as news:
        feed.on_circuit(event)
        assert (await anext(news)).missed == 0
    feed.on_circuit(event)
    assert feed.listeners == 0
