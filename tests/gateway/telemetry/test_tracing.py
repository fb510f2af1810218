"""Traces as a collector receives them: what is recorded, how it nests, and what upstreams are told of it."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import structlog

from demo.products import products_schema
from demo.reviews import reviews_schema
from gateway.app import create_app
from gateway.config import ConfigError, parse
from gateway.telemetry import logs
from tests.gateway.subscriptions.support import TICKS, client
from tests.testkit.collector import Collector, Received, running_collector
from tests.testkit.federation import FederatedGateway, ScriptedSubgraph, federated_gateway
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.ports import bound_port
from tests.testkit.upstream import hang, sequence, status
from tests.testkit.waiting import until_true

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CANARY = "kx-canary-5512"


def tracing(collector: Collector, **more: Any) -> dict[str, Any]:
    return {"endpoint": collector.url, "sample": 1, "every_s": 0.02, **more}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with running_collector() as running:
        yield running


@asynccontextmanager
async def traced(
    collector: Collector, overrides: Mapping[str, Any] | None = None, /, **more: Any
) -> AsyncIterator[Gateway]:
    async with running_gateway({"tracing": tracing(collector, **more), **(overrides or {})}) as gateway:
        yield gateway


class Shop:
    """A gateway over two subgraphs."""

    def __init__(self, gateway: FederatedGateway, products: ScriptedSubgraph, reviews: ScriptedSubgraph) -> None:
        self.gateway = gateway
        self.products = products
        self.reviews = reviews


@asynccontextmanager
async def shop(collector: Collector, **overrides: Any) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        products = await stack.enter_async_context(ScriptedSubgraph.of(products_schema()))
        reviews = await stack.enter_async_context(ScriptedSubgraph.of(reviews_schema()))
        retrying = {"retry": {"attempts": 2, "backoff_s": 0.001}, "cache": {"stale_if_error_s": 0}}
        gateway = await stack.enter_async_context(
            federated_gateway(
                {"products": products, "reviews": reviews},
                {"tracing": tracing(collector), **overrides},
                services={"reviews": retrying},
            )
        )
        products.graphql.forget()
        reviews.graphql.forget()
        yield Shop(gateway, products, reviews)


async def until_reads(gateway: Gateway, reading: str) -> None:
    """Return once /metrics has that line."""
    async with asyncio.timeout(20):
        while f"{reading}.0\n" not in (await gateway.http.get("/metrics")).text:
            pass


def traceparents(calls: list[Any]) -> list[str]:
    return [call.headers["traceparent"] for call in calls]


def told(span: Received) -> str:
    return f"00-{span.trace_id}-{span.id}-01"


CROSSING = "query Crossing { products(first: 2) { name reviews(first: 1) { body } } }"


async def test_a_federated_query_with_a_retry_is_one_tree_of_spans(collector: Collector) -> None:
    async with shop(collector) as running:
        running.reviews.graphql.behave(sequence(status(503)))
        answered = await running.gateway.ask(CROSSING)
        assert answered.errors == []
        await collector.until(9)
        assert collector.tree() == [
            "POST /graphql",
            "  graphql.parse_and_validate",
            "  graphql.plan",
            "  graphql.execute",
            "    fetch products",
            "      POST",
            "    fetch reviews",
            "      POST",
            "      POST",
        ]
        assert len({span.trace_id for span in collector.spans}) == 1
        by_id = {span.id: span for span in collector.spans}
        for span in collector.spans:
            if span.parent:
                assert by_id[span.parent].start <= span.start <= span.end <= by_id[span.parent].end
        (root,) = collector.named("POST /graphql")
        assert (root.kind, root.parent, root.error) == (2, "", False)
        assert root.attributes["http.response.status_code"] == 200
        assert root.attributes["graphql.operation.name"] == "Crossing"
        assert root.attributes["graphql.operation.type"] == "query"
        assert root.attributes["graphql.document.hash"].startswith("sha256:")
        assert root.attributes["breakwater.request_id"] == answered.response.headers["x-request-id"]
        assert root.attributes["breakwater.correlation_id"] == answered.response.headers["x-correlation-id"]
        (fetch,) = collector.named("fetch reviews")
        assert (fetch.attributes["breakwater.batch.keys"], fetch.attributes["breakwater.operation"]) == (2, "Product")
        assert (fetch.attributes["breakwater.served_by"], fetch.error) == ("graphql", False)
        ((name, retry),) = fetch.events
        assert (name, retry["error.type"], retry["breakwater.attempt"]) == ("retry", "UPSTREAM_SERVER_ERROR", 1)
        assert retry["breakwater.delay_s"] >= 0
        first, second = [span for span in collector.named("POST") if span.parent == fetch.id]
        assert (first.kind, first.error, first.status) == (3, True, "UPSTREAM_SERVER_ERROR")
        assert (first.attributes["http.response.status_code"], first.attributes["breakwater.attempt"]) == (503, 1)
        assert (second.error, second.attributes["http.request.resend_count"]) == (False, 1)
        assert second.attributes["url.full"] == running.reviews.graphql.url
        assert second.attributes["server.address"] == "127.0.0.1"
        assert second.attributes["breakwater.protocol"] == "graphql"
        # each attempt is another parent for what the upstream does
        assert traceparents(running.reviews.graphql.calls) == [told(first), told(second)]
        collector.forget()
        await running.gateway.ask(CROSSING)
        await collector.until(6)
        assert [line.strip() for line in collector.tree()[:2]] == ["POST /graphql", "graphql.execute"]  # known by now


BOTH = "{ invoices(first: 2) { id customer { name } } }"


async def test_a_fallback_to_rest_and_a_stale_answer_are_told_with_their_reason(collector: Collector) -> None:
    async with traced(collector) as gateway:
        gateway.customers.graphql.behave(status(500))
        await gateway.ask(BOTH)
        await collector.until(8)
        (fetch,) = collector.named("fetch customers")
        assert fetch.attributes["breakwater.served_by"] == "rest"
        assert fetch.attributes["breakwater.reason"] == "UPSTREAM_SERVER_ERROR"
        assert fetch.attributes["breakwater.cache"] == "miss"
        graphql, rest = [span for span in collector.spans if span.parent == fetch.id]
        assert (graphql.attributes["breakwater.protocol"], rest.attributes["breakwater.protocol"]) == (
            "graphql",
            "rest",
        )
        assert (rest.name, rest.attributes["url.template"]) == ("GET /customers", "/customers")
        assert traceparents(gateway.customers.rest.calls) == [told(rest)]
        await gateway.customers.refuse()
        collector.forget()
        await gateway.ask(BOTH)
        await collector.until(7)
        (stale,) = collector.named("fetch customers")
        assert (stale.attributes["breakwater.cache"], stale.attributes["breakwater.rows.stale"]) == ("stale", 2)
        assert stale.attributes["breakwater.reason"] == "SERVICE_UNAVAILABLE"
        assert (stale.attributes["breakwater.age_s"] >= 0, stale.error) == (True, False)
        (root,) = collector.named("POST /graphql")
        assert root.attributes["breakwater.degraded"] == 2


async def test_a_call_that_an_open_circuit_refuses_says_so_and_has_no_attempt(collector: Collector) -> None:
    overrides = {"services": {"bank": {"breaker": {"failures": 1}, "cache": {"stale_if_error_s": 0}}}}
    query = '{ customer(id: "1") { account { balance } } }'
    async with traced(collector, overrides) as gateway:
        await gateway.bank.refuse()
        await gateway.ask(query)
        await until_true(lambda: len(collector.named("fetch bank")) == 1, "the first fetch")
        await gateway.ask(query)
        await until_true(lambda: len(collector.named("fetch bank")) == 2, "the second fetch")
        failed, refused = collector.named("fetch bank")
        assert (failed.error, failed.status) == (True, "UPSTREAM_UNREACHABLE")
        assert (refused.error, refused.status) == (True, "CIRCUIT_OPEN")
        assert refused.events[-1] == ("refused by open circuit", {"breakwater.protocol": "rest"})
        assert [span for span in collector.spans if span.parent == refused.id] == []
        await until_true(lambda: len(collector.named("POST /graphql")) == 2, "both requests")
        assert collector.named("POST /graphql")[1].attributes["graphql.error_codes"] == "CIRCUIT_OPEN"


@pytest.mark.parametrize("flags", ["01", "00"])
async def test_a_clients_trace_is_continued_and_its_decision_kept(collector: Collector, flags: str) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-{flags}", "tracestate": "vendor=1,other=2", "baggage": "a=1"}
    async with traced(collector, sample=0) as gateway:
        await gateway.ask("{ invoices(first: 1) { id } }", headers)
        (call,) = gateway.invoices.graphql.calls
        assert call.headers["tracestate"] == "vendor=1,other=2"
        assert "baggage" not in call.headers
        if flags == "00":
            assert call.headers["traceparent"] == f"00-{TRACE}-{PARENT}-00"
            return
        await collector.until(5)
        (root,) = collector.named("POST /graphql")
        assert (root.trace_id, root.parent, root.state) == (TRACE, PARENT, "vendor=1,other=2")
        (attempt,) = collector.named("POST")
        assert call.headers["traceparent"] == told(attempt) == f"00-{TRACE}-{attempt.id}-01"
    assert (flags == "01") is bool(collector.spans)


async def test_a_share_of_none_records_nothing_and_tells_upstreams_so(collector: Collector) -> None:
    async with traced(collector, sample=0, baggage=True) as gateway:
        for _ in range(2):
            await gateway.ask("{ invoices(first: 1) { id } }", {"baggage": "a=1"})
    first, second = gateway.invoices.graphql.calls
    for call in (first, second):
        version, trace_id, span_id, flags = call.headers["traceparent"].split("-")
        assert (version, len(trace_id), len(span_id), flags) == ("00", 32, 16, "00")
        assert call.headers["baggage"] == "a=1"
    assert first.headers["traceparent"] != second.headers["traceparent"]
    assert collector.spans == []


@pytest.mark.parametrize(
    "traceparent",
    ["", "00", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE.upper()}-{PARENT}-01"],
)
async def test_a_traceparent_that_is_none_begins_a_new_trace(collector: Collector, traceparent: str) -> None:
    async with traced(collector) as gateway:
        await gateway.ask("{ __typename }", {"traceparent": traceparent, "tracestate": "vendor=1"})
        await collector.until(1)
    (root,) = collector.named("POST /graphql")
    assert (root.parent, root.state, root.trace_id == TRACE) == ("", "", False)


async def test_a_client_that_is_not_trusted_gets_a_trace_apart_that_is_linked_to_its_own(collector: Collector) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    async with traced(collector, trust_incoming=False) as gateway:
        await gateway.ask("{ __typename }", headers)
    (root,) = collector.named("POST /graphql")
    assert (root.parent, root.trace_id == TRACE, root.links) == ("", False, [PARENT])


async def test_without_tracing_a_traceparent_goes_where_it_is_forwarded_to_and_nowhere_else() -> None:
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    services = {"services": {"invoices": {"forward": ["traceparent"]}}}
    async with running_gateway(services) as gateway:
        await gateway.ask(BOTH, sent)
        assert gateway.invoices.graphql.calls[0].headers["traceparent"] == sent["traceparent"]
        assert "traceparent" not in gateway.customers.graphql.calls[0].headers


async def test_nothing_secret_and_no_account_number_is_in_any_span(collector: Collector) -> None:
    number = "DE89370400440532013000"
    said = status(500, body={"errors": [{"message": f"{CANARY} {number}"}]}, headers={"x-said": CANARY})
    key = {"headers": {"x-api-key": CANARY}}
    async with traced(collector, {"services": dict.fromkeys(("customers", "invoices"), key)}) as gateway:
        gateway.invoices.graphql.behave(said)
        gateway.invoices.rest.behave(said)
        headers = {"authorization": f"Bearer {CANARY}", "cookie": CANARY, "x-custom": CANARY, "baggage": f"a={CANARY}"}
        query = f'query Of{number} {{ customer(id: "{number}") {{ name }} invoices(first: 1) {{ id }} }}'
        await gateway.ask(query, headers)
        await gateway.http.get("/graphql", params={"query": "{ __typename }", "key": CANARY}, headers=headers)
        await gateway.ask(f'{{ customer(id: "{CANARY}") {{ broken }} }}', headers)
    assert len(collector.named("POST /graphql")) == 2
    for text in (CANARY, number):
        assert text.encode() not in b"".join(collector.bodies)
    (of_number,) = [s for s in collector.named("POST /graphql") if "graphql.operation.name" in s.attributes]
    assert of_number.attributes["graphql.operation.name"] == "OfDE…3000"


async def test_what_is_refused_is_told_by_its_code(collector: Collector) -> None:
    async with traced(collector) as gateway:
        await gateway.ask("{ nothing }")
        await gateway.http.post("/graphql", content=b"{", headers={"content-type": "application/json"})
    invalid, malformed = collector.named("POST /graphql")
    assert (invalid.attributes["error.type"], invalid.error) == ("GRAPHQL_VALIDATION_FAILED", False)
    assert (malformed.attributes["http.response.status_code"], malformed.error) == (400, False)
    (part,) = collector.named("graphql.parse_and_validate")
    assert (part.parent, part.error, part.status) == (invalid.id, True, "GRAPHQL_VALIDATION_FAILED")


async def test_the_tenant_is_told_unless_it_is_not_to_be(collector: Collector) -> None:
    for tenant in (True, False):
        async with traced(collector, tenant=tenant) as gateway:
            await gateway.ask("{ __typename }", {"x-tenant-id": "acme"})
    first, second = collector.named("POST /graphql")
    assert (first.attributes["breakwater.tenant"], "breakwater.tenant" in second.attributes) == ("acme", False)


async def test_who_joins_a_call_under_way_is_linked_to_it(collector: Collector) -> None:
    async with traced(collector) as gateway:
        hanging = hang()
        gateway.customers.graphql.behave(hanging)
        query = '{ customer(id: "1") { name } }'
        first = asyncio.create_task(gateway.ask(query))
        await until_true(lambda: len(gateway.customers.graphql.calls) == 1, "the first call")
        second = asyncio.create_task(gateway.ask(query))
        await until_reads(gateway, 'integration_calls_in_flight{service="customers"} 2')
        hanging.release()
        await asyncio.gather(first, second)
    flying, joined = collector.named("fetch customers")
    assert (joined.attributes["breakwater.joined"], joined.links) == (True, [flying.id])
    assert len([span for span in collector.spans if span.parent in {flying.id, joined.id}]) == 1


async def test_queries_that_share_an_execution_are_linked(collector: Collector) -> None:
    async with traced(collector, {"server": {"dedupe_inflight": True}}) as gateway:
        hanging = hang()
        gateway.customers.graphql.behave(hanging)
        query = '{ customer(id: "1") { name } }'
        first = asyncio.create_task(gateway.ask(query))
        await until_true(lambda: len(gateway.customers.graphql.calls) == 1, "the first call")
        second = asyncio.create_task(gateway.ask(query))
        await until_reads(gateway, "gateway_requests_in_flight 2")
        hanging.release()
        await asyncio.gather(first, second)
    beginner, joined = collector.named("POST /graphql")
    assert (joined.attributes["breakwater.joined"], joined.links) == (True, [beginner.id])
    assert len(collector.named("graphql.execute")) == 1


async def test_every_event_of_a_subscription_has_a_trace_of_its_own(collector: Collector) -> None:
    overrides = {"imports": ["schema.customers", TICKS]}
    async with traced(collector, overrides) as gateway, client(gateway) as socket:
        await socket.subscribe("subscription { count(to: 2) { customer { name } } }")
        for _ in range(2):
            await socket.data()
        assert (await socket.receive())["type"] == "complete"
        await socket.subscribe('{ customer(id: "9") { name } }', "2")
        await socket.data()
    events = collector.named("subscription event")
    assert len({event.trace_id for event in events}) == 2
    assert collector.tree(events[0].trace_id) == ["subscription event", "  fetch customers", "    POST"]
    assert events[0].attributes["graphql.operation.type"] == "subscription"
    (query,) = collector.named("graphql over websocket")
    assert collector.tree(query.trace_id) == [
        "graphql over websocket",
        "  graphql.execute",
        "    fetch customers",
        "      POST",
    ]


async def test_the_operations_of_one_request_are_told_apart_by_their_executions(collector: Collector) -> None:
    async with traced(collector, {"server": {"batching": {}}}) as gateway:
        body = [{"query": "query One { __typename }"}, {"query": "query Two { __typename }"}]
        await gateway.http.post("/graphql", json=body)
    names = {span.attributes["graphql.operation.name"] for span in collector.named("graphql.execute")}
    assert (names, len(collector.named("POST /graphql"))) == ({"One", "Two"}, 1)


async def test_what_waits_is_sent_at_the_end_with_the_headers_and_the_name_that_were_given(
    collector: Collector,
) -> None:
    given: dict[str, Any] = {"headers": {"authorization": "Bearer k"}, "service_name": "edge", "every_s": 600}
    async with traced(collector, **given) as gateway:
        await gateway.ask("{ __typename }")
        assert collector.headers == []
    (request,) = collector.headers
    assert (request["authorization"], request["content-type"]) == ("Bearer k", "application/x-protobuf")
    (root,) = collector.named("POST /graphql")
    assert root.resource["service.name"] == "edge"
    assert root.resource["service.instance.id"]


async def test_a_collector_that_says_nothing_holds_up_neither_requests_nor_the_end(collector: Collector) -> None:
    collector.behave = None
    async with traced(collector, flush_s=0.05, every_s=600, batch=3, queue=5) as gateway:
        await gateway.ask("{ __typename }")
        await collector.until_asked()
        for _ in range(4):
            assert (await gateway.ask("{ __typename }")).data == {"__typename": "Query"}
        await until_reads(gateway, 'gateway_trace_spans_total{outcome="dropped"} 3')
    assert collector.spans == []


@pytest.mark.parametrize("answer", [400, 503, None])
async def test_a_collector_that_does_not_take_spans_breaks_nothing_and_they_are_counted(
    collector: Collector, answer: int | None
) -> None:
    stream = io.StringIO()
    logs.configure(json=True, level="info", stream=stream)
    try:
        collector.behave = answer or 200
        with bound_port() as nobody:
            more: dict[str, Any] = {"endpoint": f"http://127.0.0.1:{nobody}/v1/traces"} if answer is None else {}
            async with traced(collector, timeout_s=0.2, every_s=600, batch=3, **more) as gateway:
                answered = await gateway.ask("{ __typename }")
                await until_reads(gateway, 'gateway_trace_spans_total{outcome="failed"} 3')
                collector.behave = 200
        assert answered.data == {"__typename": "Query"}
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert [line["lost"] for line in lines if line["event"] == "the collector does not take spans"] == [3]
    finally:
        structlog.reset_defaults()


async def test_the_line_of_a_recorded_request_names_its_trace(collector: Collector) -> None:
    stream = io.StringIO()
    logs.configure(json=True, level="info", stream=stream)
    try:
        async with traced(collector, sample=0) as gateway:
            await gateway.ask("{ __typename }", {"traceparent": f"00-{TRACE}-{PARENT}-01"})
            await gateway.ask("{ __typename }")
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert [line.get("trace_id") for line in lines if line["event"] == "request"] == [TRACE, None]
    finally:
        structlog.reset_defaults()


IMPORTED = """
import sys
{before}
from gateway.app import create_app
from gateway.config import ConfigError, parse
try:
    create_app(parse({text!r}, {{}}))
