"""Answers in time under one and three times the load that can be borne, with and without limits, over real sockets.

    .venv/bin/python -m benchmarks.shedding [--seconds 8] [--deadline 1.0]

Load is open: requests come at their rate whether earlier ones were answered or not. Goodput counts answers without
errors within the deadline, each second. Gateway, upstream and load are processes of their own. Two things may be short:

    upstream   it answers 5 calls at once, 50 ms each, the others wait there, and it never notices that nobody waits
    cpu        the gateway's own: each request is 30 fields over an upstream that answers at once
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from benchmarks.processes import gateway_command, running

GATEWAY, UPSTREAM = 4291, 4292
SLOTS, TAKES_S = 5, 0.05
CAPACITY = SLOTS / TAKES_S
SETTLES_S = 4.0  # until queues are as long as they get, and limits as low
_busy = asyncio.Semaphore(SLOTS)
_serial = itertools.count()

_FIELD = "customer(id: $id) { id name email tier }"
QUERIES = {
    "upstream": f"query ($id: ID!) {{ {_FIELD} }}",
    "cpu": f"query ($id: ID!) {{ {' '.join(f'f{n}: {_FIELD}' for n in range(30))} }}",
}
_CONFIG = """
server: {{ port: {port}, request_timeout_s: {deadline}{server} }}
limits: {{ max_aliases: null, max_root_fields: null }}
log: {{ level: error }}
imports: [schema.customers]
services:
  customers:
    graphql: http://127.0.0.1:{upstream}/{path}
    retry: {{ attempts: 1 }}
    breaker: {{ failures: 1000000 }}
    cache: {{ stale_if_error_s: 0 }}
{service}
  bank: {{ rest: "http://127.0.0.1:9" }}
"""
_OFF = ", max_in_flight: null, max_loop_lag_s: null"
_UNBOUNDED = "    max_connections: 5000\n    concurrency: { queue: 100000 }"
_BOUNDED = "    concurrency: { limit: 10, queue: 100, wait_s: 0.3 }"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The upstream: `/slow` has a capacity, `/fast` has none worth mentioning."""
    body = b""
    while (message := await receive()).get("more_body") or message.get("body"):
        body += message["body"]
        if not message.get("more_body"):
            break
    if scope["path"] == "/slow":
        async with _busy:
            await asyncio.sleep(TAKES_S)
    ids = json.loads(body)["variables"]["ids"]
    rows = [{"id": i, "name": f"Customer {i}", "email": "c@example.org", "tier": "GOLD"} for i in ids]
    answer = json.dumps({"data": {"customers": rows}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


class Load:
    """Sends requests, and counts what became of them."""

    def __init__(self, query: str, deadline_s: float) -> None:
        self.client: Client = ClientBuilder().http1_only().no_proxy().timeout(timedelta(seconds=2 * deadline_s)).build()
        self.query = query
        self.deadline_s = deadline_s
        self.took: list[float] = []  # good answers
        self.shed_took: list[float] = []

    async def one(self, *, counts: bool = True) -> None:
        """Ask once."""
        payload = msgspec.json.encode({"query": self.query, "variables": {"id": str(next(_serial))}})
        began = time.monotonic()
        request = self.client.post(f"http://127.0.0.1:{GATEWAY}/graphql").body_bytes(payload)
        with contextlib.suppress(PyreqwestError):
            response = await request.header("content-type", "application/json").build().send()
            body = bytes(await response.bytes())
            took = time.monotonic() - began
            if not counts:
                return
            if response.status == 503:
                self.shed_took.append(took)
            elif took <= self.deadline_s and b'"errors"' not in body:
                self.took.append(took)

    async def connect(self, connections: int) -> None:
        """Open connections, as a proxy in front of the gateway keeps them."""

        async def ask() -> None:
            with contextlib.suppress(PyreqwestError):
                await (await self.client.get(f"http://127.0.0.1:{GATEWAY}/health/live").build().send()).bytes()

        await asyncio.gather(*(ask() for _ in range(connections)))

    async def closed(self, seconds: float, workers: int) -> float:
        """Requests a second that so many workers get answered."""
        until = time.monotonic() + seconds

        async def work() -> None:
            while time.monotonic() < until:
                await self.one()

        await asyncio.gather(*(work() for _ in range(workers)))
        return len(self.took) / seconds

    async def open(self, per_s: float, seconds: float) -> None:
        """Requests at a rate, evenly, and the answers to all of them; those of the first seconds do not count."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_s * (SETTLES_S + seconds))):
                await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
                group.create_task(self.one(counts=number >= per_s * SETTLES_S))


@contextlib.contextmanager
def _gateway(short: str, deadline_s: float, *, limits: bool) -> Iterator[None]:
    config = _CONFIG.format(
        port=GATEWAY,
        upstream=UPSTREAM,
        deadline=deadline_s,
        path="slow" if short == "upstream" else "fast",
        server=", max_in_flight: 100" if limits else _OFF,
        service=(_BOUNDED if short == "upstream" else "") if limits else _UNBOUNDED,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "gateway.yaml")
        file.write_text(config)
        upstream = [sys.executable, "-m", "uvicorn", "benchmarks.shedding:app", "--port", str(UPSTREAM)]
        with (
            running([*upstream, "--log-level", "error", "--lifespan", "off"], port=UPSTREAM, cpu=-1),
            running(gateway_command("serve", "--config", str(file)), port=GATEWAY, cpu=0),
        ):
            yield


async def _measure(short: str, options: argparse.Namespace) -> None:
    query, deadline_s, seconds = QUERIES[short], options.deadline, options.seconds
    capacity = CAPACITY
    print(f"\n{short}: the load that can be borne", end=" ", flush=True)
    if short == "cpu":
        with _gateway(short, deadline_s, limits=False):
            await Load(query, deadline_s).closed(2, 16)
            capacity = max([await Load(query, deadline_s).closed(2, 16) for _ in range(4)])  # others may disturb
    print(f"is {capacity:.0f} requests a second")
    print(f"{'':12}{'load':>6}{'goodput':>10}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'shed':>8}{'shed p50 ms':>13}")
    for limits in (False, True):
        with _gateway(short, deadline_s, limits=limits):
            await Load(query, deadline_s).closed(2, 4)
            for times in (1, 3):
                load = Load(query, deadline_s)
                await load.connect(int(times * capacity * deadline_s))
                await load.open(times * capacity, seconds)
                goodput = len(load.took) / seconds
                spread = statistics.quantiles(load.took, n=100) if len(load.took) > 1 else [0.0] * 99
                shed = statistics.median(load.shed_took) * 1000 if load.shed_took else 0.0
                print(
                    f"{'limits' if limits else 'no limits':12}{times:4} x{goodput:10.0f}{goodput / capacity:8.2f}"
                    f"{spread[49] * 1000:9.0f}{spread[98] * 1000:9.0f}{len(load.shed_took):8}{shed:13.1f}"
                )


async def _run(options: argparse.Namespace) -> None:
    for short in [options.short] if options.short else QUERIES:
        await _measure(short, options)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", choices=QUERIES, help="what is short; default: each in turn")
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--deadline", type=float, default=1.0, help="seconds after which nobody wants the answer")
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
