"""The lines of requests: which there are, what is in them, and what never is."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
from graphql import OperationType, parse
from msgspec.structs import replace

from clients.call import Caller, ServedBy
from gateway.context import RequestContext
from gateway.federation.planner import Planner
from gateway.federation.supergraph import parse_supergraph
from gateway.http.documents import Operation
from gateway.http.endpoint import Answer
from gateway.http.errors import MalformedRequest, Overloaded
from gateway.telemetry import logs
from gateway.telemetry.config import RequestLogConfig
from gateway.telemetry.plans import PlanNames, plan_text
from gateway.telemetry.requests import RequestLog
from tests.testkit.gateway import running_gateway
from tests.testkit.upstream import errors, status

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged."""
    stream = io.StringIO()
    logs.configure(json=True, level="info", stream=stream, mask=["Nickname"])
    yield stream
    structlog.reset_defaults()


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """What is logged, as data."""
    return lambda: [json.loads(line) for line in stream.getvalue().split("\n") if line]


def operation(name: str | None = "Named") -> Operation:
    return Operation(name, OperationType.QUERY, parse("{ a }").definitions[0])  # type: ignore[arg-type]


def context(caller: Caller | None = None) -> RequestContext:
    return RequestContext(caller or Caller("r1", "c1"), None)  # type: ignore[arg-type]


GOOD = Answer(data={})
BAD = Answer(data={}, errors=[{"message": "no", "extensions": {"code": "UPSTREAM_TIMEOUT"}}])
STALE = Answer(
    data={}, extensions={"upstreams": [{"service": "crm", "servedBy": "STALE", "reason": "CIRCUIT_OPEN", "ageMs": 5}]}
)


def test_a_request_that_is_not_in_the_sample_has_no_line(lines: Lines) -> None:
    log = RequestLog(RequestLogConfig(sample=0))
    log.finished(operation(), context(), GOOD, 0.1)
    log.refused(MalformedRequest("no"), "r1")
    assert lines() == []


def test_the_sample_is_as_large_as_it_should_be(lines: Lines) -> None:
    log = RequestLog(RequestLogConfig(sample=0.1), random=Random(4))
    for _ in range(2_000):
        log.finished(operation(), context(), GOOD, 0.1)
    assert 150 < len(lines()) < 250


@pytest.mark.parametrize(("answer", "why"), [(BAD, "errors"), (STALE, "degraded")])
def test_errors_and_degraded_answers_have_a_line_unless_they_are_not_wanted(
    lines: Lines, answer: Answer, why: str
) -> None:
    RequestLog(RequestLogConfig(sample=0)).finished(operation(), context(), answer, 0.1)
    assert [why in line for line in lines()] == [True]
    RequestLog(RequestLogConfig(sample=0, always=())).finished(operation(), context(), answer, 0.1)
    assert len(lines()) == 1


def test_a_slow_request_has_its_calls_slowest_first(lines: Lines) -> None:
    caller = Caller("r1", "c1")
    caller.tally.note("crm", "customers", ServedBy.GRAPHQL, 0.2)
    caller.tally.note("bank", "accounts", None, 1.5)
    RequestLog(RequestLogConfig(sample=0, slow_s=1)).finished(operation(), context(caller), GOOD, 1.7)
    (line,) = lines()
    assert (line["event"], line["level"], line["fetches"]) == ("slow request", "warning", 2)
    assert line["served_by"] == {"graphql": 1, "failed": 1}
    assert line["calls"] == [
        {"service": "bank", "operation": "accounts", "served_by": "failed", "duration_ms": 1500.0},
        {"service": "crm", "operation": "customers", "served_by": "graphql", "duration_ms": 200.0},
    ]


