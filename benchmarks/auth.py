"""What authorizing adds to a call, in microseconds: the wire below answers at once, so the rest is ours.

    .venv/bin/python -m benchmarks.auth [--calls 20000] [--rounds 5]

The rounds alternate, and the median counts. The token of OAuth 2.0 is at hand, as it nearly always is.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from clients.auth import AuthorizedWire, Basic, Bearer, FileSecret, OAuth2, OAuth2Client, Secret, Signer
from clients.auth.secret import not_text
from clients.clock import SystemClock
from clients.transports.base import Wire, WireResponse

_TOKEN = b'{"access_token": "abc", "token_type": "Bearer", "expires_in": 3600}'
_HEADERS = {"accept": "application/json", "content-type": "application/json", "x-request-id": "1" * 32}
_BODY = b"x" * 300


class _Still:
    """A wire that answers at once."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        return WireResponse(200, {}, _TOKEN)

    async def aclose(self) -> None:
        return None


async def _run(wire: Wire, calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        await wire.send("POST", "http://crm:8080/graphql", _HEADERS, _BODY, max_body_bytes=1_000_000)
    return (time.process_time() - began) / calls * 1e6


async def _measure(calls: int, rounds: int) -> None:
    clock = SystemClock()
    client = OAuth2Client("http://login/token", "gateway", Secret("hush"))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "token"
        file.write_text("abc\n")
        wires: dict[str, Wire] = {
            "bare": _Still(),
            "bearer": AuthorizedWire(_Still(), Bearer(Secret("abc"))),
            "bearer, from a file": AuthorizedWire(_Still(), Bearer(FileSecret(file, not_text, clock, print))),
            "basic": AuthorizedWire(_Still(), Basic("me", Secret("abc"))),
            "oauth2": AuthorizedWire(_Still(), OAuth2(client, _Still(), clock, Random(42), print)),
            "hmac, body of 300 bytes": AuthorizedWire(_Still(), Signer("gateway", Secret("k" * 32), (), clock)),
        }
        took: dict[str, list[float]] = {name: [] for name in wires}
        for _ in range(rounds):
            for name, wire in wires.items():
                took[name].append(await _run(wire, calls))
    bare = statistics.median(took["bare"])
    for name, values in took.items():
        print(f"{name:26}{statistics.median(values) - bare:6.1f} µs more")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(_measure(options.calls, options.rounds))
