"""Running a plan over dicts: each request is sent as soon as what it needs is there."""

import asyncio
from collections.abc import Mapping
from typing import Any

from graphql import GraphQLSchema

from gateway.federation.errors import FetchFailed
from gateway.federation.executor.completion import Completion, holds
from gateway.federation.executor.fetcher import SubgraphFetcher, SubgraphRequest, SubgraphResponse
from gateway.federation.executor.introspection import introspect
from gateway.federation.executor.merging import (
    Object,
    Occurrence,
    Trail,
    certain_prefix,
    copied,
    flatten,
    merge,
    rename,
    written_out,
)
from gateway.federation.executor.reported import Reporter
from gateway.federation.executor.representations import Representations
from gateway.federation.planner.plan import AnyOf, Plan, Request, RequestKind
from gateway.federation.supergraph.model import Model


async def execute_plan(
    model: Model,
    schema: GraphQLSchema,
    plan: Plan,
    *,
    fetcher: SubgraphFetcher,
    variables: Mapping[str, Any],
    context: object = None,
) -> dict[str, Any]:
    """Run a plan and put the response together.

    A failing request costs the fields it was for and nothing else. When this is cancelled, so are the requests
    under way, and they have ended when it has.

    Args:
        model: the supergraph.
        schema: its API schema.
        plan: of a valid operation.
        fetcher: sends requests.
        variables: coerced.
        context: handed to the fetcher with every request.
    """
    reporter = Reporter({key: name for request in plan.requests for key, name in request.internal_keys.items()})
    run = _Run(fetcher, variables, context, reporter)
    for group in plan.groups:
        await run.group(group)
    completion = Completion(model, schema, variables, reporter)
    local = introspect(schema, plan, variables)
    data = completion.root(plan.operation.selections, plan.operation.root_type, run.data, local)
    return {"data": data, "errors": reporter.errors} if reporter.errors else {"data": data}


class _Run:
    """The state of one execution."""

    def __init__(
        self, fetcher: SubgraphFetcher, variables: Mapping[str, Any], context: object, reporter: Reporter
    ) -> None:
        self.data: Object = {}
        self._fetcher = fetcher
        self._variables = variables
        self._context = context
        self._reporter = reporter

    async def group(self, requests: tuple[Request, ...]) -> None:
        """Run requests that depend on each other and on nothing outside."""
        missing = {request.id: len(request.needs) for request in requests}
        waiting: dict[int, list[Request]] = {request.id: [] for request in requests}
        for request in requests:
            for needed in request.needs:
                waiting[needed].append(request)

        async def run(request: Request) -> None:
            await self._request(request)
            for other in waiting[request.id]:
                missing[other.id] -= 1
                if not missing[other.id]:
                    tasks.create_task(run(other))

        async with asyncio.TaskGroup() as tasks:
            for request in requests:
                if not request.needs:
                    tasks.create_task(run(request))

    async def _request(self, request: Request) -> None:
        if not self._wanted(request.wanted):
            return
        if request.kind is RequestKind.ENTITIES:
            await self._entities(request)
        else:
            await self._fields(request)

    def _wanted(self, alternatives: AnyOf) -> bool:
        return any(holds(condition, self._variables) for condition in alternatives)

    async def _fields(self, request: Request) -> None:
        """Root fields, at the top or wherever the response has the query root."""
        occurrences = flatten(self.data, request.path)
        if not occurrences:
            return
        default = certain_prefix(self.data, request.path)
        response = await self._send(request, {}, default)
        if response is None:
            return
        prefixes = [written_out(occurrence.trail) for occurrence in occurrences]
        self._reporter.received(request.subgraph, response.errors, default, prefixes=prefixes)
        data = self._checked(request, response, default)
        if data is None:
            return
        rename(data, request.renames)
        self._add(occurrences, data)

    async def _entities(self, request: Request) -> None:
        asked: dict[str, Representations] = {}
        variables: dict[str, Any] = {}
        for entities in request.entities:
            representations = asked[entities.response_key] = Representations(entities.type_name)
            for target in entities.targets:
                if self._wanted(target.wanted):
                    representations.add(target, flatten(self.data, target.path))
            variables[entities.variable] = representations.values
        if not any(variables.values()):
            return
        default = certain_prefix(self.data, request.entities[0].targets[0].path)
        response = await self._send(request, variables, default)
        if response is None:
            return
        trails = {key: _trails(representations) for key, representations in asked.items()}
        self._reporter.received(request.subgraph, response.errors, default, occurrences=trails)
        data = self._checked(request, response, default)
        if data is None:
            return
        for entities in request.entities:
            representations = asked[entities.response_key]
            answers = data.get(entities.response_key)
            if not isinstance(answers, list) or len(answers) != len(representations.values):
                self._misaligned(request, answers, representations, response)
                continue
            for answer, occurrences in zip(answers, representations.occurrences, strict=True):
                if isinstance(answer, dict):
                    rename(answer, entities.renames)
                    self._add(occurrences, answer)
                elif answer is not None:
                    problem = f"an entity is {type(answer).__name__}, not an object"
                    for occurrence in occurrences:
                        self._reporter.malformed(request.subgraph, problem, written_out(occurrence.trail))

    def _misaligned(
        self, request: Request, answers: object, representations: Representations, response: SubgraphResponse
    ) -> None:
        """Without one answer for each representation nobody knows which answer belongs where; none is used."""
        if not representations.values or (answers is None and response.errors):
            return
        got = f"{len(answers)}" if isinstance(answers, list) else "no list of"
        problem = f"{got} entities for {len(representations.values)} representations"
        default = certain_prefix(self.data, request.entities[0].targets[0].path)
        self._reporter.malformed(request.subgraph, problem, default)

    @staticmethod
    def _add(occurrences: list[Occurrence], answer: Object) -> None:
        """Each object gets its own copy: what is added to one later is not for the others."""
        for occurrence in occurrences[1:]:
            merge(occurrence.object, copied(answer))
        merge(occurrences[0].object, answer)

    def _checked(self, request: Request, response: SubgraphResponse, path: list[str | int]) -> Object | None:
        data = response.data
        if isinstance(data, dict):
            return data
        if data is not None or not response.errors:
            self._reporter.malformed(request.subgraph, f"data is {type(data).__name__}, not an object", path)
        return None

    async def _send(
        self, request: Request, representations: Mapping[str, Any], path: list[str | int]
    ) -> SubgraphResponse | None:
        used = {name: self._variables[name] for name in request.variables if name in self._variables}
        places = request.entities[0].targets[0].path if request.entities else request.path
        sent = SubgraphRequest(
            subgraph=request.subgraph,
            document=request.document,
            operation_name=request.operation_name,
            variables={**representations, **used},
            kind="mutation" if request.mutation else "query",
            path=tuple(segment for segment in places if isinstance(segment, str)),
            entities=tuple((each.response_key, each.variable) for each in request.entities),
            context=self._context,
            id=request.id,
        )
        try:
            return await self._fetcher.fetch(sent)
        except FetchFailed as failure:
            self._reporter.failed(failure, path)
        except Exception as error:  # noqa: BLE001 a fault in one fetch must not take the others down
            message = f"The request to {request.subgraph!r} failed unexpectedly ({type(error).__name__})."
            self._reporter.add(message, path, request.subgraph, {"code": "SUBREQUEST_INTERNAL_ERROR"})
        return None


def _trails(representations: Representations) -> list[list[Trail]]:
    return [[occurrence.trail for occurrence in occurrences] for occurrences in representations.occurrences]
