"""Which circuit guards which operation, and which of them may be forgotten."""

from random import Random

import pytest

from clients.policy import BreakerPolicy
from clients.state.circuit import Circuit, Mode, Outcome, Permit, Refusal, State
from clients.state.circuits import OTHERS, Circuits

NOW = 100.0


def circuits(limit: int = 256, *, by_operation: bool = True, **policy: float) -> Circuits:
    breaker = BreakerPolicy(**{"failures": 1, "open_s": 10.0, "max_open_s": 100.0, **policy})  # type: ignore[arg-type]
    return Circuits(lambda _: Circuit(breaker, now=NOW, random=Random(1)), by_operation=by_operation, limit=limit)


def fail(made: Circuits, operation: str, now: float = NOW) -> None:
    _, circuit = made.of(operation, now)
    permit = circuit.acquire(now)
    assert isinstance(permit, Permit)
    circuit.settle(permit, Outcome.FAILURE, now)


def names(made: Circuits, now: float = NOW) -> list[str | None]:
    return list(made.status(now))


def test_one_for_all_is_there_from_the_start() -> None:
    made = circuits(by_operation=False)
    assert made.shared is not None
    assert list(made.status(NOW)) == [None]


def test_whoever_makes_them_is_told_for_which_operation() -> None:
    made_for: list[str | None] = []

    def make(operation: str | None) -> Circuit:
        made_for.append(operation)
        return Circuit(BreakerPolicy(), now=NOW, random=Random(1))

    Circuits(make, by_operation=True).of("orders", NOW)
    Circuits(make, by_operation=False)
    assert made_for == ["orders", None]


def test_each_operation_has_its_own_from_its_first_call() -> None:
    made = circuits()
    assert (made.shared, names(made)) == (None, [])
    fail(made, "orders")
    name, other = made.of("customers", NOW)
    assert (name, isinstance(other.acquire(NOW), Permit)) == ("customers", True)
    assert made.of("customers", NOW) == ("customers", other)
    assert {name: each.state for name, each in made.status(NOW).items()} == {
        "customers": State.CLOSED,
        "orders": State.OPEN,
    }


def test_it_says_which_operations_calls_would_be_refused() -> None:
    made = circuits()
    fail(made, "orders")
    assert made.refuses("orders", NOW)
    until = made.status(NOW)["orders"].next_probe_at
    assert until is not None
    assert not made.refuses("orders", until)
    assert not made.refuses("customers", NOW), "there is none yet"
    assert names(made) == ["orders"], "and asking makes none"
    shared = circuits(by_operation=False)
    assert not shared.refuses("orders", NOW)
    shared.set_mode(Mode.FORCED_OPEN, NOW, by="ada", reason=None, operation=None)
    assert shared.refuses("orders", NOW)


def test_past_the_limit_the_one_not_used_for_longest_goes() -> None:
    made = circuits(limit=3)
    for name in ("a", "b", "c", "a", "d"):
        made.of(name, NOW)
    assert names(made) == ["a", "c", "d"]


def test_an_open_circuit_is_never_forgotten() -> None:
    made = circuits(limit=2)
    fail(made, "a")
    made.of("b", NOW)
    made.of("c", NOW)
    assert names(made) == ["a", "c"]


@pytest.mark.parametrize("mode", [Mode.FORCED_OPEN, Mode.DISABLED, Mode.METRICS_ONLY])
def test_a_circuit_that_an_operator_has_touched_is_never_forgotten(mode: Mode) -> None:
    made = circuits(limit=2)
    made.set_mode(mode, NOW, by="ada", reason=None, operation="a")
    made.of("b", NOW)
    made.of("c", NOW)
    assert names(made) == ["a", "c"]


def test_when_none_may_be_forgotten_newcomers_share_one() -> None:
    made = circuits(limit=2)
    fail(made, "a")
    fail(made, "b")
    first, second = made.of("c", NOW), made.of("d", NOW)
    assert first == second
    assert first[0] == OTHERS
    assert names(made) == ["a", "b", OTHERS]
    fail(made, "e")
    assert isinstance(made.of("f", NOW)[1].acquire(NOW), Refusal)


