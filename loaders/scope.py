"""What loaders need of a request; the gateway's request context gives it."""

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from clients.call import Caller, Problem, Served
from clients.upstream import Upstream


class LoaderScope(Protocol):
    """One request, as its loaders see it."""

    @property
    def caller(self) -> Caller:
        """On whose behalf calls are made, and until when."""
        ...

    @property
    def loaders(self) -> dict[Any, Any]:
        """The request's loaders by their declaration; they live as long as the request."""
        ...

    def upstream(self, service: str) -> Upstream:
        """The service of that name."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work that ends with the request at the latest."""
        ...

    def note_served(self, service: str, path: Sequence[str | int], served: Served) -> None:
        """Remember how the value at a response path was served, when it was not as it should be."""
        ...

    def note_problem(self, service: str, path: Sequence[str | int], problem: Problem) -> None:
        """Remember an error that the upstream reported inside the value at a response path."""
        ...
