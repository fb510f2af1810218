"""What executes an operation: programs over this process's own schema, the federation engine for a supergraph."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import Random
from typing import Any, Protocol

import msgspec
import strawberry
from graphql import GraphQLError
from msgspec.structs import replace

from gateway.access.declared import declared_rules
from gateway.access.guard import UNAUTHORIZED, Access, Guard
from gateway.context import RequestContext
from gateway.errors import ErrorFormatter
from gateway.federation.errors import PlanningError
from gateway.federation.executor.compiled import Prepared
from gateway.federation.planner import Plan
from gateway.federation.serving import ServedSupergraph, Snapshot
from gateway.federation.supergraph import active_labels
from gateway.http.documents import Document, DocumentCache, Operation
from gateway.http.errors import OperationUnsupported
from gateway.local_execution import LocalSchema
from gateway.subscriptions.federated import require_local
from gateway.subscriptions.source import Source, SourceRefused, open_source
from gateway.telemetry import spans
from schema.build import core_schema

_NO_LABELS: frozenset[str] = frozenset()


class Asked(msgspec.Struct, frozen=True):
    """One operation of a document, for one request.

    Attributes:
        variables_text: `variables` as the client wrote them; None where that is not known.
    """

    document: Document
    operation: Operation
    variables: Mapping[str, Any]
    context: RequestContext
    formatter: ErrorFormatter
    variables_text: bytes | None = None


class Executed(msgspec.Struct, frozen=True):
    """What came of an operation.

    Attributes:
        data: as JSON takes it; UNSET when nothing was executed.
        errors: entries of the answer.
        plan: text for people, made when it is asked for; None where there was none to make.
    """

    data: Any = msgspec.UNSET
    errors: list[dict[str, Any]] = []
    plan: Plan | None = None


class Executable(Protocol):
    """A schema as it is now: the documents that are valid for it, and what runs them."""

    @property
    def documents(self) -> DocumentCache:
        """Its documents."""
        ...

    def execute(self, asked: Asked) -> Awaitable[Executed]:
        """Execute one operation of one of its documents."""
        ...

    async def subscribe(self, asked: Asked) -> Source:
        """Begin a subscription of one of its documents.

        Raises:
            OperationUnsupported: it is not this process's own schema that would answer it.
            SourceRefused: the schema does not begin it.
        """
        ...


class Executor(Protocol):
    """Gives the schema as it is now; a request keeps what it was given."""

    def current(self) -> Executable:
        """The schema to answer the next request from."""
        ...


Subscriber = Callable[[Asked], Awaitable[Source]]
"""Begins a subscription; see `Executable.subscribe`."""


def subscriber(schema: strawberry.Schema, *, hide_suggestions: bool) -> Subscriber:
    """What begins the subscriptions of this process's schema."""

    async def subscribe(asked: Asked) -> Source:
        return await open_source(
            schema,
            asked.document,
            asked.operation,
            asked.variables,
            asked.context,
            hide_suggestions=hide_suggestions,
        )

    return subscribe


async def guarded(guard: Guard, asked: Asked, execute: Callable[[Asked], Awaitable[Executed]]) -> Executed:
    """Execute what the caller may see of an operation; what is withheld is null, with an error.

    Raises:
        Unauthorized: something is withheld, and operations are to be refused then.
    """
    view = await guard.view(asked.document, asked.operation, asked.context.caller)
    if view is None:
        return await execute(asked)
    if view.document is None or view.operation is None:
        data, unfit = view.without_execution(asked.variables)
        executed = Executed(data, [asked.formatter.entry(error) for error in unfit])
    else:
        executed = await execute(replace(asked, document=view.document, operation=view.operation))
    data, withheld = view.complete(executed.data, asked.variables)
    return replace(executed, data=data, errors=[*executed.errors, *map(asked.formatter.planned, withheld)])


async def guarded_source(guard: Guard, asked: Asked, subscribe: Subscriber) -> Source:
    """Begin a subscription to what the caller may see; of each event, what is withheld is null, with an error.

    Raises:
        Unauthorized: as `guarded`.
        SourceRefused: the caller may see none of it.
    """
    view = await guard.view(asked.document, asked.operation, asked.context.caller)
    if view is None:
        return await subscribe(asked)
    if view.document is None or view.operation is None:
        raise SourceRefused([GraphQLError(UNAUTHORIZED["message"], extensions=UNAUTHORIZED["extensions"])])
    source = await subscribe(replace(asked, document=view.document, operation=view.operation))
    source.complete = partial(view.complete, variables=asked.variables)
    return source


