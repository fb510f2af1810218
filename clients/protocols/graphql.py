"""An operation over GraphQL: its document as it stands, and the rows out of `data`."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec.structs import replace

from clients.call import Answer, Call, Problem, ProtocolName, Served, ServedBy
from clients.errors import ContractMismatch, ExecutionFailed, Rejected, ServerFailed, UpstreamError
from clients.operation import GraphQLDocument, Operation
from clients.protocols.decoding import dig, nested, rows_type
from clients.protocols.exchange import Exchange, Request
from clients.protocols.reported import plain_code, without_words
from clients.subgraph import ShapedReply, SubgraphOperation, read_subgraph_answer
from clients.transports.base import WireResponse

_HEADERS = {
    "content-type": "application/json",
    "accept": "application/graphql-response+json, application/json;q=0.9",
}
# There is no standard list of codes. These are what Apollo Server and Router, Hive, Mercurius and this gateway send for
# their own failures, for documents they do not know, and for rows that do not exist.
_FAILURE_CODES = frozenset(
    {
        "INTERNAL_SERVER_ERROR",
        "INTERNAL_ERROR",
        "DOWNSTREAM_SERVICE_ERROR",
        "SUBREQUEST_HTTP_ERROR",
        "SUBREQUEST_MALFORMED_RESPONSE",
        "SERVICE_UNAVAILABLE",
        "GATEWAY_TIMEOUT",
        "REQUEST_TIMEOUT",
        "TIMEOUT",
    }
)
_CONTRACT_CODES = frozenset(
    {
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
        "OPERATION_RESOLUTION_FAILURE",
        "PERSISTED_QUERY_NOT_FOUND",
        "PERSISTED_QUERY_NOT_SUPPORTED",
    }
)
_ABSENT_CODES = frozenset({"NOT_FOUND"})
_SERVED = Served(ServedBy.GRAPHQL)
_REFUSED_STATUSES = frozenset({401, 402, 403})  # about the caller: the other protocol is not a way around them


class _ErrorItem(msgspec.Struct):
    """One entry of `errors` (GraphQL specification, §7.1.2)."""

    message: str
    path: list[str | int] | None = None
    extensions: dict[str, Any] | None = None

    @property
    def code(self) -> str | None:
        code = (self.extensions or {}).get("code")
        return code if isinstance(code, str) else None


@dataclass(frozen=True, slots=True)
class _Compiled:
    """An operation's document.

    Attributes:
        prefix: of the body, as far as the variables.
        bare: the body when there are none.
        planned: its variables are JSON's kinds of values and Structs: no enum members to be told by their names.
    """

    document: GraphQLDocument
    prefix: bytes
    bare: bytes
    planned: bool
    decoder: msgspec.json.Decoder[Any]
    where: str


class GraphQLExchange(Exchange):
    """One attempt over GraphQL."""

    protocol = ProtocolName.GRAPHQL

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._compiled: WeakKeyDictionary[Operation, _Compiled] = WeakKeyDictionary()
        self._encode = msgspec.json.Encoder().encode
        self._url = self._service.graphql or ""

    def request(self, call: Call) -> Request:
        """POST of document and variables."""
        compiled = self._compiled.get(call.operation) or self._compile(call.operation)
        variables = compiled.document.variables
        if compiled.planned:
            given = {name: value for name, value in call.variables.items() if name in variables}
        else:
            given = {name: _named(value) for name, value in call.variables.items() if name in variables}
        body = compiled.prefix + self._encode(given) + b"}" if given else compiled.bare
        return Request("POST", self._url, body, _HEADERS, compiled.where)

    def answer(self, call: Call, request: Request, response: WireResponse) -> Answer:
        """The rows at the document's path; errors classified by their codes."""
        if isinstance(call.operation, SubgraphOperation):
            return self._subgraph_answer(call, request, response)
        self.refuse_server_failure(request, response)
        compiled = self._compiled[call.operation]
        try:
            envelope = compiled.decoder.decode(response.body)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self.refuse_status(request, response)
            raise self.out_of_shape(request, error) from error
        path = compiled.document.rows
        rows = dig(envelope.data, len(path))
        errors = self._told([_problem(error) for error in envelope.errors or ()], "reported an error")
        if not errors:
            if envelope.data is None:
                self.refuse_status(request, response)
                raise self.out_of_shape(request, ValueError("neither data nor errors"))
            return self.aligned(call, request, rows, (), response)
        if rows is None:
            if all(error.code in _ABSENT_CODES for error in errors):
                return self.absent(call)
            raise self._error(request, response, errors)
        return self.aligned(call, request, rows, tuple(_placed(e, path) for e in errors), response)

    def _subgraph_answer(self, call: Call, request: Request, response: WireResponse) -> Answer:
        """An answer to a planned request, as it came; a GraphQL body is used under any status."""
        operation = call.operation
        if isinstance(operation, SubgraphOperation) and operation.shape is not None:
            data = operation.shape.decode_answer(response.body)
            if data is not None:
                reply = ShapedReply(operation.shape, response.body, data)
                return Answer(reply, _SERVED, size=len(response.body))
        try:
            found = read_subgraph_answer(call, response.body, self._subgraphs_problems)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self.refuse_status(request, response)
            raise self.out_of_shape(request, error) from error
        failure = None if found.has_data else self._reported_failure(request, response, found.problems)
        if failure is not None:
            failure.reported = found.problems
            raise failure
        value = found.value
        if call.keys is not None:
            value = [self._entity(request, index, entity) for index, entity in enumerate(value)]
        served = Served(ServedBy(self.protocol.value))
        return Answer(value, served, problems=found.problems, size=len(response.body))

    def _subgraphs_problems(self, problems: list[Problem]) -> list[Problem]:
        return self._told(problems, f"The subgraph {self._service.name!r} reported an error.")

    def _told(self, problems: list[Problem], sentence: str) -> list[Problem]:
        """The upstream's errors as they may be told: with its own words only if they are for clients."""
        if self._service.show_errors:
            return problems
        return [without_words(problem, sentence) for problem in problems]

    def _reported_failure(
        self, request: Request, response: WireResponse, problems: Sequence[Problem]
    ) -> UpstreamError | None:
        """The failure of a service that says so by its status or a code; None when it refused as a healthy one does."""
        try:
            self.refuse_server_failure(request, response)
        except UpstreamError as failure:
            return failure
        worst = next((problem for problem in problems if problem.code in _FAILURE_CODES), None)
        if worst is None:
            return None
        return self._server_failed(request, worst.message, worst.code)

    def _entity(self, request: Request, index: int, entity: bytes | None) -> bytes | UpstreamError | None:
        """One entity's text; one that is no object is that key's error alone, and is never kept."""
        if entity is None or entity.startswith(b"{"):
            return entity
        return self.out_of_shape(request, ValueError(f"expected an object or null - at `$.data._entities[{index}]`"))

    def _error(self, request: Request, response: WireResponse, errors: list[Problem]) -> UpstreamError:
        """The error of an answer without rows: the failure if there is one, else what was refused."""
        name = self._service.name
        worst = next((error for error in errors if error.code in _FAILURE_CODES), errors[0])
        said = _said(request, worst.message, worst.code)
        if worst.code in _FAILURE_CODES:
            return self._server_failed(request, worst.message, worst.code)
        refusal: UpstreamError
        if response.status in _REFUSED_STATUSES:
            refusal = Rejected(name, said, status=response.status, upstream_code=worst.code)
        elif worst.code in _CONTRACT_CODES or (worst.code is None and not worst.path):
            refusal = ContractMismatch(name, said, status=response.status, upstream_code=worst.code)
        elif worst.code is None:
            refusal = ExecutionFailed(name, said)
        else:
            refusal = Rejected(name, said, status=response.status, upstream_code=worst.code)
        refusal.summary = f"{request.where} reported {plain_code(worst.code) or 'an error'}"
        return refusal

    def _server_failed(self, request: Request, message: str, code: str | None) -> ServerFailed:
        """The upstream's word that it failed; its own words go to the caller who met them, and to nobody else."""
        failure = ServerFailed(self._service.name, _said(request, message, code), transient=False)
        failure.summary = f"{request.where} reported {code}"
        return failure

    def row_error(self, request: Request, problem: Problem) -> UpstreamError | None:
        """The error of one key, by the same codes as that of a whole answer."""
        if problem.code in _ABSENT_CODES:
            return None
        said = _said(request, problem.message, problem.code)
        if problem.code in _FAILURE_CODES:
            return self._server_failed(request, problem.message, problem.code)
        refusal: UpstreamError = (
            ExecutionFailed(self._service.name, said)
            if problem.code is None
            else Rejected(self._service.name, said, upstream_code=problem.code)
        )
        refusal.summary = f"{request.where} reported {plain_code(problem.code) or 'an error'}"
        return refusal

    def _compile(self, operation: Operation) -> _Compiled:
        document = operation.graphql
        if document is None:
            raise TypeError(f"{operation.name} has no GraphQL document")
        head: dict[str, Any] = {"query": document.text}
        if document.name is not None:
            head["operationName"] = document.name
        envelope = msgspec.defstruct(
            "Envelope",
            [
                ("data", nested(document.rows, rows_type(operation)) | None, None),
                ("errors", list[_ErrorItem] | None, None),
            ],
        )
        prefix = self._encode(head)[:-1] + b',"variables":'
        compiled = _Compiled(
            document=document,
            prefix=prefix,
            bare=prefix + b"{}}",
            planned=isinstance(operation, SubgraphOperation),
            decoder=msgspec.json.Decoder(envelope),
            where=f"GraphQL {operation.name}",
        )
        self._compiled[operation] = compiled
        return compiled


def _named(value: Any) -> Any:
    """A variable's value with enum members by their names, as GraphQL knows them; msgspec would send their values."""
    if isinstance(value, enum.Enum):
        return value.name
    return [_named(item) for item in value] if isinstance(value, list) else value


def _said(request: Request, message: str, code: str | None) -> str:
    return f"{request.where}: {message}" + (f" [{code}]" if code else "")


def _problem(error: _ErrorItem) -> Problem:
    return Problem(error.message, error.code, path=tuple(error.path or ()))


def _placed(problem: Problem, rows_path: tuple[str, ...]) -> Problem:
    """The problem with the index of its row and the path below it."""
    path = problem.path
    below = path[len(rows_path) :] if path[: len(rows_path)] == rows_path else ()
    if below and isinstance(below[0], int):
        return replace(problem, index=below[0], path=below[1:])
    return replace(problem, path=below)
