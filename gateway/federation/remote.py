"""Fetches of a plan that go to other processes: through each service's own pipeline."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import msgspec
from cachetools import LRUCache
from starlette.datastructures import UploadFile

from clients.call import Answer, Call, Problem, Served, ServedBy
from clients.errors import UpstreamError
from clients.operation import Kind
from clients.subgraph import PossibleTypes, Shape, ShapedReply, SubgraphOperation, subgraph_operation
from clients.upstream import Upstream
from gateway.errors import told_wait_s
from gateway.federation.errors import FetchFailed
from gateway.federation.executor import Received, SubgraphRequest, SubgraphResponse
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
        return (await self._receive(request, None)).response()

    def fetch_typed(self, request: SubgraphRequest, shape: Shape) -> Coroutine[Any, Any, Received]:
        """See `TypedFetcher`."""
        if shape.operation is None and self._upstreams[request.subgraph].service.routes:  # REST knows no Structs
            request = msgspec.structs.replace(request, variables=msgspec.to_builtins(dict(request.variables)))
        return self._receive(request, shape)

    async def _receive(self, request: SubgraphRequest, shape: Shape | None) -> Received:
        scope: LoaderScope = request.context  # type: ignore[assignment]  # handed through the engine untouched
        upstream = self._upstreams[request.subgraph]
        operation = None if shape is None else shape.operation
        undivided = operation is not None
        if operation is None:
            service = upstream.service
            undivided = shape is not None and not service.policy.cache.keeps and not service.routes
            operation = self._undivided(request, shape) if shape is not None and undivided else self._operation(request)
        call = Call(operation, request.variables, scope.caller)
        try:
            if request.entities and not undivided:
                return await self._entities(upstream, call, request, scope, shape)
            answer = await upstream.execute(call)
        except UpstreamError as error:
            if error.reported:
                errors = [_entry(p, p.path) for p in error.reported]
                return Received(None, lambda: SubgraphResponse(None, errors))
            raise FetchFailed(error.service, error.message, error.code, told_wait_s(error)) from error
        return self._whole(upstream, request, scope, answer, shape)

    def _whole(
        self, upstream: Upstream, request: SubgraphRequest, scope: LoaderScope, answer: Answer, shape: Shape | None
    ) -> Received:
        """An answer that is not kept entity by entity."""
        value = answer.value
        if isinstance(value, ShapedReply):
            return Received(value.take(), lambda: SubgraphResponse(msgspec.json.decode(value.text)["data"]))
        errors = [_entry(p, p.path) for p in answer.problems]
        if answer.served.degraded:
            data = msgspec.json.decode(value)
            for response_key in data if isinstance(data, dict) else ():
                scope.note_served(upstream.name, (*request.path, response_key), answer.served)
        typed = None if shape is None or errors else _decoded(shape, value)
        return Received(typed, lambda: SubgraphResponse(msgspec.json.decode(value), errors))

    async def _entities(
        self, upstream: Upstream, call: Call, request: SubgraphRequest, scope: LoaderScope, shape: Shape | None
    ) -> Received:
        keys = [
            (slot, representation)
            for slot, (_, variable) in enumerate(request.entities)
            for representation in request.variables[variable]
        ]
        chunks = [keys[i : i + _MAX_REPRESENTATIONS] for i in range(0, len(keys), _MAX_REPRESENTATIONS)]
        answers = await _answers(upstream, [call.for_keys(chunk) for chunk in chunks])
        first = answers[0]
        if isinstance(first, UpstreamError) and not any(isinstance(a, Answer) or a.reported for a in answers):
            raise first
        rows = [
            _rows_of(answer, len(chunk)) if isinstance(answer, UpstreamError) else answer
            for answer, chunk in zip(answers, chunks, strict=True)
        ]
        for answer in rows:
            for index, value in enumerate(answer.value if answer.served.degraded or answer.served_rows else ()):
                if not isinstance(value, UpstreamError) and (served := answer.served_row(index)).degraded:
                    scope.note_served(upstream.name, request.path, served)
        typed = None if shape is None else _decoded_entities(shape, request.entities, keys, rows)
        return Received(typed, lambda: _collected(request.entities, chunks, rows))

    def _operation(self, request: SubgraphRequest) -> SubgraphOperation:
        key = (request.subgraph, request.document)
        operation = self._operations.get(key)
        if operation is None:
            operation = self._operations[key] = self._made(request, request.entities)
        return operation

    def _undivided(self, request: SubgraphRequest, shape: Shape) -> SubgraphOperation:
        """The operation whose answers are decoded whole; kept with the shape, which is for this request alone."""
        operation = shape.operation = self._made(request, (), shape)
        return operation

    def _made(
        self, request: SubgraphRequest, slots: Sequence[tuple[str, str]], shape: Shape | None = None
    ) -> SubgraphOperation:
        return subgraph_operation(
            self._upstreams[request.subgraph].name,
            "_entities" if request.entities else request.kind,
            request.document,
            Kind(request.kind),
            slots,
            possible_types=self._possible_types,
            shape=shape,
        )


async def _answers(upstream: Upstream, calls: Sequence[Call]) -> list[Answer | UpstreamError]:
    if len(calls) == 1:
        return [await _answer(upstream, calls[0])]
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(_answer(upstream, call)) for call in calls]
    return [task.result() for task in asking]


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


def _decoded(shape: Shape, text: bytes) -> Any:
    """`data` in its classes; None where it does not fit."""
    try:
        return shape.decode(text)
    except msgspec.DecodeError:
        return None


def _decoded_entities(
    shape: Shape, slots: Sequence[tuple[str, str]], keys: Sequence[tuple[int, Any]], answers: Sequence[Answer]
) -> Any:
    """Entities in their classes; None where one failed or does not fit."""
    if any(answer.problems for answer in answers):
        return None
    texts: list[list[bytes]] = [[] for _ in slots]
    values = [value for answer in answers for value in answer.value]
    for (slot, _), value in zip(keys, values, strict=True):
        if not isinstance(value, bytes):
            return None
        texts[slot].append(value)
    lists = [b'"%s":[%s]' % (key.encode(), b",".join(found)) for (key, _), found in zip(slots, texts, strict=True)]
    return _decoded(shape, b"{%s}" % b",".join(lists))


def _collected(
    slots: Sequence[tuple[str, str]], chunks: Sequence[Sequence[tuple[int, Any]]], answers: Sequence[Answer]
) -> SubgraphResponse:
    """Entities as a response has them."""
    data: dict[str, list[Any]] = {response_key: [] for response_key, _ in slots}
    errors: list[Any] = []
    for chunk, answer in zip(chunks, answers, strict=True):
        _collect(slots, chunk, answer, data, errors)
    return SubgraphResponse(data, errors)


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


def refuse_files(request: SubgraphRequest, cause: Exception) -> None:
    """Raise FetchFailed if a request failed for its files: they are in this process, and are not sent on."""
    if any(map(_has_file, request.variables.values())):
        message = f"{request.subgraph}: files are not sent on to subgraphs; only the gateway's own schema takes them"
        raise FetchFailed(request.subgraph, message, "UPLOAD_NOT_SUPPORTED") from cause


def _has_file(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_file, value.values()))
    if isinstance(value, list):
        return any(map(_has_file, value))
    return isinstance(value, UploadFile)
