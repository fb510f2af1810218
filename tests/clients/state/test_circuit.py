import math
from random import Random

import pytest

from clients.policy import BreakerPolicy
from clients.state.circuit import (
    Circuit,
    Failure,
    Mode,
    ModeChange,
    Outcome,
    Permit,
    Refusal,
    State,
    Transition,
)
from clients.state.window import WindowFigures

FAILURE = Failure("UPSTREAM_TIMEOUT", "crm: no answer", at=0.0, request_id="r1")


class Breaker:
    """A circuit with a clock of its own, for tests that read as a story."""

    def __init__(self, *, random: Random | None = None, **policy: float) -> None:
        self.now = 100.0
        self.moves: list[Transition] = []
        defaults = {"failures": 3, "open_s": 10.0, "max_open_s": 1000.0, "probe_timeout_s": 30.0}
        self.circuit = Circuit(
            BreakerPolicy(**{**defaults, **policy}),  # type: ignore[arg-type]
            now=self.now,
            random=random or Random(1),
            on_transition=self.moves.append,
        )

    def state(self) -> State:
        return self.circuit.status(self.now).state

    def ask(self) -> Permit | Refusal:
        return self.circuit.acquire(self.now)

    def permit(self) -> Permit:
        permit = self.ask()
        assert isinstance(permit, Permit)
        return permit

    def settle(self, permit: Permit, outcome: Outcome) -> None:
        self.circuit.settle(permit, outcome, self.now, FAILURE if outcome is Outcome.FAILURE else None)

    def call(self, outcome: Outcome, *, took_s: float = 0.0) -> None:
        permit = self.permit()
        self.now += took_s
        self.settle(permit, outcome)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.call(Outcome.FAILURE)

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.call(Outcome.SUCCESS)

    def wait_for_probe(self) -> None:
        """Let the open time pass, and no more."""
        at = self.circuit.status(self.now).next_probe_at
        assert at is not None
        self.now = at

    def half_open(self) -> None:
        self.fail(3)
        self.wait_for_probe()


def test_a_new_circuit_is_closed_and_says_that_nothing_failed() -> None:
    breaker = Breaker()
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.since, status.reason) == (State.CLOSED, 100.0, "no failures seen")
    assert (status.failure_rate, status.slow_rate, status.consecutive_failures) == (None, None, 0)
    assert (status.next_probe_at, status.last_failure, status.last_success_at) == (None, None, None)
    assert (status.trips, status.refused, status.history) == (0, 0, ())


def test_it_opens_at_the_threshold_of_failures_in_a_row_and_says_why() -> None:
    breaker = Breaker(failures=3)
    breaker.fail(2)
    assert breaker.state() is State.CLOSED
    breaker.fail()
    status = breaker.circuit.status(breaker.now)
    assert status.state is State.OPEN
    assert status.reason == "3 failures in a row (last: UPSTREAM_TIMEOUT)"
    assert (status.consecutive_failures, status.trips, status.last_failure) == (3, 1, FAILURE)
    assert [(move.previous, move.state) for move in breaker.moves] == [(State.CLOSED, State.OPEN)]
    assert status.history == tuple(breaker.moves)


def test_a_success_begins_the_count_of_failures_anew() -> None:
    breaker = Breaker(failures=3)
    breaker.fail(2)
    breaker.succeed()
    breaker.fail(2)
    assert breaker.state() is State.CLOSED


def test_what_is_ignored_neither_counts_nor_interrupts_a_row() -> None:
    breaker = Breaker(failures=3)
    breaker.fail(2)
    breaker.call(Outcome.IGNORED, took_s=1000)
    assert breaker.circuit.status(breaker.now).failure_rate == 1.0
    breaker.fail()
    assert breaker.state() is State.OPEN


def test_an_open_circuit_refuses_and_says_for_how_long() -> None:
    breaker = Breaker(open_s=10)
    breaker.fail(3)
    refusal = breaker.ask()
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_s is not None
    assert 9 <= refusal.retry_after_s <= 11
    breaker.now += 5
    later = breaker.ask()
    assert isinstance(later, Refusal)
    assert later.retry_after_s == pytest.approx(refusal.retry_after_s - 5)
    assert breaker.circuit.status(breaker.now).refused == 2


