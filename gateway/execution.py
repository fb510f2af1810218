"""What executes an operation: programs over this process's own schema, the federation engine for a supergraph."""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, Protocol

import msgspec
import strawberry

from gateway.context import RequestContext
from gateway.errors import ErrorFormatter
from gateway.federation.errors import PlanningError
from gateway.federation.planner import Plan
from gateway.federation.serving import ServedSupergraph, Snapshot
from gateway.federation.supergraph import active_labels
from gateway.http.documents import Document, DocumentCache, Operation
from gateway.http.errors import OperationUnsupported
from gateway.local_execution import LocalSchema
from gateway.subscriptions.federated import require_local
from gateway.subscriptions.source import Source, open_source

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

    async def execute(self, asked: Asked) -> Executed:
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


class StrawberryExecutor:
    """Executes on the schema of this process, whole."""

    def __init__(self, schema: strawberry.Schema, documents: DocumentCache, *, hide_suggestions: bool) -> None:
        self._subscribe = subscriber(schema, hide_suggestions=hide_suggestions)
        self._local = LocalSchema(schema, hide_suggestions=hide_suggestions)
        self.documents = documents

    def current(self) -> Executable:
        """Itself: this schema does not change."""
        return self

    async def execute(self, asked: Asked) -> Executed:
        """See `Executable`."""
        result = await self._local.execute(asked.document, asked.operation, asked.variables, asked.context, alone=True)
        errors = result.errors
        nothing_ran = result.data is None and errors and all(error.path is None for error in errors)
        return Executed(
            msgspec.UNSET if nothing_ran else result.data, [asked.formatter.entry(error) for error in errors]
        )

    async def subscribe(self, asked: Asked) -> Source:
        """See `Executable`."""
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

    async def execute(self, asked: Asked) -> Executed:
        """See `Executable`."""
        snapshot = self._snapshot
        engine = snapshot.engine
        labels = active_labels(engine.model, self._random.random()) if engine.model.override_labels else _NO_LABELS
        try:
            prepared = snapshot.prepared(asked.document, asked.operation.name, labels)
        except PlanningError as error:
            return Executed(
                errors=[asked.formatter.planned({"message": str(error), "extensions": {"code": error.code}})]
            )
        snapshot.begin()
        try:
            answer = await engine.run(prepared, asked.variables, asked.context)
        finally:
            snapshot.end()
        errors = [asked.formatter.planned(entry) for entry in answer.get("errors", ())]
        return Executed(answer.get("data", msgspec.UNSET), errors, prepared.plan)

    async def subscribe(self, asked: Asked) -> Source:
        """See `Executable`. Holds on to nothing of the snapshot: the subscription may outlive it by days."""
        engine = self._snapshot.engine
        name, subscriber = self._local or (None, None)
        require_local(engine.model, engine.api_schema, name, asked.document, asked.operation)
        if subscriber is None:
            raise OperationUnsupported("There is no schema of this process that subscriptions could be of.")
        return await subscriber(asked)
