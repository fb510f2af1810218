"""What a client sees when upstreams fail: the other protocol, the last good rows, or null with an error."""

import asyncio

import pytest

from clients.clock import SystemClock
from clients.transports.httpx_wire import HttpxWire
from gateway.runtime import Wires, pyreqwest_wire
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import INVOICES, Gateway, canonical, running_gateway
from tests.testkit.upstream import Behaviour, errors, hang, malformed, ok, reset, status, truncated, wrong_shape
from tests.testkit.waiting import until_true

QUERY = "{ invoices(first: 5) { id customer { id name email tier } } }"
CIRCUITS = '{ upstreams(name: "customers") { status circuits { protocol state consecutiveFailures reason trips } } }'


async def circuits_of_customers(gateway: Gateway) -> dict[str, dict[str, object]]:
    data = (await gateway.ask(CIRCUITS)).data
    return {circuit.pop("protocol"): circuit for circuit in data["upstreams"][0]["circuits"]}


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (status(500), "UPSTREAM_SERVER_ERROR"),
        (status(503), "UPSTREAM_SERVER_ERROR"),
        (malformed(), "UPSTREAM_MALFORMED_RESPONSE"),
        (wrong_shape(), "UPSTREAM_MALFORMED_RESPONSE"),
        (truncated(), "UPSTREAM_CONNECTION_LOST"),
        (reset(), "UPSTREAM_CONNECTION_LOST"),
    ],
    ids=["500", "503", "malformed", "wrong shape", "truncated", "reset"],
)
async def test_when_graphql_fails_rest_gives_the_same_rows(gateway: Gateway, behaviour: Behaviour, code: str) -> None:
    good = await gateway.ask(QUERY)
    gateway.customers.graphql.behave(behaviour)
    answered = await gateway.ask(QUERY)
    assert canonical(answered.data) == canonical(good.data)
    assert answered.upstreams == [
        {
            "service": "customers",
            "path": ["invoices", "@", "customer"],
            "servedBy": "REST",
            "reason": code,
            "ageMs": None,
            "count": 5,
        }
    ]
    circuits = await circuits_of_customers(gateway)
    assert (circuits["GRAPHQL"]["consecutiveFailures"], circuits["REST"]["consecutiveFailures"]) == (1, 0)


async def test_when_graphql_times_out_rest_gives_the_same_rows() -> None:
    async with running_gateway({"services": {"customers": {"timeout_s": 0.2}}}) as gateway:
        gateway.customers.graphql.behave(hang())
        answered = await gateway.ask(QUERY)
        assert answered.data["invoices"][0]["customer"]["name"] == "Customer 1"
        assert answered.upstreams[0]["reason"] == "UPSTREAM_TIMEOUT"
        await gateway.customers.graphql.calls[0].wait_for_hang_up()


async def test_when_only_graphql_is_refused_rest_gives_the_same_rows() -> None:
    async with running_gateway({"services": {"customers": {"graphql": "http://127.0.0.1:9/graphql"}}}) as gateway:
        answered = await gateway.ask(QUERY)
        assert answered.data["invoices"][4]["customer"]["name"] == "Customer 5"
        assert answered.upstreams[0]["reason"] == "UPSTREAM_UNREACHABLE"


async def test_when_both_are_down_the_last_good_rows_are_served_and_say_how_old_they_are(gateway: Gateway) -> None:
    good = await gateway.ask(QUERY)
    await gateway.customers.refuse()
    answered = await gateway.ask(QUERY)
    assert answered.data == good.data
    assert answered.errors == []
    (note,) = answered.upstreams
    assert (note["servedBy"], note["reason"], note["count"]) == ("STALE", "SERVICE_UNAVAILABLE", 5)
    assert note["ageMs"] >= 0
    assert answered.response.headers["x-cache"] == "STALE customers"
    assert "x-cache" not in good.response.headers
    served = (
        await gateway.ask('{ upstreams(name: "customers") { servedBy { stale } cache { stale oldestStaleAgeMs } } }')
    ).data
    assert served["upstreams"][0]["servedBy"] == {"stale": 1}
    assert served["upstreams"][0]["cache"]["stale"] == 5
    assert served["upstreams"][0]["cache"]["oldestStaleAgeMs"] >= 0


