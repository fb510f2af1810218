"""docs/fault-matrix.md, from what was measured."""

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.faults.drills import Drill
from tests.faults.figures import NOTHING, Expectation, Figures, percent, seconds
from tests.faults.rows import Circumstances, Row

COMMAND = "make faults"
_COLUMNS = (
    "fault",
    "cache, failing",
    "answered %",
    "stale %",
    "others intact %",
    "p50",
    "p99",
    "p99 open",
    "calls per call",
    "opens after",
    "recovers after",
    "tasks, connections left",
    "expected",
)
_NUMBERS = range(2, 11)


@dataclass(frozen=True, slots=True)
class Measured:
    """A row and what it measured; `trouble` instead, where it could not be run."""

    row: Row | Drill
    at: Circumstances | None
    figures: Figures
    trouble: str = ""

    @property
    def expectations(self) -> list[Expectation]:
        """What should hold."""
        if isinstance(self.row, Drill) or self.at is None:
            return list(self.row.expected)
        return list(self.row.expectations(self.at))

    @property
    def missed(self) -> list[str]:
        """What does not, each with what was found."""
        if self.trouble:
            return [f"could not be run: {self.trouble}"]
        return [f"{e.says} ({e.found(self.figures)})" for e in self.expectations if not e.holds(self.figures)]


def page(measured: Sequence[Measured], *, load: float) -> str:
    """The whole page.

    Args:
        measured: every row, in the order of the table.
        load: the machine's load average before the run.
    """
    met = sum(not each.missed for each in measured)
    lines = [
        "# Fault matrix",
        "",
        f"<!-- Written by `{COMMAND}`; changes by hand are lost with the next run. -->",
        "",
        f"Written by `{COMMAND}`. Each row breaks upstreams on real sockets and asks a gateway that runs in a process "
        "of its own; what is not as it should be is printed as **missed**.",
        "",
        f"{met} of {len(measured)} rows are as expected. {_machine(load)}",
        "",
        *_explained(),
        "",
        *_matrix([m for m in measured if isinstance(m.row, Row)]),
        "## Crowds, Redis, clocks and signals",
        "",
        *_drills([m for m in measured if isinstance(m.row, Drill)]),
        "",
    ]
    return "\n".join(lines)


def _machine(load: float) -> str:
    cores = f"{len(os.sched_getaffinity(0))} cores ({platform.machine()}, {platform.system()})"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    shared = "the upstreams, the proxies and the clients share them with the gateway"
    busy = f"Before the run the load average was {load:.1f}"
    return f"Measured on {cores} with {python}; {shared}. {busy}: what others did there is in the times below."


def _explained() -> list[str]:
    return [
        "Three services, each with GraphQL and REST. Timeout of an attempt 1 s, deadline of a request 2 s, two "
        "attempts, open for 1 s (at most 2 s), one probe. 100 requests at 40 a second, each for one row of every "
        "service.",
        "",
        "- **cold**: nothing had been answered before the fault. **warm**: every row had been.",
        "- **one**: one of the three services fails. **all**: all do. **GraphQL only**: its REST is well.",
        "- **answered**, **stale**: of the failing services' fields; the rest are errors. **others**: of the healthy "
        "services' fields.",
        "- **p99 open**: of requests that found the circuit open. **calls per call**: attempts for each call that "
        "was offered to the failing protocol.",
        "- **opens after**: from the fault to the open circuit. **recovers after**: from mending to the first answer "
        "that is not stale.",
    ]


def _matrix(measured: Sequence[Measured]) -> Iterator[str]:
    group = None
    for each in measured:
        if each.row.group != group:
            if group is not None:
                yield ""
            group = each.row.group
            yield f"## {group[0].upper()}{group[1:]}"
            yield ""
            yield "| " + " | ".join(_COLUMNS) + " |"
            yield "|" + "|".join("--:" if i in _NUMBERS else "---" for i in range(len(_COLUMNS))) + "|"
        yield "| " + " | ".join(_cells(each)) + " |"
    yield ""


def _cells(each: Measured) -> Iterator[str]:
    f = each.figures
    yield each.row.name
    yield str(each.at)
    yield percent(f.answered)
    yield percent(f.stale)
    yield percent(f.intact)
    yield _time(f.p50_s)
    yield _time(f.p99_s)
    yield _time(f.open_p99_s)
    yield NOTHING if f.per_call is None else f"{f.per_call:.2f}"
    yield _time(f.opened_s)
    yield _time(f.recovered_s)
    yield f"{_count(f.tasks_left)}, {_count(f.connections_left)}"
    yield _verdict(each)


def _drills(measured: Sequence[Measured]) -> Iterator[str]:
    yield "| fault | measured | expected |"
    yield "|---|---|---|"
    for each in measured:
        found = " · ".join(f"{name}: {_figure(value)}" for name, value in each.figures.more.items())
        yield f"| {each.row.name} | {found} | {_verdict(each)} |"


def _verdict(each: Measured) -> str:
    if not each.missed:
        return "met"
    return "**missed**: " + "; ".join(text.replace("|", "\\|") for text in each.missed)


def _time(value: float | None) -> str:
    return NOTHING if value is None else seconds(value)


def _count(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
