"""The supergraph that is served: swapped whole, kept when the new one is bad, drained before it is closed."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from clients.call import Caller
from clients.policy import BreakerPolicy, CachePolicy, RetryPolicy, ServicePolicy
from clients.service import Service
from clients.stores.memory import MemoryStore
from clients.transports import HttpxWire, Wire, WireResponse
from clients.upstream import Upstream
from gateway.access.guard import Access
from gateway.context import RequestContext
from gateway.execution import FederatedExecutor
from gateway.federation.composition import Subgraph, compose
from gateway.federation.errors import SupergraphError
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from gateway.federation.serving import ServedSupergraph, Snapshot
from gateway.federation.source import Fetched, FileSource, Source, SourceError, fetched
from gateway.http.documents import DocumentCache
from tests.testkit.clock import ManualClock
from tests.testkit.execution import answer_of
from tests.testkit.upstream import ScriptedUpstream, hang, status
from tests.testkit.waiting import until_true

ONCE = ServicePolicy(
    retry=RetryPolicy(attempts=1),
    breaker=BreakerPolicy(failures=1),
    cache=CachePolicy(max_age_s=0, stale_if_error_s=0),
)


def supergraph(**subgraphs: tuple[str, str]) -> str:
    """A supergraph of subgraphs, each by its address and its root field."""
    sdls = [Subgraph(name, url, f"type Query {{ {name_of}: Int }}") for name, (url, name_of) in subgraphs.items()]
    result = compose(sdls)
    assert result.supergraph_sdl is not None, result.errors
    return result.supergraph_sdl


def names(folder: Path) -> set[str]:
    """What is in a folder."""
    return {path.name for path in folder.iterdir()}


class Listed:
    """A source that gives one thing after the other, the last one for ever."""

    def __init__(self, *found: str | Exception | None) -> None:
        self.found = list(found)
        self.asked = 0

    async def fetch(self) -> Fetched | None:
        self.asked += 1
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(found, Exception):
            raise found
        return None if found is None else fetched(found, "a list")


class CountedWire:
    """A wire that knows whether it is closed."""

    def __init__(self) -> None:
        self.closed = False
        self._wire: Wire = HttpxWire()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        return await self._wire.send(method, url, headers, body, max_body_bytes=max_body_bytes)

    async def aclose(self) -> None:
        self.closed = True
        await self._wire.aclose()


@dataclass
class Bench:
    """What a served supergraph needs, and a record of what it opened."""

    clock: ManualClock = field(default_factory=ManualClock)
    opened: list[tuple[Service, CountedWire]] = field(default_factory=list)

    def open_upstream(self, service: Service, owner: AsyncExitStack) -> Upstream:
        wire = CountedWire()
        self.opened.append((service, wire))
        owner.push_async_callback(wire.aclose)
        store = MemoryStore(100, 1_000_000, self.clock)
        upstream = Upstream(service, wire, store, clock=self.clock, random=Random(1))
        owner.push_async_exit(upstream)
        return upstream

    def serve(self, source: Source, **more: Any) -> ServedSupergraph:
        options: dict[str, Any] = {
            "known": {},
            "open_upstream": self.open_upstream,
            "make_documents": lambda engine: DocumentCache(engine.api_schema),
            "local": None,
            "poll_interval_s": None,
            "last_good": None,
            "clock": self.clock,
            **more,
        }
        services = options.pop("services", {name: Service(name, ONCE) for name in "abc"})
        return ServedSupergraph(source, services, **options)

    @property
    def open_urls(self) -> list[str | None]:
        return [service.graphql for service, wire in self.opened if not wire.closed]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """At the end no task may be left, and no wire open."""
    before: set[asyncio.Task[Any] | None] = {*asyncio.all_tasks()}
    made = Bench()
    yield made
    assert made.open_urls == []
    before |= {asyncio.current_task()}
    await until_true(lambda: asyncio.all_tasks() <= before, "tasks to end")


@asynccontextmanager
async def scripted(count: int = 1) -> AsyncIterator[list[ScriptedUpstream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ScriptedUpstream(types={"id": "ID"})) for _ in range(count)]


class State:
    upstreams: dict[str, Upstream] = {}  # noqa: RUF012 - never changed


@contextmanager
def in_use(snapshot: Snapshot) -> Iterator[None]:
    snapshot.begin()
    try:
        yield
    finally:
        snapshot.end()


async def ask(snapshot: Snapshot, document: str) -> Any:
    """Answer as the gateway does: on one snapshot, which is said to be in use."""
    async with RequestContext(Caller("r", "c"), State()) as context:  # type: ignore[arg-type]
        with in_use(snapshot):
            return await snapshot.engine.execute(document, context=context)


A = supergraph(a=("http://127.0.0.1:9/a", "x"))
B = supergraph(a=("http://127.0.0.1:9/a", "x"), b=("http://127.0.0.1:9/b", "y"))
BAD = SupergraphError("the subgraphs do not compose")
DOWN = SourceError("http://source: down")


# --- start -----------------------------------------------------------------------------------------------------------


async def test_it_serves_what_the_source_has(bench: Bench) -> None:
    async with bench.serve(Listed(A)) as served:
        assert list(served.snapshot.upstreams) == ["a"]
        assert (served.status.origin, served.status.trouble) == ("a list", "")
        assert served.status.loaded_at == bench.clock.wall()
        assert bench.open_urls == ["http://127.0.0.1:9/a"]


async def test_it_is_not_asked_for_outside_of_its_lifetime(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="outside of its lifetime"):
        _ = bench.serve(Listed(A)).snapshot


@pytest.mark.parametrize("wrong", [DOWN, BAD, "{", "type Query { a: Int }", None])
async def test_without_a_supergraph_it_does_not_start(bench: Bench, wrong: Any) -> None:
    with pytest.raises((SourceError, SupergraphError)):
        async with bench.serve(Listed(wrong), last_good=Path("/nowhere/at/all")):
            raise AssertionError


async def test_it_starts_from_the_last_good_copy_and_says_so(bench: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "last.graphql"
    async with bench.serve(Listed(A), last_good=copy):
        assert copy.read_text() == A
    source = Listed(DOWN, DOWN, A)
    async with bench.serve(source, last_good=copy) as served:
        assert served.status.origin == f"{copy} (last good copy)"
        assert served.status.trouble == "http://source: down"
        assert not await served.reload()
        assert served.status.trouble == "http://source: down"
        assert not await served.reload()
        assert (served.status.origin, served.status.trouble) == ("a list", "")


async def test_a_bad_source_is_still_bad_after_starting_from_the_copy(bench: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "last.graphql"
    copy.write_text(A)
    async with bench.serve(Listed(BAD, None), last_good=copy) as served:
        await served.reload()
        assert served.status.trouble == str(BAD)


@pytest.mark.parametrize("content", [b"{", b"\xe9", b""])
async def test_a_copy_that_is_no_use_is_said_to_be_beside_the_cause(
    bench: Bench, tmp_path: Path, content: bytes
) -> None:
    copy = tmp_path / "last.graphql"
    copy.write_bytes(content)
    with pytest.raises(
        SourceError, match=f"http://source: down; and the last good copy, {re.escape(str(copy))}, is of no use"
    ):
        async with bench.serve(Listed(DOWN), last_good=copy):
            raise AssertionError


async def test_the_copy_is_written_whole_or_not_at_all(bench: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "last.graphql"
    beside = tmp_path / "last.new"
    beside.write_text("somebody else's")
    async with bench.serve(Listed(A, B), last_good=copy) as served:
        first = copy.stat().st_ino
        await served.reload()
        assert copy.read_text() == B
        assert copy.stat().st_ino != first
        assert names(tmp_path) == {"last.graphql", "last.new"}
        assert beside.read_text() == "somebody else's"


async def test_a_copy_that_cannot_be_kept_is_logged_and_no_reason_to_stop(bench: Bench, tmp_path: Path) -> None:
    taken = tmp_path / "a folder"
    (taken / "inside").mkdir(parents=True)
    with capture_logs() as logs:
        async with bench.serve(Listed(A), last_good=taken) as served:
            assert list(served.snapshot.upstreams) == ["a"]
    assert [line["event"] for line in logs] == ["last good supergraph not kept"]
    assert names(tmp_path) == {taken.name}


# --- change ----------------------------------------------------------------------------------------------------------


async def test_a_changed_file_is_swapped_whole_and_an_unchanged_one_is_not(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "supergraph.graphql"
    file.write_text(A)
    async with bench.serve(FileSource(file)) as served:
        first = served.snapshot
        assert not await served.reload()
        os.utime(file, ns=(1, 1))
        assert not await served.reload()
        assert served.snapshot is first
        file.write_text(B)
        await bench.clock.advance(60)
        assert await served.reload()
        assert served.snapshot is not first
        assert "y" in served.snapshot.engine.api_schema.query_type.fields  # type: ignore[union-attr]
        assert "y" not in first.engine.api_schema.query_type.fields  # type: ignore[union-attr]
        assert served.status.loaded_at == bench.clock.wall()


async def test_a_bad_one_is_refused_logged_once_and_healed_by_a_good_one(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "supergraph.graphql"
    file.write_text(A)
    async with bench.serve(FileSource(file)) as served:
        first = served.snapshot
        with capture_logs() as logs:
            for bad in ("{", "{ ", "type Query { a: Int }"):
                file.write_text(bad)
                assert not await served.reload()
                assert not await served.reload()
                assert served.snapshot is first
        assert [line["event"] for line in logs] == ["supergraph refused"] * 2  # the first two say the same
        assert "This is not a supergraph" in served.status.trouble
        file.write_text(A)
        assert not await served.reload()
        assert (served.snapshot, served.status.trouble) == (first, "")
        file.write_text(B)
        assert await served.reload()


async def test_a_source_that_is_back_with_nothing_new_is_no_trouble(bench: Bench) -> None:
    async with bench.serve(Listed(A, DOWN, None)) as served:
        await served.reload()
        assert served.status.trouble == str(DOWN)
        await served.reload()
        assert served.status.trouble == ""


async def test_a_refused_one_stays_refused_when_the_source_comes_and_goes(bench: Bench) -> None:
    async with bench.serve(Listed(A, BAD, DOWN, None, A)) as served:
        troubles = []
        for _ in range(4):
            await served.reload()
            troubles.append(served.status.trouble)
        assert troubles == [str(BAD), str(DOWN), str(BAD), ""]


async def test_what_nobody_foresaw_is_refused_too_and_does_not_end_the_polling(bench: Bench) -> None:
    source = Listed(A, ValueError("out of the blue"), B)
    async with bench.serve(source, poll_interval_s=10) as served:
        await bench.clock.advance(10)
        assert served.status.trouble == "the supergraph cannot be loaded: ValueError: out of the blue"
        await bench.clock.advance(10)
        assert served.status.trouble == ""
        assert set(served.snapshot.upstreams) == {"a", "b"}


async def test_it_is_asked_as_often_as_said_until_it_is_closed(bench: Bench) -> None:
    source = Listed(A, B, None)
    async with bench.serve(source, poll_interval_s=10) as served:
        await bench.clock.advance(9.9)
        assert (source.asked, list(served.snapshot.upstreams)) == (1, ["a"])
        await bench.clock.advance(0.2)
        assert (source.asked, list(served.snapshot.upstreams)) == (2, ["a", "b"])
        await bench.clock.advance(30)
        assert source.asked == 5
    await bench.clock.advance(60)
    assert source.asked == 5


async def test_it_can_be_closed_while_it_asks(bench: Bench) -> None:
    class Slow(Listed):
        async def fetch(self) -> Fetched | None:
            if self.asked:
                self.asked += 1
                await asyncio.Event().wait()
            return await super().fetch()

    source = Slow(A)
    async with bench.serve(source, poll_interval_s=10):
        await bench.clock.advance(10)
        assert source.asked == 2


async def test_reloads_at_once_are_one_after_the_other(bench: Bench) -> None:
    go = asyncio.Event()

    class Slow(Listed):
        async def fetch(self) -> Fetched | None:
            found = await super().fetch()
            if self.asked == 2:
                await go.wait()
            return found

    source = Slow(A, B, A)
    async with bench.serve(source) as served:
        both = [asyncio.create_task(served.reload()) for _ in range(2)]
        await bench.clock.settle()
        assert source.asked == 2
        go.set()
        assert await asyncio.gather(*both) == [True, True]
        assert list(served.snapshot.upstreams) == ["a"]


# --- upstreams -------------------------------------------------------------------------------------------------------


async def test_a_subgraph_that_disappears_closes_its_wire_and_one_that_stays_keeps_its_circuit(bench: Bench) -> None:
    async with scripted(2) as (a, b):
        both = supergraph(a=(a.graphql.url, "x"), b=(b.graphql.url, "y"))
        alone = supergraph(a=(a.graphql.url, "x"))
        async with bench.serve(Listed(both, alone, both)) as served:
            a.graphql.behave(status(500))
            await ask(served.snapshot, "{ x }")
            upstream = served.snapshot.upstreams["a"]
            assert upstream.status().health == "unhealthy"
            await served.reload()
            await bench.clock.settle()
            assert bench.open_urls == [a.graphql.url]
            assert served.snapshot.upstreams["a"] is upstream
            await served.reload()
            assert served.snapshot.upstreams["a"].status().health == "unhealthy"
            assert bench.open_urls == [a.graphql.url, b.graphql.url]


async def test_a_subgraph_that_moved_gets_a_new_upstream(bench: Bench) -> None:
    moved = supergraph(a=("http://127.0.0.1:9/elsewhere", "x"))
    async with bench.serve(Listed(A, moved)) as served:
        await served.reload()
        await bench.clock.settle()
        assert bench.open_urls == ["http://127.0.0.1:9/elsewhere"]


async def test_the_address_of_gateway_yaml_wins_and_its_policy_holds_for_the_supergraphs(bench: Bench) -> None:
    services = {"a": Service("a", ONCE, graphql="http://127.0.0.1:9/mine"), "b": Service("b", ONCE)}
    graph = supergraph(
        a=("http://127.0.0.1:9/a", "x"), b=("http://127.0.0.1:9/b", "y"), **{"c-d": ("http://127.0.0.1:9/cd", "z")}
    )
    async with AsyncExitStack() as stack:
        known = {"a": bench.open_upstream(services["a"], stack)}
        async with bench.serve(Listed(graph, A), services=services, known=known) as served:
            upstreams = served.snapshot.upstreams
            assert upstreams["a"] is known["a"]
            assert upstreams["b"].service == Service("b", ONCE, graphql="http://127.0.0.1:9/b")
            assert upstreams["c-d"].service == Service("c-d", ServicePolicy(), graphql="http://127.0.0.1:9/cd")
            await served.reload()
            await bench.clock.settle()
            assert bench.open_urls == ["http://127.0.0.1:9/mine"]  # not ours to close


async def test_what_was_opened_for_a_bad_one_is_closed(bench: Bench) -> None:
    def refuse(engine: Any) -> DocumentCache:
        if "y" in engine.api_schema.query_type.fields:
            raise SupergraphError("not this one")
        return DocumentCache(engine.api_schema)

    async with bench.serve(Listed(A, B), make_documents=refuse) as served:
        assert not await served.reload()
        assert bench.open_urls == ["http://127.0.0.1:9/a"]
        assert served.status.trouble == "not this one"
    with pytest.raises(SupergraphError):
        async with bench.serve(Listed(B), make_documents=refuse):
            raise AssertionError


# --- requests under way ----------------------------------------------------------------------------------------------


def answered(**data: int) -> Any:
    return status(200, body={"data": data})


async def test_requests_under_way_end_on_the_snapshot_they_began_on(bench: Bench) -> None:
    async with scripted() as (a,):
        old = supergraph(a=(a.graphql.url, "x"))
        async with bench.serve(Listed(old, supergraph(b=("http://127.0.0.1:9/b", "y")))) as served:
            silent = hang()

            async def late(exchange: Any) -> Any:
                await silent(exchange)
                return await answered(x=7)(exchange)

            a.graphql.behave(late)
            asking = asyncio.create_task(ask(served.snapshot, "{ x }"))
            await a.graphql.wait_for_calls(1)
            assert await served.reload()
            await bench.clock.settle()
            assert a.graphql.url in bench.open_urls
            silent.release()
            assert await asking == {"data": {"x": 7}}
            await until_true(lambda: bench.open_urls == ["http://127.0.0.1:9/b"], "the old wire to be closed")
            await a.wait_for_connections(0)


async def test_an_upstream_is_kept_for_the_oldest_snapshot_that_uses_it(bench: Bench) -> None:
    async with scripted() as (a,):
        url = a.graphql.url
        first = supergraph(a=(url, "x"))
        second = supergraph(a=(url, "x"), b=("http://127.0.0.1:9/b", "y"))
        third = supergraph(b=("http://127.0.0.1:9/b", "y"))
        async with bench.serve(Listed(first, second, third)) as served:
            oldest = served.snapshot
            a.graphql.behave(answered(x=7))
            with in_use(oldest):
                await served.reload()
                await served.reload()
                await bench.clock.settle()
                assert await ask(oldest, "{ x }") == {"data": {"x": 7}}
                assert url in bench.open_urls
            await until_true(lambda: url not in bench.open_urls, "the wire to be closed")


async def test_closing_does_not_wait_for_requests_under_way(bench: Bench) -> None:
    async with scripted() as (a,):
        first = supergraph(a=(a.graphql.url, "x"))
        asking: asyncio.Task[Any] | None = None
        async with bench.serve(Listed(first, supergraph(b=("http://127.0.0.1:9/b", "y")))) as served:
            a.graphql.behave(hang())
            asking = asyncio.create_task(ask(served.snapshot, "{ x }"))
            await a.graphql.wait_for_calls(1)
            await served.reload()
        await a.graphql.calls[0].wait_for_hang_up()
        await asyncio.gather(asking, return_exceptions=True)


# --- plans and fetches -----------------------------------------------------------------------------------------------


async def test_plans_are_kept_by_document_operation_and_labels(bench: Bench) -> None:
    async with bench.serve(Listed(A)) as served:
        snapshot = served.snapshot
        document = snapshot.documents.get("query One { x } query Two { x }")
        one = snapshot.prepared(document, "One", frozenset())
        assert snapshot.prepared(document, "One", frozenset()) is one
        assert snapshot.prepared(document, "Two", frozenset()) is not one


class Broken:
    def __init__(self, failure: Callable[[], Exception]) -> None:
        self.failure = failure

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        raise self.failure()


async def test_a_fetch_that_breaks_is_logged_and_costs_its_fields(bench: Bench) -> None:
    broken = ("a", Broken(lambda: ValueError("the password is 1234")))
    async with bench.serve(Listed(A), local=broken) as served:
        assert served.snapshot.upstreams == {}
        with capture_logs() as logs:
            answer = await ask(served.snapshot, "{ x }")
        assert answer["data"] == {"x": None}
        assert answer["errors"][0]["extensions"]["code"] == "SUBREQUEST_INTERNAL_ERROR"
        assert "1234" not in str(answer)
        assert [(line["event"], str(line["exc_info"])) for line in logs] == [
            ("fetch failed unexpectedly", "the password is 1234")
        ]


# --- who may see what ------------------------------------------------------------------------------------------------


def guarded(url: str, directive: str) -> str:
    """A supergraph of one field that is guarded."""
    link = (
        'extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ["@authenticated", "@policy"]) '
    )
    result = compose([Subgraph("a", url, f"{link} type Query {{ x: Int {directive} }}")])
    assert result.supergraph_sdl is not None, result.errors
    return result.supergraph_sdl


async def test_what_a_newer_supergraph_guards_is_guarded_from_then_on(bench: Bench) -> None:
    async with scripted() as (a,):
        a.graphql.behave(answered(x=7))
        url = a.graphql.url
        async with bench.serve(Listed(supergraph(a=(url, "x")), guarded(url, "@authenticated"))) as served:
            executor = FederatedExecutor(served, Random(1))
            assert await answer_of(executor, Caller("r", "c"), "{ x }") == {"data": {"x": 7}}
            assert await served.reload()
            withheld = await answer_of(executor, Caller("r", "c"), "{ x }")
            assert withheld["data"] == {"x": None}
            assert len(a.graphql.calls) == 1
            assert await answer_of(executor, Caller("r", "c", authenticated=True), "{ x }") == {"data": {"x": 7}}


async def test_a_request_whose_policies_are_being_looked_up_keeps_its_snapshot(bench: Bench) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def grant(policies: frozenset[str], _caller: Caller) -> frozenset[str]:
        asked.set()
        await go_on.wait()
        return policies

    async with scripted() as (a,):
        a.graphql.behave(answered(x=7))
        old = guarded(a.graphql.url, '@policy(policies: [["p"]])')
        new = supergraph(b=("http://127.0.0.1:9/b", "y"))
        async with bench.serve(Listed(old, new), access=Access(grant)) as served:
            executor = FederatedExecutor(served, Random(1))
            asking = asyncio.create_task(answer_of(executor, Caller("r", "c"), "{ x }"))
            await asked.wait()
            assert await served.reload()
            await bench.clock.settle()
            go_on.set()
            assert await asking == {"data": {"x": 7}}
            await until_true(lambda: a.graphql.url not in bench.open_urls, "the old wire to be closed")
