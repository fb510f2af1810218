"""What is to be known about one upstream, and how it ends."""

import asyncio

import pytest
from msgspec.structs import replace

from clients.call import ProtocolName, ServedBy
from clients.clock import SystemClock
from clients.errors import CircuitOpen, ConnectFailed, ServiceUnavailable, UpstreamError
from clients.health import Health
from clients.hooks import NoHooks
from clients.policy import PROFILES, BreakerPolicy, CachePolicy, RetryPolicy
from clients.service import Service
from clients.state.circuit import Mode, State
from clients.state.circuits import NoSuchCircuit
from clients.stores.memory import MemoryStore
from clients.transports import HttpxWire
from clients.upstream import Upstream
from tests.clients.support import CALLER, GRAPHQL_ONLY, TOUCH, ask, ask_one, customer, rig
from tests.testkit.ports import bound_port
from tests.testkit.upstream import hang, sequence, status

GRAPHQL, REST = ProtocolName.GRAPHQL, ProtocolName.REST


async def test_answers_are_counted_by_how_they_were_served() -> None:
    async with rig(cache=CachePolicy(max_age_s=60, stale_if_error_s=600)) as made:
        await made.execute(ask_one())
        await made.execute(ask_one())
        made.script.graphql.behave(status(500))
        await made.execute(ask_one(2))
        made.script.rest.behave(status(500))
        with pytest.raises(ServiceUnavailable):
            await made.execute(ask_one(3))
        await made.clock.advance(70)
        await made.execute(ask_one())
        now = made.upstream.status()
        assert now.served.counts == {
            ServedBy.GRAPHQL: 1,
            ServedBy.REST: 1,
            ServedBy.FRESH: 1,
            ServedBy.STALE: 1,
            ServedBy.ALTERNATIVE: 0,
            ServedBy.DEFAULT: 0,
        }
        assert now.served.failed == 1
        assert (now.cache.fresh, now.cache.stale, now.cache.misses) == (1, 1, 4)


async def test_the_oldest_stale_answer_is_remembered_until_the_upstream_answers_again() -> None:
    async with rig(cache=CachePolicy(max_age_s=60, stale_if_error_s=600)) as made:
        await made.execute(ask(1))
        await made.clock.advance(30)
        await made.execute(ask(2))
        await made.clock.advance(70)
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(500))
        await made.execute(ask(1, 2))
        assert made.hooks.served[-1].served is not None
        assert made.hooks.served[-1].served.age_s == 100
        await made.execute(ask(2))
        assert made.upstream.status().served.oldest_stale_s == 100
        made.script.rest.heal()
        await made.execute(ask(3))
        await made.execute(ask(3))
        assert made.upstream.status().served.oldest_stale_s is None


async def test_health_and_its_since_come_from_the_circuits() -> None:
    async with rig(breaker=BreakerPolicy(failures=1, open_s=30)) as made:
        began = made.clock.now()
        assert (made.upstream.name, made.upstream.status().health, made.upstream.status().since) == (
            "crm",
            Health.HEALTHY,
            began,
        )
        await made.clock.advance(5)
        made.script.graphql.behave(status(500))
        await made.execute(ask_one())
        assert (made.upstream.status().health, made.upstream.status().since) == (Health.DEGRADED, began + 5)
        made.script.rest.behave(status(500))
        with pytest.raises(ServiceUnavailable):
            await made.execute(ask_one())
        assert made.upstream.status().health is Health.UNHEALTHY
        await made.clock.advance(40)
        circuits = made.upstream.status().circuits
        assert [circuits[p].state for p in (GRAPHQL, REST)] == [State.HALF_OPEN, State.HALF_OPEN]
        made.script.graphql.heal()
        await made.execute(ask_one())
        assert made.upstream.status().health is Health.DEGRADED


async def test_an_upstream_of_one_protocol_has_one_circuit() -> None:
    async with rig(rest=None, breaker=BreakerPolicy(failures=1)) as made:
        assert list(made.upstream.status().circuits) == [GRAPHQL]
        made.script.graphql.behave(status(500))
        with pytest.raises(UpstreamError):
            await made.execute(ask_one(declared=GRAPHQL_ONLY))
        assert made.upstream.status().health is Health.UNHEALTHY


