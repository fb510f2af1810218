"""How the gateway's cost grows with rows, depth, subgraphs and connections; its latency under load; a second worker.

    .venv/bin/python -m benchmarks.growth [--seconds 3] [--only rows] [--plot docs/images/growth.svg]

Gateway on one core, subgraphs and clients on another; the product as it is, but without answers kept for stale. Costs
are CPU of the gateway's process for a request, one client asking, so that nothing is shared between requests. Where
several ask at once, they ask the same, and identical upstream queries in flight are shared.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.growth import plot, subgraphs
from benchmarks.growth.load import Clients
from benchmarks.processes import cpu_s, gateway_command, resident_mb, running

GATEWAY = 4294
URL = f"http://127.0.0.1:{GATEWAY}/graphql"
CODEFIRST = Path(__file__).parents[1] / "codefirst" / "gateway.yaml"

ROWS = (10, 100, 1_000, 10_000)
DEPTHS = (2, 3, 4, 5, 6, 7, 8)
WIDTHS = (1, 2, 5, 10, 20)
CONNECTIONS = (1, 10, 50, 100, 200, 500)
AT_ONCE = 50  # clients that find out what can be borne
LOAD = 0.7
LOCAL_QUERY = "{" + " ".join(f"i{n}: invoices {{ id number total customer {{ id name }} }}" for n in range(8)) + "}"


@dataclass
class Table:
    """A table of the report, and its first two columns as a curve."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[float, ...]] = field(default_factory=list)

    def print(self) -> None:
        """As Markdown."""
        print(f"\n| {' | '.join(self.columns)} |\n|{'---|' * len(self.columns)}")
        for row in self.rows:
            print(f"| {' | '.join(_figure(value) for value in row)} |")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def rows_query(rows: int) -> str:
    """Rows of one subgraph, each with a field of another."""
    return f"{{ items(first: {rows}) {{ id f1 f2 }} }}"


def depth_query(depth: int) -> str:
    """Ten rows, and from each on from subgraph to subgraph: as many fetches as levels, one after the other."""
    steps = "".join(f" next{2 + level % 2} {{ id" for level in range(depth - 1))
    return f"{{ items(first: 10) {{ id{steps} f{1 + depth % 2} {' }' * (depth - 1)} }} }}"


def width_query(width: int) -> str:
    """Twenty rows with a field of each of so many subgraphs."""
    return f"{{ items(first: 20) {{ id {' '.join(f'f{n + 1}' for n in range(width))} }} }}"


