"""What the pipeline tells whoever listens: frozen records, and the Protocol that telemetry implements."""

from dataclasses import dataclass
from typing import Protocol

from clients.call import Call, ProtocolName, Served


@dataclass(frozen=True, slots=True)
class AttemptEvent:
    """One attempt on the wire has ended.

    Attributes:
        duration_s: from sending to the last byte, or to the error.
        error: the error's code; None for success.
        message: the error's message; None for success.
    """

    call: Call
    protocol: ProtocolName
    duration_s: float
    error: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class CircuitEvent:
    """A circuit has changed its state.

    Attributes:
        reason: why, as the circuit's status will show it.
    """

    service: str
    protocol: ProtocolName
    previous: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ServedEvent:
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

    def on_circuit(self, event: CircuitEvent) -> None:
        """After each change of a circuit."""
        ...

    def on_served(self, event: ServedEvent) -> None:
        """After each call."""
        ...


class NoHooks:
    """Listens to nothing."""

    wants_successes = False

    def on_attempt(self, event: AttemptEvent) -> None:
        """Nothing."""

    def on_circuit(self, event: CircuitEvent) -> None:
        """Nothing."""

    def on_served(self, event: ServedEvent) -> None:
        """Nothing."""
