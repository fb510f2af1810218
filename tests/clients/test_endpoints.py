"""Endpoints that are found by looking a host up, over sockets of several addresses of the loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from clients.call import ProtocolName
from clients.clock import SystemClock
from clients.endpoints import connect_to, system_lookup
from clients.policy import EndpointsPolicy, RetryPolicy, ServicePolicy
from clients.service import Service
from clients.stores.memory import MemoryStore
from clients.transports import HttpxWire, WireOptions
from clients.upstream import Upstream
from tests.clients.fleet import Fleet, looked_up
from tests.clients.support import GRAPHQL_ONLY, REST_ONLY, ROWS, ask_one, customer
from tests.testkit.clock import ManualClock
from tests.testkit.upstream import ScriptedUpstream, hang
from tests.testkit.waiting import until_true


class Names:
    """Answers look-ups as told; `asked` counts them."""

    def __init__(self, *addresses: str) -> None:
        self.answer: Sequence[str] | Exception = addresses
        self.asked = 0

    async def __call__(self, host: str) -> Sequence[str]:
        assert host == "crm.test"
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@asynccontextmanager
async def neighbours(count: int = 2) -> AsyncIterator[list[ScriptedUpstream]]:
    """Upstreams on 127.0.0.1, 127.0.0.2 and so on, all on the same port."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("the loopback of this machine has one address")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(ScriptedUpstream(ROWS))
        others = [
            await stack.enter_async_context(ScriptedUpstream(ROWS, host=f"127.0.0.{n}", port=first.server.port))
            for n in range(2, count + 1)
        ]
        yield [first, *others]


async def ask_many(made: Fleet, count: int) -> None:
    for number in range(1, count + 1):
        assert (await made.execute(ask_one(number, declared=GRAPHQL_ONLY))).value == customer(number)


def names(made: Fleet) -> list[str]:
    return [endpoint.name for endpoint in made.upstream.status().endpoints[ProtocolName.GRAPHQL]]


async def found(made: Fleet, *addresses: str) -> None:
    await until_true(lambda: names(made) == list(addresses), f"the endpoints {addresses}")


@pytest.mark.parametrize("wire", ["pyreqwest", "httpx"])
async def test_calls_go_to_every_address_under_the_name_of_the_host(wire: str) -> None:
    async with neighbours() as scripts, looked_up(Names("127.0.0.1", "127.0.0.2"), scripts, wire=wire) as made:
        await found(made, "127.0.0.1", "127.0.0.2")
        await ask_many(made, 6)
        assert made.spread == [3, 3]
        hosts = {script.graphql.calls[0].headers["host"] for script in scripts}
        assert hosts == {f"crm.test:{scripts[0].server.port}"}
        assert (await made.execute(ask_one(declared=REST_ONLY))).value == customer(1)


async def test_the_host_is_looked_up_again_and_calls_follow() -> None:
    resolver = Names("127.0.0.1")
    async with neighbours(3) as scripts, looked_up(resolver, scripts) as made:
        await found(made, "127.0.0.1")
        await ask_many(made, 2)
        resolver.answer = ["127.0.0.2", "127.0.0.3"]
        [wait] = made.clock.sleepers
        assert 27 <= wait <= 33
        await made.clock.advance(33)
        await found(made, "127.0.0.2", "127.0.0.3")
        await ask_many(made, 4)
        assert made.spread == [2, 2, 2]
        assert resolver.asked == 2


async def test_an_address_that_is_gone_may_finish_what_it_was_asked_and_is_then_disconnected() -> None:
    resolver = Names("127.0.0.1")
    async with neighbours() as scripts, looked_up(resolver, scripts, wire="httpx", timeout_s=40.0) as made:
        await found(made, "127.0.0.1")
        hanging = hang()
        scripts[0].graphql.behave(hanging)
        call = made.start(ask_one(declared=GRAPHQL_ONLY))
        await scripts[0].graphql.wait_for_calls(1)
        resolver.answer = ["127.0.0.2"]
        await made.clock.advance(33)
        await found(made, "127.0.0.2")
        hanging.release()
        assert (await call).value == customer(1)
        assert scripts[0].open_connections == 1
        await made.clock.advance(66)
        await scripts[0].wait_for_connections(0)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (OSError("no such name"), "crm.test was not found: no such name"),
        (UnicodeError(), "crm.test was not found: UnicodeError"),
        ([], "crm.test has no address"),
    ],
)
async def test_a_look_up_that_fails_keeps_the_last_addresses(answer: list[str] | Exception, trouble: str) -> None:
    resolver = Names("127.0.0.1", "127.0.0.2")
    async with neighbours() as scripts, looked_up(resolver, scripts) as made:
        await found(made, "127.0.0.1", "127.0.0.2")
        looked_up_at = made.clock.now()
        resolver.answer = answer
        await made.clock.advance(33)
        await ask_many(made, 2)
        assert made.spread == [1, 1]
        discovery = made.upstream.status().discovery
        assert discovery is not None
        assert (discovery.host, discovery.trouble, discovery.looked_up_at) == ("crm.test", trouble, looked_up_at)
        resolver.answer = ["127.0.0.2"]
        await made.clock.advance(33)
        await found(made, "127.0.0.2")
        discovery = made.upstream.status().discovery
        assert discovery is not None
        assert discovery.trouble == ""


