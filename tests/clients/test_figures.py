"""Counts, windows, percentiles and slow operations: pure, with time passed in."""

import random
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.call import Call, Caller
from clients.errors import AttemptTimeout, Rejected, ServerFailed, UpstreamError
from clients.figures import (
    DURATION_BOUNDS_S,
    RELATIVE_ERROR,
    SLOWEST,
    WINDOW_S,
    CallTraffic,
    Histogram,
    Latency,
    TimeIn,
    Traffic,
)
from tests.clients.support import ONE, ask_one

SECONDS = st.one_of(st.just(0.0), st.floats(1e-6, 600), st.sampled_from([0.002, 5.0]))


def fail(traffic: Traffic, error: UpstreamError, *, now: float, duration_s: float = 1.0, request: str = "r") -> None:
    traffic.begun += 1
    traffic.note_failure(Call(ONE, {}, Caller(request, "c")), error, duration_s, now)
    traffic.ended += 1


def succeed(traffic: Traffic, duration_s: float, *, now: float) -> None:
    traffic.begun += 1
    traffic.note_success(duration_s, now)
    traffic.ended += 1


def named(name: str, request: str = "r") -> Call:
    return Call(replace(ONE, name=name), {}, Caller(request, "c"))


def exact(durations: list[float], share: float) -> float:
    return sorted(durations)[int(share * (len(durations) - 1))]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(SECONDS, st.floats(0, 20)), min_size=1, max_size=60), st.integers(1, 40))
def test_percentiles_are_within_the_stated_error_of_the_exact_ones(
    parts: list[tuple[float, float]], copies: int
) -> None:
    traffic, now, durations = Traffic(0.0), 0.0, []
    for duration_s, wait_s in parts:
        now = min(now + wait_s, WINDOW_S * 0.9)  # over many slices, none of which has left the window
        for _ in range(copies):
            traffic.note_success(duration_s, now)
            durations.append(duration_s)
    latency = traffic.read(now).latency
    assert latency.count == len(durations)
    for share, found in ((0.5, latency.p50_s), (0.95, latency.p95_s), (0.99, latency.p99_s)):
        assert found == pytest.approx(exact(durations, share), rel=RELATIVE_ERROR * 1.0001, abs=1e-300)
    assert latency.max_s == max(durations)
    assert latency.mean_s == pytest.approx(sum(durations) / len(durations))


def test_a_hundred_thousand_durations_of_a_service_that_times_out_now_and_then_stay_within_the_error() -> None:
    rng = random.Random(7)
    durations = [5.0 if rng.random() < 0.03 else rng.lognormvariate(-4, 1) for _ in range(100_000)]
    traffic = Traffic(0.0)
    for index, duration_s in enumerate(durations):
        traffic.note_success(duration_s, index / 500)
    latency = traffic.read(200.0).latency
    assert latency.p50_s == pytest.approx(exact(durations, 0.5), rel=RELATIVE_ERROR)
    assert latency.p95_s == pytest.approx(exact(durations, 0.95), rel=RELATIVE_ERROR)
    assert latency.p99_s == pytest.approx(5.0, rel=RELATIVE_ERROR)


def test_a_percentile_is_never_above_the_longest_duration() -> None:
    traffic = Traffic(0.0)
    for n in range(1, 200):
        traffic.note_success(n * 0.0137, 0.0)
        latency = traffic.read(0.0).latency
        assert latency.p99_s is not None
        assert latency.max_s is not None
        assert latency.p99_s <= latency.max_s


def test_the_window_slides_and_lets_go_of_what_is_older() -> None:
    traffic = Traffic(1000.0)
    succeed(traffic, 9.0, now=1000.0)
    succeed(traffic, 1.0, now=1100.0)
    assert traffic.read(1100.0).latency.max_s == 9.0
    left = traffic.read(1000.0 + WINDOW_S).latency
    assert (left.count, left.mean_s, left.max_s) == (1, 1.0, 1.0)
    quiet = traffic.read(1100.0 + WINDOW_S)
    assert quiet.latency == Latency()
    assert (quiet.per_s, quiet.error_ratio) == (0.0, None)
    assert (quiet.begun, quiet.succeeded, quiet.durations.total) == (2, 2, 10.0)  # since the start


