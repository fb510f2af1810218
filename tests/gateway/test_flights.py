"""`server.dedupe_inflight`: what is shared, with whom, and what becomes of it when clients go."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

import pytest
import pytest_asyncio
from starlette.responses import Response

from clients.policy import ServicePolicy
from clients.service import Service
from clients.transports.httpx_wire import HttpxWire
from gateway.flights import QueryFlights, QueryKeys
from gateway.http import Answer
from tests.gateway.identity.support import known
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Answered, Gateway, running_gateway
from tests.testkit.upstream import Behaviour, Exchange, hang, ok, status
from tests.testkit.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Two upstreams, one after the other: while the second one hangs, a request that joins asks the first one no more. What
# the upstreams' own pipelines share does not hide it, for that call has ended.
QUERY = 'query A { invoice(id: "1") { number customer { name } } }'
DATA = {"invoice": {"number": "INV-1", "customer": {"name": "Customer 1"}}}


def configured(**server: Any) -> dict[str, Any]:
    off = {"cache": {"stale_if_error_s": 0}}
    services = {"customers": {**off, "rest": None, "forward": ["user-agent"]}, "invoices": {**off, "rest": None}}
    return {"server": {"dedupe_inflight": True, **server}, "services": services}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gateway() -> AsyncIterator[Gateway]:
    # httpx aborts at once what is cancelled, so that upstreams can tell
    async with running_gateway(configured(), wires=lambda _: HttpxWire()) as running:
        yield running


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    for upstream in (shared_gateway.customers, shared_gateway.invoices):
        upstream.graphql.heal()
        upstream.graphql.forget()
    return shared_gateway


class Crowd:
    """Requests that wait for the customers' upstream, which hangs until it is released and behaves as is said then."""

    def __init__(self, gateway: Gateway, then: Behaviour | None = None) -> None:
        self.gateway = gateway
        self.tasks: list[asyncio.Task[Answered]] = []
        self._then = then or ok()
        self._released = asyncio.Event()
        gateway.customers.graphql.behave(self._hang)

    async def _hang(self, exchange: Exchange) -> Response | None:
        await self._released.wait()
        return await self._then(exchange)

    async def ask(
        self, query: str = QUERY, headers: Mapping[str, str] | None = None, **variables: Any
    ) -> asyncio.Task[Answered]:
        """Ask, and return once the gateway has got as far as waiting."""
        return await self.add(self.gateway.ask(query, headers, **variables))

    async def add(self, asking: Coroutine[Any, Any, Answered]) -> asyncio.Task[Answered]:
        """As `ask`, otherwise asked."""
        task = asyncio.create_task(asking)
        self.tasks.append(task)
        await self.until_in_flight(sum(not task.done() for task in self.tasks))
        await self.gateway.customers.graphql.wait_for_calls(1)
        return task

    async def until_in_flight(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while await self._in_flight() != count:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0)

    async def _in_flight(self) -> int:
        load = await self.gateway.ask("{ health { load { inFlight } } }")
        return int(load.data["health"]["load"]["inFlight"]) - 1  # but for this one

    async def leave(self, task: asyncio.Task[Answered]) -> None:
        """Hang up, and return once the gateway has noticed."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.until_in_flight(sum(not task.done() for task in self.tasks))

    async def release(self) -> list[Answered]:
        """Let the upstream answer; the answers of those who wait."""
        self._released.set()
        return await asyncio.gather(*(task for task in self.tasks if not task.cancelled()))


def calls(gateway: Gateway) -> tuple[int, int]:
    return len(gateway.invoices.graphql.calls), len(gateway.customers.graphql.calls)


async def test_queries_alike_share_an_execution_and_each_keeps_its_ids(gateway: Gateway) -> None:
    crowd = Crowd(gateway)
    for number in range(3):
        ids = {"x-request-id": f"r{number}", "x-correlation-id": f"c{number}", "traceparent": f"00-{number}"}
        await crowd.ask(headers=ids)
    answers = await crowd.release()
    assert [answer.body for answer in answers] == [{"data": DATA}] * 3
    assert [answer.response.headers["x-request-id"] for answer in answers] == ["r0", "r1", "r2"]
    assert [answer.response.headers["x-correlation-id"] for answer in answers] == ["c0", "c1", "c2"]
    assert calls(gateway) == (1, 1)
    gateway.customers.graphql.heal()
    await gateway.ask(QUERY)
    assert calls(gateway) == (2, 2)  # nothing is kept


async def test_it_is_off_unless_it_is_asked_for() -> None:
    async with running_gateway(configured(dedupe_inflight=False)) as gateway:
        crowd = Crowd(gateway)
        await crowd.ask()
        await crowd.ask()
        await crowd.release()
        assert len(gateway.invoices.graphql.calls) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"x-tenant-id": "acme"},
        {"x-user-id": "ada"},
        {"authorization": "Bearer other"},
        {"x-of-nobody": "1"},  # a resolver may read it
        {"user-agent": "another"},  # one service is sent it
        {"cookie": "a=1"},
    ],
    ids=str,
)
async def test_another_caller_or_header_has_its_own_execution(gateway: Gateway, headers: dict[str, str]) -> None:
    crowd = Crowd(gateway)
    first = {"x-tenant-id": "globex", "x-user-id": "bob", "authorization": "Bearer one"}
    await crowd.ask(headers=first)
    await crowd.ask(headers={**first, **headers})
    await crowd.release()
    assert len(gateway.invoices.graphql.calls) == 2


async def test_tokens_of_other_scopes_or_tenants_have_their_own_execution() -> None:
    sections: dict[str, Any] = {
        "imports": ["schema.customers", "schema.invoices"],
        "ops": {"public": True},
        **configured(),
    }
    async with known(issuer={"tenant_claim": "tid"}, **sections) as asked:
        crowd = Crowd(asked.gateway)
        first = asked.issuer.bearer()
        others: list[dict[str, Any]] = [
            {"scope": "a"},
            {"tid": "acme"},
            {"sub": "bob"},
            {"exp": int(asked.clock.wall().timestamp()) + 60},
        ]
        for headers in (first, first, first, *(asked.issuer.bearer(**claims) for claims in others)):
            await crowd.ask(headers=headers)
        assert {answer.response.status_code for answer in await crowd.release()} == {200}
        assert len(asked.gateway.invoices.graphql.calls) == 1 + len(others)


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (QUERY.replace("name }", "name  }"), {}),
        (QUERY.replace("query A", "query B"), {}),
        (QUERY, {"unused": 1}),
    ],
)
async def test_another_document_or_other_variables_have_their_own_execution(
    gateway: Gateway, query: str, variables: dict[str, Any]
) -> None:
    crowd = Crowd(gateway)
    await crowd.ask()
    await crowd.ask(query, **variables)
    await crowd.release()
    assert len(gateway.invoices.graphql.calls) == 2


async def test_another_operation_of_the_document_has_its_own_execution(gateway: Gateway) -> None:
    crowd = Crowd(gateway)
    document = f"{QUERY} {QUERY.replace('query A', 'query B')}"
    for name in ("A", "B", "B"):
        await crowd.add(posted(gateway, {"query": document, "operationName": name}))
    assert [answer.data for answer in await crowd.release()] == [DATA] * 3
    assert len(gateway.invoices.graphql.calls) == 2


async def posted(gateway: Gateway, body: dict[str, Any]) -> Answered:
    response = await gateway.http.post("/graphql", json=body)
    return Answered(response, response.json())


async def got(gateway: Gateway, params: dict[str, Any], headers: dict[str, str]) -> Answered:
    response = await gateway.http.get("/graphql", params=params, headers=headers)
    return Answered(response, response.json())


async def test_a_query_by_get_shares_with_one_by_post_and_each_is_written_as_it_asked(gateway: Gateway) -> None:
    crowd = Crowd(gateway)
    headers = {"content-type": "application/json"}  # lets a GET pass the check for forged requests
    await crowd.add(
        got(
            gateway,
            {"query": QUERY, "variables": "{}"},
            {**headers, "accept": "application/graphql-response+json"},
        )
    )
    await crowd.ask(headers={"accept": "application/json"})
    by_get, by_post = await crowd.release()
    assert by_get.response.content == by_post.response.content
    assert by_get.response.headers["content-type"].startswith("application/graphql-response+json")
    assert by_post.response.headers["content-type"].startswith("application/json")
    assert calls(gateway) == (1, 1)


async def test_mutations_never_share(gateway: Gateway) -> None:
    hanging = hang()
    gateway.invoices.graphql.behave(hanging)
    paying = [asyncio.create_task(gateway.ask('mutation { payInvoice(id: "1") { id } }')) for _ in range(2)]
    await gateway.invoices.graphql.wait_for_calls(2)  # both at once
    hanging.release()
    await asyncio.gather(*paying)


async def test_errors_name_the_request_that_was_executed(gateway: Gateway) -> None:
    crowd = Crowd(gateway, then=status(500))
    await crowd.ask(headers={"x-request-id": "first"})
    await crowd.ask(headers={"x-request-id": "second"})
    answers = await crowd.release()
    assert [answer.codes for answer in answers] == [["UPSTREAM_SERVER_ERROR"]] * 2
    assert [answer.errors[0]["extensions"]["requestId"] for answer in answers] == ["first", "first"]
    assert [answer.response.headers["x-request-id"] for answer in answers] == ["first", "second"]
    assert calls(gateway) == (1, 1)


async def test_when_the_first_client_goes_the_execution_goes_on_for_the_others(gateway: Gateway) -> None:
    crowd = Crowd(gateway)
    first = await crowd.ask()
    await crowd.ask()
    await crowd.ask()
    await crowd.leave(first)
    answers = await crowd.release()
    assert [answer.body for answer in answers] == [{"data": DATA}] * 2
    assert calls(gateway) == (1, 1)
    assert not gateway.customers.graphql.calls[0].hung_up


async def test_when_all_clients_are_gone_the_execution_ends(gateway: Gateway) -> None:
    crowd = Crowd(gateway)
    first, second = await crowd.ask(), await crowd.ask()
    await crowd.leave(first)
    await crowd.leave(second)
    (call,) = gateway.customers.graphql.calls
    await call.wait_for_hang_up()
    gateway.customers.graphql.heal()
    assert (await gateway.ask(QUERY)).body == {"data": DATA}


class Execution:
    """One execution: ends when the test says so."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.runs: list[asyncio.Future[Answer]] = []

    async def __call__(self) -> Answer:
        self.runs.append(asyncio.get_running_loop().create_future())
        return await self.runs[-1]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now=0.0)


