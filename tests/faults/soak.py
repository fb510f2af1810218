"""Half load for a long time, while faults come and go: is memory flat, is anything left behind?

    .venv/bin/python -m tests.faults.soak [--minutes 30] [--seed 1]

A short burst tells how much the gateway, its upstreams and its clients can do together on this machine; half of that is
asked of it. Each service breaks and mends by a schedule of its own that follows from the seed. What is left is counted
when everything has been well for a while.

Memory is flat when the least number of memory blocks that live objects took in the last third is within 5 % of that in
the middle third; a run of less than ten minutes cannot tell, and says so. (Resident memory is shown as well. It keeps
what the worst burst so far needed, so it rises with each burst that is worse than all before.)
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import uvloop

from clients.call import ProtocolName
from tests.faults.breakages import Breakage, InTheUpstream, OnTheWire, sometimes
from tests.faults.fields import SERVICES
from tests.faults.process import GatewayProcess
from tests.faults.rows import warm
from tests.faults.script import recovery
from tests.faults.world import BOTH, KEYS, Site, World, open_world
from tests.testkit.fault_proxy import Fault
from tests.testkit.upstream import Hang, errors, malformed, status

_BURST_S = 5.0
_BURST_CLIENTS = 16
_EVERY_S = 10.0
_FLAT = 1.05
_LONG_ENOUGH_MINUTES = 10
_PLACES = 50
_SETTLE_S = 30.0
_SHOWN = 15

_BREAKAGES: tuple[Breakage, ...] = (
    OnTheWire(Fault(door="refuses")),
    OnTheWire(Fault(silent=True)),
    OnTheWire(Fault(latency_s=0.8, jitter_s=0.4)),
    OnTheWire(Fault(slice_bytes=20, slice_every_s=0.02)),
    OnTheWire(Fault(reset_after=300)),
    OnTheWire(Fault(truncate_after=300)),
    InTheUpstream(malformed),
    InTheUpstream(partial(errors, "away", code="SERVICE_UNAVAILABLE"), partial(status, 503)),
    InTheUpstream(partial(status, 429, headers={"retry-after": "1"})),
    InTheUpstream(lambda: sometimes(0.5, status(500))),
)


@dataclass(slots=True)
class Moment:
    """What was seen at one time."""

    at_s: float
    rss_mb: float
    blocks: int
    tasks: int
    connections: int
    open_circuits: int
    by: Counter[str]

    def share(self, *names: str) -> float:
        """Per cent of the fields answered like this since the moment before."""
        return 100 * sum(self.by[name] for name in names) / max(1, self.by.total())


@dataclass(slots=True)
class Soak:
    """A run: the load, the faults and what was seen."""

    world: World
    gateway: GatewayProcess
    rate: float
    by: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    moments: list[Moment] = field(default_factory=list)
    under_way: set[asyncio.Task[None]] = field(default_factory=set)
    broken: int = 0

    async def load(self) -> None:
        """Ask at the rate, whatever becomes of earlier requests."""
        began = time.monotonic()
        for number in count():
            if (wait_s := began + number / self.rate - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            task = asyncio.create_task(self._ask(KEYS[number % len(KEYS)]))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    async def _ask(self, key: str) -> None:
        sample = await self.gateway.ask(SERVICES, key)
        self.by.update([answer.by for answer in sample.fields.values()] or ["NONE"] * len(SERVICES))
        self.codes.update(str(f.reason) for f in sample.fields.values() if f.by == "FAILED")

    async def break_and_mend(self, site: Site, random: Random) -> None:
        """One service's faults, one after the other."""
        while True:
            await asyncio.sleep(random.uniform(2, 10))
            protocols = random.choice((BOTH, (ProtocolName.GRAPHQL,)))
            async with random.choice(_BREAKAGES).broken(site, protocols):
                self.broken += 1
                await asyncio.sleep(random.uniform(1, 8))

    async def look(self) -> None:
        """Write down how it is, again and again."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(_EVERY_S)
            circuits = await self.gateway.circuits()
            self.moments.append(
                Moment(
                    time.monotonic() - began,
                    self.gateway.rss_mb(),
                    await self.gateway.blocks(),
                    await self.gateway.tasks(),
                    self.gateway.connections(self.world.ports),
                    sum(circuit.state != "CLOSED" for circuit in circuits.values()),
                    self.by,
                )
            )
            self.by = Counter()
            for site in self.world.sites.values():  # what this process remembers is not what is measured
                site.upstream.graphql.forget()
                site.upstream.rest.forget()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    return uvloop.run(_soak(options.minutes, options.seed))


async def _soak(minutes: float, seed: int) -> int:
    with tempfile.TemporaryDirectory(prefix="breakwater-soak-") as folder:
        async with open_world() as world, GatewayProcess(_config(world), Path(folder)) as gateway:
            await warm(gateway)
            tasks_before = await gateway.tasks()
            capacity = await _burst(gateway)
            half = capacity / 2
            _say(f"{capacity:.0f} answers a second at the most; {half:.0f} are asked for, for {minutes:g} minutes.")
            soak = Soak(world, gateway, half)
            running = [
                asyncio.create_task(soak.load()),
                asyncio.create_task(soak.look()),
                *(
                    asyncio.create_task(soak.break_and_mend(site, Random(f"{seed} {site.name}")))
                    for site in world.sites.values()
                ),
            ]
            done, _ = await asyncio.wait(running, timeout=60 * minutes, return_when=asyncio.FIRST_EXCEPTION)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for task in done:
                task.result()  # none ends by itself, so this raises what went wrong
            await asyncio.gather(*soak.under_way)
            findings = [_memory(soak.moments, minutes), *await _left(soak, tasks_before)]
    _table(soak.moments)
    codes = ", ".join(f"{code} {number}" for code, number in soak.codes.most_common()) or "none"
    _say(f"\n{soak.broken} faults; fields that failed: {codes}; at the end:\n")
    for good, text in findings:
        _say(f"- {text}" if good else f"- **missed**: {text}")
    return 0 if all(good for good, _ in findings) else 1


def _config(world: World) -> dict[str, object]:
    return world.config({"max_connections": _PLACES}, {"log": {"level": "error"}})


async def _burst(gateway: GatewayProcess) -> float:
    """Answers a second when each of a few clients waits for its answer."""
    answered, until = 0, time.monotonic() + _BURST_S

    async def client(number: int) -> None:
        nonlocal answered
        while time.monotonic() < until:
            await gateway.ask(SERVICES, KEYS[(number + answered) % len(KEYS)])
            answered += 1

    await asyncio.gather(*(client(number) for number in range(_BURST_CLIENTS)))
    return answered / _BURST_S


Finding = tuple[bool, str]
"""Whether it is as it should be, and what was found."""


def _memory(moments: Sequence[Moment], minutes: float) -> Finding:
    third = len(moments) // 3
    if third == 0:
        return True, "memory: too few samples to say anything"
    middle, last = moments[third : 2 * third], moments[2 * third :]
    before, after = (min(moment.blocks for moment in part) for part in (middle, last))
    text = f"memory: at least {before:,} blocks in the middle third, {after:,} in the last"
    text += f"; resident {max(m.rss_mb for m in middle):.0f} and {max(m.rss_mb for m in last):.0f} MB at most"
    if minutes < _LONG_ENOUGH_MINUTES:
        return True, f"{text} (a run of {minutes:g} minutes is too short to call that flat or not)"
    return after <= _FLAT * before, text


async def _left(soak: Soak, tasks_before: int) -> list[Finding]:
    """What is left behind once everything is well and idle."""
    world, gateway = soak.world, soak.gateway
    recovered_s = await recovery(gateway, list(SERVICES), limit_s=_SETTLE_S)
    found = [(recovered_s is not None, "every service answers again")]
    until = time.monotonic() + _SETTLE_S
    while True:  # circuits close when they are asked, connections when they are not
        for key in KEYS[:4]:
            await gateway.ask(SERVICES, key)
        circuits = await gateway.circuits()
        open_circuits = sum(c.state != "CLOSED" for (_, p), c in circuits.items() if p is ProtocolName.GRAPHQL)
        if not open_circuits or time.monotonic() > until:
            break
        await asyncio.sleep(0.5)
    found.append((open_circuits == 0, f"GraphQL circuits that are not closed: {open_circuits}"))
    for site in world.sites.values():
        places = await _free_places(site, gateway)
        found.append((places == _PLACES, f"permits: {places} of {_PLACES} calls to {site.name} go out at once"))
    while True:
        connections = gateway.connections(world.ports)
        tasks = max(0, await gateway.tasks() - tasks_before)
        if (connections == 0 and tasks == 0) or time.monotonic() > until + _SETTLE_S:
            break
        await asyncio.sleep(0.5)
    found.append((tasks == 0, f"tasks left: {tasks}"))
    found.append((connections == 0, f"connections left: {connections}"))
    return found


async def _free_places(site: Site, gateway: GatewayProcess) -> int:
    """How many calls reach the service at once, which are as many as it has permits for."""
    hang = Hang()
    endpoint = site.upstream.graphql
    await endpoint.wait_until_idle()
    endpoint.forget()
    endpoint.behave(hang)
    asking = [asyncio.create_task(gateway.ask([site.name], key)) for key in KEYS[:_PLACES]]
    with contextlib.suppress(TimeoutError):
        await endpoint.wait_for_calls(_PLACES, deadline_s=0.5)
    hang.release()
    endpoint.heal()
    await asyncio.gather(*asking)
    return endpoint.peak


def _table(moments: Sequence[Moment]) -> None:
    """The moments, thinned out to what a page can hold."""
    _say("\n| minute | RSS, MB | blocks | tasks | connections | circuits not closed | new % | stale % | failed % |")
    _say("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    step = max(1, len(moments) // _SHOWN)
    for m in moments[step - 1 :: step]:
        new, stale, failed = m.share("GRAPHQL", "REST", "FRESH"), m.share("STALE"), m.share("FAILED", "WRONG", "NONE")
        _say(
            f"| {m.at_s / 60:.1f} | {m.rss_mb:.1f} | {m.blocks:,} | {m.tasks} | {m.connections} | {m.open_circuits} "
            f"| {new:.1f} | {stale:.1f} | {failed:.1f} |"
        )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