@contextlib.contextmanager
def federated_gateway() -> Iterator[int]:
    """The gateway in front of twenty subgraphs; its process id."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [f"server: {{port: {GATEWAY}}}", "federation: {local: null, poll_interval_s: null}", "services:"]
        for number in range(1, subgraphs.SUBGRAPHS + 1):
            Path(folder, f"s{number}.graphql").write_text(subgraphs.sdl(number))
            url = f"http://127.0.0.1:{subgraphs.PORT}/s{number}"
            entry = f"graphql: {url}, subgraph: {{sdl: s{number}.graphql}}, cache: {{stale_if_error_s: 0}}"
            lines.append(f"  s{number}: {{{entry}}}")
        config = Path(folder, "gateway.yaml")
        config.write_text("\n".join(lines))
        server = [sys.executable, "-m", "uvicorn", "benchmarks.growth.subgraphs:app", "--port", str(subgraphs.PORT)]
        with (
            running([*server, "--log-level", "error", "--lifespan", "off"], port=subgraphs.PORT, cpu=-1),
            running(gateway_command("serve", "--config", str(config)), port=GATEWAY, cpu=0) as pid,
        ):
            yield pid


async def cost(pid: int, query: str, seconds: float) -> tuple[float, float, float]:
    """Microseconds of CPU for a request, milliseconds to the answer at the median, and kB of it."""
    clients = Clients(URL, query)
    size = len(await clients.ask())
    await clients.closed(seconds / 3, at_least=3)
    before = cpu_s(pid)
    measured = await clients.closed(seconds, at_least=20)
    used_s = cpu_s(pid) - before
    return used_s / len(measured.took) * 1e6, measured.percentile_ms(50), size / 1000


async def growth_of_rows(pid: int, seconds: float) -> Table:
    """Time for a row falls to what a row costs; it must not rise again."""
    table = Table("rows", ("rows", "µs of CPU", "µs a row", "kB", "resident MB"))
    for rows in ROWS:
        cpu_us, _, size_kb = await cost(pid, rows_query(rows), seconds)
        table.rows.append((rows, cpu_us, cpu_us / rows, size_kb, resident_mb(pid)))
    return table


async def growth_of_depth(pid: int, seconds: float) -> Table:
    """Each level is one more fetch, so one more round trip."""
    table = Table("levels", ("levels, a fetch each", "µs of CPU", "µs a level", "p50 ms"))
    for depth in DEPTHS:
        cpu_us, p50_ms, _ = await cost(pid, depth_query(depth), seconds)
        table.rows.append((depth, cpu_us, cpu_us / depth, p50_ms))
    return table


async def growth_of_width(pid: int, seconds: float) -> Table:
    """Each subgraph is one more request, all but the first at once."""
    table = Table("subgraphs", ("subgraphs asked", "µs of CPU", "µs a subgraph", "p50 ms"))
    for width in WIDTHS:
        cpu_us, p50_ms, _ = await cost(pid, width_query(width), seconds)
        table.rows.append((width, cpu_us, cpu_us / width, p50_ms))
    return table


async def growth_of_connections(pid: int, seconds: float) -> Table:
    """Throughput should rise to what the core bears, and stay."""
    table = Table("connections", ("connections", "µs of CPU", "requests a second", "p50 ms", "p99 ms", "resident MB"))
    clients = Clients(URL, width_query(5))
    for connections in CONNECTIONS:
        await clients.closed(seconds / 3, connections, at_least=2)
        before = cpu_s(pid)
        measured = await clients.closed(seconds, connections)
        used_us = (cpu_s(pid) - before) / len(measured.took) * 1e6
        spread = measured.percentile_ms(50), measured.percentile_ms(99)
        table.rows.append((connections, used_us, measured.per_s, *spread, resident_mb(pid)))
    return table


async def latency_under_load(seconds: float) -> Table:
    """The spread of latency at a share of what can be borne, requests coming evenly."""
    table = Table("load", ("requests a second", "of what can be borne", "p50 ms", "p99 ms", "p99 / p50", "refused"))
    clients = Clients(URL, width_query(5))
    await clients.closed(1, AT_ONCE)
    borne = (await clients.closed(seconds, AT_ONCE)).per_s
    for share in (0.3, 0.5, LOAD):
        measured = await clients.open(borne * share, 2 * seconds)
        p50_ms, p99_ms = measured.percentile_ms(50), measured.percentile_ms(99)
        table.rows.append((borne * share, share, p50_ms, p99_ms, p99_ms / p50_ms, measured.shed))
    return table


async def second_worker(seconds: float) -> Table:
    """Throughput of one and of two workers, on all cores, for a query that needs the gateway only."""
    table = Table("workers", ("workers", "requests a second", "against one"))
    for workers in (1, 2):
        command = gateway_command(
            "serve", "--config", str(CODEFIRST), "--port", str(GATEWAY), "--workers", str(workers)
        )
        with running(command, port=GATEWAY):
            clients = Clients(URL, LOCAL_QUERY)
            await clients.closed(2, AT_ONCE)
            per_s = max([(await clients.closed(seconds, AT_ONCE)).per_s for _ in range(3)])
        table.rows.append((workers, per_s, per_s / table.rows[0][1] if table.rows else 1))
    return table


async def measure(only: str | None, seconds: float) -> list[Table]:
    """The tables that were asked for, printed as they come."""
    federated = {
        "rows": growth_of_rows,
        "depth": growth_of_depth,
        "subgraphs": growth_of_width,
        "connections": growth_of_connections,
    }
    tables = []
    for name, growth in federated.items():
        if only in (None, name):
            with federated_gateway() as pid:
                tables.append(await growth(pid, seconds))
                tables[-1].print()
    if only in (None, "load"):
        with federated_gateway():
            (await latency_under_load(seconds)).print()
    if only in (None, "workers"):
        (await second_worker(seconds)).print()
    return tables


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--only", choices=("rows", "depth", "subgraphs", "connections", "load", "workers"))
    parser.add_argument("--plot", type=Path, help="draw the growth into this SVG file (needs matplotlib)")
    options = parser.parse_args()
    tables = uvloop.run(measure(options.only, options.seconds))
    if options.plot is not None:
        plot.draw(
            [(table.columns[0], [row[0] for row in table.rows], [row[1] for row in table.rows]) for table in tables],
            options.plot,
        )


if __name__ == "__main__":
    main()
