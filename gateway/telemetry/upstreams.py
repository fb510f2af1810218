"""What the pipeline tells, as log lines."""

import structlog

from clients.call import ServedBy
from clients.hooks import AttemptEvent, CircuitEvent, ServedEvent


class UpstreamLog:
    """Implements clients.hooks.Hooks: failed attempts, circuits that change, answers served stale."""

    wants_successes = False

    def __init__(self) -> None:
        self._log = structlog.get_logger("upstream")

    def on_attempt(self, event: AttemptEvent) -> None:
        """A failed attempt is a warning; a good one is not worth a line."""
        if event.error is not None:
            self._log.warning(
                "attempt failed",
                service=event.call.operation.service,
                protocol=event.protocol.value,
                operation=event.call.operation.name,
                attempt=event.call.attempt,
                duration_ms=round(event.duration_s * 1000, 2),
                code=event.error,
                message=event.message,
                request_id=event.call.caller.request_id,
                correlation_id=event.call.caller.correlation_id,
            )

    def on_circuit(self, event: CircuitEvent) -> None:
        """Each change."""
        self._log.warning(
            f"circuit {event.state}",
            service=event.service,
            protocol=event.protocol.value,
            previous=event.previous,
            reason=event.reason,
        )

    def on_served(self, event: ServedEvent) -> None:
        """Stale answers."""
        if event.served is not None and event.served.by is ServedBy.STALE:
            self._log.info(
                "served stale",
                service=event.call.operation.service,
                operation=event.call.operation.name,
                reason=event.served.reason,
                age_ms=round((event.served.age_s or 0.0) * 1000),
                request_id=event.call.caller.request_id,
                correlation_id=event.call.caller.correlation_id,
            )
