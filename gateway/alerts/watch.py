"""Notices what is worth an alert. Pure: told of circuits and figures, with the time; gives alerts back."""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime

from clients.hooks import CircuitEvent
from clients.state.circuit import State
from gateway.alerts.alert import Alert, AlertData, AlertType
from gateway.alerts.config import AlertsConfig

CircuitKey = tuple[str, str, str | None]
"""Service, protocol and operation, if each operation has a circuit."""


def new_id() -> str:
    """Unique, and so formed that it needs no escaping anywhere."""
    return f"msg_{uuid.uuid4().hex}"


class Watch:
    """Each trouble is told once when it begins and once when it is over.

    A circuit that is probed and opens again is the same trouble. A service serves much that is stale from when the
    share reaches the limit until it is under half of it: at the limit it would go to and fro.

    Args:
        instance: goes into every alert.
        make_id: of an alert.
    """

    def __init__(self, config: AlertsConfig, instance: str, make_id: Callable[[], str] = new_id) -> None:
        self._config = config
        self._instance = instance
        self._make_id = make_id
        self._open: set[CircuitKey] = set()
        self._stale: set[str] = set()

    def circuit(self, event: CircuitEvent, at: datetime) -> Alert | None:
        """After each change of a circuit."""
        key = (event.service, event.protocol.value, event.operation)
        if event.state == State.OPEN and key not in self._open:
            self._open.add(key)
            kind = AlertType.CIRCUIT_OPENED
        elif event.state == State.CLOSED and key in self._open:
            self._open.discard(key)
            kind = AlertType.CIRCUIT_CLOSED
        else:
            return None
        data = AlertData(
            event.service, event.reason, self._instance, protocol=event.protocol.value, operation=event.operation
        )
        return Alert(self._make_id(), kind, at, data)

    def stale(self, service: str, calls: int, ratio: float | None, at: datetime) -> Alert | None:
        """Now and then, with how many calls a service had in the window, and what share was answered from before."""
        limit = self._config.stale_ratio
        if limit is None:
            return None
        known = ratio if ratio is not None and calls >= self._config.stale_min_calls else None
        if service not in self._stale and known is not None and known >= limit:
            self._stale.add(service)
            reason = f"{known:.0%} of {calls} calls in five minutes were answered from before; {limit:.0%} is the limit"
            kind = AlertType.STALE_HIGH
        elif service in self._stale and (known is None or known < limit / 2):
            self._stale.discard(service)
            reason = f"fewer than {limit / 2:.0%} of its calls are answered from before"
            kind = AlertType.STALE_NORMAL
        else:
            return None
        data = AlertData(service, reason, self._instance, stale_ratio=None if ratio is None else round(ratio, 4))
        return Alert(self._make_id(), kind, at, data)

    @property
    def troubled(self) -> set[str]:
        """Services with a circuit that was told to be open."""
        return {service for service, _, _ in self._open}

    def gone(self, services: set[str], not_closed: set[CircuitKey], at: datetime) -> Iterator[Alert]:
        """Ends the troubles of what is there no more: a supergraph without a service, or with another address for it.

        Args:
            services: there are now.
            not_closed: circuits of the troubled ones.
            at: now.
        """
        for key in sorted(self._open - not_closed, key=str):
            self._open.discard(key)
            service, protocol, operation = key
            reason = "it was replaced by a new one" if service in services else "the service is served no more"
            data = AlertData(service, reason, self._instance, protocol=protocol, operation=operation)
            yield Alert(self._make_id(), AlertType.CIRCUIT_CLOSED, at, data)
        for service in sorted(self._stale - services):
            self._stale.discard(service)
            data = AlertData(service, "the service is served no more", self._instance)
            yield Alert(self._make_id(), AlertType.STALE_NORMAL, at, data)
