"""The gateway's own health, and that of everything it depends on."""

import enum
from datetime import datetime

import strawberry

from clients.health import Health as UpstreamHealth
from schema.access import OperatorsOnly
from schema.context import GatewayContext, GatewayLoad, GatewayState
from schema.scalars import Long


@strawberry.enum(description="How well the gateway, or a thing it depends on, does.")
class HealthStatus(enum.Enum):
    """How well the gateway, or a thing it depends on, does."""

    OK = strawberry.enum_value("ok", description="All is well.")
    DEGRADED = strawberry.enum_value("degraded", description="Answers are given, not all as they should be.")
    DOWN = strawberry.enum_value("down", description="No upstream answers.")


@strawberry.type(description="One thing the gateway depends on.")
class HealthCheck:
    """One thing the gateway depends on."""

    name: str = strawberry.field(
        description="What it is: `upstream:<name>`, `store:<name>`, `credential:<service>`, `issuer:<iss>`, "
        "`admin token` or `supergraph`."
    )
    status: HealthStatus = strawberry.field(description="How well it does.")
    reason: str | None = strawberry.field(description="Why it is not OK.")


@strawberry.type(description="How much this instance has to do.")
class Load:
    """How much this instance has to do."""

    in_flight: int = strawberry.field(description="Requests being answered, this one included.")
    limit: int | None = strawberry.field(description="How many may be; more are refused. Null for any number.")
    loop_lag_ms: float = strawberry.field(description="How long the event loop last kept a new request waiting.")
    shed: Long = strawberry.field(description="Requests refused for overload since it began to serve.")


@strawberry.type(description="What this process needs of its machine.")
class GatewayProcess:
    """What this process needs of its machine."""

    memory_bytes: Long | None = strawberry.field(
        description="Memory it has in use (RSS); null where the system does not tell."
    )
    peak_memory_bytes: Long | None = strawberry.field(
        description="The most it ever had; null where the system does not tell."
    )
    loop_lag_ms: float = strawberry.field(description="How late its event loop was at the last of four looks a second.")
    max_loop_lag_ms: float = strawberry.field(description="The latest that it ever was.")


@strawberry.type(description="The supergraph that is served.")
class GatewaySupergraph:
    """The supergraph that is served."""

    source: str = strawberry.field(description="Where it was found.")
    hash: str = strawberry.field(description="Of its text; equal hashes are equal supergraphs.")
    loaded_at: datetime = strawberry.field(description="When it began to be served.")
    age_s: float = strawberry.field(description="Seconds since.")
    trouble: str | None = strawberry.field(description="Why no newer one is served; null for nothing.")


@strawberry.type(description="The gateway's health.")
class Health:
    """The gateway's health."""

    status: HealthStatus = strawberry.field(
        description="OK when every check is; DOWN when no upstream answers; else DEGRADED."
    )
    started_at: datetime = strawberry.field(
        description="When this instance began to serve. For operators.",
        graphql_type=datetime | None,
        extensions=[OperatorsOnly()],
    )
    checks: list[HealthCheck] = strawberry.field(
        description="One for each thing the gateway depends on. For operators.",
        graphql_type=list[HealthCheck] | None,
        extensions=[OperatorsOnly()],
    )
    load: Load = strawberry.field(
        description="How much this instance has to do. For operators.",
        graphql_type=Load | None,
        extensions=[OperatorsOnly()],
    )

    @strawberry.field(
        description="What this process needs of its machine. For operators.", extensions=[OperatorsOnly()]
    )
    def process(self, info: strawberry.Info) -> GatewayProcess | None:
        """Looked at when it is asked for."""
        context: GatewayContext = info.context
        facts = context.state.operations.process()
        return GatewayProcess(
            memory_bytes=None if facts.memory_bytes is None else Long(facts.memory_bytes),
            peak_memory_bytes=None if facts.peak_memory_bytes is None else Long(facts.peak_memory_bytes),
            loop_lag_ms=round(facts.lag_s * 1000, 3),
            max_loop_lag_ms=round(facts.max_lag_s * 1000, 3),
        )

    @strawberry.field(
        description="The supergraph that is served; null where there is none. For operators.",
        extensions=[OperatorsOnly()],
    )
    def supergraph(self, info: strawberry.Info) -> GatewaySupergraph | None:
        """As it is now."""
        context: GatewayContext = info.context
        facts = context.state.operations.supergraph()
        if facts is None:
            return None
        return GatewaySupergraph(
            source=facts.origin,
            hash=facts.digest,
            loaded_at=facts.loaded_at,
            age_s=round(facts.age_s, 3),
            trouble=facts.trouble or None,
        )


@strawberry.type
class Query:
    """The health field."""

    @strawberry.field(description="The health of this gateway and of what it depends on. `status` is for everybody.")
    def health(self, info: strawberry.Info) -> Health:
        """As it is now."""
        context: GatewayContext = info.context
        return health_of(context.state)


_FROM_UPSTREAM = {
    UpstreamHealth.HEALTHY: HealthStatus.OK,
    UpstreamHealth.DEGRADED: HealthStatus.DEGRADED,
    UpstreamHealth.UNHEALTHY: HealthStatus.DOWN,
}


def health_of(state: GatewayState) -> Health:
    """The health of a gateway, by rule.

    OK when every check is. DOWN when there are upstreams and none of them answers: only they can bring the gateway
    down, and only all together. DEGRADED otherwise. What an upstream's own health is, `clients.health` says.
    """
    upstreams = [_check(name, state) for name in state.upstreams]
    others = [
        HealthCheck(
            name=name,
            status=HealthStatus.DEGRADED if trouble else HealthStatus.OK,
            reason=trouble or None,
        )
        for name, trouble in state.dependencies.items()
    ]
    checks = [*upstreams, *others]
    status = HealthStatus.OK
    if any(check.status is not HealthStatus.OK for check in checks):
        status = HealthStatus.DEGRADED
    if upstreams and all(check.status is HealthStatus.DOWN for check in upstreams):
        status = HealthStatus.DOWN
    return Health(status=status, started_at=state.started_at, checks=checks, load=_load(state.load))


def _load(load: GatewayLoad) -> Load:
    return Load(
        in_flight=load.in_flight, limit=load.limit, loop_lag_ms=round(load.lag_s * 1000, 1), shed=Long(load.shed)
    )


def _check(name: str, state: GatewayState) -> HealthCheck:
    status = state.upstreams[name].status()
    reason = None if status.health is UpstreamHealth.HEALTHY else status.reason
    return HealthCheck(name=f"upstream:{name}", status=_FROM_UPSTREAM[status.health], reason=reason)