def test_the_failure_rate_over_the_window_opens_it_once_there_are_enough_calls() -> None:
    breaker = Breaker(failures=100, failure_rate=0.5, minimum_calls=4, window=10)
    breaker.fail()
    breaker.succeed()
    breaker.fail()
    assert breaker.state() is State.CLOSED, "three calls decide nothing"
    breaker.succeed()
    assert breaker.state() is State.CLOSED, "a success never opens a circuit"
    breaker.fail()
    status = breaker.circuit.status(breaker.now)
    assert status.state is State.OPEN
    assert status.reason == "3 of the last 5 calls failed (last: UPSTREAM_TIMEOUT)"
    assert status.failure_rate == 0.6


def test_failures_leave_the_window_as_newer_calls_come() -> None:
    breaker = Breaker(failures=100, failure_rate=0.5, minimum_calls=4, window=4)
    breaker.fail()
    breaker.succeed(4)
    assert breaker.circuit.status(breaker.now).failure_rate == 0.0
    breaker.fail()
    assert breaker.state() is State.CLOSED
    breaker.fail()
    assert breaker.state() is State.OPEN


def test_slow_calls_open_it_though_they_succeed() -> None:
    breaker = Breaker(slow_call_s=2, slow_rate=0.5, minimum_calls=4, window=10)
    breaker.succeed(2)
    breaker.call(Outcome.SUCCESS, took_s=2.0)
    breaker.call(Outcome.SUCCESS, took_s=2.1)
    assert breaker.state() is State.CLOSED, "exactly as long as allowed is not slow"
    breaker.call(Outcome.SUCCESS, took_s=3)
    assert breaker.state() is State.CLOSED
    breaker.call(Outcome.SUCCESS, took_s=3)
    status = breaker.circuit.status(breaker.now)
    assert status.state is State.OPEN
    assert status.reason == "3 of the last 6 calls took longer than 2 s"
    assert (status.slow_rate, status.failure_rate) == (0.5, 0.0)


def test_reading_moves_an_expired_open_circuit_on_though_nobody_calls() -> None:
    breaker = Breaker()
    breaker.fail(3)
    probe_at = breaker.circuit.status(breaker.now).next_probe_at
    breaker.now += 3600
    status = breaker.circuit.status(breaker.now)
    assert status.state is State.HALF_OPEN
    assert status.reason == "the open time has passed; probing"
    assert status.since == probe_at, "it shows when that was, not when somebody looked"
    assert status.next_probe_at is None


@pytest.mark.parametrize("probes", [1, 3])
def test_half_open_admits_exactly_the_configured_probes_of_many_askers(probes: int) -> None:
    breaker = Breaker(probes=probes, successes=1)
    breaker.half_open()
    answers = [breaker.ask() for _ in range(50)]
    assert [isinstance(answer, Permit) for answer in answers] == [True] * probes + [False] * (50 - probes)
    refusal = answers[-1]
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_s == 30.0, "the time a probe has"


def test_a_probe_that_succeeds_closes_it_and_forgets_what_was() -> None:
    breaker = Breaker()
    breaker.half_open()
    breaker.succeed()
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.reason) == (State.CLOSED, "1 probe(s) succeeded")
    assert (status.consecutive_failures, status.failure_rate) == (0, None)
    assert status.last_success_at == breaker.now
    assert status.last_failure == FAILURE, "for people to read"


def test_it_takes_as_many_successes_as_configured_to_close() -> None:
    breaker = Breaker(probes=1, successes=3)
    breaker.half_open()
    first = breaker.permit()
    refused = [breaker.ask(), breaker.ask()]
    assert refused == [Refusal(30.0), Refusal(30.0)], "one at a time"
    assert breaker.circuit.status(breaker.now).refused == 2
    breaker.settle(first, Outcome.SUCCESS)
    breaker.succeed()
    assert breaker.state() is State.HALF_OPEN
    breaker.succeed()
    assert breaker.state() is State.CLOSED


def test_probes_out_and_successes_together_never_exceed_what_closing_takes() -> None:
    breaker = Breaker(probes=2, successes=3)
    breaker.half_open()
    first, second = breaker.permit(), breaker.permit()
    breaker.settle(first, Outcome.SUCCESS)
    breaker.settle(second, Outcome.SUCCESS)
    breaker.permit()
    assert isinstance(breaker.ask(), Refusal), "two have succeeded and one is out: a fourth would be one too many"


