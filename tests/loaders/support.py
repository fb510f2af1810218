"""A request's scope and a schema around it, as the gateway gives them, with nothing of the gateway in it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from clients.call import Caller, Problem, Served
from clients.upstream import Upstream
from tests.clients.support import CALLER, Rig, rig


class Scope:
    """Satisfies loaders.scope.LoaderScope; leaving it ends what the request still runs."""

    def __init__(self, upstream: Upstream, caller: Caller = CALLER) -> None:
        self.caller = caller
        self.loaders: dict[Any, Any] = {}
        self.served: list[tuple[str, list[str | int], Served]] = []
        self.problems: list[tuple[str, list[str | int], Problem]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self._upstream = upstream

    def upstream(self, service: str) -> Upstream:
        assert service == self._upstream.name
        return self._upstream

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def note_served(self, service: str, path: Sequence[str | int], served: Served) -> None:
        self.served.append((service, list(path), served))

    def note_problem(self, service: str, path: Sequence[str | int], problem: Problem) -> None:
        self.problems.append((service, list(path), problem))

    async def aclose(self) -> None:
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def scoped(wire: str = "pyreqwest", **parts: Any) -> AsyncIterator[tuple[Rig, Scope]]:
    """A rig, and a request in it."""
    async with rig(wire, **parts) as made:
        scope = Scope(made.upstream)
        try:
            yield made, scope
        finally:
            await scope.aclose()