def test_a_half_open_circuit_goes_only_when_nobody_has_probed_for_as_long_as_it_could_have_been_open() -> None:
    made = circuits(limit=1)
    fail(made, "a")
    probing_since = made.status(NOW)["a"].next_probe_at
    assert probing_since is not None
    made.of("b", probing_since + 99)
    assert names(made) == ["a", OTHERS]
    made = circuits(limit=1)
    fail(made, "a")
    made.of("b", probing_since + 100)
    assert names(made) == ["b"]


def test_a_half_open_circuit_with_a_probe_out_stays() -> None:
    made = circuits(limit=1, probe_timeout_s=1000.0)
    fail(made, "a")
    assert isinstance(made.of("a", NOW + 20)[1].acquire(NOW + 20), Permit)
    made.of("b", NOW + 500)
    assert names(made) == ["a", OTHERS]


def test_a_permit_of_a_circuit_that_was_forgotten_may_still_be_handed_back() -> None:
    made = circuits(limit=1)
    _, circuit = made.of("a", NOW)
    permit = circuit.acquire(NOW)
    made.of("b", NOW)
    assert isinstance(permit, Permit)
    circuit.settle(permit, Outcome.FAILURE, NOW)
    assert made.status(NOW)["b"].window.calls == 0


def test_an_operator_may_mean_one_operation_even_before_its_first_call() -> None:
    made = circuits()
    made.of("a", NOW)
    made.set_mode(Mode.FORCED_OPEN, NOW, by="ada", reason="no", operation="b")
    assert {name: each.mode for name, each in made.status(NOW).items()} == {"a": Mode.AUTOMATIC, "b": Mode.FORCED_OPEN}
    made.reset(NOW, by="ada", reason=None, operation="b")
    assert made.status(NOW)["b"].mode is Mode.AUTOMATIC


def test_or_all_of_them_those_yet_to_come_included_until_they_are_given_back() -> None:
    made = circuits()
    made.of("a", NOW)
    made.set_mode(Mode.FORCED_OPEN, NOW, by="ada", reason="no", operation=None)
    made.of("b", NOW + 5)
    now = made.status(NOW + 5)
    assert [each.mode for each in now.values()] == [Mode.FORCED_OPEN] * 2
    assert now["a"].mode_change == now["b"].mode_change
    made.set_mode(Mode.AUTOMATIC, NOW + 6, by="ada", reason=None, operation=None)
    made.of("c", NOW + 6)
    assert [each.state for each in made.status(NOW + 6).values()] == [State.HALF_OPEN, State.HALF_OPEN, State.CLOSED]


def test_a_reset_of_one_leaves_the_others_as_they_are() -> None:
    made = circuits()
    fail(made, "a")
    fail(made, "b")
    made.reset(NOW, by="ada", reason=None, operation="a")
    assert [each.state for each in made.status(NOW).values()] == [State.CLOSED, State.OPEN]


def test_a_reset_of_all_holds_for_those_yet_to_come_as_well() -> None:
    made = circuits()
    made.of("a", NOW)
    made.set_mode(Mode.DISABLED, NOW, by="ada", reason=None, operation=None)
    made.reset(NOW, by="ada", reason="done", operation=None)
    made.of("b", NOW)
    now = made.status(NOW)
    assert (now["a"].mode, now["a"].reason, now["b"].mode) == (Mode.AUTOMATIC, "reset by ada: done", Mode.AUTOMATIC)


def test_the_one_for_all_takes_orders_too() -> None:
    made = circuits(by_operation=False)
    made.set_mode(Mode.FORCED_OPEN, NOW, by="ada", reason=None, operation=None)
    assert made.status(NOW)[None].state is State.OPEN
    made.reset(NOW, by="ada", reason=None, operation=None)
    assert made.status(NOW)[None].state is State.CLOSED
