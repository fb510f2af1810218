"""Alerts as a receiver gets them, over a socket; signatures checked by the library that receivers use."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import structlog
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clients.call import ProtocolName
from clients.clock import Clock, SystemClock
from clients.hooks import CircuitEvent
from clients.upstream import Upstream
from gateway.alerts import AlertsConfig, AlertType, WebhookConfig, open_alerts
from gateway.alerts.sending import Alerts
from gateway.runtime import pyreqwest_wire
from tests.testkit.clock import ManualClock
from tests.testkit.serve import TestServer
from tests.testkit.waiting import Signal

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A server that alerts are posted to."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self._changed = Signal()
        self.server = TestServer(Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])]))

    async def _take(self, request: Request) -> Response:
        self.got.append((request.url.path, dict(request.headers), await request.body()))
        self._changed.notify()
        return Response("thank you", self.statuses.pop(0) if self.statuses else 200)

    async def wait_for(self, count: int) -> list[tuple[str, dict[str, str], bytes]]:
        await self._changed.until(
            lambda: len(self.got) >= count, lambda: f"{count} messages; there are {len(self.got)}"
        )
        return self.got


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with receiver.server:
        yield receiver


@asynccontextmanager
async def _alerts(config: AlertsConfig, clock: Clock | None = None) -> AsyncIterator[Alerts]:
    async with open_alerts(
        config,
        instance="gateway-1",
        upstreams=dict[str, Upstream],
        wires=pyreqwest_wire,
        clock=clock or SystemClock(),
        random=Random(1),
    ) as alerts:
        yield alerts


def _event(state: str, service: str = "crm") -> CircuitEvent:
    return CircuitEvent(service, ProtocolName.REST, "closed", state, "5 failures in a row")


def _verified(headers: Mapping[str, str], body: bytes, secret: str = SECRET) -> Any:
    return Webhook(secret).verify(body, dict(headers))


async def test_a_receiver_can_verify_what_it_gets(receiver: Receiver) -> None:
    config = AlertsConfig(webhooks=[WebhookConfig(f"{receiver.server.url}/hooks/a?team=1", SECRET)])
    async with _alerts(config) as alerts:
        alerts.circuit_changed(_event("open"))
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
        alerts.circuit_changed(_event("open"))
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
            alerts.circuit_changed(_event(state))
        got = await receiver.wait_for(4)
    kinds = [_verified(headers, body)["type"] for path, headers, body in got if path == "/all"]
    assert kinds == ["circuit.opened", "circuit.closed", "circuit.opened"]
    assert [_verified(headers, body, other)["type"] for path, headers, body in got if path == "/ends"] == [
        "circuit.closed"
    ]


async def test_what_waits_at_the_end_is_sent_first(receiver: Receiver) -> None:
    async with _alerts(AlertsConfig(webhooks=[WebhookConfig(receiver.server.url, SECRET)])) as alerts:
        for name in ("crm", "billing", "bank"):
            alerts.circuit_changed(_event("open", name))
    assert [json.loads(body)["data"]["service"] for _, _, body in receiver.got] == ["crm", "billing", "bank"]


async def test_a_receiver_that_is_down_for_long_gets_it_when_it_is_back(receiver: Receiver) -> None:
    clock = ManualClock()
    receiver.statuses = [500] * 12
    async with _alerts(
        AlertsConfig(stale_ratio=None, webhooks=[WebhookConfig(receiver.server.url, SECRET)]), clock
    ) as alerts:
        alerts.circuit_changed(_event("open"))
        while receiver.statuses:
            await clock.wait_for_sleepers(1)
            await clock.advance(clock.sleepers[0])
        await clock.wait_for_sleepers(1)
        await clock.advance(clock.sleepers[0])
        got = await receiver.wait_for(9)
    assert len({headers["webhook-id"] for _, headers, _ in got}) == 1


async def test_it_gives_up_in_the_end_and_goes_on_with_the_next(receiver: Receiver) -> None:
    clock = ManualClock()
    webhook = WebhookConfig(receiver.server.url, SECRET, give_up_s=60)
    receiver.statuses = [500] * 1_000
    config = AlertsConfig(stale_ratio=None, webhooks=[webhook])
    with structlog.testing.capture_logs() as logged:
        async with asyncio.timeout(20), _alerts(config, clock) as alerts:
            alerts.circuit_changed(_event("open"))
            while not any(line["event"] == "alert given up" for line in logged):
                if clock.sleepers:
                    await clock.advance(clock.sleepers[0])
                await asyncio.sleep(0.001)  # answers come by a socket
            receiver.statuses = []
            await clock.advance(600)  # its circuit is ready for a probe
            alerts.circuit_changed(_event("open", "billing"))
            while not any(b"billing" in body for _, _, body in receiver.got):
                if clock.sleepers:
                    await clock.advance(clock.sleepers[0])
                await asyncio.sleep(0.001)
    assert {json.loads(body)["data"]["service"] for _, _, body in receiver.got[:-1]} == {"crm"}
