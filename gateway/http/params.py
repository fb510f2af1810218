"""The parameters of a GraphQL request, from a JSON body or a query string.

GraphQL over HTTP (draft), sections Request Parameters, GET, POST and JSON Encoding.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import msgspec

from gateway.http.errors import LimitExceeded, MalformedRequest, PersistedQueryNotSupported

_NAMES = ("query", "operationName", "variables", "extensions", "documentId")
_NULL = b"null"
_QUOTED_NAMES = tuple(f'"{name}"'.encode() for name in _NAMES)
# Room for the four parameters and what clients add to addresses; more is a flood.
_MAX_QUERY_FIELDS = 64


@dataclass(frozen=True, slots=True)
class ParamLimits:
    """How much a client may send beside the document.

    Attributes:
        max_map_bytes: of JSON in `variables`, and in `extensions`.
        max_nesting: lists and objects inside one another, the map itself included.
    """

    max_map_bytes: int = 256 * 1024
    max_nesting: int = 64


class GraphQLParams(msgspec.Struct, frozen=True):
    """What a client asks for.

    Attributes:
        query: the document's text; None where the client sent none, which a persisted query allows.
        operation_name: None lets a document's only operation run.
        variables: decoded JSON by variable name, not yet coerced.
        extensions: decoded JSON by name, for protocol extensions.
        variables_text: `variables` as the client wrote them, where they came as JSON; tells equal requests.
        document_id: identifier of a document that the gateway knows (GraphQL over HTTP, appendix Persisted Documents).
    """

    query: str | None = None
    operation_name: str | None = None
    variables: Mapping[str, Any] = {}
    extensions: Mapping[str, Any] = {}
    variables_text: bytes | None = None
    document_id: str | None = None

    def __repr__(self) -> str:
        return f"GraphQLParams({self.query!r}, {self.operation_name!r})"  # variables may be personal data

    def require_query(self) -> str:
        """The document's text.

        Raises:
            MalformedRequest: there is none.
            PersistedQueryNotSupported: there is an identifier in its place, and this gateway knows no documents.
        """
        if self.query is None:
            if self.document_id is not None or "persistedQuery" in self.extensions:
                raise PersistedQueryNotSupported
            raise MalformedRequest('The parameter "query" is missing: it must be a string, the GraphQL document.')
        return self.query


class _Body(msgspec.Struct):
    """The outer object. The maps stay bytes until their size is known to be allowed."""

    query: str | None = None
    operationName: str | None = None  # noqa: N815  # the protocol's name
    variables: msgspec.Raw = msgspec.Raw(_NULL)
    extensions: msgspec.Raw = msgspec.Raw(_NULL)
    documentId: str | None = None  # noqa: N815  # the protocol's name


_body_decoder = msgspec.json.Decoder(_Body)
_json_decoder = msgspec.json.Decoder()
_map_decoder = msgspec.json.Decoder(dict[str, Any] | None)


def from_body(body: bytes, limits: ParamLimits | None = None) -> GraphQLParams:
    """The parameters in a JSON body.

    Raises:
        MalformedRequest: not JSON in UTF-8, not an object, a parameter of the wrong type or given twice.
        LimitExceeded: `variables` or `extensions` too large or nested too deeply.

    A key repeated inside `variables` keeps its last value, as in ECMAScript's JSON.parse; a repeated parameter is
    refused, for a proxy that read the other one would have checked another operation.
    """
    limits = limits or ParamLimits()
    if not body.strip():
        raise MalformedRequest('The body is empty: it must be a JSON object with a GraphQL document in "query".')
    try:
        if not body.isascii():
            body.decode()  # msgspec checks only the strings that it keeps
        decoded = _body_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse_body(body, error)
    _refuse_repeated(body)
    variables, extensions = bytes(decoded.variables), bytes(decoded.extensions)
    return GraphQLParams(
        query=decoded.query,
        operation_name=decoded.operationName,
        variables={} if variables == _NULL else _map("variables", variables, limits),
        extensions={} if extensions == _NULL else _map("extensions", extensions, limits),
        variables_text=variables,
        document_id=decoded.documentId,
    )


def from_query_string(query_string: bytes, limits: ParamLimits | None = None) -> GraphQLParams:
    """The parameters in an address; raises what `from_body` raises. An empty `operationName` counts as none."""
    limits = limits or ParamLimits()
    try:
        pairs = parse_qsl(
            query_string.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS
        )
    except UnicodeDecodeError as error:
        raise MalformedRequest("The query string is not UTF-8.") from error
    except ValueError as error:
        raise MalformedRequest(f"The query string has more than {_MAX_QUERY_FIELDS} fields.") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found and name in _NAMES:
            raise MalformedRequest(f'The parameter "{name}" is given twice.')
        found[name] = value
    variables = found.get("variables", "null").encode()
    return GraphQLParams(
        query=found.get("query"),
        operation_name=found.get("operationName") or None,
        variables=_map("variables", variables, limits),
        extensions=_map("extensions", found.get("extensions", "null").encode(), limits),
        variables_text=variables,
        document_id=found.get("documentId"),
    )


def _map(name: str, text: bytes, limits: ParamLimits) -> Mapping[str, Any]:
    if len(text) > limits.max_map_bytes:
        raise LimitExceeded(f'The parameter "{name}" is larger than {limits.max_map_bytes} bytes.')
    try:
        value = _map_decoder.decode(text)
    except msgspec.ValidationError as error:
        if text.lstrip().startswith(b"{"):  # an object, but with a number that no float can hold
            raise MalformedRequest(f'The parameter "{name}" cannot be read: {error}.') from error
        raise MalformedRequest(f'The parameter "{name}" must be a JSON object.') from error
    except msgspec.DecodeError as error:
        raise MalformedRequest(f'The parameter "{name}" is not JSON: {error}.') from error
    except RecursionError as error:
        raise LimitExceeded(_too_deep(name, limits)) from error
    # As many brackets as levels are needed, so most maps need no walk.
    if text.count(b"[") + text.count(b"{") > limits.max_nesting and _nesting(value) > limits.max_nesting:
        raise LimitExceeded(_too_deep(name, limits))
    return value or {}


def _too_deep(name: str, limits: ParamLimits) -> str:
    return f'The parameter "{name}" is nested more than {limits.max_nesting} levels deep.'


def _nesting(value: object) -> int:
    """Lists and objects inside one another, counted without recursion."""
    deepest = 0
    level = [value]
    while level := [v for v in level if isinstance(v, (dict, list))]:
        deepest += 1
        level = [child for v in level for child in (v.values() if isinstance(v, dict) else v)]
    return deepest


def _refuse_body(body: bytes, error: Exception) -> NoReturn:
    """Say what is wrong with a body in the client's words; decode it again to find out, off the common path."""
    if isinstance(error, RecursionError):
        raise LimitExceeded("The body is nested too deeply.") from error
    if isinstance(error, UnicodeDecodeError):
        raise MalformedRequest("The body is not UTF-8.") from error
    if isinstance(error, msgspec.ValidationError):
        try:
            value = _json_decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            value = None
        if isinstance(value, list):
            raise MalformedRequest("The body must be one JSON object; batches are not accepted.") from error
        if isinstance(value, dict):
            for name in ("query", "operationName", "documentId"):
                if not isinstance(value.get(name), str | None):
                    raise MalformedRequest(f'The parameter "{name}" must be a string.') from error
            _refuse_repeated(body)  # the last value, which `value` has, is right: an earlier one was not
        raise MalformedRequest("The body must be a JSON object.") from error
    raise MalformedRequest(f"The body is not JSON: {error}.") from error


def _refuse_repeated(body: bytes) -> None:
    # A name can only be there twice if its text is, or if some key is spelt with escapes.
    if b"\\u" not in body and max(map(body.count, _QUOTED_NAMES)) <= 1:
        return
    outer: list[str] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        outer[:] = [name for name, _ in pairs]  # the outermost object is the last to be finished

    try:
        json.loads(body, object_pairs_hook=keep, parse_int=float)
    except RecursionError as error:
        raise LimitExceeded("The body is nested too deeply.") from error
    except ValueError as error:
        raise MalformedRequest("The body is not JSON.") from error
    for name in _NAMES:
        if outer.count(name) > 1:
            raise MalformedRequest(f'The parameter "{name}" is given twice.')
