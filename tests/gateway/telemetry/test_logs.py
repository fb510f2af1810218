"""Logs: structured, and without account numbers."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.telemetry import logs
from tests.testkit.gateway import running_gateway
from tests.testkit.upstream import errors, status
from tests.testkit.waiting import until_true


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, as JSON lines."""
    stream = io.StringIO()
    logs.configure(json=True, level="debug", stream=stream)
    yield stream
    structlog.reset_defaults()


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("account DE89370400440532013000 refused", "account …3000 refused"),
        ("DE89 3704 0044 0532 0130 00", "…0 00"),
        ("GB29NWBK60161331926819", "…6819"),
        ("card 4111111111111111", "card …1111"),
        ("card 4111 1111 1111 1111", "card …1111"),
        ("card 4111-1111-1111-1111", "card …1111"),
        ("Q_4111111111111111", "Q_…1111"),
        ("in 12345678 ms", "in 12345678 ms"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("customers answered 500", "customers answered 500"),
    ],
)
def test_account_numbers_show_their_last_four_characters_only(text: str, shown: str) -> None:
    event = {"event": text, "nested": {"list": [text, 1], text: 1}, "request_id": "123456789012"}
    line = logs.Finish()(None, "info", event)
    assert line.pop("timestamp")
    assert line == {
        "level": "info",
        "event": shown,
        "nested": {"list": [shown, 1], shown: 1},
        "request_id": "123456789012",
    }


async def test_a_request_is_one_line_with_what_matters(lines: io.StringIO) -> None:
    async with running_gateway() as gateway:
        await gateway.ask(
            'query Named { customer(id: "1") { name } }',
            {"x-request-id": "r1", "x-correlation-id": "c1", "x-tenant-id": "acme"},
        )
    ready, line = parsed(lines)
    assert (ready["event"], ready["upstreams"]) == ("ready", 3)
    assert line.pop("duration_ms") > 0
    assert line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "operation": "Named",
        "kind": "query",
        "fetches": 1,
        "served_by": {"graphql": 1},
        "request_id": "r1",
        "correlation_id": "c1",
        "tenant": "acme",
    }


async def test_failures_and_stale_answers_are_logged_with_their_request(lines: io.StringIO) -> None:
    async with running_gateway() as gateway:
        await gateway.ask('{ customer(id: "1") { name } }')
        gateway.customers.graphql.behave(status(500))
        gateway.customers.rest.behave(status(503))
        await gateway.ask('{ customer(id: "1") { name } }', {"x-request-id": "r2"})
    found = [line for line in parsed(lines) if line.get("request_id") == "r2" and line["level"] != "debug"]
    assert [(line["event"], line.get("protocol"), line.get("code")) for line in found] == [
        ("attempt failed", "graphql", "UPSTREAM_SERVER_ERROR"),
        ("attempt failed", "rest", "UPSTREAM_SERVER_ERROR"),
        ("request", None, None),
    ]
    assert found[-1]["degraded"][0]["reason"] == "SERVICE_UNAVAILABLE"


async def test_what_follows_on_a_failed_attempt_is_logged(lines: io.StringIO) -> None:
    retry = {"attempts": 3, "backoff_s": 0.001, "budget": {"ratio": 0, "min_per_s": 0.1}}
    async with running_gateway({"services": {"invoices": {"retry": retry, "breaker": {"failures": 100}}}}) as gateway:
        gateway.invoices.graphql.behave(status(503))
        await gateway.ask('{ invoice(id: "1") { id } }')
        answered = await gateway.ask(
            '{ upstreams(name: "invoices") { retries { calls attempts retries hedges refusedByBudget budget } } }'
        )
    first, last = [line for line in parsed(lines) if line["event"] in {"next attempt", "no further attempt"}]
    assert (first["level"], first["attempt"], first["code"]) == ("debug", 1, "UPSTREAM_SERVER_ERROR")
    assert first["delay_ms"] <= 1
    assert (last["level"], last["attempt"], last["reason"]) == ("info", 2, "budget")
    assert answered.data["upstreams"][0]["retries"] == {
        "calls": 2,
        "attempts": 3,
        "retries": 1,
        "hedges": 0,
        "refusedByBudget": 1,
        "budget": 1,  # of REST, which was not asked
    }


async def test_a_circuit_that_opens_is_logged_with_the_reason(lines: io.StringIO) -> None:
    async with running_gateway({"services": {"bank": {"breaker": {"failures": 1}}}}) as gateway:
        gateway.bank.rest.behave(status(500))
        await gateway.ask('{ customer(id: "1") { balance } }')
    (line,) = [line for line in parsed(lines) if line["event"] == "circuit open"]
    assert (line["service"], line["protocol"], line["previous"]) == ("bank", "rest", "closed")
    assert line["reason"] == "1 failures in a row (last: UPSTREAM_SERVER_ERROR)"


async def test_an_account_number_in_an_upstreams_error_never_reaches_the_log(lines: io.StringIO) -> None:
    number = "DE89370400440532013000"
    async with running_gateway() as gateway:
        gateway.customers.graphql.behave(errors(f"account {number} is locked", code="INTERNAL_SERVER_ERROR"))
        gateway.customers.rest.behave(status(500))
        await gateway.ask('{ customer(id: "1") { name balance } }')
    assert number not in lines.getvalue()
    assert "is locked" not in lines.getvalue()  # an upstream's own words may be about one caller


async def test_at_a_higher_level_a_request_leaves_no_line(lines: io.StringIO) -> None:
    logs.configure(json=True, level="warning", stream=lines)
    async with running_gateway() as gateway:
        await gateway.ask('{ customer(id: "1") { name } }')
    assert parsed(lines) == []


async def test_what_libraries_log_is_written_as_a_line_of_ours(lines: io.StringIO) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.adopt("info")
    try:
        logging.getLogger("a.package").info("not worth a line")
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: RuntimeError('CANARY')")
        logging.getLogger("odd").warning("%d", "not a number")
        try:
            raise RuntimeError("CANARY 4111111111111111")
        except RuntimeError:
            logging.getLogger("a.package").exception("Exception in ASGI application")
    finally:
        root.handlers = handlers
        root.setLevel(level)
    first, second = parsed(lines)
    assert (first["event"], first["level"], first["logger"]) == (
        "Task exception was never retrieved",
        "error",
        "asyncio",
    )
    assert (second["event"], second["logger"]) == ("Exception in ASGI application", "a.package")
    assert second["exception"].endswith("RuntimeError")
    assert "CANARY" not in lines.getvalue()


async def test_lines_of_no_urgency_wait_for_others_but_not_long_and_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as file:
        logs.configure(json=True, level="info", stream=file)
        log = structlog.get_logger()
        log.info("first")
        assert written(path) == []
        log.warning("second")
        assert written(path) == ["first", "second"]
        for number in range(100):
            log.info("filling", text="x" * 200, number=number)
        assert 80 < len(written(path)) < 102  # but for the last block
        await until_true(lambda: len(written(path)) == 102, "the rest")
        log.info("last")
        logs.flush()
        assert written(path)[-1] == "last"
        structlog.reset_defaults()


def test_without_a_loop_each_line_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as file:
        logs.configure(json=True, level="info", stream=file)
        structlog.get_logger().info("first")
        assert written(path) == ["first"]
        structlog.reset_defaults()


def written(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]
