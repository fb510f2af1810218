from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.http.errors import (
    DocumentRejected,
    MethodNotAllowed,
    ParseFailed,
    RequestError,
    error_entry,
    request_error_types,
    timestamp,
)

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
CATEGORIES = {
    "validation",
    "authentication",
    "authorization",
    "not_found",
    "rate_limit",
    "external_service",
    "internal",
    "network",
}


def test_the_tree_of_refusals_has_these_codes_and_statuses() -> None:
    table = {
        kind.__name__: (kind.code, kind.category, kind.status, kind.well_formed)
        for kind in request_error_types()
        if kind.__module__ == "gateway.http.errors"
    }
    assert table == {
        "MalformedRequest": ("BAD_REQUEST", "validation", 400, False),
        "Unauthenticated": ("UNAUTHENTICATED", "authentication", 401, False),
        "Forbidden": ("FORBIDDEN", "authorization", 403, False),
        "CrossSiteRequest": ("CSRF_PREVENTED", "authorization", 403, False),
        "Unauthorized": ("UNAUTHORIZED_FIELD_OR_TYPE", "authorization", 403, False),
        "MethodNotAllowed": ("METHOD_NOT_ALLOWED", "validation", 405, False),
        "NotAcceptable": ("NOT_ACCEPTABLE", "validation", 406, False),
        "BodyTimeout": ("REQUEST_TIMEOUT", "network", 408, False),
        "PayloadTooLarge": ("PAYLOAD_TOO_LARGE", "validation", 413, False),
        "UriTooLong": ("URI_TOO_LONG", "validation", 414, False),
        "UnsupportedMediaType": ("UNSUPPORTED_MEDIA_TYPE", "validation", 415, False),
        "RateLimited": ("RATE_LIMITED", "rate_limit", 429, False),
        "IdentityUnavailable": ("IDENTITY_UNAVAILABLE", "network", 503, False),
        "Overloaded": ("OVERLOADED", "rate_limit", 503, False),
        "LimitExceeded": ("LIMIT_EXCEEDED", "validation", 400, False),
        "PersistedQueryMismatch": ("PERSISTED_QUERY_HASH_MISMATCH", "validation", 400, False),
        "PersistedQueryNotFound": ("PERSISTED_QUERY_NOT_FOUND", "not_found", 400, True),
        "PersistedQueryNotSupported": ("PERSISTED_QUERY_NOT_SUPPORTED", "validation", 400, True),
        "OperationNotListed": ("QUERY_NOT_IN_SAFELIST", "authorization", 403, True),
        "CostExceeded": ("COST_LIMIT_EXCEEDED", "validation", 400, False),
        "ParseFailed": ("GRAPHQL_PARSE_FAILED", "validation", 400, True),
        "ValidationFailed": ("GRAPHQL_VALIDATION_FAILED", "validation", 400, True),
        "OperationUnresolved": ("OPERATION_RESOLUTION_FAILURE", "validation", 400, True),
        "OperationUnsupported": ("OPERATION_NOT_SUPPORTED", "validation", 400, True),
    }


def test_every_refusal_has_one_of_the_categories_and_a_docstring() -> None:
    for kind in request_error_types():
        assert kind.category in CATEGORIES
        assert kind.__doc__


def test_types_that_no_answer_names_are_left_out() -> None:
    assert not {RequestError, DocumentRejected} & set(request_error_types())


def test_a_refusal_holds_its_messages_then_its_entries() -> None:
    error = ParseFailed("a", "b", errors=[{"message": "c", "locations": []}])
    assert error.errors == ({"message": "a"}, {"message": "b"}, {"message": "c", "locations": []})
    assert str(error) == "a; b; c"


def test_a_refusal_without_a_message_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs a message"):
        ParseFailed()


def test_a_method_that_is_not_allowed_names_those_that_are() -> None:
    assert MethodNotAllowed("m", allow="POST").headers == {"allow": "POST"}


def test_an_entry_has_the_shape_of_every_error() -> None:
    entry = error_entry("m", code="C", category="internal", request_id="r", at=AT)
    assert entry == {
        "message": "m",
        "extensions": {
            "code": "C",
            "category": "internal",
            "requestId": "r",
            "timestamp": "2026-01-31T12:00:00.000Z",
        },
    }


def test_locations_and_path_stand_beside_the_message_and_the_rest_in_extensions() -> None:
    entry = error_entry(
        "m",
        code="C",
        category="internal",
        request_id="r",
        at=AT,
        path=["a", 0],
        locations=[{"line": 1, "column": 2}],
        service="s",
        retryAfter=None,
    )
    assert list(entry) == ["message", "locations", "path", "extensions"]
    assert list(entry["extensions"]) == ["code", "category", "service", "requestId", "timestamp"]


def test_a_time_is_written_in_utc_to_the_millisecond() -> None:
    at = datetime(2026, 1, 31, 1, 30, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(at) == "2026-01-30T23:30:00.123Z"
