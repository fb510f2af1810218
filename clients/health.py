"""How an upstream is, by rule, and why: from its circuits, its endpoints and its health checks."""

import enum
from collections.abc import Iterator, Mapping, Sequence

from clients.call import ProtocolName
from clients.health_checks import CheckStatus
from clients.state.balancer import EndpointState, EndpointStatus
from clients.state.circuit import CircuitStatus, State

_SHOWN = 5  # circuits of one way; more say the same
_OUT = frozenset({EndpointState.EJECTED, EndpointState.UNHEALTHY})


class Health(enum.StrEnum):
    """An upstream's health.

    A way to it (GraphQL, REST) is open when its circuit is closed (of several, one of them) and its health checks do
    not fail at every endpoint.
    """

    HEALTHY = "healthy"
    """Every way is open, and every endpoint gets calls."""
    DEGRADED = "degraded"
    """A way is not open and another one is, or an endpoint gets no calls."""
    UNHEALTHY = "unhealthy"
    """No way is open: answers are stale ones, or errors."""


def judge(
    circuits: Mapping[ProtocolName, Mapping[str | None, CircuitStatus]],
    endpoints: Mapping[ProtocolName, Sequence[EndpointStatus]],
    checks: Sequence[CheckStatus],
) -> tuple[Health, str]:
    """The health, and the reason for it as a sentence part.

    Args:
        circuits: of each way, by what they are for; None for everything.
        endpoints: of each way that has several.
        checks: of all ways.
    """
    closed_ways = 0
    reasons: list[str] = []
    for protocol, its_circuits in circuits.items():
        its_checks = [check for check in checks if check.last.protocol is protocol]
        failing = bool(its_checks) and not any(check.passing for check in its_checks)
        shut = {what: each for what, each in its_circuits.items() if each.state is not State.CLOSED}
        closed_ways += failing or (bool(shut) and len(shut) == len(its_circuits))
        reasons += _circuit_reasons(protocol, shut)
        reasons += _endpoint_reasons(protocol, endpoints.get(protocol, ()), its_checks if failing else ())
    if closed_ways == len(circuits):
        return Health.UNHEALTHY, "; ".join(reasons)
    if reasons:
        return Health.DEGRADED, "; ".join(reasons)
    return Health.HEALTHY, "every circuit is closed" + (" and every health check passes" if checks else "")


def _circuit_reasons(protocol: ProtocolName, shut: Mapping[str | None, CircuitStatus]) -> list[str]:
    reasons = [
        f"{protocol}{'' if what is None else f' {what}'} {circuit.state}: {circuit.reason}"
        for what, circuit in shut.items()
    ]
    return reasons if len(reasons) <= _SHOWN else [*reasons[:_SHOWN], f"and {len(reasons) - _SHOWN} more"]


def _endpoint_reasons(
    protocol: ProtocolName, endpoints: Sequence[EndpointStatus], failing: Sequence[CheckStatus]
) -> Iterator[str]:
    out = [endpoint for endpoint in endpoints if endpoint.state in _OUT]
    if out:
        each = ", ".join(f"{endpoint.name} {endpoint.state}: {endpoint.reason}" for endpoint in out)
        yield f"{protocol}: {len(out)} of {len(endpoints)} endpoints out ({each})"
    elif failing:
        yield f"{protocol}: its health checks fail ({failing[0].last.error})"
