"""What takes more than breaking an upstream and asking: crowds, hang-ups, Redis, clocks, signals, too much to do."""

import asyncio
import contextlib
import itertools
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from clients.call import ProtocolName
from clients.transports import PyreqwestWire, WireError, WireOptions
from tests.faults import fast_upstream
from tests.faults.fields import SERVICES
from tests.faults.figures import Expectation, Figures, more_at_least, more_at_most, percentile
from tests.faults.process import GatewayProcess, Sample
from tests.faults.world import DEADLINE_S, KEYS, TOP, Site, merged, open_world
from tests.testkit.balancer import balancer
from tests.testkit.fault_proxy import Fault, FaultProxy
from tests.testkit.redis import RedisServer
from tests.testkit.upstream import Hang, slow, status

CROWD = 1_000
_GRAPHQL = ProtocolName.GRAPHQL
_PATIENCE_S = 60.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A row that is run its own way; what it found is in `Figures.more`."""

    name: str
    group: str
    run: Callable[[Path], Awaitable[Figures]]
    expected: tuple[Expectation, ...]


def drills() -> list[Drill]:
    """All of them, in the order of the promise."""
    return [
        Drill(
            name=f"recovery under {CROWD:,} waiting clients",
            group="recovery under 1,000 waiting clients",
            run=recovery_under_a_crowd,
            expected=(
                more_at_most("≤ 1 probe over GraphQL", "GraphQL probes", 1),
                more_at_most("≤ 1 probe over REST", "REST probes", 1),
                more_at_least("everybody is answered after it", "answered after recovery", CROWD),
            ),
        ),
        Drill(
            name="clients hang up by the hundred",
            group="clients that hang up by the hundred",
            run=hang_ups,
            expected=(
                more_at_most("circuits stay closed", "trips", 0),
                more_at_least("no permit lost: every place is free again", "calls at once after it", 100),
                more_at_least("the probe's permit comes back", "GraphQL answers after its prober left", 1),
                more_at_most("no task left", "tasks left", 0),
            ),
        ),
        *(
            Drill(
                name=f"Redis {name}",
                group="Redis refused, silent, garbage, out of memory",
                run=partial(redis_fails, fault=fault, options=options),
                expected=(
                    more_at_most("no read error", "errors", 0),
                    more_at_most("p99 ≤ 50 ms more", "p99 more, ms", 50, timed=True),
                ),
            )
            for name, fault, options in (
                ("refused", Fault(door="refuses"), ()),
                ("silent", Fault(silent=True), ()),
                ("answers garbage", Fault(instead=b"*9\r\n$x\x00garbage\r\n"), ()),
                ("out of memory", None, ("--maxmemory", "1kb", "--maxmemory-policy", "noeviction")),
            )
        ),
        Drill(
            name="wall clock jumps an hour forth, two back",
            group="wall clock jumps an hour",
            run=wall_clock_jumps,
            expected=(
                more_at_most("no circuit moves", "circuits moved", 0),
                more_at_most("nothing fresh turns stale, nothing open lets through", "calls made", 0),
                more_at_most("no deadline moves", "requests cut short", 0),
            ),
        ),
        Drill(
            name="three times capacity",
            group="three times capacity; SIGTERM; SIGKILL",
            run=three_times_capacity,
            expected=(more_at_least("goodput ≥ 90 % of peak", "goodput, % of peak", 90, timed=True),),
        ),
        Drill(
            name="SIGTERM with 100 requests under way",
            group="three times capacity; SIGTERM; SIGKILL",
            run=sigterm,
            expected=(
                more_at_most("nothing lost", "lost", 0),
                more_at_most("ends within 5 s", "ended after, s", 5, timed=True),
            ),
        ),
        *(
            Drill(
                name=f"rolling restart of two instances by {number.name}",
                group="three times capacity; SIGTERM; SIGKILL",
                run=partial(rolling_restart, number=number),
                expected=(more_at_most("nothing lost", "lost", 0),),
            )
            for number in (signal.SIGTERM, signal.SIGKILL)
        ),
        Drill(
            name=f"{CROWD:,} concurrent misses of one row",
            group="1,000 concurrent misses → 1 call",
            run=misses,
            expected=(
                more_at_most("1 call", "calls", 1),
                more_at_least("all answered", "answered", CROWD),
            ),
        ),
    ]


async def recovery_under_a_crowd(folder: Path, *, crowd: int = CROWD) -> Figures:
    """An open circuit meets a crowd just as it may probe, and an upstream that takes its time to come back."""
    calm = {
        "timeout_s": 20.0,
        "retry": {"attempts": 1},
        "breaker": {"failure_rate": None},
        "concurrency": {"wait_s": 20.0},  # a thousand at once have to queue for a hundred places
    }
    async with _one(folder, calm, deadline_s=40.0, keys=crowd + 1) as (site, gateway):
        await _open_circuits(site, gateway)
        hang = Hang()
        site.upstream.graphql.behave(hang)
        site.upstream.rest.behave(hang)
        await _until(lambda: _state(gateway, "HALF_OPEN"))
        before = site.requests()
        asking = [asyncio.create_task(gateway.ask(["orders"], str(key))) for key in range(1, crowd + 1)]
        refused = 0
        for done in asyncio.as_completed(asking):
            await done
            refused += 1
            if refused >= crowd - 2:  # all but the prober of each protocol
                break
        probes = {protocol: n - before[protocol] for protocol, n in site.requests().items()}
        site.upstream.graphql.heal()
        site.upstream.rest.heal()
        hang.release()
        await asyncio.gather(*asking)
        mended = time.monotonic()
        await _until(lambda: _answers(gateway))
        recovered_s = time.monotonic() - mended
        after = await asyncio.gather(*(gateway.ask(["orders"], str(key)) for key in range(1, crowd + 1)))
        figures = Figures(requests=crowd)
        figures.more = {
            "GraphQL probes": probes[_GRAPHQL],
            "REST probes": probes[ProtocolName.REST],
            "refused at once": refused,
            "recovered after, s": recovered_s,
            "answered after recovery": sum(_good(sample) for sample in after),
        }
        return figures


async def hang_ups(folder: Path, *, clients: int = 300, places: int = 100) -> Figures:
    """Clients that leave while their calls are under way, and one that leaves with the only probe."""
    policy = {"timeout_s": 20.0, "max_connections": places}
    async with _one(folder, policy, deadline_s=40.0, keys=clients) as (site, gateway):
        await gateway.prime(["orders"])
        tasks_before = await gateway.tasks()
        hang = Hang()
        site.upstream.graphql.behave(hang)
        async with _leavers(gateway, [str(key) for key in range(1, clients + 1)]):
            await site.upstream.graphql.wait_for_calls(places, deadline_s=_PATIENCE_S)
        await _until(lambda: _idle(gateway, tasks_before))
        hang.release()
        circuits = await gateway.circuits()
        await site.upstream.graphql.wait_until_idle(deadline_s=_PATIENCE_S)
        site.upstream.graphql.forget()
        full = Hang()
        site.upstream.graphql.behave(full)
        asking = [asyncio.create_task(gateway.ask(["orders"], str(key))) for key in range(1, places + 1)]
        with contextlib.suppress(TimeoutError):
            await site.upstream.graphql.wait_for_calls(places, deadline_s=10)
        full.release()
        at_once = sum(_good(sample) for sample in await asyncio.gather(*asking))
        figures = Figures(requests=clients)
        figures.more = {
            "hung up": clients,
            "trips": max(circuit.trips for circuit in circuits.values()),
            "calls at once after it": min(at_once, site.upstream.graphql.peak),
            "tasks left": max(0, await gateway.tasks() - tasks_before),
        }
        figures.more |= await _prober_leaves(site, gateway)
        return figures


async def _prober_leaves(site: Site, gateway: GatewayProcess) -> dict[str, float]:
    await _open_circuits(site, gateway)
    hang = Hang()
    site.upstream.graphql.behave(hang)
    site.upstream.rest.heal()
    site.upstream.graphql.forget()
    await _until(lambda: _state(gateway, "HALF_OPEN"))
    async with _leavers(gateway, ["1"]):
        await site.upstream.graphql.wait_for_calls(1, deadline_s=_PATIENCE_S)
    site.upstream.graphql.heal()
    hang.release()
    left = time.monotonic()
    answers = 0.0
    while not answers and time.monotonic() - left < 5:
        sample = await gateway.ask(["orders"], "2")
        answers = float(sample.fields["orders"].by == "GRAPHQL")
        await asyncio.sleep(_POLL_S)
    return {"GraphQL answers after its prober left": answers, "which took, s": time.monotonic() - left}


async def redis_fails(
    folder: Path, *, fault: Fault | None, options: Sequence[str] = (), requests: int = 200, rate: float = 40.0
) -> Figures:
    """Two gateways in turn, one with a healthy Redis. No row is in a cache, so every request reads and writes Redis.

    Without a fault it is the server itself that fails, as its options have it.
    """
    with RedisServer() as well, RedisServer(*options) as other:
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(FaultProxy(other.port))
            world = await stack.enter_async_context(open_world(keys=map(str, range(2 * requests + 10))))
            gateways = []
            for port in (well.port, proxy.port):
                redis = {"url": f"redis://127.0.0.1:{port}/0"}
                config = world.config({"cache": {"max_age_s": 60}}, {"redis": redis})
                gateway = await stack.enter_async_context(GatewayProcess(config, folder))
                await gateway.prime(SERVICES)
                for key in range(10):  # connections and code paths that the first requests pay for
                    await gateway.ask(SERVICES, str(key))
                gateways.append(gateway)
            if fault is not None:
                await proxy.set(fault)
            samples: tuple[list[Sample], list[Sample]] = ([], [])

            async def ask(which: int, key: int) -> None:
                samples[which].append(await gateways[which].ask(SERVICES, str(key)))

            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number in range(2 * requests):
                    await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                    group.create_task(ask(number % 2, 10 + number))
            good_p99_s, bad_p99_s = (percentile([s.took_s for s in found], 0.99) or 0.0 for found in samples)
            figures = Figures(requests=2 * requests)
            figures.more = {
                "errors": sum(not _good(sample) for found in samples for sample in found),
                "p99 with a healthy Redis, ms": good_p99_s * 1000,
                "p99, ms": bad_p99_s * 1000,
                "p99 more, ms": (bad_p99_s - good_p99_s) * 1000,
            }
            return figures


async def wall_clock_jumps(folder: Path) -> Figures:
    """An open circuit, a fresh row and a request under way, while the clock on the wall is set forth and back."""
    command = (sys.executable, "-m", "tests.faults.wall_clock")
    policy = {"cache": {"max_age_s": 300}, "breaker": {"open_s": 300, "max_open_s": 300}}
    async with open_world() as world, GatewayProcess(world.config(policy), folder, command=command) as gateway:
        orders, stocks, prices = world.sites.values()
        await gateway.ask([stocks.name], "1")
        await _open_circuits(orders, gateway)
        before = await gateway.circuits()
        calls = sum(orders.requests().values()) + sum(stocks.requests().values())
        cut_short = 0
        for number, key in ((signal.SIGUSR1, "1"), (signal.SIGUSR2, "2")):
            prices.upstream.graphql.behave(slow(0.3))
            under_way = asyncio.create_task(gateway.ask([prices.name], key))
            await prices.upstream.graphql.wait_for_calls(int(key))
            gateway.signal(number)
            cut_short += not _good(await under_way)
            for _ in range(5):
                await gateway.ask([orders.name, stocks.name], "1")
        after = await gateway.circuits()
        figures = Figures(requests=12)
        figures.more = {
            "circuits moved": sum(before[key].state != after[key].state for key in before),
            "calls made": sum(orders.requests().values()) + sum(stocks.requests().values()) - calls,
            "requests cut short": cut_short,
        }
        return figures


async def three_times_capacity(folder: Path, *, seconds: float = 5.0, clients: int = 32) -> Figures:
    """The gateway's own limit: as much as it can do, then three times that. Good is what has its data in time."""
    with fast_upstream.running() as url:
        policy = {"retry": {"attempts": 1}, "breaker": {"failures": 1_000_000}}
        services = {name: {"graphql": f"{url}/graphql", **policy} for name in SERVICES}
        # As the how-to has it: near what the processor can have under way at once
        server = {"request_timeout_s": DEADLINE_S, "max_in_flight": 2 * clients}
        config = merged(TOP, {"log": {"level": "error"}, "server": server, "services": services})
        wire = PyreqwestWire(WireOptions(max_connections=20_000, give_up_s=30))
        async with GatewayProcess(config, folder) as gateway:
            peak = await _closed_loop(wire, gateway.url, clients, seconds)
            load = await _open_loop(wire, gateway.url, 3 * peak, seconds)
        await wire.aclose()
    figures = Figures()
    figures.more = {"peak, answers a second": peak, **load}
    figures.more["goodput, % of peak"] = 100 * load["good answers a second"] / peak
    return figures


