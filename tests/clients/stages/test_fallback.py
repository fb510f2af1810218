"""GraphQL first, REST next: the same rows, the reason noted, and each circuit counting its own."""

import asyncio
from dataclasses import replace

import pytest

from clients.call import ProtocolName, ServedBy
from clients.errors import (
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    InvalidVariables,
    Rejected,
    ServerFailed,
    ServiceUnavailable,
)
from clients.operation import RestRoute
from clients.policy import BreakerPolicy, RetryPolicy
from clients.stages.fallback import NoWay, ways
from clients.state.circuit import State
from tests.clients.support import (
    GRAPHQL_ONLY,
    MANY,
    REST_ONLY,
    TOUCH,
    WIRES,
    ask,
    ask_one,
    customer,
    rig,
)
from tests.testkit.ports import bound_port
from tests.testkit.upstream import Behaviour, errors, hang, html, malformed, reset, status, truncated, wrong_shape

GRAPHQL, REST = ProtocolName.GRAPHQL, ProtocolName.REST

FAILURES = [
    (status(500), "UPSTREAM_SERVER_ERROR"),
    (reset(), "UPSTREAM_CONNECTION_LOST"),
    (truncated(), "UPSTREAM_CONNECTION_LOST"),
    (malformed(), "UPSTREAM_MALFORMED_RESPONSE"),
    (html(), "UPSTREAM_MALFORMED_RESPONSE"),
    (wrong_shape(), "UPSTREAM_MALFORMED_RESPONSE"),
    (errors("down", code="INTERNAL_SERVER_ERROR"), "UPSTREAM_SERVER_ERROR"),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("behaviour", "code"), FAILURES)
async def test_when_graphql_fails_rest_gives_the_same_rows_and_only_graphqls_circuit_counts(
    wire: str, behaviour: Behaviour, code: str
) -> None:
    async with rig(wire) as made:
        whole = await made.execute(ask(2, 1, 999))
        made.script.graphql.behave(behaviour)
        answer = await made.execute(ask(2, 1, 999))
        assert answer.value == whole.value == [customer(2), customer(1), None]
        assert (answer.served.by, answer.served.reason, answer.served.degraded) == (ServedBy.REST, code, True)
        assert made.circuit(GRAPHQL).consecutive_failures == 1
        assert (made.circuit(REST).failure_rate, made.circuit(REST).consecutive_failures) == (0.0, 0)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_refused_graphql_port_falls_back(wire: str) -> None:
    with bound_port() as port:
        async with rig(wire, graphql=f"http://127.0.0.1:{port}/graphql") as made:
            answer = await made.execute(ask_one())
            assert (answer.value, answer.served.reason) == (customer(1), "UPSTREAM_UNREACHABLE")
            assert made.circuit(GRAPHQL).consecutive_failures == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_a_graphql_timeout_falls_back(wire: str) -> None:
    async with rig(wire, timeout_s=5) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        task = made.start(ask_one())
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(5)
        answer = await task
        assert (answer.value, answer.served.reason) == (customer(1), "UPSTREAM_TIMEOUT")
        hanging.release()


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (status(404), "UPSTREAM_CONTRACT_MISMATCH"),
        (errors("Cannot query field", http_status=400), "UPSTREAM_CONTRACT_MISMATCH"),
        (status(429), "UPSTREAM_RATE_LIMITED"),
    ],
)
async def test_an_upstream_that_cannot_answer_so_is_asked_the_other_way_and_nothing_is_held_against_it(
    behaviour: Behaviour, code: str
) -> None:
    async with rig() as made:
        made.script.graphql.behave(behaviour)
        answer = await made.execute(ask_one())
        assert (answer.value, answer.served.reason) == (customer(1), code)
        assert made.circuit(GRAPHQL).consecutive_failures == 0


@pytest.mark.parametrize("behaviour", [status(400), status(401), status(403), errors("no", code="BAD_USER_INPUT")])
async def test_a_refusal_is_not_taken_elsewhere(behaviour: Behaviour) -> None:
    async with rig() as made:
        made.script.graphql.behave(behaviour)
        with pytest.raises(Rejected):
            await made.execute(ask_one())
        assert made.calls == (1, 0)


async def test_an_open_graphql_circuit_goes_straight_to_rest() -> None:
    async with rig(breaker=BreakerPolicy(failures=2)) as made:
        made.script.graphql.behave(status(500))
        for _ in range(2):
            await made.execute(ask_one())
        made.script.graphql.forget()
        answer = await made.execute(ask_one())
        assert (answer.value, answer.served.reason) == (customer(1), "CIRCUIT_OPEN")
        assert made.calls == (0, 3)
        assert (made.circuit(GRAPHQL).state, made.circuit(REST).state) == (State.OPEN, State.CLOSED)


