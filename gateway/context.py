"""One request: who it is for, its loaders, its background work, and what was not served as it should have been."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from clients.call import Caller, Problem, Served
from clients.upstream import Upstream
from schema.context import GatewayState

_ANY_INDEX = "@"  # as in a query plan's paths: every element of a list


class UnknownService(Exception):
    """A resolver named a service that gateway.yaml does not have."""


@dataclass(slots=True)
class _Degraded:
    path: list[str | int]
    served: Served
    count: int = 1


class RequestContext:
    """`info.context`. Satisfies schema.context.GatewayContext; leaving it ends whatever the request still runs.

    Args:
        caller: on whose behalf, and until when.
        state: the gateway that answers.
    """

    __slots__ = ("_degraded", "_tasks", "caller", "loaders", "problems", "state")

    def __init__(self, caller: Caller, state: GatewayState) -> None:
        self.caller = caller
        self.state = state
        self.loaders: dict[Any, Any] = {}
        self.problems: list[tuple[str, list[str | int], Problem]] = []
        self._degraded: dict[tuple[Any, ...], _Degraded] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def upstream(self, service: str) -> Upstream:
        """The service of that name.

        Raises:
            UnknownService: with the names there are.
        """
        try:
            return self.state.upstreams[service]
        except KeyError:
            known = ", ".join(self.state.upstreams) or "none"
            raise UnknownService(f"no service {service!r} in gateway.yaml (there: {known})") from None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work that ends with the request at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def note_served(self, service: str, path: Sequence[str | int], served: Served) -> None:
        """Remember a degraded value. Places that differ in list indices only are noted together, by their worst age."""
        places = tuple(_ANY_INDEX if isinstance(part, int) else part for part in path)
        key = (service, places, served.by, served.reason)
        noted = self._degraded.get(key)
        if noted is None:
            self._degraded[key] = _Degraded(list(path), served)
            return
        noted.count += 1
        noted.path = list(places)
        if (served.age_s or 0.0) > (noted.served.age_s or 0.0):
            noted.served = served

    def note_problem(self, service: str, path: Sequence[str | int], problem: Problem) -> None:
        """Remember an error that an upstream reported beside its data."""
        self.problems.append((service, [*path, *problem.path], problem))

    def degraded(self) -> list[Mapping[str, Any]]:
        """`extensions.upstreams`: what was not served as it should have been; empty when all was.

        Each entry has service, path (`@` for every element of a list when several are meant), servedBy, reason, ageMs
        (of the oldest; null when the value is new) and count (of places).
        """
        return [
            {
                "service": service,
                "path": noted.path,
                "servedBy": noted.served.by.name,
                "reason": noted.served.reason,
                "ageMs": None if noted.served.age_s is None else round(noted.served.age_s * 1000),
                "count": noted.count,
            }
            for (service, *_), noted in self._degraded.items()
        ]

    @property
    def is_degraded(self) -> bool:
        """Whether `degraded` has anything to tell."""
        return bool(self._degraded)

    @property
    def has_tasks(self) -> bool:
        """Whether there is something for `aclose` to wait for."""
        return bool(self._tasks)

    async def aclose(self) -> None:
        """Cancel what the request still runs, and wait for its end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
        self.loaders.clear()  # they know their request: all that was loaded would wait for the garbage collector
