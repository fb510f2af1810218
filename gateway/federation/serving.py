"""The supergraph that is being served: started from its source or the last good copy, and swapped whole."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from cachetools import LRUCache

from clients.clock import Clock
from clients.policy import ServicePolicy
from clients.service import Service
from clients.upstream import Upstream
from gateway.federation.engine import FederationEngine
from gateway.federation.errors import FederationError
from gateway.federation.executor import SubgraphFetcher, SubgraphRequest, SubgraphResponse
from gateway.federation.planner import Plan
from gateway.federation.remote import RemoteSubgraphs
from gateway.federation.source import Fetched, Source, SourceError, fetched
from gateway.federation.supergraph import Model, parse_supergraph
from gateway.http.documents import Document, DocumentCache

OpenUpstream = Callable[[Service, AsyncExitStack], Upstream]
"""Makes a service's upstream, to be closed by the stack."""

MakeDocuments = Callable[["FederationEngine"], DocumentCache]
"""Makes the cache of documents of an engine's API schema."""

_PLANS = 1_000


class _Fetchers:
    """Sends each request to the subgraph it is for."""

    def __init__(self, local_name: str | None, local: SubgraphFetcher | None, remote: SubgraphFetcher) -> None:
        self._local_name = local_name
        self._local = local
        self._remote = remote

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        """See `SubgraphFetcher`."""
        if self._local is not None and request.subgraph == self._local_name:
            return await self._local.fetch(request)
        return await self._remote.fetch(request)


class Snapshot:
    """One supergraph, ready to answer: engine, documents, plans and upstreams belong together and change together."""

    def __init__(
        self, engine: FederationEngine, documents: DocumentCache, upstreams: Mapping[str, Upstream], found: Fetched
    ) -> None:
        self.engine = engine
        self.documents = documents
        self.upstreams = upstreams
        self.found = found
        self._plans: LRUCache[tuple[Document, str | None, frozenset[str]], Plan] = LRUCache(_PLANS)

    def plan(self, document: Document, operation_name: str | None, labels: frozenset[str]) -> Plan:
        """The plan of an operation. Planning never waits, so concurrent misses plan once.

        Raises:
            PlanningError: it has no plan.
        """
        key = (document, operation_name, labels)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self.engine.plan_parsed(document.ast, operation_name, labels)
        return plan


@dataclass(frozen=True, slots=True)
class SupergraphStatus:
    """What is served, read as data.

    Attributes:
        origin: where it was found.
        digest: of its SDL.
        loaded_at: when it began to be served.
        trouble: why the newest one is not served; empty when it is.
    """

    origin: str
    digest: str
    loaded_at: datetime
    trouble: str