_QUERY = "query ($id: ID!) { order(id: $id) { text } }"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What became of one request: `lost` without a response of status 200, `good` with its data."""

    lost: bool
    good: bool
    took_s: float


async def _asked(wire: PyreqwestWire, url: str, key: int, **headers: str) -> _Asked:
    """Ask for one row."""
    body = json.dumps({"query": _QUERY, "variables": {"id": str(key)}}).encode()
    headers["content-type"] = "application/json"
    began = time.monotonic()
    try:
        response = await wire.send("POST", f"{url}/graphql", headers, body, max_body_bytes=100_000)
    except WireError:
        return _Asked(lost=True, good=False, took_s=time.monotonic() - began)
    lost = response.status != 200
    return _Asked(lost, not lost and b'"errors"' not in response.body, time.monotonic() - began)


async def _closed_loop(wire: PyreqwestWire, url: str, clients: int, seconds: float) -> float:
    """Good answers a second when each client waits for its answer; the first second is for warming up."""
    count, counting_from = 0, time.monotonic() + 1.0
    until = counting_from + seconds

    async def client(number: int) -> None:
        nonlocal count
        key = number
        while (now := time.monotonic()) < until:
            key += clients
            asked = await _asked(wire, url, key)  # by itself: += around an await adds to what was before it
            count += asked.good and now >= counting_from

    await asyncio.gather(*(client(number) for number in range(clients)))
    return count / seconds


async def _open_loop(wire: PyreqwestWire, url: str, rate: float, seconds: float) -> dict[str, float]:
    """What becomes of requests that come at this rate, whatever becomes of earlier ones."""
    began = time.monotonic()
    good_at: list[float] = []
    took: list[float] = []
    refused = 0

    async def one(key: int) -> None:
        nonlocal refused
        asked = await _asked(wire, url, key)
        if asked.good and asked.took_s <= DEADLINE_S + 0.05:
            good_at.append(time.monotonic() - began)
            took.append(asked.took_s)
        refused += not asked.good

    offered = int(rate * (seconds + 1))
    async with asyncio.TaskGroup() as group:
        for number in range(offered):
            if (wait_s := began + number / rate - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            group.create_task(one(number))
    offered_for_s = time.monotonic() - began
    in_window = sum(1.0 <= at <= 1.0 + seconds for at in good_at)
    return {
        "offered a second": offered / min(offered_for_s, seconds + 1) if offered_for_s < seconds + 2 else rate,
        "good answers a second": in_window / seconds,
        "of them p99, ms": 1000 * (percentile(took, 0.99) or 0.0),
        "refused or failed": refused,
    }


async def sigterm(folder: Path, *, requests: int = 100) -> Figures:
    """Told to stop while its upstreams are working for clients."""
    policy = {"timeout_s": 20.0}
    async with _one(folder, policy, deadline_s=40.0, keys=requests) as (site, gateway):
        hang = Hang()
        site.upstream.graphql.behave(hang)
        asking = [asyncio.create_task(gateway.ask(["orders"], str(key))) for key in range(1, requests + 1)]
        await site.upstream.graphql.wait_for_calls(requests, deadline_s=_PATIENCE_S)
        gateway.signal(signal.SIGTERM)
        told = time.monotonic()
        await asyncio.sleep(0.2)
        hang.release()
        samples = await asyncio.gather(*asking)
        figures = Figures(requests=requests)
        returned = await gateway.ended()
        figures.more = {
            "lost": sum(not _good(sample) for sample in samples),
            "ended after, s": time.monotonic() - told,
            "exit status": returned,
        }
        return figures


async def rolling_restart(folder: Path, *, number: signal.Signals, rate: float = 30.0) -> Figures:
    """Two instances behind a balancer, ended and started again one after the other, under a steady load."""
    async with open_world() as world:
        config = world.config()
        async with (
            GatewayProcess(config, folder) as one,
            GatewayProcess(config, folder) as two,
            balancer([one.port, two.port]) as between,
        ):
            for gateway in (one, two):
                await gateway.prime(["orders"])
            wire = PyreqwestWire(WireOptions(give_up_s=30))
            asking: list[asyncio.Task[_Asked]] = []

            async def load() -> None:
                while True:
                    key = len(asking) % len(KEYS) + 1
                    asking.append(asyncio.create_task(_asked(wire, between.url, key, connection="close")))
                    await asyncio.sleep(1 / rate)

            loading = asyncio.create_task(load())
            for gateway in (one, two):
                await asyncio.sleep(0.5)
                gateway.signal(number)
                await gateway.ended()
                await gateway.start()
            await asyncio.sleep(0.5)
            loading.cancel()
            answered = await asyncio.gather(*asking)
            await wire.aclose()
            figures = Figures(requests=len(answered))
            figures.more = {
                "requests": len(answered),
                "lost": sum(each.lost for each in answered),
                "answered with an error": sum(not each.lost and not each.good for each in answered),
                "sent on to the other instance": between.moved_on,
            }
            return figures


async def misses(folder: Path, *, crowd: int = CROWD) -> Figures:
    """A crowd asks for one row that is in no cache, while its upstream takes its time."""
    policy = {"timeout_s": 50.0}
    async with _one(folder, policy, deadline_s=55.0, keys=1) as (site, gateway):
        await gateway.prime(["orders"])
        idle = await gateway.tasks()
        hang = Hang()
        site.upstream.graphql.behave(hang)
        asking = [asyncio.create_task(gateway.ask(["orders"], "1")) for _ in range(crowd)]
        tasks = -1
        async with asyncio.timeout(_PATIENCE_S):
            while (now := await gateway.tasks()) != tasks or now < idle + crowd:  # until all of them wait
                tasks = now
                await asyncio.sleep(0.2)
        hang.release()
        samples = await asyncio.gather(*asking)
        figures = Figures(requests=crowd)
        figures.more = {"calls": site.requests()[_GRAPHQL], "answered": sum(_good(sample) for sample in samples)}
        return figures


@contextlib.asynccontextmanager
async def _one(
    folder: Path, policy: dict[str, Any], *, deadline_s: float, keys: int
) -> AsyncIterator[tuple[Site, GatewayProcess]]:
    """The first service, and a gateway."""
    async with open_world(keys=map(str, range(1, keys + 1))) as world:
        # Whoever is refused for the gateway's own load says nothing of the pipeline: that has a drill of its own.
        server = {"request_timeout_s": deadline_s, "max_in_flight": None, "max_loop_lag_s": None}
        config = world.config(policy, {"server": server})
        async with GatewayProcess(config, folder) as gateway:
            yield next(iter(world.sites.values())), gateway


async def _open_circuits(site: Site, gateway: GatewayProcess) -> None:
    """Have both protocols fail until both circuits are open; the upstream stays broken."""
    site.upstream.graphql.behave(status(503))
    site.upstream.rest.behave(status(503))
    async with asyncio.timeout(_PATIENCE_S):
        for number in itertools.count():
            await gateway.ask([site.name], str(number % 50 + 1))  # a row that was served stale is not asked for again
            circuits = await gateway.circuits()
            if all(seen.state == "OPEN" for (name, _), seen in circuits.items() if name == site.name):
                return


async def _state(gateway: GatewayProcess, state: str) -> bool:
    circuits = await gateway.circuits()
    return all(seen.state == state for (name, _), seen in circuits.items() if name == "orders")


async def _answers(gateway: GatewayProcess) -> bool:
    return _good(await gateway.ask(["orders"], "1"))


async def _idle(gateway: GatewayProcess, tasks: int) -> bool:
    return await gateway.tasks() <= tasks


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(_POLL_S)


def _good(sample: Sample) -> bool:
    """Everything asked for is there, and new."""
    return bool(sample.fields) and all(f.by in {"GRAPHQL", "REST", "FRESH"} for f in sample.fields.values())


@contextlib.asynccontextmanager
async def _leavers(gateway: GatewayProcess, keys: Sequence[str]) -> AsyncIterator[None]:
    """Clients that have asked when the block begins, and hang up when it ends."""
    writers = []
    try:
        for key in keys:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writers.append(writer)
            body = json.dumps({"query": _QUERY, "variables": {"id": key}}).encode()
            head = "POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        yield
    finally:
        for writer in writers:
            writer.transport.abort()
