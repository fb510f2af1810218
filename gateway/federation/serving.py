"""The supergraph that is being served: started from its source or the last good copy, and swapped whole."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from clients.clock import Clock
from clients.policy import ServicePolicy
from clients.service import Service
from clients.subgraph import Shape
from clients.upstream import Upstream
from gateway.access.guard import Access, Guard
from gateway.access.rules import supergraph_rules
from gateway.federation.engine import FederationEngine
from gateway.federation.errors import FederationError, FetchFailed
from gateway.federation.executor import Received, SubgraphFetcher, SubgraphRequest, SubgraphResponse, typed
from gateway.federation.executor.compiled import Prepared
from gateway.federation.remote import RemoteSubgraphs, refuse_files
from gateway.federation.source import Fetched, Source, SourceError, fetched
from gateway.federation.supergraph import Model, parse_supergraph
from gateway.http.documents import Document, DocumentCache

OpenUpstream = Callable[[Service, AsyncExitStack], Upstream]
"""Makes a service's upstream, to be closed by the stack."""

MakeDocuments = Callable[["FederationEngine"], DocumentCache]
"""Makes the cache of documents of an engine's API schema."""


class _Fetchers:
    """Sends each request to the subgraph it is for."""

    def __init__(self, local: Mapping[str, SubgraphFetcher], remote: SubgraphFetcher) -> None:
        self._local = local
        self._local_typed = {name: typed(fetcher) for name, fetcher in local.items()}
        self._remote = remote
        self._remote_typed = typed(remote)
        self._log = structlog.get_logger("supergraph")

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        """See `SubgraphFetcher`. What nobody foresaw is logged: the client is told its kind only."""
        try:
            return await self._local.get(request.subgraph, self._remote).fetch(request)
        except FetchFailed:
            raise
        except Exception as error:
            refuse_files(request, error)
            self._tell(error, request)
            raise

    async def fetch_typed(self, request: SubgraphRequest, shape: Shape) -> Received:
        """See `TypedFetcher`."""
        try:
            return await self._local_typed.get(request.subgraph, self._remote_typed)(request, shape)
        except FetchFailed:
            raise
        except Exception as error:
            refuse_files(request, error)
            self._tell(error, request)
            raise

    def _tell(self, error: Exception, request: SubgraphRequest) -> None:
        self._log.error("fetch failed unexpectedly", subgraph=request.subgraph, exc_info=error)


class Snapshot:
    """One supergraph, ready to answer: engine, documents, plans and upstreams belong together and change together.

    Requests that run on it say so (`begin`, `end`), so that what it is made of is closed after the last of them only.

    Attributes:
        plans_asked: how often an operation was to be executed; `plans_made` times it had no plan yet.
    """

    def __init__(
        self,
        engine: FederationEngine,
        documents: DocumentCache,
        upstreams: Mapping[str, Upstream],
        found: Fetched,
        guard: Guard | None = None,
    ) -> None:
        self.engine = engine
        self.documents = documents
        self.upstreams = upstreams
        self.found = found
        self.plans_asked = 0
        self.plans_made = 0
        self.guard = guard
        self._running = 0
        self._idle: asyncio.Event | None = None

    def begin(self) -> None:
        """A request runs on it, until `end`; to be said before the request waits for anything."""
        self._running += 1

    def end(self) -> None:
        """A request runs on it no more."""
        self._running -= 1
        if not self._running and self._idle is not None:
            self._idle.set()
            self._idle = None

    async def idle(self) -> None:
        """Return once no request runs on it. Once it is replaced, that is after a request's deadline at the latest."""
        while self._running:
            self._idle = self._idle or asyncio.Event()
            await self._idle.wait()

    @staticmethod
    def holds(document: Document, operation_name: str | None, labels: frozenset[str]) -> bool:
        """Whether `prepared` has something to give already."""
        return (operation_name, labels) in document.prepared

    def prepared(self, document: Document, operation_name: str | None, labels: frozenset[str]) -> Prepared:
        """An operation of one of its documents, kept with the document. Nothing here waits, so it is made once.

        Raises:
            PlanningError: it has no plan.
        """
        self.plans_asked += 1
        key = (operation_name, labels)
        prepared: Prepared | None = document.prepared.get(key)
        if prepared is None:
            self.plans_made += 1
            prepared = document.prepared[key] = self.engine.prepare(document.ast, operation_name, labels)
        return prepared


