"""One line a request, with what matters."""

import logging
from collections import Counter
from typing import Any

import structlog

from gateway.context import RequestContext
from gateway.http.endpoint import Answer


class RequestLog:
    """Writes the lines of requests. Takes logging as it is set up when it is made."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("gateway").bind()  # the lazy one binds anew for each line, which is half of it
        self._enabled = self._log.is_enabled_for(logging.INFO)

    def finished(self, operation: str | None, context: RequestContext, answer: Answer, duration_s: float) -> None:
        """An operation was answered."""
        if not self._enabled:
            return
        caller = context.caller
        line: dict[str, Any] = {
            "duration_ms": round(duration_s * 1000, 2),
            "request_id": caller.request_id,
            "correlation_id": caller.correlation_id,
        }
        if operation is not None:
            line["operation"] = operation
        if caller.tenant is not None:
            line["tenant"] = caller.tenant
        if answer.errors:
            line["errors"] = dict(Counter(entry["extensions"]["code"] for entry in answer.errors))
        if answer.extensions and (degraded := answer.extensions.get("upstreams")):
            line["degraded"] = [
                {"service": d["service"], "served_by": d["servedBy"], "reason": d["reason"], "age_ms": d["ageMs"]}
                for d in degraded
            ]
        self._log.info("request", **line)

    def masked(self, error: Exception, request_id: str) -> None:
        """The cause of an error that the client is not shown."""
        self._log.error("masked error", request_id=request_id, exc_info=error)