@pytest.fixture
def execution(clock: ManualClock) -> Execution:
    return Execution(clock)


@pytest_asyncio.fixture(loop_scope="module")
async def flights(clock: ManualClock) -> AsyncIterator[QueryFlights]:
    async with QueryFlights(QueryKeys((), code=True), clock) as open_flights:
        yield open_flights


async def begun(
    flights: QueryFlights, execution: Execution, deadline: float, *, runs: int, key: str = "k"
) -> asyncio.Task[Answer]:
    task = asyncio.create_task(flights.share(key, deadline, execution))
    await execution.clock.settle()
    assert len(execution.runs) == runs
    return task


async def test_the_body_is_made_once(flights: QueryFlights, execution: Execution) -> None:
    first, second = await begun(flights, execution, 10, runs=1), await begun(flights, execution, 10, runs=1)
    execution.runs[0].set_result(Answer(data={"a": 1}))
    assert (await first).body == b'{"data":{"a":1}}'
    assert (await first).body is (await second).body


async def test_nobody_joins_an_execution_that_may_outlast_its_own_deadline(
    flights: QueryFlights, execution: Execution
) -> None:
    patient = await begun(flights, execution, 10, runs=1)
    impatient = await begun(flights, execution, 5, runs=2)
    for number, run in enumerate(execution.runs):
        run.set_result(Answer(data=number))
    assert ((await patient).data, (await impatient).data) == (0, 1)


