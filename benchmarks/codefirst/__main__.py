"""100 invoices with their customers: compiled, on graphql-core, and as a plan written by hand; CPU of one process.

.venv/bin/python -m benchmarks.codefirst [--operations 2000] [--rounds 3]
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
import uvloop

from benchmarks.codefirst import fields
from gateway.http.documents import DocumentCache
from gateway.local_execution import LocalSchema
from schema.build import build_schema, core_schema

QUERY = "{ invoices { id number total currency customer { id name email } } }"
_WITHOUT_PROGRAM = "{ invoices { id number total currency customer { id name email } } __schema { __typename } }"

_encode = msgspec.json.Encoder().encode


class _Customer(msgspec.Struct, gc=False):
    id: str
    name: str
    email: str


class _Invoice(msgspec.Struct, gc=False):
    id: str
    number: str
    total: float
    currency: str
    customer: _Customer | None


class _Scope:
    """As much of a request as the loaders need."""

    def __init__(self) -> None:
        self.loaders: dict[Any, Any] = {}

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it."""
        self.task = asyncio.create_task(work)


async def by_hand() -> bytes:
    """The plan that a person would write."""
    rows = fields.INVOICES
    keys = list(dict.fromkeys(row.customer_id for row in rows))
    loaded = await fields.load_customers(keys, None)
    found = {key: _Customer(c.id, c.name, c.email) for key, c in zip(keys, loaded, strict=True)}
    made = [_Invoice(row.id, row.number, row.total, row.currency, found[row.customer_id]) for row in rows]
    return _encode({"data": {"invoices": made}})


def executing(text: str) -> Callable[[], Awaitable[bytes]]:
    """An operation through the schema, encoded."""
    schema = build_schema(["benchmarks.codefirst.fields"])
    local = LocalSchema(schema, hide_suggestions=True)
    document = DocumentCache(core_schema(schema), introspection=True).get(text)
    operation = document.operation()

    async def once() -> bytes:
        scope = _Scope()
        result = await local.execute(document, operation, {}, scope, alone=True)
        scope.loaders.clear()
        return _encode({"data": result.data})

    return once


async def measure(operations: int, rounds: int) -> None:
    """Print microseconds of CPU for one operation, the best of several rounds."""
    contenders = {
        "by hand": (by_hand, 1),
        "compiled": (executing(QUERY), 1),
        "graphql-core": (executing(_WITHOUT_PROGRAM), 10),
    }
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, (once, fewer) in contenders.items():
            await once()
            count = max(1, operations // fewer)
            began = time.process_time()
            for _ in range(count):
                await once()
            best[name] = min((time.process_time() - began) / count * 1e6, best.get(name, float("inf")))
    for name, cost in best.items():
        print(f"{name:14}{cost:10.0f} µs{cost / best['by hand']:8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    uvloop.run(measure(options.operations, options.rounds))
