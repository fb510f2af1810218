"""What went wrong while executing, as entries of a GraphQL answer: upstream errors by their code, the rest masked."""

from collections.abc import Callable
from datetime import datetime
from math import isfinite
from typing import Any

from graphql import GraphQLError

from clients.errors import UpstreamError, upstream_error_types
from gateway.http.errors import INTERNAL_MESSAGE, error_entry

EXECUTION_CODES = (
    ("BAD_USER_INPUT", "validation", "Variables do not fit, or a resolver refused its arguments without a code."),
    ("DEADLINE_EXCEEDED", "internal", "A resolver did not end by the request's deadline."),
    ("FORBIDDEN", "authorization", "A field is not for this caller, such as one for operators; the rest is answered."),
    ("INTERNAL_SERVER_ERROR", "internal", "Something failed that is not the client's business; the log has the cause."),
    ("NULL_IN_NON_NULL_POSITION", "internal", "A resolver gave null where the schema allows none."),
    ("UNAUTHENTICATED", "authentication", "A field is not for callers that nobody vouches for; the rest is answered."),
    ("UPLOAD_NOT_SUPPORTED", "validation", "A file was to go on to a subgraph; files stay in this process."),
    (
        "UNAUTHORIZED_FIELD_OR_TYPE",
        "authorization",
        "The caller may not see the field; it is null, the rest is answered.",
    ),
    ("UPSTREAM_REPORTED_ERROR", "external_service", "An upstream reported it beside data that was used."),
)
"""Code, category and meaning of the errors that are neither an upstream's nor the request's."""

_CATEGORIES = {
    **{kind.code: kind.category for kind in upstream_error_types()},
    "GRAPHQL_PARSE_FAILED": "validation",
    "GRAPHQL_VALIDATION_FAILED": "validation",
    "BAD_USER_INPUT": "validation",
    "PLANNING_FAILED": "validation",
    "PLAN_LIMIT_EXCEEDED": "validation",
    "UPLOAD_NOT_SUPPORTED": "validation",
    "INTERNAL_SERVER_ERROR": "internal",
}

_NULL_IN_NON_NULL = "Cannot return null for non-nullable field"  # graphql-core raises a plain TypeError for it


OnMasked = Callable[[Exception, str], None]
"""Gets the cause of an error that was masked, and the request id that the client was told."""


class ErrorFormatter:
    """Makes the error entries of one request.

    An upstream's error is safe to show by construction, and so is a GraphQLError that a resolver raised on purpose.
    Everything else becomes one sentence and the request id; its cause goes to `on_masked`.

    Args:
        request_id: of the request that is answered.
        at: when it is answered.
        on_masked: gets the cause of each masked error, and the request's id.
    """

    def __init__(self, request_id: str, at: datetime, on_masked: OnMasked) -> None:
        self._request_id = request_id
        self._at = at
        self._on_masked = on_masked

    def entry(self, error: GraphQLError) -> dict[str, Any]:
        """The entry of one error."""
        cause = error.original_error
        if isinstance(cause, UpstreamError):
            return self._upstream(error, cause)
        if error.message.startswith(_NULL_IN_NON_NULL) and isinstance(cause, TypeError):
            return self._entry(error, error.message, "NULL_IN_NON_NULL_POSITION", "internal")
        if cause is None or isinstance(cause, GraphQLError):
            more = {k: v for k, v in (error.extensions or {}).items() if k not in {"code", "category"}}
            code, category = self._kind(error)
            return self._entry(error, error.message, code, category, **more)
        self._on_masked(cause, self._request_id)
        return self._entry(error, INTERNAL_MESSAGE, "INTERNAL_SERVER_ERROR", "internal")

    def upstream_problem(self, service: str, path: list[str | int], message: str, code: str | None) -> dict[str, Any]:
        """The entry of an error that an upstream reported inside an otherwise good answer."""
        return error_entry(
            f"{service}: {message}",
            code="UPSTREAM_REPORTED_ERROR",
            category="external_service",
            request_id=self._request_id,
            at=self._at,
            path=path,
            service=service,
            upstreamCode=code,
        )

    def planned(self, entry: dict[str, Any]) -> dict[str, Any]:
        """An entry of the federation engine in the shape that every answer of the gateway has."""
        extensions = dict(entry.get("extensions") or {})
        code = str(extensions.pop("code", "INTERNAL_SERVER_ERROR"))
        category = str(extensions.pop("category", _category(code)))
        service = extensions.pop("service", extensions.pop("serviceName", None))
        for ours in ("requestId", "timestamp", "message", "path", "locations", "at"):
            extensions.pop(ours, None)
        return error_entry(
            str(entry["message"]),
            code=code,
            category=category,
            request_id=self._request_id,
            at=self._at,
            path=entry.get("path"),
            locations=entry.get("locations"),
            service=service,
            **extensions,
        )

    def _upstream(self, error: GraphQLError, cause: UpstreamError) -> dict[str, Any]:
        return self._entry(
            error,
            cause.message,
            cause.code,
            cause.category,
            service=cause.service,
            upstreamCode=getattr(cause, "upstream_code", None),
            causes=[{"code": c.code, "message": c.message} for c in getattr(cause, "causes", ())] or None,
            retryAfter=told_wait_s(cause),
        )

    def _entry(self, error: GraphQLError, message: str, code: str, category: str, **more: object) -> dict[str, Any]:
        locations = [{"line": at.line, "column": at.column} for at in error.locations or ()]
        return error_entry(
            message,
            code=code,
            category=category,
            request_id=self._request_id,
            at=self._at,
            locations=locations or None,
            path=error.path,
            **more,
        )

    @staticmethod
    def _kind(error: GraphQLError) -> tuple[str, str]:
        """Code and category: what the resolver gave, else what graphql-core's own errors mean."""
        given = error.extensions or {}
        return str(given.get("code", "BAD_USER_INPUT")), str(given.get("category", "validation"))


def _category(code: str) -> str:
    return _CATEGORIES.get(code, "external_service")


def told_wait_s(error: UpstreamError) -> float | None:
    """What a client is told to wait; an endless wait is none."""
    wait = error.retry_after_s
    return round(wait, 1) if wait is not None and isfinite(wait) else None
