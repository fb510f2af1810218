"""The balancer by itself: who is next, who is out, for how long, and who comes back."""

from collections import Counter
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.endpoint import Endpoint
from clients.policy import EjectionPolicy, EndpointsPolicy
from clients.state.balancer import Balancer, EndpointChange, EndpointState, EndpointStatus, Lease
from clients.state.circuit import Failure, Outcome

HEALTHY, RETURNING = EndpointState.HEALTHY, EndpointState.RETURNING
EJECTED, UNHEALTHY = EndpointState.EJECTED, EndpointState.UNHEALTHY
A, B, C, D = (Endpoint(name) for name in "abcd")


class Middle(Random):
    """Draws the middle of every interval, so that times have no jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class Bench:
    """A balancer, and what it told."""

    def __init__(
        self,
        *endpoints: Endpoint,
        balance: Literal["least-outstanding", "round-robin", "random"] = "round-robin",
        random: Random | None = None,
        **eject: Any,
    ) -> None:
        self.told: list[EndpointChange] = []
        policy = EndpointsPolicy(balance=balance, eject=EjectionPolicy(**{"failures": 2, "eject_s": 10.0, **eject}))
        self.balancer = Balancer(endpoints, policy, now=0, random=random or Middle(1), on_change=self.told.append)

    def pick(self, *avoid: Endpoint, now: float = 0) -> Lease:
        return self.balancer.pick(now, avoid)

    def pick_at(self, endpoint: Endpoint, now: float = 0) -> Lease:
        """A place at that very endpoint."""
        return self.balancer.pick(now, [e for e in self.balancer.endpoints if e != endpoint])

    def call(self, endpoint: Endpoint, outcome: Outcome, now: float = 0) -> None:
        lease = self.pick_at(endpoint, now)
        assert lease.endpoint == endpoint
        self.balancer.settle(lease, outcome, now, Failure("REFUSED", "m", now))

    def fail(self, endpoint: Endpoint, times: int = 2, now: float = 0) -> None:
        for _ in range(times):
            self.call(endpoint, Outcome.FAILURE, now)

    def answer(self, endpoint: Endpoint, now: float = 0) -> None:
        self.call(endpoint, Outcome.SUCCESS, now)

    def states(self, now: float = 0) -> dict[str, EndpointState]:
        return {status.name: status.state for status in self.balancer.status(now)}

    def status(self, endpoint: Endpoint, now: float = 0) -> EndpointStatus:
        return next(status for status in self.balancer.status(now) if status.name == endpoint.name)

    def spread(self, calls: int, now: float = 0) -> Counter[str]:
        return Counter(self.pick(now=now).endpoint.name for _ in range(calls))


def test_a_balancer_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one endpoint"):
        Bench()


def test_round_robin_takes_turns_and_mixes_the_heavy_among_the_light() -> None:
    bench = Bench(Endpoint("a", 5), Endpoint("b", 1), Endpoint("c", 1))
    assert "".join(bench.pick().endpoint.name for _ in range(14)) == "aabacaa" * 2  # nginx's own example


@settings(deadline=None)
@given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=8), calls=st.integers(1, 200))
def test_round_robin_gives_nobody_a_whole_call_more_than_its_share_and_each_round_exactly(
    weights: list[int], calls: int
) -> None:
    endpoints = [Endpoint(str(n), weight) for n, weight in enumerate(weights)]
    bench, total = Bench(*endpoints), sum(weights)
    got: Counter[Endpoint] = Counter()
    for call in range(1, calls + 1):
        got[bench.pick().endpoint] += 1
        assert all(got[e] * total - call * e.weight < total for e in endpoints)
        if call % total == 0:
            assert all(got[e] * total == call * e.weight for e in endpoints)


@settings(deadline=None)
@given(count=st.integers(1, 12), calls=st.integers(1, 100))
def test_round_robin_of_equals_differs_by_one_call_at_most(count: int, calls: int) -> None:
    got = Bench(*(Endpoint(str(n)) for n in range(count))).spread(calls)
    shares = [got[str(n)] for n in range(count)]
    assert max(shares) - min(shares) <= 1


def test_random_draws_by_weight() -> None:
    got = Bench(Endpoint("a", 3), Endpoint("b", 1), balance="random", random=Random(5)).spread(4000)
    assert 2800 < got["a"] < 3200


def test_a_draw_that_rounding_leaves_empty_handed_takes_the_last() -> None:
    class One(Random):
        def random(self) -> float:
            return 1.0

    assert Bench(A, B, balance="random", random=One()).pick().endpoint == B


def test_least_outstanding_draws_by_weight_while_nobody_is_busy() -> None:
    bench = Bench(Endpoint("a", 3), Endpoint("b", 1), balance="least-outstanding", random=Random(5))
    got: Counter[str] = Counter()
    for _ in range(4000):
        lease = bench.pick()
        got[lease.endpoint.name] += 1
        bench.balancer.settle(lease, Outcome.SUCCESS, 0)
    assert 2800 < got["a"] < 3200


def test_least_outstanding_leaves_the_busy_alone() -> None:
    bench = Bench(A, B, balance="least-outstanding", random=Random(5))
    for _ in range(20):
        bench.pick_at(A)
    assert bench.spread(20) == {"b": 20}


def test_least_outstanding_keeps_many_endpoints_level() -> None:
    bench = Bench(*(Endpoint(str(n)) for n in range(10)), balance="least-outstanding", random=Random(5))
    got = bench.spread(1000)
    assert max(got.values()) - min(got.values()) <= 5  # at random alone: about 60


def test_busy_is_seen_by_weight() -> None:
    bench = Bench(Endpoint("a", 3), Endpoint("b", 1), balance="least-outstanding", random=Random(5))
    assert 740 <= bench.spread(1000)["a"] <= 760


def test_failures_in_a_row_eject() -> None:
    bench = Bench(A, B, C)
    bench.fail(A, 1)
    bench.answer(A)
    bench.fail(A, 1)
    assert bench.states()["a"] is HEALTHY
    bench.fail(A, 1)
    status = bench.status(A)
    assert (status.state, status.ejected_until, status.ejections, status.consecutive_failures) == (EJECTED, 10, 1, 2)
    assert status.reason == "2 failure(s) in a row (last: REFUSED)"
    assert status.last_failure == Failure("REFUSED", "m", 0)
    assert bench.spread(20).keys() == {"b", "c"}
    [told] = bench.told
    assert (told.endpoint, told.previous, told.state, told.reason) == (A, HEALTHY, EJECTED, status.reason)


def test_what_says_nothing_of_health_neither_ejects_nor_resets() -> None:
    bench = Bench(A, B)
    bench.fail(A, 1)
    bench.call(A, Outcome.IGNORED)
    assert bench.status(A).consecutive_failures == 1
    bench.fail(A, 1)
    assert bench.states()["a"] is EJECTED


def test_an_ejected_one_returns_after_its_time_and_one_call_at_a_time_tries_it() -> None:
    bench = Bench(A, B)
    bench.fail(A)
    assert bench.spread(4, now=9.9) == {"b": 4}
    assert bench.status(A, 10).state is RETURNING
    trial = bench.pick_at(A, 10)
    assert trial.endpoint == A
    assert bench.spread(4, now=10) == {"b": 4}
    bench.balancer.settle(trial, Outcome.SUCCESS, 10)
    status = bench.status(A, 10)
    assert (status.state, status.reason, status.ejected_until) == (HEALTHY, "answered after its time out", None)
    assert bench.spread(4, now=10) == {"a": 2, "b": 2}
    assert [told.state for told in bench.told] == [EJECTED, RETURNING, HEALTHY]


def test_a_cancelled_trial_leaves_room_for_the_next() -> None:
    bench = Bench(A, B)
    bench.fail(A)
    bench.balancer.settle(bench.pick_at(A, 10), Outcome.IGNORED, 10)
    assert (bench.states(10)["a"], bench.pick_at(A, 10).endpoint) == (RETURNING, A)


def test_one_that_is_being_tried_gets_more_calls_when_there_is_no_other() -> None:
    bench = Bench(A, B)
    bench.fail(A)
    bench.pick_at(A, 10)
    bench.balancer.mark(B, 10, "down", passes=False)
    assert bench.pick(now=10).endpoint == A


def test_the_time_out_grows_with_each_ejection_in_a_row_up_to_the_longest_and_a_success_starts_it_anew() -> None:
    bench = Bench(A, B, max_eject_s=25.0)
    bench.fail(A)
    bench.fail(A, 1, now=10)
    assert bench.status(A, 10).ejected_until == 30
    assert bench.status(A, 10).reason == "the call that tried it failed (last: REFUSED)"
    bench.fail(A, 1, now=30)
    assert bench.status(A, 30).ejected_until == 55
    bench.answer(A, now=55)
    bench.fail(A, 2, now=60)
    assert bench.status(A, 60).ejected_until == 70
    assert bench.status(A, 60).ejections == 4


def test_the_time_out_is_jittered() -> None:
    bench = Bench(A, B, random=Random(3))
    bench.fail(A)
    until = bench.status(A).ejected_until
    assert until is not None
    assert 9 <= until <= 11
    assert until != 10


def test_the_last_one_is_never_ejected() -> None:
    bench = Bench(A)
    bench.fail(A, 20)
    assert bench.states() == {"a": HEALTHY}
    pair = Bench(A, B, max_share=1.0)
    pair.fail(A)
    pair.fail(B, 20)
    assert pair.states() == {"a": EJECTED, "b": HEALTHY}


def test_the_last_one_that_passes_its_checks_is_not_ejected_either() -> None:
    bench = Bench(A, B)
    bench.balancer.mark(A, 0, "down", passes=False)
    bench.fail(B, 20)
    assert bench.states() == {"a": UNHEALTHY, "b": HEALTHY}


@pytest.mark.parametrize(("share", "out"), [(0.1, 1), (0.5, 2), (0.74, 2), (0.75, 3), (1.0, 3)])
def test_no_more_than_their_share_are_out_and_one_may_always_be(share: float, out: int) -> None:
    bench = Bench(A, B, C, D, max_share=share)
    for endpoint in (A, B, C, D):
        while bench.states()[endpoint.name] is HEALTHY and bench.status(endpoint).consecutive_failures < 5:
            bench.fail(endpoint, 1)
    assert list(bench.states().values()).count(EJECTED) == out


def test_one_that_was_spared_is_ejected_once_another_is_back() -> None:
    bench = Bench(A, B, max_share=0.5)
    bench.fail(A)
    bench.fail(B, 3)
    bench.answer(A, now=10)
    bench.fail(B, 1, now=10)
    assert bench.states(10) == {"a": HEALTHY, "b": EJECTED}


def test_calls_from_before_an_ejection_neither_prolong_nor_end_it() -> None:
    bench = Bench(A, B)
    late = [bench.pick_at(A) for _ in range(3)]
    bench.fail(A)
    bench.balancer.settle(late[0], Outcome.FAILURE, 5)
    bench.balancer.settle(late[1], Outcome.SUCCESS, 5)
    assert (bench.status(A, 5).state, bench.status(A, 5).ejected_until) == (EJECTED, 10)
    bench.balancer.settle(late[2], Outcome.FAILURE, 12)
    assert (bench.status(A, 12).state, bench.status(A, 12).outstanding) == (RETURNING, 0)


def test_a_place_is_given_back_once() -> None:
    bench = Bench(A)
    lease = bench.pick()
    assert bench.status(A).outstanding == 1
    bench.balancer.settle(lease, Outcome.FAILURE, 0)
    bench.balancer.settle(lease, Outcome.FAILURE, 0)
    assert (bench.status(A).outstanding, bench.status(A).consecutive_failures) == (0, 1)


def test_the_next_attempt_goes_where_none_was_then_at_least_not_to_the_last() -> None:
    bench = Bench(A, B, C)
    assert bench.pick(A, B).endpoint == C
    assert bench.pick(A, B, C).endpoint != C
    assert Bench(A).pick(A).endpoint == A


def test_an_attempt_goes_back_to_the_last_rather_than_to_an_ejected_one() -> None:
    bench = Bench(A, B)
    bench.fail(A)
    assert bench.pick(B).endpoint == B


def test_one_that_fails_its_checks_gets_no_calls_until_it_passes() -> None:
    bench = Bench(A, B)
    bench.balancer.mark(A, 5, "its health checks fail", passes=False)
    assert bench.status(A, 6).since == 5
    assert bench.spread(4) == {"b": 4}
    bench.balancer.mark(A, 7, "its health checks pass", passes=True)
    bench.balancer.mark(A, 8, "its health checks pass", passes=True)
    assert bench.spread(4) == {"a": 2, "b": 2}
    assert [(told.state, told.reason) for told in bench.told] == [
        (UNHEALTHY, "its health checks fail"),
        (HEALTHY, "its health checks pass"),
    ]


def test_when_all_fail_their_checks_all_are_used() -> None:
    bench = Bench(A, B)
    for endpoint in (A, B):
        bench.balancer.mark(endpoint, 0, "down", passes=False)
    assert bench.spread(4) == {"a": 2, "b": 2}


def test_an_ejected_one_is_not_used_even_when_the_others_fail_their_checks() -> None:
    bench = Bench(A, B)
    bench.fail(A)
    bench.balancer.mark(B, 0, "down", passes=False)
    assert bench.spread(4) == {"b": 4}


def test_one_that_is_ejected_and_fails_its_checks_stays_out_after_its_time() -> None:
    bench = Bench(A, B)
    bench.fail(A)
    bench.balancer.mark(A, 1, "down", passes=False)
    assert (bench.states(1)["a"], bench.states(10)["a"]) == (EJECTED, UNHEALTHY)
    assert (bench.status(A, 10).reason, bench.told[-1].reason) == ("down", "down")
    assert bench.spread(4, now=10) == {"b": 4}


def test_those_that_stay_keep_what_is_known_of_them_and_those_that_go_are_forgotten() -> None:
    bench = Bench(A, B)
    bench.fail(A)
    gone = bench.pick()
    assert gone.endpoint == B
    bench.balancer.replace([A, C], 5)
    assert bench.states(5) == {"a": EJECTED, "c": HEALTHY}
    bench.balancer.settle(gone, Outcome.FAILURE, 5)
    bench.balancer.mark(B, 5, "down", passes=False)
    assert bench.spread(3, now=5) == {"c": 3}
    bench.balancer.replace([A], 6)
    assert bench.spread(3, now=6) == {"a": 3}
    with pytest.raises(ValueError, match="at least one endpoint"):
        bench.balancer.replace([], 7)


def test_others_answer_while_one_is_in_use_that_has_not_failed_since() -> None:
    bench = Bench(A, B, C, failures=3)
    lease = bench.pick_at(A)
    assert bench.balancer.others_answer(lease)
    bench.fail(B, 1)
    bench.fail(C, 1)
    assert not bench.balancer.others_answer(lease)
    bench.answer(B)
    assert bench.balancer.others_answer(lease)
    bench.balancer.mark(B, 0, "down", passes=False)
    assert not bench.balancer.others_answer(lease)
    alone = Bench(A)
    assert not alone.balancer.others_answer(alone.pick())