async def test_the_hooks_are_told_of_attempts_circuits_and_answers() -> None:
    policy = RetryPolicy(attempts=2, backoff_s=1)
    async with rig(retry=policy, breaker=BreakerPolicy(failures=2, open_s=30)) as made:
        made.script.graphql.behave(sequence(status(503), status(503)))
        task = made.start(ask_one())
        await made.clock.wait_for_sleepers(1)
        await made.clock.advance(1)
        await task
        attempts = made.hooks.attempts
        assert [(e.protocol, e.call.attempt, e.error) for e in attempts] == [
            (GRAPHQL, 1, "UPSTREAM_SERVER_ERROR"),
            (GRAPHQL, 2, "UPSTREAM_SERVER_ERROR"),
            (REST, 1, None),
        ]
        assert attempts[0].message == "crm: GraphQL customer answered 503"
        [circuit] = made.hooks.circuits
        assert (circuit.service, circuit.protocol, circuit.previous, circuit.state, circuit.reason) == (
            "crm",
            GRAPHQL,
            "closed",
            "open",
            "2 failures in a row (last: UPSTREAM_SERVER_ERROR)",
        )
        [served] = made.hooks.served
        assert served.served is not None
        assert (served.served.by, served.served.reason, served.error) == (ServedBy.REST, "UPSTREAM_SERVER_ERROR", None)
        assert served.call.caller.request_id == "request-1"


async def test_the_hooks_are_told_how_long_an_attempt_took_and_what_failed_for_good() -> None:
    async with rig() as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        task = made.start(ask_one(declared=GRAPHQL_ONLY))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(3)
        hanging.release()
        await task
        assert made.hooks.attempts[0].duration_s == 3
        made.script.graphql.behave(status(400))
        with pytest.raises(UpstreamError):
            await made.execute(ask_one(declared=GRAPHQL_ONLY))
        assert (made.hooks.served[-1].served, made.hooks.served[-1].error) == (None, "UPSTREAM_REJECTED")


async def test_a_cancelled_attempt_is_told_to_nobody() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(hang())
        task = made.start(ask_one())
        await made.script.graphql.wait_for_calls(1)
        task.cancel()
        await asyncio.wait([task])
        await made.clock.settle()
        assert (made.hooks.attempts, made.hooks.served) == ([], [])


async def test_leaving_ends_calls_in_flight_and_leaves_no_task_and_no_connection() -> None:
    async with rig("httpx") as made:
        before = asyncio.all_tasks()
        made.script.graphql.behave(hang())
        callers = [replace(CALLER, user=str(n)) for n in range(20)]
        tasks = [made.start(ask(1, caller=caller)) for caller in callers]
        await made.script.graphql.wait_for_calls(20)
        await made.upstream.__aexit__(None, None, None)
        await asyncio.wait(tasks)
        await made.script.wait_for_connections(0)
        await made.clock.settle()
        assert asyncio.all_tasks() <= before
        assert made.circuit(GRAPHQL).failure_rate is None


async def test_a_mutation_is_not_ended_by_closing_it_belongs_to_its_caller() -> None:
    async with rig() as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        task = made.start(ask_one(declared=TOUCH))
        await made.script.graphql.wait_for_calls(1)
        await made.upstream.__aexit__(None, None, None)
        hanging.release()
        assert (await task).value == customer(1)


async def test_by_default_it_runs_on_the_machines_clock_and_tells_nobody() -> None:
    clock = SystemClock()
    with bound_port() as port:
        wire = HttpxWire()
        policy = PROFILES["internal-fast"]
        service = Service("crm", policy, graphql=f"http://127.0.0.1:{port}/graphql")
        async with Upstream(service, wire, MemoryStore(10, 10_000, clock)) as upstream:
            with pytest.raises(ConnectFailed):
                await upstream.execute(ask_one(declared=TOUCH))
            failure = upstream.status().circuits[GRAPHQL].last_failure
            assert failure is not None
            assert 0 <= clock.now() - failure.at < 60
        await wire.aclose()
    assert abs(clock.wall().timestamp() - SystemClock().wall().timestamp()) < 60
    async with clock.timeout(60):
        await clock.sleep(0)
    assert NoHooks().on_served is not None


