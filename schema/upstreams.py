"""The state of the upstreams, as fields: what is open, since when, why, and how answers were served."""

from datetime import datetime
from typing import Any

import strawberry

from clients import upstream as clients_upstream
from clients.call import ProtocolName, ServedBy
from clients.state.circuit import CircuitStatus, Failure, State
from schema.context import GatewayContext
from schema.enums import describe as _describe
from schema.upstream_figures import FiguresReading, UpstreamFigures, Wall

_describe(
    State,
    "CircuitState",
    "Whether a circuit lets calls through.",
    CLOSED="Every call goes through.",
    OPEN="Every call is refused until the next probe.",
    HALF_OPEN="A few probes go through; their outcome decides.",
)
_describe(
    clients_upstream.Health,
    "UpstreamStatus",
    "An upstream's health, from its circuits.",
    HEALTHY="Every circuit is closed.",
    DEGRADED="A circuit is not closed, and there is another way.",
    UNHEALTHY="No circuit is closed; answers are stale ones, or errors.",
)


@strawberry.type(description="A failure that a circuit counted.")
class CircuitError:
    """A failure that a circuit counted."""

    code: str = strawberry.field(description="Its code, as in `errors[].extensions.code`.")
    message: str = strawberry.field(description="What went wrong, with service and route.")
    at: datetime = strawberry.field(description="When it happened.")
    request_id: str | None = strawberry.field(description="The request that met it.")


@strawberry.type(description="A change of a circuit's state.")
class CircuitTransition:
    """A change of a circuit's state."""

    previous: State = strawberry.field(description="The state before.")
    state: State = strawberry.field(description="The state after.")
    at: datetime = strawberry.field(description="When it changed.")
    reason: str = strawberry.field(description="Why it changed.")


@strawberry.type(description="The circuit breaker of one protocol of an upstream.")
class Circuit:
    """The circuit breaker of one protocol of an upstream."""

    protocol: ProtocolName = strawberry.field(description="The protocol it guards.")
    state: State = strawberry.field(description="CLOSED lets calls through, OPEN refuses them, HALF_OPEN probes.")
    since: datetime = strawberry.field(description="When it came into this state.")
    reason: str = strawberry.field(description="Why it is in this state.")
    failure_rate: float | None = strawberry.field(description="Failed share of the latest calls, 0 to 1.")
    slow_rate: float | None = strawberry.field(description="Slow share of the latest calls, 0 to 1.")
    consecutive_failures: int = strawberry.field(description="Failures since the last success.")
    last_error: CircuitError | None = strawberry.field(description="The last failure that it counted.")
    last_success_at: datetime | None = strawberry.field(description="When a call last succeeded.")
    next_probe_at: datetime | None = strawberry.field(description="When an open circuit lets the next call through.")
    trips: int = strawberry.field(description="Times it has opened since the gateway started.")
    refused: int = strawberry.field(description="Calls it has refused since the gateway started.")
    history: list[CircuitTransition] = strawberry.field(description="The latest changes of state, oldest first.")


@strawberry.type(description="The kept answers of one upstream, counted since the gateway started.")
class UpstreamCache:
    """The kept answers of one upstream."""

    fresh: int = strawberry.field(description="Answers (rows, for batched calls) served without a call.")
    stale: int = strawberry.field(description="Answers (rows) served in place of a failed call.")
    misses: int = strawberry.field(description="Answers (rows) that a call was made for.")
    oldest_stale_age_ms: int | None = strawberry.field(
        description="Age of the oldest answer served stale since the upstream last answered; null once it has."
    )


@strawberry.type(description="Calls to one upstream since the gateway started, by how they were answered.")
class ServedCounts:
    """Calls to one upstream, by how they were answered."""

    graphql: int = strawberry.field(description="Answered over GraphQL.")
    rest: int = strawberry.field(description="Answered over REST.")
    fresh: int = strawberry.field(description="Answered from the cache without a call.")
    stale: int = strawberry.field(description="Answered, in part at least, with the last good rows.")
    alternative: int = strawberry.field(description="Answered by the service that stands in for it.")
    default: int = strawberry.field(description="Answered, in part at least, with a default value.")
    failed: int = strawberry.field(description="Not answered.")


