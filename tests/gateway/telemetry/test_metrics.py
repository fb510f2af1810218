"""What /metrics tells, read by the parsers of the Prometheus client."""

import asyncio
import os
import string
from collections.abc import Iterable
from pathlib import Path
from random import Random

from graphql import OperationType, parse
from prometheus_client import parser
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics

from clients.call import Caller
from gateway.context import RequestContext
from gateway.http.documents import Operation
from gateway.http.endpoint import Answer
from gateway.telemetry.config import RequestLogConfig
from gateway.telemetry.figures import OTHER_CODE, RequestFigures
from gateway.telemetry.loop_lag import LoopLag
from gateway.telemetry.metrics import METRICS, PROCESS_METRICS, GatewayMetrics
from gateway.telemetry.requests import RequestLog
from gateway.telemetry.workers import Workers
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.upstream import status


class Samples(dict[tuple[str, frozenset[str]], float]):
    """Values by name and labels' values."""

    def at(self, name: str, *labels: str) -> float:
        return self[name, frozenset(labels)]


def samples(families: Iterable[Family]) -> Samples:
    return Samples({(s.name, frozenset(s.labels.values())): s.value for f in families for s in f.samples})


async def scraped(gateway: Gateway, path: str = "/metrics") -> Samples:
    response = await gateway.http.get(path)
    assert response.status_code == 200
    return samples(parser.text_string_to_metric_families(response.text))


async def test_it_tells_what_became_of_attempts_calls_and_requests() -> None:
    once = {"breaker": {"failures": 1}, "cache": {"stale_if_error_s": 60}, "retry": {"attempts": 2, "backoff_s": 0.001}}
    async with running_gateway({"services": {"customers": once}}) as gateway:
        await gateway.ask('{ customer(id: "1") { name } }')
        gateway.customers.graphql.behave(status(500))
        gateway.customers.rest.behave(status(500))
        await gateway.ask('{ customer(id: "1") { name } }')
        await gateway.ask('{ customer(id: "2") { name } }')
        await gateway.ask("{ customer }")
        read = await scraped(gateway)
    assert read.at("integration_requests_total", "customers", "graphql", "succeeded") == 1
    assert read.at("integration_requests_total", "customers", "graphql", "failed") == 1
    assert read.at("integration_errors_total", "customers", "rest", "UPSTREAM_SERVER_ERROR") == 1
    assert read.at("integration_circuit_breaker_state", "customers", "graphql") == 1
    assert read.at("integration_circuit_breaker_state", "invoices", "graphql") == 0
    assert read.at("integration_circuit_breaker_trips_total", "customers", "rest") == 1
    assert read.at("integration_request_duration_seconds_count", "customers", "graphql") == 2
    assert read.at("integration_request_duration_seconds_bucket", "customers", "graphql", "+Inf") == 2
    assert read.at("integration_request_duration_seconds_sum", "customers", "graphql") > 0
    assert read.at("integration_calls_total", "customers", "stale") == 1
    assert read.at("integration_calls_total", "customers", "failed") == 1
    assert read.at("integration_batch_keys_bucket", "customers", "1.0") == 3
    assert read.at("integration_cache_rows_total", "customers", "stale") == 1
    assert read.at("integration_upstream_health", "customers") == 0
    assert read.at("gateway_requests_total", "query", "ok") == 1
    assert read.at("gateway_requests_total", "query", "degraded") == 1
    assert (
        read.at("gateway_requests_total", "query", "errors") + read.at("gateway_requests_total", "query", "failed") == 1
    )
    assert read.at("gateway_requests_total", "none", "refused") == 1
    assert read.at("gateway_request_errors_total", "GRAPHQL_VALIDATION_FAILED") == 1
    assert read.at("gateway_request_duration_seconds_count", "query") == 3
    assert read.at("gateway_document_cache_hits_total") == 1
    assert read.at("process_resident_memory_bytes") > 1e7
    assert read.at("process_cpu_seconds_total") > 0
    assert read.at("python_gc_collections_total", "0") >= 0


async def test_retries_are_counted() -> None:
    policy = {"retry": {"attempts": 3, "backoff_s": 0.001}, "breaker": {"failures": 100}}
    async with running_gateway({"services": {"bank": policy}}) as gateway:
        gateway.bank.rest.behave(status(503))
        await gateway.ask('{ customer(id: "1") { balance } }')
        read = await scraped(gateway)
    assert read.at("integration_retries_total", "bank") == 2
    assert read.at("integration_requests_total", "bank", "rest", "failed") == 3


async def test_every_metric_is_in_the_table_with_its_help_and_its_type() -> None:
    kinds = {metric.name: metric.kind for metric in METRICS}
    async with running_gateway() as gateway:
        await gateway.ask('{ customer(id: "1") { name } }')
        text = (await gateway.http.get("/metrics")).text
    families = {
        f.name + ("_total" if f.type == "counter" else ""): f for f in parser.text_string_to_metric_families(text)
    }
    assert set(families) <= {*kinds, *PROCESS_METRICS}
    for name, family in families.items():
        assert family.documentation
        assert family.type == kinds.get(name, family.type) != "unknown"


