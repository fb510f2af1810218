"""The state of the upstreams, as fields: what is open, since when, why, and how answers were served."""

from datetime import datetime
from typing import Any

import strawberry

from clients import health_checks
from clients import upstream as clients_upstream
from clients.call import ProtocolName, ServedBy
from clients.health import Health
from clients.state.balancer import EndpointState, EndpointStatus
from clients.state.circuit import CircuitStatus, Failure, Mode, State
from clients.upstream_status import UpstreamStatus
from schema.access import OperatorsOnly
from schema.context import GatewayContext
from schema.enums import describe as _describe
from schema.scalars import Long
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
    Mode,
    "CircuitMode",
    "Who decides whether a circuit lets calls through.",
    AUTOMATIC="The circuit by itself.",
    FORCED_OPEN="An operator: every call is refused.",
    DISABLED="An operator: every call goes through, and none is counted.",
    METRICS_ONLY="An operator: every call goes through and is counted.",
)
_describe(
    Health,
    "UpstreamStatus",
    "An upstream's health, from its circuits, endpoints and health checks.",
    HEALTHY="Every circuit is closed, no health check fails, and every endpoint gets calls.",
    DEGRADED="A protocol's circuit or health checks are against it and another one is well, or an endpoint is out.",
    UNHEALTHY="No protocol has a closed circuit and passing health checks; answers are stale ones, or errors.",
)
_describe(
    EndpointState,
    "UpstreamEndpointState",
    "Whether an endpoint gets calls.",
    HEALTHY="It gets its share of the calls.",
    RETURNING="Its time out is over; one call at a time tries it until one is answered.",
    EJECTED="It failed too often in a row and gets no calls for a while.",
    UNHEALTHY="It fails its health checks, and gets no calls while another one passes them.",
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


@strawberry.type(description="The calls that a circuit's rates are of: the latest so many, or of the latest seconds.")
class CircuitWindow:
    """The calls that a circuit's rates are of."""

    calls: int = strawberry.field(description="Calls in it.")
    failed: int = strawberry.field(description="Of these, how many failed.")
    slow: int = strawberry.field(description="Of these, how many were slow; a failed one may be slow as well.")
    max_calls: int | None = strawberry.field(description="The most it looks at; null for a window of seconds.")
    seconds: float | None = strawberry.field(description="How far it looks back; null for a window of calls.")


@strawberry.type(description="What an operator did with a circuit.")
class CircuitModeChange:
    """What an operator did with a circuit."""

    mode: Mode = strawberry.field(description="The mode it was given; AUTOMATIC after a reset, too.")
    by: str = strawberry.field(description="Who did it.")
    at: datetime = strawberry.field(description="When.")
    reason: str | None = strawberry.field(description="Why, in the operator's words.")


@strawberry.type(description="The circuit breaker of one protocol of an upstream, or of one operation over it.")
class Circuit:
    """The circuit breaker of one protocol of an upstream, or of one operation over it."""

    protocol: ProtocolName = strawberry.field(description="The protocol it guards.")
    operation: str | None = strawberry.field(
        description="The operation it guards, where each has a circuit of its own; null when it is for all of them."
    )
    mode: Mode = strawberry.field(description="AUTOMATIC, unless an operator decides.")
    mode_change: CircuitModeChange | None = strawberry.field(
        description="The latest that an operator did with it; null when nobody did anything."
    )
    state: State = strawberry.field(description="CLOSED lets calls through, OPEN refuses them, HALF_OPEN probes.")
    since: datetime = strawberry.field(description="When it came into this state.")
    reason: str = strawberry.field(description="Why it is in this state.")
    failure_rate: float | None = strawberry.field(description="Failed share of the latest calls, 0 to 1.")
    slow_rate: float | None = strawberry.field(description="Slow share of the latest calls, 0 to 1.")
    window: CircuitWindow = strawberry.field(description="The calls that both rates are of.")
    consecutive_failures: Long = strawberry.field(
        description="Calls since the last success that failed, or had a fair time and no answer."
    )
    last_error: CircuitError | None = strawberry.field(description="The last failure that it counted.")
    last_success_at: datetime | None = strawberry.field(description="When a call last succeeded.")
    next_probe_at: datetime | None = strawberry.field(description="When an open circuit lets the next call through.")
    trips: Long = strawberry.field(description="Times it has opened since the gateway started.")
    refused: Long = strawberry.field(description="Calls it has refused since the gateway started.")
    ignored: Long = strawberry.field(
        description="Calls since the gateway started that said nothing about the upstream: cancelled, or refused here."
    )
    history: list[CircuitTransition] = strawberry.field(description="The latest changes of state, oldest first.")


@strawberry.type(description="One of the places where an upstream answers, for one protocol.")
class UpstreamEndpoint:
    """One of the places where an upstream answers, for one protocol."""

    protocol: ProtocolName = strawberry.field(description="The protocol; each has its own record of the endpoint.")
    name: str = strawberry.field(description="Its origin, or its address.")
    weight: int = strawberry.field(description="Its share of the calls, against the weights of the others.")
    state: EndpointState = strawberry.field(description="Whether it gets calls.")
    since: datetime = strawberry.field(description="When it came into this state.")
    reason: str = strawberry.field(description="Why it is in this state.")
    outstanding: int = strawberry.field(description="Calls under way.")
    consecutive_failures: Long = strawberry.field(description="Failures since it last answered, or returned.")
    ejected_until: datetime | None = strawberry.field(description="When an ejected one is tried again.")
    ejections: Long = strawberry.field(description="Times it was ejected since the gateway started.")
    last_error: CircuitError | None = strawberry.field(description="The last failure that counted.")


@strawberry.type(description="How the health checks of one protocol of an upstream go, at one endpoint.")
class UpstreamHealthCheck:
    """How the health checks of one protocol of an upstream go, at one endpoint."""

    protocol: ProtocolName = strawberry.field(description="The protocol that is checked.")
    endpoint: str = strawberry.field(description="The endpoint's origin or address.")
    passing: bool = strawberry.field(description="What as many checks in a row as it takes have decided.")
    since: datetime = strawberry.field(description="When that last changed.")
    checked_at: datetime = strawberry.field(description="When it was last checked.")
    duration_ms: float = strawberry.field(description="How long the last check took.")
    error: str | None = strawberry.field(description="What was wrong at the last check; null when it passed.")


@strawberry.type(description="The looking up of an upstream's host, which finds its endpoints.")
class UpstreamDiscovery:
    """The looking up of an upstream's host, which finds its endpoints."""

    host: str = strawberry.field(description="The name that is looked up.")
    looked_up_at: datetime | None = strawberry.field(description="When it last had addresses.")
    trouble: str | None = strawberry.field(description="Why the last look-up gave none, so that older ones are used.")


@strawberry.type(description="The kept answers of one upstream, counted since the gateway started.")
class UpstreamCache:
    """The kept answers of one upstream."""

    fresh: Long = strawberry.field(description="Answers (rows, for batched calls) served without a call.")
    stale: Long = strawberry.field(description="Answers (rows) served past their time.")
    misses: Long = strawberry.field(description="Answers (rows) that were not fresh, the stale included.")
    stale_ratio: float | None = strawberry.field(description="Stale share of all answers (rows); null before any.")
    refreshes: Long = strawberry.field(description="Calls made in the background, for rows served stale meanwhile.")
    oldest_stale_age_ms: Long | None = strawberry.field(
        description="Age of the oldest answer served stale since the upstream last answered; null once it has."
    )


@strawberry.type(description="Calls to one upstream since the gateway started, by how they were answered.")
class ServedCounts:
    """Calls to one upstream, by how they were answered."""

    graphql: Long = strawberry.field(description="Answered over GraphQL.")
    rest: Long = strawberry.field(description="Answered over REST.")
    fresh: Long = strawberry.field(description="Answered from the cache without a call.")
    stale: Long = strawberry.field(description="Answered, in part at least, with the last good rows.")
    alternative: Long = strawberry.field(description="Answered by the service that stands in for it.")
    default: Long = strawberry.field(description="Answered, in part at least, with a default value.")
    failed: Long = strawberry.field(description="Not answered.")


@strawberry.type(description="Attempts on one upstream since the gateway started, and what its retry budget has left.")
class UpstreamRetries:
    """Attempts on one upstream."""

    calls: Long = strawberry.field(description="First attempts; a call taken from GraphQL to REST is one of each.")
    attempts: Long = strawberry.field(description="All attempts, with retries and hedges.")
    retries: Long = strawberry.field(description="Attempts after a failed one.")
    hedges: Long = strawberry.field(description="Attempts beside a slow one.")
    hedges_won: Long = strawberry.field(description="Attempts beside a slow one that answered first.")
    waited_ms: float = strawberry.field(description="Time spent waiting between attempts, all calls together.")
    refused_by_budget: Long = strawberry.field(description="Retries and hedges that the budget did not pay for.")
    budget: float | None = strawberry.field(
        description="Retries that the budgets of both protocols would pay for now; null without."
    )


@strawberry.type(description="How many calls to an upstream may be under way at once.")
class ConcurrencyLimit:
    """How many calls to an upstream may be under way at once."""

    limit: int = strawberry.field(description="Calls that may be under way.")
    in_flight: int = strawberry.field(description="Calls under way.")
    queued: int = strawberry.field(description="Calls waiting for one of them to end.")
    refused: Long = strawberry.field(description="Calls refused since the gateway started.")


@strawberry.type(description="How often an upstream may be called: a token bucket.")
class RateLimit:
    """How often an upstream may be called: a token bucket."""

    capacity: int = strawberry.field(description="Calls that may come at once.")
    per_second: float = strawberry.field(description="Calls a second in the long run.")
    tokens_left: float = strawberry.field(description="Calls that could come now, as far as this instance knows.")
    waiting: int = strawberry.field(description="Calls waiting for their turn.")
    refused: Long = strawberry.field(description="Calls refused since the gateway started.")
    shared: bool | None = strawberry.field(
        description="Whether instances count together now; false when Redis does not answer, null when not asked to."
    )


@strawberry.type(description="What keeps this gateway from asking too much of an upstream.")
class UpstreamLimits:
    """What keeps this gateway from asking too much of an upstream."""

    concurrency: ConcurrencyLimit = strawberry.field(description="How many calls may be under way at once.")
    rate: RateLimit | None = strawberry.field(description="How often it may be called; null without such a limit.")


@strawberry.type(description="A service that this gateway calls.")
class Upstream(UpstreamFigures):
    """A service that this gateway calls."""

    name: str = strawberry.field(description="Its name in the gateway's configuration.")
    status: Health = strawberry.field(description="Its health, from its circuits, endpoints and health checks.")
    status_reason: str = strawberry.field(description="Why its health is what it is.")
    since: datetime = strawberry.field(description="When a circuit, an endpoint or a health check last changed.")
    circuits: list[Circuit] = strawberry.field(
        description="One for each protocol it is spoken to by, or for each operation and protocol."
    )
    endpoints: list[UpstreamEndpoint] = strawberry.field(description="Where it answers; empty when that is one place.")
    discovery: UpstreamDiscovery | None = strawberry.field(description="Null unless its host is looked up for them.")
    checks: list[UpstreamHealthCheck] = strawberry.field(description="Its health checks; empty when there are none.")
    cache: UpstreamCache = strawberry.field(description="Its kept answers.")
    served_by: ServedCounts = strawberry.field(description="How calls to it were answered.")
    retries: UpstreamRetries = strawberry.field(description="Attempts on it, and its retry budget.")
    limits: UpstreamLimits = strawberry.field(description="What keeps this gateway from asking too much of it.")


@strawberry.type
class Query:
    """Fields about the upstreams."""

    @strawberry.field(
        description="The services this gateway calls; with `name`, only that one. For operators.",
        extensions=[OperatorsOnly()],
    )
    def upstreams(self, info: strawberry.Info, name: str | None = None) -> list[Upstream] | None:
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
        status_reason=status.reason,
        since=wall(status.since),
        circuits=_circuits(status, wall),
        endpoints=[_endpoint(p, endpoint, wall) for p, each in status.endpoints.items() for endpoint in each],
        discovery=_discovery(status, wall),
        checks=[_check(check, wall) for check in status.checks],
        cache=UpstreamCache(
            fresh=Long(cache.fresh),
            stale=Long(cache.stale),
            stale_ratio=cache.stale_ratio,
            refreshes=Long(cache.refreshes),
            misses=Long(cache.misses),
            oldest_stale_age_ms=None if served.oldest_stale_s is None else Long(round(served.oldest_stale_s * 1000)),
        ),
        served_by=ServedCounts(failed=Long(served.failed), **{by.value: Long(served.counts[by]) for by in ServedBy}),
        retries=UpstreamRetries(
            calls=Long(retries.calls),
            attempts=Long(retries.attempts),
            retries=Long(retries.retries),
            hedges=Long(retries.hedges),
            hedges_won=Long(retries.hedges_won),
            waited_ms=round(retries.waited_s * 1000, 1),
            refused_by_budget=Long(retries.refused),
            budget=retries.balance,
        ),
        limits=_limits(status),
    )


