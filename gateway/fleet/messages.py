"""What instances tell each other. Nothing in it is secret; whoever can write to Redis is trusted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from clients.call import ProtocolName, ServedBy
from clients.state.circuit import Mode, State
from schema.context import GatewayState
from schema.health import HealthStatus, health_of
from schema.operations import InstanceCircuit, InstanceFacts, StaleFacts

VERSION = 1
_MOST_CIRCUITS = 50
_MOST_STALE = 50
_MOST_TEXT = 300


class CircuitDigest(msgspec.Struct, frozen=True, array_like=True):
    """See `schema.operations.InstanceCircuit`."""

    service: str
    protocol: ProtocolName
    operation: str | None
    state: State
    mode: Mode
    since: datetime
    reason: str


class Digest(msgspec.Struct, frozen=True):
    """An instance, as it tells of itself; see `schema.operations.InstanceFacts`."""

    version: int
    instance: str
    host: str
    pid: int
    build: str
    config_hash: str
    supergraph_hash: str | None
    started_at: datetime
    told_at: datetime
    in_flight: int
    loop_lag_s: float
    status: HealthStatus
    stale_served: int
    stale: Sequence[tuple[str, float]]
    circuits: Sequence[CircuitDigest]
    circuits_left_out: int

    def facts(self) -> InstanceFacts:
        """As operators read it."""
        return InstanceFacts(
            instance=self.instance,
            host=self.host,
            pid=self.pid,
            version=self.build,
            config_hash=self.config_hash,
            supergraph_hash=self.supergraph_hash,
            started_at=self.started_at,
            told_at=self.told_at,
            in_flight=self.in_flight,
            loop_lag_s=self.loop_lag_s,
            status=self.status.name,
            stale_served=self.stale_served,
            stale=[StaleFacts(service, age_s) for service, age_s in self.stale],
            circuits=[InstanceCircuit(**msgspec.structs.asdict(each)) for each in self.circuits],
            circuits_left_out=self.circuits_left_out,
        )


class Command(msgspec.Struct, frozen=True):
    """What an operator had one instance do, for the others to do as well.

    Attributes:
        origin: the instance that has done it.
        by: who wanted it.
    """

    version: int
    origin: str
    kind: Literal["force", "reset", "purge"]
    service: str
    by: str
    request_id: str
    reason: str | None = None
    protocol: ProtocolName | None = None
    operation: str | None = None
    mode: Mode = Mode.AUTOMATIC
    key_prefix: str = ""


def digest_of(state: GatewayState, now: datetime) -> Digest:
    """The instance as it is now."""
    build = state.operations.build()
    stale_served, stale, circuits = 0, [], []
    for name, upstream in state.upstreams.items():
        status = upstream.status()
        stale_served += status.served.counts[ServedBy.STALE]
        if status.served.oldest_stale_s is not None:
            stale.append((name, status.served.oldest_stale_s))
        of_all = {(protocol, None): circuit for protocol, circuit in status.circuits.items()}
        for (protocol, operation), circuit in (status.by_operation or of_all).items():
            if circuit.state is not State.CLOSED or circuit.mode is not Mode.AUTOMATIC:
                circuits.append(
                    CircuitDigest(
                        service=name,
                        protocol=protocol,
                        operation=operation and operation[:_MOST_TEXT],
                        state=circuit.state,
                        mode=circuit.mode,
                        since=state.wall(circuit.since),
                        reason=circuit.reason[:_MOST_TEXT],
                    )
                )
    circuits.sort(key=lambda each: each.state is not State.OPEN)
    return Digest(
        version=VERSION,
        instance=build.instance,
        host=build.host,
        pid=build.pid,
        build=build.version,
        config_hash=build.config_hash,
        supergraph_hash=build.supergraph_hash,
        started_at=build.started_at,
        told_at=now,
        in_flight=state.load.in_flight,
        loop_lag_s=state.operations.process().lag_s,
        status=health_of(state).status,
        stale_served=stale_served,
        stale=stale[:_MOST_STALE],
        circuits=circuits[:_MOST_CIRCUITS],
        circuits_left_out=max(0, len(circuits) - _MOST_CIRCUITS),
    )


_encode = msgspec.msgpack.Encoder().encode
_digests = msgspec.msgpack.Decoder(Digest)
_commands = msgspec.msgpack.Decoder(Command)


def encode(message: Digest | Command) -> bytes:
    """Its bytes."""
    return _encode(message)


def read_digest(data: bytes) -> Digest | None:
    """The digest that `encode` made bytes of; None when it is not one of this version."""
    try:
        digest = _digests.decode(data)
    except msgspec.DecodeError:
        return None
    return digest if digest.version == VERSION else None


def read_command(data: bytes) -> Command | None:
    """The command that `encode` made bytes of; None when it is not one of this version."""
    try:
        command = _commands.decode(data)
    except msgspec.DecodeError:
        return None
    return command if command.version == VERSION else None
