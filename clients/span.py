"""A part of a request that is traced, as a Protocol that telemetry implements.

A request that is not recorded has none: then nothing here is called.
"""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

Value: TypeAlias = str | int | float | bool
"""Of an attribute: never what an upstream said, never a credential, never a client's data."""

CANCELLED = "cancelled"
"""How a span ends whose work was cancelled, which is no error of anybody's."""


class Span(Protocol):
    """A part of a request, from now until `end`. What is said of it later is ignored."""

    @property
    def trace(self) -> str:
        """The id of the trace, as W3C Trace Context writes it."""
        ...

    @property
    def propagated(self) -> Mapping[str, str]:
        """The headers that make an upstream's own spans children of this one."""
        ...

    def child(self, name: str, attributes: Mapping[str, Value], *, outgoing: bool = False) -> "Span":
        """A part of this part; `outgoing` when it waits for another process."""
        ...

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Say more of it."""
        ...

    def sent(self, method: str, url: str, route: str | None) -> None:
        """A request is on its way.

        Args:
            method: of HTTP.
            url: where to; what may hold values (its query, and its path where there is a route) is left out.
            route: the path before values were filled in; None when the path is always the same.
        """
        ...

    def event(self, name: str, attributes: Mapping[str, Value]) -> None:
        """Something happened just now."""
        ...

    def joined(self, other: "Span | None") -> None:
        """It waits for what another request does; None when that one is not recorded."""
        ...

    def end(self, error: str | None = None) -> None:
        """It is over; `error` is a code, `CANCELLED`, or None."""
        ...