class StrawberryExecutor:
    """Executes on the schema of this process, whole."""

    def __init__(
        self,
        schema: strawberry.Schema,
        documents: DocumentCache,
        *,
        hide_suggestions: bool,
        access: Access | None = None,
    ) -> None:
        self._subscribe = subscriber(schema, hide_suggestions=hide_suggestions)
        self._local = LocalSchema(schema, hide_suggestions=hide_suggestions)
        self._guard = (access or Access()).guard(core_schema(schema), declared_rules(schema))
        self.documents = documents

    def current(self) -> Executable:
        """Itself: this schema does not change."""
        return self

    async def execute(self, asked: Asked) -> Executed:
        """See `Executable`."""
        if self._guard is not None:
            return await guarded(self._guard, asked, self._execute)
        return await self._execute(asked)

    async def _execute(self, asked: Asked) -> Executed:
        context = asked.context
        if (span := context.caller.span) is None:
            result = await self._local.execute(asked.document, asked.operation, asked.variables, context, alone=True)
        else:
            with spans.executing(span, context, asked.document, asked.operation):
                result = await self._local.execute(
                    asked.document, asked.operation, asked.variables, context, alone=True
                )
        errors = result.errors
        nothing_ran = result.data is None and errors and all(error.path is None for error in errors)
        return Executed(
            msgspec.UNSET if nothing_ran else result.data, [asked.formatter.entry(error) for error in errors]
        )

    async def subscribe(self, asked: Asked) -> Source:
        """See `Executable`."""
        if self._guard is not None:
            return await guarded_source(self._guard, asked, self._subscribe)
        return await self._subscribe(asked)


class FederatedExecutor:
    """Plans operations over the supergraph that is served just now, and runs the plans.

    Args:
        served: the supergraph.
        random: decides progressive overrides, `@override(label: "percent(…)")`, once a request.
        local: this process's own schema and its name among the subgraphs, which answers subscriptions.
    """

    def __init__(self, served: ServedSupergraph, random: Random, local: tuple[str, Subscriber] | None = None) -> None:
        self._served = served
        self._random = random
        self._local = local

    def current(self) -> Executable:
        """The snapshot that is served now."""
        return _Federated(self._served.snapshot, self._random, self._local)


class _Federated:
    """One snapshot, for one request."""

    __slots__ = ("_local", "_random", "_snapshot", "documents")

    def __init__(self, snapshot: Snapshot, random: Random, local: tuple[str, Subscriber] | None) -> None:
        self._snapshot = snapshot
        self._random = random
        self._local = local
        self.documents = snapshot.documents

    def execute(self, asked: Asked) -> Awaitable[Executed]:
        """See `Executable`."""
        guard = self._snapshot.guard
        return self._execute(asked) if guard is None else self._execute_guarded(guard, asked)

    async def _execute_guarded(self, guard: Guard, asked: Asked) -> Executed:
        """The snapshot stays open while policies are asked for, too."""
        self._snapshot.begin()
        try:
            return await guarded(guard, asked, self._execute)
        finally:
            self._snapshot.end()

    async def _execute(self, asked: Asked) -> Executed:
        snapshot = self._snapshot
        engine = snapshot.engine
        labels = active_labels(engine.model, self._random.random()) if engine.model.override_labels else _NO_LABELS
        try:
            prepared = self._prepared(asked, labels)
        except PlanningError as error:
            return Executed(
                errors=[asked.formatter.planned({"message": str(error), "extensions": {"code": error.code}})]
            )
        snapshot.begin()
        try:
            if (span := asked.context.caller.span) is None:
                answer = await engine.run(prepared, asked.variables, asked.context)
            else:
                with spans.executing(span, asked.context, asked.document, asked.operation):
                    answer = await engine.run(prepared, asked.variables, asked.context)
        finally:
            snapshot.end()
        errors = [asked.formatter.planned(entry) for entry in answer.get("errors", ())]
        return Executed(answer.get("data", msgspec.UNSET), errors, prepared.plan)

    def _prepared(self, asked: Asked, labels: frozenset[str]) -> Prepared:
        snapshot, span = self._snapshot, asked.context.caller.span
        document, name = asked.document, asked.operation.name
        if span is None or snapshot.holds(document, name, labels):
            return snapshot.prepared(document, name, labels)
        with spans.part(span, "graphql.plan"):
            return snapshot.prepared(document, name, labels)

    async def subscribe(self, asked: Asked) -> Source:
        """See `Executable`. Holds on to nothing of the snapshot: the subscription may outlive it by days."""
        engine = self._snapshot.engine
        name, subscriber = self._local or (None, None)
        require_local(engine.model, engine.api_schema, name, asked.document, asked.operation)
        if subscriber is None:
            raise OperationUnsupported("There is no schema of this process that subscriptions could be of.")
        if self._snapshot.guard is not None:
            return await guarded_source(self._snapshot.guard, asked, subscriber)
        return await subscriber(asked)
