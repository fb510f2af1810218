"""The table: every fault, how it is made, and what is expected of a gateway that meets it.

What a row's gateway is configured with beyond `world.POLICY` is in the row's `policy`, in the names of gateway.yaml.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from clients.call import ProtocolName
from tests.faults.breakages import (
    AsksToWait,
    Breakage,
    Expired,
    Flapping,
    FromTheStart,
    InTheUpstream,
    OnTheWire,
    Watched,
    at_a_date,
    in_seconds,
    sometimes,
)
from tests.faults.fields import SERVICES
from tests.faults.figures import (
    ALWAYS_A_RESPONSE,
    ENDS_IN_TIME,
    FAILS_FAST,
    IN_BUDGET,
    INTACT,
    MEMORY_BOUNDED,
    NO_CONNECTION_LEFT,
    NO_TASK_LEFT,
    OPEN_IS_FAST,
    OPENS,
    PATIENT,
    RECOVERS,
    REST_ANSWERS,
    REST_ANSWERS_WHILE_OPEN,
    STALE_STANDS_IN,
    Expectation,
    Figures,
    counted_as,
    opens_within,
    recovers_within,
)
from tests.faults.process import GatewayProcess
from tests.faults.world import BOTH, KEYS, MAX_OPEN_S, TIMEOUT_S, World
from tests.testkit.certificates import Certificates
from tests.testkit.fault_proxy import Fault
from tests.testkit.redis import RedisServer
from tests.testkit.upstream import errors, html, huge, malformed, status, wrong_shape

_MID_BODY = 300
"""Bytes of an answer after which its head is out and its body is not: see `process.text_of`."""
_RECOVERY = recovers_within(MAX_OPEN_S * 1.1 + TIMEOUT_S)
"""The longest open time with its jitter, and the slowest probe."""

_WARMING = 5
"""Rows asked for at once before the fault; gently, so that no call is slow."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Under which a row is run.

    Attributes:
        warm: every row was answered once before.
        everything: all three services fail, not just the first.
        protocols: the ones that fail.
    """

    warm: bool
    everything: bool
    protocols: tuple[ProtocolName, ...] = BOTH

    def __str__(self) -> str:
        who = "all" if self.everything else "one"
        which = "" if self.protocols == BOTH else ", GraphQL only"
        return f"{'warm' if self.warm else 'cold'}, {who}{which}"

    @property
    def graphql_only(self) -> bool:
        """REST is well."""
        return self.protocols != BOTH

    @property
    def failing(self) -> list[str]:
        """The services that fail."""
        return list(SERVICES) if self.everything else list(SERVICES)[:1]


ALL_CIRCUMSTANCES = (
    Circumstances(warm=False, everything=False),
    Circumstances(warm=True, everything=False),
    Circumstances(warm=False, everything=True),
    Circumstances(warm=True, everything=True),
    Circumstances(warm=False, everything=False, protocols=(ProtocolName.GRAPHQL,)),
)

Warmed = Callable[[World, Path, AsyncExitStack, dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault of the matrix.

    Attributes:
        group: the line of the promise that it belongs to.
        breakage: makes the fault anew for each run.
        expected: what should hold under any circumstances, beyond what should hold for every row.
        rest_at_once: with only GraphQL broken, REST answers from the first request on; else once the circuit is open.
        policy: merged into every service of the gateway's configuration.
        top: merged into the whole configuration.
        certificates: of the services, where they speak TLS.
        environment: of the gateway's process.
        host: what the broken services' addresses name instead of 127.0.0.1.
        warmed_elsewhere: how rows get into the cache where this gateway could never ask for them.
        mendable: the fault can be ended.
        counted_by_log: attempts are counted by the gateway's own log, as no one else can see them.
        rate: requests a second.
    """

    name: str
    group: str
    breakage: Callable[[], Breakage]
    expected: tuple[Expectation, ...] = ()
    rest_at_once: bool = True
    policy: Mapping[str, Any] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=dict)
    certificates: Certificates | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    host: str | None = None
    warmed_elsewhere: Warmed | None = None
    mendable: bool = True
    counted_by_log: bool = False
    rate: float = 40.0

    def expectations(self, at: Circumstances) -> Iterator[Expectation]:
        """Everything that should hold."""
        yield from (ALWAYS_A_RESPONSE, INTACT, IN_BUDGET, ENDS_IN_TIME)
        yield from (each for each in self.expected if not (at.graphql_only and each is OPEN_IS_FAST))
        if at.graphql_only:
            yield REST_ANSWERS if self.rest_at_once else REST_ANSWERS_WHILE_OPEN
        elif at.warm:
            yield STALE_STANDS_IN
        if self.mendable:
            yield RECOVERS
            yield _RECOVERY
        yield from (NO_TASK_LEFT, NO_CONNECTION_LEFT)

    @staticmethod
    def add_figures(breakage: Breakage, figures: Figures) -> None:
        """Take over what the breakage itself has seen."""
        if isinstance(breakage, Watched):
            figures.more["impatient"] = breakage.waits.impatient


