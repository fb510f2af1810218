"""The bounds of planning: an operation that costs too much is refused, planning never hangs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.federation.errors import PlanLimitExceeded

Clock = Callable[[], float]
_STEPS_BETWEEN_CLOCK_READS = 64


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """Limits of one planning run. Raising one lets more expensive operations through.

    Attributes:
        max_depth: nested selection sets; nested fragments are counted by themselves.
        max_nodes: fields visited, each counted once per runtime type it is explored for.
        max_options: ways to reach one field that are compared.
        max_trials: combinations of equally good paths compared before the best so far is taken.
        max_time_s: seconds of work. Nothing else runs in the event loop meanwhile.
    """

    max_depth: int = 64
    max_nodes: int = 20_000
    max_options: int = 20_000
    max_trials: int = 400
    max_time_s: float = 1.0


class Budget:
    """What is left of the limits in one planning run."""

    def __init__(self, limits: PlanLimits, clock: Clock = time.thread_time) -> None:
        self.limits = limits
        self._clock = clock
        self._deadline = clock() + limits.max_time_s
        self._nodes = 0

    def visit(self, depth: int) -> None:
        """Count one field.

        Raises:
            PlanLimitExceeded: there have been too many, it is too deep, or the time is up.
        """
        self._nodes += 1
        if self._nodes > self.limits.max_nodes:
            name = "max_nodes"
            raise PlanLimitExceeded(name, self.limits.max_nodes)
        self.check_depth(depth)
        if self._nodes % _STEPS_BETWEEN_CLOCK_READS == 1:
            self.check_time()

    def check_depth(self, depth: int) -> None:
        """Refuse to go deeper."""
        if depth > self.limits.max_depth:
            name = "max_depth"
            raise PlanLimitExceeded(name, self.limits.max_depth)

    def check_options(self, count: int) -> None:
        """Refuse a field with too many ways to it."""
        if count > self.limits.max_options:
            name = "max_options"
            raise PlanLimitExceeded(name, self.limits.max_options)

    def check_time(self) -> None:
        """Refuse to go on after the deadline."""
        if self._clock() > self._deadline:
            name = "max_time_s"
            raise PlanLimitExceeded(name, self.limits.max_time_s)