def circuits_of(upstream: clients_upstream.Upstream, wall: Wall) -> list[Circuit]:
    """The circuits of an upstream as they are now."""
    return _circuits(upstream.status(), wall)


def _limits(status: UpstreamStatus) -> UpstreamLimits:
    concurrency, rate = status.concurrency, status.rate
    return UpstreamLimits(
        concurrency=ConcurrencyLimit(
            limit=concurrency.limit,
            in_flight=concurrency.in_flight,
            queued=concurrency.queued,
            refused=Long(concurrency.refused),
        ),
        rate=None
        if rate is None
        else RateLimit(
            capacity=rate.capacity,
            per_second=rate.per_s,
            tokens_left=rate.left,
            waiting=rate.waiting,
            refused=Long(rate.refused),
            shared=rate.shared,
        ),
    )


def _circuits(status: UpstreamStatus, wall: Wall) -> list[Circuit]:
    if status.by_operation:
        return [_circuit(protocol, name, each, wall) for (protocol, name), each in status.by_operation.items()]
    return [_circuit(protocol, None, each, wall) for protocol, each in status.circuits.items()]


def _circuit(protocol: ProtocolName, operation: str | None, status: CircuitStatus, wall: Wall) -> Circuit:
    failure, change = status.last_failure, status.mode_change
    same: dict[str, Any] = {
        name: getattr(status, name)
        for name in (
            "state",
            "mode",
            "reason",
            "failure_rate",
            "slow_rate",
            "consecutive_failures",
            "trips",
            "refused",
            "ignored",
        )
    }
    return Circuit(
        protocol=protocol,
        operation=operation,
        mode_change=None
        if change is None
        else CircuitModeChange(mode=change.mode, by=change.by, at=wall(change.at), reason=change.reason),
        window=CircuitWindow(**{name: getattr(status.window, name) for name in status.window.__slots__}),
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


def _endpoint(protocol: ProtocolName, status: EndpointStatus, wall: Wall) -> UpstreamEndpoint:
    failure = status.last_failure
    return UpstreamEndpoint(
        protocol=protocol,
        name=status.name,
        weight=status.weight,
        state=status.state,
        since=wall(status.since),
        reason=status.reason,
        outstanding=status.outstanding,
        consecutive_failures=Long(status.consecutive_failures),
        ejected_until=None if status.ejected_until is None else wall(status.ejected_until),
        ejections=Long(status.ejections),
        last_error=_error(failure, wall) if failure is not None else None,
    )


def _check(status: health_checks.CheckStatus, wall: Wall) -> UpstreamHealthCheck:
    return UpstreamHealthCheck(
        protocol=status.last.protocol,
        endpoint=status.last.endpoint,
        passing=status.passing,
        since=wall(status.since),
        checked_at=wall(status.last.at),
        duration_ms=round(status.last.duration_s * 1000, 2),
        error=status.last.error,
    )


def _discovery(status: UpstreamStatus, wall: Wall) -> UpstreamDiscovery | None:
    found = status.discovery
    if found is None:
        return None
    at = None if found.looked_up_at is None else wall(found.looked_up_at)
    return UpstreamDiscovery(host=found.host, looked_up_at=at, trouble=found.trouble or None)


def _error(failure: Failure, wall: Wall) -> CircuitError:
    return CircuitError(code=failure.code, message=failure.message, at=wall(failure.at), request_id=failure.request_id)