async def test_a_slow_federated_request_has_its_plan_without_the_clients_values(lines: Lines) -> None:
    plan = _plan('{ customer(id: "hunter2", limit: 4711) { name } }')
    same = _plan('{ customer(id: "other", limit: 12) { name } }')
    other = _plan('{ customer(id: "hunter2", limit: 4711) { id } }')
    RequestLog(RequestLogConfig(slow_s=1)).finished(operation(), context(), replace(GOOD, plan=plan), 1.7)
    (line,) = lines()
    assert line["plan_text"].splitlines()[0] == "1 crm"
    assert 'customer(id: "…", limit: 0)' in line["plan_text"]
    names = PlanNames()
    assert line["plan"] == names.name(plan) == names.name(same) != names.name(other)
    assert (
        len(plan_text(_plan("{ " + " ".join(f"a{i}: customer(id: 1) {{ name }}" for i in range(200)) + " }"))) < 2_100
    )


def _plan(query: str) -> Any:
    sdl = """
    schema @link(url: "https://specs.apollo.dev/link/v1.0")
           @link(url: "https://specs.apollo.dev/join/v0.3") { query: Query }
    directive @link(url: String) repeatable on SCHEMA
    directive @join__graph(name: String!, url: String!) on ENUM_VALUE
    directive @join__type(graph: join__Graph!, key: String) repeatable on OBJECT | SCALAR
    directive @join__field(graph: join__Graph) repeatable on FIELD_DEFINITION
    enum join__Graph { CRM @join__graph(name: "crm", url: "http://crm") }
    type Query @join__type(graph: CRM) { customer(id: ID, limit: Int): Customer }
    type Customer @join__type(graph: CRM) { id: ID name: String }
    """
    return Planner(parse_supergraph(sdl)).plan(parse(query), None, frozenset())


def test_refusals_have_a_line_but_overload_does_not(lines: Lines) -> None:
    log = RequestLog()
    log.refused(MalformedRequest("account DE89370400440532013000 said no"), "r1")
    log.refused(Overloaded(1), "r2")
    (line,) = lines()
    assert (line["event"], line["code"], line["request_id"]) == ("request refused", "BAD_REQUEST", "r1")
    assert "account" not in str(line)


def test_variables_are_written_only_when_asked_for_and_masked_by_name_at_any_depth(lines: Lines) -> None:
    given = {
        "id": 4111111111111111,
        "input": {"accessToken": "CANARY", "nick_name": "CANARY", "list": [{"Password": "CANARY", "city": "Bern"}]},
    }
    RequestLog().finished(operation(), context(), GOOD, 0.1, variables=given)
    RequestLog(RequestLogConfig(variables=True)).finished(operation(), context(), GOOD, 0.1, variables=given)
    silent, said = lines()
    assert "variables" not in silent
    assert said["variables"] == {
        "id": "…1111",
        "input": {"accessToken": "***", "nick_name": "***", "list": [{"Password": "***", "city": "Bern"}]},
    }


def test_long_variables_are_cut(lines: Lines, stream: io.StringIO) -> None:
    log = RequestLog(RequestLogConfig(variables=True))
    log.finished(operation(), context(), GOOD, 0.1, variables={"text": "x" * 100_000})
    log.finished(operation(), context(), GOOD, 0.1, variables={"rows": [{"a": index} for index in range(100_000)]})
    log.finished(operation("N" * 100_000), context(), GOOD, 0.1)
    assert len(stream.getvalue()) < 8_000
    assert len(lines()) == 3


def test_a_line_that_cannot_be_made_breaks_nothing(lines: Lines) -> None:
    broken = Answer(data={}, errors=[{"message": "without extensions"}])
    RequestLog().finished(operation(), context(), broken, 0.1)
    (line,) = lines()
    assert (line["event"], line["request_id"]) == ("no line for a request", "r1")


def test_a_line_that_cannot_be_written_breaks_nothing(tmp_path: Path) -> None:
    gone = (tmp_path / "log").open("w")
    logs.configure(json=True, level="info", stream=gone)
    log = RequestLog()
    log.finished(operation(), context(), GOOD, 0.1)
    gone.close()  # as a pipe whose reader has gone
    log.finished(operation(), context(), GOOD, 0.1)
    structlog.reset_defaults()


def _chained() -> ValueError:
    try:
        try:
            raise OSError("CANARY inside")
        except OSError as inner:
            raise ValueError("CANARY\n2026-11-22 [info] forged \x1b[2J") from inner
    except ValueError as error:
        return error


