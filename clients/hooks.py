"""What the pipeline tells whoever listens: frozen records, and the Protocol that telemetry implements."""

import enum
from typing import Protocol

import msgspec

from clients.call import Call, ProtocolName, Served


class AttemptEvent(msgspec.Struct, frozen=True):
    """One attempt on the wire has ended.

    Attributes:
        duration_s: from sending to the last byte, or to the error.
        error: the error's code; None for success.
        message: what went wrong, without the upstream's own words; None for success.
    """

    call: Call
    protocol: ProtocolName
    duration_s: float
    error: str | None = None
    message: str | None = None

    @property
    def endpoint(self) -> str | None:
        """The name of the endpoint it went to; None for services that have one."""
        return None if self.call.endpoint is None else self.call.endpoint.name


class GaveUp(enum.StrEnum):
    """Why a failed attempt was the last one."""

    NOT_TRANSIENT = "not_transient"
    """It would fail again."""
    NOT_REPEATABLE = "not_repeatable"
    """A mutation without an idempotency key."""
    ATTEMPTS = "attempts"
    """All of `retry.attempts` are used up."""
    RETRY_AFTER = "retry_after"
    """The upstream asks to wait longer than there is time, or not to be asked again."""
    DEADLINE = "deadline"
    """The request's deadline is nearer than the next attempt."""
    BUDGET = "budget"
    """The service's retry budget is spent."""
    CIRCUIT = "circuit"
    """The circuit opened meanwhile."""


class RetryEvent(msgspec.Struct, frozen=True):
    """What follows on a failed attempt: another one, or none.

    Attributes:
        call: as it was attempted; `call.attempt` counts from 1.
        error: the attempt's code.
        delay_s: seconds until the next attempt; None when there is none.
        gave_up: why there is none; None when there is one.
    """

    call: Call
    protocol: ProtocolName
    error: str
    delay_s: float | None = None
    gave_up: GaveUp | None = None


class CircuitEvent(msgspec.Struct, frozen=True):
    """A circuit has changed its state.

    Attributes:
        reason: why, as the circuit's status will show it.
        operation: whose circuit it is; None when it is that of all operations.
        mode: who decides now: the circuit by itself, or an operator.
    """

    service: str
    protocol: ProtocolName
    previous: str
    state: str
    reason: str
    operation: str | None = None
    mode: str = "automatic"


class EndpointEvent(msgspec.Struct, frozen=True):
    """One of a service's endpoints has changed its state: ejected, returning, failing its health checks, well again.

    Attributes:
        endpoint: its name.
        reason: why, as its status will show it.
    """

    service: str
    protocol: ProtocolName
    endpoint: str
    previous: str
    state: str
    reason: str


class ServedEvent(msgspec.Struct, frozen=True):
    """A call was answered, or failed for good (`served` is None)."""

    call: Call
    served: Served | None
    error: str | None = None


class Hooks(Protocol):
    """Listens to the pipeline. Called in its hot path: return soon, and never raise."""

    @property
    def wants_successes(self) -> bool:
        """Whether it is told of what went well, too; asked once, when the pipeline is put together.

        Without, a healthy call makes no event: it is told of attempts that failed, and of calls that failed or were
        answered otherwise than they should have been.
        """
        ...

    def on_attempt(self, event: AttemptEvent) -> None:
        """After each attempt."""
        ...

    def on_retry(self, event: RetryEvent) -> None:
        """After each failed attempt, once it is known whether there will be another."""
        ...

    def on_circuit(self, event: CircuitEvent) -> None:
        """After each change of a circuit."""
        ...

    def on_endpoint(self, event: EndpointEvent) -> None:
        """After each change of an endpoint."""
        ...

    def on_served(self, event: ServedEvent) -> None:
        """After each call."""
        ...


class NoHooks:
    """Listens to nothing."""

    wants_successes = False

    def on_attempt(self, event: AttemptEvent) -> None:
        """Nothing."""

    def on_retry(self, event: RetryEvent) -> None:
        """Nothing."""

    def on_circuit(self, event: CircuitEvent) -> None:
        """Nothing."""

    def on_endpoint(self, event: EndpointEvent) -> None:
        """Nothing."""

    def on_served(self, event: ServedEvent) -> None:
        """Nothing."""