async def test_an_address_that_no_wire_can_be_made_for_keeps_the_last_ones_and_leaves_no_wire() -> None:
    resolver = Names("127.0.0.1")
    made: list[HttpxWire] = []
    closed: list[HttpxWire] = []

    class Counted(HttpxWire):
        async def aclose(self) -> None:
            closed.append(self)
            await super().aclose()

    def connect(service: Service) -> HttpxWire:
        if service.address == "127.0.0.3":
            raise OSError("the certificate is gone")
        made.append(Counted(WireOptions(connect_to=connect_to(service))))
        return made[-1]

    async with neighbours() as scripts:
        async with looked_up(resolver, scripts, connect=connect) as rig:
            await found(rig, "127.0.0.1")
            resolver.answer = ["127.0.0.2", "127.0.0.3"]
            await rig.clock.advance(33)
            assert names(rig) == ["127.0.0.1"]
            discovery = rig.upstream.status().discovery
            assert discovery is not None
            assert discovery.trouble == "no connection to crm.test can be made: the certificate is gone"
            resolver.answer = ["127.0.0.2"]
            await rig.clock.advance(33)
            await found(rig, "127.0.0.2")
        assert len(made) == 3
    assert len(closed) == len(set(closed)) == 3


async def test_an_address_that_stays_keeps_what_is_known_of_it() -> None:
    resolver = Names("127.0.0.1", "127.0.0.2")
    async with neighbours(3) as scripts, looked_up(resolver, scripts, retry=RetryPolicy(attempts=1)) as made:
        await found(made, "127.0.0.1", "127.0.0.2")
        await scripts[0].refuse()
        await asyncio.wait([made.start(ask_one(n, declared=GRAPHQL_ONLY)) for n in range(1, 5)])
        assert made.states() == ["ejected", "healthy"]
        resolver.answer = ["127.0.0.3", "127.0.0.1"]
        await made.clock.advance(33)
        await found(made, "127.0.0.3", "127.0.0.1")
        kept = next(e for e in made.upstream.status().endpoints[ProtocolName.GRAPHQL] if e.name == "127.0.0.1")
        assert kept.ejections == 1


async def test_no_call_waits_for_the_first_look_up() -> None:
    class Slow(Names):
        async def __call__(self, host: str) -> Sequence[str]:
            await asyncio.Event().wait()
            return ()

    async with ScriptedUpstream(ROWS) as script, looked_up(Slow(), [script], host="localhost") as made:
        assert (await made.execute(ask_one(declared=GRAPHQL_ONLY))).value == customer(1)
        assert names(made) == ["localhost"]


async def test_the_systems_own_resolver_finds_localhost() -> None:
    assert "127.0.0.1" in await system_lookup("localhost")
    patient: dict[str, Any] = {"retry": RetryPolicy(attempts=2, backoff_s=0.001), "pipeline_clock": SystemClock()}
    async with (
        ScriptedUpstream(ROWS) as script,
        looked_up(system_lookup, [script], host="localhost", **patient) as made,
    ):
        await until_true(lambda: "127.0.0.1" in names(made), "the address of localhost")
        await ask_many(made, 4)  # ::1, where it is found, refuses, and 127.0.0.1 is tried next


async def test_an_upstream_that_cannot_connect_to_addresses_is_refused() -> None:
    clock = ManualClock()
    policy = EndpointsPolicy(dns_every_s=30.0)
    service = Service("crm", ServicePolicy(), graphql="http://crm.test/graphql", endpoints=policy)
    wire = HttpxWire()
    with pytest.raises(TypeError, match="crm: endpoints that are looked up need `connect`"):
        Upstream(service, wire, MemoryStore(10, 10_000, clock), clock=clock)
    await wire.aclose()


def test_a_wire_is_told_the_host_and_its_address() -> None:
    service = Service("crm", ServicePolicy(), rest="https://crm.test:8443/api", address="10.0.0.1")
    assert connect_to(service) == ("crm.test", "10.0.0.1")
    assert connect_to(Service("crm", ServicePolicy(), rest="https://crm.test:8443/api")) is None