async def test_with_nothing_kept_the_field_is_null_with_a_typed_error_and_the_rest_is_intact(gateway: Gateway) -> None:
    await gateway.customers.refuse()
    answered = await gateway.ask('{ invoice(id: "7") { number customer { name } } }')
    assert answered.data == {"invoice": {"number": "INV-7", "customer": None}}
    (error,) = answered.errors
    assert error["path"] == ["invoice", "customer"]
    assert error["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert error["extensions"]["service"] == "customers"
    assert [cause["code"] for cause in error["extensions"]["causes"]] == ["UPSTREAM_UNREACHABLE"] * 2
    assert error["extensions"]["requestId"] == answered.response.headers["x-request-id"]


async def test_a_failed_bank_leaves_the_balance_null_and_everything_else_intact(gateway: Gateway) -> None:
    await gateway.bank.refuse()
    answered = await gateway.ask('{ customer(id: "3") { name balance } }')
    assert answered.data == {"customer": {"name": "Customer 3", "balance": None}}
    assert answered.codes == ["UPSTREAM_UNREACHABLE"]


async def test_a_partly_known_batch_answers_what_it_knows(gateway: Gateway) -> None:
    await gateway.ask("{ customers(ids: [1, 2]) { name } }")
    await gateway.customers.refuse()
    answered = await gateway.ask("{ customers(ids: [1, 2, 3]) { name } }")
    assert answered.data["customers"] == [{"name": "Customer 1"}, {"name": "Customer 2"}, None]
    assert [error["path"] for error in answered.errors] == [["customers", 2]]
    assert answered.upstreams[0]["count"] == 2


async def test_a_mutation_is_sent_once_and_never_served_stale_where_a_query_is_retried_and_is() -> None:
    pay, read = 'mutation { payInvoice(id: "1") { id } }', '{ invoice(id: "1") { id } }'
    patient = {"invoices": {"retry": {"attempts": 3, "backoff_s": 0.001}, "breaker": {"failures": 100}}}
    async with running_gateway({"services": patient}) as gateway:
        graphql, rest = gateway.invoices.graphql, gateway.invoices.rest
        graphql.behave(status(200, body={"data": {"payInvoice": INVOICES[0]}}))
        assert (await gateway.ask(pay)).data == {"payInvoice": {"id": "1"}}
        graphql.behave(ok())
        assert (await gateway.ask(read)).data == {"invoice": {"id": "1"}}
        for endpoint in (graphql, rest):
            endpoint.behave(status(503))
            endpoint.forget()
        answered = await gateway.ask(pay)
        assert answered.data == {"payInvoice": None}
        assert answered.codes == ["UPSTREAM_SERVER_ERROR"]
        assert answered.upstreams == []
        assert (len(graphql.calls), len(rest.calls)) == (1, 0)  # it may have happened: REST is not asked either
        graphql.forget()
        assert (await gateway.ask(read)).upstreams[0]["servedBy"] == "STALE"
        assert (len(graphql.calls), len(rest.calls)) == (3, 3)


async def test_two_tenants_never_see_each_others_kept_rows(gateway: Gateway) -> None:
    query = '{ customer(id: "1") { name } }'
    assert (await gateway.ask(query, {"x-tenant-id": "a"})).data["customer"] == {"name": "Customer 1"}
    await gateway.customers.refuse()
    assert (await gateway.ask(query, {"x-tenant-id": "a"})).upstreams[0]["servedBy"] == "STALE"
    other = await gateway.ask(query, {"x-tenant-id": "b"})
    assert other.data == {"customer": None}
    assert other.codes == ["SERVICE_UNAVAILABLE"]
    assert (await gateway.ask(query)).data == {"customer": None}


async def test_two_credentials_never_see_each_others_kept_rows(gateway: Gateway) -> None:
    query = '{ customer(id: "1") { name } }'
    await gateway.ask(query, {"authorization": "Bearer a"})
    await gateway.customers.refuse()
    assert (await gateway.ask(query, {"authorization": "Bearer a"})).upstreams[0]["servedBy"] == "STALE"
    assert (await gateway.ask(query, {"authorization": "Bearer b"})).data == {"customer": None}


async def test_at_the_threshold_the_circuit_opens_and_the_wire_is_left_alone(gateway: Gateway) -> None:
    gateway.customers.graphql.behave(status(500))
    for _ in range(5):
        await gateway.ask('{ customer(id: "1") { name } }')
    assert len(gateway.customers.graphql.calls) == 5
    answered = await gateway.ask('{ customer(id: "1") { name } }')
    assert len(gateway.customers.graphql.calls) == 5
    assert answered.data == {"customer": {"name": "Customer 1"}}
    assert answered.upstreams[0]["reason"] == "CIRCUIT_OPEN"
    circuits = await circuits_of_customers(gateway)
    assert circuits["GRAPHQL"] == {
        "state": "OPEN",
        "consecutiveFailures": 5,
        "reason": "5 failures in a row (last: UPSTREAM_SERVER_ERROR)",
        "trips": 1,
    }
    assert circuits["REST"]["state"] == "CLOSED"


@pytest.mark.parametrize("probes", [1, 3])
async def test_after_the_wait_50_callers_make_exactly_the_configured_probes(probes: int) -> None:
    clock = ManualClock()
    breaker = {"failures": 1, "open_s": 30, "probes": probes, "successes": probes, "probe_timeout_s": 5}
    overrides = {"services": {"customers": {"breaker": breaker, "cache": {"stale_if_error_s": 0}, "timeout_s": 4}}}
    async with running_gateway(overrides, clock=clock) as gateway:
        graphql = gateway.customers.graphql
        graphql.behave(status(500))
        await gateway.ask('{ customer(id: "1") { name } }')
        await clock.advance(40)
        held = hang()
        graphql.behave(held)
        graphql.forget()
        asked = [asyncio.create_task(gateway.ask(f'{{ customer(id: "{i}") {{ name }} }}')) for i in range(1, 51)]
        answered_by_rest = 50 - probes
        await gateway.customers.rest.wait_for_calls(1 + answered_by_rest)
        assert len(graphql.calls) == probes
        held.release()
        answers = await asyncio.gather(*asked)
        assert [a.data["customer"]["name"] for a in answers] == [f"Customer {i}" for i in range(1, 51)]
        assert (await circuits_of_customers(gateway))["GRAPHQL"]["state"] == "CLOSED"


@pytest.mark.parametrize("wires", [pyreqwest_wire, lambda _: HttpxWire()], ids=["pyreqwest", "httpx"])
async def test_a_client_that_hangs_up_leaves_no_task_and_no_connection(wires: Wires) -> None:
    async with running_gateway({"services": {"customers": {"timeout_s": 1}}}, wires=wires) as gateway:
        await gateway.ask("{ health { status } }")
        before = asyncio.all_tasks()
        gateway.customers.graphql.behave(hang())
        asking = asyncio.create_task(gateway.ask(QUERY))
        await gateway.customers.graphql.wait_for_calls(1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await gateway.server.wait_for_connections(0)
        await gateway.customers.graphql.calls[0].wait_for_hang_up()
        await until_true(lambda: asyncio.all_tasks() <= before, "the tasks of the request to end")
        circuits = await circuits_of_customers(gateway)
        assert circuits["GRAPHQL"]["consecutiveFailures"] == 0
        assert len(gateway.customers.graphql.calls) == 1


async def test_the_deadline_leaves_a_partial_answer() -> None:
    overrides = {"server": {"request_timeout_s": 0.3}}
    async with running_gateway(overrides) as gateway:
        gateway.customers.graphql.behave(hang())
        began = SystemClock.now()
        answered = await gateway.ask('{ invoice(id: "1") { number customer { name } } }')
        assert SystemClock.now() - began < 5
        assert answered.data == {"invoice": {"number": "INV-1", "customer": None}}
        assert answered.codes == ["DEADLINE_EXCEEDED"]


async def test_an_upstreams_own_words_are_for_the_caller_who_met_them(gateway: Gateway) -> None:
    gateway.invoices.graphql.behave(errors("account of Mr Smith is locked", code="INTERNAL_SERVER_ERROR"))
    gateway.invoices.rest.behave(status(500))
    met = await gateway.ask("{ invoices { id } }")
    assert "Mr Smith" in met.errors[0]["message"]
    read = await gateway.ask('{ upstreams(name: "invoices") { circuits { protocol lastError { code message } } } }')
    assert read.data["upstreams"][0]["circuits"][0]["lastError"] == {
        "code": "UPSTREAM_SERVER_ERROR",
        "message": "invoices: GraphQL invoices reported INTERNAL_SERVER_ERROR",
    }
    assert "Mr Smith" not in read.response.text
