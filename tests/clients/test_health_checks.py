"""Active health checks, over sockets."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.call import ProtocolName
from clients.errors import ServerFailed
from clients.health import Health
from clients.health_checks import Checked, CheckRecord, HealthChecks
from clients.policy import BreakerPolicy, HealthPolicy
from clients.state.circuit import State
from clients.transports import WireResponse
from tests.clients.fleet import fleet
from tests.clients.support import GRAPHQL_ONLY, Rig, ask_one, customer, rig, says
from tests.testkit.upstream import Behaviour, hang, html, malformed, reset, sequence, status
from tests.testkit.waiting import until_true

GRAPHQL, REST = ProtocolName.GRAPHQL, ProtocolName.REST
WELL = says({"data": {"__typename": "Query"}})
EVERY_10_S = HealthPolicy()


async def checked(made: Rig, count: int) -> None:
    """Wait until the health checks have been made `count` times, and sleep again."""
    await made.script.graphql.wait_for_calls(count)
    await made.clock.wait_for_sleepers(1)


async def test_graphql_is_asked_for_its_root_type_at_intervals_that_vary() -> None:
    async with rig(health=EVERY_10_S, rest=None, headers={"x-key": "k"}) as made:
        waits: list[float] = []
        for count in range(1, 6):
            await checked(made, count)
            waits += made.clock.sleepers
            await made.clock.advance(made.clock.sleepers[0])
        await checked(made, 6)
        call = made.script.graphql.calls[0]
        assert call.json == {"query": "{ __typename }"}
        assert call.headers["x-key"] == "k"
        assert call.headers["content-type"] == "application/json"
        assert len(waits) == len(set(waits)) == 5
        assert all(9 <= wait <= 11 for wait in waits)
        [check] = made.upstream.status().checks
        assert (check.passing, check.last.protocol, check.last.endpoint, check.last.error) == (
            True,
            GRAPHQL,
            made.script.url,
            None,
        )


async def test_without_a_policy_nothing_is_checked() -> None:
    async with rig() as made:
        await made.clock.settle()
        assert made.clock.sleepers == ()
        assert (made.calls, made.upstream.status().checks) == ((0, 0), ())


async def test_rest_is_asked_for_the_path_from_the_root_of_its_host() -> None:
    async with rig(health=HealthPolicy(path="/api/customers/1?deep=1")) as made:
        await made.script.rest.wait_for_calls(1)
        call = made.script.rest.calls[0]
        assert (call.method, call.path, call.query_string) == ("GET", "/api/customers/1", "deep=1")
        await checked(made, 1)
        assert {check.last.protocol: check.last.error for check in made.upstream.status().checks} == {
            GRAPHQL: None,
            REST: None,
        }
    async with rig(health=HealthPolicy(path="/nowhere"), graphql=None) as made:
        await made.clock.wait_for_sleepers(1)
        [check] = made.upstream.status().checks
        assert check.last.error == "answered 404"


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (WELL, None),
        (status(429), None),
        (status(503), "answered 503"),
        (status(401), "answered 401"),
        (html(), "its answer to { __typename } is not GraphQL's"),
        (malformed(), "its answer to { __typename } is not GraphQL's"),
        (says({"data": None}), "its answer to { __typename } is not GraphQL's"),
        (says({"errors": [{"message": "m"}]}), "its answer to { __typename } is not GraphQL's"),
    ],
)
async def test_what_passes_and_what_does_not(behaviour: Behaviour, error: str | None) -> None:
    async with rig(rest=None) as made:
        made.script.graphql.behave(behaviour)
        [outcome] = await made.upstream.ping()
        assert outcome.error == error


async def test_a_connection_that_breaks_or_is_refused_and_an_answer_that_is_late_do_not_pass() -> None:
    async with rig("httpx", rest=None) as made:
        made.script.graphql.behave(reset())
        [broken] = await made.upstream.ping()
        assert broken.error
        made.script.graphql.behave(hang())
        pinging = asyncio.create_task(made.upstream.ping())
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(2)
        [late] = await pinging
        assert (late.error, late.duration_s) == ("no answer within 2 s", 2)
        await made.script.refuse()
        [refused] = await made.upstream.ping()
        assert refused.error


async def test_what_nobody_foresaw_is_a_failed_check_and_does_not_end_the_checks() -> None:
    class Odd:
        calls = 0

        async def send(self, *_: object, **__: object) -> WireResponse:
            self.calls += 1
            raise ZeroDivisionError

        async def aclose(self) -> None: ...

    odd = Odd()
    async with rig() as made:
        checks = HealthChecks(
            made.service,
            EVERY_10_S,
            odd,
            {},
            hooks=made.hooks,
            clock=made.clock,
            random=random.Random(1),
        )
        checks.start()
        await made.clock.wait_for_sleepers(1)
        [check] = checks.status()
        assert check.last.error == "the check failed unexpectedly (ZeroDivisionError)"
        await made.clock.advance(11)
        assert odd.calls == 2
        await checks.aclose()


async def test_two_failed_checks_make_it_unhealthy_and_one_that_passes_healthy_again() -> None:
    async with rig(health=EVERY_10_S, rest=None) as made:
        made.script.graphql.behave(sequence(WELL, status(503), status(503), WELL))
        began = made.clock.now()
        seen = []
        for count in range(1, 5):
            await checked(made, count)
            now = made.upstream.status()
            seen.append((now.health, now.reason))
            assert (now.since == began) is (count < 3)
            await made.clock.advance(11)
        assert seen == [
            (Health.HEALTHY, "every circuit is closed and every health check passes"),
            (Health.HEALTHY, "every circuit is closed and every health check passes"),
            (Health.UNHEALTHY, "graphql: its health checks fail (answered 503)"),
            (Health.HEALTHY, "every circuit is closed and every health check passes"),
        ]
        assert [(e.service, e.endpoint, e.previous, e.state, e.reason) for e in made.hooks.endpoints] == [
            ("crm", made.script.url, "healthy", "unhealthy", "its health checks fail (answered 503)"),
            ("crm", made.script.url, "unhealthy", "healthy", "its health checks pass"),
        ]


async def test_one_protocol_that_fails_its_checks_makes_it_degraded() -> None:
    async with rig(health=HealthPolicy(path="/api/customers/1", failures=1)) as made:
        made.script.graphql.behave(status(503))
        await checked(made, 1)
        await until_true(lambda: len(made.upstream.status().checks) == 2, "both checks")
        now = made.upstream.status()
        assert (now.health, now.reason) == (Health.DEGRADED, "graphql: its health checks fail (answered 503)")


async def test_checks_go_past_circuit_retry_and_cache() -> None:
    async with rig(health=HealthPolicy(failures=1), rest=None, breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(status(503))
        await checked(made, 1)
        assert made.circuit(GRAPHQL).state is State.CLOSED
        assert (made.hooks.attempts, made.hooks.served) == ([], [])
        with pytest.raises(ServerFailed):
            await made.execute(ask_one(declared=GRAPHQL_ONLY))
        made.script.graphql.heal()
        assert made.circuit(GRAPHQL).state is State.OPEN
        [outcome] = await made.upstream.ping()
        assert outcome.error is None
        assert made.circuit(GRAPHQL).state is State.OPEN
        assert made.upstream.status().reason == "graphql open: 1 failures in a row (last: UPSTREAM_SERVER_ERROR)"


async def test_a_ping_is_remembered_only_where_there_are_checks() -> None:
    async with rig(rest=None) as made:
        made.script.graphql.behave(status(503))
        for _ in range(3):
            await made.upstream.ping()
        now = made.upstream.status()
        assert (now.health, now.checks) == (Health.HEALTHY, ())
    async with rig(rest=None, health=EVERY_10_S) as made:
        await checked(made, 1)
        made.script.graphql.behave(status(503))
        await made.upstream.ping()
        await made.upstream.ping()
        assert made.upstream.status().health is Health.UNHEALTHY


async def test_no_two_rounds_of_checks_overlap() -> None:
    async with rig("httpx", rest=None) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        first, second = (asyncio.create_task(made.upstream.ping()) for _ in range(2))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.settle()
        assert made.script.graphql.running == 1
        hanging.release()
        await asyncio.wait([first, second])
        assert (made.script.graphql.peak, len(made.script.graphql.calls)) == (1, 2)


async def test_a_cancelled_ping_leaves_nothing_and_the_next_one_is_made() -> None:
    async with rig("httpx", rest=None) as made:
        made.script.graphql.behave(hang())
        pinging = asyncio.create_task(made.upstream.ping())
        await made.script.graphql.wait_for_calls(1)
        pinging.cancel()
        await asyncio.wait([pinging])
        await made.script.graphql.wait_until_idle()
        made.script.graphql.behave(WELL)
        [outcome] = await made.upstream.ping()
        assert outcome.error is None


async def test_closing_ends_a_check_under_way() -> None:
    async with rig("httpx", rest=None, health=EVERY_10_S) as made:
        made.script.graphql.behave(hang())
        await made.script.graphql.wait_for_calls(1)


async def test_every_endpoint_is_checked_and_one_that_fails_gets_no_calls() -> None:
    async with fleet(health=HealthPolicy(failures=1)) as made:
        await made.clock.wait_for_sleepers(1)
        assert made.spread == [1, 1, 1]
        made.scripts[1].graphql.behave(status(503))
        await made.upstream.ping()
        assert made.states() == ["healthy", "unhealthy", "healthy"]
        made.scripts[1].graphql.heal()
        for script in made.scripts:
            script.graphql.forget()
        for number in range(1, 5):
            assert (await made.execute(ask_one(number, declared=GRAPHQL_ONLY))).value == customer(number)
        assert made.spread == [2, 0, 2]
        now = made.upstream.status()
        assert (now.health, now.reason) == (
            Health.DEGRADED,
            f"graphql: 1 of 3 endpoints out ({made.scripts[1].url} unhealthy: its health checks fail (answered 503))",
        )
        await made.upstream.ping()
        assert made.states() == ["healthy"] * 3
        assert [event.state for event in made.hooks.endpoints] == ["unhealthy", "healthy"]


async def test_when_no_endpoint_passes_the_upstream_is_unhealthy_and_is_asked_all_the_same() -> None:
    async with fleet((1, 1), health=HealthPolicy(failures=1), rest=None) as made:
        for script in made.scripts:
            script.graphql.behave(sequence(status(503)))
        await made.clock.wait_for_sleepers(1)
        assert made.upstream.status().health is Health.UNHEALTHY
        assert (await made.execute(ask_one(declared=GRAPHQL_ONLY))).value == customer(1)


@settings(deadline=None)
@given(
    outcomes=st.lists(st.booleans(), max_size=30),
    failures=st.integers(1, 4),
    successes=st.integers(1, 4),
)
def test_it_turns_after_exactly_as_many_in_a_row_as_the_policy_wants(
    outcomes: list[bool], failures: int, successes: int
) -> None:
    record, policy = CheckRecord(0.0), HealthPolicy(failures=failures, successes=successes)
    passing, row = True, 0
    for at, passed in enumerate(outcomes):
        row = 0 if passed is passing else row + 1
        turned = row == (failures if passing else successes)
        if turned:
            passing, row = not passing, 0
        assert record.count(Checked(GRAPHQL, "e", at, 0.0, None if passed else "m"), policy) is turned
        assert record.passing is passing


async def test_rest_alone_without_a_path_has_nothing_to_check() -> None:
    async with rig(graphql=None) as made:
        assert await made.upstream.ping() == ()