async def test_an_operator_forces_the_circuits_of_one_protocol_or_of_all() -> None:
    async with rig() as made:
        made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada", reason="deploying", protocol=GRAPHQL)
        answer = await made.execute(ask_one())
        assert (answer.served.by, answer.served.reason, made.calls) == (ServedBy.REST, "CIRCUIT_OPEN", (0, 1))
        assert made.upstream.status().health is Health.DEGRADED
        made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada")
        with pytest.raises(ServiceUnavailable):
            await made.execute(ask_one())
        assert (made.upstream.status().health, made.calls) == (Health.UNHEALTHY, (0, 1))
        made.upstream.force_circuit(Mode.AUTOMATIC, by="bob", protocol=GRAPHQL)
        assert (await made.execute(ask_one())).served.by is ServedBy.GRAPHQL
        assert (made.circuit(GRAPHQL).state, made.circuit(REST).mode) == (State.CLOSED, Mode.FORCED_OPEN)
        made.upstream.reset_circuit(by="bob", reason="over")
        assert made.upstream.status().health is Health.HEALTHY
        assert made.circuit(REST).reason == "reset by bob: over"
        assert [(e.state, e.reason) for e in made.hooks.circuits][:1] == [("open", "forced open by ada: deploying")]


async def test_a_disabled_circuit_lets_a_failing_upstream_be_asked_on() -> None:
    async with rig(breaker=BreakerPolicy(failures=1)) as made:
        made.upstream.force_circuit(Mode.DISABLED, by="ada", protocol=GRAPHQL)
        made.script.graphql.behave(status(500))
        for _ in range(5):
            with pytest.raises(UpstreamError):
                await made.execute(ask_one(declared=GRAPHQL_ONLY))
        assert (made.calls, made.circuit(GRAPHQL).window.calls) == ((5, 0), 0)
        made.upstream.force_circuit(Mode.METRICS_ONLY, by="ada", protocol=GRAPHQL)
        for _ in range(5):
            with pytest.raises(UpstreamError):
                await made.execute(ask_one(declared=GRAPHQL_ONLY))
        assert (made.calls, made.circuit(GRAPHQL).failure_rate) == ((10, 0), 1.0)


async def test_what_is_in_flight_when_an_operator_acts_is_not_counted() -> None:
    async with rig(breaker=BreakerPolicy(failures=1)) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        task = made.start(ask_one(declared=GRAPHQL_ONLY))
        await made.script.graphql.wait_for_calls(1)
        made.upstream.reset_circuit(by="ada")
        hanging.release()
        await task
        assert made.circuit(GRAPHQL).window.calls == 0


async def test_an_operator_who_names_what_there_is_not_is_told_what_there_is() -> None:
    async with rig(rest=None) as made:
        with pytest.raises(NoSuchCircuit) as raised:
            made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada", protocol=REST)
        assert str(raised.value) == "crm: is not spoken to by rest; it is by graphql"
        with pytest.raises(NoSuchCircuit) as raised:
            made.upstream.reset_circuit(by="ada", operation="customer")
        assert str(raised.value) == (
            "crm: has one circuit for all operations, and none for customer; name no operation, or set "
            "breaker.scope: operation"
        )
        assert made.circuit(GRAPHQL).mode is Mode.AUTOMATIC


async def test_circuits_by_operation_are_forced_one_by_one_or_together_and_health_counts_them_all() -> None:
    async with rig(rest=None, breaker=BreakerPolicy(scope="operation", failures=1)) as made:
        began = made.clock.now()
        await made.clock.advance(5)
        nothing = made.upstream.status()
        assert (nothing.health, nothing.since, nothing.circuits, nothing.by_operation) == (
            Health.HEALTHY,
            began,
            {},
            {},
        )
        made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada", operation="customerByGraphQL")
        await made.execute(ask_one())
        with pytest.raises(CircuitOpen):
            await made.execute(ask_one(declared=GRAPHQL_ONLY))
        now = made.upstream.status()
        assert {name: each.state for (_, name), each in now.by_operation.items()} == {
            "customer": State.CLOSED,
            "customerByGraphQL": State.OPEN,
        }
        assert (now.health, now.circuits[GRAPHQL].mode) == (Health.DEGRADED, Mode.FORCED_OPEN)
        made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada")
        assert made.upstream.status().health is Health.UNHEALTHY
        with pytest.raises(CircuitOpen):
            await made.execute(ask(1))
        made.upstream.reset_circuit(by="ada")
        await made.execute(ask(1))
        assert made.upstream.status().health is Health.HEALTHY