async def test_who_has_more_time_executes_anew_when_the_executions_time_was_up(
    flights: QueryFlights, execution: Execution
) -> None:
    first, second = await begun(flights, execution, 10, runs=1), await begun(flights, execution, 15, runs=1)
    await execution.clock.advance(10)
    late = Answer(data=None, errors=[{"message": "late"}])
    execution.runs[0].set_result(late)
    await execution.clock.settle()
    assert (await first).errors == late.errors
    execution.runs[1].set_result(Answer(data="whole"))
    assert (await second).data == "whole"


async def test_an_error_before_the_deadline_is_everybodys(flights: QueryFlights, execution: Execution) -> None:
    first, second = await begun(flights, execution, 10, runs=1), await begun(flights, execution, 15, runs=1)
    execution.runs[0].set_result(Answer(data=None, errors=[{"message": "down"}]))
    assert (await first).errors == (await second).errors == [{"message": "down"}]


async def test_what_nobody_foresaw_is_everybodys_too(flights: QueryFlights, execution: Execution) -> None:
    first, second = await begun(flights, execution, 10, runs=1), await begun(flights, execution, 10, runs=1)
    execution.runs[0].set_exception(ValueError("unforeseen"))
    for each in (first, second):
        with pytest.raises(ValueError, match="unforeseen"):
            await each


async def test_who_comes_while_an_abandoned_execution_ends_begins_another(
    flights: QueryFlights, clock: ManualClock
) -> None:
    ended = asyncio.Event()
    runs = 0

    async def slow_to_end() -> Answer:
        nonlocal runs
        runs += 1
        if runs > 1:
            return Answer(data=runs)
        try:
            await asyncio.Event().wait()
        finally:
            await ended.wait()
        raise AssertionError("it is cancelled")

    first = asyncio.create_task(flights.share("k", 10, slow_to_end))
    await clock.settle()
    first.cancel()
    await clock.settle()
    assert not first.done()  # what a request began has ended when it has
    assert (await flights.share("k", 10, slow_to_end)).data == 2
    ended.set()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_closing_ends_what_is_under_way(clock: ManualClock, execution: Execution) -> None:
    async with QueryFlights(QueryKeys((), code=True), clock) as flights:
        asking = await begun(flights, execution, 10, runs=1)
    assert execution.runs[0].cancelled()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_without_code_of_the_application_only_what_services_are_sent_tells_requests_apart() -> None:
    service = Service("crm", ServicePolicy(), forward=("x-locale", "user-agent", "x-request-id", "authorization"))
    headers = {"cookie": "a=1", "x-request-id": "r1", "x-locale": "de", "user-agent": "curl"}
    without = QueryKeys([service], code=False).counted
    assert without(headers) == without({**headers, "cookie": "b=2", "x-request-id": "r2"})
    assert without(headers) != without({**headers, "x-locale": "fr"})
    with_code = QueryKeys([service], code=True).counted
    assert with_code(headers) == with_code({**headers, "x-request-id": "r2", "accept": "*/*"})
    assert with_code(headers) != with_code({**headers, "cookie": "b=2"})
    assert with_code(headers) != with_code({**headers, "user-agent": "wget"})
