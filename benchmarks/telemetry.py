"""What metrics, logs and traces cost a small federated query: CPU of the gateway's process, over real sockets.

    .venv/bin/python -m benchmarks.telemetry [--requests 4000] [--rounds 7] [--only traces]

One gateway for each way to serve, all at once on the first CPU; they are asked in turns, and each round is compared
with its own "nothing". Load and upstream are on the last CPU and are not counted. `/metrics` is scraped once a round:
4,000 requests are a second or two of a busy core, and Prometheus comes every 15. Spans are sent to the upstream, which
takes whatever comes.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import uvloop
from pyreqwest.client import Client, ClientBuilder

from benchmarks import upstream
from benchmarks.processes import cpu_s

PORT = 4293
CONCURRENCY = 50
QUERY = b'{"query": "{ customer { id name email } }"}'
SUPERGRAPH = """
schema @link(url: "https://specs.apollo.dev/link/v1.0")
       @link(url: "https://specs.apollo.dev/join/v0.3", for: EXECUTION) {{ query: Query }}
directive @link(url: String, for: link__Purpose) repeatable on SCHEMA
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
directive @join__type(graph: join__Graph!, key: String) repeatable on OBJECT | SCALAR
enum link__Purpose {{ EXECUTION }}
enum join__Graph {{ CRM @join__graph(name: "crm", url: "{url}/one") }}
type Query @join__type(graph: CRM) {{ customer: Customer }}
type Customer @join__type(graph: CRM) {{ id: ID! name: String email: String }}
"""
CONFIG = """
server: {{ port: {port}, max_loop_lag_s: null }}
federation: {{ supergraph: {supergraph}, poll_interval_s: null, local: null }}
services:
  crm: {{ cache: {{ stale_if_error_s: 0 }} }}
metrics: {{ enabled: {metrics} }}
log: {{ requests: {requests} }}
{tracing}
"""
QUIET = "{ sample: 0, slow_s: null, always: [] }"
WAYS: dict[str, tuple[str, ...]] = {
    "nothing": ("false", QUIET),
    "metrics": ("true", QUIET),
    "metrics, a line for 1 in 100 and for what is slow or wrong": ("true", "{ sample: 0.01 }"),
    "metrics, a line for each request": ("true", "{ sample: 1 }"),
    "traces, of no request": ("false", QUIET, "0"),
    "traces, of 1 request in 10": ("false", QUIET, "0.1"),
    "traces, of each request": ("false", QUIET, "1"),
}


@contextlib.contextmanager
def gateway(port: int, way: str, folder: Path, url: str) -> Iterator[int]:
    """A gateway's process id, while it serves."""
    metrics, requests, *share = WAYS[way]
    tracing = f"tracing: {{ endpoint: '{url}/v1/traces', sample: {share[0]} }}" if share else ""
    supergraph = folder / "supergraph.graphql"
    supergraph.write_text(SUPERGRAPH.format(url=url))
    file = folder / f"{port}.yaml"
    file.write_text(
        CONFIG.format(port=port, supergraph=supergraph, metrics=metrics, requests=requests, tracing=tracing)
    )
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "serve", "--config", str(file)]
    with (folder / f"{port}.log").open("w") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        os.sched_setaffinity(process.pid, {0})
        try:
            yield process.pid
        finally:
            process.terminate()


async def post(client: Client, url: str) -> None:
    response = (
        await client.post(f"{url}/graphql").body_bytes(QUERY).header("content-type", "application/json").build().send()
    )
    body = bytes(await response.bytes())
    if response.status != 200 or b"Customer 1" not in body:
        raise SystemExit(f"{url} answered {response.status}: {body[:200]!r}")


async def ask(client: Client, url: str, requests: int) -> None:
    """So many requests, `CONCURRENCY` at once."""
    left = iter(range(requests))

    async def one() -> None:
        for _ in left:
            await post(client, url)

    await asyncio.gather(*(one() for _ in range(CONCURRENCY)))


async def measure(pids: dict[str, int], urls: dict[str, str], requests: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds for a request, by way, one figure a round."""
    found: dict[str, list[float]] = {way: [] for way in pids}
    async with ClientBuilder().timeout(timedelta(seconds=30)).build() as client:
        for url in urls.values():
            for _ in range(200):
                with contextlib.suppress(Exception):
                    await client.get(f"{url}/health/ready").build().send()
                    break
                await asyncio.sleep(0.1)
            await ask(client, url, 1_000)
        for number in range(rounds):
            ways = list(pids) if number % 2 else list(reversed(pids))
            for way in ways:
                began = cpu_s(pids[way])
                await ask(client, urls[way], requests)
                if "metrics" in way:
                    await (await client.get(f"{urls[way]}/metrics").build().send()).bytes()
                found[way].append((cpu_s(pids[way]) - began) / requests)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="the ways with this in their names, against nothing")
    options = parser.parse_args()
    ways = [way for way in WAYS if way == "nothing" or options.only in way]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = stack.enter_context(upstream.running())
        urls = {way: f"http://127.0.0.1:{PORT + index}" for index, way in enumerate(ways)}
        pids = {way: stack.enter_context(gateway(PORT + index, way, folder, address)) for index, way in enumerate(ways)}
        time.sleep(1)
        found = uvloop.run(measure(pids, urls, options.requests, options.rounds))
    nothing = found["nothing"]
    print("| | µs of CPU | against nothing |\n|---|---|---|")
    for way, costs in found.items():
        ratio = statistics.median(cost / base for cost, base in zip(costs, nothing, strict=True))
        print(f"| {way} | {statistics.median(costs) * 1e6:.0f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