@strawberry.type(description="Attempts on one upstream since the gateway started, and what its retry budget has left.")
class UpstreamRetries:
    """Attempts on one upstream."""

    calls: int = strawberry.field(description="First attempts; a call taken from GraphQL to REST is one of each.")
    attempts: int = strawberry.field(description="All attempts, with retries and hedges.")
    retries: int = strawberry.field(description="Attempts after a failed one.")
    hedges: int = strawberry.field(description="Attempts beside a slow one.")
    hedges_won: int = strawberry.field(description="Attempts beside a slow one that answered first.")
    waited_ms: float = strawberry.field(description="Time spent waiting between attempts, all calls together.")
    refused_by_budget: int = strawberry.field(description="Retries and hedges that the budget did not pay for.")
    budget: float | None = strawberry.field(description="Retries the budget would pay for now; null without a budget.")


@strawberry.type(description="A service that this gateway calls.")
class Upstream(UpstreamFigures):
    """A service that this gateway calls."""

    name: str = strawberry.field(description="Its name in the gateway's configuration.")
    status: clients_upstream.Health = strawberry.field(description="Its health, from its circuits.")
    since: datetime = strawberry.field(description="When one of its circuits last changed.")
    circuits: list[Circuit] = strawberry.field(description="One for each protocol it is spoken to by.")
    cache: UpstreamCache = strawberry.field(description="Its kept answers.")
    served_by: ServedCounts = strawberry.field(description="How calls to it were answered.")
    retries: UpstreamRetries = strawberry.field(description="Attempts on it, and its retry budget.")


@strawberry.type
class Query:
    """Fields about the upstreams."""

    @strawberry.field(description="The services this gateway calls; with `name`, only that one.")
    def upstreams(self, info: strawberry.Info, name: str | None = None) -> list[Upstream]:
        """All services, in the order of the configuration."""
        context: GatewayContext = info.context
        state = context.state
        return [_upstream(u, state.wall) for u in state.upstreams.values() if name is None or u.name == name]


def _upstream(upstream: clients_upstream.Upstream, wall: Wall) -> Upstream:
    status = upstream.status()
    served, cache, retries = status.served, status.cache, status.retries
    return Upstream(
        reading=FiguresReading(upstream, wall),
        name=status.name,
        status=status.health,
        since=wall(status.since),
        circuits=[_circuit(protocol, circuit, wall) for protocol, circuit in status.circuits.items()],
        cache=UpstreamCache(
            fresh=cache.fresh,
            stale=cache.stale,
            misses=cache.misses,
            oldest_stale_age_ms=None if served.oldest_stale_s is None else round(served.oldest_stale_s * 1000),
        ),
        served_by=ServedCounts(failed=served.failed, **{by.value: served.counts[by] for by in ServedBy}),
        retries=UpstreamRetries(
            calls=retries.calls,
            attempts=retries.attempts,
            retries=retries.retries,
            hedges=retries.hedges,
            hedges_won=retries.hedges_won,
            waited_ms=round(retries.waited_s * 1000, 1),
            refused_by_budget=retries.refused,
            budget=retries.balance,
        ),
    )


def _circuit(protocol: ProtocolName, status: CircuitStatus, wall: Wall) -> Circuit:
    failure = status.last_failure
    same: dict[str, Any] = {
        name: getattr(status, name)
        for name in ("state", "reason", "failure_rate", "slow_rate", "consecutive_failures", "trips", "refused")
    }
    return Circuit(
        protocol=protocol,
        since=wall(status.since),
        last_error=_error(failure, wall) if failure is not None else None,
        last_success_at=None if status.last_success_at is None else wall(status.last_success_at),
        next_probe_at=None if status.next_probe_at is None else wall(status.next_probe_at),
        history=[
            CircuitTransition(previous=t.previous, state=t.state, at=wall(t.at), reason=t.reason)
            for t in status.history
        ],
        **same,
    )


def _error(failure: Failure, wall: Wall) -> CircuitError:
    return CircuitError(code=failure.code, message=failure.message, at=wall(failure.at), request_id=failure.request_id)
