"""Instances that share a real Redis: what each shows of the others, does with them, and shows without Redis."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from clients.call import ProtocolName
from clients.clock import SystemClock
from clients.state.circuit import Mode
from gateway.fleet import Fleet
from gateway.fleet.link import FleetLink
from gateway.fleet.messages import VERSION, Command, Digest, encode, read_command, read_digest
from schema.health import HealthStatus
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.raw_server import Connection, raw_server
from tests.testkit.redis import RedisServer
from tests.testkit.upstream import status
from tests.testkit.waiting import until_true

Found = TypeVar("Found")

QUERY = '{ customer(id: "1") { name } }'
FLEET = """{ fleet {
  source complete reason
  instances {
    id host pid version configHash startedAt toldAt uptimeS inFlight loopLagMs status
    staleServed stale { service oldestAgeMs } circuits { service } circuitsLeftOut
  }
  circuits {
    service protocol operation open halfOpen closed instances { instance service protocol state mode since reason }
  }
} }"""
FORCE = """mutation {
  forceCircuit(service: "customers", mode: FORCED_OPEN, reason: "deploying") { instance told }
}"""


def sharing(redis: RedisServer, **keys: Any) -> dict[str, Any]:
    return {
        "redis": {"url": redis.url, "timeout_s": 0.5, "fleet_every_s": 0.05, **keys},
        "services": {"customers": {"breaker": {"failures": 1, "open_s": 1000, "max_open_s": 1000}}},
    }


@asynccontextmanager
async def two(redis: RedisServer, **keys: Any) -> AsyncIterator[tuple[Gateway, Gateway]]:
    async with running_gateway(sharing(redis, **keys)) as one, running_gateway(sharing(redis, **keys)) as other:
        await size(one, 2)
        await size(other, 2)
        yield one, other


async def fleet_of(gateway: Gateway) -> Any:
    return (await gateway.ask(FLEET)).data["fleet"]


async def until(ask: Callable[[], Awaitable[Found]], fits: Callable[[Found], bool]) -> Found:
    """What is answered, once it fits; asked again and again."""
    async with asyncio.timeout(10):
        while not fits(found := await ask()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
    return found


async def size(gateway: Gateway, expected: int) -> Any:
    """The fleet, once it has so many instances."""
    return await until(lambda: fleet_of(gateway), lambda found: len(found["instances"]) == expected)


async def broken(gateway: Gateway) -> None:
    await gateway.ask(QUERY)
    gateway.customers.graphql.behave(status(500))
    gateway.customers.rest.behave(status(500))
    assert (await gateway.ask(QUERY)).upstreams[0]["servedBy"] == "STALE"


async def test_alone_it_shows_itself_and_says_so() -> None:
    async with running_gateway() as gateway:
        found = await fleet_of(gateway)
        assert (found["source"], found["complete"]) == ("THIS_INSTANCE", False)
        assert found["reason"] == "without `redis:` no instance knows of the others"
        [instance] = found["instances"]
        assert (instance["status"], instance["inFlight"], instance["circuits"]) == ("OK", 1, [])


async def test_each_shows_all_with_what_is_open_where_since_when_and_why_and_what_is_stale(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        await broken(other)
        found = await until(lambda: fleet_of(one), lambda found: len(found["circuits"]) == 2)
        assert (found["source"], found["complete"], found["reason"]) == ("REDIS", True, None)
        own, its = found["instances"]
        assert own["id"] != its["id"]
        assert (own["status"], own["stale"]) == ("OK", [])
        assert (its["status"], its["staleServed"], its["stale"][0]["service"]) == ("DEGRADED", 1, "customers")
        graphql, rest = found["circuits"]
        assert (graphql["service"], graphql["protocol"], graphql["operation"]) == ("customers", "GRAPHQL", None)
        assert (graphql["open"], graphql["halfOpen"], graphql["closed"], rest["open"]) == (1, 0, 1, 1)
        [where] = graphql["instances"]
        assert (where["instance"], where["state"], where["mode"]) == (its["id"], "OPEN", "AUTOMATIC")
        assert where["reason"] == "1 failures in a row (last: UPSTREAM_SERVER_ERROR)"
        assert where["since"] > own["startedAt"]
        assert [c["open"] for c in (await fleet_of(other))["circuits"]] == [1, 1]


async def test_one_that_stops_is_gone_at_once(redis: RedisServer) -> None:
    async with running_gateway(sharing(redis, fleet_every_s=60)) as one:
        async with running_gateway(sharing(redis, fleet_every_s=60)):
            await size(one, 2)
        assert len((await fleet_of(one))["instances"]) == 1


async def test_what_is_forced_and_purged_at_one_is_at_the_others_too(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        await other.ask(QUERY)
        done = (await one.ask(FORCE)).data["forceCircuit"]
        assert done["told"] is True
        await until(lambda: fleet_of(one), lambda found: found["circuits"][0]["open"] == 2)
        change = '{ upstreams(name: "customers") { circuits { modeChange { mode by reason } } cache { stale } } }'
        [its] = (await other.ask(change)).data["upstreams"]
        assert its["circuits"][0]["modeChange"] == {"mode": "FORCED_OPEN", "by": "an operator", "reason": "deploying"}
        assert (await other.ask(QUERY)).upstreams[0]["servedBy"] == "STALE"
        purged = await one.ask('mutation { purgeCache(service: "customers") { told memoryEntries redisEntries } }')
        assert purged.data["purgeCache"] == {"told": True, "memoryEntries": 0, "redisEntries": 1}
        await until(lambda: other.ask(QUERY), lambda answered: answered.data["customer"] is None)
        await one.ask('mutation { resetCircuit(service: "customers") { told } }')
        await until(lambda: other.ask(QUERY), lambda answered: not answered.errors)


async def test_one_that_starts_later_does_not_do_what_was_done_before(redis: RedisServer) -> None:
    async with running_gateway(sharing(redis)) as one:
        await one.ask(FORCE)
        async with running_gateway(sharing(redis)) as later:
            await size(later, 2)
            assert (await later.ask(QUERY)).errors == []


async def test_without_its_redis_it_shows_itself_says_so_and_finds_the_others_again(redis: RedisServer) -> None:
    async with two(redis) as (one, _):
        redis.kill()
        found = await fleet_of(one)
        assert (found["source"], found["complete"], len(found["instances"])) == ("THIS_INSTANCE", False, 1)
        assert found["reason"].startswith("Redis does not answer")
        assert (await one.ask(FORCE)).data["forceCircuit"]["told"] is False
        assert (await one.ask('mutation { resetCircuit(service: "customers") { told } }')).errors == []
        purged = await one.ask('mutation { purgeCache(service: "customers") { told redisEntries error } }')
        trouble = "Redis did not answer to the end; some entries may still be there"
        assert purged.data["purgeCache"] == {"told": False, "redisEntries": None, "error": trouble}
        assert (await one.ask(QUERY)).errors == []  # no request waits for it
    redis.start()
    async with two(redis) as (one, _):
        assert (await fleet_of(one))["complete"] is True


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x81\xa7version\x02", b"x" * 100_000])
async def test_what_is_of_another_version_is_left_out_and_told_of(redis: RedisServer, garbage: bytes) -> None:
    async with running_gateway(sharing(redis)) as one:
        redis.command("SET", "breakwater:fleet:abc", garbage)
        redis.command("ZADD", "breakwater:fleet:instances", "99999999999", "abc")
        redis.command("XADD", "breakwater:fleet:commands", "*", "c", garbage)
        redis.command("XADD", "breakwater:fleet:commands", "*", "other", garbage)
        found = await until(lambda: fleet_of(one), lambda found: found["source"] == "REDIS")
        assert (found["complete"], found["reason"]) == (False, "1 of another version cannot be read")
        assert len(found["instances"]) == 1


async def test_a_redis_that_answers_with_something_else_is_one_that_does_not_answer() -> None:
    async def nonsense(connection: Connection) -> None:
        while await connection.reader.read(65536):
            connection.writer.write(b":1\r\n" * 8)
            await connection.writer.drain()

    async with raw_server(nonsense) as server:
        link = FleetLink(f"redis://127.0.0.1:{server.port}", SystemClock(), Random(1))
        assert await link.tell("a", b"d", 1) is None
        assert await link.others("a") is None
        assert await link.command(b"c") is False
        await link.leave("a")
        await link.aclose()


async def test_keys_are_bounded_and_expire(redis: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        link = FleetLink(redis.url, SystemClock(), Random(1), timeout_s=5)
        stack.push_async_callback(link.aclose)
        for number in range(510):
            assert await link.tell(f"i{number}", b"d", 60) is not None
        for _ in range(210):
            assert await link.command(b"c")
        assert redis.command("ZCARD", "breakwater:fleet:instances") == b":500\r\n"
        assert redis.command("XLEN", "breakwater:fleet:commands") == b":200\r\n"
        for key, most in (("instances", 600), ("commands", 600), ("i509", 60)):
            assert 0 < int(redis.command("TTL", f"breakwater:fleet:{key}")[1:-2]) <= most


async def test_a_command_reaches_everybody_once_in_order_and_nobody_twice(redis: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        links = [FleetLink(redis.url, SystemClock(), Random(1), timeout_s=5) for _ in range(3)]
        for link in links:
            stack.push_async_callback(link.aclose)
        for number, link in enumerate(links):
            assert await link.tell(f"i{number}", b"d", 60) == []
        for text in (b"1", b"2", b"3"):
            await links[0].command(text)
        for number, link in enumerate(links):
            assert await link.tell(f"i{number}", b"d", 60) == [b"1", b"2", b"3"]
            assert await link.tell(f"i{number}", b"d", 60) == []


async def test_what_an_instance_does_not_know_it_leaves_alone(redis: RedisServer) -> None:
    async with running_gateway(sharing(redis)) as one:
        link = FleetLink(redis.url, SystemClock(), Random(1), timeout_s=5)
        await until_true(lambda: redis.command("ZCARD", "breakwater:fleet:instances") == b":1\r\n", "its first digest")
        unknown = Command(VERSION, "other", "force", "nobody", "ada", "r1", mode=Mode.FORCED_OPEN)
        for command in (
            unknown,
            replace(unknown, kind="purge"),
            replace(unknown, service="bank", protocol=ProtocolName.GRAPHQL),
            replace(unknown, service="bank", operation="x"),
            replace(unknown, service="bank"),
        ):
            assert await link.command(encode(command))
        await link.aclose()
        found = await until(lambda: fleet_of(one), lambda found: len(found["circuits"]) > 0)
        assert [(c["service"], c["protocol"]) for c in found["circuits"]] == [("bank", "REST")]


async def test_what_goes_wrong_once_does_not_end_it(redis: RedisServer) -> None:
    told = iter([RuntimeError("no digest"), RuntimeError("no digest")])
    done = asyncio.Event()

    def digest() -> Digest:
        for error in told:
            raise error
        done.set()
        now = datetime(2026, 1, 1, tzinfo=UTC)
        return Digest(
            version=VERSION,
            instance="a",
            host="h",
            pid=1,
            build="0",
            config_hash="c",
            supergraph_hash=None,
            started_at=now,
            told_at=now,
            in_flight=0,
            loop_lag_s=0.0,
            status=HealthStatus.OK,
            stale_served=0,
            stale=[],
            circuits=[],
            circuits_left_out=0,
        )

    async def obey(_: Command) -> None:
        raise AssertionError("nothing was commanded")

    fleet = Fleet("a", SystemClock(), FleetLink(redis.url, SystemClock(), Random(1), timeout_s=5), every_s=0.01)
    with capture_logs() as lines:
        async with asyncio.timeout(10), fleet.joined(digest, obey):
            await done.wait()
    assert [line["event"] for line in lines] == ["fleet trouble"] * 2


def test_a_command_of_another_version_is_none() -> None:
    command = Command(VERSION, "i", "reset", "crm", "ada", "r1")
    assert read_command(encode(command)) == command
    assert read_command(encode(Command(VERSION + 1, "i", "reset", "crm", "ada", "r1"))) is None
    assert read_command(b"\xc1") is None
    assert read_digest(encode(command)) is None


async def test_nothing_secret_is_in_it(redis: RedisServer) -> None:
    secret = "correct-horse-battery"
    config = {**sharing(redis), "ops": {"admin_token": secret}}
    config["services"] = {"customers": {**config["services"]["customers"], "headers": {"x-key": secret}}}
    async with running_gateway(config) as gateway:
        admin = {"x-admin-token": secret}
        await until_true(lambda: redis.command("ZCARD", "breakwater:fleet:instances") == b":1\r\n", "its digest")
        gateway.customers.graphql.behave(status(500))
        await gateway.ask(QUERY, {"authorization": f"Basic {secret}"})
        await gateway.ask(FORCE, admin)
        instance = (await gateway.ask("{ build { instance } }", admin)).data["build"]["instance"]
        await until_true(
            lambda: b"forced open" in redis.command("GET", f"breakwater:fleet:{instance}"), "the circuit in it"
        )
        keys = redis.command("KEYS", "*")
        assert re.search(rb"breakwater:fleet:commands", keys)
        for text in (
            keys,
            redis.command("GET", f"breakwater:fleet:{instance}"),
            redis.command("XRANGE", "breakwater:fleet:commands", "-", "+"),
        ):
            assert secret.encode() not in text
