"""The bucket in plain cases; tests/properties has every other."""

import pytest

from clients.state.token_bucket import TokenBucket


def taken(bucket: TokenBucket, now: float, times: int = 100) -> int:
    return sum(bucket.take(now) for _ in range(times))


def test_a_full_bucket_lets_a_burst_of_its_capacity_through() -> None:
    bucket = TokenBucket(5, 1, now=0)
    assert taken(bucket, 0) == 5
    assert bucket.left(0) == 0


def test_it_refills_at_its_rate_and_never_above_its_capacity() -> None:
    bucket = TokenBucket(5, 2, now=0)
    taken(bucket, 0)
    assert bucket.left(1.5) == 3
    assert taken(bucket, 1.5) == 3
    assert bucket.left(1e9) == 5


@pytest.mark.parametrize("per_s", [0.1, 0.3, 3, 7, 1000, 1e6])
def test_who_waits_exactly_as_long_as_he_was_told_finds_a_token(per_s: float) -> None:
    bucket, now = TokenBucket(1, per_s, now=1000.1), 1000.1
    for _ in range(1000):
        while not bucket.take(now):
            now += bucket.wait_s(now)
    assert now == pytest.approx(1000.1 + 999 / per_s)


def test_the_wait_grows_with_those_ahead() -> None:
    bucket = TokenBucket(2, 4, now=0)
    assert [bucket.wait_s(0, ahead) for ahead in range(4)] == [0, 0, 0.25, 0.5]


def test_a_token_given_back_may_be_taken_again_and_none_is_made_of_it() -> None:
    bucket = TokenBucket(2, 1, now=0)
    bucket.take(0)
    bucket.give_back(0)
    bucket.give_back(0)
    assert taken(bucket, 0) == 2


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = TokenBucket(2, 1, now=100)
    taken(bucket, 100)
    assert taken(bucket, 50) == 0
    assert taken(bucket, 100.5) == 0
    assert taken(bucket, 101) == 1
