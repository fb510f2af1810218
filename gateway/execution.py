"""What executes an operation: programs over this process's own schema, the federation engine for a supergraph."""

from collections.abc import Mapping
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
from gateway.local_execution import LocalSchema

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


class Executor(Protocol):
    """Gives the schema as it is now; a request keeps what it was given."""

    def current(self) -> Executable:
        """The schema to answer the next request from."""
        ...


class StrawberryExecutor:
    """Executes on the schema of this process, whole."""

    def __init__(self, schema: strawberry.Schema, documents: DocumentCache, *, hide_suggestions: bool) -> None:
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


class FederatedExecutor:
    """Plans operations over the supergraph that is served just now, and runs the plans.

    Args:
        served: the supergraph.
        random: decides progressive overrides, `@override(label: "percent(…)")`, once a request.
    """

    def __init__(self, served: ServedSupergraph, random: Random) -> None:
        self._served = served
        self._random = random

    def current(self) -> Executable:
        """The snapshot that is served now."""
        return _Federated(self._served.snapshot, self._random)


class _Federated:
    """One snapshot, for one request."""

    __slots__ = ("_random", "_snapshot", "documents")

    def __init__(self, snapshot: Snapshot, random: Random) -> None:
        self._snapshot = snapshot
        self._random = random
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
