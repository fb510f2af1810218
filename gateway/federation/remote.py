"""Fetches of a plan that go to other processes: through each service's own pipeline."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cachetools import LRUCache

from clients.call import Answer, Call, Problem, Served, ServedBy
from clients.errors import UpstreamError
from clients.operation import Kind
from clients.subgraph import PossibleTypes, SubgraphOperation, subgraph_operation
from clients.upstream import Upstream
from gateway.errors import told_wait_s
from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from loaders.scope import LoaderScope

_OPERATIONS = 5_000
_MAX_REPRESENTATIONS = 1_000  # in one call; more are asked for in several, side by side


class RemoteSubgraphs:
    """Answers plans' requests from upstreams, so that each is behind breaker, retry, timeout and stale cache.

    Entities are kept one by one: what is fresh is not asked for, what fails is answered stale where that is known.

    Args:
        upstreams: by the subgraph's name.
        possible_types: the supergraph's object types by type condition; REST bodies say little of their types.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], possible_types: PossibleTypes | None = None) -> None:
        self._upstreams = upstreams
        self._possible_types = possible_types
        self._operations: LRUCache[tuple[str, str], SubgraphOperation] = LRUCache(_OPERATIONS)

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        """Send one request; `request.context` is the request's LoaderScope.

        Raises:
            FetchFailed: no answer can be given.
        """
        scope: LoaderScope = request.context  # type: ignore[assignment]  # handed through the engine untouched
        upstream = self._upstreams[request.subgraph]
        call = Call(self._operation(request), request.variables, scope.caller)
        try:
            if request.entities:
                return await self._entities(upstream, call, request, scope)
            answer = await upstream.execute(call)
        except UpstreamError as error:
            if error.reported:
                return SubgraphResponse(None, [_entry(p, p.path) for p in error.reported])
            raise FetchFailed(error.service, error.message, error.code, told_wait_s(error)) from error
        data = msgspec.json.decode(answer.value)
        if answer.served.degraded and isinstance(data, dict):
            for response_key in data:
                scope.note_served(upstream.name, (*request.path, response_key), answer.served)
        return SubgraphResponse(data, [_entry(p, p.path) for p in answer.problems])

    async def _entities(
        self, upstream: Upstream, call: Call, request: SubgraphRequest, scope: LoaderScope
    ) -> SubgraphResponse:
        keys = [
            (slot, representation)
            for slot, (_, variable) in enumerate(request.entities)
            for representation in request.variables[variable]
        ]
        chunks = [keys[i : i + _MAX_REPRESENTATIONS] for i in range(0, len(keys), _MAX_REPRESENTATIONS)]
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(_answer(upstream, call.for_keys(chunk))) for chunk in chunks]
        answers = [task.result() for task in asking]
        first = answers[0]
        if isinstance(first, UpstreamError) and not any(isinstance(a, Answer) or a.reported for a in answers):
            raise first
        data: dict[str, list[Any]] = {response_key: [] for response_key, _ in request.entities}
        errors: list[Any] = []
        for chunk, found in zip(chunks, answers, strict=True):
            answer = _rows_of(found, len(chunk)) if isinstance(found, UpstreamError) else found
            _collect(request.entities, chunk, answer, data, errors)
            for index, value in enumerate(answer.value):
                if not isinstance(value, UpstreamError) and (served := answer.served_row(index)).degraded:
                    scope.note_served(upstream.name, request.path, served)
        return SubgraphResponse(data, errors)

    def _operation(self, request: SubgraphRequest) -> SubgraphOperation:
        key = (request.subgraph, request.document)
        operation = self._operations.get(key)
        if operation is None:
            name = "_entities" if request.entities else "query" if request.kind == "query" else "mutation"
            service = self._upstreams[request.subgraph].name
            operation = subgraph_operation(
                service,
                name,
                request.document,
                Kind(request.kind),
                request.entities,
                possible_types=self._possible_types,
            )
            self._operations[key] = operation
        return operation


async def _answer(upstream: Upstream, call: Call) -> Answer | UpstreamError:
    """A chunk's answer, or its error as a value: it is no reason to drop the other chunks."""
    try:
        return await upstream.execute(call)
    except UpstreamError as error:
        return error


def _rows_of(error: UpstreamError, count: int) -> Answer:
    """The answer of a chunk that failed: what the subgraph said of it, else the error for each row."""
    served = Served(ServedBy.GRAPHQL)
    if error.reported:
        return Answer([None] * count, served, problems=tuple(error.reported))
    return Answer([error] * count, served)


def _collect(
    slots: Sequence[tuple[str, str]],
    keys: Sequence[tuple[int, Any]],
    answer: Answer,
    data: dict[str, list[Any]],
    errors: list[Any],
) -> None:
    """Put a chunk's rows under their response keys, and its errors at `[response key, index, …]`."""
    places: list[tuple[str | int, ...]] = []
    for (slot, _), value in zip(keys, answer.value, strict=True):
        response_key = slots[slot][0]
        places.append((response_key, len(data[response_key])))
        failed = isinstance(value, UpstreamError)
        data[response_key].append(None if value is None or failed else msgspec.json.decode(value))
        if failed:
            wait = told_wait_s(value)
            extensions = {"code": value.code} if wait is None else {"code": value.code, "retryAfter": wait}
            errors.append({"message": value.message, "path": list(places[-1]), "extensions": extensions})
    for problem in answer.problems:
        before = () if problem.index is None else places[problem.index]
        errors.append(_entry(problem, (*before, *problem.path)))


def _entry(problem: Problem, path: Sequence[str | int]) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": problem.message, "path": list(path)}
    if problem.extensions:
        entry["extensions"] = problem.extensions
    return entry
