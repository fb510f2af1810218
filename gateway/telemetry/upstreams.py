"""What the pipeline tells, as log lines."""

import structlog

from clients.call import ServedBy
from clients.hooks import AttemptEvent, CircuitEvent, EndpointEvent, GaveUp, RetryEvent, ServedEvent

_OF_THE_MOMENT = frozenset({GaveUp.BUDGET, GaveUp.DEADLINE, GaveUp.RETRY_AFTER})  # not of the call or of its error
_FROM_ELSEWHERE = {
    ServedBy.STALE: "served stale",
    ServedBy.ALTERNATIVE: "served by its alternative",
    ServedBy.DEFAULT: "served a default",
}


class UpstreamLog:
    """Implements clients.hooks.Hooks: failed attempts, circuits and endpoints that change, answers from elsewhere."""

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
                **({} if event.endpoint is None else {"endpoint": event.endpoint}),
                duration_ms=round(event.duration_s * 1000, 2),
                code=event.error,
                message=event.message,
                request_id=event.call.caller.request_id,
                correlation_id=event.call.caller.correlation_id,
            )

    def on_retry(self, event: RetryEvent) -> None:
        """What follows on a failed attempt, for who looks closely; a retry that was not to be had, for everybody."""
        write = self._log.info if event.gave_up in _OF_THE_MOMENT else self._log.debug
        write(
            "next attempt" if event.gave_up is None else "no further attempt",
            service=event.call.operation.service,
            protocol=event.protocol.value,
            operation=event.call.operation.name,
            attempt=event.call.attempt,
            code=event.error,
            delay_ms=None if event.delay_s is None else round(event.delay_s * 1000),
            reason=None if event.gave_up is None else event.gave_up.value,
            request_id=event.call.caller.request_id,
            correlation_id=event.call.caller.correlation_id,
        )

    def on_circuit(self, event: CircuitEvent) -> None:
        """Each change."""
        whose = {} if event.operation is None else {"operation": event.operation}
        self._log.warning(
            f"circuit {event.state}",
            service=event.service,
            protocol=event.protocol.value,
            previous=event.previous,
            reason=event.reason,
            **whose,
        )

    def on_endpoint(self, event: EndpointEvent) -> None:
        """Each change."""
        self._log.warning(
            f"endpoint {event.state}",
            service=event.service,
            protocol=event.protocol.value,
            endpoint=event.endpoint,
            previous=event.previous,
            reason=event.reason,
        )

    def on_served(self, event: ServedEvent) -> None:
        """Answers that did not come from the service itself, for who looks closely: the request's own line says it."""
        said = None if event.served is None else _FROM_ELSEWHERE.get(event.served.by)
        if event.served is not None and said is not None:
            age_s = event.served.age_s
            self._log.debug(
                said,
                service=event.call.operation.service,
                operation=event.call.operation.name,
                reason=event.served.reason,
                age_ms=None if age_s is None else round(age_s * 1000),
                request_id=event.call.caller.request_id,
                correlation_id=event.call.caller.correlation_id,
            )
