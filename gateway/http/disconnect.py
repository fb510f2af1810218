"""Work that stops when the client it is done for has gone."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

from clients.timeouts import Delays

T = TypeVar("T")


class ClientDisconnected(Exception):  # an event, not a failure
    """The client closed the connection; there is nobody to answer."""


PATIENCE_S = 0.05
"""Work that is done sooner is not watched: the watching would cost more than the work that a hang-up could save."""


async def until_disconnected(work: Awaitable[T], receive: Receive, patience: Delays) -> T:
    """Await `work`; cancel it and raise `ClientDisconnected` once `receive` tells of `http.disconnect`.

    Begins to look once `patience` is at an end. The request's body must have been read. `work` runs in the calling
    task. When this returns or raises, `work` has ended and no task is left. A cancellation from outside passes through,
    also when both come at once: this counts its own cancellation as `asyncio.timeout` does.
    """
    parent = patience.loop.task()
    requested_before = parent.cancelling()
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        parent.cancel()

    watcher: asyncio.Task[None] | None = None

    def begin() -> None:
        nonlocal watcher
        watcher = asyncio.create_task(watch())

    timer = patience.start(begin)
    try:
        try:
            result = await work
        finally:
            timer.cancel()
            if watcher is not None:
                # Cancelled before it can run again, so a late disconnect does not reach the parent.
                watcher.cancel()
                await asyncio.wait({watcher})
                if not watcher.cancelled():
                    watcher.exception()  # looked at, so a server whose receive fails makes no noise here
    except BaseException as error:
        if gone and parent.uncancel() <= requested_before:
            raise ClientDisconnected from error
        raise
    if gone:
        parent.uncancel()
        raise ClientDisconnected
    return result
