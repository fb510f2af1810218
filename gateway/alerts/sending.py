"""Alerts on their way: to the log, and to webhooks through the same pipeline as any upstream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog
from standardwebhooks import Webhook

from clients.call import Call, Caller
from clients.clock import Clock
from clients.errors import UpstreamError
from clients.hooks import CircuitEvent
from clients.operation import Operation, operation
from clients.policy import BreakerPolicy, CachePolicy, RetryPolicy, ServicePolicy
from clients.service import Service
from clients.stores.memory import MemoryStore
from clients.transports.base import Wire, WireResponse
from clients.upstream import Upstream
from gateway.alerts.alert import Alert
from gateway.alerts.config import AlertsConfig, WebhookConfig
from gateway.alerts.watch import Watch

_WAITING = 100  # alerts for one webhook; of more, the oldest are given up
_FIRST_WAIT_S = 5.0  # after the attempts of one call; each further wait is twice as long
_MAX_WAIT_S = 300.0
_FLUSH_S = 5.0  # at the end: what is still to be sent has so long
_NO_CONTENT = 204

Wires = Callable[[Service], Wire]


class SigningWire:
    """A wire that signs what it sends as Standard Webhooks has it, and takes any 2xx for a receipt.

    Args:
        wire: to one host.
        secrets: of each webhook there, by URL.
        clock: its wall time is signed.
    """

    def __init__(self, wire: Wire, secrets: Mapping[str, str], clock: Clock) -> None:
        self._wire = wire
        self._webhooks = {url: Webhook(secret) for url, secret in secrets.items()}
        self._clock = clock

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        """See `Wire`. Each attempt has its own time; the id is that of the message."""
        text = (body or b"").decode()
        message_id, at = headers["idempotency-key"], self._clock.wall().astimezone(UTC)
        signed = {
            **headers,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._webhooks[url].sign(message_id, at, text),
        }
        response = await self._wire.send(method, url, signed, body, max_body_bytes=max_body_bytes)
        return WireResponse(_NO_CONTENT, {}, b"") if 200 <= response.status < 300 else response

    async def aclose(self) -> None:
        """Close the wire below."""
        await self._wire.aclose()


class _Receiver:
    """One webhook: what is to be sent to it, in order."""

    def __init__(self, config: WebhookConfig, upstream: Upstream, declared: Operation, clock: Clock) -> None:
        self._config = config
        self._upstream = upstream
        self._operation = declared
        self._clock = clock
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue(_WAITING)
        self._log = structlog.get_logger("alerts").bind(webhook=upstream.name)

    def tell(self, alert: Alert) -> None:
        """Send it when its turn comes."""
        if alert.type not in self._config.types:
            return
        if self._waiting.full():
            self._log.error("alert given up", id=self._waiting.get_nowait().id, reason=f"{_WAITING} newer ones wait")
            self._waiting.task_done()
        self._waiting.put_nowait(alert)

    async def sent(self) -> None:
        """Wait until everything was sent, or given up."""
        await self._waiting.join()

    async def run(self) -> None:
        """Send, until cancelled."""
        while True:
            alert = await self._waiting.get()
            try:
                await self._deliver(alert)
            finally:
                self._waiting.task_done()

    async def _deliver(self, alert: Alert) -> None:
        began, wait_s = self._clock.now(), _FIRST_WAIT_S
        while True:
            try:
                await self._upstream.execute(self._call(alert))
            except UpstreamError as error:
                if self._clock.now() + wait_s - began > self._config.give_up_s:
                    self._log.error("alert given up", id=alert.id, reason=str(error))
                    return
                self._log.warning("alert not delivered yet", id=alert.id, reason=str(error), next_s=wait_s)
            else:
                return
            await self._clock.sleep(wait_s)
            wait_s = min(2 * wait_s, _MAX_WAIT_S)

    def _call(self, alert: Alert) -> Call:
        caller = Caller(request_id=alert.id, correlation_id=alert.id)
        payload = msgspec.to_builtins({"type": alert.type, "timestamp": alert.timestamp, "data": alert.data})
        return Call(self._operation, payload, caller, idempotency_key=alert.id)


class Alerts:
    """Tells of what the watch notices."""

    def __init__(self, config: AlertsConfig, watch: Watch, receivers: list[_Receiver], clock: Clock) -> None:
        self._config = config
        self._watch = watch
        self._receivers = receivers
        self._clock = clock
        self._log = structlog.get_logger("alerts")

    def circuit_changed(self, event: CircuitEvent) -> None:
        """For the pipeline's hooks: returns soon, and does not raise."""
        self._tell(self._watch.circuit(event, self._clock.wall()))

    async def run(self, upstreams: Callable[[], Mapping[str, Upstream]]) -> None:
        """Look at what is served stale now and then, until cancelled."""
        while True:
            await self._clock.sleep(self._config.every_s)
            now = upstreams()
            self._watch.forget(set(now))
            for name, upstream in now.items():
                calls = upstream.figures().calls
                self._tell(self._watch.stale(name, calls.traffic.latency.count, calls.stale_ratio, self._clock.wall()))

    def _tell(self, alert: Alert | None) -> None:
        if alert is None:
            return
        write = self._log.info if alert.type.is_end else self._log.warning
        write("alert", type=alert.type.value, id=alert.id, **_said(alert))
        for receiver in self._receivers:
            receiver.tell(alert)


