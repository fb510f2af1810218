"""The engine: one supergraph, ready to answer operations."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cachetools import LRUCache
from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse, validate
from graphql.execution.values import get_variable_values

from gateway.federation.errors import InvalidDocument, PlanningError
from gateway.federation.executor import SubgraphFetcher, execute_plan, typed
from gateway.federation.executor.compiled import Prepared, run_program
from gateway.federation.planner import Plan, PlanLimits, Planner
from gateway.federation.planner.limits import Clock
from gateway.federation.supergraph import Model, derive_api_schema, parse_supergraph

_PLAN_CACHE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class _PlanKey:
    document: bytes
    operation_name: str | None
    labels: frozenset[str]


class FederationEngine:
    """Answers operations over one supergraph. Build a new one for a new supergraph.

    Args:
        supergraph: SDL, or the model of it.
        fetcher: sends requests to subgraphs.
        limits: of planning.
        clock: seconds of work, for the limit on planning time.
        plan_cache_size: plans kept, the least recently used one goes first.

    Raises:
        SupergraphError: the supergraph is not usable.
    """

    def __init__(
        self,
        supergraph: str | Model,
        fetcher: SubgraphFetcher,
        *,
        limits: PlanLimits | None = None,
        clock: Clock = time.thread_time,
        plan_cache_size: int = _PLAN_CACHE_SIZE,
    ) -> None:
        self.model = parse_supergraph(supergraph) if isinstance(supergraph, str) else supergraph
        self.api_schema: GraphQLSchema = derive_api_schema(self.model)
        self._fetcher = fetcher
        self._fetch_typed = typed(fetcher)
        self._planner = Planner(self.model, limits, clock)
        self._prepared: LRUCache[_PlanKey, Prepared] = LRUCache(plan_cache_size)

    def plan(self, document: str, operation_name: str | None = None, labels: frozenset[str] = frozenset()) -> Plan:
        """The plan of one operation; see `prepared`."""
        return self.prepared(document, operation_name, labels).plan

    def prepared(
        self, document: str, operation_name: str | None = None, labels: frozenset[str] = frozenset()
    ) -> Prepared:
        """One operation, ready to run; cached by document, operation name and active override labels.

        Planning never waits, so in one event loop concurrent misses plan one after the other and all but the first
        find the plan in the cache. Values of variables are no part of a plan.

        Raises:
            InvalidDocument: it does not parse or is not valid against the API schema.
            PlanningError: it has no plan.
        """
        labels &= self.model.override_labels
        digest = hashlib.blake2b(document.encode(), digest_size=16).digest()
        key = _PlanKey(digest, operation_name, labels)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._prepared[key] = self.prepare(self._parse(document), operation_name, labels)
        return prepared

    def _parse(self, document: str) -> DocumentNode:
        try:
            parsed = parse(document)
        except GraphQLError as error:
            raise InvalidDocument([error], "GRAPHQL_PARSE_FAILED") from error
        errors = validate(self.api_schema, parsed)
        if errors:
            raise InvalidDocument(errors, "GRAPHQL_VALIDATION_FAILED")
        return parsed

    async def execute(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        context: object = None,
        *,
        labels: frozenset[str] = frozenset(),
    ) -> dict[str, Any]:
        """Answer one operation: a GraphQL response with ``data``, ``errors`` or both.

        Without ``data`` nothing was sent to any subgraph. May be cancelled; requests under way are then cancelled too.

        Args:
            document: GraphQL text.
            variables: as the client sent them.
            operation_name: which operation, needed when there are several.
            context: handed to the fetcher with every request, otherwise untouched.
            labels: progressive override labels that are on for this request.
        """
        try:
            prepared = self.prepared(document, operation_name, labels)
        except InvalidDocument as invalid:
            return {"errors": [_entry(error, invalid.code) for error in invalid.errors]}
        except PlanningError as error:
            return {"errors": [{"message": str(error), "extensions": {"code": error.code}}]}
        answer = await self.run(prepared, variables, context)
        return {**answer, "data": msgspec.to_builtins(answer["data"])} if "data" in answer else answer

    def prepare(self, document: DocumentNode, operation_name: str | None, labels: frozenset[str]) -> Prepared:
        """An operation of a document that is known to be valid; for callers that keep what they prepared themselves.

        Raises:
            PlanningError: it has no plan.
        """
        plan = self._planner.plan(document, operation_name, labels & self.model.override_labels)
        return Prepared(self.model, self.api_schema, plan)

    async def run(
        self, prepared: Prepared, variables: Mapping[str, Any] | None = None, context: object = None
    ) -> dict[str, Any]:
        """Run an operation of this engine; otherwise as `execute`. `data` may be a Struct that encodes as it should."""
        plan = prepared.plan
        values: Mapping[str, Any] = {}
        if definitions := plan.operation.node.variable_definitions:
            coerced = get_variable_values(self.api_schema, definitions, dict(variables or {}))
            if isinstance(coerced, list):
                return {"errors": [_entry(error, "BAD_USER_INPUT") for error in coerced]}
            values = coerced.coerced
        program = prepared.program(values)

        async def plain(fetcher: SubgraphFetcher) -> dict[str, Any]:
            return await execute_plan(
                self.model, self.api_schema, plan, fetcher=fetcher, variables=values, context=context
            )

        if isinstance(program, str):
            return await plain(self._fetcher)
        return await run_program(
            program, fetch=self._fetch_typed, fetcher=self._fetcher, variables=values, context=context, plain=plain
        )


def _entry(error: GraphQLError, code: str) -> dict[str, Any]:
    formatted: dict[str, Any] = dict(error.formatted)
    return {**formatted, "extensions": {"code": code, **(error.extensions or {})}}
