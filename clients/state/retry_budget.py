"""A budget for retries: however much fails, a service is sent little more than it was asked. Pure, `now` passed in.

After Finagle's RetryBudget (Twitter, 2016): each call earns a share of a retry, a few a second are free, and what was
earned is forgotten after ten seconds, so that a long healthy time does not pay for a storm.
"""

from collections import deque
from dataclasses import dataclass
from math import inf, isfinite

from clients.policy import BudgetPolicy

WINDOW_S = 10.0
_SLOTS = 10
_SLOT_S = WINDOW_S / _SLOTS


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A budget, read as data.

    Attributes:
        balance: retries that may be made now; None when there is no limit.
        offered: calls since the start; each earned its share.
        spent: retries and hedges since the start.
        refused: retries and hedges that there was no budget for, since the start.
    """

    balance: float | None
    offered: int
    spent: int
    refused: int


class RetryBudget:
    """Within any ten slots of a second: spent ≤ `ratio` of offered, plus `min_per_s` for ten seconds.

    Not safe across threads: one event loop owns it. Without a policy it counts, and pays for everything.
    """

    def __init__(self, policy: BudgetPolicy | None, *, now: float) -> None:
        self._ratio = 0.0 if policy is None else policy.ratio
        self._reserve = inf if policy is None else policy.min_per_s * WINDOW_S
        self._offered = 0
        self._spent = 0
        self._refused = 0
        self._slot_ends = now + _SLOT_S
        # offered and spent as they were when each slot began; the first is where the window begins
        self._marks = deque([(0, 0)] * _SLOTS, maxlen=_SLOTS)

    def offer(self, now: float) -> None:
        """A call is made that is no retry."""
        if now >= self._slot_ends:
            self._roll(now)
        self._offered += 1

    def take_back(self) -> None:
        """The call just offered was refused here and not made: it earns nothing."""
        self._offered -= 1

    def spend(self, now: float) -> bool:
        """Pay for one retry; False when there is no budget for it."""
        if self._balance(now) < 1:
            self._refused += 1
            return False
        self._spent += 1
        return True

    def status(self, now: float) -> BudgetStatus:
        """Read the budget."""
        balance = self._balance(now)
        return BudgetStatus(balance if isfinite(balance) else None, self._offered, self._spent, self._refused)

    def _balance(self, now: float) -> float:
        if now >= self._slot_ends:
            self._roll(now)
        offered, spent = self._marks[0]
        return max(0.0, self._reserve + self._ratio * (self._offered - offered) - (self._spent - spent))

    def _roll(self, now: float) -> None:
        begun = int((now - self._slot_ends) / _SLOT_S) + 1
        self._slot_ends += begun * _SLOT_S
        self._marks.extend([(self._offered, self._spent)] * min(begun, _SLOTS))
