"""What a row measured, what was expected of it, and whether that was met."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Figures:
    """The figures of one row under one set of circumstances. Shares are 0 to 1; None: nothing to measure.

    Attributes:
        requests: of clients, while the fault lasted.
        answered: share of the broken services' fields answered by the upstream itself.
        stale: share of them answered stale.
        intact: share of the other services' fields answered as ever.
        unanswered: requests without an HTTP answer of status 200.
        p50_s, p99_s: of these requests.
        open_p99_s: of requests that found the circuit open.
        nothing_p99_s: of requests for nothing at all, asked in between.
        open_by_rest: share of those that REST answered, and that said so.
        per_call: attempts for each call that was offered, of the worst protocol.
        extra_calls: attempts beyond the calls offered, of the worst protocol.
        offered: calls offered to each broken service in the ten seconds of its budget, before the fault included.
        opened_s: from the fault to the open circuit, of the slowest broken service; None: it did not open.
        recovered_s: from mending to the first answer by the upstreams themselves.
        tasks_left, connections_left: beyond what there was before.
        grown_mb: memory, from before the fault to after it.
        codes: of the failed and stale fields.
        last_errors: what the broken circuits counted last.
    """

    requests: int = 0
    answered: float | None = None
    stale: float | None = None
    intact: float | None = None
    unanswered: int = 0
    p50_s: float | None = None
    p99_s: float | None = None
    open_p99_s: float | None = None
    nothing_p99_s: float | None = None
    open_by_rest: float | None = None
    per_call: float | None = None
    extra_calls: float | None = None
    offered: int = 0
    opened_s: float | None = None
    recovered_s: float | None = None
    tasks_left: int | None = None
    connections_left: int | None = None
    grown_mb: float | None = None
    codes: Counter[str] = field(default_factory=Counter)
    last_errors: set[str | None] = field(default_factory=set)
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expectation:
    """Something that should hold.

    Attributes:
        says: as the table prints it.
        holds: whether it does.
        found: the figure to print where it does not.
        timed: it is about time, which a busy machine has its own ideas of.
    """

    says: str
    holds: Callable[[Figures], bool]
    found: Callable[[Figures], str]
    timed: bool = False


NOTHING = "\u2013"
"""What the table shows where there was nothing to measure."""


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of the values does not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def seconds(value: float | None) -> str:
    """As the table prints it: milliseconds where that is readable."""
    if value is None:
        return "never"
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def percent(value: float | None) -> str:
    """As the table prints it."""
    return NOTHING if value is None else f"{value * 100:.1f}".removesuffix(".0")


def at_most(
    says: str,
    figure: Callable[[Figures], float | None],
    limit: float,
    *,
    show: Callable[[float | None], str],
    timed: bool = False,
) -> Expectation:
    """A figure that must be there and no larger than the limit."""

    def holds(figures: Figures) -> bool:
        value = figure(figures)
        return value is not None and value <= limit

    return Expectation(says, holds, lambda figures: show(figure(figures)), timed)


def more_at_most(says: str, name: str, limit: float, *, timed: bool = False) -> Expectation:
    """A figure of a drill's own."""
    return at_most(says, lambda f: f.more.get(name), limit, show=_plain, timed=timed)


def more_at_least(says: str, name: str, limit: float, *, timed: bool = False) -> Expectation:
    """A figure of a drill's own."""
    return Expectation(says, lambda f: f.more.get(name, -1.0) >= limit, lambda f: _plain(f.more.get(name)), timed)


def _plain(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"


_BUDGET_FLOOR = 10
"""Retries that a budget lets through before it knows anything."""

IN_BUDGET = Expectation(
    "≤ 1.2 calls for each offered, and 10",
    lambda f: f.extra_calls is not None and f.extra_calls <= 0.2 * f.offered + _BUDGET_FLOOR,
    lambda f: f"{f.per_call:.2f}, of {f.offered} in the budget's time" if f.per_call is not None else "not counted",
)
INTACT = Expectation("other fields intact", lambda f: f.intact in {None, 1.0}, lambda f: f"{percent(f.intact)} %")
ALWAYS_A_RESPONSE = Expectation(
    "every request gets a response", lambda f: f.unanswered == 0, lambda f: f"{f.unanswered} did not"
)
NO_TASK_LEFT = Expectation("no task left", lambda f: f.tasks_left == 0, lambda f: f"{f.tasks_left}")
NO_CONNECTION_LEFT = Expectation(
    "no connection left", lambda f: f.connections_left == 0, lambda f: f"{f.connections_left}"
)
STALE_STANDS_IN = Expectation(
    "every kept row is served",
    lambda f: (f.answered or 0.0) + (f.stale or 0.0) >= 1.0 - 1e-9,
    lambda f: f"{percent((f.answered or 0.0) + (f.stale or 0.0))} %",
)
REST_ANSWERS = Expectation(
    "REST answers, and the answer says so", lambda f: f.answered == 1.0, lambda f: f"{percent(f.answered)} %"
)
REST_ANSWERS_WHILE_OPEN = Expectation(
    "REST answers while the circuit is open, and the answer says so",
    lambda f: f.open_by_rest == 1.0,
    lambda f: f"{percent(f.open_by_rest)} %",
)
ENDS_IN_TIME = at_most("p99 ≤ deadline + 50 ms", lambda f: f.p99_s, 2.05, show=seconds, timed=True)
OPEN_IS_FAST = Expectation(
    "while open p99 < 5 ms",
    lambda f: f.open_p99_s is not None and f.open_p99_s < 0.005,
    lambda f: f"{seconds(f.open_p99_s)}; asked for nothing at all {seconds(f.nothing_p99_s)}",
    timed=True,
)
MEMORY_BOUNDED = at_most("memory grows < 200 MB", lambda f: f.grown_mb, 200, show=_plain)
"""All places of one service (100) may hold as much as is allowed (1 MB), and buffers as much again."""
FAILS_FAST = at_most("p99 < 0.5 s: no waiting for what cannot come", lambda f: f.p99_s, 0.5, show=seconds, timed=True)
PATIENT = more_at_most("no attempt before it may", "impatient", 0)


def opens_within(limit_s: float) -> Expectation:
    """The circuit of every broken service opens."""
    return at_most(f"opens within {limit_s:g} s", lambda f: f.opened_s, limit_s, show=seconds, timed=True)


OPENS = Expectation("opens", lambda f: f.opened_s is not None, lambda f: "never")
STAYS_CLOSED = Expectation(
    "stays closed", lambda f: f.opened_s is None, lambda f: f"opened after {seconds(f.opened_s)}"
)


def recovers_within(limit_s: float) -> Expectation:
    """Once mended, the upstreams answer by themselves again."""
    return at_most(f"recovers within {limit_s:g} s", lambda f: f.recovered_s, limit_s, show=seconds, timed=True)


RECOVERS = Expectation("recovers", lambda f: f.recovered_s is not None, lambda f: "not within 10 s")


def counted_as(*codes: str) -> Expectation:
    """What the circuits counted last is what happened."""
    allowed = set(codes)
    return Expectation(
        f"counted as {' or '.join(codes)}",
        lambda f: bool(f.last_errors) and f.last_errors <= allowed,
        lambda f: ", ".join(sorted(str(code) for code in f.last_errors)) or "nothing",
    )
