"""Alerts on their way: to the log, and to webhooks through the same pipeline as any upstream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog

from clients.auth import FileSecret, Secret
from clients.call import Call, Caller
from clients.clock import Clock
from clients.errors import UpstreamError
from clients.hooks import CircuitEvent
from clients.operation import Operation, operation
from clients.policy import BreakerPolicy, CachePolicy, RetryPolicy, ServicePolicy
from clients.service import Service
from clients.state.circuit import State
from clients.stores.memory import MemoryStore
from clients.transports.base import Wire
from clients.upstream import Upstream
from gateway.alerts.alert import Alert
from gateway.alerts.config import AlertsConfig, WebhookConfig, not_a_webhook_secret
from gateway.alerts.watch import CircuitKey, Watch
from gateway.auth import SecretFile

_WAITING = 100  # alerts for one webhook; of more, the oldest are given up
_FIRST_WAIT_S = 5.0  # after the attempts of one call; each further wait is twice as long
_MAX_WAIT_S = 300.0
FLUSH_S = 5.0
"""At the end, what is still to be sent has so long."""

Wires = Callable[[Service], Wire]
Upstreams = Callable[[], Mapping[str, Upstream] | None]
"""Those there are just now; None while nothing is served."""


class _Receiver:
    """One webhook: what is to be sent to it, in order."""

    def __init__(self, config: WebhookConfig, upstream: Upstream, declared: Operation, clock: Clock) -> None:
        self._config = config
        self._upstream = upstream
        self._operation = declared
        self._clock = clock
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue(_WAITING)
        self._pause: asyncio.Task[None] | None = None
        self._stopping = False
        self._log = structlog.get_logger("alerts").bind(webhook=upstream.name)

    def tell(self, alert: Alert) -> None:
        """Send it when its turn comes."""
        if alert.type not in self._config.types:
            return
        if self._waiting.full():
            self._given_up(self._waiting.get_nowait(), f"{_WAITING} newer ones wait")
            self._waiting.task_done()
        self._waiting.put_nowait(alert)

    def abandon(self) -> None:
        """Say what will not be sent any more."""
        while not self._waiting.empty():
            self._given_up(self._waiting.get_nowait(), "the gateway stops")

    async def finish(self) -> None:
        """Try each alert once more, without waiting; return when everything was sent, or given up."""
        self._stopping = True
        if self._pause is not None:
            self._pause.cancel()
        await self._waiting.join()

    async def run(self) -> None:
        """Send, until cancelled."""
        while True:
            alert = await self._waiting.get()
            try:
                await self._deliver(alert)
            except asyncio.CancelledError:
                self._given_up(alert, "the gateway stops")
                raise
            finally:
                self._waiting.task_done()

    async def _deliver(self, alert: Alert) -> None:
        began, wait_s = self._clock.now(), _FIRST_WAIT_S
        while True:
            try:
                await self._upstream.execute(self._call(alert))
            except UpstreamError as error:
                if self._stopping or self._clock.now() + wait_s - began > self._config.give_up_s:
                    self._given_up(alert, str(error))
                    return
                self._log.warning("alert not delivered yet", id=alert.id, reason=str(error), next_s=wait_s)
            else:
                return
            await self._wait(wait_s)
            wait_s = min(2 * wait_s, _MAX_WAIT_S)

    async def _wait(self, wait_s: float) -> None:
        """Until it is time to try again, which it is when the gateway stops."""
        self._pause = asyncio.create_task(self._clock.sleep(wait_s))
        try:
            await asyncio.wait([self._pause])
        finally:
            self._pause.cancel()

    def _given_up(self, alert: Alert, reason: str) -> None:
        self._log.error("alert given up", type=alert.type.value, id=alert.id, reason=reason)

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

    def circuit_changed(self, event: CircuitEvent, at: datetime) -> None:
        """For the feed of circuits: returns soon, and does not raise."""
        self._tell(self._watch.circuit(event, at))

    async def run(self, upstreams: Upstreams) -> None:
        """Look now and then at what is served stale, and at what is there no more; until cancelled."""
        while True:
            await self._clock.sleep(self._config.every_s)
            if (now := upstreams()) is not None:
                self.look(now)

    def look(self, upstreams: Mapping[str, Upstream]) -> None:
        """Look once."""
        at = self._clock.wall()
        for alert in self._watch.gone(set(upstreams), _open_circuits(upstreams, self._watch.troubled), at):
            self._tell(alert)
        if self._config.stale_ratio is not None:
            for name, upstream in upstreams.items():
                calls = upstream.figures().calls
                self._tell(self._watch.stale(name, calls.traffic.latency.count, calls.stale_ratio, at))

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


def _open_circuits(upstreams: Mapping[str, Upstream], names: set[str]) -> set[CircuitKey]:
    """The circuits of these services that are not closed."""
    found: set[CircuitKey] = set()
    for status in (upstreams[name].status() for name in names if name in upstreams):
        found |= {(status.name, of.value, None) for of, c in status.circuits.items() if c.state is not State.CLOSED}
        each = status.by_operation.items()
        found |= {(status.name, of.value, name) for (of, name), c in each if c.state is not State.CLOSED}
    return found


@asynccontextmanager
async def open_alerts(
    config: AlertsConfig,
    *,
    instance: str,
    upstreams: Upstreams,
    wires: Wires,
    clock: Clock,
    random: Random,
    flush_s: float = FLUSH_S,
) -> AsyncIterator[Alerts]:
    """Alerts while the gateway runs.

    Args:
        config: `alerts:` of gateway.yaml.
        instance: names this process in what is sent.
        upstreams: those there are just now, if any.
        wires: makes the wire of a webhook's host.
        clock: all time comes from it.
        random: all jitter comes from it.
        flush_s: what is still to be sent at the end has so long.
    """
    async with AsyncExitStack() as stack:
        receivers = [
            receiver
            for origin in dict.fromkeys(_origin(webhook.url) for webhook in config.webhooks)
            for receiver in await _open_host(origin, config.webhooks, stack, wires=wires, clock=clock, random=random)
        ]
        alerts = Alerts(config, Watch(config, instance), receivers, clock)
        tasks = [asyncio.create_task(receiver.run(), name="breakwater webhook") for receiver in receivers]
        tasks.append(asyncio.create_task(alerts.run(upstreams), name="breakwater alerts"))
        try:
            yield alerts
            with suppress(TimeoutError):
                async with asyncio.timeout(flush_s):
                    await asyncio.gather(*(receiver.finish() for receiver in receivers))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for receiver in receivers:
                receiver.abandon()


async def _open_host(
    origin: str,
    webhooks: Sequence[WebhookConfig],
    stack: AsyncExitStack,
    *,
    wires: Wires,
    clock: Clock,
    random: Random,
) -> list[_Receiver]:
    """The webhooks of one host: they share its circuit. It is no upstream: its own troubles are lines of the log."""
    from gateway.alerts.signing import SigningWire  # noqa: PLC0415 - loads a library that others need not

    here = [webhook for webhook in webhooks if _origin(webhook.url) == origin]
    name = f"webhook {origin}"
    policy = ServicePolicy(
        timeout_s=max(webhook.timeout_s for webhook in here),
        retry=RetryPolicy(attempts=3, budget=None),  # an alert is worth it, and they are few
        breaker=BreakerPolicy(failures=5, open_s=30.0),
        cache=CachePolicy(stale_if_error_s=0.0),
    )
    service = Service(name=name, policy=policy, rest=origin)
    secrets = {origin + _path(webhook.url): _secret(webhook, name, clock) for webhook in here}
    wire = SigningWire(wires(service), secrets, clock)
    stack.push_async_callback(wire.aclose)
    upstream = Upstream(service, wire, MemoryStore(1, 1, clock), clock=clock, random=random)
    await stack.enter_async_context(upstream)
    return [
        _Receiver(webhook, upstream, _declared(name, number, _path(webhook.url)), clock)
        for number, webhook in enumerate(here)
    ]


def _secret(webhook: WebhookConfig, name: str, clock: Clock) -> Secret:
    if not isinstance(webhook.secret, SecretFile):
        return Secret(webhook.secret)
    log = structlog.get_logger("alerts").bind(webhook=name)
    tell = partial(log.warning, "credential trouble")
    return FileSecret(Path(webhook.secret.file), not_a_webhook_secret, clock, lambda trouble: tell(trouble=trouble))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _path(url: str) -> str:
    path = url.removeprefix(_origin(url))
    return path if path.startswith("/") else f"/{path}"


def _declared(service: str, number: int, path: str) -> Operation:
    return operation(service, f"alert {number}", row=Any, rest=f"POST {path}", idempotent=True)
