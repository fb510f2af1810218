"""The figures of an upstream whose calls go over a socket."""

import asyncio
import random

import pytest

from clients.call import Caller, ProtocolName, ServedBy
from clients.errors import ServiceUnavailable, UpstreamError
from clients.health import Health
from clients.hooks import AttemptEvent, CircuitEvent, ServedEvent
from clients.policy import BreakerPolicy, CachePolicy, RetryPolicy
from clients.upstream import Upstream
from tests.clients.support import CALLER, GRAPHQL_ONLY, Recorder, Rig, ask, ask_one, rig
from tests.testkit.upstream import errors, hang, sequence, status

GRAPHQL, REST = ProtocolName.GRAPHQL, ProtocolName.REST


async def delayed(made: Rig, seconds: float) -> None:
    """One call that GraphQL answers after so many seconds."""
    hanging = hang()
    made.script.graphql.forget()
    made.script.graphql.behave(hanging)
    task = made.start(ask_one(declared=GRAPHQL_ONLY))
    await made.script.graphql.wait_for_calls(1)
    await made.clock.advance(seconds)
    hanging.release()
    await task


async def test_attempts_are_timed_one_by_one_and_calls_as_a_whole() -> None:
    async with rig(retry=RetryPolicy(attempts=2, backoff_s=2), timeout_s=10) as made:
        hanging = hang()
        made.script.graphql.behave(sequence(status(503), hanging))
        task = made.start(ask_one())
        await made.clock.wait_for_sleepers(1)
        [wait_s] = made.clock.sleepers
        await made.clock.advance(wait_s)
        await made.script.graphql.wait_for_calls(2)
        now = made.upstream.figures()
        assert (now.calls.traffic.in_flight, now.attempts[GRAPHQL].in_flight, now.attempts[REST].in_flight) == (1, 1, 0)
        await made.clock.advance(3)
        hanging.release()
        await task
        read = made.upstream.figures()
        graphql, calls = read.attempts[GRAPHQL], read.calls.traffic
        assert (graphql.begun, graphql.succeeded, graphql.failed, graphql.in_flight) == (2, 1, 1, 0)
        assert (graphql.latency.count, graphql.latency.max_s, graphql.durations.total) == (2, 3.0, 3.0)
        assert (calls.begun, calls.succeeded, calls.in_flight) == (1, 1, 0)
        assert calls.latency.max_s == pytest.approx(wait_s + 3)
        assert read.calls.slow_operations[0].operation == "customer"
        assert read.calls.slow_operations[0].request_id == CALLER.request_id
        assert read.attempts[REST].begun == 0


async def test_an_error_that_the_other_protocol_made_good_is_one_of_attempts_and_not_of_calls() -> None:
    async with rig() as made:
        made.script.graphql.behave(errors("Jane owes 12", code="INTERNAL_SERVER_ERROR"))
        await made.execute(ask_one())
        read = made.upstream.figures()
        assert read.calls.traffic.errors == ()
        assert [(e.code, e.count) for e in read.attempts[GRAPHQL].errors] == [("UPSTREAM_SERVER_ERROR", 1)]
        last = read.attempts[GRAPHQL].last_error
        assert last is not None
        assert last.message == "crm: GraphQL customer reported INTERNAL_SERVER_ERROR"
        assert (last.at, last.request_id, last.operation) == (made.clock.now(), "request-1", "customer")
        made.script.rest.behave(status(500))
        with pytest.raises(ServiceUnavailable, match="Jane"):
            await made.execute(ask_one())
        last = made.upstream.figures().calls.traffic.last_error
        assert last is not None
        assert (last.code, "Jane" in last.message) == ("SERVICE_UNAVAILABLE", False)


async def test_a_refusal_of_an_open_circuit_is_no_attempt() -> None:
    async with rig(breaker=BreakerPolicy(failures=1), rest=None) as made:
        made.script.graphql.behave(status(500))
        for _ in range(3):
            with pytest.raises(UpstreamError):
                await made.execute(ask_one(declared=GRAPHQL_ONLY))
        read = made.upstream.figures()
        assert read.attempts[GRAPHQL].begun == 1
        assert [(e.code, e.count) for e in read.calls.traffic.errors] == [
            ("CIRCUIT_OPEN", 2),
            ("UPSTREAM_SERVER_ERROR", 1),
        ]


async def test_a_hang_up_is_counted_as_cancelled_and_leaves_nothing_in_flight() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(hang())
        task = made.start(ask_one())
        await made.script.graphql.wait_for_calls(1)
        task.cancel()
        await asyncio.wait([task])
        await made.clock.settle()
        read = made.upstream.figures()
        for traffic in (read.calls.traffic, read.attempts[GRAPHQL]):
            assert (traffic.begun, traffic.cancelled, traffic.in_flight, traffic.failed) == (1, 1, 0, 0)
            assert (traffic.latency.count, traffic.last_error) == (0, None)


async def test_the_stale_share_counts_calls_that_were_answered_stale_in_part() -> None:
    async with rig(cache=CachePolicy(max_age_s=0, stale_if_error_s=600)) as made:
        await made.execute(ask(1))
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(500))
        await made.execute(ask(1))
        assert made.upstream.figures().calls.stale_ratio == 0.5
        await made.clock.advance(400)
        assert made.upstream.figures().calls.stale_ratio is None


