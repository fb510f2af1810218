"""The instances that share a Redis: each tells of itself every few seconds, and does what the others were told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from clients.clock import Clock
from clients.state.circuit import State
from gateway.fleet.messages import Command, Digest, encode, read_command, read_digest

if TYPE_CHECKING:
    from gateway.fleet.link import FleetLink

_MISSED = 4  # an instance that did not tell so often in a row is gone
_ALONE = "without `redis:` no instance knows of the others"


@dataclass(frozen=True, slots=True)
class Others:
    """The other instances.

    Attributes:
        shared: whether Redis told of them.
        reason: why there may be more; empty when these are all.
    """

    digests: Sequence[Digest]
    shared: bool
    reason: str


class Fleet:
    """This instance among the others.

    Args:
        instance: its name.
        clock: all time comes from it.
        link: to Redis; None where there is none.
        every_s: how often it tells of itself.
    """

    def __init__(self, instance: str, clock: Clock, link: "FleetLink | None" = None, *, every_s: float = 2.0) -> None:
        self._instance = instance
        self._clock = clock
        self._link = link
        self._every_s = every_s
        self._log = structlog.get_logger("fleet")

    @asynccontextmanager
    async def joined(
        self, digest: Callable[[], Digest], obey: Callable[[Command], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Take part for as long as the block runs.

        Args:
            digest: this instance as it is now.
            obey: does what another instance was commanded.
        """
        if self._link is None:
            yield
            return
        task = asyncio.create_task(self._take_part(self._link, digest, obey), name="breakwater fleet")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._link.leave(self._instance)
            await self._link.aclose()

    async def others(self) -> Others:
        """The other instances, as far as Redis knows them."""
        if self._link is None:
            return Others([], shared=False, reason=_ALONE)
        found = await self._link.others(self._instance)
        if found is None:
            status = self._link.status()
            circuit = "" if status.state is State.CLOSED else f" (circuit {status.state}: {status.reason})"
            return Others([], shared=False, reason=f"Redis does not answer{circuit}")
        digests = [digest for data in found if (digest := read_digest(data)) is not None]
        unread = len(found) - len(digests)
        return Others(digests, shared=True, reason=f"{unread} of another version cannot be read" if unread else "")

    async def command(self, command: Command) -> bool:
        """Have the others do it, too; False when they were not told."""
        return self._link is not None and await self._link.command(encode(command))

    async def _take_part(
        self, link: "FleetLink", digest: Callable[[], Digest], obey: Callable[[Command], Awaitable[None]]
    ) -> None:
        while True:
            try:
                for data in await link.tell(self._instance, encode(digest()), self._every_s * _MISSED) or ():
                    command = read_command(data)
                    if command is not None and command.origin != self._instance:
                        await obey(command)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next time comes
                self._log.error("fleet trouble", exc_info=error)
            await self._clock.sleep(self._every_s)
