import pytest

from clients.figures import DURATION_BOUNDS_S
from clients.series import SLOT_S, SLOTS, Counts, Series, Slot, last_minute, together

NONE = (0,) * (len(DURATION_BOUNDS_S) + 1)


def durations(**by_index: int) -> tuple[int, ...]:
    """So many in the buckets `b0`, `b1`, …"""
    return tuple(by_index.get(f"b{index}", 0) for index in range(len(NONE)))


def slot(at: float, calls: int, seconds: float = SLOT_S) -> Slot:
    return Slot(at, seconds, Counts(calls, 0, 0, durations(b0=calls)))


def test_a_slot_is_what_was_counted_between_two_readings() -> None:
    series = Series(100.0)
    series.mark(Counts(5, 1, 2, durations(b3=5), (3, 2)), 110.0)
    series.mark(Counts(9, 1, 3, durations(b3=6, b4=3), (6, 3)), 120.5)
    assert series.read(Counts(10, 2, 3, durations(b3=7, b4=3), (7, 3)), 122.0) == (
        Slot(100.0, 10.0, Counts(5, 1, 2, durations(b3=5), (3, 2))),
        Slot(110.0, 10.5, Counts(4, 0, 1, durations(b3=1, b4=3), (3, 1))),
        Slot(120.5, 1.5, Counts(1, 1, 0, durations(b3=1), (1, 0))),
    )


def test_reading_changes_nothing() -> None:
    series = Series(0.0)
    counts = Counts(3, 0, 0, durations(b0=3))
    assert series.read(counts, 4.0) == series.read(counts, 4.0) == (Slot(0.0, 4.0, counts),)


def test_no_more_slots_are_kept_than_there_are() -> None:
    series = Series(0.0)
    for n in range(1, 3 * SLOTS):
        series.mark(Counts(n, 0, 0, NONE), n * SLOT_S)
    slots = series.read(Counts(3 * SLOTS, 0, 0, NONE), 3 * SLOTS * SLOT_S)
    assert len(slots) == SLOTS
    assert slots[0].at == 2 * SLOTS * SLOT_S
    assert {each.counts.calls for each in slots} == {1}


def test_slots_in_a_row_are_one_longer_slot() -> None:
    whole = together([slot(0.0, 10), slot(10.0, 20), slot(20.0, 3, seconds=1.5)])
    assert whole == Slot(0.0, 21.5, Counts(33, 0, 0, durations(b0=33)))
    assert whole.per_s == pytest.approx(33 / 21.5)


def test_the_last_minute_has_sixty_seconds_beside_the_slot_that_is_not_over() -> None:
    slots = [slot(n * SLOT_S, n) for n in range(20)]
    assert last_minute([*slots, slot(200.0, 5, seconds=2.0)]).seconds == 62.0
    assert last_minute([slot(0.0, 5, seconds=2.0)]).seconds == 2.0


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        (durations(b0=100), 0.00475),  # spread over 0 to 5 ms
        (durations(b0=95, b4=5), 0.005),
        (durations(b0=90, b4=10), 0.075),  # 50 to 100 ms, half way
        (durations(b12=3), 30.0),  # beyond the last bound
        (NONE, None),
    ],
)
def test_p95_is_estimated_from_the_counts_by_duration(counted: tuple[int, ...], expected: float | None) -> None:
    found = Slot(0.0, 10.0, Counts(sum(counted), 0, 0, counted)).p95_s
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_slot_that_has_just_begun_has_no_rate() -> None:
    assert Slot(0.0, 0.0, Counts(0, 0, 0, NONE)).per_s == 0.0
