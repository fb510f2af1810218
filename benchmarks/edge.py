"""What the edge costs: a small query with limits and shedding off, as they are by default, and with all there is.

.venv/bin/python -m benchmarks.edge

CPU of the server process for a request, over a socket, in alternating rounds.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.attacks.target import Target, post, read_reply, start
from tests.testkit.ports import free_port

QUERY = "query Small($more: Boolean = false) { health { load { inFlight limit @include(if: $more) } } }"
BOTH = {"imports": ["benchmarks.codefirst.fields"], "log": {"level": "error"}, "ops": {"public": True}}
OFF = {
    "server": {"max_in_flight": None, "max_loop_lag_s": None},
    "limits": dict.fromkeys(
        ("max_depth", "max_aliases", "max_directives", "max_root_fields", "max_selections", "max_tokens")
    ),
}
ALL = {
    "limits": {"cost": "enforce"},
    "cors": {"origins": ["https://app.example.org"]},
}
CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {"off": OFF, "as by default": {}, "with cost and CORS": ALL}


def request(number: int) -> bytes:
    """A small query; a number other than 0 makes its text a new one."""
    text = f"{QUERY} #{number}" if number else QUERY
    body = json.dumps({"query": text, "variables": {"more": True}}).encode()
    return post(body, b"origin: https://app.example.org")


async def round_us(server: Target, requests: int, first: int) -> float:
    """CPU microseconds a request, one after the other on a connection; new texts from `first` on, if given."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    before = server.cpu_ms()
    for number in range(requests):
        writer.write(request(first + number if first else 0))
        reply = await read_reply(reader)
        if reply.status != 200:
            raise RuntimeError(reply.body.decode())
    spent = server.cpu_ms() - before
    writer.close()
    return spent * 1000 / requests


async def main(requests: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = {}
        try:
            for index, (title, sections) in enumerate(CONFIGURATIONS.items()):
                file = folder / f"{index}.yaml"
                file.write_text(yaml.safe_dump({**BOTH, **sections}))
                servers[title] = await start(file, free_port(), folder / f"{index}.log")
                await round_us(servers[title], 200, 0)
            found: dict[tuple[str, str], list[float]] = {}
            for number in range(1, rounds + 1):
                for title, server in servers.items():
                    for kind, first in (("known", 0), ("new", number * requests)):
                        found.setdefault((title, kind), []).append(await round_us(server, requests, first))
        finally:
            for server in servers.values():
                await server.stop()
    print(f"{'edge':<22}{'known text, us':>16}{'ratio':>7}{'new text, us':>16}{'ratio':>7}")
    for title in CONFIGURATIONS:
        line = f"{title:<22}"
        for kind in ("known", "new"):
            pairs = zip(found[title, kind], found["off", kind], strict=True)
            ratio = statistics.median(mine / off for mine, off in pairs)
            line += f"{statistics.median(found[title, kind]):>16.0f}{ratio:>7.2f}"
        print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000, help="in a round; default: 1000")
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    options = parser.parse_args()
    asyncio.run(main(options.requests, options.rounds))
