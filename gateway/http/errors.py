"""Everything that is wrong with a request itself, found before anything is executed.

RequestError
├── MalformedRequest          400  not JSON, not an object, a parameter of the wrong type
├── Unauthenticated           401  no credential where one is needed, or one that is not good
├── Forbidden                 403  the credential does not allow it
├── CrossSiteRequest          403  a browser may have been made to send it
├── Unauthorized              403  the operation selects what its caller may not see
├── MethodNotAllowed          405  neither GET nor POST, or a mutation over GET
├── NotAcceptable             406  no media type of `Accept` is one we write
├── BodyTimeout               408  the body did not arrive in time
├── PayloadTooLarge           413  the body is over the limit
├── UriTooLong                414  the query string is over the limit
├── UnsupportedMediaType      415  the body is not JSON in UTF-8
├── RateLimited               429  the caller asks more often than it may
├── IdentityUnavailable       503  nobody can tell just now whether the credential is good
├── Overloaded                503  the gateway has more to do than it can finish in time
├── LimitExceeded             400  the document or its variables are too large to look at
├── PersistedQueryMismatch    400  the hash is not that of the document
│   └── CostExceeded               what it may cost at most is more than max_cost
└── DocumentRejected               a well-formed request whose document cannot be executed
    ├── ParseFailed                not GraphQL
    ├── ValidationFailed           not this schema's GraphQL
    ├── OperationUnresolved        no operation of that name, or a name is needed
    ├── OperationUnsupported       a kind of operation that this transport does not carry
    ├── PersistedQueryNotFound     no document is known by that identifier
    ├── PersistedQueryNotSupported documents are not known by identifiers here
    └── OperationNotListed         not one of the safelist

Messages are safe to show to a client. What is not a `RequestError` is masked by the endpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any, ClassVar

INTERNAL_MESSAGE = "The gateway failed to answer this request. Quote the request id when asking about it."


class RequestError(Exception):
    """A request that is refused before execution; the message is safe to show.

    Attributes:
        errors: entries of the answer's `errors`, each at least `{"message": …}`, without the common extensions.
        headers: response headers that go with the refusal, by lower-case name.
    """

    code: ClassVar[str] = "BAD_REQUEST"
    category: ClassVar[str] = "validation"
    status: ClassVar[int] = 400
    well_formed: ClassVar[bool] = False
    """The request was a well-formed GraphQL-over-HTTP request, so `application/json` answers it with 200."""

    def __init__(
        self, *messages: str, errors: Sequence[Mapping[str, Any]] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self.errors: tuple[Mapping[str, Any], ...] = (*({"message": m} for m in messages), *errors)
        if not self.errors:
            raise ValueError("a RequestError needs a message")
        super().__init__("; ".join(str(error["message"]) for error in self.errors))
        self.headers = dict(headers or {})


class MalformedRequest(RequestError):
    """Not a well-formed GraphQL-over-HTTP request: not JSON, not an object, a parameter of the wrong type."""


class Unauthenticated(RequestError):
    """No credential where one is needed, or one that is not good (any more)."""

    code = "UNAUTHENTICATED"
    category = "authentication"
    status = 401

    def __init__(self, message: str, *, problem: str | None = None) -> None:
        # RFC 6750 §3: no error is named to a client that sent nothing.
        challenge = "Bearer" if problem is None else f'Bearer error="{problem}", error_description="{message}"'
        super().__init__(message, headers={"www-authenticate": challenge})


class Forbidden(RequestError):
    """The credential is good, and does not allow this."""

    code = "FORBIDDEN"
    category = "authorization"
    status = 403


class CrossSiteRequest(RequestError):
    """A page of another site may have made a browser send this; see `gateway.http.csrf`."""

    code = "CSRF_PREVENTED"
    category = "authorization"
    status = 403


class Unauthorized(RequestError):
    """The operation selects what its caller may not see, and such operations are refused (`reject_unauthorized`)."""

    code = "UNAUTHORIZED_FIELD_OR_TYPE"
    category = "authorization"
    status = 403


class MethodNotAllowed(RequestError):
    """The HTTP method cannot carry this request; `Allow` names those that can."""

    code = "METHOD_NOT_ALLOWED"
    status = 405

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message, headers={"allow": allow})


class NotAcceptable(RequestError):
    """None of the media types in `Accept` is one that the gateway writes."""

    code = "NOT_ACCEPTABLE"
    status = 406


class BodyTimeout(RequestError):
    """The body did not arrive within the time given to it; the connection is closed."""

    code = "REQUEST_TIMEOUT"
    category = "network"
    status = 408


class PayloadTooLarge(RequestError):
    """The body is larger than the limit; the rest is not read and the connection is closed."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413


class UriTooLong(RequestError):
    """The query string is larger than the limit for a body."""

    code = "URI_TOO_LONG"
    status = 414