def _said(alert: Alert) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(alert.data)
    return said


@asynccontextmanager
async def open_alerts(
    config: AlertsConfig,
    *,
    instance: str,
    upstreams: Callable[[], Mapping[str, Upstream]],
    wires: Wires,
    clock: Clock,
    random: Random,
) -> AsyncIterator[Alerts]:
    """Alerts while the gateway runs. At the end, what is still to be sent has a few seconds.

    Args:
        config: `alerts:` of gateway.yaml.
        instance: names this process in what is sent.
        upstreams: those there are just now.
        wires: makes the wire of a webhook's host.
        clock: all time comes from it.
        random: all jitter comes from it.
    """
    async with AsyncExitStack() as stack:
        receivers = [
            receiver
            for origin in dict.fromkeys(_origin(webhook.url) for webhook in config.webhooks)
            for receiver in await _open_host(origin, config.webhooks, stack, wires=wires, clock=clock, random=random)
        ]
        alerts = Alerts(config, Watch(config, instance), receivers, clock)
        tasks = [asyncio.create_task(receiver.run(), name="breakwater webhook") for receiver in receivers]
        if config.stale_ratio is not None:
            tasks.append(asyncio.create_task(alerts.run(upstreams), name="breakwater alerts"))
        try:
            yield alerts
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_S):
                    await asyncio.gather(*(receiver.sent() for receiver in receivers))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _open_host(
    origin: str,
    webhooks: Sequence[WebhookConfig],
    stack: AsyncExitStack,
    *,
    wires: Wires,
    clock: Clock,
    random: Random,
) -> list[_Receiver]:
    """The webhooks of one host: they share its circuit."""
    here = [webhook for webhook in webhooks if _origin(webhook.url) == origin]
    name = f"webhook {origin}"
    policy = ServicePolicy(
        timeout_s=max(webhook.timeout_s for webhook in here),
        retry=RetryPolicy(attempts=3, budget=None),  # an alert is worth it, and they are few
        breaker=BreakerPolicy(failures=5, open_s=30.0),
        cache=CachePolicy(stale_if_error_s=0.0),
    )
    service = Service(name=name, policy=policy, rest=origin)
    wire = SigningWire(wires(service), {origin + _path(webhook.url): webhook.secret for webhook in here}, clock)
    stack.push_async_callback(wire.aclose)
    upstream = Upstream(service, wire, MemoryStore(1, 1, clock), clock=clock, random=random)
    await stack.enter_async_context(upstream)
    return [
        _Receiver(webhook, upstream, _declared(name, number, _path(webhook.url)), clock)
        for number, webhook in enumerate(here)
    ]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _path(url: str) -> str:
    path = url.removeprefix(_origin(url))
    return path if path.startswith("/") else f"/{path}"


def _declared(service: str, number: int, path: str) -> Operation:
    return operation(service, f"alert {number}", row=Any, rest=f"POST {path}", idempotent=True)
