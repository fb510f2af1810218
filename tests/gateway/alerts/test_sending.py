"""Alerts as a receiver gets them, over a socket; signatures checked by the library that receivers use."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
from standardwebhooks import Webhook, WebhookVerificationError

from clients.call import ProtocolName
from clients.clock import Clock, SystemClock
from clients.hooks import CircuitEvent
from gateway.alerts import AlertsConfig, AlertType, WebhookConfig, open_alerts
from gateway.alerts.sending import Alerts
from gateway.auth import SecretFile
from gateway.runtime import pyreqwest_wire
from tests.testkit.clock import ManualClock
from tests.testkit.webhooks import SECRET, Receiver

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@asynccontextmanager
async def _alerts(config: AlertsConfig, clock: Clock | None = None, *, flush_s: float = 5.0) -> AsyncIterator[Alerts]:
    async with open_alerts(
        config,
        instance="gateway-1",
        upstreams=lambda: None,
        wires=pyreqwest_wire,
        clock=clock or SystemClock(),
        random=Random(1),
        flush_s=flush_s,
    ) as alerts:
        yield alerts


def _event(state: str, service: str = "crm") -> CircuitEvent:
    return CircuitEvent(service, ProtocolName.REST, "closed", state, "5 failures in a row")


def _verified(headers: Mapping[str, str], body: bytes, secret: str = SECRET) -> Any:
    return Webhook(secret).verify(body, dict(headers))


async def test_a_receiver_can_verify_what_it_gets(receiver: Receiver) -> None:
    config = AlertsConfig(webhooks=[WebhookConfig(f"{receiver.server.url}/hooks/a?team=1", SECRET)])
    async with _alerts(config) as alerts:
        alerts.circuit_changed(_event("open"), AT)
        ((path, headers, body),) = await receiver.wait_for(1)
    assert path == "/hooks/a"
    payload = _verified(headers, body)
    assert payload["type"] == "circuit.opened"
    assert payload["data"] == {
        "service": "crm",
        "reason": "5 failures in a row",
        "instance": "gateway-1",
        "protocol": "rest",
    }
    with pytest.raises(WebhookVerificationError):
        _verified(headers, body.replace(b"crm", b"erp"))


async def test_an_attempt_that_fails_is_made_again_with_the_same_id(receiver: Receiver) -> None:
    receiver.statuses = [503]
    async with _alerts(AlertsConfig(webhooks=[WebhookConfig(receiver.server.url, SECRET)])) as alerts:
        alerts.circuit_changed(_event("open"), AT)
        first, second = await receiver.wait_for(2)
    assert first[1]["webhook-id"] == second[1]["webhook-id"]
    assert _verified(first[1], first[2]) == _verified(second[1], second[2])


async def test_each_webhook_gets_its_types_in_order_signed_with_its_secret(receiver: Receiver) -> None:
    other = "whsec_" + "A" * 43 + "="
    webhooks = [
        WebhookConfig(f"{receiver.server.url}/all", SECRET),
        WebhookConfig(f"{receiver.server.url}/ends", other, types=(AlertType.CIRCUIT_CLOSED,)),
    ]
    async with _alerts(AlertsConfig(webhooks=webhooks)) as alerts:
        for state in ("open", "closed", "open"):
            alerts.circuit_changed(_event(state), AT)
        got = await receiver.wait_for(4)
    kinds = [_verified(headers, body)["type"] for path, headers, body in got if path == "/all"]
    assert kinds == ["circuit.opened", "circuit.closed", "circuit.opened"]
    assert [_verified(headers, body, other)["type"] for path, headers, body in got if path == "/ends"] == [
        "circuit.closed"
    ]


async def test_what_waits_at_the_end_is_sent_first(receiver: Receiver) -> None:
    async with _alerts(AlertsConfig(webhooks=[WebhookConfig(receiver.server.url, SECRET)])) as alerts:
        for name in ("crm", "billing", "bank"):
            alerts.circuit_changed(_event("open", name), AT)
    assert [json.loads(body)["data"]["service"] for _, _, body in receiver.got] == ["crm", "billing", "bank"]


async def test_a_receiver_that_is_down_for_long_gets_it_when_it_is_back(receiver: Receiver) -> None:
    clock = ManualClock()
    receiver.statuses = [500] * 12
    async with _alerts(
        AlertsConfig(every_s=1e9, webhooks=[WebhookConfig(receiver.server.url, SECRET)]), clock, flush_s=0.01
    ) as alerts:
        alerts.circuit_changed(_event("open"), AT)
        while receiver.statuses:
            await clock.wait_for_sleepers(2)
            await clock.advance(clock.sleepers[0])
        await clock.wait_for_sleepers(2)
        await clock.advance(clock.sleepers[0])
        got = await receiver.wait_for(9)
    assert len({headers["webhook-id"] for _, headers, _ in got}) == 1


async def test_it_gives_up_in_the_end_and_goes_on_with_the_next(receiver: Receiver) -> None:
    clock = ManualClock()
    webhook = WebhookConfig(receiver.server.url, SECRET, give_up_s=60)
    receiver.statuses = [500] * 1_000
    config = AlertsConfig(every_s=1e9, webhooks=[webhook])
    with structlog.testing.capture_logs() as logged:
        async with asyncio.timeout(20), _alerts(config, clock) as alerts:
            alerts.circuit_changed(_event("open"), AT)
            while not any(line["event"] == "alert given up" for line in logged):
                if len(clock.sleepers) > 1:
                    await clock.advance(clock.sleepers[0])
                await asyncio.sleep(0.001)  # answers come by a socket
            receiver.statuses = []
            await clock.advance(600)  # its circuit is ready for a probe
            alerts.circuit_changed(_event("open", "billing"), AT)
            while not any(b"billing" in body for _, _, body in receiver.got):
                if len(clock.sleepers) > 1:
                    await clock.advance(clock.sleepers[0])
                await asyncio.sleep(0.001)
    assert {json.loads(body)["data"]["service"] for _, _, body in receiver.got[:-1]} == {"crm"}


async def test_a_secret_in_a_file_may_be_rotated(receiver: Receiver, tmp_path: Path) -> None:
    other = "whsec_" + "A" * 43 + "="
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    clock = ManualClock(wall=datetime.now(UTC))
    webhook = WebhookConfig(receiver.server.url, SecretFile(str(file)))
    async with _alerts(AlertsConfig(webhooks=[webhook]), clock) as alerts:
        alerts.circuit_changed(_event("open"), AT)
        await receiver.wait_for(1)
        file.write_text(other)
        clock.jump(2)
        alerts.circuit_changed(_event("closed"), AT)
        await receiver.wait_for(2)
    first, second = receiver.got
    assert _verified(first[1], first[2])["type"] == "circuit.opened"
    assert _verified(second[1], second[2], other)["type"] == "circuit.closed"


async def test_what_could_not_be_sent_at_the_end_is_said_and_shows_neither_secret_nor_path(receiver: Receiver) -> None:
    receiver.statuses = [500] * 1_000
    clock = ManualClock()
    url = f"{receiver.server.url}/token-c4n4ry"
    with structlog.testing.capture_logs() as logged:
        config = AlertsConfig(every_s=1e9, webhooks=[WebhookConfig(url, SECRET)])
        async with _alerts(config, clock, flush_s=0.01) as alerts:
            alerts.circuit_changed(_event("open"), AT)
            alerts.circuit_changed(_event("open", "billing"), AT)
            await clock.wait_for_sleepers(2)
    given_up = [line for line in logged if line["event"] == "alert given up"]
    assert [line["reason"] for line in given_up] == ["the gateway stops"] * 2
    assert "c4n4ry" not in repr(logged)
    assert SECRET not in repr(logged)
