import pytest

from clients.policy import BreakerPolicy
from clients.state.window import FAILED, GOOD, SLOW, CountWindow, TimeWindow, Window, WindowFigures, make_window


def test_the_policy_says_which_window_by_default_the_latest_hundred_calls() -> None:
    assert make_window(BreakerPolicy()).read(0.0) == WindowFigures(0, 0, 0, 100, None)
    assert make_window(BreakerPolicy(window=7)).read(0.0) == WindowFigures(0, 0, 0, 7, None)
    assert make_window(BreakerPolicy(window_s=60)).read(0.0) == WindowFigures(0, 0, 0, None, 60)


@pytest.mark.parametrize("window", [CountWindow(10), TimeWindow(10)])
def test_a_call_may_be_failed_slow_both_or_neither(window: Window) -> None:
    for kind in (GOOD, FAILED, SLOW, FAILED | SLOW, FAILED | SLOW):
        window.add(kind, 100.0)
    figures = window.read(100.0)
    assert (figures.calls, figures.failed, figures.slow) == (5, 3, 3)
    window.clear()
    figures = window.read(100.0)
    assert (figures.calls, figures.failed, figures.slow) == (0, 0, 0)


def test_of_calls_the_oldest_goes_with_what_it_was() -> None:
    window = CountWindow(2)
    seen = []
    for kind in (FAILED, SLOW, FAILED | SLOW, GOOD, GOOD):
        window.add(kind, 0.0)
        figures = window.read(0.0)
        seen.append((figures.calls, figures.failed, figures.slow))
    assert seen == [(1, 1, 0), (2, 1, 1), (2, 1, 2), (2, 1, 1), (2, 0, 0)]


def test_of_seconds_a_call_goes_a_slice_at_a_time_between_nine_tenths_and_all_of_them() -> None:
    window = TimeWindow(10)
    window.add(FAILED | SLOW, 100.0)
    window.add(GOOD, 100.9)
    window.add(GOOD, 101.0)
    assert window.read(109.99) == WindowFigures(3, 1, 1, None, 10)
    assert window.read(110.0) == WindowFigures(1, 0, 0, None, 10)
    assert window.read(110.99).calls == 1
    assert window.read(111.0).calls == 0


@pytest.mark.parametrize("seconds", [1.25, 2.5, 80.0])
def test_slices_are_a_tenth_of_the_window_however_long_it_is(seconds: float) -> None:
    window = TimeWindow(seconds)
    for tenth in range(10):
        window.add(GOOD, 80 + tenth * seconds / 10)
    assert [window.read(80 + tenth * seconds / 10).calls for tenth in (9, 10, 11, 18, 19)] == [10, 9, 8, 1, 0]


def test_calls_of_one_slice_and_of_many_add_up() -> None:
    window = TimeWindow(10)
    for second in range(100, 130):
        window.add(FAILED, float(second))
        window.add(GOOD, second + 0.5)
    assert window.read(129.5) == WindowFigures(20, 10, 0, None, 10)
    window.add(SLOW, 131.25)
    assert window.read(131.25) == WindowFigures(17, 8, 1, None, 10)


@pytest.mark.parametrize("leap", [10.0, 11.5, 3600.0, 86_400.0 * 365, 1e12])
def test_however_far_the_clock_leaps_nothing_old_is_left(leap: float) -> None:
    window = TimeWindow(10)
    for tenth in range(100):
        window.add(FAILED, 100 + tenth / 10)
    assert window.read(109.9).calls == 100
    window.add(GOOD, 109.9 + leap)
    assert window.read(109.9 + leap) == WindowFigures(1, 0, 0, None, 10)


def test_what_is_counted_does_not_depend_on_how_often_somebody_looks() -> None:
    watched, alone = TimeWindow(7), TimeWindow(7)
    for step in range(400):
        now = 50 + step * 0.37
        kind = step % 4
        watched.add(kind, now)
        alone.add(kind, now)
        watched.read(now + 0.1)
    assert watched.read(200.0) == alone.read(200.0)


def test_memory_does_not_grow_with_the_calls() -> None:
    window = TimeWindow(60)
    for call in range(100_000):
        window.add(call % 4, call / 1000)
    assert len(window._slices) == 10
    assert window.read(99.999).calls == 58_000


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        (WindowFigures(5, 3, 0, 100, None), "the last 5 calls"),
        (WindowFigures(5, 3, 0, None, 0.5), "the 5 calls of the last 0.5 s"),
    ],
)
def test_it_reads_as_part_of_a_sentence(figures: WindowFigures, text: str) -> None:
    assert str(figures) == text
