"""Resident memory over many requests through the whole application, with distinct keys so that caches fill.

.venv/bin/python -m benchmarks.memory [--requests 100000]
"""

import argparse
import asyncio
import json
from pathlib import Path

import uvloop

from benchmarks import upstream
from gateway.app import configure_logs, create_app
from gateway.config import parse

CONCURRENCY = 50
CONFIG = """
imports: [schema.customers]
log: {{ level: error }}
cache: {{ max_bytes: 16000000 }}
services:
  customers: {{ graphql: "{url}/hundred" }}
  bank: {{ rest: "{url}/one" }}
"""


def rss_mb() -> float:
    """This process's resident memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def measure(url: str, requests: int) -> None:
    """Ask, and print the memory after each tenth."""
    config = parse(CONFIG.format(url=url), {})
    configure_logs(config)
    app = create_app(config)
    serial = iter(range(10**9))

    async def ask() -> None:
        ids = [str(next(serial) % 20_000) for _ in range(3)]
        body = json.dumps({"query": "query ($ids: [ID!]!) { customers(ids: $ids) { id } }", "variables": {"ids": ids}})
        inbox = [{"type": "http.request", "body": body.encode()}]
        forever = asyncio.Event()

        async def receive() -> object:
            if inbox:
                return inbox.pop()
            await forever.wait()
            return {"type": "http.disconnect"}

        async def send(_: object) -> None:
            return

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/graphql",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"x-user-id", b"u")],
            "client": ("127.0.0.1", 1),
        }
        await app(scope, receive, send)  # type: ignore[arg-type]

    async with app.router.lifespan_context(app):
        print(f"{'requests':>10}{'resident MB':>14}")
        for tenth in range(11):
            print(f"{tenth * requests // 10:>10}{rss_mb():>14.1f}", flush=True)
            if tenth < 10:

                async def worker() -> None:
                    for _ in range(requests // 10 // CONCURRENCY):
                        await ask()

                await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args()
    with upstream.running() as url:
        uvloop.run(measure(url, options.requests))


if __name__ == "__main__":
    main()
