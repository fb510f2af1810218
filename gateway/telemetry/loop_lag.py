"""How long the event loop keeps what is due waiting."""

import asyncio
from types import TracebackType

from clients.figures import Histogram, HistogramFigures

LAG_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_EVERY_S = 0.25  # four looks a second cost nothing that could be measured


class LoopLag:
    """Looks four times a second how late it is called. A context manager, entered and left inside the loop.

    The loop's own clock is used, for it is the loop that is measured.
    """

    def __init__(self) -> None:
        self._lags = Histogram(LAG_BOUNDS_S)
        self._timer: asyncio.TimerHandle | None = None
        self.last_s = 0.0
        self.max_s = 0.0

    def read(self) -> HistogramFigures:
        """All lags since the start, by size."""
        return self._lags.read()

    def __enter__(self) -> None:
        self._wait(asyncio.get_running_loop())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_EVERY_S, self._look, loop, loop.time() + _EVERY_S)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.last_s = max(0.0, loop.time() - due)
        self.max_s = max(self.max_s, self.last_s)
        self._lags.add(self.last_s)
        self._wait(loop)