class ServedSupergraph:
    """Loads the supergraph, keeps it current, and never lets go of one that works. An async context manager.

    Args:
        source: finds it.
        services: what gateway.yaml says of services, by name; a subgraph without an entry gets the defaults.
        known: upstreams that are open already, by name; used for subgraphs whose service they are.
        open_upstream: makes an upstream.
        make_documents: makes the cache of documents.
        local: fetches of the local subgraph, by its name.
        poll_interval_s: how often the source is asked; None asks once.
        last_good: where the last good supergraph is kept; started from when the source is down.
        clock: all time comes from it.
    """

    def __init__(
        self,
        source: Source,
        services: Mapping[str, Service],
        *,
        known: Mapping[str, Upstream],
        open_upstream: OpenUpstream,
        make_documents: MakeDocuments,
        local: tuple[str, SubgraphFetcher] | None,
        poll_interval_s: float | None,
        last_good: Path | None,
        clock: Clock,
    ) -> None:
        self._source = source
        self._services = services
        self._known = known
        self._open_upstream = open_upstream
        self._make_documents = make_documents
        self._local_name = local[0] if local else None
        self._local = local[1] if local else None
        self._poll_interval_s = poll_interval_s
        self._last_good = last_good
        self._clock = clock
        self._log = structlog.get_logger("supergraph")
        self._stacks: dict[str, AsyncExitStack] = {}
        self._polling: asyncio.Task[None] | None = None
        self._snapshot: Snapshot | None = None
        self._loaded_at = clock.wall()
        self._trouble = ""

    @property
    def snapshot(self) -> Snapshot:
        """What answers just now."""
        if self._snapshot is None:
            raise RuntimeError("the supergraph is asked for outside of its lifetime")
        return self._snapshot

    @property
    def status(self) -> SupergraphStatus:
        """What is served, and why nothing newer is."""
        found = self.snapshot.found
        return SupergraphStatus(found.origin, found.digest, self._loaded_at, self._trouble)

    async def reload(self) -> bool:
        """Ask the source, and serve what it has if that is new and good. Returns whether something new is served.

        A bad one is refused: logged, shown in `status`, and the old one goes on.
        """
        try:
            found = await self._source.fetch()
            if found is not None and found.digest != self.snapshot.found.digest:
                await self._swap(found)
                self._log.info("supergraph replaced", origin=found.origin, digest=found.digest)
                return True
        except (SourceError, FederationError) as error:
            if str(error) != self._trouble:
                self._log.error("supergraph refused", error=str(error), serving=self.snapshot.found.digest)
            self._trouble = str(error)
            return False
        if found is not None:
            self._trouble = ""
        return False

    async def __aenter__(self) -> Self:
        """Load the supergraph.

        Raises:
            SourceError: there is none, and no last good copy.
            FederationError: it is not usable, and there is no last good copy.
        """
        try:
            found = await self._source.fetch()
            if found is None:
                raise SourceError("the source says that nothing changed before it said anything")
            await self._swap(found)
        except (SourceError, FederationError) as error:
            await self._start_from_last_good(error)
        if self._poll_interval_s is not None:
            self._polling = asyncio.create_task(self._poll(self._poll_interval_s), name="breakwater supergraph")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        for stack in self._stacks.values():
            await stack.aclose()

    async def _start_from_last_good(self, error: Exception) -> None:
        if self._last_good is None or not self._last_good.exists():
            raise error
        sdl = self._last_good.read_text(encoding="utf-8")
        await self._swap(fetched(sdl, f"{self._last_good} (last good copy)"))
        self._trouble = str(error)
        self._log.error("supergraph started from the last good copy", error=str(error), copy=str(self._last_good))

    async def _poll(self, interval_s: float) -> None:
        while True:
            await self._clock.sleep(interval_s)
            await self.reload()

    async def _swap(self, found: Fetched) -> None:
        """Build beside what runs, then replace it in one step; upstreams that stay keep their circuits."""
        model = parse_supergraph(found.sdl)
        before = {**self._known, **(self._snapshot.upstreams if self._snapshot is not None else {})}
        upstreams, opened = {}, {}
        for service in self._wanted(model):
            known = before.get(service.name)
            if known is not None and known.service == service:
                upstreams[service.name] = known
                continue
            stack = opened[service.name] = AsyncExitStack()
            upstreams[service.name] = self._open_upstream(service, stack)
        engine = FederationEngine(model, _Fetchers(self._local_name, self._local, RemoteSubgraphs(upstreams)))
        snapshot = Snapshot(engine, self._make_documents(engine), upstreams, found)
        retired = [self._stacks.pop(name) for name in list(self._stacks) if name not in upstreams or name in opened]
        self._stacks.update(opened)
        self._snapshot = snapshot
        self._loaded_at = self._clock.wall()
        self._trouble = ""
        self._keep(found)
        for stack in retired:
            await stack.aclose()

    def _wanted(self, model: Model) -> list[Service]:
        """The services of a supergraph's remote subgraphs: what gateway.yaml says of them, else the defaults."""
        wanted = []
        for subgraph in model.subgraphs.values():
            if subgraph.name == self._local_name:
                continue
            service = self._services.get(subgraph.name) or Service(subgraph.name, ServicePolicy())
            wanted.append(service if service.graphql else replace(service, graphql=subgraph.url))
        return wanted

    def _keep(self, found: Fetched) -> None:
        """Write the last good copy beside its place and move it there, so that a crash leaves a whole one."""
        if self._last_good is None:
            return
        with contextlib.suppress(OSError):
            beside = self._last_good.with_suffix(".new")
            beside.write_text(found.sdl, encoding="utf-8")
            beside.replace(self._last_good)
