"""Beyond GraphQL and REST: another service, the last good answer, a default value, and the error; in this order."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from clients.call import Answer, Call, ProtocolName, Served, ServedBy
from clients.errors import (
    CircuitOpen,
    ContractMismatch,
    DeadlineExceeded,
    Rejected,
    ServerFailed,
    ServiceUnavailable,
    UpstreamError,
)
from clients.operation import Kind, Operation, RestRoute, operation
from clients.policy import BreakerPolicy, CachePolicy, FallbackPolicy, RetryPolicy
from clients.stages.fallback import Alternative
from clients.subgraph import subgraph_operation
from tests.clients.support import (
    CALLER,
    GRAPHQL_ONLY,
    MANY,
    ONE,
    REST_ONLY,
    TOUCH,
    Customer,
    Rig,
    ask,
    ask_one,
    customer,
    rig,
)
from tests.testkit.ports import bound_port
from tests.testkit.upstream import Behaviour, errors, hang, status

GRAPHQL, REST = ProtocolName.GRAPHQL, ProtocolName.REST
KEEPING = CachePolicy(max_age_s=0, stale_if_error_s=3600)
NOBODY = Customer("0", "nobody")


def break_(made: Rig, behaviour: Behaviour | None = None) -> None:
    """Let both protocols fail."""
    for endpoint in (made.script.graphql, made.script.rest):
        endpoint.behave(behaviour or status(503))


@asynccontextmanager
async def pair(wire: str = "pyreqwest", **parts: Any) -> AsyncIterator[tuple[Rig, Rig]]:
    """A service, and the replica that stands in for it (its parts begin with `replica_`); on one clock."""
    named = [name for name in parts if name.startswith("replica_")]
    of_replica = {name.removeprefix("replica_"): parts.pop(name) for name in named}
    async with (
        rig(wire, name="crm-replica", **of_replica) as replica,
        rig(wire, beyond=[Alternative(replica.upstream)], clock=replica.clock, **parts) as made,
    ):
        yield made, replica
        await replica.clock.settle()  # the replica's server has done with its last call, or it would count as left over


async def test_the_alternative_is_asked_when_both_protocols_fail_and_each_counts_its_own() -> None:
    async with pair() as (made, replica):
        assert (await made.execute(ask_one())).served.by is ServedBy.GRAPHQL
        break_(made)
        answer = await made.execute(ask_one())
        assert (answer.value, answer.served) == (customer(1), Served(ServedBy.ALTERNATIVE, "UPSTREAM_SERVER_ERROR"))
        assert answer.served.degraded
        assert (made.calls, replica.calls) == ((2, 1), (1, 0))
        assert made.upstream.status().served.counts[ServedBy.ALTERNATIVE] == 1
        assert replica.upstream.status().served.counts[ServedBy.GRAPHQL] == 1
        assert made.circuit(GRAPHQL).consecutive_failures == 1
        assert replica.circuit(GRAPHQL).failure_rate == 0


async def test_a_batch_goes_to_the_alternative_too() -> None:
    async with pair() as (made, _):
        break_(made)
        answer = await made.execute(ask(2, 999, 1))
        assert answer.value == [customer(2), None, customer(1)]
        assert answer.served_row(0).by is ServedBy.ALTERNATIVE


async def test_a_planned_fetch_goes_to_the_alternative_too() -> None:
    planned = subgraph_operation("crm", "query", "{ customers(first: 1) { id } }", Kind.QUERY)
    async with pair(rest=None) as (made, replica):
        break_(made)
        answer = await made.execute(Call(planned, {}, CALLER))
        assert msgspec.json.decode(answer.value) == {"customers": [{"id": "1"}]}
        assert (answer.served.by, replica.calls) == (ServedBy.ALTERNATIVE, (1, 0))


async def test_open_circuits_go_straight_to_the_alternative() -> None:
    async with pair(breaker=BreakerPolicy(failures=1)) as (made, replica):
        break_(made)
        await made.execute(ask_one())
        made.script.graphql.forget()
        made.script.rest.forget()
        answer = await made.execute(ask_one())
        assert (answer.value, answer.served.reason) == (customer(1), "CIRCUIT_OPEN")
        assert (made.calls, replica.calls) == ((0, 0), (2, 0))


async def test_the_alternative_has_its_own_protocols_circuits_and_names() -> None:
    async with pair(replica_breaker=BreakerPolicy(failures=1)) as (made, replica):
        break_(made)
        replica.script.graphql.behave(status(500))
        for _ in range(2):
            assert (await made.execute(ask_one())).value == customer(1)
        assert replica.calls == (1, 2)
        assert {event.service for event in replica.hooks.circuits} == {"crm-replica"}
        assert {event.call.operation.service for event in replica.hooks.attempts} == {"crm-replica"}
        assert {event.call.operation.service for event in made.hooks.attempts} == {"crm"}


async def test_when_the_alternative_fails_too_the_error_has_every_cause() -> None:
    async with pair() as (made, replica):
        break_(made)
        break_(replica, status(500))
        with pytest.raises(ServiceUnavailable) as raised:
            await made.execute(ask_one())
        assert [cause.service for cause in raised.value.causes] == ["crm", "crm", "crm-replica", "crm-replica"]
        assert raised.value.message == (
            "crm: no way to it answered (GraphQL customer answered 503; REST GET /customers/{id} answered 503; "
            "crm-replica: GraphQL customer answered 500; crm-replica: REST GET /customers/{id} answered 500)"
        )
        with pytest.raises(ServiceUnavailable) as raised:  # of one protocol each
            await made.execute(ask_one(declared=GRAPHQL_ONLY))
        assert len(raised.value.causes) == 2
        assert (made.upstream.status().served.failed, replica.upstream.status().served.failed) == (2, 2)


@pytest.mark.parametrize("behaviour", [status(400), status(403), errors("no", code="BAD_USER_INPUT")])
async def test_a_refusal_is_not_taken_to_the_alternative(behaviour: Behaviour) -> None:
    async with pair() as (made, replica):
        made.script.graphql.behave(behaviour)
        with pytest.raises(Rejected):
            await made.execute(ask_one())
        assert replica.calls == (0, 0)


async def test_the_alternatives_refusal_stands() -> None:
    async with pair() as (made, replica):
        break_(made)
        replica.script.graphql.behave(status(403))
        with pytest.raises(Rejected, match="crm-replica: GraphQL customer answered 403"):
            await made.execute(ask_one())
        assert replica.calls == (1, 0)


async def test_a_request_without_time_left_is_not_taken_to_the_alternative() -> None:
    async with pair("httpx") as (made, replica):
        made.script.graphql.behave(hang())
        caller = replace(CALLER, deadline=made.clock.now() + 2)
        task = made.start(ask_one(caller=caller))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(2)
        with pytest.raises(DeadlineExceeded):
            await task
        assert replica.calls == (0, 0)


async def test_an_alternative_that_does_not_carry_the_operation_is_passed_over() -> None:
    async with pair(replica_rest=None) as (made, replica):
        break_(made)
        with pytest.raises(ServerFailed):
            await made.execute(ask_one(declared=REST_ONLY))
        assert replica.calls == (0, 0)


async def test_an_alternative_whose_routes_carry_some_entities_only_is_passed_over_for_the_others() -> None:
    document = (
        "query ($r: [_Any!]!) { _entities(representations: $r) { ... on Customer { name } ... on Seller { name } } }"
    )
    planned = subgraph_operation("crm", "_entities", document, Kind.QUERY, [("_entities", "r")])
    routes = {"Customer": RestRoute.parse("GET /customers{?ids}")}
    async with pair(rest=None, replica_graphql=None, replica_routes=routes) as (made, replica):
        break_(made)
        for type_name, calls in (("Seller", 0), ("Customer", 1)):
            call = Call(planned, {}, CALLER).for_keys([(0, {"__typename": type_name, "id": "1"})])
            if calls:
                assert (await made.execute(call)).value == [b'{"name":"Customer 1"}']
            else:
                with pytest.raises(ServerFailed):
                    await made.execute(call)
            assert replica.calls == (0, calls)


async def test_alternatives_may_have_alternatives() -> None:
    async with (
        rig(name="third") as third,
        rig(name="second", beyond=[Alternative(third.upstream)]) as second,
        rig(beyond=[Alternative(second.upstream)]) as first,
    ):
        break_(first)
        break_(second)
        answer = await first.execute(ask_one())
        assert (answer.value, answer.served.by) == (customer(1), ServedBy.ALTERNATIVE)
        assert second.upstream.status().served.counts[ServedBy.ALTERNATIVE] == 1
        break_(third)
        with pytest.raises(ServiceUnavailable) as raised:
            await first.execute(ask_one())
        assert [cause.service for cause in raised.value.causes] == ["crm"] * 2 + ["second"] * 2 + ["third"] * 2


async def test_a_mutation_goes_to_the_alternative_only_when_nothing_of_it_was_sent() -> None:
    with bound_port() as port:
        nowhere = f"http://127.0.0.1:{port}"
        unreachable: dict[str, Any] = {
            "graphql": f"{nowhere}/graphql",
            "rest": nowhere,
            "breaker": BreakerPolicy(failures=1),
        }
        async with pair(**unreachable) as (made, replica):
            for reason in ("UPSTREAM_UNREACHABLE", "CIRCUIT_OPEN"):
                answer = await made.execute(ask_one(declared=TOUCH))
                assert answer.served == Served(ServedBy.ALTERNATIVE, reason)
            assert replica.script.touched["1"] == 2
    async with pair() as (made, replica):
        break_(made)
        for call in (ask_one(declared=TOUCH), replace(ask_one(declared=TOUCH), idempotency_key="key-1")):
            with pytest.raises(ServerFailed):
                await made.execute(call)
        assert (made.calls, replica.calls) == ((2, 0), (0, 0))


async def test_a_mutation_that_the_alternative_may_have_got_stops_there() -> None:
    with bound_port() as port:
        nowhere = f"http://127.0.0.1:{port}"
        async with pair(graphql=f"{nowhere}/graphql", rest=nowhere) as (made, replica):
            break_(replica)
            with pytest.raises(ServerFailed, match="crm-replica"):
                await made.execute(ask_one(declared=TOUCH))
            assert replica.calls == (1, 0)


class Queue:
    """A last way: takes mutations down, to be made another time."""

    served_by = ServedBy.DEFAULT

    def __init__(self) -> None:
        self.taken: list[Call] = []

    def takes(self, call: Call) -> bool:
        return call.operation.kind is Kind.MUTATION

    async def __call__(self, call: Call) -> Answer:
        self.taken.append(call)
        return Answer(None, Served(self.served_by))


async def test_a_way_of_ones_own_takes_the_call_last() -> None:
    queue = Queue()
    async with rig(beyond=[queue]) as made:
        await made.script.refuse()
        answer = await made.execute(ask_one(declared=TOUCH))
        assert (answer.value, answer.served.reason) == (None, "UPSTREAM_UNREACHABLE")
        assert [call.operation for call in queue.taken] == [TOUCH]
        with pytest.raises(ServiceUnavailable):
            await made.execute(ask_one())
        await made.script.listen()
        break_(made)
        with pytest.raises(ServerFailed):  # it may have been done: nothing is to do it another time
            await made.execute(ask_one(declared=TOUCH))
        assert len(queue.taken) == 1


async def test_an_answer_of_the_alternative_is_better_than_a_stale_one_and_is_kept_as_any_other() -> None:
    async with pair(cache=KEEPING, replica_cache=KEEPING) as (made, replica):
        await made.execute(ask_one())
        await made.clock.advance(10)
        break_(made)
        replica.script.rows["1"]["name"] = "Newer"
        assert (await made.execute(ask_one())).value == Customer("1", "Newer")
        await made.clock.advance(5)
        break_(replica)
        answer = await made.execute(ask_one())
        assert answer.value == Customer("1", "Newer")
        assert answer.served == Served(ServedBy.STALE, "SERVICE_UNAVAILABLE", 5.0)


async def test_what_the_alternative_keeps_for_itself_does_not_hide_the_services_own_stale_answer() -> None:
    async with pair(cache=KEEPING, replica_cache=CachePolicy(max_age_s=600, stale_if_error_s=3600)) as (made, replica):
        call = ask_one()
        in_person = replace(call, operation=dataclasses.replace(ONE, service="crm-replica"))
        await replica.execute(in_person)
        await made.clock.advance(60)
        await made.execute(call)
        break_(made)
        break_(replica)
        assert (await replica.execute(in_person)).served.by is ServedBy.FRESH
        answer = await made.execute(call)
        assert (answer.served.by, answer.served.age_s) == (ServedBy.STALE, 0.0)


def defaulting(declared: Operation, default: Any) -> FallbackPolicy:
    return FallbackPolicy(defaults={declared.name: default})


WITH_DEFAULT = operation(
    "crm",
    "customerOrNobody",
    row=Customer,
    graphql="query ($id: ID!) { customer(id: $id) { id name } }",
    rest="GET /customers/{id}",
    default={"id": "0", "name": "nobody"},
)
ROWS_WITH_DEFAULT = operation(
    "crm",
    "customersOrNobody",
    row=Customer,
    graphql="query ($ids: [ID!]!) { customers(ids: $ids) { id name } }",
    rest="GET /customers{?ids}",
    key="id",
    default={"name": "nobody"},
)


async def test_a_default_value_is_the_last_resort_and_says_so() -> None:
    async with rig() as made:
        break_(made)
        answer = await made.execute(ask_one(declared=WITH_DEFAULT))
        assert answer.value == NOBODY
        assert answer.served == Served(ServedBy.DEFAULT, "SERVICE_UNAVAILABLE")
        assert answer.served.degraded
        figures = made.upstream.status().served
        assert (figures.counts[ServedBy.DEFAULT], figures.failed) == (1, 0)
        assert made.hooks.served[-1].served == answer.served


async def test_a_stale_answer_is_better_than_a_default() -> None:
    async with rig(cache=KEEPING) as made:
        await made.execute(ask_one(1, declared=WITH_DEFAULT))
        break_(made)
        assert (await made.execute(ask_one(1, declared=WITH_DEFAULT))).served.by is ServedBy.STALE
        assert (await made.execute(ask_one(2, declared=WITH_DEFAULT))).value == NOBODY
        await made.clock.advance(7200)
        assert (await made.execute(ask_one(1, declared=WITH_DEFAULT))).served.by is ServedBy.DEFAULT


async def test_a_default_is_never_kept() -> None:
    async with rig(cache=CachePolicy(max_age_s=600, stale_if_error_s=600)) as made:
        break_(made)
        assert (await made.execute(ask_one(declared=WITH_DEFAULT))).value == NOBODY
        for endpoint in (made.script.graphql, made.script.rest):
            endpoint.heal()
        assert (await made.execute(ask_one(declared=WITH_DEFAULT))).value == customer(1)


async def test_each_row_of_a_batch_is_stale_where_one_is_known_and_the_default_with_its_key_where_not() -> None:
    async with rig(cache=KEEPING) as made:
        await made.execute(ask(1, declared=ROWS_WITH_DEFAULT))
        break_(made)
        answer = await made.execute(ask(2, 1, 3, declared=ROWS_WITH_DEFAULT))
        assert answer.value == [Customer("2", "nobody"), customer(1), Customer("3", "nobody")]
        by = [answer.served_row(i).by for i in range(3)]
        assert by == [ServedBy.DEFAULT, ServedBy.STALE, ServedBy.DEFAULT]
        assert made.upstream.status().served.counts[ServedBy.DEFAULT] == 1
        answer = await made.execute(ask(4, 5, declared=ROWS_WITH_DEFAULT))
        assert answer.value == [Customer("4", "nobody"), Customer("5", "nobody")]


async def test_a_row_that_failed_by_itself_is_the_default_and_one_that_was_refused_is_not() -> None:
    async with rig() as made:
        made.script.fail_key("1", code="INTERNAL_SERVER_ERROR")
        made.script.fail_key("2", code="FORBIDDEN")
        answer = await made.execute(ask(1, 2, 3, 999, declared=ROWS_WITH_DEFAULT))
        assert answer.value[0] == Customer("1", "nobody")
        assert isinstance(answer.value[1], Rejected)
        assert answer.value[2:] == [customer(3), None]
        assert [answer.served_row(i).by for i in (0, 2)] == [ServedBy.DEFAULT, ServedBy.GRAPHQL]


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [(status(400), Rejected), (status(403), Rejected), (errors("a bug of theirs"), ContractMismatch)],
)
async def test_a_default_never_hides_a_refusal(behaviour: Behaviour, kind: type[UpstreamError]) -> None:
    async with rig(rest=None) as made:
        made.script.graphql.behave(behaviour)
        with pytest.raises(kind):
            await made.execute(ask_one(declared=WITH_DEFAULT))


async def test_an_open_circuit_and_a_deadline_are_reasons_for_a_default() -> None:
    async with rig(rest=None, breaker=BreakerPolicy(failures=1)) as made:
        break_(made)
        reasons = [(await made.execute(ask_one(declared=WITH_DEFAULT))).served.reason for _ in range(2)]
        late = ask_one(declared=WITH_DEFAULT, caller=replace(CALLER, deadline=made.clock.now()))
        reasons.append((await made.execute(late)).served.reason)
        assert reasons == ["UPSTREAM_SERVER_ERROR", CircuitOpen.code, DeadlineExceeded.code]


async def test_the_configurations_default_wins_over_the_declared_one() -> None:
    fallback = FallbackPolicy(defaults={WITH_DEFAULT.name: {"id": "0", "name": "configured"}, MANY.name: {"name": "?"}})
    async with rig(fallback=fallback) as made:
        break_(made)
        assert (await made.execute(ask_one(declared=WITH_DEFAULT))).value == Customer("0", "configured")
        assert (await made.execute(ask(7))).value == [Customer("7", "?")]
        with pytest.raises(ServiceUnavailable):
            await made.execute(ask_one())


async def test_a_default_of_the_alternative_does_not_hide_the_services_own_stale_answer() -> None:
    async with (
        rig(name="crm-replica", fallback=defaulting(ONE, {"id": "0", "name": "nobody"})) as replica,
        rig(beyond=[Alternative(replica.upstream)], cache=KEEPING) as made,
    ):
        await made.execute(ask_one())
        break_(made)
        break_(replica)
        assert (await made.execute(ask_one())).served.by is ServedBy.STALE


async def test_the_whole_chain_in_its_order() -> None:
    once = RetryPolicy(attempts=2, backoff_s=1)
    async with pair(cache=KEEPING, retry=once) as (made, replica):

        async def by(call: Call) -> ServedBy:
            task = made.start(call)
            while not task.done():
                await made.clock.settle()
                if made.clock.sleepers:
                    await made.clock.advance(made.clock.sleepers[0])
            return (await task).served.by

        call = ask_one(declared=WITH_DEFAULT)
        seen = [await by(call)]
        made.script.graphql.behave(status(500))
        for step in (None, made.script.rest, replica.script.graphql, replica.script.rest):
            if step is not None:
                step.behave(status(500))
            seen.append(await by(call))
        await made.clock.advance(7200)
        seen.append(await by(call))
        assert seen == [
            ServedBy.GRAPHQL,
            ServedBy.REST,
            ServedBy.ALTERNATIVE,
            ServedBy.ALTERNATIVE,  # by its REST
            ServedBy.STALE,
            ServedBy.DEFAULT,
        ]
