"""What is counted of an operation, for as long as its document is kept."""

import pytest
from graphql import build_schema

from clients.call import ServedBy
from gateway.http.documents import DocumentCache
from gateway.http.errors import ValidationFailed
from gateway.http.operation_figures import OperationFigures

SCHEMA = build_schema("type Query { a: Int }")


def test_requests_are_counted_with_their_time_calls_errors_and_degraded_values() -> None:
    figures = OperationFigures()
    assert figures.percentile_s(0.95) is None
    figures.note(0.25, [], [], {})
    figures.note(0.5, [{"message": "x"}], [{"service": "crm"}], {ServedBy.GRAPHQL: 2, None: 1})
    assert (figures.count, figures.total_s, figures.fetches) == (2, 0.75, 3)
    assert (figures.failed, figures.degraded) == (1, 1)


def test_percentiles_are_of_the_latest_hundred() -> None:
    figures = OperationFigures()
    for number in range(300):
        figures.note(float(number), [], [], {})
    assert [figures.percentile_s(share) for share in (0.01, 0.5, 0.95, 1.0)] == [200.0, 249.0, 294.0, 299.0]
    assert figures.count == 300


def test_they_are_gone_with_the_document_and_a_refused_one_has_none() -> None:
    cache = DocumentCache(SCHEMA, max_entries=2)
    first = cache.get("query A { a: __typename }")
    first.operation().figures.note(1.0, [], [], {})
    with pytest.raises(ValidationFailed):
        cache.get("{ nothing }")
    assert cache.held() == [first]
    assert cache.get(first.text).operation().figures.count == 1
    cache.get("query B { b: __typename }")
    cache.get("query C { c: __typename }")
    assert first not in cache.held()
    assert cache.get(first.text).operation().figures.count == 0


def test_operations_are_equal_whatever_was_counted() -> None:
    one, other = (DocumentCache(SCHEMA).get("{ __typename }") for _ in range(2))
    one.operation().figures.note(1.0, [], [], {})
    assert one.operation() == one.operation()
    assert one.operation().figures is not other.operation().figures