except ConfigError as error:
    print(error)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "google")))
"""


def imported(text: str, before: str = "") -> str:
    code = IMPORTED.format(before=before, text=text)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_without_the_section_nothing_of_it_is_imported() -> None:
    assert imported("{}") == "[]\n"


def test_without_its_packages_the_section_is_refused_and_says_what_to_install() -> None:
    said = imported("tracing: {}", before="sys.modules['google.protobuf'] = None")
    assert "tracing: needs OpenTelemetry; install it with: pip install 'breakwater[tracing]'" in said


def test_the_sdks_own_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    app = create_app(parse("tracing: {}", {}))
    assert type(app._endpoint).__name__ == "GraphQLEndpoint"


async def test_what_the_section_does_not_say_may_be_in_the_environment(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.removesuffix("/v1/traces"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    async with running_gateway({"tracing": {"sample": 1}}) as gateway:
        await gateway.ask("{ __typename }")
    (root,) = collector.named("POST /graphql")
    assert (root.resource["service.name"], root.resource["deployment.environment"]) == ("named", "test")
    assert collector.headers[0]["api-key"] == "k1"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{ endpoint: 'collector:4318' }", "tracing.endpoint: expected a URL such as http://collector:4318/v1/traces"),
        ("{ endpoint: 'http://c:4318' }", "tracing.endpoint: has no path, and is used as it is; most collectors take"),
        ("{ endpoint: 'http://me:pw@c/v1/traces' }", "tracing.endpoint: expected neither user nor password"),
        ("{ headers: { content-type: a } }", "tracing.headers.content-type: is written by whoever sends the spans"),
        ("{ headers: { key: 'a\u00e9' } }", "tracing.headers.key: has characters that no header may have"),
        ("{ service_name: ' ' }", "tracing.service_name: is empty"),
        ("{ batch: 10, queue: 5 }", "tracing.batch: is more than tracing.queue (5) lets wait"),
        ("{ sample: 2 }", "tracing.sample: "),
        ("{ sampler: 1 }", "tracing.sampler: unknown key"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"tracing: {text}", {})
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("tracing", "entry", "place"),
    [
        ("{}", "{ rest: 'http://a', forward: [x-request-id, Traceparent] }", "services.crm.forward[1]: traceparent"),
        ("{}", "{ rest: 'http://a', headers: { tracestate: a } }", "services.crm.headers.tracestate: tracestate"),
        ("{ baggage: true }", "{ rest: 'http://a', forward: [baggage] }", "services.crm.forward[0]: baggage"),
    ],
)
def test_a_header_that_tracing_sends_is_not_to_be_sent_twice(tracing: str, entry: str, place: str) -> None:
    with pytest.raises(ConfigError, match=r"is sent to every service by tracing") as refused:
        parse(f"tracing: {tracing}\nservices: {{ crm: {entry} }}", {})
    assert place in str(refused.value)
    parse(f"services: {{ crm: {entry} }}", {})


def test_no_key_shows_in_the_section() -> None:
    config = parse("tracing: { endpoint: 'http://c/v1/traces?key=k-secret', headers: { key: k-secret } }", {})
    assert "k-secret" not in repr(config)
