"""The Strawberry schema of this process as one more subgraph; its fetches stay in the process."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import msgspec
import strawberry

from clients.call import Caller, Problem, Served
from clients.clock import Clock
from clients.subgraph import Shape
from clients.upstream import Upstream
from gateway.errors import ErrorFormatter, OnMasked
from gateway.federation.errors import FetchFailed
from gateway.federation.executor import Received, SubgraphRequest, SubgraphResponse, plain_variables
from gateway.http.documents import DocumentCache
from gateway.http.errors import RequestError
from gateway.local_execution import LocalSchema
from schema.build import core_schema
from schema.context import GatewayContext, GatewayState

# A planned document has its fragments written out, so it may be larger than any document a client may send.
_MAX_TOKENS = 100_000
_MAX_CHARS = 2_000_000

_encode = msgspec.json.Encoder().encode


class LocalSubgraph:
    """Answers plans' requests from the Strawberry schema, with the request's own context and loaders.

    Args:
        schema: built for federation.
        on_masked: gets the cause of each masked error, and the request's id.
        clock: for the time in errors.
    """

    def __init__(self, schema: strawberry.Schema, on_masked: OnMasked, clock: Clock) -> None:
        self._local = LocalSchema(schema, hide_suggestions=False)
        self._on_masked = on_masked
        self._clock = clock
        self._documents = DocumentCache(
            core_schema(schema),
            introspection=True,
            max_tokens=_MAX_TOKENS,
            max_document_chars=_MAX_CHARS,
            max_long_chars=_MAX_CHARS,
        )

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        """Execute one request.

        Raises:
            FetchFailed: the document does not fit the schema, which the supergraph was not made of then.
        """
        data, errors = await self._executed(request, request.variables)
        return SubgraphResponse(msgspec.to_builtins(data), errors)

    async def fetch_typed(self, request: SubgraphRequest, shape: Shape) -> Received:
        """See `TypedFetcher`. The schema's objects are not the response's: those are decoded, and checked by that."""
        data, errors = await self._executed(request, plain_variables(request))
        text = _encode(data)
        usable = None
        if not errors:
            try:
                usable = shape.decode(text)
            except msgspec.ValidationError:
                usable = None
        return Received(usable, lambda: SubgraphResponse(msgspec.json.decode(text), errors))

    async def _executed(self, request: SubgraphRequest, variables: Mapping[str, Any]) -> tuple[Any, list[Any]]:
        context: GatewayContext = request.context  # type: ignore[assignment]  # handed through the engine untouched
        try:
            document = self._documents.get(request.document)
        except RequestError as error:
            raise FetchFailed(request.subgraph, f"The local schema refuses a planned request: {error}") from error
        inside = _FetchContext(context, request)
        result = await self._local.execute(document, document.operation(), variables, inside)
        if not result.errors and not inside.problems:
            return result.data, []
        formatter = ErrorFormatter(context.caller.request_id, self._clock.wall(), self._on_masked)
        errors = [formatter.entry(error) for error in result.errors]
        errors += [formatter.upstream_problem(s, path, p.message, p.code) for s, path, p in inside.problems]
        return result.data, errors


class _FetchContext:
    """The request's context, seen from inside one fetch.

    What is noted as degraded gets the response's path. Problems keep the fetch's: they become its errors, whose paths
    the executor turns into those of the response, with the indices that only it knows.
    """

    def __init__(self, context: GatewayContext, request: SubgraphRequest) -> None:
        self.problems: list[tuple[str, list[str | int], Problem]] = []
        self._context = context
        self._prefix = request.path
        self._inside = 2 if request.entities else 0  # an entity's path begins with the response key and an index

    @property
    def caller(self) -> Caller:
        """The request's."""
        return self._context.caller

    @property
    def state(self) -> GatewayState:
        """The gateway's."""
        return self._context.state

    @property
    def loaders(self) -> dict[Any, Any]:
        """The request's: fetches of one request share them."""
        return self._context.loaders

    def upstream(self, service: str) -> Upstream:
        """The service of that name."""
        return self._context.upstream(service)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work that ends with the request at the latest."""
        self._context.spawn(work)

    def note_served(self, service: str, path: Sequence[str | int], served: Served) -> None:
        """Remember a degraded value."""
        self._context.note_served(service, [*self._prefix, *path[self._inside :]], served)

    def note_problem(self, service: str, path: Sequence[str | int], problem: Problem) -> None:
        """Remember an upstream's error."""
        self.problems.append((service, [*path, *problem.path], problem))