def test_one_failed_probe_opens_it_again_whatever_the_others_say() -> None:
    breaker = Breaker(probes=3, successes=3)
    breaker.half_open()
    probes = [breaker.permit() for _ in range(3)]
    breaker.settle(probes[0], Outcome.SUCCESS)
    breaker.settle(probes[1], Outcome.FAILURE)
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.reason) == (State.OPEN, "a probe failed (last: UPSTREAM_TIMEOUT)")
    breaker.settle(probes[2], Outcome.SUCCESS)
    assert breaker.state() is State.OPEN


def test_a_slow_probe_is_a_failed_one() -> None:
    breaker = Breaker(slow_call_s=2)
    breaker.half_open()
    breaker.call(Outcome.SUCCESS, took_s=3)
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.reason) == (State.OPEN, "a probe took longer than 2 s")


def test_a_cancelled_probe_gives_its_permit_back() -> None:
    breaker = Breaker()
    breaker.half_open()
    probe = breaker.permit()
    assert isinstance(breaker.ask(), Refusal)
    breaker.settle(probe, Outcome.IGNORED)
    assert breaker.state() is State.HALF_OPEN
    breaker.permit()
    assert isinstance(breaker.ask(), Refusal), "it came back once"


def test_a_probe_settled_twice_counts_once() -> None:
    breaker = Breaker(successes=2, probes=2)
    breaker.half_open()
    probe = breaker.permit()
    breaker.settle(probe, Outcome.SUCCESS)
    breaker.settle(probe, Outcome.SUCCESS)
    assert breaker.state() is State.HALF_OPEN


def test_a_probe_that_hangs_opens_it_again() -> None:
    breaker = Breaker(probe_timeout_s=30)
    breaker.half_open()
    hung = breaker.permit()
    breaker.now += 29
    assert breaker.state() is State.HALF_OPEN
    refusal = breaker.ask()
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_s == pytest.approx(1)
    breaker.now += 1
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.reason) == (State.OPEN, "a probe gave no result within 30 s")
    breaker.settle(hung, Outcome.SUCCESS)
    assert breaker.state() is State.OPEN


def test_a_result_after_the_probes_time_is_too_late_though_nobody_looked_meanwhile() -> None:
    breaker = Breaker(probe_timeout_s=30)
    breaker.half_open()
    hung = breaker.permit()
    breaker.now += 31
    breaker.settle(hung, Outcome.SUCCESS)
    assert breaker.state() is State.OPEN


def test_the_open_time_after_a_hung_probe_runs_from_when_its_time_was_up() -> None:
    breaker = Breaker(probe_timeout_s=30, open_s=10)
    breaker.half_open()
    breaker.permit()
    breaker.now += 3600
    breaker.permit()


def test_a_result_from_before_the_circuit_opened_is_discarded() -> None:
    breaker = Breaker()
    late = breaker.permit()
    breaker.half_open()
    breaker.settle(late, Outcome.SUCCESS)
    assert breaker.state() is State.HALF_OPEN
    breaker.settle(late, Outcome.FAILURE)
    assert breaker.state() is State.HALF_OPEN
    breaker.succeed()
    breaker.settle(late, Outcome.FAILURE)
    assert breaker.circuit.status(breaker.now).consecutive_failures == 0


def test_the_open_time_doubles_with_every_trip_in_a_row_up_to_the_cap_and_is_jittered() -> None:
    breaker = Breaker(open_s=10, max_open_s=60, random=Random(7))
    breaker.fail(3)
    waits = []
    for _ in range(80):
        at = breaker.circuit.status(breaker.now).next_probe_at
        assert at is not None
        waits.append(at - breaker.now)
        breaker.now = at
        breaker.fail()
    bounds = [10, 20, 40] + [60] * 77
    assert all(0.9 * bound - 1e-9 <= wait <= 1.1 * bound + 1e-9 for wait, bound in zip(waits, bounds, strict=True))
    capped = waits[3:]
    assert max(capped) - min(capped) > 0.1 * 60, "the jitter uses its room"
    assert breaker.circuit.status(breaker.now).trips == 81


def test_closing_brings_the_first_open_time_back() -> None:
    breaker = Breaker(open_s=10)
    breaker.half_open()
    breaker.fail()
    breaker.wait_for_probe()
    breaker.succeed()
    breaker.fail(3)
    at = breaker.circuit.status(breaker.now).next_probe_at
    assert at is not None
    assert 9 <= at - breaker.now <= 11