async def warmed_through_redis(world: World, folder: Path, stack: AsyncExitStack, config: dict[str, Any]) -> None:
    """Let another gateway, which finds the services, keep their rows where both look."""
    redis = stack.enter_context(RedisServer())
    config["redis"] = {"url": redis.url, "timeout_s": 0.5}
    async with GatewayProcess(world.config(top={"redis": config["redis"]}), folder) as other:
        await warm(other)
        async with asyncio.timeout(10):
            while redis.command("DBSIZE") != b":%d\r\n" % (len(world.sites) * len(KEYS)):  # noqa: ASYNC110 - it is Redis that changes
                await asyncio.sleep(0.05)


async def warm(gateway: GatewayProcess, keys: Sequence[str] = KEYS) -> None:
    """Have every row answered once, and every circuit see some health."""
    for start in range(0, len(keys), _WARMING):
        samples = await asyncio.gather(*(gateway.ask(SERVICES, key) for key in keys[start : start + _WARMING]))
        bad = [s for s in samples if any(f.by != "GRAPHQL" for f in s.fields.values()) or not s.fields]
        if bad:
            raise RuntimeError(f"before the fault: {bad[0]}\n{gateway.log()[-2000:]}")


REFUSED = "refused, DNS failure, expired TLS"
SLOW = "black hole, +5 s latency, drip-feed"
BROKEN = "reset mid-body, truncated, not JSON, huge, 200 with transport-like errors"
ASKS_TO_WAIT = "half the answers 500; 429/503 with Retry-After"
FLAPPING = "flapping"

_FAST = (OPENS, opens_within(1.0), OPEN_IS_FAST)
_SLOW = (OPENS, opens_within(3.0), OPEN_IS_FAST)


