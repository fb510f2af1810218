"""The token bucket against a naive model in exact fractions, in every order of events that hypothesis can think of."""

from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from clients.state.token_bucket import TokenBucket

# Sums of these are exact in floats too, so the bucket has no excuse.
STEPS = st.sampled_from([0.0, 0.125, 0.5, 1.0, 3.25, 3600.0, 2.0**30])
RATES = st.sampled_from([0.125, 0.5, 1.0, 2.0, 8.0])


class BucketMachine(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 8), per_s=RATES, start=st.sampled_from([0.0, 1000.5, 2.0**20]))
    def begin(self, capacity: int, per_s: float, start: float) -> None:
        self.now = self.latest = start
        self.rate = Fraction(per_s)
        self.capacity = capacity
        self.level = Fraction(capacity)
        self.bucket = TokenBucket(capacity, per_s, now=start)
        self.began = start
        self.taken = 0

    @rule(step=STEPS)
    def pass_time(self, step: float) -> None:
        self.now += step
        if self.now > self.latest:
            gained = (Fraction(self.now) - Fraction(self.latest)) * self.rate
            self.level = min(Fraction(self.capacity), self.level + gained)
            self.latest = self.now

    @rule(step=STEPS)
    def set_clock_back(self, step: float) -> None:
        self.now -= step

    @rule()
    def take(self) -> None:
        may = self.level >= 1
        assert self.bucket.take(self.now) is may
        self.level -= may
        self.taken += may

    @rule()
    def give_back(self) -> None:
        self.bucket.give_back(self.now)
        self.level = min(Fraction(self.capacity), self.level + 1)
        self.taken = max(0, self.taken - 1)

    @rule(ahead=st.integers(0, 5))
    def ask_how_long(self, ahead: int) -> None:
        expected = max(Fraction(0), (ahead + 1 - self.level) / self.rate)
        assert self.bucket.wait_s(self.now, ahead) == expected

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        left = self.bucket.left(self.now)
        assert left == self.level
        assert 0 <= left <= self.capacity

    @invariant()
    def lets_no_more_through_than_it_promises(self) -> None:
        assert self.taken <= self.capacity + (Fraction(self.latest) - Fraction(self.began)) * self.rate


TestBucketMachine = BucketMachine.TestCase
TestBucketMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, derandomize=True)
