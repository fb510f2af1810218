import time

import pytest

from gateway.http import MediaType
from gateway.http.errors import (
    LimitExceeded,
    MalformedRequest,
    NotAcceptable,
    OperationUnresolved,
    OperationUnsupported,
    ParseFailed,
    RequestError,
    UnsupportedMediaType,
    ValidationFailed,
)
from gateway.http.negotiation import check_content_type, is_json, negotiate, prefers_html

JSON = MediaType.JSON
GRAPHQL = MediaType.GRAPHQL_RESPONSE


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        # nothing said, or anything taken
        (None, JSON),
        ("", JSON),
        ("  ", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/*;q=0.1, */*;q=0.1", JSON),
        # one named
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL),
        ("APPLICATION/GraphQL-Response+JSON", GRAPHQL),
        ("application/graphql-response+json; charset=utf-8", GRAPHQL),
        ('application/graphql-response+json; charset="UTF-8"', GRAPHQL),
        ("application/json;charset=utf8", JSON),
        # both named: the better q, then ours
        ("application/json, application/graphql-response+json", GRAPHQL),
        ("application/graphql-response+json, application/json", GRAPHQL),
        ("application/graphql-response+json;q=0.9, application/json", JSON),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL),
        ("application/graphql-response+json;q=0.001, application/json;q=0.002", JSON),
        # a full name over a wildcard of the same q; a better q over a full name
        ("*/*, application/graphql-response+json", GRAPHQL),
        ("application/*, application/graphql-response+json", GRAPHQL),
        ("application/graphql-response+json;q=0.5, */*", JSON),
        ("application/*;q=0.8, */*;q=0.9", JSON),
        # q=0 forbids, also against a wildcard
        ("application/json;q=0, */*", GRAPHQL),
        ("application/json;q=0.0, application/*;q=0.1", GRAPHQL),
        ("application/graphql-response+json;q=0, application/json;q=0.1", JSON),
        # the same type twice: the better q
        ("application/json;q=0, application/json", JSON),
        # types of others between
        ("text/html, application/json;q=0.1", JSON),
        ("text/html;level=1;q=1, image/*, application/graphql-response+json;q=0.3", GRAPHQL),
        # quoted strings hold commas and semicolons
        ('text/plain;note="a, b; q=0", application/json', JSON),
        (r'text/plain;note="\", application/graphql-response+json", application/json', JSON),
        # what cannot be read says nothing about the rest
        ("application/graphql-response+json;q=2, application/json", JSON),
        ("application/graphql-response+json;q=, application/json", JSON),
        ("application/graphql-response+json;q=-1, application/json", JSON),
        ("application/graphql-response+json;q=0.0001, application/json", JSON),
        ("application/graphql-response+json;charset=latin1, application/json", JSON),
        ("*/json, application/graphql-response+json", GRAPHQL),
        (",,application/json,,", JSON),
        ("json, application/graphql-response+json", GRAPHQL),
    ],
)
def test_the_best_type_of_accept_is_chosen(accept: str | None, chosen: MediaType) -> None:
    assert negotiate(accept) is chosen


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/*",
        "application/xml",
        "application/graphql+json",
        "application/jsonp",
        "json",
        "*",
        "/",
        "application/",
        "/json",
        "*/json",
        "application/json;q=0",
        "*/*;q=0",
        "application/*;q=0.000",
        "application/json;q=1.5",
        "application/json;q=1.001",
        "application/json;charset=utf-16",
        ";",
        ",",
        '"application/json"',
        'text/plain;note="unterminated, application/json',
        "application/jsön",
    ],
)
def test_an_accept_that_allows_no_type_of_ours_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"application/graphql-response\+json or application/json"):
        negotiate(accept)


def test_a_header_too_long_to_be_remembered_is_negotiated_as_well() -> None:
    padding = ", ".join(f"text/x-{n}" for n in range(200))
    assert negotiate(f"{padding}, application/graphql-response+json") is GRAPHQL


@pytest.mark.parametrize(
    "accept",
    [
        '"' + '\\"' * 32_000,
        '"' + '\\"' * 32_000 + "\\",
        'a/b;c="' + '\\"' * 32_000,
        'a/b;c="' * 9_000,
        "a/b;" * 16_000,
        "a/b" + ";" + " " * 64_000,
        "a/b;" + "c" * 64_000,
        "a/b," * 16_000,
        "," * 64_000,
        '",' * 32_000,
    ],
    ids=lambda accept: accept[:12],
)
def test_no_accept_header_takes_long(accept: str) -> None:
    began = time.perf_counter()
    with pytest.raises(NotAcceptable):
        negotiate(accept)
    assert time.perf_counter() - began < 2  # some hundredths of a second; quadratic time would be half a minute


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html", True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        ("text/html;q=0.8, application/json;q=0.9", False),
        ("text/html, application/json", False),
        ("text/html;q=0", False),
        ("text/*", False),
        ("*/*", False),
        ("application/json", False),
        ("", False),
        (None, False),
    ],
)
def test_a_page_is_preferred_only_where_html_is_named_and_ranks_first(accept: str | None, html: bool) -> None:
    assert prefers_html(accept) is html


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8; x=y",
        " application/json ",
        "application/json;",
    ],
)
def test_a_body_said_to_be_json_in_utf8_is_read(content_type: str) -> None:
    check_content_type(content_type)
    assert is_json(content_type)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "text/plain",
        "application/graphql",
        "application/graphql-response+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "text/plain, application/json",
        "application/json, text/plain",
        "application/json; charset=utf-8, text/plain",
        "application/json, application/json",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/json; charset=",
    ],
)
def test_any_other_body_is_refused(value: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_content_type(value)


@pytest.mark.parametrize(
    ("encoding", "compressed"), [("gzip", True), (" X-GZIP ", True), ("identity", False), ("", False), (None, False)]
)
def test_a_body_in_gzip_is_known_by_its_header(encoding: str | None, compressed: bool) -> None:
    assert check_content_type("application/json", encoding) is compressed


@pytest.mark.parametrize("encoding", ["br", "deflate", "identity, gzip", "x"])
def test_a_body_compressed_in_another_way_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding"):
        check_content_type("application/json", encoding)


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_a_body_without_compression_is_read(encoding: str | None) -> None:
    check_content_type("application/json", encoding)


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "text/plain;application/json", "x, application/json"])
def test_what_does_not_begin_with_json_is_not_json(content_type: str | None) -> None:
    assert not is_json(content_type)


@pytest.mark.parametrize("media_type", list(MediaType))
def test_a_response_says_that_it_is_utf8(media_type: MediaType) -> None:
    assert media_type.content_type == f"{media_type.value}; charset=utf-8"


@pytest.mark.parametrize("kind", [ParseFailed, ValidationFailed, OperationUnresolved, OperationUnsupported])
def test_a_rejected_document_is_200_as_json_and_400_as_graphql_response(kind: type[RequestError]) -> None:
    assert (JSON.status_of(kind("m")), GRAPHQL.status_of(kind("m"))) == (200, 400)


@pytest.mark.parametrize("kind", [MalformedRequest, LimitExceeded])
def test_a_request_that_is_not_well_formed_is_400_as_either(kind: type[RequestError]) -> None:
    assert (JSON.status_of(kind("m")), GRAPHQL.status_of(kind("m"))) == (400, 400)


def test_a_result_without_data_is_200_as_json_and_400_as_graphql_response() -> None:
    assert (JSON.status_of_result(has_data=True), GRAPHQL.status_of_result(has_data=True)) == (200, 200)
    assert (JSON.status_of_result(has_data=False), GRAPHQL.status_of_result(has_data=False)) == (200, 400)