def test_the_history_keeps_the_latest_moves_only() -> None:
    breaker = Breaker()
    breaker.half_open()
    for _ in range(30):
        breaker.fail()
        breaker.wait_for_probe()
    history = breaker.circuit.status(breaker.now).history
    assert len(history) == 20
    assert history == tuple(breaker.moves[-20:])


def test_a_time_window_opens_it_on_what_failed_lately_and_says_so() -> None:
    breaker = Breaker(failures=100, failure_rate=0.5, minimum_calls=4, window_s=10)
    breaker.fail(2)
    breaker.now += 10
    breaker.succeed(2)
    breaker.fail()
    assert breaker.state() is State.CLOSED, "what failed ten seconds ago no longer counts"
    breaker.fail()
    status = breaker.circuit.status(breaker.now)
    assert status.state is State.OPEN
    assert status.reason == "2 of the 4 calls of the last 10 s failed (last: UPSTREAM_TIMEOUT)"
    assert status.window == WindowFigures(4, 2, 0, None, 10)


def test_rates_of_a_time_window_fade_on_an_idle_circuit() -> None:
    breaker = Breaker(window_s=10)
    breaker.fail()
    assert breaker.circuit.status(breaker.now).failure_rate == 1.0
    breaker.now += 10
    assert breaker.circuit.status(breaker.now).failure_rate is None


def test_calls_without_an_answer_in_fair_time_open_it_by_the_slow_rate() -> None:
    breaker = Breaker(failures=100, slow_call_s=2, slow_rate=0.5, minimum_calls=4)
    breaker.succeed(2)
    breaker.call(Outcome.UNANSWERED, took_s=2)
    breaker.call(Outcome.UNANSWERED, took_s=2)
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.reason) == (State.OPEN, "2 of the last 4 calls took longer than 2 s")
    assert (status.slow_rate, status.failure_rate) == (0.5, 0.0)


def test_calls_without_an_answer_in_fair_time_open_it_in_a_row_as_failures_do() -> None:
    breaker = Breaker(failures=3)
    breaker.call(Outcome.UNANSWERED)
    breaker.fail()
    breaker.succeed()
    breaker.call(Outcome.UNANSWERED)
    breaker.fail()
    assert breaker.state() is State.CLOSED
    unanswered = Failure("DEADLINE_EXCEEDED", "crm: no answer", breaker.now)
    breaker.circuit.settle(breaker.permit(), Outcome.UNANSWERED, breaker.now, unanswered)
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.reason) == (State.OPEN, "3 failures in a row (last: DEADLINE_EXCEEDED)")
    assert status.last_failure == unanswered
    assert (status.window.calls, status.window.failed, status.window.slow) == (6, 2, 3)


def test_without_a_bound_on_slowness_the_slow_rate_is_that_of_the_unanswered() -> None:
    breaker = Breaker(failures=100, minimum_calls=4, window=4)
    breaker.succeed(4)
    for _ in range(4):
        assert breaker.state() is State.CLOSED
        breaker.call(Outcome.UNANSWERED)
    status = breaker.circuit.status(breaker.now)
    assert status.reason == "4 of the last 4 calls had no answer when their deadline came"


def test_a_probe_without_an_answer_in_fair_time_is_a_failed_one() -> None:
    breaker = Breaker()
    breaker.half_open()
    breaker.call(Outcome.UNANSWERED)
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.reason, status.consecutive_failures) == (State.OPEN, "a probe failed", 4)


def test_time_that_a_call_waited_here_is_no_slowness_of_the_upstream() -> None:
    breaker = Breaker(slow_call_s=2)
    permit = breaker.permit()
    breaker.now += 7
    breaker.circuit.settle(permit, Outcome.SUCCESS, breaker.now, queued_s=5)
    assert breaker.circuit.status(breaker.now).slow_rate == 0.0
    permit = breaker.permit()
    breaker.now += 7.5
    breaker.circuit.settle(permit, Outcome.SUCCESS, breaker.now, queued_s=5)
    assert breaker.circuit.status(breaker.now).slow_rate == 0.5


def test_what_says_nothing_is_counted_apart() -> None:
    breaker = Breaker()
    breaker.call(Outcome.IGNORED)
    breaker.call(Outcome.IGNORED)
    breaker.half_open()
    breaker.call(Outcome.IGNORED)
    breaker.call(Outcome.IGNORED)
    assert breaker.circuit.status(breaker.now).ignored == 4