def test_what_an_exception_says_is_left_out_unless_asked_for() -> None:
    line = logs.Finish()(None, "error", {"event": "masked error", "exc_info": _chained()})
    assert "CANARY" not in str(line)
    assert "which led to" in line["exception"]
    assert line["exception"].endswith("ValueError")
    assert "in _chained" in line["exception"]
    told = logs.Finish(exception_messages=True)(None, "error", {"event": "masked error", "exc_info": _chained()})
    assert "CANARY inside" in told["exception"]


@pytest.mark.parametrize("json", [True, False])
def test_no_text_can_forge_a_line_or_steer_a_terminal(json: bool) -> None:
    stream = io.StringIO()
    logs.configure(json=json, level="info", stream=stream, exception_messages=True)
    caller = Caller("r1", "c1", tenant="acme\n2026-11-22T10:00:00Z [info] forged\x1b[2J\x9b\u2028\u202e\ud800")
    RequestLog().finished(operation(), context(caller), GOOD, 0.1)
    RequestLog().masked(_chained(), "r1")
    structlog.reset_defaults()
    written = stream.getvalue()
    starts = [line for line in written.splitlines() if line.startswith(("2026-11-22", "{"))]
    assert not any("forged" in line[:60] and "tenant" not in line and "exception" not in line for line in starts)
    assert not [c for c in written if not c.isprintable() and c != "\n"]
    if not json:
        assert len([line for line in written.splitlines() if not line.startswith("  ")]) == 3


async def test_no_canary_is_in_any_line_or_page_whatever_carries_it(lines: Lines, stream: io.StringIO) -> None:
    overrides = {
        "log": {"requests": {"slow_s": 1e-6}},
        "services": {"customers": {"headers": {"x-api-key": "CANARY"}}},
    }
    async with running_gateway(overrides) as gateway:
        sent = {"authorization": "Bearer CANARY", "cookie": "session=CANARY", "x-api-key": "CANARY"}
        gateway.customers.graphql.behave(errors("CANARY is locked", code="INTERNAL_SERVER_ERROR"))
        gateway.customers.rest.behave(status(500))
        await gateway.ask(
            'query ($id: ID!) { customer(id: $id) { name } invoice(id: "CANARY") { id } }', sent, id="CANARY"
        )
        await gateway.ask("{ CANARY", sent)
        await gateway.ask("{ CANARY }", sent)
        await gateway.http.post(
            "/graphql?token=CANARY", content=b"CANARY", headers={"content-type": "application/json"}
        )
        await gateway.http.get("/graphql", params={"query": "{ customer }", "operationName": "CANARY"}, headers=sent)
        for page in (
            "metrics",
            "monitoring/metrics",
            "monitoring/performance",
            "monitoring/circuit-breakers",
            "health",
        ):
            assert "CANARY" not in (await gateway.http.get(f"/{page}", headers=sent)).text
    events = [line["event"] for line in lines()]
    assert {"slow request", "request refused", "attempt failed"} <= set(events)
    assert "CANARY" not in stream.getvalue()


async def test_an_upstreams_address_with_a_secret_in_it_is_not_told(stream: io.StringIO) -> None:
    async with running_gateway() as running:
        gone = running.customers.graphql.url + "?token=CANARY"
    async with running_gateway({"services": {"customers": {"graphql": gone}}}) as gateway:
        await gateway.ask('{ customer(id: "1") { name } }')
    assert "attempt failed" in stream.getvalue()
    assert "CANARY" not in stream.getvalue()


def test_processes_that_share_a_stream_write_whole_lines(tmp_path: Path) -> None:
    script = (
        "import sys, structlog; from gateway.telemetry import logs; logs.configure(json=True, level='info');"
        "log = structlog.get_logger();"
        "[log.info('line', who=sys.argv[1], text='x' * 20_000) for _ in range(100)]"
    )
    with (tmp_path / "log").open("ab") as file:
        running = [
            subprocess.Popen([sys.executable, "-c", script, str(number)], stderr=file, env={**os.environ})
            for number in range(2)
        ]
        assert [each.wait(60) for each in running] == [0, 0]
    written = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len(written) == 200
    assert {line["who"] for line in written} == {"0", "1"}