async def test_percentiles_look_back_over_the_window_only() -> None:
    async with rig(timeout_s=60) as made:
        await delayed(made, 8)
        await delayed(made, 2)
        assert made.upstream.figures().calls.traffic.latency.max_s == 8
        await made.clock.advance(270)
        await delayed(made, 1)
        latency = made.upstream.figures().calls.traffic.latency
        assert (latency.count, latency.max_s) == (3, 8.0)
        await made.clock.advance(60)
        latency = made.upstream.figures().calls.traffic.latency
        assert (latency.count, latency.max_s) == (1, 1.0)


async def test_the_time_in_each_health_follows_the_circuits() -> None:
    async with rig(breaker=BreakerPolicy(failures=1, open_s=1000, max_open_s=1000)) as made:
        began = made.clock.now()
        await made.clock.advance(70)
        made.script.graphql.behave(status(500))
        await made.execute(ask_one())
        await made.clock.advance(20)
        made.script.rest.behave(status(500))
        with pytest.raises(UpstreamError):
            await made.execute(ask_one())
        await made.clock.advance(2000)
        made.script.graphql.heal()
        await made.execute(ask_one())
        await made.clock.advance(10)
        read = made.upstream.figures()
        assert read.since == began
        assert read.time_in == {Health.HEALTHY: 70.0, Health.DEGRADED: 30.0, Health.UNHEALTHY: 2000.0}


class Complaints(Recorder):
    """Hooks that want to hear of what went wrong only."""

    wants_successes = False


async def test_hooks_that_do_not_want_successes_hear_of_failures_and_of_degraded_answers_only() -> None:
    async with rig(cache=CachePolicy(max_age_s=0, stale_if_error_s=600)) as made:
        hooks = Complaints()
        upstream = Upstream(made.service, made.wire, made.store, hooks=hooks, clock=made.clock, random=random.Random(1))
        async with upstream:
            await upstream.execute(ask_one())
            assert (hooks.attempts, hooks.served) == ([], [])
            made.script.graphql.behave(status(500))
            await upstream.execute(ask_one())
            made.script.rest.behave(status(500))
            await upstream.execute(ask_one())
            with pytest.raises(UpstreamError):
                await upstream.execute(ask_one(2))
        told: list[AttemptEvent | ServedEvent | CircuitEvent] = [*hooks.attempts]
        assert [event.error for event in hooks.attempts] == ["UPSTREAM_SERVER_ERROR"] * len(told)
        assert len(told) == 5
        assert [event.served and event.served.by for event in hooks.served] == ["rest", "stale", None]
        assert hooks.served[0].served is not None
        assert hooks.served[0].served.reason == "UPSTREAM_SERVER_ERROR"


async def test_a_caller_can_tell_what_was_asked_on_its_behalf_and_how_it_ended() -> None:
    async with rig(cache=CachePolicy(stale_if_error_s=60)) as made:
        caller = Caller("r", "c")
        await made.execute(ask(1, 2, caller=caller))
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(500))
        await made.execute(ask(1, caller=caller))
        with pytest.raises(UpstreamError):
            await made.execute(ask_one(9, caller=caller))
        assert caller.tally.counts == {ServedBy.GRAPHQL: 1, ServedBy.STALE: 1, None: 1}
        assert [(each.service, each.operation, each.by) for each in caller.tally.first] == [
            ("crm", "customers", ServedBy.GRAPHQL),
            ("crm", "customers", ServedBy.STALE),
            ("crm", "customer", None),
        ]


async def test_a_caller_that_asks_for_ever_gathers_no_more_than_so_much() -> None:
    tally = Caller("r", "c").tally
    for _ in range(1_000):
        tally.note("crm", "customers", ServedBy.FRESH, 0.001)
    assert (tally.counts, len(tally.first)) == ({ServedBy.FRESH: 1_000}, 50)


async def test_the_keys_of_batched_calls_are_counted_by_size() -> None:
    async with rig() as made:
        await made.execute(ask(1))
        await made.execute(ask(*range(1, 8)))
        await made.execute(ask_one())
        batches = made.upstream.figures().calls.batches
        assert batches.counts == (1, 0, 0, 1, *[0] * 7)
        assert batches.total == 8


async def test_the_last_quarter_of_an_hour_is_told_slot_by_slot_when_somebody_marks_them() -> None:
    async with rig(cache=CachePolicy(stale_if_error_s=600)) as made:
        await made.execute(ask_one())
        await made.clock.advance(10)
        made.upstream.mark()
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(500))
        await made.execute(ask_one())
        await made.clock.advance(4)
        first, running = made.upstream.recent()
        assert (first.seconds, first.counts.calls, first.counts.stale) == (10.0, 1, 0)
        assert (running.at, running.seconds) == (first.at + 10.0, 4.0)
        assert (running.counts.calls, running.counts.failed, running.counts.stale) == (1, 0, 1)
        assert dict(zip(ServedBy, running.counts.ways, strict=True))[ServedBy.STALE] == 1
        assert sum(running.counts.durations) == 1


async def test_a_call_that_is_not_answered_is_a_failed_one_of_its_slot() -> None:
    async with rig() as made:
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(500))
        with pytest.raises(UpstreamError):
            await made.execute(ask_one())
        [running] = made.upstream.recent()
        assert (running.counts.calls, running.counts.failed) == (1, 1)
