"""Alerts of a whole gateway, as a receiver gets them."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.testkit.behaviours import status
from tests.testkit.federation import ScriptedSubgraph, federated_gateway, supergraph_of
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, running
from tests.testkit.upstream import ScriptedUpstream
from tests.testkit.webhooks import SECRET, Receiver

CUSTOMER = "query ($id: ID!) { customer(id: $id) { name } }"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def _alerts(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"webhooks": [{"url": f"{receiver.server.url}/hook", "secret": SECRET}], **more}


async def _names(gateway: Gateway) -> list[str]:
    return [upstream["name"] for upstream in (await gateway.ask("{ upstreams { name } }")).data["upstreams"]]


async def test_a_circuit_that_opens_and_closes_is_told_signed_and_the_webhook_is_no_upstream(
    receiver: Receiver,
) -> None:
    breaker = {"customers": {"breaker": {"failures": 1, "open_s": 0.05}}}
    async with running_gateway({"alerts": _alerts(receiver), "services": breaker}) as gateway:
        gateway.customers.graphql.behave(status(500))
        assert (await gateway.ask(CUSTOMER, id="1")).data is not None  # by REST
        await receiver.wait_for(1)
        opened = receiver.verified(0)
        assert opened["type"] == "circuit.opened"
        assert (opened["data"]["service"], opened["data"]["protocol"]) == ("customers", "graphql")
        assert opened["data"]["reason"].startswith("1 failures in a row")
        gateway.customers.graphql.heal()
        async with asyncio.timeout(20):
            while len(receiver.got) < 2:  # each asks for another customer; one of them is the probe
                await gateway.ask(CUSTOMER, id=str(10 + len(gateway.customers.rest.calls)))
        closed = receiver.verified(1)
        assert (closed["type"], closed["data"]["instance"]) == ("circuit.closed", opened["data"]["instance"])
        assert await _names(gateway) == ["customers", "invoices", "bank"]


async def test_a_webhook_that_fails_raises_no_alert_about_itself(receiver: Receiver) -> None:
    receiver.statuses = [500] * 3
    breaker = {"customers": {"breaker": {"failures": 1, "open_s": 60}}}
    async with running_gateway({"alerts": _alerts(receiver), "services": breaker}) as gateway:
        gateway.customers.graphql.behave(status(500))
        await gateway.ask(CUSTOMER, id="1")
        await receiver.wait_for(3)
        assert {receiver.verified(number)["data"]["service"] for number in range(3)} == {"customers"}
        assert await _names(gateway) == ["customers", "invoices", "bank"]


async def test_much_that_is_served_stale_is_told(receiver: Receiver) -> None:
    alerts = _alerts(receiver, every_s=0.05, stale_min_calls=4, stale_ratio=0.5)
    kept = {"customers": {"cache": {"stale_if_error_s": 600}, "breaker": {"failures": 1000}}}
    async with running_gateway({"alerts": alerts, "services": kept}) as gateway:
        await gateway.ask(CUSTOMER, id="1")
        gateway.customers.graphql.behave(status(500))
        gateway.customers.rest.behave(status(500))
        for _ in range(4):
            assert (await gateway.ask(CUSTOMER, id="1")).upstreams[0]["servedBy"] == "STALE"
        await receiver.wait_for(1)
    told = receiver.verified(0)
    assert (told["type"], told["data"]["service"]) == ("stale.high", "customers")
    assert 0.5 <= told["data"]["stale_ratio"] <= 1


async def test_what_waits_is_sent_after_sigterm(receiver: Receiver, tmp_path: Path) -> None:
    receiver.open.clear()
    async with ScriptedUpstream() as upstream:
        upstream.graphql.behave(status(500))
        upstream.rest.behave(status(500))
        config = {
            "server": {"shutdown_grace_s": 0},
            "imports": ["schema.customers"],
            "alerts": _alerts(receiver),
            "services": {
                "customers": {
                    "graphql": upstream.graphql.url,
                    "rest": upstream.rest.url,
                    "breaker": {"failures": 1},
                    "retry": {"attempts": 1},
                },
                "bank": {"rest": "http://127.0.0.1:9"},
            },
        }
        (file := tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
        port = free_port()
        command = [*GATEWAY, "serve", "--config", str(file), "--port", str(port)]
        url = f"http://127.0.0.1:{port}"
        context = running(command, f"{url}/health/live")
        process = await asyncio.to_thread(context.__enter__)
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
                await http.post(f"{url}/graphql", json={"query": CUSTOMER, "variables": {"id": "1"}})
            await receiver.wait_for(1)  # the other one waits behind it
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(_until_it_stops_listening, port)
            receiver.open.set()
            assert await asyncio.to_thread(process.wait, 20) == 0
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
    assert sorted(receiver.verified(number)["data"]["protocol"] for number in range(2)) == ["graphql", "rest"]


def _until_it_stops_listening(port: int) -> None:
    with httpx.Client(trust_env=False, timeout=20) as http:
        while True:
            try:
                http.get(f"http://127.0.0.1:{port}/health/live")
            except httpx.TransportError:
                return


PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "alert.md").read_text()


async def test_the_receiver_of_the_how_to_page_takes_what_the_gateway_sends(tmp_path: Path) -> None:
    [receiver] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [config] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    port = free_port()
    (tmp_path / "receiver.py").write_text(receiver.replace("8900", str(port)))
    url = f"http://127.0.0.1:{port}/"
    alerts = yaml.safe_load(config.replace("${ALERTS_URL}", url).replace("${ALERTS_SECRET}", SECRET))["alerts"]
    alerts["webhooks"] = alerts["webhooks"][:1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        tmp_path / "receiver.py",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "ALERTS_SECRET": SECRET},
    )
    try:
        breaker = {"customers": {"breaker": {"failures": 1}}}
        async with running_gateway({"alerts": alerts, "services": breaker}) as gateway:
            gateway.customers.graphql.behave(status(500))
            await gateway.ask(CUSTOMER, id="1")
            assert process.stdout is not None
            async with asyncio.timeout(20):
                line = (await process.stdout.readline()).decode()
        assert "circuit.opened" in line
        assert "'service': 'customers'" in line
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("replaced", "reason"), [(False, "the service is served no more"), (True, "it was replaced by a new one")]
)
async def test_a_trouble_ends_when_a_new_supergraph_leaves_its_service_out_or_moves_it(
    receiver: Receiver, tmp_path: Path, replaced: bool, reason: str
) -> None:
    a, b, c = (ScriptedSubgraph.made(f"type Query {{ {name}: Int }}", {name: 1}) for name in "abb")
    async with a, b, c:
        (file := tmp_path / "supergraph.graphql").write_text(supergraph_of({"a": a, "b": b}))
        sections = {
            "federation": {"supergraph": str(file), "local": None, "poll_interval_s": 0.05},
            "alerts": _alerts(receiver, every_s=0.05),
        }
        breaker = {"b": {"breaker": {"failures": 1, "open_s": 300}}}
        async with federated_gateway({}, sections, services=breaker) as gateway:
            b.graphql.behave(status(500))
            await gateway.ask("{ b }")
            await receiver.wait_for(1)
            file.write_text(supergraph_of({"a": a, "b": c} if replaced else {"a": a}))
            await receiver.wait_for(2)
    assert [receiver.verified(number)["type"] for number in range(2)] == ["circuit.opened", "circuit.closed"]
    assert receiver.verified(1)["data"]["service"] == "b"
    assert receiver.verified(1)["data"]["reason"] == reason
