"""What the pipeline adds to a call: CPU of this process for each, as multiples of the bare transport, in one run.

    .venv/bin/python -m benchmarks.pipeline [--calls 4000] [--rounds 5]

Every contender makes the same calls, 20 at once, to the same upstream in another process; the rounds alternate, and the
median counts. CPU includes the transport's own thread.
"""

import argparse
import asyncio
import dataclasses
import os
import statistics
import time
from collections.abc import Awaitable, Callable

import msgspec
import uvloop
from msgspec.structs import replace
from pyreqwest.client import ClientBuilder

from benchmarks import upstream
from clients.call import Call, Caller
from clients.clock import SystemClock
from clients.errors import UpstreamError
from clients.operation import operation
from clients.policy import BreakerPolicy, CachePolicy, ServicePolicy
from clients.service import Service
from clients.stores.memory import MemoryStore
from clients.transports.httpx_wire import HttpxWire
from clients.transports.pyreqwest_wire import PyreqwestWire
from clients.upstream import Upstream
from gateway import collector

CONCURRENCY = 20
Work = Callable[[], Awaitable[object]]


class Row(msgspec.Struct):
    """A customer."""

    id: str
    name: str
    email: str
    tier: str


ONE = operation("crm", "one", row=Row, graphql="query ($id: ID!) { customer(id: $id) { id name email tier } }")
MANY = operation(
    "crm", "many", row=Row, key="id", graphql="query ($ids: [ID!]!) { customers(ids: $ids) { id name email tier } }"
)
CALLER = Caller("benchmark", "benchmark", deadline=SystemClock.now() + 1e6)
IDS = [str(i) for i in range(100)]


async def cpu_us(work: Work, calls: int) -> float:
    """Microseconds of CPU for each call."""

    async def worker() -> None:
        for _ in range(calls // CONCURRENCY):
            await work()

    began = time.process_time()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return (time.process_time() - began) / calls * 1e6


async def contenders(url: str) -> dict[str, Work]:
    """By name, one call of each."""
    client = ClientBuilder().http1_only().build()
    payload = msgspec.json.encode({"query": ONE.graphql.text if ONE.graphql else "", "variables": {"id": "1"}})
    wire, httpx_wire = PyreqwestWire(), HttpxWire()

    def make(path: str, cache: CachePolicy, **more: object) -> Upstream:
        service = Service("crm", ServicePolicy(cache=cache), graphql=f"{url}{path}")
        return Upstream(dataclasses.replace(service, **more), wire, MemoryStore(10_000, 10_000_000, SystemClock()))  # type: ignore[arg-type]

    off = make("/one", CachePolicy(stale_if_error_s=0))
    keeping = make("/one", CachePolicy())
    fresh = make("/one", CachePolicy(max_age_s=1e6))
    batch = make("/hundred", CachePolicy(stale_if_error_s=0))
    batch_keeping = make("/hundred", CachePolicy())
    policy = ServicePolicy(
        cache=CachePolicy(stale_if_error_s=0), breaker=BreakerPolicy(failures=1, open_s=1e5, max_open_s=1e6)
    )
    open_ = make("/one", CachePolicy(), policy=policy, graphql="http://127.0.0.1:9/graphql")
    serial = iter(range(10**9))

    async def bare() -> None:
        request = client.post(f"{url}/one").body_bytes(payload).header("content-type", "application/json").build()
        await (await request.send()).bytes()

    async def bare_hundred() -> None:
        request = client.post(f"{url}/hundred").body_bytes(payload).header("content-type", "application/json").build()
        await (await request.send()).bytes()

    def one(target: Upstream, *, distinct: bool = True) -> Work:
        async def call() -> object:
            return await target.execute(Call(ONE, {"id": str(next(serial)) if distinct else "1"}, CALLER))

        return call

    def many(target: Upstream) -> Work:
        async def call() -> object:
            # Distinct by caller, or single flight would make one call of twenty.
            caller = replace(CALLER, user=str(next(serial) % 50))
            return await target.execute(Call(MANY, {"ids": []}, caller).for_keys(IDS))

        return call

    async def refused() -> None:
        try:
            await open_.execute(Call(ONE, {"id": str(next(serial))}, CALLER))
        except UpstreamError:
            return

    headers = {"content-type": "application/json"}
    return {
        "bare pyreqwest": bare,
        "wire (pyreqwest)": lambda: wire.send("POST", f"{url}/one", headers, payload, max_body_bytes=10**7),
        "wire (httpx)": lambda: httpx_wire.send("POST", f"{url}/one", headers, payload, max_body_bytes=10**7),
        "pipeline, cache off": one(off),
        "pipeline, keeping for stale": one(keeping),
        "cache hit": one(fresh, distinct=False),
        "open circuit": refused,
        "bare pyreqwest, 100 rows": bare_hundred,
        "batch of 100, cache off": many(batch),
        "batch of 100, keeping for stale": many(batch_keeping),
    }


async def measure(url: str, calls: int, rounds: int) -> None:
    """Run and print."""
    everyone = await contenders(url)
    figures: dict[str, list[float]] = {name: [] for name in everyone}
    for turn in range(rounds + 1):
        for name, work in everyone.items():
            spent = await cpu_us(work, calls)
            if turn:  # the first round warms up
                figures[name].append(spent)
    print(f"{'':34}{'µs CPU':>8}{'ratio':>8}")
    for name, spent_us in figures.items():
        base = "bare pyreqwest, 100 rows" if "100" in name else "bare pyreqwest"
        ratio = statistics.median(a / b for a, b in zip(spent_us, figures[base], strict=True))
        print(f"{name:34}{statistics.median(spent_us):8.1f}{ratio:8.2f}")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    collector.tune()  # as `gateway serve` does
    with upstream.running() as url:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        uvloop.run(measure(url, options.calls, options.rounds))


if __name__ == "__main__":
    main()
