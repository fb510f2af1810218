"""The `gateway` command, as people run it."""

import asyncio
import json
import re
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from gateway.cli import main
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, gateway, running
from tests.testkit.upstream import ScriptedUpstream

EMPTY = "mode: development\nserver: { port: 0 }\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(EMPTY)
    return file


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_answers_on_its_port_and_ends_cleanly(config: Path, workers: str) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [*GATEWAY, "serve", "--port", str(port), "--config", str(config), "--workers", workers]
    with running(command, f"{url}/health/ready") as process:
        answered = httpx.post(f"{url}/graphql", json={"query": "{ health { status } }"}, trust_env=False)
        assert answered.json() == {"data": {"health": {"status": "OK"}}}
        _assert_all_are_told_of(f"{url}/metrics", int(workers))
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[0]
    assert process.returncode in {0, -signal.SIGTERM}
    assert re.search(rf"starting .*port={port} workers={workers}", said)
    assert len(re.findall(r"ready .*upstreams=0", said)) == int(workers)


def test_workers_share_the_connections_that_come_at_once(config: Path) -> None:
    port = free_port()
    command = [*GATEWAY, "serve", "--port", str(port), "--config", str(config), "--workers", "2"]
    request = b"GET /health/live HTTP/1.1\r\nhost: gateway\r\n\r\n"
    with running(command, f"http://127.0.0.1:{port}/health/ready") as process:
        assert process.stdout is not None
        ready = (line for line in process.stdout if "ready " in line)
        for _ in range(2):  # each worker says so
            next(ready)
        with ExitStack() as stack:
            for _ in range(4):  # should another process keep one of the workers from its turn
                opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(40)]
                for connection in opened:
                    connection.sendall(request)
                for connection in opened:
                    assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
            workers = psutil.Process(process.pid).children(recursive=True)
            held = [sum(c.status == psutil.CONN_ESTABLISHED for c in w.net_connections()) for w in workers]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert sum(held) >= 160
    assert sorted(held)[-2] >= 16, f"of 160 connections: {held}"  # the workers' supervisor has children of other kinds


def _assert_all_are_told_of(url: str, workers: int) -> None:
    """Whichever process is asked, it tells the figures of all."""
    for _ in range(50):  # until the last of them is there
        text = httpx.get(url, trust_env=False).text
        found = set(re.findall(r'gateway_requests_total\{.*?worker="(\d+)"', text))
        if len(found) == (0 if workers == 1 else workers):
            break
    assert len(found) == (0 if workers == 1 else workers)
    total = sum(float(value) for value in re.findall(r'gateway_requests_total\{.*?outcome="ok".*?\} (\S+)', text))
    assert total == 1


@pytest.mark.parametrize("command", ["serve", "check", "demo"])
def test_a_wrong_file_ends_each_command_with_1_and_the_reason(config: Path, command: str) -> None:
    config.write_text("servr: {}\n")
    ended = gateway(command, "--config", str(config))
    assert ended.returncode == 1
    assert ended.stderr == f"{config}: 1 error\n  line 1: servr: unknown key; did you mean server?\n"


def test_a_module_that_is_missing_ends_it_with_1_and_the_reason(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("imports: [acme.orders]\n")
    assert main(["check", "--config", str(config)]) == 1
    assert "there is no module acme" in capsys.readouterr().err


def test_check_says_what_it_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0
    assert capsys.readouterr().out == f"{config}: valid; 0 services, 0 operations\n"


async def test_check_holds_documents_against_the_upstreams_own_schemas(config: Path) -> None:
    rows = [{"id": "1", "name": "A", "email": "a@b.c"}]  # no tier: the document asks for one
    async with ScriptedUpstream(rows) as upstream:
        services = f"{{ customers: {{ graphql: '{upstream.graphql.url}' }}, bank: {{ rest: 'http://127.0.0.1:9' }} }}"
        config.write_text(f"imports: [schema.customers]\nservices: {services}\n")  # noqa: ASYNC240 - one small file
        command = [*GATEWAY, "check", "--upstreams", "--config", str(config)]
        process = await _run(command)
        assert process[0] == 1
        assert "customers: the operation Customer.by_id does not fit: Cannot query field 'tier'" in process[1]
        replica = f"{{ graphql: '{upstream.graphql.url}' }}"
        standing_in = services.replace("{ graphql", "{ fallback: { service: replica }, graphql", 1)
        config.write_text(f"imports: [schema.customers]\nservices: {standing_in[:-2]}, replica: {replica} }}\n")  # noqa: ASYNC240
        assert "\nreplica: the operation Customer.by_id does not fit: " in (await _run(command))[1]
        await upstream.refuse()
        code, out = await _run(command)
        assert code == 1
        assert re.search(r"customers: no schema from http://127\.0\.0\.1:\d+/graphql: ", out)


def test_compose_that_cannot_write_its_file_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sdl = config.with_name("a.graphql")
    sdl.write_text("type Query { a: Int }\n")
    service = "{ graphql: 'http://127.0.0.1:9/graphql', subgraph: { sdl: a.graphql } }"
    config.write_text(f"federation: {{}}\nservices: {{ a: {service} }}\n")
    output = config.parent / "nowhere" / "supergraph.graphql"
    assert main(["compose", "--config", str(config), "--output", str(output)]) == 1
    assert capsys.readouterr().err == f"{output}: cannot be written: No such file or directory\n"


async def test_check_claims_nothing_of_a_service_without_documents(config: Path) -> None:
    config.write_text(f"services: {{ idle: {{ graphql: 'http://127.0.0.1:{free_port()}/graphql' }} }}\n")  # noqa: ASYNC240
    code, out = await _run([*GATEWAY, "check", "--upstreams", "--config", str(config)])
    assert (code, out) == (0, f"{config}: valid; 1 service, 0 operations\n")


async def _run(command: list[str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode()


def test_config_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config-schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "gateway.yaml"


def test_the_demo_that_does_not_run_says_how_to_start_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--control-port", str(free_port()), "mend"]) == 1
    assert "start it with: make run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--port", "70000"], "argument --port: expected a whole number from 0 to 65535, found 70000"),
        (["serve", "--port", "http"], "argument --port: expected a whole number from 0 to 65535, found 'http'"),
        (["serve", "--workers", "0"], "argument --workers: expected a whole number from 1 up, found 0"),
        (["demo", "--control-port", "-1"], "argument --control-port: expected"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
