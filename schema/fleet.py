"""All processes that serve together, in one answer: which there are, and which of their circuits are open."""

import enum
from datetime import datetime

import strawberry

from clients.call import ProtocolName
from clients.state.circuit import Mode, State
from schema.access import OperatorsOnly
from schema.context import GatewayContext
from schema.health import HealthStatus
from schema.operations import FleetFacts, InstanceCircuit, InstanceFacts
from schema.scalars import Long


@strawberry.enum(description="Where what is known of the instances comes from.")
class FleetSource(enum.Enum):
    """Where what is known of the instances comes from."""

    REDIS = strawberry.enum_value("redis", description="Redis, which every instance tells every few seconds.")
    THIS_INSTANCE = strawberry.enum_value(
        "this_instance", description="The one that answers: there is no Redis, or it does not answer."
    )


@strawberry.type(description="A service some of whose answers were served stale since it last answered.")
class InstanceStale:
    """A service some of whose answers come from before."""

    service: str = strawberry.field(description="The service.")
    oldest_age_ms: Long = strawberry.field(description="Age of the oldest of them when it was served.")


@strawberry.type(description="A circuit of one instance that is not closed, or not left to itself.")
class InstanceCircuitState:
    """A circuit of one instance."""

    instance: str = strawberry.field(description="The instance.")
    service: str = strawberry.field(description="The upstream.")
    protocol: ProtocolName = strawberry.field(description="The protocol it guards.")
    operation: str | None = strawberry.field(
        description="The operation it guards, where each has a circuit of its own; null when it is for all of them."
    )
    state: State = strawberry.field(description="Its state.")
    mode: Mode = strawberry.field(description="AUTOMATIC, unless an operator decides.")
    since: datetime = strawberry.field(description="When it came into this state, by that instance's clock.")
    reason: str = strawberry.field(description="Why it is in this state.")


@strawberry.type(description="One process that serves.")
class GatewayInstance:
    """One process that serves."""

    id: str = strawberry.field(description="Its name, new with each start.")
    host: str = strawberry.field(description="The machine or container it runs in.")
    pid: int = strawberry.field(description="The process's number there.")
    version: str = strawberry.field(description="Of Breakwater.")
    config_hash: str = strawberry.field(description="Of its configuration; see `build`.")
    supergraph_hash: str | None = strawberry.field(description="Of its supergraph; null where there is none.")
    started_at: datetime = strawberry.field(description="When it began to serve.")
    told_at: datetime = strawberry.field(description="When it last told of itself, by its own clock.")
    uptime_s: float = strawberry.field(description="Seconds from one to the other.")
    in_flight: int = strawberry.field(description="Requests it was answering.")
    loop_lag_ms: float = strawberry.field(description="How late its event loop was at the last look.")
    status: HealthStatus = strawberry.field(description="Its health.")
    stale_served: Long = strawberry.field(description="Calls it answered stale, in part at least, since it started.")
    stale: list[InstanceStale] = strawberry.field(description="What it serves stale now.")
    circuits: list[InstanceCircuitState] = strawberry.field(
        description="Its circuits that are not closed, or not left to themselves."
    )
    circuits_left_out: int = strawberry.field(description="How many more of these it has than it tells of.")


@strawberry.type(description="A circuit that is not closed, or not left to itself, at one instance at least.")
class FleetCircuit:
    """A circuit of all instances."""

    service: str = strawberry.field(description="The upstream.")
    protocol: ProtocolName = strawberry.field(description="The protocol it guards.")
    operation: str | None = strawberry.field(
        description="The operation it guards, where each has a circuit of its own; null when it is for all of them."
    )
    open: int = strawberry.field(description="Instances where it is open.")
    half_open: int = strawberry.field(description="Instances where it is half-open.")
    closed: int = strawberry.field(description="The other instances.")
    instances: list[InstanceCircuitState] = strawberry.field(
        description="Where it is not closed, or not left to itself."
    )


@strawberry.type(description="All processes that serve together: those that share a Redis.")
class GatewayFleet:
    """All processes that serve together."""

    source: FleetSource = strawberry.field(description="Where this comes from.")
    complete: bool = strawberry.field(description="Whether these are all instances.")
    reason: str | None = strawberry.field(description="Why they may not be all; null when they are.")
    instances: list[GatewayInstance] = strawberry.field(description="The one that answers comes first.")
    circuits: list[FleetCircuit] = strawberry.field(
        description="The circuits that are not closed, or not left to themselves, somewhere."
    )


@strawberry.type
class Query:
    """The fleet field."""

    @strawberry.field(
        description="All processes that serve together. One that is gone is shown for some seconds more. For "
        "operators.",
        extensions=[OperatorsOnly()],
    )
    async def fleet(self, info: strawberry.Info) -> GatewayFleet | None:
        """As far as it is known now."""
        context: GatewayContext = info.context
        return _fleet(await context.state.operations.fleet())


def _fleet(facts: FleetFacts) -> GatewayFleet:
    instances = [_instance(each) for each in facts.instances]
    return GatewayFleet(
        source=FleetSource.REDIS if facts.shared else FleetSource.THIS_INSTANCE,
        complete=not facts.reason,
        reason=facts.reason or None,
        instances=instances,
        circuits=_circuits(instances),
    )


def _circuits(instances: list[GatewayInstance]) -> list[FleetCircuit]:
    found: dict[tuple[str, ProtocolName, str | None], list[InstanceCircuitState]] = {}
    for instance in instances:
        for circuit in instance.circuits:
            found.setdefault((circuit.service, circuit.protocol, circuit.operation), []).append(circuit)
    circuits = []
    for (service, protocol, operation), at in found.items():
        states = [circuit.state for circuit in at]
        open_, half_open = states.count(State.OPEN), states.count(State.HALF_OPEN)
        circuits.append(
            FleetCircuit(
                service=service,
                protocol=protocol,
                operation=operation,
                open=open_,
                half_open=half_open,
                closed=len(instances) - open_ - half_open,
                instances=at,
            )
        )
    return circuits


def _instance(facts: InstanceFacts) -> GatewayInstance:
    return GatewayInstance(
        id=facts.instance,
        host=facts.host,
        pid=facts.pid,
        version=facts.version,
        config_hash=facts.config_hash,
        supergraph_hash=facts.supergraph_hash,
        started_at=facts.started_at,
        told_at=facts.told_at,
        uptime_s=round((facts.told_at - facts.started_at).total_seconds(), 3),
        in_flight=facts.in_flight,
        loop_lag_ms=round(facts.loop_lag_s * 1000, 3),
        status=HealthStatus[facts.status],
        stale_served=Long(facts.stale_served),
        stale=[InstanceStale(service=s.service, oldest_age_ms=Long(round(s.oldest_age_s * 1000))) for s in facts.stale],
        circuits=[_state(facts.instance, circuit) for circuit in facts.circuits],
        circuits_left_out=facts.circuits_left_out,
    )


def _state(instance: str, circuit: InstanceCircuit) -> InstanceCircuitState:
    return InstanceCircuitState(
        instance=instance,
        service=circuit.service,
        protocol=circuit.protocol,
        operation=circuit.operation,
        state=circuit.state,
        mode=circuit.mode,
        since=circuit.since,
        reason=circuit.reason,
    )
