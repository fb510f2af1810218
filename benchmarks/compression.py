"""What gzip costs on a JSON answer: zlib's levels and ISA-L's, by size. `python benchmarks/compression.py`."""

import time
import zlib
from collections.abc import Callable
from random import Random

import msgspec
from isal import isal_zlib

_BYTES = 20_000_000  # in all, for each figure


def body(rows: int, random: Random) -> bytes:
    """A list of invoices, as the gateway writes it."""
    invoices = [
        {
            "id": str(index),
            "number": f"INV-{index}",
            "total": random.random() * 1_000,
            "status": random.choice(["open", "paid"]),
            "issuedOn": f"2026-01-{random.randint(1, 31):02}",
            "customer": {"name": f"Customer {random.randint(1, 9_999)}", "email": f"c{random.randint(1, 9_999)}@x.org"},
        }
        for index in range(rows)
    ]
    return msgspec.json.encode({"data": {"invoices": invoices}})


def with_zlib(level: int) -> Callable[[bytes], bytes]:
    """Compress with the standard library."""

    def run(content: bytes) -> bytes:
        stream = zlib.compressobj(level, zlib.DEFLATED, 31)
        return stream.compress(content) + stream.flush()

    return run


def with_isal(level: int) -> Callable[[bytes], bytes]:
    """Compress with ISA-L."""

    def run(content: bytes) -> bytes:
        stream = isal_zlib.compressobj(level, isal_zlib.DEFLATED, 31)
        first: bytes = stream.compress(content)
        return first + stream.flush()

    return run


def main() -> None:
    """Print the CPU time of one answer, and what is left of its size."""
    ways = {f"zlib {level}": with_zlib(level) for level in (1, 4, 6)} | {
        f"isal {level}": with_isal(level) for level in (0, 1, 2)
    }
    for rows in (8, 80, 800, 8_000):
        content = body(rows, Random(1))
        for name, run in ways.items():
            times = max(1, _BYTES // len(content))
            began = time.process_time()
            for _ in range(times):
                made = run(content)
            taken_us = (time.process_time() - began) / times * 1e6
            print(f"{len(content):>9} bytes  {name}  {taken_us:>8.0f} us  {len(made) / len(content):.3f}")


if __name__ == "__main__":
    main()