def test_each_move_is_dated_and_so_is_the_last_success() -> None:
    breaker = Breaker(failures=1)
    breaker.now = 110.0
    breaker.succeed()
    assert breaker.circuit.status(breaker.now).last_success_at == 110.0
    breaker.now = 120.0
    breaker.fail()
    assert breaker.circuit.status(breaker.now).since == 120.0
    breaker.wait_for_probe()
    began = breaker.now
    breaker.now = 140.0
    breaker.succeed()
    assert [move.at for move in breaker.circuit.status(breaker.now).history] == [120.0, began, 140.0]


def test_a_circuit_that_nobody_touched_decides_by_itself() -> None:
    status = Breaker().circuit.status(100.0)
    assert (status.mode, status.mode_change) == (Mode.AUTOMATIC, None)


def test_forced_open_it_refuses_everything_for_good_and_says_who_did_it_when_and_why() -> None:
    breaker = Breaker()
    breaker.circuit.set_mode(Mode.FORCED_OPEN, breaker.now, by="ada", reason="deploying crm")
    breaker.now += 1_000_000
    change = ModeChange(Mode.FORCED_OPEN, "ada", 100.0, "deploying crm")
    assert breaker.ask() == Refusal(None, change)
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.mode, status.mode_change) == (State.OPEN, Mode.FORCED_OPEN, change)
    assert (status.reason, status.since) == ("forced open by ada: deploying crm", 100.0)
    assert (status.next_probe_at, status.refused, status.trips) == (None, 1, 0)
    assert breaker.moves == [
        Transition(State.CLOSED, State.OPEN, 100.0, "forced open by ada: deploying crm", Mode.FORCED_OPEN)
    ]


def test_given_back_after_being_forced_open_it_probes_first() -> None:
    breaker = Breaker()
    breaker.circuit.set_mode(Mode.FORCED_OPEN, breaker.now, by="ada")
    breaker.circuit.set_mode(Mode.AUTOMATIC, breaker.now, by="bob", reason="deployed")
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.mode) == (State.HALF_OPEN, Mode.AUTOMATIC)
    assert status.reason == "given back to itself by bob: deployed"
    assert status.mode_change == ModeChange(Mode.AUTOMATIC, "bob", 100.0, "deployed")
    breaker.permit()
    assert isinstance(breaker.ask(), Refusal)


@pytest.mark.parametrize("before", ["closed", "open", "half-open"])
def test_disabled_it_lets_everything_through_and_counts_nothing(before: str) -> None:
    breaker = Breaker()
    if before != "closed":
        breaker.fail(3)
    if before == "half-open":
        breaker.wait_for_probe()
    breaker.circuit.set_mode(Mode.DISABLED, breaker.now, by="ada")
    breaker.fail(10)
    breaker.call(Outcome.IGNORED)
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.mode, status.reason) == (State.CLOSED, Mode.DISABLED, "disabled by ada")
    assert (status.window.calls, status.consecutive_failures, status.ignored) == (0, 0, 0)
    assert status.refused == 0


def test_metrics_only_it_counts_and_never_opens() -> None:
    breaker = Breaker(failure_rate=0.5, slow_call_s=1, minimum_calls=1)
    breaker.circuit.set_mode(Mode.METRICS_ONLY, breaker.now, by="ada")
    breaker.fail(10)
    breaker.call(Outcome.SUCCESS, took_s=2)
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.mode, status.reason) == (
        State.CLOSED,
        Mode.METRICS_ONLY,
        "set to metrics only by ada",
    )
    assert (status.window.calls, status.window.failed, status.window.slow, status.trips) == (11, 10, 1, 0)


@pytest.mark.parametrize("mode", [Mode.DISABLED, Mode.METRICS_ONLY])
def test_given_back_after_letting_everything_through_it_is_closed_and_counts_anew(mode: Mode) -> None:
    breaker = Breaker(failures=3)
    breaker.circuit.set_mode(mode, breaker.now, by="ada")
    breaker.fail(10)
    breaker.circuit.set_mode(Mode.AUTOMATIC, breaker.now, by="ada")
    breaker.fail(2)
    assert breaker.state() is State.CLOSED
    breaker.fail()
    assert breaker.state() is State.OPEN