class UnsupportedMediaType(RequestError):
    """The body is not `application/json` in UTF-8, or says nothing about what it is."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415


class RateLimited(RequestError):
    """The caller asks more often than it may; nothing of the request was looked at."""

    code = "RATE_LIMITED"
    category = "rate_limit"
    status = 429

    def __init__(self, message: str, wait_s: float) -> None:
        retry_after_s = max(1, ceil(min(wait_s, 86_400.0)))
        super().__init__(
            errors=[{"message": message, "extensions": {"retryAfter": retry_after_s}}],
            headers={"retry-after": str(retry_after_s)},
        )


class IdentityUnavailable(RequestError):
    """The keys that tokens are checked with cannot be had just now, so nobody can tell whether this one is good."""

    code = "IDENTITY_UNAVAILABLE"
    category = "network"
    status = 503

    def __init__(self, wait_s: float) -> None:
        retry_after_s = max(1, ceil(wait_s))
        message = "Whether the token is good cannot be told just now; try again later."
        super().__init__(
            errors=[{"message": message, "extensions": {"retryAfter": retry_after_s}}],
            headers={"retry-after": str(retry_after_s)},
        )


class Overloaded(RequestError):
    """The gateway has more requests in progress than it can finish in time; nothing of this one was looked at."""

    code = "OVERLOADED"
    category = "rate_limit"
    status = 503

    def __init__(self, retry_after_s: int, message: str = "The gateway is overloaded; try again later.") -> None:
        super().__init__(
            errors=[{"message": message, "extensions": {"retryAfter": retry_after_s}}],
            headers={"retry-after": str(retry_after_s)},
        )


class LimitExceeded(RequestError):
    """Too large to look at: 400 under every media type, for it was not looked at."""

    code = "LIMIT_EXCEEDED"


class PersistedQueryMismatch(RequestError):
    """The hash in `extensions.persistedQuery` is not the SHA-256 of the document beside it."""

    code = "PERSISTED_QUERY_HASH_MISMATCH"

    def __init__(self) -> None:
        super().__init__("The provided sha256Hash is not that of the query.")


class CostExceeded(LimitExceeded):
    """What the operation may cost at most, told before it is executed, is more than `limits.max_cost`."""

    code = "COST_LIMIT_EXCEEDED"


class DocumentRejected(RequestError):
    """A well-formed request whose document cannot be executed: 200 as `application/json`, 400 otherwise."""

    well_formed = True


class ParseFailed(DocumentRejected):
    """The document is not GraphQL."""

    code = "GRAPHQL_PARSE_FAILED"


class ValidationFailed(DocumentRejected):
    """The document does not fit the schema; one entry of `errors` for each reason."""

    code = "GRAPHQL_VALIDATION_FAILED"


class OperationUnresolved(DocumentRejected):
    """No operation of that name in the document, or several and no name."""

    code = "OPERATION_RESOLUTION_FAILURE"


class OperationUnsupported(DocumentRejected):
    """This transport does not carry such an operation: a subscription over plain HTTP."""

    code = "OPERATION_NOT_SUPPORTED"


class PersistedQueryNotFound(DocumentRejected):
    """No document is known by that identifier; clients send the document, where they may."""

    code = "PERSISTED_QUERY_NOT_FOUND"
    category = "not_found"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")  # clients look for this text


class PersistedQueryNotSupported(DocumentRejected):
    """Documents are not known by identifiers here; clients send the document from then on."""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotSupported")  # clients look for this text


class OperationNotListed(DocumentRejected):
    """The operation is not in the safelist, and only those are run."""

    code = "QUERY_NOT_IN_SAFELIST"
    category = "authorization"
    status = 403

    def __init__(self) -> None:
        super().__init__("This operation is not in the gateway's safelist. Add it to the manifest, and deploy that.")


def request_error_types() -> Iterator[type[RequestError]]:
    """Every type of the tree that an answer can name, parents first: the source of the docs' table of codes."""
    pending: list[type[RequestError]] = [RequestError]
    while pending:
        parent = pending.pop(0)
        pending.extend(parent.__subclasses__())
        if parent not in (RequestError, DocumentRejected):
            yield parent


def error_entry(
    message: str, *, code: str, category: str, request_id: str, at: datetime, **more: object
) -> dict[str, Any]:
    """One entry of a GraphQL answer's `errors`, in the shape that every answer of the gateway has.

    Args:
        message: shown as it is; must be safe to show.
        code: one of the table of codes.
        category: validation, authentication, authorization, not_found, rate_limit, external_service, internal, network.
        request_id: of the request that is answered.
        at: when it happened.
        more: `locations` and `path` go beside the message, anything else into `extensions`; None is left out.
    """
    entry: dict[str, Any] = {"message": message}
    for beside in ("locations", "path"):
        value = more.pop(beside, None)
        if value is not None:
            entry[beside] = value
    entry["extensions"] = {
        "code": code,
        "category": category,
        **{name: value for name, value in more.items() if value is not None},
        "requestId": request_id,
        "timestamp": timestamp(at),
    }
    return entry


def refusal_entries(error: RequestError, request_id: str, at: datetime) -> list[dict[str, Any]]:
    """The entries of a request that is refused."""
    return [
        error_entry(
            entry["message"],
            code=error.code,
            category=error.category,
            request_id=request_id,
            at=at,
            locations=entry.get("locations"),
            **entry.get("extensions", {}),
        )
        for entry in error.errors
    ]


def masked_entry(request_id: str, at: datetime) -> dict[str, Any]:
    """The entry of a failure that is not the client's business."""
    return error_entry(
        INTERNAL_MESSAGE, code="INTERNAL_SERVER_ERROR", category="internal", request_id=request_id, at=at
    )


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond: `2026-01-31T12:00:00.000Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
