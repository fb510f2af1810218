"""An upstream, read as data: what it is doing, and what became of what was asked of it. Times are monotonic seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clients.call import ProtocolName, ServedBy
from clients.endpoints import DiscoveryStatus
from clients.figures import CallFigures, TrafficFigures
from clients.health import Health
from clients.health_checks import CheckStatus
from clients.stages.concurrency import ConcurrencyStatus
from clients.stages.rate_limit import RateStatus
from clients.stages.stale_cache import CacheFigures
from clients.state.balancer import EndpointStatus
from clients.state.circuit import CircuitStatus


@dataclass(slots=True)
class ServedFigures:
    """Calls since the start, by how they were answered."""

    counts: dict[ServedBy, int] = field(default_factory=lambda: dict.fromkeys(ServedBy, 0))
    failed: int = 0
    oldest_stale_s: float | None = None
    """Age of the oldest answer served stale since the upstream last answered by itself; None when it has."""


@dataclass(frozen=True, slots=True)
class RetryStatus:
    """The attempts of one service since the start.

    Attributes:
        calls: first attempts; a call that is taken from GraphQL to REST is one of each.
        attempts: with retries and hedges.
        refused: retries and hedges that the budget did not pay for.
        balance: retries that the budgets of its protocols would pay for now; None without a budget.
    """

    calls: int
    attempts: int
    retries: int
    hedges: int
    hedges_won: int
    waited_s: float
    refused: int
    balance: float | None


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """An upstream, read as data. Times are monotonic seconds.

    Attributes:
        reason: why its health is what it is, as a sentence part.
        since: when a circuit, an endpoint or a health check last changed.
        circuits: by protocol; where each operation has its own, the worst one, and none before the first call.
        by_operation: by protocol and the operation's name, where each has its own.
        endpoints: by protocol, of a service that has several; empty otherwise.
        discovery: the looking up of the service's host, where that finds its endpoints.
        checks: how its health checks go; empty without any.
    """

    name: str
    health: Health
    reason: str
    since: float
    circuits: Mapping[ProtocolName, CircuitStatus]
    by_operation: Mapping[tuple[ProtocolName, str], CircuitStatus]
    cache: CacheFigures
    served: ServedFigures
    retries: RetryStatus
    endpoints: Mapping[ProtocolName, Sequence[EndpointStatus]]
    discovery: DiscoveryStatus | None
    checks: Sequence[CheckStatus]
    concurrency: ConcurrencyStatus
    rate: RateStatus | None
    """None where the service has no `rate`."""


@dataclass(frozen=True, slots=True)
class UpstreamFigures:
    """What became of everything that was asked of an upstream.

    Attributes:
        calls: whole calls, however they were answered: retries, the other protocol and kept answers included.
        attempts: what was sent, by protocol.
        since: when counting began, in monotonic seconds.
        time_in: seconds spent in each health; one that it was never in is missing.
    """

    calls: CallFigures
    attempts: Mapping[ProtocolName, TrafficFigures]
    since: float
    time_in: Mapping[Health, float]
