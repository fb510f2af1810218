"""Several endpoints behind one service, over sockets."""

import asyncio
import contextlib

import pytest
from msgspec.structs import replace

from clients.call import ProtocolName
from clients.errors import AttemptTimeout, ConnectFailed, DeadlineExceeded, Rejected, ServerFailed, ServiceUnavailable
from clients.health import Health
from clients.policy import BreakerPolicy, RetryPolicy
from clients.state.circuit import State
from tests.clients.fleet import Fleet, fleet
from tests.clients.support import CALLER, GRAPHQL_ONLY, REST_ONLY, TOUCH, ask_one, customer, rig
from tests.testkit.upstream import hang, status

GRAPHQL = ProtocolName.GRAPHQL


async def ask_many(made: Fleet, count: int) -> None:
    """As many calls, one after the other, each of them answered."""
    for number in range(1, count + 1):
        assert (await made.execute(ask_one(number, declared=GRAPHQL_ONLY))).value == customer(number)


async def retried(made: Fleet, number: int) -> object:
    """The value of a call that is retried once."""
    call = asyncio.create_task(made.execute(ask_one(number, declared=GRAPHQL_ONLY)))
    while not call.done():
        waiting = asyncio.create_task(made.clock.wait_for_sleepers(1))
        await asyncio.wait([call, waiting], return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            await made.clock.advance(0.5)
        waiting.cancel()
    return call.result().value


async def test_calls_are_spread_by_weight() -> None:
    async with fleet((2, 1, 1)) as made:
        await ask_many(made, 20)
        assert made.spread == [10, 5, 5]


@pytest.mark.parametrize("balance", ["random", "least-outstanding"])
async def test_every_way_to_choose_uses_every_endpoint(balance: str) -> None:
    async with fleet(balance=balance) as made:
        await ask_many(made, 30)
        assert min(made.spread) >= 3


async def test_rest_goes_to_the_endpoints_too_under_their_own_origin() -> None:
    async with fleet((1, 1)) as made:
        for number in range(1, 5):
            assert (await made.execute(ask_one(number, declared=REST_ONLY))).value == customer(number)
        assert [len(script.rest.calls) for script in made.scripts] == [2, 2]
        for script in made.scripts:
            assert script.rest.calls[0].headers["host"] == script.url.removeprefix("http://")


async def test_a_dead_endpoint_is_ejected_and_every_answer_comes_from_the_others() -> None:
    async with fleet(retry=RetryPolicy(attempts=2, backoff_s=0.5)) as made:
        await made.scripts[1].refuse()
        for number in range(1, 21):
            assert await retried(made, number) == customer(number)
        assert made.states() == ["healthy", "ejected", "healthy"]
        failed = [event for event in made.hooks.attempts if event.error]
        assert len(failed) == 2
        assert {event.endpoint for event in failed} == {made.scripts[1].url}
        [told] = made.hooks.endpoints
        assert (told.service, told.protocol, told.endpoint, told.previous, told.state) == (
            "crm",
            GRAPHQL,
            made.scripts[1].url,
            "healthy",
            "ejected",
        )
        assert told.reason == "2 failure(s) in a row (last: UPSTREAM_UNREACHABLE)"


async def test_an_ejected_endpoint_comes_back_after_its_time() -> None:
    async with fleet(retry=RetryPolicy(attempts=2, backoff_s=0.5)) as made:
        await made.scripts[1].refuse()
        for number in range(1, 10):
            await retried(made, number)
        await made.scripts[1].listen()
        for script in made.scripts:
            script.graphql.forget()
        await ask_many(made, 6)
        assert made.spread == [3, 0, 3]
        await made.clock.advance(11)
        assert made.states() == ["healthy", "returning", "healthy"]
        await ask_many(made, 9)
        assert made.states() == ["healthy", "healthy", "healthy"]
        assert made.spread[1] == 3
        assert [event.state for event in made.hooks.endpoints] == ["ejected", "returning", "healthy"]


async def test_a_retry_goes_to_another_endpoint_than_the_attempts_before_it() -> None:
    async with fleet(retry=RetryPolicy(attempts=3, backoff_s=0.5)) as made:
        for script in made.scripts:
            script.graphql.behave(status(503))
        with pytest.raises(ServerFailed):
            await retried(made, 1)
        assert made.spread == [1, 1, 1]


async def test_with_more_attempts_than_endpoints_no_two_in_a_row_go_to_the_same() -> None:
    async with fleet((1, 1), retry=RetryPolicy(attempts=4, backoff_s=0.5), eject={"failures": 9}) as made:
        for script in made.scripts:
            script.graphql.behave(status(503))
        with pytest.raises(ServerFailed):
            await retried(made, 1)
        names = [event.endpoint for event in made.hooks.attempts]
        assert names == [names[0], names[1]] * 2
        assert names[0] != names[1]


async def test_one_dead_endpoint_does_not_open_the_circuit_of_the_service() -> None:
    async with fleet((1, 1), breaker=BreakerPolicy(failures=1), eject={"failures": 5}) as made:
        await ask_many(made, 2)
        made.scripts[0].graphql.behave(status(503))
        for number in range(6):
            with contextlib.suppress(ServerFailed):
                await made.execute(ask_one(number + 1, declared=GRAPHQL_ONLY))
        assert made.circuit(GRAPHQL).state is State.CLOSED
        assert made.circuit(GRAPHQL).consecutive_failures == 0


async def test_a_service_that_fails_everywhere_opens_its_circuit() -> None:
    async with fleet(breaker=BreakerPolicy(failures=3)) as made:
        for script in made.scripts:
            script.graphql.behave(status(503))
        for number in range(5):
            with pytest.raises(ServerFailed):
                await made.execute(ask_one(number + 1, declared=GRAPHQL_ONLY))
        assert made.circuit(GRAPHQL).state is State.OPEN


async def test_timeouts_eject_and_the_deadline_of_a_request_does_not() -> None:
    async with fleet((1, 1), timeout_s=5.0) as made:
        hanging = hang()
        made.scripts[0].graphql.behave(hanging)
        made.scripts[1].graphql.behave(hanging)
        urgent = replace(CALLER, deadline=made.clock.now() + 1)
        tasks = [made.start(ask_one(n, declared=GRAPHQL_ONLY, caller=urgent)) for n in range(1, 7)]
        await made.clock.wait_for_timeouts(6)
        await made.clock.advance(1)
        assert {type(task.exception()) for task in tasks} == {DeadlineExceeded}
        assert made.states() == ["healthy", "healthy"]
        made.scripts[1].graphql.heal()
        patient = [made.start(ask_one(n, declared=GRAPHQL_ONLY)) for n in range(1, 5)]
        await asyncio.wait([patient[1], patient[3]])  # in turn: these two go to the one that answers
        await made.scripts[0].graphql.wait_for_calls(5)
        await made.clock.advance(5)
        assert [type(patient[n].exception()) for n in (0, 2)] == [AttemptTimeout] * 2
        assert made.states() == ["ejected", "healthy"]
        hanging.release()


async def test_a_refusal_is_an_answer_of_a_healthy_endpoint() -> None:
    async with fleet((1, 1)) as made:
        for script in made.scripts:
            script.graphql.behave(status(400))
        for number in range(8):
            with pytest.raises(Rejected):
                await made.execute(ask_one(number + 1, declared=GRAPHQL_ONLY))
        assert made.states() == ["healthy", "healthy"]
        assert all(e.consecutive_failures == 0 for e in made.upstream.status().endpoints[GRAPHQL])


@pytest.mark.parametrize("wire", ["pyreqwest", "httpx"])
async def test_callers_that_hang_up_by_the_hundred_leave_nothing_outstanding_and_eject_nobody(wire: str) -> None:
    async with fleet(wire=wire, balance="least-outstanding") as made:
        hanging = hang()
        for script in made.scripts:
            script.graphql.behave(hanging)
        tasks = [made.start(ask_one(n, declared=GRAPHQL_ONLY)) for n in range(1, 91)]
        for script in made.scripts:
            await script.graphql.wait_for_calls(20)  # spread evenly, more or less
        assert made.outstanding().total() == 90
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await made.clock.settle()
        assert not made.outstanding()
        assert made.states() == ["healthy"] * 3
        hanging.release()


async def test_an_endpoint_that_fails_over_one_protocol_is_still_used_over_the_other() -> None:
    async with fleet((1, 1)) as made:
        made.scripts[0].graphql.behave(status(503))
        for number in range(1, 9):
            assert (await made.execute(ask_one(number))).value == customer(number)
        endpoints = made.upstream.status().endpoints
        assert [e.state.value for e in endpoints[GRAPHQL]] == ["ejected", "healthy"]
        assert [e.state.value for e in endpoints[ProtocolName.REST]] == ["healthy", "healthy"]
        now = made.upstream.status()
        assert now.health is Health.DEGRADED
        assert now.reason == (
            f"graphql: 1 of 2 endpoints out ({made.scripts[0].url} ejected: "
            "2 failure(s) in a row (last: UPSTREAM_SERVER_ERROR))"
        )


async def test_rest_goes_to_another_endpoint_than_the_one_that_failed_over_graphql() -> None:
    async with fleet((1, 1)) as made:
        await made.scripts[0].refuse()
        for number in range(1, 9):
            assert (await made.execute(ask_one(number))).value == customer(number)


async def test_a_mutation_is_sent_to_one_endpoint_only() -> None:
    async with fleet(retry=RetryPolicy(attempts=3, backoff_s=0.5)) as made:
        for script in made.scripts:
            script.graphql.behave(status(503))
        with pytest.raises(ServerFailed):
            await made.execute(ask_one(declared=TOUCH))
        assert sum(made.spread) == 1


async def test_when_every_endpoint_is_dead_the_error_says_what_any_service_would() -> None:
    async with fleet((1, 1)) as made:
        for script in made.scripts:
            await script.refuse()
        with pytest.raises(ConnectFailed):
            await made.execute(ask_one(declared=GRAPHQL_ONLY))
        with pytest.raises(ServiceUnavailable):
            await made.execute(ask_one())


async def test_a_service_with_one_address_has_no_balancer() -> None:
    async with rig() as made:
        await made.execute(ask_one())
        assert made.upstream.status().endpoints == {}
        assert made.hooks.attempts[0].endpoint is None
        assert made.hooks.attempts[0].call.tried is None
