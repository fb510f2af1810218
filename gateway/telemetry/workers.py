"""Figures of the other worker processes: whichever of them is asked, it can answer for all.

`gateway serve --workers N` starts processes that share one port, so nobody can choose whom to ask. Each listens at a
Unix socket in a folder of theirs, and whoever is asked asks the others there.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_S = 1.0  # a worker that is busier than this is left out of one answer


class Workers:
    """This worker among the others. An async context manager.

    Args:
        folder: of all of them and nobody else's; exists.
        tell: gives this worker's own part of an answer.
    """

    def __init__(self, folder: Path, tell: Callable[[], Awaitable[bytes]]) -> None:
        self._folder = folder
        self._tell = tell
        self._server: asyncio.Server | None = None
        self.name = str(os.getpid())
        """Of this worker."""

    async def __aenter__(self) -> Self:
        path = self._folder / self.name
        path.unlink(missing_ok=True)  # of a process that had this number before
        self._server = await asyncio.start_unix_server(self._answer, path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        (self._folder / self.name).unlink(missing_ok=True)

    async def others(self) -> dict[str, bytes]:
        """What the others tell, by their names; one that does not answer soon is left out."""
        paths = [path for path in sorted(self._folder.iterdir()) if path.name != self.name]
        told = await asyncio.gather(*(self._ask(path) for path in paths))
        return {path.name: answer for path, answer in zip(paths, told, strict=True) if answer is not None}

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                writer.write(await self._tell())
                await writer.drain()
        except (OSError, TimeoutError):
            pass  # whoever asked has gone, or has stopped waiting
        finally:
            writer.close()

    @staticmethod
    async def _ask(path: Path) -> bytes | None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    return await reader.read(-1)
                finally:
                    writer.close()
        except ConnectionRefusedError:  # a process that was killed left it behind
            _forget(path)
            return None
        except (OSError, TimeoutError):
            return None


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