def test_rates_are_over_the_time_there_was_and_never_over_more_than_the_window() -> None:
    traffic = Traffic(0.0)
    assert traffic.read(0.0).per_s == 0.0
    for second in range(1, 11):
        succeed(traffic, 0.1, now=second)
    early = traffic.read(10.0)
    assert (early.window_s, early.per_s) == (10.0, 1.0)
    for second in range(11, 1001):
        succeed(traffic, 0.1, now=second)
    late = traffic.read(1000.0)
    assert WINDOW_S * 0.9 <= late.window_s <= WINDOW_S
    assert late.per_s == pytest.approx(1.0, rel=0.01)


def test_a_long_silence_counts_as_time_in_which_nothing_happened() -> None:
    traffic = Traffic(0.0)
    succeed(traffic, 0.1, now=10_000.0)
    read = traffic.read(10_000.0)
    assert read.window_s == pytest.approx(280.0)
    assert read.per_s == pytest.approx(1 / 280)


def test_errors_are_counted_by_code_with_the_one_met_last_first() -> None:
    traffic = Traffic(0.0)
    fail(traffic, ServerFailed("crm", "answered 500", transient=True), now=1.0)
    fail(traffic, AttemptTimeout("crm", "no answer within 5 s"), now=2.0)
    fail(traffic, ServerFailed("crm", "answered 503", transient=True), now=3.0, request="r-3")
    succeed(traffic, 0.1, now=4.0)
    read = traffic.read(4.0)
    assert [(e.code, e.count, e.last_at) for e in read.errors] == [
        ("UPSTREAM_SERVER_ERROR", 2, 3.0),
        ("UPSTREAM_TIMEOUT", 1, 2.0),
    ]
    assert (read.succeeded, read.failed, read.error_ratio) == (1, 3, 0.75)
    assert read.last_error is not None
    assert (read.last_error.code, read.last_error.message) == ("UPSTREAM_SERVER_ERROR", "crm: answered 503")
    assert (read.last_error.at, read.last_error.operation, read.last_error.request_id) == (3.0, "customer", "r-3")
    assert read.latency.max_s == 1.0  # a failure's time counts


def test_the_last_error_is_without_the_upstreams_own_words() -> None:
    traffic = Traffic(0.0)
    refusal = Rejected("crm", "GraphQL customer: Jane Doe owes 12 EUR")
    refusal.summary = "GraphQL customer reported FORBIDDEN"
    fail(traffic, refusal, now=1.0)
    last = traffic.read(1.0).last_error
    assert last is not None
    assert last.message == "crm: GraphQL customer reported FORBIDDEN"


def test_what_was_begun_is_in_flight_answered_failed_or_cancelled() -> None:
    traffic = Traffic(0.0)
    succeed(traffic, 0.1, now=1.0)
    fail(traffic, AttemptTimeout("crm", "no answer"), now=1.0)
    traffic.begun += 3
    traffic.ended += 1  # without an outcome
    read = traffic.read(1.0)
    assert (read.begun, read.in_flight, read.succeeded, read.failed, read.cancelled) == (5, 2, 1, 1, 1)
    assert read.latency.count == 2


def test_the_slowest_operations_are_named_once_each_slowest_first() -> None:
    calls = CallTraffic(0.0)
    for n in range(1, 31):
        calls.note_answer(named(f"op{n % 15}", f"r-{n}"), n / 10, float(n), stale=False)
    calls.note_failure(named("op14", "r-slow"), AttemptTimeout("crm", "no answer"), 9.0, 31.0)
    slow = calls.read_calls(31.0).slow_operations
    assert [(s.operation, s.duration_s) for s in slow[:3]] == [("op14", 9.0), ("op0", 3.0), ("op13", 2.8)]
    assert (slow[0].at, slow[0].request_id) == (31.0, "r-slow")
    assert len(slow) == SLOWEST
    assert len({s.operation for s in slow}) == SLOWEST


def test_a_slow_operation_is_forgotten_when_the_window_has_left_it() -> None:
    calls = CallTraffic(0.0)
    calls.note_answer(named("once slow"), 60.0, 1.0, stale=False)
    calls.note_answer(named("slow now"), 2.0, 200.0, stale=False)
    assert [s.operation for s in calls.read_calls(200.0).slow_operations] == ["once slow", "slow now"]
    assert [s.operation for s in calls.read_calls(WINDOW_S + 1).slow_operations] == ["slow now"]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 25), st.floats(0, 10), st.floats(0, 4)), max_size=120))
