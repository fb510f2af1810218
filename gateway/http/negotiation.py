"""Which media type a response has, and which request bodies are read.

GraphQL over HTTP (draft), sections Media Types, Accept, Body and Legacy Watershed; RFC 9110 §12.5.1 for `Accept`.
"""

import enum
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.http.errors import NotAcceptable, RequestError, UnsupportedMediaType


class MediaType(enum.StrEnum):
    """What an answer can be written as."""

    GRAPHQL_RESPONSE = "application/graphql-response+json"
    JSON = "application/json"

    @property
    def content_type(self) -> str:
        """The `Content-Type` of a response; the section Body asks for the encoding to be said."""
        return f"{self.value}; charset=utf-8"

    def status_of(self, error: RequestError) -> int:
        """The status of a refusal: the sections `application/json` and `application/graphql-response+json`.

        A well-formed request is answered with 200 as `application/json` whatever became of its document; clients of
        that media type cannot tell a 400 of ours from one of a proxy's.
        """
        return 200 if error.well_formed and self is MediaType.JSON else error.status

    def status_of_result(self, *, has_data: bool) -> int:
        """The status of an executed request: 200 with a `data` entry, even null; without one it was a request error."""
        return 200 if has_data or self is MediaType.JSON else 400


_HTML = "text/html"
_EVENTS = "text/event-stream"
# Longer headers are negotiated each time: a cached one would keep what a client sent.
_LONGEST_CACHED_HEADER = 512
_PARAMETER = re.compile(r';\s*([^\s=;,"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)')
# An open quote reaches to the end. Were it not allowed to, each quote after it would be tried as an opening one, up to
# the end, and a header of many would take quadratic time.
_RANGE = re.compile(r'((?:[^,"]|"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z))+)')
_QVALUE = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")


@dataclass(frozen=True, slots=True)
class _MediaRange:
    """One entry of `Accept`. `specificity`: 0 for `*/*`, 1 for `type/*`, 2 for a full type."""

    name: str
    quality: float
    specificity: int

    def matches(self, name: str) -> bool:
        if self.specificity == 2:
            return self.name == name
        return self.specificity == 0 or name.startswith(self.name[:-1])


def negotiate(accept: str | None) -> MediaType:
    """The best media type for an `Accept` header; raises `NotAcceptable` where it allows none of ours.

    The highest q-value wins, then what is named in full over what a wildcard allows, then
    `application/graphql-response+json` over `application/json`. A missing header and a bare wildcard get
    `application/json`: such clients are old, or people with curl.
    """
    found = _negotiated(accept).media_type
    if found is None:
        raise NotAcceptable(f"Accept must allow {MediaType.GRAPHQL_RESPONSE} or {MediaType.JSON}.")
    return found


def prefers_html(accept: str | None) -> bool:
    """Whether the client would rather have a page than any GraphQL media type: a browser's address bar."""
    return _negotiated(accept).html


def prefers_events(accept: str) -> bool:
    """Whether the client would rather have an event stream than any GraphQL media type."""
    return _EVENTS in accept and _negotiated(accept).events


@dataclass(frozen=True, slots=True)
class _Negotiated:
    media_type: MediaType | None
    html: bool = False
    events: bool = False


_NOT_SAID = _Negotiated(MediaType.JSON)


def _negotiated(accept: str | None) -> _Negotiated:
    if not accept or not accept.strip():
        return _NOT_SAID
    if len(accept) > _LONGEST_CACHED_HEADER:
        return _negotiate_header(accept)
    return _cached_negotiation(accept)


def _negotiate_header(accept: str) -> _Negotiated:
    ranges = list(_ranges(accept))
    best: MediaType | None = None
    best_rank = (0.0, 0)
    # JSON first and strictly greater after it: a shared wildcard stays JSON, two full names go to the better type.
    for candidate in (MediaType.JSON, MediaType.GRAPHQL_RESPONSE):
        rank = _rank(ranges, candidate)
        if rank[0] > 0 and (rank > best_rank or (rank == best_rank and rank[1] == 2)):
            best, best_rank = candidate, rank

    def wins(name: str) -> bool:
        rank = _rank(ranges, name)
        return rank[1] == 2 and rank[0] > 0 and rank > best_rank

    return _Negotiated(best, html=wins(_HTML), events=wins(_EVENTS))


_cached_negotiation = functools.lru_cache(maxsize=256)(_negotiate_header)


def _rank(ranges: Sequence[_MediaRange], name: str) -> tuple[float, int]:
    """Quality and specificity of the range that says most about a type (RFC 9110 §12.5.1); (0, -1) for none."""
    matching = [r for r in ranges if r.matches(name)]
    if not matching:
        return (0.0, -1)
    specificity = max(r.specificity for r in matching)
    return (max(r.quality for r in matching if r.specificity == specificity), specificity)


def _ranges(accept: str) -> Iterator[_MediaRange]:
    """The ranges that can be read; what cannot is not acceptable to us, and says nothing about the others."""
    for text in _RANGE.findall(accept):
        name, parameters = _media_type(text)
        kind, slash, subtype = name.partition("/")
        quality = parameters.get("q", "1")
        if not (slash and kind and subtype) or not _QVALUE.match(quality) or not _is_utf8(parameters):
            continue
        if kind == "*" and subtype != "*":
            continue
        yield _MediaRange(name, float(quality), 0 if kind == "*" else 1 if subtype == "*" else 2)


def check_content_type(value: str | None, content_encoding: str | None = None) -> bool:
    """Whether the body is compressed with gzip; raises `UnsupportedMediaType` unless it is JSON in UTF-8 and says so.

    Args:
        value: the `Content-Type` header; a second one would be joined to it by a comma, and is refused. A browser
            cannot send `application/json` across sites without a preflight, so this is the CSRF check of POST as well.
        content_encoding: the `Content-Encoding` header; only `gzip` and `identity` are read.
    """
    if value == MediaType.JSON and content_encoding is None:  # as nearly all say it
        return False
    if value is None or "," in value:
        raise UnsupportedMediaType("A POST request needs one Content-Type header: application/json.")
    name, parameters = _media_type(value)
    if name != MediaType.JSON:
        raise UnsupportedMediaType("The Content-Type of a POST request must be application/json.")
    if not _is_utf8(parameters):
        raise UnsupportedMediaType("The charset of a JSON body must be utf-8.")
    encoding = (content_encoding or "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        message = "The Content-Encoding of a request must be gzip, if there is one."
        raise UnsupportedMediaType(message, headers={"accept-encoding": "gzip"})
    return encoding.endswith("gzip")


def is_json(content_type: str | None) -> bool:
    """Whether a `Content-Type` header names `application/json`, whatever its parameters."""
    return content_type is not None and _media_type(content_type)[0] == MediaType.JSON


def _media_type(text: str) -> tuple[str, Mapping[str, str]]:
    """`type/subtype` in lower case and its parameters, unquoted, by lower-case name."""
    name, _, _ = text.partition(";")
    parameters = {key.lower(): value.strip('"') for key, value in _PARAMETER.findall(text)}
    return name.strip().lower(), parameters


def _is_utf8(parameters: Mapping[str, str]) -> bool:
    return parameters.get("charset", "utf-8").lower() in ("utf-8", "utf8")