async def test_it_speaks_openmetrics_to_who_asks_for_it() -> None:
    async with running_gateway() as gateway:
        await gateway.ask('{ customer(id: "1") { name } }')
        accept = "application/openmetrics-text; version=1.0.0; charset=utf-8,text/plain;q=0.5"
        response = await gateway.http.get("/metrics", headers={"accept": accept})
        assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        read = samples(openmetrics.text_string_to_metric_families(response.text))  # type: ignore[no-untyped-call]
        assert read.at("integration_requests_total", "customers", "graphql", "succeeded") == 1
        for odd in ("application/openmetrics-text; version=x", "text/plain; version=..", "*/*", ""):
            assert (await gateway.http.get("/metrics", headers={"accept": odd})).status_code == 200


async def test_ten_thousand_made_up_names_add_no_series() -> None:
    random, figures = Random(1), RequestFigures()
    log = RequestLog(RequestLogConfig(sample=0, always=()), figures=figures)
    node = parse("{ a }").definitions[0]
    for _ in range(10_000):
        operation = Operation(_made_up(random), OperationType.QUERY, node)  # type: ignore[arg-type]
        context = RequestContext(Caller("r", "c"), None)  # type: ignore[arg-type]
        code = {"message": "no", "extensions": {"code": _made_up(random)}}
        log.finished(operation, context, Answer(data={}, errors=[code]), 0.1, variables={_made_up(random): 1})
    read = await GatewayMetrics(lambda: None, figures, LoopLag()).read()
    assert len(read) < 30
    (errors,) = [each for each in read if each.name == "gateway_request_errors_total"]
    assert (errors.labels, errors.value) == ((OTHER_CODE,), 10_000)


async def test_what_clients_make_up_over_a_socket_adds_no_series() -> None:
    random = Random(1)
    async with running_gateway() as gateway:
        await gateway.ask('query A { customer(id: "1") { name } }')
        await gateway.ask("{ nothing }")
        await gateway.http.post("/graphql", json={"query": "query A { __typename }", "operationName": "B"})
        before = set(await scraped(gateway))
        for _ in range(100):
            headers = {"x-request-id": _made_up(random), "x-tenant-id": _made_up(random), "accept": "application/json"}
            await gateway.ask(f"query {_made_up(random)} {{ {_made_up(random)}: __typename }}", headers)
            await gateway.ask(f"{{ {_made_up(random)} }}", headers)
            wanted = {"query": "query A { __typename }", "operationName": _made_up(random)}
            await gateway.http.post(f"/graphql?{_made_up(random)}", json=wanted)
            await gateway.http.get(f"/{_made_up(random)}")
        after = set(await scraped(gateway))
    assert after == before
    assert len(after) < 400


def _made_up(random: Random) -> str:
    return "".join(random.choices(string.ascii_letters, k=12))


async def test_a_code_that_is_in_no_table_is_counted_as_other() -> None:
    async with running_gateway({"imports": ["tests.gateway.telemetry.odd_codes"]}) as gateway:
        for index in range(20):
            await gateway.ask(f"{{ odd(code: {index}) }}")
        read = await scraped(gateway)
    codes = {labels: value for (name, labels), value in read.items() if name == "gateway_request_errors_total"}
    assert codes == {frozenset([OTHER_CODE]): 20}


async def test_it_can_be_elsewhere_or_off() -> None:
    async with running_gateway({"metrics": {"path": "/internal/metrics"}}) as gateway:
        assert await scraped(gateway, "/internal/metrics")
        assert (await gateway.http.get("/metrics")).status_code == 404
    async with running_gateway({"metrics": {"enabled": False}}) as gateway:
        assert (await gateway.http.get("/metrics")).status_code == 404


async def test_the_lag_of_the_loop_is_seen() -> None:
    lag = LoopLag()
    with lag:
        await asyncio.sleep(0.3)
        blocking = asyncio.get_running_loop().time() + 0.6
        while asyncio.get_running_loop().time() < blocking:
            pass
        await asyncio.sleep(0.3)
    assert lag.max_s > 0.2
    assert sum(lag.read().counts) >= 2


async def test_any_worker_answers_for_all_and_those_that_are_gone_are_left_out(tmp_path: Path) -> None:
    async def tell() -> bytes:
        return b"here"

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    other = await asyncio.start_unix_server(lambda _, w: _say(w, b"there"), tmp_path / "1")
    dead = await asyncio.start_unix_server(silent, tmp_path / "2")
    dead.close()  # Python 3.11 leaves its socket in the folder
    await dead.wait_closed()
    async with Workers(tmp_path, tell) as workers:
        assert await workers.others() == {"1": b"there"}
        assert sorted(os.listdir(tmp_path)) == sorted(["1", workers.name])  # noqa: PTH208
    assert os.listdir(tmp_path) == ["1"]  # noqa: PTH208
    other.close()


async def _say(writer: asyncio.StreamWriter, what: bytes) -> None:
    writer.write(what)
    await writer.drain()
    writer.close()
