"""The rule of an upstream's health, in a table."""

import random
from collections.abc import Mapping, Sequence

import pytest

from clients.call import ProtocolName
from clients.endpoint import Endpoint
from clients.health import Health, judge
from clients.health_checks import Checked, CheckStatus
from clients.policy import BreakerPolicy, EjectionPolicy, EndpointsPolicy
from clients.state.balancer import Balancer, EndpointStatus
from clients.state.circuit import Circuit, CircuitStatus, Failure, Outcome, Permit

GRAPHQL, REST = ProtocolName.GRAPHQL, ProtocolName.REST
WELL = "every circuit is closed"


def circuit(*, failed: bool) -> CircuitStatus:
    made = Circuit(BreakerPolicy(failures=1), now=0, random=random.Random(1))
    permit = made.acquire(0)
    assert isinstance(permit, Permit)
    made.settle(permit, Outcome.FAILURE if failed else Outcome.SUCCESS, 0, Failure("REFUSED", "m", 0))
    return made.status(0)


def check(protocol: ProtocolName, *, passing: bool, endpoint: str = "a") -> CheckStatus:
    return CheckStatus(passing, 0, Checked(protocol, endpoint, 0, 0, None if passing else "answered 503"))


def endpoints(*failing: str) -> tuple[EndpointStatus, ...]:
    made = Balancer(
        [Endpoint("a"), Endpoint("b")],
        EndpointsPolicy(eject=EjectionPolicy(failures=1, max_share=1.0)),
        now=0,
        random=random.Random(1),
    )
    for name in failing:
        made.mark(Endpoint(name), 0, "its health checks fail (m)", passes=False)
    return made.status(0)


UP, DOWN = circuit(failed=False), circuit(failed=True)
GRAPHQL_DOWN = "graphql open: 1 failures in a row (last: REFUSED)"
REST_DOWN = "rest open: 1 failures in a row (last: REFUSED)"


@pytest.mark.parametrize(
    ("circuits", "found", "checks", "health", "reason"),
    [
        ({GRAPHQL: UP, REST: UP}, {}, [], Health.HEALTHY, WELL),
        ({GRAPHQL: DOWN, REST: UP}, {}, [], Health.DEGRADED, GRAPHQL_DOWN),
        ({GRAPHQL: DOWN, REST: DOWN}, {}, [], Health.UNHEALTHY, f"{GRAPHQL_DOWN}; {REST_DOWN}"),
        ({REST: DOWN}, {}, [], Health.UNHEALTHY, REST_DOWN),
        ({REST: UP}, {}, [check(REST, passing=True)], Health.HEALTHY, f"{WELL} and every health check passes"),
        ({REST: UP}, {}, [check(REST, passing=False)], Health.UNHEALTHY, "rest: its health checks fail (answered 503)"),
        (
            {GRAPHQL: UP, REST: UP},
            {},
            [check(GRAPHQL, passing=False), check(REST, passing=True)],
            Health.DEGRADED,
            "graphql: its health checks fail (answered 503)",
        ),
        (
            {GRAPHQL: DOWN, REST: UP},
            {},
            [check(REST, passing=False)],
            Health.UNHEALTHY,
            f"{GRAPHQL_DOWN}; rest: its health checks fail (answered 503)",
        ),
        ({GRAPHQL: UP}, {GRAPHQL: endpoints()}, [], Health.HEALTHY, WELL),
        (
            {GRAPHQL: UP},
            {GRAPHQL: endpoints("a")},
            [check(GRAPHQL, passing=False), check(GRAPHQL, passing=True, endpoint="b")],
            Health.DEGRADED,
            "graphql: 1 of 2 endpoints out (a unhealthy: its health checks fail (m))",
        ),
        (
            {GRAPHQL: UP},
            {GRAPHQL: endpoints("a", "b")},
            [check(GRAPHQL, passing=False), check(GRAPHQL, passing=False, endpoint="b")],
            Health.UNHEALTHY,
            "graphql: 2 of 2 endpoints out (a unhealthy: its health checks fail (m), "
            "b unhealthy: its health checks fail (m))",
        ),
    ],
)
def test_the_rule(
    circuits: Mapping[ProtocolName, CircuitStatus],
    found: Mapping[ProtocolName, Sequence[EndpointStatus]],
    checks: Sequence[CheckStatus],
    health: Health,
    reason: str,
) -> None:
    assert judge({p: {None: each} for p, each in circuits.items()}, found, checks) == (health, reason)


def test_of_several_circuits_one_that_is_closed_keeps_the_way_open_and_some_of_the_others_are_named() -> None:
    one_by_one: dict[str | None, CircuitStatus] = {f"op{n}": DOWN for n in range(7)}
    said = [f"graphql op{n} open: 1 failures in a row (last: REFUSED)" for n in range(5)]
    assert judge({GRAPHQL: one_by_one}, {}, []) == (Health.UNHEALTHY, "; ".join([*said, "and 2 more"]))
    health, reason = judge({GRAPHQL: {**one_by_one, "well": UP}}, {}, [])
    assert (health, reason) == (Health.DEGRADED, "; ".join([*said, "and 2 more"]))
    assert judge({GRAPHQL: {}}, {}, []) == (Health.HEALTHY, WELL)
