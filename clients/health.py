"""How an upstream is, by rule, and why: from its circuits, its endpoints and its health checks."""

import enum
from collections.abc import Iterator, Mapping, Sequence

from clients.call import ProtocolName
from clients.health_checks import CheckStatus
from clients.state.balancer import EndpointState, EndpointStatus
from clients.state.circuit import CircuitStatus, State

_OUT = frozenset({EndpointState.EJECTED, EndpointState.UNHEALTHY})


class Health(enum.StrEnum):
    """An upstream's health.

    A way to it (GraphQL, REST) is open when its circuit is closed and its health checks do not fail at every endpoint.
    """

    HEALTHY = "healthy"
    """Every way is open, and every endpoint gets calls."""
    DEGRADED = "degraded"
    """A way is not open and another one is, or an endpoint gets no calls."""
    UNHEALTHY = "unhealthy"
    """No way is open: answers are stale ones, or errors."""


def judge(
    circuits: Mapping[ProtocolName, CircuitStatus],
    endpoints: Mapping[ProtocolName, Sequence[EndpointStatus]],
    checks: Sequence[CheckStatus],
) -> tuple[Health, str]:
    """The health, and the reason for it as a sentence part."""
    closed_ways = 0
    reasons: list[str] = []
    for protocol, circuit in circuits.items():
        its_checks = [check for check in checks if check.last.protocol is protocol]
        failing = bool(its_checks) and not any(check.passing for check in its_checks)
        closed_ways += circuit.state is not State.CLOSED or failing
        reasons += _reasons(protocol, circuit, endpoints.get(protocol, ()), its_checks if failing else ())
    if closed_ways == len(circuits):
        return Health.UNHEALTHY, "; ".join(reasons)
    if reasons:
        return Health.DEGRADED, "; ".join(reasons)
    return Health.HEALTHY, "every circuit is closed" + (" and every health check passes" if checks else "")


def _reasons(
    protocol: ProtocolName,
    circuit: CircuitStatus,
    endpoints: Sequence[EndpointStatus],
    failing: Sequence[CheckStatus],
) -> Iterator[str]:
    if circuit.state is not State.CLOSED:
        yield f"{protocol} {circuit.state}: {circuit.reason}"
    out = [endpoint for endpoint in endpoints if endpoint.state in _OUT]
    if out:
        each = ", ".join(f"{endpoint.name} {endpoint.state}: {endpoint.reason}" for endpoint in out)
        yield f"{protocol}: {len(out)} of {len(endpoints)} endpoints out ({each})"
    elif failing:
        yield f"{protocol}: its health checks fail ({failing[0].last.error})"