async def test_graphql_is_retried_before_rest_is_asked() -> None:
    async with rig(retry=RetryPolicy(attempts=2, backoff_s=1)) as made:
        made.script.graphql.behave(status(503))
        task = made.start(ask_one())
        await made.clock.wait_for_sleepers(1)
        assert made.calls == (1, 0)
        await made.clock.advance(1)
        assert (await task).served.by is ServedBy.REST
        assert made.calls == (2, 1)


async def test_when_every_way_fails_the_error_has_each_cause_and_the_shortest_wait() -> None:
    async with rig() as made:
        made.script.graphql.behave(status(503, headers={"retry-after": "30"}))
        made.script.rest.behave(status(503, headers={"retry-after": "20"}))
        with pytest.raises(ServiceUnavailable) as raised:
            await made.execute(ask_one())
        error = raised.value
        assert [type(cause) for cause in error.causes] == [ServerFailed, ServerFailed]
        assert error.message == (
            "crm: no way to it answered (GraphQL customer answered 503; REST GET /customers/{id} answered 503)"
        )
        assert error.retry_after_s == 20


async def test_rests_refusal_stands_also_after_graphql_failed() -> None:
    async with rig() as made:
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(403))
        with pytest.raises(Rejected, match=r"REST GET /customers/\{id\} answered 403"):
            await made.execute(ask_one())
        made.script.rest.heal()
        with pytest.raises(ServiceUnavailable) as caught:  # what cannot be asked over REST hides no failure of GraphQL
            await made.execute(ask_one(".."))
        assert [type(cause) for cause in caught.value.causes] == [ServerFailed, InvalidVariables]
        assert caught.value.allows_stale


async def test_the_only_ways_error_is_given_as_it_is() -> None:
    async with rig() as made:
        made.script.graphql.behave(status(500))
        with pytest.raises(ServerFailed):
            await made.execute(ask_one(declared=GRAPHQL_ONLY))
        answer = await made.execute(ask_one(declared=REST_ONLY))
        assert (answer.value, answer.served.degraded) == (customer(1), False)


async def test_a_mutation_falls_back_when_nothing_of_it_was_sent() -> None:
    with bound_port() as port:
        async with rig(graphql=f"http://127.0.0.1:{port}/graphql", breaker=BreakerPolicy(failures=1)) as made:
            for reason in ("UPSTREAM_UNREACHABLE", "CIRCUIT_OPEN"):
                answer = await made.execute(ask_one(declared=TOUCH))
                assert (answer.served.by, answer.served.reason) == (ServedBy.REST, reason)
            assert made.script.touched["1"] == 2


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (status(500), ServerFailed),
        (reset(), ConnectionLost),
        (status(404), Rejected),
        (errors("Cannot query field", http_status=400), Rejected),
    ],
)
async def test_a_mutation_that_may_have_arrived_is_never_sent_again(
    behaviour: Behaviour, kind: type[Exception]
) -> None:
    async with rig() as made:
        made.script.graphql.behave(behaviour)
        with pytest.raises(kind):
            await made.execute(ask_one(declared=TOUCH))
        assert made.calls == (1, 0)


async def test_mutations_alike_at_the_same_time_are_each_sent() -> None:
    async with rig() as made:
        await asyncio.gather(*(made.execute(ask_one(declared=TOUCH)) for _ in range(5)))
        assert made.script.touched["1"] == 5


async def test_a_mutation_with_no_way_left_says_so() -> None:
    async with rig(breaker=BreakerPolicy(failures=1)) as made:
        await made.script.refuse()
        with pytest.raises(ServiceUnavailable) as first:
            await made.execute(ask_one(declared=TOUCH))
        assert [type(cause) for cause in first.value.causes] == [ConnectFailed, ConnectFailed]
        with pytest.raises(ServiceUnavailable) as second:
            await made.execute(ask_one(declared=TOUCH))
        assert [type(cause) for cause in second.value.causes] == [CircuitOpen, CircuitOpen]
        await made.script.listen()


async def test_the_ways_are_those_that_operation_and_service_share() -> None:
    async with rig() as made:
        both = made.service
        assert ways(both, MANY) == [GRAPHQL, REST]
        assert ways(replace(both, graphql=None), MANY) == [REST]
        assert ways(replace(both, rest=None), MANY) == [GRAPHQL]
        assert ways(both, GRAPHQL_ONLY) == [GRAPHQL]
        routes = {GRAPHQL_ONLY.name: RestRoute.parse("GET /customers/{id}")}
        assert ways(replace(both, routes=routes), GRAPHQL_ONLY) == [GRAPHQL, REST]
        assert ways(replace(both, rest=None), REST_ONLY) == []


async def test_an_operation_without_a_way_is_a_mistake_of_the_gateway() -> None:
    async with rig(rest=None) as made:
        with pytest.raises(NoWay, match="crm offers no protocol for the operation customerByRest"):
            await made.execute(ask_one(declared=REST_ONLY))