def rows(certificates: Certificates) -> list[Row]:
    """The table, in the order of the promise.

    Args:
        certificates: of the run.
    """
    unavailable = partial(errors, "the database is away", code="SERVICE_UNAVAILABLE")
    return [
        Row(
            name="refused",
            group=REFUSED,
            breakage=lambda: OnTheWire(Fault(door="refuses")),
            expected=(*_FAST, counted_as("UPSTREAM_UNREACHABLE")),
            counted_by_log=True,
        ),
        Row(
            name="DNS failure",
            group=REFUSED,
            breakage=FromTheStart,
            expected=(*_FAST, counted_as("UPSTREAM_UNREACHABLE")),
            host="no-such-host.invalid",
            warmed_elsewhere=warmed_through_redis,
            mendable=False,
            counted_by_log=True,
        ),
        Row(
            name="expired TLS",
            group=REFUSED,
            breakage=lambda: Expired(certificates),
            expected=(*_FAST, counted_as("UPSTREAM_UNREACHABLE")),
            certificates=certificates,
            environment={"SSL_CERT_FILE": str(certificates.authority)},
            counted_by_log=True,
        ),
        Row(
            name="black hole: reads, never answers",
            group=SLOW,
            breakage=lambda: OnTheWire(Fault(silent=True)),
            expected=(*_SLOW, counted_as("UPSTREAM_TIMEOUT", "DEADLINE_EXCEEDED")),
            rest_at_once=False,
        ),
        Row(
            name="black hole: never accepts",
            group=SLOW,
            breakage=lambda: OnTheWire(Fault(door="ignores")),
            expected=(*_SLOW, counted_as("UPSTREAM_TIMEOUT", "DEADLINE_EXCEEDED")),
            rest_at_once=False,
            counted_by_log=True,
        ),
        Row(
            name="+5 s latency",
            group=SLOW,
            breakage=lambda: OnTheWire(Fault(latency_s=5, jitter_s=0.2)),
            expected=(*_SLOW, counted_as("UPSTREAM_TIMEOUT", "DEADLINE_EXCEEDED")),
            rest_at_once=False,
        ),
        Row(
            name="+0.8 s latency: slow, within the timeout",
            group=SLOW,
            breakage=lambda: OnTheWire(Fault(latency_s=0.8)),
            expected=_SLOW,
            rest_at_once=False,
            policy={"breaker": {"slow_call_s": 0.6, "slow_rate": 0.5}},
        ),
        Row(
            name="drip-feed: a byte every 20 ms",
            group=SLOW,
            breakage=lambda: OnTheWire(Fault(slice_bytes=1, slice_every_s=0.02)),
            expected=(*_SLOW, counted_as("UPSTREAM_TIMEOUT", "DEADLINE_EXCEEDED")),
            rest_at_once=False,
        ),
        Row(
            name="reset before the answer",
            group=BROKEN,
            breakage=lambda: OnTheWire(Fault(reset_after=0)),
            expected=(*_FAST, counted_as("UPSTREAM_CONNECTION_LOST")),
        ),
        Row(
            name="reset mid-body",
            group=BROKEN,
            breakage=lambda: OnTheWire(Fault(reset_after=_MID_BODY)),
            expected=(*_FAST, counted_as("UPSTREAM_CONNECTION_LOST")),
        ),
        Row(
            name="truncated",
            group=BROKEN,
            breakage=lambda: OnTheWire(Fault(truncate_after=_MID_BODY)),
            expected=(*_FAST, counted_as("UPSTREAM_CONNECTION_LOST")),
        ),
        Row(
            name="not JSON",
            group=BROKEN,
            breakage=lambda: InTheUpstream(malformed),
            expected=(*_FAST, counted_as("UPSTREAM_MALFORMED_RESPONSE")),
        ),
        Row(
            name="a page for people",
            group=BROKEN,
            breakage=lambda: InTheUpstream(html),
            expected=(*_FAST, counted_as("UPSTREAM_MALFORMED_RESPONSE")),
        ),
        Row(
            name="JSON of another shape",
            group=BROKEN,
            breakage=lambda: InTheUpstream(wrong_shape),
            expected=(*_FAST, counted_as("UPSTREAM_MALFORMED_RESPONSE")),
        ),
        Row(
            name="huge: 5 MB where 1 MB is allowed",
            group=BROKEN,
            breakage=lambda: InTheUpstream(partial(huge, 5_000_000)),
            expected=(
                OPENS,
                opens_within(2.0),
                OPEN_IS_FAST,
                counted_as("UPSTREAM_MALFORMED_RESPONSE"),
                MEMORY_BOUNDED,
            ),
        ),
        Row(
            name="200 with transport-like errors",
            group=BROKEN,
            breakage=lambda: InTheUpstream(unavailable, partial(status, 503)),
            expected=(*_FAST, counted_as("UPSTREAM_SERVER_ERROR")),
        ),
        Row(
            name="half the answers 500",
            group=ASKS_TO_WAIT,
            breakage=lambda: InTheUpstream(lambda: sometimes(0.5, status(500))),
            rest_at_once=True,
        ),
        Row(
            name="every answer 503, circuits kept closed",
            group=ASKS_TO_WAIT,
            breakage=lambda: InTheUpstream(partial(status, 503)),
            policy={
                "retry": {"attempts": 3},
                "breaker": {"failures": 1_000_000, "failure_rate": None},
            },
        ),
        Row(
            name="429 with Retry-After: 1",
            group=ASKS_TO_WAIT,
            breakage=lambda: Watched(AsksToWait(429, in_seconds(1))),
            expected=(PATIENT,),
        ),
        Row(
            name="503 with Retry-After: 1",
            group=ASKS_TO_WAIT,
            breakage=lambda: Watched(AsksToWait(503, in_seconds(1))),
            expected=(PATIENT, OPENS),
            rest_at_once=False,
        ),
        Row(
            name="503 with Retry-After as a date",
            group=ASKS_TO_WAIT,
            breakage=lambda: Watched(AsksToWait(503, at_a_date)),
            expected=(PATIENT, OPENS),
            rest_at_once=False,
        ),
        Row(
            name="429 with Retry-After: 86400",
            group=ASKS_TO_WAIT,
            breakage=lambda: Watched(AsksToWait(429, in_seconds(86_400))),
            expected=(PATIENT, FAILS_FAST),
        ),
        Row(
            name="503 with Retry-After: -1",
            group=ASKS_TO_WAIT,
            breakage=lambda: Watched(AsksToWait(503, in_seconds(-1))),
            expected=(PATIENT, OPENS, FAILS_FAST),
        ),
        Row(
            name="flapping: 0.4 s gone, 0.4 s there",
            group=FLAPPING,
            breakage=lambda: Flapping(Fault(reset_after=0), bad_s=0.4, good_s=0.4),
        ),
    ]