def test_the_slowest_operations_are_those_of_a_full_count(parts: list[tuple[int, float, float]]) -> None:
    calls, now, worst = CallTraffic(0.0), 0.0, dict[str, float]()
    for number, duration_s, wait_s in parts:
        now = min(now + wait_s, WINDOW_S * 0.9)
        name = f"op{number}"
        calls.note_answer(named(name), duration_s, now, stale=False)
        worst[name] = max(worst.get(name, 0.0), duration_s)
    found = [s.duration_s for s in calls.read_calls(now).slow_operations]
    assert found == sorted(worst.values(), reverse=True)[:SLOWEST]


def test_the_stale_share_is_that_of_the_window() -> None:
    calls = CallTraffic(0.0)
    assert calls.read_calls(0.0).stale_ratio is None
    for n in range(8):
        calls.note_answer(ask_one(), 0.1, 10.0, stale=n < 2)
    assert calls.read_calls(10.0).stale_ratio == 0.25
    calls.note_answer(ask_one(), 0.1, WINDOW_S + 5, stale=False)
    assert calls.read_calls(WINDOW_S + 10).stale_ratio == 0.0


def test_memory_is_bounded_under_ten_thousand_operation_names_and_any_number_of_calls() -> None:
    rng = random.Random(3)

    def weigh(calls: CallTraffic) -> int:
        seen: set[int] = set()
        pending: list[object] = [calls]
        total = 0
        while pending:
            thing = pending.pop()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            total += sys.getsizeof(thing)
            if isinstance(thing, dict):
                pending += [*thing.keys(), *thing.values()]
            elif isinstance(thing, list | tuple) or type(thing).__name__ == "deque":
                pending += [*thing]  # type: ignore[misc]  # whatever is in it
            elif isinstance(getattr(thing, "__dict__", None), dict):
                pending.append(vars(thing))
            pending += [getattr(thing, name) for name in getattr(type(thing), "__slots__", ()) if hasattr(thing, name)]
        return total

    calls = CallTraffic(0.0)
    for n in range(10_000):
        calls.note_answer(named(f"operation {rng.random()}"), rng.lognormvariate(-3, 2), n / 25, stale=False)
    assert len(calls.read_calls(400.0).slow_operations) == SLOWEST
    after = weigh(calls)
    for n in range(30_000):
        calls.note_answer(named(f"operation {rng.random()}"), rng.lognormvariate(-3, 2), 400 + n / 75, stale=False)
    assert weigh(calls) < 1.5 * after < 600_000


def test_the_time_in_each_state_adds_up() -> None:
    time_in = TimeIn("well", 100.0)
    assert time_in.read(100.0) == {"well": 0.0}
    time_in.enter("ill", 110.0)
    time_in.enter("ill", 111.0)
    assert time_in.read(112.0) == {"well": 10.0, "ill": 2.0}
    time_in.enter("well", 115.0)
    assert time_in.read(120.0) == {"well": 15.0, "ill": 5.0}


@given(st.lists(st.floats(0, 100) | st.sampled_from(DURATION_BOUNDS_S), max_size=50), st.booleans())
def test_a_histogram_counts_each_value_under_the_least_bound_that_is_not_smaller(
    values: list[float], at_once: bool
) -> None:
    histogram = Histogram(DURATION_BOUNDS_S)
    if at_once:
        histogram.add_all(values)
    else:
        for value in values:
            histogram.add(value)
    read = histogram.read()
    under = [sum(read.counts[: index + 1]) for index in range(len(read.bounds))]
    assert under == [sum(value <= bound for value in values) for bound in read.bounds]
    assert sum(read.counts) == len(values)
    assert read.total == pytest.approx(sum(values))


def test_durations_are_counted_by_size_for_ever() -> None:
    traffic = Traffic(0.0)
    for now in (0.0, 1.0, 10 * WINDOW_S):
        succeed(traffic, 0.02, now=now)
    fail(traffic, AttemptTimeout("crm", "silent"), now=10 * WINDOW_S, duration_s=70.0)
    durations = traffic.read(10 * WINDOW_S).durations
    assert durations.counts == (0, 0, 3, *[0] * 9, 1)
    assert durations.total == pytest.approx(70.06)
