"""A token bucket: values in, values out, `now` passed in; no clock, no I/O, no lock.

It holds up to `capacity` tokens and gains `per_s` each second. A call takes one, so bursts up to the capacity pass, and
over any `t` seconds at most `capacity + per_s * t` calls do.
"""

_FORGIVEN_S = 1e-9  # who waited exactly as long as he was told finds a token, whatever floats make of the sum


class TokenBucket:
    """One bucket, full at first. Not safe across threads: one event loop owns it.

    Args:
        capacity: tokens it holds at most, 1 or more.
        per_s: tokens it gains each second, more than 0.
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_enough", "_level", "capacity", "per_s")

    def __init__(self, capacity: int, per_s: float, *, now: float) -> None:
        self.capacity = capacity
        self.per_s = per_s
        self._enough = max(0.5, 1 - _FORGIVEN_S * max(1.0, per_s))
        self._level = float(capacity)
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._refill(now)
        if self._level < self._enough:
            return False
        self._level = max(0.0, self._level - 1)
        return True

    def give_back(self, now: float) -> None:
        """Put back a token that was not used."""
        self._refill(now)
        self._level = min(self.capacity, self._level + 1)

    def wait_s(self, now: float, ahead: int = 0) -> float:
        """Seconds until there is a token for a caller with `ahead` others before it; 0 when there is one now."""
        self._refill(now)
        return 0.0 if self._level >= ahead + self._enough else (ahead + 1 - self._level) / self.per_s

    def left(self, now: float) -> float:
        """Tokens in it."""
        self._refill(now)
        return self._level

    def _refill(self, now: float) -> None:
        passed = now - self._at
        if passed > 0:  # a clock that goes back neither gives nor takes
            self._level = min(self.capacity, self._level + passed * self.per_s)
            self._at = now