@dataclass(frozen=True, slots=True)
class _Drain:
    """A snapshot that was replaced, and what is to be closed once no request uses it any more."""

    snapshot: Snapshot
    retired: list[AsyncExitStack]


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
        accept: raises a FederationError when what else is configured does not fit a supergraph.
        on_drained: called when a replaced supergraph is no longer in use.
        access: decides what callers may see; by default nobody is granted a policy.
        show_errors: of a subgraph without an entry; see `Service`.
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
        accept: Callable[[Model], None] | None = None,
        on_drained: Callable[[], None] = lambda: None,
        access: Access | None = None,
        show_errors: bool = False,
    ) -> None:
        self._source = source
        self._services = services
        self._known = known
        self._open_upstream = open_upstream
        self._make_documents = make_documents
        self._local = dict([local]) if local else {}
        self._poll_interval_s = poll_interval_s
        self._last_good = last_good
        self._clock = clock
        self._accept = accept
        self._on_drained = on_drained
        self._access = access or Access()
        self._show_errors = show_errors
        self._log = structlog.get_logger("supergraph")
        self._stacks: dict[str, AsyncExitStack] = {}
        self._draining: dict[asyncio.Task[None], _Drain] = {}
        self._polling: asyncio.Task[None] | None = None
        self._reloading = asyncio.Lock()
        self._snapshot: Snapshot | None = None
        self._loaded_at = clock.wall()
        self._unavailable = ""
        self._refused = ""

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
        return SupergraphStatus(found.origin, found.digest, self._loaded_at, self._unavailable or self._refused)

    async def reload(self) -> bool:
        """Ask the source, and serve what it has if that is new and good. Returns whether something new is served.

        A bad one is refused: logged, shown in `status`, and the old one goes on.
        """
        async with self._reloading:
            try:
                found = await self._source.fetch()
                self._unavailable = ""
                return found is not None and await self._take(found)
            except SourceError as error:
                if str(error) != self._unavailable:
                    self._log.warning("supergraph not found", error=str(error), serving=self.snapshot.found.digest)
                self._unavailable = str(error)
            except FederationError as error:
                self._refuse(str(error))
            except Exception as error:  # noqa: BLE001 whatever a new one brings, the old one goes on and is kept current
                self._refuse(f"the supergraph cannot be loaded: {type(error).__name__}: {error}", error)
            return False

    async def _take(self, found: Fetched) -> bool:
        """Serve what was found, unless it is what is served already."""
        if found.digest == self.snapshot.found.digest:
            self.snapshot.found = found  # it may have been the last good copy until now
            self._refused = ""
            return False
        await self._swap(found)
        self._log.info("supergraph replaced", origin=found.origin, digest=found.digest)
        return True

    def _refuse(self, reason: str, cause: Exception | None = None) -> None:
        if reason != self._refused:
            serving = self.snapshot.found.digest
            self._log.error("supergraph refused", error=reason, serving=serving, exc_info=cause)
        self._unavailable = ""
        self._refused = reason

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
        draining = [*self._draining.items()]
        for task, _ in draining:
            task.cancel()
        await asyncio.gather(*(task for task, _ in draining), return_exceptions=True)
        await _close([*self._stacks.values(), *(stack for _, drain in draining for stack in drain.retired)])

    async def _start_from_last_good(self, error: SourceError | FederationError) -> None:
        """Serve the copy; without a usable one, raise what kept the source's from being served."""
        copy = self._last_good
        if copy is None or not copy.exists():
            raise error
        try:
            await self._swap(fetched(copy.read_text(encoding="utf-8"), f"{copy} (last good copy)"))
        except (OSError, ValueError, FederationError) as unusable:
            raise SourceError(f"{error}; and the last good copy, {copy}, is of no use: {unusable}") from error
        if isinstance(error, SourceError):
            self._unavailable = str(error)
        else:
            self._refused = str(error)
        self._log.error("supergraph started from the last good copy", error=str(error), copy=str(copy))

    async def _poll(self, interval_s: float) -> None:
        while True:
            await self._clock.sleep(interval_s)
            await self.reload()

    async def _swap(self, found: Fetched) -> None:
        """Build beside what runs, then replace it in one step; upstreams that stay keep their circuits."""
        model = parse_supergraph(found.sdl)
        if self._accept is not None:
            self._accept(model)
        before = {**self._known, **(self._snapshot.upstreams if self._snapshot is not None else {})}
        upstreams: dict[str, Upstream] = {}
        opened: dict[str, AsyncExitStack] = {}
        try:
            for service in self._wanted(model):
                known = before.get(service.name)
                if known is not None and known.service == service:
                    upstreams[service.name] = known
                    continue
                stack = opened[service.name] = AsyncExitStack()
                upstreams[service.name] = self._open_upstream(service, stack)
            remote = RemoteSubgraphs(upstreams, model.possible_types)
            engine = FederationEngine(model, _Fetchers(self._local, remote))
            guard = self._access.guard(engine.api_schema, supergraph_rules(model))
            snapshot = Snapshot(engine, self._make_documents(engine), upstreams, found, guard)
        except BaseException:
            await _close(opened.values())
            raise
        retired = [self._stacks.pop(name) for name in list(self._stacks) if name not in upstreams or name in opened]
        self._stacks.update(opened)
        replaced, self._snapshot = self._snapshot, snapshot
        self._loaded_at = self._clock.wall()
        self._unavailable = self._refused = ""
        self._keep(found)
        if replaced is not None:
            self._drain(replaced, retired)

    def _drain(self, replaced: Snapshot, retired: list[AsyncExitStack]) -> None:
        """Close upstreams once no request can be using them: those of older snapshots may, as those of this one."""
        users = [*(drain.snapshot for drain in self._draining.values()), replaced]

        async def close_when_idle() -> None:
            for snapshot in users:
                await snapshot.idle()
            await _close(retired)

        task = asyncio.create_task(close_when_idle(), name="breakwater supergraph drain")
        self._draining[task] = _Drain(replaced, retired)
        task.add_done_callback(self._drained)

    def _drained(self, task: asyncio.Task[None]) -> None:
        del self._draining[task]
        asyncio.get_running_loop().call_soon(self._on_drained)  # later: until then the task holds on to the snapshot

    def _wanted(self, model: Model) -> list[Service]:
        """The services of a supergraph's remote subgraphs: what gateway.yaml says of them, else the defaults."""
        wanted = []
        for subgraph in model.subgraphs.values():
            if subgraph.name in self._local:
                continue
            service = self._services.get(subgraph.name) or Service(
                subgraph.name, ServicePolicy(), show_errors=self._show_errors
            )
            wanted.append(service if service.graphql else replace(service, graphql=subgraph.url))
        return wanted

    def _keep(self, found: Fetched) -> None:
        """Write the last good copy beside its place and move it there, so that nobody ever finds half of one."""
        copy = self._last_good
        if copy is None:
            return
        beside = copy.with_name(f"{copy.name}.{os.getpid()}")  # worker processes keep the same copy
        try:
            beside.write_text(found.sdl, encoding="utf-8")
            beside.replace(copy)
        except OSError as error:
            self._log.warning("last good supergraph not kept", copy=str(copy), error=str(error))
            with contextlib.suppress(OSError):
                beside.unlink()


async def _close(stacks: Iterable[AsyncExitStack]) -> None:
    """Close them all, whatever one of them says."""
    async with AsyncExitStack() as every:
        for stack in stacks:
            every.push_async_callback(stack.aclose)
