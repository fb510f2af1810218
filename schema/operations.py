"""What operators may ask of a gateway beyond its upstreams, and have it do: the Protocol that the runtime satisfies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clients.call import Caller, ProtocolName
from clients.state.circuit import Mode, State


class Refused(Exception):
    """What an operator asked for cannot be done; the message says why, and what there is instead."""


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """What runs: see the fields of `GatewayBuild`."""

    version: str
    python_version: str
    config_hash: str
    supergraph_hash: str | None
    started_at: datetime
    uptime_s: float
    workers: int
    instance: str
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class SupergraphFacts:
    """The supergraph that is served; `trouble` says why no newer one is, empty for nothing."""

    origin: str
    digest: str
    loaded_at: datetime
    age_s: float
    trouble: str


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What this process needs. Bytes are None where the system does not tell."""

    memory_bytes: int | None
    peak_memory_bytes: int | None
    lag_s: float
    max_lag_s: float


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """One operation that clients ask for.

    Attributes:
        digest: SHA-256 of the document.
        cache_hits: requests that found it planned.
        compiled: None when it was never run.
        not_compiled: why it is not.
        plan: for people, without the values that clients wrote into it; None where there is none.
    """

    name: str | None
    kind: str
    digest: str
    count: int
    total_s: float
    p95_s: float | None
    fetches: int
    failed: int
    degraded: int
    cache_hits: int
    compiled: bool | None
    not_compiled: str | None
    plan: str | None


@dataclass(frozen=True, slots=True)
class CircuitBrief:
    """A circuit in short."""

    service: str
    protocol: ProtocolName
    operation: str | None
    state: State
    mode: Mode


@dataclass(frozen=True, slots=True)
class InstanceCircuit:
    """A circuit that is not closed, or not left to itself, at one instance."""

    service: str
    protocol: ProtocolName
    operation: str | None
    state: State
    mode: Mode
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class StaleFacts:
    """A service some of whose answers come from before."""

    service: str
    oldest_age_s: float


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """One process of the fleet: see the fields of `GatewayInstance`."""

    instance: str
    host: str
    pid: int
    version: str
    config_hash: str
    supergraph_hash: str | None
    started_at: datetime
    told_at: datetime
    in_flight: int
    loop_lag_s: float
    status: str
    stale_served: int
    stale: Sequence[StaleFacts]
    circuits: Sequence[InstanceCircuit]
    circuits_left_out: int


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """All instances that are known of, the one that answers first.

    Attributes:
        shared: whether they were read from Redis.
        reason: why there may be more of them; empty when these are all.
    """

    shared: bool
    reason: str
    instances: Sequence[InstanceFacts]


@dataclass(frozen=True, slots=True)
class CircuitTarget:
    """The circuits of a service that are meant, and why.

    Attributes:
        protocol: whose; all when None.
        operation: whose; all when None.
    """

    service: str
    protocol: ProtocolName | None
    operation: str | None
    reason: str | None

    def means(self, protocol: ProtocolName, operation: str | None) -> bool:
        """Whether a circuit of the service is among them."""
        return self.protocol in (None, protocol) and self.operation in (None, operation)


@dataclass(frozen=True, slots=True)
class Acted:
    """What was done to circuits.

    Attributes:
        told: whether the other instances were told to do the same.
    """

    instance: str
    before: Sequence[CircuitBrief]
    told: bool


@dataclass(frozen=True, slots=True)
class Purged:
    """What was forgotten.

    Attributes:
        memory: entries, in this process.
        redis: entries; None without Redis, and when it did not answer to the end.
        trouble: what is wrong; empty for nothing.
    """

    instance: str
    memory: int
    redis: int | None
    told: bool
    trouble: str


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of looking for a newer supergraph."""

    instance: str
    changed: bool
    previous: str
    digest: str
    trouble: str


class Operations(Protocol):
    """What operators ask. What acts is written to the log: who, what, why, from what to what."""

    def build(self) -> BuildFacts:
        """What runs."""
        ...

    def supergraph(self) -> SupergraphFacts | None:
        """The supergraph; None where there is none."""
        ...

    def process(self) -> ProcessFacts:
        """What this process needs."""
        ...

    def plans(self, first: int, *, by_time: bool) -> list[PlanFacts]:
        """The operations that are asked for most, or that took most time; the first so many."""
        ...

    async def fleet(self) -> FleetFacts:
        """All instances."""
        ...

    async def force_circuit(self, caller: Caller, target: CircuitTarget, mode: Mode) -> Acted:
        """See `clients.upstream.Upstream.force_circuit`.

        Raises:
            Refused: there is no such circuit.
        """
        ...

    async def reset_circuit(self, caller: Caller, target: CircuitTarget) -> Acted:
        """See `clients.upstream.Upstream.reset_circuit`.

        Raises:
            Refused: there is no such circuit.
        """
        ...

    async def purge_cache(self, caller: Caller, service: str, key_prefix: str) -> Purged:
        """Forget what is kept of a service; with a prefix, of operations whose names begin so.

        Raises:
            Refused: there is no such service.
        """
        ...

    async def reload_supergraph(self, caller: Caller) -> Reloaded:
        """Look for a newer supergraph now.

        Raises:
            Refused: none is served.
        """
        ...
