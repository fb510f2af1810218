"""One line a request, with what matters."""

from collections import Counter
from typing import Any

import structlog

from gateway.context import RequestContext
from gateway.http.endpoint import Answer


class RequestLog:
    """Writes the lines of requests."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("gateway")

    def finished(self, operation: str | None, context: RequestContext, answer: Answer, duration_s: float) -> None:
        """An operation was answered."""
        codes = Counter(entry["extensions"]["code"] for entry in answer.errors)
        degraded = [
            {"service": d["service"], "served_by": d["servedBy"], "reason": d["reason"], "age_ms": d["ageMs"]}
            for d in (answer.extensions or {}).get("upstreams", ())
        ]
        caller = context.caller
        line: dict[str, Any] = {
            "operation": operation,
            "duration_ms": round(duration_s * 1000, 2),
            "request_id": caller.request_id,
            "correlation_id": caller.correlation_id,
            "tenant": caller.tenant,
            "errors": dict(codes),
            "degraded": degraded,
        }
        self._log.info("request", **{name: value for name, value in line.items() if value})

    def masked(self, error: Exception, request_id: str) -> None:
        """The cause of an error that the client is not shown."""
        self._log.error("masked error", request_id=request_id, exc_info=error)