def test_giving_back_what_decides_by_itself_changes_nothing() -> None:
    breaker = Breaker()
    breaker.fail(3)
    before = breaker.circuit.status(breaker.now)
    breaker.circuit.set_mode(Mode.AUTOMATIC, breaker.now, by="ada")
    assert breaker.circuit.status(breaker.now) == before


@pytest.mark.parametrize("mode", Mode)
def test_reset_closes_it_whatever_it_was_and_forgets_what_it_counted(mode: Mode) -> None:
    breaker = Breaker(open_s=10)
    breaker.half_open()
    breaker.fail()
    breaker.circuit.set_mode(mode, breaker.now, by="ada")
    breaker.circuit.reset(breaker.now, by="bob", reason="fixed")
    status = breaker.circuit.status(breaker.now)
    assert (status.state, status.mode, status.reason) == (State.CLOSED, Mode.AUTOMATIC, "reset by bob: fixed")
    assert status.mode_change == ModeChange(Mode.AUTOMATIC, "bob", breaker.now, "fixed")
    assert (status.window.calls, status.consecutive_failures) == (0, 0)
    assert (status.trips, status.last_failure) == (2, FAILURE), "totals and the last failure are for people to read"
    breaker.fail(3)
    at = breaker.circuit.status(breaker.now).next_probe_at
    assert at is not None
    assert 9 <= at - breaker.now <= 11, "the first open time"


def test_reset_needs_no_reason() -> None:
    breaker = Breaker()
    breaker.circuit.reset(breaker.now, by="bob")
    assert breaker.circuit.status(breaker.now).reason == "reset by bob"


@pytest.mark.parametrize("mode", [Mode.FORCED_OPEN, Mode.DISABLED, Mode.METRICS_ONLY])
def test_permits_from_before_a_change_of_mode_are_discarded(mode: Mode) -> None:
    breaker = Breaker(failures=1)
    early = breaker.permit()
    breaker.circuit.set_mode(mode, breaker.now, by="ada")
    during = breaker.ask()
    breaker.settle(early, Outcome.FAILURE)
    assert breaker.circuit.status(breaker.now).consecutive_failures == 0
    breaker.circuit.reset(breaker.now, by="ada")
    for permit in (early, during):
        if isinstance(permit, Permit):
            breaker.settle(permit, Outcome.FAILURE)
    assert breaker.state() is State.CLOSED


def test_a_probe_from_before_being_forced_open_takes_no_place_after_it() -> None:
    breaker = Breaker()
    breaker.half_open()
    early = breaker.permit()
    breaker.circuit.set_mode(Mode.FORCED_OPEN, breaker.now, by="ada")
    breaker.circuit.set_mode(Mode.AUTOMATIC, breaker.now, by="ada")
    now = breaker.permit()
    breaker.settle(early, Outcome.SUCCESS)
    assert breaker.state() is State.HALF_OPEN
    breaker.settle(now, Outcome.SUCCESS)
    assert breaker.state() is State.CLOSED


def test_it_says_whether_a_call_would_be_refused_without_counting_one() -> None:
    breaker = Breaker()
    assert breaker.circuit.refuses_until <= breaker.now
    breaker.fail(3)
    assert breaker.circuit.refuses_until == breaker.circuit.status(breaker.now).next_probe_at
    breaker.wait_for_probe()
    assert breaker.circuit.refuses_until <= breaker.now, "a probe's time has come, though nobody has looked"
    breaker.circuit.set_mode(Mode.FORCED_OPEN, breaker.now, by="ada")
    assert breaker.circuit.refuses_until == math.inf
    assert breaker.circuit.status(breaker.now).refused == 0


def test_only_closed_and_by_itself_is_it_at_rest() -> None:
    breaker = Breaker()
    assert breaker.circuit.is_at_rest(breaker.now)
    for mode in (Mode.FORCED_OPEN, Mode.DISABLED, Mode.METRICS_ONLY):
        breaker.circuit.set_mode(mode, breaker.now, by="ada")
        assert not breaker.circuit.is_at_rest(breaker.now)
    breaker.circuit.reset(breaker.now, by="ada")
    assert breaker.circuit.is_at_rest(breaker.now)
    breaker.fail(3)
    assert not breaker.circuit.is_at_rest(breaker.now)
    breaker.wait_for_probe()
    assert not breaker.circuit.is_at_rest(breaker.now)
    breaker.succeed()
    assert breaker.circuit.is_at_rest(breaker.now)
