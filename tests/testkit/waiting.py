"""Waiting for something to become true, without polling and never for longer than a deadline."""

import asyncio
from collections.abc import Callable

DEADLINE_S = 5.0
"""Far beyond what anything here takes; a test that waits this long has failed."""


class Signal:
    """Told of every change; lets tests wait until a condition over the changed things holds."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Something changed: look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(
        self, condition: Callable[[], bool], what: str | Callable[[], str], *, deadline_s: float = DEADLINE_S
    ) -> None:
        """Return once `condition()` is true.

        Raises:
            TimeoutError: naming `what`, when it is not true by the deadline.
        """
        try:
            async with asyncio.timeout(deadline_s):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            text = what if isinstance(what, str) else what()
            raise TimeoutError(f"after {deadline_s} s still waiting for {text}") from None


async def until_true(condition: Callable[[], bool], what: str, *, deadline_s: float = DEADLINE_S) -> None:
    """Turn the loop until `condition()` is true, where nothing tells that it has changed.

    Raises:
        TimeoutError: naming `what`, when it is not true by the deadline.
    """
    try:
        async with asyncio.timeout(deadline_s):
            while not condition():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0)
    except TimeoutError:
        raise TimeoutError(f"after {deadline_s} s still waiting for {what}") from None
