"""Fetches of a plan that go to other processes: through each service's own pipeline."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cachetools import LRUCache

from clients.call import Answer, Call, Problem
from clients.errors import UpstreamError
from clients.operation import Kind
from clients.subgraph import SubgraphOperation, subgraph_operation
from clients.upstream import Upstream
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
    """

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = upstreams
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
            raise FetchFailed(error.service, error.message, error.code, error.retry_after_s) from error
        if answer.served.degraded:
            scope.note_served(upstream.name, request.path, answer.served)
        return SubgraphResponse(msgspec.json.decode(answer.value), [_entry(p, p.path) for p in answer.problems])

    async def _entities(
        self, upstream: Upstream, call: Call, request: SubgraphRequest, scope: LoaderScope
    ) -> SubgraphResponse:
        keys = [
            (slot, representation)
            for slot, (_, variable) in enumerate(request.entities)
            for representation in request.variables[variable]
        ]
        chunks = [keys[i : i + _MAX_REPRESENTATIONS] for i in range(0, len(keys), _MAX_REPRESENTATIONS)]
        answers = await asyncio.gather(*(upstream.execute(call.for_keys(chunk)) for chunk in chunks))
        data: dict[str, list[Any]] = {response_key: [] for response_key, _ in request.entities}
        errors: list[Any] = []
        for chunk, answer in zip(chunks, answers, strict=True):
            _collect(request.entities, chunk, answer, data, errors)
            for index in range(len(chunk)):
                if (served := answer.served_row(index)).degraded and not isinstance(answer.value[index], UpstreamError):
                    scope.note_served(upstream.name, request.path, served)
        return SubgraphResponse(data, errors)

    def _operation(self, request: SubgraphRequest) -> SubgraphOperation:
        key = (request.subgraph, request.document)
        operation = self._operations.get(key)
        if operation is None:
            name = "_entities" if request.entities else "query" if request.kind == "query" else "mutation"
            service = self._upstreams[request.subgraph].name
            operation = subgraph_operation(service, name, request.document, Kind(request.kind), request.entities)
            self._operations[key] = operation
        return operation


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
            extensions = {"code": value.code}
            errors.append({"message": value.message, "path": list(places[-1]), "extensions": extensions})
    for problem in answer.problems:
        before = () if problem.index is None else places[problem.index]
        errors.append(_entry(problem, (*before, *problem.path)))


def _entry(problem: Problem, path: Sequence[str | int]) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": problem.message, "path": list(path)}
    if problem.extensions:
        entry["extensions"] = problem.extensions
    return entry
