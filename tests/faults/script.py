"""One row of the matrix under one set of circumstances: break, ask, look, mend, look again."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from clients.call import ProtocolName
from tests.faults.fields import SERVICES
from tests.faults.figures import Figures, percentile
from tests.faults.process import CircuitSeen, Field, GatewayProcess, Sample
from tests.faults.rows import Circumstances, Row, warm
from tests.faults.world import KEYS, World, open_world

RECOVERY_S = 10.0
_IDLE_S = 4.0  # unused connections are kept this long, and are not left behind before
_SETTLE_S = 10.0
_OPEN_LOOK_RATE = 150.0
_POLL_S = 0.05
_NOTHING = "{ __typename }"


@dataclass(slots=True)
class Run:
    """A row that has been run; its gateway still has to be looked at for what it left, and ended."""

    figures: Figures
    finish: "asyncio.Task[None]"


async def steadily(ask: Callable[[str], Coroutine[Any, Any, Sample]], *, rate: float, requests: int) -> list[Sample]:
    """Ask at a steady rate, whatever becomes of earlier requests."""
    began = time.monotonic()
    asking = []
    for number in range(requests):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        asking.append(asyncio.create_task(ask(KEYS[number % len(KEYS)])))
    return list(await asyncio.gather(*asking))


async def run(row: Row, at: Circumstances, folder: Path, *, requests: int = 100) -> Run:
    """Run a row; the figures about what is left are filled in when `finish` is done."""
    stack = AsyncExitStack()
    try:
        world = await stack.enter_async_context(open_world(certificates=row.certificates))
        hosts = {(name, protocol): row.host for name in at.failing for protocol in at.protocols} if row.host else None
        config = world.config(row.policy, row.top, hosts)
        if at.warm and row.warmed_elsewhere is not None:
            await row.warmed_elsewhere(world, folder, stack, config)
        gateway = await stack.enter_async_context(GatewayProcess(config, folder, environment=row.environment))
        figures, tasks_before = await _measure(row, at, world, gateway, requests)
    except BaseException:
        await stack.aclose()
        raise

    async def finish() -> None:
        async with stack:
            await _look_for_leftovers(figures, world, gateway, tasks_before)

    return Run(figures, asyncio.create_task(finish()))


async def _measure(
    row: Row, at: Circumstances, world: World, gateway: GatewayProcess, requests: int
) -> tuple[Figures, int]:
    figures = Figures(requests=requests)
    services = list(SERVICES)
    if at.warm and row.host is None:
        await warm(gateway, KEYS[: 2 * requests])
    for document in (services, at.failing):
        await gateway.prime(document)
    await gateway.circuits()
    await gateway.post(_NOTHING)
    tasks_before = await gateway.tasks()
    rss_before = gateway.rss_mb()
    failing = [world.sites[name] for name in at.failing]
    breakage = row.breakage()
    async with AsyncExitStack() as broken:
        began = time.time()
        calls_before = _attempts(row, world, gateway)
        for site in failing:
            await broken.enter_async_context(breakage.broken(site, at.protocols))

        samples = await steadily(lambda key: gateway.ask(services, key), rate=row.rate, requests=requests)
        calls = _attempts(row, world, gateway)
        figures.grown_mb = gateway.rss_mb() - rss_before
        circuits = await gateway.circuits()
        _sum_up(figures, samples, at.failing)
        _count_calls(figures, at, calls_before, calls, requests)
        # A budget remembers ten seconds, and so what warmed the cache.
        figures.offered = 3 * requests if at.warm and row.host is None else requests
        _read_circuits(figures, at, circuits, began)
        await _look_while_open(figures, row, at, world, gateway)
    if row.mendable:
        figures.recovered_s = await recovery(gateway, at.failing)
    row.add_figures(breakage, figures)
    return figures, tasks_before


async def recovery(gateway: GatewayProcess, services: Sequence[str], *, limit_s: float = RECOVERY_S) -> float | None:
    """Seconds until every one of the services answers by itself; None: not within the limit."""
    mended = time.monotonic()
    for number in count():
        sample = await gateway.ask(services, KEYS[-1 - number % len(KEYS)])
        if len(sample.fields) == len(services) and all(f.by in {"GRAPHQL", "REST"} for f in sample.fields.values()):
            return time.monotonic() - mended
        if time.monotonic() - mended > limit_s:
            break
        await asyncio.sleep(_POLL_S)
    return None


async def _look_for_leftovers(figures: Figures, world: World, gateway: GatewayProcess, tasks_before: int) -> None:
    """Wait for what goes by itself, and count the rest."""
    await asyncio.sleep(_IDLE_S)
    async with asyncio.timeout(_SETTLE_S + 60):
        until = time.monotonic() + _SETTLE_S
        while True:
            figures.connections_left = gateway.connections(world.ports)
            figures.tasks_left = max(0, await gateway.tasks() - tasks_before)
            if (figures.connections_left == 0 and figures.tasks_left == 0) or time.monotonic() > until:
                return
            await asyncio.sleep(0.25)


Attempts = dict[tuple[str, ProtocolName], int]


def _attempts(row: Row, world: World, gateway: GatewayProcess) -> Attempts:
    if row.counted_by_log:
        return dict(gateway.failed_attempts())
    return {(name, p): n for name, site in world.sites.items() for p, n in site.requests().items()}


def _sum_up(figures: Figures, samples: Sequence[Sample], failing: Sequence[str]) -> None:
    times = [sample.took_s for sample in samples]
    figures.p50_s, figures.p99_s = percentile(times, 0.5), percentile(times, 0.99)
    figures.unanswered = sum(sample.status != 200 for sample in samples)
    nothing = Field("FAILED", "NO_ANSWER")
    broken = [s.fields.get(name, nothing) for s in samples for name in failing]
    others = [s.fields.get(name, nothing) for s in samples for name in SERVICES if name not in failing]
    figures.answered = sum(f.by in {"GRAPHQL", "REST", "FRESH"} for f in broken) / len(broken)
    figures.stale = sum(f.by == "STALE" for f in broken) / len(broken)
    figures.intact = sum(f.by == "GRAPHQL" for f in others) / len(others) if others else None
    figures.codes.update(f.reason for f in broken if f.reason is not None and f.by in {"FAILED", "STALE"})
    figures.more["wrong"] = sum(f.by == "WRONG" for f in broken + others)


def _count_calls(figures: Figures, at: Circumstances, before: Attempts, after: Attempts, offered: int) -> None:
    """Each request offers its services one call a protocol, as the second protocol stands in for the first."""
    sent = [after.get((n, p), 0) - before.get((n, p), 0) for n in at.failing for p in at.protocols]
    figures.per_call = max(sent) / offered
    figures.extra_calls = max(sent) - offered


def _read_circuits(
    figures: Figures, at: Circumstances, circuits: dict[tuple[str, ProtocolName], CircuitSeen], began: float
) -> None:
    # REST is asked once GraphQL has failed, so it is GraphQL's circuit that tells how soon a fault is seen
    first = at.protocols[0]
    opened = [[t - began for t in circuits[name, first].opened_at if t >= began] for name in at.failing]
    figures.opened_s = max(times[0] for times in opened) if all(opened) else None
    figures.last_errors = {circuits[name, first].last_error for name in at.failing}


async def _look_while_open(
    figures: Figures, row: Row, at: Circumstances, world: World, gateway: GatewayProcess
) -> None:
    """Ask one broken service at a steady rate, and between two of these for nothing at all, to compare.

    Some of the requests are probes. As many of the slowest as there were attempts are left out: what is left was
    answered while the circuit was open.
    """
    service = at.failing[0]

    def attempts() -> int:
        counted = _attempts(row, world, gateway)
        return sum(counted.get((service, protocol), 0) for protocol in at.protocols)

    before = attempts()
    nothing: list[float] = []

    async def ask(key: str) -> Sample:
        began = time.monotonic()
        await gateway.post(_NOTHING)
        nothing.append(time.monotonic() - began)
        return await gateway.ask([service], key)

    samples = await steadily(ask, rate=_OPEN_LOOK_RATE, requests=2 * figures.requests)
    samples.sort(key=lambda sample: sample.took_s)
    local = samples[: max(0, len(samples) - (attempts() - before))]
    if figures.opened_s is not None:
        figures.open_p99_s = percentile([sample.took_s for sample in local], 0.99)
        figures.nothing_p99_s = percentile(nothing, 0.99)
    if local:
        figures.open_by_rest = sum(sample.fields[service].by == "REST" for sample in local) / len(local)
