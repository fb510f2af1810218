"""The retry budget against a naive model of itself that keeps a log and recounts it at each question."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clients.policy import BudgetPolicy
from clients.state.retry_budget import WINDOW_S, RetryBudget

POLICIES = st.builds(
    BudgetPolicy,
    ratio=st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0]),  # exact in binary, as the times are
    min_per_s=st.sampled_from([0.0, 0.25, 1.0, 3.0]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.25, 0.5, 1.0, 2.5, 9.75, 10.0, 25.0, 1e6])),
        st.tuples(st.just("offer"), st.integers(1, 40)),
        st.tuples(st.just("refused"), st.just(1)),
        st.tuples(st.just("spend"), st.integers(1, 40)),
        st.tuples(st.just("read"), st.just(1)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(policy=POLICIES, steps=STEPS)
def test_no_ten_seconds_pay_for_more_than_their_share_and_never_for_less(
    policy: BudgetPolicy, steps: list[tuple[str, float]]
) -> None:
    began = now = 1000.0
    budget = RetryBudget(policy, now=began)
    offered: list[float] = []
    spent: list[float] = []
    refused = 0

    def in_window(log: list[float]) -> int:
        slot = (now - began) // 1
        return sum((at - began) // 1 > slot - WINDOW_S for at in log)

    def balance() -> float:
        return max(0.0, policy.min_per_s * WINDOW_S + policy.ratio * in_window(offered) - in_window(spent))

    for step, amount in steps:
        if step == "wait":
            now += amount
        for _ in range(int(amount) if step == "offer" else 0):
            budget.offer(now)
            offered.append(now)
        if step == "refused":
            budget.offer(now)
            budget.take_back()
        for _ in range(int(amount) if step == "spend" else 0):
            allowed = balance() >= 1
            assert budget.spend(now) == allowed
            if allowed:
                spent.append(now)
            refused += not allowed
        if step == "read":
            status = budget.status(now)
            assert (status.offered, status.spent, status.refused) == (len(offered), len(spent), refused)
            assert status.balance == balance()
    windows = (now - began) // WINDOW_S + 1
    assert len(spent) <= policy.ratio * len(offered) + windows * policy.min_per_s * WINDOW_S


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
def test_without_a_policy_everything_is_paid_for_and_counted(steps: list[tuple[str, float]]) -> None:
    now, budget, asked = 1000.0, RetryBudget(None, now=1000.0), 0
    for step, amount in steps:
        if step == "wait":
            now += amount
        elif step == "spend":
            asked += 1
            assert budget.spend(now)
        else:
            budget.offer(now)
    assert (budget.status(now).balance, budget.status(now).spent, budget.status(now).refused) == (None, asked, 0)
