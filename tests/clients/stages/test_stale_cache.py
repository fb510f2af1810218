"""Kept answers: fresh ones without a call, stale ones instead of a failed call, and never anybody else's."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from starlette.responses import JSONResponse, Response

from clients.call import Answer, Call, Caller, ProtocolName, ServedBy
from clients.errors import (
    ContractMismatch,
    DeadlineExceeded,
    Rejected,
    ServerFailed,
    ServiceUnavailable,
    UpstreamError,
)
from clients.operation import Operation
from clients.policy import BreakerPolicy, CachePolicy
from clients.stages.cache_key import CacheKeys, key_prefix
from clients.state.circuit import State
from tests.clients.support import (
    CALLER,
    FIRST,
    GRAPHQL_ONLY,
    MANY,
    PUBLIC,
    REST_ONLY,
    TOUCH,
    Rig,
    ask,
    ask_one,
    customer,
    partial,
    rig,
)
from tests.testkit.upstream import Behaviour, Exchange, errors, hang, malformed, reset, status, truncated

KEEP = CachePolicy(max_age_s=60, stale_if_error_s=600)
STALE_ONLY = CachePolicy(max_age_s=0, stale_if_error_s=600)
BOTH_POLICIES = pytest.mark.parametrize("policy", [KEEP, STALE_ONLY], ids=["max-age", "stale-only"])


def break_all(made: Rig, behaviour: Behaviour | None = None) -> None:
    made.script.graphql.behave(behaviour or status(500))
    made.script.rest.behave(behaviour or status(500))
    made.script.graphql.forget()
    made.script.rest.forget()


def heal(made: Rig) -> None:
    made.script.graphql.heal()
    made.script.rest.heal()


def replace_policy(policy: CachePolicy, **changes: float | bool) -> CachePolicy:
    return msgspec.structs.replace(policy, **changes)


async def error_of(made: Rig, call: Call) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        await made.execute(call)
    return raised.value


def served(answer: Answer) -> list[ServedBy]:
    return [answer.served_row(i).by for i in range(len(answer.value))]


async def test_a_fresh_answer_costs_no_call_and_says_its_age() -> None:
    async with rig(cache=KEEP) as made:
        first = await made.execute(ask_one())
        await made.clock.advance(50)
        second = await made.execute(ask_one())
        assert second.value == first.value
        assert (second.served.by, second.served.age_s, second.served.degraded) == (ServedBy.FRESH, 50, False)
        assert made.calls == (1, 0)


async def test_past_its_age_an_answer_is_asked_for_again() -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask_one())
        await made.clock.advance(67)
        made.script.rows["1"]["name"] = "Renamed"
        assert (await made.execute(ask_one())).value.name == "Renamed"
        assert made.calls == (2, 0)


async def test_without_max_age_every_call_goes_upstream() -> None:
    async with rig(cache=STALE_ONLY) as made:
        for _ in range(3):
            assert (await made.execute(ask(1))).served.by is ServedBy.GRAPHQL
        assert made.calls == (3, 0)


@BOTH_POLICIES
async def test_a_stale_answer_stands_in_for_a_failed_call_and_says_why_and_how_old(policy: CachePolicy) -> None:
    async with rig(cache=policy) as made:
        for call in (ask_one(), Call(FIRST, {"first": 2}, CALLER), ask(1, 2)):
            heal(made)
            whole = await made.execute(call)
            await made.clock.advance(100)
            break_all(made)
            answer = await made.execute(call)
            assert answer.value == whole.value
            shown = answer.served_row(0)
            assert (shown.by, shown.reason, shown.age_s) == (ServedBy.STALE, "SERVICE_UNAVAILABLE", 100)
            assert shown.degraded


@pytest.mark.parametrize("behaviour", [status(500), status(503), status(429), malformed(), reset(), truncated()])
async def test_stale_is_served_on_failures_of_every_kind(behaviour: Behaviour) -> None:
    async with rig(cache=STALE_ONLY) as made:
        await made.execute(ask_one())
        break_all(made, behaviour)
        assert (await made.execute(ask_one())).served.by is ServedBy.STALE


async def test_stale_is_served_when_the_upstream_is_gone_or_silent() -> None:
    async with rig("httpx", cache=STALE_ONLY, timeout_s=1) as made:
        call = ask_one(declared=GRAPHQL_ONLY)
        await made.execute(call)
        made.script.graphql.behave(hang())
        task = made.start(call)
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(1)
        assert (await task).served.reason == "UPSTREAM_TIMEOUT"
        await made.script.refuse()
        await made.clock.advance(30)
        assert (await made.execute(call)).served.reason == "UPSTREAM_UNREACHABLE"


async def test_stale_is_served_while_the_circuit_is_open_without_touching_the_wire() -> None:
    async with rig(cache=STALE_ONLY, breaker=BreakerPolicy(failures=1)) as made:
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        break_all(made)
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        made.script.graphql.forget()
        answer = await made.execute(ask_one(declared=GRAPHQL_ONLY))
        assert (answer.served.by, answer.served.reason) == (ServedBy.STALE, "CIRCUIT_OPEN")
        assert made.calls == (0, 0)


async def test_stale_is_served_at_the_deadline() -> None:
    async with rig("httpx", cache=STALE_ONLY) as made:
        await made.execute(ask_one())
        break_all(made, hang())
        task = made.start(ask_one(caller=replace(CALLER, deadline=made.clock.now() + 1)))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(1)
        assert (await task).served.reason == DeadlineExceeded.code


@BOTH_POLICIES
@pytest.mark.parametrize("behaviour", [status(400), status(401), status(403), errors("no", code="BAD_USER_INPUT")])
async def test_stale_is_never_served_instead_of_a_refusal(policy: CachePolicy, behaviour: Behaviour) -> None:
    async with rig(cache=policy) as made:
        for call in (ask_one(declared=GRAPHQL_ONLY), ask(1)):
            heal(made)
            await made.execute(call)
            await made.clock.advance(70)
            break_all(made, behaviour)
            assert isinstance(await error_of(made, call), Rejected)


async def test_a_contract_that_no_way_keeps_is_no_reason_for_a_stale_answer() -> None:
    async with rig(cache=STALE_ONLY) as made:
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        break_all(made, status(404))
        assert isinstance(await error_of(made, ask_one(declared=GRAPHQL_ONLY)), ContractMismatch)


@BOTH_POLICIES
async def test_nothing_is_served_past_its_time(policy: CachePolicy) -> None:
    async with rig(cache=policy) as made:
        await made.execute(ask_one())
        await made.execute(ask(1))
        await made.clock.advance((policy.max_age_s + 600) * 1.1)
        break_all(made)
        assert isinstance(await error_of(made, ask_one()), ServiceUnavailable)
        assert isinstance(await error_of(made, ask(1)), ServiceUnavailable)


async def test_an_answer_kept_when_the_call_began_is_not_served_once_its_time_is_up() -> None:
    async with rig("httpx", cache=CachePolicy(max_age_s=1, stale_if_error_s=2), timeout_s=60) as made:
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        await made.clock.advance(2)
        break_all(made, hang())
        task = made.start(ask_one(declared=GRAPHQL_ONLY))
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(60)
        with pytest.raises(UpstreamError):
            await task


async def test_with_nothing_kept_the_error_is_the_upstreams() -> None:
    async with rig(cache=KEEP) as made:
        break_all(made)
        assert isinstance(await error_of(made, ask_one(declared=GRAPHQL_ONLY)), ServerFailed)
        assert isinstance(await error_of(made, ask(1)), ServiceUnavailable)


async def test_turned_off_it_keeps_nothing() -> None:
    async with rig(cache=CachePolicy(max_age_s=0, stale_if_error_s=0)) as made:
        await made.execute(ask_one())
        assert made.store.figures.entries == 0
        break_all(made)
        await error_of(made, ask_one())


async def test_mutations_are_neither_kept_nor_served() -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask_one(declared=TOUCH))
        assert made.store.figures.entries == 0
        await made.execute(ask_one(declared=TOUCH))
        assert made.script.touched["1"] == 2
        break_all(made)
        await error_of(made, ask_one(declared=TOUCH))


async def test_partial_answers_are_given_and_never_kept() -> None:
    row = {"id": "1", "name": "Customer 1"}
    async with rig(cache=KEEP) as made:
        made.script.graphql.behave(partial(row, {"message": "no tier"}, field="customer"))
        assert (await made.execute(ask_one(declared=GRAPHQL_ONLY))).problems
        made.script.graphql.behave(partial([row], {"message": "all in doubt"}))
        assert (await made.execute(ask(1))).problems
        assert made.store.figures.entries == 0


async def test_a_row_with_a_problem_is_not_kept_and_its_neighbours_are() -> None:
    rows = [{"id": "1", "name": "Customer 1"}, {"id": "2", "name": "Customer 2"}, None]
    problem = {"message": "no tier", "path": ["customers", 0, "tier"]}
    failed = {"message": "boom", "path": ["customers", 2], "extensions": {"code": "FORBIDDEN"}}
    async with rig(cache=KEEP) as made:
        made.script.graphql.behave(partial(rows, problem, failed))
        answer = await made.execute(ask(1, 2, 3))
        assert isinstance(answer.value[2], Rejected)
        break_all(made)
        later = await made.execute(ask(1, 2, 3))
        assert later.value[1] == customer(2)
        assert isinstance(later.value[0], UpstreamError)
        assert isinstance(later.value[2], UpstreamError)


@BOTH_POLICIES
async def test_a_key_that_failed_alone_is_served_stale_alone(policy: CachePolicy) -> None:
    async with rig(cache=policy) as made:
        await made.execute(ask(1, 2))
        await made.clock.advance(70)
        made.script.rows["1"]["name"] = "New"
        made.script.fail_key("2", code="INTERNAL_SERVER_ERROR")
        answer = await made.execute(ask(1, 2))
        assert [row.name for row in answer.value] == ["New", "Customer 2"]
        assert (answer.served.by, answer.served_row(1).by) == (ServedBy.GRAPHQL, ServedBy.STALE)
        assert answer.served_row(1).reason == "UPSTREAM_SERVER_ERROR"
        assert (made.upstream.status().served.counts[ServedBy.STALE], made.upstream.status().cache.stale) == (1, 1)


async def test_not_found_is_kept_for_five_seconds_at_most() -> None:
    async with rig(cache=KEEP) as made:
        for call in (ask_one(999), ask(999)):
            await made.execute(call)
            assert (await made.execute(call)).served_row(0).by is ServedBy.FRESH
        assert made.calls == (2, 0)
        await made.clock.advance(5)
        made.script.rows["999"] = {"id": "999", "name": "Born", "tier": "gold"}
        assert (await made.execute(ask_one(999))).value.name == "Born"
        assert (await made.execute(ask(999))).value[0].name == "Born"


async def test_not_found_is_not_served_stale() -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask_one(999))
        await made.clock.advance(5)
        break_all(made)
        await error_of(made, ask_one(999))


@BOTH_POLICIES
async def test_a_row_that_is_gone_upstream_does_not_come_back(policy: CachePolicy) -> None:
    async with rig(cache=policy) as made:
        for call in (ask_one(), ask(1)):
            await made.execute(call)
        await made.clock.advance(70)
        del made.script.rows["1"]
        for call in (ask_one(), ask(1)):
            await made.execute(call)
        await made.clock.advance(10)
        break_all(made)
        for call in (ask_one(), ask(1)):
            await error_of(made, call)


async def test_a_batch_of_100_with_3_unknown_asks_for_3() -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask(*range(1, 98)))
        answer = await made.execute(ask(*range(1, 101)))
        assert answer.value == [customer(n) for n in range(1, 101)]
        assert served(answer) == [ServedBy.FRESH] * 97 + [ServedBy.GRAPHQL] * 3
        assert made.script.graphql.calls[1].variables == {"ids": ["98", "99", "100"]}
        figures = made.upstream.status().cache
        assert (figures.fresh, figures.stale, figures.misses) == (97, 0, 100)


async def test_a_batch_with_3_unknown_answers_97_stale_when_the_call_fails() -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask(*range(1, 98)))
        await made.clock.advance(70)
        break_all(made)
        answer = await made.execute(ask(*range(1, 101)))
        assert answer.value[:97] == [customer(n) for n in range(1, 98)]
        assert all(isinstance(value, ServiceUnavailable) for value in answer.value[97:])
        assert set(served(answer)[:97]) == {ServedBy.STALE}
        with pytest.raises(ServiceUnavailable):
            answer.row(98)
        assert made.upstream.status().cache.stale == 97


@pytest.mark.parametrize("behaviour", [status(500), status(403)])
async def test_fresh_rows_are_given_though_the_unknown_ones_failed_and_none_is_called_stale(
    behaviour: Behaviour,
) -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask(1, 2))
        break_all(made, behaviour)
        answer = await made.execute(ask(1, 2, 3))
        assert answer.value[:2] == [customer(1), customer(2)]
        assert isinstance(answer.value[2], UpstreamError)
        figures = made.upstream.status().served
        assert figures.counts[ServedBy.STALE] == 0
        assert figures.oldest_stale_s is None


async def test_rows_are_shared_between_batches_and_numbers_are_strings() -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask(1, 2))
        await made.execute(ask(2, 3))
        call = Call(ask(1).operation, {}, CALLER).for_keys([1, 2, 3])
        answer = await made.execute(call)
        assert served(answer) == [ServedBy.FRESH] * 3
        assert made.script.graphql.calls[1].variables == {"ids": ["3"]}


async def test_problems_of_a_part_count_in_the_whole_batch() -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask(1))
        row = {"id": "2", "name": "Customer 2"}
        made.script.graphql.behave(
            partial([row], {"message": "tier", "path": ["customers", 0, "tier"]}, {"message": "all"})
        )
        answer = await made.execute(ask(1, 2))
        assert [(p.message, p.index) for p in answer.problems] == [("tier", 1), ("all", None)]


async def test_an_empty_batch_costs_nothing() -> None:
    async with rig(cache=KEEP) as made:
        assert (await made.execute(ask())).value == []
        assert made.calls == (0, 0)


async def test_a_key_begins_with_the_names_of_service_and_operation() -> None:
    async with rig(cache=KEEP) as made:
        keys = CacheKeys(made.service)
        one, many = ask_one(1), ask(1, 2)
        for key in (keys.whole(one), *keys.rows(many, many.keys or ())):
            assert key.startswith(key_prefix("crm"))
        assert keys.whole(one).startswith(key_prefix("crm", one.operation.name[:3]))
        assert keys.whole(one).startswith(key_prefix("crm", one.operation.name) + b"\0")
        assert not keys.whole(one).startswith(key_prefix("cr"))


async def test_the_ages_are_jittered_by_a_tenth() -> None:
    policy = CachePolicy(max_age_s=100, stale_if_error_s=1000)
    async with rig(cache=policy) as made:
        keys = CacheKeys(made.service)
        entries = []
        for number in range(1, 301):
            call = ask_one(number)
            await made.execute(call)
            (entry,) = await made.store.get_many([keys.whole(call)], None)
            assert entry is not None
            entries.append(entry)
        now = made.clock.now()
        fresh = [entry.fresh_until - now for entry in entries]
        stale = [entry.stale_until - entry.fresh_until for entry in entries]
        assert 90 <= min(fresh) < 92
        assert 108 < max(fresh) <= 110
        assert min(stale) >= 900
        assert max(stale) <= 1100


async def test_the_size_of_an_answer_is_shared_out_to_its_rows() -> None:
    async with rig(cache=KEEP) as made:
        answer = await made.execute(ask(1, 2))
        assert answer.size > 0
        assert made.store.figures.bytes == 2 * (answer.size // 2 + 500)


async def test_the_wall_clock_may_jump_and_nothing_moves() -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask_one())
        for hours in (1, -2):
            made.clock.shift_wall(timedelta(hours=hours))
            assert (await made.execute(ask_one())).served.by is ServedBy.FRESH


CALLERS = st.builds(
    Caller,
    request_id=st.just("r"),
    correlation_id=st.just("c"),
    tenant=st.sampled_from([None, "a", "b"]),
    user=st.sampled_from([None, "u", "v"]),
    authorization=st.sampled_from([None, "Bearer 1", "Bearer 2"]),
    headers=st.fixed_dictionaries({}, optional={"accept-language": st.sampled_from(["de", "en"])}),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(callers=st.lists(CALLERS, min_size=2, max_size=5))
async def test_callers_share_rows_only_when_nothing_tells_them_apart(callers: list[Caller]) -> None:
    forward = ("authorization", "x-tenant-id", "accept-language")
    async with rig(cache=KEEP, forward=forward) as made:
        for caller in callers:
            await made.execute(ask(1, caller=caller))
        seen = {
            (caller.tenant, caller.user, caller.authorization, caller.headers.get("accept-language"))
            for caller in callers
        }
        assert made.calls == (len(seen), 0)
        made.script.graphql.forget()
        for caller in callers:
            await made.execute(ask(1, declared=PUBLIC, caller=caller))
        assert made.calls == (1, 0)


async def test_two_tenants_never_see_each_others_rows_not_even_stale_ones_or_in_flight() -> None:
    async with rig(cache=STALE_ONLY, forward=("x-tenant-id",)) as made:

        async def by_tenant(exchange: Exchange) -> Response:
            tenant = exchange.call.headers["x-tenant-id"]
            return JSONResponse({"id": "1", "name": tenant})

        made.script.rest.behave(by_tenant)
        calls = [ask_one(declared=REST_ONLY, caller=replace(CALLER, tenant=tenant)) for tenant in ("a", "b")]
        answers = await asyncio.gather(*(made.execute(call) for call in calls))
        assert [answer.value.name for answer in answers] == ["a", "b"]
        break_all(made)
        assert [(await made.execute(call)).value.name for call in calls] == ["a", "b"]
        stranger = ask_one(declared=REST_ONLY, caller=replace(CALLER, tenant="c"))
        await error_of(made, stranger)


REVALIDATE = CachePolicy(max_age_s=60, stale_while_revalidate_s=300, stale_if_error_s=600)


async def refreshed(made: Rig, calls: int) -> None:
    """Wait until the background call has come and gone."""
    await made.script.graphql.wait_for_calls(calls)
    await made.script.graphql.wait_until_idle()
    await asyncio.gather(*made.upstream._flights._tasks, return_exceptions=True)


async def test_while_a_newer_one_is_fetched_the_stale_one_is_served_to_all_by_one_call() -> None:
    async with rig("httpx", cache=REVALIDATE) as made:
        for number, call in enumerate((ask_one(declared=GRAPHQL_ONLY), ask(2, 3)), 1):
            await made.execute(call)
            await made.clock.advance(100)
            hanging = hang()
            made.script.graphql.behave(hanging)
            answers = [await made.execute(call) for _ in range(50)]
            assert {(a.served_row(0).by, a.served_row(0).reason) for a in answers} == {(ServedBy.STALE, None)}
            assert answers[0].served_row(0).age_s == 100
            for row in made.script.rows.values():
                row["name"] = "Renamed"
            made.script.graphql.heal()
            hanging.release()
            await refreshed(made, 2 * number)
            answer = await made.execute(call)
            assert answer.served_row(0).by is ServedBy.FRESH
            value = answer.value if number == 1 else answer.value[0]
            assert value.name == "Renamed"
            assert made.calls == (2 * number, 0)
        assert made.upstream.status().cache.refreshes == 2


async def test_a_refresh_outlives_the_deadline_and_the_hang_up_of_whoever_began_it() -> None:
    async with rig("httpx", cache=REVALIDATE, timeout_s=5) as made:
        call = ask_one(declared=GRAPHQL_ONLY)
        await made.execute(call)
        await made.clock.advance(100)
        hanging = hang()
        made.script.graphql.behave(hanging)
        caller = replace(CALLER, request_id="triggering", deadline=made.clock.now() + 1)
        await made.execute(replace(call, caller=caller))
        await made.script.graphql.wait_for_calls(2)
        assert made.script.graphql.calls[1].headers["x-request-id"] == "triggering"
        await made.clock.advance(4)
        hanging.release()
        await refreshed(made, 2)
        assert (await made.execute(call)).served.by is ServedBy.FRESH
        assert made.calls == (2, 0)


async def test_a_refresh_ends_at_the_services_timeout_and_nobody_gets_its_error() -> None:
    async with rig("httpx", cache=REVALIDATE, timeout_s=5) as made:
        call = ask_one(declared=GRAPHQL_ONLY)
        await made.execute(call)
        await made.clock.advance(100)
        made.script.graphql.behave(hang())
        assert (await made.execute(call)).served.by is ServedBy.STALE
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(5)
        await refreshed(made, 2)
        assert [event.error for event in made.hooks.attempts] == [None, "UPSTREAM_TIMEOUT"], "the hooks are told"
        answer = await made.execute(call)
        assert (answer.served.by, answer.served.reason) == (ServedBy.STALE, "UPSTREAM_TIMEOUT")
        assert made.calls == (2, 0), "after a failed refresh there is none for a while"


async def test_only_rows_that_no_refresh_is_under_way_for_are_refreshed() -> None:
    async with rig("httpx", cache=REVALIDATE) as made:
        await made.execute(ask(1, 2, 3))
        await made.clock.advance(100)
        hanging = hang()
        made.script.graphql.behave(hanging)
        await made.execute(ask(1, 2))
        await made.script.graphql.wait_for_calls(2)
        await made.execute(ask(1, 2, 3))
        await made.script.graphql.wait_for_calls(3)
        assert [call.variables["ids"] for call in made.script.graphql.calls] == [["1", "2", "3"], ["1", "2"], ["3"]]
        hanging.release()
        await refreshed(made, 3)


async def test_fresh_stale_and_unknown_rows_are_told_apart_in_one_batch() -> None:
    async with rig("httpx", cache=REVALIDATE) as made:
        await made.execute(ask(1))
        await made.clock.advance(100)
        await made.execute(ask(2))
        answer = await made.execute(ask(1, 2, 3))
        assert served(answer) == [ServedBy.STALE, ServedBy.FRESH, ServedBy.GRAPHQL]
        await refreshed(made, 4)
        figures = made.upstream.status().cache
        assert (figures.fresh, figures.stale, figures.misses, figures.stale_ratio) == (1, 1, 4, 0.2)


async def test_past_its_time_for_revalidation_an_answer_is_waited_for() -> None:
    async with rig(cache=replace_policy(REVALIDATE, stale_while_revalidate_s=10)) as made:
        await made.execute(ask_one())
        await made.clock.advance(80)
        assert (await made.execute(ask_one())).served.by is ServedBy.GRAPHQL


async def test_closing_ends_a_refresh_and_leaves_nothing() -> None:
    async with rig("httpx", cache=REVALIDATE) as made:
        before = asyncio.all_tasks()
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        await made.clock.advance(100)
        made.script.graphql.behave(hang())
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        await made.script.graphql.wait_for_calls(2)
        await made.upstream.__aexit__(None, None, None)
        await made.script.graphql.calls[1].wait_for_hang_up()
        await made.clock.settle()
        assert asyncio.all_tasks() <= before


SOFT = CachePolicy(max_age_s=60, stale_if_error_s=600, soft_timeout_s=0.5)


@pytest.mark.parametrize("call", [ask_one(declared=GRAPHQL_ONLY), ask(1, 2)], ids=["whole", "rows"])
async def test_a_slow_upstream_is_answered_for_and_its_answer_kept_when_it_comes(call: Call) -> None:
    async with rig("httpx", cache=SOFT) as made:
        await made.execute(call)
        await made.clock.advance(100)
        hanging = hang()
        made.script.graphql.behave(hanging)
        tasks = [made.start(call) for _ in range(20)]
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(0.4)
        assert not any(task.done() for task in tasks)
        await made.clock.advance(0.1)
        shown = {(answer := await task).served_row(0).reason for task in tasks}
        assert shown == {"UPSTREAM_SLOW"}
        assert answer.served_row(0).by is ServedBy.STALE
        hanging.release()
        await refreshed(made, 2)
        assert (await made.execute(call)).served_row(0).by is ServedBy.FRESH
        assert made.calls == (2, 0)
        assert made.upstream.status().cache.stale == 20 * len(call.keys or "1")


async def test_an_upstream_that_answers_in_time_is_waited_for() -> None:
    async with rig("httpx", cache=SOFT) as made:
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        await made.clock.advance(100)
        assert (await made.execute(ask_one(declared=GRAPHQL_ONLY))).served.by is ServedBy.GRAPHQL
        made.script.graphql.behave(status(500))
        await made.clock.advance(100)
        answer = await made.execute(ask_one(declared=GRAPHQL_ONLY))
        assert answer.served.reason == "UPSTREAM_SERVER_ERROR"


async def test_a_client_that_hangs_up_does_not_end_the_call_behind_a_soft_timeout() -> None:
    async with rig("httpx", cache=SOFT) as made:
        call = ask_one(declared=GRAPHQL_ONLY)
        await made.execute(call)
        await made.clock.advance(100)
        hanging = hang()
        made.script.graphql.behave(hanging)
        task = made.start(call)
        await made.script.graphql.wait_for_calls(2)
        task.cancel()
        await asyncio.wait([task])
        hanging.release()
        await refreshed(made, 2)
        assert (await made.execute(call)).served.by is ServedBy.FRESH


async def test_without_a_stale_answer_for_every_row_there_is_no_soft_timeout() -> None:
    async with rig("httpx", cache=SOFT) as made:
        await made.execute(ask(1))
        await made.clock.advance(100)
        hanging = hang()
        made.script.graphql.behave(hanging)
        task = made.start(ask(1, 2))
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(3)
        assert not task.done()
        hanging.release()
        assert served(await task) == [ServedBy.GRAPHQL] * 2


WAITING = CachePolicy(max_age_s=0, stale_if_error_s=600, retry_after_stale_s=30)


@pytest.mark.parametrize("call", [ask_one(declared=GRAPHQL_ONLY), ask(1, 2)], ids=["whole", "rows"])
async def test_after_a_stale_answer_its_key_is_left_alone_for_a_while(call: Call) -> None:
    async with rig(cache=WAITING) as made:
        await made.execute(call)
        break_all(made)
        reason = (await made.execute(call)).served_row(0).reason
        calls = made.calls
        await made.clock.advance(29)
        answer = await made.execute(call)
        assert (answer.served_row(0).by, answer.served_row(0).reason) == (ServedBy.STALE, reason)
        assert answer.served_row(0).age_s == 29
        assert made.calls == calls
        heal(made)
        assert (await made.execute(ask_one(9, declared=GRAPHQL_ONLY))).served.by is ServedBy.GRAPHQL, "other keys go"
        await made.clock.advance(1)
        assert (await made.execute(call)).served_row(0).by is ServedBy.GRAPHQL


async def test_when_the_wait_is_over_nothing_of_it_is_left() -> None:
    async with rig(cache=WAITING) as made:
        await made.execute(ask(1, 2))
        break_all(made)
        await made.execute(ask(1, 2))
        heal(made)
        await made.clock.advance(30)
        hits = made.store.figures.hits
        assert served(await made.execute(ask(1, 2))) == [ServedBy.GRAPHQL] * 2
        assert made.store.figures.hits == hits, "a healthy call does not look into the store"


async def test_a_row_that_failed_beside_rows_that_must_not_be_kept_is_still_served_stale() -> None:
    async with rig(cache=STALE_ONLY) as made:
        await made.execute(ask(1, 2))
        made.script.fail_key("2", code="INTERNAL_SERVER_ERROR")
        made.script.graphql.behave(says_of_keeping(cache_control="no-store"))
        assert served(await made.execute(ask(1, 2))) == [ServedBy.GRAPHQL, ServedBy.STALE]
        break_all(made)
        answer = await made.execute(ask(1, 2))
        assert isinstance(answer.value[0], UpstreamError)
        assert answer.value[1] == customer(2)


async def test_retry_after_makes_the_wait_shorter_and_never_longer() -> None:
    for seconds, waits in (("5", 5), ("120", 30)):
        async with rig(cache=WAITING) as made:
            call = ask_one(declared=GRAPHQL_ONLY)
            await made.execute(call)
            break_all(made, status(503, headers={"retry-after": seconds}))
            await made.execute(call)
            await made.clock.advance(waits - 1)
            await made.execute(call)
            assert made.calls == (1, 0)
            await made.clock.advance(1)
            await made.execute(call)
            assert made.calls == (2, 0)


async def test_turned_off_every_call_is_attempted() -> None:
    async with rig(cache=replace_policy(WAITING, retry_after_stale_s=0)) as made:
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        break_all(made)
        for _ in range(3):
            await made.execute(ask_one(declared=GRAPHQL_ONLY))
        assert made.calls == (3, 0)


async def test_the_wait_never_outlasts_the_circuits() -> None:
    breaker = BreakerPolicy(failures=2, open_s=10, max_open_s=10)
    async with rig(cache=WAITING, breaker=breaker) as made:
        calls = [ask_one(n, declared=GRAPHQL_ONLY) for n in (1, 2, 3)]
        for call in calls:
            await made.execute(call)
        break_all(made)
        await made.execute(calls[0])
        await made.execute(calls[1])
        assert made.circuit(ProtocolName.GRAPHQL).state is State.OPEN, "which ends the first one's wait"
        assert {(await made.execute(call)).served.reason for call in calls} == {"CIRCUIT_OPEN"}
        heal(made)
        await made.clock.advance(11)
        assert {(await made.execute(call)).served.by for call in calls} == {ServedBy.GRAPHQL}


async def test_a_callers_own_deadline_makes_nobody_wait() -> None:
    async with rig("httpx", cache=WAITING) as made:
        call = ask_one(declared=GRAPHQL_ONLY)
        await made.execute(call)
        made.script.graphql.behave(hang())
        task = made.start(replace(call, caller=replace(CALLER, deadline=made.clock.now() + 1)))
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(1)
        assert (await task).served.reason == DeadlineExceeded.code
        made.script.graphql.heal()
        assert (await made.execute(call)).served.by is ServedBy.GRAPHQL


async def test_a_wait_is_no_reason_to_serve_past_its_time() -> None:
    async with rig(cache=replace_policy(WAITING, stale_if_error_s=10)) as made:
        await made.execute(ask_one(declared=GRAPHQL_ONLY))
        break_all(made)
        assert (await made.execute(ask_one(declared=GRAPHQL_ONLY))).served.by is ServedBy.STALE
        await made.clock.advance(12)
        assert isinstance(await error_of(made, ask_one(declared=GRAPHQL_ONLY)), ServerFailed)
        assert made.calls == (2, 0)


def says_of_keeping(**headers: str) -> Behaviour:
    """The true answer, with these headers."""

    async def behave(exchange: Exchange) -> Response:
        answer = exchange.answer()
        answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return answer

    return behave


def set_everywhere(made: Rig, **headers: str) -> None:
    made.script.graphql.behave(says_of_keeping(**headers))
    made.script.rest.behave(says_of_keeping(**headers))


@pytest.mark.parametrize("declared", [GRAPHQL_ONLY, REST_ONLY])
@pytest.mark.parametrize("control", ["no-store", "no-cache", "private, no-store", "max-age=0, must-revalidate"])
async def test_an_answer_that_must_not_be_kept_is_not_and_neither_is_the_one_before(
    declared: Operation, control: str
) -> None:
    async with rig(cache=KEEP) as made:
        await made.execute(ask_one(declared=declared))
        await made.clock.advance(70)
        set_everywhere(made, cache_control=control)
        assert (await made.execute(ask_one(declared=declared))).value == customer(1)
        assert made.store.figures.entries == 0
        break_all(made)
        await error_of(made, ask_one(declared=declared))


async def test_rows_and_the_absence_of_rows_are_not_kept_either() -> None:
    async with rig(cache=KEEP) as made:
        set_everywhere(made, cache_control="no-store")
        await made.execute(ask(1, 999))
        await made.execute(ask_one(999))
        assert made.store.figures.entries == 0


async def test_an_answer_may_shorten_its_times_and_never_lengthen_them() -> None:
    for headers, fresh_s in (
        ({"cache_control": "max-age=10"}, 10),
        ({"cache_control": "max-age=600"}, 60),
        ({"cache_control": "max-age=20", "age": "15"}, 5),
        ({"cache_control": "max-age=50, s-maxage=10"}, 10),
    ):
        async with rig(cache=KEEP) as made:
            set_everywhere(made, **headers)
            await made.execute(ask_one())
            await made.clock.advance(fresh_s * 0.89)
            assert (await made.execute(ask_one())).served.by is ServedBy.FRESH
            await made.clock.advance(fresh_s * 0.22)
            assert (await made.execute(ask_one())).served.by is ServedBy.GRAPHQL


async def test_what_is_private_is_kept_for_its_caller_and_never_shared() -> None:
    async with rig(cache=KEEP) as made:
        set_everywhere(made, cache_control="private")
        await made.execute(ask(1))
        assert (await made.execute(ask(1))).served_row(0).by is ServedBy.FRESH
        for _ in range(2):
            assert (await made.execute(ask(1, declared=PUBLIC))).served.by is ServedBy.GRAPHQL


async def test_what_varies_by_something_that_keys_do_not_tell_apart_is_not_kept() -> None:
    async with rig(cache=KEEP, forward=("accept-language",)) as made:
        for vary, declared, kept in (
            ("*", MANY, False),
            ("Accept-Encoding, Accept-Language", MANY, True),
            ("accept-language", PUBLIC, False),
            ("accept-encoding", PUBLIC, True),
        ):
            set_everywhere(made, vary=vary)
            await made.store.aclose()
            await made.execute(ask(1, declared=declared))
            assert (made.store.figures.entries == 1) is kept


async def test_a_service_whose_word_on_keeping_does_not_count() -> None:
    async with rig(cache=replace_policy(KEEP, honour_cache_control=False)) as made:
        set_everywhere(made, cache_control="no-store")
        await made.execute(ask_one())
        assert (await made.execute(ask_one())).served.by is ServedBy.FRESH
